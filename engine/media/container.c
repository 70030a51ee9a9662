/*
 * container - a walk on two floors.
 *
 * In the file only the headers of boxes are read (struct span).  The few boxes that matter are
 * small; they are loaded whole and taken apart in memory (struct bytes), where every step checks
 * what is left.
 */
#include "engine/media/container.h"

#include "engine/base/clock.h"
#include "engine/media/exif.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOURCC(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define XYZ FOURCC(0xa9, 'x', 'y', 'z')
#define EPOCH_1904 INT64_C(2082844800) // seconds from 1904 to 1970
#define YEAR_2000 INT64_C(946684800)   // earlier ones are clocks that nobody set
#define YEAR_2200 INT64_C(7258118400)
#define VALUE_MAX 256u // bytes of a metadata value that are looked at

/* --- in the file ---------------------------------------------------------------------------- */

struct span {
	uint32_t type;
	uint64_t offset; // of what is inside
	uint64_t size;   // of what is inside
	uint64_t next;
};

static uint64_t big(const unsigned char *bytes, unsigned size)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < size; i++) {
		value = value << 8 | bytes[i];
	}
	return value;
}

/** The box at `at`: 1, 0 when there is none, or the reader's error. */
static int span_at(const struct ur_reader *reader, uint64_t at, uint64_t end, struct span *ret)
{
	unsigned char head[16] = {0};
	if (at >= end || end - at < 8) {
		return 0;
	}
	const uint64_t room = end - at;
	const int r = ur_reader_exactly(reader, head, room < 16 ? 8 : 16, at);
	if (r < 0) {
		return r == -ENODATA ? 0 : r;
	}
	uint64_t size = big(head, 4);
	unsigned header = 8;
	if (size == 1 && room >= 16) {
		size = big(head + 8, 8);
		header = 16;
	} else if (size == 0) {
		size = room; // to the end
	}
	if (size < header || size > room) {
		/* A recording that was cut still has its beginning; what is inside ends with it. */
		if (size <= room) {
			return 0;
		}
		size = room;
	}
	*ret = (struct span){
		.type = (uint32_t)big(head + 4, 4),
		.offset = at + header,
		.size = size - header,
		.next = at + size,
	};
	return 1;
}

/** The first box of that type between `at` and `end`: 1, 0 or an error. */
static int span_find(
	const struct ur_reader *reader, uint64_t at, uint64_t end, uint32_t type, struct span *ret)
{
	for (unsigned i = 0; i < UR_BOXES_MAX; i++) {
		const int r = span_at(reader, at, end, ret);
		if (r <= 0 || ret->type == type) {
			return r;
		}
		at = ret->next;
	}
	return 0;
}

static bool is_box_type(uint32_t type)
{
	for (int shift = 0; shift < 32; shift += 8) {
		const uint32_t letter = type >> shift & 0xff;
		if ((letter < 0x20 || letter > 0x7e) && letter != 0xa9) {
			return false;
		}
	}
	return true;
}

int ur_container_cut_short(const struct ur_reader *reader, bool movie, bool *ret)
{
	bool index = false;
	uint64_t at = 0;
	*ret = false;
	for (unsigned i = 0; i < UR_BOXES_MAX && reader->size - at >= 8; i++) {
		unsigned char head[16] = {0};
		const uint64_t room = reader->size - at;
		const int r = ur_reader_exactly(reader, head, room < 16 ? 8 : 16, at);
		const uint32_t type = (uint32_t)big(head + 4, 4);
		uint64_t size = big(head, 4);
		size = size == 1 ? big(head + 8, 8) : size;
		if (r < 0 || size < 8 || !is_box_type(type)) {
			return r; // to the end of the file, or no box: padding, a maker's trailer
		}
		if (size > room) {
			*ret = true;
			return 0;
		}
		index = index || type == FOURCC('m', 'o', 'o', 'v') ||
			type == FOURCC('m', 'o', 'o', 'f');
		at += size;
	}
	*ret = movie && !index && reader->size - at < 8;
	return 0;
}

/* --- in memory ------------------------------------------------------------------------------ */

struct bytes {
	const unsigned char *at;
	size_t size;
};

/** Takes `size` bytes from the front; NULL (and nothing taken) when there are not so many. */
static const unsigned char *take(struct bytes *from, size_t size)
{
	if (from->size < size) {
		return NULL;
	}
	const unsigned char *at = from->at;
	from->at += size;
	from->size -= size;
	return at;
}

/** A big-endian number of `size` bytes, 0 to 8. */
static bool take_number(struct bytes *from, unsigned size, uint64_t *ret)
{
	const unsigned char *at = take(from, size);
	if (at == NULL) {
		return false;
	}
	*ret = big(at, size);
	return true;
}

static bool take_box(struct bytes *from, uint32_t *type, struct bytes *inside)
{
	struct bytes rest = *from;
	uint64_t size = 0;
	uint64_t code = 0;
	if (!take_number(&rest, 4, &size) || !take_number(&rest, 4, &code)) {
		return false;
	}
	if (size == 1 && !take_number(&rest, 8, &size)) {
		return false;
	}
	if (size == 0) {
		size = from->size;
	}
	const size_t header = from->size - rest.size;
	if (size < header || size > from->size) {
		return false;
	}
	*type = (uint32_t)code;
	*inside = (struct bytes){rest.at, (size_t)size - header};
	(void)take(from, (size_t)size);
	return true;
}

static bool find_box(struct bytes from, uint32_t type, struct bytes *inside)
{
	uint32_t found = 0;
	for (unsigned i = 0; i < UR_BOXES_MAX && take_box(&from, &found, inside); i++) {
		if (found == type) {
			return true;
		}
	}
	return false;
}

/** Loads a box; *ret is NULL when it is too large to be what we look for, or cut. */
static int load(const struct ur_reader *reader, const struct span *span, unsigned char **ret)
{
	*ret = NULL;
	if (span->size == 0 || span->size > UR_BOX_LOAD_MAX) {
		return 0;
	}
	unsigned char *bytes = malloc((size_t)span->size);
	if (bytes == NULL) {
		return -ENOMEM;
	}
	const int r = ur_reader_exactly(reader, bytes, (size_t)span->size, span->offset);
	if (r < 0) {
		free(bytes);
		return r == -ENODATA ? 0 : r;
	}
	*ret = bytes;
	return 0;
}

/* --- movies --------------------------------------------------------------------------------- */

/** Degrees, or degrees and minutes, or those and seconds: the digits before the point tell. */
static double angle_of(const char *digits, size_t degree_digits)
{
	const size_t whole = strspn(digits, "0123456789");
	double value = 1000; // nowhere
	if (!ur_meta_decimal(&digits, &value) || whole <= degree_digits) {
		return value;
	}
	if (whole <= degree_digits + 2) {
		const double degrees = floor(value / 100);
		return degrees + (value - degrees * 100) / 60;
	}
	const double degrees = floor(value / 10000);
	const double minutes = floor((value - degrees * 10000) / 100);
	return degrees + minutes / 60 + (value - degrees * 10000 - minutes * 100) / 3600;
}

/** "+48.8577+002.2950+035/" */
static void take_iso6709(struct bytes text, struct ur_meta *meta)
{
	char copy[VALUE_MAX];
	if (text.size == 0 || text.size >= sizeof copy || meta->has_place) {
		return;
	}
	memcpy(copy, text.at, text.size);
	copy[text.size] = '\0';
	const char *second = copy + 1 + strspn(copy + 1, "0123456789.");
	if ((copy[0] != '+' && copy[0] != '-') || (*second != '+' && *second != '-')) {
		return;
	}
	const double latitude = angle_of(copy + 1, 2);
	const double longitude = angle_of(second + 1, 3);
	ur_meta_place(meta, copy[0] == '-' ? -latitude : latitude,
		*second == '-' ? -longitude : longitude);
}

/** QuickTime's creationdate carries the zone of the place and therefore wins over mvhd. */
static void take_creation_date(struct bytes text, struct ur_meta *meta)
{
	char copy[64];
	int64_t ns = 0;
	bool zoned = false;
	if (text.size == 0 || text.size >= sizeof copy) {
		return;
	}
	memcpy(copy, text.at, text.size);
	copy[text.size] = '\0';
	if (ur_clock_parse_iso(copy, &ns, &zoned) < 0) {
		return;
	}
	meta->has_time = true;
	meta->zoned = zoned;
	meta->time_ns = ns;
	meta->zone_minutes = zoned ? ur_meta_zone(copy) : 0;
	meta->time_from = "QuickTime";
}

static void take_mvhd(struct bytes mvhd, struct ur_meta *meta)
{
	uint64_t version = 0;
	uint64_t created = 0;
	if (meta->has_time || !take_number(&mvhd, 4, &version) ||
		!take_number(&mvhd, version >> 24 == 1 ? 8 : 4, &created) || created > INT64_MAX) {
		return;
	}
	const int64_t seconds = (int64_t)created - EPOCH_1904;
	if (seconds < YEAR_2000 || seconds >= YEAR_2200) {
		return;
	}
	meta->has_time = true;
	meta->zoned = true;
	meta->time_ns = seconds * UR_SECOND_NS;
	meta->time_from = "mvhd";
}

static void take_value(struct bytes name, struct bytes value, struct ur_meta *meta)
{
	static const struct {
		const char *name;
		void (*take)(struct bytes, struct ur_meta *);
	} keys[] = {
		{"com.apple.quicktime.creationdate", take_creation_date},
		{"com.apple.quicktime.location.ISO6709", take_iso6709},
	};
	static const char id[] = "com.apple.quicktime.content.identifier";
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (name.size == strlen(keys[i].name) &&
			memcmp(name.at, keys[i].name, name.size) == 0) {
			keys[i].take(value, meta);
		}
	}
	if (name.size == sizeof id - 1 && memcmp(name.at, id, name.size) == 0) {
		ur_meta_content_id(meta, (const char *)value.at, value.size);
	}
}

/** The name of key `index`, which counts from 1. */
static bool key_name(struct bytes keys, uint64_t index, struct bytes *ret)
{
	uint64_t count = 0;
	if (take(&keys, 4) == NULL || !take_number(&keys, 4, &count) || index < 1 ||
		index > count || index > UR_CONTAINER_ITEMS_MAX) {
		return false;
	}
	uint32_t space = 0;
	for (uint64_t i = 0; i < index; i++) {
		if (!take_box(&keys, &space, ret)) {
			return false;
		}
	}
	return true;
}

/** A meta box is a full box in ISO files and a plain one in QuickTime's. */
static void skip_version(struct bytes *meta)
{
	if (meta->size >= 8 && memcmp(meta->at + 4, "hdlr", 4) != 0) {
		(void)take(meta, 4);
	}
}

static void take_keys(struct bytes box, struct ur_meta *meta)
{
	struct bytes keys;
	struct bytes list;
	skip_version(&box);
	if (!find_box(box, FOURCC('k', 'e', 'y', 's'), &keys) ||
		!find_box(box, FOURCC('i', 'l', 's', 't'), &list)) {
		return;
	}
	uint32_t index = 0;
	struct bytes item;
	for (unsigned i = 0; i < UR_BOXES_MAX && take_box(&list, &index, &item); i++) {
		struct bytes name;
		struct bytes data;
		/* A type and a locale stand before the value. */
		if (find_box(item, FOURCC('d', 'a', 't', 'a'), &data) && take(&data, 8) != NULL &&
			data.size <= VALUE_MAX && key_name(keys, index, &name)) {
			take_value(name, data, meta);
		}
	}
}

/** ©xyz: a length, a language, the text. */
static void take_user_data(struct bytes udta, struct ur_meta *meta)
{
	struct bytes xyz;
	struct bytes inner;
	uint64_t length = 0;
	if (find_box(udta, XYZ, &xyz) && take_number(&xyz, 2, &length) && take(&xyz, 2) != NULL) {
		if (length < xyz.size) {
			xyz.size = (size_t)length;
		}
		take_iso6709(xyz, meta);
	}
	if (find_box(udta, FOURCC('m', 'e', 't', 'a'), &inner)) {
		take_keys(inner, meta);
	}
}

static int take_span(const struct ur_reader *reader, const struct span *span,
	void (*taker)(struct bytes, struct ur_meta *), struct ur_meta *meta)
{
	unsigned char *bytes = NULL;
	const int r = load(reader, span, &bytes);
	if (bytes != NULL) {
		taker((struct bytes){bytes, (size_t)span->size}, meta);
		free(bytes);
	}
	return r;
}

int ur_container_movie(const struct ur_reader *reader, struct ur_meta *ret)
{
	/* In the order of trust: what has been found is not replaced. */
	static const struct {
		uint32_t type;
		void (*taker)(struct bytes, struct ur_meta *);
	} parts[] = {
		{FOURCC('m', 'e', 't', 'a'), take_keys},
		{FOURCC('u', 'd', 't', 'a'), take_user_data},
		{FOURCC('m', 'v', 'h', 'd'), take_mvhd},
	};
	struct span moov;
	int r = span_find(reader, 0, reader->size, FOURCC('m', 'o', 'o', 'v'), &moov);
	for (size_t i = 0; r > 0 && i < sizeof parts / sizeof *parts; i++) {
		struct span part;
		const int found = span_find(
			reader, moov.offset, moov.offset + moov.size, parts[i].type, &part);
		const int taken = found > 0 ? take_span(reader, &part, parts[i].taker, ret) : found;
		r = taken < 0 ? taken : r;
	}
	return r < 0 ? r : 0;
}

/* --- pictures ------------------------------------------------------------------------------- */

/** The id of the item of type Exif; false when there is none. */
static bool exif_item(struct bytes iinf, uint64_t *ret)
{
	uint64_t version = 0;
	uint64_t count = 0;
	if (!take_number(&iinf, 4, &version) ||
		!take_number(&iinf, version >> 24 == 0 ? 2 : 4, &count)) {
		return false;
	}
	uint32_t type = 0;
	struct bytes entry;
	for (uint64_t i = 0; i < count && i < UR_CONTAINER_ITEMS_MAX; i++) {
		uint64_t kind = 0;
		if (!take_box(&iinf, &type, &entry)) {
			return false;
		}
		if (type != FOURCC('i', 'n', 'f', 'e') || !take_number(&entry, 4, &version)) {
			continue;
		}
		const unsigned id_size = version >> 24 == 2 ? 2 : version >> 24 == 3 ? 4 : 0;
		if (id_size > 0 && take_number(&entry, id_size, ret) && take(&entry, 2) != NULL &&
			take_number(&entry, 4, &kind) && kind == FOURCC('E', 'x', 'i', 'f')) {
			return true;
		}
	}
	return false;
}

/** The widths of iloc's numbers, which the box itself announces. */
struct widths {
	unsigned version;
	unsigned id;
	unsigned offset;
	unsigned length;
	unsigned base;
	unsigned index;
};

static bool take_widths(struct bytes *iloc, struct widths *ret, uint64_t *count)
{
	uint64_t version = 0;
	uint64_t sizes = 0;
	if (!take_number(iloc, 4, &version) || !take_number(iloc, 2, &sizes)) {
		return false;
	}
	ret->version = (unsigned)(version >> 24);
	ret->id = ret->version < 2 ? 2 : 4;
	ret->offset = sizes >> 12 & 15;
	ret->length = sizes >> 8 & 15;
	ret->base = sizes >> 4 & 15;
	ret->index = ret->version == 0 ? 0 : sizes & 15;
	return ret->version <= 2 && ret->offset <= 8 && ret->length <= 8 && ret->base <= 8 &&
	       ret->index <= 8 && take_number(iloc, ret->id, count);
}

struct place {
	bool in_idat;
	uint64_t offset;
	uint64_t size;
};

/** One item of iloc: where its first extent lies. */
static bool take_place_of(
	struct bytes *iloc, const struct widths *widths, uint64_t *id, struct place *ret)
{
	uint64_t method = 0;
	uint64_t base = 0;
	uint64_t extents = 0;
	if (!take_number(iloc, widths->id, id) ||
		(widths->version > 0 && !take_number(iloc, 2, &method)) || take(iloc, 2) == NULL ||
		!take_number(iloc, widths->base, &base) || !take_number(iloc, 2, &extents)) {
		return false;
	}
	*ret = (struct place){.in_idat = (method & 15) == 1};
	for (uint64_t i = 0; i < extents; i++) {
		uint64_t offset = 0;
		uint64_t size = 0;
		if (take(iloc, widths->index) == NULL ||
			!take_number(iloc, widths->offset, &offset) ||
			!take_number(iloc, widths->length, &size)) {
			return false;
		}
		/* Exif lies in one piece; of several the first has the beginning. */
		if (i == 0 && !__builtin_add_overflow(base, offset, &ret->offset)) {
			ret->size = size;
		}
		if (widths->index + widths->offset + widths->length == 0) {
			break;
		}
	}
	return true;
}

static bool find_place(struct bytes iloc, uint64_t item, struct place *ret)
{
	struct widths widths;
	uint64_t count = 0;
	if (!take_widths(&iloc, &widths, &count)) {
		return false;
	}
	for (uint64_t i = 0; i < count && i < UR_CONTAINER_ITEMS_MAX; i++) {
		uint64_t id = 0;
		if (!take_place_of(&iloc, &widths, &id, ret)) {
			return false;
		}
		if (id == item) {
			return ret->size > 4;
		}
	}
	return false;
}

/** Exif items and boxes begin with the distance to their TIFF header. */
static int read_exif(
	const struct ur_reader *reader, uint64_t offset, uint64_t size, struct ur_meta *ret)
{
	unsigned char head[4];
	if (size <= 4 || offset >= reader->size || size > reader->size - offset) {
		return 0;
	}
	const int r = ur_reader_exactly(reader, head, sizeof head, offset);
	if (r < 0) {
		return r == -ENODATA ? 0 : r;
	}
	const uint64_t skip = 4 + big(head, 4);
	return skip < size ? ur_exif_read(reader, offset + skip, size - skip, ret) : 0;
}

int ur_container_picture(const struct ur_reader *reader, struct ur_meta *ret)
{
	struct span meta;
	unsigned char *bytes = NULL;
	int r = span_find(reader, 0, reader->size, FOURCC('m', 'e', 't', 'a'), &meta);
	if (r <= 0) {
		return r;
	}
	r = load(reader, &meta, &bytes);
	if (bytes == NULL) {
		return r;
	}
	struct bytes box = {bytes, (size_t)meta.size};
	struct bytes iinf;
	struct bytes iloc;
	struct bytes idat = {0};
	struct place place;
	uint64_t item = 0;
	skip_version(&box);
	(void)find_box(box, FOURCC('i', 'd', 'a', 't'), &idat);
	if (find_box(box, FOURCC('i', 'i', 'n', 'f'), &iinf) && exif_item(iinf, &item) &&
		find_box(box, FOURCC('i', 'l', 'o', 'c'), &iloc) &&
		find_place(iloc, item, &place)) {
		const uint64_t start =
			idat.at == NULL ? 0 : meta.offset + (uint64_t)(idat.at - bytes);
		if (!place.in_idat) {
			r = read_exif(reader, place.offset, place.size, ret);
		} else if (place.offset < idat.size) {
			r = read_exif(reader, start + place.offset, place.size, ret);
		}
	}
	free(bytes);
	return r;
}

int ur_container_jxl(const struct ur_reader *reader, struct ur_meta *ret)
{
	struct span exif;
	const int r = span_find(reader, 0, reader->size, FOURCC('E', 'x', 'i', 'f'), &exif);
	return r > 0 ? read_exif(reader, exif.offset, exif.size, ret) : r;
}

int ur_container_cr3(const struct ur_reader *reader, struct ur_meta *ret)
{
	static const unsigned char canon[16] = {0x85, 0xc0, 0xb6, 0x87, 0x82, 0x0f, 0x11, 0xe0,
		0x81, 0x11, 0xf4, 0xce, 0x46, 0x2b, 0x6a, 0x48};
	unsigned char id[16] = {0};
	struct span moov;
	struct span uuid;
	struct span exif;
	int r = span_find(reader, 0, reader->size, FOURCC('m', 'o', 'o', 'v'), &moov);
	if (r <= 0) {
		return r;
	}
	const uint64_t end = moov.offset + moov.size;
	r = span_find(reader, moov.offset, end, FOURCC('u', 'u', 'i', 'd'), &uuid);
	if (r <= 0 || uuid.size < sizeof id) {
		return r < 0 ? r : 0;
	}
	r = ur_reader_exactly(reader, id, sizeof id, uuid.offset);
	if (r < 0 || memcmp(id, canon, sizeof id) != 0) {
		return r == -ENODATA ? 0 : r;
	}
	r = span_find(reader, uuid.offset + sizeof id, uuid.offset + uuid.size,
		FOURCC('C', 'M', 'T', '2'), &exif);
	return r > 0 ? ur_exif_read(reader, exif.offset, exif.size, ret) : r;
}
