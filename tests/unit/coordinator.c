/* coordinator - the neighbours of a coordinator, played. */
#include "tests/unit/coordinator.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define EPOCH_NS (INT64_C(1764547200) * UR_SECOND_NS)
#define ITEMS 128

struct play play;
const char play_no[] = "{\"message\":\"no\"}";

static struct {
	int64_t steady_ns;
	int64_t step_ns;
} now;

static struct slot {
	struct ur_item item;
	struct ur_file files[UR_ITEM_FILES];
	struct ur_record rows[UR_ITEM_FILES];
	char names[UR_ITEM_FILES][64];
} * slots;
static size_t slot_count;

static struct ur_queue *queues[9];
static char root_path[] = "/pictures";
static struct ur_root root = {.path = root_path, .path_size = 9, .fd = -1};
static struct ur_bell bell = {.fd = -1};
static struct ur_meta live = {.content_id = "one-live-photo"};
static int (*true_may_write)(int dir);

/* ---- time -------------------------------------------------------------------------------------- */

int64_t __wrap_ur_clock_steady_ns(void);
int64_t __wrap_ur_clock_wall_ns(void);
int64_t __wrap_ur_clock_boot_ns(void);
const char *__wrap_ur_clock_boot_id(void);

int64_t __wrap_ur_clock_steady_ns(void)
{
	return now.steady_ns;
}

int64_t __wrap_ur_clock_wall_ns(void)
{
	return EPOCH_NS + now.steady_ns + now.step_ns;
}

int64_t __wrap_ur_clock_boot_ns(void)
{
	return now.steady_ns;
}

const char *__wrap_ur_clock_boot_id(void)
{
	return "this-boot";
}

void play_pass(int64_t ms)
{
	now.steady_ns += ms * UR_MS_NS;
}

void play_step_wall(int64_t ms)
{
	now.step_ns += ms * UR_MS_NS;
}

/* ---- directories and neighbours ---------------------------------------------------------------- */

int __wrap_ur_dir_take(const struct ur_dir *at);
void __wrap_ur_dir_give(const struct ur_dir *at, int fd);
void __wrap_ur_run_leave(struct ur_run *run, struct ur_dir *at);
void __wrap_ur_bell_ring(struct ur_bell *rung);

int __wrap_ur_dir_take(const struct ur_dir *at)
{
	(void)at;
	return play.dir_fd;
}

void __wrap_ur_dir_give(const struct ur_dir *at, int fd)
{
	(void)at, (void)fd;
}

void __wrap_ur_run_leave(struct ur_run *run, struct ur_dir *at)
{
	(void)run, (void)at;
}

void __wrap_ur_bell_ring(struct ur_bell *rung)
{
	(void)rung;
}

static int may_write(int dir)
{
	(void)dir;
	return play.may_write;
}

static unsigned upload_limit_of(void *context)
{
	(void)context;
	return play.upload_limit;
}

static void say(void *context, const char *sentence)
{
	(void)context;
	const size_t at = strlen(play.said);
	(void)snprintf(play.said + at, sizeof play.said - at, "%s\n", sentence);
}

static void tell(void *context, const struct ur_event *event)
{
	(void)context;
	assert_true(play.told_count < PLAY_ROWS);
	play.told[play.told_count++] = *event;
}

/* ---- requests ---------------------------------------------------------------------------------- */

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request);
void __wrap_ur_http_wake(struct ur_http *http);
void __wrap_ur_http_cancel(struct ur_http *http);

void __wrap_ur_http_submit(struct ur_http *http, struct ur_request *request)
{
	(void)http;
	assert_true(play.asked_count < PLAY_ASKED);
	assert_non_null(request->done);
	request->retry_after_ms = -1;
	play.asked[play.asked_count++] = request;
}

void __wrap_ur_http_wake(struct ur_http *http)
{
	(void)http;
	play.wakes++;
}

void __wrap_ur_http_cancel(struct ur_http *http)
{
	(void)http;
	play.cancels++;
}

struct ur_request *play_asked(void)
{
	assert_int_equal(play.asked_count, 1);
	return play.asked[0];
}

const char *play_question(void)
{
	static char text[400];
	const struct ur_request *request = play_asked();
	(void)snprintf(text, sizeof text, "%s %s", request->method, request->path);
	return text;
}

const char *play_body(void)
{
	static char text[4000];
	const struct ur_piece *piece = &play_asked()->pieces[0];
	assert_true(piece->size < sizeof text);
	memcpy(text, piece->bytes, piece->size);
	text[piece->size] = '\0';
	return text;
}

/** The oldest one is done: it comes back through the queue, as from http's thread. */
static struct ur_request *finish(void)
{
	struct ur_request *request = play.asked[0];
	void *got = NULL;
	memmove(play.asked, play.asked + 1, (PLAY_ASKED - 1) * sizeof *play.asked);
	play.asked_count--;
	request->done(request);
	assert_int_equal(ur_queue_pop(play.c->wiring.answers, &got), 0);
	assert_ptr_equal(got, request);
	return request;
}

static struct ur_request *oldest(void)
{
	assert_true(play.asked_count > 0);
	return play.asked[0];
}

static void fill(struct ur_request *request, int status, const char *type, const char *mark)
{
	request->result = 0;
	request->status = status;
	(void)snprintf(request->correlation, sizeof request->correlation, "%s", mark);
	(void)snprintf(request->answer_type, sizeof request->answer_type, "%s", type);
}

struct ur_request *play_answer(int status, const char *json)
{
	fill(oldest(), status, "application/json", "abcd");
	ur_text_adds(&oldest()->answer, json);
	return finish();
}

struct ur_request *play_page(int status)
{
	fill(oldest(), status, "text/html", "");
	oldest()->html = true;
	if (status == 200 && oldest()->sink != NULL) {
		(void)oldest()->sink(oldest(), "<html>", 6);
	} else {
		ur_text_adds(&oldest()->answer, "<html>");
	}
	return finish();
}

struct ur_request *play_break(int result)
{
	oldest()->result = result;
	(void)ur_err_say(&oldest()->err, result, UR_FAULT_WORLD, "the line broke");
	return finish();
}

struct ur_request *play_check(const char *letters)
{
	struct ur_text json = {0};
	ur_text_adds(&json, "{\"results\":[");
	for (size_t i = 0; letters[i] != '\0'; i++) {
		ur_text_addf(&json, "%s{\"id\":\"%zu\",", i == 0 ? "" : ",", i);
		if (letters[i] == 'a') {
			ur_text_adds(&json, "\"action\":\"accept\"}");
		} else {
			ur_text_addf(&json,
				"\"action\":\"reject\",\"reason\":\"duplicate\",\"assetId\":\"%s\","
				"\"isTrashed\":%s}",
				PLAY_ASSET, letters[i] == 'x' ? "true" : "false");
		}
	}
	ur_text_adds(&json, "]}");
	struct ur_request *request = play_answer(200, ur_text_get(&json));
	ur_text_done(&json);
	return request;
}

struct ur_request *play_asset(const struct ur_file *file, const char *owner, const char *more)
{
	struct ur_text json = {0};
	char sum[64];
	ur_base64(file->sha1, sizeof file->sha1, sum);
	ur_text_addf(&json, "{\"id\":\"%s\",\"ownerId\":\"%s\",\"checksum\":\"%s\"%s}", file->asset,
		owner, sum, more);
	struct ur_request *request = play_answer(200, ur_text_get(&json));
	ur_text_done(&json);
	return request;
}

struct ur_request *play_original(int status, const char *range, const char *bytes)
{
	struct ur_request *request = oldest();
	fill(request, status, "image/jpeg", "abcd");
	(void)snprintf(request->content_range, sizeof request->content_range, "%s", range);
	assert_non_null(request->sink);
	assert_int_equal(request->sink(request, bytes, strlen(bytes)), 0);
	return finish();
}

/* ---- the ledger -------------------------------------------------------------------------------- */

static struct play_row *find_row(struct play_book *book, const char *name)
{
	for (size_t i = 0; i < book->row_count; i++) {
		if (strcmp(book->rows[i].name, name) == 0) {
			return &book->rows[i];
		}
	}
	return NULL;
}

const struct play_row *play_row(const char *name)
{
	return find_row(&play.book, name);
}

const struct play_row *play_durable(const char *name)
{
	return find_row(&play.durable, name);
}

struct play_fact *play_fact(const uint8_t sha1[UR_LEDGER_SHA1])
{
	struct play_book *book = &play.book;
	for (size_t i = 0; i < book->fact_count; i++) {
		if (memcmp(book->facts[i].sha1, sha1, UR_LEDGER_SHA1) == 0) {
			return &book->facts[i];
		}
	}
	assert_true(book->fact_count < PLAY_ROWS);
	struct play_fact *fact = &book->facts[book->fact_count++];
	memcpy(fact->sha1, sha1, UR_LEDGER_SHA1);
	return fact;
}

int __wrap_ur_ledger_folder(struct ur_ledger *ledger, const void *path, size_t size, bool make,
	int64_t *ret, struct ur_err *err);
int __wrap_ur_ledger_put(
	struct ur_ledger *ledger, const struct ur_record *record, struct ur_err *err);
int __wrap_ur_ledger_commit(struct ur_ledger *ledger, struct ur_err *err);
int __wrap_ur_ledger_get(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const char *name, ur_record_fn *each, void *context, bool *ret_found, struct ur_err *err);
int __wrap_ur_ledger_same_in_run(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name, bool *ret,
	struct ur_err *err);
int __wrap_ur_ledger_doubt(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name,
	struct ur_ledger_doubt *ret, struct ur_err *err);
int __wrap_ur_ledger_doubt_keep(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_age *since, struct ur_err *err);
int __wrap_ur_ledger_asset_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_asset *ret, bool *ret_found,
	struct ur_err *err);
int __wrap_ur_ledger_asset_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err);
int __wrap_ur_ledger_asset_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_asset *asset,
	struct ur_err *err);
int __wrap_ur_ledger_upload_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret, bool *ret_found,
	struct ur_err *err);
int __wrap_ur_ledger_upload_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_upload *upload,
	struct ur_err *err);
int __wrap_ur_ledger_upload_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err);
int __wrap_ur_ledger_learn(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t value, struct ur_err *err);

int __wrap_ur_ledger_folder(struct ur_ledger *ledger, const void *path, size_t size, bool make,
	int64_t *ret, struct ur_err *err)
{
	(void)ledger, (void)make, (void)err;
	assert_int_equal(size, root.path_size);
	assert_memory_equal(path, root_path, size);
	play.folders++;
	*ret = 7;
	return 0;
}

int __wrap_ur_ledger_put(
	struct ur_ledger *ledger, const struct ur_record *record, struct ur_err *err)
{
	(void)ledger;
	if (play.put_fails < 0) {
		return ur_err_set(err, play.put_fails, UR_FAULT_WORLD, "a row");
	}
	struct play_row *row = find_row(&play.book, record->name);
	if (row == NULL) {
		assert_true(play.book.row_count < PLAY_ROWS);
		row = &play.book.rows[play.book.row_count++];
	}
	row->record = *record;
	(void)snprintf(row->name, sizeof row->name, "%s", record->name);
	(void)snprintf(row->reason, sizeof row->reason, "%s", record->reason);
	row->record.name = NULL;
	row->record.reason = NULL;
	play.puts++;
	return 0;
}

int __wrap_ur_ledger_commit(struct ur_ledger *ledger, struct ur_err *err)
{
	(void)ledger;
	if (play.commit_fails < 0) {
		return ur_err_set(err, play.commit_fails, UR_FAULT_WORLD, "the ledger");
	}
	play.durable = play.book;
	play.commits++;
	return 0;
}

int __wrap_ur_ledger_get(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const char *name, ur_record_fn *each, void *context, bool *ret_found, struct ur_err *err)
{
	const struct play_row *row = play_row(name);
	(void)ledger, (void)destination, (void)folder, (void)err;
	*ret_found = row != NULL;
	return row == NULL ? 0 : each(context, &row->record);
}

int __wrap_ur_ledger_same_in_run(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name, bool *ret,
	struct ur_err *err)
{
	(void)ledger, (void)destination, (void)run, (void)sha1, (void)not_folder, (void)not_name;
	(void)err;
	*ret = play.same_in_run;
	return 0;
}

int __wrap_ur_ledger_doubt(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name,
	struct ur_ledger_doubt *ret, struct ur_err *err)
{
	(void)ledger, (void)destination, (void)sha1, (void)not_folder, (void)not_name;
	*ret = play.doubt;
	return play.get_fails < 0 ? ur_err_set(err, play.get_fails, UR_FAULT_WORLD, "cannot look")
				  : 0;
}

int __wrap_ur_ledger_doubt_keep(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_age *since, struct ur_err *err)
{
	(void)ledger, (void)destination, (void)sha1, (void)err;
	assert_true(ur_age_is_begun(since));
	play.doubts_kept++;
	return 0;
}

int __wrap_ur_ledger_asset_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_asset *ret, bool *ret_found,
	struct ur_err *err)
{
	const struct play_fact *fact = play_fact(sha1);
	(void)ledger, (void)destination;
	*ret_found = fact->has_asset;
	*ret = fact->asset;
	return play.get_fails < 0 ? ur_err_set(err, play.get_fails, UR_FAULT_WORLD, "cannot look")
				  : 0;
}

int __wrap_ur_ledger_asset_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	(void)ledger, (void)destination;
	play_fact(sha1)->has_asset = false;
	return play.put_fails < 0 ? ur_err_set(err, play.put_fails, UR_FAULT_WORLD, "an asset") : 0;
}

int __wrap_ur_ledger_asset_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_asset *asset, struct ur_err *err)
{
	struct play_fact *fact = play_fact(sha1);
	(void)ledger, (void)destination;
	if (play.put_fails < 0) {
		return ur_err_set(err, play.put_fails, UR_FAULT_WORLD, "an asset");
	}
	fact->has_asset = true;
	fact->asset = *asset;
	return 0;
}

int __wrap_ur_ledger_upload_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret, bool *ret_found,
	struct ur_err *err)
{
	const struct play_fact *fact = play_fact(sha1);
	(void)ledger, (void)destination;
	*ret_found = fact->has_upload;
	*ret = fact->upload;
	return play.get_fails < 0 ? ur_err_set(err, play.get_fails, UR_FAULT_WORLD, "cannot look")
				  : 0;
}

int __wrap_ur_ledger_upload_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_upload *upload,
	struct ur_err *err)
{
	struct play_fact *fact = play_fact(sha1);
	(void)ledger, (void)destination;
	if (play.put_fails < 0) {
		return ur_err_set(err, play.put_fails, UR_FAULT_WORLD, "an upload");
	}
	fact->has_upload = true;
	fact->upload = *upload;
	return 0;
}

int __wrap_ur_ledger_upload_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	(void)ledger, (void)destination, (void)err;
	play_fact(sha1)->has_upload = false;
	return 0;
}

int __wrap_ur_ledger_learn(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t value, struct ur_err *err)
{
	(void)ledger, (void)server, (void)key, (void)err;
	play.learned = value;
	return 0;
}

/* ---- files ------------------------------------------------------------------------------------- */

void play_bytes(struct ur_file *file, const char *bytes)
{
	file->identity.size = (int64_t)strlen(bytes);
	ur_xxh_of(bytes, strlen(bytes), file->xxh);
	memcpy(file->sha1, file->xxh, sizeof file->xxh); // nobody here asks what SHA-1 it is
	memcpy(file->sha1 + sizeof file->xxh, "sha1", 4);
}

static enum ur_class class_of(const char *name)
{
	const char *end = strrchr(name, '.');
	return end == NULL                ? UR_CLASS_NONE
	       : strcmp(end, ".xmp") == 0 ? UR_CLASS_SIDECAR
	       : strcmp(end, ".mov") == 0 ? UR_CLASS_VIDEO
					  : UR_CLASS_IMAGE;
}

static void probe(struct slot *slot, int index)
{
	static uint64_t inode = 100;
	struct ur_file *file = &slot->files[index];
	*file = (struct ur_file){
		.name = slot->names[index],
		.class = class_of(slot->names[index]),
		.identity = {.fs = 1, .inode = ++inode, .mtime_ns = 1, .ctime_ns = 1},
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
		.item = &slot->item,
	};
	play_bytes(file, file->name);
}

struct ur_item *play_item(const char *names)
{
	assert_true(slot_count < ITEMS);
	struct slot *slot = &slots[slot_count++];
	slot->item = (struct ur_item){.dir = play.dir, .files = slot->files};
	ur_arena_init(&slot->item.arena);
	for (const char *at = names; *at != '\0'; at += strspn(at, " ")) {
		const size_t size = strcspn(at, " ");
		const int index = slot->item.count++;
		assert_true(index < UR_ITEM_FILES && size < sizeof *slot->names);
		(void)snprintf(slot->names[index], sizeof *slot->names, "%.*s", (int)size, at);
		probe(slot, index);
		at += size;
	}
	return &slot->item;
}

struct ur_item *play_candidate(const char *names)
{
	struct ur_item *item = play_item(names);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		file->state = UR_PROBED;
		ur_put_start(&file->put, &play.c->rules, UR_PUT_CHECK, false);
	}
	play.c->live++;
	return item;
}

struct ur_record *play_remember(struct ur_file *file, enum ur_state state)
{
	struct slot *slot = (struct slot *)((char *)file->item - offsetof(struct slot, item));
	struct ur_record *row = &slot->rows[file - slot->files];
	*row = (struct ur_record){
		.name = file->name,
		.identity = file->identity,
		.remembered = true,
		.hashed = true,
		.state = state,
		.reason = "an earlier run said so",
		.ending = UR_ENDING_WHOLE,
		.run = play.run.id - 1,
	};
	memcpy(row->sha1, file->sha1, sizeof row->sha1);
	memcpy(row->xxh, file->xxh, sizeof row->xxh);
	file->row = row;
	file->unchanged = true;
	return row;
}

void play_want(struct ur_item *item, struct ur_file *file)
{
	const struct ur_put_answer absent = {
		.asked = UR_PUT_CHECK, .status = 200, .own = true, .readable = true};
	if (file->put.state == UR_PUT_CHECK) {
		(void)ur_put_step(&file->put, &absent);
	}
	item->step = UR_STEP_SEND;
	item->current = (int)(file - item->files);
	file->state = UR_WANTED;
	ur_under_way_add(play.c, file);
}

void play_sent(struct ur_file *file)
{
	memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
	file->state = UR_DELIVERED;
	file->outcome = UR_OUTCOME_SENT;
	file->reason = "";
	file->decided = file->now_sent = true;
	file->there_since = ur_age_begin();
	ur_put_start(&file->put, &play.c->rules, UR_PUT_ASSET, false);
}

void play_known(struct ur_file *file)
{
	memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
	file->state = UR_KNOWN;
	file->outcome = UR_OUTCOME_PRESENT;
	file->reason = "the server has it";
	file->decided = file->there = true;
	file->there_since = ur_age_begin();
	file->there_since.had_ns = PLAY_DAY_MS * UR_MS_NS;
	ur_put_start(&file->put, &play.c->rules, UR_PUT_ASSET, false);
}

bool play_is_in(const struct ur_items *items, const struct ur_item *item)
{
	for (const struct ur_item *at = items->first; at != NULL; at = at->next) {
		if (at == item) {
			return at->next == NULL;
		}
	}
	return false;
}

/* ---- a run ------------------------------------------------------------------------------------- */

static const struct ur_options usual = {
	.event = tell,
	.warn = say,
	.after = UR_AFTER_DELETE,
	.server_wait_ms = 60000,
	.answer_wait_ms = 300000,
	.suspect_wait_ms = PLAY_HOUR_MS,
	.settle_after_ms = 60000,
	.quiet_without_lease_ms = 60000,
	.tries_max = 3,
	.concurrency = 2,
	.resumable_threshold = INT64_MAX,
};

static void end(void)
{
	for (size_t i = 0; i < slot_count; i++) {
		if (slots[i].item.call != NULL) {
			ur_request_done(slots[i].item.call);
		}
		ur_arena_done(&slots[i].item.arena);
	}
	slot_count = 0;
	play.asked_count = 0;
	play.c = ur_coordinator_free(play.c);
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
		queues[i] = ur_queue_free(queues[i]);
	}
}

void play_begin(void)
{
	end();
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
		assert_int_equal(ur_queue_new(128, &queues[i]), 0);
	}
	const struct ur_coordinator_wiring wiring = {
		.from_probe = {queues[0]},
		.probe_count = 1,
		.free_items = queues[1],
		.to_upload = queues[2],
		.from_upload = queues[3],
		.to_chunks = queues[4],
		.from_chunks = queues[5],
		.to_settle = queues[6],
		.from_settle = queues[7],
		.answers = queues[8],
		.scan_bell = &bell,
		.settle_bell = &bell,
		.bell = &bell,
		.large_slots = 2,
		.upload_limit = upload_limit_of,
	};
	struct ur_err err;
	play.run.id++;
	assert_int_equal(ur_coordinator_new(&play.run, &wiring, NULL, NULL, &play.c, &err), 0);
}

int play_set_up(void **state)
{
	(void)state;
	memset(&play, 0, sizeof play);
	now.steady_ns = 1000 * UR_SECOND_NS;
	now.step_ns = 0;
	slots = calloc(ITEMS, sizeof *slots);
	play.options = usual;
	play.dir_fd = -EACCES;
	play.upload_limit = 2;
	play.run.options = &play.options;
	play.run.destination = 1;
	play.run.server = (struct ur_server){.major = 2,
		.quota_bytes = -1,
		.may_upload = true,
		.may_read = true,
		.may_download = true,
		.may_update = true,
		.may_tag = true,
		.user_id = PLAY_USER,
		.user_name = "somebody"};
	true_may_write = ur_sys.may_write;
	ur_sys.may_write = may_write;
	if (slots == NULL || pthread_mutex_init(&play.run.talk, NULL) != 0 ||
		ur_dir_new(&root, NULL, "", &play.dir) < 0) {
		return -1;
	}
	root.fs.trusted = play.dir->fs.trusted = true;
	root.loose = false;
	play_begin();
	return 0;
}

int play_tear_down(void **state)
{
	(void)state;
	end();
	free(slots);
	play.dir = ur_dir_unref(play.dir);
	ur_sys.may_write = true_may_write;
	(void)pthread_mutex_destroy(&play.run.talk);
	return 0;
}

void play_turn(void)
{
	bool moved = false;
	(void)ur_coordinator_turn(play.c, &moved);
}

struct ur_item *play_next(struct ur_queue *queue)
{
	void *got = NULL;
	return ur_queue_pop(queue, &got) == 0 ? got : NULL;
}
