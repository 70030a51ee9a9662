/* A 413 is a property of the way: what is as large waits, the smallest is tried, once, when all else is done. */
#include "tests/unit/coordinator.h"

#include <stdio.h>

/** Wanted, of this size. */
static struct ur_item *wanted(const char *name, int64_t size)
{
	struct ur_item *item = play_candidate(name);
	item->files->identity.size = size;
	play_want(item, item->files);
	return item;
}

/** What way says of it. */
static enum ur_way_word of(struct ur_item *item)
{
	return ur_way_of(play.c, item, item->files);
}

static void what_is_smaller_than_what_was_refused_goes(void **state)
{
	(void)state;
	assert_int_equal(of(wanted("a.jpg", 5000)), UR_WAY_OPEN); // nothing is known yet
	ur_way_refused(play.c, wanted("b.jpg", 4000)->files, 413);
	assert_int_equal(of(wanted("c.jpg", 3999)), UR_WAY_OPEN);
	assert_int_equal(of(wanted("d.jpg", 4000)), UR_WAY_PROBE);
}

static void it_is_said_once_with_its_remedy(void **state)
{
	(void)state;
	ur_way_refused(play.c, wanted("a.jpg", 4000)->files, 413);
	assert_non_null(strstr(play.said, "client_max_body_size"));
	assert_non_null(strstr(play.said, "HTTP 413"));
	play.said[0] = '\0';
	ur_way_refused(play.c, wanted("b.jpg", 3000)->files, 413);
	assert_string_equal(play.said, "");
	assert_int_equal(play.c->way.refused, 3000);
}

static void the_smallest_is_kept_to_be_tried_and_the_others_wait(void **state)
{
	(void)state;
	ur_way_refused(play.c, wanted("a.jpg", 4000)->files, 413);
	struct ur_item *large = wanted("b.jpg", 9000);
	struct ur_item *small = wanted("c.jpg", 5000);
	struct ur_item *other = wanted("d.jpg", 6000);
	assert_int_equal(of(large), UR_WAY_PROBE);
	assert_int_equal(large->step, UR_STEP_PARKED);
	assert_int_equal(of(small), UR_WAY_PROBE);
	assert_int_equal(large->files->outcome, UR_OUTCOME_WAITING); // it is not the smallest
	assert_int_equal(large->step, UR_STEP_SEND);
	assert_int_equal(of(other), UR_WAY_WAITS);
	assert_int_equal(other->files->outcome, UR_OUTCOME_WAITING);
	assert_int_equal(other->files->state, UR_WANTED);
	assert_ptr_equal(play.c->way.probe, small);
}

static void one_is_tried_when_all_else_is_done_and_no_second_one(void **state)
{
	(void)state;
	ur_way_refused(play.c, wanted("a.jpg", 4000)->files, 413);
	struct ur_item *item = wanted("b.jpg", 5000);
	play.c->live = 2; // something else is under way
	assert_int_equal(of(item), UR_WAY_PROBE);
	play.c->inputs_open = 1;
	ur_way_turn(play.c);
	assert_ptr_equal(play.c->way.probe, item);
	play.c->inputs_open = 0;
	play.c->live = 1;
	ur_way_turn(play.c);
	assert_null(play.c->way.probe);
	assert_true(play_is_in(&play.c->to_send, item));
	assert_int_equal(of(wanted("c.jpg", 4500)), UR_WAY_WAITS);
}

static void a_stop_leaves_it_for_the_next_run(void **state)
{
	(void)state;
	ur_way_refused(play.c, wanted("a.jpg", 4000)->files, 413);
	struct ur_item *item = wanted("b.jpg", 5000);
	assert_int_equal(of(item), UR_WAY_PROBE);
	atomic_store(&play.run.stop, true);
	ur_way_turn(play.c);
	assert_null(play.c->way.probe);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_int_equal(of(wanted("c.jpg", 4500)), UR_WAY_WAITS);
}

static void what_passes_mends_the_way(void **state)
{
	(void)state;
	ur_way_refused(play.c, wanted("a.jpg", 4000)->files, 413);
	ur_way_took(play.c, wanted("b.jpg", 3000)->files);
	assert_int_equal(of(wanted("c.jpg", 4000)), UR_WAY_PROBE);
	ur_way_took(play.c, wanted("d.jpg", 4000)->files);
	assert_int_equal(play.c->way.refused, 0);
	assert_int_equal(of(wanted("e.jpg", 90000)), UR_WAY_OPEN);
	assert_non_null(strstr(play.said, "larger files pass again"));
}

static void what_waits_is_counted(void **state)
{
	(void)state;
	ur_way_refused(play.c, wanted("a.jpg", 4000)->files, 413);
	play.c->way.probed = true;
	struct ur_item *waits = wanted("b.jpg", 5000);
	assert_int_equal(of(waits), UR_WAY_WAITS);
	assert_true(waits->files->trouble); // it did not arrive
	assert_int_equal(atomic_load(&play.run.too_large), 2);
	assert_int_equal(atomic_load(&play.run.held), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(what_is_smaller_than_what_was_refused_goes),
		PLAYED(it_is_said_once_with_its_remedy),
		PLAYED(the_smallest_is_kept_to_be_tried_and_the_others_wait),
		PLAYED(one_is_tried_when_all_else_is_done_and_no_second_one),
		PLAYED(a_stop_leaves_it_for_the_next_run),
		PLAYED(what_passes_mends_the_way),
		PLAYED(what_waits_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
