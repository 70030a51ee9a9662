/* hash - libcrypto's SHA-1 and an inlined XXH3, fed side by side while the bytes are in cache. */
#include "engine/media/hash.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLICE (64u << 10) // both hashes see a slice before the next one evicts it

void (*ur_hash_spoil)(uint8_t sha1[UR_HASH_SHA1]);

struct ur_hasher {
	int lanes; // one: a buffer is hashed when it is fed
};

struct ur_digest {
	EVP_MD_CTX *sha1;
	XXH3_state_t *xxh;
	bool failed;
};

struct ur_xxh {
	XXH3_state_t *state;
};

/** Fetched explicitly: the implicit fetch of OpenSSL 3 costs more than a small file. */
static EVP_MD *fetch_sha1(void)
{
	return EVP_MD_fetch(NULL, "SHA1", NULL);
}

int ur_hasher_new(struct ur_hasher **ret)
{
	struct ur_hasher *hasher = calloc(1, sizeof *hasher);
	if (hasher == NULL) {
		return -ENOMEM;
	}
	hasher->lanes = 1;
	*ret = hasher;
	return 0;
}

struct ur_hasher *ur_hasher_free(struct ur_hasher *hasher)
{
	free(hasher);
	return NULL;
}

const char *ur_hasher_about(const struct ur_hasher *hasher)
{
	(void)hasher;
	return "OpenSSL";
}

int ur_digest_new(struct ur_digest **ret)
{
	struct ur_digest *digest = calloc(1, sizeof *digest);
	if (digest == NULL) {
		return -ENOMEM;
	}
	digest->sha1 = EVP_MD_CTX_new();
	digest->xxh = XXH3_createState();
	EVP_MD *md = fetch_sha1();
	const bool ok = digest->sha1 != NULL && digest->xxh != NULL && md != NULL &&
			EVP_DigestInit_ex2(digest->sha1, md, NULL) == 1;
	EVP_MD_free(md); // the context keeps its own reference
	if (!ok) {
		(void)ur_digest_free(digest);
		return -ENOMEM;
	}
	*ret = digest;
	return 0;
}

struct ur_digest *ur_digest_free(struct ur_digest *digest)
{
	if (digest != NULL) {
		EVP_MD_CTX_free(digest->sha1);
		(void)XXH3_freeState(digest->xxh);
		free(digest);
	}
	return NULL;
}

int ur_digest_begin(struct ur_digest *digest)
{
	digest->failed = EVP_DigestInit_ex2(digest->sha1, NULL, NULL) != 1 ||
			 XXH3_128bits_reset(digest->xxh) != XXH_OK;
	return digest->failed ? -EIO : 0;
}

void ur_hasher_feed(
	struct ur_hasher *hasher, struct ur_digest *digest, const void *bytes, size_t size)
{
	(void)hasher;
	const unsigned char *at = bytes;
	while (size > 0) {
		const size_t n = size < SLICE ? size : SLICE;
		if (EVP_DigestUpdate(digest->sha1, at, n) != 1 ||
			XXH3_128bits_update(digest->xxh, at, n) != XXH_OK) {
			digest->failed = true;
		}
		at += n;
		size -= n;
	}
}

void ur_hasher_flush(struct ur_hasher *hasher)
{
	(void)hasher;
}

static void write_xxh(XXH128_hash_t hash, uint8_t ret[UR_HASH_XXH])
{
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, hash);
	static_assert(sizeof canonical == UR_HASH_XXH, "XXH3-128 is 16 bytes");
	memcpy(ret, &canonical, sizeof canonical);
}

int ur_digest_end(struct ur_digest *digest, uint8_t sha1[UR_HASH_SHA1], uint8_t xxh[UR_HASH_XXH])
{
	unsigned size = 0;
	unsigned char result[EVP_MAX_MD_SIZE];
	if (digest->failed || EVP_DigestFinal_ex(digest->sha1, result, &size) != 1 ||
		size != UR_HASH_SHA1) {
		return -EIO;
	}
	memcpy(sha1, result, UR_HASH_SHA1);
	write_xxh(XXH3_128bits_digest(digest->xxh), xxh);
	if (ur_hash_spoil != NULL) {
		ur_hash_spoil(sha1);
	}
	return 0;
}

int ur_xxh_new(struct ur_xxh **ret)
{
	struct ur_xxh *xxh = calloc(1, sizeof *xxh);
	if (xxh == NULL) {
		return -ENOMEM;
	}
	xxh->state = XXH3_createState();
	if (xxh->state == NULL) {
		free(xxh);
		return -ENOMEM;
	}
	*ret = xxh;
	return 0;
}

struct ur_xxh *ur_xxh_free(struct ur_xxh *xxh)
{
	if (xxh != NULL) {
		(void)XXH3_freeState(xxh->state);
		free(xxh);
	}
	return NULL;
}

void ur_xxh_begin(struct ur_xxh *xxh)
{
	(void)XXH3_128bits_reset(xxh->state);
}

void ur_xxh_feed(struct ur_xxh *xxh, const void *bytes, size_t size)
{
	(void)XXH3_128bits_update(xxh->state, bytes, size);
}

void ur_xxh_end(const struct ur_xxh *xxh, uint8_t ret[UR_HASH_XXH])
{
	write_xxh(XXH3_128bits_digest(xxh->state), ret);
}

void ur_xxh_of(const void *bytes, size_t size, uint8_t ret[UR_HASH_XXH])
{
	write_xxh(XXH3_128bits(bytes, size), ret);
}

uint64_t ur_hash_short(const void *bytes, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, size, seed);
}
