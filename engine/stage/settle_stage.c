/*
 * settle_stage - the staging folder: in, back, and gone.
 *
 * Files of one root are staged in one folder, which is opened and locked once; it is let go when the
 * run ends or a file of another disk comes, and nothing stands in it any more that may go back.
 */
#include "engine/stage/settle_parts.h"

#include "engine/source/rename.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/** "'FOLDER/.uringest' `words`", for as long as the item lives. */
static const char *say_of_folder(
	const struct ur_leaving *x, const struct ur_dir *dir, const char *words)
{
	struct ur_text path = {0};
	ur_dir_path(dir, UR_STAGING, &path);
	const char *ret = ur_arena_format(&x->item->arena,
		"delivered, and kept: it would be staged in '%s', which %s", ur_text_get(&path),
		words);
	ur_text_done(&path);
	return ret;
}

/* ---- places ---------------------------------------------------------------------------------- */

static struct ur_place *release(struct ur_settle *settle, struct ur_place *place)
{
	assert(place == NULL || place->refs > 0);
	if (place == NULL || --place->refs > 0) {
		return NULL;
	}
	assert(place != settle->current || settle->current->refs == 0);
	struct ur_place **at = &settle->places;
	while (*at != place) {
		at = &(*at)->next;
		assert(*at != NULL);
	}
	*at = place->next;
	ur_rename_done(&settle->run->staging_key, place->fd);
	ur_staging_leave(place->parent, place->fd);
	(void)ur_sys.close(place->parent);
	(void)ur_dir_unref((struct ur_dir *)place->dir);
	free(place);
	return NULL;
}

void ur_settle_leave(struct ur_leaving *x)
{
	x->place = release(x->settle, x->place);
}

void ur_settle_leave_last(struct ur_settle *settle)
{
	settle->current = release(settle, settle->current);
}

static bool is_same_folder(const struct ur_dir *a, const struct ur_dir *b)
{
	/* One root has one top, but its files may hold different structs of it. */
	return a == b || (a->root == b->root && a->parent == NULL && b->parent == NULL);
}

/** Opening it twice would find it locked, by ourselves. */
static struct ur_place *find(const struct ur_settle *settle, const struct ur_dir *dir)
{
	struct ur_place *place = settle->places;
	while (place != NULL && !is_same_folder(place->dir, dir)) {
		place = place->next;
	}
	return place;
}

static int open_place(struct ur_leaving *x, const struct ur_dir *dir, struct ur_place **ret)
{
	struct ur_settle *settle = x->settle;
	assert(find(settle, dir) == NULL);
	struct ur_place *place = calloc(1, sizeof *place);
	if (place == NULL) {
		return -ENOMEM;
	}
	int r = place->parent = ur_dir_open(dir);
	if (r >= 0) {
		r = place->fd = ur_staging_open(place->parent);
	}
	if (r < 0) {
		const char *words = place->parent < 0 ? NULL : ur_staging_say(r);
		x->why = words == NULL ? NULL : say_of_folder(x, dir, words);
		if (place->parent >= 0) {
			(void)ur_sys.close(place->parent);
		}
		free(place);
		return r;
	}
	assert(place->refs == 0);
	place->dir = ur_dir_ref((struct ur_dir *)dir);
	place->next = settle->places;
	settle->places = place;
	*ret = place;
	return 0;
}

int ur_settle_enter(struct ur_leaving *x)
{
	assert(x->place == NULL);
	assert(!x->aside);
	struct ur_settle *settle = x->settle;
	const struct ur_dir *dir = ur_dir_staging(x->item->dir);
	struct ur_place *place = find(settle, dir);
	const int r = place == NULL ? open_place(x, dir, &place) : 0;
	if (r < 0) {
		return r;
	}
	place->refs++;
	x->place = place;
	if (settle->current != place) {
		place->refs++;
		ur_settle_leave_last(settle);
		settle->current = place;
	}
	assert(place->refs >= 2); // the file's and ours
	return 0;
}

/* ---- in and out ------------------------------------------------------------------------------ */

static int into_staging(struct ur_leaving *x)
{
	assert(x->dir_fd >= 0);
	assert(x->place != NULL);
	ur_effect("stage", false);
	const int r = ur_rename_into(x->dir_fd, x->file->name, x->place->fd, x->staged);
	ur_effect("stage", true);
	x->file->settle_renamed = r == 0;
	return r;
}

int ur_settle_stage(struct ur_leaving *x)
{
	struct stat st;
	assert(x->place != NULL);
	assert(x->file->staged[0] != '\0'); // its row, which is durable, can be found by it
	ur_staging_name(&x->settle->run->staging_key, UR_STAGED_ORIGINAL, x->file->staged,
		x->file->name, x->staged);
	int r = into_staging(x);
	if (r == -ENOENT &&
		ur_sys.fstatat(x->dir_fd, x->file->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		/* It is there, so it is the staging folder, empty until now, that somebody removed. */
		ur_settle_leave(x);
		ur_settle_leave_last(x->settle);
		r = ur_settle_enter(x);
		r = r < 0 ? r : into_staging(x);
	}
	return r == -ENOENT ? UR_SETTLE_GONE : r;
}

static int back_to(const struct ur_leaving *x, int folder, char ret[UR_STAGED_NAME_MAX + 1])
{
	assert(folder >= 0);
	assert(folder != x->place->fd);
	ur_effect("unstage", false);
	const int r = ur_rename_beside(
		&x->settle->run->staging_key, x->place->fd, x->staged, folder, x->file->name, ret);
	ur_effect("unstage", true);
	return r;
}

/** What is true of a file that is not at its name any more. */
static void tell_where(struct ur_leaving *x, const char *why, const struct ur_dir *dir,
	const char *below, const char *name)
{
	struct ur_text path = {0};
	ur_dir_path(dir, below, &path);
	x->why = ur_arena_format(&x->item->arena, "%s '%s%s%s'", why, ur_text_get(&path),
		name[0] != '\0' ? "/" : "", name);
	ur_text_done(&path);
}

void ur_settle_unstage(struct ur_leaving *x)
{
	char name[UR_STAGED_NAME_MAX + 1] = "";
	assert(x->place != NULL);
	assert(!x->stuck);
	assert(x->copy_fd < 0); // a copy goes before its file comes back
	int r = back_to(x, x->dir_fd, name);
	if (r == 0) {
		if (strcmp(name, x->file->name) != 0) {
			tell_where(x,
				"delivered, and kept; its name was taken meanwhile, so it was put back as",
				x->item->dir, name, "");
		}
		return;
	}
	const struct ur_dir *stands_in = x->place->dir;
	if (r == -ENOENT && back_to(x, x->place->parent, name) == 0) {
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

int ur_settle_unlink(struct ur_leaving *x)
{
	assert(x->place != NULL);
	assert(x->proved_fd >= 0);
	assert(x->copy_fd < 0);
	ur_effect("unlink", false);
	const int r = ur_sys.unlinkat(x->place->fd, x->staged, 0);
	ur_effect("unlink", true);
	return r;
}
