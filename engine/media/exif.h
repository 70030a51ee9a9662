/**
 * exif - the few Exif tags that somebody asks for.
 *
 * libexif reads the block; unknown tags are kept (newer cameras write them), maker notes are left
 * as they are, and nothing is "corrected".  Only DateTimeOriginal counts as the capture time, then
 * DateTimeDigitized, then the GPS clock; a position of 0/0 is a receiver without a fix.
 *
 *   Owner    the caller; nothing is kept
 *   Units    offsets and sizes in bytes; at most UR_EXIF_MAX of a block are looked at
 *   Errors   -ENOMEM, or what the reader says; a broken block leaves *ret as it was
 *   Threads  any
 *   Source   Exif 2.32 sections 4.5 and 4.6; Apple's maker note, tag 0x0011
 */
#ifndef UR_MEDIA_EXIF_H
#define UR_MEDIA_EXIF_H

#include "engine/media/meta.h"
#include "engine/media/reader.h"

#include <stddef.h>
#include <stdint.h>

#define UR_EXIF_MAX 65534u // what fits into a JPEG segment, and all that libexif reads

/** A TIFF block at `offset`, with or without "Exif\0\0" before it. */
[[nodiscard]] int ur_exif_read(
	const struct ur_reader *reader, uint64_t offset, uint64_t size, struct ur_meta *ret);

/** A block in memory that begins with "Exif\0\0". */
[[nodiscard]] int ur_exif_parse(const void *block, size_t size, struct ur_meta *ret);

#endif
