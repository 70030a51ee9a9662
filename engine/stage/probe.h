/**
 * probe - reads files and finds out what they are: hashes, kind, and what a pair needs to know.
 *
 *     items ─▶ [slot: open → fstat → read → hash … → fstat → close] × 32 ─▶ items
 *
 * A thread with a ring of its own; each slot works on one item.  A file that the ledger knows and
 * that is unchanged is not opened.  Identity is fstat of the descriptor that is read, before the
 * first and after the last byte, both equal.
 *
 *   Owner    an item is probe's from pop to push
 *   Errors   a file that cannot be read is a result (file.error); a probe that cannot start fails
 *   Threads  any number of probes, each its own thread
 */
#ifndef UR_STAGE_PROBE_H
#define UR_STAGE_PROBE_H

#include "engine/base/queue.h"
#include "engine/run.h"

struct ur_probe;

struct ur_probe_wiring {
	struct ur_queue *in;
	struct ur_queue *out;
	struct ur_bell *out_bell;
	struct ur_bell *bell; // ours
};

[[nodiscard]] int ur_probe_start(struct ur_run *run, const struct ur_probe_wiring *wiring,
	struct ur_probe **ret, struct ur_err *err);
/** Waits for the thread, which ends when `in` is closed and drained. */
struct ur_probe *ur_probe_free(struct ur_probe *probe);
/** What the ring turned out to be; valid once the probe has started. */
const char *ur_probe_about(const struct ur_probe *probe);

#endif
