/*
 * settle - whole groups, by the thread and the queues that decide uses: what its results say is true,
 * whatever the disk does.
 */
#include "engine/source/leftover.h"
#include "tests/unit/leaving.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the neighbours -------------------------------------------------------------------------- */

struct line {
	struct ur_settle *settle;
	struct ur_settle_wiring wiring;
	struct ur_bell out_bell;
	struct ur_bell bell;
};

static void wire(struct line *line)
{
	*line = (struct line){0};
	assert_int_equal(ur_bell_init(&line->out_bell), 0);
	assert_int_equal(ur_bell_init(&line->bell), 0);
	line->wiring.out_bell = &line->out_bell;
	line->wiring.bell = &line->bell;
	assert_int_equal(ur_queue_new(4, &line->wiring.in), 0);
	assert_int_equal(ur_queue_new(4, &line->wiring.out), 0);
}

static void start(struct leaving *l, struct line *line)
{
	struct ur_err err = {0};
	wire(line);
	assert_int_equal(ur_settle_start(&l->run, &line->wiring, &line->settle, &err), 0);
}

/** As decide does: the item there and back. */
static void settle(struct leaving *l, struct line *line, enum ur_settle_do what)
{
	void *back = NULL;
	l->item.settle_do = what;
	assert_int_equal(ur_queue_push(line->wiring.in, &l->item), 0);
	ur_bell_ring(&line->bell);
	while (ur_queue_pop(line->wiring.out, &back) == -EAGAIN) {
		const struct timespec pause = {0, 100000};
		(void)nanosleep(&pause, NULL);
	}
	assert_ptr_equal(back, &l->item);
}

static void stop(struct line *line)
{
	ur_queue_close(line->wiring.in);
	ur_bell_ring(&line->bell);
	line->settle = ur_settle_free(line->settle);
	line->wiring.in = ur_queue_free(line->wiring.in);
	line->wiring.out = ur_queue_free(line->wiring.out);
	ur_bell_done(&line->out_bell);
	ur_bell_done(&line->bell);
}

static void settle_once(struct leaving *l)
{
	struct line line;
	start(l, &line);
	settle(l, &line, UR_SETTLE_ASIDE);
	assert_false(l->item.stands_aside);
	stop(&line);
	assert_null(l->item.aside);
}

static void both_are_home(const struct leaving *l)
{
	assert_true(leaving_is_home(l, 0));
	assert_true(leaving_is_home(l, 1));
	assert_false(room_has(l->root->fd, UR_STAGING));
}

static void results_are(const struct leaving *l, int first, int second)
{
	assert_int_equal(l->files[0].settle_result, first);
	assert_int_equal(l->files[1].settle_result, second);
	assert_int_equal(l->files[0].settle_why == NULL, first == 0);
	assert_int_equal(l->files[1].settle_why == NULL, second == 0);
}

/* ---- who goes -------------------------------------------------------------------------------- */

static void a_proved_group_goes_and_nothing_of_ours_stays(void **state)
{
	struct leaving *l = *state;
	settle_once(l);
	results_are(l, 0, 0);
	assert_int_equal(room_count(l->album, "."), 0);
	assert_int_equal(room_count(l->root->fd, "."), 1);
	assert_int_equal(atomic_load(&l->dir->removed), 2);
}

static void only_what_is_confirmed_and_has_a_token_goes(void **state)
{
	struct leaving *l = *state;
	for (int i = 0; i < 2; i++) {
		leaving_again(l);
		l->files[1].settle_result = 42;
		l->files[1].state = i == 0 ? UR_DELIVERED : UR_CONFIRMED;
		l->files[1].staged[0] = i == 0 ? '1' : '\0';
		settle_once(l);
		assert_int_equal(l->files[0].settle_result, 0);
		assert_int_equal(l->files[1].settle_result, 42);
		assert_true(leaving_is_home(l, 1));
		assert_false(room_has(l->album, "a.jpg"));
	}
}

static void one_that_somebody_took_away_does_not_keep_the_others(void **state)
{
	struct leaving *l = *state;
	assert_int_equal(unlinkat(l->album, "a.jpg", 0), 0);
	settle_once(l);
	results_are(l, UR_SETTLE_GONE, 0);
	assert_int_equal(atomic_load(&l->dir->removed), 1);
}

/* ---- who stays ------------------------------------------------------------------------------- */

static void one_that_changed_since_it_was_hashed_keeps_its_group(void **state)
{
	struct leaving *l = *state;
	room_put(l->album, "a.jpg", "another picture");
	settle_once(l);
	results_are(l, -ESTALE, -ECANCELED);
	room_holds(l->album, "a.jpg", "another picture");
	assert_true(leaving_is_home(l, 1));
	assert_int_equal(room_count(l->album, "."), 2);
	assert_int_equal(atomic_load(&l->dir->removed), 0);
}

static void a_link_under_its_name_is_another_file(void **state)
{
	struct leaving *l = *state;
	assert_int_equal(renameat(l->album, "a.jpg", l->root->fd, "a.jpg"), 0);
	assert_int_equal(symlinkat("../a.jpg", l->album, "a.jpg"), 0);
	settle_once(l);
	results_are(l, -ESTALE, -ECANCELED);
	room_holds(l->root->fd, "a.jpg", leaving_bytes(0));
	assert_true(room_has(l->album, "a.jpg"));
	assert_int_equal(unlinkat(l->root->fd, "a.jpg", 0), 0);
}

static void one_that_somebody_has_open_for_writing_keeps_its_group(void **state)
{
	struct leaving *l = *state;
	const int writer = openat(l->album, "a.xmp", O_WRONLY | O_CLOEXEC);
	settle_once(l);
	(void)close(writer);
	results_are(l, -ECANCELED, -ETXTBSY);
	both_are_home(l);
}

static void what_the_server_had_before_is_hashed_by_another_way_before_it_goes(void **state)
{
	struct leaving *l = *state;
	l->files[0].there = true;
	settle_once(l);
	results_are(l, 0, 0);
	assert_int_equal(atomic_load(&l->run.bytes_hashed), strlen(leaving_bytes(0)));
	leaving_again(l);
	l->files[0].there = true;
	l->files[0].sha1[0] ^= 1; // a mistake of our own lanes
	settle_once(l);
	results_are(l, -ESTALE, -ECANCELED);
	both_are_home(l);
}

static void what_looks_cut_off_is_not_finished_until_somebody_says_so(void **state)
{
	struct leaving *l = *state;
	l->files[0].ending = UR_ENDING_CUT;
	settle_once(l);
	results_are(l, UR_REMOVAL_WAITS, -ECANCELED);
	both_are_home(l);
	leaving_again(l);
	l->files[0].ending = UR_ENDING_CUT;
	l->files[0].accepted = true;
	settle_once(l);
	results_are(l, 0, 0);
}

static int no_lease(int fd, bool take)
{
	(void)fd;
	return take ? -EACCES : 0;
}

static void without_a_lease_it_waits_until_it_was_quiet_for_as_long_as_was_asked(void **state)
{
	struct leaving *l = *state;
	ur_sys.lease = no_lease;
	l->options.quiet_without_lease_ms = 3600000;
	settle_once(l);
	results_are(l, UR_REMOVAL_WAITS, UR_REMOVAL_WAITS);
	both_are_home(l);
	leaving_again(l);
	for (int i = 0; i < LEAVING_FILES; i++) {
		l->files[i].quiet.had_ns = 3600 * UR_SECOND_NS;
	}
	settle_once(l);
	results_are(l, 0, 0);
}

static void a_folder_that_nothing_may_stand_in_keeps_them_and_says_why(void **state)
{
	struct leaving *l = *state;
	for (int i = 0; i < 2; i++) {
		leaving_again(l);
		assert_int_equal(mkdirat(l->root->fd, UR_STAGING, 0700), 0);
		assert_int_equal(fchmodat(l->root->fd, UR_STAGING, 0755, 0), 0);
		settle_once(l);
		results_are(l, UR_STAGING_OPEN, UR_STAGING_OPEN);
		assert_non_null(strstr(l->files[0].settle_why, "which is open to others"));
		assert_true(leaving_is_home(l, 0));
		assert_true(leaving_is_home(l, 1));
	}
}

/* ---- in two steps ---------------------------------------------------------------------------- */

static void what_is_asked_for_again_stands_aside_until_the_word_comes(void **state)
{
	struct leaving *l = *state;
	struct line line;
	for (int go = 0; go < 2; go++) {
		leaving_again(l);
		l->files[0].ask_again = true;
		start(l, &line);
		settle(l, &line, UR_SETTLE_ASIDE);
		assert_true(l->item.stands_aside);
		assert_true(leaving_is_staged(l, 0));
		assert_true(leaving_is_staged(l, 1)); // its group with it
		settle(l, &line, go != 0 ? UR_SETTLE_REMOVE : UR_SETTLE_BACK);
		assert_false(l->item.stands_aside);
		assert_null(l->item.aside);
		if (go != 0) {
			results_are(l, 0, 0);
			assert_int_equal(room_count(l->album, "."), 0);
		} else {
			results_are(l, -ECANCELED, -ECANCELED);
			assert_true(leaving_is_home(l, 0));
			assert_true(leaving_is_home(l, 1));
		}
		stop(&line);
		assert_false(room_has(l->root->fd, UR_STAGING));
	}
}

/** Writes by another name, which no rename of ours touches. */
static void write_by_other_name(struct leaving *l)
{
	const struct timespec pause = {0, 20000000};
	(void)nanosleep(&pause, NULL); // a tick of the file system's clock
	const int fd = openat(l->root->fd, "other.jpg", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "A", 1, 0), 1);
	(void)close(fd);
}

static void what_is_written_to_while_it_stands_aside_goes_back_with_its_group(void **state)
{
	struct leaving *l = *state;
	struct line line;
	ur_sys.lease = no_lease;
	assert_int_equal(linkat(l->album, "a.jpg", l->root->fd, "other.jpg", 0), 0);
	l->files[0].ask_again = true;
	struct stat st;
	assert_int_equal(fstatat(l->album, "a.jpg", &st, 0), 0);
	l->files[0].identity = ur_identity_of(&st, l->root->fs.id);
	start(l, &line);
	settle(l, &line, UR_SETTLE_ASIDE);
	assert_true(l->item.stands_aside);
	write_by_other_name(l);
	settle(l, &line, UR_SETTLE_REMOVE);
	stop(&line);
	results_are(l, -ESTALE, -ECANCELED);
	room_holds(l->album, "a.jpg", "A picture");
	assert_true(leaving_is_home(l, 1));
	assert_int_equal(unlinkat(l->root->fd, "other.jpg", 0), 0);
}

static void a_new_name_of_it_meanwhile_does_not_keep_it(void **state)
{
	struct leaving *l = *state;
	struct line line;
	char staged[UR_STAGED_NAME_MAX + 32];
	l->files[0].ask_again = true;
	start(l, &line);
	settle(l, &line, UR_SETTLE_ASIDE);
	ur_staging_name(
		&l->run.staging_key, UR_STAGED_ORIGINAL, l->files[0].staged, "a.jpg", staged);
	const int staging = openat(l->root->fd, UR_STAGING, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(linkat(staging, staged, l->root->fd, "other.jpg", 0), 0);
	(void)close(staging);
	settle(l, &line, UR_SETTLE_REMOVE);
	stop(&line);
	results_are(l, 0, 0);
	room_holds(l->root->fd, "other.jpg", leaving_bytes(0));
	assert_int_equal(unlinkat(l->root->fd, "other.jpg", 0), 0);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void files_that_do_not_belong_together_go_each_for_itself(void **state)
{
	struct leaving *l = *state;
	l->item.together[0] = 1;
	l->item.together[1] = 2;
	room_put(l->album, "a.jpg", "another picture");
	settle_once(l);
	results_are(l, -ESTALE, 0);
	assert_false(room_has(l->album, "a.xmp"));
	room_holds(l->album, "a.jpg", "another picture");
}

static unsigned renames_back;
static int (*real_rename)(int from_dir, const char *from, int to_dir, const char *to);

/** The way back is closed for the first file that tries it. */
static int no_way_back(int from_dir, const char *from, int to_dir, const char *to)
{
	struct ur_staged what;
	ur_staged_read(NULL, from, &what);
	const bool back = what.ledger[0] != '\0';
	return back && renames_back++ == 0 ? -EIO : real_rename(from_dir, from, to_dir, to);
}

static void one_that_cannot_come_back_is_named_and_the_next_run_finds_it(void **state)
{
	struct leaving *l = *state;
	struct ur_leftovers found;
	const int writer = openat(l->album, "a.xmp", O_WRONLY | O_CLOEXEC);
	renames_back = 0;
	real_rename = l->real.rename_new;
	ur_sys.rename_new = no_way_back;
	settle_once(l);
	ur_sys.rename_new = l->real.rename_new;
	(void)close(writer);
	results_are(l, UR_SETTLE_STUCK, -ETXTBSY);
	assert_true(leaving_is_staged(l, 0));
	assert_int_equal(atomic_load(&l->run.stranded), 1);
	assert_non_null(strstr(l->files[0].settle_why, "could not be put back"));
	assert_int_equal(ur_leftover_tidy(l->root->fd, &l->run.staging_key, 2, &found), 0);
	assert_int_equal(found.back, 1);
	room_holds(l->root->fd, "a.jpg", leaving_bytes(0));
	assert_int_equal(unlinkat(l->root->fd, "a.jpg", 0), 0);
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

/** Its result says where it is, and it is nowhere else; true: it has left. */
static bool is_as_it_says(const struct leaving *l, int i)
{
	const bool home = leaving_is_home(l, i);
	const bool staged = leaving_is_staged(l, i);
	const bool moved = leaving_is_moved(l, i);
	const int r = l->files[i].settle_result;
	assert_int_not_equal(r, UR_SETTLE_GONE);
	if (r == 0) {
		assert_false(home);
		assert_false(staged);
		assert_int_equal(moved, l->options.after == UR_AFTER_MOVE);
	} else if (r == UR_SETTLE_STUCK) {
		assert_true(staged);
		assert_false(home);
	} else {
		assert_true(home);
		assert_false(staged);
	}
	return r == 0;
}

static bool is_last_step(const char *call)
{
	return strcmp(call, "unlinkat") == 0;
}

/** True when a call has failed. */
static bool fail_once(struct leaving *l, enum faulty_how how, unsigned n, bool aside)
{
	struct line line;
	l->files[0].ask_again = aside;
	l->files[0].there = true; // hashed again
	faulty_begin(how, n, -EIO);
	start(l, &line);
	settle(l, &line, UR_SETTLE_ASIDE);
	if (l->item.stands_aside) {
		settle(l, &line, UR_SETTLE_REMOVE);
	}
	stop(&line);
	return faulty_end();
}

static void fail_in_turn(struct leaving *l, enum faulty_how how, bool far, bool aside)
{
	const unsigned first = l->options.after == UR_AFTER_MOVE ? 2 : 1; // 1: the target is opened
	bool failed = true;
	for (unsigned n = first; failed; n++) {
		leaving_again(l);
		const struct ur_sys before = ur_sys;
		if (far) {
			leaving_far(l);
		}
		const size_t open_before = room_descriptors();
		failed = fail_once(l, how, n, aside);
		ur_sys = before;
		assert_int_equal(room_descriptors(), open_before);
		const int gone = (int)is_as_it_says(l, 0) + (int)is_as_it_says(l, 1);
		if (how == FAULTY_ONE && l->options.after == UR_AFTER_DELETE &&
			!is_last_step(faulty_call())) {
			assert_int_not_equal(gone, 1); // all or none
		}
		const unsigned stuck = (l->files[0].settle_result == UR_SETTLE_STUCK ? 1u : 0) +
				       (l->files[1].settle_result == UR_SETTLE_STUCK ? 1u : 0);
		assert_int_equal(atomic_load(&l->run.stranded), stuck);
		assert_true(failed || gone == 2);
	}
}

static void whatever_call_fails_every_file_of_a_group_is_where_its_result_says(void **state)
{
	for (int aside = 0; aside < 2; aside++) {
		fail_in_turn(*state, FAULTY_ONE, false, aside != 0);
		fail_in_turn(*state, FAULTY_FROM, false, aside != 0);
	}
}

static void whatever_call_fails_a_moved_group_is_here_or_there(void **state)
{
	struct leaving *l = *state;
	l->options.after = UR_AFTER_MOVE;
	for (int far = 0; far < 2; far++) {
		fail_in_turn(l, FAULTY_ONE, far != 0, false);
		fail_in_turn(l, FAULTY_FROM, far != 0, false);
	}
}

static void without_a_target_nothing_is_begun(void **state)
{
	struct leaving *l = *state;
	struct line line;
	struct ur_err err = {0};
	wire(&line);
	l->options.after = UR_AFTER_MOVE;
	l->options.move_to = "/nowhere/at all";
	assert_int_equal(ur_settle_start(&l->run, &line.wiring, &line.settle, &err), -ENOENT);
	assert_null(line.settle);
	assert_int_equal(err.fault, UR_FAULT_SETUP);
	assert_non_null(strstr(err.text, "/nowhere/at all"));
	stop(&line);
}

#define LEAVING(test) cmocka_unit_test_setup_teardown(test, leaving_new, leaving_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAVING(a_proved_group_goes_and_nothing_of_ours_stays),
		LEAVING(only_what_is_confirmed_and_has_a_token_goes),
		LEAVING(one_that_somebody_took_away_does_not_keep_the_others),
		LEAVING(one_that_changed_since_it_was_hashed_keeps_its_group),
		LEAVING(a_link_under_its_name_is_another_file),
		LEAVING(one_that_somebody_has_open_for_writing_keeps_its_group),
		LEAVING(what_the_server_had_before_is_hashed_by_another_way_before_it_goes),
		LEAVING(what_looks_cut_off_is_not_finished_until_somebody_says_so),
		LEAVING(without_a_lease_it_waits_until_it_was_quiet_for_as_long_as_was_asked),
		LEAVING(a_folder_that_nothing_may_stand_in_keeps_them_and_says_why),
		LEAVING(what_is_asked_for_again_stands_aside_until_the_word_comes),
		LEAVING(what_is_written_to_while_it_stands_aside_goes_back_with_its_group),
		LEAVING(a_new_name_of_it_meanwhile_does_not_keep_it),
		LEAVING(files_that_do_not_belong_together_go_each_for_itself),
		LEAVING(one_that_cannot_come_back_is_named_and_the_next_run_finds_it),
		LEAVING(whatever_call_fails_every_file_of_a_group_is_where_its_result_says),
		LEAVING(whatever_call_fails_a_moved_group_is_here_or_there),
		LEAVING(without_a_target_nothing_is_begun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
