/*
 * owner - what each owner has here, and all together: uploads, those not over, their bytes.
 *
 * What an upload counts for is kept with it, so that a correction is a difference, and it leaves with
 * exactly what it came to.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/media/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct ur_spool_owner **owner_place(const struct ur_spool *spool, const char *name)
{
	const size_t count = sizeof spool->owners / sizeof *spool->owners;
	const size_t i = ur_hash_short(name, strlen(name), 0) % count;
	return (struct ur_spool_owner **)&spool->owners[i];
}

static struct ur_spool_owner *find_owner(const struct ur_spool *spool, const char *name)
{
	struct ur_spool_owner *owner = *owner_place(spool, name);
	while (owner != NULL && strcmp(owner->name, name) != 0) {
		owner = owner->next;
	}
	return owner;
}

void ur_spool_owner_join(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	assert(upload->admitted);
	assert(upload->use != NULL);
	assert(upload->use->uploads == 0);
	struct ur_spool_owner *owner = find_owner(spool, upload->owner);
	if (owner != NULL) {
		free(upload->use);
		upload->use = owner;
	} else {
		struct ur_spool_owner **place = owner_place(spool, upload->owner);
		upload->use->next = *place;
		*place = upload->use;
	}
	upload->use->uploads++;
	spool->all.uploads++;
}

void ur_spool_owner_leave(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	assert(upload->use != NULL);
	assert(upload->use->uploads > 0);
	assert(spool->all.uploads >= upload->use->uploads);
	struct ur_spool_owner *owner = upload->use;
	const uint64_t counted = atomic_exchange(&upload->counted, 0);
	const size_t one = atomic_exchange(&upload->counts, false) ? 1 : 0;
	assert(atomic_load(&owner->bytes) >= counted);
	assert(atomic_load(&owner->open) >= one);
	atomic_fetch_sub(&owner->bytes, counted);
	atomic_fetch_sub(&spool->all.bytes, counted);
	atomic_fetch_sub(&owner->open, one);
	atomic_fetch_sub(&spool->all.open, one);
	spool->all.uploads--;
	if (--owner->uploads == 0) {
		struct ur_spool_owner **at = owner_place(spool, owner->name);
		while (*at != owner) {
			at = &(*at)->next;
		}
		*at = owner->next;
		free(owner);
	}
	upload->use = NULL;
}

void ur_spool_recount(struct ur_spool_upload *upload)
{
	if (!upload->admitted) {
		return;
	}
	const uint64_t now = upload->bytes_gone                  ? 0
			     : ur_spool_is_known(upload->length) ? upload->length
								 : upload->offset;
	const uint64_t before = atomic_exchange(&upload->counted, now);
	const size_t has = upload->bytes_gone || ur_spool_is_over(&upload->outcome) ? 0 : 1;
	const size_t had = atomic_exchange(&upload->counts, has == 1) ? 1 : 0;
	atomic_fetch_add(&upload->use->bytes, now - before);
	atomic_fetch_add(&upload->spool->all.bytes, now - before);
	atomic_fetch_add(&upload->use->open, has - had);
	atomic_fetch_add(&upload->spool->all.open, has - had);
}

struct ur_spool_use ur_spool_use_of(const struct ur_spool *spool, const char *owner)
{
	const struct ur_spool_owner *found = owner == NULL ? &spool->all : find_owner(spool, owner);
	struct ur_spool_use use = {0};
	if (found != NULL) {
		use.uploads = found->uploads;
		use.open = atomic_load(&found->open);
		use.bytes = atomic_load(&found->bytes);
	}
	return use;
}

static void free_owners(struct ur_spool_owner *owner)
{
	while (owner != NULL) {
		struct ur_spool_owner *next = owner->next;
		free(owner);
		owner = next;
	}
}

void ur_spool_owners_done(struct ur_spool *spool)
{
	for (size_t i = 0; i < sizeof spool->owners / sizeof *spool->owners; i++) {
		free_owners(spool->owners[i]);
	}
}
