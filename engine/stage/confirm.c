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
#include "engine/stage/decide_parts.h"

#include "engine/base/clock.h"
#include "engine/net/proof.h"
#include "engine/stage/group.h"

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
#define ASIDE_MAX 64u           // items that stand aside while the server is asked once more
#define ASIDE_PAUSE_MS 20       // until there is room for one more
#define BYTES_ANSWER_MS 3600000 // between two pieces of a large file

enum {
	PHASE_ASSET,
	PHASE_BYTES,
	PHASE_AGAIN,
};

/** The original as it comes back, on http's thread: counted, and hashed where all of it comes. */
struct check_bytes {
	struct ur_hasher *hasher; // NULL until there is anything to hash
	struct ur_digest *digest;
	bool whole; // --confirm=bytes
	bool sidecar;
	uint64_t got;
};

/* ---- what is due ----------------------------------------------------------------------------- */

static bool is_delivered(const struct ur_file *file)
{
	const bool counts = file->outcome == UR_OUTCOME_SENT ||
			    file->outcome == UR_OUTCOME_PRESENT ||
			    file->outcome == UR_OUTCOME_DUPLICATE;
	const bool state = file->state == UR_DELIVERED || file->state == UR_KNOWN ||
			   file->state == UR_DUPLICATE;
	return counts && state && file->asset[0] != '\0';
}

/** By a 201 to this row's own upload: the server's copy is another file than this one. */
static bool is_ours(const struct ur_file *file)
{
	return file->now_sent || file->created;
}

static bool asks_again(const struct ur_file *file)
{
	return file->class != UR_CLASS_SIDECAR && !is_ours(file);
}

static int64_t settle_after_ns(const struct ur_decide *decide)
{
	return decide->run->options->settle_after_ms * UR_MS_NS;
}

/** Whoever sent it: an upload that has just been answered may still fail, and is not synced. */
static bool is_young(const struct ur_decide *decide, const struct ur_file *file)
{
	return ur_age_ns(&file->there_since) < settle_after_ns(decide);
}

static bool goes_away(const struct ur_decide *decide, const struct ur_file *file)
{
	return decide->run->options->after != UR_AFTER_KEEP && !decide->run->options->plan &&
	       !file->through_link && is_delivered(file);
}

bool ur_confirm_is_due(const struct ur_decide *decide, const struct ur_file *file)
{
	if (file->confirmed || decide->run->options->plan) {
		return false;
	}
	if (file->must_confirm && is_delivered(file)) {
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
	const bool ripe = !is_young(decide, file) || !(sidecar || is_ours(file));
	return goes_away(decide, file) && !follows && ripe;
}

/**
 * It travelled with an asset: one that is there instead (the picture was edited, or uploaded anew by
 * somebody else) may know nothing of it.
 */
static void recheck_travel(const struct ur_item *item, struct ur_file *sidecar)
{
	bool same = sidecar->owners == 0;
	for (int i = 0; i < item->count; i++) {
		same = same || ((sidecar->owners & 1u << i) != 0 &&
				       strcmp(item->files[i].asset, sidecar->asset) == 0);
	}
	sidecar->travelled = sidecar->travelled && same;
}

/** A sidecar goes only with all its pictures, and is deleted only if it travelled with them. */
static void follow_owners(struct ur_decide *decide, struct ur_item *item, struct ur_file *sidecar)
{
	const bool delete = decide->run->options->after == UR_AFTER_DELETE;
	if (sidecar->class != UR_CLASS_SIDECAR || sidecar->owners == 0 ||
		!goes_away(decide, sidecar) || (delete &&!sidecar->travelled)) {
		return;
	}
	for (int i = 0; i < item->count; i++) {
		if ((sidecar->owners & 1u << i) != 0 && !item->files[i].confirmed) {
			return;
		}
	}
	sidecar->confirmed = true;
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
		       item->call_phase == PHASE_BYTES;
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
	const int64_t at = item->call_phase == PHASE_AGAIN
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

static void ask(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file)
{
	struct ur_request *call = ur_decide_call(item);
	const bool bytes = item->call_phase != PHASE_ASSET;
	const char *path = ur_arena_format(
		&item->arena, bytes ? "/api/assets/%s/original" : "/api/assets/%s", file->asset);
	if (call == NULL || path == NULL || (bytes && !make_check(decide, item, file))) {
		ur_decide_rest(decide, item, item->step, 1000);
		return;
	}
	call->method = "GET";
	call->path = path;
	call->answer_wait_ms = item->call_phase == PHASE_AGAIN ? AGAIN_MS : ANSWER_MS;
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

static void next_file(struct ur_decide *decide, struct ur_item *item)
{
	item->call_phase = PHASE_ASSET;
	item->call_tries = 0;
	ur_decide_go(decide, item, item->step);
}

/* ---- (a): the asset -------------------------------------------------------------------------- */

static void fail(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *why)
{
	ur_judge_close(file, state, outcome, why);
	file->must_confirm = false;
}

static const char *with_id(struct ur_item *item, const char *format, const struct ur_file *file)
{
	struct ur_text text = {0};
	ur_text_addf(&text, "%s (asset %s)", format, file->asset);
	const char *copy = ur_arena_string(&item->arena, ur_text_get(&text));
	ur_text_done(&text);
	return copy == NULL ? format : copy;
}

/** Asked for its proof and got none, which says nothing about it: it stays, and that is said. */
static void keep(
	struct ur_decide *decide, struct ur_item *item, struct ur_file *file, const char *why)
{
	file->not_now = true;
	if (file->must_confirm) {
		fail(file, UR_SUSPECT, UR_OUTCOME_REFUSED, with_id(item, why, file));
		return;
	}
	file->reason = with_id(item, why, file);
	file->warn = true;
	atomic_fetch_add(&decide->run->kept, 1);
}

/** Waits, as it should: nothing is odd about it. */
static void keep_quietly(struct ur_file *file, const char *why)
{
	file->not_now = true;
	file->reason = why;
}

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
	fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
		with_id(item, "broken there: the server stored other bytes; the file is kept here",
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
		keep(decide, item, file, "kept: the asset belongs to another user");
		break;
	case UR_PROOF_TRASHED:
		fail(file, UR_TRASHED, UR_OUTCOME_REFUSED,
			with_id(item, "kept: it is in the server's trash", file));
		break;
	case UR_PROOF_EXTERNAL:
		keep(decide, item, file,
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
	if (!goes_away(decide, file) || file->class == UR_CLASS_SIDECAR || is_ours(file)) {
		return NULL;
	}
	if (may_be_the_servers_own(item, file, asset)) {
		*ret_odd = true;
		return "kept: it lies where Immich keeps its own files: the server's copy may be this "
		       "very file, seen through a share or a mount";
	}
	const bool young = is_young(decide, file) &&
			   ur_proof_server_age_ns(item->call_date_ns, asset->created_ns,
				   ur_clock_wall_ns()) < settle_after_ns(decide);
	return young ? "the server has it, but not for long: it is removed in a run after "
		       "--settle-after"
		     : NULL;
}

static void asset_answered(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset)
{
	bool odd = false;
	if (!judge_asset(decide, item, file, asset)) {
		next_file(decide, item);
		return;
	}
	const char *why = why_stays(decide, item, file, asset, &odd);
	if (why != NULL && !file->must_confirm) {
		if (odd) {
			keep(decide, item, file, why);
		} else {
			keep_quietly(file, why);
		}
		next_file(decide, item);
		return;
	}
	file->stays = why; // a suspect is asked for its bytes all the same
	item->call_phase = PHASE_BYTES;
	item->call_tries = 0;
	ur_decide_go(decide, item, UR_STEP_CONFIRM);
}

/* ---- (b): whose fault it is that an original does not come ----------------------------------- */

static void judge_lack(
	struct ur_decide *decide, struct ur_item *item, struct ur_file *file, bool gave)
{
	file->not_now = true;
	file->remembered = false; // its size may differ because our hash is wrong
	atomic_fetch_add(&decide->run->kept, 1);
	if (!ur_age_is_begun(&file->doubt_since)) {
		file->doubt_since = ur_age_begin();
	}
	if (ur_proof_of_lack(1, gave, ur_age_ns(&file->doubt_since)) == UR_LACK_BROKEN) {
		fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
			with_id(item,
				"broken there: the server names it, and twice, more than a day apart, it "
				"did not give its bytes while it gave those of others; the file is kept "
				"here, and may be the only copy",
				file));
		return;
	}
	fail(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
		with_id(item,
			"the server names it but did not give its bytes: kept, and asked again in a "
			"later run",
			file));
}

static void unpark(struct ur_decide *decide,
	void (*judge)(struct ur_decide *decide, struct ur_item *item, struct ur_file *file))
{
	struct ur_item *item = NULL;
	while ((item = ur_items_take(&decide->parked)) != NULL) {
		judge(decide, item, &item->files[item->cursor]);
		item->step = UR_STEP_CONFIRM;
		next_file(decide, item);
	}
}

static void judge_alone(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	judge_lack(decide, item, file, true);
}

static void judge_unsure(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	judge_lack(decide, item, file, decide->library_gave);
}

static const char library_away[] =
	"kept: the server cannot read its library now, so nothing is said about this file";

static void judge_none(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	keep(decide, item, file, library_away);
}

static void lacks(struct ur_decide *decide, struct ur_item *item)
{
	decide->lacks_in_a_row++;
	item->step = UR_STEP_PARKED;
	ur_items_add(&decide->parked, item);
	if (ur_proof_of_lack(decide->lacks_in_a_row, false, 0) != UR_LACK_LIBRARY) {
		return;
	}
	if (!decide->library_away) {
		ur_run_warn(decide->run,
			"the server cannot read its library: the last %u originals that it was asked "
			"for did not come; nothing is judged or removed in this run",
			decide->lacks_in_a_row);
	}
	decide->library_away = true;
	unpark(decide, judge_none);
}

static void gives(struct ur_decide *decide)
{
	decide->library_gave = true;
	decide->lacks_in_a_row = 0;
	decide->strangers_in_a_row = 0;
	unpark(decide, judge_alone);
}

void ur_confirm_turn(struct ur_decide *decide)
{
	if (decide->parked.count == 0) {
		return;
	}
	if (atomic_load(&decide->run->stop)) {
		unpark(decide, judge_none);
	} else if (decide->inputs_open == 0 && decide->live == decide->parked.count) {
		unpark(decide, judge_unsure); // nobody else is left who could tell
	}
}

int ur_confirm_result(const struct ur_decide *decide, struct ur_err *err)
{
	if (!decide->library_away) {
		return 0;
	}
	return ur_err_say(err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server names files of which it cannot read the originals: look whether its "
		"library is mounted and readable, then run again; every file is kept here");
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
	keep(decide, item, file, "kept: the key may not read it back");
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
		keep(decide, item, file,
			"kept: the server could not be asked whether it has the bytes");
		break;
	case UR_MEANS_STRANGER:
		if (try_later(decide, item, STRANGER_TRIES)) {
			return;
		}
		met_stranger(decide, item);
		keep(decide, item, file,
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
		fail(file, UR_WITHDRAWN, UR_OUTCOME_REFUSED,
			with_id(item, "kept: it was delivered and is gone from the server now",
				file));
		break;
	case UR_MEANS_OTHER:
		stored_other(item, file);
		break;
	case UR_MEANS_NO_BYTES:
		if (!try_later(decide, item, LOST_TRIES)) {
			lacks(decide, item);
		}
		return;
	case UR_MEANS_YES:
	case UR_MEANINGS:
		assert(!"that is no 'no'");
	}
	next_file(decide, item);
}

static void confirmed(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	file->confirmed = true;
	file->must_confirm = false; // it was, and its bytes came
	file->confirmed_ns = ur_clock_wall_ns();
	/* Where it is asked for once more, a doubt lasts until then. */
	if (!goes_away(decide, file) || !asks_again(file) || file->stays != NULL) {
		file->doubt_since = (struct ur_age){0};
	}
	file->reason = file->stays != NULL ? file->stays : file->reason;
	gives(decide);
	next_file(decide, item);
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
	keep(decide, item, file,
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
		.own = ur_immich_is_own_word(call->status, call->correlation, call->answer_type,
			ur_text_get(&call->answer)),
		.readable = readable,
		.total = ur_immich_total(call->content_range),
		.got = check == NULL ? 0 : check->got,
		.other = check != NULL && call->result == 0 && is_other(check, file),
	};
	if (item->call_phase == PHASE_ASSET) {
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
			      item->call_phase == PHASE_ASSET &&
			      ur_immich_asset_read(ur_text_get(&call->answer), &asset, NULL) == 0;
	const enum ur_meaning meaning = meaning_of(item, file, readable);
	free_check(item);
	if (item->call_phase == PHASE_AGAIN) {
		again_answered(decide, item, file, meaning);
	} else if (meaning != UR_MEANS_YES) {
		answered_no(decide, item, file, meaning);
	} else if (item->call_phase == PHASE_ASSET) {
		asset_answered(decide, item, file, &asset);
	} else {
		confirmed(decide, item, file);
	}
}

/* ---- on to settle ---------------------------------------------------------------------------- */

static void name_staged(struct ur_decide *decide, struct ur_file *file)
{
	(void)snprintf(file->staged, sizeof file->staged, "%" PRIx64 "x%" PRIx64,
		(uint64_t)decide->run->id, ++decide->token);
}

/** Goes as far as it alone is concerned. */
static bool is_ready(const struct ur_decide *decide, const struct ur_file *file)
{
	return file->confirmed && file->stays == NULL && goes_away(decide, file);
}

/** Stays in its place by itself, and does not keep the others: see follow_owners(). */
static bool stays_alone(const struct ur_decide *decide, const struct ur_file *file)
{
	const bool beside = file->class == UR_CLASS_SIDECAR && is_delivered(file) &&
			    !file->travelled && decide->run->options->after == UR_AFTER_DELETE;
	const bool no_media =
		file->judgement == UR_JUDGE_REFUSE || (file->state == UR_REFUSED && file->for_good);
	return beside || no_media || file->outcome == UR_OUTCOME_VANISHED;
}

/** The bits of the files that go now: a group goes together or stays together. */
static unsigned choose(const struct ur_decide *decide, struct ur_item *item)
{
	unsigned ready = 0;
	unsigned alone = 0;
	for (int i = 0; i < item->count; i++) {
		ready |= is_ready(decide, &item->files[i]) ? 1u << i : 0;
		alone |= stays_alone(decide, &item->files[i]) ? 1u << i : 0;
	}
	ur_groups_of(item, item->together);
	const unsigned go = ur_groups_choose(item->together, item->count, ready, alone);
	for (int i = 0; i < item->count; i++) {
		if ((ready & ~go & 1u << i) != 0) {
			keep_quietly(&item->files[i],
				"kept until the others of its group (its sidecar, its live photo's other "
				"half) can go with it");
		}
	}
	return go;
}

/** Before the first file goes: a wrong server, user or key is seen while nothing is gone. */
static void say_where_to(struct ur_decide *decide)
{
	const struct ur_run *run = decide->run;
	if (decide->said_where_to || run->options->key_from == NULL) {
		return;
	}
	decide->said_where_to = true;
	ur_run_warn(decide->run,
		"%s what is proved to be at %s, in the library of %s (key from %s)",
		run->options->after == UR_AFTER_MOVE ? "moving away" : "removing",
		run->options->http.server, run->server.user_name, run->options->key_from);
}

static void hand_to_settle(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		recheck_travel(item, &item->files[i]);
	}
	for (int i = 0; i < item->count; i++) {
		follow_owners(decide, item, &item->files[i]);
	}
	const unsigned go = choose(decide, item);
	bool again = false;
	for (int i = 0; i < item->count; i++) {
		again = again || ((go & 1u << i) != 0 && asks_again(&item->files[i]));
	}
	if (go == 0) {
		ur_decide_go(decide, item, UR_STEP_DONE);
		return;
	}
	if (again && decide->aside >= ASIDE_MAX) {
		ur_decide_rest(decide, item, UR_STEP_CONFIRM, ASIDE_PAUSE_MS);
		return;
	}
	say_where_to(decide);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if ((go & 1u << i) != 0) {
			file->state = UR_CONFIRMED;
			file->ask_again = asks_again(file);
			name_staged(decide, file);
			ur_book_file(decide, item, file);
		}
	}
	item->step = UR_STEP_SETTLE;
	item->settle_do = UR_SETTLE_ASIDE;
	decide->aside += again ? 1 : 0;
	item->counts_aside = again;
	decide->durable = true;
	decide->in_settle++;
	ur_items_add(&decide->after_commit, item);
}

/** Nothing is asked of a server that does not give anything, or does not let us ask. */
static const char *why_not_ask(const struct ur_decide *decide)
{
	return decide->library_away   ? library_away
	       : decide->may_not_read ? "kept: the key may not read it back"
				      : NULL;
}

/** Named by itself, in a folder that the server has as an external library. */
static bool is_in_library(const struct ur_decide *decide, const struct ur_item *item)
{
	const char *libraries = ur_text_get(&decide->run->libraries);
	struct ur_text path = {0};
	char named[UR_PATH_TAIL];
	enum ur_cover cover = UR_COVER_NONE;
	size_t count = 0;
	if (!item->dir->root->loose || libraries[0] == '\0' || decide->run->options->no_library) {
		return false;
	}
	ur_dir_path(item->dir, NULL, &path);
	const int r = ur_immich_libraries_read(
		libraries, ur_text_get(&path), &cover, named, &count, NULL);
	const bool may_be = r < 0 || !ur_text_ok(&path) || cover != UR_COVER_NONE;
	ur_text_done(&path);
	return may_be;
}

/** What is the item's, whatever its files are: why none of them is asked about. */
static const char *why_none(const struct ur_decide *decide, struct ur_item *item)
{
	char beside[256];
	if (item->split) {
		return "kept: there are more files of this name than can be told apart; which of them "
		       "belong together is not known";
	}
	if (is_in_library(decide, item)) {
		return "kept: its folder may be an external library of the server, whose asset would go "
		       "offline";
	}
	if (ur_run_removes(decide->run) && item->dir->root->loose &&
		ur_group_has_beside(item, beside)) {
		return ur_arena_format(&item->arena,
			"kept: '%s' lies beside it, may belong to it, and was not named with it: name them "
			"one after the other, or the folder",
			beside);
	}
	return why_not_ask(decide);
}

void ur_confirm_next(struct ur_decide *decide, struct ur_item *item)
{
	const char *why_not = why_none(decide, item);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!ur_confirm_is_due(decide, file) || file->not_now) {
			continue;
		}
		if (why_not != NULL) {
			keep(decide, item, file, why_not);
			continue;
		}
		item->cursor = i;
		ask(decide, item, file);
		return;
	}
	hand_to_settle(decide, item);
}

/* ---- while the group stands aside ------------------------------------------------------------ */

static void back_to_settle(struct ur_decide *decide, struct ur_item *item, enum ur_settle_do what)
{
	item->step = UR_STEP_SETTLE;
	item->settle_do = what;
	decide->in_settle++;
	ur_items_add(&decide->after_commit, item);
}

void ur_confirm_again(struct ur_decide *decide, struct ur_item *item)
{
	bool wrong = atomic_load(&decide->run->stop) || decide->away;
	for (int i = 0; i < item->count && !wrong; i++) {
		struct ur_file *file = &item->files[i];
		if (!file->ask_again || file->given_again) {
			continue;
		}
		if (!file->not_now) {
			item->cursor = i;
			item->call_phase = PHASE_AGAIN;
			ask(decide, item, file);
			return;
		}
		wrong = true;
	}
	back_to_settle(decide, item, wrong ? UR_SETTLE_BACK : UR_SETTLE_REMOVE);
}

/** Not a wait, and nobody else's doing: it was to be taken away, and could not. */
static bool could_not_go(int result)
{
	return result != -ECANCELED && result != -ETXTBSY && result != UR_REMOVAL_WAITS &&
	       result != UR_SETTLE_GONE;
}

static void settled(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	if (file->settle_result == UR_SETTLE_STUCK) {
		file->reason = file->settle_why; // its row still says where it stands
		file->warn = true;
		return;
	}
	file->staged[0] = '\0';
	if (file->settle_result == 0) {
		file->state = UR_SETTLED;
		file->settled_ns = ur_clock_wall_ns();
	} else if (file->settle_result == -ESTALE) {
		ur_judge_changed(item, file, file->settle_why);
	} else {
		file->state = UR_DELIVERED;
		file->reason = file->not_now ? file->reason : file->settle_why;
		file->warn = file->settle_result != -ECANCELED || file->warn;
		atomic_fetch_add(&decide->run->kept, could_not_go(file->settle_result) ? 1 : 0);
		/* Our rename changed its ctime. */
		file->remembered = file->remembered && !file->settle_renamed;
	}
	if (file->settle_result == UR_REMOVAL_WAITS) {
		ur_quiet_settled(decide, file);
	}
	if (file->settle_result == UR_SETTLE_GONE && !file->now_sent) {
		ur_book_file(decide, item, file);
		file->outcome = UR_OUTCOME_VANISHED; // perhaps named twice: it counts once
	}
}

void ur_confirm_settled(struct ur_decide *decide, struct ur_item *item)
{
	decide->in_settle--;
	if (item->stands_aside) {
		item->call_tries = 0;
		ur_decide_go(decide, item, UR_STEP_AGAIN);
		return;
	}
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->state == UR_CONFIRMED && file->staged[0] != '\0') {
			settled(decide, item, file);
		}
	}
	assert(!item->counts_aside || decide->aside > 0);
	decide->aside -= item->counts_aside ? 1 : 0;
	item->counts_aside = false;
	ur_decide_go(decide, item, UR_STEP_DONE);
}
