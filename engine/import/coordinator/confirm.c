/*
 * confirm - promise 1, (a) and (b): the server names the asset, and it gives bytes back.
 *
 *     ASSET   GET /api/assets/ID                    its checksum, owner, place, not trashed
 *     BYTES   GET /api/assets/ID/original, Range    206 and the same total size
 *             (settle stands the group aside)
 *     ASIDE   the same, for what is not this row's own 201: bytes that come from this very file by
 *             another way do not come any more
 *
 * What an answer means, and what follows, is in immich/put.  An original that does not come is parked: the next one that
 * comes says that it is this asset's fault, five in a row that it is the library's.  Then, and only
 * with the ledger's word for it, settle may take the group away.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 60000
#define AGAIN_MS 15000          // while the file stands aside
#define BYTES_ANSWER_MS 3600000 // at most, between two pieces of a large file

/** The original as it comes back, on http's thread: counted, and hashed where all of it comes. */
struct check_bytes {
	struct ur_hasher *hasher; // NULL until there is anything to hash
	struct ur_digest *digest;
	bool whole; // --confirm=bytes
	bool sidecar;
	uint64_t got;
};

/* ---- what is due ----------------------------------------------------------------------------- */

bool ur_confirm_is_due(const struct ur_coordinator *c, const struct ur_file *file)
{
	if (file->confirmed || c->run->options->plan) {
		return false;
	}
	if (file->must_confirm && ur_file_is_delivered(file)) {
		return true;
	}
	/*
	 * A sidecar with its picture beside it follows that one.  Alone (its picture went before it,
	 * and the run was interrupted) it is asked for itself, and deleted only if it travelled.
	 */
	const bool sidecar = file->class == UR_CLASS_SIDECAR;
	const bool may_go = file->travelled || c->run->options->after == UR_AFTER_MOVE;
	const bool follows = sidecar && (file->owners != 0 || !may_go);
	/* What somebody else sent may be older than we know: the asset tells. */
	const bool ripe = !ur_file_is_young(c, file) || !(sidecar || ur_file_is_ours(file));
	return ur_file_goes_away(c, file) && !follows && ripe;
}

/* ---- the questions --------------------------------------------------------------------------- */

static int begin_hash(struct check_bytes *check)
{
	assert(check->hasher == NULL);
	int r = ur_hasher_new(&check->hasher);
	r = r < 0 ? r : ur_digest_new(&check->digest);
	return r < 0 ? r : ur_digest_begin(check->digest);
}

/** A 200 is the whole original, asked for or not: then all of it is compared. */
static int take_bytes(struct ur_request *request, const void *bytes, size_t size)
{
	const struct ur_item *item = request->owner;
	struct check_bytes *check = item->call_state;
	assert(item->call == request);
	assert(check != NULL);
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
	const struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file)
{
	struct check_bytes *check = calloc(1, sizeof *check);
	assert(item->call_state == NULL);
	item->call_state = check;
	if (check == NULL) {
		return false;
	}
	check->sidecar = file->class == UR_CLASS_SIDECAR;
	check->whole = c->run->options->confirm_bytes && !check->sidecar &&
		       file->put.state == UR_PUT_BYTES;
	return true;
}

/** The server's clock, beside the asset's own date. */
static void take_date(struct ur_request *request, const char *name, const char *value)
{
	struct ur_item *item = request->owner;
	assert(item->call == request);
	ur_proof_take_date(name, value, &item->call_date_ns);
}

static void say_range(const struct ur_coordinator *c, const struct ur_item *item,
	const struct ur_file *file, struct ur_request *call)
{
	const struct check_bytes *check = item->call_state;
	assert(check->sidecar || file->identity.size > 0);
	assert(file->put.state != UR_PUT_ASIDE || !check->sidecar);
	/* Once more: another byte, which nobody can have kept from the first time. */
	const int64_t last = file->identity.size - 1;
	const int64_t at = file->put.state == UR_PUT_ASIDE
				   ? (int64_t)(c->seed % (uint64_t)file->identity.size)
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

/** It was sent, found or remembered to be there: its proof begins. */
static void begin(struct ur_coordinator *c, struct ur_file *file)
{
	const enum ur_put_state state = file->put.state;
	assert(file->asset[0] != '\0');
	if (state != UR_PUT_ASSET && state != UR_PUT_BYTES && state != UR_PUT_ASIDE) {
		ur_put_start(
			&file->put, &c->rules, UR_PUT_ASSET, ur_age_is_begun(&file->doubt_since));
	}
}

void ur_confirm_ask(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	struct ur_request *call = ur_call_begin(item);
	assert(item->step == UR_STEP_CONFIRM || item->step == UR_STEP_AGAIN);
	assert(file == &item->files[item->cursor]);
	begin(c, file);
	const bool bytes = file->put.state != UR_PUT_ASSET;
	assert((file->put.state == UR_PUT_ASIDE) == (item->step == UR_STEP_AGAIN));
	const char *path = ur_arena_format(
		&item->arena, bytes ? "/api/assets/%s/original" : "/api/assets/%s", file->asset);
	if (call == NULL || path == NULL || (bytes && !make_check(c, item, file))) {
		ur_step_rest(c, item, item->step, 1000);
		return;
	}
	call->method = "GET";
	call->path = path;
	call->answer_wait_ms =
		ur_run_answer_ms(c->run, file->put.state == UR_PUT_ASIDE ? AGAIN_MS : ANSWER_MS);
	item->call_date_ns = 0;
	if (bytes) {
		const struct check_bytes *check = item->call_state;
		call->sink = take_bytes;
		if (check->whole) {
			call->answer_wait_ms =
				ur_put_arrival_ms(ur_run_answer_ms(c->run, BYTES_ANSWER_MS),
					(uint64_t)file->identity.size, 0);
		}
		say_range(c, item, file, call);
	} else {
		call->field = take_date;
	}
	ur_call_item(c, call);
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
	assert(!file->confirmed);
	file->remembered = false; // perhaps it is our hash that is wrong: taken afresh
	file->not_now = true;
	ur_file_fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
		ur_file_with_id(item,
			"broken there: the server stored other bytes; the file is kept here",
			file));
}

/**
 * The asset that was named for it is of other bytes: these never got there, or somebody else's answer was
 * taken for theirs.  That asset is none of this file's, and it is sent again, though not in every run: what
 * damages it on the way would leave an asset a time.
 */
static void never_arrived(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	stored_other(item, file);
	ur_book_forget_asset(c, file);
	file->asset[0] = '\0';
	file->created = false;
	file->now_sent = false;
	ur_file_pause(file, c->run->options->tries_max + file->failed_before);
	if (file->sidecar != UR_NONE) {
		struct ur_file *sidecar = &item->files[file->sidecar];
		sidecar->travelled = false;
		sidecar->asset[0] = '\0';
		ur_file_close(sidecar, UR_PROBED, UR_OUTCOME_WAITING,
			"it went with its picture, which the server stored as other bytes: it goes with "
			"it again");
	}
}

/** Why a file stays although nothing is wrong with its asset; NULL: it may go. */
static const char *why_stays(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset, bool *ret_odd)
{
	assert(file->put.verdict == UR_PUT_HOLDS);
	*ret_odd = false;
	if (!ur_file_goes_away(c, file) || file->class == UR_CLASS_SIDECAR ||
		ur_file_is_ours(file)) {
		return NULL;
	}
	if (may_be_the_servers_own(item, file, asset)) {
		*ret_odd = true;
		return "kept: it lies where Immich keeps its own files: the server's copy may be this "
		       "very file, seen through a share or a mount";
	}
	const bool young = ur_file_is_young(c, file) &&
			   ur_proof_server_age_ns(item->call_date_ns, asset->created_ns,
				   ur_clock_wall_ns()) < ur_file_settle_after_ns(c);
	return young ? "the server has it, but not for long: it is removed in a run after "
		       "--settle-after"
		     : NULL;
}

/** (a) holds: on to the bytes, unless it stays for another reason. */
static void holds(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset)
{
	bool odd = false;
	const char *why = why_stays(c, item, file, asset, &odd);
	assert(file->put.state == UR_PUT_BYTES);
	assert(!file->confirmed);
	if (why == NULL || file->must_confirm) {
		file->stays = why; // a suspect is asked for its bytes all the same
	} else if (odd) {
		ur_file_keep(c, item, file, why);
	} else {
		ur_file_keep_quietly(file, why);
	}
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

/** The same question once more, after a pause. */
static void ask_later(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file)
{
	int64_t asked_ms = item->call->retry_after_ms;
	if (ur_outage_is_sent_away(c, item->call->status, asked_ms)) {
		asked_ms = -1;
	}
	assert(file->put.failures > 0);
	ur_step_rest(c, item, item->step, ur_step_pause_ms(c, file->put.failures, asked_ms));
}

/** The key's rights were taken back in mid-run: that says nothing about any file. */
static void forbidden(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(item->call->status == 401 || item->call->status == 403);
	if (!c->may_not_read) {
		ur_run_warn(c->run,
			"the server does not let this key read assets back any more (HTTP %d): from "
			"here on files are imported and kept",
			item->call->status);
	}
	c->may_not_read = true;
	if (item->call->status == 401) {
		ur_outage_doubt(c); // the key as a whole, perhaps
	}
	ur_file_keep(c, item, file, "kept: the key may not read it back");
}

/** Where one question after the other ends at a stranger, the rest is not asked. */
static void met_stranger(struct ur_coordinator *c, const struct ur_item *item)
{
	if (++c->strangers_in_a_row != UR_LIBRARY_FAILURES) {
		return;
	}
	c->strangers = true;
	ur_run_warn(c->run,
		"something before the server answers in its place (HTTP %d%s): nothing can be confirmed, so "
		"files are imported and kept; look at the proxy's rules for /api/assets",
		item->call->status, item->call->html ? ", a page" : "");
}

static const char *say_stranger(struct ur_item *item)
{
	assert(item->call->result == 0);
	return ur_arena_format(&item->arena,
		"kept: what answered for it (HTTP %d) was not Immich but something before it, a proxy "
		"or a login page",
		item->call->status);
}

/** What an answer says of an asset or its bytes that is no yes. */
static void lacks_proof(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->put.state == UR_PUT_OVER);
	assert(!file->confirmed);
	file->not_now = true;
	switch (file->put.verdict) {
	case UR_PUT_LATER:
		ur_file_keep(c, item, file,
			"kept: the server could not be asked whether it has the bytes");
		return;
	case UR_PUT_STRANGER:
		met_stranger(c, item);
		ur_file_keep(c, item, file, say_stranger(item));
		return;
	case UR_PUT_KEY:
	case UR_PUT_RIGHTS:
		forbidden(c, item, file);
		return;
	case UR_PUT_GONE:
		ur_file_fail(file, UR_WITHDRAWN, UR_OUTCOME_REFUSED,
			ur_file_with_id(item,
				"kept: it was delivered and is gone from the server now", file));
		return;
	case UR_PUT_TRASHED:
		ur_file_fail(file, UR_TRASHED, UR_OUTCOME_REFUSED,
			ur_file_with_id(item, "kept: it is in the server's trash", file));
		return;
	case UR_PUT_OTHER_BYTES:
		stored_other(item, file);
		return;
	case UR_PUT_OTHER_OWNER:
		ur_file_keep(c, item, file, "kept: the asset belongs to another user");
		return;
	case UR_PUT_EXTERNAL:
		ur_file_keep(c, item, file,
			"kept: the asset is in an external library, its file may be this very one");
		return;
	case UR_PUT_NOTHING:
	case UR_PUT_ABSENT:
	case UR_PUT_THERE:
	case UR_PUT_CREATED:
	case UR_PUT_CLAIMED:
	case UR_PUT_QUOTA:
	case UR_PUT_TOO_LARGE:
	case UR_PUT_REFUSED:
	case UR_PUT_HOLDS:
	case UR_PUT_GIVEN:
	case UR_PUT_MISSED:
	case UR_PUT_REJECTED:
	case UR_PUT_UNREAD:
	case UR_PUT_VERDICTS:
		break;
	}
	assert(!"no question about a proof has this answer");
}

static void confirmed(struct ur_coordinator *c, struct ur_file *file)
{
	assert(file->put.state == UR_PUT_PROVED);
	assert(!file->confirmed);
	assert(ur_file_is_delivered(file));
	file->confirmed = true;
	file->must_confirm = false; // it was, and its bytes came
	file->confirmed_ns = ur_clock_wall_ns();
	/* Where it is asked for once more, a doubt lasts until then. */
	if (!ur_file_goes_away(c, file) || !ur_file_asks_again(file) || file->stays != NULL) {
		file->doubt_since = (struct ur_age){0};
	}
	file->reason = file->stays != NULL ? file->stays : file->reason;
	ur_lack_gave(c);
}

/** While it stands aside: it goes, or all of its group go back to their names. */
static void again_answered(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const bool missed = file->put.verdict == UR_PUT_MISSED;
	assert(file->confirmed);
	assert(!file->given_again);
	if (file->put.state == UR_PUT_ASIDE) {
		ask_later(c, item, file);
		return;
	}
	if (file->put.state == UR_PUT_PROVED) {
		file->given_again = true;
		file->doubt_since = (struct ur_age){0};
	} else {
		if (missed) {
			file->doubt_since = ur_age_begin(); // whatever the reason: it is not proved
		}
		ur_file_keep(c, item, file,
			missed ? "kept: while it stood aside the server could not give its bytes any "
				 "more: the server's copy may be this very file"
			       : "kept: while it stood aside the server could not be asked for its "
				 "bytes");
	}
	ur_step_go(c, item, UR_STEP_AGAIN);
}

static struct ur_put_answer answer_of(const struct ur_coordinator *c, const struct ur_item *item,
	const struct ur_file *file, struct ur_asset *ret_asset)
{
	const struct ur_request *call = item->call;
	const struct check_bytes *check = item->call_state;
	const bool sidecar = file->class == UR_CLASS_SIDECAR;
	struct ur_put_answer answer = {
		.asked = file->put.state,
		.result = call->result,
		.status = call->status,
		.own = ur_proof_is_own(call),
		.size = sidecar ? -1 : file->identity.size,
		.total = ur_immich_total(call->content_range),
	};
	if (answer.asked == UR_PUT_ASSET) {
		answer.readable =
			call->result == 0 && call->status == 200 &&
			ur_immich_asset_read(ur_text_get(&call->answer), ret_asset, NULL) == 0;
		answer.proof = ur_immich_prove(
			ret_asset, sidecar ? NULL : file->sha1, c->run->server.user_id);
		return answer;
	}
	assert(check != NULL);
	answer.got = check->got;
	answer.whole = check->whole;
	answer.other = call->result == 0 && is_other(check, file);
	return answer;
}

void ur_confirm_answered(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_file *file = &item->files[item->cursor];
	struct ur_asset asset = {0};
	assert(item->step == UR_STEP_CONFIRM || item->step == UR_STEP_AGAIN);
	assert(item->cursor < item->count);
	ur_call_returned(c);
	const struct ur_put_answer answer = answer_of(c, item, file, &asset);
	const bool aside = answer.asked == UR_PUT_ASIDE;
	free_check(item);
	const enum ur_put_state next = ur_put_step(&file->put, &answer);
	if (!aside && file->put.verdict == UR_PUT_LATER &&
		ur_retry_is_away(answer.result, answer.status)) {
		ur_outage_doubt(c);
	}
	if (aside) {
		again_answered(c, item, file);
		return;
	}
	if (next == answer.asked) {
		ask_later(c, item, file);
		return;
	}
	if (file->put.verdict == UR_PUT_MISSED) {
		ur_lack_park(c, item);
		return;
	}
	if (next == UR_PUT_BYTES) {
		holds(c, item, file, &asset);
	} else if (answer.asked == UR_PUT_ASSET && file->put.verdict == UR_PUT_OTHER_BYTES) {
		never_arrived(c, item, file);
	} else if (next == UR_PUT_PROVED) {
		confirmed(c, file);
	} else {
		lacks_proof(c, item, file);
	}
	ur_step_go(c, item, UR_STEP_CONFIRM);
}
