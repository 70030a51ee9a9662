/**
 * http_parts - what the three files of http share.
 *
 *     http.c  a server, its thread ──▶  http_loop.c  waits, turns ──begin, finish──▶  http_request.c
 *             inbox ◀── any thread             │                                    what curl asks us
 *                                              ▼
 *                               curl: sockets that are ready, timers that are due
 *
 *   Owner    a request is in the inbox, then in `active`, then its submitter's again
 *   Threads  the loop's, but for the inbox, the bell and what is atomic
 */
#ifndef UR_NET_HTTP_PARTS_H
#define UR_NET_HTTP_PARTS_H

#include "engine/base/bucket.h"
#include "engine/base/queue.h"
#include "engine/net/http.h"

#include <curl/curl.h>
#include <pthread.h>

#define UR_HTTP_IDLE_HANDLES 64
#define UR_HTTP_GUESTS 2

struct ur_http {
	struct ur_http_options options;
	char *server;
	bool near;                 // ur_http_is_near(server)
	struct curl_slist *common; // headers of every request, the key among them
	struct ur_http_guest guests[UR_HTTP_GUESTS];
	size_t guest_count;
	pthread_t thread;
	bool running;
	pthread_barrier_t started;
	int start_result;
	struct ur_err start_err;
	/* From other threads. */
	_Atomic(struct ur_request *) inbox;
	atomic_bool news; // since the last wait
	struct ur_bell bell;
	atomic_bool stopping;
	atomic_bool cancelled;
	/* The loop's. */
	CURLM *multi;
	int epoll;
	int64_t timer_ns;  // when curl wants to be called, INT64_MAX: not at all
	int64_t look_ns;   // when the clocks are looked at again
	int64_t looked_ns; // and when they were last; 0: never
	struct ur_request *active;
	CURL *idle[UR_HTTP_IDLE_HANDLES];
	size_t idle_count;
	struct ur_bucket bucket;
	_Atomic uint64_t bytes_sent;
	_Atomic uint64_t bytes_moved; // both ways, as they pass
	_Atomic uint64_t requests;
	_Atomic uint64_t refusals;
};

/** The descriptors, curl among them. */
[[nodiscard]] int ur_http_loop_init(struct ur_http *http);
void ur_http_loop_done(struct ur_http *http);
/** The thread. */
void *ur_http_loop(void *http);

/** Hands a request to curl, or ends it. */
void ur_http_begin(struct ur_http *http, struct ur_request *request);
/** curl is done with it, or (forced, a negative errno) must be. */
void ur_http_finish(struct ur_http *http, struct ur_request *request, CURLcode code, int forced);
/** Both clocks, for the bucket. */
struct ur_bucket_time ur_http_now(void);

#endif
