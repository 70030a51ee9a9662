/* ledger - rows and assets in memory: what was committed outlives a crash, and nothing else does. */
#include "tests/sim/importer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct book {
	struct ur_record rows[SIM_FILES];
	char reasons[SIM_FILES][16];
	bool has_row[SIM_FILES];
	struct ur_ledger_asset assets[SIM_CONTENTS];
	bool has_asset[SIM_CONTENTS];
	int64_t learned[2];               // body_took, body_refused
	struct ur_age kept[SIM_CONTENTS]; // doubts that no row has any more
};
static struct book open_book; // the transaction
static struct book durable;

static int file_of(const char *name)
{
	for (int i = 0; i < SIM_FILES; i++) {
		if (strcmp(sim_files[i].name, name) == 0) {
			return i;
		}
	}
	abort();
}

static int content_of(const uint8_t sha1[UR_LEDGER_SHA1])
{
	for (int i = 0; i < SIM_CONTENTS; i++) {
		if (memcmp(sim_contents[i].sha1, sha1, UR_LEDGER_SHA1) == 0) {
			return i;
		}
	}
	abort();
}

void sim_ledger_begin(void)
{
	open_book = (struct book){0};
	durable = (struct book){0};
}

void sim_ledger_crash(void)
{
	open_book = durable;
}

const struct ur_record *sim_ledger_row(int file)
{
	return open_book.has_row[file] ? &open_book.rows[file] : NULL;
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
int __wrap_ur_ledger_learned(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t *ret, struct ur_err *err);

int __wrap_ur_ledger_folder(struct ur_ledger *ledger, const void *path, size_t size, bool make,
	int64_t *ret, struct ur_err *err)
{
	(void)ledger, (void)path, (void)size, (void)make, (void)err;
	*ret = 1;
	return 0;
}

int __wrap_ur_ledger_put(
	struct ur_ledger *ledger, const struct ur_record *record, struct ur_err *err)
{
	const int file = file_of(record->name);
	(void)ledger;
	if (!sim.dead && sim_lies(LIE_DISK) && sim_once_in(20)) {
		return ur_err_set(err, -ENOSPC, UR_FAULT_WORLD, "a row");
	}
	struct ur_record *row = &open_book.rows[file];
	*row = *record;
	row->name = sim_files[file].name;
	strncpy(open_book.reasons[file], record->reason, sizeof open_book.reasons[file] - 1);
	row->reason = sim_files[file].name + strlen(row->name); // nobody decides by it
	open_book.has_row[file] = true;
	return 0;
}

/** The moment of truth: the process may die before it, or after it. */
int __wrap_ur_ledger_commit(struct ur_ledger *ledger, struct ur_err *err)
{
	(void)ledger;
	if (!sim.dead && sim_lies(LIE_CRASH) && sim_once_in(4)) {
		sim.dead = true;
	}
	if (!sim.dead && sim_lies(LIE_DISK)) {
		return ur_err_set(err, -ENOSPC, UR_FAULT_WORLD, "the ledger");
	}
	if (!sim.dead) {
		durable = open_book;
	}
	if (!sim.dead && sim_lies(LIE_CRASH) && sim_once_in(4)) {
		sim.dead = true;
	}
	return 0;
}

int __wrap_ur_ledger_get(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const char *name, ur_record_fn *each, void *context, bool *ret_found, struct ur_err *err)
{
	const int file = file_of(name);
	(void)ledger, (void)destination, (void)folder, (void)err;
	*ret_found = open_book.has_row[file];
	return *ret_found ? each(context, &open_book.rows[file]) : 0;
}

int __wrap_ur_ledger_same_in_run(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name, bool *ret,
	struct ur_err *err)
{
	(void)ledger, (void)destination, (void)run, (void)sha1, (void)not_folder, (void)not_name;
	(void)ret, (void)err;
	abort(); // only a plan asks
}

static void take_younger(struct ur_age *youngest, const struct ur_age *age)
{
	if (ur_age_is_begun(age) &&
		(!ur_age_is_begun(youngest) || ur_age_ns(age) < ur_age_ns(youngest))) {
		*youngest = ur_age_keep(age);
	}
}

static void take_first(struct ur_age *first, const struct ur_record *row)
{
	const bool begun = ur_age_is_begun(first);
	const bool same = !begun || strcmp(first->boot, row->doubt.boot) == 0;
	if (!begun ||
		(same && row->doubt.at_ns - row->doubt.had_ns < first->at_ns - first->had_ns)) {
		*first = row->doubt;
	}
	if (!same || !row->noted) {
		first->boot[0] = '\0';
	}
}

int __wrap_ur_ledger_doubt(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name,
	struct ur_ledger_doubt *ret, struct ur_err *err)
{
	(void)ledger, (void)destination, (void)err;
	(void)not_folder;
	*ret = (struct ur_ledger_doubt){0};
	take_younger(&ret->since, &open_book.kept[content_of(sha1)]);
	for (int i = 0; i < SIM_FILES; i++) {
		const struct ur_record *row = &open_book.rows[i];
		if (!open_book.has_row[i] || strcmp(row->name, not_name) == 0 ||
			memcmp(row->sha1, sha1, UR_LEDGER_SHA1) != 0) {
			continue;
		}
		take_younger(&ret->since, &row->doubt);
		if (row->state == UR_SENDING) {
			take_younger(&ret->sending, &row->doubt);
			take_first(&ret->first, row);
		}
	}
	return 0;
}

int __wrap_ur_ledger_doubt_keep(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_age *since, struct ur_err *err)
{
	(void)ledger, (void)destination, (void)err;
	open_book.kept[content_of(sha1)] = *since;
	return 0;
}

int __wrap_ur_ledger_asset_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_asset *ret, bool *ret_found,
	struct ur_err *err)
{
	const int content = content_of(sha1);
	(void)ledger, (void)destination, (void)err;
	*ret_found = open_book.has_asset[content];
	*ret = open_book.assets[content];
	return 0;
}

int __wrap_ur_ledger_asset_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	(void)ledger, (void)destination, (void)err;
	open_book.has_asset[content_of(sha1)] = false;
	return 0;
}

int __wrap_ur_ledger_asset_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_asset *asset, struct ur_err *err)
{
	const int content = content_of(sha1);
	(void)ledger, (void)destination, (void)err;
	open_book.assets[content] = *asset;
	open_book.has_asset[content] = true;
	return 0;
}

/* Nothing is large here. */

int __wrap_ur_ledger_upload_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret, bool *ret_found,
	struct ur_err *err)
{
	(void)ledger, (void)destination, (void)sha1, (void)ret, (void)err;
	*ret_found = false;
	return 0;
}

int __wrap_ur_ledger_upload_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_upload *upload,
	struct ur_err *err)
{
	(void)ledger, (void)destination, (void)sha1, (void)upload, (void)err;
	abort();
}

int __wrap_ur_ledger_upload_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	(void)ledger, (void)destination, (void)sha1, (void)err;
	abort();
}

int __wrap_ur_ledger_learn(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t value, struct ur_err *err)
{
	(void)ledger, (void)server, (void)err;
	open_book.learned[strcmp(key, "body_refused") == 0] = value;
	return 0;
}

int __wrap_ur_ledger_learned(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t *ret, struct ur_err *err)
{
	(void)ledger, (void)server, (void)err;
	*ret = open_book.learned[strcmp(key, "body_refused") == 0];
	return 0;
}
