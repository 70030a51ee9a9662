/* test_http - what is asked before the last byte of a body goes, over a real connection. */
#include "engine/net/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD_SIZE 300000 // more than curl takes at once

/** Takes one request, counts its body, and answers when all of it is there. */
struct server {
	int fd;
	int port;
	pthread_t thread;
	_Atomic uint64_t got;
};

static size_t body_of(char *bytes, size_t size)
{
	bytes[size] = '\0';
	const char *end = strstr(bytes, "\r\n\r\n");
	return end == NULL ? 0 : size - (size_t)(end + 4 - bytes);
}

static void *serve(void *context)
{
	static const char answer[] = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
	struct server *server = context;
	char bytes[4096];
	size_t head = 0;
	const int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
	while (head == 0 || strstr(bytes, "\r\n\r\n") == NULL) {
		const ssize_t n = read(fd, bytes + head, sizeof bytes - 1 - head);
		if (n <= 0) {
			(void)close(fd);
			return NULL;
		}
		head += (size_t)n;
		bytes[head] = '\0';
	}
	atomic_store(&server->got, body_of(bytes, head));
	while (atomic_load(&server->got) < HEAD_SIZE + 1) {
		const ssize_t n = read(fd, bytes, sizeof bytes);
		if (n <= 0) {
			(void)close(fd);
			return NULL;
		}
		atomic_fetch_add(&server->got, (uint64_t)n);
	}
	(void)!write(fd, answer, sizeof answer - 1);
	(void)close(fd);
	return NULL;
}

static void begin_server(struct server *server)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->fd >= 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(server->fd, 4), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &size), 0);
	server->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

struct sending {
	struct ur_request request;
	struct server server;
	sem_t done;
	int says; // what last() answers
	unsigned asked;
	uint64_t had; // of the body, when it was asked
};

static void done(struct ur_request *request)
{
	struct sending *sending = request->owner;
	(void)sem_post(&sending->done);
}

static int last(struct ur_request *request)
{
	struct sending *sending = request->owner;
	sending->asked++;
	sending->had = atomic_load(&sending->server.got);
	return sending->says;
}

static void run(struct sending *sending, bool asks)
{
	static char head[HEAD_SIZE];
	char url[64];
	struct ur_http *http = NULL;
	struct ur_err err = {0};
	begin_server(&sending->server);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", sending->server.port);
	const struct ur_http_options options = {
		.server = url, .connect_ms = 5000, .stall_ms = 20000, .connections_max = 2};
	assert_int_equal(ur_http_new(&options, NULL, &http, &err), 0);
	assert_int_equal(sem_init(&sending->done, 0, 0), 0);
	sending->request = (struct ur_request){
		.method = "POST",
		.path = "/x",
		.pieces = {{.bytes = head, .size = sizeof head}, {.bytes = "!", .size = 1}},
		.piece_count = 2,
		.upload = true,
		.answer_wait_ms = 20000,
		.last = asks ? last : NULL,
		.done = done,
		.owner = sending,
	};
	ur_http_submit(http, &sending->request);
	while (sem_wait(&sending->done) < 0) {
		assert_int_equal(errno, EINTR);
	}
	http = ur_http_free(http);
	assert_int_equal(pthread_join(sending->server.thread, NULL), 0);
	(void)close(sending->server.fd);
	(void)sem_destroy(&sending->done);
}

static void it_is_asked_once_and_before_the_last_byte(void **state)
{
	static struct sending sending;
	(void)state;
	run(&sending, true);
	assert_int_equal(sending.request.result, 0);
	assert_int_equal(sending.request.status, 201);
	assert_int_equal(sending.asked, 1);
	assert_true(sending.had < HEAD_SIZE + 1);
	assert_true(sending.request.body_gone);
	ur_request_done(&sending.request);
}

static void where_it_says_no_the_last_byte_does_not_go(void **state)
{
	static struct sending sending = {.says = -EIO};
	(void)state;
	run(&sending, true);
	assert_int_equal(sending.request.result, -EIO);
	assert_false(sending.request.body_gone);
	assert_int_equal(sending.asked, 1);
	assert_true(atomic_load(&sending.server.got) < HEAD_SIZE + 1);
	ur_request_done(&sending.request);
}

static void nobody_need_be_asked(void **state)
{
	static struct sending sending;
	(void)state;
	run(&sending, false);
	assert_int_equal(sending.request.status, 201);
	assert_int_equal(sending.asked, 0);
	ur_request_done(&sending.request);
}

static void an_address_is_shown_without_its_password(void **state)
{
	static const char *const rows[][2] = {
		{"http://h:1/a", "http://h:1/a"},
		{"https://ann:secret@h/a@b", "https://h/a@b"},
		{"http://ann:p@ss@h", "http://h"},
		{"http://h/?q=ann@secret", "http://h/?q=ann@secret"},
		{"ann:secret@h", "h"},
		{"", ""},
	};
	char shown[UR_HTTP_SHOWN];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ur_http_show(rows[i][0], shown);
		assert_string_equal(shown, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_asked_once_and_before_the_last_byte),
		cmocka_unit_test(where_it_says_no_the_last_byte_does_not_go),
		cmocka_unit_test(nobody_need_be_asked),
		cmocka_unit_test(an_address_is_shown_without_its_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
