/*
 * confirm - promise 1, (a) and (b): the server names the asset, and it gives bytes back.
 *
 *     phase 0   GET /api/assets/ID                    its checksum, its owner, not trashed
 *     phase 1   GET /api/assets/ID/original, Range    206 and the same total size
 *
 * Then, and only with the ledger's word for it, settle may take the file away.
 */
#include "engine/stage/decide_parts.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 60000
#define LOST_TRIES 2
#define BYTES_ANSWER_MS 3600000 // --confirm=bytes: between two pieces of a large file

enum {
	PHASE_ASSET,
	PHASE_BYTES
};

/** --confirm=bytes: the SHA-1 of what comes back, on http's thread. */
struct check_bytes {
	struct ur_hasher *hasher;
	struct ur_digest *digest;
	uint64_t size;
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

/** The server's own 201 is younger than settle_after: it may not have stored it for good yet. */
static bool is_fresh(const struct ur_decide *decide, struct ur_file *file)
{
	const int64_t wait_ns = decide->run->options->settle_after_ms * UR_MS_NS;
	const int64_t at = file->delivered_ns != 0 ? file->delivered_ns
			   : file->row != NULL     ? file->row->delivered_ns
						   : 0;
	return (file->now_sent || file->created || file->travelled) && wait_ns > 0 &&
	       ur_clock_wall_ns() < at + wait_ns;
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
	const bool may_go = file->travelled || decide->run->options->after == UR_AFTER_MOVE;
	const bool follows = file->class == UR_CLASS_SIDECAR && (file->owners != 0 || !may_go);
	return goes_away(decide, file) && !follows && !is_fresh(decide, (struct ur_file *)file);
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

static int take_bytes(struct ur_request *request, const void *bytes, size_t size)
{
	struct ur_item *item = request->owner;
	struct check_bytes *check = item->call_state;
	ur_hasher_feed(check->hasher, check->digest, bytes, size);
	ur_hasher_flush(check->hasher);
	check->size += size;
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

static int make_check(struct ur_item *item)
{
	struct check_bytes *check = calloc(1, sizeof *check);
	item->call_state = check;
	if (check == NULL || ur_hasher_new(&check->hasher) < 0 ||
		ur_digest_new(&check->digest) < 0 || ur_digest_begin(check->digest) < 0) {
		free_check(item);
		return -ENOMEM;
	}
	return 0;
}

static void ask(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file)
{
	struct ur_request *call = ur_decide_call(item);
	const bool bytes = decide->run->options->confirm_bytes && file->class != UR_CLASS_SIDECAR;
	const char *path = ur_arena_format(&item->arena,
		item->call_phase == PHASE_ASSET ? "/api/assets/%s" : "/api/assets/%s/original",
		file->asset);
	const bool want_bytes = item->call_phase == PHASE_BYTES && bytes;
	if (call == NULL || path == NULL || (want_bytes && make_check(item) < 0)) {
		ur_decide_rest(decide, item, UR_STEP_CONFIRM, 1000);
		return;
	}
	call->method = "GET";
	call->path = path;
	call->answer_wait_ms = want_bytes ? BYTES_ANSWER_MS : ANSWER_MS;
	if (want_bytes) {
		call->sink = take_bytes;
	} else if (item->call_phase == PHASE_BYTES && file->class != UR_CLASS_SIDECAR) {
		const int64_t last = file->identity.size - 1;
		(void)snprintf(call->header[0], sizeof call->header[0],
			"Range: bytes=%" PRId64 "-%" PRId64, last, last);
	} else if (item->call_phase == PHASE_BYTES) {
		(void)snprintf(call->header[0], sizeof call->header[0], "Range: bytes=0-0");
	}
	decide->in_calls++;
	ur_decide_submit(decide, call);
}

/* ---- the answers ----------------------------------------------------------------------------- */

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

/** (a): true when the asset is what it has to be; otherwise the file is closed. */
static bool judge_asset(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	const struct ur_asset *asset)
{
	const bool sidecar = file->class == UR_CLASS_SIDECAR;
	switch (ur_immich_prove(asset, sidecar ? NULL : file->sha1, decide->run->server.user_id)) {
	case UR_PROOF_HOLDS:
		return true;
	case UR_PROOF_OTHER_BYTES:
		file->remembered = false; // perhaps it is our hash that is wrong: taken afresh
		fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
			with_id(item, "the server stored other bytes: the file is kept here",
				file));
		break;
	case UR_PROOF_OTHER_OWNER:
		fail(file, file->state, file->outcome,
			with_id(item, "kept: the asset belongs to another user", file));
		break;
	case UR_PROOF_TRASHED:
		fail(file, UR_TRASHED, UR_OUTCOME_REFUSED,
			with_id(item, "kept: it is in the server's trash", file));
		break;
	case UR_PROOF_EXTERNAL:
		fail(file, file->state, file->outcome,
			with_id(item,
				"kept: the asset is in an external library, its file may be this very one",
				file));
		break;
	}
	file->not_now = true;
	return false;
}

static bool judge_bytes(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	const struct ur_request *call = item->call;
	if (file->class == UR_CLASS_SIDECAR) {
		return call->status == 206 || call->status == 200;
	}
	if (!decide->run->options->confirm_bytes) {
		return call->status == 206 &&
		       ur_immich_total(call->content_range) == file->identity.size;
	}
	struct check_bytes *check = item->call_state;
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	return call->status == 200 && check->size == (uint64_t)file->identity.size &&
	       ur_digest_end(check->digest, sha1, xxh) == 0 &&
	       memcmp(xxh, file->xxh, sizeof xxh) == 0;
}

/** The server is up and answers, but with its own failure: so it does for a file that it lost. */
static bool is_own_failure(const struct ur_item *item)
{
	return item->call_phase == PHASE_BYTES && item->call->result == 0 &&
	       item->call->status == 500;
}

static bool try_later(struct ur_decide *decide, struct ur_item *item)
{
	if (++item->call_tries > (is_own_failure(item) ? LOST_TRIES : UR_CALL_TRIES)) {
		return false;
	}
	ur_decide_rest(
		decide, item, UR_STEP_CONFIRM, ur_decide_pause(decide, item->call_tries, -1));
	return true;
}

static void next_file(struct ur_decide *decide, struct ur_item *item)
{
	item->call_phase = PHASE_ASSET;
	item->call_tries = 0;
	ur_decide_go(decide, item, UR_STEP_CONFIRM);
}

static void answered_no(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	const struct ur_request *call = item->call;
	const bool passing = call->result < 0 || call->status >= 500 || call->status == 429 ||
			     call->status == 408;
	if (ur_decide_is_line(call)) {
		ur_decide_doubt(decide);
	}
	if (passing && try_later(decide, item)) {
		return;
	}
	file->not_now = true;
	if (item->call_phase == PHASE_ASSET && (call->status == 400 || call->status == 404)) {
		fail(file, UR_WITHDRAWN, UR_OUTCOME_REFUSED,
			with_id(item, "kept: it was delivered and is gone from the server now",
				file));
	} else if (passing && !is_own_failure(item) && file->must_confirm) {
		fail(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
			with_id(item,
				"the server could not be asked for its bytes: asked again in the next run",
				file));
	} else if (passing && !is_own_failure(item)) {
		file->reason = with_id(
			item, "kept: the server could not be asked whether it has the bytes", file);
	} else {
		file->remembered = false; // its size may differ because our hash is wrong
		fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
			with_id(item,
				"broken there: the server names it but does not give its bytes; the file is "
				"kept here",
				file));
	}
	next_file(decide, item);
}

void ur_confirm_answered(struct ur_decide *decide, struct ur_item *item)
{
	struct ur_file *file = &item->files[item->cursor];
	struct ur_asset asset = {0};
	const struct ur_request *call = item->call;
	decide->in_calls--;
	if (call->result == 0 && item->call_phase == PHASE_ASSET && call->status == 200 &&
		ur_immich_asset_read(ur_text_get(&call->answer), &asset, NULL) == 0) {
		if (judge_asset(decide, item, file, &asset)) {
			item->call_phase = PHASE_BYTES;
			item->call_tries = 0;
			ur_decide_go(decide, item, UR_STEP_CONFIRM);
		} else {
			next_file(decide, item);
		}
	} else if (call->result == 0 && item->call_phase == PHASE_BYTES &&
		   judge_bytes(decide, item, file)) {
		file->confirmed = true;
		file->confirmed_ns = ur_clock_wall_ns();
		next_file(decide, item);
	} else {
		answered_no(decide, item, file);
	}
	free_check(item);
}

/* ---- on to settle ---------------------------------------------------------------------------- */

static void name_staged(struct ur_decide *decide, struct ur_file *file)
{
	(void)snprintf(file->staged, sizeof file->staged, "%" PRIx64 "x%" PRIx64,
		(uint64_t)decide->run->id, ++decide->token);
}

static void hand_to_settle(struct ur_decide *decide, struct ur_item *item)
{
	bool any = false;
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		follow_owners(decide, item, file);
		if (file->confirmed && goes_away(decide, file)) {
			file->state = UR_CONFIRMED;
			name_staged(decide, file);
			ur_book_file(decide, item, file);
			any = true;
		}
	}
	if (!any) {
		ur_decide_go(decide, item, UR_STEP_DONE);
		return;
	}
	item->step = UR_STEP_SETTLE;
	decide->durable = true;
	decide->in_settle++;
	ur_items_add(&decide->after_commit, item);
}

void ur_confirm_next(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (ur_confirm_is_due(decide, file) && !file->not_now) {
			item->cursor = i;
			ask(decide, item, file);
			return;
		}
	}
	hand_to_settle(decide, item);
}

void ur_confirm_settled(struct ur_decide *decide, struct ur_item *item)
{
	decide->in_settle--;
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->state != UR_CONFIRMED || file->staged[0] == '\0') {
			continue;
		}
		if (file->settle_result == UR_SETTLE_STUCK) {
			file->reason = file->settle_why; // its row still says where it stands
			file->warn = true;
			continue;
		}
		file->staged[0] = '\0';
		if (file->settle_result == 0) {
			file->state = UR_SETTLED;
			file->settled_ns = ur_clock_wall_ns();
		} else if (file->settle_result == -ESTALE) {
			ur_judge_changed(item, file, file->settle_why);
		} else {
			file->state = UR_DELIVERED;
			file->reason = file->settle_why;
			file->warn = true;
			file->remembered = false; // our rename changed its ctime
		}
		if (file->settle_result == UR_SETTLE_GONE && !file->now_sent) {
			ur_book_file(decide, item, file);
			file->outcome = UR_OUTCOME_VANISHED; // perhaps named twice: it counts once
		}
	}
	ur_decide_go(decide, item, UR_STEP_DONE);
}
