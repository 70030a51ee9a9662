/**
 * sys - every system call that touches somebody's files, behind one table.
 *
 * The table is how tests make the n-th call fail, forget what was not synced, or end the process
 * between two side effects.  Production code calls `ur_sys.openat(...)` and nothing else for files.
 *
 *   Errors   every entry returns >= 0, or a negative errno (never -1); EINTR is retried inside
 *   Threads  the table is written before the first thread starts and read-only afterwards
 *
 * `effect` marks the side effects that a crash test counts: before it happens and after it
 * happened.  It is NULL outside such tests.
 */
#ifndef UR_SYS_SYS_H
#define UR_SYS_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>

struct ur_sys {
	int (*openat)(int dir, const char *path, int flags, mode_t mode);
	/** As openat, but never leaves `dir` and never passes a symbolic link on the way. */
	int (*openat_beneath)(int dir, const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	int (*fstat)(int fd, struct stat *ret);
	int (*fstatat)(int dir, const char *path, struct stat *ret, int flags);
	int (*fstatfs)(int fd, struct statfs *ret);
	ssize_t (*getdents)(int fd, void *buffer, size_t size);
	ssize_t (*pread)(int fd, void *buffer, size_t size, off_t offset);
	/** Only what is in memory, without a wait: -EAGAIN for the rest, -EOPNOTSUPP on some file systems. */
	ssize_t (*pread_cached)(int fd, void *buffer, size_t size, off_t offset);
	ssize_t (*pwrite)(int fd, const void *buffer, size_t size, off_t offset);
	/** From a file to a socket that does not wait: fewer bytes, or -EAGAIN, are normal. */
	ssize_t (*sendfile)(int socket, int fd, uint64_t offset, size_t size);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	/** Starts write-back of dirty pages and makes nothing durable. */
	int (*sync_ahead)(int fd, off_t offset, off_t size);
	int (*ftruncate)(int fd, off_t size);
	/** Takes blocks for bytes to come; the file's size stays. */
	int (*reserve)(int fd, off_t offset, off_t size);
	int (*unlinkat)(int dir, const char *name, int flags);
	/** renameat2 with RENAME_NOREPLACE: -EEXIST rather than a lost file. */
	int (*rename_new)(int from_dir, const char *from, int to_dir, const char *to);
	/** renameat: what has the name `to` is replaced. */
	int (*rename_over)(int from_dir, const char *from, int to_dir, const char *to);
	int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
	int (*mkdirat)(int dir, const char *name, mode_t mode);
	/** Whether we may make and remove names in the open folder. */
	int (*may_write)(int dir);
	/** F_RDLCK lease and its release: proof that nobody has the file open for writing. */
	int (*lease)(int fd, bool take);
	int (*flock)(int fd, int operation);
	int (*utimens)(int fd, const struct timespec times[2]);
	int (*chmod)(int fd, mode_t mode);
	int (*chown)(int fd, uid_t owner, gid_t group);
	/** Names one after the other, each ended by NUL; -EOPNOTSUPP where there are none. */
	ssize_t (*listxattr)(int fd, char *names, size_t size);
	ssize_t (*getxattr)(int fd, const char *name, void *value, size_t size);
	int (*setxattr)(int fd, const char *name, const void *value, size_t size);
	/** The mount that `fd` was opened through; -ENOSYS before Linux 5.8. */
	int (*mount_of)(int fd, uint64_t *ret);
	/** How many bytes of the file are in memory; -ENOSYS before Linux 6.5. */
	int64_t (*cached)(int fd);
	/** Reads past the page cache, or by it again; -EINVAL where the file system cannot. */
	int (*direct)(int fd, bool past);
	/** What was read of the file need not stay in memory for our sake; only advice. */
	void (*forget)(int fd, off_t offset, off_t size);
	/** Marks a side effect of the kind `what`, before (false) and after (true). */
	void (*effect)(const char *what, bool done);
};

extern struct ur_sys ur_sys;

static inline void ur_effect(const char *what, bool done)
{
	if (ur_sys.effect != NULL) {
		ur_sys.effect(what, done);
	}
}

/**
 * ThreadSanitizer sees neither openat2 nor what a ring opens and closes, and so takes a number that
 * is used again for the descriptor that had it before.  These two put the uses in order: `new`
 * behind such an opening, `gone` before a closing.  Nothing without it.
 */
void ur_fd_new(void);
void ur_fd_gone(void);

/** pread until `size` bytes or the end; the number read, or a negative errno. */
[[nodiscard]] ssize_t ur_sys_pread_all(int fd, void *buffer, size_t size, off_t offset);
/** pwrite until all is written; 0 or a negative errno. */
[[nodiscard]] int ur_sys_pwrite_all(int fd, const void *buffer, size_t size, off_t offset);

#endif
