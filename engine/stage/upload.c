/*
 * upload - a slot a file; read downwards, it is the life of a sending.
 *
 *     SIDECAR_OPEN → SIDECAR_READ → OPEN → SEND → DRAIN → out
 *
 * What is in memory is read straight into curl's buffer; from the first byte that is not, readahead's
 * two buffers take turns.
 */
#include "engine/stage/upload.h"

#include "engine/base/clock.h"
#include "engine/base/pace.h"
#include "engine/base/retry.h"
#include "engine/net/proof.h"
#include "engine/net/wire.h"
#include "engine/source/hindrance.h"
#include "engine/source/readahead.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_ENTRIES 256u
#define NAME_ROOM 1024u
#define REQUEST_WORK (64u << 10) // what a request costs besides its bytes, in bytes

static_assert(NAME_ROOM > 3 * 255 + 16, "every byte may become U+FFFD, and .MP4 is added");
static_assert(RING_ENTRIES >= 3 * UR_UPLOAD_SLOTS_MAX, "two reads and a close a slot");

enum slot_state {
	SLOT_IDLE,
	SLOT_SIDECAR_OPEN, // ring: the sidecar's descriptor
	SLOT_SIDECAR_READ, // ring: its bytes
	SLOT_OPEN,         // ring: the file's descriptor
	SLOT_SEND,         // http: the answer
	SLOT_DRAIN,        // ring: reads that nobody needs any more
};

struct slot {
	struct ur_op op; // first
	struct ur_stream stream;
	struct ur_request request;
	struct ur_upload *upload;
	enum slot_state state;
	struct ur_item *item;
	struct ur_file *file;
	struct ur_file *sidecar;
	int dir_fd;
	int fd;
	unsigned char *sidecar_bytes;
	struct ur_readahead ahead;
	int64_t sent_ns; // steady: when the request went to http
	struct ur_text head;
	struct ur_text middle;
	struct ur_text tail;
	char boundary[64];
	char content_type[128];
	char name[NAME_ROOM];
};

struct ur_upload {
	struct ur_run *run;
	struct ur_upload_wiring wiring;
	struct ur_http *http;
	struct ur_ring *ring;
	struct slot *slots;
	unsigned slot_count;
	unsigned active;
	struct ur_pace pace;
	atomic_uint limit; // the pace's, for others
	bool news;         // items went out since the bell was rung
};

/* ---- the controller -------------------------------------------------------------------------- */

/** Tells the pace what came back; decide reads the limit from its own thread. */
static void control(struct ur_upload *upload, const struct slot *slot)
{
	const struct ur_request *request = &slot->request;
	const int64_t now = ur_clock_steady_ns();
	const enum ur_passing passing = ur_retry_of(0, request->status);
	if (request->result == 0 && (passing == UR_PASSES_BUSY || passing == UR_PASSES_AWAY)) {
		ur_pace_refused(&upload->pace, now, request->retry_after_ms);
	} else if (request->result == 0 && request->status < 300) {
		ur_pace_answered(&upload->pace, now, now - slot->sent_ns,
			(uint64_t)slot->file->identity.size + REQUEST_WORK, upload->active);
	}
	atomic_store(&upload->limit, upload->pace.limit);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void hand_back(struct slot *slot)
{
	struct ur_upload *upload = slot->upload;
	struct ur_item *item = slot->item;
	if (slot->fd >= 0 && slot->file->cold) {
		ur_sys.forget(slot->fd, 0, 0); // all of it
	}
	if (slot->fd >= 0) {
		(void)ur_sys.close(slot->fd);
		slot->fd = -1;
	}
	free(slot->sidecar_bytes);
	slot->sidecar_bytes = NULL;
	slot->state = SLOT_IDLE;
	slot->item = NULL;
	upload->active--;
	const int r = ur_queue_push(upload->wiring.out, item);
	assert(r == 0); // the queue has room for the whole pool
	upload->news = true;
}

static void drain(struct slot *slot)
{
	slot->state = SLOT_DRAIN;
	if (!ur_readahead_is_reading(&slot->ahead)) {
		hand_back(slot);
	}
}

/** Nothing was sent: the file (or its sidecar) is not what it was, or cannot be read. */
static void give_up(struct slot *slot, int code, const char *what)
{
	struct ur_file *file = slot->file;
	char words[UR_HINDRANCE_TEXT];
	file->send_result = code;
	file->send_changed = code == -ESTALE || code == -ENOENT || code == -ELOOP;
	file->send_why = ur_arena_format(
		&slot->item->arena, "%s: %s", what, ur_hindrance_of_reading(code, words));
	drain(slot);
}

static void answered(struct ur_request *request)
{
	struct slot *slot = request->owner;
	struct ur_file *file = slot->file;
	struct ur_err err = {0};
	char message[UR_MESSAGE_MAX];
	file->send_result = request->result;
	file->send_status = request->status;
	file->send_body_gone = request->body_gone;
	file->send_retry_ms = request->retry_after_ms;
	file->send_changed = request->result == -ESTALE;
	file->send_quota = false;
	file->send_own = ur_proof_is_own(request);
	file->send_readable = false;
	if (request->result < 0) {
		file->send_why = ur_arena_string(&slot->item->arena, request->err.text);
	} else if (request->status == 200 || request->status == 201) {
		const int r = ur_immich_upload_read(
			ur_text_get(&request->answer), file->asset, &file->send_duplicate, &err);
		file->send_readable = r == 0;
		if (r < 0) { // an answer that is no answer: as if it had been lost
			file->send_why = ur_arena_string(&slot->item->arena, err.text);
		}
	} else {
		const char *answer = ur_text_get(&request->answer);
		file->send_quota = ur_immich_is_quota(request->status, answer);
		ur_immich_message(request->status, answer, request->html, message);
		file->send_why = ur_arena_string(&slot->item->arena, message);
	}
	control(slot->upload, slot);
	drain(slot);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void arrived(struct ur_readahead *ahead)
{
	struct slot *slot = (struct slot *)((char *)ahead - offsetof(struct slot, ahead));
	if (slot->state == SLOT_DRAIN) {
		drain(slot);
	} else {
		ur_http_resume(slot->upload->http, &slot->request);
	}
}

static ssize_t give(struct ur_stream *stream, void *bytes, size_t size)
{
	struct slot *slot = (struct slot *)((char *)stream - offsetof(struct slot, stream));
	return ur_readahead_give(&slot->ahead, bytes, size);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void add_piece(struct ur_request *request, const struct ur_text *text)
{
	request->pieces[request->piece_count++] =
		(struct ur_piece){.bytes = text->bytes, .size = text->size};
}

/** False when memory is short. */
static bool write_request(struct slot *slot)
{
	struct ur_file *file = slot->file;
	struct ur_item *item = slot->item;
	bool changed = false;
	if (!ur_kind_upload_name(file->name, slot->name, sizeof slot->name, &changed)) {
		return false; // a name of a directory entry always fits
	}
	const struct ur_file *movie = file->movie == UR_NONE ? NULL : &item->files[file->movie];
	const struct ur_upload_fields fields = {
		.name = slot->name,
		.created_ns = ur_run_created_of(slot->upload->run, file),
		.modified_ns = file->identity.mtime_ns,
		.size = (uint64_t)file->identity.size,
		.live_movie = movie != NULL && movie->asset[0] != '\0' ? movie->asset : NULL,
		.sidecar_name = slot->sidecar == NULL ? NULL : slot->sidecar->name,
		.sidecar_size = slot->sidecar == NULL ? 0 : (uint64_t)slot->sidecar->identity.size,
	};
	ur_text_clear(&slot->head);
	ur_text_clear(&slot->middle);
	ur_text_clear(&slot->tail);
	ur_immich_boundary(slot->boundary, slot->content_type);
	ur_immich_upload_write(slot->upload->run->server.dialect, &fields, slot->boundary,
		&slot->head, &slot->middle, &slot->tail);
	return ur_text_ok(&slot->head) && ur_text_ok(&slot->middle) && ur_text_ok(&slot->tail);
}

/** From now on a kill leaves a body that may arrive. */
static int last_byte(struct ur_request *request)
{
	const struct slot *slot = request->owner;
	return ur_wire_gone(slot->upload->run->wire, slot->file->wire);
}

static void send_next(struct slot *slot)
{
	struct ur_file *file = slot->file;
	struct ur_request *request = &slot->request;
	char hex[2 * UR_HASH_SHA1 + 1];
	if (!write_request(slot)) {
		give_up(slot, -ENOMEM, "it could not be sent");
		return;
	}
	struct ur_text answer = request->answer;
	*request = (struct ur_request){
		.method = "POST",
		.path = "/api/assets",
		.content_type = slot->content_type,
		.upload = true,
		.answer_wait_ms = slot->upload->run->options->answer_wait_ms,
		.answer_max = 64u << 10,
		.last = last_byte,
		.done = answered,
		.owner = slot,
		.answer = answer,
	};
	ur_hex(file->sha1, UR_HASH_SHA1, hex);
	(void)snprintf(request->header[0], sizeof request->header[0], "x-immich-checksum: %s", hex);
	add_piece(request, &slot->head);
	if (slot->sidecar != NULL) {
		request->pieces[request->piece_count++] = (struct ur_piece){
			.bytes = slot->sidecar_bytes,
			.size = (uint64_t)slot->sidecar->identity.size,
		};
		add_piece(request, &slot->middle);
	}
	request->pieces[request->piece_count++] = (struct ur_piece){
		.stream = &slot->stream,
		.size = (uint64_t)file->identity.size,
	};
	add_piece(request, &slot->tail);
	slot->state = SLOT_SEND;
	slot->sent_ns = ur_clock_steady_ns();
	ur_http_submit(slot->upload->http, request);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static void file_opened(struct ur_op *op);

static void open_named(struct slot *slot, const char *name, void (*done)(struct ur_op *))
{
	const struct ur_dir *dir = slot->item->dir;
	slot->dir_fd = ur_dir_take(dir);
	if (slot->dir_fd < 0) {
		give_up(slot, slot->dir_fd, "its folder cannot be opened");
		return;
	}
	slot->op.done = done;
	ur_ring_open(slot->upload->ring, &slot->op, slot->dir_fd, name,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | (dir->root->follow ? 0 : O_NOFOLLOW));
}

/** The descriptor in op->result, if it is still the file that was probed. */
static int check_opened(struct slot *slot, struct ur_op *op, const struct ur_file *file)
{
	ur_dir_give(slot->item->dir, slot->dir_fd);
	slot->dir_fd = -1;
	if (op->result < 0) {
		return (int)op->result;
	}
	slot->fd = (int)op->result;
	return ur_identity_check(slot->fd, &file->identity, NULL);
}

static void sidecar_read(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const struct ur_file *sidecar = slot->sidecar;
	const size_t size = (size_t)sidecar->identity.size;
	uint8_t xxh[UR_HASH_XXH];
	(void)ur_sys.close(slot->fd);
	slot->fd = -1;
	ur_xxh_of(slot->sidecar_bytes, size, xxh);
	if (op->result != (int64_t)size || memcmp(xxh, sidecar->xxh, sizeof xxh) != 0) {
		give_up(slot, op->result < 0 ? (int)op->result : -ESTALE, "its sidecar changed");
		return;
	}
	slot->state = SLOT_OPEN;
	open_named(slot, slot->file->name, file_opened);
}

static void sidecar_opened(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const size_t size = (size_t)slot->sidecar->identity.size;
	int r = check_opened(slot, op, slot->sidecar);
	slot->sidecar_bytes = r < 0 ? NULL : malloc(size);
	r = r == 0 && slot->sidecar_bytes == NULL ? -ENOMEM : r;
	if (r < 0) {
		give_up(slot, r, "its sidecar cannot be read");
		return;
	}
	slot->state = SLOT_SIDECAR_READ;
	slot->op.done = sidecar_read;
	ur_ring_read(slot->upload->ring, &slot->op, slot->fd, slot->sidecar_bytes, size, 0);
}

static void file_opened(struct ur_op *op)
{
	struct slot *slot = (struct slot *)op;
	const int r = check_opened(slot, op, slot->file);
	if (r < 0) {
		give_up(slot, r, "it changed or could not be opened before sending");
		return;
	}
	const struct ur_readahead_spec spec = {
		.fd = slot->fd,
		.to = (uint64_t)slot->file->identity.size,
		.xxh = slot->file->xxh,
		.identity = &slot->file->identity,
		.memory_first = true,
		.forgets = slot->file->cold,
	};
	ur_readahead_begin(&slot->ahead, slot->upload->ring, &spec);
	send_next(slot);
}

static void begin(struct slot *slot, struct ur_item *item)
{
	slot->item = item;
	slot->file = &item->files[item->current];
	slot->sidecar = slot->file->sidecar == UR_NONE ? NULL : &item->files[slot->file->sidecar];
	slot->fd = -1;
	slot->dir_fd = -1;
	slot->file->send_why = NULL;
	slot->file->send_duplicate = false;
	slot->file->send_status = 0;
	slot->file->send_body_gone = false;
	slot->file->send_changed = false;
	slot->file->send_retry_ms = -1;
	slot->upload->active++;
	if (slot->sidecar != NULL) {
		slot->state = SLOT_SIDECAR_OPEN;
		open_named(slot, slot->sidecar->name, sidecar_opened);
	} else {
		slot->state = SLOT_OPEN;
		open_named(slot, slot->file->name, file_opened);
	}
}

/* ---- the guest ------------------------------------------------------------------------------- */

static struct slot *idle_slot(struct ur_upload *upload)
{
	for (unsigned i = 0; i < upload->slot_count; i++) {
		if (upload->slots[i].state == SLOT_IDLE) {
			return &upload->slots[i];
		}
	}
	return NULL;
}

static void turn(void *context)
{
	struct ur_upload *upload = context;
	void *item = NULL;
	const bool stop = atomic_load_explicit(&upload->run->stop, memory_order_relaxed);
	const unsigned limit = ur_pace_limit(&upload->pace, ur_clock_steady_ns());
	while ((stop || upload->active < limit) && ur_queue_pop(upload->wiring.in, &item) == 0) {
		struct ur_item *it = item;
		if (stop) {
			it->files[it->current].send_result = -ECANCELED;
			it->files[it->current].send_body_gone = false;
			const int r = ur_queue_push(upload->wiring.out, it);
			assert(r == 0);
			upload->news = true;
			continue;
		}
		struct slot *slot = idle_slot(upload);
		assert(slot != NULL);
		begin(slot, it);
	}
	while (ur_ring_in_flight(upload->ring) > 0 && ur_ring_run(upload->ring, -1, 0) > 0) {
		continue;
	}
	if (upload->news) {
		upload->news = false;
		ur_bell_ring(upload->wiring.out_bell);
	}
}

static int start(void *context, struct ur_err *err)
{
	struct ur_upload *upload = context;
	return ur_ring_new(upload->run->options->ring, RING_ENTRIES, &upload->ring, err);
}

static void stop(void *context)
{
	struct ur_upload *upload = context;
	while (ur_ring_in_flight(upload->ring) > 0) {
		(void)ur_ring_run(upload->ring, -1, 100);
	}
	upload->ring = ur_ring_free(upload->ring);
}

static int guest_fd(void *context)
{
	struct ur_upload *upload = context;
	return ur_ring_fd(upload->ring);
}

struct ur_http_guest ur_upload_guest(struct ur_upload *upload)
{
	return (struct ur_http_guest){
		.start = start, .turn = turn, .stop = stop, .fd = guest_fd, .context = upload};
}

void ur_upload_attach(struct ur_upload *upload, struct ur_http *http)
{
	upload->http = http;
}

static int init_slot(struct ur_upload *upload, struct slot *slot)
{
	slot->upload = upload;
	slot->stream.read = give;
	slot->fd = -1;
	return ur_readahead_init(&slot->ahead, arrived);
}

int ur_upload_new(struct ur_run *run, const struct ur_upload_wiring *wiring, struct ur_upload **ret,
	struct ur_err *err)
{
	const unsigned count = run->options->concurrency;
	assert(count > 0 && count <= UR_UPLOAD_SLOTS_MAX);
	struct ur_upload *upload = calloc(1, sizeof *upload);
	struct slot *slots = calloc(count, sizeof *slots);
	if (upload == NULL || slots == NULL) {
		free(upload);
		free(slots);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare for sending");
	}
	upload->run = run;
	upload->wiring = *wiring;
	upload->slots = slots;
	upload->slot_count = count;
	ur_pace_init(&upload->pace, count);
	atomic_init(&upload->limit, upload->pace.limit);
	int r = 0;
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = init_slot(upload, &slots[i]);
	}
	if (r < 0) {
		(void)ur_upload_free(upload);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot prepare for sending");
	}
	*ret = upload;
	return 0;
}

struct ur_upload *ur_upload_free(struct ur_upload *upload)
{
	if (upload == NULL) {
		return NULL;
	}
	for (unsigned i = 0; i < upload->slot_count; i++) {
		struct slot *slot = &upload->slots[i];
		ur_readahead_done(&slot->ahead);
		free(slot->sidecar_bytes);
		ur_text_done(&slot->head);
		ur_text_done(&slot->middle);
		ur_text_done(&slot->tail);
		ur_request_done(&slot->request);
	}
	free(upload->slots);
	free(upload);
	return NULL;
}

unsigned ur_upload_limit(const struct ur_upload *upload)
{
	return atomic_load(&upload->limit);
}
