/* name - the last part, and an extension where there is none to go by; see the header. */
#include "engine/gateway/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/** Types as browsers and phones name them; what is not here is told by the content. */
static const struct {
	const char *type;
	const char *extension;
} types_of[] = {
	{"image/jpeg", "jpg"},
	{"image/jpg", "jpg"},
	{"image/pjpeg", "jpg"},
	{"image/png", "png"},
	{"image/gif", "gif"},
	{"image/webp", "webp"},
	{"image/heic", "heic"},
	{"image/heif", "heif"},
	{"image/avif", "avif"},
	{"image/tiff", "tiff"},
	{"image/bmp", "bmp"},
	{"image/jxl", "jxl"},
	{"image/jp2", "jp2"},
	{"image/svg+xml", "svg"},
	{"image/x-adobe-dng", "dng"},
	{"image/x-canon-cr2", "cr2"},
	{"image/x-canon-cr3", "cr3"},
	{"image/x-nikon-nef", "nef"},
	{"image/x-sony-arw", "arw"},
	{"video/mp4", "mp4"},
	{"video/quicktime", "mov"},
	{"video/webm", "webm"},
	{"video/x-matroska", "mkv"},
	{"video/3gpp", "3gp"},
	{"video/x-msvideo", "avi"},
	{"video/mpeg", "mpg"},
	{"video/mp2t", "mts"},
	{"video/x-m4v", "m4v"},
};

/** Up to a ';', in any case of letters. */
static const char *extension_of_type(const char *type)
{
	const size_t size = strcspn(type, "; ");
	for (size_t i = 0; i < sizeof types_of / sizeof *types_of; i++) {
		if (strlen(types_of[i].type) == size &&
			strncasecmp(types_of[i].type, type, size) == 0) {
			return types_of[i].extension;
		}
	}
	return "";
}

/** Behind the last slash; of a Windows path, and of nothing else, behind the last backslash. */
static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *last = slash == NULL ? name : slash + 1;
	const bool windows =
		(isalpha((unsigned char)last[0]) && last[1] == ':' && last[2] == '\\') ||
		(last[0] == '\\' && last[1] == '\\');
	return windows ? strrchr(last, '\\') + 1 : last;
}

static const char *extension_of(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot == NULL || dot == name ? "" : dot + 1;
}

static bool is_taken(const char *name, const struct ur_types *types)
{
	const char *extension = extension_of(name);
	return types != NULL ? ur_types_class(types, name) != UR_CLASS_NONE
			     : ur_kind_usual_extension(extension, strlen(extension));
}

void ur_name_of(const struct ur_tus_metadata *said, const struct ur_types *types,
	const struct ur_kind *kind, char ret[UR_NAME_MAX])
{
	const char *name = last_part(said->filename);
	const bool nameless = name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
	name = nameless ? "upload" : name;
	const char *extension = extension_of_type(said->type);
	const bool shown =
		kind != NULL && (kind->class == UR_CLASS_IMAGE || kind->class == UR_CLASS_VIDEO);
	if (extension[0] == '\0' && shown && extension_of(name)[0] == '\0') {
		extension = kind->extension;
	}
	const bool adds = extension[0] != '\0' && !is_taken(name, types);
	(void)snprintf(ret, UR_NAME_MAX, "%.*s%s%.6s", (int)(UR_TUS_NAME_MAX - 1), name,
		adds ? "." : "", adds ? extension : "");
}

enum ur_name_says ur_name_judge(const char *name, const struct ur_types *types)
{
	if (is_taken(name, types)) {
		return UR_NAME_TAKEN;
	}
	return types == NULL || extension_of(name)[0] == '\0' ? UR_NAME_OPEN : UR_NAME_REFUSED;
}
