/*
 * settings - libyaml's events against one table of keys.
 *
 *     event      key ──▶ keys[] ──▶ kind ──▶ reads the value, checks it, puts it at its offset
 *                         │
 *                         └ unknown, twice, in the wrong place: said with line and column
 */
#include "engine/settings.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "engine/base/text.h"
#include "engine/sys/sys.h"

#define SHOWN_MAX 64u // bytes of a name or a value that a message repeats
#define KEY_NAME_MAX 64u
#define NOWHERE SIZE_MAX

static_assert(sizeof(enum ur_settings_flag) == sizeof(int), "choices are stored as int");
static_assert(sizeof(enum ur_settings_after) == sizeof(int), "choices are stored as int");
static_assert(sizeof(enum ur_settings_confirm) == sizeof(int), "choices are stored as int");

/* --- the keys -------------------------------------------------------------------------------- */

enum scope {
	SCOPE_FILE,
	SCOPE_FOLDER,
	SCOPE_RESUMABLE, // the mapping below 'resumable'; its values lie in the file's struct
	SCOPES
};

enum kind {
	KIND_URL,
	KIND_PROXY,
	KIND_PATH,
	KIND_WORD,
	KIND_BYTES,
	KIND_DURATION,
	KIND_NUMBER,
	KIND_RATE,
	KIND_CHOICE,
	KIND_PATTERNS,
	KIND_FOLDERS,
	KIND_RESUMABLE,
	KIND_SECRET, // refused
};

struct choice {
	const char *name; // NULL ends a list
	int value;
};

static const struct choice flags[] = {
	{"true", UR_SETTINGS_FLAG_YES},
	{"false", UR_SETTINGS_FLAG_NO},
	{"yes", UR_SETTINGS_FLAG_YES},
	{"no", UR_SETTINGS_FLAG_NO},
	{NULL, 0},
};
static const struct choice afters[] = {
	{"keep", UR_SETTINGS_AFTER_KEEP},
	{"delete", UR_SETTINGS_AFTER_DELETE},
	{"move", UR_SETTINGS_AFTER_MOVE},
	{NULL, 0},
};
static const struct choice confirms[] = {
	{"range", UR_SETTINGS_CONFIRM_RANGE},
	{"bytes", UR_SETTINGS_CONFIRM_BYTES},
	{NULL, 0},
};

#define SECONDS INT64_C(1000)
#define DAYS (INT64_C(24) * 3600 * SECONDS)

struct key {
	const char *name;
	enum kind kind;
	bool discreet;     // the value may hold a secret and stays out of messages
	size_t at[SCOPES]; // where its value goes; NOWHERE: not a key of this scope
	const char *expects;
	int64_t low;
	int64_t high;
	const struct choice *choices;
};

#define FILE_AT(field) offsetof(struct ur_settings, field)
#define FOLDER_AT(field) offsetof(struct ur_settings_folder, field)
#define IN_FILE(field) .at = {FILE_AT(field), NOWHERE, NOWHERE}
#define IN_FOLDER(field) .at = {NOWHERE, FOLDER_AT(field), NOWHERE}
#define IN_RESUMABLE(field) .at = {NOWHERE, NOWHERE, FILE_AT(field)}
#define IN_BOTH(field) .at = {FILE_AT(field), FOLDER_AT(field), NOWHERE}

static const char a_path[] = "an absolute path, as in /etc/uringest/NAME";
static const char a_flag[] = "true or false";
static const char a_key_file[] =
	"the absolute path of a file that holds the API key, as in /etc/uringest/immich-key";

static const struct key keys[] = {
	{"server", KIND_URL, IN_BOTH(server),
		.expects = "the address of Immich, as in https://photos.example.org",
		.discreet = true},
	{"key_file", KIND_PATH, IN_BOTH(key_file), .expects = a_key_file, .discreet = true},
	{"ledger", KIND_PATH, IN_FILE(ledger), .expects = a_path},
	{"cacert", KIND_PATH, IN_FILE(cacert), .expects = a_path},
	{"client_cert", KIND_PATH, IN_FILE(client_cert), .expects = a_path},
	{"client_key", KIND_PATH, IN_FILE(client_key), .expects = a_path, .discreet = true},
	{"headers_file", KIND_PATH, IN_FILE(headers_file), .expects = a_path, .discreet = true},
	{"proxy", KIND_PROXY, IN_FILE(proxy),
		.expects =
			"a proxy, as in http://proxy.example.org:3128 or socks5h://127.0.0.1:1080",
		.discreet = true},
	{"concurrency", KIND_NUMBER, IN_FILE(concurrency),
		.expects = "a whole number from 1 to 256", .low = 1, .high = 256},
	{"bwlimit", KIND_RATE, IN_FILE(bwlimit),
		.expects = "a rate, as in 2M, off or \"08:00,2M 23:00,off\""},
	{"server_wait", KIND_DURATION, IN_FILE(server_wait_ms),
		.expects = "a time from 0 to 7 days, as in 90s, 10m or 2h", .high = DAYS * 7},
	{"answer_wait", KIND_DURATION, IN_FILE(answer_wait_ms),
		.expects = "a time from 1 second to 1 day, as in 90s, 5m or 1h", .low = SECONDS,
		.high = DAYS},
	{"suspect_wait", KIND_DURATION, IN_FILE(suspect_wait_ms),
		.expects = "a time from 0 to 30 days, as in 10m, 1h or 2d", .high = DAYS * 30},
	{"settle_after", KIND_DURATION, IN_FILE(settle_after_ms),
		.expects = "a time from 0 to 30 days, as in 60s, 10m or 2d", .high = DAYS * 30},
	{"quiet_without_lease", KIND_DURATION, IN_FILE(quiet_without_lease_ms),
		.expects = "a time from 0 to 30 days, as in 60s, 15m or 1d", .high = DAYS * 30},
	{"accept_cut_off", KIND_CHOICE, IN_FILE(accept_cut_off), .expects = a_flag,
		.choices = flags},
	{"min_age", KIND_DURATION, IN_BOTH(min_age_ms),
		.expects = "a time from 0 to 30 days, as in 30s, 10m or 1d", .high = DAYS * 30},
	{"confirm", KIND_CHOICE, IN_FILE(confirm), .expects = "range or bytes",
		.choices = confirms},
	{"one_file_system", KIND_CHOICE, IN_BOTH(one_file_system), .expects = a_flag,
		.choices = flags},
	{"follow_symlinks", KIND_CHOICE, IN_BOTH(follow_symlinks), .expects = a_flag,
		.choices = flags},
	{"exclude", KIND_PATTERNS, IN_BOTH(exclude),
		.expects = "a list of gitignore patterns, as in [\"*.tmp\", \"raw/\"]"},
	{"folders", KIND_FOLDERS, IN_FILE(folders),
		.expects = "a list of folders, each with '- path: /…'"},
	{"path", KIND_PATH, IN_FOLDER(path), .expects = "the absolute path of the folder"},
	{"after", KIND_CHOICE, IN_FOLDER(after), .expects = "keep, delete or move",
		.choices = afters},
	{"move_to", KIND_PATH, IN_FOLDER(move_to),
		.expects = "the absolute path that imported files move to"},
	{"resumable", KIND_RESUMABLE, .at = {0, NOWHERE, NOWHERE},
		.expects = "a mapping with threshold, chunk and gateway"},
	{"threshold", KIND_BYTES, IN_RESUMABLE(resumable_threshold),
		.expects = "a size from 1M, as in 32M", .low = 1 << 20, .high = INT64_MAX},
	{"chunk", KIND_BYTES, IN_RESUMABLE(resumable_chunk),
		.expects = "a size from 1M to 128M, as in 32M", .low = 1 << 20, .high = 128 << 20},
	{"gateway", KIND_WORD, IN_RESUMABLE(gateway), .expects = "https://HOST/uringest/, or off"},
	{"listen", KIND_WORD, IN_FILE(listen),
		.expects = "127.0.0.1:8091, [::1]:8091 or unix:/run/NAME.sock"},
	{"spool", KIND_PATH, IN_FILE(spool), .expects = a_path},
	{"immich", KIND_URL, IN_FILE(immich),
		.expects = "the address of immich-server, as in http://127.0.0.1:2283",
		.discreet = true},
	{"base", KIND_PATH, IN_FILE(base), .expects = "a path below the host, as in /uringest/"},
	{"trusted_proxies", KIND_PATTERNS, IN_FILE(trusted_proxies),
		.expects = "a list of addresses, as in [127.0.0.1, unix]"},
	{"max_size", KIND_BYTES, IN_FILE(max_size), .expects = "a size, as in 500M or 64G",
		.low = 1, .high = INT64_MAX},
	{"user_uploads", KIND_NUMBER, IN_FILE(user_uploads),
		.expects = "a whole number from 1 to 100000", .low = 1, .high = 100000},
	{"user_bytes", KIND_BYTES, IN_FILE(user_bytes),
		.expects = "a size, as in 100G; 0: no bound", .high = INT64_MAX},
	{"keep_free", KIND_BYTES, IN_FILE(keep_free), .expects = "a size, as in 1G or 20G",
		.high = INT64_MAX},
	{"expire", KIND_DURATION, IN_FILE(expire_ms),
		.expects = "a time from 1 minute to 365 days, as in 12h or 7d", .low = SECONDS * 60,
		.high = DAYS * 365},
	{"deliveries", KIND_NUMBER, IN_FILE(deliveries), .expects = "a whole number from 1 to 8",
		.low = 1, .high = 8},
	{"key", KIND_SECRET, .at = {NOWHERE, NOWHERE, NOWHERE}},
	{"api_key", KIND_SECRET, .at = {NOWHERE, NOWHERE, NOWHERE}},
	{"apikey", KIND_SECRET, .at = {NOWHERE, NOWHERE, NOWHERE}},
	{"immich_key", KIND_SECRET, .at = {NOWHERE, NOWHERE, NOWHERE}},
};
#define KEYS (sizeof keys / sizeof keys[0])

/* --- messages -------------------------------------------------------------------------------- */

struct reader {
	yaml_parser_t yaml;
	yaml_event_t event; // the one being read
	struct ur_arena *arena;
	const char *name;
	const unsigned char *text;
	size_t size;
	struct ur_err *err;
};

static int short_of_memory(struct reader *reader)
{
	return ur_err_set(reader->err, -ENOMEM, UR_FAULT_WORLD, "reading '%s'", reader->name);
}

__attribute__((format(printf, 3, 4))) static int wrong(
	struct reader *reader, yaml_mark_t at, const char *format, ...)
{
	char sentence[UR_ERR_TEXT_MAX / 2];
	struct ur_text name = {0};
	va_list args;
	va_start(args, format);
	(void)vsnprintf(sentence, sizeof sentence, format, args);
	va_end(args);

	ur_text_add_shown(&name, reader->name, strlen(reader->name));
	const int r = ur_err_say(reader->err, -EINVAL, UR_FAULT_SETUP, "%s:%zu:%zu: %s",
		ur_text_get(&name), at.line + 1, at.column + 1, sentence);
	ur_text_done(&name);
	return r;
}

/** The beginning of somebody's text as a message may repeat it, in the arena. */
static const char *shown(struct reader *reader, const char *bytes, size_t size)
{
	struct ur_text text = {0};
	size_t cut = size;
	if (cut > SHOWN_MAX) {
		for (cut = SHOWN_MAX; cut > 0 && (bytes[cut] & 0xc0) == 0x80;) {
			cut--;
		}
	}
	ur_text_add_shown(&text, bytes, cut);
	ur_text_adds(&text, cut < size ? "…" : "");
	const char *ret =
		ur_text_ok(&text) ? ur_arena_string(reader->arena, ur_text_get(&text)) : NULL;
	ur_text_done(&text);
	return ret == NULL ? "?" : ret;
}

/** The current scalar is not what `key` expects. */
static int unexpected(struct reader *reader, const struct key *key, const char *why)
{
	if (key->discreet) {
		return wrong(reader, reader->event.start_mark, "'%s': the value %s; expected %s",
			key->name, why, key->expects);
	}
	return wrong(reader, reader->event.start_mark, "'%s': '%s' %s; expected %s", key->name,
		shown(reader, (const char *)reader->event.data.scalar.value,
			reader->event.data.scalar.length),
		why, key->expects);
}

/* --- events ---------------------------------------------------------------------------------- */

/** Errors of libyaml's reader know an offset only. */
static yaml_mark_t mark_of_offset(const struct reader *reader, size_t offset)
{
	yaml_mark_t mark = {0};
	for (size_t i = 0; i < offset && i < reader->size; i++) {
		const bool newline = reader->text[i] == '\n';
		mark.line += newline;
		mark.column = newline ? 0 : mark.column + 1;
	}
	return mark;
}

static int not_yaml(struct reader *reader)
{
	const yaml_parser_t *yaml = &reader->yaml;
	const char *problem = yaml->problem == NULL ? "it cannot be read" : yaml->problem;
	switch (yaml->error) {
	case YAML_MEMORY_ERROR:
		return short_of_memory(reader);
	case YAML_READER_ERROR:
		return wrong(reader, mark_of_offset(reader, yaml->problem_offset),
			"this is not UTF-8 text: %s", problem);
	default:
		return wrong(reader, yaml->problem_mark, "this is not YAML: %s%s%s", problem,
			yaml->context == NULL ? "" : " ",
			yaml->context == NULL ? "" : yaml->context);
	}
}

static bool has_anchor_or_tag(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return true;
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor != NULL ||
		       event->data.sequence_start.tag != NULL;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor != NULL ||
		       event->data.mapping_start.tag != NULL;
	default:
		return false;
	}
}

/** Goes on to the next event, which is then reader->event. */
static int next(struct reader *reader)
{
	yaml_event_delete(&reader->event);
	if (yaml_parser_parse(&reader->yaml, &reader->event) == 0) {
		return not_yaml(reader);
	}
	if (has_anchor_or_tag(&reader->event)) {
		return wrong(reader, reader->event.start_mark,
			"anchors (&), aliases (*) and tags (!) are not used here; "
			"a text that begins with one of them stands in quotes");
	}
	return 0;
}

/** The current event is a scalar with something in it. */
static int need_scalar(struct reader *reader, const struct key *key)
{
	const yaml_event_t *event = &reader->event;
	if (event->type != YAML_SCALAR_EVENT) {
		return wrong(reader, event->start_mark, "'%s': %s is not a value here; expected %s",
			key->name,
			event->type == YAML_SEQUENCE_START_EVENT ? "a list" : "a mapping",
			key->expects);
	}
	const char *text = (const char *)event->data.scalar.value;
	const size_t size = event->data.scalar.length;
	const bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (size == 0 || (plain && (strcmp(text, "~") == 0 || strcmp(text, "null") == 0))) {
		return wrong(reader, event->start_mark, "'%s' has no value; expected %s", key->name,
			key->expects);
	}
	if (size > UR_SETTINGS_VALUE_MAX) {
		return wrong(reader, event->start_mark, "'%s': the value is longer than %u bytes",
			key->name, UR_SETTINGS_VALUE_MAX);
	}
	if (memchr(text, '\0', size) != NULL) {
		return wrong(
			reader, event->start_mark, "'%s': the value has a NUL in it", key->name);
	}
	return 0;
}

static const char *scalar(const struct reader *reader)
{
	return (const char *)reader->event.data.scalar.value;
}

/* --- values ---------------------------------------------------------------------------------- */

static int keep_text(struct reader *reader, const char *text, size_t size, const char **into)
{
	const char *copy = ur_arena_copy(reader->arena, text, size);
	if (copy == NULL) {
		return short_of_memory(reader);
	}
	*into = copy;
	return 0;
}

static bool has_scheme(const char *text, const char *const *schemes)
{
	for (size_t i = 0; schemes[i] != NULL; i++) {
		if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0) {
			return true;
		}
	}
	return false;
}

/** Nothing that a URL may not hold as it is. */
static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text == 0x7f) {
			return false;
		}
	}
	return true;
}

static int read_url(struct reader *reader, const struct key *key, const char **into)
{
	static const char *const schemes[] = {"http://", "https://", NULL};
	const char *text = scalar(reader);
	if (!is_printable(text) || !has_scheme(text, schemes)) {
		return unexpected(reader, key, "is not an http:// or https:// address");
	}
	const char *host = strstr(text, "://") + 3;
	const size_t host_size = strcspn(host, "/?#");
	if (memchr(host, '@', host_size) != NULL) {
		return unexpected(
			reader, key, "holds a user or a password, which belong into headers_file");
	}
	if (host_size == 0 || host[0] == ':') {
		return unexpected(reader, key, "names no host");
	}
	if (strpbrk(host, "?#") != NULL) {
		return unexpected(reader, key, "goes on with '?' or '#'");
	}
	size_t size = strlen(text);
	while (text[size - 1] == '/') {
		size--;
	}
	return keep_text(reader, text, size, into);
}

static int read_proxy(struct reader *reader, const struct key *key, const char **into)
{
	static const char *const schemes[] = {
		"http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://", NULL};
	const char *text = scalar(reader);
	if (!is_printable(text) || !has_scheme(text, schemes) || strstr(text, "://")[3] == '\0') {
		return unexpected(reader, key, "is not the address of a proxy");
	}
	return keep_text(reader, text, strlen(text), into);
}

/** A timer has no working directory that anybody thinks of: only absolute paths. */
static int read_path(struct reader *reader, const struct key *key, const char **into)
{
	const char *text = scalar(reader);
	if (text[0] != '/') {
		return unexpected(reader, key, "is not an absolute path");
	}
	size_t size = strlen(text);
	while (size > 1 && text[size - 1] == '/') {
		size--;
	}
	return keep_text(reader, text, size, into);
}

static int read_number(struct reader *reader, const struct key *key, int64_t *into)
{
	const bool duration = key->kind == KIND_DURATION;
	int64_t value = 0;
	const int r = duration ? ur_parse_duration(scalar(reader), &value)
			       : ur_parse_number(scalar(reader), key->low, key->high, &value);
	if (r < 0) {
		return unexpected(reader, key, duration ? "is not a time" : "is not a number here");
	}
	if (value < key->low || value > key->high) {
		return unexpected(reader, key, value < key->low ? "is too short" : "is too long");
	}
	*into = value;
	return 0;
}

static int read_word(struct reader *reader, const struct key *key, const char **into)
{
	const char *text = scalar(reader);
	if (!is_printable(text)) {
		return unexpected(reader, key, "is not one word");
	}
	return keep_text(reader, text, strlen(text), into);
}

static int read_bytes(struct reader *reader, const struct key *key, int64_t *into)
{
	uint64_t value = 0;
	if (ur_parse_bytes(scalar(reader), &value) < 0 || value > (uint64_t)key->high ||
		value < (uint64_t)key->low) {
		return unexpected(reader, key, "is not a size here");
	}
	*into = (int64_t)value;
	return 0;
}

static int read_rate(struct reader *reader, const struct key *key, struct ur_settings *into)
{
	struct ur_err why = {0};
	struct ur_schedule schedule = {0};
	if (ur_schedule_parse(scalar(reader), &schedule, &why) < 0) {
		return wrong(reader, reader->event.start_mark, "'%s': %s", key->name, why.text);
	}
	const struct ur_schedule *copy =
		(const void *)ur_arena_copy(reader->arena, &schedule, sizeof schedule);
	if (copy == NULL) {
		return short_of_memory(reader);
	}
	into->bwlimit = copy;
	return keep_text(reader, scalar(reader), strlen(scalar(reader)), &into->bwlimit_text);
}

static int read_choice(struct reader *reader, const struct key *key, int *into)
{
	for (const struct choice *choice = key->choices; choice->name != NULL; choice++) {
		if (strcmp(choice->name, scalar(reader)) == 0) {
			*into = choice->value;
			return 0;
		}
	}
	return unexpected(reader, key, "is not one of the choices");
}

/** A list of patterns, or one pattern alone. */
static int read_patterns(
	struct reader *reader, const struct key *key, struct ur_settings_patterns *into)
{
	const char *items[UR_SETTINGS_EXCLUDES_MAX] = {NULL};
	const bool list = reader->event.type == YAML_SEQUENCE_START_EVENT;
	size_t count = 0;
	for (;;) {
		int r = list ? next(reader) : 0;
		if (r < 0) {
			return r;
		}
		if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
			break;
		}
		if (count == UR_SETTINGS_EXCLUDES_MAX) {
			return wrong(reader, reader->event.start_mark,
				"'%s': more than %u patterns", key->name, UR_SETTINGS_EXCLUDES_MAX);
		}
		r = need_scalar(reader, key);
		if (r == 0) {
			r = keep_text(
				reader, scalar(reader), strlen(scalar(reader)), &items[count]);
		}
		if (r < 0) {
			return r;
		}
		count++;
		if (!list) {
			break;
		}
	}
	const char **copy = ur_arena_alloc(reader->arena, (count + 1) * sizeof *copy);
	if (copy == NULL) {
		return short_of_memory(reader);
	}
	for (size_t i = 0; i < count; i++) {
		copy[i] = items[i];
	}
	*into = (struct ur_settings_patterns){copy, count};
	return 0;
}

static int read_folders(struct reader *reader, const struct key *key, struct ur_settings *into);
static int read_resumable(struct reader *reader, const struct key *key, struct ur_settings *into);

/** The current event is the value of `key`; it goes into `base` at the key's offset. */
static int read_value(struct reader *reader, const struct key *key, enum scope scope, void *base)
{
	void *into = (char *)base + key->at[scope];
	if (key->kind != KIND_FOLDERS && key->kind != KIND_RESUMABLE &&
		!(key->kind == KIND_PATTERNS && reader->event.type == YAML_SEQUENCE_START_EVENT)) {
		const int r = need_scalar(reader, key);
		if (r < 0) {
			return r;
		}
	}
	switch (key->kind) {
	case KIND_URL:
		return read_url(reader, key, into);
	case KIND_PROXY:
		return read_proxy(reader, key, into);
	case KIND_PATH:
		return read_path(reader, key, into);
	case KIND_WORD:
		return read_word(reader, key, into);
	case KIND_BYTES:
		return read_bytes(reader, key, into);
	case KIND_DURATION:
	case KIND_NUMBER:
		return read_number(reader, key, into);
	case KIND_RATE:
		return read_rate(reader, key, base);
	case KIND_CHOICE:
		return read_choice(reader, key, into);
	case KIND_PATTERNS:
		return read_patterns(reader, key, into);
	case KIND_FOLDERS:
		return read_folders(reader, key, base);
	case KIND_RESUMABLE:
		return read_resumable(reader, key, base);
	case KIND_SECRET:
		break;
	}
	assert(false && "a key that is refused has no value");
	return -EINVAL;
}

/* --- keys ------------------------------------------------------------------------------------ */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static char plain(char c)
{
	return c == '-' ? '_' : (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/** How many letters must be changed, added, dropped or swapped to make `b` of `a`. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][KEY_NAME_MAX + 1];
	size_t *before = rows[0];
	size_t *last = rows[1];
	size_t *now = rows[2];
	const size_t width = strlen(b);
	assert(width <= KEY_NAME_MAX);
	for (size_t j = 0; j <= width; j++) {
		last[j] = j;
		before[j] = j;
	}
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		now[0] = i;
		for (size_t j = 1; j <= width; j++) {
			const char x = plain(a[i - 1]);
			const char y = b[j - 1];
			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == b[j - 2] && plain(a[i - 2]) == y) {
				now[j] = least(now[j], before[j - 2] + 1);
			}
		}
		size_t *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[width];
}

static const char *const scopes[SCOPES] = {
	[SCOPE_FILE] = "the file",
	[SCOPE_FOLDER] = "a folder",
	[SCOPE_RESUMABLE] = "'resumable'",
};

/** Where a key that is not one of this scope belongs. */
static const char *home_of(const struct key *key)
{
	int scope = SCOPE_FILE;
	while (scope < SCOPES - 1 && key->at[scope] == NOWHERE) {
		scope++;
	}
	return scopes[scope];
}

static const struct key *nearest(const char *name, enum scope scope)
{
	const struct key *best = NULL;
	size_t best_distance = strlen(name) / 3 + 2;
	for (size_t i = 0; i < KEYS && strlen(name) <= KEY_NAME_MAX; i++) {
		if (keys[i].kind == KIND_SECRET || keys[i].at[scope] == NOWHERE) {
			continue;
		}
		const size_t d = distance(name, keys[i].name);
		if (d < best_distance) {
			best = &keys[i];
			best_distance = d;
		}
	}
	return best;
}

static int unknown_key(struct reader *reader, enum scope scope, const char *name)
{
	const yaml_mark_t at = reader->event.start_mark;
	const char *name_shown = shown(reader, name, reader->event.data.scalar.length);
	const struct key *near = nearest(name, scope);
	if (near != NULL) {
		return wrong(
			reader, at, "unknown key '%s'; did you mean '%s'?", name_shown, near->name);
	}
	struct ur_text list = {0};
	for (size_t i = 0; i < KEYS; i++) {
		if (keys[i].kind != KIND_SECRET && keys[i].at[scope] != NOWHERE) {
			ur_text_addf(&list, "%s%s", list.size == 0 ? "" : ", ", keys[i].name);
		}
	}
	const int r = wrong(reader, at, "unknown key '%s'; the keys of %s are %s", name_shown,
		scopes[scope], ur_text_get(&list));
	ur_text_done(&list);
	return r;
}

/** The key that the current event names. */
static int read_key(struct reader *reader, enum scope scope, const struct key **ret)
{
	const yaml_event_t *event = &reader->event;
	if (event->type != YAML_SCALAR_EVENT) {
		return wrong(
			reader, event->start_mark, "a key is expected here, as in 'server: …'");
	}
	const char *name = scalar(reader);
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name, name) != 0 || strlen(name) != event->data.scalar.length) {
			continue;
		}
		if (keys[i].kind == KIND_SECRET) {
			return wrong(reader, event->start_mark,
				"'%s': an API key does not belong into this file; write it into a file "
				"of its own that only you can read, and name that file with key_file",
				name);
		}
		if (keys[i].at[scope] == NOWHERE) {
			return wrong(reader, event->start_mark, "'%s' is a key of %s, not of %s",
				name, home_of(&keys[i]), scopes[scope]);
		}
		*ret = &keys[i];
		return 0;
	}
	return unknown_key(reader, scope, name);
}

/** The current event begins a mapping; reads it to its end into `base`. */
static int read_mapping(struct reader *reader, enum scope scope, void *base)
{
	size_t lines[KEYS] = {0}; // where each key stood, from 1
	for (;;) {
		const struct key *key = NULL;
		int r = next(reader);
		if (r < 0 || reader->event.type == YAML_MAPPING_END_EVENT) {
			return r;
		}
		r = read_key(reader, scope, &key);
		if (r < 0) {
			return r;
		}
		size_t *line = &lines[key - keys];
		if (*line != 0) {
			return wrong(reader, reader->event.start_mark,
				"'%s' comes twice; the first one is in line %zu", key->name, *line);
		}
		*line = reader->event.start_mark.line + 1;
		r = next(reader);
		if (r == 0) {
			r = read_value(reader, key, scope, base);
		}
		if (r < 0) {
			return r;
		}
	}
}

/* --- folders --------------------------------------------------------------------------------- */

static bool is_below(const char *path, const char *root)
{
	const size_t size = strlen(root);
	return strncmp(path, root, size) == 0 &&
	       (path[size] == '\0' || path[size] == '/' || size == 1);
}

/** What must hold between the keys of one folder, and between the folders. */
static int check_folder(struct reader *reader, yaml_mark_t at,
	const struct ur_settings_folder *folder, const struct ur_settings_folder *others,
	size_t other_count)
{
	if (folder->path == NULL) {
		return wrong(reader, at, "this folder has no 'path'");
	}
	if (folder->after == UR_SETTINGS_AFTER_MOVE && folder->move_to == NULL) {
		return wrong(reader, at, "'after: move' needs 'move_to', the folder to move to");
	}
	if (folder->after != UR_SETTINGS_AFTER_MOVE && folder->move_to != NULL) {
		return wrong(reader, at, "'move_to' is used with 'after: move' only");
	}
	if (folder->move_to != NULL && is_below(folder->move_to, folder->path)) {
		return wrong(reader, at,
			"'move_to' lies in the folder itself, so that what was moved would be "
			"imported again");
	}
	for (size_t i = 0; i < other_count; i++) {
		if (strcmp(others[i].path, folder->path) == 0) {
			return wrong(reader, at,
				"'%s' is listed twice; the first one is in line %d",
				shown(reader, folder->path, strlen(folder->path)), others[i].line);
		}
	}
	return 0;
}

static int read_folder(struct reader *reader, struct ur_settings_folder *folders, size_t count)
{
	const yaml_mark_t at = reader->event.start_mark;
	struct ur_settings_folder *folder = &folders[count];
	if (reader->event.type != YAML_MAPPING_START_EVENT) {
		return wrong(reader, at, "a folder is expected here, as in '- path: /srv/import'");
	}
	*folder = (struct ur_settings_folder){
		.min_age_ms = UR_SETTINGS_UNSET,
		.follow_symlinks = UR_SETTINGS_FLAG_UNSET,
		.one_file_system = UR_SETTINGS_FLAG_UNSET,
		.line = (int)at.line + 1,
	};
	const int r = read_mapping(reader, SCOPE_FOLDER, folder);
	return r < 0 ? r : check_folder(reader, at, folder, folders, count);
}

static int read_folders(struct reader *reader, const struct key *key, struct ur_settings *into)
{
	struct ur_settings_folder folders[UR_SETTINGS_FOLDERS_MAX];
	size_t count = 0;
	if (reader->event.type != YAML_SEQUENCE_START_EVENT) {
		return wrong(reader, reader->event.start_mark, "'%s': this is no list; expected %s",
			key->name, key->expects);
	}
	for (;;) {
		int r = next(reader);
		if (r < 0) {
			return r;
		}
		if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
			break;
		}
		if (count == UR_SETTINGS_FOLDERS_MAX) {
			return wrong(reader, reader->event.start_mark, "'%s': more than %u folders",
				key->name, UR_SETTINGS_FOLDERS_MAX);
		}
		r = read_folder(reader, folders, count);
		if (r < 0) {
			return r;
		}
		count++;
	}
	const char *copy = ur_arena_copy(reader->arena, folders, count * sizeof folders[0]);
	if (copy == NULL) {
		return short_of_memory(reader);
	}
	into->folders = (const void *)copy;
	into->folder_count = count;
	return 0;
}

static int read_resumable(struct reader *reader, const struct key *key, struct ur_settings *into)
{
	if (reader->event.type != YAML_MAPPING_START_EVENT) {
		return wrong(reader, reader->event.start_mark, "'%s': expected %s", key->name,
			key->expects);
	}
	return read_mapping(reader, SCOPE_RESUMABLE, into);
}

/* --- the file -------------------------------------------------------------------------------- */

void ur_settings_clear(struct ur_settings *settings)
{
	*settings = (struct ur_settings){
		.concurrency = UR_SETTINGS_UNSET,
		.server_wait_ms = UR_SETTINGS_UNSET,
		.resumable_threshold = UR_SETTINGS_UNSET,
		.resumable_chunk = UR_SETTINGS_UNSET,
		.answer_wait_ms = UR_SETTINGS_UNSET,
		.suspect_wait_ms = UR_SETTINGS_UNSET,
		.settle_after_ms = UR_SETTINGS_UNSET,
		.quiet_without_lease_ms = UR_SETTINGS_UNSET,
		.accept_cut_off = UR_SETTINGS_FLAG_UNSET,
		.min_age_ms = UR_SETTINGS_UNSET,
		.one_file_system = UR_SETTINGS_FLAG_UNSET,
		.follow_symlinks = UR_SETTINGS_FLAG_UNSET,
		.max_size = UR_SETTINGS_UNSET,
		.user_uploads = UR_SETTINGS_UNSET,
		.user_bytes = UR_SETTINGS_UNSET,
		.keep_free = UR_SETTINGS_UNSET,
		.expire_ms = UR_SETTINGS_UNSET,
		.deliveries = UR_SETTINGS_UNSET,
	};
}

static int read_document(struct reader *reader, struct ur_settings *into)
{
	const yaml_mark_t at = reader->event.start_mark;
	int r = next(reader);
	if (r < 0) {
		return r;
	}
	const yaml_event_t *event = &reader->event;
	if (event->type == YAML_MAPPING_START_EVENT) {
		r = read_mapping(reader, SCOPE_FILE, into);
	} else if (event->type != YAML_SCALAR_EVENT || event->data.scalar.length > 0) {
		r = wrong(reader, event->start_mark, "keys are expected here, as in 'server: …'");
	}
	if (r == 0 && into->client_key != NULL && into->client_cert == NULL) {
		r = wrong(reader, at, "'client_key' needs 'client_cert', the certificate it is of");
	}
	return r;
}

static int read_stream(struct reader *reader, struct ur_settings *into)
{
	int documents = 0;
	for (;;) {
		int r = next(reader);
		if (r < 0 || reader->event.type == YAML_STREAM_END_EVENT) {
			return r;
		}
		if (reader->event.type != YAML_DOCUMENT_START_EVENT) {
			continue;
		}
		if (documents++ > 0) {
			return wrong(reader, reader->event.start_mark,
				"a second document begins here; one is all that is read");
		}
		r = read_document(reader, into);
		if (r < 0) {
			return r;
		}
	}
}

int ur_settings_parse(struct ur_arena *arena, const char *name, const void *text, size_t size,
	struct ur_settings *ret, struct ur_err *err)
{
	const size_t mark = ur_text_mark(text, size);
	struct reader reader = {.arena = arena,
		.name = name,
		.text = (const unsigned char *)text + mark,
		.size = size - mark,
		.err = err};
	struct ur_settings settings;
	if (size > UR_SETTINGS_FILE_MAX) {
		return ur_err_say(err, -EFBIG, UR_FAULT_SETUP,
			"'%s' has %zu bytes; a configuration has at most %u", name, size,
			UR_SETTINGS_FILE_MAX);
	}
	if (yaml_parser_initialize(&reader.yaml) == 0) {
		return short_of_memory(&reader);
	}
	yaml_parser_set_encoding(&reader.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.yaml, reader.text, reader.size);

	ur_settings_clear(&settings);
	const int r = read_stream(&reader, &settings);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.yaml);
	if (r == 0) {
		*ret = settings;
	}
	return r;
}

/** The whole of a regular file that is not too large, for free(). */
static int read_file(int fd, const char *path, char **ret, size_t *ret_size, struct ur_err *err)
{
	struct stat st;
	int r = ur_sys.fstat(fd, &st);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot look at '%s'", path);
	}
	if (!S_ISREG(st.st_mode)) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"'%s' is not a regular file; name the configuration file itself", path);
	}
	if (st.st_size > UR_SETTINGS_FILE_MAX) {
		return ur_err_say(err, -EFBIG, UR_FAULT_SETUP,
			"'%s' has %lld bytes; a configuration has at most %u", path,
			(long long)st.st_size, UR_SETTINGS_FILE_MAX);
	}
	char *text = malloc((size_t)st.st_size + 1);
	if (text == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "reading '%s'", path);
	}
	const ssize_t size = ur_sys_pread_all(fd, text, (size_t)st.st_size, 0);
	if (size < 0) {
		free(text);
		return ur_err_set(err, (int)size, UR_FAULT_SETUP, "cannot read '%s'", path);
	}
	*ret = text;
	*ret_size = (size_t)size;
	return 0;
}

int ur_settings_load(
	struct ur_arena *arena, const char *path, struct ur_settings *ret, struct ur_err *err)
{
	char *text = NULL;
	size_t size = 0;
	const int fd = ur_sys.openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0) {
		return ur_err_set(err, fd, UR_FAULT_SETUP, "cannot open '%s'", path);
	}
	int r = read_file(fd, path, &text, &size, err);
	(void)ur_sys.close(fd);
	if (r == 0) {
		r = ur_settings_parse(arena, path, text, size, ret, err);
	}
	free(text);
	return r;
}
