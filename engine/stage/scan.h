/**
 * scan - walks the sources and turns what it finds into items.
 *
 *     pending directories ─▶ listing ─▶ ledger's rows merged ─▶ groups by stem ─▶ items
 *
 * One directory at a time, depth first.  A file that the ledger knows as delivered and unchanged
 * costs its stat and a comparison; it becomes no item.  A directory that cannot be read is an error
 * of that directory; the rest goes on.
 *
 *   Owner    takes empty items from `free_items`, gives filled ones to `out`
 *   Errors   a run that cannot start (a source that is not there) fails before the thread starts
 *   Threads  its own
 *   Source   what is never a source: Immich's own library (its marker file), our staging folder,
 *            the move target, the ledger's folder
 */
#ifndef UR_STAGE_SCAN_H
#define UR_STAGE_SCAN_H

#include "engine/base/queue.h"
#include "engine/run.h"

struct ur_scan;

struct ur_scan_wiring {
	struct ur_queue *free_items; // from decide
	struct ur_queue **out;       // one queue a probe thread
	struct ur_bell **out_bells;
	size_t out_count;
	size_t out_warm;      // so many of them where files are cached: more rings only help a disk
	struct ur_bell *bell; // ours: empty items, or room in `out`
};

/** Opens the sources and the ledger; -ENOENT and the like name the source. */
[[nodiscard]] int ur_scan_new(struct ur_run *run, const struct ur_scan_wiring *wiring,
	struct ur_scan **ret, struct ur_err *err);
[[nodiscard]] int ur_scan_start(struct ur_scan *scan, struct ur_err *err);
/** After the thread has ended. */
struct ur_scan *ur_scan_free(struct ur_scan *scan);
/** The roots, for settle and for what a crash left behind. */
struct ur_root *ur_scan_root(const struct ur_scan *scan, size_t index);

#endif
