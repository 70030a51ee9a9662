/**
 * ignore - what to leave alone, written as gitignore rules.
 *
 *     rules, in order       path           verdict of the last rule that matches
 *     *.tmp                 a/b.jpg   ──▶  SILENT  nobody spoke: ask the list of the parent folder
 *     raw/                  raw       ──▶  LEAVE   excluded; below a folder nothing is asked again
 *     !keep.tmp             keep.tmp  ──▶  TAKE    taken back in
 *
 * A list belongs to one folder: that of an ignore file, or a root.  The walk asks the list of the
 * deepest folder first and goes up while the answer is SILENT; a folder that is left is not entered,
 * so a rule cannot take back what lies below it.  `thumbnails/` and `Recently Deleted/` are in the
 * junk because applications keep their leavings there; who has real pictures in such a folder takes
 * it back in with a later rule, `--exclude '!thumbnails/'`.
 *
 *   Owner    the list copies what it is given; ret_pattern lives as long as the list
 *   Units    sizes in bytes; names are bytes, and folding case folds A-Z only
 *   Errors   -EINVAL  a pattern longer than UR_IGNORE_PATTERN_MAX, or with a NUL in it
 *            -E2BIG   more than UR_IGNORE_RULES_MAX rules
 *            -ENOMEM
 *   Threads  one at a time while rules are added, then any number may match
 *   Source   gitignore(5); a match costs O(pattern * path), whatever the pattern
 */
#ifndef UR_SOURCE_IGNORE_H
#define UR_SOURCE_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#define UR_IGNORE_PATTERN_MAX 4096u
#define UR_IGNORE_RULES_MAX 4096u

struct ur_ignore;

enum ur_ignore_verdict {
	UR_IGNORE_SILENT, // no rule speaks about it
	UR_IGNORE_LEAVE,  // excluded
	UR_IGNORE_TAKE,   // taken back in
};

[[nodiscard]] int ur_ignore_new(bool fold_case, struct ur_ignore **ret);
struct ur_ignore *ur_ignore_free(struct ur_ignore *ignore);
/** One line without its newline; comments and blank lines add no rule. */
[[nodiscard]] int ur_ignore_add(struct ur_ignore *ignore, const char *line, size_t size);
/** A whole ignore file: LF or CRLF, a byte order mark is skipped.  Stops at the first error. */
[[nodiscard]] int ur_ignore_add_text(struct ur_ignore *ignore, const char *text, size_t size);
/** What storage boxes, desktops and downloads in progress leave in folders of pictures. */
[[nodiscard]] int ur_ignore_add_junk(struct ur_ignore *ignore);

/** `path` is relative to the list's folder, separated by '/', without a leading one. */
enum ur_ignore_verdict ur_ignore_match(
	const struct ur_ignore *ignore, const char *path, bool is_folder);
/** Also names the rule that decided, as it was written; NULL when the verdict is SILENT. */
enum ur_ignore_verdict ur_ignore_match_why(
	const struct ur_ignore *ignore, const char *path, bool is_folder, const char **ret_pattern);

#endif
