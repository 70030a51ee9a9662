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
#include "engine/stage/decide_parts.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_MS 30 // how long a question waits for company, while more may come
#define ANSWER_MS 120000
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

/* ---- files under way, by their bytes --------------------------------------------------------- */

static struct ur_file **bucket_of(struct ur_decide *decide, const struct ur_file *file)
{
	uint32_t key = 0;
	memcpy(&key, file->sha1, sizeof key);
	return &decide->under_way[key % UR_BUCKETS];
}

static struct ur_file *find_under_way(struct ur_decide *decide, const struct ur_file *file)
{
	struct ur_file *at = *bucket_of(decide, file);
	while (at != NULL && memcmp(at->sha1, file->sha1, sizeof at->sha1) != 0) {
		at = at->next_same;
	}
	return at;
}

static void put_under_way(struct ur_decide *decide, struct ur_file *file)
{
	struct ur_file **bucket = bucket_of(decide, file);
	file->next_same = *bucket;
	*bucket = file;
}

/** By other bytes of the hash than the buckets. */
static uint32_t *stamp_of(struct ur_decide *decide, const struct ur_file *file)
{
	uint16_t key = 0;
	memcpy(&key, file->sha1 + sizeof(uint32_t), sizeof key);
	return &decide->stamps[key];
}

void ur_ask_release(struct ur_decide *decide, struct ur_file *file)
{
	struct ur_file **at = bucket_of(decide, file);
	while (*at != NULL && *at != file) {
		at = &(*at)->next_same;
	}
	if (*at == NULL) {
		return; // was not under way
	}
	*at = file->next_same;
	if (!decide->run->options->plan) { // which brings nothing to the server
		*stamp_of(decide, file) = decide->questions;
	}
	struct ur_item *item = file->same_items;
	file->same_items = NULL;
	while (item != NULL) {
		struct ur_item *next = item->next;
		ur_decide_go(decide, item, UR_STEP_ASK);
		item = next;
	}
}

/* ---- what an answer means -------------------------------------------------------------------- */

static void want(struct ur_decide *decide, struct ur_file *file)
{
	struct ur_run *run = decide->run;
	const int64_t limit = run->options->limit;
	if (limit > 0 && (int64_t)atomic_load(&run->wanted) >= limit) {
		ur_judge_close(file, UR_PROBED, UR_OUTCOME_WAITING, "beyond --limit");
		return;
	}
	atomic_fetch_add(&run->wanted, 1);
	file->state = UR_WANTED;
	put_under_way(decide, file);
}

static void say_there(struct ur_decide *decide, struct ur_item *item, struct ur_file *file,
	const struct ur_check *check)
{
	const struct ur_record *row = file->row;
	if (strcmp(file->asset, check->asset) != 0) {
		/* What is remembered is about another asset: this one is new to us, and not our own. */
		file->there_since = (struct ur_age){0};
		file->created = false;
		file->travelled = false;
	}
	memcpy(file->asset, check->asset, sizeof file->asset);
	if (check->trashed) {
		ur_judge_close(file, UR_TRASHED, UR_OUTCOME_REFUSED,
			"it is in the server's trash: restore it there, or empty the trash");
		return;
	}
	if (ur_large_claims(decide, item, file)) {
		want(decide, file);
		return;
	}
	if (ur_judge_is_doubtful(decide, file)) {
		ur_judge_close(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
			"the server claims it, but the upload did not end well: its bytes are asked "
			"for in a later run");
		return;
	}
	file->decided = true;
	file->there = true;
	if (!ur_age_is_begun(&file->there_since)) {
		file->there_since = ur_age_begin();
	}
	file->must_confirm =
		ur_age_is_begun(&file->doubt_since) || (row != NULL && row->state == UR_BROKEN);
	struct ur_ledger_asset asset = {0};
	struct ur_err err = {0};
	bool found = false;
	const int r = ur_ledger_asset_get(
		decide->ledger, decide->run->destination, file->sha1, &asset, &found, &err);
	if (r < 0) {
		ur_book_fail(decide, r, &err);
	}
	const bool this_run = found && asset.run == decide->run->id && asset.created;
	file->state = this_run || file->waits ? UR_DUPLICATE : UR_KNOWN;
	file->reason = file->state == UR_DUPLICATE ? "the same bytes as another file of this run"
						   : "the server has it";
}

/** The server does not have it: unless it once had, it is wanted. */
static void say_absent(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	struct ur_ledger_asset asset = {0};
	struct ur_err err = {0};
	bool found = false;
	const int r = ur_ledger_asset_get(
		decide->ledger, decide->run->destination, file->sha1, &asset, &found, &err);
	if (r < 0) {
		ur_book_fail(decide, r, &err);
	} else if (found) {
		memcpy(file->asset, asset.asset, sizeof file->asset);
		ur_judge_close(file, UR_WITHDRAWN, UR_OUTCOME_REFUSED,
			"it was delivered before and is gone from the server now: not sent again by "
			"itself (uringest verify --resend-missing does)");
	} else if (decide->run->options->plan && ur_book_has_planned(decide, item, file)) {
		ur_judge_close(file, UR_DUPLICATE, UR_OUTCOME_DUPLICATE,
			"the same bytes as another file of this run");
	} else if (!decide->broken) {
		want(decide, file);
	}
}

/** True while a lost answer may still turn into an asset. */
static bool may_still_come(const struct ur_item *item)
{
	return item->asking_lost && ur_clock_steady_ns() < item->lost_until_ns;
}

bool ur_ask_is_due(const struct ur_file *file)
{
	return ur_judge_is_open(file) && !file->decided && file->class != UR_CLASS_SIDECAR &&
	       file->state != UR_WANTED && file->state != UR_SENDING;
}

static bool has_wanted(const struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (ur_judge_is_open(&item->files[i]) && item->files[i].state == UR_WANTED) {
			return true;
		}
	}
	return false;
}

/**
 * The first file whose bytes another item has under way; the item then waits for that one.  An item
 * that holds something wanted itself sends that first: two that wait for each other never move.
 */
static bool waits_for_same(struct ur_decide *decide, struct ur_item *item)
{
	if (has_wanted(item)) {
		return false;
	}
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		struct ur_file *other = ur_ask_is_due(file) ? find_under_way(decide, file) : NULL;
		if (other == NULL) {
			continue;
		}
		file->waits = true;
		if (other->item == item) {
			file->decided = true; // its twin in the same group is sent: see deliver
			file->state = UR_DUPLICATE;
			continue;
		}
		item->step = UR_STEP_SAME;
		item->next = other->same_items;
		other->same_items = item;
		return true;
	}
	return false;
}

/* ---- the question ---------------------------------------------------------------------------- */

/** The server may still be storing it, or another item with the same bytes came first. */
static bool is_too_early(
	struct ur_decide *decide, const struct ur_item *item, const struct ur_file *file)
{
	return (file->sending_ns != 0 && may_still_come(item)) ||
	       find_under_way(decide, file) != NULL;
}

/** Since the server was asked, these bytes (or some with the same stamp) were under way and are not. */
static bool is_stale(
	struct ur_decide *decide, const struct ur_file *file, const struct ur_question *question)
{
	return *stamp_of(decide, file) >= question->number;
}

static void judge_item(struct ur_decide *decide, struct ur_item *item, struct ur_question *question)
{
	bool again = false;
	bool stale = false;
	while (question->judged < question->count &&
		question->files[question->judged]->item == item) {
		struct ur_file *file = question->files[question->judged];
		const struct ur_check *check = &question->checks[question->judged];
		if (check->there) {
			say_there(decide, item, file, check);
		} else if (is_too_early(decide, item, file)) {
			again = true;
		} else if (is_stale(decide, file, question)) {
			stale = true;
		} else {
			say_absent(decide, item, file);
		}
		question->judged++;
	}
	if (waits_for_same(decide, item)) {
		return;
	}
	if (!has_wanted(item)) {
		if (again) {
			ur_decide_rest(decide, item, UR_STEP_ASK,
				ur_decide_pause(decide, item->call_tries++, -1));
			return;
		}
		if (stale) {
			ur_decide_go(decide, item, UR_STEP_ASK);
			return;
		}
	}
	item->asking_lost = false;
	item->call_tries = 0;
	ur_decide_go(decide, item, UR_STEP_SEND);
}

/** A question that the server will not answer ends the run; one that it cannot, in the long run. */
static void not_answered(struct ur_decide *decide, struct ur_request *request)
{
	const int status = request->result < 0 ? 0 : request->status;
	const bool never = status >= 400 && status < 500 && status != 408 && status != 429 &&
			   ur_proof_is_own(request);
	const int64_t now = ur_clock_steady_ns();
	decide->unanswered_ns = decide->unanswered_ns == 0 ? now : decide->unanswered_ns;
	if (request->result == 0 &&
		ur_decide_is_sent_away(decide, status, request->retry_after_ms)) {
		return;
	}
	const int64_t waited_ns = now - decide->unanswered_ns;
	if (never || waited_ns > decide->run->options->server_wait_ms * UR_MS_NS) {
		struct ur_err err = {0};
		char message[UR_MESSAGE_MAX];
		const int code = never ? -EACCES : -EHOSTUNREACH;
		ur_immich_message(
			request->status, ur_text_get(&request->answer), request->html, message);
		(void)ur_err_say(&err, code, never ? UR_FAULT_SETUP : UR_FAULT_WORLD,
			"the server does not answer the question by checksum: %s",
			request->result < 0 ? request->err.text : message);
		ur_run_fail(decide->run, code, &err);
	} else if (status != 429) {
		ur_decide_doubt(decide);
	}
}

void ur_ask_answered(struct ur_decide *decide, struct ur_request *request)
{
	struct ur_question *question = decide->question;
	struct ur_question **last = &decide->answered;
	struct ur_err err = {0};
	assert(request == &question->request);
	decide->question = NULL;

	int r = request->result;
	if (r == 0 && request->status == 200) {
		r = ur_immich_check_read(
			ur_text_get(&request->answer), question->checks, question->count, &err);
	} else if (r == 0) {
		r = -EPROTO;
	}
	if (r == 0) {
		decide->unanswered_ns = 0;
	} else {
		not_answered(decide, request);
	}
	question->result = r;
	while (*last != NULL) {
		last = &(*last)->next;
	}
	*last = question;
}

static struct ur_question *free_question(struct ur_question *question)
{
	ur_text_done(&question->body);
	ur_request_done(&question->request);
	free(question);
	return NULL;
}

static void judge_slice(struct ur_decide *decide)
{
	struct ur_question *question = decide->answered;
	for (unsigned i = 0; question != NULL && i < SLICE; i++) {
		struct ur_item *item = ur_items_take(&question->items);
		if (item == NULL) {
			decide->answered = question->next;
			(void)free_question(question);
			question = decide->answered;
		} else if (question->result < 0) {
			ur_decide_rest(decide, item, UR_STEP_ASK,
				ur_decide_pause(decide, item->call_tries++,
					question->request.retry_after_ms));
		} else {
			judge_item(decide, item, question);
		}
	}
}

bool ur_ask_is_question(const struct ur_decide *decide, const struct ur_request *request)
{
	return decide->question != NULL && request == &decide->question->request;
}

static size_t add_item(struct ur_question *question, struct ur_item *item)
{
	size_t added = 0;
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (ur_ask_is_due(file)) {
			ur_immich_check_add(&question->body, question->count, file->sha1);
			question->files[question->count++] = file;
			added++;
		}
	}
	return added;
}

static void fill(struct ur_decide *decide, struct ur_question *question)
{
	ur_items_init(&question->items);
	ur_immich_check_begin(&question->body);
	while (question->count + UR_ITEM_FILES <= UR_ASK_BATCH) {
		struct ur_item *item = ur_items_take(&decide->to_ask);
		if (item == NULL) {
			break;
		}
		if (waits_for_same(decide, item)) {
			continue;
		}
		if (add_item(question, item) == 0) {
			ur_decide_go(decide, item, UR_STEP_SEND);
			continue;
		}
		ur_items_add(&question->items, item);
	}
	ur_immich_check_end(&question->body);
}

static void ask_next(struct ur_decide *decide)
{
	const struct ur_item *first = decide->to_ask.first;
	if (first == NULL || decide->question != NULL || decide->away) {
		return;
	}
	const int64_t waited = ur_clock_steady_ns() - first->since_ns;
	if (decide->inputs_open > 0 && decide->to_ask.count < UR_ASK_BATCH / 2 &&
		waited < GATHER_MS * UR_MS_NS) {
		return;
	}
	struct ur_question *question = calloc(1, sizeof *question);
	if (question == NULL) {
		return; // the next turn tries again
	}
	fill(decide, question);
	if (question->count == 0) {
		(void)free_question(question);
		return;
	}
	question->number = ++decide->questions;
	question->request = (struct ur_request){
		.method = "POST",
		.path = "/api/assets/bulk-upload-check",
		.content_type = "application/json",
		.pieces = {{.bytes = question->body.bytes, .size = question->body.size}},
		.piece_count = 1,
		.answer_wait_ms = ANSWER_MS,
		.done = ur_decide_answered,
		.owner = decide,
	};
	decide->question = question;
	ur_decide_submit(decide, &question->request);
}

void ur_ask_turn(struct ur_decide *decide)
{
	ask_next(decide);
	judge_slice(decide);
}

void ur_ask_free(struct ur_decide *decide)
{
	struct ur_question *question = NULL;
	while ((question = decide->answered) != NULL) {
		decide->answered = question->next;
		(void)free_question(question);
	}
	if (decide->question != NULL) {
		decide->question = free_question(decide->question);
	}
}
