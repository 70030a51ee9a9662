/* settle_stage - into the staging folder, back to its name or beside it, and never nowhere. */
#include "tests/unit/leaving.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

static void stage(struct leaving *l)
{
	assert_int_equal(ur_settle_enter(&l->x), 0);
	assert_int_equal(ur_settle_stage(&l->x), 0);
	assert_true(leaving_is_staged(l, 0));
	assert_false(room_has(l->album, "a.jpg"));
}

static void a_file_goes_aside_and_comes_back_and_no_folder_stays(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	stage(l);
	assert_true(l->files[0].settle_renamed);
	ur_settle_unstage(&l->x);
	assert_true(leaving_is_home(l, 0));
	assert_false(l->x.stuck);
	assert_null(l->x.why);
	leaving_close(l);
	assert_false(room_has(l->root->fd, UR_STAGING));
}

static void what_is_unlinked_is_the_staged_file_and_nothing_else(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	stage(l);
	room_put(l->album, "a.jpg", "a new one");
	l->x.proved_fd = openat(l->x.place->fd, l->x.staged, O_RDONLY | O_CLOEXEC);
	assert_int_equal(ur_settle_unlink(&l->x), 0);
	assert_false(leaving_is_staged(l, 0));
	room_holds(l->album, "a.jpg", "a new one");
	leaving_close(l);
}

static void a_file_that_is_away_is_gone_and_that_is_no_failure_of_the_folder(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	assert_int_equal(unlinkat(l->album, "a.jpg", 0), 0);
	assert_int_equal(ur_settle_enter(&l->x), 0);
	assert_int_equal(ur_settle_stage(&l->x), UR_SETTLE_GONE);
	assert_false(l->files[0].settle_renamed);
	leaving_close(l);
}

static void a_staging_folder_that_somebody_removed_is_made_again(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	assert_int_equal(ur_settle_enter(&l->x), 0);
	assert_int_equal(unlinkat(l->root->fd, UR_STAGING, AT_REMOVEDIR), 0);
	assert_int_equal(ur_settle_stage(&l->x), 0);
	assert_true(leaving_is_staged(l, 0));
	ur_settle_unstage(&l->x);
	assert_true(leaving_is_home(l, 0));
	leaving_close(l);
	assert_false(room_has(l->root->fd, UR_STAGING));
}

static void a_name_that_was_taken_meanwhile_stays_taken_and_it_says_where_it_is(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	stage(l);
	room_put(l->album, "a.jpg", "theirs");
	ur_settle_unstage(&l->x);
	room_holds(l->album, "a.jpg", "theirs");
	room_holds(l->album, "a (2).jpg", leaving_bytes(0));
	assert_false(l->x.stuck);
	assert_non_null(strstr(l->x.why, "/src/album/a (2).jpg'"));
	leaving_close(l);
}

static void without_its_folder_it_goes_into_the_one_that_it_was_staged_in(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	stage(l);
	assert_int_equal(unlinkat(l->album, "a.xmp", 0), 0);
	assert_int_equal(unlinkat(l->root->fd, "album", AT_REMOVEDIR), 0);
	ur_settle_unstage(&l->x);
	room_holds(l->root->fd, "a.jpg", leaving_bytes(0));
	assert_false(l->x.stuck);
	assert_non_null(strstr(l->x.why, "/src/a.jpg'"));
	leaving_close(l);
	assert_int_equal(unlinkat(l->root->fd, "a.jpg", 0), 0);
}

static int no_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)from_dir;
	(void)from;
	(void)to_dir;
	(void)to;
	return -EIO;
}

static void what_cannot_come_back_stands_where_its_row_says_and_is_told(void **state)
{
	struct leaving *l = *state;
	struct ur_staged what;
	leaving_open(l);
	stage(l);
	ur_sys.rename_new = no_rename;
	ur_settle_unstage(&l->x);
	ur_sys.rename_new = l->real.rename_new;
	assert_true(l->x.stuck);
	assert_true(leaving_is_staged(l, 0));
	assert_non_null(strstr(l->x.why, "/src/" UR_STAGING "/"));
	assert_non_null(strstr(l->x.why, l->x.staged));
	ur_staged_read(&l->run.staging_key, l->x.staged, &what);
	assert_true(what.ours); // so that the next run may touch it
	assert_string_equal(what.token, l->files[0].staged);
	leaving_close(l);
	assert_true(leaving_is_staged(l, 0)); // nor does the folder go with it
}

static void all_files_of_a_root_stand_in_one_folder_which_is_locked_until_the_last_has_left(
	void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	struct ur_leaving other = l->x;
	assert_int_equal(ur_settle_enter(&l->x), 0);
	assert_int_equal(ur_settle_enter(&other), 0);
	assert_ptr_equal(l->x.place, other.place);
	assert_int_equal(l->x.place->refs, 3); // and the settle itself, for the next file
	assert_int_equal(ur_staging_open_alone(l->root->fd), -EWOULDBLOCK);
	ur_settle_leave(&other);
	assert_null(other.place);
	ur_settle_leave_last(&l->settle);
	assert_int_equal(ur_staging_open_alone(l->root->fd), -EWOULDBLOCK);
	ur_settle_leave(&l->x);
	assert_null(l->settle.places);
	assert_int_equal(ur_staging_open_alone(l->root->fd), -ENOENT);
	leaving_close(l);
}

static void a_staging_folder_that_is_not_ours_alone_is_left_and_the_sentence_names_it(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	assert_int_equal(mkdirat(l->root->fd, UR_STAGING, 0700), 0);
	assert_int_equal(fchmodat(l->root->fd, UR_STAGING, 0755, 0), 0);
	assert_int_equal(ur_settle_enter(&l->x), UR_STAGING_OPEN);
	assert_null(l->x.place);
	assert_null(l->settle.places);
	assert_non_null(strstr(l->x.why, "/src/" UR_STAGING "', which is open to others"));
	leaving_close(l);
	assert_true(room_has(l->root->fd, UR_STAGING));
	assert_true(leaving_is_home(l, 0));
}

/* ---- whatever the disk is -------------------------------------------------------------------- */

static int no_flag(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)from_dir;
	(void)from;
	(void)to_dir;
	(void)to;
	return -EINVAL;
}

static int no_links(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	(void)flags;
	(void)no_flag(from_dir, from, to_dir, to);
	return -EPERM;
}

static void be_a_disk(int kind)
{
	ur_sys.rename_new = kind > 0 ? no_flag : ur_sys.rename_new;
	ur_sys.linkat = kind > 1 ? no_links : ur_sys.linkat;
}

static void fail_in_turn(struct leaving *l, enum faulty_how how, int kind)
{
	const struct ur_sys before = ur_sys;
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		leaving_again(l);
		const size_t open_before = room_descriptors();
		leaving_open(l);
		be_a_disk(kind);
		faulty_begin(how, n, -EIO);
		int r = ur_settle_enter(&l->x);
		r = r < 0 ? r : ur_settle_stage(&l->x);
		if (r == 0) {
			ur_settle_unstage(&l->x);
		}
		const bool stuck = l->x.stuck;
		leaving_close(l);
		failed = faulty_end();
		ur_sys = before;
		assert_int_equal(room_descriptors(), open_before);
		assert_true(stuck ? leaving_is_staged(l, 0) : leaving_is_home(l, 0));
		assert_true(leaving_is_home(l, 1));
		assert_true(failed || (r == 0 && !stuck));
	}
}

static void whatever_call_fails_it_is_at_its_name_or_stands_where_its_row_says(void **state)
{
	for (int kind = 0; kind < 3; kind++) {
		fail_in_turn(*state, FAULTY_ONE, kind);
		fail_in_turn(*state, FAULTY_FROM, kind);
	}
}

#define LEAVING(test) cmocka_unit_test_setup_teardown(test, leaving_new, leaving_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAVING(a_file_goes_aside_and_comes_back_and_no_folder_stays),
		LEAVING(what_is_unlinked_is_the_staged_file_and_nothing_else),
		LEAVING(a_file_that_is_away_is_gone_and_that_is_no_failure_of_the_folder),
		LEAVING(a_staging_folder_that_somebody_removed_is_made_again),
		LEAVING(a_name_that_was_taken_meanwhile_stays_taken_and_it_says_where_it_is),
		LEAVING(without_its_folder_it_goes_into_the_one_that_it_was_staged_in),
		LEAVING(what_cannot_come_back_stands_where_its_row_says_and_is_told),
		LEAVING(all_files_of_a_root_stand_in_one_folder_which_is_locked_until_the_last_has_left),
		LEAVING(a_staging_folder_that_is_not_ours_alone_is_left_and_the_sentence_names_it),
		LEAVING(whatever_call_fails_it_is_at_its_name_or_stands_where_its_row_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
