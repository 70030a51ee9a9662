/**
 * transfer - the life of one resumable upload, on the sending side.  Pure: decisions only.
 *
 *     CLEAR → RELATED → CREATE → RECORD → HASH ⇄ SEND → ASK ⇄ WAIT → over
 *                         LOCATE ──────────▲   ▲ │        what became of it
 *                            ▲                 └─┘ a chunk
 *                            └── REST ◀── a lost line, 5xx, 409 …
 *
 * Whoever owns a transfer does what begin() asks for and tells the outcome by ur_transfer_step().
 * No clock, no disk, no socket in here: time is an outcome too.
 *
 *   Owner    the transport and the pace outlive the transfer; a pace is shared by all transfers to
 *            one gateway, and belongs to their thread
 *   Units    bytes, ms
 *   Errors   none: `end` says how it went, `why` in which words
 *   Source   tus 1.0.0; 413 is a proxy's, and says that a chunk is too large for it
 */
#ifndef UR_NET_TRANSFER_H
#define UR_NET_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#define UR_TRANSFER_CHUNK_MIN (UINT64_C(1) << 20)
#define UR_TRANSFER_CHUNK_MAX (UINT64_C(128) << 20)
#define UR_TRANSFER_RESTS_MAX 6      // failures in a row without a byte more
#define UR_TRANSFER_MISMATCHES_MAX 4 // of one chunk's checksum
#define UR_TRANSFER_FAST_MS 2000     // a chunk that takes less may be larger
#define UR_TRANSFER_WHY_MAX 400

/** Read downwards: this is the life of an upload.  The comment says what is waited for. */
enum ur_transfer_state {
	UR_TRANSFER_NEW,     // to be started
	UR_TRANSFER_CLEAR,   // DELETE: an upload that nobody goes on with
	UR_TRANSFER_RELATED, // POST:   the sidecar, an upload of its own
	UR_TRANSFER_CREATE,  // POST:   the address of the upload
	UR_TRANSFER_RECORD,  // ledger: the address is durable
	UR_TRANSFER_LOCATE,  // HEAD:   how many bytes are durable there
	UR_TRANSFER_HASH,    // disk:   the checksum of the next chunk
	UR_TRANSFER_SEND,    // PATCH:  the new offset
	UR_TRANSFER_REST,    // timer:  after a failure that may pass
	UR_TRANSFER_ASK,     // GET:    what became of it
	UR_TRANSFER_WAIT,    // timer:  it is on its way to the server
	UR_TRANSFER_DROP,    // DELETE: the end stands already
	UR_TRANSFER_OVER,    // final:  `end` says how
	UR_TRANSFER_STATES,
};

enum ur_transfer_end {
	UR_TRANSFER_OPEN,
	UR_TRANSFER_CREATED,   // the server stored it, and said so by a 201
	UR_TRANSFER_DUPLICATE, // the server has it, without a 201 of ours
	UR_TRANSFER_REFUSED, // the server does not want it; `status` as if it had been asked directly
	UR_TRANSFER_CHANGED,  // the file is not the one that was probed
	UR_TRANSFER_UNREAD,   // the file cannot be read; `code`
	UR_TRANSFER_LATER,    // every byte is there, and the server has not stored it yet
	UR_TRANSFER_AWAY,     // no answer for long: what is there stays
	UR_TRANSFER_UNUSABLE, // this gateway does not take it: to be sent another way
	UR_TRANSFER_FAILED,   // two uploads of it came to nothing
	UR_TRANSFER_NEEDLESS, // the server got it from somebody else meanwhile
	UR_TRANSFER_LOST,     // the server has it, and who brought it cannot be told any more
	UR_TRANSFER_STOPPED,
};

/** What URL/status says. */
enum ur_transfer_told {
	UR_TOLD_NOTHING,
	UR_TOLD_RECEIVING,
	UR_TOLD_COMPLETE,
	UR_TOLD_BROKEN,
	UR_TOLD_CREATED,
	UR_TOLD_DUPLICATE,
	UR_TOLD_REFUSED,
};

struct ur_transfer_outcome {
	int result; // 0, or why there was no answer, or the disk's failure; -ESTALE: changed
	int status; // HTTP
	bool own;   // it says that it speaks tus: the gateway's word, and no page before it
	bool has_offset;
	uint64_t offset;
	int64_t retry_ms;           // Retry-After, -1 without
	int64_t took_ms;            // SEND
	bool early;                 // CREATE: the server had it
	enum ur_transfer_told told; // ASK
	int told_status;   // ASK: what the server answered to the gateway, 0 when it is not known
	const char *words; // for people, may be NULL
};

/** How large chunks are, to one gateway. */
struct ur_transfer_pace {
	uint64_t chunk;
	uint64_t ceiling; // what a 413 taught; UR_TRANSFER_CHUNK_MAX without
	bool learned;     // the ceiling moved: to be remembered
};
/** `ceiling` 0: nothing is known. */
void ur_transfer_pace_init(struct ur_transfer_pace *pace, uint64_t chunk, uint64_t ceiling);

struct ur_transfer;

struct ur_transport {
	/** Does what the state's comment says; the outcome comes by ur_transfer_step(), never at once. */
	void (*begin)(struct ur_transport *transport, struct ur_transfer *t,
		enum ur_transfer_state state);
};

struct ur_transfer_spec {
	uint64_t length;
	bool has_address; // an earlier run made the upload
	bool clear;       // another upload is to be removed first
	bool related;     // a sidecar goes with it
	bool there;       // the server says that it has these bytes
	int64_t answer_wait_ms;
	uint64_t seed; // of the jitter
};

struct ur_transfer {
	struct ur_transport *transport;
	struct ur_transfer_pace *pace;
	struct ur_transfer_spec spec;
	enum ur_transfer_state state;
	enum ur_transfer_end end;
	bool has_address;
	bool renewed;        // one upload was forgotten or broken: there is no third
	uint64_t offset;     // the gateway has made durable
	uint64_t chunk;      // bytes of the present one
	unsigned rests;      // in a row
	unsigned mismatches; // in a row
	int64_t rest_ms;     // what REST and WAIT are to last
	unsigned polls;
	int64_t waited_ms; // since the last byte
	int64_t asked_ms;  // Retry-After of the last failure, -1 without
	enum ur_transfer_state after_rest;
	int status;
	int code;
	char why[UR_TRANSFER_WHY_MAX];
};

void ur_transfer_start(struct ur_transfer *t, struct ur_transport *transport,
	struct ur_transfer_pace *pace, const struct ur_transfer_spec *spec);
void ur_transfer_step(struct ur_transfer *t, const struct ur_transfer_outcome *out);
const char *ur_transfer_state_name(enum ur_transfer_state state);

/* ---- addresses --------------------------------------------------------------------------------- */

#define UR_ADDRESS_MAX 1024
/**
 * What a Location means, as what is remembered of it: behind `base` when it lies there ("4f1c…"),
 * else a path from the origin's root ("/other/4f1c…").  `base` is the gateway's, with its scheme,
 * and ends in a slash.  -EXDEV: another origin; -EBADMSG: no address, or one with a question, a
 * user or a fragment, which might hold a secret.
 */
[[nodiscard]] int ur_address_read(const char *location, const char *base, char ret[UR_ADDRESS_MAX]);
/** The whole URL of a remembered address, below today's `base`; false when it has no room. */
[[nodiscard]] bool ur_address_write(
	const char *address, const char *base, const char *tail, char ret[UR_ADDRESS_MAX]);

#endif
