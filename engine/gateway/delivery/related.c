/* related - what belongs to an upload: its metadata, its sidecar, the movie of a live photo. */
#include "engine/gateway/delivery/internal.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDECAR_MAX (1u << 20)

static struct ur_spool_upload *relative(struct ur_session *session, const char *id)
{
	assert(session->upload->owner[0] != '\0');
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
	assert(sidecar->is_sidecar);
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
	assert((delivery->related == NULL) == (delivery->sidecar == NULL));
	return delivery->related != NULL || !fits;
}

/** What it becomes is not known yet: its picture waits for it. */
static bool is_undecided(const struct ur_spool_upload *movie)
{
	assert(!movie->is_sidecar);
	return movie->is_unread || movie->outcome.state == UR_SPOOL_RECEIVING ||
	       movie->outcome.state == UR_SPOOL_COMPLETE ||
	       (movie->outcome.state == UR_SPOOL_REFUSED &&
		       movie->outcome.status == UR_STATUS_QUOTA); // tried again, and never given up
}

bool ur_delivery_gather(struct ur_session *session)
{
	assert(session->delivery->metadata != NULL);
	struct ur_tus_metadata *said = session->delivery->metadata;
	struct ur_spool_upload *sidecar = relative(session, said->sidecar_upload);
	const struct ur_spool_upload *movie = relative(session, said->movie_upload);
	movie = movie != NULL && movie->is_sidecar ? NULL : movie; // which is never an asset
	if (sidecar != NULL &&
		(sidecar->outcome.state == UR_SPOOL_RECEIVING || sidecar->is_unread)) {
		return false;
	}
	if (movie != NULL && is_undecided(movie)) {
		return false;
	}
	if (movie != NULL && (movie->outcome.state == UR_SPOOL_DELIVERED ||
				     movie->outcome.state == UR_SPOOL_CONFIRMED)) {
		memcpy(said->live_movie, movie->outcome.asset, sizeof said->live_movie);
	}
	return sidecar == NULL || !sidecar->is_sidecar ||
	       sidecar->outcome.state != UR_SPOOL_COMPLETE || take_sidecar(session, sidecar);
}

int ur_delivery_read_metadata(struct ur_session *session)
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

void ur_delivery_find_related(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->metadata != NULL);
	/* What went along is written down; what its client names may be anything. */
	delivery->related = relative(session, session->upload->outcome.with);
	if (delivery->related != NULL &&
		(!delivery->related->is_sidecar ||
			delivery->related->outcome.state != UR_SPOOL_COMPLETE)) {
		delivery->related = NULL;
	}
}

void ur_delivery_judge_sidecar(struct ur_delivery *delivery)
{
	assert(delivery->related != NULL);
	assert(delivery->related->is_sidecar);
	assert(delivery->outcome.state == UR_SPOOL_CONFIRMED);
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

void ur_delivery_name_sidecar(const struct ur_delivery *delivery, struct ur_spool_outcome *outcome)
{
	assert(delivery->related == NULL || delivery->related->is_sidecar);
	(void)snprintf(outcome->with, sizeof outcome->with, "%s",
		delivery->related != NULL ? delivery->related->id : "");
}

/* ---- the same bytes twice -------------------------------------------------------------------- */

/** It is being sent, or what was sent of it may still arrive; whatever it waits for now. */
static bool is_on_the_wire(const struct ur_delivery *delivery)
{
	const bool sends = delivery->step == UR_DELIVERY_PUT && delivery->put.state == UR_PUT_SEND;
	return sends || ur_gateway_now_ms() < delivery->lost_until_ms;
}

static bool is_doubted(const struct ur_delivery *delivery)
{
	return delivery->put.doubted;
}

struct bytes {
	const char *owner;
	const uint8_t *sha1;
};

static struct bytes bytes_of(const struct ur_session *session)
{
	return (struct bytes){session->upload->owner, session->upload->sha1};
}

static bool are_same(const struct bytes *bytes, const char *owner, const uint8_t sha1[20])
{
	return memcmp(sha1, bytes->sha1, 20) == 0 && strcmp(owner, bytes->owner) == 0;
}

/** An upload of these bytes, but for `self`, is so. */
static bool has_twin(const struct ur_gateway *gateway, const struct bytes *bytes,
	const struct ur_session *self, bool (*is)(const struct ur_delivery *))
{
	assert(self == NULL || self->gateway == gateway);
	for (const struct ur_session *at = gateway->deliveries; at != NULL;
		at = at->delivery->next) {
		if (at != self && is(at->delivery) &&
			are_same(bytes, at->upload->owner, at->upload->sha1)) {
			return true;
		}
	}
	return false;
}

/** The last that was removed; NULL: none was. */
static const struct ur_departed *departed_of(
	const struct ur_gateway *gateway, const struct bytes *bytes)
{
	for (unsigned i = 0; i < UR_DEPARTED_MAX; i++) {
		const unsigned back = gateway->departures - 1 - i;
		const struct ur_departed *departed = &gateway->departed[back % UR_DEPARTED_MAX];
		if (departed->owner[0] != '\0' &&
			are_same(bytes, departed->owner, departed->sha1)) {
			return departed;
		}
	}
	return NULL;
}

void ur_delivery_remember_departed(struct ur_session *session)
{
	struct ur_gateway *gateway = session->gateway;
	const struct ur_delivery *delivery = session->delivery;
	const struct ur_spool_upload *upload = session->upload;
	const bool sends = delivery->put.state == UR_PUT_SEND && delivery->step == UR_DELIVERY_PUT;
	if (delivery->step == UR_DELIVERY_SETTLED || !(sends || delivery->put.doubted)) {
		return;
	}
	struct ur_departed *departed = &gateway->departed[gateway->departures++ % UR_DEPARTED_MAX];
	*departed = (struct ur_departed){
		.lost_until_ms = sends ? ur_gateway_now_ms() + ur_delivery_lost_ms(gateway)
				       : delivery->lost_until_ms,
		.doubt_ran_ms = ur_spool_ran_ms(gateway->spool),
	};
	assert(upload->owner[0] != '\0'); // a place without an owner is nobody's
	memcpy(departed->owner, upload->owner, sizeof departed->owner);
	memcpy(departed->sha1, upload->sha1, sizeof departed->sha1);
}

static bool is_on_wire(
	const struct ur_gateway *gateway, const struct bytes *bytes, const struct ur_session *self)
{
	const struct ur_departed *departed = departed_of(gateway, bytes);
	return has_twin(gateway, bytes, self, is_on_the_wire) ||
	       (departed != NULL && ur_gateway_now_ms() < departed->lost_until_ms);
}

static bool is_in_doubt(
	const struct ur_gateway *gateway, const struct bytes *bytes, const struct ur_session *self)
{
	const struct ur_departed *departed = departed_of(gateway, bytes);
	return has_twin(gateway, bytes, self, is_doubted) ||
	       (departed != NULL && ur_spool_ran_ms(gateway->spool) - departed->doubt_ran_ms <
					    gateway->limits.suspect_wait_ms);
}

bool ur_delivery_is_twin(const struct ur_session *session)
{
	assert(!session->upload->is_sidecar);
	const struct bytes bytes = bytes_of(session);
	return is_on_wire(session->gateway, &bytes, session);
}

bool ur_delivery_shares_doubt(const struct ur_session *session)
{
	assert(session->delivery->put.verdict == UR_PUT_THERE);
	const struct bytes bytes = bytes_of(session);
	return is_in_doubt(session->gateway, &bytes, session);
}

bool ur_delivery_is_in_doubt(
	const struct ur_gateway *gateway, const char *owner, const uint8_t sha1[20])
{
	assert(owner[0] != '\0');
	const struct bytes bytes = {owner, sha1};
	return is_on_wire(gateway, &bytes, NULL) || is_in_doubt(gateway, &bytes, NULL);
}
