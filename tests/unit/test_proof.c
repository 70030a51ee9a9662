/* Places and times: what may be the very file, and how long the server has had it. */
#include "engine/net/proof.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID "173cede3-5831-4ec2-aad1-bc30378762a5"

static void the_servers_own_file_is_known_by_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *original;
		const char *folder;
		const char *name;
		bool same;
	} places[] = {
		{"/data/upload/u/17/3c/" UUID ".mp4", "3c", UUID ".mp4", true},
		{"/data/upload/u/17/3c/" UUID ".mp4", "renamed share", UUID ".mp4", true},
		{"/data/upload/u/17/3c/" UUID ".mp4", "3c", UUID ".MP4", true},
		{"/data/library/admin/2024/2024-05-06/IMG_1.jpg", "2024-05-06", "IMG_1.jpg", true},
		{"/data/library/admin/2024/2024-05-06/IMG_1.jpg", "2024-05-06", "img_1.JPG", true},
		{"2024-05-06//IMG_1.jpg", "2024-05-06", "IMG_1.jpg", true},
		{"/data/upload/u/17/3c/" UUID ".mp4", "3c", "clip.mp4", false},
		{"/data/library/admin/2024/2024-05-06/IMG_1.jpg", "2024-05-07", "IMG_1.jpg", false},
		{"/data/library/admin/2024/2024-05-06/IMG_1.jpg", "card", "IMG_1.jpg", false},
		{"/data/library/admin/2024/2024-05-06/IMG_1.jpg", "2024-05-06", "MG_1.jpg", false},
		{"IMG_1.jpg", "", "IMG_1.jpg", false},
		{"", "3c", "a.jpg", false},
		{"/", "", "", false},
	};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (ur_proof_is_same_place(places[i].original, places[i].folder, places[i].name) !=
			places[i].same) {
			fail_msg("%s in %s against %s", places[i].name, places[i].folder,
				places[i].original);
		}
	}
}

static void immichs_own_layout_is_known_by_names_that_repeat_each_other(void **state)
{
	(void)state;
	assert_true(ur_proof_is_own_layout("17", "3c", UUID ".mp4"));
	assert_true(ur_proof_is_own_layout("17", "3C", UUID));
	assert_false(ur_proof_is_own_layout("18", "3c", UUID ".mp4"));
	assert_false(ur_proof_is_own_layout("17", "3d", UUID ".mp4"));
	assert_false(ur_proof_is_own_layout("2017", "3c", UUID ".mp4"));
	assert_false(ur_proof_is_own_layout("17", "3c", "173c.mp4"));
	assert_false(ur_proof_is_own_layout("17", "3c", UUID "x.mp4"));
	assert_false(ur_proof_is_own_layout("", "", ""));
}

static void the_servers_clock_shortens_a_wait_only_when_it_is_plausible(void **state)
{
	(void)state;
	const int64_t s = UR_SECOND_NS;
	const int64_t now = 1800000000 * s;

	assert_int_equal(ur_proof_server_age_ns(now, now - 90 * s, now), 90 * s);
	assert_int_equal(ur_proof_server_age_ns(now - 119 * s, now - 220 * s, now), 101 * s);
	assert_int_equal(ur_proof_server_age_ns(now, now + s, now), 0); // from the future
	assert_int_equal(
		ur_proof_server_age_ns(now + 130 * s, now - 9 * s, now), 0); // its clock is off
	assert_int_equal(ur_proof_server_age_ns(now - 130 * s, now - 900 * s, now), 0); // or ours
	/* A proxy's clock is ahead: ours says less. */
	assert_int_equal(ur_proof_server_age_ns(now + 100 * s, now - s, now), s);
	assert_int_equal(ur_proof_server_age_ns(now + 100 * s, now + 50 * s, now), 0);
	assert_int_equal(ur_proof_server_age_ns(now, 0, now), 0); // it did not say
	assert_int_equal(ur_proof_server_age_ns(0, now - 90 * s, now), 0);
	assert_int_equal(ur_proof_server_age_ns(now, 1000 * s, now), 0); // older than Immich
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_servers_own_file_is_known_by_its_place),
		cmocka_unit_test(immichs_own_layout_is_known_by_names_that_repeat_each_other),
		cmocka_unit_test(the_servers_clock_shortens_a_wait_only_when_it_is_plausible),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
