/*
 * http - one curl multi, one loop.
 *
 *     inbox (a lock-free stack) ─▶ begin ─▶ curl ─▶ finish ─▶ done()
 *
 * A turn: take in what was submitted, let the guest work, let curl work, finish what is complete,
 * look at the clocks (stalls, bandwidth), then sleep in curl_multi_poll until a socket, the guest's
 * descriptor or a wake-up.
 */
#include "engine/net/http.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define CONNECTION_AGE_S 4L // the server closes idle ones after 6 s
#define SEND_BUFFER_SMALL (256L << 10)
#define SEND_BUFFER_LARGE (2L << 20) // the most that curl takes
#define LARGE_BODY (1u << 20)
#define TICK_MS 250 // how often the clocks are looked at
#define IDLE_HANDLES_MAX 64
#define UNSENT_MAX (256 << 10) // bytes that wait in a socket before they are on their way
#define GUESTS_MAX 2
#define BURST_MS 100 // how much bandwidth may be saved up

struct ur_http {
	struct ur_http_options options;
	char *server;
	struct curl_slist *common; // headers of every request, the key among them
	struct ur_http_guest guests[GUESTS_MAX];
	size_t guest_count;
	CURLM *multi;
	pthread_t thread;
	pthread_t self; // the same, as the thread itself knows it
	bool running;
	atomic_bool stopping;
	atomic_bool cancelled;
	_Atomic(struct ur_request *) inbox;
	struct ur_request *active; // on http's thread, linked by next
	CURL *idle[IDLE_HANDLES_MAX];
	size_t idle_count;
	_Atomic uint64_t bytes_sent;
	_Atomic uint64_t requests;
	_Atomic uint64_t refusals;
	/* The bucket of the bandwidth limit. */
	uint64_t rate;
	int64_t rate_until_ns;
	double tokens;
	int64_t tokens_ns;
	pthread_barrier_t started;
	int start_result;
	struct ur_err start_err;
};

/* ---- the bandwidth limit --------------------------------------------------------------------- */

static void refill(struct ur_http *http)
{
	const int64_t wall = ur_clock_wall_ns();
	const int64_t now = ur_clock_steady_ns();
	if (wall >= http->rate_until_ns) {
		http->rate = ur_schedule_rate(&http->options.rate, wall, &http->rate_until_ns);
		http->tokens = 0;
	}
	const double most = (double)http->rate * BURST_MS / 1000;
	http->tokens += (double)http->rate * (double)(now - http->tokens_ns) / UR_SECOND_NS;
	if (http->tokens > most) {
		http->tokens = most;
	}
	http->tokens_ns = now;
}

/** How many of `size` body bytes may go now. */
static size_t allowance(struct ur_http *http, const struct ur_request *request, size_t size)
{
	if (!request->upload || http->rate == 0) {
		return size;
	}
	refill(http);
	if (http->rate == 0) {
		return size;
	}
	return http->tokens < 1 ? 0 : http->tokens < (double)size ? (size_t)http->tokens : size;
}

/* ---- curl's callbacks ------------------------------------------------------------------------ */

static ssize_t read_piece(struct ur_request *request, char *buffer, size_t size)
{
	const struct ur_piece *piece = &request->pieces[request->piece];
	const uint64_t left = piece->size - request->piece_done;
	if (size > left) {
		size = (size_t)left;
	}
	if (piece->stream != NULL) {
		return piece->stream->read(piece->stream, buffer, size);
	}
	memcpy(buffer, (const char *)piece->bytes + request->piece_done, size);
	return (ssize_t)size;
}

/** Skips pieces that are used up; false at the end of the body. */
static bool at_piece(struct ur_request *request)
{
	while (request->piece < request->piece_count &&
		request->piece_done == request->pieces[request->piece].size) {
		request->piece++;
		request->piece_done = 0;
	}
	return request->piece < request->piece_count;
}

static size_t give_body(char *buffer, size_t one, size_t size, void *context)
{
	struct ur_request *request = context;
	struct ur_http *http = NULL;
	(void)one;
	curl_easy_getinfo(request->handle, CURLINFO_PRIVATE, (char **)&http);
	size_t used = 0;
	size = allowance(http, request, size);
	if (size == 0) {
		request->paused = true;
		request->progress_ns = ur_clock_steady_ns(); // our own limit is no stall
		return CURL_READFUNC_PAUSE;
	}
	while (used < size && at_piece(request)) {
		const ssize_t n = read_piece(request, buffer + used, size - used);
		if (n == -EAGAIN) {
			break;
		}
		if (n <= 0) { // an early end would leave the body short: break it off
			request->stream_error = n < 0 ? (int)n : -EIO;
			return CURL_READFUNC_ABORT;
		}
		used += (size_t)n;
		request->piece_done += (uint64_t)n;
	}
	const bool more = at_piece(request);
	if (used == 0 && more) {
		request->paused = true;
		return CURL_READFUNC_PAUSE;
	}
	request->body_gone = !more;
	request->progress_ns = ur_clock_steady_ns();
	if (request->upload && http->rate != 0) {
		http->tokens -= (double)used;
	}
	return used;
}

static size_t take_answer(char *bytes, size_t one, size_t size, void *context)
{
	struct ur_request *request = context;
	(void)one;
	request->progress_ns = ur_clock_steady_ns();
	long status = 0;
	curl_easy_getinfo(request->handle, CURLINFO_RESPONSE_CODE, &status);
	if (request->sink != NULL && (status == 200 || status == 206)) {
		const int r = request->sink(request, bytes, size);
		if (r < 0) {
			request->stream_error = r;
			return 0;
		}
		return size;
	}
	const size_t most = request->answer_max != 0 ? request->answer_max : UR_HTTP_ANSWER_MAX;
	if (request->answer.size + size > most) {
		request->stream_error = -EMSGSIZE;
		return 0;
	}
	ur_text_add(&request->answer, bytes, size);
	if (!ur_text_ok(&request->answer)) {
		request->stream_error = -ENOMEM;
		return 0;
	}
	return size;
}

/** The value of header line `line` when its name is `name`, into `ret`. */
static bool header_value(const char *line, size_t size, const char *name, char *ret, size_t room)
{
	const size_t length = strlen(name);
	if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':') {
		return false;
	}
	size_t from = length + 1;
	while (from < size && (line[from] == ' ' || line[from] == '\t')) {
		from++;
	}
	while (size > from && (line[size - 1] == '\r' || line[size - 1] == '\n')) {
		size--;
	}
	const size_t n = size - from < room - 1 ? size - from : room - 1;
	memcpy(ret, line + from, n);
	ret[n] = '\0';
	return true;
}

/** "Name: value\r\n" in two, for whoever asked for them. */
static void give_field(struct ur_request *request, const char *line, size_t size)
{
	char name[64];
	char value[UR_HTTP_FIELD_MAX];
	const char *colon = memchr(line, ':', size);
	const size_t length = colon == NULL ? 0 : (size_t)(colon - line);
	if (length == 0 || length >= sizeof name || size - length >= sizeof value) {
		return;
	}
	memcpy(name, line, length);
	name[length] = '\0';
	if (header_value(line, size, name, value, sizeof value)) {
		request->field(request, name, value);
	}
}

static size_t take_header(char *line, size_t one, size_t size, void *context)
{
	struct ur_request *request = context;
	char value[128];
	(void)one;
	if (header_value(line, size, "Retry-After", value, sizeof value)) {
		int64_t seconds = 0;
		if (ur_parse_number(value, 0, 86400, &seconds) == 0) {
			request->retry_after_ms = seconds * 1000;
		} else {
			const time_t at = curl_getdate(value, NULL);
			const int64_t wait = at < 0 ? -1 : at * UR_SECOND_NS - ur_clock_wall_ns();
			request->retry_after_ms = wait < 0 ? -1 : wait / UR_MS_NS;
		}
	} else if (header_value(line, size, "Content-Type", value, sizeof value)) {
		request->html = strncasecmp(value, "text/html", 9) == 0;
	}
	if (request->field != NULL) {
		give_field(request, line, size);
	}
	(void)header_value(
		line, size, "Content-Range", request->content_range, sizeof request->content_range);
	return size;
}

/* ---- one request ----------------------------------------------------------------------------- */

static void set_tls(CURL *h, const struct ur_http_options *o)
{
	if (o->cacert != NULL) {
		curl_easy_setopt(h, CURLOPT_CAINFO, o->cacert);
		curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
	}
	if (o->client_cert != NULL) {
		curl_easy_setopt(h, CURLOPT_SSLCERT, o->client_cert);
		curl_easy_setopt(h, CURLOPT_SSLKEY, o->client_key);
	}
	if (o->proxy != NULL) {
		curl_easy_setopt(h, CURLOPT_PROXY, o->proxy);
	}
}

/**
 * What waits unsent in the kernel is lost to nobody's knowledge when the line is cut, and makes the
 * progress lie.  The window itself is left to the kernel: long fat lines need it.
 */
static int limit_unsent(void *context, curl_socket_t socket, curlsocktype purpose)
{
	const int most = UNSENT_MAX;
	(void)context;
	if (purpose == CURLSOCKTYPE_IPCXN) {
		(void)setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
	}
	return CURL_SOCKOPT_OK;
}

static void set_always(struct ur_http *http, CURL *h)
{
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)http->options.connect_ms);
	curl_easy_setopt(h, CURLOPT_MAXAGE_CONN, CONNECTION_AGE_S);
	curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, limit_unsent);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "uringest/" UR_VERSION);
	curl_easy_setopt(h, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(h, CURLOPT_PRIVATE, http);
	set_tls(h, &http->options);
}

static CURL *take_handle(struct ur_http *http)
{
	if (http->idle_count > 0) {
		return http->idle[--http->idle_count];
	}
	CURL *h = curl_easy_init();
	if (h != NULL) {
		set_always(http, h);
	}
	return h;
}

static void give_handle_back(struct ur_http *http, CURL *h)
{
	if (http->idle_count == IDLE_HANDLES_MAX) {
		curl_easy_cleanup(h);
		return;
	}
	http->idle[http->idle_count++] = h;
}

static_assert(sizeof(struct ur_http_line) == sizeof(struct curl_slist) &&
		      offsetof(struct ur_http_line, data) == offsetof(struct curl_slist, data) &&
		      offsetof(struct ur_http_line, next) == offsetof(struct curl_slist, next),
	"curl walks our lines");

/** curl only reads the list, so what all requests say stands behind the lines of each. */
static struct curl_slist *request_headers(struct ur_http *http, struct ur_request *r)
{
	(void)snprintf(r->type, sizeof r->type, "Content-Type: %s",
		r->content_type == NULL ? "" : r->content_type);
	const char *more[UR_HTTP_LINES] = {
		r->content_type == NULL ? NULL : r->type, r->header[0], r->header[1]};
	struct ur_http_line *list = (struct ur_http_line *)http->common;
	memcpy(more + 3, r->more, sizeof r->more);
	for (size_t i = 0; i < UR_HTTP_LINES; i++) {
		if (more[i] != NULL && more[i][0] != '\0') {
			r->lines[i] = (struct ur_http_line){(char *)more[i], list};
			list = &r->lines[i];
		}
	}
	return (struct curl_slist *)list;
}

static int set_request(struct ur_http *http, CURL *h, struct ur_request *request)
{
	char url[4096];
	const bool whole = request->url != NULL;
	if ((size_t)snprintf(url, sizeof url, "%s%s", whole ? request->url : http->server,
		    whole ? "" : request->path) >= sizeof url) {
		return -ENAMETOOLONG;
	}
	uint64_t size = 0;
	for (size_t i = 0; i < request->piece_count; i++) {
		size += request->pieces[i].size;
	}
	const bool body = request->piece_count > 0;
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, request_headers(http, request));
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, NULL);
	curl_easy_setopt(h, CURLOPT_NOBODY, 0L);
	if (body) {
		curl_easy_setopt(h, CURLOPT_POST, 0L);
		curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
		curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE,
			size >= LARGE_BODY ? SEND_BUFFER_LARGE : SEND_BUFFER_SMALL);
	} else {
		curl_easy_setopt(h, CURLOPT_UPLOAD, 0L);
		curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(h, CURLOPT_NOBODY, strcmp(request->method, "HEAD") == 0 ? 1L : 0L);
	}
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, request->method);
	curl_easy_setopt(h, CURLOPT_READDATA, request);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, request);
	return 0;
}

static void report(struct ur_http *http, struct ur_request *request)
{
	if (request->handle != NULL) {
		give_handle_back(http, request->handle);
		request->handle = NULL;
	}
	ur_effect("answer", true);
	request->done(request);
}

static void begin(struct ur_http *http, struct ur_request *request)
{
	request->result = 0;
	request->status = 0;
	request->retry_after_ms = -1;
	request->body_gone = request->piece_count == 0;
	request->sent = 0;
	request->content_range[0] = '\0';
	request->piece = 0;
	request->piece_done = 0;
	request->stream_error = 0;
	request->paused = false;
	request->html = false;
	request->progress_ns = ur_clock_steady_ns();
	ur_text_clear(&request->answer);
	atomic_fetch_add(&http->requests, 1);

	int r = atomic_load(&http->cancelled) ? -ECANCELED : 0;
	request->handle = r < 0 ? NULL : take_handle(http);
	if (r == 0) {
		r = request->handle == NULL ? -ENOMEM : set_request(http, request->handle, request);
	}
	ur_effect("request", false);
	if (r == 0 && curl_multi_add_handle(http->multi, request->handle) != CURLM_OK) {
		r = -ENOMEM;
	}
	if (r < 0) {
		request->result = ur_err_set(&request->err, r, UR_FAULT_WORLD, "%s %s was not sent",
			request->method, request->url != NULL ? request->url : request->path);
		report(http, request);
		return;
	}
	request->next = http->active;
	http->active = request;
}

static int errno_of(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
		return -EPROTO;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -ECONNRESET;
	}
}

static void unlink_active(struct ur_http *http, struct ur_request *request)
{
	struct ur_request **at = &http->active;
	while (*at != request) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = request->next;
	request->next = NULL;
}

static bool is_refusal(int status)
{
	return status >= 400 && status < 500 && status != 404 && status != 408 && status != 413 &&
	       status != 429;
}

static void finish(struct ur_http *http, struct ur_request *request, CURLcode code, int forced)
{
	CURL *h = request->handle;
	curl_off_t sent = 0;
	long status = 0;
	long os_error = 0;
	curl_easy_getinfo(h, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(h, CURLINFO_OS_ERRNO, &os_error);
	curl_multi_remove_handle(http->multi, h);
	unlink_active(http, request);

	request->sent = (uint64_t)sent;
	request->status = (int)status;
	if (request->upload && !request->uncounted) {
		atomic_fetch_add(&http->bytes_sent, request->sent);
	}
	if (forced == 0 && is_refusal((int)status)) {
		atomic_fetch_add(&http->refusals, 1);
	}
	int r = forced;
	if (r == 0 && code != CURLE_OK) {
		r = request->stream_error != 0 ? request->stream_error : errno_of(code);
	}
	if (r != 0) {
		const bool setup =
			code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
			code == CURLE_SSL_CACERT_BADFILE || code == CURLE_URL_MALFORMAT ||
			code == CURLE_UNSUPPORTED_PROTOCOL;
		const char *words = forced == -ETIMEDOUT         ? "no progress in time"
				    : forced == -ECANCELED       ? "stopped"
				    : request->stream_error != 0 ? strerror(-request->stream_error)
								 : curl_easy_strerror(code);
		const char *os_words = os_error != 0 && forced == 0 ? strerror((int)os_error) : "";
		(void)ur_err_say(&request->err, r, setup ? UR_FAULT_SETUP : UR_FAULT_WORLD,
			"%s: %s%s%s", http->server, words, os_words[0] != '\0' ? ": " : "",
			os_words);
	}
	request->result = r;
	report(http, request);
}

/* ---- the loop -------------------------------------------------------------------------------- */

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
		begin(http, in_order);
		in_order = next;
	}
}

static void finish_complete(struct ur_http *http)
{
	int left = 0;
	CURLMsg *message = NULL;
	while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
		struct ur_request *request = http->active;
		while (request != NULL && request->handle != message->easy_handle) {
			request = request->next;
		}
		assert(request != NULL);
		finish(http, request, message->data.result, 0);
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

/** Stalls end here, and requests that the bandwidth limit had stopped go on. */
static void look_at_clocks(struct ur_http *http)
{
	const int64_t now = ur_clock_steady_ns();
	const bool cancelled = atomic_load(&http->cancelled);
	if (http->rate != 0 || ur_clock_wall_ns() >= http->rate_until_ns) {
		refill(http);
	}
	struct ur_request *next = NULL;
	for (struct ur_request *r = http->active; r != NULL; r = next) {
		next = r->next;
		const int64_t limit_ms = r->body_gone ? r->answer_wait_ms : http->options.stall_ms;
		if (cancelled) {
			finish(http, r, CURLE_OK, -ECANCELED);
			next = http->active; // done() may have changed the list: from the start
		} else if (now - r->progress_ns > limit_ms * UR_MS_NS) {
			finish(http, r, CURLE_OK, -ETIMEDOUT);
			next = http->active;
		} else if (r->paused && r->upload && (http->rate == 0 || http->tokens >= 1)) {
			ur_http_resume(http, r);
		}
	}
}

static void turn_guests(struct ur_http *http)
{
	for (size_t i = 0; i < http->guest_count; i++) {
		http->guests[i].turn(http->guests[i].context);
	}
}

static unsigned gather_fds(struct ur_http *http, struct curl_waitfd ret[GUESTS_MAX])
{
	unsigned count = 0;
	for (size_t i = 0; i < http->guest_count; i++) {
		const int fd = http->guests[i].fd(http->guests[i].context);
		if (fd >= 0) {
			ret[count++] = (struct curl_waitfd){.fd = fd, .events = CURL_WAIT_POLLIN};
		}
	}
	return count;
}

static void stop_guests(struct ur_http *http, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		http->guests[i].stop(http->guests[i].context);
	}
}

/** All or none. */
static int start_guests(struct ur_http *http)
{
	int r = 0;
	for (size_t i = 0; i < http->guest_count && r == 0; i++) {
		r = http->guests[i].start(http->guests[i].context, &http->start_err);
		if (r < 0) {
			stop_guests(http, i);
		}
	}
	return r;
}

static void turn(struct ur_http *http)
{
	int running = 0;
	take_in(http);
	turn_guests(http);
	(void)curl_multi_perform(http->multi, &running);
	finish_complete(http);
	look_at_clocks(http);
	turn_guests(http);
	if (atomic_load(&http->inbox) != NULL) {
		return;
	}
	struct curl_waitfd extra[GUESTS_MAX];
	const unsigned extra_count = gather_fds(http, extra);
	const int wait_ms = http->rate != 0 && http->active != NULL ? BURST_MS / 4 : TICK_MS;
	(void)curl_multi_poll(http->multi, extra, extra_count, wait_ms, NULL);
}

static void *run(void *context)
{
	struct ur_http *http = context;
	http->self = pthread_self();
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

/* ---- life ------------------------------------------------------------------------------------ */

static int common_headers(struct ur_http *http)
{
	char key[512];
	const char *lines[UR_HTTP_HEADERS_MAX + 4] = {"Expect:", "Accept: application/json"};
	size_t count = 2;
	if (http->options.key != NULL) {
		if ((size_t)snprintf(key, sizeof key, "x-api-key: %s", http->options.key) >=
			sizeof key) {
			return -E2BIG;
		}
		lines[count++] = key;
	}
	for (size_t i = 0; http->options.headers != NULL && http->options.headers[i] != NULL; i++) {
		if (i == UR_HTTP_HEADERS_MAX) {
			return -E2BIG;
		}
		lines[count++] = http->options.headers[i];
	}
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		struct curl_slist *longer = curl_slist_append(http->common, lines[i]);
		r = longer == NULL ? -ENOMEM : 0;
		http->common = longer == NULL ? http->common : longer;
	}
	explicit_bzero(key, sizeof key);
	return r;
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int start_thread(struct ur_http *http, struct ur_err *err)
{
	(void)pthread_barrier_init(&http->started, NULL, 2);
	const int r = -pthread_create(&http->thread, NULL, run, http);
	if (r < 0) {
		(void)pthread_barrier_destroy(&http->started);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot start the network thread");
	}
	(void)pthread_barrier_wait(&http->started);
	if (http->start_result < 0) {
		(void)pthread_join(http->thread, NULL);
		(void)pthread_barrier_destroy(&http->started);
		if (err != NULL) {
			*err = http->start_err;
		}
		return http->start_result;
	}
	http->running = true;
	return 0;
}

int ur_http_new(const struct ur_http_options *options, const struct ur_http_guest *guest,
	struct ur_http **ret, struct ur_err *err)
{
	(void)pthread_once(&curl_once, start_curl);
	struct ur_http *http = calloc(1, sizeof *http);
	if (http == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot start the network");
	}
	int r = -ENOMEM;
	http->options = *options;
	for (const struct ur_http_guest *at = guest; at != NULL; at = at->next) {
		assert(http->guest_count < GUESTS_MAX);
		http->guests[http->guest_count++] = *at;
	}
	http->tokens_ns = ur_clock_steady_ns();
	http->server = strdup(options->server);
	http->multi = curl_multi_init();
	if (http->server == NULL || http->multi == NULL || (r = common_headers(http)) < 0) {
		r = ur_err_set(err, r, UR_FAULT_WORLD, "cannot start the network");
		goto fail;
	}
	for (size_t n = strlen(http->server); n > 0 && http->server[n - 1] == '/'; n--) {
		http->server[n - 1] = '\0';
	}
	curl_multi_setopt(
		http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)options->connections_max);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)options->connections_max);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	r = start_thread(http, err);
	if (r < 0) {
		goto fail;
	}
	*ret = http;
	return 0;

fail:
	(void)ur_http_free(http);
	return r;
}

struct ur_http *ur_http_free(struct ur_http *http)
{
	if (http == NULL) {
		return NULL;
	}
	if (http->running) {
		ur_http_cancel(http);
		atomic_store(&http->stopping, true);
		ur_http_wake(http);
		(void)pthread_join(http->thread, NULL);
		(void)pthread_barrier_destroy(&http->started);
	}
	for (size_t i = 0; i < http->idle_count; i++) {
		curl_easy_cleanup(http->idle[i]);
	}
	if (http->multi != NULL) {
		curl_multi_cleanup(http->multi);
	}
	for (struct curl_slist *h = http->common; h != NULL; h = h->next) {
		explicit_bzero(h->data, strlen(h->data));
	}
	curl_slist_free_all(http->common);
	free(http->server);
	free(http);
	return NULL;
}

void ur_http_submit(struct ur_http *http, struct ur_request *request)
{
	assert(request->done != NULL);
	assert(request->url != NULL || request->path[0] == '/');
	struct ur_request *head = atomic_load(&http->inbox);
	do {
		request->next = head;
	} while (!atomic_compare_exchange_weak(&http->inbox, &head, request));
	if (!pthread_equal(pthread_self(), http->self)) { // the loop looks before it sleeps
		ur_http_wake(http);
	}
}

void ur_http_wake(struct ur_http *http)
{
	(void)curl_multi_wakeup(http->multi);
}

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;
};

static void call_done(struct ur_request *request)
{
	struct waiter *waiter = request->owner;
	(void)pthread_mutex_lock(&waiter->mutex);
	waiter->done = true;
	(void)pthread_cond_signal(&waiter->cond);
	(void)pthread_mutex_unlock(&waiter->mutex);
}

void ur_http_call(struct ur_http *http, struct ur_request *request)
{
	struct waiter waiter = {
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};
	request->done = call_done;
	request->owner = &waiter; // cppcheck-suppress autoVariables ; done before we return
	ur_http_submit(http, request);
	(void)pthread_mutex_lock(&waiter.mutex);
	while (!waiter.done) {
		(void)pthread_cond_wait(&waiter.cond, &waiter.mutex);
	}
	(void)pthread_mutex_unlock(&waiter.mutex);
}

void ur_request_done(struct ur_request *request)
{
	ur_text_done(&request->answer);
}

void ur_http_count(struct ur_http *http, uint64_t bytes)
{
	atomic_fetch_add(&http->bytes_sent, bytes);
}

uint64_t ur_http_bytes_sent(const struct ur_http *http)
{
	return atomic_load(&http->bytes_sent);
}

uint64_t ur_http_requests(const struct ur_http *http)
{
	return atomic_load(&http->requests);
}

uint64_t ur_http_refusals(const struct ur_http *http)
{
	return atomic_load(&http->refusals);
}

void ur_http_cancel(struct ur_http *http)
{
	atomic_store(&http->cancelled, true);
	ur_http_wake(http);
}

bool ur_http_is_near(const char *url)
{
	const char *host = strstr(url, "://");
	host = host == NULL ? url : host + 3;
	unsigned a = 0;
	unsigned b = 0;
	if (strncmp(host, "[::1]", 5) == 0 || strncasecmp(host, "[fe80:", 6) == 0 ||
		strncasecmp(host, "[fc", 3) == 0 || strncasecmp(host, "[fd", 3) == 0 ||
		strncasecmp(host, "localhost", 9) == 0) {
		return true;
	}
	if (sscanf(host, "%u.%u.", &a, &b) == 2) {
		return a == 127 || a == 10 || (a == 192 && b == 168) ||
		       (a == 172 && b >= 16 && b < 32) || (a == 169 && b == 254);
	}
	const size_t length = strcspn(host, ":/");
	return memchr(host, '.', length) == NULL; // a bare name is a neighbour's or a container's
}
