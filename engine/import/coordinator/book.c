/* book - from what is known of a file to its row in the ledger. */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void ur_book_fail(struct ur_coordinator *c, int code, const struct ur_err *err)
{
	assert(code < 0);
	c->broken = true;
	ur_run_fail(c->run, code, err);
}

static int folder_of(struct ur_coordinator *c, struct ur_dir *dir, int64_t *ret, struct ur_err *err)
{
	*ret = atomic_load(&dir->ledger_id);
	if (*ret != 0) {
		return 0;
	}
	struct ur_text path = {0};
	ur_dir_path(dir, NULL, &path);
	const int r = ur_text_ok(&path)
			      ? ur_ledger_folder(c->ledger, path.bytes, path.size, true, ret, err)
			      : ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot name a folder");
	ur_text_done(&path);
	if (r == 0) {
		assert(*ret != 0); // which says that it is not known
		atomic_store(&dir->ledger_id, *ret);
	}
	return r;
}

/** Since when it is as it is, as scan or probe found it. */
static void note_quiet(const struct ur_file *file, struct ur_record *ret)
{
	(void)snprintf(ret->boot, sizeof ret->boot, "%s", file->quiet.boot);
	ret->quiet_ns = file->quiet.at_ns;
	ret->quiet_had_ns = file->quiet.had_ns;
}

/** A movie whose still is there is linked by a request of its own: if the run ends first, the next. */
static bool owes_link(const struct ur_item *item, const struct ur_file *file)
{
	if (file->still == UR_NONE || !(file->now_sent || file->owes_link)) {
		return false;
	}
	const struct ur_file *still = &item->files[file->still];
	assert(file->still < item->count);
	assert(&item->files[still->movie] == file);
	return still->asset[0] != '\0' && !still->now_sent && !still->linked;
}

static int64_t first_of(int64_t a, int64_t b)
{
	return a != 0 ? a : b;
}

static const struct ur_record *row_alike(const struct ur_file *file)
{
	static const struct ur_record none;
	const struct ur_record *row = ur_file_row_alike(file);
	return row == NULL ? &none : row;
}

/** When it came so far. */
static void fill_steps(const struct ur_file *file, struct ur_record *ret)
{
	const struct ur_record *row = row_alike(file);
	ret->sending_ns = first_of(file->sending_ns, row->sending_ns);
	ret->delivered_ns = first_of(file->delivered_ns, row->delivered_ns);
	ret->confirmed_ns = first_of(file->confirmed_ns, row->confirmed_ns);
	ret->settled_ns = file->settled_ns;
}

/** When it was looked at. */
static void fill_looks(const struct ur_file *file, struct ur_record *ret)
{
	const struct ur_record *row = row_alike(file);
	const int64_t now = ur_clock_wall_ns();
	ret->seen_ns = first_of(row->seen_ns, now);
	ret->probed_ns = file->fresh ? now : row->probed_ns;
}

/**
 * A plan remembers what it hashed and what it would send, so that the import need not read again;
 * it never touches what an import left about these bytes, and promises nothing as delivered.
 */
static bool plan_may_write(const struct ur_file *file)
{
	const struct ur_record *row = file->row;
	if (row != NULL && row->hashed && row->state >= UR_SENDING && row->state != UR_SETTLED &&
		memcmp(row->sha1, file->sha1, sizeof row->sha1) == 0) {
		return false;
	}
	return file->fresh || file->outcome == UR_OUTCOME_SENT || file->state == UR_REFUSED;
}

static enum ur_state plan_state(const struct ur_file *file)
{
	assert(file->state < UR_STATES);
	const bool keep =
		file->state == UR_WANTED || file->state == UR_REFUSED || file->state == UR_SEEN;
	return keep ? file->state : UR_PROBED;
}

/** What a row says, before the times are in it at which it is written. */
static uint64_t digest_of(const struct ur_record *record)
{
	struct ur_record same = *record; // what its padding holds costs a row at most
	assert(record->reason != NULL);
	same.name = NULL;
	same.reason = NULL;
	const uint64_t seed = ur_hash_short(record->reason, strlen(record->reason), 0);
	const uint64_t digest = ur_hash_short(&same, sizeof same, seed);
	return digest == 0 ? 1 : digest;
}

/** Where it is to be staged: what recovery, should it find nothing, must have looked into. */
static void fill_place(const struct ur_item *item, struct ur_record *record)
{
	struct ur_text path = {0};
	const struct ur_dir *dir = ur_dir_staging(item->dir);
	assert(record->place == 0);
	if (record->staged[0] != '\0') {
		ur_dir_path(dir, NULL, &path);
		record->place = ur_text_ok(&path) ? dir->inode : 0;
		record->place_size = (int64_t)path.size;
		ur_text_done(&path);
	}
}

/** Another picture has this name now: what was doubted of the bytes before is kept without a row. */
static int keep_doubt(struct ur_coordinator *c, const struct ur_file *file, struct ur_err *err)
{
	const struct ur_record *row = file->row;
	const bool other = row != NULL && row->hashed && ur_age_is_begun(&row->doubt) &&
			   (!file->hashed || memcmp(row->sha1, file->sha1, sizeof row->sha1) != 0);
	return other ? ur_ledger_doubt_keep(
			       c->ledger, c->run->destination, row->sha1, &row->doubt, err)
		     : 0;
}

/** Its place is free when that is durable. */
static void give_wire(struct ur_coordinator *c, struct ur_file *file)
{
	if (file->wire != UR_WIRE_NONE) {
		assert(c->given_count < UR_WIRE_PLACES);
		c->given[c->given_count++] = file->wire;
		file->wire = UR_WIRE_NONE;
	}
}

void ur_book_committed(struct ur_coordinator *c)
{
	while (c->given_count > 0) {
		ur_wire_give(c->run->wire, c->given[--c->given_count]);
	}
}

/** Until it is known what becomes of it, it is what it was. */
static bool is_trouble(const struct ur_file *file)
{
	return ur_file_is_open(file) ? row_alike(file)->trouble : file->trouble;
}

void ur_book_file(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const bool plan = c->run->options->plan;
	struct ur_err err = {0};
	struct ur_record record = {
		.destination = c->run->destination,
		.name = file->name,
		.identity = file->identity,
		.remembered = file->remembered,
		.edges = file->edges,
		.hashed = file->hashed,
		.state = plan ? plan_state(file) : file->state,
		.reason = file->reason == NULL ? "" : file->reason,
		.created = file->created || file->now_sent,
		.travelled = file->travelled,
		.for_good = file->for_good,
		.accepted = file->accepted,
		.told = file->told || file->tell,
		.ending = file->ending,
		.owes_link = owes_link(item, file),
		.trouble = is_trouble(file),
		.noted = file->state == UR_SENDING && file->wire != UR_WIRE_NONE,
		.there = file->there_since,
		.doubt = file->doubt_since,
		.tries = file->tries,
		.next_ns = file->next_ns,
		.run = c->run->id,
	};
	assert(file->item == item);
	assert(file->state != UR_SETTLED || file->staged[0] == '\0');
	if (c->broken || (plan && !plan_may_write(file))) {
		return;
	}
	assert(!plan || record.state < UR_SENDING);
	memcpy(record.sha1, file->sha1, sizeof record.sha1);
	memcpy(record.xxh, file->xxh, sizeof record.xxh);
	memcpy(record.asset, file->asset, sizeof record.asset);
	memcpy(record.staged, file->staged, sizeof record.staged);
	fill_place(item, &record);
	fill_steps(file, &record);
	if (record.state != UR_SENDING) {
		give_wire(c, file);
	}
	const uint64_t digest = digest_of(&record);
	if (file->booked == digest) {
		return; // an item's end books all its files once more: mostly there is nothing new
	}
	note_quiet(file, &record);
	fill_looks(file, &record);
	int r = folder_of(c, item->dir, &record.folder, &err);
	r = r < 0 ? r : keep_doubt(c, file, &err);
	r = r < 0 ? r : ur_ledger_put(c->ledger, &record, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
		return;
	}
	file->booked = digest;
	if (c->dirty_since_ns == 0) {
		c->dirty_since_ns = ur_clock_steady_ns();
	}
}

struct look {
	const struct ur_coordinator *c;
	const struct ur_file *file;
	bool sent;
};

static int look_at_row(void *context, const struct ur_record *row)
{
	struct look *look = context;
	look->sent = row->run == look->c->run->id && row->created && row->state >= UR_DELIVERED &&
		     row->hashed && memcmp(row->sha1, look->file->sha1, sizeof row->sha1) == 0;
	return 0;
}

bool ur_book_has_sent(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file)
{
	struct look look = {.c = c, .file = file};
	assert(file->hashed);
	struct ur_err err = {0};
	int64_t folder = 0;
	bool found = false;
	if (c->broken) {
		return false;
	}
	int r = folder_of(c, item->dir, &folder, &err);
	r = r < 0 ? r
		  : ur_ledger_get(c->ledger, c->run->destination, folder, file->name, look_at_row,
			    &look, &found, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
	return r == 0 && look.sent;
}

void ur_book_planned(struct ur_coordinator *c, const struct ur_file *file)
{
	assert(c->planned != NULL);
	assert(file->hashed);
	ur_filter_add(c->planned, file->sha1);
}

bool ur_book_has_planned(
	struct ur_coordinator *c, const struct ur_item *item, const struct ur_file *file)
{
	struct ur_err err = {0};
	bool same = false;
	assert(c->planned != NULL);
	assert(file->hashed);
	if (c->broken || !ur_filter_perhaps(c->planned, file->sha1)) {
		return false;
	}
	const int r = ur_ledger_same_in_run(c->ledger, c->run->destination, c->run->id, file->sha1,
		atomic_load(&item->dir->ledger_id), file->name, &same, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
	return same;
}

struct ur_ledger_doubt ur_book_doubt(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_err err = {0};
	struct ur_ledger_doubt doubt = {0};
	assert(file->hashed);
	if (c->broken) {
		return doubt;
	}
	const int r = ur_ledger_doubt(c->ledger, c->run->destination, file->sha1,
		atomic_load(&file->item->dir->ledger_id), file->name, &doubt, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
	return doubt;
}

void ur_book_keep_doubt(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_err err = {0};
	assert(file->hashed);
	if (c->broken || !ur_age_is_begun(&file->doubt_since)) {
		return;
	}
	const int r = ur_ledger_doubt_keep(
		c->ledger, c->run->destination, file->sha1, &file->doubt_since, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}

bool ur_book_find_asset(
	struct ur_coordinator *c, const struct ur_file *file, struct ur_ledger_asset *ret)
{
	struct ur_err err = {0};
	bool found = false;
	assert(file->hashed);
	const int r =
		ur_ledger_asset_get(c->ledger, c->run->destination, file->sha1, ret, &found, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
	return r == 0 && found;
}

void ur_book_asset(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_err err = {0};
	struct ur_ledger_asset asset = {
		.created = file->now_sent || file->created,
		.run = c->run->id,
		.at_ns = ur_clock_wall_ns(),
	};
	assert(file->hashed);
	assert(!c->run->options->plan);
	if (c->broken) {
		return;
	}
	memcpy(asset.asset, file->asset, sizeof asset.asset);
	const int r = ur_ledger_asset_put(c->ledger, c->run->destination, file->sha1, &asset, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}

void ur_book_forget_asset(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_err err = {0};
	struct ur_ledger_asset known = {0};
	assert(!c->run->options->plan);
	if (c->broken || !ur_book_find_asset(c, file, &known) ||
		strcmp(known.asset, file->asset) != 0) {
		return; // a twin has another one, and that may be theirs
	}
	const int r = ur_ledger_asset_forget(c->ledger, c->run->destination, file->sha1, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}
