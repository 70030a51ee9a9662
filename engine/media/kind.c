/*
 * kind - what the bytes are.
 *
 *     signatures at fixed places ─▶ containers by brand ─▶ TIFF by maker ─▶ text by its first words
 *
 * The order matters only inside the table: a longer signature stands before a shorter one that it
 * begins with.  Each step sees the same head and the first that knows it wins.
 */
#include "engine/media/kind.h"

#include "engine/base/text.h"

#include <errno.h>
#include <magic.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LOOK 2048u  // bytes of a text in which its first words must be
#define ZEROS_MIN 16u    // fewer zeros than this prove nothing
#define BRANDS_MAX 32u   // compatible brands of an ftyp box that are looked at
#define TIFF_TAGS_MAX 64 // entries of the first directory that are looked at

enum id {
	K_UNKNOWN,
	K_EMPTY,
	/* pictures */
	K_JPEG,
	K_PNG,
	K_GIF,
	K_BMP,
	K_PSD,
	K_WEBP,
	K_HEIC,
	K_HEIF,
	K_AVIF,
	K_JP2,
	K_JXL,
	K_SVG,
	K_TIFF,
	K_DNG,
	K_CR2,
	K_CR3,
	K_CRW,
	K_NEF,
	K_ARW,
	K_PEF,
	K_SRW,
	K_ORF,
	K_RW2,
	K_RAF,
	K_MRW,
	K_X3F,
	K_3FR,
	K_IIQ,
	K_ERF,
	K_DCR,
	K_ARI,
	K_CIN,
	/* movies */
	K_MP4,
	K_M4V,
	K_MOV,
	K_3GP,
	K_AVI,
	K_MKV,
	K_WEBM,
	K_TS,
	K_MPEG,
	K_MXF,
	K_WMV,
	K_FLV,
	/* beside pictures */
	K_XMP,
	/* what turns up under their names */
	K_HTML,
	K_XML,
	K_TEXT,
	K_JSON,
	K_SCRIPT,
	K_ZEROS,
	K_PDF,
	K_ZIP,
	K_GZIP,
	K_BZIP2,
	K_XZ,
	K_ZSTD,
	K_RAR,
	K_7Z,
	K_TAR,
	K_ELF,
	K_EXE,
	K_SQLITE,
	K_OLE,
	K_PLIST,
	K_DS_STORE,
	K_APPLE_DOUBLE,
	K_MP3,
	K_FLAC,
	K_OGG,
	K_WAV,
	K_M4A,
	KINDS,
};

#define IMAGE UR_CLASS_IMAGE
#define VIDEO UR_CLASS_VIDEO
#define OTHER UR_CLASS_NONE

static const struct ur_kind kinds[KINDS] = {
	[K_UNKNOWN] = {"unknown", OTHER, "", "something unknown"},
	[K_EMPTY] = {"empty", OTHER, "", "nothing"},
	[K_JPEG] = {"jpeg", IMAGE, "jpg", "a JPEG picture"},
	[K_PNG] = {"png", IMAGE, "png", "a PNG picture"},
	[K_GIF] = {"gif", IMAGE, "gif", "a GIF picture"},
	[K_BMP] = {"bmp", IMAGE, "bmp", "a BMP picture"},
	[K_PSD] = {"psd", IMAGE, "psd", "a Photoshop document"},
	[K_WEBP] = {"webp", IMAGE, "webp", "a WebP picture"},
	[K_HEIC] = {"heic", IMAGE, "heic", "a HEIC picture"},
	[K_HEIF] = {"heif", IMAGE, "heif", "a HEIF picture"},
	[K_AVIF] = {"avif", IMAGE, "avif", "an AVIF picture"},
	[K_JP2] = {"jp2", IMAGE, "jp2", "a JPEG 2000 picture"},
	[K_JXL] = {"jxl", IMAGE, "jxl", "a JPEG XL picture"},
	[K_SVG] = {"svg", IMAGE, "svg", "an SVG drawing"},
	[K_TIFF] = {"tiff", IMAGE, "tif", "a TIFF picture"},
	[K_DNG] = {"dng", IMAGE, "dng", "a DNG raw picture"},
	[K_CR2] = {"cr2", IMAGE, "cr2", "a Canon CR2 raw picture"},
	[K_CR3] = {"cr3", IMAGE, "cr3", "a Canon CR3 raw picture"},
	[K_CRW] = {"crw", IMAGE, "crw", "a Canon CRW raw picture"},
	[K_NEF] = {"nef", IMAGE, "nef", "a Nikon raw picture"},
	[K_ARW] = {"arw", IMAGE, "arw", "a Sony raw picture"},
	[K_PEF] = {"pef", IMAGE, "pef", "a Pentax raw picture"},
	[K_SRW] = {"srw", IMAGE, "srw", "a Samsung raw picture"},
	[K_ORF] = {"orf", IMAGE, "orf", "an Olympus raw picture"},
	[K_RW2] = {"rw2", IMAGE, "rw2", "a Panasonic raw picture"},
	[K_RAF] = {"raf", IMAGE, "raf", "a Fujifilm raw picture"},
	[K_MRW] = {"mrw", IMAGE, "mrw", "a Minolta raw picture"},
	[K_X3F] = {"x3f", IMAGE, "x3f", "a Sigma raw picture"},
	[K_3FR] = {"3fr", IMAGE, "3fr", "a Hasselblad raw picture"},
	[K_IIQ] = {"iiq", IMAGE, "iiq", "a Phase One raw picture"},
	[K_ERF] = {"erf", IMAGE, "erf", "an Epson raw picture"},
	[K_DCR] = {"dcr", IMAGE, "dcr", "a Kodak raw picture"},
	[K_ARI] = {"ari", IMAGE, "ari", "an ARRI raw picture"},
	[K_CIN] = {"cin", IMAGE, "cin", "a Cineon picture"},
	[K_MP4] = {"mp4", VIDEO, "mp4", "an MP4 movie"},
	[K_M4V] = {"m4v", VIDEO, "m4v", "an M4V movie"},
	[K_MOV] = {"mov", VIDEO, "mov", "a QuickTime movie"},
	[K_3GP] = {"3gp", VIDEO, "3gp", "a 3GP movie"},
	[K_AVI] = {"avi", VIDEO, "avi", "an AVI movie"},
	[K_MKV] = {"mkv", VIDEO, "mkv", "a Matroska movie"},
	[K_WEBM] = {"webm", VIDEO, "webm", "a WebM movie"},
	[K_TS] = {"mpegts", VIDEO, "mts", "an MPEG transport stream"},
	[K_MPEG] = {"mpeg", VIDEO, "mpg", "an MPEG movie"},
	[K_MXF] = {"mxf", VIDEO, "mxf", "an MXF movie"},
	[K_WMV] = {"wmv", VIDEO, "wmv", "a Windows Media movie"},
	[K_FLV] = {"flv", VIDEO, "flv", "a Flash movie"},
	[K_XMP] = {"xmp", UR_CLASS_SIDECAR, "xmp", "an XMP sidecar"},
	[K_HTML] = {"html", OTHER, "html", "a web page (HTML)"},
	[K_XML] = {"xml", OTHER, "xml", "XML"},
	[K_TEXT] = {"text", OTHER, "txt", "plain text"},
	[K_JSON] = {"json", OTHER, "json", "JSON"},
	[K_SCRIPT] = {"script", OTHER, "", "a script"},
	[K_ZEROS] = {"zeros", OTHER, "", "zeros"},
	[K_PDF] = {"pdf", OTHER, "pdf", "a PDF document"},
	[K_ZIP] = {"zip", OTHER, "zip", "a zip archive"},
	[K_GZIP] = {"gzip", OTHER, "gz", "gzip-compressed"},
	[K_BZIP2] = {"bzip2", OTHER, "bz2", "bzip2-compressed"},
	[K_XZ] = {"xz", OTHER, "xz", "xz-compressed"},
	[K_ZSTD] = {"zstd", OTHER, "zst", "zstd-compressed"},
	[K_RAR] = {"rar", OTHER, "rar", "a RAR archive"},
	[K_7Z] = {"7z", OTHER, "7z", "a 7-Zip archive"},
	[K_TAR] = {"tar", OTHER, "tar", "a tar archive"},
	[K_ELF] = {"elf", OTHER, "", "a program"},
	[K_EXE] = {"exe", OTHER, "exe", "a Windows program"},
	[K_SQLITE] = {"sqlite", OTHER, "db", "a database"},
	[K_OLE] = {"ole", OTHER, "", "an Office document or a thumbnail store"},
	[K_PLIST] = {"plist", OTHER, "plist", "a property list"},
	[K_DS_STORE] = {"ds-store", OTHER, "", "a Finder settings file"},
	[K_APPLE_DOUBLE] = {"apple-double", OTHER, "", "a macOS resource file"},
	[K_MP3] = {"mp3", OTHER, "mp3", "MP3 sound"},
	[K_FLAC] = {"flac", OTHER, "flac", "FLAC sound"},
	[K_OGG] = {"ogg", OTHER, "ogg", "Ogg sound"},
	[K_WAV] = {"wav", OTHER, "wav", "WAV sound"},
	[K_M4A] = {"m4a", OTHER, "m4a", "MPEG-4 sound"},
};

#undef IMAGE
#undef VIDEO
#undef OTHER

/** Bytes that must stand at one place. */
struct signature {
	const char *bytes;
	unsigned char size;
	unsigned short offset;
	enum id kind;
};

#define SIGNATURE(offset, bytes, kind)                 \
	{                                              \
		bytes, sizeof(bytes) - 1, offset, kind \
	}

static const struct signature signatures[] = {
	SIGNATURE(0, "\xff\xd8\xff", K_JPEG),
	SIGNATURE(0, "\x89PNG\r\n\x1a\n", K_PNG),
	SIGNATURE(0, "GIF87a", K_GIF),
	SIGNATURE(0, "GIF89a", K_GIF),
	SIGNATURE(0, "8BPS\0", K_PSD),
	SIGNATURE(0, "\0\0\0\x0cjP  \r\n\x87\n", K_JP2),
	SIGNATURE(0, "\xff\x4f\xff\x51", K_JP2),
	SIGNATURE(0, "\0\0\0\x0cJXL \r\n\x87\n", K_JXL),
	SIGNATURE(0, "\xff\x0a", K_JXL),
	SIGNATURE(0, "II\x1a\0\0\0HEAPCCDR", K_CRW),
	SIGNATURE(0, "IIRO", K_ORF),
	SIGNATURE(0, "IIRS", K_ORF),
	SIGNATURE(0, "MMOR", K_ORF),
	SIGNATURE(0, "IIU\0", K_RW2),
	SIGNATURE(0, "FUJIFILMCCD-RAW ", K_RAF),
	SIGNATURE(0, "\0MRM", K_MRW),
	SIGNATURE(0, "FOVb", K_X3F),
	SIGNATURE(0, "ARRI\x12\x34\x56\x78", K_ARI),
	SIGNATURE(0, "ARRI\x78\x56\x34\x12", K_ARI),
	SIGNATURE(0, "\x80\x2a\x5f\xd7", K_CIN),
	SIGNATURE(0, "\xd7\x5f\x2a\x80", K_CIN),
	SIGNATURE(0, "CI\x2c\0", K_CIN),
	SIGNATURE(0, "\0\0\x01\xba", K_MPEG),
	SIGNATURE(0, "\0\0\x01\xb3", K_MPEG),
	SIGNATURE(0, "\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", K_MXF),
	SIGNATURE(0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", K_WMV),
	SIGNATURE(0, "FLV\x01", K_FLV),
	SIGNATURE(0, "%PDF-", K_PDF),
	SIGNATURE(0, "PK\x03\x04", K_ZIP),
	SIGNATURE(0, "PK\x05\x06", K_ZIP),
	SIGNATURE(0, "\x1f\x8b\x08", K_GZIP),
	SIGNATURE(0, "BZh", K_BZIP2),
	SIGNATURE(0,
		"\xfd"
		"7zXZ\0",
		K_XZ),
	SIGNATURE(0, "\x28\xb5\x2f\xfd", K_ZSTD),
	SIGNATURE(0, "Rar!\x1a\x07", K_RAR),
	SIGNATURE(0, "7z\xbc\xaf\x27\x1c", K_7Z),
	SIGNATURE(257, "ustar", K_TAR),
	SIGNATURE(0,
		"\x7f"
		"ELF",
		K_ELF),
	SIGNATURE(0, "SQLite format 3\0", K_SQLITE),
	SIGNATURE(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", K_OLE),
	SIGNATURE(0, "bplist0", K_PLIST),
	SIGNATURE(0,
		"\0\0\0\x01"
		"Bud1",
		K_DS_STORE),
	SIGNATURE(0, "\0\x05\x16\x07", K_APPLE_DOUBLE),
	SIGNATURE(0, "ID3\x02", K_MP3),
	SIGNATURE(0, "ID3\x03", K_MP3),
	SIGNATURE(0, "ID3\x04", K_MP3),
	SIGNATURE(0, "fLaC", K_FLAC),
	SIGNATURE(0, "OggS", K_OGG),
};

static bool at(const unsigned char *head, size_t size, size_t offset, const char *bytes, size_t len)
{
	return offset <= size && len <= size - offset && memcmp(head + offset, bytes, len) == 0;
}

static enum id by_signature(const unsigned char *head, size_t size)
{
	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
		const struct signature *s = &signatures[i];
		if (at(head, size, s->offset, s->bytes, s->size)) {
			return s->kind;
		}
	}
	return K_UNKNOWN;
}

static uint32_t u32(const unsigned char *p, bool big)
{
	return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
		   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint16_t u16(const unsigned char *p, bool big)
{
	return (uint16_t)(big ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

/** Two letters prove little: the size of the header behind them must be one that exists. */
static enum id by_bitmap(const unsigned char *head, size_t size)
{
	static const unsigned char headers[] = {12, 16, 40, 52, 56, 64, 108, 124};
	if (size < 18 || memcmp(head, "BM", 2) != 0) {
		return K_UNKNOWN;
	}
	const uint32_t header = u32(head + 14, false);
	for (size_t i = 0; i < sizeof headers; i++) {
		if (header == headers[i]) {
			return K_BMP;
		}
	}
	return K_UNKNOWN;
}

/** The same for "MZ": the offset of the real header must be plausible. */
static enum id by_program(const unsigned char *head, size_t size)
{
	if (size < 64 || memcmp(head, "MZ", 2) != 0) {
		return K_UNKNOWN;
	}
	const uint32_t header = u32(head + 60, false);
	return at(head, size, header, "PE\0\0", 4) ? K_EXE : K_UNKNOWN;
}

static enum id by_riff(const unsigned char *head, size_t size)
{
	if (!at(head, size, 0, "RIFF", 4)) {
		return K_UNKNOWN;
	}
	return at(head, size, 8, "WEBP", 4)   ? K_WEBP
	       : at(head, size, 8, "AVI ", 4) ? K_AVI
	       : at(head, size, 8, "WAVE", 4) ? K_WAV
					      : K_UNKNOWN;
}

static enum id by_ebml(const unsigned char *head, size_t size)
{
	if (!at(head, size, 0, "\x1a\x45\xdf\xa3", 4)) {
		return K_UNKNOWN;
	}
	/* The document type is one of the first elements and its name stands there plainly. */
	return memmem(head, size < 64 ? size : 64, "webm", 4) != NULL ? K_WEBM : K_MKV;
}

/** A sync byte every 188 bytes, or every 192 with four bytes of time code before it. */
static enum id by_transport_stream(const unsigned char *head, size_t size)
{
	static const struct {
		size_t first;
		size_t step;
	} forms[] = {{0, 188}, {4, 192}, {0, 204}};
	for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
		size_t found = 0;
		for (size_t i = forms[f].first; i < size && head[i] == 0x47; i += forms[f].step) {
			found++;
		}
		/* All packets of the head, and three at the very least. */
		if (found >= 3 && forms[f].first + found * forms[f].step >= size) {
			return K_TS;
		}
	}
	return K_UNKNOWN;
}

struct brand {
	char name[5];
	enum id kind;
};

static const struct brand brands[] = {
	{"heic", K_HEIC},
	{"heix", K_HEIC},
	{"heim", K_HEIC},
	{"heis", K_HEIC},
	{"hevc", K_HEIC},
	{"hevx", K_HEIC},
	{"avif", K_AVIF},
	{"avis", K_AVIF},
	{"crx ", K_CR3},
	{"jp2 ", K_JP2},
	{"jpx ", K_JP2},
	{"jpm ", K_JP2},
	{"jxl ", K_JXL},
	{"qt  ", K_MOV},
	{"M4V ", K_M4V},
	{"M4VH", K_M4V},
	{"M4VP", K_M4V},
	{"M4A ", K_M4A},
	{"M4B ", K_M4A},
	{"F4A ", K_M4A},
};

static enum id by_brand(const unsigned char *brand)
{
	for (size_t i = 0; i < sizeof brands / sizeof *brands; i++) {
		if (memcmp(brand, brands[i].name, 4) == 0) {
			return brands[i].kind;
		}
	}
	return memcmp(brand, "3gp", 3) == 0 || memcmp(brand, "3g2", 3) == 0 ? K_3GP : K_UNKNOWN;
}

/** mif1 and msf1 name only the container; the compatible brands name the codec. */
static enum id by_compatible_brands(const unsigned char *head, size_t size)
{
	size_t end = u32(head, true);
	end = end < size ? end : size;
	for (size_t i = 16; i + 4 <= end && i < 16 + BRANDS_MAX * 4; i += 4) {
		const enum id kind = by_brand(head + i);
		if (kind == K_HEIC || kind == K_AVIF) {
			return kind;
		}
	}
	return K_HEIF;
}

static enum id by_boxes(const unsigned char *head, size_t size)
{
	static const char early[][5] = {"moov", "mdat", "wide", "pnot", "skip", "free"};
	if (size < 12) {
		return K_UNKNOWN;
	}
	if (memcmp(head + 4, "ftyp", 4) == 0) {
		if (memcmp(head + 8, "mif1", 4) == 0 || memcmp(head + 8, "msf1", 4) == 0) {
			return by_compatible_brands(head, size);
		}
		const enum id kind = by_brand(head + 8);
		return kind != K_UNKNOWN ? kind : K_MP4;
	}
	/* QuickTime before it had brands.  A length that reads as letters is that of a text. */
	const uint32_t length = u32(head, true);
	if (length >= 0x20000000 && memcmp(head + 4, "mdat", 4) != 0) {
		return K_UNKNOWN;
	}
	for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
		if (memcmp(head + 4, early[i], 4) == 0 && (length >= 8 || length <= 1)) {
			return K_MOV;
		}
	}
	return K_UNKNOWN;
}

/** What the first directory of a TIFF says about where it comes from. */
struct tiff {
	bool dng;
	bool raw; // a preview before the real picture, or sensor data
	char make[16];
};

#define TIFF_NEW_SUBFILE_TYPE 0x00fe
#define TIFF_COMPRESSION 0x0103
#define TIFF_PHOTOMETRIC 0x0106
#define TIFF_MAKE 0x010f
#define TIFF_DNG_VERSION 0xc612

static void take_tiff_tag(const unsigned char *head, size_t size, const unsigned char *entry,
	bool big, struct tiff *tiff)
{
	const uint16_t tag = u16(entry, big);
	const uint16_t type = u16(entry + 2, big);
	const uint32_t count = u32(entry + 4, big);
	const uint32_t number = type == 3 ? u16(entry + 8, big) : u32(entry + 8, big);
	if (tag == TIFF_DNG_VERSION) {
		tiff->dng = true;
	} else if (tag == TIFF_NEW_SUBFILE_TYPE) {
		tiff->raw |= (number & 1) != 0;
	} else if (tag == TIFF_PHOTOMETRIC) {
		tiff->raw |= number == 32803;
	} else if (tag == TIFF_COMPRESSION) {
		tiff->raw |= number == 34713 || number == 65535 || number == 32767;
	} else if (tag == TIFF_MAKE && type == 2 && count > 4 && number < size) {
		const size_t room = size - number;
		const size_t length = count < room ? count : room;
		const size_t kept = length < sizeof tiff->make - 1 ? length : sizeof tiff->make - 1;
		memcpy(tiff->make, head + number, kept);
	}
}

static enum id by_maker(const char *make)
{
	static const struct {
		const char *begins;
		enum id kind;
	} makers[] = {
		{"NIKON", K_NEF},
		{"SONY", K_ARW},
		{"PENTAX", K_PEF},
		{"RICOH", K_PEF},
		{"SAMSUNG", K_SRW},
		{"Hasselblad", K_3FR},
		{"Phase One", K_IIQ},
		{"Leaf", K_IIQ},
		{"SEIKO EPSON", K_ERF},
		{"EASTMAN KODAK", K_DCR},
		{"Kodak", K_DCR},
	};
	for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
		if (strncmp(make, makers[i].begins, strlen(makers[i].begins)) == 0) {
			return makers[i].kind;
		}
	}
	return K_TIFF;
}

/** Raw formats are mostly TIFF; only when the head shows so is one called by its maker's name. */
static enum id by_tiff(const unsigned char *head, size_t size)
{
	const bool big = at(head, size, 0, "MM\0*", 4) || at(head, size, 0, "MM\0+", 4);
	if (!big && !at(head, size, 0, "II*\0", 4) && !at(head, size, 0, "II+\0", 4)) {
		return K_UNKNOWN;
	}
	if (at(head, size, 8, "CR\x02", 3)) {
		return K_CR2;
	}
	if (at(head, size, 8, "IIII", 4) || at(head, size, 8, "MMMM", 4)) {
		return K_IIQ;
	}
	struct tiff tiff = {0};
	const uint32_t first = size >= 8 ? u32(head + 4, big) : 0;
	if (first < 8 || size < 2 || first > size - 2) {
		return K_TIFF;
	}
	const unsigned tags = u16(head + first, big);
	for (unsigned i = 0; i < tags && i < TIFF_TAGS_MAX; i++) {
		const size_t entry = (size_t)first + 2 + (size_t)i * 12;
		if (entry + 12 > size) {
			break;
		}
		take_tiff_tag(head, size, head + entry, big, &tiff);
	}
	return tiff.dng ? K_DNG : tiff.raw ? by_maker(tiff.make) : K_TIFF;
}

/**
 * Copies the beginning of a text as lower-case ASCII; UTF-16 is folded.  0 when it is no text:
 * a control byte stands in it, or it is not UTF-8.
 */
static size_t read_text(const unsigned char *head, size_t size, char *ret, size_t room)
{
	const bool wide = size >= 2 && ((head[0] == 0xff && head[1] == 0xfe) ||
					       (head[0] == 0xfe && head[1] == 0xff));
	const bool little = wide && head[0] == 0xff;
	size_t used = 0;
	size_t i = wide ? 2 : at(head, size, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
	while (i < size && used + 1 < room) {
		uint32_t code = 0;
		size_t step = 2;
		if (!wide) {
			step = ur_utf8_step(head + i, size - i, &code);
		} else if (i + 2 <= size) {
			code = u16(head + i, !little);
		} else {
			break;
		}
		if (step == 0) {
			/* A sequence may be cut where the head ends. */
			if (size - i < 4 && i > 0 && head[i] >= 0xc2) {
				break;
			}
			return 0;
		}
		if ((code < 0x20 && strchr("\t\n\r\f\x1b", (int)code) == NULL) || code == 0 ||
			code == 0x7f) {
			return 0;
		}
		ret[used++] = (char)(code >= 'A' && code <= 'Z' ? code + 32
				     : code < 0x80              ? code
								: '?');
		i += step;
	}
	ret[used] = '\0';
	return used;
}

static bool begins(const char *text, const char *word)
{
	return strncmp(text, word, strlen(word)) == 0;
}

static enum id by_markup(const char *text)
{
	static const char *const pages[] = {
		"<!doctype html", "<html", "<head", "<body", "<script", "<title", "<meta", "<div"};
	if (strstr(text, "<x:xmpmeta") != NULL || strstr(text, "<rdf:rdf") != NULL ||
		begins(text, "<?xpacket")) {
		/* An SVG drawing may describe itself in RDF. */
		return strstr(text, "<svg") != NULL ? K_SVG : K_XMP;
	}
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		if (begins(text, pages[i])) {
			return K_HTML;
		}
	}
	if (strstr(text, "<html") != NULL || strstr(text, "<!doctype html") != NULL) {
		return K_HTML;
	}
	if (strstr(text, "<svg") != NULL || strstr(text, "<!doctype svg") != NULL) {
		return K_SVG;
	}
	return begins(text, "<?xml") ? K_XML : K_TEXT;
}

static enum id by_text(const unsigned char *head, size_t size)
{
	char text[TEXT_LOOK];
	if (read_text(head, size, text, sizeof text) == 0) {
		return K_UNKNOWN;
	}
	const char *first = text + strspn(text, " \t\r\n\f");
	if (*first == '<') {
		return by_markup(first);
	}
	if (begins(first, "#!")) {
		return K_SCRIPT;
	}
	if (*first == '{' || *first == '[') {
		const char next = first[1 + strspn(first + 1, " \t\r\n")];
		return next == '"' || next == '{' || next == '}' || next == ']' ? K_JSON : K_TEXT;
	}
	return K_TEXT;
}

static enum id by_zeros(const unsigned char *head, size_t size)
{
	if (size < ZEROS_MIN) {
		return K_UNKNOWN;
	}
	for (size_t i = 0; i < size; i++) {
		if (head[i] != 0) {
			return K_UNKNOWN;
		}
	}
	return K_ZEROS;
}

const struct ur_kind *ur_kind_of(const void *head, size_t size)
{
	static enum id (*const ways[])(const unsigned char *, size_t) = {by_signature, by_boxes,
		by_riff, by_tiff, by_ebml, by_bitmap, by_program, by_transport_stream, by_zeros,
		by_text};
	if (size == 0) {
		return &kinds[K_EMPTY];
	}
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const enum id kind = ways[i](head, size);
		if (kind != K_UNKNOWN) {
			return &kinds[kind];
		}
	}
	return &kinds[K_UNKNOWN];
}

bool ur_kind_is_unknown(const struct ur_kind *kind)
{
	return kind == &kinds[K_UNKNOWN];
}

/* --- libmagic ------------------------------------------------------------------------------- */

struct ur_magic {
	magic_t cookie;
};

/* Only what libmagic is sure of: a wrong guess here would refuse somebody's picture. */
static const struct {
	const char *mime;
	enum id kind;
} mimes[] = {
	{"image/jpeg", K_JPEG},
	{"image/png", K_PNG},
	{"image/gif", K_GIF},
	{"image/bmp", K_BMP},
	{"image/x-ms-bmp", K_BMP},
	{"image/tiff", K_TIFF},
	{"image/webp", K_WEBP},
	{"image/heic", K_HEIC},
	{"image/heif", K_HEIF},
	{"image/avif", K_AVIF},
	{"image/jp2", K_JP2},
	{"image/jxl", K_JXL},
	{"image/svg+xml", K_SVG},
	{"image/vnd.adobe.photoshop", K_PSD},
	{"image/x-canon-cr2", K_CR2},
	{"image/x-canon-crw", K_CRW},
	{"image/x-olympus-orf", K_ORF},
	{"image/x-panasonic-raw", K_RW2},
	{"image/x-fuji-raf", K_RAF},
	{"image/x-x3f", K_X3F},
	{"video/mp4", K_MP4},
	{"video/x-m4v", K_M4V},
	{"video/quicktime", K_MOV},
	{"video/3gpp", K_3GP},
	{"video/x-msvideo", K_AVI},
	{"video/x-matroska", K_MKV},
	{"video/webm", K_WEBM},
	{"video/mp2t", K_TS},
	{"video/mpeg", K_MPEG},
	{"video/x-ms-asf", K_WMV},
	{"video/x-flv", K_FLV},
	{"application/mxf", K_MXF},
	{"text/html", K_HTML},
	{"text/xml", K_XML},
	{"text/plain", K_TEXT},
	{"application/json", K_JSON},
	{"application/pdf", K_PDF},
	{"application/zip", K_ZIP},
	{"application/gzip", K_GZIP},
	{"application/x-tar", K_TAR},
	{"application/x-executable", K_ELF},
	{"application/vnd.sqlite3", K_SQLITE},
	{"audio/flac", K_FLAC},
	{"audio/ogg", K_OGG},
	{"audio/x-wav", K_WAV},
	{"audio/x-m4a", K_M4A},
};

int ur_magic_new(struct ur_magic **ret, struct ur_err *err)
{
	struct ur_magic *magic = calloc(1, sizeof *magic);
	int r = -ENOMEM;
	if (magic == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot set libmagic up");
	}
	/* What it looks into files for is not what a photo importer needs to know. */
	magic->cookie =
		magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TAR |
			   MAGIC_NO_CHECK_APPTYPE | MAGIC_NO_CHECK_ELF | MAGIC_NO_CHECK_CDF |
			   MAGIC_NO_CHECK_CSV | MAGIC_NO_CHECK_TOKENS | MAGIC_NO_CHECK_JSON);
	if (magic->cookie == NULL) {
		r = ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot set libmagic up");
		goto fail;
	}
	if (magic_load(magic->cookie, NULL) != 0) {
		const char *why = magic_error(magic->cookie);
		r = ur_err_say(err, -ENOENT, UR_FAULT_SETUP,
			"cannot load libmagic's database (%s); install the package libmagic-mgc",
			why != NULL ? why : "no reason given");
		goto fail;
	}
	*ret = magic;
	return 0;

fail:
	ur_magic_free(magic);
	return r;
}

struct ur_magic *ur_magic_free(struct ur_magic *magic)
{
	if (magic != NULL) {
		if (magic->cookie != NULL) {
			magic_close(magic->cookie);
		}
		free(magic);
	}
	return NULL;
}

const struct ur_kind *ur_magic_kind(struct ur_magic *magic, const void *head, size_t size)
{
	if (size == 0) {
		return &kinds[K_EMPTY];
	}
	const char *mime = magic_buffer(magic->cookie, head, size);
	for (size_t i = 0; mime != NULL && i < sizeof mimes / sizeof *mimes; i++) {
		if (strcmp(mime, mimes[i].mime) == 0) {
			return &kinds[mimes[i].kind];
		}
	}
	return &kinds[K_UNKNOWN];
}
