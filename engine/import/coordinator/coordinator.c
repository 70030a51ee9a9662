/*
 * coordinator - the loop: take in, dispatch, write, commit, let go.
 *
 *     take_in ─▶ each list's step ─▶ commit ─▶ after_commit: to upload, to settle, done
 *
 * Nothing that has a side effect leaves before the commit of the turn that decided it.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_MS 200
#define LAZY_COMMIT_MS 500       // facts below `sending` may be lost for so long
#define CALLS_MAX 32u            // link, amend and confirm requests at once
#define TURN_NS INT64_C(4000000) // a turn that nobody waits for begins so long after the last one
#define TURNS_FED 8              // … while upload has enough
#define TURN_LIVE 64             // with fewer items there is no company to wait for
#define FED_LEAST 16u            // files with which upload does not stand still for a turn
#define STOP_GRACE_MS 10000      // how long sends under way may finish after a stop

/* ---- what comes in --------------------------------------------------------------------------- */

static void take_probed(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->step == UR_STEP_NEW);
	assert(item->call == NULL);
	c->live++;
	ur_judge_item(c, item);
	ur_step_go(c, item, UR_STEP_SEND); // which asks first, if there is anything to ask
}

static void take_answer(struct ur_coordinator *c, struct ur_request *request)
{
	if (request == &c->outage.call) {
		ur_outage_answered(c);
		return;
	}
	if (request == &c->quota.call) {
		ur_quota_answered(c);
		return;
	}
	if (ur_ask_is_question(c, request)) {
		ur_ask_answered(c, request);
		return;
	}
	struct ur_item *item = request->owner;
	assert(item->call == request);
	switch (item->step) {
	case UR_STEP_LINK:
		ur_link_answered(c, item);
		return;
	case UR_STEP_AMEND:
		ur_amend_answered(c, item);
		return;
	case UR_STEP_CONFIRM:
	case UR_STEP_AGAIN:
		ur_confirm_answered(c, item);
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

static bool take_in(struct ur_coordinator *c)
{
	bool any = false;
	void *got = NULL;
	while (ur_queue_pop(c->wiring.from_upload, &got) == 0) {
		ur_deliver_result(c, got);
		any = true;
	}
	while (ur_queue_pop(c->wiring.from_chunks, &got) == 0) {
		if (ur_large_result(c, got)) {
			ur_deliver_result(c, got);
		}
		any = true;
	}
	while (ur_queue_pop(c->wiring.answers, &got) == 0) {
		take_answer(c, got);
		any = true;
	}
	while (ur_queue_pop(c->wiring.from_settle, &got) == 0) {
		ur_handover_settled(c, got);
		any = true;
	}
	for (size_t k = 0; k < c->wiring.probe_count; k++) {
		struct ur_queue *queue = c->wiring.from_probe[k];
		int r = queue == NULL ? -EAGAIN : 0;
		while (r == 0 && (r = ur_queue_pop(queue, &got)) == 0) {
			take_probed(c, got);
			any = true;
		}
		if (r == -EPIPE) {
			assert(c->inputs_open > 0);
			c->wiring.from_probe[k] = NULL;
			c->inputs_open--;
			any = true;
		}
	}
	return any;
}

/* ---- what goes on ---------------------------------------------------------------------------- */

/** What may still arrive is as good as being sent; a twin that waited for its asset knows none. */
static enum ur_state open_state(const struct ur_file *file)
{
	const bool lost = file->put.state == UR_PUT_LOST && file->state != UR_DUPLICATE &&
			  ur_clock_steady_ns() < file->lost_until_ns;
	const bool none = file->state == UR_DUPLICATE && file->asset[0] == '\0';
	return lost ? UR_SENDING : none ? UR_PROBED : file->state;
}

/** After a stop: what is still open waits for the next run. */
static void close_open(struct ur_coordinator *c, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!ur_file_is_open(file)) {
			continue;
		}
		assert(file->staged[0] == '\0');
		const bool there = file->decided && file->there;
		ur_file_close(file, open_state(file),
			there ? (file->state == UR_DUPLICATE ? UR_OUTCOME_DUPLICATE
							     : UR_OUTCOME_PRESENT)
			      : UR_OUTCOME_WAITING,
			there ? "the server has it" : "the run was stopped before it");
		ur_under_way_release(c, file);
	}
}

/**
 * It did not arrive, or could not be taken away as asked.  A timer names that once, and counts it while
 * it stays so, for the same reason.
 */
static void see_trouble(struct ur_coordinator *c, struct ur_file *file)
{
	const struct ur_record *row = ur_file_row_alike(file);
	const bool doubted = file->state == UR_SUSPECT;
	file->tries = doubted ? file->failed_before : file->tries; // which a doubt does not end
	/* Whoever runs it by hand may empty the card after a 0; a timer's next run knows more. */
	file->trouble = ur_file_is_in_trouble(file) || (doubted && file->failed_before > 0) ||
			((doubted || file->state == UR_SENDING) && !c->run->options->respect_next);
	if (!file->trouble || !c->run->options->respect_next) {
		return;
	}
	file->tell = true;
	file->told = row != NULL && ur_trouble_was_known(&c->run->troubles, row) &&
		     row->state == file->state && file->reason != NULL &&
		     strcmp(row->reason, file->reason) == 0;
}

static void finish(struct ur_coordinator *c, struct ur_item *item)
{
	assert(!item->stands_aside);
	assert(!item->counts_aside);
	item->step = UR_STEP_DONE;
	close_open(c, item);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		assert(!ur_file_is_open(file));
		if (file->outcome != UR_OUTCOME_VANISHED) {
			see_trouble(c, file);
			ur_book_file(c, item, file);
		}
		if (file->now_sent || file->state == UR_SETTLED) {
			c->durable = true;
		}
	}
	ur_items_add(&c->after_commit, item);
}

static void finish_all(struct ur_coordinator *c, struct ur_items *items)
{
	struct ur_item *item = NULL;
	while ((item = ur_items_take(items)) != NULL) {
		finish(c, item);
	}
}

static void wake_rested(struct ur_coordinator *c)
{
	const int64_t now = ur_clock_steady_ns();
	const bool stop = ur_step_is_stopping(c);
	for (size_t n = c->resting.count; n > 0; n--) {
		struct ur_item *item = ur_items_take(&c->resting);
		assert(item->step == UR_STEP_REST);
		if (stop || now >= item->due_ns) {
			ur_step_go(c, item, item->after_rest);
			c->steps--; // it stands where it stood
		} else {
			ur_items_add(&c->resting, item);
		}
	}
}

/** What would need a request ends here when the run is being stopped. */
static void call_item(struct ur_coordinator *c, struct ur_item *item)
{
	if (ur_step_is_stopping(c) && item->step != UR_STEP_CONFIRM) {
		finish(c, item);
		return;
	}
	switch (item->step) {
	case UR_STEP_LINK:
		ur_link_next(c, item);
		return;
	case UR_STEP_AMEND:
		ur_amend_next(c, item);
		return;
	default:
		assert(item->step == UR_STEP_CONFIRM);
		if (ur_step_is_stopping(c)) {
			finish(c, item);
		} else {
			ur_handover_next(c, item);
		}
		return;
	}
}

/** Items whose step needs no request pass through here at once, the others as there is room. */
static void make_calls(struct ur_coordinator *c)
{
	for (size_t n = c->to_call.count; n > 0; n--) {
		if (!ur_step_is_stopping(c) && (c->outage.on || c->in_calls >= CALLS_MAX)) {
			return;
		}
		call_item(c, ur_items_take(&c->to_call));
	}
}

/** What stands aside is not kept waiting: not by a stop, nor by a server that is away. */
static void ask_again(struct ur_coordinator *c)
{
	for (size_t n = c->to_again.count; n > 0; n--) {
		ur_handover_again(c, ur_items_take(&c->to_again));
	}
}

/** What is to be sent of an item next, if anything: a step without requests leads to the next. */
static void send_next(struct ur_coordinator *c)
{
	struct ur_item *item = NULL;
	while ((item = ur_items_take(&c->to_next)) != NULL) {
		ur_deliver_next(c, item);
	}
}

static void take_steps(struct ur_coordinator *c)
{
	wake_rested(c);
	send_next(c);
	if (ur_step_is_stopping(c)) {
		finish_all(c, &c->to_ask);
	} else {
		ur_outage_turn(c);
	}
	ur_ask_turn(c);
	ur_lack_turn(c);
	ur_way_turn(c);
	ask_again(c);
	send_next(c);
	for (int step = 0; step < 4 && c->to_call.count > 0; step++) {
		make_calls(c); // link, amend, confirm: a step without requests leads to the next
	}
	ur_deliver_turn(c);
	ur_large_turn(c);
	send_next(c);
	ur_large_note(c);
	finish_all(c, &c->to_finish);
}

/* ---- commit, then let go --------------------------------------------------------------------- */

static void report_file(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file)
{
	const bool odd = file->note != NULL && file->judgement == UR_JUDGE_WARN;
	const char *reason = file->reason;
	assert(!ur_file_is_open(file));
	if (odd && (reason == NULL || reason[0] == '\0')) {
		reason = file->note;
	}
	ur_run_report(c->run, item->dir, file->name, file->identity.size, file->state,
		file->outcome, reason, file->asset, odd || file->warn,
		file->said || (file->tell && file->told && c->run->options->respect_next));
}

static void release(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->step == UR_STEP_DONE);
	assert(c->live > 0);
	for (int i = 0; i < item->count; i++) {
		const struct ur_file *file = &item->files[i];
		if (file->trouble && file->outcome != UR_OUTCOME_VANISHED) {
			(void)ur_run_see_trouble(c->run, ur_file_row_alike(file));
		}
		report_file(c, item, file);
	}
	if (item->call != NULL) {
		ur_request_done(item->call);
		item->call = NULL;
	}
	ur_run_leave(c->run, item->dir);
	item->dir = NULL;
	c->live--;
	const int r = ur_queue_push(c->wiring.free_items, item);
	assert(r == 0); // the queue has room for the whole pool
	ur_bell_ring(c->wiring.scan_bell);
}

/** The ledger cannot be written: nothing that depended on it happens. */
static void hold_back(struct ur_coordinator *c, struct ur_item *item)
{
	assert(c->broken);
	assert(!item->stands_aside);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->outcome != UR_OUTCOME_VANISHED) {
			ur_file_close(file, file->state, UR_OUTCOME_WAITING,
				"the ledger could not be written: looked at again in the next run");
		}
		ur_under_way_release(c, file);
	}
	if (item->step == UR_STEP_SEND) {
		assert(c->in_upload > 0);
		c->in_upload--;
	} else if (item->step == UR_STEP_SETTLE) {
		assert(c->in_settle > 0);
		c->in_settle--;
	}
	item->step = UR_STEP_DONE;
	release(c, item);
}

static void let_go(struct ur_coordinator *c, struct ur_item *item)
{
	int r = 0;
	if (c->broken && item->step == UR_STEP_SETTLE && item->stands_aside) {
		item->settle_do = UR_SETTLE_BACK;
	} else if (c->broken && (item->step != UR_STEP_LARGE || ur_large_hold_back(c, item))) {
		hold_back(c, item);
		return;
	}
	switch (item->step) {
	case UR_STEP_LARGE:
		r = ur_queue_push(c->wiring.to_chunks, item);
		assert(r == 0);
		ur_http_wake(c->http);
		return;
	case UR_STEP_SEND:
		r = ur_queue_push(c->wiring.to_upload, item);
		assert(r == 0);
		c->wake_http = true;
		return;
	case UR_STEP_SETTLE:
		r = ur_queue_push(c->wiring.to_settle, item);
		assert(r == 0);
		ur_bell_ring(c->wiring.settle_bell);
		return;
	default:
		assert(item->step == UR_STEP_DONE);
		release(c, item);
		return;
	}
}

static void commit(struct ur_coordinator *c)
{
	const int64_t now = ur_clock_steady_ns();
	const bool lazy_due =
		c->dirty_since_ns != 0 && now - c->dirty_since_ns > LAZY_COMMIT_MS * UR_MS_NS;
	if (!c->broken && (c->durable || lazy_due)) {
		struct ur_err err = {0};
		const int r = ur_ledger_commit(c->ledger, &err);
		if (r < 0) {
			ur_book_fail(c, r, &err);
		} else {
			ur_book_committed(c);
		}
		c->dirty_since_ns = 0;
	}
	c->durable = false;
	/* Letting go may finish others that waited for the same bytes: those are for the next turn. */
	for (size_t n = c->after_commit.count; n > 0; n--) {
		let_go(c, ur_items_take(&c->after_commit));
	}
	if (c->wake_http) {
		c->wake_http = false;
		ur_http_wake(c->http);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_over(const struct ur_coordinator *c)
{
	return c->inputs_open == 0 && c->live == 0 && !c->outage.asking && !c->quota.asking &&
	       c->question == NULL;
}

/** After a stop, what is on its way to the server may still arrive; then it is cut off. */
static void cut_off(struct ur_coordinator *c)
{
	const int64_t now = ur_clock_steady_ns();
	assert(ur_step_is_stopping(c));
	if (c->stop_ns == 0) {
		c->stop_ns = now;
		ur_http_wake(c->http); // upload hands back what it has not begun
	} else if (now - c->stop_ns > STOP_GRACE_MS * UR_MS_NS) {
		ur_http_cancel(c->http);
	}
}

/** Upload has more to go on with than results of its own that wait here. */
static bool upload_is_fed(const struct ur_coordinator *c)
{
	const unsigned limit = c->wiring.upload_limit(c->wiring.upload_context);
	assert(c->in_large <= c->in_upload);
	const unsigned enough = 3 * limit > FED_LEAST ? 3 * limit : FED_LEAST;
	return c->in_upload > enough + ur_queue_count(c->wiring.from_upload);
}

static bool has_other_work(const struct ur_coordinator *c)
{
	return c->answered != NULL || c->live < TURN_LIVE || ur_step_is_stopping(c);
}

/**
 * Where neither upload nor a question stands still for it, a turn waits for company: many results
 * share one commit, one look at the queues, one waking of the neighbours.  While upload is busy with
 * what it has, they are worth waiting for longer than for what has just been read.
 */
static void gather(struct ur_coordinator *c)
{
	const bool sending = c->in_upload > 0 || c->to_send.first != NULL;
	const int turns = sending && c->in_calls + c->in_settle == 0 ? TURNS_FED : 1;
	for (int i = 0; i < turns && !has_other_work(c) && (!sending || upload_is_fed(c)); i++) {
		const int64_t left_ns = c->turn_ns + TURN_NS - ur_clock_steady_ns();
		const struct timespec pause = {0, left_ns};
		if (left_ns > 0) {
			(void)nanosleep(&pause, NULL);
		}
		c->turn_ns = ur_clock_steady_ns();
	}
	c->turn_ns = ur_clock_steady_ns();
}

bool ur_coordinator_turn(struct ur_coordinator *c, bool *ret_moved)
{
	*ret_moved = take_in(c);
	take_steps(c);
	commit(c);
	assert(!c->durable); // what had to be has been, or the run is broken
	if (is_over(c)) {
		assert(c->in_upload == 0);
		assert(c->in_settle == 0);
		assert(c->in_calls == 0);
		return false;
	}
	if (ur_step_is_stopping(c)) {
		cut_off(c);
	}
	return true;
}

static void end(struct ur_coordinator *c)
{
	struct ur_err err = {0};
	assert(c->live == 0);
	int r = c->broken ? 0 : ur_ledger_commit(c->ledger, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
	r = ur_lack_result(c, &err);
	if (r < 0) {
		ur_run_fail(c->run, r, &err);
	}
}

void ur_coordinator_run(struct ur_coordinator *c)
{
	bool moved = false;
	for (;;) {
		gather(c);
		if (!ur_coordinator_turn(c, &moved)) {
			break;
		}
		ur_standstill_look(c, c->steps, ur_http_bytes_moved(c->http));
		ur_bell_arm(c->wiring.bell);
		moved = take_in(c) || moved;
		if (!moved && c->after_commit.count == 0 && c->answered == NULL) {
			const bool soon = c->to_ask.count + c->resting.count > 0;
			ur_bell_wait(c->wiring.bell, soon ? 20 : IDLE_MS);
		}
	}
	end(c);
}

int ur_coordinator_new(struct ur_run *run, const struct ur_coordinator_wiring *wiring,
	struct ur_ledger *ledger, struct ur_http *http, struct ur_coordinator **ret,
	struct ur_err *err)
{
	struct ur_coordinator *c = calloc(1, sizeof *c);
	if (c == NULL || (run->options->plan && ur_filter_new(&c->planned) < 0)) {
		free(c);
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot start the coordinator");
	}
	c->run = run;
	c->wiring = *wiring;
	c->ledger = ledger;
	c->http = http;
	c->rules = ur_put_importer;
	c->rules.tries[UR_PUT_SEND] = (unsigned)run->options->tries_max;
	c->inputs_open = wiring->probe_count;
	c->quota.left = -1;
	c->chunk_ceiling = atomic_load(&run->chunk_ceiling);
	assert(wiring->large_slots <= UR_LARGE_MAX);
	c->seed = (uint64_t)ur_clock_wall_ns();
	c->dirty_since_ns = ur_clock_steady_ns(); // the run's own row
	struct ur_items *const lists[] = {&c->to_next, &c->to_ask, &c->to_send, &c->to_chunk,
		&c->to_call, &c->to_again, &c->parked, &c->resting, &c->to_finish,
		&c->after_commit};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		ur_items_init(lists[i]);
	}
	*ret = c;
	return 0;
}

struct ur_coordinator *ur_coordinator_free(struct ur_coordinator *c)
{
	if (c != NULL) {
		ur_ask_free(c);
		(void)ur_filter_free(c->planned);
		ur_request_done(&c->outage.call);
		ur_request_done(&c->quota.call);
		free(c);
	}
	return NULL;
}
