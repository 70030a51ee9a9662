/**
 * pace - how many requests at once: found from what comes back, held, and found again.
 *
 *     CLIMB   twice as many as long as that brings clearly more ───▶ HOLD at the best
 *     HOLD    some rounds, then ───▶ TRY one step up, or one down; kept if it is worth it ───▶ HOLD
 *     refused (429, 503) ───▶ half as many, and a rest
 *
 * A round is as many answers as tell something at the present limit.  It counts only if the limit
 * was what held things up: a sender that is starved learns nothing.  More at once is worth it when
 * it brings clearly more; fewer, when they bring as much and each answer comes sooner.
 *
 *   Owner    a plain struct
 *   Units    ns; work is the caller's (bytes and a constant for each request)
 *   Errors   none
 *   Threads  one
 */
#ifndef UR_BASE_PACE_H
#define UR_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum ur_pace_phase {
	UR_PACE_CLIMB,
	UR_PACE_HOLD,
	UR_PACE_TRY_UP,
	UR_PACE_TRY_DOWN,
};

struct ur_pace {
	unsigned most;
	unsigned limit;
	enum ur_pace_phase phase;
	unsigned held; // rounds since the limit last changed
	bool down_next;
	/* The limit to go back to, and what it brought. */
	unsigned base;
	double base_rate; // work a second; 0: not measured
	double base_latency_ns;
	/* The round. */
	int64_t begun_ns; // 0: it begins with the next answer
	unsigned answers;
	unsigned bound; // of them, while all places were taken
	double work;
	double latency_ns;
	int64_t rest_until_ns;
};

/** Starts low; never more than `most`, never less than one. */
void ur_pace_init(struct ur_pace *pace, unsigned most);
/** A good answer: `in_flight` counts it too. */
void ur_pace_answered(struct ur_pace *pace, int64_t now_ns, int64_t latency_ns, uint64_t work,
	unsigned in_flight);
/** The server says that it is too much; wait_ms is what it asks for, or not positive. */
void ur_pace_refused(struct ur_pace *pace, int64_t now_ns, int64_t wait_ms);
/** How many there may be at `now_ns`. */
unsigned ur_pace_limit(const struct ur_pace *pace, int64_t now_ns);

#endif
