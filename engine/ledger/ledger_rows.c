/*
 * ledger_rows - folders, a row for each of their files, and a seal over what needs nothing.
 *
 * All columns of `file` are written and read in the order of UR_LEDGER_COLUMNS, in one place each.
 */
#include "engine/ledger/ledger_parts.h"

#include "engine/ledger/marks.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	FLAG_CREATED = 1,
	FLAG_TRAVELLED = 2,
	FLAG_FOR_GOOD = 4,
	FLAG_ACCEPTED = 8,
	FLAG_TOLD = 16,
	FLAG_WHOLE = 32,
	FLAG_CUT = 64,
	FLAG_OWES_LINK = 128,
	FLAG_NOTED = 256,
	FLAG_TROUBLE = UR_LEDGER_FLAG_TROUBLE,
};

/* ---- writing --------------------------------------------------------------------------------- */

static void bind_name(sqlite3_stmt *s, int at, const char *name)
{
	(void)sqlite3_bind_blob64(s, at, name, strlen(name), SQLITE_STATIC);
}

int ur_ledger_folder(struct ur_ledger *ledger, const void *path, size_t size, bool make,
	int64_t *ret, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, FOLDER_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_blob64(s, 1, path, size, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	const int64_t id = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	(void)sqlite3_reset(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		return ur_ledger_complain(ledger, err, "be read");
	}
	if (id != 0 || !make) {
		*ret = id;
		return 0;
	}
	int r = ur_ledger_ensure_transaction(ledger, err);
	s = r < 0 ? NULL : ur_ledger_use(ledger, FOLDER_MAKE, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_blob64(s, 1, path, size, SQLITE_STATIC);
	r = ur_ledger_step_once(ledger, s, "be written", err);
	*ret = sqlite3_last_insert_rowid(ledger->db);
	return r;
}

/** Before a row is written: what was said about its folder holds no longer. */
static int break_seal(
	struct ur_ledger *ledger, int64_t destination, int64_t folder, struct ur_err *err)
{
	if (ledger->unsealed[0] == destination && ledger->unsealed[1] == folder) {
		return 0;
	}
	sqlite3_stmt *s = ur_ledger_use(ledger, SEAL_BREAK, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	const int r = ur_ledger_step_once(ledger, s, "be written", err);
	ledger->unsealed[0] = destination;
	ledger->unsealed[1] = r < 0 ? 0 : folder;
	return r;
}

static void bind_age(sqlite3_stmt *s, int at, const struct ur_age *age)
{
	char text[UR_AGE_TEXT];
	ur_age_write(age, text);
	(void)sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT);
}

static void bind_row(sqlite3_stmt *s, const struct ur_record *f)
{
	const int flags =
		(f->created ? FLAG_CREATED : 0) | (f->travelled ? FLAG_TRAVELLED : 0) |
		(f->for_good ? FLAG_FOR_GOOD : 0) | (f->accepted ? FLAG_ACCEPTED : 0) |
		(f->told ? FLAG_TOLD : 0) | (f->ending == UR_ENDING_WHOLE ? FLAG_WHOLE : 0) |
		(f->ending == UR_ENDING_CUT ? FLAG_CUT : 0) | (f->owes_link ? FLAG_OWES_LINK : 0) |
		(f->noted ? FLAG_NOTED : 0) | (f->trouble ? FLAG_TROUBLE : 0);
	const int64_t numbers[UR_LEDGER_COLUMN_COUNT] = {f->destination, f->folder, 0,
		(int64_t)f->identity.fs, (int64_t)f->identity.inode, f->identity.size,
		f->identity.mtime_ns, f->identity.ctime_ns, f->remembered, (int64_t)f->edges, 0, 0,
		f->state, 0, 0, flags, f->tries, f->next_ns, f->run, f->seen_ns, f->probed_ns,
		f->sending_ns, f->delivered_ns, f->confirmed_ns, f->settled_ns, 0, f->quiet_ns, 0,
		0, 0, f->quiet_had_ns, (int64_t)f->place, f->place_size};
	for (int i = 0; i < UR_LEDGER_COLUMN_COUNT; i++) {
		(void)sqlite3_bind_int64(s, i + 1, numbers[i]);
	}
	bind_name(s, 3, f->name);
	if (f->hashed) {
		(void)sqlite3_bind_blob(s, 11, f->sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
		(void)sqlite3_bind_blob(s, 12, f->xxh, UR_LEDGER_XXH, SQLITE_STATIC);
	} else {
		(void)sqlite3_bind_null(s, 11);
		(void)sqlite3_bind_null(s, 12);
	}
	ur_ledger_bind_text(s, 14, f->reason);
	ur_ledger_bind_text(s, 15, f->asset);
	ur_ledger_bind_text(s, 26, f->boot);
	ur_ledger_bind_text(s, 28, f->staged);
	bind_age(s, 29, &f->there);
	bind_age(s, 30, &f->doubt);
}

static int write_row(struct ur_ledger *ledger, enum ur_ledger_statement which,
	const struct ur_record *f, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, which, err);
	if (s == NULL) {
		return -EIO;
	}
	bind_row(s, f);
	return ur_ledger_step_once(ledger, s, "be written", err);
}

int ur_ledger_put(struct ur_ledger *ledger, const struct ur_record *f, struct ur_err *err)
{
	assert(f->folder != 0 && f->destination != 0);
	int r = ur_ledger_ensure_transaction(ledger, err);
	r = r < 0 ? r : break_seal(ledger, f->destination, f->folder, err);
	ledger->dirty = true;
	ledger->facts = true;
	/* What has been sent had a row before it was. */
	if (r == 0 && f->hashed && f->state > UR_SENDING) {
		r = write_row(ledger, FILE_CHANGE, f, err);
		if (r < 0 || sqlite3_changes64(ledger->db) == 1) {
			return r;
		}
	}
	return r < 0 ? r : write_row(ledger, FILE_PUT, f, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct ur_age ur_record_quiet(const struct ur_record *record)
{
	struct ur_age age = {.at_ns = record->quiet_ns, .had_ns = record->quiet_had_ns};
	(void)snprintf(age.boot, sizeof age.boot, "%s", record->boot);
	return age;
}

static struct ur_age read_age(sqlite3_stmt *s, int at)
{
	char text[UR_AGE_TEXT];
	ur_ledger_copy_text(s, at, text, sizeof text);
	return ur_age_read(text);
}

void ur_ledger_read_row(sqlite3_stmt *s, struct ur_record *ret, char name[256])
{
	const void *blob = sqlite3_column_blob(s, 2);
	int size = sqlite3_column_bytes(s, 2);
	size = size > 255 ? 255 : size;
	memcpy(name, blob == NULL ? "" : blob, (size_t)size);
	name[size] = '\0';
	const int flags = sqlite3_column_int(s, 15);
	*ret = (struct ur_record){
		.destination = sqlite3_column_int64(s, 0),
		.folder = sqlite3_column_int64(s, 1),
		.name = name,
		.identity = {(uint64_t)sqlite3_column_int64(s, 3),
			(uint64_t)sqlite3_column_int64(s, 4), sqlite3_column_int64(s, 5),
			sqlite3_column_int64(s, 6), sqlite3_column_int64(s, 7)},
		.remembered = sqlite3_column_int(s, 8) != 0,
		.edges = (uint64_t)sqlite3_column_int64(s, 9),
		.state = (enum ur_state)sqlite3_column_int(s, 12),
		.reason = (const char *)sqlite3_column_text(s, 13),
		.created = (flags & FLAG_CREATED) != 0,
		.travelled = (flags & FLAG_TRAVELLED) != 0,
		.for_good = (flags & FLAG_FOR_GOOD) != 0,
		.accepted = (flags & FLAG_ACCEPTED) != 0,
		.told = (flags & FLAG_TOLD) != 0,
		.owes_link = (flags & FLAG_OWES_LINK) != 0,
		.noted = (flags & FLAG_NOTED) != 0,
		.trouble = (flags & FLAG_TROUBLE) != 0,
		.ending = (flags & FLAG_WHOLE) != 0 ? UR_ENDING_WHOLE
			  : (flags & FLAG_CUT) != 0 ? UR_ENDING_CUT
						    : UR_ENDING_UNKNOWN,
		.tries = sqlite3_column_int(s, 16),
		.next_ns = sqlite3_column_int64(s, 17),
		.run = sqlite3_column_int64(s, 18),
		.seen_ns = sqlite3_column_int64(s, 19),
		.probed_ns = sqlite3_column_int64(s, 20),
		.sending_ns = sqlite3_column_int64(s, 21),
		.delivered_ns = sqlite3_column_int64(s, 22),
		.confirmed_ns = sqlite3_column_int64(s, 23),
		.settled_ns = sqlite3_column_int64(s, 24),
		.quiet_ns = sqlite3_column_int64(s, 26),
		.quiet_had_ns = sqlite3_column_int64(s, 30),
		.place = (uint64_t)sqlite3_column_int64(s, 31),
		.place_size = sqlite3_column_int64(s, 32),
	};
	if ((unsigned)ret->state >= UR_STATES) {
		ret->state = UR_SEEN;
	}
	if (sqlite3_column_bytes(s, 10) == UR_LEDGER_SHA1 &&
		sqlite3_column_bytes(s, 11) == UR_LEDGER_XXH) {
		ret->hashed = true;
		memcpy(ret->sha1, sqlite3_column_blob(s, 10), UR_LEDGER_SHA1);
		memcpy(ret->xxh, sqlite3_column_blob(s, 11), UR_LEDGER_XXH);
	}
	ur_ledger_copy_text(s, 14, ret->asset, sizeof ret->asset);
	ur_ledger_copy_text(s, 25, ret->boot, sizeof ret->boot);
	ur_ledger_copy_text(s, 27, ret->staged, sizeof ret->staged);
	ret->there = read_age(s, 28);
	ret->doubt = read_age(s, 29);
}

static int each_record(struct ur_ledger *ledger, sqlite3_stmt *s, ur_record_fn *each, void *context,
	int64_t *ret_count, struct ur_err *err)
{
	int code = 0;
	int r = 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct ur_record record;
		char name[256];
		ur_ledger_read_row(s, &record, name);
		r = each(context, &record);
		(*ret_count)++;
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = ur_ledger_complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_in_folder(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	ur_record_fn *each, void *context, struct ur_err *err)
{
	int64_t count = 0;
	sqlite3_stmt *s = ur_ledger_use(ledger, FILE_IN_FOLDER, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	return each_record(ledger, s, each, context, &count, err);
}

int ur_ledger_get(struct ur_ledger *ledger, int64_t destination, int64_t folder, const char *name,
	ur_record_fn *each, void *context, bool *ret_found, struct ur_err *err)
{
	int64_t count = 0;
	sqlite3_stmt *s = ur_ledger_use(ledger, FILE_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	bind_name(s, 3, name);
	const int r = each_record(ledger, s, each, context, &count, err);
	*ret_found = count > 0;
	return r;
}

int ur_ledger_same_in_run(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name, bool *ret,
	struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, FILE_SAME, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 3, run);
	(void)sqlite3_bind_int64(s, 4, not_folder);
	bind_name(s, 5, not_name);
	const int code = sqlite3_step(s);
	(void)sqlite3_reset(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		return ur_ledger_complain(ledger, err, "be read");
	}
	*ret = code == SQLITE_ROW;
	return 0;
}

static void take_younger(struct ur_age *youngest, const struct ur_age *age)
{
	if (ur_age_is_begun(age) &&
		(!ur_age_is_begun(youngest) || ur_age_ns(age) < ur_age_ns(youngest))) {
		*youngest = ur_age_keep(age);
	}
}

/** One that was not noted, or is of another boot, leaves nothing that could be said of them all. */
static void take_first(struct ur_age *first, const struct ur_age *age, bool noted)
{
	if (!ur_age_is_begun(first)) {
		*first = *age;
	}
	const bool same = strcmp(first->boot, age->boot) == 0;
	if (same && age->at_ns - age->had_ns < first->at_ns - first->had_ns) {
		*first = *age;
	}
	if (!same || !noted) {
		first->boot[0] = '\0';
	}
}

#define DOUBT_KEY (2 * UR_LEDGER_SHA1 + 40)

/** In `meta`: "doubt DESTINATION SHA1". */
static void name_doubt(int64_t destination, const uint8_t sha1[UR_LEDGER_SHA1], char ret[DOUBT_KEY])
{
	char hex[2 * UR_LEDGER_SHA1 + 1];
	ur_hex(sha1, UR_LEDGER_SHA1, hex);
	(void)snprintf(ret, DOUBT_KEY, "doubt %lld %s", (long long)destination, hex);
}

int ur_ledger_doubt_keep(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_age *since, struct ur_err *err)
{
	char key[DOUBT_KEY];
	char text[UR_AGE_TEXT];
	int r = ur_ledger_ensure_transaction(ledger, err);
	ledger->dirty = true;
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, DOUBT_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	name_doubt(destination, sha1, key);
	ur_age_write(since, text);
	(void)sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(s, 2, text, -1, SQLITE_STATIC);
	r = sqlite3_step(s) == SQLITE_DONE ? 0 : ur_ledger_complain(ledger, err, "be written");
	(void)sqlite3_reset(s);
	return r;
}

/** The one that is kept by itself, if there is one. */
static int add_kept_doubt(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_age *youngest, struct ur_err *err)
{
	char key[DOUBT_KEY];
	sqlite3_stmt *s = ur_ledger_use(ledger, DOUBT_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	name_doubt(destination, sha1, key);
	(void)sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		const struct ur_age age = read_age(s, 0);
		take_younger(youngest, &age);
	}
	const bool good = code == SQLITE_ROW || code == SQLITE_DONE;
	const int r = good ? 0 : ur_ledger_complain(ledger, err, "be read");
	(void)sqlite3_reset(s);
	return r;
}

int ur_ledger_doubt(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name,
	struct ur_ledger_doubt *ret, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, FILE_DOUBTS, err);
	struct ur_ledger_doubt doubt = {0};
	int code = 0;
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 3, not_folder);
	bind_name(s, 4, not_name);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		const struct ur_age age = read_age(s, 0);
		take_younger(&doubt.since, &age);
		if (sqlite3_column_int(s, 1) == UR_SENDING) {
			take_younger(&doubt.sending, &age);
			const bool noted = (sqlite3_column_int(s, 2) & FLAG_NOTED) != 0;
			take_first(&doubt.first, &age, noted);
		}
	}
	int r = code == SQLITE_DONE ? 0 : ur_ledger_complain(ledger, err, "be read");
	(void)sqlite3_reset(s);
	r = r < 0 ? r : add_kept_doubt(ledger, destination, sha1, &doubt.since, err);
	*ret = r < 0 ? *ret : doubt;
	return r;
}

int ur_ledger_emptied(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const void *folder, size_t size, bool *ret, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, EMPTIED, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob64(s, 2, folder, size, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 3, run);
	const int code = sqlite3_step(s);
	(void)sqlite3_reset(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		return ur_ledger_complain(ledger, err, "be read");
	}
	*ret = code == SQLITE_ROW;
	return 0;
}

/* ---- seals ----------------------------------------------------------------------------------- */

int ur_ledger_sealed(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const void **ret, size_t *ret_count, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, SEAL_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	const int code = sqlite3_step(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		const int r = ur_ledger_complain(ledger, err, "be read");
		(void)sqlite3_reset(s);
		return r;
	}
	/* The statement stays where it is: its row holds the bytes.  ur_ledger_use() resets it. */
	*ret = code == SQLITE_ROW ? sqlite3_column_blob(s, 0) : NULL;
	*ret_count = *ret == NULL ? 0 : (size_t)sqlite3_column_bytes(s, 0) / UR_MARK_SIZE;
	return 0;
}

static int gather_marks(struct ur_ledger *ledger, sqlite3_stmt *s, struct ur_marks *seal)
{
	int code = 0;
	int r = 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		const char *name = sqlite3_column_blob(s, 0);
		const int size = sqlite3_column_bytes(s, 0);
		if (name == NULL || size <= 0 || size > 255) {
			continue; // no name that a listing could show
		}
		const struct ur_identity identity = {(uint64_t)sqlite3_column_int64(s, 1),
			(uint64_t)sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3),
			sqlite3_column_int64(s, 4), sqlite3_column_int64(s, 5)};
		const int state = sqlite3_column_int(s, 6);
		const struct ur_mark mark = ur_mark_of(
			&identity, name, (size_t)size, state == UR_REFUSED || state == UR_FAILED);
		r = ur_marks_add(seal, &mark);
	}
	(void)sqlite3_reset(s);
	return r < 0                 ? r
	       : code == SQLITE_DONE ? 0
				     : ur_ledger_errno_of(sqlite3_errcode(ledger->db));
}

static int seal_folder(
	struct ur_ledger *ledger, int64_t destination, int64_t folder, struct ur_err *err)
{
	struct ur_marks seal = {0};
	sqlite3_stmt *s = ur_ledger_use(ledger, SEAL_ROWS, err);
	int r = s == NULL ? -EIO : 0;
	if (r == 0) {
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
		r = gather_marks(ledger, s, &seal);
		s = r < 0 ? NULL : ur_ledger_use(ledger, SEAL_PUT, err);
	}
	if (s != NULL) {
		ur_marks_sort(&seal);
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
		(void)sqlite3_bind_blob64(s, 3, seal.count == 0 ? "" : (const void *)seal.marks,
			seal.count * UR_MARK_SIZE, SQLITE_STATIC);
		r = ur_ledger_step_once(ledger, s, "be written", err);
	} else {
		r = ur_err_set(
			err, r < 0 ? r : -EIO, UR_FAULT_WORLD, "the ledger '%s'", ledger->path);
	}
	ur_marks_done(&seal);
	ledger->facts = true;
	return r;
}

int ur_ledger_seal(struct ur_ledger *ledger, int64_t destination, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	int64_t folder = 0;
	ledger->unsealed[1] = 0;
	ledger->all_unsealed = false;
	for (;;) {
		sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, SEAL_STALE, err);
		if (s == NULL) {
			return r < 0 ? r : -EIO;
		}
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
		const int code = sqlite3_step(s);
		folder = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
		(void)sqlite3_reset(s);
		if (code != SQLITE_ROW) {
			return code == SQLITE_DONE ? 0 : ur_ledger_complain(ledger, err, "be read");
		}
		r = seal_folder(ledger, destination, folder, err);
	}
}

int ur_ledger_hold(struct ur_ledger *ledger, struct ur_err *err)
{
	if (ledger->held) {
		return 0;
	}
	sqlite3_stmt *s = ur_ledger_use(ledger, HOLD, err);
	const int r = s == NULL ? -EIO : ur_ledger_step_once(ledger, s, "be read", err);
	ledger->held = r == 0;
	return r;
}

void ur_ledger_let_go(struct ur_ledger *ledger)
{
	sqlite3_stmt **sealed = &ledger->statements[SEAL_GET];
	if (*sealed != NULL) {
		(void)sqlite3_reset(*sealed); // it would keep the state, too
	}
	sqlite3_stmt *s = ledger->held ? ur_ledger_use(ledger, LET_GO, NULL) : NULL;
	if (s != NULL) {
		(void)ur_ledger_step_once(
			ledger, s, "be read", NULL); // a reader has nothing to lose
	}
	ledger->held = false;
}
