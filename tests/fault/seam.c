/*
 * seam - uringest with faults built in: what the environment asks for happens at its seams.
 *
 *     UR_FAULT_CRASH=N         the process ends with 99 at the N-th point
 *     UR_FAULT_BEHIND=MARK:N   … behind the N-th mark of that name ("stage", "copy", "unlink" …)
 *     UR_FAULT_POWER=forget    … and what was not synced is forgotten; =keep: but no names;
 *                              =last: of the names only what happened last; =torn: but the first
 *                              half of each write, and no names
 *     UR_FAULT_HIDE=DIR:DIR    for POWER: a folder on each file system, see power.h
 *     UR_FAULT_KEEP=DIR        … but for that folder's file system, which loses nothing
 *     UR_FAULT_SPOIL=N         one bit of what the N-th pwrite of a file writes is turned
 *     UR_FAULT_COUNT=FILE      at the end: "points=N calls=N fired=0|1"
 *     UR_FAULT_LOG=FILE        the points, one a line
 *     UR_FAULT_FAIL=CALL:N:E   the N-th CALL of the table fails with E (a name or a number)
 *     UR_FAULT_ALLOC=N         the N-th allocation of our own fails
 *     UR_FAULT_FLIP=N          one bit of the N-th finished SHA-1 is flipped (0: of all)
 *     UR_FAULT_HASH=FROM:TO    whoever has the SHA-1 FROM gets TO
 *     UR_FAULT_CHANGE=FILE     the file is changed at the N-th point (UR_FAULT_AT=N), to the bytes
 *     UR_FAULT_WITH=FILE       of this one; its times stay
 *     UR_FAULT_HOW=rewrite     … in place; =replace: by a new file under its name
 *     UR_FAULT_CLOCK=SECONDS   the wall clock is stepped
 *
 * A point is a mark of the engine's own (before or after a side effect), or lies before or after a
 * changing system call of the table.  Points are passed one at a time, so that what a crash finds
 * is what the journal says.
 */
#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/sys/sys.h"
#include "tests/fault/power.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CRASHED 99
#define CANNOT 98

static struct ur_sys real;
static pthread_mutex_t gate = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static unsigned long points;
static unsigned long crash_at;
static unsigned long change_at;
static char behind[32];
static unsigned long behind_at;
static unsigned long spoil_at;
static unsigned long writes;
static const char *count_path;
static FILE *log_file;
static atomic_bool fired;

/* ---- points ---------------------------------------------------------------------------------- */

static unsigned long number(const char *name)
{
	const char *text = getenv(name);
	return text == NULL ? 0 : strtoul(text, NULL, 10);
}

static void take_gate(bool take)
{
	(void)(take ? pthread_mutex_lock(&gate) : pthread_mutex_unlock(&gate));
}

static unsigned long calls_of_failing(void);

static void write_count(void)
{
	FILE *file = count_path == NULL ? NULL : fopen(count_path, "we");
	if (file != NULL) {
		(void)fprintf(file, "points=%lu calls=%lu fired=%d\n", points, calls_of_failing(),
			atomic_load(&fired));
		(void)fclose(file);
	}
}

static void crash(void)
{
	ur_power_cut();
	write_count();
	if (log_file != NULL) {
		(void)fclose(log_file);
	}
	_exit(CRASHED);
}

static void change(void);

/** Under the gate, which a crash never gives back. */
static void point(const char *what, bool done)
{
	take_gate(true);
	points++;
	if (log_file != NULL) {
		(void)fprintf(log_file, "%lu %s %s\n", points, done ? "after" : "before", what);
	}
	if (points == change_at) {
		change();
	}
	const bool is_behind = done && behind_at > 0 && strcmp(what, behind) == 0;
	if (points == crash_at || (is_behind && --behind_at == 0)) {
		crash();
	}
	take_gate(false);
}

/* ---- a call that fails ----------------------------------------------------------------------- */

enum call {
	OPENAT,
	CLOSE,
	FSTAT,
	FSTATAT,
	FSTATFS,
	GETDENTS,
	PREAD,
	PREAD_CACHED,
	PWRITE,
	FSYNC,
	FDATASYNC,
	SYNC_AHEAD,
	FTRUNCATE,
	RESERVE,
	UNLINKAT,
	RENAME_NEW,
	RENAME_OVER,
	LINKAT,
	MKDIRAT,
	LEASE,
	FLOCK,
	UTIMENS,
	CACHED,
	MALLOC,
	CALLS,
};

static const char *const call_names[CALLS] = {"openat", "close", "fstat", "fstatat", "fstatfs",
	"getdents", "pread", "pread_cached", "pwrite", "fsync", "fdatasync", "sync_ahead",
	"ftruncate", "reserve", "unlinkat", "rename_new", "rename_over", "linkat", "mkdirat",
	"lease", "flock", "utimens", "cached", "malloc"};

static enum call failing = CALLS;
static unsigned long failing_at;
static int failing_with;
static atomic_ulong calls_seen;

static unsigned long calls_of_failing(void)
{
	return atomic_load(&calls_seen);
}

/** The error that this call is to have, or 0. */
static int fails(enum call which)
{
	if (which != failing || atomic_fetch_add(&calls_seen, 1) + 1 != failing_at) {
		return 0;
	}
	atomic_store(&fired, true);
	return failing_with;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The linker's --wrap sends our own objects here, libraries not. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

static bool no_memory(void)
{
	if (fails(MALLOC) == 0) {
		return false;
	}
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return no_memory() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return no_memory() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
	return no_memory() ? NULL : __real_strndup(text, size);
}

/* ---- the table ------------------------------------------------------------------------------- */

static int faulty_openat(int dir, const char *path, int flags, mode_t mode)
{
	struct stat st;
	const int error = fails(OPENAT);
	if (error != 0 || (flags & O_CREAT) == 0) {
		return error != 0 ? error : real.openat(dir, path, flags, mode);
	}
	take_gate(true);
	point("openat", false);
	const bool made = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0;
	const int fd = real.openat(dir, path, flags, mode);
	if (fd >= 0 && made) {
		ur_power_created(dir, path);
	}
	point("openat", true);
	take_gate(false);
	return fd;
}

static int faulty_openat_beneath(int dir, const char *path, int flags, mode_t mode)
{
	const int error = fails(OPENAT);
	return error != 0 ? error : real.openat_beneath(dir, path, flags, mode);
}

static int faulty_close(int fd)
{
	const int error = fails(CLOSE);
	const int r = real.close(fd);
	return error != 0 ? error : r;
}

static int faulty_fstat(int fd, struct stat *ret)
{
	const int error = fails(FSTAT);
	return error != 0 ? error : real.fstat(fd, ret);
}

static int faulty_fstatat(int dir, const char *path, struct stat *ret, int flags)
{
	const int error = fails(FSTATAT);
	return error != 0 ? error : real.fstatat(dir, path, ret, flags);
}

static int faulty_fstatfs(int fd, struct statfs *ret)
{
	const int error = fails(FSTATFS);
	return error != 0 ? error : real.fstatfs(fd, ret);
}

static ssize_t faulty_getdents(int fd, void *buffer, size_t size)
{
	const int error = fails(GETDENTS);
	return error != 0 ? error : real.getdents(fd, buffer, size);
}

static ssize_t faulty_pread_cached(int fd, void *buffer, size_t size, off_t offset)
{
	const int error = fails(PREAD_CACHED);
	return error != 0 ? error : real.pread_cached(fd, buffer, size, offset);
}

static ssize_t faulty_pread(int fd, void *buffer, size_t size, off_t offset)
{
	const int error = fails(PREAD);
	return error != 0 ? error : real.pread(fd, buffer, size, offset);
}

/** What a bad disk, cable or memory makes of it. */
static ssize_t write_spoiled(int fd, const void *buffer, size_t size, off_t offset)
{
	char *copy = __real_malloc(size);
	if (copy == NULL || size == 0) {
		return -ENOMEM;
	}
	memcpy(copy, buffer, size);
	copy[size / 2] ^= 0x10;
	const ssize_t n = real.pwrite(fd, copy, size, offset);
	free(copy);
	atomic_store(&fired, true);
	return n;
}

static ssize_t faulty_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	const int error = fails(PWRITE);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("pwrite", false);
	ur_power_write(fd, size, offset);
	const ssize_t n = ++writes == spoil_at ? write_spoiled(fd, buffer, size, offset)
					       : real.pwrite(fd, buffer, size, offset);
	point("pwrite", true);
	take_gate(false);
	return n;
}

static int sync_by(enum call which, int (*sync)(int fd), int fd)
{
	const int error = fails(which);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point(call_names[which], false);
	const int r = sync(fd);
	if (r == 0) {
		ur_power_synced(fd);
	}
	point(call_names[which], true);
	take_gate(false);
	return r;
}

static int faulty_fsync(int fd)
{
	return sync_by(FSYNC, real.fsync, fd);
}

static int faulty_fdatasync(int fd)
{
	return sync_by(FDATASYNC, real.fdatasync, fd);
}

/** Nothing is durable by it. */
static int faulty_sync_ahead(int fd, off_t offset, off_t size)
{
	const int error = fails(SYNC_AHEAD);
	return error != 0 ? error : real.sync_ahead(fd, offset, size);
}

static int faulty_ftruncate(int fd, off_t size)
{
	const int error = fails(FTRUNCATE);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("ftruncate", false);
	ur_power_write(fd, INT64_MAX, size);
	const int r = real.ftruncate(fd, size);
	point("ftruncate", true);
	take_gate(false);
	return r;
}

/** No byte and no name changes by it. */
static int faulty_reserve(int fd, off_t offset, off_t size)
{
	const int error = fails(RESERVE);
	return error != 0 ? error : real.reserve(fd, offset, size);
}

static int faulty_unlinkat(int dir, const char *name, int flags)
{
	const int error = fails(UNLINKAT);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("unlinkat", false);
	ur_power_unlink(dir, name, (flags & AT_REMOVEDIR) != 0);
	const int r = real.unlinkat(dir, name, flags);
	if (r < 0) {
		ur_power_undone();
	}
	point("unlinkat", true);
	take_gate(false);
	return r;
}

static int faulty_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	const int error = fails(RENAME_NEW);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("rename_new", false);
	const int r = real.rename_new(from_dir, from, to_dir, to);
	if (r == 0) {
		ur_power_renamed(from_dir, from, to_dir, to);
	}
	point("rename_new", true);
	take_gate(false);
	return r;
}

static int faulty_rename_over(int from_dir, const char *from, int to_dir, const char *to)
{
	const int error = fails(RENAME_OVER);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("rename_over", false);
	ur_power_replace(from_dir, from, to_dir, to);
	const int r = real.rename_over(from_dir, from, to_dir, to);
	if (r < 0) {
		ur_power_undone();
	}
	point("rename_over", true);
	take_gate(false);
	return r;
}

static int faulty_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	const int error = fails(LINKAT);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("linkat", false);
	const int r = real.linkat(from_dir, from, to_dir, to, flags);
	if (r == 0) {
		ur_power_created(to_dir, to);
	}
	point("linkat", true);
	take_gate(false);
	return r;
}

static int faulty_mkdirat(int dir, const char *name, mode_t mode)
{
	const int error = fails(MKDIRAT);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("mkdirat", false);
	const int r = real.mkdirat(dir, name, mode);
	if (r == 0) {
		ur_power_made(dir, name);
	}
	point("mkdirat", true);
	take_gate(false);
	return r;
}

static int faulty_lease(int fd, bool take)
{
	const int error = fails(LEASE);
	return error != 0 ? error : real.lease(fd, take);
}

static int faulty_flock(int fd, int operation)
{
	const int error = fails(FLOCK);
	return error != 0 ? error : real.flock(fd, operation);
}

static int64_t faulty_cached(int fd)
{
	const int error = fails(CACHED);
	return error != 0 ? error : real.cached(fd);
}

static int faulty_utimens(int fd, const struct timespec times[2])
{
	const int error = fails(UTIMENS);
	if (error != 0) {
		return error;
	}
	take_gate(true);
	point("utimens", false);
	const int r = real.utimens(fd, times);
	point("utimens", true);
	take_gate(false);
	return r;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static bool flips;
static unsigned long flip_at;
static unsigned char hash_from[UR_HASH_SHA1];
static unsigned char hash_to[UR_HASH_SHA1];
static bool hash_given;
static atomic_ulong hashes;

static bool read_hex(const char *text, unsigned char ret[UR_HASH_SHA1])
{
	for (int i = 0; i < UR_HASH_SHA1; i++) {
		unsigned byte = 0;
		if (sscanf(text + 2 * i, "%2x", &byte) != 1) {
			return false;
		}
		ret[i] = (unsigned char)byte;
	}
	return true;
}

static void spoil(uint8_t sha1[UR_HASH_SHA1])
{
	const unsigned long n = atomic_fetch_add(&hashes, 1) + 1;
	if (flips && (flip_at == 0 || flip_at == n)) {
		sha1[7] ^= 0x10;
		atomic_store(&fired, true);
	}
	if (hash_given && memcmp(sha1, hash_from, UR_HASH_SHA1) == 0) {
		memcpy(sha1, hash_to, UR_HASH_SHA1);
		atomic_store(&fired, true);
	}
}

/* ---- a file that changes --------------------------------------------------------------------- */

static bool copy(int from, int to)
{
	char buffer[65536];
	ssize_t n = 0;
	while ((n = read(from, buffer, sizeof buffer)) > 0) {
		if (write(to, buffer, (size_t)n) != n) {
			return false;
		}
	}
	return n == 0;
}

/** The file (if it is still there) gets other bytes and keeps its times, as `touch -r` would. */
static void change(void)
{
	const char *path = getenv("UR_FAULT_CHANGE");
	const char *with = getenv("UR_FAULT_WITH");
	const char *how = getenv("UR_FAULT_HOW");
	const bool replace = how != NULL && strcmp(how, "replace") == 0;
	char other[4096];
	struct stat st;
	if (path == NULL || with == NULL || stat(path, &st) < 0) {
		return;
	}
	(void)snprintf(other, sizeof other, "%s.changing", path);
	const int from = open(with, O_RDONLY | O_CLOEXEC);
	const int to = replace ? open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)
			       : open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	if (to < 0 && errno == EWOULDBLOCK) {
		return; // the importer holds a lease: who wants to write has to wait
	}
	if (from < 0 || to < 0 || !copy(from, to) || futimens(to, times) < 0 ||
		(replace && rename(other, path) < 0)) {
		_exit(CANNOT);
	}
	(void)close(from);
	(void)close(to);
	atomic_store(&fired, true);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static int errno_named(const char *text)
{
	for (int code = 1; code < 134; code++) {
		const char *name = strerrorname_np(code);
		if (name != NULL && strcmp(name, text) == 0) {
			return -code;
		}
	}
	return -(int)strtol(text, NULL, 10);
}

static void read_failing(void)
{
	const char *text = getenv("UR_FAULT_FAIL");
	char name[32];
	char error[32];
	if (text != NULL && sscanf(text, "%31[^:]:%lu:%31s", name, &failing_at, error) == 3) {
		failing_with = errno_named(error);
		for (int i = 0; i < CALLS; i++) {
			failing = strcmp(call_names[i], name) == 0 ? (enum call)i : failing;
		}
	}
	if (getenv("UR_FAULT_ALLOC") != NULL) {
		failing = MALLOC;
		failing_with = -ENOMEM;
		failing_at = number("UR_FAULT_ALLOC");
	}
}

static void read_behind(void)
{
	const char *text = getenv("UR_FAULT_BEHIND");
	if (text != NULL && sscanf(text, "%31[^:]:%lu", behind, &behind_at) != 2) {
		_exit(CANNOT);
	}
}

static void read_hashes(void)
{
	const char *text = getenv("UR_FAULT_HASH");
	flips = getenv("UR_FAULT_FLIP") != NULL;
	flip_at = number("UR_FAULT_FLIP");
	hash_given = text != NULL && strlen(text) == 4 * UR_HASH_SHA1 + 1 &&
		     read_hex(text, hash_from) && read_hex(text + 2 * UR_HASH_SHA1 + 1, hash_to);
	if (flips || hash_given) {
		ur_hash_spoil = spoil;
	}
}

static void read_power(void)
{
	const char *text = getenv("UR_FAULT_POWER");
	const char *hide = getenv("UR_FAULT_HIDE");
	if (text != NULL && hide != NULL) {
		const enum ur_power power = strcmp(text, "forget") == 0 ? UR_POWER_FORGET
					    : strcmp(text, "last") == 0 ? UR_POWER_LAST
					    : strcmp(text, "torn") == 0 ? UR_POWER_TORN
									: UR_POWER_KEEP;
		ur_power_begin(power, hide, point, take_gate);
		ur_power_spare(getenv("UR_FAULT_KEEP"));
	}
}

__attribute__((constructor)) static void begin(void)
{
	const char *log_path = getenv("UR_FAULT_LOG");
	const char *clock = getenv("UR_FAULT_CLOCK");
	real = ur_sys;
	ur_sys.openat = faulty_openat;
	ur_sys.openat_beneath = faulty_openat_beneath;
	ur_sys.close = faulty_close;
	ur_sys.fstat = faulty_fstat;
	ur_sys.fstatat = faulty_fstatat;
	ur_sys.fstatfs = faulty_fstatfs;
	ur_sys.getdents = faulty_getdents;
	ur_sys.pread = faulty_pread;
	ur_sys.pread_cached = faulty_pread_cached;
	ur_sys.pwrite = faulty_pwrite;
	ur_sys.fsync = faulty_fsync;
	ur_sys.fdatasync = faulty_fdatasync;
	ur_sys.sync_ahead = faulty_sync_ahead;
	ur_sys.ftruncate = faulty_ftruncate;
	ur_sys.reserve = faulty_reserve;
	ur_sys.unlinkat = faulty_unlinkat;
	ur_sys.rename_new = faulty_rename_new;
	ur_sys.rename_over = faulty_rename_over;
	ur_sys.linkat = faulty_linkat;
	ur_sys.mkdirat = faulty_mkdirat;
	ur_sys.lease = faulty_lease;
	ur_sys.flock = faulty_flock;
	ur_sys.utimens = faulty_utimens;
	ur_sys.cached = faulty_cached;
	ur_sys.effect = point;
	crash_at = number("UR_FAULT_CRASH");
	change_at = number("UR_FAULT_AT");
	spoil_at = number("UR_FAULT_SPOIL");
	read_behind();
	count_path = getenv("UR_FAULT_COUNT");
	log_file = log_path == NULL ? NULL : fopen(log_path, "we");
	if (clock != NULL) {
		ur_clock_step(strtol(clock, NULL, 10) * UR_SECOND_NS);
	}
	read_failing();
	read_hashes();
	read_power();
	(void)atexit(write_count);
}
