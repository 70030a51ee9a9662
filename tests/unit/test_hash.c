/* hash - every length and every split against libcrypto and xxhash in one go. */
#include "engine/media/hash.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 300

static unsigned char *pattern(size_t size)
{
	unsigned char *bytes = malloc(size + 1);
	uint32_t x = 2463534242u;
	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		bytes[i] = (unsigned char)x;
	}
	return bytes;
}

static void expect(const unsigned char *bytes, size_t size, struct ur_digest *digest)
{
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	uint8_t whole[UR_HASH_XXH];
	unsigned char reference[EVP_MAX_MD_SIZE];
	assert_int_equal(ur_digest_end(digest, sha1, xxh), 0);
	assert_int_equal(EVP_Digest(bytes, size, reference, NULL, EVP_sha1(), NULL), 1);
	assert_memory_equal(sha1, reference, UR_HASH_SHA1);
	ur_xxh_of(bytes, size, whole);
	assert_memory_equal(xxh, whole, UR_HASH_XXH);
}

static void every_length_agrees_with_libcrypto(void **state)
{
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digest = NULL;
	unsigned char *bytes = pattern(MOST);
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	assert_int_equal(ur_digest_new(&digest), 0);
	for (size_t size = 0; size <= MOST; size++) {
		assert_int_equal(ur_digest_begin(digest), 0);
		ur_hasher_feed(hasher, digest, bytes, size);
		ur_hasher_flush(hasher);
		expect(bytes, size, digest);
	}
	free(bytes);
	digest = ur_digest_free(digest);
	hasher = ur_hasher_free(hasher);
}

static void every_split_gives_the_same_hash(void **state)
{
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digest = NULL;
	unsigned char *bytes = pattern(MOST);
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	assert_int_equal(ur_digest_new(&digest), 0);
	for (size_t split = 0; split <= MOST; split++) {
		assert_int_equal(ur_digest_begin(digest), 0);
		ur_hasher_feed(hasher, digest, bytes, split);
		ur_hasher_feed(hasher, digest, bytes + split, MOST - split);
		ur_hasher_flush(hasher);
		expect(bytes, MOST, digest);
	}
	free(bytes);
	digest = ur_digest_free(digest);
	hasher = ur_hasher_free(hasher);
}

static void files_that_are_fed_in_turns_do_not_mix(void **state)
{
	enum {
		COUNT = 20
	};
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digests[COUNT];
	unsigned char *bytes = pattern(1u << 20);
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(ur_digest_new(&digests[i]), 0);
		assert_int_equal(ur_digest_begin(digests[i]), 0);
	}
	for (size_t at = 0; at < 40000; at += 1000) {
		for (int i = 0; i < COUNT; i++) { // unaligned on purpose, each its own length
			ur_hasher_feed(hasher, digests[i], bytes + 13 * (size_t)i + at,
				at == 39000 ? 1000 - (size_t)i : 1000);
		}
		ur_hasher_flush(hasher);
	}
	for (int i = 0; i < COUNT; i++) {
		expect(bytes + 13 * (size_t)i, 40000 - (size_t)i, digests[i]);
		digests[i] = ur_digest_free(digests[i]);
	}
	free(bytes);
	hasher = ur_hasher_free(hasher);
}

static void xxh_of_the_stream_is_that_of_the_whole(void **state)
{
	struct ur_xxh *xxh = NULL;
	unsigned char *bytes = pattern(100000);
	uint8_t streamed[UR_HASH_XXH];
	uint8_t whole[UR_HASH_XXH];
	(void)state;
	assert_int_equal(ur_xxh_new(&xxh), 0);
	for (int again = 0; again < 2; again++) { // begin() starts afresh
		ur_xxh_begin(xxh);
		for (size_t at = 0; at < 100000; at += 777) {
			ur_xxh_feed(xxh, bytes + at, 100000 - at < 777 ? 100000 - at : 777);
		}
		ur_xxh_end(xxh, streamed);
		ur_xxh_of(bytes, 100000, whole);
		assert_memory_equal(streamed, whole, sizeof whole);
	}
	free(bytes);
	xxh = ur_xxh_free(xxh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_agrees_with_libcrypto),
		cmocka_unit_test(every_split_gives_the_same_hash),
		cmocka_unit_test(files_that_are_fed_in_turns_do_not_mix),
		cmocka_unit_test(xxh_of_the_stream_is_that_of_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
