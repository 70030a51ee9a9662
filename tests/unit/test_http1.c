/* test_http1 - what is understood, what is refused with which status, on every split. */
#include "engine/net/http1.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *last; // what the pointers of the last head point into

/** As a server does it, byte by byte; a status of refusal, or 0. */
static int read_head(const char *text, size_t size, struct ur_http1_head *head, const char **why)
{
	size_t scanned = 0;
	ssize_t end = 0;
	free(last);
	last = malloc(size + 1);
	assert_non_null(last);
	for (size_t have = 1; have <= size && end == 0; have++) {
		/* A copy of exactly this size, so that a byte too many is seen. */
		char *part = malloc(have);
		assert_non_null(part);
		memcpy(part, text, have);
		end = ur_http1_find_end(part, have, &scanned);
		free(part);
	}
	if (end < 0) {
		assert_int_equal(end, -EBADMSG);
		*why = "find_end";
		return 400;
	}
	if (end == 0) {
		fail_msg("this head does not end: %s", text);
	}
	memcpy(last, text, size);
	last[size] = '\0';
	return ur_http1_parse(last, (size_t)end, head, why);
}

static struct ur_http1_head good(const char *text)
{
	struct ur_http1_head head;
	const char *why = "";
	const int status = read_head(text, strlen(text), &head, &why);
	if (status != 0) {
		fail_msg("refused with %d, %s: %s", status, why, text);
	}
	return head;
}

static const char *field(const struct ur_http1_head *head, const char *name)
{
	return ur_http1_field(head->fields, head->field_count, name);
}

static void a_head_is_read(void **state)
{
	(void)state;
	const struct ur_http1_head head = good(
		"PATCH /files/4f?a=b?c HTTP/1.1\r\nHost: h.example:81\r\nContent-LENGTH:  7 \t\r\n"
		"Upload-Metadata:\r\nX: a b\tc\xc3\xa4\r\nExpect: 100-Continue\r\n\r\nrest");

	assert_string_equal(head.method, "PATCH");
	assert_string_equal(head.path, "/files/4f");
	assert_string_equal(head.query, "a=b?c");
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.field_count, 5);
	assert_string_equal(field(&head, "host"), "h.example:81");
	assert_string_equal(field(&head, "upload-metadata"), "");
	assert_string_equal(field(&head, "x"), "a b\tc\xc3\xa4");
	assert_null(field(&head, "y"));
	assert_true(head.has_length && head.length == 7);
	assert_false(head.chunked);
	assert_true(head.keep);
	assert_true(head.expect);
}

static void versions_and_connections(void **state)
{
	(void)state;
	struct ur_http1_head head = good("GET / HTTP/1.0\r\n\r\n");
	assert_int_equal(head.minor, 0);
	assert_false(head.keep);
	assert_null(head.query);
	head = good("GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n");
	assert_false(head.keep);
	assert_false(head.expect);
	head = good("GET /? HTTP/1.1\r\nHost:\r\nConnection: foo , CLOSE\t\r\n\r\n");
	assert_false(head.keep);
	assert_string_equal(head.query, "");
	head = good("GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: closed\r\n\r\n");
	assert_true(head.keep);
	head = good("\r\nGET / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n");
	assert_true(head.chunked);
	assert_false(head.has_length);
}

static void repeated_fields_become_lists(void **state)
{
	(void)state;
	const struct ur_http1_head head = good("GET / HTTP/1.1\r\nA: 1\r\nHost: h\r\nB:\r\na:2\r\n"
					       "Cookie: x=1\r\nb: \r\nC: end\r\nA: \t3 \r\nb:z\r\n"
					       "cookie: y=2\r\n\r\n");
	assert_int_equal(head.field_count, 5);
	assert_string_equal(field(&head, "a"), "1, 2, 3");
	assert_string_equal(field(&head, "b"), ", , z");
	assert_string_equal(field(&head, "c"), "end");
	assert_string_equal(field(&head, "host"), "h");
	assert_string_equal(field(&head, "cookie"), "x=1; y=2");
}

struct bad {
	int status;
	const char *text;
};
#define H "Host: h\r\n"
static const struct bad bads[] = {
	/* where a head ends */
	{400, "GET / HTTP/1.1\n" H "\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "\n"},
	{400, "GET / HTTP/1.1\r\nHost: h\n\r\n"},
	{400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"},
	{400, "\nGET / HTTP/1.1\r\n" H "\r\n"},
	{400, " GET / HTTP/1.1\r\n" H "\r\n"},
	{400, "\x16\x03\x01\x02"},
	/* request lines */
	{400, "GET /\r\n\r\n"},
	{400, "GET\r\n\r\n"},
	{400, "GET  / HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /  HTTP/1.1\r\n" H "\r\n"},
	{400, "GET / HTTP/1.1 \r\n" H "\r\n"},
	{400, "GET / http/1.1\r\n" H "\r\n"},
	{400, "GET / HTTP/1.10\r\n" H "\r\n"},
	{400, "GET / HTTP/11\r\n" H "\r\n"},
	{505, "GET / HTTP/1.2\r\n" H "\r\n"},
	{505, "GET / HTTP/0.9\r\n\r\n"},
	{505, "PRI * HTTP/2.0\r\n\r\n"},
	{400, "G(T / HTTP/1.1\r\n" H "\r\n"},
	{400, "GE\x80 / HTTP/1.1\r\n" H "\r\n"},
	{501, "GETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\n" H "\r\n"},
	/* targets */
	{400, "GET http://h/ HTTP/1.1\r\n" H "\r\n"},
	{400, "OPTIONS * HTTP/1.1\r\n" H "\r\n"},
	{400, "CONNECT h:443 HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /a b HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /a\tb HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /a\rb HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /\x7f HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /a#b HTTP/1.1\r\n" H "\r\n"},
	/* fields */
	{400, "GET / HTTP/1.1\r\n" H "A : b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A\t: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H " A: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n A: b\r\n" H "\r\n"},
	{400, "GET / HTTP/1.1\r\n" H ": b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A@: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A\x80: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A: b\x01\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H "A: b\r\r\n\r\n"},
	/* Host */
	{400, "GET / HTTP/1.1\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" H H "\r\n"},
	{400, "GET / HTTP/1.0\r\n" H "host: i\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: u@b\r\n\r\n"},
	/* framing */
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\ncontent-length: 6\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 5.\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999x\r\n\r\n"},
	{413, "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n"},
	{413, "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
	      "Transfer-Encoding: identity\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
	      "Transfer-Encoding: chunked\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	      "chunked\r\n\r\n"},
	{400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"},
	/* expectations */
	{417, "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"},
	{417, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"},
};

static void doubtful_heads_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		struct ur_http1_head head;
		const char *why = NULL;
		const int status = read_head(bads[i].text, strlen(bads[i].text), &head, &why);
		if (status != bads[i].status || why == NULL) {
			fail_msg("%d instead of %d: %s", status, bads[i].status, bads[i].text);
		}
	}
}

static void a_nul_is_a_control_byte(void **state)
{
	static const char *const texts[] = {"GE@T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /@ HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHo@st: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h@\r\n\r\n", "GET / HTTP/1.1@\r\nHost: h\r\n\r\n"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct ur_http1_head head;
		const char *why = NULL;
		char text[64];
		const size_t size = strlen(texts[i]);
		memcpy(text, texts[i], size);
		*(char *)memchr(text, '@', size) = '\0';
		assert_int_equal(read_head(text, size, &head, &why), 400);
	}
}

static void counts_and_sizes_are_bounded(void **state)
{
	(void)state;
	static char text[20000];
	struct ur_http1_head head;
	const char *why = NULL;
	size_t size = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (unsigned i = 1; i < UR_HTTP1_FIELDS_MAX; i++) {
		size += (size_t)sprintf(text + size, "A%u: b\r\n", i);
	}
	strcpy(text + size, "\r\n");
	assert_int_equal(read_head(text, size + 2, &head, &why), 0);
	assert_int_equal(head.field_count, UR_HTTP1_FIELDS_MAX);
	strcpy(text + size, "A1: b\r\n\r\n");
	assert_int_equal(read_head(text, size + 9, &head, &why), 431);

	size = (size_t)sprintf(
		text, "GET /%0*u HTTP/1.1\r\nHost: h\r\n\r\n", (int)UR_HTTP1_TARGET_MAX - 1, 0);
	assert_int_equal(read_head(text, size, &head, &why), 0);
	size = (size_t)sprintf(
		text, "GET /%0*u HTTP/1.1\r\nHost: h\r\n\r\n", (int)UR_HTTP1_TARGET_MAX, 0);
	assert_int_equal(read_head(text, size, &head, &why), 414);
}

/** Joins what comes out; the size, or -1 when it is refused, -2 when it does not end. */
static long unchunk(const char *text, size_t size, size_t step, char *ret, size_t *ret_used)
{
	struct ur_chunked chunks = {0};
	long got = 0;
	size_t at = 0;
	while (at < size && chunks.state != UR_CHUNKED_END) {
		const size_t here = size - at < step ? size - at : step;
		char *part = malloc(here);
		const char *data = NULL;
		size_t count = 0;
		assert_non_null(part);
		memcpy(part, text + at, here);
		const ssize_t used = ur_chunked_step(&chunks, part, here, &data, &count);
		if (used >= 0) {
			assert_true((size_t)used <= here);
			assert_true(used > 0);
			memcpy(ret + got, data, count);
			got += (long)count;
			at += (size_t)used;
		}
		free(part);
		if (used < 0) {
			assert_int_equal(used, -EBADMSG);
			return -1;
		}
	}
	*ret_used = at;
	return chunks.state == UR_CHUNKED_END ? got : -2;
}

static void chunks_are_joined_on_every_split(void **state)
{
	static const char text[] = "5;a=\"b\"\r\nhello\r\n00A;\r\n, chunked \r\n1\r\nx\r\n"
				   "0\r\nTrailer: of no use\r\nB:\r\n\r\nGET /";
	(void)state;
	for (size_t step = 1; step <= sizeof text; step++) {
		char body[64];
		size_t used = 0;
		const long size = unchunk(text, sizeof text - 1, step, body, &used);
		assert_int_equal(size, 16);
		assert_memory_equal(body, "hello, chunked x", 16);
		assert_string_equal(text + used, "GET /");
	}
}

static void doubtful_chunks_are_refused(void **state)
{
	static const char *const texts[] = {"\r\n", "g\r\n", "-1\r\n", "+1\r\n", "0x1\r\n",
		" 1\r\n", "1 \r\n", "1\t;a\r\n", "1\n", "1\r\r", "1;a\n", "1;a\x01\r\n", "1;a\r;",
		"1\r\nab", "1\r\na\n", "1\r\na\r\r", "1\r\na0\r\n", "1000000000000000\r\n",
		"ffffffffffffffffffff\r\n", "0\r\n\n", "0\r\nA\r\n", "0\r\nA b: c\r\n",
		"0\r\nA: b\n", "0\r\n A: b\r\n", "0\r\n:\r\n", "0\r\nA: b\r\n\rx", "0\r\nA: \x7f"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		char body[64];
		size_t used = 0;
		if (unchunk(texts[i], strlen(texts[i]), 100, body, &used) != -1) {
			fail_msg("not refused: %s", texts[i]);
		}
	}
}

static void what_is_read_over_is_bounded(void **state)
{
	(void)state;
	static char text[UR_HTTP1_TRAILER_MAX + 100];
	char body[4];
	size_t used = 0;
	size_t size =
		(size_t)sprintf(text, "1;%0*u\r\nx\r\n0\r\n\r\n", (int)UR_HTTP1_EXTENSION_MAX, 0);
	assert_int_equal(unchunk(text, size, 7, body, &used), 1);
	size = (size_t)sprintf(text, "1;%0*u\r\n", (int)UR_HTTP1_EXTENSION_MAX + 1, 0);
	assert_int_equal(unchunk(text, size, 7, body, &used), -1);
	size = (size_t)sprintf(text, "0\r\nA:%0*u\r\n\r\n", (int)UR_HTTP1_TRAILER_MAX - 2, 0);
	assert_int_equal(unchunk(text, size, 1000, body, &used), 0);
	size = (size_t)sprintf(text, "0\r\nA:%0*u\r\nB:\r\n", (int)UR_HTTP1_TRAILER_MAX - 2, 0);
	assert_int_equal(unchunk(text, size, 1000, body, &used), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_read),
		cmocka_unit_test(versions_and_connections),
		cmocka_unit_test(repeated_fields_become_lists),
		cmocka_unit_test(doubtful_heads_are_refused),
		cmocka_unit_test(a_nul_is_a_control_byte),
		cmocka_unit_test(counts_and_sizes_are_bounded),
		cmocka_unit_test(chunks_are_joined_on_every_split),
		cmocka_unit_test(doubtful_chunks_are_refused),
		cmocka_unit_test(what_is_read_over_is_bounded),
	};
	const int r = cmocka_run_group_tests(tests, NULL, NULL);
	free(last);
	return r;
}
