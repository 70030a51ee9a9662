/* test_schedule - what is understood, what is refused with which words, and a day on the clock. */
#include "engine/base/schedule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/base/clock.h"

#define MIB (UINT64_C(1) << 20)

static struct ur_schedule schedule_of(const char *text)
{
	struct ur_schedule schedule;
	struct ur_err err = {0};
	if (ur_schedule_parse(text, &schedule, &err) < 0) {
		fail_msg("'%s': %s", text, err.text);
	}
	return schedule;
}

static void live_in(const char *zone)
{
	assert_int_equal(setenv("TZ", zone, 1), 0);
	tzset();
}

static int64_t utc(const char *text)
{
	int64_t ns = 0;
	bool zoned = false;
	assert_int_equal(ur_clock_parse_iso(text, &ns, &zoned), 0);
	assert_true(zoned);
	return ns;
}

static void a_rate_alone_holds_for_ever(void **state)
{
	(void)state;
	const struct ur_schedule schedule = schedule_of(" 2M ");
	int64_t next = 0;

	assert_true(ur_schedule_rate(&schedule, utc("2024-05-06T07:08:09Z"), &next) == 2 * MIB);
	assert_true(next == INT64_MAX);
}

static void off_and_nothing_at_all_mean_no_limit(void **state)
{
	(void)state;
	const struct ur_schedule off = schedule_of("off");
	const struct ur_schedule none = {0};
	int64_t next = 0;

	assert_true(ur_schedule_rate(&off, 0, &next) == 0);
	assert_true(next == INT64_MAX);
	assert_true(ur_schedule_rate(&none, 0, NULL) == 0);
}

static void the_last_entry_of_a_day_holds_over_midnight(void **state)
{
	(void)state;
	live_in("UTC0");
	const struct ur_schedule schedule = schedule_of("23:00,off 08:00,2M 12:30,500K");
	const struct {
		const char *at;
		uint64_t rate;
		const char *next;
	} day[] = {
		{"2024-05-06T00:00:00Z", 0, "2024-05-06T08:00:00Z"},
		{"2024-05-06T07:59:59.999Z", 0, "2024-05-06T08:00:00Z"},
		{"2024-05-06T08:00:00Z", 2 * MIB, "2024-05-06T12:30:00Z"},
		{"2024-05-06T12:30:30Z", 500 * 1024, "2024-05-06T23:00:00Z"},
		{"2024-05-06T23:00:00Z", 0, "2024-05-07T08:00:00Z"},
		{"2024-12-31T23:59:59Z", 0, "2025-01-01T08:00:00Z"},
		{"1969-12-31T22:59:59.5Z", 500 * 1024, "1969-12-31T23:00:00Z"},
	};
	for (size_t i = 0; i < sizeof day / sizeof day[0]; i++) {
		int64_t next = 0;
		assert_true(ur_schedule_rate(&schedule, utc(day[i].at), &next) == day[i].rate);
		assert_true(next == utc(day[i].next));
	}
}

static void times_are_local_times(void **state)
{
	(void)state;
	live_in("JST-9");
	const struct ur_schedule schedule = schedule_of("08:00,2M 23:00,off");
	int64_t next = 0;

	assert_true(
		ur_schedule_rate(&schedule, utc("2024-05-06T08:30:00+09:00"), &next) == 2 * MIB);
	assert_true(next == utc("2024-05-06T23:00:00+09:00"));
}

static void one_entry_with_a_time_holds_all_day(void **state)
{
	(void)state;
	const struct ur_schedule schedule = schedule_of("08:00,1M");
	int64_t next = 0;

	assert_true(ur_schedule_rate(&schedule, utc("2024-05-06T03:00:00Z"), &next) == MIB);
	assert_true(next == INT64_MAX);
}

static void an_hour_that_is_skipped_does_not_hide_its_entry(void **state)
{
	(void)state;
	live_in("CET-1CEST,M3.5.0/2,M10.5.0/3"); // 2024-03-31: 02:00 becomes 03:00
	const struct ur_schedule schedule = schedule_of("02:30,2M 08:00,off");
	int64_t next = 0;

	assert_true(ur_schedule_rate(&schedule, utc("2024-03-31T01:45:00+01:00"), &next) == 0);
	assert_true(next == utc("2024-03-31T03:00:00+02:00"));
	assert_true(ur_schedule_rate(&schedule, next, &next) == 2 * MIB);
	assert_true(next == utc("2024-03-31T08:00:00+02:00"));
}

/** Walks the year from change to change and looks in between, minute by minute in spirit. */
static void between_two_changes_the_rate_stands_still(void **state)
{
	(void)state;
	static const char *const zones[] = {"UTC0", "CET-1CEST,M3.5.0/2,M10.5.0/3",
		"AEST-10AEDT,M10.1.0,M4.1.0/3", "<+0545>-5:45", "LHST-10:30LHDT-11,M10.1.0,M4.1.0"};
	const struct ur_schedule schedule =
		schedule_of("00:00,1M 02:30,2M 02:45,3M 12:00,off 23:59,4M");
	for (size_t zone = 0; zone < sizeof zones / sizeof zones[0]; zone++) {
		live_in(zones[zone]);
		int64_t at = utc("2024-01-01T00:00:00Z");
		int changes = 0;
		while (at < utc("2025-01-01T00:00:00Z")) {
			int64_t next = 0;
			const uint64_t rate = ur_schedule_rate(&schedule, at, &next);
			assert_true(next > at);
			for (int64_t t = at; t < next; t += 7 * 60 * UR_SECOND_NS) {
				assert_true(ur_schedule_rate(&schedule, t, NULL) == rate);
			}
			assert_true(ur_schedule_rate(&schedule, next - 1, NULL) == rate);
			at = next;
			changes++;
		}
		assert_in_range(changes, 5 * 366 - 5, 5 * 366 + 15);
	}
}

static void what_is_wrong_is_said_about_the_entry(void **state)
{
	(void)state;
	const struct {
		const char *text;
		const char *says;
	} examples[] = {
		{"", "a rate is expected"},
		{"   ", "a rate is expected"},
		{"fast", "'fast': the rate is bytes a second"},
		{"0", "'0': the rate is bytes a second"},
		{"-1M", "the rate is bytes a second"},
		{"2M off", "'2M': an entry is a time, a comma and a rate"},
		{"08:00,2M off", "'off': an entry is a time"},
		{"8:00,2M", "'8:00,2M': the time is HH:MM"},
		{"24:00,2M", "the time is HH:MM"},
		{"08:60,2M", "the time is HH:MM"},
		{"08.00,2M", "the time is HH:MM"},
		{"08:00,", "the rate is bytes a second"},
		{"08:00,2M 08:00,off", "'08:00,off': this time comes twice"},
		{"08:00,2MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", "too long"},
		{"\033[31m", "'\\x1b[31m': the rate"},
	};
	for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
		struct ur_schedule schedule = {.count = 99};
		struct ur_err err = {0};
		assert_int_equal(ur_schedule_parse(examples[i].text, &schedule, &err), -EINVAL);
		if (strstr(err.text, examples[i].says) == NULL) {
			fail_msg("'%s' gives: %s", examples[i].text, err.text);
		}
		assert_int_equal(err.fault, UR_FAULT_SETUP);
		assert_int_equal(schedule.count, 99);
	}
}

static void a_schedule_has_at_most_24_entries(void **state)
{
	(void)state;
	char text[32 * 12] = "";
	for (int hour = 0; hour < 24; hour++) {
		char entry[32];
		(void)snprintf(entry, sizeof entry, "%02d:00,%dK ", hour, hour + 1);
		strcat(text, entry);
	}
	assert_int_equal(schedule_of(text).count, 24);
	strcat(text, "23:30,1M");
	struct ur_schedule schedule;
	struct ur_err err = {0};
	assert_int_equal(ur_schedule_parse(text, &schedule, &err), -EINVAL);
	assert_non_null(strstr(err.text, "at most 24"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_alone_holds_for_ever),
		cmocka_unit_test(off_and_nothing_at_all_mean_no_limit),
		cmocka_unit_test(the_last_entry_of_a_day_holds_over_midnight),
		cmocka_unit_test(times_are_local_times),
		cmocka_unit_test(one_entry_with_a_time_holds_all_day),
		cmocka_unit_test(an_hour_that_is_skipped_does_not_hide_its_entry),
		cmocka_unit_test(between_two_changes_the_rate_stands_still),
		cmocka_unit_test(what_is_wrong_is_said_about_the_entry),
		cmocka_unit_test(a_schedule_has_at_most_24_entries),
	};
	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
