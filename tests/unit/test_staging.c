/* staging - names nobody can forge, folders nobody can plant, and renames that take no one's place. */
#include "engine/source/staging.h"

#include "engine/source/leftover.h"
#include "engine/source/rename.h"
#include "engine/sys/sys.h"

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
	char dir[64];
	int fd;
	struct ur_staging_key key;
	struct ur_staging_key other;
	struct ur_sys real;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/uringest-staging.XXXXXX");
	if (mkdtemp(p->dir) == NULL) {
		free(p);
		return -1;
	}
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY);
	ur_staging_key_make("salt of one", 11, &p->key);
	ur_staging_key_make("salt of another", 15, &p->other);
	p->real = ur_sys;
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	char command[128];
	ur_sys = p->real;
	(void)close(p->fd);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
	const int r = system(command);
	free(p);
	return r;
}

static void put(int dir, const char *name, const char *text)
{
	const int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void holds(int dir, const char *name, const char *text)
{
	char got[600] = "";
	const int fd = openat(dir, name, O_RDONLY);
	if (fd < 0) {
		print_message("%s is not there\n", name);
	}
	assert_true(fd >= 0);
	assert_true(read(fd, got, sizeof got - 1) >= 0);
	assert_string_equal(got, text);
	(void)close(fd);
}

static bool is_there(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
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

static void what_the_present_run_has_staged_is_no_leftover(void **state)
{
	const struct place *p = *state;
	static const struct {
		const char *token;
		int64_t run;
		enum ur_leftover_fate fate;
	} cases[] = {
		{"2fx1", 0x2f, UR_LEFTOVER_LIVE},
		{"2fx1", 0x2, UR_LEFTOVER_BACK},
		{"2fx1", 0x30, UR_LEFTOVER_BACK},
		{"2x1", 0x2f, UR_LEFTOVER_BACK},
		{"2x1", 0, UR_LEFTOVER_BACK},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char staged[UR_STAGED_NAME_MAX + 1];
		struct ur_staged what;
		ur_staging_name(&p->key, UR_STAGED_ORIGINAL, cases[i].token, "a.jpg", staged);
		ur_staged_read(&p->key, staged, &what);
		assert_int_equal(ur_leftover_judge(&what, cases[i].run), cases[i].fate);
		ur_staged_read(&p->other, staged, &what);
		assert_int_equal(ur_leftover_judge(&what, cases[i].run), UR_LEFTOVER_OTHER);
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
	assert_true(is_there(p->fd, UR_STAGING));
	assert_int_equal(unlinkat(p->fd, UR_STAGING, 0), 0);
	put(p->fd, UR_STAGING, "a file");
	assert_int_equal(ur_staging_open(p->fd), -ENOTDIR);
	holds(p->fd, UR_STAGING, "a file");
	assert_int_equal(unlinkat(p->fd, UR_STAGING, 0), 0);
	assert_int_equal(mkdirat(p->fd, UR_STAGING, 0700), 0);
	assert_int_equal(fchmodat(p->fd, UR_STAGING, 0755, 0), 0);
	assert_int_equal(ur_staging_open(p->fd), UR_STAGING_OPEN);
	assert_non_null(ur_staging_say(UR_STAGING_OPEN));
	assert_true(is_there(p->fd, UR_STAGING));
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
	assert_true(is_there(p->fd, UR_STAGING)); // another one uses it
	assert_int_equal(ur_staging_open_alone(p->fd), -EWOULDBLOCK);
	ur_staging_leave(p->fd, two);
	assert_false(is_there(p->fd, UR_STAGING));
	assert_int_equal(ur_staging_open_alone(p->fd), -ENOENT);
}

static void a_staging_folder_that_holds_something_stays(void **state)
{
	struct place *p = *state;
	const int fd = ur_staging_open(p->fd);
	put(fd, "x", "x");
	ur_staging_leave(p->fd, fd);
	assert_true(is_there(p->fd, UR_STAGING));
}

/* ---- leftovers ------------------------------------------------------------------------------- */

static void only_what_is_provably_ours_is_put_back(void **state)
{
	struct place *p = *state;
	char ours[UR_STAGED_NAME_MAX + 1];
	char copy[UR_STAGED_NAME_MAX + 1];
	char live[UR_STAGED_NAME_MAX + 1];
	char foreign[UR_STAGED_NAME_MAX + 1];
	struct ur_leftovers found;
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "ours.jpg", ours);
	ur_staging_name(&p->key, UR_STAGED_COPY, "1x2", "copy.jpg", copy);
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "2x1", "live.jpg", live);
	ur_staging_name(&p->other, UR_STAGED_ORIGINAL, "1x1", "foreign.jpg", foreign);
	const int fd = ur_staging_open(p->fd);
	put(fd, ours, "1");
	put(fd, copy, "2");
	put(fd, live, "3");
	put(fd, foreign, "4");
	put(fd, "1x1-old.jpg", "5");
	put(fd, "holiday.jpg", "6");
	put(p->fd, "ours.jpg", "a new one");
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 2, &found), -EWOULDBLOCK);
	(void)close(fd);
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 2, &found), 0);
	assert_int_equal(found.back, 1);
	assert_int_equal(found.copies, 1);
	assert_int_equal(found.others, 3);
	assert_int_equal(found.stuck, 0);
	assert_string_equal(found.name, "ours (2).jpg");
	holds(p->fd, "ours.jpg", "a new one");
	holds(p->fd, "ours (2).jpg", "1");
	const int again = openat(p->fd, UR_STAGING, O_RDONLY | O_DIRECTORY);
	holds(again, copy, "2");
	holds(again, live, "3");
	holds(again, foreign, "4");
	holds(again, "1x1-old.jpg", "5");
	holds(again, "holiday.jpg", "6");
	(void)close(again);
}

/* ---- renames --------------------------------------------------------------------------------- */

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
		put(p->fd, "from", "mine");
		put(p->fd, "taken.jpg", "theirs");
		be_a_disk(kind);
		assert_int_equal(
			ur_rename_new(&p->key, p->fd, "from", p->fd, "taken.jpg"), -EEXIST);
		holds(p->fd, "from", "mine");
		holds(p->fd, "taken.jpg", "theirs");
		assert_int_equal(
			ur_rename_beside(&p->key, p->fd, "from", p->fd, "taken.jpg", name), 0);
		assert_string_equal(name, "taken (2).jpg");
		holds(p->fd, "taken.jpg", "theirs");
		holds(p->fd, "taken (2).jpg", "mine");
		assert_false(is_there(p->fd, "from"));
		assert_int_equal(
			ur_rename_new(&p->key, p->fd, "taken (2).jpg", p->fd, "free.jpg"), 0);
		holds(p->fd, "free.jpg", "mine");
		assert_false(is_there(p->fd, "taken (2).jpg"));
		assert_int_equal(unlinkat(p->fd, "free.jpg", 0), 0);
		assert_int_equal(
			ur_rename_new(&p->key, p->fd, "nowhere", p->fd, "free.jpg"), -ENOENT);
		assert_false(is_there(p->fd, "free.jpg")); // no placeholder is left
	}
}

static void killed_between_link_and_unlink_it_is_one_file_and_no_duplicate(void **state)
{
	struct place *p = *state;
	for (int kind = 0; kind < 2; kind++) {
		ur_sys = p->real;
		put(p->fd, "staged", "mine");
		assert_int_equal(linkat(p->fd, "staged", p->fd, "name.jpg", 0), 0);
		be_a_disk(kind);
		assert_int_equal(
			ur_rename_beside(&p->key, p->fd, "staged", p->fd, "name.jpg", NULL), 0);
		assert_false(is_there(p->fd, "staged"));
		assert_false(is_there(p->fd, "name (2).jpg"));
		holds(p->fd, "name.jpg", "mine");
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
		put(p->fd, one, "mine");
		ur_sys.rename_over = die_here;
		ur_sys.unlinkat = no_unlink;
		assert_int_equal(ur_rename_new(NULL, p->fd, one, p->fd, "a.jpg"), -EIO);
		assert_true(is_there(p->fd, "a.jpg"));
		ur_sys.rename_over = p->real.rename_over;
		ur_sys.unlinkat = p->real.unlinkat;
		const char *from = again == 0 ? one : two;
		put(p->fd, from, "mine");
		assert_int_equal(
			ur_rename_new(again == 0 ? NULL : &p->key, p->fd, from, p->fd, "a.jpg"),
			again == 2 ? -EEXIST : 0);
		if (again < 2) {
			holds(p->fd, "a.jpg", "mine");
			assert_false(is_there(p->fd, from));
		} else {
			holds(p->fd, from, "mine");
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
		put(camera_at, path,
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
	put(p->fd, "from", "mine");
	be_a_disk(2);
	camera_at = p->fd;
	ur_sys.openat = camera_writes_before;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	ur_sys = p->real;
	holds(p->fd, "from", "mine");
	assert_int_equal(fstatat(p->fd, "IMG.jpg", &st, 0), 0);
	assert_true(st.st_size > 100);
}

/** The camera is first: its file is there, and still empty, when ours is to be made. */
static int camera_is_first(int dir, const char *path, int flags, mode_t mode)
{
	if ((flags & O_EXCL) != 0) {
		put(camera_at, path, "");
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
	put(p->fd, "from", "mine");
	be_a_disk(2);
	camera_at = p->fd;
	ur_sys.openat = camera_is_first;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	assert_int_equal(fstatat(p->fd, "IMG.jpg", &before, 0), 0);
	ur_sys.openat = p->real.openat;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	assert_int_equal(fstatat(p->fd, "IMG.jpg", &after, 0), 0);
	assert_true(before.st_ino == after.st_ino);
	holds(p->fd, "from", "mine");
	assert_int_equal(unlinkat(p->fd, "IMG.jpg", 0), 0);
	ur_sys.openat = camera_empties;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	ur_sys.openat = p->real.openat;
	assert_int_equal(ur_rename_new(&p->key, p->fd, "from", p->fd, "IMG.jpg"), -EEXIST);
	holds(p->fd, "from", "mine");
	holds(p->fd, "IMG.jpg", "");
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
	put(staging, staged, "mine");
	note_is_written = 0;
	ur_sys.pwrite = killed_while_writing;
	ur_sys.unlinkat = no_unlink;
	assert_int_equal(ur_rename_new(&p->key, staging, staged, p->fd, "a.jpg"), -EIO);
	ur_sys.pwrite = p->real.pwrite;
	ur_sys.unlinkat = p->real.unlinkat;
	holds(p->fd, "a.jpg", "");
	(void)close(staging);
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 9, &found), 0);
	assert_int_equal(found.back, 1);
	assert_int_equal(found.others, 0);
	holds(p->fd, "a.jpg", "mine");
	assert_false(is_there(p->fd, "a (2).jpg"));
	assert_false(is_there(p->fd, UR_STAGING));
}

static void into_staging_nothing_is_replaced_either(void **state)
{
	struct place *p = *state;
	for (int kind = 0; kind < 3; kind++) {
		ur_sys = p->real;
		put(p->fd, "from", "mine");
		put(p->fd, "there", "theirs");
		be_a_disk(kind);
		assert_int_equal(ur_rename_into(p->fd, "from", p->fd, "there"), -EEXIST);
		holds(p->fd, "there", "theirs");
		assert_int_equal(ur_rename_into(p->fd, "from", p->fd, "free"), 0);
		holds(p->fd, "free", "mine");
		assert_int_equal(unlinkat(p->fd, "free", 0), 0);
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
		IN_PLACE(what_the_present_run_has_staged_is_no_leftover),
		IN_PLACE(a_path_into_a_staging_folder_is_told_from_names_that_look_alike),
		IN_PLACE(only_a_closed_folder_of_our_own_is_ours),
		IN_PLACE(what_is_planted_under_its_name_is_refused_and_stays),
		IN_PLACE(runs_share_a_staging_folder_and_who_looks_for_leftovers_waits_for_them),
		IN_PLACE(a_staging_folder_that_holds_something_stays),
		IN_PLACE(only_what_is_provably_ours_is_put_back),
		IN_PLACE(a_rename_never_takes_a_name_from_anybody_on_any_disk),
		IN_PLACE(killed_between_link_and_unlink_it_is_one_file_and_no_duplicate),
		IN_PLACE(killed_behind_the_placeholder_the_next_call_knows_it),
		IN_PLACE(what_a_camera_writes_over_the_placeholder_is_kept),
		IN_PLACE(an_empty_file_that_a_camera_has_just_made_is_not_taken_for_ours),
		IN_PLACE(killed_with_an_empty_placeholder_the_note_tells_whose_it_is),
		IN_PLACE(into_staging_nothing_is_replaced_either),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
