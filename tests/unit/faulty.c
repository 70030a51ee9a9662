/* faulty - the whole table of ur_sys, counted; one call of it does not come to the disk. */
#include "tests/unit/faulty.h"

#include "engine/sys/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_MAX 4096

static struct ur_sys real;
static enum faulty_how how;
static unsigned failing;
static int failing_with;
static atomic_uint seen;
static const char *_Atomic first;

/** The error that this call is to have, or 0. */
static int fails(const char *call)
{
	const unsigned n = atomic_fetch_add(&seen, 1) + 1;
	if (n != failing && (how == FAULTY_ONE || n < failing)) {
		return 0;
	}
	if (n == failing) {
		atomic_store(&first, call);
	}
	return failing_with;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int faulty_close(int fd)
{
	const int error = fails("close");
	const int r = real.close(fd);
	return error != 0 ? error : r;
}

static int faulty_openat(int dir, const char *path, int flags, mode_t mode)
{
	const int error = fails("openat");
	return error != 0 ? error : real.openat(dir, path, flags, mode);
}

static int faulty_openat_beneath(int dir, const char *path, int flags, mode_t mode)
{
	const int error = fails("openat_beneath");
	return error != 0 ? error : real.openat_beneath(dir, path, flags, mode);
}

static int faulty_fstat(int fd, struct stat *ret)
{
	const int error = fails("fstat");
	return error != 0 ? error : real.fstat(fd, ret);
}

static int faulty_fstatat(int dir, const char *path, struct stat *ret, int flags)
{
	const int error = fails("fstatat");
	return error != 0 ? error : real.fstatat(dir, path, ret, flags);
}

static int faulty_fstatfs(int fd, struct statfs *ret)
{
	const int error = fails("fstatfs");
	return error != 0 ? error : real.fstatfs(fd, ret);
}

static ssize_t faulty_getdents(int fd, void *buffer, size_t size)
{
	const int error = fails("getdents");
	return error != 0 ? error : real.getdents(fd, buffer, size);
}

static ssize_t faulty_pread(int fd, void *buffer, size_t size, off_t offset)
{
	const int error = fails("pread");
	return error != 0 ? error : real.pread(fd, buffer, size, offset);
}

static ssize_t faulty_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	const int error = fails("pwrite");
	return error != 0 ? error : real.pwrite(fd, buffer, size, offset);
}

static int faulty_fsync(int fd)
{
	const int error = fails("fsync");
	return error != 0 ? error : real.fsync(fd);
}

static int faulty_fdatasync(int fd)
{
	const int error = fails("fdatasync");
	return error != 0 ? error : real.fdatasync(fd);
}

static int faulty_sync_ahead(int fd, off_t offset, off_t size)
{
	const int error = fails("sync_ahead");
	return error != 0 ? error : real.sync_ahead(fd, offset, size);
}

static int faulty_reserve(int fd, off_t offset, off_t size)
{
	const int error = fails("reserve");
	return error != 0 ? error : real.reserve(fd, offset, size);
}

static int faulty_ftruncate(int fd, off_t size)
{
	const int error = fails("ftruncate");
	return error != 0 ? error : real.ftruncate(fd, size);
}

static int faulty_unlinkat(int dir, const char *name, int flags)
{
	const int error = fails("unlinkat");
	return error != 0 ? error : real.unlinkat(dir, name, flags);
}

static int faulty_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	const int error = fails("rename_new");
	return error != 0 ? error : real.rename_new(from_dir, from, to_dir, to);
}

static int faulty_rename_over(int from_dir, const char *from, int to_dir, const char *to)
{
	const int error = fails("rename_over");
	return error != 0 ? error : real.rename_over(from_dir, from, to_dir, to);
}

static int faulty_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	const int error = fails("linkat");
	return error != 0 ? error : real.linkat(from_dir, from, to_dir, to, flags);
}

static int faulty_mkdirat(int dir, const char *name, mode_t mode)
{
	const int error = fails("mkdirat");
	return error != 0 ? error : real.mkdirat(dir, name, mode);
}

static int faulty_may_write(int dir)
{
	const int error = fails("may_write");
	return error != 0 ? error : real.may_write(dir);
}

static int faulty_lease(int fd, bool take)
{
	const int error = fails("lease");
	return error != 0 ? error : real.lease(fd, take);
}

static int faulty_flock(int fd, int operation)
{
	const int error = fails("flock");
	return error != 0 ? error : real.flock(fd, operation);
}

static int faulty_utimens(int fd, const struct timespec times[2])
{
	const int error = fails("utimens");
	return error != 0 ? error : real.utimens(fd, times);
}

static int faulty_chmod(int fd, mode_t mode)
{
	const int error = fails("chmod");
	return error != 0 ? error : real.chmod(fd, mode);
}

static int faulty_chown(int fd, uid_t owner, gid_t group)
{
	const int error = fails("chown");
	return error != 0 ? error : real.chown(fd, owner, group);
}

static ssize_t faulty_listxattr(int fd, char *names, size_t size)
{
	const int error = fails("listxattr");
	return error != 0 ? error : real.listxattr(fd, names, size);
}

static ssize_t faulty_getxattr(int fd, const char *name, void *value, size_t size)
{
	const int error = fails("getxattr");
	return error != 0 ? error : real.getxattr(fd, name, value, size);
}

static int faulty_setxattr(int fd, const char *name, const void *value, size_t size)
{
	const int error = fails("setxattr");
	return error != 0 ? error : real.setxattr(fd, name, value, size);
}

static int faulty_mount_of(int fd, uint64_t *ret)
{
	const int error = fails("mount_of");
	return error != 0 ? error : real.mount_of(fd, ret);
}

void faulty_begin(enum faulty_how which, unsigned nth, int error)
{
	assert_true(nth > 0);
	assert_true(error < 0);
	how = which;
	failing = nth;
	failing_with = error;
	atomic_store(&seen, 0);
	atomic_store(&first, "");
	real = ur_sys;
	ur_sys.close = faulty_close;
	ur_sys.openat = faulty_openat;
	ur_sys.openat_beneath = faulty_openat_beneath;
	ur_sys.fstat = faulty_fstat;
	ur_sys.fstatat = faulty_fstatat;
	ur_sys.fstatfs = faulty_fstatfs;
	ur_sys.getdents = faulty_getdents;
	ur_sys.pread = faulty_pread;
	ur_sys.pwrite = faulty_pwrite;
	ur_sys.fsync = faulty_fsync;
	ur_sys.fdatasync = faulty_fdatasync;
	ur_sys.sync_ahead = faulty_sync_ahead;
	ur_sys.reserve = faulty_reserve;
	ur_sys.ftruncate = faulty_ftruncate;
	ur_sys.unlinkat = faulty_unlinkat;
	ur_sys.rename_new = faulty_rename_new;
	ur_sys.rename_over = faulty_rename_over;
	ur_sys.linkat = faulty_linkat;
	ur_sys.mkdirat = faulty_mkdirat;
	ur_sys.may_write = faulty_may_write;
	ur_sys.lease = faulty_lease;
	ur_sys.flock = faulty_flock;
	ur_sys.utimens = faulty_utimens;
	ur_sys.chmod = faulty_chmod;
	ur_sys.chown = faulty_chown;
	ur_sys.listxattr = faulty_listxattr;
	ur_sys.getxattr = faulty_getxattr;
	ur_sys.setxattr = faulty_setxattr;
	ur_sys.mount_of = faulty_mount_of;
}

bool faulty_end(void)
{
	ur_sys = real;
	return atomic_load(&seen) >= failing;
}

const char *faulty_call(void)
{
	return atomic_load(&first);
}

/* ---- a folder -------------------------------------------------------------------------------- */

int room_make(char ret[ROOM_PATH])
{
	(void)snprintf(ret, ROOM_PATH, "/tmp/uringest-unit.XXXXXX");
	assert_non_null(mkdtemp(ret));
	const int fd = open(ret, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

void room_remove(const char *path, int fd)
{
	(void)close(fd);
	assert_int_equal(nftw(path, remove_any, 16, FTW_DEPTH | FTW_PHYS), 0);
}

bool room_has(int dir, const char *name)
{
	struct stat st;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void room_clear(int dir, const char *below)
{
	char path[TEXT_MAX];
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, below);
	if (room_has(dir, below)) {
		assert_int_equal(nftw(path, remove_any, 16, FTW_DEPTH | FTW_PHYS), 0);
	}
}

void room_put(int dir, const char *name, const char *text)
{
	const int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

/** What it holds, in `ret`; false when it cannot be read. */
static bool read_text(int dir, const char *name, char ret[TEXT_MAX])
{
	const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	const ssize_t size = fd < 0 ? -1 : read(fd, ret, TEXT_MAX - 1);
	if (fd >= 0) {
		(void)close(fd);
	}
	ret[size < 0 ? 0 : size] = '\0';
	return size >= 0;
}

void room_holds(int dir, const char *name, const char *text)
{
	char got[TEXT_MAX];
	if (!read_text(dir, name, got)) {
		fail_msg("%s is not there", name);
	}
	assert_string_equal(got, text);
}

bool room_is(int dir, const char *name, const char *text)
{
	char got[TEXT_MAX];
	return read_text(dir, name, got) && strcmp(got, text) == 0;
}

size_t room_count(int dir, const char *below)
{
	const int fd = openat(dir, below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	size_t count = 0;
	while (list != NULL && readdir(list) != NULL) {
		count++;
	}
	if (list != NULL) {
		(void)closedir(list);
	}
	return count < 2 ? 0 : count - 2;
}

size_t room_descriptors(void)
{
	return room_count(AT_FDCWD, "/proc/self/fd");
}
