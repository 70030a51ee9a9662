/*
 * settle_move - --after move: by a rename; to another file system by a copy.
 *
 *     staged ──copy──▶ TARGET/.uringest/… ──read back──▶ TARGET/NAME ──durable──▶ unlink staged
 *
 * The copies of a group are all made before one of them gets its name: a disk that becomes full in
 * the middle tears none.
 */
#include "engine/stage/settle_parts.h"

#include "engine/source/rename.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <string.h>
#include <unistd.h>

static_assert(UR_SETTLE_BUFFER >= XATTR_SIZE_MAX);

/** Opens DIR/below, making what is missing; every component a real folder. */
static int open_target(struct ur_settle *settle, const struct ur_dir *dir)
{
	assert(settle->target_fd >= 0);
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
	assert(dir != NULL);
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
	assert(from >= 0);
	assert(to >= 0);
	assert(from != to);
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
	struct stat st = {0};
	assert(dir >= 0);
	assert(name[0] != '\0');
	const int fd = ur_sys.openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		return fd;
	}
	int r = ur_sys.fstat(fd, &st);
	r = r == 0 && !S_ISREG(st.st_mode) ? -EBADMSG
					   : r; // a pipe of somebody's would be waited for
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r = r < 0 ? r : ur_settle_sha1(settle, fd, sha1);
	if (r == 0 && memcmp(sha1, file->sha1, sizeof sha1) != 0) {
		r = -EBADMSG;
	}
	(void)ur_sys.close(fd);
	return r;
}

/* ---- what a copy keeps besides the bytes ----------------------------------------------------- */

/** Labels of a security module belong to the place, not to the file. */
static bool is_kept(const char *name)
{
	return strncmp(name, "security.", 9) != 0;
}

/** False when the target did not take it. */
static bool copy_attribute(struct ur_settle *settle, int from, int to, const char *name)
{
	assert(is_kept(name));
	const ssize_t size = ur_sys.getxattr(from, name, settle->buffer, XATTR_SIZE_MAX);
	return size == -ENODATA ||
	       (size >= 0 && ur_sys.setxattr(to, name, settle->buffer, (size_t)size) == 0);
}

/** Extended attributes, the ACLs among them. */
static bool copy_attributes(struct ur_settle *settle, int from, int to)
{
	char names[XATTR_LIST_MAX];
	bool all = true;
	const ssize_t size = ur_sys.listxattr(from, names, sizeof names);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
		if (is_kept(names + at)) {
			all = copy_attribute(settle, from, to, names + at) && all;
		}
	}
	return all;
}

/** Owner, mode, attributes, times: in this order, since each may change what comes before it. */
static int copy_facts(struct ur_settle *settle, int from, int to)
{
	struct stat st;
	struct stat made;
	assert(from != to);
	int r = ur_sys.fstat(from, &st);
	r = r < 0 ? r : ur_sys.fstat(to, &made);
	if (r < 0) {
		return r;
	}
	const bool other_owner = made.st_uid != st.st_uid || made.st_gid != st.st_gid;
	/* A service may die of a call that only root may make: who is not root does not even ask. */
	if (other_owner && (geteuid() != 0 || ur_sys.chown(to, st.st_uid, st.st_gid) < 0)) {
		settle->lost_owners++;
	}
	(void)ur_sys.chmod(
		to, st.st_mode & 0777); // what the target has no modes for stays as it is
	if (!copy_attributes(settle, from, to)) {
		settle->lost_attributes++;
	}
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	(void)ur_sys.utimens(to, times);
	settle->other_names += st.st_nlink > 1;
	return 0;
}

/** "3 files have further names (hard links), …": one sentence for each kind of loss. */
static void tell_loss(struct ur_settle *settle, unsigned count, const char *one, const char *many,
	const char *what)
{
	if (count > 0) {
		ur_run_warn(settle->run, "%s: %u %s %s", settle->run->options->move_to, count,
			count == 1 ? one : many, what);
	}
}

void ur_settle_tell(struct ur_settle *settle)
{
	tell_loss(settle, settle->other_names, "file that was moved there has",
		"files that were moved there have",
		"further names (hard links); those stay where they are, and are no longer names of the "
		"moved file: that is on another file system");
	tell_loss(settle, settle->lost_attributes, "file was moved there without",
		"files were moved there without",
		"some extended attributes or access lists, which that file system does not take");
	tell_loss(settle, settle->lost_owners, "file was moved there and now belongs",
		"files were moved there and now belong",
		"to the user that uringest runs as: only root may give files away");
}

/* ---- the copy -------------------------------------------------------------------------------- */

static int write_copy(struct ur_leaving *x, int from, int staging, const char *name)
{
	assert(from >= 0);
	assert(staging >= 0);
	assert(staging != x->place->fd);
	const int fd = ur_sys.openat(staging, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return fd;
	}
	int r = copy_bytes(x->settle, from, fd);
	r = r < 0 ? r : copy_facts(x->settle, from, fd);
	r = r < 0 ? r : ur_sys.fsync(fd);
	const int closed = ur_sys.close(fd); // over FUSE and NFS a full disk may show only here
	return r < 0 ? r : closed;
}

/** A crash after an earlier publishing left the very same file there: that is it. */
static int publish(struct ur_leaving *x, int staging, const char *copy, int target)
{
	struct ur_settle *settle = x->settle;
	assert(staging >= 0);
	assert(target >= 0);
	assert(target != staging);
	ur_effect("publish", false);
	const bool there = read_back(settle, target, x->file->name, x->file) == 0;
	const int r = there ? ur_sys.unlinkat(staging, copy, 0)
			    : ur_rename_beside(&settle->run->staging_key, staging, copy, target,
				      x->file->name, NULL);
	ur_effect("publish", true);
	return r < 0 ? r : sync_target(settle, x->item->dir);
}

/** Temporary name, copy, fsync of file and folder, read back. */
static int make_copy(struct ur_leaving *x)
{
	struct ur_settle *settle = x->settle;
	assert(x->proved_fd >= 0);
	assert(x->copy_fd < 0);
	x->copy_fd = ur_staging_open(settle->target_fd);
	if (x->copy_fd < 0) {
		const char *words = ur_staging_say(x->copy_fd);
		x->why = words == NULL ? NULL
				       : ur_arena_format(&x->item->arena,
						 "delivered, and kept: the folder '%s/" UR_STAGING
						 "', where its copy would be made, %s",
						 settle->run->options->move_to, words);
		return x->copy_fd;
	}
	ur_staging_name(
		&settle->run->staging_key, UR_STAGED_COPY, x->file->staged, x->file->name, x->copy);
	ur_effect("copy", false);
	int r = write_copy(x, x->proved_fd, x->copy_fd, x->copy);
	ur_effect("copy", true);
	r = r < 0 ? r : ur_sys.fsync(x->copy_fd);
	r = r < 0 ? r : read_back(settle, x->copy_fd, x->copy, x->file);
	if (r == -EBADMSG) {
		x->why = ur_arena_format(&x->item->arena,
			"delivered, and kept: the copy that was made of it read back wrong, so the disk of "
			"'%s' is not to be trusted",
			settle->run->options->move_to);
	}
	if (r < 0) {
		ur_settle_move_undo(x);
	}
	return r;
}

void ur_settle_move_undo(struct ur_leaving *x)
{
	if (x->copy_fd >= 0) {
		assert(strcmp(x->copy, x->staged) != 0);
		(void)ur_sys.unlinkat(x->copy_fd, x->copy, 0);
		ur_staging_leave(x->settle->target_fd, x->copy_fd);
	}
	x->copy_fd = -1;
}

int ur_settle_move_prepare(struct ur_leaving *x)
{
	struct stat here = {0};
	struct stat there = {0};
	assert(x->proved_fd >= 0);
	assert(x->copy_fd < 0);
	int r = ur_sys.fstat(x->proved_fd, &here);
	r = r < 0 ? r : ur_sys.fstat(x->settle->target_fd, &there);
	return r < 0 || here.st_dev == there.st_dev ? r : make_copy(x);
}

/** The copy is there and right: it gets its name, durably, and only then the file goes. */
static int finish_copy(struct ur_leaving *x, int target)
{
	assert(x->copy_fd >= 0);
	assert(x->copy[0] != '\0');
	const int r = publish(x, x->copy_fd, x->copy, target);
	if (r < 0) {
		ur_settle_move_undo(x);
		return r;
	}
	ur_staging_leave(x->settle->target_fd, x->copy_fd);
	x->copy_fd = -1;
	return ur_settle_unlink(x);
}

static int move_by_name(struct ur_leaving *x, int target)
{
	assert(x->copy_fd < 0);
	assert(target != x->place->fd);
	ur_effect("move", false);
	const int r = ur_rename_beside(
		&x->settle->run->staging_key, x->place->fd, x->staged, target, x->file->name, NULL);
	ur_effect("move", true);
	return r;
}

int ur_settle_move(struct ur_leaving *x)
{
	assert(x->place != NULL);
	assert(x->proved_fd >= 0);
	const int target = open_target(x->settle, x->item->dir);
	if (target < 0) {
		ur_settle_move_undo(x);
		return target;
	}
	int r = x->copy_fd >= 0 ? -EXDEV : move_by_name(x, target);
	if (r == -EXDEV) {
		/* Mounts and subvolumes of one device may be too far for a rename, too. */
		r = x->copy_fd >= 0 ? 0 : make_copy(x);
		r = r < 0 ? r : finish_copy(x, target);
	}
	(void)ur_sys.close(target);
	assert(x->copy_fd < 0); // it has its name, or is gone
	return r;
}
