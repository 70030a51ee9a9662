/* folder - getdents64 into one array, names into one heap; paths only on request. */
#include "engine/source/folder.h"

#include "engine/base/clock.h"
#include "engine/source/tick.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define DENTS_BYTES (32u << 10)
#define HOP_BYTES 3800u // a path longer than PATH_MAX is walked in hops of at most this

#define XFS_MAGIC 0x58465342
#define ZFS_MAGIC 0x2fc12fc1
#define FUSE_MAGIC 0x65735546
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42
#define NINEP_MAGIC 0x01021997

bool ur_identity_alike(const struct ur_identity *a, const struct ur_identity *b)
{
	return a->fs == b->fs && a->inode == b->inode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

bool ur_identity_same(const struct ur_identity *a, const struct ur_identity *b)
{
	return ur_identity_alike(a, b) && a->ctime_ns == b->ctime_ns;
}

/** Nanoseconds reach to the year 2262; file systems and `touch` reach further. */
static int64_t ns_of(const struct timespec *ts)
{
	int64_t ns = 0;
	if (__builtin_mul_overflow((int64_t)ts->tv_sec, UR_SECOND_NS, &ns) ||
		__builtin_add_overflow(ns, (int64_t)ts->tv_nsec, &ns)) {
		return ts->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	}
	return ns;
}

struct ur_identity ur_identity_of(const struct stat *st, uint64_t fs)
{
	return (struct ur_identity){
		.fs = fs,
		.inode = st->st_ino,
		.size = st->st_size,
		.mtime_ns = ns_of(&st->st_mtim),
		.ctime_ns = ns_of(&st->st_ctim),
	};
}

int ur_identity_check(int fd, const struct ur_identity *known, struct ur_identity *ret_now)
{
	struct stat st;
	const int r = ur_sys.fstat(fd, &st);
	if (r < 0) {
		return r;
	}
	const struct ur_identity now = ur_identity_of(&st, known->fs);
	if (ret_now != NULL) {
		*ret_now = now;
	}
	return S_ISREG(st.st_mode) && ur_identity_alike(&now, known) ? 0 : -ESTALE;
}

int ur_fs_of(int fd, struct ur_fs *ret)
{
	struct statfs fs;
	struct stat st;
	int r = ur_sys.fstatfs(fd, &fs);
	r = r < 0 ? r : ur_sys.fstat(fd, &st);
	if (r < 0) {
		return r;
	}
	*ret = (struct ur_fs){.device = st.st_dev, .tick_ns = UR_TICK_ASSUMED_NS};
	memcpy(&ret->id, &fs.f_fsid, sizeof ret->id);
	(void)ur_sys.mount_of(fd, &ret->mount);
	switch ((unsigned)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case ZFS_MAGIC:
	case TMPFS_MAGIC:
		ret->trusted = true;
		break;
	case NFS_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
	case SMB_SUPER_MAGIC:
	case FUSE_MAGIC:
	case NINEP_MAGIC:
		ret->network = true;
		/* FUSE on a disk of this machine has its number; on anything else none has one. */
		ret->leases = (unsigned)fs.f_type != FUSE_MAGIC ? UR_LEASES_NOTHING
			      : major((dev_t)st.st_dev) != 0    ? UR_LEASES_PROVE
								: UR_LEASES_ACCUSE;
		break;
	default:
		break;
	}
	return 0;
}

bool ur_fs_is_of(const struct ur_fs *fs, int fd, uint64_t device)
{
	uint64_t mount = 0;
	return fs->device == device &&
	       (fs->mount == 0 || ur_sys.mount_of(fd, &mount) < 0 || mount == fs->mount);
}

/** A ctime that is real changes with every rewriting, also when mtime is set back: it counts everywhere. */
bool ur_fs_may_be_same(
	const struct ur_fs *fs, const struct ur_identity *a, const struct ur_identity *b)
{
	if (fs->trusted) {
		return ur_identity_same(a, b);
	}
	return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

bool ur_fs_settled(const struct ur_fs *fs, const struct ur_identity *identity, int64_t now_ns)
{
	/* A change now gives an mtime of now: one that lies well ahead would show it at once. */
	const bool ahead = identity->mtime_ns > now_ns + fs->tick_ns;
	return (ahead || identity->mtime_ns < now_ns - fs->tick_ns) &&
	       identity->ctime_ns < now_ns - fs->tick_ns;
}

/* ---- roots and directories ------------------------------------------------------------------- */

int ur_root_open(const char *path, bool follow, struct ur_root **ret, struct ur_err *err)
{
	struct ur_root *root = calloc(1, sizeof *root);
	int r = -ENOMEM;
	if (root == NULL) {
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot open '%s'", path);
	}
	root->fd = -1;
	root->follow = follow;
	root->path = realpath(path, NULL);
	if (root->path == NULL) {
		r = ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot open '%s'", path);
		goto fail;
	}
	root->path_size = strlen(root->path);
	root->fd = ur_sys.openat(AT_FDCWD, root->path, O_RDONLY | O_DIRECTORY, 0);
	r = root->fd < 0 ? root->fd : ur_fs_of(root->fd, &root->fs);
	if (r < 0) {
		(void)ur_err_set(err, r, UR_FAULT_SETUP, "cannot open '%s'", path);
		goto fail;
	}
	*ret = root;
	return 0;

fail:
	(void)ur_root_free(root);
	return r;
}

struct ur_root *ur_root_free(struct ur_root *root)
{
	if (root != NULL) {
		if (root->fd >= 0) {
			(void)ur_sys.close(root->fd);
		}
		free(root->path);
		free(root);
	}
	return NULL;
}

int ur_dir_new(struct ur_root *root, struct ur_dir *parent, const char *name, struct ur_dir **ret)
{
	const size_t size = strlen(name);
	struct ur_dir *dir = calloc(1, sizeof *dir + size + 1);
	if (dir == NULL) {
		return -ENOMEM;
	}
	atomic_init(&dir->refs, 1);
	dir->root = root;
	dir->fd = -1;
	dir->fs = root->fs;
	dir->name_size = size;
	memcpy(dir->name, name, size + 1);
	if (parent != NULL) {
		dir->parent = ur_dir_ref(parent);
		dir->depth = parent->depth + 1;
		dir->fs = parent->fs;
		dir->through_link = parent->through_link;
	}
	*ret = dir;
	return 0;
}

struct ur_dir *ur_dir_ref(struct ur_dir *dir)
{
	atomic_fetch_add(&dir->refs, 1);
	return dir;
}

struct ur_dir *ur_dir_unref(struct ur_dir *dir)
{
	while (dir != NULL && atomic_fetch_sub(&dir->refs, 1) == 1) {
		struct ur_dir *parent = dir->parent;
		if (dir->fd >= 0) {
			(void)ur_sys.close(dir->fd);
			atomic_fetch_sub(&dir->root->open_fds, 1);
		}
		free(dir);
		dir = parent;
	}
	return NULL;
}

void ur_dir_below(const struct ur_dir *dir, const char *name, struct ur_text *ret)
{
	const size_t start = ret->size;
	size_t size = 0;
	for (const struct ur_dir *d = dir; d->parent != NULL; d = d->parent) {
		size += d->name_size + 1;
	}
	if (size > 0) {
		char *path = malloc(size);
		if (path == NULL) {
			ret->failed = true;
			return;
		}
		size_t at = size;
		for (const struct ur_dir *d = dir; d->parent != NULL; d = d->parent) {
			path[--at] = '/';
			at -= d->name_size;
			memcpy(path + at, d->name, d->name_size);
		}
		ur_text_add(ret, path, size - 1);
		free(path);
	}
	if (name != NULL) {
		ur_text_adds(ret, ret->size > start ? "/" : "");
		ur_text_adds(ret, name);
	}
}

void ur_dir_path(const struct ur_dir *dir, const char *name, struct ur_text *ret)
{
	ur_text_add(ret, dir->root->path, dir->root->path_size);
	if (dir->parent != NULL || name != NULL) {
		ur_text_adds(ret, dir->root->path_size == 1 ? "" : "/");
	}
	ur_dir_below(dir, NULL, ret);
	if (name != NULL) {
		ur_text_adds(ret, dir->parent != NULL ? "/" : "");
		ur_text_adds(ret, name);
	}
}

const struct ur_dir *ur_dir_staging(const struct ur_dir *dir)
{
	while (!dir->root->loose && dir->parent != NULL &&
		dir->parent->fs.device == dir->fs.device &&
		dir->parent->fs.mount == dir->fs.mount) {
		dir = dir->parent;
	}
	return dir;
}

static int open_hop(const struct ur_root *root, int at, const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY;
	return root->follow ? ur_sys.openat(at, path, flags, 0)
			    : ur_sys.openat_beneath(at, path, flags, 0);
}

/** Walks `path` (changed on the way) in hops that the kernel accepts. */
static int open_hops(const struct ur_root *root, char *path)
{
	int at = root->fd;
	while (*path != '\0') {
		char *end = path + strlen(path);
		if ((size_t)(end - path) > HOP_BYTES) {
			end = memrchr(path, '/', HOP_BYTES);
			assert(end != NULL); // a name is at most 255 bytes
			*end++ = '\0';
		}
		const int next = open_hop(root, at, path);
		if (at != root->fd) {
			(void)ur_sys.close(at);
		}
		if (next < 0) {
			return next;
		}
		at = next;
		path = end;
	}
	return at;
}

int ur_dir_open(const struct ur_dir *dir)
{
	struct ur_text path = {0};
	ur_dir_below(dir, NULL, &path);
	int r = -ENOMEM;
	if (dir->parent == NULL) {
		r = ur_sys.openat(dir->root->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	} else if (ur_text_ok(&path) && path.bytes != NULL) {
		r = open_hops(dir->root, path.bytes);
	}
	ur_text_done(&path);
	return r;
}

int ur_dir_take(const struct ur_dir *dir)
{
	return dir->fd >= 0 ? dir->fd : ur_dir_open(dir);
}

void ur_dir_give(const struct ur_dir *dir, int fd)
{
	if (fd >= 0 && fd != dir->fd) {
		(void)ur_sys.close(fd);
	}
}

void ur_dir_keep(struct ur_dir *dir, int fd)
{
	assert(dir->fd < 0);
	if (atomic_fetch_add(&dir->root->open_fds, 1) >= UR_FOLDER_FDS_MAX) {
		atomic_fetch_sub(&dir->root->open_fds, 1);
		(void)ur_sys.close(fd);
		return;
	}
	dir->fd = fd;
}

/* ---- listings -------------------------------------------------------------------------------- */

struct dent { // what getdents64 writes
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

bool ur_listing_has(const struct ur_listing *listing, const char *wanted)
{
	for (size_t i = 0; i < listing->count; i++) {
		const char *name = ur_listing_name(listing, &listing->entries[i]);
		if (name[0] == wanted[0] && strcmp(name, wanted) == 0) {
			return true;
		}
	}
	return false;
}

void ur_listing_clear(struct ur_listing *listing)
{
	listing->count = 0;
	listing->names_size = 0;
}

void ur_listing_done(struct ur_listing *listing)
{
	free(listing->entries);
	free(listing->names);
	*listing = (struct ur_listing){0};
}

/** Doubles *array until `need` elements of `size` fit. */
static bool make_room(void **array, size_t *room, size_t need, size_t size)
{
	if (need <= *room) {
		return true;
	}
	size_t more = *room == 0 ? 256 : *room;
	while (more < need) {
		more *= 2;
	}
	void *bigger = realloc(*array, more * size);
	if (bigger == NULL) {
		return false;
	}
	*array = bigger;
	*room = more;
	return true;
}

static int append(struct ur_listing *listing, const char *name, uint64_t inode, uint8_t type)
{
	const size_t size = strlen(name);
	if (listing->count == UR_FOLDER_ENTRIES_MAX ||
		listing->names_size + size + 1 > UINT32_MAX) {
		return -E2BIG;
	}
	if (!make_room((void **)&listing->entries, &listing->room, listing->count + 1,
		    sizeof *listing->entries) ||
		!make_room((void **)&listing->names, &listing->names_room,
			listing->names_size + size + 1, 1)) {
		return -ENOMEM;
	}
	listing->entries[listing->count++] = (struct ur_entry){
		.inode = inode,
		.name = (uint32_t)listing->names_size,
		.name_size = (uint16_t)size,
		.type = type,
	};
	memcpy(listing->names + listing->names_size, name, size + 1);
	listing->names_size += size + 1;
	return 0;
}

static uint8_t type_of_dent(uint8_t type)
{
	switch (type) {
	case DT_REG:
	case DT_UNKNOWN: // stat will tell
		return UR_ENTRY_FILE;
	case DT_DIR:
		return UR_ENTRY_DIR;
	case DT_LNK:
		return UR_ENTRY_LINK;
	default:
		return UR_ENTRY_OTHER;
	}
}

static uint8_t type_of_mode(mode_t mode)
{
	return S_ISREG(mode)   ? UR_ENTRY_FILE
	       : S_ISDIR(mode) ? UR_ENTRY_DIR
	       : S_ISLNK(mode) ? UR_ENTRY_LINK
			       : UR_ENTRY_OTHER;
}

static void stat_entry(
	const struct ur_listing *listing, struct ur_entry *entry, int fd, bool follow)
{
	struct stat st;
	const char *name = ur_listing_name(listing, entry);
	const bool link = entry->type == UR_ENTRY_LINK;
	const int r = ur_sys.fstatat(fd, name, &st, follow && link ? 0 : AT_SYMLINK_NOFOLLOW);
	if (r < 0) {
		entry->error = r;
		return;
	}
	const struct ur_identity identity = ur_identity_of(&st, 0);
	entry->linked = follow && link;
	entry->type = type_of_mode(st.st_mode);
	entry->inode = identity.inode;
	entry->size = identity.size;
	entry->mtime_ns = identity.mtime_ns;
	entry->ctime_ns = identity.ctime_ns;
}

static int by_inode(const void *a, const void *b)
{
	const uint64_t x = ((const struct ur_entry *)a)->inode;
	const uint64_t y = ((const struct ur_entry *)b)->inode;
	return x < y ? -1 : x > y;
}

void ur_listing_sort(struct ur_listing *listing)
{
	if (listing->count > 1) {
		qsort(listing->entries, listing->count, sizeof *listing->entries, by_inode);
	}
}

void ur_listing_stat(struct ur_listing *listing, int fd, bool follow, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const uint8_t type = listing->entries[i].type;
		if (type == UR_ENTRY_FILE || (type == UR_ENTRY_LINK && follow)) {
			stat_entry(listing, &listing->entries[i], fd, follow);
		}
	}
}

int ur_listing_names(struct ur_listing *listing, int fd, size_t most)
{
	alignas(struct dent) char buffer[DENTS_BYTES];
	int r = 0;
	ssize_t size = 0;
	while (r == 0 && listing->count < most &&
		(size = ur_sys.getdents(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t at = 0; at < size && r == 0;) {
			const struct dent *dent = (const struct dent *)(buffer + at);
			const bool dots =
				strcmp(dent->name, ".") == 0 || strcmp(dent->name, "..") == 0;
			r = dots ? 0
				 : append(listing, dent->name, dent->inode,
					   type_of_dent(dent->type));
			at += dent->size;
		}
	}
	return r < 0 ? r : size < 0 ? (int)size : listing->count >= most;
}

int ur_listing_read(struct ur_listing *listing, int fd, bool follow)
{
	ur_listing_clear(listing);
	const int r = ur_listing_names(listing, fd, SIZE_MAX);
	if (r < 0) {
		return r;
	}
	ur_listing_sort(listing);
	ur_listing_stat(listing, fd, follow, 0, listing->count);
	return 0;
}

int ur_listing_add(struct ur_listing *listing, int fd, const char *name, bool follow)
{
	const int r = append(listing, name, 0, UR_ENTRY_FILE);
	if (r < 0) {
		return r;
	}
	struct ur_entry *entry = &listing->entries[listing->count - 1];
	stat_entry(listing, entry, fd, false);
	if (follow && entry->type == UR_ENTRY_LINK) {
		stat_entry(listing, entry, fd, true);
	}
	return 0;
}
