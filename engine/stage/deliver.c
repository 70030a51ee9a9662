/*
 * deliver - from wanted to delivered: what is sent next, and what each ending means.
 *
 *     201                      delivered
 *     200 duplicate            suspect: we had just been told that it is not there
 *     nothing after the end    asked by checksum until it must be there, then sent again
 *     broken before the end    nothing is on the server: sent again
 *     408 429 5xx              asked, then sent again, a few times
 *     quota                    what still fits goes on, the rest waits
 *     413                      refused          other 4xx   failed, never repeated unchanged
 *     401 403                  the run ends: the key is not what it was
 *     a page of a proxy        no word about the file: tried again, then failed until the next run;
 *                              so many files in a row: the run ends, the server is not to be reached
 */
#include "engine/stage/decide_parts.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Committed as `sending` beyond what is in flight, the next to go.  Small files share commits. */
#define WINDOW_LARGE 2u
#define WINDOW_SMALL 6u // times the limit, and at least …
#define WINDOW_LEAST 128u
#define SMALL_FILE (1 << 20)
#define STRANGE_SENDS_MAX 5 // files in a row that end at a proxy's page

/* ---- what is sent next ----------------------------------------------------------------------- */

/** Movies go before their stills. */
static struct ur_file *next_wanted(struct ur_item *item)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < item->count; i++) {
			struct ur_file *file = &item->files[i];
			const bool movie = file->still != UR_NONE;
			if (ur_judge_is_open(file) && file->state == UR_WANTED &&
				movie == (pass == 0)) {
				item->current = i;
				return file;
			}
		}
	}
	return NULL;
}

/** Another file of the group with the same bytes, further than `file`. */
static const struct ur_file *twin_of(const struct ur_item *item, const struct ur_file *file)
{
	for (int i = 0; i < item->count; i++) {
		const struct ur_file *other = &item->files[i];
		if (other != file && other->hashed && other->class != UR_CLASS_SIDECAR &&
			!(other->decided && other->waits && other->state == UR_DUPLICATE) &&
			memcmp(other->sha1, file->sha1, sizeof file->sha1) == 0) {
			return other;
		}
	}
	return NULL;
}

/** When all that is wanted has been sent: what needed no sending gets its outcome. */
static void close_present(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!ur_judge_is_open(file) || !file->decided) {
			continue;
		}
		if (file->state == UR_DUPLICATE && file->waits && file->asset[0] == '\0') {
			const struct ur_file *twin = twin_of(item, file);
			assert(twin != NULL);
			memcpy(file->asset, twin->asset, sizeof file->asset);
			file->there = true;
			if (twin->outcome != UR_OUTCOME_SENT &&
				twin->outcome != UR_OUTCOME_PRESENT) {
				ur_judge_close(file, twin->state, twin->outcome, twin->reason);
				continue;
			}
			file->reason = "the same bytes as another file of this run";
		}
		if (file->state == UR_DUPLICATE && ur_book_has_sent(decide, item, file)) {
			ur_judge_close(
				file, file->state, UR_OUTCOME_VANISHED, "named more than once");
			continue;
		}
		file->outcome =
			file->state == UR_DUPLICATE ? UR_OUTCOME_DUPLICATE : UR_OUTCOME_PRESENT;
		if (file->reason == NULL) {
			file->reason = "delivered before";
		}
	}
}

/** Files that do not fit into what is left of the quota wait; the others go on. */
bool ur_deliver_waits_for_quota(const struct ur_decide *decide, struct ur_file *file)
{
	if (!decide->quota_full &&
		(decide->quota_left < 0 || file->identity.size <= decide->quota_left)) {
		return false;
	}
	ur_judge_close(file, UR_WANTED, UR_OUTCOME_WAITING,
		"the user's quota on the server is used up: raise it or make room, then run again");
	return true;
}

void ur_deliver_close_wanted(struct ur_decide *decide, struct ur_item *item, const char *why)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (ur_judge_is_open(file) &&
			(file->state == UR_WANTED || file->state == UR_SENDING)) {
			ur_judge_close(file, file->state, UR_OUTCOME_WAITING, why);
			ur_ask_release(decide, file);
		}
	}
}

void ur_deliver_next(struct ur_decide *decide, struct ur_item *item)
{
	const bool plan = decide->run->options->plan;
	struct ur_file *file = NULL;
	while ((file = next_wanted(item)) != NULL) {
		if (plan) {
			ur_judge_close(file, UR_WANTED, UR_OUTCOME_SENT, "would be sent");
			ur_book_file(decide, item, file);
			ur_book_planned(decide, file);
			ur_ask_release(decide, file);
			continue;
		}
		const struct ur_file *movie =
			file->movie == UR_NONE ? NULL : &item->files[file->movie];
		if (movie != NULL && movie->outcome == UR_OUTCOME_WAITING) {
			ur_judge_close(file, UR_WANTED, UR_OUTCOME_WAITING, movie->reason);
			ur_ask_release(decide, file);
			continue;
		}
		if (ur_deliver_waits_for_quota(decide, file)) {
			ur_ask_release(decide, file);
			continue;
		}
		ur_items_add(ur_large_is(decide, item, file) ? &decide->to_chunk : &decide->to_send,
			item);
		return;
	}
	for (int i = 0; i < item->count; i++) {
		if (ur_ask_is_due(&item->files[i])) {
			ur_decide_go(decide, item, UR_STEP_ASK); // its twin elsewhere came first
			return;
		}
	}
	close_present(decide, item);
	ur_decide_go(decide, item, UR_STEP_LINK);
}

static bool has_place(const struct ur_decide *decide, const struct ur_item *item, unsigned limit)
{
	/* Before a quota that may be met each answer decides what is worth sending. */
	const bool small = item->files[item->current].identity.size <= SMALL_FILE &&
			   decide->run->server.quota_bytes < 0;
	const unsigned several =
		WINDOW_SMALL * limit > WINDOW_LEAST ? WINDOW_SMALL * limit : WINDOW_LEAST;
	return decide->in_upload - decide->in_large < limit + (small ? several : WINDOW_LARGE);
}

/** Moves what has a place in upload to `sending`; it leaves after the commit. */
void ur_deliver_turn(struct ur_decide *decide)
{
	const unsigned limit = decide->wiring.upload_limit(decide->wiring.upload_context);
	const bool stop = atomic_load(&decide->run->stop);
	while (decide->to_send.first != NULL && (stop || !(decide->away || decide->quota_asking)) &&
		(stop || (ur_large_leaves_room(decide) &&
				 has_place(decide, decide->to_send.first, limit)))) {
		struct ur_item *item = ur_items_take(&decide->to_send);
		struct ur_file *file = &item->files[item->current];
		if (stop) {
			ur_deliver_close_wanted(decide, item, "the run was stopped before it");
			ur_decide_go(decide, item, UR_STEP_SEND);
			continue;
		}
		if (ur_deliver_waits_for_quota(decide, file)) {
			ur_ask_release(decide, file);
			ur_decide_go(decide, item, UR_STEP_SEND);
			continue;
		}
		file->state = UR_SENDING;
		file->sending_ns = ur_clock_wall_ns();
		file->doubt_since = ur_age_begin();
		file->reason = "";
		ur_book_file(decide, item, file);
		decide->durable = true;
		decide->in_upload++;
		ur_items_add(&decide->after_commit, item);
	}
}

/* ---- what each ending means ------------------------------------------------------------------ */

static void close_sent(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	file->now_sent = true;
	file->decided = true;
	decide->strange_sends = 0;
	file->delivered_ns = ur_clock_wall_ns();
	file->there_since = ur_age_begin();
	file->doubt_since = (struct ur_age){0};
	ur_judge_close(file, UR_DELIVERED, UR_OUTCOME_SENT, file->note == NULL ? "" : file->note);
	if (decide->quota_left >= 0) {
		decide->quota_left -= file->identity.size;
	}
	ur_book_asset(decide, file);
	ur_book_file(decide, item, file);
	decide->durable = true;
}

static void close_failed(struct ur_file *file, bool for_good)
{
	ur_judge_close(file, UR_FAILED, UR_OUTCOME_FAILED,
		file->send_why == NULL ? "it could not be sent" : file->send_why);
	file->for_good = for_good;
	if (!for_good) {
		const int64_t wait_s =
			UR_RETRY_FIRST_S
			<< (file->tries < UR_RETRY_DOUBLINGS ? file->tries : UR_RETRY_DOUBLINGS);
		file->next_ns = ur_clock_wall_ns() + wait_s * UR_SECOND_NS;
	}
}

/** So many files that end at a stranger are the way's fault, and the next ones would end there, too. */
static void met_stranger(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	struct ur_err err = {0};
	const char *why = file->send_why == NULL ? "" : file->send_why;
	file->reason = ur_arena_format(&item->arena,
		"what answered (HTTP %d) was not Immich but something before it, a proxy or a login "
		"page: %s; tried again in the next run",
		file->send_status, why);
	if (++decide->strange_sends < STRANGE_SENDS_MAX) {
		return;
	}
	(void)ur_err_say(&err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"something before the server answers uploads in its place (HTTP %d): %s; look at the "
		"proxy's rules for POST /api/assets, then run again, nothing is lost",
		file->send_status, why);
	ur_run_fail(decide->run, -EHOSTUNREACH, &err);
}

/** Asks by checksum what became of it, then sends again if need be. */
static void try_again(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	if (ur_decide_is_sent_away(decide, file->send_status, file->send_retry_ms)) {
		file->send_retry_ms = -1;
	}
	if (++file->tries >= decide->run->options->tries_max) {
		close_failed(file, false);
		if (file->send_stranger) {
			met_stranger(decide, item, file);
		}
		ur_ask_release(decide, file);
		ur_decide_go(decide, item, UR_STEP_SEND);
		return;
	}
	const int64_t now = ur_clock_steady_ns();
	const bool lost = file->send_result < 0 && file->send_body_gone && !file->send_stranger;
	const bool stored_perhaps =
		(file->send_body_gone && !(file->send_stranger && file->send_status >= 400)) ||
		(file->send_result == 0 && file->send_status >= 500);
	if (stored_perhaps) {
		item->asking_lost = true;
		item->lost_until_ns =
			lost ? now + decide->run->options->answer_wait_ms * UR_MS_NS : now;
		item->call_tries = 0;
		ur_ask_release(decide, file);
		file->state = UR_PROBED;
		ur_decide_rest(decide, item, UR_STEP_ASK,
			ur_decide_pause(decide, file->tries, file->send_retry_ms));
		return;
	}
	file->sending_ns = 0; // nothing of it is on the server
	file->doubt_since = (struct ur_age){0};
	file->state = UR_WANTED;
	ur_decide_rest(decide, item, UR_STEP_SEND,
		ur_decide_pause(decide, file->tries, file->send_retry_ms));
}

static void quota_met(struct ur_decide *decide, struct ur_file *file);

static bool is_line(const struct ur_file *file)
{
	return file->send_result == -ECONNREFUSED || file->send_result == -ECONNRESET ||
	       file->send_result == -ETIMEDOUT || file->send_result == -EPROTO ||
	       file->send_result == -EBADMSG;
}

static void key_refused(struct ur_decide *decide, struct ur_file *file)
{
	struct ur_err err = {0};
	(void)ur_err_say(&err, -EACCES, UR_FAULT_SETUP,
		"the server does not let this key upload any more: %s", file->send_why);
	ur_run_fail(decide->run, -EACCES, &err);
	ur_judge_close(file, UR_WANTED, UR_OUTCOME_WAITING, "the server refused the key");
}

/** An HTTP answer came. True when the file is closed by it. */
static bool judge_answer(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	const int status = file->send_status;
	if (status == 201 && !file->send_duplicate) {
		close_sent(decide, item, file);
		return true;
	}
	if (status == 200 || status == 201) {
		file->remembered = false; // perhaps it is our hash that is wrong: taken afresh
		file->doubt_since = ur_age_begin();
		(void)ur_judge_is_doubtful(decide, file); // says when it is asked again
		ur_judge_close(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
			"the server said duplicate to bytes that it had not known before: its bytes are "
			"asked for in a later run");
		return true;
	}
	if (file->send_quota) {
		quota_met(decide, file);
		return true;
	}
	if (file->send_stranger && status != 413) {
		return false;
	}
	if (status == 401 || status == 403) {
		key_refused(decide, file);
		return true;
	}
	if (status == 413) {
		ur_judge_close(file, UR_REFUSED, UR_OUTCOME_REFUSED,
			ur_arena_format(&item->arena,
				"too large for the server or a proxy before it: %s",
				file->send_why));
		return true;
	}
	if (status < 500 && status != 408 && status != 429) {
		/* With a version from yesterday it may have been our request that was wrong. */
		close_failed(file, !decide->run->server_remembered);
		return true;
	}
	return false;
}

void ur_deliver_result(struct ur_decide *decide, struct ur_item *item)
{
	struct ur_file *file = &item->files[item->current];
	assert(file->state == UR_SENDING);
	decide->in_upload--;
	bool closed = true;
	if (file->send_result == -ECANCELED) {
		ur_judge_close(file, file->send_body_gone ? UR_SENDING : UR_WANTED,
			UR_OUTCOME_WAITING, "the run was stopped while it was being sent");
	} else if (file->send_changed) {
		ur_judge_changed(
			item, file, "it changed under our hands: looked at again in the next run");
	} else if (file->send_result == 0) {
		closed = judge_answer(decide, item, file);
	} else {
		closed = !is_line(file);
		if (closed) {
			close_failed(file, false);
		}
	}
	if (closed) {
		ur_ask_release(decide, file);
		ur_decide_go(decide, item, UR_STEP_SEND);
		return;
	}
	if (is_line(file) || file->send_stranger || file->send_status == 502 ||
		file->send_status == 503 || file->send_status == 504) {
		ur_decide_doubt(decide);
	}
	try_again(decide, item, file);
}

/* ---- the quota ------------------------------------------------------------------------------- */

static void quota_met(struct ur_decide *decide, struct ur_file *file)
{
	ur_judge_close(file, UR_WANTED, UR_OUTCOME_WAITING,
		"the user's quota on the server is used up: raise it or make room, then run again");
	if (decide->quota_left >= file->identity.size) {
		decide->quota_full = true; // it should have fitted: believe the server
	}
	if (decide->quota_asking || decide->quota_full) {
		return;
	}
	struct ur_text answer = decide->quota_call.answer;
	decide->quota_call = (struct ur_request){
		.method = "GET",
		.path = "/api/users/me",
		.answer_wait_ms = 30000,
		.done = ur_decide_answered,
		.owner = decide,
		.answer = answer,
	};
	decide->quota_asking = true;
	ur_decide_submit(decide, &decide->quota_call);
}

void ur_deliver_quota_answered(struct ur_decide *decide)
{
	struct ur_server user = {0};
	const struct ur_request *call = &decide->quota_call;
	decide->quota_asking = false;
	if (call->result == 0 && call->status == 200 &&
		ur_immich_read_user(ur_text_get(&call->answer), &user, NULL) == 0 &&
		user.quota_bytes >= 0) {
		const int64_t left = user.quota_bytes - user.quota_used;
		decide->quota_left = left > 0 ? left : 0;
		char text[16];
		ur_show_bytes((uint64_t)decide->quota_left, text);
		ur_run_warn(decide->run,
			"the user's quota is reached: %s left; files that do not fit wait", text);
	} else {
		decide->quota_full = true;
		ur_run_warn(decide->run, "the user's quota is used up; the rest waits");
	}
}
