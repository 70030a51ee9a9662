/*
 * recover - row by row: back to its name, or known to be gone.
 *
 * A staged file stands in the staging folder of its own folder or of one above it, wherever the
 * run could make one, so all of them are looked into.
 */
#include "engine/stage/recover.h"

#include "engine/base/clock.h"
#include "engine/source/staging.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_ROWS_MAX 65536

struct leftover {
	struct ur_record record;
	char name[256];
	char *folder;
};

struct leftovers {
	struct leftover *list;
	size_t count;
};

static int gather(void *context, const struct ur_ledger_row *row)
{
	struct leftovers *all = context;
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
	x->folder = strndup(row->path, row->path_size);
	if (x->folder == NULL) {
		return -ENOMEM;
	}
	all->count++;
	return 0;
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

enum search {
	SEARCH_NOTHING, // it is in no staging folder
	SEARCH_BACK,    // it was, and is at its place again
	SEARCH_STUCK,   // it is, and cannot be brought back now
};

/** Brings the staged file back from the staging folder of `at`, if it is there. */
static enum search fetch(int at, int home, const char *name, const char *staged)
{
	struct stat st;
	const int staging = ur_sys.openat(at, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (staging < 0) {
		return staging == -ENOENT || staging == -ENOTDIR ? SEARCH_NOTHING : SEARCH_STUCK;
	}
	enum search found = SEARCH_NOTHING;
	if (ur_sys.fstatat(staging, staged, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		ur_effect("put-back", false);
		const int r = ur_rename_beside(staging, staged, home, name);
		ur_effect("put-back", true);
		found = r == 0 ? SEARCH_BACK : SEARCH_STUCK;
	}
	(void)ur_sys.close(staging);
	(void)ur_sys.unlinkat(at, UR_STAGING, AT_REMOVEDIR);
	return found;
}

/** Looks for the staged file in the folder and in every folder above it; puts it back. */
static enum search put_back(const char *folder, const char *name, const char *staged)
{
	const int home = open_nearest(folder);
	char *above = strdup(folder);
	enum search found = home < 0 || above == NULL ? SEARCH_STUCK : SEARCH_NOTHING;
	while (found == SEARCH_NOTHING) {
		const int fd = open_folder(above[0] == '\0' ? "/" : above);
		if (fd >= 0) {
			found = fetch(fd, home, name, staged);
			(void)ur_sys.close(fd);
		}
		if (!go_up(above)) {
			break;
		}
	}
	free(above);
	if (home >= 0) {
		(void)ur_sys.close(home);
	}
	return found;
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

static bool is_there(const char *folder, const char *name)
{
	struct stat st;
	const int fd = open_folder(folder);
	if (fd < 0) {
		return false;
	}
	const int r = ur_sys.fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW);
	(void)ur_sys.close(fd);
	return r == 0;
}

static int recover_one(
	struct ur_ledger *ledger, struct ur_run *run, struct leftover *x, struct ur_err *err)
{
	char staged[UR_STAGED_NAME_MAX + 1];
	x->record.name = x->name;
	ur_staging_name(x->record.staged, x->name, staged);
	const enum search found = put_back(x->folder, x->name, staged);
	if (found == SEARCH_STUCK || (found == SEARCH_NOTHING && !is_disk_there(x))) {
		ur_run_warn(run,
			"%s/%s: an interrupted run may have left it in a folder '" UR_STAGING
			"', which cannot be looked at now; that is done when it can",
			x->folder, x->name);
		return 0;
	}
	if (found == SEARCH_BACK || is_there(x->folder, x->name)) {
		/* Still delivered, if it is read and found to be the same: settled from the start. */
		x->record.state = x->record.hashed ? UR_DELIVERED : UR_SEEN;
		x->record.reason = "put back after an interrupted run";
		x->record.remembered = false;
	} else {
		x->record.state = UR_SETTLED;
		x->record.reason = "removed before the run was interrupted";
		x->record.settled_ns = ur_clock_wall_ns();
	}
	x->record.staged[0] = '\0';
	return ur_ledger_put(ledger, &x->record, err);
}

int ur_recover(struct ur_ledger *ledger, struct ur_run *run, struct ur_err *err)
{
	const struct ur_ledger_filter filter = {.staged = true};
	struct leftovers all = {0};
	int r = ur_ledger_rows(ledger, &filter, gather, &all, err);
	for (size_t i = 0; i < all.count; i++) {
		r = r < 0 ? r : recover_one(ledger, run, &all.list[i], err);
		free(all.list[i].folder);
	}
	free(all.list);
	return r < 0 ? r : ur_ledger_commit(ledger, err);
}

void ur_recover_root(struct ur_run *run, struct ur_root *root)
{
	const int staging =
		ur_sys.openat(root->fd, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct ur_listing listing = {0};
	if (staging < 0) {
		return;
	}
	if (ur_listing_read(&listing, staging, false) == 0) {
		for (size_t i = 0; i < listing.count; i++) {
			const char *staged = ur_listing_name(&listing, &listing.entries[i]);
			const char *dash = strchr(staged, '-');
			const char *name = dash == NULL || dash[1] == '\0' ? staged : dash + 1;
			if (ur_rename_beside(staging, staged, root->fd, name) == 0) {
				ur_run_warn(run,
					"%s/%s: put back from an interrupted run that this ledger does not "
					"know; its folder below is not known any more",
					root->path, name);
			}
		}
	}
	ur_listing_done(&listing);
	(void)ur_sys.close(staging);
	(void)ur_sys.unlinkat(root->fd, UR_STAGING, AT_REMOVEDIR);
}

void ur_recover_target(const char *move_to)
{
	struct ur_listing listing = {0};
	const int fd = ur_sys.openat(AT_FDCWD, move_to, O_RDONLY | O_DIRECTORY, 0);
	const int staging =
		fd < 0 ? fd : ur_sys.openat(fd, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (staging >= 0 && ur_listing_read(&listing, staging, false) == 0) {
		for (size_t i = 0; i < listing.count; i++) {
			(void)ur_sys.unlinkat(
				staging, ur_listing_name(&listing, &listing.entries[i]), 0);
		}
	}
	ur_listing_done(&listing);
	if (staging >= 0) {
		(void)ur_sys.close(staging);
		(void)ur_sys.unlinkat(fd, UR_STAGING, AT_REMOVEDIR);
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
}
