/*
 * chunks_disk - a chunk is read once for its checksum and once on its way; a sidecar only once.
 *
 *     HASH   open → read ⇄ feed → conclude         SEND   read ⇄ give
 *
 * Two buffers a slot, both for one direction at a time.
 */
#include "engine/stage/chunks_parts.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static void filled(struct ur_op *op);

static void fill(struct ur_chunks_slot *slot)
{
	struct ur_chunks_buffer *buffer = &slot->buffers[slot->filling];
	if (buffer->in_flight || buffer->ready || slot->read_at == slot->read_end ||
		slot->error != 0 || slot->concluding) {
		return;
	}
	const uint64_t left = slot->read_end - slot->read_at;
	const size_t size = left < UR_CHUNKS_BUFFER ? (size_t)left : UR_CHUNKS_BUFFER;
	buffer->in_flight = true;
	buffer->op.done = filled;
	ur_ring_read(slot->chunks->ring, &buffer->op, slot->fd, buffer->bytes, size, slot->read_at);
	slot->read_at += size;
	slot->filling ^= 1;
}

void ur_chunks_begin_reading(
	struct ur_chunks_slot *slot, enum ur_chunks_reading what, uint64_t from, uint64_t to)
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

uint64_t ur_chunks_chunk_end(const struct ur_chunks_slot *slot)
{
	return slot->transfer.offset + slot->transfer.chunk;
}

/* ---- hashing --------------------------------------------------------------------------------- */

/** All bytes of the file have gone through `whole`: they are those that were probed, or not. */
static int check_whole(const struct ur_chunks_slot *slot)
{
	uint8_t xxh[UR_HASH_XXH];
	if (slot->whole_at < (uint64_t)slot->file->identity.size) {
		return 0;
	}
	ur_xxh_end(slot->whole, xxh);
	return memcmp(xxh, slot->file->xxh, sizeof xxh) == 0 ? 0 : -ESTALE;
}

static void set_checksum(struct ur_chunks_slot *slot)
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
static void feed(struct ur_chunks_slot *slot, const struct ur_chunks_buffer *buffer)
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

static void hashed_all(struct ur_chunks_slot *slot)
{
	int r = check_whole(slot);
	r = r < 0 ? r : ur_identity_check(slot->fd, &slot->file->identity, NULL);
	set_checksum(slot);
	ur_chunks_conclude_code(slot, r, "it is not the file that was read before");
}

/** Buffers come back in order, for each is asked for after the one before it was. */
static void feed_ready(struct ur_chunks_slot *slot)
{
	struct ur_chunks_buffer *buffer = &slot->buffers[slot->giving];
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

/* ---- on its way ------------------------------------------------------------------------------ */

/** A buffer on its way; the last of a chunk goes only if it is the chunk that was hashed. */
static int verify_part(struct ur_chunks_slot *slot, const struct ur_chunks_buffer *buffer)
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
	struct ur_chunks_buffer *buffer = (struct ur_chunks_buffer *)op;
	struct ur_chunks_slot *slot = buffer->slot;
	buffer->in_flight = false;
	if (slot->concluding) {
		ur_chunks_conclude(slot);
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
			ur_chunks_conclude_code(slot, slot->error, "it cannot be read");
		} else {
			feed_ready(slot);
		}
		return;
	}
	ur_http_resume(slot->chunks->http, &slot->request);
}

/** The next buffer to go, checked when it is looked at first. */
static struct ur_chunks_buffer *next_to_give(struct ur_chunks_slot *slot)
{
	struct ur_chunks_buffer *buffer = &slot->buffers[slot->giving];
	if (!buffer->ready || slot->error != 0) {
		return NULL;
	}
	if (buffer->used == 0) {
		ur_xxh_feed(slot->part, buffer->bytes, buffer->size);
		slot->error = verify_part(slot, buffer);
	}
	return slot->error != 0 ? NULL : buffer;
}

ssize_t ur_chunks_give(struct ur_stream *stream, void *bytes, size_t size)
{
	struct ur_chunks_slot *slot =
		(struct ur_chunks_slot *)((char *)stream - offsetof(struct ur_chunks_slot, stream));
	const size_t room = ur_window_room(&slot->window, size);
	struct ur_chunks_buffer *buffer = room == 0 ? NULL : next_to_give(slot);
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

/* ---- opening --------------------------------------------------------------------------------- */

static void open_named(struct ur_chunks_slot *slot, const char *name, void (*done)(struct ur_op *))
{
	const struct ur_dir *dir = slot->item->dir;
	slot->dir_fd = ur_dir_take(dir);
	if (slot->dir_fd < 0) {
		ur_chunks_fail_soon(slot, slot->dir_fd, "its folder cannot be opened");
		return;
	}
	slot->opening = true;
	slot->op.done = done;
	ur_ring_open(slot->chunks->ring, &slot->op, slot->dir_fd, name,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | (dir->root->follow ? 0 : O_NOFOLLOW));
}

static int take_opened(struct ur_chunks_slot *slot, const struct ur_file *file)
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
static void begin_hashing(struct ur_chunks_slot *slot)
{
	const uint64_t offset = slot->transfer.offset;
	if (ur_sha1_begin(&slot->sha1) < 0) {
		ur_chunks_fail_soon(slot, -EIO, "no kernel computes SHA-1 right");
		return;
	}
	ur_chunks_begin_reading(slot, READING_HASH,
		slot->whole_at < offset ? slot->whole_at : offset, ur_chunks_chunk_end(slot));
}

static void file_opened(struct ur_op *op)
{
	struct ur_chunks_slot *slot = (struct ur_chunks_slot *)op;
	const int r = take_opened(slot, slot->file);
	if (r < 0) {
		ur_chunks_conclude_code(
			slot, r, "it changed or could not be opened before sending");
		return;
	}
	slot->whole_at = 0;
	ur_xxh_begin(slot->whole);
	begin_hashing(slot);
}

void ur_chunks_hash_chunk(struct ur_chunks_slot *slot)
{
	if (slot->fd < 0) {
		open_named(slot, slot->file->name, file_opened);
	} else {
		begin_hashing(slot);
	}
}

/* ---- the sidecar ----------------------------------------------------------------------------- */

static void sidecar_read(struct ur_op *op)
{
	struct ur_chunks_slot *slot = (struct ur_chunks_slot *)op;
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
		ur_chunks_conclude_code(slot, -ESTALE, "its sidecar changed");
		return;
	}
	ur_chunks_send_sidecar(slot);
}

static void sidecar_opened(struct ur_op *op)
{
	struct ur_chunks_slot *slot = (struct ur_chunks_slot *)op;
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
		ur_chunks_conclude_code(slot, gone ? -ESTALE : r, "its sidecar cannot be read");
		return;
	}
	slot->opening = true;
	slot->op.done = sidecar_read;
	ur_ring_read(slot->chunks->ring, &slot->op, slot->fd, slot->sidecar_bytes, size, 0);
}

/** The file is not open yet, or is not needed for a while: one descriptor a slot. */
void ur_chunks_begin_sidecar(struct ur_chunks_slot *slot)
{
	if (slot->sidecar_bytes != NULL) {
		ur_chunks_send_sidecar(slot);
		return;
	}
	if (slot->fd >= 0) {
		(void)ur_sys.close(slot->fd);
		slot->fd = -1;
	}
	open_named(slot, slot->sidecar->name, sidecar_opened);
}
