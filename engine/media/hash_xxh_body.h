/*
 * hash_xxh_body - the same three lines for each vector width; included by hash_xxh_*.c only, with
 * NAME(), after xxhash.h was included for that width.
 */
bool NAME(update)(void *state, const void *bytes, size_t size)
{
	const bool ok = XXH3_128bits_update(state, bytes, size) == XXH_OK;
	_mm256_zeroupper(); // gcc 12 forgets some ways out, and then all SSE code is slow
	return ok;
}

void NAME(whole)(const void *bytes, size_t size, uint64_t ret[2])
{
	const XXH128_hash_t hash = XXH3_128bits(bytes, size);
	_mm256_zeroupper();
	ret[0] = hash.low64;
	ret[1] = hash.high64;
}
