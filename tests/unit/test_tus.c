/* tus - what the protocol allows is read, everything else is refused with the header's name. */
#include "engine/net/tus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- numbers --------------------------------------------------------------------------------- */

static void a_number_is_decimal_digits(void **state)
{
	uint64_t value = 7;
	(void)state;
	assert_int_equal(ur_tus_number("0", &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(ur_tus_number("0010", &value), 0);
	assert_int_equal(value, 10);
	assert_int_equal(ur_tus_number("9223372036854775807", &value), 0);
	assert_true(value == UR_TUS_LENGTH_MAX);
}

static void a_number_is_nothing_but_digits(void **state)
{
	static const char *const bad[] = {"", " ", "-1", "+1", " 1", "1 ", "1.0", "0x10", "1e3",
		"1,2", "1\n", "\xd9\xa1", "9223372036854775807x", "99999999999999999999-"};
	uint64_t value = 7;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(ur_tus_number(bad[i], &value), -EBADMSG);
	}
	assert_int_equal(value, 7);
}

static void a_number_does_not_overflow(void **state)
{
	static const char *const large[] = {"9223372036854775808", "18446744073709551615",
		"18446744073709551616", "18446744073709551617", "99999999999999999999",
		"100000000000000000000000000000000000000000"};
	uint64_t value = 7;
	(void)state;
	for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
		assert_int_equal(ur_tus_number(large[i], &value), -EMSGSIZE);
	}
	assert_int_equal(value, 7);
}

static void an_id_is_32_lower_case_hexadecimal_digits(void **state)
{
	(void)state;
	assert_true(ur_tus_is_id("0123456789abcdef0123456789abcdef"));
	assert_false(ur_tus_is_id(""));
	assert_false(ur_tus_is_id("0123456789abcdef0123456789abcde"));
	assert_false(ur_tus_is_id("0123456789abcdef0123456789abcdef0"));
	assert_false(ur_tus_is_id("0123456789ABCDEF0123456789abcdef"));
	assert_false(ur_tus_is_id("../../etc/passwd0123456789abcdef"));
	assert_false(ur_tus_is_id("0123456789abcdef/123456789abcdef"));
	assert_false(ur_tus_is_id("0123456789abcdef0123456789abcde."));
}

/* ---- checksums ------------------------------------------------------------------------------- */

static void a_checksum_is_read_and_written(void **state)
{
	static const char *const good[] = {
		"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "xxh128 AAECAwQFBgcICQoLDA0ODw=="};
	struct ur_tus_checksum checksum;
	char again[64];
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(ur_tus_checksum_read(good[i], &checksum, NULL), 0);
		assert_int_equal(checksum.size, i == 0 ? 20 : 16);
		assert_int_equal(checksum.algorithm, i == 0 ? UR_TUS_SHA1 : UR_TUS_XXH128);
		ur_tus_checksum_write(&checksum, again);
		assert_string_equal(again, good[i]);
	}
	assert_int_equal(checksum.bytes[15], 15);
}

static void another_algorithm_is_not_supported(void **state)
{
	static const char *const other[] = {"md5 AAECAwQFBgcICQoLDA0ODw==", "crc32 AAECAw==",
		"SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha11 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
		"sha Kq5sNclPz7QV2+lfQIuc6R7oRu0="};
	struct ur_tus_checksum checksum;
	(void)state;
	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		struct ur_err err = {0};
		assert_int_equal(ur_tus_checksum_read(other[i], &checksum, &err), -ENOTSUP);
		assert_non_null(strstr(err.text, "sha1,xxh128"));
	}
}

static void a_malformed_checksum_is_refused(void **state)
{
	static const char *const bad[] = {"", " ", "sha1", "sha1 ", " Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
		"sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0= ",
		"sha1\tKq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0",
		"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu1=", "sha1 AAECAwQFBgcICQoLDA0ODw==",
		"xxh128 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1 Kq5sNclPz7QV2-lfQIuc6R7oRu0=",
		"sha\x01 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "md5 !!!!"};
	struct ur_tus_checksum checksum = {.size = 99};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ur_err err = {0};
		assert_int_equal(ur_tus_checksum_read(bad[i], &checksum, &err), -EBADMSG);
		assert_memory_equal(err.text, "Upload-Checksum: ", 17);
	}
	assert_int_equal(checksum.size, 99);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static void add(struct ur_text *text, const char *key, const char *value)
{
	ur_tus_metadata_add(text, key, value, strlen(value));
}

static int read_one(const char *key, const char *bytes, size_t size, struct ur_tus_metadata *ret,
	struct ur_err *err)
{
	struct ur_text text = {0};
	ur_tus_metadata_add(&text, key, bytes, size);
	const int r = ur_tus_metadata_read(ur_text_get(&text), ret, err);
	ur_text_done(&text);
	return r;
}

static int read_as(const char *key, const char *value, struct ur_tus_metadata *ret)
{
	return read_one(key, value, strlen(value), ret, NULL);
}

static void refused(const char *key, const char *bytes, size_t size)
{
	struct ur_tus_metadata read = {.filename = "untouched"};
	struct ur_err err = {0};
	char quoted[64];
	(void)snprintf(quoted, sizeof quoted, "Upload-Metadata: \"%s\" ", key);
	assert_int_equal(read_one(key, bytes, size, &read, &err), -EBADMSG);
	assert_memory_equal(err.text, quoted, strlen(quoted));
	assert_string_equal(read.filename, "untouched");
}

static void all_fields_are_read(void **state)
{
	struct ur_text text = {0};
	struct ur_tus_metadata read;
	const uint8_t first[] = {0x2a, 0xae, 0x6c, 0x35};
	(void)state;
	add(&text, "filename", "Grüße \"1\" \\ ü.jpg");
	add(&text, "filetype", "image/jpeg");
	add(&text, "checksum", "Kq5sNclPz7QV2+lfQIuc6R7oRu0=");
	add(&text, "sha1", "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed");
	add(&text, "fileCreatedAt", "2024-05-06T07:08:09.123Z");
	add(&text, "fileModifiedAt", "2024-05-06T07:08:09+02:00");
	add(&text, "deviceAssetId", "a-1");
	add(&text, "deviceId", "phone");
	add(&text, "livePhotoVideoId", "01234567-89ab-cdef-0123-456789abcdef");
	add(&text, "livePhotoVideo", "0123456789abcdef0123456789abcdef");
	add(&text, "sidecar", "ffffffffffffffffffffffffffffffff");
	add(&text, "role", "sidecar");
	add(&text, "isFavorite", "true");
	add(&text, "visibility", "archive");
	assert_int_equal(ur_tus_metadata_read(ur_text_get(&text), &read, NULL), 0);
	assert_string_equal(read.filename, "Grüße \"1\" \\ ü.jpg");
	assert_string_equal(read.type, "image/jpeg");
	assert_true(read.has_sha1);
	assert_memory_equal(read.sha1, first, sizeof first);
	assert_string_equal(read.created, "2024-05-06T07:08:09.123Z");
	assert_string_equal(read.modified, "2024-05-06T07:08:09+02:00");
	assert_string_equal(read.device_asset, "a-1");
	assert_string_equal(read.device, "phone");
	assert_string_equal(read.live_movie, "01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(read.movie_upload, "0123456789abcdef0123456789abcdef");
	assert_string_equal(read.sidecar_upload, "ffffffffffffffffffffffffffffffff");
	assert_true(read.is_sidecar);
	assert_true(read.favorite);
	assert_string_equal(read.visibility, "archive");
	ur_text_done(&text);
}

static void fields_of_others_are_neither_refused_nor_kept(void **state)
{
	struct ur_tus_metadata read;
	struct ur_tus_metadata nothing = {0};
	(void)state;
	assert_int_equal(ur_tus_metadata_read("is_confidential", &read, NULL), 0);
	assert_memory_equal(&read, &nothing, sizeof read);
	assert_int_equal(ur_tus_metadata_read("FileName YQ==,thumb AAEC\t, x", &read, NULL), 0);
	assert_memory_equal(&read, &nothing, sizeof read);
	assert_int_equal(ur_tus_metadata_read("", &read, NULL), 0);
	assert_memory_equal(&read, &nothing, sizeof read);
}

static void a_field_may_be_empty(void **state)
{
	struct ur_tus_metadata read;
	(void)state;
	assert_int_equal(ur_tus_metadata_read("filename,sha1 ,checksum,isFavorite,role,visibility,"
					      "fileCreatedAt,sidecar,livePhotoVideoId ,name YQ==",
				 &read, NULL),
		0);
	assert_string_equal(read.filename, "a");
	assert_false(read.has_sha1);
	assert_false(read.favorite);
}

static void filename_wins_over_name_in_any_order(void **state)
{
	struct ur_tus_metadata read;
	(void)state;
	assert_int_equal(ur_tus_metadata_read("name YWE=,filename Yg==", &read, NULL), 0);
	assert_string_equal(read.filename, "b");
	assert_int_equal(ur_tus_metadata_read("filename Yg==,name YWE=", &read, NULL), 0);
	assert_string_equal(read.filename, "b");
}

static void a_malformed_header_is_refused(void **state)
{
	static const char *const bad[] = {",", "a,,b", "a,", " ", "name YQ", "name YR==",
		"name YQ== YQ==", "name  YQ==", "name Y-==", "name YQ==,name Yg==", "a,b,a",
		"na\x01me YQ==", "n\xc3\xa4me YQ==", "name YQ=\n",
		"x ////=", "name =", "name\tYQ=="};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ur_tus_metadata read = {.filename = "untouched"};
		struct ur_err err = {0};
		assert_int_equal(ur_tus_metadata_read(bad[i], &read, &err), -EBADMSG);
		assert_memory_equal(err.text, "Upload-Metadata: pair ", 22);
		assert_string_equal(read.filename, "untouched");
	}
}

static void control_bytes_and_broken_text_are_refused(void **state)
{
	static const char *const keys[] = {"filename", "name", "filetype", "type", "deviceAssetId",
		"deviceId", "fileCreatedAt"};
	(void)state;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		refused(keys[i], "a\r\nX-Evil: 1", 12);
		refused(keys[i], "a\nb", 3);
		refused(keys[i], "a\0b", 3);
		refused(keys[i], "a\x7f", 2);
		refused(keys[i], "a\x1b[2J", 5);
		refused(keys[i], "a\xff", 2);
		refused(keys[i], "\xc0\xaf", 2);
	}
}

static void what_is_too_long_is_refused(void **state)
{
	char text[UR_TUS_METADATA_MAX + 2];
	struct ur_tus_metadata read;
	struct ur_err err = {0};
	(void)state;
	memset(text, 'a', sizeof text);
	text[UR_TUS_NAME_MAX] = '\0';
	refused("filename", text, UR_TUS_NAME_MAX);
	assert_int_equal(read_one("filename", text, UR_TUS_NAME_MAX - 1, &read, NULL), 0);
	assert_int_equal(strlen(read.filename), UR_TUS_NAME_MAX - 1);
	refused("deviceId", text, 256);
	refused("type", text, 128);
	text[UR_TUS_NAME_MAX] = 'a';
	text[UR_TUS_METADATA_MAX + 1] = '\0';
	assert_int_equal(ur_tus_metadata_read(text, &read, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "8192"));
	text[UR_TUS_METADATA_MAX] = '\0';
	assert_int_equal(ur_tus_metadata_read(text, &read, NULL), 0); // one long key
}

static void the_number_of_pairs_is_bounded(void **state)
{
	struct ur_text text = {0};
	struct ur_tus_metadata read;
	(void)state;
	for (int i = 0; i < 64; i++) {
		ur_text_addf(&text, "%sk%d", i > 0 ? "," : "", i);
	}
	assert_int_equal(ur_tus_metadata_read(ur_text_get(&text), &read, NULL), 0);
	ur_text_adds(&text, ",one-more");
	assert_int_equal(ur_tus_metadata_read(ur_text_get(&text), &read, NULL), -EBADMSG);
	ur_text_done(&text);
}

static void a_sha1_is_base64_or_hexadecimal_and_only_one(void **state)
{
	struct ur_tus_metadata read;
	(void)state;
	assert_int_equal(read_as("sha1", "Kq5sNclPz7QV2+lfQIuc6R7oRu0=", &read), 0);
	assert_true(read.has_sha1);
	assert_int_equal(read_as("checksum", "2AAE6C35C94FCFB415DBE95F408B9CE91EE846ED", &read), 0);
	assert_true(read.has_sha1);
	refused("sha1", "2aae6c35c94fcfb415dbe95f408b9ce91ee846e", 39);
	refused("sha1", "2aae6c35c94fcfb415dbe95f408b9ce91ee846eg", 40);
	refused("checksum", "AAECAwQFBgcICQoLDA0ODw==", 24);
	refused("checksum", "Kq5sNclPz7QV2+lfQIuc6R7oRu0=\0x", 30);
	refused("checksum", "Kq5sNclPz7QV2+lfQIuc6R7oRu1=", 28);
	struct ur_text text = {0};
	struct ur_err err = {0};
	add(&text, "checksum", "Kq5sNclPz7QV2+lfQIuc6R7oRu0=");
	add(&text, "sha1", "0000000000000000000000000000000000000000");
	assert_int_equal(ur_tus_metadata_read(ur_text_get(&text), &read, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "another field"));
	ur_text_done(&text);
}

static void ids_dates_and_words_are_exact(void **state)
{
	static const struct {
		const char *key;
		const char *value;
	} bad[] = {
		{"livePhotoVideoId", "01234567-89ab-cdef-0123-456789abcde"},
		{"livePhotoVideoId", "01234567-89ab-cdef-0123-456789abcdefa"},
		{"livePhotoVideoId", "0123456789abcdef0123456789abcdef"},
		{"livePhotoVideoId", "../../../etc/passwd"},
		{"livePhotoVideo", "01234567-89ab-cdef-0123-456789abcdef"},
		{"sidecar", "../0123456789abcdef0123456789abc"},
		{"sidecar", "0123456789ABCDEF0123456789ABCDEF"},
		{"fileCreatedAt", "yesterday"},
		{"fileModifiedAt", "2024-13-01T00:00:00Z"},
		{"role", "owner"},
		{"isFavorite", "1"},
		{"isFavorite", "true "},
		{"visibility", "everywhere"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		refused(bad[i].key, bad[i].value, strlen(bad[i].value));
	}
	refused("visibility", "archive\0", 8);
	struct ur_tus_metadata read;
	assert_int_equal(read_as("isFavorite", "false", &read), 0);
	assert_false(read.favorite);
	assert_int_equal(read_as("role", "asset", &read), 0);
	assert_false(read.is_sidecar);
}

static void a_name_stays_a_name_whatever_it_looks_like(void **state)
{
	static const char *const names[] = {"../../etc/passwd", "/etc/passwd", "..", "a/b.jpg",
		"C:\\a.jpg", "%2e%2e", "\"quoted\"; filename=\"x\"", " blanks "};
	struct ur_tus_metadata read;
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		assert_int_equal(read_as("filename", names[i], &read), 0);
		assert_string_equal(read.filename, names[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_is_decimal_digits),
		cmocka_unit_test(a_number_is_nothing_but_digits),
		cmocka_unit_test(a_number_does_not_overflow),
		cmocka_unit_test(an_id_is_32_lower_case_hexadecimal_digits),
		cmocka_unit_test(a_checksum_is_read_and_written),
		cmocka_unit_test(another_algorithm_is_not_supported),
		cmocka_unit_test(a_malformed_checksum_is_refused),
		cmocka_unit_test(all_fields_are_read),
		cmocka_unit_test(fields_of_others_are_neither_refused_nor_kept),
		cmocka_unit_test(a_field_may_be_empty),
		cmocka_unit_test(filename_wins_over_name_in_any_order),
		cmocka_unit_test(a_malformed_header_is_refused),
		cmocka_unit_test(control_bytes_and_broken_text_are_refused),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(the_number_of_pairs_is_bounded),
		cmocka_unit_test(a_sha1_is_base64_or_hexadecimal_and_only_one),
		cmocka_unit_test(ids_dates_and_words_are_exact),
		cmocka_unit_test(a_name_stays_a_name_whatever_it_looks_like),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
