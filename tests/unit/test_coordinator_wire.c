/* What a run that was killed has left on the wire: what is waited for, for how long, and what is not. */
#include "tests/unit/coordinator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const uint8_t owner[UR_WIRE_OWNER] = "this ledger";
static char path[64];

static void begin_wire(void)
{
	assert_int_equal(ur_wire_open(path, owner, &play.run.wire), 0);
	assert_int_equal(ur_wire_begin(play.run.wire, 0), 0);
}

/** The process is killed, and there is another one. */
static void kill_it(void)
{
	play.run.wire = ur_wire_free(play.run.wire);
	play_begin();
	begin_wire();
}

static int set_up(void **state)
{
	const int r = play_set_up(state);
	(void)snprintf(path, sizeof path, "/tmp/uringest-wire-%d", (int)getpid());
	(void)unlink(path);
	begin_wire();
	play_pass(1);
	return r;
}

static int tear_down(void **state)
{
	play.run.wire = ur_wire_free(play.run.wire);
	(void)unlink(path);
	return play_tear_down(state);
}

/** With upload, and marked as being sent. */
static struct ur_item *sending(const char *names)
{
	struct ur_item *item = play_candidate(names);
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	ur_deliver_turn(play.c);
	assert_ptr_equal(ur_items_take(&play.c->after_commit), item);
	assert_int_equal(item->files->state, UR_SENDING);
	return item;
}

/** The next run finds the very file, with the row that is there. */
static struct ur_file *found_again(const char *name)
{
	static struct ur_record row;
	row = play_row(name)->record;
	struct ur_item *item = play_item(name);
	struct ur_file *file = item->files;
	file->row = &row;
	file->fresh = false;
	file->unchanged = true;
	file->identity = row.identity;
	memcpy(file->sha1, row.sha1, sizeof file->sha1);
	ur_judge_item(play.c, item);
	return file;
}

static int64_t waits_ms(const struct ur_file *file)
{
	return (file->lost_until_ns - ur_clock_steady_ns()) / UR_MS_NS;
}

static void what_is_marked_to_be_sent_has_a_place_and_its_row_says_so(void **state)
{
	(void)state;
	const struct ur_item *item = sending("a.jpg");
	assert_int_not_equal(item->files->wire, UR_WIRE_NONE);
	assert_true(play_row("a.jpg")->record.noted);
}

static void without_a_file_the_row_says_so(void **state)
{
	(void)state;
	play.run.wire = ur_wire_free(play.run.wire);
	const struct ur_item *item = sending("a.jpg");
	assert_int_equal(item->files->wire, UR_WIRE_NONE);
	assert_false(play_row("a.jpg")->record.noted);
	begin_wire();
	const struct ur_file *file = found_again("a.jpg");
	assert_int_equal(file->put.state, UR_PUT_LOST);
	assert_in_range(waits_ms(file), play.options.answer_wait_ms - 1000,
		play.options.answer_wait_ms + 1000);
}

static void what_was_never_on_the_wire_is_sent_at_once_and_its_claim_is_doubted(void **state)
{
	(void)state;
	(void)sending("a.jpg");
	kill_it();
	struct ur_file *file = found_again("a.jpg");
	assert_int_equal(file->put.state, UR_PUT_CHECK);
	assert_true(file->put.doubted);
	assert_true(ur_age_is_begun(&file->doubt_since));
	assert_true(waits_ms(file) <= 0);
	assert_false(ur_under_way_has(play.c, file));
}

static void what_had_gone_is_waited_for_from_its_last_byte_on(void **state)
{
	(void)state;
	const struct ur_item *item = sending("a.jpg");
	play_pass(200000); // it was slow
	assert_int_equal(ur_wire_gone(play.run.wire, item->files->wire), 0);
	play_pass(1000);
	kill_it();
	const struct ur_file *file = found_again("a.jpg");
	assert_int_equal(file->put.state, UR_PUT_LOST);
	assert_in_range(waits_ms(file), play.options.answer_wait_ms - 2000,
		play.options.answer_wait_ms - 1000);
	assert_int_not_equal(file->wire, UR_WIRE_NONE); // the next run knows of it, too
	play_pass(play.options.answer_wait_ms);
	kill_it();
	assert_int_equal(found_again("a.jpg")->put.state, UR_PUT_CHECK);
}

static void a_second_kill_changes_nothing(void **state)
{
	(void)state;
	const struct ur_item *item = sending("a.jpg");
	assert_int_equal(ur_wire_gone(play.run.wire, item->files->wire), 0);
	for (int kills = 0; kills < 3; kills++) {
		play_pass(1000);
		kill_it();
		const struct ur_file *file = found_again("a.jpg");
		assert_int_equal(file->put.state, UR_PUT_LOST);
		assert_true(waits_ms(file) <= play.options.answer_wait_ms - 1000 * (kills + 1));
	}
}

static void what_is_sent_after_a_wait_may_come_for_as_long_as_any_other(void **state)
{
	(void)state;
	const struct ur_item *item = sending("a.jpg");
	assert_int_equal(ur_wire_gone(play.run.wire, item->files->wire), 0);
	play_pass(play.options.answer_wait_ms - 3000);
	kill_it();
	struct ur_file *file = found_again("a.jpg");
	assert_in_range(waits_ms(file), 1, 3000);
	play_pass(3000); // it never came: it is sent again, and that is the last we see of this run
	ur_file_take_wire(play.c, file, ur_file_may_come_ns(play.c, file));
	file->state = UR_SENDING;
	file->doubt_since = ur_age_begin();
	ur_book_file(play.c, file->item, file);
	assert_int_equal(ur_wire_gone(play.run.wire, file->wire), 0);
	kill_it();
	assert_true(waits_ms(found_again("a.jpg")) > play.options.answer_wait_ms - 1000);
}

static void a_note_counts_where_no_row_tells_of_a_sending_any_more(void **state)
{
	(void)state;
	const struct ur_item *sent = sending("a.jpg");
	assert_int_equal(ur_wire_gone(play.run.wire, sent->files->wire), 0);
	kill_it(); // and another picture takes the name: of the row the doubt alone is kept
	struct ur_item *item = play_candidate("b.jpg");
	struct ur_file *file = item->files;
	const struct ur_age none = {0};
	memcpy(file->sha1, play_row("a.jpg")->record.sha1, sizeof file->sha1);
	assert_true(ur_file_left_ns(play.c, file, &none, NULL) > 0);
	assert_int_equal(ur_file_left_ns(play.c, play_candidate("c.jpg")->files, &none, NULL), 0);
}

static void what_was_left_by_an_older_program_is_noted_from_now_on(void **state)
{
	(void)state;
	play.run.wire = ur_wire_free(play.run.wire);
	(void)sending("a.jpg");
	begin_wire();
	struct ur_file *file = found_again("a.jpg");
	assert_int_not_equal(file->wire, UR_WIRE_NONE);
	ur_file_close(file, UR_SENDING, UR_OUTCOME_WAITING, "stopped");
	ur_book_file(play.c, file->item, file);
	assert_true(play_row("a.jpg")->record.noted);
	kill_it();
	assert_int_equal(found_again("a.jpg")->put.state, UR_PUT_LOST);
}

static void a_place_is_free_when_the_outcome_is_durable_and_not_before(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = item->files;
	const unsigned place = file->wire;
	assert_int_equal(ur_wire_gone(play.run.wire, place), 0);
	int64_t left_ns = 0;
	ur_file_close(file, UR_DELIVERED, UR_OUTCOME_SENT, "");
	memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
	ur_book_file(play.c, item, file);
	assert_int_equal(file->wire, UR_WIRE_NONE);
	assert_true(
		ur_wire_left(play.run.wire, file->sha1, NULL, PLAY_DAY_MS * UR_MS_NS, &left_ns));
	assert_true(left_ns > 0);
	play.c->durable = true;
	play_turn();
	assert_true(
		ur_wire_left(play.run.wire, file->sha1, NULL, PLAY_DAY_MS * UR_MS_NS, &left_ns));
	assert_int_equal(left_ns, 0);
	assert_int_equal(ur_wire_take(play.run.wire, file->sha1, 0), place);
}

static void what_cannot_be_made_durable_keeps_its_place(void **state)
{
	(void)state;
	struct ur_item *item = sending("a.jpg");
	struct ur_file *file = item->files;
	int64_t left_ns = 0;
	assert_int_equal(ur_wire_gone(play.run.wire, file->wire), 0);
	ur_file_close(file, UR_DELIVERED, UR_OUTCOME_SENT, "");
	memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
	ur_book_file(play.c, item, file);
	play.c->durable = true;
	play.commit_fails = -EIO;
	play_turn();
	assert_true(play.c->broken);
	assert_true(
		ur_wire_left(play.run.wire, file->sha1, NULL, PLAY_DAY_MS * UR_MS_NS, &left_ns));
	assert_true(left_ns > 0);
}

static void a_plan_waits_for_nothing(void **state)
{
	(void)state;
	const struct ur_item *item = sending("a.jpg");
	assert_int_equal(ur_wire_gone(play.run.wire, item->files->wire), 0);
	play.options.plan = true;
	kill_it();
	assert_int_equal(found_again("a.jpg")->put.state, UR_PUT_CHECK);
}

static void of_the_same_bytes_elsewhere_the_same_is_known(void **state)
{
	(void)state;
	const struct ur_item *sent = sending("a.jpg");
	const struct ur_record *row = &play_row("a.jpg")->record;
	const bool gone[] = {false, true};
	for (int i = 0; i < 2; i++) {
		if (gone[i]) {
			assert_int_equal(ur_wire_gone(play.run.wire, sent->files->wire), 0);
		}
		struct ur_item *item = play_candidate("b.jpg");
		struct ur_file *file = item->files;
		memcpy(file->sha1, row->sha1, sizeof file->sha1);
		const struct ur_age since = row->doubt;
		assert_int_equal(ur_file_left_ns(play.c, file, &since, &since) > 0, gone[i]);
	}
}

static void a_body_that_cannot_be_noted_has_no_place(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play.run.wire = ur_wire_free(play.run.wire);
	ur_file_note_gone(play.c, item->files, PLAY_HOUR_MS * UR_MS_NS);
	assert_int_equal(item->files->wire, UR_WIRE_NONE);
}

int main(void)
{
#define WIRED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WIRED(what_is_marked_to_be_sent_has_a_place_and_its_row_says_so),
		WIRED(without_a_file_the_row_says_so),
		WIRED(what_was_never_on_the_wire_is_sent_at_once_and_its_claim_is_doubted),
		WIRED(what_had_gone_is_waited_for_from_its_last_byte_on),
		WIRED(a_second_kill_changes_nothing),
		WIRED(what_is_sent_after_a_wait_may_come_for_as_long_as_any_other),
		WIRED(a_note_counts_where_no_row_tells_of_a_sending_any_more),
		WIRED(what_was_left_by_an_older_program_is_noted_from_now_on),
		WIRED(a_place_is_free_when_the_outcome_is_durable_and_not_before),
		WIRED(what_cannot_be_made_durable_keeps_its_place),
		WIRED(a_plan_waits_for_nothing),
		WIRED(of_the_same_bytes_elsewhere_the_same_is_known),
		WIRED(a_body_that_cannot_be_noted_has_no_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
