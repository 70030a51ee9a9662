/* life - a table, read by what became of the upload; see the header. */
#include "engine/gateway/life.h"

#include "engine/gateway/limits.h"
#include "engine/gateway/state.h"

#include <assert.h>

#define HOUR_MS (INT64_C(3600) * 1000)
#define BROKEN_MS HOUR_MS

static struct ur_life until(int64_t since_ran_ms, int64_t keep_ms)
{
	return (struct ur_life){.ends = true, .keep_ms = keep_ms, .since_ran_ms = since_ran_ms};
}

struct ur_life ur_life_of(
	const struct ur_spool_upload *upload, const struct ur_gateway_limits *limits)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	const struct ur_life for_ever = {0};
	if (upload->is_damaged) {
		return for_ever;
	}
	switch (outcome->state) {
	case UR_SPOOL_RECEIVING:
		return until(upload->touched_ran_ms, limits->expire_ms);
	case UR_SPOOL_BROKEN: // its last byte was never acknowledged
		return until(upload->touched_ran_ms, BROKEN_MS);
	case UR_SPOOL_COMPLETE:
	case UR_SPOOL_DELIVERED:
		return for_ever;
	case UR_SPOOL_CONFIRMED:
		return until(outcome->since_ran_ms, limits->keep_outcome_ms);
	case UR_SPOOL_REFUSED:
		if (upload->bytes_gone || outcome->status == UR_STATUS_EXPIRED) {
			return until(outcome->since_ran_ms, limits->keep_outcome_ms);
		}
		return outcome->status == 400
			       ? until(outcome->since_ran_ms, limits->keep_refused_ms)
			       : for_ever;
	case UR_SPOOL_STATES:
		break;
	}
	assert(!"an upload without a state");
	return for_ever;
}

/** What is only remembered makes room for what comes, long before there is none. */
struct ur_life ur_life_here(const struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	struct ur_life life = ur_life_of(upload, &gateway->limits);
	if (upload->bytes_gone && gateway->records > UR_RECORDS_MAX / 2 && life.keep_ms > HOUR_MS) {
		life.keep_ms = HOUR_MS;
	}
	return life;
}

int64_t ur_life_ends_ms(const struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	const struct ur_life life = ur_life_here(gateway, upload);
	const int64_t passed = ur_spool_ran_ms(gateway->spool) - life.since_ran_ms;
	const int64_t left = life.keep_ms - (passed > 0 ? passed : 0);
	return life.ends ? ur_clock_wall_ns() / UR_MS_NS + (left > 0 ? left : 0) : 0;
}
