/* staging - names nobody can forge, and folders nobody can plant. */
#include "engine/source/staging.h"

#include "engine/source/leftover.h"
#include "engine/sys/sys.h"
#include "tests/unit/faulty.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char path[ROOM_PATH];
	int fd;
	struct ur_staging_key key;
	struct ur_staging_key other;
	struct ur_sys real;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	p->fd = room_make(p->path);
	ur_staging_key_make("salt of one", 11, &p->key);
	ur_staging_key_make("salt of another", 15, &p->other);
	p->real = ur_sys;
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	ur_sys = p->real;
	room_remove(p->path, p->fd);
	free(p);
	return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void a_staged_name_says_what_it_was_and_whose(void **state)
{
	const struct place *p = *state;
	static const char *const names[] = {"IMG_1.jpg", "a", "-", "two-dashes-in it.heic",
		".hidden", "caf\xe9.jpg", "\xf0\x9f\x8e\x82.mov", "name.with.dots-1x1-x.jpg"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char staged[UR_STAGED_NAME_MAX + 1];
		struct ur_staged what;
		ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "2fx1a", names[i], staged);
		ur_staged_read(&p->key, staged, &what);
		assert_true(what.ours);
		assert_string_equal(what.name, names[i]);
		assert_string_equal(what.token, "2fx1a");
		assert_int_equal(what.kind, UR_STAGED_ORIGINAL);
		ur_staged_read(&p->other, staged, &what);
		assert_false(what.ours);
		assert_string_equal(what.name, names[i]);
		ur_staged_read(NULL, staged, &what);
		assert_false(what.ours);
		assert_string_equal(what.name, names[i]);
		assert_string_equal(what.ledger, p->key.ledger);
	}
}

static void no_part_of_a_staged_name_can_be_changed(void **state)
{
	const struct place *p = *state;
	char staged[UR_STAGED_NAME_MAX + 1];
	struct ur_staged what;
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "IMG_1.jpg", staged);
	for (size_t i = 0; i < strlen(staged); i++) {
		char forged[UR_STAGED_NAME_MAX + 1];
		(void)snprintf(forged, sizeof forged, "%s", staged);
		forged[i] = forged[i] == '1' ? '2' : '1';
		ur_staged_read(&p->key, forged, &what);
		assert_false(what.ours);
	}
	(void)snprintf(staged, sizeof staged, "%s.1x1.%s-IMG_1.jpg", p->key.ledger,
		"000000000000000000000000");
	ur_staged_read(&p->key, staged, &what);
	assert_false(what.ours);
	ur_staged_read(&p->key, "1x1-IMG_1.jpg", &what); // of an older version
	assert_false(what.ours);
	assert_string_equal(what.name, "IMG_1.jpg");
	ur_staged_read(&p->key, "holiday.jpg", &what);
	assert_false(what.ours);
	assert_string_equal(what.name, "holiday.jpg");
}

static void a_copy_is_never_taken_for_an_original(void **state)
{
	const struct place *p = *state;
	char copy[UR_STAGED_NAME_MAX + 1];
	char original[UR_STAGED_NAME_MAX + 1];
	struct ur_staged what;
	ur_staging_name(&p->key, UR_STAGED_COPY, "1x1", "a.jpg", copy);
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "a.jpg", original);
	assert_string_not_equal(copy, original);
	ur_staged_read(&p->key, copy, &what);
	assert_true(what.ours);
	assert_int_equal(what.kind, UR_STAGED_COPY);
	assert_int_equal(ur_leftover_judge(&what, 9), UR_LEFTOVER_COPY);
	char *mark = strstr(copy, ".copy-"); // the copy's MAC, without the word
	assert_non_null(mark);
	memmove(mark, mark + 5, strlen(mark + 5) + 1);
	ur_staged_read(&p->key, copy, &what);
	assert_false(what.ours);
}

static void a_name_that_is_too_long_keeps_its_end_and_whole_characters(void **state)
{
	const struct place *p = *state;
	for (size_t size = 150; size <= 255; size++) {
		char name[256] = "";
		char staged[UR_STAGED_NAME_MAX + 1];
		struct ur_staged what;
		while (strlen(name) + 2 + 5 <= size) {
			(void)strcat(name, "\xc3\xa9"); // é
		}
		(void)strcat(name, ".heic");
		ur_staging_name(&p->key, UR_STAGED_COPY, "7fffffffffffffx7fffffff", name, staged);
		assert_true(strlen(staged) <= UR_STAGED_NAME_MAX);
		ur_staged_read(&p->key, staged, &what);
		assert_true(what.ours);
		const size_t kept = strlen(what.name);
		assert_true(kept >= 100);
		assert_string_equal(what.name, name + strlen(name) - kept);
		assert_true(((unsigned char)what.name[0] & 0xc0) != 0x80);
	}
}

static void a_path_into_a_staging_folder_is_told_from_names_that_look_alike(void **state)
{
	(void)state;
	static const char *const within[] = {"/a/.uringest", "/a/.uringest/x.jpg",
		".uringest/x.jpg", "./.uringest/x", "/.uringest/", "/a/.uringest/b/c.jpg"};
	static const char *const without[] = {"/a/.uringestignore", "/a/x.uringest/b.jpg", "/", "",
		"a.jpg", "/a/.uringest2/b", "/a/uringest/b"};
	for (size_t i = 0; i < sizeof within / sizeof *within; i++) {
		assert_true(ur_staging_is_within(within[i]));
	}
	for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
		assert_false(ur_staging_is_within(without[i]));
	}
}

/* ---- the folder ------------------------------------------------------------------------------ */

static struct stat folder_of(uid_t owner, mode_t mode)
{
	return (struct stat){.st_uid = owner, .st_mode = S_IFDIR | mode};
}

static void only_a_closed_folder_of_our_own_is_ours(void **state)
{
	(void)state;
	static const struct {
		uid_t owner;
		mode_t mode;
		bool tried; // a folder of ours was made beside it, and it looks like this:
		uid_t fresh_owner;
		mode_t fresh_mode;
		int verdict;
	} cases[] = {
		{1000, 0700, false, 0, 0, 0},
		{1000, 02700, false, 0, 0, 0},
		{1000, 0755, false, 0, 0, UR_STAGING_OPEN},
		{1000, 0710, false, 0, 0, UR_STAGING_OPEN},
		{1000, 0777, false, 0, 0, UR_STAGING_OPEN},
		{1001, 0700, false, 0, 0, UR_STAGING_FOREIGN},
		{0, 0700, false, 0, 0, UR_STAGING_FOREIGN},
		/* A disk that has owners and modes after all. */
		{1000, 0777, true, 1000, 0700, UR_STAGING_OPEN},
		{1001, 0777, true, 1000, 0700, UR_STAGING_FOREIGN},
		/* One that makes them up: FAT, exFAT, ntfs-3g. */
		{0, 0777, true, 0, 0777, 0},
		{1000, 0755, true, 1000, 0755, 0},
		{1001, 0777, true, 0, 0777, UR_STAGING_FOREIGN},
		{0, 0700, true, 0, 0777, UR_STAGING_FOREIGN},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct stat folder = folder_of(cases[i].owner, cases[i].mode);
		const struct stat fresh = folder_of(cases[i].fresh_owner, cases[i].fresh_mode);
		assert_int_equal(ur_staging_judge(&folder, cases[i].tried ? &fresh : NULL, 1000),
			cases[i].verdict);
	}
}

static void what_is_planted_under_its_name_is_refused_and_stays(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkdirat(p->fd, "a", 0700), 0);
	assert_int_equal(symlinkat("a", p->fd, UR_STAGING), 0);
	const int link = ur_staging_open(p->fd);
	assert_true(link == -ENOTDIR || link == -ELOOP);
	assert_non_null(ur_staging_say(link));
	assert_true(room_has(p->fd, UR_STAGING));
	assert_int_equal(unlinkat(p->fd, UR_STAGING, 0), 0);
	room_put(p->fd, UR_STAGING, "a file");
	assert_int_equal(ur_staging_open(p->fd), -ENOTDIR);
	room_holds(p->fd, UR_STAGING, "a file");
	assert_int_equal(unlinkat(p->fd, UR_STAGING, 0), 0);
	assert_int_equal(mkdirat(p->fd, UR_STAGING, 0700), 0);
	assert_int_equal(fchmodat(p->fd, UR_STAGING, 0755, 0), 0);
	assert_int_equal(ur_staging_open(p->fd), UR_STAGING_OPEN);
	assert_non_null(ur_staging_say(UR_STAGING_OPEN));
	assert_true(room_has(p->fd, UR_STAGING));
	if (geteuid() == 0) {
		assert_int_equal(fchmodat(p->fd, UR_STAGING, 0700, 0), 0);
		assert_int_equal(fchownat(p->fd, UR_STAGING, 1001, 1001, 0), 0);
		assert_int_equal(ur_staging_open(p->fd), UR_STAGING_FOREIGN);
		assert_int_equal(ur_staging_open_alone(p->fd), UR_STAGING_FOREIGN);
	}
}

static void runs_share_a_staging_folder_and_who_looks_for_leftovers_waits_for_them(void **state)
{
	struct place *p = *state;
	const int one = ur_staging_open(p->fd);
	const int two = ur_staging_open(p->fd);
	assert_true(one >= 0);
	assert_true(two >= 0);
	assert_int_equal(ur_staging_open_alone(p->fd), -EWOULDBLOCK);
	ur_staging_leave(p->fd, one);
	assert_true(room_has(p->fd, UR_STAGING)); // another one uses it
	assert_int_equal(ur_staging_open_alone(p->fd), -EWOULDBLOCK);
	ur_staging_leave(p->fd, two);
	assert_false(room_has(p->fd, UR_STAGING));
	assert_int_equal(ur_staging_open_alone(p->fd), -ENOENT);
}

static void a_staging_folder_that_holds_something_stays(void **state)
{
	struct place *p = *state;
	const int fd = ur_staging_open(p->fd);
	room_put(fd, "x", "x");
	ur_staging_leave(p->fd, fd);
	assert_true(room_has(p->fd, UR_STAGING));
}

static int parent_of_lock;
static unsigned locks;

/** Who was at work there ends between our opening and our lock, and the next one begins. */
static int lock_late(int fd, int operation)
{
	if (locks++ == 0) {
		assert_int_equal(unlinkat(parent_of_lock, UR_STAGING, AT_REMOVEDIR), 0);
		assert_int_equal(mkdirat(parent_of_lock, UR_STAGING, 0700), 0);
	}
	return flock(fd, operation) < 0 ? -errno : 0;
}

static void a_folder_that_lost_its_name_before_it_was_locked_is_not_the_one(void **state)
{
	struct place *p = *state;
	struct stat opened;
	struct stat named;
	parent_of_lock = p->fd;
	locks = 0;
	ur_sys.flock = lock_late;
	const int fd = ur_staging_open(p->fd);
	assert_int_equal(locks, 2);
	assert_int_equal(fstat(fd, &opened), 0);
	assert_int_equal(fstatat(p->fd, UR_STAGING, &named, 0), 0);
	assert_true(opened.st_ino == named.st_ino);
	ur_staging_leave(p->fd, fd);
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

static void whatever_call_fails_nothing_stays_open_and_nothing_stays_locked(void **state)
{
	struct place *p = *state;
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		const size_t before = room_descriptors();
		faulty_begin(FAULTY_ONE, n, -EIO);
		const int shared = ur_staging_open(p->fd);
		ur_staging_leave(p->fd, shared);
		const int alone = ur_staging_open_alone(p->fd);
		failed = faulty_end();
		if (alone >= 0) {
			(void)close(alone);
		}
		assert_int_equal(room_descriptors(), before);
		assert_true(shared >= 0 || failed);
		const int again = ur_staging_open(p->fd);
		assert_true(again >= 0);
		ur_staging_leave(p->fd, again);
		assert_false(room_has(p->fd, UR_STAGING));
	}
}

static void a_folder_of_which_nothing_can_be_learned_is_not_ours(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkdirat(p->fd, UR_STAGING, 0755), 0); // and open to others, too
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		faulty_begin(FAULTY_ONE, n, -EIO);
		const int shared = ur_staging_open(p->fd);
		failed = faulty_end();
		assert_true(shared < 0);
	}
}

static void a_folder_that_cannot_be_looked_at_is_not_called_absent(void **state)
{
	struct place *p = *state;
	const int made = ur_staging_open(p->fd);
	room_put(made, "x", "x");
	(void)close(made);
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		faulty_begin(FAULTY_ONE, n, -EIO);
		const int alone = ur_staging_open_alone(p->fd);
		failed = faulty_end();
		assert_int_not_equal(alone, -ENOENT);
		if (alone >= 0) {
			(void)close(alone);
		}
	}
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(a_staged_name_says_what_it_was_and_whose),
		IN_PLACE(no_part_of_a_staged_name_can_be_changed),
		IN_PLACE(a_copy_is_never_taken_for_an_original),
		IN_PLACE(a_name_that_is_too_long_keeps_its_end_and_whole_characters),
		IN_PLACE(a_path_into_a_staging_folder_is_told_from_names_that_look_alike),
		IN_PLACE(only_a_closed_folder_of_our_own_is_ours),
		IN_PLACE(what_is_planted_under_its_name_is_refused_and_stays),
		IN_PLACE(runs_share_a_staging_folder_and_who_looks_for_leftovers_waits_for_them),
		IN_PLACE(a_staging_folder_that_holds_something_stays),
		IN_PLACE(a_folder_that_lost_its_name_before_it_was_locked_is_not_the_one),
		IN_PLACE(whatever_call_fails_nothing_stays_open_and_nothing_stays_locked),
		IN_PLACE(a_folder_of_which_nothing_can_be_learned_is_not_ours),
		IN_PLACE(a_folder_that_cannot_be_looked_at_is_not_called_absent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
