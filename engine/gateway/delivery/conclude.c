/*
 * conclude - what became of an upload, durable before anybody acts upon it; then what may go, goes.
 *
 *   Threads  write_down() and clear_away() on the crew's, while the delivery is busy
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/gateway/crew.h"

#include <assert.h>

struct ur_session *ur_delivery_session_of(struct ur_job *job)
{
	const struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)job - offsetof(struct ur_delivery, job));
	const struct ur_session *session = delivery->request.context;
	assert(session->delivery == delivery);
	return delivery->request.context;
}

static void begin(struct ur_session *session, void (*run)(struct ur_job *job),
	void (*done)(struct ur_job *job))
{
	struct ur_delivery *delivery = session->delivery;
	assert(!delivery->busy);
	delivery->busy = true;
	delivery->job.run = run;
	delivery->job.done = done;
	ur_crew_submit(session->gateway->crew, &delivery->job);
}

static void write_down(struct ur_job *job)
{
	struct ur_session *session = ur_delivery_session_of(job);
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->busy);
	delivery->result = 0;
	/* Before its picture, which is asked for again after a crash in between; it never would be. */
	if (delivery->related != NULL && delivery->outcome.state == UR_SPOOL_CONFIRMED) {
		ur_delivery_judge_sidecar(delivery);
		delivery->result = ur_spool_conclude(
			delivery->related, &delivery->related_outcome, &delivery->err);
	}
	if (delivery->result == 0) {
		delivery->result =
			ur_spool_conclude(session->upload, &delivery->outcome, &delivery->err);
	}
}

void ur_delivery_conclude(struct ur_session *session, void (*done)(struct ur_job *job))
{
	struct ur_delivery *delivery = session->delivery;
	const enum ur_put_state state = delivery->put.state;
	assert(delivery->outcome.state != UR_SPOOL_RECEIVING);
	assert(delivery->outcome.state != UR_SPOOL_BROKEN);
	assert(delivery->outcome.state != UR_SPOOL_CONFIRMED || state == UR_PUT_PROVED);
	ur_spool_stamp(session->gateway->spool, &delivery->outcome);
	delivery->outcome.tries = delivery->tries;
	if (state != UR_PUT_PROVED) { // where the doubt that there was stays written down
		/* While it is being sent nobody knows; a restart in between finds that written. */
		delivery->outcome.suspect = delivery->put.doubted || state == UR_PUT_SEND;
		delivery->outcome.noted = state == UR_PUT_SEND && delivery->wire != UR_WIRE_NONE;
	}
	begin(session, write_down, done);
}

void ur_delivery_concluded(struct ur_session *session)
{
	const struct ur_delivery *delivery = session->delivery;
	assert(!delivery->busy);
	assert(delivery->result == 0);
	ur_spool_concluded(session->upload, &delivery->outcome);
	if (delivery->outcome.state == UR_SPOOL_CONFIRMED && delivery->related != NULL) {
		ur_spool_concluded(delivery->related, &delivery->related_outcome);
	}
}

static void clear_away(struct ur_job *job)
{
	struct ur_session *session = ur_delivery_session_of(job);
	struct ur_delivery *delivery = session->delivery;
	assert(delivery->busy);
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

void ur_delivery_tidy(struct ur_session *session, void (*done)(struct ur_job *job))
{
	assert(session->delivery->step == UR_DELIVERY_SETTLED);
	assert(ur_spool_is_over(&session->upload->outcome));
	begin(session, clear_away, done);
}
