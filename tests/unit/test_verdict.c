/* verdict - every answer to every question, and what must follow from it for an upload. */
#include "engine/gateway/verdict.h"

#include "engine/gateway/life.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DAY UR_MISS_APART_MS
#define HOUR (INT64_C(3600) * 1000)

static const enum ur_asked questions[] = {
	UR_ASKED_CHECK, UR_ASKED_SEND, UR_ASKED_ASSET, UR_ASKED_BYTES};
static const int statuses[] = {200, 201, 204, 206, 301, 302, 307, 308, 400, 401, 403, 404, 405, 408,
	409, 410, 413, 415, 416, 422, 429, 500, 501, 502, 503, 504, 520, 599};

static enum ur_follow own(enum ur_asked asked, int status)
{
	const struct ur_answer a = {.asked = asked, .status = status, .own = true};
	return ur_verdict(&a);
}

static enum ur_follow read_from(enum ur_asked asked, int status)
{
	const struct ur_answer a = {
		.asked = asked, .status = status, .own = true, .readable = true, .body_gone = true};
	return ur_verdict(&a);
}

/** Nothing is given up, no key dropped, no asset missed. */
static bool is_doubt(enum ur_follow follow)
{
	return follow == UR_FOLLOW_AGAIN || follow == UR_FOLLOW_DOUBT;
}

static void a_page_of_a_proxy_is_never_a_verdict(void **state)
{
	(void)state;
	for (size_t q = 0; q < 4; q++) {
		for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
			for (int bits = 0; bits < 8; bits++) {
				const struct ur_answer a = {
					.asked = questions[q],
					.status = statuses[i],
					.readable = (bits & 1) != 0,
					.quota = (bits & 2) != 0,
					.body_gone = (bits & 4) != 0,
				};
				const bool taken =
					a.asked == UR_ASKED_SEND && a.readable && a.status < 300;
				assert_true(is_doubt(ur_verdict(&a)) ||
					    (taken && ur_verdict(&a) == UR_FOLLOW_READ));
				assert_false(ur_verdict_is_certain(&a));
			}
		}
	}
}

static void no_answer_is_no_verdict(void **state)
{
	static const int codes[] = {-ECONNREFUSED, -ECONNRESET, -ETIMEDOUT, -EPROTO, -ECANCELED};
	(void)state;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		for (size_t q = 0; q < 4; q++) {
			struct ur_answer a = {.asked = questions[q], .result = codes[i]};
			assert_int_equal(ur_verdict(&a), UR_FOLLOW_AGAIN);
			a.body_gone = true;
			assert_int_equal(ur_verdict(&a),
				a.asked == UR_ASKED_SEND ? UR_FOLLOW_DOUBT : UR_FOLLOW_AGAIN);
		}
	}
}

static void only_a_400_of_the_servers_own_refuses_a_file(void **state)
{
	(void)state;
	for (size_t q = 0; q < 4; q++) {
		for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
			const bool refused = own(questions[q], statuses[i]) == UR_FOLLOW_REFUSED;
			assert_int_equal(
				refused, questions[q] == UR_ASKED_SEND && statuses[i] == 400);
		}
	}
	const struct ur_answer quota = {
		.asked = UR_ASKED_SEND, .status = 400, .own = true, .quota = true};
	assert_int_equal(ur_verdict(&quota), UR_FOLLOW_QUOTA);
}

static void what_went_out_whole_may_have_been_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		struct ur_answer a = {
			.asked = UR_ASKED_SEND, .status = statuses[i], .body_gone = true};
		assert_int_equal(ur_verdict(&a), UR_FOLLOW_DOUBT); // whoever said so
		a.body_gone = false;
		a.own = true;
		if (a.status >= 500) {
			assert_int_equal(ur_verdict(&a), UR_FOLLOW_DOUBT);
		}
	}
	assert_int_equal(own(UR_ASKED_SEND, 201), UR_FOLLOW_DOUBT); // and no asset in it
	assert_int_equal(own(UR_ASKED_SEND, 429), UR_FOLLOW_AGAIN);
}

static void keys_and_rights_are_told_apart(void **state)
{
	(void)state;
	for (size_t q = 0; q < 4; q++) {
		const bool proving =
			questions[q] == UR_ASKED_ASSET || questions[q] == UR_ASKED_BYTES;
		assert_int_equal(own(questions[q], 401), UR_FOLLOW_KEY);
		assert_int_equal(
			own(questions[q], 403), proving ? UR_FOLLOW_RIGHTS : UR_FOLLOW_KEY);
	}
}

static void a_proof_is_read_and_its_want_is_no_verdict_about_the_file(void **state)
{
	(void)state;
	assert_int_equal(read_from(UR_ASKED_CHECK, 200), UR_FOLLOW_READ);
	assert_int_equal(read_from(UR_ASKED_SEND, 200), UR_FOLLOW_READ);
	assert_int_equal(read_from(UR_ASKED_SEND, 201), UR_FOLLOW_READ);
	assert_int_equal(read_from(UR_ASKED_ASSET, 200), UR_FOLLOW_READ);
	assert_int_equal(read_from(UR_ASKED_BYTES, 206), UR_FOLLOW_READ);
	assert_int_equal(read_from(UR_ASKED_BYTES, 200), UR_FOLLOW_READ);
	assert_int_equal(own(UR_ASKED_CHECK, 200), UR_FOLLOW_AGAIN);
	assert_int_equal(own(UR_ASKED_ASSET, 200), UR_FOLLOW_AGAIN);
	assert_int_equal(own(UR_ASKED_ASSET, 400), UR_FOLLOW_GONE);
	assert_int_equal(own(UR_ASKED_ASSET, 404), UR_FOLLOW_GONE);
	assert_int_equal(own(UR_ASKED_ASSET, 500), UR_FOLLOW_AGAIN);
	assert_int_equal(own(UR_ASKED_BYTES, 206), UR_FOLLOW_MISSED); // of another size
	assert_int_equal(own(UR_ASKED_BYTES, 200), UR_FOLLOW_MISSED);
	assert_int_equal(own(UR_ASKED_BYTES, 404), UR_FOLLOW_MISSED);
	assert_int_equal(own(UR_ASKED_BYTES, 416), UR_FOLLOW_MISSED); // shorter than it was
	assert_int_equal(own(UR_ASKED_BYTES, 500), UR_FOLLOW_MISSED);
	for (int status = 501; status < 600; status++) {
		assert_int_equal(own(UR_ASKED_BYTES, status), UR_FOLLOW_AGAIN);
	}
}

static void only_a_201_of_the_servers_own_leaves_no_doubt(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		const struct ur_answer a = {
			.asked = UR_ASKED_SEND, .status = statuses[i], .own = true};
		assert_int_equal(ur_verdict_is_certain(&a), statuses[i] == 201);
	}
}

static void an_asset_is_believed_a_while_after_it_was_seen(void **state)
{
	const struct ur_gateway_limits limits = ur_gateway_limits_default();
	struct ur_spool_outcome outcome = {.there_ran_ms = 1000};
	(void)state;
	assert_int_equal(limits.settle_after_ms, 60000);
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 1000), 60000);
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 31000), 30000);
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 61000), 0);
	outcome.duplicate = true; // whoever sent it
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 1000), 60000);
	outcome.suspect = true;
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 61000), HOUR - 60000);
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 1000 + HOUR), 0);
	/* The last minutes of a process that was killed were not written down. */
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 0), HOUR);
}

static void doubt_never_shortens_a_wait(void **state)
{
	struct ur_gateway_limits limits = ur_gateway_limits_default();
	const struct ur_spool_outcome outcome = {.suspect = true};
	(void)state;
	limits.suspect_wait_ms = 0;
	assert_int_equal(ur_verdict_wait_ms(&outcome, &limits, 0), limits.settle_after_ms);
}

static void an_asset_is_broken_a_day_after_it_was_missed_while_others_are_not(void **state)
{
	(void)state;
	assert_int_equal(ur_verdict_miss(UR_SPOOL_NEVER, 5, 10), UR_MISS_FIRST);
	assert_int_equal(ur_verdict_miss(10, 11, 12), UR_MISS_AGAIN);
	assert_int_equal(ur_verdict_miss(10, DAY, 9 + DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_verdict_miss(10, DAY, 10 + DAY), UR_MISS_BROKEN);
	/* None of many gives its bytes: the server's failure. */
	assert_int_equal(ur_verdict_miss(10, UR_SPOOL_NEVER, 10 + DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_verdict_miss(10, 9, 10 + 5 * DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_verdict_miss(10, 11, 11 + 5 * DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_verdict_miss(10, 5 * DAY, 11 + 5 * DAY), UR_MISS_BROKEN);
}

static void acknowledged_bytes_do_not_end_by_age(void **state)
{
	const struct ur_gateway_limits limits = ur_gateway_limits_default();
	struct ur_spool_upload upload = {.outcome = {.state = UR_SPOOL_COMPLETE}};
	(void)state;
	assert_false(ur_life_of(&upload, &limits).ends);
	upload.is_sidecar = true; // whose picture never came
	assert_false(ur_life_of(&upload, &limits).ends);
	upload.outcome.state = UR_SPOOL_DELIVERED;
	assert_false(ur_life_of(&upload, &limits).ends);
	upload.outcome.state = UR_SPOOL_REFUSED;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		upload.outcome.status = statuses[i];
		assert_int_equal(ur_life_of(&upload, &limits).ends,
			statuses[i] == 400 || statuses[i] == UR_STATUS_EXPIRED);
	}
	upload.outcome.status = 400;
	assert_int_equal(ur_life_of(&upload, &limits).keep_ms, 30 * DAY);
}

static void what_is_damaged_is_its_owners_to_remove(void **state)
{
	const struct ur_gateway_limits limits = ur_gateway_limits_default();
	struct ur_spool_upload upload = {.is_damaged = true};
	(void)state;
	for (int i = 0; i < UR_SPOOL_STATES; i++) {
		upload.outcome.state = (enum ur_spool_state)i;
		upload.outcome.status = 400;
		assert_false(ur_life_of(&upload, &limits).ends);
	}
}

static void what_is_unfinished_ends_after_its_last_byte(void **state)
{
	const struct ur_gateway_limits limits = ur_gateway_limits_default();
	struct ur_spool_upload upload = {
		.touched_ran_ms = 77, .outcome = {.state = UR_SPOOL_RECEIVING, .since_ran_ms = 5}};
	(void)state;
	assert_true(ur_life_of(&upload, &limits).ends);
	assert_int_equal(ur_life_of(&upload, &limits).since_ran_ms, 77);
	assert_int_equal(ur_life_of(&upload, &limits).keep_ms, 7 * DAY);
	upload.outcome.state = UR_SPOOL_BROKEN;
	assert_int_equal(ur_life_of(&upload, &limits).keep_ms, HOUR);
}

static void what_lies_in_the_trash_or_had_no_room_is_asked_about_again(void **state)
{
	struct ur_spool_outcome outcome = {.state = UR_SPOOL_REFUSED, .status = UR_STATUS_TRASHED};
	(void)state;
	assert_false(ur_spool_is_over(&outcome));
	outcome.status = UR_STATUS_QUOTA;
	assert_false(ur_spool_is_over(&outcome));
	outcome.status = 400;
	assert_true(ur_spool_is_over(&outcome));
	outcome.state = UR_SPOOL_CONFIRMED;
	assert_true(ur_spool_is_over(&outcome));
	outcome.state = UR_SPOOL_DELIVERED;
	assert_false(ur_spool_is_over(&outcome));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_of_a_proxy_is_never_a_verdict),
		cmocka_unit_test(no_answer_is_no_verdict),
		cmocka_unit_test(only_a_400_of_the_servers_own_refuses_a_file),
		cmocka_unit_test(what_went_out_whole_may_have_been_kept),
		cmocka_unit_test(keys_and_rights_are_told_apart),
		cmocka_unit_test(a_proof_is_read_and_its_want_is_no_verdict_about_the_file),
		cmocka_unit_test(only_a_201_of_the_servers_own_leaves_no_doubt),
		cmocka_unit_test(an_asset_is_believed_a_while_after_it_was_seen),
		cmocka_unit_test(doubt_never_shortens_a_wait),
		cmocka_unit_test(an_asset_is_broken_a_day_after_it_was_missed_while_others_are_not),
		cmocka_unit_test(acknowledged_bytes_do_not_end_by_age),
		cmocka_unit_test(what_is_damaged_is_its_owners_to_remove),
		cmocka_unit_test(what_is_unfinished_ends_after_its_last_byte),
		cmocka_unit_test(what_lies_in_the_trash_or_had_no_room_is_asked_about_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
