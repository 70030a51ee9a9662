/*
 * wire - a head, and a note a body.
 *
 *     0     head: whose ledger, which boot, since when
 *     4096  UR_WIRE_PLACES notes: which bytes, until when they may arrive
 *
 * A note is written once, before the last byte goes, and never cleared: its time ends it.  Places are
 * given out again in the order in which they came back, the last first, so that few are ever written.
 */
#include "engine/net/wire.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_AT 4096

struct head {
	char magic[8];
	int64_t begun_ns;
	char boot[UR_BOOT_ID_SIZE];
	uint8_t owner[UR_WIRE_OWNER];
	int64_t turn; // of whoever has it
};

struct note {
	uint8_t sha1[UR_WIRE_SHA1];
	uint8_t unused[4];
	int64_t gone_ns;  // of this boot
	int64_t until_ns; // 0: it has not gone
};
static_assert(sizeof(struct head) <= NOTES_AT && sizeof(struct note) == 40, "as it is on disk");

static const char magic[8] = "urwire2";

struct place {
	uint8_t sha1[UR_WIRE_SHA1];
	int64_t may_come_ns;
	_Atomic int64_t gone_ns;
	_Atomic int64_t until_ns;
	bool taken; // by this process
};

struct ur_wire {
	int fd;
	struct head head;
	atomic_bool spoiled; // a note could not be written, and the file is empty now
	bool knew;
	unsigned free_count;
	uint16_t free[UR_WIRE_PLACES];
	struct place places[UR_WIRE_PLACES];
};

/* ---- the file -------------------------------------------------------------------------------- */

static off_t offset_of(unsigned at)
{
	assert(at < UR_WIRE_PLACES);
	return NOTES_AT + (off_t)at * (off_t)sizeof(struct note);
}

static int write_head(const struct ur_wire *wire, const struct head *head)
{
	return ur_sys_pwrite_all(wire->fd, head, sizeof *head, 0);
}

/** All zero; its blocks are there from now on. */
static int forget_all(struct ur_wire *wire, const uint8_t owner[UR_WIRE_OWNER])
{
	static const struct head none;
	static const struct note notes[UR_WIRE_PLACES];
	struct head anew = none;
	memcpy(anew.owner, owner, UR_WIRE_OWNER); // which may be the old head's
	wire->head = anew;
	const int r = write_head(wire, &none); // first: half of the notes are worth nothing
	return r < 0 ? r : ur_sys_pwrite_all(wire->fd, notes, sizeof notes, NOTES_AT);
}

static bool is_ours(const struct head *head, const uint8_t owner[UR_WIRE_OWNER])
{
	const char *boot = ur_clock_boot_id();
	return memcmp(head->magic, magic, sizeof magic) == 0 &&
	       memcmp(head->owner, owner, UR_WIRE_OWNER) == 0 && boot[0] != '\0' &&
	       memchr(head->boot, '\0', sizeof head->boot) != NULL &&
	       strcmp(head->boot, boot) == 0 && head->begun_ns > 0 &&
	       head->begun_ns <= ur_clock_boot_ns();
}

static int read_notes(struct ur_wire *wire)
{
	struct note *notes = calloc(UR_WIRE_PLACES, sizeof *notes);
	if (notes == NULL) {
		return -ENOMEM;
	}
	const size_t size = UR_WIRE_PLACES * sizeof *notes;
	const ssize_t got = ur_sys_pread_all(wire->fd, notes, size, NOTES_AT);
	for (unsigned i = 0; i < UR_WIRE_PLACES && got == (ssize_t)size; i++) {
		struct place *place = &wire->places[i];
		memcpy(place->sha1, notes[i].sha1, sizeof place->sha1);
		atomic_init(&place->gone_ns, notes[i].gone_ns);
		atomic_init(&place->until_ns, notes[i].until_ns);
	}
	free(notes);
	return got == (ssize_t)size ? 0 : got < 0 ? (int)got : -EIO;
}

static int load(struct ur_wire *wire, const uint8_t owner[UR_WIRE_OWNER])
{
	const ssize_t got = ur_sys_pread_all(wire->fd, &wire->head, sizeof wire->head, 0);
	if (got == (ssize_t)sizeof wire->head && is_ours(&wire->head, owner)) {
		const int r = read_notes(wire);
		wire->knew = r == 0;
		if (r != -EIO) { // where they are not all there, they are worth nothing
			return r;
		}
	}
	static const struct head zero;
	if (got > 0 && memcmp(wire->head.magic, magic, 6) != 0 &&
		memcmp(&wire->head, &zero, (size_t)got) != 0) {
		return -EEXIST; // somebody's file
	}
	return got < 0 ? (int)got : forget_all(wire, owner);
}

/* ---- places ---------------------------------------------------------------------------------- */

/** Nobody's, and its note, if any, says nothing any more. */
static bool is_free(const struct place *place, int64_t now_ns)
{
	return !place->taken && atomic_load(&place->until_ns) <= now_ns;
}

static void gather_free(struct ur_wire *wire)
{
	const int64_t now = ur_clock_boot_ns();
	wire->free_count = 0;
	for (unsigned i = UR_WIRE_PLACES; i-- > 0;) { // the first is given out first
		if (is_free(&wire->places[i], now)) {
			wire->free[wire->free_count++] = (uint16_t)i;
		}
	}
}

int ur_wire_open(const char *path, const uint8_t owner[UR_WIRE_OWNER], struct ur_wire **ret)
{
	struct ur_wire *wire = calloc(1, sizeof *wire);
	if (wire == NULL) {
		return -ENOMEM;
	}
	wire->fd = ur_sys.openat(AT_FDCWD, path,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	const int r = wire->fd < 0 ? wire->fd : load(wire, owner);
	if (r < 0) {
		(void)ur_wire_free(wire);
		return r;
	}
	gather_free(wire);
	*ret = wire;
	return 0;
}

struct ur_wire *ur_wire_free(struct ur_wire *wire)
{
	if (wire != NULL) {
		if (wire->fd >= 0) {
			(void)ur_sys.close(wire->fd);
		}
		free(wire);
	}
	return NULL;
}

bool ur_wire_knew(const struct ur_wire *wire)
{
	return wire != NULL && wire->knew;
}

int64_t ur_wire_turn(const struct ur_wire *wire)
{
	return wire->head.turn;
}

int ur_wire_forget(struct ur_wire *wire)
{
	const int r = forget_all(wire, wire->head.owner);
	wire->knew = false;
	for (unsigned i = 0; i < UR_WIRE_PLACES; i++) {
		assert(!wire->places[i].taken);
		atomic_store(&wire->places[i].until_ns, 0);
	}
	gather_free(wire);
	return r;
}

int ur_wire_begin(struct ur_wire *wire, int64_t turn)
{
	assert(!wire->knew || wire->head.begun_ns > 0);
	if (atomic_load(&wire->spoiled)) {
		return 0;
	}
	struct head head = wire->head;
	memcpy(head.magic, magic, sizeof magic);
	memcpy(head.boot, ur_clock_boot_id(), strlen(ur_clock_boot_id()) + 1);
	head.begun_ns = head.begun_ns > 0 ? head.begun_ns : ur_clock_boot_ns();
	head.turn = turn;
	const int r = write_head(wire, &head);
	if (r == 0) {
		wire->head = head;
	}
	return r;
}

/* ---- what is asked, what is noted ------------------------------------------------------------- */

/** All that was certain of it lies in this boot, and began with the notes or behind them. */
static bool is_covered(const struct ur_wire *wire, const struct ur_age *since)
{
	return ur_age_is_begun(since) && strcmp(since->boot, wire->head.boot) == 0 &&
	       since->at_ns - since->had_ns >= wire->head.begun_ns;
}

bool ur_wire_left(const struct ur_wire *wire, const uint8_t sha1[UR_WIRE_SHA1],
	const struct ur_age *since, int64_t may_come_ns, int64_t *ret_ns)
{
	if (wire == NULL || wire->head.begun_ns == 0 || atomic_load(&wire->spoiled) ||
		(since != NULL && !is_covered(wire, since))) {
		return false;
	}
	const int64_t now = ur_clock_boot_ns();
	int64_t until = now;
	for (unsigned i = 0; i < UR_WIRE_PLACES; i++) {
		const struct place *place = &wire->places[i];
		const int64_t until_then = atomic_load(&place->until_ns);
		const int64_t until_now = atomic_load(&place->gone_ns) + may_come_ns;
		const int64_t its = until_then < until_now ? until_then : until_now;
		if (its > until && memcmp(place->sha1, sha1, UR_WIRE_SHA1) == 0) {
			until = its;
		}
	}
	*ret_ns = until - now;
	return true;
}

/** A body goes of which nothing is noted: an empty file says nothing, and takes no room. */
static int spoil(struct ur_wire *wire)
{
	atomic_store(&wire->spoiled, true);
	return ur_sys.ftruncate(wire->fd, 0);
}

unsigned ur_wire_take(struct ur_wire *wire, const uint8_t sha1[UR_WIRE_SHA1], int64_t may_come_ns)
{
	assert(may_come_ns >= 0);
	if (wire == NULL || atomic_load(&wire->spoiled)) {
		return UR_WIRE_NONE;
	}
	if (wire->free_count == 0) {
		gather_free(wire); // the time of some has come
	}
	if (wire->free_count == 0) {
		return UR_WIRE_NONE;
	}
	const unsigned at = wire->free[--wire->free_count];
	struct place *place = &wire->places[at];
	assert(!place->taken);
	place->taken = true;
	place->may_come_ns = may_come_ns;
	memcpy(place->sha1, sha1, sizeof place->sha1);
	atomic_store(&place->until_ns, 0);
	return at + 1;
}

int ur_wire_gone(struct ur_wire *wire, unsigned place_from_1)
{
	if (place_from_1 == UR_WIRE_NONE) {
		return 0;
	}
	const unsigned at = place_from_1 - 1;
	assert(at < UR_WIRE_PLACES);
	struct place *place = &wire->places[at];
	assert(place->taken);
	struct note note = {.gone_ns = ur_clock_boot_ns()};
	note.until_ns = note.gone_ns + place->may_come_ns;
	memcpy(note.sha1, place->sha1, sizeof note.sha1);
	atomic_store(&place->gone_ns, note.gone_ns);
	atomic_store(&place->until_ns, note.until_ns);
	const int r = ur_sys_pwrite_all(wire->fd, &note, sizeof note, offset_of(at));
	return r < 0 ? spoil(wire) : 0;
}

void ur_wire_renew(struct ur_wire *wire, unsigned place_from_1, int64_t may_come_ns)
{
	assert(may_come_ns >= 0);
	if (place_from_1 != UR_WIRE_NONE) {
		assert(wire->places[place_from_1 - 1].taken);
		wire->places[place_from_1 - 1].may_come_ns = may_come_ns;
	}
}

void ur_wire_give(struct ur_wire *wire, unsigned place_from_1)
{
	if (place_from_1 == UR_WIRE_NONE) {
		return;
	}
	const unsigned at = place_from_1 - 1;
	assert(at < UR_WIRE_PLACES);
	assert(wire->places[at].taken);
	assert(wire->free_count < UR_WIRE_PLACES);
	wire->places[at].taken = false;
	atomic_store(&wire->places[at].until_ns, 0);
	wire->free[wire->free_count++] = (uint16_t)at;
}

unsigned ur_wire_hold(
	struct ur_wire *wire, unsigned place, const uint8_t sha1[UR_WIRE_SHA1], int64_t may_come_ns)
{
	if (place == UR_WIRE_NONE) {
		return ur_wire_take(wire, sha1, may_come_ns);
	}
	ur_wire_renew(wire, place, may_come_ns);
	return place;
}

unsigned ur_wire_note(
	struct ur_wire *wire, unsigned place, const uint8_t sha1[UR_WIRE_SHA1], int64_t may_come_ns)
{
	const unsigned held = ur_wire_hold(wire, place, sha1, may_come_ns);
	if (ur_wire_gone(wire, held) < 0 && place == UR_WIRE_NONE) {
		ur_wire_give(wire, held);
		return UR_WIRE_NONE;
	}
	return held;
}
