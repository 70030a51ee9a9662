/*
 * sim_gateway - a world of uploads that are complete, a gateway that dies and comes back, the promises.
 *
 *     spool (played) ─▶ deliveries (real) ⇄ the server ─▶ outcomes, durable ─▶ the bytes may go
 *
 * What was concluded outlives a crash, and nothing else does.
 */
#include "tests/sim/sim.h"

#include "engine/gateway/delivery/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHORES 64
#define TICK_NS (500 * UR_MS_NS)
#define TURNS_MAX 200000 // of one process: more is a livelock
#define KEEP_S 60        // how often its run time is written down

const char sim_name[] = "gateway";
const uint64_t sim_count = 35000;

static struct made {
	struct ur_spool_upload upload;
	struct ur_spool_outcome durable;
	int content;
	bool gone; // its bytes
} uploads[SIM_FILES];

static struct ur_gateway gateway;
static int64_t ran_ms;   // in earlier processes
static int64_t begun_ns; // this one
static bool starting;    // it reads what is there
static const struct ur_dialect dialect = {.name = "a server's"};
static const struct ur_credential key = {.line = "x-api-key: k", .is_key = true};

bool sim_own_is_there(int own_file, bool *ret_aside)
{
	(void)own_file, (void)ret_aside;
	abort(); // it has no files of its own
}

static struct made *made_of(const struct ur_spool_upload *upload)
{
	return (struct made *)((char *)(uintptr_t)upload - offsetof(struct made, upload));
}

/* ---- neighbours that are not here ------------------------------------------------------------ */

static struct chore {
	struct sim_event event;
	struct ur_job *job;
	struct ur_post *post;
} chores[CHORES];

static void do_chore(struct sim_event *event)
{
	struct chore *chore = (struct chore *)((char *)event - offsetof(struct chore, event));
	struct ur_job *job = chore->job;
	struct ur_post *post = chore->post;
	chore->job = NULL;
	chore->post = NULL;
	if (post != NULL) {
		post->run(post);
	}
	if (job != NULL) {
		job->run(job);
		if (!sim.dead) {
			job->done(job);
		}
	}
}

static struct chore *new_chore(void)
{
	for (size_t i = 0; i < CHORES; i++) {
		if (!chores[i].event.waits) {
			chores[i].event.happen = do_chore;
			sim_later(&chores[i].event, (int64_t)sim_below(20) * UR_MS_NS);
			return &chores[i];
		}
	}
	abort();
}

void __wrap_ur_crew_submit(struct ur_crew *crew, struct ur_job *job);
void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post);
void __wrap_ur_gate_forget(struct ur_gate *gate, const struct ur_credential *credential);
void __wrap_ur_gateway_log(struct ur_gateway *g, int level, const char *format, ...);
void __wrap_ur_upstream_note(struct ur_gateway *g, bool answers, const char *why);

void __wrap_ur_crew_submit(struct ur_crew *crew, struct ur_job *job)
{
	(void)crew;
	new_chore()->job = job;
}

void __wrap_ur_httpd_post(struct ur_httpd *httpd, struct ur_post *post)
{
	(void)httpd;
	new_chore()->post = post;
}

void __wrap_ur_gate_forget(struct ur_gate *gate, const struct ur_credential *credential)
{
	(void)gate, (void)credential;
}

void __wrap_ur_gateway_log(struct ur_gateway *g, int level, const char *format, ...)
{
	char text[400];
	va_list list;
	(void)g, (void)level;
	va_start(list, format);
	(void)vsnprintf(text, sizeof text, format, list);
	va_end(list);
	sim_say("%s", text);
}

void __wrap_ur_upstream_note(struct ur_gateway *g, bool answers, const char *why)
{
	(void)g, (void)answers, (void)why;
}

/* ---- the spool ------------------------------------------------------------------------------- */

int64_t __wrap_ur_spool_ran_ms(const struct ur_spool *spool);
void __wrap_ur_spool_stamp(const struct ur_spool *spool, struct ur_spool_outcome *outcome);
int __wrap_ur_spool_conclude(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome, struct ur_err *err);
void __wrap_ur_spool_concluded(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome);
int __wrap_ur_spool_empty(struct ur_spool_upload *upload, struct ur_err *err);
struct ur_spool_upload *__wrap_ur_spool_find(const struct ur_spool *spool, const char *id);
int __wrap_ur_spool_wipe(struct ur_spool_upload *upload, const char *name);
int __wrap_ur_spool_metadata(const struct ur_spool_upload *upload, char **ret);
int __wrap_ur_spool_open(const struct ur_spool_upload *upload, struct ur_err *err);
void __wrap_ur_spool_rest(struct ur_spool_upload *upload);

int64_t __wrap_ur_spool_ran_ms(const struct ur_spool *spool)
{
	(void)spool;
	return ran_ms + (sim_now() - begun_ns) / UR_MS_NS;
}

void __wrap_ur_spool_stamp(const struct ur_spool *spool, struct ur_spool_outcome *outcome)
{
	outcome->since_ran_ms = ur_spool_ran_ms(spool);
}

/** The moment of truth: the process may die before it, or after it. */
int __wrap_ur_spool_conclude(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome, struct ur_err *err)
{
	struct made *made = made_of(upload);
	if (!sim.dead && sim_lies(LIE_CRASH) && sim_once_in(2)) {
		sim.dead = true;
	}
	if (sim.dead) {
		return 0;
	}
	if (sim_lies(LIE_DISK)) {
		return ur_err_set(err, -ENOSPC, UR_FAULT_WORLD, "the outcome");
	}
	made->durable = *outcome;
	if (sim_lies(LIE_CRASH) && sim_once_in(2)) {
		sim.dead = true;
	}
	return 0;
}

void __wrap_ur_spool_concluded(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome)
{
	upload->outcome = *outcome;
}

/** Promise 1: the spool may hold the only copy. */
int __wrap_ur_spool_empty(struct ur_spool_upload *upload, struct ur_err *err)
{
	struct made *made = made_of(upload);
	(void)err;
	assert(made->durable.state == UR_SPOOL_CONFIRMED);
	if (sim.dead) {
		return 0;
	}
	/* What was confirmed and is in the trash by the next start was its owner's to throw away. */
	const struct sim_content *content = &sim_contents[made->content];
	const bool thrown = starting && content->row && content->stored && content->trashed;
	if (!thrown && !sim_server_holds(made->content, -1)) {
		sim_break("the bytes of %s went and the server does not hold them", upload->id);
	}
	sim_say("the bytes of %s go", upload->id);
	made->gone = true;
	upload->bytes_gone = true;
	return 0;
}

struct ur_spool_upload *__wrap_ur_spool_find(const struct ur_spool *spool, const char *id)
{
	(void)spool, (void)id;
	return NULL;
}

int __wrap_ur_spool_wipe(struct ur_spool_upload *upload, const char *name)
{
	(void)upload, (void)name;
	return 0;
}

int __wrap_ur_spool_metadata(const struct ur_spool_upload *upload, char **ret)
{
	(void)upload;
	*ret = strdup("filename YS5qcGc=");
	return *ret == NULL ? -ENOMEM : 0;
}

int __wrap_ur_spool_open(const struct ur_spool_upload *upload, struct ur_err *err)
{
	assert(!made_of(upload)->gone);
	if (sim_lies(LIE_DISK)) {
		return ur_err_set(err, -EIO, UR_FAULT_WORLD, "the bytes");
	}
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void __wrap_ur_spool_rest(struct ur_spool_upload *upload)
{
	(void)upload;
}

/* ---- a process ------------------------------------------------------------------------------- */

/** What a start finds: outcomes, and bytes that an earlier end was to let go. */
static void start(void)
{
	gateway = (struct ur_gateway){
		.options = {.immich = "http://127.0.0.1:9"},
		.limits = ur_gateway_limits_default(),
		.server = {.dialect = &dialect},
		.proved_ran_ms = UR_SPOOL_NEVER,
	};
	gateway.limits.deliveries = 2;
	begun_ns = sim_now();
	sim.dead = false;
	starting = true;
	gateway.wire = sim_disk_wire();
	for (int i = 0; i < sim.plan.files; i++) {
		struct ur_spool_upload *upload = &uploads[i].upload;
		upload->outcome = uploads[i].durable;
		upload->session = NULL;
		if (upload->outcome.state == UR_SPOOL_CONFIRMED && !uploads[i].gone) {
			(void)ur_spool_empty(upload, NULL);
		}
		(void)ur_delivery_take_up(&gateway, upload);
	}
	starting = false;
	if (gateway.wire != NULL) {
		(void)ur_wire_begin(gateway.wire, 0); // else the next start knows nothing
	}
}

static void welcome(void)
{
	const struct ur_visitor who = {
		.user = SIM_USER, .may_upload = true, .may_read = true, .may_download = true};
	ur_delivery_welcome(&gateway, &who, &key);
}

static void stop(void)
{
	const int64_t lost_ms = sim.dead ? (int64_t)sim_below(KEEP_S * 1000) : 0;
	const int64_t now_ms = ur_spool_ran_ms(NULL);
	for (size_t i = 0; i < CHORES; i++) {
		chores[i].job = NULL;
		chores[i].post = NULL;
	}
	sim_server_forget();
	while (gateway.deliveries != NULL) {
		struct ur_session *session = gateway.deliveries;
		if (session->delivery->fd >= 0) {
			(void)close(session->delivery->fd);
		}
		ur_delivery_abandon(session);
		session->failed = 0;
		session->mismatches = 0;
		ur_session_rest(session);
	}
	gateway.wire = ur_wire_free(gateway.wire);
	ran_ms = now_ms - lost_ms > ran_ms ? now_ms - lost_ms : ran_ms;
	begun_ns = sim_now();
}

/** When a delivery has something to do by itself. */
static int64_t next_due(int64_t end_ns)
{
	int64_t due = end_ns;
	for (const struct ur_session *at = gateway.deliveries; at != NULL;
		at = at->delivery->next) {
		const struct ur_delivery *delivery = at->delivery;
		const int64_t at_ns = delivery->due_ms * UR_MS_NS;
		const bool waits = delivery->busy ||
				   (delivery->step == UR_DELIVERY_KEY && !delivery->has_credential);
		if (!waits && at_ns < due) {
			due = at_ns;
		}
	}
	return due <= sim_now() ? sim_now() + TICK_NS : due;
}

static bool may_stay(const struct made *made)
{
	const struct sim_content *content = &sim_contents[made->content];
	return content->trashed || (content->row && !content->stored) ||
	       (content->refused && made->durable.state == UR_SPOOL_REFUSED &&
		       made->durable.status == 400);
}

/** Nothing is left that could be done. */
static bool is_at_peace(void)
{
	for (int i = 0; i < sim.plan.files; i++) {
		if (!uploads[i].gone && !may_stay(&uploads[i])) {
			return false;
		}
	}
	return true;
}

static void run(int64_t for_ns)
{
	const int64_t end_ns = sim_now() + for_ns;
	int64_t owner_ns = 0;
	start();
	for (int turns = 0; sim_now() < end_ns && !sim.dead && sim.broken[0] == '\0' &&
			    !(sim.honest && is_at_peace());
		turns++) {
		if (sim_now() >= owner_ns) {
			welcome();
			owner_ns = sim_now() + 600 * UR_SECOND_NS;
		}
		ur_delivery_tick(&gateway);
		if (turns > TURNS_MAX) {
			sim_break("a gateway does not come to rest");
		}
		const int64_t due = next_due(end_ns);
		if (!sim_happen(due)) {
			sim_pass(due - sim_now());
		}
	}
	sim_say("the gateway ends%s", sim.dead ? " by a crash" : "");
	stop();
}

/* ---- a world --------------------------------------------------------------------------------- */

static void make_uploads(void)
{
	for (int i = 0; i < sim.plan.files; i++) {
		struct made *made = &uploads[i];
		const int content = (int)sim_below((unsigned)sim.plan.contents);
		*made = (struct made){
			.content = content,
			.durable = {.state = UR_SPOOL_COMPLETE, .missed_ran_ms = UR_SPOOL_NEVER},
		};
		made->upload.length = sim_contents[content].size;
		made->upload.offset = made->upload.durable = made->upload.length;
		memcpy(made->upload.sha1, sim_contents[content].sha1, sizeof made->upload.sha1);
		(void)snprintf(made->upload.id, sizeof made->upload.id, "upload-%d", i);
		(void)snprintf(made->upload.owner, sizeof made->upload.owner, "%s", SIM_USER);
	}
}

/** When everybody has been honest for days, all is done that can be done. */
static void check_done(void)
{
	for (int i = 0; i < sim.plan.files; i++) {
		const struct made *made = &uploads[i];
		if (made->gone && !sim_contents[made->content].row) {
			sim_break("%s is nowhere any more", made->upload.id);
		}
		if (!made->gone && !may_stay(made)) {
			sim_break("%s is still here after days of peace (state %d, HTTP %d: %s)",
				made->upload.id, (int)made->durable.state, made->durable.status,
				made->durable.words);
		}
	}
}

const char *sim_live(const struct sim_plan *plan)
{
	static const int64_t lives_s[] = {3, 30, 90, 400, 4000, 30000};
	sim_begin(plan);
	memset(chores, 0, sizeof chores);
	ran_ms = 0;
	sim_disk_begin();
	make_uploads();
	for (int i = 0; i < plan->runs && sim.broken[0] == '\0'; i++) {
		run(lives_s[sim_below(6)] * UR_SECOND_NS);
		sim_pass_time();
	}
	sim.honest = true;
	if (sim.broken[0] == '\0') {
		run(26 * SIM_HOUR);
	}
	if (sim.broken[0] == '\0') {
		check_done();
	}
	return sim.broken;
}
