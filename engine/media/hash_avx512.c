/*
 * hash_avx512 - SHA-1 of sixteen messages, a word of each in one register.
 *
 *     16 rows of 64 bytes ──transpose──▶ w[0..15], each 16 words wide
 *     then the 80 rounds of FIPS 180-4 as they stand there, on vectors
 *
 * The three-input functions and the xor of the schedule are one vpternlogd each, rotations are one
 * vprold.  w[] keeps the last sixteen words of the schedule and stays in registers, with a to e
 * and what a round needs: 24 of the 32.
 */
#include "engine/media/hash_lanes.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline)) AVX512

/* The truth tables of vpternlogd; the index is b << 2 | c << 1 | d. */
#define CHOOSE 0xca   // b ? c : d
#define PARITY 0x96   // b ^ c ^ d
#define MAJORITY 0xe8 // at least two of b, c, d

bool ur_sha1_avx512_is_here(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl");
}

/** 4x4 words in each 128-bit quarter: rows r, r+1, r+2, r+3 become columns. */
#define TRANSPOSE_QUARTERS(w, r)                                                           \
	do {                                                                               \
		const __m512i ab_low = _mm512_unpacklo_epi32((w)[(r)], (w)[(r) + 1]);      \
		const __m512i ab_high = _mm512_unpackhi_epi32((w)[(r)], (w)[(r) + 1]);     \
		const __m512i cd_low = _mm512_unpacklo_epi32((w)[(r) + 2], (w)[(r) + 3]);  \
		const __m512i cd_high = _mm512_unpackhi_epi32((w)[(r) + 2], (w)[(r) + 3]); \
		(w)[(r)] = _mm512_unpacklo_epi64(ab_low, cd_low);                          \
		(w)[(r) + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);                      \
		(w)[(r) + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);                    \
		(w)[(r) + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);                    \
	} while (0)

/** The quarters of w[i], w[i+4], w[i+8], w[i+12] as a 4x4 matrix, transposed. */
#define EXCHANGE_QUARTERS(w, i)                                                            \
	do {                                                                               \
		const __m512i p = _mm512_shuffle_i32x4((w)[(i)], (w)[(i) + 4], 0x44);      \
		const __m512i q = _mm512_shuffle_i32x4((w)[(i)], (w)[(i) + 4], 0xee);      \
		const __m512i s = _mm512_shuffle_i32x4((w)[(i) + 8], (w)[(i) + 12], 0x44); \
		const __m512i t = _mm512_shuffle_i32x4((w)[(i) + 8], (w)[(i) + 12], 0xee); \
		(w)[(i)] = _mm512_shuffle_i32x4(p, s, 0x88);                               \
		(w)[(i) + 4] = _mm512_shuffle_i32x4(p, s, 0xdd);                           \
		(w)[(i) + 8] = _mm512_shuffle_i32x4(q, t, 0x88);                           \
		(w)[(i) + 12] = _mm512_shuffle_i32x4(q, t, 0xdd);                          \
	} while (0)

INLINE __m512i load_row(const uint8_t *at)
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203)); // big-endian words
	return _mm512_shuffle_epi8(_mm512_loadu_si512(at), swap);
}

/** One block of each lane, and w[i] is word i of all of them. */
INLINE void load_message(const uint8_t *const at[UR_LANES_MAX], size_t offset, __m512i w[16])
{
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		w[i] = load_row(at[i] + offset);
	}
	TRANSPOSE_QUARTERS(w, 0);
	TRANSPOSE_QUARTERS(w, 4);
	TRANSPOSE_QUARTERS(w, 8);
	TRANSPOSE_QUARTERS(w, 12);
	EXCHANGE_QUARTERS(w, 0);
	EXCHANGE_QUARTERS(w, 1);
	EXCHANGE_QUARTERS(w, 2);
	EXCHANGE_QUARTERS(w, 3);
}

/*
 * The names of the variables are what these macros are about, and eighty rounds written out are
 * what keeps the schedule in registers.
 */
// NOLINTBEGIN(bugprone-macro-parentheses, readability-function-size)

/* w[t] = rol1(w[t-16] ^ w[t-14] ^ w[t-8] ^ w[t-3]), in the place of w[t-16]; the newest comes last. */
#define EXTEND(w, t)                                                                         \
	(w)[(t)&15] = _mm512_rol_epi32(                                                      \
		_mm512_xor_si512(_mm512_ternarylogic_epi32((w)[(t)&15], (w)[((t) + 2) & 15], \
					 (w)[((t) + 8) & 15], PARITY),                       \
			(w)[((t) + 13) & 15]),                                               \
		1)

/*
 * What waits for the round before, rol5(a), comes into the sum last.  The compiler may not put it
 * elsewhere: gcc 12 does when it is let, and the kernel takes 1.7 times as long.
 */
#define KEEP_SUM(e) __asm__("" : "+v"(e))
#define ROUND(a, b, c, d, e, F, k, w)                                                 \
	do {                                                                          \
		const __m512i f = _mm512_ternarylogic_epi32(b, c, d, F);              \
		e = _mm512_add_epi32(_mm512_add_epi32(e, _mm512_add_epi32(w, k)), f); \
		KEEP_SUM(e);                                                          \
		e = _mm512_add_epi32(e, _mm512_rol_epi32(a, 5));                      \
		b = _mm512_rol_epi32(b, 30);                                          \
	} while (0)

#define FIRST(a, b, c, d, e, F, k, t) ROUND(a, b, c, d, e, F, k, w[t]);
#define LATER(a, b, c, d, e, F, k, t) \
	EXTEND(w, t);                 \
	ROUND(a, b, c, d, e, F, k, w[(t)&15]);

/* After five rounds every word is back under its own name. */
#define FIVE(HOW, F, k, t)                \
	HOW(a, b, c, d, e, F, k, (t))     \
	HOW(e, a, b, c, d, F, k, (t) + 1) \
	HOW(d, e, a, b, c, F, k, (t) + 2) \
	HOW(c, d, e, a, b, F, k, (t) + 3) \
	HOW(b, c, d, e, a, F, k, (t) + 4)

#define TWENTY(F, k, t)             \
	FIVE(LATER, F, k, (t))      \
	FIVE(LATER, F, k, (t) + 5)  \
	FIVE(LATER, F, k, (t) + 10) \
	FIVE(LATER, F, k, (t) + 15)

AVX512 void ur_sha1_avx512_step(struct ur_lanes *lanes, size_t blocks)
{
	const __m512i k1 = _mm512_set1_epi32(0x5a827999);
	const __m512i k2 = _mm512_set1_epi32(0x6ed9eba1);
	const __m512i k3 = _mm512_set1_epi32((int)0x8f1bbcdc);
	const __m512i k4 = _mm512_set1_epi32((int)0xca62c1d6);
	__m512i a = _mm512_load_si512(lanes->words[0]);
	__m512i b = _mm512_load_si512(lanes->words[1]);
	__m512i c = _mm512_load_si512(lanes->words[2]);
	__m512i d = _mm512_load_si512(lanes->words[3]);
	__m512i e = _mm512_load_si512(lanes->words[4]);
	for (size_t i = 0; i < blocks; i++) {
		const __m512i a0 = a;
		const __m512i b0 = b;
		const __m512i c0 = c;
		const __m512i d0 = d;
		const __m512i e0 = e;
		__m512i w[16];
		load_message(lanes->at, i * UR_SHA1_BLOCK, w);
		FIVE(FIRST, CHOOSE, k1, 0)
		FIVE(FIRST, CHOOSE, k1, 5)
		FIVE(FIRST, CHOOSE, k1, 10)
		FIRST(a, b, c, d, e, CHOOSE, k1, 15)
		LATER(e, a, b, c, d, CHOOSE, k1, 16)
		LATER(d, e, a, b, c, CHOOSE, k1, 17)
		LATER(c, d, e, a, b, CHOOSE, k1, 18)
		LATER(b, c, d, e, a, CHOOSE, k1, 19)
		TWENTY(PARITY, k2, 20)
		TWENTY(MAJORITY, k3, 40)
		TWENTY(PARITY, k4, 60)
		a = _mm512_add_epi32(a, a0);
		b = _mm512_add_epi32(b, b0);
		c = _mm512_add_epi32(c, c0);
		d = _mm512_add_epi32(d, d0);
		e = _mm512_add_epi32(e, e0);
	}
	_mm512_store_si512(lanes->words[0], a);
	_mm512_store_si512(lanes->words[1], b);
	_mm512_store_si512(lanes->words[2], c);
	_mm512_store_si512(lanes->words[3], d);
	_mm512_store_si512(lanes->words[4], e);
}

// NOLINTEND(bugprone-macro-parentheses, readability-function-size)

#else

#include <assert.h>

bool ur_sha1_avx512_is_here(void)
{
	return false;
}

void ur_sha1_avx512_step(struct ur_lanes *lanes, size_t blocks)
{
	(void)lanes;
	(void)blocks;
	assert(!"AVX-512, on a processor that has none");
}

#endif
