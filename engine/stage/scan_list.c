/*
 * scan_list - one lock around the stack; nobody holds it while listing.
 *
 *     of a directory on the stack:   no look ─▶ TAKEN by a thread, which lists ─▶ READY
 *
 * The scan thread helps where it would have to wait: it lists another directory near the top.
 */
#include "engine/stage/scan_list.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SLICE 256u           // entries of a large directory that a thread takes at a time
#define MEASURE_ENTRIES 512u // after so many it is decided whether the disk is cold
#define MEASURE_EVERY 64u    // directories between two decisions: asking costs, too
#define COLD_ENTRIES 64      // sleeping more often than once in so many entries is cold

enum look_state {
	LOOK_FREE,
	LOOK_TAKEN,
	LOOK_READY
};

/** What is known of a directory whose turn has not come. */
struct look {
	enum look_state state;
	const struct ur_dir *dir;
	struct ur_listing listing;
	int fd;
	int result;
	bool whole;
};

struct pending {
	struct ur_dir *dir;
	struct ur_scan_rules *rules;
	struct look *look;
};

/** A large directory, stat'ed by everybody. */
struct shared {
	struct ur_listing *listing; // NULL: there is none
	int fd;
	bool follow;
	size_t next;
	size_t busy;
};

struct ur_lister {
	pthread_mutex_t lock;
	pthread_cond_t work; // for helpers
	pthread_cond_t done; // for the scan thread
	struct pending *stack;
	size_t count;
	size_t room;
	struct look looks[UR_LISTER_LOOKS];
	size_t looks_free;
	struct shared shared;
	bool closing;
	pthread_t helpers[UR_LISTER_HELPERS_COLD];
	size_t helper_count;
	/* Of the entries since the last decision. */
	size_t measured;
	size_t unmeasured; // directories until the next is measured
	int64_t slept;
	atomic_bool cold;
	atomic_bool told_cold;
};

/* ---- listing, without the lock --------------------------------------------------------------- */

/** How often this thread has gone to sleep by itself: within a listing, to wait for the disk. */
static int64_t sleeps(void)
{
	struct rusage usage;
	return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

static void look_into(struct look *look, bool cold)
{
	const struct ur_dir *dir = look->dir;
	struct stat st;
	look->whole = false;
	look->result = 0;
	look->fd = ur_dir_open(dir);
	ur_listing_clear(&look->listing);
	/* On another file system the scan thread decides first whether it is entered at all. */
	if (look->fd < 0 || ur_sys.fstat(look->fd, &st) < 0 || st.st_dev != dir->fs.device) {
		return;
	}
	look->result = ur_listing_names(&look->listing, look->fd, UR_LISTER_AHEAD);
	if (look->result > 0) { // there are more
		look->result = 0;
		return;
	}
	if (look->result == 0) {
		if (cold) {
			ur_listing_sort(&look->listing);
		}
		ur_listing_stat(
			&look->listing, look->fd, dir->root->follow, 0, look->listing.count);
	}
	look->whole = true;
}

/* ---- with the lock --------------------------------------------------------------------------- */

static void *help(void *context);

static void add_helpers(struct ur_lister *lister, size_t wanted)
{
	while (lister->helper_count < wanted &&
		pthread_create(&lister->helpers[lister->helper_count], NULL, help, lister) == 0) {
		lister->helper_count++; // one that cannot be had is not missed
	}
}

/** Warm, a thread never sleeps while it lists; cold, once for every few blocks of inodes. */
static void measure(struct ur_lister *lister, size_t entries, int64_t slept)
{
	lister->measured += entries;
	lister->slept += slept;
	if (lister->measured >= MEASURE_ENTRIES) {
		atomic_store(
			&lister->cold, lister->slept * COLD_ENTRIES > (int64_t)lister->measured);
		lister->measured = 0;
		lister->slept = 0;
		lister->unmeasured = MEASURE_EVERY;
	}
}

static void list_one(struct ur_lister *lister, struct look *look)
{
	const bool cold = ur_lister_is_cold(lister);
	const bool measuring = lister->unmeasured == 0;
	lister->unmeasured -= measuring ? 0 : 1;
	(void)pthread_mutex_unlock(&lister->lock);
	const int64_t before = measuring ? sleeps() : 0;
	look_into(look, cold);
	const int64_t slept = measuring ? sleeps() - before : 0;
	(void)pthread_mutex_lock(&lister->lock);
	look->state = LOOK_READY;
	if (measuring) {
		measure(lister, look->listing.count, slept);
	}
}

static struct look *take_look(struct ur_lister *lister, struct pending *pending)
{
	for (size_t i = 0; i < UR_LISTER_LOOKS; i++) {
		struct look *look = &lister->looks[i];
		if (look->state == LOOK_FREE) {
			look->state = LOOK_TAKEN;
			look->dir = pending->dir;
			pending->look = look;
			lister->looks_free--;
			return look;
		}
	}
	return NULL;
}

static void give_look(struct ur_lister *lister, struct look *look)
{
	if (look->listing.room > 2 * (size_t)UR_LISTER_AHEAD) {
		ur_listing_done(&look->listing); // it was swapped with a large one
	}
	look->state = LOOK_FREE;
	lister->looks_free++;
}

/** The next directory that nobody looks into; NULL also when all looks but one are taken. */
static struct look *pick(struct ur_lister *lister)
{
	const size_t deep = lister->count < UR_LISTER_LOOKS ? lister->count : UR_LISTER_LOOKS;
	if (lister->looks_free <= 1) {
		return NULL; // the last one is for the directory whose turn it is
	}
	for (size_t i = 1; i <= deep; i++) {
		struct pending *pending = &lister->stack[lister->count - i];
		if (pending->look == NULL) {
			return take_look(lister, pending);
		}
	}
	return NULL;
}

static bool has_slice(const struct ur_lister *lister)
{
	const struct shared *s = &lister->shared;
	return s->listing != NULL && s->next < s->listing->count;
}

static void stat_slice(struct ur_lister *lister)
{
	struct shared *s = &lister->shared;
	const size_t from = s->next;
	const size_t left = s->listing->count - from;
	const size_t to = from + (left < SLICE ? left : SLICE);
	s->next = to;
	s->busy++;
	(void)pthread_mutex_unlock(&lister->lock);
	ur_listing_stat(s->listing, s->fd, s->follow, from, to);
	(void)pthread_mutex_lock(&lister->lock);
	s->busy--;
}

static void *help(void *context)
{
	struct ur_lister *lister = context;
	(void)pthread_mutex_lock(&lister->lock);
	while (!lister->closing) {
		struct look *look = NULL;
		if (has_slice(lister)) {
			stat_slice(lister);
			(void)pthread_cond_signal(&lister->done);
		} else if ((look = pick(lister)) != NULL) {
			list_one(lister, look);
			(void)pthread_cond_signal(&lister->done);
		} else {
			(void)pthread_cond_wait(&lister->work, &lister->lock);
		}
	}
	(void)pthread_mutex_unlock(&lister->lock);
	return NULL;
}

/* ---- the scan thread's ----------------------------------------------------------------------- */

static int make_room(struct ur_lister *lister)
{
	if (lister->count < lister->room) {
		return 0;
	}
	const size_t room = lister->room == 0 ? 64 : lister->room * 2;
	struct pending *stack = realloc(lister->stack, room * sizeof *stack);
	if (stack == NULL) {
		return -ENOMEM;
	}
	lister->stack = stack;
	lister->room = room;
	return 0;
}

int ur_lister_push(struct ur_lister *lister, struct ur_dir *dir, struct ur_scan_rules *rules)
{
	(void)pthread_mutex_lock(&lister->lock);
	const int r = make_room(lister);
	if (r == 0) {
		lister->stack[lister->count++] = (struct pending){.dir = dir, .rules = rules};
		(void)pthread_cond_signal(&lister->work);
	}
	(void)pthread_mutex_unlock(&lister->lock);
	return r;
}

size_t ur_lister_count(const struct ur_lister *lister)
{
	return lister->count; // only this thread changes it
}

/** The look into the directory on top; meanwhile this thread does what the helpers do. */
static struct look *look_at_top(struct ur_lister *lister)
{
	for (;;) {
		struct pending *top = &lister->stack[lister->count - 1];
		struct look *other = NULL;
		if (top->look == NULL) {
			list_one(lister, take_look(lister, top));
		} else if (top->look->state == LOOK_READY) {
			return top->look;
		} else if ((other = pick(lister)) != NULL) {
			list_one(lister, other);
		} else {
			(void)pthread_cond_wait(&lister->done, &lister->lock);
		}
	}
}

void ur_lister_next(struct ur_lister *lister, struct ur_listing *listing, struct ur_listed *ret)
{
	assert(lister->count > 0);
	(void)pthread_mutex_lock(&lister->lock);
	add_helpers(lister,
		ur_lister_is_cold(lister) ? UR_LISTER_HELPERS_COLD : UR_LISTER_HELPERS_WARM);
	struct look *look = look_at_top(lister);
	const struct pending *top = &lister->stack[--lister->count];
	*ret = (struct ur_listed){top->dir, top->rules, look->fd, look->result, look->whole};
	const struct ur_listing empty = *listing;
	*listing = look->listing;
	look->listing = empty;
	give_look(lister, look);
	(void)pthread_cond_signal(&lister->work);
	(void)pthread_mutex_unlock(&lister->lock);
}

static void stat_shared(struct ur_lister *lister, struct ur_listing *listing, int fd, bool follow)
{
	(void)pthread_mutex_lock(&lister->lock);
	lister->shared = (struct shared){.listing = listing, .fd = fd, .follow = follow};
	(void)pthread_cond_broadcast(&lister->work);
	while (has_slice(lister)) {
		stat_slice(lister);
	}
	while (lister->shared.busy > 0) {
		(void)pthread_cond_wait(&lister->done, &lister->lock);
	}
	lister->shared.listing = NULL;
	(void)pthread_mutex_unlock(&lister->lock);
}

int ur_lister_finish(struct ur_lister *lister, struct ur_listing *listing, int fd, bool follow)
{
	const int r = ur_listing_names(listing, fd, SIZE_MAX);
	if (r < 0) {
		return r;
	}
	if (ur_lister_is_cold(lister)) {
		ur_listing_sort(listing);
	}
	stat_shared(lister, listing, fd, follow);
	return 0;
}

struct ur_dir *ur_lister_drop(struct ur_lister *lister, struct ur_scan_rules **ret_rules)
{
	assert(lister->count > 0);
	(void)pthread_mutex_lock(&lister->lock);
	struct look *look = NULL;
	while ((look = lister->stack[lister->count - 1].look) != NULL &&
		look->state == LOOK_TAKEN) {
		(void)pthread_cond_wait(&lister->done, &lister->lock);
	}
	const struct pending *top = &lister->stack[--lister->count];
	struct ur_dir *dir = top->dir;
	*ret_rules = top->rules;
	if (look != NULL) {
		if (look->fd >= 0) {
			(void)ur_sys.close(look->fd);
		}
		give_look(lister, look);
	}
	(void)pthread_mutex_unlock(&lister->lock);
	return dir;
}

bool ur_lister_is_cold(const struct ur_lister *lister)
{
	return atomic_load_explicit(&lister->cold, memory_order_relaxed) ||
	       atomic_load_explicit(&lister->told_cold, memory_order_relaxed);
}

void ur_lister_tell(struct ur_lister *lister, bool cold)
{
	atomic_store_explicit(&lister->told_cold, cold, memory_order_relaxed);
}

int ur_lister_new(struct ur_lister **ret)
{
	struct ur_lister *lister = calloc(1, sizeof *lister);
	if (lister == NULL) {
		return -ENOMEM;
	}
	pthread_mutexattr_t brief; // held for some instructions: spinning a little beats sleeping
	(void)pthread_mutexattr_init(&brief);
	(void)pthread_mutexattr_settype(&brief, PTHREAD_MUTEX_ADAPTIVE_NP);
	(void)pthread_mutex_init(&lister->lock, &brief);
	(void)pthread_mutexattr_destroy(&brief);
	(void)pthread_cond_init(&lister->work, NULL);
	(void)pthread_cond_init(&lister->done, NULL);
	lister->looks_free = UR_LISTER_LOOKS;
	*ret = lister;
	return 0;
}

struct ur_lister *ur_lister_free(struct ur_lister *lister)
{
	if (lister == NULL) {
		return NULL;
	}
	assert(lister->count == 0);
	(void)pthread_mutex_lock(&lister->lock);
	lister->closing = true;
	(void)pthread_cond_broadcast(&lister->work);
	(void)pthread_mutex_unlock(&lister->lock);
	for (size_t i = 0; i < lister->helper_count; i++) {
		(void)pthread_join(lister->helpers[i], NULL);
	}
	for (size_t i = 0; i < UR_LISTER_LOOKS; i++) {
		ur_listing_done(&lister->looks[i].listing);
	}
	(void)pthread_cond_destroy(&lister->work);
	(void)pthread_cond_destroy(&lister->done);
	(void)pthread_mutex_destroy(&lister->lock);
	free(lister->stack);
	free(lister);
	return NULL;
}
