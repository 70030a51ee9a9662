/*
 * conn - one connection: from the bytes of a head to the last byte of an answer, and round again.
 *
 *     HEAD ──begin()──▶ EXCHANGE ──answer()──▶ ANSWER ──▶ HEAD
 *                          │                      └─────▶ LINGER ──▶ DEAD
 *                          └── gone, dropped ─────────────────────────▶
 *
 * What a handler asks for (accept, answer, drop) is noted and done when the loop steps the
 * connection: no callback ever runs inside a handler's call.
 *
 * Bytes behind a head, and behind the end of a chunked body, lie in the head's buffer: no more is
 * read than fits there.  Bodies pass through the loop's one buffer and stay nowhere; the data of
 * small chunks is moved together there.
 */
#include "engine/net/httpd_parts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#define HELD_MIN 1024u        // room behind every head for bytes that follow it
#define HEAD_FIRST (4u << 10) // what most heads fit in
#define HEAD_ROOM (UR_HTTPD_HEAD_MAX + HELD_MIN)
#define TURN_MAX 16u         // steps of one connection at a turn
#define TURN_BUFFER 4u       // what a buffer read or written counts of them
#define FILE_STEP (1u << 20) // bytes of a file sent at a step
#define INTERIM_MAX 4096u    // unread bytes beyond which a peer gets no more interim answers
#define LINGER_BYTES (1u << 20)

static struct ur_conn *connection_of(struct ur_exchange *x)
{
	static_assert(offsetof(struct ur_conn, x) == 0, "an exchange is its connection");
	return (struct ur_conn *)(void *)x;
}

/* --- waiting -------------------------------------------------------------------------------------- */
static void disarm(struct ur_conn *c)
{
	ur_link_remove(&c->timer);
}

static void arm(struct ur_conn *c, enum ur_conn_wait wait)
{
	disarm(c);
	c->deadline = c->httpd->now + c->httpd->wait_ns[wait];
	ur_link_append(&c->httpd->waits[wait], &c->timer);
}

/** Has it looked at, at the next turn at the latest. */
static void kick(struct ur_conn *c)
{
	if (c->phase != UR_CONN_DEAD && c->httpd->current != c && ur_link_alone(&c->run)) {
		ur_link_append(&c->httpd->run, &c->run);
	}
}

struct ur_conn *ur_conn_new(struct ur_httpd *httpd, int fd)
{
	struct ur_conn *c = calloc(1, sizeof *c);
	if (c == NULL) {
		return NULL;
	}
	c->httpd = httpd;
	c->fd = fd;
	c->file = -1;
	c->writable = true;
	ur_link_init(&c->all);
	ur_link_init(&c->run);
	ur_link_init(&c->timer);
	ur_link_init(&c->peer);
	arm(c, UR_WAIT_HEAD);
	return c;
}

/* --- the end of a connection ---------------------------------------------------------------------- */
static void close_file(struct ur_conn *c)
{
	if (c->file >= 0) {
		(void)ur_sys.close(c->file);
	}
	c->file = -1;
	c->file_left = 0;
}

static void free_buffers(struct ur_conn *c)
{
	free(c->head);
	c->head = NULL;
	c->room = c->filled = c->scanned = c->head_size = c->held_at = 0;
	ur_text_done(&c->fields);
	ur_text_done(&c->out);
	c->out_at = 0;
	close_file(c);
}

void ur_conn_kill(struct ur_conn *c)
{
	if (c->phase == UR_CONN_DEAD) {
		return;
	}
	c->phase = UR_CONN_DEAD;
	disarm(c);
	ur_link_remove(&c->run);
	ur_link_append(&c->httpd->dead, &c->run);
}

void ur_conn_free(struct ur_conn *c)
{
	(void)close(c->fd);
	free_buffers(c);
	ur_link_remove(&c->all);
	ur_link_remove(&c->run);
	ur_link_remove(&c->timer);
	ur_link_remove(&c->peer);
	c->httpd->counts.open--;
	free(c);
}

/** The exchange ends without an answer of the handler's. */
static void lose(struct ur_conn *c, int why)
{
	assert(c->phase == UR_CONN_EXCHANGE);
	ur_conn_kill(c);
	c->httpd->options.handler.gone(c->httpd->options.handler.context, &c->x, why);
}

static void tell_answered(struct ur_conn *c, int why)
{
	const struct ur_httpd_handler *handler = &c->httpd->options.handler;
	if (!c->is_refusal && handler->answered != NULL) {
		handler->answered(handler->context, &c->x, c->status, c->sent, why);
	}
}

/** The answer did not get through. */
static void lose_answer(struct ur_conn *c, int why)
{
	assert(c->phase == UR_CONN_ANSWER);
	ur_conn_kill(c);
	tell_answered(c, why);
}

void ur_conn_end(struct ur_conn *c, int why)
{
	if (c->phase == UR_CONN_EXCHANGE) {
		lose(c, why);
	} else if (c->phase == UR_CONN_ANSWER) {
		lose_answer(c, why);
	} else {
		ur_conn_kill(c);
	}
}

/* --- writing answers ------------------------------------------------------------------------------ */
/** RFC 9110, IMF-fixdate; made once a second. */
static const char *date_of(struct ur_httpd *h)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const time_t second = (time_t)(ur_clock_wall_ns() / UR_SECOND_NS);
	struct tm tm;
	if (second != h->date_second && gmtime_r(&second, &tm) != NULL) {
		h->date_second = second;
		(void)snprintf(h->date, sizeof h->date, "%s, %02u %s %04u %02u:%02u:%02u GMT",
			days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100u, months[tm.tm_mon % 12],
			(unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)tm.tm_hour % 100u,
			(unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u);
	}
	return h->date;
}

static bool has_no_body(int status)
{
	return status < 200 || status == 204 || status == 304;
}

static void compose(struct ur_conn *c, int status, const char *type, uint64_t size)
{
	struct ur_text *out = &c->out;
	ur_text_addf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, ur_http1_reason(status),
		date_of(c->httpd));
	ur_text_add(out, ur_text_get(&c->fields), c->fields.size);
	if (type != NULL) {
		ur_text_addf(out, "Content-Type: %s\r\n", type);
	}
	if (!has_no_body(status)) {
		ur_text_addf(out, "Content-Length: %llu\r\n", (unsigned long long)size);
	}
	ur_text_adds(out, c->keep ? "\r\n" : "Connection: close\r\n\r\n");
	if (!ur_text_ok(&c->fields)) {
		out->failed = true;
	}
	ur_text_done(&c->fields);
}

static void begin_answer(struct ur_conn *c, int status)
{
	c->status = status;
	c->sent = 0;
	c->phase = UR_CONN_ANSWER;
	arm(c, UR_WAIT_ANSWER);
	kick(c);
}

/** An answer of ours, and the end of the connection. */
static void refuse(struct ur_conn *c, int status, const char *why)
{
	assert(c->phase == UR_CONN_HEAD || c->phase == UR_CONN_EXCHANGE);
	c->httpd->counts.refused++;
	c->is_refusal = true;
	c->keep = false;
	ur_text_done(&c->fields);
	if (status == 503) {
		ur_text_adds(&c->fields, "Retry-After: 5\r\n");
	}
	compose(c, status, "text/plain; charset=utf-8", strlen(why) + 1);
	ur_text_addf(&c->out, "%s\n", why);
	begin_answer(c, status);
}

/** The handler is told first: what it holds of the exchange must not be used any more. */
static void lose_and_refuse(struct ur_conn *c, int why, int status, const char *words)
{
	c->httpd->options.handler.gone(c->httpd->options.handler.context, &c->x, why);
	refuse(c, status, words);
}

/** Lines get better: whoever is told by a 5xx tries again. */
static void lose_late(struct ur_conn *c, const char *words)
{
	lose_and_refuse(c, -ETIMEDOUT, c->httpd->options.late_status, words);
}

/* --- the socket ----------------------------------------------------------------------------------- */
/** The number of bytes, 0 at the end, or a negative errno; -EAGAIN: the kernel will say when. */
static ssize_t receive(struct ur_conn *c, char *bytes, size_t room)
{
	assert(room > 0);
	ssize_t n = 0;
	do {
		n = recv(c->fd, bytes, room, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		c->readable = errno != EAGAIN;
		return -errno;
	}
	c->httpd->counts.bytes_in += (uint64_t)n;
	/* Less than asked for: that was all, and what comes next comes with an event. */
	if (n > 0 && (size_t)n < room && !c->half_closed) {
		c->readable = false;
	}
	return n;
}

static void count_out(struct ur_conn *c, size_t size)
{
	c->sent += size;
	c->httpd->counts.bytes_out += size;
}

/** Sends of `out`; 0, -EAGAIN, or what ends the connection. */
static int send_out(struct ur_conn *c)
{
	if (!ur_text_ok(&c->out)) {
		return -ENOMEM;
	}
	const int more = c->file_left > 0 ? MSG_MORE : 0;
	while (c->out_at < c->out.size) {
		const ssize_t n = send(c->fd, c->out.bytes + c->out_at, c->out.size - c->out_at,
			MSG_NOSIGNAL | more);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			c->writable = errno != EAGAIN;
			return -errno;
		}
		c->out_at += (size_t)n;
		count_out(c, (size_t)n);
	}
	ur_text_done(&c->out);
	c->out_at = 0;
	return 0;
}

/** Sends one step of the file; 0, -EAGAIN, or what ends the connection. */
static int send_file(struct ur_conn *c)
{
	const size_t step = c->file_left < FILE_STEP ? (size_t)c->file_left : FILE_STEP;
	const ssize_t n = ur_sys.sendfile(c->fd, c->file, c->file_at, step);
	if (n < 0) {
		c->writable = n != -EAGAIN;
		return (int)n;
	}
	if (n == 0) {
		return -EIO; // the file is shorter than was said
	}
	c->file_at += (uint64_t)n;
	c->file_left -= (uint64_t)n;
	count_out(c, (size_t)n);
	return 0;
}

/* --- heads ---------------------------------------------------------------------------------------- */
/** Room for more of a head; what lies behind it later has at least HELD_MIN. */
static bool grow_head(struct ur_conn *c)
{
	if (c->room >= HELD_MIN && c->filled < c->room - HELD_MIN) {
		return true;
	}
	assert(c->room < HEAD_ROOM);
	const size_t twice = c->room > 0 ? 2 * c->room : HEAD_FIRST;
	const size_t room = twice < HEAD_ROOM ? twice : HEAD_ROOM;
	char *head = realloc(c->head, room);
	if (head != NULL) {
		c->head = head;
		c->room = room;
	}
	return head != NULL;
}

static bool read_head(struct ur_conn *c)
{
	if (!c->readable) {
		return false;
	}
	if (!grow_head(c)) {
		ur_conn_kill(c);
		return true;
	}
	const ssize_t n = receive(c, c->head + c->filled, c->room - HELD_MIN - c->filled);
	if (n == -EAGAIN) {
		if (c->filled == 0) {
			free_buffers(c);
		}
		return false;
	}
	if (n <= 0) {
		ur_conn_kill(c);
		return true;
	}
	if (c->filled == 0) {
		arm(c, UR_WAIT_HEAD);
	}
	c->filled += (size_t)n;
	return true;
}

static void begin_exchange(struct ur_conn *c, size_t size)
{
	struct ur_http1_head head;
	const char *why = NULL;
	const int status = ur_http1_parse(c->head, size, &head, &why);
	if (status != 0) {
		refuse(c, status, why);
		return;
	}
	struct ur_exchange *x = &c->x;
	x->method = head.method;
	x->path = head.path;
	x->query = head.query;
	x->field_count = head.field_count;
	memcpy(x->fields, head.fields, head.field_count * sizeof head.fields[0]);
	x->has_length = head.has_length;
	x->length = head.length;
	x->has_body = head.chunked || head.length > 0;
	c->minor = head.minor;
	c->keep = head.keep && !c->httpd->stopping;
	c->expect = head.expect;
	c->chunked = head.chunked;
	c->is_head = strcmp(head.method, "HEAD") == 0;
	c->head_size = c->held_at = size;
	c->phase = UR_CONN_EXCHANGE;
	disarm(c);
	c->httpd->counts.requests++;
	c->httpd->options.handler.begin(c->httpd->options.handler.context, x);
}

static bool step_head(struct ur_conn *c)
{
	ssize_t size = 0;
	if (c->filled > 0) {
		size = ur_http1_find_end(c->head, c->filled, &c->scanned);
	}
	if (size < 0) {
		refuse(c, 400,
			"this is no HTTP/1.1: a line ends without CR, or no method begins it");
		return true;
	}
	if (size > UR_HTTPD_HEAD_MAX || (size == 0 && c->filled >= UR_HTTPD_HEAD_MAX)) {
		const bool is_target = memchr(c->head, '\n', c->filled) == NULL;
		refuse(c, is_target ? 414 : 431,
			is_target ? "the request's target is too long" : "the header is too large");
		return true;
	}
	if (size == 0) {
		return read_head(c);
	}
	begin_exchange(c, (size_t)size);
	return true;
}

/* --- bodies --------------------------------------------------------------------------------------- */
static bool is_complete(const struct ur_conn *c)
{
	if (c->chunked) {
		return c->chunks.state == UR_CHUNKED_END;
	}
	return c->x.received >= c->x.length;
}

static void hand_over(struct ur_conn *c, const char *bytes, size_t size)
{
	const struct ur_httpd_handler *handler = &c->httpd->options.handler;
	if (size > 0) {
		c->x.received += size;
		handler->body(handler->context, &c->x, bytes, size);
	}
}

/**
 * Moves the data of all chunks together, so that small ones cost no call each.  Returns what was
 * used; behind the body's end lies the next request.
 */
static size_t deliver_chunks(struct ur_conn *c, char *bytes, size_t size)
{
	size_t used = 0;
	size_t joined = 0;
	ssize_t n = 0;
	while (used < size && !is_complete(c)) {
		const char *data = NULL;
		size_t run = 0;
		n = ur_chunked_step(&c->chunks, bytes + used, size - used, &data, &run);
		if (n < 0) {
			break;
		}
		memmove(bytes + joined, data, run);
		joined += run;
		used += (size_t)n;
	}
	/* What came before the mistake was well-formed and counts. */
	hand_over(c, bytes, joined);
	if (n < 0 && c->phase == UR_CONN_EXCHANGE) {
		lose_and_refuse(c, -EBADMSG, 400, "the chunks of the body are malformed");
	}
	return n < 0 ? size : used;
}

/** Hands bytes of the body to the handler, in one call; the number used. */
static size_t deliver(struct ur_conn *c, char *bytes, size_t size)
{
	if (c->chunked) {
		return deliver_chunks(c, bytes, size);
	}
	const uint64_t left = c->x.length - c->x.received;
	const size_t run = size < left ? size : (size_t)left;
	hand_over(c, bytes, run);
	return run;
}

static bool deliver_held(struct ur_conn *c)
{
	const size_t at = c->held_at;
	const size_t used = deliver(c, c->head + at, c->filled - at);
	c->held_at = at + used;
	return used > 0;
}

/** Keeps what follows in the head's buffer; most_to_read() saw to it that it fits. */
static void hold(struct ur_conn *c, const char *bytes, size_t size)
{
	assert(c->held_at == c->filled);
	assert(size <= c->room - c->head_size);
	memcpy(c->head + c->head_size, bytes, size);
	c->held_at = c->head_size;
	c->filled = c->head_size + size;
}

static size_t most_to_read(const struct ur_conn *c)
{
	uint64_t most = c->x.length - c->x.received;
	if (c->chunked) {
		most = c->room - c->head_size;
		most += c->chunks.state == UR_CHUNKED_DATA ? c->chunks.left : 0;
	}
	const size_t room = c->httpd->options.buffer_bytes;
	return most < room ? (size_t)most : room;
}

/** True when the body comes in more slowly than it must. */
static bool is_trickle(struct ur_conn *c)
{
	const struct ur_httpd_options *options = &c->httpd->options;
	const int64_t passed = c->httpd->now - c->rate_since;
	if (options->body_rate_min == 0 || passed < options->body_rate_ms * UR_MS_NS) {
		return false;
	}
	const double seconds = (double)passed / (double)UR_SECOND_NS;
	const double rate = (double)(c->x.received - c->rate_from) / seconds;
	c->rate_since = c->httpd->now;
	c->rate_from = c->x.received;
	return rate < (double)options->body_rate_min;
}

static bool read_body(struct ur_conn *c)
{
	if (!c->readable) {
		return false;
	}
	char *buffer = c->httpd->buffer;
	const ssize_t n = receive(c, buffer, most_to_read(c));
	if (n == -EAGAIN) {
		return false;
	}
	if (n <= 0) {
		lose(c, -ECONNRESET);
		return true;
	}
	arm(c, UR_WAIT_BODY);
	const size_t used = deliver(c, buffer, (size_t)n);
	/* Also when the handler has answered meanwhile: what follows the body is the next request. */
	if (used < (size_t)n && c->phase != UR_CONN_DEAD) {
		hold(c, buffer + used, (size_t)n - used);
	}
	if (c->phase == UR_CONN_EXCHANGE && !is_complete(c) && is_trickle(c)) {
		lose_late(c, "the body comes in too slowly");
	}
	return true;
}

/** Interim answers are sent beside everything else; a failure shows itself in what follows. */
static void send_interim(struct ur_conn *c)
{
	if (c->out.size > 0 && c->writable) {
		const int r = send_out(c);
		c->hung_up = c->hung_up || (r < 0 && r != -EAGAIN);
	}
}

static bool step_exchange(struct ur_conn *c)
{
	send_interim(c);
	if (c->paused) {
		return false;
	}
	if (!c->accepted || c->ended) {
		if (c->hung_up) {
			lose(c, -ECONNRESET);
		}
		return false;
	}
	if (is_complete(c)) {
		c->ended = true;
		disarm(c);
		c->httpd->options.handler.end(c->httpd->options.handler.context, &c->x);
		return true;
	}
	return c->held_at < c->filled ? deliver_held(c) : read_body(c);
}

/* --- after the exchange --------------------------------------------------------------------------- */
/** Ready for the next head, of which a part may have come already. */
static void renew(struct ur_conn *c)
{
	char *head = c->head;
	const size_t room = c->room;
	const size_t held = c->filled - c->held_at;
	if (held > 0) {
		memmove(head, head + c->held_at, held);
		c->head = NULL;
	}
	free_buffers(c);
	if (held > 0) {
		c->head = head;
		c->room = room;
		c->filled = held;
	}

	struct ur_exchange *x = &c->x;
	x->method = x->path = x->query = NULL;
	x->field_count = 0;
	x->has_body = x->has_length = false;
	x->length = x->received = 0;
	x->owner = NULL;
	c->accepted = c->paused = c->ended = c->chunked = c->expect = c->is_head = false;
	c->chunks = (struct ur_chunked){0};
	c->status = 0;
	c->sent = 0;
	c->phase = UR_CONN_HEAD;
	arm(c, held > 0 ? UR_WAIT_HEAD : UR_WAIT_IDLE);
}

static void begin_linger(struct ur_conn *c)
{
	free_buffers(c);
	if (shutdown(c->fd, SHUT_WR) < 0) {
		ur_conn_kill(c);
		return;
	}
	c->phase = UR_CONN_LINGER;
	arm(c, UR_WAIT_LINGER);
}

static bool step_answer(struct ur_conn *c)
{
	if (!c->writable) {
		return false;
	}
	const uint64_t before = c->sent;
	int r = send_out(c);
	if (r == 0 && c->file_left > 0) {
		r = send_file(c);
	}
	if (c->sent > before) {
		arm(c, UR_WAIT_ANSWER);
	}
	if (r == -EAGAIN) {
		return false;
	}
	if (r < 0) {
		lose_answer(c, r);
		return true;
	}
	if (c->file_left > 0) {
		return true;
	}
	tell_answered(c, 0);
	if (c->keep && !c->httpd->stopping) {
		renew(c);
	} else {
		begin_linger(c);
	}
	return true;
}

/**
 * Closing with bytes unread resets the connection, and a reset may overtake the answer.  So a
 * little is read; then the peer stands before a full window, has time to read, and is closed.
 */
static bool step_linger(struct ur_conn *c)
{
	if (c->hung_up || (c->half_closed && c->lingered >= LINGER_BYTES)) {
		ur_conn_kill(c);
		return true;
	}
	if (!c->readable || c->lingered >= LINGER_BYTES) {
		return false;
	}
	const ssize_t n = receive(c, c->httpd->buffer, c->httpd->options.buffer_bytes);
	if (n == -EAGAIN) {
		return false;
	}
	if (n <= 0) {
		ur_conn_kill(c);
		return true;
	}
	c->lingered += (uint64_t)n;
	return true;
}

/* --- a turn --------------------------------------------------------------------------------------- */
static bool step_once(struct ur_conn *c)
{
	switch (c->phase) {
	case UR_CONN_HEAD:
		return step_head(c);
	case UR_CONN_EXCHANGE:
		return step_exchange(c);
	case UR_CONN_ANSWER:
		return step_answer(c);
	case UR_CONN_LINGER:
		return step_linger(c);
	case UR_CONN_DEAD:
		return false;
	}
	assert(!"a connection is in no phase");
	return false;
}

void ur_conn_step(struct ur_conn *c)
{
	struct ur_httpd *h = c->httpd;
	bool more = true;
	h->current = c;
	for (unsigned spent = 0; more && spent < TURN_MAX; spent++) {
		const uint64_t moved = h->counts.bytes_in + h->counts.bytes_out;
		more = step_once(c);
		if (h->counts.bytes_in + h->counts.bytes_out - moved > UR_HTTPD_HEAD_MAX) {
			spent += TURN_BUFFER - 1;
		}
	}
	h->current = NULL;
	if (more) {
		kick(c);
	}
}

void ur_conn_note(struct ur_conn *c, uint32_t events)
{
	c->readable = c->readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	c->writable = c->writable || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
	c->half_closed = c->half_closed || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	c->hung_up = c->hung_up || (events & (EPOLLHUP | EPOLLERR)) != 0;
	kick(c);
}

/* --- time ----------------------------------------------------------------------------------------- */
void ur_conn_expire(struct ur_conn *c, enum ur_conn_wait wait)
{
	switch (wait) {
	case UR_WAIT_IDLE:
	case UR_WAIT_LINGER:
	case UR_WAIT_LAST:
		ur_conn_kill(c);
		return;
	case UR_WAIT_HEAD:
		if (c->filled > 0) {
			refuse(c, 408, "the header took too long");
		} else {
			ur_conn_kill(c);
		}
		return;
	case UR_WAIT_BODY:
		/* What lies in the kernel was late because of us. */
		if (c->readable) {
			arm(c, UR_WAIT_BODY);
			kick(c);
		} else {
			lose_late(c, "the body stopped coming");
		}
		return;
	case UR_WAIT_ANSWER:
		lose_answer(c, -ETIMEDOUT);
		return;
	case UR_WAITS:
		break;
	}
	assert(!"nobody waits for this");
}

void ur_conn_hurry(struct ur_conn *c)
{
	if (c->phase == UR_CONN_HEAD) {
		arm(c, UR_WAIT_LAST);
		c->readable = true; // what lies in the kernel may not have been told yet
		kick(c);
	}
}

/* --- what a handler asks for ---------------------------------------------------------------------- */
const char *ur_exchange_field(const struct ur_exchange *x, const char *name)
{
	return ur_http1_field(x->fields, x->field_count, name);
}

/** The body's clocks start: from now on the peer is the one that is waited for. */
static void expect_bytes(struct ur_conn *c)
{
	c->rate_since = c->httpd->now;
	c->rate_from = c->x.received;
	if (!c->ended) {
		arm(c, UR_WAIT_BODY);
	}
	kick(c);
}

void ur_exchange_accept(struct ur_exchange *x)
{
	struct ur_conn *c = connection_of(x);
	assert(c->phase == UR_CONN_EXCHANGE);
	assert(!c->accepted);
	c->accepted = true;
	/* A peer that has sent some of the body waits no longer. */
	if (c->expect && !is_complete(c) && c->held_at == c->filled) {
		ur_text_adds(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	if (!c->paused) {
		expect_bytes(c);
	}
}

void ur_exchange_pause(struct ur_exchange *x)
{
	struct ur_conn *c = connection_of(x);
	assert(c->phase == UR_CONN_EXCHANGE);
	c->paused = true;
	disarm(c);
}

void ur_exchange_resume(struct ur_exchange *x)
{
	struct ur_conn *c = connection_of(x);
	assert(c->phase == UR_CONN_EXCHANGE);
	if (c->paused) {
		c->paused = false;
		if (c->accepted) {
			expect_bytes(c);
		}
	}
}

void ur_exchange_set(struct ur_exchange *x, const char *name, const char *format, ...)
{
	struct ur_conn *c = connection_of(x);
	char *value = NULL;
	va_list arguments;
	assert(c->phase == UR_CONN_EXCHANGE);
	assert(ur_http1_is_token(name));
	va_start(arguments, format);
	const int size = vasprintf(&value, format, arguments);
	va_end(arguments);
	if (size < 0) {
		c->fields.failed = true;
		return;
	}
	for (const char *at = value; *at != '\0'; at++) {
		assert(*at == '\t' || ((unsigned char)*at >= ' ' && *at != 0x7f));
	}
	ur_text_addf(&c->fields, "%s: %s\r\n", name, value);
	free(value);
}

void ur_exchange_interim(struct ur_exchange *x, int status)
{
	struct ur_conn *c = connection_of(x);
	assert(c->phase == UR_CONN_EXCHANGE);
	assert(status >= 100 && status <= 199 && status != 101);
	if (c->minor >= 1 && c->out.size - c->out_at < INTERIM_MAX && ur_text_ok(&c->fields)) {
		ur_text_addf(&c->out, "HTTP/1.1 %d %s\r\n", status, ur_http1_reason(status));
		ur_text_add(&c->out, ur_text_get(&c->fields), c->fields.size);
		ur_text_adds(&c->out, "\r\n");
		kick(c);
	}
	ur_text_done(&c->fields);
}

/** The head of the handler's answer; true when a body is to follow. */
static bool answer_head(struct ur_conn *c, int status, const char *type, uint64_t size)
{
	assert(c->phase == UR_CONN_EXCHANGE);
	assert(status >= 200 && status <= 599);
	assert(size == 0 || !has_no_body(status));
	c->keep = c->keep && is_complete(c) && !c->httpd->stopping;
	c->is_refusal = false;
	compose(c, status, type, size);
	return !c->is_head && size > 0;
}

void ur_exchange_answer(
	struct ur_exchange *x, int status, const char *type, const void *bytes, size_t size)
{
	struct ur_conn *c = connection_of(x);
	if (answer_head(c, status, type, size)) {
		ur_text_add(&c->out, bytes, size);
	}
	begin_answer(c, status);
}

void ur_exchange_answer_file(
	struct ur_exchange *x, int status, const char *type, int fd, uint64_t offset, uint64_t size)
{
	struct ur_conn *c = connection_of(x);
	assert(fd >= 0);
	c->file = fd;
	if (answer_head(c, status, type, size)) {
		c->file_at = offset;
		c->file_left = size;
	}
	begin_answer(c, status);
}

void ur_exchange_drop(struct ur_exchange *x)
{
	struct ur_conn *c = connection_of(x);
	assert(c->phase == UR_CONN_EXCHANGE);
	ur_conn_kill(c);
}
