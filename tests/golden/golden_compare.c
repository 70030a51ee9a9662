/*
 * golden_compare - field names, types and messages must be as recorded; so must all values but
 * ids (which are learned and must stay the same from then on), times, and what is the machine's own.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/golden.h"

/** Values that are another server's own: only their type counts. */
static const char *const ignored[] = {"correlationId", "originalPath", "email", "avatarColor",
	"nodejs", "exiftool", "ffmpeg", "libvips", "diskSize", "diskUse", "diskAvailable",
	"diskSizeRaw", "diskUseRaw", "diskAvailableRaw", "diskUsagePercentage", "thumbhash",
	"timeZone", "localDateTime", "startDate", "endDate", NULL};

/** Strings that the server here leaves null: it makes no thumbnails. */
static const char *const nullable[] = {"thumbhash", NULL};

static const char *const times[] = {"createdAt", "updatedAt", "profileChangedAt",
	"lastModifiedAssetTimestamp", "startDate", "endDate", "localDateTime", NULL};

static bool listed(const char *const *list, const char *key)
{
	for (; *list != NULL; list++) {
		if (strcmp(*list, key) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_uuid(const char *text)
{
	return strlen(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
	       text[23] == '-' && strspn(text, "0123456789abcdef-") == 36;
}

/** "…Z" and "…+00:00" are two forms; fractions of any length are one. */
static bool same_form(const char *a, const char *b)
{
	size_t size_a = strlen(a);
	size_t size_b = strlen(b);

	return size_a >= 19 && size_b >= 19 && a[10] == 'T' && b[10] == 'T' &&
	       (a[size_a - 1] == 'Z') == (b[size_b - 1] == 'Z');
}

static void differ(struct ur_text *ret, const char *path, json_t *recorded, json_t *actual)
{
	char *a = json_dumps(recorded, JSON_ENCODE_ANY | JSON_COMPACT);
	char *b = json_dumps(actual, JSON_ENCODE_ANY | JSON_COMPACT);

	ur_text_addf(ret, "  %s: recorded %.300s, now %.300s\n", path, a != NULL ? a : "nothing",
		b != NULL ? b : "nothing");
	free(a);
	free(b);
}

static void compare(json_t *recorded, json_t *actual, const char *path, const char *key, bool loose,
	struct ur_text *ret);

static bool same_text(const char *recorded, const char *actual, const char *key, bool loose)
{
	char *wanted;
	bool same;

	if (is_uuid(recorded)) {
		const char *known = pairs_find(recorded);

		if (known == NULL && is_uuid(actual)) {
			pairs_add(recorded, actual);
			return true;
		}
		return loose ? is_uuid(actual)
			     : strcmp(known != NULL ? known : recorded, actual) == 0;
	}
	if (listed(times, key)) {
		return same_form(recorded, actual);
	}
	if (listed(ignored, key) || (loose && strcmp(key, "message") != 0)) {
		return true;
	}
	wanted = pairs_apply(recorded);
	same = strcmp(wanted, actual) == 0;
	free(wanted);
	return same;
}

static void compare_objects(
	json_t *recorded, json_t *actual, const char *path, bool loose, struct ur_text *ret)
{
	const char *name;
	json_t *value;
	char below[512];

	json_object_foreach (recorded, name, value) {
		(void)snprintf(below, sizeof(below), "%s.%s", path, name);
		if (json_object_get(actual, name) == NULL) {
			ur_text_addf(ret, "  %s: is missing now\n", below);
		} else {
			compare(value, json_object_get(actual, name), below, name, loose, ret);
		}
	}
	json_object_foreach (actual, name, value) {
		if (json_object_get(recorded, name) == NULL) {
			ur_text_addf(ret, "  %s.%s: was not recorded\n", path, name);
		}
	}
}

/** What comes in the order of somebody's table (assets in an album, ids that exist) goes by its id. */
static json_t *counterpart(json_t *list, json_t *recorded, size_t index, const char *key)
{
	const char *id = json_string_value(json_object_get(recorded, "id"));
	const char *known = id != NULL ? pairs_find(id) : NULL;
	json_t *item;
	size_t i;

	if (strcmp(key, "existingIds") == 0) {
		json_array_foreach (list, i, item) {
			if (json_equal(item, recorded)) {
				return item;
			}
		}
	}
	if (strcmp(key, "assets") == 0 && known != NULL) {
		json_array_foreach (list, i, item) {
			const char *other = json_string_value(json_object_get(item, "id"));

			if (other != NULL && strcmp(other, known) == 0) {
				return item;
			}
		}
	}
	return json_array_get(list, index);
}

static void compare_arrays(json_t *recorded, json_t *actual, const char *path, const char *key,
	bool loose, struct ur_text *ret)
{
	json_t *value;
	size_t i;
	char below[512];

	if (json_array_size(recorded) != json_array_size(actual)) {
		ur_text_addf(ret, "  %s: recorded %zu items, now %zu\n", path,
			json_array_size(recorded), json_array_size(actual));
		return;
	}
	json_array_foreach (recorded, i, value) {
		(void)snprintf(below, sizeof(below), "%s[%zu]", path, i);
		compare(value, counterpart(actual, value, i, key), below, key, loose, ret);
	}
}

static bool same_number(json_t *recorded, json_t *actual, const char *key, bool loose)
{
	return loose || listed(ignored, key) ||
	       fabs(json_number_value(recorded) - json_number_value(actual)) < 1e-5;
}

static void compare(json_t *recorded, json_t *actual, const char *path, const char *key, bool loose,
	struct ur_text *ret)
{
	bool same = true;

	if (json_is_null(actual) && listed(nullable, key)) {
		return;
	}
	if (json_is_object(recorded) && json_is_object(actual)) {
		compare_objects(recorded, actual, path, loose, ret);
	} else if (json_is_array(recorded) && json_is_array(actual)) {
		compare_arrays(recorded, actual, path, key, loose, ret);
	} else if (json_is_string(recorded) && json_is_string(actual)) {
		same = same_text(
			json_string_value(recorded), json_string_value(actual), key, loose);
	} else if (json_is_number(recorded) && json_is_number(actual)) {
		same = same_number(recorded, actual, key, loose);
	} else if (json_is_boolean(recorded) && json_is_boolean(actual)) {
		same = loose || json_equal(recorded, actual);
	} else {
		same = json_is_null(recorded) && json_is_null(actual);
	}
	if (!same) {
		differ(ret, path, recorded, actual);
	}
}

void compare_json(json_t *recorded, json_t *actual, bool loose, struct ur_text *ret)
{
	compare(recorded, actual, "body", "", loose, ret);
}
