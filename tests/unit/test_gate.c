/*
 * gate - who is believed, by whose word, and who waits: immich-server is played here, answer by answer.
 */
#include "engine/gateway/gate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define USER "{\"id\":\"" ANN "\",\"name\":\"Ann\"}"
#define MOST 64u
#define ASKING_MAX 32u
#define GUESSES 20
#define LANE_MAX 16u

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request);
void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post);

static struct ur_request *asked[MOST];
static size_t asked_count;
static struct ur_post *posted;

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request)
{
	(void)http;
	assert_true(asked_count < MOST);
	asked[asked_count++] = request;
}

void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post)
{
	(void)httpd;
	posted = post;
}

/** Somebody who waits. */
struct waiter {
	struct ur_gate_wait wait;
	unsigned told;
	enum ur_verdict verdict;
	struct ur_visitor who;
};

static void told(struct ur_gate_wait *wait, enum ur_verdict verdict, const struct ur_visitor *who,
	const char *words)
{
	struct waiter *waiter = (struct waiter *)wait;
	assert_non_null(words);
	waiter->told++;
	waiter->verdict = verdict;
	waiter->who = *who;
}

static struct ur_credential key_named(const char *name)
{
	struct ur_credential key = {.is_key = true};
	(void)snprintf(key.line, sizeof key.line, "x-api-key: %s", name);
	return key;
}

static void ask(struct ur_gate *gate, const char *name, const char *from, struct waiter *waiter)
{
	const struct ur_credential key = key_named(name);
	*waiter = (struct waiter){.wait = {.told = told}};
	ur_gate_ask(gate, &key, from, &waiter->wait);
}

/** The oldest question is answered. */
static void answer(int status, bool own, const char *text)
{
	assert_true(asked_count > 0);
	struct ur_request *request = asked[0];
	asked_count--;
	memmove(asked, asked + 1, asked_count * sizeof *asked);
	request->status = status;
	(void)snprintf(request->correlation, sizeof request->correlation, "%s", own ? "cid" : "");
	(void)snprintf(request->answer_type, sizeof request->answer_type, "application/json");
	ur_text_clear(&request->answer);
	ur_text_adds(&request->answer, text);
	request->done(request);
	posted->run(posted);
}

#define RIGHTS "{\"permissions\":[\"user.read\",\"asset.upload\",\"asset.read\"]}"
#define COMPLAINT "{\"message\":\"no\"}"

static void be_good(void)
{
	answer(200, true, USER);
	assert_string_equal(asked[asked_count - 1]->path, "/api/api-keys/me");
	struct ur_request *last = asked[asked_count - 1]; // the second question of the same key
	memmove(asked + 1, asked, (asked_count - 1) * sizeof *asked);
	asked[0] = last;
	answer(200, true, RIGHTS);
}

static int set_up(void **state)
{
	struct ur_gate *gate = NULL;
	asked_count = 0;
	const int r = ur_gate_new(NULL, NULL, &gate, NULL);
	*state = gate;
	return r;
}

static int tear_down(void **state)
{
	return ur_gate_free(*state) == NULL ? 0 : -1;
}

static void one_question_answers_all_who_wait_and_all_who_come(void **state)
{
	struct ur_gate *gate = *state;
	struct waiter waiters[8];
	for (size_t i = 0; i < 7; i++) {
		ask(gate, "ann", "10.0.0.1", &waiters[i]);
		assert_int_equal(waiters[i].told, 0);
	}
	assert_int_equal(asked_count, 1);
	assert_string_equal(asked[0]->path, "/api/users/me");
	assert_string_equal(asked[0]->header[0], "x-api-key: ann");
	be_good();
	ask(gate, "ann", "10.0.0.2", &waiters[7]); // who comes later is told at once
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(waiters[i].told, 1);
		assert_int_equal(waiters[i].verdict, UR_VERDICT_IN);
		assert_string_equal(waiters[i].who.user, ANN);
		assert_true(waiters[i].who.may_upload);
		assert_true(waiters[i].who.may_read);
		assert_false(waiters[i].who.may_download);
	}
	assert_int_equal(asked_count, 0);
	assert_int_equal(ur_gate_questions(gate), 2);
}

static void what_was_refused_elsewhere_is_asked_afresh(void **state)
{
	struct ur_gate *gate = *state;
	const struct ur_credential key = key_named("ann");
	struct waiter waiter;
	ask(gate, "ann", "10.0.0.1", &waiter);
	be_good();
	ur_gate_forget(gate, &key);
	ask(gate, "ann", "10.0.0.1", &waiter);
	assert_int_equal(waiter.told, 0);
	answer(401, true, COMPLAINT);
	assert_int_equal(waiter.told, 1);
	assert_int_equal(waiter.verdict, UR_VERDICT_UNKNOWN);
}

/** Whoever says what: only the server's own word lets in or keeps out. */
static void a_page_of_a_proxy_says_nothing_about_a_key(void **state)
{
	static const int statuses[] = {
		200, 201, 204, 301, 302, 400, 401, 403, 404, 429, 500, 502, 503};
	static const char *const texts[] = {USER, RIGHTS, COMPLAINT, "", "<html>"};
	struct ur_gate *gate = *state;
	unsigned n = 0;
	for (size_t s = 0; s < sizeof statuses / sizeof *statuses; s++) {
		for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
			char name[32];
			struct waiter waiter;
			(void)snprintf(name, sizeof name, "k%u", n++);
			ask(gate, name, "10.0.0.1", &waiter);
			answer(statuses[s], false, texts[t]);
			assert_int_equal(waiter.told, 1);
			assert_int_equal(waiter.verdict, UR_VERDICT_AWAY);
		}
	}
}

static void the_servers_own_words_are_told_apart(void **state)
{
	static const struct {
		int status;
		const char *text;
		enum ur_verdict verdict;
	} rows[] = {
		{401, COMPLAINT, UR_VERDICT_UNKNOWN},
		{403, COMPLAINT, UR_VERDICT_FORBIDDEN},
		{404, COMPLAINT, UR_VERDICT_AWAY},
		{429, COMPLAINT, UR_VERDICT_AWAY},
		{500, COMPLAINT, UR_VERDICT_AWAY},
		{200, "{}", UR_VERDICT_AWAY},
		{200, "", UR_VERDICT_AWAY},
	};
	struct ur_gate *gate = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char name[32];
		struct waiter waiter;
		(void)snprintf(name, sizeof name, "k%zu", i);
		ask(gate, name, "10.0.0.1", &waiter);
		answer(rows[i].status, true, rows[i].text);
		assert_int_equal(waiter.verdict, rows[i].verdict);
	}
}

static void a_key_that_does_not_say_what_it_may_is_not_let_in(void **state)
{
	struct ur_gate *gate = *state;
	struct waiter waiter;
	ask(gate, "ann", "10.0.0.1", &waiter);
	answer(200, true, USER);
	assert_int_equal(waiter.told, 0);
	answer(200, true, "{}");
	assert_int_equal(waiter.verdict, UR_VERDICT_AWAY);
	assert_false(waiter.who.may_upload);
}

static void no_more_than_so_many_questions_are_under_way(void **state)
{
	static struct waiter waiters[60];
	struct ur_gate *gate = *state;
	for (size_t i = 0; i < 60; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "k%zu", i);
		ask(gate, name, "10.0.0.1", &waiters[i]);
		assert_true(asked_count <= ASKING_MAX);
	}
	assert_int_equal(asked_count, ASKING_MAX);
	for (size_t i = 0; i < 60; i++) {
		answer(503, true, COMPLAINT);
		assert_true(asked_count <= ASKING_MAX);
	}
	assert_int_equal(asked_count, 0);
	for (size_t i = 0; i < 60; i++) {
		assert_int_equal(waiters[i].told, 1);
	}
}

/** Guesses slow down the address that they come from, and nobody else. */
static void who_guesses_is_asked_for_one_a_second(void **state)
{
	static struct waiter many[LANE_MAX + 4];
	struct ur_gate *gate = *state;
	struct waiter good;
	struct waiter waiter;
	ask(gate, "good", "10.0.0.1", &good);
	be_good();
	for (int i = 0; i < GUESSES + 3; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "guess%d", i);
		ask(gate, name, "10.0.0.1", &waiter);
		if (asked_count > 0) {
			answer(401, true, COMPLAINT);
		}
	}
	ur_gate_tick(gate);
	while (asked_count > 0) {
		answer(401, true, COMPLAINT);
		ur_gate_tick(gate);
	}
	unsigned busy = 0;
	for (size_t i = 0; i < LANE_MAX + 4; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "more%zu", i);
		ask(gate, name, "10.0.0.1", &many[i]);
		assert_int_equal(asked_count, 0); // none is asked for at once
	}
	for (size_t i = 0; i < LANE_MAX + 4; i++) {
		busy += many[i].told == 1 && many[i].verdict == UR_VERDICT_BUSY ? 1 : 0;
	}
	assert_int_equal(busy, 4); // there is room for so many, and somebody had to go
	ur_gate_tick(gate);
	assert_int_equal(asked_count, 1);
	ask(gate, "good", "10.0.0.1", &good); // one that was good is not held up
	assert_int_equal(good.verdict, UR_VERDICT_IN);
	ask(gate, "new", "10.0.0.2", &waiter); // nor is anybody else
	assert_int_equal(asked_count, 2);
}

/* ---- what a request carries -------------------------------------------------------------------- */

struct header {
	const char *name;
	const char *value;
};

static void carry(const struct header *headers, size_t count, struct ur_credential *ret)
{
	struct ur_exchange x = {.field_count = count};
	for (size_t i = 0; i < count; i++) {
		x.fields[i].name = headers[i].name;
		x.fields[i].value = headers[i].value;
	}
	ur_credential_of(&x, ret);
}

static void a_request_carries_one_credential_or_none(void **state)
{
	static const struct {
		struct header headers[3];
		const char *line;
		bool is_key;
	} rows[] = {
		{{{"x-api-key", "abc"}}, "x-api-key: abc", true},
		{{{"authorization", "Bearer abc"}}, "Authorization: Bearer abc", false},
		{{{"authorization", "bearer abc"}}, "Authorization: Bearer abc", false},
		{{{"authorization", "Basic abc"}}, "", false},
		{{{"x-immich-user-token", "abc"}}, "x-immich-user-token: abc", false},
		{{{"x-api-key", "abc"}, {"authorization", "Bearer d"}}, "x-api-key: abc", true},
		/* What would break a header apart, or is none, is no key, and nothing else counts. */
		{{{"x-api-key", "a b"}, {"authorization", "Bearer d"}}, "", false},
		{{{"x-api-key", ""}}, "", false},
		{{{"x-api-key", "a\x01"}}, "", false},
		{{{"x-api-key", "é"}}, "", false},
		/* A cookie is somebody's own only where the server's own pages sent it. */
		{{{"cookie", "immich_access_token=abc"}}, "", false},
		{{{"cookie", "immich_access_token=abc"}, {"sec-fetch-site", "cross-site"}}, "",
			false},
		{{{"cookie", "immich_access_token=abc"}, {"sec-fetch-site", "same-origin"}},
			"x-immich-user-token: abc", false},
		{{{"cookie", "a=b; immich_access_token=abc; c=d"},
			 {"sec-fetch-site", "same-origin"}},
			"x-immich-user-token: abc", false},
		{{{"cookie", "not_immich_access_token=abc"}, {"sec-fetch-site", "same-origin"}}, "",
			false},
		{{{"cookie", "immich_access_token=abc"}, {"origin", "https://photos.example"},
			 {"host", "photos.example"}},
			"x-immich-user-token: abc", false},
		{{{"cookie", "immich_access_token=abc"}, {"origin", "https://evil.example"},
			 {"host", "photos.example"}},
			"", false},
		{{{"cookie", "immich_access_token=abc"}, {"origin", "https://photos.example.evil"},
			 {"host", "photos.example"}},
			"", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ur_credential credential;
		size_t count = 0;
		while (count < 3 && rows[i].headers[count].name != NULL) {
			count++;
		}
		carry(rows[i].headers, count, &credential);
		assert_string_equal(credential.line, rows[i].line);
		assert_int_equal(credential.is_key, rows[i].is_key);
	}
}

static void what_is_longer_than_any_key_is_none(void **state)
{
	char text[UR_CREDENTIAL_MAX + 1];
	(void)state;
	for (size_t size = 1; size < sizeof text; size++) {
		struct ur_credential credential;
		const struct header header = {"x-api-key", text};
		memset(text, 'a', size);
		text[size] = '\0';
		carry(&header, 1, &credential);
		assert_int_equal(credential.line[0] != '\0', size < UR_CREDENTIAL_MAX - 40);
		assert_true(strlen(credential.line) < sizeof credential.line);
	}
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(one_question_answers_all_who_wait_and_all_who_come),
		HERE(what_was_refused_elsewhere_is_asked_afresh),
		HERE(a_page_of_a_proxy_says_nothing_about_a_key),
		HERE(the_servers_own_words_are_told_apart),
		HERE(a_key_that_does_not_say_what_it_may_is_not_let_in),
		HERE(no_more_than_so_many_questions_are_under_way),
		HERE(who_guesses_is_asked_for_one_a_second),
		cmocka_unit_test(a_request_carries_one_credential_or_none),
		cmocka_unit_test(what_is_longer_than_any_key_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
