/*
 * amend - what has to be said to the server about assets that are there.
 *
 *     link    a live movie that was sent now, to a still that was there already
 *     amend   a sidecar's date, place, description, rating and tags, each only where the server has
 *             none; after the server's own extraction, which would otherwise overwrite them
 */
#include "engine/stage/decide_parts.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 60000
#define EXTRACT_PAUSE_MS 1000
#define EXTRACT_TRIES 45 // how long we wait for the server's extraction
#define TAGS_MAX 256

enum {
	PHASE_LOOK,
	PHASE_SET,
	PHASE_TAGS,
	PHASE_TAG
};

/* ---- live photos ----------------------------------------------------------------------------- */

static bool needs_link(const struct ur_item *item, const struct ur_file *still)
{
	/* With a still that is sent after its movie the link travels. */
	if (still->movie == UR_NONE || still->linked || still->now_sent ||
		still->asset[0] == '\0') {
		return false;
	}
	const struct ur_file *movie = &item->files[still->movie];
	return (movie->now_sent || movie->owes_link) && movie->asset[0] != '\0';
}

static bool put_json(struct ur_decide *decide, struct ur_item *item, const char *path,
	const struct ur_text *body)
{
	struct ur_request *call = ur_decide_call(item);
	char *copy = call == NULL || !ur_text_ok(body)
			     ? NULL
			     : ur_arena_copy(&item->arena, body->bytes, body->size);
	if (copy == NULL || path == NULL) {
		return false;
	}
	call->method = "PUT";
	call->path = path;
	call->content_type = "application/json";
	call->pieces[0] = (struct ur_piece){.bytes = copy, .size = body->size};
	call->piece_count = 1;
	call->answer_wait_ms = ANSWER_MS;
	decide->in_calls++;
	ur_decide_submit(decide, call);
	return true;
}

static bool get_asset(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file)
{
	struct ur_request *call = ur_decide_call(item);
	const char *path = ur_arena_format(&item->arena, "/api/assets/%s", file->asset);
	if (call == NULL || path == NULL) {
		return false;
	}
	call->method = "GET";
	call->path = path;
	call->answer_wait_ms = ANSWER_MS;
	decide->in_calls++;
	ur_decide_submit(decide, call);
	return true;
}

static bool put_link(struct ur_decide *decide, struct ur_item *item, const struct ur_file *still)
{
	struct ur_text body = {0};
	ur_text_addf(&body, "{\"livePhotoVideoId\":\"%s\"}", item->files[still->movie].asset);
	const char *path = ur_arena_format(&item->arena, "/api/assets/%s", still->asset);
	const bool out = put_json(decide, item, path, &body);
	ur_text_done(&body);
	return out;
}

void ur_link_next(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count && !decide->run->options->plan; i++) {
		struct ur_file *still = &item->files[i];
		if (!needs_link(item, still)) {
			continue;
		}
		item->cursor = i;
		if (!(item->call_phase == PHASE_LOOK ? get_asset(decide, item, still)
						     : put_link(decide, item, still))) {
			ur_decide_rest(decide, item, UR_STEP_LINK, 1000);
		}
		return;
	}
	ur_decide_go(decide, item, UR_STEP_AMEND);
}

static bool is_passing(const struct ur_request *call)
{
	return call->result < 0 || call->status >= 500 || call->status == 429 ||
	       call->status == 408;
}

static bool try_later(struct ur_decide *decide, struct ur_item *item, enum ur_item_step step)
{
	if (ur_decide_is_line(item->call)) {
		ur_decide_doubt(decide);
	}
	if (!is_passing(item->call) || ++item->call_tries > UR_CALL_TRIES) {
		return false;
	}
	ur_decide_rest(decide, item, step, ur_decide_pause(decide, item->call_tries, -1));
	return true;
}

static void link_done(struct ur_decide *decide, struct ur_item *item)
{
	item->files[item->cursor].linked = true;
	item->call_phase = PHASE_LOOK;
	item->call_tries = 0;
	ur_decide_go(decide, item, UR_STEP_LINK);
}

/** What the server has linked already stays: it may be the phone's own movie. */
static void link_looked(struct ur_decide *decide, struct ur_item *item, struct ur_file *still)
{
	struct ur_asset asset = {0};
	if (ur_immich_asset_read(ur_text_get(&item->call->answer), &asset, NULL) < 0) {
		still->reason = "the picture was there and its movie was sent, but what the server "
				"says of the picture makes no sense: they are not linked";
		still->warn = true;
	} else if (asset.live_movie[0] == '\0') {
		item->call_phase = PHASE_SET;
		item->call_tries = 0;
		ur_decide_go(decide, item, UR_STEP_LINK);
		return;
	} else if (strcmp(asset.live_movie, item->files[still->movie].asset) != 0) {
		still->reason =
			"the server has it with another movie linked to it, which stays; the "
			"movie that lies beside it here was sent as one of its own";
		still->warn = true;
	}
	link_done(decide, item);
}

void ur_link_answered(struct ur_decide *decide, struct ur_item *item)
{
	struct ur_file *still = &item->files[item->cursor];
	const struct ur_request *call = item->call;
	decide->in_calls--;
	if (call->result < 0 || call->status >= 300) {
		if (try_later(decide, item, UR_STEP_LINK)) {
			return;
		}
		char message[UR_MESSAGE_MAX];
		ur_immich_message(call->status, ur_text_get(&call->answer), call->html, message);
		still->reason = ur_arena_format(&item->arena,
			"the picture was there and its movie was sent, but they could not be linked: %s",
			call->result < 0 ? call->err.text : message);
		still->warn = true;
		link_done(decide, item);
	} else if (item->call_phase == PHASE_LOOK) {
		link_looked(decide, item, still);
	} else {
		link_done(decide, item);
	}
}

/* ---- sidecars -------------------------------------------------------------------------------- */

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
			ur_judge_is_open(&item->files[owner->sidecar])) {
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

static void owner_done(struct ur_decide *decide, struct ur_item *item)
{
	item->files[item->cursor].amended = true;
	item->call_state = NULL; // it was in the arena
	item->call_phase = PHASE_LOOK;
	item->call_tries = 0;
	ur_decide_go(decide, item, UR_STEP_AMEND);
}

static void give_up(struct ur_decide *decide, struct ur_item *item, const char *why)
{
	struct ur_file *sidecar = &item->files[item->files[item->cursor].sidecar];
	ur_judge_close(sidecar, UR_PROBED, UR_OUTCOME_WAITING, why);
	owner_done(decide, item);
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

static void ask_tags(struct ur_decide *decide, struct ur_item *item, struct amending *a)
{
	if (a->asset.has_tags || a->sidecar.tag_count == 0 || !decide->run->server.may_tag) {
		owner_done(decide, item);
		return;
	}
	item->call_phase = PHASE_TAGS;
	if (decide->tagging) {
		ur_decide_rest(decide, item, UR_STEP_AMEND, 50);
		return;
	}
	struct ur_text body = {0};
	const size_t count = a->sidecar.tag_count < TAGS_MAX ? a->sidecar.tag_count : TAGS_MAX;
	ur_immich_tags_write(&body, a->sidecar.tags, count);
	decide->tagging = put_json(decide, item, "/api/tags", &body);
	ur_text_done(&body);
	if (!decide->tagging) {
		ur_decide_rest(decide, item, UR_STEP_AMEND, 1000);
	}
}

static void tag(struct ur_decide *decide, struct ur_item *item, const struct amending *a)
{
	struct ur_text body = {0};
	item->call_phase = PHASE_TAG;
	ur_text_addf(&body, "{\"assetIds\":[\"%s\"],\"tagIds\":[", a->asset.id);
	for (size_t i = 0; i < a->tag_count; i++) {
		ur_text_addf(&body, "%s\"%s\"", i == 0 ? "" : ",", a->tag_ids[i]);
	}
	ur_text_adds(&body, "]}");
	if (!put_json(decide, item, "/api/tags/assets", &body)) {
		ur_decide_rest(decide, item, UR_STEP_AMEND, 1000);
	}
	ur_text_done(&body);
}

static void set(struct ur_decide *decide, struct ur_item *item, struct amending *a)
{
	struct ur_text body = {0};
	item->call_phase = PHASE_SET;
	ur_text_addf(&body, "{\"ids\":[\"%s\"]", a->asset.id);
	const bool any = write_update(&a->sidecar, &a->asset, &body);
	ur_text_adds(&body, "}");
	if (!any) {
		ask_tags(decide, item, a);
	} else if (!put_json(decide, item, "/api/assets", &body)) {
		ur_decide_rest(decide, item, UR_STEP_AMEND, 1000);
	}
	ur_text_done(&body);
}

void ur_amend_next(struct ur_decide *decide, struct ur_item *item)
{
	struct ur_file *owner = decide->run->options->plan ? NULL : next_owner(item);
	if (owner == NULL) {
		ur_judge_sidecars(decide, item);
		ur_quiet_hold(decide, item);
		ur_decide_go(decide, item, UR_STEP_CONFIRM);
		return;
	}
	if (!decide->run->server.may_update || !decide->run->server.may_read) {
		give_up(decide, item,
			"its picture was there already, and this key may not change assets "
			"(asset.read, asset.update)");
		return;
	}
	struct amending *a = item->call_state;
	switch (item->call_phase) {
	case PHASE_LOOK:
		if (!get_asset(decide, item, owner)) {
			ur_decide_rest(decide, item, UR_STEP_AMEND, 1000);
		}
		return;
	case PHASE_SET:
		set(decide, item, a);
		return;
	case PHASE_TAGS:
		ask_tags(decide, item, a);
		return;
	default:
		tag(decide, item, a);
		return;
	}
}

/** The asset was looked at: what does the sidecar know that it lacks? */
static void looked(struct ur_decide *decide, struct ur_item *item)
{
	const struct ur_file *owner = &item->files[item->cursor];
	struct amending *a = ur_arena_alloc(&item->arena, sizeof *a);
	if (a == NULL) {
		give_up(decide, item, "not enough memory to read the sidecar");
		return;
	}
	*a = (struct amending){0};
	if (ur_immich_asset_read(ur_text_get(&item->call->answer), &a->asset, NULL) < 0) {
		give_up(decide, item, "the server's answer about its picture makes no sense");
		return;
	}
	if (!a->asset.extracted && ++item->call_tries < EXTRACT_TRIES) {
		ur_decide_rest(decide, item, UR_STEP_AMEND, EXTRACT_PAUSE_MS);
		return;
	}
	item->call_tries = 0;
	const int r = load_sidecar(item, &item->files[owner->sidecar], &a->sidecar);
	if (r < 0) {
		give_up(decide, item, "it changed while its picture was asked for");
		return;
	}
	item->call_state = a;
	set(decide, item, a);
}

void ur_amend_answered(struct ur_decide *decide, struct ur_item *item)
{
	const struct ur_request *call = item->call;
	struct amending *a = item->call_state;
	decide->in_calls--;
	if (item->call_phase == PHASE_TAGS) {
		decide->tagging = false;
	}
	if (call->result < 0 || call->status >= 300) {
		if (!try_later(decide, item, UR_STEP_AMEND)) {
			char message[UR_MESSAGE_MAX];
			ur_immich_message(
				call->status, ur_text_get(&call->answer), call->html, message);
			give_up(decide, item,
				ur_arena_format(&item->arena,
					"its picture was there already, and the server would not take its "
					"facts: %s",
					call->result < 0 ? call->err.text : message));
		}
		return;
	}
	switch (item->call_phase) {
	case PHASE_LOOK:
		looked(decide, item);
		return;
	case PHASE_SET:
		ask_tags(decide, item, a);
		return;
	case PHASE_TAGS:
		if (ur_immich_tags_read(ur_text_get(&call->answer), a->tag_ids, TAGS_MAX,
			    &a->tag_count, NULL) == 0 &&
			a->tag_count > 0) {
			tag(decide, item, a);
		} else {
			owner_done(decide, item);
		}
		return;
	default:
		owner_done(decide, item);
		return;
	}
}
