/* rename - by the flag, by a link, or over a placeholder: in that order, whatever the disk can. */
#include "engine/source/rename.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FREE_NAMES_MAX 1000 // "IMG (2).jpg" … before we give up
#define NOTE_TICK_S 2       // FAT's clock
#define PLACE_WORDS "uringest keeps this name for "
#define PLACE_ROOM (sizeof PLACE_WORDS + UR_STAGED_NAME_MAX + 1)

/** The file system does not know the flag. */
static bool is_unknown(int r)
{
	return r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP;
}

/* ---- two names of one file ------------------------------------------------------------------- */

/** Provably one file: file systems that make inode numbers up are never believed. */
static bool is_one_file(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat a;
	struct stat b;
	return ur_sys.fstatat(from_dir, from, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ur_sys.fstatat(to_dir, to, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino != 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_nlink > 1 &&
	       S_ISREG(a.st_mode) && a.st_size == b.st_size &&
	       a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

static int by_link(int from_dir, const char *from, int to_dir, const char *to)
{
	int r = ur_sys.linkat(from_dir, from, to_dir, to, 0);
	if (r < 0) {
		return r;
	}
	r = ur_sys.unlinkat(from_dir, from, 0);
	if (r < 0) {
		(void)ur_sys.unlinkat(to_dir, to, 0); // as it was
	}
	return r;
}

/* ---- a placeholder --------------------------------------------------------------------------- */

static size_t words_for(const char *from, char ret[PLACE_ROOM])
{
	return (size_t)snprintf(ret, PLACE_ROOM, PLACE_WORDS "%s\n", from);
}

/** What `name` is kept for, if it is a placeholder: "" when it is none. */
static void read_placeholder(int dir, const char *name, char ret[UR_STAGED_NAME_MAX + 1])
{
	char text[PLACE_ROOM];
	const size_t words = strlen(PLACE_WORDS);
	const int fd = ur_sys.openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	ret[0] = '\0';
	if (fd < 0) {
		return;
	}
	const ssize_t size = ur_sys_pread_all(fd, text, sizeof text, 0);
	(void)ur_sys.close(fd);
	if (size > (ssize_t)words + 1 && size < (ssize_t)sizeof text && text[size - 1] == '\n' &&
		memcmp(text, PLACE_WORDS, words) == 0 &&
		memchr(text, '\n', (size_t)size) == text + size - 1) {
		(void)snprintf(ret, UR_STAGED_NAME_MAX + 1, "%.*s", (int)((size_t)size - words - 1),
			text + words);
	}
}

/** Before the placeholder is made: from here on an empty file of that name is ours. */
static void write_note(const struct ur_staging_key *key, int from_dir, const char *to)
{
	char name[UR_STAGING_NOTE];
	ur_staging_note(key, name);
	const int fd = ur_sys.openat(
		from_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (fd >= 0) {
		(void)ur_sys_pwrite_all(fd, to, strlen(to), 0); // full: then it goes without
		(void)ur_sys.close(fd);
	}
}

void ur_rename_done(const struct ur_staging_key *key, int from_dir)
{
	char name[UR_STAGING_NOTE];
	ur_staging_note(key, name);
	(void)ur_sys.unlinkat(from_dir, name, 0);
}

/** The note speaks of this name, and the empty file there is as old as it: nobody else's new one. */
static bool is_noted(const struct ur_staging_key *key, int from_dir, int to_dir, const char *to)
{
	char name[UR_STAGING_NOTE];
	char text[UR_STAGED_NAME_MAX + 1];
	struct stat empty;
	struct stat noted;
	ur_staging_note(key, name);
	const int fd = ur_sys.openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NOCTTY, 0);
	if (fd < 0) {
		return false;
	}
	const ssize_t size = ur_sys_pread_all(fd, text, sizeof text, 0);
	const int r = ur_sys.fstat(fd, &noted);
	(void)ur_sys.close(fd);
	return r == 0 && size == (ssize_t)strlen(to) && memcmp(text, to, (size_t)size) == 0 &&
	       ur_sys.fstatat(to_dir, to, &empty, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(empty.st_mode) && empty.st_size == 0 &&
	       empty.st_mtim.tv_sec >= noted.st_mtim.tv_sec - NOTE_TICK_S &&
	       empty.st_mtim.tv_sec <= noted.st_mtim.tv_sec + NOTE_TICK_S;
}

/** One that an interrupted call left: for the same file, or for another one of this ledger. */
static bool is_left_over(const struct ur_staging_key *key, int from_dir, const char *from,
	int to_dir, const char *to)
{
	char kept[UR_STAGED_NAME_MAX + 1];
	struct ur_staged about;
	read_placeholder(to_dir, to, kept);
	if (kept[0] == '\0') {
		return is_noted(key, from_dir, to_dir, to);
	}
	ur_staged_read(key, kept, &about);
	return about.ours || strcmp(kept, from) == 0;
}

/** The words, or, on a full disk, an empty file: *ret_size is how much it holds. */
static int write_words(int fd, const char *from, off_t *ret_size)
{
	char words[PLACE_ROOM];
	const size_t size = words_for(from, words);
	int r = ur_sys_pwrite_all(fd, words, size, 0);
	if (r == -ENOSPC || r == -EDQUOT) {
		r = ur_sys.ftruncate(fd, 0);
		*ret_size = 0;
		return r;
	}
	*ret_size = (off_t)size;
	return r;
}

/** Takes the name `to` for `from`, exclusively; what it looks like then is in *ret. */
static int take_name(const struct ur_staging_key *key, int from_dir, const char *from, int to_dir,
	const char *to, struct stat *ret)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY;
	off_t size = 0;
	write_note(key, from_dir, to);
	const int fd = ur_sys.openat(to_dir, to, flags, 0600);
	if (fd < 0) {
		return fd;
	}
	int r = write_words(fd, from, &size);
	r = r < 0 ? r : ur_sys.fstat(fd, ret);
	const int closed = ur_sys.close(fd); // FUSE: what cannot be written may show only here
	r = r < 0 ? r : closed;
	if (r < 0) {
		(void)ur_sys.unlinkat(to_dir, to, 0);
	}
	ret->st_size = size;
	return r;
}

/** Nobody has opened our placeholder by its name and written: else the name is theirs. */
static bool is_still_ours(const char *from, int to_dir, const char *to, const struct stat *made)
{
	char kept[UR_STAGED_NAME_MAX + 1];
	struct stat now;
	if (ur_sys.fstatat(to_dir, to, &now, AT_SYMLINK_NOFOLLOW) < 0 ||
		now.st_size != made->st_size) {
		return false;
	}
	read_placeholder(to_dir, to, kept);
	return made->st_size == 0 ? now.st_ino == made->st_ino : strcmp(kept, from) == 0;
}

static int by_placeholder(const struct ur_staging_key *key, int from_dir, const char *from,
	int to_dir, const char *to)
{
	struct stat made;
	if (ur_sys.fstatat(to_dir, to, &made, AT_SYMLINK_NOFOLLOW) == 0) {
		return -EEXIST; // before a new note could say that it is ours
	}
	int r = take_name(key, from_dir, from, to_dir, to, &made);
	if (r == 0 && !is_still_ours(from, to_dir, to, &made)) {
		r = -EEXIST;
	} else if (r == 0) {
		r = ur_sys.rename_over(from_dir, from, to_dir, to);
		if (r < 0 && is_still_ours(from, to_dir, to, &made)) {
			(void)ur_sys.unlinkat(to_dir, to, 0); // a slow disk's refusal takes seconds
		}
	}
	ur_rename_done(key, from_dir); // in any case: what is empty there now may be a camera's
	return r;
}

/* ---- what is asked for ----------------------------------------------------------------------- */

int ur_rename_new(const struct ur_staging_key *key, int from_dir, const char *from, int to_dir,
	const char *to)
{
	int r = ur_sys.rename_new(from_dir, from, to_dir, to);
	if (is_unknown(r)) {
		r = by_link(from_dir, from, to_dir, to);
		r = is_unknown(r) || r == -EPERM || r == -EMLINK
			    ? by_placeholder(key, from_dir, from, to_dir, to)
			    : r;
	}
	if (r != -EEXIST) {
		return r;
	}
	if (is_one_file(from_dir, from, to_dir, to)) {
		return ur_sys.unlinkat(from_dir, from, 0); // it has the name already
	}
	if (is_left_over(key, from_dir, from, to_dir, to) && ur_sys.unlinkat(to_dir, to, 0) == 0) {
		r = ur_sys.rename_new(from_dir, from, to_dir, to);
		r = is_unknown(r) ? by_placeholder(key, from_dir, from, to_dir, to) : r;
	}
	return r;
}

/** "IMG.jpg" → "IMG (2).jpg": a name beside one that is taken. */
static void other_name(const char *name, int number, char *ret, size_t room)
{
	const char *dot = strrchr(name, '.');
	const size_t stem = dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name);
	char mark[16];
	const size_t mark_size = (size_t)snprintf(mark, sizeof mark, " (%d)", number);
	const size_t tail = strlen(name + stem);
	size_t keep = stem;
	if (keep + mark_size + tail > UR_STAGED_NAME_MAX) {
		const size_t taken = mark_size + tail;
		keep = taken < UR_STAGED_NAME_MAX ? UR_STAGED_NAME_MAX - taken : 0;
		while (keep > 0 && (name[keep] & 0xc0) == 0x80) {
			keep--; // not in the middle of a character
		}
	}
	(void)snprintf(ret, room, "%.*s%s%s", (int)keep, name, mark, name + stem);
}

int ur_rename_beside(const struct ur_staging_key *key, int from_dir, const char *from, int to_dir,
	const char *to, char ret[UR_STAGED_NAME_MAX + 1])
{
	char name[UR_STAGED_NAME_MAX + 32];
	(void)snprintf(name, sizeof name, "%s", to);
	int r = ur_rename_new(key, from_dir, from, to_dir, name);
	for (int n = 2; r == -EEXIST && n < FREE_NAMES_MAX; n++) {
		other_name(to, n, name, sizeof name);
		r = ur_rename_new(key, from_dir, from, to_dir, name);
	}
	if (r == 0 && ret != NULL) {
		(void)snprintf(ret, UR_STAGED_NAME_MAX + 1, "%.255s", name);
	}
	return r;
}

int ur_rename_into(int from_dir, const char *from, int staging, const char *staged)
{
	struct stat st;
	const int r = ur_sys.rename_new(from_dir, from, staging, staged);
	if (!is_unknown(r)) {
		return r;
	}
	const int there = ur_sys.fstatat(staging, staged, &st, AT_SYMLINK_NOFOLLOW);
	return there == -ENOENT ? ur_sys.rename_over(from_dir, from, staging, staged)
	       : there == 0     ? -EEXIST
				: there;
}
