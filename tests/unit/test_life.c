/* life - what ends by age, and what does not. */
#include "engine/gateway/life.h"

#include "engine/gateway/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (INT64_C(3600) * 1000)
#define DAY (24 * HOUR)

static const int statuses[] = {200, 201, 204, 206, 301, 302, 307, 308, 400, 401, 403, 404, 405, 408,
	409, 410, 413, 415, 416, 422, 429, 500, 501, 502, 503, 504, 520, 599};

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

static void what_is_only_remembered_goes_sooner_where_there_is_much_of_it(void **state)
{
	struct ur_gateway gateway = {.limits = ur_gateway_limits_default()};
	struct ur_spool_upload upload = {
		.outcome = {.state = UR_SPOOL_CONFIRMED, .since_ran_ms = 9}};
	(void)state;
	upload.bytes_gone = true;
	gateway.records = UR_RECORDS_MAX / 2;
	assert_int_equal(ur_life_here(&gateway, &upload).keep_ms, 7 * DAY);
	gateway.records++;
	assert_int_equal(ur_life_here(&gateway, &upload).keep_ms, HOUR);
	assert_int_equal(ur_life_here(&gateway, &upload).since_ran_ms, 9);
	gateway.limits.keep_outcome_ms = 60000; // what was shorter before is no longer now
	assert_int_equal(ur_life_here(&gateway, &upload).keep_ms, 60000);
	upload.bytes_gone = false; // its bytes are more than a memory
	gateway.limits.keep_outcome_ms = 7 * DAY;
	assert_int_equal(ur_life_here(&gateway, &upload).keep_ms, 7 * DAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledged_bytes_do_not_end_by_age),
		cmocka_unit_test(what_is_damaged_is_its_owners_to_remove),
		cmocka_unit_test(what_is_unfinished_ends_after_its_last_byte),
		cmocka_unit_test(what_lies_in_the_trash_or_had_no_room_is_asked_about_again),
		cmocka_unit_test(what_is_only_remembered_goes_sooner_where_there_is_much_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
