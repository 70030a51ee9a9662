/*
 * slot - how far an upload is durable, as it lies on the disk: two of them, written in turn.
 *
 *     [magic sequence offset length touched words tail … check]     one block; the other a page away
 */
#include "engine/gateway/spool/internal.h"

#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define SLOT_MAGIC "URSLOT1"

/** As it lies on the disk; numbers are little-endian. */
struct slot {
	char magic[8];
	uint64_t sequence;
	uint64_t offset;
	uint64_t length;
	uint64_t touched_ms;
	uint8_t words[20];
	uint8_t tail[64];
	uint8_t zeros[4];
	uint64_t ran_ms; // 0 of layout 1, whose spool had not run then by this clock
	uint8_t more_zeros[368];
	uint64_t check; // XXH3 of all before it
};
static_assert(sizeof(struct slot) == UR_SLOT_BYTES, "a slot has no holes");

static uint64_t check_of(const struct slot *slot)
{
	return ur_hash_short(slot, offsetof(struct slot, check), 0);
}

void ur_spool_slot_write(const struct ur_spool_slot *slot, uint8_t ret[UR_SLOT_BYTES])
{
	assert(slot->sequence > 0);
	struct slot raw = {
		.magic = SLOT_MAGIC,
		.sequence = htole64(slot->sequence),
		.offset = htole64(slot->mark.offset),
		.length = htole64(slot->mark.length),
		.touched_ms = htole64((uint64_t)slot->touched_ms),
		.ran_ms = htole64((uint64_t)slot->touched_ran_ms),
	};
	memcpy(raw.words, slot->mark.words, sizeof raw.words);
	memcpy(raw.tail, slot->mark.tail, sizeof raw.tail);
	raw.check = htole64(check_of(&raw));
	memcpy(ret, &raw, sizeof raw);
}

bool ur_spool_slot_read(const uint8_t bytes[UR_SLOT_BYTES], struct ur_spool_slot *ret)
{
	struct slot raw;
	memcpy(&raw, bytes, sizeof raw);
	if (memcmp(raw.magic, SLOT_MAGIC, sizeof raw.magic) != 0 ||
		le64toh(raw.check) != check_of(&raw)) {
		return false;
	}
	struct ur_spool_slot slot = {
		.sequence = le64toh(raw.sequence),
		.touched_ms = (int64_t)le64toh(raw.touched_ms),
		.touched_ran_ms = (int64_t)le64toh(raw.ran_ms),
		.mark = {.offset = le64toh(raw.offset), .length = le64toh(raw.length)},
	};
	if (slot.mark.offset > INT64_MAX || slot.mark.offset > slot.mark.length ||
		(slot.mark.length > INT64_MAX && slot.mark.length != UR_SPOOL_LENGTH_UNKNOWN)) {
		return false;
	}
	memcpy(slot.mark.words, raw.words, sizeof raw.words);
	memcpy(slot.mark.tail, raw.tail, sizeof raw.tail);
	*ret = slot;
	return true;
}

static bool is_blank(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0) {
			return false;
		}
	}
	return true;
}

int ur_spool_slot_pick(int state, struct ur_spool_slot *ret, unsigned *ret_index, bool *ret_spoilt)
{
	assert(state >= 0);
	bool found = false;
	bool spoilt = false;
	for (unsigned i = 0; i < UR_SLOTS; i++) {
		uint8_t bytes[UR_SLOT_BYTES];
		struct ur_spool_slot slot;
		const ssize_t n =
			ur_sys_pread_all(state, bytes, sizeof bytes, (off_t)(i * UR_SLOT_APART));
		if (n < 0 && n != -EIO) {
			return (int)n;
		}
		const bool whole = n == sizeof bytes && ur_spool_slot_read(bytes, &slot);
		spoilt =
			spoilt || (!whole && (n != sizeof bytes || !is_blank(bytes, sizeof bytes)));
		if (whole && (!found || slot.sequence > ret->sequence)) {
			found = true;
			*ret = slot;
			*ret_index = i;
		}
	}
	if (ret_spoilt != NULL) {
		*ret_spoilt = spoilt;
	}
	return found ? 0 : -EBADMSG;
}
