/* Where an item stands: on the list of its step, in the order of coming, or resting. */
#include "tests/unit/coordinator.h"

static void items_leave_a_list_in_the_order_in_which_they_came(void **state)
{
	(void)state;
	struct ur_items items;
	struct ur_item three[3] = {0};
	ur_items_init(&items);
	assert_null(ur_items_take(&items));
	for (int i = 0; i < 3; i++) {
		ur_items_add(&items, &three[i]);
	}
	assert_int_equal(items.count, 3);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(ur_items_take(&items), &three[i]);
		assert_null(three[i].next);
	}
	assert_null(ur_items_take(&items));
}

static void a_list_that_was_emptied_takes_items_again(void **state)
{
	(void)state;
	struct ur_items items;
	struct ur_item two[2] = {0};
	ur_items_init(&items);
	for (int i = 0; i < 3; i++) {
		ur_items_add(&items, &two[0]);
		ur_items_add(&items, &two[1]);
		assert_ptr_equal(ur_items_take(&items), &two[0]);
		assert_ptr_equal(ur_items_take(&items), &two[1]);
		assert_int_equal(items.count, 0);
	}
}

static void each_step_has_the_list_where_the_loop_looks_for_it(void **state)
{
	(void)state;
	struct ur_coordinator *c = play.c;
	const struct {
		enum ur_item_step step;
		struct ur_items *list;
	} lists[] = {
		{UR_STEP_SEND, &c->to_next},
		{UR_STEP_ASK, &c->to_ask},
		{UR_STEP_LINK, &c->to_call},
		{UR_STEP_AMEND, &c->to_call},
		{UR_STEP_CONFIRM, &c->to_call},
		{UR_STEP_AGAIN, &c->to_again},
		{UR_STEP_PARKED, &c->parked},
		{UR_STEP_DONE, &c->to_finish},
	};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct ur_item *item = play_candidate("a.jpg");
		play_pass(1);
		ur_step_go(c, item, lists[i].step);
		assert_int_equal(item->step, lists[i].step);
		assert_int_equal(item->since_ns, ur_clock_steady_ns());
		assert_true(play_is_in(lists[i].list, item));
	}
}

static void who_rests_goes_to_its_step_when_the_pause_is_over(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	ur_step_rest(play.c, item, UR_STEP_CONFIRM, 1500);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_CONFIRM);
	assert_int_equal(item->due_ns, ur_clock_steady_ns() + 1500 * UR_MS_NS);
	assert_true(play_is_in(&play.c->resting, item));
}

static void a_rest_ends_at_its_time_and_at_once_with_a_stop(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	ur_file_close(item->files, UR_FAILED, UR_OUTCOME_FAILED, "no");
	ur_step_rest(play.c, item, UR_STEP_DONE, 1500);
	play_pass(1499);
	play_turn();
	assert_int_equal(item->step, UR_STEP_REST);
	play_pass(1);
	play_turn();
	assert_ptr_equal(play_next(play.c->wiring.free_items), item);

	item = play_candidate("b.jpg");
	ur_file_close(item->files, UR_FAILED, UR_OUTCOME_FAILED, "no");
	ur_step_rest(play.c, item, UR_STEP_DONE, 1500);
	atomic_store(&play.run.stop, true);
	play_turn();
	assert_ptr_equal(play_next(play.c->wiring.free_items), item);
}

static void pauses_grow_to_a_minute_and_are_never_shorter_than_was_asked_for(void **state)
{
	(void)state;
	for (unsigned failures = 0; failures < 20; failures++) {
		const int64_t most_ms = failures < 7 ? 500 << failures : 60000;
		const int64_t pause_ms = ur_step_pause_ms(play.c, failures, -1);
		assert_true(pause_ms >= most_ms / 2 && pause_ms <= most_ms);
	}
	assert_int_equal(ur_step_pause_ms(play.c, 0, 90000), 90000);
}

static void a_stop_is_seen(void **state)
{
	(void)state;
	assert_false(ur_step_is_stopping(play.c));
	atomic_store(&play.run.stop, true);
	assert_true(ur_step_is_stopping(play.c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(items_leave_a_list_in_the_order_in_which_they_came),
		PLAYED(a_list_that_was_emptied_takes_items_again),
		PLAYED(each_step_has_the_list_where_the_loop_looks_for_it),
		PLAYED(who_rests_goes_to_its_step_when_the_pause_is_over),
		PLAYED(a_rest_ends_at_its_time_and_at_once_with_a_stop),
		PLAYED(pauses_grow_to_a_minute_and_are_never_shorter_than_was_asked_for),
		PLAYED(a_stop_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
