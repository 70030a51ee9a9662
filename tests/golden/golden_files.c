/*
 * golden_files - stand-ins for the files that were uploaded when the exchanges were recorded.
 *
 * The recordings name a file by its size and SHA-1.  The stand-in has the same size; a JPEG says
 * that a RecCam took it, 64 by 48, and a movie lasts two seconds, 128 by 96: what the recorded
 * server had found out about the originals.
 */
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/golden/golden.h"

/** The one recorded picture that carried a date of its own. */
#define DATED "f6a421c4801b44a1c10936e9b27f5332ca4496d3"

#define XMP_HEAD                                                                                \
	"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\n"                                                \
	"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n"                   \
	"<rdf:Description rdf:about='' xmlns:exif='http://ns.adobe.com/exif/1.0/'"              \
	" xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:dc='http://purl.org/dc/elements/1.1/'" \
	" xmlns:digiKam='http://www.digikam.org/ns/1.0/'"
#define XMP_WORDS                                                                               \
	"<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>from sidecar</rdf:li></rdf:Alt>" \
	"</dc:description>\n"
#define XMP_TAIL "</rdf:Description></rdf:RDF></x:xmpmeta>\n"

const char file_sidecar[] = XMP_HEAD
	" xmp:Rating='4'>\n"
	"<exif:DateTimeOriginal>2020-02-03T03:05:06+01:00</exif:DateTimeOriginal>\n"
	"<exif:GPSLatitude>48,51.5N</exif:GPSLatitude>\n"
	"<exif:GPSLongitude>2,17.6E</exif:GPSLongitude>\n" XMP_WORDS
	"<digiKam:TagsList><rdf:Seq>\n<rdf:li>trip/paris</rdf:li>\n</rdf:Seq></digiKam:TagsList>\n" XMP_TAIL;

const char file_sidecar_embedded[] = XMP_HEAD
	">\n" XMP_WORDS
	"<digiKam:TagsList><rdf:Seq><rdf:li>embedded/tag</rdf:li></rdf:Seq></digiKam:TagsList>\n" XMP_TAIL;

struct writer {
	unsigned char *bytes;
	size_t at;
};

static void put(struct writer *w, uint32_t value, size_t width)
{
	for (size_t i = 0; i < width; i++) {
		w->bytes[w->at++] = (unsigned char)(value >> (8 * (width - 1 - i)));
	}
}

static void put_text(struct writer *w, const char *text, size_t size)
{
	memcpy(w->bytes + w->at, text, size);
	w->at += size;
}

static void put_entry(struct writer *w, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
	put(w, tag, 2);
	put(w, type, 2);
	put(w, count, 4);
	put(w, value, 4);
}

/** SOI, APP1 with make, model and perhaps a date, SOF0, SOS: 190 bytes. */
static void jpeg_head(struct writer *w, bool dated)
{
	put(w, 0xffd8, 2);
	put(w, 0xffe1, 2);
	put(w, 2 + 6 + 8 + 2 + 36 + 4 + 18 + 8 + 8 + 20, 2);
	put_text(w, "Exif\0", 6);
	put_text(w, "MM\0*\0\0\0\x08", 8); // offsets count from here
	put(w, 3, 2);
	put_entry(w, 0x010f, 2, 7, 68);
	put_entry(w, 0x0110, 2, 8, 76);
	put_entry(w, 0x8769, 4, 1, 50);
	put(w, 0, 4);
	put(w, dated ? 1 : 0, 2); // the EXIF directory
	put_entry(w, 0x9003, 2, 20, 84);
	put(w, 0, 4);
	put_text(w, "RecCam\0", 8);
	put_text(w, "Model-1", 8);
	put_text(w, "2023:01:02 03:04:05", 20);
	put(w, 0xffc0, 2);
	put(w, 11, 2);
	put_text(w, "\x08\x00\x30\x00\x40\x01\x01\x11\x00", 9);
	put(w, 0xffda, 2);
	put(w, 2, 2);
}

static void box(struct writer *w, uint32_t size, const char *type)
{
	put(w, size, 4);
	put_text(w, type, 4);
}

/** ftyp, moov with mvhd and one trak, and a mdat that takes the rest. */
static void movie_head(struct writer *w, size_t size)
{
	box(w, 16, "ftyp");
	put_text(w, "isom\0\0\2\0", 8);
	box(w, 8 + 108 + 8 + 92, "moov");
	box(w, 108, "mvhd");
	memset(w->bytes + w->at, 0, 100);
	w->at += 12;
	put(w, 1000, 4);
	put(w, 2000, 4);
	w->at += 80;
	box(w, 8 + 92, "trak");
	box(w, 92, "tkhd");
	memset(w->bytes + w->at, 0, 84);
	w->at += 76;
	put(w, 128 << 16, 4);
	put(w, 96 << 16, 4);
	box(w, (uint32_t)(size - w->at), "mdat");
}

static bool ends_with(const char *name, const char *end)
{
	size_t size = strlen(name);

	return size >= strlen(end) && strcasecmp(name + size - strlen(end), end) == 0;
}

void file_make(const char *name, const char *seed, size_t size, unsigned char **ret)
{
	unsigned char *bytes = calloc(1, size + 1024);
	struct writer w = {.bytes = bytes};
	uint64_t state = 14695981039346656037u;

	for (const char *c = seed; *c != '\0'; c++) {
		state = (state ^ (unsigned char)*c) * 1099511628211u;
	}
	if (size > 400) {
		if (ends_with(name, ".mov") || ends_with(name, ".mp4")) {
			movie_head(&w, size);
		} else {
			jpeg_head(&w, strcmp(seed, DATED) == 0);
		}
	}
	while (w.at < size) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		bytes[w.at++] = (unsigned char)(state >> 56);
	}
	*ret = bytes;
}

void file_make_recorded(const char *name, const char *sha1_hex, size_t size, unsigned char **ret)
{
	unsigned char recorded[SHA_DIGEST_LENGTH] = {0};
	unsigned char actual[SHA_DIGEST_LENGTH];
	char from[UR_BASE64_ROOM(SHA_DIGEST_LENGTH)];
	char to[UR_BASE64_ROOM(SHA_DIGEST_LENGTH)];
	char hex[2 * SHA_DIGEST_LENGTH + 1];
	char upper[2][2 * SHA_DIGEST_LENGTH + 1];

	file_make(name, sha1_hex, size, ret);
	SHA1(*ret, size, actual);
	(void)!ur_unhex(sha1_hex, sizeof(recorded), recorded);
	ur_hex(actual, sizeof(actual), hex);
	pairs_add(sha1_hex, hex);
	ur_base64(recorded, sizeof(recorded), from);
	ur_base64(actual, sizeof(actual), to);
	pairs_add(from, to);
	for (size_t i = 0; i < sizeof(hex); i++) {
		upper[0][i] = (char)(sha1_hex[i] >= 'a' ? sha1_hex[i] - 32 : sha1_hex[i]);
		upper[1][i] = (char)(hex[i] >= 'a' ? hex[i] - 32 : hex[i]);
	}
	pairs_add(upper[0], upper[1]);
}
