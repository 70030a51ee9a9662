/*
 * settle_move - --after move: by a rename; to another file system by a copy.
 *
 *     staged ──copy──▶ TARGET/.uringest/… ──read back──▶ TARGET/NAME ──durable──▶ unlink staged
 */
#include "engine/stage/settle_parts.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/** Opens DIR/below, making what is missing; every component a real folder. */
static int open_target(struct ur_settle *settle, const struct ur_dir *dir)
{
	if (dir->parent == NULL || dir->root->loose) {
		return ur_sys.openat(settle->target_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	}
	const int parent = open_target(settle, dir->parent);
	if (parent < 0) {
		return parent;
	}
	int r = ur_sys.mkdirat(parent, dir->name, 0777);
	r = r == -EEXIST ? 0 : r;
	r = r < 0 ? r : ur_sys.openat(parent, dir->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	(void)ur_sys.close(parent);
	return r;
}

/** DIR/below and all folders above it: one that is not durable takes with it what is below. */
static int sync_target(struct ur_settle *settle, const struct ur_dir *dir)
{
	const bool loose = dir->root->loose;
	int r = 0;
	for (; r == 0 && dir != NULL; dir = loose ? NULL : dir->parent) {
		const int fd = open_target(settle, dir);
		r = fd < 0 ? fd : ur_sys.fsync(fd);
		if (fd >= 0) {
			(void)ur_sys.close(fd);
		}
	}
	return r;
}

static int copy_bytes(struct ur_settle *settle, int from, int to)
{
	off_t offset = 0;
	for (;;) {
		const ssize_t n = ur_sys.pread(from, settle->buffer, UR_SETTLE_BUFFER, offset);
		if (n <= 0) {
			return (int)n;
		}
		const int r = ur_sys_pwrite_all(to, settle->buffer, (size_t)n, offset);
		if (r < 0) {
			return r;
		}
		offset += n;
	}
}

/** What was written is read back from a fresh descriptor, past the cache as far as possible. */
static int read_back(
	struct ur_settle *settle, int dir, const char *name, const struct ur_file *file)
{
	uint8_t sha1[UR_HASH_SHA1];
	const int fd = ur_sys.openat(dir, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0) {
		return fd;
	}
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	int r = ur_settle_sha1(settle, fd, sha1);
	if (r == 0 && memcmp(sha1, file->sha1, sizeof sha1) != 0) {
		r = -EIO;
	}
	(void)ur_sys.close(fd);
	return r;
}

static int write_copy(struct ur_removal *x, int from, int staging)
{
	const int fd =
		ur_sys.openat(staging, x->staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return fd;
	}
	struct stat st;
	int r = copy_bytes(x->settle, from, fd);
	r = r < 0 ? r : ur_sys.fstat(from, &st);
	if (r == 0) {
		const struct timespec times[2] = {st.st_atim, st.st_mtim};
		(void)ur_sys.utimens(fd, times); // nice to have
		(void)fchmod(fd, st.st_mode & 0777);
		r = ur_sys.fsync(fd);
	}
	(void)ur_sys.close(fd);
	return r;
}

/** Temporary name, copy, fsync of file and folder, read back, publish, fsync; then the removal. */
static int move_across(struct ur_removal *x, int from, int target)
{
	struct ur_settle *settle = x->settle;
	const int staging = ur_staging_open(settle->target_fd);
	if (staging < 0) {
		return staging;
	}
	ur_effect("copy", false);
	int r = write_copy(x, from, staging);
	ur_effect("copy", true);
	r = r < 0 ? r : ur_sys.fsync(staging);
	r = r < 0 ? r : read_back(settle, staging, x->staged, x->file);
	if (r == 0) {
		ur_effect("publish", false);
		/* A crash after an earlier publishing left the very same file there: that is it. */
		const bool there = read_back(settle, target, x->file->name, x->file) == 0;
		r = there ? ur_sys.unlinkat(staging, x->staged, 0)
			  : ur_rename_beside(staging, x->staged, target, x->file->name);
		ur_effect("publish", true);
		r = r < 0 ? r : sync_target(settle, x->item->dir);
	}
	if (r < 0) {
		(void)ur_sys.unlinkat(staging, x->staged, 0);
	}
	(void)ur_sys.close(staging);
	(void)ur_sys.unlinkat(settle->target_fd, UR_STAGING, AT_REMOVEDIR);
	return r;
}

int ur_settle_move(struct ur_removal *x, int from)
{
	struct ur_settle *settle = x->settle;
	const int target = open_target(settle, x->item->dir);
	if (target < 0) {
		return target;
	}
	ur_effect("move", false);
	int r = ur_rename_beside(x->staging_fd, x->staged, target, x->file->name);
	ur_effect("move", true);
	if (r == -EXDEV) {
		r = move_across(x, from, target);
		r = r < 0 ? r : ur_settle_unlink(x);
	}
	(void)ur_sys.close(target);
	return r;
}
