/**
 * receive - one upload's requests, one after the other.
 *
 *   Owner    a visit is the room's from enter() to its answer; it may be answered before that returns
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_RECEIVE_H
#define UR_GATEWAY_RECEIVE_H

#include "engine/gateway/session.h"
#include "engine/gateway/visit.h"

/** HEAD, PATCH, DELETE or a creation's body: when it is its turn; whoever sends at present is taken over from. */
void ur_receive_enter(struct ur_visit *visit, struct ur_spool_upload *upload);
void ur_receive_body(struct ur_visit *visit, const void *bytes, size_t size);
void ur_receive_end(struct ur_visit *visit);
void ur_receive_gone(struct ur_visit *visit);
/** Something about the upload has changed: what is next?  The session may be gone afterwards. */
void ur_receive_step(struct ur_session *session);
/** Its time is over: it goes, with all that is remembered of it. */
void ur_receive_remove(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Bodies end where they are, and resume with the next process: nobody waits for their end. */
void ur_receive_cut(struct ur_gateway *gateway);
/** Everything that arrived becomes durable; for the end of the process. */
void ur_receive_stop(struct ur_gateway *gateway);

#endif
