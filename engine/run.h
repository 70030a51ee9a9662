/**
 * run - what all stages of one run share: what was asked for, who the destination is, the counts.
 *
 *   Owner    the pipeline; constant once the stages have started, but for the atomics
 *   Units    ms for waits, bytes for sizes
 *   Threads  `event` is called by one thread at a time (the pipeline serialises it)
 */
#ifndef UR_RUN_H
#define UR_RUN_H

#include "engine/item.h"
#include "engine/net/http.h"
#include "engine/source/ignore.h"
#include "engine/source/staging.h"
#include "engine/sys/ring.h"
#include "engine/trouble.h"

#include <pthread.h>

#define UR_IN_FLIGHT_MAX 512u
#define UR_PROBES_MAX 16

enum ur_after {
	UR_AFTER_KEEP,
	UR_AFTER_MOVE,
	UR_AFTER_DELETE
};

struct ur_event {
	const struct ur_dir *dir;
	const char *name;
	enum ur_state state;
	enum ur_outcome outcome;
	const char *reason; // "" when there is nothing to say
	const char *asset;  // "" without
	bool warning;       // the reason is worth a line although all went well
	bool told;          // it waits for what an earlier run has named
};

struct ur_options {
	const char *const *sources; // paths
	size_t source_count;
	const char *files_from; // a file of paths, "-": standard input, NULL: none
	bool files_from_nul;
	const char *const *excludes;
	size_t exclude_count;
	bool no_junk;
	bool follow;
	bool one_file_system;
	bool skip_hidden;
	bool dates_from_names; // for pictures that carry no date themselves
	int64_t min_age_ms;    // 0: at once
	bool respect_next; // failures wait for their time (drain); by hand they are tried at once
	bool tell_junk;    // names what is left out as the usual junk; else it is counted only
	bool tell_known; // also what is known and unchanged gets its event; else it is counted only
	int64_t limit;   // at most so many files are sent; 0: all
	enum ur_after after;
	const char *move_to;
	const char *key_from; // where the key was found, for people; NULL: nobody need know
	bool confirm_bytes;
	bool no_library; // no source is an external library of the server, whatever its name
	bool plan;
	enum ur_ring_kind ring;
	unsigned probe_threads;
	unsigned concurrency;
	int64_t server_wait_ms;
	int64_t answer_wait_ms;
	int64_t suspect_wait_ms;
	int64_t settle_after_ms;
	int64_t quiet_without_lease_ms; // what may go without a lease was unchanged for so long
	bool accept_cut_off;            // what looks cut off is all there is
	int tries_max;
	int64_t resumable_threshold; // files from this size go in chunks, where a gateway is
	int64_t resumable_chunk;
	const char *gateway; // its URL; NULL: /uringest/ below the server's; "off": none
	const char *ledger;
	const char *command; // for the ledger's list of runs, without secrets
	struct ur_http_options http;
	void (*event)(void *context, const struct ur_event *event);
	/** `told`: an earlier run of the timer has named it. */
	void (*folder_error)(void *context, const char *path, const char *why, bool told);
	void (*warn)(void *context, const char *sentence);
	/** Before it begins, on the caller's thread: waits for `what`, a constant; NULL: no longer. */
	void (*waits)(void *context, const char *what);
	void *context;
};

struct ur_wire;

struct ur_run {
	const struct ur_options *options;
	struct ur_wire *wire; // which bodies have gone out; NULL: nobody notes it
	struct ur_server server;
	bool server_remembered; // some of that is what it said up to a day ago
	struct ur_types *types;
	struct ur_text libraries; // the server's external libraries, in its words; "": not known
	int64_t destination;
	int64_t id;
	struct ur_staging_key staging_key; // of its ledger
	int64_t started_ns;

	atomic_bool stop;    // no new work: a signal, or a failure of the run
	atomic_bool scanned; // scan has handed over its last item
	_Atomic uint64_t outcomes[UR_OUTCOMES];
	_Atomic uint64_t bytes_found;
	_Atomic uint64_t bytes_hashed;
	_Atomic uint64_t bytes_read; // from files, for hashing and for looking at them
	_Atomic uint64_t ring_ops;
	_Atomic uint32_t in_flight; // requests of all reading threads
	_Atomic uint64_t
		in_flight_seen[UR_IN_FLIGHT_MAX]; // how often so many, at each turn of a ring
	atomic_int coldness;                      // see ur_run_is_cold
	struct ur_troubles troubles;              // its places under `talk`
	_Atomic uint64_t folder_errors;
	_Atomic uint64_t junk;      // files and folders left out by the rules that nobody wrote
	_Atomic uint64_t held;      // files that stay until somebody does something about them
	_Atomic uint64_t unquiet;   // files that may not go yet for want of a lease
	_Atomic int64_t unquiet_ns; // … the last of them at the earliest in so long
	_Atomic uint64_t kept;      // should have gone, and could not be proved
	_Atomic uint64_t too_large; // for the way to the server
	_Atomic uint64_t starved;   // could not be opened for want of handles or memory
	unsigned probe_slots;       // files that each reading thread may have open
	_Atomic uint64_t
		stranded; // files that stand in a staging folder, or may, and cannot be put back
	_Atomic uint64_t wanted;        // against options.limit
	_Atomic uint64_t chunk_ceiling; // what a 413 taught about the gateway's proxy, 0: nothing
	atomic_bool no_gateway;         // it was asked, and none is there
	_Atomic uint64_t flips;         // (test builds) files spoiled on purpose
	pthread_mutex_t talk;

	/* How the run ended, set once under `talk`. */
	int result;
	struct ur_err err;
};

/** Counts a file and reports it.  From any thread. */
void ur_run_report(struct ur_run *run, const struct ur_dir *dir, const char *name, int64_t size,
	enum ur_state state, enum ur_outcome outcome, const char *reason, const char *asset,
	bool warning, bool told);
/** One more file that did not arrive, or could not be taken away as asked; true: known as such. */
bool ur_run_see_trouble(struct ur_run *run, const struct ur_record *row);
/** The same of a folder. */
bool ur_run_see_trouble_at(struct ur_run *run, const char *path, const char *what);
/** Counts files that are known and unchanged, and that get no line (tell_known is not set). */
void ur_run_count_kept(struct ur_run *run, uint64_t files, uint64_t bytes);
/** A folder, or a path that was named, cannot be looked at. */
void ur_run_path_error(struct ur_run *run, const char *path, const char *why);
void ur_run_folder_error(
	struct ur_run *run, const struct ur_dir *dir, const char *name, int code, const char *why);
void ur_run_warn(struct ur_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Not now: too new, or somebody has it open for writing where files have to be quiet. */
bool ur_run_holds_up(const struct ur_run *run, const struct ur_file *file);
/** Nothing new is begun any more. */
bool ur_run_is_stopping(const struct ur_run *run);
/** True when files may be removed or moved; a plan of such a run counts. */
bool ur_run_removes(const struct ur_run *run);
/** How long a question waits: nobody looks longer than they may store, whatever drips meanwhile. */
int64_t ur_run_answer_ms(const struct ur_run *run, int64_t most_ms);
/** One more file that may go in `left_ns` at the earliest. */
void ur_run_see_unquiet(struct ur_run *run, int64_t left_ns);
/**
 * Looks into the staging folder in `parent`, whose path is `path`: what this ledger left there goes
 * back to its name; what is somebody else's is named, with what to do, and left alone.
 */
void ur_run_tidy_staging(struct ur_run *run, int parent, const char *path);
/** A file that had to be read was in memory, or was not: most of the last few decide. */
void ur_run_see_cold(struct ur_run *run, bool cold);
bool ur_run_is_cold(const struct ur_run *run);
/** One more look at how many requests are in flight, and the median of all looks. */
void ur_run_see_in_flight(struct ur_run *run);
unsigned ur_run_in_flight_median(const struct ur_run *run);
/**
 * What the server takes for the date of a picture that carries none: it reads Exif itself, and what
 * it finds there wins.  A local time in a name is read in this machine's zone.
 */
int64_t ur_run_created_of(const struct ur_run *run, const struct ur_file *file);
/** Ends the run: the first failure is kept, `stop` is raised. */
void ur_run_fail(struct ur_run *run, int code, const struct ur_err *err);

/**
 * Lets a reference to `dir` go; a directory below the root from which this run has taken the last
 * file, and which nobody else is looking at, is removed, and so on upwards.
 */
void ur_run_leave(struct ur_run *run, struct ur_dir *dir);

#endif
