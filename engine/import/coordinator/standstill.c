/*
 * standstill - no item has come further for a while: what is being waited for, and until when, is said.
 *
 *     an item takes a step, or bytes move ─▶ from the start
 *     nothing, for SAY_NS ─▶ a line for the one thing that all the rest waits for; at most one a minute
 *
 * Waits that are somebody else's say so themselves: the server is away (outage), it does not say what it
 * has, something may still arrive (ask).
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define SAY_NS (7 * UR_SECOND_NS) // with what a turn takes, well within ten
#define AGAIN_NS (60 * UR_SECOND_NS)
#define TEXT_MAX 300
#define BYTES_MIN \
	(16u << 10) // in that time: what fails again and again moves bytes, too, and so does a drip

/** When the first of those that rest goes on. */
static int64_t first_due(const struct ur_coordinator *c)
{
	int64_t due_ns = INT64_MAX;
	for (const struct ur_item *item = c->resting.first; item != NULL; item = item->next) {
		due_ns = item->due_ns < due_ns ? item->due_ns : due_ns;
	}
	return due_ns;
}

static void say_uploads(const struct ur_coordinator *c, int64_t since_ns, char text[TEXT_MAX])
{
	char when[UR_CLOCK_TEXT];
	const int64_t left_ns =
		c->run->options->answer_wait_ms * UR_MS_NS - (ur_clock_steady_ns() - since_ns);
	ur_clock_local(ur_clock_wall_ns() + (left_ns > 0 ? left_ns : 0), when);
	(void)snprintf(text, TEXT_MAX,
		"waiting for the server: it has not answered to %zu uploads that are on their way; that "
		"is waited for until %s at the longest (--answer-wait)",
		c->in_upload, when);
}

static void say_resting(int64_t due_ns, char text[TEXT_MAX])
{
	char when[UR_CLOCK_TEXT];
	ur_clock_local(ur_clock_wall_ns() + due_ns - ur_clock_steady_ns(), when);
	(void)snprintf(text, TEXT_MAX,
		"waiting until %s: then what failed, or what the server asked to leave alone for so long "
		"(Retry-After), is tried again",
		when);
}

/** What all the rest waits for; false when that is nobody's answer, or is said elsewhere. */
static bool find(const struct ur_coordinator *c, int64_t since_ns, char text[TEXT_MAX])
{
	const int64_t due_ns = first_due(c);
	if (c->outage.on) {
		return false;
	}
	if (c->in_upload > 0) {
		say_uploads(c, since_ns, text);
		return true;
	}
	if (c->unanswered_told || c->lost_told) {
		return false;
	}
	if (c->question != NULL || c->in_calls > 0 || c->quota.asking) {
		(void)snprintf(text, TEXT_MAX,
			"waiting for the server: it has not answered to %zu questions about what it has; "
			"each is given some minutes at most, and then it counts as away",
			c->in_calls + (c->question != NULL ? 1 : 0) + (c->quota.asking ? 1 : 0));
		return true;
	}
	if (due_ns != INT64_MAX && due_ns > ur_clock_steady_ns()) {
		say_resting(due_ns, text);
		return true;
	}
	return false;
}

void ur_standstill_look(struct ur_coordinator *c, uint64_t steps, uint64_t bytes)
{
	struct ur_standstill *still = &c->standstill;
	const int64_t now = ur_clock_steady_ns();
	char text[TEXT_MAX];
	if (steps != still->steps || bytes - still->bytes >= BYTES_MIN || still->since_ns == 0) {
		still->since_ns = now;
		still->steps = steps;
		still->bytes = bytes;
		still->told = false;
	}
	assert(now >= still->since_ns);
	const bool lately = still->told_ns != 0 && now - still->told_ns < AGAIN_NS;
	if (still->told || lately || now - still->since_ns < SAY_NS || ur_step_is_stopping(c)) {
		return;
	}
	if (find(c, still->since_ns, text)) {
		still->told = true;
		still->told_ns = now;
		ur_run_warn(c->run, "%s", text);
	}
}
