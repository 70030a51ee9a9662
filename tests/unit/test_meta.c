/* meta - time, place and content id, from pictures and movies made byte by byte. */
#include "engine/base/clock.h"
#include "engine/media/container.h"
#include "engine/media/exif.h"
#include "engine/media/extract.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "01234567-89AB-CDEF-0123-456789ABCDEF"

/* --- bytes ---------------------------------------------------------------------------------- */

struct blob {
	size_t size;
	unsigned char bytes[4096];
};

static void put(struct blob *blob, const void *bytes, size_t size)
{
	assert_true(blob->size + size <= sizeof blob->bytes);
	memcpy(blob->bytes + blob->size, bytes, size);
	blob->size += size;
}

static void puts_in(struct blob *blob, const char *text)
{
	put(blob, text, strlen(text));
}

static void number(struct blob *blob, uint64_t value, unsigned size)
{
	for (unsigned i = size; i-- > 0;) {
		const unsigned char byte = (unsigned char)(value >> (8 * i));
		put(blob, &byte, 1);
	}
}

/** A box around what `inside` holds. */
static void box(struct blob *blob, const char *type, const struct blob *inside)
{
	number(blob, 8 + inside->size, 4);
	put(blob, type, 4);
	put(blob, inside->bytes, inside->size);
}

static void text_box(struct blob *blob, const char *type, const char *text)
{
	struct blob inside = {0};
	puts_in(&inside, text);
	box(blob, type, &inside);
}

/* --- Exif ----------------------------------------------------------------------------------- */

/** A directory whose values lie in a heap behind it; offsets count from the block's start. */
struct directory {
	size_t base;
	unsigned count;
	struct blob entries;
	struct blob heap;
	unsigned room; // entries that were announced
};

static struct directory directory_at(size_t base, unsigned room)
{
	return (struct directory){.base = base, .room = room};
}

static void entry(struct directory *dir, unsigned tag, unsigned type, size_t count,
	const void *bytes, size_t size)
{
	struct blob value = {0};
	number(&dir->entries, tag, 2);
	number(&dir->entries, type, 2);
	number(&dir->entries, count, 4);
	if (size <= 4) {
		put(&value, bytes, size);
		number(&value, 0, 4 - (unsigned)size);
		put(&dir->entries, value.bytes, 4);
	} else {
		number(&dir->entries, dir->base + 2 + dir->room * 12 + 4 + dir->heap.size, 4);
		put(&dir->heap, bytes, size);
	}
	dir->count++;
}

static void text_entry(struct directory *dir, unsigned tag, const char *text)
{
	entry(dir, tag, 2, strlen(text) + 1, text, strlen(text) + 1);
}

static void long_entry(struct directory *dir, unsigned tag, uint32_t value)
{
	struct blob bytes = {0};
	number(&bytes, value, 4);
	entry(dir, tag, 4, 1, bytes.bytes, 4);
}

static void triple_entry(struct directory *dir, unsigned tag, unsigned a, unsigned b, unsigned c,
	unsigned c_denominator)
{
	struct blob bytes = {0};
	number(&bytes, a, 4);
	number(&bytes, 1, 4);
	number(&bytes, b, 4);
	number(&bytes, 1, 4);
	number(&bytes, c, 4);
	number(&bytes, c_denominator, 4);
	entry(dir, tag, 5, 3, bytes.bytes, bytes.size);
}

/** Writes the directory to its place in the block. */
static void place(struct blob *block, struct directory *dir)
{
	assert_int_equal(dir->count, dir->room);
	block->size = dir->base;
	number(block, dir->count, 2);
	put(block, dir->entries.bytes, dir->entries.size);
	number(block, 0, 4);
	put(block, dir->heap.bytes, dir->heap.size);
}

struct facts {
	const char *date;
	const char *zone;
	const char *fraction;
	const char *note_id;
	bool place;
	bool fixless; // a receiver that wrote zeros
	bool gps_time;
};

static void exif_directory(struct blob *block, const struct facts *facts)
{
	const unsigned count = (facts->date != NULL) + (facts->zone != NULL) +
			       (facts->fraction != NULL) + (facts->note_id != NULL);
	struct directory dir = directory_at(100, count);
	if (facts->date != NULL) {
		text_entry(&dir, 0x9003, facts->date);
	}
	if (facts->zone != NULL) {
		text_entry(&dir, 0x9011, facts->zone);
	}
	if (facts->note_id != NULL) {
		struct blob note = {0};
		put(&note, "Apple iOS\0\0\1MM\0\1\0\x11\0\2", 20);
		number(&note, strlen(facts->note_id) + 1, 4);
		number(&note, 32, 4);
		number(&note, 0, 4);
		put(&note, facts->note_id, strlen(facts->note_id) + 1);
		entry(&dir, 0x927c, 7, note.size, note.bytes, note.size);
	}
	if (facts->fraction != NULL) {
		text_entry(&dir, 0x9291, facts->fraction);
	}
	place(block, &dir);
}

static void gps_directory(struct blob *block, const struct facts *facts)
{
	struct directory dir = directory_at(600, facts->gps_time ? 6 : 4);
	text_entry(&dir, 1, "S");
	triple_entry(&dir, 2, facts->fixless ? 0 : 33, facts->fixless ? 0 : 30, 0, 1);
	text_entry(&dir, 3, "E");
	triple_entry(&dir, 4, facts->fixless ? 0 : 151, 0, facts->fixless ? 0 : 3600, 100);
	if (facts->gps_time) {
		triple_entry(&dir, 7, 7, 8, 9, 1);
		text_entry(&dir, 29, "2024:05:06");
	}
	place(block, &dir);
}

/** A big-endian TIFF block: IFD 0 at 8, Exif at 100, GPS at 600. */
static struct blob tiff_of(const struct facts *facts)
{
	struct blob block = {0};
	put(&block, "MM\0*\0\0\0\x08", 8);
	struct directory first = directory_at(8, 2);
	long_entry(&first, 0x8769, 100);
	long_entry(&first, 0x8825, 600);
	place(&block, &first);
	exif_directory(&block, facts);
	block.size = 600;
	gps_directory(&block, facts);
	block.size = 800; // libexif likes room behind the last value
	return block;
}

static struct blob jpeg_of(const struct facts *facts)
{
	const struct blob tiff = tiff_of(facts);
	struct blob jpeg = {0};
	put(&jpeg, "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0", 20);
	put(&jpeg, "\xff\xe1", 2);
	number(&jpeg, 2 + 6 + tiff.size, 2);
	put(&jpeg, "Exif\0\0", 6);
	put(&jpeg, tiff.bytes, tiff.size);
	put(&jpeg, "\xff\xda\0\3\1\x11\xff\xd9", 8);
	return jpeg;
}

static struct ur_meta meta_of(const struct blob *blob)
{
	struct ur_memory memory = {blob->bytes, blob->size};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	struct ur_meta meta;
	memset(&meta, 0x5a, sizeof meta);
	assert_int_equal(ur_extract_meta(&reader, ur_kind_of(blob->bytes, blob->size), &meta), 0);
	return meta;
}

static void assert_time(const struct ur_meta *meta, const char *iso, const char *from)
{
	int64_t ns = 0;
	bool zoned = false;
	assert_int_equal(ur_clock_parse_iso(iso, &ns, &zoned), 0);
	assert_true(meta->has_time);
	assert_int_equal(meta->time_ns, ns);
	assert_int_equal(meta->zoned, zoned);
	assert_string_equal(meta->time_from, from);
}

static void assert_place(const struct ur_meta *meta, double latitude, double longitude)
{
	assert_true(meta->has_place);
	assert_true(fabs(meta->latitude - latitude) < 1e-6);
	assert_true(fabs(meta->longitude - longitude) < 1e-6);
}

static void a_jpeg_tells_its_time_place_and_content_id(void **state)
{
	(void)state;
	const struct facts facts = {.date = "2024:05:06 07:08:09",
		.zone = "+02:00",
		.fraction = "25",
		.note_id = ID,
		.gps_time = true};
	const struct blob jpeg = jpeg_of(&facts);
	const struct ur_meta meta = meta_of(&jpeg);
	assert_time(&meta, "2024-05-06T07:08:09.25+02:00", "Exif");
	assert_int_equal(meta.zone_minutes, 120);
	assert_place(&meta, -33.5, 151.01);
	assert_string_equal(meta.content_id, ID);
}

static void a_time_without_a_zone_stays_local(void **state)
{
	(void)state;
	const struct blob jpeg = jpeg_of(&(struct facts){.date = "2024:05:06 07:08:09"});
	const struct ur_meta meta = meta_of(&jpeg);
	assert_time(&meta, "2024-05-06T07:08:09", "Exif");
	assert_string_equal(meta.content_id, "");

	const struct blob odd = jpeg_of(&(struct facts){"2024:05:06 07:08:09", .zone = "   :  "});
	const struct ur_meta odd_meta = meta_of(&odd);
	assert_time(&odd_meta, "2024-05-06T07:08:09", "Exif");
}

static void the_gps_clock_helps_where_the_camera_has_no_date(void **state)
{
	(void)state;
	static const char *const unset[] = {
		NULL, "0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:06 07:08:09"};
	for (size_t i = 0; i < 4; i++) {
		struct facts facts = {.date = unset[i], .gps_time = true};
		const struct blob jpeg = jpeg_of(&facts);
		const struct ur_meta meta = meta_of(&jpeg);
		assert_time(&meta, "2024-05-06T07:08:09Z", "GPS");

		facts.gps_time = false;
		const struct blob none = jpeg_of(&facts);
		const struct ur_meta nothing = meta_of(&none);
		assert_false(nothing.has_time);
		assert_string_equal(nothing.time_from, "");
	}
}

static void a_receiver_without_a_fix_is_nowhere(void **state)
{
	(void)state;
	const struct blob jpeg = jpeg_of(&(struct facts){.fixless = true});
	const struct ur_meta meta = meta_of(&jpeg);
	assert_false(meta.has_place);
}

static void exif_is_found_in_every_wrapping(void **state)
{
	(void)state;
	const struct blob tiff = tiff_of(&(struct facts){.date = "2024:05:06 07:08:09"});
	struct blob wraps[4] = {{0}};

	puts_in(&wraps[0], "\x89PNG\r\n\x1a\n");
	put(&wraps[0], "\0\0\0\4IHDRabcdCRC!", 16);
	number(&wraps[0], tiff.size, 4);
	puts_in(&wraps[0], "eXIf");
	put(&wraps[0], tiff.bytes, tiff.size);

	put(&wraps[1], "RIFF\0\x10\0\0WEBPVP8X\3\0\0\0abc\0", 24);
	put(&wraps[1], "EXIF\x20\3\0\0", 8); // 800
	put(&wraps[1], tiff.bytes, tiff.size);

	put(&wraps[2], tiff.bytes, tiff.size);

	put(&wraps[3], "\0\0\0\x0cJXL \r\n\x87\n", 12);
	struct blob inside = {0};
	number(&inside, 0, 4);
	put(&inside, tiff.bytes, tiff.size);
	box(&wraps[3], "Exif", &inside);

	for (size_t i = 0; i < 4; i++) {
		const struct ur_meta meta = meta_of(&wraps[i]);
		assert_time(&meta, "2024-05-06T07:08:09", "Exif");
		assert_place(&meta, -33.5, 151.01);
	}
}

/** A block whose first directory holds what usually stands in the Exif directory. */
static struct blob bare_exif(void)
{
	struct blob block = {0};
	put(&block, "MM\0*\0\0\0\x08", 8);
	struct directory first = directory_at(8, 2);
	text_entry(&first, 0x9003, "2024:05:06 07:08:09");
	text_entry(&first, 0x9011, "-03:30");
	place(&block, &first);
	number(&block, 0, 8);
	return block;
}

static void canon_and_fujifilm_hide_their_exif_and_it_is_found(void **state)
{
	(void)state;
	const struct blob exif = bare_exif();
	struct blob uuid = {0};
	struct blob moov = {0};
	struct blob cr3 = {0};
	put(&uuid, "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48", 16);
	text_box(&uuid, "CNCV", "CanonCR3");
	box(&uuid, "CMT2", &exif);
	box(&moov, "uuid", &uuid);
	put(&cr3, "\0\0\0\x18", 4);
	put(&cr3, "ftypcrx \0\0\0\1crx isom", 20);
	box(&cr3, "moov", &moov);
	const struct ur_meta canon = meta_of(&cr3);
	assert_time(&canon, "2024-05-06T07:08:09-03:30", "Exif");
	assert_int_equal(canon.zone_minutes, -210);

	const struct blob jpeg = jpeg_of(&(struct facts){.date = "2024:05:06 07:08:09"});
	struct blob raf = {0};
	puts_in(&raf, "FUJIFILMCCD-RAW ");
	number(&raf, 0, 8);
	raf.size = 84;
	number(&raf, 88, 4);
	put(&raf, jpeg.bytes, jpeg.size);
	const struct ur_meta fujifilm = meta_of(&raf);
	assert_time(&fujifilm, "2024-05-06T07:08:09", "Exif");

	/* Panasonic and Olympus have letters of their own where TIFF has 42. */
	struct blob orf = tiff_of(&(struct facts){.date = "2024:05:06 07:08:09"});
	memcpy(orf.bytes, "MMOR", 4);
	const struct ur_meta olympus = meta_of(&orf);
	assert_time(&olympus, "2024-05-06T07:08:09", "Exif");
}

/* --- boxes ---------------------------------------------------------------------------------- */

static void item_info(struct blob *meta, unsigned version)
{
	struct blob iinf = {0};
	struct blob infe = {0};
	number(&iinf, 0, 4);
	number(&iinf, 2, 2);
	number(&infe, 2u << 24, 4);
	number(&infe, 1, 2);
	number(&infe, 0, 2);
	puts_in(&infe, "hvc1");
	box(&iinf, "infe", &infe);
	infe.size = 0;
	number(&infe, (uint64_t)version << 24, 4);
	number(&infe, 7, version == 2 ? 2 : 4);
	number(&infe, 0, 2);
	puts_in(&infe, "Exif");
	box(&iinf, "infe", &infe);
	box(meta, "iinf", &iinf);
}

/** Where item 7 lies: in the file, or in idat. */
static void item_location(struct blob *meta, unsigned version, bool in_idat, size_t at, size_t size)
{
	struct blob iloc = {0};
	const unsigned wide = version < 2 ? 2 : 4;
	number(&iloc, (uint64_t)version << 24, 4);
	number(&iloc, 0x4440, 2);
	number(&iloc, 2, wide);
	for (unsigned item = 1; item <= 7; item += 6) {
		number(&iloc, item, wide);
		if (version > 0) {
			number(&iloc, in_idat, 2);
		}
		number(&iloc, 0, 2);
		number(&iloc, item == 7 ? at - 5 : 0, 4);
		number(&iloc, 1, 2);
		number(&iloc, item == 7 ? 5 : 0, 4);
		number(&iloc, item == 7 ? size : 1, 4);
	}
	box(meta, "iloc", &iloc);
}

static struct blob heic_of(const struct blob *tiff, unsigned version, bool in_idat)
{
	struct blob item = {0};
	struct blob heic = {0};
	struct blob meta = {0};
	number(&item, 6, 4);
	put(&item, "Exif\0\0", 6);
	put(&item, tiff->bytes, tiff->size);

	put(&heic,
		"\0\0\0\x18"
		"ftypheic\0\0\0\0mif1heic",
		24);
	number(&meta, 0, 4);
	text_box(&meta, "hdlr", "12345678pict");
	item_info(&meta, version < 2 ? 2 : 3);
	item_location(&meta, version, in_idat, in_idat ? 16 : 1024 + 8, item.size);
	if (in_idat) {
		struct blob idat = {0};
		puts_in(&idat, "sixteen bytes...");
		put(&idat, item.bytes, item.size);
		box(&meta, "idat", &idat);
	}
	box(&heic, "meta", &meta);
	if (!in_idat) {
		struct blob filler = {.size = 1024 - heic.size - 8};
		box(&heic, "free", &filler);
		assert_int_equal(heic.size, 1024);
		box(&heic, "mdat", &item);
	}
	return heic;
}

static void a_heic_keeps_its_exif_in_an_item(void **state)
{
	(void)state;
	const struct facts facts = {"2024:05:06 07:08:09", .zone = "-08:00", .note_id = ID};
	const struct blob tiff = tiff_of(&facts);
	for (unsigned version = 0; version <= 2; version++) {
		const struct blob heic = heic_of(&tiff, version, false);
		const struct ur_meta meta = meta_of(&heic);
		assert_time(&meta, "2024-05-06T07:08:09-08:00", "Exif");
		assert_int_equal(meta.zone_minutes, -480);
		assert_string_equal(meta.content_id, ID);
	}
	const struct blob inner = heic_of(&tiff, 1, true);
	const struct ur_meta meta = meta_of(&inner);
	assert_time(&meta, "2024-05-06T07:08:09-08:00", "Exif");
}

static void mvhd(struct blob *moov, unsigned version, int64_t unix_seconds)
{
	struct blob inside = {0};
	number(&inside, (uint64_t)version << 24, 4);
	number(&inside, (uint64_t)unix_seconds + 2082844800u, version == 1 ? 8 : 4);
	number(&inside, 0, 8);
	box(moov, "mvhd", &inside);
}

/** QuickTime's key and value lists; a full box when it is not Apple's own. */
static void keys(struct blob *moov, bool full, const char *const *pairs, size_t count)
{
	struct blob meta = {0};
	struct blob names = {0};
	struct blob values = {0};
	number(&names, 0, 4);
	number(&names, count, 4);
	for (size_t i = 0; i < count; i++) {
		struct blob data = {0};
		struct blob item = {0};
		text_box(&names, "mdta", pairs[2 * i]);
		number(&data, 1, 4);
		number(&data, 0, 4);
		puts_in(&data, pairs[2 * i + 1]);
		box(&item, "data", &data);
		box(&values, (const char[]){0, 0, 0, (char)(i + 1)}, &item);
	}
	if (full) {
		number(&meta, 0, 4);
	}
	text_box(&meta, "hdlr", "12345678mdta");
	box(&meta, "keys", &names);
	box(&meta, "ilst", &values);
	box(moov, "meta", &meta);
}

static const char *const apple[] = {"com.apple.quicktime.make", "Apple",
	"com.apple.quicktime.content.identifier", ID, "com.apple.quicktime.location.ISO6709",
	"+48.8577-002.2950+035.1/", "com.apple.quicktime.creationdate", "2024-05-06T07:08:09+0200"};

static struct blob movie_of(const struct blob *moov)
{
	struct blob movie = {0};
	put(&movie,
		"\0\0\0\x14"
		"ftypqt  \0\0\0\0qt  ",
		20);
	text_box(&movie, "wide", "");
	text_box(&movie, "mdat", "not much of a film");
	box(&movie, "moov", moov);
	return movie;
}

static void a_quicktime_movie_tells_everything_even_at_its_end(void **state)
{
	(void)state;
	for (int full = 0; full <= 1; full++) {
		struct blob moov = {0};
		mvhd(&moov, 0, 1000000000);
		text_box(&moov, "trak", "a track");
		keys(&moov, full == 1, apple, 4);
		const struct blob movie = movie_of(&moov);
		const struct ur_meta meta = meta_of(&movie);
		assert_time(&meta, "2024-05-06T07:08:09+02:00", "QuickTime");
		assert_int_equal(meta.zone_minutes, 120);
		assert_place(&meta, 48.8577, -2.295);
		assert_string_equal(meta.content_id, ID);
	}
}

static void mvhd_is_utc_and_unset_before_2000(void **state)
{
	(void)state;
	for (unsigned version = 0; version <= 1; version++) {
		struct blob moov = {0};
		mvhd(&moov, version, 1714979289);
		const struct blob movie = movie_of(&moov);
		const struct ur_meta meta = meta_of(&movie);
		assert_time(&meta, "2024-05-06T07:08:09Z", "mvhd");

		static const int64_t unset[] = {-2082844800, 0, 946684799};
		for (size_t i = 0; i < 3; i++) {
			moov.size = 0;
			mvhd(&moov, version, unset[i]);
			const struct blob none = movie_of(&moov);
			const struct ur_meta nothing = meta_of(&none);
			assert_false(nothing.has_time);
		}
	}
}

static void place_in_user_data(const char *iso6709, struct ur_meta *ret)
{
	struct blob moov = {0};
	struct blob udta = {0};
	struct blob xyz = {0};
	number(&xyz, strlen(iso6709), 2);
	number(&xyz, 0x15c7, 2);
	puts_in(&xyz, iso6709);
	box(&udta, "\xa9xyz", &xyz);
	box(&moov, "udta", &udta);
	const struct blob movie = movie_of(&moov);
	*ret = meta_of(&movie);
}

static void a_place_is_read_in_all_of_its_notations(void **state)
{
	(void)state;
	struct ur_meta meta;
	place_in_user_data("+48.8577+002.2950/", &meta);
	assert_place(&meta, 48.8577, 2.295);
	place_in_user_data("-3351.5-15112.6/", &meta);
	assert_place(&meta, -(33 + 51.5 / 60), -(151 + 12.6 / 60));
	place_in_user_data("+404530.5-0735929/", &meta);
	assert_place(&meta, 40 + 45.0 / 60 + 30.5 / 3600, -(73 + 59.0 / 60 + 29.0 / 3600));

	static const char *const nowhere[] = {"+00.0000+000.0000/", "+99+000/", "48.8+2.2/",
		"+48.8", "", "+", "+.+.", "+48.8577+",
		"+1234567890123456789012345678901234567890+1/"};
	for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
		place_in_user_data(nowhere[i], &meta);
		assert_false(meta.has_place);
	}
}

static void boxes_of_64_bits_and_to_the_end_are_walked(void **state)
{
	(void)state;
	struct blob moov = {0};
	mvhd(&moov, 0, 1714979289);
	struct blob movie = {0};
	put(&movie,
		"\0\0\0\x14"
		"ftypisom\0\0\0\0isom",
		20);
	number(&movie, 1, 4);
	puts_in(&movie, "mdat");
	number(&movie, 16 + 5, 8);
	puts_in(&movie, "12345");
	number(&movie, 0, 4); // to the end
	puts_in(&movie, "moov");
	put(&movie, moov.bytes, moov.size);
	const struct ur_meta meta = meta_of(&movie);
	assert_time(&meta, "2024-05-06T07:08:09Z", "mvhd");
}

static void a_walk_ends_after_the_maximum_of_boxes(void **state)
{
	(void)state;
	const size_t size = (UR_BOXES_MAX + 10) * 8;
	unsigned char *bytes = calloc(1, size + 64);
	assert_non_null(bytes);
	for (size_t at = 0; at < size; at += 8) {
		memcpy(bytes + at,
			"\0\0\0\x08"
			"free",
			8);
	}
	memcpy(bytes + size, "\0\0\0\x20moov\0\0\0\x18mvhd\0\0\0\0\xe2\x5e\x3c\x59", 24);
	struct ur_memory memory = {bytes, size + 64};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	struct ur_meta meta = {0};
	assert_int_equal(ur_container_movie(&reader, &meta), 0);
	assert_false(meta.has_time);
	memory = (struct ur_memory){bytes + 88, size - 24}; // now within reach
	const struct ur_reader nearer = ur_reader_of_memory(&memory);
	assert_int_equal(ur_container_movie(&nearer, &meta), 0);
	assert_true(meta.has_time);
	free(bytes);
}

/* --- what goes wrong ------------------------------------------------------------------------ */

static void every_shortened_file_is_survived(void **state)
{
	(void)state;
	const struct facts facts = {"2024:05:06 07:08:09", "+02:00", "25", ID, .gps_time = true};
	const struct blob tiff = tiff_of(&facts);
	struct blob moov = {0};
	mvhd(&moov, 0, 1714979289);
	keys(&moov, false, apple, 4);
	const struct blob whole[] = {jpeg_of(&facts), heic_of(&tiff, 1, true), movie_of(&moov)};
	for (size_t i = 0; i < 3; i++) {
		for (size_t size = 0; size < whole[i].size; size++) {
			unsigned char *copy = malloc(size + 1);
			assert_non_null(copy);
			memcpy(copy, whole[i].bytes, size);
			struct ur_memory memory = {copy, size};
			const struct ur_reader reader = ur_reader_of_memory(&memory);
			struct ur_meta meta;
			const struct ur_kind *kind = ur_kind_of(whole[i].bytes, whole[i].size);
			assert_int_equal(ur_extract_meta(&reader, kind, &meta), 0);
			free(copy);
		}
	}
}

struct failing {
	struct ur_memory memory;
	int left; // reads that still succeed
};

static ssize_t read_until_it_fails(void *context, void *buffer, size_t size, uint64_t offset)
{
	struct failing *failing = context;
	if (failing->left-- == 0) {
		return -EIO;
	}
	const struct ur_reader inner = ur_reader_of_memory(&failing->memory);
	return inner.read(inner.context, buffer, size, offset);
}

static void an_error_of_the_disk_is_passed_on_whenever_it_comes(void **state)
{
	(void)state;
	const struct facts facts = {"2024:05:06 07:08:09", "+02:00", "25", ID, .gps_time = true};
	const struct blob tiff = tiff_of(&facts);
	struct blob moov = {0};
	mvhd(&moov, 0, 1714979289);
	keys(&moov, false, apple, 4);
	const struct blob whole[] = {jpeg_of(&facts), heic_of(&tiff, 1, false), movie_of(&moov)};
	for (size_t i = 0; i < 3; i++) {
		int r = -EIO;
		int good = 0;
		for (; r != 0; good++) {
			struct failing failing = {{whole[i].bytes, whole[i].size}, good};
			const struct ur_reader reader = {
				read_until_it_fails, &failing, whole[i].size};
			struct ur_meta meta = {.zone_minutes = 42};
			r = ur_extract_meta(
				&reader, ur_kind_of(whole[i].bytes, whole[i].size), &meta);
			assert_true(r == 0 || r == -EIO);
			assert_int_equal(meta.zone_minutes, r == 0 ? 120 : 42);
			assert_true(good < 50);
		}
		assert_true(good > 1);
	}
}

static void kinds_without_metadata_are_no_error(void **state)
{
	(void)state;
	struct blob gif = {0};
	puts_in(&gif, "GIF89a");
	const struct ur_meta meta = meta_of(&gif);
	assert_false(meta.has_time);
	assert_false(meta.has_place);
	assert_string_equal(meta.content_id, "");
	assert_string_equal(meta.time_from, "");
}

static void a_content_id_is_printable_and_short(void **state)
{
	(void)state;
	struct ur_meta meta = {0};
	ur_meta_content_id(&meta, "a\x1b[2J", 5);
	assert_string_equal(meta.content_id, "");
	char large[UR_META_CONTENT_ID + 1];
	memset(large, 'x', sizeof large);
	ur_meta_content_id(&meta, large, UR_META_CONTENT_ID);
	assert_string_equal(meta.content_id, "");
	ur_meta_content_id(&meta, large, UR_META_CONTENT_ID - 1);
	assert_int_equal(strlen(meta.content_id), UR_META_CONTENT_ID - 1);
}

#define BOX(size, type) "\0\0\0" size type
#define FTYP BOX("\x0c", "ftyp") "mp42"
#define MDAT BOX("\x10", "mdat") "12345678"
#define MOOV BOX("\x0c", "moov") "abcd"

static bool is_cut(const char *bytes, size_t size, bool movie)
{
	struct ur_memory memory = {bytes, size};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	bool cut = false;
	assert_int_equal(ur_container_cut_short(&reader, movie, &cut), 0);
	return cut;
}
#define IS_CUT(bytes, movie) is_cut(bytes, sizeof(bytes) - 1, movie)

static void a_movie_is_whole_only_with_all_its_boxes_and_its_index(void **state)
{
	(void)state;
	static const char whole[] = FTYP MDAT MOOV;
	assert_false(IS_CUT(FTYP MDAT MOOV, true));
	assert_false(IS_CUT(MOOV MDAT, true));
	assert_false(IS_CUT(FTYP BOX("\x0c", "moof") "abcd" MDAT, true));
	assert_true(IS_CUT(FTYP MDAT, true));        // all bytes of the picture, and no index yet
	assert_true(IS_CUT(FTYP MDAT "\0\0", true)); // the next box has just begun
	assert_false(IS_CUT(FTYP MDAT, false));      // a picture needs none
	for (size_t size = sizeof whole - 2; size > 12; size--) {
		assert_true(is_cut(whole, size, true)); // wherever the transfer stands still
	}
}

static void what_is_behind_the_boxes_makes_no_file_cut_off(void **state)
{
	(void)state;
	assert_false(IS_CUT(FTYP MDAT MOOV "\0\0\0\0\0\0\0\0", true)); // padding
	assert_false(IS_CUT(FTYP MDAT MOOV "\x01\x02\x03", true));
	assert_false(IS_CUT(FTYP MOOV BOX("\0", "mdat") "to the end", true));
	assert_false(
		IS_CUT(FTYP MDAT "\xff\xff\xff\xff\x01\x02\x03\x04", true)); // no box: who knows
	assert_true(IS_CUT(FTYP BOX("\x01", "mdat") "\0\0\0\x02\0\0\0\0"
						    "begun",
		true));
}

/* --- what is believed ----------------------------------------------------------------------- */

static void a_zone_is_read_from_the_end_of_a_date(void **state)
{
	(void)state;
	assert_int_equal(ur_meta_zone("2024-05-06T07:08:09+02:00"), 120);
	assert_int_equal(ur_meta_zone("2024-05-06T07:08:09-0330"), -210);
	assert_int_equal(ur_meta_zone("2024-05-06T07:08:09.25+05:45"), 345);
	assert_int_equal(ur_meta_zone("2024-05-06T07:08:09Z"), 0);
	assert_int_equal(ur_meta_zone("2024-05-06"), 0); // its dashes are no sign
	assert_int_equal(ur_meta_zone(""), 0);
}

static void a_decimal_ends_where_its_digits_do(void **state)
{
	(void)state;
	const char *at = "48.137N";
	double value = -1;
	assert_true(ur_meta_decimal(&at, &value));
	assert_true(fabs(value - 48.137) < 1e-9);
	assert_string_equal(at, "N");

	at = "1.2.3";
	assert_true(ur_meta_decimal(&at, &value));
	assert_string_equal(at, ".3");

	const char *const nothing[] = {"", ".", "-1", "N"};
	for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
		at = nothing[i];
		value = 42;
		assert_false(ur_meta_decimal(&at, &value));
		assert_true(value == 42);
		assert_string_equal(at, nothing[i]);
	}
}

static void a_place_that_cannot_be_is_not_taken(void **state)
{
	(void)state;
	const double impossible[][2] = {
		{0, 0}, {90.1, 0}, {-90.1, 0}, {0, 180.1}, {NAN, 1}, {1, NAN}, {INFINITY, 1}};
	struct ur_meta meta = {.time_from = ""};
	for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
		ur_meta_place(&meta, impossible[i][0], impossible[i][1]);
		assert_false(meta.has_place);
	}
	ur_meta_place(&meta, -90, 180);
	assert_true(meta.has_place);
	assert_true(meta.latitude == -90);
	assert_true(meta.longitude == 180);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_jpeg_tells_its_time_place_and_content_id),
		cmocka_unit_test(a_time_without_a_zone_stays_local),
		cmocka_unit_test(the_gps_clock_helps_where_the_camera_has_no_date),
		cmocka_unit_test(a_receiver_without_a_fix_is_nowhere),
		cmocka_unit_test(exif_is_found_in_every_wrapping),
		cmocka_unit_test(canon_and_fujifilm_hide_their_exif_and_it_is_found),
		cmocka_unit_test(a_heic_keeps_its_exif_in_an_item),
		cmocka_unit_test(a_quicktime_movie_tells_everything_even_at_its_end),
		cmocka_unit_test(mvhd_is_utc_and_unset_before_2000),
		cmocka_unit_test(a_place_is_read_in_all_of_its_notations),
		cmocka_unit_test(boxes_of_64_bits_and_to_the_end_are_walked),
		cmocka_unit_test(a_walk_ends_after_the_maximum_of_boxes),
		cmocka_unit_test(every_shortened_file_is_survived),
		cmocka_unit_test(an_error_of_the_disk_is_passed_on_whenever_it_comes),
		cmocka_unit_test(kinds_without_metadata_are_no_error),
		cmocka_unit_test(a_content_id_is_printable_and_short),
		cmocka_unit_test(a_movie_is_whole_only_with_all_its_boxes_and_its_index),
		cmocka_unit_test(what_is_behind_the_boxes_makes_no_file_cut_off),
		cmocka_unit_test(a_zone_is_read_from_the_end_of_a_date),
		cmocka_unit_test(a_decimal_ends_where_its_digits_do),
		cmocka_unit_test(a_place_that_cannot_be_is_not_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
