/*
 * link - a live movie that was sent now, to a still that was there already: looked at first, for what
 * the server has linked stays.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/retry.h"

#include <assert.h>
#include <string.h>

enum {
	PHASE_LOOK,
	PHASE_SET,
};

static bool needs_link(const struct ur_item *item, const struct ur_file *still)
{
	/* With a still that is sent after its movie the link travels. */
	if (still->movie == UR_NONE || still->linked || still->link_waits || still->now_sent ||
		still->asset[0] == '\0') {
		return false;
	}
	const struct ur_file *movie = &item->files[still->movie];
	assert(still->movie < item->count);
	assert(&item->files[movie->still] == still);
	return (movie->now_sent || movie->owes_link) && movie->asset[0] != '\0';
}

static bool put_link(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *still)
{
	struct ur_text body = {0};
	assert(needs_link(item, still));
	ur_text_addf(&body, "{\"livePhotoVideoId\":\"%s\"}", item->files[still->movie].asset);
	const char *path = ur_arena_format(&item->arena, "/api/assets/%s", still->asset);
	const bool out = ur_call_put(c, item, path, &body);
	ur_text_done(&body);
	return out;
}

void ur_link_next(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->step == UR_STEP_LINK);
	for (int i = 0; i < item->count && !c->run->options->plan; i++) {
		struct ur_file *still = &item->files[i];
		if (!needs_link(item, still)) {
			continue;
		}
		item->cursor = i;
		if (!(item->call_phase == PHASE_LOOK ? ur_call_get_asset(c, item, still)
						     : put_link(c, item, still))) {
			ur_step_rest(c, item, UR_STEP_LINK, 1000);
		}
		return;
	}
	ur_step_go(c, item, UR_STEP_AMEND);
}

/** The next still of the item. */
static void go_on(struct ur_coordinator *c, struct ur_item *item)
{
	item->call_phase = PHASE_LOOK;
	item->call_tries = 0;
	ur_step_go(c, item, UR_STEP_LINK);
}

static void link_done(struct ur_coordinator *c, struct ur_item *item)
{
	assert(!item->files[item->cursor].linked);
	item->files[item->cursor].linked = true;
	go_on(c, item);
}

/**
 * Nobody who matters said no: the next run links them, for as long as they are here.  What Immich itself
 * refuses it would refuse again, and the pictures are safe.
 */
static void not_linked(
	struct ur_coordinator *c, struct ur_item *item, struct ur_file *still, const char *why)
{
	const struct ur_request *call = item->call;
	const bool refused = ur_proof_is_own(call) && call->status >= 300 &&
			     !ur_retry_may_pass(call->result, call->status);
	assert(!still->not_now);
	const char *reason = ur_arena_format(&item->arena,
		"the picture was there and its movie was sent, but they could not be linked%s: %s",
		refused ? "" : " yet", why);
	reason = reason == NULL ? "its movie could not be linked to it" : reason;
	if (!refused && ur_file_goes_away(c, still)) {
		ur_file_keep(c, item, still, reason);
	}
	still->reason = reason;
	still->warn = true;
	still->linked = refused;
	still->link_waits = !refused;
	still->trouble = !refused;
	go_on(c, item);
}

/** What the server has linked already stays: it may be the phone's own movie. */
static void link_looked(struct ur_coordinator *c, struct ur_item *item, struct ur_file *still)
{
	struct ur_asset asset = {0};
	assert(item->call_phase == PHASE_LOOK);
	if (ur_immich_asset_read(ur_text_get(&item->call->answer), &asset, NULL) < 0) {
		not_linked(c, item, still, "what the server says of the picture makes no sense");
		return;
	}
	if (asset.live_movie[0] == '\0') {
		item->call_phase = PHASE_SET;
		item->call_tries = 0;
		ur_step_go(c, item, UR_STEP_LINK);
		return;
	} else if (strcmp(asset.live_movie, item->files[still->movie].asset) != 0) {
		still->reason =
			"the server has it with another movie linked to it, which stays; the "
			"movie that lies beside it here was sent as one of its own";
		still->warn = true;
	}
	link_done(c, item);
}

/** A page that says 200 has linked nothing. */
static bool is_linked(const struct ur_item *item, const struct ur_file *still)
{
	struct ur_asset asset = {0};
	return ur_proof_is_own(item->call) ||
	       (ur_immich_asset_read(ur_text_get(&item->call->answer), &asset, NULL) == 0 &&
		       strcmp(asset.live_movie, item->files[still->movie].asset) == 0);
}

void ur_link_answered(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_file *still = &item->files[item->cursor];
	const struct ur_request *call = item->call;
	assert(item->step == UR_STEP_LINK);
	assert(needs_link(item, still));
	ur_call_returned(c);
	if (call->result < 0 || call->status >= 300 ||
		(item->call_phase == PHASE_SET && !is_linked(item, still))) {
		if (!ur_outage_ask_later(c, item, UR_STEP_LINK)) {
			not_linked(c, item, still, ur_call_why(item));
		}
	} else if (item->call_phase == PHASE_LOOK) {
		link_looked(c, item, still);
	} else {
		link_done(c, item);
	}
}
