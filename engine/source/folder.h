/**
 * folder - trees of files: their roots, their directories, one listing at a time.
 *
 *     root ◀── dir ◀── dir ◀── files of an item
 *
 * A directory is a name and a counted reference to its parent, so a path exists only while
 * somebody asks for it and may be longer than PATH_MAX.  Below a root everything is opened from
 * the root's descriptor without passing a symbolic link (unless links were asked for).
 *
 *   Owner    a dir lives as long as references to it; each child holds its parent
 *   Units    times in ns since the epoch, sizes in bytes
 *   Errors   negative errno, with a sentence where a person will read it
 *   Threads  references from any thread; a listing belongs to one thread
 *   Source   identities are trusted on ext4, xfs, btrfs, zfs, tmpfs only; elsewhere inode numbers
 *            or times may be made up
 */
#ifndef UR_SOURCE_FOLDER_H
#define UR_SOURCE_FOLDER_H

#include "engine/base/err.h"
#include "engine/base/text.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define UR_STAGING ".uringest"     // where files stand between their name and their removal
#define UR_SERVER_MARKER ".immich" // Immich's marker in its own library
#define UR_FOLDER_FDS_MAX 512      // directories kept open for files in flight
#define UR_FOLDER_ENTRIES_MAX (16u << 20)

/** What makes a file the same file. */
struct ur_identity {
	uint64_t fs; // f_fsid: survives a reboot, unlike st_dev
	uint64_t inode;
	int64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
};

bool ur_identity_same(const struct ur_identity *a, const struct ur_identity *b);
/** The same but for ctime, which a rename or a new hard link changes too. */
bool ur_identity_alike(const struct ur_identity *a, const struct ur_identity *b);
struct ur_identity ur_identity_of(const struct stat *st, uint64_t fs);
/**
 * What is open is a regular file like `known`: what it is now is in *ret_now, which may be NULL;
 * -ESTALE when it is another one.
 */
[[nodiscard]] int ur_identity_check(
	int fd, const struct ur_identity *known, struct ur_identity *ret_now);

/** What a lease on a file says about its writers. */
enum ur_leases {
	UR_LEASES_PROVE,   // given: nobody writes; refused because of a writer: somebody does
	UR_LEASES_ACCUSE,  // a writer that is seen is one, but one elsewhere is not seen
	UR_LEASES_NOTHING, // neither: others write by other ways, and a refusal has other reasons
};

/** What a file system is worth. */
struct ur_fs {
	uint64_t id;
	uint64_t device; // st_dev, for telling mounts apart in this run
	uint64_t mount;  // two mounts of one device; 0: the kernel does not say
	bool trusted;    // identities may be believed
	bool network;    // NFS, SMB, FUSE: the clock of its timestamps is not ours
	enum ur_leases leases;
	int64_t tick_ns; // the resolution of its timestamps, generously: see source/tick
	bool tick_known; // it was seen, not assumed
};
[[nodiscard]] int ur_fs_of(int fd, struct ur_fs *ret);
/** What is open here lies behind the same mount as `fs` was taken of: a rename can cross. */
bool ur_fs_is_of(const struct ur_fs *fs, int fd, uint64_t device);
/**
 * Nothing speaks against `a` and `b`, which had one name at two times, being one file.  Where inode numbers
 * may be made up anew with each mount (FAT, exFAT, FUSE, shares), and the number of the file system with
 * each plug, neither says anything; size and times do, and whoever believes them looks at bytes besides.
 */
bool ur_fs_may_be_same(
	const struct ur_fs *fs, const struct ur_identity *a, const struct ur_identity *b);
/** False when ctime or mtime is so close to `now_ns` that another write could leave them as is. */
bool ur_fs_settled(const struct ur_fs *fs, const struct ur_identity *identity, int64_t now_ns);

struct ur_root {
	char *path; // absolute, without symbolic links
	size_t path_size;
	int fd;
	struct ur_fs fs;
	bool follow; // symbolic links below are followed
	int hindrance; // why nothing of its own file system can be taken away, negative errno; 0: nothing known
	bool loose; // stands for files that were named one by one: their folders are not ours to tidy
	atomic_int open_fds;
};

struct ur_dir {
	atomic_uint refs;
	struct ur_root *root;
	struct ur_dir *parent; // NULL: the root itself
	struct ur_fs fs;
	uint64_t inode;
	_Atomic int64_t ledger_id; // 0: not known yet
	atomic_uint removed;       // files that this run took away here
	unsigned depth;
	int fd;            // kept open, or -1: ur_dir_take() opens it again
	bool through_link; // reached by following a symbolic link: nothing is removed here
	size_t name_size;
	char name[];
};

[[nodiscard]] int ur_root_open(
	const char *path, bool follow, struct ur_root **ret, struct ur_err *err);
struct ur_root *ur_root_free(struct ur_root *root);

[[nodiscard]] int ur_dir_new(
	struct ur_root *root, struct ur_dir *parent, const char *name, struct ur_dir **ret);
struct ur_dir *ur_dir_ref(struct ur_dir *dir);
/** Lets go; returns NULL.  The last one closes the descriptor and lets the parent go. */
struct ur_dir *ur_dir_unref(struct ur_dir *dir);
/**
 * The directory that files of `dir` are staged in: the uppermost one below the root that a rename
 * reaches, so that no emptied folder takes the staging folder with it; `dir` for files that were named
 * one by one.
 */
const struct ur_dir *ur_dir_staging(const struct ur_dir *dir);
/** Opens the directory afresh; the caller closes. */
[[nodiscard]] int ur_dir_open(const struct ur_dir *dir);
/** The kept descriptor, or a fresh one; give it back with ur_dir_give(). */
[[nodiscard]] int ur_dir_take(const struct ur_dir *dir);
void ur_dir_give(const struct ur_dir *dir, int fd);
/** Hands an open descriptor over to the dir, if there is room; otherwise closes it. */
void ur_dir_keep(struct ur_dir *dir, int fd);

/** Appends the absolute path; then `name` if not NULL. */
void ur_dir_path(const struct ur_dir *dir, const char *name, struct ur_text *ret);
/** Appends the path below the root, without a leading slash; then `name` if not NULL. */
void ur_dir_below(const struct ur_dir *dir, const char *name, struct ur_text *ret);

enum ur_entry_type {
	UR_ENTRY_FILE,
	UR_ENTRY_DIR,
	UR_ENTRY_LINK,
	UR_ENTRY_OTHER
};

struct ur_entry {
	uint64_t inode;
	int64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint32_t name; // offset in listing.names
	uint16_t name_size;
	uint8_t type;
	uint8_t flags; // the caller's
	int error;     // of its stat
	bool linked;   // a symbolic link that was followed
};
static_assert(sizeof(struct ur_entry) <= 48, "the largest directory sets the memory of a run");

struct ur_listing {
	struct ur_entry *entries;
	size_t count;
	size_t room;
	char *names;
	size_t names_size;
	size_t names_room;
};

/**
 * Adds names of `fd` from where it stands until there are `most` or a few more: 1, else 0 at the
 * end of the directory.
 */
[[nodiscard]] int ur_listing_names(struct ur_listing *listing, int fd, size_t most);
/** By inode: cold, the order on the disk. */
void ur_listing_sort(struct ur_listing *listing);
/** Stats what is a file among the entries [from, to); several threads may share a listing. */
void ur_listing_stat(struct ur_listing *listing, int fd, bool follow, size_t from, size_t to);
/** All names of `fd`, in the order of the inodes, and stats what is a file. */
[[nodiscard]] int ur_listing_read(struct ur_listing *listing, int fd, bool follow);
/** Adds one name by hand (a source that is a file). */
[[nodiscard]] int ur_listing_add(struct ur_listing *listing, int fd, const char *name, bool follow);
/** Whether an entry has this name. */
bool ur_listing_has(const struct ur_listing *listing, const char *wanted);
void ur_listing_clear(struct ur_listing *listing);
void ur_listing_done(struct ur_listing *listing);
static inline const char *ur_listing_name(
	const struct ur_listing *listing, const struct ur_entry *entry)
{
	return listing->names + entry->name;
}

#endif
