/* retry - the table, and the arithmetic of a back-off. */
#include "engine/base/retry.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

/** What a broken line leaves; anything else that is no answer was ours: a disk, memory, a stop. */
static const int line_codes[] = {-ECONNREFUSED, -ECONNRESET, -ETIMEDOUT, -EPROTO, -EBADMSG};

static enum ur_passing of_code(int code)
{
	for (size_t i = 0; i < sizeof line_codes / sizeof *line_codes; i++) {
		if (code == line_codes[i]) {
			return UR_PASSES_AWAY;
		}
	}
	return UR_PASSES_NOT;
}

enum ur_passing ur_retry_of(int result, int status)
{
	if (result < 0) {
		return of_code(result);
	}
	switch (status) {
	case 408:
	case 423:
	case 425:
	case 429:
		return UR_PASSES_BUSY;
	case 502:
	case 503:
	case 504:
		return UR_PASSES_AWAY;
	default:
		return status >= 500 ? UR_PASSES_FAILED : UR_PASSES_NOT;
	}
}

bool ur_retry_may_pass(int result, int status)
{
	return ur_retry_of(result, status) != UR_PASSES_NOT;
}

bool ur_retry_is_away(int result, int status)
{
	return ur_retry_of(result, status) == UR_PASSES_AWAY;
}

enum ur_fault ur_retry_fault(int result, int status)
{
	if (ur_retry_may_pass(result, status)) {
		return UR_FAULT_WORLD;
	}
	if (result < 0) {
		return UR_FAULT_FILE;
	}
	return status == 401 || status == 403 ? UR_FAULT_SETUP
	       : status >= 400                ? UR_FAULT_FILE
					      : UR_FAULT_NONE;
}

int64_t ur_retry_step_ms(const struct ur_backoff *backoff, unsigned failures)
{
	assert(backoff->first_ms > 0);
	assert(backoff->most_ms >= backoff->first_ms);
	int64_t ms = backoff->first_ms;
	for (unsigned i = 0; i < failures && ms < backoff->most_ms; i++) {
		ms *= 2;
	}
	return ms < backoff->most_ms ? ms : backoff->most_ms;
}

int64_t ur_retry_pause_ms(
	const struct ur_backoff *backoff, unsigned failures, int64_t asked_ms, uint64_t *seed)
{
	const int64_t whole = ur_retry_step_ms(backoff, failures);
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	const int64_t pause =
		whole / 2 + (int64_t)((*seed >> 33) % (uint64_t)(whole - whole / 2 + 1));
	return asked_ms > pause ? asked_ms : pause;
}
