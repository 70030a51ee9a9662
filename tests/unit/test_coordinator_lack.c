/* An original that does not come: nobody is judged until it is known whose fault that is. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static struct ur_item *parked(const char *name)
{
	struct ur_item *item = play_candidate(name);
	play_known(item->files);
	ur_lack_park(play.c, item);
	return item;
}

static void nobody_is_judged_before_another_original_came(void **state)
{
	(void)state;
	struct ur_item *item = parked("a.jpg");
	struct ur_item *other = play_candidate("b.jpg"); // which may still tell
	ur_step_go(play.c, other, UR_STEP_ASK);
	ur_lack_turn(play.c);
	assert_int_equal(item->step, UR_STEP_PARKED);
	play.c->inputs_open = 0;
	ur_lack_turn(play.c);
	assert_int_equal(item->step, UR_STEP_PARKED);
	assert_int_equal(item->files->state, UR_KNOWN);
	assert_int_equal(other->files->state, UR_PROBED);
}

static void what_does_not_come_when_others_do_is_a_suspect(void **state)
{
	(void)state;
	struct ur_item *item = parked("a.jpg");
	play.c->strangers_in_a_row = 4;
	ur_lack_gave(play.c);
	assert_int_equal(play.c->strangers_in_a_row, 0); // it was the server that gave

	const struct ur_file *file = item->files;
	assert_int_equal(file->state, UR_SUSPECT);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
	assert_true(file->not_now && ur_age_is_begun(&file->doubt_since));
	assert_false(file->remembered);
	assert_int_equal(item->step, UR_STEP_CONFIRM); // on, for the others of its group
	assert_int_equal(atomic_load(&play.run.kept), 1);
}

static void what_does_not_come_twice_a_day_apart_is_broken_there(void **state)
{
	(void)state;
	struct ur_item *item = parked("a.jpg");
	item->files->doubt_since = ur_age_begin();
	play_pass(PLAY_DAY_MS);
	ur_lack_gave(play.c);
	assert_int_equal(item->files->state, UR_BROKEN);
	assert_int_equal(item->files->outcome, UR_OUTCOME_FAILED);
}

static void a_day_by_the_wall_clock_is_no_day(void **state)
{
	(void)state;
	struct ur_item *item = parked("a.jpg");
	item->files->doubt_since = ur_age_begin();
	play_step_wall(2 * PLAY_DAY_MS);
	ur_lack_gave(play.c);
	assert_int_equal(item->files->state, UR_SUSPECT);
}

static void five_in_a_row_are_the_librarys_fault_and_no_files(void **state)
{
	(void)state;
	struct ur_item *items[5];
	for (int i = 0; i < 5; i++) {
		assert_false(play.c->library_away);
		items[i] = parked("a.jpg");
	}
	assert_true(play.c->library_away);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(items[i]->files->state, UR_KNOWN);
		assert_true(items[i]->files->not_now);
		assert_string_equal(items[i]->files->reason,
			"kept: the server cannot read its library now, so nothing is said about this "
			"file (asset " PLAY_ASSET ")");
	}
	assert_non_null(strstr(play.said, "cannot read its library"));
	struct ur_err err = {0};
	assert_int_equal(ur_lack_result(play.c, &err), -EHOSTUNREACH);
}

static void that_the_library_is_away_is_said_once(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		(void)parked("a.jpg");
	}
	play.said[0] = '\0';
	(void)parked("b.jpg");
	assert_string_equal(play.said, "");
	assert_int_equal(play.c->parked.count, 0);
}

static void one_that_comes_ends_a_row(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		if (i == 4) {
			ur_lack_gave(play.c);
		}
		(void)parked("a.jpg");
	}
	assert_false(play.c->library_away);
	struct ur_err err = {0};
	assert_int_equal(ur_lack_result(play.c, &err), 0);
}

static void who_is_left_alone_is_never_broken_when_no_original_came_at_all(void **state)
{
	(void)state;
	struct ur_item *item = parked("a.jpg");
	item->files->doubt_since = ur_age_begin();
	play_pass(PLAY_DAY_MS);
	play.c->inputs_open = 0;
	ur_lack_turn(play.c);
	assert_int_equal(item->files->state, UR_SUSPECT);
}

static void who_is_left_alone_is_judged_by_those_that_came_before(void **state)
{
	(void)state;
	ur_lack_gave(play.c);
	struct ur_item *item = parked("a.jpg");
	item->files->doubt_since = ur_age_begin();
	play_pass(PLAY_DAY_MS);
	play.c->inputs_open = 0;
	ur_lack_turn(play.c);
	assert_int_equal(item->files->state, UR_BROKEN);
}

static void a_stop_judges_nobody(void **state)
{
	(void)state;
	struct ur_item *item = parked("a.jpg");
	item->files->doubt_since = ur_age_begin();
	play_pass(PLAY_DAY_MS);
	atomic_store(&play.run.stop, true);
	ur_lack_turn(play.c);
	assert_int_equal(item->files->state, UR_KNOWN);
	assert_true(item->files->not_now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(nobody_is_judged_before_another_original_came),
		PLAYED(what_does_not_come_when_others_do_is_a_suspect),
		PLAYED(what_does_not_come_twice_a_day_apart_is_broken_there),
		PLAYED(a_day_by_the_wall_clock_is_no_day),
		PLAYED(five_in_a_row_are_the_librarys_fault_and_no_files),
		PLAYED(that_the_library_is_away_is_said_once),
		PLAYED(one_that_comes_ends_a_row),
		PLAYED(who_is_left_alone_is_never_broken_when_no_original_came_at_all),
		PLAYED(who_is_left_alone_is_judged_by_those_that_came_before),
		PLAYED(a_stop_judges_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
