/*
 * test_httpd - a server on a thread, and clients that speak bytes to it over real sockets.
 *
 * The handler does what the path says.  Tests wait for events (an answer, an end of file, a call of
 * the handler's), never for a time.  On the server's thread plain assert() is used: cmocka's jumps.
 */
#include "engine/net/httpd.h"

#include "engine/base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 30
#define MIB (1u << 20)
#define HOST "Host: h\r\n"
#define BIG (8u * MIB)

/* --- the server ----------------------------------------------------------------------------------- */
struct seen {
	uint64_t begun;
	uint64_t bodies; // bytes
	uint64_t ended;
	uint64_t answered;
	uint64_t unanswered; // answers that did not get through
	uint64_t gone;
	uint64_t ticks;
	int gone_why;
	int lost_why;
	bool paused;
	char order[64]; // the paths, in the order of begin()
};

struct server {
	struct ur_httpd *httpd;
	pthread_t thread;
	char address[200];
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct seen seen;
	/* The loop's thread's own. */
	struct ur_exchange *held; // "/hold", "/pause", "/later"
	char *big;
	int file;
	uint64_t sum;
	bool count_bodies; // of "/sink": answer with the number
	int run_result;
};

static struct server *server_of(void *context)
{
	return context;
}

#define NOTE(server, change)                                      \
	do {                                                      \
		(void)pthread_mutex_lock(&(server)->mutex);       \
		(server)->seen.change;                            \
		(void)pthread_cond_broadcast(&(server)->changed); \
		(void)pthread_mutex_unlock(&(server)->mutex);     \
	} while (0)

/** Waits until `condition`, which reads `seen`, holds. */
#define AWAIT(server, condition)                                               \
	do {                                                                   \
		struct timespec until;                                         \
		int waited = 0;                                                \
		(void)clock_gettime(CLOCK_REALTIME, &until);                   \
		until.tv_sec += PATIENCE_S;                                    \
		(void)pthread_mutex_lock(&(server)->mutex);                    \
		while (!((server)->seen.condition) && waited == 0) {           \
			waited = pthread_cond_timedwait(                       \
				&(server)->changed, &(server)->mutex, &until); \
		}                                                              \
		(void)pthread_mutex_unlock(&(server)->mutex);                  \
		assert_int_equal(waited, 0);                                   \
	} while (0)

static struct seen seen(struct server *s)
{
	(void)pthread_mutex_lock(&s->mutex);
	const struct seen copy = s->seen;
	(void)pthread_mutex_unlock(&s->mutex);
	return copy;
}

static bool is_path(const struct ur_exchange *x, const char *path)
{
	return strcmp(x->path, path) == 0;
}

static void answer_text(struct ur_exchange *x, int status, const char *text)
{
	ur_exchange_answer(x, status, "text/plain", text, strlen(text));
}

static void on_begin(void *context, struct ur_exchange *x)
{
	struct server *s = server_of(context);
	(void)pthread_mutex_lock(&s->mutex);
	const size_t size = strlen(s->seen.order);
	(void)snprintf(
		s->seen.order + size, sizeof s->seen.order - size, "%s ", x->path); // or a part
	s->seen.begun++;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->mutex);

	x->owner = s;
	if (is_path(x, "/refuse")) {
		ur_exchange_set(x, "Upload-Offset", "%d", 7);
		answer_text(x, 409, "no");
	} else if (is_path(x, "/takeover")) {
		ur_exchange_drop(s->held);
		s->held = NULL;
		answer_text(x, 200, "taken");
	} else if (is_path(x, "/big")) {
		ur_exchange_answer(x, 200, "application/octet-stream", s->big, BIG);
	} else if (is_path(x, "/file")) {
		ur_exchange_answer_file(
			x, 206, "application/octet-stream", dup(s->file), 1000, 3u * MIB);
	} else if (is_path(x, "/short")) {
		ur_exchange_answer_file(
			x, 200, "application/octet-stream", dup(s->file), 0, 100u * MIB);
	} else if (is_path(x, "/none")) {
		ur_exchange_answer(x, 204, NULL, NULL, 0);
	} else if (is_path(x, "/interim")) {
		ur_exchange_set(x, "Location", "/there");
		ur_exchange_interim(x, 104);
		ur_exchange_accept(x);
	} else if (is_path(x, "/peer")) {
		char text[100];
		(void)snprintf(text, sizeof text, "%s %d", x->peer, x->peer_near);
		answer_text(x, 200, text);
	} else if (is_path(x, "/later")) {
		s->held = x;
	} else {
		ur_exchange_accept(x);
	}
}

static void on_body(void *context, struct ur_exchange *x, const void *bytes, size_t size)
{
	struct server *s = server_of(context);
	assert(x->owner == s);
	for (size_t i = 0; i < size; i++) {
		s->sum = s->sum * 31 + ((const unsigned char *)bytes)[i];
	}
	NOTE(s, bodies += size);
	if (is_path(x, "/early")) {
		s->sum = 0;
		answer_text(x, 413, "too much");
	} else if (is_path(x, "/pause") && s->held == NULL) {
		s->held = x;
		ur_exchange_pause(x);
		NOTE(s, paused = true);
	}
}

static void on_end(void *context, struct ur_exchange *x)
{
	struct server *s = server_of(context);
	char text[64];
	NOTE(s, ended++);
	if (is_path(x, "/hold")) {
		s->held = x;
		return;
	}
	const int size = snprintf(text, sizeof text, "%llu %llx", (unsigned long long)x->received,
		(unsigned long long)s->sum);
	s->sum = 0;
	ur_exchange_answer(x, 200, "text/plain", text, (size_t)size);
}

static void on_gone(void *context, struct ur_exchange *x, int why)
{
	struct server *s = server_of(context);
	if (s->held == x) {
		s->held = NULL;
	}
	NOTE(s, gone_why = why);
	NOTE(s, gone++);
}

static void on_answered(void *context, struct ur_exchange *x, int status, uint64_t sent, int why)
{
	struct server *s = server_of(context);
	assert(x->owner == s);
	assert(status >= 200);
	if (why == 0) {
		assert(sent > 0);
		NOTE(s, answered++);
	} else {
		NOTE(s, lost_why = why);
		NOTE(s, unanswered++);
	}
}

static void on_tick(void *context)
{
	NOTE(server_of(context), ticks++);
}

static void *run_server(void *context)
{
	struct server *s = server_of(context);
	s->run_result = ur_httpd_run(s->httpd, NULL);
	return NULL;
}

static struct ur_httpd_options options_of(struct server *s)
{
	return (struct ur_httpd_options){
		.listen = "127.0.0.1:0",
		.listen_fd = -1,
		.buffer_bytes = 256u << 10,
		.handler = {.begin = on_begin,
			.body = on_body,
			.end = on_end,
			.gone = on_gone,
			.answered = on_answered,
			.tick = on_tick,
			.context = s},
	};
}

static void start(struct server *s, const struct ur_httpd_options *options)
{
	struct ur_err err = {0};
	if (ur_httpd_new(options, &s->httpd, &err) < 0) {
		fail_msg("%s", err.text);
	}
	(void)snprintf(s->address, sizeof s->address, "%s", ur_httpd_address(s->httpd));
	assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
}

static struct server *server_new(void)
{
	struct server *s = calloc(1, sizeof *s);
	assert_non_null(s);
	s->big = malloc(BIG);
	assert_non_null(s->big);
	for (size_t i = 0; i < BIG; i++) {
		s->big[i] = (char)(i * 7 + (i >> 8));
	}
	FILE *file = tmpfile();
	assert_non_null(file);
	s->file = dup(fileno(file));
	(void)fclose(file);
	assert_int_equal(pwrite(s->file, s->big, 4u * MIB, 0), 4u * MIB);
	assert_int_equal(pthread_mutex_init(&s->mutex, NULL), 0);
	assert_int_equal(pthread_cond_init(&s->changed, NULL), 0);
	return s;
}

static struct server *served(void)
{
	struct server *s = server_new();
	const struct ur_httpd_options options = options_of(s);
	start(s, &options);
	return s;
}

static void end(struct server *s)
{
	ur_httpd_stop(s->httpd, 0);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	assert_int_equal(s->run_result, 0);
	assert_int_equal(ur_httpd_counts(s->httpd).open, 0);
	s->httpd = ur_httpd_free(s->httpd);
	(void)pthread_mutex_destroy(&s->mutex);
	(void)pthread_cond_destroy(&s->changed);
	(void)close(s->file);
	free(s->big);
	free(s);
}

/* --- clients -------------------------------------------------------------------------------------- */
static int dial_with(const struct server *s, int receive_buffer)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	char host[64];
	unsigned port = 0;
	assert_int_equal(sscanf(s->address, "%63[0-9.]:%u", host, &port), 2);
	assert_int_equal(inet_pton(AF_INET, host, &in.sin_addr), 1);
	in.sin_port = htons((uint16_t)port);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (receive_buffer > 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
	}
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
	return fd;
}

static int dial(const struct server *s)
{
	return dial_with(s, 0);
}

static bool say_bytes(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;
	while (size > 0) {
		const ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
		if (n <= 0) {
			return false;
		}
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static void say(int fd, const char *text)
{
	assert_true(say_bytes(fd, text, strlen(text)));
}

struct answer {
	int status;
	char head[2048];
	char *body;
	size_t size;
	bool closes;
};

static void answer_done(struct answer *a)
{
	free(a->body);
	a->body = NULL;
}

/** Reads a head, byte by byte so that what follows stays in the socket; false at the end. */
static bool hear_head(int fd, struct answer *a)
{
	size_t size = 0;
	memset(a, 0, sizeof *a);
	while (size < 4 || memcmp(a->head + size - 4, "\r\n\r\n", 4) != 0) {
		assert_true(size < sizeof a->head - 1);
		if (recv(fd, a->head + size, 1, 0) != 1) {
			assert_int_equal(size, 0);
			return false;
		}
		size++;
	}
	a->head[size] = '\0';
	assert_int_equal(sscanf(a->head, "HTTP/1.1 %d ", &a->status), 1);
	a->closes = strstr(a->head, "\r\nConnection: close\r\n") != NULL;
	return true;
}

static void hear(int fd, struct answer *a)
{
	assert_true(hear_head(fd, a));
	const char *length = strstr(a->head, "\r\nContent-Length: ");
	if (length != NULL) {
		a->size = strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
	}
	a->body = malloc(a->size + 1);
	assert_non_null(a->body);
	for (size_t have = 0; have < a->size;) {
		const ssize_t n = recv(fd, a->body + have, a->size - have, 0);
		assert_true(n > 0);
		have += (size_t)n;
	}
	a->body[a->size] = '\0';
}

static void expect_answer(int fd, int status, const char *body)
{
	struct answer a;
	hear(fd, &a);
	assert_int_equal(a.status, status);
	if (body != NULL) {
		assert_string_equal(a.body, body);
	}
	answer_done(&a);
}

/** The peer has closed: an end of file, or a reset where bytes were left unread. */
static void expect_end(int fd)
{
	char byte;
	const ssize_t n = recv(fd, &byte, 1, 0);
	if (n != 0 && !(n < 0 && errno == ECONNRESET)) {
		fail_msg("not closed: %zd, %s", n, strerror(errno));
	}
}

/** As the handler sums it up. */
static void sum_of(const void *bytes, size_t size, char ret[64])
{
	uint64_t sum = 0;
	for (size_t i = 0; i < size; i++) {
		sum = sum * 31 + ((const unsigned char *)bytes)[i];
	}
	(void)snprintf(ret, 64, "%zu %llx", size, (unsigned long long)sum);
}

/* --- the tests ------------------------------------------------------------------------------------ */
static void requests_in_a_row_are_served_in_order(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	char sum[64];
	sum_of("hello", 5, sum);

	say(fd, "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"
		"GET /2 HTTP/1.1\r\n" HOST "\r\n"
		"POST /3 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n"
		"HEAD /4 HTTP/1.1\r\n" HOST "\r\n"
		"GET /none HTTP/1.1\r\n" HOST "\r\n"
		"\r\nGET /5 HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
	expect_answer(fd, 200, sum);
	expect_answer(fd, 200, "0 0");
	expect_answer(fd, 200, sum);
	struct answer a;
	assert_true(hear_head(fd, &a));
	assert_non_null(strstr(a.head, "\r\nContent-Length: 3\r\n"));
	assert_non_null(strstr(a.head, " GMT\r\n"));
	hear(fd, &a);
	assert_int_equal(a.status, 204);
	assert_null(strstr(a.head, "Content-Length"));
	assert_false(a.closes);
	answer_done(&a);
	hear(fd, &a);
	assert_true(a.closes);
	answer_done(&a);
	expect_end(fd);
	assert_string_equal(seen(s).order, "/1 /2 /3 /4 /none /5 ");

	(void)close(fd);
	end(s);
}

/** The answer is given in the last call of body(), with the next request read already. */
static void what_lies_behind_a_body_is_the_next_request(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct answer a;
	say(fd, "POST /early HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
	AWAIT(s, begun == 1);
	say(fd, "5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\n" HOST "\r\n");
	hear(fd, &a);
	assert_int_equal(a.status, 413);
	assert_false(a.closes);
	answer_done(&a);
	expect_answer(fd, 200, "0 0");
	(void)close(fd);
	end(s);
}

#define ROW 1000

/** Large and small chunks, and more requests behind them than the head's buffer holds. */
static void a_long_row_of_requests_loses_nothing(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	const size_t large = 300000;
	struct ur_text text = {0};
	char sum[64];
	for (int round = 0; round < 3; round++) {
		ur_text_adds(
			&text, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
		ur_text_addf(&text, "%zx\r\n", large);
		ur_text_add(&text, s->big, large);
		ur_text_adds(&text, "\r\n");
		for (size_t i = 0; i < 5000; i++) {
			ur_text_addf(&text, "1;x\r\n%c\r\n", s->big[large + i]);
		}
		ur_text_adds(&text, "0\r\n\r\n");
		for (int i = 0; i < ROW; i++) {
			ur_text_adds(&text, "GET /x HTTP/1.1\r\n" HOST "\r\n");
		}
	}
	assert_true(ur_text_ok(&text));
	assert_true(say_bytes(fd, text.bytes, text.size));
	sum_of(s->big, large + 5000, sum);
	for (int round = 0; round < 3; round++) {
		expect_answer(fd, 200, sum);
		for (int i = 0; i < ROW; i++) {
			expect_answer(fd, 200, "0 0");
		}
	}
	ur_text_done(&text);
	(void)close(fd);
	end(s);
}

static void a_request_may_come_byte_by_byte(void **state)
{
	static const char text[] = "POST /x HTTP/1.1\r\n" HOST
				   "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	for (size_t i = 0; i < sizeof text - 1; i++) {
		assert_true(say_bytes(fd, text + i, 1));
	}
	char sum[64];
	sum_of("hello", 5, sum);
	expect_answer(fd, 200, sum);
	(void)close(fd);
	end(s);
}

static void http_1_0_is_answered_and_closed(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct answer a;
	say(fd, "GET /x HTTP/1.0\r\n\r\n");
	hear(fd, &a);
	assert_int_equal(a.status, 200);
	assert_true(a.closes);
	answer_done(&a);
	expect_end(fd);
	(void)close(fd);
	end(s);
}

/** Sends 32 MiB as long as it is let, looking at nothing; true when all was taken. */
static bool say_32_mib(int fd)
{
	static char block[64u << 10];
	for (size_t i = 0; i < 32u * MIB / sizeof block; i++) {
		if (!say_bytes(fd, block, sizeof block)) {
			return false;
		}
	}
	return true;
}

static void an_early_answer_arrives_whole_and_the_connection_ends(const char *path, int status)
{
	struct server *s = served();
	const int fd = dial(s);
	char head[128];
	struct answer a;
	(void)snprintf(head, sizeof head,
		"PATCH %s HTTP/1.1\r\n" HOST "Content-Length: 33554432\r\n\r\n", path);
	say(fd, head);
	(void)say_32_mib(fd); // refused somewhere on the way; the answer must be there all the same
	hear(fd, &a);
	assert_int_equal(a.status, status);
	assert_true(a.closes);
	answer_done(&a);
	expect_end(fd);
	AWAIT(s, answered == 1);
	assert_true(seen(s).bodies < MIB);
	assert_int_equal(seen(s).gone, 0);
	(void)close(fd);
	end(s);
}

static void a_body_of_32_mib_is_refused_before_it_is_read(void **state)
{
	(void)state;
	an_early_answer_arrives_whole_and_the_connection_ends("/refuse", 409);
}

static void a_body_of_32_mib_is_refused_in_its_middle(void **state)
{
	(void)state;
	an_early_answer_arrives_whole_and_the_connection_ends("/early", 413);
}

static void continue_is_said_when_the_body_is_wanted(void **state)
{
	(void)state;
	struct server *s = served();
	int fd = dial(s);
	struct answer a;
	char sum[64];
	sum_of("hello", 5, sum);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	assert_true(hear_head(fd, &a));
	assert_int_equal(a.status, 100);
	say(fd, "hello");
	expect_answer(fd, 200, sum);
	/* Who has begun with the body does not wait. */
	say(fd, "POST /x HTTP/1.1\r\n" HOST
		"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
	expect_answer(fd, 200, sum);
	say(fd, "POST /refuse HTTP/1.1\r\n" HOST
		"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	expect_answer(fd, 409, "no");
	expect_end(fd);
	(void)close(fd);
	fd = dial(s);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: a-miracle\r\n\r\n");
	expect_answer(fd, 417, NULL);
	expect_end(fd);
	(void)close(fd);
	end(s);
}

static void an_interim_answer_comes_before_the_body(void **state)
{
	(void)state;
	struct server *s = served();
	int fd = dial(s);
	struct answer a;
	say(fd, "POST /interim HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n");
	assert_true(hear_head(fd, &a));
	assert_int_equal(a.status, 104);
	assert_non_null(strstr(a.head, "\r\nLocation: /there\r\n"));
	say(fd, "hello");
	hear(fd, &a);
	assert_int_equal(a.status, 200);
	assert_null(strstr(a.head, "Location"));
	answer_done(&a);
	(void)close(fd);

	fd = dial(s);
	say(fd, "POST /interim HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
	expect_answer(fd, 200, NULL);
	(void)close(fd);
	end(s);
}

static void a_second_connection_takes_over(void **state)
{
	(void)state;
	struct server *s = served();
	const int old = dial(s);
	say(old, "POST /hold HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab");
	AWAIT(s, ended == 1);
	const int fd = dial(s);
	say(fd, "POST /takeover HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(fd, 200, "taken");
	expect_end(old);
	assert_int_equal(seen(s).gone, 0);
	(void)close(old);
	(void)close(fd);
	end(s);
}

struct errand {
	struct ur_post post;
	struct server *server;
	int number;
};

static void resume_held(struct ur_post *post)
{
	struct server *s = ((struct errand *)(void *)post)->server;
	ur_exchange_resume(s->held);
}

static void answer_held(struct ur_post *post)
{
	struct server *s = ((struct errand *)(void *)post)->server;
	answer_text(s->held, 200, "late");
	s->held = NULL;
}

static void a_paused_body_waits(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct errand errand = {.post.run = resume_held, .server = s};
	say(fd, "POST /pause HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"2\r\nhe\r\n");
	AWAIT(s, paused);
	say(fd, "1\r\nl\r\n2\r\nlo\r\n0\r\n\r\nGET /next HTTP/1.1\r\n" HOST "\r\n");
	const uint64_t ticks = seen(s).ticks;
	AWAIT(s, ticks > ticks + 1);
	assert_int_equal(seen(s).bodies, 2);
	ur_httpd_post(s->httpd, &errand.post);
	char sum[64];
	sum_of("hello", 5, sum);
	expect_answer(fd, 200, sum);
	expect_answer(fd, 200, "0 0");
	(void)close(fd);
	end(s);
}

/** The sender of a paused body is stopped by full buffers, and goes on afterwards. */
static void a_pause_reaches_the_sender(void **state)
{
	static char block[MIB];
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct errand errand = {.post.run = resume_held, .server = s};
	const size_t size = 64u * sizeof block;
	size_t sent = 0;
	char head[128];
	(void)snprintf(head, sizeof head,
		"POST /pause HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", size);
	say(fd, head);
	/* Until the kernel has taken nothing for a second, with the loop paused. */
	for (struct pollfd p = {.fd = fd, .events = POLLOUT}; poll(&p, 1, 1000) == 1;) {
		const ssize_t n = send(fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
		assert_true(n > 0);
		sent += (size_t)n;
		assert_true(sent < size);
	}
	AWAIT(s, paused);
	assert_true(seen(s).bodies <= 256u << 10);
	ur_httpd_post(s->httpd, &errand.post);
	while (sent < size) {
		const size_t step = size - sent < sizeof block ? size - sent : sizeof block;
		assert_true(say_bytes(fd, block, step));
		sent += step;
	}
	expect_answer(fd, 200, NULL);
	assert_int_equal(seen(s).bodies, size);
	(void)close(fd);
	end(s);
}

/* --- posts ---------------------------------------------------------------------------------------- */
#define ERRANDS 2000
#define RUNNERS 4
static int last_run[RUNNERS];
static atomic_int errands_left;

static void check_order(struct ur_post *post)
{
	const struct errand *errand = (const struct errand *)(void *)post;
	const int runner = errand->number / ERRANDS;
	assert(errand->number == last_run[runner] + 1);
	last_run[runner] = errand->number;
	if (atomic_fetch_sub(&errands_left, 1) == 1) {
		NOTE(errand->server, paused = true);
	}
}

static void *post_many(void *context)
{
	struct errand *errands = context;
	for (int i = 0; i < ERRANDS; i++) {
		ur_httpd_post(errands[i].server->httpd, &errands[i].post);
	}
	return NULL;
}

static void posts_of_a_thread_are_run_in_its_order(void **state)
{
	(void)state;
	struct server *s = served();
	struct errand *errands = calloc(RUNNERS * ERRANDS, sizeof *errands);
	pthread_t runners[RUNNERS];
	assert_non_null(errands);
	atomic_store(&errands_left, RUNNERS * ERRANDS);
	for (int i = 0; i < RUNNERS * ERRANDS; i++) {
		errands[i] = (struct errand){.post.run = check_order, .server = s, .number = i};
	}
	for (int i = 0; i < RUNNERS; i++) {
		last_run[i] = i * ERRANDS - 1;
	}
	for (int i = 0; i < RUNNERS; i++) {
		assert_int_equal(
			pthread_create(&runners[i], NULL, post_many, errands + i * ERRANDS), 0);
	}
	for (int i = 0; i < RUNNERS; i++) {
		assert_int_equal(pthread_join(runners[i], NULL), 0);
	}
	AWAIT(s, paused);
	end(s);
	free(errands);
}

static void an_answer_may_come_from_another_thread_by_post(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct errand errand = {.post.run = answer_held, .server = s};
	say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	AWAIT(s, begun == 1);
	ur_httpd_post(s->httpd, &errand.post);
	expect_answer(fd, 200, "late");
	(void)close(fd);
	end(s);
}

static void posts_after_the_end_are_run_on_request(void **state)
{
	(void)state;
	struct server *s = served();
	struct errand errand = {.post.run = check_order, .server = s, .number = 0};
	ur_httpd_stop(s->httpd, 0);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	last_run[0] = -1;
	atomic_store(&errands_left, 1);
	ur_httpd_post(s->httpd, &errand.post);
	assert_false(seen(s).paused);
	ur_httpd_run_posts(s->httpd);
	assert_true(seen(s).paused);
	/* end() joins a thread. */
	assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
	end(s);
}

/* --- time ----------------------------------------------------------------------------------------- */
/** Its patience with heads is what a client on a busy machine has to say its first word. */
static struct server *impatient(void)
{
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.head_wait_ms = 1500;
	options.body_wait_ms = 200;
	options.idle_wait_ms = 200;
	options.answer_wait_ms = 200;
	start(s, &options);
	return s;
}

static void a_head_that_does_not_end_is_refused(void **state)
{
	(void)state;
	struct server *s = impatient();
	const int fd = dial(s);
	say(fd, "GET / HTTP/1.1\r\nHost:");
	expect_answer(fd, 408, NULL);
	expect_end(fd);
	assert_int_equal(seen(s).begun, 0);
	(void)close(fd);
	end(s);
}

static void a_silent_connection_is_closed(void **state)
{
	(void)state;
	struct server *s = impatient();
	const int silent = dial(s);
	const int idle = dial(s);
	say(idle, "GET / HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(idle, 200, NULL);
	expect_end(idle);
	expect_end(silent);
	(void)close(idle);
	(void)close(silent);
	end(s);
}

static void a_body_that_stops_is_gone(void **state)
{
	(void)state;
	struct server *s = impatient();
	const int fd = dial(s);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
	AWAIT(s, gone == 1);
	assert_int_equal(seen(s).gone_why, -ETIMEDOUT);
	assert_int_equal(seen(s).bodies, 2);
	expect_answer(fd, 408, NULL);
	expect_end(fd);
	(void)close(fd);
	end(s);
}

static void a_body_that_trickles_is_gone(void **state)
{
	(void)state;
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.body_rate_min = 1000;
	options.body_rate_ms = 100;
	start(s, &options);
	const int fd = dial(s);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 100000000\r\n\r\n");
	/* A byte every 20 ms, until the other side has had enough. */
	for (struct pollfd p = {.fd = fd, .events = POLLIN}; poll(&p, 1, 20) == 0;) {
		(void)say_bytes(fd, "x", 1);
	}
	AWAIT(s, gone == 1);
	assert_int_equal(seen(s).gone_why, -ETIMEDOUT);
	expect_answer(fd, 408, NULL);
	(void)close(fd);
	end(s);
}

static void an_answer_that_nobody_reads_ends_the_connection(void **state)
{
	(void)state;
	struct server *s = impatient();
	const int fd = dial_with(s, 4096);
	say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	AWAIT(s, unanswered == 1);
	assert_int_equal(seen(s).lost_why, -ETIMEDOUT);
	(void)close(fd);
	end(s);
}

static void a_slow_reader_gets_everything(void **state)
{
	(void)state;
	struct server *s = served();
	const int slow = dial_with(s, 4096);
	const int fd = dial(s);
	struct answer a;
	say(slow, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	AWAIT(s, begun == 1);
	/* Others are served meanwhile. */
	say(fd, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(fd, 200, "0 0");
	AWAIT(s, answered == 1);
	hear(slow, &a);
	assert_int_equal(a.size, BIG);
	assert_memory_equal(a.body, s->big, BIG);
	answer_done(&a);
	(void)close(slow);
	(void)close(fd);
	end(s);
}

/* --- files ---------------------------------------------------------------------------------------- */
static void a_part_of_a_file_is_sent(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct answer a;
	say(fd, "GET /file HTTP/1.1\r\n" HOST "\r\nHEAD /file HTTP/1.1\r\n" HOST "\r\n");
	hear(fd, &a);
	assert_int_equal(a.status, 206);
	assert_int_equal(a.size, 3u * MIB);
	assert_memory_equal(a.body, s->big + 1000, a.size);
	answer_done(&a);
	assert_true(hear_head(fd, &a));
	assert_non_null(strstr(a.head, "\r\nContent-Length: 3145728\r\n"));
	(void)close(fd);
	end(s);
}

static void a_file_that_shrank_ends_the_connection(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	struct answer a;
	static char rest[MIB];
	say(fd, "GET /short HTTP/1.1\r\n" HOST "\r\n");
	assert_true(hear_head(fd, &a));
	while (recv(fd, rest, sizeof rest, 0) > 0) {
	}
	AWAIT(s, unanswered == 1);
	assert_int_equal(seen(s).lost_why, -EIO);
	(void)close(fd);
	end(s);
}

/** sendfile() to a peer that has left raises SIGPIPE, which must end nobody. */
static void a_reader_may_leave_in_the_middle_of_a_file(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial_with(s, 4096);
	struct answer a;
	say(fd, "GET /file HTTP/1.1\r\n" HOST "\r\n");
	assert_true(hear_head(fd, &a));
	(void)close(fd);
	AWAIT(s, unanswered == 1);
	end(s);
}

/* --- peers that leave ----------------------------------------------------------------------------- */
static void who_leaves_in_the_middle_of_a_body_is_gone(void **state)
{
	(void)state;
	struct server *s = served();
	int fd = dial(s);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\nhello");
	(void)close(fd);
	AWAIT(s, gone == 1);
	assert_int_equal(seen(s).gone_why, -ECONNRESET);
	assert_int_equal(seen(s).bodies, 5);

	fd = dial(s);
	const struct linger reset = {.l_onoff = 1};
	say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	AWAIT(s, begun == 2);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	(void)close(fd);
	AWAIT(s, gone == 2);
	end(s);
}

static void who_half_closes_still_gets_the_answer(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	expect_answer(fd, 200, NULL);
	expect_end(fd);
	(void)close(fd);
	end(s);
}

static void malformed_chunks_are_the_end_of_the_exchange(void **state)
{
	(void)state;
	struct server *s = served();
	const int fd = dial(s);
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nzz\r\n");
	expect_answer(fd, 400, NULL);
	expect_end(fd);
	assert_int_equal(seen(s).gone, 1);
	assert_int_equal(seen(s).gone_why, -EBADMSG);
	assert_int_equal(seen(s).ended, 0);
	(void)close(fd);
	end(s);
}

/* --- smuggling ------------------------------------------------------------------------------------ */
static void a_smuggled_request_is_never_begun(void **state)
{
	static const struct {
		int status;
		const char *head;
	} tries[] = {
		{400, "POST /x HTTP/1.1\r\n" HOST
		      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST
		      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 0\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5,0\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST "X: y\r\n Content-Length: 5\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST "X: y\nContent-Length: 5\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST "X: y\rContent-Length: 5\r\n\r\n"},
		{501, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"},
		{501, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n"},
		{400, "POST /x HTTP/1.1\r\n" HOST
		      "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"},
		{400, "POST /x HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{400, "GET http://h/x HTTP/1.1\r\n" HOST "\r\n"},
		{400, "GET /x HTTP/1.1\r\n" HOST "Host: i\r\n\r\n"},
		{505, "GET /x HTTP/2.0\r\n" HOST "\r\n"},
		{400, "GET /x\r\n\r\n"},
	};
	(void)state;
	struct server *s = served();
	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		const int fd = dial(s);
		struct answer a;
		char text[512];
		(void)snprintf(text, sizeof text, "%sGET /smuggled HTTP/1.1\r\n" HOST "\r\n",
			tries[i].head);
		say(fd, text);
		hear(fd, &a);
		if (a.status != tries[i].status || !a.closes) {
			fail_msg("%d instead of %d: %s", a.status, tries[i].status, tries[i].head);
		}
		answer_done(&a);
		expect_end(fd);
		(void)close(fd);
	}
	assert_int_equal(seen(s).begun, 0);
	end(s);
}

static void a_head_beyond_the_limit_is_refused(void **state)
{
	static char text[UR_HTTPD_HEAD_MAX + 200];
	(void)state;
	struct server *s = served();
	int fd = dial(s);
	int size = snprintf(text, sizeof text, "GET /x HTTP/1.1\r\n" HOST "X: %0*u\r\n\r\n",
		(int)UR_HTTPD_HEAD_MAX - 200, 0);
	assert_true(say_bytes(fd, text, (size_t)size));
	expect_answer(fd, 200, NULL);
	size = snprintf(text, sizeof text, "GET /x HTTP/1.1\r\n" HOST "X: %0*u\r\n\r\n",
		(int)UR_HTTPD_HEAD_MAX, 0);
	assert_true(say_bytes(fd, text, (size_t)size));
	expect_answer(fd, 431, NULL);
	expect_end(fd);
	(void)close(fd);

	fd = dial(s);
	size = snprintf(
		text, sizeof text, "GET /%0*u HTTP/1.1\r\n" HOST "\r\n", (int)UR_HTTPD_HEAD_MAX, 0);
	assert_true(say_bytes(fd, text, (size_t)size));
	expect_answer(fd, 414, NULL);
	(void)close(fd);
	end(s);
}

/* --- many ----------------------------------------------------------------------------------------- */
#define MANY 500

/** Descriptors for `count` connections, both ends; false when there are not enough. */
static bool have_descriptors(rlim_t count)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 2 * count + 100) {
		limit.rlim_cur = limit.rlim_max;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
	return limit.rlim_cur >= 2 * count + 100;
}

static void five_hundred_connections_are_served_in_turn(void **state)
{
	(void)state;
	if (!have_descriptors(MANY)) {
		skip();
	}
	struct server *s = served();
	int fds[MANY];
	for (int i = 0; i < MANY; i++) {
		fds[i] = dial(s);
		say(fds[i], "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
	}
	AWAIT(s, bodies == 2 * MANY);
	for (int i = MANY - 1; i >= 0; i--) {
		say(fds[i], "llo");
	}
	for (int i = 0; i < MANY; i++) {
		expect_answer(fds[i], 200, NULL);
		(void)close(fds[i]);
	}
	assert_int_equal(seen(s).ended, MANY);
	end(s);
}

/** Heads that do not end, of nearly the largest size, and bodies that do not. */
static void slow_connections_cost_their_heads(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)state;
	skip(); // their allocators keep no such count
#else
	static char filler[UR_HTTPD_HEAD_MAX - 100];
	(void)state;
	if (!have_descriptors(MANY)) {
		skip();
	}
	memset(filler, 'x', sizeof filler);
	struct server *s = served();
	int fds[MANY];
	for (int i = 0; i < MANY; i++) {
		fds[i] = dial(s);
		say(fds[i], "GET /x HTTP/1.1\r\n" HOST "\r\n");
		expect_answer(fds[i], 200, NULL);
	}
	AWAIT(s, answered == MANY);
	const size_t before = mallinfo2().uordblks;
	for (int i = 0; i < MANY; i++) {
		if (i % 2 == 0) {
			say(fds[i], "GET /x HTTP/1.1\r\n" HOST "X: ");
			assert_true(say_bytes(fds[i], filler, sizeof filler));
		} else {
			say(fds[i], "POST /x HTTP/1.1\r\n" HOST "Content-Length: 90000\r\n\r\n");
			assert_true(say_bytes(fds[i], filler, sizeof filler));
			assert_true(say_bytes(fds[i], filler, sizeof filler));
		}
	}
	AWAIT(s, bodies == MANY / 2 * 2 * sizeof filler);
	const size_t after = mallinfo2().uordblks;
	const size_t most = MANY / 2 * (UR_HTTPD_HEAD_MAX + 2048u) + MANY / 2 * 5000u;
	assert_true(after > before);
	assert_true(after - before < most);
	for (int i = 0; i < MANY; i++) {
		(void)close(fds[i]);
	}
	end(s);
#endif
}

static void beyond_the_maximum_a_connection_waits(void **state)
{
	(void)state;
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.connections_max = 2;
	start(s, &options);
	const int a = dial(s);
	const int b = dial(s);
	const int c = dial(s);
	say(a, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	say(b, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(a, 200, NULL);
	expect_answer(b, 200, NULL);
	say(c, "GET /waits HTTP/1.1\r\n" HOST "\r\n");
	const uint64_t ticks = seen(s).ticks;
	AWAIT(s, ticks > ticks + 1);
	assert_int_equal(seen(s).begun, 2);
	(void)close(a);
	expect_answer(c, 200, NULL);
	(void)close(b);
	(void)close(c);
	end(s);
}

static void one_address_has_its_share(void **state)
{
	(void)state;
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.per_peer_max = 2;
	start(s, &options);
	const int a = dial(s);
	const int b = dial(s);
	say(b, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(b, 200, NULL);
	const int c = dial(s);
	expect_end(c);
	(void)close(a);
	(void)close(b);
	(void)close(c);
	end(s);
}

/** Out of descriptors: the server waits, without spinning, and goes on when there are some. */
static void running_out_of_descriptors_is_survived(void **state)
{
	(void)state;
	struct server *s = served();
	struct rlimit before;
	const int first = dial(s);
	const int second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in;
	socklen_t size = sizeof in;
	say(first, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(first, 200, NULL);
	assert_int_equal(getpeername(first, (struct sockaddr *)&in, &size), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	const int connected = connect(second, (struct sockaddr *)&in, sizeof in);
	const uint64_t ticks = seen(s).ticks;
	struct rusage use_before;
	struct rusage use_after;
	(void)getrusage(RUSAGE_SELF, &use_before);
	AWAIT(s, ticks > ticks + 1);
	(void)getrusage(RUSAGE_SELF, &use_after);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(connected, 0);
	say(second, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(second, 200, NULL);
	/* A loop that spins gives the processor up hundreds of thousands of times, or never. */
	assert_true(use_after.ru_nvcsw - use_before.ru_nvcsw < 100);
	const int64_t spent_us =
		(use_after.ru_stime.tv_sec - use_before.ru_stime.tv_sec) * INT64_C(1000000) +
		use_after.ru_stime.tv_usec - use_before.ru_stime.tv_usec;
	assert_true(spent_us < 200000);
	(void)close(first);
	(void)close(second);
	end(s);
}

/* --- where it listens ----------------------------------------------------------------------------- */
static int dial_unix(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
	return fd;
}

static void a_unix_socket_is_made_replaced_and_removed(void **state)
{
	char folder[] = "/tmp/test_httpd-XXXXXX";
	char where[64];
	struct stat st;
	struct ur_httpd *other = NULL;
	struct ur_err err = {0};
	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(where, sizeof where, "unix:%s/s", folder);
	const char *path = where + strlen("unix:");

	/* A file that a killed server left behind. */
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	const int stale = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(stale, (struct sockaddr *)&un, sizeof un), 0);
	(void)close(stale);

	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.listen = where;
	start(s, &options);
	assert_string_equal(s->address, where);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(ur_httpd_new(&options, &other, &err), -EADDRINUSE);
	assert_null(other);
	const int fd = dial_unix(path);
	say(fd, "GET /peer HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(fd, 200, "unix 1");
	(void)close(fd);
	end(s);
	assert_int_equal(stat(path, &st), -1);

	/* What is no socket stays. */
	const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(file);
	assert_int_equal(ur_httpd_new(&options, &other, &err), -EEXIST);
	assert_non_null(strstr(err.text, "no socket"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void a_socket_that_was_handed_over_is_used(void **state)
{
	(void)state;
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(fd, 10), 0);
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.listen = NULL;
	options.listen_fd = fd;
	start(s, &options);
	const int client = dial(s);
	say(client, "GET /peer HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(client, 200, "127.0.0.1 1");
	(void)close(client);
	end(s);

	struct ur_httpd *httpd = NULL;
	struct ur_err err = {0};
	options.listen_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	options.handler.context = NULL;
	assert_true(ur_httpd_new(&options, &httpd, &err) < 0);
	assert_non_null(strstr(err.text, "handed over"));
}

static void addresses_that_are_none_are_refused_in_words(void **state)
{
	static const char *const wheres[] = {"", ":", "8090", ":8090", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:http", "::1:80", "[::1]", "[::1:80", "example.org:80",
		"127.0.0.1:99999", "unix:"};
	struct ur_httpd_options options = options_of(NULL);
	(void)state;
	for (size_t i = 0; i < sizeof wheres / sizeof wheres[0]; i++) {
		struct ur_httpd *httpd = NULL;
		struct ur_err err = {0};
		options.listen = wheres[i];
		if (ur_httpd_new(&options, &httpd, &err) >= 0) {
			fail_msg("'%s' was taken", wheres[i]);
		}
		assert_int_equal(err.fault, UR_FAULT_SETUP);
		assert_true(strlen(err.text) > 10);
	}
}

static void ipv6_is_spoken(void **state)
{
	(void)state;
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	struct ur_httpd *httpd = NULL;
	options.listen = "[::1]:0";
	if (ur_httpd_new(&options, &httpd, NULL) == -EADDRNOTAVAIL) {
		/* No IPv6 here; the server of this test is another one. */
		options.listen = "127.0.0.1:0";
		start(s, &options);
		end(s);
		skip();
	}
	httpd = ur_httpd_free(httpd);
	start(s, &options);
	unsigned port = 0;
	assert_int_equal(sscanf(s->address, "[::1]:%u", &port), 1);
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
		.sin6_port = htons((uint16_t)port)};
	const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in6, sizeof in6), 0);
	say(fd, "GET /peer HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(fd, 200, "::1 1");
	(void)close(fd);
	end(s);
}

/** One socket for both families; who comes over IPv4 is known by that address. */
static void a_peer_is_known_by_its_shortest_address(void **state)
{
	(void)state;
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	const int fd = socket(AF_INET6, SOCK_STREAM, 0);
	const int none = 0;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	const bool is_there =
		fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof none) == 0 &&
		bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0 && listen(fd, 1) == 0;
	if (!is_there) {
		/* No IPv6 here; the server of this test is another one. */
		start(s, &options);
		end(s);
		skip();
	}
	options.listen = NULL;
	options.listen_fd = fd;
	start(s, &options);
	unsigned port = 0;
	assert_int_equal(sscanf(s->address, "[::]:%u", &port), 1);
	(void)snprintf(s->address, sizeof s->address, "127.0.0.1:%u", port);
	const int client = dial(s);
	say(client, "GET /peer HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(client, 200, "127.0.0.1 1");
	(void)close(client);
	end(s);
}

static void a_socket_that_does_not_listen_is_refused(void **state)
{
	(void)state;
	struct ur_httpd_options options = options_of(NULL);
	struct ur_httpd *httpd = NULL;
	struct ur_err err = {0};
	options.listen = NULL;
	options.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ur_httpd_new(&options, &httpd, &err), -EINVAL);
	assert_int_equal(err.fault, UR_FAULT_SETUP);
	/* It was ours, and is closed. */
	assert_int_equal(fcntl(options.listen_fd, F_GETFD), -1);
}

/** A server that never ran has nobody to tell. */
static void a_server_may_be_freed_without_having_run(void **state)
{
	(void)state;
	struct ur_httpd *httpd = NULL;
	const struct ur_httpd_options options = options_of(NULL);
	assert_int_equal(ur_httpd_new(&options, &httpd, NULL), 0);
	httpd = ur_httpd_free(httpd);
	assert_null(httpd);
}

/* --- stopping ------------------------------------------------------------------------------------- */
static void stop_lets_exchanges_end(void **state)
{
	(void)state;
	struct server *s = served();
	const int busy = dial(s);
	const int idle = dial(s);
	struct answer a;
	say(idle, "GET /x HTTP/1.1\r\n" HOST "\r\n");
	expect_answer(idle, 200, NULL);
	say(busy, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
	AWAIT(s, bodies == 2);
	ur_httpd_stop(s->httpd, 60000);
	expect_end(idle);
	say(busy, "llo");
	hear(busy, &a);
	assert_int_equal(a.status, 200);
	assert_true(a.closes);
	answer_done(&a);
	expect_end(busy);
	(void)close(busy);
	(void)close(idle);
	/* With nobody left the loop ends by itself, long before the grace does. */
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
	end(s);
}

/** Accepted or not, by the loop or by the kernel: who has asked before it stops is answered. */
static void stop_hears_who_is_on_the_way(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct server *s = served();
		int fds[8];
		for (size_t j = 0; j < 8; j++) {
			fds[j] = dial(s);
			say(fds[j], "GET /x HTTP/1.1\r\n" HOST "\r\n");
		}
		ur_httpd_stop(s->httpd, 60000);
		for (size_t j = 0; j < 8; j++) {
			expect_answer(fds[j], 200, NULL);
			(void)close(fds[j]);
		}
		end(s);
	}
}

static void stop_waits_for_nobody_who_says_nothing(void **state)
{
	(void)state;
	struct server *s = served();
	const int silent = dial(s);
	ur_httpd_stop(s->httpd, 60000);
	expect_end(silent);
	(void)close(silent);
	end(s);
}

static void a_late_body_has_the_status_that_its_clients_understand(void **state)
{
	(void)state;
	struct server *s = server_new();
	struct ur_httpd_options options = options_of(s);
	options.body_wait_ms = 50;
	options.late_status = 503;
	start(s, &options);
	const int fd = dial(s);
	struct answer a;
	say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
	hear(fd, &a);
	assert_int_equal(a.status, 503);
	assert_non_null(strstr(a.head, "Retry-After: 5\r\n"));
	answer_done(&a);
	(void)close(fd);
	end(s);
}

static void stop_ends_the_rest_after_its_grace(void **state)
{
	(void)state;
	struct server *s = served();
	const int body = dial(s);
	const int later = dial(s);
	const int reader = dial_with(s, 4096);
	say(body, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
	say(later, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	say(reader, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	AWAIT(s, begun == 3);
	AWAIT(s, bodies == 2);
	ur_httpd_stop(s->httpd, 50);
	AWAIT(s, gone == 2);
	AWAIT(s, unanswered == 1);
	assert_int_equal(seen(s).gone_why, -ESHUTDOWN);
	assert_int_equal(seen(s).lost_why, -ESHUTDOWN);
	expect_end(body);
	expect_end(later);
	(void)close(body);
	(void)close(later);
	(void)close(reader);
	end(s);
}

/* --- anything at all ------------------------------------------------------------------------------ */
#define CHAOS_CLIENTS 4
#define CHAOS_VISITS 150

static uint32_t chance(uint64_t *seed, uint32_t most)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % most;
}

/** What the handler has begun; ends exactly once. */
struct visit {
	struct ur_post post;
	struct ur_exchange *x; // NULL when it has ended
	struct chaos *chaos;
	bool is_posted;
};

struct chaos {
	struct server *server;
	uint64_t seed;
	uint64_t begun;
	uint64_t ended;
};

static void visit_ends(struct visit *v)
{
	assert(v->x != NULL);
	v->x = NULL;
	v->chaos->ended++;
	if (!v->is_posted) {
		free(v);
	}
}

/** One of the things that a handler may do. */
static void visit_does(struct visit *v, bool may_pause);

static void visit_is_called(struct ur_post *post)
{
	struct visit *v = (struct visit *)(void *)post;
	v->is_posted = false;
	if (v->x == NULL) {
		free(v);
		return;
	}
	ur_exchange_resume(v->x);
	visit_does(v, false);
}

static void visit_does(struct visit *v, bool may_pause)
{
	static char answer[100000];
	struct ur_exchange *x = v->x;
	switch (chance(&v->chaos->seed, 12)) {
	case 0:
		ur_exchange_answer(x, 413, "text/plain", answer, 4);
		return;
	case 1:
		ur_exchange_answer(x, 200, "text/plain", answer, sizeof answer);
		return;
	case 2:
		ur_exchange_answer_file(x, 200, NULL, dup(v->chaos->server->file), 5, 1u << 20);
		return;
	case 3:
		ur_exchange_drop(x);
		visit_ends(v);
		return;
	case 4:
		ur_exchange_interim(x, 104);
		return;
	default:
		if (may_pause && !v->is_posted) {
			ur_exchange_pause(x);
			v->is_posted = true;
			v->post.run = visit_is_called;
			ur_httpd_post(v->chaos->server->httpd, &v->post);
		}
		return;
	}
}

static void chaos_begin(void *context, struct ur_exchange *x)
{
	struct chaos *chaos = context;
	struct visit *v = calloc(1, sizeof *v);
	assert(v != NULL);
	v->x = x;
	v->chaos = chaos;
	x->owner = v;
	chaos->begun++;
	if (chance(&chaos->seed, 4) == 0) {
		ur_exchange_answer(x, 409, "text/plain", "no", 2);
		return;
	}
	ur_exchange_accept(x);
	visit_does(v, true);
}

static void chaos_body(void *context, struct ur_exchange *x, const void *bytes, size_t size)
{
	(void)context;
	(void)bytes;
	assert(size > 0);
	visit_does(x->owner, true);
}

static void chaos_end(void *context, struct ur_exchange *x)
{
	(void)context;
	ur_exchange_answer(x, 204, NULL, NULL, 0);
}

static void chaos_gone(void *context, struct ur_exchange *x, int why)
{
	(void)context;
	assert(why < 0);
	visit_ends(x->owner);
}

static void chaos_answered(void *context, struct ur_exchange *x, int status, uint64_t sent, int why)
{
	(void)context;
	assert(status >= 200);
	assert(sent > 0 || why < 0);
	visit_ends(x->owner);
}

/** Some requests, whole or with a byte changed or cut off. */
static size_t write_requests(uint64_t *seed, char *ret, size_t room)
{
	static const char *const texts[] = {
		"GET /a HTTP/1.1\r\n" HOST "\r\n",
		"HEAD /b HTTP/1.1\r\n" HOST "\r\n",
		"PUT /c HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789",
		"PUT /d HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
		"PUT /e HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n",
		"PUT /f HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\nnot all of it",
		"GET /g HTTP/1.0\r\n\r\n",
	};
	size_t size = 0;
	for (uint32_t i = chance(seed, 6) + 1; i > 0; i--) {
		const char *text = texts[chance(seed, sizeof texts / sizeof texts[0])];
		assert(size + strlen(text) < room);
		memcpy(ret + size, text, strlen(text));
		size += strlen(text);
	}
	if (chance(seed, 4) == 0) {
		ret[chance(seed, (uint32_t)size)] ^= (char)(1 << chance(seed, 7));
	}
	return chance(seed, 4) == 0 ? chance(seed, (uint32_t)size) + 1 : size;
}

static void visit_once(struct server *s, uint64_t *seed)
{
	char text[2048];
	char answers[4096];
	const size_t size = write_requests(seed, text, sizeof text);
	const int fd = dial_with(s, chance(seed, 3) == 0 ? 4096 : 0);
	for (size_t at = 0; at < size;) {
		const size_t step = chance(seed, 2) == 0 ? size - at : chance(seed, 40) + 1u;
		const size_t here = step < size - at ? step : size - at;
		if (!say_bytes(fd, text + at, here)) {
			break;
		}
		at += here;
		if (chance(seed, 8) == 0) {
			(void)recv(fd, answers, sizeof answers, MSG_DONTWAIT);
		}
	}
	const struct linger reset = {.l_onoff = 1};
	switch (chance(seed, 3)) {
	case 0: // takes everything, to the end
		(void)shutdown(fd, SHUT_WR);
		while (recv(fd, answers, sizeof answers, 0) > 0) {
		}
		break;
	case 1:
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		break;
	default:
		break;
	}
	(void)close(fd);
}

struct visitor {
	struct server *server;
	uint64_t seed;
};

static void *visit_often(void *context)
{
	struct visitor *visitor = context;
	for (int i = 0; i < CHAOS_VISITS; i++) {
		visit_once(visitor->server, &visitor->seed);
	}
	return NULL;
}

static void every_exchange_ends_once(void **state)
{
	(void)state;
	const char *given = getenv("UR_SEED");
	const uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	(void)fprintf(stderr, "UR_SEED=%llu\n", (unsigned long long)seed);
	struct server *s = server_new();
	struct chaos chaos = {.server = s, .seed = seed};
	struct ur_httpd_options options = options_of(s);
	options.handler = (struct ur_httpd_handler){.begin = chaos_begin,
		.body = chaos_body,
		.end = chaos_end,
		.gone = chaos_gone,
		.answered = chaos_answered,
		.context = &chaos};
	options.body_wait_ms = 100;
	options.idle_wait_ms = 100;
	options.head_wait_ms = 1500;
	start(s, &options);
	struct visitor visitors[CHAOS_CLIENTS];
	pthread_t threads[CHAOS_CLIENTS];
	for (int i = 0; i < CHAOS_CLIENTS; i++) {
		visitors[i] = (struct visitor){.server = s, .seed = seed + (uint64_t)i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, visit_often, &visitors[i]), 0);
	}
	for (int i = 0; i < CHAOS_CLIENTS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	ur_httpd_stop(s->httpd, 0);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	ur_httpd_run_posts(s->httpd);
	assert_true(chaos.begun > CHAOS_CLIENTS * CHAOS_VISITS / 2);
	assert_int_equal(chaos.begun, chaos.ended);
	assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_in_a_row_are_served_in_order),
		cmocka_unit_test(what_lies_behind_a_body_is_the_next_request),
		cmocka_unit_test(a_long_row_of_requests_loses_nothing),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(http_1_0_is_answered_and_closed),
		cmocka_unit_test(a_body_of_32_mib_is_refused_before_it_is_read),
		cmocka_unit_test(a_body_of_32_mib_is_refused_in_its_middle),
		cmocka_unit_test(continue_is_said_when_the_body_is_wanted),
		cmocka_unit_test(an_interim_answer_comes_before_the_body),
		cmocka_unit_test(a_second_connection_takes_over),
		cmocka_unit_test(a_paused_body_waits),
		cmocka_unit_test(a_pause_reaches_the_sender),
		cmocka_unit_test(posts_of_a_thread_are_run_in_its_order),
		cmocka_unit_test(an_answer_may_come_from_another_thread_by_post),
		cmocka_unit_test(posts_after_the_end_are_run_on_request),
		cmocka_unit_test(a_head_that_does_not_end_is_refused),
		cmocka_unit_test(a_silent_connection_is_closed),
		cmocka_unit_test(a_body_that_stops_is_gone),
		cmocka_unit_test(a_body_that_trickles_is_gone),
		cmocka_unit_test(an_answer_that_nobody_reads_ends_the_connection),
		cmocka_unit_test(a_slow_reader_gets_everything),
		cmocka_unit_test(a_part_of_a_file_is_sent),
		cmocka_unit_test(a_file_that_shrank_ends_the_connection),
		cmocka_unit_test(a_reader_may_leave_in_the_middle_of_a_file),
		cmocka_unit_test(who_leaves_in_the_middle_of_a_body_is_gone),
		cmocka_unit_test(who_half_closes_still_gets_the_answer),
		cmocka_unit_test(malformed_chunks_are_the_end_of_the_exchange),
		cmocka_unit_test(a_smuggled_request_is_never_begun),
		cmocka_unit_test(a_head_beyond_the_limit_is_refused),
		cmocka_unit_test(five_hundred_connections_are_served_in_turn),
		cmocka_unit_test(slow_connections_cost_their_heads),
		cmocka_unit_test(beyond_the_maximum_a_connection_waits),
		cmocka_unit_test(one_address_has_its_share),
		cmocka_unit_test(running_out_of_descriptors_is_survived),
		cmocka_unit_test(a_unix_socket_is_made_replaced_and_removed),
		cmocka_unit_test(a_socket_that_was_handed_over_is_used),
		cmocka_unit_test(addresses_that_are_none_are_refused_in_words),
		cmocka_unit_test(ipv6_is_spoken),
		cmocka_unit_test(a_peer_is_known_by_its_shortest_address),
		cmocka_unit_test(a_socket_that_does_not_listen_is_refused),
		cmocka_unit_test(a_server_may_be_freed_without_having_run),
		cmocka_unit_test(stop_lets_exchanges_end),
		cmocka_unit_test(stop_hears_who_is_on_the_way),
		cmocka_unit_test(stop_waits_for_nobody_who_says_nothing),
		cmocka_unit_test(a_late_body_has_the_status_that_its_clients_understand),
		cmocka_unit_test(stop_ends_the_rest_after_its_grace),
		cmocka_unit_test(every_exchange_ends_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
