/*
 * settle_stage - the staging folder: in, back, and gone.
 *
 * Files of one root are staged in one folder, which is opened and locked once and let go when the run
 * ends or a file of another disk comes.
 */
#include "engine/stage/settle_parts.h"

#include "engine/source/rename.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/** "'FOLDER/.uringest' `words`", for as long as the item lives. */
static const char *say_of_folder(
	const struct ur_removal *x, const struct ur_dir *dir, const char *words)
{
	struct ur_text path = {0};
	ur_dir_path(dir, UR_STAGING, &path);
	const char *ret = ur_arena_format(&x->item->arena,
		"delivered, and kept: it would be staged in '%s', which %s", ur_text_get(&path),
		words);
	ur_text_done(&path);
	return ret;
}

void ur_settle_leave(struct ur_settle *settle)
{
	if (settle->staging_dir != NULL) {
		ur_rename_done(&settle->run->staging_key, settle->staging_fd);
		ur_staging_leave(settle->staging_parent, settle->staging_fd);
		(void)ur_sys.close(settle->staging_parent);
		(void)ur_dir_unref((struct ur_dir *)settle->staging_dir);
	}
	settle->staging_dir = NULL;
	settle->staging_fd = -1;
	settle->staging_parent = -1;
}

static bool is_same_folder(const struct ur_dir *a, const struct ur_dir *b)
{
	/* One root has one top, but its files may hold different structs of it. */
	return a == b ||
	       (a != NULL && a->root == b->root && a->parent == NULL && b->parent == NULL);
}

int ur_settle_enter(struct ur_removal *x)
{
	struct ur_settle *settle = x->settle;
	const struct ur_dir *dir = ur_dir_staging(x->item->dir);
	if (!is_same_folder(settle->staging_dir, dir)) {
		ur_settle_leave(settle);
		const int parent = ur_dir_open(dir);
		if (parent < 0) {
			return parent;
		}
		const int staging = ur_staging_open(parent);
		if (staging < 0) {
			const char *words = ur_staging_say(staging);
			x->why = words == NULL ? NULL : say_of_folder(x, dir, words);
			(void)ur_sys.close(parent);
			return staging;
		}
		settle->staging_parent = parent;
		settle->staging_fd = staging;
		settle->staging_dir = ur_dir_ref((struct ur_dir *)dir);
	}
	x->staging_fd = settle->staging_fd;
	return 0;
}

static int into_staging(struct ur_removal *x)
{
	ur_effect("stage", false);
	const int r = ur_rename_into(x->dir_fd, x->file->name, x->staging_fd, x->staged);
	ur_effect("stage", true);
	return r;
}

int ur_settle_stage(struct ur_removal *x)
{
	struct stat st;
	ur_staging_name(&x->settle->run->staging_key, UR_STAGED_ORIGINAL, x->file->staged,
		x->file->name, x->staged);
	int r = into_staging(x);
	if (r == -ENOENT &&
		ur_sys.fstatat(x->dir_fd, x->file->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		/* It is there, so it is the staging folder, empty until now, that somebody removed. */
		ur_settle_leave(x->settle);
		r = ur_settle_enter(x);
		r = r < 0 ? r : into_staging(x);
	}
	return r == -ENOENT ? UR_SETTLE_GONE : r;
}

static int back_to(const struct ur_removal *x, int folder, char ret[UR_STAGED_NAME_MAX + 1])
{
	ur_effect("unstage", false);
	const int r = ur_rename_beside(
		&x->settle->run->staging_key, x->staging_fd, x->staged, folder, x->file->name, ret);
	ur_effect("unstage", true);
	return r;
}

/** What is true of a file that is not at its name any more. */
static void tell_where(struct ur_removal *x, const char *why, const struct ur_dir *dir,
	const char *below, const char *name)
{
	struct ur_text path = {0};
	ur_dir_path(dir, below, &path);
	x->why = ur_arena_format(&x->item->arena, "%s '%s%s%s'", why, ur_text_get(&path),
		name[0] != '\0' ? "/" : "", name);
	ur_text_done(&path);
}

void ur_settle_unstage(struct ur_removal *x)
{
	char name[UR_STAGED_NAME_MAX + 1] = "";
	int r = back_to(x, x->dir_fd, name);
	if (r == 0) {
		if (strcmp(name, x->file->name) != 0) {
			tell_where(x,
				"delivered, and kept; its name was taken meanwhile, so it was put back as",
				x->item->dir, name, "");
		}
		return;
	}
	const struct ur_dir *stands_in = x->settle->staging_dir;
	if (r == -ENOENT && back_to(x, x->settle->staging_parent, name) == 0) {
		tell_where(x, "delivered, and kept; its folder is gone, so it was put back as",
			stands_in, name, "");
		return;
	}
	x->stuck = true;
	tell_where(x,
		"delivered, and kept; it could not be put back, which the next run tries again: it stands "
		"as",
		stands_in, UR_STAGING, x->staged);
}

int ur_settle_unlink(struct ur_removal *x)
{
	ur_effect("unlink", false);
	const int r = ur_sys.unlinkat(x->staging_fd, x->staged, 0);
	ur_effect("unlink", true);
	return r;
}
