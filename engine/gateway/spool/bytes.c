/*
 * bytes - what happens while bytes come in.
 *
 *     loop:  append ─▶ bytes, hash, offset …… append …… mark ──┐          committed(mark)
 *     crew:                                                    └▶ commit: fdatasync(bytes)
 *                                                                 slot ▶ fdatasync(state)
 *
 * The two sides share two descriptors and nothing else: a commit knows the mark it was given, and
 * which slot is the newest; an append knows the hash and the offset.
 *
 * A flush that fails tells so once, and the kernel then takes the pages for clean: what was written
 * since the last good commit may be in memory alone, for ever.  So nothing more is taken for such
 * an upload, and the next start cuts off what no slot vouches for.  A slot whose flush failed is
 * spoiled, so that the next start does not take it for durable either.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD (1u << 20) // bytes whose write-back is started together
#define PAGE 4096u
#define RESERVE (64u << 20) // blocks that are taken together, never more than were promised

static int distrusted(int code, struct ur_err *err)
{
	return ur_err_say(err, code, UR_FAULT_WORLD,
		"the disk did not store what it had taken of this upload: nothing more is taken "
		"for it until the gateway has been started again (the kernel's log says why)");
}

static int cannot_write(int code, struct ur_err *err)
{
	return ur_err_set(err, code, UR_FAULT_WORLD, "cannot write to the spool");
}

/* ---- awake and at rest ----------------------------------------------------------------------- */

static int open_both(struct ur_spool_own *own, int root, const char *id)
{
	assert(root >= 0);
	assert(own->bytes < 0);
	assert(own->state < 0);
	const int dir = ur_spool_folder_open(root, id);
	if (dir < 0) {
		return dir;
	}
	own->bytes = ur_spool_file_open(dir, "bytes", O_RDWR);
	own->state = own->bytes < 0 ? own->bytes : ur_spool_file_open(dir, "state", O_RDWR);
	(void)ur_sys.close(dir);
	return own->state < 0 ? own->state : 0;
}

static void close_both(struct ur_spool_own *own)
{
	if (own->bytes >= 0) {
		(void)ur_sys.close(own->bytes);
	}
	if (own->state >= 0) {
		(void)ur_sys.close(own->state);
	}
	free(own);
}

int ur_spool_wake(struct ur_spool_upload *upload, struct ur_err *err)
{
	struct ur_spool_slot slot;
	if (upload->own != NULL) {
		return 0;
	}
	if (upload->untrusted) {
		return distrusted(-EIO, err);
	}
	assert(upload->offset == upload->durable);
	struct ur_spool_own *own = calloc(1, sizeof *own);
	if (own == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot open the upload");
	}
	own->bytes = -1;
	own->state = -1;
	int r = open_both(own, upload->spool->root, upload->id);
	r = r < 0 ? r : ur_spool_slot_pick(own->state, &slot, &own->newest, NULL);
	if (r == 0 && slot.mark.offset != upload->durable) {
		r = -EBADMSG;
	}
	r = r < 0 ? r : ur_sha1_load(&own->sha1, slot.mark.offset, slot.mark.words, slot.mark.tail);
	if (r < 0) {
		close_both(own);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot open the upload in the spool");
	}
	own->sequence = slot.sequence;
	own->reserved = slot.mark.offset;
	own->ahead = slot.mark.offset;
	upload->own = own;
	return 0;
}

void ur_spool_rest(struct ur_spool_upload *upload)
{
	if (upload->own != NULL) {
		close_both(upload->own);
		upload->own = NULL;
		upload->offset = upload->durable;
		ur_spool_recount(upload);
	}
}

/* ---- durable --------------------------------------------------------------------------------- */

static int sync_data(const struct ur_spool *spool, int fd)
{
	assert(fd >= 0);
	return spool->no_sync ? 0 : ur_sys.fdatasync(fd);
}

/** Into the slot that is not the newest, so that there is always a whole one. */
static int write_slot(struct ur_spool_upload *upload, const struct ur_spool_mark *mark)
{
	assert(mark->offset <= mark->length);
	assert(upload->own->newest < UR_SLOTS);
	static const uint8_t spoiled[UR_SLOT_BYTES];
	struct ur_spool_own *own = upload->own;
	uint8_t bytes[UR_SLOT_BYTES];
	const unsigned next = (own->newest + 1) % UR_SLOTS;
	const off_t at = (off_t)(next * UR_SLOT_APART);
	const struct ur_spool_slot slot = {
		.sequence = own->sequence + 1,
		.touched_ms = ur_clock_wall_ns() / UR_MS_NS,
		.touched_ran_ms = ur_spool_ran_ms(upload->spool),
		.mark = *mark,
	};
	ur_spool_slot_write(&slot, bytes);
	int r = ur_sys_pwrite_all(own->state, bytes, sizeof bytes, at);
	if (r < 0) {
		(void)ur_sys_pwrite_all(own->state, spoiled, sizeof spoiled, at);
		return r; // nothing was promised: it may be tried again
	}
	r = sync_data(upload->spool, own->state);
	if (r < 0) {
		upload->untrusted = true;
		(void)ur_sys_pwrite_all(own->state, spoiled, sizeof spoiled, at);
		return r;
	}
	own->sequence = slot.sequence;
	own->newest = next;
	return 0;
}

/** A rewound upload may have had more bytes once than it has in the end. */
static int trim(const struct ur_spool_upload *upload, const struct ur_spool_mark *mark)
{
	assert(upload->own != NULL);
	struct stat st;
	if (mark->offset != mark->length) {
		return 0;
	}
	const int r = ur_sys.fstat(upload->own->bytes, &st);
	if (r < 0 || st.st_size <= (off_t)mark->offset) {
		return r;
	}
	return ur_sys.ftruncate(upload->own->bytes, (off_t)mark->offset);
}

/**
 * With its blocks taken beforehand a write has less to do, and so has a flush: on ext4 0.20
 * instead of 0.28 CPU-s/GiB without the hash.  A help and no more: without it all is as well.
 */
static void reserve(struct ur_spool_own *own, const struct ur_spool_mark *mark)
{
	const uint64_t from = mark->offset > own->reserved ? mark->offset : own->reserved;
	if (!ur_spool_is_known(mark->length) || from >= mark->length ||
		from - mark->offset > RESERVE / 2 || mark->length - from < UR_SPOOL_STEP) {
		return;
	}
	const uint64_t left = mark->length - from;
	const uint64_t size = left < RESERVE ? left : RESERVE;
	const int r = ur_sys.reserve(own->bytes, (off_t)from, (off_t)size);
	own->reserved = r < 0 ? UINT64_MAX : from + size;
}

int ur_spool_commit(
	struct ur_spool_upload *upload, const struct ur_spool_mark *mark, struct ur_err *err)
{
	assert(mark->offset <= mark->length);
	assert(upload->own != NULL);
	if (upload->untrusted) {
		return distrusted(-EIO, err);
	}
	ur_effect("spool commit", false);
	int r = sync_data(upload->spool, upload->own->bytes);
	if (r < 0) {
		upload->untrusted = true;
		return distrusted(r, err);
	}
	r = write_slot(upload, mark);
	if (r < 0) {
		return upload->untrusted ? distrusted(r, err) : cannot_write(r, err);
	}
	reserve(upload->own, mark);
	r = trim(upload, mark);
	ur_effect("spool commit", true);
	return r < 0 ? cannot_write(r, err) : 0;
}

void ur_spool_committed(struct ur_spool_upload *upload, const struct ur_spool_mark *mark)
{
	assert(mark->offset <= mark->length);
	upload->durable = mark->offset;
}

/* ---- bytes come in --------------------------------------------------------------------------- */

void ur_spool_mark(const struct ur_spool_upload *upload, struct ur_spool_mark *ret)
{
	assert(upload->own != NULL);
	*ret = (struct ur_spool_mark){.offset = upload->offset, .length = upload->length};
	ur_sha1_save(&upload->own->sha1, ret->words, ret->tail);
}

static int check_room(const struct ur_spool_upload *upload, size_t size, struct ur_err *err)
{
	assert(upload->offset <= upload->length);
	const uint64_t most =
		ur_spool_is_known(upload->length) ? upload->length : (uint64_t)INT64_MAX;
	if (size > most - upload->offset) {
		return ur_err_say(err, -EFBIG, UR_FAULT_FILE,
			"more bytes than the upload's length of %llu", (unsigned long long)most);
	}
	return 0;
}

/** In whole pages: the last one will be written again. */
static void start_writeback(struct ur_spool_upload *upload)
{
	assert(upload->own->ahead <= upload->offset);
	struct ur_spool_own *own = upload->own;
	if (upload->offset - own->ahead >= AHEAD && !upload->spool->no_sync) {
		const uint64_t end = upload->offset & ~(uint64_t)(PAGE - 1);
		(void)ur_sys.sync_ahead(own->bytes, (off_t)own->ahead, (off_t)(end - own->ahead));
		own->ahead = end;
	}
}

static int write_bytes(
	struct ur_spool_upload *upload, const char *bytes, size_t size, struct ur_err *err)
{
	struct ur_spool_own *own = upload->own;
	while (size > 0) {
		const ssize_t n = ur_sys.pwrite(own->bytes, bytes, size, (off_t)upload->offset);
		if (n <= 0) {
			return cannot_write(n < 0 ? (int)n : -EIO, err);
		}
		if (!upload->spool->no_hash) {
			ur_sha1_feed(&own->sha1, bytes, (size_t)n);
		}
		upload->offset += (uint64_t)n;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/** A slot must not speak of bytes that are about to be overwritten. */
static int commit_rewound(struct ur_spool_upload *upload, struct ur_err *err)
{
	assert(upload->offset < upload->durable);
	struct ur_spool_mark mark;
	ur_spool_mark(upload, &mark);
	const int r = ur_spool_commit(upload, &mark, err);
	if (r == 0) {
		ur_spool_committed(upload, &mark);
	}
	return r;
}

int ur_spool_append(
	struct ur_spool_upload *upload, const void *bytes, size_t size, struct ur_err *err)
{
	assert(size == 0 || upload->outcome.state == UR_SPOOL_RECEIVING);
	assert(upload->own != NULL);
	if (upload->untrusted) {
		return distrusted(-EIO, err);
	}
	int r = check_room(upload, size, err);
	if (r == 0 && upload->offset < upload->durable) {
		r = commit_rewound(upload, err);
	}
	if (r == 0) {
		r = write_bytes(upload, bytes, size, err);
		upload->touched_ms = ur_clock_wall_ns() / UR_MS_NS;
		upload->touched_ran_ms = ur_spool_ran_ms(upload->spool);
		start_writeback(upload);
	}
	if (!ur_spool_is_known(upload->length)) {
		ur_spool_recount(upload);
	}
	return r;
}

void ur_spool_rewind(struct ur_spool_upload *upload, const struct ur_spool_mark *mark)
{
	assert(mark->offset <= mark->length);
	struct ur_spool_own *own = upload->own;
	assert(own != NULL);
	assert(mark->offset <= upload->offset);
	upload->offset = mark->offset;
	upload->length = mark->length;
	own->ahead = mark->offset < own->ahead ? mark->offset & ~(uint64_t)(PAGE - 1) : own->ahead;
	/* It began with a kernel that computes right, and still does. */
	const int r = ur_sha1_load(&own->sha1, mark->offset, mark->words, mark->tail);
	assert(r == 0);
	ur_spool_recount(upload);
}

void ur_spool_declare(struct ur_spool_upload *upload, uint64_t length)
{
	assert(!ur_spool_is_known(upload->length));
	assert(length <= INT64_MAX);
	assert(length >= upload->offset);
	upload->length = length;
	ur_spool_recount(upload);
}

bool ur_spool_finish(struct ur_spool_upload *upload)
{
	struct ur_sha1 empty;
	assert(upload->offset == upload->length);
	assert(upload->durable == upload->length);
	assert(upload->own != NULL || upload->length == 0);
	if (upload->own == NULL) {
		const int r = ur_sha1_begin(&empty); // as it could when the spool was opened
		assert(r == 0);
	}
	ur_sha1_end(upload->own != NULL ? &upload->own->sha1 : &empty, upload->sha1);
	return !upload->has_sha1 || upload->spool->no_hash ||
	       memcmp(upload->sha1, upload->want_sha1, sizeof upload->sha1) == 0;
}
