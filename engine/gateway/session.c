/* session - what an upload needs while somebody cares for it. */
#include "engine/gateway/session.h"

#include <stdlib.h>

struct ur_session *ur_session_of(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	if (upload->session == NULL) {
		struct ur_session *session = calloc(1, sizeof *session);
		if (session == NULL) {
			return NULL;
		}
		session->gateway = gateway;
		session->upload = upload;
		session->mark.length = upload->length;
		upload->session = session;
	}
	return upload->session;
}

void ur_session_rest(struct ur_session *session)
{
	if (session->current != NULL || session->line_first != NULL || session->committing ||
		session->removing || session->stepping) {
		return;
	}
	ur_spool_rest(session->upload);
	if (session->delivery == NULL && session->failed == 0 && session->mismatches == 0) {
		session->upload->session = NULL;
		free(session);
	}
}
