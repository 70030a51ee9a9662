/*
 * spool_life - how long a spool has lived, what became of an upload, and what damage leaves of it.
 *
 *     clock     [slot][slot]     sequence, version, the time it has run     written in turn
 *     outcome   [block][block]   {JSON} blanks checksum                     written in turn
 *
 * Both are written in place, into blocks that were there from the beginning: what is done to make
 * room on a full disk must not need any.  A block that could not be flushed is spoiled, so that the
 * next start does not take it for durable.
 */
#include "engine/gateway/spool_parts.h"

#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK "clock"
#define CLOCK_MAGIC "URSPOOL"
#define READ_BYTES (1u << 20)

/* ---- two of a kind, in place ----------------------------------------------------------------- */

/** Nothing was promised yet: a block that may not be on disk is no block. */
static int put_block(int fd, const void *bytes, size_t size, unsigned index, bool sync)
{
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

/* ---- the time it has run --------------------------------------------------------------------- */

/** As it lies on the disk; numbers are little-endian.  The first two fields are for ever. */
struct clock {
	char magic[8];
	uint64_t version;
	uint64_t sequence;
	uint64_t ran_ms;
	uint8_t zeros[UR_SLOT_BYTES - 40];
	uint64_t check; // XXH3 of all before it
};
static_assert(sizeof(struct clock) == UR_SLOT_BYTES, "a clock's slot has no holes");

static int64_t steady_ms(void)
{
	return ur_clock_steady_ns() / UR_MS_NS;
}

int64_t ur_spool_ran_ms(const struct ur_spool *spool)
{
	return spool->kept_ran_ms + steady_ms() - spool->opened_ms;
}

void ur_spool_pass(struct ur_spool *spool, int64_t by_ms)
{
	spool->kept_ran_ms += by_ms;
}

void ur_spool_stamp(const struct ur_spool *spool, struct ur_spool_outcome *outcome)
{
	outcome->since_ms = ur_clock_wall_ns() / UR_MS_NS;
	outcome->since_ran_ms = ur_spool_ran_ms(spool);
}

static void write_clock(uint64_t sequence, int64_t ran_ms, struct clock *ret)
{
	*ret = (struct clock){
		.magic = CLOCK_MAGIC,
		.version = htole64(UR_SPOOL_LAYOUT),
		.sequence = htole64(sequence),
		.ran_ms = htole64((uint64_t)ran_ms),
	};
	ret->check = htole64(ur_hash_short(ret, offsetof(struct clock, check), 0));
}

/** -EPROTO: a newer layout's; 0 also for one that says nothing. */
static int take_clock(struct ur_spool *spool, const struct clock *clock)
{
	if (memcmp(clock->magic, CLOCK_MAGIC, sizeof clock->magic) != 0) {
		return 0;
	}
	spool->layout = le64toh(clock->version);
	if (spool->layout > UR_SPOOL_LAYOUT) {
		return -EPROTO;
	}
	if (le64toh(clock->check) == ur_hash_short(clock, offsetof(struct clock, check), 0) &&
		le64toh(clock->sequence) > spool->clock_sequence &&
		le64toh(clock->ran_ms) <= INT64_MAX / 2) {
		spool->clock_sequence = le64toh(clock->sequence);
		spool->kept_ran_ms = (int64_t)le64toh(clock->ran_ms);
	}
	return 0;
}

static int make_clock(struct ur_spool *spool)
{
	uint8_t bytes[UR_SLOT_APART + sizeof(struct clock)] = {0};
	struct clock clock;
	write_clock(spool->clock_sequence + 1, spool->kept_ran_ms, &clock);
	memcpy(bytes, &clock, sizeof clock);
	const int r = ur_spool_file_replace(spool->root, CLOCK, bytes, sizeof bytes, "spool clock");
	spool->clock_sequence += r < 0 ? 0 : 1;
	return r;
}

int ur_spool_clock_open(struct ur_spool *spool)
{
	spool->opened_ms = steady_ms();
	const int fd = ur_spool_file_open(spool->root, CLOCK, O_RDONLY);
	int r = 0;
	for (unsigned i = 0; fd >= 0 && i < UR_SLOTS && r == 0; i++) {
		struct clock clock;
		if (ur_sys_pread_all(fd, &clock, sizeof clock, (off_t)(i * UR_SLOT_APART)) ==
			sizeof clock) {
			r = take_clock(spool, &clock);
		}
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	if (r == 0 && spool->clock_sequence == 0) {
		/* None, or none that can be read: lives begin anew.  A full disk gets one later. */
		r = make_clock(spool);
		r = r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -EPERM ? 0 : r;
	}
	return r;
}

int ur_spool_keep_time(struct ur_spool *spool, struct ur_err *err)
{
	struct clock clock;
	int r = 0;
	if (spool->clock_sequence == 0) {
		r = make_clock(spool);
	} else {
		const int fd = ur_spool_file_open(spool->root, CLOCK, O_RDWR);
		write_clock(spool->clock_sequence + 1, ur_spool_ran_ms(spool), &clock);
		ur_effect("spool clock", false);
		r = fd < 0 ? fd
			   : put_block(fd, &clock, sizeof clock,
				     (unsigned)(spool->clock_sequence % UR_SLOTS), !spool->no_sync);
		ur_effect("spool clock", true);
		spool->clock_sequence += r < 0 ? 0 : 1;
		if (fd >= 0) {
			(void)ur_sys.close(fd);
		}
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD,
			       "cannot write down how long the spool has been in use")
		     : 0;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

/** JSON, blanks, and at the end 16 digits that vouch for all before them and for `sequence`. */
static int write_block(
	const struct ur_spool_outcome *outcome, uint64_t sequence, char ret[UR_BLOCK_BYTES + 1])
{
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

int ur_spool_outcome_make(int dir, const struct ur_spool_outcome *outcome)
{
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
	struct stat st;
	return ur_sys.fstat(fd, &st) == 0 && st.st_size == (off_t)UR_OUTCOME_BYTES;
}

int ur_spool_outcome_load(int dir, struct ur_spool_outcome *ret)
{
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
		ret->suspect = ret->suspect || (blocks.spoilt && blocks.sequence > 1);
	}
	return r;
}

int ur_spool_outcome_store(
	const struct ur_spool *spool, int dir, const struct ur_spool_outcome *outcome)
{
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
		ur_effect("spool conclude", false);
		r = put_block(
			fd, bytes, UR_BLOCK_BYTES, (blocks.newest + 1) % UR_SLOTS, !spool->no_sync);
		ur_effect("spool conclude", true);
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r;
}

/* ---- an older layout ------------------------------------------------------------------------- */

/**
 * First what tells an older program that this is not its own any more: it leaves such uploads alone.
 * On a full disk the rest waits for the next start.
 */
int ur_spool_take_over(int dir, const struct ur_spool_upload *upload, const char *metadata)
{
	struct ur_text text = {0};
	ur_spool_info_write(upload, metadata, &text);
	int r = ur_text_ok(&text) ? ur_spool_file_replace(
					    dir, "info", text.bytes, text.size, "spool take over")
				  : -ENOMEM;
	ur_text_done(&text);
	if (r == 0 && upload->outcome.state != UR_SPOOL_RECEIVING &&
		upload->outcome.state != UR_SPOOL_BROKEN) {
		r = ur_spool_outcome_make(dir, &upload->outcome);
	}
	return r;
}

/* ---- damage ---------------------------------------------------------------------------------- */

void ur_spool_stop(struct ur_spool *spool)
{
	atomic_store(&spool->stopping, true);
}

static int hash_all(const struct ur_spool *spool, int fd, struct ur_sha1 *sha1, uint64_t *ret_size)
{
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
	upload->is_unread = false;
	if (result < 0) {
		return false;
	}
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
