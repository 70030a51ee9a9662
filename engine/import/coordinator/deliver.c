/*
 * deliver - from wanted to delivered: what is sent next, and what each ending means.
 *
 *     CREATED             delivered
 *     CLAIMED             suspect: we had just been told that it is not there
 *     LATER, STRANGER     asked by checksum if it may have arrived, else sent again, a few times
 *     QUOTA               what still fits goes on, the rest waits
 *     TOO_LARGE           refused
 *     REFUSED, REJECTED   failed, never repeated unchanged
 *     KEY                 the run ends: the key is not what it was
 *
 * So many files in a row that ended at a stranger, and the run ends: the server is not to be reached.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Committed as `sending` beyond what is in flight, the next to go.  Small files share commits. */
#define WINDOW_LARGE 2u
#define WINDOW_SMALL 6u // times the limit, and at least …
#define WINDOW_LEAST 128u
#define SMALL_FILE (1 << 20)

/* ---- what is sent next ----------------------------------------------------------------------- */

/** Movies go before their stills. */
static struct ur_file *next_wanted(struct ur_item *item)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < item->count; i++) {
			struct ur_file *file = &item->files[i];
			const bool movie = file->still != UR_NONE;
			if (ur_file_is_open(file) && file->state == UR_WANTED &&
				movie == (pass == 0)) {
				item->current = i;
				return file;
			}
		}
	}
	return NULL;
}

/** When all that is wanted has been sent: what needed no sending gets its outcome. */
static void close_present(struct ur_coordinator *c, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!ur_file_is_open(file) || !file->decided) {
			continue;
		}
		assert(file->asset[0] != '\0');
		if (file->state == UR_DUPLICATE && ur_book_has_sent(c, item, file)) {
			ur_file_close(
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

void ur_deliver_next(struct ur_coordinator *c, struct ur_item *item)
{
	const bool plan = c->run->options->plan;
	struct ur_file *file = NULL;
	while ((file = next_wanted(item)) != NULL) {
		assert(file->put.state == UR_PUT_SEND);
		if (plan) {
			ur_file_close(file, UR_WANTED, UR_OUTCOME_SENT, "would be sent");
			ur_book_file(c, item, file);
			ur_book_planned(c, file);
			ur_under_way_release(c, file);
			continue;
		}
		const struct ur_file *movie =
			file->movie == UR_NONE ? NULL : &item->files[file->movie];
		assert(movie == NULL || &item->files[movie->still] == file);
		if (movie != NULL && movie->outcome == UR_OUTCOME_WAITING) {
			ur_file_close(file, UR_WANTED, UR_OUTCOME_WAITING, movie->reason);
			ur_under_way_release(c, file);
			continue;
		}
		if (ur_quota_waits(c, file)) {
			ur_under_way_release(c, file);
			continue;
		}
		if (ur_large_is(c, item, file)) {
			ur_items_add(&c->to_chunk, item);
			return;
		}
		switch (ur_way_of(c, item, file)) {
		case UR_WAY_WAITS:
			continue;
		case UR_WAY_OPEN:
			ur_items_add(&c->to_send, item);
			return;
		case UR_WAY_PROBE:
			return;
		}
	}
	for (int i = 0; i < item->count; i++) {
		if (ur_file_is_to_ask(&item->files[i])) {
			ur_step_go(c, item, UR_STEP_ASK); // what has the same bytes came first
			return;
		}
	}
	close_present(c, item);
	ur_step_go(c, item, UR_STEP_LINK);
}

static bool has_place(const struct ur_coordinator *c, const struct ur_item *item, unsigned limit)
{
	assert(c->in_large <= c->in_upload);
	/* Before a quota that may be met each answer decides what is worth sending. */
	const bool small = item->files[item->current].identity.size <= SMALL_FILE &&
			   c->run->server.quota_bytes < 0;
	const unsigned several =
		WINDOW_SMALL * limit > WINDOW_LEAST ? WINDOW_SMALL * limit : WINDOW_LEAST;
	return c->in_upload - c->in_large < limit + (small ? several : WINDOW_LARGE);
}

/** Moves what has a place in upload to `sending`; it leaves after the commit. */
void ur_deliver_turn(struct ur_coordinator *c)
{
	const unsigned limit = c->wiring.upload_limit(c->wiring.upload_context);
	const bool stop = ur_step_is_stopping(c);
	while (c->to_send.first != NULL && (stop || !(c->outage.on || c->quota.asking)) &&
		(stop || (ur_large_leaves_room(c) && has_place(c, c->to_send.first, limit)))) {
		struct ur_item *item = ur_items_take(&c->to_send);
		struct ur_file *file = &item->files[item->current];
		assert(file->state == UR_WANTED);
		assert(item->step == UR_STEP_SEND);
		if (stop) {
			ur_under_way_close_wanted(c, item, "the run was stopped before it");
			ur_step_go(c, item, UR_STEP_SEND);
			continue;
		}
		if (ur_quota_waits(c, file)) {
			ur_under_way_release(c, file);
			ur_step_go(c, item, UR_STEP_SEND);
			continue;
		}
		ur_file_take_wire(c, file, ur_file_may_come_ns(c, file));
		file->state = UR_SENDING;
		file->sending_ns = ur_clock_wall_ns();
		file->doubt_since = ur_age_begin();
		file->reason = "";
		assert(ur_file_is_open(file));
		ur_book_file(c, item, file);
		c->durable = true;
		c->in_upload++;
		ur_items_add(&c->after_commit, item);
	}
}

/* ---- what each ending means ------------------------------------------------------------------ */

static void close_sent(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->put.state == UR_PUT_ASSET);
	assert(file->put.ours);
	file->now_sent = true;
	file->decided = true;
	c->strange_sends = 0;
	file->delivered_ns = ur_clock_wall_ns();
	file->there_since = ur_age_begin();
	file->doubt_since = (struct ur_age){0};
	ur_file_close(file, UR_DELIVERED, UR_OUTCOME_SENT, file->note == NULL ? "" : file->note);
	ur_quota_spend(c, file->identity.size);
	if (!ur_large_is(c, item, file)) {
		ur_way_took(c, file);
	}
	ur_book_asset(c, file);
	ur_book_file(c, item, file);
	c->durable = true;
}

/** Once more, unless that was the last try: first asked by checksum, if it may have arrived. */
static void try_again(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file,
	const struct ur_put_answer *answer)
{
	assert(ur_file_is_open(file));
	assert(file->tries > 0);
	const bool sent_away = ur_outage_is_sent_away(c, file->send_status, file->send_retry_ms);
	const int64_t asked_ms = sent_away ? -1 : file->send_retry_ms;
	const int64_t pause_ms = ur_step_pause_ms(c, (unsigned)file->tries, asked_ms);
	if (file->put.state == UR_PUT_LOST) {
		const bool may_come = ur_put_may_come(answer);
		const int64_t left_ns = may_come ? c->run->options->answer_wait_ms * UR_MS_NS : 0;
		file->lost_until_ns = ur_clock_steady_ns() + left_ns;
		if (may_come) {
			ur_file_note_gone(c, file, left_ns); // the next run waits as long
		}
		item->call_tries = 0;
		file->state = UR_PROBED; // and its bytes stay under way: they may still arrive
		ur_step_rest(c, item, UR_STEP_ASK, pause_ms);
		return;
	}
	assert(file->put.state == UR_PUT_SEND);
	ur_file_came_to_nothing(file);
	file->state = UR_WANTED;
	ur_step_rest(c, item, UR_STEP_SEND, pause_ms);
}

static void key_refused(struct ur_coordinator *c, struct ur_file *file)
{
	struct ur_err err = {0};
	assert(file->put.verdict == UR_PUT_KEY);
	(void)ur_err_say(&err, -EACCES, UR_FAULT_SETUP,
		"the server does not let this key upload any more: %s", file->send_why);
	ur_run_fail(c->run, -EACCES, &err);
	ur_file_close(file, UR_WANTED, UR_OUTCOME_WAITING, "the server refused the key");
}

static void close_claimed(struct ur_coordinator *c, struct ur_file *file)
{
	assert(file->put.doubted);
	assert(!file->now_sent);
	file->remembered = false; // perhaps it is our hash that is wrong: taken afresh
	file->doubt_since = ur_age_begin();
	(void)ur_file_is_doubtful(c, file); // says when it is asked again
	ur_file_close(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
		"the server said duplicate to bytes that it had not known before: its bytes are "
		"asked for in a later run");
}

/** Nothing was said about the file. True when it is closed all the same: that was the last try. */
static bool unheard(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const bool stranger = file->put.verdict == UR_PUT_STRANGER;
	assert(ur_file_is_open(file));
	if (stranger || ur_retry_is_away(file->send_result, file->send_status)) {
		ur_outage_doubt(c);
	}
	if (file->put.state != UR_PUT_OVER) {
		return false;
	}
	ur_file_give_up(c, item, file);
	return true;
}

static struct ur_put_answer answer_of(const struct ur_file *file)
{
	assert(file->send_result <= 0);
	return (struct ur_put_answer){
		.asked = UR_PUT_SEND,
		.result = file->send_result,
		.status = file->send_status,
		.own = file->send_own,
		.readable = file->send_readable,
		.duplicate = file->send_duplicate,
		.body_gone = file->send_body_gone,
		.quota = file->send_quota,
	};
}

/** By an earlier run that asked the server for its version. */
static bool was_for_good(const struct ur_file *file)
{
	return file->failed_before > 0 && file->row != NULL && file->row->for_good;
}

/** True when the file is closed by what came back. */
static bool judge_answer(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file,
	const struct ur_put_answer *answer)
{
	assert(file->put.state == UR_PUT_SEND);
	(void)ur_put_step(&file->put, answer);
	file->tries = (int)file->put.sends;
	switch (file->put.verdict) {
	case UR_PUT_CREATED:
		close_sent(c, item, file);
		return true;
	case UR_PUT_CLAIMED:
		close_claimed(c, file);
		return true;
	case UR_PUT_QUOTA:
		ur_file_came_to_nothing(file);
		ur_quota_met(c, file);
		return true;
	case UR_PUT_KEY:
		ur_file_came_to_nothing(file);
		key_refused(c, file);
		return true;
	case UR_PUT_TOO_LARGE:
		ur_file_came_to_nothing(file);
		if (!ur_large_is(c, item, file)) { // whose pieces have a way of their own
			ur_way_refused(c, file, file->send_status);
		}
		file->trouble = true;
		ur_file_close(file, UR_WANTED, UR_OUTCOME_REFUSED,
			ur_arena_format(&item->arena,
				"too large for the server or a proxy before it: %s",
				file->send_why));
		return true;
	case UR_PUT_REFUSED:
	case UR_PUT_REJECTED:
		ur_file_came_to_nothing(file);
		/* With a version from yesterday it may have been our request that was wrong. */
		ur_file_close_failed(file, !c->run->server_remembered || was_for_good(file));
		return true;
	case UR_PUT_UNREAD:
		ur_file_came_to_nothing(file);
		if (!ur_file_close_starved(c, file, file->send_result)) {
			ur_file_close_failed(file, false);
		}
		return true;
	case UR_PUT_LATER:
	case UR_PUT_STRANGER:
		return unheard(c, item, file);
	case UR_PUT_NOTHING:
	case UR_PUT_ABSENT:
	case UR_PUT_THERE:
	case UR_PUT_TRASHED:
	case UR_PUT_HOLDS:
	case UR_PUT_GONE:
	case UR_PUT_OTHER_OWNER:
	case UR_PUT_EXTERNAL:
	case UR_PUT_OTHER_BYTES:
	case UR_PUT_GIVEN:
	case UR_PUT_MISSED:
	case UR_PUT_RIGHTS:
	case UR_PUT_VERDICTS:
		break;
	}
	assert(!"no answer to a sent file says that");
	return false;
}

void ur_deliver_result(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_file *file = &item->files[item->current];
	assert(file->state == UR_SENDING);
	assert(item->step == UR_STEP_SEND);
	assert(c->in_upload > 0);
	const struct ur_put_answer answer = answer_of(file);
	c->in_upload--;
	bool closed = true;
	if (file->send_result == -ECANCELED) {
		ur_file_close(file, file->send_body_gone ? UR_SENDING : UR_WANTED,
			UR_OUTCOME_WAITING, "the run was stopped while it was being sent");
	} else if (file->send_changed) {
		ur_file_changed(
			item, file, "it changed under our hands: looked at again in the next run");
	} else {
		closed = judge_answer(c, item, file, &answer);
	}
	assert(closed != ur_file_is_open(file));
	if (closed) {
		ur_under_way_release(c, file);
		ur_step_go(c, item, UR_STEP_SEND);
		return;
	}
	try_again(c, item, file, &answer);
}
