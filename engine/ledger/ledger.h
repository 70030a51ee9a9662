/**
 * ledger - the only truth: what is known of each file, and of each delivery.
 *
 * SQLite in WAL mode with synchronous=FULL.  One writer (a lock beside the database names it), any
 * number of readers.  Writes gather in one open transaction; ur_ledger_commit() makes them durable.
 * A fact below `sending` may be lost and is found again; from `sending` on the caller commits
 * before the side effect.
 *
 *     folder   path → id                                   a directory, by its absolute path
 *     file     (destination, folder, name) → a ur_record   what became of each file
 *     asset    (destination, sha1) → asset id              what the server got, and from which run
 *     seal     (destination, folder) → marks               its files that need nothing: see marks.h
 *     answer   (server, who, path) → what the server said  facts about it that hold for a day
 *     upload   (destination, sha1) → address, offset       resumable uploads that are under way
 *     server   (url, key) → number                         what was learned about a server
 *     destination, run, meta
 *
 * Every delivery fact belongs to a destination: the server's user id, not a URL, not a key.
 *
 *   Owner    records read through a callback are valid inside it only
 *   Units    times in ns since the epoch
 *   Errors   -EWOULDBLOCK  another process holds the ledger (the sentence says who)
 *            -EOPNOTSUPP   on a network file system, where WAL does not work
 *            -EUCLEAN      not a ledger, or damaged;  -EPROTO  made by a newer version
 *            -ENOSPC, -EIO the disk; the open transaction is gone, nothing before it
 *   Threads  one connection a thread
 *   Source   sqlite.org: WAL needs shared memory, hence a local file system
 */
#ifndef UR_LEDGER_LEDGER_H
#define UR_LEDGER_LEDGER_H

#include "engine/base/age.h"
#include "engine/base/err.h"
#include "engine/source/folder.h"
#include "engine/source/removal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_LEDGER_SCHEMA 5
#define UR_LEDGER_ASSET 37
#define UR_LEDGER_SHA1 20
#define UR_LEDGER_XXH 16
#define UR_LEDGER_ADDRESS 1024

/** Where a file is in its life.  The numbers are in the database: only add at the end. */
enum ur_state {
	UR_SEEN,      // listed
	UR_STABLE,    // quiet for long enough
	UR_PROBED,    // read and hashed
	UR_KNOWN,     // the server has it
	UR_DUPLICATE, // the same bytes as another file that was or is being sent
	UR_TRASHED,   // in the server's trash
	UR_WITHDRAWN, // delivered by us, gone there now
	UR_REFUSED,   // not to be sent: not media, empty, unreadable
	UR_WANTED,    // to be sent
	UR_SENDING,   // the request may have gone out
	UR_DELIVERED, // the server said so
	UR_CONFIRMED, // it gave bytes back: about to be settled
	UR_SETTLED,   // removed or moved
	UR_FAILED,    // see reason, tries, next_ns
	UR_SUSPECT,   // claimed by the server after an upload that did not end in a 201
	UR_BROKEN,    // the server claims it and cannot give its bytes
	UR_STATES,
};
const char *ur_state_name(enum ur_state state);

struct ur_record {
	int64_t destination;
	int64_t folder;
	const char *name; // bytes, not necessarily UTF-8
	struct ur_identity identity;
	bool remembered; // the identity was settled when the file was read
	uint64_t edges;  // XXH3 of the first and last 64 KiB; 0: not taken
	bool hashed;
	uint8_t sha1[UR_LEDGER_SHA1];
	uint8_t xxh[UR_LEDGER_XXH];
	enum ur_state state;
	const char *reason;
	char asset[UR_LEDGER_ASSET];
	bool created;   // by our own 201
	bool travelled; // a sidecar: in a request that was answered 201
	bool for_good;  // a failure that asking again unchanged would repeat
	bool accepted; // somebody said of these bytes, which look cut off, that they are all there are
	bool told;     // it was named once: from then on it is counted
	enum ur_ending ending; // of these bytes
	bool owes_link; // a movie that was sent, and whose still was there and is not linked yet
	bool noted;     // `sending`: the wire says whether its body went out whole
	bool trouble;   // the run that wrote it could not deliver it, or not take it away as asked
	int tries;
	int64_t next_ns; // not before
	int64_t run;
	int64_t seen_ns;
	int64_t probed_ns;
	int64_t sending_ns;
	int64_t delivered_ns;
	int64_t confirmed_ns;
	int64_t settled_ns;
	char boot[37];        // of first_boot_ns
	int64_t quiet_ns;     // CLOCK_BOOTTIME since when size, mtime and ctime are as they are
	int64_t quiet_had_ns; // … and how long they had certainly been so before that
	char staged[24];      // its token in .uringest/, "" when it has none
	uint64_t place; // with it: the inode of the folder that .uringest/ stands in, 0: not known
	int64_t place_size;  // … and how much of the file's folder is that one's path
	struct ur_age there; // since we first saw the server name an asset with these bytes
	struct ur_age
		doubt; // since the server's claim to have them was first in doubt; not begun: it is not
};

/** For how long its size, mtime and ctime have been as they are. */
struct ur_age ur_record_quiet(const struct ur_record *record);

struct ur_ledger;

enum ur_ledger_mode {
	UR_LEDGER_WRITE,
	UR_LEDGER_READ
};

/** WRITE takes the lock, makes and migrates; READ needs an existing one. */
[[nodiscard]] int ur_ledger_open(
	const char *path, enum ur_ledger_mode mode, struct ur_ledger **ret, struct ur_err *err);
struct ur_ledger *ur_ledger_free(struct ur_ledger *ledger);

[[nodiscard]] int ur_ledger_destination(struct ur_ledger *ledger, const char *user_id,
	const char *user_name, const char *server, int64_t *ret, struct ur_err *err);
/** Becomes durable with the next commit: a run that writes nothing needs only one. */
[[nodiscard]] int ur_ledger_run_begin(struct ur_ledger *ledger, int64_t destination,
	const char *command, int64_t *ret, struct ur_err *err);
[[nodiscard]] int ur_ledger_run_end(
	struct ur_ledger *ledger, int64_t run, const char *summary, struct ur_err *err);

/** The id of a directory, 0 when the ledger has not met it; `make` gives it one. */
[[nodiscard]] int ur_ledger_folder(struct ur_ledger *ledger, const void *path, size_t size,
	bool make, int64_t *ret, struct ur_err *err);
/** Inserts or replaces the row of (destination, folder, name). */
[[nodiscard]] int ur_ledger_put(
	struct ur_ledger *ledger, const struct ur_record *record, struct ur_err *err);
[[nodiscard]] int ur_ledger_commit(struct ur_ledger *ledger, struct ur_err *err);
bool ur_ledger_dirty(const struct ur_ledger *ledger);

typedef int ur_record_fn(void *context, const struct ur_record *record);
/** The rows of one directory, ordered by name; a negative return of `each` ends it. */
[[nodiscard]] int ur_ledger_in_folder(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	ur_record_fn *each, void *context, struct ur_err *err);
/**
 * The marks of the folder's files that need nothing while they are kept and stay as they are, made
 * by the last ur_ledger_seal(); *ret_count is 0 when there are none, or a row was written since.
 * Valid until the next call with this ledger.
 */
[[nodiscard]] int ur_ledger_sealed(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const void **ret, size_t *ret_count, struct ur_err *err);
/** Makes the seals of all folders of which a row was written since theirs was made. */
[[nodiscard]] int ur_ledger_seal(struct ur_ledger *ledger, int64_t destination, struct ur_err *err);
/**
 * Many questions from one state of the ledger, which spares each of them the locks.  What others
 * write meanwhile is not seen, and keeps their log growing: only for a moment.  For READ.
 */
[[nodiscard]] int ur_ledger_hold(struct ur_ledger *ledger, struct ur_err *err);
void ur_ledger_let_go(struct ur_ledger *ledger);
/** One row; *ret_found says whether there is one, `each` gets it. */
[[nodiscard]] int ur_ledger_get(struct ur_ledger *ledger, int64_t destination, int64_t folder,
	const char *name, ur_record_fn *each, void *context, bool *ret_found, struct ur_err *err);
/** True when another row of this run with these bytes is wanted or further. */
[[nodiscard]] int ur_ledger_same_in_run(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name, bool *ret,
	struct ur_err *err);

/** The youngest doubts about some bytes, whichever other rows have them; not begun: none. */
struct ur_ledger_doubt {
	struct ur_age since;   // the server's claim to have them is in doubt
	struct ur_age sending; // a request may have gone out, and nobody knows how it ended
	struct ur_age first;   // … the earliest such; of no boot where the wire cannot say
};
[[nodiscard]] int ur_ledger_doubt(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], int64_t not_folder, const char *not_name,
	struct ur_ledger_doubt *ret, struct ur_err *err);

/**
 * A doubt about bytes that no row has any more (another picture took the name) is kept by itself, and
 * counts in ur_ledger_doubt().
 */
[[nodiscard]] int ur_ledger_doubt_keep(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_age *since, struct ur_err *err);

/**
 * True when files of `folder` (its path) or of a folder below it were taken away by a run before
 * `run` that was interrupted, and none has come to its end since: what is empty there, that run has
 * emptied.
 */
[[nodiscard]] int ur_ledger_emptied(struct ur_ledger *ledger, int64_t destination, int64_t run,
	const void *folder, size_t size, bool *ret, struct ur_err *err);

#define UR_LEDGER_SALT 32u
#define UR_LEDGER_WHO 32u
/** Random bytes of this ledger alone, made once: what must be recognised but not kept is mixed in. */
[[nodiscard]] int ur_ledger_salt(
	struct ur_ledger *ledger, uint8_t ret[UR_LEDGER_SALT], struct ur_err *err);
/**
 * What `server` answered to `path`, if it did so less than `age_ns` ago.  `who`: an answer that
 * depends on the key belongs to a keyed hash of it.
 */
[[nodiscard]] int ur_ledger_answer_get(struct ur_ledger *ledger, const char *server,
	const uint8_t who[UR_LEDGER_WHO], const char *path, int64_t age_ns, struct ur_text *ret,
	bool *ret_found, struct ur_err *err);
[[nodiscard]] int ur_ledger_answer_put(struct ur_ledger *ledger, const char *server,
	const uint8_t who[UR_LEDGER_WHO], const char *path, const char *text, struct ur_err *err);
/** Forgets all that this server has answered. */
[[nodiscard]] int ur_ledger_answers_drop(
	struct ur_ledger *ledger, const char *server, struct ur_err *err);

struct ur_ledger_asset {
	char asset[UR_LEDGER_ASSET];
	bool created; // by our 201
	int64_t run;
	int64_t at_ns;
};
[[nodiscard]] int ur_ledger_asset_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_asset *ret, bool *ret_found,
	struct ur_err *err);
[[nodiscard]] int ur_ledger_asset_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_asset *asset,
	struct ur_err *err);

/** A resumable upload of these bytes that is under way, or was when a run ended. */
struct ur_ledger_upload {
	char address[UR_LEDGER_ADDRESS]; // below the gateway's base; never with a key
	int64_t length;
	uint64_t about;  // what else was said of the file when it was made, hashed
	uint64_t offset; // was durable at the gateway
	int64_t made_ns;
	int64_t at_ns; // when it last got on
};
[[nodiscard]] int ur_ledger_upload_get(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_ledger_upload *ret, bool *ret_found,
	struct ur_err *err);
[[nodiscard]] int ur_ledger_upload_put(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], const struct ur_ledger_upload *upload,
	struct ur_err *err);
[[nodiscard]] int ur_ledger_upload_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err);

#define UR_LEARNED_CHUNK_MAX "chunk_max" // bytes of a body that its proxy lets through
/** A number that was learned about a server; *ret stays as it is when there is none. */
[[nodiscard]] int ur_ledger_learned(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t *ret, struct ur_err *err);
[[nodiscard]] int ur_ledger_learn(struct ur_ledger *ledger, const char *server, const char *key,
	int64_t value, struct ur_err *err);

#define UR_LEDGER_PLACES_MAX 512u // of folders that are in trouble, so many are known apart
/** What a timer's runs found that did not go as asked below one folder, and when that was said. */
struct ur_ledger_trouble {
	int64_t run;        // the last one that came to its end; 0: there is none
	uint64_t count;     // files and folders
	int64_t told_ns;    // wall: when a run last ended with 1 because of them
	struct ur_age told; // … by the clock that nobody steps
	unsigned place_count;
	uint64_t places[UR_LEDGER_PLACES_MAX]; // marks of the folders among them
};
/** All zero when nothing is known. */
[[nodiscard]] int ur_ledger_trouble_get(struct ur_ledger *ledger, int64_t destination,
	int64_t folder, struct ur_ledger_trouble *ret, struct ur_err *err);
[[nodiscard]] int ur_ledger_trouble_put(struct ur_ledger *ledger, int64_t destination,
	int64_t folder, const struct ur_ledger_trouble *trouble, struct ur_err *err);
/** For people: where something is in trouble, `path` is valid inside the callback only. */
typedef int ur_trouble_fn(
	void *context, const struct ur_text *path, const struct ur_ledger_trouble *trouble);
[[nodiscard]] int ur_ledger_troubles(
	struct ur_ledger *ledger, ur_trouble_fn *each, void *context, struct ur_err *err);

/** A row with its path, for people. */
struct ur_ledger_row {
	struct ur_record record;
	const char *path; // of the directory
	size_t path_size;
	const char *user_name;
	const char *user_id;
};
typedef int ur_row_fn(void *context, const struct ur_ledger_row *row);
struct ur_ledger_filter {
	const char *folder_path; // exactly this directory, or NULL
	const char *name;        // with folder_path: this file
	const char *below;       // this directory and all below, or NULL
	uint32_t states;         // bits 1u << state; 0: all
	bool or_trouble;         // with states: also what a run could not do as asked, and is here
	int64_t destination;     // 0: all
	bool staged;             // only files that stand in .uringest/
	bool cut;                // only files that look cut off, and are here
};
[[nodiscard]] int ur_ledger_rows(struct ur_ledger *ledger, const struct ur_ledger_filter *filter,
	ur_row_fn *each, void *context, struct ur_err *err);
/** Failures get another chance: tries, next_ns and for_good are reset.  *ret counts them. */
[[nodiscard]] int ur_ledger_retry(struct ur_ledger *ledger, const struct ur_ledger_filter *filter,
	int64_t *ret, struct ur_err *err);
/** What looks cut off is all there is: holds for the bytes that were hashed.  *ret counts them. */
[[nodiscard]] int ur_ledger_accept(struct ur_ledger *ledger, const struct ur_ledger_filter *filter,
	int64_t *ret, struct ur_err *err);
[[nodiscard]] int ur_ledger_forget(struct ur_ledger *ledger, const struct ur_ledger_filter *filter,
	int64_t *ret, struct ur_err *err);

struct ur_ledger_count {
	int64_t destination;
	const char *user_name;
	const char *user_id;
	const char *server;
	enum ur_state state;
	int64_t files;
	int64_t bytes;
};
typedef int ur_count_fn(void *context, const struct ur_ledger_count *count);
[[nodiscard]] int ur_ledger_counts(
	struct ur_ledger *ledger, ur_count_fn *each, void *context, struct ur_err *err);

/** The process that its lock names is there, as far as can be seen from here. */
bool ur_ledger_has_writer(const struct ur_ledger *ledger);

struct ur_ledger_run {
	int64_t id;
	const char *command;
	int64_t started_ns;
	int64_t ended_ns; // 0: it has not ended, or not by itself
	const char *summary;
};
typedef int ur_run_fn(void *context, const struct ur_ledger_run *run);
[[nodiscard]] int ur_ledger_runs(
	struct ur_ledger *ledger, int limit, ur_run_fn *each, void *context, struct ur_err *err);

/**
 * Distinct contents that were delivered or are known, for `verify`: the next `limit` behind `after`
 * (NULL: from the start), ordered by sha1.
 */
typedef int ur_content_fn(void *context, const uint8_t sha1[UR_LEDGER_SHA1], const char *asset);
[[nodiscard]] int ur_ledger_contents(struct ur_ledger *ledger, int64_t destination,
	const uint8_t *after, int limit, ur_content_fn *each, void *context, struct ur_err *err);
/** A file with these bytes has a row and was not taken away by us. */
[[nodiscard]] int ur_ledger_is_kept(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], bool *ret, struct ur_err *err);
/** Which rows: of files that are here, or of those that were taken away after they were delivered. */
enum ur_ledger_whose {
	UR_LEDGER_ALL,
	UR_LEDGER_KEPT,
	UR_LEDGER_REMOVED,
};
/** Moves those rows of these bytes that count as delivered to `state` (withdrawn, trashed …). */
[[nodiscard]] int ur_ledger_mark(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], enum ur_ledger_whose whose, enum ur_state state,
	const char *reason, int64_t *ret, struct ur_err *err);

/** Forgets that these bytes were ever delivered: the next run may send them again. */
[[nodiscard]] int ur_ledger_asset_forget(struct ur_ledger *ledger, int64_t destination,
	const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err);

#endif
