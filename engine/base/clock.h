/**
 * clock - what time it is, through a seam that tests can turn.
 *
 * Three clocks, never mixed: the wall (may step, also backwards: for people and for comparing with
 * a file's times), the steady one (for time-outs) and the boot clock (counts while suspended, is
 * meaningless after a reboot and is therefore kept together with the boot id).
 *
 *   Units    nanoseconds since the epoch (wall), an arbitrary start (steady), the boot (boot)
 *   Threads  any
 *   Source   ISO 8601 as the server sends and takes it: facts of the API, dates accepted
 */
#ifndef UR_BASE_CLOCK_H
#define UR_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define UR_SECOND_NS INT64_C(1000000000)
#define UR_MS_NS INT64_C(1000000)
#define UR_CLOCK_TEXT 32   // room for "2024-05-06T07:08:09.123Z"
#define UR_BOOT_ID_SIZE 37 // a UUID and its NUL

int64_t ur_clock_wall_ns(void);
int64_t ur_clock_steady_ns(void);
int64_t ur_clock_boot_ns(void);
/** The kernel's id of this boot; "" where there is none (then nothing survives as boot time). */
const char *ur_clock_boot_id(void);

/** The seam: added to every later reading of the wall clock.  For tests. */
void ur_clock_step(int64_t by_ns);

/** UTC with milliseconds, years 0001-9999 (others are clamped). */
void ur_clock_iso(int64_t wall_ns, char ret[UR_CLOCK_TEXT]);
/** "2024-05-06 07:08:09" in the local zone, for people. */
void ur_clock_local(int64_t wall_ns, char ret[UR_CLOCK_TEXT]);
/**
 * Reads "YYYY-MM-DD[T ]HH:MM[:SS[.fff]][Z|±HH[:]MM]" or a date alone.  *ret_zoned says whether a
 * zone was given; without one the text is read as UTC.
 */
[[nodiscard]] int ur_clock_parse_iso(const char *text, int64_t *ret_ns, bool *ret_zoned);
/** Reads "Tue, 01 Dec 2026 07:08:09 GMT", the one form of HTTP's dates that is still sent. */
[[nodiscard]] int ur_clock_parse_http(const char *text, int64_t *ret_ns);
/** Seconds since the epoch of a UTC date; -EINVAL when there is no such date or time of day. */
[[nodiscard]] int ur_clock_civil(
	int year, int month, int day, int hour, int minute, int second, int64_t *ret_s);

#endif
