/* tus - strict reading: what is not exactly what the protocol says is refused with a sentence. */
#include "engine/net/tus.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEYS_MAX 64u                                    // pairs of one header
#define VALUE_MAX ((size_t)UR_TUS_METADATA_MAX / 4 * 3) // bytes that a header can encode
#define SHA1_BYTES 20u
#define XXH_BYTES 16u

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int ur_tus_number(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	bool too_large = false;
	if (*text == '\0') {
		return -EBADMSG;
	}
	for (; *text != '\0'; text++) {
		if (!is_digit(*text)) {
			return -EBADMSG;
		}
		const uint64_t digit = (uint64_t)(*text - '0');
		too_large = too_large || value > (UR_TUS_LENGTH_MAX - digit) / 10;
		value = too_large ? value : value * 10 + digit;
	}
	if (too_large) {
		return -EMSGSIZE;
	}
	*ret = value;
	return 0;
}

bool ur_tus_is_id(const char *text)
{
	size_t size = 0;
	for (; size <= 32 && text[size] != '\0'; size++) {
		if (!is_digit(text[size]) && !(text[size] >= 'a' && text[size] <= 'f')) {
			return false;
		}
	}
	return size == 32;
}

/**
 * Base64 in its one spelling: padded, no bit set that means nothing.  The size, or -EBADMSG.
 */
static long decode(const char *text, size_t size, void *ret, size_t room)
{
	char copy[UR_TUS_METADATA_MAX + 1];
	char again[UR_BASE64_ROOM(VALUE_MAX)];
	if (size >= sizeof copy || memchr(text, '\0', size) != NULL) {
		return -EBADMSG;
	}
	memcpy(copy, text, size);
	copy[size] = '\0';
	const long bytes = ur_unbase64(copy, ret, room < VALUE_MAX ? room : VALUE_MAX);
	if (bytes < 0) {
		return -EBADMSG;
	}
	ur_base64(ret, (size_t)bytes, again);
	return strcmp(copy, again) == 0 ? bytes : -EBADMSG;
}

/* ---- checksums ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t size;
} algorithms[] = {
	[UR_TUS_NONE] = {"", 0},
	[UR_TUS_SHA1] = {"sha1", SHA1_BYTES},
	[UR_TUS_XXH128] = {"xxh128", XXH_BYTES},
};
#define ALGORITHMS (sizeof algorithms / sizeof *algorithms)

static int malformed_checksum(struct ur_err *err, const char *why)
{
	return ur_err_say(
		err, -EBADMSG, UR_FAULT_FILE, "Upload-Checksum: %s, as in \"sha1 BASE64\"", why);
}

static enum ur_tus_algorithm algorithm_named(const char *name, size_t size)
{
	for (size_t i = UR_TUS_SHA1; i < ALGORITHMS; i++) {
		if (strlen(algorithms[i].name) == size &&
			memcmp(algorithms[i].name, name, size) == 0) {
			return (enum ur_tus_algorithm)i;
		}
	}
	return UR_TUS_NONE;
}

int ur_tus_checksum_read(const char *value, struct ur_tus_checksum *ret, struct ur_err *err)
{
	struct ur_tus_checksum read = {.algorithm = UR_TUS_NONE};
	uint8_t bytes[VALUE_MAX];
	const char *space = strchr(value, ' ');
	if (space == NULL || space == value) {
		return malformed_checksum(err, "needs an algorithm, a space and a checksum");
	}
	for (const char *c = value; c < space; c++) {
		if (*c < '!' || *c > '~') {
			return malformed_checksum(err, "the algorithm's name is plain ASCII");
		}
	}
	const long size = decode(space + 1, strlen(space + 1), bytes, sizeof bytes);
	if (size < 0) {
		return malformed_checksum(err, "the checksum is Base64 with padding");
	}
	read.algorithm = algorithm_named(value, (size_t)(space - value));
	if (read.algorithm == UR_TUS_NONE) {
		return ur_err_say(err, -ENOTSUP, UR_FAULT_FILE,
			"Upload-Checksum: the algorithms here are " UR_TUS_CHECKSUMS);
	}
	read.size = algorithms[read.algorithm].size;
	if ((size_t)size != read.size) {
		return ur_err_say(err, -EBADMSG, UR_FAULT_FILE,
			"Upload-Checksum: %s has %zu bytes, these are %ld",
			algorithms[read.algorithm].name, read.size, size);
	}
	memcpy(read.bytes, bytes, read.size);
	*ret = read;
	return 0;
}

void ur_tus_checksum_write(const struct ur_tus_checksum *checksum, char ret[64])
{
	char base64[UR_BASE64_ROOM(SHA1_BYTES)];
	assert(checksum->algorithm != UR_TUS_NONE);
	assert(checksum->size == algorithms[checksum->algorithm].size);
	ur_base64(checksum->bytes, checksum->size, base64);
	(void)snprintf(ret, 64, "%s %s", algorithms[checksum->algorithm].name, base64);
}

/* ---- metadata: one value --------------------------------------------------------------------- */

/** A decoded value; `bytes` has a NUL behind it. */
struct value {
	const char *key; // one of ours
	const char *bytes;
	size_t size;
};

static int refuse(const struct value *value, struct ur_err *err, const char *why)
{
	return ur_err_say(
		err, -EBADMSG, UR_FAULT_FILE, "Upload-Metadata: \"%s\" %s", value->key, why);
}

static bool has_controls(const struct value *value)
{
	for (size_t i = 0; i < value->size; i++) {
		const unsigned char c = (unsigned char)value->bytes[i];
		if (c < 0x20 || c == 0x7f) {
			return true;
		}
	}
	return false;
}

/** Text that becomes a form field: UTF-8 without control bytes, and short enough. */
static int read_text(const struct value *value, char *ret, size_t room, struct ur_err *err)
{
	if (has_controls(value)) {
		return refuse(value, err, "has control bytes in it (a line's end, a NUL)");
	}
	if (!ur_utf8_valid(value->bytes, value->size)) {
		return refuse(value, err, "is not UTF-8");
	}
	if (value->size >= room) {
		return ur_err_say(err, -EBADMSG, UR_FAULT_FILE,
			"Upload-Metadata: \"%s\" has %zu bytes, at most %zu are taken", value->key,
			value->size, room - 1);
	}
	memcpy(ret, value->bytes, value->size + 1);
	return 0;
}

static int read_date(const struct value *value, char *ret, size_t room, struct ur_err *err)
{
	int64_t ns = 0;
	bool zoned = false;
	const int r = read_text(value, ret, room, err);
	if (r < 0 || ret[0] == '\0') {
		return r;
	}
	return ur_clock_parse_iso(ret, &ns, &zoned) < 0
		       ? refuse(value, err, "is no date, as in 2024-05-06T07:08:09.123Z")
		       : 0;
}

static int read_sha1(const struct value *value, struct ur_tus_metadata *ret, struct ur_err *err)
{
	uint8_t sha1[SHA1_BYTES];
	if (!(value->size == 2 * sizeof sha1 && strlen(value->bytes) == value->size &&
		    ur_unhex(value->bytes, sizeof sha1, sha1)) &&
		decode(value->bytes, value->size, sha1, sizeof sha1) != (long)sizeof sha1) {
		return refuse(value, err, "is no SHA-1: 40 hexadecimal digits, or Base64");
	}
	if (ret->has_sha1 && memcmp(ret->sha1, sha1, sizeof sha1) != 0) {
		return refuse(value, err, "is not the SHA-1 that another field names");
	}
	ret->has_sha1 = true;
	memcpy(ret->sha1, sha1, sizeof sha1);
	return 0;
}

static bool is_uuid(const char *text)
{
	size_t i = 0;
	for (; i < 36 && text[i] != '\0'; i++) {
		const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		const char low = (char)(text[i] | 0x20);
		if (dash ? text[i] != '-' : !is_digit(text[i]) && !(low >= 'a' && low <= 'f')) {
			return false;
		}
	}
	return i == 36 && text[i] == '\0';
}

static int read_uuid(const struct value *value, char ret[37], struct ur_err *err)
{
	const int r = read_text(value, ret, 37, err);
	return r < 0 || ret[0] == '\0' || is_uuid(ret) ? r
						       : refuse(value, err, "is no id of an asset");
}

static int read_upload(const struct value *value, char ret[33], struct ur_err *err)
{
	const int r = read_text(value, ret, 33, err);
	return r < 0 || ret[0] == '\0' || ur_tus_is_id(ret)
		       ? r
		       : refuse(value, err, "is no id of an upload: 32 hexadecimal digits");
}

/** The index of the word, or an error that names them all. */
static int read_word(
	const struct value *value, const char *const words[], const char *all, struct ur_err *err)
{
	for (int i = 0; words[i] != NULL; i++) {
		if (strlen(words[i]) == value->size &&
			memcmp(words[i], value->bytes, value->size) == 0) {
			return i;
		}
	}
	return refuse(value, err, all);
}

/* ---- metadata: which value ------------------------------------------------------------------- */

enum field {
	FILENAME,
	NAME,
	FILETYPE,
	TYPE,
	CHECKSUM,
	SHA1,
	CREATED,
	MODIFIED,
	DEVICE_ASSET,
	DEVICE,
	LIVE_MOVIE,
	MOVIE_UPLOAD,
	SIDECAR_UPLOAD,
	ROLE,
	FAVORITE,
	VISIBILITY,
	FIELDS,
};

static const char *const field_names[FIELDS] = {
	[FILENAME] = "filename",
	[NAME] = "name",
	[FILETYPE] = "filetype",
	[TYPE] = "type",
	[CHECKSUM] = "checksum",
	[SHA1] = "sha1",
	[CREATED] = "fileCreatedAt",
	[MODIFIED] = "fileModifiedAt",
	[DEVICE_ASSET] = "deviceAssetId",
	[DEVICE] = "deviceId",
	[LIVE_MOVIE] = "livePhotoVideoId",
	[MOVIE_UPLOAD] = "livePhotoVideo",
	[SIDECAR_UPLOAD] = "sidecar",
	[ROLE] = "role",
	[FAVORITE] = "isFavorite",
	[VISIBILITY] = "visibility",
};

static const char *const roles[] = {"asset", "sidecar", NULL};
static const char *const answers[] = {"false", "true", NULL};
static const char *const visibilities[] = {"timeline", "archive", "hidden", "locked", NULL};

/** Of two names for the same, the first of the enumeration wins when it says something. */
static int read_either(
	const struct value *value, bool wins, char *ret, size_t room, struct ur_err *err)
{
	char text[UR_TUS_NAME_MAX] = "";
	assert(room <= sizeof text);
	const int r = read_text(value, text, room, err);
	if (r == 0 && text[0] != '\0' && (wins || ret[0] == '\0')) {
		memset(ret, 0, room);
		memcpy(ret, text, value->size);
	}
	return r;
}

static int read_words(enum field field, const struct value *value, struct ur_tus_metadata *ret,
	struct ur_err *err)
{
	int r = 0;
	if (value->size == 0) {
		return 0; // named, and nothing said
	}
	if (field == ROLE) {
		r = read_word(value, roles, "is \"asset\" or \"sidecar\"", err);
		ret->is_sidecar = r == 1;
	} else if (field == FAVORITE) {
		r = read_word(value, answers, "is \"true\" or \"false\"", err);
		ret->favorite = r == 1;
	} else {
		r = read_word(value, visibilities,
			"is \"timeline\", \"archive\", \"hidden\" or \"locked\"", err);
		if (r >= 0) {
			(void)snprintf(
				ret->visibility, sizeof ret->visibility, "%s", visibilities[r]);
		}
	}
	return r < 0 ? r : 0;
}

static int read_field(enum field field, const struct value *value, struct ur_tus_metadata *ret,
	struct ur_err *err)
{
	switch (field) {
	case FILENAME:
	case NAME:
		return read_either(
			value, field == FILENAME, ret->filename, sizeof ret->filename, err);
	case FILETYPE:
	case TYPE:
		return read_either(value, field == FILETYPE, ret->type, sizeof ret->type, err);
	case CHECKSUM:
	case SHA1:
		return value->size == 0 ? 0 : read_sha1(value, ret, err);
	case CREATED:
		return read_date(value, ret->created, sizeof ret->created, err);
	case MODIFIED:
		return read_date(value, ret->modified, sizeof ret->modified, err);
	case DEVICE_ASSET:
		return read_text(value, ret->device_asset, sizeof ret->device_asset, err);
	case DEVICE:
		return read_text(value, ret->device, sizeof ret->device, err);
	case LIVE_MOVIE:
		return read_uuid(value, ret->live_movie, err);
	case MOVIE_UPLOAD:
		return read_upload(value, ret->movie_upload, err);
	case SIDECAR_UPLOAD:
		return read_upload(value, ret->sidecar_upload, err);
	case ROLE:
	case FAVORITE:
	case VISIBILITY:
		return read_words(field, value, ret, err);
	case FIELDS:
		break;
	}
	return 0; // a field that is not ours
}

/* ---- metadata: the header -------------------------------------------------------------------- */

struct pair {
	const char *key;
	size_t key_size;
	const char *base64; // NULL without
	size_t base64_size;
};

static int malformed_pair(size_t number, struct ur_err *err, const char *why)
{
	return ur_err_say(
		err, -EBADMSG, UR_FAULT_FILE, "Upload-Metadata: pair %zu %s", number, why);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/** Splits [from, to) at its one space; white space around it is the comma's. */
static int split_pair(
	const char *from, const char *to, size_t number, struct pair *ret, struct ur_err *err)
{
	while (from < to && is_blank(*from)) {
		from++;
	}
	while (from < to && is_blank(to[-1])) {
		to--;
	}
	const char *space = memchr(from, ' ', (size_t)(to - from));
	const char *end = space == NULL ? to : space;
	*ret = (struct pair){.key = from, .key_size = (size_t)(end - from)};
	if (ret->key_size == 0) {
		return malformed_pair(number, err, "has no key");
	}
	for (const char *c = from; c < end; c++) {
		if (*c < '!' || *c > '~') {
			return malformed_pair(number, err, "has a key that is not plain ASCII");
		}
	}
	if (space != NULL) {
		ret->base64 = space + 1;
		ret->base64_size = (size_t)(to - ret->base64);
	}
	return 0;
}

static bool is_known(const struct pair pairs[], size_t count, const struct pair *pair)
{
	for (size_t i = 0; i < count; i++) {
		if (pairs[i].key_size == pair->key_size &&
			memcmp(pairs[i].key, pair->key, pair->key_size) == 0) {
			return true;
		}
	}
	return false;
}

static enum field field_of(const struct pair *pair)
{
	int i = 0;
	while (i < FIELDS && (strlen(field_names[i]) != pair->key_size ||
				     memcmp(field_names[i], pair->key, pair->key_size) != 0)) {
		i++;
	}
	return (enum field)i;
}

static int read_pair(
	const struct pair *pair, size_t number, struct ur_tus_metadata *ret, struct ur_err *err)
{
	char bytes[VALUE_MAX + 1];
	const long size = pair->base64 == NULL
				  ? 0
				  : decode(pair->base64, pair->base64_size, bytes, VALUE_MAX);
	if (size < 0) {
		return malformed_pair(number, err, "has a value that is not Base64 with padding");
	}
	bytes[size] = '\0';
	const enum field field = field_of(pair);
	const struct value value = {
		.key = field == FIELDS ? NULL : field_names[field],
		.bytes = bytes,
		.size = (size_t)size,
	};
	return read_field(field, &value, ret, err);
}

int ur_tus_metadata_read(const char *value, struct ur_tus_metadata *ret, struct ur_err *err)
{
	struct ur_tus_metadata read = {0};
	struct pair pairs[KEYS_MAX];
	size_t count = 0;
	if (strlen(value) > UR_TUS_METADATA_MAX) {
		return ur_err_say(err, -EBADMSG, UR_FAULT_FILE,
			"Upload-Metadata: more than %u bytes", UR_TUS_METADATA_MAX);
	}
	const char *from = value;
	for (bool more = *value != '\0'; more;) {
		const char *comma = strchrnul(from, ',');
		if (count == KEYS_MAX) {
			return ur_err_say(err, -EBADMSG, UR_FAULT_FILE,
				"Upload-Metadata: more than %u pairs", KEYS_MAX);
		}
		int r = split_pair(from, comma, count + 1, &pairs[count], err);
		if (r == 0 && is_known(pairs, count, &pairs[count])) {
			r = malformed_pair(count + 1, err, "has a key that stood there before");
		}
		r = r < 0 ? r : read_pair(&pairs[count], count + 1, &read, err);
		if (r < 0) {
			return r;
		}
		count++;
		more = *comma == ',';
		from = comma + 1;
	}
	*ret = read;
	return 0;
}

void ur_tus_metadata_add(struct ur_text *value, const char *key, const char *bytes, size_t size)
{
	char base64[UR_BASE64_ROOM(VALUE_MAX)];
	assert(size <= VALUE_MAX);
	assert(*key != '\0' && strpbrk(key, " ,") == NULL);
	ur_text_adds(value, value->size > 0 ? "," : "");
	ur_text_adds(value, key);
	if (size > 0) {
		ur_base64(bytes, size, base64);
		ur_text_addf(value, " %s", base64);
	}
}
