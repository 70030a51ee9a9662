/**
 * coordinator - what becomes of each file: every transition, one thread, the ledger first.
 *
 *     probe ─▶ judge ─▶ ask (by checksum, in batches) ─▶ deliver ⇄ upload
 *                                                          │
 *           done ◀── settle ◀── confirm ◀── amend ◀── link ◀┘
 *
 * An item goes through these steps; each turn of the loop takes in what has arrived, moves items
 * on, writes the ledger, commits, and only then lets the side effects go: a request, a removal.
 * The parts: judge (what a file is to us), ask (what the server has), deliver (sending and its
 * answers), confirm (promise 1), amend (links and sidecars), book (the ledger's rows).
 *
 *   Owner    the ledger's writing connection; an item from probe until it goes back to the pool
 *   Errors   a file's failure is its row; a run's failure (ledger, key) ends it through ur_run_fail
 *   Threads  its own; answers arrive from http's thread through a queue
 */
#ifndef UR_COORDINATOR_H
#define UR_COORDINATOR_H

#include "engine/base/queue.h"
#include "engine/run.h"

struct ur_coordinator;

struct ur_coordinator_wiring {
	struct ur_queue *from_probe[UR_PROBES_MAX];
	size_t probe_count;
	struct ur_queue *free_items; // back to scan
	struct ur_bell *scan_bell;
	struct ur_queue *to_upload;
	struct ur_queue *from_upload;
	struct ur_queue *to_chunks;
	struct ur_queue *from_chunks;
	unsigned large_slots; // of chunks
	struct ur_queue *to_settle;
	struct ur_bell *settle_bell;
	struct ur_queue *from_settle;
	struct ur_queue *answers; // requests that are done, from http's thread
	struct ur_bell *bell;     // ours
	unsigned (*upload_limit)(void *context);
	void *upload_context;
};

[[nodiscard]] int ur_coordinator_new(struct ur_run *run, const struct ur_coordinator_wiring *wiring,
	struct ur_ledger *ledger, struct ur_http *http, struct ur_coordinator **ret,
	struct ur_err *err);
/** Runs until every item is back in the pool and nothing more will come. */
void ur_coordinator_run(struct ur_coordinator *c);
/**
 * One turn of that, without a wait: false when there is nothing more to do; *ret_moved: something had
 * come in.  For whoever has no threads (tests/sim).
 */
bool ur_coordinator_turn(struct ur_coordinator *c, bool *ret_moved);
struct ur_coordinator *ur_coordinator_free(struct ur_coordinator *c);

#endif
