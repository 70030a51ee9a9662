/* status - what is told about an upload, its bytes and the house, and who waits for how long. */
#include "engine/gateway/status.h"

#include "engine/gateway/session.h"
#include "engine/sys/sys.h"
#include "tests/unit/visitor.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES "/uringest/files/"
#define ASSET "426dd542-f562-4757-9dc5-eaf7d1c47147"

/** Five bytes of Ann's, all of them durable: to be delivered. */
static struct ur_spool_upload *complete_upload(struct visitor *v)
{
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	struct ur_spool_mark mark;
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	assert_int_equal(ur_spool_append(upload, "12345", 5, NULL), 0);
	ur_spool_mark(upload, &mark);
	assert_int_equal(ur_spool_commit(upload, &mark, NULL), 0);
	ur_spool_committed(upload, &mark);
	assert_true(ur_spool_finish(upload));
	upload->outcome.state = UR_SPOOL_COMPLETE;
	ur_spool_rest(upload);
	return upload;
}

static void ask_about(struct visitor *v, const struct ur_spool_upload *upload, const char *what,
	const char *field)
{
	char path[128];
	(void)snprintf(path, sizeof path, FILES "%s%s", upload->id, what);
	visitor_asks_as_ann(v, "GET", path, field, NULL);
}

/** The answer as JSON; the caller lets it go. */
static json_t *status_of(struct visitor *v, const struct ur_spool_upload *upload)
{
	ask_about(v, upload, "/status", "x-none: 1");
	assert_int_equal(v->status, 200);
	assert_string_equal(v->type, "application/json");
	assert_string_equal(visitor_field(v, "Cache-Control"), "no-store");
	json_t *json = json_loads(v->text, 0, NULL);
	assert_non_null(json);
	return json;
}

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* ---- would an upload be taken? --------------------------------------------------------------- */

static uint64_t disk_left;
static int64_t disk_flags;

static int fstatfs_of(int fd, struct statfs *ret)
{
	(void)fd;
	*ret = (struct statfs){.f_bavail = disk_left, .f_frsize = 1, .f_flags = disk_flags};
	return 0;
}

static void health_is_whether_an_upload_would_be_taken_and_names_what_is_wrong(void **state)
{
	struct visitor *v = *state;
	const struct ur_sys real = ur_sys;
	static const struct ur_dialect dialect;
	static const struct {
		uint64_t left;
		int64_t flags;
		bool known;
		bool away;
		bool stopping;
		const char *words; // as the answer begins
	} rows[] = {
		{1000, 0, true, false, false, "ok\n"},
		{999, 0, true, false, false, "no-space: "},
		{1000, ST_RDONLY, true, false, false, "read-only: "},
		{1000, 0, true, true, false, "immich-away: "},
		{1000, 0, false, false, false, "immich-away: "},
		{999, ST_RDONLY, false, true, false, "read-only: "}, // room would not help
		{1000, 0, true, false, true, "stopping\n"},
	};
	v->gateway.limits.keep_free = 1000;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		disk_left = rows[i].left;
		disk_flags = rows[i].flags;
		v->gateway.server.dialect = rows[i].known ? &dialect : NULL;
		v->gateway.server_away = rows[i].away;
		atomic_store(&v->gateway.stopping, rows[i].stopping);
		ur_sys.fstatfs = fstatfs_of;
		visitor_asks(v, "GET", "/uringest/healthz", NULL);
		ur_sys = real;
		assert_int_equal(v->status, i == 0 ? 200 : 503);
		assert_memory_equal(v->text, rows[i].words, strlen(rows[i].words));
		visitor_asks(v, "GET", "/uringest/livez", NULL);
		assert_int_equal(v->status, 200);
	}
}

/* ---- about an upload ------------------------------------------------------------------------- */

static void one_that_is_coming_tells_how_far_it_is_and_when_it_ends(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, UR_SPOOL_LENGTH_UNKNOWN);
	upload->offset = 3;
	upload->durable = 2;
	json_t *json = status_of(v, upload);
	assert_string_equal(text_of(json, "id"), upload->id);
	assert_string_equal(text_of(json, "state"), "receiving");
	assert_int_equal(json_integer_value(json_object_get(json, "offset")), 3);
	assert_int_equal(json_integer_value(json_object_get(json, "durable")), 2);
	assert_true(json_is_null(json_object_get(json, "length")));
	assert_true(json_is_null(json_object_get(json, "asset")));
	assert_true(json_is_null(json_object_get(json, "result")));
	assert_null(json_object_get(json, "sha1"));
	assert_non_null(text_of(json, "expires"));
	json_decref(json);
	upload->offset = upload->durable = 0;
}

static void what_is_complete_names_its_checksum_and_never_expires(void **state)
{
	struct visitor *v = *state;
	json_t *json = status_of(v, complete_upload(v));
	assert_string_equal(text_of(json, "sha1"), "8cb2237d0679ca88db6464eac60da96345513964");
	assert_int_equal(json_integer_value(json_object_get(json, "offset")), 5);
	assert_int_equal(json_integer_value(json_object_get(json, "length")), 5);
	assert_null(json_object_get(json, "expires"));
	json_decref(json);
}

static void a_result_is_told_only_when_the_server_named_an_asset(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = complete_upload(v);
	static const struct {
		enum ur_spool_state state;
		bool duplicate;
		const char *result;
	} rows[] = {
		{UR_SPOOL_COMPLETE, false, NULL},
		{UR_SPOOL_BROKEN, false, NULL},
		{UR_SPOOL_DELIVERED, false, "created"},
		{UR_SPOOL_DELIVERED, true, "duplicate"},
		{UR_SPOOL_CONFIRMED, false, "created"},
		{UR_SPOOL_CONFIRMED, true, "duplicate"},
		{UR_SPOOL_REFUSED, true, NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		upload->outcome.state = rows[i].state;
		upload->outcome.duplicate = rows[i].duplicate;
		json_t *json = status_of(v, upload);
		const char *result = text_of(json, "result");
		assert_int_equal(result == NULL, rows[i].result == NULL);
		if (result != NULL) {
			assert_string_equal(result, rows[i].result);
		}
		assert_int_equal(
			json_object_get(json, "sha1") == NULL, rows[i].state == UR_SPOOL_BROKEN);
		json_decref(json);
	}
}

static void the_servers_words_stay_words(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = complete_upload(v);
	upload->outcome.state = UR_SPOOL_REFUSED;
	upload->outcome.status = 400;
	upload->outcome.suspect = true;
	(void)snprintf(upload->outcome.words, sizeof upload->outcome.words,
		"no\",\"asset\":\"x\"\n\x01<b>");
	(void)snprintf(upload->outcome.asset, sizeof upload->outcome.asset, ASSET);
	json_t *json = status_of(v, upload);
	assert_string_equal(text_of(json, "reason"), upload->outcome.words);
	assert_string_equal(text_of(json, "asset"), ASSET);
	assert_true(json_is_null(json_object_get(json, "result"))); // for it is none of ours
	assert_int_equal(json_integer_value(json_object_get(json, "status")), 400);
	assert_true(json_is_true(json_object_get(json, "suspect")));
	assert_true(json_is_false(json_object_get(json, "damaged")));
	json_decref(json);
}

/* ---- who waits ------------------------------------------------------------------------------- */

static void a_status_waits_until_so_much_is_durable(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	struct ur_visit sender = {0};
	struct ur_session *session = ur_session_of(&v->gateway, upload);
	session->current = &sender;
	ask_about(v, upload, "/status?durable=3", "x-none: 1");
	assert_int_equal(v->answers, 0);
	assert_int_equal(v->gateway.awaiting, 1);
	upload->durable = 2;
	ur_status_wake(&v->gateway, upload->id);
	assert_int_equal(v->answers, 0);
	upload->durable = 3;
	ur_status_wake(&v->gateway, "another");
	assert_int_equal(v->answers, 0);
	ur_status_wake(&v->gateway, upload->id);
	assert_int_equal(v->answers, 1);
	assert_int_equal(v->gateway.awaiting, 0);
	assert_non_null(strstr(v->text, "\"durable\":3"));
	upload->durable = 0;
	session->current = NULL;
	ur_session_rest(session);
}

static void it_waits_for_nobody_who_does_not_send_and_not_after_the_end(void **state)
{
	struct visitor *v = *state;
	static const char *const at_once[] = {"/status?durable=0", "/status?durable=x",
		"/status?other=3", "/status", "/status?durable=3"};
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) {
		ask_about(v, upload, at_once[i], "x-none: 1"); // nobody brings bytes
		assert_int_equal(v->answers, 1);
	}
	struct ur_visit sender = {0};
	struct ur_session *session = ur_session_of(&v->gateway, upload);
	ask_about(v, upload, "/status?durable=3", "x-none: 1"); // nor does a session by itself
	assert_int_equal(v->answers, 1);
	session->current = &sender;
	ask_about(v, upload, "/status?durable=3", "x-none: 1");
	assert_int_equal(v->answers, 0);
	upload->outcome.state = UR_SPOOL_BROKEN;
	ur_status_wake(&v->gateway, NULL);
	assert_int_equal(v->answers, 1);
	session->current = NULL;
	ur_session_rest(session);
}

static void who_waits_for_one_that_is_removed_or_leaves_waits_no_more(void **state)
{
	struct visitor *v = *state;
	struct ur_visit sender = {0};
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	struct ur_session *session = ur_session_of(&v->gateway, upload);
	session->current = &sender;
	ask_about(v, upload, "/status?durable=3", "x-none: 1");
	visitor_leaves(v);
	assert_int_equal(v->gateway.awaiting, 0);
	assert_null(v->gateway.visits);
	ask_about(v, upload, "/status?durable=3", "x-none: 1");
	assert_int_equal(v->gateway.awaiting, 1);
	session->current = NULL;
	ur_session_rest(session);
	ur_spool_dismiss(v->gateway.spool, upload);
	ur_status_wake(&v->gateway, NULL);
	assert_int_equal(v->status, 404);
	assert_int_equal(v->gateway.awaiting, 0);
}

/* ---- its bytes ------------------------------------------------------------------------------- */

static void bytes_are_given_whole_or_the_part_that_was_asked_for(void **state)
{
	struct visitor *v = *state;
	const struct ur_spool_upload *upload = complete_upload(v);
	static const struct {
		const char *range;
		int status;
		uint64_t from;
		uint64_t size;
		const char *said; // Content-Range
	} rows[] = {
		{"x-none: 1", 200, 0, 5, NULL},
		{"range: bytes=0-0", 206, 0, 1, "bytes 0-0/5"},
		{"range: bytes=1-3", 206, 1, 3, "bytes 1-3/5"},
		{"range: bytes=4-", 206, 4, 1, "bytes 4-4/5"},
		{"range: bytes=-2", 206, 3, 2, "bytes 3-4/5"},
		{"range: bytes=-9", 206, 0, 5, "bytes 0-4/5"},
		{"range: bytes=2-99999999999999999999999", 206, 2, 3, "bytes 2-4/5"},
		{"range: bytes=5-", 416, 0, 0, "bytes */5"},
		{"range: bytes=3-2", 416, 0, 0, "bytes */5"},
		{"range: bytes=-0", 416, 0, 0, "bytes */5"},
		{"range: bytes=x", 416, 0, 0, "bytes */5"},
		{"range: bytes=99999999999999999999-", 416, 0, 0, "bytes */5"},
		{"range: bytes=18446744073709551616-", 416, 0, 0, "bytes */5"}, // is no 0
		{"range: bytes=0-1,3-4", 200, 0, 5, NULL},                      // may be ignored
		{"range: lines=1-2", 200, 0, 5, NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ask_about(v, upload, "", rows[i].range);
		assert_int_equal(v->status, rows[i].status);
		assert_int_equal(v->file >= 0, rows[i].status != 416);
		assert_int_equal(v->file >= 0 ? v->file_from : 0, rows[i].from);
		assert_int_equal(v->file >= 0 ? v->file_size : 0, rows[i].size);
		const char *said = visitor_field(v, "Content-Range");
		assert_int_equal(said == NULL, rows[i].said == NULL);
		if (said != NULL) {
			assert_string_equal(said, rows[i].said);
		}
	}
}

static void no_browser_makes_a_page_of_somebodys_bytes(void **state)
{
	struct visitor *v = *state;
	ask_about(v, complete_upload(v), "", "x-none: 1");
	assert_string_equal(v->type, "application/octet-stream");
	assert_string_equal(visitor_field(v, "Content-Disposition"), "attachment");
	assert_string_equal(visitor_field(v, "X-Content-Type-Options"), "nosniff");
	assert_string_equal(visitor_field(v, "Content-Security-Policy"), "sandbox");
	assert_string_equal(visitor_field(v, "Cache-Control"), "private, no-store");
}

static void bytes_that_are_not_here_yet_or_any_more_are_not_given(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = complete_upload(v);
	upload->outcome.state = UR_SPOOL_RECEIVING;
	ask_about(v, upload, "", "x-none: 1");
	assert_int_equal(v->status, 409);
	upload->outcome.state = UR_SPOOL_CONFIRMED;
	upload->bytes_gone = true;
	ask_about(v, upload, "", "x-none: 1");
	assert_int_equal(v->status, 410);
	assert_int_equal(v->file, -1);
}

/* ---- figures --------------------------------------------------------------------------------- */

static long figure(const struct visitor *v, const char *name)
{
	char line[128];
	long value = -1;
	(void)snprintf(line, sizeof line, "\nuringest_gateway_%s ", name);
	const char *at = strstr(v->text, line);
	if (at == NULL) {
		fail_msg("no figure %s", name);
	} else {
		value = strtol(at + strlen(line), NULL, 10);
	}
	return value;
}

static void figures_count_what_is_here_by_state_and_what_was(void **state)
{
	struct visitor *v = *state;
	(void)visitor_upload(v, ANN, 100);
	struct ur_spool_upload *doubted = complete_upload(v);
	struct ur_spool_upload *refused = complete_upload(v);
	struct ur_spool_upload *damaged = complete_upload(v);
	doubted->outcome.state = UR_SPOOL_DELIVERED;
	doubted->outcome.suspect = true;
	doubted->outcome.missed_ran_ms = 5;
	refused->outcome.state = UR_SPOOL_REFUSED;
	damaged->is_damaged = true;
	v->gateway.counters.early = 3;
	v->gateway.counters.delivered = 4;
	v->gateway.carrying = 2;
	visitor_asks(v, "GET", "/uringest/metrics", NULL);
	assert_int_equal(v->status, 200);
	assert_string_equal(v->type, "text/plain; version=0.0.4; charset=utf-8");
	assert_int_equal(figure(v, "uploads{state=\"receiving\"}"), 1);
	assert_int_equal(figure(v, "uploads{state=\"complete\"}"), 1);
	assert_int_equal(figure(v, "uploads{state=\"delivered\"}"), 1);
	assert_int_equal(figure(v, "uploads{state=\"refused\"}"), 1);
	assert_int_equal(figure(v, "uploads{state=\"confirmed\"}"), 0);
	assert_int_equal(figure(v, "suspect"), 1);
	assert_int_equal(figure(v, "missing"), 1);
	assert_int_equal(figure(v, "refused_kept"), 1);
	assert_int_equal(figure(v, "damaged"), 1);
	assert_int_equal(figure(v, "early_total"), 3);
	assert_int_equal(figure(v, "delivered_total"), 4);
	assert_int_equal(figure(v, "delivering"), 2);
	assert_int_equal(figure(v, "spool_bytes"), 115);
	assert_int_equal(figure(v, "connections"), 3);
	assert_int_equal(figure(v, "connections_total"), 7);
}

static void each_figure_has_its_help_and_its_kind_once(void **state)
{
	struct visitor *v = *state;
	unsigned figures = 0;
	visitor_asks(v, "GET", "/uringest/metrics", NULL);
	for (const char *at = v->text; *at != '\0'; at = strchr(at, '\n') + 1) {
		char name[64] = "";
		char kind[160];
		if (sscanf(at, "# HELP %63s", name) != 1) {
			continue;
		}
		(void)snprintf(kind, sizeof kind, "# TYPE %s %s\n", name,
			strcmp(name + strlen(name) - 6, "_total") == 0 ? "counter" : "gauge");
		const char *found = strstr(v->text, kind);
		assert_non_null(found);
		assert_null(strstr(found + 1, kind));
		figures++;
	}
	assert_true(figures > 20);
}

static void one_line_says_how_it_is_doing(void **state)
{
	struct visitor *v = *state;
	char line[128];
	(void)visitor_upload(v, ANN, 2048);
	v->gateway.receiving = 1;
	ur_status_line(&v->gateway, line, sizeof line);
	assert_non_null(strstr(line, "1 receiving, 0 delivering, 1 uploads ("));
	v->gateway.receiving = 0;
}

#define VISITOR(test) cmocka_unit_test_setup_teardown(test, visitor_new, visitor_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VISITOR(health_is_whether_an_upload_would_be_taken_and_names_what_is_wrong),
		VISITOR(one_that_is_coming_tells_how_far_it_is_and_when_it_ends),
		VISITOR(what_is_complete_names_its_checksum_and_never_expires),
		VISITOR(a_result_is_told_only_when_the_server_named_an_asset),
		VISITOR(the_servers_words_stay_words),
		VISITOR(a_status_waits_until_so_much_is_durable),
		VISITOR(it_waits_for_nobody_who_does_not_send_and_not_after_the_end),
		VISITOR(who_waits_for_one_that_is_removed_or_leaves_waits_no_more),
		VISITOR(bytes_are_given_whole_or_the_part_that_was_asked_for),
		VISITOR(no_browser_makes_a_page_of_somebodys_bytes),
		VISITOR(bytes_that_are_not_here_yet_or_any_more_are_not_given),
		VISITOR(figures_count_what_is_here_by_state_and_what_was),
		VISITOR(each_figure_has_its_help_and_its_kind_once),
		VISITOR(one_line_says_how_it_is_doing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
