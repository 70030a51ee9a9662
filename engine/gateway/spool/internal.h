/**
 * internal - what the files of the spool share; nobody else includes it.
 *
 *     spool                                   the root: opened, locked, read, let go
 *     start    make    rebuild    beside      what a start finds; an upload's folder; damage
 *     index    bytes                          uploads by id; what happens while bytes come in
 *     outcome                                 concluded, on disk
 *     owner    clock    record    slot        who has how much; run time; JSON; offsets
 *     file                                    files of our own
 *
 * A file calls those in the lines below its own; start calls index, and index calls bytes.
 *
 *   Threads  as spool.h says; what stands here keeps no state of its own
 */
#ifndef UR_GATEWAY_SPOOL_INTERNAL_H
#define UR_GATEWAY_SPOOL_INTERNAL_H

#include "engine/base/text.h"
#include "engine/gateway/spool/spool.h"
#include "engine/media/hash_stream.h"

#include <stdatomic.h>

#define UR_SLOT_BYTES ((size_t)512)
#define UR_SLOT_APART ((size_t)4096) // a block each: writing one does not touch the other's
#define UR_SLOTS 2u
#define UR_STATE_BYTES (UR_SLOT_APART + UR_SLOT_BYTES)
#define UR_INFO_MAX (32u << 10)
#define UR_BLOCK_BYTES ((size_t)2048) // of an outcome, with its checksum
#define UR_OUTCOME_BYTES (UR_SLOT_APART + UR_BLOCK_BYTES)
#define UR_SPOOL_NEW ".new-"   // an upload's folder that is being made
#define UR_SPOOL_GONE ".gone-" // and one that is being removed
#define UR_SPOOL_LAYOUT 2      // 1: without lives in run time, outcomes replaced by a rename

/** Somebody's uploads, counted.  `bytes` is written by the crew too, when bytes are removed. */
struct ur_spool_owner {
	struct ur_spool_owner *next;
	size_t uploads;
	_Atomic size_t open; // unfinished or undelivered
	_Atomic uint64_t bytes;
	char name[UR_SPOOL_USER];
};

/** Where ur_spool_next() stands, and where it goes on when `last` was dismissed. */
struct ur_spool_walk {
	const struct ur_spool_upload *last;
	struct ur_spool_upload *behind;
	bool is_gone;
};

struct ur_spool {
	int root; // locked
	struct ur_spool_upload **buckets;
	size_t bucket_count; // a power of two
	struct ur_spool_owner all;
	struct ur_spool_owner *owners[1024];
	struct ur_spool_walk *walk;
	size_t damaged;
	char damage[160];
	int64_t kept_ran_ms; // by earlier gateways
	int64_t opened_ms;   // steady
	uint64_t clock_sequence;
	uint64_t layout; // of who wrote it last; 0: not said
	atomic_bool stopping;
	bool no_hash;
	bool no_sync;
};

/** What an upload needs only while bytes come in. */
struct ur_spool_own {
	int bytes;
	int state;
	/* The loop's. */
	struct ur_sha1 sha1;
	uint64_t ahead; // write-back was started up to here
	/* The commit's, of which there is one at a time. */
	uint64_t sequence; // of the newest slot
	unsigned newest;   // its index
	uint64_t reserved; // blocks were taken up to here; UINT64_MAX: not to be had
};

static inline bool ur_spool_is_known(uint64_t length)
{
	return length != UR_SPOOL_LENGTH_UNKNOWN;
}
/** The bytes may go. */
static inline bool ur_spool_may_go(enum ur_spool_state state)
{
	return state == UR_SPOOL_CONFIRMED || state == UR_SPOOL_REFUSED;
}

/* file */
/** The folder of an upload, opened and looked at. */
[[nodiscard]] int ur_spool_folder_open(int root, const char *name);
/** A regular file of ours that nobody else may touch: a descriptor, or -EPERM. */
[[nodiscard]] int ur_spool_file_open(int dir, const char *name, int flags);
/** New and synced, but for its name. */
[[nodiscard]] int ur_spool_file_make(int dir, const char *name, const void *bytes, size_t size);
/** The old one or the new one, never a part; durable. */
[[nodiscard]] int ur_spool_file_replace(
	int dir, const char *name, const void *bytes, size_t size, const char *effect);
/** All of it with a NUL behind; -EFBIG beyond `most`.  free() it. */
[[nodiscard]] int ur_spool_file_read(
	int dir, const char *name, size_t most, char **ret, size_t *ret_size);
/** Zeros over everything, synced. */
[[nodiscard]] int ur_spool_file_overwrite(int fd);
/** Overwrites, syncs, unlinks; not durable before the folder is synced.  0 when there is none. */
[[nodiscard]] int ur_spool_file_wipe(int dir, const char *name);
/** Removes a folder with the files in it; what may be secret is overwritten. */
[[nodiscard]] int ur_spool_folder_remove(int root, const char *name);
/** Removes what a crash left half written. */
[[nodiscard]] int ur_spool_folder_tidy(int dir);
/** Removes everything but `count` names; what may be secret is overwritten. */
[[nodiscard]] int ur_spool_folder_keep(int dir, const char *const names[], size_t count);
/** Calls `visit` for every name in a folder, which may remove it; until it returns an error. */
[[nodiscard]] int ur_spool_each_name(
	int dir, int (*visit)(int dir, const char *name, void *context), void *context);
/**
 * One of two of a kind, in place: nothing was promised of it yet, and where it may not be on disk it
 * is spoiled.
 */
[[nodiscard]] int ur_spool_block_put(
	int fd, const void *bytes, size_t size, unsigned index, bool sync);

/* slot */
/** One slot of `state`. */
struct ur_spool_slot {
	uint64_t sequence;
	int64_t touched_ms;
	int64_t touched_ran_ms;
	struct ur_spool_mark mark;
};
void ur_spool_slot_write(const struct ur_spool_slot *slot, uint8_t ret[UR_SLOT_BYTES]);
/** False for anything torn, strange or impossible. */
bool ur_spool_slot_read(const uint8_t bytes[UR_SLOT_BYTES], struct ur_spool_slot *ret);
/**
 * The newest slot of a state file; -EBADMSG when there is none.  `ret_spoilt` (NULL: not asked) says
 * whether the other one had something written to it that cannot be read: perhaps the newer one.
 */
[[nodiscard]] int ur_spool_slot_pick(
	int state, struct ur_spool_slot *ret, unsigned *ret_index, bool *ret_spoilt);

/* record */
bool ur_spool_is_id(const char *text);
void ur_spool_info_write(
	const struct ur_spool_upload *upload, const char *metadata, struct ur_text *ret);
/**
 * Fills what info says in, an id and an owner at least; `ret_metadata` (NULL: not asked) is to be freed.  The layout's version,
 * or a negative errno.
 */
[[nodiscard]] int ur_spool_info_read(
	const char *json, size_t size, struct ur_spool_upload *ret, char **ret_metadata);
void ur_spool_outcome_write(const struct ur_spool_outcome *outcome, struct ur_text *ret);
[[nodiscard]] int ur_spool_outcome_read(
	const char *json, size_t size, struct ur_spool_outcome *ret);

/* owner */
/** The upload brought an entry with it; it is used, or there is one. */
void ur_spool_owner_join(struct ur_spool *spool, struct ur_spool_upload *upload);
void ur_spool_owner_leave(struct ur_spool *spool, struct ur_spool_upload *upload);
/** Corrects what the upload counts for at its owner's and in all. */
void ur_spool_recount(struct ur_spool_upload *upload);
void ur_spool_owners_done(struct ur_spool *spool);

/* clock */
/** Reads SPOOL/clock, or begins one; -EPROTO: of a newer layout. */
[[nodiscard]] int ur_spool_clock_open(struct ur_spool *spool);

/* outcome */
/** Two blocks, with `outcome` in the first; NULL: nothing is concluded yet. */
[[nodiscard]] int ur_spool_outcome_make(int dir, const struct ur_spool_outcome *outcome);
/** The newest whole block, or an older layout's file; -ENOENT: nothing was concluded yet. */
[[nodiscard]] int ur_spool_outcome_load(int dir, struct ur_spool_outcome *ret);

/* index */
/** With an entry for its owner; NULL when memory is short.  dismiss() it. */
struct ur_spool_upload *ur_spool_upload_new(struct ur_spool *spool);
/** upload->owner is filled in. */
void ur_spool_name_owner(struct ur_spool_upload *upload);
[[nodiscard]] int ur_spool_index_init(struct ur_spool *spool);
/** Every upload in it is freed, but for what owners have. */
void ur_spool_index_done(struct ur_spool *spool);

/* start */
/** Every folder of the root; those that cannot be read are counted as damaged. */
[[nodiscard]] int ur_spool_read_all(struct ur_spool *spool);

#endif
