/* hash_stream - whole blocks go straight to the kernel, the rest waits in the tail. */
#include "engine/media/hash_stream.h"

#include "engine/media/hash_lanes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof((struct ur_sha1 *)NULL)->tail == UR_SHA1_BLOCK, "a tail is less than a block");

static void step(struct ur_sha1 *sha1, const uint8_t *at, size_t blocks)
{
	struct ur_lanes lanes;
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		lanes.words[i][0] = sha1->words[i];
	}
	lanes.at[0] = at;
	sha1->kernel->step(&lanes, blocks);
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		sha1->words[i] = lanes.words[i][0];
	}
}

int ur_sha1_begin(struct ur_sha1 *sha1)
{
	struct ur_stream stream;
	const struct ur_sha1_kernel *kernel = ur_hash_single();
	if (kernel == NULL) {
		return -EIO;
	}
	ur_stream_begin(&stream, NULL);
	*sha1 = (struct ur_sha1){.kernel = kernel};
	memcpy(sha1->words, stream.words, sizeof sha1->words);
	return 0;
}

void ur_sha1_feed(struct ur_sha1 *sha1, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	const size_t pending = sha1->count % UR_SHA1_BLOCK;
	sha1->count += size;
	if (pending > 0) {
		const size_t room = UR_SHA1_BLOCK - pending;
		const size_t some = size < room ? size : room;
		memcpy(sha1->tail + pending, at, some);
		at += some;
		size -= some;
		if (some < room) {
			return;
		}
		step(sha1, sha1->tail, 1);
	}
	const size_t blocks = size / UR_SHA1_BLOCK;
	if (blocks > 0) {
		step(sha1, at, blocks);
	}
	const size_t left = size % UR_SHA1_BLOCK;
	if (left > 0) {
		memcpy(sha1->tail, at + blocks * UR_SHA1_BLOCK, left);
	}
}

void ur_sha1_end(const struct ur_sha1 *sha1, uint8_t ret[20])
{
	struct ur_sha1 copy = *sha1;
	uint8_t tail[2 * UR_SHA1_BLOCK];
	const size_t left = copy.count % UR_SHA1_BLOCK;
	memcpy(tail, copy.tail, left);
	const size_t blocks = ur_sha1_pad(tail, left, copy.count);
	step(&copy, tail, blocks);
	ur_sha1_write(copy.words, ret);
}

void ur_sha1_save(const struct ur_sha1 *sha1, uint8_t words[20], uint8_t tail[64])
{
	const size_t left = sha1->count % UR_SHA1_BLOCK;
	ur_sha1_write(sha1->words, words);
	memset(tail, 0, UR_SHA1_BLOCK);
	memcpy(tail, sha1->tail, left);
}

int ur_sha1_load(
	struct ur_sha1 *sha1, uint64_t count, const uint8_t words[20], const uint8_t tail[64])
{
	const int r = ur_sha1_begin(sha1);
	if (r < 0) {
		return r;
	}
	for (size_t i = 0; i < UR_SHA1_WORDS; i++) {
		const uint8_t *word = words + 4 * i;
		sha1->words[i] = (uint32_t)word[0] << 24 | (uint32_t)word[1] << 16 |
				 (uint32_t)word[2] << 8 | word[3];
	}
	sha1->count = count;
	memcpy(sha1->tail, tail, count % UR_SHA1_BLOCK);
	return 0;
}
