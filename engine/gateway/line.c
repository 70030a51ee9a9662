/* line - the visits of one upload, one after the other. */
#include "engine/gateway/line.h"

#include <assert.h>

void ur_line_join(struct ur_session *session, struct ur_visit *visit)
{
	assert(visit->session == NULL);
	assert(visit->next == NULL);
	assert((session->line_first == NULL) == (session->line_last == NULL));
	visit->session = session;
	*(session->line_last == NULL ? &session->line_first : &session->line_last->next) = visit;
	session->line_last = visit;
}

struct ur_visit *ur_line_next(struct ur_session *session)
{
	struct ur_visit *visit = session->line_first;
	assert(session->current == NULL);
	assert(visit != NULL);
	session->line_first = visit->next;
	session->line_last = session->line_first == NULL ? NULL : session->line_last;
	visit->next = NULL;
	session->current = visit;
	return visit;
}

void ur_line_leave(struct ur_visit *visit)
{
	struct ur_session *session = visit->session;
	struct ur_visit **at = &session->line_first;
	struct ur_visit *before = NULL;
	if (visit->receiving) {
		visit->receiving = false;
		session->gateway->receiving--;
	}
	if (session->current == visit) {
		session->current = NULL;
		visit->session = NULL;
		return;
	}
	while (*at != visit) {
		before = *at;
		at = &(*at)->next;
	}
	*at = visit->next;
	if (session->line_last == visit) {
		session->line_last = before;
	}
	visit->next = NULL;
	visit->session = NULL;
}

void ur_line_answer(struct ur_session *session, int status, const char *sentence)
{
	struct ur_visit *visit = session->current;
	ur_line_leave(visit);
	ur_visit_answer(visit, status, sentence);
}

void ur_line_cut(struct ur_session *session)
{
	struct ur_visit *visit = session->current;
	assert(visit != NULL);
	ur_line_leave(visit);
	ur_visit_end(visit);
}
