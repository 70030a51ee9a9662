/*
 * raw_golden - exchanges that show how the connection behaves, not only what is answered.
 *
 * Each function does what the recording's steps tell, and compares with its `observed`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/golden/golden.h"

#define BOUNDARY "----raw"
#define TYPE "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n"
#define PING "GET /api/server/ping HTTP/1.1\r\nHost: x\r\n\r\n"
#define KEY "x-api-key: all-of-it\r\n"

/** One run: a connection, the form to send, and what was recorded. */
struct raw {
	int fd;
	json_t *observed;
	struct ur_text form;
};

static int unique; // makes every file of a run another one

// --- tools ---------------------------------------------------------------------------------------

static int connect_now(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)server_port()),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void send_bytes(struct raw *raw, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t r = send(raw->fd, at, size, MSG_NOSIGNAL);

		assert_true(r > 0);
		at += r;
		size -= (size_t)r;
	}
}

static void send_text(struct raw *raw, const char *text)
{
	send_bytes(raw, text, strlen(text));
}

/** Reads what comes until nothing has come for wait_ms or the other side closes. */
static bool receive(struct raw *raw, int wait_ms, struct ur_text *ret)
{
	struct pollfd wait = {.fd = raw->fd, .events = POLLIN};
	char bytes[4096];

	ur_text_clear(ret);
	while (poll(&wait, 1, wait_ms) > 0) {
		ssize_t r = recv(raw->fd, bytes, sizeof(bytes), 0);

		if (r <= 0) {
			return true;
		}
		ur_text_add(ret, bytes, (size_t)r);
		wait_ms = 150;
	}
	return false;
}

static bool has(const struct ur_text *text, const char *what)
{
	return strstr(ur_text_get(text), what) != NULL;
}

static bool observed(const struct raw *raw, const char *name)
{
	json_t *value = json_object_get(raw->observed, name);

	assert_true(json_is_boolean(value));
	return json_is_true(value);
}

/** The status line begins as it was recorded. */
static void check_status(const struct raw *raw, const struct ur_text *answer)
{
	const char *status = json_string_value(json_object_get(raw->observed, "status"));

	assert_non_null(status);
	assert_memory_equal(ur_text_get(answer), status, strlen(status));
}

static void add_field(struct raw *raw, const char *name, const char *value)
{
	ur_text_addf(&raw->form,
		"--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name,
		value);
}

/** A whole form with a file of `size` bytes that nobody has sent before. */
static void make_form(struct raw *raw, const char *name, size_t size)
{
	unsigned char *bytes = NULL;
	char seed[32];

	(void)snprintf(seed, sizeof(seed), "raw %d", ++unique);
	file_make("x.jpg", seed, size, &bytes);
	ur_text_clear(&raw->form);
	add_field(raw, "deviceAssetId", "d");
	add_field(raw, "deviceId", "rec");
	add_field(raw, "fileCreatedAt", "2024-05-06T07:08:09.000Z");
	add_field(raw, "fileModifiedAt", "2024-05-06T07:08:09.000Z");
	ur_text_addf(&raw->form,
		"--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"assetData\";"
		" filename=\"%s\"\r\nContent-Type: image/jpeg\r\n\r\n",
		name);
	ur_text_add(&raw->form, bytes, size);
	ur_text_adds(&raw->form, "\r\n--" BOUNDARY "--\r\n");
	free(bytes);
}

static void send_head(struct raw *raw, const char *key, const char *extra, size_t length)
{
	struct ur_text head = {0};

	ur_text_addf(&head, "POST /api/assets HTTP/1.1\r\nHost: x\r\n%s" TYPE "%s", key, extra);
	ur_text_addf(&head, "Content-Length: %zu\r\n\r\n", length);
	send_text(raw, ur_text_get(&head));
	ur_text_done(&head);
}

/** Files below the server's folder. */
static int count_files(void)
{
	char command[160];
	int count = -1;
	FILE *pipe;

	(void)snprintf(command, sizeof(command),
		"find '%s/upload' -type f -not -name .immich | wc -l", server_data());
	pipe = popen(command, "r");
	if (pipe != NULL) {
		if (fscanf(pipe, "%d", &count) != 1) {
			count = -1;
		}
		pclose(pipe);
	}
	assert_true(count >= 0);
	return count;
}

// --- answers before the body ---------------------------------------------------------------------

static void bad_key_before_body(struct raw *raw)
{
	struct ur_text answer = {0};
	bool closed;

	make_form(raw, "x.jpg", 100000);
	send_head(raw, "x-api-key: wrong\r\n", "", raw->form.size);
	closed = receive(raw, 3000, &answer);
	assert_int_equal(has(&answer, "HTTP/1.1 401"), observed(raw, "answered_before_body"));
	assert_int_equal(closed, observed(raw, "closed"));
	ur_text_done(&answer);
}

/** The header with the checksum of the picture that the script uploaded first. */
static void checksum_header(char ret[128])
{
	(void)snprintf(ret, 128, "x-immich-checksum: %s\r\n",
		pairs_find("f6a421c4801b44a1c10936e9b27f5332ca4496d3"));
}

static void checksum_header_shortcircuit(struct raw *raw)
{
	struct ur_text answer = {0};
	char header[128];

	checksum_header(header);
	make_form(raw, "x.jpg", 2000000);
	send_head(raw, KEY, header, raw->form.size);
	(void)receive(raw, 3000, &answer);
	assert_int_equal(has(&answer, "duplicate"), observed(raw, "answered_before_body"));
	send_bytes(raw, ur_text_get(&raw->form), raw->form.size);
	send_text(raw, PING);
	(void)receive(raw, 3000, &answer);
	assert_int_equal(
		has(&answer, "pong"), observed(raw, "connection_reusable_after_sending_body"));
	ur_text_done(&answer);
}

static void next_request_without_body(struct raw *raw)
{
	struct ur_text answer = {0};
	char header[128];

	checksum_header(header);
	send_head(raw, KEY, header, 100000);
	(void)receive(raw, 3000, &answer);
	assert_true(has(&answer, "duplicate"));
	send_text(raw, PING);
	(void)receive(raw, 400, &answer);
	assert_int_equal(has(&answer, "pong"), observed(raw, "got_pong"));
	ur_text_done(&answer);
}

static void unsupported_type_early(struct raw *raw)
{
	struct ur_text answer = {0};
	bool closed;

	make_form(raw, "x.txt", 100000);
	send_head(raw, KEY, "", raw->form.size);
	send_bytes(raw, ur_text_get(&raw->form), 5000);
	closed = receive(raw, 3000, &answer);
	assert_int_equal(has(&answer, "Unsupported file type x.txt"), observed(raw, "early"));
	assert_int_equal(closed, observed(raw, "closed"));
	ur_text_done(&answer);
}

// --- 100-continue --------------------------------------------------------------------------------

static void expect_continue(struct raw *raw, const char *key, const char *extra)
{
	struct ur_text answer = {0};
	char headers[192];

	(void)snprintf(headers, sizeof(headers), "Expect: 100-continue\r\n%s", extra);
	make_form(raw, "x.jpg", 3000);
	send_head(raw, key, headers, raw->form.size);
	(void)receive(raw, 400, &answer);
	assert_int_equal(has(&answer, "HTTP/1.1 100 Continue\r\n\r\n"), observed(raw, "got_100"));
	assert_int_equal(strstr(ur_text_get(&answer) + 20, "HTTP/1.1 ") != NULL,
		observed(raw, "final_before_body"));
	ur_text_done(&answer);
}

static void expect_nokey(struct raw *raw)
{
	expect_continue(raw, "", "");
}

static void expect_valid(struct raw *raw)
{
	expect_continue(raw, KEY, "");
}

static void expect_dup(struct raw *raw)
{
	char header[128];

	checksum_header(header);
	expect_continue(raw, KEY, header);
}

// --- how a body is framed ------------------------------------------------------------------------

static void chunked(struct raw *raw)
{
	struct ur_text answer = {0};
	char line[32];

	make_form(raw, "x.jpg", 3000);
	send_text(raw, "POST /api/assets HTTP/1.1\r\nHost: x\r\n" KEY TYPE
		       "Transfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0; at < raw->form.size; at += 1000) {
		size_t size = raw->form.size - at < 1000 ? raw->form.size - at : 1000;

		(void)snprintf(line, sizeof(line), "%zx\r\n", size);
		send_text(raw, line);
		send_bytes(raw, ur_text_get(&raw->form) + at, size);
		send_text(raw, "\r\n");
	}
	send_text(raw, "0\r\n\r\n");
	(void)receive(raw, 3000, &answer);
	check_status(raw, &answer);
	ur_text_done(&answer);
}

static void chunked_and_length(struct raw *raw)
{
	struct ur_text answer = {0};
	bool closed;

	send_head(raw, KEY, "Transfer-Encoding: chunked\r\n", 10);
	closed = receive(raw, 3000, &answer);
	check_status(raw, &answer);
	assert_false(has(&answer, "Content-Length"));
	assert_int_equal(closed, observed(raw, "closed"));
	ur_text_done(&answer);
}

/** Sends `size` bytes of the form, all that the head declares, and checks the status. */
static void declared(struct raw *raw, size_t size)
{
	struct ur_text answer = {0};

	send_head(raw, KEY, "", size);
	send_bytes(raw, ur_text_get(&raw->form), size);
	(void)receive(raw, 3000, &answer);
	check_status(raw, &answer);
	ur_text_done(&answer);
}

static void epilogue_junk(struct raw *raw)
{
	make_form(raw, "x.jpg", 3000);
	ur_text_adds(&raw->form, "junk behind the last boundary\r\n");
	declared(raw, raw->form.size);
}

static void junk_beyond_length(struct raw *raw)
{
	struct ur_text answer = {0};
	int before = count_files();

	make_form(raw, "x.jpg", 3000);
	send_head(raw, KEY, "", raw->form.size);
	ur_text_adds(&raw->form, "junk beyond it\r\n");
	send_bytes(raw, ur_text_get(&raw->form), raw->form.size);
	assert_int_equal(receive(raw, 3000, &answer), observed(raw, "closed"));
	assert_true(has(&answer, "HTTP/1.1 400 Bad Request\r\n"));
	assert_int_equal(count_files(), before);
	ur_text_done(&answer);
}

static void leaves_a_file(struct raw *raw, size_t cut)
{
	int before = count_files();

	make_form(raw, "x.jpg", 3000);
	declared(raw, cut > 0 ? raw->form.size - cut : raw->form.size / 2);
	assert_int_equal(count_files() - before,
		json_integer_value(json_object_get(raw->observed, "new_files")));
}

static void missing_final_boundary(struct raw *raw)
{
	leaves_a_file(raw, strlen("\r\n--" BOUNDARY "--\r\n"));
}

static void truncated_half(struct raw *raw)
{
	leaves_a_file(raw, 0);
}

// --- names ---------------------------------------------------------------------------------------

static void filename_newline(struct raw *raw)
{
	make_form(raw, "a\nb.jpg", 3000);
	declared(raw, raw->form.size);
}

static void filename_latin1(struct raw *raw)
{
	const char *stored = json_string_value(json_object_get(raw->observed, "stored"));
	struct ur_text answer = {0};
	char request[256];
	char *id;

	make_form(raw, "caf\xe9.jpg", 3000);
	send_head(raw, KEY, "", raw->form.size);
	send_bytes(raw, ur_text_get(&raw->form), raw->form.size);
	(void)receive(raw, 3000, &answer);
	id = strstr(ur_text_get(&answer), "{\"id\":\"");
	assert_non_null(id);
	(void)snprintf(request, sizeof(request),
		"GET /api/assets/%.36s HTTP/1.1\r\nHost: x\r\n" KEY "\r\n", id + 7);
	send_text(raw, request);
	(void)receive(raw, 3000, &answer);
	assert_true(has(&answer, stored));
	ur_text_done(&answer);
}

// --- connections that end ------------------------------------------------------------------------

static void interrupted(struct raw *raw, bool reset)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	int before = count_files();

	make_form(raw, "x.jpg", 4000000);
	send_head(raw, KEY, "", raw->form.size);
	send_bytes(raw, ur_text_get(&raw->form), raw->form.size / 2);
	usleep(100000);
	assert_int_equal(count_files(), before + 1);
	if (reset) {
		(void)setsockopt(raw->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	}
	close(raw->fd);
	raw->fd = -1;
	usleep(300000);
	assert_int_equal(count_files(), before);
}

static void interrupted_close(struct raw *raw)
{
	interrupted(raw, false);
}

static void interrupted_reset(struct raw *raw)
{
	interrupted(raw, true);
}

static void keepalive_idle(struct raw *raw)
{
	double recorded = json_number_value(
		json_object_get(raw->observed, "idle_seconds_until_server_closed"));
	struct ur_text answer = {0};
	struct timespec from;
	struct timespec to;

	send_text(raw, PING);
	assert_false(receive(raw, 1000, &answer));
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_true(receive(raw, 9000, &answer));
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true((double)(to.tv_sec - from.tv_sec) > recorded - 2);
	assert_true((double)(to.tv_sec - from.tv_sec) < recorded + 2);
	ur_text_done(&answer);
}

// --- the table -----------------------------------------------------------------------------------

static const struct {
	const char *name;
	void (*run)(struct raw *raw);
} cases[] = {
	{"raw-bad-key-before-body", bad_key_before_body},
	{"raw-checksum-header-shortcircuit", checksum_header_shortcircuit},
	{"raw-checksum-header-then-next-request-without-body", next_request_without_body},
	{"raw-chunked", chunked},
	{"raw-chunked-and-content-length", chunked_and_length},
	{"raw-epilogue-junk-inside-content-length", epilogue_junk},
	{"raw-expect-100-dup", expect_dup},
	{"raw-expect-100-nokey", expect_nokey},
	{"raw-expect-100-valid", expect_valid},
	{"raw-filename-latin1-byte", filename_latin1},
	{"raw-filename-newline-byte", filename_newline},
	{"raw-interrupted-close", interrupted_close},
	{"raw-interrupted-reset", interrupted_reset},
	{"raw-junk-beyond-content-length", junk_beyond_length},
	{"raw-keepalive-idle-timeout", keepalive_idle},
	{"raw-missing-final-boundary", missing_final_boundary},
	{"raw-truncated-half-consistent-length", truncated_half},
	{"raw-unsupported-type-early", unsupported_type_early},
};

bool raw_replay(const char *name, json_t *recording)
{
	struct raw raw = {.observed = json_object_get(recording, "observed")};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, name) == 0) {
			raw.fd = connect_now();
			cases[i].run(&raw);
			if (raw.fd >= 0) {
				close(raw.fd);
			}
			ur_text_done(&raw.form);
			return true;
		}
	}
	return false;
}
