/*
 * power - a journal of undoing, and the VFS that feeds it.
 *
 * Folders are remembered by their paths: one that was removed and is made again has another
 * descriptor but the same path.  When one is renamed, what happened in it is renamed as well.
 */
#include "tests/fault/power.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTHING_PROVEN 98

enum kind {
	WRITE,
	CREATE,
	UNLINK,
	RENAME,
	REPLACE,
	MKDIR,
	RMDIR,
	FORGOTTEN,
};

struct record {
	enum kind kind;
	char *dir; // of the name
	char *name;
	char *other_dir; // RENAME, REPLACE: where it is now
	char *other;     // RENAME, REPLACE: its name there
	char *hidden;    // UNLINK, REPLACE: where what was there is; NULL: nothing was
	mode_t mode;     // RMDIR
	/* WRITE */
	dev_t device;
	ino_t inode;
	int fd; // -1: by its path
	off_t offset;
	off_t size_before;
	size_t size; // that were written
	size_t kept;
	void *bytes;
};

static enum ur_power power;
static const char *hide_list;
static dev_t spared; // 0: none
static void (*announce)(const char *, bool);
static void (*gate)(bool);
static struct record *journal;
static size_t count;
static unsigned hidden_count;

static void must(bool good, const char *what)
{
	if (!good) {
		(void)fprintf(stderr, "power: %s: %s\n", what, strerror(errno));
		_exit(NOTHING_PROVEN);
	}
}

static char *copy_of(const char *text, size_t size)
{
	char *copy = calloc(1, size + 1);
	must(copy != NULL, "no memory");
	memcpy(copy, text, size);
	return copy;
}

static struct record *add(enum kind kind)
{
	journal = reallocarray(journal, count + 1, sizeof *journal);
	must(journal != NULL, "no memory");
	journal[count] = (struct record){.kind = kind, .fd = -1};
	return &journal[count++];
}

static void forget(struct record *x)
{
	if (x->hidden != NULL) {
		(void)unlink(x->hidden);
	}
	if (x->fd >= 0) {
		(void)close(x->fd);
	}
	free(x->dir);
	free(x->name);
	free(x->other_dir);
	free(x->other);
	free(x->hidden);
	free(x->bytes);
	*x = (struct record){.kind = FORGOTTEN, .fd = -1};
}

/* ---- names ----------------------------------------------------------------------------------- */

static char *path_of_fd(int fd)
{
	char link[64];
	char path[PATH_MAX];
	if (fd == AT_FDCWD) {
		must(getcwd(path, sizeof path) != NULL, "where are we");
		return copy_of(path, strlen(path));
	}
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	const ssize_t size = readlink(link, path, sizeof path - 1);
	must(size > 0, "what is this descriptor");
	return copy_of(path, (size_t)size);
}

/** `name` seen from `dir`, as the path of its folder and the last component. */
static void split(int dir, const char *name, char **ret_dir, char **ret_name)
{
	const char *slash = strrchr(name, '/');
	if (slash == NULL) {
		*ret_dir = path_of_fd(dir);
		*ret_name = copy_of(name, strlen(name));
		return;
	}
	*ret_name = copy_of(slash + 1, strlen(slash + 1));
	if (name[0] == '/') {
		*ret_dir = copy_of(name, slash == name ? 1 : (size_t)(slash - name));
		return;
	}
	char *base = path_of_fd(dir);
	char *whole = NULL;
	must(asprintf(&whole, "%s/%.*s", base, (int)(slash - name), name) > 0, "no memory");
	free(base);
	*ret_dir = whole;
}

static char *join(const char *dir, const char *name)
{
	char *path = NULL;
	must(asprintf(&path, "%s/%s", dir, name) > 0, "no memory");
	return path;
}

/** A name in the folder of the list that is on the same file system as `path`. */
static char *hiding_place(const char *path)
{
	struct stat of_path;
	struct stat of_place;
	char *list = copy_of(hide_list, strlen(hide_list));
	char *rest = list;
	char *place = NULL;
	char *ret = NULL;
	must(lstat(path, &of_path) == 0, path);
	while (ret == NULL && (place = strsep(&rest, ":")) != NULL) {
		if (stat(place, &of_place) == 0 && of_place.st_dev == of_path.st_dev) {
			must(asprintf(&ret, "%s/%d-%u", place, (int)getpid(), ++hidden_count) > 0,
				place);
		}
	}
	free(list);
	must(ret != NULL, "no hiding place on this file system");
	return ret;
}

static bool on(void)
{
	return power != UR_POWER_STAYS;
}

void ur_power_created(int dir, const char *name)
{
	if (on()) {
		struct record *x = add(CREATE);
		split(dir, name, &x->dir, &x->name);
	}
}

void ur_power_made(int dir, const char *name)
{
	if (on()) {
		struct record *x = add(MKDIR);
		split(dir, name, &x->dir, &x->name);
	}
}

static void follow(char **dir, const char *from, const char *to)
{
	const size_t size = strlen(from);
	if (*dir != NULL && strncmp(*dir, from, size) == 0 &&
		((*dir)[size] == '\0' || (*dir)[size] == '/')) {
		char *moved = NULL;
		must(asprintf(&moved, "%s%s", to, *dir + size) > 0, "no memory");
		free(*dir);
		*dir = moved;
	}
}

/** A folder has another name now, and what is in it goes with it. */
static void folder_moved(const char *from, const char *to)
{
	for (size_t i = 0; i < count; i++) {
		follow(&journal[i].dir, from, to);
		follow(&journal[i].other_dir, from, to);
	}
}

void ur_power_renamed(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat st;
	if (on()) {
		struct record *x = add(RENAME);
		split(from_dir, from, &x->dir, &x->name);
		split(to_dir, to, &x->other_dir, &x->other);
		char *before = join(x->dir, x->name);
		char *now = join(x->other_dir, x->other);
		if (lstat(now, &st) == 0 && S_ISDIR(st.st_mode)) {
			folder_moved(before, now);
		}
		free(before);
		free(now);
	}
}

/** What has the name `path` stays reachable; NULL when there is nothing. */
static char *hide(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0) {
		return NULL;
	}
	char *place = hiding_place(path);
	must(link(path, place) == 0, path);
	return place;
}

void ur_power_replace(int from_dir, const char *from, int to_dir, const char *to)
{
	if (on()) {
		struct record *x = add(REPLACE);
		split(from_dir, from, &x->dir, &x->name);
		split(to_dir, to, &x->other_dir, &x->other);
		char *path = join(x->other_dir, x->other);
		x->hidden = hide(path);
		free(path);
	}
}

void ur_power_unlink(int dir, const char *name, bool folder)
{
	struct stat st;
	if (!on()) {
		return;
	}
	struct record *x = add(folder ? RMDIR : UNLINK);
	split(dir, name, &x->dir, &x->name);
	char *path = join(x->dir, x->name);
	if (lstat(path, &st) < 0) {
		st.st_mode = 0; // the call will fail
	} else if (folder) {
		x->mode = st.st_mode & 07777;
	} else {
		x->hidden = hide(path);
	}
	free(path);
}

void ur_power_undone(void)
{
	if (on()) {
		forget(&journal[--count]);
	}
}

/** A folder that is gone for good has nothing in it that could come back. */
static void forget_within(const char *dir, const char *name, size_t before)
{
	char *path = join(dir, name);
	for (size_t i = 0; i < before; i++) {
		struct record *x = &journal[i];
		if (x->kind != WRITE && x->dir != NULL && strcmp(x->dir, path) == 0) {
			forget(x);
		}
	}
	free(path);
}

static void synced_folder(const char *path)
{
	for (size_t i = 0; i < count; i++) {
		struct record *x = &journal[i];
		const bool here = x->dir != NULL && strcmp(x->dir, path) == 0;
		const bool there = x->other_dir != NULL && strcmp(x->other_dir, path) == 0;
		if (x->kind == RMDIR && here) {
			forget_within(x->dir, x->name, i);
		}
		if (x->kind != WRITE && (here || there)) {
			forget(x);
		}
	}
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void synced_file(const struct stat *st)
{
	for (size_t i = 0; i < count; i++) {
		struct record *x = &journal[i];
		if (x->kind == WRITE && x->device == st->st_dev && x->inode == st->st_ino) {
			forget(x);
		}
	}
}

void ur_power_synced(int fd)
{
	struct stat st;
	if (!on() || fstat(fd, &st) < 0) {
		return;
	}
	if (S_ISDIR(st.st_mode)) {
		char *path = path_of_fd(fd);
		synced_folder(path);
		free(path);
	} else {
		synced_file(&st);
	}
}

void ur_power_write(int fd, size_t size, off_t offset)
{
	struct stat st;
	char link[64];
	if (!on()) {
		return;
	}
	struct record *x = add(WRITE);
	must(fstat(fd, &st) == 0, "what is being written");
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	x->fd = open(link, O_RDWR | O_CLOEXEC);
	must(x->fd >= 0, "the file that is being written");
	x->device = st.st_dev;
	x->inode = st.st_ino;
	x->offset = offset;
	x->size = size;
	x->size_before = st.st_size;
	if (offset < st.st_size) {
		const off_t left = st.st_size - offset;
		x->kept = left < (off_t)size ? (size_t)left : size;
		x->bytes = malloc(x->kept);
		must(x->bytes != NULL &&
				pread(x->fd, x->bytes, x->kept, offset) == (ssize_t)x->kept,
			"the bytes before");
	}
}

/* ---- the cut --------------------------------------------------------------------------------- */

static void undo_write(const struct record *x)
{
	int fd = x->fd;
	if (fd < 0) {
		char *path = join(x->dir, x->name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		free(path);
	}
	if (fd < 0) {
		return; // its name went as well
	}
	/* A cut-off end was no write: it is there again. */
	const size_t stays = power == UR_POWER_TORN && x->size <= SSIZE_MAX / 2 ? x->size / 2 : 0;
	const off_t end = x->offset + (off_t)stays;
	const size_t left = x->kept > stays ? x->kept - stays : 0;
	must(left == 0 || pwrite(fd, (char *)x->bytes + stays, left, end) == (ssize_t)left,
		"undoing a write");
	must(ftruncate(fd, stays > 0 && end > x->size_before ? end : x->size_before) == 0,
		"undoing a write");
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

static void undo_name(const struct record *x)
{
	char *path = join(x->dir, x->name);
	char *other = x->other != NULL ? join(x->other_dir, x->other) : NULL;
	switch (x->kind) {
	case CREATE:
		must(unlink(path) == 0, path);
		break;
	case UNLINK:
		must(link(x->hidden, path) == 0, path);
		break;
	case RENAME:
		must(renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_NOREPLACE) == 0, path);
		folder_moved(other, path);
		break;
	case REPLACE:
		must(renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_NOREPLACE) == 0, path);
		must(x->hidden == NULL || link(x->hidden, other) == 0, other);
		break;
	case MKDIR:
		/* What was synced below it cannot be reached without it. */
		must(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, path);
		break;
	case RMDIR:
		must(mkdir(path, x->mode) == 0, path);
		break;
	case WRITE:
	case FORGOTTEN:
		break;
	}
	free(other);
	free(path);
}

void ur_power_spare(const char *dir)
{
	struct stat st;
	if (dir != NULL) {
		must(stat(dir, &st) == 0, dir);
		spared = st.st_dev;
	}
}

/** On the file system that loses nothing: by the nearest folder that is still there. */
static bool is_spared(const struct record *x)
{
	struct stat st;
	if (spared == 0) {
		return false;
	}
	if (x->kind == WRITE && x->device != 0) {
		return x->device == spared;
	}
	char *path = copy_of(x->dir, strlen(x->dir));
	char *slash = NULL;
	while (stat(path, &st) < 0 && (slash = strrchr(path, '/')) != NULL) {
		*slash = '\0';
	}
	free(path);
	return st.st_dev == spared;
}

void ur_power_cut(void)
{
	size_t names = power == UR_POWER_FORGET ? SIZE_MAX : power == UR_POWER_LAST ? 1 : 0;
	for (size_t i = count; i > 0; i--) {
		const struct record *x = &journal[i - 1];
		if (x->kind != FORGOTTEN && is_spared(x)) {
			continue;
		}
		if (x->kind == WRITE) {
			undo_write(x);
		} else if (x->kind != FORGOTTEN && names > 0) {
			undo_name(x);
			names--;
		}
	}
}

/* ---- SQLite ---------------------------------------------------------------------------------- */

struct shim {
	sqlite3_file base;
	char *path;
	bool syncs_folder; // SQLite syncs the folder together with a new journal
	sqlite3_file real[];
};

static sqlite3_vfs *below;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct shim *)file)->real;
}

/** As ur_power_write(), but by SQLite's own reading: a second descriptor would drop its locks. */
static void before_change(struct shim *shim, sqlite3_int64 offset, sqlite3_int64 size)
{
	struct stat st;
	if (shim->path == NULL || stat(shim->path, &st) < 0) {
		return; // a temporary file
	}
	struct record *x = add(WRITE);
	split(AT_FDCWD, shim->path, &x->dir, &x->name);
	x->device = st.st_dev;
	x->inode = st.st_ino;
	x->offset = offset;
	x->size_before = st.st_size;
	const sqlite3_int64 left = st.st_size - offset;
	if (left > 0) {
		x->kept = (size_t)(left < size ? left : size);
		x->bytes = malloc(x->kept);
		must(x->bytes != NULL && shim->real->pMethods->xRead(shim->real, x->bytes,
						 (int)x->kept, offset) == SQLITE_OK,
			"the ledger's bytes before");
	}
}

static int shim_close(sqlite3_file *file)
{
	struct shim *shim = (struct shim *)file;
	free(shim->path);
	return shim->real->pMethods == NULL ? SQLITE_OK : shim->real->pMethods->xClose(shim->real);
}

static int shim_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
	return real_of(file)->pMethods->xRead(real_of(file), bytes, size, offset);
}

static int shim_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
	gate(true);
	before_change((struct shim *)file, offset, size);
	const int r = real_of(file)->pMethods->xWrite(real_of(file), bytes, size, offset);
	gate(false);
	return r;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	gate(true);
	before_change((struct shim *)file, size, INT_MAX);
	const int r = real_of(file)->pMethods->xTruncate(real_of(file), size);
	gate(false);
	return r;
}

static int shim_sync(sqlite3_file *file, int flags)
{
	struct shim *shim = (struct shim *)file;
	struct stat st;
	announce("sqlite-sync", false);
	gate(true);
	const int r = shim->real->pMethods->xSync(shim->real, flags);
	if (r == SQLITE_OK && shim->path != NULL && stat(shim->path, &st) == 0) {
		synced_file(&st);
		if (shim->syncs_folder) {
			char *dir = NULL;
			char *name = NULL;
			split(AT_FDCWD, shim->path, &dir, &name);
			synced_folder(dir);
			free(dir);
			free(name);
			shim->syncs_folder = false;
		}
	}
	gate(false);
	announce("sqlite-sync", true);
	return r;
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static int shim_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_check_lock(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int shim_control(sqlite3_file *file, int what, void *argument)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), what, argument);
}

static int shim_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_device(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int delete_it)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods shim_methods = {
	.iVersion = 2,
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_check_lock,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector,
	.xDeviceCharacteristics = shim_device,
	.xShmMap = shim_shm_map,
	.xShmLock = shim_shm_lock,
	.xShmBarrier = shim_shm_barrier,
	.xShmUnmap = shim_shm_unmap,
};

static int shim_open(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct shim *shim = (struct shim *)file;
	struct stat st;
	(void)vfs;
	*shim = (struct shim){.base.pMethods = NULL};
	gate(true);
	const bool was_there = name != NULL && stat(name, &st) == 0;
	const int r = below->xOpen(below, name, shim->real, flags, ret_flags);
	if (shim->real->pMethods != NULL) {
		shim->base.pMethods = &shim_methods;
	}
	if (r == SQLITE_OK && name != NULL) {
		shim->path = copy_of(name, strlen(name));
		shim->syncs_folder = (flags & SQLITE_OPEN_CREATE) != 0 &&
				     (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
		if (!was_there) {
			ur_power_created(AT_FDCWD, name);
		}
	}
	gate(false);
	return r;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	(void)vfs;
	gate(true);
	ur_power_unlink(AT_FDCWD, name, false);
	const int r = below->xDelete(below, name, sync_folder);
	if (r != SQLITE_OK) {
		ur_power_undone();
	} else if (sync_folder) {
		char *dir = NULL;
		char *last = NULL;
		split(AT_FDCWD, name, &dir, &last);
		synced_folder(dir);
		free(dir);
		free(last);
	}
	gate(false);
	return r;
}

void ur_power_begin(enum ur_power which, const char *hide, void (*point)(const char *, bool),
	void (*take)(bool))
{
	static sqlite3_vfs vfs;
	power = which;
	hide_list = hide;
	announce = point;
	gate = take;
	must(sqlite3_initialize() == SQLITE_OK, "SQLite");
	below = sqlite3_vfs_find(NULL);
	must(below != NULL, "SQLite's VFS");
	vfs = *below;
	vfs.zName = "faulty";
	vfs.pNext = NULL;
	vfs.szOsFile = below->szOsFile + (int)sizeof(struct shim);
	vfs.xOpen = shim_open;
	vfs.xDelete = shim_delete;
	must(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK, "SQLite's VFS");
}
