/* chunks_slot - an outcome is noted, all that goes on is told to stop, and nobody is called. */
#include "engine/stage/chunks_parts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct ur_item item;

static void make(struct ur_chunks_slot *slot)
{
	*slot = (struct ur_chunks_slot){.item = &item};
}

static void an_error_is_noted_in_words_and_everything_is_told_to_stop(void **state)
{
	(void)state;
	struct ur_chunks_slot slot;
	make(&slot);
	ur_chunks_conclude_code(&slot, -ENOENT, "it cannot be read");
	assert_true(slot.concluding);
	assert_int_equal(slot.outcome.result, -ENOENT);
	assert_int_equal(slot.outcome.retry_ms, -1);
	assert_string_equal(slot.outcome.words, "it cannot be read: No such file or directory");
	assert_true(slot.window.blind);
	assert_true(slot.ahead.stopped);
}

static void what_went_well_has_no_words(void **state)
{
	(void)state;
	struct ur_chunks_slot slot;
	make(&slot);
	ur_chunks_conclude_code(&slot, 0, "it cannot be read");
	assert_true(slot.concluding);
	assert_int_equal(slot.outcome.result, 0);
	assert_null(slot.outcome.words);
}

static void what_an_answer_said_is_left_as_it_is(void **state)
{
	(void)state;
	struct ur_chunks_slot slot;
	make(&slot);
	slot.outcome = (struct ur_transfer_outcome){.status = 204, .has_offset = true, .offset = 7};
	ur_chunks_conclude(&slot);
	assert_true(slot.concluding);
	assert_int_equal(slot.outcome.status, 204);
	assert_int_equal(slot.outcome.offset, 7);
}

static void it_is_reading_while_the_ring_or_http_has_something_of_it(void **state)
{
	(void)state;
	struct ur_chunks_slot slot;
	make(&slot);
	assert_false(ur_chunks_is_reading(&slot));
	bool *const held[] = {&slot.opening, &slot.ahead.buffers[0].in_flight,
		&slot.ahead.buffers[1].in_flight, &slot.window.looking};
	for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
		*held[i] = true;
		assert_true(ur_chunks_is_reading(&slot));
		*held[i] = false;
		assert_false(ur_chunks_is_reading(&slot));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_noted_in_words_and_everything_is_told_to_stop),
		cmocka_unit_test(what_went_well_has_no_words),
		cmocka_unit_test(what_an_answer_said_is_left_as_it_is),
		cmocka_unit_test(it_is_reading_while_the_ring_or_http_has_something_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
