/* receive - one upload's requests, one after the other; an offset that leaves the room is durable. */
#include "engine/gateway/receive.h"

#include "engine/gateway/session.h"
#include "engine/sys/sys.h"
#include "tests/unit/visitor.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES "/uringest/files/"
#define STREAM "content-type: application/offset+octet-stream"
#define SUM_12 "upload-checksum: sha1 e1IAm2T9CipJ5tipOXUwd3krBVQ=" // of "12"
#define WRONG "upload-checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void ask(struct visitor *v, const struct ur_spool_upload *upload, const char *method,
	const char *one, const char *two, const char *three)
{
	char path[128];
	(void)snprintf(path, sizeof path, FILES "%s", upload->id);
	visitor_asks_as_ann(v, method, path, STREAM, one, two, three, NULL);
}

/** An upload of nobody's in particular: what is complete stays here, since there is no server. */
static struct ur_spool_upload *upload_that_stays(struct visitor *v, uint64_t length)
{
	v->gateway.options.immich = NULL;
	return visitor_upload(v, "anonymous", length);
}

/** Bytes at an offset, as one request. */
static void patch(struct visitor *v, const struct ur_spool_upload *upload, unsigned offset,
	const char *bytes, const char *more)
{
	char at[64];
	char size[64];
	(void)snprintf(at, sizeof at, "upload-offset: %u", offset);
	(void)snprintf(size, sizeof size, "content-length: %zu", strlen(bytes));
	ask(v, upload, "PATCH", at, size, more);
	if (v->accepted) {
		visitor_brings(v, bytes);
		visitor_ends(v);
	}
}

static void stands_at(struct visitor *v, const struct ur_spool_upload *upload, const char *offset)
{
	ask(v, upload, "HEAD", "x-none: 1", "x-none: 1", "x-none: 1");
	assert_int_equal(v->status, 200);
	assert_string_equal(visitor_field(v, "Upload-Offset"), offset);
	assert_string_equal(visitor_field(v, "Cache-Control"), "no-store");
}

/** Nobody is at work any more, and nothing is kept for anybody. */
static void is_at_rest(const struct visitor *v, const struct ur_spool_upload *upload)
{
	assert_null(v->gateway.visits);
	assert_int_equal(v->gateway.receiving, 0);
	assert_null(upload->session);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void bytes_come_in_pieces_and_each_answer_is_durable(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = upload_that_stays(v, 5);
	stands_at(v, upload, "0");
	assert_string_equal(visitor_field(v, "Upload-Length"), "5");
	patch(v, upload, 0, "12", "x-none: 1");
	assert_int_equal(v->status, 204);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "2");
	assert_int_equal(upload->durable, 2);
	is_at_rest(v, upload);
	stands_at(v, upload, "2");
	patch(v, upload, 2, "345", "x-none: 1");
	assert_int_equal(v->status, 204);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "5");
	assert_null(visitor_field(v, "Upload-Expires"));
	assert_int_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
	assert_int_equal(v->gateway.counters.complete, 1);
	assert_int_equal(v->gateway.counters.bytes_received, 5);
	is_at_rest(v, upload);
	stands_at(v, upload, "5");
}

static void bytes_for_another_offset_or_beyond_the_end_are_not_taken(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	patch(v, upload, 1, "2", "x-none: 1");
	assert_int_equal(v->status, 409);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "0");
	patch(v, upload, 0, "12", "x-none: 1");
	assert_int_equal(v->status, 204);
	patch(v, upload, 0, "12", "x-none: 1"); // its answer was lost: no byte comes twice
	assert_int_equal(v->status, 409);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "2");
	assert_false(v->accepted);
	patch(v, upload, 2, "3456", "x-none: 1");
	assert_int_equal(v->status, 413);
	assert_false(v->accepted);
	ask(v, upload, "PATCH", "upload-offset: 2", "transfer-encoding: chunked", "x-none: 1");
	assert_true(v->accepted); // nobody said how many there are
	visitor_brings(v, "3456");
	assert_int_equal(v->status, 413);
	assert_int_equal(upload->durable, 2);
	is_at_rest(v, upload);
}

static void what_is_complete_takes_no_more(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = upload_that_stays(v, 2);
	patch(v, upload, 0, "12", "x-none: 1");
	assert_int_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
	patch(v, upload, 2, "3", "x-none: 1");
	assert_int_equal(v->status, 413);
	ask(v, upload, "PATCH", "upload-offset: 2", "x-none: 1", "x-none: 1"); // an empty one
	assert_int_equal(v->status, 204);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "2");
}

static void bytes_that_are_not_what_they_promise_are_taken_back(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	patch(v, upload, 0, "12", SUM_12);
	assert_int_equal(v->status, 204);
	patch(v, upload, 2, "34", WRONG);
	assert_int_equal(v->status, 460);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "2");
	assert_int_equal(v->gateway.counters.mismatches, 1);
	stands_at(v, upload, "2");
	is_at_rest(v, upload);
}

static void a_file_that_is_not_what_it_promises_is_asked_for_again_and_then_broken(void **state)
{
	struct visitor *v = *state;
	const struct ur_spool_spec spec = {
		.owner = ANN, .length = 2, .metadata = "", .has_sha1 = true, .sha1 = {1}};
	struct ur_spool_upload *upload = NULL;
	assert_int_equal(ur_spool_make(v->gateway.spool, &spec, &upload, NULL), 0);
	ur_spool_admit(v->gateway.spool, upload);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(upload->outcome.state, UR_SPOOL_RECEIVING);
		patch(v, upload, 0, "12", "x-none: 1");
		assert_int_equal(v->status, 460);
	}
	assert_int_equal(upload->outcome.state, UR_SPOOL_BROKEN);
	assert_int_equal(v->gateway.counters.broken, 1);
	patch(v, upload, 0, "12", "x-none: 1");
	assert_int_equal(v->status, 410);
	ask(v, upload, "DELETE", "x-none: 1", "x-none: 1", "x-none: 1");
	assert_int_equal(v->status, 204);
}

/* ---- lengths --------------------------------------------------------------------------------- */

static void a_length_may_be_told_later_and_once(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = upload_that_stays(v, UR_SPOOL_LENGTH_UNKNOWN);
	patch(v, upload, 0, "12", "x-none: 1");
	assert_int_equal(v->status, 204);
	stands_at(v, upload, "2");
	assert_string_equal(visitor_field(v, "Upload-Defer-Length"), "1");
	patch(v, upload, 2, "", "upload-length: 1");
	assert_int_equal(v->status, 400); // less than there is
	patch(v, upload, 2, "3", "upload-length: 4");
	assert_int_equal(v->status, 204);
	patch(v, upload, 3, "", "upload-length: 5");
	assert_int_equal(v->status, 400); // it has another one
	patch(v, upload, 3, "4", "upload-length: 4");
	assert_int_equal(v->status, 204);
	assert_int_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
}

static void without_a_length_the_limits_hold_byte_by_byte(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, UR_SPOOL_LENGTH_UNKNOWN);
	v->gateway.limits.user_bytes = 3;
	patch(v, upload, 0, "123", "x-none: 1");
	assert_int_equal(v->status, 204);
	patch(v, upload, 3, "4", "x-none: 1");
	assert_int_equal(v->status, 413);
	patch(v, upload, 3, "", "upload-length: 9");
	assert_int_equal(v->status, 413);
	v->gateway.limits.user_bytes = 0;
	v->gateway.limits.size_max = 4;
	patch(v, upload, 3, "45", "x-none: 1");
	assert_int_equal(v->status, 413);
	assert_int_equal(upload->durable, 3);
}

/* ---- who comes, leaves, and takes over ------------------------------------------------------- */

static void what_arrived_of_a_request_that_broke_off_stays(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	ask(v, upload, "PATCH", "upload-offset: 0", "content-length: 5", "x-none: 1");
	visitor_brings(v, "123");
	visitor_leaves(v);
	assert_int_equal(v->answers, 0);
	assert_int_equal(upload->durable, 3); // flushed for whoever comes next
	is_at_rest(v, upload);
	stands_at(v, upload, "3");
}

static void a_checkpoint_that_is_under_way_is_waited_for(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	ask(v, upload, "PATCH", "upload-offset: 0", "content-length: 2", "x-none: 1");
	v->hold = true;
	visitor_brings(v, "12");
	visitor_ends(v);
	assert_int_equal(v->answers, 0); // it is not durable yet
	assert_int_equal(upload->durable, 0);
	visitor_let_crew(v);
	assert_int_equal(v->status, 204);
	assert_int_equal(upload->durable, 2);
	assert_int_equal(v->gateway.counters.checkpoints, 1);
}

/** A checkpoint of the first bytes is under way when the last ones come. */
static void what_came_after_a_checkpoint_had_begun_gets_one_of_its_own(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, UR_SPOOL_STEP + 9);
	char *many = malloc(UR_SPOOL_STEP + 1);
	assert_non_null(many);
	memset(many, 'x', UR_SPOOL_STEP);
	many[UR_SPOOL_STEP] = '\0';
	ask(v, upload, "PATCH", "upload-offset: 0", "transfer-encoding: chunked", "x-none: 1");
	v->hold = true;
	visitor_brings(v, many);
	free(many);
	visitor_brings(v, "12");
	visitor_ends(v);
	assert_int_equal(v->answers, 0);
	visitor_let_crew(v);
	assert_int_equal(v->status, 204);
	assert_int_equal(upload->durable, UR_SPOOL_STEP + 2);
	assert_int_equal(v->gateway.counters.checkpoints, 2);
}

static void when_the_process_ends_bodies_end_and_what_arrived_is_durable(void **state)
{
	struct visitor *v = *state;
	struct ur_spool_upload *upload = visitor_upload(v, ANN, 5);
	ask(v, upload, "PATCH", "upload-offset: 0", "content-length: 5", "x-none: 1");
	v->hold = true; // the crew has gone home
	visitor_brings(v, "123");
	ur_receive_stop(&v->gateway);
	assert_int_equal(upload->durable, 3);
	v->hold = false;
	ur_receive_cut(&v->gateway);
	assert_int_equal(v->dropped, 0);
	assert_int_equal(v->status, 503); // clients go on; of a drop a proxy makes a 502
	assert_string_equal(visitor_field(v, "Upload-Offset"), "3");
	is_at_rest(v, upload);
}

/* ---- the disk -------------------------------------------------------------------------------- */

static ssize_t full(int fd, const void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -ENOSPC;
}

static void a_full_disk_is_503_and_keeps_what_is_there(void **state)
{
	struct visitor *v = *state;
	const struct ur_sys real = ur_sys;
	struct ur_spool_upload *upload = upload_that_stays(v, 5);
	patch(v, upload, 0, "12", "x-none: 1");
	ask(v, upload, "PATCH", "upload-offset: 2", "content-length: 3", "x-none: 1");
	ur_sys.pwrite = full;
	visitor_brings(v, "345");
	ur_sys = real;
	assert_int_equal(v->status, 503);
	assert_string_equal(visitor_field(v, "Upload-Offset"), "2");
	assert_int_equal(v->gateway.counters.disk_full, 1);
	patch(v, upload, 2, "345", "x-none: 1"); // when there is room again
	assert_int_equal(v->status, 204);
	assert_int_equal(upload->durable, 5);
}

/** What is acknowledged is there after a restart, with these bytes, whatever had failed. */
static void is_acknowledged(struct visitor *v, const char *id, uint64_t offset)
{
	char path[UR_SPOOL_ID + 32];
	char bytes[8] = "";
	(void)snprintf(path, sizeof path, "spool/%s/bytes", id);
	const int fd = openat(v->fd, path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, bytes, sizeof bytes - 1) >= (ssize_t)offset);
	(void)close(fd);
	assert_memory_equal(bytes, "12345", offset);
}

static void whatever_call_fails_no_offset_is_acknowledged_that_is_not_durable(void **state)
{
	struct visitor *v = *state;
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		struct ur_spool_upload *upload = upload_that_stays(v, 5);
		patch(v, upload, 0, "12", "x-none: 1");
		faulty_begin(FAULTY_ONE, n, -EIO);
		patch(v, upload, 2, "345", "x-none: 1");
		failed = faulty_end();
		assert_int_equal(v->answers, 1);
		const char *call = faulty_call();
		if (strcmp(call, "fdatasync") == 0 || strcmp(call, "fsync") == 0) {
			assert_int_equal(v->status, 500); // a flush that failed is not tried again
		}
		const char *offset = visitor_field(v, "Upload-Offset");
		if (v->status == 204) {
			assert_string_equal(offset, "5");
			is_acknowledged(v, upload->id, 5);
		} else {
			assert_true(failed && v->status == 500);
			assert_true(offset == NULL || strcmp(offset, "2") == 0);
			is_acknowledged(v, upload->id, 2);
		}
		assert_int_equal(v->gateway.receiving, 0);
		ask(v, upload, "DELETE", "x-none: 1", "x-none: 1", "x-none: 1");
		assert_int_equal(v->status, 204);
	}
}

#define VISITOR(test) cmocka_unit_test_setup_teardown(test, visitor_new, visitor_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VISITOR(bytes_come_in_pieces_and_each_answer_is_durable),
		VISITOR(bytes_for_another_offset_or_beyond_the_end_are_not_taken),
		VISITOR(what_is_complete_takes_no_more),
		VISITOR(bytes_that_are_not_what_they_promise_are_taken_back),
		VISITOR(a_file_that_is_not_what_it_promises_is_asked_for_again_and_then_broken),
		VISITOR(a_length_may_be_told_later_and_once),
		VISITOR(without_a_length_the_limits_hold_byte_by_byte),
		VISITOR(what_arrived_of_a_request_that_broke_off_stays),
		VISITOR(a_checkpoint_that_is_under_way_is_waited_for),
		VISITOR(what_came_after_a_checkpoint_had_begun_gets_one_of_its_own),
		VISITOR(when_the_process_ends_bodies_end_and_what_arrived_is_durable),
		VISITOR(a_full_disk_is_503_and_keeps_what_is_there),
		VISITOR(whatever_call_fails_no_offset_is_acknowledged_that_is_not_durable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
