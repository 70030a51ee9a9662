/*
 * httpd - epoll, edge-triggered, and a queue of connections that have something to do.
 *
 *     epoll ──▶ readable, writable ──▶ run queue ──▶ step() ──▶ … a few buffers, then its neighbour
 *
 * An event is noted once; a connection then reads until the kernel has no more, so waiting costs no
 * system call.  What a handler asks for (accept, answer, drop) is noted as well and done from the
 * loop: no callback ever runs inside a handler's call.
 *
 * Bytes behind a head, and behind the end of a chunked body, lie in the head's buffer: no more is
 * read than fits there.  Bodies pass through the loop's one buffer and stay nowhere; the data of
 * small chunks is moved together there.
 *
 * Every kind of waiting has one length, so a list that connections join at its end is in the order
 * of deadlines.
 */
#include "engine/net/httpd.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/queue.h"
#include "engine/base/text.h"
#include "engine/net/listen.h"
#include "engine/sys/sys.h"

#define HELD_MIN 1024u        // room behind every head for bytes that follow it
#define HEAD_FIRST (4u << 10) // what most heads fit in
#define HEAD_ROOM (UR_HTTPD_HEAD_MAX + HELD_MIN)
#define EVENTS_MAX 256
#define ACCEPTS_MAX 64       // at a turn
#define TURN_MAX 16u         // steps of one connection at a turn
#define TURN_BUFFER 4u       // what a buffer read or written counts of them
#define FILE_STEP (1u << 20) // bytes of a file sent at a step
#define INTERIM_MAX 4096u    // unread bytes beyond which a peer gets no more interim answers
#define LINGER_BYTES (1u << 20)
#define LINGER_MS 2000
#define TICK_NS UR_SECOND_NS
#define PEER_BUCKETS 256u

/* --- lists ---------------------------------------------------------------------------------------- */
/** In a ring with a head of its own; alone it points at itself. */
struct link {
	struct link *before;
	struct link *after;
};

static void link_init(struct link *l)
{
	l->before = l->after = l;
}

static bool link_alone(const struct link *l)
{
	return l->after == l;
}

static void link_remove(struct link *l)
{
	l->before->after = l->after;
	l->after->before = l->before;
	link_init(l);
}

static void link_append(struct link *head, struct link *l)
{
	assert(link_alone(l));
	l->before = head->before;
	l->after = head;
	head->before->after = l;
	head->before = l;
}

/* --- types ---------------------------------------------------------------------------------------- */
/** Read downwards: the life of a connection, round and round the first three. */
enum phase {
	PHASE_HEAD,     // nothing, or a part of a head
	PHASE_EXCHANGE, // the handler decides, or takes the body, or thinks about the answer
	PHASE_ANSWER,   // an answer is being sent
	PHASE_LINGER,   // half closed; what still comes is thrown away
	PHASE_DEAD,     // freed at the end of the turn
};

enum wait {
	WAIT_IDLE,
	WAIT_HEAD,
	WAIT_BODY,
	WAIT_ANSWER,
	WAIT_LINGER,
	WAITS,
};

struct connection {
	struct ur_exchange x; // first: a handler's pointer is ours
	struct ur_httpd *httpd;
	int fd;
	enum phase phase;
	struct link all;
	struct link run;   // has something to do
	struct link timer; // in the list of what it waits for
	struct link peer;  // in the bucket of its address
	int64_t deadline;

	/* What the kernel said. */
	bool readable;
	bool writable;
	bool half_closed; // an end of file is coming
	bool hung_up;     // nobody is there any more

	/* The head, and bytes behind it that nobody has asked for yet. */
	char *head;
	size_t room;
	size_t filled;
	size_t scanned;
	size_t head_size;
	size_t held_at;

	/* The exchange. */
	unsigned minor;
	bool keep;
	bool expect;
	bool is_head;
	bool accepted;
	bool paused;
	bool ended; // end() was called
	bool chunked;
	struct ur_chunks chunks;
	int64_t rate_since;
	uint64_t rate_from;

	/* The answer. */
	struct ur_text fields; // set by the handler
	struct ur_text out;    // to be sent, interim answers too
	size_t out_at;
	int file;
	uint64_t file_at;
	uint64_t file_left;
	int status;
	bool is_refusal; // ours: the handler does not hear of it
	uint64_t sent;
	uint64_t lingered;
};

struct ur_httpd {
	struct ur_httpd_options options;
	int64_t wait_ns[WAITS];
	struct ur_listener listener;
	bool is_accepting; // the listener's events are on
	bool is_full;      // they are off until a connection ends
	int epoll;
	struct ur_bell bell;
	_Atomic(struct ur_post *) posts; // the last one first
	atomic_llong stop_grace_ms;      // -1 until stop()

	int64_t now;
	int64_t next_tick;
	bool stopping;
	int64_t stop_until;
	char *buffer;
	struct link all;
	struct link run;
	struct link dead;
	struct link waits[WAITS];
	struct link peers[PEER_BUCKETS];
	const struct connection *current; // the one that is stepping
	struct ur_httpd_counts counts;
	int64_t date_second;
	char date[40];
};

#define OF(pointer, member) \
	((struct connection *)(void *)((char *)(pointer)-offsetof(struct connection, member)))

static struct connection *connection_of(struct ur_exchange *x)
{
	static_assert(offsetof(struct connection, x) == 0, "an exchange is its connection");
	return (struct connection *)(void *)x;
}

/* --- waiting -------------------------------------------------------------------------------------- */
static void disarm(struct connection *c)
{
	link_remove(&c->timer);
}

static void arm(struct connection *c, enum wait wait)
{
	disarm(c);
	c->deadline = c->httpd->now + c->httpd->wait_ns[wait];
	link_append(&c->httpd->waits[wait], &c->timer);
}

/** Has it looked at, at the next turn at the latest. */
static void kick(struct connection *c)
{
	if (c->phase != PHASE_DEAD && c->httpd->current != c && link_alone(&c->run)) {
		link_append(&c->httpd->run, &c->run);
	}
}

/* --- the end of a connection ---------------------------------------------------------------------- */
static void close_file(struct connection *c)
{
	if (c->file >= 0) {
		(void)ur_sys.close(c->file);
	}
	c->file = -1;
	c->file_left = 0;
}

static void free_buffers(struct connection *c)
{
	free(c->head);
	c->head = NULL;
	c->room = c->filled = c->scanned = c->head_size = c->held_at = 0;
	ur_text_done(&c->fields);
	ur_text_done(&c->out);
	c->out_at = 0;
	close_file(c);
}

/** No call of the handler's; memory and descriptor go at the end of the turn. */
static void kill_connection(struct connection *c)
{
	if (c->phase == PHASE_DEAD) {
		return;
	}
	c->phase = PHASE_DEAD;
	disarm(c);
	link_remove(&c->run);
	link_append(&c->httpd->dead, &c->run);
}

static void free_connection(struct connection *c)
{
	(void)close(c->fd);
	free_buffers(c);
	link_remove(&c->all);
	link_remove(&c->run);
	link_remove(&c->timer);
	link_remove(&c->peer);
	c->httpd->counts.open--;
	free(c);
}

static void reap(struct ur_httpd *h)
{
	struct link *next = NULL;
	for (struct link *l = h->dead.after; l != &h->dead; l = next) {
		next = l->after;
		free_connection(OF(l, run));
	}
}

/** The exchange ends without an answer of the handler's. */
static void lose(struct connection *c, int why)
{
	assert(c->phase == PHASE_EXCHANGE);
	kill_connection(c);
	c->httpd->options.handler.gone(c->httpd->options.handler.context, &c->x, why);
}

static void tell_answered(struct connection *c, int why)
{
	const struct ur_httpd_handler *handler = &c->httpd->options.handler;
	if (!c->is_refusal && handler->answered != NULL) {
		handler->answered(handler->context, &c->x, c->status, c->sent, why);
	}
}

/** The answer did not get through. */
static void lose_answer(struct connection *c, int why)
{
	assert(c->phase == PHASE_ANSWER);
	kill_connection(c);
	tell_answered(c, why);
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

static void compose(struct connection *c, int status, const char *type, uint64_t size)
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

static void begin_answer(struct connection *c, int status)
{
	c->status = status;
	c->sent = 0;
	c->phase = PHASE_ANSWER;
	arm(c, WAIT_ANSWER);
	kick(c);
}

/** An answer of ours, and the end of the connection. */
static void refuse(struct connection *c, int status, const char *why)
{
	assert(c->phase == PHASE_HEAD || c->phase == PHASE_EXCHANGE);
	c->httpd->counts.refused++;
	c->is_refusal = true;
	c->keep = false;
	ur_text_done(&c->fields);
	compose(c, status, "text/plain; charset=utf-8", strlen(why) + 1);
	ur_text_addf(&c->out, "%s\n", why);
	begin_answer(c, status);
}

/** The handler is told first: what it holds of the exchange must not be used any more. */
static void lose_and_refuse(struct connection *c, int why, int status, const char *words)
{
	c->httpd->options.handler.gone(c->httpd->options.handler.context, &c->x, why);
	refuse(c, status, words);
}

/* --- the socket ----------------------------------------------------------------------------------- */
/** The number of bytes, 0 at the end, or a negative errno; -EAGAIN: the kernel will say when. */
static ssize_t receive(struct connection *c, char *bytes, size_t room)
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

static void count_out(struct connection *c, size_t size)
{
	c->sent += size;
	c->httpd->counts.bytes_out += size;
}

/** Sends of `out`; 0, -EAGAIN, or what ends the connection. */
static int send_out(struct connection *c)
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
static int send_file(struct connection *c)
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
static bool grow_head(struct connection *c)
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

static bool read_head(struct connection *c)
{
	if (!c->readable) {
		return false;
	}
	if (!grow_head(c)) {
		kill_connection(c);
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
		kill_connection(c);
		return true;
	}
	if (c->filled == 0) {
		arm(c, WAIT_HEAD);
	}
	c->filled += (size_t)n;
	return true;
}

static void begin_exchange(struct connection *c, size_t size)
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
	c->phase = PHASE_EXCHANGE;
	disarm(c);
	c->httpd->counts.requests++;
	c->httpd->options.handler.begin(c->httpd->options.handler.context, x);
}

static bool step_head(struct connection *c)
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
static bool is_complete(const struct connection *c)
{
	if (c->chunked) {
		return c->chunks.state == UR_CHUNKS_END;
	}
	return c->x.received >= c->x.length;
}

static void hand_over(struct connection *c, const char *bytes, size_t size)
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
static size_t deliver_chunks(struct connection *c, char *bytes, size_t size)
{
	size_t used = 0;
	size_t joined = 0;
	ssize_t n = 0;
	while (used < size && !is_complete(c)) {
		const char *data = NULL;
		size_t run = 0;
		n = ur_chunks_step(&c->chunks, bytes + used, size - used, &data, &run);
		if (n < 0) {
			break;
		}
		memmove(bytes + joined, data, run);
		joined += run;
		used += (size_t)n;
	}
	/* What came before the mistake was well-formed and counts. */
	hand_over(c, bytes, joined);
	if (n < 0 && c->phase == PHASE_EXCHANGE) {
		lose_and_refuse(c, -EBADMSG, 400, "the chunks of the body are malformed");
	}
	return n < 0 ? size : used;
}

/** Hands bytes of the body to the handler, in one call; the number used. */
static size_t deliver(struct connection *c, char *bytes, size_t size)
{
	if (c->chunked) {
		return deliver_chunks(c, bytes, size);
	}
	const uint64_t left = c->x.length - c->x.received;
	const size_t run = size < left ? size : (size_t)left;
	hand_over(c, bytes, run);
	return run;
}

static bool deliver_held(struct connection *c)
{
	const size_t at = c->held_at;
	const size_t used = deliver(c, c->head + at, c->filled - at);
	c->held_at = at + used;
	return used > 0;
}

/** Keeps what follows in the head's buffer; most_to_read() saw to it that it fits. */
static void hold(struct connection *c, const char *bytes, size_t size)
{
	assert(c->held_at == c->filled);
	assert(size <= c->room - c->head_size);
	memcpy(c->head + c->head_size, bytes, size);
	c->held_at = c->head_size;
	c->filled = c->head_size + size;
}

static size_t most_to_read(const struct connection *c)
{
	uint64_t most = c->x.length - c->x.received;
	if (c->chunked) {
		most = c->room - c->head_size;
		most += c->chunks.state == UR_CHUNKS_DATA ? c->chunks.left : 0;
	}
	const size_t room = c->httpd->options.buffer_bytes;
	return most < room ? (size_t)most : room;
}

/** True when the body comes in more slowly than it must. */
static bool is_trickle(struct connection *c)
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

static bool read_body(struct connection *c)
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
	arm(c, WAIT_BODY);
	const size_t used = deliver(c, buffer, (size_t)n);
	/* Also when the handler has answered meanwhile: what follows the body is the next request. */
	if (used < (size_t)n && c->phase != PHASE_DEAD) {
		hold(c, buffer + used, (size_t)n - used);
	}
	if (c->phase == PHASE_EXCHANGE && !is_complete(c) && is_trickle(c)) {
		lose_and_refuse(c, -ETIMEDOUT, 408, "the body comes in too slowly");
	}
	return true;
}

/** Interim answers are sent beside everything else; a failure shows itself in what follows. */
static void send_interim(struct connection *c)
{
	if (c->out.size > 0 && c->writable) {
		const int r = send_out(c);
		c->hung_up = c->hung_up || (r < 0 && r != -EAGAIN);
	}
}

static bool step_exchange(struct connection *c)
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
static void renew(struct connection *c)
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
	c->chunks = (struct ur_chunks){0};
	c->status = 0;
	c->sent = 0;
	c->phase = PHASE_HEAD;
	arm(c, held > 0 ? WAIT_HEAD : WAIT_IDLE);
}

static void begin_linger(struct connection *c)
{
	free_buffers(c);
	if (shutdown(c->fd, SHUT_WR) < 0) {
		kill_connection(c);
		return;
	}
	c->phase = PHASE_LINGER;
	arm(c, WAIT_LINGER);
}

static bool step_answer(struct connection *c)
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
		arm(c, WAIT_ANSWER);
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
static bool step_linger(struct connection *c)
{
	if (c->hung_up || (c->half_closed && c->lingered >= LINGER_BYTES)) {
		kill_connection(c);
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
		kill_connection(c);
		return true;
	}
	c->lingered += (uint64_t)n;
	return true;
}

/* --- a turn --------------------------------------------------------------------------------------- */
static bool step_once(struct connection *c)
{
	switch (c->phase) {
	case PHASE_HEAD:
		return step_head(c);
	case PHASE_EXCHANGE:
		return step_exchange(c);
	case PHASE_ANSWER:
		return step_answer(c);
	case PHASE_LINGER:
		return step_linger(c);
	case PHASE_DEAD:
		return false;
	}
	assert(!"a connection is in no phase");
	return false;
}

/** As long as something happens, but leaves the turn to others after a few buffers. */
static void step(struct connection *c)
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

static void run_queued(struct ur_httpd *h)
{
	struct link turn;
	link_init(&turn);
	/* What is queued from here on has its turn after the next look at the kernel. */
	while (!link_alone(&h->run)) {
		struct link *l = h->run.after;
		link_remove(l);
		link_append(&turn, l);
	}
	while (!link_alone(&turn)) {
		struct connection *c = OF(turn.after, run);
		link_remove(&c->run);
		step(c);
	}
}

/* --- accepting ------------------------------------------------------------------------------------ */
static void listen_to(struct ur_httpd *h, bool on)
{
	if (h->listener.fd < 0 || h->is_accepting == on) {
		return;
	}
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = &h->listener};
	if (epoll_ctl(h->epoll, EPOLL_CTL_MOD, h->listener.fd, &event) == 0) {
		h->is_accepting = on;
	}
}

static struct link *bucket_of(struct ur_httpd *h, const char *peer)
{
	uint32_t hash = 2166136261u;
	for (const char *at = peer; *at != '\0'; at++) {
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	}
	return &h->peers[hash % PEER_BUCKETS];
}

static bool is_crowd(struct ur_httpd *h, const char *peer)
{
	unsigned count = 0;
	if (h->options.per_peer_max == 0 || h->listener.is_unix) {
		return false;
	}
	struct link *bucket = bucket_of(h, peer);
	for (struct link *l = bucket->after; l != bucket; l = l->after) {
		count += strcmp(OF(l, peer)->x.peer, peer) == 0;
	}
	return count >= h->options.per_peer_max;
}

static void admit(struct ur_httpd *h, int fd, const struct sockaddr_storage *address)
{
	struct connection *c = calloc(1, sizeof *c);
	char peer[UR_PEER_MAX];
	const bool is_near = ur_peer_name(address, peer);
	if (c == NULL || is_crowd(h, peer)) {
		h->counts.refused++;
		goto fail;
	}
	static_assert(sizeof c->x.peer == UR_PEER_MAX, "an address fits");
	memcpy(c->x.peer, peer, sizeof c->x.peer);
	c->x.peer_near = is_near;
	c->httpd = h;
	c->fd = fd;
	c->file = -1;
	c->writable = true;
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		goto fail;
	}
	if (!h->listener.is_unix) {
		const int one = 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	link_init(&c->all);
	link_init(&c->run);
	link_init(&c->timer);
	link_init(&c->peer);
	link_append(&h->all, &c->all);
	link_append(bucket_of(h, peer), &c->peer);
	h->counts.open++;
	arm(c, WAIT_HEAD);
	return;

fail:
	free(c);
	(void)close(fd);
}

static void accept_some(struct ur_httpd *h)
{
	for (unsigned i = 0; i < ACCEPTS_MAX && h->is_accepting; i++) {
		if (h->counts.open >= h->options.connections_max) {
			h->is_full = true;
			listen_to(h, false);
			return;
		}
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof peer;
		const int fd = accept4(h->listener.fd, (struct sockaddr *)&peer, &size,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			h->counts.connections++;
			admit(h, fd, &peer);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			/* Out of descriptors: the listener would be readable for ever; tick tries again. */
			listen_to(h, false);
		}
	}
}

/* --- time ----------------------------------------------------------------------------------------- */
static void expire_one(struct connection *c, enum wait wait)
{
	switch (wait) {
	case WAIT_IDLE:
	case WAIT_LINGER:
		kill_connection(c);
		return;
	case WAIT_HEAD:
		if (c->filled > 0) {
			refuse(c, 408, "the header took too long");
		} else {
			kill_connection(c);
		}
		return;
	case WAIT_BODY:
		/* What lies in the kernel was late because of us. */
		if (c->readable) {
			arm(c, WAIT_BODY);
			kick(c);
		} else {
			lose_and_refuse(c, -ETIMEDOUT, 408, "the body stopped coming");
		}
		return;
	case WAIT_ANSWER:
		lose_answer(c, -ETIMEDOUT);
		return;
	case WAITS:
		break;
	}
	assert(!"nobody waits for this");
}

static void expire(struct ur_httpd *h)
{
	for (enum wait wait = 0; wait < WAITS; wait++) {
		struct link *list = &h->waits[wait];
		while (!link_alone(list) && OF(list->after, timer)->deadline <= h->now) {
			expire_one(OF(list->after, timer), wait);
		}
	}
	if (h->next_tick <= h->now) {
		h->next_tick = h->now + TICK_NS;
		listen_to(h, !h->stopping && h->counts.open < h->options.connections_max);
		if (h->options.handler.tick != NULL) {
			h->options.handler.tick(h->options.handler.context);
		}
	}
}

/** Milliseconds until the next deadline, rounded up; 0 when there is something to do now. */
static int time_left(struct ur_httpd *h)
{
	if (!link_alone(&h->run) || atomic_load(&h->posts) != NULL ||
		atomic_load(&h->stop_grace_ms) >= 0) {
		return 0;
	}
	int64_t next = h->next_tick;
	for (enum wait wait = 0; wait < WAITS; wait++) {
		const struct link *list = &h->waits[wait];
		if (!link_alone(list) && OF(list->after, timer)->deadline < next) {
			next = OF(list->after, timer)->deadline;
		}
	}
	if (h->stopping && h->stop_until < next) {
		next = h->stop_until;
	}
	const int64_t left = next - ur_clock_steady_ns();
	return left <= 0 ? 0 : (int)((left + UR_MS_NS - 1) / UR_MS_NS);
}

/* --- posts ---------------------------------------------------------------------------------------- */
void ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post)
{
	struct ur_post *last = atomic_load(&httpd->posts);
	do {
		post->next = last;
	} while (!atomic_compare_exchange_weak(&httpd->posts, &last, post));
	ur_bell_ring(&httpd->bell);
}

void ur_httpd_run_posts(struct ur_httpd *httpd)
{
	struct ur_post *post = atomic_exchange(&httpd->posts, NULL);
	struct ur_post *first = NULL;
	while (post != NULL) {
		struct ur_post *next = post->next;
		post->next = first;
		first = post;
		post = next;
	}
	while (first != NULL) {
		post = first;
		first = first->next; // run() may free it or post it again
		post->run(post);
	}
}

/* --- stopping ------------------------------------------------------------------------------------- */
void ur_httpd_stop(struct ur_httpd *httpd, int64_t grace_ms)
{
	atomic_store(&httpd->stop_grace_ms, grace_ms > 0 ? grace_ms : 0);
	ur_bell_ring(&httpd->bell);
}

static void end_all(struct ur_httpd *h, int why)
{
	for (struct link *l = h->all.after; l != &h->all; l = l->after) {
		struct connection *c = OF(l, all);
		if (c->phase == PHASE_EXCHANGE) {
			lose(c, why);
		} else if (c->phase == PHASE_ANSWER) {
			lose_answer(c, why);
		} else {
			kill_connection(c);
		}
	}
}

static void close_listener(struct ur_httpd *h)
{
	if (h->listener.fd >= 0) {
		/* Another process may hold the same socket, so that closing is not enough. */
		(void)epoll_ctl(h->epoll, EPOLL_CTL_DEL, h->listener.fd, NULL);
	}
	h->is_accepting = false;
	ur_listener_close(&h->listener);
}

static void look_at_stop(struct ur_httpd *h)
{
	const int64_t grace_ms = atomic_exchange(&h->stop_grace_ms, -1);
	if (grace_ms >= 0) {
		h->stop_until = h->now + grace_ms * UR_MS_NS;
		h->stopping = true;
		close_listener(h);
		for (struct link *l = h->all.after; l != &h->all; l = l->after) {
			if (OF(l, all)->phase == PHASE_HEAD) {
				kill_connection(OF(l, all));
			}
		}
	}
	if (h->stopping && h->stop_until <= h->now) {
		end_all(h, -ESHUTDOWN);
	}
}

/* --- the loop ------------------------------------------------------------------------------------- */
static void note(struct connection *c, uint32_t events)
{
	c->readable = c->readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	c->writable = c->writable || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
	c->half_closed = c->half_closed || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	c->hung_up = c->hung_up || (events & (EPOLLHUP | EPOLLERR)) != 0;
	kick(c);
}

static int turn(struct ur_httpd *h)
{
	struct epoll_event events[EVENTS_MAX];
	bool knocked = false;
	ur_bell_arm(&h->bell);
	const int count = epoll_wait(h->epoll, events, EVENTS_MAX, time_left(h));
	if (count < 0 && errno != EINTR) {
		return -errno;
	}
	ur_bell_answer(&h->bell);
	h->now = ur_clock_steady_ns();
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == &h->listener) {
			knocked = true;
		} else if (events[i].data.ptr != &h->bell) {
			note(events[i].data.ptr, events[i].events);
		}
	}
	ur_httpd_run_posts(h);
	run_queued(h);
	look_at_stop(h);
	expire(h);
	reap(h);
	if (knocked && !h->stopping) {
		accept_some(h);
	}
	if (h->is_full && h->counts.open < h->options.connections_max) {
		h->is_full = false;
		listen_to(h, true);
	}
	return 0;
}

/** sendfile() has no MSG_NOSIGNAL: the thread keeps SIGPIPE away and takes what has gathered. */
static void restore_signals(const sigset_t *before)
{
	sigset_t pipe_only;
	const struct timespec at_once = {0};
	(void)sigemptyset(&pipe_only);
	(void)sigaddset(&pipe_only, SIGPIPE);
	if (sigismember(before, SIGPIPE) == 0) {
		while (sigtimedwait(&pipe_only, NULL, &at_once) > 0) {
		}
	}
	(void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

int ur_httpd_run(struct ur_httpd *httpd, struct ur_err *err)
{
	sigset_t pipe_only;
	sigset_t before;
	(void)sigemptyset(&pipe_only);
	(void)sigaddset(&pipe_only, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);

	int r = 0;
	httpd->now = ur_clock_steady_ns();
	httpd->next_tick = httpd->now + TICK_NS;
	while (r == 0 && (!httpd->stopping || httpd->counts.open > 0)) {
		r = turn(httpd);
	}
	if (r < 0) {
		r = ur_err_set(
			err, r, UR_FAULT_BUG, "the server's loop cannot wait for its sockets");
		end_all(httpd, -ESHUTDOWN);
		reap(httpd);
	}
	restore_signals(&before);
	return r;
}

/* --- new, free ------------------------------------------------------------------------------------ */
static void use_defaults(struct ur_httpd_options *o)
{
	o->connections_max = o->connections_max > 0 ? o->connections_max : 1024;
	o->buffer_bytes = o->buffer_bytes > 0 ? o->buffer_bytes : 1u << 20;
	o->head_wait_ms = o->head_wait_ms > 0 ? o->head_wait_ms : 15000;
	o->body_wait_ms = o->body_wait_ms > 0 ? o->body_wait_ms : 60000;
	o->idle_wait_ms = o->idle_wait_ms > 0 ? o->idle_wait_ms : 75000;
	o->answer_wait_ms = o->answer_wait_ms > 0 ? o->answer_wait_ms : 60000;
	o->body_rate_ms = o->body_rate_ms > 0 ? o->body_rate_ms : 30000;
}

static int watch(const struct ur_httpd *h, int fd, void *tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
	return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static struct ur_httpd *make(const struct ur_httpd_options *options)
{
	struct ur_httpd *h = calloc(1, sizeof *h);
	if (h == NULL) {
		return NULL;
	}
	h->options = *options;
	use_defaults(&h->options);
	h->wait_ns[WAIT_IDLE] = h->options.idle_wait_ms * UR_MS_NS;
	h->wait_ns[WAIT_HEAD] = h->options.head_wait_ms * UR_MS_NS;
	h->wait_ns[WAIT_BODY] = h->options.body_wait_ms * UR_MS_NS;
	h->wait_ns[WAIT_ANSWER] = h->options.answer_wait_ms * UR_MS_NS;
	h->wait_ns[WAIT_LINGER] = LINGER_MS * UR_MS_NS;
	h->listener.fd = -1;
	h->epoll = -1;
	h->bell.fd = -1;
	atomic_init(&h->posts, NULL);
	atomic_init(&h->stop_grace_ms, -1);
	link_init(&h->all);
	link_init(&h->run);
	link_init(&h->dead);
	for (size_t i = 0; i < WAITS; i++) {
		link_init(&h->waits[i]);
	}
	for (size_t i = 0; i < PEER_BUCKETS; i++) {
		link_init(&h->peers[i]);
	}
	return h;
}

int ur_httpd_new(const struct ur_httpd_options *options, struct ur_httpd **ret, struct ur_err *err)
{
	assert(options->handler.begin != NULL);
	assert(options->handler.body != NULL);
	assert(options->handler.end != NULL);
	assert(options->handler.gone != NULL);
	struct ur_httpd *h = make(options);
	int r = h == NULL ? -ENOMEM : 0;
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot make a server");
	}
	r = options->listen != NULL ? ur_listener_open(options->listen, &h->listener, err)
				    : ur_listener_take(options->listen_fd, &h->listener, err);
	if (r < 0) {
		ur_httpd_free(h);
		return r;
	}
	h->buffer = malloc(h->options.buffer_bytes);
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = h->buffer == NULL ? -ENOMEM : h->epoll < 0 ? -errno : ur_bell_init(&h->bell);
	if (r == 0) {
		r = watch(h, h->bell.fd, &h->bell);
	}
	if (r == 0) {
		r = watch(h, h->listener.fd, &h->listener);
	}
	if (r < 0) {
		ur_httpd_free(h);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot make a server");
	}
	h->is_accepting = true;
	*ret = h;
	return 0;
}

struct ur_httpd *ur_httpd_free(struct ur_httpd *httpd)
{
	if (httpd == NULL) {
		return NULL;
	}
	close_listener(httpd);
	struct link *next = NULL;
	for (struct link *l = httpd->all.after; l != &httpd->all; l = next) {
		next = l->after;
		free_connection(OF(l, all));
	}
	ur_bell_done(&httpd->bell);
	if (httpd->epoll >= 0) {
		(void)close(httpd->epoll);
	}
	free(httpd->buffer);
	free(httpd);
	return NULL;
}

const char *ur_httpd_address(const struct ur_httpd *httpd)
{
	return httpd->listener.address;
}

struct ur_httpd_counts ur_httpd_counts(const struct ur_httpd *httpd)
{
	return httpd->counts;
}

/* --- what a handler asks for ---------------------------------------------------------------------- */
const char *ur_exchange_field(const struct ur_exchange *x, const char *name)
{
	return ur_http1_field(x->fields, x->field_count, name);
}

/** The body's clocks start: from now on the peer is the one that is waited for. */
static void expect_bytes(struct connection *c)
{
	c->rate_since = c->httpd->now;
	c->rate_from = c->x.received;
	if (!c->ended) {
		arm(c, WAIT_BODY);
	}
	kick(c);
}

void ur_exchange_accept(struct ur_exchange *x)
{
	struct connection *c = connection_of(x);
	assert(c->phase == PHASE_EXCHANGE);
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
	struct connection *c = connection_of(x);
	assert(c->phase == PHASE_EXCHANGE);
	c->paused = true;
	disarm(c);
}

void ur_exchange_resume(struct ur_exchange *x)
{
	struct connection *c = connection_of(x);
	assert(c->phase == PHASE_EXCHANGE);
	if (c->paused) {
		c->paused = false;
		if (c->accepted) {
			expect_bytes(c);
		}
	}
}

void ur_exchange_set(struct ur_exchange *x, const char *name, const char *format, ...)
{
	struct connection *c = connection_of(x);
	char *value = NULL;
	va_list arguments;
	assert(c->phase == PHASE_EXCHANGE);
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
	struct connection *c = connection_of(x);
	assert(c->phase == PHASE_EXCHANGE);
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
static bool answer_head(struct connection *c, int status, const char *type, uint64_t size)
{
	assert(c->phase == PHASE_EXCHANGE);
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
	struct connection *c = connection_of(x);
	if (answer_head(c, status, type, size)) {
		ur_text_add(&c->out, bytes, size);
	}
	begin_answer(c, status);
}

void ur_exchange_answer_file(
	struct ur_exchange *x, int status, const char *type, int fd, uint64_t offset, uint64_t size)
{
	struct connection *c = connection_of(x);
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
	struct connection *c = connection_of(x);
	assert(c->phase == PHASE_EXCHANGE);
	kill_connection(c);
}
