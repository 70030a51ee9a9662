/* reserve - a file of blocks that nobody reads. */
#include "engine/ledger/reserve.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#define MIB (UINT64_C(1) << 20)
#define SIZE (8 * MIB)    // some hundred commits of a run that makes room
#define HARDLY (4 * MIB)  // with less the next commits may fail
#define PLENTY (24 * MIB) // with less the room is worth more to somebody else

struct ur_reserve {
	int dir;
	bool laid;
	char name[256];
};

struct ur_reserve *ur_reserve_new(const char *path)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	struct ur_reserve *reserve = calloc(1, sizeof *reserve);
	struct stat st;
	if (reserve == NULL) {
		return NULL;
	}
	const int size = slash == NULL ? 0 : (int)(slash - path) + 1;
	const int had = snprintf(folder, sizeof folder, "%.*s", size, path);
	const int named = snprintf(reserve->name, sizeof reserve->name, "%s-room", name);
	if (had >= (int)sizeof folder || named >= (int)sizeof reserve->name) {
		free(reserve);
		return NULL;
	}
	reserve->dir = ur_sys.openat(
		AT_FDCWD, size == 0 ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (reserve->dir < 0) {
		free(reserve);
		return NULL;
	}
	/* Ours is empty and has blocks; a copy of it, or one that was interrupted, has none. */
	const bool ours =
		ur_sys.fstatat(reserve->dir, reserve->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode) && st.st_size == 0;
	reserve->laid = ours && (uint64_t)st.st_blocks * 512 >= SIZE;
	if (ours && !reserve->laid) {
		(void)ur_sys.unlinkat(reserve->dir, reserve->name, 0);
	}
	return reserve;
}

struct ur_reserve *ur_reserve_free(struct ur_reserve *reserve)
{
	if (reserve != NULL) {
		(void)ur_sys.close(reserve->dir);
		free(reserve);
	}
	return NULL;
}

static void lay(struct ur_reserve *reserve)
{
	assert(!reserve->laid);
	const int fd = ur_sys.openat(reserve->dir, reserve->name,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return;
	}
	reserve->laid = ur_sys.reserve(fd, 0, (off_t)SIZE) == 0;
	(void)ur_sys.close(fd);
	if (!reserve->laid) {
		(void)ur_sys.unlinkat(reserve->dir, reserve->name, 0);
	}
}

bool ur_reserve_look(struct ur_reserve *reserve)
{
	struct statfs fs;
	if (reserve == NULL || ur_sys.fstatfs(reserve->dir, &fs) < 0) {
		return false;
	}
	const uint64_t room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	if (reserve->laid && room < HARDLY) {
		reserve->laid = ur_sys.unlinkat(reserve->dir, reserve->name, 0) < 0;
		return !reserve->laid;
	}
	if (!reserve->laid && room >= PLENTY) {
		lay(reserve);
	}
	return false;
}
