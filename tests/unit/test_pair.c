/* pair - which names and times belong together. */
#include "engine/base/clock.h"
#include "engine/media/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NFC_A "\xc3\xa4"      // ä, one letter
#define NFD_A "a\xcc\x88"     // ä, a letter and two dots
#define NFC_GA "\xe3\x81\x8c" // が
#define NFD_GA "\xe3\x81\x8b\xe3\x82\x99"
#define NFC_HAN "\xed\x95\x9c" // 한
#define NFD_HAN "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"

static void names_that_are_composed_in_other_ways_are_one_name(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{NFC_A ".jpg", NFD_A ".jpg.xmp"}, {NFD_A ".JPG", NFC_A ".jpg.xmp"},
		{NFC_GA ".heic", NFD_GA ".heic.xmp"}, {NFC_HAN "1.jpg", NFD_HAN "1.xmp"},
		{"e\xcc\x81t\xc3\xa9.jpg", "\xc3\xa9te\xcc\x81.jpg.xmp"}, // either, mixed
	};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		assert_int_not_equal(ur_pair_sidecar(pairs[i][0], pairs[i][1]), 0);
		assert_int_equal(ur_pair_stem_compare(pairs[i][0], pairs[i][1]), 0);
		assert_int_equal(ur_pair_stem_compare(pairs[i][1], pairs[i][0]), 0);
	}
	assert_int_equal(ur_pair_sidecar(NFC_A ".jpg", "a.jpg.xmp"), 0);
	assert_int_equal(ur_pair_sidecar(NFC_GA ".jpg", "\xe3\x81\x8b.jpg.xmp"), 0);
	assert_int_equal(ur_pair_sidecar("\xff\xcc.jpg", "\xff\xcd.jpg.xmp"), 0); // no UTF-8
	assert_int_equal(ur_pair_sidecar("\xff\xcc.jpg", "\xff\xcc.jpg.xmp"), 1);
}

static void a_motion_photo_and_its_movie_are_one_by_their_names(void **state)
{
	(void)state;
	static const char *const group[] = {"PXL_1.MP.jpg", "PXL_1.MP", "PXL_1.MP.jpg.xmp",
		"PXL_1.MP.xmp", "pxl_1.mp.JPG", "PXL_1.MP.dng"};
	for (size_t i = 0; i < sizeof group / sizeof *group; i++) {
		assert_int_equal(ur_pair_stem_compare(group[0], group[i]), 0);
	}
	assert_true(ur_pair_motion("PXL_1.MP.jpg", "PXL_1.MP"));
	assert_true(ur_pair_motion("PXL_1.mp.JPG", "pxl_1.MP"));
	assert_true(ur_pair_motion(NFC_A ".MP.jpg", NFD_A ".MP"));
	assert_false(ur_pair_motion("PXL_1.jpg", "PXL_1.MP"));
	assert_false(ur_pair_motion("PXL_1.MP.jpg", "PXL_2.MP"));
	assert_false(ur_pair_motion("PXL_1.MP.jpg", "PXL_1.MP4"));
	assert_false(ur_pair_motion("PXL_1.MP", "PXL_1.MP"));
	assert_int_equal(ur_pair_stem(".MP"), 3);
	assert_int_equal(ur_pair_stem(".MP.jpg"), 3);
	assert_int_equal(ur_pair_stem("a.mp4"), 1);
	assert_int_equal(ur_pair_stem("a.lamp.jpg"), 6);
}

static enum ur_spelling spelled(const char *media, const char *sidecar)
{
	enum ur_spelling spelling = UR_SPELLING_OTHER;
	(void)ur_pair_sidecar_spelled(media, sidecar, &spelling);
	return spelling;
}

static void the_nearest_spelling_is_known_from_the_others(void **state)
{
	(void)state;
	assert_int_equal(spelled("a.jpg", "a.jpg.xmp"), UR_SPELLING_EXACT);
	assert_int_equal(spelled("a.jpg", "a.XMP"), UR_SPELLING_EXACT);
	assert_int_equal(spelled("a.jpg", "A.JPG.xmp"), UR_SPELLING_FOLDED);
	assert_int_equal(spelled("a.jpg", "a.JPG.xmp"), UR_SPELLING_FOLDED);
	assert_int_equal(spelled(NFC_A ".jpg", NFD_A ".jpg.xmp"), UR_SPELLING_COMPOSED);
	assert_int_equal(spelled(NFC_A ".jpg", NFD_A ".JPG.xmp"), UR_SPELLING_FOLDED);
	assert_int_equal(spelled("a.jpg", "b.jpg.xmp"), UR_SPELLING_OTHER);
	assert_int_equal(ur_pair_stem_spelling("IMG.HEIC", "IMG.mov"), UR_SPELLING_EXACT);
	assert_int_equal(ur_pair_stem_spelling("IMG.HEIC", "img.mov"), UR_SPELLING_FOLDED);
	assert_int_equal(ur_pair_stem_spelling(NFC_A ".HEIC", NFD_A ".mov"), UR_SPELLING_COMPOSED);
	assert_int_equal(ur_pair_stem_spelling("IMG.HEIC", "IMG_1.mov"), UR_SPELLING_OTHER);
}

static void stems_have_one_order_however_they_are_composed(void **state)
{
	(void)state;
	static const char *const names[] = {"a.jpg", "A.png", NFC_A ".jpg", NFD_A ".png", "z.jpg",
		NFC_GA ".jpg", NFD_GA ".xmp", NFC_HAN ".jpg", NFD_HAN ".png", "\xff.jpg",
		"\xcc\x88.jpg", NFC_A NFD_A ".jpg", "\xe2\x84\xab.jpg", "\xc3\x85.jpg"};
	const size_t count = sizeof names / sizeof *names;
	for (size_t a = 0; a < count; a++) {
		for (size_t b = 0; b < count; b++) {
			const int ab = ur_pair_stem_compare(names[a], names[b]);
			const int ba = ur_pair_stem_compare(names[b], names[a]);
			assert_true((ab < 0) == (ba > 0) && (ab == 0) == (ba == 0));
			for (size_t c = 0; c < count && ab <= 0; c++) {
				if (ur_pair_stem_compare(names[b], names[c]) <= 0) {
					assert_true(ur_pair_stem_compare(names[a], names[c]) <= 0);
				}
			}
		}
	}
}

static void the_full_name_is_the_first_choice_and_the_stem_the_second(void **state)
{
	(void)state;
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "IMG.JPG.xmp"), 1);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "img.jpg.XMP"), 1);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "IMG.xmp"), 2);
	assert_int_equal(ur_pair_sidecar("IMG.arw", "IMG.xmp"), 2);
	assert_int_equal(ur_pair_sidecar("s7 [1].jpg", "s7 [1].jpg.xmp"), 1);
	assert_int_equal(ur_pair_sidecar("a.b.jpg", "a.b.xmp"), 2);
}

static void other_names_are_no_sidecars(void **state)
{
	(void)state;
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "IMG.JPG"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "IMG.PNG.xmp"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "IMG.JPG.xmpx"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "IMG_1.xmp"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", "xmp"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.JPG", ".xmp"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.xmp", "IMG.xmp.xmp"), 0);
	assert_int_equal(ur_pair_sidecar("IMG.xmp", "IMG.xmp"), 0);
	assert_int_equal(ur_pair_sidecar("", ".xmp"), 0);
}

static void a_stem_ends_at_the_last_dot(void **state)
{
	(void)state;
	assert_int_equal(ur_pair_stem("IMG_1.HEIC"), 5);
	assert_int_equal(ur_pair_stem("a.b.jpg"), 3);
	assert_int_equal(ur_pair_stem("noext"), 5);
	assert_int_equal(ur_pair_stem(".jpg"), 4);
	assert_int_equal(ur_pair_stem(""), 0);
	assert_int_equal(ur_pair_stem("IMG_1.JPG.xmp"), 5);
	assert_int_equal(ur_pair_stem("IMG_1.xmp"), 5);
	assert_int_equal(ur_pair_stem("2024.05.xmp"), 7);
	assert_int_equal(ur_pair_stem(".jpg.xmp"), 4);
}

static void a_group_has_one_stem_in_any_case(void **state)
{
	(void)state;
	assert_int_equal(ur_pair_stem_compare("IMG_1.HEIC", "img_1.mov"), 0);
	assert_int_equal(ur_pair_stem_compare("IMG_1.HEIC.xmp", "IMG_1.xmp"), 0);
	assert_true(ur_pair_stem_compare("IMG_1.HEIC", "IMG_10.HEIC") < 0);
	assert_true(ur_pair_stem_compare("IMG_10.HEIC", "IMG_1.HEIC") > 0);
	assert_true(ur_pair_stem_compare("b.jpg", "A.jpg") > 0);
}

static struct ur_meta taken_at(const char *iso, const char *id)
{
	struct ur_meta meta = {.time_from = ""};
	if (iso != NULL) {
		assert_int_equal(ur_clock_parse_iso(iso, &meta.time_ns, &meta.zoned), 0);
		meta.has_time = true;
	}
	(void)snprintf(meta.content_id, sizeof meta.content_id, "%s", id);
	return meta;
}

static bool live(
	const char *still_at, const char *still_id, const char *movie_at, const char *movie_id)
{
	const struct ur_meta still = taken_at(still_at, still_id);
	const struct ur_meta movie = taken_at(movie_at, movie_id);
	const char *why = NULL;
	const bool yes = ur_pair_live(&still, &movie, &why);
	assert_non_null(why);
	return yes;
}

static void content_ids_decide_where_both_have_one(void **state)
{
	(void)state;
	assert_true(live(NULL, "A-1", NULL, "A-1"));
	assert_true(live("2024-05-06T07:08:09", "A-1", "2020-01-01T00:00:00Z", "a-1"));
	assert_false(live("2024-05-06T07:08:09", "A-1", "2024-05-06T07:08:09", "B-2"));
}

static void one_name_on_two_days_does_not_marry(void **state)
{
	(void)state;
	assert_true(live("2024-05-06T07:08:09", "", "2024-05-06T07:08:12", ""));
	assert_false(live("2024-05-06T07:08:09", "", "2024-05-06T07:08:13", ""));
	assert_false(live("2024-05-06T07:08:09", "", "2024-05-07T07:08:09", ""));
	assert_false(live("2024-05-06T07:08:09Z", "", "2024-05-06T08:08:09Z", ""));
	assert_true(live("2024-05-06T07:08:09+02:00", "A", "2024-05-06T05:08:10Z", ""));
	assert_false(live(NULL, "", "2024-05-06T07:08:09", ""));
	assert_false(live("2024-05-06T07:08:09", "A", NULL, ""));
}

static void a_local_time_meets_utc_in_any_zone_there_is(void **state)
{
	(void)state;
	assert_true(live("2024-05-06T07:08:09", "", "2024-05-06T05:08:10Z", ""));
	assert_true(live("2024-05-06T07:08:09", "", "2024-05-06T01:23:08Z", ""));
	assert_true(live("2024-05-06T07:08:09", "", "2024-05-05T17:08:09Z", ""));
	assert_true(live("2024-05-06T07:08:09", "", "2024-05-06T21:08:12Z", ""));
	assert_false(live("2024-05-06T07:08:09", "", "2024-05-06T21:08:13Z", ""));
	assert_false(live("2024-05-06T07:08:09", "", "2024-05-06T05:13:09Z", ""));
	assert_false(live("2024-05-06T07:08:09", "", "2024-05-07T07:08:09Z", ""));
}

static void times_at_the_ends_of_the_scale_do_not_overflow(void **state)
{
	(void)state;
	struct ur_meta still = {.has_time = true, .time_ns = INT64_MIN};
	struct ur_meta movie = {.has_time = true, .time_ns = INT64_MAX};
	const char *why = NULL;
	assert_false(ur_pair_live(&still, &movie, &why));
	movie.zoned = true;
	assert_false(ur_pair_live(&still, &movie, &why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_are_composed_in_other_ways_are_one_name),
		cmocka_unit_test(a_motion_photo_and_its_movie_are_one_by_their_names),
		cmocka_unit_test(the_nearest_spelling_is_known_from_the_others),
		cmocka_unit_test(stems_have_one_order_however_they_are_composed),
		cmocka_unit_test(the_full_name_is_the_first_choice_and_the_stem_the_second),
		cmocka_unit_test(other_names_are_no_sidecars),
		cmocka_unit_test(a_stem_ends_at_the_last_dot),
		cmocka_unit_test(a_group_has_one_stem_in_any_case),
		cmocka_unit_test(content_ids_decide_where_both_have_one),
		cmocka_unit_test(one_name_on_two_days_does_not_marry),
		cmocka_unit_test(a_local_time_meets_utc_in_any_zone_there_is),
		cmocka_unit_test(times_at_the_ends_of_the_scale_do_not_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
