/* pace - a hill climber that compares rounds; time comes in from outside. */
#include "engine/base/pace.h"

#include <assert.h>

#define START 2u
#define ROUND_ANSWERS 16u // at least, and four for each place
#define ROUND_NS INT64_C(20000000)
#define CLIMB_GAIN 1.25 // what twice as many must bring
#define STEP_GAIN 1.04  // what a quarter more must bring
#define STEP_LOSS 0.98  // what a quarter fewer may cost
#define HOLD_ROUNDS 12u // between two tries
#define REST_MS 250
#define COLLAPSE 0.6 // less than this share of what it was: the server is not what it was

static unsigned quarter(unsigned limit)
{
	return limit < 8 ? 1 : limit / 4;
}

static unsigned within(const struct ur_pace *pace, unsigned limit)
{
	return limit < 1 ? 1 : limit > pace->most ? pace->most : limit;
}

static void begin_round(struct ur_pace *pace)
{
	pace->begun_ns = 0;
	pace->answers = 0;
	pace->bound = 0;
	pace->work = 0;
	pace->latency_ns = 0;
}

static void enter(struct ur_pace *pace, enum ur_pace_phase phase, unsigned limit)
{
	pace->phase = phase;
	pace->limit = within(pace, limit);
	pace->held = 0;
}

void ur_pace_init(struct ur_pace *pace, unsigned most)
{
	assert(most > 0);
	*pace = (struct ur_pace){.most = most};
	enter(pace, UR_PACE_CLIMB, START);
	pace->base = pace->limit;
}

static void take_as_base(struct ur_pace *pace, double rate, double latency_ns)
{
	pace->base = pace->limit;
	pace->base_rate = rate;
	pace->base_latency_ns = latency_ns;
}

static void climb(struct ur_pace *pace, double rate, double latency_ns)
{
	if (pace->base_rate > 0 && rate < pace->base_rate * CLIMB_GAIN) {
		if (rate > pace->base_rate * STEP_GAIN) {
			take_as_base(pace, rate, latency_ns);
		}
		enter(pace, UR_PACE_HOLD, pace->base);
		return;
	}
	take_as_base(pace, rate, latency_ns);
	if (pace->limit == pace->most) {
		enter(pace, UR_PACE_HOLD, pace->limit);
	} else {
		enter(pace, UR_PACE_CLIMB, pace->limit * 2);
	}
}

static void hold(struct ur_pace *pace, double rate, double latency_ns)
{
	if (pace->base_rate > 0 && rate < pace->base_rate * COLLAPSE && pace->limit > 1 &&
		latency_ns > 2 * pace->base_latency_ns) {
		take_as_base(pace, rate, latency_ns);
		enter(pace, UR_PACE_TRY_DOWN,
			pace->limit / 2); // latency rose, and nothing came of it
		return;
	}
	/* Slowly, so that one odd round moves nothing. */
	pace->base_rate = pace->base_rate == 0 ? rate : (3 * pace->base_rate + rate) / 4;
	pace->base_latency_ns = pace->base_latency_ns == 0
					? latency_ns
					: (3 * pace->base_latency_ns + latency_ns) / 4;
	if (++pace->held < HOLD_ROUNDS) {
		return;
	}
	pace->base = pace->limit;
	const bool down = (pace->down_next || pace->limit == pace->most) && pace->limit > 1;
	pace->down_next = !down;
	if (down) {
		enter(pace, UR_PACE_TRY_DOWN, pace->limit - quarter(pace->limit));
	} else if (pace->limit < pace->most) {
		enter(pace, UR_PACE_TRY_UP, pace->limit + quarter(pace->limit));
	} else {
		pace->held = 0;
	}
}

static void judge_try(struct ur_pace *pace, double rate, double latency_ns)
{
	const bool up = pace->phase == UR_PACE_TRY_UP;
	const bool worth =
		up ? rate > pace->base_rate * STEP_GAIN
		   : rate > pace->base_rate * STEP_LOSS && latency_ns < pace->base_latency_ns;
	if (worth) {
		take_as_base(pace, rate, latency_ns);
		pace->down_next = !up; // on in the same direction
		enter(pace, UR_PACE_HOLD, pace->limit);
		pace->held = HOLD_ROUNDS - 2;
	} else {
		enter(pace, UR_PACE_HOLD, pace->base);
	}
}

static void end_round(struct ur_pace *pace, int64_t now_ns)
{
	const double rate = pace->work * 1e9 / (double)(now_ns - pace->begun_ns);
	const double latency_ns = pace->latency_ns / pace->answers;
	const bool tells = pace->bound * 2 >= pace->answers;
	begin_round(pace);
	pace->begun_ns = now_ns;
	if (!tells) {
		return;
	}
	switch (pace->phase) {
	case UR_PACE_CLIMB:
		climb(pace, rate, latency_ns);
		break;
	case UR_PACE_HOLD:
		hold(pace, rate, latency_ns);
		return;
	case UR_PACE_TRY_UP:
	case UR_PACE_TRY_DOWN:
		judge_try(pace, rate, latency_ns);
		break;
	}
	pace->begun_ns = 0; // what is under way still belongs to the old limit
}

void ur_pace_answered(
	struct ur_pace *pace, int64_t now_ns, int64_t latency_ns, uint64_t work, unsigned in_flight)
{
	if (pace->begun_ns == 0) {
		pace->begun_ns = now_ns;
		return; // the round lies between answers
	}
	pace->answers++;
	pace->bound += in_flight >= pace->limit;
	pace->work += (double)work;
	pace->latency_ns += (double)latency_ns;
	const unsigned enough = pace->limit * 4 > ROUND_ANSWERS ? pace->limit * 4 : ROUND_ANSWERS;
	if (pace->answers >= enough && now_ns - pace->begun_ns >= ROUND_NS) {
		end_round(pace, now_ns);
	}
}

void ur_pace_refused(struct ur_pace *pace, int64_t now_ns, int64_t wait_ms)
{
	const bool resting = now_ns < pace->rest_until_ns;
	const int64_t until = now_ns + (wait_ms > 0 ? wait_ms : REST_MS) * INT64_C(1000000);
	pace->rest_until_ns = until > pace->rest_until_ns ? until : pace->rest_until_ns;
	begin_round(pace);
	if (!resting) { // those that were under way with the first one say nothing new
		enter(pace, UR_PACE_HOLD, pace->limit / 2);
		pace->base = pace->limit;
		pace->base_rate = 0;
		pace->base_latency_ns = 0;
		pace->down_next = false;
	}
}

unsigned ur_pace_limit(const struct ur_pace *pace, int64_t now_ns)
{
	return now_ns < pace->rest_until_ns ? 0 : pace->limit;
}
