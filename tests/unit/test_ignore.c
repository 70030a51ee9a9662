/* test_ignore - the rules by example, by property, and against git where there is one. */
#include "engine/source/ignore.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "engine/base/text.h"

#define SILENT UR_IGNORE_SILENT
#define LEAVE UR_IGNORE_LEAVE
#define TAKE UR_IGNORE_TAKE

struct example {
	const char *rules; // a whole file
	const char *path;  // '/' at the end: a folder
	enum ur_ignore_verdict verdict;
};

static struct ur_ignore *rules_of(const char *text, bool fold_case)
{
	struct ur_ignore *ignore = NULL;
	assert_int_equal(ur_ignore_new(fold_case, &ignore), 0);
	assert_int_equal(ur_ignore_add_text(ignore, text, strlen(text)), 0);
	return ignore;
}

static enum ur_ignore_verdict verdict_of(const struct ur_ignore *ignore, const char *shown)
{
	char path[256];
	const size_t size = strlen(shown);
	const bool is_folder = size > 0 && shown[size - 1] == '/';
	(void)snprintf(path, sizeof path, "%.*s", (int)(size - is_folder), shown);
	return ur_ignore_match(ignore, path, is_folder);
}

static void check_all(const struct example *examples, size_t count, bool fold_case)
{
	for (size_t i = 0; i < count; i++) {
		struct ur_ignore *ignore = rules_of(examples[i].rules, fold_case);
		const enum ur_ignore_verdict verdict = verdict_of(ignore, examples[i].path);
		if (verdict != examples[i].verdict) {
			fail_msg("rules '%s', path '%s': got %d, not %d", examples[i].rules,
				examples[i].path, (int)verdict, (int)examples[i].verdict);
		}
		ignore = ur_ignore_free(ignore);
	}
}
#define CHECK_ALL(examples, fold) check_all(examples, sizeof(examples) / sizeof(examples)[0], fold)

static void a_rule_without_a_slash_speaks_about_names_at_any_depth(void **state)
{
	(void)state;
	const struct example examples[] = {
		{"*.tmp", "a.tmp", LEAVE},
		{"*.tmp", "x/y/a.tmp", LEAVE},
		{"*.tmp", "a.tmp.jpg", SILENT},
		{"*.tmp", ".tmp", LEAVE},
		{"raw", "raw", LEAVE},
		{"raw", "x/raw/", LEAVE},
		{"raw", "rawer", SILENT},
		{"raw/", "raw/", LEAVE},
		{"raw/", "raw", SILENT},
		{"raw/", "x/raw/", LEAVE},
		{"a?c", "abc", LEAVE},
		{"a?c", "ac", SILENT},
		{"*", "x/y", LEAVE},
		{"", "a", SILENT},
		{"/", "a/", SILENT},
		{"!", "a", SILENT},
		{"!/", "a/", SILENT},
	};
	CHECK_ALL(examples, false);
}

static void a_slash_ties_a_rule_to_the_folder_of_the_list(void **state)
{
	(void)state;
	const struct example examples[] = {
		{"/a", "a", LEAVE},
		{"/a", "x/a", SILENT},
		{"x/a", "x/a", LEAVE},
		{"x/a", "y/x/a", SILENT},
		{"/x/*", "x/a", LEAVE},
		{"/x/*", "x/a/b", SILENT},
		{"x/?", "x/y", LEAVE},
		{"x?y", "x/y", SILENT},
		{"x/[/]", "x//", SILENT},
		{"x[/]y", "x/y", SILENT},
		{"/*.jpg", "a.jpg", LEAVE},
		{"/*.jpg", "x/a.jpg", SILENT},
		{"x//", "x/", SILENT},
	};
	CHECK_ALL(examples, false);
}

static void two_stars_between_slashes_cross_folders(void **state)
{
	(void)state;
	const struct example examples[] = {
		{"**/a", "a", LEAVE},
		{"**/a", "x/y/a", LEAVE},
		{"**/a/b", "x/a/b", LEAVE},
		{"**/a/b", "xa/b", SILENT},
		{"a/**", "a/x/y", LEAVE},
		{"a/**", "a/", SILENT},
		{"a/**/b", "a/b", LEAVE},
		{"a/**/b", "a/x/y/b", LEAVE},
		{"a/**/b", "a/xb", SILENT},
		{"a/**/b/**/c", "a/b/b/x/c", LEAVE},
		{"a/**/*.jpg", "a/x/y/z.jpg", LEAVE},
		{"**", "x/y", LEAVE},
		/* Not between slashes: as one star, as the manual says. */
		{"/a**b", "axb", LEAVE},
		{"/a**/b", "ab", SILENT},
		{"/a**/b", "axx/b", LEAVE},
		{"/a**/b", "a/x/b", SILENT},
		{"x/**y", "x/ay", LEAVE},
		{"x/**y", "x/a/y", SILENT},
	};
	CHECK_ALL(examples, false);
}

static void sets_and_escapes_mean_what_the_manual_says(void **state)
{
	(void)state;
	const struct example examples[] = {
		{"[abc]x", "bx", LEAVE},
		{"[!abc]x", "bx", SILENT},
		{"[^abc]x", "dx", LEAVE},
		{"[a-c]x", "bx", LEAVE},
		{"[a-c]x", "-x", SILENT},
		{"[]-]x", "]x", LEAVE},
		{"[]-]x", "-x", LEAVE},
		{"[a-]x", "-x", LEAVE},
		{"[\\]]x", "]x", LEAVE},
		{"[[:digit:]][[:upper:]]", "7Q", LEAVE},
		{"[[:digit:]][[:upper:]]", "7q", SILENT},
		{"[[:nonsense:]]", "n", SILENT},
		{"[ab", "a", SILENT},
		{"[ab", "[ab", SILENT},
		{"\\[x]", "[x]", LEAVE},
		{"[[]x]", "[x]", LEAVE},
		{"\\*", "*", LEAVE},
		{"\\*", "a", SILENT},
		{"a\\", "a", SILENT},
		{"a\\", "a\\", SILENT},
		{"a\\\\b", "a\\b", LEAVE},
		{"\\#recycle", "#recycle", LEAVE},
		{"#recycle", "#recycle", SILENT},
		{"\\!a", "!a", LEAVE},
		{"a b", "a b", LEAVE},
		{"a   ", "a", LEAVE},
		{"a\\ ", "a ", LEAVE},
		{"a\\  ", "a ", LEAVE},
		{"a\t", "a\t", LEAVE},
		{"\xff*", "\xff\xfe.jpg", LEAVE},
	};
	CHECK_ALL(examples, false);
}

static void the_last_rule_that_matches_decides(void **state)
{
	(void)state;
	const struct example examples[] = {
		{"*.jpg\n!keep.jpg", "keep.jpg", TAKE},
		{"*.jpg\n!keep.jpg", "x.jpg", LEAVE},
		{"!keep.jpg\n*.jpg", "keep.jpg", LEAVE},
		{"*\n!*/\n!*.jpg", "x/", TAKE},
		{"*\n!*/\n!*.jpg", "x/a.txt", LEAVE},
		{"\xef\xbb\xbf*.jpg\r\n# note\r\n\r\n!keep.jpg\r\n", "keep.jpg", TAKE},
		{"\xef\xbb\xbf*.jpg\r\n", "a.jpg", LEAVE},
		{"*.jpg\r", "a.jpg", LEAVE},
	};
	CHECK_ALL(examples, false);
}

static void folded_case_makes_capitals_equal(void **state)
{
	(void)state;
	const struct example examples[] = {
		{"*.JPG", "a.jpg", LEAVE},
		{"*.jpg", "A.JPG", LEAVE},
		{"[A-C]x", "bX", LEAVE},
		{"[abc]x", "BX", LEAVE},
		{"[!abc]x", "Bx", SILENT},
		{"[[:upper:]]", "q", LEAVE},
		{"\\A", "a", LEAVE},
		{"\xc3\x84", "\xc3\xa4", SILENT},
	};
	CHECK_ALL(examples, true);
}

static void the_rule_that_decided_is_named_as_it_was_written(void **state)
{
	(void)state;
	struct ur_ignore *ignore = rules_of("/x/*.tmp  \n!raw/\n", false);
	const char *pattern = "before";

	assert_int_equal(ur_ignore_match_why(ignore, "x/a.tmp", false, &pattern), LEAVE);
	assert_string_equal(pattern, "/x/*.tmp");
	assert_int_equal(ur_ignore_match_why(ignore, "raw", true, &pattern), TAKE);
	assert_string_equal(pattern, "!raw/");
	assert_int_equal(ur_ignore_match_why(ignore, "raw", false, &pattern), SILENT);
	assert_null(pattern);
	ignore = ur_ignore_free(ignore);
}

static void junk_is_left_and_pictures_are_not(void **state)
{
	(void)state;
	static const char *const left[] = {"@eaDir/", "2024/@eaDir/", "@__thumb/", "#recycle/",
		".Spotlight-V100/", ".photostructure/", "Lightroom Catalog/", "thumbnails/",
		"Recently Deleted/", "SYNOFILE_THUMB_M.jpg", "x/._IMG_1.jpg", ".DS_Store",
		"Thumbs.db", "thumbs.db", "IMG_1.jpg.part", "a.crdownload", "a.tmp",
		".syncthing.IMG.jpg.tmp", ".~IMG.jpg", ".Trash-1000/", "$RECYCLE.BIN/",
		"a/.@__thumb/", "@Recycle/", "#snapshot/", ".zfs/", ".snapshots/", ".stversions/",
		"DCIM/.thumbnails/", "DCIM/Camera/.trashed-1712345678-IMG_2.jpg",
		".pending-1712345678-IMG_3.jpg", "PRIVATE/M4ROOT/THMBNL/", "M4ROOT/SUB/",
		"GX01.LRV", "DJI_1.LRF", "GX01.THM", "a/My.photoslibrary/resources/",
		"me/.local/share/Trash/", "Previews.lrdata/"};
	static const char *const kept[] = {"IMG_1.jpg", ".hidden.jpg", "thumbnails", "part/",
		"a.part.jpg", "_._.jpg", "eaDir/", "recycle/", "Recently Deleted.jpg", "tmp/",
		"$RECYCLE.BIN", "snapshots/", "THMBNL/", "SUB/", ".trashed-by-me.jpg", "trash/",
		"My.photoslibrary/originals/", "My.photoslibrary/", "Recycle/", "LRV.jpg",
		"a.sync-conflict-20240101-120000.jpg"};
	struct ur_ignore *ignore = NULL;
	assert_int_equal(ur_ignore_new(false, &ignore), 0);
	assert_int_equal(ur_ignore_add_junk(ignore), 0);

	for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
		if (verdict_of(ignore, left[i]) != LEAVE) {
			fail_msg("'%s' would be imported", left[i]);
		}
	}
	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
		if (verdict_of(ignore, kept[i]) != SILENT) {
			fail_msg("'%s' would be left behind", kept[i]);
		}
	}
	ignore = ur_ignore_free(ignore);
}

static void a_later_rule_takes_a_junk_folder_back_in(void **state)
{
	(void)state;
	struct ur_ignore *ignore = NULL;
	assert_int_equal(ur_ignore_new(false, &ignore), 0);
	assert_int_equal(ur_ignore_add_junk(ignore), 0);
	assert_int_equal(ur_ignore_add(ignore, "!thumbnails/", 12), 0);

	assert_int_equal(ur_ignore_match(ignore, "2024/thumbnails", true), TAKE);
	ignore = ur_ignore_free(ignore);
}

static void too_long_and_too_many_are_refused(void **state)
{
	(void)state;
	struct ur_ignore *ignore = NULL;
	char line[UR_IGNORE_PATTERN_MAX + 10];
	memset(line, 'a', sizeof line);
	assert_int_equal(ur_ignore_new(false, &ignore), 0);

	assert_int_equal(ur_ignore_add(ignore, line, UR_IGNORE_PATTERN_MAX + 1), -EINVAL);
	assert_int_equal(ur_ignore_add(ignore, "a\0b", 3), -EINVAL);
	assert_int_equal(ur_ignore_add(ignore, line, UR_IGNORE_PATTERN_MAX), 0);
	line[0] = '#';
	assert_int_equal(ur_ignore_add(ignore, line, sizeof line), 0);
	for (unsigned i = 1; i < UR_IGNORE_RULES_MAX; i++) {
		assert_int_equal(ur_ignore_add(ignore, "x", 1), 0);
	}
	assert_int_equal(ur_ignore_add(ignore, "x", 1), -E2BIG);
	assert_int_equal(ur_ignore_match(ignore, "x", false), LEAVE);
	ignore = ur_ignore_free(ignore);
}

/** What takes other matchers hours takes this one a moment: 1.5 s is a thousand times what it is. */
static void no_pattern_makes_matching_slow(void **state)
{
	(void)state;
	static const char *const parts[] = {"*a", "**/", "a*", "*/", "**\\/*a"};
	for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
		struct ur_text pattern = {0};
		char path[4001];
		memset(path, 'a', sizeof path - 1);
		for (size_t i = 40; i < sizeof path - 1; i += 40) {
			path[i] = '/';
		}
		path[sizeof path - 1] = '\0';
		ur_text_adds(&pattern, "**/");
		for (size_t i = 0; i < 100; i++) {
			ur_text_adds(&pattern, parts[part]);
		}
		ur_text_adds(&pattern, "b");
		struct ur_ignore *ignore = rules_of(ur_text_get(&pattern), false);
		const int64_t start = ur_clock_steady_ns();

		assert_int_equal(ur_ignore_match(ignore, path, false), SILENT);
		assert_true(ur_clock_steady_ns() - start < 1500 * UR_MS_NS);
		ignore = ur_ignore_free(ignore);
		ur_text_done(&pattern);
	}
}

/* --- random rules ---------------------------------------------------------------------------- */

static uint64_t seed_of_run(void)
{
	const char *text = getenv("UR_SEED");
	const uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240506;
	print_message("UR_SEED=%llu repeats this\n", (unsigned long long)seed);
	return seed;
}

static unsigned roll(uint64_t *seed, unsigned below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(*seed >> 33) % below;
}

static void random_pattern(uint64_t *seed, const char *const *atoms, size_t count, char ret[64])
{
	ret[0] = '\0';
	for (unsigned n = 1 + roll(seed, 6); n > 0; n--) {
		strcat(ret, atoms[roll(seed, (unsigned)count)]);
	}
}

static void folding_equals_matching_in_lower_case(void **state)
{
	(void)state;
	static const char *const atoms[] = {"a", "B", "*", "?", "/", "**/", "A", "b", "/**", ".J"};
	uint64_t seed = seed_of_run();
	for (int round = 0; round < 20000; round++) {
		char pattern[64];
		char path[64];
		char small[2][64] = {0};
		random_pattern(&seed, atoms, 10, pattern);
		random_pattern(&seed, (const char *[]){"a", "B", "A/b", "b", ".j"}, 5, path);
		for (int i = 0; pattern[i] != '\0'; i++) {
			small[0][i] =
				(char)(pattern[i] >= 'A' && pattern[i] <= 'Z' ? pattern[i] + 32
									      : pattern[i]);
		}
		for (int i = 0; path[i] != '\0'; i++) {
			small[1][i] =
				(char)(path[i] >= 'A' && path[i] <= 'Z' ? path[i] + 32 : path[i]);
		}
		struct ur_ignore *folded = rules_of(pattern, true);
		struct ur_ignore *plain = rules_of(small[0], false);
		assert_int_equal(ur_ignore_match(folded, path, false),
			ur_ignore_match(plain, small[1], false));
		folded = ur_ignore_free(folded);
		plain = ur_ignore_free(plain);
	}
}

/** The obvious matcher, slow and recursive, for patterns of letters, '?', '*' and slashes only. */
static bool simple_fits(const char *p, const char *t)
{
	if (p[0] == '\0') {
		return t[0] == '\0';
	}
	if (p[0] != '*') {
		return t[0] != '\0' && (p[0] == t[0] || (p[0] == '?' && t[0] != '/')) &&
		       simple_fits(p + 1, t + 1);
	}
	return simple_fits(p + 1, t) || (t[0] != '\0' && t[0] != '/' && simple_fits(p, t + 1));
}

static void backtracking_finds_what_the_obvious_matcher_finds(void **state)
{
	(void)state;
	static const char *const atoms[] = {"a", "b", "*a", "*b", "?", "/", "*/", "*"};
	uint64_t seed = seed_of_run();
	int hits = 0;
	for (int round = 0; round < 40000; round++) {
		char pattern[80] = "/";
		char path[64];
		random_pattern(&seed, atoms, 8, pattern + 1);
		random_pattern(&seed, (const char *[]){"a", "b", "a/b", "b/a", "ab"}, 5, path);
		const size_t size = strlen(pattern);
		if (strstr(pattern, "**") != NULL || (size > 1 && pattern[size - 1] == '/')) {
			continue;
		}
		struct ur_ignore *ignore = rules_of(pattern, false);
		const bool fits = simple_fits(pattern + 1, path);
		hits += fits;
		assert_int_equal(ur_ignore_match(ignore, path, false), fits ? LEAVE : SILENT);
		ignore = ur_ignore_free(ignore);
	}
	assert_true(hits > 1000);
}

/* --- git ------------------------------------------------------------------------------------- */

static const char *const folder_names[] = {"a", "b", "ab", "#r"};
static const char *const file_names[] = {"a.b", "c", "b c", "[a]", "a\\b", "!a", "\xc3\xa9"};
#define TREE_PATHS_MAX 256

struct tree {
	char root[64];
	char paths[TREE_PATHS_MAX][24];
	bool folder[TREE_PATHS_MAX];
	size_t count;
};

static void grow_tree(struct tree *tree, const char *under, int depth)
{
	char full[128];
	for (size_t i = 0; i < sizeof file_names / sizeof file_names[0]; i++) {
		(void)snprintf(tree->paths[tree->count], 24, "%s%s", under, file_names[i]);
		(void)snprintf(full, sizeof full, "%s/%s", tree->root, tree->paths[tree->count]);
		const int fd = open(full, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		(void)close(fd);
		tree->count++;
	}
	for (size_t i = 0; depth > 0 && i < sizeof folder_names / sizeof folder_names[0]; i++) {
		char next[24];
		tree->folder[tree->count] = true;
		(void)snprintf(tree->paths[tree->count], 24, "%s%s", under, folder_names[i]);
		(void)snprintf(full, sizeof full, "%s/%s", tree->root, tree->paths[tree->count]);
		assert_int_equal(mkdir(full, 0700), 0);
		(void)snprintf(next, sizeof next, "%.20s/", tree->paths[tree->count]);
		tree->count++;
		grow_tree(tree, next, depth - 1);
	}
}

static void write_file(const struct tree *tree, const char *name, const void *bytes, size_t size)
{
	char path[128];
	(void)snprintf(path, sizeof path, "%s/%s", tree->root, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/** git takes "x**" behind a plain beginning for "**" at the start, against its own manual. */
static bool git_disagrees_with_its_manual(const char *pattern)
{
	const char *p = pattern + (pattern[0] == '!');
	p += p[0] == '/';
	const size_t plain = strcspn(p, "*?[\\");
	return plain > 0 && p[plain - 1] != '/' && strncmp(p + plain, "**", 2) == 0;
}

/** As a walk would: the first folder on the way that is left decides. */
static enum ur_ignore_verdict walk_to(
	const struct ur_ignore *ignore, const char *path, bool is_folder, const char **ret_pattern)
{
	char part[32];
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (ur_ignore_match_why(ignore, part, true, ret_pattern) == LEAVE) {
			return LEAVE;
		}
	}
	return ur_ignore_match_why(ignore, path, is_folder, ret_pattern);
}

static void random_rules(uint64_t *seed, struct ur_text *ret)
{
	static const char *const atoms[] = {"a", "b", "c", "ab", "*", "*", "**", "/", "/", "/", "?",
		"[ab]", "[!a]", ".", "**/", "/**", "\\a", "\\*", "[a-c]", " ", "\\ ", "#", "!",
		"[[:alpha:]]", "[", "]", "\xc3\xa9", "\\"};
	ur_text_clear(ret);
	for (unsigned n = 1 + roll(seed, 5); n > 0; n--) {
		char pattern[66] = "!";
		char *bare = pattern + 1;
		random_pattern(seed, atoms, sizeof atoms / sizeof atoms[0], bare);
		const char *line = roll(seed, 4) == 0 ? pattern : bare;
		if (!git_disagrees_with_its_manual(line)) {
			ur_text_addf(ret, "%s\n", line);
		}
	}
}

static char *next_field(FILE *from, char *ret, size_t room)
{
	size_t used = 0;
	int c = 0;
	while ((c = fgetc(from)) > 0 && used + 1 < room) {
		ret[used++] = (char)c;
	}
	ret[used] = '\0';
	return c == EOF ? NULL : ret;
}

static void compare_with_git(const struct tree *tree, const char *rules)
{
	char command[320];
	char field[128];
	char pattern[128];
	struct ur_ignore *ignore = rules_of(rules, false);
	write_file(tree, ".gitignore", rules, strlen(rules));
	(void)snprintf(command, sizeof command,
		"cd %s && git -c core.excludesFile=/dev/null -c core.ignorecase=false"
		" check-ignore --no-index --stdin -z -v -n <.paths",
		tree->root);
	FILE *git = popen(command, "r");
	assert_non_null(git);
	for (size_t i = 0; i < tree->count; i++) {
		assert_non_null(next_field(git, field, sizeof field));
		assert_non_null(next_field(git, field, sizeof field));
		assert_non_null(next_field(git, pattern, sizeof pattern));
		assert_non_null(next_field(git, field, sizeof field));
		assert_string_equal(field, tree->paths[i]);

		const char *ours = NULL;
		const enum ur_ignore_verdict verdict =
			walk_to(ignore, tree->paths[i], tree->folder[i], &ours);
		const enum ur_ignore_verdict theirs = pattern[0] == '\0'  ? SILENT
						      : pattern[0] == '!' ? TAKE
									  : LEAVE;
		if (verdict != theirs || strcmp(ours == NULL ? "" : ours, pattern) != 0) {
			fail_msg("rules:\n%s\npath '%s'%s: git says '%s', we say '%s'", rules,
				tree->paths[i], tree->folder[i] ? " (folder)" : "", pattern,
				ours == NULL ? "" : ours);
		}
	}
	(void)pclose(git);
	ignore = ur_ignore_free(ignore);
}

static void every_verdict_is_the_one_git_gives(void **state)
{
	(void)state;
	struct tree tree = {.root = "/tmp/ur-ignore-XXXXXX"};
	char command[160];
	if (system("git --version >/dev/null 2>&1") != 0) {
		print_message("git is not here to compare with\n");
		skip();
	}
	assert_non_null(mkdtemp(tree.root));
	grow_tree(&tree, "", 2);
	(void)snprintf(command, sizeof command, "git init -q %s 2>/dev/null", tree.root);
	assert_int_equal(system(command), 0);
	struct ur_text list = {0};
	for (size_t i = 0; i < tree.count; i++) {
		ur_text_add(&list, tree.paths[i], strlen(tree.paths[i]) + 1);
	}
	write_file(&tree, ".paths", list.bytes, list.size);
	uint64_t seed = seed_of_run();
	for (int round = 0; round < 250; round++) {
		struct ur_text rules = {0};
		random_rules(&seed, &rules);
		compare_with_git(&tree, ur_text_get(&rules));
		ur_text_done(&rules);
	}
	ur_text_done(&list);
	(void)snprintf(command, sizeof command, "rm -rf %s", tree.root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_without_a_slash_speaks_about_names_at_any_depth),
		cmocka_unit_test(a_slash_ties_a_rule_to_the_folder_of_the_list),
		cmocka_unit_test(two_stars_between_slashes_cross_folders),
		cmocka_unit_test(sets_and_escapes_mean_what_the_manual_says),
		cmocka_unit_test(the_last_rule_that_matches_decides),
		cmocka_unit_test(folded_case_makes_capitals_equal),
		cmocka_unit_test(the_rule_that_decided_is_named_as_it_was_written),
		cmocka_unit_test(junk_is_left_and_pictures_are_not),
		cmocka_unit_test(a_later_rule_takes_a_junk_folder_back_in),
		cmocka_unit_test(too_long_and_too_many_are_refused),
		cmocka_unit_test(no_pattern_makes_matching_slow),
		cmocka_unit_test(folding_equals_matching_in_lower_case),
		cmocka_unit_test(backtracking_finds_what_the_obvious_matcher_finds),
		cmocka_unit_test(every_verdict_is_the_one_git_gives),
	};
	return cmocka_run_group_tests_name("ignore", tests, NULL, NULL);
}
