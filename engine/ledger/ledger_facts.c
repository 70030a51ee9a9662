/*
 * ledger_facts - what holds for more than one file: destinations and runs, what a server got and
 * said, and the uploads that are under way.
 */
#include "engine/ledger/ledger_parts.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- destinations, runs ---------------------------------------------------------------------- */

int ur_ledger_destination(struct ur_ledger *ledger, const char *user_id, const char *user_name,
	const char *server, int64_t *ret, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, DESTINATION_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ur_ledger_bind_text(s, 1, user_id);
	ur_ledger_bind_text(s, 2, user_name);
	ur_ledger_bind_text(s, 3, server);
	(void)sqlite3_bind_int64(s, 4, ur_clock_wall_ns());
	r = ur_ledger_step_once(ledger, s, "be written", err);
	s = r < 0 ? NULL : ur_ledger_use(ledger, DESTINATION_GET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ur_ledger_bind_text(s, 1, user_id);
	r = sqlite3_step(s) == SQLITE_ROW ? 0 : ur_ledger_complain(ledger, err, "be read");
	*ret = r < 0 ? 0 : sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	return r;
}

int ur_ledger_run_begin(struct ur_ledger *ledger, int64_t destination, const char *command,
	int64_t *ret, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, RUN_BEGIN, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	ur_ledger_bind_text(s, 2, command);
	(void)sqlite3_bind_int64(s, 3, ur_clock_wall_ns());
	r = ur_ledger_step_once(ledger, s, "be written", err);
	*ret = sqlite3_last_insert_rowid(ledger->db);
	return r;
}

int ur_ledger_run_end(
	struct ur_ledger *ledger, int64_t run, const char *summary, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, RUN_END, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, run);
	(void)sqlite3_bind_int64(s, 2, ur_clock_wall_ns());
	ur_ledger_bind_text(s, 3, summary);
	r = ur_ledger_step_once(ledger, s, "be written", err);
	return r < 0 ? r : ur_ledger_commit(ledger, err);
}

/* ---- assets ---------------------------------------------------------------------------------- */

int ur_ledger_asset_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_asset *asset, struct ur_err *err)
{
	int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, ASSET_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	ur_ledger_bind_text(s, 3, asset->asset);
	(void)sqlite3_bind_int64(s, 4, asset->created);
	(void)sqlite3_bind_int64(s, 5, asset->run);
	(void)sqlite3_bind_int64(s, 6, asset->at_ns);
	ledger->dirty = true;
	ledger->facts = true;
	return ur_ledger_step_once(ledger, s, "be written", err);
}

int ur_ledger_asset_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_asset *ret, bool *ret_found,
	struct ur_err *err)
{
	/* The writer asks before it writes: within its transaction a question needs no locks. */
	const int r = ledger->lock_fd < 0 ? 0 : ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, ASSET_GET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		ur_ledger_copy_text(s, 0, ret->asset, sizeof ret->asset);
		ret->created = sqlite3_column_int(s, 1) != 0;
		ret->run = sqlite3_column_int64(s, 2);
		ret->at_ns = sqlite3_column_int64(s, 3);
	}
	(void)sqlite3_reset(s);
	*ret_found = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE
		       ? 0
		       : ur_ledger_complain(ledger, err, "be read");
}

int ur_ledger_asset_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	const int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, ASSET_FORGET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ledger->facts = true;
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	return ur_ledger_step_once(ledger, s, "be written", err);
}

/* ---- what the server answered ---------------------------------------------------------------- */

static int make_salt(struct ur_ledger *ledger, uint8_t ret[UR_LEDGER_SALT], struct ur_err *err)
{
	char hex[2 * UR_LEDGER_SALT + 1];
	int r = getrandom(ret, UR_LEDGER_SALT, 0) == (ssize_t)UR_LEDGER_SALT ? 0 : -EIO;
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_WORLD, "the system has no random bytes");
	}
	r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, SALT_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ur_hex(ret, UR_LEDGER_SALT, hex);
	ur_ledger_bind_text(s, 1, hex);
	return ur_ledger_step_once(ledger, s, "be written", err);
}

int ur_ledger_salt(struct ur_ledger *ledger, uint8_t ret[UR_LEDGER_SALT], struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, SALT_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	const int code = sqlite3_step(s);
	const char *hex = code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
	const bool good = hex != NULL && ur_unhex(hex, UR_LEDGER_SALT, ret);
	(void)sqlite3_reset(s);
	if (code == SQLITE_DONE) {
		return make_salt(ledger, ret, err);
	}
	return code != SQLITE_ROW ? ur_ledger_complain(ledger, err, "be read")
	       : good             ? 0
				  : ur_err_say(err, -EUCLEAN, UR_FAULT_SETUP,
					    "the ledger '%s' is damaged: its salt is none", ledger->path);
}

static sqlite3_stmt *use_answer(struct ur_ledger *ledger, enum ur_ledger_statement which,
	const char *server, const uint8_t who[UR_LEDGER_WHO], const char *path, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, which, err);
	if (s != NULL) {
		ur_ledger_bind_text(s, 1, server);
		(void)sqlite3_bind_blob(s, 2, who, UR_LEDGER_WHO, SQLITE_STATIC);
		ur_ledger_bind_text(s, 3, path);
	}
	return s;
}

int ur_ledger_answer_get(struct ur_ledger *ledger, const char *server,
	const uint8_t who[UR_LEDGER_WHO], const char *path, int64_t age_ns, struct ur_text *ret,
	bool *ret_found, struct ur_err *err)
{
	const int64_t now = ur_clock_wall_ns();
	sqlite3_stmt *s = use_answer(ledger, ANSWER_GET, server, who, path, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 4, now - age_ns);
	(void)sqlite3_bind_int64(s, 5, now); // from the future: a clock was stepped back
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		ur_text_adds(ret, (const char *)sqlite3_column_text(s, 0));
	}
	(void)sqlite3_reset(s);
	*ret_found = code == SQLITE_ROW && ur_text_ok(ret);
	return code == SQLITE_ROW || code == SQLITE_DONE
		       ? 0
		       : ur_ledger_complain(ledger, err, "be read");
}

int ur_ledger_answer_put(struct ur_ledger *ledger, const char *server,
	const uint8_t who[UR_LEDGER_WHO], const char *path, const char *text, struct ur_err *err)
{
	const int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use_answer(ledger, ANSWER_PUT, server, who, path, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 4, ur_clock_wall_ns());
	ur_ledger_bind_text(s, 5, text);
	return ur_ledger_step_once(ledger, s, "be written", err);
}

int ur_ledger_answers_drop(struct ur_ledger *ledger, const char *server, struct ur_err *err)
{
	const int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, ANSWERS_DROP, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ur_ledger_bind_text(s, 1, server);
	return ur_ledger_step_once(ledger, s, "be written", err);
}

/* ---- uploads under way ----------------------------------------------------------------------- */

int ur_ledger_upload_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret, bool *ret_found,
	struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, UPLOAD_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		ur_ledger_copy_text(s, 0, ret->address, sizeof ret->address);
		ret->length = sqlite3_column_int64(s, 1);
		ret->about = (uint64_t)sqlite3_column_int64(s, 2);
		ret->offset = (uint64_t)sqlite3_column_int64(s, 3);
		ret->made_ns = sqlite3_column_int64(s, 4);
		ret->at_ns = sqlite3_column_int64(s, 5);
	}
	(void)sqlite3_reset(s);
	*ret_found = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE
		       ? 0
		       : ur_ledger_complain(ledger, err, "be read");
}

int ur_ledger_upload_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_upload *upload,
	struct ur_err *err)
{
	const int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, UPLOAD_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	ur_ledger_bind_text(s, 3, upload->address);
	(void)sqlite3_bind_int64(s, 4, upload->length);
	(void)sqlite3_bind_int64(s, 5, (int64_t)upload->about);
	(void)sqlite3_bind_int64(s, 6, (int64_t)upload->offset);
	(void)sqlite3_bind_int64(s, 7, upload->made_ns);
	(void)sqlite3_bind_int64(s, 8, upload->at_ns);
	ledger->dirty = true;
	ledger->facts = true;
	return ur_ledger_step_once(ledger, s, "be written", err);
}

int ur_ledger_upload_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	const int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, UPLOAD_FORGET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	ledger->dirty = true;
	ledger->facts = true;
	return ur_ledger_step_once(ledger, s, "be written", err);
}

/* ---- what was learned ------------------------------------------------------------------------ */

int ur_ledger_learned(struct ur_ledger *ledger, const char *server, const char *key, int64_t *ret,
	struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, LEARNED, err);
	if (s == NULL) {
		return -EIO;
	}
	ur_ledger_bind_text(s, 1, server);
	ur_ledger_bind_text(s, 2, key);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		*ret = sqlite3_column_int64(s, 0);
	}
	(void)sqlite3_reset(s);
	return code == SQLITE_ROW || code == SQLITE_DONE
		       ? 0
		       : ur_ledger_complain(ledger, err, "be read");
}

int ur_ledger_learn(struct ur_ledger *ledger, const char *server, const char *key, int64_t value,
	struct ur_err *err)
{
	const int r = ur_ledger_ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : ur_ledger_use(ledger, LEARN, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ur_ledger_bind_text(s, 1, server);
	ur_ledger_bind_text(s, 2, key);
	(void)sqlite3_bind_int64(s, 3, value);
	ledger->dirty = true;
	ledger->facts = true;
	return ur_ledger_step_once(ledger, s, "be written", err);
}

/* ---- what is in trouble ---------------------------------------------------------------------- */

/** "RUN COUNT TOLD PLACE,PLACE,… AGE"; the age last, since it may be empty. */
static void write_trouble(const struct ur_ledger_trouble *trouble, struct ur_text *ret)
{
	char age[UR_AGE_TEXT];
	assert(trouble->place_count <= UR_LEDGER_PLACES_MAX);
	ur_text_addf(ret, "%" PRId64 " %" PRIu64 " %" PRId64 " ", trouble->run, trouble->count,
		trouble->told_ns);
	for (unsigned i = 0; i < trouble->place_count; i++) {
		ur_text_addf(ret, "%016" PRIx64 ",", trouble->places[i]);
	}
	ur_age_write(&trouble->told, age);
	ur_text_adds(ret, " ");
	ur_text_adds(ret, age);
}

/** What cannot be read is as if it had never been said. */
static void read_trouble(const char *text, struct ur_ledger_trouble *ret)
{
	int at = 0;
	struct ur_ledger_trouble t = {0};
	*ret = t;
	if (text == NULL || sscanf(text, "%" SCNd64 " %" SCNu64 " %" SCNd64 " %n", &t.run, &t.count,
				    &t.told_ns, &at) < 3) {
		return;
	}
	const char *next = text + at;
	char *end = NULL;
	while (t.place_count < UR_LEDGER_PLACES_MAX) {
		const uint64_t place = strtoull(next, &end, 16);
		if (end == next || *end != ',') {
			break;
		}
		t.places[t.place_count++] = place;
		next = end + 1;
	}
	t.told = ur_age_read(next + strspn(next, " "));
	*ret = t;
}

static sqlite3_stmt *use_trouble(struct ur_ledger *ledger, enum ur_ledger_statement which,
	int64_t destination, int64_t folder, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, which, err);
	if (s != NULL) {
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
	}
	return s;
}

int ur_ledger_trouble_get(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	struct ur_ledger_trouble *ret, struct ur_err *err)
{
	sqlite3_stmt *s = use_trouble(ledger, TROUBLE_GET, destination, folder, err);
	if (s == NULL) {
		return -EIO;
	}
	const int code = sqlite3_step(s);
	read_trouble(code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL, ret);
	(void)sqlite3_reset(s);
	return code == SQLITE_ROW || code == SQLITE_DONE
		       ? 0
		       : ur_ledger_complain(ledger, err, "be read");
}

int ur_ledger_trouble_put(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const struct ur_ledger_trouble *trouble, struct ur_err *err)
{
	struct ur_text text = {0};
	const bool none = trouble->count == 0;
	assert(folder != 0);
	write_trouble(trouble, &text);
	int r = ur_text_ok(&text) ? ur_ledger_ensure_transaction(ledger, err)
				  : ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "the ledger");
	sqlite3_stmt *s = r < 0 ? NULL
				: use_trouble(ledger, none ? TROUBLE_FORGET : TROUBLE_PUT,
					  destination, folder, err);
	r = r < 0 ? r : s == NULL ? -EIO : 0;
	if (r == 0) {
		if (!none) {
			ur_ledger_bind_text(s, 3, ur_text_get(&text));
		}
		ledger->dirty = true;
		ledger->facts = true;
		r = ur_ledger_step_once(ledger, s, "be written", err);
	}
	ur_text_done(&text);
	return r;
}

int ur_ledger_troubles(
	struct ur_ledger *ledger, ur_trouble_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = ur_ledger_use(ledger, TROUBLES, err);
	int code = SQLITE_ERROR;
	int r = s == NULL ? -EIO : 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct ur_ledger_trouble trouble;
		struct ur_text path = {0};
		read_trouble((const char *)sqlite3_column_text(s, 0), &trouble);
		ur_text_add(&path, sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1));
		r = ur_text_ok(&path) ? each(context, &path, &trouble) : -ENOMEM;
		ur_text_done(&path);
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = ur_ledger_complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}
