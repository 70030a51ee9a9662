/**
 * schedule - a rate that follows the clock on the wall.
 *
 *     "2M"                    always 2 MiB a second
 *     "off"                   never a limit
 *     "08:00,2M 23:00,off"    from eight 2 MiB a second, from eleven at night none until eight
 *
 * Times are local times of day.  The last entry of a day holds over midnight until the first one.
 * Where the clocks are set forward over an entry's time, it begins at the first minute after it.
 *
 *   Owner    a plain struct, copied freely
 *   Units    bytes per second, 0 means unlimited; minutes since local midnight; wall nanoseconds
 *   Errors   -EINVAL with a sentence that names the entry and what is wrong with it
 *   Threads  any; the zone is the process's (TZ)
 */
#ifndef UR_BASE_SCHEDULE_H
#define UR_BASE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define UR_SCHEDULE_MAX 24u

struct ur_schedule_entry {
	uint64_t rate; // bytes per second, 0 = unlimited
	int minute;    // of the local day, 0-1439
};

struct ur_schedule {
	struct ur_schedule_entry entries[UR_SCHEDULE_MAX]; // by minute, each one once
	size_t count;                                      // 0: unlimited for ever
};

/** Entries may stand in any order; a time that comes twice is an error. */
[[nodiscard]] int ur_schedule_parse(const char *text, struct ur_schedule *ret, struct ur_err *err);
/**
 * The rate at `wall_ns`.  *ret_next_ns (may be NULL) is when to ask again, always later: INT64_MAX
 * where nothing ever changes, otherwise the next entry's time, or the moment before it at which the
 * clocks are set forward or back.
 */
uint64_t ur_schedule_rate(
	const struct ur_schedule *schedule, int64_t wall_ns, int64_t *ret_next_ns);

#endif
