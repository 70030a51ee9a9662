/*
 * pace - against a server that is a formula: so many at once, so long each; no clock, no socket.
 */
#include "engine/base/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS INT64_C(1000000)
#define PLACES 64

/** Serves `at_once` requests at a time, each for `service_ns`, behind a line of `line_ns`. */
struct server {
	unsigned at_once;
	int64_t service_ns;
	int64_t line_ns;
	double worse; // each one beyond at_once makes all slower by this share
};

struct world {
	struct ur_pace pace;
	struct server server;
	int64_t now_ns;
	int64_t free_at[PLACES]; // when the server's places are free again
	int64_t ends[PLACES];    // of what is in flight
	int64_t began[PLACES];
	unsigned in_flight;
	unsigned answers;
	uint64_t seed;
	unsigned places; // of the sender, which may have less to send than the limit allows
};

static double noise(struct world *w)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return 0.9 + 0.2 * (double)(w->seed >> 40) / (double)(1u << 24);
}

static void send_one(struct world *w)
{
	unsigned best = 0;
	for (unsigned i = 1; i < w->server.at_once; i++) {
		best = w->free_at[i] < w->free_at[best] ? i : best;
	}
	const unsigned beyond =
		w->in_flight > w->server.at_once ? w->in_flight - w->server.at_once : 0;
	const double slow = (1 + w->server.worse * beyond) * noise(w);
	const int64_t arrives = w->now_ns + w->server.line_ns / 2;
	const int64_t starts = arrives > w->free_at[best] ? arrives : w->free_at[best];
	w->free_at[best] = starts + (int64_t)((double)w->server.service_ns * slow);
	w->ends[w->in_flight] = w->free_at[best] + w->server.line_ns / 2;
	w->began[w->in_flight++] = w->now_ns;
}

static void take_one(struct world *w)
{
	unsigned first = 0;
	for (unsigned i = 1; i < w->in_flight; i++) {
		first = w->ends[i] < w->ends[first] ? i : first;
	}
	w->now_ns = w->ends[first];
	ur_pace_answered(&w->pace, w->now_ns, w->now_ns - w->began[first], 1000, w->in_flight);
	w->in_flight--;
	w->ends[first] = w->ends[w->in_flight];
	w->began[first] = w->began[w->in_flight];
	w->answers++;
}

static void run(struct world *w, unsigned answers)
{
	for (const unsigned end = w->answers + answers; w->answers < end;) {
		const unsigned limit = ur_pace_limit(&w->pace, w->now_ns);
		const unsigned most = limit < w->places ? limit : w->places;
		while (w->in_flight < most) {
			send_one(w);
		}
		if (w->in_flight > 0) {
			take_one(w);
		} else {
			w->now_ns += MS;
		}
	}
}

static struct world world_of(struct server server, unsigned most)
{
	struct world w = {.server = server, .now_ns = 1, .seed = 42, .places = PLACES};
	ur_pace_init(&w.pace, most);
	return w;
}

/** Answers a second over the next `answers`. */
static double rate_of(struct world *w, unsigned answers)
{
	const int64_t from = w->now_ns;
	run(w, answers);
	return answers * 1e9 / (double)(w->now_ns - from);
}

static void it_starts_low(void **state)
{
	(void)state;
	struct ur_pace pace;
	ur_pace_init(&pace, 32);
	assert_int_equal(ur_pace_limit(&pace, 1), 2);
	ur_pace_init(&pace, 1);
	assert_int_equal(ur_pace_limit(&pace, 1), 1);
}

static void a_long_line_to_a_wide_server_is_filled_to_the_users_limit(void **state)
{
	(void)state;
	struct world w = world_of((struct server){64, 2 * MS, 60 * MS, 0}, 32);
	run(&w, 1500);
	assert_true(w.pace.limit >= 28);
}

static void it_settles_near_what_the_server_does_at_once(void **state)
{
	(void)state;
	const unsigned ceilings[] = {1, 2, 4, 8, 12};
	const int64_t lines[] = {0, 5 * MS, 20 * MS};
	for (size_t c = 0; c < sizeof ceilings / sizeof *ceilings; c++) {
		for (size_t l = 0; l < sizeof lines / sizeof *lines; l++) {
			struct world w =
				world_of((struct server){ceilings[c], 10 * MS, lines[l], 0}, 32);
			run(&w, 6000);
			const double best = ceilings[c] * 100.0;
			const double rate = rate_of(&w, 3000);
			/* Enough to keep the server busy over the line, and not many times that. */
			const double needed = ceilings[c] * (1 + (double)lines[l] / (10.0 * MS));
			assert_true(rate > 0.85 * best);
			assert_true(w.pace.limit <= 2 * needed + 2);
		}
	}
}

static void a_server_that_suffers_from_too_many_gets_fewer(void **state)
{
	(void)state;
	struct world w = world_of((struct server){4, 10 * MS, 0, 0.2}, 32);
	run(&w, 6000);
	assert_true(w.pace.limit <= 8);
	assert_true(rate_of(&w, 1000) > 300);
}

static void a_server_that_became_faster_gets_more(void **state)
{
	(void)state;
	struct world w = world_of((struct server){2, 10 * MS, 0, 0}, 32);
	run(&w, 3000);
	assert_true(w.pace.limit <= 6);
	w.server.at_once = 16;
	run(&w, 20000);
	assert_true(rate_of(&w, 1000) > 1000);
}

static void a_refusal_halves_and_rests_as_long_as_it_says(void **state)
{
	(void)state;
	struct world w = world_of((struct server){64, 2 * MS, 60 * MS, 0}, 32);
	run(&w, 1500);
	const unsigned before = w.pace.limit;
	ur_pace_refused(&w.pace, w.now_ns, 3000);
	ur_pace_refused(&w.pace, w.now_ns + MS, -1); // was under way with the first
	assert_int_equal(ur_pace_limit(&w.pace, w.now_ns + 2999 * MS), 0);
	assert_int_equal(ur_pace_limit(&w.pace, w.now_ns + 3001 * MS), before / 2);
	for (int i = 0; i < 10; i++) {
		ur_pace_refused(&w.pace, w.now_ns + (i + 2) * 10000 * MS, -1);
	}
	assert_int_equal(ur_pace_limit(&w.pace, INT64_MAX), 1);
}

static void a_starved_sender_learns_nothing(void **state)
{
	(void)state;
	struct world w = world_of((struct server){64, 2 * MS, 60 * MS, 0}, 32);
	run(&w, 1500);
	const unsigned before = w.pace.limit;
	w.places = 1;
	run(&w, 2000);
	assert_int_equal(w.pace.limit, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_starts_low),
		cmocka_unit_test(a_long_line_to_a_wide_server_is_filled_to_the_users_limit),
		cmocka_unit_test(it_settles_near_what_the_server_does_at_once),
		cmocka_unit_test(a_server_that_suffers_from_too_many_gets_fewer),
		cmocka_unit_test(a_server_that_became_faster_gets_more),
		cmocka_unit_test(a_refusal_halves_and_rests_as_long_as_it_says),
		cmocka_unit_test(a_starved_sender_learns_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
