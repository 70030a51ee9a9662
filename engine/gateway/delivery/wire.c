/* wire - what of a delivery a process that is killed leaves on its way to the server. */
#include "engine/gateway/delivery/internal.h"

#include <assert.h>

static int64_t may_come_ms(const struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	assert(!upload->is_sidecar);
	return ur_put_arrival_ms(ur_delivery_lost_ms(gateway), upload->length, 0);
}

void ur_delivery_take_wire(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->put.state == UR_PUT_SEND);
	delivery->wire = ur_wire_hold(session->gateway->wire, delivery->wire, session->upload->sha1,
		UR_MS_NS * may_come_ms(session->gateway, session->upload));
}

void ur_delivery_give_wire(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	assert(!delivery->busy);
	ur_wire_give(session->gateway->wire, delivery->wire);
	delivery->wire = UR_WIRE_NONE;
}

void ur_delivery_note_lost(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_wire *wire = session->gateway->wire;
	assert(!delivery->busy);
	ur_wire_renew(wire, delivery->wire, UR_MS_NS * ur_delivery_lost_ms(session->gateway));
	(void)ur_wire_gone(wire, delivery->wire); // where it fails the earlier note stands
}

/** By how long it has been so, as far as that is certain: the run time may be behind. */
static int64_t by_its_age_ms(const struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	const int64_t most_ms = may_come_ms(gateway, upload);
	const int64_t gone_ms = ur_spool_ran_ms(gateway->spool) - upload->outcome.since_ran_ms;
	return gone_ms < 0 ? most_ms : most_ms - gone_ms;
}

int64_t ur_delivery_left_ms(
	struct ur_gateway *gateway, const struct ur_spool_upload *upload, unsigned *place)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	assert(*place == UR_WIRE_NONE);
	if (!outcome->suspect || outcome->state != UR_SPOOL_COMPLETE) {
		return 0;
	}
	int64_t left_ns = UR_MS_NS * by_its_age_ms(gateway, upload);
	if (outcome->noted && ur_wire_knew(gateway->wire)) {
		(void)ur_wire_left(gateway->wire, upload->sha1, NULL,
			UR_MS_NS * may_come_ms(gateway, upload), &left_ns);
	}
	if (left_ns <= 0) {
		return 0;
	}
	*place = ur_wire_note(gateway->wire, UR_WIRE_NONE, upload->sha1, left_ns);
	return left_ns / UR_MS_NS + 1;
}

void ur_delivery_recall_wire(struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	unsigned place = UR_WIRE_NONE;
	if (!upload->is_sidecar) {
		(void)ur_delivery_left_ms(gateway, upload, &place);
	}
}
