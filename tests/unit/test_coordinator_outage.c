/* A server that is away is waited for, and not for ever. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static void doubt(void)
{
	ur_outage_doubt(play.c);
	ur_outage_turn(play.c);
}

static void is_answered(int status, const char *json)
{
	(void)play_answer(status, json);
	ur_outage_answered(play.c);
}

static void breaks(void)
{
	(void)play_break(-ECONNREFUSED);
	ur_outage_answered(play.c);
}

static void a_doubt_is_asked_about_at_once_and_by_one_request(void **state)
{
	(void)state;
	ur_outage_turn(play.c);
	assert_int_equal(play.asked_count, 0);
	doubt();
	assert_string_equal(play_question(), "GET /api/users/me");
	play_pass(PLAY_HOUR_MS);
	doubt();
	assert_int_equal(play.asked_count, 1);
}

static void a_server_that_answers_is_back_and_nothing_was_said(void **state)
{
	(void)state;
	doubt();
	is_answered(200, "{}");
	assert_false(play.c->outage.on);
	assert_string_equal(play.said, "");
}

static void that_it_was_away_is_said_once_and_that_it_is_back(void **state)
{
	(void)state;
	doubt();
	breaks();
	assert_string_equal(play.said, "the server is away; waiting for it for up to 60 s\n");
	assert_int_equal(play.asked_count, 0); // not at once
	ur_outage_turn(play.c);
	assert_int_equal(play.asked_count, 0);

	play_pass(500);
	ur_outage_turn(play.c);
	breaks();
	play_pass(1000);
	ur_outage_turn(play.c);
	is_answered(200, "{}");
	assert_string_equal(play.said,
		"the server is away; waiting for it for up to 60 s\nthe server is back\n");
	assert_int_equal(play.run.result, 0);
}

static void a_server_that_does_not_even_say_that_it_is_away_is_told_of_in_time(void **state)
{
	(void)state;
	doubt();
	play_pass(4000);
	ur_outage_turn(play.c);
	assert_string_equal(play.said, "");
	play_pass(2000);
	ur_outage_turn(play.c); // the question is out, and takes 15 s
	assert_string_equal(play.said, "the server is away; waiting for it for up to 60 s\n");
	ur_outage_turn(play.c);
	breaks();
	assert_string_equal(play.said, "the server is away; waiting for it for up to 60 s\n");
}

static void a_second_outage_begins_anew(void **state)
{
	(void)state;
	doubt();
	for (int i = 0; i < 4; i++) { // each pause is longer than the one before
		breaks();
		play_pass(10000);
		ur_outage_turn(play.c);
	}
	is_answered(200, "{}");
	play.said[0] = '\0';
	doubt();
	assert_int_equal(play.asked_count, 1);
	breaks();
	assert_non_null(strstr(play.said, "is away"));
	assert_true(play.c->outage.next_ns <= ur_clock_steady_ns() + 500 * UR_MS_NS);
	assert_int_equal(play.run.result, 0);
}

static void an_outage_begins_with_its_first_doubt(void **state)
{
	(void)state;
	doubt();
	const int64_t since_ns = play.c->outage.since_ns;
	breaks();
	play_pass(30000);
	doubt();
	assert_int_equal(play.c->outage.since_ns, since_ns);
}

static void a_server_that_stays_away_ends_the_run(void **state)
{
	(void)state;
	doubt();
	for (int64_t ms = 0; ms <= 60000; ms += 15000) {
		assert_int_equal(play.run.result, 0);
		breaks();
		play_pass(15000);
		ur_outage_turn(play.c);
	}
	breaks();
	assert_int_equal(play.run.result, -EHOSTUNREACH);
}

static void a_key_that_is_refused_ends_the_run(void **state)
{
	(void)state;
	doubt();
	is_answered(401, play_no);
	assert_int_equal(play.run.result, -EACCES);
}

static void a_page_that_refuses_is_not_the_servers_word(void **state)
{
	(void)state;
	doubt();
	(void)play_page(403);
	ur_outage_answered(play.c);
	assert_int_equal(play.run.result, 0);
	assert_true(play.c->outage.on);
}

static void a_page_that_says_yes_is_no_server_that_is_back(void **state)
{
	(void)state;
	doubt();
	(void)play_page(200);
	ur_outage_answered(play.c);
	assert_true(play.c->outage.on);
	assert_non_null(strstr(play.said, "is away"));
}

static void to_be_sent_away_for_longer_than_the_run_waits_ends_it(void **state)
{
	(void)state;
	assert_false(ur_outage_is_sent_away(play.c, 503, -1));
	assert_false(ur_outage_is_sent_away(play.c, 503, 60000));
	assert_int_equal(play.run.result, 0);
	assert_true(ur_outage_is_sent_away(play.c, 503, 60001));
	assert_int_equal(play.run.result, -EHOSTUNREACH);
}

static struct ur_item *item_with_answer(int result, int status)
{
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_request *call = ur_call_begin(item);
	call->result = result;
	call->status = status;
	return item;
}

static void a_request_that_may_pass_goes_again_a_few_times(void **state)
{
	(void)state;
	struct ur_item *item = item_with_answer(-ECONNRESET, 0);
	for (int i = 0; i < UR_CALL_TRIES; i++) {
		assert_true(ur_outage_ask_later(play.c, item, UR_STEP_LINK));
		assert_int_equal(item->step, UR_STEP_REST);
		assert_int_equal(item->after_rest, UR_STEP_LINK);
		assert_true(item->due_ns > ur_clock_steady_ns());
		(void)ur_items_take(&play.c->resting);
	}
	assert_false(ur_outage_ask_later(play.c, item, UR_STEP_LINK));
	assert_true(play.c->outage.on);
}

static void a_refusal_is_not_asked_again(void **state)
{
	(void)state;
	assert_false(ur_outage_ask_later(play.c, item_with_answer(0, 400), UR_STEP_LINK));
	assert_false(play.c->outage.on);
}

static void a_busy_server_is_there(void **state)
{
	(void)state;
	assert_true(ur_outage_ask_later(play.c, item_with_answer(0, 429), UR_STEP_LINK));
	assert_false(play.c->outage.on);
}

static void a_busy_server_that_names_its_time_is_left_alone_till_then(void **state)
{
	(void)state;
	struct ur_item *item = item_with_answer(0, 429);
	item->call->retry_after_ms = 40000;
	assert_true(ur_outage_ask_later(play.c, item, UR_STEP_LINK));
	assert_true(item->due_ns >= ur_clock_steady_ns() + 40000 * UR_MS_NS);
	assert_int_equal(play.run.result, 0);

	item = item_with_answer(0, 429);
	item->call->retry_after_ms = INT64_C(86400000);
	(void)ur_outage_ask_later(play.c, item, UR_STEP_LINK);
	assert_int_equal(play.run.result, -EHOSTUNREACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(a_doubt_is_asked_about_at_once_and_by_one_request),
		PLAYED(a_server_that_answers_is_back_and_nothing_was_said),
		PLAYED(that_it_was_away_is_said_once_and_that_it_is_back),
		PLAYED(a_server_that_does_not_even_say_that_it_is_away_is_told_of_in_time),
		PLAYED(a_second_outage_begins_anew),
		PLAYED(an_outage_begins_with_its_first_doubt),
		PLAYED(a_server_that_stays_away_ends_the_run),
		PLAYED(a_key_that_is_refused_ends_the_run),
		PLAYED(a_page_that_refuses_is_not_the_servers_word),
		PLAYED(to_be_sent_away_for_longer_than_the_run_waits_ends_it),
		PLAYED(a_request_that_may_pass_goes_again_a_few_times),
		PLAYED(a_page_that_says_yes_is_no_server_that_is_back),
		PLAYED(a_busy_server_that_names_its_time_is_left_alone_till_then),
		PLAYED(a_refusal_is_not_asked_again),
		PLAYED(a_busy_server_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
