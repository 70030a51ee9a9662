/**
 * item - what flows through the stages: a group of files that travel together.
 *
 *     source → scan → probe ─────▶ coordinator ⇄ upload
 *                ▲                        ⇅
 *                └──── empty items ──── settle
 *
 * A picture, its sidecar, its live movie, its RAW twin: one stem in one directory, one item.  One
 * stage owns an item at a time; each field names the stage that sets it and is constant afterwards,
 * but for what the coordinator learns.  Items come from a fixed pool, so the whole run is bounded.
 */
#ifndef UR_ITEM_H
#define UR_ITEM_H

#include "engine/base/arena.h"
#include "engine/immich/put.h"
#include "engine/ledger/ledger.h"
#include "engine/media/hash.h"
#include "engine/media/kind.h"
#include "engine/media/meta.h"
#include "engine/media/sidecar.h"
#include "engine/net/immich.h"
#include "engine/net/transfer.h"
#include "engine/source/folder.h"
#include "engine/source/removal.h"

#include <errno.h>
#include <stdatomic.h>

#define UR_ITEM_FILES 16   // files of one stem; what is beyond makes another item
#define UR_POOL_ITEMS 4096 // what a run holds at once; also how many sends can be under way
#define UR_NONE (-1)
#define UR_SETTLE_GONE (-ESRCH)        // settle_result: somebody else took it away
#define UR_SETTLE_STUCK (-EINPROGRESS) // settle_result: it stands in the staging folder
#define UR_RETRY_FIRST_S INT64_C(300)  // between a run that failed with a file and the next
#define UR_RETRY_DOUBLINGS 6
#define UR_AGAIN_FIRST_S INT64_C(3600) // the same, of what the server refused for good
#define UR_AGAIN_DOUBLINGS 7

/** What became of a file in this run: the summary counts these. */
enum ur_outcome {
	UR_OUTCOME_OPEN,
	UR_OUTCOME_SENT,
	UR_OUTCOME_PRESENT,   // the server had it, or got it in an earlier run
	UR_OUTCOME_DUPLICATE, // the same bytes as another file of this run
	UR_OUTCOME_REFUSED,
	UR_OUTCOME_FAILED,
	UR_OUTCOME_WAITING,
	UR_OUTCOME_VANISHED, // not found after all
	UR_OUTCOMES,
};

/** A large file's resumable upload; decide and chunks hand it to and fro with the item. */
struct ur_resume {
	/* decide */
	char address[UR_ADDRESS_MAX]; // chunks: of a new one; "" without
	char old[UR_ADDRESS_MAX];     // of what the file was before: to be removed
	uint64_t about;               // chunks: what else the upload says of the file, hashed
	int64_t at_ns;                // wall: when it last got on
	bool there;                   // the server says that it has these bytes
	int recorded;                 // 0: the address is durable
	uint64_t recorded_offset;

	/* chunks */
	bool recording;          // it comes back only for its address to become durable
	_Atomic uint64_t offset; // durable at the gateway; decide looks on
	enum ur_transfer_end end;
	int status;
	int64_t retry_ms; // what the last answer asked for, -1 without
};

struct ur_file {
	/* scan */
	const char *name;            // bytes of the directory entry
	enum ur_class class;         // by the name's extension, as the server judges
	struct ur_identity identity; // probe: of the descriptor that was read
	bool through_link;           // by a symbolic link: never removed
	int error;                   // scan or probe: why it could not be read, negative errno
	bool young;                  // not quiet for long enough
	bool later;                  // its next try is not due
	bool unchanged;        // the ledger's row is about this very file, and can be believed
	struct ur_record *row; // the ledger's row, NULL when there is none
	struct ur_age quiet;   // probe: since when it is as it is

	/* probe */
	bool fresh; // hashed in this run
	bool hashed;
	bool remembered;
	enum ur_writers writers; // asked where something may be removed, or must be quiet
	enum ur_ending ending;
	bool cold; // large, and not in memory before we read it: nor need it be afterwards
	uint64_t edges;
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	const struct ur_kind *kind;
	enum ur_judgement judgement;
	const char *note;     // why it is refused, or what is odd about it
	struct ur_meta *meta; // NULL when nothing asked for it

	/* decide */
	int sidecar;     // media: index of the sidecar that goes with it, or UR_NONE
	int movie;       // still: index of its live movie; movie: UR_NONE
	int still;       // live movie: index of its still, or UR_NONE
	unsigned owners; // sidecar: bits of the files it belongs to
	enum ur_state state;
	enum ur_outcome outcome;
	const char *reason;
	char asset[UR_ASSET_ID];
	bool decided;   // the question is answered
	bool waits;     // for another file with the same bytes
	bool there;     // the server had it when asked
	bool created;   // by our 201: in this run or an earlier one
	bool now_sent;  // by our 201 in this run
	bool counted;   // against --limit
	bool travelled; // sidecar: with all its owners, each answered 201
	bool for_good;
	bool must_confirm; // a suspect whose time has come
	bool confirmed;    // asked and answered in this run
	const char *stays; // it is proved, and stays all the same: why
	bool ask_again;    // not by our own 201: asked once more while it stands aside
	bool given_again;  // and its bytes came
	bool not_now;      // cannot be confirmed in this run: kept
	bool linked;       // still: its movie was linked, or Immich would not have it
	bool link_waits;   // still: nobody said no: the next run links it, if both are here
	bool owes_link;    // movie: an earlier run sent it, and ended before it was linked
	bool amended;      // picture: its sidecar's facts were set, or that was tried
	bool warn;         // all went well but for the reason
	bool accepted;     // somebody said that these bytes, which look cut off, are all there are
	bool told;         // it was named in an earlier run: it is counted
	bool tell;         // it is named in this run
	bool said;         // … for many at once, and not of each
	bool trouble;      // it could not be delivered, or not be taken away as asked
	struct ur_age
		there_since; // since when we know that the server names an asset with these bytes
	struct ur_age doubt_since; // since when its claim to have them is in doubt
	int tries;                 // to send it that failed, in all runs
	int failed_before;         // … of those, in runs that gave up
	struct ur_put put;         // where its delivery stands
	int64_t lost_until_ns;     // steady: how long a lost answer is asked after
	unsigned wire;             // its place there, until what became of it is in the ledger
	int64_t sending_ns;
	int64_t delivered_ns;
	int64_t confirmed_ns;
	int64_t settled_ns;
	int64_t next_ns;
	char staged[24];
	uint64_t booked;            // what its row says, hashed; 0: nothing was written yet
	struct ur_resume *resume;   // in the arena; NULL: it goes as one request
	bool whole;                 // not in chunks: no gateway takes it
	struct ur_file *next_same;  // decide: another file under way in the same bucket
	struct ur_item *same_items; // decide: items that wait for these bytes
	struct ur_item *item;

	/* upload */
	int send_result; // 0: an answer came
	int send_status;
	bool send_own;      // in Immich's own words
	bool send_readable; // it names an asset
	bool send_duplicate;
	bool send_body_gone;
	bool send_quota;
	bool send_changed;     // the file is not the one that was probed
	int64_t send_retry_ms; // Retry-After, -1 without
	const char *send_why;

	/* settle */
	int settle_result;   // see settle.h
	bool settle_renamed; // it has been in the staging folder: its ctime is another one
	const char *settle_why;
};

enum ur_item_step { // where decide is with it
	UR_STEP_NEW,
	UR_STEP_ASK,     // in a question by checksum
	UR_STEP_SAME,    // waits for another item's files
	UR_STEP_SEND,    // upload has it
	UR_STEP_LARGE,   // chunks has it
	UR_STEP_REST,    // waits for a time
	UR_STEP_LINK,    // a live movie is being linked
	UR_STEP_AMEND,   // a sidecar's facts are being set
	UR_STEP_CONFIRM, // the server is asked for its bytes
	UR_STEP_PARKED,  // they did not come: until it is known whose fault that is
	UR_STEP_SETTLE,  // settle has it
	UR_STEP_AGAIN,   // it stands aside, and the server is asked once more
	UR_STEP_DONE,
};

/** What settle does with the files of an item that have a name in the staging folder. */
enum ur_settle_do {
	UR_SETTLE_ASIDE, // stands them aside and proves them; then goes on unless one is asked for again
	UR_SETTLE_REMOVE, // stand aside: they go
	UR_SETTLE_BACK,   // stand aside: all back to their names
};

struct ur_item {
	struct ur_item *next;
	struct ur_dir *dir;
	struct ur_arena arena;
	struct ur_file *files;
	int count;

	/* decide */
	enum ur_item_step step;
	int current;      // the file that is being sent
	int cursor;       // the next file to look at in the present step
	int64_t due_ns;   // steady: UR_STEP_REST ends
	int64_t since_ns; // steady: when the present step began
	enum ur_item_step after_rest;
	int call_tries;          // failures of the present step's requests (not of a proof)
	int call_phase;          // link, amend: which request of the step
	int64_t call_date_ns;    // the server's clock, as its last answer says; 0: it does not
	struct ur_request *call; // in the arena
	void *call_state;        // of the step that asks
	unsigned together[UR_ITEM_FILES]; // bits of the files that go or stay with each
	enum ur_settle_do settle_do;
	bool counts_aside; // among those that stand aside to be asked for again
	bool split;        // there are more files of this stem than an item holds

	/* settle */
	bool stands_aside; // all that were to go are proved, and wait for the word to go
	void *aside;       // settle's own, while they do
};

#endif
