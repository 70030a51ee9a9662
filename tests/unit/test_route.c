/* route - which request it is, whether it is well formed, who sends it: and nothing is read before. */
#include "tests/unit/visitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TUS "tus-resumable: 1.0.0"
#define FILES "/uringest/files/"
#define ID "0123456789abcdef0123456789abcdef"

/** It was refused with this, nobody was asked, and no byte was read. */
static void is_refused(const struct visitor *v, int status)
{
	assert_int_equal(v->answers, 1);
	assert_int_equal(v->status, status);
	assert_null(v->waits);
	assert_false(v->accepted);
	assert_string_equal(visitor_field(v, "Tus-Resumable"), "1.0.0");
}

/* ---- which request --------------------------------------------------------------------------- */

static void only_what_is_below_the_base_is_here(void **state)
{
	struct visitor *v = *state;
	static const char *const paths[] = {"/", "/uringest", "/uringest/", "/files/",
		"/uringest/file", "/uringest/files2", "/URINGEST/files/", "/uringest/healthz/",
		"/uringest/../files/"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		visitor_asks(v, "POST", paths[i], TUS, NULL);
		is_refused(v, 404);
		assert_non_null(strstr(v->text, "/uringest/files/"));
	}
}

static void an_id_is_32_digits_and_nothing_else(void **state)
{
	struct visitor *v = *state;
	static const char *const ids[] = {"0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef",
		ID "0", "../../../../../../etc/passwd0000", "0123456789abcdef0123456789abcde%",
		ID "/", ID "/status/", ID "/bytes", ID "/../x"};
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		char path[128];
		(void)snprintf(path, sizeof path, FILES "%s", ids[i]);
		visitor_asks(v, "GET", path, TUS, NULL);
		is_refused(v, 404);
	}
}

static void each_address_names_the_methods_that_it_answers(void **state)
{
	struct visitor *v = *state;
	static const struct {
		const char *method;
		const char *path;
		const char *allow;
	} rows[] = {
		{"GET", FILES, "POST, OPTIONS"},
		{"PUT", "/uringest/files", "POST, OPTIONS"},
		{"DELETE", FILES, "POST, OPTIONS"},
		{"PUT", FILES ID, "HEAD, PATCH, DELETE, GET, OPTIONS"},
		{"POST", FILES ID, "HEAD, PATCH, DELETE, GET, OPTIONS"},
		{"get", FILES ID, "HEAD, PATCH, DELETE, GET, OPTIONS"},
		{"HEAD", FILES ID "/status", "GET, OPTIONS"},
		{"DELETE", FILES ID "/status", "GET, OPTIONS"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		visitor_asks(v, rows[i].method, rows[i].path, TUS, NULL);
		is_refused(v, 405);
		assert_string_equal(visitor_field(v, "Allow"), rows[i].allow);
	}
}

static void a_post_may_mean_patch_or_delete_and_nothing_else_may(void **state)
{
	struct visitor *v = *state;
	static const struct {
		const char *method;
		const char *path;
		const char *other;
		int status; // 0: it is asked who sends it
	} rows[] = {
		{"POST", FILES ID, "x-http-method-override: DELETE", 0},
		{"POST", FILES ID, "x-http-method-override: PATCH", 415}, // of a PATCH: no bytes
		{"POST", FILES ID, "x-http-method-override: GET", 405},
		{"POST", FILES ID, "x-http-method-override: delete", 405},
		{"GET", FILES ID, "x-http-method-override: DELETE", 0},
		{"POST", FILES, "x-http-method-override: PATCH", 405},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		visitor_asks(v, rows[i].method, rows[i].path, TUS, "x-api-key: ann", rows[i].other,
			NULL);
		assert_int_equal(v->status, rows[i].status);
		if (v->waits != NULL) {
			assert_int_equal(rows[i].status, 0);
			assert_string_equal(v->x.method, rows[i].method);
			visitor_is(v, UR_VERDICT_UNKNOWN, "");
		}
	}
}

/* ---- without a name -------------------------------------------------------------------------- */

static void anybody_may_ask_what_is_spoken_here_and_whether_it_works(void **state)
{
	struct visitor *v = *state;
	visitor_asks(v, "OPTIONS", FILES, NULL);
	assert_int_equal(v->status, 204);
	assert_string_equal(visitor_field(v, "Tus-Version"), UR_TUS_VERSION);
	assert_string_equal(visitor_field(v, "Tus-Extension"), UR_TUS_EXTENSIONS);
	assert_string_equal(visitor_field(v, "Tus-Max-Size"), "68719476736");
	assert_null(visitor_field(v, "Access-Control-Allow-Methods"));
	visitor_asks(v, "OPTIONS", FILES ID, "origin: https://elsewhere.example", NULL);
	assert_string_equal(visitor_field(v, "Access-Control-Allow-Origin"), "*");
	assert_non_null(strstr(visitor_field(v, "Access-Control-Allow-Headers"), "Upload-Offset"));
	v->gateway.options.immich = NULL;
	visitor_asks(v, "GET", "/uringest/healthz", NULL);
	assert_int_equal(v->status, 200);
	assert_string_equal(v->text, "ok\n");
	atomic_store(&v->gateway.stopping, true);
	visitor_asks(v, "GET", "/uringest/healthz", NULL);
	assert_int_equal(v->status, 503);
	visitor_asks(v, "GET", "/uringest/livez", NULL); // nobody need start it again for that
	assert_int_equal(v->status, 200);
}

static void figures_are_for_the_house_alone(void **state)
{
	struct visitor *v = *state;
	static const char *const through[] = {
		"x-forwarded-for: 10.0.0.1", "x-real-ip: 10.0.0.1", "forwarded: for=10.0.0.1"};
	visitor_asks(v, "GET", "/uringest/metrics", NULL);
	assert_int_equal(v->status, 200);
	for (size_t i = 0; i < 3; i++) {
		visitor_asks(v, "GET", "/uringest/metrics", through[i], NULL);
		is_refused(v, 404);
		assert_null(strstr(v->text, "uringest_gateway"));
	}
	v->far = true;
	visitor_asks(v, "GET", "/uringest/metrics", NULL);
	is_refused(v, 404);
}

/* ---- its headers ----------------------------------------------------------------------------- */

static void who_does_not_speak_tus_is_told_what_is_spoken(void **state)
{
	struct visitor *v = *state;
	static const char *const methods[] = {"HEAD", "PATCH", "DELETE"};
	for (size_t i = 0; i < 3; i++) {
		visitor_asks(v, methods[i], FILES ID, "x-api-key: ann", NULL);
		is_refused(v, 412);
		assert_string_equal(visitor_field(v, "Tus-Version"), "1.0.0");
	}
	visitor_asks(v, "POST", FILES, "tus-resumable: 0.2.2", "upload-length: 5", NULL);
	is_refused(v, 412);
	visitor_asks(v, "GET", FILES ID "/status", "x-api-key: ann", NULL); // which is not tus
	assert_non_null(v->waits);
	visitor_is(v, UR_VERDICT_IN, ANN);
	assert_int_equal(v->status, 404);
}

static void what_a_creation_says_of_itself_must_be_whole(void **state)
{
	struct visitor *v = *state;
	static const struct {
		const char *one;
		const char *two;
		int status;
	} rows[] = {
		{"x-none: 1", "x-none: 1", 400}, // no length at all
		{"upload-length: 5", "upload-defer-length: 1", 400},
		{"upload-defer-length: 2", "x-none: 1", 400},
		{"upload-length: -1", "x-none: 1", 400}, {"upload-length: 0x10", "x-none: 1", 400},
		{"upload-length: 5 ", "x-none: 1", 400},
		{"upload-length: 9223372036854775808", "x-none: 1", 400},
		{"upload-length: 68719476737", "x-none: 1", 413}, // one more than the most
		{"upload-length: 5", "upload-concat: partial", 400},
		{"upload-length: 5", "content-length: 5", 415}, // bytes of no type
		{"upload-length: 5", "upload-checksum: md5 AAAA", 400},
		{"upload-length: 5", "upload-checksum: sha1 AAAA", 400},
		{"upload-length: 5", "upload-metadata: filename !!", 400},
		{"upload-length: 5", "upload-metadata: visibility bG9ja2Vk", 400}, // locked
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		visitor_asks(
			v, "POST", FILES, TUS, "x-api-key: ann", rows[i].one, rows[i].two, NULL);
		is_refused(v, rows[i].status);
		assert_true(strlen(v->text) > 10); // and it says why
	}
	visitor_asks(v, "POST", FILES, TUS, "x-api-key: ann", "upload-length: 68719476736", NULL);
	assert_non_null(v->waits);
	visitor_is(v, UR_VERDICT_UNKNOWN, "");
}

static void a_creation_brings_no_more_bytes_than_it_announces(void **state)
{
	struct visitor *v = *state;
	visitor_asks(v, "POST", FILES, TUS, "x-api-key: ann", "upload-length: 5",
		"content-length: 6", "content-type: application/offset+octet-stream", NULL);
	is_refused(v, 413);
	visitor_asks(v, "POST", FILES, TUS, "x-api-key: ann", "upload-length: 5",
		"content-length: 5", "content-type: application/offset+octet-stream; x=y", NULL);
	assert_non_null(v->waits);
	visitor_is(v, UR_VERDICT_UNKNOWN, "");
	visitor_asks(v, "POST", FILES, TUS, "x-api-key: ann", "upload-length: 5",
		"content-length: 5", "content-type: application/offset+octet-streams", NULL);
	is_refused(v, 415);
}

static void a_patch_says_where_its_bytes_begin(void **state)
{
	struct visitor *v = *state;
	static const struct {
		const char *type;
		const char *offset;
		int status;
	} rows[] = {
		{"content-type: application/octet-stream", "upload-offset: 0", 415},
		{"x-none: 1", "upload-offset: 0", 415},
		{"content-type: application/offset+octet-stream", "x-none: 1", 400},
		{"content-type: application/offset+octet-stream", "upload-offset: +1", 400},
		{"content-type: application/offset+octet-stream", "upload-offset: ", 400},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		visitor_asks(v, "PATCH", FILES ID, TUS, "x-api-key: ann", rows[i].type,
			rows[i].offset, NULL);
		is_refused(v, rows[i].status);
	}
}

/* ---- who sends it ---------------------------------------------------------------------------- */

static void without_a_key_nobody_is_asked(void **state)
{
	struct visitor *v = *state;
	visitor_asks(v, "HEAD", FILES ID, TUS, NULL);
	is_refused(v, 401);
	assert_non_null(strstr(v->text, "x-api-key"));
}

static void the_gates_word_is_the_answer(void **state)
{
	struct visitor *v = *state;
	static const struct {
		enum ur_verdict verdict;
		int status;
		const char *later;
	} rows[] = {
		{UR_VERDICT_UNKNOWN, 401, NULL},
		{UR_VERDICT_FORBIDDEN, 403, NULL},
		{UR_VERDICT_BUSY, 423, "5"},
		{UR_VERDICT_AWAY, 423, "5"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		visitor_asks(v, "HEAD", FILES ID, TUS, "x-api-key: ann", NULL);
		assert_string_equal(v->credential.line, "x-api-key: ann");
		assert_int_equal(v->answers, 0);
		visitor_is(v, rows[i].verdict, "");
		assert_int_equal(v->status, rows[i].status);
		assert_string_equal(v->text, "the gate's words\n");
		const char *later = visitor_field(v, "Retry-After");
		assert_int_equal(later == NULL, rows[i].later == NULL);
	}
}

static void who_left_before_the_word_came_is_not_answered(void **state)
{
	struct visitor *v = *state;
	visitor_asks(v, "HEAD", FILES ID, TUS, "x-api-key: ann", NULL);
	visitor_leaves(v);
	visitor_is(v, UR_VERDICT_IN, ANN);
	assert_int_equal(v->answers, 0);
	assert_null(v->gateway.visits);
	visitor_asks(v, "POST", FILES, TUS, "x-api-key: ann", "upload-length: 5",
		"upload-metadata: filename YS5qcGc=", NULL);
	visitor_leaves(v);
	visitor_is(v, UR_VERDICT_IN, ANN);
	assert_int_equal(v->gateway.records, 0); // nothing is made for nobody
}

static void only_a_declared_proxy_is_believed_about_an_address(void **state)
{
	struct visitor *v = *state;
	visitor_asks(v, "HEAD", FILES ID, TUS, "x-api-key: ann", "x-real-ip: 10.0.0.1", NULL);
	assert_string_equal(v->address, "127.0.0.1");
	visitor_is(v, UR_VERDICT_UNKNOWN, "");
	v->gateway.options.proxies[0] = "127.0.0.1";
	v->gateway.options.proxy_count = 1;
	visitor_asks(v, "HEAD", FILES ID, TUS, "x-api-key: ann", "x-real-ip: 10.0.0.1", NULL);
	assert_string_equal(v->address, "10.0.0.1");
	visitor_is(v, UR_VERDICT_UNKNOWN, "");
}

static void an_upload_is_there_for_its_owner_alone(void **state)
{
	struct visitor *v = *state;
	char path[128];
	static const char *const methods[] = {"HEAD", "DELETE", "GET"};
	const struct ur_spool_upload *upload = visitor_upload(v, BOB, 5);
	(void)snprintf(path, sizeof path, FILES "%s", upload->id);
	for (size_t i = 0; i < 3; i++) {
		visitor_asks_as_ann(v, methods[i], path, NULL);
		assert_int_equal(v->status, 404);
		assert_string_equal(v->text, "there is no such upload\n"); // as of one that is not
	}
	(void)strcat(path, "/status");
	visitor_asks_as_ann(v, "GET", path, NULL);
	assert_int_equal(v->status, 404);
	assert_non_null(ur_spool_find(v->gateway.spool, upload->id));
}

static void a_key_without_the_right_makes_nothing(void **state)
{
	struct visitor *v = *state;
	visitor_asks(v, "POST", FILES, TUS, "x-api-key: ann", "upload-length: 5", NULL);
	const struct ur_visitor who = {.user = ANN, .may_read = true, .may_download = true};
	visitor_told(v, UR_VERDICT_IN, &who);
	assert_int_equal(v->status, 403);
	assert_non_null(strstr(v->text, "asset.upload"));
	assert_int_equal(v->gateway.records, 0);
}

static void of_one_that_is_over_only_its_status_is_told_and_it_may_be_removed(void **state)
{
	struct visitor *v = *state;
	char path[128];
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	upload->outcome.state = UR_SPOOL_BROKEN;
	(void)snprintf(upload->outcome.words, sizeof upload->outcome.words, "not what it promised");
	(void)snprintf(path, sizeof path, FILES "%s", upload->id);
	visitor_asks_as_ann(v, "HEAD", path, NULL);
	assert_int_equal(v->status, 410);
	assert_string_equal(v->text, "not what it promised\n");
	visitor_asks_as_ann(v, "GET", path, NULL);
	assert_int_equal(v->status, 410);
	(void)strcat(path, "/status");
	visitor_asks_as_ann(v, "GET", path, NULL);
	assert_int_equal(v->status, 200);
	*strrchr(path, '/') = '\0';
	visitor_asks_as_ann(v, "DELETE", path, NULL);
	assert_int_equal(v->status, 204);
	assert_int_equal(v->gateway.records, 0);
}

#define VISITOR(test) cmocka_unit_test_setup_teardown(test, visitor_new, visitor_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VISITOR(only_what_is_below_the_base_is_here),
		VISITOR(an_id_is_32_digits_and_nothing_else),
		VISITOR(each_address_names_the_methods_that_it_answers),
		VISITOR(a_post_may_mean_patch_or_delete_and_nothing_else_may),
		VISITOR(anybody_may_ask_what_is_spoken_here_and_whether_it_works),
		VISITOR(figures_are_for_the_house_alone),
		VISITOR(who_does_not_speak_tus_is_told_what_is_spoken),
		VISITOR(what_a_creation_says_of_itself_must_be_whole),
		VISITOR(a_creation_brings_no_more_bytes_than_it_announces),
		VISITOR(a_patch_says_where_its_bytes_begin),
		VISITOR(without_a_key_nobody_is_asked),
		VISITOR(the_gates_word_is_the_answer),
		VISITOR(who_left_before_the_word_came_is_not_answered),
		VISITOR(only_a_declared_proxy_is_believed_about_an_address),
		VISITOR(an_upload_is_there_for_its_owner_alone),
		VISITOR(a_key_without_the_right_makes_nothing),
		VISITOR(of_one_that_is_over_only_its_status_is_told_and_it_may_be_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
