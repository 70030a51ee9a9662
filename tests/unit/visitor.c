/* visitor - the neighbours of the gateway's rooms, as the linker puts them in place. */
#include "tests/unit/visitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FIELDS_MAX 16

static struct visitor *here;
static struct ur_post *posts;
static struct ur_job *jobs;
static char kept[FIELDS_MAX][512]; // the lines of the request

/* ---- httpd, crew, gate, immich-server -------------------------------------------------------- */

void __wrap_ur_exchange_set(struct ur_exchange *x, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void __wrap_ur_exchange_answer(
	struct ur_exchange *x, int status, const char *type, const void *bytes, size_t size);
void __wrap_ur_exchange_answer_file(struct ur_exchange *x, int status, const char *type, int fd,
	uint64_t offset, uint64_t size);
void __wrap_ur_exchange_accept(struct ur_exchange *x);
void __wrap_ur_exchange_pause(struct ur_exchange *x);
void __wrap_ur_exchange_resume(struct ur_exchange *x);
void __wrap_ur_exchange_drop(struct ur_exchange *x);
struct ur_httpd_counts __wrap_ur_httpd_counts(const struct ur_httpd *httpd);
void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post);
void __wrap_ur_httpd_stop(struct ur_httpd *httpd, int64_t grace_ms);
void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request);
void __wrap_ur_crew_submit(struct ur_crew *crew, struct ur_job *job);
void __wrap_ur_gate_ask(struct ur_gate *gate, const struct ur_credential *credential,
	const char *address, struct ur_gate_wait *wait);

void __wrap_ur_exchange_set(struct ur_exchange *x, const char *name, const char *format, ...)
{
	char value[1024];
	char line[1200];
	va_list list;
	assert_ptr_equal(x, &here->x);
	va_start(list, format);
	(void)vsnprintf(value, sizeof value, format, list);
	va_end(list);
	(void)snprintf(line, sizeof line, "%s: %s\n", name, value);
	assert_true(strlen(here->fields) + strlen(line) < sizeof here->fields);
	(void)strcat(here->fields, line);
}

static void be_answered(struct ur_exchange *x, int status, const char *type)
{
	assert_ptr_equal(x, &here->x);
	assert_int_equal(here->answers, 0);
	here->answers++;
	here->status = status;
	(void)snprintf(here->type, sizeof here->type, "%s", type == NULL ? "" : type);
}

void __wrap_ur_exchange_answer(
	struct ur_exchange *x, int status, const char *type, const void *bytes, size_t size)
{
	be_answered(x, status, type);
	assert_true(size < sizeof here->text);
	assert_true(size == 0 || type != NULL);
	(void)snprintf(here->text, sizeof here->text, "%.*s", (int)size,
		size == 0 ? "" : (const char *)bytes);
}

void __wrap_ur_exchange_answer_file(
	struct ur_exchange *x, int status, const char *type, int fd, uint64_t offset, uint64_t size)
{
	be_answered(x, status, type);
	here->file = fd;
	here->file_from = offset;
	here->file_size = size;
}

void __wrap_ur_exchange_accept(struct ur_exchange *x)
{
	assert_ptr_equal(x, &here->x);
	assert_false(here->accepted);
	here->accepted = true;
}

void __wrap_ur_exchange_pause(struct ur_exchange *x)
{
	assert_ptr_equal(x, &here->x);
}

void __wrap_ur_exchange_resume(struct ur_exchange *x)
{
	assert_ptr_equal(x, &here->x);
}

void __wrap_ur_exchange_drop(struct ur_exchange *x)
{
	assert_ptr_equal(x, &here->x);
	here->dropped++;
}

struct ur_httpd_counts __wrap_ur_httpd_counts(const struct ur_httpd *httpd)
{
	(void)httpd;
	return (struct ur_httpd_counts){.connections = 7, .open = 3, .requests = 11, .refused = 2};
}

void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post)
{
	(void)httpd;
	post->next = NULL;
	struct ur_post **end = &posts;
	while (*end != NULL) {
		end = &(*end)->next;
	}
	*end = post;
}

void __wrap_ur_httpd_stop(struct ur_httpd *httpd, int64_t grace_ms)
{
	(void)httpd;
	assert_true(grace_ms > 0);
	here->closed++;
}

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request)
{
	(void)http;
	assert_null(here->asked);
	here->asked = request;
	here->questions++;
}

void __wrap_ur_crew_submit(struct ur_crew *crew, struct ur_job *job)
{
	(void)crew;
	job->next = NULL;
	struct ur_job **end = &jobs;
	while (*end != NULL) {
		end = &(*end)->next;
	}
	*end = job;
}

/** The loop and the crew, until nothing is left to do: never from within a call of theirs. */
static void go_on(const struct visitor *v)
{
	while (posts != NULL || (jobs != NULL && !v->hold)) {
		struct ur_post *post = posts;
		struct ur_job *job = jobs;
		if (post != NULL) {
			posts = post->next;
			post->run(post);
		} else {
			jobs = job->next;
			job->run(job);
			job->done(job);
		}
	}
}

void __wrap_ur_gate_ask(struct ur_gate *gate, const struct ur_credential *credential,
	const char *address, struct ur_gate_wait *wait)
{
	(void)gate;
	assert_null(here->waits);
	here->waits = wait;
	here->credential = *credential;
	(void)snprintf(here->address, sizeof here->address, "%s", address);
}

static void take_log(void *context, int level, const char *text)
{
	struct visitor *v = context;
	(void)level;
	(void)snprintf(v->log, sizeof v->log, "%s", text);
}

/* ---- one who comes and goes ------------------------------------------------------------------ */

int visitor_new(void **state)
{
	struct visitor *v = calloc(1, sizeof *v);
	struct ur_err err = {0};
	char spool[ROOM_PATH + 16];
	v->fd = room_make(v->path);
	v->file = -1;
	v->gateway = (struct ur_gateway){
		.options = {.immich = "http://127.0.0.1:9", .log = take_log, .context = v},
		.limits = ur_gateway_limits_default(),
		.base = "/uringest/",
		.proved_ran_ms = UR_SPOOL_NEVER,
	};
	v->gateway.limits.keep_free = 0;
	(void)snprintf(spool, sizeof spool, "%s/spool", v->path);
	if (ur_spool_new(spool, &v->gateway.spool, &err) < 0) {
		print_message("%s\n", err.text);
		return -1;
	}
	here = v;
	posts = NULL;
	jobs = NULL;
	*state = v;
	return 0;
}

static void forget_answer(struct visitor *v)
{
	if (v->file >= 0) {
		(void)close(v->file);
	}
	v->file = -1;
	v->answers = v->dropped = v->questions = 0;
	v->accepted = false;
	v->status = 0;
	v->fields[0] = v->text[0] = v->log[0] = v->address[0] = '\0';
}

int visitor_free(void **state)
{
	struct visitor *v = *state;
	forget_answer(v);
	assert_null(v->gateway.visits); // each was answered, or let go
	ur_types_free(v->gateway.types);
	ur_request_done(&v->gateway.version_request);
	v->gateway.spool = ur_spool_free(v->gateway.spool);
	room_remove(v->path, v->fd);
	free(v);
	return 0;
}

static void add_field(struct visitor *v, const char *line)
{
	char *copy = kept[v->x.field_count];
	assert_true(v->x.field_count < FIELDS_MAX);
	(void)snprintf(copy, sizeof kept[0], "%s", line);
	char *colon = strstr(copy, ": ");
	assert_non_null(colon);
	*colon = '\0';
	v->x.fields[v->x.field_count++] = (struct ur_field){copy, colon + 2};
	if (strcmp(copy, "content-length") == 0) {
		v->x.has_length = true;
		v->x.length = strtoull(colon + 2, NULL, 10);
		v->x.has_body = v->x.length > 0;
	}
	v->x.has_body = v->x.has_body || strcmp(copy, "transfer-encoding") == 0;
}

static void ask(struct visitor *v, const char *method, const char *path, va_list lines)
{
	static char whole[512];
	const char *line = NULL;
	forget_answer(v);
	(void)snprintf(whole, sizeof whole, "%s", path);
	char *query = strchr(whole, '?');
	if (query != NULL) {
		*query++ = '\0';
	}
	v->x = (struct ur_exchange){.method = method,
		.path = whole,
		.query = query,
		.peer = "127.0.0.1",
		.peer_near = !v->far};
	while ((line = va_arg(lines, const char *)) != NULL) {
		add_field(v, line);
	}
}

void visitor_asks(struct visitor *v, const char *method, const char *path, ...)
{
	va_list lines;
	va_start(lines, path);
	ask(v, method, path, lines);
	va_end(lines);
	ur_route_begin(&v->gateway, &v->x);
	go_on(v);
}

void visitor_asks_as_ann(struct visitor *v, const char *method, const char *path, ...)
{
	va_list lines;
	va_start(lines, path);
	ask(v, method, path, lines);
	va_end(lines);
	add_field(v, "tus-resumable: 1.0.0");
	add_field(v, "x-api-key: ann");
	ur_route_begin(&v->gateway, &v->x);
	go_on(v);
	if (v->waits != NULL) {
		visitor_is(v, UR_VERDICT_IN, ANN);
	}
}

void visitor_told(struct visitor *v, enum ur_verdict verdict, const struct ur_visitor *who)
{
	struct ur_gate_wait *wait = v->waits;
	assert_non_null(wait);
	v->waits = NULL;
	wait->told(wait, verdict, who, verdict == UR_VERDICT_IN ? "" : "the gate's words");
	go_on(v);
}

void visitor_is(struct visitor *v, enum ur_verdict verdict, const char *user)
{
	struct ur_visitor who = {.may_upload = true, .may_read = true, .may_download = true};
	(void)snprintf(who.user, sizeof who.user, "%s", user);
	visitor_told(v, verdict, &who);
}

void visitor_hears(struct visitor *v, int status, bool own, const char *text)
{
	struct ur_request *request = v->asked;
	assert_non_null(request);
	v->asked = NULL;
	request->status = status;
	request->retry_after_ms = -1;
	(void)snprintf(request->correlation, sizeof request->correlation, "%s", own ? "cid" : "");
	(void)snprintf(request->answer_type, sizeof request->answer_type, "application/json");
	ur_text_clear(&request->answer);
	ur_text_adds(&request->answer, text);
	if (request->field != NULL) {
		char date[40];
		const time_t now = time(NULL);
		struct tm utc;
		(void)gmtime_r(&now, &utc);
		(void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
		request->field(request, "Date", date);
	}
	request->done(request);
	go_on(v);
}

void visitor_hears_nothing(struct visitor *v)
{
	struct ur_request *request = v->asked;
	assert_non_null(request);
	v->asked = NULL;
	request->result = -ECONNRESET;
	request->done(request);
	go_on(v);
}

void visitor_let_crew(struct visitor *v)
{
	assert_non_null(jobs);
	v->hold = false;
	go_on(v);
}

/** The exchange is the gateway's no more: httpd does not speak of it again. */
static bool is_over(const struct visitor *v)
{
	return v->answers + v->dropped > 0;
}

void visitor_brings(struct visitor *v, const char *bytes)
{
	if (!is_over(v)) {
		ur_route_body(&v->gateway, &v->x, bytes, strlen(bytes));
		go_on(v);
	}
}

void visitor_ends(struct visitor *v)
{
	if (!is_over(v)) {
		ur_route_end(&v->gateway, &v->x);
		go_on(v);
	}
}

void visitor_leaves(struct visitor *v)
{
	assert_false(is_over(v));
	ur_route_gone(&v->gateway, &v->x, -ECONNRESET);
	go_on(v);
}

const char *visitor_field(const struct visitor *v, const char *name)
{
	static char value[1024];
	const size_t size = strlen(name);
	for (const char *at = v->fields; *at != '\0'; at = strchr(at, '\n') + 1) {
		if (strncmp(at, name, size) == 0 && at[size] == ':') {
			(void)snprintf(value, sizeof value, "%.*s",
				(int)(strchr(at, '\n') - at - (long)size - 2), at + size + 2);
			return value;
		}
	}
	return NULL;
}

struct ur_spool_upload *visitor_upload(struct visitor *v, const char *owner, uint64_t length)
{
	const struct ur_spool_spec spec = {.owner = owner, .length = length, .metadata = ""};
	struct ur_spool_upload *upload = NULL;
	assert_int_equal(ur_spool_make(v->gateway.spool, &spec, &upload, NULL), 0);
	ur_spool_admit(v->gateway.spool, upload);
	v->gateway.records++;
	return upload;
}

void visitor_goes_on(struct visitor *v)
{
	go_on(v);
}
