/**
 * when - the date that a file's name carries.
 *
 * Cameras and messengers write it there: IMG_20240506_070809.jpg, PXL_20240506_050809123.jpg,
 * IMG-20240506-WA0001.jpg, 2024-05-06 07.08.09.jpg.  It must be a real date, from 1980 on and
 * not in the future; a row of digits that merely looks like one is left alone.
 *
 *   Owner    the caller
 *   Units    nanoseconds since the epoch: UTC when *ret_utc, else the local time read as UTC
 *   Errors   false when the name carries no date; nothing is written then
 *   Threads  any
 */
#ifndef UR_MEDIA_WHEN_H
#define UR_MEDIA_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/** A name without its folder.  `now_ns` is the wall clock; a day is allowed for zones. */
[[nodiscard]] bool ur_when_of_name(
	const char *name, int64_t now_ns, int64_t *ret_ns, bool *ret_utc);

#endif
