/*
 * ledger - one database, one table of statements.
 *
 *     ledger_rows     folders, the files in them, seals     ledger_people   what people look at
 *     ledger_facts    runs, assets, answers, uploads                        and change
 *
 * This file opens and commits.  Every statement is prepared once, at its first use.
 */
#include "engine/ledger/ledger_parts.h"

#include "engine/base/clock.h"
#include "engine/ledger/reserve.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define BUSY_MS 10000
#define CHECKPOINT_SCARCE 256 // pages of the log, where room is scarce
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
	" staged TEXT NOT NULL, there TEXT NOT NULL DEFAULT '', doubt TEXT NOT NULL DEFAULT '',"
	" quiet_had_ns INTEGER NOT NULL DEFAULT 0,"
	" place INTEGER NOT NULL DEFAULT 0, place_size INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY(destination, folder, name)) STRICT, WITHOUT ROWID;"
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
	[4] = "ALTER TABLE file ADD COLUMN there TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE file ADD COLUMN doubt TEXT NOT NULL DEFAULT '';"
	      "ALTER TABLE file ADD COLUMN quiet_had_ns INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE file ADD COLUMN place INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE file ADD COLUMN place_size INTEGER NOT NULL DEFAULT 0;",
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
		"?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30,?31,?32,"
		"?33)",
	/* The row of the same bytes: what stands in the index by hash stays as it is. */
	[FILE_CHANGE] = "UPDATE file SET fs=?4, inode=?5, size=?6, mtime_ns=?7, ctime_ns=?8,"
			" remembered=?9, edges=?10, xxh=?12, state=?13, reason=?14, asset=?15,"
			" flags=?16, tries=?17, next_ns=?18, run=?19, seen_ns=?20, probed_ns=?21,"
			" sending_ns=?22, delivered_ns=?23, confirmed_ns=?24, settled_ns=?25,"
			" boot=?26, quiet_ns=?27, staged=?28, there=?29, doubt=?30,"
			" quiet_had_ns=?31, place=?32, place_size=?33"
			" WHERE destination=?1 AND folder=?2 AND name=?3 AND sha1=?11",
	[FILE_IN_FOLDER] = "SELECT " UR_LEDGER_COLUMNS
			   " FROM file f WHERE f.destination=?1 AND f.folder=?2 ORDER BY f.name",
	[FILE_GET] = "SELECT " UR_LEDGER_COLUMNS
		     " FROM file f WHERE f.destination=?1 AND f.folder=?2 AND f.name=?3",
	/* Left to itself SQLite walks all rows of the destination here: the index is a partial one. */
	[FILE_SAME] =
		"SELECT 1 FROM file INDEXED BY file_by_sha1 WHERE destination=?1"
		" AND sha1=?2 AND sha1 IS NOT NULL AND run=?3 AND state IN (8,9,10,11,12) AND NOT (folder=?4 AND name=?5) LIMIT 1",
	[FILE_DOUBTS] =
		"SELECT doubt, state, flags FROM file INDEXED BY file_by_sha1 WHERE destination=?1"
		" AND sha1=?2 AND sha1 IS NOT NULL AND doubt<>''"
		" AND NOT (folder=?3 AND name=?4)",
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
	[CONTENTS] =
		"SELECT sha1, max(asset) FROM file WHERE destination=?1 AND sha1 IS NOT NULL"
		" AND sha1 > ?2 AND state IN (3,4,6,10,11,12)"
		/* A sidecar went along with its picture, and is no asset that could be asked for. */
		" AND lower(substr(CAST(name AS TEXT), -4))<>'.xmp' GROUP BY sha1"
		" ORDER BY sha1 LIMIT ?3",
	[MARK] =
		"UPDATE file INDEXED BY file_by_sha1 SET state=?3, reason=?4"
		" WHERE destination=?1 AND sha1=?2 AND sha1 IS NOT NULL AND state IN (3,4,5,6,10,11,12)"
		" AND (?5=0 OR (?5=2)=(settled_ns<>0))",
	[KEPT] = "SELECT 1 FROM file INDEXED BY file_by_sha1 WHERE destination=?1 AND sha1=?2"
		 " AND sha1 IS NOT NULL AND settled_ns=0 LIMIT 1",
	[ASSET_FORGET] = "DELETE FROM asset WHERE destination=?1 AND sha1=?2",
	[SEAL_GET] = "SELECT marks FROM seal WHERE destination=?1 AND folder=?2",
	[SEAL_BREAK] = "INSERT INTO seal(destination, folder, fresh, marks) VALUES(?1,?2,0,x'')"
		       " ON CONFLICT(destination, folder) DO UPDATE SET fresh=0, marks=x''"
		       " WHERE fresh<>0",
	[SEAL_STALE] = "SELECT folder FROM seal INDEXED BY seal_stale WHERE destination=?1"
		       " AND fresh=0 AND folder>?2 ORDER BY folder LIMIT 1",
	/* The same as scan says of a row: see nothing_to_do() and judge_entry() there. */
	[SEAL_ROWS] = "SELECT name, fs, inode, size, mtime_ns, ctime_ns, state FROM file"
		      " WHERE destination=?1 AND folder=?2 AND remembered<>0"
		      " AND flags & 128 = 0 AND (state=7 OR"
		      " (sha1 IS NOT NULL AND (state IN (3,4,10,11) OR (state=13 AND flags & 4))))",
	[SEAL_PUT] = "UPDATE seal SET fresh=1, marks=?3 WHERE destination=?1 AND folder=?2",
	[HOLD] = "BEGIN",
	[LET_GO] = "COMMIT",
	[DOUBT_GET] = "SELECT value FROM meta WHERE key=?1",
	[DOUBT_PUT] = "INSERT OR REPLACE INTO meta VALUES(?1, ?2)",
	[TROUBLE_GET] = "SELECT value FROM meta WHERE key='trouble ' || ?1 || ' ' || ?2",
	[TROUBLE_PUT] = "INSERT OR REPLACE INTO meta VALUES('trouble ' || ?1 || ' ' || ?2, ?3)",
	[TROUBLE_FORGET] = "DELETE FROM meta WHERE key='trouble ' || ?1 || ' ' || ?2",
	/* "trouble DESTINATION FOLDER": the folder is what stands behind the second blank. */
	[TROUBLES] = "SELECT m.value, p.path FROM meta m JOIN folder p ON p.id="
		     "CAST(substr(m.key, 9 + instr(substr(m.key, 9), ' ')) AS INTEGER)"
		     " WHERE m.key > 'trouble ' AND m.key < 'trouble!' ORDER BY p.path",
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
static_assert(UR_LEDGER_ALL == 0 && UR_LEDGER_REMOVED == 2, "and whose rows they change");

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

int ur_ledger_errno_of(int code)
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

int ur_ledger_complain(struct ur_ledger *ledger, struct ur_err *err, const char *what)
{
	const int code = sqlite3_extended_errcode(ledger->db);
	const int io = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN
			       ? sqlite3_system_errno(ledger->db)
			       : 0;
	const int r = io == ENOSPC || io == EDQUOT ? -io : ur_ledger_errno_of(code);
	const bool full = r == -ENOSPC || r == -EDQUOT;
	const char *hint = full ? " (make room on its disk and run again: nothing is lost)" : "";
	return ur_err_say(err, r, r == -EUCLEAN || r == -EACCES ? UR_FAULT_SETUP : UR_FAULT_WORLD,
		"the ledger '%s' cannot %s: %s%s", ledger->path, what,
		full && io != 0 ? strerrordesc_np(io) : sqlite3_errmsg(ledger->db), hint);
}

sqlite3_stmt *ur_ledger_use(
	struct ur_ledger *ledger, enum ur_ledger_statement which, struct ur_err *err)
{
	sqlite3_stmt **at = &ledger->statements[which];
	if (*at == NULL && sqlite3_prepare_v3(ledger->db, texts[which], -1,
				   SQLITE_PREPARE_PERSISTENT, at, NULL) != SQLITE_OK) {
		(void)ur_ledger_complain(ledger, err, "be read");
		return NULL;
	}
	(void)sqlite3_reset(*at);
	return *at;
}

int ur_ledger_step_once(
	struct ur_ledger *ledger, sqlite3_stmt *s, const char *what, struct ur_err *err)
{
	const int code = sqlite3_step(s);
	const int r = code == SQLITE_DONE || code == SQLITE_ROW
			      ? 0
			      : ur_ledger_complain(ledger, err, what);
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
	return r;
}

int ur_ledger_run_sql(
	struct ur_ledger *ledger, const char *sql, const char *what, struct ur_err *err)
{
	return sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : ur_ledger_complain(ledger, err, what);
}

void ur_ledger_bind_text(sqlite3_stmt *s, int at, const char *text)
{
	(void)sqlite3_bind_text(s, at, text == NULL ? "" : text, -1, SQLITE_STATIC);
}

void ur_ledger_copy_text(sqlite3_stmt *s, int at, char *ret, size_t room)
{
	const unsigned char *text = sqlite3_column_text(s, at);
	(void)snprintf(ret, room, "%s", text == NULL ? "" : (const char *)text);
}

int ur_ledger_ensure_transaction(struct ur_ledger *ledger, struct ur_err *err)
{
	if (ledger->open) {
		return 0;
	}
	sqlite3_stmt *s = ur_ledger_use(ledger, BEGIN, err);
	const int r = s == NULL ? -EIO : ur_ledger_step_once(ledger, s, "be written", err);
	ledger->open = r == 0;
	return r;
}

int ur_ledger_commit(struct ur_ledger *ledger, struct ur_err *err)
{
	if (!ledger->open) {
		return 0;
	}
	if (ur_reserve_look(ledger->reserve)) {
		/* The room has to last: the log is brought over sooner, and begins anew. */
		(void)sqlite3_wal_autocheckpoint(ledger->db, CHECKPOINT_SCARCE);
	}
	ur_effect("commit", false);
	sqlite3_stmt *s = ur_ledger_use(ledger, COMMIT, err);
	const int r = s == NULL ? -EIO : ur_ledger_step_once(ledger, s, "be written", err);
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
	ledger->reserve = ur_reserve_new(ledger->path);
	(void)ur_reserve_look(ledger->reserve); // before the first byte is written
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

/** Whoever tried the lock itself might keep a run from beginning. */
bool ur_ledger_has_writer(const struct ur_ledger *ledger)
{
	char path[4096];
	char text[128] = "";
	long pid = 0;
	if ((size_t)snprintf(path, sizeof path, "%s.lock", ledger->path) >= sizeof path) {
		return false;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return false;
	}
	name_holder(fd, text, sizeof text);
	(void)close(fd);
	if (sscanf(text, "process %ld,", &pid) != 1) {
		return false;
	}
	(void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return false;
	}
	name_holder(fd, text, sizeof text);
	(void)close(fd);
	return strncmp(text, "uringest", strlen("uringest")) == 0; // numbers are given out again
}

/**
 * The lock file goes by the name that was given; the database itself is locked as well, whatever it is
 * called: a symbolic link, another mount, a new name.  flock and SQLite's own locks (POSIX) do not know
 * of each other on a local disk, but closing any descriptor of the database drops the latter, so this
 * one is opened before SQLite comes and closed when it has gone.
 */
static int lock_database(struct ur_ledger *ledger, struct ur_err *err)
{
	struct stat st;
	ledger->db_fd = open(ledger->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (ledger->db_fd < 0 || fstat(ledger->db_fd, &st) < 0) {
		return ur_err_set(
			err, -errno, UR_FAULT_SETUP, "cannot open the ledger '%s'", ledger->path);
	}
	if (flock(ledger->db_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		return ur_err_say(err, -EWOULDBLOCK, UR_FAULT_SETUP,
			"the ledger '%s' is in use by another run, which calls it by another name; wait "
			"for it, or give --ledger another file",
			ledger->path);
	}
	if (st.st_nlink > 1) {
		return ur_err_say(err, -EMLINK, UR_FAULT_SETUP,
			"the ledger '%s' has %lu names (hard links), and its log belongs to only one of "
			"them; remove the others (`find DIR -samefile '%s'` finds them) or make them "
			"copies",
			ledger->path, (unsigned long)st.st_nlink, ledger->path);
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
			: ur_ledger_complain(ledger, err, "be read");
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
	const int r = ur_ledger_run_sql(ledger, sql, "be made", err);
	ledger->facts = true;
	if (r < 0) {
		(void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
	}
	return r;
}

/**
 * A copy as it was, for whoever has to go back to the version before.  It gets its name when it is
 * whole; one that is there already was made by the same step, interrupted.
 */
static int keep_copy(struct ur_ledger *ledger, int version, struct ur_err *err)
{
	char copy[4096];
	char part[4096 + 8];
	struct ur_text sql = {0};
	if ((size_t)snprintf(copy, sizeof copy, "%s.schema-%d", ledger->path, version) >=
		sizeof copy) {
		return ur_err_set(
			err, -ENAMETOOLONG, UR_FAULT_SETUP, "the ledger '%s'", ledger->path);
	}
	(void)snprintf(part, sizeof part, "%s.part", copy);
	if (unlink(part) < 0 && errno != ENOENT) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot replace '%s'", part);
	}
	ur_text_adds(&sql, "VACUUM INTO '");
	for (const char *at = part; *at != '\0'; at++) {
		ur_text_add(&sql, *at == '\'' ? "''" : at, *at == '\'' ? 2 : 1);
	}
	ur_text_adds(&sql, "'");
	int r = ur_ledger_run_sql(ledger, ur_text_get(&sql), "be copied before it is changed", err);
	ur_text_done(&sql);
	const int fd = r < 0 ? r : open(part, O_RDONLY | O_CLOEXEC);
	if (r == 0 && (fd < 0 || fsync(fd) < 0 || rename(part, copy) < 0)) {
		r = ur_err_set(err, -errno, UR_FAULT_SETUP,
			"cannot keep a copy of the ledger as '%s' before it is changed", copy);
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	return r;
}

/** One step after the other; a crash between two of them leaves a whole older ledger. */
static int migrate(struct ur_ledger *ledger, int version, struct ur_err *err)
{
	int r = version < UR_LEDGER_SCHEMA ? keep_copy(ledger, version, err) : 0;
	for (; r == 0 && version < UR_LEDGER_SCHEMA; version++) {
		char sql[sizeof schema + 200];
		assert(steps[version] != NULL);
		(void)snprintf(sql, sizeof sql,
			"BEGIN IMMEDIATE; %s PRAGMA user_version=%d; COMMIT;", steps[version],
			version + 1);
		r = ur_ledger_run_sql(ledger, sql, "be brought up to date", err);
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
	return mode == UR_LEDGER_WRITE                    ? migrate(ledger, version, err)
	       : version < UR_LEDGER_SCHEMA && tables > 0 ? -ESTALE
							  : 0;
}

/** Who only reads cannot read an older one: a writer of this version brings it up to date first. */
static int bring_up_to_date(const char *path, struct ur_err *err)
{
	struct ur_ledger *writer = NULL;
	const int r = ur_ledger_open(path, UR_LEDGER_WRITE, &writer, err);
	(void)ur_ledger_free(writer);
	return r;
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
	return ur_ledger_run_sql(ledger, sql, "be opened", err);
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
	ledger->db_fd = -1;
	r = refuse_network(path, err);
	if (r == 0 && mode == UR_LEDGER_WRITE) {
		r = take_lock(ledger, err);
		r = r < 0 ? r : lock_database(ledger, err);
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
		r = ledger->db == NULL ? -ENOMEM : ur_ledger_complain(ledger, err, "be opened");
		goto fail;
	}
	r = configure(ledger, mode, err);
	r = r < 0 ? r : check_schema(ledger, mode, err);
	if (r == -ESTALE) {
		(void)ur_ledger_free(ledger);
		r = bring_up_to_date(path, err);
		return r < 0 ? r : ur_ledger_open(path, mode, ret, err);
	}
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
	ledger->reserve = ur_reserve_free(ledger->reserve);
	if (ledger->db_fd >= 0) {
		(void)close(ledger->db_fd);
	}
	if (ledger->lock_fd >= 0) {
		(void)close(ledger->lock_fd);
	}
	free(ledger->path);
	free(ledger);
	return NULL;
}
