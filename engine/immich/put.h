/**
 * put - how a file gets to the server and when it is proved to be there.  Pure: decisions only.
 *
 *     NEW → CHECK ─────────── there ───────────┐
 *             │ ▲                               ▼
 *       absent│ │ nothing was sent            ASSET → BYTES → PROVED ⇄ ASIDE
 *             ▼ │                               ▲
 *            SEND ─────────── 201 ──────────────┘        any answer that stands: → OVER
 *             │ ▲
 *         lost│ │ absent, and nothing can come any more
 *             ▼ │
 *            LOST ─────────── there, in doubt ──▶ ASSET
 *
 * Importer and gateway both run on it.  ur_put_judge() is the one table of what an answer means,
 * ur_put_step() the one place where a delivery goes on.  What differs between the two is data: struct
 * ur_put_rules.  No clock, no disk, no socket in here: that a time is over is a part of an answer.
 *
 * An unknown is a no, and no verdict either.  A page of a proxy, a redirect, a key whose rights were
 * taken back and a line that broke say nothing about a file.  Only Immich's own word does
 * (ur_immich_is_own_word); what speaks for itself needs no mark: a 206 of the right total, a whole body
 * that was counted, and that an upload was taken, for the proof is asked for in any case.
 *
 *     whose word   CHECK LOST         SEND                    ASSET              BYTES ASIDE
 *     none came    later              later, perhaps there    later              later
 *     a page       stranger           stranger, perhaps there stranger           stranger
 *     200 201 206  read, or stranger  read, or perhaps there  read, or stranger  counted, or missed
 *     400          rejected           quota, or refused       gone               missed
 *     401          key                key                     key                key
 *     403          key                key                     rights             rights
 *     404          rejected           rejected                gone               missed
 *     413          rejected           too large, whoever says later              later
 *     416          rejected           rejected                later              missed
 *     408 423-429  later              later, perhaps there    later              later
 *     500          later              later, perhaps there    later              missed
 *     5xx          later              later, perhaps there    later              later
 *
 * "Perhaps there": all of the body had gone out, or a later step failed: servers of 2.x and early 3.x
 * keep the row of an upload that failed.  So the server is asked by checksum before anything is sent
 * again, and what it then claims to have is in doubt.
 *
 *   Owner    plain values in the caller's structs; rules outlive the puts that run on them
 *   Units    bytes; tries count answers in a row that brought nothing
 *   Errors   none: every answer has a meaning
 *   Threads  a put belongs to one thread at a time
 *   Source   answers of real servers of 2.5.6 and 3.1.0
 */
#ifndef UR_IMMICH_PUT_H
#define UR_IMMICH_PUT_H

#include "engine/net/immich.h"

#include <stdbool.h>
#include <stdint.h>

/** Read downwards: this is the life of a delivery.  The comment says what is waited for. */
enum ur_put_state {
	UR_PUT_NEW,    // to be started
	UR_PUT_CHECK,  // POST bulk-upload-check: does the server have these bytes?
	UR_PUT_SEND,   // POST /api/assets: the bytes, as one request
	UR_PUT_LOST,   // CHECK once more: what may have arrived, did it?
	UR_PUT_ASSET,  // GET the asset: promise 1 (a)
	UR_PUT_BYTES,  // GET its original: promise 1 (b)
	UR_PUT_PROVED, // final, unless the bytes are asked for once more
	UR_PUT_ASIDE,  // GET its original again, while the file stands in the staging folder
	UR_PUT_OVER,   // final for this time: `verdict` says why
	UR_PUT_STATES,
};

/** What an answer says. */
enum ur_put_verdict {
	UR_PUT_NOTHING, // nothing was answered yet
	/* CHECK, LOST */
	UR_PUT_ABSENT,
	UR_PUT_THERE,
	/* CHECK, LOST, ASSET */
	UR_PUT_TRASHED,
	/* SEND */
	UR_PUT_CREATED, // a 201 in the server's own words
	UR_PUT_CLAIMED, // it names an asset, and that may be what it kept of an upload that failed
	UR_PUT_QUOTA,   // no room for this user now
	UR_PUT_TOO_LARGE, // for the server, or for what stands before it
	UR_PUT_REFUSED,   // a 400: not a thing that the server takes
	/* ASSET */
	UR_PUT_HOLDS, // (a)
	UR_PUT_GONE,  // Immich knows none of this id
	UR_PUT_OTHER_OWNER,
	UR_PUT_EXTERNAL, // in an external library: its file may be this very one
	/* ASSET, BYTES, ASIDE */
	UR_PUT_OTHER_BYTES, // (of BYTES: all of them came, from Immich, and they are others)
	/* BYTES, ASIDE */
	UR_PUT_GIVEN,  // (b)
	UR_PUT_MISSED, // Immich names the asset and does not give these bytes
	/* any question */
	UR_PUT_LATER,    // nobody could be asked, or not now
	UR_PUT_STRANGER, // somebody before Immich answered: no word about the file
	UR_PUT_REJECTED, // Immich does not take the request: ours, or another version's
	UR_PUT_KEY,      // Immich does not know this key, or it may not do that
	UR_PUT_RIGHTS,   // the key may not be shown the proof
	UR_PUT_UNREAD,   // SEND: our own side failed before all had gone out: the disk, memory
	UR_PUT_VERDICTS,
};

/** What came back for the question of a state; filled in as far as the question goes. */
struct ur_put_answer {
	enum ur_put_state asked;
	int result; // of the request: 0 when an HTTP answer came
	int status;
	bool own;      // ur_immich_is_own_word()
	bool readable; // its body says what was asked for
	/* CHECK, LOST */
	bool there;
	bool trashed;
	bool may_come; // LOST: the time in which it may still arrive is not over
	/* SEND */
	bool body_gone; // the last byte of the request was handed to the connection
	bool duplicate; // it says so
	bool quota;     // a 400 about that
	/* ASSET */
	enum ur_proof proof; // ur_immich_prove()
	/* BYTES, ASIDE */
	int64_t size;  // of the file; -1 where it is not known (a sidecar's picture)
	int64_t total; // of Content-Range; -1 without
	uint64_t got;  // bytes of the body that came
	bool whole;    // all bytes were asked for
	bool other;    // all of them were compared, and they are others
};

/** What this answer means for this question, whoever asks; see the table above. */
enum ur_put_verdict ur_put_judge(const struct ur_put_answer *answer);
/** SEND: the server may have it all the same, in spite of an answer that says nothing or no. */
bool ur_put_may_have_arrived(const struct ur_put_answer *answer);

/**
 * SEND: it may still be being stored, so that for a time even "absent" says nothing: nobody answered, or
 * a proxy that did not want to wait.  A proxy's own 500 to 503 say that the server is not at it; what it
 * says beyond them says nothing that is known.
 */
bool ur_put_may_come(const struct ur_put_answer *answer);

/** How one who delivers goes on: data, not code. */
struct ur_put_rules {
	const char *name;
	enum ur_put_state unsent;      // nothing of it can have arrived: SEND again, or CHECK first
	enum ur_put_state claimed;     // a duplicate of what it had just not known: ASSET, or OVER
	enum ur_put_state gone;        // its asset: CHECK, as if it had not been sent, or OVER
	enum ur_put_state full;        // quota: CHECK, for ever, or OVER
	enum ur_put_state rejected;    // 4xx but 400, and what is too large: CHECK, or OVER
	enum ur_put_state unread;      // our own side failed: CHECK, or OVER
	enum ur_put_state unshown;     // no bytes came: BYTES again, or ASSET first
	unsigned tries[UR_PUT_STATES]; // answers in a row that may pass; 0: for as long as it takes
	unsigned strangers;            // the same for those of strangers, where it ends at all
	unsigned misses;               // and for bytes that do not come; 0: for as long as it takes
	bool takes_unmarked_201;       // without the server's mark it is a 201 all the same
};
/** One run: what does not pass in it waits for the next.  `tries[UR_PUT_SEND]` is an option's. */
extern const struct ur_put_rules ur_put_importer;
/** A daemon with the only copy: nothing but a refusal ends it. */
extern const struct ur_put_rules ur_put_gateway;

struct ur_put {
	const struct ur_put_rules *rules;
	enum ur_put_state state;
	enum ur_put_verdict verdict; // of the last answer
	enum ur_put_verdict sent;    // of the last answer to SEND
	unsigned failures;           // answers in a row that brought nothing, to this question
	unsigned sends;              // that failed
	bool ours;                   // a 201 of the server's own words to this very body
	bool doubted; // what the server claims may be what it kept of an upload that failed
};

/**
 * A delivery begins, or goes on where an earlier process or a wait left it: at CHECK, or at LOST or
 * ASSET, which are what can be remembered of it, as is a doubt.
 */
void ur_put_start(
	struct ur_put *put, const struct ur_put_rules *rules, enum ur_put_state from, bool doubted);
/**
 * The answer to the question of the present state, `answer->asked`: `verdict` and `state` become what
 * follows.  The same state again, or SEND after SEND, means: later.  Returns the new state.
 */
enum ur_put_state ur_put_step(struct ur_put *put, const struct ur_put_answer *answer);
/**
 * CHECK or LOST, and an upload of these bytes is known that is gone on with, whatever the server has:
 * only who keeps that upload can tell how they came there.
 */
void ur_put_go_on(struct ur_put *put);
/** PROVED, and the bytes are to be asked for once more. */
void ur_put_aside(struct ur_put *put);
const char *ur_put_state_name(enum ur_put_state state);

/* ---- a lack of bytes --------------------------------------------------------------------------- */

#define UR_LIBRARY_FAILURES 5   // originals in a row that do not come: it is the library, not they
#define UR_MISSED_APART_S 86400 // between the first and the last look that finds no bytes

/** What becomes of one asset of which Immich gives no bytes. */
enum ur_lack {
	UR_LACK_OPEN,    // no other has given any since: it may be the library that is away
	UR_LACK_LIBRARY, // so many in a row: the server cannot read its library, none is judged
	UR_LACK_SUSPECT, // it alone: asked again, later
	UR_LACK_BROKEN,  // it alone, for the second time at least a day after the first
};
/**
 * `in_a_row`: originals that did not come, this one included, since one did; `gave`: another one did
 * meanwhile; `apart_s`: how long ago this one was missed first, for certain.
 */
enum ur_lack ur_put_lack(unsigned in_a_row, bool gave, int64_t apart_s);

/**
 * How long an asset is left alone before it is believed, of which `passed_ms` are over: an upload that
 * has just been answered may still fail.  Below 0 what has passed is not known.
 */
int64_t ur_put_wait_ms(
	bool doubted, int64_t settle_after_ms, int64_t suspect_wait_ms, int64_t passed_ms);

/**
 * How long bytes whose sending nobody saw end may still arrive, from its beginning on: as long as they
 * take on a slow way, or with a limit of ours (`limit_bytes_s`; 0: none) on a slower one, and until the
 * server would have answered.
 */
int64_t ur_put_arrival_ms(int64_t answer_wait_ms, uint64_t size, uint64_t limit_bytes_s);

#endif
