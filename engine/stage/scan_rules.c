/* scan_rules - the ignore files that apply to a folder, the deepest first. */
#include "engine/stage/scan_parts.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define IGNORE_FILE_MAX (1u << 20)

/** The rules of one folder's ignore file, and those above it. */
struct ur_scan_rules {
	struct ur_scan_rules *above;
	struct ur_ignore *list;
	unsigned depth; // of the folder that the rules belong to
	unsigned refs;
};

struct ur_scan_rules *ur_scan_rules_ref(struct ur_scan_rules *rules)
{
	if (rules != NULL) {
		rules->refs++;
	}
	return rules;
}

void ur_scan_rules_unref(struct ur_scan_rules *rules)
{
	while (rules != NULL && --rules->refs == 0) {
		struct ur_scan_rules *above = rules->above;
		(void)ur_ignore_free(rules->list);
		free(rules);
		rules = above;
	}
}

static int read_whole(int dir, const char *name, char **ret, size_t *ret_size)
{
	const int fd = ur_sys.openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;
	int r = fd < 0 ? fd : ur_sys.fstat(fd, &st);
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size > IGNORE_FILE_MAX)) {
		r = -EFBIG;
	}
	char *text = r < 0 ? NULL : malloc((size_t)st.st_size + 1);
	if (text != NULL) {
		const ssize_t size = ur_sys_pread_all(fd, text, (size_t)st.st_size, 0);
		r = size < 0 ? (int)size : 0;
		*ret_size = size < 0 ? 0 : (size_t)size;
	} else if (r == 0) {
		r = -ENOMEM;
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	return 0;
}

int ur_scan_rules_of(struct ur_scan *scan, struct ur_dir *dir, int fd, struct ur_scan_rules *above,
	struct ur_scan_rules **ret)
{
	char *text = NULL;
	size_t size = 0;
	int r = -ENOENT;
	if (ur_listing_has(&scan->listing, UR_SCAN_IGNORE_FILE)) {
		r = read_whole(fd, UR_SCAN_IGNORE_FILE, &text, &size);
	}
	if (r == -ENOENT) {
		*ret = ur_scan_rules_ref(above);
		return 0;
	}
	struct ur_scan_rules *rules = r < 0 ? NULL : calloc(1, sizeof *rules);
	if (rules != NULL) {
		rules->refs = 1;
		rules->depth = dir->depth;
		r = ur_ignore_new(false, &rules->list);
		r = r < 0 ? r : ur_ignore_add_text(rules->list, text, size);
	} else if (r == 0) {
		r = -ENOMEM;
	}
	free(text);
	if (r < 0) {
		ur_scan_rules_unref(rules);
		ur_run_folder_error(scan->run, dir, UR_SCAN_IGNORE_FILE, r,
			"the ignore file cannot be read, so its folder is left alone");
		return r;
	}
	rules->above = ur_scan_rules_ref(above);
	*ret = rules;
	return 0;
}

/** `path` from the component at `depth` on. */
static const char *below_depth(const char *path, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++) {
		const char *slash = strchr(path, '/');
		assert(slash != NULL);
		path = slash + 1;
	}
	return path;
}

/** Nobody asked for this: so it is counted, and named to whoever wants to know. */
static bool is_junk(struct ur_scan *scan, const char *path, bool is_folder)
{
	const char *pattern = NULL;
	if (ur_ignore_match_why(scan->junk, path, is_folder, &pattern) != UR_IGNORE_LEAVE) {
		return false;
	}
	atomic_fetch_add(&scan->run->junk, 1);
	if (scan->run->options->tell_junk) {
		struct ur_text shown = {0};
		ur_text_add_shown(&shown, path, strlen(path));
		ur_run_warn(scan->run, "%s: left out, as '%s' is among the usual junk",
			ur_text_get(&shown), pattern);
		ur_text_done(&shown);
	}
	return true;
}

bool ur_scan_is_excluded(
	struct ur_scan *scan, const struct ur_scan_rules *rules, const char *path, bool is_folder)
{
	enum ur_ignore_verdict verdict = ur_ignore_match(scan->asked, path, is_folder);
	for (const struct ur_scan_rules *r = rules; r != NULL && verdict == UR_IGNORE_SILENT;
		r = r->above) {
		verdict = ur_ignore_match(r->list, below_depth(path, r->depth), is_folder);
	}
	if (verdict == UR_IGNORE_SILENT && scan->junk != NULL) {
		return is_junk(scan, path, is_folder);
	}
	return verdict == UR_IGNORE_LEAVE;
}
