/* What may still be growing is not taken away, and its group stays with it. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static struct ur_item *cut(const char *names)
{
	struct ur_item *item = play_candidate(names);
	item->files->ending = UR_ENDING_CUT;
	return item;
}

static struct ur_item *sent(const char *names)
{
	struct ur_item *item = play_candidate(names);
	for (int i = 0; i < item->count; i++) {
		play_sent(&item->files[i]);
	}
	play.dir_fd = 0; // and the folder lets things go
	return item;
}

static void what_is_cut_off_waits_for_the_rest_and_its_group_with_it(void **state)
{
	(void)state;
	struct ur_item *item = cut("a.jpg a.mov");
	ur_quiet_judge(play.c, item);

	assert_int_equal(item->files[0].outcome, UR_OUTCOME_WAITING);
	assert_non_null(strstr(item->files[0].reason, "ends too early"));
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
	assert_string_equal(item->files[1].reason, "it goes with 'a.jpg', which waits");
	assert_true(item->files[0].tell);
	assert_int_equal(atomic_load(&play.run.held), 2);
}

static void after_a_day_it_is_sent_as_it_is(void **state)
{
	(void)state;
	struct ur_item *item = cut("a.jpg");
	play_step_wall(2 * PLAY_DAY_MS);
	play_pass(PLAY_DAY_MS - 1);
	struct ur_item *early = cut("b.jpg");
	early->files->quiet = item->files->quiet;
	ur_quiet_judge(play.c, early);
	assert_false(ur_file_is_open(early->files));

	play_pass(1);
	ur_quiet_judge(play.c, item);
	assert_true(ur_file_is_open(item->files));
}

static void where_nothing_is_taken_away_nothing_waits(void **state)
{
	(void)state;
	play.options.after = UR_AFTER_KEEP;
	struct ur_item *item = cut("a.jpg");
	ur_quiet_judge(play.c, item);
	assert_true(ur_file_is_open(item->files));
}

static void what_somebody_accepted_is_all_there_is(void **state)
{
	(void)state;
	struct ur_item *item = cut("a.jpg");
	item->files->accepted = true;
	ur_quiet_judge(play.c, item);
	assert_true(ur_file_is_open(item->files));

	play.options.accept_cut_off = true;
	item = cut("b.jpg");
	ur_quiet_judge(play.c, item);
	assert_true(ur_file_is_open(item->files));
}

static void what_may_be_on_the_server_already_does_not_wait_here(void **state)
{
	(void)state;
	struct ur_item *item = cut("a.jpg");
	(void)play_remember(item->files, UR_SENDING);
	ur_quiet_judge(play.c, item);
	assert_true(ur_file_is_open(item->files));
}

static void without_a_lease_it_is_kept_until_it_has_been_unchanged_for_long_enough(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg a.mov");
	item->files[0].writers = UR_WRITERS_UNKNOWN;
	play_pass(20000);
	ur_quiet_hold(play.c, item);
	assert_true(item->files[0].not_now && item->files[1].not_now);
	assert_int_equal(item->files[0].outcome, UR_OUTCOME_SENT); // it was sent all the same
	assert_false(item->files[0].warn);
	assert_int_equal(atomic_load(&play.run.unquiet), 2);
	assert_int_equal(atomic_load(&play.run.unquiet_ns), 40 * UR_SECOND_NS);

	item = sent("b.jpg");
	item->files->writers = UR_WRITERS_UNKNOWN;
	play_pass(60000);
	ur_quiet_hold(play.c, item);
	assert_false(item->files->not_now);
}

static void with_a_lease_nobody_waits(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg");
	ur_quiet_hold(play.c, item);
	assert_false(item->files->not_now);
}

static void where_the_folder_lets_nothing_go_no_wait_would_help(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg");
	item->files->writers = UR_WRITERS_UNKNOWN;
	play.may_write = -EACCES;
	ur_quiet_hold(play.c, item);
	assert_false(item->files->not_now);
}

static void what_is_cut_off_is_kept_after_it_was_sent(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg a.mov");
	item->files[0].ending = UR_ENDING_CUT;
	ur_quiet_hold(play.c, item);
	assert_true(item->files[0].not_now && item->files[0].warn);
	assert_true(item->files[1].not_now);
	assert_string_equal(item->files[1].reason, "kept: it goes with 'a.jpg', which waits");
	assert_int_equal(atomic_load(&play.run.held), 2);
	assert_int_equal(atomic_load(&play.run.unquiet), 0);
}

static void what_cannot_be_read_keeps_its_group(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg a.mov");
	item->files[1].error = -EIO;
	ur_file_close(&item->files[1], UR_FAILED, UR_OUTCOME_FAILED, "it could not be read");
	ur_quiet_hold(play.c, item);
	assert_true(item->files[0].not_now);
	assert_non_null(strstr(item->files[0].reason, "'a.mov'"));
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_FAILED);
}

static void what_was_there_before_and_is_held_waits(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg");
	play_known(item->files);
	item->files->ending = UR_ENDING_CUT;
	ur_quiet_hold(play.c, item);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_true(item->files->tell);
}

static void that_it_stays_is_said_of_what_was_sent_once(void **state)
{
	(void)state;
	for (int told = 0; told < 2; told++) {
		struct ur_item *item = sent("a.jpg");
		item->files->ending = UR_ENDING_CUT;
		item->files->told = told;
		ur_quiet_hold(play.c, item);
		assert_int_equal(item->files->tell, !told);
	}
	struct ur_item *item = sent("a.jpg");
	item->files->writers = UR_WRITERS_UNKNOWN; // which needs nobody to do anything
	ur_quiet_hold(play.c, item);
	assert_false(item->files->tell);
}

static void a_plan_holds_nothing(void **state)
{
	(void)state;
	play.options.plan = true;
	struct ur_item *item = sent("a.jpg");
	item->files->ending = UR_ENDING_CUT;
	ur_quiet_hold(play.c, item);
	assert_false(item->files->not_now);
}

static void a_sidecar_without_a_picture_waits_for_nobody(void **state)
{
	(void)state;
	struct ur_item *item = cut("a.jpg b.xmp");
	ur_quiet_judge(play.c, item);
	assert_true(ur_file_is_open(&item->files[1]));
}

static void a_suspect_is_not_held_back_from_its_proof(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg");
	item->files->ending = UR_ENDING_CUT;
	item->files->must_confirm = true;
	ur_quiet_hold(play.c, item);
	assert_false(item->files->not_now);
}

static void what_settle_found_too_new_waits_without_a_warning(void **state)
{
	(void)state;
	struct ur_item *item = sent("a.jpg");
	play_known(item->files);
	item->files->warn = true;
	play_pass(10000);
	ur_quiet_settled(play.c, item->files);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_false(item->files->warn);
	assert_int_equal(atomic_load(&play.run.unquiet_ns), 50 * UR_SECOND_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(what_is_cut_off_waits_for_the_rest_and_its_group_with_it),
		PLAYED(after_a_day_it_is_sent_as_it_is),
		PLAYED(where_nothing_is_taken_away_nothing_waits),
		PLAYED(what_somebody_accepted_is_all_there_is),
		PLAYED(what_may_be_on_the_server_already_does_not_wait_here),
		PLAYED(without_a_lease_it_is_kept_until_it_has_been_unchanged_for_long_enough),
		PLAYED(with_a_lease_nobody_waits),
		PLAYED(where_the_folder_lets_nothing_go_no_wait_would_help),
		PLAYED(what_is_cut_off_is_kept_after_it_was_sent),
		PLAYED(what_cannot_be_read_keeps_its_group),
		PLAYED(what_was_there_before_and_is_held_waits),
		PLAYED(that_it_stays_is_said_of_what_was_sent_once),
		PLAYED(a_plan_holds_nothing),
		PLAYED(a_sidecar_without_a_picture_waits_for_nobody),
		PLAYED(a_suspect_is_not_held_back_from_its_proof),
		PLAYED(what_settle_found_too_new_waits_without_a_warning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
