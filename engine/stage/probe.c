/*
 * probe - a few dozen small state machines on one ring.
 *
 * Read downwards: next_file → opened → read_next → arrived ┈ hashed → finish_file → closed →
 * next_file (hashed ⇄ read_next while there is more), and when an item has no file left, it goes on
 * to the next stage.  At ┈ a buffer waits until others have arrived, so that they share the lanes.
 */
#include "engine/stage/probe.h"

#include "engine/base/clock.h"
#include "engine/media/pair.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 32
#define RING_ENTRIES 128u
#define BUFFER (256u << 10)
#define EDGE (64u << 10)
#define IDLE_MS 1000
#define COLD_SIZE (4 << 20) // smaller files are left to the kernel, but where nothing is in memory
#define REGISTER_SIZE (64 << 10) // with smaller files it gains little
#define SAMPLE 8u                // of which one in so many is asked about
#define FORGET_EVERY (8u << 20)
#define COLD_SHARE 2  // less than half of it in memory is not in memory
#define FLUSH_LEAST 4 // buffers that are hashed together although the lanes are fewer
#define TURNS_MAX 8   // of the ring, while a buffer waits to be hashed

static_assert(BUFFER > 2 * EDGE, "the last read of a file must be able to hold its tail");
static_assert(BUFFER >= UR_KIND_HEAD, "the head is judged from the first read");
static_assert(RING_ENTRIES >= 2 * SLOTS, "each slot has one request under way, rarely two");

struct slot {
	struct ur_op op; // first: the ring gives it back
	struct ur_probe *probe;
	struct ur_item *item;
	struct ur_file *file;
	int index;
	int dir_fd;
	int fd;
	unsigned char *buffer;
	size_t filled; // fed to the hasher, which has the buffer until the flush
	struct ur_digest *digest;
	struct stat before;
	int64_t opened_ns;
	uint64_t offset;
	uint64_t edge_first;
	bool wants_hash; // otherwise only the head, for a message or for the pair
	bool wants_meta;
	bool direct; // it is read past the page cache
	unsigned char head[UR_KIND_HEAD];
	size_t head_size;
	unsigned char *whole; // a sidecar that is larger than the buffer
};

struct ur_probe {
	struct ur_run *run;
	struct ur_probe_wiring wiring;
	pthread_t thread;
	pthread_barrier_t started;
	int start_result;
	struct ur_err start_err;
	struct ur_ring *ring;
	struct ur_hasher *hasher;
	struct ur_magic *magic;
	unsigned char *memory; // of all buffers
	bool registered;       // with the ring, or that was tried
	struct slot slots[SLOTS];
	struct slot *idle[SLOTS];
	int idle_count;
	struct slot *fed[SLOTS]; // their buffers wait for the flush
	int fed_count;
	int flush_at; // so many fill the lanes, and are in the cache still
	int turns;    // of the ring since the first of them
	bool input_closed;
	uint32_t in_flight; // as the run was last told
	bool news;          // items went out since the bell was rung
	unsigned samples;   // files, of which some are asked about
};

static void next_file(struct slot *slot);
static void let_go_behind(struct slot *slot);
static void closed(struct ur_op *op);

/* ---- what a file needs ----------------------------------------------------------------------- */

/** Known from a plan or from a run that was cut off, perhaps, but still to be sent. */
static bool is_news(const struct ur_file *file)
{
	if (!file->unchanged) {
		return true;
	}
	const enum ur_state state = file->row->state;
	return state == UR_SEEN || state == UR_STABLE || state == UR_PROBED || state == UR_WANTED ||
	       state == UR_SENDING || state == UR_FAILED;
}

/** A still beside a movie may be a live photo: then both are asked who they are. */
static bool wants_pairing(const struct ur_item *item)
{
	bool image = false;
	bool video = false;
	bool news = false;
	for (int i = 0; i < item->count; i++) {
		const struct ur_file *file = &item->files[i];
		image = image || file->class == UR_CLASS_IMAGE;
		video = video || file->class == UR_CLASS_VIDEO;
		news = news || is_news(file);
	}
	return image && video && news;
}

static bool is_held_up(const struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (item->files[i].young) {
			return true;
		}
	}
	return false;
}

static void believe_row(struct ur_file *file)
{
	const struct ur_record *row = file->row;
	file->hashed = true;
	file->remembered = true;
	file->edges = row->edges;
	memcpy(file->sha1, row->sha1, sizeof file->sha1);
	memcpy(file->xxh, row->xxh, sizeof file->xxh);
}

static void note(struct slot *slot, enum ur_judgement judgement, const char *why)
{
	slot->file->judgement = judgement;
	slot->file->note = ur_arena_string(&slot->item->arena, why);
	if (slot->file->note == NULL) {
		slot->file->note = "not enough memory to say why";
	}
}

/* ---- the end of a file ----------------------------------------------------------------------- */

static void close_file(struct slot *slot)
{
	free(slot->whole);
	slot->whole = NULL;
	if (slot->fd < 0) {
		slot->index++;
		next_file(slot);
		return;
	}
	slot->op.done = closed;
	ur_ring_close(slot->probe->ring, &slot->op, slot->fd);
}

static void closed(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	slot->fd = -1;
	slot->index++;
	next_file(slot);
}

static void give_up(struct slot *slot, int code)
{
	slot->file->error = code;
	close_file(slot);
}

static ssize_t read_at(void *context, void *buffer, size_t size, uint64_t offset)
{
	const struct slot *slot = context;
	const ssize_t n = ur_sys_pread_all(slot->fd, buffer, size, (off_t)offset);
	if (n > 0) {
		atomic_fetch_add_explicit(
			&slot->probe->run->bytes_read, (size_t)n, memory_order_relaxed);
	}
	return n;
}

static int read_meta(struct slot *slot)
{
	struct ur_file *file = slot->file;
	const struct ur_reader reader = {read_at, slot, (uint64_t)slot->before.st_size};
	file->meta = ur_arena_alloc(&slot->item->arena, sizeof *file->meta);
	if (file->meta == NULL) {
		return -ENOMEM;
	}
	*file->meta = (struct ur_meta){0};
	return ur_meta_read(&reader, file->kind, file->meta);
}

static void check_sidecar(struct slot *slot, const void *bytes, size_t size)
{
	struct ur_arena arena;
	struct ur_sidecar sidecar;
	struct ur_err err = {0};
	ur_arena_init(&arena);
	if (ur_sidecar_parse(&arena, bytes, size, &sidecar, &err) < 0) {
		char why[UR_ERR_TEXT_MAX + 64];
		(void)snprintf(why, sizeof why, "no usable sidecar: %s", err.text);
		note(slot, UR_JUDGE_REFUSE, why);
	}
	ur_arena_done(&arena);
}

/** Nothing that this process hashed can be believed, so nothing more may be done with it. */
static void distrust(struct slot *slot)
{
	const struct ur_probe *probe = slot->probe;
	struct ur_text path = {0};
	struct ur_err err = {0};
	ur_dir_path(slot->item->dir, slot->file->name, &path);
	(void)ur_err_say(&err, -EILSEQ, UR_FAULT_BUG,
		"this machine computes wrongly: OpenSSL came to another SHA-1 of '%s' than %s; try "
		"again with --hash=openssl, and test the memory and the processor if it comes back",
		ur_text_get(&path), ur_hasher_about(probe->hasher));
	ur_text_done(&path);
	ur_run_fail(probe->run, -EILSEQ, &err);
}

/** All bytes were read: the descriptor must still be what it was, then the results are written. */
static void finish_file(struct slot *slot)
{
	struct ur_file *file = slot->file;
	struct stat after = {0};
	int r = ur_sys.fstat(slot->fd, &after);
	const struct ur_identity first = ur_identity_of(&slot->before, file->identity.fs);
	const struct ur_identity last = ur_identity_of(&after, file->identity.fs);
	if (r == 0 && !ur_identity_same(&first, &last)) {
		r = -ESTALE;
	}
	if (r == 0 && slot->wants_meta) {
		r = read_meta(slot);
	}
	if (r == 0 && slot->wants_hash) {
		r = ur_digest_end(slot->digest, file->sha1, file->xxh);
	}
	if (r == -EILSEQ) {
		distrust(slot);
	}
	if (r < 0) {
		give_up(slot, r);
		return;
	}
	file->identity = last;
	if (slot->wants_hash) {
		file->hashed = true;
		file->fresh = true;
	}
	close_file(slot);
}

/* ---- the bytes ------------------------------------------------------------------------------- */

static void arrived(struct ur_op *op);

static size_t next_size(const struct slot *slot)
{
	const uint64_t left = (uint64_t)slot->before.st_size - slot->offset;
	if (!slot->wants_hash) {
		return left < UR_KIND_HEAD ? (size_t)left : UR_KIND_HEAD;
	}
	if (left <= BUFFER) {
		return (size_t)left;
	}
	/* So that the last read holds the whole tail. */
	return left < BUFFER + EDGE ? ((size_t)left - EDGE) / UR_RING_BLOCK * UR_RING_BLOCK
				    : BUFFER;
}

static void read_next(struct slot *slot)
{
	const size_t size = next_size(slot);
	slot->op.done = arrived;
	if (slot->direct) {
		const size_t blocks = (size + UR_RING_BLOCK - 1) / UR_RING_BLOCK;
		ur_ring_read_direct(slot->probe->ring, &slot->op, slot->fd, slot->buffer,
			blocks * UR_RING_BLOCK, slot->offset);
	} else {
		ur_ring_read(
			slot->probe->ring, &slot->op, slot->fd, slot->buffer, size, slot->offset);
	}
}

/** Whatever was wrong with a direct read, the page cache tells what the file is. */
static void read_by_cache(struct slot *slot)
{
	const int r = ur_sys.direct(slot->fd, false);
	slot->direct = false;
	if (r < 0) {
		give_up(slot, r);
	} else {
		read_next(slot);
	}
}

/** From the first bytes: what it is.  False when the rest need not be read. */
static bool judge_head(struct slot *slot, size_t size)
{
	struct ur_file *file = slot->file;
	struct ur_probe *probe = slot->probe;
	slot->head_size = size < UR_KIND_HEAD ? size : UR_KIND_HEAD;
	memcpy(slot->head, slot->buffer, slot->head_size);
	file->kind = ur_kind_of(slot->head, slot->head_size);
	if (ur_kind_is_unknown(file->kind)) {
		if (probe->magic == NULL && ur_magic_new(&probe->magic, NULL) < 0) {
			probe->magic = NULL;
		}
		if (probe->magic != NULL) {
			file->kind = ur_magic_kind(probe->magic, slot->head, slot->head_size);
		}
	}
	if (file->class == UR_CLASS_SIDECAR) {
		return true;
	}
	char why[UR_KIND_WHY];
	const enum ur_judgement judgement = ur_kind_judge(probe->run->types, file->name, file->kind,
		(uint64_t)slot->before.st_size, false, why, sizeof why);
	if (judgement != UR_JUDGE_TAKE) {
		note(slot, judgement, why);
	}
	return judgement != UR_JUDGE_REFUSE;
}

static void judge_tail(struct slot *slot, const unsigned char *tail, size_t size)
{
	struct ur_file *file = slot->file;
	char why[UR_KIND_WHY];
	if (file->class == UR_CLASS_SIDECAR || file->judgement != UR_JUDGE_TAKE) {
		return;
	}
	const uint64_t whole = (uint64_t)slot->before.st_size;
	const bool cut =
		ur_kind_cut_short(file->kind, slot->head, slot->head_size, tail, size, whole);
	const enum ur_judgement judgement = ur_kind_judge(
		slot->probe->run->types, file->name, file->kind, whole, cut, why, sizeof why);
	if (judgement != UR_JUDGE_TAKE) {
		note(slot, judgement, why);
	}
}

static void take_edges(struct slot *slot, const unsigned char *bytes, size_t size, bool last)
{
	if (slot->item->dir->fs.trusted) {
		return;
	}
	if (slot->offset == 0) {
		slot->edge_first = ur_hash_short(bytes, size < EDGE ? size : EDGE, 0);
	}
	if (last) {
		const size_t n = size < EDGE ? size : EDGE;
		slot->file->edges = ur_hash_short(bytes + size - n, n, slot->edge_first);
	}
}

/** A sidecar is small and is parsed whole. */
static int gather_sidecar(struct slot *slot, const unsigned char *bytes, size_t size, bool last)
{
	const size_t whole = (size_t)slot->before.st_size;
	if (slot->offset == 0 && last) {
		check_sidecar(slot, bytes, size);
		return 0;
	}
	if (slot->whole == NULL) {
		slot->whole = malloc(whole);
		if (slot->whole == NULL) {
			return -ENOMEM;
		}
	}
	memcpy(slot->whole + slot->offset, bytes, size);
	if (last) {
		check_sidecar(slot, slot->whole, whole);
	}
	return 0;
}

/** The hasher keeps the buffer until the flush; then it goes on with hashed(). */
static void queue_for_hashing(struct slot *slot, size_t size, bool last)
{
	struct ur_probe *probe = slot->probe;
	ur_hasher_feed(probe->hasher, slot->digest, slot->buffer, size);
	if (last) {
		ur_hasher_finish(probe->hasher, slot->digest);
	}
	atomic_fetch_add_explicit(&probe->run->bytes_hashed, size, memory_order_relaxed);
	slot->filled = size;
	assert(probe->fed_count < SLOTS);
	probe->fed[probe->fed_count++] = slot;
}

static void hashed(struct slot *slot)
{
	let_go_behind(slot);
	slot->offset += slot->filled;
	if (slot->offset == (uint64_t)slot->before.st_size) {
		finish_file(slot);
	} else {
		read_next(slot);
	}
}

static void arrived(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const size_t size = next_size(slot);
	if (slot->direct && op->result != (int64_t)size) {
		read_by_cache(slot);
		return;
	}
	if (op->result < 0) {
		give_up(slot, (int)op->result);
		return;
	}
	atomic_fetch_add_explicit(
		&slot->probe->run->bytes_read, (size_t)op->result, memory_order_relaxed);
	if ((size_t)op->result != size) { // it shrank while we read
		give_up(slot, -ESTALE);
		return;
	}
	if (slot->offset == 0 && !judge_head(slot, size)) {
		slot->wants_hash = false;
		slot->wants_meta = false;
		finish_file(slot);
		return;
	}
	if (!slot->wants_hash) {
		finish_file(slot);
		return;
	}
	const bool last = slot->offset + size == (uint64_t)slot->before.st_size;
	take_edges(slot, slot->buffer, size, last);
	if (slot->file->class == UR_CLASS_SIDECAR &&
		gather_sidecar(slot, slot->buffer, size, last) < 0) {
		give_up(slot, -ENOMEM);
		return;
	}
	if (last) {
		judge_tail(slot, slot->buffer, size);
	}
	queue_for_hashing(slot, size, last);
}

/* ---- the beginning --------------------------------------------------------------------------- */

/** On a file system whose identities prove nothing, the edges of the file have to agree too. */
static bool edges_agree(struct slot *slot)
{
	const uint64_t size = (uint64_t)slot->before.st_size;
	const size_t n = size < EDGE ? (size_t)size : EDGE;
	if (ur_sys_pread_all(slot->fd, slot->buffer, n, 0) != (ssize_t)n) {
		return false;
	}
	const uint64_t first = ur_hash_short(slot->buffer, n, 0);
	if (ur_sys_pread_all(slot->fd, slot->buffer, n, (off_t)(size - n)) != (ssize_t)n) {
		return false;
	}
	return ur_hash_short(slot->buffer, n, first) == slot->file->row->edges;
}

/** True when somebody has the file open for writing, as far as the kernel will tell us. */
static bool is_being_written(int fd)
{
	const int r = ur_sys.lease(fd, true);
	if (r == 0) {
		(void)ur_sys.lease(fd, false);
	}
	return r == -EAGAIN;
}

/** How much of the file is in memory, if that is worth the asking; all of it, when it is unknown. */
static int64_t cached_of(struct slot *slot)
{
	struct ur_probe *probe = slot->probe;
	const int64_t size = slot->before.st_size;
	const bool asks =
		size >= COLD_SIZE || ur_run_is_cold(probe->run) || probe->samples++ % SAMPLE == 0;
	const int64_t cached = asks ? ur_sys.cached(slot->fd) : size;
	if (asks && cached >= 0) {
		ur_run_see_cold(probe->run, cached < size / COLD_SHARE);
	}
	return cached < 0 ? size : cached;
}

/** Not before it is known to be of use: memory that is registered is taken at once, and all of it. */
static void register_buffers(struct ur_probe *probe)
{
	if (!probe->registered) {
		probe->registered = true;
		(void)ur_ring_register(probe->ring, probe->memory, (size_t)SLOTS * BUFFER);
	}
}

/**
 * What nobody had in memory shall not push out what somebody has.  A plan reads what is read in one go
 * past the page cache, which is cheaper and faster; larger files by the cache, which reads ahead, and
 * is told to forget them.  An import reads once more before long, when it sends.
 */
static void see_if_cold(struct slot *slot)
{
	const struct ur_item *item = slot->item;
	const int64_t size = slot->before.st_size;
	slot->file->cold = cached_of(slot) < size / COLD_SHARE;
	slot->direct = slot->file->cold && slot->probe->run->options->plan && !slot->wants_meta &&
		       size <= BUFFER && item->dir->fs.trusted &&
		       ur_sys.direct(slot->fd, true) == 0;
	if (slot->direct && size >= REGISTER_SIZE) {
		register_buffers(slot->probe);
	}
}

/**
 * What an import is about to send is read once more before long: upload lets it go.  From the start
 * of the file each time, because what lies across two pieces goes with neither.
 */
static void let_go_behind(struct slot *slot)
{
	const uint64_t end = slot->offset + slot->filled;
	const bool last = end == (uint64_t)slot->before.st_size;
	if (slot->file->cold && slot->probe->run->options->plan && !slot->direct &&
		(last || slot->offset / FORGET_EVERY != end / FORGET_EVERY)) {
		ur_sys.forget(slot->fd, 0, last ? 0 : (off_t)end);
	}
}

static int look_at_open_file(struct slot *slot)
{
	struct ur_file *file = slot->file;
	const struct ur_options *options = slot->probe->run->options;
	slot->opened_ns = ur_clock_wall_ns();
	const int r = ur_sys.fstat(slot->fd, &slot->before);
	if (r < 0) {
		return r;
	}
	if (!S_ISREG(slot->before.st_mode)) {
		return -EINVAL; // a FIFO or the like took its place
	}
	const struct ur_identity now = ur_identity_of(&slot->before, file->identity.fs);
	if (!ur_identity_same(&now, &file->identity)) {
		file->unchanged = false;
		file->young = options->min_age_ms > 0;
		file->identity = now;
	}
	file->remembered = ur_fs_settled(&slot->item->dir->fs, &now, slot->opened_ns);
	if (options->min_age_ms > 0 && !file->unchanged && is_being_written(slot->fd)) {
		file->busy = true;
	}
	return 0;
}

static void opened(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	struct ur_file *file = slot->file;
	ur_dir_give(slot->item->dir, slot->dir_fd);
	slot->dir_fd = -1;
	slot->fd = (int)op->result;
	if (op->result < 0) {
		slot->fd = -1;
		give_up(slot, (int)op->result);
		return;
	}
	const int r = look_at_open_file(slot);
	if (r < 0) {
		give_up(slot, r);
		return;
	}
	if (file->young || file->busy) {
		close_file(slot);
		return;
	}
	if (file->unchanged && !slot->item->dir->fs.trusted && !edges_agree(slot)) {
		file->unchanged = false;
	}
	if (file->unchanged) {
		believe_row(file);
	}
	slot->wants_hash = !file->unchanged && file->class != UR_CLASS_NONE;
	if (slot->wants_hash) {
		see_if_cold(slot);
	}
	if (slot->before.st_size == 0) {
		file->kind = ur_kind_of(NULL, 0);
		note(slot, UR_JUDGE_REFUSE, "empty: there is nothing to send");
		close_file(slot);
		return;
	}
	if (file->class == UR_CLASS_SIDECAR && slot->before.st_size > (off_t)UR_SIDECAR_MAX) {
		note(slot, UR_JUDGE_REFUSE, "too large for a sidecar (more than 4 MiB)");
		close_file(slot);
		return;
	}
	if (file->unchanged && !slot->wants_meta) {
		close_file(slot);
		return;
	}
	if (slot->wants_hash && ur_digest_begin(slot->digest) < 0) {
		give_up(slot, -EIO);
		return;
	}
	read_next(slot);
}

static void open_file(struct slot *slot)
{
	const struct ur_dir *dir = slot->item->dir;
	slot->offset = 0;
	slot->edge_first = 0;
	slot->direct = false;
	slot->dir_fd = ur_dir_take(dir);
	if (slot->dir_fd < 0) {
		const int code = slot->dir_fd;
		slot->dir_fd = -1;
		give_up(slot, code);
		return;
	}
	slot->op.done = opened;
	const int no_follow = dir->root->follow ? 0 : O_NOFOLLOW;
	ur_ring_open(slot->probe->ring, &slot->op, slot->dir_fd, slot->file->name,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | no_follow);
}

static bool needs_opening(struct slot *slot, bool pairing)
{
	struct ur_file *file = slot->file;
	slot->wants_meta =
		pairing && (file->class == UR_CLASS_IMAGE || file->class == UR_CLASS_VIDEO);
	if (file->error != 0 || file->later) {
		return false;
	}
	if (file->unchanged && slot->item->dir->fs.trusted && !slot->wants_meta) {
		if (file->row->hashed) {
			believe_row(file);
		}
		return false;
	}
	return true;
}

static void finish_item(struct slot *slot)
{
	struct ur_probe *probe = slot->probe;
	const int r = ur_queue_push(probe->wiring.out, slot->item);
	assert(r == 0); // the queue has room for the whole pool
	slot->item = NULL;
	probe->news = true;
	probe->idle[probe->idle_count++] = slot;
}

static void next_file(struct slot *slot)
{
	const bool held_up = is_held_up(slot->item);
	const bool pairing = !held_up && wants_pairing(slot->item);
	const bool stop = atomic_load_explicit(&slot->probe->run->stop, memory_order_relaxed);
	while (!held_up && !stop && slot->index < slot->item->count) {
		slot->file = &slot->item->files[slot->index];
		if (needs_opening(slot, pairing)) {
			open_file(slot);
			return;
		}
		slot->index++;
	}
	finish_item(slot);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void take_items(struct ur_probe *probe)
{
	void *item = NULL;
	while (probe->idle_count > 0) {
		const int r = ur_queue_pop(probe->wiring.in, &item);
		if (r == -EPIPE) {
			probe->input_closed = true;
		}
		if (r < 0) {
			return;
		}
		struct slot *slot = probe->idle[--probe->idle_count];
		slot->item = item;
		slot->index = 0;
		slot->fd = -1;
		slot->dir_fd = -1;
		next_file(slot);
	}
}

/** What all rings together have in flight, as it is when one of them is about to wait. */
static void count_in_flight(struct ur_probe *probe)
{
	const uint32_t now = (uint32_t)ur_ring_in_flight(probe->ring);
	atomic_fetch_add_explicit(
		&probe->run->in_flight, now - probe->in_flight, memory_order_relaxed);
	probe->in_flight = now;
	if (now > 0) {
		ur_run_see_in_flight(probe->run);
	}
}

/** Once for all items of a turn: waking the next stage costs more than handing it an item. */
static void tell(struct ur_probe *probe)
{
	if (probe->news) {
		probe->news = false;
		ur_bell_ring(probe->wiring.out_bell);
	}
}

static int set_up(struct ur_probe *probe, struct ur_err *err)
{
	int r = ur_ring_new(probe->run->options->ring, RING_ENTRIES, &probe->ring, err);
	if (r < 0) {
		return r;
	}
	r = ur_hasher_new(&probe->hasher);
	if (r == 0) {
		const int width = (int)ur_hasher_width(probe->hasher);
		probe->flush_at = width < FLUSH_LEAST ? FLUSH_LEAST : width;
		assert(probe->flush_at <= SLOTS);
	}
	probe->memory = aligned_alloc(UR_RING_BLOCK, (size_t)SLOTS * BUFFER);
	r = r == 0 && probe->memory == NULL ? -ENOMEM : r;
	for (int i = 0; i < SLOTS && r == 0; i++) {
		struct slot *slot = &probe->slots[i];
		slot->probe = probe;
		slot->buffer = probe->memory + (size_t)i * BUFFER;
		r = ur_digest_new(&slot->digest);
		probe->idle[probe->idle_count++] = slot;
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot prepare for reading") : 0;
}

static void tear_down(struct ur_probe *probe)
{
	for (int i = 0; i < SLOTS; i++) {
		(void)ur_digest_free(probe->slots[i].digest);
	}
	(void)ur_hasher_free(probe->hasher);
	(void)ur_magic_free(probe->magic);
	(void)ur_ring_free(probe->ring);
	free(probe->memory);
}

static void hash_all(struct ur_probe *probe)
{
	const int count = probe->fed_count;
	struct slot *fed[SLOTS];
	memcpy(fed, probe->fed, sizeof fed);
	probe->fed_count = 0;
	probe->turns = 0;
	ur_hasher_flush(probe->hasher);
	for (int i = 0; i < count; i++) {
		hashed(fed[i]);
	}
}

/**
 * One turn of the ring.  Buffers are hashed when nothing more arrives by itself: until then others
 * may join them, and the more there are the better the lanes are filled.
 */
static void turn(struct ur_probe *probe, int wait_ms)
{
	count_in_flight(probe);
	const size_t count = ur_ring_run(
		probe->ring, probe->wiring.bell->fd, probe->fed_count > 0 ? 0 : wait_ms);
	if (probe->fed_count > 0 && (count == 0 || ++probe->turns == TURNS_MAX ||
					    probe->fed_count >= probe->flush_at)) {
		hash_all(probe);
	}
	tell(probe);
}

static void work(struct ur_probe *probe)
{
	while (!probe->input_closed || probe->idle_count < SLOTS) {
		take_items(probe);
		if (ur_ring_in_flight(probe->ring) > 0) {
			turn(probe, 0);
		}
		ur_bell_arm(probe->wiring.bell);
		take_items(probe); // what came before the flag was up did not ring
		tell(probe);
		if (!probe->input_closed || probe->idle_count < SLOTS) {
			turn(probe, IDLE_MS);
		}
		ur_bell_answer(probe->wiring.bell);
	}
}

static void *run_probe(void *context)
{
	struct ur_probe *probe = context;
	probe->start_result = set_up(probe, &probe->start_err);
	const bool ok = probe->start_result == 0;
	(void)pthread_barrier_wait(&probe->started);
	if (ok) {
		work(probe);
		count_in_flight(probe);
		atomic_fetch_add(&probe->run->ring_ops, ur_ring_ops(probe->ring));
		ur_queue_close(probe->wiring.out);
		ur_bell_ring(probe->wiring.out_bell);
	}
	tear_down(probe);
	return NULL;
}

int ur_probe_start(struct ur_run *run, const struct ur_probe_wiring *wiring, struct ur_probe **ret,
	struct ur_err *err)
{
	struct ur_probe *probe = calloc(1, sizeof *probe);
	if (probe == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot start reading");
	}
	probe->run = run;
	probe->wiring = *wiring;
	(void)pthread_barrier_init(&probe->started, NULL, 2);
	int r = -pthread_create(&probe->thread, NULL, run_probe, probe);
	if (r < 0) {
		(void)pthread_barrier_destroy(&probe->started);
		free(probe);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot start the reading thread");
	}
	(void)pthread_barrier_wait(&probe->started);
	r = probe->start_result;
	if (r < 0) {
		*err = probe->start_err;
		(void)ur_probe_free(probe);
		return r;
	}
	*ret = probe;
	return 0;
}

struct ur_probe *ur_probe_free(struct ur_probe *probe)
{
	if (probe != NULL) {
		(void)pthread_join(probe->thread, NULL);
		(void)pthread_barrier_destroy(&probe->started);
		free(probe);
	}
	return NULL;
}

const char *ur_probe_about(const struct ur_probe *probe)
{
	return ur_ring_about(probe->ring);
}
