/* readahead - two buffers that take turns, and a hash that every byte passes. */
#include "engine/source/readahead.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FORGET_EVERY (8u << 20)

/* ---- reading --------------------------------------------------------------------------------- */

bool ur_readahead_is_reading(const struct ur_readahead *ahead)
{
	return ahead->buffers[0].in_flight || ahead->buffers[1].in_flight;
}

static void filled(struct ur_op *op)
{
	struct ur_readahead_buffer *buffer = (struct ur_readahead_buffer *)op;
	struct ur_readahead *ahead = buffer->ahead;
	assert(buffer->in_flight);
	buffer->in_flight = false;
	if (op->result < 0 || (size_t)op->result != op->size) {
		ahead->error = op->result < 0 ? (int)op->result : -ESTALE;
	} else {
		buffer->used = 0;
		buffer->seen = false;
		buffer->ready = true;
	}
	ahead->arrived(ahead);
}

static void fill(struct ur_readahead *ahead)
{
	struct ur_readahead_buffer *buffer = &ahead->buffers[ahead->filling];
	if (buffer->in_flight || buffer->ready || ahead->read_at == ahead->spec.to ||
		ahead->error != 0 || ahead->stopped) {
		return;
	}
	const uint64_t left = ahead->spec.to - ahead->read_at;
	const size_t size = left < UR_READAHEAD_BUFFER ? (size_t)left : UR_READAHEAD_BUFFER;
	buffer->in_flight = true;
	buffer->op.done = filled;
	ur_ring_read(ahead->ring, &buffer->op, ahead->spec.fd, buffer->bytes, size, ahead->read_at);
	ahead->read_at += size;
	ahead->filling ^= 1;
}

static void go_by_ring(struct ur_readahead *ahead)
{
	ahead->by_ring = true;
	fill(ahead);
	fill(ahead);
}

/* ---- hashing --------------------------------------------------------------------------------- */

/** The last bytes are in: only if all are those that were expected may they go. */
static int verify(const struct ur_readahead *ahead)
{
	const struct ur_readahead_spec *spec = &ahead->spec;
	uint8_t xxh[UR_HASH_XXH];
	ur_xxh_end(ahead->xxh, xxh);
	if (memcmp(xxh, spec->xxh, sizeof xxh) != 0) {
		return -ESTALE;
	}
	return spec->to == (uint64_t)spec->identity->size
		       ? ur_identity_check(spec->fd, spec->identity, NULL)
		       : 0;
}

/** In the order of the file, whatever order the reads came back in: before its bytes go. */
static void look(struct ur_readahead *ahead, const void *bytes, size_t size)
{
	const struct ur_readahead_spec *spec = &ahead->spec;
	const uint64_t end = ahead->given_at + size;
	assert(end <= spec->to);
	if (spec->xxh != NULL) {
		ur_xxh_feed(ahead->xxh, bytes, size);
		ahead->error = end == spec->to ? verify(ahead) : ahead->error;
	}
	if (spec->forgets && end / FORGET_EVERY > ahead->given_at / FORGET_EVERY) {
		ur_sys.forget(spec->fd, 0, (off_t)end);
	}
}

/* ---- handing over ---------------------------------------------------------------------------- */

ssize_t ur_readahead_peek(struct ur_readahead *ahead, const unsigned char **ret)
{
	struct ur_readahead_buffer *buffer = &ahead->buffers[ahead->giving];
	assert(ahead->by_ring);
	if (ahead->error == 0 && buffer->ready && !buffer->seen) {
		assert(buffer->op.offset == ahead->given_at);
		buffer->seen = true;
		look(ahead, buffer->bytes, buffer->op.size);
	}
	if (ahead->error < 0) {
		return ahead->error;
	}
	if (!buffer->ready) {
		return -EAGAIN;
	}
	*ret = buffer->bytes + buffer->used;
	return (ssize_t)(buffer->op.size - buffer->used);
}

void ur_readahead_take(struct ur_readahead *ahead, size_t size)
{
	struct ur_readahead_buffer *buffer = &ahead->buffers[ahead->giving];
	assert(buffer->seen);
	assert(size <= buffer->op.size - buffer->used);
	buffer->used += size;
	ahead->given_at += size;
	if (buffer->used == buffer->op.size) {
		buffer->ready = false;
		buffer->seen = false;
		ahead->giving ^= 1;
		fill(ahead);
	}
}

/** Bytes that are in memory, without a detour; -EAGAIN: from here on by the ring. */
static ssize_t give_cached(struct ur_readahead *ahead, void *bytes, size_t size)
{
	if (ahead->error < 0) {
		return ahead->error;
	}
	const uint64_t left = ahead->spec.to - ahead->read_at;
	const size_t most = size < left ? size : (size_t)left;
	const ssize_t n = ur_sys.pread_cached(ahead->spec.fd, bytes, most, (off_t)ahead->read_at);
	if (n == 0) {
		return -ESTALE; // it has become shorter
	}
	if (n < 0) {
		go_by_ring(ahead); // also where it failed: the ring will say so
		return -EAGAIN;
	}
	assert(ahead->read_at == ahead->given_at);
	look(ahead, bytes, (size_t)n);
	if (ahead->error < 0) {
		return ahead->error;
	}
	ahead->read_at += (uint64_t)n;
	ahead->given_at += (uint64_t)n;
	return n;
}

ssize_t ur_readahead_give(struct ur_readahead *ahead, void *bytes, size_t size)
{
	const unsigned char *next = NULL;
	if (!ahead->by_ring) {
		return give_cached(ahead, bytes, size);
	}
	const ssize_t there = ur_readahead_peek(ahead, &next);
	if (there < 0) {
		return there;
	}
	const size_t n = size < (size_t)there ? size : (size_t)there;
	memcpy(bytes, next, n);
	ur_readahead_take(ahead, n);
	return (ssize_t)n;
}

/* ---- a range --------------------------------------------------------------------------------- */

void ur_readahead_begin(
	struct ur_readahead *ahead, struct ur_ring *ring, const struct ur_readahead_spec *spec)
{
	assert(!ur_readahead_is_reading(ahead));
	assert(spec->fd >= 0);
	assert(spec->from <= spec->to);
	assert(spec->xxh == NULL || spec->identity != NULL);
	ahead->ring = ring;
	ahead->spec = *spec;
	ahead->filling = 0;
	ahead->giving = 0;
	ahead->buffers[0].ready = false;
	ahead->buffers[1].ready = false;
	ahead->read_at = spec->from;
	ahead->given_at = spec->from;
	ahead->by_ring = false;
	ahead->stopped = false;
	ahead->error = 0;
	ur_xxh_begin(ahead->xxh);
	if (!spec->memory_first) {
		go_by_ring(ahead);
	}
}

void ur_readahead_stop(struct ur_readahead *ahead)
{
	ahead->stopped = true;
}

uint64_t ur_readahead_at(const struct ur_readahead *ahead)
{
	return ahead->given_at;
}

bool ur_readahead_is_over(const struct ur_readahead *ahead)
{
	return ahead->given_at == ahead->spec.to;
}

int ur_readahead_error(const struct ur_readahead *ahead)
{
	return ahead->error;
}

int ur_readahead_init(struct ur_readahead *ahead, void (*arrived)(struct ur_readahead *ahead))
{
	*ahead = (struct ur_readahead){.arrived = arrived};
	for (int i = 0; i < 2; i++) {
		ahead->buffers[i].ahead = ahead;
		ahead->buffers[i].bytes = malloc(UR_READAHEAD_BUFFER);
		if (ahead->buffers[i].bytes == NULL) {
			return -ENOMEM;
		}
	}
	return ur_xxh_new(&ahead->xxh);
}

void ur_readahead_done(struct ur_readahead *ahead)
{
	assert(!ur_readahead_is_reading(ahead));
	free(ahead->buffers[0].bytes);
	free(ahead->buffers[1].bytes);
	ahead->xxh = ur_xxh_free(ahead->xxh);
}
