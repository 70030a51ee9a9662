/*
 * settle - one file after the other, each step checked, each failure undone.
 */
#include "engine/stage/settle.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_BUFFER (1u << 20)
#define STAGED_NAME_MAX 255
#define FREE_NAMES_MAX 1000 // "IMG (2).jpg" … before we give up
#define RECOVER_ROWS_MAX 65536

struct ur_settle {
	struct ur_run *run;
	struct ur_settle_wiring wiring;
	pthread_t thread;
	unsigned char *buffer;
	int target_fd; // --after move=DIR
	struct ur_fs target_fs;
};

/** One file on its way out. */
struct removal {
	struct ur_settle *settle;
	struct ur_item *item;
	struct ur_file *file;
	int dir_fd;
	int fd; // of the file, opened by its name, with a lease where there are leases
	int staging_fd;
	bool staging_here; // the staging folder stands beside the file, not in the root
	char staged[STAGED_NAME_MAX + 1];
	bool suspicious; // its ctime is not the one that was hashed: hash again
};

/* ---- names ----------------------------------------------------------------------------------- */

/** TOKEN-NAME, the front of NAME cut when it is too long: what is left keeps its extension. */
static void staged_name(const char *token, const char *name, char ret[STAGED_NAME_MAX + 1])
{
	const size_t mark = strlen(token);
	const size_t room = STAGED_NAME_MAX - mark - 1;
	const size_t size = strlen(name);
	const size_t keep = size > room ? room : size;
	(void)snprintf(ret, mark + 2, "%s-", token);
	memcpy(ret + mark + 1, name + size - keep, keep + 1);
}

/** "IMG.jpg" → "IMG (2).jpg": a name beside one that is taken. */
static void other_name(const char *name, int number, char *ret, size_t room)
{
	const char *dot = strrchr(name, '.');
	const size_t stem = dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name);
	char mark[16];
	const int mark_size = snprintf(mark, sizeof mark, " (%d)", number);
	const size_t tail = strlen(name + stem);
	size_t keep = stem;
	if (keep + (size_t)mark_size + tail > 255) {
		keep = 255 - (size_t)mark_size - tail;
	}
	(void)snprintf(ret, room, "%.*s%s%s", (int)keep, name, mark, name + stem);
}

/** rename that never replaces; when the name is taken, another one beside it. */
static int rename_beside(int from_dir, const char *from, int to_dir, const char *to)
{
	int r = ur_sys.rename_new(from_dir, from, to_dir, to);
	for (int n = 2; r == -EEXIST && n < FREE_NAMES_MAX; n++) {
		char name[320];
		other_name(to, n, name, sizeof name);
		r = ur_sys.rename_new(from_dir, from, to_dir, name);
	}
	return r;
}

/* ---- staging --------------------------------------------------------------------------------- */

static int open_staging(int parent)
{
	int r = ur_sys.mkdirat(parent, UR_STAGING, 0700);
	if (r < 0 && r != -EEXIST) {
		return r;
	}
	return ur_sys.openat(parent, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/**
 * Opens the file by its name and sees that it is as it was hashed, ctime included: the rename will
 * change that.  The lease comes first, so that who opens it for writing from here on waits, and is
 * seen by prove(); times can be set back, but not without opening the file.
 */
static int hold(struct removal *x)
{
	struct stat st = {0};
	x->fd = ur_sys.openat(
		x->dir_fd, x->file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (x->fd < 0) {
		return x->fd == -ENOENT ? UR_SETTLE_GONE : x->fd == -ELOOP ? -ESTALE : x->fd;
	}
	/* -EAGAIN: a writer.  Other refusals (not our file, NFS) prove nothing either way. */
	if (ur_sys.lease(x->fd, true) == -EAGAIN) {
		return -ETXTBSY;
	}
	const int r = ur_sys.fstat(x->fd, &st);
	if (r < 0) {
		return r;
	}
	const struct ur_identity now = ur_identity_of(&st, x->file->identity.fs);
	if (!S_ISREG(st.st_mode) || !ur_identity_alike(&now, &x->file->identity)) {
		return -ESTALE;
	}
	x->suspicious = !ur_identity_same(&now, &x->file->identity);
	return 0;
}

static int stage(struct removal *x)
{
	const struct ur_root *root = x->item->dir->root;
	x->staging_here = root->loose || x->item->dir->fs.device != root->fs.device;
	x->staging_fd = open_staging(x->staging_here ? x->dir_fd : root->fd);
	if (x->staging_fd < 0) {
		return x->staging_fd;
	}
	int r = hold(x);
	if (r < 0) {
		return r;
	}
	staged_name(x->file->staged, x->file->name, x->staged);
	ur_effect("stage", false);
	r = ur_sys.rename_new(x->dir_fd, x->file->name, x->staging_fd, x->staged);
	ur_effect("stage", true);
	return r == -ENOENT ? UR_SETTLE_GONE : r;
}

static void unstage(struct removal *x)
{
	ur_effect("unstage", false);
	const int r = ur_sys.rename_new(x->staging_fd, x->staged, x->dir_fd, x->file->name);
	ur_effect("unstage", true);
	if (r == -EEXIST) {
		(void)rename_beside(x->staging_fd, x->staged, x->dir_fd, x->file->name);
	}
}

static void leave_staging(struct removal *x)
{
	if (x->staging_fd >= 0) {
		(void)ur_sys.close(x->staging_fd);
		/* Fails while it is not empty, which is what we want. */
		(void)ur_sys.unlinkat(x->staging_here ? x->dir_fd : x->item->dir->root->fd,
			UR_STAGING, AT_REMOVEDIR);
	}
}

/* ---- proof ----------------------------------------------------------------------------------- */

/** SHA-1 of an open file by OpenSSL, from a fresh start: no lane of ours is involved. */
static int sha1_of(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint64_t offset = 0;
	unsigned size = 0;
	unsigned char digest[EVP_MAX_MD_SIZE];
	int r = context == NULL ? -ENOMEM : 0;
	if (r == 0 && EVP_DigestInit_ex(context, EVP_sha1(), NULL) != 1) {
		r = -EIO;
	}
	while (r == 0) {
		const ssize_t n = ur_sys.pread(fd, settle->buffer, COPY_BUFFER, (off_t)offset);
		if (n <= 0) {
			r = (int)n;
			break;
		}
		offset += (uint64_t)n;
		r = EVP_DigestUpdate(context, settle->buffer, (size_t)n) == 1 ? 0 : -EIO;
	}
	if (r == 0 && (EVP_DigestFinal_ex(context, digest, &size) != 1 || size != UR_HASH_SHA1)) {
		r = -EIO;
	}
	EVP_MD_CTX_free(context);
	if (r == 0) {
		memcpy(ret, digest, UR_HASH_SHA1);
		atomic_fetch_add(&settle->run->bytes_hashed, offset);
	}
	return r;
}

/** (d) of promise 1, and every other reason to doubt that these are the bytes that were sent. */
static bool must_hash_again(const struct removal *x)
{
	const struct ur_file *file = x->file;
	const bool ours = file->now_sent || file->created;
	return !ours || file->there || !file->remembered || x->suspicious ||
	       (!x->item->dir->fs.trusted && !file->fresh);
}

/** The staged file, opened afresh, is the one that was hashed; nobody writes to it. */
static int prove(struct removal *x, int *ret_fd)
{
	struct stat st = {0};
	const int fd = ur_sys.openat(
		x->staging_fd, x->staged, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		return fd;
	}
	int r = ur_sys.fstat(fd, &st);
	const struct ur_identity now = ur_identity_of(&st, x->file->identity.fs);
	if (r == 0 && (!S_ISREG(st.st_mode) || !ur_identity_alike(&now, &x->file->identity))) {
		r = -ESTALE;
	}
	/* Who waits for our first lease to be given up counts as a writer too. */
	if (r == 0 && ur_sys.lease(fd, true) == -EAGAIN) {
		r = -ETXTBSY;
	}
	if (r == 0 && must_hash_again(x)) {
		uint8_t sha1[UR_HASH_SHA1];
		r = sha1_of(x->settle, fd, sha1);
		if (r == 0 && memcmp(sha1, x->file->sha1, sizeof sha1) != 0) {
			r = -ESTALE;
		}
	}
	struct stat after = {0};
	if (r == 0) {
		r = ur_sys.fstat(fd, &after);
	}
	const struct ur_identity last = ur_identity_of(&after, x->file->identity.fs);
	if (r == 0 && !ur_identity_same(&now, &last)) {
		r = -ESTALE;
	}
	if (r < 0) {
		(void)ur_sys.close(fd); // and the lease with it
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* ---- moving ---------------------------------------------------------------------------------- */

/** Opens DIR/below, making what is missing; every component a real folder. */
static int open_target(struct ur_settle *settle, const struct ur_dir *dir)
{
	if (dir->parent == NULL || dir->root->loose) {
		return ur_sys.openat(settle->target_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	}
	const int parent = open_target(settle, dir->parent);
	if (parent < 0) {
		return parent;
	}
	int r = ur_sys.mkdirat(parent, dir->name, 0777);
	r = r == -EEXIST ? 0 : r;
	r = r < 0 ? r : ur_sys.openat(parent, dir->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	(void)ur_sys.close(parent);
	return r;
}

/** DIR/below and all folders above it: one that is not durable takes with it what is below. */
static int sync_target(struct ur_settle *settle, const struct ur_dir *dir)
{
	const bool loose = dir->root->loose;
	int r = 0;
	for (; r == 0 && dir != NULL; dir = loose ? NULL : dir->parent) {
		const int fd = open_target(settle, dir);
		r = fd < 0 ? fd : ur_sys.fsync(fd);
		if (fd >= 0) {
			(void)ur_sys.close(fd);
		}
	}
	return r;
}

static int copy_bytes(struct ur_settle *settle, int from, int to)
{
	off_t offset = 0;
	for (;;) {
		const ssize_t n = ur_sys.pread(from, settle->buffer, COPY_BUFFER, offset);
		if (n <= 0) {
			return (int)n;
		}
		const int r = ur_sys_pwrite_all(to, settle->buffer, (size_t)n, offset);
		if (r < 0) {
			return r;
		}
		offset += n;
	}
}

/** What was written is read back from a fresh descriptor, past the cache as far as possible. */
static int read_back(
	struct ur_settle *settle, int dir, const char *name, const struct ur_file *file)
{
	uint8_t sha1[UR_HASH_SHA1];
	const int fd = ur_sys.openat(dir, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0) {
		return fd;
	}
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	int r = sha1_of(settle, fd, sha1);
	if (r == 0 && memcmp(sha1, file->sha1, sizeof sha1) != 0) {
		r = -EIO;
	}
	(void)ur_sys.close(fd);
	return r;
}

static int write_copy(struct removal *x, int from, int staging)
{
	const int fd =
		ur_sys.openat(staging, x->staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return fd;
	}
	struct stat st;
	int r = copy_bytes(x->settle, from, fd);
	r = r < 0 ? r : ur_sys.fstat(from, &st);
	if (r == 0) {
		const struct timespec times[2] = {st.st_atim, st.st_mtim};
		(void)ur_sys.utimens(fd, times); // nice to have
		(void)fchmod(fd, st.st_mode & 0777);
		r = ur_sys.fsync(fd);
	}
	(void)ur_sys.close(fd);
	return r;
}

/** A name that is taken is never replaced: the file goes beside it. */
static int publish(int staging, const char *staged, int target, const char *name)
{
	int r = ur_sys.rename_new(staging, staged, target, name);
	for (int n = 2; r == -EEXIST && n < FREE_NAMES_MAX; n++) {
		char other[320];
		other_name(name, n, other, sizeof other);
		r = ur_sys.rename_new(staging, staged, target, other);
	}
	return r;
}

/** Temporary name, copy, fsync of file and folder, read back, publish, fsync; then the removal. */
static int move_across(struct removal *x, int from, int target)
{
	struct ur_settle *settle = x->settle;
	const int staging = open_staging(settle->target_fd);
	if (staging < 0) {
		return staging;
	}
	ur_effect("copy", false);
	int r = write_copy(x, from, staging);
	ur_effect("copy", true);
	r = r < 0 ? r : ur_sys.fsync(staging);
	r = r < 0 ? r : read_back(settle, staging, x->staged, x->file);
	if (r == 0) {
		ur_effect("publish", false);
		/* A crash after an earlier publishing left the very same file there: that is it. */
		const bool there = read_back(settle, target, x->file->name, x->file) == 0;
		r = there ? ur_sys.unlinkat(staging, x->staged, 0)
			  : publish(staging, x->staged, target, x->file->name);
		ur_effect("publish", true);
		r = r < 0 ? r : sync_target(settle, x->item->dir);
	}
	if (r < 0) {
		(void)ur_sys.unlinkat(staging, x->staged, 0);
	}
	(void)ur_sys.close(staging);
	(void)ur_sys.unlinkat(settle->target_fd, UR_STAGING, AT_REMOVEDIR);
	return r;
}

static int unlink_staged(struct removal *x)
{
	ur_effect("unlink", false);
	const int r = ur_sys.unlinkat(x->staging_fd, x->staged, 0);
	ur_effect("unlink", true);
	return r;
}

static int move(struct removal *x, int from)
{
	struct ur_settle *settle = x->settle;
	const int target = open_target(settle, x->item->dir);
	if (target < 0) {
		return target;
	}
	ur_effect("move", false);
	int r = publish(x->staging_fd, x->staged, target, x->file->name);
	ur_effect("move", true);
	if (r == -EXDEV) {
		r = move_across(x, from, target);
		r = r < 0 ? r : unlink_staged(x);
	}
	(void)ur_sys.close(target);
	return r;
}

/* ---- one file -------------------------------------------------------------------------------- */

static int carry_out(struct removal *x)
{
	int r = stage(x);
	if (r < 0) {
		return r;
	}
	int fd = -1;
	r = prove(x, &fd);
	if (r == 0) {
		const bool moving = x->settle->run->options->after == UR_AFTER_MOVE;
		r = moving ? move(x, fd) : unlink_staged(x);
		(void)ur_sys.close(fd);
	}
	if (r < 0) {
		unstage(x);
	}
	return r;
}

static const char *say(int r)
{
	switch (r) {
	case 0:
		return NULL;
	case UR_SETTLE_GONE:
		return "delivered; it was gone before it could be removed";
	case -ESTALE:
		return "it changed after it was sent: looked at again in the next run";
	case -ETXTBSY:
		return "somebody has it open for writing: looked at again in the next run";
	case -EACCES:
	case -EPERM:
		return "delivered, but it may not be removed: no write permission in its folder";
	case -EROFS:
		return "delivered, but it cannot be removed: its file system is read-only";
	case -ENOSPC:
	case -EDQUOT:
		return "delivered, but the folder it should move to is full";
	default:
		return "delivered, but it could not be removed; it is in its place";
	}
}

static void settle_file(struct ur_settle *settle, struct ur_item *item, struct ur_file *file)
{
	struct removal x = {
		.settle = settle,
		.item = item,
		.file = file,
		.dir_fd = ur_dir_take(item->dir),
		.fd = -1,
		.staging_fd = -1,
	};
	int r = x.dir_fd < 0 ? x.dir_fd : carry_out(&x);
	if (x.fd >= 0) {
		(void)ur_sys.close(x.fd); // and the lease with it
	}
	leave_staging(&x);
	ur_dir_give(item->dir, x.dir_fd);
	file->settle_result = r;
	file->settle_why = say(r);
	if (r == 0 && !item->dir->root->loose) {
		atomic_fetch_add(&item->dir->removed, 1);
	}
}

static void settle_item(struct ur_settle *settle, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (item->files[i].state == UR_CONFIRMED && item->files[i].staged[0] != '\0') {
			settle_file(settle, item, &item->files[i]);
		}
	}
	const int r = ur_queue_push(settle->wiring.out, item);
	assert(r == 0); // the queue has room for the whole pool
	ur_bell_ring(settle->wiring.out_bell);
}

static void *run_settle(void *context)
{
	struct ur_settle *settle = context;
	void *item = NULL;
	for (;;) {
		int r = ur_queue_pop(settle->wiring.in, &item);
		if (r == -EAGAIN) {
			ur_bell_arm(settle->wiring.bell);
			r = ur_queue_pop(settle->wiring.in, &item);
			if (r == -EAGAIN) {
				ur_bell_wait(settle->wiring.bell, 1000);
				continue;
			}
		}
		if (r == -EPIPE) {
			return NULL;
		}
		settle_item(settle, item);
	}
}

int ur_settle_start(struct ur_run *run, const struct ur_settle_wiring *wiring,
	struct ur_settle **ret, struct ur_err *err)
{
	struct ur_settle *settle = calloc(1, sizeof *settle);
	unsigned char *buffer = malloc(COPY_BUFFER);
	if (settle == NULL || buffer == NULL) {
		free(settle);
		free(buffer);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare for settling");
	}
	settle->run = run;
	settle->wiring = *wiring;
	settle->buffer = buffer;
	settle->target_fd = -1;
	int r = 0;
	if (run->options->after == UR_AFTER_MOVE) {
		settle->target_fd =
			ur_sys.openat(AT_FDCWD, run->options->move_to, O_RDONLY | O_DIRECTORY, 0);
		if (settle->target_fd < 0) {
			r = ur_err_set(err, settle->target_fd, UR_FAULT_SETUP,
				"cannot open '%s', where --after move=… should move files to",
				run->options->move_to);
		}
	}
	if (r == 0) {
		r = -pthread_create(&settle->thread, NULL, run_settle, settle);
		if (r < 0) {
			(void)ur_err_set(
				err, r, UR_FAULT_WORLD, "cannot start the settling thread");
		}
	}
	if (r < 0) {
		if (settle->target_fd >= 0) {
			(void)ur_sys.close(settle->target_fd);
		}
		free(settle->buffer);
		free(settle);
		return r;
	}
	*ret = settle;
	return 0;
}

struct ur_settle *ur_settle_free(struct ur_settle *settle)
{
	if (settle != NULL) {
		(void)pthread_join(settle->thread, NULL);
		if (settle->target_fd >= 0) {
			(void)ur_sys.close(settle->target_fd);
		}
		free(settle->buffer);
		free(settle);
	}
	return NULL;
}

/* ---- after a crash --------------------------------------------------------------------------- */

struct leftover {
	struct ur_record record;
	char name[256];
	char *folder;
};

struct leftovers {
	struct leftover *list;
	size_t count;
};

static int gather(void *context, const struct ur_ledger_row *row)
{
	struct leftovers *all = context;
	if (all->count == RECOVER_ROWS_MAX) {
		return 0; // the rest at the next start
	}
	struct leftover *list = realloc(all->list, (all->count + 1) * sizeof *list);
	if (list == NULL) {
		return -ENOMEM;
	}
	all->list = list;
	struct leftover *x = &list[all->count];
	*x = (struct leftover){.record = row->record};
	(void)snprintf(x->name, sizeof x->name, "%s", row->record.name);
	x->folder = strndup(row->path, row->path_size);
	if (x->folder == NULL) {
		return -ENOMEM;
	}
	all->count++;
	return 0;
}

/** Opens a folder by its absolute path, which may be longer than PATH_MAX. */
static int open_folder(const char *path)
{
	int at = ur_sys.openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
	while (at >= 0 && *path != '\0') {
		char name[256];
		path += strspn(path, "/");
		const size_t size = strcspn(path, "/");
		if (size == 0) {
			break;
		}
		if (size >= sizeof name) {
			(void)ur_sys.close(at);
			return -ENAMETOOLONG;
		}
		memcpy(name, path, size);
		name[size] = '\0';
		path += size;
		const int next = ur_sys.openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		(void)ur_sys.close(at);
		at = next;
	}
	return at;
}

/** Cuts the last component off; false at the top. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');
	if (slash == NULL || path[0] == '\0') {
		return false;
	}
	*slash = '\0';
	return true;
}

/** The folder, or the nearest one above it that is still there. */
static int open_nearest(const char *folder)
{
	char *path = strdup(folder);
	int fd = path == NULL ? -ENOMEM : open_folder(path);
	while (path != NULL && (fd == -ENOENT || fd == -ENOTDIR) && go_up(path)) {
		fd = open_folder(path[0] == '\0' ? "/" : path);
	}
	free(path);
	return fd;
}

enum search {
	SEARCH_NOTHING, // it is in no staging folder
	SEARCH_BACK,    // it was, and is at its place again
	SEARCH_STUCK,   // it is, and cannot be brought back now
};

/** Brings the staged file back from the staging folder of `at`, if it is there. */
static enum search fetch(int at, int home, const char *name, const char *staged)
{
	struct stat st;
	const int staging = ur_sys.openat(at, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (staging < 0) {
		return staging == -ENOENT || staging == -ENOTDIR ? SEARCH_NOTHING : SEARCH_STUCK;
	}
	enum search found = SEARCH_NOTHING;
	if (ur_sys.fstatat(staging, staged, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		ur_effect("put-back", false);
		const int r = rename_beside(staging, staged, home, name);
		ur_effect("put-back", true);
		found = r == 0 ? SEARCH_BACK : SEARCH_STUCK;
	}
	(void)ur_sys.close(staging);
	(void)ur_sys.unlinkat(at, UR_STAGING, AT_REMOVEDIR);
	return found;
}

/** Looks for the staged file in the folder and in every folder above it; puts it back. */
static enum search put_back(const char *folder, const char *name, const char *staged)
{
	const int home = open_nearest(folder);
	char *above = strdup(folder);
	enum search found = home < 0 || above == NULL ? SEARCH_STUCK : SEARCH_NOTHING;
	while (found == SEARCH_NOTHING) {
		const int fd = open_folder(above[0] == '\0' ? "/" : above);
		if (fd >= 0) {
			found = fetch(fd, home, name, staged);
			(void)ur_sys.close(fd);
		}
		if (!go_up(above)) {
			break;
		}
	}
	free(above);
	if (home >= 0) {
		(void)ur_sys.close(home);
	}
	return found;
}

/** A disk that is not mounted now proves nothing about the files that are on it. */
static bool is_disk_there(const struct leftover *x)
{
	struct ur_fs fs = {0};
	const int fd = open_nearest(x->folder);
	const int r = fd < 0 ? fd : ur_fs_of(fd, &fs);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r == 0 && fs.id == x->record.identity.fs;
}

static bool is_there(const char *folder, const char *name)
{
	struct stat st;
	const int fd = open_folder(folder);
	if (fd < 0) {
		return false;
	}
	const int r = ur_sys.fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW);
	(void)ur_sys.close(fd);
	return r == 0;
}

static int recover_one(
	struct ur_ledger *ledger, struct ur_run *run, struct leftover *x, struct ur_err *err)
{
	char staged[STAGED_NAME_MAX + 1];
	x->record.name = x->name;
	staged_name(x->record.staged, x->name, staged);
	const enum search found = put_back(x->folder, x->name, staged);
	if (found == SEARCH_STUCK || (found == SEARCH_NOTHING && !is_disk_there(x))) {
		ur_run_warn(run,
			"%s/%s: an interrupted run may have left it in a folder '" UR_STAGING
			"', which cannot be looked at now; that is done when it can",
			x->folder, x->name);
		return 0;
	}
	if (found == SEARCH_BACK || is_there(x->folder, x->name)) {
		/* Still delivered, if it is read and found to be the same: settled from the start. */
		x->record.state = x->record.hashed ? UR_DELIVERED : UR_SEEN;
		x->record.reason = "put back after an interrupted run";
		x->record.remembered = false;
	} else {
		x->record.state = UR_SETTLED;
		x->record.reason = "removed before the run was interrupted";
		x->record.settled_ns = ur_clock_wall_ns();
	}
	x->record.staged[0] = '\0';
	return ur_ledger_put(ledger, &x->record, err);
}

int ur_settle_recover(struct ur_ledger *ledger, struct ur_run *run, struct ur_err *err)
{
	const struct ur_ledger_filter filter = {.staged = true};
	struct leftovers all = {0};
	int r = ur_ledger_rows(ledger, &filter, gather, &all, err);
	for (size_t i = 0; i < all.count; i++) {
		r = r < 0 ? r : recover_one(ledger, run, &all.list[i], err);
		free(all.list[i].folder);
	}
	free(all.list);
	return r < 0 ? r : ur_ledger_commit(ledger, err);
}

void ur_settle_recover_root(struct ur_run *run, struct ur_root *root)
{
	const int staging =
		ur_sys.openat(root->fd, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct ur_listing listing = {0};
	if (staging < 0) {
		return;
	}
	if (ur_listing_read(&listing, staging, false) == 0) {
		for (size_t i = 0; i < listing.count; i++) {
			const char *staged = ur_listing_name(&listing, &listing.entries[i]);
			const char *dash = strchr(staged, '-');
			const char *name = dash == NULL || dash[1] == '\0' ? staged : dash + 1;
			if (rename_beside(staging, staged, root->fd, name) == 0) {
				ur_run_warn(run,
					"%s/%s: put back from an interrupted run that this ledger does not "
					"know; its folder below is not known any more",
					root->path, name);
			}
		}
	}
	ur_listing_done(&listing);
	(void)ur_sys.close(staging);
	(void)ur_sys.unlinkat(root->fd, UR_STAGING, AT_REMOVEDIR);
}

void ur_settle_recover_target(const char *move_to)
{
	struct ur_listing listing = {0};
	const int fd = ur_sys.openat(AT_FDCWD, move_to, O_RDONLY | O_DIRECTORY, 0);
	const int staging =
		fd < 0 ? fd : ur_sys.openat(fd, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (staging >= 0 && ur_listing_read(&listing, staging, false) == 0) {
		for (size_t i = 0; i < listing.count; i++) {
			(void)ur_sys.unlinkat(
				staging, ur_listing_name(&listing, &listing.entries[i]), 0);
		}
	}
	ur_listing_done(&listing);
	if (staging >= 0) {
		(void)ur_sys.close(staging);
		(void)ur_sys.unlinkat(fd, UR_STAGING, AT_REMOVEDIR);
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
}
