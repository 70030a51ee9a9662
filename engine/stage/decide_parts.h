/**
 * decide_parts - what the parts of `decide` share.  Included by stage/decide*.c and its parts only.
 *
 *   Threads  decide's; ur_decide_answered() alone runs on http's
 */
#ifndef UR_STAGE_DECIDE_PARTS_H
#define UR_STAGE_DECIDE_PARTS_H

#include "engine/stage/decide.h"

#include "engine/base/filter.h"
#include "engine/immich/put.h"
#include "engine/net/proof.h"

#define UR_BUCKETS 4096u       // of files under way, by SHA-1
#define UR_STAMPS 65536u       // a stamp for each value of two bytes of it
#define UR_ASK_BATCH 2000u     // files in one question
#define UR_CALL_TRIES 5        // of one question about one file
#define UR_LARGE_MAX 8u        // large files on their way at once
#define UR_LARGE_MIN (1 << 20) // smaller files have no upload that could be known

/** A list of items, first in first out. */
struct ur_items {
	struct ur_item *first;
	struct ur_item **end;
	size_t count;
};

struct ur_question; // one bulk question under way

struct ur_decide {
	struct ur_run *run;
	struct ur_decide_wiring wiring;
	struct ur_ledger *ledger;
	struct ur_http *http;

	struct ur_items to_ask;
	struct ur_items to_send;  // wanted, waiting for a place in upload
	struct ur_items to_chunk; // the same, for a place in chunks
	struct ur_items to_call;  // link, amend, confirm: their next request is due
	struct ur_items to_again; // stand aside: asked once more, at once
	struct ur_items parked;   // their originals did not come: their fault, or the library's?
	struct ur_items resting;  // until item.due_ns
	struct ur_items after_commit;
	struct ur_file *under_way[UR_BUCKETS];
	struct ur_filter *planned; // the bytes that this plan would send; NULL: no plan
	int64_t unanswered_ns; // steady: since when no question was answered; 0: the last one was
	uint32_t questions;    // asked so far
	uint32_t stamps[UR_STAMPS];   // the last question when such bytes stopped being under way
	struct ur_question *question; // is out
	struct ur_question *answered; // being judged, and those after it

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
	int64_t dirty_since_ns;
	uint64_t token;

	/* The server is away (or in doubt): nothing is asked of it but whether it is back. */
	bool away;
	bool away_told;
	bool away_asking;
	int64_t away_since_ns;
	int64_t away_next_ns;
	int64_t away_pause_ms;
	struct ur_request away_call;

	/* The user's quota: what is left when it was last asked, -1: no quota met. */
	int64_t quota_left;
	bool quota_asking;
	bool quota_full;
	struct ur_request quota_call;
	uint64_t seed; // jitter
};

void ur_items_init(struct ur_items *items);
void ur_items_add(struct ur_items *items, struct ur_item *item);
struct ur_item *ur_items_take(struct ur_items *items);

/* decide.c */
/** Moves the item to `step`; what the step needs happens in this turn or the next. */
void ur_decide_go(struct ur_decide *decide, struct ur_item *item, enum ur_item_step step);
/** The same after a pause. */
void ur_decide_rest(
	struct ur_decide *decide, struct ur_item *item, enum ur_item_step step, int64_t pause_ms);
/** Half to whole of base·2^tries, at most a minute, at least what the server asked for. */
int64_t ur_decide_pause(struct ur_decide *decide, int tries, int64_t asked_ms);
/**
 * True when the server asks to be left alone for longer than the run may wait: the run ends, and says
 * until when.
 */
bool ur_decide_is_sent_away(struct ur_decide *decide, int status, int64_t asked_ms);
/** Something says that the server may be gone: ask it, and hold everything until it answers. */
void ur_decide_doubt(struct ur_decide *decide);
/** True when a call ended in a way that says nothing about the file, only about the line. */
bool ur_decide_is_line(const struct ur_request *request);
void ur_decide_submit(struct ur_decide *decide, struct ur_request *request);
/** The item's own request, zeroed; NULL when memory is short (the file then fails). */
struct ur_request *ur_decide_call(struct ur_item *item);
void ur_decide_answered(struct ur_request *request);

/* judge.c: what the files of an item are to us; afterwards each is closed or a candidate. */
void ur_judge_item(struct ur_decide *decide, struct ur_item *item);
/**
 * The server's claim to have it is in doubt, and not yet for --suspect-wait: it is not even asked for
 * its bytes.  Sets when that is over.
 */
bool ur_judge_is_doubtful(const struct ur_decide *decide, struct ur_file *file);
void ur_judge_close(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *reason);
/** It is not what was looked at: waits for the next run, or has vanished. */
void ur_judge_changed(const struct ur_item *item, struct ur_file *file, const char *why);
bool ur_judge_is_open(const struct ur_file *file);
/** At the end: what became of the sidecars follows from their pictures. */
void ur_judge_sidecars(struct ur_decide *decide, struct ur_item *item);

/* ask.c */
/** A candidate of which the server has not been asked yet, or whose answer was not final. */
bool ur_ask_is_due(const struct ur_file *file);
void ur_ask_turn(struct ur_decide *decide);
void ur_ask_answered(struct ur_decide *decide, struct ur_request *request);
bool ur_ask_is_question(const struct ur_decide *decide, const struct ur_request *request);
void ur_ask_free(struct ur_decide *decide);
/** The file's bytes are no longer under way: who waited for them is asked for again. */
void ur_ask_release(struct ur_decide *decide, struct ur_file *file);

/* deliver.c */
void ur_deliver_next(struct ur_decide *decide, struct ur_item *item);
void ur_deliver_turn(struct ur_decide *decide);
void ur_deliver_result(struct ur_decide *decide, struct ur_item *item);
/** True when it was closed: it does not fit into what is left. */
bool ur_deliver_waits_for_quota(const struct ur_decide *decide, struct ur_file *file);
void ur_deliver_close_wanted(struct ur_decide *decide, struct ur_item *item, const char *why);
void ur_deliver_quota_answered(struct ur_decide *decide);

/* decide_large.c */
/** A file that goes in chunks. */
bool ur_large_is(
	const struct ur_decide *decide, const struct ur_item *item, const struct ur_file *file);
/** Before the row is judged: is an upload of these bytes, or of what was here before, under way? */
void ur_large_recall(struct ur_decide *decide, struct ur_item *item, struct ur_file *file);
/** The server has these bytes, and an upload of them is known: true when the gateway has to tell. */
bool ur_large_claims(struct ur_decide *decide, struct ur_item *item, struct ur_file *file);
void ur_large_turn(struct ur_decide *decide);
/** Now and then the ledger is told how far uploads have come. */
void ur_large_note(struct ur_decide *decide);
void ur_large_result(struct ur_decide *decide, struct ur_item *item);
/** The ledger cannot be written: false when chunks has to end it first. */
bool ur_large_hold_back(struct ur_decide *decide, struct ur_item *item);
bool ur_large_leaves_room(const struct ur_decide *decide);

/* confirm.c */
bool ur_confirm_is_due(const struct ur_decide *decide, const struct ur_file *file);
void ur_confirm_next(struct ur_decide *decide, struct ur_item *item);
void ur_confirm_answered(struct ur_decide *decide, struct ur_item *item);
void ur_confirm_settled(struct ur_decide *decide, struct ur_item *item);
/** The next question about a group that stands aside, or what settle does with it now. */
void ur_confirm_again(struct ur_decide *decide, struct ur_item *item);
/** Parked items whose time has come. */
void ur_confirm_turn(struct ur_decide *decide);
/** What the run as a whole has to say about the server's library: 0, or a failure. */
[[nodiscard]] int ur_confirm_result(const struct ur_decide *decide, struct ur_err *err);

/* amend.c */
void ur_link_next(struct ur_decide *decide, struct ur_item *item);
void ur_link_answered(struct ur_decide *decide, struct ur_item *item);
void ur_amend_next(struct ur_decide *decide, struct ur_item *item);
void ur_amend_answered(struct ur_decide *decide, struct ur_item *item);

/* decide_quiet.c */
/** What is cut off, and its group, waits for the rest of it. */
void ur_quiet_judge(struct ur_decide *decide, struct ur_item *item);
/** Before the server is asked for bytes: what may not go yet, whatever it answers. */
void ur_quiet_hold(struct ur_decide *decide, struct ur_item *item);
/** Settle found that it may not go yet. */
void ur_quiet_settled(struct ur_decide *decide, struct ur_file *file);

/* book.c */
/** Writes the file's row, if it says anything else than before; a failure ends the run. */
void ur_book_file(struct ur_decide *decide, struct ur_item *item, struct ur_file *file);
/** True when this run has sent these bytes from this very path: it was named more than once. */
bool ur_book_has_sent(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file);
/** A plan would send these bytes, and has said so of this file; or of another one. */
void ur_book_planned(struct ur_decide *decide, const struct ur_file *file);
bool ur_book_has_planned(
	struct ur_decide *decide, const struct ur_item *item, const struct ur_file *file);
void ur_book_asset(struct ur_decide *decide, const struct ur_file *file);
void ur_book_fail(struct ur_decide *decide, int code, const struct ur_err *err);

#endif
