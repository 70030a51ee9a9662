/* clock - the calendar against the C library's, and dates as servers and sidecars write them. */
#include "engine/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void civil_dates_agree_with_the_c_library_on_every_day(void **state)
{
	(void)state;
	for (int64_t day = -200 * 365; day < 400 * 365; day++) {
		const time_t at = (time_t)day * 86400 + 43200;
		struct tm tm;
		int64_t seconds = 0;
		assert_non_null(gmtime_r(&at, &tm));
		assert_int_equal(ur_clock_civil(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, 12, 0,
					 0, &seconds),
			0);
		assert_int_equal(seconds, at);
	}
}

static void dates_that_do_not_exist_are_refused(void **state)
{
	(void)state;
	int64_t seconds = 0;
	assert_int_equal(ur_clock_civil(2023, 2, 29, 0, 0, 0, &seconds), -EINVAL);
	assert_int_equal(ur_clock_civil(2024, 2, 29, 0, 0, 0, &seconds), 0);
	assert_int_equal(ur_clock_civil(1900, 2, 29, 0, 0, 0, &seconds), -EINVAL);
	assert_int_equal(ur_clock_civil(2024, 13, 1, 0, 0, 0, &seconds), -EINVAL);
	assert_int_equal(ur_clock_civil(2024, 4, 31, 0, 0, 0, &seconds), -EINVAL);
	assert_int_equal(ur_clock_civil(2024, 4, 30, 24, 0, 0, &seconds), -EINVAL);
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	const int64_t times[] = {
		0, 1, 1714979289123 * UR_MS_NS, -1 * UR_MS_NS, -86400 * UR_SECOND_NS};
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		char text[UR_CLOCK_TEXT];
		int64_t back = 0;
		bool zoned = false;
		ur_clock_iso(times[i], text);
		assert_int_equal(ur_clock_parse_iso(text, &back, &zoned), 0);
		assert_true(zoned);
		assert_int_equal(back / UR_MS_NS, times[i] / UR_MS_NS);
	}
}

static void zones_move_the_instant_and_their_absence_is_told(void **state)
{
	(void)state;
	int64_t utc = 0;
	int64_t east = 0;
	int64_t local = 0;
	bool zoned = false;
	assert_int_equal(ur_clock_parse_iso("2024-05-06T07:08:09Z", &utc, &zoned), 0);
	assert_int_equal(ur_clock_parse_iso("2024-05-06T09:08:09+02:00", &east, &zoned), 0);
	assert_int_equal(utc, east);
	assert_int_equal(ur_clock_parse_iso("2024-05-06 07:08:09.5", &local, &zoned), 0);
	assert_false(zoned);
	assert_int_equal(local, utc + UR_SECOND_NS / 2);
	assert_int_equal(ur_clock_parse_iso("2024-05-06", &local, &zoned), 0);
	assert_int_equal(ur_clock_parse_iso("2024:05:06 07:08:09", &local, &zoned), -EINVAL);
	assert_int_equal(ur_clock_parse_iso("2024-05-06T07:08:09+99:00", &local, &zoned), -EINVAL);
	assert_int_equal(ur_clock_parse_iso("2024-05-06T07:08:09Zx", &local, &zoned), -EINVAL);
	assert_int_equal(ur_clock_parse_iso("", &local, &zoned), -EINVAL);
}

static void the_seam_steps_the_wall_clock_and_no_other(void **state)
{
	(void)state;
	const int64_t steady = ur_clock_steady_ns();
	const int64_t wall = ur_clock_wall_ns();
	ur_clock_step(-3600 * UR_SECOND_NS);
	assert_true(ur_clock_wall_ns() < wall - 3000 * UR_SECOND_NS);
	assert_true(ur_clock_steady_ns() >= steady);
	assert_true(ur_clock_steady_ns() < steady + 600 * UR_SECOND_NS);
	ur_clock_step(3600 * UR_SECOND_NS);
	assert_true(ur_clock_wall_ns() >= wall);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(civil_dates_agree_with_the_c_library_on_every_day),
		cmocka_unit_test(dates_that_do_not_exist_are_refused),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(zones_move_the_instant_and_their_absence_is_told),
		cmocka_unit_test(the_seam_steps_the_wall_clock_and_no_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
