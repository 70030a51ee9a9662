/* exif - libexif for the structure, our own eyes for the values. */
#include "engine/media/exif.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <libexif/exif-data.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "Exif\0\0"
#define HEADER_SIZE 6u
#define APPLE_CONTENT_ID 0x0011
#define APPLE_TAGS_MAX 128u // entries of Apple's maker note that are looked at

/* GPS tags share their numbers with others, which libexif's names hide. */
enum gps {
	GPS_LATITUDE_REF = 1,
	GPS_LATITUDE = 2,
	GPS_LONGITUDE_REF = 3,
	GPS_LONGITUDE = 4,
	GPS_TIME = 7,
	GPS_DATE = 29,
};

/** The text of a tag without trailing blanks; "" when it is absent or no text. */
static void read_text(ExifData *data, ExifIfd ifd, int tag, char *ret, size_t room)
{
	const ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], (ExifTag)tag);
	size_t size = 0;
	if (entry != NULL && entry->data != NULL && entry->format == EXIF_FORMAT_ASCII) {
		size = strnlen((const char *)entry->data, entry->size);
		size = size < room ? size : room - 1;
		memcpy(ret, entry->data, size);
	}
	while (size > 0 && ret[size - 1] == ' ') {
		size--;
	}
	ret[size] = '\0';
}

/** `count` rationals of a tag; false when they are absent, of another form, or divide by zero. */
static bool read_rationals(ExifData *data, ExifIfd ifd, int tag, unsigned count, double *ret)
{
	const ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], (ExifTag)tag);
	const ExifByteOrder order = exif_data_get_byte_order(data);
	if (entry == NULL || entry->data == NULL || entry->format != EXIF_FORMAT_RATIONAL ||
		entry->components < count || entry->size < count * 8) {
		return false;
	}
	for (unsigned i = 0; i < count; i++) {
		const ExifRational r = exif_get_rational(entry->data + (size_t)i * 8, order);
		if (r.denominator == 0) {
			return false;
		}
		ret[i] = (double)r.numerator / (double)r.denominator;
	}
	return true;
}

/** Exif's "2024:05:06 07:08:09" with its fraction and zone, which stand in tags of their own. */
static bool take_time(const char *date, const char *fraction, const char *zone, struct ur_meta *ret)
{
	char iso[64];
	if (strlen(date) != 19 || date[4] != date[7] ||
		(date[4] != ':' && date[4] != '-' && date[4] != '/')) {
		return false;
	}
	const size_t digits = strspn(fraction, "0123456789");
	(void)snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.8s%s%.*s", date, date + 5, date + 8,
		date + 11, digits > 0 ? "." : "", digits > 9 ? 9 : (int)digits, fraction);
	const size_t bare = strlen(iso);
	(void)snprintf(iso + bare, sizeof iso - bare, "%s", zone);

	int64_t ns = 0;
	bool zoned = false;
	if (ur_clock_parse_iso(iso, &ns, &zoned) < 0) {
		iso[bare] = '\0'; // the zone may be what is wrong
		if (ur_clock_parse_iso(iso, &ns, &zoned) < 0) {
			return false;
		}
	}
	ret->has_time = true;
	ret->zoned = zoned;
	ret->time_ns = ns;
	ret->zone_minutes = zoned ? ur_meta_zone(iso) : 0;
	ret->time_from = "Exif";
	return true;
}

/** Canon's CR3 keeps what belongs into the Exif directory in a block's first one. */
static bool take_exif_time(ExifData *data, struct ur_meta *ret)
{
	static const struct {
		ExifTag date;
		ExifTag fraction;
		ExifTag zone;
	} times[] = {
		{EXIF_TAG_DATE_TIME_ORIGINAL, EXIF_TAG_SUB_SEC_TIME_ORIGINAL,
			EXIF_TAG_OFFSET_TIME_ORIGINAL},
		{EXIF_TAG_DATE_TIME_DIGITIZED, EXIF_TAG_SUB_SEC_TIME_DIGITIZED,
			EXIF_TAG_OFFSET_TIME_DIGITIZED},
	};
	static const ExifIfd places[] = {EXIF_IFD_EXIF, EXIF_IFD_0};
	for (size_t i = 0; i < 4; i++) {
		const ExifIfd ifd = places[i % 2];
		char date[24] = "";
		char fraction[16];
		char zone[16];
		read_text(data, ifd, (int)times[i / 2].date, date, sizeof date);
		read_text(data, ifd, (int)times[i / 2].fraction, fraction, sizeof fraction);
		read_text(data, ifd, (int)times[i / 2].zone, zone, sizeof zone);
		if (take_time(date, fraction, zone, ret)) {
			return true;
		}
	}
	return false;
}

static void take_gps_time(ExifData *data, struct ur_meta *ret)
{
	char date[16] = "";
	double clock[3];
	read_text(data, EXIF_IFD_GPS, GPS_DATE, date, sizeof date);
	if (strlen(date) != 10 || !read_rationals(data, EXIF_IFD_GPS, GPS_TIME, 3, clock) ||
		clock[0] >= 24 || clock[1] >= 60 || clock[2] >= 61) {
		return;
	}
	char text[32];
	(void)snprintf(text, sizeof text, "%s %02u:%02u:%02u", date, (unsigned)clock[0] % 100,
		(unsigned)clock[1] % 100, (unsigned)clock[2] % 100);
	if (take_time(text, "", "Z", ret)) {
		ret->time_from = "GPS";
	}
}

static bool read_angle(ExifData *data, int tag, int ref_tag, const char *signs, double *ret)
{
	double parts[3];
	char ref[4];
	read_text(data, EXIF_IFD_GPS, ref_tag, ref, sizeof ref);
	if (ref[0] == '\0' || strchr(signs, ref[0]) == NULL ||
		!read_rationals(data, EXIF_IFD_GPS, tag, 3, parts)) {
		return false;
	}
	const double angle = parts[0] + parts[1] / 60 + parts[2] / 3600;
	*ret = ref[0] == signs[1] ? -angle : angle;
	return true;
}

static void take_place(ExifData *data, struct ur_meta *ret)
{
	double latitude = 0;
	double longitude = 0;
	if (read_angle(data, GPS_LATITUDE, GPS_LATITUDE_REF, "NS", &latitude) &&
		read_angle(data, GPS_LONGITUDE, GPS_LONGITUDE_REF, "EW", &longitude)) {
		ur_meta_place(ret, latitude, longitude);
	}
}

static uint32_t number(const unsigned char *bytes, unsigned size, bool big)
{
	uint32_t value = 0;
	for (unsigned i = 0; i < size; i++) {
		value = value << 8 | bytes[big ? i : size - 1 - i];
	}
	return value;
}

/** "Apple iOS", a version, a byte order, one directory; its offsets count from the note's start. */
static void take_apple_note(const unsigned char *note, size_t size, struct ur_meta *ret)
{
	if (size < 16 || memcmp(note, "Apple iOS\0", 10) != 0) {
		return;
	}
	const bool big = note[12] == 'M';
	const unsigned count = number(note + 14, 2, big);
	for (unsigned i = 0; i < count && i < APPLE_TAGS_MAX; i++) {
		const size_t at = 16 + (size_t)i * 12;
		if (at + 12 > size) {
			return;
		}
		const uint32_t length = number(note + at + 4, 4, big);
		const uint32_t offset = number(note + at + 8, 4, big);
		if (number(note + at, 2, big) == APPLE_CONTENT_ID &&
			number(note + at + 2, 2, big) == EXIF_FORMAT_ASCII && length > 4 &&
			offset < size && length <= size - offset) {
			ur_meta_content_id(ret, (const char *)note + offset, length);
			return;
		}
	}
}

int ur_exif_parse(const void *block, size_t size, struct ur_meta *ret)
{
	if (size < HEADER_SIZE + 8 || memcmp(block, HEADER, HEADER_SIZE) != 0) {
		return 0;
	}
	ExifData *data = exif_data_new();
	if (data == NULL) {
		return -ENOMEM;
	}
	exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
	exif_data_unset_option(data, EXIF_DATA_OPTION_IGNORE_UNKNOWN_TAGS);
	exif_data_set_option(data, EXIF_DATA_OPTION_DONT_CHANGE_MAKER_NOTE);
	exif_data_load_data(data, block, (unsigned)(size < UR_EXIF_MAX ? size : UR_EXIF_MAX));

	take_place(data, ret);
	if (!take_exif_time(data, ret)) {
		take_gps_time(data, ret);
	}
	const ExifEntry *note =
		exif_content_get_entry(data->ifd[EXIF_IFD_EXIF], EXIF_TAG_MAKER_NOTE);
	if (note != NULL && note->data != NULL) {
		take_apple_note(note->data, note->size, ret);
	}
	exif_data_unref(data);
	return 0;
}

/** Olympus and Panasonic put letters where TIFF has 42; everything behind is the same. */
static void mend_magic(unsigned char *tiff)
{
	if (memcmp(tiff, "IIRO", 4) == 0 || memcmp(tiff, "IIRS", 4) == 0 ||
		memcmp(tiff, "IIU\0", 4) == 0) {
		memcpy(tiff, "II*\0", 4);
	} else if (memcmp(tiff, "MMOR", 4) == 0) {
		memcpy(tiff, "MM\0*", 4);
	}
}

int ur_exif_read(
	const struct ur_reader *reader, uint64_t offset, uint64_t size, struct ur_meta *ret)
{
	const size_t wanted = size < UR_EXIF_MAX ? (size_t)size : UR_EXIF_MAX;
	unsigned char *block = malloc(HEADER_SIZE + UR_EXIF_MAX);
	if (block == NULL) {
		return -ENOMEM;
	}
	memcpy(block, HEADER, HEADER_SIZE);
	int r = 0;
	const ssize_t got = reader->read(reader->context, block + HEADER_SIZE, wanted, offset);
	if (got < 0) {
		r = (int)got;
	} else if (got >= 8 + (ssize_t)HEADER_SIZE) {
		assert((size_t)got <= wanted);
		const bool headed = memcmp(block + HEADER_SIZE, HEADER, HEADER_SIZE) == 0;
		const unsigned char *first = headed ? block + HEADER_SIZE : block;
		mend_magic(block + HEADER_SIZE + (headed ? HEADER_SIZE : 0));
		r = ur_exif_parse(first, (size_t)(block + HEADER_SIZE + got - first), ret);
	}
	free(block);
	return r;
}
