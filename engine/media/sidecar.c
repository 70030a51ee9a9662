/*
 * sidecar - a walk over RDF that knows its place.
 *
 *     rdf:RDF                       depth 0
 *       rdf:Description  a="…"      depth 1: attributes are properties
 *         dc:subject                depth 2: a property; its text is a value
 *           rdf:Bag                 depth 3
 *             rdf:li                depth 4: its text is a value of the property
 *
 * Only these depths count, so that a property of some structure deeper down (a face region, an
 * edit's history) is never mistaken for one of the picture.
 */
#include "engine/media/sidecar.h"

#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/media/meta.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64 // elements inside each other
#define RDF "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
#define XML_LANG "http://www.w3.org/XML/1998/namespace lang"

enum property {
	P_NONE,
	P_DATE_ORIGINAL,
	P_DATE_CREATED,
	P_DATE_XMP,
	P_LATITUDE,
	P_LONGITUDE,
	P_DESCRIPTION,
	P_SUBJECT,
	P_TAGS_LIST,
	P_HIERARCHY,
	P_RATING,
};

static const struct {
	const char *name; // namespace, a space, the local name
	enum property property;
} properties[] = {
	{"http://ns.adobe.com/exif/1.0/ DateTimeOriginal", P_DATE_ORIGINAL},
	{"http://ns.adobe.com/photoshop/1.0/ DateCreated", P_DATE_CREATED},
	{"http://ns.adobe.com/xap/1.0/ CreateDate", P_DATE_XMP},
	{"http://ns.adobe.com/exif/1.0/ GPSLatitude", P_LATITUDE},
	{"http://ns.adobe.com/exif/1.0/ GPSLongitude", P_LONGITUDE},
	{"http://purl.org/dc/elements/1.1/ description", P_DESCRIPTION},
	{"http://purl.org/dc/elements/1.1/ subject", P_SUBJECT},
	{"http://www.digikam.org/ns/1.0/ TagsList", P_TAGS_LIST},
	{"http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject", P_HIERARCHY},
	{"http://ns.adobe.com/xap/1.0/ Rating", P_RATING},
};

struct tag {
	char *name;
	bool flat; // from dc:subject, where a hierarchy appears as its single words
};

struct walk {
	XML_Parser parser;
	struct ur_arena *arena;
	struct ur_sidecar *out;
	int depth;     // of elements
	int rdf_depth; // where rdf:RDF is, -1 outside
	bool is_xmp;
	enum property property; // the one we are in
	bool collecting;
	bool default_language; // of the text that is being collected
	bool has_default_description;
	enum property date_from;
	bool has_latitude;
	bool has_longitude;
	struct ur_text value;
	size_t tag_count;
	struct tag tags[UR_SIDECAR_TAGS_MAX];
	int code;        // why the walk was stopped
	const char *why; // in words
};

static void stop(struct walk *walk, int code, const char *why)
{
	if (walk->code == 0) {
		walk->code = code;
		walk->why = why;
		(void)XML_StopParser(walk->parser, XML_FALSE);
	}
}

/* --- values --------------------------------------------------------------------------------- */

static char *keep(struct walk *walk, const char *text)
{
	char *kept = ur_arena_string(walk->arena, text);
	if (kept == NULL) {
		stop(walk, -ENOMEM, "no memory");
	}
	return kept;
}

/** Exif's own colons in the day, which some programs carry over, become XMP's dashes. */
static void take_date(struct walk *walk, enum property from, const char *text)
{
	char iso[64];
	int64_t ns = 0;
	bool zoned = false;
	const size_t size = strlen(text);
	/* The first property of the enumeration wins, wherever it stands. */
	if ((walk->out->has_date && walk->date_from <= from) || size < 10 || size >= sizeof iso) {
		return;
	}
	memcpy(iso, text, size + 1);
	if (iso[4] == ':' && iso[7] == ':') {
		iso[4] = '-';
		iso[7] = '-';
	}
	if (ur_clock_parse_iso(iso, &ns, &zoned) < 0) {
		return;
	}
	walk->out->date_text = keep(walk, text);
	walk->out->has_date = walk->out->date_text != NULL;
	walk->out->date_ns = ns;
	walk->out->date_zoned = zoned;
	walk->date_from = from;
}

/** "48,51.5N", "48,51,30N", and the plain "-2.2945" of a few programs. */
static bool read_angle(const char *text, char negative, const char *letters, double *ret)
{
	double sum = 0;
	double part = 0;
	double unit = 1;
	const bool minus = *text == '-';
	if (minus || *text == '+') {
		text++;
	}
	for (int i = 0; i < 3; i++) {
		if (!ur_meta_decimal(&text, &part)) {
			return false;
		}
		sum += part / unit;
		unit *= 60;
		if (*text != ',') {
			break;
		}
		text++;
	}
	const char letter = *text >= 'a' ? (char)(*text - 32) : *text;
	if (letter != '\0' && (strchr(letters, letter) == NULL || text[1] != '\0')) {
		return false;
	}
	*ret = minus || letter == negative ? -sum : sum;
	return true;
}

static void take_description(struct walk *walk, const char *text)
{
	if (*text == '\0' || (walk->out->description != NULL &&
				     (walk->has_default_description || !walk->default_language))) {
		return;
	}
	walk->out->description = keep(walk, text);
	walk->has_default_description = walk->default_language;
}

/** "-1" to "5"; some programs write "3.0". */
static void take_rating(struct walk *walk, const char *text)
{
	const bool minus = *text == '-';
	const char *digits = minus ? text + 1 : text;
	double value = 0;
	if (!ur_meta_decimal(&digits, &value) || *digits != '\0' || value > 5 ||
		(minus && value > 1)) {
		return;
	}
	walk->out->has_rating = true;
	walk->out->rating = minus ? -(int)value : (int)value;
}

static void take_tag(struct walk *walk, enum property from, const char *text)
{
	if (*text == '\0') {
		return;
	}
	if (walk->tag_count == UR_SIDECAR_TAGS_MAX) {
		stop(walk, -EINVAL, "more tags than a picture can have");
		return;
	}
	char *name = keep(walk, text);
	if (name == NULL) {
		return;
	}
	for (char *c = name; from == P_HIERARCHY && *c != '\0'; c++) {
		*c = *c == '|' ? '/' : *c;
	}
	walk->tags[walk->tag_count++] = (struct tag){name, from == P_SUBJECT};
}

/** Cuts white space off both ends, in place. */
static char *trim(char *text)
{
	static const char blank[] = " \t\r\n";
	text += strspn(text, blank);
	size_t size = strlen(text);
	while (size > 0 && strchr(blank, text[size - 1]) != NULL) {
		size--;
	}
	text[size] = '\0';
	return text;
}

static void take_value(struct walk *walk, enum property property, char *value)
{
	char *text = trim(value);
	switch (property) {
	case P_NONE:
		return;
	case P_DATE_ORIGINAL:
	case P_DATE_CREATED:
	case P_DATE_XMP:
		take_date(walk, property, text);
		return;
	case P_LATITUDE:
		walk->has_latitude = read_angle(text, 'S', "NS", &walk->out->latitude);
		return;
	case P_LONGITUDE:
		walk->has_longitude = read_angle(text, 'W', "EW", &walk->out->longitude);
		return;
	case P_DESCRIPTION:
		take_description(walk, text);
		return;
	case P_SUBJECT:
	case P_TAGS_LIST:
	case P_HIERARCHY:
		take_tag(walk, property, text);
		return;
	case P_RATING:
		take_rating(walk, text);
		return;
	}
}

/* --- the walk ------------------------------------------------------------------------------- */

static enum property property_of(const char *name)
{
	for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
		if (strcmp(name, properties[i].name) == 0) {
			return properties[i].property;
		}
	}
	return P_NONE;
}

static void take_attributes(struct walk *walk, const char **attributes)
{
	for (size_t i = 0; attributes[i] != NULL; i += 2) {
		const enum property property = property_of(attributes[i]);
		if (property == P_NONE) {
			continue;
		}
		if (strlen(attributes[i + 1]) > UR_SIDECAR_VALUE_MAX) {
			stop(walk, -EINVAL, "a value that is too long");
			return;
		}
		ur_text_clear(&walk->value);
		ur_text_adds(&walk->value, attributes[i + 1]);
		if (!ur_text_ok(&walk->value)) {
			stop(walk, -ENOMEM, "no memory");
			return;
		}
		walk->default_language = true;
		if (walk->value.size > 0) {
			take_value(walk, property, walk->value.bytes);
		}
	}
}

static void collect(struct walk *walk, const char **attributes)
{
	walk->collecting = true;
	walk->default_language = false;
	for (size_t i = 0; attributes[i] != NULL; i += 2) {
		if (strcmp(attributes[i], XML_LANG) == 0) {
			walk->default_language = strcmp(attributes[i + 1], "x-default") == 0;
		}
	}
	ur_text_clear(&walk->value);
}

static void XMLCALL on_start(void *context, const char *name, const char **attributes)
{
	struct walk *walk = context;
	const int inside = walk->rdf_depth < 0 ? -1 : walk->depth - walk->rdf_depth;
	if (++walk->depth > DEPTH_MAX) {
		stop(walk, -EINVAL, "elements that are nested too deeply");
		return;
	}
	if (walk->rdf_depth < 0) {
		if (strcmp(name, RDF " RDF") == 0) {
			walk->rdf_depth = walk->depth;
			walk->is_xmp = true;
		}
		return;
	}
	walk->collecting = false;
	if (inside == 0) {
		take_attributes(walk, attributes);
	} else if (inside == 1) {
		walk->property = property_of(name);
		collect(walk, attributes);
	} else if (inside == 3 && strcmp(name, RDF " li") == 0) {
		collect(walk, attributes);
	}
}

static void XMLCALL on_end(void *context, const char *name)
{
	(void)name;
	struct walk *walk = context;
	if (walk->collecting && walk->value.size > 0) {
		take_value(walk, walk->property, walk->value.bytes);
	}
	walk->collecting = false;
	ur_text_clear(&walk->value);
	if (walk->rdf_depth == walk->depth) {
		walk->rdf_depth = -1;
	} else if (walk->rdf_depth >= 0 && walk->depth - walk->rdf_depth == 2) {
		walk->property = P_NONE;
	}
	walk->depth--;
}

static void XMLCALL on_text(void *context, const char *text, int size)
{
	struct walk *walk = context;
	if (!walk->collecting || walk->property == P_NONE) {
		return;
	}
	ur_text_add(&walk->value, text, (size_t)size);
	if (!ur_text_ok(&walk->value)) {
		stop(walk, -ENOMEM, "no memory");
	} else if (walk->value.size > UR_SIDECAR_VALUE_MAX) {
		stop(walk, -EINVAL, "a value that is too long");
	}
}

static void XMLCALL on_doctype(
	void *context, const char *name, const char *system_id, const char *public_id, int internal)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)internal;
	stop(context, -EINVAL, "a document type declaration, which XMP never has");
}

/* --- what comes of it ----------------------------------------------------------------------- */

/** Whether `word` is one of the steps of `path`, which has several. */
static bool is_step_of(const char *word, const char *path)
{
	const size_t size = strlen(word);
	if (strchr(path, '/') == NULL) {
		return false;
	}
	for (const char *step = path; step != NULL; step = strchr(step, '/')) {
		step += *step == '/';
		if (strncmp(step, word, size) == 0 && (step[size] == '/' || step[size] == '\0')) {
			return true;
		}
	}
	return false;
}

/** A tag that stood before, or a single word that a hierarchy already holds. */
static bool is_double(const struct walk *walk, size_t index)
{
	const struct tag *tag = &walk->tags[index];
	for (size_t i = 0; i < walk->tag_count; i++) {
		const struct tag *other = &walk->tags[i];
		if (i < index && strcmp(other->name, tag->name) == 0) {
			return true;
		}
		if (tag->flat && !other->flat && is_step_of(tag->name, other->name)) {
			return true;
		}
	}
	return false;
}

static int settle_tags(struct walk *walk)
{
	if (walk->tag_count == 0) {
		return 0;
	}
	char **tags = ur_arena_alloc(walk->arena, walk->tag_count * sizeof *tags);
	if (tags == NULL) {
		return -ENOMEM;
	}
	walk->out->tags = tags;
	for (size_t i = 0; i < walk->tag_count; i++) {
		if (!is_double(walk, i)) {
			tags[walk->out->tag_count++] = walk->tags[i].name;
		}
	}
	return 0;
}

static void settle_place(struct walk *walk)
{
	struct ur_meta meta = {0};
	if (walk->has_latitude && walk->has_longitude) {
		ur_meta_place(&meta, walk->out->latitude, walk->out->longitude);
	}
	walk->out->has_place = meta.has_place;
	walk->out->latitude = meta.latitude;
	walk->out->longitude = meta.longitude;
}

static int parse(struct walk *walk, const char *bytes, size_t size, struct ur_err *err)
{
	const enum XML_Status status = XML_Parse(walk->parser, bytes, (int)size, XML_TRUE);
	const unsigned long line = XML_GetCurrentLineNumber(walk->parser);
	if (walk->code == -ENOMEM || XML_GetErrorCode(walk->parser) == XML_ERROR_NO_MEMORY) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot read the sidecar");
	}
	if (walk->code < 0) {
		return ur_err_say(err, walk->code, UR_FAULT_FILE,
			"the sidecar is refused: line %lu has %s", line, walk->why);
	}
	if (status != XML_STATUS_OK) {
		return ur_err_say(err, -EINVAL, UR_FAULT_FILE,
			"the sidecar is not well-formed XML: %s in line %lu",
			XML_ErrorString(XML_GetErrorCode(walk->parser)), line);
	}
	if (!walk->is_xmp) {
		return ur_err_say(err, -EINVAL, UR_FAULT_FILE,
			"the sidecar is XML but not XMP: no rdf:RDF up to line %lu", line);
	}
	settle_place(walk);
	if (settle_tags(walk) < 0) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot read the sidecar");
	}
	return 0;
}

int ur_sidecar_parse(struct ur_arena *arena, const void *bytes, size_t size, struct ur_sidecar *ret,
	struct ur_err *err)
{
	if (size > UR_SIDECAR_MAX) {
		return ur_err_say(err, -EFBIG, UR_FAULT_FILE, "the sidecar is larger than %u MiB",
			UR_SIDECAR_MAX >> 20);
	}
	struct ur_sidecar out = {0};
	struct walk *walk = calloc(1, sizeof *walk);
	XML_Parser parser = XML_ParserCreateNS(NULL, ' ');
	int r = -ENOMEM;
	if (walk == NULL || parser == NULL) {
		r = ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot read the sidecar");
		goto done;
	}
	walk->parser = parser;
	walk->arena = arena;
	walk->out = &out;
	walk->rdf_depth = -1;
	XML_SetUserData(parser, walk);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	XML_SetStartDoctypeDeclHandler(parser, on_doctype);
	r = parse(walk, bytes, size, err);
	ur_text_done(&walk->value);
	if (r == 0) {
		*ret = out;
	}

done:
	if (parser != NULL) {
		XML_ParserFree(parser);
	}
	free(walk);
	return r;
}
