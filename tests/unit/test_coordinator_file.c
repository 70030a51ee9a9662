/* What a file is by all that is known, and what it becomes. */
#include "tests/unit/coordinator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct ur_file *candidate(const char *name)
{
	return play_candidate(name)->files;
}

static void a_doubt_ends_by_time_that_has_passed_and_by_no_clock_that_was_set(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	assert_false(ur_file_is_doubtful(play.c, file));

	file->doubt_since = ur_age_begin();
	play_step_wall(PLAY_DAY_MS);
	assert_true(ur_file_is_doubtful(play.c, file));
	assert_int_equal(file->next_ns, ur_clock_wall_ns() + PLAY_HOUR_MS * UR_MS_NS);
	play_pass(PLAY_HOUR_MS - 1);
	assert_true(ur_file_is_doubtful(play.c, file));
	play_pass(1);
	assert_false(ur_file_is_doubtful(play.c, file));
}

static void only_open_media_without_an_answer_are_to_be_asked_for(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	assert_true(ur_file_is_to_ask(file));
	assert_false(ur_file_is_to_ask(candidate("a.xmp")));

	file->decided = true;
	assert_false(ur_file_is_to_ask(file));
	file->decided = false;
	file->state = UR_WANTED;
	assert_false(ur_file_is_to_ask(file));
	file->state = UR_SENDING;
	assert_false(ur_file_is_to_ask(file));
	ur_file_close(file, UR_PROBED, UR_OUTCOME_WAITING, "later");
	assert_false(ur_file_is_to_ask(file));
}

static void who_did_not_arrive_or_could_not_go_is_in_trouble(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	ur_file_close(file, UR_FAILED, UR_OUTCOME_FAILED, "");
	assert_true(ur_file_is_in_trouble(file));
	ur_file_close(file, UR_BROKEN, UR_OUTCOME_FAILED, "");
	assert_true(ur_file_is_in_trouble(file));
	ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED, "no picture");
	assert_false(ur_file_is_in_trouble(file));
	file->error = -EACCES;
	assert_true(ur_file_is_in_trouble(file));
	file->class = UR_CLASS_NONE; // whatever it is, it would not have been sent
	assert_false(ur_file_is_in_trouble(file));

	file = candidate("b.jpg");
	ur_file_close(file, UR_SUSPECT, UR_OUTCOME_REFUSED, "asked again later");
	assert_false(ur_file_is_in_trouble(file)); // that is doubt, and has its time
	ur_file_close(file, UR_SEEN, UR_OUTCOME_WAITING, "not yet quiet");
	assert_false(ur_file_is_in_trouble(file));
	file->trouble = true;
	assert_true(ur_file_is_in_trouble(file));
	file->outcome = UR_OUTCOME_VANISHED;
	assert_false(ur_file_is_in_trouble(file));

	file = candidate("c.jpg");
	play_known(file);
	ur_file_keep(play.c, file->item, file, "kept: so it is");
	assert_true(ur_file_is_in_trouble(file));
	file->state = UR_SETTLED; // and then it went after all
	assert_false(ur_file_is_in_trouble(file));
}

static void nothing_is_delivered_without_an_asset(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	play_sent(file);
	assert_true(ur_file_is_delivered(file));
	file->asset[0] = '\0';
	assert_false(ur_file_is_delivered(file));
}

static void what_was_sent_or_is_there_or_is_a_duplicate_is_delivered(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	play_sent(file);
	static const enum ur_outcome outcomes[] = {
		UR_OUTCOME_SENT, UR_OUTCOME_PRESENT, UR_OUTCOME_DUPLICATE};
	static const enum ur_state states[] = {UR_DELIVERED, UR_KNOWN, UR_DUPLICATE};
	for (int i = 0; i < 9; i++) {
		file->outcome = outcomes[i / 3];
		file->state = states[i % 3];
		assert_true(ur_file_is_delivered(file));
	}
}

static void what_waits_as_it_should_is_no_warning(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	play_sent(file);
	ur_file_keep_quietly(file, "it is young");
	assert_true(file->not_now);
	assert_false(file->warn);
	assert_string_equal(file->reason, "it is young");
	assert_int_equal(atomic_load(&play.run.kept), 0);
}

static void what_waits_or_failed_is_not_delivered_whatever_its_state(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	play_sent(file);
	for (int outcome = UR_OUTCOME_REFUSED; outcome < UR_OUTCOMES; outcome++) {
		file->outcome = (enum ur_outcome)outcome;
		assert_false(ur_file_is_delivered(file));
	}
	file->outcome = UR_OUTCOME_PRESENT;
	file->state = UR_SUSPECT;
	assert_false(ur_file_is_delivered(file));
	file->state = UR_BROKEN;
	assert_false(ur_file_is_delivered(file));
}

static void nothing_goes_away_in_a_run_that_keeps_or_plans_or_through_a_link(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	assert_false(ur_file_goes_away(play.c, file));
	play_sent(file);
	assert_true(ur_file_goes_away(play.c, file));

	file->through_link = true;
	assert_false(ur_file_goes_away(play.c, file));
	file->through_link = false;
	play.options.plan = true;
	assert_false(ur_file_goes_away(play.c, file));
	play.options.plan = false;
	play.options.after = UR_AFTER_KEEP;
	assert_false(ur_file_goes_away(play.c, file));
}

static void an_asset_is_young_until_it_has_certainly_been_there_for_so_long(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	assert_true(ur_file_is_young(play.c, file)); // nobody knows since when
	file->there_since = ur_age_begin();
	play_step_wall(PLAY_DAY_MS);
	assert_true(ur_file_is_young(play.c, file));
	play_pass(60000);
	assert_false(ur_file_is_young(play.c, file));
}

static void what_is_not_our_own_upload_is_asked_for_again(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	assert_true(ur_file_asks_again(file));
	file->created = true;
	assert_false(ur_file_asks_again(file));
	file->created = false;
	file->now_sent = true;
	assert_false(ur_file_asks_again(file));
	assert_false(ur_file_asks_again(candidate("a.xmp")));
}

static void what_is_kept_for_want_of_a_proof_is_said_and_counted(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	play_sent(file);
	ur_file_keep(play.c, file->item, file, "kept: so it is");

	assert_int_equal(file->outcome, UR_OUTCOME_SENT);
	assert_true(file->not_now && file->warn);
	assert_string_equal(file->reason, "kept: so it is (asset " PLAY_ASSET ")");
	assert_int_equal(atomic_load(&play.run.kept), 1);
}

static void a_suspect_without_a_proof_stays_a_suspect(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	play_known(file);
	file->must_confirm = true;
	ur_file_keep(play.c, file->item, file, "kept: so it is");

	assert_int_equal(file->state, UR_SUSPECT);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
	assert_false(file->must_confirm);
}

static void what_failed_is_tried_later_and_later(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	int64_t before = 0;
	for (file->tries = 0; file->tries < 4; file->tries++) {
		ur_file_close_failed(file, false);
		assert_true(file->next_ns - ur_clock_wall_ns() > before);
		before = file->next_ns - ur_clock_wall_ns();
	}
	file->tries = 1000;
	ur_file_close_failed(file, false);
	assert_true(file->next_ns - ur_clock_wall_ns() <= PLAY_DAY_MS * UR_MS_NS);
	assert_int_equal(file->outcome, UR_OUTCOME_FAILED);
	assert_non_null(file->reason);
}

static void what_failed_for_good_is_asked_again_ever_more_seldom(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	int64_t before = PLAY_HOUR_MS * UR_MS_NS / 2;
	for (int runs = 0; runs < 4; runs++) {
		file->tries = 1;
		file->failed_before = runs;
		ur_file_close_failed(file, true);
		assert_true(file->for_good);
		assert_true(file->next_ns - ur_clock_wall_ns() > before);
		before = file->next_ns - ur_clock_wall_ns();
	}
	file->failed_before = 1000;
	ur_file_close_failed(file, true);
	assert_true(file->next_ns - ur_clock_wall_ns() <= 8 * PLAY_DAY_MS * UR_MS_NS);
}

static void given_up_at(const char *name, enum ur_put_verdict verdict)
{
	struct ur_file *file = candidate(name);
	file->put.state = UR_PUT_OVER;
	file->put.sent = verdict;
	file->send_status = 302;
	ur_file_give_up(play.c, file->item, file);
	assert_int_equal(file->state, UR_FAILED);
	assert_false(file->for_good);
}

static void five_files_that_end_at_a_stranger_end_the_run(void **state)
{
	(void)state;
	given_up_at("a.jpg", UR_PUT_LATER);
	for (int i = 0; i < 4; i++) {
		given_up_at("b.jpg", UR_PUT_STRANGER);
	}
	assert_int_equal(play.run.result, 0);
	given_up_at("c.jpg", UR_PUT_STRANGER);
	assert_int_equal(play.run.result, -EHOSTUNREACH);
}

static void what_changed_is_looked_at_afresh(void **state)
{
	(void)state;
	struct ur_file *file = candidate("a.jpg");
	ur_file_changed(file->item, file, "it changed");
	assert_int_equal(file->state, UR_SEEN);
	assert_int_equal(file->outcome, UR_OUTCOME_WAITING);
	assert_false(file->remembered);
}

static void what_is_gone_from_its_name_has_vanished(void **state)
{
	(void)state;
	char path[] = "/tmp/test_coordinator_file.XXXXXX";
	assert_non_null(mkdtemp(path));
	play.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ur_file *file = candidate("a.jpg");
	ur_file_changed(file->item, file, "it changed");
	assert_int_equal(file->outcome, UR_OUTCOME_VANISHED);

	assert_int_equal(
		close(openat(play.dir_fd, "b.jpg", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	file = candidate("b.jpg");
	ur_file_changed(file->item, file, "it changed");
	assert_int_equal(file->outcome, UR_OUTCOME_WAITING);
	assert_int_equal(unlinkat(play.dir_fd, "b.jpg", 0), 0);
	(void)close(play.dir_fd);
	(void)rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(a_doubt_ends_by_time_that_has_passed_and_by_no_clock_that_was_set),
		PLAYED(only_open_media_without_an_answer_are_to_be_asked_for),
		PLAYED(who_did_not_arrive_or_could_not_go_is_in_trouble),
		PLAYED(nothing_is_delivered_without_an_asset),
		PLAYED(what_was_sent_or_is_there_or_is_a_duplicate_is_delivered),
		PLAYED(what_waits_as_it_should_is_no_warning),
		PLAYED(what_waits_or_failed_is_not_delivered_whatever_its_state),
		PLAYED(nothing_goes_away_in_a_run_that_keeps_or_plans_or_through_a_link),
		PLAYED(an_asset_is_young_until_it_has_certainly_been_there_for_so_long),
		PLAYED(what_is_not_our_own_upload_is_asked_for_again),
		PLAYED(what_is_kept_for_want_of_a_proof_is_said_and_counted),
		PLAYED(a_suspect_without_a_proof_stays_a_suspect),
		PLAYED(what_failed_is_tried_later_and_later),
		PLAYED(what_failed_for_good_is_asked_again_ever_more_seldom),
		PLAYED(five_files_that_end_at_a_stranger_end_the_run),
		PLAYED(what_changed_is_looked_at_afresh),
		PLAYED(what_is_gone_from_its_name_has_vanished),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
