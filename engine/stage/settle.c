/*
 * settle - one group after the other, each step checked, each failure undone.
 *
 *     ASIDE    every file of the group into the staging folder, and proved there; one that fails
 *              brings all back
 *              (what is not our own 201 waits here for decide to ask the server once more)
 *     REMOVE   still the same, still nobody writes: unlink or move
 *     BACK     all to their names
 */
#include "engine/stage/settle_parts.h"

#include "engine/base/clock.h"
#include "engine/base/thread.h"
#include "engine/source/hindrance.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- proof ----------------------------------------------------------------------------------- */

static int hash_again(void *settle, int fd, uint8_t ret[UR_REMOVAL_SHA1])
{
	static_assert(UR_REMOVAL_SHA1 == UR_HASH_SHA1, "one kind of hash");
	return ur_settle_sha1(settle, fd, ret);
}

/** What earlier stages learned about the file. */
static void describe(struct ur_leaving *x)
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
static int hold(struct ur_leaving *x)
{
	assert(x->fd < 0);
	assert(x->dir_fd >= 0);
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

/** The staged file, opened afresh, is the one that was hashed; nobody writes to it. */
static int prove(struct ur_leaving *x)
{
	assert(x->place != NULL);
	assert(x->file->settle_renamed);
	assert(x->proved_fd < 0);
	const int fd = ur_sys.openat(
		x->place->fd, x->staged, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		return fd;
	}
	int r = ur_removal_prove(&x->proof, fd);
	r = r < 0 ? r : ur_identity_check(fd, x->proof.identity, &x->proved);
	if (r < 0) {
		(void)ur_sys.close(fd); // and the lease with it
		return r;
	}
	x->proved_fd = fd;
	return 0;
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool is_to_go(const struct ur_file *file)
{
	return file->state == UR_CONFIRMED && file->staged[0] != '\0';
}

static int stand_aside(struct ur_leaving *x)
{
	assert(!x->aside);
	assert(is_to_go(x->file));
	int r = x->dir_fd < 0 ? x->dir_fd : ur_settle_enter(x);
	r = r < 0 ? r : hold(x);
	r = r < 0 ? r : ur_settle_stage(x);
	if (r < 0) {
		return r;
	}
	r = prove(x);
	if (r < 0) {
		ur_settle_unstage(x);
	}
	x->aside = r == 0;
	assert(!x->aside || x->proved_fd >= 0);
	return r;
}

/** The last look, and what of a move may fail: after that it only goes. */
static int make_ready(struct ur_leaving *x)
{
	assert(x->aside);
	assert(x->copy_fd < 0);
	int r = ur_removal_prove_still(&x->proof, x->proved_fd, &x->proved);
	if (r == 0 && x->settle->run->options->after == UR_AFTER_MOVE) {
		r = ur_settle_move_prepare(x);
	}
	if (r < 0) {
		ur_settle_unstage(x);
		x->aside = false;
	}
	return r;
}

static int remove_one(struct ur_leaving *x)
{
	assert(x->aside);
	assert(x->proved_fd >= 0);
	const bool moving = x->settle->run->options->after == UR_AFTER_MOVE;
	const int r = moving ? ur_settle_move(x) : ur_settle_unlink(x);
	if (r < 0) {
		ur_settle_unstage(x);
	}
	x->aside = false;
	return r;
}

static const char *say(struct ur_item *item, bool moving, int r)
{
	char words[UR_HINDRANCE_TEXT];
	const char *ret = NULL;
	switch (r) {
	case 0:
		return NULL;
	case UR_SETTLE_GONE:
		return "delivered; it was gone before it could be removed";
	case -ESTALE:
	case -ETXTBSY: // it is not delivered any more, or nothing is wrong with it
		ret = ur_arena_string(&item->arena, ur_hindrance_of_leaving(r, moving, words));
		break;
	case UR_REMOVAL_WAITS:
		return "it must have been unchanged for a while before it may go: nobody can say whether "
		       "it is still being written to; looked at again in the next run";
	case -ECANCELED:
		return "delivered, and kept: what belongs together goes together, and could not now";
	default:
		ret = ur_arena_format(&item->arena, "delivered, but %s",
			ur_hindrance_of_leaving(r, moving, words));
		break;
	}
	return ret == NULL ? "it could not be removed, and there is not enough memory to say why"
			   : ret;
}

/* ---- one group ------------------------------------------------------------------------------- */

static void finish_file(struct ur_leaving *x, int r)
{
	assert(r <= 0);
	assert(!x->aside);
	assert(x->copy_fd < 0);
	assert(!x->stuck || r < 0);
	x->file->settle_result = x->stuck ? UR_SETTLE_STUCK : r;
	atomic_fetch_add(&x->settle->run->stranded, x->stuck ? 1 : 0);
	const bool moving = x->settle->run->options->after == UR_AFTER_MOVE;
	x->file->settle_why = r != 0 && x->why != NULL ? x->why : say(x->item, moving, r);
	if (x->proved_fd >= 0) {
		(void)ur_sys.close(x->proved_fd);
	}
	if (x->fd >= 0) {
		(void)ur_sys.close(x->fd); // and the leases with them
	}
	x->fd = -1;
	x->proved_fd = -1;
	ur_settle_leave(x);
	ur_dir_give(x->item->dir, x->dir_fd);
	if (r == 0 && !x->item->dir->root->loose) {
		atomic_fetch_add(&x->item->dir->removed, 1);
	}
}

static void go_back(struct ur_leaving *x)
{
	assert(x->aside);
	assert(!x->stuck);
	ur_settle_move_undo(x);
	ur_settle_unstage(x);
	x->aside = false;
	finish_file(x, -ECANCELED);
}

/** Those of the group of file `i` that still stand aside. */
static void group_back(struct ur_item *item, struct ur_leaving *all, int i)
{
	assert((item->together[i] & 1u << i) != 0);
	assert(!all[i].aside);
	for (int k = 0; k < item->count; k++) {
		if ((item->together[i] & 1u << k) != 0 && all[k].aside) {
			go_back(&all[k]);
		}
	}
}

/** True when something stands aside of which the server is to be asked once more. */
static bool all_aside(struct ur_settle *settle, struct ur_item *item, struct ur_leaving *all)
{
	assert(item->count <= UR_ITEM_FILES);
	bool broken[UR_ITEM_FILES] = {false};
	bool ask = false;
	for (int i = 0; i < item->count; i++) {
		if (!is_to_go(&item->files[i])) {
			continue;
		}
		all[i] = (struct ur_leaving){
			.settle = settle,
			.item = item,
			.file = &item->files[i],
			.dir_fd = ur_dir_take(item->dir),
			.fd = -1,
			.proved_fd = -1,
			.copy_fd = -1,
		};
		const int r = stand_aside(&all[i]);
		if (r < 0) {
			finish_file(&all[i], r);
			broken[i] = r != UR_SETTLE_GONE;
		}
	}
	for (int i = 0; i < item->count; i++) {
		if (broken[i]) {
			group_back(item, all, i);
		}
	}
	for (int i = 0; i < item->count; i++) {
		ask = ask || (all[i].aside && all[i].file->ask_again);
	}
	return ask;
}

/** Every one is looked at once more before the first goes: nobody can begin to write in between. */
static void all_ready(struct ur_item *item, struct ur_leaving *all)
{
	for (int i = 0; i < item->count; i++) {
		const int r = all[i].aside ? make_ready(&all[i]) : 0;
		if (r < 0) {
			finish_file(&all[i], r);
			group_back(item, all, i);
		}
	}
}

static void all_go(struct ur_item *item, struct ur_leaving *all)
{
	all_ready(item, all);
	for (int i = 0; i < item->count; i++) {
		if (all[i].aside) {
			const int r = remove_one(&all[i]);
			finish_file(&all[i], r);
			if (r < 0) {
				group_back(item, all, i);
			}
		}
		assert(!all[i].aside);
	}
}

static void all_back(struct ur_item *item, struct ur_leaving *all)
{
	for (int i = 0; i < item->count; i++) {
		if (all[i].aside) {
			go_back(&all[i]);
		}
	}
}

static void refuse_all(struct ur_item *item, int r)
{
	assert(r < 0);
	for (int i = 0; i < item->count; i++) {
		if (is_to_go(&item->files[i])) {
			item->files[i].settle_result = r;
			item->files[i].settle_why = say(item, false, r);
		}
	}
}

static void settle_item(struct ur_settle *settle, struct ur_item *item)
{
	struct ur_leaving *all = item->aside;
	assert(item->stands_aside == (all != NULL));
	assert(item->count > 0);
	if (item->settle_do == UR_SETTLE_ASIDE) {
		assert(all == NULL);
		all = calloc((size_t)item->count, sizeof *all);
		if (all == NULL) {
			refuse_all(item, -ENOMEM);
			return;
		}
		item->stands_aside = all_aside(settle, item, all);
		item->aside = item->stands_aside ? all : NULL;
		if (item->stands_aside) {
			return;
		}
	}
	assert(all != NULL);
	if (item->settle_do == UR_SETTLE_BACK) {
		all_back(item, all);
	} else {
		all_go(item, all);
	}
	free(all);
	item->aside = NULL;
	item->stands_aside = false;
}

static void give_back(struct ur_settle *settle, struct ur_item *item)
{
	assert(item->stands_aside ==
		(item->aside != NULL)); // decide asks again, or is done with it
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
			ur_settle_leave_last(settle);
			assert(settle->current == NULL);
			assert(settle->places == NULL); // every file has left, or is stuck and told
			ur_settle_tell(settle);
			return NULL;
		}
		settle_item(settle, item);
		give_back(settle, item);
	}
}

int ur_settle_start(struct ur_run *run, const struct ur_settle_wiring *wiring,
	struct ur_settle **ret, struct ur_err *err)
{
	assert(wiring->in != NULL);
	assert(wiring->out != NULL);
	assert(wiring->bell != wiring->out_bell);
	assert(run->options->after != UR_AFTER_MOVE || run->options->move_to != NULL);
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
	int r = 0;
	if (run->options->after == UR_AFTER_MOVE) {
		settle->target_fd =
			ur_sys.openat(AT_FDCWD, run->options->move_to, O_RDONLY | O_DIRECTORY, 0);
		const int may = settle->target_fd < 0 ? 0 : ur_sys.may_write(settle->target_fd);
		if (settle->target_fd < 0) {
			r = ur_err_set(err, settle->target_fd, UR_FAULT_SETUP,
				"cannot open '%s', where --after move=… should move files to",
				run->options->move_to);
		} else if (may == -EACCES || may == -EROFS || may == -EPERM) {
			/* Else it would be said of each file, and its own folder be blamed. */
			r = ur_err_set(err, may, UR_FAULT_SETUP,
				"cannot write into '%s', where --after move=… should move files to: "
				"let this user write there, or name another folder",
				run->options->move_to);
		}
	}
	if (r == 0) {
		r = ur_thread_start(
			&settle->thread, run_settle, settle, "the settling thread", err);
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
