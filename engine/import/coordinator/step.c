/*
 * step - where an item stands: a list for each step that the loop takes.
 *
 *     to_next ─▶ to_ask ─▶ to_send, to_chunk ─▶ to_call ─▶ after_commit ─▶ to_finish ─▶ after_commit
 *        └──────────────── resting: the same step, later
 *
 * Nothing is done here: whoever sets a step is done with the item, and the loop goes on from the list.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"

#include <assert.h>

static const struct ur_backoff pauses = {.first_ms = 500, .most_ms = 60000};

void ur_items_init(struct ur_items *items)
{
	*items = (struct ur_items){0};
	items->end = &items->first;
}

void ur_items_add(struct ur_items *items, struct ur_item *item)
{
	assert(items->end != NULL);
	assert(*items->end == NULL);
	assert(items->end != &item->next); // it is not on it already
	item->next = NULL;
	*items->end = item;
	items->end = &item->next;
	items->count++;
}

struct ur_item *ur_items_take(struct ur_items *items)
{
	struct ur_item *item = items->first;
	assert((item == NULL) == (items->count == 0));
	if (item == NULL) {
		return NULL;
	}
	items->first = item->next;
	if (items->first == NULL) {
		items->end = &items->first;
	}
	items->count--;
	item->next = NULL;
	assert((items->first == NULL) == (items->count == 0));
	return item;
}

bool ur_step_is_stopping(const struct ur_coordinator *c)
{
	return atomic_load_explicit(&c->run->stop, memory_order_relaxed);
}

bool ur_step_is_idle(const struct ur_coordinator *c)
{
	const size_t listed = c->to_next.count + c->to_ask.count + c->to_send.count +
			      c->to_chunk.count + c->to_call.count + c->to_again.count +
			      c->resting.count + c->to_finish.count + c->after_commit.count;
	const bool asks = c->question != NULL || c->answered != NULL;
	return listed + c->in_upload + c->in_calls + c->in_settle + c->inputs_open == 0 && !asks;
}

/** NULL: no item goes to this step by itself. */
static struct ur_items *list_of(struct ur_coordinator *c, enum ur_item_step step)
{
	switch (step) {
	case UR_STEP_ASK:
		return &c->to_ask;
	case UR_STEP_SEND:
		return &c->to_next;
	case UR_STEP_LINK:
	case UR_STEP_AMEND:
	case UR_STEP_CONFIRM:
		return &c->to_call;
	case UR_STEP_AGAIN:
		return &c->to_again;
	case UR_STEP_PARKED:
		return &c->parked;
	case UR_STEP_DONE:
		return &c->to_finish;
	case UR_STEP_NEW:
	case UR_STEP_SAME:
	case UR_STEP_REST:
	case UR_STEP_LARGE:
	case UR_STEP_SETTLE:
		break;
	}
	return NULL;
}

void ur_step_go(struct ur_coordinator *c, struct ur_item *item, enum ur_item_step step)
{
	struct ur_items *list = list_of(c, step);
	assert(list != NULL);
	assert(item->count <= UR_ITEM_FILES);
	item->step = step;
	item->since_ns = ur_clock_steady_ns();
	c->steps++;
	ur_items_add(list, item);
}

void ur_step_rest(
	struct ur_coordinator *c, struct ur_item *item, enum ur_item_step step, int64_t pause_ms)
{
	assert(list_of(c, step) != NULL);
	assert(pause_ms >= 0);
	item->step = UR_STEP_REST;
	item->after_rest = step;
	item->due_ns = ur_clock_steady_ns() + pause_ms * UR_MS_NS;
	ur_items_add(&c->resting, item);
}

int64_t ur_step_pause_ms(struct ur_coordinator *c, unsigned failures, int64_t asked_ms)
{
	const int64_t pause_ms = ur_retry_pause_ms(&pauses, failures, asked_ms, &c->seed);
	assert(pause_ms >= asked_ms);
	assert(pause_ms >= 0);
	return pause_ms;
}
