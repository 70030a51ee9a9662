/* filter - who was added is never denied; who was not is hardly ever suspected. */
#include "engine/base/filter.h"
#include "engine/media/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void hash_of(uint64_t number, uint8_t ret[UR_FILTER_HASH])
{
	const uint64_t halves[2] = {
		ur_hash_short(&number, sizeof number, 1), ur_hash_short(&number, sizeof number, 2)};
	memcpy(ret, halves, UR_FILTER_HASH);
}

static void who_was_added_is_never_denied(void **state)
{
	struct ur_filter *filter = NULL;
	uint8_t hash[UR_FILTER_HASH];
	(void)state;
	assert_int_equal(ur_filter_new(&filter), 0);
	for (uint64_t i = 0; i < 300000; i++) {
		hash_of(i, hash);
		ur_filter_add(filter, hash);
	}
	for (uint64_t i = 0; i < 300000; i++) {
		hash_of(i, hash);
		assert_true(ur_filter_perhaps(filter, hash));
	}
	filter = ur_filter_free(filter);
	assert_null(filter);
}

static void an_empty_one_knows_nobody(void **state)
{
	struct ur_filter *filter = NULL;
	uint8_t hash[UR_FILTER_HASH];
	(void)state;
	assert_int_equal(ur_filter_new(&filter), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		hash_of(i, hash);
		assert_false(ur_filter_perhaps(filter, hash));
	}
	(void)ur_filter_free(filter);
}

/* One in 1,400 is the theory for a million; a bound of one in 700 notices a bit that is not used. */
static void a_million_members_leave_strangers_alone(void **state)
{
	struct ur_filter *filter = NULL;
	uint8_t hash[UR_FILTER_HASH];
	unsigned suspected = 0;
	(void)state;
	assert_int_equal(ur_filter_new(&filter), 0);
	for (uint64_t i = 0; i < 1000000; i++) {
		hash_of(i, hash);
		ur_filter_add(filter, hash);
	}
	for (uint64_t i = 0; i < 1000000; i++) {
		hash_of(UINT64_C(1) << 40 | i, hash);
		suspected += ur_filter_perhaps(filter, hash) ? 1 : 0;
	}
	assert_in_range(suspected, 1, 1000000 / 700);
	(void)ur_filter_free(filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_was_added_is_never_denied),
		cmocka_unit_test(an_empty_one_knows_nobody),
		cmocka_unit_test(a_million_members_leave_strangers_alone),
	};
	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
