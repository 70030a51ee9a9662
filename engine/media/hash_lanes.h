/**
 * hash_lanes - SHA-1's compression over several messages at once; the inside of `hash`.
 *
 *     streams ──more()──▶ lane 0 ┐
 *                         lane 1 ├─▶ step(): one block of every lane, as often as all have one
 *                         …      ┘
 *
 * A stream hands out its message in runs of whole blocks and knows nothing of lanes; a lane whose
 * stream has nothing more takes the next one.  A kernel knows nothing of messages: it moves the
 * words of all its lanes on by as many blocks as it is told.
 *
 *   Owner    streams stay the caller's; their `words` are theirs again when ur_lanes_run() returns
 *   Units    blocks of 64 bytes
 *   Threads  kernels are constant while hashers exist; a run belongs to one thread
 *   Source   FIPS 180-4, 6.1
 */
#ifndef UR_MEDIA_HASH_LANES_H
#define UR_MEDIA_HASH_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_SHA1_BLOCK 64
#define UR_SHA1_WORDS 5
#define UR_LANES_MAX 16

struct ur_stream {
	uint32_t words[UR_SHA1_WORDS];
	/**
	 * The next blocks, in `at`; 0 when there are none now.  All it gave before has been hashed.
	 */
	size_t (*more)(struct ur_stream *stream, const uint8_t **at);
	/* Left over from more() by a kernel that gave up: the next kernel goes on there. */
	const uint8_t *at;
	size_t blocks;
};

/** Word i of lane j is words[i][j], so that a vector holds one word of all lanes. */
struct ur_lanes {
	_Alignas(64) uint32_t words[UR_SHA1_WORDS][UR_LANES_MAX];
	const uint8_t *at[UR_LANES_MAX];
};

struct ur_sha1_kernel {
	const char *about;
	size_t lanes;
	size_t least; // with fewer streams than this the next kernel is faster
	bool (*is_here)(void);
	void (*step)(struct ur_lanes *lanes, size_t blocks); // leaves `at` alone
	bool sick;                                           // differed from libcrypto at start
};

/** From the widest to the one that is always there. */
enum ur_sha1_kernel_name {
	UR_SHA1_AVX512,
	UR_SHA1_SHANI2,
	UR_SHA1_SHANI,
	UR_SHA1_OPENSSL,
	UR_SHA1_KERNELS,
};
extern struct ur_sha1_kernel ur_sha1_kernels[UR_SHA1_KERNELS];

void ur_stream_begin(
	struct ur_stream *stream, size_t (*more)(struct ur_stream *, const uint8_t **));

/**
 * Hashes streams[0..count) until fewer than `least` have anything left; those stand at the front
 * of the array then, and their number is returned.
 */
size_t ur_lanes_run(const struct ur_sha1_kernel *kernel, size_t least, struct ur_stream **streams,
	size_t count);

/** Writes 0x80, zeros and the length behind tail[0..size); 1 or 2 blocks. */
size_t ur_sha1_pad(uint8_t tail[2 * UR_SHA1_BLOCK], size_t size, uint64_t length);
void ur_sha1_write(const uint32_t words[UR_SHA1_WORDS], uint8_t ret[20]);

/** Compares a kernel with libcrypto on a handful of messages. */
bool ur_sha1_kernel_agrees(const struct ur_sha1_kernel *kernel);

/** The chosen kernel for a single stream; NULL when none computes right here.  Any thread. */
const struct ur_sha1_kernel *ur_hash_single(void);

bool ur_sha1_avx512_is_here(void);
void ur_sha1_avx512_step(struct ur_lanes *lanes, size_t blocks);
bool ur_sha1_shani_is_here(void);
void ur_sha1_shani_step(struct ur_lanes *lanes, size_t blocks);
void ur_sha1_shani2_step(struct ur_lanes *lanes, size_t blocks);
bool ur_sha1_openssl_is_here(void);
void ur_sha1_openssl_step(struct ur_lanes *lanes, size_t blocks);

/* ---- XXH3 ------------------------------------------------------------------------------------ */

/** `state` is an XXH3_state_t, ret the low and the high half. */
struct ur_xxh_kernel {
	bool (*is_here)(void);
	bool (*update)(void *state, const void *bytes, size_t size);
	void (*whole)(const void *bytes, size_t size, uint64_t ret[2]);
};

#define UR_XXH_KERNELS 3
extern const struct ur_xxh_kernel ur_xxh_kernels[UR_XXH_KERNELS]; // the plain one is the last

/** The widest that is here and agrees with the plain one. */
const struct ur_xxh_kernel *ur_xxh_pick(void);
bool ur_xxh_kernel_agrees(const struct ur_xxh_kernel *kernel);

bool ur_xxh_avx512_is_here(void);
bool ur_xxh_avx512_update(void *state, const void *bytes, size_t size);
void ur_xxh_avx512_whole(const void *bytes, size_t size, uint64_t ret[2]);
bool ur_xxh_avx2_is_here(void);
bool ur_xxh_avx2_update(void *state, const void *bytes, size_t size);
void ur_xxh_avx2_whole(const void *bytes, size_t size, uint64_t ret[2]);

/* ---- seams of the tests ---------------------------------------------------------------------- */

/** Looks at all kernels again, as the first ur_hasher_new() does. */
void ur_hash_examine(void);
/** The n-th file from now on is the next that libcrypto hashes too; 0: the very next. */
void ur_hash_check_after(unsigned n);
/** When not NULL it may change words that lanes computed, before anybody compares them. */
extern void (*ur_hash_spoil_words)(uint32_t words[UR_SHA1_WORDS]);

#endif
