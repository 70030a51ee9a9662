/*
 * chunks_disk - a chunk is read once for its checksum and once on its way; a sidecar only once.
 *
 *     HASH   open → read ⇄ feed → conclude         SEND   read ⇄ give
 *
 * One readahead a slot, for one of the two at a time.
 */
#include "engine/stage/chunks_parts.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* ---- hashing --------------------------------------------------------------------------------- */

/** Where the chunk that is to go next ends. */
static uint64_t chunk_end(const struct ur_chunks_slot *slot)
{
	return slot->transfer.offset + slot->transfer.chunk;
}

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
static void feed(struct ur_chunks_slot *slot, const unsigned char *bytes, size_t size)
{
	const uint64_t from = ur_readahead_at(&slot->ahead);
	const uint64_t to = from + size;
	const uint64_t offset = slot->transfer.offset;
	if (to > slot->whole_at) {
		assert(from <= slot->whole_at);
		const size_t skip = (size_t)(slot->whole_at - from);
		ur_xxh_feed(slot->whole, bytes + skip, size - skip);
		slot->whole_at = to;
	}
	if (to > offset) {
		const size_t skip = from < offset ? (size_t)(offset - from) : 0;
		ur_xxh_feed(slot->part, bytes + skip, size - skip);
		if (slot->chunks->algorithm == UR_TUS_SHA1) {
			ur_sha1_feed(&slot->sha1, bytes + skip, size - skip);
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

static void feed_ready(struct ur_chunks_slot *slot)
{
	const unsigned char *bytes = NULL;
	ssize_t n = 0;
	while (!ur_readahead_is_over(&slot->ahead) &&
		(n = ur_readahead_peek(&slot->ahead, &bytes)) > 0) {
		feed(slot, bytes, (size_t)n);
		ur_readahead_take(&slot->ahead, (size_t)n);
	}
	if (ur_readahead_is_over(&slot->ahead)) {
		hashed_all(slot);
	} else if (n != -EAGAIN) {
		ur_chunks_conclude_code(slot, (int)n, "it cannot be read");
	}
}

/* ---- on its way ------------------------------------------------------------------------------ */

void ur_chunks_arrived(struct ur_readahead *ahead)
{
	struct ur_chunks_slot *slot =
		(struct ur_chunks_slot *)((char *)ahead - offsetof(struct ur_chunks_slot, ahead));
	if (slot->concluding) {
		return; // the turn looks whether it was the last
	}
	if (slot->reading == READING_HASH) {
		feed_ready(slot);
	} else {
		ur_http_resume(slot->chunks->http, &slot->request);
	}
}

ssize_t ur_chunks_give(struct ur_stream *stream, void *bytes, size_t size)
{
	struct ur_chunks_slot *slot =
		(struct ur_chunks_slot *)((char *)stream - offsetof(struct ur_chunks_slot, stream));
	const size_t room = ur_window_room(&slot->window, size);
	if (room == 0) {
		const int error = ur_readahead_error(&slot->ahead);
		return error != 0 ? error : -EAGAIN;
	}
	const ssize_t n = ur_readahead_give(&slot->ahead, bytes, room);
	if (n > 0) {
		ur_window_gave(&slot->window, (size_t)n);
	}
	return n;
}

/** The chunk goes only if it is the one that was hashed, and its end with the file's as probed. */
void ur_chunks_begin_sending(struct ur_chunks_slot *slot)
{
	const struct ur_readahead_spec spec = {
		.fd = slot->fd,
		.from = slot->transfer.offset,
		.to = chunk_end(slot),
		.xxh = slot->part_xxh,
		.identity = &slot->file->identity,
	};
	slot->reading = READING_SEND;
	ur_readahead_begin(&slot->ahead, slot->chunks->ring, &spec);
	/* While this one is on its way, the disk may bring the next, for its checksum. */
	(void)posix_fadvise(
		slot->fd, (off_t)spec.to, (off_t)slot->chunks->pace.chunk, POSIX_FADV_WILLNEED);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void open_named(struct ur_chunks_slot *slot, const char *name, void (*done)(struct ur_op *))
{
	const struct ur_dir *dir = slot->item->dir;
	slot->dir_fd = ur_dir_take(dir);
	if (slot->dir_fd < 0) {
		ur_chunks_conclude_code(slot, slot->dir_fd, "its folder cannot be opened");
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
		ur_chunks_conclude_code(slot, -EIO, "no kernel computes SHA-1 right");
		return;
	}
	const struct ur_readahead_spec spec = {
		.fd = slot->fd,
		.from = slot->whole_at < offset ? slot->whole_at : offset,
		.to = chunk_end(slot),
	};
	slot->reading = READING_HASH;
	ur_xxh_begin(slot->part);
	ur_readahead_begin(&slot->ahead, slot->chunks->ring, &spec);
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
	slot->sidecar_there(slot);
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
void ur_chunks_read_sidecar(struct ur_chunks_slot *slot, void (*there)(struct ur_chunks_slot *slot))
{
	assert(slot->sidecar != NULL);
	assert(slot->sidecar_bytes == NULL);
	if (slot->fd >= 0) {
		(void)ur_sys.close(slot->fd);
		slot->fd = -1;
	}
	slot->sidecar_there = there;
	open_named(slot, slot->sidecar->name, sidecar_opened);
}
