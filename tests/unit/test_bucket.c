/*
 * bucket - against clocks of our own: what may go, how much is saved up, when the rate changes.
 */
#include "engine/base/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define NOON (INT64_C(12) * 3600 * SECOND) // of the first day, in UTC

static struct ur_schedule schedule_of(const char *text)
{
	struct ur_schedule schedule;
	struct ur_err err;
	assert_int_equal(ur_schedule_parse(text, &schedule, &err), 0);
	return schedule;
}

static int in_utc(void **state)
{
	(void)state;
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	return 0;
}

static void without_a_limit_everything_may_go(void **state)
{
	const struct ur_schedule off = schedule_of("off");
	struct ur_bucket bucket;
	(void)state;
	ur_bucket_init(&bucket, &off, (struct ur_bucket_time){NOON, 5});
	assert_false(ur_bucket_is_limited(&bucket));
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), SIZE_MAX);
	ur_bucket_spend(&bucket, SIZE_MAX);
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), SIZE_MAX);
}

static void what_comes_together_is_the_rate(void **state)
{
	const struct ur_schedule schedule = schedule_of("1000K");
	struct ur_bucket bucket;
	uint64_t went = 0;
	(void)state;
	ur_bucket_init(&bucket, &schedule, (struct ur_bucket_time){NOON, 0});
	assert_true(ur_bucket_is_limited(&bucket));
	assert_int_equal(ur_bucket_allows(&bucket, 1), 0);
	for (int64_t t = MS; t <= SECOND; t += MS) {
		ur_bucket_look(&bucket, (struct ur_bucket_time){NOON + t, t});
		const size_t n = ur_bucket_allows(&bucket, 700);
		ur_bucket_spend(&bucket, n);
		went += n;
		assert_true(went * SECOND <= UINT64_C(1024000) * (uint64_t)t);
	}
	assert_int_equal(went, 700 * 1000); // it asked for less than there was
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), 102400 - 700);
}

static void only_a_tenth_of_a_second_is_saved_up(void **state)
{
	const struct ur_schedule schedule = schedule_of("1000K");
	struct ur_bucket bucket;
	(void)state;
	ur_bucket_init(&bucket, &schedule, (struct ur_bucket_time){NOON, 0});
	ur_bucket_look(&bucket, (struct ur_bucket_time){NOON + 50 * MS, 50 * MS});
	assert_in_range(ur_bucket_allows(&bucket, SIZE_MAX), 51199, 51200);
	ur_bucket_look(&bucket, (struct ur_bucket_time){NOON + 60 * SECOND, 60 * SECOND});
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), 102400);
}

static void the_schedule_changes_the_rate_and_begins_anew(void **state)
{
	const struct ur_schedule schedule = schedule_of("00:00,1000K 12:00,off 13:00,10K");
	struct ur_bucket bucket;
	(void)state;
	ur_bucket_init(&bucket, &schedule, (struct ur_bucket_time){NOON - SECOND, 0});
	ur_bucket_look(&bucket, (struct ur_bucket_time){NOON - 1, SECOND - 1});
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), 102400);
	ur_bucket_look(&bucket, (struct ur_bucket_time){NOON, SECOND});
	assert_false(ur_bucket_is_limited(&bucket));
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), SIZE_MAX);
	const int64_t one = 3600 * SECOND;
	ur_bucket_look(&bucket, (struct ur_bucket_time){NOON + one, SECOND + one});
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), 0);
	ur_bucket_look(&bucket, (struct ur_bucket_time){NOON + one + SECOND, 2 * SECOND + one});
	assert_int_equal(ur_bucket_allows(&bucket, SIZE_MAX), 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_limit_everything_may_go),
		cmocka_unit_test(what_comes_together_is_the_rate),
		cmocka_unit_test(only_a_tenth_of_a_second_is_saved_up),
		cmocka_unit_test(the_schedule_changes_the_rate_and_begins_anew),
	};
	return cmocka_run_group_tests(tests, in_utc, NULL);
}
