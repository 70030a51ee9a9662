/*
 * http_request - one request: what curl is told, what it asks, what came of it.
 */
#include "engine/base/clock.h"
#include "engine/base/retry.h"
#include "engine/net/http_parts.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define HELD_BACK_BYTES 65536 // by our own limit: it moves, as slowly as was asked for
#define CONNECTION_AGE_S 4L   // the server closes idle ones after 6 s
#define SEND_BUFFER_SMALL (256L << 10)
#define SEND_BUFFER_LARGE (2L << 20) // the most that curl takes
#define LARGE_BODY (1u << 20)
#define SLOWEST_ANSWER 1024                   // bytes a second
#define RETRY_AFTER_MAX_S INT64_C(1000000000) // thirty years: for ever, as good as
/* Bytes that may wait in a socket before they are on their way. */
#define UNSENT_MAX (256 << 10)
#define UNSENT_NEAR (4 << 20) // … of a large body, where the line is soon rid of them

/* ---- what curl asks -------------------------------------------------------------------------- */

struct ur_bucket_time ur_http_now(void)
{
	return (struct ur_bucket_time){ur_clock_wall_ns(), ur_clock_steady_ns()};
}

/** How many of `size` body bytes may go now. */
static size_t allowance(struct ur_http *http, const struct ur_request *request, size_t size)
{
	if (!request->upload || !ur_bucket_is_limited(&http->bucket)) {
		return size;
	}
	ur_bucket_look(&http->bucket, ur_http_now());
	return ur_bucket_allows(&http->bucket, size);
}

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

/**
 * To a near host each waking for a little room costs more than honest progress is worth; but not where
 * the caller counts what has arrived, to send the rest again when the line is cut.  A connection may
 * have had either before.
 */
static void loosen_near(const struct ur_http *http, const struct ur_request *request)
{
	curl_socket_t socket = CURL_SOCKET_BAD;
	const int most = request->uncounted ? UNSENT_MAX : UNSENT_NEAR;
	if (http->near && request->upload && request->size >= LARGE_BODY &&
		curl_easy_getinfo(request->handle, CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK) {
		(void)setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
	}
}

static size_t give_body(char *buffer, size_t one, size_t size, void *context)
{
	struct ur_request *request = context;
	struct ur_http *http = request->http;
	(void)one;
	if (request->piece == 0 && request->piece_done == 0) {
		loosen_near(http, request);
	}
	size_t used = 0;
	size = allowance(http, request, size);
	if (size == 0) {
		request->paused = true;
		request->progress_ns = ur_clock_steady_ns(); // our own limit is no stall
		(void)atomic_fetch_add_explicit(
			&http->bytes_moved, HELD_BACK_BYTES, memory_order_relaxed);
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
	const bool last = !more && !request->body_gone && request->last != NULL;
	const int r = last ? request->last(request) : 0;
	if (r < 0) {
		request->stream_error = r;
		return CURL_READFUNC_ABORT;
	}
	request->body_gone = !more;
	request->progress_ns = ur_clock_steady_ns();
	(void)atomic_fetch_add_explicit(
		&http->bytes_moved, request->uncounted ? 0 : used, memory_order_relaxed);
	if (request->upload) {
		ur_bucket_spend(&http->bucket, used);
	}
	return used;
}

/**
 * Bytes of an answer count as progress for no longer than they would take at the slowest rate that is
 * honest: an answer that drips ends, too.
 */
static void credit(struct ur_request *request, size_t size)
{
	const int64_t now = ur_clock_steady_ns();
	const int64_t worth = (int64_t)size * (UR_SECOND_NS / SLOWEST_ANSWER);
	request->progress_ns =
		now - request->progress_ns < worth ? now : request->progress_ns + worth;
}

static size_t take_answer(char *bytes, size_t one, size_t size, void *context)
{
	struct ur_request *request = context;
	(void)one;
	credit(request, size);
	(void)atomic_fetch_add_explicit(&request->http->bytes_moved, size, memory_order_relaxed);
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

/** An interim answer, or a proxy's to CONNECT, came before: what it said is not the answer's. */
static void forget_headers(struct ur_request *request)
{
	request->retry_after_ms = -1;
	request->content_range[0] = '\0';
	request->correlation[0] = '\0';
	request->answer_type[0] = '\0';
	request->location[0] = '\0';
	request->html = false;
}

/** Immich 2.x has the one name for it, 3.x the other. */
static bool is_correlation(const char *line, size_t size, char *ret, size_t room)
{
	return header_value(line, size, "x-immich-cid", ret, room) ||
	       header_value(line, size, "X-Correlation-ID", ret, room);
}

static size_t take_header(char *line, size_t one, size_t size, void *context)
{
	struct ur_request *request = context;
	char value[128];
	(void)one;
	if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		forget_headers(request);
	} else if (header_value(line, size, "Retry-After", value, sizeof value)) {
		int64_t seconds = 0;
		if (ur_parse_number(value, 0, RETRY_AFTER_MAX_S, &seconds) == 0) {
			request->retry_after_ms = seconds * 1000;
		} else {
			const time_t at = curl_getdate(value, NULL);
			const int64_t wait_s = at - ur_clock_wall_ns() / UR_SECOND_NS;
			request->retry_after_ms = at < 0 || wait_s < 0 ? -1
						  : wait_s < RETRY_AFTER_MAX_S
							  ? wait_s * 1000
							  : RETRY_AFTER_MAX_S * 1000;
		}
	} else if (header_value(line, size, "Content-Type", value, sizeof value)) {
		request->html = strncasecmp(value, "text/html", 9) == 0;
		(void)snprintf(request->answer_type, sizeof request->answer_type, "%.63s", value);
	} else if (is_correlation(line, size, value, sizeof value)) {
		(void)snprintf(request->correlation, sizeof request->correlation, "%.63s", value);
	}
	if (request->field != NULL) {
		give_field(request, line, size);
	}
	(void)header_value(line, size, "Location", request->location, sizeof request->location);
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
	if (http->idle_count == UR_HTTP_IDLE_HANDLES) {
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
	request->size = 0;
	for (size_t i = 0; i < request->piece_count; i++) {
		request->size += request->pieces[i].size;
	}
	const bool body = request->piece_count > 0;
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, request_headers(http, request));
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, NULL);
	curl_easy_setopt(h, CURLOPT_NOBODY, 0L);
	if (body) {
		curl_easy_setopt(h, CURLOPT_POST, 0L);
		curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->size);
		curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE,
			request->size >= LARGE_BODY ? SEND_BUFFER_LARGE : SEND_BUFFER_SMALL);
	} else {
		curl_easy_setopt(h, CURLOPT_UPLOAD, 0L);
		curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(h, CURLOPT_NOBODY, strcmp(request->method, "HEAD") == 0 ? 1L : 0L);
	}
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, request->method);
	curl_easy_setopt(h, CURLOPT_PRIVATE, request);
	static_assert(UR_HTTP_WORDS >= CURL_ERROR_SIZE, "curl fills it");
	request->words[0] = '\0';
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, request->words);
	curl_easy_setopt(h, CURLOPT_READDATA, request);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, request);
	return 0;
}

static void link_active(struct ur_http *http, struct ur_request *request)
{
	request->next = http->active;
	request->link = &http->active;
	if (request->next != NULL) {
		request->next->link = &request->next;
	}
	http->active = request;
}

static void unlink_active(struct ur_request *request)
{
	*request->link = request->next;
	if (request->next != NULL) {
		request->next->link = request->link;
	}
	request->next = NULL;
	request->link = NULL;
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

void ur_http_begin(struct ur_http *http, struct ur_request *request)
{
	request->http = http;
	request->result = 0;
	request->status = 0;
	forget_headers(request);
	request->body_gone = request->piece_count == 0;
	request->sent = 0;
	request->piece = 0;
	request->piece_done = 0;
	request->stream_error = 0;
	request->paused = false;
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
	link_active(http, request);
}

/** What curl's codes are to everybody else, and who can act; any other one is a broken connection. */
static const struct failure {
	CURLcode code;
	int error;
	enum ur_fault fault;
} failures[] = {
	{CURLE_COULDNT_CONNECT, -ECONNREFUSED, UR_FAULT_WORLD},
	{CURLE_COULDNT_RESOLVE_HOST, -ECONNREFUSED, UR_FAULT_WORLD},
	{CURLE_COULDNT_RESOLVE_PROXY, -ECONNREFUSED, UR_FAULT_WORLD},
	{CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, UR_FAULT_WORLD},
	{CURLE_SSL_CONNECT_ERROR, -EPROTO, UR_FAULT_WORLD},
	{CURLE_WEIRD_SERVER_REPLY, -EPROTO, UR_FAULT_WORLD},
	{CURLE_PEER_FAILED_VERIFICATION, -EPROTO, UR_FAULT_SETUP},
	{CURLE_SSL_CERTPROBLEM, -EPROTO, UR_FAULT_SETUP},
	{CURLE_SSL_CACERT_BADFILE, -EPROTO, UR_FAULT_SETUP},
	{CURLE_UNSUPPORTED_PROTOCOL, -EPROTO, UR_FAULT_SETUP},
	{CURLE_URL_MALFORMAT, -EPROTO, UR_FAULT_SETUP},
	{CURLE_OUT_OF_MEMORY, -ENOMEM, UR_FAULT_WORLD},
};

static struct failure failure_of(CURLcode code)
{
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
		if (failures[i].code == code) {
			return failures[i];
		}
	}
	return (struct failure){code, -ECONNRESET, UR_FAULT_WORLD};
}

/** What answers where TLS was begun is something else, plain HTTP mostly. */
static bool speaks_no_tls(const struct ur_request *request, CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR &&
	       (strstr(request->words, "wrong version number") != NULL ||
		       strstr(request->words, "packet length too long") != NULL ||
		       strstr(request->words, "http request") != NULL);
}

void ur_http_show(const char *url, char ret[UR_HTTP_SHOWN])
{
	const char *scheme = strstr(url, "://");
	const char *host = scheme == NULL ? url : scheme + 3;
	const char *at = memrchr(host, '@', strcspn(host, "/?#"));
	size_t size = (size_t)(host - url);
	size = size < UR_HTTP_SHOWN ? size : 0;
	memcpy(ret, url, size);
	(void)snprintf(ret + size, UR_HTTP_SHOWN - size, "%s", at == NULL ? host : at + 1);
}

/** Who names the proxy that curl goes through, as far as the environment tells; NULL without. */
static const char *proxy_of(const struct ur_http *http)
{
	static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
	static const char *const tls[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
	const bool https = strncasecmp(http->server, "https:", 6) == 0;
	const char *const *names = https ? tls : plain;
	const size_t count = https ? sizeof tls / sizeof *tls : sizeof plain / sizeof *plain;
	if (http->options.proxy != NULL) {
		return "--proxy";
	}
	for (size_t i = 0; i < count; i++) {
		const char *value = getenv(names[i]);
		if (value != NULL && value[0] != '\0') {
			return names[i];
		}
	}
	return NULL;
}

static bool is_refusal(int status)
{
	return status >= 400 && !ur_retry_may_pass(0, status) && status != 404 && status != 413;
}

static enum ur_fault fault_of(const struct ur_request *request, CURLcode code)
{
	return speaks_no_tls(request, code) ? UR_FAULT_SETUP : failure_of(code).fault;
}

static void say_why(struct ur_http *http, struct ur_request *request, int r, CURLcode code,
	int forced, long os_error)
{
	const char *words = forced == -ETIMEDOUT         ? "no progress in time"
			    : forced == -ECANCELED       ? "stopped"
			    : request->stream_error != 0 ? strerror(-request->stream_error)
							 : curl_easy_strerror(code);
	const char *os_words = os_error != 0 && forced == 0 ? strerror((int)os_error) : "";
	const bool tls = forced == 0 && speaks_no_tls(request, code);
	const char *proxy = forced == 0 && code != CURLE_OK && request->stream_error == 0
				    ? proxy_of(http)
				    : NULL;
	char server[UR_HTTP_SHOWN];
	ur_http_show(http->server, server);
	(void)ur_err_say(&request->err, r, forced == 0 ? fault_of(request, code) : UR_FAULT_WORLD,
		"%s: %s%s%s%s%s%s", server, words, os_words[0] != '\0' ? ": " : "", os_words,
		tls ? "; what answers there speaks no TLS: try http:// in place of https://, or its "
		      "https port"
		    : "",
		proxy == NULL ? "" : "; the way there leads through the proxy of ",
		proxy == NULL ? "" : proxy);
}

void ur_http_finish(struct ur_http *http, struct ur_request *request, CURLcode code, int forced)
{
	CURL *h = request->handle;
	curl_off_t sent = 0;
	long status = 0;
	long os_error = 0;
	curl_easy_getinfo(h, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(h, CURLINFO_OS_ERRNO, &os_error);
	curl_multi_remove_handle(http->multi, h);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, NULL);
	unlink_active(request);

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
		r = request->stream_error != 0 ? request->stream_error : failure_of(code).error;
	}
	if (r != 0) {
		say_why(http, request, r, code, forced, os_error);
	}
	request->result = r;
	report(http, request);
}
