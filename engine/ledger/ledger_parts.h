/**
 * ledger_parts - what the parts of `ledger` share.  Included by ledger/ledger*.c only.
 *
 *     ledger.c         errors, statements, transactions, opening
 *     ledger_rows.c    folders, the files in them, their seals
 *     ledger_facts.c   destinations, runs, assets, answers, uploads, what was learned
 *     ledger_people.c  what people look at, and what they change by a filter
 *
 *   Threads  one connection a thread
 */
#ifndef UR_LEDGER_LEDGER_PARTS_H
#define UR_LEDGER_LEDGER_PARTS_H

#include "engine/ledger/ledger.h"

#include <sqlite3.h>

#define UR_LEDGER_COLUMNS                                                                      \
	"f.destination, f.folder, f.name, f.fs, f.inode, f.size, f.mtime_ns, f.ctime_ns,"      \
	" f.remembered, f.edges, f.sha1, f.xxh, f.state, f.reason, f.asset, f.flags, f.tries," \
	" f.next_ns, f.run, f.seen_ns, f.probed_ns, f.sending_ns, f.delivered_ns,"             \
	" f.confirmed_ns, f.settled_ns, f.boot, f.quiet_ns, f.staged, f.there,"                \
	" f.doubt, f.quiet_had_ns, f.place, f.place_size"
#define UR_LEDGER_COLUMN_COUNT 33
#define UR_LEDGER_FLAG_TROUBLE 512 // of the column `flags`, whose other bits are ledger_rows.c's

enum ur_ledger_statement {
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
	FILE_DOUBTS,
	EMPTIED,
	ASSET_GET,
	ASSET_PUT,
	COUNTS,
	RUNS,
	CONTENTS,
	MARK,
	KEPT,
	ASSET_FORGET,
	SEAL_GET,
	SEAL_BREAK,
	SEAL_STALE,
	SEAL_ROWS,
	SEAL_PUT,
	HOLD,
	LET_GO,
	DOUBT_GET,
	DOUBT_PUT,
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
	TROUBLE_GET,
	TROUBLE_PUT,
	TROUBLE_FORGET,
	TROUBLES,
	STATEMENTS,
};

struct ur_ledger {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool open; // a transaction is
	bool dirty;
	bool facts;          // since it was opened, more was written than that a run has been
	bool held;           // by ur_ledger_hold()
	int64_t unsealed[2]; // destination and folder whose seal this transaction broke last
	bool all_unsealed;
	struct ur_reserve *reserve; // a writer's
	int lock_fd;
	int db_fd; // of the database itself, for its lock: opened before SQLite, closed after it
	char *path;
};

/* ledger.c */
int ur_ledger_errno_of(int code);
/** The sentence for what SQLite said last: "the ledger '…' cannot `what`". */
int ur_ledger_complain(struct ur_ledger *ledger, struct ur_err *err, const char *what);
/** The statement `which`, ready for binding; NULL with a sentence when it cannot be had. */
sqlite3_stmt *ur_ledger_use(
	struct ur_ledger *ledger, enum ur_ledger_statement which, struct ur_err *err);
/** For what gives no rows: runs it, and leaves nothing bound. */
[[nodiscard]] int ur_ledger_step_once(
	struct ur_ledger *ledger, sqlite3_stmt *s, const char *what, struct ur_err *err);
[[nodiscard]] int ur_ledger_run_sql(
	struct ur_ledger *ledger, const char *sql, const char *what, struct ur_err *err);
/** NULL is stored as "". */
void ur_ledger_bind_text(sqlite3_stmt *s, int at, const char *text);
/** Shortened to `room`; NULL becomes "". */
void ur_ledger_copy_text(sqlite3_stmt *s, int at, char *ret, size_t room);
/** Before anything is written: what follows becomes durable with ur_ledger_commit(). */
[[nodiscard]] int ur_ledger_ensure_transaction(struct ur_ledger *ledger, struct ur_err *err);

/* ledger_rows.c */
/** A name is stored without its NUL: `name` is where it gets one. */
void ur_ledger_read_row(sqlite3_stmt *s, struct ur_record *ret, char name[256]);

#endif
