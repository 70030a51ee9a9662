/* create - what may be made here, and what is answered without a byte because the server proves it. */
#include "engine/gateway/limits.h"
#include "engine/sys/sys.h"
#include "tests/unit/visitor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FILES "/uringest/files/"
#define JPG "upload-metadata: filename YS5qcGc=" // a.jpg
#define ASSET "426dd542-f562-4757-9dc5-eaf7d1c47147"
#define SUM "jLIjfQZ5yojbZGTqxg2pY0VROWQ=" // the SHA-1 of "12345"
/* filename a.jpg, checksum SUM */
#define SAID "upload-metadata: filename YS5qcGc=,checksum akxJamZRWjV5b2piWkdUcXhnMnBZMFZST1dRPQ=="

#define THERE                                                                         \
	"{\"results\":[{\"id\":\"0\",\"action\":\"reject\",\"reason\":\"duplicate\"," \
	"\"isTrashed\":false,\"assetId\":\"" ASSET "\"}]}"
#define TRASHED                                                                       \
	"{\"results\":[{\"id\":\"0\",\"action\":\"reject\",\"reason\":\"duplicate\"," \
	"\"isTrashed\":true,\"assetId\":\"" ASSET "\"}]}"
#define ABSENT "{\"results\":[{\"id\":\"0\",\"action\":\"accept\"}]}"
#define ASSET_OF(user, sum, trashed)                                         \
	"{\"id\":\"" ASSET "\",\"ownerId\":\"" user "\",\"checksum\":\"" sum \
	"\",\"createdAt\":\"2024-01-01T00:00:00.000Z\",\"isTrashed\":" trashed "}"

/** Ann announces five bytes whose SHA-1 she names. */
static void announce(struct visitor *v)
{
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", SAID, NULL);
}

/** It was made, its bytes are awaited, and nothing is under way any more. */
static void is_made(const struct visitor *v)
{
	assert_int_equal(v->answers, 1);
	assert_int_equal(v->status, 201);
	assert_null(visitor_field(v, "Uringest-Asset"));
	assert_non_null(visitor_field(v, "Upload-Expires"));
	assert_int_equal(v->gateway.counters.created, 1);
	assert_int_equal(v->gateway.counters.early, 0);
	assert_int_equal(v->gateway.making, 0);
	assert_int_equal(v->gateway.making_bytes, 0);
}

static struct ur_spool_upload *made(const struct visitor *v)
{
	const char *location = visitor_field(v, "Location");
	assert_non_null(location);
	assert_memory_equal(location, FILES, strlen(FILES));
	return ur_spool_find(v->gateway.spool, location + strlen(FILES));
}

/* ---- the early answer ------------------------------------------------------------------------ */

static void what_the_server_proves_to_hold_is_answered_without_a_byte(void **state)
{
	struct visitor *v = *state;
	announce(v);
	assert_string_equal(v->asked->path, "/api/assets/bulk-upload-check");
	assert_string_equal(v->asked->header[0], "x-api-key: ann"); // by her own key
	visitor_hears(v, 200, MARK_OWN, THERE);
	assert_string_equal(v->asked->path, "/api/assets/" ASSET);
	visitor_hears(v, 200, MARK_OWN, ASSET_OF(ANN, SUM, "false"));
	assert_string_equal(v->asked->path, "/api/assets/" ASSET "/original");
	assert_string_equal(v->asked->header[1], "Range: bytes=4-4");
	(void)snprintf(v->asked->content_range, sizeof v->asked->content_range, "bytes 4-4/5");
	visitor_hears(v, 206, MARK_OWN, "5");
	assert_int_equal(v->status, 201);
	assert_string_equal(visitor_field(v, "Uringest-Asset"), ASSET);
	assert_string_equal(visitor_field(v, "Uringest-Result"), "duplicate");
	assert_string_equal(visitor_field(v, "Upload-Offset"), "5");
	assert_int_equal(v->gateway.counters.early, 1);
	const struct ur_spool_upload *upload = made(v);
	assert_int_equal(upload->outcome.state, UR_SPOOL_CONFIRMED);
	assert_true(upload->bytes_gone);
	assert_int_equal(ur_spool_use_of(v->gateway.spool, ANN).bytes, 0);
	assert_int_equal(v->gateway.making, 0);
}

/** The first answers are as they should be; the one at `step` is this. */
static void answer_until(
	struct visitor *v, int step, int status, bool own, const char *text, const char *range)
{
	if (step > 0) {
		visitor_hears(v, 200, MARK_OWN, THERE);
	}
	if (step > 1) {
		visitor_hears(v, 200, MARK_OWN, ASSET_OF(ANN, SUM, "false"));
	}
	assert_non_null(v->asked);
	(void)snprintf(v->asked->content_range, sizeof v->asked->content_range, "%s", range);
	visitor_hears(v, status, own, text);
}

static void anything_less_than_a_proof_lets_the_bytes_come(void **state)
{
	struct visitor *v = *state;
	static const struct {
		int step;
		int status;
		bool own;
		const char *text;
		const char *range;
	} rows[] = {
		{0, 200, MARK_OWN, ABSENT, ""},
		{0, 200, MARK_OWN, TRASHED, ""}, // never a duplicate
		{0, 200, MARK_NONE, THERE, ""},  // a proxy's
		{0, 201, MARK_OWN, THERE, ""},
		{0, 500, MARK_OWN, THERE, ""},
		{0, 200, MARK_OWN, "{\"results\":[", ""},
		{1, 200, MARK_OWN, ASSET_OF(BOB, SUM, "false"), ""},
		{1, 200, MARK_OWN, ASSET_OF(ANN, SUM, "true"), ""},
		{1, 200, MARK_OWN, ASSET_OF(ANN, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "false"), ""},
		{1, 200, MARK_NONE, ASSET_OF(ANN, SUM, "false"), ""},
		{1, 404, MARK_OWN, ASSET_OF(ANN, SUM, "false"), ""},
		{2, 206, MARK_OWN, "5", "bytes 4-4/6"}, // longer there
		{2, 206, MARK_OWN, "5", ""},
		{2, 200, MARK_OWN, "5", "bytes 4-4/5"},
		{2, 404, MARK_OWN, "{\"message\":\"no\"}", ""}, // a row without bytes
		{2, 206, MARK_NONE, "5", "bytes 4-4/5"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		v->gateway.counters.created = 0;
		announce(v);
		answer_until(
			v, rows[i].step, rows[i].status, rows[i].own, rows[i].text, rows[i].range);
		assert_null(v->asked);
		is_made(v);
		assert_int_equal(made(v)->outcome.state, UR_SPOOL_RECEIVING);
	}
}

/** Five bytes announced, and all that the server says is as it should be. */
static void is_not_believed(struct visitor *v)
{
	v->gateway.counters.created = 0;
	announce(v);
	for (int step = 0; v->asked != NULL; step++) {
		answer_until(v, 0, step == 2 ? 206 : 200, MARK_OWN,
			step == 0   ? THERE
			: step == 1 ? ASSET_OF(ANN, SUM, "false")
				    : "5",
			"bytes 4-4/5");
	}
	is_made(v);
}

static void what_has_just_been_stored_there_lets_the_bytes_come(void **state)
{
	struct visitor *v = *state;
	v->gateway.limits.settle_after_ms = 100LL * 365 * 24 * 3600 * 1000;
	is_not_believed(v);
}

static void what_an_upload_that_was_removed_left_in_doubt_lets_the_bytes_come(void **state)
{
	struct visitor *v = *state;
	v->gateway.departures = 1;
	v->gateway.limits.suspect_wait_ms = 3600000;
	v->gateway.departed[0] = (struct ur_departed){
		.owner = ANN,
		.sha1 = {0x8c, 0xb2, 0x23, 0x7d, 0x06, 0x79, 0xca, 0x88, 0xdb, 0x64, 0x64, 0xea,
			0xc6, 0x0d, 0xa9, 0x63, 0x45, 0x51, 0x39, 0x64}, // of "12345"
		.doubt_ran_ms = ur_spool_ran_ms(v->gateway.spool),
	};
	is_not_believed(v);
}

static void a_server_that_is_away_lets_the_bytes_come(void **state)
{
	struct visitor *v = *state;
	announce(v);
	visitor_hears_nothing(v);
	is_made(v);
}

static void without_a_checksum_a_length_or_the_right_to_read_nothing_is_asked(void **state)
{
	struct visitor *v = *state;
	static const char *const rows[][2] = {
		{"upload-length: 5", "upload-metadata: filename YS5qcGc="},
		{"upload-defer-length: 1", SAID},
	};
	for (size_t i = 0; i < 2; i++) {
		v->gateway.counters.created = 0;
		visitor_asks_as_ann(v, "POST", FILES, rows[i][0], rows[i][1], NULL);
		assert_int_equal(v->questions, 0);
		is_made(v);
	}
	v->gateway.counters.created = 0;
	visitor_asks(v, "POST", FILES, "tus-resumable: 1.0.0", "x-api-key: ann", "upload-length: 5",
		SAID, NULL);
	const struct ur_visitor who = {.user = ANN, .may_upload = true, .may_read = true};
	visitor_told(v, UR_VERDICT_IN, &who); // it could not be proved: no right to download
	assert_int_equal(v->questions, 0);
	is_made(v);
}

static void who_leaves_while_the_server_is_asked_makes_nothing(void **state)
{
	struct visitor *v = *state;
	announce(v);
	assert_int_equal(v->gateway.making, 1);
	assert_int_equal(v->gateway.making_bytes, 5);
	visitor_leaves(v);
	visitor_hears(v, 200, MARK_OWN, THERE);
	assert_int_equal(v->answers, 0);
	assert_int_equal(v->gateway.making, 0);
	assert_int_equal(v->gateway.making_bytes, 0);
	assert_int_equal(v->gateway.records, 0);
}

static void what_was_made_for_one_who_left_stands(void **state)
{
	struct visitor *v = *state;
	v->hold = true;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	visitor_leaves(v);
	visitor_let_crew(v);
	assert_int_equal(v->answers, 0);
	assert_int_equal(v->gateway.records, 1);
	assert_int_equal(v->gateway.making, 0);
	assert_int_equal(ur_spool_use_of(v->gateway.spool, ANN).uploads, 1);
}

/* ---- with its bytes -------------------------------------------------------------------------- */

static void a_creation_that_brings_bytes_is_answered_when_they_are_durable(void **state)
{
	struct visitor *v = *state;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, "content-length: 3",
		"content-type: application/offset+octet-stream", NULL);
	assert_int_equal(v->answers, 0);
	assert_true(v->accepted);
	visitor_brings(v, "123");
	visitor_ends(v);
	assert_int_equal(v->status, 201);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "3");
	const struct ur_spool_upload *upload = made(v);
	assert_int_equal(upload->durable, 3);
	assert_int_equal(v->gateway.receiving, 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void who_has_too_many_unfinished_ones_makes_no_more(void **state)
{
	struct visitor *v = *state;
	v->gateway.limits.user_uploads = 2;
	(void)visitor_upload(v, ANN, 5);
	(void)visitor_upload(v, BOB, 5); // is not hers
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	assert_int_equal(v->status, 201);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	assert_int_equal(v->status, 503);
	assert_non_null(strstr(v->text, "too many unfinished uploads"));
}

static void those_that_are_being_made_count_from_the_look_at_the_limits_on(void **state)
{
	struct visitor *v = *state;
	v->gateway.limits.user_bytes = 9;
	v->hold = true;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	assert_int_equal(v->gateway.making_bytes, 5);
	assert_false(ur_limits_share(&v->gateway, ANN, 5));
	assert_true(ur_limits_share(&v->gateway, ANN, 4));
	visitor_let_crew(v);
	assert_int_equal(v->status, 201);
	assert_int_equal(v->gateway.making_bytes, 0);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	assert_int_equal(v->status, 503);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 10", JPG, NULL);
	assert_int_equal(v->status, 413); // whatever ends
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 4", JPG, NULL);
	assert_int_equal(v->status, 201);
}

static void what_does_not_fit_is_told_before_the_disk_is_full(void **state)
{
	struct visitor *v = *state;
	v->gateway.limits.keep_free = UINT64_MAX / 2;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	assert_int_equal(v->status, 503);
	assert_int_equal(v->gateway.counters.disk_full, 1);
	assert_int_equal(v->gateway.making, 0);
}

static void more_than_can_be_remembered_are_not_made(void **state)
{
	struct visitor *v = *state;
	v->gateway.records = UR_RECORDS_MAX;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	assert_int_equal(v->status, 503);
}

static int full(int dir, const char *name, mode_t mode)
{
	(void)dir;
	(void)name;
	(void)mode;
	return -ENOSPC;
}

static void a_disk_that_is_full_or_fails_is_told_apart(void **state)
{
	struct visitor *v = *state;
	const struct ur_sys real = ur_sys;
	ur_sys.mkdirat = full;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	ur_sys = real;
	assert_int_equal(v->status, 503);
	assert_int_equal(v->gateway.counters.disk_full, 1);
	assert_int_equal(v->gateway.making, 0);
	faulty_begin(FAULTY_FROM, 1, -EIO);
	v->gateway.limits.keep_free = 0;
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
	(void)faulty_end();
	assert_int_equal(v->status, 500);
	assert_int_equal(v->gateway.records, 0);
}

static void whatever_call_fails_an_early_answer_is_true_or_an_error(void **state)
{
	struct visitor *v = *state;
	const size_t beside = room_count(v->fd, "spool");
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		v->gateway.counters.early = 0;
		announce(v);
		visitor_hears(v, 200, MARK_OWN, THERE);
		visitor_hears(v, 200, MARK_OWN, ASSET_OF(ANN, SUM, "false"));
		(void)snprintf(
			v->asked->content_range, sizeof v->asked->content_range, "bytes 4-4/5");
		const size_t open_before = room_descriptors();
		faulty_begin(FAULTY_ONE, n, -EIO);
		visitor_hears(v, 206, MARK_OWN, "5");
		failed = faulty_end();
		assert_int_equal(room_descriptors(), open_before);
		assert_int_equal(v->answers, 1);
		assert_true(v->status == 201 || (failed && v->status == 500));
		assert_int_equal(v->gateway.counters.early, v->status == 201);
		assert_int_equal(v->gateway.making, 0);
		assert_int_equal(room_count(v->fd, "spool") - beside, v->gateway.records);
		assert_int_equal(
			ur_spool_use_of(v->gateway.spool, ANN).uploads, v->gateway.records);
	}
}

/* ---- what the server takes ------------------------------------------------------------------- */

static void know_types(struct visitor *v, const char *text)
{
	assert_int_equal(ur_types_new(&v->gateway.types), 0);
	assert_int_equal(ur_immich_read_types(text, v->gateway.types, NULL), 0);
}

#define TYPES "{\"image\":[\".jpg\"],\"video\":[\".mp4\"],\"sidecar\":[\".xmp\"]}"

static void a_type_that_the_server_refuses_is_refused_before_the_first_byte(void **state)
{
	struct visitor *v = *state;
	know_types(v, TYPES);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5",
		"upload-metadata: filename YS5leGU=", NULL); // a.exe
	assert_int_equal(v->status, 415);
	assert_non_null(strstr(v->text, "'a.exe'"));
	assert_int_equal(v->gateway.making, 0);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5",
		"upload-metadata: filename YS5qcGc=", NULL); // a.jpg
	assert_int_equal(v->status, 201);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5",
		"upload-metadata: filename YS54bXA=,role c2lkZWNhcg==",
		NULL); // a sidecar goes along
	assert_int_equal(v->status, 201);
}

static void what_nobody_usually_sends_waits_for_the_servers_list(void **state)
{
	struct visitor *v = *state;
	static const char strange[] = "upload-metadata: filename YS5xcXE="; // a.qqq
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", strange, NULL);
	assert_string_equal(v->asked->path, "/api/server/media-types");
	visitor_hears(v, 200, MARK_OWN, TYPES);
	assert_int_equal(v->status, 415);
	assert_int_equal(v->gateway.making, 0);
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", strange, NULL);
	assert_int_equal(v->questions, 0); // it is known now
	assert_int_equal(v->status, 415);
}

static void without_the_servers_list_it_is_taken(void **state)
{
	struct visitor *v = *state;
	visitor_asks_as_ann(
		v, "POST", FILES, "upload-length: 5", "upload-metadata: filename YS5xcXE=", NULL);
	visitor_hears(v, 200, MARK_NONE, TYPES); // a proxy's
	assert_int_equal(v->status, 201);
	assert_null(v->gateway.types);
	assert_int_equal(v->gateway.making, 0);
}

#define VISITOR(test) cmocka_unit_test_setup_teardown(test, visitor_new, visitor_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VISITOR(what_the_server_proves_to_hold_is_answered_without_a_byte),
		VISITOR(anything_less_than_a_proof_lets_the_bytes_come),
		VISITOR(what_has_just_been_stored_there_lets_the_bytes_come),
		VISITOR(what_an_upload_that_was_removed_left_in_doubt_lets_the_bytes_come),
		VISITOR(a_server_that_is_away_lets_the_bytes_come),
		VISITOR(without_a_checksum_a_length_or_the_right_to_read_nothing_is_asked),
		VISITOR(who_leaves_while_the_server_is_asked_makes_nothing),
		VISITOR(what_was_made_for_one_who_left_stands),
		VISITOR(a_creation_that_brings_bytes_is_answered_when_they_are_durable),
		VISITOR(who_has_too_many_unfinished_ones_makes_no_more),
		VISITOR(those_that_are_being_made_count_from_the_look_at_the_limits_on),
		VISITOR(what_does_not_fit_is_told_before_the_disk_is_full),
		VISITOR(more_than_can_be_remembered_are_not_made),
		VISITOR(a_disk_that_is_full_or_fails_is_told_apart),
		VISITOR(whatever_call_fails_an_early_answer_is_true_or_an_error),
		VISITOR(a_type_that_the_server_refuses_is_refused_before_the_first_byte),
		VISITOR(what_nobody_usually_sends_waits_for_the_servers_list),
		VISITOR(without_the_servers_list_it_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
