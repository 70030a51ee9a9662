/*
 * chunks - a slot a transfer; begin() starts what a state waits for, conclude() notes how it ended.
 *
 *     HASH   open → read ⇄ feed → conclude         SEND   read ⇄ give → answer → conclude
 *
 *     begin() ─▶ chunks_requests ─▶ chunks_disk ─▶ chunks_slot: conclude() ┈▶ the turn ─▶ step()
 *
 * This file has the slots, and is http's guest.  Answers and reads are noted before or in a turn, and
 * the turn takes the steps.  An answer may come while reads are still in flight: the transfer goes on
 * when they are back.
 */
#include "engine/stage/chunks_parts.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RING_ENTRIES 32u
#define READS_A_TURN 8                               // completions before curl has its turn again
#define STALE_NS (INT64_C(24) * 3600 * UR_SECOND_NS) // a gateway away for longer is not waited for

static_assert(RING_ENTRIES >= 3 * UR_CHUNKS_SLOTS_MAX, "two reads and an open a slot");

/* ---- back to decide -------------------------------------------------------------------------- */

static void push_out(struct ur_chunks *chunks, struct ur_item *item)
{
	const int r = ur_queue_push(chunks->wiring.out, item);
	assert(r == 0); // the queue has room for the whole pool
	ur_bell_ring(chunks->wiring.out_bell);
}

static void hand_back(struct ur_chunks *chunks, struct ur_item *item, enum ur_transfer_end end,
	int status, const char *why)
{
	struct ur_file *file = &item->files[item->current];
	file->resume->recording = false;
	file->resume->end = end;
	file->resume->status = status;
	file->send_why = why[0] == '\0' ? NULL : ur_arena_string(&item->arena, why);
	push_out(chunks, item);
}

static void close_slot(struct ur_chunks_slot *slot)
{
	if (slot->fd >= 0) {
		(void)ur_sys.close(slot->fd);
		slot->fd = -1;
	}
	free(slot->sidecar_bytes);
	slot->sidecar_bytes = NULL;
	slot->item = NULL;
}

static void warn_unusable(struct ur_chunks_slot *slot)
{
	struct ur_chunks *chunks = slot->chunks;
	if (!chunks->warned) {
		chunks->warned = true;
		ur_run_warn(chunks->run,
			"the gateway does not take '%s' in pieces: %s; it goes in one piece, and starts "
			"again when the line breaks",
			slot->name, slot->transfer.why);
	}
}

static void finish(struct ur_chunks_slot *slot)
{
	struct ur_chunks *chunks = slot->chunks;
	struct ur_item *item = slot->item;
	const struct ur_transfer *t = &slot->transfer;
	/* A gateway that cannot even begin is no reason to wait. */
	const bool unusable =
		t->end == UR_TRANSFER_UNUSABLE || (t->end == UR_TRANSFER_AWAY && !t->has_address);
	if (unusable) {
		warn_unusable(slot);
	}
	slot->file->send_result = t->end == UR_TRANSFER_UNREAD ? t->code : 0;
	slot->file->send_changed = t->end == UR_TRANSFER_CHANGED;
	slot->resume->retry_ms = t->asked_ms;
	close_slot(slot);
	hand_back(chunks, item, unusable ? UR_TRANSFER_UNUSABLE : t->end, t->status, t->why);
}

/* ---- outcomes -------------------------------------------------------------------------------- */

/** More is durable there: the sender goes on. */
static void window_moved(struct ur_window *window)
{
	struct ur_chunks_slot *slot =
		(struct ur_chunks_slot *)((char *)window - offsetof(struct ur_chunks_slot, window));
	if (slot->reading == READING_SEND && !slot->concluding) {
		ur_http_resume(slot->chunks->http, &slot->request);
	}
}

/** Progress is what the gateway has made durable, and in this run. */
static void count(struct ur_chunks_slot *slot, enum ur_transfer_state before)
{
	const uint64_t offset = slot->transfer.offset;
	if (before == UR_TRANSFER_LOCATE && !slot->based) {
		slot->counted = offset;
	} else if ((before == UR_TRANSFER_LOCATE || before == UR_TRANSFER_SEND) &&
		   offset > slot->counted) {
		ur_http_count(slot->chunks->http, offset - slot->counted);
	}
	slot->based = slot->based || before == UR_TRANSFER_LOCATE || before == UR_TRANSFER_RECORD;
	slot->counted = before == UR_TRANSFER_CREATE ? 0 : offset;
	atomic_store(&slot->resume->offset, offset);
}

/** A run that is being stopped begins nothing new; what is under way may end. */
static bool ends_here(const struct ur_chunks_slot *slot)
{
	const enum ur_transfer_state state = slot->transfer.state;
	return ur_run_is_stopping(slot->chunks->run) &&
	       (state == UR_TRANSFER_HASH || state == UR_TRANSFER_LOCATE ||
		       state == UR_TRANSFER_RELATED || state == UR_TRANSFER_RECORD);
}

/** One step of the transfer, which begins what comes next. */
static void step(struct ur_chunks_slot *slot)
{
	struct ur_chunks *chunks = slot->chunks;
	const enum ur_transfer_state before = slot->transfer.state;
	slot->concluding = false;
	slot->reading = READING_NOTHING;
	if (ends_here(slot)) {
		slot->outcome.result = -ECANCELED;
	}
	ur_transfer_step(&slot->transfer, &slot->outcome);
	if (chunks->pace.learned) {
		chunks->pace.learned = false;
		atomic_store(&chunks->run->chunk_ceiling, chunks->pace.ceiling);
	}
	count(slot, before);
	if (slot->transfer.state == UR_TRANSFER_OVER) {
		finish(slot);
	}
}

/** Every outcome that is known, and whose reads are back, is told to its transfer. */
static void go_on(struct ur_chunks *chunks)
{
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		struct ur_chunks_slot *slot = &chunks->slots[i];
		while (slot->concluding && !ur_chunks_is_reading(slot)) {
			step(slot);
		}
	}
}

/* ---- the transfer's world -------------------------------------------------------------------- */

static void begin(
	struct ur_transport *transport, struct ur_transfer *t, enum ur_transfer_state state)
{
	struct ur_chunks_slot *slot =
		(struct ur_chunks_slot *)((char *)transport -
					  offsetof(struct ur_chunks_slot, transport));
	slot->due_ns = 0;
	switch (state) {
	case UR_TRANSFER_CLEAR:
		ur_chunks_ask_simply(
			slot, "DELETE", t->renewed ? slot->resume->address : slot->clear, "");
		return;
	case UR_TRANSFER_RELATED:
		ur_chunks_begin_sidecar(slot);
		return;
	case UR_TRANSFER_CREATE:
		ur_chunks_create_upload(slot);
		return;
	case UR_TRANSFER_RECORD:
		slot->resume->recording = true;
		push_out(slot->chunks, slot->item);
		return;
	case UR_TRANSFER_LOCATE:
		ur_chunks_ask_simply(slot, "HEAD", slot->resume->address, "");
		return;
	case UR_TRANSFER_HASH:
		ur_chunks_hash_chunk(slot);
		return;
	case UR_TRANSFER_SEND:
		ur_chunks_send_chunk(slot);
		return;
	case UR_TRANSFER_REST:
	case UR_TRANSFER_WAIT:
		slot->due_ns = ur_clock_steady_ns() + t->rest_ms * UR_MS_NS;
		return;
	case UR_TRANSFER_ASK:
		ur_chunks_ask_simply(slot, "GET", slot->resume->address, "/status");
		return;
	case UR_TRANSFER_DROP:
		ur_chunks_ask_simply(slot, "DELETE", slot->resume->address, "");
		return;
	case UR_TRANSFER_OVER: // whoever made the step looks
		return;
	case UR_TRANSFER_NEW:
	case UR_TRANSFER_STATES:
		break;
	}
	assert(!"no transfer enters this state");
}

static struct ur_chunks_slot *idle_slot(struct ur_chunks *chunks)
{
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		if (chunks->slots[i].item == NULL) {
			return &chunks->slots[i];
		}
	}
	return NULL;
}

static struct ur_chunks_slot *slot_of(struct ur_chunks *chunks, const struct ur_item *item)
{
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		if (chunks->slots[i].item == item) {
			return &chunks->slots[i];
		}
	}
	return NULL;
}

/** What the ledger remembers is gone on with, if it is about the same file in the same words. */
static struct ur_transfer_spec choose(struct ur_chunks_slot *slot)
{
	struct ur_resume *resume = slot->resume;
	const uint64_t now_about = ur_chunks_about(slot);
	slot->clear[0] = '\0';
	if (resume->address[0] != '\0' && resume->about != now_about) {
		memcpy(slot->clear, resume->address, sizeof slot->clear);
		resume->address[0] = '\0';
	} else if (resume->old[0] != '\0') {
		memcpy(slot->clear, resume->old, sizeof slot->clear);
	}
	resume->about = now_about;
	return (struct ur_transfer_spec){
		.length = (uint64_t)slot->file->identity.size,
		.has_address = resume->address[0] != '\0',
		.clear = slot->clear[0] != '\0',
		.related = slot->sidecar != NULL,
		.there = resume->there,
		.answer_wait_ms = slot->chunks->run->options->answer_wait_ms,
		.seed = slot->chunks->seed++,
	};
}

static void take(struct ur_chunks *chunks, struct ur_item *item)
{
	struct ur_chunks_slot *slot = idle_slot(chunks);
	bool changed = false;
	assert(slot != NULL); // decide counts them
	slot->item = item;
	slot->file = &item->files[item->current];
	slot->sidecar = slot->file->sidecar == UR_NONE ? NULL : &item->files[slot->file->sidecar];
	slot->resume = slot->file->resume;
	slot->fd = -1;
	slot->dir_fd = -1;
	slot->opening = false;
	slot->concluding = false;
	slot->based = false;
	slot->counted = 0;
	slot->reading = READING_NOTHING;
	slot->window.moved = window_moved;
	slot->window.blind = true; // until a chunk opens it
	if (!ur_kind_upload_name(slot->file->name, slot->name, sizeof slot->name, &changed)) {
		slot->name[0] = '\0'; // a name of a directory entry always fits
	}
	const struct ur_transfer_spec spec = choose(slot);
	atomic_store(&slot->resume->offset, 0);
	ur_transfer_start(&slot->transfer, &slot->transport, &chunks->pace, &spec);
	if (slot->item != NULL && slot->transfer.state == UR_TRANSFER_OVER) {
		finish(slot);
	}
}

static void refuse_item(struct ur_chunks *chunks, struct ur_item *item)
{
	const struct ur_resume *resume = item->files[item->current].resume;
	const bool waits = chunks->gateway_silent && resume->address[0] != '\0' &&
			   ur_clock_wall_ns() - resume->at_ns < STALE_NS;
	item->files[item->current].send_result = 0;
	item->files[item->current].send_changed = false;
	item->files[item->current].resume->retry_ms = -1;
	hand_back(chunks, item,
		ur_run_is_stopping(chunks->run) ? UR_TRANSFER_STOPPED
		: waits                         ? UR_TRANSFER_AWAY
						: UR_TRANSFER_UNUSABLE,
		0, waits ? "the gateway that holds its beginning does not answer" : "");
}

/* ---- the guest ------------------------------------------------------------------------------- */

static void deal_with(struct ur_chunks *chunks, struct ur_item *item)
{
	struct ur_chunks_slot *slot = slot_of(chunks, item);
	if (slot != NULL) {
		slot->resume->recording = false;
		ur_chunks_conclude_code(
			slot, slot->resume->recorded, "its address could not be remembered");
	} else if (chunks->gateway != GATEWAY_THERE || ur_run_is_stopping(chunks->run)) {
		refuse_item(chunks, item);
	} else {
		take(chunks, item);
	}
}

static void take_in(struct ur_chunks *chunks)
{
	void *got = NULL;
	while (chunks->held != NULL || ur_queue_pop(chunks->wiring.in, &got) == 0) {
		struct ur_item *item = chunks->held != NULL ? chunks->held : got;
		chunks->held = item;
		if (!ur_chunks_is_ready(chunks)) {
			return;
		}
		chunks->held = NULL;
		deal_with(chunks, item);
	}
}

/** What waits for a time goes on, and at once when the run is being stopped. */
static void look_at_clocks(struct ur_chunks *chunks)
{
	const int64_t now = ur_clock_steady_ns();
	const bool stop = ur_run_is_stopping(chunks->run);
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		struct ur_chunks_slot *slot = &chunks->slots[i];
		ur_window_turn(&slot->window, now);
		if (slot->item != NULL && slot->due_ns != 0 && (stop || now >= slot->due_ns)) {
			slot->due_ns = 0;
			ur_chunks_conclude_code(slot, stop ? -ECANCELED : 0, "the run was stopped");
		}
	}
}

static void turn(void *context)
{
	struct ur_chunks *chunks = context;
	take_in(chunks);
	look_at_clocks(chunks);
	go_on(chunks);
	size_t done = 1;
	for (int i = 0; i < READS_A_TURN && ur_ring_in_flight(chunks->ring) > 0 && done > 0; i++) {
		done = ur_ring_run(chunks->ring, -1, 0);
		go_on(chunks);
	}
	if (ur_ring_in_flight(chunks->ring) > 0 && (done > 0 || ur_ring_fd(chunks->ring) < 0)) {
		ur_http_wake(chunks->http); // not asked for yet, or nothing would wake us
	}
}

static int start(void *context, struct ur_err *err)
{
	struct ur_chunks *chunks = context;
	return ur_ring_new(chunks->run->options->ring, RING_ENTRIES, &chunks->ring, err);
}

static void stop(void *context)
{
	struct ur_chunks *chunks = context;
	while (ur_ring_in_flight(chunks->ring) > 0) {
		(void)ur_ring_run(chunks->ring, -1, 100);
	}
	chunks->ring = ur_ring_free(chunks->ring);
}

static int guest_fd(void *context)
{
	struct ur_chunks *chunks = context;
	return ur_ring_fd(chunks->ring);
}

struct ur_http_guest ur_chunks_guest(struct ur_chunks *chunks)
{
	return (struct ur_http_guest){
		.start = start, .turn = turn, .stop = stop, .fd = guest_fd, .context = chunks};
}

void ur_chunks_attach(struct ur_chunks *chunks, struct ur_http *http)
{
	chunks->http = http;
}

unsigned ur_chunks_slots(const struct ur_options *options)
{
	const unsigned half = (options->concurrency + 1) / 2;
	return half < UR_CHUNKS_SLOTS_MAX ? half : UR_CHUNKS_SLOTS_MAX;
}

static int init_slot(struct ur_chunks *chunks, struct ur_chunks_slot *slot)
{
	slot->chunks = chunks;
	slot->transport.begin = begin;
	slot->stream.read = ur_chunks_give;
	slot->fd = -1;
	slot->dir_fd = -1;
	int r = ur_readahead_init(&slot->ahead, ur_chunks_arrived);
	r = r < 0 ? r : ur_xxh_new(&slot->whole);
	return r < 0 ? r : ur_xxh_new(&slot->part);
}

static int set_base(struct ur_chunks *chunks, struct ur_err *err)
{
	const struct ur_options *o = chunks->run->options;
	const bool own = o->gateway != NULL && strcmp(o->gateway, "off") != 0;
	const char *url = own ? o->gateway : o->http.server;
	const size_t size = strlen(url);
	const bool http =
		strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
	if (own && (!http || strpbrk(url, "@?# ") != NULL)) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"the gateway is https://HOST/PATH/ or off, without a user, a question or a "
			"key in it");
	}
	const int n = snprintf(chunks->base, sizeof chunks->base, "%s%s%sfiles/", url,
		size > 0 && url[size - 1] == '/' ? "" : "/", own ? "" : "uringest/");
	return n < (int)sizeof chunks->base / 2
		       ? 0
		       : ur_err_say(err, -ENAMETOOLONG, UR_FAULT_SETUP,
				 "the gateway's address is longer than %zu bytes",
				 sizeof chunks->base / 2);
}

int ur_chunks_new(struct ur_run *run, const struct ur_chunks_wiring *wiring, struct ur_chunks **ret,
	struct ur_err *err)
{
	struct ur_chunks *chunks = calloc(1, sizeof *chunks);
	const unsigned count = ur_chunks_slots(run->options);
	struct ur_chunks_slot *slots = calloc(count, sizeof *slots);
	if (chunks == NULL || slots == NULL) {
		free(chunks);
		free(slots);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare for sending");
	}
	chunks->run = run;
	chunks->wiring = *wiring;
	chunks->slots = slots;
	chunks->slot_count = count;
	chunks->seed = (uint64_t)ur_clock_wall_ns();
	int r = set_base(chunks, err);
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = init_slot(chunks, &slots[i]);
		r = r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot prepare for sending") : 0;
	}
	if (r < 0) {
		(void)ur_chunks_free(chunks);
		return r;
	}
	*ret = chunks;
	return 0;
}

struct ur_chunks *ur_chunks_free(struct ur_chunks *chunks)
{
	if (chunks == NULL) {
		return NULL;
	}
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		struct ur_chunks_slot *slot = &chunks->slots[i];
		ur_readahead_done(&slot->ahead);
		free(slot->sidecar_bytes);
		ur_text_done(&slot->metadata);
		ur_request_done(&slot->request);
		ur_window_done(&slot->window);
		(void)ur_xxh_free(slot->whole);
		(void)ur_xxh_free(slot->part);
	}
	ur_request_done(&chunks->ask);
	free(chunks->slots);
	free(chunks);
	return NULL;
}
