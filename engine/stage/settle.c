/*
 * settle - one file after the other, each step checked, each failure undone.
 */
#include "engine/stage/settle.h"

#include "engine/base/clock.h"
#include "engine/source/removal.h"
#include "engine/source/staging.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_BUFFER (1u << 20)

struct ur_settle {
	struct ur_run *run;
	struct ur_settle_wiring wiring;
	pthread_t thread;
	unsigned char *buffer;
	int target_fd; // --after move=DIR
	struct ur_fs target_fs;
};

/** One file on its way out. */
struct removal {
	struct ur_settle *settle;
	struct ur_item *item;
	struct ur_file *file;
	int dir_fd;
	int fd; // of the file, opened by its name, with a lease where there are leases
	int staging_fd;
	bool staging_here; // the staging folder stands beside the file, not in the root
	char staged[UR_STAGED_NAME_MAX + 1];
	struct ur_removal proof;
};

/* ---- staging --------------------------------------------------------------------------------- */

static int sha1_of(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1]);

static int hash_again(void *settle, int fd, uint8_t ret[UR_REMOVAL_SHA1])
{
	static_assert(UR_REMOVAL_SHA1 == UR_HASH_SHA1, "one kind of hash");
	return sha1_of(settle, fd, ret);
}

/** What earlier stages learned about the file. */
static void describe(struct removal *x)
{
	const struct ur_file *file = x->file;
	const struct ur_options *options = x->settle->run->options;
	const struct ur_fs *fs = &x->item->dir->fs;
	x->proof = (struct ur_removal){
		.identity = &file->identity,
		.fs = fs,
		.sha1 = file->sha1,
		.quiet = {.ending = file->ending,
			.accepted = file->accepted || options->accept_cut_off,
			.quiet_ns = ur_age_ns(&file->quiet),
			.least_ns = options->quiet_without_lease_ms * UR_MS_NS},
		.trust = {.created = file->now_sent || file->created,
			.there = file->there,
			.remembered = file->remembered,
			.fresh = file->fresh,
			.fs_trusted = fs->trusted},
		.hash = hash_again,
		.context = x->settle,
	};
}

/** Opens the file by its name and sees that it is as it was hashed, and quiet. */
static int hold(struct removal *x)
{
	x->fd = ur_sys.openat(
		x->dir_fd, x->file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (x->fd < 0) {
		return x->fd == -ENOENT ? UR_SETTLE_GONE : x->fd == -ELOOP ? -ESTALE : x->fd;
	}
	describe(x);
	const int r = ur_removal_hold(&x->proof, x->fd);
	/* Where the folder lets nothing go, no wait would help. */
	const int open = r == UR_REMOVAL_WAITS ? ur_sys.may_write(x->dir_fd) : 0;
	return open < 0 ? open : r;
}

static int stage(struct removal *x)
{
	const struct ur_root *root = x->item->dir->root;
	x->staging_here = root->loose || x->item->dir->fs.device != root->fs.device;
	x->staging_fd = ur_staging_open(x->staging_here ? x->dir_fd : root->fd);
	if (x->staging_fd < 0) {
		return x->staging_fd;
	}
	int r = hold(x);
	if (r < 0) {
		return r;
	}
	ur_staging_name(x->file->staged, x->file->name, x->staged);
	ur_effect("stage", false);
	r = ur_sys.rename_new(x->dir_fd, x->file->name, x->staging_fd, x->staged);
	ur_effect("stage", true);
	x->file->settle_renamed = r == 0;
	return r == -ENOENT ? UR_SETTLE_GONE : r;
}

static void unstage(struct removal *x)
{
	ur_effect("unstage", false);
	const int r = ur_sys.rename_new(x->staging_fd, x->staged, x->dir_fd, x->file->name);
	ur_effect("unstage", true);
	if (r == -EEXIST) {
		(void)ur_rename_beside(x->staging_fd, x->staged, x->dir_fd, x->file->name);
	}
}

static void leave_staging(struct removal *x)
{
	if (x->staging_fd >= 0) {
		(void)ur_sys.close(x->staging_fd);
		/* Fails while it is not empty, which is what we want. */
		(void)ur_sys.unlinkat(x->staging_here ? x->dir_fd : x->item->dir->root->fd,
			UR_STAGING, AT_REMOVEDIR);
	}
}

/* ---- proof ----------------------------------------------------------------------------------- */

/** SHA-1 of an open file by OpenSSL, from a fresh start: no lane of ours is involved. */
static int sha1_of(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint64_t offset = 0;
	unsigned size = 0;
	unsigned char digest[EVP_MAX_MD_SIZE];
	int r = context == NULL ? -ENOMEM : 0;
	if (r == 0 && EVP_DigestInit_ex(context, EVP_sha1(), NULL) != 1) {
		r = -EIO;
	}
	while (r == 0) {
		const ssize_t n = ur_sys.pread(fd, settle->buffer, COPY_BUFFER, (off_t)offset);
		if (n <= 0) {
			r = (int)n;
			break;
		}
		offset += (uint64_t)n;
		r = EVP_DigestUpdate(context, settle->buffer, (size_t)n) == 1 ? 0 : -EIO;
	}
	if (r == 0 && (EVP_DigestFinal_ex(context, digest, &size) != 1 || size != UR_HASH_SHA1)) {
		r = -EIO;
	}
	EVP_MD_CTX_free(context);
	if (r == 0) {
		memcpy(ret, digest, UR_HASH_SHA1);
		atomic_fetch_add(&settle->run->bytes_hashed, offset);
	}
	return r;
}

/** The staged file, opened afresh, is the one that was hashed; nobody writes to it. */
static int prove(struct removal *x, int *ret_fd)
{
	const int fd = ur_sys.openat(
		x->staging_fd, x->staged, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		return fd;
	}
	const int r = ur_removal_prove(&x->proof, fd);
	if (r < 0) {
		(void)ur_sys.close(fd); // and the lease with it
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* ---- moving ---------------------------------------------------------------------------------- */

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
		const ssize_t n = ur_sys.pread(from, settle->buffer, COPY_BUFFER, offset);
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
	int r = sha1_of(settle, fd, sha1);
	if (r == 0 && memcmp(sha1, file->sha1, sizeof sha1) != 0) {
		r = -EIO;
	}
	(void)ur_sys.close(fd);
	return r;
}

static int write_copy(struct removal *x, int from, int staging)
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
static int move_across(struct removal *x, int from, int target)
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

static int unlink_staged(struct removal *x)
{
	ur_effect("unlink", false);
	const int r = ur_sys.unlinkat(x->staging_fd, x->staged, 0);
	ur_effect("unlink", true);
	return r;
}

static int move(struct removal *x, int from)
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
		r = r < 0 ? r : unlink_staged(x);
	}
	(void)ur_sys.close(target);
	return r;
}

/* ---- one file -------------------------------------------------------------------------------- */

static int carry_out(struct removal *x)
{
	int r = stage(x);
	if (r < 0) {
		return r;
	}
	int fd = -1;
	r = prove(x, &fd);
	if (r == 0) {
		const bool moving = x->settle->run->options->after == UR_AFTER_MOVE;
		r = moving ? move(x, fd) : unlink_staged(x);
		(void)ur_sys.close(fd);
	}
	if (r < 0) {
		unstage(x);
	}
	return r;
}

static const char *say(int r)
{
	switch (r) {
	case 0:
		return NULL;
	case UR_SETTLE_GONE:
		return "delivered; it was gone before it could be removed";
	case -ESTALE:
		return "it changed after it was sent: looked at again in the next run";
	case -ETXTBSY:
		return "somebody has it open for writing: looked at again in the next run";
	case UR_REMOVAL_WAITS:
		return "it must have been unchanged for a while before it may go: nobody can say whether "
		       "it is still being written to; looked at again in the next run";
	case -EACCES:
		return "delivered, but it may not be removed: no write permission in its folder";
	case -EPERM:
		return "delivered, but it may not be removed: the file or its folder is protected "
		       "(chattr +i or +a), or it is somebody else's in a sticky folder";
	case -EROFS:
		return "delivered, but it cannot be removed: its file system is read-only";
	case -ENOSPC:
	case -EDQUOT:
		return "delivered, but the folder it should move to is full";
	default:
		return "delivered, but it could not be removed; it is in its place";
	}
}

static void settle_file(struct ur_settle *settle, struct ur_item *item, struct ur_file *file)
{
	struct removal x = {
		.settle = settle,
		.item = item,
		.file = file,
		.dir_fd = ur_dir_take(item->dir),
		.fd = -1,
		.staging_fd = -1,
	};
	int r = x.dir_fd < 0 ? x.dir_fd : carry_out(&x);
	if (x.fd >= 0) {
		(void)ur_sys.close(x.fd); // and the lease with it
	}
	leave_staging(&x);
	ur_dir_give(item->dir, x.dir_fd);
	file->settle_result = r;
	file->settle_why = say(r);
	if (r == 0 && !item->dir->root->loose) {
		atomic_fetch_add(&item->dir->removed, 1);
	}
}

static void settle_item(struct ur_settle *settle, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (item->files[i].state == UR_CONFIRMED && item->files[i].staged[0] != '\0') {
			settle_file(settle, item, &item->files[i]);
		}
	}
	const int r = ur_queue_push(settle->wiring.out, item);
	assert(r == 0); // the queue has room for the whole pool
	ur_bell_ring(settle->wiring.out_bell);
}

static void *run_settle(void *context)
{
	struct ur_settle *settle = context;
	void *item = NULL;
	for (;;) {
		int r = ur_queue_pop(settle->wiring.in, &item);
		if (r == -EAGAIN) {
			ur_bell_arm(settle->wiring.bell);
			r = ur_queue_pop(settle->wiring.in, &item);
			if (r == -EAGAIN) {
				ur_bell_wait(settle->wiring.bell, 1000);
				continue;
			}
		}
		if (r == -EPIPE) {
			return NULL;
		}
		settle_item(settle, item);
	}
}

int ur_settle_start(struct ur_run *run, const struct ur_settle_wiring *wiring,
	struct ur_settle **ret, struct ur_err *err)
{
	struct ur_settle *settle = calloc(1, sizeof *settle);
	unsigned char *buffer = malloc(COPY_BUFFER);
	if (settle == NULL || buffer == NULL) {
		free(settle);
		free(buffer);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare for settling");
	}
	settle->run = run;
	settle->wiring = *wiring;
	settle->buffer = buffer;
	settle->target_fd = -1;
	int r = 0;
	if (run->options->after == UR_AFTER_MOVE) {
		settle->target_fd =
			ur_sys.openat(AT_FDCWD, run->options->move_to, O_RDONLY | O_DIRECTORY, 0);
		if (settle->target_fd < 0) {
			r = ur_err_set(err, settle->target_fd, UR_FAULT_SETUP,
				"cannot open '%s', where --after move=… should move files to",
				run->options->move_to);
		}
	}
	if (r == 0) {
		r = -pthread_create(&settle->thread, NULL, run_settle, settle);
		if (r < 0) {
			(void)ur_err_set(
				err, r, UR_FAULT_WORLD, "cannot start the settling thread");
		}
	}
	if (r < 0) {
		if (settle->target_fd >= 0) {
			(void)ur_sys.close(settle->target_fd);
		}
		free(settle->buffer);
		free(settle);
		return r;
	}
	*ret = settle;
	return 0;
}

struct ur_settle *ur_settle_free(struct ur_settle *settle)
{
	if (settle != NULL) {
		(void)pthread_join(settle->thread, NULL);
		if (settle->target_fd >= 0) {
			(void)ur_sys.close(settle->target_fd);
		}
		free(settle->buffer);
		free(settle);
	}
	return NULL;
}
