/*
 * ledger_people - the ledger for people: rows by a filter, counts, runs, contents to be verified,
 * and what is changed by somebody's word rather than by a run.
 */
#include "engine/ledger/ledger_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- filters --------------------------------------------------------------------------------- */

/** The WHERE of a filter; its values are bound by bind_filter() in the same order. */
static void filter_where(const struct ur_ledger_filter *filter, struct ur_text *sql)
{
	ur_text_adds(sql, " WHERE 1");
	if (filter->folder_path != NULL) {
		ur_text_adds(sql, " AND f.folder IN (SELECT id FROM folder WHERE path=:folder)");
	}
	if (filter->name != NULL) {
		ur_text_adds(sql, " AND f.name=:name");
	}
	if (filter->below != NULL) {
		ur_text_adds(sql, " AND f.folder IN (SELECT id FROM folder WHERE path=:below OR"
				  " substr(path,1,length(:slash))=:slash)");
	}
	if (filter->states != 0) {
		ur_text_addf(sql, " AND ((1 << f.state) & %" PRIu32 " <> 0", filter->states);
		if (filter->or_trouble) {
			ur_text_addf(sql, " OR f.flags & %d AND f.state <> %d",
				UR_LEDGER_FLAG_TROUBLE, UR_SETTLED);
		}
		ur_text_adds(sql, ")");
	}
	if (filter->destination != 0) {
		ur_text_addf(sql, " AND f.destination=%" PRId64, filter->destination);
	}
	if (filter->cut) {
		ur_text_adds(sql, " AND f.flags & 64 AND f.sha1 IS NOT NULL AND f.state <> 12");
	}
	if (filter->staged) {
		ur_text_adds(sql, " AND f.staged <> ''");
	}
}

static void bind_blob_named(sqlite3_stmt *s, const char *parameter, const char *bytes)
{
	const int at = sqlite3_bind_parameter_index(s, parameter);
	if (at > 0 && bytes != NULL) {
		(void)sqlite3_bind_blob64(s, at, bytes, strlen(bytes), SQLITE_TRANSIENT);
	}
}

static void bind_filter(sqlite3_stmt *s, const struct ur_ledger_filter *filter)
{
	bind_blob_named(s, ":folder", filter->folder_path);
	bind_blob_named(s, ":name", filter->name);
	bind_blob_named(s, ":below", filter->below);
	if (filter->below != NULL) {
		struct ur_text slash = {0};
		ur_text_adds(&slash, filter->below);
		ur_text_adds(&slash, strcmp(filter->below, "/") == 0 ? "" : "/");
		bind_blob_named(s, ":slash", ur_text_get(&slash));
		ur_text_done(&slash);
	}
}

static sqlite3_stmt *prepare_filtered(struct ur_ledger *ledger, const char *before,
	const struct ur_ledger_filter *filter, const char *after, struct ur_err *err)
{
	struct ur_text sql = {0};
	sqlite3_stmt *s = NULL;
	ur_text_adds(&sql, before);
	filter_where(filter, &sql);
	ur_text_adds(&sql, after);
	if (!ur_text_ok(&sql) ||
		sqlite3_prepare_v2(ledger->db, ur_text_get(&sql), -1, &s, NULL) != SQLITE_OK) {
		(void)ur_ledger_complain(ledger, err, "be read");
	} else {
		bind_filter(s, filter);
	}
	ur_text_done(&sql);
	return s;
}

/* ---- looking --------------------------------------------------------------------------------- */

int ur_ledger_rows(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, ur_row_fn *each,
	void *context, struct ur_err *err)
{
	sqlite3_stmt *s = prepare_filtered(ledger,
		"SELECT " UR_LEDGER_COLUMNS ", p.path, d.user_name, d.user_id FROM file f"
		" JOIN folder p ON p.id=f.folder JOIN destination d ON d.id=f.destination",
		filter, " ORDER BY p.path, f.name", err);
	if (s == NULL) {
		return -EIO;
	}
	int code = 0;
	int r = 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct ur_ledger_row row;
		char name[256];
		ur_ledger_read_row(s, &row.record, name);
		row.path = sqlite3_column_blob(s, UR_LEDGER_COLUMN_COUNT);
		row.path_size = (size_t)sqlite3_column_bytes(s, UR_LEDGER_COLUMN_COUNT);
		row.user_name = (const char *)sqlite3_column_text(s, UR_LEDGER_COLUMN_COUNT + 1);
		row.user_id = (const char *)sqlite3_column_text(s, UR_LEDGER_COLUMN_COUNT + 2);
		r = each(context, &row);
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = ur_ledger_complain(ledger, err, "be read");
	}
	(void)sqlite3_finalize(s);
	return r < 0 ? r : 0;
}

int ur_ledger_counts(struct ur_ledger *ledger, ur_count_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, COUNTS, err);
	int code = SQLITE_ERROR;
	int r = s == NULL ? -EIO : 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		const struct ur_ledger_count count = {
			.destination = sqlite3_column_int64(s, 0),
			.user_name = (const char *)sqlite3_column_text(s, 1),
			.user_id = (const char *)sqlite3_column_text(s, 2),
			.server = (const char *)sqlite3_column_text(s, 3),
			.state = (enum ur_state)sqlite3_column_int(s, 4),
			.files = sqlite3_column_int64(s, 5),
			.bytes = sqlite3_column_int64(s, 6),
		};
		r = each(context, &count);
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = ur_ledger_complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_runs(
	struct ur_ledger *ledger, int limit, ur_run_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, RUNS, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int(s, 1, limit);
	int code = 0;
	int r = 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		const struct ur_ledger_run run = {
			.id = sqlite3_column_int64(s, 0),
			.command = (const char *)sqlite3_column_text(s, 1),
			.started_ns = sqlite3_column_int64(s, 2),
			.ended_ns = sqlite3_column_int64(s, 3),
			.summary = (const char *)sqlite3_column_text(s, 4),
		};
		r = each(context, &run);
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = ur_ledger_complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_contents(struct ur_ledger *ledger, int64_t destination, const uint8_t *after,
	int limit, ur_content_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, CONTENTS, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, after == NULL ? "" : (const char *)after,
		after == NULL ? 0 : UR_LEDGER_SHA1, SQLITE_STATIC);
	(void)sqlite3_bind_int(s, 3, limit);
	int code = 0;
	int r = 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		if (sqlite3_column_bytes(s, 0) == UR_LEDGER_SHA1) {
			r = each(context, sqlite3_column_blob(s, 0),
				(const char *)sqlite3_column_text(s, 1));
		}
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = ur_ledger_complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

/* ---- changing -------------------------------------------------------------------------------- */

/** Before rows are changed that are chosen by something else than their folder. */
static int break_all_seals(struct ur_ledger *ledger, struct ur_err *err)
{
	const int r = ledger->all_unsealed
			      ? 0
			      : ur_ledger_run_sql(ledger,
					"UPDATE seal SET fresh=0, marks=x'' WHERE fresh<>0",
					"be written", err);
	ledger->all_unsealed = r == 0;
	ledger->facts = true;
	return r;
}

static int change_filtered(struct ur_ledger *ledger, const char *before,
	const struct ur_ledger_filter *filter, int64_t *ret, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	r = r < 0 ? r : break_all_seals(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : prepare_filtered(ledger, before, filter, "", err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	r = sqlite3_step(s) == SQLITE_DONE ? 0 : ur_ledger_complain(ledger, err, "be written");
	*ret = sqlite3_changes64(ledger->db);
	(void)sqlite3_finalize(s);
	return r < 0 ? r : ur_ledger_commit(ledger, err);
}

int ur_ledger_retry(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, int64_t *ret,
	struct ur_err *err)
{
	return change_filtered(ledger,
		"UPDATE file AS f SET state=0, tries=0, next_ns=0, flags=flags & ~4, remembered=0",
		filter, ret, err);
}

int ur_ledger_accept(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, int64_t *ret,
	struct ur_err *err)
{
	struct ur_ledger_filter cut = *filter;
	cut.cut = true;
	return change_filtered(
		ledger, "UPDATE file AS f SET flags=(flags | 8) & ~16", &cut, ret, err);
}

int ur_ledger_forget(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, int64_t *ret,
	struct ur_err *err)
{
	return change_filtered(ledger, "DELETE FROM file AS f", filter, ret, err);
}

int ur_ledger_is_kept(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], bool *ret, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, KEPT, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	(void)sqlite3_reset(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		return ur_ledger_complain(ledger, err, "be read");
	}
	*ret = code == SQLITE_ROW;
	return 0;
}

int ur_ledger_mark(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], enum ur_ledger_whose whose, enum ur_state state,
	const char *reason, int64_t *ret, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	r = r < 0 ? r : break_all_seals(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, MARK, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	(void)sqlite3_bind_int(s, 3, (int)state);
	ur_ledger_bind_text(s, 4, reason);
	(void)sqlite3_bind_int(s, 5, (int)whose);
	r = ur_ledger_step_once(ledger, s, "be written", err);
	*ret = sqlite3_changes64(ledger->db);
	return r;
}
