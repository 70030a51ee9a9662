/*
 * cut - does the file end before its content does?
 *
 * Said only when certain.  What follows a picture is often more than the picture: a movie behind
 * a JPEG, a maker's trailer, padding.  So a missing end marker counts only where the bytes that
 * are there show that the picture was still going on.
 */
#include "engine/media/kind.h"

#include <string.h>

#define BOXES_MAX 256  // top-level boxes that are walked
#define STUFFED_MIN 16 // escaped 0xff bytes that prove the inside of a JPEG scan

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const unsigned char *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static bool is_restart(unsigned char marker)
{
	return marker >= 0xd0 && marker <= 0xd7;
}

/** From a scan's data to the marker that ends it; `size` when none does. */
static size_t skip_scan(const unsigned char *bytes, size_t size, size_t i)
{
	while (i + 1 < size) {
		const unsigned char *ff = memchr(bytes + i, 0xff, size - i - 1);
		if (ff == NULL) {
			return size;
		}
		i = (size_t)(ff - bytes);
		if (ff[1] == 0xff) {
			i++;
		} else if (ff[1] == 0 || is_restart(ff[1])) {
			i += 2;
		} else {
			return i;
		}
	}
	return size;
}

/** Walks a whole JPEG, segment by segment: does it run out before its end marker? */
static bool whole_jpeg_is_cut(const unsigned char *bytes, size_t size)
{
	size_t i = 2;
	while (i <= size && size - i >= 2) {
		const unsigned char marker = bytes[i + 1];
		if (bytes[i] != 0xff || marker == 0xd9) {
			return false; // its end; or damaged, and who knows what comes next
		}
		if (marker == 0xff) {
			i++;
			continue;
		}
		i += 2;
		if (is_restart(marker) || marker == 0x01) {
			continue;
		}
		if (size - i < 2) {
			return true;
		}
		i += (size_t)bytes[i] << 8 | bytes[i + 1];
		if (marker == 0xda) {
			i = skip_scan(bytes, size, i);
		}
	}
	return true;
}

/** Of a large JPEG only the tail is there: it must look like the inside of a scan to its end. */
static bool tail_is_inside_a_scan(const unsigned char *tail, size_t size)
{
	size_t stuffed = 0;
	size_t start = 0;
	const unsigned char *scan = memmem(tail, size, "\xff\xda", 2);
	while (scan != NULL) { // begin after the last start of a scan
		start = (size_t)(scan - tail) + 2;
		scan = memmem(tail + start, size - start, "\xff\xda", 2);
	}
	for (size_t i = start; i + 1 < size; i++) {
		if (tail[i] != 0xff) {
			continue;
		}
		if (tail[i + 1] != 0 && !is_restart(tail[i + 1]) && tail[i + 1] != 0xff) {
			return false;
		}
		stuffed += tail[i + 1] == 0;
	}
	return stuffed >= STUFFED_MIN;
}

static bool jpeg_is_cut(const unsigned char *tail, size_t tail_size, uint64_t file_size)
{
	return tail_size == file_size ? whole_jpeg_is_cut(tail, tail_size)
				      : tail_is_inside_a_scan(tail, tail_size);
}

static bool png_is_cut(const unsigned char *tail, size_t tail_size)
{
	return memmem(tail, tail_size, "IEND\xae\x42\x60\x82", 8) == NULL;
}

static bool is_box_type(const unsigned char *type)
{
	for (int i = 0; i < 4; i++) {
		if ((type[i] < 0x20 || type[i] > 0x7e) && type[i] != 0xa9) {
			return false;
		}
	}
	return true;
}

static bool boxes_are_cut(const unsigned char *head, size_t head_size, uint64_t file_size)
{
	uint64_t at = 0;
	for (int count = 0; count < BOXES_MAX && at <= head_size && head_size - at >= 16; count++) {
		const unsigned char *box = head + at;
		uint64_t size = be32(box);
		if (!is_box_type(box + 4)) {
			return false;
		}
		if (size == 1) {
			size = be64(box + 8);
		}
		if (size < 8) {
			return false; // 0: to the end of the file
		}
		if (size > file_size - at) {
			return true;
		}
		at += size;
	}
	return false;
}

static bool riff_is_cut(const unsigned char *head, uint64_t file_size)
{
	const uint32_t size = (uint32_t)head[7] << 24 | (uint32_t)head[6] << 16 |
			      (uint32_t)head[5] << 8 | head[4];
	/* A recorder that never came to write the size leaves 0 or all ones; a pad byte may lack. */
	return size != UINT32_MAX && (uint64_t)size + 8 > file_size + 1;
}

bool ur_kind_cut_short(const struct ur_kind *kind, const void *head, size_t head_size,
	const void *tail, size_t tail_size, uint64_t file_size)
{
	const unsigned char *first = head;
	if ((kind->class != UR_CLASS_IMAGE && kind->class != UR_CLASS_VIDEO) || head_size < 12 ||
		head_size > file_size || tail_size > file_size) {
		return false;
	}
	if (strcmp(kind->name, "jpeg") == 0) {
		return jpeg_is_cut(tail, tail_size, file_size);
	}
	if (strcmp(kind->name, "png") == 0) {
		return png_is_cut(tail, tail_size);
	}
	if (memcmp(first, "RIFF", 4) == 0) {
		return riff_is_cut(first, file_size);
	}
	if (memcmp(first + 4, "ftyp", 4) == 0 || strcmp(kind->name, "mov") == 0) {
		return boxes_are_cut(first, head_size, file_size);
	}
	return false;
}
