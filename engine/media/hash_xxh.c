/*
 * hash_xxh - XXH3 for what every processor of this kind has, and which of the wider ones to take.
 */
#include "engine/media/hash_lanes.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static bool always(void)
{
	return true;
}

static bool plain_update(void *state, const void *bytes, size_t size)
{
	return XXH3_128bits_update(state, bytes, size) == XXH_OK;
}

static void plain_whole(const void *bytes, size_t size, uint64_t ret[2])
{
	const XXH128_hash_t hash = XXH3_128bits(bytes, size);
	ret[0] = hash.low64;
	ret[1] = hash.high64;
}

const struct ur_xxh_kernel ur_xxh_kernels[UR_XXH_KERNELS] = {
	{ur_xxh_avx512_is_here, ur_xxh_avx512_update, ur_xxh_avx512_whole},
	{ur_xxh_avx2_is_here, ur_xxh_avx2_update, ur_xxh_avx2_whole},
	{always, plain_update, plain_whole},
};

#define SAMPLE 5000u

/** In two parts and in one go: both against the plain one. */
static bool agrees_on(
	const struct ur_xxh_kernel *kernel, XXH3_state_t *state, const uint8_t *bytes, size_t size)
{
	uint64_t right[2];
	uint64_t whole[2];
	plain_whole(bytes, size, right);
	kernel->whole(bytes, size, whole);
	bool ok = XXH3_128bits_reset(state) == XXH_OK && kernel->update(state, bytes, size / 3) &&
		  kernel->update(state, bytes + size / 3, size - size / 3);
	const XXH128_hash_t streamed = XXH3_128bits_digest(state);
	ok = ok && right[0] == streamed.low64 && right[1] == streamed.high64;
	return ok && memcmp(right, whole, sizeof right) == 0;
}

bool ur_xxh_kernel_agrees(const struct ur_xxh_kernel *kernel)
{
	static const size_t sizes[] = {1, 16, 200, 241, 1024, 1025, 2048, SAMPLE};
	XXH3_state_t *state = XXH3_createState();
	uint8_t bytes[SAMPLE];
	bool right = state != NULL;
	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] = (uint8_t)(i * i >> 3);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes && right; i++) {
		right = agrees_on(kernel, state, bytes, sizes[i]);
	}
	(void)XXH3_freeState(state);
	return right;
}

const struct ur_xxh_kernel *ur_xxh_pick(void)
{
	for (int i = 0; i < UR_XXH_KERNELS - 1; i++) {
		const struct ur_xxh_kernel *kernel = &ur_xxh_kernels[i];
		if (kernel->is_here() && ur_xxh_kernel_agrees(kernel)) {
			return kernel;
		}
	}
	return &ur_xxh_kernels[UR_XXH_KERNELS - 1];
}
