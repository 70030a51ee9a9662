/**
 * verdict - what an answer of immich-server, or of whatever stands before it, means for an upload.
 *
 *     question × answer ──ur_verdict()──▶ what follows        asset seen, doubt ──wait()──▶ until when
 *                                         bytes not given ──miss()──▶ asked again, or broken there
 *
 * All decisions of a delivery that could let go of bytes, give an upload up, or send it again.  Pure:
 * no socket, no disk, no clock; times come in as run time.
 *
 *     whose word   check              send                    asset              bytes
 *     none came    again              doubt if the body went  again              again
 *     a page       again              doubt if the body went  again              again
 *     200 201 206  read, or again     read, or doubt          read, or again     read, or missed
 *     400          again              quota, or refused       gone               missed
 *     401          key                key                     key                key
 *     403          key                key                     rights             rights
 *     404          again              doubt if the body went  gone               missed
 *     416          again              doubt if the body went  again              missed
 *     408 429      again              doubt if the body went  again              again
 *     5xx          again              doubt                   again              missed, if 500
 *
 * A 502, 503 or 504 is nobody's word about a file, whoever says it.
 *
 *   Units    ms of run time (see spool.h)
 *   Threads  any
 */
#ifndef UR_GATEWAY_VERDICT_H
#define UR_GATEWAY_VERDICT_H

#include "engine/gateway/gateway.h"
#include "engine/gateway/spool/spool.h"

enum ur_asked {
	UR_ASKED_CHECK, // does it have the bytes already?
	UR_ASKED_SEND,
	UR_ASKED_ASSET, // promise 1 (a)
	UR_ASKED_BYTES, // promise 1 (b)
};

struct ur_answer {
	enum ur_asked asked;
	int result; // below 0: none came
	int status;
	bool own;       // ur_immich_is_own_word()
	bool readable;  // it says what was asked for; of bytes: as many as there should be
	bool quota;     // a 400 about that
	bool body_gone; // all of the request went out
};

enum ur_follow {
	UR_FOLLOW_READ,    // what it says decides
	UR_FOLLOW_AGAIN,   // the same question, later, for as long as it takes
	UR_FOLLOW_DOUBT,   // the server may have it: asked by checksum, and its claim is doubted
	UR_FOLLOW_KEY,     // the key is not known, or may not: its owner's next request brings one
	UR_FOLLOW_RIGHTS,  // the key may not be shown the proof
	UR_FOLLOW_QUOTA,   // no room for this user now: again, and never given up
	UR_FOLLOW_REFUSED, // not a thing that the server takes
	UR_FOLLOW_GONE,    // the asset is not there (any more): asked by checksum
	UR_FOLLOW_MISSED,  // the asset is there and its bytes are not given
};
enum ur_follow ur_verdict(const struct ur_answer *answer);
/** A 201 in the server's own words; anything else leaves its claim in doubt. */
bool ur_verdict_is_certain(const struct ur_answer *answer);

/** From when the asset was seen to when it may be believed: what is left of it now. */
int64_t ur_verdict_wait_ms(const struct ur_spool_outcome *outcome,
	const struct ur_gateway_limits *limits, int64_t now_ran_ms);

enum ur_miss {
	UR_MISS_FIRST,  // its time is to be written down
	UR_MISS_AGAIN,  // not long enough ago, or no other asset gave its bytes meanwhile
	UR_MISS_BROKEN, // a day at least between two failures, while the server gives other bytes
};
#define UR_MISS_APART_MS (INT64_C(24) * 3600 * 1000)
/** `proved_ran_ms`: when another asset gave its bytes last; UR_SPOOL_NEVER: never. */
enum ur_miss ur_verdict_miss(int64_t missed_ran_ms, int64_t proved_ran_ms, int64_t now_ran_ms);

#endif
