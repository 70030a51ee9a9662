/*
 * delivery - all deliveries, and the loop that takes the steps of each.
 *
 *     KEY → RELATED → PUT: check → send → asset → bytes → confirmed
 *             ▲        │ ▲
 *             │        │ └──── lost, 5xx: asked by checksum before anything is sent again
 *             └────────┴ the asset is gone: as if it had not been sent
 *
 * What is asked, and what follows from an answer, is engine/immich/put; how long the asset is left
 * alone before it is believed is in the outcome: seen when, doubted or not.  Every step returns what
 * is next, and take() does it: nothing else changes where a delivery stands.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/clock.h"
#include "engine/gateway/upstream.h"
#include "engine/net/proof.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MAX 16u // deliveries that ask or send at once
#define SILENCE_AGAIN_MS 60000

/* ---- the loop -------------------------------------------------------------------------------- */

static void advance(struct ur_session *session);

static void on_tidied(struct ur_job *job)
{
	struct ur_session *session = ur_delivery_session_of(job);
	assert(session->delivery->busy);
	assert(session->delivery->step == UR_DELIVERY_SETTLED);
	session->delivery->busy = false;
	if (session->delivery->result < 0) { // the next start tries again
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id,
			session->delivery->err.text);
	}
}

static void on_concluded(struct ur_job *job)
{
	struct ur_session *session = ur_delivery_session_of(job);
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->busy);
	delivery->busy = false;
	if (delivery->result < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id,
			delivery->err.text);
		if (delivery->put.state == UR_PUT_PROVED) { // and nobody can tell any more
			delivery->put.doubted = session->upload->outcome.suspect;
		}
		ur_delivery_restart(delivery, UR_PUT_CHECK);
		delivery->step = UR_DELIVERY_PUT;
		delivery->due_ms = ur_gateway_now_ms() + ur_delivery_pause_ms(delivery, -1);
		return;
	}
	ur_delivery_concluded(session);
	if (delivery->outcome.state != UR_SPOOL_COMPLETE) {
		ur_delivery_give_wire(session);
	}
	if (ur_spool_is_over(&delivery->outcome)) {
		assert(delivery->step == UR_DELIVERY_SETTLED);
		ur_delivery_tidy(session, on_tidied);
	} else {
		advance(session);
	}
}

/** The one place where a delivery's step changes. */
static void take(struct ur_session *session, struct ur_next next)
{
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->step != UR_DELIVERY_SETTLED);
	assert(next.step < UR_DELIVERY_STEPS);
	assert(next.wait_ms >= 0);
	assert(next.step != UR_DELIVERY_SETTLED || next.conclude);
	assert(!delivery->busy || next.wait_ms == 0);
	delivery->step = next.step;
	delivery->due_ms = ur_gateway_now_ms() + next.wait_ms;
	if (next.conclude) {
		ur_delivery_conclude(session, on_concluded);
	}
}

static bool is_over(const struct ur_session *session)
{
	return session->delivery->step == UR_DELIVERY_SETTLED && !session->delivery->busy;
}

static bool is_due(const struct ur_session *session)
{
	const struct ur_delivery *delivery = session->delivery;
	return !delivery->busy && delivery->step != UR_DELIVERY_SETTLED &&
	       delivery->due_ms <= ur_gateway_now_ms() && !session->removing &&
	       !atomic_load(&session->gateway->stopping);
}

/** Takes the steps that are due; several may follow each other without waiting. */
static void advance(struct ur_session *session)
{
	for (int i = 0; i < UR_DELIVERY_STEPS && is_due(session); i++) {
		take(session, ur_delivery_run(session));
	}
}

static void on_answer(struct ur_post *post)
{
	struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)post - offsetof(struct ur_delivery, post));
	struct ur_session *session = delivery->request.context;
	assert(delivery->busy);
	assert(delivery->step == UR_DELIVERY_PUT);
	delivery->busy = false;
	delivery->waits_from_ms = 0;
	if (delivery->put.state == UR_PUT_SEND) {
		assert(session->gateway->carrying > 0);
		session->gateway->carrying--;
		if (delivery->fd >= 0) {
			(void)close(delivery->fd);
			delivery->fd = -1;
		}
	}
	if (ur_proof_is_own(&delivery->request) && delivery->request.status < 300) {
		ur_upstream_note(session->gateway, true, "");
	}
	take(session, ur_delivery_hear(session));
	advance(session);
}

/* ---- one comes, one goes --------------------------------------------------------------------- */

/** Where an earlier process left it, as far as its outcome tells. */
static void begin(struct ur_delivery *delivery, struct ur_session *session)
{
	assert(!session->upload->is_sidecar);
	assert(session->delivery == NULL);
	const struct ur_spool_outcome *outcome = &session->upload->outcome;
	assert(outcome->state != UR_SPOOL_RECEIVING);
	assert(!ur_spool_is_over(outcome));
	delivery->fd = -1;
	delivery->seed = (uint64_t)ur_clock_steady_ns();
	delivery->request.context = session;
	delivery->post.run = on_answer;
	delivery->outcome = *outcome;
	delivery->tries = outcome->tries;
	delivery->due_ms = ur_gateway_now_ms();
	ur_put_start(&delivery->put, &ur_put_gateway, UR_PUT_CHECK, outcome->suspect);
	/* What was under way when the process ended may have reached the server. */
	delivery->lost_until_ms = ur_gateway_now_ms() + ur_delivery_left_ms(session->gateway,
								session->upload, &delivery->wire);
}

void ur_delivery_add(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential)
{
	struct ur_session *session = upload->is_sidecar ? NULL : ur_session_of(gateway, upload);
	struct ur_delivery *delivery = session == NULL ? NULL : calloc(1, sizeof *delivery);
	if (delivery == NULL) {
		if (!upload->is_sidecar) {
			ur_gateway_log(gateway, 3,
				"upload %s: short of memory; it is delivered after a restart",
				upload->id);
		}
		return;
	}
	begin(delivery, session);
	session->delivery = delivery;
	delivery->next = gateway->deliveries;
	gateway->deliveries = session;
	if (credential != NULL) {
		delivery->credential = *credential;
		delivery->has_credential = true;
	} else {
		ur_delivery_recall_credential(session);
	}
	if (!delivery->has_credential) {
		ur_delivery_explain(session, "its key was not kept; " UR_DELIVERY_WAITS_FOR_OWNER);
	}
	if (gateway->server.dialect != NULL) {
		advance(session);
	}
}

static bool is_on_its_way(const struct ur_spool_upload *upload)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	return !upload->is_sidecar && !ur_spool_is_over(outcome) &&
	       (outcome->state == UR_SPOOL_COMPLETE || outcome->state == UR_SPOOL_REFUSED ||
		       (outcome->state == UR_SPOOL_DELIVERED &&
			       upload->length != UR_SPOOL_LENGTH_UNKNOWN));
}

bool ur_delivery_take_up(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	const bool takes = gateway->options.immich != NULL && is_on_its_way(upload);
	if (takes) {
		ur_delivery_add(gateway, upload, NULL);
	}
	return takes;
}

void ur_delivery_free(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	if (delivery == NULL) {
		return;
	}
	assert(!delivery->busy);
	ur_delivery_remember_departed(session);
	ur_delivery_give_wire(session);
	struct ur_session **at = &session->gateway->deliveries;
	while (*at != session) {
		assert((*at)->gateway == session->gateway);
		at = &(*at)->delivery->next;
	}
	*at = delivery->next;
	ur_delivery_forget_credential(delivery);
	OPENSSL_cleanse(delivery->request.header, sizeof delivery->request.header);
	ur_request_done(&delivery->request);
	ur_text_done(&delivery->head);
	ur_text_done(&delivery->middle);
	ur_text_done(&delivery->tail);
	free(delivery->sidecar);
	free(delivery->metadata);
	free(delivery);
	session->delivery = NULL;
}

void ur_delivery_abandon(struct ur_session *session)
{
	assert(session->delivery != NULL);
	session->delivery->busy = false;
	ur_delivery_free(session);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/** What an upload waits for is said, of each in its status, and once a minute in the log. */
static void tell_silence(struct ur_session *session)
{
	struct ur_gateway *gateway = session->gateway;
	struct ur_delivery *delivery = session->delivery;
	const int64_t now = ur_gateway_now_ms();
	if (delivery->waits_from_ms == 0 ||
		now < delivery->waits_from_ms + UR_UPSTREAM_SILENCE_MS) {
		return;
	}
	assert(delivery->busy);
	delivery->waits_from_ms = 0;
	ur_delivery_explain(session,
		"immich-server has not answered to a question about it for %d s; it is waited for",
		UR_UPSTREAM_SILENCE_MS / 1000);
	if (gateway->silence_told_ms == 0 || now >= gateway->silence_told_ms + SILENCE_AGAIN_MS) {
		gateway->silence_told_ms = now;
		ur_gateway_log(gateway, 4,
			"upload %s: immich-server has not answered for %d s; it is waited for",
			session->upload->id, UR_UPSTREAM_SILENCE_MS / 1000);
	}
}

void ur_delivery_tick(struct ur_gateway *gateway)
{
	struct ur_session **at = &gateway->deliveries;
	unsigned busy = 0;
	while (*at != NULL) {
		struct ur_session *session = *at;
		if (busy < BUSY_MAX) {
			advance(session);
		}
		busy += session->delivery->busy ? 1 : 0;
		tell_silence(session);
		if (is_over(session)) {
			assert(ur_spool_is_over(&session->upload->outcome));
			ur_delivery_free(session); // takes it off the list
			ur_session_rest(session);
		} else {
			at = &session->delivery->next;
		}
	}
}

void ur_delivery_welcome(struct ur_gateway *gateway, const struct ur_visitor *who,
	const struct ur_credential *credential)
{
	assert(credential->line[0] != '\0');
	if (!who->may_upload) {
		return;
	}
	assert(who->user[0] != '\0');
	for (struct ur_session *at = gateway->deliveries; at != NULL; at = at->delivery->next) {
		struct ur_delivery *delivery = at->delivery;
		const bool lacks_key =
			delivery->step == UR_DELIVERY_KEY && !delivery->has_credential;
		const bool lacks_proof = delivery->lacks_proof && !delivery->busy &&
					 who->may_read && who->may_download;
		if ((lacks_key || lacks_proof) && strcmp(at->upload->owner, who->user) == 0) {
			delivery->credential = *credential;
			delivery->has_credential = true;
			delivery->lacks_proof = false;
			delivery->due_ms = ur_gateway_now_ms();
			ur_delivery_keep_credential(gateway, at->upload, credential);
		}
	}
}

bool ur_delivery_has_key(const struct ur_spool_upload *upload)
{
	const struct ur_session *session = upload->session;
	return session != NULL && session->delivery != NULL && session->delivery->has_credential;
}

int64_t ur_delivery_arrives_until_ms(const struct ur_spool_upload *upload)
{
	const struct ur_session *session = upload->session;
	return session == NULL || session->delivery == NULL ? 0 : session->delivery->lost_until_ms;
}

bool ur_delivery_is_busy(const struct ur_session *session)
{
	bool busy = session->delivery != NULL && session->delivery->busy;
	for (const struct ur_session *at = session->gateway->deliveries;
		at != NULL && session->upload->is_sidecar && !busy; at = at->delivery->next) {
		busy = at->delivery->related == session->upload && at->delivery->busy;
	}
	return busy;
}

void ur_delivery_unrelate(struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	for (struct ur_session *at = gateway->deliveries; at != NULL && upload->is_sidecar;
		at = at->delivery->next) {
		if (at->delivery->related == upload) {
			at->delivery->related = NULL;
		}
	}
}
