/*
 * delivery_confirm - what the server is asked: whether the bytes are there already, and whether it
 * holds what it was given (promise 1).  Nothing is let go but by its answers.
 */
#include "engine/gateway/delivery_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS 60000
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define VERSION_MS (3600 * INT64_C(1000))

/** One line when it goes, one when it comes back, however many deliveries wait. */
static void note_server(struct ur_gateway *gateway, bool answers)
{
	if (gateway->server_away && answers) {
		ur_gateway_log(gateway, 5, "immich-server answers again");
	} else if (!gateway->server_away && !answers) {
		ur_gateway_log(gateway, 4,
			"immich-server does not answer as it should; deliveries wait for it");
	}
	gateway->server_away = !answers;
}

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
	const struct ur_request *request = &delivery->request;
	delivery->busy = false;
	if (delivery->step == UR_DELIVERY_SEND) {
		session->gateway->carrying--;
		if (delivery->fd >= 0) {
			(void)close(delivery->fd);
			delivery->fd = -1;
		}
	}
	const bool proving =
		delivery->step == UR_DELIVERY_ASSET || delivery->step == UR_DELIVERY_BYTES;
	if (request->result == 0 && request->status == 403 && proving) {
		delivery->lacks_proof = true;
		unconfirmed(session,
			"delivered, but this key lacks asset.read or asset.download: the bytes are kept "
			"here until a key comes by that lets the server prove that it holds them");
		return;
	}
	if (request->result == 0 && request->status < 300) {
		note_server(session->gateway, true);
	}
	if (request->result == 0 && (request->status == 401 || request->status == 403)) {
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
		return;
	}
	read_answer(session);
	ur_delivery_advance(session);
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

void ur_delivery_again(struct ur_session *session, enum ur_delivery_step step)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	const int64_t asked = request->retry_after_ms;
	const bool away = request->result < 0 || request->status >= 500 || request->status == 429;
	delivery->pauses++;
	if (away) {
		note_server(session->gateway, false);
	}
	if (request->result < 0) {
		ur_delivery_explain(
			session, "immich-server does not answer at present; it is tried again");
	} else if (away) {
		ur_delivery_explain(session,
			"immich-server answers %d at present; it is tried again", request->status);
	}
	ur_delivery_go(
		session, step, ur_delivery_pause_ms(delivery, request->result == 0 ? asked : -1));
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
	delivery->outcome.state = UR_SPOOL_DELIVERED;
	delivery->outcome.status = delivery->suspect ? UR_DELIVERY_DOUBTFUL : 0;
	delivery->pauses = 0;
	delivery->outcome.duplicate = !delivery->suspect;
	memcpy(delivery->outcome.asset, asset, sizeof delivery->outcome.asset);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
		delivery->suspect ? "delivered; the server's answer was lost, so its bytes are "
				    "asked for later"
				  : "the server had it already");
	ur_delivery_settle_outcome(session, UR_DELIVERY_ASSET,
		delivery->suspect ? session->gateway->limits.suspect_wait_ms : 0);
}

static void read_check(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	struct ur_check said = {0};
	const bool told = request->result == 0 && request->status == 200 &&
			  ur_immich_check_read(ur_text_get(&request->answer), &said, 1, NULL) == 0;
	const bool may_come = ur_gateway_now_ms() < delivery->lost_until_ms;
	if (!told || (!said.there && may_come)) {
		ur_delivery_again(session, UR_DELIVERY_CHECK);
	} else if (said.there && said.trashed) {
		delivery->outcome.trashed = true;
		memcpy(delivery->outcome.asset, said.asset, sizeof said.asset);
		ur_delivery_refuse(session, 409,
			"it is in the server's trash: restore it there, or delete it for good and "
			"upload it again");
	} else if (said.there) {
		found_there(session, said.asset);
	} else {
		ur_delivery_begin_send(session);
	}
}

/* ---- promise 1 ------------------------------------------------------------------------------- */

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

static void read_asset(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	const struct ur_spool_upload *upload = session->upload;
	struct ur_asset asset = {0};
	if (request->result < 0 || request->status >= 500 || request->status == 429 ||
		request->status == 408) {
		ur_delivery_again(session, UR_DELIVERY_ASSET);
		return;
	}
	if (request->status != 200) {
		/* Gone again, or never quite there: as if it had not been sent. */
		delivery->suspect = true;
		delivery->outcome.asset[0] = '\0';
		ur_delivery_again(session, UR_DELIVERY_CHECK);
		return;
	}
	if (ur_immich_asset_read(ur_text_get(&request->answer), &asset, NULL) < 0) {
		ur_delivery_again(session, UR_DELIVERY_ASSET);
		return;
	}
	switch (ur_immich_prove(&asset, upload->sha1, upload->owner)) {
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

static void read_bytes(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	struct ur_gateway *gateway = session->gateway;
	if (request->result == 0 && request->status == 206 &&
		ur_immich_total(request->content_range) == (int64_t)session->upload->length) {
		gateway->counters.duplicates += session->upload->outcome.duplicate ? 1 : 0;
		delivery->outcome = session->upload->outcome;
		delivery->outcome.state = UR_SPOOL_CONFIRMED;
		(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
			delivery->outcome.duplicate ? "the server had it already"
						    : "the server holds it");
		ur_delivery_settle_outcome(session, UR_DELIVERY_SETTLED, 0);
	} else if (request->result < 0 || request->status == 429 || request->status == 408 ||
		   request->status == 502 || request->status == 503 || request->status == 504) {
		ur_delivery_again(session, UR_DELIVERY_BYTES);
	} else {
		unconfirmed(session,
			"broken there: the server names it but does not give its bytes; they are kept "
			"here");
	}
}

/* ---- the server's version -------------------------------------------------------------------- */

static void on_version(struct ur_post *post)
{
	struct ur_gateway *gateway =
		(struct ur_gateway *)((char *)post - offsetof(struct ur_gateway, version_post));
	const struct ur_request *request = &gateway->version_request;
	gateway->version_asking = false;
	gateway->version_until_ms = ur_gateway_now_ms() + 2000;
	if (request->result == 0 && request->status == 200 &&
		ur_immich_read_version(ur_text_get(&request->answer), &gateway->server, NULL) ==
			0) {
		gateway->version_until_ms = ur_gateway_now_ms() + VERSION_MS;
	}
	note_server(gateway, gateway->server.dialect != NULL);
}

static void version_answered(struct ur_request *request)
{
	struct ur_gateway *gateway = request->owner;
	gateway->version_post.run = on_version;
	ur_httpd_post(gateway->httpd, &gateway->version_post);
}

void ur_delivery_ask_version(struct ur_gateway *gateway)
{
	if (gateway->version_asking || ur_gateway_now_ms() < gateway->version_until_ms) {
		return;
	}
	ur_request_done(&gateway->version_request);
	gateway->version_request = (struct ur_request){
		.method = "GET",
		.path = "/api/server/version",
		.answer_wait_ms = ASK_MS,
		.answer_max = 64u << 10,
		.done = version_answered,
		.owner = gateway,
	};
	gateway->version_asking = true;
	ur_http_submit(gateway->ask, &gateway->version_request);
}
