/* when - dates that names carry, and rows of digits that only look like them. */
#include "engine/base/clock.h"
#include "engine/media/when.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int64_t ns_of(const char *iso)
{
	int64_t ns = 0;
	bool zoned = false;
	assert_int_equal(ur_clock_parse_iso(iso, &ns, &zoned), 0);
	return ns;
}

static void assert_when(const char *name, const char *iso, bool utc)
{
	int64_t ns = 0;
	bool got_utc = !utc;
	assert_true(ur_when_of_name(name, ns_of("2025-01-01T00:00:00Z"), &ns, &got_utc));
	assert_int_equal(ns, ns_of(iso));
	assert_int_equal(got_utc, utc);
}

static void assert_never(const char *name)
{
	int64_t ns = 42;
	bool utc = true;
	assert_false(ur_when_of_name(name, ns_of("2025-01-01T00:00:00Z"), &ns, &utc));
	assert_int_equal(ns, 42);
	assert_true(utc);
}

static void cameras_and_messengers_write_dates_into_names(void **state)
{
	(void)state;
	assert_when("20240506_070809.jpg", "2024-05-06T07:08:09", false);
	assert_when("IMG_20240506_070809.jpg", "2024-05-06T07:08:09", false);
	assert_when("VID_20240506_070809.mp4", "2024-05-06T07:08:09", false);
	assert_when("20240506_070809_001.jpg", "2024-05-06T07:08:09", false);
	assert_when("20240506_070809(0).jpg", "2024-05-06T07:08:09", false);
	assert_when("IMG-20240506-WA0001.jpg", "2024-05-06T00:00:00", false);
	assert_when("2024-05-06 07.08.09.jpg", "2024-05-06T07:08:09", false);
	assert_when("Screenshot_20240506-070809.png", "2024-05-06T07:08:09", false);
	assert_when("Screenshot_2024-05-06-07-08-09.png", "2024-05-06T07:08:09", false);
	assert_when("Screenshot 2024-05-06 at 07.08.09.png", "2024-05-06T07:08:09", false);
	assert_when("signal-2024-05-06-070809.jpg", "2024-05-06T07:08:09", false);
	assert_when("IMG_20240506_070809123.jpg", "2024-05-06T07:08:09.123", false);
}

static void a_pixel_writes_utc(void **state)
{
	(void)state;
	assert_when("PXL_20240506_050809123.jpg", "2024-05-06T05:08:09.123", true);
	assert_when("PXL_20240506_050809123.MP.jpg", "2024-05-06T05:08:09.123", true);
	assert_when("PXL_20240506_050809123~2.jpg", "2024-05-06T05:08:09.123", true);
}

static void a_date_must_be_real(void **state)
{
	(void)state;
	assert_never("IMG_20240230_070809.jpg");
	assert_never("IMG_20241306_070809.jpg");
	assert_never("IMG_20240506_250809.jpg");
	assert_never("IMG_20240506_076009.jpg");
	assert_never("IMG_19791231_235959.jpg");
	assert_when("IMG_19800101_000000.jpg", "1980-01-01T00:00:00", false);
	assert_when("IMG_20240229_000000.jpg", "2024-02-29T00:00:00", false);
	assert_never("IMG_20230229_000000.jpg");
}

static void a_date_is_not_in_the_future_but_may_be_tomorrow_elsewhere(void **state)
{
	(void)state;
	assert_when("IMG_20250101_120000.jpg", "2025-01-01T12:00:00", false);
	assert_never("IMG_20250103_120000.jpg");
	assert_never("IMG_20990101_120000.jpg");
}

static void rows_of_digits_are_left_alone(void **state)
{
	(void)state;
	assert_never("");
	assert_never("IMG_0001.jpg");
	assert_never("20240506.jpg");
	assert_never("20240506070809.jpg");
	assert_never("120240506_070809.jpg");
	assert_never("IMG_20240506_0708091.jpg");
	assert_never("IMG_20240506_07080912345.jpg");
	assert_never("1714972089000.jpg");
	assert_never("2024-0506_070809.jpg");
	assert_never("2024-05-06.jpg");
	assert_never("20240506_07");
}

static void a_false_start_does_not_hide_the_date(void **state)
{
	(void)state;
	assert_when("0001_20240506_070809.jpg", "2024-05-06T07:08:09", false);
	assert_when("20249999_20240506_070809.jpg", "2024-05-06T07:08:09", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cameras_and_messengers_write_dates_into_names),
		cmocka_unit_test(a_pixel_writes_utc),
		cmocka_unit_test(a_date_must_be_real),
		cmocka_unit_test(a_date_is_not_in_the_future_but_may_be_tomorrow_elsewhere),
		cmocka_unit_test(rows_of_digits_are_left_alone),
		cmocka_unit_test(a_false_start_does_not_hide_the_date),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
