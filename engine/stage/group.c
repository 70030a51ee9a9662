/* group - the bonds between the files of an item, and what follows from them. */
#include "engine/stage/group.h"

static bool is_pair(const struct ur_item *item, int still, int movie)
{
	const struct ur_file *a = &item->files[still];
	const struct ur_file *b = &item->files[movie];
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
	return is_pair(item, a, b) || is_pair(item, b, a) || is_sidecar_of(item, a, b) ||
	       is_sidecar_of(item, b, a);
}

void ur_groups_of(const struct ur_item *item, unsigned ret[UR_ITEM_FILES])
{
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
		go |= whole ? ready & 1u << i : 0;
	}
	return go;
}
