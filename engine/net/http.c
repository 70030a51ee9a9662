/*
 * http - a server to talk to, and the inbox of the thread that does.
 */
#include "engine/net/http_parts.h"

#include "engine/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
	const int r = ur_thread_start(&http->thread, ur_http_loop, http, "the network thread", err);
	if (r < 0) {
		(void)pthread_barrier_destroy(&http->started);
		return r;
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
	http->options = *options;
	for (const struct ur_http_guest *at = guest; at != NULL; at = at->next) {
		assert(http->guest_count < UR_HTTP_GUESTS);
		http->guests[http->guest_count++] = *at;
	}
	ur_bucket_init(&http->bucket, &options->rate, ur_http_now());
	http->server = strdup(options->server);
	http->near = ur_http_is_near(options->server);
	int r = ur_http_loop_init(http);
	r = r < 0 ? r : http->server == NULL ? -ENOMEM : common_headers(http);
	if (r < 0) {
		r = ur_err_set(err, r, UR_FAULT_WORLD, "cannot start the network");
		goto fail;
	}
	for (size_t n = strlen(http->server); n > 0 && http->server[n - 1] == '/'; n--) {
		http->server[n - 1] = '\0';
	}
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
	ur_http_loop_done(http);
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
	ur_bell_ring(&http->bell); // nothing, where the loop is awake
}

void ur_http_wake(struct ur_http *http)
{
	atomic_store(&http->news, true);
	ur_bell_ring(&http->bell);
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
	atomic_fetch_add_explicit(&http->bytes_moved, bytes, memory_order_relaxed);
}

uint64_t ur_http_bytes_sent(const struct ur_http *http)
{
	return atomic_load(&http->bytes_sent);
}

uint64_t ur_http_bytes_moved(const struct ur_http *http)
{
	return atomic_load_explicit(&http->bytes_moved, memory_order_relaxed);
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
