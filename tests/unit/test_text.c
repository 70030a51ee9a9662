/* text - notations: what goes in comes out, and what is no notation is refused. */
#include "engine/base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void text_grows_and_keeps_every_byte(void **state)
{
	struct ur_text text = {0};
	(void)state;
	for (int i = 0; i < 10000; i++) {
		ur_text_addf(&text, "%d,", i);
	}
	assert_true(ur_text_ok(&text));
	assert_int_equal(text.size, strlen(text.bytes));
	assert_memory_equal(text.bytes, "0,1,2,3,", 8);
	assert_string_equal(text.bytes + text.size - 10, "9998,9999,");
	ur_text_done(&text);
}

static void json_strings_escape_what_json_forbids(void **state)
{
	struct ur_text text = {0};
	(void)state;
	ur_text_add_json(&text, "a\"b\\c\n\x01\xc3\xa9\xff", 10);
	assert_string_equal(ur_text_get(&text), "\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\\ufffd\"");
	ur_text_done(&text);
}

static void nothing_that_moves_a_cursor_is_shown_as_it_is(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		struct ur_text text = {0};
		const char one = (char)byte;
		ur_text_add_shown(&text, &one, 1);
		for (size_t i = 0; i < text.size; i++) {
			const unsigned char c = (unsigned char)text.bytes[i];
			assert_true(c >= 0x20 && c < 0x7f);
		}
		ur_text_done(&text);
	}
	struct ur_text text = {0};
	ur_text_add_shown(&text,
		"\xe2\x80\xae"
		"gpj.exe\x1b[2J",
		14);
	assert_string_equal(ur_text_get(&text), "\\u{202e}gpj.exe\\x1b[2J");
	ur_text_done(&text);
}

static void utf8_is_judged_as_the_standard_does(void **state)
{
	(void)state;
	assert_true(ur_utf8_valid("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xb7", 11));
	assert_false(ur_utf8_valid("\xc0\x80", 2));         // overlong
	assert_false(ur_utf8_valid("\xed\xa0\x80", 3));     // a surrogate
	assert_false(ur_utf8_valid("\xf4\x90\x80\x80", 4)); // beyond the last code point
	assert_false(ur_utf8_valid("\xe2\x82", 2));         // cut
}

static void base64_comes_back_for_every_length(void **state)
{
	(void)state;
	unsigned char bytes[70];
	unsigned char back[70];
	char text[UR_BASE64_ROOM(70)];
	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] = (unsigned char)(i * 37 + 11);
	}
	for (size_t size = 0; size <= sizeof bytes; size++) {
		ur_base64(bytes, size, text);
		assert_int_equal(strlen(text), (size + 2) / 3 * 4);
		assert_int_equal(ur_unbase64(text, back, sizeof back), size);
		assert_memory_equal(back, bytes, size);
	}
	assert_int_equal(ur_unbase64("abc", back, sizeof back), -EINVAL);
	assert_int_equal(ur_unbase64("ab=c", back, sizeof back), -EINVAL);
	assert_int_equal(ur_unbase64("a===", back, sizeof back), -EINVAL);
	assert_int_equal(ur_unbase64("AAAA", back, 2), -EINVAL);
}

static void hex_comes_back_and_nothing_else_passes(void **state)
{
	(void)state;
	char hex[9];
	unsigned char back[4];
	ur_hex("\x00\x7f\x80\xff", 4, hex);
	assert_string_equal(hex, "007f80ff");
	assert_true(ur_unhex("007F80fF", 4, back));
	assert_memory_equal(back, "\x00\x7f\x80\xff", 4);
	assert_false(ur_unhex("007f80f", 4, back));
	assert_false(ur_unhex("007f80fg", 4, back));
}

static void sizes_and_durations_are_read_with_their_units_only(void **state)
{
	(void)state;
	uint64_t bytes = 0;
	int64_t ms = 0;
	assert_int_equal(ur_parse_bytes("1.5G", &bytes), 0);
	assert_int_equal(bytes, 1610612736);
	assert_int_equal(ur_parse_bytes("32MiB", &bytes), 0);
	assert_int_equal(bytes, 33554432);
	assert_int_equal(ur_parse_bytes("12 apples", &bytes), -EINVAL);
	assert_int_equal(ur_parse_bytes("-1", &bytes), -EINVAL);
	assert_int_equal(ur_parse_bytes("", &bytes), -EINVAL);
	assert_int_equal(ur_parse_duration("90", &ms), 0);
	assert_int_equal(ms, 90000);
	assert_int_equal(ur_parse_duration("250ms", &ms), 0);
	assert_int_equal(ms, 250);
	assert_int_equal(ur_parse_duration("2h", &ms), 0);
	assert_int_equal(ms, 7200000);
	assert_int_equal(ur_parse_duration("nan", &ms), -EINVAL);
	assert_int_equal(ur_parse_duration("1x", &ms), -EINVAL);
}

static void shown_sizes_are_short_and_rounded(void **state)
{
	(void)state;
	char text[16];
	ur_show_bytes(0, text);
	assert_string_equal(text, "0 B");
	ur_show_bytes(1536, text);
	assert_string_equal(text, "1.5 KiB");
	ur_show_bytes(1048575, text);
	assert_string_equal(text, "1.0 MiB");
	ur_show_bytes(UINT64_MAX, text);
	assert_string_equal(text, "16.0 EiB");
}

static void a_format_of_any_length_is_whole(void **state)
{
	struct ur_text text = {0};
	struct ur_text all = {0};
	(void)state;
	for (int n = 0; n < 700; n++) {
		ur_text_clear(&text);
		ur_text_addf(&text, "<%*d>", n, 7);
		assert_int_equal(text.size, (n < 1 ? 1 : n) + 2);
		assert_int_equal(strlen(ur_text_get(&text)), text.size);
		assert_int_equal(text.bytes[text.size - 1], '>');
		ur_text_addf(&all, "%*d", n, 7);
	}
	assert_true(ur_text_ok(&all));
	assert_int_equal(all.size, 699 * 700 / 2 + 1);
	assert_int_equal(strlen(ur_text_get(&all)), all.size);
	ur_text_done(&text);
	ur_text_done(&all);
}

static void a_mark_is_only_what_stands_at_the_head(void **state)
{
	(void)state;
	assert_int_equal(ur_text_mark("\xef\xbb\xbfkey", 6), 3);
	assert_int_equal(ur_text_mark("\xef\xbb\xbf", 3), 3);
	assert_int_equal(ur_text_mark("\xef\xbb", 2), 0);
	assert_int_equal(ur_text_mark("k\xef\xbb\xbf", 4), 0);
	assert_int_equal(ur_text_mark("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_is_only_what_stands_at_the_head),
		cmocka_unit_test(a_format_of_any_length_is_whole),
		cmocka_unit_test(text_grows_and_keeps_every_byte),
		cmocka_unit_test(json_strings_escape_what_json_forbids),
		cmocka_unit_test(nothing_that_moves_a_cursor_is_shown_as_it_is),
		cmocka_unit_test(utf8_is_judged_as_the_standard_does),
		cmocka_unit_test(base64_comes_back_for_every_length),
		cmocka_unit_test(hex_comes_back_and_nothing_else_passes),
		cmocka_unit_test(sizes_and_durations_are_read_with_their_units_only),
		cmocka_unit_test(shown_sizes_are_short_and_rounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
