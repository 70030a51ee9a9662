/*
 * delivery - what an earlier process left on its way to immich-server, taken up again: a real spool,
 * and a gateway that has nobody to ask, so that only its next step shows.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/clock.h"
#include "engine/gateway/seal.h"
#include "engine/net/immich.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define ASSET "426dd542-f562-4757-9dc5-eaf7d1c47147"
#define KEY "x-api-key: key-of-ann"

static const struct ur_dialect dialect = {.name = "a server's"};

struct house {
	char dir[64];
	char root[80];
	char id[UR_SPOOL_ID];
	struct ur_gateway gateway;
};

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

/** Nothing is carried, so that a delivery stands before the check, where it has to make one. */
static void open_house(struct house *house)
{
	struct ur_gateway *g = &house->gateway;
	*g = (struct ur_gateway){
		.options = {.immich = "http://127.0.0.1:9", .has_seal = true, .seal = {1, 2, 3}},
		.limits = ur_gateway_limits_default(),
		.server = {.dialect = &dialect},
		.proved_ran_ms = UR_SPOOL_NEVER,
		.version_until_ms = INT64_MAX,
	};
	g->limits.deliveries = 0;
	assert_int_equal(ur_spool_new(house->root, &g->spool, NULL), 0);
}

static void close_house(struct house *house)
{
	struct ur_gateway *g = &house->gateway;
	while (g->deliveries != NULL) {
		struct ur_session *session = g->deliveries;
		ur_delivery_free(session);
		ur_session_rest(session);
	}
	if (g->spool != NULL) {
		assert_int_equal(ur_spool_keep_time(g->spool, NULL), 0);
	}
	g->spool = ur_spool_free(g->spool);
}

static struct ur_spool_upload *make(struct house *house)
{
	const struct ur_spool_spec spec = {
		.owner = ANN, .length = 5, .metadata = "filename YS5qcGc="};
	const struct ur_credential key = {.line = KEY, .is_key = true};
	struct ur_spool_upload *upload = NULL;
	struct ur_spool_mark mark;
	assert_int_equal(ur_spool_make(house->gateway.spool, &spec, &upload, NULL), 0);
	ur_spool_admit(house->gateway.spool, upload);
	memcpy(house->id, upload->id, sizeof house->id);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	assert_int_equal(ur_spool_append(upload, "12345", 5, NULL), 0);
	ur_spool_mark(upload, &mark);
	assert_int_equal(ur_spool_commit(upload, &mark, NULL), 0);
	ur_spool_committed(upload, &mark);
	ur_spool_rest(upload);
	ur_delivery_keep_credential(&house->gateway, upload, &key);
	return upload;
}

static void conclude(
	struct house *house, struct ur_spool_upload *upload, struct ur_spool_outcome outcome)
{
	ur_spool_stamp(house->gateway.spool, &outcome);
	assert_int_equal(ur_spool_conclude(upload, &outcome, NULL), 0);
	ur_spool_concluded(upload, &outcome);
}

/** The process ends, and another one takes the upload up. */
static const struct ur_delivery *take_up_again(struct house *house)
{
	close_house(house);
	open_house(house);
	struct ur_spool_upload *upload = ur_spool_find(house->gateway.spool, house->id);
	assert_non_null(upload);
	ur_delivery_add(&house->gateway, upload, NULL);
	return ((struct ur_session *)upload->session)->delivery;
}

static int set_up(void **state)
{
	struct house *house = calloc(1, sizeof *house);
	(void)snprintf(house->dir, sizeof house->dir, "%s/ur-delivery.XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (ur_seal_start() < 0 || mkdtemp(house->dir) == NULL) {
		free(house);
		return -1;
	}
	(void)snprintf(house->root, sizeof house->root, "%s/spool", house->dir);
	open_house(house);
	*state = house;
	return 0;
}

static int tear_down(void **state)
{
	struct house *house = *state;
	close_house(house);
	(void)nftw(house->dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
	free(house);
	return 0;
}

static int64_t wait_of(const struct ur_delivery *delivery)
{
	return delivery->due_ms - ur_gateway_now_ms();
}

static void assert_asks(const struct ur_delivery *delivery, enum ur_put_state question)
{
	assert_int_equal(delivery->step, UR_DELIVERY_PUT);
	assert_int_equal(delivery->put.state, question);
}

static void what_was_delivered_is_asked_for_and_not_sent_again(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload,
		(struct ur_spool_outcome){.state = UR_SPOOL_DELIVERED,
			.status = 201,
			.asset = ASSET,
			.there_ran_ms = ur_spool_ran_ms(house->gateway.spool)});
	const struct ur_delivery *delivery = take_up_again(house);
	assert_asks(delivery, UR_PUT_ASSET);
	assert_true(delivery->has_credential);
	assert_string_equal(delivery->credential.line, KEY);
	assert_in_range(wait_of(delivery), 50000, 60000); // of what is left of settle_after
}

static void what_was_not_delivered_is_checked_first(void **state)
{
	struct house *house = *state;
	(void)make(house);
	const struct ur_delivery *delivery = take_up_again(house);
	assert_asks(delivery, UR_PUT_CHECK);
	assert_false(delivery->put.doubted);
	assert_string_equal(delivery->metadata->filename, "a.jpg");
}

static void doubt_survives_a_restart(void **state)
{
	struct house *house = *state;
	static const int statuses[] = {0, 200, 201};
	for (size_t i = 0; i < 3; i++) {
		for (int duplicate = 0; duplicate < 2; duplicate++) {
			struct ur_spool_upload *upload = make(house);
			conclude(house, upload,
				(struct ur_spool_outcome){.state = UR_SPOOL_DELIVERED,
					.suspect = true,
					.duplicate = duplicate == 1,
					.status = statuses[i],
					.asset = ASSET,
					.there_ran_ms = ur_spool_ran_ms(house->gateway.spool)});
			const struct ur_delivery *delivery = take_up_again(house);
			assert_true(delivery->put.doubted);
			assert_asks(delivery, UR_PUT_ASSET);
			assert_true(wait_of(delivery) > 3500000);
		}
	}
}

static void time_that_the_gateway_did_not_run_ends_no_doubt(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload,
		(struct ur_spool_outcome){.state = UR_SPOOL_DELIVERED,
			.suspect = true,
			.asset = ASSET,
			.there_ran_ms = ur_spool_ran_ms(house->gateway.spool)});
	ur_clock_step(INT64_C(40) * 24 * 3600 * UR_SECOND_NS);
	assert_true(wait_of(take_up_again(house)) > 3500000);
	ur_clock_step(INT64_C(-80) * 24 * 3600 * UR_SECOND_NS);
	assert_true(wait_of(take_up_again(house)) > 3500000);
	ur_spool_pass(house->gateway.spool, 1800000);
	assert_in_range(wait_of(take_up_again(house)), 1700000, 1800000);
	ur_clock_step(INT64_C(40) * 24 * 3600 * UR_SECOND_NS);
}

static void what_may_have_been_sent_is_doubted_and_may_still_come(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload,
		(struct ur_spool_outcome){.state = UR_SPOOL_COMPLETE, .suspect = true, .tries = 1});
	const struct ur_delivery *delivery = take_up_again(house);
	assert_true(delivery->put.doubted);
	assert_asks(delivery, UR_PUT_LOST); // checked, and it may still come
	assert_true(delivery->lost_until_ms > ur_gateway_now_ms());
}

/** As the gateway does at each start: opened before uploads are taken up, begun when they were. */
static struct ur_wire *wire_of(const struct house *house)
{
	static const uint8_t owner[UR_WIRE_OWNER] = "a spool's";
	char path[200];
	struct ur_wire *wire = NULL;
	(void)snprintf(path, sizeof path, "%s/wire", house->root);
	assert_int_equal(ur_wire_open(path, owner, &wire), 0);
	return wire;
}

/** For how long it waits, in ms, when a process takes it up that has the wire as it is now. */
static int64_t left_of(struct house *house)
{
	close_house(house);
	open_house(house);
	house->gateway.wire = wire_of(house);
	struct ur_spool_upload *upload = ur_spool_find(house->gateway.spool, house->id);
	ur_delivery_add(&house->gateway, upload, NULL);
	const struct ur_delivery *delivery = ((struct ur_session *)upload->session)->delivery;
	const int64_t left_ms = delivery->lost_until_ms - ur_gateway_now_ms();
	assert_int_equal(delivery->wire != UR_WIRE_NONE, left_ms > 0);
	close_house(house);
	assert_int_equal(ur_wire_begin(house->gateway.wire, 0), 0);
	house->gateway.wire = ur_wire_free(house->gateway.wire);
	open_house(house);
	return left_ms;
}

static void only_what_had_gone_whole_may_still_come(void **state)
{
	struct house *house = *state;
	struct ur_spool_outcome outcome = {.state = UR_SPOOL_COMPLETE, .suspect = true, .tries = 1};
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload, outcome);
	assert_true(left_of(house) > 0); // an older program: nobody noted it
	outcome.noted = true;
	conclude(house, ur_spool_find(house->gateway.spool, house->id), outcome);
	assert_true(left_of(house) > 0); // which was noted meanwhile

	house->gateway.wire = wire_of(house);
	char path[200];
	(void)snprintf(path, sizeof path, "%s/wire", house->root);
	house->gateway.wire = ur_wire_free(house->gateway.wire);
	assert_int_equal(unlink(path), 0);
	house->gateway.wire = wire_of(house);
	assert_int_equal(ur_wire_begin(house->gateway.wire, 0), 0);
	house->gateway.wire = ur_wire_free(house->gateway.wire);
	assert_true(left_of(house) <= 0); // half of it went

	house->gateway.wire = wire_of(house);
	uint8_t sha1[20];
	memcpy(sha1, ur_spool_find(house->gateway.spool, house->id)->sha1, sizeof sha1);
	const unsigned place = ur_wire_take(house->gateway.wire, sha1, 90 * UR_SECOND_NS);
	assert_int_equal(ur_wire_gone(house->gateway.wire, place), 0);
	house->gateway.wire = ur_wire_free(house->gateway.wire);
	assert_in_range(left_of(house), 80000, 91000);

	assert_int_equal(unlink(path), 0); // or the machine has booted
	assert_true(left_of(house) > 91000);
}

static int64_t noted_ns(const struct house *house, const struct ur_session *session)
{
	int64_t left_ns = 0;
	assert_true(ur_wire_left(house->gateway.wire, session->upload->sha1, NULL,
		INT64_C(3600) * UR_SECOND_NS, &left_ns));
	return left_ns;
}

static void what_is_sent_after_a_wait_or_whose_answer_was_lost_is_noted_anew(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload, (struct ur_spool_outcome){.state = UR_SPOOL_COMPLETE});
	house->gateway.wire = wire_of(house);
	assert_int_equal(ur_wire_begin(house->gateway.wire, 0), 0);
	ur_delivery_add(&house->gateway, upload, NULL);
	struct ur_session *session = upload->session;
	struct ur_delivery *delivery = session->delivery;
	delivery->wire = ur_wire_take(house->gateway.wire, upload->sha1, UR_SECOND_NS);
	delivery->put.state = UR_PUT_SEND; // what was left of an earlier wait has passed
	ur_delivery_take_wire(session);
	assert_int_equal(ur_wire_gone(house->gateway.wire, delivery->wire), 0);
	assert_true(noted_ns(house, session) > 60 * UR_SECOND_NS);

	ur_wire_renew(house->gateway.wire, delivery->wire, 0);
	assert_int_equal(ur_wire_gone(house->gateway.wire, delivery->wire), 0);
	assert_int_equal(noted_ns(house, session), 0);
	delivery->step = UR_DELIVERY_PUT;
	delivery->request.result = -ECONNRESET;
	delivery->request.body_gone = true;
	(void)ur_delivery_hear(session);
	assert_true(noted_ns(house, session) > 60 * UR_SECOND_NS);
	delivery->put.state = UR_PUT_CHECK;
	delivery->step = UR_DELIVERY_RELATED;
	close_house(house);
	house->gateway.wire = ur_wire_free(house->gateway.wire);
	open_house(house);
}

static void metadata_that_cannot_be_read_now_is_waited_for(void **state)
{
	struct house *house = *state;
	char path[200];
	char gone[220];
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload, (struct ur_spool_outcome){.state = UR_SPOOL_COMPLETE});
	(void)snprintf(path, sizeof path, "%s/%s/info", house->root, upload->id);
	(void)snprintf(gone, sizeof gone, "%s.gone", path);
	assert_int_equal(rename(path, gone), 0);
	ur_delivery_add(&house->gateway, upload, NULL);
	struct ur_delivery *delivery = ((struct ur_session *)upload->session)->delivery;
	assert_int_equal(delivery->step, UR_DELIVERY_RELATED);
	assert_null(delivery->metadata);
	assert_true(wait_of(delivery) > 60000);
	assert_int_equal(rename(gone, path), 0);
	delivery->due_ms = 0;
	ur_delivery_tick(&house->gateway);
	assert_asks(delivery, UR_PUT_CHECK);
}

static void metadata_of_a_delivered_one_is_waited_for_too(void **state)
{
	struct house *house = *state;
	char path[200];
	char gone[220];
	struct ur_spool_upload *upload = make(house);
	conclude(house, upload,
		(struct ur_spool_outcome){.state = UR_SPOOL_DELIVERED, .asset = ASSET});
	(void)snprintf(path, sizeof path, "%s/%s/info", house->root, upload->id);
	(void)snprintf(gone, sizeof gone, "%s.gone", path);
	assert_int_equal(rename(path, gone), 0);
	ur_delivery_add(&house->gateway, upload, NULL);
	struct ur_delivery *delivery = ((struct ur_session *)upload->session)->delivery;
	assert_int_equal(delivery->step, UR_DELIVERY_KEY);
	assert_true(wait_of(delivery) > 60000);
	assert_int_equal(rename(gone, path), 0);
	delivery->due_ms = 0;
	ur_spool_pass(house->gateway.spool, -1000); // the asset was not seen that long ago
	ur_delivery_tick(&house->gateway);
	assert_asks(delivery, UR_PUT_ASSET);
}

static void without_a_key_its_owner_is_waited_for(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *upload = make(house);
	assert_int_equal(ur_spool_wipe(upload, UR_DELIVERY_KEY_NAME), 0);
	const struct ur_delivery *delivery = take_up_again(house);
	assert_int_equal(delivery->step, UR_DELIVERY_KEY);
	assert_false(delivery->has_credential);
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(what_was_delivered_is_asked_for_and_not_sent_again),
		HERE(what_was_not_delivered_is_checked_first),
		HERE(doubt_survives_a_restart),
		HERE(time_that_the_gateway_did_not_run_ends_no_doubt),
		HERE(what_may_have_been_sent_is_doubted_and_may_still_come),
		HERE(only_what_had_gone_whole_may_still_come),
		HERE(what_is_sent_after_a_wait_or_whose_answer_was_lost_is_noted_anew),
		HERE(metadata_that_cannot_be_read_now_is_waited_for),
		HERE(metadata_of_a_delivered_one_is_waited_for_too),
		HERE(without_a_key_its_owner_is_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
