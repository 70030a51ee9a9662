/*
 * probe - a few dozen small state machines on one ring.
 *
 * The life of a file: next → open → read → arrived ┈ hashed → finish_file → close ┈ next (hashed ⇄
 * read while there is more), and when an item has no file left, it goes on to the next stage.  At the
 * first ┈ a buffer waits until others have arrived, so that they share the lanes; at the second the
 * turn ends, and goes on with what is over.
 */
#include "engine/stage/probe_parts.h"

#include "engine/base/thread.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define RING_ENTRIES 128u
#define IDLE_MS 1000
#define FLUSH_LEAST 4 // buffers that are hashed together although the lanes are fewer
#define TURNS_MAX 8   // of the ring, while a buffer waits to be hashed

static_assert(
	RING_ENTRIES >= 2 * UR_PROBE_SLOTS, "each slot has one request under way, rarely two");

/* ---- what a file needs ----------------------------------------------------------------------- */

/** Known from a plan or from a run that was cut off, perhaps, but still to be sent. */
static bool is_news(const struct ur_file *file)
{
	if (!file->unchanged || file->row->owes_link) {
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

static bool needs_opening(struct ur_probe_slot *slot, bool pairing)
{
	struct ur_file *file = slot->file;
	slot->wants_meta =
		pairing && (file->class == UR_CLASS_IMAGE || file->class == UR_CLASS_VIDEO);
	if (file->error != 0) {
		return false;
	}
	if (file->later) { // it is not tried in this run: what is known of it is enough
		if (file->unchanged && file->row->hashed && slot->item->dir->fs.trusted) {
			ur_probe_believe_row(file);
		}
		return false;
	}
	if (!file->unchanged || !slot->item->dir->fs.trusted || slot->wants_meta) {
		return true;
	}
	/* Where it may be removed it is opened, for its writers; then the row is believed behind that. */
	if (file->row->hashed && ur_run_removes(slot->probe->run)) {
		return true;
	}
	if (file->row->hashed) {
		ur_probe_believe_row(file);
	}
	return false;
}

static void finish_item(struct ur_probe_slot *slot)
{
	struct ur_probe *probe = slot->probe;
	const int r = ur_queue_push(probe->wiring.out, slot->item);
	assert(r == 0); // the queue has room for the whole pool
	slot->item = NULL;
	probe->news = true;
	probe->idle[probe->idle_count++] = slot;
}

/** The item's next file that must be opened; without one the item goes on. */
static void next_file(struct ur_probe_slot *slot)
{
	const bool held_up = is_held_up(slot->item);
	const bool pairing = !held_up && wants_pairing(slot->item);
	const bool stop = ur_run_is_stopping(slot->probe->run);
	for (; !held_up && !stop && slot->index < slot->item->count; slot->index++) {
		slot->file = &slot->item->files[slot->index];
		if (needs_opening(slot, pairing) && ur_probe_open(slot)) {
			return;
		}
	}
	finish_item(slot);
}

/** Those whose file is closed, or could not be opened. */
static void go_on(struct ur_probe *probe)
{
	const int count = probe->over_count;
	for (int i = 0; i < count; i++) {
		struct ur_probe_slot *slot = probe->over[i];
		assert(slot->fd < 0);
		slot->index++;
		next_file(slot);
	}
	assert(probe->over_count == count); // what fails at once is passed over at once
	probe->over_count = 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/** Slots that stay idle where few files may be open. */
static int reserve_of(const struct ur_probe *probe)
{
	const unsigned slots = probe->run->probe_slots;
	return slots == 0 || slots >= UR_PROBE_SLOTS ? 0 : UR_PROBE_SLOTS - (int)slots;
}

static void take_items(struct ur_probe *probe)
{
	const int reserve = reserve_of(probe);
	void *item = NULL;
	while (probe->idle_count > reserve) {
		const int r = ur_queue_pop(probe->wiring.in, &item);
		if (r == -EPIPE) {
			probe->input_closed = true;
		}
		if (r < 0) {
			return;
		}
		struct ur_probe_slot *slot = probe->idle[--probe->idle_count];
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
		assert(probe->flush_at <= UR_PROBE_SLOTS);
	}
	probe->memory = aligned_alloc(UR_RING_BLOCK, (size_t)UR_PROBE_SLOTS * UR_PROBE_BUFFER);
	r = r == 0 && probe->memory == NULL ? -ENOMEM : r;
	for (int i = 0; i < UR_PROBE_SLOTS && r == 0; i++) {
		struct ur_probe_slot *slot = &probe->slots[i];
		slot->probe = probe;
		slot->buffer = probe->memory + (size_t)i * UR_PROBE_BUFFER;
		r = ur_digest_new(&slot->digest);
		probe->idle[probe->idle_count++] = slot;
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot prepare for reading") : 0;
}

static void tear_down(struct ur_probe *probe)
{
	for (int i = 0; i < UR_PROBE_SLOTS; i++) {
		(void)ur_digest_free(probe->slots[i].digest);
	}
	(void)ur_hasher_free(probe->hasher);
	(void)ur_magic_free(probe->magic);
	(void)ur_ring_free(probe->ring);
	free(probe->memory);
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
		ur_probe_hash_all(probe);
	}
	go_on(probe);
	tell(probe);
}

static void work(struct ur_probe *probe)
{
	while (!probe->input_closed || probe->idle_count < UR_PROBE_SLOTS) {
		take_items(probe);
		if (ur_ring_in_flight(probe->ring) > 0) {
			turn(probe, 0);
		}
		ur_bell_arm(probe->wiring.bell);
		take_items(probe); // what came before the flag was up did not ring
		tell(probe);
		if (!probe->input_closed || probe->idle_count < UR_PROBE_SLOTS) {
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
	int r = ur_thread_start(&probe->thread, run_probe, probe, "the reading thread", err);
	if (r < 0) {
		(void)pthread_barrier_destroy(&probe->started);
		free(probe);
		return r;
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
