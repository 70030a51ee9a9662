/**
 * container - boxes inside boxes: ISO base media files and what QuickTime made of them.
 *
 *     file ─ ftyp │ moov ─ mvhd · udta ─ ©xyz · meta ─ keys + ilst │ mdat …        a movie
 *     file ─ ftyp │ meta ─ iinf (which item is Exif) + iloc (where it lies) │ mdat …  a picture
 *
 * Boxes are stepped over by their sizes, so that a movie of any length costs a few short reads;
 * the index may stand at the end.  Every count, size and depth has a maximum below.
 *
 *   Owner    the caller; nothing is kept
 *   Units    offsets and sizes in bytes
 *   Errors   -ENOMEM, or what the reader says; broken boxes end the walk and are no error
 *   Threads  any
 *   Source   ISO/IEC 14496-12 sections 4.2, 8.2.2, 8.11; QuickTime File Format, metadata atoms;
 *            ISO 6709 annex H
 */
#ifndef UR_MEDIA_CONTAINER_H
#define UR_MEDIA_CONTAINER_H

#include "engine/media/meta.h"
#include "engine/media/reader.h"

#define UR_BOXES_MAX 1024u           // boxes that are stepped over on one level
#define UR_BOX_LOAD_MAX (1u << 20)   // bytes of a box that are read into memory
#define UR_CONTAINER_ITEMS_MAX 4096u // items of a HEIF picture, keys of a movie

/**
 * True only when certain: a box reaches beyond the end of the file, or (`movie`) all boxes are there
 * and none of them is the index without which nobody can play it.
 */
[[nodiscard]] int ur_container_cut_short(const struct ur_reader *reader, bool movie, bool *ret);
/** MP4, MOV, 3GP: time, place and content id. */
[[nodiscard]] int ur_container_movie(const struct ur_reader *reader, struct ur_meta *ret);
/** HEIC, HEIF, AVIF: the Exif item. */
[[nodiscard]] int ur_container_picture(const struct ur_reader *reader, struct ur_meta *ret);
/** JPEG XL in boxes: the Exif box. */
[[nodiscard]] int ur_container_jxl(const struct ur_reader *reader, struct ur_meta *ret);
/** Canon's CR3: the Exif directory that it keeps in a box of its own. */
[[nodiscard]] int ur_container_cr3(const struct ur_reader *reader, struct ur_meta *ret);

#endif
