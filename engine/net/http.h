/**
 * http - requests to one server, on a thread of its own.
 *
 *     any thread ──submit──▶ [requests] ──curl multi──▶ server ──▶ request.done(), on this thread
 *                                 ▲
 *                       guest.turn(): the upload stage, whose file reads end up here too
 *
 * HTTP/1.1, kept-alive connections younger than the server's idle limit, no `Expect`, no redirect
 * followed (a key must not travel to where a redirect points).  The key is in a header only and in
 * no message.  A body is a list of pieces: bytes in memory, or a stream that may ask for a pause.
 *
 *   Owner    the request and everything it points at are http's from submit to done()
 *   Units    times in ms, sizes in bytes, rates in bytes a second
 *   Errors   request.result is 0 when an HTTP answer came, whatever its status; otherwise a
 *            negative errno with a sentence in request.err:
 *            -ECONNREFUSED  no connection (nothing was sent)
 *            -ECONNRESET    the connection broke        -ETIMEDOUT  no progress in time
 *            -EPROTO        TLS or protocol failure     -ECANCELED  http is being stopped
 *            anything a stream's read() returned
 *   Threads  submit, wake and the counters from any thread; everything else on http's own
 *   Source   idle connections live 6 s at the server, so ours are reused for 4 s at most; an answer
 *            before the end of a body means finish or close: curl closes on errors
 */
#ifndef UR_NET_HTTP_H
#define UR_NET_HTTP_H

#include "engine/base/err.h"
#include "engine/base/schedule.h"
#include "engine/base/text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UR_HTTP_PIECES_MAX 8
#define UR_HTTP_ANSWER_MAX (8u << 20)
#define UR_HTTP_HEADERS_MAX 32
#define UR_HTTP_MORE_MAX 4
#define UR_HTTP_LINES (3 + UR_HTTP_MORE_MAX)
#define UR_HTTP_WORDS 256      // CURL_ERROR_SIZE
#define UR_HTTP_FIELD_MAX 1024 // bytes of a header's value that are given to field()

struct ur_http;
struct ur_request;

/** A part of a body that comes from elsewhere. */
struct ur_stream {
	/**
	 * Up to `size` bytes; 0 at the end; -EAGAIN: not ready, ur_http_resume() will follow; any other
	 * negative errno breaks the connection off.
	 */
	ssize_t (*read)(struct ur_stream *stream, void *buffer, size_t size);
};

struct ur_piece {
	const void *bytes; // in memory, or NULL
	struct ur_stream *stream;
	uint64_t size;
};

struct ur_request {
	/* The caller's. */
	const char *method; // "GET", "POST", "PUT"
	const char *path;   // "/api/users/me"; begins with a slash
	const char *url;    // a whole URL instead of the server's and the path; NULL without
	const char *content_type;
	char header[2][320];                // further header lines, "" for none
	const char *more[UR_HTTP_MORE_MAX]; // and further ones, of any size; NULL for none
	struct ur_piece pieces[UR_HTTP_PIECES_MAX];
	size_t piece_count;
	bool upload;            // counts in bytes_sent and against the bandwidth limit
	bool uncounted;         // … not in bytes_sent: the caller counts what has arrived
	int64_t answer_wait_ms; // from the last byte of the body to the end of the answer, in which
				// each KiB that comes is worth a second more
	size_t answer_max;      // bytes of the answer that are kept; 0: UR_HTTP_ANSWER_MAX
	/** Takes the body of a 200 or 206 instead of `answer`; a negative errno breaks it off. */
	int (*sink)(struct ur_request *request, const void *bytes, size_t size);
	/** Before the last byte of the body is handed over, once; a negative errno keeps it back. */
	int (*last)(struct ur_request *request);
	/** Gets each header of the answer; NULL: nobody asks. */
	void (*field)(struct ur_request *request, const char *name, const char *value);
	void (*done)(struct ur_request *request);
	void *owner;
	void *context; // a second word for whoever submits

	/* The result. */
	int result;
	int status;
	struct ur_err err;
	struct ur_text answer;
	int64_t retry_after_ms; // from Retry-After, -1 without
	bool body_gone;         // the last byte of the body was handed to the connection
	uint64_t sent;          // body bytes written
	char content_range[64];
	char correlation
		[64]; // x-immich-cid or X-Correlation-ID: see ur_immich_is_own_word(); "" without
	char answer_type[64]; // Content-Type as it came, "" without
	char location[256];   // where a redirect points, "" without: none is followed
	bool html;            // the answer says it is HTML: a proxy's page, not the server's word

	/* http's own. */
	struct ur_http *http;
	struct ur_request *next;
	struct ur_request **link; // what points at this one
	void *handle;
	struct ur_http_line { // as curl_slist, which it is cast to
		char *data;
		struct ur_http_line *next;
	} lines[UR_HTTP_LINES]; // of this request; behind the last one stand those of all requests
	char type[160];
	uint64_t size; // of the whole body
	size_t piece;
	uint64_t piece_done;
	int64_t progress_ns;
	int stream_error;
	bool paused;
	char words[UR_HTTP_WORDS]; // what curl says went wrong
};

struct ur_http_options {
	const char *server; // "https://photos.example.org", a path may follow
	const char *key;    // NULL: none
	const char *cacert;
	const char *client_cert;
	const char *client_key;
	const char *proxy;
	const char *const *headers; // further header lines, NULL-terminated, or NULL
	struct ur_schedule rate;    // of uploads
	int64_t connect_ms;
	int64_t stall_ms;
	unsigned connections_max;
};

/** Work that lives on http's thread. */
struct ur_http_guest {
	int (*start)(void *context, struct ur_err *err); // once, first thing on the thread
	void (*turn)(void *context);                     // every turn of the loop
	void (*stop)(void *context);                     // last thing on the thread
	int (*fd)(void *context); // asked once: signalled (an eventfd) when there is work, -1: none
	void *context;
	const struct ur_http_guest *next; // another guest on the same thread, or NULL; copied
};

[[nodiscard]] int ur_http_new(const struct ur_http_options *options,
	const struct ur_http_guest *guest, struct ur_http **ret, struct ur_err *err);
/** Cancels what is under way (done() runs with -ECANCELED) and joins the thread. */
struct ur_http *ur_http_free(struct ur_http *http);

void ur_http_submit(struct ur_http *http, struct ur_request *request);
void ur_http_wake(struct ur_http *http);
/** The stream that answered -EAGAIN has bytes again.  On http's thread. */
void ur_http_resume(struct ur_http *http, struct ur_request *request);
/** Submits and waits; for set-up, outside http's thread.  request.done is overwritten. */
void ur_http_call(struct ur_http *http, struct ur_request *request);
/** Frees what a result holds. */
void ur_request_done(struct ur_request *request);

uint64_t ur_http_bytes_sent(const struct ur_http *http);
/** Of all bodies and answers, as they pass, or have arrived where only that counts: does anything move? */
uint64_t ur_http_bytes_moved(const struct ur_http *http);
/** Bytes of an uncounted upload that have arrived. */
void ur_http_count(struct ur_http *http, uint64_t bytes);
uint64_t ur_http_requests(const struct ur_http *http);
/** Answers that refuse what was asked (4xx, but for "not found", "too large", "not now"). */
uint64_t ur_http_refusals(const struct ur_http *http);
/** From now on every request, also those under way, ends with -ECANCELED. */
void ur_http_cancel(struct ur_http *http);

/** The address of `url` as it may be shown: without a name and a password before its host. */
#define UR_HTTP_SHOWN 256
void ur_http_show(const char *url, char ret[UR_HTTP_SHOWN]);
/** True for loopback, private and link-local hosts, where plain http needs no warning. */
bool ur_http_is_near(const char *url);

#endif
