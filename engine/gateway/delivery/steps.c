/*
 * steps - what is due: a key, what belongs together, the next question.
 *
 * A step looks and decides; it returns what is next, or has asked something and the delivery is busy.
 */
#include "engine/gateway/delivery/internal.h"

#include <assert.h>

#define RELATED_MS 2000
#define REFUSED_MS 10000 // what may have changed while the gateway did not run

static struct ur_next wait_for_metadata(struct ur_session *session, enum ur_delivery_step step)
{
	assert(session->delivery->metadata == NULL);
	ur_gateway_log(
		session->gateway, 3, "upload %s: its metadata cannot be read", session->upload->id);
	return ur_next_later(step, UR_DELIVERY_LONGEST_PAUSE_MS);
}

/** With a credential, from wherever an earlier process or key left it. */
static struct ur_next set_out(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	const struct ur_spool_upload *upload = session->upload;
	const struct ur_gateway *gateway = session->gateway;
	assert(delivery->has_credential);
	if (upload->outcome.state != UR_SPOOL_DELIVERED) {
		const bool refused = upload->outcome.state == UR_SPOOL_REFUSED;
		ur_delivery_restart(delivery, UR_PUT_CHECK);
		return ur_next_later(UR_DELIVERY_RELATED, refused ? REFUSED_MS : 0);
	}
	if (ur_delivery_read_metadata(session) < 0) { // nobody knows whether a sidecar went with it
		return wait_for_metadata(session, UR_DELIVERY_KEY);
	}
	ur_delivery_find_related(session);
	delivery->outcome = upload->outcome;
	ur_delivery_restart(delivery, UR_PUT_ASSET);
	return ur_next_later(
		UR_DELIVERY_PUT, ur_delivery_wait_ms(&delivery->outcome, &gateway->limits,
					 ur_spool_ran_ms(gateway->spool)));
}

static struct ur_next run_key(struct ur_session *session)
{
	assert(session->delivery->step == UR_DELIVERY_KEY);
	return session->delivery->has_credential ? set_out(session)
						 : ur_next_later(UR_DELIVERY_KEY, 0);
}

static struct ur_next run_related(struct ur_session *session)
{
	assert(session->delivery->put.state == UR_PUT_CHECK ||
		session->delivery->put.state == UR_PUT_LOST);
	if (ur_delivery_read_metadata(session) < 0) {
		return wait_for_metadata(session, UR_DELIVERY_RELATED);
	}
	if (session->upload->length == 0) {
		return ur_delivery_refuse(
			session, 400, "an empty file is no picture; it is not sent");
	}
	if (!ur_delivery_gather(session)) {
		ur_delivery_explain(session, "waits for the upload that belongs to it");
		return ur_next_later(UR_DELIVERY_RELATED, RELATED_MS);
	}
	return ur_next_later(UR_DELIVERY_PUT, 0);
}

/** NULL, or why nothing could follow from what the server says. */
static const char *why_not_now(const struct ur_session *session)
{
	const struct ur_gateway *gateway = session->gateway;
	const enum ur_put_state state = session->delivery->put.state;
	assert(session->delivery->step == UR_DELIVERY_PUT);
	if (state != UR_PUT_CHECK && state != UR_PUT_LOST) {
		return NULL;
	}
	if (gateway->server.dialect == NULL) {
		return "immich-server does not answer at present; it is tried again";
	}
	if (ur_delivery_is_twin(session)) {
		return "waits for another upload with the same bytes";
	}
	return gateway->carrying >= gateway->limits.deliveries ? "waits for its turn" : NULL;
}

static struct ur_next run_put(struct ur_session *session)
{
	assert(session->delivery->put.state != UR_PUT_OVER);
	const char *why = why_not_now(session);
	if (why != NULL) {
		ur_delivery_explain(session, "%s", why);
		return ur_next_later(UR_DELIVERY_PUT, UR_DELIVERY_TURN_MS);
	}
	if (ur_delivery_ask(session) < 0) {
		if (session->delivery->put.state == UR_PUT_SEND) {
			ur_delivery_restart(session->delivery, UR_PUT_CHECK);
		}
		return ur_delivery_again(session, UR_DELIVERY_PUT);
	}
	assert(session->delivery->busy);
	return ur_next_later(UR_DELIVERY_PUT, 0);
}

struct ur_next ur_delivery_run(struct ur_session *session)
{
	assert(!session->delivery->busy);
	switch (session->delivery->step) {
	case UR_DELIVERY_KEY:
		return run_key(session);
	case UR_DELIVERY_RELATED:
		return run_related(session);
	case UR_DELIVERY_PUT:
		return run_put(session);
	case UR_DELIVERY_SETTLED:
	case UR_DELIVERY_STEPS:
		break;
	}
	assert(!"what is settled is never due");
	return ur_next_later(UR_DELIVERY_SETTLED, 0);
}
