/*
 * scan_merge - what the ledger knows of the files of one folder.
 *
 *     seal of the folder ─▶ holds all of them: done, nothing is sorted or looked up
 *                        ─▶ holds nearly all: a question for each of the others
 *                        ─▶ else: one range read of the rows, merged by name with two fingers
 */
#include "engine/stage/scan_parts.h"

#include "engine/base/clock.h"
#include "engine/ledger/marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FEW 8        // up to one in so many is asked for by itself
#define HELD_MAX 256 // directories that are looked at with one state of the ledger

struct merging {
	struct ur_scan *scan;
	struct ur_dir *dir;
	size_t count; // of scan->order
	size_t at;
	size_t done; // by the seal
	size_t told;
	uint64_t done_bytes;
};

/* ---- one row --------------------------------------------------------------------------------- */

struct row_copy {
	struct ur_arena *arena;
	struct ur_record *ret;
};

static int copy_row(void *context, const struct ur_record *record)
{
	struct row_copy *copy = context;
	copy->ret = ur_arena_alloc(copy->arena, sizeof *copy->ret);
	if (copy->ret == NULL) {
		return -ENOMEM;
	}
	*copy->ret = *record;
	copy->ret->name = ur_arena_string(copy->arena, record->name);
	copy->ret->reason = ur_arena_string(copy->arena, record->reason);
	return copy->ret->name == NULL || copy->ret->reason == NULL ? -ENOMEM : 0;
}

int ur_scan_load_row(struct ur_scan *scan, struct ur_arena *arena, int64_t folder, const char *name,
	struct ur_record **ret)
{
	struct row_copy copy = {.arena = arena};
	struct ur_err err = {0};
	bool found = false;
	const int r = ur_ledger_get(
		scan->ledger, scan->run->destination, folder, name, copy_row, &copy, &found, &err);
	if (r < 0) {
		ur_run_fail(scan->run, r, &err);
	}
	*ret = copy.ret;
	return r;
}

int ur_scan_by_name(const void *a, const void *b, void *context)
{
	const struct ur_listing *listing = context;
	const struct ur_entry *x = &listing->entries[*(const uint32_t *)a];
	const struct ur_entry *y = &listing->entries[*(const uint32_t *)b];
	return strcmp(ur_listing_name(listing, x), ur_listing_name(listing, y));
}

/* ---- what a row says -------------------------------------------------------------------------- */

/**
 * Whether a row with this state and an unchanged file leaves nothing to do in this run.  A seal holds
 * what this says with --after keep: see SEAL_ROWS in the ledger.
 */
static bool nothing_to_do(const struct ur_run *run, const struct ur_record *row, bool later)
{
	switch (row->state) {
	case UR_KNOWN:
	case UR_DUPLICATE:
	case UR_DELIVERED:
	case UR_CONFIRMED:
		return run->options->after == UR_AFTER_KEEP && !row->owes_link;
	case UR_REFUSED:
		return true;
	case UR_FAILED:
		return row->for_good && (later || !run->options->respect_next);
	case UR_SEEN:
	case UR_STABLE:
	case UR_PROBED:
	case UR_TRASHED:
	case UR_WITHDRAWN:
	case UR_WANTED:
	case UR_SENDING:
	case UR_SETTLED:
	case UR_SUSPECT:
	case UR_BROKEN:
	case UR_STATES:
		return false;
	}
	return false;
}

/**
 * A timer leaves alone what failed until its next try is due.  Longer than the longest wait: the clock
 * was stepped back since.
 */
static bool is_later(const struct ur_run *run, const struct ur_record *row)
{
	const int64_t most_s = row->for_good ? UR_AGAIN_FIRST_S << UR_AGAIN_DOUBLINGS
					     : UR_RETRY_FIRST_S << UR_RETRY_DOUBLINGS;
	const int64_t wait_ns = row->next_ns - ur_clock_wall_ns();
	return run->options->respect_next && wait_ns > 0 && wait_ns <= most_s * UR_SECOND_NS;
}

/** Quiet since we first saw these times and this size, on a clock that nobody steps. */
static bool is_young(const struct ur_run *run, const struct ur_record *row, bool same)
{
	if (run->options->min_age_ms == 0) {
		return false;
	}
	if (row == NULL || !same) {
		return true;
	}
	const struct ur_age quiet = ur_record_quiet(row);
	return ur_age_ns(&quiet) < run->options->min_age_ms * UR_MS_NS;
}

static void judge_entry(
	const struct merging *m, struct ur_entry *entry, const struct ur_record *row)
{
	const struct ur_run *run = m->scan->run;
	const struct ur_identity now = {
		m->dir->fs.id, entry->inode, entry->size, entry->mtime_ns, entry->ctime_ns};
	const bool same = ur_fs_may_be_same(&m->dir->fs, &now, &row->identity);
	/* A file that stands where one was removed is another file, whatever its times say. */
	const bool believed = same && row->remembered && row->hashed && row->state != UR_SETTLED;
	const bool later = same && is_later(run, row);
	entry->flags |= FLAG_ROW | (later ? FLAG_LATER : 0);
	if (believed || (same && row->state == UR_REFUSED && row->remembered)) {
		entry->flags |= FLAG_SAME;
		/* A timer names it once, and that is to be written down. */
		const bool unnamed =
			run->options->respect_next &&
			((row->state == UR_REFUSED && !row->told) ||
				(row->state == UR_FAILED &&
					!(row->told && ur_trouble_was_known(&run->troubles, row))));
		if (m->dir->fs.trusted && nothing_to_do(run, row, later) && !unnamed) {
			const bool told = row->state == UR_REFUSED || row->state == UR_FAILED;
			entry->flags |= told ? FLAG_KEPT | FLAG_TOLD : FLAG_KEPT;
		}
	}
	/* How long it has been as it is counts only for what is certainly this file. */
	const bool certain = same && ur_identity_same(&now, &row->identity);
	if ((entry->flags & FLAG_KEPT) == 0 && is_young(run, row, certain)) {
		entry->flags |= FLAG_YOUNG;
	}
}

/* ---- from rows ------------------------------------------------------------------------------- */

/** Rows come ordered by name, as scan->order is: two fingers. */
static int merge_row(void *context, const struct ur_record *row)
{
	struct merging *m = context;
	struct ur_scan *scan = m->scan;
	while (m->at < m->count) {
		struct ur_entry *entry = &scan->listing.entries[scan->order[m->at]];
		const int order = strcmp(ur_listing_name(&scan->listing, entry), row->name);
		if (order > 0) {
			return 0; // a row without a file
		}
		m->at++;
		if (order == 0) {
			judge_entry(m, entry, row);
			return 0;
		}
	}
	return 0;
}

static int merge_all(struct merging *m, int64_t folder, struct ur_err *err)
{
	struct ur_scan *scan = m->scan;
	for (size_t i = 0; i < m->count; i++) {
		scan->listing.entries[scan->order[i]].flags = 0; // the rows say it all
	}
	qsort_r(scan->order, m->count, sizeof *scan->order, ur_scan_by_name, &scan->listing);
	return ur_ledger_in_folder(scan->ledger, scan->run->destination, folder, merge_row, m, err);
}

static int merge_one(void *context, const struct ur_record *row)
{
	const struct merging *m = context;
	judge_entry(m, &m->scan->listing.entries[m->scan->order[m->at]], row);
	return 0;
}

static int merge_few(struct merging *m, int64_t folder, struct ur_err *err)
{
	const struct ur_scan *scan = m->scan;
	int r = 0;
	for (m->at = 0; m->at < m->count && r == 0; m->at++) {
		const struct ur_entry *entry = &scan->listing.entries[scan->order[m->at]];
		bool found = false;
		if ((entry->flags & FLAG_KEPT) == 0) {
			r = ur_ledger_get(scan->ledger, scan->run->destination, folder,
				ur_listing_name(&scan->listing, entry), merge_one, m, &found, err);
		}
	}
	return r;
}

/* ---- from the seal --------------------------------------------------------------------------- */

/** What the seal says of each file; the sums are of those that are known and need no line. */
static void judge_by_seal(struct merging *m, const void *marks, size_t mark_count)
{
	struct ur_scan *scan = m->scan;
	for (size_t i = 0; i < m->count && mark_count > 0; i++) {
		struct ur_entry *entry = &scan->listing.entries[scan->order[i]];
		const struct ur_identity now = {
			m->dir->fs.id, entry->inode, entry->size, entry->mtime_ns, entry->ctime_ns};
		const struct ur_mark mark = ur_mark_of(
			&now, ur_listing_name(&scan->listing, entry), entry->name_size, false);
		const enum ur_sealed sealed =
			entry->error != 0 ? UR_SEALED_NOT : ur_marks_find(marks, mark_count, &mark);
		if (sealed == UR_SEALED_DONE) {
			entry->flags |= FLAG_ROW | FLAG_SAME | FLAG_KEPT;
			m->done++;
			m->done_bytes += (uint64_t)entry->size;
		} else if (sealed == UR_SEALED_TOLD && !scan->run->options->respect_next) {
			entry->flags |= FLAG_ROW | FLAG_SAME | FLAG_KEPT | FLAG_TOLD;
			m->told++;
		}
	}
}

static int merge_folder(struct merging *m, int64_t folder, struct ur_err *err)
{
	struct ur_scan *scan = m->scan;
	const struct ur_options *options = scan->run->options;
	const void *marks = NULL;
	size_t mark_count = 0;
	if (m->dir->fs.trusted && options->after == UR_AFTER_KEEP) {
		const int r = ur_ledger_sealed(
			scan->ledger, scan->run->destination, folder, &marks, &mark_count, err);
		if (r < 0) {
			return r;
		}
		judge_by_seal(m, marks, mark_count);
	}
	const size_t open = m->count - m->done - m->told;
	if (open == 0) {
		return 0;
	}
	return open <= m->count / FEW ? merge_few(m, folder, err) : merge_all(m, folder, err);
}

static int find_folder(struct ur_scan *scan, struct ur_dir *dir, int64_t *ret, struct ur_err *err)
{
	struct ur_text path = {0};
	ur_dir_path(dir, NULL, &path);
	int r = ur_text_ok(&path) ? 0 : ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "scanning");
	r = r < 0 ? r : ur_ledger_folder(scan->ledger, path.bytes, path.size, false, ret, err);
	ur_text_done(&path);
	if (r == 0 && *ret != 0) {
		atomic_store(&dir->ledger_id, *ret);
	}
	return r;
}

int ur_scan_merge(struct ur_scan *scan, struct ur_dir *dir, size_t count, bool *ret_done)
{
	struct ur_err err = {0};
	struct merging m = {.scan = scan, .dir = dir, .count = count};
	int64_t folder = 0;
	if (++scan->held > HELD_MAX) {
		ur_ledger_let_go(scan->ledger);
		scan->held = 0;
	}
	int r = ur_ledger_hold(scan->ledger, &err);
	r = r < 0 ? r : find_folder(scan, dir, &folder, &err);
	r = r < 0 || folder == 0 ? r : merge_folder(&m, folder, &err);
	if (r < 0) {
		ur_run_fail(scan->run, r, &err);
		return r;
	}
	*ret_done = m.done == count && !scan->run->options->tell_known;
	if (*ret_done) {
		ur_run_count_kept(scan->run, m.done, m.done_bytes);
		return 0;
	}
	if (m.done + m.told < count) {
		ur_ledger_let_go(scan->ledger); // what comes now takes its time
	}
	for (size_t i = 0; i < count; i++) {
		struct ur_entry *entry = &scan->listing.entries[scan->order[i]];
		if ((entry->flags & FLAG_ROW) == 0 && is_young(scan->run, NULL, false)) {
			entry->flags |= FLAG_YOUNG;
		}
	}
	return 0;
}
