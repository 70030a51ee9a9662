/*
 * deliver - a complete upload goes to immich-server as one ordinary request, and is let go only
 * when the server proves that it holds it.
 *
 *     KEY → RELATED → CHECK → SEND → ASSET → BYTES → confirmed
 *             ▲         │ ▲     │
 *             │         │ └─────┘ lost, 5xx: asked by checksum before anything is sent again
 *             │         └──── it is there: straight to ASSET
 *
 *     201                    delivered; confirmed settle_after later
 *     200, or there after a doubtful ending: suspect, its bytes are asked for suspect_wait later
 *     401 403                the credential is dropped; the owner's next request brings another
 *     408 429 5xx, no answer again, for as long as it takes
 *     other 4xx              refused: kept, shown, and removed keep_refused later
 */
#include "engine/gateway/parts.h"

#include "engine/base/clock.h"
#include "engine/gateway/seal.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS 60000
#define LOST_MS 300000 // the server may store for so long after the last byte
#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS 300000
#define RELATED_MS 2000
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define VERSION_MS (3600 * INT64_C(1000))
#define SIDECAR_MAX (1u << 20)
#define KEY_NAME "key"
#define DOUBTFUL 200 // an outcome's status: delivered, but not by a 201
#define WAITS_FOR_OWNER "it waits for the next request of its owner with a key that may upload"
#define BUSY_MAX 16u // deliveries that ask or send at once

/** How long the server may still be storing what it was sent. */
static int64_t lost_ms(const struct ur_gateway *gateway)
{
	return gateway->limits.answer_wait_ms < LOST_MS ? gateway->limits.answer_wait_ms : LOST_MS;
}

static void go(struct ur_session *session, enum ur_delivery_step next, int64_t wait_ms)
{
	session->delivery->step = next;
	session->delivery->due_ms = ur_gateway_now_ms() + wait_ms;
}

/** What its status says while nothing is concluded; not on disk, a restart finds it out anew. */
static void explain(struct ur_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void explain(struct ur_session *session, const char *format, ...)
{
	struct ur_spool_outcome *outcome = &session->upload->outcome;
	va_list list;
	va_start(list, format);
	(void)vsnprintf(outcome->words, sizeof outcome->words, format, list);
	va_end(list);
}

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

/** 1 s, 2 s, 4 s … 5 min, give or take a quarter. */
static int64_t pause_ms(const struct ur_delivery *delivery, int64_t asked_ms)
{
	const unsigned doublings = delivery->pauses < 9 ? delivery->pauses : 9;
	int64_t wait = (int64_t)FIRST_PAUSE_MS << doublings;
	wait = wait > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : wait;
	wait += wait * (ur_clock_steady_ns() / 1000 % 50 - 25) / 100;
	return asked_ms > wait ? asked_ms : wait;
}

/* ---- the credential -------------------------------------------------------------------------- */

static void forget_credential(struct ur_delivery *delivery)
{
	ur_credential_wipe(&delivery->credential);
	delivery->has_credential = false;
}

/** Beside the bytes, so that a restart needs nobody; without a seal it stays in memory only. */
void ur_deliver_keep_credential(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential)
{
	uint8_t sealed[UR_SEAL_ROOM(sizeof credential->line + 1)];
	char plain[sizeof credential->line + 1];
	size_t size = 0;
	struct ur_err err = {0};
	if (!gateway->options.has_seal) {
		return;
	}
	const int written = snprintf(
		plain, sizeof plain, "%c%s", credential->is_key ? 'k' : 's', credential->line);
	int r = written < 0 ? -EIO
			    : ur_seal(gateway->options.seal, upload->id, upload->owner, plain,
				      (size_t)written, sealed, &size);
	r = r < 0 ? r : ur_spool_keep(upload, KEY_NAME, sealed, size, &err);
	OPENSSL_cleanse(plain, sizeof plain);
	if (r < 0) {
		ur_gateway_log(gateway, 4,
			"upload %s: its key could not be kept; after a restart it waits for its owner",
			upload->id);
	}
}

static void recall_credential(struct ur_session *session)
{
	const struct ur_gateway *gateway = session->gateway;
	struct ur_delivery *delivery = session->delivery;
	uint8_t sealed[UR_SEAL_ROOM(sizeof delivery->credential.line + 1)];
	char plain[sizeof sealed];
	size_t size = 0;
	size_t opened = 0;
	if (gateway->options.has_seal &&
		ur_spool_recall(session->upload, KEY_NAME, sealed, sizeof sealed, &size) == 0 &&
		ur_unseal(gateway->options.seal, session->upload->id, session->upload->owner,
			sealed, size, plain, &opened) == 0 &&
		opened > 1 && opened <= sizeof delivery->credential.line) {
		delivery->credential.is_key = plain[0] == 'k';
		memcpy(delivery->credential.line, plain + 1, opened - 1);
		delivery->credential.line[opened - 1] = '\0';
		delivery->has_credential = true;
	}
	OPENSSL_cleanse(plain, sizeof plain);
}

/* ---- outcomes, durable ----------------------------------------------------------------------- */

/** A sidecar has its picture's fate, but beside a picture that was there already it did not travel. */
static void judge_sidecar(struct ur_delivery *delivery)
{
	struct ur_spool_outcome *outcome = &delivery->related_outcome;
	*outcome = delivery->outcome;
	if (outcome->duplicate) {
		outcome->state = UR_SPOOL_REFUSED;
		(void)snprintf(outcome->words, sizeof outcome->words,
			"its picture was on the server already, and a sidecar travels only with a new one");
	}
}

static struct ur_session *session_of(struct ur_job *job)
{
	const struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)job - offsetof(struct ur_delivery, job));
	return delivery->request.context;
}

static bool is_last(const struct ur_delivery *delivery)
{
	return delivery->outcome.state == UR_SPOOL_CONFIRMED ||
	       delivery->outcome.state == UR_SPOOL_REFUSED;
}

static void conclude(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	struct ur_delivery *delivery = session->delivery;
	delivery->result = ur_spool_conclude(session->upload, &delivery->outcome, &delivery->err);
	if (delivery->result == 0 && delivery->related != NULL &&
		delivery->outcome.state == UR_SPOOL_CONFIRMED) {
		judge_sidecar(delivery);
		delivery->result = ur_spool_conclude(
			delivery->related, &delivery->related_outcome, &delivery->err);
	}
}

/** Its end is on disk and known: what is not needed any more goes. */
static void tidy(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	struct ur_delivery *delivery = session->delivery;
	(void)ur_spool_wipe(session->upload, KEY_NAME);
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED) {
		delivery->result = ur_spool_empty(session->upload, &delivery->err);
	}
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED && delivery->related != NULL) {
		(void)ur_spool_wipe(delivery->related, KEY_NAME);
		if (delivery->result == 0 &&
			delivery->related_outcome.state == UR_SPOOL_CONFIRMED) {
			delivery->result = ur_spool_empty(delivery->related, &delivery->err);
		}
	}
}

static void send(struct ur_session *session);
static void advance(struct ur_session *session);

static void on_tidied(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	session->delivery->busy = false;
	if (session->delivery->result < 0) { // the next start tries again
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id,
			session->delivery->err.text);
	}
}

static void on_concluded(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	struct ur_delivery *delivery = session->delivery;
	delivery->busy = false;
	if (delivery->result < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id,
			delivery->err.text);
		go(session, UR_DELIVERY_CHECK, pause_ms(delivery, -1));
		return;
	}
	session->upload->outcome = delivery->outcome;
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED && delivery->related != NULL) {
		delivery->related->outcome = delivery->related_outcome;
	}
	if (is_last(delivery)) {
		delivery->busy = true;
		job->run = tidy;
		job->done = on_tidied;
		ur_crew_submit(session->gateway->crew, job);
	} else if (delivery->step == UR_DELIVERY_SEND) {
		send(session);
	} else {
		advance(session);
	}
}

static void settle_outcome(struct ur_session *session, enum ur_delivery_step next, int64_t wait_ms)
{
	struct ur_delivery *delivery = session->delivery;
	delivery->outcome.since_ms = ur_clock_wall_ns() / UR_MS_NS;
	delivery->outcome.tries = delivery->tries;
	go(session, next, wait_ms);
	delivery->busy = true;
	delivery->job.run = conclude;
	delivery->job.done = on_concluded;
	ur_crew_submit(session->gateway->crew, &delivery->job);
}

static void refuse(struct ur_session *session, int status, const char *words)
{
	struct ur_delivery *delivery = session->delivery;
	session->gateway->counters.refused++;
	ur_gateway_log(session->gateway, 4, "upload %s: immich-server refuses it: %s",
		session->upload->id, words);
	delivery->outcome.state = UR_SPOOL_REFUSED;
	delivery->outcome.status = status;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", words);
	settle_outcome(session, UR_DELIVERY_SETTLED, 0);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void read_check(struct ur_session *session);
static void read_sent(struct ur_session *session);
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
		read_sent(session);
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
		explain(session, "immich-server refuses this key; " WAITS_FOR_OWNER);
		ur_gateway_log(session->gateway, 4,
			"upload %s: immich-server refuses its owner's key; " WAITS_FOR_OWNER,
			session->upload->id);
		if (delivery->has_credential) {
			ur_gate_forget(session->gateway->gate, &delivery->credential);
		}
		forget_credential(delivery);
		(void)ur_spool_wipe(session->upload, KEY_NAME);
		go(session, UR_DELIVERY_KEY, 0);
		return;
	}
	read_answer(session);
	advance(session);
}

static void answered(struct ur_request *request)
{
	struct ur_session *session = request->context;
	session->delivery->post.run = on_answer;
	ur_httpd_post(session->gateway->httpd, &session->delivery->post);
}

static struct ur_request *new_request(
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

/** It may pass: the same step again, later. */
static void again(struct ur_session *session, enum ur_delivery_step step)
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
		explain(session, "immich-server does not answer at present; it is tried again");
	} else if (away) {
		explain(session, "immich-server answers %d at present; it is tried again",
			request->status);
	}
	go(session, step, pause_ms(delivery, request->result == 0 ? asked : -1));
}

/* ---- is it there already? -------------------------------------------------------------------- */

static void check(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_request *request = new_request(session, "POST", "/api/assets/bulk-upload-check");
	ur_text_clear(&delivery->head);
	ur_immich_check_begin(&delivery->head);
	ur_immich_check_add(&delivery->head, 0, session->upload->sha1);
	ur_immich_check_end(&delivery->head);
	if (!ur_text_ok(&delivery->head)) {
		delivery->busy = false;
		again(session, UR_DELIVERY_CHECK);
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
	delivery->outcome.status = delivery->suspect ? DOUBTFUL : 0;
	delivery->pauses = 0;
	delivery->outcome.duplicate = !delivery->suspect;
	memcpy(delivery->outcome.asset, asset, sizeof delivery->outcome.asset);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
		delivery->suspect ? "delivered; the server's answer was lost, so its bytes are "
				    "asked for later"
				  : "the server had it already");
	settle_outcome(session, UR_DELIVERY_ASSET,
		delivery->suspect ? session->gateway->limits.suspect_wait_ms : 0);
}

static void begin_send(struct ur_session *session);

static void read_check(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	struct ur_check said = {0};
	const bool told = request->result == 0 && request->status == 200 &&
			  ur_immich_check_read(ur_text_get(&request->answer), &said, 1, NULL) == 0;
	const bool may_come = ur_gateway_now_ms() < delivery->lost_until_ms;
	if (!told || (!said.there && may_come)) {
		again(session, UR_DELIVERY_CHECK);
	} else if (said.there && said.trashed) {
		delivery->outcome.trashed = true;
		memcpy(delivery->outcome.asset, said.asset, sizeof said.asset);
		refuse(session, 409,
			"it is in the server's trash: restore it there, or delete it for good and "
			"upload it again");
	} else if (said.there) {
		found_there(session, said.asset);
	} else {
		begin_send(session);
	}
}

/* ---- the one ordinary request ---------------------------------------------------------------- */

/** On http's thread: the page cache still holds most of it, and nobody else waits here. */
static ssize_t give(struct ur_stream *stream, void *buffer, size_t size)
{
	struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)stream - offsetof(struct ur_delivery, stream));
	const ssize_t got = ur_sys.pread(delivery->fd, buffer, size, (off_t)delivery->at);
	if (got > 0) {
		delivery->at += (uint64_t)got;
	}
	return got == 0 ? -EIO : got;
}

static int64_t time_of(const char *text)
{
	int64_t ns = 0;
	bool zoned = false;
	return text[0] != '\0' && ur_clock_parse_iso(text, &ns, &zoned) == 0 ? ns
									     : ur_clock_wall_ns();
}

static const char *or_null(const char *text)
{
	return text[0] == '\0' ? NULL : text;
}

static void write_body(struct ur_session *session, char boundary[64])
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_tus_metadata *said = delivery->metadata;
	const struct ur_upload_fields fields = {
		.name = said->filename[0] == '\0' ? "upload" : said->filename,
		.created_ns = time_of(said->created),
		.modified_ns = time_of(said->modified),
		.size = session->upload->length,
		.live_movie = or_null(said->live_movie),
		.sidecar_name = delivery->sidecar != NULL ? "file.xmp" : NULL,
		.sidecar_size = delivery->sidecar_size,
		.device_asset = or_null(said->device_asset),
		.device = or_null(said->device),
		.visibility = or_null(said->visibility),
		.favorite = said->favorite,
	};
	ur_text_clear(&delivery->head);
	ur_text_clear(&delivery->middle);
	ur_text_clear(&delivery->tail);
	ur_immich_upload_write(session->gateway->server.dialect, &fields, boundary, &delivery->head,
		&delivery->middle, &delivery->tail);
}

static void add_piece(struct ur_request *request, const void *bytes, size_t size)
{
	if (size > 0) {
		request->pieces[request->piece_count++] =
			(struct ur_piece){.bytes = bytes, .size = size};
	}
}

static void send(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	char boundary[64];
	char hex[2 * UR_SHA1_SIZE + 1];
	struct ur_err err = {0};
	delivery->fd = ur_spool_open(session->upload, &err);
	if (delivery->fd < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id, err.text);
		again(session, UR_DELIVERY_CHECK);
		return;
	}
	ur_immich_boundary(boundary, delivery->content_type);
	write_body(session, boundary);
	struct ur_request *request = new_request(session, "POST", "/api/assets");
	ur_hex(session->upload->sha1, sizeof session->upload->sha1, hex);
	(void)snprintf(request->header[1], sizeof request->header[1], "x-immich-checksum: %s", hex);
	request->content_type = delivery->content_type;
	request->answer_wait_ms = session->gateway->limits.answer_wait_ms;
	request->upload = true;
	add_piece(request, ur_text_get(&delivery->head), delivery->head.size);
	add_piece(request, delivery->sidecar, delivery->sidecar_size);
	add_piece(request, ur_text_get(&delivery->middle), delivery->middle.size);
	delivery->at = 0;
	delivery->stream.read = give;
	request->pieces[request->piece_count++] =
		(struct ur_piece){.stream = &delivery->stream, .size = session->upload->length};
	add_piece(request, ur_text_get(&delivery->tail), delivery->tail.size);
	session->gateway->carrying++;
	ur_http_submit(session->gateway->carry, request);
}

/** What the process may not forget: from now on the server may have it without our knowing. */
static void begin_send(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	if (gateway->server.dialect == NULL || gateway->carrying >= gateway->limits.deliveries) {
		go(session, UR_DELIVERY_CHECK,
			500); // asked again: in the meantime it may have come
		return;
	}
	delivery->outcome = (struct ur_spool_outcome){.state = UR_SPOOL_COMPLETE};
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words,
		"being delivered to immich-server");
	delivery->tries++;
	settle_outcome(session, UR_DELIVERY_SEND, 0);
}

static void sent(struct ur_session *session, const char *asset, bool duplicate)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	gateway->counters.bytes_delivered += session->upload->length;
	gateway->counters.delivered += duplicate ? 0 : 1;
	delivery->pauses = 0;
	delivery->suspect = duplicate; // we had just been told that it is not there
	delivery->outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_DELIVERED,
		.duplicate = duplicate,
		.status = delivery->request.status,
	};
	memcpy(delivery->outcome.asset, asset, sizeof delivery->outcome.asset);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
		duplicate ? "the server says duplicate to bytes that it had not known before; they "
			    "are asked for later"
			  : "delivered");
	settle_outcome(session, UR_DELIVERY_ASSET,
		duplicate ? gateway->limits.suspect_wait_ms : gateway->limits.settle_after_ms);
}

static void read_sent(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	char asset[UR_ASSET_ID];
	char words[UR_MESSAGE_MAX];
	bool duplicate = false;
	const int status = request->status;
	if (request->result == 0 && (status == 201 || status == 200) &&
		ur_immich_upload_read(ur_text_get(&request->answer), asset, &duplicate, NULL) ==
			0) {
		sent(session, asset, duplicate || status == 200);
		return;
	}
	if (request->result == 0 && status >= 400 && status < 500 && status != 408 &&
		status != 429) {
		ur_immich_message(status, ur_text_get(&request->answer), request->html, words);
		refuse(session, status, words);
		return;
	}
	const bool perhaps = request->body_gone || (request->result == 0 && status >= 500);
	delivery->suspect = delivery->suspect || perhaps;
	if (request->result < 0 && request->body_gone) {
		delivery->lost_until_ms = ur_gateway_now_ms() + lost_ms(session->gateway);
	}
	again(session, UR_DELIVERY_CHECK);
}

/* ---- promise 1 ------------------------------------------------------------------------------- */

static void ask_asset(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const bool bytes = delivery->step == UR_DELIVERY_BYTES;
	const uint64_t length = session->upload->length;
	(void)snprintf(delivery->path, sizeof delivery->path, "/api/assets/%s%s",
		session->upload->outcome.asset, bytes ? "/original" : "");
	struct ur_request *request = new_request(session, "GET", delivery->path);
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
	settle_outcome(session, UR_DELIVERY_ASSET, DAY_MS);
}

static void read_asset(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	const struct ur_spool_upload *upload = session->upload;
	struct ur_asset asset = {0};
	if (request->result < 0 || request->status >= 500 || request->status == 429 ||
		request->status == 408) {
		again(session, UR_DELIVERY_ASSET);
		return;
	}
	if (request->status != 200) {
		/* Gone again, or never quite there: as if it had not been sent. */
		delivery->suspect = true;
		delivery->outcome.asset[0] = '\0';
		again(session, UR_DELIVERY_CHECK);
		return;
	}
	if (ur_immich_asset_read(ur_text_get(&request->answer), &asset, NULL) < 0) {
		again(session, UR_DELIVERY_ASSET);
		return;
	}
	switch (ur_immich_prove(&asset, upload->sha1, upload->owner)) {
	case UR_PROOF_HOLDS:
		go(session, UR_DELIVERY_BYTES, 0);
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
		settle_outcome(session, UR_DELIVERY_SETTLED, 0);
	} else if (request->result < 0 || request->status == 429 || request->status == 408 ||
		   request->status == 502 || request->status == 503 || request->status == 504) {
		again(session, UR_DELIVERY_BYTES);
	} else {
		unconfirmed(session,
			"broken there: the server names it but does not give its bytes; they are kept "
			"here");
	}
}

/* ---- what belongs together ------------------------------------------------------------------- */

static struct ur_spool_upload *relative(struct ur_session *session, const char *id)
{
	struct ur_spool_upload *found =
		id[0] == '\0' ? NULL : ur_spool_find(session->gateway->spool, id);
	return found != NULL && strcmp(found->owner, session->upload->owner) == 0 ? found : NULL;
}

/**
 * False when it could not be read now: the picture waits, for its owner takes the sidecar for
 * delivered with it.  One that no server takes stays behind.
 */
static bool take_sidecar(struct ur_session *session, struct ur_spool_upload *sidecar)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_err err = {0};
	const size_t size = (size_t)sidecar->length;
	free(delivery->sidecar);
	delivery->sidecar = NULL;
	delivery->sidecar_size = 0;
	delivery->related = NULL;
	const bool fits = size > 0 && size <= SIDECAR_MAX;
	const int fd = fits ? ur_spool_open(sidecar, &err) : -EFBIG;
	char *bytes = fd < 0 ? NULL : malloc(size);
	if (bytes != NULL && ur_sys_pread_all(fd, bytes, size, 0) == (ssize_t)size) {
		delivery->sidecar = bytes;
		delivery->sidecar_size = size;
		delivery->related = sidecar;
	} else {
		free(bytes);
		ur_gateway_log(session->gateway, 4,
			fits ? "upload %s: its sidecar %s could not be read; both wait"
			     : "upload %s: its sidecar %s is empty or too large and stays behind",
			session->upload->id, sidecar->id);
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	return delivery->related != NULL || !fits;
}

/** True when nothing has to be waited for. */
static bool gather(struct ur_session *session)
{
	struct ur_tus_metadata *said = session->delivery->metadata;
	struct ur_spool_upload *sidecar = relative(session, said->sidecar_upload);
	const struct ur_spool_upload *movie = relative(session, said->movie_upload);
	if (sidecar != NULL && sidecar->outcome.state == UR_SPOOL_RECEIVING) {
		return false;
	}
	if (movie != NULL && !movie->is_sidecar && // which is never an asset
		(movie->outcome.state == UR_SPOOL_RECEIVING ||
			movie->outcome.state == UR_SPOOL_COMPLETE)) {
		return false;
	}
	if (movie != NULL && !movie->is_sidecar && // which is never an asset
		(movie->outcome.state == UR_SPOOL_DELIVERED ||
			movie->outcome.state == UR_SPOOL_CONFIRMED)) {
		memcpy(said->live_movie, movie->outcome.asset, sizeof said->live_movie);
	}
	return sidecar == NULL || !sidecar->is_sidecar ||
	       sidecar->outcome.state != UR_SPOOL_COMPLETE || take_sidecar(session, sidecar);
}

static int read_metadata(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	char *text = NULL;
	if (delivery->metadata != NULL) {
		return 0;
	}
	struct ur_tus_metadata *said = calloc(1, sizeof *said);
	int r = said == NULL ? -ENOMEM : ur_spool_metadata(session->upload, &text);
	r = r < 0 || text[0] == '\0' ? r : ur_tus_metadata_read(text, said, NULL);
	free(text);
	if (r < 0) {
		free(said);
		return r;
	}
	delivery->metadata = said;
	return 0;
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

static void ask_version(struct ur_gateway *gateway)
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

/* ---- all deliveries -------------------------------------------------------------------------- */

/** With a credential, from wherever an earlier process or key left it. */
static void set_out(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_spool_upload *upload = session->upload;
	const struct ur_gateway_limits *limits = &session->gateway->limits;
	if (upload->outcome.state != UR_SPOOL_DELIVERED) {
		go(session, UR_DELIVERY_RELATED, 0);
		return;
	}
	if (read_metadata(session) == 0) {
		delivery->related = relative(session, delivery->metadata->sidecar_upload);
		if (delivery->related != NULL &&
			delivery->related->outcome.state != UR_SPOOL_COMPLETE) {
			delivery->related = NULL;
		}
	}
	const int64_t wait_ms =
		delivery->suspect ? limits->suspect_wait_ms : limits->settle_after_ms;
	const int64_t passed_ms = ur_clock_wall_ns() / UR_MS_NS - upload->outcome.since_ms;
	const bool waits = passed_ms >= 0 && passed_ms < wait_ms && !upload->outcome.duplicate;
	go(session, UR_DELIVERY_ASSET, waits ? wait_ms - passed_ms : 0);
}

static void run(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	switch (delivery->step) {
	case UR_DELIVERY_KEY:
		if (delivery->has_credential) {
			set_out(session);
		}
		return;
	case UR_DELIVERY_RELATED:
		if (read_metadata(session) < 0) {
			ur_gateway_log(session->gateway, 3,
				"upload %s: its metadata cannot be read", session->upload->id);
			go(session, UR_DELIVERY_RELATED, LONGEST_PAUSE_MS);
		} else if (session->upload->length == 0) {
			refuse(session, 400, "an empty file is no picture; it is not sent");
		} else if (gather(session)) {
			go(session, UR_DELIVERY_CHECK, 0);
		} else {
			explain(session, "waits for the upload that belongs to it");
			go(session, UR_DELIVERY_RELATED, RELATED_MS);
		}
		return;
	case UR_DELIVERY_CHECK:
		if (session->gateway->carrying >= session->gateway->limits.deliveries ||
			session->gateway->server.dialect == NULL) {
			explain(session,
				session->gateway->server.dialect == NULL
					? "immich-server does not answer at present; it is "
					  "tried again"
					: "waits for its turn");
			go(session, UR_DELIVERY_CHECK, 500); // nothing could follow from the answer
		} else {
			check(session);
		}
		return;
	case UR_DELIVERY_ASSET:
	case UR_DELIVERY_BYTES:
		ask_asset(session);
		return;
	case UR_DELIVERY_SEND:
	case UR_DELIVERY_SETTLED:
		break;
	}
	assert(!"these steps are never due");
}

static bool is_over(const struct ur_session *session)
{
	return session->delivery->step == UR_DELIVERY_SETTLED && !session->delivery->busy;
}

/** Several steps may follow each other without waiting. */
static void advance(struct ur_session *session)
{
	const struct ur_delivery *delivery = session->delivery;
	for (int i = 0; i < UR_DELIVERY_SETTLED && !delivery->busy && !is_over(session) &&
			delivery->due_ms <= ur_gateway_now_ms() && !session->removing &&
			!atomic_load(&session->gateway->stopping);
		i++) {
		run(session);
	}
}

void ur_deliver_tick(struct ur_gateway *gateway)
{
	struct ur_session **at = &gateway->deliveries;
	unsigned busy = 0;
	if (gateway->options.immich == NULL) {
		return;
	}
	ask_version(gateway);
	while (*at != NULL) {
		struct ur_session *session = *at;
		if (busy < BUSY_MAX) {
			advance(session);
		}
		busy += session->delivery->busy ? 1 : 0;
		if (is_over(session)) {
			ur_deliver_free(session); // takes it off the list
			ur_session_rest(session);
		} else {
			at = &session->delivery->next;
		}
	}
}

void ur_deliver_add(struct ur_gateway *gateway, struct ur_spool_upload *upload,
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
	delivery->fd = -1;
	delivery->request.context = session;
	delivery->outcome = upload->outcome;
	delivery->tries = upload->outcome.tries;
	/* A start found it: what was under way then may have reached the server. */
	delivery->suspect = upload->outcome.state == UR_SPOOL_COMPLETE
				    ? upload->outcome.tries > 0
				    : upload->outcome.status == DOUBTFUL;
	if (upload->outcome.tries > 0 && upload->outcome.state == UR_SPOOL_COMPLETE) {
		const int64_t gone_ms = ur_clock_wall_ns() / UR_MS_NS - upload->outcome.since_ms;
		const int64_t most_ms = lost_ms(gateway);
		const int64_t left_ms = gone_ms < 0 ? most_ms : most_ms - gone_ms;
		delivery->lost_until_ms = ur_gateway_now_ms() + (left_ms > 0 ? left_ms : 0);
	}
	session->delivery = delivery;
	delivery->next = gateway->deliveries;
	gateway->deliveries = session;
	if (credential != NULL) {
		delivery->credential = *credential;
		delivery->has_credential = true;
	} else {
		recall_credential(session);
	}
	if (!delivery->has_credential) {
		explain(session, "its key was not kept; " WAITS_FOR_OWNER);
	}
	go(session, UR_DELIVERY_KEY, 0);
	if (gateway->server.dialect != NULL) {
		advance(session);
	}
}

void ur_deliver_welcome(struct ur_gateway *gateway, const struct ur_visitor *who,
	const struct ur_credential *credential)
{
	if (!who->may_upload) {
		return;
	}
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
			ur_deliver_keep_credential(gateway, at->upload, credential);
		}
	}
}

bool ur_deliver_has_key(const struct ur_spool_upload *upload)
{
	const struct ur_session *session = upload->session;
	return session != NULL && session->delivery != NULL && session->delivery->has_credential;
}

bool ur_deliver_is_busy(const struct ur_session *session)
{
	bool busy = session->delivery != NULL && session->delivery->busy;
	for (const struct ur_session *at = session->gateway->deliveries;
		at != NULL && session->upload->is_sidecar && !busy; at = at->delivery->next) {
		busy = at->delivery->related == session->upload && at->delivery->busy;
	}
	return busy;
}

void ur_deliver_unrelate(struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	for (struct ur_session *at = gateway->deliveries; at != NULL && upload->is_sidecar;
		at = at->delivery->next) {
		if (at->delivery->related == upload) {
			at->delivery->related = NULL;
		}
	}
}

void ur_deliver_free(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	if (delivery == NULL) {
		return;
	}
	assert(!delivery->busy);
	struct ur_session **at = &session->gateway->deliveries;
	while (*at != session) {
		at = &(*at)->delivery->next;
	}
	*at = delivery->next;
	forget_credential(delivery);
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
