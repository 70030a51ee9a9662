/*
 * bucket - a token bucket; no limit costs a comparison.
 */
#include "engine/base/bucket.h"

#include "engine/base/clock.h"

#define BURST_MS 100 // how much may be saved up

void ur_bucket_init(
	struct ur_bucket *bucket, const struct ur_schedule *schedule, struct ur_bucket_time now)
{
	*bucket = (struct ur_bucket){.schedule = *schedule};
	ur_bucket_look(bucket, now);
}

void ur_bucket_look(struct ur_bucket *bucket, struct ur_bucket_time now)
{
	if (now.wall_ns >= bucket->until_ns) {
		bucket->rate = ur_schedule_rate(&bucket->schedule, now.wall_ns, &bucket->until_ns);
		bucket->tokens = 0;
		bucket->counted_ns = now.steady_ns;
	}
	const double rate = (double)bucket->rate;
	const double most = rate * BURST_MS / 1000;
	bucket->tokens += rate * (double)(now.steady_ns - bucket->counted_ns) / UR_SECOND_NS;
	bucket->tokens = bucket->tokens > most ? most : bucket->tokens;
	bucket->counted_ns = now.steady_ns;
}

size_t ur_bucket_allows(const struct ur_bucket *bucket, size_t size)
{
	if (bucket->rate == 0) {
		return size;
	}
	return bucket->tokens < 1              ? 0
	       : bucket->tokens < (double)size ? (size_t)bucket->tokens
					       : size;
}

void ur_bucket_spend(struct ur_bucket *bucket, size_t size)
{
	if (bucket->rate != 0) {
		bucket->tokens -= (double)size;
	}
}

bool ur_bucket_is_limited(const struct ur_bucket *bucket)
{
	return bucket->rate != 0;
}
