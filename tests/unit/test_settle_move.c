/* settle_move - by a name, or by a copy that is read back; the file goes last, and nobody's does. */
#include "tests/unit/leaving.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

/** What settle does before it asks for the move: the file stands aside and is open. */
static int stand_aside(struct leaving *l)
{
	int r = ur_settle_enter(&l->x);
	r = r < 0 ? r : ur_settle_stage(&l->x);
	if (r == 0) {
		l->x.proved_fd = openat(l->x.place->fd, l->x.staged, O_RDONLY | O_CLOEXEC);
		assert_true(l->x.proved_fd >= 0);
	}
	return r;
}

/** … and what it does then: it moves, or goes back. */
static int move(struct leaving *l)
{
	int r = ur_settle_move_prepare(&l->x);
	r = r < 0 ? r : ur_settle_move(&l->x);
	if (r < 0) {
		ur_settle_unstage(&l->x);
	}
	return r;
}

static void begin(struct leaving *l)
{
	leaving_open(l);
	assert_int_equal(stand_aside(l), 0);
}

/* ---- by a name ------------------------------------------------------------------------------- */

static void on_one_disk_it_is_the_same_file_under_its_name_in_the_target(void **state)
{
	struct leaving *l = *state;
	struct stat st;
	begin(l);
	assert_int_equal(move(l), 0);
	assert_true(leaving_is_moved(l, 0));
	assert_int_equal(fstatat(l->target, "album/a.jpg", &st, 0), 0);
	assert_true(st.st_ino == l->files[0].identity.inode);
	leaving_close(l);
	assert_false(room_has(l->root->fd, UR_STAGING));
	assert_false(room_has(l->album, "a.jpg"));
}

static void a_file_in_the_target_keeps_its_name_and_ours_goes_beside_it(void **state)
{
	struct leaving *l = *state;
	for (int far = 0; far < 2; far++) {
		leaving_again(l);
		assert_int_equal(mkdirat(l->target, "album", 0700), 0);
		room_put(l->target, "album/a.jpg", "theirs");
		if (far != 0) {
			leaving_far(l);
		}
		begin(l);
		assert_int_equal(move(l), 0);
		leaving_close(l);
		room_holds(l->target, "album/a.jpg", "theirs");
		room_holds(l->target, "album/a (2).jpg", leaving_bytes(0));
		assert_int_equal(room_count(l->target, "album"), 2);
	}
}

static void no_link_in_the_target_leads_it_away(void **state)
{
	struct leaving *l = *state;
	for (int far = 0; far < 2; far++) {
		leaving_again(l);
		assert_int_equal(symlinkat(l->path, l->target, "album"), 0);
		if (far != 0) {
			leaving_far(l);
		}
		begin(l);
		const int r = move(l);
		assert_true(r == -ENOTDIR || r == -ELOOP);
		leaving_close(l);
		assert_true(leaving_is_home(l, 0));
		assert_int_equal(unlinkat(l->target, "album", 0), 0);
		assert_int_equal(room_count(l->fd, "."), 2);
		assert_int_equal(room_count(l->target, "."), 0);
	}
}

/* ---- by a copy ------------------------------------------------------------------------------- */

static void a_copy_has_the_bytes_the_mode_the_times_and_the_attributes(void **state)
{
	struct leaving *l = *state;
	struct stat before;
	struct stat after;
	char value[8] = "";
	leaving_far(l);
	begin(l);
	assert_int_equal(fchmod(l->x.proved_fd, 0640), 0);
	const bool takes = fsetxattr(l->x.proved_fd, "user.note", "blue", 4, 0) == 0;
	assert_int_equal(fstat(l->x.proved_fd, &before), 0);
	assert_int_equal(move(l), 0);
	leaving_close(l);
	assert_true(leaving_is_moved(l, 0));
	assert_int_equal(fstatat(l->target, "album/a.jpg", &after, 0), 0);
	assert_true(after.st_ino != before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	if (takes) {
		char path[ROOM_PATH + 64];
		(void)snprintf(path, sizeof path, "%s/album/a.jpg", l->target_path);
		assert_int_equal(getxattr(path, "user.note", value, sizeof value), 4);
		assert_string_equal(value, "blue");
	}
	assert_false(room_has(l->album, "a.jpg"));
	assert_false(room_has(l->target, UR_STAGING));
}

/** What happened to the copy and to the file, in order. */
static char happened[512];
static const struct leaving *watched;

static bool is_below_target(int fd)
{
	char link[64];
	char path[ROOM_PATH + 320];
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	const ssize_t size = readlink(link, path, sizeof path - 1);
	path[size < 0 ? 0 : size] = '\0';
	return strncmp(path, watched->target_path, strlen(watched->target_path)) == 0;
}

static void note(const char *what, int fd)
{
	struct stat st;
	(void)fstat(fd, &st);
	(void)strcat(happened, what);
	(void)strcat(happened, S_ISDIR(st.st_mode) ? "-folder " : "-file ");
}

static int watched_sync(int fd)
{
	note(is_below_target(fd) ? "sync-there" : "sync-here", fd);
	return 0;
}

static int watched_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)strcat(happened, is_below_target(to_dir) ? "name-there " : "name-here ");
	return watched->real.rename_new(from_dir, from, to_dir, to);
}

static int watched_unlink(int dir, const char *name, int flags)
{
	if ((flags & AT_REMOVEDIR) == 0 && strstr(name, ".place") == NULL) {
		(void)strcat(happened, is_below_target(dir) ? "unlink-there " : "unlink-here ");
	}
	return watched->real.unlinkat(dir, name, flags);
}

static void the_file_goes_only_when_its_copy_the_name_and_all_folders_are_durable(void **state)
{
	struct leaving *l = *state;
	leaving_far(l);
	begin(l);
	watched = l;
	happened[0] = '\0';
	ur_sys.fsync = watched_sync;
	ur_sys.rename_new = watched_rename;
	ur_sys.unlinkat = watched_unlink;
	assert_int_equal(move(l), 0);
	leaving_close(l);
	assert_string_equal(happened,
		"sync-there-file sync-there-folder " // the copy, and its name for the time being
		"name-there sync-there-folder sync-there-folder unlink-here ");
}

static void a_copy_that_an_interrupted_run_has_published_is_it(void **state)
{
	struct leaving *l = *state;
	assert_int_equal(mkdirat(l->target, "album", 0700), 0);
	room_put(l->target, "album/a.jpg", leaving_bytes(0));
	leaving_far(l);
	begin(l);
	assert_int_equal(move(l), 0);
	leaving_close(l);
	assert_int_equal(room_count(l->target, "album"), 1);
	assert_false(room_has(l->target, UR_STAGING));
	assert_false(room_has(l->album, "a.jpg"));
}

static ssize_t full_disk(int fd, const void *buffer, size_t size, off_t offset)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)offset;
	return -ENOSPC;
}

static ssize_t spoil(int fd, const void *buffer, size_t size, off_t offset)
{
	char other[64];
	assert_true(size <= sizeof other);
	memcpy(other, buffer, size);
	other[size / 2] ^= 0x10;
	return pwrite(fd, other, size, offset);
}

static void a_copy_that_does_not_fit_or_reads_back_wrong_goes_and_the_file_stays(void **state)
{
	struct leaving *l = *state;
	static const struct {
		ssize_t (*pwrite)(int fd, const void *buffer, size_t size, off_t offset);
		int error;
		const char *said;
	} cases[] = {
		{full_disk, -ENOSPC, NULL},
		{spoil, -EBADMSG, "read back wrong"},
	};
	leaving_far(l);
	for (size_t i = 0; i < 2; i++) {
		leaving_again(l);
		begin(l);
		ur_sys.pwrite = cases[i].pwrite;
		assert_int_equal(ur_settle_move_prepare(&l->x), cases[i].error);
		ur_sys.pwrite = l->real.pwrite;
		assert_int_equal(l->x.copy_fd, -1);
		assert_true(leaving_is_staged(l, 0));
		if (cases[i].said != NULL) {
			assert_non_null(strstr(l->x.why, cases[i].said));
			assert_non_null(strstr(l->x.why, l->target_path));
		}
		ur_settle_unstage(&l->x);
		leaving_close(l);
		assert_true(leaving_is_home(l, 0));
		assert_int_equal(room_count(l->target, "."), 0);
	}
}

/** Over FUSE and NFS. */
static int full_at_the_end(int fd)
{
	const bool written = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
	const int r = watched->real.close(fd);
	return written ? -ENOSPC : r;
}

static void a_disk_that_is_full_only_when_the_copy_is_closed_keeps_the_file(void **state)
{
	struct leaving *l = *state;
	watched = l;
	leaving_far(l);
	begin(l);
	ur_sys.close = full_at_the_end;
	assert_int_equal(move(l), -ENOSPC);
	ur_sys.close = l->real.close;
	leaving_close(l);
	assert_true(leaving_is_home(l, 0));
	assert_int_equal(room_count(l->target, "."), 0);
}

static void a_move_that_is_called_off_leaves_nothing_in_the_target(void **state)
{
	struct leaving *l = *state;
	struct ur_staged what;
	leaving_far(l);
	begin(l);
	assert_int_equal(ur_settle_move_prepare(&l->x), 0);
	assert_int_equal(room_count(l->target, UR_STAGING), 1);
	ur_staged_read(&l->run.staging_key, l->x.copy, &what);
	assert_true(what.ours);
	assert_int_equal(what.kind, UR_STAGED_COPY); // nobody is to take it for the file
	ur_settle_move_undo(&l->x);
	ur_settle_unstage(&l->x);
	leaving_close(l);
	assert_true(leaving_is_home(l, 0));
	assert_int_equal(room_count(l->target, "."), 0);
}

static int too_far(int from_dir, const char *from, int to_dir, const char *to)
{
	const bool away = is_below_target(to_dir) && !is_below_target(from_dir);
	return away ? -EXDEV : watched->real.rename_new(from_dir, from, to_dir, to);
}

static void two_mounts_of_one_disk_are_two_disks(void **state)
{
	struct leaving *l = *state;
	watched = l;
	begin(l);
	ur_sys.rename_new = too_far;
	assert_int_equal(move(l), 0);
	leaving_close(l);
	assert_true(leaving_is_moved(l, 0));
	assert_int_equal(room_count(l->target, "album"), 1);
	assert_false(room_has(l->target, UR_STAGING));
}

static void what_a_move_could_not_keep_is_said_once_and_counted(void **state)
{
	struct leaving *l = *state;
	leaving_open(l);
	ur_settle_tell(&l->settle);
	assert_int_equal(l->warnings, 0);
	l->settle.other_names = 1;
	ur_settle_tell(&l->settle);
	assert_int_equal(l->warnings, 1);
	assert_non_null(strstr(l->said, ": 1 file that was moved there has further names"));
	l->settle.other_names = 3;
	l->settle.lost_attributes = 2;
	l->settle.lost_owners = 1;
	ur_settle_tell(&l->settle);
	assert_int_equal(l->warnings, 4);
	assert_non_null(strstr(l->said, ": 1 file was moved there and now belongs"));
	leaving_close(l);
}

static int no_attributes(int fd, const char *name, const void *value, size_t size)
{
	(void)fd;
	(void)name;
	(void)value;
	(void)size;
	return -EOPNOTSUPP;
}

static ssize_t two_attributes(int fd, char *ret, size_t size)
{
	static const char names[] = "user.note\0security.selinux";
	(void)fd;
	assert_true(size >= sizeof names);
	memcpy(ret, names, sizeof names);
	return sizeof names;
}

static ssize_t any_value(int fd, const char *name, void *value, size_t size)
{
	(void)fd;
	(void)size;
	assert_string_equal(name, "user.note"); // a label belongs to the place
	memcpy(value, "blue", 4);
	return 4;
}

static void lost_attributes_and_other_names_are_counted_and_keep_nothing(void **state)
{
	struct leaving *l = *state;
	leaving_far(l);
	begin(l);
	assert_int_equal(linkat(l->x.place->fd, l->x.staged, l->album, "other.jpg", 0), 0);
	ur_sys.listxattr = two_attributes;
	ur_sys.getxattr = any_value;
	ur_sys.setxattr = no_attributes;
	assert_int_equal(move(l), 0);
	assert_int_equal(l->settle.lost_attributes, 1);
	assert_int_equal(l->settle.other_names, 1);
	leaving_close(l);
	assert_true(leaving_is_moved(l, 0));
	room_holds(l->album, "other.jpg", leaving_bytes(0));
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

static void fail_in_turn(struct leaving *l, enum faulty_how how, bool far, int error)
{
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		leaving_again(l);
		assert_int_equal(mkdirat(l->target, "album", 0700), 0);
		room_put(l->target, "album/a.jpg", "theirs");
		const struct ur_sys before = ur_sys;
		if (far) {
			leaving_far(l);
		}
		const size_t open_before = room_descriptors();
		begin(l);
		faulty_begin(how, n, error);
		const int r = move(l);
		const bool stuck = l->x.stuck;
		leaving_close(l);
		failed = faulty_end();
		ur_sys = before;
		assert_int_equal(room_descriptors(), open_before);
		room_holds(l->target, "album/a.jpg", "theirs");
		const bool moved = room_is(l->target, "album/a (2).jpg", leaving_bytes(0));
		if (r == 0) {
			assert_true(moved);
			assert_false(leaving_is_home(l, 0));
			assert_false(leaving_is_staged(l, 0));
		} else {
			assert_true(stuck ? leaving_is_staged(l, 0) : leaving_is_home(l, 0));
		}
		if (r < 0 && how == FAULTY_ONE) { // half of a copy is nobody's
			assert_int_equal(room_count(l->target, UR_STAGING), 0);
		}
		assert_true(failed || r == 0);
	}
}

static void whatever_call_fails_it_is_moved_or_where_it_was_and_nothing_is_overwritten(void **state)
{
	fail_in_turn(*state, FAULTY_ONE, false, -EIO);
	fail_in_turn(*state, FAULTY_FROM, false, -EIO);
	fail_in_turn(*state, FAULTY_ONE, true, -EIO);
	fail_in_turn(*state, FAULTY_FROM, true, -EIO);
	fail_in_turn(*state, FAULTY_FROM, true, -ENOSPC);
}

#define LEAVING(test) cmocka_unit_test_setup_teardown(test, leaving_new, leaving_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAVING(on_one_disk_it_is_the_same_file_under_its_name_in_the_target),
		LEAVING(a_file_in_the_target_keeps_its_name_and_ours_goes_beside_it),
		LEAVING(no_link_in_the_target_leads_it_away),
		LEAVING(a_copy_has_the_bytes_the_mode_the_times_and_the_attributes),
		LEAVING(the_file_goes_only_when_its_copy_the_name_and_all_folders_are_durable),
		LEAVING(a_copy_that_an_interrupted_run_has_published_is_it),
		LEAVING(a_copy_that_does_not_fit_or_reads_back_wrong_goes_and_the_file_stays),
		LEAVING(a_disk_that_is_full_only_when_the_copy_is_closed_keeps_the_file),
		LEAVING(a_move_that_is_called_off_leaves_nothing_in_the_target),
		LEAVING(two_mounts_of_one_disk_are_two_disks),
		LEAVING(what_a_move_could_not_keep_is_said_once_and_counted),
		LEAVING(lost_attributes_and_other_names_are_counted_and_keep_nothing),
		LEAVING(whatever_call_fails_it_is_moved_or_where_it_was_and_nothing_is_overwritten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
