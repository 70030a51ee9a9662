/* scan_loose - files that were named one by one, grouped by the folder that they lie in. */
#include "engine/stage/scan_parts.h"

#include "engine/source/hindrance.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define LOOSE_BATCH 4096 // files named one by one that are looked at together
#define PATH_LINE_MAX (64u << 10)

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
	char words[UR_HINDRANCE_TEXT];
	ur_run_path_error(scan->run, path, ur_hindrance_of_reading(code, words));
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
		r = ur_listing_has(&scan->listing, UR_SERVER_MARKER)
			    ? 0
			    : ur_scan_listing(scan, batch->dir, NULL);
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
	if (!scan->run->options->plan) {
		struct ur_text path = {0};
		ur_dir_path(batch->dir, NULL, &path);
		ur_run_tidy_staging(scan->run, batch->fd, ur_text_get(&path));
		ur_text_done(&path);
	}
	return 0;
}

static int add_loose(struct ur_scan *scan, struct loose_batch *batch, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	if (ur_staging_is_within(path)) {
		ur_run_warn(scan->run,
			"%s: left out, it stands in a staging folder, where a run has put it",
			path);
		return 0;
	}
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

/** A path as an editor on Windows leaves it, with a mark before and a CR behind, where only that is there. */
static const char *named(struct ur_scan *scan, char *line, size_t size, bool first)
{
	struct stat st;
	const size_t mark = first ? ur_text_mark(line, size) : 0;
	const bool cr =
		size > mark && line[size - 1] == '\r' && !scan->run->options->files_from_nul;
	if ((mark == 0 && !cr) || ur_sys.fstatat(AT_FDCWD, line, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		return line;
	}
	if (cr) {
		line[size - 1] = '\0';
	}
	return line + mark;
}

/** A list that was made with -print0 and is read by lines would be its first path, and no more. */
static int wants_null(struct ur_scan *scan)
{
	struct ur_err err = {0};
	(void)ur_err_say(&err, -EINVAL, UR_FAULT_SETUP,
		"the list of --files-from has NUL bytes between its paths, as `find -print0` writes them: "
		"give --null (-0), too; nothing of it was taken from there on");
	ur_run_fail(scan->run, -EINVAL, &err);
	return -ECANCELED;
}

int ur_scan_loose(struct ur_scan *scan)
{
	struct loose_batch batch = {.fd = -1};
	int r = 0;
	ur_listing_clear(&scan->listing);
	for (size_t i = 0; i < scan->loose_count && r == 0 && !ur_run_is_stopping(scan->run); i++) {
		r = add_loose(scan, &batch, scan->loose_paths[i]);
	}
	char *line = NULL;
	size_t room = 0;
	ssize_t size = 0;
	bool first = true;
	const int end = scan->run->options->files_from_nul ? '\0' : '\n';
	while (r == 0 && scan->list != NULL && !ur_run_is_stopping(scan->run) &&
		(size = getdelim(&line, &room, end, scan->list)) >= 0) {
		if (size > 0 && line[size - 1] == (char)end) {
			line[--size] = '\0';
		}
		if (end != '\0' && memchr(line, '\0', (size_t)size) != NULL) {
			r = wants_null(scan);
			break;
		}
		const char *path = named(scan, line, (size_t)size, first);
		const size_t length = strlen(path);
		first = false;
		if (length > 0 && length < PATH_LINE_MAX) {
			r = add_loose(scan, &batch, path);
		} else if (length > 0) {
			loose_error(scan, "(a line of --files-from)", -ENAMETOOLONG);
		}
	}
	free(line);
	const int flushed = flush_loose(scan, &batch);
	ur_ledger_let_go(scan->ledger);
	return r < 0 ? r : flushed;
}
