/*
 * chunks_gateway - is there a gateway?  Asked once, when the first large file comes.
 *
 * One that does not answer is asked again for some seconds; what came meanwhile waits in the queue.
 */
#include "engine/stage/chunks_parts.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ASKS_MAX 5

static const struct ur_backoff asks = {.first_ms = 500, .most_ms = 8000};

static bool lists(const char *list, const char *word)
{
	const size_t size = strlen(word);
	for (const char *at = list; at != NULL && *at != '\0';
		at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1) {
		at += strspn(at, " \t");
		if (strncmp(at, word, size) == 0 && strchr(", \t", at[size]) != NULL) {
			return true;
		}
	}
	return false;
}

static void take_ability(struct ur_request *request, const char *name, const char *value)
{
	struct ur_chunks *chunks = request->owner;
	if (strcasecmp(name, "Tus-Version") == 0) {
		chunks->speaks_tus = true;
		chunks->version_fits = lists(value, UR_TUS_VERSION);
	} else if (strcasecmp(name, "Tus-Extension") == 0) {
		chunks->makes_uploads = lists(value, "creation");
	} else if (strcasecmp(name, "Tus-Checksum-Algorithm") == 0) {
		chunks->algorithm = lists(value, "xxh128") ? UR_TUS_XXH128
				    : lists(value, "sha1") ? UR_TUS_SHA1
							   : UR_TUS_NONE;
	}
}

static void no_gateway(struct ur_chunks *chunks, const char *words)
{
	char size[16];
	chunks->gateway = GATEWAY_NONE;
	atomic_store(&chunks->run->no_gateway, true);
	ur_show_bytes((uint64_t)chunks->run->options->resumable_threshold, size);
	if (!ur_run_is_stopping(chunks->run)) {
		ur_run_warn(chunks->run,
			"no gateway for resumable uploads at %s (%s): files of %s and more go in one "
			"piece, and an upload that is interrupted starts again",
			chunks->base, words, size);
	}
}

static void ability_answered(struct ur_request *request)
{
	struct ur_chunks *chunks = request->owner;
	char words[UR_MESSAGE_MAX];
	const int status = request->status;
	chunks->asking = false;
	if (request->result == 0 && (status == 200 || status == 204) && !request->html &&
		chunks->version_fits && chunks->makes_uploads) {
		chunks->gateway = GATEWAY_THERE;
		ur_transfer_pace_init(&chunks->pace,
			(uint64_t)chunks->run->options->resumable_chunk,
			atomic_load(&chunks->run->chunk_ceiling));
		return;
	}
	const enum ur_passing pass = ur_retry_of(0, status);
	const bool passing =
		request->result < 0 || pass == UR_PASSES_BUSY || pass == UR_PASSES_AWAY;
	if (passing && ++chunks->asks < ASKS_MAX && !ur_run_is_stopping(chunks->run)) {
		chunks->ask_due_ns =
			ur_clock_steady_ns() + ur_retry_step_ms(&asks, chunks->asks) * UR_MS_NS;
		return;
	}
	/* Who does not speak tus says nothing of what the gateway holds. */
	chunks->gateway_silent = passing || !chunks->speaks_tus;
	if (request->result < 0) {
		(void)snprintf(words, sizeof words, "%.*s", UR_MESSAGE_MAX - 1, request->err.text);
	} else {
		(void)snprintf(words, sizeof words, "HTTP %d", status);
	}
	no_gateway(chunks, words);
}

static void ask_ability(struct ur_chunks *chunks)
{
	struct ur_text answer = chunks->ask.answer;
	chunks->gateway = GATEWAY_ASKED;
	chunks->asking = true;
	chunks->version_fits = false;
	chunks->speaks_tus = false;
	chunks->makes_uploads = false;
	chunks->algorithm = UR_TUS_NONE;
	chunks->ask = (struct ur_request){
		.method = "OPTIONS",
		.url = chunks->base,
		.answer_wait_ms = ur_run_answer_ms(chunks->run, UR_CHUNKS_ANSWER_MS),
		.answer_max = UR_CHUNKS_ANSWER_MAX,
		.done = ability_answered,
		.field = take_ability,
		.owner = chunks,
		.answer = answer,
	};
	ur_http_submit(chunks->http, &chunks->ask);
}

bool ur_chunks_is_ready(struct ur_chunks *chunks)
{
	const bool first = chunks->gateway == GATEWAY_UNASKED && !ur_run_is_stopping(chunks->run);
	const bool again = chunks->gateway == GATEWAY_ASKED && !chunks->asking &&
			   ur_clock_steady_ns() >= chunks->ask_due_ns;
	if (first || again) {
		ask_ability(chunks);
	}
	return chunks->gateway == GATEWAY_THERE || chunks->gateway == GATEWAY_NONE ||
	       (ur_run_is_stopping(chunks->run) && !chunks->asking);
}
