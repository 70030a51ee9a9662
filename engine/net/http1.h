/**
 * http1 - the grammar of HTTP/1.1 as a server reads it: heads and chunked framing.  Pure: bytes in,
 * struct out; no socket, no clock, no allocation.
 *
 *     bytes ──ur_http1_find_end──▶ size of the head ──ur_http1_parse──▶ struct ur_http1_head
 *     bytes ──ur_chunked_step────▶ runs of data, one after the other
 *
 * What two readers could take for two different things is refused, not repaired: a proxy before us
 * must never see another end of a request than we do.
 *
 *   Owner    the caller; parse() writes into the caller's bytes, and what it returns points there
 *   Units    bytes
 *   Errors   parse() returns 0 or the status to refuse with (400, 413, 414, 417, 431, 501, 505) and
 *            a sentence; the others -EBADMSG
 *   Threads  any
 *   Source   RFC 9110 sections 5 and 10.1.1, RFC 9112 sections 2-7
 */
#ifndef UR_NET_HTTP1_H
#define UR_NET_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UR_HTTP1_FIELDS_MAX 64u
#define UR_HTTP1_TARGET_MAX 8192u
#define UR_HTTP1_METHOD_MAX 32u
#define UR_HTTP1_EXTENSION_MAX 256u // bytes of one chunk's extensions
#define UR_HTTP1_TRAILER_MAX 8192u  // bytes of all trailers of a body

struct ur_field {
	const char *name;  // in lower case
	const char *value; // without white space around it; repeated fields are joined by ", "
};

struct ur_http1_head {
	const char *method;
	const char *path;  // as it came, not decoded; begins with a slash
	const char *query; // after the '?', or NULL
	unsigned minor;    // of the version: 0 or 1
	struct ur_field fields[UR_HTTP1_FIELDS_MAX];
	size_t field_count;
	bool chunked;
	bool has_length;
	uint64_t length;
	bool keep;   // the peer would send another request here
	bool expect; // it waits for 100 Continue
};

/**
 * Looks for the empty line that ends a head.  Returns the size of the head, 0 when more bytes are
 * needed, -EBADMSG when these can never become one (a bare LF, no method).  `scanned` is where the
 * last call stopped (0 at first), so that a head that trickles in is read once.
 */
[[nodiscard]] ssize_t ur_http1_find_end(const char *bytes, size_t size, size_t *scanned);

/**
 * Reads a whole head of `size` bytes, as find_end() measured it.  *ret_why is a sentence for the
 * peer when the head is refused.  A repeated field that is not about framing becomes a list.
 */
[[nodiscard]] int ur_http1_parse(
	char *bytes, size_t size, struct ur_http1_head *ret, const char **ret_why);

/** The field's value or NULL; `name` in lower case. */
const char *ur_http1_field(const struct ur_field *fields, size_t count, const char *name);
/** True when the comma-separated list has the token, in any case. */
bool ur_http1_has_token(const char *list, const char *token);
bool ur_http1_is_token(const char *text);

enum ur_chunked_state {
	UR_CHUNKED_SIZE,      // before or among the digits of a size
	UR_CHUNKED_EXTENSION, // behind the digits: skipped
	UR_CHUNKED_SIZE_LF,
	UR_CHUNKED_DATA,
	UR_CHUNKED_DATA_CR,
	UR_CHUNKED_DATA_LF,
	UR_CHUNKED_TRAILER, // at the start of a line of the trailer
	UR_CHUNKED_TRAILER_NAME,
	UR_CHUNKED_TRAILER_VALUE,
	UR_CHUNKED_TRAILER_LF,
	UR_CHUNKED_LAST_LF,
	UR_CHUNKED_END, // the body is complete
};

/** A zeroed one stands at the start of a body. */
struct ur_chunked {
	enum ur_chunked_state state;
	uint64_t left;    // of the chunk's data
	unsigned digits;  // of its size
	unsigned skipped; // bytes of extensions, then of trailers
};

/**
 * Reads up to and with the next run of data.  Returns how many bytes were used, with the run (maybe
 * of size 0) in *ret_data, within `bytes`; -EBADMSG when this is no chunked body.  At
 * UR_CHUNKED_END nothing more is used: what follows is the next request.
 */
[[nodiscard]] ssize_t ur_chunked_step(struct ur_chunked *chunks, const char *bytes, size_t size,
	const char **ret_data, size_t *ret_size);

/** The reason phrase of a status; "Unknown" for one without. */
const char *ur_http1_reason(int status);

#endif
