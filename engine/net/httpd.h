/**
 * httpd - the server side of HTTP/1.1: strict, bounded, one thread.
 *
 *     accept ─▶ head ─▶ begin() ─▶ accept(x) ─▶ body() … end() ─▶ answer(x) ─▶ next head
 *                          │                       │
 *                          └──── answer(x) ◀───────┘  before the end of the body: answer and close
 *
 * The handler decides when the head is there, before a byte of the body is read.  Body bytes pass
 * through one buffer of the loop: a connection that waits costs its head and nothing more.  What
 * takes long (a disk's flush, another server's answer) is done elsewhere; the handler comes back by
 * ur_httpd_post().
 *
 *   Owner    an exchange is httpd's; the handler may use it from begin() until it has answered,
 *            dropped it, or gone() was called, whichever is first
 *   Units    sizes in bytes, waits in ms
 *   Errors   of the peer's making never reach the handler before begin(): httpd answers 400, 408,
 *            413, 414, 417, 431, 501 or 505 itself and closes; later ones reach it as gone()
 *   Threads  everything on the thread of ur_httpd_run(), but for post and stop: any thread
 *   Source   RFC 9110, RFC 9112: a Content-Length beside Transfer-Encoding, a bare LF, a folded
 *            or repeated framing header, white space before a colon, a target that is not in
 *            origin form, HTTP/1.0 with Transfer-Encoding: 400 and close (request smuggling)
 */
#ifndef UR_NET_HTTPD_H
#define UR_NET_HTTPD_H

#include "engine/base/err.h"
#include "engine/net/http1.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_HTTPD_HEADERS_MAX UR_HTTP1_FIELDS_MAX
#define UR_HTTPD_HEAD_MAX (16u << 10)

struct ur_httpd;

struct ur_exchange {
	/* httpd's, constant from begin() on. */
	const char *method;
	const char *path;  // as it came, not decoded; begins with a slash
	const char *query; // after the '?', or NULL
	struct ur_field fields[UR_HTTPD_HEADERS_MAX];
	size_t field_count;
	bool has_body;   // a Content-Length above 0, or chunked
	bool has_length; // with a Content-Length
	uint64_t length;
	char peer[64];  // "127.0.0.1", "::1", "unix"
	bool peer_near; // loopback or a Unix socket
	/* httpd's, moving. */
	uint64_t received; // bytes of the body so far
	/* The handler's. */
	void *owner;
};

/** All run on the loop's thread.  None of them may free the httpd. */
struct ur_httpd_handler {
	/** The head is there.  Answer, or accept the body, or keep the exchange and do so later. */
	void (*begin)(void *context, struct ur_exchange *x);
	/** Bytes of the body, valid during the call.  After ur_exchange_accept() only. */
	void (*body)(void *context, struct ur_exchange *x, const void *bytes, size_t size);
	/** The body is complete (called for an accepted exchange without a body, too). */
	void (*end)(void *context, struct ur_exchange *x);
	/**
	 * The exchange ends without an answer of the handler's; the last call for it.  Why:
	 * -ECONNRESET, the peer is gone; -ETIMEDOUT, too slow; -EBADMSG, its chunks are malformed;
	 * -ESHUTDOWN, stop's grace is over.  A peer that leaves while the exchange is paused, or half
	 * closes while it waits for the answer, is noticed at the next byte read or written.
	 */
	void (*gone)(void *context, struct ur_exchange *x, int why);
	/**
	 * The last byte of the handler's answer was taken by the kernel, or was not (why != 0).  The
	 * exchange can still be read.  May be NULL.
	 */
	void (*answered)(void *context, struct ur_exchange *x, int status, uint64_t sent, int why);
	/** Once a second or so.  May be NULL. */
	void (*tick)(void *context);
	void *context;
};

/** Zero in a number stands for the default in its comment. */
struct ur_httpd_options {
	const char *
		listen; // "127.0.0.1:8090", "[::1]:8090", "unix:/run/uringest.sock"; NULL: listen_fd
	int listen_fd; // a listening socket handed over (socket activation); used if listen is NULL
	unsigned connections_max; // beyond it a new one waits in the backlog (1024)
	unsigned per_peer_max;    // connections of one address (no limit: a proxy is one address)
	size_t buffer_bytes;      // of the loop, for bodies (1 MiB)
	int64_t head_wait_ms;   // from accept, or the first byte of a later head, to its end (15 s)
	int64_t body_wait_ms;   // without a byte of an accepted body (60 s)
	int64_t idle_wait_ms;   // between requests (75 s)
	int64_t answer_wait_ms; // without a byte of an answer taken (60 s)
	uint64_t body_rate_min; // bytes a second of an accepted body (no minimum), over
	int64_t body_rate_ms;   // so long (30 s)
	int late_status;        // of a body that comes too slowly, or no more (408)
	struct ur_httpd_handler handler;
};

/** Binds and listens.  A Unix socket's stale file is replaced when nobody listens there. */
[[nodiscard]] int ur_httpd_new(
	const struct ur_httpd_options *options, struct ur_httpd **ret, struct ur_err *err);
/** After run() has returned. */
struct ur_httpd *ur_httpd_free(struct ur_httpd *httpd);
/** Until ur_httpd_stop(); 0, or a negative errno when the loop itself failed. */
[[nodiscard]] int ur_httpd_run(struct ur_httpd *httpd, struct ur_err *err);
/**
 * Stops accepting, closes idle connections, lets exchanges end for grace_ms, then calls gone() for
 * the rest, and lets run() return.  From any thread; not from a signal handler.
 */
void ur_httpd_stop(struct ur_httpd *httpd, int64_t grace_ms);
/** "127.0.0.1:41234" or "unix:/run/…": where it listens, with the port that was given for port 0. */
const char *ur_httpd_address(const struct ur_httpd *httpd);

/** Something to be run on the loop's thread, embedded in its owner. */
struct ur_post {
	void (*run)(struct ur_post *post);
	struct ur_post *next;
};
/** From any thread; posts are run in the order in which they came. */
void ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post);
/** After run() has returned and the other threads are joined: runs what they posted meanwhile. */
void ur_httpd_run_posts(struct ur_httpd *httpd);

/** The field's value or NULL; `name` in lower case. */
const char *ur_exchange_field(const struct ur_exchange *x, const char *name);

/** Reads the body from now on; says 100 Continue when the peer waits for it. */
void ur_exchange_accept(struct ur_exchange *x);
/** No body() until the resume; the kernel's buffers fill and the sender waits. */
void ur_exchange_pause(struct ur_exchange *x);
void ur_exchange_resume(struct ur_exchange *x);
/**
 * An interim answer (1xx) with the fields set so far, which are then gone; only to peers of
 * HTTP/1.1, and not to one that leaves earlier ones unread.
 */
void ur_exchange_interim(struct ur_exchange *x, int status);
/** A field of the answer.  Control bytes in a value are a mistake of ours. */
void ur_exchange_set(struct ur_exchange *x, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/**
 * The answer; the exchange is httpd's again.  Bytes are copied.  type may be NULL when size is 0.
 * Before the end of the body: says `Connection: close`, sends, reads on for a short while so that
 * the answer is not lost to a reset, and closes.  A HEAD gets the fields alone.
 */
void ur_exchange_answer(
	struct ur_exchange *x, int status, const char *type, const void *bytes, size_t size);
/** As answer, with `size` bytes of fd from `offset` on; fd is httpd's from here on. */
void ur_exchange_answer_file(struct ur_exchange *x, int status, const char *type, int fd,
	uint64_t offset, uint64_t size);
/** Closes without an answer: another connection has taken over.  gone() is not called. */
void ur_exchange_drop(struct ur_exchange *x);

struct ur_httpd_counts {
	uint64_t connections; // accepted so far
	uint64_t open;        // now
	uint64_t requests;
	uint64_t refused; // by httpd itself: malformed, too slow, too large
	uint64_t bytes_in;
	uint64_t bytes_out;
};
/** On the loop's thread. */
struct ur_httpd_counts ur_httpd_counts(const struct ur_httpd *httpd);

#endif
