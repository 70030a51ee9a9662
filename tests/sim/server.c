/*
 * server - what it truly holds, and what is answered in its name.
 *
 *     request ─▶ in a while ─▶ a lie, if the seed has one ─▶ or the truth ─▶ request.done()
 *
 * The truth follows the servers that are known: an upload that fails at a late step may leave its row
 * and lose its bytes within the hour; one that is still being stored is not found by checksum.
 */
#include "tests/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING 64

struct sim_content sim_contents[SIM_CONTENTS];

static struct pending {
	struct sim_event event;
	struct ur_request *request; // NULL: free, or whoever asked is no more
	int content;                // of an upload
	bool gone;                  // its last byte has left
	bool arrived;               // its body
	struct sim_sent sent;
} pending[PENDING];

static struct later {
	struct sim_event event;
	int content;
	bool fails; // and it loses its bytes afterwards
} storings[SIM_CONTENTS], losses[SIM_CONTENTS];

static char texts[SIM_CONTENTS][64]; // how a question names them
static int64_t missing_until_ns;

/* ---- what it holds --------------------------------------------------------------------------- */

static void learn_names(void)
{
	for (int i = 0; i < SIM_CONTENTS && texts[i][0] == '\0'; i++) {
		struct sim_content *content = &sim_contents[i];
		struct ur_text text = {0};
		struct ur_digest *digest = NULL;
		(void)snprintf(content->bytes, sizeof content->bytes,
			"the bytes of picture number %d, %.*s", i, 5 + 2 * i,
			"which end somewhere");
		content->size = strlen(content->bytes);
		if (ur_digest_new(&digest) < 0 || ur_digest_begin(digest) < 0) {
			abort();
		}
		struct ur_hasher *hasher = NULL;
		if (ur_hasher_new(&hasher) < 0) {
			abort();
		}
		ur_hasher_feed(hasher, digest, content->bytes, content->size);
		ur_hasher_flush(hasher);
		if (ur_digest_end(digest, content->sha1, content->xxh) < 0) {
			abort();
		}
		(void)ur_hasher_free(hasher);
		(void)ur_digest_free(digest);
		ur_immich_check_add(&text, 0, content->sha1);
		const char *at = strstr(ur_text_get(&text), "\"checksum\":\"");
		assert(at != NULL);
		at += strlen("\"checksum\":\"");
		(void)snprintf(texts[i], sizeof texts[i], "%.*s", (int)strcspn(at, "\""), at);
		ur_text_done(&text);
	}
}

static void lose_bytes(struct sim_event *event)
{
	const struct later *later =
		(const struct later *)((char *)event - offsetof(struct later, event));
	sim_say("content %d: its bytes are gone, its row stays", later->content);
	sim_contents[later->content].stored = false;
}

static void appear(struct sim_event *event)
{
	const struct later *later =
		(const struct later *)((char *)event - offsetof(struct later, event));
	struct sim_content *content = &sim_contents[later->content];
	content->storing_ns = 0;
	content->row = content->stored = true;
	if (later->fails && !losses[later->content].event.waits) {
		sim_later(&losses[later->content].event, (int64_t)sim_below(3000000) * UR_MS_NS);
	}
}

/** An asset of its own each time; who asks for an earlier one is told that there is none. */
static void name_asset(int at, unsigned generation)
{
	struct sim_content *content = &sim_contents[at];
	content->generation = generation;
	(void)snprintf(content->asset, sizeof content->asset, "00000000-0000-4000-8000-%010u%02d",
		generation % 1000000000, at);
}

void sim_server_begin(void)
{
	learn_names();
	memset(pending, 0, sizeof pending);
	missing_until_ns = 0;
	for (int i = 0; i < SIM_CONTENTS; i++) {
		struct sim_content *content = &sim_contents[i];
		content->row = content->stored = content->trashed = content->by_others = false;
		content->refused = false;
		content->since_ns = 0;
		name_asset(i, 0);
		content->own_file = -1;
		content->storing_ns = 0;
		storings[i] = (struct later){.event = {.happen = appear}, .content = i};
		losses[i] = (struct later){.event = {.happen = lose_bytes}, .content = i};
	}
}

/** The bytes come from the file itself, which must then stand where the server sees it. */
static bool is_readable(const struct sim_content *content)
{
	bool aside = false;
	return content->own_file < 0 ? content->stored
				     : sim_own_is_there(content->own_file, &aside) && !aside;
}

bool sim_server_holds(int at, int asking)
{
	const struct sim_content *content = &sim_contents[at];
	bool aside = false;
	const bool kept = content->own_file < 0
				  ? content->stored
				  : content->own_file != asking &&
					    sim_own_is_there(content->own_file, &aside);
	return content->row && !content->trashed && kept;
}

/* ---- an upload ------------------------------------------------------------------------------- */

static struct sim_sent say(int result, int status, bool own)
{
	return (struct sim_sent){
		.result = result,
		.status = status,
		.own = own,
		.readable = status == 200 || status == 201,
		.duplicate = status == 200,
	};
}

static void keep_row_only(struct sim_content *content, int at)
{
	content->row = content->stored = true;
	sim_later(&losses[at].event, (int64_t)sim_below(3000000) * UR_MS_NS);
}

/** True when something went wrong with it. */
static bool goes_wrong(struct sim_content *content, int at, struct sim_sent *ret)
{
	if (sim_lies(LIE_REFUSES)) {
		static const int statuses[] = {400, 413, 422, 415};
		*ret = say(0, statuses[sim_below(4)], true);
		content->refused = content->refused || ret->status == 400;
		return true;
	}
	if (sim_lies(LIE_HALF) && !losses[at].event.waits) {
		keep_row_only(content, at);
		*ret = sim_once_in(2) ? say(0, 500, true) : say(-ECONNRESET, 0, false);
		return true;
	}
	if (sim_lies(LIE_LATE)) {
		const int64_t after_ns = (int64_t)sim_below(200000) * UR_MS_NS;
		content->storing_ns = sim_now() + after_ns;
		storings[at].fails = sim_lies(LIE_HALF) && sim_once_in(2);
		sim_later(&storings[at].event, after_ns);
		*ret = sim_once_in(2) ? say(0, 504, false) : say(-ETIMEDOUT, 0, false);
		return true;
	}
	return false;
}

/** The bytes are stored; the answer may not get through. */
static struct sim_sent answer_sent(void)
{
	static const int pages[] = {200, 302, 403, 404, 500, 502};
	static const int busy[] = {502, 503, 504, 429};
	struct sim_sent sent = say(0, 201, true);
	if (sim_lies(LIE_LINE)) {
		sent = say(-ECONNRESET, 0, false);
	} else if (sim_lies(LIE_PAGE)) {
		sent = say(0, pages[sim_below(6)], false);
		sent.readable = sent.duplicate = false;
	} else if (sim_lies(LIE_BUSY)) {
		sent = say(0, busy[sim_below(4)], false);
	} else if (sim_lies(LIE_NONSENSE)) {
		sent.readable = false;
	}
	return sent;
}

struct sim_sent sim_server_upload(int at)
{
	struct sim_content *content = &sim_contents[at];
	struct sim_sent sent;
	const bool known = content->row || content->storing_ns > sim_now();
	if (known && !content->by_others) {
		sim_break("content %d was sent although the server had it, or was storing it", at);
	}
	if (known) {
		return say(0, 200, true);
	}
	if (goes_wrong(content, at, &sent)) {
		return sent;
	}
	content->row = content->stored = true;
	content->since_ns = sim_now();
	return answer_sent();
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(struct ur_request *r, int status, bool own, const char *type)
{
	r->result = 0;
	r->status = status;
	r->retry_after_ms = -1;
	r->content_range[0] = '\0';
	(void)snprintf(r->correlation, sizeof r->correlation, "%s", own ? "abcd" : "");
	(void)snprintf(r->answer_type, sizeof r->answer_type, "%s", type);
}

static void complain(struct ur_request *r, int status)
{
	answer(r, status, true, "application/json; charset=utf-8");
	ur_text_clear(&r->answer);
	ur_text_adds(&r->answer, "{\"message\":\"no\"}");
}

static void show_page(struct ur_request *r, int status)
{
	answer(r, status, false, "text/html");
	r->html = true;
	ur_text_clear(&r->answer);
	ur_text_adds(&r->answer, "<html>sign in</html>");
}

static void say_nonsense(struct ur_request *r)
{
	answer(r, 200, true, "application/json");
	ur_text_clear(&r->answer);
	ur_text_adds(&r->answer, "{}");
}

static bool is_bytes(const struct ur_request *r)
{
	return strstr(r->path, "/original") != NULL;
}

/** What is young and not on its disk yet does not outlive a power cut. */
static void cut_power(void)
{
	for (int i = 0; i < SIM_CONTENTS; i++) {
		struct sim_content *content = &sim_contents[i];
		const bool young =
			content->since_ns != 0 && sim_now() - content->since_ns < 50 * UR_SECOND_NS;
		if (young && content->row && !content->by_others) {
			sim_say("content %d: lost with the server's power", i);
			content->row = content->stored = false;
			content->since_ns = 0;
			name_asset(i, content->generation + 1);
		}
	}
}

/** True when a lie was told, or nothing. */
static bool lie(struct ur_request *r)
{
	static const int codes[] = {-ECONNREFUSED, -ECONNRESET, -ETIMEDOUT, -EPROTO};
	static const int pages[] = {200, 302, 401, 403, 404, 413, 416, 500, 520};
	static const int busy[] = {408, 429, 502, 503, 504};
	const bool about_asset = strncmp(r->path, "/api/assets/0", 13) == 0;
	if (sim_lies(LIE_POWER)) {
		cut_power();
	}
	if (sim_lies(LIE_LINE)) {
		r->result = codes[sim_below(4)];
	} else if (sim_lies(LIE_PAGE)) {
		show_page(r, pages[sim_below(9)]);
		if (r->status == 200 && is_bytes(r) && r->sink != NULL) {
			(void)r->sink(r, "<html>sign in</html>", 20);
		}
	} else if (sim_lies(LIE_BUSY) && sim_once_in(2)) {
		show_page(r, busy[sim_below(5)]);
	} else if (sim_lies(LIE_BUSY)) {
		complain(r, busy[sim_below(5)]);
	} else if (sim_lies(LIE_FAILS)) {
		complain(r, 500);
	} else if (about_asset && sim_lies(LIE_RIGHTS)) {
		complain(r, sim_once_in(2) ? 401 : 403);
	} else if (!is_bytes(r) && sim_lies(LIE_NONSENSE)) {
		say_nonsense(r);
	} else {
		return false;
	}
	return true;
}

/** Contents in the order of the question. */
static void answer_check(struct ur_request *r)
{
	const char *at = r->pieces[0].bytes;
	const char *end = at + r->pieces[0].size;
	size_t index = 0;
	answer(r, 200, true, "application/json");
	ur_text_clear(&r->answer);
	ur_text_adds(&r->answer, "{\"results\":[");
	while ((at = memmem(at, (size_t)(end - at), "\"checksum\":\"", 12)) != NULL) {
		int found = -1;
		at += 12;
		for (int i = 0; i < SIM_CONTENTS; i++) {
			found = strncmp(at, texts[i], strlen(texts[i])) == 0 ? i : found;
		}
		assert(found >= 0);
		const struct sim_content *content = &sim_contents[found];
		ur_text_addf(&r->answer, "%s{\"id\":\"%zu\",", index == 0 ? "" : ",", index);
		if (content->row) {
			ur_text_addf(&r->answer,
				"\"action\":\"reject\",\"reason\":\"duplicate\",\"assetId\":\"%s\","
				"\"isTrashed\":%s}",
				content->asset, content->trashed ? "true" : "false");
		} else {
			ur_text_adds(&r->answer, "\"action\":\"accept\"}");
		}
		index++;
	}
	ur_text_adds(&r->answer, "]}");
}

static void answer_asset(struct ur_request *r, const struct sim_content *content)
{
	char base64[64];
	if (!content->row) {
		complain(r, 400);
		return;
	}
	ur_base64(content->sha1, sizeof content->sha1, base64);
	answer(r, 200, true, "application/json");
	ur_text_clear(&r->answer);
	ur_text_addf(&r->answer,
		"{\"id\":\"%s\",\"ownerId\":\"" SIM_USER "\",\"checksum\":\"%s\",\"isTrashed\":%s,"
		"\"type\":\"IMAGE\",\"thumbhash\":\"x\",\"originalPath\":\"/upload/x/y.jpg\"}",
		content->asset, base64, content->trashed ? "true" : "false");
}

static void give_bytes(struct ur_request *r, const struct sim_content *content)
{
	int64_t from = 0;
	const bool ranged = sscanf(r->header[0], "Range: bytes=%" SCNd64, &from) == 1;
	const bool lies = sim_lies(LIE_RANGE);
	const bool whole = !ranged || (lies && sim_once_in(2));
	size_t size = whole ? content->size : 1;
	answer(r, whole ? 200 : 206, true, "image/jpeg");
	if (!whole) {
		(void)snprintf(r->content_range, sizeof r->content_range,
			"bytes %" PRId64 "-%" PRId64 "/%zu", from, from,
			content->size + (lies ? 1 : 0));
	} else if (lies && sim_once_in(2)) {
		size--; // cut off
	}
	assert(r->sink != NULL);
	(void)r->sink(r, content->bytes + (whole ? 0 : from), size);
}

static void answer_bytes(struct ur_request *r, const struct sim_content *content)
{
	if (sim_lies(LIE_MISSING)) {
		missing_until_ns = sim_now() + (int64_t)sim_below(7200) * UR_SECOND_NS;
	}
	if (!content->row || !is_readable(content) ||
		(!sim.honest && sim_now() < missing_until_ns)) {
		complain(r, sim_once_in(2) ? 404 : 500);
		return;
	}
	give_bytes(r, content);
}

static void answer_truly(struct ur_request *r)
{
	const struct sim_content *content = NULL;
	for (int i = 0; i < SIM_CONTENTS; i++) {
		content =
			strstr(r->path, sim_contents[i].asset) != NULL ? &sim_contents[i] : content;
	}
	if (strcmp(r->path, "/api/assets/bulk-upload-check") == 0) {
		answer_check(r);
	} else if (strcmp(r->path, "/api/users/me") == 0) {
		answer(r, 200, true, "application/json");
		ur_text_adds(&r->answer, "{\"id\":\"" SIM_USER "\",\"name\":\"somebody\"}");
	} else if (content == NULL) {
		complain(r, 404);
	} else if (strcmp(r->method, "PUT") == 0) {
		answer(r, 200, true, "application/json");
	} else if (is_bytes(r)) {
		answer_bytes(r, content);
	} else {
		answer_asset(r, content);
	}
}

static void finish(struct pending *p)
{
	struct ur_request *request = p->request;
	p->request = NULL;
	sim_say("%s %s: result %d, HTTP %d%s", request->method, request->path, request->result,
		request->status, request->correlation[0] == '\0' ? ", not its own word" : "");
	request->done(request);
}

static bool is_upload(const struct ur_request *r)
{
	return strcmp(r->method, "POST") == 0 && strcmp(r->path, "/api/assets") == 0;
}

static int content_of_upload(const struct ur_request *r)
{
	for (int i = 0; i < SIM_CONTENTS; i++) {
		char hex[2 * UR_HASH_SHA1 + 1];
		ur_hex(sim_contents[i].sha1, UR_HASH_SHA1, hex);
		if (strstr(r->header[1], hex) != NULL) {
			return i;
		}
	}
	abort();
}

static void answer_upload(struct ur_request *r, const struct sim_sent *sent)
{
	const struct sim_content *content = &sim_contents[content_of_upload(r)];
	r->body_gone = true;
	if (sent->result < 0) {
		r->result = sent->result;
	} else if (sent->status >= 400 && sent->own) {
		complain(r, sent->status);
	} else if (!sent->readable) {
		show_page(r, sent->status);
	} else {
		answer(r, sent->status, sent->own, "application/json");
		ur_text_addf(&r->answer, "{\"id\":\"%s\",\"status\":\"%s\"}", content->asset,
			sent->duplicate ? "duplicate" : "created");
	}
}

/** True when its last byte leaves; false: whoever sends it must not let it go. */
static bool leaves(struct pending *p)
{
	const int r = p->request->last == NULL ? 0 : p->request->last(p->request);
	if (r < 0) {
		p->request->result = r;
		p->request->body_gone = false;
		return false;
	}
	p->gone = true;
	sim_later(&p->event, (int64_t)sim_below(sim_once_in(4) ? 90000 : 10) * UR_MS_NS);
	return true;
}

/** True when its body is on its way, or has just arrived, and the answer is to come. */
static bool goes_on(struct pending *p)
{
	if (p->arrived) {
		answer_upload(p->request, &p->sent);
		return false;
	}
	if (!p->gone && sim_lies(LIE_LINE)) {
		p->request->result = -ECONNRESET;
		p->request->body_gone = false;
		return false;
	}
	if (!p->gone) {
		return leaves(p);
	}
	p->arrived = true;
	p->sent = sim_server_upload(p->content);
	sim_later(&p->event, (int64_t)sim_below(3000) * UR_MS_NS);
	return true;
}

static void happens(struct sim_event *event)
{
	struct pending *p = (struct pending *)((char *)event - offsetof(struct pending, event));
	if (p->request == NULL) { // it was cancelled, or its sender died
		if (p->gone && !p->arrived && sim_once_in(2)) {
			sim_say("content %d arrives, and nobody hears of it", p->content);
			(void)sim_server_upload(p->content);
		}
		return;
	}
	ur_text_clear(&p->request->answer);
	if (is_upload(p->request)) {
		if (goes_on(p)) {
			return;
		}
	} else if (sim.dead) {
		p->request->result = -ECANCELED;
	} else if (!lie(p->request)) {
		answer_truly(p->request);
	}
	finish(p);
}

/* ---- in the place of http -------------------------------------------------------------------- */

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request);
void __wrap_ur_http_wake(struct ur_http *http);
void __wrap_ur_http_cancel(struct ur_http *http);

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request)
{
	(void)http;
	request->result = 0;
	request->status = 0;
	request->retry_after_ms = -1;
	if (sim.dead) {
		request->result = -ECANCELED;
		request->done(request);
		return;
	}
	for (size_t i = 0; i < PENDING; i++) {
		if (pending[i].request == NULL && !pending[i].event.waits) {
			pending[i].request = request;
			pending[i].gone = pending[i].arrived = false;
			pending[i].content = is_upload(request) ? content_of_upload(request) : -1;
			pending[i].event.happen = happens;
			sim_later(&pending[i].event, (int64_t)(1 + sim_below(300)) * UR_MS_NS);
			return;
		}
	}
	abort(); // more requests than items
}

void sim_server_forget(void)
{
	for (size_t i = 0; i < PENDING; i++) {
		pending[i].request = NULL;
	}
}

void __wrap_ur_http_wake(struct ur_http *http)
{
	(void)http;
}

void __wrap_ur_http_cancel(struct ur_http *http)
{
	(void)http;
	for (size_t i = 0; i < PENDING; i++) {
		if (pending[i].request != NULL) {
			pending[i].request->result = -ECANCELED;
			finish(&pending[i]);
		}
	}
}
