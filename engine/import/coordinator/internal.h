/**
 * internal - what the files of the coordinator share.  Included by them only.
 *
 *     coordinator.c                       the loop: take in, dispatch, commit, let go
 *     ask deliver large link amend        a step each: begins what is next for an item, or reads an
 *     confirm handover                    answer to it, and sets the step that follows
 *     judge quiet lack group              what files are to us, may go, and lack; who goes together
 *     outage quota way under_way          the server is away; the user is full; a proxy lets only so
 *                                         much through; the same bytes twice
 *     standstill                          what is waited for is said
 *     book file call step                 the ledger's rows; what a file becomes; requests; lists
 *
 * Calls go down this list only.  Whoever sets a step puts the item on a list; the loop looks there.
 *
 *   Threads  the coordinator's; ur_call_answered() alone runs on http's
 */
#ifndef UR_COORDINATOR_INTERNAL_H
#define UR_COORDINATOR_INTERNAL_H

#include "engine/import/coordinator/coordinator.h"

#include "engine/base/filter.h"
#include "engine/immich/put.h"
#include "engine/net/proof.h"
#include "engine/net/wire.h"

#define UR_BUCKETS 4096u       // of files under way, by SHA-1
#define UR_STAMPS 65536u       // a stamp for each value of two bytes of it
#define UR_ASK_BATCH 2000u     // files in one question
#define UR_CALL_TRIES 5        // of one question about links and sidecars
#define UR_LARGE_MAX 8u        // large files on their way at once
#define UR_LARGE_MIN (1 << 20) // smaller files have no upload that could be known

/** A list of items, first in first out. */
struct ur_items {
	struct ur_item *first;
	struct ur_item **end;
	size_t count;
};

struct ur_question; // one bulk question under way

/** The server is away (or in doubt): nothing is asked of it but whether it is back. */
struct ur_outage {
	bool on;
	bool told;
	bool asking;
	int64_t since_ns;
	int64_t next_ns;
	unsigned asks;
	struct ur_request call;
};

/** The user's quota: what is left when it was last asked, -1: no quota met. */
struct ur_quota {
	int64_t left;
	bool asking;
	bool full;
	bool told; // whoever met it was told of by an earlier run of a timer
	struct ur_request call;
};

/** How large a body may be on the way to the server, as far as was seen. */
struct ur_way {
	bool known;            // the ledger was asked
	bool told;             // in this run
	bool probed;           // one that is as large as what was refused is on its way, or was
	int64_t took;          // bytes of the largest file that went through
	int64_t refused;       // and of the smallest that did not; 0: none
	struct ur_item *probe; // the smallest of those so far: tried when all else is done
};

/** No item comes any further. */
struct ur_standstill {
	int64_t since_ns; // steady
	uint64_t steps;   // that had been taken when something last moved
	uint64_t bytes;   // and bytes that had gone or come
	bool told;
	int64_t told_ns; // steady: when something was last said; 0: nothing was
};

/** Files whose bytes are on their way, so that no two of the same bytes are. */
struct ur_under_way {
	struct ur_file *files[UR_BUCKETS];
	uint32_t questions;         // asked so far
	uint32_t stamps[UR_STAMPS]; // the last question when such bytes stopped being under way
};

struct ur_coordinator {
	struct ur_run *run;
	struct ur_coordinator_wiring wiring;
	struct ur_ledger *ledger;
	struct ur_http *http;
	struct ur_put_rules rules;

	/* Where the items are that the coordinator has; see step.c. */
	struct ur_items to_next; // what is to be sent of it next, if anything?
	struct ur_items to_ask;
	struct ur_items to_send;  // wanted, waiting for a place in upload
	struct ur_items to_chunk; // the same, for a place in chunks
	struct ur_items to_call;  // link, amend, confirm: their next request is due
	struct ur_items to_again; // stand aside: asked once more, at once
	struct ur_items parked;   // their originals did not come: their fault, or the library's?
	struct ur_items resting;  // until item.due_ns
	struct ur_items to_finish;
	struct ur_items after_commit;

	struct ur_under_way under_way;
	struct ur_filter *planned; // the bytes that this plan would send; NULL: no plan
	int64_t unanswered_ns; // steady: since when no question was answered; 0: the last one was
	bool unanswered_told;  // and that was said
	int64_t lost_ns;       // steady: since when an earlier upload is waited for; 0: none is
	bool lost_told;        // and that was said
	struct ur_question *question; // is out
	struct ur_question *answered; // being judged, and those after it
	struct ur_outage outage;
	struct ur_quota quota;
	struct ur_way way;
	struct ur_standstill standstill;
	uint64_t steps; // that items have taken; what is tried again takes none

	size_t live;      // items that are not in the pool
	size_t in_upload; // also those in chunks
	size_t in_large;  // in chunks
	const struct ur_item *large[UR_LARGE_MAX];
	int64_t note_due_ns;
	uint64_t chunk_ceiling; // that the ledger knows
	size_t in_settle;
	size_t in_calls;             // link, amend and confirm requests under way
	size_t aside;                // items that stand aside until the server is asked once more
	unsigned lacks_in_a_row;     // originals that did not come, since one did
	bool library_gave;           // one did, in this run
	bool library_away;           // so many that the server cannot read any
	unsigned strangers_in_a_row; // answers to confirm that were not Immich's
	bool strangers;              // so many that nothing more is asked
	bool may_not_read;           // the key's rights to read back were taken away in this run
	unsigned strange_sends;      // files in a row whose upload ended at a proxy's page
	bool said_where_to;          // what goes, and to whom
	bool tagging;                // one upsert of tags at a time: the server cannot stand more
	size_t inputs_open;
	bool durable;    // this turn's commit must come before what waits for it
	bool broken;     // the ledger cannot be written any more
	bool wake_http;  // something is for upload, at the end of this turn
	int64_t turn_ns; // steady: when the last turn began
	int64_t stop_ns; // steady: when the stop was seen; 0: it was not
	int64_t dirty_since_ns;
	unsigned given[UR_WIRE_PLACES]; // places on the wire that the next commit gives back
	size_t given_count;
	uint64_t token;
	uint64_t seed; // jitter
};

/* ---- step.c ------------------------------------------------------------------------------------ */

void ur_items_init(struct ur_items *items);
void ur_items_add(struct ur_items *items, struct ur_item *item);
struct ur_item *ur_items_take(struct ur_items *items);
/** The item's next step is `step`: it stands where the loop finds it, in this turn or the next. */
void ur_step_go(struct ur_coordinator *c, struct ur_item *item, enum ur_item_step step);
/** The same after a pause. */
void ur_step_rest(
	struct ur_coordinator *c, struct ur_item *item, enum ur_item_step step, int64_t pause_ms);
/** After so many failures, at least what the server asked for. */
int64_t ur_step_pause_ms(struct ur_coordinator *c, unsigned failures, int64_t asked_ms);
bool ur_step_is_stopping(const struct ur_coordinator *c);
/** Nothing more comes, and nobody moves: who stands aside, or waits for who does, is all that is left. */
bool ur_step_is_idle(const struct ur_coordinator *c);

/* ---- call.c ------------------------------------------------------------------------------------ */

void ur_call_submit(struct ur_coordinator *c, struct ur_request *request);
/** The item's own request, zeroed; NULL when memory is short (the file then fails). */
struct ur_request *ur_call_begin(struct ur_item *item);
/** One of the at most CALLS_MAX requests that items have out goes, or has come back. */
void ur_call_item(struct ur_coordinator *c, struct ur_request *call);
void ur_call_returned(struct ur_coordinator *c);
/** GET the file's asset; PUT `body`, which is copied.  False when memory is short. */
bool ur_call_get_asset(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file);
bool ur_call_put(struct ur_coordinator *c, struct ur_item *item, const char *path,
	const struct ur_text *body);
/** What the server said is wrong with the item's request, or why there was no answer; never NULL. */
const char *ur_call_why(struct ur_item *item);

/* ---- file.c: what a file becomes --------------------------------------------------------------- */

void ur_file_close(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *reason);
bool ur_file_is_open(const struct ur_file *file);
/** It is not what was looked at: waits for the next run, or has vanished. */
void ur_file_changed(const struct ur_item *item, struct ur_file *file, const char *why);
/**
 * The server's claim to have it is in doubt, and not yet for --suspect-wait: it is not even asked for
 * its bytes.  Sets when that is over.
 */
bool ur_file_is_doubtful(const struct ur_coordinator *c, struct ur_file *file);
/** A candidate of which the server has not been asked yet, or whose answer was not final. */
bool ur_file_is_to_ask(const struct ur_file *file);
/** The server has it, by all that we know. */
bool ur_file_is_delivered(const struct ur_file *file);
/** By a 201 to this row's own upload: the server's copy is another file than this one. */
bool ur_file_is_ours(const struct ur_file *file);
/** Its bytes are asked for once more while it stands aside. */
bool ur_file_asks_again(const struct ur_file *file);
bool ur_file_goes_away(const struct ur_coordinator *c, const struct ur_file *file);
/** What an earlier run knew of this very file, and not of another one under its name; NULL: nothing. */
const struct ur_record *ur_file_row_alike(const struct ur_file *file);
/** A timer's earlier run has said of it that it does not go as asked: it is counted. */
bool ur_file_was_told_of(const struct ur_coordinator *c, const struct ur_file *file);
/** It is closed, and has not arrived, or could not be taken away as asked. */
bool ur_file_is_in_trouble(const struct ur_file *file);
int64_t ur_file_settle_after_ns(const struct ur_coordinator *c);
/** Whoever sent it: an upload that has just been answered may still fail, and is not synced. */
bool ur_file_is_young(const struct ur_coordinator *c, const struct ur_file *file);
/** Its proof says that it cannot go, for longer than this run. */
void ur_file_fail(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *why);
/** "WHY (asset ID)", in the item's arena. */
const char *ur_file_with_id(struct ur_item *item, const char *format, const struct ur_file *file);
/** Asked for its proof and got none, which says nothing about it: it stays, and that is said. */
void ur_file_keep(
	struct ur_coordinator *c, struct ur_item *item, struct ur_file *file, const char *why);
/** Waits, as it should: nothing is odd about it. */
void ur_file_keep_quietly(struct ur_file *file, const char *why);

/**
 * True when `code` says that this process may not have more files open, or memory: nothing is wrong with
 * the file, which is closed and waits for the next run; said once.
 */
bool ur_file_close_starved(struct ur_coordinator *c, struct ur_file *file, int code);
/**
 * For how long what was sent of it may still be being stored, from when its sending began: the server's
 * time, and what the way there may have taken.
 */
int64_t ur_file_may_come_ns(const struct ur_coordinator *c, const struct ur_file *file);
/** Its place on the wire, before its first byte goes. */
void ur_file_take_wire(const struct ur_coordinator *c, struct ur_file *file, int64_t may_come_ns);
/** What goes of it may arrive from now on, whatever becomes of this process. */
void ur_file_note_gone(const struct ur_coordinator *c, struct ur_file *file, int64_t may_come_ns);
/**
 * How much longer what an earlier process was sending of these bytes may still arrive: `since` the youngest
 * sending of them, `first` the earliest.  Where no row tells of one, but a note does: both not begun, NULL.
 */
int64_t ur_file_left_ns(const struct ur_coordinator *c, struct ur_file *file,
	const struct ur_age *since, const struct ur_age *first);
/** Left alone by runs of a timer for as long as after so many tries. */
void ur_file_pause(struct ur_file *file, int tries);
/** It could not be sent: tried again in a later run, unless that would help nothing. */
void ur_file_close_failed(struct ur_file *file, bool for_good);
/** Nothing of this sending is on the server: what is doubted of an earlier one stays so. */
void ur_file_came_to_nothing(struct ur_file *file);
/** The last try came to nothing; so many in a row that ended at a stranger end the run. */
void ur_file_give_up(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file);

/* ---- under_way.c ------------------------------------------------------------------------------- */

/** Another file than this one, with its bytes. */
struct ur_file *ur_under_way_other(struct ur_coordinator *c, const struct ur_file *file);
bool ur_under_way_has(struct ur_coordinator *c, const struct ur_file *file);
/** From when it is wanted, or may have arrived, until it is known what became of it. */
void ur_under_way_add(struct ur_coordinator *c, struct ur_file *file);
/** Its bytes are no longer under way: who waited for them is asked for again. */
void ur_under_way_release(struct ur_coordinator *c, struct ur_file *file);
/** The item waits for `other`, which is another item's. */
void ur_under_way_wait(struct ur_item *item, struct ur_file *other);
/** Since question `number` such bytes (or some with the same stamp) were under way and are not. */
bool ur_under_way_was(struct ur_coordinator *c, const struct ur_file *file, uint32_t number);

/** What of the item is wanted, or on its way, waits for another run. */
void ur_under_way_close_wanted(struct ur_coordinator *c, struct ur_item *item, const char *why);

/* ---- outage.c ---------------------------------------------------------------------------------- */

/** Something says that the server may be gone: ask it, and hold everything until it answers. */
void ur_outage_doubt(struct ur_coordinator *c);
/**
 * True when the server asks to be left alone for longer than the run may wait: the run ends, and says
 * until when.
 */
bool ur_outage_is_sent_away(struct ur_coordinator *c, int status, int64_t asked_ms);
/**
 * The item's request about a link or a sidecar did not come off: true when it goes to `step` again,
 * after a pause; false when that would not help, or not any more.
 */
bool ur_outage_ask_later(struct ur_coordinator *c, struct ur_item *item, enum ur_item_step step);
/** Asks whether it is back, if it is time. */
void ur_outage_turn(struct ur_coordinator *c);
void ur_outage_answered(struct ur_coordinator *c);

/* ---- standstill.c ------------------------------------------------------------------------------ */

/** After each turn: the steps that items have taken so far, and the bytes that have moved. */
void ur_standstill_look(struct ur_coordinator *c, uint64_t steps, uint64_t bytes);

/* ---- quota.c ----------------------------------------------------------------------------------- */

/** True when it was closed: it does not fit into what is left. */
bool ur_quota_waits(const struct ur_coordinator *c, struct ur_file *file);
/** As far as is known before any was met: gigabytes are not sent to be refused. */
bool ur_quota_leaves_room(const struct ur_coordinator *c, const struct ur_file *file);
/** The server said so of this file, which waits. */
void ur_quota_met(struct ur_coordinator *c, struct ur_file *file);
void ur_quota_spend(struct ur_coordinator *c, int64_t bytes);
void ur_quota_answered(struct ur_coordinator *c);

/* ---- way.c ------------------------------------------------------------------------------------- */

enum ur_way_word {
	UR_WAY_OPEN,  // nothing is known against it
	UR_WAY_WAITS, // it was closed: as large as what was refused
	UR_WAY_PROBE, // it is the one that is tried, later: the item is way's
};
/** Whether the item's present file may be sent as one request. */
enum ur_way_word ur_way_of(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file);
/** The one that is tried, when all else is done. */
void ur_way_turn(struct ur_coordinator *c);
/** It was refused for its size, or went through. */
void ur_way_refused(struct ur_coordinator *c, const struct ur_file *file, int status);
void ur_way_took(struct ur_coordinator *c, const struct ur_file *file);

/* ---- book.c ------------------------------------------------------------------------------------ */

/** Writes the file's row, if it says anything else than before; a failure ends the run. */
void ur_book_file(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file);
/** True when this run has sent these bytes from this very path: it was named more than once. */
bool ur_book_has_sent(struct ur_coordinator *c, struct ur_item *item, const struct ur_file *file);
/** A plan would send these bytes, and has said so of this file; or of another one. */
void ur_book_planned(struct ur_coordinator *c, const struct ur_file *file);
bool ur_book_has_planned(
	struct ur_coordinator *c, const struct ur_item *item, const struct ur_file *file);
/** What is doubted about these bytes by other rows than the file's own. */
struct ur_ledger_doubt ur_book_doubt(struct ur_coordinator *c, const struct ur_file *file);
/** Its doubt is about to be replaced by another one: it is kept under its bytes' own name. */
void ur_book_keep_doubt(struct ur_coordinator *c, const struct ur_file *file);
/** The asset that our own upload of its bytes created; false: there is none, or the ledger is broken. */
bool ur_book_find_asset(
	struct ur_coordinator *c, const struct ur_file *file, struct ur_ledger_asset *ret);
void ur_book_asset(struct ur_coordinator *c, const struct ur_file *file);
/** Its asset is none of these bytes: they were not delivered, and nobody took them away there. */
void ur_book_forget_asset(struct ur_coordinator *c, const struct ur_file *file);
void ur_book_fail(struct ur_coordinator *c, int code, const struct ur_err *err);
/** What was booked is durable: what the wire knew of it is not needed any more. */
void ur_book_committed(struct ur_coordinator *c);

/* ---- judge.c: what the files of an item are to us; afterwards each is closed or a candidate ------ */

void ur_judge_item(struct ur_coordinator *c, struct ur_item *item);
/** At the end: what became of the sidecars follows from their pictures. */
void ur_judge_sidecars(struct ur_coordinator *c, struct ur_item *item);

/* ---- quiet.c ----------------------------------------------------------------------------------- */

/** What is cut off, and its group, waits for the rest of it. */
void ur_quiet_judge(struct ur_coordinator *c, struct ur_item *item);
/** Before the server is asked for bytes: what may not go yet, whatever it answers. */
void ur_quiet_hold(struct ur_coordinator *c, struct ur_item *item);
/** Settle found that it may not go yet. */
void ur_quiet_settled(struct ur_coordinator *c, struct ur_file *file);

/* ---- lack.c ------------------------------------------------------------------------------------ */

extern const char ur_lack_library_away[];
/** The original of the item's present file does not come: parked until it is known why. */
void ur_lack_park(struct ur_coordinator *c, struct ur_item *item);
/** One came: what was parked is judged. */
void ur_lack_gave(struct ur_coordinator *c);
/** Parked items whose time has come. */
void ur_lack_turn(struct ur_coordinator *c);
/** What the run as a whole has to say about the server's library: 0, or a failure. */
[[nodiscard]] int ur_lack_result(const struct ur_coordinator *c, struct ur_err *err);

/* ---- large.c: in chunks, by a gateway ---------------------------------------------------------- */

/** A file that goes in chunks. */
bool ur_large_is(
	const struct ur_coordinator *c, const struct ur_item *item, const struct ur_file *file);
/** Before the row is judged: is an upload of these bytes, or of what was here before, under way? */
void ur_large_recall(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file);
/** The server has these bytes, and an upload of them is known: true when the gateway has to tell. */
bool ur_large_claims(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file);
void ur_large_turn(struct ur_coordinator *c);
/** Now and then the ledger is told how far uploads have come. */
void ur_large_note(struct ur_coordinator *c);
/** Back from chunks: true when it ended as a direct request would, which deliver is to read. */
bool ur_large_result(struct ur_coordinator *c, struct ur_item *item);
/** The ledger cannot be written: false when chunks has to end it first. */
bool ur_large_hold_back(struct ur_coordinator *c, struct ur_item *item);
bool ur_large_leaves_room(const struct ur_coordinator *c);

/* ---- ask.c ------------------------------------------------------------------------------------- */

void ur_ask_turn(struct ur_coordinator *c);
void ur_ask_answered(struct ur_coordinator *c, struct ur_request *request);
bool ur_ask_is_question(const struct ur_coordinator *c, const struct ur_request *request);
void ur_ask_free(struct ur_coordinator *c);

/* ---- deliver.c --------------------------------------------------------------------------------- */

void ur_deliver_next(struct ur_coordinator *c, struct ur_item *item);
void ur_deliver_turn(struct ur_coordinator *c);
void ur_deliver_result(struct ur_coordinator *c, struct ur_item *item);

/* ---- link.c, amend.c --------------------------------------------------------------------------- */

void ur_link_next(struct ur_coordinator *c, struct ur_item *item);
void ur_link_answered(struct ur_coordinator *c, struct ur_item *item);
void ur_amend_next(struct ur_coordinator *c, struct ur_item *item);
void ur_amend_answered(struct ur_coordinator *c, struct ur_item *item);

/* ---- confirm.c --------------------------------------------------------------------------------- */

bool ur_confirm_is_due(const struct ur_coordinator *c, const struct ur_file *file);
/** The question that the put of `file` waits for. */
void ur_confirm_ask(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file);
void ur_confirm_answered(struct ur_coordinator *c, struct ur_item *item);

/* ---- handover.c -------------------------------------------------------------------------------- */

/** The next question about the item's proof; without one, what is proved goes to settle. */
void ur_handover_next(struct ur_coordinator *c, struct ur_item *item);
/** The next question about a group that stands aside, or what settle does with it now. */
void ur_handover_again(struct ur_coordinator *c, struct ur_item *item);
void ur_handover_settled(struct ur_coordinator *c, struct ur_item *item);

#endif
