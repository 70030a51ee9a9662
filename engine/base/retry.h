/**
 * retry - what may pass if it is tried again, who can act on it, and how long to wait.
 *
 *     errno, HTTP status ──ur_retry_of()──▶ passes?  ──ur_retry_pause_ms()──▶ until when
 *                        └─ur_retry_fault()─▶ who can act
 *
 * The one table and the one back-off of the program.  What an answer means for a file is not here
 * (engine/immich/put): this says only whether the same question may get another answer.
 *
 *     no answer: the line broke        away       500 and other 5xx    failed
 *     502 503 504                      away       everything else      no
 *     408 423 425 429                  busy
 *
 *   Owner    plain values; a seed belongs to one thread
 *   Units    ms; an `asked_ms` below 0 means that nobody asked for a wait
 *   Errors   none: what is not in the table does not pass
 *   Threads  any
 */
#ifndef UR_BASE_RETRY_H
#define UR_BASE_RETRY_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum ur_passing {
	UR_PASSES_NOT,    // the same request gets the same answer, or the failure is our own side's
	UR_PASSES_BUSY,   // asked too soon, or by too many; whoever answered is there
	UR_PASSES_FAILED, // whoever answered failed over it, perhaps half-way
	UR_PASSES_AWAY,   // nobody was there to answer: no connection, or a proxy's word for that
};

/** `result`: a request's, 0 when an HTTP answer came; `status` counts only then. */
enum ur_passing ur_retry_of(int result, int status);
bool ur_retry_may_pass(int result, int status);
/** It says nothing about what was asked, only that the server, or the way to it, is not there. */
bool ur_retry_is_away(int result, int status);
/** WORLD: it may pass.  SETUP: a key, a right, a certificate.  FILE: this request's own fault. */
enum ur_fault ur_retry_fault(int result, int status);

/** Doubles from `first_ms` to `most_ms`. */
struct ur_backoff {
	int64_t first_ms;
	int64_t most_ms;
};

/** After `failures` in a row (0: before the first): the whole of it, for what survives a run. */
int64_t ur_retry_step_ms(const struct ur_backoff *backoff, unsigned failures);
/**
 * The same with jitter, so that many that failed together do not come back together: half to whole of
 * it, at least what was asked for.  `seed` is moved on.
 */
int64_t ur_retry_pause_ms(
	const struct ur_backoff *backoff, unsigned failures, int64_t asked_ms, uint64_t *seed);

#endif
