/* test_settings - what the file can say, and what is said about a file that is wrong. */
#include "engine/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/text.h"
#include "engine/sys/sys.h"

struct fixture {
	struct ur_arena arena;
	struct ur_settings settings;
	struct ur_err err;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	ur_arena_init(&f->arena);
	ur_settings_clear(&f->settings);
	*state = f;
	return f == NULL;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	ur_arena_done(&f->arena);
	free(f);
	return 0;
}

static int parse(struct fixture *f, const char *text)
{
	return ur_settings_parse(&f->arena, "u.yaml", text, strlen(text), &f->settings, &f->err);
}

static void need(struct fixture *f, const char *text)
{
	if (parse(f, text) < 0) {
		fail_msg("%s\n%s", text, f->err.text);
	}
}

static const char whole_file[] = "# everything\n"
				 "server: https://photos.example.org/\n"
				 "key_file: /etc/uringest/immich-key\n"
				 "ledger: /var/lib/uringest/ledger.db\n"
				 "cacert: /etc/ssl/ca.pem\n"
				 "client_cert: /etc/ssl/me.pem\n"
				 "client_key: /etc/ssl/me.key\n"
				 "headers_file: /etc/uringest/headers\n"
				 "proxy: socks5h://127.0.0.1:1080\n"
				 "concurrency: 8\n"
				 "bwlimit: \"08:00,2M 23:00,off\"\n"
				 "server_wait: 10m\n"
				 "answer_wait: 5m\n"
				 "suspect_wait: 1h\n"
				 "settle_after: 60s\n"
				 "min_age: 30s\n"
				 "confirm: bytes\n"
				 "one_file_system: true\n"
				 "follow_symlinks: no\n"
				 "exclude: [\"*.tmp\", 'raw/']\n"
				 "folders:\n"
				 "  - path: /srv/immich/import/\n"
				 "    after: delete\n"
				 "  - path: /srv/ca\xc3\xa9ra\n"
				 "    after: move\n"
				 "    move_to: /srv/done\n"
				 "    key_file: /etc/uringest/other-key\n"
				 "    server: http://127.0.0.1:2283\n"
				 "    min_age: 250ms\n"
				 "    exclude:\n"
				 "      - '#recycle/'\n"
				 "    follow_symlinks: true\n"
				 "    one_file_system: false\n"
				 "quiet_without_lease: 15m\n"
				 "accept_cut_off: true\n";

static void every_key_arrives_at_its_place(void **state)
{
	struct fixture *f = *state;
	const struct ur_settings *s = &f->settings;
	need(f, whole_file);

	assert_string_equal(s->server, "https://photos.example.org");
	assert_string_equal(s->key_file, "/etc/uringest/immich-key");
	assert_string_equal(s->ledger, "/var/lib/uringest/ledger.db");
	assert_string_equal(s->cacert, "/etc/ssl/ca.pem");
	assert_string_equal(s->client_cert, "/etc/ssl/me.pem");
	assert_string_equal(s->client_key, "/etc/ssl/me.key");
	assert_string_equal(s->headers_file, "/etc/uringest/headers");
	assert_string_equal(s->proxy, "socks5h://127.0.0.1:1080");
	assert_int_equal(s->concurrency, 8);
	assert_int_equal(s->bwlimit->count, 2);
	assert_string_equal(s->bwlimit_text, "08:00,2M 23:00,off");
	assert_int_equal(s->server_wait_ms, 600000);
	assert_int_equal(s->answer_wait_ms, 300000);
	assert_int_equal(s->suspect_wait_ms, 3600000);
	assert_int_equal(s->settle_after_ms, 60000);
	assert_int_equal(s->quiet_without_lease_ms, 900000);
	assert_int_equal(s->accept_cut_off, UR_SETTINGS_FLAG_YES);
	assert_int_equal(s->min_age_ms, 30000);
	assert_int_equal(s->confirm, UR_SETTINGS_CONFIRM_BYTES);
	assert_int_equal(s->one_file_system, UR_SETTINGS_FLAG_YES);
	assert_int_equal(s->follow_symlinks, UR_SETTINGS_FLAG_NO);
	assert_int_equal(s->exclude.count, 2);
	assert_string_equal(s->exclude.items[0], "*.tmp");
	assert_string_equal(s->exclude.items[1], "raw/");
	assert_int_equal(s->folder_count, 2);
}

static void a_folder_says_what_differs_and_leaves_the_rest_unset(void **state)
{
	struct fixture *f = *state;
	need(f, whole_file);
	const struct ur_settings_folder *first = &f->settings.folders[0];
	const struct ur_settings_folder *second = &f->settings.folders[1];

	assert_string_equal(first->path, "/srv/immich/import");
	assert_int_equal(first->after, UR_SETTINGS_AFTER_DELETE);
	assert_null(first->move_to);
	assert_null(first->key_file);
	assert_null(first->server);
	assert_int_equal(first->min_age_ms, UR_SETTINGS_UNSET);
	assert_int_equal(first->follow_symlinks, UR_SETTINGS_FLAG_UNSET);
	assert_int_equal(first->one_file_system, UR_SETTINGS_FLAG_UNSET);
	assert_int_equal(first->exclude.count, 0);
	assert_int_equal(first->line, 22);

	assert_string_equal(second->path, "/srv/ca\xc3\xa9ra");
	assert_int_equal(second->after, UR_SETTINGS_AFTER_MOVE);
	assert_string_equal(second->move_to, "/srv/done");
	assert_string_equal(second->key_file, "/etc/uringest/other-key");
	assert_string_equal(second->server, "http://127.0.0.1:2283");
	assert_int_equal(second->min_age_ms, 250);
	assert_int_equal(second->follow_symlinks, UR_SETTINGS_FLAG_YES);
	assert_int_equal(second->one_file_system, UR_SETTINGS_FLAG_NO);
	assert_string_equal(second->exclude.items[0], "#recycle/");
}

static void a_file_that_says_nothing_leaves_everything_unset(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {"", "# nothing\n", "---\n", "---\n...\n", "{}\n"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		memset(&f->settings, 1, sizeof f->settings);
		need(f, texts[i]);
		assert_null(f->settings.server);
		assert_null(f->settings.bwlimit);
		assert_int_equal(f->settings.concurrency, UR_SETTINGS_UNSET);
		assert_int_equal(f->settings.min_age_ms, UR_SETTINGS_UNSET);
		assert_int_equal(f->settings.confirm, UR_SETTINGS_CONFIRM_UNSET);
		assert_int_equal(f->settings.one_file_system, UR_SETTINGS_FLAG_UNSET);
		assert_int_equal(f->settings.folder_count, 0);
		assert_int_equal(f->settings.exclude.count, 0);
	}
}

struct refusal {
	const char *text;
	const char *says;
};

static void check_refusals(struct fixture *f, const struct refusal *refusals, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		memset(&f->settings, 0x5a, sizeof f->settings);
		const struct ur_settings before = f->settings;
		if (parse(f, refusals[i].text) != -EINVAL) {
			fail_msg("not refused:\n%s", refusals[i].text);
		}
		assert_int_equal(f->err.fault, UR_FAULT_SETUP);
		assert_memory_equal(&before, &f->settings, sizeof before);
		if (strstr(f->err.text, refusals[i].says) == NULL) {
			fail_msg("%s\nsays: %s\nnot:  %s", refusals[i].text, f->err.text,
				refusals[i].says);
		}
	}
}
#define CHECK_REFUSALS(f, r) check_refusals(f, r, sizeof(r) / sizeof(r)[0])

static void a_wrong_value_is_said_with_place_key_and_what_is_expected(void **state)
{
	struct fixture *f = *state;
	const struct refusal refusals[] = {
		{"min_age: 30x\n", "u.yaml:1:10: 'min_age': '30x' is not a time; expected a time "
				   "from 0 to 30 days, as in 30s, 10m or 1d"},
		{"\n  concurrency: 0\n", "u.yaml:2:16: 'concurrency': '0' is not a number here; "
					 "expected a whole number from 1 to 256"},
		{"concurrency: 257\n", "from 1 to 256"},
		{"concurrency: 8.5\n", "from 1 to 256"},
		{"answer_wait: 10ms\n", "'10ms' is too short"},
		{"server_wait: 8d\n", "'8d' is too long"},
		{"confirm: maybe\n", "'maybe' is not one of the choices; expected range or bytes"},
		{"one_file_system: 1\n", "expected true or false"},
		{"bwlimit: fast\n", "u.yaml:1:10: 'bwlimit': 'fast': the rate is bytes a second"},
		{"ledger: ledger.db\n", "'ledger.db' is not an absolute path"},
		{"ledger: ~\n", "'ledger' has no value"},
		{"ledger:\n", "'ledger' has no value; expected an absolute path"},
		{"ledger: ''\n", "'ledger' has no value"},
		{"ledger: \"/a\\0b\"\n", "has a NUL"},
		{"ledger: [/a]\n", "'ledger': a list is not a value here"},
		{"ledger: {a: b}\n", "'ledger': a mapping is not a value here"},
		{"server: photos.example.org\n", "is not an http:// or https:// address"},
		{"server: 'http://a b'\n", "is not an http:// or https:// address"},
		{"server: http:///api\n", "names no host"},
		{"server: http://:80\n", "names no host"},
		{"server: http://a/?x=1\n", "goes on with '?'"},
		{"proxy: ftp://a\n", "is not the address of a proxy"},
		{"proxy: http://\n", "is not the address of a proxy"},
		{"exclude: {a: b}\n", "'exclude': a mapping is not a value here"},
		{"exclude: [[a]]\n", "'exclude': a list is not a value here"},
		{"exclude: ['']\n", "'exclude' has no value"},
		{"client_key: /a\n", "'client_key' needs 'client_cert'"},
		{"confirm: \"\\e[31m\"\n", "'confirm': '\\x1b[31m' is not"},
	};
	CHECK_REFUSALS(f, refusals);
}

static void an_unknown_key_is_refused_with_the_nearest_known_one(void **state)
{
	struct fixture *f = *state;
	const struct refusal refusals[] = {
		{"servr: http://a\n", "u.yaml:1:1: unknown key 'servr'; did you mean 'server'?"},
		{"keyfile: /a\n", "did you mean 'key_file'?"},
		{"key-file: /a\n", "did you mean 'key_file'?"},
		{"Server: http://a\n", "did you mean 'server'?"},
		{"sever_wiat: 1m\n", "did you mean 'server_wait'?"},
		{"folder: []\n", "did you mean 'folders'?"},
		{"colour: blue\n",
			"unknown key 'colour'; the keys of the file are server, key_file,"},
		{"folders:\n - pth: /a\n", "u.yaml:2:4: unknown key 'pth'; did you mean 'path'?"},
		{"folders:\n - path: /a\n   colour: /a\n",
			"the keys of a folder are server, key_file, min_age, one_file_system"},
		{"folders:\n - path: /a\n   ledger: /a\n",
			"'ledger' is a key of the file, not of a"},
		{"after: delete\n", "'after' is a key of a folder, not of the file"},
		{"\"server\\0\": http://a\n", "unknown key 'server\\x00'"},
		{"<<: {server: http://a}\n", "unknown key"},
		{"? [a, b]\n: c\n", "a key is expected here"},
	};
	CHECK_REFUSALS(f, refusals);
}

static void a_key_that_comes_twice_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct refusal refusals[] = {
		{"min_age: 1s\nconfirm: range\nmin_age: 2s\n",
			"u.yaml:3:1: 'min_age' comes twice; the first one is in line 1"},
		{"folders:\n - path: /a\n   path: /b\n", "'path' comes twice"},
		{"folders:\n - path: /a\n - path: /b\n - path: /a/\n",
			"u.yaml:4:4: '/a' is listed twice; the first one is in line 2"},
	};
	CHECK_REFUSALS(f, refusals);
	need(f, "folders:\n - path: /a\n   min_age: 1s\n - path: /b\n   min_age: 2s\n");
}

static void a_secret_is_refused_and_never_repeated(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {"key: S3CRET\n", "api_key: S3CRET\n",
		"folders:\n - path: /a\n   key: S3CRET\n", "key_file: S3CRET\n", "server: S3CRET\n",
		"server: https://me:S3CRET@example.org\n", "proxy: S3CRET\n",
		"headers_file: S3CRET\n", "apikey: S3CRET\n"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		assert_int_equal(parse(f, texts[i]), -EINVAL);
		assert_null(strstr(f->err.text, "S3CRET"));
	}
	assert_int_equal(parse(f, "key: S3CRET\n"), -EINVAL);
	assert_non_null(strstr(f->err.text, "name that file with key_file"));
	assert_int_equal(parse(f, "key_file: S3CRET\n"), -EINVAL);
	assert_non_null(strstr(f->err.text, "the absolute path of a file that holds the API key"));
}

static void a_folder_that_contradicts_itself_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct refusal refusals[] = {
		{"folders:\n - after: keep\n", "u.yaml:2:4: this folder has no 'path'"},
		{"folders:\n - path: /a\n   after: move\n", "'after: move' needs 'move_to'"},
		{"folders:\n - path: /a\n   move_to: /b\n", "used with 'after: move' only"},
		{"folders:\n - {path: /a, after: delete, move_to: /b}\n", "'after: move' only"},
		{"folders:\n - {path: /a, after: move, move_to: /a}\n",
			"lies in the folder itself"},
		{"folders:\n - {path: /a, after: move, move_to: /a/x}\n", "lies in the folder"},
		{"folders:\n - {path: /, after: move, move_to: /b}\n", "lies in the folder"},
		{"folders:\n - path: a\n", "'a' is not an absolute path"},
		{"folders:\n - /a\n", "a folder is expected here"},
		{"folders: /a\n", "'folders': this is no list"},
		{"folders:\n  path: /a\n", "'folders': this is no list"},
		{"folders:\n - {path: /a, after: remove}\n", "expected keep, delete or move"},
	};
	CHECK_REFUSALS(f, refusals);
	need(f, "folders:\n - {path: /a, after: move, move_to: /ab}\n");
}

static void what_is_not_plain_yaml_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct refusal refusals[] = {
		{"server: &a http://a\n", "anchors (&), aliases (*) and tags (!)"},
		{"exclude: *a\n", "anchors (&), aliases (*)"},
		{"exclude: [*.tmp]\n", "u.yaml:1:"},
		{"exclude: !!seq [a]\n", "tags (!)"},
		{"folders: &f []\n", "anchors"},
		{"&a server: http://a\n", "anchors"},
		{"server: http://a\n---\nserver: http://b\n", "u.yaml:2:1: a second document"},
		{"- a\n", "keys are expected here"},
		{"hello\n", "keys are expected here"},
		{"server: \"http://a\n", "this is not YAML: "},
		{"ledger: /a: b\n",
			"u.yaml:1:11: this is not YAML: mapping values are not allowed"},
		{"\tserver: a\n", "this is not YAML: "},
		{"ledger: /a\nconfirm: \xff\n", "u.yaml:2:10: this is not UTF-8 text"},
		{"exclude: [[[[[[[[[[[[[[[[[[[[[[[[", "u.yaml:1:11"},
	};
	CHECK_REFUSALS(f, refusals);
}

static void bounds_hold(void **state)
{
	struct fixture *f = *state;
	struct ur_text text = {0};
	ur_text_adds(&text, "folders:\n");
	for (unsigned i = 0; i < UR_SETTINGS_FOLDERS_MAX; i++) {
		ur_text_addf(&text, " - path: /a%u\n", i);
	}
	need(f, ur_text_get(&text));
	assert_int_equal(f->settings.folder_count, UR_SETTINGS_FOLDERS_MAX);
	assert_string_equal(f->settings.folders[63].path, "/a63");
	ur_text_adds(&text, " - path: /b\n");
	assert_int_equal(parse(f, ur_text_get(&text)), -EINVAL);
	assert_non_null(strstr(f->err.text, "more than 64 folders"));

	ur_text_clear(&text);
	ur_text_adds(&text, "exclude: [");
	for (unsigned i = 0; i < UR_SETTINGS_EXCLUDES_MAX; i++) {
		ur_text_addf(&text, "p%u, ", i);
	}
	const size_t most = text.size;
	ur_text_adds(&text, "]");
	need(f, ur_text_get(&text));
	assert_int_equal(f->settings.exclude.count, UR_SETTINGS_EXCLUDES_MAX);
	text.size = most;
	ur_text_adds(&text, "one more]");
	assert_int_equal(parse(f, ur_text_get(&text)), -EINVAL);
	assert_non_null(strstr(f->err.text, "more than 256 patterns"));

	ur_text_clear(&text);
	ur_text_addf(&text, "ledger: /%0*d\n", (int)UR_SETTINGS_VALUE_MAX - 1, 0);
	need(f, ur_text_get(&text));
	ur_text_clear(&text);
	ur_text_addf(&text, "ledger: /%0*d\n", (int)UR_SETTINGS_VALUE_MAX, 0);
	assert_int_equal(parse(f, ur_text_get(&text)), -EINVAL);
	assert_non_null(strstr(f->err.text, "longer than 4096 bytes"));
	ur_text_done(&text);

	char *large = malloc(UR_SETTINGS_FILE_MAX + 1);
	memset(large, '\n', UR_SETTINGS_FILE_MAX + 1);
	assert_int_equal(ur_settings_parse(&f->arena, "u.yaml", large, UR_SETTINGS_FILE_MAX,
				 &f->settings, &f->err),
		0);
	assert_int_equal(ur_settings_parse(&f->arena, "u.yaml", large, UR_SETTINGS_FILE_MAX + 1,
				 &f->settings, &f->err),
		-EFBIG);
	free(large);
}

/* --- files ----------------------------------------------------------------------------------- */

static void a_file_is_loaded_as_its_text_is_parsed(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/ur-settings-XXXXXX";
	const int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, whole_file, sizeof whole_file - 1), sizeof whole_file - 1);
	assert_int_equal(close(fd), 0);

	assert_int_equal(ur_settings_load(&f->arena, path, &f->settings, &f->err), 0);
	assert_string_equal(f->settings.server, "https://photos.example.org");
	assert_int_equal(f->settings.folder_count, 2);
	assert_int_equal(unlink(path), 0);
}

static void what_is_no_file_is_refused_without_waiting(void **state)
{
	struct fixture *f = *state;
	char folder[] = "/tmp/ur-settings-XXXXXX";
	char path[64];
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/pipe", folder);
	assert_int_equal(mkfifo(path, 0600), 0);

	assert_int_equal(ur_settings_load(&f->arena, path, &f->settings, &f->err), -EINVAL);
	assert_non_null(strstr(f->err.text, "is not a regular file"));
	assert_int_equal(ur_settings_load(&f->arena, folder, &f->settings, &f->err), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ur_settings_load(&f->arena, path, &f->settings, &f->err), -ENOENT);
	assert_int_equal(f->err.fault, UR_FAULT_SETUP);
	assert_int_equal(rmdir(folder), 0);
}

static ssize_t broken_pread(int fd, void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -EIO;
}

static void a_read_that_fails_is_reported(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/ur-settings-XXXXXX";
	const int fd = mkstemp(path);
	assert_int_equal(write(fd, "# x\n", 4), 4);
	assert_int_equal(close(fd), 0);
	const struct ur_sys real = ur_sys;
	ur_sys.pread = broken_pread;

	const int r = ur_settings_load(&f->arena, path, &f->settings, &f->err);
	ur_sys = real;
	assert_int_equal(r, -EIO);
	assert_non_null(strstr(f->err.text, "cannot read"));
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_key_arrives_at_its_place),
		TEST(a_folder_says_what_differs_and_leaves_the_rest_unset),
		TEST(a_file_that_says_nothing_leaves_everything_unset),
		TEST(a_wrong_value_is_said_with_place_key_and_what_is_expected),
		TEST(an_unknown_key_is_refused_with_the_nearest_known_one),
		TEST(a_key_that_comes_twice_is_refused),
		TEST(a_secret_is_refused_and_never_repeated),
		TEST(a_folder_that_contradicts_itself_is_refused),
		TEST(what_is_not_plain_yaml_is_refused),
		TEST(bounds_hold),
		TEST(a_file_is_loaded_as_its_text_is_parsed),
		TEST(what_is_no_file_is_refused_without_waiting),
		TEST(a_read_that_fails_is_reported),
	};
	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
