/* upload_name - the names of uploads as clients give them, and as immich-server gets them. */
#include "engine/gateway/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *named(const char *name, const char *type, const struct ur_kind *kind)
{
	static char ret[UR_NAME_MAX];
	struct ur_tus_metadata said = {0};
	(void)snprintf(said.filename, sizeof said.filename, "%s", name);
	(void)snprintf(said.type, sizeof said.type, "%s", type);
	ur_name_of(&said, NULL, kind, ret);
	return ret;
}

static void a_name_is_never_a_path(void **state)
{
	(void)state;
	assert_string_equal(named("../../etc/x.jpg", "", NULL), "x.jpg");
	assert_string_equal(named("/etc/passwd.jpg", "", NULL), "passwd.jpg");
	assert_string_equal(named("a/b.jpg", "", NULL), "b.jpg");
	assert_string_equal(named("C:\\fakepath\\x.jpg", "", NULL), "x.jpg");
	assert_string_equal(named("\\\\nas\\photos\\x.jpg", "", NULL), "x.jpg");
	assert_string_equal(named("a\\b.jpg", "", NULL), "a\\b.jpg"); // where that is a letter
	static const char *const none[] = {"", "/", "a/", ".", "..", "../", "../.."};
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		assert_string_equal(named(none[i], "", NULL), "upload");
		assert_string_equal(named(none[i], "image/png", NULL), "upload.png");
	}
}

static void a_type_gives_the_extension_where_there_is_none_to_go_by(void **state)
{
	(void)state;
	assert_string_equal(named("IMG_1", "image/jpeg", NULL), "IMG_1.jpg");
	assert_string_equal(named("IMG_1", "IMAGE/HEIC", NULL), "IMG_1.heic");
	assert_string_equal(named("v", "video/mp4; codecs=avc1", NULL), "v.mp4");
	assert_string_equal(named("v", "video/quicktime", NULL), "v.mov");
	assert_string_equal(named("2024.01.02", "image/jpeg", NULL), "2024.01.02.jpg");
	assert_string_equal(named("a.png", "image/jpeg", NULL), "a.png"); // its own counts
	assert_string_equal(named("a", "application/pdf", NULL), "a");
	assert_string_equal(named("a", "", NULL), "a");
}

static void the_bytes_give_it_where_no_type_is_named(void **state)
{
	static const unsigned char jpeg[] = {
		0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1};
	const struct ur_kind *kind = ur_kind_of(jpeg, sizeof jpeg);
	const struct ur_kind *text = ur_kind_of("just words", 10);
	(void)state;
	assert_string_equal(named("IMG_1", "", kind), "IMG_1.jpg");
	assert_string_equal(named("IMG_1", "application/octet-stream", kind), "IMG_1.jpg");
	assert_string_equal(named("IMG_1", "image/png", kind), "IMG_1.png");
	assert_string_equal(named("notes.txt", "", kind), "notes.txt"); // no disguise
	assert_string_equal(named("notes", "", text), "notes");
}

static void the_longest_name_has_room_for_its_extension(void **state)
{
	char name[UR_TUS_NAME_MAX];
	(void)state;
	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	const char *got = named(name, "image/heic", NULL);
	assert_int_equal(strlen(got), sizeof name - 1 + 5);
	assert_string_equal(got + sizeof name - 1, ".heic");
}

static void what_the_server_never_takes_is_known_by_its_name(void **state)
{
	struct ur_types *types = NULL;
	(void)state;
	assert_int_equal(ur_types_new(&types), 0);
	assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, ".jpg"), 0);
	assert_int_equal(ur_name_judge("a.jpg", types), UR_NAME_TAKEN);
	assert_int_equal(ur_name_judge("a.JPG", types), UR_NAME_TAKEN);
	assert_int_equal(ur_name_judge("notes.txt", types), UR_NAME_REFUSED);
	assert_int_equal(ur_name_judge("a.jpg.exe", types), UR_NAME_REFUSED);
	assert_int_equal(ur_name_judge("a.png", types), UR_NAME_REFUSED); // of this server
	assert_int_equal(ur_name_judge("IMG_1", types), UR_NAME_OPEN);
	assert_int_equal(ur_name_judge("notes.txt", NULL), UR_NAME_OPEN);
	assert_int_equal(ur_name_judge("a.jpg", NULL), UR_NAME_TAKEN); // as usual
	types = ur_types_free(types);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_never_a_path),
		cmocka_unit_test(a_type_gives_the_extension_where_there_is_none_to_go_by),
		cmocka_unit_test(the_bytes_give_it_where_no_type_is_named),
		cmocka_unit_test(the_longest_name_has_room_for_its_extension),
		cmocka_unit_test(what_the_server_never_takes_is_known_by_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
