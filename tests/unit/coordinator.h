/**
 * coordinator - a coordinator without threads, a server, a disk or a clock, for the tests of its parts.
 *
 *     play_item() ─▶ a part's own functions ─▶ play_asked()   what the server is asked
 *                                           ─▶ play_row()     what the ledger was told
 *                                           ─▶ play.said      what people were told
 *
 * The parts are those that ship; the linker (--wrap) puts these in their neighbours' place: clocks,
 * requests, the ledger, directories, bells.  Time passes only where a test lets it.
 *
 *   Owner    static, one at a time: play_set_up() makes it, play_tear_down() ends it
 *   Units    ms for what passes
 *   Threads  one
 */
#ifndef UR_TESTS_UNIT_COORDINATOR_H
#define UR_TESTS_UNIT_COORDINATOR_H

#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PLAY_USER "aaaaaaaa-0000-4000-8000-000000000001"
#define PLAY_ASSET "00000000-0000-4000-8000-000000000000"
#define PLAY_OTHER "00000000-0000-4000-8000-000000000999"
#define PLAY_ROWS 64
#define PLAY_ASKED 64
#define PLAY_HOUR_MS INT64_C(3600000)
#define PLAY_DAY_MS (24 * PLAY_HOUR_MS)

/** A test with a coordinator of its own. */
#define PLAYED(test) cmocka_unit_test_setup_teardown(test, play_set_up, play_tear_down)

/** What the ledger has of a file. */
struct play_row {
	struct ur_record record;
	char name[64];
	char reason[400];
};

/** What it has of some bytes. */
struct play_fact {
	uint8_t sha1[UR_LEDGER_SHA1];
	bool has_asset;
	bool has_upload;
	struct ur_ledger_asset asset;
	struct ur_ledger_upload upload;
};

struct play_book {
	struct play_row rows[PLAY_ROWS];
	struct play_fact facts[PLAY_ROWS];
	size_t row_count;
	size_t fact_count;
};

struct play {
	struct ur_options options;
	struct ur_run run;
	struct ur_coordinator *c;
	struct ur_dir *dir; // of all items: /pictures
	int dir_fd;         // what ur_dir_take() says
	int may_write;      // what a look at its rights says
	unsigned upload_limit;

	struct ur_request *asked[PLAY_ASKED]; // and not answered yet, in their order
	size_t asked_count;
	unsigned wakes; // of http
	unsigned cancels;

	struct play_book book;        // the transaction
	struct play_book durable;     // what was committed
	int put_fails;                // what the next write says
	int get_fails;                // what the next look says
	unsigned folders;             // that were looked up
	int commit_fails;             // what the next commit says
	unsigned puts;                // rows that were written
	unsigned commits;             // that came to pass
	struct ur_ledger_doubt doubt; // of other rows with the same bytes
	unsigned doubts_kept;         // without a row
	bool same_in_run;             // another row of this run has the same bytes
	int64_t learned;              // about the gateway

	char said[4000];                 // warnings, a line each
	struct ur_event told[PLAY_ROWS]; // files that came to their end
	size_t told_count;
};
extern struct play play;

int play_set_up(void **state);
int play_tear_down(void **state);
/** The coordinator begins anew: as another run, with the options as they are now; items are gone. */
void play_begin(void);

/* ---- time -------------------------------------------------------------------------------------- */

void play_pass(int64_t ms);
/** The wall clock is set, which proves nothing. */
void play_step_wall(int64_t ms);

/* ---- files ------------------------------------------------------------------------------------- */

/**
 * An item as scan and probe hand it over: "a.jpg a.mov a.jpg.xmp", each with bytes of its own.  By the
 * ends of their names they are pictures, movies (.mov) and sidecars (.xmp).
 */
struct ur_item *play_item(const char *names);
/** The same after it was judged: what is media is a candidate, of which the server is to be asked. */
struct ur_item *play_candidate(const char *names);
/** Its bytes are these. */
void play_bytes(struct ur_file *file, const char *bytes);
/** The ledger's row about this very file, in `state`, as scan would find it. */
struct ur_record *play_remember(struct ur_file *file, enum ur_state state);
/** It was wanted, and is now. */
void play_want(struct ur_item *item, struct ur_file *file);
/** It was sent in this run, and the server's 201 came. */
void play_sent(struct ur_file *file);
/** The server has it, and whoever brought it there did so long ago. */
void play_known(struct ur_file *file);
/** The item is in this list, as its last one. */
bool play_is_in(const struct ur_items *items, const struct ur_item *item);

/* ---- the server -------------------------------------------------------------------------------- */

/** The request that is out; exactly one is. */
struct ur_request *play_asked(void);
/** What it asks: "GET /api/users/me". */
const char *play_question(void);
/** Its body, as text. */
const char *play_body(void);
/** It is answered in Immich's own words, and back. */
struct ur_request *play_answer(int status, const char *json);
/** It is answered by a proxy's page. */
struct ur_request *play_page(int status);
/** It has come to nothing. */
struct ur_request *play_break(int result);
/** The answer to a question by checksum: for each file 'a'bsent, 't'here, or in the trash: 'x'. */
struct ur_request *play_check(const char *letters);
/** The asset of `file`, as the server names it; `more`: further fields, with their comma before them. */
struct ur_request *play_asset(const struct ur_file *file, const char *owner, const char *more);
/** Bytes of an original: `range` is the Content-Range, "" for a 200. */
struct ur_request *play_original(int status, const char *range, const char *bytes);
/** A complaint, as Immich makes it. */
extern const char play_no[];

/* ---- the ledger -------------------------------------------------------------------------------- */

/** What it was told of a file, whether that is durable or not; NULL: nothing. */
const struct play_row *play_row(const char *name);
const struct play_row *play_durable(const char *name);
/** What it knows of some bytes. */
struct play_fact *play_fact(const uint8_t sha1[UR_LEDGER_SHA1]);
/** One turn of the loop: what is decided becomes durable, and is let go. */
void play_turn(void);
/** What has been let go to a neighbour, one at a time; NULL: nothing. */
struct ur_item *play_next(struct ur_queue *queue);

#endif
