/*
 * httpd - epoll, edge-triggered, and a queue of connections that have something to do.
 *
 *     epoll ──▶ readable, writable ──▶ run queue ──▶ step() ──▶ … a few buffers, then its neighbour
 *
 * An event is noted once; a connection then reads until the kernel has no more, so waiting costs no
 * system call.  Every kind of waiting has one length, so a list that connections join at its end is
 * in the order of deadlines.  What one connection does is in conn.
 */
#include "engine/net/httpd_parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"

#define EVENTS_MAX 256
#define ACCEPTS_MAX 64 // at a turn
#define LINGER_MS 2000
#define LAST_MS 300
#define TICK_NS UR_SECOND_NS

/* --- the connections' turn ------------------------------------------------------------------------ */
static void reap(struct ur_httpd *h)
{
	struct ur_link *next = NULL;
	for (struct ur_link *l = h->dead.after; l != &h->dead; l = next) {
		next = l->after;
		ur_conn_free(UR_CONN_OF(l, run));
	}
}

static void run_queued(struct ur_httpd *h)
{
	struct ur_link turn;
	ur_link_init(&turn);
	/* What is queued from here on has its turn after the next look at the kernel. */
	while (!ur_link_alone(&h->run)) {
		struct ur_link *l = h->run.after;
		ur_link_remove(l);
		ur_link_append(&turn, l);
	}
	while (!ur_link_alone(&turn)) {
		struct ur_conn *c = UR_CONN_OF(turn.after, run);
		ur_link_remove(&c->run);
		ur_conn_step(c);
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

static struct ur_link *bucket_of(struct ur_httpd *h, const char *peer)
{
	uint32_t hash = 2166136261u;
	for (const char *at = peer; *at != '\0'; at++) {
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	}
	return &h->peers[hash % UR_HTTPD_PEER_BUCKETS];
}

static bool is_crowd(struct ur_httpd *h, const char *peer)
{
	unsigned count = 0;
	if (h->options.per_peer_max == 0 || h->listener.is_unix) {
		return false;
	}
	struct ur_link *bucket = bucket_of(h, peer);
	for (struct ur_link *l = bucket->after; l != bucket; l = l->after) {
		count += strcmp(UR_CONN_OF(l, peer)->x.peer, peer) == 0;
	}
	return count >= h->options.per_peer_max;
}

/** The socket is ours from here on, also on a failure. */
static void admit(struct ur_httpd *h, int fd, const struct sockaddr_storage *address)
{
	char peer[UR_PEER_MAX];
	const bool is_near = ur_peer_name(address, peer);
	struct ur_conn *c = is_crowd(h, peer) ? NULL : ur_conn_new(h, fd);
	if (c == NULL) {
		h->counts.refused++;
		(void)close(fd);
		return;
	}
	static_assert(sizeof c->x.peer == UR_PEER_MAX, "an address fits");
	memcpy(c->x.peer, peer, sizeof c->x.peer);
	c->x.peer_near = is_near;
	ur_link_append(&h->all, &c->all);
	ur_link_append(bucket_of(h, peer), &c->peer);
	h->counts.open++;
	if (!h->listener.is_unix) {
		const int one = 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		ur_conn_kill(c);
	}
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
static void expire(struct ur_httpd *h)
{
	for (enum ur_conn_wait wait = 0; wait < UR_WAITS; wait++) {
		struct ur_link *list = &h->waits[wait];
		while (!ur_link_alone(list) && UR_CONN_OF(list->after, timer)->deadline <= h->now) {
			ur_conn_expire(UR_CONN_OF(list->after, timer), wait);
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
	if (!ur_link_alone(&h->run) || atomic_load(&h->posts) != NULL ||
		atomic_load(&h->stop_grace_ms) >= 0) {
		return 0;
	}
	int64_t next = h->next_tick;
	for (enum ur_conn_wait wait = 0; wait < UR_WAITS; wait++) {
		const struct ur_link *list = &h->waits[wait];
		if (!ur_link_alone(list) && UR_CONN_OF(list->after, timer)->deadline < next) {
			next = UR_CONN_OF(list->after, timer)->deadline;
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
	for (struct ur_link *l = h->all.after; l != &h->all; l = l->after) {
		ur_conn_end(UR_CONN_OF(l, all), why);
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

/** Who waits in a socket of ours is reset with it; in one that was handed over the next process comes. */
static void accept_last(struct ur_httpd *h)
{
	uint64_t before = UINT64_MAX;
	while (h->options.listen != NULL && h->counts.connections != before) {
		before = h->counts.connections;
		accept_some(h);
	}
}

static void look_at_stop(struct ur_httpd *h)
{
	const int64_t grace_ms = atomic_exchange(&h->stop_grace_ms, -1);
	if (grace_ms >= 0) {
		h->stop_until = h->now + grace_ms * UR_MS_NS;
		accept_last(h);
		h->stopping = true;
		close_listener(h);
		for (struct ur_link *l = h->all.after; l != &h->all; l = l->after) {
			ur_conn_hurry(UR_CONN_OF(l, all));
		}
	}
	if (h->stopping && h->stop_until <= h->now) {
		end_all(h, -ESHUTDOWN);
	}
}

/* --- the loop ------------------------------------------------------------------------------------- */
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
			ur_conn_note(events[i].data.ptr, events[i].events);
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
	o->late_status = o->late_status > 0 ? o->late_status : 408;
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
	h->wait_ns[UR_WAIT_IDLE] = h->options.idle_wait_ms * UR_MS_NS;
	h->wait_ns[UR_WAIT_HEAD] = h->options.head_wait_ms * UR_MS_NS;
	h->wait_ns[UR_WAIT_BODY] = h->options.body_wait_ms * UR_MS_NS;
	h->wait_ns[UR_WAIT_ANSWER] = h->options.answer_wait_ms * UR_MS_NS;
	h->wait_ns[UR_WAIT_LINGER] = LINGER_MS * UR_MS_NS;
	h->wait_ns[UR_WAIT_LAST] = LAST_MS * UR_MS_NS;
	h->listener.fd = -1;
	h->epoll = -1;
	h->bell.fd = -1;
	atomic_init(&h->posts, NULL);
	atomic_init(&h->stop_grace_ms, -1);
	ur_link_init(&h->all);
	ur_link_init(&h->run);
	ur_link_init(&h->dead);
	for (size_t i = 0; i < UR_WAITS; i++) {
		ur_link_init(&h->waits[i]);
	}
	for (size_t i = 0; i < UR_HTTPD_PEER_BUCKETS; i++) {
		ur_link_init(&h->peers[i]);
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
	struct ur_link *next = NULL;
	for (struct ur_link *l = httpd->all.after; l != &httpd->all; l = next) {
		next = l->after;
		ur_conn_free(UR_CONN_OF(l, all));
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
