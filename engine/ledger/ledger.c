/*
 * ledger - one database, one table of statements, one way to read a row.
 *
 * Every statement is prepared once, at its first use.  All columns of `file` are written and read
 * in the order of COLUMNS, in one place each.
 */
#include "engine/ledger/ledger.h"

#include "engine/base/clock.h"
#include "engine/ledger/marks.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define BUSY_MS 10000
#define CACHE_WRITE_KIB 8192
#define CACHE_READ_KIB 2048 // a walk over folders seldom comes back to a page

#define SCHEMA_2                                                                             \
	"CREATE TABLE seal(destination INTEGER NOT NULL, folder INTEGER NOT NULL,"           \
	" fresh INTEGER NOT NULL, marks BLOB NOT NULL, UNIQUE(destination, folder)) STRICT;" \
	"CREATE INDEX seal_stale ON seal(destination, folder) WHERE fresh=0;"                \
	"CREATE TABLE answer(server TEXT NOT NULL, who BLOB NOT NULL, path TEXT NOT NULL,"   \
	" asked_ns INTEGER NOT NULL, text TEXT NOT NULL,"                                    \
	" PRIMARY KEY(server, who, path)) STRICT, WITHOUT ROWID;"

#define SCHEMA_3                                                                            \
	"CREATE TABLE upload(destination INTEGER NOT NULL, sha1 BLOB NOT NULL,"             \
	" address TEXT NOT NULL, length INTEGER NOT NULL, about INTEGER NOT NULL,"          \
	" offset INTEGER NOT NULL, made_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL,"       \
	" PRIMARY KEY(destination, sha1)) STRICT, WITHOUT ROWID;"                           \
	"CREATE TABLE server(url TEXT NOT NULL, key TEXT NOT NULL, value INTEGER NOT NULL," \
	" PRIMARY KEY(url, key)) STRICT, WITHOUT ROWID;"

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"CREATE TABLE destination(id INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE,"
	" user_name TEXT NOT NULL, server TEXT NOT NULL, used_ns INTEGER NOT NULL) STRICT;"
	"CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, destination INTEGER NOT NULL,"
	" command TEXT NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL DEFAULT 0,"
	" summary TEXT NOT NULL DEFAULT '') STRICT;"
	"CREATE TABLE folder(id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE file(destination INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL,"
	" fs INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,"
	" mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, remembered INTEGER NOT NULL,"
	" edges INTEGER NOT NULL, sha1 BLOB, xxh BLOB, state INTEGER NOT NULL,"
	" reason TEXT NOT NULL, asset TEXT NOT NULL, flags INTEGER NOT NULL,"
	" tries INTEGER NOT NULL, next_ns INTEGER NOT NULL, run INTEGER NOT NULL,"
	" seen_ns INTEGER NOT NULL, probed_ns INTEGER NOT NULL, sending_ns INTEGER NOT NULL,"
	" delivered_ns INTEGER NOT NULL, confirmed_ns INTEGER NOT NULL,"
	" settled_ns INTEGER NOT NULL, boot TEXT NOT NULL, quiet_ns INTEGER NOT NULL,"
	" staged TEXT NOT NULL, PRIMARY KEY(destination, folder, name)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX file_by_sha1 ON file(destination, sha1) WHERE sha1 IS NOT NULL;"
	"CREATE INDEX file_staged ON file(staged) WHERE staged <> '';"
	"CREATE TABLE asset(destination INTEGER NOT NULL, sha1 BLOB NOT NULL, asset TEXT NOT NULL,"
	" created INTEGER NOT NULL, run INTEGER NOT NULL, at_ns INTEGER NOT NULL,"
	" PRIMARY KEY(destination, sha1)) STRICT, WITHOUT ROWID;" SCHEMA_2 SCHEMA_3;

/** From each older schema to the next one; each is a transaction of its own. */
static const char *const steps[UR_LEDGER_SCHEMA] = {
	[1] = SCHEMA_2 "INSERT INTO seal(destination, folder, fresh, marks)"
		       " SELECT DISTINCT destination, folder, 0, x'' FROM file;",
	[2] = SCHEMA_3,
	[3] = "DROP INDEX IF EXISTS asset_by_run;", // a page for each delivery, and nobody asked it
};

#define COLUMNS                                                                                \
	"f.destination, f.folder, f.name, f.fs, f.inode, f.size, f.mtime_ns, f.ctime_ns,"      \
	" f.remembered, f.edges, f.sha1, f.xxh, f.state, f.reason, f.asset, f.flags, f.tries," \
	" f.next_ns, f.run, f.seen_ns, f.probed_ns, f.sending_ns, f.delivered_ns,"             \
	" f.confirmed_ns, f.settled_ns, f.boot, f.quiet_ns, f.staged"
#define COLUMN_COUNT 28

enum {
	FLAG_CREATED = 1,
	FLAG_TRAVELLED = 2,
	FLAG_FOR_GOOD = 4
};

enum statement {
	BEGIN,
	COMMIT,
	DESTINATION_PUT,
	DESTINATION_GET,
	RUN_BEGIN,
	RUN_END,
	FOLDER_GET,
	FOLDER_MAKE,
	FILE_PUT,
	FILE_CHANGE,
	FILE_IN_FOLDER,
	FILE_GET,
	FILE_SAME,
	EMPTIED,
	ASSET_GET,
	ASSET_PUT,
	COUNTS,
	RUNS,
	CONTENTS,
	MARK,
	ASSET_FORGET,
	SEAL_GET,
	SEAL_BREAK,
	SEAL_STALE,
	SEAL_ROWS,
	SEAL_PUT,
	HOLD,
	LET_GO,
	SALT_GET,
	SALT_PUT,
	ANSWER_GET,
	ANSWER_PUT,
	ANSWERS_DROP,
	UPLOAD_GET,
	UPLOAD_PUT,
	UPLOAD_FORGET,
	LEARNED,
	LEARN,
	STATEMENTS,
};

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[DESTINATION_PUT] =
		"INSERT INTO destination(user_id, user_name, server, used_ns) VALUES(?1,?2,?3,?4)"
		" ON CONFLICT(user_id) DO UPDATE SET user_name=?2, server=?3, used_ns=?4",
	[DESTINATION_GET] = "SELECT id FROM destination WHERE user_id=?1",
	[RUN_BEGIN] = "INSERT INTO run(destination, command, started_ns) VALUES(?1,?2,?3)",
	[RUN_END] = "UPDATE run SET ended_ns=?2, summary=?3 WHERE id=?1",
	[FOLDER_GET] = "SELECT id FROM folder WHERE path=?1",
	[FOLDER_MAKE] = "INSERT INTO folder(path) VALUES(?1)",
	[FILE_PUT] =
		"INSERT OR REPLACE INTO file VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,"
		"?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28)",
	/* The row of the same bytes: what stands in the index by hash stays as it is. */
	[FILE_CHANGE] = "UPDATE file SET fs=?4, inode=?5, size=?6, mtime_ns=?7, ctime_ns=?8,"
			" remembered=?9, edges=?10, xxh=?12, state=?13, reason=?14, asset=?15,"
			" flags=?16, tries=?17, next_ns=?18, run=?19, seen_ns=?20, probed_ns=?21,"
			" sending_ns=?22, delivered_ns=?23, confirmed_ns=?24, settled_ns=?25,"
			" boot=?26, quiet_ns=?27, staged=?28"
			" WHERE destination=?1 AND folder=?2 AND name=?3 AND sha1=?11",
	[FILE_IN_FOLDER] = "SELECT " COLUMNS
			   " FROM file f WHERE f.destination=?1 AND f.folder=?2 ORDER BY f.name",
	[FILE_GET] = "SELECT " COLUMNS
		     " FROM file f WHERE f.destination=?1 AND f.folder=?2 AND f.name=?3",
	/* Left to itself SQLite walks all rows of the destination here: the index is a partial one. */
	[FILE_SAME] =
		"SELECT 1 FROM file INDEXED BY file_by_sha1 WHERE destination=?1"
		" AND sha1=?2 AND sha1 IS NOT NULL AND run=?3 AND state IN (8,9,10,11,12) AND NOT (folder=?4 AND name=?5) LIMIT 1",
	/* '0' is what follows '/': what lies between is below the folder. */
	[EMPTIED] = "WITH ended(run) AS (SELECT coalesce(max(id), 0) FROM run"
		    "  WHERE destination=?1 AND ended_ns<>0 AND command<>'plan')"
		    " SELECT 1 FROM (SELECT id FROM folder WHERE path=?2 UNION ALL"
		    "  SELECT id FROM folder WHERE path>CAST(?2||'/' AS BLOB)"
		    "  AND path<CAST(?2||'0' AS BLOB)) d"
		    " CROSS JOIN file f ON f.destination=?1 AND f.folder=d.id"
		    " WHERE EXISTS (SELECT 1 FROM run WHERE destination=?1 AND id<?3"
		    "  AND id>(SELECT run FROM ended))"
		    " AND f.state=12 AND f.run<?3 AND f.run>(SELECT run FROM ended) LIMIT 1",
	[ASSET_GET] =
		"SELECT asset, created, run, at_ns FROM asset WHERE destination=?1 AND sha1=?2",
	[ASSET_PUT] = "INSERT OR REPLACE INTO asset VALUES(?1,?2,?3,?4,?5,?6)",
	[COUNTS] = "SELECT d.id, d.user_name, d.user_id, d.server, f.state, count(*), sum(f.size)"
		   " FROM file f JOIN destination d ON d.id=f.destination GROUP BY d.id, f.state"
		   " ORDER BY d.id, f.state",
	[RUNS] =
		"SELECT id, command, started_ns, ended_ns, summary FROM run ORDER BY id DESC LIMIT ?1",
	[CONTENTS] = "SELECT sha1, max(asset) FROM file WHERE destination=?1 AND sha1 IS NOT NULL"
		     " AND sha1 > ?2 AND state IN (3,4,6,10,11,12) GROUP BY sha1"
		     " ORDER BY sha1 LIMIT ?3",
	[MARK] =
		"UPDATE file INDEXED BY file_by_sha1 SET state=?3, reason=?4"
		" WHERE destination=?1 AND sha1=?2 AND sha1 IS NOT NULL AND state IN (3,4,5,6,10,11,12)",
	[ASSET_FORGET] = "DELETE FROM asset WHERE destination=?1 AND sha1=?2",
	[SEAL_GET] = "SELECT marks FROM seal WHERE destination=?1 AND folder=?2",
	[SEAL_BREAK] = "INSERT INTO seal(destination, folder, fresh, marks) VALUES(?1,?2,0,x'')"
		       " ON CONFLICT(destination, folder) DO UPDATE SET fresh=0, marks=x''"
		       " WHERE fresh<>0",
	[SEAL_STALE] = "SELECT folder FROM seal INDEXED BY seal_stale WHERE destination=?1"
		       " AND fresh=0 AND folder>?2 ORDER BY folder LIMIT 1",
	/* The same as scan says of a row: see nothing_to_do() and judge_entry() there. */
	[SEAL_ROWS] = "SELECT name, fs, inode, size, mtime_ns, ctime_ns, state FROM file"
		      " WHERE destination=?1 AND folder=?2 AND remembered<>0 AND (state=7 OR"
		      " (sha1 IS NOT NULL AND (state IN (3,4,10,11) OR (state=13 AND flags & 4))))",
	[SEAL_PUT] = "UPDATE seal SET fresh=1, marks=?3 WHERE destination=?1 AND folder=?2",
	[HOLD] = "BEGIN",
	[LET_GO] = "COMMIT",
	[SALT_GET] = "SELECT value FROM meta WHERE key='salt'",
	[SALT_PUT] = "INSERT INTO meta VALUES('salt', ?1)",
	[ANSWER_GET] = "SELECT text FROM answer WHERE server=?1 AND who=?2 AND path=?3"
		       " AND asked_ns>?4 AND asked_ns<=?5",
	[ANSWER_PUT] = "INSERT OR REPLACE INTO answer VALUES(?1,?2,?3,?4,?5)",
	[ANSWERS_DROP] = "DELETE FROM answer WHERE server=?1",
	[UPLOAD_GET] = "SELECT address, length, about, offset, made_ns, at_ns FROM upload"
		       " WHERE destination=?1 AND sha1=?2",
	[UPLOAD_PUT] = "INSERT OR REPLACE INTO upload VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
	[UPLOAD_FORGET] = "DELETE FROM upload WHERE destination=?1 AND sha1=?2",
	[LEARNED] = "SELECT value FROM server WHERE url=?1 AND key=?2",
	[LEARN] = "INSERT OR REPLACE INTO server VALUES(?1,?2,?3)",
};

static_assert(UR_WANTED == 8 && UR_SENDING == 9 && UR_DELIVERED == 10 && UR_CONFIRMED == 11 &&
		      UR_SETTLED == 12 && UR_KNOWN == 3 && UR_DUPLICATE == 4 && UR_TRASHED == 5 &&
		      UR_WITHDRAWN == 6 && UR_REFUSED == 7 && UR_FAILED == 13,
	"the statements name states by number");

struct ur_ledger {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool open; // a transaction is
	bool dirty;
	bool facts;          // since it was opened, more was written than that a run has been
	bool held;           // by ur_ledger_hold()
	int64_t unsealed[2]; // destination and folder whose seal this transaction broke last
	bool all_unsealed;
	int lock_fd;
	char *path;
};

const char *ur_state_name(enum ur_state state)
{
	static const char *const names[UR_STATES] = {
		[UR_SEEN] = "seen",
		[UR_STABLE] = "stable",
		[UR_PROBED] = "probed",
		[UR_KNOWN] = "known",
		[UR_DUPLICATE] = "duplicate",
		[UR_TRASHED] = "trashed",
		[UR_WITHDRAWN] = "withdrawn",
		[UR_REFUSED] = "refused",
		[UR_WANTED] = "wanted",
		[UR_SENDING] = "sending",
		[UR_DELIVERED] = "delivered",
		[UR_CONFIRMED] = "confirmed",
		[UR_SETTLED] = "settled",
		[UR_FAILED] = "failed",
		[UR_SUSPECT] = "suspect",
		[UR_BROKEN] = "broken there",
	};
	assert(state < UR_STATES);
	return names[state];
}

/* ---- errors, statements ---------------------------------------------------------------------- */

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EWOULDBLOCK;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return -EACCES;
	default:
		return -EIO;
	}
}

static int complain(struct ur_ledger *ledger, struct ur_err *err, const char *what)
{
	const int code = sqlite3_extended_errcode(ledger->db);
	const int r = errno_of(code);
	const char *hint =
		r == -ENOSPC ? " (make room on its disk and run again: nothing is lost)" : "";
	return ur_err_say(err, r, r == -EUCLEAN || r == -EACCES ? UR_FAULT_SETUP : UR_FAULT_WORLD,
		"the ledger '%s' cannot %s: %s%s", ledger->path, what, sqlite3_errmsg(ledger->db),
		hint);
}

/** The statement `which`, ready for binding; NULL with a sentence when it cannot be had. */
static sqlite3_stmt *use(struct ur_ledger *ledger, enum statement which, struct ur_err *err)
{
	sqlite3_stmt **at = &ledger->statements[which];
	if (*at == NULL && sqlite3_prepare_v3(ledger->db, texts[which], -1,
				   SQLITE_PREPARE_PERSISTENT, at, NULL) != SQLITE_OK) {
		(void)complain(ledger, err, "be read");
		return NULL;
	}
	(void)sqlite3_reset(*at);
	return *at;
}

static int step_once(
	struct ur_ledger *ledger, sqlite3_stmt *s, const char *what, struct ur_err *err)
{
	const int code = sqlite3_step(s);
	const int r = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : complain(ledger, err, what);
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
	return r;
}

static int run_sql(struct ur_ledger *ledger, const char *sql, const char *what, struct ur_err *err)
{
	return sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : complain(ledger, err, what);
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
	(void)sqlite3_bind_text(s, at, text == NULL ? "" : text, -1, SQLITE_STATIC);
}

static void bind_name(sqlite3_stmt *s, int at, const char *name)
{
	(void)sqlite3_bind_blob64(s, at, name, strlen(name), SQLITE_STATIC);
}

static int ensure_transaction(struct ur_ledger *ledger, struct ur_err *err)
{
	if (ledger->open) {
		return 0;
	}
	sqlite3_stmt *s = use(ledger, BEGIN, err);
	const int r = s == NULL ? -EIO : step_once(ledger, s, "be written", err);
	ledger->open = r == 0;
	return r;
}

int ur_ledger_commit(struct ur_ledger *ledger, struct ur_err *err)
{
	if (!ledger->open) {
		return 0;
	}
	ur_effect("commit", false);
	sqlite3_stmt *s = use(ledger, COMMIT, err);
	const int r = s == NULL ? -EIO : step_once(ledger, s, "be written", err);
	if (r < 0) {
		(void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
	}
	ledger->open = false;
	ledger->dirty = false;
	ledger->unsealed[1] = 0;
	ledger->all_unsealed = false;
	ur_effect("commit", true);
	return r;
}

bool ur_ledger_dirty(const struct ur_ledger *ledger)
{
	return ledger->dirty;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void name_holder(int fd, char *ret, size_t room)
{
	const ssize_t size = pread(fd, ret, room - 1, 0);
	ret[size > 0 ? size : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/** A lock file rather than SQLite's own lock: it can say who holds it. */
static int take_lock(struct ur_ledger *ledger, struct ur_err *err)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof path, "%s.lock", ledger->path) >= sizeof path) {
		return ur_err_set(
			err, -ENAMETOOLONG, UR_FAULT_SETUP, "the ledger '%s'", ledger->path);
	}
	ledger->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ledger->lock_fd < 0) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot make the lock '%s'", path);
	}
	if (flock(ledger->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		char holder[128];
		const int code = -errno;
		name_holder(ledger->lock_fd, holder, sizeof holder);
		return ur_err_say(err, code == -EAGAIN ? -EWOULDBLOCK : code, UR_FAULT_SETUP,
			"the ledger '%s' is in use by %s; wait for it, or give --ledger another file",
			ledger->path, holder[0] != '\0' ? holder : "another run");
	}
	char me[128];
	char now[UR_CLOCK_TEXT];
	ur_clock_local(ur_clock_wall_ns(), now);
	const int size = snprintf(me, sizeof me, "process %ld, since %s\n", (long)getpid(), now);
	if (ftruncate(ledger->lock_fd, 0) < 0 ||
		pwrite(ledger->lock_fd, me, (size_t)size, 0) != size) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot write the lock '%s'", path);
	}
	return 0;
}

/** WAL needs shared memory between processes: not over a network. */
static int refuse_network(const char *path, struct ur_err *err)
{
	char folder[4096];
	(void)snprintf(folder, sizeof folder, "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash == NULL) {
		(void)snprintf(folder, sizeof folder, ".");
	} else {
		slash[slash == folder ? 1 : 0] = '\0';
	}
	const int fd = ur_sys.openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		return ur_err_set(
			err, fd, UR_FAULT_SETUP, "cannot open the ledger's folder '%s'", folder);
	}
	struct ur_fs fs = {0};
	int r = ur_fs_of(fd, &fs);
	(void)ur_sys.close(fd);
	if (r < 0) {
		return ur_err_set(
			err, r, UR_FAULT_SETUP, "cannot examine the ledger's folder '%s'", folder);
	}
	if (fs.network) {
		return ur_err_say(err, -EOPNOTSUPP, UR_FAULT_SETUP,
			"the ledger '%s' would lie on a network file system, where it cannot be kept "
			"safely; give --ledger a file on a local disk",
			path);
	}
	return 0;
}

static int read_number(struct ur_ledger *ledger, const char *sql, int *ret, struct ur_err *err)
{
	sqlite3_stmt *s = NULL;
	int r = sqlite3_prepare_v2(ledger->db, sql, -1, &s, NULL) == SQLITE_OK &&
				sqlite3_step(s) == SQLITE_ROW
			? 0
			: complain(ledger, err, "be read");
	if (r == 0) {
		*ret = sqlite3_column_int(s, 0);
	}
	(void)sqlite3_finalize(s);
	return r;
}

#define APPLICATION_ID 0x7572676c // "urgl"

static int make_schema(struct ur_ledger *ledger, struct ur_err *err)
{
	char sql[sizeof schema + 200];
	(void)snprintf(sql, sizeof sql,
		"BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
		schema, APPLICATION_ID, UR_LEDGER_SCHEMA);
	const int r = run_sql(ledger, sql, "be made", err);
	ledger->facts = true;
	if (r < 0) {
		(void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
	}
	return r;
}

/** One step after the other; a crash between two of them leaves a whole older ledger. */
static int migrate(struct ur_ledger *ledger, int version, struct ur_err *err)
{
	int r = 0;
	for (; r == 0 && version < UR_LEDGER_SCHEMA; version++) {
		char sql[sizeof schema + 200];
		assert(steps[version] != NULL);
		(void)snprintf(sql, sizeof sql,
			"BEGIN IMMEDIATE; %s PRAGMA user_version=%d; COMMIT;", steps[version],
			version + 1);
		r = run_sql(ledger, sql, "be brought up to date", err);
		ledger->facts = true;
		if (r < 0) {
			(void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
		}
	}
	return r;
}

static int check_schema(struct ur_ledger *ledger, enum ur_ledger_mode mode, struct ur_err *err)
{
	int version = 0;
	int application = 0;
	int tables = 0;
	int r = read_number(ledger, "PRAGMA user_version", &version, err);
	r = r < 0 ? r : read_number(ledger, "PRAGMA application_id", &application, err);
	r = r < 0 ? r : read_number(ledger, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (r < 0) {
		return r;
	}
	if (tables > 0 && application != APPLICATION_ID) {
		return ur_err_say(err, -EUCLEAN, UR_FAULT_SETUP,
			"'%s' is a database, but not a ledger of uringest", ledger->path);
	}
	if (version > UR_LEDGER_SCHEMA) {
		return ur_err_say(err, -EPROTO, UR_FAULT_SETUP,
			"the ledger '%s' was made by a newer uringest (schema %d, this one knows %d); "
			"use that version",
			ledger->path, version, UR_LEDGER_SCHEMA);
	}
	if (tables == 0 && mode == UR_LEDGER_WRITE) {
		return make_schema(ledger, err);
	}
	return mode == UR_LEDGER_WRITE ? migrate(ledger, version, err) : 0;
}

static int configure(struct ur_ledger *ledger, enum ur_ledger_mode mode, struct ur_err *err)
{
	char sql[256];
	(void)sqlite3_busy_timeout(ledger->db, BUSY_MS);
	(void)sqlite3_extended_result_codes(ledger->db, 1);
	(void)snprintf(sql, sizeof sql,
		"PRAGMA cache_size=-%d; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;%s",
		mode == UR_LEDGER_WRITE ? CACHE_WRITE_KIB : CACHE_READ_KIB,
		mode == UR_LEDGER_WRITE ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
					  "PRAGMA wal_autocheckpoint=8192;"
					: "PRAGMA query_only=ON;");
	return run_sql(ledger, sql, "be opened", err);
}

static pthread_once_t library = PTHREAD_ONCE_INIT;

/** Nobody asks how much memory SQLite has: without the count it needs no lock to allocate. */
static void configure_library(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int ur_ledger_open(
	const char *path, enum ur_ledger_mode mode, struct ur_ledger **ret, struct ur_err *err)
{
	struct ur_ledger *ledger = calloc(1, sizeof *ledger);
	char *copy = strdup(path);
	int r = -ENOMEM;
	if (ledger == NULL || copy == NULL) {
		free(ledger);
		free(copy);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot open the ledger '%s'", path);
	}
	ledger->path = copy;
	ledger->lock_fd = -1;
	r = refuse_network(path, err);
	if (r == 0 && mode == UR_LEDGER_WRITE) {
		r = take_lock(ledger, err);
	}
	if (r < 0) {
		goto fail;
	}
	(void)pthread_once(&library, configure_library);
	const int flags = mode == UR_LEDGER_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
						  : SQLITE_OPEN_READWRITE;
	const mode_t mask = umask(077);
	const int code = sqlite3_open_v2(
		path, &ledger->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
	(void)umask(mask);
	if (code != SQLITE_OK) {
		r = ledger->db == NULL ? -ENOMEM : complain(ledger, err, "be opened");
		goto fail;
	}
	r = configure(ledger, mode, err);
	r = r < 0 ? r : check_schema(ledger, mode, err);
	if (r < 0) {
		goto fail;
	}
	*ret = ledger;
	return 0;

fail:
	(void)ur_ledger_free(ledger);
	return r;
}

struct ur_ledger *ur_ledger_free(struct ur_ledger *ledger)
{
	if (ledger == NULL) {
		return NULL;
	}
	for (size_t i = 0; i < STATEMENTS; i++) {
		(void)sqlite3_finalize(ledger->statements[i]);
	}
	if (ledger->db != NULL && !ledger->facts) {
		/* Only that a run has been: it stays in the log until there is more to bring over. */
		(void)sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	}
	(void)sqlite3_close(ledger->db);
	if (ledger->lock_fd >= 0) {
		(void)close(ledger->lock_fd);
	}
	free(ledger->path);
	free(ledger);
	return NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

int ur_ledger_destination(struct ur_ledger *ledger, const char *user_id, const char *user_name,
	const char *server, int64_t *ret, struct ur_err *err)
{
	int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, DESTINATION_PUT, err);
	if (s == NULL) {
		return -EIO;
	}
	bind_text(s, 1, user_id);
	bind_text(s, 2, user_name);
	bind_text(s, 3, server);
	(void)sqlite3_bind_int64(s, 4, ur_clock_wall_ns());
	r = step_once(ledger, s, "be written", err);
	s = r < 0 ? NULL : use(ledger, DESTINATION_GET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	bind_text(s, 1, user_id);
	if (sqlite3_step(s) != SQLITE_ROW) {
		return complain(ledger, err, "be read");
	}
	*ret = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	return 0;
}

int ur_ledger_run_begin(struct ur_ledger *ledger, int64_t destination, const char *command,
	int64_t *ret, struct ur_err *err)
{
	int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, RUN_BEGIN, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	bind_text(s, 2, command);
	(void)sqlite3_bind_int64(s, 3, ur_clock_wall_ns());
	r = step_once(ledger, s, "be written", err);
	*ret = sqlite3_last_insert_rowid(ledger->db);
	return r;
}

int ur_ledger_run_end(
	struct ur_ledger *ledger, int64_t run, const char *summary, struct ur_err *err)
{
	int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, RUN_END, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, run);
	(void)sqlite3_bind_int64(s, 2, ur_clock_wall_ns());
	bind_text(s, 3, summary);
	r = step_once(ledger, s, "be written", err);
	return r < 0 ? r : ur_ledger_commit(ledger, err);
}

int ur_ledger_folder(struct ur_ledger *ledger, const void *path, size_t size, bool make,
	int64_t *ret, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, FOLDER_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_blob64(s, 1, path, size, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	const int64_t id = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	(void)sqlite3_reset(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		return complain(ledger, err, "be read");
	}
	if (id != 0 || !make) {
		*ret = id;
		return 0;
	}
	int r = ensure_transaction(ledger, err);
	s = r < 0 ? NULL : use(ledger, FOLDER_MAKE, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_blob64(s, 1, path, size, SQLITE_STATIC);
	r = step_once(ledger, s, "be written", err);
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
	sqlite3_stmt *s = use(ledger, SEAL_BREAK, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	const int r = step_once(ledger, s, "be written", err);
	ledger->unsealed[0] = destination;
	ledger->unsealed[1] = r < 0 ? 0 : folder;
	return r;
}

/** Before rows are changed that are chosen by something else than their folder. */
static int break_all_seals(struct ur_ledger *ledger, struct ur_err *err)
{
	const int r = ledger->all_unsealed
			      ? 0
			      : run_sql(ledger, "UPDATE seal SET fresh=0, marks=x'' WHERE fresh<>0",
					"be written", err);
	ledger->all_unsealed = r == 0;
	ledger->facts = true;
	return r;
}

static void bind_row(sqlite3_stmt *s, const struct ur_record *f)
{
	const int flags = (f->created ? FLAG_CREATED : 0) | (f->travelled ? FLAG_TRAVELLED : 0) |
			  (f->for_good ? FLAG_FOR_GOOD : 0);
	const int64_t numbers[COLUMN_COUNT] = {f->destination, f->folder, 0,
		(int64_t)f->identity.fs, (int64_t)f->identity.inode, f->identity.size,
		f->identity.mtime_ns, f->identity.ctime_ns, f->remembered, (int64_t)f->edges, 0, 0,
		f->state, 0, 0, flags, f->tries, f->next_ns, f->run, f->seen_ns, f->probed_ns,
		f->sending_ns, f->delivered_ns, f->confirmed_ns, f->settled_ns, 0, f->quiet_ns, 0};
	for (int i = 0; i < COLUMN_COUNT; i++) {
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
	bind_text(s, 14, f->reason);
	bind_text(s, 15, f->asset);
	bind_text(s, 26, f->boot);
	bind_text(s, 28, f->staged);
}

static int write_row(struct ur_ledger *ledger, enum statement which, const struct ur_record *f,
	struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, which, err);
	if (s == NULL) {
		return -EIO;
	}
	bind_row(s, f);
	return step_once(ledger, s, "be written", err);
}

int ur_ledger_put(struct ur_ledger *ledger, const struct ur_record *f, struct ur_err *err)
{
	assert(f->folder != 0 && f->destination != 0);
	int r = ensure_transaction(ledger, err);
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

int ur_ledger_asset_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_asset *asset, struct ur_err *err)
{
	int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, ASSET_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	bind_text(s, 3, asset->asset);
	(void)sqlite3_bind_int64(s, 4, asset->created);
	(void)sqlite3_bind_int64(s, 5, asset->run);
	(void)sqlite3_bind_int64(s, 6, asset->at_ns);
	ledger->dirty = true;
	ledger->facts = true;
	return step_once(ledger, s, "be written", err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void copy_text(sqlite3_stmt *s, int at, char *ret, size_t room)
{
	const unsigned char *text = sqlite3_column_text(s, at);
	(void)snprintf(ret, room, "%s", text == NULL ? "" : (const char *)text);
}

/** A name is stored without its NUL: `name` is where it gets one. */
static void read_row(sqlite3_stmt *s, struct ur_record *ret, char name[256])
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
	copy_text(s, 14, ret->asset, sizeof ret->asset);
	copy_text(s, 25, ret->boot, sizeof ret->boot);
	copy_text(s, 27, ret->staged, sizeof ret->staged);
}

static int each_record(struct ur_ledger *ledger, sqlite3_stmt *s, ur_record_fn *each, void *context,
	int64_t *ret_count, struct ur_err *err)
{
	int code = 0;
	int r = 0;
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct ur_record record;
		char name[256];
		read_row(s, &record, name);
		r = each(context, &record);
		(*ret_count)++;
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_in_folder(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	ur_record_fn *each, void *context, struct ur_err *err)
{
	int64_t count = 0;
	sqlite3_stmt *s = use(ledger, FILE_IN_FOLDER, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	return each_record(ledger, s, each, context, &count, err);
}

/* ---- seals ----------------------------------------------------------------------------------- */

int ur_ledger_sealed(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const void **ret, size_t *ret_count, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, SEAL_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_int64(s, 2, folder);
	const int code = sqlite3_step(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		const int r = complain(ledger, err, "be read");
		(void)sqlite3_reset(s);
		return r;
	}
	/* The statement stays where it is: its row holds the bytes.  use() resets it. */
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
	return r < 0 ? r : code == SQLITE_DONE ? 0 : errno_of(sqlite3_errcode(ledger->db));
}

static int seal_folder(
	struct ur_ledger *ledger, int64_t destination, int64_t folder, struct ur_err *err)
{
	struct ur_marks seal = {0};
	sqlite3_stmt *s = use(ledger, SEAL_ROWS, err);
	int r = s == NULL ? -EIO : 0;
	if (r == 0) {
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
		r = gather_marks(ledger, s, &seal);
		s = r < 0 ? NULL : use(ledger, SEAL_PUT, err);
	}
	if (s != NULL) {
		ur_marks_sort(&seal);
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
		(void)sqlite3_bind_blob64(s, 3, seal.count == 0 ? "" : (const void *)seal.marks,
			seal.count * UR_MARK_SIZE, SQLITE_STATIC);
		r = step_once(ledger, s, "be written", err);
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
	int r = ensure_transaction(ledger, err);
	int64_t folder = 0;
	ledger->unsealed[1] = 0;
	ledger->all_unsealed = false;
	for (;;) {
		sqlite3_stmt *s = r < 0 ? NULL : use(ledger, SEAL_STALE, err);
		if (s == NULL) {
			return r < 0 ? r : -EIO;
		}
		(void)sqlite3_bind_int64(s, 1, destination);
		(void)sqlite3_bind_int64(s, 2, folder);
		const int code = sqlite3_step(s);
		folder = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
		(void)sqlite3_reset(s);
		if (code != SQLITE_ROW) {
			return code == SQLITE_DONE ? 0 : complain(ledger, err, "be read");
		}
		r = seal_folder(ledger, destination, folder, err);
	}
}

int ur_ledger_hold(struct ur_ledger *ledger, struct ur_err *err)
{
	if (ledger->held) {
		return 0;
	}
	sqlite3_stmt *s = use(ledger, HOLD, err);
	const int r = s == NULL ? -EIO : step_once(ledger, s, "be read", err);
	ledger->held = r == 0;
	return r;
}

void ur_ledger_let_go(struct ur_ledger *ledger)
{
	sqlite3_stmt **sealed = &ledger->statements[SEAL_GET];
	if (*sealed != NULL) {
		(void)sqlite3_reset(*sealed); // it would keep the state, too
	}
	sqlite3_stmt *s = ledger->held ? use(ledger, LET_GO, NULL) : NULL;
	if (s != NULL) {
		(void)step_once(ledger, s, "be read", NULL); // a reader has nothing to lose
	}
	ledger->held = false;
}

int ur_ledger_get(struct ur_ledger *ledger, int64_t destination, int64_t folder, const char *name,
	ur_record_fn *each, void *context, bool *ret_found, struct ur_err *err)
{
	int64_t count = 0;
	sqlite3_stmt *s = use(ledger, FILE_GET, err);
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
	sqlite3_stmt *s = use(ledger, FILE_SAME, err);
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
		return complain(ledger, err, "be read");
	}
	*ret = code == SQLITE_ROW;
	return 0;
}

int ur_ledger_emptied(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const void *folder, size_t size, bool *ret, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, EMPTIED, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob64(s, 2, folder, size, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 3, run);
	const int code = sqlite3_step(s);
	(void)sqlite3_reset(s);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		return complain(ledger, err, "be read");
	}
	*ret = code == SQLITE_ROW;
	return 0;
}

int ur_ledger_asset_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_asset *ret, bool *ret_found,
	struct ur_err *err)
{
	/* The writer asks before it writes: within its transaction a question needs no locks. */
	const int r = ledger->lock_fd < 0 ? 0 : ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, ASSET_GET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		copy_text(s, 0, ret->asset, sizeof ret->asset);
		ret->created = sqlite3_column_int(s, 1) != 0;
		ret->run = sqlite3_column_int64(s, 2);
		ret->at_ns = sqlite3_column_int64(s, 3);
	}
	(void)sqlite3_reset(s);
	*ret_found = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : complain(ledger, err, "be read");
}

/* ---- what the server answered ---------------------------------------------------------------- */

static int make_salt(struct ur_ledger *ledger, uint8_t ret[UR_LEDGER_SALT], struct ur_err *err)
{
	char hex[2 * UR_LEDGER_SALT + 1];
	int r = getrandom(ret, UR_LEDGER_SALT, 0) == (ssize_t)UR_LEDGER_SALT ? 0 : -EIO;
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_WORLD, "the system has no random bytes");
	}
	r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, SALT_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ur_hex(ret, UR_LEDGER_SALT, hex);
	bind_text(s, 1, hex);
	return step_once(ledger, s, "be written", err);
}

int ur_ledger_salt(struct ur_ledger *ledger, uint8_t ret[UR_LEDGER_SALT], struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, SALT_GET, err);
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
	return code != SQLITE_ROW ? complain(ledger, err, "be read")
	       : good             ? 0
				  : ur_err_say(err, -EUCLEAN, UR_FAULT_SETUP,
					    "the ledger '%s' is damaged: its salt is none", ledger->path);
}

static sqlite3_stmt *use_answer(struct ur_ledger *ledger, enum statement which, const char *server,
	const uint8_t who[UR_LEDGER_WHO], const char *path, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, which, err);
	if (s != NULL) {
		bind_text(s, 1, server);
		(void)sqlite3_bind_blob(s, 2, who, UR_LEDGER_WHO, SQLITE_STATIC);
		bind_text(s, 3, path);
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
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : complain(ledger, err, "be read");
}

int ur_ledger_answer_put(struct ur_ledger *ledger, const char *server,
	const uint8_t who[UR_LEDGER_WHO], const char *path, const char *text, struct ur_err *err)
{
	const int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use_answer(ledger, ANSWER_PUT, server, who, path, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 4, ur_clock_wall_ns());
	bind_text(s, 5, text);
	return step_once(ledger, s, "be written", err);
}

int ur_ledger_answers_drop(struct ur_ledger *ledger, const char *server, struct ur_err *err)
{
	const int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, ANSWERS_DROP, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	bind_text(s, 1, server);
	return step_once(ledger, s, "be written", err);
}

/* ---- for people ------------------------------------------------------------------------------ */

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
		ur_text_addf(sql, " AND (1 << f.state) & %" PRIu32 " <> 0", filter->states);
	}
	if (filter->destination != 0) {
		ur_text_addf(sql, " AND f.destination=%" PRId64, filter->destination);
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
		(void)complain(ledger, err, "be read");
	} else {
		bind_filter(s, filter);
	}
	ur_text_done(&sql);
	return s;
}

int ur_ledger_rows(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, ur_row_fn *each,
	void *context, struct ur_err *err)
{
	sqlite3_stmt *s = prepare_filtered(ledger,
		"SELECT " COLUMNS ", p.path, d.user_name, d.user_id FROM file f"
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
		read_row(s, &row.record, name);
		row.path = sqlite3_column_blob(s, COLUMN_COUNT);
		row.path_size = (size_t)sqlite3_column_bytes(s, COLUMN_COUNT);
		row.user_name = (const char *)sqlite3_column_text(s, COLUMN_COUNT + 1);
		row.user_id = (const char *)sqlite3_column_text(s, COLUMN_COUNT + 2);
		r = each(context, &row);
	}
	if (r >= 0 && code != SQLITE_DONE) {
		r = complain(ledger, err, "be read");
	}
	(void)sqlite3_finalize(s);
	return r < 0 ? r : 0;
}

static int change_filtered(struct ur_ledger *ledger, const char *before,
	const struct ur_ledger_filter *filter, int64_t *ret, struct ur_err *err)
{
	int r = ensure_transaction(ledger, err);
	r = r < 0 ? r : break_all_seals(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : prepare_filtered(ledger, before, filter, "", err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	r = sqlite3_step(s) == SQLITE_DONE ? 0 : complain(ledger, err, "be written");
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

int ur_ledger_forget(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, int64_t *ret,
	struct ur_err *err)
{
	return change_filtered(ledger, "DELETE FROM file AS f", filter, ret, err);
}

int ur_ledger_counts(struct ur_ledger *ledger, ur_count_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, COUNTS, err);
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
		r = complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_runs(
	struct ur_ledger *ledger, int limit, ur_run_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, RUNS, err);
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
		r = complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_contents(struct ur_ledger *ledger, int64_t destination, const uint8_t *after,
	int limit, ur_content_fn *each, void *context, struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, CONTENTS, err);
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
		r = complain(ledger, err, "be read");
	}
	(void)sqlite3_reset(s);
	return r < 0 ? r : 0;
}

int ur_ledger_mark(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], enum ur_state state, const char *reason, int64_t *ret,
	struct ur_err *err)
{
	int r = ensure_transaction(ledger, err);
	r = r < 0 ? r : break_all_seals(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, MARK, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	(void)sqlite3_bind_int(s, 3, (int)state);
	bind_text(s, 4, reason);
	r = step_once(ledger, s, "be written", err);
	*ret = sqlite3_changes64(ledger->db);
	return r;
}

int ur_ledger_asset_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	const int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, ASSET_FORGET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	ledger->facts = true;
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	return step_once(ledger, s, "be written", err);
}

/* ---- uploads under way ----------------------------------------------------------------------- */

int ur_ledger_upload_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret, bool *ret_found,
	struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, UPLOAD_GET, err);
	if (s == NULL) {
		return -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		copy_text(s, 0, ret->address, sizeof ret->address);
		ret->length = sqlite3_column_int64(s, 1);
		ret->about = (uint64_t)sqlite3_column_int64(s, 2);
		ret->offset = (uint64_t)sqlite3_column_int64(s, 3);
		ret->made_ns = sqlite3_column_int64(s, 4);
		ret->at_ns = sqlite3_column_int64(s, 5);
	}
	(void)sqlite3_reset(s);
	*ret_found = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : complain(ledger, err, "be read");
}

int ur_ledger_upload_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_upload *upload,
	struct ur_err *err)
{
	const int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, UPLOAD_PUT, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	bind_text(s, 3, upload->address);
	(void)sqlite3_bind_int64(s, 4, upload->length);
	(void)sqlite3_bind_int64(s, 5, (int64_t)upload->about);
	(void)sqlite3_bind_int64(s, 6, (int64_t)upload->offset);
	(void)sqlite3_bind_int64(s, 7, upload->made_ns);
	(void)sqlite3_bind_int64(s, 8, upload->at_ns);
	ledger->dirty = true;
	ledger->facts = true;
	return step_once(ledger, s, "be written", err);
}

int ur_ledger_upload_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	const int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, UPLOAD_FORGET, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	(void)sqlite3_bind_int64(s, 1, destination);
	(void)sqlite3_bind_blob(s, 2, sha1, UR_LEDGER_SHA1, SQLITE_STATIC);
	ledger->dirty = true;
	ledger->facts = true;
	return step_once(ledger, s, "be written", err);
}

int ur_ledger_learned(struct ur_ledger *ledger, const char *server, const char *key, int64_t *ret,
	struct ur_err *err)
{
	sqlite3_stmt *s = use(ledger, LEARNED, err);
	if (s == NULL) {
		return -EIO;
	}
	bind_text(s, 1, server);
	bind_text(s, 2, key);
	const int code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		*ret = sqlite3_column_int64(s, 0);
	}
	(void)sqlite3_reset(s);
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : complain(ledger, err, "be read");
}

int ur_ledger_learn(struct ur_ledger *ledger, const char *server, const char *key, int64_t value,
	struct ur_err *err)
{
	const int r = ensure_transaction(ledger, err);
	sqlite3_stmt *s = r < 0 ? NULL : use(ledger, LEARN, err);
	if (s == NULL) {
		return r < 0 ? r : -EIO;
	}
	bind_text(s, 1, server);
	bind_text(s, 2, key);
	(void)sqlite3_bind_int64(s, 3, value);
	ledger->dirty = true;
	ledger->facts = true;
	return step_once(ledger, s, "be written", err);
}
