/*
 * http_loop - one curl multi, one epoll, one thread.
 *
 *     wait ─▶ ready sockets, due timers ─▶ curl ─▶ finished requests ─▶ done()
 *       ▲                                                                │
 *       └── nothing new ◀── guests ◀── clocks ◀── inbox ◀────────────────┘
 *
 * curl says by callbacks which sockets and what time it waits for, and is called for these alone: a
 * turn costs what has happened, however many requests are under way.  Guests' descriptors are
 * watched for edges, so nobody has to empty them.
 */
#include "engine/base/clock.h"
#include "engine/net/http_parts.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TICK_MS 250        // how often the clocks are looked at
#define LIMITED_TICK_MS 25 // … while the bandwidth limit stops requests
#define PAUSE_MS 1000      // so late, and the process has not run
#define EVENTS_MAX 64
#define NOBODY (-1) // in an event: the turn itself is all there is to do

/* ---- what curl waits for --------------------------------------------------------------------- */

static int watch(int epoll, int fd, int id, uint32_t events)
{
	struct epoll_event event = {.events = events, .data = {.fd = id}};
	const int r = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	if (r < 0 && errno == EEXIST) {
		return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
	}
	return r < 0 ? -errno : 0;
}

/** curl's: `what` it wants to hear of a socket from now on. */
static int on_socket(CURL *h, curl_socket_t fd, int what, void *context, void *of_socket)
{
	const struct ur_http *http = context;
	(void)h;
	(void)of_socket;
	if (what == CURL_POLL_REMOVE) {
		(void)epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL); // or it is closed, and gone
		return 0;
	}
	const uint32_t events = ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
				((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
	return watch(http->epoll, fd, fd, events) < 0 ? -1 : 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct ur_http *http = context;
	(void)multi;
	http->timer_ns =
		timeout_ms < 0 ? INT64_MAX : ur_clock_steady_ns() + (int64_t)timeout_ms * UR_MS_NS;
	return 0;
}

static void tell_ready(struct ur_http *http, const struct epoll_event *event)
{
	int running = 0;
	const int bits = ((event->events & (EPOLLIN | EPOLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
			 ((event->events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
			 ((event->events & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0);
	if (event->data.fd != NOBODY) {
		(void)curl_multi_socket_action(http->multi, event->data.fd, bits, &running);
	}
}

static void tell_time(struct ur_http *http)
{
	int running = 0;
	if (ur_clock_steady_ns() >= http->timer_ns) {
		http->timer_ns = INT64_MAX;
		(void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static void take_in(struct ur_http *http)
{
	struct ur_request *list = atomic_exchange(&http->inbox, NULL);
	struct ur_request *in_order = NULL;
	while (list != NULL) {
		struct ur_request *next = list->next;
		list->next = in_order;
		in_order = list;
		list = next;
	}
	while (in_order != NULL) {
		struct ur_request *next = in_order->next;
		ur_http_begin(http, in_order);
		in_order = next;
	}
}

static void finish_complete(struct ur_http *http)
{
	int left = 0;
	CURLMsg *message = NULL;
	while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
		struct ur_request *request = NULL;
		const CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		ur_http_finish(http, request, code, 0);
	}
}

void ur_http_resume(struct ur_http *http, struct ur_request *request)
{
	(void)http;
	if (request->paused && request->handle != NULL) {
		request->paused = false;
		curl_easy_pause(request->handle, CURLPAUSE_CONT);
	}
}

/**
 * Where the process did not run (SIGSTOP, a frozen container, a debugger) no server kept it waiting:
 * that time counts for nobody.
 */
static void forgive_pause(struct ur_http *http)
{
	const int64_t now = ur_clock_steady_ns();
	const int64_t late = now - http->looked_ns - TICK_MS * UR_MS_NS;
	const bool paused = http->looked_ns != 0 && late > PAUSE_MS * UR_MS_NS;
	for (struct ur_request *r = http->active; r != NULL && paused; r = r->next) {
		r->progress_ns += now - r->progress_ns < late ? now - r->progress_ns : late;
	}
	http->looked_ns = now;
}

/** Stalls end here, and requests that the bandwidth limit had stopped go on. */
static void look_at_clocks(struct ur_http *http)
{
	const bool cancelled = atomic_load(&http->cancelled);
	if (ur_clock_steady_ns() < http->look_ns && !cancelled) {
		return;
	}
	forgive_pause(http);
	const struct ur_bucket_time now = ur_http_now();
	ur_bucket_look(&http->bucket, now);
	const bool open = ur_bucket_allows(&http->bucket, 1) > 0;
	struct ur_request *next = NULL;
	for (struct ur_request *r = http->active; r != NULL; r = next) {
		next = r->next;
		const int64_t limit_ms = r->body_gone ? r->answer_wait_ms : http->options.stall_ms;
		if (cancelled) {
			ur_http_finish(http, r, CURLE_OK, -ECANCELED);
			next = http->active; // done() may have changed the list: from the start
		} else if (now.steady_ns - r->progress_ns > limit_ms * UR_MS_NS) {
			ur_http_finish(http, r, CURLE_OK, -ETIMEDOUT);
			next = http->active;
		} else if (r->paused && r->upload && open) {
			ur_http_resume(http, r);
		}
	}
	const bool limited = ur_bucket_is_limited(&http->bucket) && http->active != NULL;
	http->look_ns = now.steady_ns + (limited ? LIMITED_TICK_MS : TICK_MS) * UR_MS_NS;
}

static void turn_guests(struct ur_http *http)
{
	for (size_t i = 0; i < http->guest_count; i++) {
		http->guests[i].turn(http->guests[i].context);
	}
}

/** Until the next timer, rounded up; 0 where something has come meanwhile. */
static int wait_ms(struct ur_http *http)
{
	if (atomic_exchange(&http->news, false) || atomic_load(&http->inbox) != NULL) {
		return 0;
	}
	const int64_t until = http->timer_ns < http->look_ns ? http->timer_ns : http->look_ns;
	const int64_t left = until - ur_clock_steady_ns();
	return left <= 0 ? 0 : (int)((left + UR_MS_NS - 1) / UR_MS_NS);
}

static void turn(struct ur_http *http)
{
	struct epoll_event events[EVENTS_MAX];
	ur_bell_arm(&http->bell);
	int count = epoll_wait(http->epoll, events, EVENTS_MAX, wait_ms(http));
	if (count < 0) { // stopped and gone on with: what came meanwhile is heard before the clocks
		count = epoll_wait(http->epoll, events, EVENTS_MAX, 0);
	}
	ur_bell_answer(&http->bell);
	for (int i = 0; i < count; i++) {
		tell_ready(http, &events[i]);
	}
	take_in(http);
	tell_time(http);
	finish_complete(http);
	look_at_clocks(http);
	turn_guests(http);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void stop_guests(struct ur_http *http, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		http->guests[i].stop(http->guests[i].context);
	}
}

static int start_guest(struct ur_http *http, const struct ur_http_guest *guest)
{
	int r = guest->start(guest->context, &http->start_err);
	const int fd = r < 0 ? -1 : guest->fd(guest->context);
	if (fd >= 0) {
		r = watch(http->epoll, fd, NOBODY, EPOLLIN | EPOLLET);
		if (r < 0) {
			guest->stop(guest->context);
			return ur_err_set(&http->start_err, r, UR_FAULT_WORLD,
				"cannot wait for a stage of the pipeline");
		}
	}
	return r;
}

/** All or none. */
static int start_guests(struct ur_http *http)
{
	int r = 0;
	for (size_t i = 0; i < http->guest_count && r == 0; i++) {
		r = start_guest(http, &http->guests[i]);
		if (r < 0) {
			stop_guests(http, i);
		}
	}
	return r;
}

void *ur_http_loop(void *context)
{
	struct ur_http *http = context;
	http->start_result = start_guests(http);
	const bool ok = http->start_result == 0;
	(void)pthread_barrier_wait(&http->started); // from here on http may be gone if not ok
	if (!ok) {
		return NULL;
	}
	while (!atomic_load(&http->stopping) || http->active != NULL ||
		atomic_load(&http->inbox) != NULL) {
		turn(http);
	}
	stop_guests(http, http->guest_count);
	return NULL;
}

int ur_http_loop_init(struct ur_http *http)
{
	http->timer_ns = INT64_MAX;
	http->bell.fd = -1;
	http->epoll = epoll_create1(EPOLL_CLOEXEC);
	int r = http->epoll < 0 ? -errno : ur_bell_init(&http->bell);
	r = r < 0 ? r : watch(http->epoll, http->bell.fd, NOBODY, EPOLLIN);
	http->multi = curl_multi_init();
	if (r < 0 || http->multi == NULL) {
		return r < 0 ? r : -ENOMEM;
	}
	const long connections = http->options.connections_max;
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, connections);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return 0;
}

void ur_http_loop_done(struct ur_http *http)
{
	for (size_t i = 0; i < http->idle_count; i++) {
		curl_easy_cleanup(http->idle[i]);
	}
	if (http->multi != NULL) {
		curl_multi_cleanup(http->multi);
	}
	ur_bell_done(&http->bell);
	if (http->epoll >= 0) {
		(void)close(http->epoll);
	}
}
