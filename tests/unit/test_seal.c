/* seal - what is sealed for one upload of one owner opens for those alone, and only as it was. */
#include "engine/gateway/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef"
#define ANN "11111111-1111-4111-8111-111111111111"
#define BOB "22222222-2222-4222-8222-222222222222"
#define TEXT "kx-api-key: secret"
#define SIZE (sizeof TEXT - 1)

static const uint8_t key[32] = {1, 2, 3};

static int start(void **state)
{
	(void)state;
	return ur_seal_start();
}

static int opens(
	const uint8_t *with, const char *id, const char *owner, const uint8_t *sealed, size_t size)
{
	char plain[UR_SEAL_ROOM(SIZE)];
	size_t opened = 0;
	const int r = ur_unseal(with, id, owner, sealed, size, plain, &opened);
	if (r == 0) {
		assert_int_equal(opened, SIZE);
		assert_memory_equal(plain, TEXT, SIZE);
	}
	return r;
}

static void only_the_same_key_id_and_owner_open_it(void **state)
{
	uint8_t sealed[UR_SEAL_ROOM(SIZE)];
	uint8_t other[32] = {1, 2, 4};
	size_t size = 0;
	(void)state;
	assert_int_equal(ur_seal(key, ID, ANN, TEXT, SIZE, sealed, &size), 0);
	assert_true(size <= sizeof sealed);
	assert_int_equal(opens(key, ID, ANN, sealed, size), 0);
	assert_true(opens(other, ID, ANN, sealed, size) < 0);
	assert_true(opens(key, "1" ID, ANN, sealed, size) < 0);
	assert_true(opens(key, ID, BOB, sealed, size) < 0);
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
	uint8_t sealed[UR_SEAL_ROOM(SIZE)];
	size_t size = 0;
	(void)state;
	assert_int_equal(ur_seal(key, ID, ANN, TEXT, SIZE, sealed, &size), 0);
	for (size_t i = 0; i < 8 * size; i++) {
		sealed[i / 8] ^= (uint8_t)(1u << (i % 8));
		assert_true(opens(key, ID, ANN, sealed, size) < 0);
		sealed[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t cut = 0; cut < size; cut++) {
		assert_true(opens(key, ID, ANN, sealed, cut) < 0);
	}
	assert_int_equal(opens(key, ID, ANN, sealed, size), 0);
}

static void twice_the_same_is_not_the_same_twice(void **state)
{
	uint8_t one[UR_SEAL_ROOM(SIZE)];
	uint8_t two[UR_SEAL_ROOM(SIZE)];
	size_t size = 0;
	(void)state;
	assert_int_equal(ur_seal(key, ID, ANN, TEXT, SIZE, one, &size), 0);
	assert_int_equal(ur_seal(key, ID, ANN, TEXT, SIZE, two, &size), 0);
	assert_memory_not_equal(one, two, size);
	assert_null(memmem(one, size, "secret", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_same_key_id_and_owner_open_it),
		cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
		cmocka_unit_test(twice_the_same_is_not_the_same_twice),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
