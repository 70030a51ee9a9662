/* rename - a file gets another name, on whatever disk, and takes nobody's place. */
#include "engine/source/rename.h"

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
#include <sys/stat.h>
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

static int no_flag(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)from_dir;
	(void)from;
	(void)to_dir;
	(void)to;
	return -EINVAL;
}

static int no_links(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	(void)from_dir;
	(void)from;
	(void)to_dir;
	(void)to;
	(void)flags;
	return -EPERM;
}

static ssize_t full_disk(int fd, const void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -ENOSPC;
}

/** What a disk can: everything, no flag, no links either, and no byte more. */
static void be_a_disk(int kind)
{
	ur_sys.rename_new = kind > 0 ? no_flag : ur_sys.rename_new;
	ur_sys.linkat = kind > 1 ? no_links : ur_sys.linkat;
	ur_sys.pwrite = kind > 2 ? full_disk : ur_sys.pwrite;
}

static void a_rename_never_takes_a_name_from_anybody_on_any_disk(void **state)
{
	struct place *p = *state;
	for (int kind = 0; kind < 4; kind++) {
		char name[UR_STAGED_NAME_MAX + 1];
		ur_sys = p->real;
		room_put(p->fd, "from", "mine");
		room_put(p->fd, "taken.jpg", "theirs");
		be_a_disk(kind);
		assert_int_equal(
			ur_rename_new(&p->key, p->fd, "from", p->fd, "taken.jpg"), -EEXIST);
		room_holds(p->fd, "from", "mine");
		room_holds(p->fd, "taken.jpg", "theirs");
		assert_int_equal(
			ur_rename_beside(&p->key, p->fd, "from", p->fd, "taken.jpg", name), 0);
		assert_string_equal(name, "taken (2).jpg");
		room_holds(p->fd, "taken.jpg", "theirs");
		room_holds(p->fd, "taken (2).jpg", "mine");
		assert_false(room_has(p->fd, "from"));
		assert_int_equal(
			ur_rename_new(&p->key, p->fd, "taken (2).jpg", p->fd, "free.jpg"), 0);
		room_holds(p->fd, "free.jpg", "mine");
		assert_false(room_has(p->fd, "taken (2).jpg"));
		assert_int_equal(unlinkat(p->fd, "free.jpg", 0), 0);
		assert_int_equal(
			ur_rename_new(&p->key, p->fd, "nowhere", p->fd, "free.jpg"), -ENOENT);
		assert_false(room_has(p->fd, "free.jpg")); // no placeholder is left
	}
}

static void killed_between_link_and_unlink_it_is_one_file_and_no_duplicate(void **state)
{
	struct place *p = *state;
	for (int kind = 0; kind < 2; kind++) {
		ur_sys = p->real;
		room_put(p->fd, "staged", "mine");
		assert_int_equal(linkat(p->fd, "staged", p->fd, "name.jpg", 0), 0);
		be_a_disk(kind);
		assert_int_equal(
			ur_rename_beside(&p->key, p->fd, "staged", p->fd, "name.jpg", NULL), 0);
		assert_false(room_has(p->fd, "staged"));
		assert_false(room_has(p->fd, "name (2).jpg"));
		room_holds(p->fd, "name.jpg", "mine");
		assert_int_equal(unlinkat(p->fd, "name.jpg", 0), 0);
	}
}

static int die_here(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)from_dir;
	(void)from;
	(void)to_dir;
	(void)to;
	return -EIO;
}

static int no_unlink(int dir, const char *name, int flags)
{
	(void)dir;
	(void)name;
	(void)flags;
	return -EIO;
}

static void killed_behind_the_placeholder_the_next_call_knows_it(void **state)
{
	struct place *p = *state;
	for (int again = 0; again < 3; again++) { // the same file; another one of ours; not ours
		char one[UR_STAGED_NAME_MAX + 1];
		char two[UR_STAGED_NAME_MAX + 1];
		ur_staging_name(
			again == 2 ? &p->other : &p->key, UR_STAGED_ORIGINAL, "1x1", "a.jpg", one);
		ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "2x7", "a.jpg", two);
		ur_sys = p->real;
		be_a_disk(2);
		room_put(p->fd, one, "mine");
		ur_sys.rename_over = die_here;
		ur_sys.unlinkat = no_unlink;
		assert_int_equal(ur_rename_new(NULL, p->fd, one, p->fd, "a.jpg"), -EIO);
		assert_true(room_has(p->fd, "a.jpg"));
		ur_sys.rename_over = p->real.rename_over;
		ur_sys.unlinkat = p->real.unlinkat;
		const char *from = again == 0 ? one : two;
		room_put(p->fd, from, "mine");
		assert_int_equal(
			ur_rename_new(again == 0 ? NULL : &p->key, p->fd, from, p->fd, "a.jpg"),
			again == 2 ? -EEXIST : 0);
		if (again < 2) {
			room_holds(p->fd, "a.jpg", "mine");
			assert_false(room_has(p->fd, from));
		} else {
			room_holds(p->fd, from, "mine");
		}
		(void)unlinkat(p->fd, "a.jpg", 0);
		(void)unlinkat(p->fd, one, 0);
		(void)unlinkat(p->fd, two, 0);
	}
}

static int camera_at; // the folder in which a camera writes

static int camera_writes_before(int dir, const char *path, int flags, mode_t mode)
{
	const int fd = openat(dir, path, flags | O_CLOEXEC, mode);
	if (fd >= 0 && (flags & O_EXCL) != 0) {
		/* The name is made, and at this moment somebody opens it by its name and writes. */
		room_put(camera_at, path,
			"a picture that was taken just now, and that nobody else has: longer "
			"than any placeholder could be, since cameras do write megabytes "
			"rather than a line of text ............................................"
			".................................................................");
	}
	return fd < 0 ? -errno : fd;
}

static void what_a_camera_writes_over_the_placeholder_is_kept(void **state)
{
	struct place *p = *state;
	struct stat st;
	room_put(p->fd, "from", "mine");
	be_a_disk(2);
	camera_at = p->fd;
	ur_sys.openat = camera_writes_before;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	ur_sys = p->real;
	room_holds(p->fd, "from", "mine");
	assert_int_equal(fstatat(p->fd, "IMG.jpg", &st, 0), 0);
	assert_true(st.st_size > 100);
}

/** The camera is first: its file is there, and still empty, when ours is to be made. */
static int camera_is_first(int dir, const char *path, int flags, mode_t mode)
{
	if ((flags & O_EXCL) != 0) {
		room_put(camera_at, path, "");
	}
	const int fd = openat(dir, path, flags | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

/** The camera opens our placeholder with O_TRUNC and has not written yet. */
static int camera_empties(int dir, const char *path, int flags, mode_t mode)
{
	const int fd = openat(dir, path, flags | O_CLOEXEC, mode);
	if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && strcmp(path, "IMG.jpg") == 0) {
		assert_int_equal(ftruncate(openat(camera_at, path, O_WRONLY | O_CLOEXEC), 0), 0);
	}
	return fd < 0 ? -errno : fd;
}

static void an_empty_file_that_a_camera_has_just_made_is_not_taken_for_ours(void **state)
{
	struct place *p = *state;
	struct stat before;
	struct stat after;
	room_put(p->fd, "from", "mine");
	be_a_disk(2);
	camera_at = p->fd;
	ur_sys.openat = camera_is_first;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	assert_int_equal(fstatat(p->fd, "IMG.jpg", &before, 0), 0);
	ur_sys.openat = p->real.openat;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	assert_int_equal(fstatat(p->fd, "IMG.jpg", &after, 0), 0);
	assert_true(before.st_ino == after.st_ino);
	room_holds(p->fd, "from", "mine");
	assert_int_equal(unlinkat(p->fd, "IMG.jpg", 0), 0);
	ur_sys.openat = camera_empties;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	ur_sys.openat = p->real.openat;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	room_holds(p->fd, "from", "mine");
	room_holds(p->fd, "IMG.jpg", "");
}

/** The disk thinks about it for so long that a camera writes over our placeholder; then it refuses. */
static int camera_is_quicker(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)from_dir;
	(void)from;
	room_put(to_dir, to, "a picture that was taken just now");
	return -EIO;
}

static void what_a_camera_writes_while_the_disk_refuses_is_kept(void **state)
{
	struct place *p = *state;
	for (int kind = 2; kind < 4; kind++) {
		ur_sys = p->real;
		room_put(p->fd, "from", "mine");
		be_a_disk(kind);
		ur_sys.rename_over = camera_is_quicker;
		assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EIO);
		room_holds(p->fd, "from", "mine");
		room_holds(p->fd, "IMG.jpg", "a picture that was taken just now");
		assert_int_equal(unlinkat(p->fd, "IMG.jpg", 0), 0);
	}
}

static int die_empty(int fd, const void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -EIO;
}

static int note_is_written;

/** Notes can be written; the placeholder behind them cannot, and nothing tidies up: killed. */
static ssize_t killed_while_writing(int fd, const void *buffer, size_t size, off_t offset)
{
	return note_is_written++ == 0 ? pwrite(fd, buffer, size, offset)
				      : die_empty(fd, buffer, size, offset);
}

static void killed_with_an_empty_placeholder_the_note_tells_whose_it_is(void **state)
{
	struct place *p = *state;
	struct ur_leftovers found;
	be_a_disk(2);
	const int staging = ur_staging_open(p->fd);
	char staged[UR_STAGED_NAME_MAX + 1];
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "a.jpg", staged);
	room_put(staging, staged, "mine");
	note_is_written = 0;
	ur_sys.pwrite = killed_while_writing;
	ur_sys.unlinkat = no_unlink;
	assert_int_equal(ur_rename_new(&p->key, staging, staged, p->fd, "a.jpg"), -EIO);
	ur_sys.pwrite = p->real.pwrite;
	ur_sys.unlinkat = p->real.unlinkat;
	room_holds(p->fd, "a.jpg", "");
	(void)close(staging);
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 9, &found), 0);
	assert_int_equal(found.back, 1);
	assert_int_equal(found.others, 0);
	room_holds(p->fd, "a.jpg", "mine");
	assert_false(room_has(p->fd, "a (2).jpg"));
	assert_false(room_has(p->fd, UR_STAGING));
}

static void into_staging_nothing_is_replaced_either(void **state)
{
	struct place *p = *state;
	for (int kind = 0; kind < 3; kind++) {
		ur_sys = p->real;
		room_put(p->fd, "from", "mine");
		room_put(p->fd, "there", "theirs");
		be_a_disk(kind);
		assert_int_equal(ur_rename_into(p->fd, "from", p->fd, "there"), -EEXIST);
		room_holds(p->fd, "there", "theirs");
		assert_int_equal(ur_rename_into(p->fd, "from", p->fd, "free"), 0);
		room_holds(p->fd, "free", "mine");
		assert_int_equal(unlinkat(p->fd, "free", 0), 0);
	}
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

#define THEIRS "a picture that nobody else has"

/** The staging folder with one file in it, and the name it is to get: free, or somebody's. */
struct scene {
	int staging;
	int home;
	char staged[UR_STAGED_NAME_MAX + 1];
	bool taken;
};

static void make_scene(const struct place *p, bool taken, struct scene *ret)
{
	char name[16] = "staging";
	assert_int_equal(mkdirat(p->fd, name, 0700), 0);
	assert_int_equal(mkdirat(p->fd, "home", 0700), 0);
	ret->staging = openat(p->fd, name, O_RDONLY | O_DIRECTORY);
	ret->home = openat(p->fd, "home", O_RDONLY | O_DIRECTORY);
	ret->taken = taken;
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "a.jpg", ret->staged);
	room_put(ret->staging, ret->staged, "mine");
	if (taken) {
		room_put(ret->home, "a.jpg", THEIRS);
	}
}

static void clear_scene(const struct place *p, struct scene *scene)
{
	static const char *const names[] = {"a.jpg", "a (2).jpg", "a (3).jpg", "a (4).jpg"};
	char note[UR_STAGING_NOTE];
	ur_staging_note(&p->key, note);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		(void)unlinkat(scene->home, names[i], 0);
	}
	(void)unlinkat(scene->staging, scene->staged, 0);
	(void)unlinkat(scene->staging, note, 0);
	(void)close(scene->staging);
	(void)close(scene->home);
	assert_int_equal(unlinkat(p->fd, "staging", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(p->fd, "home", AT_REMOVEDIR), 0);
}

/** `error`: what was said of it.  A name where we may have left something is not used again. */
static void nothing_is_lost(const struct scene *scene, int error)
{
	const bool staged = room_is(scene->staging, scene->staged, "mine");
	const bool home = room_is(scene->home, "a.jpg", "mine") ||
			  room_is(scene->home, "a (2).jpg", "mine") ||
			  room_is(scene->home, "a (3).jpg", "mine");
	if (scene->taken) {
		room_holds(scene->home, "a.jpg", THEIRS);
	}
	assert_true(staged || home);
	assert_true(error == 0 ? home && !staged : staged);
}

/** A call that failed, and nothing else: all is as it was. */
static void nothing_has_changed(const struct scene *scene)
{
	assert_int_equal(room_count(scene->home, "."), scene->taken ? 1 : 0);
	room_holds(scene->staging, scene->staged, "mine");
}

static void fail_in_turn(struct place *p, enum faulty_how how, int kind, bool taken)
{
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		struct scene scene;
		make_scene(p, taken, &scene);
		const size_t before = room_descriptors();
		be_a_disk(kind);
		faulty_begin(how, n, -EIO);
		const int r = ur_rename_beside(
			&p->key, scene.staging, scene.staged, scene.home, "a.jpg", NULL);
		failed = faulty_end();
		assert_int_equal(room_descriptors(), before);
		assert_true(failed || r == 0);
		nothing_is_lost(&scene, r);
		if (r < 0 && how == FAULTY_ONE) {
			nothing_has_changed(&scene);
		}
		if (r < 0) { // the next run
			assert_int_equal(ur_rename_beside(&p->key, scene.staging, scene.staged,
						 scene.home, "a.jpg", NULL),
				0);
			nothing_is_lost(&scene, 0);
			if (kind < 3 && !taken) {
				room_holds(scene.home, "a.jpg", "mine");
				assert_int_equal(room_count(scene.home, "."), 1);
			}
		}
		ur_sys = p->real;
		clear_scene(p, &scene);
	}
}

static void whatever_call_fails_on_whatever_disk_nothing_is_lost_or_overwritten(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		for (int taken = 0; taken < 2; taken++) {
			fail_in_turn(*state, FAULTY_ONE, kind, taken != 0);
			fail_in_turn(*state, FAULTY_FROM, kind, taken != 0);
		}
	}
}

static void whatever_call_fails_into_staging_it_is_here_or_there(void **state)
{
	struct place *p = *state;
	for (int kind = 0; kind < 2; kind++) {
		bool failed = true;
		for (unsigned n = 1; failed; n++) {
			ur_sys = p->real;
			room_put(p->fd, "from", "mine");
			be_a_disk(kind);
			faulty_begin(FAULTY_ONE, n, -EIO);
			const int r = ur_rename_into(p->fd, "from", p->fd, "staged");
			failed = faulty_end();
			assert_true(failed || r == 0);
			room_holds(p->fd, r == 0 ? "staged" : "from", "mine");
			assert_false(room_has(p->fd, r == 0 ? "from" : "staged"));
			(void)unlinkat(p->fd, "staged", 0);
		}
	}
}

static void whatever_call_fails_what_stands_in_staging_already_is_not_replaced(void **state)
{
	struct place *p = *state;
	bool failed = true;
	room_put(p->fd, "from", "mine");
	room_put(p->fd, "staged", "theirs");
	be_a_disk(1);
	for (unsigned n = 1; failed; n++) {
		faulty_begin(FAULTY_ONE, n, -EIO);
		const int r = ur_rename_into(p->fd, "from", p->fd, "staged");
		failed = faulty_end();
		assert_int_equal(r, failed ? -EIO : -EEXIST);
		room_holds(p->fd, "from", "mine");
		room_holds(p->fd, "staged", "theirs");
	}
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(a_rename_never_takes_a_name_from_anybody_on_any_disk),
		IN_PLACE(killed_between_link_and_unlink_it_is_one_file_and_no_duplicate),
		IN_PLACE(killed_behind_the_placeholder_the_next_call_knows_it),
		IN_PLACE(what_a_camera_writes_over_the_placeholder_is_kept),
		IN_PLACE(an_empty_file_that_a_camera_has_just_made_is_not_taken_for_ours),
		IN_PLACE(what_a_camera_writes_while_the_disk_refuses_is_kept),
		IN_PLACE(killed_with_an_empty_placeholder_the_note_tells_whose_it_is),
		IN_PLACE(into_staging_nothing_is_replaced_either),
		IN_PLACE(whatever_call_fails_on_whatever_disk_nothing_is_lost_or_overwritten),
		IN_PLACE(whatever_call_fails_into_staging_it_is_here_or_there),
		IN_PLACE(whatever_call_fails_what_stands_in_staging_already_is_not_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
