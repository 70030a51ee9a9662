/*
 * outage - the server is away, or it may be: nothing is asked of it but whether it is back, and that
 * not for longer than --server-wait.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"

#include <assert.h>
#include <errno.h>

#define ANSWER_MS 15000
#define SAY_NS (5 * UR_SECOND_NS)

static const struct ur_backoff pauses = {.first_ms = 500, .most_ms = 15000};

void ur_outage_doubt(struct ur_coordinator *c)
{
	struct ur_outage *outage = &c->outage;
	assert(outage->on || !outage->asking);
	if (!outage->on) {
		const int64_t now = ur_clock_steady_ns();
		outage->on = true;
		outage->told = false;
		outage->since_ns = now;
		outage->next_ns = now;
		outage->asks = 0;
	}
}

bool ur_outage_is_sent_away(struct ur_coordinator *c, int status, int64_t asked_ms)
{
	struct ur_err err = {0};
	char when[UR_CLOCK_TEXT];
	if (asked_ms <= c->run->options->server_wait_ms) {
		return false;
	}
	ur_clock_local(ur_clock_wall_ns() + asked_ms * UR_MS_NS, when);
	(void)ur_err_say(&err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server, or what stands before it, asks to be left alone until %s (HTTP %d, "
		"Retry-After), which is longer than --server-wait; run again then, nothing is lost",
		when, status);
	ur_run_fail(c->run, -EHOSTUNREACH, &err);
	return true;
}

bool ur_outage_ask_later(struct ur_coordinator *c, struct ur_item *item, enum ur_item_step step)
{
	const struct ur_request *call = item->call;
	assert(call != NULL);
	assert(item->call_tries >= 0);
	if (ur_retry_is_away(call->result, call->status)) {
		ur_outage_doubt(c);
	}
	const bool passes = call->result < 0 || ur_retry_may_pass(0, call->status);
	int64_t asked_ms = call->result < 0 ? -1 : call->retry_after_ms;
	if (passes && ur_outage_is_sent_away(c, call->status, asked_ms)) {
		asked_ms = -1;
	}
	if (!passes || ++item->call_tries > UR_CALL_TRIES) {
		return false;
	}
	ur_step_rest(c, item, step, ur_step_pause_ms(c, (unsigned)item->call_tries, asked_ms));
	return true;
}

/** /users/me and not ping: a server that hangs on its database still answers pings. */
static void ask_if_back(struct ur_coordinator *c)
{
	struct ur_outage *outage = &c->outage;
	struct ur_text answer = outage->call.answer;
	assert(outage->on);
	assert(!outage->asking);
	outage->call = (struct ur_request){
		.method = "GET",
		.path = "/api/users/me",
		.answer_wait_ms = ur_run_answer_ms(c->run, ANSWER_MS),
		.owner = c,
		.answer = answer,
	};
	outage->asking = true;
	ur_call_submit(c, &outage->call);
}

static void tell(struct ur_coordinator *c)
{
	if (!c->outage.told) {
		c->outage.told = true;
		ur_run_warn(c->run, "the server is away; waiting for it for up to %lld s",
			(long long)(c->run->options->server_wait_ms / 1000));
	}
}

void ur_outage_turn(struct ur_coordinator *c)
{
	const struct ur_outage *outage = &c->outage;
	assert(outage->on || !outage->asking);
	if (outage->on && ur_clock_steady_ns() - outage->since_ns >= SAY_NS) {
		tell(c); // it takes the question whether it is there, and does not answer
	}
	if (outage->on && !outage->asking && ur_clock_steady_ns() >= outage->next_ns) {
		ask_if_back(c);
	}
}

static void give_up(struct ur_coordinator *c)
{
	struct ur_err err = {0};
	const struct ur_request *call = &c->outage.call;
	char message[UR_MESSAGE_MAX];
	assert(c->outage.told);
	ur_immich_message(call->status, ur_text_get(&call->answer), call->html, message);
	(void)ur_err_say(&err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server has been away for %lld s: %s; run again when it is back, nothing is lost",
		(long long)(c->run->options->server_wait_ms / 1000),
		call->result < 0 ? call->err.text : message);
	ur_run_fail(c->run, -EHOSTUNREACH, &err);
}

static void is_back(struct ur_coordinator *c)
{
	assert(c->outage.on);
	assert(!c->outage.asking);
	if (c->outage.told) {
		ur_run_warn(c->run, "the server is back");
	}
	c->outage.on = false;
}

static void refuses_the_key(struct ur_coordinator *c)
{
	struct ur_err err = {0};
	(void)ur_err_say(&err, -EACCES, UR_FAULT_SETUP,
		"the server does not accept the key any more (HTTP %d)", c->outage.call.status);
	ur_run_fail(c->run, -EACCES, &err);
}

static void is_away(struct ur_coordinator *c)
{
	struct ur_outage *outage = &c->outage;
	const int64_t now = ur_clock_steady_ns();
	assert(outage->on);
	assert(now >= outage->since_ns);
	tell(c);
	if (now - outage->since_ns > c->run->options->server_wait_ms * UR_MS_NS) {
		give_up(c);
	}
	outage->next_ns = now + ur_retry_step_ms(&pauses, outage->asks++) * UR_MS_NS;
}

/** A page that says 200 to everything is no server that is back. */
static bool says_who(const struct ur_request *call)
{
	struct ur_server server = {0};
	return ur_proof_is_own(call) ||
	       ur_immich_read_user(ur_text_get(&call->answer), &server, NULL) == 0;
}

void ur_outage_answered(struct ur_coordinator *c)
{
	const struct ur_request *call = &c->outage.call;
	assert(c->outage.asking);
	c->outage.asking = false;
	const bool refused = call->result == 0 && (call->status == 401 || call->status == 403);
	if (call->result == 0 && call->status == 200 && says_who(call)) {
		is_back(c);
	} else if (refused && ur_proof_is_own(call)) {
		refuses_the_key(c);
	} else {
		is_away(c);
	}
}
