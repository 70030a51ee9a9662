/**
 * settle - takes away what is safely delivered: the last step of promise 1.
 *
 *     NAME ──rename──▶ .uringest/TOKEN-NAME ──open, compare, hash if in doubt, lease──▶ unlink
 *                              │                                                  or ▶ MOVE/NAME
 *                              └── anything odd: back to NAME
 *
 * Decide has committed `confirmed` and the token before an item comes here.  The one-way gate is
 * the rename: nobody opens the file by its old name any more, and what stands in the staging
 * folder is compared with what was hashed before it goes.
 *
 *   Owner    an item is settle's from push to `in` until it comes out
 *   Errors   per file: 0 taken away, UR_SETTLE_GONE somebody else did (or it was named twice),
 *            -ESTALE changed (back in its place), -ETXTBSY somebody writes, -EEXIST the place it
 *            must go back to is taken, else what the disk said
 *   Threads  its own
 */
#ifndef UR_STAGE_SETTLE_H
#define UR_STAGE_SETTLE_H

#include "engine/base/queue.h"
#include "engine/run.h"

struct ur_settle;

struct ur_settle_wiring {
	struct ur_queue *in;
	struct ur_queue *out;
	struct ur_bell *out_bell;
	struct ur_bell *bell; // ours
};

[[nodiscard]] int ur_settle_start(struct ur_run *run, const struct ur_settle_wiring *wiring,
	struct ur_settle **ret, struct ur_err *err);
/** Waits for the thread, which ends when `in` is closed and drained. */
struct ur_settle *ur_settle_free(struct ur_settle *settle);

#endif
