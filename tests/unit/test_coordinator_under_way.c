/* No two files with the same bytes are on their way at the same time: the second waits for the first. */
#include "tests/unit/coordinator.h"

static struct ur_file *with_bytes(const char *name, const char *bytes)
{
	struct ur_file *file = play_candidate(name)->files;
	play_bytes(file, bytes);
	return file;
}

static void the_same_bytes_are_seen_by_everybody_but_their_own_file(void **state)
{
	(void)state;
	struct ur_file *first = with_bytes("a.jpg", "x");
	struct ur_file *second = with_bytes("b.jpg", "x");
	ur_under_way_add(play.c, first);

	assert_ptr_equal(ur_under_way_other(play.c, second), first);
	assert_null(ur_under_way_other(play.c, first));
	ur_under_way_release(play.c, first);
	assert_null(ur_under_way_other(play.c, second));
}

static void other_bytes_of_the_same_bucket_are_other_bytes(void **state)
{
	(void)state;
	struct ur_file *files[3];
	for (int i = 0; i < 3; i++) {
		files[i] = with_bytes("a.jpg", "x");
		files[i]->sha1[19] = (uint8_t)i;
		assert_null(ur_under_way_other(play.c, files[i]));
		ur_under_way_add(play.c, files[i]);
	}
	ur_under_way_release(play.c, files[1]); // from the middle
	for (int i = 0; i < 3; i++) {
		struct ur_file *same = with_bytes("b.jpg", "x");
		same->sha1[19] = (uint8_t)i;
		assert_ptr_equal(ur_under_way_other(play.c, same), i == 1 ? NULL : files[i]);
	}
}

static void a_file_that_is_sent_again_is_under_way_once(void **state)
{
	(void)state;
	struct ur_file *file = with_bytes("a.jpg", "x");
	ur_under_way_add(play.c, file);
	ur_under_way_add(play.c, file);
	ur_under_way_release(play.c, file);
	assert_null(ur_under_way_other(play.c, with_bytes("b.jpg", "x")));
}

static void all_who_waited_are_asked_for_again(void **state)
{
	(void)state;
	struct ur_file *first = with_bytes("a.jpg", "x");
	struct ur_item *waiting[3];
	ur_under_way_add(play.c, first);
	for (int i = 0; i < 3; i++) {
		waiting[i] = with_bytes("b.jpg", "x")->item;
		ur_under_way_wait(waiting[i], first);
		assert_int_equal(waiting[i]->step, UR_STEP_SAME);
	}
	ur_under_way_release(play.c, first);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(waiting[i]->step, UR_STEP_ASK);
	}
	assert_int_equal(play.c->to_ask.count, 3);
	ur_under_way_release(play.c, first);
	assert_int_equal(play.c->to_ask.count, 3); // once
}

static void an_earlier_question_is_stale_when_the_bytes_have_been_under_way_since(void **state)
{
	(void)state;
	struct ur_file *file = with_bytes("a.jpg", "x");
	const uint32_t asked = ++play.c->under_way.questions;
	assert_false(ur_under_way_was(play.c, file, asked));

	ur_under_way_add(play.c, file);
	ur_under_way_release(play.c, file);
	assert_true(ur_under_way_was(play.c, with_bytes("b.jpg", "x"), asked));
	assert_false(ur_under_way_was(play.c, file, ++play.c->under_way.questions));
}

static void what_was_not_under_way_leaves_no_trace(void **state)
{
	(void)state;
	struct ur_file *first = with_bytes("a.jpg", "x");
	struct ur_file *second = with_bytes("b.jpg", "x");
	const uint32_t asked = ++play.c->under_way.questions;
	ur_under_way_add(play.c, first);
	ur_under_way_release(play.c, second);

	assert_ptr_equal(ur_under_way_other(play.c, second), first);
	assert_false(ur_under_way_was(play.c, second, asked));
}

static void a_plan_brings_nothing_to_the_server(void **state)
{
	(void)state;
	play.options.plan = true;
	struct ur_file *file = with_bytes("a.jpg", "x");
	const uint32_t asked = ++play.c->under_way.questions;
	ur_under_way_add(play.c, file);
	ur_under_way_release(play.c, file);
	assert_false(ur_under_way_was(play.c, file, asked));
}

static void a_stop_closes_what_is_wanted_and_nothing_else(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg b.jpg c.jpg");
	play_want(item, &item->files[0]);
	play_sent(&item->files[1]);
	ur_under_way_close_wanted(play.c, item, "the run was stopped");

	assert_int_equal(item->files[0].state, UR_WANTED);
	assert_int_equal(item->files[0].outcome, UR_OUTCOME_WAITING);
	assert_string_equal(item->files[0].reason, "the run was stopped");
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_SENT);
	assert_true(ur_file_is_open(&item->files[2]));
	assert_null(ur_under_way_other(play.c, with_bytes("d.jpg", "a.jpg")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(the_same_bytes_are_seen_by_everybody_but_their_own_file),
		PLAYED(other_bytes_of_the_same_bucket_are_other_bytes),
		PLAYED(a_file_that_is_sent_again_is_under_way_once),
		PLAYED(all_who_waited_are_asked_for_again),
		PLAYED(an_earlier_question_is_stale_when_the_bytes_have_been_under_way_since),
		PLAYED(what_was_not_under_way_leaves_no_trace),
		PLAYED(a_plan_brings_nothing_to_the_server),
		PLAYED(a_stop_closes_what_is_wanted_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
