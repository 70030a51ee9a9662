/* call - requests: an item has one at a time, in its arena. */
#include "engine/import/coordinator/internal.h"

#include <assert.h>

#define ANSWER_MS 60000

static void answered(struct ur_request *request)
{
	struct ur_coordinator *c = request->context;
	const int r = ur_queue_push(c->wiring.answers, request);
	assert(r == 0); // one request an item, and a few of our own
	ur_bell_ring(c->wiring.bell);
}

void ur_call_submit(struct ur_coordinator *c, struct ur_request *request)
{
	assert(request->method != NULL);
	assert(request->path[0] == '/');
	assert(request->owner != NULL);
	assert(request->answer_wait_ms > 0); // nothing is waited for without an end
	request->context = c;
	request->done = answered;
	ur_http_submit(c->http, request);
}

struct ur_request *ur_call_begin(struct ur_item *item)
{
	if (item->call == NULL) {
		item->call = ur_arena_alloc(&item->arena, sizeof *item->call);
		if (item->call == NULL) {
			return NULL;
		}
		*item->call = (struct ur_request){0};
	}
	assert(item->call->owner == NULL || item->call->owner == item);
	struct ur_text answer = item->call->answer;
	ur_text_clear(&answer);
	*item->call = (struct ur_request){.owner = item, .answer = answer};
	return item->call;
}

void ur_call_item(struct ur_coordinator *c, struct ur_request *call)
{
	const struct ur_item *item = call->owner;
	assert(item->call == call);
	c->in_calls++;
	assert(c->in_calls <= c->live); // one an item
	ur_call_submit(c, call);
}

void ur_call_returned(struct ur_coordinator *c)
{
	assert(c->in_calls > 0);
	c->in_calls--;
}

bool ur_call_get_asset(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file)
{
	struct ur_request *call = ur_call_begin(item);
	const char *path = ur_arena_format(&item->arena, "/api/assets/%s", file->asset);
	assert(file->item == item);
	assert(file->asset[0] != '\0');
	if (call == NULL || path == NULL) {
		return false;
	}
	call->method = "GET";
	call->path = path;
	call->answer_wait_ms = ur_run_answer_ms(c->run, ANSWER_MS);
	ur_call_item(c, call);
	return true;
}

bool ur_call_put(struct ur_coordinator *c, struct ur_item *item, const char *path,
	const struct ur_text *body)
{
	struct ur_request *call = ur_call_begin(item);
	char *copy = call == NULL || !ur_text_ok(body)
			     ? NULL
			     : ur_arena_copy(&item->arena, body->bytes, body->size);
	if (copy == NULL || path == NULL) {
		return false;
	}
	assert(body->size > 0);
	call->method = "PUT";
	call->path = path;
	call->content_type = "application/json";
	call->pieces[0] = (struct ur_piece){.bytes = copy, .size = body->size};
	call->piece_count = 1;
	call->answer_wait_ms = ur_run_answer_ms(c->run, ANSWER_MS);
	ur_call_item(c, call);
	return true;
}

const char *ur_call_why(struct ur_item *item)
{
	const struct ur_request *call = item->call;
	char message[UR_MESSAGE_MAX];
	assert(call != NULL);
	assert(call->result <= 0);
	ur_immich_message(call->status, ur_text_get(&call->answer), call->html, message);
	const char *why =
		ur_arena_string(&item->arena, call->result < 0 ? call->err.text : message);
	return why == NULL ? "there is not enough memory to say why" : why;
}
