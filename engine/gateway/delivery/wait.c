/* wait - how long until the next try, until an asset is believed, until one is said to be broken. */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/retry.h"

#include <assert.h>

#define LOST_MS 300000 // the server may store for so long after the last byte

static const struct ur_backoff backoff = {
	.first_ms = 1000, .most_ms = UR_DELIVERY_LONGEST_PAUSE_MS};
static const struct ur_backoff quota_backoff = {.first_ms = 12000, .most_ms = 3600000};

int64_t ur_delivery_lost_ms(const struct ur_gateway *gateway)
{
	assert(gateway->limits.answer_wait_ms >= 0);
	return gateway->limits.answer_wait_ms < LOST_MS ? gateway->limits.answer_wait_ms : LOST_MS;
}

int64_t ur_delivery_pause_ms(struct ur_delivery *delivery, int64_t asked_ms)
{
	return ur_retry_pause_ms(&backoff, delivery->pauses, asked_ms, &delivery->seed);
}

int64_t ur_delivery_quota_pause_ms(struct ur_delivery *delivery)
{
	return ur_retry_pause_ms(&quota_backoff, delivery->pauses, -1, &delivery->seed);
}

int64_t ur_delivery_wait_ms(const struct ur_spool_outcome *outcome,
	const struct ur_gateway_limits *limits, int64_t now_ran_ms)
{
	assert(outcome->state == UR_SPOOL_DELIVERED);
	return ur_put_wait_ms(outcome->suspect, limits->settle_after_ms, limits->suspect_wait_ms,
		now_ran_ms - outcome->there_ran_ms);
}

enum ur_miss ur_delivery_miss(int64_t missed_ran_ms, int64_t proved_ran_ms, int64_t now_ran_ms)
{
	if (missed_ran_ms < 0) {
		return UR_MISS_FIRST;
	}
	const bool gave =
		proved_ran_ms > missed_ran_ms && now_ran_ms - proved_ran_ms < UR_DELIVERY_DAY_MS;
	/* Alone, as far as is known here: how many others failed in a row is in `gave`. */
	const enum ur_lack lack = ur_put_lack(1, gave, (now_ran_ms - missed_ran_ms) / 1000);
	assert(lack != UR_LACK_LIBRARY);
	return lack == UR_LACK_BROKEN ? UR_MISS_BROKEN : UR_MISS_AGAIN;
}
