/*
 * sweep - what is over goes: first the bytes of what nobody needs, in the end what is remembered.
 *
 * A crash between an end that is on disk and its tidying up leaves bytes behind; they go here too.
 */
#include "engine/gateway/sweep.h"

#include "engine/gateway/chore.h"
#include "engine/gateway/life.h"
#include "engine/gateway/receive.h"
#include "engine/gateway/state.h"

#define SWEEP_MS 5000
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void on_emptied(struct ur_job *job)
{
	struct ur_session *session = ur_chore_session(job);
	session->removing = false;
	if (session->result < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id,
			session->err.text);
	}
	ur_receive_step(session);
}

static void empty(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	struct ur_session *session = ur_session_of(gateway, upload);
	if (session != NULL) {
		ur_chore_begin(session, UR_CHORE_EMPTY, on_emptied);
	}
}

static void on_expired(struct ur_job *job)
{
	struct ur_session *session = ur_chore_session(job);
	if (session->result < 0) {
		on_emptied(job);
		return;
	}
	session->removing = false;
	ur_spool_concluded(session->upload, &session->outcome);
	session->gateway->counters.expired++;
	empty(session->gateway, session->upload);
}

static void expire(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	struct ur_session *session = ur_session_of(gateway, upload);
	if (session == NULL || session->removing || session->current != NULL ||
		session->committing) {
		return;
	}
	ur_chore_begin(session, UR_CHORE_EXPIRE, on_expired);
}

static void sweep_one(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	const bool is_over =
		outcome->state == UR_SPOOL_CONFIRMED ||
		(outcome->state == UR_SPOOL_REFUSED && outcome->status == UR_STATUS_EXPIRED);
	if (is_over && !upload->bytes_gone && !upload->is_damaged && upload->session == NULL) {
		empty(gateway, upload); // a crash came in between
		return;
	}
	const struct ur_life life = ur_life_here(gateway, upload);
	if (!life.ends || ur_spool_ran_ms(gateway->spool) - life.since_ran_ms < life.keep_ms) {
		return;
	}
	if (outcome->state == UR_SPOOL_RECEIVING) {
		expire(gateway, upload);
		return;
	}
	if (outcome->state == UR_SPOOL_REFUSED && !upload->bytes_gone) {
		ur_gateway_log(gateway, 4,
			"upload %s: immich-server refused it %lld days of run time ago (%s); its bytes "
			"go now",
			upload->id, (long long)(life.keep_ms / DAY_MS), outcome->words);
	}
	ur_receive_remove(gateway, upload);
}

void ur_sweep(struct ur_gateway *gateway)
{
	const int64_t now = ur_gateway_now_ms();
	const int64_t every =
		gateway->limits.expire_ms < SWEEP_MS ? gateway->limits.expire_ms : SWEEP_MS;
	if (now < gateway->swept_ms + every) {
		return;
	}
	gateway->swept_ms = now;
	for (struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		sweep_one(gateway, at);
	}
}
