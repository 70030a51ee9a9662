/*
 * hash_shani - SHA-1 by the processor's own instructions, one stream or two.
 *
 * The instructions take four rounds at a time and wait for each other, so a single stream leaves
 * the unit idle most of the time; a second one fits between.
 *
 *     abcd   a in the highest word … d in the lowest
 *     m[i]   words 4i … 4i+3 of the message, the first in the highest word
 *     e      enters four rounds already added to their m: sha1nexte(abcd four rounds ago, m)
 */
#include "engine/media/hash_lanes.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define SHANI __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE static inline __attribute__((always_inline)) SHANI

#define CPUID_7_EBX_SHA (1u << 29)

bool ur_sha1_shani_is_here(void)
{
	unsigned a = 0;
	unsigned b = 0;
	unsigned c = 0;
	unsigned d = 0;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & CPUID_7_EBX_SHA) != 0 &&
	       __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

struct state {
	__m128i abcd;
	__m128i e; // in the highest word
};

INLINE struct state load_words(const struct ur_lanes *lanes, size_t lane)
{
	const uint32_t(*w)[UR_LANES_MAX] = lanes->words;
	return (struct state){
		_mm_set_epi32((int)w[0][lane], (int)w[1][lane], (int)w[2][lane], (int)w[3][lane]),
		_mm_set_epi32((int)w[4][lane], 0, 0, 0),
	};
}

INLINE void store_words(struct ur_lanes *lanes, size_t lane, const struct state *s)
{
	lanes->words[0][lane] = (uint32_t)_mm_extract_epi32(s->abcd, 3);
	lanes->words[1][lane] = (uint32_t)_mm_extract_epi32(s->abcd, 2);
	lanes->words[2][lane] = (uint32_t)_mm_extract_epi32(s->abcd, 1);
	lanes->words[3][lane] = (uint32_t)_mm_extract_epi32(s->abcd, 0);
	lanes->words[4][lane] = (uint32_t)_mm_extract_epi32(s->e, 3);
}

/** Big-endian words, the first one highest: all 16 bytes the other way round. */
INLINE __m128i load_message(const uint8_t *at, int i)
{
	const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)at + i), reverse);
}

// NOLINTBEGIN(bugprone-macro-parentheses, readability-function-size): arrays by their name

/** w[t] = rol1(w[t-16] ^ w[t-14] ^ w[t-8] ^ w[t-3]), four at a time: takes the place of w[t-16]. */
#define EXTEND(m, i)                                                                             \
	m[(i)&3] = _mm_sha1msg2_epu32(                                                           \
		_mm_xor_si128(_mm_sha1msg1_epu32(m[(i)&3], m[((i) + 1) & 3]), m[((i) + 2) & 3]), \
		m[((i) + 3) & 3])

/* Four rounds; `e` is a..d before them, for the next four. */
#define FOUR(s, m, i)                                                      \
	do {                                                               \
		const __m128i in = _mm_sha1nexte_epu32((s).e, (m)[(i)&3]); \
		(s).e = (s).abcd;                                          \
		(s).abcd = _mm_sha1rnds4_epu32((s).abcd, in, (i) / 5);     \
	} while (0)

/* The first e is e itself, not an a of four rounds ago that has still to be turned. */
#define FIRST_FOUR(s, m)                                         \
	do {                                                     \
		const __m128i in = _mm_add_epi32((s).e, (m)[0]); \
		(s).e = (s).abcd;                                \
		(s).abcd = _mm_sha1rnds4_epu32((s).abcd, in, 0); \
	} while (0)

#define LOAD(m, at)                           \
	do {                                  \
		(m)[0] = load_message(at, 0); \
		(m)[1] = load_message(at, 1); \
		(m)[2] = load_message(at, 2); \
		(m)[3] = load_message(at, 3); \
	} while (0)

#define ADD_UP(s, before)                                          \
	do {                                                       \
		(s).e = _mm_sha1nexte_epu32((s).e, (before).e);    \
		(s).abcd = _mm_add_epi32((s).abcd, (before).abcd); \
	} while (0)

#define ALL_EXTENDED(DO) \
	DO(4)            \
	DO(5)            \
	DO(6)            \
	DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19)

SHANI void ur_sha1_shani_step(struct ur_lanes *lanes, size_t blocks)
{
	struct state s = load_words(lanes, 0);
	const uint8_t *at = lanes->at[0];
	for (; blocks > 0; blocks--, at += UR_SHA1_BLOCK) {
		const struct state before = s;
		__m128i m[4];
		LOAD(m, at);
		FIRST_FOUR(s, m);
		FOUR(s, m, 1);
		FOUR(s, m, 2);
		FOUR(s, m, 3);
#define ONE(i)        \
	EXTEND(m, i); \
	FOUR(s, m, i);
		ALL_EXTENDED(ONE)
#undef ONE
		ADD_UP(s, before);
	}
	store_words(lanes, 0, &s);
}

SHANI void ur_sha1_shani2_step(struct ur_lanes *lanes, size_t blocks)
{
	struct state s = load_words(lanes, 0);
	struct state t = load_words(lanes, 1);
	const uint8_t *at_s = lanes->at[0];
	const uint8_t *at_t = lanes->at[1];
	for (; blocks > 0; blocks--, at_s += UR_SHA1_BLOCK, at_t += UR_SHA1_BLOCK) {
		const struct state before_s = s;
		const struct state before_t = t;
		__m128i m[4];
		__m128i n[4];
		LOAD(m, at_s);
		LOAD(n, at_t);
		FIRST_FOUR(s, m);
		FIRST_FOUR(t, n);
#define BOTH(i)        \
	FOUR(s, m, i); \
	FOUR(t, n, i);
		BOTH(1)
		BOTH(2)
		BOTH(3)
#define TWO(i)        \
	EXTEND(m, i); \
	EXTEND(n, i); \
	BOTH(i)
		ALL_EXTENDED(TWO)
#undef TWO
#undef BOTH
		ADD_UP(s, before_s);
		ADD_UP(t, before_t);
	}
	store_words(lanes, 0, &s);
	store_words(lanes, 1, &t);
}

// NOLINTEND(bugprone-macro-parentheses, readability-function-size)

#else

#include <assert.h>

bool ur_sha1_shani_is_here(void)
{
	return false;
}

void ur_sha1_shani_step(struct ur_lanes *lanes, size_t blocks)
{
	(void)lanes;
	(void)blocks;
	assert(!"SHA-NI, on a processor that has none");
}

void ur_sha1_shani2_step(struct ur_lanes *lanes, size_t blocks)
{
	ur_sha1_shani_step(lanes, blocks);
}

#endif
