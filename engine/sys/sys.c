/* sys - the real calls: one errno convention, EINTR retried. */
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define RETRY(call)                                             \
	({                                                      \
		long retry_result;                              \
		do {                                            \
			retry_result = (long)(call);            \
		} while (retry_result < 0 && errno == EINTR);   \
		retry_result < 0 ? -(long)errno : retry_result; \
	})

static int sys_openat(int dir, const char *path, int flags, mode_t mode)
{
	return (int)RETRY(openat(dir, path, flags | O_CLOEXEC, mode));
}

/** What openat2 says of a link, openat with O_DIRECTORY calls no folder. */
static int name_of_refusal(int r, int dir, const char *name)
{
	struct stat st;
	const bool link = r == -ENOTDIR && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			  S_ISLNK(st.st_mode);
	return link ? -ELOOP : r;
}

/** Without openat2 (before 5.6, some sandboxes): one component at a time, none of them a link. */
static int walk_beneath(int dir, const char *path, int flags, mode_t mode)
{
	char name[256];
	int at = dir;
	int r = -EINVAL;
	while (*path != '\0') {
		const char *slash = strchrnul(path, '/');
		const size_t size = (size_t)(slash - path);
		if (size == 0 || size >= sizeof name || (size == 2 && memcmp(path, "..", 2) == 0)) {
			r = size >= sizeof name ? -ENAMETOOLONG : -EXDEV;
			break;
		}
		memcpy(name, path, size);
		name[size] = '\0';
		const bool last = *slash == '\0';
		r = sys_openat(at, name,
			last ? flags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW,
			last ? mode : 0);
		r = name_of_refusal(r, at, name);
		if (at != dir) {
			(void)close(at);
		}
		if (r < 0 || last) {
			return r;
		}
		at = r;
		path = slash + 1;
	}
	if (at != dir) {
		(void)close(at);
	}
	return r;
}

static int sys_openat_beneath(int dir, const char *path, int flags, mode_t mode)
{
	const struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = (flags & O_CREAT) != 0 ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	const long r = RETRY(syscall(SYS_openat2, dir, path, &how, sizeof how));
	ur_fd_new();
	return r == -ENOSYS || r == -EPERM ? walk_beneath(dir, path, flags, mode) : (int)r;
}

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *at);
void __tsan_release(void *at);
static char fd_order;

void ur_fd_new(void)
{
	__tsan_acquire(&fd_order);
}

void ur_fd_gone(void)
{
	__tsan_release(&fd_order);
}
#else
void ur_fd_new(void)
{
}
void ur_fd_gone(void)
{
}
#endif

static int sys_close(int fd)
{
	ur_fd_gone();
	/* On Linux the descriptor is gone also after EINTR: never closed twice. */
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int sys_fstat(int fd, struct stat *ret)
{
#if defined(SYS_fstat) && __SIZEOF_LONG__ == 8
	/* glibc asks by an empty path, which costs the kernel twice as much. */
	return (int)RETRY((int)syscall(SYS_fstat, fd, ret));
#else
	return (int)RETRY(fstat(fd, ret));
#endif
}

static int sys_fstatat(int dir, const char *path, struct stat *ret, int flags)
{
	return (int)RETRY(fstatat(dir, path, ret, flags));
}

static int sys_fstatfs(int fd, struct statfs *ret)
{
	return (int)RETRY(fstatfs(fd, ret));
}

static ssize_t sys_getdents(int fd, void *buffer, size_t size)
{
	return RETRY(syscall(SYS_getdents64, fd, buffer, size));
}

static ssize_t sys_pread(int fd, void *buffer, size_t size, off_t offset)
{
	return RETRY(pread(fd, buffer, size, offset));
}

static ssize_t sys_pread_cached(int fd, void *buffer, size_t size, off_t offset)
{
	const struct iovec whole = {buffer, size};
	return RETRY(preadv2(fd, &whole, 1, offset, RWF_NOWAIT));
}

static ssize_t sys_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	return RETRY(pwrite(fd, buffer, size, offset));
}

static ssize_t sys_sendfile(int socket, int fd, uint64_t offset, size_t size)
{
	off_t at = (off_t)offset;
	return RETRY(sendfile(socket, fd, &at, size));
}

static int sys_fsync(int fd)
{
	return (int)RETRY(fsync(fd));
}

static int sys_fdatasync(int fd)
{
	return (int)RETRY(fdatasync(fd));
}

static int sys_sync_ahead(int fd, off_t offset, off_t size)
{
	return (int)RETRY(sync_file_range(fd, offset, size, SYNC_FILE_RANGE_WRITE));
}

static int sys_ftruncate(int fd, off_t size)
{
	return (int)RETRY(ftruncate(fd, size));
}

static int sys_reserve(int fd, off_t offset, off_t size)
{
	return (int)RETRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, size));
}

static int sys_unlinkat(int dir, const char *name, int flags)
{
	return (int)RETRY(unlinkat(dir, name, flags));
}

static int sys_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	return (int)RETRY(renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE));
}

static int sys_rename_over(int from_dir, const char *from, int to_dir, const char *to)
{
	return (int)RETRY(renameat(from_dir, from, to_dir, to));
}

static int sys_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	return (int)RETRY(linkat(from_dir, from, to_dir, to, flags));
}

static int sys_mkdirat(int dir, const char *name, mode_t mode)
{
	return (int)RETRY(mkdirat(dir, name, mode));
}

static int sys_may_write(int dir)
{
	return (int)RETRY(faccessat(dir, ".", W_OK | X_OK, AT_EACCESS));
}

static int sys_lease(int fd, bool take)
{
	return (int)RETRY(fcntl(fd, F_SETLEASE, take ? F_RDLCK : F_UNLCK));
}

static int sys_flock(int fd, int operation)
{
	return (int)RETRY(flock(fd, operation));
}

static int sys_utimens(int fd, const struct timespec times[2])
{
	return (int)RETRY(futimens(fd, times));
}

static int sys_chmod(int fd, mode_t mode)
{
	return (int)RETRY(fchmod(fd, mode));
}

static int sys_chown(int fd, uid_t owner, gid_t group)
{
	return (int)RETRY(fchown(fd, owner, group));
}

static ssize_t sys_listxattr(int fd, char *names, size_t size)
{
	return RETRY(flistxattr(fd, names, size));
}

static ssize_t sys_getxattr(int fd, const char *name, void *value, size_t size)
{
	return RETRY(fgetxattr(fd, name, value, size));
}

static int sys_setxattr(int fd, const char *name, const void *value, size_t size)
{
	return (int)RETRY(fsetxattr(fd, name, value, size, 0));
}

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

static int sys_mount_of(int fd, uint64_t *ret)
{
	struct statx st;
	const int r = (int)RETRY(statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st));
	if (r < 0 || (st.stx_mask & STATX_MNT_ID) == 0) {
		return r < 0 ? r : -ENOSYS;
	}
	*ret = st.stx_mnt_id;
	return 0;
}

#ifndef SYS_cachestat
#define SYS_cachestat 451 // the same on all architectures
#endif

static int64_t sys_cached(int fd)
{
	struct { // linux/mman.h of 6.5
		uint64_t offset;
		uint64_t size;
	} all = {0, 0}; // 0: to the end
	struct {
		uint64_t cached;
		uint64_t dirty;
		uint64_t writeback;
		uint64_t evicted;
		uint64_t recently_evicted;
	} pages = {0};
	const long r = RETRY(syscall(SYS_cachestat, fd, &all, &pages, 0));
	return r < 0 ? r : (int64_t)pages.cached * sysconf(_SC_PAGESIZE);
}

static void sys_forget(int fd, off_t offset, off_t size)
{
	(void)posix_fadvise(fd, offset, size, POSIX_FADV_DONTNEED);
}

static int sys_direct(int fd, bool past)
{
	const int flags = fcntl(fd, F_GETFL);
	const int wanted = past ? flags | O_DIRECT : flags & ~O_DIRECT;
	return flags < 0 || fcntl(fd, F_SETFL, wanted) < 0 ? -errno : 0;
}

struct ur_sys ur_sys = {
	.openat = sys_openat,
	.openat_beneath = sys_openat_beneath,
	.close = sys_close,
	.fstat = sys_fstat,
	.fstatat = sys_fstatat,
	.fstatfs = sys_fstatfs,
	.getdents = sys_getdents,
	.pread = sys_pread,
	.pread_cached = sys_pread_cached,
	.pwrite = sys_pwrite,
	.sendfile = sys_sendfile,
	.fsync = sys_fsync,
	.fdatasync = sys_fdatasync,
	.sync_ahead = sys_sync_ahead,
	.ftruncate = sys_ftruncate,
	.reserve = sys_reserve,
	.unlinkat = sys_unlinkat,
	.rename_new = sys_rename_new,
	.rename_over = sys_rename_over,
	.linkat = sys_linkat,
	.mkdirat = sys_mkdirat,
	.may_write = sys_may_write,
	.lease = sys_lease,
	.flock = sys_flock,
	.utimens = sys_utimens,
	.chmod = sys_chmod,
	.chown = sys_chown,
	.listxattr = sys_listxattr,
	.getxattr = sys_getxattr,
	.setxattr = sys_setxattr,
	.mount_of = sys_mount_of,
	.cached = sys_cached,
	.direct = sys_direct,
	.forget = sys_forget,
	.effect = NULL,
};

ssize_t ur_sys_pread_all(int fd, void *buffer, size_t size, off_t offset)
{
	size_t done = 0;
	while (done < size) {
		const ssize_t n =
			ur_sys.pread(fd, (char *)buffer + done, size - done, offset + (off_t)done);
		if (n < 0) {
			return n;
		}
		if (n == 0) {
			break;
		}
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int ur_sys_pwrite_all(int fd, const void *buffer, size_t size, off_t offset)
{
	size_t done = 0;
	while (done < size) {
		const ssize_t n = ur_sys.pwrite(
			fd, (const char *)buffer + done, size - done, offset + (off_t)done);
		if (n < 0) {
			return (int)n;
		}
		if (n == 0) {
			return -EIO;
		}
		done += (size_t)n;
	}
	return 0;
}
