/*
 * scan - one thread: folder after folder, then the files that were named one by one.
 *
 *     scan_sources  what is opened, and what is refused   scan_list    listing ahead, on threads
 *     scan_walk     depth first over directories          scan_merge   what the ledger knows
 *     scan_rules    ignore files                          scan_group   groups, items, counts
 *     scan_loose    files named one by one                scan_ticks   how fine a clock is
 *
 * Calls go down: scan ─▶ loose ─▶ walk ─▶ group, merge, ticks, rules, sources ─▶ list.
 */
#include "engine/stage/scan_parts.h"

#include "engine/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void *run_scan(void *context)
{
	struct ur_scan *scan = context;
	int r = 0;
	for (size_t i = 0; i < scan->root_count && r == 0 && !ur_run_is_stopping(scan->run); i++) {
		r = ur_scan_walk(scan, scan->roots[i]);
	}
	if (r == 0 && (scan->loose_count > 0 || scan->list != NULL)) {
		r = ur_scan_loose(scan);
	}
	if (r < 0 && r != -ECANCELED) {
		struct ur_err err = {0};
		(void)ur_err_set(&err, r, UR_FAULT_WORLD, "scanning");
		ur_run_fail(scan->run, r, &err);
	}
	ur_scan_drop(scan);
	assert(ur_lister_count(scan->lister) == 0);
	ur_ledger_let_go(scan->ledger);
	atomic_store(&scan->run->scanned, true);
	for (size_t k = 0; k < scan->wiring.out_count; k++) {
		ur_queue_close(scan->wiring.out[k]);
		ur_bell_ring(scan->wiring.out_bells[k]);
	}
	return NULL;
}

int ur_scan_new(struct ur_run *run, const struct ur_scan_wiring *wiring, struct ur_scan **ret,
	struct ur_err *err)
{
	struct ur_scan *scan = calloc(1, sizeof *scan);
	if (scan == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot start scanning");
	}
	scan->run = run;
	scan->wiring = *wiring;
	int r = ur_lister_new(&scan->lister);
	r = r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot start scanning")
		  : ur_scan_open_all(scan, err);
	if (r < 0) {
		(void)ur_scan_free(scan);
		return r;
	}
	*ret = scan;
	return 0;
}

int ur_scan_start(struct ur_scan *scan, struct ur_err *err)
{
	const int r = ur_thread_start(&scan->thread, run_scan, scan, "the scanning thread", err);
	if (r < 0) {
		return r;
	}
	scan->started = true;
	return 0;
}

struct ur_scan *ur_scan_free(struct ur_scan *scan)
{
	if (scan == NULL) {
		return NULL;
	}
	if (scan->started) {
		(void)pthread_join(scan->thread, NULL);
	}
	for (size_t i = 0; i < scan->root_count; i++) {
		(void)ur_root_free(scan->roots[i]);
	}
	for (size_t i = 0; i < scan->loose_count; i++) {
		free(scan->loose_paths[i]);
	}
	if (scan->list != NULL && scan->list != stdin) {
		(void)fclose(scan->list);
	}
	(void)ur_root_free(scan->loose);
	(void)ur_lister_free(scan->lister);
	(void)ur_ledger_free(scan->ledger);
	(void)ur_ignore_free(scan->asked);
	(void)ur_ignore_free(scan->junk);
	ur_listing_done(&scan->listing);
	for (size_t i = 0; i < scan->excluded_count; i++) {
		free(scan->excluded[i].at.path);
	}
	free(scan->roots);
	free(scan->root_places); // their paths are the roots'
	free(scan->loose_paths);
	free(scan->order);
	free(scan);
	return NULL;
}

struct ur_root *ur_scan_root(const struct ur_scan *scan, size_t index)
{
	return index < scan->root_count    ? scan->roots[index]
	       : index == scan->root_count ? scan->loose
					   : NULL;
}
