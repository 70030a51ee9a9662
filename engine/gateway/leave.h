/**
 * leave - the way out: what is waited for, and until when.
 *
 *     asked ─▶ as before, until the answers that are waited for have come (or their time is over)
 *           ─▶ closing: nobody new, bodies end where they are, who still waits is told to come again
 *           ─▶ the loop has nobody left
 *
 * What takes long is waited for while all go on, so that the time in which nobody is served is that of
 * the closing alone.
 *
 *   Units    ms
 *   Threads  begin() on any; look() on the loop's
 */
#ifndef UR_GATEWAY_LEAVE_H
#define UR_GATEWAY_LEAVE_H

#include "engine/gateway/state.h"

/** At most once. */
void ur_leave_begin(struct ur_gateway *gateway, int64_t grace_ms);
/** What is next on the way out; once a second while it is stopping. */
void ur_leave_look(struct ur_gateway *gateway);

#endif
