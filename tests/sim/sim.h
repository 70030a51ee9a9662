/**
 * sim - the importer's decisions on a world of its own: no server, no disk, no thread, no clock.
 *
 *     seed ─▶ files, who lies how, when the process dies ─▶ runs ─▶ honest runs ─▶ are the promises kept?
 *
 *     clock.c      the three clocks, and an agenda of what happens when
 *     ledger.c     rows and assets; a commit makes them durable, a crash forgets the rest
 *     server.c     what the server truly holds, and what it (or a proxy) answers
 *     importer.c   a run: scan, probe, upload and settle played, the coordinator real
 *     main.c       seeds, the promises, and making a failing seed small
 *
 * The coordinator is the one that ships; its neighbours are put in its place by the linker (--wrap).
 *
 *   Owner    one world, static: a seed begins by wiping it
 *   Units    ns on all clocks
 *   Threads  one
 */
#ifndef UR_TESTS_SIM_H
#define UR_TESTS_SIM_H

#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#define SIM_FILES 6
#define SIM_CONTENTS 6
#define SIM_RUNS 8
#define SIM_USER "aaaaaaaa-0000-4000-8000-000000000001"
#define SIM_HOUR (INT64_C(3600) * UR_SECOND_NS)

/** Ways of the world to be difficult: bits of what a seed may meet. */
enum sim_lie {
	LIE_LINE,     // connections break, before or after the body
	LIE_PAGE,     // pages of a proxy, with any status
	LIE_BUSY,     // 408, 429, 502, 503, 504
	LIE_FAILS,    // the server's own 500
	LIE_RIGHTS,   // 401 and 403 of the server's own
	LIE_NONSENSE, // a 200 that says nothing
	LIE_HALF,     // an upload fails, and its row stays without its bytes
	LIE_LATE,     // it stores long after it, or the line, gave up
	LIE_RANGE,    // Range is dropped, or another size is told
	LIE_MISSING,  // originals cannot be read for a while
	LIE_OWN,      // the server's file is the very file
	LIE_TRASH,    // what it has is in the trash, or goes there
	LIE_OTHERS,   // somebody else uploads the same bytes
	LIE_CRASH,    // the process dies
	LIE_DISK,     // the ledger cannot be written
	LIE_REFUSES,  // 400, 413, quota, 422
	LIES,
};

/** A world: all of it follows from these numbers.  Making it small means making them small. */
struct sim_plan {
	uint64_t seed;
	unsigned lies; // bits
	int files;
	int contents;
	int runs;      // before everybody is honest
	int per_mille; // of requests that meet a lie
};

/* ---- chance ------------------------------------------------------------------------------------ */

uint64_t sim_random(void);
/** 0 … below - 1 */
unsigned sim_below(unsigned below);
/** Whether this lie happens now. */
bool sim_lies(enum sim_lie lie);
bool sim_once_in(unsigned n);

/* ---- clock.c ----------------------------------------------------------------------------------- */

struct sim_event {
	int64_t at_ns;
	void (*happen)(struct sim_event *event);
	bool waits; // is on the agenda
	struct sim_event *next;
};
/** `event` happens `after_ns` from now; whoever adds it owns it. */
void sim_later(struct sim_event *event, int64_t after_ns);
/** The next event happens, and time with it; false when there is none before `until_ns`. */
bool sim_happen(int64_t until_ns);
void sim_pass(int64_t ns);
int64_t sim_now(void);
void sim_clock_begin(void);
/** A reboot: the boot clock begins anew, under another id. */
void sim_reboot(void);
void sim_step_wall(int64_t by_ns);

/* ---- ledger.c ---------------------------------------------------------------------------------- */

void sim_ledger_begin(void);
/** What was not committed is forgotten. */
void sim_ledger_crash(void);
/** The row of a file, as the next run reads it; NULL without. */
const struct ur_record *sim_ledger_row(int file);

/* ---- server.c ---------------------------------------------------------------------------------- */

struct sim_file;
struct sim_content {
	char bytes[64];
	size_t size;
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	char asset[UR_ASSET_ID];

	bool row;
	bool stored; // its bytes are there
	bool trashed;
	bool by_others;     // nobody can call a second upload needless
	int own_file;       // its bytes are this very file of ours; -1: they are not
	int64_t seen_ns;    // when the row was made
	int64_t storing_ns; // until when an upload of it is being stored; 0: none is
};
extern struct sim_content sim_contents[SIM_CONTENTS];

void sim_server_begin(void);
/** The whole truth, whatever is answered: the server has the bytes of this file elsewhere than there. */
bool sim_server_holds(const struct sim_file *file);
/** A whole body of these bytes has arrived; what becomes of it, and the answer, in `file`. */
void sim_server_upload(struct ur_file *file, int content);

/* ---- importer.c -------------------------------------------------------------------------------- */

struct sim_file {
	char name[24];
	int content;
	enum ur_class class;
	bool there;   // at its name
	bool aside;   // in the staging folder
	bool removed; // by us
	bool travelled;
	uint64_t inode;
	int64_t ctime_ns;
};
struct sim_world {
	struct sim_plan plan;
	struct sim_file files[SIM_FILES];
	bool honest; // the last runs
	bool dead;   // the process has died: what it does from here on does not happen
	int stuck;   // turns in which nothing happened
	int runs;
	char broken[200]; // the promise that was, "" while none is
	bool verbose;
};
extern struct sim_world sim;

/** One run of the importer, to its end or its death. */
void sim_run(void);
void sim_break(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
