/* told - what a gateway says about an upload, and what is believed of it. */
#include "engine/net/told.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ID "426dd542-f562-4757-9dc5-eaf7d1c47147"

static enum ur_transfer_told what(const char *state, const char *more)
{
	struct ur_told told = {.what = UR_TOLD_NOTHING};
	char json[400];
	(void)snprintf(json, sizeof json, "{\"state\":\"%s\",\"asset\":\"" ID "\"%s}", state, more);
	return ur_told_read(json, &told, NULL) < 0 ? UR_TOLD_NOTHING : told.what;
}

static void only_a_201_without_a_doubt_is_created(void **state)
{
	(void)state;
	assert_int_equal(
		what("delivered", ",\"result\":\"created\",\"status\":201"), UR_TOLD_CREATED);
	assert_int_equal(
		what("confirmed", ",\"result\":\"created\",\"status\":201,\"suspect\":false"),
		UR_TOLD_CREATED);
	static const char *const doubts[] = {"", ",\"result\":\"created\"",
		",\"result\":\"created\",\"status\":200",
		",\"result\":\"duplicate\",\"status\":201",
		",\"result\":\"created\",\"status\":201,\"suspect\":true"};
	for (size_t i = 0; i < sizeof doubts / sizeof *doubts; i++) {
		assert_int_equal(what("delivered", doubts[i]), UR_TOLD_DUPLICATE);
		assert_int_equal(what("confirmed", doubts[i]), UR_TOLD_DUPLICATE);
	}
}

static void every_state_has_its_word_and_others_have_none(void **state)
{
	(void)state;
	assert_int_equal(what("receiving", ""), UR_TOLD_RECEIVING);
	assert_int_equal(what("complete", ""), UR_TOLD_COMPLETE);
	assert_int_equal(what("broken", ""), UR_TOLD_BROKEN);
	assert_int_equal(what("refused", ""), UR_TOLD_REFUSED);
	assert_int_equal(what("", ""), UR_TOLD_NOTHING);
	assert_int_equal(what("Delivered", ""), UR_TOLD_NOTHING);
}

static void without_an_asset_nothing_was_delivered(void **state)
{
	struct ur_told told;
	(void)state;
	assert_int_equal(ur_told_read("{\"state\":\"delivered\"}", &told, NULL), -EBADMSG);
	assert_int_equal(ur_told_read("{\"state\":\"confirmed\",\"asset\":\"../x\"}", &told, NULL),
		-EBADMSG);
	assert_int_equal(ur_told_read("<html>", &told, NULL), -EBADMSG);
	assert_int_equal(ur_told_read("{\"state\":\"complete\"}", &told, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_201_without_a_doubt_is_created),
		cmocka_unit_test(every_state_has_its_word_and_others_have_none),
		cmocka_unit_test(without_an_asset_nothing_was_delivered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
