/* group - the bonds between the files of an item, and what follows from them. */
#include "engine/import/coordinator/group.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool is_pair(const struct ur_item *item, int still, int movie)
{
	const struct ur_file *a = &item->files[still];
	const struct ur_file *b = &item->files[movie];
	assert(still < item->count);
	assert(movie < item->count);
	if (a->class != UR_CLASS_IMAGE || b->class != UR_CLASS_VIDEO) {
		return false;
	}
	return a->movie == movie || b->still == still || a->meta == NULL || b->meta == NULL;
}

static bool is_sidecar_of(const struct ur_item *item, int sidecar, int media)
{
	return item->files[sidecar].class == UR_CLASS_SIDECAR &&
	       (item->files[sidecar].owners & 1u << media) != 0;
}

static bool are_joined(const struct ur_item *item, int a, int b)
{
	assert(a != b);
	return is_pair(item, a, b) || is_pair(item, b, a) || is_sidecar_of(item, a, b) ||
	       is_sidecar_of(item, b, a);
}

void ur_groups_of(const struct ur_item *item, unsigned ret[UR_ITEM_FILES])
{
	assert(item->count <= UR_ITEM_FILES);
	for (int i = 0; i < item->count; i++) {
		ret[i] = 1u << i;
		for (int k = 0; k < item->count; k++) {
			ret[i] |= k != i && are_joined(item, i, k) ? 1u << k : 0;
		}
	}
	/* What belongs to a friend belongs to all: one round for each file is enough. */
	for (int round = 0; round < item->count; round++) {
		for (int i = 0; i < item->count; i++) {
			for (int k = 0; k < item->count; k++) {
				ret[i] |= (ret[i] & 1u << k) != 0 ? ret[k] : 0;
			}
		}
	}
}

unsigned ur_groups_choose(
	const unsigned groups[UR_ITEM_FILES], int count, unsigned ready, unsigned alone)
{
	unsigned go = 0;
	for (int i = 0; i < count; i++) {
		const bool whole = (groups[i] & ~ready & ~alone) == 0;
		assert((groups[i] & 1u << i) != 0);
		go |= whole ? ready & 1u << i : 0;
	}
	assert((go & ~ready) == 0);
	return go;
}

/* ---- what was not named ---------------------------------------------------------------------- */

static bool is_in(const struct ur_item *item, const char *name)
{
	for (int i = 0; i < item->count; i++) {
		if (strcmp(item->files[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/** The first `size` bytes of `name` and `ending`: a file that is there, and not of the item. */
static bool is_beside(const struct ur_item *item, int dir, const char *name, size_t size,
	const char *ending, char ret[256])
{
	struct stat st;
	if ((size_t)snprintf(ret, 256, "%.*s%s", (int)size, name, ending) >= 256 ||
		is_in(item, ret)) {
		return false;
	}
	return ur_sys.fstatat(dir, ret, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static bool has_beside(
	const struct ur_item *item, const struct ur_file *file, int dir, char ret[256])
{
	static const char *const of_still[] = {
		".xmp", ".XMP", ".mov", ".MOV", ".mp4", ".MP4", NULL};
	static const char *const of_movie[] = {
		".xmp", ".XMP", ".jpg", ".JPG", ".jpeg", ".JPEG", ".heic", ".HEIC", NULL};
	const char *dot = strrchr(file->name, '.');
	const size_t whole = strlen(file->name);
	const size_t stem = dot == NULL || dot == file->name ? whole : (size_t)(dot - file->name);
	const char *const *endings = file->class == UR_CLASS_VIDEO ? of_movie : of_still;
	for (size_t i = 0; endings[i] != NULL; i++) {
		if (is_beside(item, dir, file->name, stem, endings[i], ret)) {
			return true;
		}
	}
	return is_beside(item, dir, file->name, whole, ".xmp", ret) ||
	       is_beside(item, dir, file->name, whole, ".XMP", ret);
}

bool ur_group_has_beside(const struct ur_item *item, char ret[256])
{
	bool found = false;
	const int dir = ur_dir_take(item->dir);
	for (int i = 0; i < item->count && dir >= 0 && !found; i++) {
		const struct ur_file *file = &item->files[i];
		found = (file->class == UR_CLASS_IMAGE || file->class == UR_CLASS_VIDEO) &&
			has_beside(item, file, dir, ret);
	}
	ur_dir_give(item->dir, dir);
	return found;
}
