/**
 * session - what an upload needs while somebody cares for it: the visits that wait for their turn, the
 * checkpoint under way, the delivery.
 *
 *   Owner    upload->session, from of() to the rest() that finds nobody who needs it
 *   Threads  the loop's; while a job runs, what it works on is the crew's
 */
#ifndef UR_GATEWAY_SESSION_H
#define UR_GATEWAY_SESSION_H

#include "engine/gateway/crew.h"
#include "engine/gateway/spool/spool.h"

struct ur_delivery;
struct ur_gateway;
struct ur_visit;

/** What an upload needs while somebody cares for it. */
struct ur_session {
	struct ur_gateway *gateway;
	struct ur_spool_upload *upload;
	struct ur_visit *current;
	struct ur_visit *line_first;
	struct ur_visit *line_last;
	bool committing;
	bool removing;
	bool stepping; // inside step(): another one only goes round again
	bool again;
	struct ur_spool_mark mark;
	struct ur_job job;
	int result;
	struct ur_err err;
	int failed; // the disk would not: nothing more is taken before a restart
	unsigned mismatches;
	struct ur_spool_outcome outcome; // on its way to disk
	struct ur_spool_found found;
	struct ur_delivery *delivery;
};

/** NULL when memory is short. */
struct ur_session *ur_session_of(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Frees it when nobody needs it any more. */
void ur_session_rest(struct ur_session *session);

#endif
