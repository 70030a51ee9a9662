/* immich - answers as a real server gave them, and as a strange one might. */
#include "engine/net/immich.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "426dd542-f562-4757-9dc5-eaf7d1c47147"
#define OWNER "867754c0-e285-4e09-a706-4f45be2dfc33"

static void versions_choose_the_dialect(void **state)
{
	struct ur_server s = {0};
	(void)state;
	assert_int_equal(
		ur_immich_read_version("{\"major\":2,\"minor\":5,\"patch\":6}", &s, NULL), 0);
	assert_true(s.in_range && s.dialect->device_fields);
	assert_int_equal(
		ur_immich_read_version("{\"major\":3,\"minor\":2,\"patch\":2}", &s, NULL), 0);
	assert_true(s.in_range && !s.dialect->device_fields);
	assert_int_equal(
		ur_immich_read_version("{\"major\":2,\"minor\":4,\"patch\":0}", &s, NULL), 0);
	assert_false(s.in_range);
	assert_true(s.dialect->device_fields);
	assert_int_equal(ur_immich_read_version("{\"major\":7,\"minor\":0,\"x\":[]}", &s, NULL), 0);
	assert_false(s.in_range);
	assert_false(s.dialect->device_fields);
	assert_int_equal(ur_immich_read_version("<html>", &s, NULL), -EBADMSG);
	assert_int_equal(ur_immich_read_version("{\"major\":\"2\"}", &s, NULL), -EBADMSG);
}

static void users_and_keys_are_read_and_unknown_fields_ignored(void **state)
{
	struct ur_server s = {0};
	(void)state;
	assert_int_equal(ur_immich_read_user("{\"id\":\"" OWNER "\",\"name\":\"Ann\",\"new\":{},"
					     "\"quotaSizeInBytes\":1000,\"quotaUsageInBytes\":10}",
				 &s, NULL),
		0);
	assert_string_equal(s.user_id, OWNER);
	assert_int_equal(s.quota_bytes, 1000);
	assert_int_equal(
		ur_immich_read_user("{\"id\":\"" OWNER "\",\"quotaSizeInBytes\":null}", &s, NULL),
		0);
	assert_int_equal(s.quota_bytes, -1);
	assert_int_equal(ur_immich_read_user("{\"id\":\"../../etc/passwd\"}", &s, NULL), -EBADMSG);
	assert_int_equal(
		ur_immich_read_key("{\"permissions\":[\"asset.upload\",\"user.read\"]}", &s, NULL),
		0);
	assert_true(s.may_upload);
	assert_false(s.may_download || s.may_read || s.may_update || s.may_tag);
	assert_int_equal(ur_immich_read_key("{\"permissions\":[\"all\"]}", &s, NULL), 0);
	assert_true(s.may_upload && s.may_download && s.may_read && s.may_update && s.may_tag);
}

static void every_shape_of_complaint_becomes_a_sentence(void **state)
{
	char text[UR_MESSAGE_MAX];
	(void)state;
	ur_immich_message(
		400, "{\"message\":\"Quota has been exceeded!\",\"statusCode\":400}", false, text);
	assert_string_equal(text, "Quota has been exceeded! (HTTP 400)");
	ur_immich_message(400, "{\"message\":[\"a is bad\",\"b too\"]}", false, text);
	assert_string_equal(text, "a is bad; b too (HTTP 400)");
	ur_immich_message(400,
		"{\"message\":\"Validation failed\",\"errors\":[{\"path\":[\"assets\",0,\"id\"],"
		"\"message\":\"must be text\"}]}",
		false, text);
	assert_string_equal(text, "Validation failed; assets.0.id: must be text (HTTP 400)");
	ur_immich_message(413, "<html><h1>413</h1>", true, text);
	assert_non_null(strstr(text, "proxy"));
	ur_immich_message(500, "\x1b[2Jwhat", false, text);
	assert_null(strchr(text, '\x1b'));
	assert_non_null(strstr(text, "what"));
	ur_immich_message(502, "", false, text);
	assert_string_equal(text, "(HTTP 502)");
}

static void answers_about_checksums_must_cover_every_question(void **state)
{
	struct ur_check checks[3];
	(void)state;
	assert_int_equal(
		ur_immich_check_read(
			"{\"results\":[{\"id\":\"1\",\"action\":\"reject\",\"reason\":"
			"\"duplicate\",\"assetId\":\"" ID "\",\"isTrashed\":true},"
			"{\"id\":\"0\",\"action\":\"accept\"},{\"id\":\"2\",\"action\":\"reject\","
			"\"reason\":\"duplicate\",\"assetId\":\"" ID "\",\"isTrashed\":false}]}",
			checks, 3, NULL),
		0);
	assert_false(checks[0].there);
	assert_true(checks[1].there && checks[1].trashed);
	assert_true(checks[2].there && !checks[2].trashed);
	assert_string_equal(checks[2].asset, ID);
	assert_int_equal(
		ur_immich_check_read(
			"{\"results\":[{\"id\":\"0\",\"action\":\"accept\"}]}", checks, 2, NULL),
		-EBADMSG);
	assert_int_equal(
		ur_immich_check_read(
			"{\"results\":[{\"id\":\"7\",\"action\":\"accept\"}]}", checks, 1, NULL),
		-EBADMSG);
	assert_int_equal(ur_immich_check_read("{\"results\":[{\"id\":\"0\",\"action\":\"reject\","
					      "\"reason\":\"duplicate\"}]}",
				 checks, 1, NULL),
		-EBADMSG);
}

static size_t place_of(const struct ur_text *text, const char *what)
{
	const char *at = strstr(ur_text_get(text), what);
	assert_non_null(at);
	return (size_t)(at - text->bytes);
}

static void the_form_has_its_parts_in_the_order_that_works(void **state)
{
	struct ur_server s = {0};
	struct ur_text head = {0};
	struct ur_text middle = {0};
	struct ur_text tail = {0};
	const struct ur_upload_fields fields = {
		.name = "IMG \"1\".jpg",
		.created_ns = 1714979289 * INT64_C(1000000000),
		.modified_ns = 1714979289 * INT64_C(1000000000),
		.size = 10,
		.live_movie = ID,
		.sidecar_name = "IMG.xmp",
		.sidecar_size = 3,
	};
	(void)state;
	assert_int_equal(
		ur_immich_read_version("{\"major\":2,\"minor\":5,\"patch\":6}", &s, NULL), 0);
	ur_immich_upload_write(s.dialect, &fields, "B", &head, &middle, &tail);
	assert_true(place_of(&head, "deviceAssetId") < place_of(&head, "fileCreatedAt"));
	assert_true(place_of(&head, "livePhotoVideoId") < place_of(&head, "sidecarData"));
	assert_non_null(strstr(ur_text_get(&head), "2024-05-06T07:08:09.000Z"));
	assert_true(place_of(&middle, "name=\"filename\"") < place_of(&middle, "assetData"));
	assert_non_null(
		strstr(ur_text_get(&middle), "filename=\"file.jpg\"")); // the part's, a plain one
	assert_non_null(strstr(ur_text_get(&middle), "\r\n\r\nIMG \"1\".jpg\r\n")); // the true one
	assert_string_equal(ur_text_get(&tail), "\r\n--B--\r\n");
	ur_text_done(&head);
	ur_text_done(&middle);
	ur_text_done(&tail);
	assert_int_equal(
		ur_immich_read_version("{\"major\":3,\"minor\":0,\"patch\":0}", &s, NULL), 0);
	ur_immich_upload_write(s.dialect, &fields, "B", &head, &middle, &tail);
	assert_null(strstr(ur_text_get(&head), "device"));
	assert_null(strstr(ur_text_get(&head), "duration"));
	ur_text_done(&head);
	ur_text_done(&middle);
	ur_text_done(&tail);
}

static void an_asset_tells_what_the_settling_needs(void **state)
{
	static const char json[] =
		"{\"id\":\"" ID "\",\"ownerId\":\"" OWNER
		"\",\"libraryId\":null,\"type\":\"IMAGE\","
		"\"checksum\":\"9qQhxIAbRKHBCTbpsn9TMspEltM=\",\"isTrashed\":false,"
		"\"exifInfo\":{\"dateTimeOriginal\":null,\"latitude\":1.5,\"longitude\":2,"
		"\"description\":\"\",\"rating\":null,\"exifImageWidth\":10},\"tags\":[],"
		"\"livePhotoVideoId\":null}";
	struct ur_asset asset;
	(void)state;
	assert_int_equal(ur_immich_asset_read(json, &asset, NULL), 0);
	assert_int_equal(asset.sha1[0], 0xf6);
	assert_int_equal(asset.sha1[19], 0xd3);
	assert_true(asset.has_place && asset.extracted);
	assert_false(asset.has_date || asset.has_description || asset.has_rating ||
		     asset.has_tags || asset.trashed || asset.external);
	assert_int_equal(ur_immich_asset_read("{\"id\":\"" ID "\"}", &asset, NULL), -EBADMSG);
}

static void an_asset_is_a_proof_only_if_it_is_this_users_own_copy(void **state)
{
	uint8_t sha1[UR_SHA1_SIZE] = {1, 2, 3};
	struct ur_asset asset = {.owner = OWNER, .sha1 = {1, 2, 3}};
	(void)state;
	assert_int_equal(ur_immich_prove(&asset, sha1, OWNER), UR_PROOF_HOLDS);
	assert_int_equal(ur_immich_prove(&asset, sha1, ID), UR_PROOF_OTHER_OWNER);
	asset.external = true;
	assert_int_equal(ur_immich_prove(&asset, sha1, OWNER), UR_PROOF_EXTERNAL);
	asset.trashed = true;
	assert_int_equal(ur_immich_prove(&asset, sha1, OWNER), UR_PROOF_TRASHED);
	sha1[19] = 1;
	assert_int_equal(ur_immich_prove(&asset, sha1, OWNER), UR_PROOF_OTHER_BYTES);
	assert_int_equal(ur_immich_prove(&asset, NULL, OWNER), UR_PROOF_TRASHED);
	assert_int_equal(ur_immich_total("bytes 99-99/100"), 100);
	assert_int_equal(ur_immich_total("bytes 99-99/*"), -1);
	assert_int_equal(ur_immich_total("99-99/100"), -1);
	assert_int_equal(ur_immich_total(""), -1);
}

#define JSON "application/json; charset=utf-8"

static void what_bears_immichs_marks_is_its_own_word(void **state)
{
	static const struct {
		int status;
		const char *correlation;
		const char *type;
		const char *answer;
	} said[] = {
		{400, "9yz07l26", JSON,
			"{\"message\":\"Not found or no asset.read access\",\"error\":\"Bad Request\","
			"\"statusCode\":400,\"correlationId\":\"9yz07l26\"}"},
		{400, "554mx3xd", JSON, "{\"message\":\"Unsupported file type notes.txt\"}"},
		{400, "554mx3xd", JSON,
			"{\"message\":\"Validation failed\",\"errors\":[{\"code\":\"x\"}]}"},
		{400, "554mx3xd", JSON, "{\"message\":[\"a must be b\"],\"statusCode\":400}"},
		{500, "x", "APPLICATION/JSON", "{\"message\":\"Internal server error\"}"},
		{401, "5adi3b4h", JSON, "{\"message\":\"Invalid API key\",\"statusCode\":401}"},
		{200, "sc8gtijo", JSON, "[]"},
		{206, "sc8gtijo", "image/jpeg", ""},
		{204, "sc8gtijo", "", ""},
		{416, "sc8gtijo", "text/plain", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		assert_true(ur_immich_is_own_word(
			said[i].status, said[i].correlation, said[i].type, said[i].answer));
		assert_false(
			ur_immich_is_own_word(said[i].status, "", said[i].type, said[i].answer));
		assert_false(ur_immich_is_own_word(
			said[i].status, said[i].correlation, "text/html", said[i].answer));
	}
}

static void a_page_of_something_else_is_not_immichs_word(void **state)
{
	static const struct {
		int status;
		const char *type;
		const char *answer;
	} said[] = {
		{302, JSON, "{\"message\":\"moved\"}"},
		{308, "", ""},
		{101, "", ""},
		{404, JSON, "{}"},
		{404, JSON, ""},
		{404, JSON, "<html>"},
		{404, JSON, "\"message\""},
		{404, JSON, "{\"message\":\"\"}"},
		{404, JSON, "{\"message\":[]}"},
		{404, JSON, "{\"message\":null}"},
		{404, JSON, "{\"error\":\"no Route matched\"}"},
		{404, "text/plain", "{\"message\":\"404 page not found\"}"},
		{404, "", "{\"message\":\"404 page not found\"}"},
		{404, JSON, "{\"message\":\"Not found\",\"statusCode\":400}"},
		{404, JSON, "{\"message\":\"Not found\",\"statusCode\":\"404\"}"},
		{404, JSON, "{\"message\":\"Not found\",\"correlationId\":\"of another\"}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		assert_false(ur_immich_is_own_word(
			said[i].status, "9yz07l26", said[i].type, said[i].answer));
	}
}

static void boundaries_are_never_the_same(void **state)
{
	char a[64];
	char b[64];
	char type[128];
	(void)state;
	ur_immich_boundary(a, type);
	assert_non_null(strstr(type, a));
	ur_immich_boundary(b, type);
	assert_string_not_equal(a, b);
}

static void an_external_library_is_known_by_its_import_path(void **state)
{
	(void)state;
	static const char json[] =
		"[{\"id\":\"a\",\"importPaths\":[\"/mnt/media/photos/\"]},"
		"{\"id\":\"b\",\"importPaths\":[\"/srv/films\",\"relative\"]},{\"id\":\"c\"}]";
	static const struct {
		const char *root;
		enum ur_cover cover;
	} roots[] = {
		{"/mnt/media/photos", UR_COVER_SAME},
		{"/mnt/media/photos/2024", UR_COVER_SAME},
		{"/mnt/media", UR_COVER_SAME},
		{"/", UR_COVER_SAME},
		{"/srv/films", UR_COVER_SAME},
		{"/home/somebody/photos", UR_COVER_NAMED},
		{"/volume1/films", UR_COVER_NAMED},
		{"/mnt/media/photos2", UR_COVER_NONE},
		{"/srv/old films", UR_COVER_NONE},
		{"/srv/immich/import", UR_COVER_NONE},
		{"/x/relative", UR_COVER_NONE},
	};
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
		enum ur_cover cover = UR_COVER_NONE;
		char path[UR_PATH_TAIL] = "";
		size_t count = 0;
		assert_int_equal(
			ur_immich_libraries_read(json, roots[i].root, &cover, path, &count, NULL),
			0);
		assert_int_equal(count, 3);
		if (cover != roots[i].cover) {
			fail_msg("%s: %d, by %s", roots[i].root, cover, path);
		}
	}
}

static void what_is_no_list_of_libraries_is_an_error(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "{}", "\"x\"", "<html>", "null"};
	enum ur_cover cover = UR_COVER_NONE;
	char path[UR_PATH_TAIL] = "";
	size_t count = 0;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_true(
			ur_immich_libraries_read(texts[i], "/a", &cover, path, &count, NULL) < 0);
	}
	assert_int_equal(ur_immich_libraries_read("[]", "/a", &cover, path, &count, NULL), 0);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_choose_the_dialect),
		cmocka_unit_test(users_and_keys_are_read_and_unknown_fields_ignored),
		cmocka_unit_test(every_shape_of_complaint_becomes_a_sentence),
		cmocka_unit_test(answers_about_checksums_must_cover_every_question),
		cmocka_unit_test(the_form_has_its_parts_in_the_order_that_works),
		cmocka_unit_test(an_asset_tells_what_the_settling_needs),
		cmocka_unit_test(an_asset_is_a_proof_only_if_it_is_this_users_own_copy),
		cmocka_unit_test(what_bears_immichs_marks_is_its_own_word),
		cmocka_unit_test(a_page_of_something_else_is_not_immichs_word),
		cmocka_unit_test(boundaries_are_never_the_same),
		cmocka_unit_test(an_external_library_is_known_by_its_import_path),
		cmocka_unit_test(what_is_no_list_of_libraries_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
