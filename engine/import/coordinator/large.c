/*
 * large - large files: sent in chunks to a gateway, and gone on with in another run.
 *
 *     judge ─▶ recall: the ledger knows an upload of these bytes
 *     deliver ─▶ turn ─▶ chunks ─▶ an address: the ledger first, then back to chunks
 *                           └────▶ an end, which becomes what a direct answer would have been
 *
 * An upload is known by the bytes' hash and the destination: it goes on wherever the file is found.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NOTE_MS 2000 // how often the ledger is told how far uploads have come
#define SIDECAR_MAX (1 << 20)

/* ---- which files ----------------------------------------------------------------------------- */

static bool has_gateway(const struct ur_coordinator *c)
{
	const char *gateway = c->run->options->gateway;
	return (gateway == NULL || strcmp(gateway, "off") != 0) &&
	       !atomic_load(&c->run->no_gateway);
}

static bool is_under_way(const struct ur_file *file)
{
	return file->resume != NULL && file->resume->address[0] != '\0';
}

bool ur_large_is(
	const struct ur_coordinator *c, const struct ur_item *item, const struct ur_file *file)
{
	const struct ur_file *sidecar =
		file->sidecar == UR_NONE ? NULL : &item->files[file->sidecar];
	assert(file->item == item);
	assert(sidecar == NULL || sidecar->class == UR_CLASS_SIDECAR);
	if (file->whole || !has_gateway(c) ||
		(sidecar != NULL && sidecar->identity.size > SIDECAR_MAX)) {
		return false;
	}
	return file->resume != NULL || file->identity.size >= c->run->options->resumable_threshold;
}

/** The file's record of its resumable upload; NULL when memory is short. */
static struct ur_resume *resume_of(struct ur_item *item, struct ur_file *file)
{
	assert(file->item == item);
	if (file->resume == NULL) {
		file->resume = ur_arena_alloc(&item->arena, sizeof *file->resume);
		if (file->resume != NULL) {
			memset(file->resume, 0, sizeof *file->resume);
		}
	}
	return file->resume;
}

static bool look_up(
	struct ur_coordinator *c, const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret)
{
	struct ur_err err = {0};
	bool found = false;
	const int r = ur_ledger_upload_get(c->ledger, c->run->destination, sha1, ret, &found, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
	return r == 0 && found;
}

static void forget(struct ur_coordinator *c, const uint8_t sha1[UR_LEDGER_SHA1])
{
	struct ur_err err = {0};
	const int r =
		c->broken ? 0 : ur_ledger_upload_forget(c->ledger, c->run->destination, sha1, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}

/** The upload of what the file was before: nobody goes on with it. */
static void recall_old(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	struct ur_ledger_upload upload;
	const struct ur_record *row = file->row;
	assert(file->hashed);
	if (row == NULL || !row->hashed || memcmp(row->sha1, file->sha1, sizeof file->sha1) == 0 ||
		!look_up(c, row->sha1, &upload)) {
		return;
	}
	struct ur_resume *resume = resume_of(item, file);
	if (resume != NULL) {
		memcpy(resume->old, upload.address, sizeof resume->old);
		forget(c, row->sha1);
	}
}

void ur_large_recall(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	struct ur_ledger_upload upload;
	assert(file->resume == NULL);
	if (!file->hashed || file->class == UR_CLASS_SIDECAR || c->run->options->plan ||
		c->broken) {
		return;
	}
	recall_old(c, item, file);
	if (file->identity.size < UR_LARGE_MIN || !look_up(c, file->sha1, &upload)) {
		return;
	}
	struct ur_resume *resume = resume_of(item, file);
	if (resume != NULL && upload.length == file->identity.size) {
		memcpy(resume->address, upload.address, sizeof resume->address);
		resume->about = upload.about;
		resume->at_ns = upload.at_ns;
		atomic_store(&resume->offset, upload.offset);
	}
}

/** All bytes had gone out: the server may have got them in a way that did not end well. */
static bool may_be_doubtful(const struct ur_file *file)
{
	return is_under_way(file) &&
	       atomic_load(&file->resume->offset) == (uint64_t)file->identity.size;
}

bool ur_large_claims(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(ur_file_is_open(file));
	if (!is_under_way(file)) {
		return false;
	}
	if (ur_large_is(c, item, file)) {
		file->resume->there = true; // only the gateway can tell how it came there
		return true;
	}
	if (may_be_doubtful(file)) {
		file->put.doubted = true;
		file->sending_ns = ur_clock_wall_ns();
		file->doubt_since = ur_age_begin();
	}
	forget(c, file->sha1);
	file->resume = NULL;
	return false;
}

/* ---- to chunks ------------------------------------------------------------------------------- */

/** With one connection at a time, large and small files take turns. */
static bool has_room(const struct ur_coordinator *c)
{
	const struct ur_options *options = c->run->options;
	assert(c->in_large <= c->in_upload);
	return c->in_large < c->wiring.large_slots &&
	       (options->concurrency > 1 || c->in_upload == 0);
}

bool ur_large_leaves_room(const struct ur_coordinator *c)
{
	assert(c->in_large <= c->wiring.large_slots);
	return c->run->options->concurrency > 1 || c->in_large == 0;
}

/** What the user has left, as far as it is known: gigabytes are not sent to be refused. */
static bool fits_quota(const struct ur_coordinator *c, const struct ur_file *file)
{
	return is_under_way(file) || ur_quota_leaves_room(c, file);
}

static void refuse_for_quota(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->state == UR_WANTED);
	file->trouble = true;
	ur_file_close(file, UR_WANTED, UR_OUTCOME_WAITING,
		"it is larger than what the user's quota on the server has left: raise it or make "
		"room, then run again");
	ur_under_way_release(c, file);
	ur_step_go(c, item, UR_STEP_SEND);
}

/** What the gateway finds says nothing about an upload that did not go by it. */
static void keep_older_doubt(struct ur_coordinator *c, const struct ur_file *file)
{
	const bool resumes =
		is_under_way(file) && file->row != NULL && file->row->state == UR_SENDING;
	if (file->put.doubted && !resumes) {
		ur_book_keep_doubt(c, file);
	}
}

static void hand_over(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->state == UR_WANTED);
	assert(file->put.state == UR_PUT_SEND);
	if (resume_of(item, file) == NULL) {
		file->whole = true; // short of memory: as one request
		ur_step_go(c, item, UR_STEP_SEND);
		return;
	}
	keep_older_doubt(c, file);
	/* The gateway sends it when it likes, also after we have ended; how fast is nothing that we know. */
	ur_file_note_gone(c, file, c->run->options->answer_wait_ms * UR_MS_NS);
	file->state = UR_SENDING;
	file->sending_ns = ur_clock_wall_ns();
	file->doubt_since = ur_age_begin();
	file->reason = "";
	ur_book_file(c, item, file);
	item->step = UR_STEP_LARGE;
	c->durable = true;
	c->in_upload++;
	for (size_t i = 0; i < UR_LARGE_MAX; i++) {
		if (c->large[i] == NULL) {
			c->large[i] = item;
			break;
		}
	}
	c->in_large++;
	assert(c->in_large <= UR_LARGE_MAX); // so it has found its place
	ur_items_add(&c->after_commit, item);
}

static void note(struct ur_coordinator *c, const struct ur_item *item)
{
	const struct ur_file *file = &item->files[item->current];
	struct ur_resume *resume = file->resume;
	struct ur_err err = {0};
	assert(resume != NULL);
	const uint64_t offset = atomic_load(&resume->offset);
	const int64_t now = ur_clock_wall_ns();
	struct ur_ledger_upload upload = {
		.length = file->identity.size,
		.about = resume->about,
		.offset = offset,
		.made_ns = file->sending_ns,
		.at_ns = now,
	};
	if (c->broken || resume->address[0] == '\0') {
		return;
	}
	memcpy(upload.address, resume->address, sizeof upload.address);
	const int r =
		ur_ledger_upload_put(c->ledger, c->run->destination, file->sha1, &upload, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	} else if (c->dirty_since_ns == 0) {
		c->dirty_since_ns = ur_clock_steady_ns();
	}
}

/** What the gateway's proxy taught is remembered for the next run. */
static void learn(struct ur_coordinator *c)
{
	const struct ur_options *options = c->run->options;
	const uint64_t ceiling = atomic_load(&c->run->chunk_ceiling);
	struct ur_err err = {0};
	if (ceiling == c->chunk_ceiling || c->broken) {
		return;
	}
	c->chunk_ceiling = ceiling;
	const int r = ur_ledger_learn(c->ledger,
		options->gateway != NULL ? options->gateway : options->http.server,
		UR_LEARNED_CHUNK_MAX, (int64_t)ceiling, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}

void ur_large_turn(struct ur_coordinator *c)
{
	const bool stop = ur_step_is_stopping(c);
	while (c->to_chunk.first != NULL &&
		(stop || (!(c->outage.on || c->quota.asking) && has_room(c)))) {
		struct ur_item *item = ur_items_take(&c->to_chunk);
		struct ur_file *file = &item->files[item->current];
		assert(file->state == UR_WANTED);
		assert(item->step == UR_STEP_SEND);
		if (stop) {
			ur_under_way_close_wanted(c, item, "the run was stopped before it");
			ur_step_go(c, item, UR_STEP_SEND);
		} else if (ur_quota_waits(c, file)) {
			ur_under_way_release(c, file);
			ur_step_go(c, item, UR_STEP_SEND);
		} else if (!fits_quota(c, file)) {
			refuse_for_quota(c, item, file);
		} else if (!ur_large_is(c, item, file)) {
			ur_step_go(c, item, UR_STEP_SEND); // there is no gateway after all
		} else {
			hand_over(c, item, file);
		}
	}
	learn(c);
}

/* ---- from chunks ----------------------------------------------------------------------------- */

static void leave_chunks(struct ur_coordinator *c, const struct ur_item *item)
{
	assert(c->in_large > 0);
	for (size_t i = 0; i < UR_LARGE_MAX; i++) {
		if (c->large[i] == item) {
			c->large[i] = NULL;
		}
	}
	c->in_large--;
}

void ur_large_note(struct ur_coordinator *c)
{
	const int64_t now = ur_clock_steady_ns();
	if (c->in_large == 0 || now < c->note_due_ns) {
		return;
	}
	c->note_due_ns = now + NOTE_MS * UR_MS_NS;
	for (size_t i = 0; i < UR_LARGE_MAX; i++) {
		const struct ur_item *item = c->large[i];
		struct ur_resume *resume = item == NULL ? NULL : item->files[item->current].resume;
		const uint64_t offset = resume == NULL ? 0 : atomic_load(&resume->offset);
		if (resume != NULL && resume->recorded_offset < offset) {
			resume->recorded_offset = offset;
			note(c, item);
		}
	}
}

/** The address first, then a byte. */
static void record(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_resume *resume = item->files[item->current].resume;
	assert(resume->address[0] != '\0');
	atomic_store(&resume->offset, 0);
	resume->recorded_offset = 0;
	resume->recorded = c->broken ? -EIO : 0;
	note(c, item);
	c->durable = true;
	ur_items_add(&c->after_commit, item);
}

/** The server is asked as for any other file, and what it claims is in doubt if that may be ours. */
static void ask_anew(
	struct ur_coordinator *c, struct ur_item *item, struct ur_file *file, bool doubtful)
{
	const unsigned sends = file->put.sends;
	assert(file->resume == NULL);
	assert(!doubtful || ur_age_is_begun(&file->doubt_since));
	ur_put_start(&file->put, &c->rules, doubtful ? UR_PUT_LOST : UR_PUT_CHECK, doubtful);
	file->put.sends = sends;
	file->lost_until_ns = ur_clock_steady_ns();
	item->call_tries = 0;
	ur_under_way_release(c, file);
	file->state = UR_PROBED;
	ur_step_go(c, item, UR_STEP_ASK);
}

/** Nobody goes on with its upload any more. */
static void leave_gateway(struct ur_coordinator *c, struct ur_file *file, bool doubtful)
{
	assert(c->in_upload > 0);
	c->in_upload--;
	forget(c, file->sha1);
	file->resume = NULL;
	if (!doubtful) { // the gateway has let go; an older doubt is kept by itself
		file->sending_ns = 0;
		file->doubt_since = (struct ur_age){0};
		ur_wire_give(c->run->wire, file->wire); // it will not come
		file->wire = UR_WIRE_NONE;
	}
}

/** Another way: as one request. */
static void send_whole(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const bool there = file->resume->there;
	const bool doubtful = may_be_doubtful(file);
	leave_gateway(c, file, doubtful);
	file->whole = true;
	if (there || doubtful) {
		ask_anew(c, item, file, doubtful);
		return;
	}
	file->state = UR_WANTED;
	ur_step_go(c, item, UR_STEP_SEND);
}

/** Somebody else brought it, or nobody can tell who did. */
static void found_there(
	struct ur_coordinator *c, struct ur_item *item, struct ur_file *file, bool doubtful)
{
	leave_gateway(c, file, doubtful);
	ask_anew(c, item, file, doubtful);
}

static void leave_for_later(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	char bytes[16];
	assert(c->in_upload > 0);
	c->in_upload--;
	ur_show_bytes((uint64_t)file->identity.size, bytes);
	note(c, item);
	ur_file_close(file, UR_SENDING, UR_OUTCOME_WAITING,
		ur_arena_format(&item->arena,
			"all of it (%s) is at the gateway, and the server has not stored it yet%s%s: "
			"the next run asks again",
			bytes, file->send_why == NULL ? "" : "; ",
			file->send_why == NULL ? "" : file->send_why));
	ur_book_file(c, item, file);
	c->durable = true;
	ur_under_way_release(c, file);
	ur_step_go(c, item, UR_STEP_SEND);
}

/** An end as the answer that a direct request would have got. */
static void as_answer(struct ur_file *file, int result, int status)
{
	assert(result <= 0);
	assert(result == 0 || status == 0);
	file->send_result = result;
	file->send_status = status;
	file->send_own = true; // the gateway knows whom it asked
	file->send_readable = status == 200 || status == 201;
	file->send_duplicate = false;
	file->send_body_gone = false;
	file->send_changed = false;
	file->send_retry_ms = -1;
	file->send_quota =
		result == 0 && file->send_why != NULL && ur_immich_is_quota(status, file->send_why);
}

/** True when it ended as a direct request does. */
static bool end(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const struct ur_resume *resume = file->resume;
	switch (resume->end) {
	case UR_TRANSFER_CREATED:
		as_answer(file, 0, 201);
		break;
	case UR_TRANSFER_DUPLICATE:
		as_answer(file, 0, 200);
		file->send_duplicate = true;
		break;
	case UR_TRANSFER_REFUSED:
		as_answer(file, 0,
			resume->status >= 400 && resume->status < 500 ? resume->status : 400);
		break;
	case UR_TRANSFER_CHANGED:
		as_answer(file, -ESTALE, 0);
		file->send_changed = true;
		break;
	case UR_TRANSFER_UNREAD:
		as_answer(file, file->send_result, 0);
		break;
	case UR_TRANSFER_AWAY:
		as_answer(file, -ECONNRESET, 0); // the line: what is there stays
		(void)ur_outage_is_sent_away(c, resume->status, resume->retry_ms);
		break;
	case UR_TRANSFER_FAILED:
		as_answer(file, -EPIPE, 0);
		break;
	case UR_TRANSFER_STOPPED:
		as_answer(file, -ECANCELED, 0);
		file->send_body_gone = true; // `sending`: the next run asks the gateway
		break;
	case UR_TRANSFER_LATER:
		leave_for_later(c, item, file);
		return false;
	case UR_TRANSFER_UNUSABLE:
		send_whole(c, item, file);
		return false;
	case UR_TRANSFER_NEEDLESS:
		found_there(c, item, file, false);
		return false;
	case UR_TRANSFER_LOST:
		found_there(c, item, file, true);
		return false;
	case UR_TRANSFER_OPEN:
		assert(!"chunks hands nothing back that has not ended");
	}
	const bool goes_on = resume->end == UR_TRANSFER_AWAY ||
			     resume->end == UR_TRANSFER_STOPPED ||
			     resume->end == UR_TRANSFER_UNREAD;
	if (goes_on) {
		note(c, item);
	} else {
		forget(c, file->sha1);
		file->resume = NULL;
	}
	return true;
}

bool ur_large_result(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_file *file = &item->files[item->current];
	assert(item->step == UR_STEP_LARGE);
	assert(file->state == UR_SENDING);
	assert(file->resume != NULL);
	if (file->resume->recording) {
		record(c, item);
		return false;
	}
	leave_chunks(c, item);
	learn(c);
	item->step = UR_STEP_SEND;
	return end(c, item, file);
}

bool ur_large_hold_back(struct ur_coordinator *c, struct ur_item *item)
{
	struct ur_resume *resume = item->files[item->current].resume;
	assert(c->broken);
	assert(item->step == UR_STEP_LARGE);
	assert(c->in_upload > 0);
	if (resume->recording) {
		resume->recorded = -EIO; // chunks ends it
		return false;
	}
	leave_chunks(c, item);
	c->in_upload--;
	return true;
}
