/**
 * meta - when and where a picture was taken, and which live photo it belongs to.
 *
 * The facts, and what of them is believed; extract.h reads them from a file, sidecar.h beside it.
 *
 *   Owner    the caller
 *   Units    nanoseconds since the epoch; degrees, north and east positive
 *   Errors   none: what cannot be is not taken, and the struct stays as it was
 *   Threads  any
 */
#ifndef UR_MEDIA_META_H
#define UR_MEDIA_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_META_CONTENT_ID 64u // with its NUL; Apple's are UUIDs of 36 characters

struct ur_meta {
	bool has_time;
	bool zoned;       // time_ns is UTC; otherwise it is the local time, read as if it were UTC
	int64_t time_ns;  // when the picture was taken
	int zone_minutes; // east of Greenwich, where the file says so
	bool has_place;
	double latitude;
	double longitude;
	char content_id[UR_META_CONTENT_ID]; // Apple's ContentIdentifier, "" when there is none
	const char *time_from; // static: "Exif", "QuickTime", "mvhd", "GPS"; "" without
};

/** The minutes east of Greenwich at the end of an ISO date: "…+02:00", "…-0330", "…Z". */
int ur_meta_zone(const char *iso);
/** Reads digits with at most one point, in any locale; false when no digit is there. */
[[nodiscard]] bool ur_meta_decimal(const char **at, double *ret);
/** Takes a place that exists; 0/0 is what receivers without a fix write and counts as none. */
void ur_meta_place(struct ur_meta *meta, double latitude, double longitude);
/** Takes a content id if it is one: printable, and short enough.  A NUL ends it. */
void ur_meta_content_id(struct ur_meta *meta, const char *bytes, size_t size);

#endif
