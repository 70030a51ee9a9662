/*
 * importer - a run: what scan and probe find, what upload and settle do, around the real coordinator.
 *
 *     files ─▶ items ─▶ coordinator ⇄ uploads, the server, settle
 *
 * When the process dies nothing that it does from then on happens; it is only let come to its end.
 */
#include "tests/sim/importer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_NS (11 * UR_SECOND_NS) // of a stop; then http has been told to cancel
#define UPLOADS (4 * SIM_FILES)      // those on the way that nobody waits for any more, too
#define TURNS_MAX 60000              // of one run: more is a livelock

enum {
	FROM_PROBE,
	FREE_ITEMS,
	TO_UPLOAD,
	FROM_UPLOAD,
	TO_CHUNKS,
	FROM_CHUNKS,
	TO_SETTLE,
	FROM_SETTLE,
	ANSWERS,
	QUEUES,
};

static struct slot {
	struct ur_item item;
	struct ur_file files[SIM_FILES];
	int which[SIM_FILES]; // of sim_files
} slots[SIM_FILES];

static struct upload {
	struct sim_event event;
	struct ur_item *item; // NULL: who sent it is not here any more
	int content;
	bool gone; // the last byte has left
	bool arrived;
} uploads[UPLOADS];

static struct ur_record rows[SIM_FILES];
static struct ur_queue *queues[QUEUES];
static struct ur_wire *wire;
static char root_path[] = "/sim";
static struct ur_root root = {.path = root_path, .path_size = 4, .fd = -1};
static struct ur_dir *dir;
static struct ur_meta live = {.content_id = "one-live-photo"};

static unsigned upload_limit_of(void *context)
{
	(void)context;
	return 2;
}

static void tell(void *context, const struct ur_event *event)
{
	(void)context;
	sim_say("%s: %s, %d%s%s", event->name, ur_state_name(event->state), event->outcome,
		event->reason[0] == '\0' ? "" : ": ", event->reason);
}

static const struct ur_options options = {
	.event = tell,
	.after = UR_AFTER_DELETE,
	.server_wait_ms = 60000,
	.answer_wait_ms = 300000,
	.suspect_wait_ms = 3600000,
	.settle_after_ms = 60000,
	.quiet_without_lease_ms = 60000,
	.tries_max = 3,
	.concurrency = 2,
	.resumable_threshold = INT64_MAX,
	.gateway = "off",
	.http = {.server = "http://127.0.0.1:9"},
};

/* ---- neighbours that are not here ------------------------------------------------------------ */

int __wrap_ur_dir_take(const struct ur_dir *at);
void __wrap_ur_dir_give(const struct ur_dir *at, int fd);
void __wrap_ur_run_leave(struct ur_run *run, struct ur_dir *at);
void __wrap_ur_bell_ring(struct ur_bell *bell);

int __wrap_ur_dir_take(const struct ur_dir *at)
{
	(void)at;
	return -EACCES;
}

void __wrap_ur_dir_give(const struct ur_dir *at, int fd)
{
	(void)at, (void)fd;
}

void __wrap_ur_run_leave(struct ur_run *run, struct ur_dir *at)
{
	(void)run, (void)at;
}

void __wrap_ur_bell_ring(struct ur_bell *bell)
{
	(void)bell;
}

/* ---- scan and probe -------------------------------------------------------------------------- */

static struct ur_identity identity_of(const struct sim_file *file)
{
	return (struct ur_identity){
		.fs = 1,
		.inode = file->inode,
		.size = (int64_t)sim_contents[file->content].size,
		.mtime_ns = 1,
		.ctime_ns = file->ctime_ns,
	};
}

static void probe(struct ur_file *file, struct ur_item *item, int which)
{
	const struct sim_file *from = &sim_files[which];
	const struct sim_content *content = &sim_contents[from->content];
	const struct ur_record *row = sim_ledger_row(which);
	*file = (struct ur_file){
		.name = from->name,
		.class = from->class,
		.identity = identity_of(from),
		.fresh = true,
		.hashed = true,
		.remembered = true,
		.writers = UR_WRITERS_NONE,
		.ending = UR_ENDING_WHOLE,
		.quiet = ur_age_begin(),
		.meta = &live,
		.sidecar = UR_NONE,
		.movie = UR_NONE,
		.still = UR_NONE,
		.item = item,
	};
	memcpy(file->sha1, content->sha1, sizeof file->sha1);
	memcpy(file->xxh, content->xxh, sizeof file->xxh);
	if (row != NULL) {
		rows[which] = *row;
		file->row = &rows[which];
		file->unchanged =
			row->remembered && ur_identity_same(&row->identity, &file->identity);
	}
}

/** Names up to the first dot are a group. */
static bool are_grouped(const char *a, const char *b)
{
	return strcspn(a, ".") == strcspn(b, ".") && strncmp(a, b, strcspn(a, ".")) == 0;
}

static void scan(void)
{
	bool taken[SIM_FILES] = {false};
	for (int i = 0; i < sim.plan.files; i++) {
		struct slot *slot = &slots[i];
		if (taken[i] || !sim_files[i].there) {
			continue;
		}
		ur_arena_reset(&slot->item.arena);
		const struct ur_arena arena = slot->item.arena;
		slot->item = (struct ur_item){
			.dir = dir, .arena = arena, .files = slot->files, .step = UR_STEP_NEW};
		for (int k = i; k < sim.plan.files; k++) {
			if (!taken[k] && sim_files[k].there &&
				are_grouped(sim_files[i].name, sim_files[k].name)) {
				taken[k] = true;
				slot->which[slot->item.count] = k;
				probe(&slot->files[slot->item.count++], &slot->item, k);
			}
		}
		const int r = ur_queue_push(queues[FROM_PROBE], &slot->item);
		assert(r == 0);
	}
	ur_queue_close(queues[FROM_PROBE]);
}

static struct sim_file *file_of(struct ur_item *item, int index)
{
	const struct slot *slot = (struct slot *)((char *)item - offsetof(struct slot, item));
	return &sim_files[slot->which[index]];
}

/* ---- upload ---------------------------------------------------------------------------------- */

static void give_back(struct upload *upload)
{
	struct ur_item *item = upload->item;
	upload->item = NULL;
	const int r = ur_queue_push(queues[FROM_UPLOAD], item);
	assert(r == 0);
}

static void cut(struct upload *upload)
{
	struct ur_file *file = &upload->item->files[upload->item->current];
	file->send_result = -ECANCELED;
	file->send_body_gone = upload->gone;
	give_back(upload);
}

/** The sidecar goes along, into the same asset. */
static void note_travel(struct ur_item *item, const struct ur_file *file)
{
	if (file->sidecar != UR_NONE && file->send_status == 201) {
		file_of(item, file->sidecar)->travelled = true;
	}
}

static void arrive(struct ur_file *file, int content)
{
	const struct sim_sent sent = sim_server_upload(content);
	file->send_result = sent.result;
	file->send_status = sent.status;
	file->send_own = sent.own;
	file->send_readable = sent.readable;
	file->send_duplicate = sent.duplicate;
	file->send_body_gone = true;
	file->send_quota = false;
	file->send_retry_ms = -1;
	file->send_why = "so the world wants it";
	if (sent.readable) {
		memcpy(file->asset, sim_contents[content].asset, sizeof file->asset);
	}
}

static void break_off(struct ur_file *file)
{
	file->send_result = sim_once_in(2) ? -ECONNREFUSED : -ECONNRESET;
	file->send_status = 0;
	file->send_body_gone = false;
	file->send_own = file->send_readable = false;
	file->send_retry_ms = -1;
	file->send_why = "broken off";
}

/** Its user writes to it, or takes it away, before all of it has gone out. */
static void take_from_under(struct ur_file *file, struct sim_file *at)
{
	break_off(file);
	file->send_result = -ESTALE;
	file->send_changed = true;
	at->ctime_ns = sim_now();
	at->there = !sim_once_in(2);
	sim_say("%s: %s by its user", at->name, at->there ? "changed" : "taken away");
}

static void send_last_byte(struct upload *upload, struct ur_file *file)
{
	if (ur_wire_gone(wire, file->wire) < 0) {
		break_off(file);
		give_back(upload);
		return;
	}
	upload->gone = true;
	sim_later(&upload->event, (int64_t)sim_below(sim_once_in(4) ? 90000 : 10) * UR_MS_NS);
}

static void goes_on(struct sim_event *event)
{
	struct upload *upload = (struct upload *)((char *)event - offsetof(struct upload, event));
	if (upload->item == NULL) { // it was cut off
		if (upload->gone && !upload->arrived && sim_once_in(2)) {
			sim_say("content %d arrives, and nobody hears of it", upload->content);
			(void)sim_server_upload(upload->content);
		}
		return;
	}
	struct ur_file *file = &upload->item->files[upload->item->current];
	if (upload->arrived) {
		sim_say("%s: sent: result %d, HTTP %d", file->name, file->send_result,
			file->send_status);
		give_back(upload);
		return;
	}
	if (!upload->gone && sim_lies(LIE_USER)) {
		take_from_under(file, file_of(upload->item, upload->item->current));
		give_back(upload);
		return;
	}
	if (!upload->gone && sim_lies(LIE_LINE)) {
		break_off(file);
		give_back(upload);
		return;
	}
	if (!upload->gone) {
		send_last_byte(upload, file);
		return;
	}
	upload->arrived = true;
	arrive(file, upload->content);
	note_travel(upload->item, file);
	sim_later(&upload->event, (int64_t)sim_below(3000) * UR_MS_NS);
}

static bool play_upload(void)
{
	void *got = NULL;
	bool any = false;
	while (ur_queue_pop(queues[TO_UPLOAD], &got) == 0) {
		any = true;
		struct upload *upload = NULL;
		for (size_t i = 0; i < UPLOADS && upload == NULL; i++) {
			upload = uploads[i].item == NULL && !uploads[i].event.waits ? &uploads[i]
										    : NULL;
		}
		assert(upload != NULL);
		upload->item = got;
		upload->arrived = upload->gone = false;
		const struct ur_item *item = got;
		upload->content = file_of(got, item->current)->content;
		upload->event.happen = goes_on;
		if (sim.dead) {
			cut(upload);
		} else {
			sim_later(&upload->event, (int64_t)(1 + sim_below(2000)) * UR_MS_NS);
		}
	}
	return any;
}

/* ---- settle ---------------------------------------------------------------------------------- */

static bool goes(const struct ur_file *file)
{
	return file->state == UR_CONFIRMED && file->staged[0] != '\0';
}

/** Promise 1: whoever goes is held by the server, and not by means of itself. */
static void check_removal(const struct sim_file *file)
{
	if (file->class == UR_CLASS_SIDECAR) {
		if (!file->travelled) {
			sim_break("%s was removed and had not travelled", file->name);
		}
	} else if (!sim_server_holds(file->content, (int)(file - sim_files))) {
		sim_break("%s was removed and the server does not hold it", file->name);
	}
}

static void take_away(struct ur_item *item, int index)
{
	struct ur_file *file = &item->files[index];
	struct sim_file *at = file_of(item, index);
	file->settle_why = "";
	if (sim.dead) {
		file->settle_result = -ECANCELED;
		return;
	}
	check_removal(at);
	sim_say("%s is removed", at->name);
	at->there = at->aside = false;
	at->removed = true;
	file->settle_result = 0;
}

static void put_back(struct ur_item *item, int index)
{
	struct ur_file *file = &item->files[index];
	struct sim_file *at = file_of(item, index);
	file->settle_result = -ECANCELED;
	file->settle_why = "put back";
	file->settle_renamed = true;
	if (!sim.dead) {
		at->aside = false;
		at->ctime_ns = sim_now();
	}
}

static bool stand_aside(struct ur_item *item)
{
	bool again = false;
	for (int i = 0; i < item->count; i++) {
		if (goes(&item->files[i])) {
			again = again || item->files[i].ask_again;
			file_of(item, i)->aside = !sim.dead;
		}
	}
	return again;
}

static void settle(struct ur_item *item)
{
	if (item->settle_do == UR_SETTLE_ASIDE && stand_aside(item)) {
		item->stands_aside = true;
		return;
	}
	item->stands_aside = false;
	for (int i = 0; i < item->count; i++) {
		if (!goes(&item->files[i])) {
			continue;
		}
		if (item->settle_do == UR_SETTLE_BACK) {
			put_back(item, i);
		} else {
			take_away(item, i);
		}
	}
}

static bool play_settle(void)
{
	void *got = NULL;
	bool any = false;
	while (ur_queue_pop(queues[TO_SETTLE], &got) == 0) {
		any = true;
		settle(got);
		const int r = ur_queue_push(queues[FROM_SETTLE], got);
		assert(r == 0);
	}
	return any;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void begin(void)
{
	if (dir == NULL) {
		if (ur_dir_new(&root, NULL, "", &dir) < 0) {
			abort();
		}
		root.fs.trusted = true;
		dir->fs.trusted = true;
		for (int i = FREE_ITEMS; i < QUEUES; i++) {
			const int r = ur_queue_new(64, &queues[i]);
			assert(r == 0);
		}
		for (int i = 0; i < SIM_FILES; i++) {
			ur_arena_init(&slots[i].item.arena);
		}
	}
	const int r = ur_queue_new(64, &queues[FROM_PROBE]);
	assert(r == 0);
	for (int i = 0; i < SIM_FILES; i++) {
		/* Recovery: what an earlier run left in the staging folder is back at its name. */
		if (sim_files[i].aside) {
			sim_files[i].aside = false;
			sim_files[i].ctime_ns = sim_now();
		}
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/** When the coordinator has something to do by itself. */
static int64_t next_due(const struct ur_coordinator *c)
{
	const int64_t now = sim_now();
	int64_t due = now + UR_SECOND_NS;
	if (c->resting.count > 0 && c->to_ask.count + c->live == c->resting.count) {
		due = INT64_MAX;
	}
	for (const struct ur_item *item = c->resting.first; item != NULL; item = item->next) {
		due = earlier(due, item->due_ns);
	}
	if (c->outage.on && !c->outage.asking) {
		due = earlier(due, c->outage.next_ns);
	}
	if (c->to_ask.count > 0) {
		due = earlier(due, now + 30 * UR_MS_NS);
	}
	return due <= now ? now + UR_MS_NS : due;
}

/** As http does it: what was on its way comes home, and what had left may arrive all the same. */
static bool cut_all(void)
{
	bool any = false;
	for (int i = 0; i < UPLOADS; i++) {
		if (uploads[i].item != NULL) {
			cut(&uploads[i]);
			any = true;
		}
	}
	return any;
}

/** The process has died: nothing that comes home happens any more. */
static bool bury(struct ur_run *run)
{
	atomic_store(&run->stop, true);
	ur_http_cancel(NULL);
	return cut_all();
}

static void go_round(struct ur_coordinator *c, struct ur_run *run)
{
	bool moved = false;
	for (int turns = 0; ur_coordinator_turn(c, &moved); turns++) {
		bool any = play_upload();
		any = play_settle() || any;
		any = (sim.dead && bury(run)) || any;
		any = (c->stop_ns != 0 && sim_now() - c->stop_ns > GRACE_NS && cut_all()) || any;
		if (turns > TURNS_MAX) {
			sim_break("a run does not come to its end");
			sim.dead = true;
		}
		if (turns > 2 * TURNS_MAX) {
			abort();
		}
		if (moved || any || c->after_commit.count > 0 || c->answered != NULL ||
			c->to_next.count > 0) {
			continue;
		}
		const int64_t due = next_due(c);
		if (!sim_happen(due)) {
			sim_pass(due - sim_now());
		}
	}
}

void sim_run_begin(void)
{
	memset(uploads, 0, sizeof uploads);
}

/** As the pipeline does. */
static struct ur_wire *open_wire(void)
{
	wire = sim_disk_wire();
	if (wire != NULL && ur_wire_begin(wire, 0) < 0) {
		wire = ur_wire_free(wire);
	}
	return wire;
}

void sim_run(void)
{
	struct ur_run run = {.options = &options, .destination = 1, .id = ++sim.runs};
	struct ur_coordinator *c = NULL;
	struct ur_bell bell = {.fd = -1};
	struct ur_err err;
	void *got = NULL;
	(void)pthread_mutex_init(&run.talk, NULL);
	run.server = (struct ur_server){.major = 2,
		.quota_bytes = -1,
		.may_upload = true,
		.may_read = true,
		.may_download = true,
		.user_id = SIM_USER};
	sim.dead = false;
	begin();
	run.wire = open_wire();
	struct ur_coordinator_wiring wiring = {
		.from_probe = {queues[FROM_PROBE]},
		.probe_count = 1,
		.free_items = queues[FREE_ITEMS],
		.to_upload = queues[TO_UPLOAD],
		.from_upload = queues[FROM_UPLOAD],
		.to_chunks = queues[TO_CHUNKS],
		.from_chunks = queues[FROM_CHUNKS],
		.to_settle = queues[TO_SETTLE],
		.from_settle = queues[FROM_SETTLE],
		.answers = queues[ANSWERS],
		.scan_bell = &bell,
		.settle_bell = &bell,
		.bell = &bell,
		.upload_limit = upload_limit_of,
	};
	sim_say("run %d%s", sim.runs, sim.honest ? ", honest" : "");
	scan();
	if (ur_coordinator_new(&run, &wiring, NULL, NULL, &c, &err) < 0) {
		abort();
	}
	c->seed = sim_random();
	go_round(c, &run);
	if (!sim.dead && !c->broken) {
		(void)ur_ledger_commit(NULL, NULL);
	}
	sim_say("run %d ends%s: %s", sim.runs, sim.dead ? " by a crash" : "",
		run.result < 0 ? run.err.text : "well");
	c = ur_coordinator_free(c);
	wire = ur_wire_free(wire);
	sim_ledger_crash(); // what was not committed is gone
	while (ur_queue_pop(queues[FREE_ITEMS], &got) == 0) {
	}
	queues[FROM_PROBE] = ur_queue_free(queues[FROM_PROBE]);
	(void)pthread_mutex_destroy(&run.talk);
}
