/*
 * chunks - a slot a transfer; begin() starts what a state waits for, conclude() ends it.
 *
 *     HASH   open → read ⇄ feed → conclude         SEND   read ⇄ give → answer → conclude
 *
 * Two buffers a slot, both for one direction at a time.  An answer may come while reads are still
 * in flight: the transfer goes on when they are back.
 */
#include "engine/stage/chunks.h"

#include "engine/base/clock.h"
#include "engine/media/hash_stream.h"
#include "engine/net/told.h"
#include "engine/net/transfer.h"
#include "engine/net/tus.h"
#include "engine/net/window.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUFFER (512u << 10)
#define RING_ENTRIES 32u
#define READS_A_TURN 8 // completions before curl has its turn again
#define NAME_ROOM 1024u
#define ANSWER_MS 60000
#define FINISH_MS 180000 // a chunk's answer comes when it is on disk there
#define ANSWER_MAX (64u << 10)
#define ASK_FIRST_MS 500
#define ASKS_MAX 5
#define STALE_NS (INT64_C(24) * 3600 * UR_SECOND_NS) // a gateway away for longer is not waited for
#define UPLOAD_ID 33                                 // its 32 digits and a NUL

static_assert(UR_TRANSFER_WHY_MAX >= UR_MESSAGE_MAX, "words of both fit");
static_assert(RING_ENTRIES >= 3 * UR_CHUNKS_SLOTS_MAX, "two reads and an open a slot");

enum reading { // what the buffers are for
	READING_NOTHING,
	READING_HASH,
	READING_SEND,
};

struct buffer {
	struct ur_op op; // first: the ring gives it back
	struct slot *slot;
	unsigned char *bytes;
	size_t size;
	size_t used;
	bool in_flight;
	bool ready;
};

struct slot {
	struct ur_op op; // first: opens, and the sidecar's read
	struct ur_transport transport;
	struct ur_transfer transfer;
	struct ur_stream stream;
	struct ur_request request;
	struct ur_window window;
	struct ur_chunks *chunks;
	struct ur_item *item; // NULL: idle
	struct ur_file *file;
	struct ur_file *sidecar;
	struct ur_resume *resume;

	/* The disk. */
	int dir_fd;
	int fd;
	bool opening;
	enum reading reading;
	struct buffer buffers[2];
	int filling;
	int giving;
	uint64_t read_at;
	uint64_t read_end;
	int error;
	struct ur_xxh *whole; // of the file, up to whole_at
	uint64_t whole_at;
	struct ur_xxh *part; // of the chunk
	struct ur_sha1 sha1; // the same, for a gateway that knows no other
	uint8_t part_xxh[UR_HASH_XXH];
	struct ur_tus_checksum checksum;
	unsigned char *sidecar_bytes;

	/* What the present state waits for. */
	bool concluding;  // the outcome is known, reads are still in flight
	bool failed;      // the outcome was known at once: it is told in the next turn
	uint64_t counted; // bytes that stand in the run's count
	bool based;       // where it stood before this run is known
	struct ur_transfer_outcome outcome;
	int64_t due_ns; // steady; 0: no timer
	int64_t sent_ns;
	char words[UR_TRANSFER_WHY_MAX];
	char location[UR_HTTP_FIELD_MAX];
	bool early;
	char clear[UR_ADDRESS_MAX]; // of the upload that goes first
	char related[UPLOAD_ID];
	char url[UR_ADDRESS_MAX];
	char lines[3][160];
	struct ur_text metadata;
	char name[NAME_ROOM];
};

enum gateway {
	GATEWAY_UNASKED,
	GATEWAY_ASKED, // the answer is on its way, or a pause before the next question
	GATEWAY_THERE,
	GATEWAY_NONE,
};

struct ur_chunks {
	struct ur_run *run;
	struct ur_chunks_wiring wiring;
	struct ur_http *http;
	struct ur_ring *ring;
	struct slot *slots;
	unsigned slot_count;
	struct ur_transfer_pace pace;
	char base[UR_ADDRESS_MAX]; // ends in /files/

	enum gateway gateway;
	bool gateway_silent;  // NONE, but it may be back
	struct ur_item *held; // came before the gateway's answer
	struct ur_request ask;
	bool asking;
	unsigned asks;
	int64_t ask_due_ns;
	enum ur_tus_algorithm algorithm;
	bool version_fits;
	bool makes_uploads;
	bool warned;
	uint64_t seed;
};

static bool stopping(const struct ur_chunks *chunks)
{
	return atomic_load_explicit(&chunks->run->stop, memory_order_relaxed);
}

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

static void close_slot(struct slot *slot)
{
	if (slot->fd >= 0) {
		(void)ur_sys.close(slot->fd);
		slot->fd = -1;
	}
	free(slot->sidecar_bytes);
	slot->sidecar_bytes = NULL;
	slot->item = NULL;
}

static void warn_unusable(struct slot *slot)
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

static void finish(struct slot *slot)
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
	close_slot(slot);
	hand_back(chunks, item, unusable ? UR_TRANSFER_UNUSABLE : t->end, t->status, t->why);
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static bool is_reading(const struct slot *slot)
{
	return slot->opening || slot->buffers[0].in_flight || slot->buffers[1].in_flight ||
	       ur_window_is_looking(&slot->window);
}

static void step(struct slot *slot);

/** More is durable there: the sender goes on, or what waited for the answer alone is concluded. */
static void window_moved(struct ur_window *window)
{
	struct slot *slot = (struct slot *)((char *)window - offsetof(struct slot, window));
	if (slot->concluding) {
		if (!is_reading(slot)) {
			step(slot);
		}
	} else if (slot->reading == READING_SEND) {
		ur_http_resume(slot->chunks->http, &slot->request);
	}
}

/** Progress is what the gateway has made durable, and in this run. */
static void count(struct slot *slot, enum ur_transfer_state before)
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
static bool ends_here(const struct slot *slot)
{
	const enum ur_transfer_state state = slot->transfer.state;
	return stopping(slot->chunks) &&
	       (state == UR_TRANSFER_HASH || state == UR_TRANSFER_LOCATE ||
		       state == UR_TRANSFER_RELATED || state == UR_TRANSFER_RECORD);
}

static void step(struct slot *slot)
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

/** The outcome is in slot->outcome; what is still being read comes back first. */
static void conclude(struct slot *slot)
{
	slot->concluding = true;
	ur_window_close(&slot->window);
	if (!is_reading(slot)) {
		step(slot);
	}
}

static void set_outcome(struct slot *slot, int code, const char *what)
{
	char words[128];
	if (code < 0) {
		(void)snprintf(slot->words, sizeof slot->words, "%s: %s", what,
			strerror_r(-code, words, sizeof words));
	}
	slot->outcome = (struct ur_transfer_outcome){
		.result = code, .retry_ms = -1, .words = code < 0 ? slot->words : NULL};
}

static void conclude_code(struct slot *slot, int code, const char *what)
{
	set_outcome(slot, code, what);
	conclude(slot);
}

/** It failed before it began: an outcome never comes at once. */
static void fail_soon(struct slot *slot, int code, const char *what)
{
	set_outcome(slot, code, what);
	slot->failed = true;
	ur_http_wake(slot->chunks->http);
}

/* ---- the disk -------------------------------------------------------------------------------- */

static void filled(struct ur_op *op);

static void fill(struct slot *slot)
{
	struct buffer *buffer = &slot->buffers[slot->filling];
	if (buffer->in_flight || buffer->ready || slot->read_at == slot->read_end ||
		slot->error != 0 || slot->concluding) {
		return;
	}
	const uint64_t left = slot->read_end - slot->read_at;
	const size_t size = left < BUFFER ? (size_t)left : BUFFER;
	buffer->in_flight = true;
	buffer->op.done = filled;
	ur_ring_read(slot->chunks->ring, &buffer->op, slot->fd, buffer->bytes, size, slot->read_at);
	slot->read_at += size;
	slot->filling ^= 1;
}

static void begin_reading(struct slot *slot, enum reading what, uint64_t from, uint64_t to)
{
	slot->reading = what;
	slot->read_at = from;
	slot->read_end = to;
	slot->filling = 0;
	slot->giving = 0;
	slot->error = 0;
	slot->buffers[0].ready = false;
	slot->buffers[1].ready = false;
	ur_xxh_begin(slot->part);
	fill(slot);
	fill(slot);
}

static uint64_t chunk_end(const struct slot *slot)
{
	return slot->transfer.offset + slot->transfer.chunk;
}

/** All bytes of the file have gone through `whole`: they are those that were probed, or not. */
static int check_whole(const struct slot *slot)
{
	uint8_t xxh[UR_HASH_XXH];
	if (slot->whole_at < (uint64_t)slot->file->identity.size) {
		return 0;
	}
	ur_xxh_end(slot->whole, xxh);
	return memcmp(xxh, slot->file->xxh, sizeof xxh) == 0 ? 0 : -ESTALE;
}

static void set_checksum(struct slot *slot)
{
	struct ur_tus_checksum *sum = &slot->checksum;
	sum->algorithm = slot->chunks->algorithm;
	ur_xxh_end(slot->part, slot->part_xxh);
	if (sum->algorithm == UR_TUS_SHA1) {
		sum->size = UR_HASH_SHA1;
		ur_sha1_end(&slot->sha1, sum->bytes);
	} else if (sum->algorithm == UR_TUS_XXH128) {
		sum->size = UR_HASH_XXH;
		memcpy(sum->bytes, slot->part_xxh, sizeof slot->part_xxh);
	}
}

/** Feeds what the file's hash has not seen, and what belongs to the chunk. */
static void feed(struct slot *slot, const struct buffer *buffer)
{
	const uint64_t from = buffer->op.offset;
	const uint64_t to = from + buffer->size;
	if (to > slot->whole_at) {
		assert(from <= slot->whole_at);
		const size_t skip = (size_t)(slot->whole_at - from);
		ur_xxh_feed(slot->whole, buffer->bytes + skip, buffer->size - skip);
		slot->whole_at = to;
	}
	if (to > slot->transfer.offset) {
		const size_t skip =
			from < slot->transfer.offset ? (size_t)(slot->transfer.offset - from) : 0;
		ur_xxh_feed(slot->part, buffer->bytes + skip, buffer->size - skip);
		if (slot->chunks->algorithm == UR_TUS_SHA1) {
			ur_sha1_feed(&slot->sha1, buffer->bytes + skip, buffer->size - skip);
		}
	}
}

static void hashed_all(struct slot *slot)
{
	int r = check_whole(slot);
	r = r < 0 ? r : ur_identity_check(slot->fd, &slot->file->identity, NULL);
	set_checksum(slot);
	conclude_code(slot, r, "it is not the file that was read before");
}

/** Buffers come back in order, for each is asked for after the one before it was. */
static void feed_ready(struct slot *slot)
{
	struct buffer *buffer = &slot->buffers[slot->giving];
	while (buffer->ready && !slot->concluding) {
		feed(slot, buffer);
		buffer->ready = false;
		slot->giving ^= 1;
		const bool last = buffer->op.offset + buffer->size == slot->read_end;
		fill(slot); // may be this very buffer
		if (last) {
			hashed_all(slot);
			return;
		}
		buffer = &slot->buffers[slot->giving];
	}
}

/** A buffer on its way; the last of a chunk goes only if it is the chunk that was hashed. */
static int verify_part(struct slot *slot, const struct buffer *buffer)
{
	uint8_t xxh[UR_HASH_XXH];
	if (buffer->op.offset + buffer->size < slot->read_end) {
		return 0;
	}
	ur_xxh_end(slot->part, xxh);
	if (memcmp(xxh, slot->part_xxh, sizeof xxh) != 0) {
		return -ESTALE;
	}
	return slot->read_end == slot->transfer.spec.length
		       ? ur_identity_check(slot->fd, &slot->file->identity, NULL)
		       : 0;
}

static void filled(struct ur_op *op)
{
	struct buffer *buffer = (struct buffer *)op;
	struct slot *slot = buffer->slot;
	buffer->in_flight = false;
	if (slot->concluding) {
		conclude(slot);
		return;
	}
	if (op->result < 0 || (size_t)op->result != op->size) {
		slot->error = op->result < 0 ? (int)op->result : -ESTALE;
	} else {
		buffer->size = op->size;
		buffer->used = 0;
		buffer->ready = true;
	}
	if (slot->reading == READING_HASH) {
		if (slot->error != 0) {
			conclude_code(slot, slot->error, "it cannot be read");
		} else {
			feed_ready(slot);
		}
		return;
	}
	ur_http_resume(slot->chunks->http, &slot->request);
}

/** The next buffer to go, checked when it is looked at first. */
static struct buffer *next_to_give(struct slot *slot)
{
	struct buffer *buffer = &slot->buffers[slot->giving];
	if (!buffer->ready || slot->error != 0) {
		return NULL;
	}
	if (buffer->used == 0) {
		ur_xxh_feed(slot->part, buffer->bytes, buffer->size);
		slot->error = verify_part(slot, buffer);
	}
	return slot->error != 0 ? NULL : buffer;
}

static ssize_t give(struct ur_stream *stream, void *bytes, size_t size)
{
	struct slot *slot = (struct slot *)((char *)stream - offsetof(struct slot, stream));
	const size_t room = ur_window_room(&slot->window, size);
	struct buffer *buffer = room == 0 ? NULL : next_to_give(slot);
	if (buffer == NULL) {
		return slot->error != 0 ? slot->error : -EAGAIN;
	}
	const size_t left = buffer->size - buffer->used;
	const size_t n = room < left ? room : left;
	memcpy(bytes, buffer->bytes + buffer->used, n);
	buffer->used += n;
	ur_window_gave(&slot->window, n);
	if (buffer->used == buffer->size) {
		buffer->ready = false;
		slot->giving ^= 1;
		fill(slot);
	}
	return (ssize_t)n;
}

static void open_named(struct slot *slot, const char *name, void (*done)(struct ur_op *))
{
	const struct ur_dir *dir = slot->item->dir;
	slot->dir_fd = ur_dir_take(dir);
	if (slot->dir_fd < 0) {
		fail_soon(slot, slot->dir_fd, "its folder cannot be opened");
		return;
	}
	slot->opening = true;
	slot->op.done = done;
	ur_ring_open(slot->chunks->ring, &slot->op, slot->dir_fd, name,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | (dir->root->follow ? 0 : O_NOFOLLOW));
}

static int take_opened(struct slot *slot, const struct ur_file *file)
{
	slot->opening = false;
	ur_dir_give(slot->item->dir, slot->dir_fd);
	slot->dir_fd = -1;
	if (slot->op.result < 0) {
		return (int)slot->op.result;
	}
	slot->fd = (int)slot->op.result;
	return ur_identity_check(slot->fd, &file->identity, NULL);
}

/** From where the file's own hash stands, or the chunk begins, to the chunk's end. */
static void begin_hashing(struct slot *slot)
{
	const uint64_t offset = slot->transfer.offset;
	if (ur_sha1_begin(&slot->sha1) < 0) {
		fail_soon(slot, -EIO, "no kernel computes SHA-1 right");
		return;
	}
	begin_reading(slot, READING_HASH, slot->whole_at < offset ? slot->whole_at : offset,
		chunk_end(slot));
}

static void file_opened(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const int r = take_opened(slot, slot->file);
	if (r < 0) {
		conclude_code(slot, r, "it changed or could not be opened before sending");
		return;
	}
	slot->whole_at = 0;
	ur_xxh_begin(slot->whole);
	begin_hashing(slot);
}

static void hash_chunk(struct slot *slot)
{
	if (slot->fd < 0) {
		open_named(slot, slot->file->name, file_opened);
	} else {
		begin_hashing(slot);
	}
}

/* ---- requests -------------------------------------------------------------------------------- */

/** What the answer says beside its status. */
static void take_field(struct ur_request *request, const char *name, const char *value)
{
	struct slot *slot = request->owner;
	struct ur_transfer_outcome *out = &slot->outcome;
	if (strcasecmp(name, "Upload-Offset") == 0) {
		out->has_offset = ur_tus_number(value, &out->offset) == 0;
	} else if (strcasecmp(name, "Location") == 0) {
		(void)snprintf(slot->location, sizeof slot->location, "%s", value);
	} else if (strcasecmp(name, "Uringest-Asset") == 0 && ur_immich_is_id(value)) {
		(void)snprintf(slot->file->asset, sizeof slot->file->asset, "%s", value);
		slot->early = true;
	}
}

/** The words of a refusal, for people: the gateway's sentence, or the server's JSON. */
static void take_words(struct slot *slot, const struct ur_request *request)
{
	char answer[256];
	if (request->result < 0) {
		(void)snprintf(slot->words, sizeof slot->words, "%.*s", UR_TRANSFER_WHY_MAX - 1,
			request->err.text);
		return;
	}
	(void)snprintf(answer, sizeof answer, "%s", ur_text_get(&request->answer));
	answer[strcspn(answer, "\r\n")] = '\0';
	ur_immich_message(request->status, answer, request->html, slot->words);
}

static void read_made(struct slot *slot)
{
	struct ur_transfer_outcome *out = &slot->outcome;
	char address[UR_ADDRESS_MAX];
	const int r = ur_address_read(slot->location, slot->chunks->base, address);
	if (r < 0) {
		(void)snprintf(slot->words, sizeof slot->words,
			r == -EXDEV
				? "its answer points to another server, where the key must not go"
				: "its answer names no address that can be used");
		out->status = 400; // as if it had refused
		out->words = slot->words;
		return;
	}
	if (slot->transfer.state == UR_TRANSFER_CREATE) {
		memcpy(slot->resume->address, address, sizeof address);
		out->early =
			slot->early && out->has_offset && out->offset == slot->transfer.spec.length;
	} else if (ur_tus_is_id(address) && out->has_offset &&
		   out->offset == (uint64_t)slot->sidecar->identity.size) {
		memcpy(slot->related, address, sizeof slot->related);
	} else {
		out->status = 500; // it did not all arrive: again
	}
}

static void read_told(struct slot *slot, const struct ur_request *request)
{
	struct ur_told told;
	struct ur_err err = {0};
	if (ur_told_read(ur_text_get(&request->answer), &told, &err) < 0) {
		(void)snprintf(
			slot->words, sizeof slot->words, "%.*s", UR_TRANSFER_WHY_MAX - 1, err.text);
		slot->outcome.words = slot->words;
		return;
	}
	slot->outcome.told = told.what;
	slot->outcome.told_status = told.status;
	if (told.asset[0] != '\0') {
		memcpy(slot->file->asset, told.asset, sizeof slot->file->asset);
	}
	(void)snprintf(slot->words, sizeof slot->words, "%s", told.words);
	slot->outcome.words = slot->words;
}

static void answered(struct ur_request *request)
{
	struct slot *slot = request->owner;
	struct ur_transfer_outcome *out = &slot->outcome;
	const enum ur_transfer_state state = slot->transfer.state;
	out->result = request->result;
	out->status = request->status;
	out->retry_ms = request->retry_after_ms;
	out->took_ms = (ur_clock_steady_ns() - slot->sent_ns) / UR_MS_NS;
	slot->words[0] = '\0';
	if (request->result == -ESTALE) {
		(void)snprintf(
			slot->words, sizeof slot->words, "it changed while it was being sent");
	} else if (request->result < 0 || request->status >= 300) {
		take_words(slot, request);
	}
	out->words = slot->words;
	if (request->result == 0 && request->status == 201 &&
		(state == UR_TRANSFER_CREATE || state == UR_TRANSFER_RELATED)) {
		read_made(slot);
	} else if (request->result == 0 && request->status == 200 && state == UR_TRANSFER_ASK) {
		read_told(slot, request);
	}
	conclude(slot);
}

/** Zeroed but for what all have; NULL when the address has no room, which is then the outcome. */
static struct ur_request *new_request(
	struct slot *slot, const char *method, const char *address, const char *tail)
{
	struct ur_request *request = &slot->request;
	struct ur_text answer = request->answer;
	slot->outcome = (struct ur_transfer_outcome){.retry_ms = -1};
	slot->location[0] = '\0';
	slot->early = false;
	slot->sent_ns = ur_clock_steady_ns();
	if (!ur_address_write(address, slot->chunks->base, tail, slot->url)) {
		fail_soon(slot, -ENAMETOOLONG, "its address");
		return NULL;
	}
	*request = (struct ur_request){
		.method = method,
		.url = slot->url,
		.answer_wait_ms = ANSWER_MS,
		.answer_max = ANSWER_MAX,
		.done = answered,
		.field = take_field,
		.owner = slot,
		.answer = answer,
		.more = {"Tus-Resumable: " UR_TUS_VERSION},
	};
	return request;
}

static void ask_simply(struct slot *slot, const char *method, const char *address, const char *tail)
{
	struct ur_request *request = new_request(slot, method, address, tail);
	if (request != NULL) {
		ur_http_submit(slot->chunks->http, request);
	}
}

static void set_length(struct slot *slot, struct ur_request *request, uint64_t length)
{
	(void)snprintf(slot->lines[0], sizeof slot->lines[0], "Upload-Length: %" PRIu64, length);
	request->more[1] = slot->lines[0];
	request->more[2] = ur_text_get(&slot->metadata);
}

static void add_pair(struct ur_text *text, const char *key, const char *value)
{
	ur_tus_metadata_add(text, key, value, strlen(value));
}

static void add_checksum(struct ur_text *text, const struct ur_file *file)
{
	char base64[UR_BASE64_ROOM(UR_HASH_SHA1)];
	ur_base64(file->sha1, UR_HASH_SHA1, base64);
	add_pair(text, "checksum", base64);
}

/** What an upload says of the file, but for its sidecar's address: the same in every run. */
static void write_pairs(struct slot *slot, struct ur_text *text)
{
	const struct ur_file *file = slot->file;
	const struct ur_file *movie =
		file->movie == UR_NONE ? NULL : &slot->item->files[file->movie];
	char created[UR_CLOCK_TEXT];
	char modified[UR_CLOCK_TEXT];
	ur_clock_iso(ur_run_created_of(slot->chunks->run, file), created);
	ur_clock_iso(file->identity.mtime_ns, modified);
	add_pair(text, "filename", slot->name);
	add_checksum(text, file);
	add_pair(text, "fileCreatedAt", created);
	add_pair(text, "fileModifiedAt", modified);
	if (movie != NULL && movie->asset[0] != '\0') {
		add_pair(text, "livePhotoVideoId", movie->asset);
	}
}

/** The same file, said in the same words, with the same sidecar: only then an upload goes on. */
static uint64_t about(struct slot *slot)
{
	struct ur_text text = {0};
	write_pairs(slot, &text);
	if (slot->sidecar != NULL) {
		ur_text_add(&text, slot->sidecar->xxh, sizeof slot->sidecar->xxh);
	}
	const uint64_t ret = ur_hash_short(ur_text_get(&text), text.size, 0) & INT64_MAX;
	ur_text_done(&text);
	return ret;
}

static void create_upload(struct slot *slot)
{
	struct ur_request *request = new_request(slot, "POST", "", "");
	struct ur_text pairs = {0};
	if (request == NULL) {
		return;
	}
	write_pairs(slot, &pairs);
	if (slot->sidecar != NULL) {
		add_pair(&pairs, "sidecar", slot->related);
	}
	ur_text_clear(&slot->metadata);
	ur_text_addf(&slot->metadata, "Upload-Metadata: %s", ur_text_get(&pairs));
	const bool ok = ur_text_ok(&pairs) && ur_text_ok(&slot->metadata);
	ur_text_done(&pairs);
	if (!ok) {
		fail_soon(slot, -ENOMEM, "it could not be sent");
		return;
	}
	set_length(slot, request, (uint64_t)slot->file->identity.size);
	request->more[3] = "Content-Length: 0";
	ur_http_submit(slot->chunks->http, request);
}

/* ---- the sidecar ----------------------------------------------------------------------------- */

static void send_sidecar(struct slot *slot)
{
	const uint64_t size = (uint64_t)slot->sidecar->identity.size;
	struct ur_request *request = new_request(slot, "POST", "", "");
	if (request == NULL) {
		return;
	}
	ur_text_clear(&slot->metadata);
	ur_text_adds(&slot->metadata, "Upload-Metadata: role c2lkZWNhcg=="); // "sidecar"
	add_pair(&slot->metadata, "filename", "file.xmp");
	add_checksum(&slot->metadata, slot->sidecar);
	if (!ur_text_ok(&slot->metadata)) {
		fail_soon(slot, -ENOMEM, "its sidecar could not be sent");
		return;
	}
	set_length(slot, request, size);
	request->content_type = UR_TUS_CONTENT_TYPE;
	request->upload = true;
	request->uncounted = true;
	request->pieces[0] = (struct ur_piece){.bytes = slot->sidecar_bytes, .size = size};
	request->piece_count = 1;
	ur_http_submit(slot->chunks->http, request);
}

static void sidecar_read(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const struct ur_file *sidecar = slot->sidecar;
	const size_t size = (size_t)sidecar->identity.size;
	uint8_t xxh[UR_HASH_XXH];
	slot->opening = false;
	(void)ur_sys.close(slot->fd);
	slot->fd = -1;
	ur_xxh_of(slot->sidecar_bytes, size, xxh);
	if (op->result != (int64_t)size || memcmp(xxh, sidecar->xxh, sizeof xxh) != 0) {
		free(slot->sidecar_bytes);
		slot->sidecar_bytes = NULL;
		conclude_code(slot, -ESTALE, "its sidecar changed");
		return;
	}
	send_sidecar(slot);
}

static void sidecar_opened(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const size_t size = (size_t)slot->sidecar->identity.size;
	int r = take_opened(slot, slot->sidecar);
	slot->sidecar_bytes = r < 0 ? NULL : malloc(size);
	r = r == 0 && slot->sidecar_bytes == NULL ? -ENOMEM : r;
	if (r < 0) {
		if (slot->fd >= 0) {
			(void)ur_sys.close(slot->fd);
			slot->fd = -1;
		}
		const bool gone = r == -ENOENT || r == -ELOOP;
		conclude_code(slot, gone ? -ESTALE : r, "its sidecar cannot be read");
		return;
	}
	slot->opening = true;
	slot->op.done = sidecar_read;
	ur_ring_read(slot->chunks->ring, &slot->op, slot->fd, slot->sidecar_bytes, size, 0);
}

/** The file is not open yet, or is not needed for a while: one descriptor a slot. */
static void begin_sidecar(struct slot *slot)
{
	if (slot->sidecar_bytes != NULL) {
		send_sidecar(slot);
		return;
	}
	if (slot->fd >= 0) {
		(void)ur_sys.close(slot->fd);
		slot->fd = -1;
	}
	open_named(slot, slot->sidecar->name, sidecar_opened);
}

/* ---- a chunk --------------------------------------------------------------------------------- */

static void send_chunk(struct slot *slot)
{
	const struct ur_transfer *t = &slot->transfer;
	struct ur_request *request = new_request(slot, "PATCH", slot->resume->address, "");
	if (request == NULL) {
		return;
	}
	(void)snprintf(slot->lines[0], sizeof slot->lines[0], "Upload-Offset: %" PRIu64, t->offset);
	request->more[1] = slot->lines[0];
	request->content_type = UR_TUS_CONTENT_TYPE;
	request->answer_wait_ms = FINISH_MS;
	if (t->chunk == 0) {
		request->more[2] = "Content-Length: 0";
		ur_http_submit(slot->chunks->http, request);
		return;
	}
	if (slot->checksum.algorithm != UR_TUS_NONE) {
		char sum[64];
		ur_tus_checksum_write(&slot->checksum, sum);
		(void)snprintf(slot->lines[1], sizeof slot->lines[1], "Upload-Checksum: %s", sum);
		request->more[2] = slot->lines[1];
	}
	request->upload = true;
	request->uncounted = true;
	request->pieces[0] = (struct ur_piece){.stream = &slot->stream, .size = t->chunk};
	request->piece_count = 1;
	char status[UR_ADDRESS_MAX];
	if (ur_address_write(slot->resume->address, slot->chunks->base, "/status", status)) {
		ur_window_open(&slot->window, slot->chunks->http, status, t->offset);
	}
	begin_reading(slot, READING_SEND, t->offset, chunk_end(slot));
	/* While this one is on its way, the disk may bring the next, for its checksum. */
	(void)posix_fadvise(slot->fd, (off_t)chunk_end(slot), (off_t)slot->chunks->pace.chunk,
		POSIX_FADV_WILLNEED);
	ur_http_submit(slot->chunks->http, request);
}

/* ---- the transfer's world -------------------------------------------------------------------- */

static void begin(
	struct ur_transport *transport, struct ur_transfer *t, enum ur_transfer_state state)
{
	struct slot *slot = (struct slot *)((char *)transport - offsetof(struct slot, transport));
	slot->due_ns = 0;
	switch (state) {
	case UR_TRANSFER_CLEAR:
		ask_simply(slot, "DELETE", t->renewed ? slot->resume->address : slot->clear, "");
		return;
	case UR_TRANSFER_RELATED:
		begin_sidecar(slot);
		return;
	case UR_TRANSFER_CREATE:
		create_upload(slot);
		return;
	case UR_TRANSFER_RECORD:
		slot->resume->recording = true;
		push_out(slot->chunks, slot->item);
		return;
	case UR_TRANSFER_LOCATE:
		ask_simply(slot, "HEAD", slot->resume->address, "");
		return;
	case UR_TRANSFER_HASH:
		hash_chunk(slot);
		return;
	case UR_TRANSFER_SEND:
		send_chunk(slot);
		return;
	case UR_TRANSFER_REST:
	case UR_TRANSFER_WAIT:
		slot->due_ns = ur_clock_steady_ns() + t->rest_ms * UR_MS_NS;
		return;
	case UR_TRANSFER_ASK:
		ask_simply(slot, "GET", slot->resume->address, "/status");
		return;
	case UR_TRANSFER_DROP:
		ask_simply(slot, "DELETE", slot->resume->address, "");
		return;
	case UR_TRANSFER_OVER: // whoever made the step looks
		return;
	case UR_TRANSFER_NEW:
	case UR_TRANSFER_STATES:
		break;
	}
	assert(!"no transfer enters this state");
}

static struct slot *idle_slot(struct ur_chunks *chunks)
{
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		if (chunks->slots[i].item == NULL) {
			return &chunks->slots[i];
		}
	}
	return NULL;
}

static struct slot *slot_of(struct ur_chunks *chunks, const struct ur_item *item)
{
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		if (chunks->slots[i].item == item) {
			return &chunks->slots[i];
		}
	}
	return NULL;
}

/** What the ledger remembers is gone on with, if it is about the same file in the same words. */
static struct ur_transfer_spec choose(struct slot *slot)
{
	struct ur_resume *resume = slot->resume;
	const uint64_t now_about = about(slot);
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
	struct slot *slot = idle_slot(chunks);
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
	slot->failed = false;
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
	hand_back(chunks, item,
		stopping(chunks) ? UR_TRANSFER_STOPPED
		: waits          ? UR_TRANSFER_AWAY
				 : UR_TRANSFER_UNUSABLE,
		0, waits ? "the gateway that holds its beginning does not answer" : "");
}

/* ---- is there a gateway? --------------------------------------------------------------------- */

static bool lists(const char *list, const char *word)
{
	const size_t size = strlen(word);
	for (const char *at = list; at != NULL && *at != '\0';
		at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1) {
		at += strspn(at, " \t");
		if (strncmp(at, word, size) == 0 && strchr(", \t", at[size]) != NULL) {
			return true;
		}
	}
	return false;
}

static void take_ability(struct ur_request *request, const char *name, const char *value)
{
	struct ur_chunks *chunks = request->owner;
	if (strcasecmp(name, "Tus-Version") == 0) {
		chunks->version_fits = lists(value, UR_TUS_VERSION);
	} else if (strcasecmp(name, "Tus-Extension") == 0) {
		chunks->makes_uploads = lists(value, "creation");
	} else if (strcasecmp(name, "Tus-Checksum-Algorithm") == 0) {
		chunks->algorithm = lists(value, "xxh128") ? UR_TUS_XXH128
				    : lists(value, "sha1") ? UR_TUS_SHA1
							   : UR_TUS_NONE;
	}
}

static void no_gateway(struct ur_chunks *chunks, const char *words)
{
	char size[16];
	chunks->gateway = GATEWAY_NONE;
	atomic_store(&chunks->run->no_gateway, true);
	ur_show_bytes((uint64_t)chunks->run->options->resumable_threshold, size);
	if (!stopping(chunks)) {
		ur_run_warn(chunks->run,
			"no gateway for resumable uploads at %s (%s): files of %s and more go in one "
			"piece, and an upload that is interrupted starts again",
			chunks->base, words, size);
	}
}

static void ability_answered(struct ur_request *request)
{
	struct ur_chunks *chunks = request->owner;
	char words[UR_MESSAGE_MAX];
	const int status = request->status;
	chunks->asking = false;
	if (request->result == 0 && (status == 200 || status == 204) && !request->html &&
		chunks->version_fits && chunks->makes_uploads) {
		chunks->gateway = GATEWAY_THERE;
		ur_transfer_pace_init(&chunks->pace,
			(uint64_t)chunks->run->options->resumable_chunk,
			atomic_load(&chunks->run->chunk_ceiling));
		return;
	}
	const bool passing = request->result < 0 || status == 429 || status == 502 ||
			     status == 503 || status == 504;
	if (passing && ++chunks->asks < ASKS_MAX && !stopping(chunks)) {
		chunks->ask_due_ns =
			ur_clock_steady_ns() + ((int64_t)ASK_FIRST_MS << chunks->asks) * UR_MS_NS;
		return;
	}
	chunks->gateway_silent = passing;
	if (request->result < 0) {
		(void)snprintf(words, sizeof words, "%.*s", UR_MESSAGE_MAX - 1, request->err.text);
	} else {
		(void)snprintf(words, sizeof words, "HTTP %d", status);
	}
	no_gateway(chunks, words);
}

static void ask_ability(struct ur_chunks *chunks)
{
	struct ur_text answer = chunks->ask.answer;
	chunks->gateway = GATEWAY_ASKED;
	chunks->asking = true;
	chunks->version_fits = false;
	chunks->makes_uploads = false;
	chunks->algorithm = UR_TUS_NONE;
	chunks->ask = (struct ur_request){
		.method = "OPTIONS",
		.url = chunks->base,
		.answer_wait_ms = ANSWER_MS,
		.answer_max = ANSWER_MAX,
		.done = ability_answered,
		.field = take_ability,
		.owner = chunks,
		.answer = answer,
	};
	ur_http_submit(chunks->http, &chunks->ask);
}

/* ---- the guest ------------------------------------------------------------------------------- */

/** True when what is in the queue can be dealt with. */
static bool is_ready(struct ur_chunks *chunks)
{
	const bool first = chunks->gateway == GATEWAY_UNASKED && !stopping(chunks);
	const bool again = chunks->gateway == GATEWAY_ASKED && !chunks->asking &&
			   ur_clock_steady_ns() >= chunks->ask_due_ns;
	if (first || again) {
		ask_ability(chunks);
	}
	return chunks->gateway == GATEWAY_THERE || chunks->gateway == GATEWAY_NONE ||
	       (stopping(chunks) && !chunks->asking);
}

static void deal_with(struct ur_chunks *chunks, struct ur_item *item)
{
	struct slot *slot = slot_of(chunks, item);
	if (slot != NULL) {
		slot->resume->recording = false;
		conclude_code(slot, slot->resume->recorded, "its address could not be remembered");
	} else if (chunks->gateway != GATEWAY_THERE || stopping(chunks)) {
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
		if (!is_ready(chunks)) {
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
	const bool stop = stopping(chunks);
	for (unsigned i = 0; i < chunks->slot_count; i++) {
		struct slot *slot = &chunks->slots[i];
		if (slot->item != NULL && slot->failed) {
			slot->failed = false;
			conclude(slot);
		} else if (slot->item != NULL && slot->due_ns != 0 &&
			   (stop || now >= slot->due_ns)) {
			slot->due_ns = 0;
			conclude_code(slot, stop ? -ECANCELED : 0, "the run was stopped");
		}
	}
}

static void turn(void *context)
{
	struct ur_chunks *chunks = context;
	take_in(chunks);
	look_at_clocks(chunks);
	for (int i = 0; i < READS_A_TURN && ur_ring_in_flight(chunks->ring) > 0 &&
			ur_ring_run(chunks->ring, -1, 0) > 0;
		i++) {
		continue;
	}
	if (ur_ring_in_flight(chunks->ring) > 0 && ur_ring_fd(chunks->ring) < 0) {
		ur_http_wake(chunks->http); // system calls: there is nothing to be woken by
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
	return ur_ring_in_flight(chunks->ring) > 0 ? ur_ring_fd(chunks->ring) : -1;
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

static int init_slot(struct ur_chunks *chunks, struct slot *slot)
{
	slot->chunks = chunks;
	slot->transport.begin = begin;
	slot->stream.read = give;
	slot->fd = -1;
	slot->dir_fd = -1;
	for (int i = 0; i < 2; i++) {
		slot->buffers[i].slot = slot;
		slot->buffers[i].bytes = malloc(BUFFER);
		if (slot->buffers[i].bytes == NULL) {
			return -ENOMEM;
		}
	}
	const int r = ur_xxh_new(&slot->whole);
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
	struct slot *slots = calloc(count, sizeof *slots);
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
		struct slot *slot = &chunks->slots[i];
		free(slot->buffers[0].bytes);
		free(slot->buffers[1].bytes);
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
