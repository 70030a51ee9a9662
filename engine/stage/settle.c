/*
 * settle - one file after the other, each step checked, each failure undone.
 */
#include "engine/stage/settle_parts.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- proof ----------------------------------------------------------------------------------- */

/**
 * Opens the file by its name and sees that it is as it was hashed, ctime included: the rename will
 * change that.  The lease comes first, so that who opens it for writing from here on waits, and is
 * seen by prove(); times can be set back, but not without opening the file.
 */
static int hold(struct ur_removal *x)
{
	struct ur_identity now = {0};
	x->fd = ur_sys.openat(
		x->dir_fd, x->file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (x->fd < 0) {
		return x->fd == -ENOENT ? UR_SETTLE_GONE : x->fd == -ELOOP ? -ESTALE : x->fd;
	}
	/* -EAGAIN: a writer.  Other refusals (not our file, NFS) prove nothing either way. */
	if (ur_sys.lease(x->fd, true) == -EAGAIN) {
		return -ETXTBSY;
	}
	const int r = ur_identity_check(x->fd, &x->file->identity, &now);
	x->suspicious = !ur_identity_same(&now, &x->file->identity);
	return r;
}

int ur_settle_sha1(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1])
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
		const ssize_t n = ur_sys.pread(fd, settle->buffer, UR_SETTLE_BUFFER, (off_t)offset);
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

/** (d) of promise 1, and every other reason to doubt that these are the bytes that were sent. */
static bool must_hash_again(const struct ur_removal *x)
{
	const struct ur_file *file = x->file;
	const bool ours = file->now_sent || file->created;
	return !ours || file->there || !file->remembered || x->suspicious ||
	       (!x->item->dir->fs.trusted && !file->fresh);
}

/** The staged file, opened afresh, is the one that was hashed; nobody writes to it. */
static int prove(struct ur_removal *x, int *ret_fd)
{
	struct ur_identity now = {0};
	const int fd = ur_sys.openat(
		x->staging_fd, x->staged, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		return fd;
	}
	int r = ur_identity_check(fd, &x->file->identity, &now);
	/* Who waits for our first lease to be given up counts as a writer too. */
	if (r == 0 && ur_sys.lease(fd, true) == -EAGAIN) {
		r = -ETXTBSY;
	}
	if (r == 0 && must_hash_again(x)) {
		uint8_t sha1[UR_HASH_SHA1];
		r = ur_settle_sha1(x->settle, fd, sha1);
		if (r == 0 && memcmp(sha1, x->file->sha1, sizeof sha1) != 0) {
			r = -ESTALE;
		}
	}
	struct stat after = {0};
	if (r == 0) {
		r = ur_sys.fstat(fd, &after);
	}
	const struct ur_identity last = ur_identity_of(&after, x->file->identity.fs);
	if (r == 0 && !ur_identity_same(&now, &last)) {
		r = -ESTALE;
	}
	if (r < 0) {
		(void)ur_sys.close(fd); // and the lease with it
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* ---- one file -------------------------------------------------------------------------------- */

static int carry_out(struct ur_removal *x)
{
	int r = ur_settle_enter(x);
	r = r < 0 ? r : hold(x);
	r = r < 0 ? r : ur_settle_stage(x);
	if (r < 0) {
		return r;
	}
	int fd = -1;
	r = prove(x, &fd);
	if (r == 0) {
		const bool moving = x->settle->run->options->after == UR_AFTER_MOVE;
		r = moving ? ur_settle_move(x, fd) : ur_settle_unlink(x);
		(void)ur_sys.close(fd);
	}
	if (r < 0) {
		ur_settle_unstage(x);
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
	case -EACCES:
	case -EPERM:
		return "delivered, but it may not be removed: no write permission in its folder";
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
	struct ur_removal x = {
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
	ur_dir_give(item->dir, x.dir_fd);
	file->settle_result = x.stuck ? UR_SETTLE_STUCK : r;
	atomic_fetch_add(&settle->run->stranded, x.stuck ? 1 : 0);
	file->settle_why = r != 0 && x.why != NULL ? x.why : say(r);
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
			ur_settle_leave(settle);
			ur_settle_tell(settle);
			return NULL;
		}
		settle_item(settle, item);
	}
}

int ur_settle_start(struct ur_run *run, const struct ur_settle_wiring *wiring,
	struct ur_settle **ret, struct ur_err *err)
{
	struct ur_settle *settle = calloc(1, sizeof *settle);
	unsigned char *buffer = malloc(UR_SETTLE_BUFFER);
	if (settle == NULL || buffer == NULL) {
		free(settle);
		free(buffer);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare for settling");
	}
	settle->run = run;
	settle->wiring = *wiring;
	settle->buffer = buffer;
	settle->target_fd = -1;
	settle->staging_fd = -1;
	settle->staging_parent = -1;
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
