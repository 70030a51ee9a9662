/* trouble - what is news to a timer, and when it says it again. */
#include "engine/trouble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_NS (INT64_C(3600) * UR_SECOND_NS)
#define NOW_NS (INT64_C(1800000000) * UR_SECOND_NS)

/** What a run that ended with 1 `ago_ns` ago by both clocks has left. */
static struct ur_troubles after_run(int64_t run, int64_t ago_ns)
{
	struct ur_troubles t = {.known = {.run = run, .count = 1, .told_ns = NOW_NS - ago_ns}};
	t.known.told = ur_age_begin();
	t.known.told.had_ns = ago_ns;
	return t;
}

static void a_file_is_known_from_a_run_that_came_to_its_end(void **state)
{
	(void)state;
	const struct ur_troubles t = after_run(7, 0);
	struct ur_record row = {.trouble = true, .run = 7};
	assert_true(ur_trouble_was_known(&t, &row));
	row.run = 8; // which found it and was killed, or was another one's
	assert_false(ur_trouble_was_known(&t, &row));
	row = (struct ur_record){.run = 3};
	assert_false(ur_trouble_was_known(&t, &row));
	assert_false(ur_trouble_was_known(&t, NULL));
}

static void what_is_new_is_due_and_what_is_known_once_a_day(void **state)
{
	(void)state;
	struct ur_troubles t = after_run(7, HOUR_NS);
	assert_false(ur_trouble_is_due(&t, NOW_NS)); // nothing is wrong
	ur_trouble_see(&t, true);
	assert_false(ur_trouble_is_due(&t, NOW_NS));
	ur_trouble_see(&t, false);
	assert_true(ur_trouble_is_due(&t, NOW_NS));

	t = after_run(7, 25 * HOUR_NS);
	ur_trouble_see(&t, true);
	assert_true(ur_trouble_is_due(&t, NOW_NS));

	t = (struct ur_troubles){0}; // known to a run by hand only
	t.known.run = 7;
	ur_trouble_see(&t, true);
	assert_true(ur_trouble_is_due(&t, NOW_NS));
}

static void no_clock_that_is_put_back_keeps_it_silent(void **state)
{
	(void)state;
	struct ur_troubles t = after_run(7, 25 * HOUR_NS);
	ur_trouble_see(&t, true);
	assert_true(ur_trouble_is_due(&t, NOW_NS - 1000 * HOUR_NS));
	t.known.told = ur_age_begin(); // the machine was switched off for most of that day
	assert_true(ur_trouble_is_due(&t, NOW_NS));
	assert_false(ur_trouble_is_due(&t, NOW_NS - 1000 * HOUR_NS));
}

static void a_folder_is_known_with_what_is_wrong_with_it(void **state)
{
	(void)state;
	struct ur_troubles t = {0};
	struct ur_ledger_trouble left;
	assert_false(ur_trouble_see_place(&t, "/in/a", "cannot be opened"));
	ur_trouble_sum(&t, 7, NOW_NS, &left);
	assert_int_equal(left.place_count, 1);

	t = (struct ur_troubles){.known = left};
	assert_true(ur_trouble_see_place(&t, "/in/a", "cannot be opened"));
	assert_false(ur_trouble_is_due(&t, NOW_NS));
	assert_false(ur_trouble_see_place(&t, "/in/a", "cannot be listed"));
	assert_false(ur_trouble_see_place(&t, "/in/b", "cannot be opened"));
	assert_true(ur_trouble_is_due(&t, NOW_NS));
	assert_int_equal(t.count, 3);
	assert_int_equal(t.fresh, 2);
}

static void more_folders_than_are_kept_apart_are_counted_and_not_new_for_ever(void **state)
{
	(void)state;
	struct ur_troubles t = {0};
	struct ur_ledger_trouble left;
	char path[32];
	for (int run = 0; run < 2; run++) {
		for (int i = 0; i < 2 * (int)UR_LEDGER_PLACES_MAX; i++) {
			(void)snprintf(path, sizeof path, "/in/%d", i);
			(void)ur_trouble_see_place(&t, path, "cannot be opened");
		}
		assert_int_equal(t.count, 2 * UR_LEDGER_PLACES_MAX);
		assert_int_equal(ur_trouble_is_due(&t, NOW_NS), run == 0);
		ur_trouble_sum(&t, 7 + run, NOW_NS, &left);
		t = (struct ur_troubles){.known = left};
	}
}

static void what_was_said_is_as_old_as_it_was_unless_it_is_said_again(void **state)
{
	(void)state;
	struct ur_troubles t = after_run(7, HOUR_NS);
	struct ur_ledger_trouble left;
	ur_trouble_see(&t, true);
	ur_trouble_sum(&t, 8, NOW_NS, &left);
	assert_int_equal(left.run, 8);
	assert_int_equal(left.told_ns, NOW_NS - HOUR_NS);
	assert_true(ur_age_ns(&left.told) >= HOUR_NS);
	ur_trouble_see(&t, false);
	ur_trouble_sum(&t, 8, NOW_NS, &left);
	assert_int_equal(left.told_ns, NOW_NS);
	assert_true(ur_age_ns(&left.told) < HOUR_NS);
	assert_int_equal(left.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_known_from_a_run_that_came_to_its_end),
		cmocka_unit_test(what_is_new_is_due_and_what_is_known_once_a_day),
		cmocka_unit_test(no_clock_that_is_put_back_keeps_it_silent),
		cmocka_unit_test(a_folder_is_known_with_what_is_wrong_with_it),
		cmocka_unit_test(more_folders_than_are_kept_apart_are_counted_and_not_new_for_ever),
		cmocka_unit_test(what_was_said_is_as_old_as_it_was_unless_it_is_said_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
