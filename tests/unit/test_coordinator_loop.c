/* The loop: what comes in is decided, what is decided is durable, and only then is it let go. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static void push(struct ur_queue *queue, void *what)
{
	assert_int_equal(ur_queue_push(queue, what), 0);
}

/** Probe hands it over, and is through. */
static struct ur_item *probed(const char *names)
{
	struct ur_item *item = play_item(names);
	push(play.c->wiring.from_probe[0], item);
	return item;
}

/** The oldest request is answered letter by letter, and the answer waits for the loop. */
static void is_answered(const char *letters)
{
	push(play.c->wiring.answers, play_check(letters));
}

/** A server that has none of these bytes; upload gets the item. */
static void let_send(struct ur_item *item)
{
	play_turn();
	play_pass(30);
	play_turn();
	is_answered("a");
	play_turn();
	assert_ptr_equal(play_next(play.c->wiring.to_upload), item);
}

static void stop(void)
{
	atomic_store(&play.run.stop, true);
}

static void a_file_goes_its_whole_way(void **state)
{
	(void)state;
	play.options.after = UR_AFTER_KEEP;
	struct ur_item *item = probed("a.jpg");
	let_send(item);
	struct ur_file *file = item->files;
	file->send_status = 201;
	file->send_own = file->send_readable = file->send_body_gone = true;
	file->send_retry_ms = -1;
	memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
	push(play.c->wiring.from_upload, item);
	play_turn();

	assert_ptr_equal(play_next(play.c->wiring.free_items), item);
	assert_int_equal(play_durable("a.jpg")->record.state, UR_DELIVERED);
	assert_int_equal(play.told_count, 1);
	assert_int_equal(play.told[0].outcome, UR_OUTCOME_SENT);
	assert_int_equal(play.c->live, 0);
}

/* Or what fails again and again would be progress, and nobody be told what is waited for. */
static void what_is_tried_again_has_taken_no_step(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg a.mov");
	item->files[0].movie = 1;
	item->files[1].still = 0;
	play_known(&item->files[0]);
	play_sent(&item->files[1]);
	memcpy(item->files[1].asset, PLAY_OTHER, sizeof item->files[1].asset);
	ur_step_rest(play.c, item, UR_STEP_LINK, 100);
	const uint64_t steps = play.c->steps;
	play_pass(200);
	play_turn();
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET); // it went on
	assert_int_equal(play.c->steps, steps);
	ur_step_go(play.c, item, UR_STEP_LINK);
	assert_int_equal(play.c->steps, steps + 1);
	(void)ur_items_take(&play.c->to_call);
}

static void a_run_is_over_when_nothing_can_come_any_more_and_all_are_back(void **state)
{
	(void)state;
	bool moved = false;
	struct ur_item *item = probed("a.jpg");
	item->files->error = -EIO;
	ur_queue_close(play.c->wiring.from_probe[0]);
	assert_false(ur_coordinator_turn(play.c, &moved));
	assert_true(moved);

	play_begin();
	(void)probed("b.jpg");
	ur_queue_close(play.c->wiring.from_probe[0]);
	assert_true(ur_coordinator_turn(play.c, &moved)); // which is asked for
}

static void a_run_waits_for_its_own_questions(void **state)
{
	(void)state;
	bool moved = false;
	ur_queue_close(play.c->wiring.from_probe[0]);
	ur_outage_doubt(play.c);
	assert_true(ur_coordinator_turn(play.c, &moved));
	push(play.c->wiring.answers, play_answer(200, "{}"));
	assert_false(ur_coordinator_turn(play.c, &moved));
}

static void small_facts_are_committed_before_long(void **state)
{
	(void)state;
	play_turn();
	play_pass(501);
	play_turn();
	const unsigned before = play.commits;
	struct ur_item *item = probed("a.jpg");
	item->files->error = -EIO;
	play_turn();
	assert_int_equal(play.commits, before);
	assert_null(play_durable("a.jpg"));
	play_pass(501);
	play_turn();
	assert_int_equal(play_durable("a.jpg")->record.state, UR_FAILED);
}

static void a_stop_ends_what_is_asked_for_and_leaves_it_to_the_next_run(void **state)
{
	(void)state;
	struct ur_item *item = probed("a.jpg");
	stop();
	play_turn();
	assert_int_equal(play.asked_count, 0);
	assert_ptr_equal(play_next(play.c->wiring.free_items), item);
	assert_int_equal(play.told[0].outcome, UR_OUTCOME_WAITING);
	assert_int_equal(play_row("a.jpg")->record.state, UR_PROBED);
}

static void what_may_still_arrive_is_written_down_as_being_sent(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct ur_item *item = play_candidate("a.jpg");
		struct ur_file *file = item->files;
		ur_put_start(&file->put, &play.c->rules, UR_PUT_LOST, true);
		file->lost_until_ns = ur_clock_steady_ns() + UR_SECOND_NS;
		play_pass(late * 1000);
		ur_step_go(play.c, item, UR_STEP_ASK);
		stop();
		play_turn();
		assert_int_equal(play_row("a.jpg")->record.state, late ? UR_PROBED : UR_SENDING);
	}
}

static void a_twin_without_an_asset_is_not_written_down_as_there(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	item->files->state = UR_DUPLICATE;
	item->files->decided = item->files->waits = true;
	ur_step_go(play.c, item, UR_STEP_ASK);
	stop();
	play_turn();
	assert_int_equal(play_row("a.jpg")->record.state, UR_PROBED);
	assert_int_equal(play.told[0].outcome, UR_OUTCOME_WAITING);
}

static void what_the_server_has_is_there_also_when_the_run_was_stopped(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	item->files->outcome = UR_OUTCOME_OPEN;
	ur_step_go(play.c, item, UR_STEP_LINK);
	stop();
	play_turn();
	assert_int_equal(play.told[0].outcome, UR_OUTCOME_PRESENT);
}

static void what_was_being_sent_may_end_after_a_stop(void **state)
{
	(void)state;
	struct ur_item *item = probed("a.jpg");
	let_send(item);
	stop();
	play_turn();
	assert_null(play_next(play.c->wiring.free_items));
	assert_true(play.wakes > 0); // upload hands back what it has not begun
	assert_int_equal(play.cancels, 0);
	play_pass(10001);
	play_turn();
	assert_int_equal(play.cancels, 1);
}

static void no_more_requests_are_out_than_a_server_can_stand(void **state)
{
	(void)state;
	for (int i = 0; i < 40; i++) {
		struct ur_item *item = play_candidate("a.jpg");
		play_known(item->files);
		ur_step_go(play.c, item, UR_STEP_CONFIRM);
	}
	play_turn();
	assert_int_equal(play.asked_count, 32);
	assert_int_equal(play.c->in_calls, 32);
	assert_int_equal(play.c->to_call.count, 8);
}

static void nothing_is_asked_of_a_server_that_is_away_but_whether_it_is_back(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	ur_step_go(play.c, item, UR_STEP_CONFIRM);
	ur_outage_doubt(play.c);
	play_turn();
	assert_string_equal(play_question(), "GET /api/users/me");
	push(play.c->wiring.answers, play_answer(200, "{}"));
	play_turn();
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
}

static void after_the_ledger_failed_nothing_is_done_and_all_come_home(void **state)
{
	(void)state;
	struct ur_item *sent = play_candidate("a.jpg");
	play_want(sent, sent->files);
	ur_step_go(play.c, sent, UR_STEP_SEND);
	struct ur_item *ready = play_candidate("b.jpg");
	play_sent(ready->files);
	ready->files->confirmed = true;
	ur_step_go(play.c, ready, UR_STEP_CONFIRM);
	play.commit_fails = -EIO;
	play_turn();

	assert_null(play_next(play.c->wiring.to_upload));
	assert_null(play_next(play.c->wiring.to_settle));
	assert_int_equal(play.c->live, 0);
	assert_int_equal(play.c->in_upload + play.c->in_settle, 0);
	assert_int_equal(play.told_count, 2);
	assert_int_equal(play.told[0].outcome, UR_OUTCOME_WAITING);
	assert_int_equal(play.told[1].outcome, UR_OUTCOME_WAITING);
	assert_int_equal(play.run.result, -EIO);
}

static void what_is_odd_about_a_file_is_said_when_nothing_else_is(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_sent(item->files);
	item->files->judgement = UR_JUDGE_WARN;
	item->files->note = "it is odd";
	ur_step_go(play.c, item, UR_STEP_DONE);
	play_turn();
	assert_string_equal(play.told[0].reason, "it is odd");
	assert_true(play.told[0].warning);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(a_file_goes_its_whole_way),
		PLAYED(what_is_tried_again_has_taken_no_step),
		PLAYED(a_run_is_over_when_nothing_can_come_any_more_and_all_are_back),
		PLAYED(a_run_waits_for_its_own_questions),
		PLAYED(small_facts_are_committed_before_long),
		PLAYED(a_stop_ends_what_is_asked_for_and_leaves_it_to_the_next_run),
		PLAYED(what_may_still_arrive_is_written_down_as_being_sent),
		PLAYED(a_twin_without_an_asset_is_not_written_down_as_there),
		PLAYED(what_the_server_has_is_there_also_when_the_run_was_stopped),
		PLAYED(what_was_being_sent_may_end_after_a_stop),
		PLAYED(no_more_requests_are_out_than_a_server_can_stand),
		PLAYED(nothing_is_asked_of_a_server_that_is_away_but_whether_it_is_back),
		PLAYED(after_the_ledger_failed_nothing_is_done_and_all_come_home),
		PLAYED(what_is_odd_about_a_file_is_said_when_nothing_else_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
