/* A live movie that was sent to a still that was there: looked at first, for what is linked stays. */
#include "tests/unit/coordinator.h"

#include <errno.h>

/** The still was there, its movie was sent now. */
static struct ur_item *half_sent(void)
{
	struct ur_item *item = play_candidate("a.jpg a.mov");
	item->files[0].movie = 1;
	item->files[1].still = 0;
	play_known(&item->files[0]);
	play_sent(&item->files[1]);
	memcpy(item->files[1].asset, PLAY_OTHER, sizeof item->files[1].asset);
	item->step = UR_STEP_LINK;
	return item;
}

/** The step's next request goes out, if there is any. */
static void goes_on(struct ur_item *item)
{
	(void)ur_items_take(&play.c->to_call);
	ur_link_next(play.c, item);
}

static void says(struct ur_item *item, const char *more)
{
	(void)play_asset(&item->files[0], PLAY_USER, more);
	ur_link_answered(play.c, item);
}

static void who_needs_no_link_asks_nothing(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	item->files[1].now_sent = false; // both were there
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_AMEND);

	item = half_sent();
	play_sent(&item->files[0]); // after its movie: the link travelled
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_AMEND);
	assert_int_equal(play.asked_count, 0);
}

static void a_still_without_a_movie_gets_the_one_that_was_sent(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
	item->call_tries = 3;
	says(item, "");
	assert_int_equal(item->call_tries, 0);
	assert_true(play_is_in(&play.c->to_call, item));
	goes_on(item);
	assert_string_equal(play_question(), "PUT /api/assets/" PLAY_ASSET);
	assert_string_equal(play_body(), "{\"livePhotoVideoId\":\"" PLAY_OTHER "\"}");
	(void)play_answer(200, "{}");
	ur_link_answered(play.c, item);
	assert_true(item->files[0].linked);
	assert_false(item->files[0].warn);
	assert_true(play_is_in(&play.c->to_call, item));
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_AMEND);
	assert_int_equal(item->call_phase, 0); // the next step begins with its own
	assert_int_equal(play.c->in_calls, 0);
}

static void what_an_earlier_run_owes_is_linked_in_this_one(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	item->files[1].now_sent = false;
	item->files[1].owes_link = true;
	goes_on(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
}

static void another_movie_that_is_linked_stays(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	says(item, ",\"livePhotoVideoId\":\"bbbbbbbb-0000-4000-8000-000000000001\"");
	assert_true(item->files[0].linked && item->files[0].warn);
	assert_non_null(strstr(item->files[0].reason, "which stays"));
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_AMEND);
	assert_int_equal(play.asked_count, 0);
}

static void what_is_linked_already_is_not_linked_again(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	says(item, ",\"livePhotoVideoId\":\"" PLAY_OTHER "\"");
	assert_true(item->files[0].linked);
	assert_false(item->files[0].warn);
	goes_on(item);
	assert_int_equal(play.asked_count, 0);
}

static void an_answer_without_sense_links_nothing(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	(void)play_answer(200, "{}");
	ur_link_answered(play.c, item);
	assert_true(item->files[0].warn);
	goes_on(item);
	assert_int_equal(play.asked_count, 0);
}

static void a_line_that_breaks_is_tried_again(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	(void)play_break(-ECONNRESET);
	ur_link_answered(play.c, item);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_LINK);
	assert_false(item->files[0].linked || item->files[0].warn);
}

static void a_refusal_is_said_and_the_item_goes_on(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	(void)play_answer(403, play_no);
	ur_link_answered(play.c, item);
	assert_true(item->files[0].linked && item->files[0].warn);
	assert_non_null(strstr(item->files[0].reason, "could not be linked"));
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_AMEND);
}

/* While nobody said no the pair is kept, for once it is gone nobody knows that it was one. */
static void who_was_not_heard_about_stays_and_owes_its_link(void **state)
{
	(void)state;
	static const int pages[] = {200, 302, 401, 403, 404, 413};
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		struct ur_item *item = half_sent();
		play.options.after = UR_AFTER_DELETE;
		goes_on(item);
		says(item, "");
		goes_on(item);
		(void)play_page(pages[i]);
		ur_link_answered(play.c, item);
		assert_true(
			item->files[0].not_now && item->files[0].warn && item->files[0].trouble);
		assert_false(item->files[0].linked);
		assert_non_null(strstr(item->files[0].reason, "not be linked yet"));
		play.asked_count = 0;
		goes_on(item);
		assert_int_equal(item->step, UR_STEP_AMEND);
		assert_int_equal(play.asked_count, 0);
	}
}

static void an_answer_without_a_mark_that_names_the_movie_has_linked_it(void **state)
{
	(void)state;
	struct ur_item *item = half_sent();
	goes_on(item);
	says(item, "");
	goes_on(item);
	says(item, ",\"livePhotoVideoId\":\"" PLAY_OTHER "\"");
	assert_true(item->files[0].linked);
	assert_false(item->files[0].warn);
}

static void a_plan_links_nothing(void **state)
{
	(void)state;
	play.options.plan = true;
	struct ur_item *item = half_sent();
	goes_on(item);
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(item->step, UR_STEP_AMEND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(who_needs_no_link_asks_nothing),
		PLAYED(a_still_without_a_movie_gets_the_one_that_was_sent),
		PLAYED(what_an_earlier_run_owes_is_linked_in_this_one),
		PLAYED(another_movie_that_is_linked_stays),
		PLAYED(what_is_linked_already_is_not_linked_again),
		PLAYED(an_answer_without_sense_links_nothing),
		PLAYED(a_line_that_breaks_is_tried_again),
		PLAYED(a_refusal_is_said_and_the_item_goes_on),
		PLAYED(who_was_not_heard_about_stays_and_owes_its_link),
		PLAYED(an_answer_without_a_mark_that_names_the_movie_has_linked_it),
		PLAYED(a_plan_links_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
