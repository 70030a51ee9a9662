/**
 * age - how much time has certainly passed since something was first seen, over restarts and boots.
 *
 *     begin ──▶ "0 AT BOOT" ──ledger──▶ same boot:   had + (now - at)
 *                                       another one: had + now, the uptime: the rest is not known
 *
 * The wall clock may be stepped to any day, so no proof hangs on it.  The boot clock counts while
 * suspended and cannot be set; across a reboot only the time since that reboot is certain.  An age is
 * therefore a lower bound: it may be less than what has passed, never more.  ur_age_keep() carries
 * what is certain over, so that a machine which boots every hour still gets there.
 *
 *   Owner    plain values, copied freely; all zero is "not begun"
 *   Units    nanoseconds of CLOCK_BOOTTIME
 *   Errors   text that is no age reads as "not begun": a wait then begins anew
 *   Threads  any
 */
#ifndef UR_BASE_AGE_H
#define UR_BASE_AGE_H

#include "engine/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define UR_AGE_TEXT 80 // two numbers, a boot id, two spaces and the NUL

struct ur_age {
	char boot[UR_BOOT_ID_SIZE]; // "" with at_ns 0: not begun
	int64_t at_ns;              // CLOCK_BOOTTIME of that boot
	int64_t had_ns;             // certain before that
};

struct ur_age ur_age_begin(void);
bool ur_age_is_begun(const struct ur_age *age);
/** At least so much has passed; 0 when it was not begun. */
int64_t ur_age_ns(const struct ur_age *age);
/** The same age in terms of this boot, to be written down. */
struct ur_age ur_age_keep(const struct ur_age *age);

/** "HAD AT BOOT", or "" when it was not begun. */
void ur_age_write(const struct ur_age *age, char ret[UR_AGE_TEXT]);
struct ur_age ur_age_read(const char *text);

#endif
