/*
 * The fixture's reader of upload forms: whatever pieces a form arrives in, the same parts come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/text.h"
#include "fixtures/immichd/multipart.h"

#define TYPE "multipart/form-data; boundary=edge"
#define PART "--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\n"
#define END "\r\n--edge--\r\n"

/** What the reader said, as text: "[name|filename]" or "[name]", data, then "." */
struct log {
	struct ur_text text;
	int refuse; // what part() returns
};

static int on_part(void *owner, const struct im_part *part)
{
	struct log *log = owner;

	ur_text_addf(&log->text, part->filename != NULL ? "[%s|%s]" : "[%s]", part->name,
		part->filename);
	return log->refuse;
}

static int on_data(void *owner, const void *bytes, size_t size)
{
	struct log *log = owner;

	assert_true(size > 0);
	ur_text_add(&log->text, bytes, size);
	return 0;
}

static int on_end(void *owner)
{
	struct log *log = owner;

	ur_text_adds(&log->text, ".");
	return 0;
}

static const struct im_part_events events = {.part = on_part, .data = on_data, .end = on_end};

/** Feeds a form in pieces of `step` bytes, the first one of `first`; the reader's verdict. */
static int read_in_pieces(struct log *log, const char *form, size_t size, size_t first, size_t step)
{
	struct im_multipart *reader = malloc(sizeof(*reader));
	size_t at = 0;
	int r;

	assert_non_null(reader);
	assert_int_equal(im_multipart_init(reader, TYPE, &events, log), 0);
	r = 0;
	while (at < size && r == 0) {
		size_t piece = at == 0 && first > 0 ? first : step;

		piece = piece < size - at ? piece : size - at;
		r = im_multipart_feed(reader, form + at, piece);
		at += piece;
	}
	r = r == 0 ? im_multipart_finish(reader) : r;
	free(reader);
	return r;
}

/** Every split in two, and every even size of pieces, gives what is expected. */
static void expect(
	const char *form, size_t size, int verdict, const char *wanted, size_t wanted_size)
{
	for (size_t split = 0; split <= size; split++) {
		struct log log = {0};

		assert_int_equal(read_in_pieces(&log, form, size, split, size), verdict);
		assert_int_equal(log.text.size, wanted_size);
		assert_memory_equal(ur_text_get(&log.text), wanted, wanted_size);
		ur_text_done(&log.text);
	}
	for (size_t step = 1; step <= size && step < 64; step++) {
		struct log log = {0};

		assert_int_equal(read_in_pieces(&log, form, size, 0, step), verdict);
		assert_int_equal(log.text.size, wanted_size);
		assert_memory_equal(ur_text_get(&log.text), wanted, wanted_size);
		ur_text_done(&log.text);
	}
}

static void expect_text(const char *form, int verdict, const char *wanted)
{
	expect(form, strlen(form), verdict, wanted, strlen(wanted));
}

static void parts_come_in_their_order_wherever_the_form_is_cut(void **state)
{
	(void)state;
	expect_text("--edge\r\nContent-Disposition: form-data; name=\"one\"\r\n\r\n1"
		    "\r\n" PART "bytes\r\nand lines\r\n"
		    "\r\n--edge\r\nContent-Disposition: form-data; name=two\r\n"
		    "Content-Type: text/plain\r\n\r\nzwei" END,
		0, "[one]1.[f|a.jpg]bytes\r\nand lines\r\n.[two]zwei.");
}

static void data_that_looks_like_a_boundary_stays_data(void **state)
{
	(void)state;
	expect_text(PART "\r\n--edg\r\n-edge\r\r\n--edgE\r\n\r\n--\r" END, 0,
		"[f|a.jpg]\r\n--edg\r\n-edge\r\r\n--edgE\r\n\r\n--\r.");
	expect_text(PART "--edge\r\n--ed--edge\n--edge" END, 0,
		"[f|a.jpg]--edge\r\n--ed--edge\n--edge.");
	expect_text(PART "\r" END, 0, "[f|a.jpg]\r.");
	expect_text(PART "\r\n" END, 0, "[f|a.jpg]\r\n.");
}

static void a_file_may_be_empty(void **state)
{
	(void)state;
	expect_text(PART END, 0, "[f|a.jpg].");
}

static void bytes_are_kept_whatever_they_are(void **state)
{
	char form[512];
	char wanted[512];
	size_t size = strlen(PART);
	size_t wanted_size = strlen("[f|a.jpg]");

	(void)state;
	memcpy(form, PART, size);
	memcpy(wanted, "[f|a.jpg]", wanted_size);
	for (int i = 0; i < 256; i++) {
		form[size++] = (char)i;
		wanted[wanted_size++] = (char)i;
	}
	memcpy(form + size, END, strlen(END));
	wanted[wanted_size++] = '.';
	expect(form, size + strlen(END), 0, wanted, wanted_size);
}

static void what_is_before_and_behind_the_parts_is_ignored(void **state)
{
	(void)state;
	expect_text(
		"preamble\r\n--edg\r\n" PART "x" END "epilogue\r\n--edge\r\n", 0, "[f|a.jpg]x.");
}

static void a_part_without_a_name_is_skipped(void **state)
{
	(void)state;
	expect_text("--edge\r\nContent-Type: text/plain\r\n\r\nnobody's\r\n" PART "x" END, 0,
		"[f|a.jpg]x.");
	expect_text("--edge\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n" PART
		    "x" END,
		0, "[f|a.jpg]x.");
}

static void a_form_that_ends_early_is_told_from_a_whole_one(void **state)
{
	const char *form = PART "x" END;

	(void)state;
	for (size_t size = 0; size < strlen(form) - 2; size++) {
		struct log log = {0};

		assert_int_equal(read_in_pieces(&log, form, size, 0, 7), -EPIPE);
		ur_text_done(&log.text);
	}
}

static void malformed_headers_end_the_form(void **state)
{
	(void)state;
	expect_text(
		"--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\nb\"\r\n\r\nx" END,
		-EBADMSG, "");
	expect_text("--edge\r\nno colon\r\n\r\nx" END, -EBADMSG, "");
	expect_text("--edge\r\n: no name\r\n\r\nx" END, -EBADMSG, "");
	expect_text("--edge\r\nA: \x01\r\n\r\nx" END, -EBADMSG, "");
}

static void headers_have_an_end(void **state)
{
	struct log log = {0};
	size_t size = IM_PART_HEAD_MAX + 64;
	char *form = malloc(size);

	(void)state;
	assert_non_null(form);
	memset(form, 'a', size);
	memcpy(form, "--edge\r\nA:", 10);
	assert_int_equal(read_in_pieces(&log, form, size, 0, 1000), -EBADMSG);
	free(form);
	ur_text_done(&log.text);
}

/** One file part with this disposition's tail; the name as it was understood. */
static void expect_name(const char *tail, const char *wanted)
{
	char form[512];
	char log[256];

	(void)snprintf(form, sizeof(form),
		"--edge\r\nContent-Disposition: form-data; name=\"f\"; %s\r\n\r\nx" END, tail);
	(void)snprintf(log, sizeof(log), "[f|%s]x.", wanted);
	expect_text(form, 0, log);
}

static void names_are_read_as_the_server_reads_them(void **state)
{
	(void)state;
	expect_name("filename=\"a b.jpg\"", "a b.jpg");
	expect_name("filename=plain.jpg", "plain.jpg");
	expect_name("filename=\"a \\\"quoted\\\" b.jpg\"", "a \"quoted\" b.jpg");
	expect_name("filename=\"a%22b%0A.jpg\"", "a%22b%0A.jpg");
	expect_name("filename=\"dir/sub/x.jpg\"", "x.jpg");
	expect_name("filename=\"dir\\\\sub\\\\x.jpg\"", "x.jpg");
	expect_name("filename=\"../../x.jpg\"", "x.jpg");
	expect_name("filename=\"..\"", "");
	expect_name("filename=\"\xe5\x86\x99\xe7\x9c\x9f \xf0\x9f\x98\x80.jpg\"",
		"\xe5\x86\x99\xe7\x9c\x9f \xf0\x9f\x98\x80.jpg");
	expect_name("filename=\"caf\xe9.jpg\"", "caf\xef\xbf\xbd.jpg");
	expect_name("filename=\"plain.jpg\"; filename*=UTF-8''%E5%86%99%E7%9C%9F.jpg",
		"\xef\xbf\xbd\x1f.jpg");
}

static void a_boundary_is_needed(void **state)
{
	static const char *const types[] = {"multipart/form-data", "multipart/form-data; charset=x",
		"multipart/form-data; boundary=", "multipart/form-data; boundary=\"open", ""};
	struct im_multipart *reader = malloc(sizeof(*reader));

	(void)state;
	assert_non_null(reader);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(im_multipart_init(reader, types[i], &events, NULL), -EINVAL);
	}
	assert_int_equal(im_multipart_init(reader,
				 "multipart/form-data; charset=x; Boundary=\"a b\"", &events, NULL),
		0);
	free(reader);
}

static void what_a_callback_returns_ends_the_form(void **state)
{
	struct log log = {.refuse = 77};

	(void)state;
	assert_int_equal(
		read_in_pieces(&log, PART "x" END PART, strlen(PART "x" END PART), 0, 5), 77);
	assert_string_equal(ur_text_get(&log.text), "[f|a.jpg]");
	ur_text_done(&log.text);
}

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 16;
}

/** Data made of the boundary's own bytes, in pieces of any size: nothing is lost or added. */
static void any_data_survives_any_cut(void **state)
{
	static const char alphabet[] = "\r\n-edgE";
	const char *seed_text = getenv("UR_SEED");
	uint32_t seed =
		seed_text != NULL ? (uint32_t)strtoul(seed_text, NULL, 10) : (uint32_t)time(NULL);
	uint32_t random = seed;

	(void)state;
	print_message("UR_SEED=%u\n", seed);
	for (int round = 0; round < 3000; round++) {
		struct ur_text form = {0};
		struct ur_text wanted = {0};
		struct log log = {0};
		size_t size = next(&random) % 80;

		ur_text_adds(&form, PART);
		ur_text_adds(&wanted, "[f|a.jpg]");
		for (size_t i = 0; i < size; i++) {
			char c = alphabet[next(&random) % (sizeof(alphabet) - 1)];

			ur_text_add(&wanted, &c, 1);
			if (strstr(ur_text_get(&wanted), "\r\n--edge") != NULL) {
				wanted.bytes[wanted.size - 1] = 'x';
			}
		}
		ur_text_adds(&form, ur_text_get(&wanted) + strlen("[f|a.jpg]"));
		ur_text_adds(&form, END);
		ur_text_adds(&wanted, ".");
		assert_int_equal(read_in_pieces(&log, ur_text_get(&form), form.size,
					 next(&random) % 90, 1 + next(&random) % 9),
			0);
		assert_string_equal(ur_text_get(&log.text), ur_text_get(&wanted));
		ur_text_done(&log.text);
		ur_text_done(&form);
		ur_text_done(&wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_come_in_their_order_wherever_the_form_is_cut),
		cmocka_unit_test(data_that_looks_like_a_boundary_stays_data),
		cmocka_unit_test(a_file_may_be_empty),
		cmocka_unit_test(bytes_are_kept_whatever_they_are),
		cmocka_unit_test(what_is_before_and_behind_the_parts_is_ignored),
		cmocka_unit_test(a_part_without_a_name_is_skipped),
		cmocka_unit_test(a_form_that_ends_early_is_told_from_a_whole_one),
		cmocka_unit_test(malformed_headers_end_the_form),
		cmocka_unit_test(headers_have_an_end),
		cmocka_unit_test(names_are_read_as_the_server_reads_them),
		cmocka_unit_test(a_boundary_is_needed),
		cmocka_unit_test(what_a_callback_returns_ends_the_form),
		cmocka_unit_test(any_data_survives_any_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
