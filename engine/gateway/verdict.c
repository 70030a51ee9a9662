/* verdict - one table, read by question; see the header. */
#include "engine/gateway/verdict.h"

#include <assert.h>

static bool is_success(int status)
{
	return status >= 200 && status < 300;
}

/** It went out whole, or a later step failed: 2.x and early 3.x may keep a row of it. */
static enum ur_follow perhaps_sent(const struct ur_answer *a)
{
	const bool perhaps = a->body_gone || (a->result == 0 && a->status >= 500);
	return a->asked == UR_ASKED_SEND && perhaps ? UR_FOLLOW_DOUBT : UR_FOLLOW_AGAIN;
}

static enum ur_follow after_send(const struct ur_answer *a)
{
	if (a->status != 400) {
		return perhaps_sent(a);
	}
	return a->quota ? UR_FOLLOW_QUOTA : UR_FOLLOW_REFUSED;
}

static enum ur_follow after_question(const struct ur_answer *a)
{
	const bool nothing = a->status == 400 || a->status == 404;
	switch (a->asked) {
	case UR_ASKED_CHECK:
		return UR_FOLLOW_AGAIN;
	case UR_ASKED_SEND:
		return after_send(a);
	case UR_ASKED_ASSET:
		return nothing ? UR_FOLLOW_GONE : UR_FOLLOW_AGAIN;
	case UR_ASKED_BYTES:
		return nothing || a->status == 416 || a->status == 500 ? UR_FOLLOW_MISSED
								       : UR_FOLLOW_AGAIN;
	}
	assert(!"a question that nobody asks");
	return UR_FOLLOW_AGAIN;
}

static enum ur_follow after_success(const struct ur_answer *a)
{
	if (a->readable) {
		return UR_FOLLOW_READ;
	}
	return a->asked == UR_ASKED_SEND    ? UR_FOLLOW_DOUBT
	       : a->asked == UR_ASKED_BYTES ? UR_FOLLOW_MISSED
					    : UR_FOLLOW_AGAIN;
}

enum ur_follow ur_verdict(const struct ur_answer *a)
{
	const bool proving = a->asked == UR_ASKED_ASSET || a->asked == UR_ASKED_BYTES;
	if (a->result < 0) {
		return perhaps_sent(a);
	}
	/* That it was taken is no loss to believe: the proof is asked for in any case. */
	if (!a->own && a->asked == UR_ASKED_SEND && is_success(a->status)) {
		return after_success(a);
	}
	if (!a->own) {
		return perhaps_sent(a);
	}
	if (is_success(a->status)) {
		return after_success(a);
	}
	if (a->status == 401) {
		return UR_FOLLOW_KEY;
	}
	if (a->status == 403) {
		return proving ? UR_FOLLOW_RIGHTS : UR_FOLLOW_KEY;
	}
	return after_question(a);
}

bool ur_verdict_is_certain(const struct ur_answer *answer)
{
	return answer->own && answer->status == 201;
}

/* ---- times ----------------------------------------------------------------------------------- */

int64_t ur_verdict_wait_ms(const struct ur_spool_outcome *outcome,
	const struct ur_gateway_limits *limits, int64_t now_ran_ms)
{
	const int64_t doubt = outcome->suspect ? limits->suspect_wait_ms : 0;
	const int64_t wait = doubt > limits->settle_after_ms ? doubt : limits->settle_after_ms;
	const int64_t passed = now_ran_ms - outcome->there_ran_ms;
	return passed <= 0 ? wait : passed >= wait ? 0 : wait - passed;
}

enum ur_miss ur_verdict_miss(int64_t missed_ran_ms, int64_t proved_ran_ms, int64_t now_ran_ms)
{
	if (missed_ran_ms < 0) {
		return UR_MISS_FIRST;
	}
	const bool apart = now_ran_ms - missed_ran_ms >= UR_MISS_APART_MS;
	const bool gives =
		proved_ran_ms > missed_ran_ms && now_ran_ms - proved_ran_ms < UR_MISS_APART_MS;
	return apart && gives ? UR_MISS_BROKEN : UR_MISS_AGAIN;
}
