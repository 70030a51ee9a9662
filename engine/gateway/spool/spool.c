/*
 * spool - the root: opened, looked at, locked, read; and let go.
 *
 * Descriptors and the hash of an upload are there only while bytes come in.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int sync_parent(int root)
{
	assert(root >= 0);
	const int parent = ur_sys.openat(root, "..", O_RDONLY | O_DIRECTORY, 0);
	if (parent < 0) {
		return parent;
	}
	const int r = ur_sys.fsync(parent);
	(void)ur_sys.close(parent);
	return r;
}

static int open_root(const char *path, struct ur_err *err)
{
	const int made = ur_sys.mkdirat(AT_FDCWD, path, 0700);
	const int root = made < 0 && made != -EEXIST
				 ? made
				 : ur_sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	const int r = made == 0 && root >= 0 ? sync_parent(root) : root;
	if (r < 0) {
		if (root >= 0) {
			(void)ur_sys.close(root);
		}
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot open the spool '%s'", path);
	}
	return root;
}

static int check_root(const char *path, int root, struct ur_err *err)
{
	assert(root >= 0);
	struct stat st;
	int r = ur_sys.fstat(root, &st);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot open the spool '%s'", path);
	}
	if (st.st_uid != geteuid()) {
		return ur_err_say(err, -EPERM, UR_FAULT_SETUP,
			"the spool '%s' belongs to user %u, and the gateway runs as %u: chown it, "
			"or name another",
			path, (unsigned)st.st_uid, (unsigned)geteuid());
	}
	if ((st.st_mode & 022) != 0) {
		return ur_err_say(err, -EPERM, UR_FAULT_SETUP,
			"others may write to the spool '%s' (mode %04o): chmod 700 it", path,
			(unsigned)(st.st_mode & 07777));
	}
	r = ur_sys.flock(root, LOCK_EX | LOCK_NB);
	if (r == -EWOULDBLOCK) {
		return ur_err_say(err, -EBUSY, UR_FAULT_SETUP,
			"the spool '%s' is in use by another gateway", path);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_SETUP, "cannot lock the spool '%s'", path) : 0;
}

static int read_root(struct ur_spool *spool, const char *path, struct ur_err *err)
{
	assert(spool->root >= 0);
	struct ur_sha1 sha1;
	int r = ur_sha1_begin(&sha1);
	if (r < 0) {
		return ur_err_say(err, r, UR_FAULT_SETUP,
			"no way of computing SHA-1 on this machine agrees with libcrypto");
	}
	r = ur_spool_clock_open(spool);
	if (r == -EPROTO) {
		return ur_err_say(err, r, UR_FAULT_SETUP,
			"the spool '%s' was written by a newer uringest (layout %llu, this one knows %d): "
			"start that one again, or name another spool; nothing was changed",
			path, (unsigned long long)spool->layout, UR_SPOOL_LAYOUT);
	}
	r = r < 0 ? r : ur_spool_read_all(spool);
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot read the spool '%s'", path) : 0;
}

int ur_spool_new(const char *path, struct ur_spool **ret, struct ur_err *err)
{
	struct ur_spool *spool = calloc(1, sizeof *spool);
	if (spool == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot open the spool '%s'", path);
	}
	spool->root = -1;
	int r = ur_spool_index_init(spool);
	if (r < 0) {
		r = ur_err_set(err, r, UR_FAULT_WORLD, "cannot open the spool '%s'", path);
		goto fail;
	}
	spool->root = open_root(path, err);
	r = spool->root < 0 ? spool->root : check_root(path, spool->root, err);
	r = r < 0 ? r : read_root(spool, path, err);
	if (r < 0) {
		goto fail;
	}
	*ret = spool;
	return 0;

fail:
	(void)ur_spool_free(spool);
	return r;
}

struct ur_spool *ur_spool_free(struct ur_spool *spool)
{
	if (spool == NULL) {
		return NULL;
	}
	ur_spool_index_done(spool);
	ur_spool_owners_done(spool);
	if (spool->root >= 0) {
		(void)ur_sys.close(spool->root); // and the lock with it
	}
	free(spool);
	return NULL;
}

size_t ur_spool_damaged(const struct ur_spool *spool)
{
	return spool->damaged;
}

const char *ur_spool_damage(const struct ur_spool *spool)
{
	return spool->damage;
}

void ur_spool_skip(struct ur_spool *spool, bool hash, bool sync)
{
	spool->no_hash = hash;
	spool->no_sync = sync;
}

bool ur_spool_is_read_only(const struct ur_spool *spool)
{
	assert(spool->root >= 0);
	struct statfs fs;
	return ur_sys.fstatfs(spool->root, &fs) == 0 && (fs.f_flags & ST_RDONLY) != 0;
}

int ur_spool_space(const struct ur_spool *spool, uint64_t *ret_free)
{
	assert(spool->root >= 0);
	struct statfs fs;
	const int r = ur_sys.fstatfs(spool->root, &fs);
	if (r < 0) {
		return r;
	}
	*ret_free = (uint64_t)fs.f_bavail * (uint64_t)(fs.f_frsize > 0 ? fs.f_frsize : fs.f_bsize);
	return 0;
}
