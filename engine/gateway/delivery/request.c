/*
 * request - the one ordinary request that carries the bytes, and outcomes on disk.
 *
 *     begin_send ─▶ tries + 1, durable ─▶ send ─▶ read_sent ─▶ outcome, durable ─▶ the next step
 *
 * Nothing follows from an outcome before it is on disk.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/clock.h"
#include "engine/gateway/name.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define QUOTA_PAUSES 12 // 12 s … 1 h

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

/** The first bytes are in the page cache, or will be: they are sent next. */
static void name_of(const struct ur_session *session, char ret[UR_NAME_MAX])
{
	const struct ur_delivery *delivery = session->delivery;
	uint8_t head[UR_KIND_HEAD];
	const ssize_t size = ur_sys_pread_all(delivery->fd, head, sizeof head, 0);
	ur_name_of(delivery->metadata, session->gateway->types,
		size > 0 ? ur_kind_of(head, (size_t)size) : NULL, ret);
}

static void write_body(struct ur_session *session, char boundary[64])
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_tus_metadata *said = delivery->metadata;
	char name[UR_NAME_MAX];
	name_of(session, name);
	const struct ur_upload_fields fields = {
		.name = name,
		.created_ns = time_of(said->created),
		.modified_ns = time_of(said->modified),
		.size = session->upload->length,
		.live_movie = delivery->unlinked ? NULL : or_null(said->live_movie),
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
		ur_delivery_again(session, UR_DELIVERY_CHECK);
		return;
	}
	ur_immich_boundary(boundary, delivery->content_type);
	write_body(session, boundary);
	struct ur_request *request = ur_delivery_new_request(session, "POST", "/api/assets");
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

/* ---- outcomes, durable ----------------------------------------------------------------------- */

/** A sidecar has its picture's fate, but beside a picture that was there already it did not travel. */
static void judge_sidecar(struct ur_delivery *delivery)
{
	struct ur_spool_outcome *outcome = &delivery->related_outcome;
	*outcome = delivery->outcome;
	outcome->with[0] = '\0';
	if (outcome->duplicate) {
		outcome->state = UR_SPOOL_REFUSED;
		(void)snprintf(outcome->words, sizeof outcome->words,
			"its picture was on the server already, and a sidecar travels only with a new one");
	} else if (outcome->status != 201 ||
		   strcmp(delivery->outcome.with, delivery->related->id) != 0) {
		outcome->state = UR_SPOOL_REFUSED;
		outcome->status = 0; // no word of the server's about it: it is kept
		(void)snprintf(outcome->words, sizeof outcome->words,
			"its picture is on the server, and nobody can tell whether it travelled with it");
	}
}

static void name_sidecar(const struct ur_delivery *delivery, struct ur_spool_outcome *outcome)
{
	(void)snprintf(outcome->with, sizeof outcome->with, "%s",
		delivery->related != NULL ? delivery->related->id : "");
}

static struct ur_session *session_of(struct ur_job *job)
{
	const struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)job - offsetof(struct ur_delivery, job));
	return delivery->request.context;
}

static void conclude(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	struct ur_delivery *delivery = session->delivery;
	delivery->result = 0;
	/* Before its picture, which is asked for again after a crash in between; it never would be. */
	if (delivery->related != NULL && delivery->outcome.state == UR_SPOOL_CONFIRMED) {
		judge_sidecar(delivery);
		delivery->result = ur_spool_conclude(
			delivery->related, &delivery->related_outcome, &delivery->err);
	}
	if (delivery->result == 0) {
		delivery->result =
			ur_spool_conclude(session->upload, &delivery->outcome, &delivery->err);
	}
}

/** Its end is on disk and known: what is not needed any more goes. */
static void tidy(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	struct ur_delivery *delivery = session->delivery;
	(void)ur_spool_wipe(session->upload, UR_DELIVERY_KEY_NAME);
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED) {
		delivery->result = ur_spool_empty(session->upload, &delivery->err);
	}
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED && delivery->related != NULL) {
		(void)ur_spool_wipe(delivery->related, UR_DELIVERY_KEY_NAME);
		if (delivery->result == 0 &&
			delivery->related_outcome.state == UR_SPOOL_CONFIRMED) {
			delivery->result = ur_spool_empty(delivery->related, &delivery->err);
		}
	}
}

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
		ur_delivery_go(session, UR_DELIVERY_CHECK, ur_delivery_pause_ms(delivery, -1));
		return;
	}
	ur_spool_concluded(session->upload, &delivery->outcome);
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED && delivery->related != NULL) {
		ur_spool_concluded(delivery->related, &delivery->related_outcome);
	}
	if (ur_spool_is_over(&delivery->outcome)) {
		delivery->busy = true;
		job->run = tidy;
		job->done = on_tidied;
		ur_crew_submit(session->gateway->crew, job);
	} else if (delivery->step == UR_DELIVERY_SEND) {
		send(session);
	} else {
		ur_delivery_advance(session);
	}
}

void ur_delivery_settle_outcome(
	struct ur_session *session, enum ur_delivery_step next, int64_t wait_ms)
{
	struct ur_delivery *delivery = session->delivery;
	ur_spool_stamp(session->gateway->spool, &delivery->outcome);
	delivery->outcome.tries = delivery->tries;
	/* While it is being sent nobody knows; a restart in between finds that written. */
	delivery->outcome.suspect = delivery->suspect || next == UR_DELIVERY_SEND;
	ur_delivery_go(session, next, wait_ms);
	delivery->busy = true;
	delivery->job.run = conclude;
	delivery->job.done = on_concluded;
	ur_crew_submit(session->gateway->crew, &delivery->job);
}

void ur_delivery_note_refusal(struct ur_session *session)
{
	session->gateway->counters.refused++;
	ur_gateway_log(session->gateway, 4, "upload %s: immich-server refuses it: %s",
		session->upload->id, session->delivery->outcome.words);
}

void ur_delivery_refuse(struct ur_session *session, int status, const char *words)
{
	struct ur_delivery *delivery = session->delivery;
	delivery->outcome.state = UR_SPOOL_REFUSED;
	delivery->outcome.status = status;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s", words);
	ur_delivery_note_refusal(session);
	ur_gateway_log(session->gateway, 5,
		"upload %s: its bytes are kept for %lld days in which the gateway runs",
		session->upload->id,
		(long long)(session->gateway->limits.keep_refused_ms / 86400000));
	ur_delivery_settle_outcome(session, UR_DELIVERY_SETTLED, 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

/** What the process may not forget: from now on the server may have it without our knowing. */
void ur_delivery_begin_send(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	if (gateway->server.dialect == NULL || gateway->carrying >= gateway->limits.deliveries) {
		ur_delivery_go(session, UR_DELIVERY_CHECK,
			500); // asked again: in the meantime it may have come
		return;
	}
	delivery->outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_COMPLETE, .missed_ran_ms = UR_SPOOL_NEVER};
	name_sidecar(delivery, &delivery->outcome);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words,
		"being delivered to immich-server");
	delivery->tries++;
	ur_delivery_settle_outcome(session, UR_DELIVERY_SEND, 0);
}

static void sent(struct ur_session *session, const char *asset, bool duplicate, bool certain)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_gateway *gateway = session->gateway;
	gateway->counters.bytes_delivered += session->upload->length;
	gateway->counters.delivered += duplicate ? 0 : 1;
	delivery->pauses = 0;
	delivery->suspect = !certain; // of a duplicate we had just been told that it is not there
	delivery->outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_DELIVERED,
		.duplicate = duplicate,
		.status = delivery->request.status,
		.there_ran_ms = ur_spool_ran_ms(gateway->spool),
		.missed_ran_ms = UR_SPOOL_NEVER,
	};
	memcpy(delivery->outcome.asset, asset, sizeof delivery->outcome.asset);
	name_sidecar(delivery, &delivery->outcome);
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words, "%s",
		duplicate ? "the server says duplicate to bytes that it had not known before; they "
			    "are asked for later"
			  : "delivered");
	delivery->outcome.suspect = delivery->suspect;
	ur_delivery_settle_outcome(session, UR_DELIVERY_ASSET, ur_delivery_wait_ms(session));
}

/** Nothing is wrong with the file, and each try carries all of it: with long pauses. */
static void wait_for_quota(struct ur_session *session, const char *words)
{
	struct ur_delivery *delivery = session->delivery;
	delivery->outcome.state = UR_SPOOL_REFUSED;
	delivery->outcome.status = UR_STATUS_QUOTA;
	(void)snprintf(delivery->outcome.words, sizeof delivery->outcome.words,
		"%.60s; it is kept here, and tried again", words);
	if (delivery->pauses++ == 0) {
		ur_delivery_note_refusal(session);
	}
	ur_delivery_settle_outcome(
		session, UR_DELIVERY_CHECK, QUOTA_PAUSES * ur_delivery_pause_ms(delivery, -1));
}

void ur_delivery_read_sent(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_request *request = &delivery->request;
	char asset[UR_ASSET_ID];
	char words[UR_MESSAGE_MAX];
	bool duplicate = false;
	const int status = request->status;
	const char *text = ur_text_get(&request->answer);
	const bool told = (status == 201 || status == 200) &&
			  ur_immich_upload_read(text, asset, &duplicate, NULL) == 0;
	const struct ur_answer answer = ur_delivery_answer(delivery, UR_ASKED_SEND, told);
	const enum ur_follow follow = ur_verdict(&answer);
	ur_immich_message(status, text, request->html, words);
	if (follow == UR_FOLLOW_READ) {
		sent(session, asset, duplicate || status == 200,
			!duplicate && ur_verdict_is_certain(&answer));
	} else if (follow == UR_FOLLOW_QUOTA) {
		wait_for_quota(session, words);
	} else if (follow == UR_FOLLOW_REFUSED && delivery->metadata->live_movie[0] != '\0' &&
		   !delivery->unlinked) {
		/* It may be the movie that is gone from the server, and no word about these bytes. */
		delivery->unlinked = true;
		ur_delivery_again(session, UR_DELIVERY_CHECK);
	} else if (follow == UR_FOLLOW_REFUSED) {
		ur_delivery_refuse(session, status, words);
	} else {
		ur_delivery_follow(session, follow);
	}
}
