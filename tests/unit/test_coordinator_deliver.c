/* What is sent next, what is durable before it leaves, and what each ending of an upload leads to. */
#include "tests/unit/coordinator.h"

#include <errno.h>

/** It is wanted, and on its way to upload. */
static struct ur_item *sending(const char *names)
{
	struct ur_item *item = play_candidate(names);
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	ur_deliver_turn(play.c);
	assert_int_equal(item->files->state, UR_SENDING);
	assert_ptr_equal(ur_items_take(&play.c->after_commit), item);
	return item;
}

/** Upload is through with it: an HTTP answer in Immich's own words. */
static struct ur_file *ends(struct ur_item *item, int status)
{
	struct ur_file *file = &item->files[item->current];
	file->send_result = 0;
	file->send_status = status;
	file->send_own = true;
	file->send_readable = status == 200 || status == 201;
	file->send_duplicate = status == 200;
	file->send_body_gone = true;
	file->send_retry_ms = -1;
	file->send_why = "the server's own words";
	if (file->send_readable) {
		memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
	}
	return file;
}

/** Nobody answered. */
static struct ur_file *breaks(struct ur_item *item, int result, bool body_gone)
{
	struct ur_file *file = ends(item, 0);
	file->send_result = result;
	file->send_own = false;
	file->send_body_gone = body_gone;
	return file;
}

static bool is_under_way(struct ur_file *file)
{
	struct ur_item *other = play_candidate("same.jpg");
	memcpy(other->files->sha1, file->sha1, sizeof file->sha1);
	return ur_under_way_other(play.c, other->files) == file;
}

static void a_movie_goes_before_its_still(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg a.mov");
	item->files[0].movie = 1;
	item->files[1].still = 0;
	play_want(item, &item->files[0]);
	play_want(item, &item->files[1]);
	item->current = 0;
	ur_deliver_next(play.c, item);
	assert_int_equal(item->current, 1);
	assert_true(play_is_in(&play.c->to_send, item));
}

static void when_all_was_sent_the_item_goes_on_to_its_links(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg b.jpg");
	play_sent(&item->files[0]);
	play_known(&item->files[1]);
	item->files[1].outcome = UR_OUTCOME_OPEN;
	item->files[1].reason = NULL;
	ur_deliver_next(play.c, item);
	assert_int_equal(item->step, UR_STEP_LINK);
	assert_true(play_is_in(&play.c->to_call, item));
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_PRESENT);
	assert_string_equal(item->files[1].reason, "delivered before");
}

static void what_the_server_says_of_it_is_its_reason(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	item->files->outcome = UR_OUTCOME_OPEN;
	ur_deliver_next(play.c, item);
	assert_string_equal(item->files->reason, "the server has it");
}

static void a_still_waits_for_a_movie_that_waits(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg a.mov");
	item->files[0].movie = 1;
	item->files[1].still = 0;
	play_want(item, &item->files[0]);
	ur_file_close(&item->files[1], UR_WANTED, UR_OUTCOME_WAITING, "no room");
	ur_deliver_next(play.c, item);

	assert_int_equal(item->files[0].outcome, UR_OUTCOME_WAITING);
	assert_false(is_under_way(&item->files[0]));
}

static void nothing_leaves_before_its_row_is_durable(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_want(item, item->files);
	ur_step_go(play.c, item, UR_STEP_SEND);
	play_turn();

	assert_ptr_equal(play_next(play.c->wiring.to_upload), item);
	assert_int_equal(play_durable("a.jpg")->record.state, UR_SENDING);
	assert_true(ur_age_is_begun(&play_durable("a.jpg")->record.doubt));
	assert_int_equal(play_durable("a.jpg")->record.sending_ns, ur_clock_wall_ns());
}

static void nothing_leaves_when_the_ledger_cannot_be_written(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_want(item, item->files);
	ur_step_go(play.c, item, UR_STEP_SEND);
	play.commit_fails = -ENOSPC;
	play_turn();

	assert_null(play_next(play.c->wiring.to_upload));
	assert_ptr_equal(play_next(play.c->wiring.free_items), item);
	assert_int_equal(play.told[0].outcome, UR_OUTCOME_WAITING);
	assert_int_equal(play.run.result, -ENOSPC);
	assert_int_equal(play.c->in_upload, 0);
}

static void nothing_leaves_while_the_server_is_away_or_its_quota_is_asked_for(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	ur_outage_doubt(play.c);
	ur_deliver_turn(play.c);
	assert_int_equal(item->files->state, UR_WANTED);

	play.c->outage.on = false;
	play.c->quota.asking = true;
	ur_deliver_turn(play.c);
	assert_int_equal(item->files->state, UR_WANTED);

	play.c->quota.asking = false;
	ur_deliver_turn(play.c);
	assert_int_equal(item->files->state, UR_SENDING);
}

static void what_does_not_fit_the_quota_is_not_sent_and_keeps_nobody_waiting(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_want(item, item->files);
	play.c->quota.left = 1;
	ur_deliver_next(play.c, item);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_false(is_under_way(item->files));

	item = play_candidate("b.jpg");
	play_want(item, item->files);
	play.c->quota.left = -1;
	ur_deliver_next(play.c, item);
	play.c->quota.left = 1; // it is met while the item waits for its place
	ur_deliver_turn(play.c);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_true(play_is_in(&play.c->to_next, item));
	assert_false(is_under_way(item->files));
	assert_int_equal(play.c->in_upload, 0);
}

static void large_files_are_not_handed_over_long_before_they_can_go(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct ur_item *item = play_candidate(i % 2 == 0 ? "a.jpg" : "b.jpg");
		item->files->sha1[19] = (uint8_t)i;
		item->files->identity.size = 1 << 30;
		play_want(item, item->files);
		ur_deliver_next(play.c, item);
	}
	ur_deliver_turn(play.c);
	assert_int_equal(play.c->in_upload, 2 + 2); // the limit, and the next to go
}

static void a_201_is_a_delivery_and_on_the_record(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 201);
	play.c->durable = false;
	play.c->quota.left = 100;
	ur_deliver_result(play.c, item);

	assert_int_equal(play.c->quota.left, 100 - file->identity.size);
	assert_int_equal(play.c->in_upload, 0);
	assert_true(play_is_in(&play.c->to_next, item));
	assert_true(file->decided);
	assert_int_equal(file->delivered_ns, ur_clock_wall_ns());
	assert_int_equal(file->state, UR_DELIVERED);
	assert_int_equal(file->outcome, UR_OUTCOME_SENT);
	assert_true(ur_file_is_ours(file));
	assert_true(ur_age_is_begun(&file->there_since));
	assert_false(ur_age_is_begun(&file->doubt_since));
	assert_true(play.c->durable);
	assert_int_equal(play_row("a.jpg")->record.state, UR_DELIVERED);
	assert_true(play_fact(file->sha1)->asset.created);
	assert_false(is_under_way(file));
}

static void a_duplicate_of_what_was_just_not_there_is_a_suspect(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 200);
	play_pass(1000);
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_SUSPECT);
	assert_false(file->remembered || ur_file_is_ours(file));
	assert_int_equal(ur_age_ns(&file->doubt_since), 0); // since it was claimed
	assert_false(is_under_way(file));
}

static void after_a_lost_answer_the_server_is_asked_and_nobody_sends_these_bytes(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = breaks(item, -ECONNRESET, true);
	item->call_tries = 5;
	ur_deliver_result(play.c, item);

	assert_int_equal(item->call_tries, 0);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_ASK);
	assert_true(ur_file_is_to_ask(file));
	assert_true(is_under_way(file));
	assert_int_equal(file->lost_until_ns, ur_clock_steady_ns() + 300 * UR_SECOND_NS);
	assert_true(ur_age_is_begun(&file->doubt_since));
}

static void what_the_server_refused_in_its_own_words_does_not_come_any_more(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 500);
	ur_deliver_result(play.c, item);

	assert_int_equal(file->put.state, UR_PUT_LOST);
	assert_int_equal(file->lost_until_ns, ur_clock_steady_ns());
}

static void what_never_went_out_is_sent_again_without_a_doubt(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = breaks(item, -ECONNREFUSED, false);
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_WANTED);
	assert_int_equal(item->after_rest, UR_STEP_SEND);
	assert_false(ur_age_is_begun(&file->doubt_since));
	assert_int_equal(file->sending_ns, 0);
	assert_true(play.c->outage.on); // and nothing else is sent meanwhile
}

static void an_older_doubt_outlives_a_send_of_which_nothing_went_out(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	item->files->put.doubted = true;
	struct ur_file *file = breaks(item, -ECONNREFUSED, false);
	ur_deliver_result(play.c, item);

	assert_true(ur_age_is_begun(&file->doubt_since));
}

static void the_last_try_ends_it_for_this_run(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	item->files->put.sends = 2;
	struct ur_file *file = breaks(item, -ECONNREFUSED, false);
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_FAILED);
	assert_int_equal(file->tries, 3);
	assert_false(file->for_good);
	assert_true(file->next_ns > ur_clock_wall_ns());
}

static void a_file_that_the_server_does_not_take_is_not_sent_again(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 400);
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_FAILED);
	assert_true(file->for_good);
	assert_string_equal(file->reason, "the server's own words");
}

static void a_file_that_could_not_be_read_for_its_upload_is_tried_again(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = breaks(item, -EIO, false);
	ur_deliver_result(play.c, item);
	assert_int_equal(file->state, UR_FAILED);
	assert_false(file->for_good);
}

static void a_refusal_by_rules_of_yesterday_is_not_for_good(void **state)
{
	(void)state;
	play.run.server_remembered = true;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 400);
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_FAILED);
	assert_false(file->for_good);
}

static void what_is_too_large_is_refused_whoever_says_so(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 413);
	file->send_own = false;
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_WANTED);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
	assert_int_equal(
		play.c->way.refused, file->identity.size); // and the next of that size waits
	assert_int_equal(play.run.result, 0);
}

static void a_quota_keeps_the_file_waiting_and_is_asked_for(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 400);
	file->send_quota = true;
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_WANTED);
	assert_int_equal(file->outcome, UR_OUTCOME_WAITING);
	assert_string_equal(play_question(), "GET /api/users/me");
	assert_int_equal(file->sending_ns, 0); // nothing of it is there
	assert_false(ur_age_is_begun(&file->doubt_since));
}

static void a_quota_takes_no_earlier_doubt_away(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 400);
	file->send_quota = true;
	file->put.doubted = true;
	file->doubt_since = ur_age_begin();
	ur_deliver_result(play.c, item);

	assert_true(ur_age_is_begun(&file->doubt_since));
}

static void a_key_that_is_refused_ends_the_run_and_the_file_waits(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 401);
	ur_deliver_result(play.c, item);

	assert_int_equal(play.run.result, -EACCES);
	assert_int_equal(file->outcome, UR_OUTCOME_WAITING);
}

static void a_page_is_no_word_about_the_file(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 403);
	file->send_own = false;
	ur_deliver_result(play.c, item);

	assert_int_equal(play.run.result, 0);
	assert_true(ur_file_is_open(file));
	assert_true(play.c->outage.on);
}

static void a_delivery_ends_a_row_of_strangers(void **state)
{
	(void)state;
	play.c->strange_sends = 4;
	struct ur_item *item = sending("a.jpg");
	(void)ends(item, 201);
	ur_deliver_result(play.c, item);
	assert_int_equal(play.c->strange_sends, 0);
}

static void a_stop_leaves_what_may_have_gone_out_in_doubt(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = breaks(item, -ECANCELED, true);
	ur_deliver_result(play.c, item);
	assert_int_equal(file->state, UR_SENDING);
	assert_int_equal(file->outcome, UR_OUTCOME_WAITING);

	item = sending("b.jpg");
	file = breaks(item, -ECANCELED, false);
	ur_deliver_result(play.c, item);
	assert_int_equal(file->state, UR_WANTED);
}

static void a_file_that_changed_under_our_hands_is_looked_at_again(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = breaks(item, -ESTALE, false);
	file->send_changed = true;
	ur_deliver_result(play.c, item);

	assert_int_equal(file->state, UR_SEEN);
	assert_false(file->remembered);
	assert_false(is_under_way(file));
}

static void a_stop_lets_nothing_new_go(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	atomic_store(&play.run.stop, true);
	ur_deliver_turn(play.c);

	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_int_equal(play.c->in_upload, 0);
	assert_false(is_under_way(item->files));
	assert_true(play_is_in(&play.c->to_next, item));
}

static void a_long_retry_after_ends_the_run(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = ends(item, 503);
	file->send_retry_ms = PLAY_HOUR_MS;
	ur_deliver_result(play.c, item);
	assert_int_equal(play.run.result, -EHOSTUNREACH);
}

static void a_plan_sends_nothing_and_says_what_it_would(void **state)
{
	(void)state;
	play.options.plan = true;
	play_begin();
	struct ur_item *item = play_candidate("a.jpg");
	play_want(item, item->files);
	ur_deliver_next(play.c, item);

	assert_int_equal(item->files->outcome, UR_OUTCOME_SENT);
	assert_int_equal(item->files->state, UR_WANTED);
	assert_false(item->files->now_sent);
	assert_null(play.c->to_send.first);
	assert_int_equal(play_row("a.jpg")->record.state, UR_WANTED);
	play.same_in_run = true;
	assert_true(ur_book_has_planned(play.c, item, item->files));
	assert_false(is_under_way(item->files));
}

static void a_file_that_was_named_twice_counts_once(void **state)
{
	(void)state;
	struct ur_item *first = play_candidate("a.jpg");
	play_sent(first->files);
	ur_book_file(play.c, first, first->files);
	struct ur_item *again = play_candidate("a.jpg");
	again->files->decided = true;
	again->files->state = UR_DUPLICATE;
	memcpy(again->files->asset, PLAY_ASSET, sizeof again->files->asset);
	ur_deliver_next(play.c, again);

	assert_int_equal(again->files->outcome, UR_OUTCOME_VANISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(a_movie_goes_before_its_still),
		PLAYED(when_all_was_sent_the_item_goes_on_to_its_links),
		PLAYED(what_the_server_says_of_it_is_its_reason),
		PLAYED(a_still_waits_for_a_movie_that_waits),
		PLAYED(nothing_leaves_before_its_row_is_durable),
		PLAYED(nothing_leaves_when_the_ledger_cannot_be_written),
		PLAYED(nothing_leaves_while_the_server_is_away_or_its_quota_is_asked_for),
		PLAYED(what_does_not_fit_the_quota_is_not_sent_and_keeps_nobody_waiting),
		PLAYED(large_files_are_not_handed_over_long_before_they_can_go),
		PLAYED(a_201_is_a_delivery_and_on_the_record),
		PLAYED(a_duplicate_of_what_was_just_not_there_is_a_suspect),
		PLAYED(after_a_lost_answer_the_server_is_asked_and_nobody_sends_these_bytes),
		PLAYED(what_the_server_refused_in_its_own_words_does_not_come_any_more),
		PLAYED(what_never_went_out_is_sent_again_without_a_doubt),
		PLAYED(an_older_doubt_outlives_a_send_of_which_nothing_went_out),
		PLAYED(the_last_try_ends_it_for_this_run),
		PLAYED(a_file_that_the_server_does_not_take_is_not_sent_again),
		PLAYED(a_file_that_could_not_be_read_for_its_upload_is_tried_again),
		PLAYED(a_refusal_by_rules_of_yesterday_is_not_for_good),
		PLAYED(what_is_too_large_is_refused_whoever_says_so),
		PLAYED(a_quota_keeps_the_file_waiting_and_is_asked_for),
		PLAYED(a_quota_takes_no_earlier_doubt_away),
		PLAYED(a_key_that_is_refused_ends_the_run_and_the_file_waits),
		PLAYED(a_page_is_no_word_about_the_file),
		PLAYED(a_delivery_ends_a_row_of_strangers),
		PLAYED(a_stop_leaves_what_may_have_gone_out_in_doubt),
		PLAYED(a_file_that_changed_under_our_hands_is_looked_at_again),
		PLAYED(a_stop_lets_nothing_new_go),
		PLAYED(a_long_retry_after_ends_the_run),
		PLAYED(a_plan_sends_nothing_and_says_what_it_would),
		PLAYED(a_file_that_was_named_twice_counts_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
