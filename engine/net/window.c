/* window - one question at a time: tell me when more is durable than I know of. */
#include "engine/net/window.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"
#include "engine/net/told.h"
#include "engine/net/tus.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 30000
#define ANSWER_MAX (64u << 10)
#define HALF (UR_WINDOW / 2)
#define MISSES_MAX 100u // answers without news: it does not wait with them, or hears nothing of us
#define AGAIN_MS 250
#define FAILURES_MAX 40u // looks without an answer, until it is gone without them

static void look(struct ur_window *window);

static bool is_full(const struct ur_window *window)
{
	return window->given - window->durable >= UR_WINDOW;
}

static void looked(struct ur_request *request)
{
	struct ur_window *window = request->owner;
	struct ur_told told;
	window->looking = false;
	const bool good = request->result == 0 && request->status == 200 &&
			  ur_told_read(ur_text_get(&request->answer), &told, NULL) == 0 &&
			  told.has_durable;
	/* Perhaps the gateway has ended, and that the chunk is lost will be heard in a moment. */
	const bool unheard = request->result < 0 || ur_retry_may_pass(0, request->status);
	window->failures = unheard ? window->failures + 1 : 0;
	if (unheard && window->failures < FAILURES_MAX) {
		window->again_ns = ur_clock_steady_ns() + AGAIN_MS * UR_MS_NS;
	} else if (!good) {
		window->blind = true;
	} else if (told.durable > window->durable) {
		window->durable = told.durable < window->given ? told.durable : window->given;
		window->misses = 0;
	} else {
		window->blind = window->blind || ++window->misses >= MISSES_MAX;
	}
	if (!window->blind && window->again_ns == 0 && is_full(window)) {
		look(window);
	} else {
		window->moved(window);
	}
}

void ur_window_turn(struct ur_window *window, int64_t now_ns)
{
	if (!window->blind && window->again_ns != 0 && now_ns >= window->again_ns) {
		window->again_ns = 0;
		look(window);
	}
}

static void look(struct ur_window *window)
{
	struct ur_text answer = window->request.answer;
	char *query = strrchr(window->url, '?');
	assert(query != NULL);
	ur_text_clear(&answer);
	(void)snprintf(query, sizeof window->url - (size_t)(query - window->url),
		"?durable=%" PRIu64, window->durable + 1);
	window->request = (struct ur_request){
		.method = "GET",
		.url = window->url,
		.answer_wait_ms = LOOK_MS,
		.answer_max = ANSWER_MAX,
		.done = looked,
		.owner = window,
		.answer = answer,
		.more = {"Tus-Resumable: " UR_TUS_VERSION},
	};
	window->looking = true;
	ur_http_submit(window->http, &window->request);
}

void ur_window_open(
	struct ur_window *window, struct ur_http *http, const char *status, uint64_t offset)
{
	assert(!window->looking);
	window->http = http;
	window->given = offset;
	window->durable = offset;
	window->misses = 0;
	window->failures = 0;
	window->again_ns = 0;
	const int size = snprintf(window->url, sizeof window->url - 40, "%s?", status);
	window->blind = size < 0 || (size_t)size >= sizeof window->url - 40;
}

size_t ur_window_room(struct ur_window *window, size_t size)
{
	if (window->blind) {
		return size;
	}
	const uint64_t ahead = window->given - window->durable;
	if (ahead >= HALF && !window->looking && window->again_ns == 0) {
		look(window);
	}
	const uint64_t room = ahead < UR_WINDOW ? UR_WINDOW - ahead : 0;
	return room < size ? (size_t)room : size;
}

void ur_window_gave(struct ur_window *window, size_t size)
{
	window->given += size;
}

void ur_window_close(struct ur_window *window)
{
	window->blind = true;
}

bool ur_window_is_looking(const struct ur_window *window)
{
	return window->looking;
}

void ur_window_done(struct ur_window *window)
{
	assert(!window->looking);
	ur_request_done(&window->request);
}
