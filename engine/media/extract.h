/**
 * extract - when and where a picture was taken, read from the file itself.
 *
 *     bytes ──container: the boxes──▶ Exif block ──exif──▶ struct ur_meta
 *                  └─ movies: mvhd, QuickTime keys, udta ─▶ struct ur_meta
 *
 * Only what something asks for is read: a few ranges through the reader, never the whole file.
 * What is broken is treated as absent; the picture is sent all the same.
 *
 *   Owner    the caller; nothing is kept after the call
 *   Errors   only the reader's own (-EIO …) and -ENOMEM; 0 also when nothing is known
 *   Threads  any
 *   Source   Exif 2.32; ISO/IEC 14496-12, 23008-12; QuickTime File Format; ISO 6709
 */
#ifndef UR_MEDIA_EXTRACT_H
#define UR_MEDIA_EXTRACT_H

#include "engine/media/kind.h"
#include "engine/media/meta.h"
#include "engine/media/reader.h"

/** Fills `ret` in; 0 also when nothing is known. */
[[nodiscard]] int ur_extract_meta(
	const struct ur_reader *reader, const struct ur_kind *kind, struct ur_meta *ret);

#endif
