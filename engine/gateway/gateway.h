/**
 * gateway - resumable uploads for Immich: receives, makes durable, delivers, confirms.
 *
 *     client ─▶ nginx ─▶ httpd ─▶ route ─▶ gate: who is it?
 *                                   │
 *                     create ◀──────┼──────▶ receive ─▶ spool ─▶ deliver ─▶ immich-server
 *                                   └──────▶ status, metrics
 *
 * One thread runs the loop and owns every struct; a crew of threads blocks on the disk; two threads
 * of curl talk to immich-server, one for questions, one for deliveries.
 *
 *   Owner    options and their strings are the caller's for the gateway's life
 *   Units    bytes, ms
 *   Errors   negative errno with a sentence; -EBUSY: the spool belongs to another gateway
 *   Threads  new, run and free on one; stop, reload and address on any
 *   Source   tus 1.0.0; what immich-server answers was recorded from a real one
 */
#ifndef UR_GATEWAY_GATEWAY_H
#define UR_GATEWAY_GATEWAY_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_GATEWAY_PROXIES_MAX 16u

/** What may change while it runs. */
struct ur_gateway_limits {
	uint64_t size_max;       // of one upload
	uint64_t user_uploads;   // unfinished or undelivered uploads of one user
	uint64_t user_bytes;     // and their bytes
	uint64_t keep_free;      // bytes that the spool's disk keeps free
	int64_t expire_ms;       // an unfinished upload, after its last byte
	int64_t keep_refused_ms; // an upload that immich-server refused
	int64_t keep_outcome_ms; // what became of a delivered one
	int64_t settle_after_ms; // from immich-server's 201 to the question whether it is there
	int64_t suspect_wait_ms; // the same after a doubtful ending
	int64_t answer_wait_ms;  // how long immich-server may store before it answers
	unsigned deliveries;     // at once
};
/** The defaults: 64 GiB a file, 1,000 uploads and no bound of bytes a user, 1 GiB kept free … */
struct ur_gateway_limits ur_gateway_limits_default(void);

struct ur_gateway_options {
	const char *listen; // "127.0.0.1:PORT", "unix:PATH"; NULL with listen_fd
	int listen_fd;
	const char *spool;
	const char *immich;   // "http://HOST:PORT", or NULL: none; finished uploads stay
	bool allow_anonymous; // only without immich
	const char *cacert;
	const char *base; // "/uringest/"
	/** Whose X-Real-IP is believed: addresses or "unix". */
	const char *proxies[UR_GATEWAY_PROXIES_MAX];
	size_t proxy_count;
	bool has_seal; // a key for the credentials in the spool
	uint8_t seal[32];
	bool no_hash; // bench only
	bool no_sync;
	unsigned crew;
	unsigned connections_max;
	struct ur_gateway_limits limits;
	/** One event, one sentence; level as syslog's.  From any of its threads. */
	void (*log)(void *context, int level, const char *text);
	/** Once a second or so, with one line on how it is doing. */
	void (*pulse)(void *context, const char *status);
	void *context;
};

struct ur_gateway;

[[nodiscard]] int ur_gateway_new(
	const struct ur_gateway_options *options, struct ur_gateway **ret, struct ur_err *err);
struct ur_gateway *ur_gateway_free(struct ur_gateway *gateway);
/** Until stopped; every offset is durable afterwards. */
[[nodiscard]] int ur_gateway_run(struct ur_gateway *gateway, struct ur_err *err);
/** What is waited for gets grace_ms, while all goes on; then it closes, in a moment (leave.h). */
void ur_gateway_stop(struct ur_gateway *gateway, int64_t grace_ms);
/** New limits, from now on. */
void ur_gateway_reload(struct ur_gateway *gateway, const struct ur_gateway_limits *limits);
const char *ur_gateway_address(const struct ur_gateway *gateway);

#endif
