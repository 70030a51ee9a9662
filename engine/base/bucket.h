/**
 * bucket - how many bytes may go now, at a rate that follows a schedule.
 *
 *     the clocks ──look──▶ tokens (at most a tenth of a second's) ──allows, spend──▶ bytes
 *
 *   Owner    a plain struct
 *   Units    bytes; a rate of 0 is no limit
 *   Errors   none
 *   Threads  one
 */
#ifndef UR_BASE_BUCKET_H
#define UR_BASE_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/schedule.h"

/** Both clocks, as they are now. */
struct ur_bucket_time {
	int64_t wall_ns;   // the schedule goes by
	int64_t steady_ns; // what comes together is counted by
};

struct ur_bucket {
	struct ur_schedule schedule;
	uint64_t rate;      // bytes a second, 0: unlimited
	int64_t until_ns;   // of the wall clock: then the schedule is asked again
	double tokens;      // bytes that may go
	int64_t counted_ns; // of the steady clock: so far they are counted
};

/** As the schedule is now; empty. */
void ur_bucket_init(
	struct ur_bucket *bucket, const struct ur_schedule *schedule, struct ur_bucket_time now);
/** Adds what has come together; a new rate, when the time of the schedule's next entry has come. */
void ur_bucket_look(struct ur_bucket *bucket, struct ur_bucket_time now);
/** How many of `size` bytes may go as of the last look; 0: a little later. */
size_t ur_bucket_allows(const struct ur_bucket *bucket, size_t size);
void ur_bucket_spend(struct ur_bucket *bucket, size_t size);
bool ur_bucket_is_limited(const struct ur_bucket *bucket);

#endif
