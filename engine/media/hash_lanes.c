/*
 * hash_lanes - who is in which lane.
 *
 *     lane    0    1    2    3          left[] counts the blocks each lane still has; a step goes
 *     left   32   32    1   90          as far as the shortest.  Then that lane asks its stream
 *             step(1) ──▶ refill 2      for more, or takes the next stream, or the last lane moves
 *                                       into its place.
 */
#include "engine/media/hash_lanes.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

struct ur_sha1_kernel ur_sha1_kernels[UR_SHA1_KERNELS] = {
	[UR_SHA1_AVX512] = {"16 lanes of AVX-512", 16, 8, ur_sha1_avx512_is_here,
		ur_sha1_avx512_step, false},
	[UR_SHA1_SHANI2] = {"two streams of SHA-NI", 2, 2, ur_sha1_shani_is_here,
		ur_sha1_shani2_step, false},
	[UR_SHA1_SHANI] = {"one stream of SHA-NI", 1, 1, ur_sha1_shani_is_here, ur_sha1_shani_step,
		false},
	[UR_SHA1_OPENSSL] = {"OpenSSL", 1, 1, ur_sha1_openssl_is_here, ur_sha1_openssl_step, false},
};

struct crew {
	struct ur_lanes lanes;
	struct ur_stream *streams[UR_LANES_MAX];
	size_t left[UR_LANES_MAX];
	size_t active;
};

void ur_stream_begin(struct ur_stream *stream, size_t (*more)(struct ur_stream *, const uint8_t **))
{
	*stream = (struct ur_stream){
		.words = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0},
		.more = more,
	};
}

/** False when the stream has nothing to hash. */
static bool join(struct crew *crew, size_t lane, struct ur_stream *stream)
{
	if (stream->blocks == 0) {
		stream->blocks = stream->more(stream, &stream->at);
	}
	if (stream->blocks == 0) {
		return false;
	}
	crew->streams[lane] = stream;
	crew->lanes.at[lane] = stream->at;
	crew->left[lane] = stream->blocks;
	stream->blocks = 0;
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		crew->lanes.words[i][lane] = stream->words[i];
	}
	return true;
}

static void leave(struct crew *crew, size_t lane)
{
	struct ur_stream *stream = crew->streams[lane];
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		stream->words[i] = crew->lanes.words[i][lane];
	}
	stream->at = crew->lanes.at[lane];
	stream->blocks = crew->left[lane];
}

static void move(struct crew *crew, size_t from, size_t to)
{
	crew->streams[to] = crew->streams[from];
	crew->lanes.at[to] = crew->lanes.at[from];
	crew->left[to] = crew->left[from];
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		crew->lanes.words[i][to] = crew->lanes.words[i][from];
	}
}

static void step(struct crew *crew, const struct ur_sha1_kernel *kernel)
{
	size_t blocks = crew->left[0];
	for (size_t i = 1; i < crew->active; i++) {
		blocks = crew->left[i] < blocks ? crew->left[i] : blocks;
	}
	for (size_t i = crew->active; i < kernel->lanes; i++) {
		crew->lanes.at[i] = crew->lanes.at[0]; // something to read, for nobody
	}
	kernel->step(&crew->lanes, blocks);
	for (size_t i = 0; i < crew->active; i++) {
		crew->left[i] -= blocks;
		crew->lanes.at[i] += blocks * UR_SHA1_BLOCK;
	}
}

/** The next of the waiting streams that has something to hash goes into `lane`. */
static bool seat(struct crew *crew, size_t lane, struct ur_stream ***next, struct ur_stream **end)
{
	while (*next < end) {
		if (join(crew, lane, *(*next)++)) {
			return true;
		}
	}
	return false;
}

static void refill(struct crew *crew, struct ur_stream ***next, struct ur_stream **end)
{
	for (size_t i = 0; i < crew->active;) {
		if (crew->left[i] == 0) {
			struct ur_stream *stream = crew->streams[i];
			crew->left[i] = stream->more(stream, &crew->lanes.at[i]);
		}
		if (crew->left[i] == 0) {
			leave(crew, i);
			if (!seat(crew, i, next, end)) {
				crew->active--;
				move(crew, crew->active, i); // looked at in the next round
				continue;
			}
		}
		i++;
	}
}

size_t ur_lanes_run(
	const struct ur_sha1_kernel *kernel, size_t least, struct ur_stream **streams, size_t count)
{
	struct crew crew = {0}; // idle lanes are computed too
	struct ur_stream **next = streams;
	struct ur_stream **end = streams + count;
	assert(least > 0);
	assert(kernel->lanes <= UR_LANES_MAX);
	if (count < least) {
		return count;
	}
	for (crew.active = 0; crew.active < kernel->lanes; crew.active++) {
		if (!seat(&crew, crew.active, &next, end)) {
			break;
		}
	}
	while (crew.active >= least) {
		step(&crew, kernel);
		refill(&crew, &next, end);
	}
	for (size_t i = 0; i < crew.active; i++) {
		leave(&crew, i);
		streams[i] = crew.streams[i];
	}
	assert(next == end);
	return crew.active;
}

/* ---- the ends of a message ------------------------------------------------------------------- */

size_t ur_sha1_pad(uint8_t tail[2 * UR_SHA1_BLOCK], size_t size, uint64_t length)
{
	const size_t blocks = size + 1 + sizeof length <= UR_SHA1_BLOCK ? 1 : 2;
	uint8_t *end = tail + blocks * UR_SHA1_BLOCK;
	assert(size < UR_SHA1_BLOCK);
	tail[size] = 0x80;
	memset(tail + size + 1, 0, blocks * UR_SHA1_BLOCK - size - 1);
	for (uint64_t bits = length * 8; bits > 0; bits >>= 8) {
		*--end = (uint8_t)bits;
	}
	return blocks;
}

void ur_sha1_write(const uint32_t words[UR_SHA1_WORDS], uint8_t ret[20])
{
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		for (size_t j = 0; j < 4; j++) {
			ret[4 * i + j] = (uint8_t)(words[i] >> (24 - 8 * j));
		}
	}
}

/* ---- the examination ------------------------------------------------------------------------- */

#define CANDIDATES (2 * UR_LANES_MAX + 3) // more than lanes, and not a multiple of them
#define CANDIDATE_MAX 1100u

struct candidate {
	struct ur_stream stream; // first
	const uint8_t *bytes;
	size_t size;
	size_t given;
	bool padded;
	uint8_t tail[2 * UR_SHA1_BLOCK];
};

static size_t candidate_more(struct ur_stream *stream, const uint8_t **at)
{
	struct candidate *c = (struct candidate *)stream;
	const size_t blocks = (c->size - c->given) / UR_SHA1_BLOCK;
	if (blocks > 0) {
		*at = c->bytes + c->given;
		c->given += blocks * UR_SHA1_BLOCK;
		return blocks;
	}
	if (c->padded) {
		return 0;
	}
	c->padded = true;
	memcpy(c->tail, c->bytes + c->given, c->size - c->given);
	*at = c->tail;
	return ur_sha1_pad(c->tail, c->size - c->given, c->size);
}

static bool is_right(const struct candidate *c)
{
	uint8_t ours[20];
	unsigned char theirs[EVP_MAX_MD_SIZE];
	ur_sha1_write(c->stream.words, ours);
	return EVP_Digest(c->bytes, c->size, theirs, NULL, EVP_sha1(), NULL) == 1 &&
	       memcmp(ours, theirs, sizeof ours) == 0;
}

bool ur_sha1_kernel_agrees(const struct ur_sha1_kernel *kernel)
{
	static const size_t sizes[] = {0, 3, 55, 56, 63, 64, 119, 120, 128, 777, 1024};
	uint8_t bytes[CANDIDATE_MAX + CANDIDATES];
	struct candidate candidates[CANDIDATES];
	struct ur_stream *streams[CANDIDATES];
	uint32_t x = 88172645;
	for (size_t i = 0; i < sizeof bytes; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(x >> 24);
	}
	for (size_t i = 0; i < CANDIDATES; i++) {
		struct candidate *c = &candidates[i];
		const size_t size = sizes[i % (sizeof sizes / sizeof *sizes)];
		*c = (struct candidate){.bytes = bytes + i, .size = size};
		ur_stream_begin(&c->stream, candidate_more);
		streams[i] = &c->stream;
	}
	(void)ur_lanes_run(kernel, 1, streams, CANDIDATES);
	bool right = true;
	for (size_t i = 0; i < CANDIDATES; i++) {
		right = right && is_right(&candidates[i]);
	}
	return right;
}
