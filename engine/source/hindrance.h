/**
 * hindrance - why a file stays where it is, or cannot be read, and what can be done about it.
 *
 *     errno ──▶ one row of a table ──▶ "Permission denied; give this user the right to read it …"
 *                                  ──▶ "it may not be removed: no write permission in its folder; …"
 *
 * The one place that knows what the errors of a disk mean for the one who reads of them.
 *
 *   Owner    the sentences are constant, or the caller's buffer
 *   Errors   none: an error without a row is called by the system's own words
 *   Threads  any
 *   Source   open(2), rename(2), unlink(2), the *at calls; errno(3)
 */
#ifndef UR_SOURCE_HINDRANCE_H
#define UR_SOURCE_HINDRANCE_H

#include <stddef.h>

#define UR_HINDRANCE_TEXT 320

/** "WHAT THE SYSTEM SAYS; what to do", of something that cannot be read. */
const char *ur_hindrance_of_reading(int code, char ret[UR_HINDRANCE_TEXT]);
/** "it may not be removed: why; what to do"; `moving`: it should go to another folder. */
const char *ur_hindrance_of_leaving(int code, int moving, char ret[UR_HINDRANCE_TEXT]);
/** The i-th error of the table, 0 behind the last. */
int ur_hindrance_listed(size_t i);

#endif
