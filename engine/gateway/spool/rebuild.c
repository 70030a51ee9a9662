/* rebuild - what damage leaves of an upload: its bytes are read, and may be whole after all. */
#include "engine/gateway/spool/internal.h"

#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (1u << 20)

void ur_spool_stop(struct ur_spool *spool)
{
	atomic_store(&spool->stopping, true);
}

static int hash_all(const struct ur_spool *spool, int fd, struct ur_sha1 *sha1, uint64_t *ret_size)
{
	assert(fd >= 0);
	int r = ur_sha1_begin(sha1);
	uint8_t *bytes = r < 0 ? NULL : malloc(READ_BYTES);
	if (r == 0 && bytes == NULL) {
		r = -ENOMEM;
	}
	for (uint64_t at = 0; r == 0;) {
		const ssize_t n = ur_sys_pread_all(fd, bytes, READ_BYTES, (off_t)at);
		if (n <= 0) {
			r = (int)n;
			*ret_size = at;
			break;
		}
		ur_sha1_feed(sha1, bytes, (size_t)n);
		at += (uint64_t)n;
		r = atomic_load(&spool->stopping) ? -ECANCELED : 0;
	}
	free(bytes);
	return r;
}

/** Promised, or once sent whole: then the server's own checksum decides in the end. */
static bool is_whole(const struct ur_spool_upload *upload, const struct ur_spool_found *found)
{
	assert(upload->is_unread);
	const bool sent = upload->outcome.state == UR_SPOOL_DELIVERED || upload->outcome.tries > 0;
	if (upload->length != UR_SPOOL_LENGTH_UNKNOWN && upload->length != found->size) {
		return false;
	}
	return upload->has_sha1 ? memcmp(found->sha1, upload->want_sha1, sizeof found->sha1) == 0
				: sent && found->size > 0;
}

static int write_whole_state(
	const struct ur_spool *spool, int dir, const struct ur_sha1 *sha1, uint64_t size)
{
	assert(dir >= 0);
	uint8_t bytes[UR_STATE_BYTES] = {0};
	struct ur_spool_slot slot = {
		.sequence = 1,
		.touched_ms = ur_clock_wall_ns() / UR_MS_NS,
		.touched_ran_ms = ur_spool_ran_ms(spool),
		.mark = {.offset = size, .length = size},
	};
	ur_sha1_save(sha1, slot.mark.words, slot.mark.tail);
	ur_spool_slot_write(&slot, bytes);
	return ur_spool_file_replace(dir, "state", bytes, sizeof bytes, "spool rebuild");
}

static int rebuild(struct ur_spool_upload *upload, int dir, struct ur_spool_found *ret)
{
	struct ur_sha1 sha1;
	const int fd = ur_spool_file_open(dir, "bytes", O_RDWR);
	int r = fd < 0 ? fd : hash_all(upload->spool, fd, &sha1, &ret->size);
	if (r == 0) {
		ur_sha1_end(&sha1, ret->sha1);
		r = is_whole(upload, ret) ? 0 : -EBADMSG;
	}
	r = r < 0 ? r : ur_sys.fdatasync(fd);
	r = r < 0 ? r : write_whole_state(upload->spool, dir, &sha1, ret->size);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r;
}

int ur_spool_rebuild(struct ur_spool_upload *upload, struct ur_spool_found *ret, struct ur_err *err)
{
	assert(upload->is_unread);
	assert(upload->own == NULL);
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir;
	if (dir >= 0) {
		r = rebuild(upload, dir, ret);
		(void)ur_sys.close(dir);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD,
			       "its files are damaged, and its bytes do not show that they are whole")
		     : 0;
}

bool ur_spool_found(struct ur_spool_upload *upload, const struct ur_spool_found *found, int result)
{
	assert(upload->is_unread);
	assert(upload->own == NULL);
	upload->is_unread = false;
	if (result < 0) {
		return false;
	}
	assert(!ur_spool_is_known(upload->length) || upload->length == found->size);
	upload->length = found->size;
	upload->offset = found->size;
	upload->durable = found->size;
	memcpy(upload->sha1, found->sha1, sizeof upload->sha1);
	upload->is_damaged = false;
	upload->untrusted = false;
	if (upload->outcome.state < UR_SPOOL_DELIVERED) {
		upload->outcome.state = UR_SPOOL_COMPLETE;
		upload->outcome.suspect = true; // what was done with it before is not known
		upload->outcome.words[0] = '\0';
		ur_spool_stamp(upload->spool, &upload->outcome);
	}
	ur_spool_recount(upload);
	return true;
}
