/*
 * passing - all that the gateway answers and that may pass, in one table: clients try each of it again.
 *
 * tus-js-client gives up after a 4xx, but for 409 and 423, and begins its upload anew after any answer to
 * a HEAD but 423 (lib/upload.js: defaultOnShouldRetry, _resumeUpload).  tuspy tries all of them again, if
 * it was told to (uploader.py: retries).
 */
#include "engine/gateway/leave.h"
#include "engine/gateway/limits.h"
#include "engine/gateway/receive.h"
#include "engine/sys/sys.h"
#include "tests/unit/visitor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES "/uringest/files/"
#define JPG "upload-metadata: filename YS5qcGc=" // a.jpg
#define STREAM "content-type: application/offset+octet-stream"
#define NONE "x-none: 1"
#define ID "0123456789abcdef0123456789abcdef"

static void create(struct visitor *v)
{
	visitor_asks_as_ann(v, "POST", FILES, "upload-length: 5", JPG, NULL);
}

static void ask(struct visitor *v, const struct ur_spool_upload *upload, const char *method,
	const char *one, const char *two)
{
	char path[128];
	(void)snprintf(path, sizeof path, FILES "%s", upload->id);
	visitor_asks_as_ann(v, method, path, STREAM, one, two, NULL);
}

/** What writes them is `write`; NULL: what it always is. */
static void bring_by(struct visitor *v, uint64_t length, const char *size,
	ssize_t (*write)(int fd, const void *buffer, size_t count, off_t offset))
{
	const struct ur_spool_upload *upload = visitor_upload(v, ANN, length);
	ur_sys.pwrite = write == NULL ? ur_sys.pwrite : write;
	ask(v, upload, "PATCH", "upload-offset: 0", size);
	if (v->accepted) {
		visitor_brings(v, "12");
	}
}

static void bring(struct visitor *v, uint64_t length, const char *size)
{
	bring_by(v, length, size, NULL);
}

/* ---- what may stand in the way --------------------------------------------------------------- */

static int no_room_at(int dir, const char *name, mode_t mode)
{
	(void)dir;
	(void)name;
	(void)mode;
	return -ENOSPC;
}

static int fails_at(int dir, const char *name, mode_t mode)
{
	(void)dir;
	(void)name;
	(void)mode;
	return -EIO;
}

static ssize_t no_room(int fd, const void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -ENOSPC;
}

static ssize_t fails(int fd, const void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -EIO;
}

static void too_many_are_remembered(struct visitor *v)
{
	v->gateway.records = UR_RECORDS_MAX;
	create(v);
}

static void the_user_has_too_many(struct visitor *v)
{
	v->gateway.limits.user_uploads = 1;
	(void)visitor_upload(v, ANN, 5);
	create(v);
}

static void the_user_has_too_many_bytes(struct visitor *v)
{
	v->gateway.limits.user_bytes = 9;
	(void)visitor_upload(v, ANN, 5);
	create(v);
}

static void the_spool_is_full_for_it(struct visitor *v)
{
	v->gateway.limits.keep_free = UINT64_MAX / 2;
	create(v);
}

static void the_disk_is_full_while_it_is_made(struct visitor *v)
{
	ur_sys.mkdirat = no_room_at;
	create(v);
}

static void the_disk_fails_while_it_is_made(struct visitor *v)
{
	ur_sys.mkdirat = fails_at;
	create(v);
}

static void the_spool_is_full_for_bytes(struct visitor *v)
{
	v->gateway.limits.keep_free = UINT64_MAX / 2;
	bring(v, 5, "content-length: 2");
}

static void the_disk_is_full_under_bytes(struct visitor *v)
{
	bring_by(v, 5, "content-length: 2", no_room);
}

static void the_disk_fails_under_bytes(struct visitor *v)
{
	bring_by(v, 5, "content-length: 2", fails);
}

static void bytes_of_no_length_are_too_many(struct visitor *v)
{
	v->gateway.limits.user_bytes = 6;
	(void)visitor_upload(v, ANN, 5);
	bring(v, UR_SPOOL_LENGTH_UNKNOWN, "transfer-encoding: chunked");
}

static void a_length_is_told_that_is_too_much(struct visitor *v)
{
	v->gateway.limits.user_bytes = 9;
	(void)visitor_upload(v, ANN, 5);
	bring(v, UR_SPOOL_LENGTH_UNKNOWN, "upload-length: 5");
}

static void it_restarts_under_bytes(struct visitor *v)
{
	bring(v, 5, "content-length: 5");
	v->gateway.closing = true;
	ur_receive_cut(&v->gateway);
	visitor_goes_on(v);
}

static void it_restarts_before_the_bytes(struct visitor *v)
{
	v->gateway.closing = true;
	bring(v, 5, "content-length: 2");
}

static void its_bytes_are_being_read(struct visitor *v)
{
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	upload->is_unread = true;
	ask(v, upload, "HEAD", NONE, NONE);
}

static void the_gate_is_busy(struct visitor *v)
{
	visitor_asks(v, "POST", FILES, "tus-resumable: 1.0.0", "x-api-key: ann", "upload-length: 5",
		JPG, NULL);
	visitor_is(v, UR_VERDICT_BUSY, "");
}

static void the_server_is_away(struct visitor *v)
{
	visitor_asks(v, "POST", FILES, "tus-resumable: 1.0.0", "x-api-key: ann", "upload-length: 5",
		JPG, NULL);
	visitor_is(v, UR_VERDICT_AWAY, "");
}

static void head_with(struct visitor *v, enum ur_verdict verdict)
{
	visitor_asks(v, "HEAD", FILES ID, "tus-resumable: 1.0.0", "x-api-key: ann", NULL);
	visitor_is(v, verdict, "");
}

static void the_gate_is_busy_at_a_head(struct visitor *v)
{
	head_with(v, UR_VERDICT_BUSY);
}

static void the_server_is_away_at_a_head(struct visitor *v)
{
	head_with(v, UR_VERDICT_AWAY);
}

/** The gateway waits no longer for whoever waits for the gate. */
static void leave_with(struct visitor *v, const char *method)
{
	visitor_asks(v, method, FILES ID, "tus-resumable: 1.0.0", "x-api-key: ann",
		"upload-offset: 0", STREAM, NULL);
	ur_leave_begin(&v->gateway, 0);
	visitor_goes_on(v);
	assert_int_equal(v->closed, 1);
	assert_int_equal(v->answers, 0); // it has a moment yet
	v->gateway.closed_ms -= 1000;
	ur_leave_look(&v->gateway);
}

static void it_restarts_while_nobody_says_who_it_is(struct visitor *v)
{
	leave_with(v, "PATCH");
	visitor_is(v, UR_VERDICT_IN, ANN); // nobody is there to be told
}

static void it_restarts_while_nobody_says_who_asks_a_head(struct visitor *v)
{
	leave_with(v, "HEAD");
	visitor_is(v, UR_VERDICT_IN, ANN);
}

static const struct row {
	const char *what;
	void (*happens)(struct visitor *v);
	int status;
} rows[] = {
	{"remembered", too_many_are_remembered, 503},
	{"uploads of a user", the_user_has_too_many, 503},
	{"bytes of a user", the_user_has_too_many_bytes, 503},
	{"bytes of a user, no length", bytes_of_no_length_are_too_many, 503},
	{"bytes of a user, a length", a_length_is_told_that_is_too_much, 503},
	{"room for an upload", the_spool_is_full_for_it, 503},
	{"room for its folder", the_disk_is_full_while_it_is_made, 503},
	{"a disk that fails", the_disk_fails_while_it_is_made, 500},
	{"room for its bytes", the_spool_is_full_for_bytes, 503},
	{"room under its bytes", the_disk_is_full_under_bytes, 503},
	{"a disk that fails under bytes", the_disk_fails_under_bytes, 500},
	{"a restart under bytes", it_restarts_under_bytes, 503},
	{"a restart before bytes", it_restarts_before_the_bytes, 503},
	{"a restart and the gate", it_restarts_while_nobody_says_who_it_is, 503},
	{"a restart and a HEAD", it_restarts_while_nobody_says_who_asks_a_head, 423},
	{"damage", its_bytes_are_being_read, 423},
	{"the gate", the_gate_is_busy, 503},
	{"the server", the_server_is_away, 503},
	{"the gate, at a HEAD", the_gate_is_busy_at_a_head, 423},
	{"the server, at a HEAD", the_server_is_away_at_a_head, 423},
};

static bool tus_js_tries_again(const char *method, int status)
{
	return strcmp(method, "HEAD") == 0
		       ? status == 423
		       : status < 400 || status >= 500 || status == 409 || status == 423;
}

/** What a disk that failed leaves goes with the process. */
static void forget_failed(struct visitor *v)
{
	for (struct ur_spool_upload *at = ur_spool_next(v->gateway.spool, NULL); at != NULL;
		at = ur_spool_next(v->gateway.spool, at)) {
		free(at->session);
		at->session = NULL;
	}
}

static void what_may_pass_is_answered_so_that_clients_try_again(void **state)
{
	const struct ur_sys real = ur_sys;
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		void *fresh = NULL;
		assert_int_equal(visitor_new(&fresh), 0);
		struct visitor *v = fresh;
		rows[i].happens(v);
		ur_sys = real;
		const char *later = visitor_field(v, "Retry-After");
		if (v->status != rows[i].status || later == NULL ||
			!tus_js_tries_again(v->x.method, v->status)) {
			print_message("%s: %d, not %d; Retry-After %s\n", rows[i].what, v->status,
				rows[i].status, later == NULL ? "is missing" : later);
			fail();
		}
		forget_failed(v);
		assert_in_range(strtol(later, NULL, 10), 1, 5);
		assert_int_equal(visitor_free(&fresh), 0);
	}
}

/* ---- the way out ----------------------------------------------------------------------------- */

static void what_is_waited_for_keeps_it_open_and_is_said(void **state)
{
	struct visitor *v = *state;
	v->gateway.carrying = 2;
	ur_leave_begin(&v->gateway, 20000);
	visitor_goes_on(v);
	assert_non_null(strstr(v->log, "waits for immich-server's answer to 2 deliveries"));
	assert_non_null(strstr(v->log, "until "));
	ur_leave_look(&v->gateway);
	assert_int_equal(v->closed, 0);
	bring(v, 5, "content-length: 2"); // all goes on meanwhile
	assert_true(v->accepted);
	visitor_ends(v);
	assert_int_equal(v->status, 204);
	v->gateway.carrying = 0;
	ur_leave_look(&v->gateway);
	assert_int_equal(v->closed, 1);
	ur_leave_begin(&v->gateway, 20000); // asked again: that is another's business
	visitor_goes_on(v);
	assert_int_equal(v->closed, 1);
}

static void it_is_waited_for_no_longer_than_its_grace(void **state)
{
	struct visitor *v = *state;
	v->gateway.carrying = 1;
	ur_leave_begin(&v->gateway, 20000);
	visitor_goes_on(v);
	assert_int_equal(v->closed, 0);
	atomic_store(&v->gateway.leave_until_ms, ur_gateway_now_ms());
	ur_leave_look(&v->gateway);
	assert_int_equal(v->closed, 1);
}

static void who_comes_later_is_not_waited_for(void **state)
{
	struct visitor *v = *state;
	v->gateway.carrying = 1;
	ur_leave_begin(&v->gateway, 20000);
	visitor_goes_on(v);
	visitor_asks(v, "HEAD", FILES ID, "tus-resumable: 1.0.0", "x-api-key: ann", NULL);
	v->gateway.carrying = 0;
	ur_leave_look(&v->gateway);
	assert_int_equal(v->closed, 1);
	visitor_is(v, UR_VERDICT_IN, ANN);
	assert_int_equal(v->status, 404);
}

#define VISITOR(test) cmocka_unit_test_setup_teardown(test, visitor_new, visitor_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_pass_is_answered_so_that_clients_try_again),
		VISITOR(what_is_waited_for_keeps_it_open_and_is_said),
		VISITOR(it_is_waited_for_no_longer_than_its_grace),
		VISITOR(who_comes_later_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
