/* upstream - what is known of the server, and one line when it goes and one when it comes back. */
#include "engine/gateway/upstream.h"

#include "tests/unit/visitor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define VERSION "{\"major\":2,\"minor\":5,\"patch\":6}"
#define TYPES "{\"image\":[\".jpg\"],\"video\":[\".mp4\"],\"sidecar\":[\".xmp\"]}"
#define OTHER_TYPES "{\"image\":[\".png\"],\"video\":[\".mp4\"],\"sidecar\":[\".xmp\"]}"

static bool takes(const struct visitor *v, const char *name)
{
	return ur_types_class(v->gateway.types, name) == UR_CLASS_IMAGE;
}

static void it_is_asked_once_and_then_for_what_it_takes(void **state)
{
	struct visitor *v = *state;
	ur_upstream_tick(&v->gateway);
	assert_string_equal(v->asked->path, "/api/server/version");
	ur_upstream_tick(&v->gateway);
	assert_int_equal(v->questions, 1); // one at a time
	visitor_hears(v, 200, MARK_OWN, VERSION);
	assert_int_equal(v->gateway.server.major, 2);
	assert_string_equal(v->asked->path, "/api/server/media-types");
	visitor_hears(v, 200, MARK_OWN, TYPES);
	assert_true(takes(v, "a.jpg"));
	assert_false(takes(v, "a.png"));
	ur_upstream_tick(&v->gateway);
	assert_int_equal(v->questions, 2); // for an hour
	assert_true(v->gateway.version_until_ms > ur_gateway_now_ms() + 3500000);
	v->gateway.version_until_ms = 0;
	ur_upstream_tick(&v->gateway);
	assert_string_equal(v->asked->path, "/api/server/version");
	visitor_hears_nothing(v);
}

static void one_that_is_away_is_named_once_and_asked_again_soon(void **state)
{
	struct visitor *v = *state;
	const int64_t now_ms = ur_gateway_now_ms();
	ur_upstream_tick(&v->gateway);
	visitor_hears_nothing(v);
	assert_true(v->gateway.server_away);
	assert_non_null(strstr(v->log, "immich-server does not answer as it should"));
	assert_true(v->gateway.version_until_ms < now_ms + 60000);
	v->log[0] = '\0';
	ur_upstream_note(&v->gateway, false, "again");
	assert_string_equal(v->log, "");
	ur_upstream_note(&v->gateway, true, "");
	assert_string_equal(v->log, "immich-server answers again");
	v->log[0] = '\0';
	ur_upstream_note(&v->gateway, true, "");
	assert_string_equal(v->log, "");
}

/** A change is said, the same again is not; and a password never is. */
static void why_it_does_not_answer_is_named_once_a_reason(void **state)
{
	struct visitor *v = *state;
	static const struct {
		int result;
		int status;
		const char *mark;
		const char *type;
		const char *lacks;
		const char *said; // NULL: nothing new
	} rows[] = {
		{0, 200, "", "text/html; charset=utf-8", NULL,
			"HTTP 200, text/html; charset=utf-8, without the mark"},
		{0, 200, "", "text/html; charset=utf-8", NULL, NULL},
		{0, 502, "", "", NULL,
			"HTTP 502, no type, without the mark of Immich's answers (x-immich-cid)"},
		{0, 404, "cid", "text/html", NULL, "HTTP 404, text/html, not in the form"},
		{0, 200, "cid", "application/json", "it does not say its version",
			"HTTP 200, application/json, it does not say its version"},
		{-ECONNREFUSED, 0, "", "", NULL, "(http://immich.example:2283: Could not connect)"},
		{-ECONNREFUSED, 0, "", "", NULL, NULL},
		{-ETIMEDOUT, 0, "", "", NULL, "(http://immich.example:2283: Could not connect)"},
	};
	v->gateway.options.immich = "http://ann:secret@immich.example:2283";
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ur_request request = {.result = rows[i].result, .status = rows[i].status};
		(void)snprintf(request.correlation, sizeof request.correlation, "%s", rows[i].mark);
		(void)snprintf(request.answer_type, sizeof request.answer_type, "%s", rows[i].type);
		(void)snprintf(request.err.text, sizeof request.err.text,
			"http://immich.example:2283: Could not connect");
		v->log[0] = '\0';
		ur_upstream_doubt(&v->gateway, &request, rows[i].lacks);
		assert_int_equal(v->log[0] == '\0', rows[i].said == NULL);
		if (rows[i].said != NULL) {
			assert_non_null(strstr(v->log, rows[i].said));
			assert_non_null(strstr(v->log, "http://immich.example:2283: "));
		}
		assert_null(strstr(v->log, "secret"));
		assert_true(v->gateway.server_away);
	}
}

static void silence_is_named_before_it_is_an_answer(void **state)
{
	struct visitor *v = *state;
	ur_upstream_tick(&v->gateway);
	ur_upstream_tick(&v->gateway);
	assert_string_equal(v->log, "");
	v->gateway.version_asked_ms -= 5000;
	ur_upstream_tick(&v->gateway);
	assert_non_null(strstr(v->log, "no answer yet"));
	v->log[0] = '\0';
	ur_upstream_tick(&v->gateway);
	assert_string_equal(v->log, "");
	visitor_hears(v, 200, MARK_OWN, VERSION);
	assert_string_equal(v->log, "immich-server answers again");
	visitor_hears_nothing(v);
}

static void one_that_went_away_after_it_had_answered_is_away(void **state)
{
	struct visitor *v = *state;
	ur_upstream_tick(&v->gateway);
	visitor_hears(v, 200, MARK_OWN, VERSION);
	visitor_hears(v, 200, MARK_OWN, TYPES);
	assert_false(v->gateway.server_away);
	v->gateway.version_asked_ms -= 5000;
	ur_upstream_hurry(&v->gateway);
	ur_upstream_tick(&v->gateway);
	visitor_hears_nothing(v);
	assert_true(v->gateway.server_away);
	assert_int_equal(v->gateway.server.major, 2); // and it is known what it was
}

static void what_does_not_say_its_version_is_no_server(void **state)
{
	struct visitor *v = *state;
	static const struct {
		int status;
		const char *text;
	} rows[] = {{502, VERSION}, {200, "<html>"}, {200, "{}"}, {200, "{\"major\":\"2\"}"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		v->gateway.version_until_ms = 0;
		ur_upstream_tick(&v->gateway);
		visitor_hears(v, rows[i].status, MARK_OWN, rows[i].text);
		assert_null(v->asked);
		assert_true(v->gateway.server_away);
		assert_non_null(strstr(v->log, "it does not say its version"));
		ur_upstream_note(&v->gateway, true, "");
	}
}

static void what_was_known_of_its_types_goes_on_until_it_says_otherwise_itself(void **state)
{
	struct visitor *v = *state;
	struct ur_request request = {.status = 200};
	static const struct {
		int result;
		int status;
		const char *mark;
		const char *text;
		bool believed;
	} rows[] = {
		{0, 200, "cid", TYPES, true},
		{0, 200, "", OTHER_TYPES, false}, // a proxy's
		{0, 500, "cid", OTHER_TYPES, false},
		{0, 200, "cid", "{\"image\":[", false},
		{-1, 200, "cid", OTHER_TYPES, false},
		{0, 200, "cid", OTHER_TYPES, true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct ur_types *before = v->gateway.types;
		request.result = rows[i].result;
		request.status = rows[i].status;
		(void)snprintf(request.correlation, sizeof request.correlation, "%s", rows[i].mark);
		(void)snprintf(request.answer_type, sizeof request.answer_type, "application/json");
		ur_text_clear(&request.answer);
		ur_text_adds(&request.answer, rows[i].text);
		ur_upstream_take_types(&v->gateway, &request);
		assert_int_equal(v->gateway.types != before, rows[i].believed);
		assert_int_equal(takes(v, "a.png"), i == 5);
	}
	ur_text_done(&request.answer);
}

#define VISITOR(test) cmocka_unit_test_setup_teardown(test, visitor_new, visitor_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VISITOR(it_is_asked_once_and_then_for_what_it_takes),
		VISITOR(one_that_is_away_is_named_once_and_asked_again_soon),
		VISITOR(why_it_does_not_answer_is_named_once_a_reason),
		VISITOR(silence_is_named_before_it_is_an_answer),
		VISITOR(one_that_went_away_after_it_had_answered_is_away),
		VISITOR(what_does_not_say_its_version_is_no_server),
		VISITOR(what_was_known_of_its_types_goes_on_until_it_says_otherwise_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
