/*
 * scan_walk - depth first over directories, breadth over the files of one.
 *
 * It takes directories in the order of the stack, whoever listed them.
 */
#include "engine/stage/scan_parts.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** This run takes files away. */
static bool removes(const struct ur_scan *scan)
{
	return ur_run_removes(scan->run) && !scan->run->options->plan;
}

/* ---- one directory --------------------------------------------------------------------------- */

static int push(struct ur_scan *scan, struct ur_dir *dir, struct ur_scan_rules *rules)
{
	const int r = ur_lister_push(scan->lister, dir, ur_scan_rules_ref(rules));
	if (r < 0) {
		ur_scan_rules_unref(rules);
	}
	return r;
}

static int push_child(struct ur_scan *scan, struct ur_dir *dir, struct ur_scan_rules *rules,
	const struct ur_entry *entry)
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
		if (d->inode != 0 && d->inode == dir->inode && d->fs.device == dir->fs.device) {
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

/** A staging folder that no run has open: what a crash left in it, wherever it has got to. */
static void meet_staging(struct ur_scan *scan, const struct ur_dir *dir)
{
	struct ur_text path = {0};
	const bool told = dir->parent == NULL; // recovery has looked into the root's
	const int fd = told || scan->run->options->plan ? -1 : ur_dir_take(dir);
	if (fd >= 0) {
		ur_dir_path(dir, NULL, &path);
		ur_run_tidy_staging(scan->run, fd, ur_text_get(&path));
		ur_dir_give(dir, fd);
		ur_text_done(&path);
	}
}

/** Sorts out one entry: a file stays, a folder goes on the stack, the rest is passed over. */
static int sort_out(struct ur_scan *scan, struct ur_dir *dir, struct ur_scan_rules *rules,
	struct ur_text *path, size_t base, struct ur_entry *entry, bool *ret_file)
{
	const char *name = ur_listing_name(&scan->listing, entry);
	*ret_file = false;
	if (entry->type == UR_ENTRY_DIR && strcmp(name, UR_STAGING) == 0) {
		meet_staging(scan, dir);
		return 0;
	}
	if (name[0] == '.' && (scan->run->options->skip_hidden || strcmp(name, UR_STAGING) == 0 ||
				      strcmp(name, UR_SCAN_IGNORE_FILE) == 0)) {
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
	if (ur_scan_is_excluded(scan, rules, ur_text_get(path), folder)) {
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
static int pick_files(
	struct ur_scan *scan, struct ur_dir *dir, struct ur_scan_rules *rules, size_t *ret)
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
	size_t count = 0;
	int r = 0;
	/* From the end: what is pushed last is walked first, and cold the listing is by inode. */
	for (uint32_t i = (uint32_t)listing->count; i-- > 0 && r == 0;) {
		bool file = false;
		r = sort_out(scan, dir, rules, &path, base, &listing->entries[i], &file);
		if (file) {
			scan->order[count++] = i;
		}
	}
	ur_text_done(&path);
	*ret = count;
	return r;
}

/** It is left alone (and that is said), or a source of its own: then its files count once. */
static bool is_elsewhere(struct ur_scan *scan, const struct ur_dir *dir)
{
	struct ur_text text = {0};
	bool found = false;
	if (dir->inode == 0) {
		ur_dir_path(dir, NULL, &text); // nothing else tells it from others
	}
	for (size_t i = 0; i < scan->excluded_count && !found; i++) {
		const struct ur_scan_excluded *x = &scan->excluded[i];
		found = ur_scan_is_at(&x->at, dir->fs.device, dir->inode, ur_text_get(&text));
		if (found) {
			ur_run_warn(scan->run, "%s: left alone, it is %s", x->at.path, x->why);
		}
	}
	found = found || (dir->parent != NULL && ur_scan_is_root(scan, dir->fs.device, dir->inode,
							 ur_text_get(&text)));
	ur_text_done(&text);
	return found;
}

/** Looks at the open directory itself; false (and reported) when it is to be left alone. */
static bool enter(struct ur_scan *scan, struct ur_dir *dir, int fd)
{
	struct stat st;
	int r = ur_sys.fstat(fd, &st);
	if (r == 0) {
		dir->inode = st.st_ino;
		const bool removing = removes(scan);
		if (st.st_dev != dir->fs.device && scan->run->options->one_file_system) {
			return false;
		}
		if (removing ? !ur_fs_is_of(&dir->fs, fd, st.st_dev)
			     : st.st_dev != dir->fs.device) {
			r = ur_fs_of(fd, &dir->fs);
		}
	}
	if (r < 0) {
		ur_run_folder_error(scan->run, dir, NULL, r, "cannot be examined");
		return false;
	}
	return !is_elsewhere(scan, dir) && !(scan->run->options->follow && is_loop(dir));
}

/** A folder that an interrupted run emptied and could not remove any more counts as ours. */
static int adopt_emptied(struct ur_scan *scan, struct ur_dir *dir)
{
	if (dir->parent == NULL || !removes(scan)) {
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

int ur_scan_listing(struct ur_scan *scan, struct ur_dir *dir, struct ur_scan_rules *rules)
{
	size_t count = 0;
	bool done = false;
	if (scan->listing.count == 0) {
		return adopt_emptied(scan, dir);
	}
	int r = pick_files(scan, dir, rules, &count);
	if (r == 0 && count > 0) {
		r = ur_scan_merge(scan, dir, count, &done);
		r = r < 0 || done ? r : ur_scan_emit_groups(scan, dir, count);
	}
	return r;
}

/** The directory is listed: its own rules, its files, its folders. */
static int scan_listed(struct ur_scan *scan, const struct ur_listed *at, bool *ret_refused)
{
	struct ur_dir *dir = at->dir;
	struct ur_scan_rules *rules = NULL;
	*ret_refused = true;
	if (ur_listing_has(&scan->listing, UR_SERVER_MARKER)) {
		ur_run_folder_error(scan->run, dir, NULL, 0,
			"refused: it holds '" UR_SERVER_MARKER
			"', so it is Immich's own library; importing it into itself could lose it");
		return 0;
	}
	if (ur_scan_rules_of(scan, dir, at->fd, at->rules, &rules) < 0) {
		return 0;
	}
	*ret_refused = false;
	ur_dir_keep(dir, at->fd);
	const int r = ur_scan_listing(scan, dir, rules);
	ur_scan_rules_unref(rules);
	return r;
}

/** Looks at one directory; only what ends the whole run is an error here. */
static int scan_dir(struct ur_scan *scan, const struct ur_listed *at)
{
	if (at->fd < 0) {
		ur_run_folder_error(scan->run, at->dir, NULL, at->fd, "cannot be opened");
		return 0;
	}
	bool refused = true;
	int r = 0;
	if (enter(scan, at->dir, at->fd)) {
		r = at->result;
		if (r == 0 && !at->whole) {
			r = ur_lister_finish(
				scan->lister, &scan->listing, at->fd, at->dir->root->follow);
		}
		if (r < 0) {
			ur_run_folder_error(scan->run, at->dir, NULL, r, "cannot be listed");
			r = r == -ENOMEM ? r : 0;
		} else {
			r = scan_listed(scan, at, &refused);
		}
	}
	if (refused) {
		(void)ur_sys.close(at->fd);
	}
	return r;
}

void ur_scan_drop(struct ur_scan *scan)
{
	while (ur_lister_count(scan->lister) > 0) {
		struct ur_scan_rules *rules = NULL;
		struct ur_dir *dir = ur_lister_drop(scan->lister, &rules);
		ur_scan_rules_unref(rules);
		ur_run_leave(scan->run, dir);
	}
}

int ur_scan_walk(struct ur_scan *scan, struct ur_root *root)
{
	struct ur_dir *top = NULL;
	assert(ur_lister_count(scan->lister) == 0);
	int r = ur_dir_new(root, NULL, "", &top);
	if (r == 0 && (r = push(scan, top, NULL)) < 0) {
		(void)ur_dir_unref(top);
	}
	while (r == 0 && ur_lister_count(scan->lister) > 0 && !ur_run_is_stopping(scan->run)) {
		struct ur_listed at;
		ur_lister_tell(scan->lister, ur_run_is_cold(scan->run));
		ur_lister_next(scan->lister, &scan->listing, &at);
		r = scan_dir(scan, &at);
		ur_scan_rules_unref(at.rules);
		ur_run_leave(scan->run, at.dir);
	}
	ur_scan_drop(scan);
	return r;
}
