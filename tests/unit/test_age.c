/* An age never says more than what has certainly passed. */
#include "engine/base/age.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (INT64_C(3600) * UR_SECOND_NS)

static void what_was_not_begun_has_no_age(void **state)
{
	(void)state;
	const struct ur_age none = {0};
	char text[UR_AGE_TEXT];
	ur_age_write(&none, text);

	assert_false(ur_age_is_begun(&none));
	assert_int_equal(ur_age_ns(&none), 0);
	assert_string_equal(text, "");
}

static void no_step_of_the_wall_clock_makes_it_older(void **state)
{
	(void)state;
	const struct ur_age age = ur_age_begin();
	ur_clock_step(24 * HOUR);
	const int64_t after = ur_age_ns(&age);
	ur_clock_step(-24 * HOUR);

	assert_in_range(after, 0, HOUR);
}

static void of_another_boot_only_this_uptime_is_certain(void **state)
{
	(void)state;
	struct ur_age age = ur_age_begin();
	(void)strcpy(age.boot, "00000000-0000-0000-0000-000000000000");
	age.at_ns = INT64_MAX / 4; // that boot had lasted for years
	age.had_ns = 5 * HOUR;
	const int64_t uptime = ur_clock_boot_ns();

	assert_in_range(ur_age_ns(&age), 5 * HOUR + uptime, 5 * HOUR + uptime + HOUR);
}

static void what_is_certain_is_carried_over_boots(void **state)
{
	(void)state;
	struct ur_age age = ur_age_begin();
	for (int boot = 1; boot <= 3; boot++) {
		(void)strcpy(age.boot, "00000000-0000-0000-0000-000000000000");
		age = ur_age_keep(&age);
		assert_string_equal(age.boot, ur_clock_boot_id());
		assert_true(ur_age_ns(&age) >= boot * (ur_clock_boot_ns() - HOUR));
	}
	const struct ur_age kept = ur_age_keep(&age);

	assert_memory_equal(&kept, &age, sizeof age);
}

static void a_time_of_this_boot_that_is_still_to_come_is_of_another_one(void **state)
{
	(void)state;
	struct ur_age age = ur_age_begin();
	age.at_ns += 1000 * HOUR; // a restored snapshot of the machine has the old boot's id

	assert_true(ur_age_ns(&age) >= 0);
}

static void it_reads_what_it_wrote(void **state)
{
	(void)state;
	struct ur_age age = ur_age_begin();
	age.had_ns = 42;
	char text[UR_AGE_TEXT];
	ur_age_write(&age, text);
	const struct ur_age again = ur_age_read(text);

	assert_int_equal(again.had_ns, 42);
	assert_int_equal(again.at_ns, age.at_ns);
	assert_string_equal(again.boot, age.boot);
}

static void what_is_no_age_was_not_begun(void **state)
{
	(void)state;
	static const char *const texts[] = {"", " ", "x", "1", "1 2", "-1 2 boot", "1 -2 boot",
		"99999999999999999999 1 boot", "9223372036854775807 1 boot",
		"1 2 a-boot-id-that-is-longer-than-any-boot-id-can-be"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		const struct ur_age age = ur_age_read(texts[i]);
		assert_int_equal(ur_age_ns(&age), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_begun_has_no_age),
		cmocka_unit_test(no_step_of_the_wall_clock_makes_it_older),
		cmocka_unit_test(of_another_boot_only_this_uptime_is_certain),
		cmocka_unit_test(what_is_certain_is_carried_over_boots),
		cmocka_unit_test(a_time_of_this_boot_that_is_still_to_come_is_of_another_one),
		cmocka_unit_test(it_reads_what_it_wrote),
		cmocka_unit_test(what_is_no_age_was_not_begun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
