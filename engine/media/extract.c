/*
 * extract - which part of which format holds the facts.
 *
 * JPEG, PNG, WebP and RAF are chains of pieces with a length each: step over them to the one that
 * holds an Exif block.  TIFF and most raw formats are that block themselves.
 */
#include "engine/media/extract.h"

#include "engine/media/container.h"
#include "engine/media/exif.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PIECES_MAX 256u // pieces that are stepped over

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/** The end of the file is the end of the search, and no error. */
static int over(int r)
{
	return r == -ENODATA ? 0 : r;
}

/** Segments: 0xff, a marker, a length that counts itself. */
static int read_jpeg_at(const struct ur_reader *reader, uint64_t start, struct ur_meta *ret)
{
	uint64_t at = start + 2;
	for (unsigned i = 0; i < PIECES_MAX; i++) {
		unsigned char head[10];
		const int r = ur_reader_exactly(reader, head, sizeof head, at);
		if (r < 0) {
			return over(r);
		}
		if (head[0] != 0xff || head[1] == 0xda || head[1] == 0xd9) {
			return 0; // the picture itself begins
		}
		const unsigned length = (unsigned)head[2] << 8 | head[3];
		if (head[1] == 0xe1 && memcmp(head + 4, "Exif\0", 5) == 0 && length > 8) {
			return ur_exif_read(reader, at + 4, length - 2, ret);
		}
		at += head[1] == 0xff ? 1 : 2 + length;
	}
	return 0;
}

static int read_jpeg(const struct ur_reader *reader, struct ur_meta *ret)
{
	return read_jpeg_at(reader, 0, ret);
}

/** Chunks: a length, a type, the data, a checksum. */
static int read_png(const struct ur_reader *reader, struct ur_meta *ret)
{
	uint64_t at = 8;
	for (unsigned i = 0; i < PIECES_MAX; i++) {
		unsigned char head[8];
		const int r = ur_reader_exactly(reader, head, sizeof head, at);
		if (r < 0) {
			return over(r);
		}
		const uint32_t length = be32(head);
		if (memcmp(head + 4, "eXIf", 4) == 0) {
			return ur_exif_read(reader, at + 8, length, ret);
		}
		at += UINT64_C(12) + length;
	}
	return 0;
}

/** Chunks: a type, a little-endian length, the data, a pad to an even number. */
static int read_webp(const struct ur_reader *reader, struct ur_meta *ret)
{
	uint64_t at = 12;
	for (unsigned i = 0; i < PIECES_MAX; i++) {
		unsigned char head[8];
		const int r = ur_reader_exactly(reader, head, sizeof head, at);
		if (r < 0) {
			return over(r);
		}
		const uint32_t length = (uint32_t)head[7] << 24 | (uint32_t)head[6] << 16 |
					(uint32_t)head[5] << 8 | head[4];
		if (memcmp(head, "EXIF", 4) == 0) {
			return ur_exif_read(reader, at + 8, length, ret);
		}
		at += UINT64_C(8) + length + (length & 1);
	}
	return 0;
}

static int read_tiff(const struct ur_reader *reader, struct ur_meta *ret)
{
	return ur_exif_read(reader, 0, reader->size, ret);
}

/** Fujifilm's raw files hold a JPEG with all the tags; its offset stands at a fixed place. */
static int read_raf(const struct ur_reader *reader, struct ur_meta *ret)
{
	unsigned char head[4];
	const int r = ur_reader_exactly(reader, head, sizeof head, 84);
	return r < 0 ? over(r) : read_jpeg_at(reader, be32(head), ret);
}

static const struct {
	const char *kind;
	int (*read)(const struct ur_reader *reader, struct ur_meta *ret);
} ways[] = {
	{"jpeg", read_jpeg},
	{"heic", ur_container_picture},
	{"heif", ur_container_picture},
	{"avif", ur_container_picture},
	{"mov", ur_container_movie},
	{"mp4", ur_container_movie},
	{"m4v", ur_container_movie},
	{"3gp", ur_container_movie},
	{"png", read_png},
	{"webp", read_webp},
	{"jxl", ur_container_jxl},
	{"cr3", ur_container_cr3},
	{"raf", read_raf},
	{"tiff", read_tiff},
	{"dng", read_tiff},
	{"cr2", read_tiff},
	{"nef", read_tiff},
	{"arw", read_tiff},
	{"pef", read_tiff},
	{"srw", read_tiff},
	{"orf", read_tiff},
	{"rw2", read_tiff},
	{"3fr", read_tiff},
	{"iiq", read_tiff},
	{"erf", read_tiff},
	{"dcr", read_tiff},
};

int ur_extract_meta(const struct ur_reader *reader, const struct ur_kind *kind, struct ur_meta *ret)
{
	struct ur_meta meta = {.time_from = ""};
	int r = 0;
	assert(kind != NULL);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		if (strcmp(kind->name, ways[i].kind) == 0) {
			r = ways[i].read(reader, &meta);
			break;
		}
	}
	if (r < 0) {
		return r;
	}
	*ret = meta;
	return 0;
}
