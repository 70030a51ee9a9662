/**
 * wire - which bodies have gone out whole, for the process that comes after a kill.
 *
 *     take ──▶ the body goes ──▶ gone() ──▶ its last byte ──▶ the answer, written down ──▶ give
 *                │                           │
 *                killed: half a request,     killed: it may still arrive, for so long
 *                which never arrives
 *
 * A file of a fixed size, written without a sync: a kill takes nothing of it away, and a power cut is
 * another boot, of which nothing is believed.  Of what had no place it says nothing: whoever writes down
 * that something is sent writes down whether it has one.  left() answers only where the file was there
 * all the time; else nobody can say, and who asks supposes the worst.
 *
 *   Owner    whoever opened it; one process at a time, by the lock of what lies beside it
 *   Units    nanoseconds of CLOCK_BOOTTIME
 *   Errors   a negative errno; without a file (NULL) all goes on, and nothing can be said
 *   Threads  gone() on any; the others on one
 */
#ifndef UR_NET_WIRE_H
#define UR_NET_WIRE_H

#include "engine/base/age.h"

#include <stdbool.h>
#include <stdint.h>

#define UR_WIRE_SHA1 20
#define UR_WIRE_OWNER 16
#define UR_WIRE_PLACES 1024u // bodies that are under way, or may still arrive, at once
#define UR_WIRE_NONE 0u      // no place: not taken yet, or there was none

struct ur_wire;

/**
 * Made where it is not there; what another boot left in it is forgotten, or what belongs to another
 * `owner`: whatever tells one ledger from the next.
 */
[[nodiscard]] int ur_wire_open(
	const char *path, const uint8_t owner[UR_WIRE_OWNER], struct ur_wire **ret);
/** Nothing is written: what has gone stays noted. */
struct ur_wire *ur_wire_free(struct ur_wire *wire);

/** An earlier process of this boot has noted all bodies since it began, and the notes are here. */
bool ur_wire_knew(const struct ur_wire *wire);
/**
 * What went before is noted, or is never asked about: from now on the file speaks for itself.  `turn` is
 * written down in what the file belongs to, too: where the two differ at the next opening, one of them is
 * not what it was then (a copy from before, another file's place), and ur_wire_forget() is the answer.
 */
[[nodiscard]] int ur_wire_begin(struct ur_wire *wire, int64_t turn);
/** Of whoever had it last; 0: nobody whom it knows. */
int64_t ur_wire_turn(const struct ur_wire *wire);
/** Nothing is known of what went before. */
[[nodiscard]] int ur_wire_forget(struct ur_wire *wire);

/**
 * True when it is known how much longer a body with these bytes, whose sending began at `since` or later,
 * may still arrive: *ret_ns, 0 when it cannot; no longer than `may_come_ns` after it had gone, and no longer
 * than whoever noted it thought.  NULL: the caller knows that its notes were begun by then.
 */
[[nodiscard]] bool ur_wire_left(const struct ur_wire *wire, const uint8_t sha1[UR_WIRE_SHA1],
	const struct ur_age *since, int64_t may_come_ns, int64_t *ret_ns);

/** A place, before the body's first byte; UR_WIRE_NONE where none is free, or there is no file. */
unsigned ur_wire_take(struct ur_wire *wire, const uint8_t sha1[UR_WIRE_SHA1], int64_t may_come_ns);
/**
 * Before its last byte is handed over; if it fails, that byte must not go.  Where the note cannot be
 * written, but the file can be emptied, it says nothing any more, and that is no failure.
 * UR_WIRE_NONE: 0.
 */
[[nodiscard]] int ur_wire_gone(struct ur_wire *wire, unsigned place);
/** It is sent anew: from its next last byte on it may come for so long. */
void ur_wire_renew(struct ur_wire *wire, unsigned place, int64_t may_come_ns);
/** What became of it is written down elsewhere. */
void ur_wire_give(struct ur_wire *wire, unsigned place);

/** `place` renewed; where there was none, one that is taken. */
unsigned ur_wire_hold(struct ur_wire *wire, unsigned place, const uint8_t sha1[UR_WIRE_SHA1],
	int64_t may_come_ns);
/**
 * The same for what has gone already, or may have: noted at once.  Where that fails, a place that was there
 * keeps its earlier note, and there is no new one.
 */
unsigned ur_wire_note(struct ur_wire *wire, unsigned place, const uint8_t sha1[UR_WIRE_SHA1],
	int64_t may_come_ns);

#endif
