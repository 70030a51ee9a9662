/**
 * line - the visits of one upload, one after the other: one is current, the others wait.
 *
 *     join ─▶ [ first │ … │ last ] ─next─▶ current ─▶ answer, cut or leave
 *
 *   Owner    a visit in line has its session; answer() and cut() end it, leave() gives it back
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_LINE_H
#define UR_GATEWAY_LINE_H

#include "engine/gateway/session.h"
#include "engine/gateway/visit.h"

void ur_line_join(struct ur_session *session, struct ur_visit *visit);
/** The first becomes the current one, of which there is none. */
struct ur_visit *ur_line_next(struct ur_session *session);
/** Out of the line, or not current any more. */
void ur_line_leave(struct ur_visit *visit);
/** Answers the current visit, which leaves the room. */
void ur_line_answer(struct ur_session *session, int status, const char *sentence);
/** The current visit's connection is done for: what arrived stays. */
void ur_line_cut(struct ur_session *session);

#endif
