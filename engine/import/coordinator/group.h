/**
 * group - who goes together: a picture, its sidecar, its live movie.
 *
 *     IMG_1.HEIC ── IMG_1.MOV          A file goes away when everybody whom it belongs to can go, too:
 *         └── IMG_1.HEIC.xmp           what is left of a live photo alone is never put together again.
 *
 *   Owner    the item stays decide's
 *   Units    files as bits of an item: 1u << index
 *   Threads  any; pure
 */
#ifndef UR_COORDINATOR_GROUP_H
#define UR_COORDINATOR_GROUP_H

#include "engine/item.h"

static_assert(UR_ITEM_FILES <= 32, "a group is a word of bits");

/**
 * ret[i]: the files that go together with file i, itself included.  A still and a movie of one stem
 * count as a pair also where one of them was not looked into (it is known from an earlier run).
 */
void ur_groups_of(const struct ur_item *item, unsigned ret[UR_ITEM_FILES]);
/**
 * The files that go: those of `ready` whose group is ready as a whole, but for those that stay alone
 * (`alone`) and keep nobody.
 */
unsigned ur_groups_choose(
	const unsigned groups[UR_ITEM_FILES], int count, unsigned ready, unsigned alone);

/**
 * For files that were named one by one: the name of one that lies beside them, was not named with them
 * and may belong to them (a sidecar, the other half of a live photo), in `ret`; false when none does.
 */
bool ur_group_has_beside(const struct ur_item *item, char ret[256]);

#endif
