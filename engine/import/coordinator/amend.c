/*
 * amend - a sidecar's date, place, description, rating and tags, each only where the server has none;
 * after the server's own extraction, which would otherwise overwrite them.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define EXTRACT_PAUSE_MS 1000
#define EXTRACT_TRIES 45 // how long we wait for the server's extraction
#define TAGS_MAX 256

enum {
	PHASE_LOOK,
	PHASE_SET,
	PHASE_TAGS,
	PHASE_TAG
};

static bool is_there(const struct ur_file *owner)
{
	return owner->asset[0] != '\0' && !owner->amended &&
	       (owner->outcome == UR_OUTCOME_PRESENT || owner->outcome == UR_OUTCOME_DUPLICATE);
}

/** The next picture that was there already and has a sidecar with news. */
static struct ur_file *next_owner(struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *owner = &item->files[i];
		if (owner->sidecar != UR_NONE && is_there(owner) &&
			ur_file_is_open(&item->files[owner->sidecar])) {
			assert(owner->sidecar < item->count);
			assert(owner->class != UR_CLASS_SIDECAR);
			item->cursor = i;
			return owner;
		}
	}
	return NULL;
}

/** Reads and parses the sidecar as it was probed; anything else is for the next run. */
static int load_sidecar(struct ur_item *item, const struct ur_file *file, struct ur_sidecar *ret)
{
	const size_t size = (size_t)file->identity.size;
	assert(file->class == UR_CLASS_SIDECAR);
	assert(file->hashed);
	const int dir = ur_dir_take(item->dir);
	const int fd = dir < 0 ? dir
			       : ur_sys.openat(dir, file->name,
					 O_RDONLY | O_NONBLOCK | O_NOCTTY |
						 (item->dir->root->follow ? 0 : O_NOFOLLOW),
					 0);
	ur_dir_give(item->dir, dir);
	char *bytes = fd < 0 ? NULL : malloc(size + 1);
	uint8_t xxh[UR_HASH_XXH];
	int r = fd < 0 ? fd : bytes == NULL ? -ENOMEM : 0;
	if (r == 0 && ur_sys_pread_all(fd, bytes, size + 1, 0) != (ssize_t)size) {
		r = -ESTALE;
	}
	if (r == 0) {
		ur_xxh_of(bytes, size, xxh);
	}
	if (r == 0 && memcmp(xxh, file->xxh, sizeof xxh) != 0) {
		r = -ESTALE;
	}
	r = r < 0 ? r : ur_sidecar_parse(&item->arena, bytes, size, ret, NULL);
	free(bytes);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r;
}

static void owner_done(struct ur_coordinator *c, struct ur_item *item)
{
	assert(!item->files[item->cursor].amended);
	item->files[item->cursor].amended = true;
	item->call_state = NULL; // it was in the arena
	item->call_phase = PHASE_LOOK;
	item->call_tries = 0;
	ur_step_go(c, item, UR_STEP_AMEND);
}

static void give_up(struct ur_coordinator *c, struct ur_item *item, const char *why)
{
	struct ur_file *sidecar = &item->files[item->files[item->cursor].sidecar];
	assert(sidecar->class == UR_CLASS_SIDECAR);
	assert(ur_file_is_open(sidecar));
	ur_file_close(sidecar, UR_PROBED, UR_OUTCOME_WAITING, why);
	sidecar->trouble = true; // what it says has not arrived
	owner_done(c, item);
}

static void add_comma(struct ur_text *body)
{
	ur_text_adds(body, ",");
}

/** The facts that the server lacks, as one update; false when it lacks nothing. */
static bool write_update(
	const struct ur_sidecar *sidecar, const struct ur_asset *asset, struct ur_text *body)
{
	const size_t before = body->size;
	assert(before > 0 || !ur_text_ok(body)); // short of memory it has nothing in it
	if (sidecar->has_date && !asset->has_date) {
		char iso[UR_CLOCK_TEXT];
		ur_clock_iso(sidecar->date_ns, iso);
		const size_t size = strlen(iso);
		add_comma(body);
		ur_text_addf(body, "\"dateTimeOriginal\":\"%.*s\"",
			(int)(sidecar->date_zoned ? size : size - 1), iso);
	}
	if (sidecar->has_place && !asset->has_place) {
		ur_text_addf(body, ",\"latitude\":%.7f,\"longitude\":%.7f", sidecar->latitude,
			sidecar->longitude);
	}
	if (sidecar->description != NULL && sidecar->description[0] != '\0' &&
		!asset->has_description) {
		ur_text_adds(body, ",\"description\":");
		ur_text_add_json(body, sidecar->description, strlen(sidecar->description));
	}
	if (sidecar->has_rating && sidecar->rating != 0 && !asset->has_rating) {
		ur_text_addf(body, ",\"rating\":%d", sidecar->rating);
	}
	return body->size > before;
}

struct amending {
	struct ur_sidecar sidecar;
	struct ur_asset asset;
	char tag_ids[TAGS_MAX][UR_ASSET_ID];
	size_t tag_count;
};

static void ask_tags(struct ur_coordinator *c, struct ur_item *item, struct amending *a)
{
	assert(item->call_state == a);
	if (a->asset.has_tags || a->sidecar.tag_count == 0 || !c->run->server.may_tag) {
		owner_done(c, item);
		return;
	}
	item->call_phase = PHASE_TAGS;
	if (c->tagging) {
		ur_step_rest(c, item, UR_STEP_AMEND, 50);
		return;
	}
	struct ur_text body = {0};
	const size_t count = a->sidecar.tag_count < TAGS_MAX ? a->sidecar.tag_count : TAGS_MAX;
	ur_immich_tags_write(&body, a->sidecar.tags, count);
	c->tagging = ur_call_put(c, item, "/api/tags", &body);
	ur_text_done(&body);
	if (!c->tagging) {
		ur_step_rest(c, item, UR_STEP_AMEND, 1000);
	}
}

static void tag(struct ur_coordinator *c, struct ur_item *item, const struct amending *a)
{
	struct ur_text body = {0};
	assert(a->tag_count > 0);
	assert(a->tag_count <= TAGS_MAX);
	item->call_phase = PHASE_TAG;
	ur_text_addf(&body, "{\"assetIds\":[\"%s\"],\"tagIds\":[", a->asset.id);
	for (size_t i = 0; i < a->tag_count; i++) {
		ur_text_addf(&body, "%s\"%s\"", i == 0 ? "" : ",", a->tag_ids[i]);
	}
	ur_text_adds(&body, "]}");
	if (!ur_call_put(c, item, "/api/tags/assets", &body)) {
		ur_step_rest(c, item, UR_STEP_AMEND, 1000);
	}
	ur_text_done(&body);
}

static void set(struct ur_coordinator *c, struct ur_item *item, struct amending *a)
{
	struct ur_text body = {0};
	assert(item->call_state == a);
	item->call_phase = PHASE_SET;
	ur_text_addf(&body, "{\"ids\":[\"%s\"]", a->asset.id);
	const bool any = write_update(&a->sidecar, &a->asset, &body);
	ur_text_adds(&body, "}");
	if (!any) {
		ask_tags(c, item, a);
	} else if (!ur_call_put(c, item, "/api/assets", &body)) {
		ur_step_rest(c, item, UR_STEP_AMEND, 1000);
	}
	ur_text_done(&body);
}

void ur_amend_next(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_file *owner = c->run->options->plan ? NULL : next_owner(item);
	assert(item->step == UR_STEP_AMEND);
	if (owner == NULL) {
		ur_judge_sidecars(c, item);
		ur_quiet_hold(c, item);
		ur_step_go(c, item, UR_STEP_CONFIRM);
		return;
	}
	if (!c->run->server.may_update || !c->run->server.may_read) {
		give_up(c, item,
			"its picture was there already, and this key may not change assets "
			"(asset.read, asset.update)");
		return;
	}
	struct amending *a = item->call_state;
	assert((item->call_phase == PHASE_LOOK) == (a == NULL));
	switch (item->call_phase) {
	case PHASE_LOOK:
		if (!ur_call_get_asset(c, item, owner)) {
			ur_step_rest(c, item, UR_STEP_AMEND, 1000);
		}
		return;
	case PHASE_SET:
		set(c, item, a);
		return;
	case PHASE_TAGS:
		ask_tags(c, item, a);
		return;
	default:
		tag(c, item, a);
		return;
	}
}

/** The asset was looked at: what does the sidecar know that it lacks? */
static void looked(struct ur_coordinator *c, struct ur_item *item)
{
	const struct ur_file *owner = &item->files[item->cursor];
	assert(owner->sidecar != UR_NONE);
	assert(item->call_state == NULL);
	struct amending *a = ur_arena_alloc(&item->arena, sizeof *a);
	if (a == NULL) {
		give_up(c, item, "not enough memory to read the sidecar");
		return;
	}
	*a = (struct amending){0};
	if (ur_immich_asset_read(ur_text_get(&item->call->answer), &a->asset, NULL) < 0) {
		give_up(c, item, "the server's answer about its picture makes no sense");
		return;
	}
	if (!a->asset.extracted && ++item->call_tries < EXTRACT_TRIES) {
		ur_step_rest(c, item, UR_STEP_AMEND, EXTRACT_PAUSE_MS);
		return;
	}
	item->call_tries = 0;
	const int r = load_sidecar(item, &item->files[owner->sidecar], &a->sidecar);
	if (r < 0) {
		give_up(c, item, "it changed while its picture was asked for");
		return;
	}
	item->call_state = a;
	set(c, item, a);
}

void ur_amend_answered(struct ur_coordinator *c, struct ur_item *item)
{
	const struct ur_request *call = item->call;
	struct amending *a = item->call_state;
	assert(item->step == UR_STEP_AMEND);
	assert((item->call_phase == PHASE_LOOK) == (a == NULL));
	ur_call_returned(c);
	if (item->call_phase == PHASE_TAGS) {
		assert(c->tagging);
		c->tagging = false;
	}
	/* A page that says 200 has set nothing; what is looked at speaks for itself. */
	const bool heard = item->call_phase == PHASE_LOOK || ur_proof_is_own(call);
	if (call->result < 0 || call->status >= 300 || !heard) {
		if (!ur_outage_ask_later(c, item, UR_STEP_AMEND)) {
			give_up(c, item,
				ur_arena_format(&item->arena,
					"its picture was there already, and the server would not take its "
					"facts: %s",
					ur_call_why(item)));
		}
		return;
	}
	switch (item->call_phase) {
	case PHASE_LOOK:
		looked(c, item);
		return;
	case PHASE_SET:
		ask_tags(c, item, a);
		return;
	case PHASE_TAGS:
		if (ur_immich_tags_read(ur_text_get(&call->answer), a->tag_ids, TAGS_MAX,
			    &a->tag_count, NULL) == 0 &&
			a->tag_count > 0) {
			tag(c, item, a);
		} else {
			owner_done(c, item);
		}
		return;
	default:
		owner_done(c, item);
		return;
	}
}
