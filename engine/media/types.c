/*
 * types - the server's list of extensions, and the judgement about one file.
 *
 * Beside the class each usual extension has a family: the forms of content that really travel
 * under that name.  Most raw formats are TIFF inside, and a .mov from a camera is often an MP4;
 * only content of another family is worth a warning.
 */
#include "engine/base/text.h"
#include "engine/media/kind.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum family {
	F_ANY, // several unrelated forms use the name, or nothing is known about it
	F_JPEG,
	F_PNG,
	F_GIF,
	F_BMP,
	F_PSD,
	F_WEBP,
	F_HEIF,
	F_AVIF,
	F_JP2,
	F_JXL,
	F_SVG,
	F_TIFF, // and the raw formats that are built like it
	F_CR3,
	F_CRW,
	F_RAF,
	F_MRW,
	F_X3F,
	F_MP4,
	F_AVI,
	F_EBML,
	F_TS,
	F_PS,
	F_MXF,
	F_ASF,
	F_FLV,
	F_XMP,
};

struct usual {
	char extension[8];
	enum ur_class class;
	enum family family;
};

#define IMAGE UR_CLASS_IMAGE
#define VIDEO UR_CLASS_VIDEO

/* In the order of the alphabet: it is searched by halves. */
static const struct usual usual[] = {
	{"3fr", IMAGE, F_TIFF},
	{"3gp", VIDEO, F_MP4},
	{"3gpp", VIDEO, F_MP4},
	{"ari", IMAGE, F_ANY},
	{"arw", IMAGE, F_TIFF},
	{"avi", VIDEO, F_AVI},
	{"avif", IMAGE, F_AVIF},
	{"bmp", IMAGE, F_BMP},
	{"cap", IMAGE, F_ANY},
	{"cin", IMAGE, F_ANY},
	{"cr2", IMAGE, F_TIFF},
	{"cr3", IMAGE, F_CR3},
	{"crw", IMAGE, F_CRW},
	{"dcr", IMAGE, F_TIFF},
	{"dng", IMAGE, F_TIFF},
	{"erf", IMAGE, F_TIFF},
	{"fff", IMAGE, F_TIFF},
	{"flv", VIDEO, F_FLV},
	{"gif", IMAGE, F_GIF},
	{"heic", IMAGE, F_HEIF},
	{"heif", IMAGE, F_HEIF},
	{"hif", IMAGE, F_HEIF},
	{"iiq", IMAGE, F_TIFF},
	{"insp", IMAGE, F_JPEG},
	{"insv", VIDEO, F_MP4},
	{"jp2", IMAGE, F_JP2},
	{"jpe", IMAGE, F_JPEG},
	{"jpeg", IMAGE, F_JPEG},
	{"jpg", IMAGE, F_JPEG},
	{"jxl", IMAGE, F_JXL},
	{"k25", IMAGE, F_TIFF},
	{"kdc", IMAGE, F_TIFF},
	{"m2t", VIDEO, F_TS},
	{"m2ts", VIDEO, F_TS},
	{"m4v", VIDEO, F_MP4},
	{"mkv", VIDEO, F_EBML},
	{"mov", VIDEO, F_MP4},
	{"mp4", VIDEO, F_MP4},
	{"mpe", VIDEO, F_PS},
	{"mpeg", VIDEO, F_PS},
	{"mpg", VIDEO, F_PS},
	{"mrw", IMAGE, F_MRW},
	{"mts", VIDEO, F_TS},
	{"mxf", VIDEO, F_MXF},
	{"nef", IMAGE, F_TIFF},
	{"nrw", IMAGE, F_TIFF},
	{"orf", IMAGE, F_TIFF},
	{"ori", IMAGE, F_TIFF},
	{"pef", IMAGE, F_TIFF},
	{"png", IMAGE, F_PNG},
	{"psd", IMAGE, F_PSD},
	{"raf", IMAGE, F_RAF},
	{"raw", IMAGE, F_ANY},
	{"rw2", IMAGE, F_TIFF},
	{"rwl", IMAGE, F_TIFF},
	{"sr2", IMAGE, F_TIFF},
	{"srf", IMAGE, F_TIFF},
	{"srw", IMAGE, F_TIFF},
	{"svg", IMAGE, F_SVG},
	{"tif", IMAGE, F_TIFF},
	{"tiff", IMAGE, F_TIFF},
	{"ts", VIDEO, F_TS},
	{"vob", VIDEO, F_PS},
	{"webm", VIDEO, F_EBML},
	{"webp", IMAGE, F_WEBP},
	{"wmv", VIDEO, F_ASF},
	{"x3f", IMAGE, F_X3F},
	{"xmp", UR_CLASS_SIDECAR, F_XMP},
};

#undef IMAGE
#undef VIDEO

#define USUAL (sizeof usual / sizeof *usual)
static_assert(USUAL <= UR_TYPES_MAX, "the usual list must fit");

static int compare_usual(const void *extension, const void *entry)
{
	return strcasecmp(extension, ((const struct usual *)entry)->extension);
}

static enum family family_of(const char *extension)
{
	const struct usual *entry = bsearch(extension, usual, USUAL, sizeof *usual, compare_usual);
	return entry != NULL ? entry->family : F_ANY;
}

bool ur_kind_usual_extension(const char *extension, size_t size)
{
	char name[UR_TYPES_NAME];
	if (size == 0 || size >= sizeof name) {
		return false;
	}
	memcpy(name, extension, size);
	name[size] = '\0';
	return strcasecmp(name, "mp") == 0 ||
	       bsearch(name, usual, USUAL, sizeof *usual, compare_usual) != NULL;
}

/* --- the list ------------------------------------------------------------------------------- */

struct type {
	char extension[UR_TYPES_NAME]; // lower case, without the dot
	enum ur_class class;
};

struct ur_types {
	size_t count;
	struct type list[UR_TYPES_MAX]; // sorted
};

int ur_types_new(struct ur_types **ret)
{
	struct ur_types *types = calloc(1, sizeof *types);
	if (types == NULL) {
		return -ENOMEM;
	}
	*ret = types;
	return 0;
}

struct ur_types *ur_types_free(struct ur_types *types)
{
	free(types);
	return NULL;
}

/** Where `extension` is, or where it belongs. */
static size_t place_of(const struct ur_types *types, const char *extension)
{
	size_t low = 0;
	size_t high = types->count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (strcasecmp(types->list[middle].extension, extension) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

static const struct type *find_type(const struct ur_types *types, const char *extension)
{
	const size_t place = place_of(types, extension);
	if (place < types->count && strcasecmp(types->list[place].extension, extension) == 0) {
		return &types->list[place];
	}
	return NULL;
}

int ur_types_add(struct ur_types *types, enum ur_class class, const char *extension)
{
	const char *bare = extension[0] == '.' ? extension + 1 : extension;
	const size_t size = strlen(bare);
	if (size == 0 || size >= UR_TYPES_NAME || strpbrk(bare, "./\\ ") != NULL) {
		return -EINVAL;
	}
	const size_t place = place_of(types, bare);
	struct type *at = &types->list[place];
	if (place < types->count && strcasecmp(at->extension, bare) == 0) {
		at->class = class;
		return 0;
	}
	if (types->count == UR_TYPES_MAX) {
		return -ENOSPC;
	}
	memmove(at + 1, at, (types->count - place) * sizeof *at);
	types->count++;
	*at = (struct type){.class = class};
	for (size_t i = 0; i < size; i++) {
		at->extension[i] =
			(char)(bare[i] >= 'A' && bare[i] <= 'Z' ? bare[i] + 32 : bare[i]);
	}
	return 0;
}

int ur_types_add_usual(struct ur_types *types)
{
	for (size_t i = 0; i < USUAL; i++) {
		const int r = ur_types_add(types, usual[i].class, usual[i].extension);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/** The extension that counts when the file is sent; "" without one. */
static const char *extension_of(const char *name)
{
	const char *dot = strrchr(name, '.');
	if (dot == NULL) {
		return "";
	}
	return strcasecmp(dot, ".mp") == 0 ? "mp4" : dot + 1;
}

enum ur_class ur_types_class(const struct ur_types *types, const char *name)
{
	const char *extension = extension_of(name);
	const struct type *type = find_type(types, extension);
	return type != NULL ? type->class : UR_CLASS_NONE;
}

/* --- the judgement -------------------------------------------------------------------------- */

/** An extension as a message may show it: short, and without bytes that a terminal would obey. */
static void show_extension(const char *extension, char ret[UR_TYPES_NAME])
{
	size_t used = 0;
	for (; used < UR_TYPES_NAME - 1 && extension[used] != '\0'; used++) {
		const unsigned char c = (unsigned char)extension[used];
		ret[used] = (char)(c > 0x20 && c < 0x7f ? c : '?');
	}
	ret[used] = '\0';
}

static bool is_media(const struct ur_kind *kind)
{
	return kind->class == UR_CLASS_IMAGE || kind->class == UR_CLASS_VIDEO;
}

static enum ur_judgement refuse_extension(const struct ur_types *types, const char *extension,
	const struct ur_kind *kind, char *why, size_t why_size)
{
	char shown[UR_TYPES_NAME];
	char what[48];
	show_extension(extension, shown);
	if (shown[0] == '\0') {
		(void)snprintf(what, sizeof what, "a name without an extension");
	} else {
		(void)snprintf(what, sizeof what, "'.%s' files", shown);
	}
	if (is_media(kind) && find_type(types, kind->extension) != NULL) {
		(void)snprintf(why, why_size,
			"the server does not take %s; the content is %s, so let its name end in '.%s'",
			what, kind->said, kind->extension);
	} else {
		(void)snprintf(why, why_size, "the server does not take %s", what);
	}
	return UR_JUDGE_REFUSE;
}

static enum ur_judgement refuse_content(const char *extension, const char *wanted,
	const struct ur_kind *kind, char *why, size_t why_size)
{
	char shown[UR_TYPES_NAME];
	show_extension(extension, shown);
	(void)snprintf(why, why_size, "named '.%s', but the content is %s and no %s", shown,
		kind->said, wanted);
	return UR_JUDGE_REFUSE;
}

/** Whether content of this kind may travel under that extension. */
static bool agrees(const char *extension, const struct ur_kind *kind)
{
	const enum family named = family_of(extension);
	const enum family found = family_of(kind->extension);
	return named == F_ANY || found == F_ANY || named == found;
}

/** What is sure to be neither a picture nor a movie.  XML may be an SVG with a long prologue. */
static bool impostor(const char *extension, const struct ur_kind *kind)
{
	if (ur_kind_is_unknown(kind) || is_media(kind)) {
		return false;
	}
	return !(strcmp(kind->name, "xml") == 0 && family_of(extension) == F_SVG);
}

static enum ur_judgement judge_sidecar(
	const char *extension, const struct ur_kind *kind, char *why, size_t why_size)
{
	if (kind->class == UR_CLASS_SIDECAR || ur_kind_is_unknown(kind) ||
		strcmp(kind->name, "xml") == 0) {
		return UR_JUDGE_TAKE;
	}
	return refuse_content(extension, "sidecar", kind, why, why_size);
}

enum ur_judgement ur_kind_judge(const struct ur_types *types, const char *name,
	const struct ur_kind *kind, uint64_t file_size, bool cut_short, char *why, size_t why_size)
{
	const char *extension = extension_of(name);
	const enum ur_class class = ur_types_class(types, name);
	if (why_size > 0) {
		why[0] = '\0';
	}
	if (file_size == 0) {
		(void)snprintf(why, why_size, "the file is empty");
		return UR_JUDGE_REFUSE;
	}
	if (class == UR_CLASS_NONE) {
		return refuse_extension(types, extension, kind, why, why_size);
	}
	if (class == UR_CLASS_SIDECAR) {
		return judge_sidecar(extension, kind, why, why_size);
	}
	if (impostor(extension, kind)) {
		return refuse_content(extension, class == UR_CLASS_IMAGE ? "picture" : "movie",
			kind, why, why_size);
	}
	if (cut_short) {
		(void)snprintf(why, why_size,
			"the file ends too early: %s that was cut off, perhaps by a broken copy",
			kind->said);
		return UR_JUDGE_WARN;
	}
	if (!ur_kind_is_unknown(kind) && !agrees(extension, kind)) {
		char shown[UR_TYPES_NAME];
		show_extension(extension, shown);
		(void)snprintf(why, why_size, "named '.%s', but the content is %s ('.%s')", shown,
			kind->said, kind->extension);
		return UR_JUDGE_WARN;
	}
	return UR_JUDGE_TAKE;
}

/* --- the name ------------------------------------------------------------------------------- */

/** The form's field carries quotes, backslashes, newlines as they are; only UTF-8 it must be. */
static void add_code(struct ur_text *text, const unsigned char *bytes, size_t step)
{
	if (step == 0) {
		ur_text_adds(text, "\xef\xbf\xbd");
	} else {
		ur_text_add(text, bytes, step);
	}
}

/** Whether nothing stands before the only dot. */
static bool stem_is_empty(const char *name)
{
	return name[0] == '\0' || (name[0] == '.' && strchr(name + 1, '.') == NULL);
}

bool ur_kind_upload_name(const char *name, char *ret, size_t room, bool *changed)
{
	const size_t size = strlen(name);
	struct ur_text text = {0};
	if (stem_is_empty(name)) {
		ur_text_adds(&text, "unnamed");
	}
	for (size_t i = 0; i < size;) {
		const unsigned char *at = (const unsigned char *)name + i;
		uint32_t code = 0;
		const size_t step = ur_utf8_step(at, size - i, &code);
		add_code(&text, at, step);
		i += step > 0 ? step : 1;
	}
	const char *dot = strrchr(name, '.');
	if (dot != NULL && strcasecmp(dot, ".mp") == 0) {
		ur_text_adds(&text, ".MP4");
	}
	const bool fits = ur_text_ok(&text) && text.size < room;
	if (fits) {
		memcpy(ret, ur_text_get(&text), text.size + 1);
		*changed = strcmp(ret, name) != 0;
	}
	ur_text_done(&text);
	return fits;
}
