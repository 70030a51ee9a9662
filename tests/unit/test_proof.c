/* Only Immich's own word, or bytes that were counted, say anything about an asset. */
#include "engine/net/proof.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 1000

struct row {
	struct ur_reply reply;
	enum ur_meaning asset;
	enum ur_meaning bytes; // of a Range for the last byte
	enum ur_meaning whole; // of --confirm=bytes
};

#define OWN .own = true
#define NO_WORD UR_MEANS_STRANGER, UR_MEANS_STRANGER, UR_MEANS_STRANGER
#define LATER UR_MEANS_LATER, UR_MEANS_LATER, UR_MEANS_LATER
#define FORBIDDEN UR_MEANS_FORBIDDEN, UR_MEANS_FORBIDDEN, UR_MEANS_FORBIDDEN

static const struct row rows[] = {
	/* The line, and what may pass. */
	{{.result = -ECONNREFUSED}, LATER},
	{{.result = -ECONNRESET, .status = 206, .got = 1, .total = SIZE}, LATER},
	{{.result = -ETIMEDOUT, .status = 200}, LATER},
	{{.result = -EPROTO}, LATER},
	{{.status = 408, OWN}, LATER},
	{{.status = 429, OWN}, LATER},
	{{.status = 429}, LATER},
	{{.status = 502}, LATER},
	{{.status = 503}, LATER},
	{{.status = 503, OWN}, LATER},
	{{.status = 504}, LATER},
	/* What stands before Immich. */
	{{.status = 301}, NO_WORD},
	{{.status = 302}, NO_WORD},
	{{.status = 302, OWN}, NO_WORD},
	{{.status = 307}, NO_WORD},
	{{.status = 401}, NO_WORD},
	{{.status = 403}, NO_WORD},
	{{.status = 404}, NO_WORD},
	{{.status = 400}, NO_WORD},
	{{.status = 410}, NO_WORD},
	{{.status = 451}, NO_WORD},
	{{.status = 500}, NO_WORD},
	{{.status = 530}, NO_WORD},
	{{.status = 204}, NO_WORD},
	/* A page with 200. */
	{{.status = 200, .got = 77}, NO_WORD},
	{{.status = 200}, NO_WORD},
	/* Immich: the key. */
	{{.status = 401, OWN}, FORBIDDEN},
	{{.status = 403, OWN}, FORBIDDEN},
	/* Immich: nothing of that name, nothing on the disk. */
	{{.status = 400, OWN}, UR_MEANS_GONE, UR_MEANS_NO_BYTES, UR_MEANS_NO_BYTES},
	{{.status = 404, OWN}, UR_MEANS_GONE, UR_MEANS_NO_BYTES, UR_MEANS_NO_BYTES},
	{{.status = 500, OWN}, UR_MEANS_LATER, UR_MEANS_NO_BYTES, UR_MEANS_NO_BYTES},
	{{.status = 416, .total = -1}, NO_WORD},
	{{.status = 416, .total = SIZE}, NO_WORD},
	{{.status = 416, .total = SIZE / 2}, UR_MEANS_STRANGER, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	{{.status = 416, .total = -1, OWN}, UR_MEANS_LATER, UR_MEANS_NO_BYTES, UR_MEANS_NO_BYTES},
	/* An asset that can be read. */
	{{.status = 200, .readable = true, .got = 600}, UR_MEANS_YES, UR_MEANS_STRANGER,
		UR_MEANS_STRANGER},
	{{.status = 200, .readable = true, OWN, .got = 600}, UR_MEANS_YES, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	/* The last byte. */
	{{.status = 206, .got = 1, .total = SIZE}, UR_MEANS_STRANGER, UR_MEANS_YES,
		UR_MEANS_STRANGER},
	{{.status = 206, .got = 1, .total = SIZE, OWN}, UR_MEANS_LATER, UR_MEANS_YES,
		UR_MEANS_NO_BYTES},
	{{.status = 206, .got = 0, .total = SIZE, OWN}, UR_MEANS_LATER, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	{{.status = 206, .got = 2, .total = SIZE, OWN}, UR_MEANS_LATER, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	{{.status = 206, .got = 1, .total = SIZE - 1, OWN}, UR_MEANS_LATER, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	{{.status = 206, .got = 1, .total = SIZE - 1}, NO_WORD},
	{{.status = 206, .got = 1, .total = -1}, NO_WORD},
	{{.status = 206, .got = 1, .total = 0}, NO_WORD},
	/* Range was dropped, or all was asked for: the body is counted. */
	{{.status = 200, .got = SIZE}, UR_MEANS_STRANGER, UR_MEANS_YES, UR_MEANS_YES},
	{{.status = 200, .got = SIZE, OWN}, UR_MEANS_STRANGER, UR_MEANS_YES, UR_MEANS_YES},
	{{.status = 200, .got = SIZE - 1, OWN}, UR_MEANS_STRANGER, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	{{.status = 200, .got = SIZE + 1}, NO_WORD},
	{{.status = 200, .got = SIZE, .other = true, OWN}, UR_MEANS_STRANGER, UR_MEANS_OTHER,
		UR_MEANS_OTHER},
	{{.status = 200, .got = SIZE - 1, .other = true, OWN}, UR_MEANS_STRANGER, UR_MEANS_NO_BYTES,
		UR_MEANS_NO_BYTES},
	{{.status = 200, .got = SIZE, .other = true}, NO_WORD},
	{{.status = 200, .got = 0, OWN}, UR_MEANS_STRANGER, UR_MEANS_NO_BYTES, UR_MEANS_NO_BYTES},
};

static void every_answer_means_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		const bool asset = ur_proof_of_asset(&row->reply) == row->asset;
		const bool bytes = ur_proof_of_bytes(&row->reply, SIZE, false) == row->bytes;
		const bool whole = ur_proof_of_bytes(&row->reply, SIZE, true) == row->whole;
		if (!asset || !bytes || !whole) {
			fail_msg("row %zu: status %d: asset %d, bytes %d, whole %d", i,
				row->reply.status, asset, bytes, whole);
		}
	}
}

static void of_an_unknown_size_only_immich_itself_is_believed(void **state)
{
	(void)state;
	struct ur_reply part = {.status = 206, .got = 1, .total = 7};
	struct ur_reply all = {.status = 200, .got = 7};
	struct ur_reply nothing = {.status = 200, .got = 0};

	assert_int_equal(ur_proof_of_bytes(&part, -1, false), UR_MEANS_STRANGER);
	assert_int_equal(ur_proof_of_bytes(&all, -1, false), UR_MEANS_STRANGER);
	assert_int_equal(ur_proof_of_bytes(&nothing, -1, false), UR_MEANS_STRANGER);
	part.own = all.own = nothing.own = true;
	assert_int_equal(ur_proof_of_bytes(&part, -1, false), UR_MEANS_YES);
	assert_int_equal(ur_proof_of_bytes(&all, -1, false), UR_MEANS_YES);
	assert_int_equal(ur_proof_of_bytes(&nothing, -1, false), UR_MEANS_NO_BYTES);
}

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
		cmocka_unit_test(every_answer_means_what_the_table_says),
		cmocka_unit_test(of_an_unknown_size_only_immich_itself_is_believed),
		cmocka_unit_test(the_servers_own_file_is_known_by_its_place),
		cmocka_unit_test(immichs_own_layout_is_known_by_names_that_repeat_each_other),
		cmocka_unit_test(the_servers_clock_shortens_a_wait_only_when_it_is_plausible),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
