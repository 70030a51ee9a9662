/**
 * httpd_parts - what the two files of httpd share: conn (one connection) and httpd (the loop).
 *
 *     httpd.c  accepts, waits, queues ──step, note, expire, end──▶  conn.c  reads, asks, answers
 *
 *   Owner    a connection belongs to its httpd's list of all; a dead one is freed by the loop at the
 *            end of the turn, so that what points at it in this turn stays valid
 *   Units    times in ns of the steady clock
 *   Threads  the loop's, but for posts and stop_grace_ms
 */
#ifndef UR_NET_HTTPD_PARTS_H
#define UR_NET_HTTPD_PARTS_H

#include "engine/base/queue.h"
#include "engine/base/text.h"
#include "engine/net/httpd.h"
#include "engine/net/listen.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_HTTPD_PEER_BUCKETS 256u

/* --- lists ---------------------------------------------------------------------------------------- */
/** In a ring with a head of its own; alone it points at itself. */
struct ur_link {
	struct ur_link *before;
	struct ur_link *after;
};

static inline void ur_link_init(struct ur_link *l)
{
	l->before = l->after = l;
}

static inline bool ur_link_alone(const struct ur_link *l)
{
	return l->after == l;
}

static inline void ur_link_remove(struct ur_link *l)
{
	l->before->after = l->after;
	l->after->before = l->before;
	ur_link_init(l);
}

static inline void ur_link_append(struct ur_link *head, struct ur_link *l)
{
	assert(ur_link_alone(l));
	l->before = head->before;
	l->after = head;
	head->before->after = l;
	head->before = l;
}

/* --- types ---------------------------------------------------------------------------------------- */
/** Read downwards: the life of a connection, round and round the first three. */
enum ur_conn_phase {
	UR_CONN_HEAD,     // nothing, or a part of a head
	UR_CONN_EXCHANGE, // the handler decides, or takes the body, or thinks about the answer
	UR_CONN_ANSWER,   // an answer is being sent
	UR_CONN_LINGER,   // half closed; what still comes is thrown away
	UR_CONN_DEAD,     // freed at the end of the turn
};

enum ur_conn_wait {
	UR_WAIT_IDLE,
	UR_WAIT_HEAD,
	UR_WAIT_BODY,
	UR_WAIT_ANSWER,
	UR_WAIT_LINGER,
	UR_WAIT_LAST, // it is stopping: a request may be on its way
	UR_WAITS,
};

struct ur_conn {
	struct ur_exchange x; // first: a handler's pointer is ours
	struct ur_httpd *httpd;
	int fd;
	enum ur_conn_phase phase;
	struct ur_link all;
	struct ur_link run;   // has something to do
	struct ur_link timer; // in the list of what it waits for
	struct ur_link peer;  // in the bucket of its address
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
	struct ur_chunked chunks;
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
	int64_t wait_ns[UR_WAITS];
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
	struct ur_link all;
	struct ur_link run;
	struct ur_link dead;
	struct ur_link waits[UR_WAITS];
	struct ur_link peers[UR_HTTPD_PEER_BUCKETS];
	const struct ur_conn *current; // the one that is stepping
	struct ur_httpd_counts counts;
	int64_t date_second;
	char date[40];
};

#define UR_CONN_OF(pointer, member) \
	((struct ur_conn *)(void *)((char *)(pointer)-offsetof(struct ur_conn, member)))

/* --- what the loop asks of a connection ----------------------------------------------------------- */
/** A new one for an accepted socket, waiting for its first head; in no list but the clock's. */
struct ur_conn *ur_conn_new(struct ur_httpd *httpd, int fd);
/** Closes the descriptor and leaves every list. */
void ur_conn_free(struct ur_conn *c);
/** What epoll said. */
void ur_conn_note(struct ur_conn *c, uint32_t events);
/** As long as something happens, but leaves the turn to others after a few buffers. */
void ur_conn_step(struct ur_conn *c);
/** It is stopping: a request that is on its way is still answered, and nobody waits for another. */
void ur_conn_hurry(struct ur_conn *c);
/** Its time for what it waits for is over. */
void ur_conn_expire(struct ur_conn *c, enum ur_conn_wait wait);
/** No call of the handler's; memory and descriptor go at the end of the turn. */
void ur_conn_kill(struct ur_conn *c);
/** The same, but the handler hears why, if it waits for anything. */
void ur_conn_end(struct ur_conn *c, int why);

#endif
