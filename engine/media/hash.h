/**
 * hash - SHA-1 and XXH3-128 over many files at once.
 *
 *     ur_digest_begin(digest)
 *     ur_hasher_feed(hasher, digest, buffer, size)   any number, of many digests, interleaved
 *     ur_hasher_finish(hasher, digest)               that was all of it (may be left out)
 *     ur_hasher_flush(hasher)                        now every fed buffer may be used again
 *     ur_digest_end(digest, sha1, xxh)
 *
 * SHA-1 is what the server's dedupe knows; XXH3-128 is our own check of the bytes on their way.
 * A feed is kept until the flush, so that files share the lanes of a vector: the more files
 * between two flushes, the faster.  A digest that was finished is padded in the lanes too.
 *
 * Kernels are compared with libcrypto before the first hasher is made, and those that differ are
 * not used.  One file in 256 is hashed by libcrypto as well.
 *
 *   Owner    buffers stay the caller's, and stay unchanged from feed to flush
 *   Errors   -ENOMEM; -EIO when libcrypto or xxhash failed; -EILSEQ from ur_digest_end() when
 *            libcrypto came to another SHA-1: no hash of this process can be trusted, so the run
 *            has to end
 *   Threads  a hasher and its digests belong to one thread
 *   Source   FIPS 180-4; XXH3 by xxhash, inlined
 */
#ifndef UR_MEDIA_HASH_H
#define UR_MEDIA_HASH_H

#include <stddef.h>
#include <stdint.h>

#define UR_HASH_SHA1 20
#define UR_HASH_XXH 16

struct ur_hasher;
struct ur_digest; // one file's running state

#define UR_HASH_CHOICES "auto|avx512|shani2|openssl"

/**
 * Which kernels the hashers of this process use from now on: one of UR_HASH_CHOICES.  What is too
 * little for the named kernel still goes to a narrower one.  -EINVAL: no such name; -ENOTSUP: this
 * processor has no such thing, or it failed the comparison.
 */
[[nodiscard]] int ur_hash_choose(const char *name);

[[nodiscard]] int ur_hasher_new(struct ur_hasher **ret);
/** Nothing may wait for a flush. */
struct ur_hasher *ur_hasher_free(struct ur_hasher *hasher);
/** "16 lanes of AVX-512, two streams of SHA-NI, one stream of SHA-NI". */
const char *ur_hasher_about(const struct ur_hasher *hasher);
/** How many files it hashes side by side: more before a flush only leave the cache. */
size_t ur_hasher_width(const struct ur_hasher *hasher);

[[nodiscard]] int ur_digest_new(struct ur_digest **ret);
struct ur_digest *ur_digest_free(struct ur_digest *digest);
[[nodiscard]] int ur_digest_begin(struct ur_digest *digest);
void ur_hasher_feed(
	struct ur_hasher *hasher, struct ur_digest *digest, const void *bytes, size_t size);
void ur_hasher_finish(struct ur_hasher *hasher, struct ur_digest *digest);
void ur_hasher_flush(struct ur_hasher *hasher);
[[nodiscard]] int ur_digest_end(
	struct ur_digest *digest, uint8_t sha1[UR_HASH_SHA1], uint8_t xxh[UR_HASH_XXH]);

/** XXH3-128 alone, for bytes that are being sent. */
struct ur_xxh;
[[nodiscard]] int ur_xxh_new(struct ur_xxh **ret);
struct ur_xxh *ur_xxh_free(struct ur_xxh *xxh);
void ur_xxh_begin(struct ur_xxh *xxh);
void ur_xxh_feed(struct ur_xxh *xxh, const void *bytes, size_t size);
void ur_xxh_end(const struct ur_xxh *xxh, uint8_t ret[UR_HASH_XXH]);

/** XXH3-128 of bytes in memory, in one go: a sidecar. */
void ur_xxh_of(const void *bytes, size_t size, uint8_t ret[UR_HASH_XXH]);

/** Of bytes in memory, in one go: the first and last 64 KiB of a file, a path. */
uint64_t ur_hash_short(const void *bytes, size_t size, uint64_t seed);

/**
 * The seam of the bodily proof: when not NULL it may change a finished SHA-1, as a broken lane
 * would.  Tests only.
 */
extern void (*ur_hash_spoil)(uint8_t sha1[UR_HASH_SHA1]);

#endif
