/* immich - jansson for what comes in, plain text for what goes out. */
#include "engine/net/immich.h"

#include "engine/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define DEVICE_ID "uringest"

/** The one table of what differs. */
static const struct {
	int major;
	struct ur_dialect dialect;
} dialects[] = {
	{2, {.name = "2.x", .device_fields = true}},
	{3, {.name = "3.x", .device_fields = false}},
};

static const struct ur_dialect *dialect_of(int major)
{
	const size_t last = sizeof dialects / sizeof *dialects - 1;
	for (size_t i = 0; i < last; i++) {
		if (major <= dialects[i].major) {
			return &dialects[i].dialect;
		}
	}
	return &dialects[last].dialect; // newer than known: the newest that is known
}

static json_t *load(const char *json, const char *what, struct ur_err *err)
{
	json_error_t error;
	json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &error);
	if (root == NULL) {
		(void)ur_err_say(err, -EBADMSG, UR_FAULT_WORLD,
			"the server's answer about %s is not JSON (line %d, column %d)", what,
			error.line, error.column);
	}
	return root;
}

static int lacks(struct ur_err *err, const char *what, const char *field)
{
	return ur_err_say(err, -EBADMSG, UR_FAULT_WORLD,
		"the server's answer about %s has no usable '%s'", what, field);
}

bool ur_immich_is_id(const char *text)
{
	if (text == NULL || strlen(text) != UR_ASSET_ID - 1) {
		return false;
	}
	for (size_t i = 0; i < UR_ASSET_ID - 1; i++) {
		const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i])) {
			return false;
		}
	}
	return true;
}

/** Copies an id out of `object`; false when it is not one. */
static bool copy_id(const json_t *object, const char *field, char ret[UR_ASSET_ID])
{
	const char *text = json_string_value(json_object_get(object, field));
	if (!ur_immich_is_id(text)) {
		return false;
	}
	memcpy(ret, text, UR_ASSET_ID);
	return true;
}

int ur_immich_read_version(const char *json, struct ur_server *ret, struct ur_err *err)
{
	json_t *root = load(json, "its version", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	const json_t *major = json_object_get(root, "major");
	const json_t *minor = json_object_get(root, "minor");
	int r = 0;
	if (!json_is_integer(major) || !json_is_integer(minor)) {
		r = lacks(err, "its version", "major");
	} else {
		ret->major = (int)json_integer_value(major);
		ret->minor = (int)json_integer_value(minor);
		ret->patch = (int)json_integer_value(json_object_get(root, "patch"));
		ret->dialect = dialect_of(ret->major);
		ret->in_range = ret->major == 3 || (ret->major == 2 && ret->minor >= 5);
	}
	json_decref(root);
	return r;
}

int ur_immich_read_user(const char *json, struct ur_server *ret, struct ur_err *err)
{
	json_t *root = load(json, "the user", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	int r = 0;
	if (!copy_id(root, "id", ret->user_id)) {
		r = lacks(err, "the user", "id");
	} else {
		const char *name = json_string_value(json_object_get(root, "name"));
		(void)snprintf(
			ret->user_name, sizeof ret->user_name, "%s", name == NULL ? "" : name);
		const json_t *quota = json_object_get(root, "quotaSizeInBytes");
		const json_t *used = json_object_get(root, "quotaUsageInBytes");
		ret->quota_bytes = json_is_integer(quota) ? json_integer_value(quota) : -1;
		ret->quota_used = json_is_integer(used) ? json_integer_value(used) : 0;
	}
	json_decref(root);
	return r;
}

static bool permits(const json_t *permissions, const char *wanted)
{
	size_t i = 0;
	const json_t *entry = NULL;
	json_array_foreach (permissions, i, entry) {
		const char *name = json_string_value(entry);
		if (name != NULL && (strcmp(name, "all") == 0 || strcmp(name, wanted) == 0)) {
			return true;
		}
	}
	return false;
}

int ur_immich_read_key(const char *json, struct ur_server *ret, struct ur_err *err)
{
	json_t *root = load(json, "the key", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	const json_t *permissions = json_object_get(root, "permissions");
	int r = 0;
	if (!json_is_array(permissions)) {
		r = lacks(err, "the key", "permissions");
	} else {
		ret->may_upload = permits(permissions, "asset.upload");
		ret->may_read = permits(permissions, "asset.read");
		ret->may_download = permits(permissions, "asset.download");
		ret->may_update = permits(permissions, "asset.update");
		ret->may_tag =
			permits(permissions, "tag.create") && permits(permissions, "tag.asset");
	}
	json_decref(root);
	return r;
}

static int add_types(const json_t *list, enum ur_class class, struct ur_types *ret)
{
	size_t i = 0;
	const json_t *entry = NULL;
	json_array_foreach (list, i, entry) {
		const char *extension = json_string_value(entry);
		if (extension != NULL) {
			const int r = ur_types_add(ret, class, extension);
			if (r < 0) {
				return r;
			}
		}
	}
	return 0;
}

int ur_immich_read_types(const char *json, struct ur_types *ret, struct ur_err *err)
{
	json_t *root = load(json, "media types", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	const json_t *image = json_object_get(root, "image");
	const json_t *video = json_object_get(root, "video");
	int r = 0;
	if (!json_is_array(image) || !json_is_array(video)) {
		r = lacks(err, "media types", "image");
	} else {
		r = add_types(image, UR_CLASS_IMAGE, ret);
		r = r < 0 ? r : add_types(video, UR_CLASS_VIDEO, ret);
		r = r < 0 ? r : add_types(json_object_get(root, "sidecar"), UR_CLASS_SIDECAR, ret);
		if (r < 0) {
			(void)ur_err_set(
				err, r, UR_FAULT_WORLD, "cannot keep the list of media types");
		}
	}
	json_decref(root);
	return r;
}

/* ---- whose word it is ------------------------------------------------------------------------ */

/** 2.x says both once more in the body; 3.x does not. */
static bool agrees(const json_t *root, int status, const char *correlation)
{
	const json_t *code = json_object_get(root, "statusCode");
	const json_t *id = json_object_get(root, "correlationId");
	return (code == NULL || (json_is_integer(code) && json_integer_value(code) == status)) &&
	       (id == NULL ||
		       (json_is_string(id) && strcmp(json_string_value(id), correlation) == 0));
}

static bool is_complaint(int status, const char *correlation, const char *answer)
{
	json_t *root = json_loads(answer, 0, NULL);
	const json_t *message = json_object_get(root, "message");
	const bool shaped = (json_is_string(message) && json_string_length(message) > 0) ||
			    (json_is_array(message) && json_array_size(message) > 0) ||
			    (json_is_object(message) && json_object_size(message) > 0);
	const bool own = shaped && agrees(root, status, correlation);
	json_decref(root);
	return own;
}

bool ur_immich_is_own_word(
	int status, const char *correlation, const char *type, const char *answer)
{
	static const char json[] = "application/json";
	if (correlation[0] == '\0' || status < 200 || (status >= 300 && status < 400) ||
		strncasecmp(type, "text/html", 9) == 0) {
		return false;
	}
	/* What gives the bytes of a file has no JSON for a range beyond its end. */
	return status < 300 || status == 416 ||
	       (strncasecmp(type, json, sizeof json - 1) == 0 &&
		       is_complaint(status, correlation, answer));
}

/* ---- what the server complains about --------------------------------------------------------- */

static void add_sentence(struct ur_text *text, const char *words)
{
	if (words != NULL && words[0] != '\0') {
		if (text->size > 0) {
			ur_text_adds(text, "; ");
		}
		ur_text_add_shown(text, words, strlen(words));
	}
}

/** `message` may be a string, a list of strings, or an object with a message of its own. */
static void add_message(struct ur_text *text, const json_t *message, int depth)
{
	if (json_is_string(message)) {
		add_sentence(text, json_string_value(message));
	} else if (json_is_array(message) && depth < 4) {
		size_t i = 0;
		const json_t *entry = NULL;
		json_array_foreach (message, i, entry) {
			add_message(text, entry, depth + 1);
		}
	} else if (json_is_object(message) && depth < 4) {
		add_message(text, json_object_get(message, "message"), depth + 1);
	}
}

static void add_path(struct ur_text *text, const json_t *path)
{
	size_t i = 0;
	const json_t *step = NULL;
	if (json_is_string(path)) {
		add_sentence(text, json_string_value(path));
		return;
	}
	json_array_foreach (path, i, step) {
		if (json_is_integer(step)) {
			ur_text_addf(text, "%s%lld", i == 0 ? "; " : ".",
				(long long)json_integer_value(step));
		} else if (json_is_string(step)) {
			ur_text_adds(text, i == 0 ? "; " : ".");
			ur_text_add_shown(text, json_string_value(step), json_string_length(step));
		}
	}
}

static void add_errors(struct ur_text *text, const json_t *errors)
{
	size_t i = 0;
	const json_t *entry = NULL;
	json_array_foreach (errors, i, entry) {
		add_path(text, json_object_get(entry, "path"));
		const char *words = json_string_value(json_object_get(entry, "message"));
		if (words != NULL) {
			ur_text_adds(text, ": ");
			ur_text_add_shown(text, words, strlen(words));
		}
	}
}

void ur_immich_message(int status, const char *answer, bool html, char ret[UR_MESSAGE_MAX])
{
	struct ur_text text = {0};
	json_t *root = html ? NULL : json_loads(answer, 0, NULL);
	if (root != NULL) {
		add_message(&text, json_object_get(root, "message"), 0);
		add_errors(&text, json_object_get(root, "errors"));
		json_decref(root);
	} else if (html) {
		ur_text_adds(&text, "the proxy in front of the server answered, not the server");
	}
	if (text.size == 0 && answer[0] != '\0') {
		const size_t size = strlen(answer);
		ur_text_add_shown(&text, answer, size < 120 ? size : 120);
	}
	(void)snprintf(ret, UR_MESSAGE_MAX, "%s%s(HTTP %d)", ur_text_get(&text),
		text.size > 0 ? " " : "", status);
	ur_text_done(&text);
}

bool ur_immich_is_quota(int status, const char *answer)
{
	return status == 400 && strstr(answer, "Quota has been exceeded") != NULL;
}

/* ---- the question by checksum ---------------------------------------------------------------- */

void ur_immich_check_begin(struct ur_text *body)
{
	ur_text_adds(body, "{\"assets\":[");
}

void ur_immich_check_add(struct ur_text *body, size_t index, const uint8_t sha1[UR_SHA1_SIZE])
{
	char checksum[UR_BASE64_ROOM(UR_SHA1_SIZE)];
	ur_base64(sha1, UR_SHA1_SIZE, checksum);
	ur_text_addf(body, "%s{\"id\":\"%zu\",\"checksum\":\"%s\"}", index == 0 ? "" : ",", index,
		checksum);
}

void ur_immich_check_end(struct ur_text *body)
{
	ur_text_adds(body, "]}");
}

static int read_one_check(const json_t *entry, struct ur_check *ret, size_t count)
{
	const char *id = json_string_value(json_object_get(entry, "id"));
	const char *action = json_string_value(json_object_get(entry, "action"));
	int64_t index = 0;
	if (id == NULL || action == NULL ||
		ur_parse_number(id, 0, (int64_t)count - 1, &index) < 0) {
		return -EBADMSG;
	}
	struct ur_check *check = &ret[index];
	*check = (struct ur_check){.answered = true};
	if (strcmp(action, "accept") == 0) {
		return 0;
	}
	const char *reason = json_string_value(json_object_get(entry, "reason"));
	if (reason != NULL && strcmp(reason, "duplicate") != 0) {
		return 0; // e.g. an unsupported format: the upload will be told why
	}
	check->there = true;
	check->trashed = json_is_true(json_object_get(entry, "isTrashed"));
	return copy_id(entry, "assetId", check->asset) ? 0 : -EBADMSG;
}

int ur_immich_check_read(const char *json, struct ur_check *ret, size_t count, struct ur_err *err)
{
	json_t *root = load(json, "checksums", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	for (size_t i = 0; i < count; i++) {
		ret[i].answered = false;
	}
	const json_t *results = json_object_get(root, "results");
	size_t i = 0;
	const json_t *entry = NULL;
	int r = 0;
	json_array_foreach (results, i, entry) {
		r = r < 0 ? r : read_one_check(entry, ret, count);
	}
	for (size_t k = 0; k < count && r == 0; k++) {
		r = ret[k].answered ? 0 : -EBADMSG;
	}
	json_decref(root);
	return r < 0 ? lacks(err, "checksums", "results") : 0;
}

/* ---- the upload ------------------------------------------------------------------------------ */

void ur_immich_boundary(char boundary[64], char content_type[128])
{
	uint8_t random[16] = {0};
	char hex[33];
	if (getrandom(random, sizeof random, 0) != sizeof random) {
		const int64_t now = ur_clock_steady_ns();
		memcpy(random, &now, sizeof now);
	}
	ur_hex(random, sizeof random, hex);
	(void)snprintf(boundary, 64, "uringest-%s", hex);
	(void)snprintf(content_type, 128, "multipart/form-data; boundary=%s", boundary);
}

static void add_field(
	struct ur_text *text, const char *boundary, const char *name, const char *value)
{
	ur_text_adds(text, "--");
	ur_text_adds(text, boundary);
	ur_text_adds(text, "\r\nContent-Disposition: form-data; name=\"");
	ur_text_adds(text, name);
	ur_text_adds(text, "\"\r\n\r\n");
	ur_text_adds(text, value);
	ur_text_adds(text, "\r\n");
}

static void add_file_part(struct ur_text *text, const char *boundary, const char *name,
	const char *file, const char *type)
{
	ur_text_addf(text,
		"--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n"
		"Content-Type: %s\r\n\r\n",
		boundary, name, file, type);
}

/** "file" and the extension: the true name goes into the field, where it survives unharmed. */
static void plain_name(const char *name, char *ret, size_t room)
{
	const char *dot = strrchr(name, '.');
	size_t used = (size_t)snprintf(ret, room, "file");
	for (const char *at = dot; at != NULL && *at != '\0' && used + 1 < room; at++) {
		ret[used++] = isalnum((unsigned char)*at) || *at == '.' ? *at : '_';
	}
	ret[used] = '\0';
}

void ur_immich_upload_write(const struct ur_dialect *dialect, const struct ur_upload_fields *fields,
	const char *boundary, struct ur_text *head, struct ur_text *middle, struct ur_text *tail)
{
	char created[UR_CLOCK_TEXT];
	char modified[UR_CLOCK_TEXT];
	char part[64];
	ur_clock_iso(fields->created_ns, created);
	ur_clock_iso(fields->modified_ns, modified);
	plain_name(fields->name, part, sizeof part);

	if (dialect->device_fields) {
		struct ur_text id = {0};
		ur_text_addf(&id, "%s-%llu", fields->name, (unsigned long long)fields->size);
		add_field(head, boundary, "deviceAssetId",
			fields->device_asset != NULL ? fields->device_asset : ur_text_get(&id));
		add_field(head, boundary, "deviceId",
			fields->device != NULL ? fields->device : DEVICE_ID);
		head->failed = head->failed || !ur_text_ok(&id);
		ur_text_done(&id);
	}
	add_field(head, boundary, "fileCreatedAt", created);
	add_field(head, boundary, "fileModifiedAt", modified);
	if (fields->live_movie != NULL) {
		add_field(head, boundary, "livePhotoVideoId", fields->live_movie);
	}
	if (fields->favorite) {
		add_field(head, boundary, "isFavorite", "true");
	}
	if (fields->visibility != NULL) {
		add_field(head, boundary, "visibility", fields->visibility);
	}
	struct ur_text *after = head;
	if (fields->sidecar_name != NULL) {
		add_file_part(head, boundary, "sidecarData", "file.xmp", "application/xml");
		ur_text_adds(middle, "\r\n");
		after = middle;
	}
	add_field(after, boundary, "filename", fields->name);
	add_file_part(after, boundary, "assetData", part, "application/octet-stream");
	ur_text_addf(tail, "\r\n--%s--\r\n", boundary);
}

int ur_immich_upload_read(
	const char *json, char asset[UR_ASSET_ID], bool *ret_duplicate, struct ur_err *err)
{
	json_t *root = load(json, "the upload", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	const char *status = json_string_value(json_object_get(root, "status"));
	int r = 0;
	if (!copy_id(root, "id", asset)) {
		r = lacks(err, "the upload", "id");
	} else {
		*ret_duplicate = status != NULL && strcmp(status, "duplicate") == 0;
	}
	json_decref(root);
	return r;
}

/* ---- one asset ------------------------------------------------------------------------------- */

static bool is_text(const json_t *object, const char *field)
{
	const char *text = json_string_value(json_object_get(object, field));
	return text != NULL && text[0] != '\0';
}

static void read_exif(const json_t *exif, struct ur_asset *ret)
{
	ret->has_date = is_text(exif, "dateTimeOriginal");
	ret->has_place = json_is_number(json_object_get(exif, "latitude")) &&
			 json_is_number(json_object_get(exif, "longitude"));
	ret->has_description = is_text(exif, "description");
	const json_t *rating = json_object_get(exif, "rating");
	ret->has_rating = json_is_number(rating) && json_number_value(rating) != 0;
	ret->extracted = json_is_number(json_object_get(exif, "exifImageWidth")) || ret->has_date ||
			 is_text(exif, "modifyDate");
}

/** Where its file is on the server, and since when. */
static void read_place(const json_t *root, struct ur_asset *ret)
{
	const char *path = json_string_value(json_object_get(root, "originalPath"));
	const char *created = json_string_value(json_object_get(root, "createdAt"));
	const size_t size = path == NULL ? 0 : strlen(path);
	bool zoned = false;
	if (path != NULL) {
		const size_t from =
			size < sizeof ret->original ? 0 : size - sizeof ret->original + 1;
		(void)snprintf(ret->original, sizeof ret->original, "%s", path + from);
	}
	if (created == NULL || ur_clock_parse_iso(created, &ret->created_ns, &zoned) < 0 ||
		!zoned) {
		ret->created_ns = 0;
	}
}

int ur_immich_asset_read(const char *json, struct ur_asset *ret, struct ur_err *err)
{
	json_t *root = load(json, "the asset", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	*ret = (struct ur_asset){0};
	const char *checksum = json_string_value(json_object_get(root, "checksum"));
	const char *type = json_string_value(json_object_get(root, "type"));
	int r = 0;
	if (!copy_id(root, "id", ret->id)) {
		r = lacks(err, "the asset", "id");
	} else if (!copy_id(root, "ownerId", ret->owner)) {
		r = lacks(err, "the asset", "ownerId");
	} else if (checksum == NULL ||
		   ur_unbase64(checksum, ret->sha1, UR_SHA1_SIZE) != UR_SHA1_SIZE) {
		r = lacks(err, "the asset", "checksum");
	} else {
		ret->trashed = json_is_true(json_object_get(root, "isTrashed"));
		ret->external = is_text(root, "libraryId");
		ret->video = type != NULL && strcmp(type, "VIDEO") == 0;
		read_exif(json_object_get(root, "exifInfo"), ret);
		ret->extracted = ret->extracted || is_text(root, "thumbhash");
		ret->has_tags = json_array_size(json_object_get(root, "tags")) > 0;
		(void)copy_id(root, "livePhotoVideoId", ret->live_movie);
		read_place(root, ret);
	}
	json_decref(root);
	return r;
}

enum ur_proof ur_immich_prove(
	const struct ur_asset *asset, const uint8_t sha1[UR_SHA1_SIZE], const char *owner)
{
	if (sha1 != NULL && memcmp(asset->sha1, sha1, sizeof asset->sha1) != 0) {
		return UR_PROOF_OTHER_BYTES;
	}
	if (strcmp(asset->owner, owner) != 0) {
		return UR_PROOF_OTHER_OWNER;
	}
	return asset->trashed    ? UR_PROOF_TRASHED
	       : asset->external ? UR_PROOF_EXTERNAL
				 : UR_PROOF_HOLDS;
}

int64_t ur_immich_total(const char *content_range)
{
	const char *slash = strrchr(content_range, '/');
	int64_t total = 0;
	if (strncmp(content_range, "bytes ", 6) != 0 || slash == NULL ||
		ur_parse_number(slash + 1, 0, INT64_MAX, &total) < 0) {
		return -1;
	}
	return total;
}

void ur_immich_tags_write(struct ur_text *body, char *const *tags, size_t count)
{
	ur_text_adds(body, "{\"tags\":[");
	for (size_t i = 0; i < count; i++) {
		ur_text_adds(body, i == 0 ? "" : ",");
		ur_text_add_json(body, tags[i], strlen(tags[i]));
	}
	ur_text_adds(body, "]}");
}

int ur_immich_tags_read(const char *json, char (*ret)[UR_ASSET_ID], size_t room, size_t *ret_count,
	struct ur_err *err)
{
	json_t *root = load(json, "tags", err);
	if (root == NULL) {
		return -EBADMSG;
	}
	size_t count = 0;
	size_t i = 0;
	const json_t *entry = NULL;
	json_array_foreach (root, i, entry) {
		if (count < room && copy_id(entry, "id", ret[count])) {
			count++;
		}
	}
	json_decref(root);
	*ret_count = count;
	return 0;
}

/* ---- external libraries ---------------------------------------------------------------------- */

/** True when `inner` is `outer` or lies below it. */
static bool holds(const char *outer, const char *inner)
{
	size_t size = strlen(outer);
	while (size > 0 && outer[size - 1] == '/') {
		size--;
	}
	return strncmp(outer, inner, size) == 0 && (inner[size] == '/' || inner[size] == '\0');
}

static bool has_same_name(const char *a, const char *b)
{
	size_t a_size = strlen(a);
	size_t b_size = strlen(b);
	while (a_size > 0 && a[a_size - 1] == '/') {
		a_size--;
	}
	while (b_size > 0 && b[b_size - 1] == '/') {
		b_size--;
	}
	size_t i = 0;
	while (i < a_size && i < b_size && a[a_size - 1 - i] == b[b_size - 1 - i] &&
		a[a_size - 1 - i] != '/') {
		i++;
	}
	return i > 0 && (i == a_size || a[a_size - 1 - i] == '/') &&
	       (i == b_size || b[b_size - 1 - i] == '/');
}

static enum ur_cover compare(const char *path, const char *root)
{
	if (path[0] != '/') {
		return UR_COVER_NONE;
	}
	return holds(path, root) || holds(root, path) ? UR_COVER_SAME
	       : has_same_name(path, root)            ? UR_COVER_NAMED
						      : UR_COVER_NONE;
}

int ur_immich_libraries_read(const char *json, const char *root, enum ur_cover *ret,
	char path[UR_PATH_TAIL], size_t *ret_count, struct ur_err *err)
{
	json_t *list = load(json, "external libraries", err);
	if (!json_is_array(list)) {
		json_decref(list);
		return list == NULL ? -EBADMSG : lacks(err, "external libraries", "list");
	}
	size_t i = 0;
	const json_t *library = NULL;
	*ret = UR_COVER_NONE;
	*ret_count = 0;
	json_array_foreach (list, i, library) {
		size_t k = 0;
		const json_t *entry = NULL;
		json_array_foreach (json_object_get(library, "importPaths"), k, entry) {
			const char *at = json_string_value(entry);
			const enum ur_cover cover = at == NULL ? UR_COVER_NONE : compare(at, root);
			*ret_count += 1;
			if (cover > *ret) {
				*ret = cover;
				(void)snprintf(path, UR_PATH_TAIL, "%s", at);
			}
		}
	}
	json_decref(list);
	return 0;
}
