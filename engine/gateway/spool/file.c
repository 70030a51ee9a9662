/*
 * file - files and folders of our own, on disk: looked at before they are used, written whole or in
 * place, wiped.
 *
 * What somebody else could have put there is not followed, not read and not written to.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Ours, and nobody else may look into it or write to it. */
static int examine(int fd, mode_t type)
{
	assert(fd >= 0);
	assert(type == S_IFREG || type == S_IFDIR);
	struct stat st;
	const int r = ur_sys.fstat(fd, &st);
	if (r < 0) {
		return r;
	}
	const bool linked = type == S_IFREG && st.st_nlink != 1;
	return (st.st_mode & S_IFMT) != type || st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
			       linked
		       ? -EPERM
		       : 0;
}

static int open_examined(int dir, const char *name, int flags, mode_t type)
{
	assert(name[0] != '\0');
	assert((flags & O_CREAT) == 0);
	const int fd = ur_sys.openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK, 0);
	const int r = fd < 0 ? fd : examine(fd, type);
	if (r < 0 && fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r < 0 ? r : fd;
}

int ur_spool_folder_open(int root, const char *name)
{
	assert(root >= 0);
	return open_examined(root, name, O_RDONLY | O_DIRECTORY, S_IFDIR);
}

int ur_spool_file_open(int dir, const char *name, int flags)
{
	assert(dir >= 0);
	return open_examined(dir, name, flags, S_IFREG);
}

int ur_spool_file_make(int dir, const char *name, const void *bytes, size_t size)
{
	assert(dir >= 0);
	assert(bytes != NULL || size == 0);
	const int fd = ur_sys.openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return fd;
	}
	int r = size == 0 ? 0 : ur_sys_pwrite_all(fd, bytes, size, 0);
	r = r < 0 || size == 0 ? r : ur_sys.fsync(fd);
	const int closed = ur_sys.close(fd);
	return r < 0 ? r : closed;
}

int ur_spool_file_overwrite(int fd)
{
	assert(fd >= 0);
	static const char zeros[4096];
	struct stat st;
	int r = ur_sys.fstat(fd, &st);
	for (off_t at = 0; r == 0 && at < st.st_size; at += (off_t)sizeof zeros) {
		const off_t left = st.st_size - at;
		r = ur_sys_pwrite_all(
			fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros, at);
	}
	return r < 0 ? r : ur_sys.fsync(fd);
}

int ur_spool_file_wipe(int dir, const char *name)
{
	assert(dir >= 0);
	int r = 0;
	const int fd = ur_spool_file_open(dir, name, O_WRONLY);
	if (fd == -ENOENT) {
		return 0;
	}
	if (fd >= 0) {
		r = ur_spool_file_overwrite(fd);
		(void)ur_sys.close(fd);
	} else if (fd != -ELOOP && fd != -EPERM) { // a link or somebody else's: only its name goes
		return fd;
	}
	return r < 0 ? r : ur_sys.unlinkat(dir, name, 0);
}

int ur_spool_file_replace(
	int dir, const char *name, const void *bytes, size_t size, const char *effect)
{
	char new_name[32];
	assert(strlen(name) + sizeof ".tmp" <= sizeof new_name);
	(void)snprintf(new_name, sizeof new_name, "%s.tmp", name);
	int r = ur_spool_file_wipe(dir, new_name); // of an attempt that failed
	r = r < 0 ? r : ur_spool_file_make(dir, new_name, bytes, size);
	if (r == 0) {
		ur_effect(effect, false);
		r = ur_sys.rename_over(dir, new_name, dir, name);
	}
	if (r < 0) {
		(void)ur_spool_file_wipe(dir, new_name);
		return r;
	}
	r = ur_sys.fsync(dir);
	ur_effect(effect, true);
	return r;
}

int ur_spool_file_read(int dir, const char *name, size_t most, char **ret, size_t *ret_size)
{
	assert(dir >= 0);
	struct stat st;
	char *bytes = NULL;
	const int fd = ur_spool_file_open(dir, name, O_RDONLY);
	int r = fd < 0 ? fd : ur_sys.fstat(fd, &st);
	if (r < 0) {
		goto fail;
	}
	if (st.st_size > (off_t)most) {
		r = -EFBIG;
		goto fail;
	}
	bytes = malloc((size_t)st.st_size + 1);
	if (bytes == NULL) {
		r = -ENOMEM;
		goto fail;
	}
	const ssize_t size = ur_sys_pread_all(fd, bytes, (size_t)st.st_size, 0);
	if (size < 0) {
		r = (int)size;
		goto fail;
	}
	(void)ur_sys.close(fd);
	bytes[size] = '\0';
	*ret = bytes;
	*ret_size = (size_t)size;
	return 0;

fail:
	free(bytes);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r;
}

int ur_spool_block_put(int fd, const void *bytes, size_t size, unsigned index, bool sync)
{
	assert(fd >= 0);
	assert(index < UR_SLOTS);
	static const uint8_t zeros[UR_BLOCK_BYTES];
	const off_t at = (off_t)(index * UR_SLOT_APART);
	assert(size <= sizeof zeros);
	int r = ur_sys_pwrite_all(fd, bytes, size, at);
	r = r < 0 || !sync ? r : ur_sys.fdatasync(fd);
	if (r < 0) {
		(void)ur_sys_pwrite_all(fd, zeros, size, at);
	}
	return r;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* What these hold is no secret of anybody's, or too large to be overwritten. */
static bool is_plain(const char *name)
{
	static const char *const plain[] = {"info", "bytes", "state", "outcome", "outcome.tmp"};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		if (strcmp(name, plain[i]) == 0) {
			return true;
		}
	}
	return false;
}

struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

int ur_spool_each_name(
	int dir, int (*visit)(int dir, const char *name, void *context), void *context)
{
	assert(dir >= 0);
	_Alignas(struct entry) char buffer[4096];
	ssize_t n = 0;
	while ((n = ur_sys.getdents(dir, buffer, sizeof buffer)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct entry *entry = (const struct entry *)(buffer + at);
			at += entry->size;
			if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) {
				continue;
			}
			const int r = visit(dir, entry->name, context);
			if (r < 0) {
				return r;
			}
		}
	}
	return (int)n;
}

static int remove_one(int dir, const char *name, void *context)
{
	(void)context;
	return is_plain(name) ? ur_sys.unlinkat(dir, name, 0) : ur_spool_file_wipe(dir, name);
}

int ur_spool_folder_remove(int root, const char *name)
{
	assert(root >= 0);
	const int dir = ur_sys.openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0) {
		return dir;
	}
	const int r = ur_spool_each_name(dir, remove_one, NULL);
	(void)ur_sys.close(dir);
	return r < 0 ? r : ur_sys.unlinkat(root, name, AT_REMOVEDIR);
}

static int tidy_one(int dir, const char *name, void *context)
{
	(void)context;
	const char *dot = strrchr(name, '.');
	return dot != NULL && strcmp(dot, ".tmp") == 0 ? ur_spool_file_wipe(dir, name) : 0;
}

int ur_spool_folder_tidy(int dir)
{
	return ur_spool_each_name(dir, tidy_one, NULL);
}

struct kept {
	const char *const *names;
	size_t count;
};

static int keep_one(int dir, const char *name, void *context)
{
	const struct kept *kept = context;
	for (size_t i = 0; i < kept->count; i++) {
		if (strcmp(name, kept->names[i]) == 0) {
			return 0;
		}
	}
	return remove_one(dir, name, NULL);
}

int ur_spool_folder_keep(int dir, const char *const names[], size_t count)
{
	assert(count > 0);
	struct kept kept = {names, count};
	return ur_spool_each_name(dir, keep_one, &kept);
}
