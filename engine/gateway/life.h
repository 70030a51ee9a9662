/**
 * life - how long an upload lives, in time that gateways have run on its spool.
 *
 *   Units    ms of run time (see spool/spool.h)
 *   Threads  ur_life_of() any; the rest the loop's
 */
#ifndef UR_GATEWAY_LIFE_H
#define UR_GATEWAY_LIFE_H

#include "engine/gateway/gateway.h"
#include "engine/gateway/spool/spool.h"

/** Nothing of it may be needed any more; `keep` ms after it became so it goes. */
struct ur_life {
	bool ends;
	int64_t keep_ms;
	int64_t since_ran_ms;
};
/**
 * How long an upload lives.  Acknowledged bytes do not end by age, but for those that the server
 * refused by their type; what is damaged is its owner's to remove.
 */
struct ur_life ur_life_of(
	const struct ur_spool_upload *upload, const struct ur_gateway_limits *limits);
/** The same here and now: what is only remembered goes earlier where there is much of it. */
struct ur_life ur_life_here(const struct ur_gateway *gateway, const struct ur_spool_upload *upload);
/** By the wall, for people: the earliest time at which an upload's life may end; 0: it does not. */
int64_t ur_life_ends_ms(const struct ur_gateway *gateway, const struct ur_spool_upload *upload);

#endif
