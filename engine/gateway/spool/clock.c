/*
 * clock - how long gateways have run on a spool.
 *
 *     clock     [slot][slot]     sequence, version, the time it has run     written in turn
 *
 * Written in place, into blocks that were there from the beginning: what is done to make room on a
 * full disk must not need any.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CLOCK "clock"
#define CLOCK_MAGIC "URSPOOL"

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
	assert(outcome->state < UR_SPOOL_STATES);
	outcome->since_ms = ur_clock_wall_ns() / UR_MS_NS;
	outcome->since_ran_ms = ur_spool_ran_ms(spool);
}

static void write_clock(uint64_t sequence, int64_t ran_ms, struct clock *ret)
{
	assert(sequence > 0);
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
	assert(spool->root >= 0);
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
	assert(spool->root >= 0);
	assert(spool->clock_sequence == 0);
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
	assert(spool->layout <= UR_SPOOL_LAYOUT);
	struct clock clock;
	int r = 0;
	if (spool->clock_sequence == 0) {
		r = make_clock(spool);
	} else {
		const int fd = ur_spool_file_open(spool->root, CLOCK, O_RDWR);
		write_clock(spool->clock_sequence + 1, ur_spool_ran_ms(spool), &clock);
		ur_effect("spool clock", false);
		r = fd < 0 ? fd
			   : ur_spool_block_put(fd, &clock, sizeof clock,
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
