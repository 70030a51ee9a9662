/*
 * delivery - a complete upload goes to immich-server as one ordinary request, and is let go only
 * when the server proves that it holds it.
 *
 *     KEY → RELATED → CHECK → SEND → ASSET → BYTES → confirmed
 *             ▲         │ ▲     │
 *             │         │ └─────┘ lost, 5xx: asked by checksum before anything is sent again
 *             │         └──── it is there: straight to ASSET
 *
 *     What follows from an answer is the table of verdict.h; how long the asset is left alone before
 *     it is believed is in the outcome: seen when, doubted or not.
 *
 * This file has all deliveries, and takes the steps; SEND is in request.c, CHECK, ASSET and BYTES are in
 * confirm.c.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/clock.h"
#include "engine/gateway/seal.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOST_MS 300000 // the server may store for so long after the last byte
#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS 300000
#define RELATED_MS 2000
#define REFUSED_MS 10000 // what may have changed while the gateway did not run
#define SIDECAR_MAX (1u << 20)
#define BUSY_MAX 16u // deliveries that ask or send at once

int64_t ur_delivery_lost_ms(const struct ur_gateway *gateway)
{
	return gateway->limits.answer_wait_ms < LOST_MS ? gateway->limits.answer_wait_ms : LOST_MS;
}

void ur_delivery_go(struct ur_session *session, enum ur_delivery_step next, int64_t wait_ms)
{
	session->delivery->step = next;
	session->delivery->due_ms = ur_gateway_now_ms() + wait_ms;
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

int64_t ur_delivery_pause_ms(const struct ur_delivery *delivery, int64_t asked_ms)
{
	const unsigned doublings = delivery->pauses < 9 ? delivery->pauses : 9;
	int64_t wait = (int64_t)FIRST_PAUSE_MS << doublings;
	wait = wait > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : wait;
	wait += wait * (ur_clock_steady_ns() / 1000 % 50 - 25) / 100;
	return asked_ms > wait ? asked_ms : wait;
}

/* ---- the credential -------------------------------------------------------------------------- */

void ur_delivery_forget_credential(struct ur_delivery *delivery)
{
	ur_credential_wipe(&delivery->credential);
	delivery->has_credential = false;
}

void ur_delivery_keep_credential(struct ur_gateway *gateway, struct ur_spool_upload *upload,
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
	r = r < 0 ? r : ur_spool_keep(upload, UR_DELIVERY_KEY_NAME, sealed, size, &err);
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
		ur_spool_recall(
			session->upload, UR_DELIVERY_KEY_NAME, sealed, sizeof sealed, &size) == 0 &&
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
	if (sidecar != NULL &&
		(sidecar->outcome.state == UR_SPOOL_RECEIVING || sidecar->is_unread)) {
		return false;
	}
	if (movie != NULL && !movie->is_sidecar && // which is never an asset
		(movie->outcome.state == UR_SPOOL_RECEIVING || movie->is_unread ||
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

/* ---- all deliveries -------------------------------------------------------------------------- */

int64_t ur_delivery_wait_ms(const struct ur_session *session)
{
	return ur_verdict_wait_ms(&session->delivery->outcome, &session->gateway->limits,
		ur_spool_ran_ms(session->gateway->spool));
}

/** With a credential, from wherever an earlier process or key left it. */
static void set_out(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_spool_upload *upload = session->upload;
	if (upload->outcome.state != UR_SPOOL_DELIVERED) {
		const bool refused = upload->outcome.state == UR_SPOOL_REFUSED;
		ur_delivery_go(session, UR_DELIVERY_RELATED, refused ? REFUSED_MS : 0);
		return;
	}
	if (read_metadata(session) < 0) { // nobody knows whether a sidecar went with it
		ur_gateway_log(
			session->gateway, 3, "upload %s: its metadata cannot be read", upload->id);
		ur_delivery_go(session, UR_DELIVERY_KEY, LONGEST_PAUSE_MS);
		return;
	}
	/* What went along is written down; what its client names may be anything. */
	delivery->related = relative(session, upload->outcome.with);
	if (delivery->related != NULL &&
		(!delivery->related->is_sidecar ||
			delivery->related->outcome.state != UR_SPOOL_COMPLETE)) {
		delivery->related = NULL;
	}
	delivery->outcome = upload->outcome;
	ur_delivery_go(session, UR_DELIVERY_ASSET, ur_delivery_wait_ms(session));
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
			ur_delivery_go(session, UR_DELIVERY_RELATED, LONGEST_PAUSE_MS);
		} else if (session->upload->length == 0) {
			ur_delivery_refuse(
				session, 400, "an empty file is no picture; it is not sent");
		} else if (gather(session)) {
			ur_delivery_go(session, UR_DELIVERY_CHECK, 0);
		} else {
			ur_delivery_explain(session, "waits for the upload that belongs to it");
			ur_delivery_go(session, UR_DELIVERY_RELATED, RELATED_MS);
		}
		return;
	case UR_DELIVERY_CHECK:
		if (session->gateway->carrying >= session->gateway->limits.deliveries ||
			session->gateway->server.dialect == NULL) {
			ur_delivery_explain(session,
				session->gateway->server.dialect == NULL
					? "immich-server does not answer at present; it is "
					  "tried again"
					: "waits for its turn");
			ur_delivery_go(session, UR_DELIVERY_CHECK,
				500); // nothing could follow from the answer
		} else {
			ur_delivery_check(session);
		}
		return;
	case UR_DELIVERY_ASSET:
	case UR_DELIVERY_BYTES:
		ur_delivery_ask_asset(session);
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

void ur_delivery_advance(struct ur_session *session)
{
	const struct ur_delivery *delivery = session->delivery;
	for (int i = 0; i < UR_DELIVERY_SETTLED && !delivery->busy && !is_over(session) &&
			delivery->due_ms <= ur_gateway_now_ms() && !session->removing &&
			!atomic_load(&session->gateway->stopping);
		i++) {
		run(session);
	}
}

void ur_delivery_tick(struct ur_gateway *gateway)
{
	struct ur_session **at = &gateway->deliveries;
	unsigned busy = 0;
	while (*at != NULL) {
		struct ur_session *session = *at;
		if (busy < BUSY_MAX) {
			ur_delivery_advance(session);
		}
		busy += session->delivery->busy ? 1 : 0;
		if (is_over(session)) {
			ur_delivery_free(session); // takes it off the list
			ur_session_rest(session);
		} else {
			at = &session->delivery->next;
		}
	}
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
	delivery->fd = -1;
	delivery->request.context = session;
	delivery->outcome = upload->outcome;
	delivery->tries = upload->outcome.tries;
	delivery->suspect = upload->outcome.suspect;
	if (delivery->suspect && upload->outcome.state == UR_SPOOL_COMPLETE) {
		/* What was under way when the process ended may have reached the server. */
		const int64_t most_ms = ur_delivery_lost_ms(gateway);
		const int64_t gone_ms =
			ur_spool_ran_ms(gateway->spool) - upload->outcome.since_ran_ms;
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
		ur_delivery_explain(session, "its key was not kept; " UR_DELIVERY_WAITS_FOR_OWNER);
	}
	ur_delivery_go(session, UR_DELIVERY_KEY, 0);
	if (gateway->server.dialect != NULL) {
		ur_delivery_advance(session);
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

void ur_delivery_welcome(struct ur_gateway *gateway, const struct ur_visitor *who,
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
			ur_delivery_keep_credential(gateway, at->upload, credential);
		}
	}
}

bool ur_delivery_has_key(const struct ur_spool_upload *upload)
{
	const struct ur_session *session = upload->session;
	return session != NULL && session->delivery != NULL && session->delivery->has_credential;
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

void ur_delivery_free(struct ur_session *session)
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
	session->delivery->busy = false;
	ur_delivery_free(session);
}
