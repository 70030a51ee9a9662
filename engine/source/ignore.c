/*
 * ignore - rules in the order they came; a match walks them backwards and stops at the first.
 *
 * The wildcards are matched without recursion.  Two places to go back to are enough, because the
 * earliest fit of what stands before a star leaves the most for what comes after it:
 *
 *     pattern  IMG / ** / a * . j p g
 *                    │      └ star: takes one more byte, never a '/'
 *                    └ deep: begins one folder further down; forgets the star
 */
#include "engine/source/ignore.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/text.h"

#define RULES_FIRST 16u

struct rule {
	const char *written; // what the user wrote, for messages
	const char *pattern; // inside `written`: without '!', a leading '/' and a trailing one
	size_t size;
	bool taken_back;  // '!'
	bool folder_only; // '/' at the end
	bool anchored;    // a '/' elsewhere: compared with the whole path, else with the name
	char first;       // the only byte that the text may begin with, 0: any
	char last;        // … end with
};

struct ur_ignore {
	struct ur_arena arena;
	struct rule *rules;
	size_t count;
	size_t room;
	bool fold_case;
};

int ur_ignore_new(bool fold_case, struct ur_ignore **ret)
{
	struct ur_ignore *ignore = calloc(1, sizeof *ignore);
	if (ignore == NULL) {
		return -ENOMEM;
	}
	ur_arena_init(&ignore->arena);
	ignore->fold_case = fold_case;
	*ret = ignore;
	return 0;
}

struct ur_ignore *ur_ignore_free(struct ur_ignore *ignore)
{
	if (ignore != NULL) {
		ur_arena_done(&ignore->arena);
		free(ignore->rules);
		free(ignore);
	}
	return NULL;
}

/** The size without trailing spaces; one behind a backslash is meant and stays. */
static size_t trimmed(const char *line, size_t size)
{
	size_t end = 0;
	for (size_t i = 0; i < size; i++) {
		if (line[i] == '\\' && i + 1 < size) {
			i++;
			end = i + 1;
		} else if (line[i] != ' ') {
			end = i + 1;
		}
	}
	return end;
}

static int reserve(struct ur_ignore *ignore)
{
	if (ignore->count == UR_IGNORE_RULES_MAX) {
		return -E2BIG;
	}
	if (ignore->count < ignore->room) {
		return 0;
	}
	const size_t room = ignore->room == 0 ? RULES_FIRST : ignore->room * 2;
	struct rule *rules = realloc(ignore->rules, room * sizeof *rules);
	if (rules == NULL) {
		return -ENOMEM;
	}
	ignore->rules = rules;
	ignore->room = room;
	return 0;
}

/** Takes the marks off both ends and sees what is left of the pattern. */
static struct rule read_rule(const char *written, size_t size)
{
	struct rule rule = {.written = written, .pattern = written, .size = size};
	if (rule.size > 0 && rule.pattern[0] == '!') {
		rule.taken_back = true;
		rule.pattern++;
		rule.size--;
	}
	if (rule.size > 0 && rule.pattern[rule.size - 1] == '/') {
		rule.folder_only = true;
		rule.size--;
	}
	rule.anchored = memchr(rule.pattern, '/', rule.size) != NULL;
	if (rule.size > 0 && rule.pattern[0] == '/') {
		rule.pattern++;
		rule.size--;
	}
	return rule;
}

static bool within(unsigned char c, unsigned char low, unsigned char high)
{
	return c >= low && c <= high;
}

static unsigned char lower(unsigned char c)
{
	return within(c, 'A', 'Z') ? (unsigned char)(c + ('a' - 'A')) : c;
}

static unsigned char upper(unsigned char c)
{
	return within(c, 'a', 'z') ? (unsigned char)(c - ('a' - 'A')) : c;
}

static bool is_plain(char c)
{
	return strchr("*?[]\\", c) == NULL;
}

/** Most names part from most patterns at their first or last byte. */
static void note_ends(struct rule *rule, bool fold_case)
{
	const char *last = &rule->pattern[rule->size - 1];
	if (is_plain(rule->pattern[0])) {
		rule->first = rule->pattern[0];
	}
	if (is_plain(*last) && (rule->size == 1 || last[-1] != '\\')) {
		rule->last = *last;
	}
	if (fold_case) {
		rule->first = (char)lower((unsigned char)rule->first);
		rule->last = (char)lower((unsigned char)rule->last);
	}
}

static bool ends_fit(const struct rule *rule, bool fold, const char *text, size_t size)
{
	if (size == 0) {
		return true;
	}
	const unsigned char first = (unsigned char)text[0];
	const unsigned char last = (unsigned char)text[size - 1];
	return (rule->first == 0 || (char)(fold ? lower(first) : first) == rule->first) &&
	       (rule->last == 0 || (char)(fold ? lower(last) : last) == rule->last);
}

int ur_ignore_add(struct ur_ignore *ignore, const char *line, size_t size)
{
	if (size > 0 && line[0] == '#') {
		return 0;
	}
	const size_t kept = trimmed(line, size);
	if (kept > UR_IGNORE_PATTERN_MAX || memchr(line, '\0', kept) != NULL) {
		return -EINVAL;
	}
	if (kept == 0) {
		return 0;
	}
	int r = reserve(ignore);
	if (r < 0) {
		return r;
	}
	const char *written = ur_arena_copy(&ignore->arena, line, kept);
	if (written == NULL) {
		return -ENOMEM;
	}
	struct rule rule = read_rule(written, kept);
	if (rule.size > 0) { // "/" and "!" match nothing
		note_ends(&rule, ignore->fold_case);
		ignore->rules[ignore->count++] = rule;
	}
	return 0;
}

int ur_ignore_add_text(struct ur_ignore *ignore, const char *text, size_t size)
{
	const char *at = text + ur_text_mark(text, size);
	const char *const end = text + size;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline == NULL ? end : newline;
		size_t length = (size_t)(stop - at);
		if (length > 0 && at[length - 1] == '\r') {
			length--;
		}
		const int r = ur_ignore_add(ignore, at, length);
		if (r < 0) {
			return r;
		}
		at = newline == NULL ? end : newline + 1;
	}
	return 0;
}

/* By family; where no source is named, what these leave was seen on disks of theirs. */
static const char *const junk[] = {
	/* Synology: thumbnails, trash, snapshots */
	"@eaDir/",
	"\\#recycle/",
	"\\#snapshot/",
	"@tmp/",
	"SYNOFILE_THUMB_*",
	/* QNAP */
	"@__thumb/",
	".@__thumb/",
	"@Recycle/",
	"@Recently-Snapshot/",
	/* Samba's vfs_recycle, Unraid */
	".recycle/",
	".Recycle.Bin/",
	/* snapshots of file systems: ZFS, snapper, NetApp */
	".zfs/",
	".snapshots/",
	".snapshot/",
	"~snapshot/",
	/* photo applications: previews, catalogues; an Apple library's own renderings and databases */
	".photostructure/",
	"Lightroom Catalog/",
	"*.lrdata/",
	"**/CaptureOne/Cache/",
	"thumbnails/",
	"Recently Deleted/",
	"**/*.photoslibrary/resources/",
	"**/*.photoslibrary/database/",
	"**/*.photoslibrary/private/",
	"**/*.photoslibrary/scopes/",
	"**/*.photolibrary/Thumbnails/",
	/* Android (MediaStore names what waits for its end, and what is in the trash), Xiaomi, Huawei */
	".thumbnails/",
	".trashed-[0-9]*",
	".pending-[0-9]*",
	".globalTrash/",
	".Gallery2/",
	/* cameras: pictures and films in small, beside the real ones */
	"**/M4ROOT/THMBNL/",
	"**/M4ROOT/SUB/",
	"AVCHDTN/",
	"*.LRV",
	"*.LRF",
	"*.THM",
	"LRV_*.insv",
	/* desktops: their trash (freedesktop.org's specification), their indexes, their notes */
	".Spotlight-V100/",
	".fseventsd/",
	".TemporaryItems/",
	".DocumentRevisions-V100/",
	".AppleDouble/",
	"Network Trash Folder/",
	".Trashes/",
	".Trash/",
	".Trash-*/",
	"**/.local/share/Trash/",
	"$RECYCLE.BIN/",
	"RECYCLER/",
	"System Volume Information/",
	"lost+found/",
	"._*",
	".DS_Store",
	"[Tt]humbs.db",
	/* Syncthing's old versions; downloads and copies that are not finished */
	".stversions/",
	".stfolder/",
	"~syncthing~*",
	".dropbox.cache/",
	"*.part",
	"*.partial",
	"*.crdownload",
	"*.tmp",
	".syncthing.*",
	".~*",
};

int ur_ignore_add_junk(struct ur_ignore *ignore)
{
	for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
		const int r = ur_ignore_add(ignore, junk[i], strlen(junk[i]));
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* --- wildcards ------------------------------------------------------------------------------- */

/** [:name:] in ASCII, whatever the locale; -1 for a name that does not exist. */
static int in_named_class(const char *name, size_t size, unsigned char c)
{
	const bool alpha = within(lower(c), 'a', 'z');
	const bool digit = within(c, '0', '9');
	const bool graph = within(c, 0x21, 0x7e);
	const struct {
		const char *name;
		bool in;
	} classes[] = {
		{"alnum", alpha || digit},
		{"alpha", alpha},
		{"blank", c == ' ' || c == '\t'},
		{"cntrl", c < 0x20 || c == 0x7f},
		{"digit", digit},
		{"graph", graph},
		{"lower", within(c, 'a', 'z')},
		{"print", graph || c == ' '},
		{"punct", graph && !alpha && !digit},
		{"space", c == ' ' || within(c, '\t', '\r')},
		{"upper", within(c, 'A', 'Z')},
		{"xdigit", digit || within(lower(c), 'a', 'f')},
	};
	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
		if (strlen(classes[i].name) == size && memcmp(classes[i].name, name, size) == 0) {
			return classes[i].in;
		}
	}
	return -1;
}

/** One literal of a set, escaped or not; false at the end of the pattern. */
static bool set_literal(const char **at, const char *end, unsigned char *ret)
{
	if (*at < end && **at == '\\') {
		(*at)++;
	}
	if (*at >= end) {
		return false;
	}
	*ret = (unsigned char)*(*at)++;
	return true;
}

/** "[:" stands at `at`: the size of the whole "[:name:]", or 0 when it is an ordinary '['. */
static size_t named_class_size(const char *at, const char *end)
{
	const char *close = memchr(at + 2, ']', (size_t)(end - at - 2));
	return close == NULL || close < at + 3 || close[-1] != ':' ? 0 : (size_t)(close + 1 - at);
}

/**
 * `*at` stands behind a '['.  Moves it behind the ']' and says whether `c` is in the set: 1 or 0;
 * -1 for a set that is not closed or names an unknown class: such a pattern matches nothing.
 */
static int in_set(const char **at, const char *end, unsigned char c)
{
	const char *p = *at;
	const bool negated = p < end && (*p == '!' || *p == '^');
	p += negated;
	bool in = false;
	for (bool first = true; first || p >= end || *p != ']'; first = false) {
		unsigned char low = 0;
		const size_t named =
			end - p > 3 && p[0] == '[' && p[1] == ':' ? named_class_size(p, end) : 0;
		if (named > 0) {
			const int r = in_named_class(p + 2, named - 4, c);
			if (r < 0) {
				return -1;
			}
			in |= r == 1;
			p += named;
			continue;
		}
		if (!set_literal(&p, end, &low)) {
			return -1;
		}
		unsigned char high = low;
		if (end - p > 1 && p[0] == '-' && p[1] != ']') {
			p++;
			if (!set_literal(&p, end, &high)) {
				return -1;
			}
		}
		in |= within(c, low, high);
	}
	*at = p + 1;
	return in != negated;
}

static int in_folded_set(const char **at, const char *end, unsigned char c)
{
	const char *again = *at;
	const bool negated = again < end && (*again == '!' || *again == '^');
	const int small = in_set(at, end, lower(c));
	const int capital = in_set(&again, end, upper(c));
	if (small < 0 || capital < 0) {
		return -1;
	}
	return negated ? small && capital : small || capital;
}

/** One byte of text against one element that is no star; *at moves behind the element. */
static bool fits_one(const char **at, const char *end, unsigned char c, bool fold)
{
	const char first = *(*at)++;
	if (first == '?') {
		return c != '/';
	}
	if (first == '[') {
		const int r = fold ? in_folded_set(at, end, c) : in_set(at, end, c);
		return r == 1 && c != '/';
	}
	unsigned char want = (unsigned char)first;
	if (first == '\\') {
		if (*at >= end) {
			return false;
		}
		want = (unsigned char)*(*at)++;
	}
	return fold ? lower(want) == lower(c) : want == c;
}

/** Where to go on when the text does not fit. */
struct retreat {
	const char *pattern; // NULL: nowhere
	const char *text;
};

enum star {
	STAR_NAME,    // within a name
	STAR_DEEP,    // "**" that stands alone between slashes: over them, too
	STAR_FOLDERS, // as before, with the slash behind it: no folder, one or many
};

/** A run of stars stands at *at, which moves behind it. */
static enum star read_star(const char **at, const char *start, const char *end)
{
	const char *run = *at;
	const char *p = run;
	while (p < end && *p == '*') {
		p++;
	}
	*at = p;
	if (p - run < 2 || (run > start && run[-1] != '/')) {
		return STAR_NAME;
	}
	if (p < end && *p == '/') {
		*at = p + 1;
		return STAR_FOLDERS;
	}
	return p == end || (end - p > 1 && p[0] == '\\' && p[1] == '/') ? STAR_DEEP : STAR_NAME;
}

/** Takes one step more with the nearest star that can; false when none can. */
static bool go_back(struct retreat *name, struct retreat *deep, bool by_folder)
{
	if (name->pattern != NULL && *name->text != '\0' && *name->text != '/') {
		name->text++;
		return true;
	}
	name->pattern = NULL;
	if (deep->pattern == NULL) {
		return false;
	}
	if (by_folder) {
		deep->text = strchr(deep->text, '/');
		if (deep->text == NULL) {
			deep->pattern = NULL;
			return false;
		}
	} else if (*deep->text == '\0') {
		return false;
	}
	deep->text++;
	return true;
}

static bool fits(const char *pattern, size_t size, const char *text, bool fold)
{
	const char *const end = pattern + size;
	const char *p = pattern;
	const char *t = text;
	struct retreat name = {0};
	struct retreat deep = {0};
	bool by_folder = false;

	for (;;) {
		if (p < end && *p == '*') {
			const enum star star = read_star(&p, pattern, end);
			if (star == STAR_NAME) {
				name = (struct retreat){p, t};
				continue;
			}
			if (p == end && star == STAR_DEEP) {
				return true;
			}
			by_folder = star == STAR_FOLDERS;
			deep = (struct retreat){p, t};
			name = (struct retreat){0};
			continue;
		}
		if (*t == '\0' && p == end) {
			return true;
		}
		if (*t != '\0' && p < end && fits_one(&p, end, (unsigned char)*t, fold)) {
			t++;
			continue;
		}
		if (!go_back(&name, &deep, by_folder)) {
			return false;
		}
		const struct retreat *to = name.pattern != NULL ? &name : &deep;
		p = to->pattern;
		t = to->text;
	}
}

enum ur_ignore_verdict ur_ignore_match_why(
	const struct ur_ignore *ignore, const char *path, bool is_folder, const char **ret_pattern)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	const size_t name_size = strlen(name);
	const size_t path_size = (size_t)(name - path) + name_size;

	assert(path[0] != '/');
	*ret_pattern = NULL;
	for (size_t i = ignore->count; i > 0; i--) {
		const struct rule *rule = &ignore->rules[i - 1];
		if ((rule->folder_only && !is_folder) ||
			!ends_fit(rule, ignore->fold_case, rule->anchored ? path : name,
				rule->anchored ? path_size : name_size)) {
			continue;
		}
		if (fits(rule->pattern, rule->size, rule->anchored ? path : name,
			    ignore->fold_case)) {
			*ret_pattern = rule->written;
			return rule->taken_back ? UR_IGNORE_TAKE : UR_IGNORE_LEAVE;
		}
	}
	return UR_IGNORE_SILENT;
}

enum ur_ignore_verdict ur_ignore_match(
	const struct ur_ignore *ignore, const char *path, bool is_folder)
{
	const char *pattern = NULL;
	return ur_ignore_match_why(ignore, path, is_folder, &pattern);
}
