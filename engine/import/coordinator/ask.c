/*
 * ask - what the server has, asked by checksum, many files at a time.
 *
 *     items to ask ─▶ [question, at most UR_ASK_BATCH files] ─▶ [answered] ─▶ wanted, known, …
 *
 * One question is out at a time.  An answer is judged a slice in each turn, so that the next question
 * leaves, files are read and uploads fed meanwhile.  What such an answer says of bytes that were under
 * way when it was asked for, and no longer are, is stale: they are asked for again.
 * Two files with the same bytes are never wanted at the same time: the second waits in `under_way`
 * for the first and is asked for again when that one is through.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_MS 30 // how long a question waits for company, while more may come
#define ANSWER_MS 120000
#define SAY_AFTER_NS (5 * UR_SECOND_NS)
#define SLICE 256u // items that are judged in a turn

struct ur_question {
	struct ur_question *next; // answered after this one
	struct ur_request request;
	uint32_t number;
	int result;    // 0: it was answered
	size_t judged; // of the files
	struct ur_text body;
	struct ur_items items;
	struct ur_file *files[UR_ASK_BATCH];
	struct ur_check checks[UR_ASK_BATCH];
	size_t count;
};

/* ---- what an answer means -------------------------------------------------------------------- */

static void want(struct ur_coordinator *c, struct ur_file *file)
{
	struct ur_run *run = c->run;
	const int64_t limit = run->options->limit;
	assert(ur_file_is_open(file));
	assert(file->put.state == UR_PUT_SEND);
	assert(file->class != UR_CLASS_SIDECAR);
	if (!file->counted && limit > 0 && (int64_t)atomic_load(&run->wanted) >= limit) {
		ur_file_close(file, UR_PROBED, UR_OUTCOME_WAITING, "beyond --limit");
		return;
	}
	if (!file->counted) { // it is asked for again when its sending did not end well
		file->counted = true;
		atomic_fetch_add(&run->wanted, 1);
	}
	file->state = UR_WANTED;
	ur_under_way_add(c, file);
}

/** What is remembered is about another asset: this one is new to us, and not our own. */
static void take_asset(struct ur_file *file, const struct ur_check *check)
{
	assert(check->there);
	if (strcmp(file->asset, check->asset) != 0) {
		file->there_since = (struct ur_age){0};
		file->created = false;
		file->travelled = false;
	}
	memcpy(file->asset, check->asset, sizeof file->asset);
}

static void say_there(struct ur_coordinator *c, struct ur_file *file, const struct ur_check *check)
{
	const struct ur_record *row = file->row;
	assert(!file->decided);
	take_asset(file, check);
	if (check->trashed) {
		ur_file_close(file, UR_TRASHED, UR_OUTCOME_REFUSED,
			"it is in the server's trash: restore it there, or empty the trash");
		return;
	}
	if (ur_file_is_doubtful(c, file)) {
		ur_file_close(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
			"the server claims it, but the upload did not end well: its bytes are asked "
			"for in a later run");
		return;
	}
	assert(file->put.state == UR_PUT_ASSET);
	file->decided = true;
	file->there = true;
	if (!ur_age_is_begun(&file->there_since)) {
		file->there_since = ur_age_begin();
	}
	file->must_confirm =
		ur_age_is_begun(&file->doubt_since) || (row != NULL && row->state == UR_BROKEN);
	struct ur_ledger_asset asset = {0};
	const bool found = ur_book_find_asset(c, file, &asset);
	const bool this_run = found && asset.run == c->run->id && asset.created;
	file->state = this_run || file->waits ? UR_DUPLICATE : UR_KNOWN;
	file->reason = file->state == UR_DUPLICATE ? "the same bytes as another file of this run"
						   : "the server has it";
}

/** The server does not have it: unless it once had, it is wanted. */
static void say_absent(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->put.verdict == UR_PUT_ABSENT);
	assert(!file->decided);
	struct ur_ledger_asset asset = {0};
	/* What was broken there was never proved to be: whoever removed it meant it to come again. */
	const bool broken = file->row != NULL && file->row->state == UR_BROKEN;
	if (!broken && ur_book_find_asset(c, file, &asset)) {
		memcpy(file->asset, asset.asset, sizeof file->asset);
		ur_file_close(file, UR_WITHDRAWN, UR_OUTCOME_REFUSED,
			"it was delivered before and is gone from the server now: not sent again by "
			"itself (uringest verify --resend-missing does)");
	} else if (c->run->options->plan && ur_book_has_planned(c, item, file)) {
		ur_file_close(file, UR_DUPLICATE, UR_OUTCOME_DUPLICATE,
			"the same bytes as another file of this run");
	} else if (!c->broken) {
		want(c, file);
	}
}

static bool has_wanted(const struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (ur_file_is_open(&item->files[i]) && item->files[i].state == UR_WANTED) {
			return true;
		}
	}
	return false;
}

/** Others may wait for bytes of this item: wanted, or perhaps on their way. */
static bool holds_bytes(struct ur_coordinator *c, const struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (ur_file_is_open(&item->files[i]) && ur_under_way_has(c, &item->files[i])) {
			return true;
		}
	}
	return has_wanted(item);
}

/**
 * The first file whose bytes another item has under way; the item then waits for that one.  An item
 * that holds such bytes itself goes on with those first: two that wait for each other never move.
 */
static bool waits_for_same(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->step == UR_STEP_ASK);
	if (holds_bytes(c, item)) {
		return false;
	}
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		struct ur_file *other =
			ur_file_is_to_ask(file) ? ur_under_way_other(c, file) : NULL;
		if (other == NULL) {
			continue;
		}
		assert(other->item != item);
		file->waits = true;
		ur_under_way_wait(item, other);
		return true;
	}
	return false;
}

/* ---- the question ---------------------------------------------------------------------------- */

/**
 * A doubt is about bytes, not about a file: what was sent of another file with the same ones may still
 * arrive, or may be what the server claims.
 */
static void share_doubt(struct ur_coordinator *c, struct ur_file *file)
{
	if (c->run->options->plan) {
		return;
	}
	const struct ur_ledger_doubt doubt = ur_book_doubt(c, file);
	const unsigned sends = file->put.sends;
	const bool own = ur_age_is_begun(&file->doubt_since);
	assert(!ur_age_is_begun(&doubt.sending) || ur_age_is_begun(&doubt.since));
	if (!ur_age_is_begun(&doubt.since)) {
		return;
	}
	if (!own || ur_age_ns(&doubt.since) < ur_age_ns(&file->doubt_since)) {
		file->doubt_since = doubt.since;
	}
	if (file->put.state == UR_PUT_LOST) {
		return; // it waits already, for what it knows of itself
	}
	/* A row that another picture has taken over tells of no sending any more; a note does. */
	const int64_t left_ns = ur_file_left_ns(
		c, file, &doubt.sending, ur_age_is_begun(&doubt.sending) ? &doubt.first : NULL);
	file->lost_until_ns = ur_clock_steady_ns() + left_ns;
	ur_put_start(&file->put, &c->rules, left_ns > 0 ? UR_PUT_LOST : UR_PUT_CHECK, true);
	file->put.sends = sends;
}

static struct ur_put_answer answer_of(const struct ur_file *file, const struct ur_check *check)
{
	assert(check->answered);
	assert(file->put.state == UR_PUT_CHECK || file->put.state == UR_PUT_LOST);
	return (struct ur_put_answer){
		.asked = file->put.state,
		.status = 200,
		.own = true,
		.readable = true,
		.there = check->there,
		.trashed = check->trashed,
		.may_come = file->put.state == UR_PUT_LOST &&
			    ur_clock_steady_ns() < file->lost_until_ns,
	};
}

/** What an answer about a file leaves open; ANSWERED when nothing. */
enum answered {
	ANSWERED,
	NOT_YET, // the server may still be storing it, or another item with its bytes came first
	STALE,   // such bytes were under way when it was asked for, and no longer are
};

static enum answered judge_file(struct ur_coordinator *c, struct ur_item *item,
	struct ur_file *file, const struct ur_question *question, const struct ur_check *check)
{
	assert(ur_file_is_to_ask(file)); // nobody else decides while the question is out
	if (c->broken) {
		return NOT_YET; // and the run ends
	}
	if (ur_under_way_other(c, file) != NULL) {
		return NOT_YET; // what it says may be about an upload that has not ended yet
	}
	share_doubt(c, file);
	const struct ur_put_answer answer = answer_of(file, check);
	if (check->there && !check->trashed && ur_large_claims(c, item, file)) {
		take_asset(file, check);
		ur_put_go_on(&file->put);
		want(c, file);
		return ANSWERED;
	}
	if (!check->there && ur_under_way_was(c, file, question->number) && !answer.may_come) {
		return STALE;
	}
	switch (ur_put_step(&file->put, &answer)) {
	case UR_PUT_LOST:
		return NOT_YET;
	case UR_PUT_SEND:
		say_absent(c, item, file);
		if (!ur_file_is_open(file)) {
			ur_under_way_release(c, file);
		}
		return ANSWERED;
	case UR_PUT_ASSET:
	case UR_PUT_OVER: // in the trash, or it was sent in vain for the last time
		if (file->put.verdict == UR_PUT_ABSENT) {
			ur_file_give_up(c, item, file);
		} else {
			say_there(c, file, check);
		}
		ur_under_way_release(c, file); // where it had been sent before
		return ANSWERED;
	case UR_PUT_NEW:
	case UR_PUT_CHECK:
	case UR_PUT_BYTES:
	case UR_PUT_PROVED:
	case UR_PUT_ASIDE:
	case UR_PUT_STATES:
		break;
	}
	assert(!"an answer that leads nowhere");
	return NOT_YET;
}

#define SAY_LOST_NS (3 * UR_SECOND_NS) // a wait that ends sooner needs no words

/** Once a run: what it waits for, and until when. */
static void say_lost(struct ur_coordinator *c, const struct ur_item *item)
{
	char when[UR_CLOCK_TEXT];
	const int64_t now = ur_clock_steady_ns();
	for (int i = 0; i < item->count && !c->lost_told; i++) {
		const struct ur_file *file = &item->files[i];
		const int64_t left_ns = file->lost_until_ns - now;
		if (!ur_file_is_to_ask(file) || file->put.state != UR_PUT_LOST) {
			continue;
		}
		c->lost_ns = c->lost_ns == 0 ? now : c->lost_ns;
		if (now - c->lost_ns < SAY_LOST_NS || left_ns < SAY_LOST_NS) {
			continue;
		}
		c->lost_told = true;
		ur_clock_local(ur_clock_wall_ns() + left_ns, when);
		ur_run_warn(c->run,
			"%s: what was sent of it before, without an answer, may still arrive: the "
			"server is asked until %s before it is sent again, and so for others like it",
			file->name, when);
	}
}

static void judge_item(struct ur_coordinator *c, struct ur_item *item, struct ur_question *question)
{
	bool again = false;
	bool stale = false;
	assert(question->result == 0);
	assert(question->judged < question->count);
	while (question->judged < question->count &&
		question->files[question->judged]->item == item) {
		const size_t at = question->judged++;
		const enum answered answered =
			judge_file(c, item, question->files[at], question, &question->checks[at]);
		again = again || answered == NOT_YET;
		stale = stale || answered == STALE;
	}
	if (waits_for_same(c, item)) {
		return;
	}
	if (!has_wanted(item) && again) {
		say_lost(c, item);
		ur_step_rest(c, item, UR_STEP_ASK,
			ur_step_pause_ms(c, (unsigned)item->call_tries++, -1));
		return;
	}
	if (!has_wanted(item) && stale) {
		ur_step_go(c, item, UR_STEP_ASK);
		return;
	}
	item->call_tries = 0;
	ur_step_go(c, item, UR_STEP_SEND);
}

/** Another question may be answered all the while (is it back?): this wait has a word of its own. */
static void say_unanswered(
	struct ur_coordinator *c, const struct ur_request *request, int64_t waited_ns)
{
	char message[UR_MESSAGE_MAX];
	if (c->unanswered_told || waited_ns < SAY_AFTER_NS) {
		return;
	}
	c->unanswered_told = true;
	ur_immich_message(request->status, ur_text_get(&request->answer), request->html, message);
	ur_run_warn(c->run,
		"the server does not say what it has (%s); asked again for up to %lld s",
		request->result < 0 ? request->err.text : message,
		(long long)(c->run->options->server_wait_ms / 1000));
}

/** A question that the server will not answer ends the run; one that it cannot, in the long run. */
static void not_answered(struct ur_coordinator *c, struct ur_request *request)
{
	const struct ur_put_answer answer = {
		.asked = UR_PUT_CHECK,
		.result = request->result,
		.status = request->status,
		.own = ur_proof_is_own(request),
	};
	const enum ur_put_verdict verdict = ur_put_judge(&answer);
	const bool never = verdict == UR_PUT_KEY || verdict == UR_PUT_REJECTED;
	const int64_t now = ur_clock_steady_ns();
	c->unanswered_ns = c->unanswered_ns == 0 ? now : c->unanswered_ns;
	assert(now >= c->unanswered_ns);
	say_unanswered(c, request, now - c->unanswered_ns);
	if (request->result == 0 &&
		ur_outage_is_sent_away(c, request->status, request->retry_after_ms)) {
		return;
	}
	const int64_t waited_ns = now - c->unanswered_ns;
	if (never || waited_ns > c->run->options->server_wait_ms * UR_MS_NS) {
		struct ur_err err = {0};
		char message[UR_MESSAGE_MAX];
		const int code = never ? -EACCES : -EHOSTUNREACH;
		ur_immich_message(
			request->status, ur_text_get(&request->answer), request->html, message);
		(void)ur_err_say(&err, code, never ? UR_FAULT_SETUP : UR_FAULT_WORLD,
			"the server does not answer the question by checksum: %s",
			request->result < 0 ? request->err.text : message);
		ur_run_fail(c->run, code, &err);
	} else if (ur_retry_of(request->result, request->status) != UR_PASSES_BUSY) {
		ur_outage_doubt(c);
	}
}

void ur_ask_answered(struct ur_coordinator *c, struct ur_request *request)
{
	struct ur_question *question = c->question;
	struct ur_question **last = &c->answered;
	struct ur_err err = {0};
	assert(request == &question->request);
	c->question = NULL;

	int r = request->result;
	if (r == 0 && request->status == 200) {
		r = ur_immich_check_read(
			ur_text_get(&request->answer), question->checks, question->count, &err);
	} else if (r == 0) {
		r = -EPROTO;
	}
	if (r == 0) {
		c->unanswered_ns = 0;
		c->unanswered_told = false;
	} else {
		not_answered(c, request);
	}
	question->result = r;
	while (*last != NULL) {
		last = &(*last)->next;
	}
	*last = question;
}

static struct ur_question *free_question(struct ur_question *question)
{
	assert(question->judged <= question->count);
	ur_text_done(&question->body);
	ur_request_done(&question->request);
	free(question);
	return NULL;
}

static void judge_slice(struct ur_coordinator *c)
{
	struct ur_question *question = c->answered;
	assert(question == NULL || question != c->question);
	for (unsigned i = 0; question != NULL && i < SLICE; i++) {
		struct ur_item *item = ur_items_take(&question->items);
		if (item == NULL) {
			c->answered = question->next;
			(void)free_question(question);
			question = c->answered;
		} else if (question->result < 0) {
			ur_step_rest(c, item, UR_STEP_ASK,
				ur_step_pause_ms(c, (unsigned)item->call_tries++,
					question->request.retry_after_ms));
		} else {
			judge_item(c, item, question);
		}
	}
}

bool ur_ask_is_question(const struct ur_coordinator *c, const struct ur_request *request)
{
	return c->question != NULL && request == &c->question->request;
}

static size_t add_item(struct ur_coordinator *c, struct ur_question *question, struct ur_item *item)
{
	size_t added = 0;
	assert(question->count + UR_ITEM_FILES <= UR_ASK_BATCH);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (ur_file_is_to_ask(file)) {
			if (file->put.state == UR_PUT_LOST && ur_under_way_other(c, file) == NULL) {
				ur_under_way_add(c, file);
			}
			ur_immich_check_add(&question->body, question->count, file->sha1);
			question->files[question->count++] = file;
			added++;
		}
	}
	return added;
}

static void fill(struct ur_coordinator *c, struct ur_question *question)
{
	assert(question->count == 0);
	ur_items_init(&question->items);
	ur_immich_check_begin(&question->body);
	while (question->count + UR_ITEM_FILES <= UR_ASK_BATCH) {
		struct ur_item *item = ur_items_take(&c->to_ask);
		if (item == NULL) {
			break;
		}
		if (waits_for_same(c, item)) {
			continue;
		}
		if (add_item(c, question, item) == 0) {
			ur_step_go(c, item, UR_STEP_SEND);
			continue;
		}
		ur_items_add(&question->items, item);
	}
	ur_immich_check_end(&question->body);
}

static void ask_next(struct ur_coordinator *c)
{
	const struct ur_item *first = c->to_ask.first;
	if (first == NULL || c->question != NULL || c->outage.on) {
		return;
	}
	const int64_t waited = ur_clock_steady_ns() - first->since_ns;
	if (c->inputs_open > 0 && c->to_ask.count < UR_ASK_BATCH / 2 &&
		waited < GATHER_MS * UR_MS_NS) {
		return;
	}
	struct ur_question *question = calloc(1, sizeof *question);
	if (question == NULL) {
		return; // the next turn tries again
	}
	fill(c, question);
	if (question->count == 0) {
		(void)free_question(question);
		return;
	}
	assert(question->items.count > 0);
	assert(question->items.count <= question->count);
	question->number = ++c->under_way.questions;
	question->request = (struct ur_request){
		.method = "POST",
		.path = "/api/assets/bulk-upload-check",
		.content_type = "application/json",
		.pieces = {{.bytes = question->body.bytes, .size = question->body.size}},
		.piece_count = 1,
		.answer_wait_ms = ur_run_answer_ms(c->run, ANSWER_MS),
		.owner = c,
	};
	c->question = question;
	ur_call_submit(c, &question->request);
}

void ur_ask_turn(struct ur_coordinator *c)
{
	ask_next(c);
	judge_slice(c);
}

void ur_ask_free(struct ur_coordinator *c)
{
	struct ur_question *question = NULL;
	while ((question = c->answered) != NULL) {
		c->answered = question->next;
		(void)free_question(question);
	}
	if (c->question != NULL) {
		c->question = free_question(c->question);
	}
}
