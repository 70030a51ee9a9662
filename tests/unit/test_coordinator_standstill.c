/* What is waited for is said in time, once, and only while nothing moves. */
#include "tests/unit/coordinator.h"

static uint64_t steps;

static void nothing_comes(int64_t ms)
{
	play_pass(ms);
	ur_standstill_look(play.c, steps, 0);
}

static void begin(void)
{
	ur_standstill_look(play.c, ++steps, 0);
}

static void uploads_that_are_not_answered_are_told_of_within_ten_seconds(void **state)
{
	(void)state;
	play.c->in_upload = 3;
	begin();
	nothing_comes(5000);
	assert_string_equal(play.said, "");
	nothing_comes(4000);
	assert_non_null(strstr(play.said, "it has not answered to 3 uploads"));
	play.said[0] = '\0';
	nothing_comes(1000);
	assert_string_equal(play.said, ""); // once
}

static void whatever_moves_begins_it_anew(void **state)
{
	(void)state;
	play.c->in_upload = 1;
	begin();
	for (uint64_t bytes = 1; bytes < 20; bytes++) {
		play_pass(5000);
		ur_standstill_look(play.c, steps, bytes << 14); // a slow line
	}
	for (int i = 0; i < 20; i++) {
		play_pass(5000);
		ur_standstill_look(play.c, ++steps, 19 << 14); // many small answers
	}
	assert_string_equal(play.said, "");
}

static void standing_still_again_and_again_is_said_once_a_minute(void **state)
{
	(void)state;
	play.c->in_upload = 1;
	int lines = 0;
	for (int i = 0; i < 18; i++) { // three minutes
		ur_standstill_look(play.c, ++steps, 0);
		play.said[0] = '\0';
		nothing_comes(10000);
		lines += play.said[0] != '\0';
	}
	assert_int_equal(lines, 3);
}

static void a_question_and_a_rest_have_their_words(void **state)
{
	(void)state;
	play.c->in_calls = 2;
	begin();
	nothing_comes(8000);
	assert_non_null(strstr(play.said, "it has not answered to 2 questions"));

	play.c->in_calls = 0;
	play.said[0] = '\0';
	play_pass(PLAY_HOUR_MS);
	struct ur_item *item = play_item("a.jpg");
	ur_step_rest(play.c, item, UR_STEP_ASK, 40000);
	begin();
	nothing_comes(8000);
	assert_non_null(strstr(play.said, "waiting until "));
	(void)ur_items_take(&play.c->resting);
}

/* Answers that bring nothing, and what drips, are no progress. */
static void what_fails_again_and_again_stands_still(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg");
	begin();
	for (int i = 1; i < 5; i++) {
		ur_step_rest(play.c, item, UR_STEP_ASK, 3000);
		play_pass(2000);
		ur_standstill_look(play.c, steps, (uint64_t)i * 500);
		(void)ur_items_take(&play.c->resting);
	}
	ur_step_rest(play.c, item, UR_STEP_ASK, 3000);
	ur_standstill_look(play.c, steps, 2500);
	assert_non_null(strstr(play.said, "waiting until "));
	(void)ur_items_take(&play.c->resting);
}

static void what_is_said_elsewhere_or_ends_is_not_said_here(void **state)
{
	(void)state;
	play.c->in_upload = 1;
	play.c->outage.on = true;
	begin();
	nothing_comes(20000);
	play.c->outage.on = false;
	atomic_store(&play.run.stop, true);
	nothing_comes(20000);
	atomic_store(&play.run.stop, false);
	play.c->in_upload = 0;
	nothing_comes(20000); // files are being read
	assert_string_equal(play.said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(uploads_that_are_not_answered_are_told_of_within_ten_seconds),
		PLAYED(whatever_moves_begins_it_anew),
		PLAYED(standing_still_again_and_again_is_said_once_a_minute),
		PLAYED(a_question_and_a_rest_have_their_words),
		PLAYED(what_fails_again_and_again_stands_still),
		PLAYED(what_is_said_elsewhere_or_ends_is_not_said_here),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
