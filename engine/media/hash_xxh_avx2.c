/*
 * hash_xxh_avx2 - xxhash's XXH3 once more, compiled for AVX2.
 *
 * Its state is the same whatever it was compiled for, so that the plain one can end it.
 */
#include "engine/media/hash_lanes.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

bool ur_xxh_avx2_is_here(void)
{
	return __builtin_cpu_supports("avx2");
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define XXH_INLINE_ALL
#define XXH_VECTOR 2 // XXH_AVX2
#include <xxhash.h>

#define NAME(verb) ur_xxh_avx2_##verb
#include "engine/media/hash_xxh_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

#include <assert.h>

bool ur_xxh_avx2_is_here(void)
{
	return false;
}

bool ur_xxh_avx2_update(void *state, const void *bytes, size_t size)
{
	(void)state;
	(void)bytes;
	(void)size;
	assert(!"AVX2, on a processor that has none");
	return false;
}

void ur_xxh_avx2_whole(const void *bytes, size_t size, uint64_t ret[2])
{
	(void)bytes;
	(void)size;
	(void)ret;
	assert(!"AVX2, on a processor that has none");
}

#endif
