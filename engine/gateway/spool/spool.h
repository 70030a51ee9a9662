/**
 * spool - uploads on disk: bytes, how far they are durable, and what became of them.
 *
 *     SPOOL/clock        two slots, written in turn: the layout's version, the time it has run
 *     SPOOL/ID/info      JSON, written once: owner, metadata, length, when
 *     SPOOL/ID/bytes     what has arrived
 *     SPOOL/ID/state     two slots, written in turn: offset, length, the SHA-1's running state
 *     SPOOL/ID/outcome   two blocks of JSON, written in turn: what immich-server said, and how sure
 *                        it is; in place, so that a full disk keeps nothing from making room
 *     SPOOL/.new-ID      one that is being made           SPOOL/.gone-ID   one that is being removed
 *
 * An offset is acknowledged when it is in a slot, and it is in a slot only after the bytes below
 * it are on disk.  The SHA-1's five words and tail stand beside it, so that the whole file's
 * checksum costs no second read, even across a restart.  Bytes beyond the durable offset are cut
 * off at start.  What an upload is, is on disk alone: COMPLETE and BROKEN follow from the slot,
 * what comes after them is in the outcome, which is concluded before anybody acts upon it.
 *
 * How long something has been so is told by the time that gateways have run on this spool: a lower
 * bound, kept every few minutes.  No wall clock ends anything, and neither does a pause.
 *
 * Damage is never judged without the bytes.  Where no slot is whole, or one is not while every byte
 * seems to be there, rebuild() reads them: with the promised SHA-1, or once the server was sent all
 * of them, they are whole again; otherwise they are kept, and said to be damaged.  One upload that
 * cannot be read harms no other.
 *
 *   Owner    an upload belongs to the spool from ur_spool_admit() to ur_spool_dismiss(); while a
 *            call marked "crew" runs for it, no other call may be made for it, but for append()
 *            beside commit(), and find, next, metadata and open at any time
 *   Units    bytes; times in ms since the epoch, for people; *_ran_ms in ms of run time, for lives
 *   Errors   negative errno; -ENOSPC, -EDQUOT: the disk is full (what is durable stays so);
 *            -EIO: the bytes that could not be flushed are not trusted again before a restart
 *   Threads  "crew": blocks on the disk, on any thread; everything else on the loop's
 *   Modes    0700 directories of our own user, 0600 files, O_NOFOLLOW everywhere
 */
#ifndef UR_GATEWAY_SPOOL_H
#define UR_GATEWAY_SPOOL_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_SPOOL_ID 33   // 128 random bits in hexadecimal, and a NUL
#define UR_SPOOL_USER 37 // a UUID and its NUL; "anonymous" without a server
#define UR_SPOOL_LENGTH_UNKNOWN UINT64_MAX
#define UR_SPOOL_STEP (4u << 20) // bytes between two checkpoints

enum ur_spool_state {
	UR_SPOOL_RECEIVING, // bytes are missing
	UR_SPOOL_COMPLETE,  // every byte is durable and the checksum agrees: to be delivered
	UR_SPOOL_BROKEN,    // complete, but not what its checksum promised
	UR_SPOOL_DELIVERED, // the server named an asset: to be confirmed
	UR_SPOOL_CONFIRMED, // the server holds it: the bytes may go
	UR_SPOOL_REFUSED,   // the server does not want it: kept, shown, then removed
	UR_SPOOL_STATES,
};
const char *ur_spool_state_name(enum ur_spool_state state);

/** What became of it; the words are the server's. */
struct ur_spool_outcome {
	enum ur_spool_state state;
	bool duplicate; // the server had it already
	bool trashed;
	bool suspect;   // it may have been sent with no 201 to show: the server's claim is doubted
	bool noted;     // COMPLETE and suspect: the wire says whether its body went out whole
	int status;     // HTTP, 0 without
	char asset[37]; // "" without
	char with[UR_SPOOL_ID]; // the upload whose bytes went along as its sidecar; "": none did
	char words[128];        // cut at a character
	int64_t since_ms;
	int64_t since_ran_ms;  // of this state: lives count from here
	int64_t there_ran_ms;  // DELIVERED: the asset was first seen
	int64_t missed_ran_ms; // its bytes were first asked for in vain; -1: never
	unsigned tries;
};
#define UR_SPOOL_NEVER (-1)
/* REFUSED has a status: what immich-server answered, or one of these. */
#define UR_STATUS_TRASHED 409 // in the server's trash: somebody must decide; asked again
#define UR_STATUS_EXPIRED 410 // nobody went on with it
#define UR_STATUS_QUOTA 507   // no room there for its owner now: tried again, and never given up
/** CONFIRMED, or REFUSED for good: nothing is asked about it any more. */
bool ur_spool_is_over(const struct ur_spool_outcome *outcome);

struct ur_spool;

struct ur_spool_upload {
	char id[UR_SPOOL_ID];
	char owner[UR_SPOOL_USER];
	uint64_t length;  // UR_SPOOL_LENGTH_UNKNOWN until it is declared
	uint64_t offset;  // received and written
	uint64_t durable; // on disk, with the hash's state beside it
	int64_t created_ms;
	int64_t touched_ms;     // last byte, for people
	int64_t touched_ran_ms; // and expiry counts from here
	bool has_sha1;
	uint8_t want_sha1[20]; // what the creator promised
	uint8_t sha1[20];      // of the whole file, from COMPLETE on
	bool is_sidecar;
	_Atomic bool bytes_gone; // removed: only the outcome is left
	_Atomic bool untrusted;  // a flush failed: nothing is taken before a restart
	bool is_damaged;         // its files do not say what it is: never removed but by its owner
	bool is_unread;          // and rebuild() may tell more
	struct ur_spool_outcome outcome; // .state is the upload's state
	void *session;                   // the server's: who is sending at present, jobs that run
	/* The spool's. */
	struct ur_spool_own *own; // descriptors, hash, slots; NULL while it rests
	struct ur_spool *spool;
	struct ur_spool_owner *use;
	struct ur_spool_upload *next; // in its bucket
	_Atomic uint64_t counted;     // bytes of ours in `use`
	_Atomic bool counts;          // as open in `use`
	bool admitted;
};

struct ur_spool_spec {
	const char *owner;    // shorter than UR_SPOOL_USER
	uint64_t length;      // or UR_SPOOL_LENGTH_UNKNOWN
	const char *metadata; // the header as it came, "" without
	bool has_sha1;
	uint8_t sha1[20];
	bool is_sidecar;
};

/**
 * Opens or makes `root`, takes its lock, reads every upload, removes what was being made or
 * removed, and takes over what an older layout left.  -EBUSY: another gateway has it; -EPROTO: a
 * newer one wrote it, and nothing was touched; a root that others may write to is refused.
 */
[[nodiscard]] int ur_spool_new(const char *root, struct ur_spool **ret, struct ur_err *err);
struct ur_spool *ur_spool_free(struct ur_spool *spool);
/**
 * Uploads on disk that could not be read: their folders stay as they are and are not in the index.
 * One whose bytes are missing while its owner is known is in the index, as BROKEN.
 */
size_t ur_spool_damaged(const struct ur_spool *spool);
/** The first of them, and why; "" without. */
const char *ur_spool_damage(const struct ur_spool *spool);

/** How long gateways have certainly run on this spool. */
int64_t ur_spool_ran_ms(const struct ur_spool *spool);
/** Crew, or where no crew is: makes that durable. */
[[nodiscard]] int ur_spool_keep_time(struct ur_spool *spool, struct ur_err *err);
/** For tests: as if it had run so much longer. */
void ur_spool_pass(struct ur_spool *spool, int64_t by_ms);
/** The outcome begins now. */
void ur_spool_stamp(const struct ur_spool *spool, struct ur_spool_outcome *outcome);

/** What a damaged upload's bytes say. */
struct ur_spool_found {
	uint64_t size;
	uint8_t sha1[20];
};
/**
 * Crew.  Reads the bytes of an upload that is_unread and, where they are whole, writes its state
 * anew; -EBADMSG: they are not, or nobody can tell.  found() then takes the answer in, on the
 * loop's thread, whatever it is; true: it is COMPLETE, or what it was before.
 */
[[nodiscard]] int ur_spool_rebuild(
	struct ur_spool_upload *upload, struct ur_spool_found *ret, struct ur_err *err);
/** What rebuild() is reading is read at the next start. */
void ur_spool_stop(struct ur_spool *spool);
bool ur_spool_found(struct ur_spool_upload *upload, const struct ur_spool_found *found, int result);
/** How many uploads ur_spool_new() has read by now, or had read; any thread. */
size_t ur_spool_read_so_far(void);
/** For measuring alone: without a hash nothing is checked, without syncs nothing is durable. */
void ur_spool_skip(struct ur_spool *spool, bool hash, bool sync);
/** Its file system takes nothing, from nobody. */
bool ur_spool_is_read_only(const struct ur_spool *spool);
/** Bytes that the file system has left for us. */
[[nodiscard]] int ur_spool_space(const struct ur_spool *spool, uint64_t *ret_free);

/** Crew.  Durable when it returns; not yet in the index; at rest. */
[[nodiscard]] int ur_spool_make(struct ur_spool *spool, const struct ur_spool_spec *spec,
	struct ur_spool_upload **ret, struct ur_err *err);
void ur_spool_admit(struct ur_spool *spool, struct ur_spool_upload *upload);
/**
 * Crew.  Gone for good when it returns 0; may be called again after an error, and what a crash
 * leaves is finished at the next start.
 */
[[nodiscard]] int ur_spool_remove(
	struct ur_spool *spool, struct ur_spool_upload *upload, struct ur_err *err);
/** Takes it out of the index and frees it; also one that was never admitted. */
void ur_spool_dismiss(struct ur_spool *spool, struct ur_spool_upload *upload);

struct ur_spool_upload *ur_spool_find(const struct ur_spool *spool, const char *id);
/**
 * Every upload in turn, in no order: NULL starts, NULL ends.  Dismissal of the last one is allowed.
 * What is admitted on the way may make it miss some or meet some twice.
 */
struct ur_spool_upload *ur_spool_next(
	const struct ur_spool *spool, const struct ur_spool_upload *after);
struct ur_spool_use {
	size_t uploads; // with those of which only the outcome is left
	size_t open;    // unfinished or undelivered
	uint64_t bytes; // promised (or received, where no length is known) and not yet gone
};
struct ur_spool_use ur_spool_use_of(const struct ur_spool *spool, const char *owner); // NULL: all
/** The metadata header as it came; free() it.  Reads the disk, little. */
[[nodiscard]] int ur_spool_metadata(const struct ur_spool_upload *upload, char **ret);

/**
 * Opens the descriptors that append needs; they are closed by rest().  What was appended and not
 * committed before rest() is forgotten: the offset is the durable one again.
 */
[[nodiscard]] int ur_spool_wake(struct ur_spool_upload *upload, struct ur_err *err);
void ur_spool_rest(struct ur_spool_upload *upload);
/**
 * Writes at the offset and hashes; starts write-back early, flushes nothing.  On a failure the
 * offset stands behind what was written whole.
 */
[[nodiscard]] int ur_spool_append(
	struct ur_spool_upload *upload, const void *bytes, size_t size, struct ur_err *err);

/** Where the upload stood: offset and hash. */
struct ur_spool_mark {
	uint64_t offset;
	uint64_t length;
	uint8_t words[20];
	uint8_t tail[64];
};
void ur_spool_mark(const struct ur_spool_upload *upload, struct ur_spool_mark *ret);
/**
 * Back to an earlier mark, of the length too; durable only by a commit of that mark.  Where it lies
 * below `durable`, that commit comes before the next append (which otherwise makes it itself, on
 * the loop's thread), so that no slot ever speaks of bytes that were overwritten.
 */
void ur_spool_rewind(struct ur_spool_upload *upload, const struct ur_spool_mark *mark);
/** Declares the length of an upload that was made without one; durable by the next commit. */
void ur_spool_declare(struct ur_spool_upload *upload, uint64_t length);
/** Crew.  Bytes below the mark, then the slot.  May run while append goes on. */
[[nodiscard]] int ur_spool_commit(
	struct ur_spool_upload *upload, const struct ur_spool_mark *mark, struct ur_err *err);
/** The mark is durable: moves `durable`.  On the loop's thread, after commit() returned 0. */
void ur_spool_committed(struct ur_spool_upload *upload, const struct ur_spool_mark *mark);
/**
 * All bytes are durable: fills sha1 in and says whether it is what was promised.  Awake, or empty.
 * The state stays the caller's to set; after a restart it is COMPLETE or BROKEN by the same look.
 */
bool ur_spool_finish(struct ur_spool_upload *upload);
/** Crew.  Durable when it returns.  The caller then lets it become the upload's own. */
[[nodiscard]] int ur_spool_conclude(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome, struct ur_err *err);
/** It is concluded: the upload's outcome, and what its owner has here, follow. */
void ur_spool_concluded(struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome);
/**
 * Crew.  Removes the bytes (and everything kept beside them), keeps info and outcome, sets
 * bytes_gone.  Only after an outcome of CONFIRMED or REFUSED was concluded: -EINVAL otherwise.
 */
[[nodiscard]] int ur_spool_empty(struct ur_spool_upload *upload, struct ur_err *err);
/** A descriptor of the bytes, for reading; the caller's. */
[[nodiscard]] int ur_spool_open(const struct ur_spool_upload *upload, struct ur_err *err);

/**
 * A small private file beside the bytes ("key": lower-case letters, at most 16): written durably,
 * read (-ENOENT, -ENOSPC: no room), overwritten and removed.  Crew.
 */
[[nodiscard]] int ur_spool_keep(struct ur_spool_upload *upload, const char *name, const void *bytes,
	size_t size, struct ur_err *err);
[[nodiscard]] int ur_spool_recall(const struct ur_spool_upload *upload, const char *name,
	void *bytes, size_t room, size_t *ret_size);
[[nodiscard]] int ur_spool_wipe(struct ur_spool_upload *upload, const char *name);

#endif
