/*
 * delivery_course - whole deliveries on a scripted world: a server that lies, loses answers, keeps the
 * row of an upload that failed, and a process that ends anywhere.  A real spool; the crew runs at once.
 *
 *     submit ─▶ pending ─▶ answer() ─▶ done ─▶ post ─▶ the loop's next step
 *
 * What must hold after every step: bytes go only when the server has them, nothing is sent again that
 * was not asked for first, and in the end, when everybody behaves, it is there.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/gateway/seal.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define ASSET "426dd542-f562-4757-9dc5-eaf7d1c47147"
#define BYTES "12345"
#define SUM "jLIjfQZ5yojbZGTqxg2pY0VROWQ=" // the SHA-1 of BYTES
#define OTHER_ASSET "bbbbbbbb-0000-4000-8000-00000000000b"
#define OTHER_SUM "AAAAAAAAAAAAAAAAAAAAAAAAAAA="

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request);
void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post);
void __wrap_ur_crew_submit(struct ur_crew *crew, struct ur_job *job);

static const struct ur_dialect dialect = {.name = "a server's"};

/** What comes back for a question. */
enum mischief {
	HONEST,
	REFUSES_LINE, // nothing of it arrived
	LOSES_ANSWER, // it arrived, and its answer did not
	PAGE,         // a proxy's: 200, and HTML
	UNMARKED,     // the right shape and no mark, and it says the contrary
	FAILS,        // 500 in its own words, after it had been read
	FAILS_HALF,   // the same, and it keeps a row without bytes
	AWAY,         // 503
	BUSY,         // 429
	HALF_JSON,    // 200 or 201, cut off
	NO_KEY,       // 401
	NO_RIGHT,     // 403
	NO_ROOM,      // 400: quota
	LATE,         // the line breaks, and the bytes arrive later
	CACHED,       // the answer to another upload, marks and all; this one never got there
	MISCHIEFS,
};

static struct world {
	char dir[64];
	char root[80];
	char id[UR_SPOOL_ID];
	struct ur_gateway gateway;
	struct ur_request *pending;
	struct ur_post *post;
	uint64_t seed;
	/* The server. */
	bool has;      // the asset, with its bytes
	bool ghost;    // a row of it, without
	unsigned late; // steps until what was sent arrives; 0: nothing is on its way
	/* What was seen. */
	bool said_absent; // by the last answer that was the server's own
	unsigned bodies;
	unsigned lost; // deliveries that let go of bytes that nobody has
	unsigned unasked;
} * w;

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request)
{
	(void)http;
	assert_null(w->pending);
	w->pending = request;
}

void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post)
{
	(void)httpd;
	assert_null(w->post);
	w->post = post;
}

void __wrap_ur_crew_submit(struct ur_crew *crew, struct ur_job *job)
{
	(void)crew;
	job->run(job);
	job->done(job);
}

static unsigned pick(unsigned below)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((w->seed >> 33) % below);
}

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

/* ---- a gateway --------------------------------------------------------------------------------- */

static void open_gateway(void)
{
	struct ur_gateway *g = &w->gateway;
	*g = (struct ur_gateway){
		.options = {.immich = "http://127.0.0.1:9", .has_seal = true, .seal = {1, 2, 3}},
		.limits = ur_gateway_limits_default(),
		.server = {.dialect = &dialect},
		.proved_ran_ms = UR_SPOOL_NEVER,
	};
	g->limits.settle_after_ms = 0;
	g->limits.suspect_wait_ms = 0;
	g->limits.answer_wait_ms = 0;
	assert_int_equal(ur_spool_new(w->root, &g->spool, NULL), 0);
	assert_int_equal(ur_gate_new(NULL, NULL, &g->gate, NULL), 0);
}

static void close_gateway(void)
{
	struct ur_gateway *g = &w->gateway;
	w->pending = NULL;
	w->post = NULL;
	while (g->deliveries != NULL) {
		struct ur_session *session = g->deliveries;
		const int fd = session->delivery->fd;
		if (fd >= 0) {
			(void)close(fd);
		}
		ur_delivery_abandon(session);
		ur_session_rest(session);
	}
	g->gate = ur_gate_free(g->gate);
	g->spool = ur_spool_free(g->spool);
}

static struct ur_spool_upload *upload_of(void)
{
	return ur_spool_find(w->gateway.spool, w->id);
}

static struct ur_delivery *delivery_of(void)
{
	const struct ur_session *session = upload_of()->session;
	return session == NULL ? NULL : session->delivery;
}

static void make_upload(const char *metadata)
{
	const struct ur_spool_spec spec = {.owner = ANN, .length = 5, .metadata = metadata};
	const struct ur_credential key = {.line = "x-api-key: key-of-ann", .is_key = true};
	struct ur_spool_upload *upload = NULL;
	struct ur_spool_mark mark;
	assert_int_equal(ur_spool_make(w->gateway.spool, &spec, &upload, NULL), 0);
	ur_spool_admit(w->gateway.spool, upload);
	memcpy(w->id, upload->id, sizeof w->id);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	assert_int_equal(ur_spool_append(upload, BYTES, 5, NULL), 0);
	ur_spool_mark(upload, &mark);
	assert_int_equal(ur_spool_commit(upload, &mark, NULL), 0);
	ur_spool_committed(upload, &mark);
	assert_true(ur_spool_finish(upload));
	upload->outcome.state = UR_SPOOL_COMPLETE;
	ur_spool_rest(upload);
	ur_delivery_keep_credential(&w->gateway, upload, &key);
	ur_delivery_add(&w->gateway, upload, &key);
}

static void restart(void)
{
	close_gateway();
	open_gateway();
	(void)ur_delivery_take_up(&w->gateway, upload_of());
}

/* ---- a server ---------------------------------------------------------------------------------- */

static void say(struct ur_request *request, int status, bool own, const char *text)
{
	request->result = 0;
	request->status = status;
	request->body_gone = true;
	request->retry_after_ms = -1;
	(void)snprintf(request->correlation, sizeof request->correlation, "%s", own ? "cid" : "");
	(void)snprintf(request->answer_type, sizeof request->answer_type, "%s",
		text[0] == '<' ? "text/html" : "application/json");
	request->html = text[0] == '<';
	ur_text_clear(&request->answer);
	ur_text_adds(&request->answer, text);
}

static void complain(struct ur_request *request, int status, const char *message)
{
	char text[200];
	(void)snprintf(
		text, sizeof text, "{\"message\":\"%s\",\"statusCode\":%d}", message, status);
	say(request, status, true, text);
}

static void break_line(struct ur_request *request, bool body_gone)
{
	request->result = -ECONNRESET;
	request->status = 0;
	request->body_gone = body_gone;
	request->retry_after_ms = -1;
}

static bool is_check(const struct ur_request *request)
{
	return strcmp(request->path, "/api/assets/bulk-upload-check") == 0;
}

static bool is_send(const struct ur_request *request)
{
	return strcmp(request->path, "/api/assets") == 0;
}

static bool is_original(const struct ur_request *request)
{
	return strstr(request->path, "/original") != NULL;
}

static void say_check(struct ur_request *request, bool there, bool own)
{
	say(request, 200, own,
		there ? "{\"results\":[{\"id\":\"0\",\"action\":\"reject\",\"reason\":\"duplicate\","
			"\"isTrashed\":false,\"assetId\":\"" ASSET "\"}]}"
		      : "{\"results\":[{\"id\":\"0\",\"action\":\"accept\"}]}");
}

static void say_asset(struct ur_request *request, bool own)
{
	say(request, 200, own,
		"{\"id\":\"" ASSET "\",\"ownerId\":\"" ANN "\",\"checksum\":\"" SUM "\","
		"\"isTrashed\":false}");
}

/** As a server that means well. */
static void answer_honestly(struct ur_request *request)
{
	const bool row = w->has || w->ghost;
	if (is_check(request)) {
		say_check(request, row, true);
		w->said_absent = !row;
	} else if (is_send(request)) {
		say(request, row ? 200 : 201, true,
			row ? "{\"id\":\"" ASSET "\",\"status\":\"duplicate\"}"
			    : "{\"id\":\"" ASSET "\",\"status\":\"created\"}");
		w->has = w->has || !row;
	} else if (strstr(request->path, OTHER_ASSET) != NULL) {
		say(request, 200, true,
			"{\"id\":\"" OTHER_ASSET "\",\"ownerId\":\"" ANN
			"\",\"checksum\":\"" OTHER_SUM "\",\"isTrashed\":false}");
	} else if (!row) {
		complain(request, 400, "Not found or no asset.read access");
	} else if (!is_original(request)) {
		say_asset(request, true);
	} else if (w->has) {
		say(request, 206, true, "");
		(void)snprintf(
			request->content_range, sizeof request->content_range, "bytes 4-4/5");
		assert_int_equal(request->sink(request, "5", 1), 0);
	} else {
		complain(request, 404, "ENOENT"); // and the row goes, as a server's own jobs see to
		w->ghost = false;
	}
}

/** The very answer, and nobody's mark on it: it says what is not so. */
static void lie(struct ur_request *request)
{
	if (is_check(request)) {
		say_check(request, pick(2) == 0, false);
	} else if (!is_send(request) && !is_original(request)) {
		say_asset(request, false);
	} else if (is_send(request)) {
		say(request, 201, false, "{\"id\":\"" ASSET "\",\"status\":\"created\"}");
	} else {
		say(request, 206, false, "");
	}
}

static void cut_json(struct ur_request *request)
{
	answer_honestly(request);
	if (request->status < 300) {
		ur_text_clear(&request->answer);
		ur_text_adds(&request->answer, "{\"id\":");
		request->content_range[0] = '\0';
	}
}

static void answer_badly(struct ur_request *request, enum mischief mischief)
{
	switch (mischief) {
	case HONEST:
		answer_honestly(request);
		return;
	case REFUSES_LINE:
		break_line(request, false);
		return;
	case LOSES_ANSWER:
		answer_honestly(request);
		break_line(request, true);
		return;
	case PAGE:
		say(request, 200, false, "<html>");
		return;
	case UNMARKED:
		lie(request);
		return;
	case FAILS:
		complain(request, 500, "Internal server error");
		return;
	case FAILS_HALF:
		w->ghost = w->ghost || (is_send(request) && !w->has);
		complain(request, 500, "Internal server error");
		return;
	case AWAY:
		complain(request, 503, "Service unavailable");
		return;
	case BUSY:
		complain(request, 429, "Too many");
		return;
	case HALF_JSON:
		cut_json(request);
		return;
	case NO_KEY:
		complain(request, 401, "Invalid API key");
		return;
	case NO_RIGHT:
		complain(request, 403, "Missing required permission");
		return;
	case NO_ROOM:
		if (is_send(request)) {
			complain(request, 400, "Quota has been exceeded!");
		} else {
			answer_honestly(request);
		}
		return;
	case LATE:
		if (is_send(request) && !w->has) {
			w->late = 1 + pick(6);
		}
		break_line(request, true);
		return;
	case CACHED:
		if (is_send(request)) {
			say(request, 201, true,
				"{\"id\":\"" OTHER_ASSET "\",\"status\":\"created\"}");
		} else {
			answer_honestly(request);
		}
		return;
	case MISCHIEFS:
		break;
	}
	fail();
}

/* ---- the course -------------------------------------------------------------------------------- */

/** One answer, or the next try; true while there is something to do. */
static bool step(enum mischief mischief)
{
	struct ur_delivery *delivery = delivery_of();
	if (w->late > 0 && --w->late == 0) {
		w->has = true;
		w->ghost = false;
	}
	if (w->pending != NULL) {
		struct ur_request *request = w->pending;
		w->pending = NULL;
		if (is_send(request)) {
			w->bodies++;
			w->unasked += w->said_absent ? 0 : 1;
			w->said_absent = false;
		}
		answer_badly(request, mischief);
		request->done(request);
		struct ur_post *post = w->post;
		w->post = NULL;
		post->run(post);
	} else if (delivery != NULL) {
		const struct ur_visitor ann = {
			.user = ANN, .may_upload = true, .may_read = true, .may_download = true};
		const struct ur_credential key = {.line = "x-api-key: another", .is_key = true};
		ur_delivery_welcome(&w->gateway, &ann, &key);
		delivery->due_ms = 0;
		ur_delivery_tick(&w->gateway);
	}
	const struct ur_spool_upload *upload = upload_of();
	w->lost += upload->bytes_gone && !w->has ? 1 : 0;
	return delivery_of() != NULL;
}

static void assert_good(void)
{
	assert_int_equal(w->lost, 0);
	assert_int_equal(w->unasked, 0);
}

static void finish(void)
{
	for (int i = 0; i < 200 && step(HONEST); i++) {
		assert_good();
	}
	assert_good();
	assert_null(delivery_of());
	assert_int_equal(upload_of()->outcome.state, UR_SPOOL_CONFIRMED);
	assert_true(upload_of()->bytes_gone);
	assert_true(w->has);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	const char *seed = getenv("UR_SEED");
	w = world;
	w->seed = seed == NULL ? 1 : strtoull(seed, NULL, 10);
	(void)snprintf(w->dir, sizeof w->dir, "%s/ur-course.XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (ur_seal_start() < 0 || mkdtemp(w->dir) == NULL) {
		free(world);
		return -1;
	}
	(void)snprintf(w->root, sizeof w->root, "%s/spool", w->dir);
	open_gateway();
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	close_gateway();
	(void)nftw(w->dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

/** Another upload; the server has forgotten the last one. */
static void begin_anew(void)
{
	struct ur_spool_upload *last = upload_of();
	if (last != NULL) {
		assert_null(last->session);
		assert_int_equal(ur_spool_remove(w->gateway.spool, last, NULL), 0);
		ur_spool_dismiss(w->gateway.spool, last);
	}
	w->has = w->ghost = w->said_absent = false;
	w->late = 0;
	w->bodies = 0;
	make_upload("filename YS5qcGc=");
}

static void without_mischief_its_bytes_travel_once(void **state)
{
	(void)state;
	begin_anew();
	finish();
	assert_int_equal(w->bodies, 1);
	assert_int_equal(w->gateway.counters.delivered, 1);
	assert_int_equal(w->gateway.counters.duplicates, 0);
	assert_int_equal(w->gateway.carrying, 0);
}

static void what_the_server_has_does_not_travel(void **state)
{
	(void)state;
	begin_anew();
	w->has = true;
	finish();
	assert_int_equal(w->bodies, 0);
	assert_int_equal(w->gateway.counters.duplicates, 1);
	assert_true(upload_of()->outcome.duplicate);
}

static void every_mischief_at_every_step_ends_well(void **state)
{
	(void)state;
	for (int mischief = 0; mischief < MISCHIEFS; mischief++) {
		for (int at = 0; at < 12; at++) {
			begin_anew();
			for (int i = 0; i < at && step(HONEST); i++) {
				assert_good();
			}
			for (int i = 0; i < 3 && delivery_of() != NULL; i++) {
				(void)step((enum mischief)mischief);
				assert_good();
			}
			finish();
		}
	}
}

static void a_process_that_ends_at_every_step_loses_nothing(void **state)
{
	(void)state;
	for (int at = 0; at < 14; at++) {
		for (int mischief = 0; mischief < MISCHIEFS; mischief++) {
			begin_anew();
			for (int i = 0; i < at && delivery_of() != NULL; i++) {
				(void)step(i == at / 2 ? (enum mischief)mischief : HONEST);
				assert_good();
			}
			restart();
			finish();
		}
	}
}

static void whatever_happens_it_is_there_in_the_end(void **state)
{
	(void)state;
	for (int run = 0; run < 400; run++) {
		begin_anew();
		const unsigned steps = pick(60);
		for (unsigned i = 0; i < steps && delivery_of() != NULL; i++) {
			(void)step((enum mischief)pick(MISCHIEFS));
			assert_good();
			if (pick(20) == 0) {
				restart();
			}
		}
		finish();
	}
}

static void what_it_kept_of_a_failed_upload_is_not_believed(void **state)
{
	(void)state;
	begin_anew();
	for (int i = 0; i < 20 && w->bodies == 0; i++) {
		(void)step(w->pending != NULL && is_send(w->pending) ? FAILS_HALF : HONEST);
	}
	assert_true(w->ghost);
	assert_true(delivery_of()->put.doubted);
	for (int i = 0; i < 20 && w->ghost; i++) {
		assert_false(upload_of()->bytes_gone);
		(void)step(HONEST);
	}
	finish();
	assert_int_equal(w->bodies, 2);
}

static void an_answer_to_another_upload_is_found_out_and_these_bytes_travel_again(void **state)
{
	(void)state;
	begin_anew();
	for (int i = 0; i < 20 && w->bodies == 0; i++) {
		(void)step(w->pending != NULL && is_send(w->pending) ? CACHED : HONEST);
	}
	assert_false(w->has);
	finish();
	assert_int_equal(w->bodies, 2);
}

static void a_refusal_of_the_servers_own_ends_it_and_keeps_the_bytes(void **state)
{
	(void)state;
	begin_anew();
	for (int i = 0; i < 20 && w->pending == NULL; i++) {
		(void)step(HONEST);
	}
	for (int i = 0; i < 20 && delivery_of() != NULL; i++) {
		if (w->pending != NULL && is_send(w->pending)) {
			struct ur_request *request = w->pending;
			w->pending = NULL;
			complain(request, 400, "Unsupported file type");
			request->done(request);
			struct ur_post *post = w->post;
			w->post = NULL;
			post->run(post);
		} else {
			(void)step(HONEST);
		}
	}
	assert_null(delivery_of());
	assert_int_equal(upload_of()->outcome.state, UR_SPOOL_REFUSED);
	assert_int_equal(upload_of()->outcome.status, 400);
	assert_false(upload_of()->bytes_gone);
	assert_int_equal(w->gateway.counters.refused, 1);
}

static void a_question_that_is_not_answered_is_told_of_and_a_body_is_not(void **state)
{
	(void)state;
	begin_anew();
	while (w->pending == NULL) {
		(void)step(HONEST);
	}
	assert_true(is_check(w->pending));
	assert_true(delivery_of()->waits_from_ms > 0);
	delivery_of()->waits_from_ms -= 4000;
	ur_delivery_tick(&w->gateway);
	assert_null(strstr(upload_of()->outcome.words, "has not answered"));
	delivery_of()->waits_from_ms -= 1000;
	ur_delivery_tick(&w->gateway);
	assert_non_null(strstr(upload_of()->outcome.words, "has not answered"));
	assert_int_equal(delivery_of()->waits_from_ms, 0); // once
	while (w->pending == NULL || !is_send(w->pending)) {
		(void)step(HONEST);
	}
	assert_int_equal(delivery_of()->waits_from_ms, 0);
	finish();
}

static void it_waits_for_its_turn_and_for_a_server(void **state)
{
	(void)state;
	w->gateway.limits.deliveries = 0; // nobody's turn
	begin_anew();
	for (int i = 0; i < 10; i++) {
		assert_true(step(HONEST));
		assert_null(w->pending);
		assert_string_equal(upload_of()->outcome.words, "waits for its turn");
	}
	w->gateway.limits.deliveries = 2;
	w->gateway.server.dialect = NULL; // no server
	assert_true(step(HONEST));
	assert_null(w->pending);
	w->gateway.server.dialect = &dialect;
	finish();
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(without_mischief_its_bytes_travel_once),
		HERE(what_the_server_has_does_not_travel),
		HERE(every_mischief_at_every_step_ends_well),
		HERE(a_process_that_ends_at_every_step_loses_nothing),
		HERE(whatever_happens_it_is_there_in_the_end),
		HERE(what_it_kept_of_a_failed_upload_is_not_believed),
		HERE(an_answer_to_another_upload_is_found_out_and_these_bytes_travel_again),
		HERE(a_refusal_of_the_servers_own_ends_it_and_keeps_the_bytes),
		HERE(a_question_that_is_not_answered_is_told_of_and_a_body_is_not),
		HERE(it_waits_for_its_turn_and_for_a_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
