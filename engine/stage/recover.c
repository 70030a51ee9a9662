/*
 * recover - row by row: back to its name, or known to be gone.
 *
 * A staged file stands in the staging folder of its own folder or of one above it, so all of them are
 * looked into; what is still missing then is looked for in the whole of the sources.
 */
#include "engine/stage/recover.h"

#include "engine/base/clock.h"
#include "engine/source/leftover.h"
#include "engine/source/rename.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_ROWS_MAX 65536

struct leftover {
	struct ur_record record;
	char name[256];
	char *folder;
	char staged[UR_STAGED_NAME_MAX + 1];
	char copy[UR_STAGED_NAME_MAX + 1]; // what a copy of it would be called
	char *reason;
	bool found; // the file itself: a copy of it proves nothing
	bool missing;
	bool was_missing;
	bool unseen; // a place where it may stand could not be looked into
};

struct leftovers {
	struct leftover *list;
	size_t count;
	const struct ur_staging_key *key;
	struct ur_run *run;
};

static int add_leftover(struct leftovers *all, const struct ur_ledger_row *row, const char *staged)
{
	assert(all->count <= RECOVER_ROWS_MAX);
	assert(staged[0] != '\0');
	if (all->count == RECOVER_ROWS_MAX) {
		return 0; // the rest at the next start
	}
	struct leftover *list = realloc(all->list, (all->count + 1) * sizeof *list);
	if (list == NULL) {
		return -ENOMEM;
	}
	all->list = list;
	struct leftover *x = &list[all->count];
	*x = (struct leftover){.record = row->record};
	(void)snprintf(x->name, sizeof x->name, "%s", row->record.name);
	(void)snprintf(x->staged, sizeof x->staged, "%.255s", staged);
	ur_staging_name(all->key, UR_STAGED_COPY, row->record.staged, x->name, x->copy);
	x->folder = strndup(row->path, row->path_size);
	if (x->folder == NULL) {
		return -ENOMEM;
	}
	all->count++;
	return 0;
}

static int gather(void *context, const struct ur_ledger_row *row)
{
	struct leftovers *all = context;
	char staged[UR_STAGED_NAME_MAX + 1];
	assert(row->record.staged[0] != '\0');
	ur_staging_name(all->key, UR_STAGED_ORIGINAL, row->record.staged, row->record.name, staged);
	return add_leftover(all, row, staged);
}

/* ---- what came back -------------------------------------------------------------------------- */

/** A file of ours in a root's staging folder that no row says to be there. */
struct orphan {
	struct ur_identity identity;
	char staged[UR_STAGED_NAME_MAX + 1];
	bool found;
};

struct orphans {
	struct leftovers *all;
	struct orphan *list;
	size_t count;
	uint64_t fs;
};

static int note_orphan(
	void *context, int parent, int staging, const char *name, const struct ur_staged *what)
{
	struct orphans *o = context;
	struct stat st;
	assert(o->count <= RECOVER_ROWS_MAX);
	assert(staging != parent);
	bool known = ur_leftover_judge(what, o->all->run->id) != UR_LEFTOVER_BACK ||
		     ur_sys.fstatat(staging, name, &st, AT_SYMLINK_NOFOLLOW) < 0;
	(void)parent;
	for (size_t i = 0; !known && i < o->all->count; i++) {
		known = strcmp(o->all->list[i].staged, name) == 0;
	}
	if (known || o->count == RECOVER_ROWS_MAX) {
		return 0;
	}
	struct orphan *list = realloc(o->list, (o->count + 1) * sizeof *list);
	if (list == NULL) {
		return -ENOMEM;
	}
	o->list = list;
	o->list[o->count] = (struct orphan){.identity = ur_identity_of(&st, o->fs)};
	(void)snprintf(o->list[o->count++].staged, sizeof o->list->staged, "%.255s", name);
	return 0;
}

static int match_orphan(void *context, const struct ur_ledger_row *row)
{
	struct orphans *o = context;
	assert(row->record.state == UR_SETTLED);
	for (size_t i = 0; i < o->count; i++) {
		struct orphan *x = &o->list[i];
		if (!x->found && ur_identity_alike(&x->identity, &row->record.identity)) {
			x->found = true;
			return add_leftover(o->all, row, x->staged);
		}
	}
	return 0;
}

/**
 * The row is settled, and the power went before the unlink was durable: it names the folder that the
 * file was in, and what was true of it still is.
 */
static int gather_returned(struct ur_ledger *ledger, struct leftovers *all,
	struct ur_root *const *roots, size_t root_count, struct ur_err *err)
{
	const struct ur_ledger_filter settled = {.states = 1u << UR_SETTLED};
	struct orphans o = {.all = all};
	int r = 0;
	for (size_t i = 0; i < root_count && r != -ENOMEM; i++) {
		o.fs = roots[i]->fs.id;
		r = ur_leftover_each(roots[i]->fd, all->key, false, note_orphan, &o);
	}
	r = r == -ENOMEM   ? ur_err_set(err, r, UR_FAULT_WORLD, "looking for what was staged")
	    : o.count == 0 ? 0
			   : ur_ledger_rows(ledger, &settled, match_orphan, &o, err);
	free(o.list);
	return r;
}

/* ---- folders --------------------------------------------------------------------------------- */

/** There is no such folder, or no such file; anything else that is said of it proves nothing. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/** Opens a folder by its absolute path, which may be longer than PATH_MAX. */
static int open_folder(const char *path)
{
	int at = ur_sys.openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
	while (at >= 0 && *path != '\0') {
		char name[256];
		path += strspn(path, "/");
		const size_t size = strcspn(path, "/");
		if (size == 0) {
			break;
		}
		if (size >= sizeof name) {
			(void)ur_sys.close(at);
			return -ENAMETOOLONG;
		}
		memcpy(name, path, size);
		name[size] = '\0';
		path += size;
		const int next = ur_sys.openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		(void)ur_sys.close(at);
		at = next;
	}
	return at;
}

/** Cuts the last component off; false at the top. */
static bool go_up(char *path)
{
	assert(path != NULL);
	char *slash = strrchr(path, '/');
	if (slash == NULL || path[0] == '\0') {
		return false;
	}
	*slash = '\0';
	return true;
}

/** The folder, or the nearest one above it that is still there. */
static int open_nearest(const char *folder)
{
	char *path = strdup(folder);
	int fd = path == NULL ? -ENOMEM : open_folder(path);
	while (path != NULL && (fd == -ENOENT || fd == -ENOTDIR) && go_up(path)) {
		fd = open_folder(path[0] == '\0' ? "/" : path);
	}
	free(path);
	return fd;
}

/**
 * The folder `below` the open `at`.  What is missing of it is made again, since an emptied folder is
 * removed; where that cannot be, the nearest one above will do.  A disk that fails, or a want of
 * descriptors, will pass: then it is not put anywhere else.
 */
static int open_home(int at, const char *below)
{
	assert(at >= 0);
	int fd = ur_sys.openat(at, ".", O_RDONLY | O_DIRECTORY, 0);
	while (fd >= 0) {
		char name[256];
		below += strspn(below, "/");
		const size_t size = strcspn(below, "/");
		if (size == 0 || size >= sizeof name) {
			break;
		}
		memcpy(name, below, size);
		name[size] = '\0';
		below += size;
		const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
		int next = ur_sys.openat(fd, name, flags, 0);
		if (next == -ENOENT && ur_sys.mkdirat(fd, name, 0777) == 0) {
			next = ur_sys.openat(fd, name, flags, 0);
		}
		const bool for_good = is_absent(next) || next == -EACCES || next == -EPERM;
		if (for_good) {
			break;
		}
		(void)ur_sys.close(fd);
		fd = next;
	}
	return fd;
}

enum ur_recover_verdict ur_recover_judge(const struct ur_recover_facts *facts)
{
	if (facts->staged) {
		return UR_RECOVER_BACK;
	}
	if (facts->kept_out) {
		return UR_RECOVER_LATER;
	}
	if (facts->name == UR_RECOVER_NAME_SAME) {
		return UR_RECOVER_HERE;
	}
	if (facts->place_same || !facts->place_known) {
		if (facts->name == UR_RECOVER_NAME_OTHER) {
			return UR_RECOVER_HERE; // and it will be found to be another one
		}
		if (facts->place_same) {
			return UR_RECOVER_REMOVED;
		}
	}
	return facts->disk ? UR_RECOVER_UNKNOWN : UR_RECOVER_LATER;
}

/* ---- looking --------------------------------------------------------------------------------- */

/** An older version's name: "RUNxNUMBER-NAME"; believed because a row of ours names it. */
static void old_name(const struct leftover *x, char ret[UR_STAGED_NAME_MAX + 1])
{
	const size_t mark = strlen(x->record.staged);
	assert(mark < UR_STAGED_TOKEN);
	const size_t size = strlen(x->name);
	const size_t room = UR_STAGED_NAME_MAX - mark - 1;
	const size_t keep = size > room ? room : size;
	memcpy(ret, x->record.staged, mark);
	ret[mark] = '-';
	memcpy(ret + mark + 1, x->name + size - keep, keep + 1);
}

/** 0, or why it cannot be seen: see is_absent(). */
static int see(int dir, const char *name)
{
	struct stat st;
	return ur_sys.fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
}

/** Back to its folder, `below` the one that holds the staging folder. */
static int bring_home(int at, const char *below, int staging, const char *staged,
	const struct leftover *x, const struct ur_staging_key *key,
	char ret[UR_STAGED_NAME_MAX + 1])
{
	assert(staged[0] != '\0');
	assert(staging != at);
	const int home = open_home(at, below);
	if (home < 0) {
		return home;
	}
	ur_effect("put-back", false);
	int r = ur_rename_beside(key, staging, staged, home, x->name, ret);
	ur_effect("put-back", true);
	r = r < 0 ? r : ur_sys.fsync(home);
	(void)ur_sys.close(home);
	return r;
}

/**
 * Somebody else's staging folder is not touched; but this ledger may have been another user's, too: what
 * stands there under the row's own name is not removed.
 */
static bool may_stand_with_stranger(int at, const struct leftover *x)
{
	const int fd = ur_sys.openat(at, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) {
		return !is_absent(fd);
	}
	const int r = see(fd, x->staged);
	(void)ur_sys.close(fd);
	return !is_absent(r);
}

/** Puts the file back from the staging folder of `at`, if it is there. */
static void look_in(int at, const char *below, struct leftover *x, const struct ur_staging_key *key,
	struct ur_recover_facts *facts, char ret[UR_STAGED_NAME_MAX + 1])
{
	char old[UR_STAGED_NAME_MAX + 1];
	assert(!facts->staged);
	assert(!facts->kept_out);
	const int staging = ur_staging_open_alone(at);
	if (staging < 0) {
		const bool foreign = staging == UR_STAGING_FOREIGN;
		facts->kept_out = facts->kept_out || (!is_absent(staging) && !foreign) ||
				  (foreign && may_stand_with_stranger(at, x));
		return;
	}
	const char *name = x->staged;
	int r = see(staging, name);
	if (is_absent(r) && x->record.place_size == 0) {
		old_name(x, old);
		name = old;
		r = see(staging, name);
	}
	if (!is_absent(r)) {
		r = r < 0 ? r : bring_home(at, below, staging, name, x, key, ret);
		facts->staged = r == 0;
		facts->kept_out = r < 0;
	}
	ur_staging_leave(at, staging);
}

/** Looks into the folder and every folder above it, until the file is found. */
static void look_above(struct leftover *x, const struct ur_staging_key *key,
	struct ur_recover_facts *facts, char ret[UR_STAGED_NAME_MAX + 1])
{
	char *above = strdup(x->folder);
	facts->kept_out = above == NULL;
	while (!facts->kept_out && !facts->staged) {
		const int fd = open_folder(above[0] == '\0' ? "/" : above);
		if (fd >= 0) {
			look_in(fd, x->folder + strlen(above), x, key, facts, ret);
			(void)ur_sys.close(fd);
		} else if (!is_absent(fd)) {
			facts->kept_out = true;
		}
		if (!go_up(above)) {
			break;
		}
	}
	free(above);
	assert(!facts->staged || ret[0] != '\0');
	assert(!facts->staged || !facts->kept_out);
}

/** A disk that is not mounted now proves nothing about the files that are on it. */
static bool is_disk_there(const struct leftover *x)
{
	struct ur_fs fs = {0};
	const int fd = open_nearest(x->folder);
	const int r = fd < 0 ? fd : ur_fs_of(fd, &fs);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r == 0 && fs.id == x->record.identity.fs;
}

/** The folder that the staging folder stood in: by its inode, where inodes prove something. */
static bool is_place_same(const struct leftover *x)
{
	struct ur_fs fs = {0};
	struct stat st;
	assert(x->record.place_size > 0);
	char *path = strndup(x->folder, (size_t)x->record.place_size);
	const int fd = path == NULL ? -ENOMEM : open_folder(path);
	free(path);
	if (fd < 0) {
		return false;
	}
	int r = ur_fs_of(fd, &fs);
	r = r < 0 ? r : ur_sys.fstat(fd, &st);
	(void)ur_sys.close(fd);
	return r == 0 && fs.id == x->record.identity.fs &&
	       (!fs.trusted || st.st_ino == x->record.place);
}

static void look_at_name(const struct leftover *x, struct ur_recover_facts *facts)
{
	struct stat st;
	const int fd = open_folder(x->folder);
	const int r = fd < 0 ? fd : ur_sys.fstatat(fd, x->name, &st, AT_SYMLINK_NOFOLLOW);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	facts->name = UR_RECOVER_NAME_FREE;
	if (r < 0) {
		facts->kept_out = facts->kept_out || !is_absent(r);
		return;
	}
	const struct ur_identity now = ur_identity_of(&st, x->record.identity.fs);
	facts->name = ur_identity_alike(&now, &x->record.identity) ? UR_RECOVER_NAME_SAME
								   : UR_RECOVER_NAME_OTHER;
}

/* ---- one row --------------------------------------------------------------------------------- */

/** Writes the row; the reason is kept until then. */
static int write_row(struct ur_ledger *ledger, struct leftover *x, struct ur_err *err)
{
	assert(x->name[0] != '\0');
	x->record.name = x->name;
	x->record.reason = x->reason == NULL ? "" : x->reason;
	return ur_ledger_put(ledger, &x->record, err);
}

static void give_reason(struct leftover *x, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void give_reason(struct leftover *x, const char *format, ...)
{
	va_list list;
	free(x->reason);
	va_start(list, format);
	if (vasprintf(&x->reason, format, list) < 0) {
		x->reason = NULL;
	}
	va_end(list);
}

/** Still delivered, if it is read and found to be the same: settled from the start. */
static void start_over(struct leftover *x)
{
	assert(!x->found);
	x->found = true;
	x->missing = false;
	x->record.state = x->record.hashed ? UR_DELIVERED : UR_SEEN;
	x->record.remembered = false;
	x->record.settled_ns = 0;
	x->record.staged[0] = '\0';
}

static void close_row(struct leftover *x)
{
	assert(!x->found);
	assert(!x->missing);
	assert(!x->unseen); // a look that was kept out proves nothing
	give_reason(x, "removed before the run was interrupted");
	x->record.state = UR_SETTLED;
	x->record.settled_ns = ur_clock_wall_ns();
	x->record.staged[0] = '\0';
}

static void tell_later(struct ur_run *run, const struct leftover *x)
{
	ur_run_warn(run,
		"%s/%s: an interrupted run may have left it in a folder '" UR_STAGING
		"', which cannot be looked at now (its disk is away, or another run uses it); that is "
		"done when it can",
		x->folder, x->name);
}

/** Written again only when there is news: most rows end here at once. */
static int recover_one(struct ur_ledger *ledger, const struct leftovers *all, struct leftover *x,
	struct ur_err *err)
{
	struct ur_recover_facts facts = {.place_known = x->record.place_size > 0};
	char name[UR_STAGED_NAME_MAX + 1] = "";
	look_above(x, all->key, &facts, name);
	if (!facts.staged) {
		look_at_name(x, &facts);
	}
	x->unseen = facts.kept_out;
	facts.place_same = facts.place_known && is_place_same(x);
	facts.disk = is_disk_there(x);
	assert(!facts.place_same || facts.place_known);
	assert(!facts.staged || !x->unseen);
	switch (ur_recover_judge(&facts)) {
	case UR_RECOVER_BACK:
		start_over(x);
		give_reason(x, "put back after an interrupted run");
		if (strcmp(name, x->name) != 0) {
			give_reason(x,
				"put back after an interrupted run; its name was taken, so it is "
				"called '%s'",
				name);
			ur_run_warn(all->run, "%s/%s: %s", x->folder, x->name, x->reason);
		}
		return write_row(ledger, x, err);
	case UR_RECOVER_HERE:
		start_over(x);
		x->found = facts.name == UR_RECOVER_NAME_SAME;
		give_reason(x, "put back after an interrupted run");
		return write_row(ledger, x, err);
	case UR_RECOVER_REMOVED:
		close_row(x);
		return write_row(ledger, x, err);
	case UR_RECOVER_LATER:
		tell_later(all->run, x);
		return 0;
	case UR_RECOVER_UNKNOWN:
		x->missing = true;
		x->was_missing = true;
		return 0;
	}
	return 0;
}

/* ---- what is missing ------------------------------------------------------------------------- */

struct place {
	struct leftovers *all;
	const char *path;
};

static int find_missing(
	void *context, int parent, int staging, const char *name, const struct ur_staged *what)
{
	const struct place *place = context;
	char now[UR_STAGED_NAME_MAX + 1];
	(void)what;
	assert(staging != parent);
	for (size_t i = 0; i < place->all->count; i++) {
		struct leftover *x = &place->all->list[i];
		if (!x->missing || strcmp(x->staged, name) != 0) {
			continue;
		}
		ur_effect("put-back", false);
		const int r =
			ur_rename_beside(place->all->key, staging, name, parent, x->name, now);
		ur_effect("put-back", true);
		if (r == 0 && ur_sys.fsync(parent) == 0) {
			start_over(x);
			give_reason(x, "put back after an interrupted run as '%s/%s'", place->path,
				now);
			ur_run_warn(place->all->run, "%s/%s: its folder has another name now; %s",
				x->folder, x->name, x->reason);
		}
		return 0;
	}
	return 0;
}

/** It was never staged: the file itself, by its identity, in a folder that has another path now. */
static void find_renamed(const struct place *place, const struct ur_fs *fs,
	const struct ur_entry *entry, const char *name)
{
	const struct ur_identity now = {
		fs->id, entry->inode, entry->size, entry->mtime_ns, entry->ctime_ns};
	assert(fs->trusted);
	assert(entry->type == UR_ENTRY_FILE);
	for (size_t i = 0; i < place->all->count; i++) {
		struct leftover *x = &place->all->list[i];
		if (x->missing && ur_identity_alike(&now, &x->record.identity)) {
			start_over(x);
			give_reason(x, "it is called '%s/%s' now", place->path, name);
		}
	}
}

static int look_into(
	void *context, int folder, const char *path, const struct ur_listing *listing, bool staging)
{
	struct place place = {context, path};
	struct ur_fs fs = {0};
	int r = staging ? ur_leftover_each(folder, place.all->key, true, find_missing, &place) : 0;
	if (ur_fs_of(folder, &fs) == 0 && fs.trusted) {
		for (size_t i = 0; i < listing->count; i++) {
			const struct ur_entry *entry = &listing->entries[i];
			if (entry->type == UR_ENTRY_FILE && entry->error == 0) {
				find_renamed(&place, &fs, entry, ur_listing_name(listing, entry));
			}
		}
	}
	return r == -ENOMEM ? r : 0; // what we are kept out of is told when it is scanned
}

static bool is_any_missing(const struct leftovers *all)
{
	for (size_t i = 0; i < all->count; i++) {
		if (all->list[i].missing) {
			return true;
		}
	}
	return false;
}

/** It may be lost, as far as we can tell: said in every run until somebody ends it. */
static void tell_missing(struct ur_run *run, struct leftover *x)
{
	assert(!x->found);
	give_reason(x,
		"its whereabouts are not known: it stood as '%.*s/" UR_STAGING
		"/%s' when a run was interrupted, and that folder is not there any more, or another one",
		(int)x->record.place_size, x->folder, x->staged);
	ur_run_warn(run,
		"%s/%s: %s; look for that name where the folder is now and run `uringest recover FOLDER`, "
		"or, if it is gone, `uringest forget '%s/%s'`",
		x->folder, x->name, x->reason, x->folder, x->name);
	atomic_fetch_add(&run->stranded, 1);
	(void)ur_run_see_trouble_at(run, x->folder, x->name);
}

/** Looks for them in all sources; each has a new row then, found or not. */
static int close_missing(struct ur_ledger *ledger, struct leftovers *all,
	struct ur_root *const *roots, size_t root_count, struct ur_err *err)
{
	int r = 0;
	for (size_t i = 0; i < root_count && is_any_missing(all); i++) {
		r = ur_leftover_walk(roots[i]->fd, roots[i]->path, look_into, all);
		if (r == -ENOMEM) {
			return ur_err_set(err, r, UR_FAULT_WORLD, "looking for what was staged");
		}
	}
	r = 0;
	for (size_t i = 0; i < all->count && r == 0; i++) {
		struct leftover *x = &all->list[i];
		assert(!x->missing || x->was_missing);
		if (x->missing) {
			tell_missing(all->run, x);
		}
		r = x->was_missing ? write_row(ledger, x, err) : 0;
	}
	return r;
}

/* ---- half-made copies ------------------------------------------------------------------------ */

struct copies {
	const struct leftovers *all;
	unsigned left;
};

/** A copy goes only if a row of ours names it and its original has been found. */
static int drop_copy(
	void *context, int parent, int staging, const char *name, const struct ur_staged *what)
{
	struct copies *copies = context;
	bool safe = false;
	assert(staging != parent);
	(void)parent;
	for (size_t i = 0; what->ours && !safe && i < copies->all->count; i++) {
		const struct leftover *x = &copies->all->list[i];
		safe = x->found && strcmp(x->copy, name) == 0;
	}
	/* Durable before the row is: nobody could tell any more what a copy is that came back. */
	if (!safe || ur_sys.unlinkat(staging, name, 0) < 0 || ur_sys.fsync(staging) < 0) {
		copies->left++;
	}
	return 0;
}

static void recover_target(const struct leftovers *all, const char *move_to)
{
	struct copies copies = {.all = all};
	assert(move_to != NULL);
	const int fd = ur_sys.openat(AT_FDCWD, move_to, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		return; // settle will say so
	}
	const int r = ur_leftover_each(fd, all->key, true, drop_copy, &copies);
	(void)ur_sys.close(fd);
	if (r < 0 && r != -ENOENT && ur_staging_say(r) != NULL) {
		ur_run_warn(all->run, "%s/" UR_STAGING ": it %s", move_to, ur_staging_say(r));
	}
	if (copies.left > 0) {
		ur_run_warn(all->run,
			"%s/" UR_STAGING
			": %u files stand there that are not provably copies of this ledger's, so they "
			"are left; `uringest recover %s` says what they are",
			move_to, copies.left, move_to);
	}
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool is_below(const char *folder, const struct ur_root *root)
{
	const size_t size = root->path_size == 1 ? 0 : root->path_size; // "/"
	return strncmp(folder, root->path, size) == 0 &&
	       (folder[size] == '/' || folder[size] == '\0');
}

/** One of a row's may stand in the root's staging folder: it is the row that says where it belongs. */
static bool is_claimed(const struct leftovers *all, const struct ur_root *root)
{
	for (size_t i = 0; i < all->count; i++) {
		if (all->list[i].unseen && is_below(all->list[i].folder, root)) {
			return true;
		}
	}
	return false;
}

static void tidy_roots(const struct leftovers *all, struct ur_root *const *roots, size_t root_count)
{
	for (size_t i = 0; i < root_count; i++) {
		if (!is_claimed(all, roots[i])) {
			ur_run_tidy_staging(all->run, roots[i]->fd, roots[i]->path);
		}
	}
}

static void forget_all(struct leftovers *all)
{
	for (size_t i = 0; i < all->count; i++) {
		free(all->list[i].folder);
		free(all->list[i].reason);
	}
	free(all->list);
}

int ur_recover(struct ur_ledger *ledger, struct ur_run *run, struct ur_root *const *roots,
	size_t root_count, struct ur_err *err)
{
	const struct ur_ledger_filter filter = {.staged = true};
	struct leftovers all = {.key = &run->staging_key, .run = run};
	assert(run->id > 0); // or what it stages itself would be taken for a leftover
	assert(!run->options->plan);
	assert(root_count == 0 || roots != NULL);
	int r = ur_ledger_rows(ledger, &filter, gather, &all, err);
	r = r < 0 ? r : gather_returned(ledger, &all, roots, root_count, err);
	for (size_t i = 0; i < all.count && r == 0; i++) {
		r = recover_one(ledger, &all, &all.list[i], err);
	}
	r = r < 0 ? r : close_missing(ledger, &all, roots, root_count, err);
	if (r == 0 && run->options->after == UR_AFTER_MOVE) {
		recover_target(&all, run->options->move_to);
	}
	r = r < 0 ? r : ur_ledger_commit(ledger, err);
	if (r == 0) {
		tidy_roots(&all, roots, root_count);
	}
	forget_all(&all);
	return r;
}
