/**
 * state - all that the gateway is: what it was told, its parts, who is here, what it has counted.
 *
 * The files of this folder and of those below share it; to everybody else it is opaque (gateway.h).
 *
 *   Threads  the loop's, but for `stopping`, `leave_until_ms` and `new_limits`; the log on any
 */
#ifndef UR_GATEWAY_STATE_H
#define UR_GATEWAY_STATE_H

#include "engine/base/clock.h"
#include "engine/gateway/crew.h"
#include "engine/gateway/gateway.h"
#include "engine/gateway/spool/spool.h"
#include "engine/media/kind.h"
#include "engine/net/http.h"
#include "engine/net/httpd.h"
#include "engine/net/immich.h"
#include "engine/net/wire.h"

#include <errno.h>
#include <stdatomic.h>

struct ur_gate;
struct ur_session;
struct ur_visit;

struct ur_counters {
	uint64_t created;
	uint64_t early; // answered at once: the server had it
	uint64_t complete;
	uint64_t delivered;
	uint64_t duplicates;
	uint64_t refused;
	uint64_t broken;
	uint64_t expired;
	uint64_t terminated;
	uint64_t taken_over;
	uint64_t mismatches;
	uint64_t disk_full;
	uint64_t bytes_received;
	uint64_t bytes_delivered;
	uint64_t checkpoints;
};

/** What was sent of an upload that its owner removed: it may still arrive, and is doubted. */
struct ur_departed {
	char owner[UR_SPOOL_USER];
	uint8_t sha1[20];
	int64_t lost_until_ms; // steady
	int64_t doubt_ran_ms;  // run time: since when
};
#define UR_DEPARTED_MAX 64u

struct ur_gateway {
	struct ur_gateway_options options;
	struct ur_gateway_limits limits;
	char base[128];
	struct ur_httpd *httpd;
	struct ur_crew *crew;
	struct ur_spool *spool;
	struct ur_wire *wire; // which deliveries have gone out whole; NULL: nobody notes it
	struct ur_gate *gate;
	struct ur_http *ask;     // questions
	struct ur_http *carry;   // deliveries
	struct ur_server server; // its version, once known
	int64_t version_until_ms;
	bool version_asking;
	bool server_away; // and the log says so
	int away_kind;    // the reason that the log names
	int64_t version_asked_ms;
	int64_t silence_told_ms; // of an upload that it was asked about; 0: never
	struct ur_request version_request;
	struct ur_post version_post;
	struct ur_session *deliveries;
	struct ur_departed departed[UR_DEPARTED_MAX]; // the last ones, in turn
	unsigned departures;
	int64_t proved_ran_ms; // an asset gave its bytes; UR_SPOOL_NEVER
	struct ur_job clock_job;
	bool clock_busy;
	int64_t clock_ms;       // steady; the run time was written down
	struct ur_types *types; // that the server takes; NULL: not known
	unsigned carrying;
	unsigned receiving;
	unsigned making;   // creations under way
	unsigned awaiting; // visits that wait for bytes to be durable
	uint64_t making_bytes;
	size_t records; // uploads, and what is remembered of them
	struct ur_visit *visits;
	atomic_bool stopping;
	struct ur_post leave_post;
	atomic_llong leave_until_ms; // steady; the answers that are waited for
	uint64_t leave_from;         // the last visit that was here when it was asked to stop
	bool closing;                // nobody new comes, bodies end
	int64_t closed_ms;
	uint64_t visit_count;
	int64_t swept_ms;
	struct ur_counters counters;
	_Atomic(struct ur_gateway_limits *) new_limits;
};

/** One event, one sentence; level as syslog's. */
void ur_gateway_log(struct ur_gateway *gateway, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline int64_t ur_gateway_now_ms(void) // steady
{
	return ur_clock_steady_ns() / UR_MS_NS;
}
/** The disk, or what a user may have of it. */
static inline bool ur_is_full(int code)
{
	return code == -ENOSPC || code == -EDQUOT;
}

#endif
