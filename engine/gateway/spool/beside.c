/* beside - what lies beside the bytes: the metadata, a key; and the bytes, for reading. */
#include "engine/gateway/spool/internal.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int ur_spool_metadata(const struct ur_spool_upload *upload, char **ret)
{
	struct ur_spool_upload copy = {0};
	char *json = NULL;
	size_t size = 0;
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir < 0 ? dir : ur_spool_file_read(dir, "info", UR_INFO_MAX, &json, &size);
	r = r < 0 ? r : ur_spool_info_read(json, size, &copy, ret);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	free(json);
	return r < 0 ? r : 0;
}

int ur_spool_open(const struct ur_spool_upload *upload, struct ur_err *err)
{
	if (upload->bytes_gone) {
		return ur_err_say(err, -ENOENT, UR_FAULT_FILE,
			"the upload's bytes are in the library, and no longer here");
	}
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	const int fd = dir < 0 ? dir : ur_spool_file_open(dir, "bytes", O_RDONLY);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	return fd < 0 ? ur_err_set(err, fd, UR_FAULT_WORLD, "cannot open the upload in the spool")
		      : fd;
}

/* ---- small private files --------------------------------------------------------------------- */

static bool may_be_kept(const char *name)
{
	static const char *const ours[] = {"info", "bytes", "state", "outcome"};
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		if (strcmp(name, ours[i]) == 0) {
			return false;
		}
	}
	const size_t size = strlen(name);
	return size > 0 && size <= 16 && strspn(name, "abcdefghijklmnopqrstuvwxyz") == size;
}

/** There is always one of the two; what is replaced does not stay on the disk as it was. */
static int replace_secret(int dir, const char *name, const void *bytes, size_t size)
{
	assert(dir >= 0);
	const int old = ur_spool_file_open(dir, name, O_WRONLY);
	if (old < 0 && old != -ENOENT) {
		return old;
	}
	int r = ur_spool_file_replace(dir, name, bytes, size, "spool keep");
	if (old >= 0) {
		r = r < 0 ? r : ur_spool_file_overwrite(old);
		(void)ur_sys.close(old);
	}
	return r;
}

int ur_spool_keep(struct ur_spool_upload *upload, const char *name, const void *bytes, size_t size,
	struct ur_err *err)
{
	assert(!upload->bytes_gone);
	assert(may_be_kept(name));
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir;
	if (dir >= 0) {
		r = replace_secret(dir, name, bytes, size);
		(void)ur_sys.close(dir);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot keep a file beside the upload")
		     : 0;
}

int ur_spool_recall(const struct ur_spool_upload *upload, const char *name, void *bytes,
	size_t room, size_t *ret_size)
{
	assert(room > 0);
	assert(may_be_kept(name));
	char *read = NULL;
	size_t size = 0;
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir < 0 ? dir : ur_spool_file_read(dir, name, room, &read, &size);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	if (r == 0) {
		memcpy(bytes, read, size);
		*ret_size = size;
		explicit_bzero(read, size);
	}
	free(read);
	return r == -EFBIG ? -ENOSPC : r;
}

int ur_spool_wipe(struct ur_spool_upload *upload, const char *name)
{
	assert(may_be_kept(name));
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir < 0 ? dir : ur_spool_file_wipe(dir, name);
	r = r < 0 ? r : ur_sys.fsync(dir);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	return r;
}
