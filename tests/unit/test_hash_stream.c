/*
 * hash_stream - every length, every split and every interruption against libcrypto, with SHA-NI
 * and without.
 */
#include "engine/media/hash_stream.h"

#include "engine/media/hash.h"
#include "engine/media/hash_lanes.h"

#include <errno.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 300

static void fill(unsigned char *bytes, size_t size)
{
	uint32_t x = 2463534242u;
	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		bytes[i] = (unsigned char)x;
	}
}

static void expect(const struct ur_sha1 *sha1, const unsigned char *bytes, size_t size)
{
	uint8_t ours[20];
	unsigned char theirs[EVP_MAX_MD_SIZE];
	ur_sha1_end(sha1, ours);
	assert_int_equal(EVP_Digest(bytes, size, theirs, NULL, EVP_sha1(), NULL), 1);
	assert_memory_equal(ours, theirs, sizeof ours);
}

static int choose(void **state)
{
	return ur_hash_choose(*state);
}

static void every_length_agrees_with_libcrypto(void **state)
{
	struct ur_sha1 sha1;
	unsigned char bytes[MOST];
	(void)state;
	fill(bytes, sizeof bytes);
	for (size_t size = 0; size <= MOST; size++) {
		assert_int_equal(ur_sha1_begin(&sha1), 0);
		ur_sha1_feed(&sha1, bytes, size);
		expect(&sha1, bytes, size);
	}
}

static void every_split_of_every_length_gives_the_same_hash(void **state)
{
	struct ur_sha1 sha1;
	unsigned char bytes[MOST];
	(void)state;
	fill(bytes, sizeof bytes);
	for (size_t size = 0; size <= MOST; size++) {
		for (size_t split = 0; split <= size; split++) {
			assert_int_equal(ur_sha1_begin(&sha1), 0);
			ur_sha1_feed(&sha1, bytes, split);
			ur_sha1_feed(&sha1, bytes + split, size - split);
			expect(&sha1, bytes, size);
		}
	}
}

static void a_stream_goes_on_from_wherever_it_was_saved(void **state)
{
	unsigned char bytes[MOST];
	(void)state;
	fill(bytes, sizeof bytes);
	for (size_t at = 0; at <= MOST; at++) {
		struct ur_sha1 before;
		struct ur_sha1 after;
		uint8_t words[20];
		uint8_t tail[64];
		assert_int_equal(ur_sha1_begin(&before), 0);
		ur_sha1_feed(&before, bytes, at);
		ur_sha1_save(&before, words, tail);
		memset(&before, 0xa5, sizeof before);
		assert_int_equal(ur_sha1_load(&after, at, words, tail), 0);
		assert_int_equal(after.count, at);
		expect(&after, bytes, at);
		ur_sha1_feed(&after, bytes + at, MOST - at);
		expect(&after, bytes, MOST);
	}
}

static void what_is_saved_does_not_depend_on_what_was_there_before(void **state)
{
	struct ur_sha1 whole;
	struct ur_sha1 parts;
	unsigned char bytes[MOST];
	uint8_t words[2][20];
	uint8_t tail[2][64];
	(void)state;
	fill(bytes, sizeof bytes);
	assert_int_equal(ur_sha1_begin(&whole), 0);
	assert_int_equal(ur_sha1_begin(&parts), 0);
	ur_sha1_feed(&whole, bytes, 130);
	for (size_t i = 0; i < 130; i += 10) { // leaves bytes of earlier blocks in its tail
		ur_sha1_feed(&parts, bytes + i, 10);
	}
	ur_sha1_save(&whole, words[0], tail[0]);
	ur_sha1_save(&parts, words[1], tail[1]);
	assert_memory_equal(words[0], words[1], 20);
	assert_memory_equal(tail[0], tail[1], 64);
}

static void whatever_is_fed_and_saved_in_whatever_parts_agrees_with_libcrypto(void **state)
{
	enum {
		SIZE = 1 << 20
	};
	unsigned char *bytes = malloc(SIZE);
	const char *given = getenv("UR_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 20240506;
	(void)state;
	fill(bytes, SIZE);
	for (int round = 0; round < 20; round++) {
		struct ur_sha1 sha1;
		size_t at = 0;
		assert_int_equal(ur_sha1_begin(&sha1), 0);
		while (at < SIZE) {
			const size_t most = rand_r(&seed) % 4 == 0 ? 40000 : 200;
			size_t some = (size_t)rand_r(&seed) % most;
			some = some < SIZE - at ? some : SIZE - at;
			ur_sha1_feed(&sha1, bytes + at, some);
			at += some;
			if (rand_r(&seed) % 3 == 0) {
				uint8_t words[20];
				uint8_t tail[64];
				ur_sha1_save(&sha1, words, tail);
				assert_int_equal(ur_sha1_load(&sha1, at, words, tail), 0);
			}
		}
		expect(&sha1, bytes, SIZE);
	}
	free(bytes);
}

static void count_beyond_32_bits_is_in_the_padding(void **state)
{
	/* The same words and tail, and counts that differ in the upper half alone. */
	struct ur_sha1 sha1;
	const uint8_t words[20] = {0};
	const uint8_t tail[64] = {0};
	uint8_t low[20];
	uint8_t high[20];
	(void)state;
	assert_int_equal(ur_sha1_load(&sha1, UINT64_C(5) << 30, words, tail), 0);
	ur_sha1_end(&sha1, high);
	assert_int_equal(ur_sha1_load(&sha1, (UINT64_C(5) << 30) & UINT32_MAX, words, tail), 0);
	ur_sha1_end(&sha1, low);
	assert_memory_not_equal(low, high, 20);
}

static void a_sick_kernel_is_not_used_and_without_any_there_is_no_stream(void **state)
{
	struct ur_sha1 sha1;
	unsigned char bytes[MOST];
	(void)state;
	fill(bytes, sizeof bytes);
	assert_int_equal(ur_hash_choose("auto"), 0);
	const bool was_sick = ur_sha1_kernels[UR_SHA1_SHANI].sick;
	ur_sha1_kernels[UR_SHA1_SHANI].sick = true;
	assert_int_equal(ur_sha1_begin(&sha1), 0);
	assert_ptr_equal(sha1.kernel, &ur_sha1_kernels[UR_SHA1_OPENSSL]);
	ur_sha1_feed(&sha1, bytes, MOST);
	expect(&sha1, bytes, MOST);
	ur_sha1_kernels[UR_SHA1_OPENSSL].sick = true;
	assert_int_equal(ur_sha1_begin(&sha1), -EIO);
	ur_sha1_kernels[UR_SHA1_OPENSSL].sick = false;
	ur_sha1_kernels[UR_SHA1_SHANI].sick = was_sick;
}

#define WITH(kernel, test)                                                  \
	{                                                                   \
#test " (" kernel ")", test, choose, NULL, (void *)(kernel) \
	}
#define ALL_WITH(kernel)                                                                         \
	WITH(kernel, every_length_agrees_with_libcrypto),                                        \
		WITH(kernel, every_split_of_every_length_gives_the_same_hash),                   \
		WITH(kernel, a_stream_goes_on_from_wherever_it_was_saved),                       \
		WITH(kernel, what_is_saved_does_not_depend_on_what_was_there_before),            \
		WITH(kernel, whatever_is_fed_and_saved_in_whatever_parts_agrees_with_libcrypto), \
		WITH(kernel, count_beyond_32_bits_is_in_the_padding)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_WITH("auto"),
		ALL_WITH("openssl"),
		cmocka_unit_test(a_sick_kernel_is_not_used_and_without_any_there_is_no_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
