/*
 * scan - depth first over directories, breadth over the files of one.
 *
 * The stack holds directories still to be listed; each carries the ignore files that apply to it.
 * Within a directory three orders are used in turn: the inodes' for stat (cheap when cold), the
 * names' for merging with the ledger's rows, and the stems' for forming groups.
 */
#include "engine/stage/scan.h"

#include "engine/base/clock.h"
#include "engine/media/pair.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORE_FILE ".uringestignore"
#define IGNORE_FILE_MAX (1u << 20)
#define LOOSE_BATCH 4096 // files named one by one that are looked at together
#define PATH_LINE_MAX (64u << 10)

enum {                   // ur_entry.flags
	FLAG_ROW = 1,    // the ledger has a row of this name
	FLAG_SAME = 2,   // … about this very file, and it can be believed
	FLAG_KEPT = 4,   // … and there is nothing left to do
	FLAG_YOUNG = 8,  // not quiet for long enough
	FLAG_SKIP = 16,  // excluded, or no regular file
	FLAG_LATER = 32, // failed before, its next try is not due
};

/** The rules of one folder's ignore file, and those above it. */
struct rules {
	struct rules *above;
	struct ur_ignore *list;
	unsigned depth; // of the folder that the rules belong to
	unsigned refs;
};

struct pending {
	struct ur_dir *dir;
	struct rules *rules;
};

struct place {
	uint64_t device;
	uint64_t inode;
};

struct excluded {
	uint64_t device;
	uint64_t inode;
	const char *why;
};

struct ur_scan {
	struct ur_run *run;
	struct ur_scan_wiring wiring;
	struct ur_ledger *ledger;
	struct ur_ignore *asked; // --exclude: goes before everything
	struct ur_ignore *junk;  // goes after everything
	struct ur_root **roots;
	struct place *root_places;
	size_t root_count;
	struct ur_root *loose;
	char **loose_paths; // sources that are files
	size_t loose_count;
	FILE *list;
	struct pending *stack;
	size_t stack_count;
	size_t stack_room;
	struct excluded excluded[2];
	size_t excluded_count;
	struct ur_listing listing;
	uint32_t *order;
	size_t order_room;
	size_t next_out;
	pthread_t thread;
	bool started;
	/* While one directory is being merged. */
	struct ur_dir *merging;
	size_t merge_at;
	size_t merge_count;
};

/* ---- ignore rules ---------------------------------------------------------------------------- */

static struct rules *rules_ref(struct rules *rules)
{
	if (rules != NULL) {
		rules->refs++;
	}
	return rules;
}

static void rules_unref(struct rules *rules)
{
	while (rules != NULL && --rules->refs == 0) {
		struct rules *above = rules->above;
		(void)ur_ignore_free(rules->list);
		free(rules);
		rules = above;
	}
}

static int read_whole(int dir, const char *name, char **ret, size_t *ret_size)
{
	const int fd = ur_sys.openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;
	int r = fd < 0 ? fd : ur_sys.fstat(fd, &st);
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size > IGNORE_FILE_MAX)) {
		r = -EFBIG;
	}
	char *text = r < 0 ? NULL : malloc((size_t)st.st_size + 1);
	if (text != NULL) {
		const ssize_t size = ur_sys_pread_all(fd, text, (size_t)st.st_size, 0);
		r = size < 0 ? (int)size : 0;
		*ret_size = size < 0 ? 0 : (size_t)size;
	} else if (r == 0) {
		r = -ENOMEM;
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	return 0;
}

/** The rules for what lies in `dir`: those above and its own ignore file, if it has one. */
static int rules_of(
	struct ur_scan *scan, struct ur_dir *dir, int fd, struct rules *above, struct rules **ret)
{
	char *text = NULL;
	size_t size = 0;
	int r = read_whole(fd, IGNORE_FILE, &text, &size);
	if (r == -ENOENT) {
		*ret = rules_ref(above);
		return 0;
	}
	struct rules *rules = r < 0 ? NULL : calloc(1, sizeof *rules);
	if (rules != NULL) {
		rules->refs = 1;
		rules->depth = dir->depth;
		r = ur_ignore_new(false, &rules->list);
		r = r < 0 ? r : ur_ignore_add_text(rules->list, text, size);
	} else if (r == 0) {
		r = -ENOMEM;
	}
	free(text);
	if (r < 0) {
		rules_unref(rules);
		ur_run_folder_error(scan->run, dir, IGNORE_FILE, r,
			"the ignore file cannot be read, so its folder is left alone");
		return r;
	}
	rules->above = rules_ref(above);
	*ret = rules;
	return 0;
}

/** `path` from the component at `depth` on. */
static const char *below_depth(const char *path, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++) {
		const char *slash = strchr(path, '/');
		assert(slash != NULL);
		path = slash + 1;
	}
	return path;
}

static bool is_excluded(
	struct ur_scan *scan, const struct rules *rules, const char *path, bool is_folder)
{
	enum ur_ignore_verdict verdict = ur_ignore_match(scan->asked, path, is_folder);
	for (const struct rules *r = rules; r != NULL && verdict == UR_IGNORE_SILENT;
		r = r->above) {
		verdict = ur_ignore_match(r->list, below_depth(path, r->depth), is_folder);
	}
	if (verdict == UR_IGNORE_SILENT && scan->junk != NULL) {
		verdict = ur_ignore_match(scan->junk, path, is_folder);
	}
	return verdict == UR_IGNORE_LEAVE;
}

/* ---- items ----------------------------------------------------------------------------------- */

static bool stopped(const struct ur_scan *scan)
{
	return atomic_load_explicit(&scan->run->stop, memory_order_relaxed);
}

static struct ur_item *take_item(struct ur_scan *scan)
{
	void *item = NULL;
	while (ur_queue_pop(scan->wiring.free_items, &item) < 0) {
		ur_bell_arm(scan->wiring.bell);
		if (ur_queue_pop(scan->wiring.free_items, &item) == 0) {
			break;
		}
		if (stopped(scan)) {
			return NULL;
		}
		ur_bell_wait(scan->wiring.bell, 1000);
	}
	return item;
}

static void give_item(struct ur_scan *scan, struct ur_item *item)
{
	const size_t k = scan->next_out++ % scan->wiring.out_count;
	while (ur_queue_push(scan->wiring.out[k], item) < 0) {
		ur_bell_arm(scan->wiring.bell);
		if (ur_queue_push(scan->wiring.out[k], item) == 0) {
			break;
		}
		ur_bell_wait(scan->wiring.bell, 100);
	}
	ur_bell_ring(scan->wiring.out_bells[k]);
}

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

static int load_row(struct ur_scan *scan, struct ur_arena *arena, int64_t folder, const char *name,
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
	return (entry->flags & FLAG_ROW) != 0
		       ? load_row(scan, &item->arena, atomic_load(&dir->ledger_id), file->name,
				 &file->row)
		       : 0;
}

static int emit_item(struct ur_scan *scan, struct ur_dir *dir, const uint32_t *order, size_t count)
{
	struct ur_item *item = take_item(scan);
	if (item == NULL) {
		return -ECANCELED;
	}
	ur_arena_reset(&item->arena);
	struct ur_arena arena = item->arena;
	*item = (struct ur_item){.arena = arena, .dir = ur_dir_ref(dir), .count = (int)count};
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

/* ---- merging with the ledger ----------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *context)
{
	const struct ur_listing *listing = context;
	const struct ur_entry *x = &listing->entries[*(const uint32_t *)a];
	const struct ur_entry *y = &listing->entries[*(const uint32_t *)b];
	return strcmp(ur_listing_name(listing, x), ur_listing_name(listing, y));
}

static int by_stem(const void *a, const void *b, void *context)
{
	const struct ur_listing *listing = context;
	const struct ur_entry *x = &listing->entries[*(const uint32_t *)a];
	const struct ur_entry *y = &listing->entries[*(const uint32_t *)b];
	const int order =
		ur_pair_stem_compare(ur_listing_name(listing, x), ur_listing_name(listing, y));
	return order != 0 ? order : by_name(a, b, context);
}

/** Whether a row with this state and an unchanged file leaves nothing to do in this run. */
static bool nothing_to_do(const struct ur_run *run, const struct ur_record *row)
{
	switch (row->state) {
	case UR_KNOWN:
	case UR_DUPLICATE:
	case UR_DELIVERED:
	case UR_CONFIRMED:
		return run->options->after == UR_AFTER_KEEP;
	case UR_REFUSED:
		return true;
	case UR_FAILED:
		return row->for_good;
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

/** Quiet since we first saw these times and this size, on a clock that nobody steps. */
static bool is_young(const struct ur_run *run, const struct ur_record *row, bool same)
{
	if (run->options->min_age_ms == 0) {
		return false;
	}
	if (row == NULL || !same || strcmp(row->boot, ur_clock_boot_id()) != 0) {
		return true;
	}
	return ur_clock_boot_ns() - row->quiet_ns < run->options->min_age_ms * UR_MS_NS;
}

static void judge_entry(
	const struct ur_scan *scan, struct ur_entry *entry, const struct ur_record *row)
{
	const struct ur_run *run = scan->run;
	const struct ur_identity now = {
		scan->merging->fs.id, entry->inode, entry->size, entry->mtime_ns, entry->ctime_ns};
	const bool same = ur_identity_same(&now, &row->identity);
	/* A file that stands where one was removed is another file, whatever its times say. */
	const bool believed = same && row->remembered && row->hashed && row->state != UR_SETTLED;
	entry->flags |= FLAG_ROW;
	if (believed || (same && row->state == UR_REFUSED && row->remembered)) {
		entry->flags |= FLAG_SAME;
		if (scan->merging->fs.trusted && nothing_to_do(run, row)) {
			entry->flags |= FLAG_KEPT;
		}
	}
	if ((entry->flags & FLAG_KEPT) == 0 && is_young(run, row, same)) {
		entry->flags |= FLAG_YOUNG;
	}
	/* Longer than the longest wait: the clock was stepped back since. */
	const int64_t wait_ns = row->next_ns - ur_clock_wall_ns();
	if (run->options->respect_next && same && wait_ns > 0 &&
		wait_ns <= (UR_RETRY_FIRST_S << UR_RETRY_DOUBLINGS) * UR_SECOND_NS) {
		entry->flags |= FLAG_LATER;
	}
}

/** Rows come ordered by name, as scan->order is: two fingers. */
static int merge_row(void *context, const struct ur_record *row)
{
	struct ur_scan *scan = context;
	while (scan->merge_at < scan->merge_count) {
		struct ur_entry *entry = &scan->listing.entries[scan->order[scan->merge_at]];
		const int order = strcmp(ur_listing_name(&scan->listing, entry), row->name);
		if (order > 0) {
			return 0; // a row without a file
		}
		scan->merge_at++;
		if (order == 0) {
			judge_entry(scan, entry, row);
			return 0;
		}
	}
	return 0;
}

static int merge(struct ur_scan *scan, struct ur_dir *dir, size_t count)
{
	struct ur_err err = {0};
	struct ur_text path = {0};
	int64_t folder = 0;
	ur_dir_path(dir, NULL, &path);
	int r = ur_text_ok(&path) ? 0 : -ENOMEM;
	r = r < 0 ? r : ur_ledger_folder(scan->ledger, path.bytes, path.size, false, &folder, &err);
	ur_text_done(&path);
	if (r == 0 && folder != 0) {
		atomic_store(&dir->ledger_id, folder);
		scan->merging = dir;
		scan->merge_at = 0;
		scan->merge_count = count;
		r = ur_ledger_in_folder(
			scan->ledger, scan->run->destination, folder, merge_row, scan, &err);
	}
	if (r < 0) {
		ur_run_fail(scan->run, r, &err);
		return r;
	}
	for (size_t i = 0; i < count; i++) {
		struct ur_entry *entry = &scan->listing.entries[scan->order[i]];
		if ((entry->flags & FLAG_ROW) == 0 && is_young(scan->run, NULL, false)) {
			entry->flags |= FLAG_YOUNG;
		}
	}
	return 0;
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
	struct ur_arena arena;
	struct ur_record *row = NULL;
	ur_arena_init(&arena);
	const int r = load_row(scan, &arena, atomic_load(&dir->ledger_id), name, &row);
	if (r == 0 && row != NULL) {
		const enum ur_outcome outcome = outcome_of_kept(row->state);
		const bool present = outcome == UR_OUTCOME_PRESENT;
		ur_run_report(run, dir, name, entry->size, present ? UR_KNOWN : row->state, outcome,
			present ? "delivered before, unchanged since" : row->reason, row->asset,
			false);
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
		r = emit_item(scan, dir, order + i, n);
	}
	return r;
}

static int emit_groups(struct ur_scan *scan, struct ur_dir *dir, size_t count)
{
	const struct ur_listing *listing = &scan->listing;
	qsort_r(scan->order, count, sizeof *scan->order, by_stem, (void *)listing);
	int r = 0;
	for (size_t from = 0; from < count && r == 0 && !stopped(scan);) {
		const char *first = ur_listing_name(listing, &listing->entries[scan->order[from]]);
		size_t to = from + 1;
		while (to < count && ur_pair_stem_compare(first,
					     ur_listing_name(listing,
						     &listing->entries[scan->order[to]])) == 0) {
			to++;
		}
		r = emit_group(scan, dir, scan->order + from, to - from);
		from = to;
	}
	return r;
}

/* ---- one directory --------------------------------------------------------------------------- */

static int push(struct ur_scan *scan, struct ur_dir *dir, struct rules *rules)
{
	if (scan->stack_count == scan->stack_room) {
		const size_t room = scan->stack_room == 0 ? 64 : scan->stack_room * 2;
		struct pending *stack = realloc(scan->stack, room * sizeof *stack);
		if (stack == NULL) {
			return -ENOMEM;
		}
		scan->stack = stack;
		scan->stack_room = room;
	}
	scan->stack[scan->stack_count++] = (struct pending){dir, rules_ref(rules)};
	return 0;
}

static int push_child(
	struct ur_scan *scan, struct ur_dir *dir, struct rules *rules, const struct ur_entry *entry)
{
	struct ur_dir *child = NULL;
	int r = ur_dir_new(dir->root, dir, ur_listing_name(&scan->listing, entry), &child);
	if (r < 0) {
		return r;
	}
	child->through_link = child->through_link || entry->linked;
	r = push(scan, child, rules);
	if (r < 0) {
		(void)ur_dir_unref(child);
	}
	return r;
}

/** With links followed, a directory may be its own descendant. */
static bool is_loop(const struct ur_dir *dir)
{
	for (const struct ur_dir *d = dir->parent; d != NULL; d = d->parent) {
		if (d->inode == dir->inode && d->fs.device == dir->fs.device) {
			return true;
		}
	}
	return false;
}

/** Tells what an entry is that is neither file nor folder; only media names are worth a line. */
static void report_odd(struct ur_scan *scan, struct ur_dir *dir, const struct ur_entry *entry)
{
	const char *name = ur_listing_name(&scan->listing, entry);
	const bool link = entry->type == UR_ENTRY_LINK;
	if (ur_types_class(scan->run->types, name) == UR_CLASS_NONE) {
		return;
	}
	struct ur_text path = {0};
	ur_dir_path(dir, name, &path);
	ur_run_warn(scan->run, "%s: %s", ur_text_get(&path),
		link ? "a symbolic link, not followed (--follow-symlinks does)"
		     : "no regular file, left alone");
	ur_text_done(&path);
}

/** Sorts out one entry: a file stays, a folder goes on the stack, the rest is passed over. */
static int sort_out(struct ur_scan *scan, struct ur_dir *dir, struct rules *rules,
	struct ur_text *path, size_t base, struct ur_entry *entry, bool *ret_file)
{
	const char *name = ur_listing_name(&scan->listing, entry);
	*ret_file = false;
	if (strcmp(name, UR_STAGING) == 0 || strcmp(name, IGNORE_FILE) == 0 ||
		(scan->run->options->skip_hidden && name[0] == '.')) {
		return 0;
	}
	path->size = base;
	ur_text_adds(path, name);
	if (!ur_text_ok(path)) {
		return -ENOMEM;
	}
	bool folder = entry->type == UR_ENTRY_DIR;
	if (entry->type == UR_ENTRY_LINK && scan->run->options->follow && entry->error != 0) {
		report_odd(scan, dir, entry); // a broken link
		return 0;
	}
	if (is_excluded(scan, rules, ur_text_get(path), folder)) {
		return 0;
	}
	if (entry->error == -ENOENT) {
		return 0; // vanished between listing and stat
	}
	if (folder) {
		return push_child(scan, dir, rules, entry);
	}
	if (entry->type == UR_ENTRY_FILE) {
		*ret_file = true;
		return 0;
	}
	report_odd(scan, dir, entry);
	return 0;
}

/** Fills scan->order with the files of the listing; folders go on the stack. */
static int pick_files(struct ur_scan *scan, struct ur_dir *dir, struct rules *rules, size_t *ret)
{
	struct ur_listing *listing = &scan->listing;
	if (scan->order_room < listing->count) {
		uint32_t *order = realloc(scan->order, listing->count * sizeof *order);
		if (order == NULL) {
			return -ENOMEM;
		}
		scan->order = order;
		scan->order_room = listing->count;
	}
	struct ur_text path = {0};
	ur_dir_below(dir, NULL, &path);
	ur_text_adds(&path, path.size > 0 ? "/" : "");
	const size_t base = path.size;
	const size_t stack_before = scan->stack_count;
	size_t count = 0;
	int r = 0;
	for (uint32_t i = 0; i < listing->count && r == 0; i++) {
		bool file = false;
		r = sort_out(scan, dir, rules, &path, base, &listing->entries[i], &file);
		if (file) {
			scan->order[count++] = i;
		}
	}
	ur_text_done(&path);
	/* Folders were pushed in the order of the listing: any order will do, the last goes first. */
	assert(scan->stack_count >= stack_before);
	*ret = count;
	return r;
}

static bool has_marker(const struct ur_listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		if (strcmp(ur_listing_name(listing, &listing->entries[i]), UR_SERVER_MARKER) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_root(const struct ur_scan *scan, uint64_t device, uint64_t inode)
{
	for (size_t i = 0; i < scan->root_count; i++) {
		if (scan->root_places[i].inode == inode && scan->root_places[i].device == device) {
			return true;
		}
	}
	return false;
}

/** Looks at the open directory itself; false (and reported) when it is to be left alone. */
static bool enter(struct ur_scan *scan, struct ur_dir *dir, int fd)
{
	struct stat st;
	int r = ur_sys.fstat(fd, &st);
	if (r == 0) {
		dir->inode = st.st_ino;
		if (st.st_dev != dir->fs.device) {
			if (scan->run->options->one_file_system) {
				return false;
			}
			r = ur_fs_of(fd, &dir->fs);
		}
	}
	if (r < 0) {
		ur_run_folder_error(scan->run, dir, NULL, r, "cannot be examined");
		return false;
	}
	for (size_t i = 0; i < scan->excluded_count; i++) {
		const struct excluded *x = &scan->excluded[i];
		if (x->inode == dir->inode && x->device == dir->fs.device) {
			struct ur_text path = {0};
			ur_dir_path(dir, NULL, &path);
			ur_run_warn(
				scan->run, "%s: left alone, it is %s", ur_text_get(&path), x->why);
			ur_text_done(&path);
			return false;
		}
	}
	if (dir->parent != NULL && is_root(scan, dir->fs.device, dir->inode)) {
		return false; // a source of its own: its files count once
	}
	return !(scan->run->options->follow && is_loop(dir));
}

/** A folder that an interrupted run emptied and could not remove any more counts as ours. */
static int adopt_emptied(struct ur_scan *scan, struct ur_dir *dir)
{
	const struct ur_options *options = scan->run->options;
	if (dir->parent == NULL || options->plan || options->after == UR_AFTER_KEEP) {
		return 0;
	}
	struct ur_err err = {0};
	struct ur_text path = {0};
	bool ours = false;
	ur_dir_path(dir, NULL, &path);
	int r = ur_text_ok(&path) ? 0 : -ENOMEM;
	r = r < 0 ? r
		  : ur_ledger_emptied(scan->ledger, scan->run->destination, scan->run->id,
			    path.bytes, path.size, &ours, &err);
	ur_text_done(&path);
	if (r < 0) {
		ur_run_fail(scan->run, r, &err);
	} else if (ours) {
		atomic_fetch_add(&dir->removed, 1);
	}
	return r;
}

static int scan_listing(struct ur_scan *scan, struct ur_dir *dir, struct rules *rules)
{
	size_t count = 0;
	if (scan->listing.count == 0) {
		return adopt_emptied(scan, dir);
	}
	int r = pick_files(scan, dir, rules, &count);
	if (r == 0 && count > 0) {
		qsort_r(scan->order, count, sizeof *scan->order, by_name, &scan->listing);
		r = merge(scan, dir, count);
		r = r < 0 ? r : emit_groups(scan, dir, count);
	}
	return r;
}

/** Lists one directory; only what ends the whole run is an error here. */
static int scan_dir(struct ur_scan *scan, struct ur_dir *dir, struct rules *above)
{
	const int fd = ur_dir_open(dir);
	if (fd < 0) {
		ur_run_folder_error(scan->run, dir, NULL, fd, "cannot be opened");
		return 0;
	}
	struct rules *rules = NULL;
	if (!enter(scan, dir, fd) || rules_of(scan, dir, fd, above, &rules) < 0) {
		(void)ur_sys.close(fd);
		return 0;
	}
	int r = ur_listing_read(&scan->listing, fd, dir->root->follow);
	if (r < 0) {
		ur_run_folder_error(scan->run, dir, NULL, r, "cannot be listed");
		(void)ur_sys.close(fd);
		r = r == -ENOMEM ? r : 0;
	} else if (has_marker(&scan->listing)) {
		ur_run_folder_error(scan->run, dir, NULL, 0,
			"refused: it holds '" UR_SERVER_MARKER
			"', so it is Immich's own library; importing it into itself could lose it");
		(void)ur_sys.close(fd);
	} else {
		ur_dir_keep(dir, fd);
		r = scan_listing(scan, dir, rules);
	}
	rules_unref(rules);
	return r;
}

static int walk(struct ur_scan *scan, struct ur_root *root)
{
	struct ur_dir *top = NULL;
	int r = ur_dir_new(root, NULL, "", &top);
	r = r < 0 ? r : push(scan, top, NULL);
	while (scan->stack_count > 0) {
		const struct pending next = scan->stack[--scan->stack_count];
		if (r == 0 && !stopped(scan)) {
			r = scan_dir(scan, next.dir, next.rules);
		}
		rules_unref(next.rules);
		ur_run_leave(scan->run, next.dir);
	}
	return r;
}

/* ---- files named one by one ------------------------------------------------------------------ */

/** The dir of the absolute, link-free `path`, below the loose root. */
static int loose_dir(struct ur_scan *scan, char *path, struct ur_dir **ret)
{
	struct ur_dir *dir = NULL;
	int r = ur_dir_new(scan->loose, NULL, "", &dir);
	char *rest = path;
	char *name = NULL;
	while (r == 0 && (name = strsep(&rest, "/")) != NULL) {
		struct ur_dir *child = NULL;
		if (name[0] == '\0') {
			continue;
		}
		r = ur_dir_new(scan->loose, dir, name, &child);
		if (r == 0) {
			(void)ur_dir_unref(dir); // the child holds it now
			dir = child;
		}
	}
	if (r < 0) {
		(void)ur_dir_unref(dir);
		return r;
	}
	*ret = dir;
	return 0;
}

static void loose_error(struct ur_scan *scan, const char *path, int code)
{
	char words[128];
	atomic_fetch_add(&scan->run->folder_errors, 1);
	(void)pthread_mutex_lock(&scan->run->talk);
	if (scan->run->options->folder_error != NULL) {
		scan->run->options->folder_error(
			scan->run->options->context, path, strerror_r(-code, words, sizeof words));
	}
	(void)pthread_mutex_unlock(&scan->run->talk);
}

struct loose_batch {
	struct ur_dir *dir;
	int fd;
	char *parent; // of the batch, as it was named
};

static int flush_loose(struct ur_scan *scan, struct loose_batch *batch)
{
	int r = 0;
	if (batch->dir != NULL && scan->listing.count > 0) {
		r = has_marker(&scan->listing) ? 0 : scan_listing(scan, batch->dir, NULL);
	}
	if (batch->dir != NULL) {
		(void)ur_sys.close(batch->fd);
		(void)ur_dir_unref(batch->dir);
	}
	free(batch->parent);
	*batch = (struct loose_batch){.fd = -1};
	ur_listing_clear(&scan->listing);
	return r;
}

static int begin_loose(struct ur_scan *scan, struct loose_batch *batch, const char *parent)
{
	char *real = realpath(parent[0] == '\0' ? "/" : parent, NULL);
	int r = real == NULL ? -errno : loose_dir(scan, real, &batch->dir);
	free(real);
	if (r < 0 || batch->dir == NULL) {
		batch->dir = NULL;
		return r < 0 ? r : -EIO;
	}
	batch->fd = ur_dir_open(batch->dir);
	struct stat st;
	r = batch->fd < 0 ? batch->fd : ur_sys.fstat(batch->fd, &st);
	r = r < 0 ? r : ur_fs_of(batch->fd, &batch->dir->fs);
	batch->parent = strdup(parent);
	if (r < 0 || batch->parent == NULL) {
		if (batch->fd >= 0) {
			(void)ur_sys.close(batch->fd);
		}
		batch->dir = ur_dir_unref(batch->dir);
		free(batch->parent);
		batch->parent = NULL;
		return r < 0 ? r : -ENOMEM;
	}
	batch->dir->inode = st.st_ino;
	return 0;
}

static int add_loose(struct ur_scan *scan, struct loose_batch *batch, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	char *parent = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path));
	int r = parent == NULL ? -ENOMEM : 0;
	if (r == 0 && name[0] == '\0') {
		r = -EISDIR;
	}
	if (r == 0 && (batch->parent == NULL || strcmp(batch->parent, parent) != 0 ||
			      scan->listing.count >= LOOSE_BATCH)) {
		r = flush_loose(scan, batch);
		if (r < 0) {
			free(parent);
			return r;
		}
		r = begin_loose(scan, batch, parent);
	}
	free(parent);
	if (r == 0) {
		r = ur_listing_add(&scan->listing, batch->fd, name, scan->run->options->follow);
	}
	if (r == 0 && scan->listing.entries[scan->listing.count - 1].error != 0) {
		r = scan->listing.entries[--scan->listing.count].error;
	} else if (r == 0 && scan->listing.entries[scan->listing.count - 1].type == UR_ENTRY_DIR) {
		scan->listing.count--;
		r = -EISDIR;
	}
	if (r < 0 && r != -ENOMEM) {
		loose_error(scan, path, r);
		return 0;
	}
	return r;
}

static int scan_loose(struct ur_scan *scan)
{
	struct loose_batch batch = {.fd = -1};
	int r = 0;
	ur_listing_clear(&scan->listing);
	for (size_t i = 0; i < scan->loose_count && r == 0 && !stopped(scan); i++) {
		r = add_loose(scan, &batch, scan->loose_paths[i]);
	}
	char *line = NULL;
	size_t room = 0;
	ssize_t size = 0;
	const int end = scan->run->options->files_from_nul ? '\0' : '\n';
	while (r == 0 && scan->list != NULL && !stopped(scan) &&
		(size = getdelim(&line, &room, end, scan->list)) >= 0) {
		if (size > 0 && line[size - 1] == (char)end) {
			line[--size] = '\0';
		}
		if (size > 0 && (size_t)size < PATH_LINE_MAX) {
			r = add_loose(scan, &batch, line);
		} else if (size > 0) {
			loose_error(scan, "(a line of --files-from)", -ENAMETOOLONG);
		}
	}
	free(line);
	const int flushed = flush_loose(scan, &batch);
	for (; scan->stack_count > 0; scan->stack_count--) {
		(void)ur_dir_unref(scan->stack[scan->stack_count - 1].dir);
	}
	return r < 0 ? r : flushed;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void *run_scan(void *context)
{
	struct ur_scan *scan = context;
	int r = 0;
	for (size_t i = 0; i < scan->root_count && r == 0 && !stopped(scan); i++) {
		r = walk(scan, scan->roots[i]);
	}
	if (r == 0 && (scan->loose_count > 0 || scan->list != NULL)) {
		r = scan_loose(scan);
	}
	if (r < 0 && r != -ECANCELED) {
		struct ur_err err = {0};
		(void)ur_err_set(&err, r, UR_FAULT_WORLD, "scanning");
		ur_run_fail(scan->run, r, &err);
	}
	atomic_store(&scan->run->scanned, true);
	for (size_t k = 0; k < scan->wiring.out_count; k++) {
		ur_queue_close(scan->wiring.out[k]);
		ur_bell_ring(scan->wiring.out_bells[k]);
	}
	return NULL;
}

/** Immich's marker in the root, above it, or in a folder right below it. */
static int refuse_server_library(const struct ur_root *root, struct ur_err *err)
{
	struct ur_text path = {0};
	struct stat st;
	bool found = false;
	ur_text_add(&path, root->path, root->path_size);
	while (!found) {
		const size_t size = path.size;
		ur_text_adds(&path, "/" UR_SERVER_MARKER);
		if (!ur_text_ok(&path)) {
			ur_text_done(&path);
			return ur_err_set(
				err, -ENOMEM, UR_FAULT_WORLD, "cannot examine '%s'", root->path);
		}
		found = ur_sys.fstatat(AT_FDCWD, ur_text_get(&path), &st, AT_SYMLINK_NOFOLLOW) == 0;
		path.size = size;
		path.bytes[size] = '\0';
		char *slash = size == 0 ? NULL : strrchr(path.bytes, '/');
		if (found || slash == NULL) {
			break;
		}
		*slash = '\0';
		path.size = (size_t)(slash - path.bytes);
	}
	struct ur_listing listing = {0};
	const int fd = ur_sys.openat(root->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (!found && fd >= 0 && ur_listing_read(&listing, fd, false) == 0) {
		for (size_t i = 0; i < listing.count && !found; i++) {
			char marker[300];
			(void)snprintf(marker, sizeof marker, "%s/" UR_SERVER_MARKER,
				ur_listing_name(&listing, &listing.entries[i]));
			found = listing.entries[i].type == UR_ENTRY_DIR &&
				ur_sys.fstatat(fd, marker, &st, AT_SYMLINK_NOFOLLOW) == 0;
		}
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	ur_listing_done(&listing);
	ur_text_done(&path);
	return !found ? 0
		      : ur_err_say(err, -EPERM, UR_FAULT_SETUP,
				"'%s' holds or lies below Immich's marker file '" UR_SERVER_MARKER
				"': it is the server's own library, and importing it into itself could "
				"lose it; give the folder where new pictures arrive",
				root->path);
}

/** The folder of `path` (or itself) must be neither the root nor above it. */
static int exclude(struct ur_scan *scan, const char *path, bool is_folder, const char *why,
	bool also_above, struct ur_err *err)
{
	char *folder = strdup(path);
	char *slash = folder == NULL || is_folder ? NULL : strrchr(folder, '/');
	if (slash != NULL) {
		slash[slash == folder ? 1 : 0] = '\0';
	} else if (folder != NULL && !is_folder) {
		folder[0] = '.';
		folder[1] = '\0';
	}
	char *real = folder == NULL ? NULL : realpath(folder, NULL);
	free(folder);
	struct stat st;
	if (real == NULL || ur_sys.fstatat(AT_FDCWD, real, &st, 0) < 0) {
		free(real);
		return 0; // not there yet, so nothing of it can be scanned
	}
	scan->excluded[scan->excluded_count++] = (struct excluded){st.st_dev, st.st_ino, why};
	int r = 0;
	const size_t size = strlen(real);
	for (size_t i = 0; i < scan->root_count && r == 0; i++) {
		const char *root = scan->roots[i]->path;
		const bool above = strncmp(root, real, size) == 0 && root[size] == '/';
		if (strcmp(root, real) == 0 || (above && also_above)) {
			r = ur_err_say(err, -EPERM, UR_FAULT_SETUP,
				"'%s' cannot be a source: it is, or lies in, %s", root, why);
		}
	}
	free(real);
	return r;
}

static int open_source(struct ur_scan *scan, const char *path, struct ur_err *err)
{
	struct stat st;
	const int r = ur_sys.fstatat(AT_FDCWD, path, &st, 0);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot open the source '%s'", path);
	}
	if (!S_ISDIR(st.st_mode)) {
		scan->loose_paths[scan->loose_count] = strdup(path);
		return scan->loose_paths[scan->loose_count++] == NULL ? -ENOMEM : 0;
	}
	if (is_root(scan, st.st_dev, st.st_ino)) {
		return 0; // named twice
	}
	struct ur_root *root = NULL;
	int opened = ur_root_open(path, scan->run->options->follow, &root, err);
	if (opened < 0) {
		return opened;
	}
	scan->root_places[scan->root_count] = (struct place){st.st_dev, st.st_ino};
	scan->roots[scan->root_count++] = root;
	return refuse_server_library(root, err);
}

static int open_list(struct ur_scan *scan, struct ur_err *err)
{
	const char *path = scan->run->options->files_from;
	if (path == NULL) {
		return 0;
	}
	scan->list = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	return scan->list != NULL
		       ? 0
		       : ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot open the list '%s'", path);
}

static int make_rules(struct ur_scan *scan, struct ur_err *err)
{
	const struct ur_options *options = scan->run->options;
	int r = ur_ignore_new(false, &scan->asked);
	for (size_t i = 0; i < options->exclude_count && r == 0; i++) {
		r = ur_ignore_add(scan->asked, options->excludes[i], strlen(options->excludes[i]));
		if (r < 0) {
			return ur_err_set(err, r, UR_FAULT_SETUP, "--exclude '%s' is no pattern",
				options->excludes[i]);
		}
	}
	if (r == 0 && !options->no_junk) {
		r = ur_ignore_new(true, &scan->junk);
		r = r < 0 ? r : ur_ignore_add_junk(scan->junk);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot make the ignore rules") : 0;
}

static int open_all(struct ur_scan *scan, struct ur_err *err)
{
	const struct ur_options *options = scan->run->options;
	const size_t n = options->source_count + 1;
	scan->roots = calloc(n, sizeof *scan->roots);
	scan->root_places = calloc(n, sizeof *scan->root_places);
	scan->loose_paths = calloc(n, sizeof *scan->loose_paths);
	if (scan->roots == NULL || scan->root_places == NULL || scan->loose_paths == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot open the sources");
	}
	int r = ur_root_open("/", options->follow, &scan->loose, err);
	if (r == 0) {
		scan->loose->loose = true;
	}
	for (size_t i = 0; i < options->source_count && r == 0; i++) {
		r = open_source(scan, options->sources[i], err);
	}
	r = r < 0 ? r : open_list(scan, err);
	r = r < 0 ? r : make_rules(scan, err);
	r = r < 0 ? r : exclude(scan, options->ledger, false, "the ledger's folder", false, err);
	if (r == 0 && options->after == UR_AFTER_MOVE) {
		r = exclude(scan, options->move_to, true, "the folder that --after moves to", true,
			err);
	}
	return r < 0 ? r : ur_ledger_open(options->ledger, UR_LEDGER_READ, &scan->ledger, err);
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
	const int r = open_all(scan, err);
	if (r < 0) {
		(void)ur_scan_free(scan);
		return r;
	}
	*ret = scan;
	return 0;
}

int ur_scan_start(struct ur_scan *scan, struct ur_err *err)
{
	const int r = -pthread_create(&scan->thread, NULL, run_scan, scan);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot start the scanning thread");
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
	(void)ur_ledger_free(scan->ledger);
	(void)ur_ignore_free(scan->asked);
	(void)ur_ignore_free(scan->junk);
	ur_listing_done(&scan->listing);
	free(scan->roots);
	free(scan->root_places);
	free(scan->loose_paths);
	free(scan->stack);
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
