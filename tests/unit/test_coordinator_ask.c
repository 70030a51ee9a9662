/* What the server has is asked by checksum, and what it says decides who may be sent. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static void to_ask(struct ur_item *item)
{
	ur_step_go(play.c, item, UR_STEP_ASK);
}

static void ask(void)
{
	play.c->inputs_open = 0; // nobody else is to come
	ur_ask_turn(play.c);
}

/** The question is answered, letter by letter, and what that says is taken in. */
static void says(const char *letters)
{
	ur_ask_answered(play.c, play_check(letters));
	ur_ask_turn(play.c);
}

static struct ur_item *asked_about(const char *names, const char *letters)
{
	struct ur_item *item = play_candidate(names);
	to_ask(item);
	ask();
	says(letters);
	return item;
}

static int count_in(const char *text, const char *word)
{
	int count = 0;
	for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
		count++;
	}
	return count;
}

static void all_that_is_media_is_asked_for_in_one_question(void **state)
{
	(void)state;
	struct ur_item *first = play_candidate("a.jpg a.mov a.jpg.xmp");
	struct ur_item *second = play_candidate("b.jpg b.raw");
	ur_file_close(&second->files[1], UR_REFUSED, UR_OUTCOME_REFUSED, "no media");
	to_ask(first);
	to_ask(second);
	ask();

	assert_string_equal(play_question(), "POST /api/assets/bulk-upload-check");
	assert_int_equal(count_in(play_body(), "checksum"), 3);
	assert_ptr_equal(strstr(play_body(), "{\"assets\":[{"), play_body());
	assert_string_equal(play_body() + strlen(play_body()) - 3, "}]}");
}

static void who_has_nothing_to_ask_goes_on(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.xmp");
	to_ask(item);
	ask();
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(item->step, UR_STEP_SEND);
}

static void a_question_waits_for_company_but_not_for_long(void **state)
{
	(void)state;
	to_ask(play_candidate("a.jpg"));
	ur_ask_turn(play.c);
	assert_int_equal(play.asked_count, 0);

	play_pass(30);
	ur_ask_turn(play.c);
	assert_int_equal(play.asked_count, 1);
}

static void one_question_is_out_at_a_time_and_none_while_the_server_is_away(void **state)
{
	(void)state;
	to_ask(play_candidate("a.jpg"));
	ur_outage_doubt(play.c);
	ask();
	assert_int_equal(play.asked_count, 0);

	play.c->outage.on = false;
	ask();
	to_ask(play_candidate("b.jpg"));
	ask();
	assert_int_equal(play.asked_count, 1);
}

static void what_the_server_lacks_is_wanted_and_under_way(void **state)
{
	(void)state;
	struct ur_item *item = asked_about("a.jpg", "a");
	struct ur_item *other = play_candidate("b.jpg");
	play_bytes(other->files, "a.jpg");

	assert_int_equal(item->files->state, UR_WANTED);
	assert_int_equal(item->files->put.state, UR_PUT_SEND);
	assert_int_equal(item->step, UR_STEP_SEND);
	assert_ptr_equal(ur_under_way_other(play.c, other->files), item->files);
}

static void what_the_server_has_is_not_sent(void **state)
{
	(void)state;
	const struct ur_file *file = asked_about("a.jpg", "t")->files;

	assert_true(file->decided && file->there);
	assert_int_equal(file->state, UR_KNOWN);
	assert_string_equal(file->asset, PLAY_ASSET);
	assert_true(ur_age_is_begun(&file->there_since));
	assert_false(file->must_confirm);
}

static struct ur_file *there_after(bool created, int64_t runs_ago)
{
	struct ur_item *item = play_candidate("a.jpg");
	struct play_fact *fact = play_fact(item->files->sha1);
	fact->has_asset = true;
	fact->asset.created = created;
	fact->asset.run = play.run.id - runs_ago;
	to_ask(item);
	ask();
	says("t");
	return item->files;
}

static void what_this_run_brought_there_is_a_duplicate(void **state)
{
	(void)state;
	assert_int_equal(there_after(true, 0)->state, UR_DUPLICATE);
	assert_int_equal(there_after(true, 1)->state, UR_KNOWN);
	assert_int_equal(there_after(false, 0)->state, UR_KNOWN);
}

static void a_ledger_that_cannot_be_read_ends_the_run(void **state)
{
	(void)state;
	play.get_fails = -EIO;
	const struct ur_item *item = asked_about("a.jpg", "a");
	assert_int_equal(play.run.result, -EIO);
	assert_int_not_equal(item->files->state, UR_WANTED);
}

static void what_lies_in_the_servers_trash_is_neither_sent_nor_there(void **state)
{
	(void)state;
	const struct ur_file *file = asked_about("a.jpg", "x")->files;

	assert_int_equal(file->state, UR_TRASHED);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
	assert_false(file->there);
}

static void what_was_delivered_once_and_is_gone_is_not_sent_again(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct play_fact *fact = play_fact(item->files->sha1);
	fact->has_asset = true;
	memcpy(fact->asset.asset, PLAY_OTHER, sizeof fact->asset.asset);
	to_ask(item);
	ask();
	says("a");

	assert_int_equal(item->files->state, UR_WITHDRAWN);
	assert_string_equal(item->files->asset, PLAY_OTHER);
	assert_int_equal(atomic_load(&play.run.wanted), 0);
}

static void the_second_of_the_same_bytes_waits_for_the_first(void **state)
{
	(void)state;
	struct ur_item *first = play_candidate("a.jpg");
	struct ur_item *second = play_candidate("b.jpg");
	play_bytes(second->files, "a.jpg");
	to_ask(first);
	to_ask(second);
	ask();
	says("aa");
	assert_int_equal(first->files->state, UR_WANTED);
	assert_int_equal(second->step, UR_STEP_SAME);
	assert_int_not_equal(second->files->state, UR_WANTED);

	ur_file_close(first->files, UR_DELIVERED, UR_OUTCOME_SENT, "");
	ur_under_way_release(play.c, first->files);
	ask();
	says("t");
	assert_int_equal(second->files->state, UR_DUPLICATE);
}

static void twins_of_one_group_are_sent_once(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg a.raw");
	play_bytes(&item->files[1], "a.jpg");
	to_ask(item);
	ask();
	says("aa");

	assert_int_equal(item->files[0].state, UR_WANTED);
	/* It is looked at again when the first is through; until then nobody sends it. */
	assert_int_not_equal(item->files[1].state, UR_WANTED);
	assert_int_equal(item->step, UR_STEP_SEND);
}

static void an_absence_that_was_asked_while_the_bytes_were_under_way_says_nothing(void **state)
{
	(void)state;
	struct ur_item *sender = play_candidate("a.jpg");
	struct ur_item *late = play_candidate("b.jpg");
	play_bytes(late->files, "a.jpg");
	to_ask(late);
	ask();
	ur_under_way_add(play.c, sender->files); // between the question and its answer
	ur_under_way_release(play.c, sender->files);
	says("a");
	assert_int_not_equal(late->files->state, UR_WANTED);

	ask();
	says("a");
	assert_int_equal(late->files->state, UR_WANTED);
}

static struct ur_item *lost(const char *name)
{
	struct ur_item *item = play_candidate(name);
	struct ur_file *file = item->files;
	ur_put_start(&file->put, &play.c->rules, UR_PUT_LOST, true);
	file->lost_until_ns = ur_clock_steady_ns() + 60 * UR_SECOND_NS;
	file->doubt_since = ur_age_begin();
	to_ask(item);
	ask();
	return item;
}

static void what_may_still_arrive_is_not_sent_again_before_its_time_is_over(void **state)
{
	(void)state;
	struct ur_item *item = lost("a.jpg");
	says("a");
	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_not_equal(item->files->state, UR_WANTED);

	play_pass(60001);
	(void)ur_items_take(&play.c->resting);
	to_ask(item);
	ask();
	says("a");
	assert_int_equal(item->files->state, UR_WANTED);
}

static void nobody_else_sends_what_may_still_arrive(void **state)
{
	(void)state;
	struct ur_item *item = lost("a.jpg");
	struct ur_item *other = play_candidate("b.jpg");
	play_bytes(other->files, "a.jpg");
	says("a");
	to_ask(other);
	ask();

	assert_int_equal(other->step, UR_STEP_SAME);
	assert_ptr_equal(item->files->same_items, other);
}

static void a_twin_of_what_may_still_arrive_waits_for_it(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg a.raw");
	play_bytes(&item->files[1], "a.jpg");
	ur_put_start(&item->files[1].put, &play.c->rules, UR_PUT_LOST, true);
	item->files[1].lost_until_ns = ur_clock_steady_ns() + 60 * UR_SECOND_NS;
	item->files[1].doubt_since = ur_age_begin();
	to_ask(item);
	ask();
	says("aa");

	assert_false(item->files[0].decided);
	assert_int_not_equal(item->files[0].state, UR_WANTED);
	assert_int_equal(item->step, UR_STEP_REST);
}

static void who_waited_is_asked_for_when_the_lost_one_is_found(void **state)
{
	(void)state;
	struct ur_item *item = lost("a.jpg");
	struct ur_item *other = play_candidate("b.jpg");
	play_bytes(other->files, "a.jpg");
	ur_under_way_wait(other, item->files);
	says("t");
	assert_int_equal(other->step, UR_STEP_ASK);
}

static void who_waited_is_asked_for_when_the_lost_one_is_not_sent_again(void **state)
{
	(void)state;
	struct ur_item *item = lost("a.jpg");
	item->files->lost_until_ns = 0;
	play_fact(item->files->sha1)->has_asset = true; // and gone: withdrawn
	struct ur_item *other = play_candidate("b.jpg");
	play_bytes(other->files, "a.jpg");
	ur_under_way_wait(other, item->files);
	says("a");
	assert_int_equal(item->files->state, UR_WITHDRAWN);
	assert_int_equal(other->step, UR_STEP_ASK);
}

static void what_did_not_arrive_by_its_last_try_failed(void **state)
{
	(void)state;
	struct ur_item *item = lost("a.jpg");
	item->files->lost_until_ns = 0;
	item->files->put.sends = 3;
	says("a");
	assert_int_equal(item->files->state, UR_FAILED);
	assert_false(item->files->for_good);
}

static void what_the_server_has_of_a_known_upload_is_told_by_its_gateway(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_resume resume = {.address = "uploads/1"};
	item->files->resume = &resume;
	to_ask(item);
	ask();
	says("t");
	assert_true(resume.there);
	assert_int_equal(item->files->state, UR_WANTED);
	assert_int_equal(item->files->put.state, UR_PUT_SEND);
	assert_string_equal(item->files->asset, PLAY_ASSET);
}

static void a_claim_after_an_upload_that_ended_badly_is_a_suspect(void **state)
{
	(void)state;
	const struct ur_item *item = lost("a.jpg");
	says("t");

	assert_int_equal(item->files->state, UR_SUSPECT);
	assert_int_equal(item->files->outcome, UR_OUTCOME_REFUSED);
	assert_false(item->files->there);
}

static void a_claim_is_asked_for_its_bytes_when_the_doubt_is_old_enough(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	item->files->doubt_since = ur_age_begin();
	ur_put_start(&item->files->put, &play.c->rules, UR_PUT_CHECK, true);
	play_pass(PLAY_HOUR_MS + 1);
	to_ask(item);
	ask();
	says("t");

	assert_int_equal(item->files->state, UR_KNOWN);
	assert_true(item->files->must_confirm);
}

static void what_was_broken_there_is_asked_for_its_bytes(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	(void)play_remember(item->files, UR_BROKEN);
	to_ask(item);
	ask();
	says("t");

	assert_true(item->files->must_confirm);
}

static void a_doubt_about_another_file_with_the_same_bytes_counts(void **state)
{
	(void)state;
	play.doubt.since = play.doubt.sending = ur_age_begin();
	struct ur_item *item = asked_about("a.jpg", "a");
	assert_int_not_equal(item->files->state, UR_WANTED);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_true(ur_age_is_begun(&item->files->doubt_since));
}

static void what_is_waited_for_is_said_once_and_until_when(void **state)
{
	(void)state;
	char when[UR_CLOCK_TEXT];
	play.doubt.since = play.doubt.sending = ur_age_begin();
	struct ur_item *item = asked_about("a.jpg", "a");
	assert_string_equal(play.said, ""); // the next question may end it
	play_pass(10000);
	play_turn();
	ask();
	says("a");
	ur_clock_local(
		ur_clock_wall_ns() + item->files->lost_until_ns - ur_clock_steady_ns(), when);
	assert_non_null(strstr(play.said, "a.jpg"));
	assert_non_null(strstr(play.said, when));
	play.said[0] = '\0';
	(void)asked_about("b.jpg", "a");
	assert_string_equal(play.said, "");
}

static void a_short_wait_needs_no_words(void **state)
{
	(void)state;
	play.doubt.since = play.doubt.sending = ur_age_begin();
	play_pass(play.options.answer_wait_ms - 3000);
	(void)asked_about("a.jpg", "a");
	assert_string_equal(play.said, "");
}

static void tries_are_counted_on_when_a_doubt_is_shared(void **state)
{
	(void)state;
	play.doubt.since = ur_age_begin();
	struct ur_item *item = play_candidate("a.jpg");
	item->files->put.sends = 2;
	to_ask(item);
	ask();
	says("a");
	assert_int_equal(item->files->put.sends, 2);
}

static void a_younger_doubt_of_the_same_bytes_counts(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	item->files->doubt_since = ur_age_begin();
	ur_put_start(&item->files->put, &play.c->rules, UR_PUT_CHECK, true);
	play_pass(PLAY_HOUR_MS + 1);
	play.doubt.since = ur_age_begin();
	to_ask(item);
	ask();
	says("t");
	assert_int_equal(item->files->state, UR_SUSPECT);
}

static void a_plan_has_no_doubts(void **state)
{
	(void)state;
	play.options.plan = true;
	play_begin();
	play.doubt.since = play.doubt.sending = ur_age_begin();
	assert_int_equal(asked_about("a.jpg", "a")->files->state, UR_WANTED);
}

static void another_asset_than_the_remembered_one_is_not_our_own(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	struct ur_file *file = item->files;
	memcpy(file->asset, PLAY_OTHER, sizeof file->asset);
	file->created = file->travelled = true;
	file->there_since = ur_age_begin();
	file->there_since.had_ns = PLAY_DAY_MS * UR_MS_NS;
	to_ask(item);
	ask();
	says("t");

	assert_false(file->created || file->travelled);
	assert_true(ur_file_is_young(play.c, file));
}

static void a_question_that_came_to_nothing_is_asked_again(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	to_ask(item);
	ask();
	ur_ask_answered(play.c, play_break(-ECONNRESET));
	ur_ask_turn(play.c);

	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_ASK);
	assert_int_equal(play.run.result, 0);
	assert_true(play.c->outage.on);
}

static void a_busy_server_is_there_and_asked_again(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	to_ask(item);
	ask();
	ur_ask_answered(play.c, play_answer(429, play_no));
	ur_ask_turn(play.c);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_false(play.c->outage.on);
}

static void a_server_that_asks_to_be_left_alone_for_long_ends_the_run(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	to_ask(item);
	ask();
	play_asked()->retry_after_ms = PLAY_HOUR_MS;
	ur_ask_answered(play.c, play_answer(503, play_no));
	assert_int_equal(play.run.result, -EHOSTUNREACH);
	ur_ask_turn(play.c);
}

static void a_key_that_is_refused_ends_the_run_and_a_page_does_not(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	to_ask(item);
	ask();
	ur_ask_answered(play.c, play_page(401));
	ur_ask_turn(play.c);
	assert_int_equal(play.run.result, 0);

	(void)ur_items_take(&play.c->resting);
	play.c->outage.on = false;
	to_ask(item);
	ask();
	ur_ask_answered(play.c, play_answer(401, play_no));
	assert_int_equal(play.run.result, -EACCES);
	assert_true(ur_step_is_stopping(play.c));
}

static void questions_without_an_answer_end_the_run_after_the_longest_wait(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(play.run.result, 0);
		to_ask(item);
		ask();
		ur_ask_answered(play.c, play_break(-ETIMEDOUT));
		ur_ask_turn(play.c);
		play.c->outage.on = false;
		(void)ur_items_take(&play.c->resting);
		play_pass(60001);
	}
	assert_int_equal(play.run.result, -EHOSTUNREACH);
}

static void an_answer_ends_the_wait_for_one(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	to_ask(item);
	ask();
	ur_ask_answered(play.c, play_break(-ETIMEDOUT));
	ur_ask_turn(play.c);
	assert_int_not_equal(play.c->unanswered_ns, 0);

	play.c->outage.on = false;
	(void)ur_items_take(&play.c->resting);
	to_ask(item);
	ask();
	says("a");
	assert_int_equal(play.c->unanswered_ns, 0);
}

static void no_more_are_wanted_than_the_limit_says(void **state)
{
	(void)state;
	play.options.limit = 1;
	struct ur_item *item = asked_about("a.jpg a.raw", "aa");

	assert_int_equal(item->files[0].state, UR_WANTED);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
}

static void a_file_that_is_asked_for_again_counts_once_against_the_limit(void **state)
{
	(void)state;
	play.options.limit = 1;
	struct ur_item *item = asked_about("a.jpg", "a");
	assert_int_equal(item->files->state, UR_WANTED);
	item->files->state = UR_PROBED; // its sending did not end well
	ur_put_start(&item->files->put, &play.c->rules, UR_PUT_LOST, true);
	(void)ur_items_take(&play.c->to_next);
	to_ask(item);
	ask();
	says("a");

	assert_int_equal(item->files->state, UR_WANTED);
	assert_int_equal(atomic_load(&play.run.wanted), 1);
}

static void a_plan_sends_the_same_bytes_once(void **state)
{
	(void)state;
	play.options.plan = true;
	play_begin();
	struct ur_item *item = play_candidate("a.jpg");
	ur_book_planned(play.c, item->files);
	play.same_in_run = true;
	to_ask(item);
	ask();
	says("a");

	assert_int_equal(item->files->state, UR_DUPLICATE);
}

static void nothing_is_wanted_when_the_ledger_cannot_be_written(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	to_ask(item);
	ask();
	play.c->broken = true;
	says("a");

	assert_int_not_equal(item->files->state, UR_WANTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(all_that_is_media_is_asked_for_in_one_question),
		PLAYED(who_has_nothing_to_ask_goes_on),
		PLAYED(a_question_waits_for_company_but_not_for_long),
		PLAYED(one_question_is_out_at_a_time_and_none_while_the_server_is_away),
		PLAYED(what_the_server_lacks_is_wanted_and_under_way),
		PLAYED(what_the_server_has_is_not_sent),
		PLAYED(what_this_run_brought_there_is_a_duplicate),
		PLAYED(a_ledger_that_cannot_be_read_ends_the_run),
		PLAYED(what_lies_in_the_servers_trash_is_neither_sent_nor_there),
		PLAYED(what_was_delivered_once_and_is_gone_is_not_sent_again),
		PLAYED(the_second_of_the_same_bytes_waits_for_the_first),
		PLAYED(twins_of_one_group_are_sent_once),
		PLAYED(an_absence_that_was_asked_while_the_bytes_were_under_way_says_nothing),
		PLAYED(what_may_still_arrive_is_not_sent_again_before_its_time_is_over),
		PLAYED(nobody_else_sends_what_may_still_arrive),
		PLAYED(a_twin_of_what_may_still_arrive_waits_for_it),
		PLAYED(who_waited_is_asked_for_when_the_lost_one_is_found),
		PLAYED(who_waited_is_asked_for_when_the_lost_one_is_not_sent_again),
		PLAYED(what_did_not_arrive_by_its_last_try_failed),
		PLAYED(what_the_server_has_of_a_known_upload_is_told_by_its_gateway),
		PLAYED(a_claim_after_an_upload_that_ended_badly_is_a_suspect),
		PLAYED(a_claim_is_asked_for_its_bytes_when_the_doubt_is_old_enough),
		PLAYED(what_was_broken_there_is_asked_for_its_bytes),
		PLAYED(a_doubt_about_another_file_with_the_same_bytes_counts),
		PLAYED(what_is_waited_for_is_said_once_and_until_when),
		PLAYED(a_short_wait_needs_no_words),
		PLAYED(tries_are_counted_on_when_a_doubt_is_shared),
		PLAYED(a_younger_doubt_of_the_same_bytes_counts),
		PLAYED(a_plan_has_no_doubts),
		PLAYED(another_asset_than_the_remembered_one_is_not_our_own),
		PLAYED(a_question_that_came_to_nothing_is_asked_again),
		PLAYED(a_busy_server_is_there_and_asked_again),
		PLAYED(a_server_that_asks_to_be_left_alone_for_long_ends_the_run),
		PLAYED(a_key_that_is_refused_ends_the_run_and_a_page_does_not),
		PLAYED(questions_without_an_answer_end_the_run_after_the_longest_wait),
		PLAYED(an_answer_ends_the_wait_for_one),
		PLAYED(no_more_are_wanted_than_the_limit_says),
		PLAYED(a_file_that_is_asked_for_again_counts_once_against_the_limit),
		PLAYED(a_plan_sends_the_same_bytes_once),
		PLAYED(nothing_is_wanted_when_the_ledger_cannot_be_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
