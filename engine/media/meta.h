/**
 * meta - when and where a picture was taken, and which live photo it belongs to.
 *
 *     bytes ──container: the boxes──▶ Exif block ──exif──▶ struct ur_meta
 *                  └─ movies: mvhd, QuickTime keys, udta ─▶ struct ur_meta
 *
 * Only what something asks for is read: a few ranges through the reader, never the whole file.
 * What is broken is treated as absent; the picture is sent all the same.
 *
 *   Owner    the caller; nothing is kept after the call
 *   Units    nanoseconds since the epoch; degrees, north and east positive
 *   Errors   only the reader's own (-EIO …) and -ENOMEM; 0 also when nothing is known
 *   Threads  any
 *   Source   Exif 2.32; ISO/IEC 14496-12, 23008-12; QuickTime File Format; ISO 6709
 */
#ifndef UR_MEDIA_META_H
#define UR_MEDIA_META_H

#include "engine/media/kind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UR_META_CONTENT_ID 64u // with its NUL; Apple's are UUIDs of 36 characters

/** Random access to a file's bytes. */
struct ur_reader {
	/** The number of bytes read, short only at the end; or a negative errno. */
	ssize_t (*read)(void *context, void *buffer, size_t size, uint64_t offset);
	void *context;
	uint64_t size;
};

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

/** Fills `ret` in; 0 also when nothing is known. */
[[nodiscard]] int ur_meta_read(
	const struct ur_reader *reader, const struct ur_kind *kind, struct ur_meta *ret);

/** A reader of bytes in memory, for tests and small files.  `bytes` must outlive it. */
struct ur_memory {
	const void *bytes;
	size_t size;
};
struct ur_reader ur_reader_of_memory(struct ur_memory *memory);

/**
 * Reads exactly `size` bytes: 0, -ENODATA when the file ends before, or the reader's error.
 */
[[nodiscard]] int ur_reader_exactly(
	const struct ur_reader *reader, void *buffer, size_t size, uint64_t offset);

/* What exif and container share. */

/** The minutes east of Greenwich at the end of an ISO date: "…+02:00", "…-0330", "…Z". */
int ur_meta_zone(const char *iso);
/** Reads digits with at most one point, in any locale; false when no digit is there. */
[[nodiscard]] bool ur_meta_decimal(const char **at, double *ret);
/** Takes a place that exists; 0/0 is what receivers without a fix write and counts as none. */
void ur_meta_place(struct ur_meta *meta, double latitude, double longitude);
/** Takes a content id if it is one: printable, and short enough.  A NUL ends it. */
void ur_meta_content_id(struct ur_meta *meta, const char *bytes, size_t size);

#endif
