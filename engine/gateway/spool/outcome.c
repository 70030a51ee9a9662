/*
 * outcome - what became of an upload, concluded: on disk before anybody acts upon it.
 *
 *     outcome   [block][block]   {JSON} blanks sequence checksum     written in turn
 *
 * Written in place, into blocks that were there from the beginning: what is done to make room on a
 * full disk must not need any.  A block that could not be flushed is spoiled, so that the next start
 * does not take it for durable.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a block --------------------------------------------------------------------------------- */

/** JSON, blanks, and at the end 16 digits that vouch for all before them and for `sequence`. */
static int write_block(
	const struct ur_spool_outcome *outcome, uint64_t sequence, char ret[UR_BLOCK_BYTES + 1])
{
	assert(sequence > 0);
	struct ur_text text = {0};
	ur_spool_outcome_write(outcome, &text);
	const bool fits = ur_text_ok(&text) && text.size + 36 <= UR_BLOCK_BYTES;
	const int r = fits ? 0 : ur_text_ok(&text) ? -EFBIG : -ENOMEM;
	if (r == 0) {
		memset(ret, ' ', UR_BLOCK_BYTES);
		memcpy(ret, text.bytes, text.size);
		(void)snprintf(
			ret + UR_BLOCK_BYTES - 34, 18, "%016llx ", (unsigned long long)sequence);
		(void)snprintf(ret + UR_BLOCK_BYTES - 17, 18, "%016llx\n",
			(unsigned long long)ur_hash_short(ret, UR_BLOCK_BYTES - 17, 0));
	}
	ur_text_done(&text);
	return r;
}

/** The block's sequence, from 1; 0: it is none. */
static uint64_t read_block(const char bytes[UR_BLOCK_BYTES], struct ur_spool_outcome *ret)
{
	char check[18];
	char digits[17] = "";
	uint64_t sequence = 0;
	(void)snprintf(check, sizeof check, "%016llx\n",
		(unsigned long long)ur_hash_short(bytes, UR_BLOCK_BYTES - 17, 0));
	if (memcmp(check, bytes + UR_BLOCK_BYTES - 17, 17) != 0) {
		return 0;
	}
	memcpy(digits, bytes + UR_BLOCK_BYTES - 34, 16);
	sequence = strtoull(digits, NULL, 16);
	return ur_spool_outcome_read(bytes, UR_BLOCK_BYTES - 34, ret) < 0 ? 0 : sequence;
}

struct blocks {
	uint64_t sequence; // of the newest; 0: none yet
	unsigned newest;
	bool spoilt; // something is in a block that cannot be read
	struct ur_spool_outcome outcome;
};

static int read_blocks(int fd, struct blocks *ret)
{
	assert(fd >= 0);
	*ret = (struct blocks){.newest = UR_SLOTS - 1};
	for (unsigned i = 0; i < UR_SLOTS; i++) {
		char bytes[UR_BLOCK_BYTES];
		struct ur_spool_outcome outcome;
		const ssize_t n =
			ur_sys_pread_all(fd, bytes, sizeof bytes, (off_t)(i * UR_SLOT_APART));
		if (n < 0 && n != -EIO) {
			return (int)n;
		}
		const uint64_t sequence = n == sizeof bytes ? read_block(bytes, &outcome) : 0;
		ret->spoilt =
			ret->spoilt || (sequence == 0 && (n != sizeof bytes || bytes[0] != 0));
		if (sequence > ret->sequence) {
			ret->sequence = sequence;
			ret->newest = i;
			ret->outcome = outcome;
		}
	}
	return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

int ur_spool_outcome_make(int dir, const struct ur_spool_outcome *outcome)
{
	assert(dir >= 0);
	assert(outcome == NULL || outcome->state != UR_SPOOL_RECEIVING);
	char bytes[UR_OUTCOME_BYTES + 1] = {0};
	const int r = outcome == NULL ? 0 : write_block(outcome, 1, bytes);
	if (r < 0) {
		return r;
	}
	return outcome == NULL ? ur_spool_file_make(dir, "outcome", bytes, UR_OUTCOME_BYTES)
			       : ur_spool_file_replace(
					 dir, "outcome", bytes, UR_OUTCOME_BYTES, "spool conclude");
}

/** Of layout 1: one JSON text, and nothing behind it. */
static int load_plain(int dir, struct ur_spool_outcome *ret)
{
	char *json = NULL;
	size_t size = 0;
	int r = ur_spool_file_read(dir, "outcome", UR_INFO_MAX, &json, &size);
	r = r < 0 ? r : ur_spool_outcome_read(json, size, ret);
	free(json);
	return r;
}

static bool is_of_blocks(int fd)
{
	assert(fd >= 0);
	struct stat st;
	return ur_sys.fstat(fd, &st) == 0 && st.st_size == (off_t)UR_OUTCOME_BYTES;
}

int ur_spool_outcome_load(int dir, struct ur_spool_outcome *ret)
{
	assert(dir >= 0);
	struct blocks blocks;
	const int fd = ur_spool_file_open(dir, "outcome", O_RDONLY);
	if (fd < 0) {
		return fd;
	}
	int r = is_of_blocks(fd) ? read_blocks(fd, &blocks) : -ENODATA;
	(void)ur_sys.close(fd);
	if (r == -ENODATA) {
		return load_plain(dir, ret);
	}
	if (r == 0 && blocks.sequence == 0) {
		r = blocks.spoilt ? -EBADMSG : -ENOENT;
	}
	if (r == 0) {
		*ret = blocks.outcome;
		/* The other one may have been newer: what it said is not known. */
		const bool newer = blocks.spoilt && blocks.sequence > 1;
		ret->suspect = ret->suspect || newer;
		ret->noted = ret->noted && !newer;
	}
	return r;
}

static int store(const struct ur_spool *spool, int dir, const struct ur_spool_outcome *outcome)
{
	assert(dir >= 0);
	struct blocks blocks;
	char bytes[UR_BLOCK_BYTES + 1];
	const int fd = ur_spool_file_open(dir, "outcome", O_RDWR);
	if (fd == -ENOENT || (fd >= 0 && !is_of_blocks(fd))) {
		if (fd >= 0) {
			(void)ur_sys.close(fd);
		}
		return ur_spool_outcome_make(dir, outcome);
	}
	int r = fd < 0 ? fd : read_blocks(fd, &blocks);
	r = r < 0 ? r : write_block(outcome, blocks.sequence + 1, bytes);
	if (r == 0) {
		assert(blocks.newest < UR_SLOTS);
		ur_effect("spool conclude", false);
		r = ur_spool_block_put(
			fd, bytes, UR_BLOCK_BYTES, (blocks.newest + 1) % UR_SLOTS, !spool->no_sync);
		ur_effect("spool conclude", true);
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r;
}

/* ---- concluded ------------------------------------------------------------------------------- */

int ur_spool_conclude(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome, struct ur_err *err)
{
	assert(outcome->state != UR_SPOOL_RECEIVING);
	assert(outcome->state < UR_SPOOL_STATES);
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	const int r = dir < 0 ? dir : store(upload->spool, dir, outcome);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD,
			       "cannot write down what became of the upload")
		     : 0;
}

void ur_spool_concluded(struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome)
{
	assert(outcome->state < UR_SPOOL_STATES);
	upload->outcome = *outcome;
	ur_spool_recount(upload);
}
