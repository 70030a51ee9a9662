/*
 * hash_xxh_avx512 - xxhash's XXH3 once more, compiled for AVX-512.
 *
 * Its state is the same whatever it was compiled for, so that the plain one can end it.
 */
#include "engine/media/hash_lanes.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

bool ur_xxh_avx512_is_here(void)
{
	return __builtin_cpu_supports("avx512f");
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif

#define XXH_INLINE_ALL
#define XXH_VECTOR 3 // XXH_AVX512
#include <xxhash.h>

#define NAME(verb) ur_xxh_avx512_##verb
#include "engine/media/hash_xxh_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

#include <assert.h>

bool ur_xxh_avx512_is_here(void)
{
	return false;
}

bool ur_xxh_avx512_update(void *state, const void *bytes, size_t size)
{
	(void)state;
	(void)bytes;
	(void)size;
	assert(!"AVX-512, on a processor that has none");
	return false;
}

void ur_xxh_avx512_whole(const void *bytes, size_t size, uint64_t ret[2])
{
	(void)bytes;
	(void)size;
	(void)ret;
	assert(!"AVX-512, on a processor that has none");
}

#endif
