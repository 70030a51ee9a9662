/**
 * chore - what the crew does for a session: one thing at a time.
 *
 *   Owner    from begin() to done() the upload is the crew's; nobody else touches it, but for append
 *            beside a commit
 *   Errors   session->result and ->err
 *   Threads  begin and done on the loop's, the work on one of the crew's
 */
#ifndef UR_GATEWAY_CHORE_H
#define UR_GATEWAY_CHORE_H

#include "engine/gateway/session.h"

enum ur_chore {
	UR_CHORE_COMMIT,  // what is below session->mark becomes durable
	UR_CHORE_REMOVE,  // all of the upload goes
	UR_CHORE_EXPIRE,  // session->outcome becomes "expired", durable
	UR_CHORE_EMPTY,   // the bytes go
	UR_CHORE_REBUILD, // session->found: what the bytes of a damaged one say
	UR_CHORES,
};
void ur_chore_begin(
	struct ur_session *session, enum ur_chore chore, void (*done)(struct ur_job *job));
/** Whose chore it was; `committing` or `removing` is done()'s to clear, when others may go on. */
struct ur_session *ur_chore_session(struct ur_job *job);

#endif
