/*
 * follow - what an answer leads to.
 *
 *     answer ─▶ put: its verdict, its next question ─▶ the outcome, in words ─▶ ur_next
 *
 * put decides what is asked next; here it is said what that means for this upload, what is written
 * down, and how long it is left alone.  Where put is over and the upload is not, it begins anew.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/retry.h"
#include "engine/gateway/gate.h"
#include "engine/gateway/upstream.h"
#include "engine/net/proof.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define STRANGERS_PAUSE_MS 300000 // what is not the server's word does not stop it for a day

static struct ur_next written(enum ur_delivery_step step, int64_t wait_ms)
{
	return (struct ur_next){.step = step, .wait_ms = wait_ms, .conclude = true};
}

void ur_delivery_explain(struct ur_session *session, const char *format, ...)
{
	struct ur_spool_outcome *outcome = &session->upload->outcome;
	va_list list;
	if (outcome->state == UR_SPOOL_REFUSED) {
		return; // the server's own reason stays until there is another
	}
	va_start(list, format);
	(void)vsnprintf(outcome->words, sizeof outcome->words, format, list);
	va_end(list);
}

void ur_delivery_restart(struct ur_delivery *delivery, enum ur_put_state from)
{
	const bool doubted = delivery->put.doubted;
	assert(!delivery->busy);
	assert(from == UR_PUT_CHECK || from == UR_PUT_ASSET);
	/* What is doubted may still arrive. */
	ur_put_start(&delivery->put, &ur_put_gateway,
		doubted && from == UR_PUT_CHECK ? UR_PUT_LOST : from, doubted);
}

/* ---- it may pass ----------------------------------------------------------------------------- */

/** Said once for all deliveries, and of each in its status. */
static void explain_again(struct ur_session *session)
{
	const struct ur_request *request = &session->delivery->request;
	if (request->result < 0) {
		ur_delivery_explain(
			session, "immich-server does not answer at present; it is tried again");
	} else if (!ur_proof_is_own(request)) {
		ur_delivery_explain(session,
			"something else answers in immich-server's place (HTTP %d); it is tried again",
			request->status);
	} else {
		ur_delivery_explain(session,
			"immich-server answers %d at present; it is tried again", request->status);
	}
	ur_upstream_doubt(session->gateway, request, NULL);
}

struct ur_next ur_delivery_again(struct ur_session *session, enum ur_delivery_step step)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	int64_t asked = request->result == 0 ? request->retry_after_ms : -1;
	const bool own = ur_proof_is_own(request);
	const bool as_it_should = own && !ur_retry_may_pass(request->result, request->status);
	assert(!delivery->busy);
	delivery->pauses++;
	if (!as_it_should) {
		explain_again(session);
	}
	if (!own && asked > STRANGERS_PAUSE_MS) {
		asked = STRANGERS_PAUSE_MS;
	}
	return ur_next_later(step, ur_delivery_pause_ms(delivery, asked));
}

/** The same question; or, of a body that may have arrived, whether it has. */
static struct ur_next unheard(struct ur_session *session, const struct ur_put_answer *answer)
{
	assert(session->delivery->put.state != UR_PUT_OVER);
	struct ur_delivery *delivery = session->delivery;
	if (answer->asked == UR_PUT_SEND && ur_put_may_come(answer)) {
		delivery->lost_until_ms =
			ur_gateway_now_ms() + ur_delivery_lost_ms(session->gateway);
		ur_delivery_note_lost(session);
	}
	return ur_delivery_again(session, UR_DELIVERY_PUT);
}

/* ---- no --------------------------------------------------------------------------------------- */

static void note_refusal(struct ur_session *session)
{
	assert(session->delivery->outcome.state == UR_SPOOL_REFUSED);
	session->gateway->counters.refused++;
	ur_gateway_log(session->gateway, 4, "upload %s: immich-server refuses it: %s",
		session->upload->id, session->delivery->outcome.words);
}

struct ur_next ur_delivery_refuse(struct ur_session *session, int status, const char *words)
{
	struct ur_delivery *delivery = session->delivery;
	delivery->outcome.state = UR_SPOOL_REFUSED;
	delivery->outcome.status = status;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", words);
	note_refusal(session);
	ur_gateway_log(session->gateway, 5,
		"upload %s: its bytes are kept for %lld days in which the gateway runs",
		session->upload->id,
		(long long)(session->gateway->limits.keep_refused_ms / UR_DELIVERY_DAY_MS));
	return written(UR_DELIVERY_SETTLED, 0);
}

static struct ur_next refused(struct ur_session *session, const char *words)
{
	assert(session->delivery->put.state == UR_PUT_OVER);
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->metadata != NULL);
	if (delivery->metadata->live_movie[0] != '\0' && !delivery->unlinked) {
		/* It may be the movie that is gone from the server, and no word about these bytes. */
		delivery->unlinked = true;
		ur_delivery_restart(delivery, UR_PUT_CHECK);
		return ur_delivery_again(session, UR_DELIVERY_PUT);
	}
	return ur_delivery_refuse(session, delivery->request.status, words);
}

/** Nothing is wrong with the file, and each try carries all of it: with long pauses. */
static struct ur_next wait_for_quota(struct ur_session *session, const char *words)
{
	assert(session->delivery->put.state == UR_PUT_CHECK);
	struct ur_delivery *delivery = session->delivery;
	delivery->outcome.state = UR_SPOOL_REFUSED;
	delivery->outcome.status = UR_STATUS_QUOTA;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words,
		"%.60s; it is kept here, and tried again", words);
	if (delivery->pauses++ == 0) {
		note_refusal(session);
	}
	return written(UR_DELIVERY_PUT, ur_delivery_quota_pause_ms(delivery));
}

static struct ur_next drop_key(struct ur_session *session)
{
	assert(session->delivery->put.state == UR_PUT_OVER);
	struct ur_delivery *delivery = session->delivery;
	if (delivery->has_credential) {
		ur_gate_forget(session->gateway->gate, &delivery->credential);
	}
	ur_delivery_forget_credential(delivery);
	(void)ur_spool_wipe(session->upload, UR_DELIVERY_KEY_NAME);
	ur_delivery_explain(
		session, "immich-server refuses this key; " UR_DELIVERY_WAITS_FOR_OWNER);
	ur_gateway_log(session->gateway, 4,
		"upload %s: immich-server refuses its owner's key; " UR_DELIVERY_WAITS_FOR_OWNER,
		session->upload->id);
	return ur_next_later(UR_DELIVERY_KEY, 0);
}

/* ---- is it there already? -------------------------------------------------------------------- */

/** It may be the row of an upload that is just being stored, and may fail. */
static struct ur_next ask_later(struct ur_session *session)
{
	assert(session->delivery->put.verdict == UR_PUT_THERE);
	ur_delivery_restart(session->delivery, UR_PUT_CHECK);
	return ur_next_later(UR_DELIVERY_PUT, UR_DELIVERY_TURN_MS);
}

/** Its asset is known: it is proved when it has been there for so long. */
static struct ur_next arrived(struct ur_session *session, const char *asset,
	struct ur_spool_outcome outcome, const char *words)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	assert(delivery->put.state == UR_PUT_ASSET);
	delivery->lost_until_ms = 0;
	delivery->pauses = 0;
	outcome.state = UR_SPOOL_DELIVERED;
	outcome.suspect = delivery->put.doubted;
	outcome.there_ran_ms = ur_spool_ran_ms(gateway->spool);
	outcome.missed_ran_ms = UR_SPOOL_NEVER;
	(void)snprintf(outcome.asset, sizeof outcome.asset, "%s", asset);
	(void)snprintf(outcome.words, sizeof outcome.words, "%s", words);
	delivery->outcome = outcome;
	return written(UR_DELIVERY_PUT,
		ur_delivery_wait_ms(&outcome, &gateway->limits, outcome.there_ran_ms));
}

static struct ur_next found_there(struct ur_session *session, const char *asset)
{
	struct ur_put *put = &session->delivery->put;
	assert(asset[0] != '\0');
	put->doubted = put->doubted || ur_delivery_shares_doubt(session);
	return arrived(session, asset, (struct ur_spool_outcome){.duplicate = !put->doubted},
		put->doubted
			? "delivered; the server's answer was lost, so its bytes are asked for "
			  "later"
			: "the server had it already");
}

/** Not a refusal of these bytes: what becomes of the copy in the trash is for somebody to decide. */
static struct ur_next found_trashed(struct ur_session *session, const char *asset)
{
	assert(session->delivery->put.state == UR_PUT_OVER);
	struct ur_delivery *delivery = session->delivery;
	struct ur_spool_outcome *outcome = &delivery->outcome;
	const bool known = session->upload->outcome.state == UR_SPOOL_REFUSED;
	*outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_REFUSED,
		.status = UR_STATUS_TRASHED,
		.trashed = true,
		.missed_ran_ms = UR_SPOOL_NEVER,
	};
	(void)snprintf(outcome->asset, sizeof outcome->asset, "%s", asset);
	(void)snprintf(outcome->words, sizeof outcome->words,
		"it is in the server's trash, and the bytes are kept here: restore it there, or "
		"upload it anew");
	if (!known) {
		note_refusal(session);
	}
	ur_delivery_restart(delivery, UR_PUT_CHECK);
	return written(UR_DELIVERY_PUT, UR_DELIVERY_DAY_MS);
}

/* ---- it is sent ------------------------------------------------------------------------------- */

/** What the process may not forget: from now on the server may have it without our knowing. */
static struct ur_next begin_send(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_gateway *gateway = session->gateway;
	assert(delivery->put.state == UR_PUT_SEND);
	if (gateway->server.dialect == NULL || gateway->carrying >= gateway->limits.deliveries ||
		ur_delivery_is_twin(session)) {
		ur_delivery_restart(delivery, UR_PUT_CHECK);
		return ur_next_later(
			UR_DELIVERY_PUT, UR_DELIVERY_TURN_MS); // in the meantime it may have come
	}
	delivery->outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_COMPLETE, .missed_ran_ms = UR_SPOOL_NEVER};
	ur_delivery_take_wire(session);
	ur_delivery_name_sidecar(delivery, &delivery->outcome);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words,
		"being delivered to immich-server");
	delivery->tries++;
	return written(UR_DELIVERY_PUT, 0);
}

static struct ur_next sent(struct ur_session *session, const struct ur_heard *heard)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	const bool duplicate = heard->answer.duplicate || heard->answer.status == 200;
	struct ur_spool_outcome outcome = {.duplicate = duplicate, .status = heard->answer.status};
	assert(heard->asset[0] != '\0');
	assert(!duplicate || delivery->put.doubted); // we had just been told that it is not there
	gateway->counters.bytes_delivered += session->upload->length;
	gateway->counters.delivered += duplicate ? 0 : 1;
	ur_delivery_name_sidecar(delivery, &outcome);
	return arrived(session, heard->asset, outcome,
		duplicate ? "the server says duplicate to bytes that it had not known before; they "
			    "are asked for later"
			  : "delivered");
}

/* ---- promise 1 ------------------------------------------------------------------------------- */

/** The server cannot show it: the bytes stay here, and it is asked again tomorrow. */
static struct ur_next unconfirmed(struct ur_session *session, const char *why)
{
	struct ur_delivery *delivery = session->delivery;
	assert(session->upload->outcome.state == UR_SPOOL_DELIVERED);
	ur_gateway_log(session->gateway, 3, "upload %s, asset %s: %s", session->upload->id,
		session->upload->outcome.asset, why);
	delivery->outcome = session->upload->outcome;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", why);
	ur_delivery_restart(delivery, UR_PUT_ASSET);
	return written(UR_DELIVERY_PUT, UR_DELIVERY_DAY_MS);
}

static struct ur_next lacks_rights(struct ur_session *session)
{
	assert(session->delivery->put.state == UR_PUT_OVER);
	session->delivery->lacks_proof = true;
	return unconfirmed(session,
		"delivered, but this key lacks asset.read or asset.download: the bytes are kept "
		"here until a key comes by that lets the server prove that it holds them");
}

/** Gone, or never quite there: as if it had not been sent. */
static struct ur_next gone(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->put.doubted);
	delivery->outcome.asset[0] = '\0';
	delivery->related = NULL; // gathered anew: it goes along again, or stays
	ur_delivery_restart(delivery, UR_PUT_CHECK);
	return ur_delivery_again(session, UR_DELIVERY_RELATED);
}

/**
 * The asset that was named for it is of other bytes: these never got there, or somebody else's answer was
 * taken for theirs.  They are sent again, tomorrow: what damages them on the way leaves an asset a time.
 */
static struct ur_next never_arrived(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->put.verdict == UR_PUT_OTHER_BYTES);
	delivery->outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_COMPLETE, .missed_ran_ms = UR_SPOOL_NEVER};
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words,
		"the server stored other bytes (asset %s); these are kept here, and sent again in a "
		"day",
		session->upload->outcome.asset);
	ur_gateway_log(
		session->gateway, 3, "upload %s: %s", session->upload->id, delivery->outcome.words);
	delivery->related = NULL; // gathered anew: it goes along again, or stays
	ur_delivery_restart(delivery, UR_PUT_CHECK);
	return written(UR_DELIVERY_RELATED, UR_DELIVERY_DAY_MS);
}

static struct ur_next confirmed(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	assert(delivery->put.state == UR_PUT_PROVED);
	assert(session->upload->outcome.state == UR_SPOOL_DELIVERED);
	gateway->counters.duplicates += session->upload->outcome.duplicate ? 1 : 0;
	gateway->proved_ran_ms = ur_spool_ran_ms(gateway->spool);
	delivery->outcome = session->upload->outcome;
	delivery->outcome.state = UR_SPOOL_CONFIRMED;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
		delivery->outcome.duplicate ? "the server had it already" : "the server holds it");
	return written(UR_DELIVERY_SETTLED, 0);
}

static struct ur_next missed_first(struct ur_session *session)
{
	assert(session->upload->outcome.missed_ran_ms < 0);
	static const char now[] =
		"the server names it but does not give its bytes now; kept here, and asked again";
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	delivery->put.doubted = true;
	delivery->outcome = session->upload->outcome;
	delivery->outcome.missed_ran_ms = ur_spool_ran_ms(gateway->spool);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", now);
	ur_gateway_log(gateway, 4, "upload %s, asset %s: %s (HTTP %d)", session->upload->id,
		session->upload->outcome.asset, now, delivery->request.status);
	delivery->pauses++;
	return written(UR_DELIVERY_PUT, ur_delivery_pause_ms(delivery, -1));
}

/** Of many it is the server's failure, and passes; of one it may be the file's, a day later. */
static struct ur_next missed(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_gateway *gateway = session->gateway;
	assert(delivery->put.state == UR_PUT_ASSET);
	switch (ur_delivery_miss(session->upload->outcome.missed_ran_ms, gateway->proved_ran_ms,
		ur_spool_ran_ms(gateway->spool))) {
	case UR_MISS_FIRST:
		return missed_first(session);
	case UR_MISS_AGAIN:
		break;
	case UR_MISS_BROKEN:
		return unconfirmed(session,
			"broken there: the server names it but has not given its bytes for a day, while "
			"it gives others; they are kept here");
	}
	delivery->pauses++;
	return ur_next_later(UR_DELIVERY_PUT, ur_delivery_pause_ms(delivery, -1));
}

/* ---- the table ------------------------------------------------------------------------------- */

struct ur_next ur_delivery_hear(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	const enum ur_put_state asked = delivery->put.state;
	char words[UR_MESSAGE_MAX];
	struct ur_heard heard;
	assert(delivery->step == UR_DELIVERY_PUT);
	assert(!delivery->busy);
	ur_delivery_read_answer(session, &heard);
	ur_immich_message(request->status, ur_text_get(&request->answer), request->html, words);
	(void)ur_put_step(&delivery->put, &heard.answer);
	switch (delivery->put.verdict) {
	case UR_PUT_ABSENT:
		return delivery->put.state == UR_PUT_SEND
			       ? begin_send(session)
			       : ur_delivery_again(session, UR_DELIVERY_PUT);
	case UR_PUT_THERE:
		return ur_delivery_is_twin(session) ? ask_later(session)
						    : found_there(session, heard.asset);
	case UR_PUT_TRASHED:
		return asked == UR_PUT_ASSET
			       ? unconfirmed(session,
					 "it is in the server's trash; the bytes are kept here")
			       : found_trashed(session, heard.asset);
	case UR_PUT_CREATED:
	case UR_PUT_CLAIMED:
		return sent(session, &heard);
	case UR_PUT_QUOTA:
		return wait_for_quota(session, words);
	case UR_PUT_REFUSED:
		return refused(session, words);
	case UR_PUT_HOLDS:
		return ur_next_later(UR_DELIVERY_PUT, 0);
	case UR_PUT_GONE:
		return gone(session);
	case UR_PUT_OTHER_BYTES:
		return asked == UR_PUT_ASSET
			       ? never_arrived(session)
			       : unconfirmed(session,
					 "the server stored other bytes; these are kept here");
	case UR_PUT_OTHER_OWNER:
		return unconfirmed(
			session, "the asset belongs to another user; the bytes are kept here");
	case UR_PUT_EXTERNAL:
		return unconfirmed(
			session, "the asset is in an external library; the bytes are kept here");
	case UR_PUT_GIVEN:
		return confirmed(session);
	case UR_PUT_MISSED:
		return missed(session);
	case UR_PUT_KEY:
		return drop_key(session);
	case UR_PUT_RIGHTS:
		return lacks_rights(session);
	case UR_PUT_LATER:
	case UR_PUT_STRANGER:
	case UR_PUT_REJECTED:
	case UR_PUT_TOO_LARGE:
	case UR_PUT_UNREAD:
		return unheard(session, &heard.answer);
	case UR_PUT_NOTHING:
	case UR_PUT_VERDICTS:
		break;
	}
	assert(!"an answer without a meaning");
	return ur_next_later(UR_DELIVERY_PUT, UR_DELIVERY_DAY_MS);
}
