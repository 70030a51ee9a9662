/**
 * limits - what may be had here at most.
 *
 *   Units    bytes
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_LIMITS_H
#define UR_GATEWAY_LIMITS_H

#include "engine/gateway/state.h"

#define UR_RECORDS_MAX 100000u // uploads and what is remembered of them

/** So many bytes more are within what this user may have here. */
bool ur_limits_share(const struct ur_gateway *gateway, const char *user, uint64_t more);
/** However many others end: no user may have so many bytes here. */
bool ur_limits_never(const struct ur_gateway *gateway, uint64_t length);
#define UR_SHARE_WORDS                                                                        \
	"your unfinished uploads are as large as they may be here; finish or terminate some " \
	"of them first"
/** The spool's disk has at least what it keeps free. */
bool ur_limits_room(const struct ur_gateway *gateway);
/** And room for a new upload, beside those that are being made. */
bool ur_limits_fits(const struct ur_gateway *gateway, uint64_t length);

#endif
