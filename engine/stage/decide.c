/*
 * decide - the loop: take in, move on, write, commit, let go.
 *
 *     take_in ─▶ turns of ask, deliver, calls ─▶ commit ─▶ after_commit: to upload, to settle, done
 *
 * Nothing that has a side effect leaves before the commit of the turn that decided it.
 */
#include "engine/stage/decide_parts.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_MS 200
#define LAZY_COMMIT_MS 500 // facts below `sending` may be lost for so long
#define CALLS_MAX 32u      // link, amend and confirm requests at once
#define PAUSE_BASE_MS 500
#define PAUSE_MAX_MS 60000
#define AWAY_FIRST_MS 500
#define AWAY_MAX_MS 15000
#define AWAY_ANSWER_MS 15000
#define TURN_NS INT64_C(4000000) // a turn that nobody waits for begins so long after the last one
#define TURNS_FED 8              // … while upload has enough
#define TURN_LIVE 64             // with fewer items there is no company to wait for
#define FED_LEAST 16u            // files with which upload does not stand still for a turn
#define STOP_GRACE_MS 10000      // how long sends under way may finish after a stop

/* ---- lists ----------------------------------------------------------------------------------- */

void ur_items_init(struct ur_items *items)
{
	*items = (struct ur_items){0};
	items->end = &items->first;
}

void ur_items_add(struct ur_items *items, struct ur_item *item)
{
	item->next = NULL;
	*items->end = item;
	items->end = &item->next;
	items->count++;
}

struct ur_item *ur_items_take(struct ur_items *items)
{
	struct ur_item *item = items->first;
	if (item == NULL) {
		return NULL;
	}
	items->first = item->next;
	if (items->first == NULL) {
		items->end = &items->first;
	}
	items->count--;
	item->next = NULL;
	return item;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool stopping(const struct ur_decide *decide)
{
	return atomic_load_explicit(&decide->run->stop, memory_order_relaxed);
}

/** After a stop: what is still open waits for the next run. */
static void close_open(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!ur_judge_is_open(file)) {
			continue;
		}
		const bool there = file->decided && file->there;
		ur_judge_close(file, file->state,
			there ? (file->state == UR_DUPLICATE ? UR_OUTCOME_DUPLICATE
							     : UR_OUTCOME_PRESENT)
			      : UR_OUTCOME_WAITING,
			there ? "the server has it" : "the run was stopped before it");
		ur_ask_release(decide, file);
	}
}

static void finish(struct ur_decide *decide, struct ur_item *item)
{
	item->step = UR_STEP_DONE;
	close_open(decide, item);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->outcome != UR_OUTCOME_VANISHED) {
			ur_book_file(decide, item, file);
		}
		if (file->now_sent || file->state == UR_SETTLED) {
			decide->durable = true;
		}
	}
	ur_items_add(&decide->after_commit, item);
}

void ur_decide_go(struct ur_decide *decide, struct ur_item *item, enum ur_item_step step)
{
	item->step = step;
	item->since_ns = ur_clock_steady_ns();
	switch (step) {
	case UR_STEP_ASK:
		if (stopping(decide)) {
			finish(decide, item);
		} else {
			ur_items_add(&decide->to_ask, item);
		}
		return;
	case UR_STEP_SEND:
		ur_deliver_next(decide, item);
		return;
	case UR_STEP_LINK:
	case UR_STEP_AMEND:
	case UR_STEP_CONFIRM:
		ur_items_add(&decide->to_call, item);
		return;
	case UR_STEP_AGAIN:
		ur_items_add(&decide->to_again, item);
		return;
	case UR_STEP_DONE:
		finish(decide, item);
		return;
	case UR_STEP_NEW:
	case UR_STEP_SAME:
	case UR_STEP_REST:
	case UR_STEP_LARGE:
	case UR_STEP_PARKED:
	case UR_STEP_SETTLE:
		break;
	}
	assert(!"no item goes to this step by itself");
}

void ur_decide_rest(
	struct ur_decide *decide, struct ur_item *item, enum ur_item_step step, int64_t pause_ms)
{
	item->step = UR_STEP_REST;
	item->after_rest = step;
	item->due_ns = ur_clock_steady_ns() + pause_ms * UR_MS_NS;
	ur_items_add(&decide->resting, item);
}

int64_t ur_decide_pause(struct ur_decide *decide, int tries, int64_t asked_ms)
{
	decide->seed = decide->seed * 6364136223846793005u + 1442695040888963407u;
	int64_t base = (int64_t)PAUSE_BASE_MS << (tries < 8 ? tries : 8);
	base = base > PAUSE_MAX_MS ? PAUSE_MAX_MS : base;
	const int64_t pause = base / 2 + (int64_t)((decide->seed >> 33) % (uint64_t)(base / 2 + 1));
	return asked_ms > pause ? asked_ms : pause;
}

bool ur_decide_is_sent_away(struct ur_decide *decide, int status, int64_t asked_ms)
{
	struct ur_err err = {0};
	char when[UR_CLOCK_TEXT];
	if (asked_ms <= decide->run->options->server_wait_ms) {
		return false;
	}
	ur_clock_local(ur_clock_wall_ns() + asked_ms * UR_MS_NS, when);
	(void)ur_err_say(&err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server, or what stands before it, asks to be left alone until %s (HTTP %d, "
		"Retry-After), which is longer than --server-wait; run again then, nothing is lost",
		when, status);
	ur_run_fail(decide->run, -EHOSTUNREACH, &err);
	return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

void ur_decide_answered(struct ur_request *request)
{
	struct ur_decide *decide = request->context;
	const int r = ur_queue_push(decide->wiring.answers, request);
	assert(r == 0); // one request an item, and a few of our own
	ur_bell_ring(decide->wiring.bell);
}

void ur_decide_submit(struct ur_decide *decide, struct ur_request *request)
{
	request->context = decide;
	request->done = ur_decide_answered;
	ur_http_submit(decide->http, request);
}

struct ur_request *ur_decide_call(struct ur_item *item)
{
	if (item->call == NULL) {
		item->call = ur_arena_alloc(&item->arena, sizeof *item->call);
		if (item->call == NULL) {
			return NULL;
		}
		*item->call = (struct ur_request){0};
	}
	struct ur_text answer = item->call->answer;
	ur_text_clear(&answer);
	*item->call = (struct ur_request){.owner = item, .answer = answer};
	return item->call;
}

bool ur_decide_is_line(const struct ur_request *request)
{
	return request->result < 0 || request->status == 502 || request->status == 503 ||
	       request->status == 504;
}

/* ---- the server is away ---------------------------------------------------------------------- */

void ur_decide_doubt(struct ur_decide *decide)
{
	if (!decide->away) {
		const int64_t now = ur_clock_steady_ns();
		decide->away = true;
		decide->away_told = false;
		decide->away_since_ns = now;
		decide->away_next_ns = now;
		decide->away_pause_ms = AWAY_FIRST_MS;
	}
}

/** /users/me and not ping: a server that hangs on its database still answers pings. */
static void ask_if_back(struct ur_decide *decide)
{
	struct ur_text answer = decide->away_call.answer;
	decide->away_call = (struct ur_request){
		.method = "GET",
		.path = "/api/users/me",
		.answer_wait_ms = AWAY_ANSWER_MS,
		.owner = decide,
		.answer = answer,
	};
	decide->away_asking = true;
	ur_decide_submit(decide, &decide->away_call);
}

static void give_up_on_server(struct ur_decide *decide)
{
	struct ur_err err = {0};
	const struct ur_request *call = &decide->away_call;
	char message[UR_MESSAGE_MAX];
	ur_immich_message(call->status, ur_text_get(&call->answer), call->html, message);
	(void)ur_err_say(&err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server has been away for %lld s: %s; run again when it is back, nothing is lost",
		(long long)(decide->run->options->server_wait_ms / 1000),
		call->result < 0 ? call->err.text : message);
	ur_run_fail(decide->run, -EHOSTUNREACH, &err);
}

static void away_answered(struct ur_decide *decide)
{
	const struct ur_request *call = &decide->away_call;
	const int64_t now = ur_clock_steady_ns();
	decide->away_asking = false;
	if (call->result == 0 && call->status == 200) {
		if (decide->away_told) {
			ur_run_warn(decide->run, "the server is back");
		}
		decide->away = false;
		return;
	}
	if (call->result == 0 && (call->status == 401 || call->status == 403) &&
		ur_proof_is_own(call)) {
		struct ur_err err = {0};
		(void)ur_err_say(&err, -EACCES, UR_FAULT_SETUP,
			"the server does not accept the key any more (HTTP %d)", call->status);
		ur_run_fail(decide->run, -EACCES, &err);
		return;
	}
	if (!decide->away_told) {
		decide->away_told = true;
		ur_run_warn(decide->run, "the server is away; waiting for it for up to %lld s",
			(long long)(decide->run->options->server_wait_ms / 1000));
	}
	if (now - decide->away_since_ns > decide->run->options->server_wait_ms * UR_MS_NS) {
		give_up_on_server(decide);
	}
	decide->away_next_ns = now + decide->away_pause_ms * UR_MS_NS;
	decide->away_pause_ms =
		decide->away_pause_ms * 2 > AWAY_MAX_MS ? AWAY_MAX_MS : decide->away_pause_ms * 2;
}

/* ---- what comes in --------------------------------------------------------------------------- */

static void take_probed(struct ur_decide *decide, struct ur_item *item)
{
	decide->live++;
	ur_judge_item(decide, item);
	ur_decide_go(decide, item, UR_STEP_SEND); // which asks first, if there is anything to ask
}

static void take_answer(struct ur_decide *decide, struct ur_request *request)
{
	if (request == &decide->away_call) {
		away_answered(decide);
		return;
	}
	if (request == &decide->quota_call) {
		ur_deliver_quota_answered(decide);
		return;
	}
	if (ur_ask_is_question(decide, request)) {
		ur_ask_answered(decide, request);
		return;
	}
	struct ur_item *item = request->owner;
	assert(item->call == request);
	switch (item->step) {
	case UR_STEP_LINK:
		ur_link_answered(decide, item);
		return;
	case UR_STEP_AMEND:
		ur_amend_answered(decide, item);
		return;
	case UR_STEP_CONFIRM:
	case UR_STEP_AGAIN:
		ur_confirm_answered(decide, item);
		return;
	case UR_STEP_NEW:
	case UR_STEP_ASK:
	case UR_STEP_SAME:
	case UR_STEP_SEND:
	case UR_STEP_LARGE:
	case UR_STEP_REST:
	case UR_STEP_PARKED:
	case UR_STEP_SETTLE:
	case UR_STEP_DONE:
		break;
	}
	assert(!"an answer arrived that nobody was waiting for");
}

static bool take_in(struct ur_decide *decide)
{
	bool any = false;
	void *got = NULL;
	while (ur_queue_pop(decide->wiring.from_upload, &got) == 0) {
		ur_deliver_result(decide, got);
		any = true;
	}
	while (ur_queue_pop(decide->wiring.from_chunks, &got) == 0) {
		ur_large_result(decide, got);
		any = true;
	}
	while (ur_queue_pop(decide->wiring.answers, &got) == 0) {
		take_answer(decide, got);
		any = true;
	}
	while (ur_queue_pop(decide->wiring.from_settle, &got) == 0) {
		ur_confirm_settled(decide, got);
		any = true;
	}
	for (size_t k = 0; k < decide->wiring.probe_count; k++) {
		struct ur_queue *queue = decide->wiring.from_probe[k];
		int r = queue == NULL ? -EAGAIN : 0;
		while (r == 0 && (r = ur_queue_pop(queue, &got)) == 0) {
			take_probed(decide, got);
			any = true;
		}
		if (r == -EPIPE) {
			decide->wiring.from_probe[k] = NULL;
			decide->inputs_open--;
			any = true;
		}
	}
	return any;
}

/* ---- what goes on ---------------------------------------------------------------------------- */

static void wake_rested(struct ur_decide *decide)
{
	const int64_t now = ur_clock_steady_ns();
	const bool stop = stopping(decide);
	for (size_t n = decide->resting.count; n > 0; n--) {
		struct ur_item *item = ur_items_take(&decide->resting);
		if (stop || now >= item->due_ns) {
			ur_decide_go(decide, item, item->after_rest);
		} else {
			ur_items_add(&decide->resting, item);
		}
	}
}

/** What would need a request ends here when the run is being stopped. */
static void call_item(struct ur_decide *decide, struct ur_item *item)
{
	if (stopping(decide) && item->step != UR_STEP_CONFIRM) {
		finish(decide, item);
		return;
	}
	switch (item->step) {
	case UR_STEP_LINK:
		ur_link_next(decide, item);
		return;
	case UR_STEP_AMEND:
		ur_amend_next(decide, item);
		return;
	default:
		assert(item->step == UR_STEP_CONFIRM);
		if (stopping(decide)) {
			finish(decide, item);
		} else {
			ur_confirm_next(decide, item);
		}
		return;
	}
}

/** Items whose step needs no request pass through here at once, the others as there is room. */
static void make_calls(struct ur_decide *decide)
{
	for (size_t n = decide->to_call.count; n > 0; n--) {
		if (!stopping(decide) && (decide->away || decide->in_calls >= CALLS_MAX)) {
			return;
		}
		call_item(decide, ur_items_take(&decide->to_call));
	}
}

/** What stands aside is not kept waiting: not by a stop, nor by a server that is away. */
static void ask_again(struct ur_decide *decide)
{
	for (size_t n = decide->to_again.count; n > 0; n--) {
		ur_confirm_again(decide, ur_items_take(&decide->to_again));
	}
}

static void finish_asking(struct ur_decide *decide)
{
	struct ur_item *item = NULL;
	while ((item = ur_items_take(&decide->to_ask)) != NULL) {
		finish(decide, item);
	}
}

static void turn(struct ur_decide *decide)
{
	wake_rested(decide);
	if (stopping(decide)) {
		finish_asking(decide);
	} else if (decide->away && !decide->away_asking &&
		   ur_clock_steady_ns() >= decide->away_next_ns) {
		ask_if_back(decide);
	}
	ur_ask_turn(decide);
	ur_confirm_turn(decide);
	ask_again(decide);
	for (int step = 0; step < 4 && decide->to_call.count > 0; step++) {
		make_calls(
			decide); // link, amend, confirm: a step without requests leads to the next
	}
	ur_deliver_turn(decide);
	ur_large_turn(decide);
	ur_large_note(decide);
}

/* ---- commit, then let go --------------------------------------------------------------------- */

static void report_file(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file)
{
	const bool odd = file->note != NULL && file->judgement == UR_JUDGE_WARN;
	const char *reason = file->reason;
	if (odd && (reason == NULL || reason[0] == '\0')) {
		reason = file->note;
	}
	ur_run_report(decide->run, item->dir, file->name, file->identity.size, file->state,
		file->outcome, reason, file->asset, odd || file->warn,
		file->tell && file->told && decide->run->options->respect_next);
}

static void release(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		report_file(decide, item, &item->files[i]);
	}
	if (item->call != NULL) {
		ur_request_done(item->call);
		item->call = NULL;
	}
	ur_run_leave(decide->run, item->dir);
	item->dir = NULL;
	decide->live--;
	const int r = ur_queue_push(decide->wiring.free_items, item);
	assert(r == 0); // the queue has room for the whole pool
	ur_bell_ring(decide->wiring.scan_bell);
}

/** The ledger cannot be written: nothing that depended on it happens. */
static void hold_back(struct ur_decide *decide, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->outcome != UR_OUTCOME_VANISHED) {
			ur_judge_close(file, file->state, UR_OUTCOME_WAITING,
				"the ledger could not be written: looked at again in the next run");
		}
		ur_ask_release(decide, file);
	}
	if (item->step == UR_STEP_SEND) {
		decide->in_upload--;
	} else if (item->step == UR_STEP_SETTLE) {
		decide->in_settle--;
	}
	item->step = UR_STEP_DONE;
	release(decide, item);
}

static void let_go(struct ur_decide *decide, struct ur_item *item)
{
	int r = 0;
	if (decide->broken && item->step == UR_STEP_SETTLE && item->stands_aside) {
		item->settle_do = UR_SETTLE_BACK;
	} else if (decide->broken &&
		   (item->step != UR_STEP_LARGE || ur_large_hold_back(decide, item))) {
		hold_back(decide, item);
		return;
	}
	switch (item->step) {
	case UR_STEP_LARGE:
		r = ur_queue_push(decide->wiring.to_chunks, item);
		assert(r == 0);
		ur_http_wake(decide->http);
		return;
	case UR_STEP_SEND:
		r = ur_queue_push(decide->wiring.to_upload, item);
		assert(r == 0);
		decide->wake_http = true;
		return;
	case UR_STEP_SETTLE:
		r = ur_queue_push(decide->wiring.to_settle, item);
		assert(r == 0);
		ur_bell_ring(decide->wiring.settle_bell);
		return;
	default:
		assert(item->step == UR_STEP_DONE);
		release(decide, item);
		return;
	}
}

static void commit(struct ur_decide *decide)
{
	const int64_t now = ur_clock_steady_ns();
	const bool lazy_due = decide->dirty_since_ns != 0 &&
			      now - decide->dirty_since_ns > LAZY_COMMIT_MS * UR_MS_NS;
	if (!decide->broken && (decide->durable || lazy_due)) {
		struct ur_err err = {0};
		const int r = ur_ledger_commit(decide->ledger, &err);
		if (r < 0) {
			ur_book_fail(decide, r, &err);
		}
		decide->dirty_since_ns = 0;
	}
	decide->durable = false;
	/* Letting go may finish others that waited for the same bytes: those are for the next turn. */
	for (size_t n = decide->after_commit.count; n > 0; n--) {
		let_go(decide, ur_items_take(&decide->after_commit));
	}
	if (decide->wake_http) {
		decide->wake_http = false;
		ur_http_wake(decide->http);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_over(const struct ur_decide *decide)
{
	return decide->inputs_open == 0 && decide->live == 0 && !decide->away_asking &&
	       !decide->quota_asking && decide->question == NULL;
}

/** After a stop, what is on its way to the server may still arrive; then it is cut off. */
static void cut_off(struct ur_decide *decide, int64_t *stop_ns)
{
	const int64_t now = ur_clock_steady_ns();
	if (*stop_ns == 0) {
		*stop_ns = now;
		ur_http_wake(decide->http); // upload hands back what it has not begun
	} else if (now - *stop_ns > STOP_GRACE_MS * UR_MS_NS) {
		ur_http_cancel(decide->http);
	}
}

/** Upload has more to go on with than results of its own that wait here. */
static bool upload_is_fed(const struct ur_decide *decide)
{
	const unsigned limit = decide->wiring.upload_limit(decide->wiring.upload_context);
	const unsigned enough = 3 * limit > FED_LEAST ? 3 * limit : FED_LEAST;
	return decide->in_upload > enough + ur_queue_count(decide->wiring.from_upload);
}

static bool has_other_work(const struct ur_decide *decide)
{
	return decide->answered != NULL || decide->live < TURN_LIVE || stopping(decide);
}

/**
 * Where neither upload nor a question stands still for it, a turn waits for company: many results
 * share one commit, one look at the queues, one waking of the neighbours.  While upload is busy with
 * what it has, they are worth waiting for longer than for what has just been read.
 */
static void gather(struct ur_decide *decide)
{
	const bool sending = decide->in_upload > 0 || decide->to_send.first != NULL;
	const int turns = sending && decide->in_calls + decide->in_settle == 0 ? TURNS_FED : 1;
	for (int i = 0; i < turns && !has_other_work(decide) && (!sending || upload_is_fed(decide));
		i++) {
		const int64_t left_ns = decide->turn_ns + TURN_NS - ur_clock_steady_ns();
		const struct timespec pause = {0, left_ns};
		if (left_ns > 0) {
			(void)nanosleep(&pause, NULL);
		}
		decide->turn_ns = ur_clock_steady_ns();
	}
	decide->turn_ns = ur_clock_steady_ns();
}

void ur_decide_run(struct ur_decide *decide)
{
	int64_t stop_ns = 0;
	for (;;) {
		gather(decide);
		bool any = take_in(decide);
		turn(decide);
		commit(decide);
		if (is_over(decide)) {
			break;
		}
		if (stopping(decide)) {
			cut_off(decide, &stop_ns);
		}
		ur_bell_arm(decide->wiring.bell);
		any = take_in(decide) || any;
		if (!any && decide->after_commit.count == 0 && decide->answered == NULL) {
			const bool soon = decide->to_ask.count + decide->resting.count > 0;
			ur_bell_wait(decide->wiring.bell, soon ? 20 : IDLE_MS);
		}
	}
	struct ur_err err = {0};
	int r = decide->broken ? 0 : ur_ledger_commit(decide->ledger, &err);
	if (r < 0) {
		ur_book_fail(decide, r, &err);
	}
	r = ur_confirm_result(decide, &err);
	if (r < 0) {
		ur_run_fail(decide->run, r, &err);
	}
}

int ur_decide_new(struct ur_run *run, const struct ur_decide_wiring *wiring,
	struct ur_ledger *ledger, struct ur_http *http, struct ur_decide **ret, struct ur_err *err)
{
	struct ur_decide *decide = calloc(1, sizeof *decide);
	if (decide == NULL || (run->options->plan && ur_filter_new(&decide->planned) < 0)) {
		free(decide);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot start deciding");
	}
	decide->run = run;
	decide->wiring = *wiring;
	decide->ledger = ledger;
	decide->http = http;
	decide->inputs_open = wiring->probe_count;
	decide->quota_left = -1;
	decide->chunk_ceiling = atomic_load(&run->chunk_ceiling);
	assert(wiring->large_slots <= UR_LARGE_MAX);
	decide->seed = (uint64_t)ur_clock_wall_ns();
	decide->dirty_since_ns = ur_clock_steady_ns(); // the run's own row
	ur_items_init(&decide->to_ask);
	ur_items_init(&decide->to_send);
	ur_items_init(&decide->to_chunk);
	ur_items_init(&decide->to_call);
	ur_items_init(&decide->to_again);
	ur_items_init(&decide->parked);
	ur_items_init(&decide->resting);
	ur_items_init(&decide->after_commit);
	*ret = decide;
	return 0;
}

struct ur_decide *ur_decide_free(struct ur_decide *decide)
{
	if (decide != NULL) {
		ur_ask_free(decide);
		(void)ur_filter_free(decide->planned);
		ur_request_done(&decide->away_call);
		ur_request_done(&decide->quota_call);
		free(decide);
	}
	return NULL;
}
