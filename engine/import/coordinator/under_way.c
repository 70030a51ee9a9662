/*
 * under_way - files whose bytes are on their way to the server, by their bytes.
 *
 * Two files with the same bytes are never wanted at the same time: the item of the second waits at the
 * first, and is asked for again when that one is through.
 */
#include "engine/import/coordinator/internal.h"

#include <assert.h>
#include <string.h>

static struct ur_file **bucket_of(struct ur_coordinator *c, const struct ur_file *file)
{
	uint32_t key = 0;
	memcpy(&key, file->sha1, sizeof key);
	return &c->under_way.files[key % UR_BUCKETS];
}

/** By other bytes of the hash than the buckets. */
static uint32_t *stamp_of(struct ur_coordinator *c, const struct ur_file *file)
{
	uint16_t key = 0;
	memcpy(&key, file->sha1 + sizeof(uint32_t), sizeof key);
	return &c->under_way.stamps[key];
}

static struct ur_file *find(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_file *at = *bucket_of(c, file);
	assert(file->hashed);
	while (at != NULL && memcmp(at->sha1, file->sha1, sizeof at->sha1) != 0) {
		at = at->next_same;
	}
	return at;
}

struct ur_file *ur_under_way_other(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_file *at = find(c, file);
	assert(at == NULL || at->hashed);
	return at == file ? NULL : at;
}

bool ur_under_way_has(struct ur_coordinator *c, const struct ur_file *file)
{
	return find(c, file) == file;
}

void ur_under_way_add(struct ur_coordinator *c, struct ur_file *file)
{
	struct ur_file **bucket = bucket_of(c, file);
	const struct ur_file *there = find(c, file);
	assert(there == NULL || there == file);
	assert(file->class != UR_CLASS_SIDECAR);
	assert(ur_file_is_open(file));
	if (there == file) {
		return; // it was sent before, and nobody knows how that ended
	}
	file->next_same = *bucket;
	*bucket = file;
}

void ur_under_way_wait(struct ur_item *item, struct ur_file *other)
{
	assert(other->item != item);
	assert(item->next == NULL); // it is on no list
	item->step = UR_STEP_SAME;
	item->next = other->same_items;
	other->same_items = item;
}

bool ur_under_way_was(struct ur_coordinator *c, const struct ur_file *file, uint32_t number)
{
	assert(number > 0);
	assert(number <= c->under_way.questions);
	return *stamp_of(c, file) >= number;
}

void ur_under_way_release(struct ur_coordinator *c, struct ur_file *file)
{
	struct ur_file **at = bucket_of(c, file);
	while (*at != NULL && *at != file) {
		at = &(*at)->next_same;
	}
	if (*at == NULL) {
		assert(file->same_items == NULL);
		return; // was not under way
	}
	*at = file->next_same;
	if (!c->run->options->plan) { // which brings nothing to the server
		*stamp_of(c, file) = c->under_way.questions;
	}
	struct ur_item *item = file->same_items;
	file->same_items = NULL;
	while (item != NULL) {
		struct ur_item *next = item->next;
		assert(item->step == UR_STEP_SAME);
		ur_step_go(c, item, UR_STEP_ASK);
		item = next;
	}
}

void ur_under_way_close_wanted(struct ur_coordinator *c, struct ur_item *item, const char *why)
{
	assert(why != NULL);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (ur_file_is_open(file) &&
			(file->state == UR_WANTED || file->state == UR_SENDING)) {
			ur_file_close(file, file->state, UR_OUTCOME_WAITING, why);
			ur_under_way_release(c, file);
		}
	}
}
