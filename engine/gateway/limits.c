/* limits - what may be had here at most. */
#include "engine/gateway/limits.h"

#define HOUR_MS (INT64_C(3600) * 1000)
#define DAY_MS (24 * HOUR_MS)

struct ur_gateway_limits ur_gateway_limits_default(void)
{
	return (struct ur_gateway_limits){
		.size_max = UINT64_C(64) << 30,
		.user_uploads = 1000,
		.user_bytes = 0,
		.keep_free = UINT64_C(1) << 30,
		.expire_ms = 7 * DAY_MS,
		.keep_refused_ms = 30 * DAY_MS,
		.keep_outcome_ms = 7 * DAY_MS,
		.settle_after_ms = 60000,
		.suspect_wait_ms = HOUR_MS,
		.answer_wait_ms = HOUR_MS,
		.deliveries = 2,
	};
}

bool ur_limits_share(const struct ur_gateway *gateway, const char *user, uint64_t more)
{
	const uint64_t most = gateway->limits.user_bytes;
	const uint64_t have = ur_spool_use_of(gateway->spool, user).bytes + gateway->making_bytes;
	return most == 0 || (have <= most && more <= most - have);
}

bool ur_limits_never(const struct ur_gateway *gateway, uint64_t length)
{
	return gateway->limits.user_bytes != 0 && length > gateway->limits.user_bytes;
}

bool ur_limits_room(const struct ur_gateway *gateway)
{
	uint64_t left = 0;
	return ur_spool_space(gateway->spool, &left) < 0 || left >= gateway->limits.keep_free;
}

bool ur_limits_fits(const struct ur_gateway *gateway, uint64_t length)
{
	const uint64_t keep = gateway->limits.keep_free;
	const uint64_t making = gateway->making_bytes;
	uint64_t left = 0;
	return ur_spool_space(gateway->spool, &left) < 0 ||
	       (left >= keep && left - keep >= making && left - keep - making >= length);
}
