/**
 * hash_stream - the SHA-1 of one stream, whose running state can be put aside and taken up again.
 *
 *     begin ─▶ feed … ─▶ save ─▶ (a slot on disk, another process) ─▶ load ─▶ feed … ─▶ end
 *
 * One stream of SHA-NI where the processor has it, and the user has not chosen otherwise; else
 * libcrypto.  Both are compared with libcrypto's own SHA-1 before the first stream begins.  Many
 * files at once are faster through `hash`.
 *
 *   Owner    the caller's, in place; it holds no memory and may be copied
 *   Units    bytes; at most 2^61 - 1
 *   Errors   -EIO from ur_sha1_begin() and ur_sha1_load(): no kernel of this process computes right
 *   Threads  a stream belongs to one thread at a time
 *   Source   FIPS 180-4, 6.1
 */
#ifndef UR_MEDIA_HASH_STREAM_H
#define UR_MEDIA_HASH_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct ur_sha1_kernel;

struct ur_sha1 {
	const struct ur_sha1_kernel *kernel;
	uint32_t words[5];
	uint64_t count;   // bytes fed so far
	uint8_t tail[64]; // the last count % 64 of them
};

[[nodiscard]] int ur_sha1_begin(struct ur_sha1 *sha1);
void ur_sha1_feed(struct ur_sha1 *sha1, const void *bytes, size_t size);
/** The hash of what was fed so far; the stream may be fed on. */
void ur_sha1_end(const struct ur_sha1 *sha1, uint8_t ret[20]);

/** The five words, big-endian, and the bytes of an unfinished block; zeros behind them. */
void ur_sha1_save(const struct ur_sha1 *sha1, uint8_t words[20], uint8_t tail[64]);
/** As it was when save() was called, `count` bytes into the stream. */
[[nodiscard]] int ur_sha1_load(
	struct ur_sha1 *sha1, uint64_t count, const uint8_t words[20], const uint8_t tail[64]);

#endif
