/*
 * confirm - what the server is asked: whether the bytes are there already, and whether it
 * holds what it was given (promise 1).  Nothing is let go but by its answers.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/gateway/upstream.h"
#include "engine/net/proof.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS 60000
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define STRANGERS_PAUSE_MS 300000 // what is not the server's word does not stop it for a day

/* ---- questions ------------------------------------------------------------------------------- */

static void read_check(struct ur_session *session);
static void read_asset(struct ur_session *session);
static void read_bytes(struct ur_session *session);
static void unconfirmed(struct ur_session *session, const char *why);

static void read_answer(struct ur_session *session)
{
	switch (session->delivery->step) {
	case UR_DELIVERY_CHECK:
		read_check(session);
		return;
	case UR_DELIVERY_SEND:
		ur_delivery_read_sent(session);
		return;
	case UR_DELIVERY_ASSET:
		read_asset(session);
		return;
	case UR_DELIVERY_BYTES:
		read_bytes(session);
		return;
	case UR_DELIVERY_KEY:
	case UR_DELIVERY_RELATED:
	case UR_DELIVERY_SETTLED:
		break;
	}
	assert(!"an answer to a question that was not asked");
}

static void on_answer(struct ur_post *post)
{
	struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)post - offsetof(struct ur_delivery, post));
	struct ur_session *session = delivery->request.context;
	delivery->busy = false;
	if (delivery->step == UR_DELIVERY_SEND) {
		session->gateway->carrying--;
		if (delivery->fd >= 0) {
			(void)close(delivery->fd);
			delivery->fd = -1;
		}
	}
	if (ur_proof_is_own(&delivery->request) && delivery->request.status < 300) {
		ur_upstream_note(session->gateway, true, "");
	}
	read_answer(session);
	ur_delivery_advance(session);
}

struct ur_answer ur_delivery_answer(
	const struct ur_delivery *delivery, enum ur_asked asked, bool readable)
{
	const struct ur_request *request = &delivery->request;
	return (struct ur_answer){
		.asked = asked,
		.result = request->result,
		.status = request->status,
		.own = ur_proof_is_own(request),
		.readable = readable,
		.quota = ur_immich_is_quota(request->status, ur_text_get(&request->answer)),
		.body_gone = request->body_gone,
	};
}

static void drop_key(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	ur_delivery_explain(
		session, "immich-server refuses this key; " UR_DELIVERY_WAITS_FOR_OWNER);
	ur_gateway_log(session->gateway, 4,
		"upload %s: immich-server refuses its owner's key; " UR_DELIVERY_WAITS_FOR_OWNER,
		session->upload->id);
	if (delivery->has_credential) {
		ur_gate_forget(session->gateway->gate, &delivery->credential);
	}
	ur_delivery_forget_credential(delivery);
	(void)ur_spool_wipe(session->upload, UR_DELIVERY_KEY_NAME);
	ur_delivery_go(session, UR_DELIVERY_KEY, 0);
}

void ur_delivery_follow(struct ur_session *session, enum ur_follow follow)
{
	struct ur_delivery *delivery = session->delivery;
	switch (follow) {
	case UR_FOLLOW_AGAIN:
		ur_delivery_again(session,
			delivery->step == UR_DELIVERY_SEND ? UR_DELIVERY_CHECK : delivery->step);
		return;
	case UR_FOLLOW_DOUBT:
		delivery->suspect = true;
		if (delivery->request.result < 0) {
			delivery->lost_until_ms =
				ur_gateway_now_ms() + ur_delivery_lost_ms(session->gateway);
		}
		ur_delivery_again(session, UR_DELIVERY_CHECK);
		return;
	case UR_FOLLOW_GONE: // or never quite there: as if it had not been sent
		delivery->suspect = true;
		delivery->outcome.asset[0] = '\0';
		delivery->related = NULL; // gathered anew: it goes along again, or stays
		ur_delivery_again(session, UR_DELIVERY_RELATED);
		return;
	case UR_FOLLOW_KEY:
		drop_key(session);
		return;
	case UR_FOLLOW_RIGHTS:
		delivery->lacks_proof = true;
		unconfirmed(session,
			"delivered, but this key lacks asset.read or asset.download: the bytes are kept "
			"here until a key comes by that lets the server prove that it holds them");
		return;
	case UR_FOLLOW_READ:
	case UR_FOLLOW_QUOTA:
	case UR_FOLLOW_REFUSED:
	case UR_FOLLOW_MISSED:
		break;
	}
	assert(!"only one question has this answer");
}

static void answered(struct ur_request *request)
{
	struct ur_session *session = request->context;
	session->delivery->post.run = on_answer;
	ur_httpd_post(session->gateway->httpd, &session->delivery->post);
}

struct ur_request *ur_delivery_new_request(
	struct ur_session *session, const char *method, const char *path)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_request *request = &delivery->request;
	ur_request_done(request);
	*request = (struct ur_request){
		.method = method,
		.path = path,
		.answer_wait_ms = ASK_MS,
		.answer_max = 1u << 20,
		.done = answered,
		.owner = delivery,
		.context = session,
	};
	(void)snprintf(
		request->header[0], sizeof request->header[0], "%s", delivery->credential.line);
	delivery->busy = true;
	return request;
}

/** Said once for all deliveries, and of each in its status. */
static void explain_again(struct ur_session *session)
{
	const struct ur_request *request = &session->delivery->request;
	char why[160] = "no answer";
	if (request->result < 0) {
		ur_delivery_explain(
			session, "immich-server does not answer at present; it is tried again");
		(void)snprintf(why, sizeof why, "%.150s", request->err.text);
	} else if (!ur_proof_is_own(request)) {
		ur_delivery_explain(session,
			"something else answers in immich-server's place (HTTP %d); it is tried again",
			request->status);
		(void)snprintf(why, sizeof why,
			"HTTP %d without its marks, so something else answers in its place",
			request->status);
	} else {
		ur_delivery_explain(session,
			"immich-server answers %d at present; it is tried again", request->status);
		(void)snprintf(why, sizeof why, "HTTP %d", request->status);
	}
	ur_upstream_note(session->gateway, false, why);
}

void ur_delivery_again(struct ur_session *session, enum ur_delivery_step step)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	int64_t asked = request->result == 0 ? request->retry_after_ms : -1;
	const bool as_it_should =
		ur_proof_is_own(request) && request->status < 500 && request->status != 429;
	delivery->pauses++;
	if (!as_it_should) {
		explain_again(session);
	}
	if (!ur_proof_is_own(request) && asked > STRANGERS_PAUSE_MS) {
		asked = STRANGERS_PAUSE_MS;
	}
	ur_delivery_go(session, step, ur_delivery_pause_ms(delivery, asked));
}

/* ---- is it there already? -------------------------------------------------------------------- */

void ur_delivery_check(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_request *request =
		ur_delivery_new_request(session, "POST", "/api/assets/bulk-upload-check");
	ur_text_clear(&delivery->head);
	ur_immich_check_begin(&delivery->head);
	ur_immich_check_add(&delivery->head, 0, session->upload->sha1);
	ur_immich_check_end(&delivery->head);
	if (!ur_text_ok(&delivery->head)) {
		delivery->busy = false;
		ur_delivery_again(session, UR_DELIVERY_CHECK);
		return;
	}
	request->content_type = "application/json";
	request->pieces[0] = (struct ur_piece){
		.bytes = ur_text_get(&delivery->head), .size = delivery->head.size};
	request->piece_count = 1;
	ur_http_submit(session->gateway->ask, request);
}

static void found_there(struct ur_session *session, const char *asset)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_spool_outcome *outcome = &delivery->outcome;
	delivery->pauses = 0;
	*outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_DELIVERED,
		.duplicate = !delivery->suspect,
		.suspect = delivery->suspect,
		.there_ran_ms = ur_spool_ran_ms(session->gateway->spool),
		.missed_ran_ms = UR_SPOOL_NEVER,
	};
	memcpy(outcome->asset, asset, sizeof outcome->asset);
	(void)snprintf(outcome->words, sizeof outcome->words, "%s",
		delivery->suspect ? "delivered; the server's answer was lost, so its bytes are "
				    "asked for later"
				  : "the server had it already");
	ur_delivery_settle_outcome(session, UR_DELIVERY_ASSET, ur_delivery_wait_ms(session));
}

/** Not a refusal of these bytes: what becomes of the copy in the trash is for somebody to decide. */
static void found_trashed(struct ur_session *session, const char *asset)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_spool_outcome *outcome = &delivery->outcome;
	const bool known = session->upload->outcome.state == UR_SPOOL_REFUSED;
	*outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_REFUSED,
		.status = UR_STATUS_TRASHED,
		.trashed = true,
		.missed_ran_ms = UR_SPOOL_NEVER,
	};
	memcpy(outcome->asset, asset, sizeof outcome->asset);
	(void)snprintf(outcome->words, sizeof outcome->words,
		"it is in the server's trash, and the bytes are kept here: restore it there, or "
		"upload it anew");
	if (!known) {
		ur_delivery_note_refusal(session);
	}
	ur_delivery_settle_outcome(session, UR_DELIVERY_CHECK, DAY_MS);
}

static void read_check(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_check said = {0};
	const char *text = ur_text_get(&delivery->request.answer);
	const bool told =
		delivery->request.status == 200 && ur_immich_check_read(text, &said, 1, NULL) == 0;
	const struct ur_answer answer = ur_delivery_answer(delivery, UR_ASKED_CHECK, told);
	const enum ur_follow follow = ur_verdict(&answer);
	const bool may_come = ur_gateway_now_ms() < delivery->lost_until_ms;
	if (follow != UR_FOLLOW_READ) {
		ur_delivery_follow(session, follow);
	} else if (said.there && said.trashed) {
		found_trashed(session, said.asset);
	} else if (said.there) {
		found_there(session, said.asset);
	} else if (may_come) {
		ur_delivery_again(session, UR_DELIVERY_CHECK);
	} else {
		ur_delivery_begin_send(session);
	}
}

/* ---- promise 1 ------------------------------------------------------------------------------- */

/** On http's thread.  Where something drops the Range, all of them are as good a proof as the last. */
static int count_bytes(struct ur_request *request, const void *bytes, size_t size)
{
	struct ur_delivery *delivery = request->owner;
	(void)bytes;
	delivery->counted += size;
	return 0;
}

void ur_delivery_ask_asset(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const bool bytes = delivery->step == UR_DELIVERY_BYTES;
	const uint64_t length = session->upload->length;
	(void)snprintf(delivery->path, sizeof delivery->path, "/api/assets/%s%s",
		session->upload->outcome.asset, bytes ? "/original" : "");
	struct ur_request *request = ur_delivery_new_request(session, "GET", delivery->path);
	if (bytes) {
		(void)snprintf(request->header[1], sizeof request->header[1],
			"Range: bytes=%" PRIu64 "-%" PRIu64, length - 1, length - 1);
		request->sink = count_bytes;
		delivery->counted = 0;
	}
	ur_http_submit(session->gateway->ask, request);
}

/** The server cannot show it: the bytes stay here, and it is asked again tomorrow. */
static void unconfirmed(struct ur_session *session, const char *why)
{
	struct ur_delivery *delivery = session->delivery;
	ur_gateway_log(session->gateway, 3, "upload %s, asset %s: %s", session->upload->id,
		session->upload->outcome.asset, why);
	delivery->outcome = session->upload->outcome;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", why);
	ur_delivery_settle_outcome(session, UR_DELIVERY_ASSET, DAY_MS);
}

static void read_proof(struct ur_session *session, const struct ur_asset *asset)
{
	const struct ur_spool_upload *upload = session->upload;
	switch (ur_immich_prove(asset, upload->sha1, upload->owner)) {
	case UR_PROOF_HOLDS:
		ur_delivery_go(session, UR_DELIVERY_BYTES, 0);
		return;
	case UR_PROOF_OTHER_BYTES:
		unconfirmed(session, "the server stored other bytes; they are kept here");
		return;
	case UR_PROOF_OTHER_OWNER:
		unconfirmed(session, "the asset belongs to another user; the bytes are kept here");
		return;
	case UR_PROOF_TRASHED:
		unconfirmed(session, "it is in the server's trash; the bytes are kept here");
		return;
	case UR_PROOF_EXTERNAL:
		unconfirmed(
			session, "the asset is in an external library; the bytes are kept here");
		return;
	}
}

static void read_asset(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_asset asset = {0};
	const char *text = ur_text_get(&delivery->request.answer);
	const bool told =
		delivery->request.status == 200 && ur_immich_asset_read(text, &asset, NULL) == 0;
	const struct ur_answer answer = ur_delivery_answer(delivery, UR_ASKED_ASSET, told);
	const enum ur_follow follow = ur_verdict(&answer);
	if (follow == UR_FOLLOW_READ) {
		read_proof(session, &asset);
	} else {
		ur_delivery_follow(session, follow);
	}
}

static void confirmed(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	gateway->counters.duplicates += session->upload->outcome.duplicate ? 1 : 0;
	gateway->proved_ran_ms = ur_spool_ran_ms(gateway->spool);
	delivery->outcome = session->upload->outcome;
	delivery->outcome.state = UR_SPOOL_CONFIRMED;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
		delivery->outcome.duplicate ? "the server had it already" : "the server holds it");
	ur_delivery_settle_outcome(session, UR_DELIVERY_SETTLED, 0);
}

/** Of many it is the server's failure, and passes; of one it may be the file's, a day later. */
static void missed(struct ur_session *session)
{
	static const char now[] =
		"the server names it but does not give its bytes now; kept here, and asked again";
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	const int64_t ran_ms = ur_spool_ran_ms(gateway->spool);
	switch (ur_verdict_miss(
		session->upload->outcome.missed_ran_ms, gateway->proved_ran_ms, ran_ms)) {
	case UR_MISS_FIRST:
		delivery->suspect = true;
		delivery->outcome = session->upload->outcome;
		delivery->outcome.missed_ran_ms = ran_ms;
		(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", now);
		ur_gateway_log(gateway, 4, "upload %s, asset %s: %s (HTTP %d)", session->upload->id,
			session->upload->outcome.asset, now, delivery->request.status);
		delivery->pauses++;
		ur_delivery_settle_outcome(
			session, UR_DELIVERY_ASSET, ur_delivery_pause_ms(delivery, -1));
		return;
	case UR_MISS_AGAIN:
		delivery->pauses++;
		ur_delivery_go(session, UR_DELIVERY_ASSET, ur_delivery_pause_ms(delivery, -1));
		return;
	case UR_MISS_BROKEN:
		unconfirmed(session,
			"broken there: the server names it but has not given its bytes for a day, while "
			"it gives others; they are kept here");
		return;
	}
}

static void read_bytes(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	const uint64_t length = session->upload->length;
	const bool part = request->status == 206 && delivery->counted == 1 &&
			  ur_immich_total(request->content_range) == (int64_t)length;
	const bool whole = request->status == 200 && delivery->counted == length;
	const struct ur_answer answer = ur_delivery_answer(delivery, UR_ASKED_BYTES, part || whole);
	const enum ur_follow follow = ur_verdict(&answer);
	if (follow == UR_FOLLOW_READ) {
		confirmed(session);
	} else if (follow == UR_FOLLOW_MISSED) {
		missed(session);
	} else {
		ur_delivery_follow(session, follow);
	}
}
