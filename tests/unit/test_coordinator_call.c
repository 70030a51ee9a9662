/* An item has one request at a time, and what comes back comes back to the coordinator's thread. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static void an_answer_comes_back_through_the_queue(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	assert_true(ur_call_get_asset(play.c, item, item->files));
	struct ur_request *call = play_asked();
	call->done(call); // as http's thread does
	void *got = NULL;
	assert_int_equal(ur_queue_pop(play.c->wiring.answers, &got), 0);
	assert_ptr_equal(got, item->call);
	assert_ptr_equal(item->call->owner, item);
}

static void requests_that_are_out_are_counted_until_they_are_back(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	assert_true(ur_call_get_asset(play.c, item, item->files));
	assert_int_equal(play.c->in_calls, 1);
	ur_call_returned(play.c);
	assert_int_equal(play.c->in_calls, 0);
}

static void nothing_of_the_last_request_is_left_in_the_next_one(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_request *call = ur_call_begin(item);
	call->status = 404;
	call->result = -EPROTO;
	call->header[0][0] = 'x';
	ur_text_adds(&call->answer, "an answer");
	assert_ptr_equal(ur_call_begin(item), call);
	assert_int_equal(call->status, 0);
	assert_int_equal(call->result, 0);
	assert_string_equal(call->header[0], "");
	assert_string_equal(ur_text_get(&call->answer), "");
	assert_ptr_equal(call->owner, item);
}

static void an_asset_is_asked_for_by_its_id_and_not_for_ever(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	assert_true(ur_call_get_asset(play.c, item, item->files));
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
	assert_true(play_asked()->answer_wait_ms > 0);
}

static void nobody_looks_for_longer_than_they_may_store(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	assert_int_equal(ur_run_answer_ms(&play.run, 60000), 60000);
	play.options.answer_wait_ms = 3000;
	assert_int_equal(ur_run_answer_ms(&play.run, 60000), 3000);
	assert_true(ur_call_get_asset(play.c, item, item->files));
	assert_int_equal(play_asked()->answer_wait_ms, 3000);
}

static void what_is_put_stays_as_it_was_when_its_text_is_gone(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_text body = {0};
	ur_text_adds(&body, "{\"rating\":5}");
	assert_true(ur_call_put(play.c, item, "/api/assets", &body));
	ur_text_clear(&body);
	ur_text_adds(&body, "xxxxxxxxxxxxxxx");
	ur_text_done(&body);
	assert_string_equal(play_question(), "PUT /api/assets");
	assert_string_equal(play_body(), "{\"rating\":5}");
	assert_string_equal(play_asked()->content_type, "application/json");
}

static void what_memory_does_not_suffice_for_is_not_sent(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_text body = {0};
	ur_text_adds(&body, "{}");
	assert_false(ur_call_put(play.c, item, NULL, &body));
	ur_text_done(&body);
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(play.c->in_calls, 0);
}

static void why_it_came_to_nothing_is_the_servers_word_or_the_lines(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_request *call = ur_call_begin(item);
	call->status = 400;
	ur_text_adds(&call->answer, "{\"message\":\"no such thing\"}");
	assert_non_null(strstr(ur_call_why(item), "no such thing"));

	call = ur_call_begin(item);
	call->result = -ECONNRESET;
	(void)ur_err_say(&call->err, -ECONNRESET, UR_FAULT_WORLD, "the line broke");
	assert_string_equal(ur_call_why(item), "the line broke");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(an_answer_comes_back_through_the_queue),
		PLAYED(requests_that_are_out_are_counted_until_they_are_back),
		PLAYED(nothing_of_the_last_request_is_left_in_the_next_one),
		PLAYED(an_asset_is_asked_for_by_its_id_and_not_for_ever),
		PLAYED(nobody_looks_for_longer_than_they_may_store),
		PLAYED(what_is_put_stays_as_it_was_when_its_text_is_gone),
		PLAYED(what_memory_does_not_suffice_for_is_not_sent),
		PLAYED(why_it_came_to_nothing_is_the_servers_word_or_the_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
