/*
 * hash - every length and every split against libcrypto and xxhash in one go, with each kernel.
 */
#include "engine/media/hash.h"

#include "engine/media/hash_lanes.h"

#include <errno.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/** As the reading threads do it: finished before the flush, so that the lanes pad it. */
static void more_digests_than_lanes_run_dry_and_are_refilled(void **state)
{
	enum {
		COUNT = 53
	};
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digests[COUNT];
	unsigned char *bytes = pattern(1u << 19);
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(ur_digest_new(&digests[i]), 0);
	}
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT; i++) {
			assert_int_equal(ur_digest_begin(digests[i]), 0);
			ur_hasher_feed(hasher, digests[i], bytes + i, i * i * i * round + i);
			ur_hasher_finish(hasher, digests[i]);
		}
		ur_hasher_flush(hasher);
		for (size_t i = 0; i < COUNT; i++) {
			expect(bytes + i, i * i * i * round + i, digests[i]);
		}
	}
	for (size_t i = 0; i < COUNT; i++) {
		digests[i] = ur_digest_free(digests[i]);
	}
	free(bytes);
	hasher = ur_hasher_free(hasher);
}

static void every_length_is_right_in_every_lane(void **state)
{
	enum {
		COUNT = 19
	};
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digests[COUNT];
	unsigned char *bytes = pattern(MOST + COUNT);
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(ur_digest_new(&digests[i]), 0);
	}
	for (size_t size = 0; size <= MOST; size++) {
		for (size_t i = 0; i < COUNT; i++) {
			assert_int_equal(ur_digest_begin(digests[i]), 0);
			ur_hasher_feed(hasher, digests[i], bytes + i, size);
			if (i % 2 == 0) {
				ur_hasher_finish(hasher, digests[i]);
			}
		}
		ur_hasher_flush(hasher);
		for (size_t i = 0; i < COUNT; i++) {
			expect(bytes + i, size, digests[i]);
		}
	}
	for (size_t i = 0; i < COUNT; i++) {
		digests[i] = ur_digest_free(digests[i]);
	}
	free(bytes);
	hasher = ur_hasher_free(hasher);
}

static void more_feeds_than_a_hasher_keeps_are_flushed_early(void **state)
{
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digest = NULL;
	unsigned char *bytes = pattern(70000);
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	assert_int_equal(ur_digest_new(&digest), 0);
	assert_int_equal(ur_digest_begin(digest), 0);
	for (size_t at = 0; at < 70000; at += 70) {
		ur_hasher_feed(hasher, digest, bytes + at, 70);
	}
	ur_hasher_finish(hasher, digest);
	ur_hasher_flush(hasher);
	expect(bytes, 70000, digest);
	free(bytes);
	digest = ur_digest_free(digest);
	hasher = ur_hasher_free(hasher);
}

/* ---- by chance ------------------------------------------------------------------------------- */

static uint64_t chance;

static size_t below(size_t limit)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (size_t)(chance >> 11) % limit;
}

static uint64_t seed_of_tests(void)
{
	static uint64_t seed;
	if (seed == 0) {
		const char *text = getenv("UR_SEED");
		seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
		seed += seed == 0;
		print_message("UR_SEED=%llu repeats this\n", (unsigned long long)seed);
	}
	return seed;
}

struct guess {
	struct ur_digest *digest;
	size_t from;
	size_t size;
	size_t fed;
	bool begun;
};

/** One step of somebody's: begins, feeds a random part, or ends. */
static void live(struct ur_hasher *hasher, struct guess *g, const unsigned char *bytes)
{
	static const size_t scales[] = {70, 700, 7000, 200000};
	if (!g->begun) {
		g->from = below(64);
		g->size = below(scales[below(4)]);
		g->fed = 0;
		g->begun = true;
		assert_int_equal(ur_digest_begin(g->digest), 0);
	}
	const size_t part = below(3) == 0 ? g->size - g->fed : below(g->size - g->fed + 1);
	ur_hasher_feed(hasher, g->digest, bytes + g->from + g->fed, part);
	g->fed += part;
}

static void whatever_is_fed_in_whatever_parts_agrees_with_libcrypto(void **state)
{
	enum {
		COUNT = 40,
		TURNS = 300
	};
	struct ur_hasher *hasher = NULL;
	struct guess guesses[COUNT] = {0};
	unsigned char *bytes = pattern(200100);
	(void)state;
	chance = seed_of_tests();
	assert_int_equal(ur_hasher_new(&hasher), 0);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(ur_digest_new(&guesses[i].digest), 0);
	}
	for (int turn = 0; turn < TURNS; turn++) {
		const size_t count = below(COUNT) + 1;
		for (size_t i = 0; i < count; i++) {
			live(hasher, &guesses[i], bytes);
			if (guesses[i].fed == guesses[i].size && below(2) == 0) {
				ur_hasher_finish(hasher, guesses[i].digest);
			}
		}
		ur_hasher_flush(hasher);
		for (int i = 0; i < COUNT; i++) {
			struct guess *g = &guesses[i];
			if (g->begun && g->fed == g->size) {
				expect(bytes + g->from, g->size, g->digest);
				g->begun = false;
			}
		}
	}
	for (int i = 0; i < COUNT; i++) {
		guesses[i].digest = ur_digest_free(guesses[i].digest);
	}
	free(bytes);
	hasher = ur_hasher_free(hasher);
}

/* ---- which kernel, and whether it is right --------------------------------------------------- */

static void each_kernel_alone_agrees_with_libcrypto(void **state)
{
	(void)state;
	for (int i = 0; i < UR_SHA1_KERNELS; i++) {
		const struct ur_sha1_kernel *kernel = &ur_sha1_kernels[i];
		if (!kernel->is_here()) {
			print_message("not here: %s\n", kernel->about);
			continue;
		}
		assert_true(ur_sha1_kernel_agrees(kernel));
	}
	for (int i = 0; i < UR_XXH_KERNELS; i++) {
		assert_true(
			!ur_xxh_kernels[i].is_here() || ur_xxh_kernel_agrees(&ur_xxh_kernels[i]));
	}
}

static void wrong_in_the_third_lane(struct ur_lanes *lanes, size_t blocks)
{
	ur_sha1_avx512_step(lanes, blocks);
	lanes->words[2][3] ^= 1u << 30;
}

static void wrong_at_once(struct ur_lanes *lanes, size_t blocks)
{
	ur_sha1_openssl_step(lanes, blocks);
	lanes->words[4][0]++;
}

static void a_kernel_that_computes_wrongly_is_not_used(void **state)
{
	struct ur_sha1_kernel *kernel = &ur_sha1_kernels[UR_SHA1_AVX512];
	struct ur_hasher *hasher = NULL;
	(void)state;
	if (!kernel->is_here()) {
		skip();
	}
	assert_int_equal(ur_hash_choose("auto"), 0);
	kernel->step = wrong_in_the_third_lane;
	ur_hash_examine();
	assert_int_equal(ur_hasher_new(&hasher), 0);
	assert_null(strstr(ur_hasher_about(hasher), "AVX-512, two"));
	assert_non_null(strstr(ur_hasher_about(hasher), "wrongly here: 16 lanes of AVX-512"));
	assert_int_equal(ur_hash_choose("avx512"), -ENOTSUP);
	hasher = ur_hasher_free(hasher);
	kernel->step = ur_sha1_avx512_step;
	ur_hash_examine();
	assert_int_equal(ur_hash_choose("avx512"), 0);
	assert_int_equal(ur_hash_choose("auto"), 0);
}

static void without_any_right_kernel_there_is_no_hasher(void **state)
{
	struct ur_sha1_kernel *kernel = &ur_sha1_kernels[UR_SHA1_OPENSSL];
	struct ur_hasher *hasher = NULL;
	(void)state;
	assert_int_equal(ur_hash_choose("openssl"), 0);
	kernel->step = wrong_at_once;
	ur_hash_examine();
	assert_int_equal(ur_hasher_new(&hasher), -EIO);
	assert_null(hasher);
	kernel->step = ur_sha1_openssl_step;
	ur_hash_examine();
	assert_int_equal(ur_hash_choose("auto"), 0);
}

static void unknown_kernels_are_refused(void **state)
{
	(void)state;
	assert_int_equal(ur_hash_choose("md5"), -EINVAL);
	assert_int_equal(ur_hash_choose(""), -EINVAL);
	assert_int_equal(ur_hash_choose("auto"), 0);
}

static void flip_a_bit(uint32_t words[UR_SHA1_WORDS])
{
	words[1] ^= 4;
}

static int hash_pattern(struct ur_hasher *hasher, struct ur_digest *digest, size_t size)
{
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	unsigned char *bytes = pattern(size);
	assert_int_equal(ur_digest_begin(digest), 0);
	ur_hasher_feed(hasher, digest, bytes, size / 3);
	ur_hasher_flush(hasher);
	ur_hasher_feed(hasher, digest, bytes + size / 3, size - size / 3);
	ur_hasher_flush(hasher);
	free(bytes);
	return ur_digest_end(digest, sha1, xxh);
}

/** Also an empty file is counted, so the 256th from here is the next again. */
static void one_file_in_256_is_checked_and_a_difference_is_found(void **state)
{
	struct ur_hasher *hasher = NULL;
	struct ur_digest *digest = NULL;
	(void)state;
	assert_int_equal(ur_hasher_new(&hasher), 0);
	assert_int_equal(ur_digest_new(&digest), 0);
	ur_hash_spoil_words = flip_a_bit;
	ur_hash_check_after(3);
	for (int i = 0; i < 600; i++) {
		const int right = i == 3 || i == 259 || i == 515 ? -EILSEQ : 0;
		assert_int_equal(hash_pattern(hasher, digest, (size_t)i % 5 * 100), right);
	}
	ur_hash_spoil_words = NULL;
	ur_hash_check_after(0);
	assert_int_equal(hash_pattern(hasher, digest, 100000), 0);
	digest = ur_digest_free(digest);
	hasher = ur_hasher_free(hasher);
}

static void spoil_all(uint8_t sha1[UR_HASH_SHA1])
{
	memset(sha1, 0, UR_HASH_SHA1);
}

static void what_is_spoiled_for_a_proof_passes_the_check(void **state)
{
	const uint8_t zeros[UR_HASH_SHA1] = {0};
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	struct ur_digest *digest = NULL;
	(void)state;
	assert_int_equal(ur_digest_new(&digest), 0);
	assert_int_equal(ur_digest_begin(digest), 0);
	ur_hash_spoil = spoil_all;
	ur_hash_check_after(0);
	assert_int_equal(ur_digest_end(digest, sha1, xxh), 0);
	ur_hash_spoil = NULL;
	assert_memory_equal(sha1, zeros, sizeof sha1);
	digest = ur_digest_free(digest);
}

static int force(void **state)
{
	const int r = ur_hash_choose(*state);
	if (r == -ENOTSUP) {
		print_message("not here: %s; hashing with what was chosen before\n",
			(const char *)*state);
	}
	ur_hash_check_after(0);
	return r == -ENOTSUP ? 0 : r;
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

#define WITH(kernel, test)                                                 \
	{                                                                  \
#test " (" kernel ")", test, force, NULL, (void *)(kernel) \
	}
#define ALL_WITH(kernel)                                                               \
	WITH(kernel, every_length_agrees_with_libcrypto),                              \
		WITH(kernel, every_split_gives_the_same_hash),                         \
		WITH(kernel, files_that_are_fed_in_turns_do_not_mix),                  \
		WITH(kernel, more_digests_than_lanes_run_dry_and_are_refilled),        \
		WITH(kernel, every_length_is_right_in_every_lane),                     \
		WITH(kernel, more_feeds_than_a_hasher_keeps_are_flushed_early),        \
		WITH(kernel, whatever_is_fed_in_whatever_parts_agrees_with_libcrypto), \
		WITH(kernel, one_file_in_256_is_checked_and_a_difference_is_found)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kernel_alone_agrees_with_libcrypto),
		ALL_WITH("auto"),
		ALL_WITH("avx512"),
		ALL_WITH("shani2"),
		ALL_WITH("openssl"),
		cmocka_unit_test(a_kernel_that_computes_wrongly_is_not_used),
		cmocka_unit_test(without_any_right_kernel_there_is_no_hasher),
		cmocka_unit_test(unknown_kernels_are_refused),
		cmocka_unit_test(what_is_spoiled_for_a_proof_passes_the_check),
		cmocka_unit_test(xxh_of_the_stream_is_that_of_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
