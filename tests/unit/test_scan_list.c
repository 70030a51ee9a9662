/* scan_list - the same directories in the same order, whoever lists them. */
#include "engine/stage/scan_list.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BRANCHES 40
#define LARGE (3 * UR_LISTER_AHEAD + 17)

struct place {
	char path[64];
	struct ur_root *root;
	struct ur_lister *lister;
};

static void make_file(int dir, const char *name)
{
	const int fd = openat(dir, name, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
}

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct ur_err err = {0};
	(void)snprintf(p->path, sizeof p->path, "/tmp/uringest-list.XXXXXX");
	if (mkdtemp(p->path) == NULL || ur_root_open(p->path, false, &p->root, &err) < 0 ||
		ur_lister_new(&p->lister) < 0) {
		return -1;
	}
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	char command[128];
	p->lister = ur_lister_free(p->lister);
	p->root = ur_root_free(p->root);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", p->path);
	const int r = system(command);
	free(p);
	return r;
}

static void push(struct place *p, struct ur_dir *parent, const char *name)
{
	struct ur_dir *dir = NULL;
	assert_int_equal(ur_dir_new(p->root, parent, name, &dir), 0);
	assert_int_equal(ur_lister_push(p->lister, dir, NULL), 0);
}

static size_t count_files(const struct ur_listing *listing)
{
	size_t files = 0;
	for (size_t i = 0; i < listing->count; i++) {
		const struct ur_entry *entry = &listing->entries[i];
		files += entry->type == UR_ENTRY_FILE && entry->error == 0 && entry->mtime_ns != 0;
	}
	return files;
}

static void what_was_pushed_last_comes_first_with_all_its_files(void **state)
{
	struct place *p = *state;
	struct ur_dir *top = NULL;
	struct ur_listing listing = {0};
	char name[32];
	assert_int_equal(ur_dir_new(p->root, NULL, "", &top), 0);
	for (int d = 0; d < BRANCHES; d++) {
		(void)snprintf(name, sizeof name, "d%02d", d);
		assert_int_equal(mkdirat(p->root->fd, name, 0700), 0);
		const int fd = openat(p->root->fd, name, O_RDONLY | O_DIRECTORY);
		for (int f = 0; f <= d; f++) {
			(void)snprintf(name, sizeof name, "f%02d", f);
			make_file(fd, name);
		}
		(void)close(fd);
	}
	for (int d = 0; d < BRANCHES; d++) {
		(void)snprintf(name, sizeof name, "d%02d", d);
		push(p, top, name);
	}
	for (int d = BRANCHES - 1; d >= 0; d--) {
		struct ur_listed at;
		(void)snprintf(name, sizeof name, "d%02d", d);
		ur_lister_next(p->lister, &listing, &at);
		assert_string_equal(at.dir->name, name);
		assert_true(at.fd >= 0 && at.result == 0 && at.whole);
		assert_int_equal(count_files(&listing), d + 1);
		(void)close(at.fd);
		(void)ur_dir_unref(at.dir);
	}
	assert_int_equal(ur_lister_count(p->lister), 0);
	ur_listing_done(&listing);
	(void)ur_dir_unref(top);
}

static void a_large_directory_is_shared_out_and_complete(void **state)
{
	struct place *p = *state;
	struct ur_listing listing = {0};
	struct ur_listed at;
	char name[32];
	for (unsigned i = 0; i < LARGE; i++) {
		(void)snprintf(name, sizeof name, "f%06u", i);
		make_file(p->root->fd, name);
	}
	push(p, NULL, "");
	ur_lister_next(p->lister, &listing, &at);
	assert_false(at.whole);
	assert_int_equal(ur_lister_finish(p->lister, &listing, at.fd, false), 0);
	assert_int_equal(count_files(&listing), LARGE);
	(void)close(at.fd);
	(void)ur_dir_unref(at.dir);
	ur_listing_done(&listing);
}

static void what_cannot_be_opened_says_why_in_its_turn(void **state)
{
	struct place *p = *state;
	struct ur_dir *top = NULL;
	struct ur_listing listing = {0};
	struct ur_listed at;
	assert_int_equal(ur_dir_new(p->root, NULL, "", &top), 0);
	push(p, top, "missing");
	ur_lister_next(p->lister, &listing, &at);
	assert_int_equal(at.fd, -ENOENT);
	(void)ur_dir_unref(at.dir);
	ur_listing_done(&listing);
	(void)ur_dir_unref(top);
}

static void what_is_dropped_leaves_nothing_open(void **state)
{
	struct place *p = *state;
	struct ur_dir *top = NULL;
	struct ur_listing listing = {0};
	struct ur_listed at;
	const int before = dup(0);
	assert_int_equal(ur_dir_new(p->root, NULL, "", &top), 0);
	for (int i = 0; i < 10; i++) {
		push(p, NULL, "");
	}
	ur_lister_next(p->lister, &listing, &at); // from now on helpers look ahead
	(void)close(at.fd);
	(void)ur_dir_unref(at.dir);
	while (ur_lister_count(p->lister) > 0) {
		struct ur_scan_rules *rules = NULL;
		(void)ur_dir_unref(ur_lister_drop(p->lister, &rules));
		assert_null(rules);
	}
	(void)close(before);
	const int after = dup(0);
	assert_int_equal(after, before);
	(void)close(after);
	ur_listing_done(&listing);
	(void)ur_dir_unref(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
		IN_PLACE(what_was_pushed_last_comes_first_with_all_its_files),
		IN_PLACE(a_large_directory_is_shared_out_and_complete),
		IN_PLACE(what_cannot_be_opened_says_why_in_its_turn),
		IN_PLACE(what_is_dropped_leaves_nothing_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
