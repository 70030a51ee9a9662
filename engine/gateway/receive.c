/*
 * receive - one upload's requests, one after the other.
 *
 *     line: [PATCH] [HEAD] …          whoever sends at present is taken over from
 *       │
 *     step(): at rest? next in line ─▶ HEAD: its offset     PATCH: its bytes     DELETE: away
 *
 * Bytes are written and hashed as they come.  Every UR_SPOOL_STEP bytes a checkpoint goes to the
 * crew while more bytes arrive; when too much would be lost with the process, the sender waits.  An
 * offset that leaves this room is durable.
 */
#include "engine/gateway/receive.h"

#include "engine/gateway/chore.h"
#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/life.h"
#include "engine/gateway/limits.h"
#include "engine/gateway/line.h"
#include "engine/gateway/state.h"
#include "engine/gateway/status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MISMATCHES_MAX \
	3u // a whole file that is not what it promised: its last chunk is asked for again
#define UNSAFE_MAX (6u << 20) // bytes that may be lost with the process: then the sender waits

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void on_committed(struct ur_job *job)
{
	struct ur_session *session = ur_chore_session(job);
	session->committing = false;
	session->gateway->counters.checkpoints++;
	if (session->result == 0) {
		ur_spool_committed(session->upload, &session->mark);
	} else {
		session->failed = session->result;
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id,
			session->err.text);
	}
	ur_receive_step(session);
}

static void checkpoint(struct ur_session *session)
{
	ur_spool_mark(session->upload, &session->mark);
	ur_chore_begin(session, UR_CHORE_COMMIT, on_committed);
}

static bool is_safe(const struct ur_session *session)
{
	return session->upload->offset == session->upload->durable &&
	       session->upload->length == session->mark.length;
}

static uint64_t unsafe_bytes(const struct ur_spool_upload *upload)
{
	return upload->offset > upload->durable ? upload->offset - upload->durable : 0;
}

/* ---- removal --------------------------------------------------------------------------------- */

static void on_removed(struct ur_job *job)
{
	struct ur_session *session = ur_chore_session(job);
	struct ur_gateway *gateway = session->gateway;
	struct ur_spool_upload *upload = session->upload;
	if (session->result < 0) {
		ur_gateway_log(gateway, 3, "upload %s: %s", upload->id, session->err.text);
		if (session->current != NULL) {
			ur_line_answer(session, 500, "the gateway's disk failed; try again later");
		}
		session->removing = false;
		ur_receive_step(session);
		return;
	}
	gateway->counters.terminated += session->current != NULL ? 1 : 0;
	session->stepping = true; // an answer may bring the next request about it
	if (session->current != NULL) {
		ur_line_answer(session, 204, "");
	}
	while (session->line_first != NULL) {
		struct ur_visit *visit = session->line_first;
		ur_line_leave(visit);
		ur_visit_answer(visit, 404, "there is no such upload");
	}
	ur_delivery_unrelate(gateway, upload);
	ur_delivery_free(session);
	gateway->records--;
	ur_spool_rest(upload);
	upload->session = NULL;
	free(session);
	ur_spool_dismiss(gateway->spool, upload);
	ur_status_wake(gateway, NULL);
}

static void begin_remove(struct ur_session *session)
{
	if (ur_delivery_is_busy(session)) {
		ur_line_answer(session, 409,
			"it is being delivered to immich-server just now; try again in a moment");
		return;
	}
	ur_chore_begin(session, UR_CHORE_REMOVE, on_removed);
}

void ur_receive_remove(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	struct ur_session *session = ur_session_of(gateway, upload);
	if (session == NULL || session->removing || session->current != NULL ||
		session->committing || ur_delivery_is_busy(session)) {
		return; // the next sweep comes by
	}
	ur_chore_begin(session, UR_CHORE_REMOVE, on_removed);
}

/* ---- the end of a request -------------------------------------------------------------------- */

static bool is_what_it_says(struct ur_visit *visit)
{
	uint8_t sum[20];
	if (!visit->has_checksum) {
		return true;
	}
	if (visit->checksum.algorithm == UR_TUS_SHA1) {
		ur_sha1_end(&visit->sha1, sum);
	} else {
		ur_xxh_end(visit->xxh, sum);
	}
	return memcmp(sum, visit->checksum.bytes, visit->checksum.size) == 0;
}

/** Everything has come: it is the server's from now on. */
static void complete(struct ur_session *session, struct ur_visit *visit)
{
	struct ur_spool_upload *upload = session->upload;
	struct ur_gateway *gateway = session->gateway;
	upload->outcome.state = UR_SPOOL_COMPLETE;
	upload->is_damaged = false; // all of it has been read and heard
	ur_spool_stamp(gateway->spool, &upload->outcome);
	gateway->counters.complete++;
	if (gateway->options.immich != NULL) {
		ur_delivery_add(gateway, upload, &visit->credential);
	}
}

/** Back to where the request began; the answer waits until that is durable. */
static void take_back(struct ur_session *session, struct ur_visit *visit, const char *why)
{
	session->gateway->counters.mismatches++;
	ur_spool_rewind(session->upload, &visit->start);
	visit->refused = -EBADMSG;
	(void)snprintf(visit->why, sizeof visit->why, "%s", why);
}

static void answer_received(struct ur_session *session, struct ur_visit *visit)
{
	struct ur_spool_upload *upload = session->upload;
	if (visit->x != NULL) {
		ur_visit_set_offset(visit, upload->durable);
		ur_visit_set_expires(visit, upload);
		if (visit->verb == UR_VERB_CREATE) {
			ur_visit_set_location(visit, upload);
		}
	}
	ur_line_answer(session, visit->verb == UR_VERB_CREATE ? 201 : 204, "");
}

static void break_upload(struct ur_session *session)
{
	struct ur_spool_upload *upload = session->upload;
	upload->outcome.state = UR_SPOOL_BROKEN;
	ur_spool_stamp(session->gateway->spool, &upload->outcome);
	(void)snprintf(upload->outcome.words, sizeof upload->outcome.words,
		"its bytes are not what its checksum promised; start it anew");
	session->gateway->counters.broken++;
	ur_line_answer(session, UR_TUS_STATUS_CHECKSUM, upload->outcome.words);
}

/** What stopped the bytes of a request; what may pass is never a 4xx. */
static int status_of(int refused)
{
	const bool passes = ur_is_full(refused) || refused == -EACCES || refused == -ESHUTDOWN;
	return passes                 ? 503
	       : refused == -EBADMSG  ? UR_TUS_STATUS_CHECKSUM
	       : refused == -EMSGSIZE ? 413
				      : 500;
}

/** All of this request is here and durable. */
static void finish_visit(struct ur_session *session, struct ur_visit *visit)
{
	struct ur_spool_upload *upload = session->upload;
	if (visit->refused != 0) {
		if (visit->x != NULL) {
			ur_visit_set_offset(visit, upload->durable);
		}
		ur_line_answer(session, status_of(visit->refused), visit->why);
		return;
	}
	if (upload->offset < upload->length) { // also true while the length is not known
		answer_received(session, visit);
		return;
	}
	if (!ur_spool_finish(upload)) {
		if (++session->mismatches >= MISMATCHES_MAX) {
			break_upload(session);
			return;
		}
		take_back(session, visit,
			"the whole file is not what its checksum promised; its last part is asked "
			"for again");
		session->again = true;
		return;
	}
	complete(session, visit);
	answer_received(session, visit);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/** Nothing more of this body is taken; the answer says why. */
static void stop_bytes(
	struct ur_session *session, struct ur_visit *visit, int code, const char *why)
{
	visit->refused = code;
	visit->complete = true;
	(void)snprintf(visit->why, sizeof visit->why, "%s", why);
	if (!visit->paused) {
		visit->paused = true;
		ur_exchange_pause(visit->x);
	}
	ur_receive_step(session);
}

static void sum_up(struct ur_visit *visit, const void *bytes, size_t size)
{
	if (visit->checksum.algorithm == UR_TUS_SHA1) {
		ur_sha1_feed(&visit->sha1, bytes, size);
	} else if (visit->checksum.algorithm == UR_TUS_XXH128) {
		ur_xxh_feed(visit->xxh, bytes, size);
	}
}

void ur_receive_body(struct ur_visit *visit, const void *bytes, size_t size)
{
	struct ur_session *session = visit->session;
	if (session == NULL || session->current != visit || visit->complete) {
		return;
	}
	struct ur_spool_upload *upload = session->upload;
	const uint64_t most = upload->length == UR_SPOOL_LENGTH_UNKNOWN
				      ? session->gateway->limits.size_max
				      : upload->length;
	struct ur_err err = {0};
	if (size > most - upload->offset) {
		stop_bytes(session, visit, -EMSGSIZE,
			"the request holds more bytes than the upload has left");
		return;
	}
	if (upload->length == UR_SPOOL_LENGTH_UNKNOWN &&
		!ur_limits_share(session->gateway, upload->owner, size)) {
		stop_bytes(session, visit,
			ur_limits_never(session->gateway, upload->offset + size) ? -EMSGSIZE
										 : -EACCES,
			UR_SHARE_WORDS);
		return;
	}
	const int r = ur_spool_append(upload, bytes, size, &err);
	session->gateway->counters.bytes_received += size;
	if (r < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", upload->id, err.text);
		session->gateway->counters.disk_full += ur_is_full(r) ? 1 : 0;
		session->failed = ur_is_full(r) ? session->failed : r;
		stop_bytes(session, visit, r,
			ur_is_full(r)
				? "the gateway's disk is full; what is there stays, go on later"
				: "the gateway's disk failed; go on later");
		return;
	}
	sum_up(visit, bytes, size);
	ur_receive_step(session);
}

void ur_receive_end(struct ur_visit *visit)
{
	struct ur_session *session = visit->session;
	if (session == NULL || session->current != visit || visit->complete) {
		return;
	}
	visit->complete = true;
	if (!is_what_it_says(visit)) {
		take_back(session, visit,
			"these bytes are not what Upload-Checksum promised; send them again");
	}
	ur_receive_step(session);
}

void ur_receive_gone(struct ur_visit *visit)
{
	struct ur_session *session = visit->session;
	if (session->current == visit && session->removing) {
		return; // the removal goes on; there is nobody left to tell
	}
	ur_line_leave(visit);
	ur_visit_end(visit);
	ur_receive_step(session);
}

/* ---- each verb's turn ------------------------------------------------------------------------ */

static void tell_head(struct ur_session *session)
{
	struct ur_visit *visit = session->current;
	const struct ur_spool_upload *upload = session->upload;
	char *metadata = NULL;
	if (visit->x == NULL) {
		ur_line_cut(session);
		return;
	}
	const bool receiving = upload->outcome.state == UR_SPOOL_RECEIVING;
	ur_visit_set_offset(visit, receiving ? upload->durable : upload->length);
	ur_exchange_set(visit->x, "Cache-Control", "no-store");
	ur_visit_set_expires(visit, upload);
	if (upload->length == UR_SPOOL_LENGTH_UNKNOWN) {
		ur_exchange_set(visit->x, "Upload-Defer-Length", "1");
	} else {
		ur_exchange_set(
			visit->x, "Upload-Length", "%llu", (unsigned long long)upload->length);
	}
	if (ur_spool_metadata(upload, &metadata) == 0 && metadata[0] != '\0') {
		ur_exchange_set(visit->x, "Upload-Metadata", "%s", metadata);
	}
	free(metadata);
	ur_line_answer(session, 200, "");
}

/** Lets the bytes come, or answers why not. */
static void open_bytes(struct ur_session *session, struct ur_visit *visit)
{
	if (session->gateway->closing) {
		ur_line_answer(session, 503, UR_RESTART_WORDS);
		return;
	}

	struct ur_err err = {0};
	const bool sha1 = visit->has_checksum && visit->checksum.algorithm == UR_TUS_SHA1;
	const bool xxh = visit->has_checksum && visit->checksum.algorithm == UR_TUS_XXH128;
	int r = ur_spool_wake(session->upload, &err);
	r = r == 0 && sha1 ? ur_sha1_begin(&visit->sha1) : r;
	r = r == 0 && xxh ? ur_xxh_new(&visit->xxh) : r;
	if (r < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id, err.text);
		ur_line_answer(session, 500, "the gateway's disk failed; go on later");
		return;
	}
	if (xxh) {
		ur_xxh_begin(visit->xxh);
	}
	ur_spool_mark(session->upload, &visit->start);
	visit->receiving = true;
	session->gateway->receiving++;
	ur_exchange_accept(visit->x);
}

/** NULL, or why the length that a PATCH declares cannot be. */
static const char *declare(struct ur_spool_upload *upload, const struct ur_visit *visit)
{
	if (!visit->has_length) {
		return NULL;
	}
	if (upload->length != UR_SPOOL_LENGTH_UNKNOWN && upload->length != visit->length) {
		return "the upload has another Upload-Length already";
	}
	if (upload->length == visit->length) {
		return NULL; // said again
	}
	if (visit->length < upload->offset) {
		return "Upload-Length is less than what has arrived";
	}
	ur_spool_declare(upload, visit->length);
	return NULL;
}

static void begin_patch(struct ur_session *session)
{
	struct ur_visit *visit = session->current;
	struct ur_spool_upload *upload = session->upload;
	const bool receiving = upload->outcome.state == UR_SPOOL_RECEIVING;
	const uint64_t offset = receiving ? upload->durable : upload->length;
	if (visit->x == NULL) {
		ur_line_cut(session);
		return;
	}
	if (visit->offset != offset) {
		ur_visit_set_offset(visit, offset);
		ur_line_answer(session, 409, "the upload stands at another offset");
		return;
	}
	if (!receiving && visit->x->has_body) {
		ur_visit_set_offset(visit, offset);
		ur_line_answer(session, 413, "the upload is complete already");
		return;
	}
	if (!receiving) {
		answer_received(session, visit); // an empty PATCH at its end: it stands as it is
		return;
	}
	if (visit->has_length && upload->length == UR_SPOOL_LENGTH_UNKNOWN &&
		visit->length > upload->offset &&
		!ur_limits_share(session->gateway, upload->owner, visit->length - upload->offset)) {
		ur_line_answer(session,
			ur_limits_never(session->gateway, visit->length) ? 413 : 503,
			UR_SHARE_WORDS);
		return;
	}
	const char *why = declare(upload, visit);
	if (why != NULL) {
		ur_line_answer(session, 400, why);
		return;
	}
	if (upload->length != UR_SPOOL_LENGTH_UNKNOWN && visit->x->has_length &&
		visit->x->length > upload->length - upload->offset) {
		ur_visit_set_offset(visit, offset);
		ur_line_answer(
			session, 413, "the request holds more bytes than the upload has left");
		return;
	}
	if (session->failed != 0) {
		ur_line_answer(session, 500,
			"the gateway's disk failed under this upload; it goes on after a restart of "
			"the gateway");
		return;
	}
	if (visit->x->has_body && !ur_limits_room(session->gateway)) {
		session->gateway->counters.disk_full++;
		ur_line_answer(session, 503,
			"the gateway's disk is full; what is there stays, go on later");
		return;
	}
	open_bytes(session, visit);
}

static void begin_turn(struct ur_session *session)
{
	struct ur_visit *visit = ur_line_next(session);
	if (session->upload->outcome.status == UR_STATUS_EXPIRED && visit->verb != UR_VERB_DELETE) {
		ur_line_answer(session, 410, session->upload->outcome.words);
		return;
	}
	switch (visit->verb) {
	case UR_VERB_HEAD:
		tell_head(session);
		return;
	case UR_VERB_PATCH:
		begin_patch(session);
		return;
	case UR_VERB_CREATE:
		if (visit->x == NULL) {
			ur_line_cut(session);
		} else {
			open_bytes(session, visit);
		}
		return;
	case UR_VERB_DELETE:
		begin_remove(session);
		return;
	case UR_VERB_OPTIONS:
	case UR_VERB_GET:
	case UR_VERB_STATUS:
	case UR_VERB_HEALTH:
	case UR_VERB_ALIVE:
	case UR_VERB_METRICS:
		break;
	}
	assert(!"only these wait in line");
}

/* ---- the state of the room ------------------------------------------------------------------- */

/** The sender's flow: rests while too much would be lost, goes on when it is safe again. */
static void regulate(struct ur_session *session, struct ur_visit *visit)
{
	const uint64_t unsafe = unsafe_bytes(session->upload);
	if (visit->paused && unsafe < UNSAFE_MAX) {
		visit->paused = false;
		ur_exchange_resume(visit->x);
	} else if (!visit->paused && unsafe >= UNSAFE_MAX) {
		visit->paused = true;
		ur_exchange_pause(visit->x);
	}
}

static void step_sender(struct ur_session *session, struct ur_visit *visit)
{
	if (session->failed != 0) {
		if (visit->refused == 0) {
			visit->refused = session->failed;
			(void)snprintf(visit->why, sizeof visit->why,
				"the gateway's disk failed; go on later");
		}
		finish_visit(session, visit);
		return;
	}
	if (visit->complete) {
		if (session->committing) {
			return;
		}
		if (is_safe(session)) {
			finish_visit(session, visit);
		} else {
			checkpoint(session);
		}
		return;
	}
	if (!session->committing && unsafe_bytes(session->upload) >= UR_SPOOL_STEP) {
		if (!ur_limits_room(session->gateway)) {
			session->gateway->counters.disk_full++;
			stop_bytes(session, visit, -ENOSPC,
				"the gateway's disk is full; what is there stays, go on later");
			return;
		}
		checkpoint(session);
	}
	regulate(session, visit);
}

/** The room is empty but for its line: what is not durable becomes so, then the next has its turn. */
static void step_line(struct ur_session *session)
{
	const struct ur_spool_upload *upload = session->upload;
	if (session->committing) {
		return;
	}
	if (session->failed == 0 && upload->offset != upload->durable &&
		upload->outcome.state == UR_SPOOL_RECEIVING) {
		checkpoint(session);
	} else if (session->line_first != NULL) {
		begin_turn(session);
		session->again = true;
	}
}

/**
 * All decisions about what is next; every event ends here.  An answer may bring the peer's next
 * request at once, and so this function again: then it goes round once more instead.
 */
void ur_receive_step(struct ur_session *session)
{
	session->again = true;
	if (session->stepping) {
		return;
	}
	session->stepping = true;
	while (session->again && !session->removing) {
		session->again = false;
		if (session->current != NULL) {
			step_sender(session, session->current);
			session->again = session->again || session->current == NULL;
		} else {
			step_line(session);
		}
	}
	session->stepping = false;
	struct ur_gateway *gateway = session->gateway;
	char id[UR_SPOOL_ID];
	memcpy(id, session->upload->id, sizeof id);
	ur_session_rest(session);
	ur_status_wake(gateway, id);
}

void ur_receive_enter(struct ur_visit *visit, struct ur_spool_upload *upload)
{
	struct ur_session *session = ur_session_of(visit->gateway, upload);
	if (session == NULL) {
		ur_visit_answer(visit, 503, "the gateway is short of memory; try again");
		return;
	}
	ur_line_join(session, visit);
	if (session->current != NULL && session->current->receiving &&
		!session->current->complete) {
		session->gateway->counters.taken_over++;
		ur_line_cut(session);
	}
	ur_receive_step(session);
}

/* ---- the end of the process ------------------------------------------------------------------ */

static struct ur_visit *first_body(const struct ur_gateway *gateway)
{
	struct ur_visit *visit = gateway->visits;
	while (visit != NULL &&
		(!visit->receiving || visit->complete || visit->session->current != visit)) {
		visit = visit->older;
	}
	return visit;
}

void ur_receive_cut(struct ur_gateway *gateway)
{
	struct ur_visit *visit = NULL;
	while ((visit = first_body(gateway)) != NULL) {
		stop_bytes(visit->session, visit, -ESHUTDOWN, UR_RESTART_WORDS);
	}
}

void ur_receive_stop(struct ur_gateway *gateway)
{
	for (struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		struct ur_session *session = at->session;
		if (session != NULL && session->failed == 0 && unsafe_bytes(at) > 0) {
			struct ur_spool_mark mark;
			ur_spool_mark(at, &mark);
			if (ur_spool_commit(at, &mark, &session->err) < 0) {
				ur_gateway_log(
					gateway, 3, "upload %s: %s", at->id, session->err.text);
			} else {
				ur_spool_committed(at, &mark);
			}
		}
	}
}
