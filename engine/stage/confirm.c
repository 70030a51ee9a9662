/*
 * confirm - promise 1, (a) and (b): the server names the asset, and it gives bytes back.
 *
 *     phase ASSET   GET /api/assets/ID                    its checksum, owner, place, not trashed
 *     phase BYTES   GET /api/assets/ID/original, Range    206 and the same total size
 *                   (settle stands the group aside)
 *     phase AGAIN   the same, for what is not this row's own 201: bytes that come from this very
 *                   file by another way do not come any more
 *
 * What an answer means is in net/proof.  An original that does not come is parked: the next one that
 * comes says that it is this asset's fault, five in a row that it is the library's.  Then, and only
 * with the ledger's word for it, settle may take the group away.
 */
#include "engine/stage/confirm_parts.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MS 60000
#define AGAIN_MS 15000 // while the file stands aside
#define LOST_TRIES 2
#define AGAIN_TRIES 1
#define STRANGER_TRIES 2
#define BYTES_ANSWER_MS 3600000 // between two pieces of a large file

/** The original as it comes back, on http's thread: counted, and hashed where all of it comes. */
struct check_bytes {
	struct ur_hasher *hasher; // NULL until there is anything to hash
	struct ur_digest *digest;
	bool whole; // --confirm=bytes
	bool sidecar;
	uint64_t got;
};

/* ---- what is due ----------------------------------------------------------------------------- */

bool ur_confirm_is_due(const struct ur_decide *decide, const struct ur_file *file)
{
	if (file->confirmed || decide->run->options->plan) {
		return false;
	}
	if (file->must_confirm && ur_confirm_is_delivered(file)) {
		return true;
	}
	/*
	 * A sidecar with its picture beside it follows that one.  Alone (its picture went before it,
	 * and the run was interrupted) it is asked for itself, and deleted only if it travelled.
	 */
	const bool sidecar = file->class == UR_CLASS_SIDECAR;
	const bool may_go = file->travelled || decide->run->options->after == UR_AFTER_MOVE;
	const bool follows = sidecar && (file->owners != 0 || !may_go);
	/* What somebody else sent may be older than we know: the asset tells. */
	const bool ripe =
		!ur_confirm_is_young(decide, file) || !(sidecar || ur_confirm_is_ours(file));
	return ur_confirm_goes_away(decide, file) && !follows && ripe;
}

/* ---- the questions --------------------------------------------------------------------------- */

static int begin_hash(struct check_bytes *check)
{
	int r = ur_hasher_new(&check->hasher);
	r = r < 0 ? r : ur_digest_new(&check->digest);
	return r < 0 ? r : ur_digest_begin(check->digest);
}

/** A 200 is the whole original, asked for or not: then all of it is compared. */
static int take_bytes(struct ur_request *request, const void *bytes, size_t size)
{
	const struct ur_item *item = request->owner;
	struct check_bytes *check = item->call_state;
	const bool all = check->whole || request->content_range[0] == '\0';
	if (all && !check->sidecar) {
		const int r = check->hasher == NULL ? begin_hash(check) : 0;
		if (r < 0) {
			return r;
		}
		ur_hasher_feed(check->hasher, check->digest, bytes, size);
		ur_hasher_flush(check->hasher);
	}
	check->got += size;
	return 0;
}

static void free_check(struct ur_item *item)
{
	struct check_bytes *check = item->call_state;
	if (check != NULL) {
		(void)ur_hasher_free(check->hasher);
		(void)ur_digest_free(check->digest);
		free(check);
		item->call_state = NULL;
	}
}

static bool make_check(
	const struct ur_decide *decide, struct ur_item *item, const struct ur_file *file)
{
	struct check_bytes *check = calloc(1, sizeof *check);
	item->call_state = check;
	if (check == NULL) {
		return false;
	}
	check->sidecar = file->class == UR_CLASS_SIDECAR;
	check->whole = decide->run->options->confirm_bytes && !check->sidecar &&
		       item->call_phase == UR_PHASE_BYTES;
	return true;
}

/** The server's clock, beside the asset's own date. */
static void take_date(struct ur_request *request, const char *name, const char *value)
{
	struct ur_item *item = request->owner;
	if (strcasecmp(name, "Date") == 0 && ur_clock_parse_http(value, &item->call_date_ns) < 0) {
		item->call_date_ns = 0;
	}
}

static void say_range(const struct ur_decide *decide, const struct ur_item *item,
	const struct ur_file *file, struct ur_request *call)
{
	const struct check_bytes *check = item->call_state;
	/* Once more: another byte, which nobody can have kept from the first time. */
	const int64_t last = file->identity.size - 1;
	const int64_t at = item->call_phase == UR_PHASE_AGAIN
				   ? (int64_t)(decide->seed % (uint64_t)file->identity.size)
				   : last;
	if (check->sidecar) {
		(void)snprintf(call->header[0], sizeof call->header[0], "Range: bytes=0-0");
	} else if (!check->whole) {
		(void)snprintf(call->header[0], sizeof call->header[0],
			"Range: bytes=%" PRId64 "-%" PRId64, at, at);
	}
	/* The server's word is wanted, not a cache's that stands before it. */
	(void)snprintf(
		call->header[1], sizeof call->header[1], "Cache-Control: no-cache, no-store");
}

void ur_confirm_ask(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file)
{
	struct ur_request *call = ur_decide_call(item);
	const bool bytes = item->call_phase != UR_PHASE_ASSET;
	const char *path = ur_arena_format(
		&item->arena, bytes ? "/api/assets/%s/original" : "/api/assets/%s", file->asset);
	if (call == NULL || path == NULL || (bytes && !make_check(decide, item, file))) {
		ur_decide_rest(decide, item, item->step, 1000);
		return;
	}
	call->method = "GET";
	call->path = path;
	call->answer_wait_ms = item->call_phase == UR_PHASE_AGAIN ? AGAIN_MS : ANSWER_MS;
	item->call_date_ns = 0;
	if (bytes) {
		const struct check_bytes *check = item->call_state;
		call->sink = take_bytes;
		call->answer_wait_ms = check->whole ? BYTES_ANSWER_MS : call->answer_wait_ms;
		say_range(decide, item, file, call);
	} else {
		call->field = take_date;
	}
	decide->in_calls++;
	ur_decide_submit(decide, call);
}

/* ---- (a): the asset -------------------------------------------------------------------------- */

/** The last two folders above the file, in `path`, which they are cut out of. */
static void name_folders(char *path, const char **ret_above, const char **ret_folder)
{
	char *slash = strrchr(path, '/');
	*ret_folder = slash == NULL ? path : slash + 1;
	*ret_above = "";
	if (slash != NULL) {
		*slash = '\0';
		const char *before = strrchr(path, '/');
		*ret_above = before == NULL ? path : before + 1;
	}
}

/** The server's file of this asset may be the very one that would go. */
static bool may_be_the_servers_own(
	struct ur_item *item, const struct ur_file *file, const struct ur_asset *asset)
{
	struct ur_text text = {0};
	const char *above = NULL;
	const char *folder = NULL;
	ur_dir_path(item->dir, NULL, &text);
	char *path = ur_arena_string(&item->arena, ur_text_get(&text));
	const bool known = ur_text_ok(&text) && path != NULL;
	ur_text_done(&text);
	if (!known) {
		return true; // short of memory: cannot say
	}
	name_folders(path, &above, &folder);
	return ur_proof_is_same_place(asset->original, folder, file->name) ||
	       ur_proof_is_own_layout(above, folder, file->name);
}

static void stored_other(struct ur_item *item, struct ur_file *file)
{
	file->remembered = false; // perhaps it is our hash that is wrong: taken afresh
	file->not_now = true;
	ur_confirm_fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
		ur_confirm_with_id(item,
			"broken there: the server stored other bytes; the file is kept here",
			file));
}

/** False when the file is closed, or kept, by what its asset is. */
static bool judge_asset(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset)
{
	const bool sidecar = file->class == UR_CLASS_SIDECAR;
	switch (ur_immich_prove(asset, sidecar ? NULL : file->sha1, decide->run->server.user_id)) {
	case UR_PROOF_HOLDS:
		return true;
	case UR_PROOF_OTHER_BYTES:
		stored_other(item, file);
		break;
	case UR_PROOF_OTHER_OWNER:
		ur_confirm_keep(decide, item, file, "kept: the asset belongs to another user");
		break;
	case UR_PROOF_TRASHED:
		ur_confirm_fail(file, UR_TRASHED, UR_OUTCOME_REFUSED,
			ur_confirm_with_id(item, "kept: it is in the server's trash", file));
		break;
	case UR_PROOF_EXTERNAL:
		ur_confirm_keep(decide, item, file,
			"kept: the asset is in an external library, its file may be this very one");
		break;
	}
	file->not_now = true;
	return false;
}

/** Why a file stays although nothing is wrong with its asset; NULL: it may go. */
static const char *why_stays(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset, bool *ret_odd)
{
	*ret_odd = false;
	if (!ur_confirm_goes_away(decide, file) || file->class == UR_CLASS_SIDECAR ||
		ur_confirm_is_ours(file)) {
		return NULL;
	}
	if (may_be_the_servers_own(item, file, asset)) {
		*ret_odd = true;
		return "kept: it lies where Immich keeps its own files: the server's copy may be this "
		       "very file, seen through a share or a mount";
	}
	const bool young = ur_confirm_is_young(decide, file) &&
			   ur_proof_server_age_ns(item->call_date_ns, asset->created_ns,
				   ur_clock_wall_ns()) < ur_confirm_settle_after_ns(decide);
	return young ? "the server has it, but not for long: it is removed in a run after "
		       "--settle-after"
		     : NULL;
}

static void asset_answered(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset)
{
	bool odd = false;
	if (!judge_asset(decide, item, file, asset)) {
		ur_confirm_next_file(decide, item);
		return;
	}
	const char *why = why_stays(decide, item, file, asset, &odd);
	if (why != NULL && !file->must_confirm) {
		if (odd) {
			ur_confirm_keep(decide, item, file, why);
		} else {
			ur_confirm_keep_quietly(file, why);
		}
		ur_confirm_next_file(decide, item);
		return;
	}
	file->stays = why; // a suspect is asked for its bytes all the same
	item->call_phase = UR_PHASE_BYTES;
	item->call_tries = 0;
	ur_decide_go(decide, item, UR_STEP_CONFIRM);
}

/* ---- the answers ----------------------------------------------------------------------------- */

/** All bytes came and they are others than those that were hashed. */
static bool is_other(const struct check_bytes *check, const struct ur_file *file)
{
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	return check->hasher != NULL && (ur_digest_end(check->digest, sha1, xxh) < 0 ||
						memcmp(xxh, file->xxh, sizeof xxh) != 0);
}

static bool try_later(struct ur_decide *decide, struct ur_item *item, int tries_max)
{
	if (++item->call_tries > tries_max) {
		return false;
	}
	int64_t asked_ms = item->call->retry_after_ms;
	if (ur_decide_is_sent_away(decide, item->call->status, asked_ms)) {
		asked_ms = -1;
	}
	ur_decide_rest(
		decide, item, item->step, ur_decide_pause(decide, item->call_tries, asked_ms));
	return true;
}

/** The key's rights were taken back in mid-run: that says nothing about any file. */
static void forbidden(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	if (!decide->may_not_read) {
		ur_run_warn(decide->run,
			"the server does not let this key read assets back any more (HTTP %d): from "
			"here on files are imported and kept",
			item->call->status);
	}
	decide->may_not_read = true;
	if (item->call->status == 401) {
		ur_decide_doubt(decide); // the key as a whole, perhaps
	}
	ur_confirm_keep(decide, item, file, "kept: the key may not read it back");
}

/** Where one question after the other ends at a stranger, the rest is not asked. */
static void met_stranger(struct ur_decide *decide, const struct ur_item *item)
{
	if (++decide->strangers_in_a_row != UR_LIBRARY_FAILURES) {
		return;
	}
	decide->strangers = true;
	ur_run_warn(decide->run,
		"something before the server answers in its place (HTTP %d%s): nothing can be confirmed, so "
		"files are imported and kept; look at the proxy's rules for /api/assets",
		item->call->status, item->call->html ? ", a page" : "");
}

static void answered_no(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	enum ur_meaning meaning)
{
	switch (meaning) {
	case UR_MEANS_LATER:
		if (ur_decide_is_line(item->call)) {
			ur_decide_doubt(decide);
		}
		if (try_later(decide, item, UR_CALL_TRIES)) {
			return;
		}
		ur_confirm_keep(decide, item, file,
			"kept: the server could not be asked whether it has the bytes");
		break;
	case UR_MEANS_STRANGER:
		if (try_later(decide, item, STRANGER_TRIES)) {
			return;
		}
		met_stranger(decide, item);
		ur_confirm_keep(decide, item, file,
			ur_arena_format(&item->arena,
				"kept: what answered for it (HTTP %d) was not Immich but something "
				"before it, a proxy or a login page",
				item->call->status));
		break;
	case UR_MEANS_FORBIDDEN:
		forbidden(decide, item, file);
		break;
	case UR_MEANS_GONE:
		file->not_now = true;
		ur_confirm_fail(file, UR_WITHDRAWN, UR_OUTCOME_REFUSED,
			ur_confirm_with_id(item,
				"kept: it was delivered and is gone from the server now", file));
		break;
	case UR_MEANS_OTHER:
		stored_other(item, file);
		break;
	case UR_MEANS_NO_BYTES:
		if (!try_later(decide, item, LOST_TRIES)) {
			ur_confirm_lacks(decide, item);
		}
		return;
	case UR_MEANS_YES:
	case UR_MEANINGS:
		assert(!"that is no 'no'");
	}
	ur_confirm_next_file(decide, item);
}

static void confirmed(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	file->confirmed = true;
	file->must_confirm = false; // it was, and its bytes came
	file->confirmed_ns = ur_clock_wall_ns();
	/* Where it is asked for once more, a doubt lasts until then. */
	if (!ur_confirm_goes_away(decide, file) || !ur_confirm_asks_again(file) ||
		file->stays != NULL) {
		file->doubt_since = (struct ur_age){0};
	}
	file->reason = file->stays != NULL ? file->stays : file->reason;
	ur_confirm_gives(decide);
	ur_confirm_next_file(decide, item);
}

/** While it stands aside: it goes, or all of its group go back to their names. */
static void again_answered(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	enum ur_meaning meaning)
{
	if (meaning == UR_MEANS_YES) {
		file->given_again = true;
		file->doubt_since = (struct ur_age){0};
		ur_decide_go(decide, item, UR_STEP_AGAIN);
		return;
	}
	if (try_later(decide, item, AGAIN_TRIES)) {
		return;
	}
	if (meaning == UR_MEANS_NO_BYTES) {
		file->doubt_since = ur_age_begin(); // whatever the reason: it is not proved
	}
	ur_confirm_keep(decide, item, file,
		meaning == UR_MEANS_NO_BYTES
			? "kept: while it stood aside the server could not give its bytes any more: the "
			  "server's copy may be this very file"
			: "kept: while it stood aside the server could not be asked for its bytes");
	ur_decide_go(decide, item, UR_STEP_AGAIN);
}

static enum ur_meaning meaning_of(
	const struct ur_item *item, const struct ur_file *file, bool readable)
{
	const struct ur_request *call = item->call;
	const struct check_bytes *check = item->call_state;
	const struct ur_reply reply = {
		.result = call->result,
		.status = call->status,
		.own = ur_proof_is_own(call),
		.readable = readable,
		.total = ur_immich_total(call->content_range),
		.got = check == NULL ? 0 : check->got,
		.other = check != NULL && call->result == 0 && is_other(check, file),
	};
	if (item->call_phase == UR_PHASE_ASSET) {
		return ur_proof_of_asset(&reply);
	}
	assert(check != NULL);
	return ur_proof_of_bytes(&reply, check->sidecar ? -1 : file->identity.size, check->whole);
}

void ur_confirm_answered(struct ur_decide *decide, struct ur_item *item)
{
	struct ur_file *file = &item->files[item->cursor];
	struct ur_asset asset = {0};
	const struct ur_request *call = item->call;
	decide->in_calls--;
	const bool readable = call->result == 0 && call->status == 200 &&
			      item->call_phase == UR_PHASE_ASSET &&
			      ur_immich_asset_read(ur_text_get(&call->answer), &asset, NULL) == 0;
	const enum ur_meaning meaning = meaning_of(item, file, readable);
	free_check(item);
	if (item->call_phase == UR_PHASE_AGAIN) {
		again_answered(decide, item, file, meaning);
	} else if (meaning != UR_MEANS_YES) {
		answered_no(decide, item, file, meaning);
	} else if (item->call_phase == UR_PHASE_ASSET) {
		asset_answered(decide, item, file, &asset);
	} else {
		confirmed(decide, item, file);
	}
}
