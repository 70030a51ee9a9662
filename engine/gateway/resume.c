/* resume - what an earlier process left: on its way to immich-server, or to be read first. */
#include "engine/gateway/resume.h"

#include "engine/gateway/chore.h"
#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/receive.h"
#include "engine/gateway/state.h"

#include <errno.h>

static void on_rebuilt(struct ur_job *job)
{
	struct ur_session *session = ur_chore_session(job);
	struct ur_gateway *gateway = session->gateway;
	struct ur_spool_upload *upload = session->upload;
	session->removing = false;
	if (session->result == -ECANCELED) {
		return; // the next start reads it
	}
	if (ur_spool_found(upload, &session->found, session->result)) {
		ur_gateway_log(gateway, 5, "upload %s: its files were damaged; its bytes are whole",
			upload->id);
	} else {
		ur_gateway_log(gateway, 3, "upload %s: %s; they are kept as they are", upload->id,
			session->err.text);
	}
	(void)ur_delivery_take_up(gateway, upload);
	ur_receive_step(session);
}

static void rebuild(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	struct ur_session *session = ur_session_of(gateway, upload);
	if (session != NULL) {
		ur_chore_begin(session, UR_CHORE_REBUILD, on_rebuilt);
	}
}

static void log_damage(struct ur_gateway *gateway)
{
	if (ur_spool_damaged(gateway->spool) > 0) {
		ur_gateway_log(gateway, 3,
			"%zu uploads in the spool cannot be read (%s …); they stay as they are, and are "
			"looked at again at the next start",
			ur_spool_damaged(gateway->spool), ur_spool_damage(gateway->spool));
	}
}

/** What an earlier process may have sent is not sent again before it would have arrived. */
static void log_window(struct ur_gateway *gateway)
{
	const int64_t now = ur_gateway_now_ms();
	int64_t until = 0;
	size_t count = 0;
	for (const struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		const int64_t its = ur_delivery_arrives_until_ms(at);
		count += its > now ? 1 : 0;
		until = its > until ? its : until;
	}
	if (count > 0) {
		char text[UR_CLOCK_TEXT];
		ur_clock_local(ur_clock_wall_ns() + (until - now) * UR_MS_NS, text);
		ur_gateway_log(gateway, 5,
			"%zu uploads may still be arriving at immich-server from before the restart: they "
			"are asked for, and none is sent again before that is over, at %s at the latest",
			count, text);
	}
}

/** What an earlier process left on its way, and what has to be read first. */
void ur_resume(struct ur_gateway *gateway)
{
	size_t count = 0;
	size_t waiting = 0;
	log_damage(gateway);
	for (struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		gateway->records++;
		if (at->is_damaged) {
			ur_gateway_log(gateway, 3, "upload %s: its files are damaged%s", at->id,
				at->is_unread ? "; its bytes are read"
					      : "; they are kept as they are");
		}
		if (at->is_unread) {
			ur_delivery_recall_wire(gateway, at);
			rebuild(gateway, at);
		} else if (ur_delivery_take_up(gateway, at)) {
			waiting += ur_delivery_has_key(at) ? 0 : 1;
			count++;
		}
	}
	if (count > 0) {
		ur_gateway_log(gateway, 5,
			"%zu uploads are on their way to immich-server; %zu of them wait for the "
			"next request of their owners",
			count, waiting);
	}
	log_window(gateway);
}
