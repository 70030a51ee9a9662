/* What may pass, who can act on it, and how long to wait. */
#include "engine/base/retry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void what_passes_and_who_can_act_is_what_the_table_says(void **state)
{
	static const struct {
		int result;
		int status;
		enum ur_passing passing;
		enum ur_fault fault;
	} rows[] = {
		{0, 200, UR_PASSES_NOT, UR_FAULT_NONE},
		{0, 201, UR_PASSES_NOT, UR_FAULT_NONE},
		{0, 302, UR_PASSES_NOT, UR_FAULT_NONE},
		{0, 400, UR_PASSES_NOT, UR_FAULT_FILE},
		{0, 401, UR_PASSES_NOT, UR_FAULT_SETUP},
		{0, 403, UR_PASSES_NOT, UR_FAULT_SETUP},
		{0, 404, UR_PASSES_NOT, UR_FAULT_FILE},
		{0, 408, UR_PASSES_BUSY, UR_FAULT_WORLD},
		{0, 413, UR_PASSES_NOT, UR_FAULT_FILE},
		{0, 423, UR_PASSES_BUSY, UR_FAULT_WORLD},
		{0, 425, UR_PASSES_BUSY, UR_FAULT_WORLD},
		{0, 429, UR_PASSES_BUSY, UR_FAULT_WORLD},
		{0, 499, UR_PASSES_NOT, UR_FAULT_FILE},
		{0, 500, UR_PASSES_FAILED, UR_FAULT_WORLD},
		{0, 501, UR_PASSES_FAILED, UR_FAULT_WORLD},
		{0, 502, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{0, 503, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{0, 504, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{0, 505, UR_PASSES_FAILED, UR_FAULT_WORLD},
		{0, 530, UR_PASSES_FAILED, UR_FAULT_WORLD},
		{-ECONNREFUSED, 0, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{-ECONNRESET, 0, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{-ETIMEDOUT, 0, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{-EPROTO, 0, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{-EBADMSG, 0, UR_PASSES_AWAY, UR_FAULT_WORLD},
		{-EIO, 0, UR_PASSES_NOT, UR_FAULT_FILE},
		{-ENOMEM, 0, UR_PASSES_NOT, UR_FAULT_FILE},
		{-ECANCELED, 0, UR_PASSES_NOT, UR_FAULT_FILE},
		{-EPIPE, 0, UR_PASSES_NOT, UR_FAULT_FILE},
		{-ECONNRESET, 400, UR_PASSES_AWAY, UR_FAULT_WORLD}, // no status without an answer
		{-EIO, 503, UR_PASSES_NOT, UR_FAULT_FILE},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const enum ur_passing passing = ur_retry_of(rows[i].result, rows[i].status);
		if (passing != rows[i].passing ||
			ur_retry_fault(rows[i].result, rows[i].status) != rows[i].fault) {
			fail_msg("row %zu: %d %d: passing %d, fault %d", i, rows[i].result,
				rows[i].status, passing,
				ur_retry_fault(rows[i].result, rows[i].status));
		}
		assert_int_equal(ur_retry_may_pass(rows[i].result, rows[i].status),
			passing != UR_PASSES_NOT);
		assert_int_equal(ur_retry_is_away(rows[i].result, rows[i].status),
			passing == UR_PASSES_AWAY);
	}
}

static void a_step_doubles_up_to_the_most(void **state)
{
	const struct ur_backoff backoff = {.first_ms = 500, .most_ms = 60000};
	(void)state;
	assert_int_equal(ur_retry_step_ms(&backoff, 0), 500);
	assert_int_equal(ur_retry_step_ms(&backoff, 1), 1000);
	assert_int_equal(ur_retry_step_ms(&backoff, 6), 32000);
	assert_int_equal(ur_retry_step_ms(&backoff, 7), 60000);
	assert_int_equal(ur_retry_step_ms(&backoff, UINT32_MAX), 60000);
	const struct ur_backoff huge = {.first_ms = INT64_MAX / 4, .most_ms = INT64_MAX / 2};
	assert_int_equal(ur_retry_step_ms(&huge, 1000), INT64_MAX / 2);
}

static void a_pause_is_half_to_whole_of_a_step_and_at_least_what_was_asked_for(void **state)
{
	const struct ur_backoff backoff = {.first_ms = 1000, .most_ms = 8000};
	uint64_t seed = 1;
	int64_t least = INT64_MAX;
	int64_t most = 0;
	(void)state;
	for (int i = 0; i < 10000; i++) {
		const int64_t pause = ur_retry_pause_ms(&backoff, 2, -1, &seed);
		assert_in_range(pause, 2000, 4000);
		least = pause < least ? pause : least;
		most = pause > most ? pause : most;
		assert_in_range(ur_retry_pause_ms(&backoff, 2, 3000, &seed), 3000, 4000);
		assert_int_equal(ur_retry_pause_ms(&backoff, 2, 99000, &seed), 99000);
	}
	assert_true(least < 2020); // all of the range is used
	assert_true(most > 3980);
}

static void those_who_failed_together_do_not_come_back_together(void **state)
{
	const struct ur_backoff backoff = {.first_ms = 1000, .most_ms = 8000};
	int same = 0;
	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t one = i;
		uint64_t other = i + 1;
		same += ur_retry_pause_ms(&backoff, 3, -1, &one) ==
					ur_retry_pause_ms(&backoff, 3, -1, &other)
				? 1
				: 0;
	}
	assert_true(same < 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_passes_and_who_can_act_is_what_the_table_says),
		cmocka_unit_test(a_step_doubles_up_to_the_most),
		cmocka_unit_test(
			a_pause_is_half_to_whole_of_a_step_and_at_least_what_was_asked_for),
		cmocka_unit_test(those_who_failed_together_do_not_come_back_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
