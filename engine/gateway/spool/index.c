/*
 * index - every upload by its id, in a table that grows; and a walk that survives dismissals.
 *
 * It costs an idle upload its struct and one pointer.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/media/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

static_assert((BUCKETS & (BUCKETS - 1)) == 0, "bucket_of() masks");

/* ---- an upload ------------------------------------------------------------------------------- */

struct ur_spool_upload *ur_spool_upload_new(struct ur_spool *spool)
{
	struct ur_spool_upload *upload = calloc(1, sizeof *upload);
	struct ur_spool_owner *use = calloc(1, sizeof *use);
	if (upload == NULL || use == NULL) {
		free(upload);
		free(use);
		return NULL;
	}
	upload->spool = spool;
	upload->use = use;
	return upload;
}

void ur_spool_name_owner(struct ur_spool_upload *upload)
{
	assert(upload->owner[0] != '\0');
	assert(upload->use != NULL);
	static_assert(sizeof upload->use->name == sizeof upload->owner, "the same name");
	memcpy(upload->use->name, upload->owner, sizeof upload->owner);
}

/* ---- the table ------------------------------------------------------------------------------- */

static size_t bucket_of(const struct ur_spool *spool, const char *id)
{
	return ur_hash_short(id, UR_SPOOL_ID - 1, 0) & (spool->bucket_count - 1);
}

/** Without memory the chains get longer, and that is all. */
static void grow(struct ur_spool *spool)
{
	assert(spool->bucket_count > 0);
	const size_t count = spool->bucket_count;
	struct ur_spool_upload **old = spool->buckets;
	struct ur_spool_upload **larger = calloc(2 * count, sizeof *larger);
	if (larger == NULL) {
		return;
	}
	spool->buckets = larger;
	spool->bucket_count = 2 * count;
	for (size_t i = 0; i < count; i++) {
		for (struct ur_spool_upload *u = old[i]; u != NULL;) {
			struct ur_spool_upload *next = u->next;
			const size_t bucket = bucket_of(spool, u->id);
			u->next = larger[bucket];
			larger[bucket] = u;
			u = next;
		}
	}
	free(old);
}

void ur_spool_admit(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	assert(ur_spool_is_id(upload->id));
	assert(upload->spool == spool);
	assert(!upload->admitted);
	if (spool->all.uploads >= spool->bucket_count) {
		grow(spool);
	}
	const size_t bucket = bucket_of(spool, upload->id);
	upload->next = spool->buckets[bucket];
	spool->buckets[bucket] = upload;
	upload->admitted = true;
	ur_spool_owner_join(spool, upload);
	ur_spool_recount(upload);
}

struct ur_spool_upload *ur_spool_find(const struct ur_spool *spool, const char *id)
{
	if (!ur_spool_is_id(id)) {
		return NULL;
	}
	struct ur_spool_upload *upload = spool->buckets[bucket_of(spool, id)];
	while (upload != NULL && strcmp(upload->id, id) != 0) {
		upload = upload->next;
	}
	return upload;
}

/* ---- a walk ---------------------------------------------------------------------------------- */

static struct ur_spool_upload *first_from(const struct ur_spool *spool, size_t bucket)
{
	while (bucket < spool->bucket_count && spool->buckets[bucket] == NULL) {
		bucket++;
	}
	return bucket < spool->bucket_count ? spool->buckets[bucket] : NULL;
}

static struct ur_spool_upload *behind(
	const struct ur_spool *spool, const struct ur_spool_upload *upload)
{
	return upload->next != NULL ? upload->next
				    : first_from(spool, bucket_of(spool, upload->id) + 1);
}

struct ur_spool_upload *ur_spool_next(
	const struct ur_spool *spool, const struct ur_spool_upload *after)
{
	struct ur_spool_walk *walk = spool->walk;
	struct ur_spool_upload *found = NULL;
	if (after == NULL) {
		found = first_from(spool, 0);
	} else if (walk->is_gone && after == walk->last) {
		found = walk->behind;
	} else {
		assert(after->admitted);
		found = behind(spool, after);
	}
	*walk = (struct ur_spool_walk){.last = found};
	return found;
}

static void leave_index(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	assert(upload->admitted);
	assert(upload->spool == spool);
	struct ur_spool_walk *walk = spool->walk;
	if (upload == walk->last && !walk->is_gone) {
		walk->behind = behind(spool, upload);
		walk->is_gone = true;
	} else if (walk->is_gone && upload == walk->behind) {
		walk->behind = behind(spool, upload);
	}
	struct ur_spool_upload **at = &spool->buckets[bucket_of(spool, upload->id)];
	while (*at != upload) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = upload->next;
	ur_spool_owner_leave(spool, upload);
}

void ur_spool_dismiss(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	if (upload == NULL) {
		return;
	}
	assert(upload->session == NULL);
	if (upload->admitted) {
		leave_index(spool, upload);
	}
	upload->admitted = false;
	ur_spool_rest(upload);
	free(upload->use);
	free(upload);
}

/* ---- from nothing, and back ------------------------------------------------------------------ */

int ur_spool_index_init(struct ur_spool *spool)
{
	assert(spool->buckets == NULL);
	spool->bucket_count = BUCKETS;
	spool->buckets = calloc(spool->bucket_count, sizeof *spool->buckets);
	spool->walk = calloc(1, sizeof *spool->walk);
	return spool->buckets == NULL || spool->walk == NULL ? -ENOMEM : 0;
}

static void free_uploads(struct ur_spool_upload *upload)
{
	while (upload != NULL) {
		struct ur_spool_upload *next = upload->next;
		upload->admitted = false;
		ur_spool_rest(upload);
		free(upload);
		upload = next;
	}
}

void ur_spool_index_done(struct ur_spool *spool)
{
	for (size_t i = 0; spool->buckets != NULL && i < spool->bucket_count; i++) {
		free_uploads(spool->buckets[i]);
	}
	free(spool->walk);
	free(spool->buckets);
}
