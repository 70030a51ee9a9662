/* delivery_answer - what came back, as the gateway understands it; and how long it waits then. */
#include "engine/gateway/delivery/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define ASSET "426dd542-f562-4757-9dc5-eaf7d1c47147"
#define SIZE 1000
#define HOUR (INT64_C(3600) * 1000)
#define DAY UR_DELIVERY_DAY_MS

static const int statuses[] = {200, 201, 204, 206, 301, 302, 307, 308, 400, 401, 403, 404, 405, 408,
	409, 410, 413, 415, 416, 422, 429, 500, 501, 502, 503, 504, 520, 599};

/** The very answers, in the shape that the questions ask for. */
static const char there[] = "{\"results\":[{\"id\":\"0\",\"action\":\"reject\","
			    "\"reason\":\"duplicate\",\"assetId\":\"" ASSET "\"}]}";
static const char absent[] = "{\"results\":[{\"id\":\"0\",\"action\":\"accept\"}]}";
static const char created[] = "{\"id\":\"" ASSET "\",\"status\":\"created\"}";
static const char asset[] = "{\"id\":\"" ASSET "\",\"ownerId\":\"" ANN "\","
			    "\"checksum\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"isTrashed\":false}";

/** An upload on its way, whose question has been answered. */
struct scene {
	struct ur_gateway gateway;
	struct ur_spool_upload upload;
	struct ur_session session;
	struct ur_delivery delivery;
};

static void play(struct scene *s, enum ur_put_state asked, int status, bool own, const char *text)
{
	static const struct ur_put_answer none = {
		.asked = UR_PUT_CHECK, .status = 200, .readable = true};
	static const struct ur_put_answer holds = {
		.asked = UR_PUT_ASSET, .status = 200, .readable = true};
	*s = (struct scene){.upload = {.length = SIZE, .owner = ANN}};
	s->session = (struct ur_session){
		.gateway = &s->gateway, .upload = &s->upload, .delivery = &s->delivery};
	struct ur_delivery *d = &s->delivery;
	d->step = UR_DELIVERY_PUT;
	const bool proving = asked == UR_PUT_ASSET || asked == UR_PUT_BYTES;
	ur_put_start(&d->put, &ur_put_gateway,
		proving                ? UR_PUT_ASSET
		: asked == UR_PUT_SEND ? UR_PUT_CHECK
				       : asked,
		false);
	if (asked == UR_PUT_SEND) {
		(void)ur_put_step(&d->put, &none);
	} else if (asked == UR_PUT_BYTES) {
		(void)ur_put_step(&d->put, &holds);
	}
	assert_int_equal(d->put.state, asked);
	d->request.status = status;
	(void)snprintf(
		d->request.correlation, sizeof d->request.correlation, "%s", own ? "abc" : "");
	(void)snprintf(d->request.answer_type, sizeof d->request.answer_type, "application/json");
	ur_text_adds(&d->request.answer, text);
}

/** The answer is read, and put goes on. */
static enum ur_put_state hear(struct scene *s, struct ur_heard *ret)
{
	ur_delivery_read_answer(&s->session, ret);
	assert_int_equal(ret->answer.asked, s->delivery.put.state);
	const enum ur_put_state next = ur_put_step(&s->delivery.put, &ret->answer);
	ur_text_done(&s->delivery.request.answer);
	return next;
}

static enum ur_put_state next_after(enum ur_put_state asked, int status, bool own, const char *text)
{
	struct scene s;
	struct ur_heard heard;
	play(&s, asked, status, own, text);
	return hear(&s, &heard);
}

static void the_servers_own_words_are_read(void **state)
{
	struct scene s;
	struct ur_heard heard;
	(void)state;
	assert_int_equal(next_after(UR_PUT_CHECK, 200, true, absent), UR_PUT_SEND);
	play(&s, UR_PUT_CHECK, 200, true, there);
	assert_int_equal(hear(&s, &heard), UR_PUT_ASSET);
	assert_string_equal(heard.asset, ASSET);
	play(&s, UR_PUT_SEND, 201, true, created);
	assert_int_equal(hear(&s, &heard), UR_PUT_ASSET);
	assert_string_equal(heard.asset, ASSET);
	assert_false(s.delivery.put.doubted);
	assert_int_equal(next_after(UR_PUT_ASSET, 200, true, asset), UR_PUT_BYTES);
}

/** Whatever shape it has: nothing is sent, given up or believed for it. */
static void a_page_of_a_proxy_is_never_a_verdict(void **state)
{
	static const char *const texts[] = {"<html>", "", there, absent, created, asset};
	static const enum ur_put_state asked[] = {
		UR_PUT_CHECK, UR_PUT_LOST, UR_PUT_ASSET, UR_PUT_BYTES};
	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
			for (size_t q = 0; q < 4; q++) {
				const enum ur_put_state again =
					asked[q] == UR_PUT_BYTES ? UR_PUT_ASSET : asked[q];
				assert_int_equal(
					next_after(asked[q], statuses[i], false, texts[k]), again);
			}
			struct scene s;
			struct ur_heard heard;
			play(&s, UR_PUT_SEND, statuses[i], false, texts[k]);
			const enum ur_put_state next = hear(&s, &heard);
			/* That it was taken is no loss to believe, and is doubted. */
			assert_true(next == UR_PUT_CHECK || next == UR_PUT_LOST ||
				    (next == UR_PUT_ASSET && statuses[i] < 300));
			assert_true(next != UR_PUT_ASSET || s.delivery.put.doubted);
		}
	}
}

static void who_says_that_it_was_taken_has_read_it(void **state)
{
	(void)state;
	for (int own = 0; own < 2; own++) {
		assert_int_equal(next_after(UR_PUT_SEND, 201, own == 1, ""), UR_PUT_LOST);
		assert_int_equal(next_after(UR_PUT_SEND, 200, own == 1, "{}"), UR_PUT_LOST);
	}
}

static void only_a_201_of_the_servers_own_leaves_no_doubt(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		for (int own = 0; own < 2; own++) {
			struct scene s;
			struct ur_heard heard;
			play(&s, UR_PUT_SEND, statuses[i], own == 1, created);
			(void)hear(&s, &heard);
			assert_int_equal(s.delivery.put.verdict == UR_PUT_CREATED,
				statuses[i] == 201 && own == 1);
			assert_int_equal(s.delivery.put.ours, statuses[i] == 201 && own == 1);
		}
	}
}

static void what_may_still_arrive_is_not_sent_again(void **state)
{
	struct scene s;
	struct ur_heard heard;
	(void)state;
	play(&s, UR_PUT_LOST, 200, true, absent);
	s.delivery.lost_until_ms = ur_gateway_now_ms() + HOUR;
	assert_int_equal(hear(&s, &heard), UR_PUT_LOST);
	play(&s, UR_PUT_LOST, 200, true, absent);
	s.delivery.lost_until_ms = ur_gateway_now_ms();
	assert_int_equal(hear(&s, &heard), UR_PUT_SEND);
}

static void bytes_are_counted(void **state)
{
	static const struct {
		int status;
		const char *range;
		uint64_t counted;
		enum ur_put_state next;
	} rows[] = {
		{206, "bytes 999-999/1000", 1, UR_PUT_PROVED},
		{206, "bytes 999-999/1001", 1, UR_PUT_ASSET},
		{206, "bytes 998-999/1000", 2, UR_PUT_ASSET},
		{206, "", 1, UR_PUT_ASSET},
		{200, "", SIZE, UR_PUT_PROVED},
		{200, "", SIZE - 1, UR_PUT_ASSET},
		{200, "", 0, UR_PUT_ASSET},
		{404, "", 0, UR_PUT_ASSET},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scene s;
		struct ur_heard heard;
		play(&s, UR_PUT_BYTES, rows[i].status, true, "");
		(void)snprintf(s.delivery.request.content_range,
			sizeof s.delivery.request.content_range, "%s", rows[i].range);
		s.delivery.counted = rows[i].counted;
		assert_int_equal(hear(&s, &heard), rows[i].next);
	}
}

static void a_line_that_broke_says_nothing_of_what_came_before(void **state)
{
	struct scene s;
	struct ur_heard heard;
	(void)state;
	play(&s, UR_PUT_ASSET, 200, true, asset); // half of an answer
	s.delivery.request.result = -ECONNRESET;
	assert_int_equal(hear(&s, &heard), UR_PUT_ASSET);
	assert_int_equal(heard.answer.status, 0);
	assert_false(heard.answer.own);
}

static void a_pause_grows_to_five_minutes_and_keeps_to_what_was_asked(void **state)
{
	struct ur_delivery d = {.seed = 1};
	(void)state;
	for (d.pauses = 0; d.pauses < 40; d.pauses++) {
		const int64_t whole = d.pauses < 9 ? INT64_C(1000) << d.pauses : 300000;
		const int64_t most = whole < 300000 ? whole : 300000;
		assert_in_range(ur_delivery_pause_ms(&d, -1), most / 2, most);
		assert_int_equal(ur_delivery_pause_ms(&d, DAY), DAY);
		assert_true(ur_delivery_quota_pause_ms(&d) <= HOUR);
	}
	assert_true(ur_delivery_quota_pause_ms(&d) >= HOUR / 2);
}

static void an_asset_is_believed_a_while_after_it_was_seen(void **state)
{
	const struct ur_gateway_limits limits = ur_gateway_limits_default();
	struct ur_spool_outcome outcome = {.state = UR_SPOOL_DELIVERED, .there_ran_ms = 1000};
	(void)state;
	assert_int_equal(limits.settle_after_ms, 60000);
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 1000), 60000);
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 31000), 30000);
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 61000), 0);
	outcome.duplicate = true; // whoever sent it
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 1000), 60000);
	outcome.suspect = true;
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 61000), HOUR - 60000);
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 1000 + HOUR), 0);
	/* The last minutes of a process that was killed were not written down. */
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 0), HOUR);
}

static void doubt_never_shortens_a_wait(void **state)
{
	struct ur_gateway_limits limits = ur_gateway_limits_default();
	const struct ur_spool_outcome outcome = {.state = UR_SPOOL_DELIVERED, .suspect = true};
	(void)state;
	limits.suspect_wait_ms = 0;
	assert_int_equal(ur_delivery_wait_ms(&outcome, &limits, 0), limits.settle_after_ms);
}

static void an_asset_is_broken_a_day_after_it_was_missed_while_others_are_not(void **state)
{
	(void)state;
	assert_int_equal(ur_delivery_miss(UR_SPOOL_NEVER, 5, 10), UR_MISS_FIRST);
	assert_int_equal(ur_delivery_miss(10, 11, 12), UR_MISS_AGAIN);
	assert_int_equal(ur_delivery_miss(10, DAY, 9 + DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_delivery_miss(10, DAY, 10 + DAY), UR_MISS_BROKEN);
	/* None of many gives its bytes: the server's failure. */
	assert_int_equal(ur_delivery_miss(10, UR_SPOOL_NEVER, 10 + DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_delivery_miss(10, 9, 10 + 5 * DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_delivery_miss(10, 11, 11 + 5 * DAY), UR_MISS_AGAIN);
	assert_int_equal(ur_delivery_miss(10, 5 * DAY, 11 + 5 * DAY), UR_MISS_BROKEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_servers_own_words_are_read),
		cmocka_unit_test(a_page_of_a_proxy_is_never_a_verdict),
		cmocka_unit_test(who_says_that_it_was_taken_has_read_it),
		cmocka_unit_test(only_a_201_of_the_servers_own_leaves_no_doubt),
		cmocka_unit_test(what_may_still_arrive_is_not_sent_again),
		cmocka_unit_test(bytes_are_counted),
		cmocka_unit_test(a_line_that_broke_says_nothing_of_what_came_before),
		cmocka_unit_test(a_pause_grows_to_five_minutes_and_keeps_to_what_was_asked),
		cmocka_unit_test(an_asset_is_believed_a_while_after_it_was_seen),
		cmocka_unit_test(doubt_never_shortens_a_wait),
		cmocka_unit_test(an_asset_is_broken_a_day_after_it_was_missed_while_others_are_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
