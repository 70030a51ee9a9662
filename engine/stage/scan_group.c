/*
 * scan_group - files of one stem become items; what needs nothing is only counted.
 *
 * An item is what travels together, so one member that is news takes the known ones along.
 */
#include "engine/stage/scan_parts.h"

#include "engine/media/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CROWD 128u // items that are worth beginning with
#define GATHER_STEP_NS 1000000
#define GATHER_STEPS 20
#define HANDFUL 32u // neighbours that one ring gets, and is woken for before the folder ends
#define HANDFUL_BYTES (4 << 20) // … or fewer that are as large as this together
#define LARGE (512 << 10)       // of which more rings would have too much under way

/* ---- items ----------------------------------------------------------------------------------- */

static void wake_probes(struct ur_scan *scan)
{
	for (size_t k = 0; k < scan->wiring.out_count; k++) {
		if (scan->unheard[k] > 0) {
			scan->unheard[k] = 0;
			ur_bell_ring(scan->wiring.out_bells[k]);
		}
	}
}

/**
 * The pool is empty: whoever holds the items sets the pace, and gives them back one by one.  Files
 * that are read together share the lanes of the hash and the wakings of the threads, so a small
 * crowd is waited for, but never for long.
 */
static void gather_items(struct ur_scan *scan)
{
	const struct timespec step = {0, GATHER_STEP_NS};
	for (int i = 0; i < GATHER_STEPS && !ur_run_is_stopping(scan->run) &&
			ur_queue_count(scan->wiring.free_items) < CROWD;
		i++) {
		(void)nanosleep(&step, NULL);
	}
}

static struct ur_item *take_item(struct ur_scan *scan)
{
	void *item = NULL;
	while (ur_queue_pop(scan->wiring.free_items, &item) < 0) {
		wake_probes(scan);
		ur_bell_arm(scan->wiring.bell);
		if (ur_queue_pop(scan->wiring.free_items, &item) == 0) {
			break;
		}
		if (ur_run_is_stopping(scan->run)) {
			return NULL;
		}
		ur_ledger_let_go(scan->ledger);
		ur_bell_wait(scan->wiring.bell, 1000);
		gather_items(scan);
	}
	return item;
}

static int64_t bytes_of(const struct ur_item *item)
{
	int64_t bytes = 0;
	for (int i = 0; i < item->count; i++) {
		bytes += item->files[i].identity.size;
	}
	return bytes;
}

/** Which ring is next, when one of them has had a handful.  Large files are read ahead as it is. */
static size_t choose_ring(struct ur_scan *scan, const struct ur_item *item)
{
	const int64_t bytes = bytes_of(item);
	const bool many = bytes < LARGE && ur_lister_is_cold(scan->lister);
	const size_t rings = many ? scan->wiring.out_count : scan->wiring.out_warm;
	if (scan->given >= HANDFUL || scan->given_bytes >= HANDFUL_BYTES) {
		scan->ring++;
		scan->given = 0;
		scan->given_bytes = 0;
	}
	scan->given++;
	scan->given_bytes += bytes;
	return scan->ring % rings;
}

static void give_item(struct ur_scan *scan, struct ur_item *item)
{
	const size_t k = choose_ring(scan, item);
	while (ur_queue_push(scan->wiring.out[k], item) < 0) {
		wake_probes(scan);
		ur_bell_arm(scan->wiring.bell);
		if (ur_queue_push(scan->wiring.out[k], item) == 0) {
			break;
		}
		ur_bell_wait(scan->wiring.bell, 100);
	}
	if (++scan->unheard[k] == HANDFUL) {
		scan->unheard[k] = 0;
		ur_bell_ring(scan->wiring.out_bells[k]);
	}
}

/** Since when it is as it is: carried over while nothing about it changes. */
static struct ur_age quiet_of(const struct ur_file *file)
{
	const struct ur_record *row = file->row;
	if (row == NULL || !ur_identity_same(&row->identity, &file->identity)) {
		return ur_age_begin();
	}
	const struct ur_age since = ur_record_quiet(row);
	return ur_age_is_begun(&since) ? ur_age_keep(&since) : ur_age_begin();
}

static int fill_file(struct ur_scan *scan, struct ur_item *item, struct ur_file *file,
	const struct ur_entry *entry)
{
	const struct ur_dir *dir = item->dir;
	*file = (struct ur_file){
		.name = ur_arena_copy(
			&item->arena, ur_listing_name(&scan->listing, entry), entry->name_size),
		.identity = {dir->fs.id, entry->inode, entry->size, entry->mtime_ns,
			entry->ctime_ns},
		.through_link = dir->through_link || entry->linked,
		.error = entry->error,
		.young = (entry->flags & FLAG_YOUNG) != 0,
		.later = (entry->flags & FLAG_LATER) != 0,
		.unchanged = (entry->flags & FLAG_SAME) != 0,
		.sidecar = UR_NONE,
		.movie = UR_NONE,
		.still = UR_NONE,
		.item = item,
		.send_retry_ms = -1,
	};
	if (file->name == NULL) {
		return -ENOMEM;
	}
	file->class = ur_types_class(scan->run->types, file->name);
	const int r = (entry->flags & FLAG_ROW) != 0
			      ? ur_scan_load_row(scan, &item->arena, atomic_load(&dir->ledger_id),
					file->name, &file->row)
			      : 0;
	file->quiet = quiet_of(file);
	return r;
}

static int emit_item(
	struct ur_scan *scan, struct ur_dir *dir, const uint32_t *order, size_t count, bool split)
{
	struct ur_item *item = take_item(scan);
	if (item == NULL) {
		return -ECANCELED;
	}
	ur_arena_reset(&item->arena);
	struct ur_arena arena = item->arena;
	*item = (struct ur_item){
		.arena = arena, .dir = ur_dir_ref(dir), .count = (int)count, .split = split};
	item->files = ur_arena_alloc(&item->arena, count * sizeof *item->files);
	int r = item->files == NULL ? -ENOMEM : 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		r = fill_file(scan, item, &item->files[i], &scan->listing.entries[order[i]]);
	}
	if (r < 0) {
		struct ur_err err = {0};
		ur_run_fail(scan->run, r, (ur_err_set(&err, r, UR_FAULT_WORLD, "scanning"), &err));
		item->count = 0; // travels on empty, so that its owner gets it back
	}
	give_item(scan, item);
	return r;
}
static int by_stem(const void *a, const void *b, void *context)
{
	const struct ur_listing *listing = context;
	const struct ur_entry *x = &listing->entries[*(const uint32_t *)a];
	const struct ur_entry *y = &listing->entries[*(const uint32_t *)b];
	const int order =
		ur_pair_stem_compare(ur_listing_name(listing, x), ur_listing_name(listing, y));
	return order != 0 ? order : ur_scan_by_name(a, b, context);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static enum ur_outcome outcome_of_kept(enum ur_state state)
{
	return state == UR_REFUSED  ? UR_OUTCOME_REFUSED
	       : state == UR_FAILED ? UR_OUTCOME_FAILED
				    : UR_OUTCOME_PRESENT;
}

/** Files with nothing to do are counted here; their row is looked up only when it is told. */
static int report_kept(struct ur_scan *scan, struct ur_dir *dir, const struct ur_entry *entry)
{
	struct ur_run *run = scan->run;
	const char *name = ur_listing_name(&scan->listing, entry);
	if ((entry->flags & FLAG_TOLD) == 0 && !run->options->tell_known) {
		ur_run_count_kept(run, 1, (uint64_t)entry->size);
		return 0;
	}
	struct ur_arena arena;
	struct ur_record *row = NULL;
	ur_arena_init(&arena);
	const int r = ur_scan_load_row(scan, &arena, atomic_load(&dir->ledger_id), name, &row);
	if (r == 0 && row != NULL) {
		const enum ur_outcome outcome = outcome_of_kept(row->state);
		const bool present = outcome == UR_OUTCOME_PRESENT;
		const bool known = outcome != UR_OUTCOME_FAILED || ur_run_see_trouble(run, row);
		/* An earlier run of the timer named it: from then on it is counted. */
		ur_run_report(run, dir, name, entry->size, present ? UR_KNOWN : row->state, outcome,
			present ? "delivered before, unchanged since" : row->reason, row->asset,
			false, !present && known && row->told && run->options->respect_next);
	}
	ur_arena_done(&arena);
	return r;
}

static int emit_group(struct ur_scan *scan, struct ur_dir *dir, const uint32_t *order, size_t count)
{
	bool all_kept = true;
	for (size_t i = 0; i < count; i++) {
		all_kept = all_kept && (scan->listing.entries[order[i]].flags & FLAG_KEPT) != 0;
	}
	int r = 0;
	for (size_t i = 0; all_kept && i < count && r == 0; i++) {
		r = report_kept(scan, dir, &scan->listing.entries[order[i]]);
	}
	for (size_t i = 0; !all_kept && i < count && r == 0; i += UR_ITEM_FILES) {
		const size_t n = count - i < UR_ITEM_FILES ? count - i : UR_ITEM_FILES;
		r = emit_item(scan, dir, order + i, n, count > UR_ITEM_FILES);
	}
	return r;
}

/** A group of scan->order, and where it lies on the disk. */
struct span {
	uint64_t inode;
	uint32_t from;
	uint32_t count;
};

static int by_inode(const void *a, const void *b)
{
	const uint64_t x = ((const struct span *)a)->inode;
	const uint64_t y = ((const struct span *)b)->inode;
	return x < y ? -1 : x > y;
}

/** The groups of scan->order, which is sorted by stem; returns how many there are. */
static size_t find_spans(const struct ur_scan *scan, size_t count, struct span *ret)
{
	const struct ur_listing *listing = &scan->listing;
	size_t spans = 0;
	const char *stem = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct ur_entry *entry = &listing->entries[scan->order[i]];
		const char *name = ur_listing_name(listing, entry);
		if (stem == NULL || ur_pair_stem_compare(stem, name) != 0) {
			stem = name;
			ret[spans++] = (struct span){entry->inode, (uint32_t)i, 0};
		}
		ret[spans - 1].count++;
	}
	return spans;
}

int ur_scan_emit_groups(struct ur_scan *scan, struct ur_dir *dir, size_t count)
{
	ur_scan_know_tick(scan, dir, count);
	struct span *spans = malloc(count * sizeof *spans);
	if (spans == NULL) {
		return -ENOMEM;
	}
	qsort_r(scan->order, count, sizeof *scan->order, by_stem, &scan->listing);
	const size_t span_count = find_spans(scan, count, spans);
	if (ur_lister_is_cold(scan->lister)) {
		qsort(spans, span_count, sizeof *spans, by_inode);
	}
	int r = 0;
	for (size_t i = 0; i < span_count && r == 0 && !ur_run_is_stopping(scan->run); i++) {
		r = emit_group(scan, dir, scan->order + spans[i].from, spans[i].count);
	}
	wake_probes(scan);
	free(spans);
	return r;
}
