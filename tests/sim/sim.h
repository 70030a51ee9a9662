/**
 * sim - decisions on a world of their own: no server, no disk, no thread, no clock.
 *
 *     seed ─▶ files, who lies how, when the process dies ─▶ runs ─▶ honest runs ─▶ are the promises kept?
 *
 *     main.c       seeds, chance, and making a failing seed small
 *     clock.c      the three clocks, and an agenda of what happens when
 *     disk.c       the file that a process leaves behind
 *     server.c     what the server truly holds, and what it (or a proxy) answers
 *
 *     sim_importer.c   files and the promises about them
 *     importer_run.c   a run: scan, probe, upload and settle played, the coordinator real
 *     ledger.c         rows and assets; a commit makes them durable, a crash forgets the rest
 *
 *     sim_gateway.c    uploads and the promises about them; the deliveries real, the spool played

 *
 * Coordinator and deliveries are those that ship; the linker puts these in their neighbours' place
 * (--wrap).
 *
 *   Owner    one world, static: a seed begins by wiping it
 *   Units    ns on all clocks
 *   Threads  one
 */
#ifndef UR_TESTS_SIM_H
#define UR_TESTS_SIM_H

#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/net/http.h"
#include "engine/net/immich.h"
#include "engine/net/wire.h"

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
	LIE_POWER,    // the server loses what it stored within the last minute, and had not synced
	LIE_USER,     // files come later, change while they are sent, are taken away
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

/* ---- server.c ---------------------------------------------------------------------------------- */

struct sim_content {
	char bytes[64];
	size_t size;
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	char asset[UR_ASSET_ID];
	unsigned generation; // of its asset

	bool row;
	bool stored; // its bytes are there
	bool trashed;
	bool by_others;     // nobody can call a second upload needless
	bool refused;       // by its type, once
	int own_file;       // its bytes are this very file of ours; -1: they are not
	int64_t since_ns;   // when its row and bytes were made, by us
	int64_t storing_ns; // until when an upload of it is being stored; 0: none is
};
extern struct sim_content sim_contents[SIM_CONTENTS];

void sim_server_begin(void);
/** Whoever asked is no more: nobody hears any answer. */
void sim_server_forget(void);
/** Whether a file whose bytes are the server's own stands where the server sees it: the world's. */
bool sim_own_is_there(int own_file, bool *ret_aside);
/** The whole truth, whatever is answered: the server has these bytes elsewhere than in `asking`. */
bool sim_server_holds(int content, int asking);

/** What a client sees of an upload whose body has gone out. */
struct sim_sent {
	int result;
	int status;
	bool own;
	bool readable;
	bool duplicate;
};
/** A whole body of these bytes has arrived. */
struct sim_sent sim_server_upload(int content);

/* ---- disk.c ------------------------------------------------------------------------------------ */

/** No file is there yet. */
void sim_disk_begin(void);
/** Opened by a process that begins; NULL: it cannot be. */
struct ur_wire *sim_disk_wire(void);

/* ---- main.c ------------------------------------------------------------------------------------ */

struct sim_world {
	struct sim_plan plan;
	bool honest; // the last runs
	bool dead;   // the process has died: what it does from here on does not happen
	int runs;
	char broken[200]; // the promise that was, "" while none is
	bool verbose;
};
extern struct sim_world sim;

/** A world as its plan begins; the world's own parts are its own to begin. */
void sim_begin(const struct sim_plan *plan);
/** Between two runs: others upload, trash, take out; hours pass, machines boot, clocks step. */
void sim_pass_time(void);
void sim_break(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Whose promises, and a whole life: the promise that was broken, "" when none was.  The world's. */
extern const char sim_name[];
extern const uint64_t sim_count; // of worlds, as a test
const char *sim_live(const struct sim_plan *plan);

#endif
