/**
 * settle_parts - what the parts of `settle` share.  Included by stage/settle*.c and their tests only.
 *
 *     settle.c        the thread, what is proved before a file goes, the order of the steps
 *     settle_stage.c  into the staging folder and back
 *     settle_move.c   --after move: by a rename, or by a copy that is read back
 *     settle_hash.c   the SHA-1 of what is on disk now
 *
 *   Errors   0 or a negative errno, UR_SETTLE_GONE
 *   Threads  settle's
 */
#ifndef UR_STAGE_SETTLE_PARTS_H
#define UR_STAGE_SETTLE_PARTS_H

#include "engine/stage/settle.h"

#include "engine/source/removal.h"
#include "engine/source/staging.h"

#define UR_SETTLE_BUFFER (1u << 20)

/** A staging folder that is open, and locked, as long as a file stands in it that may go back. */
struct ur_place {
	struct ur_place *next;
	unsigned refs;
	const struct ur_dir *dir; // where it stands; a reference
	int parent;
	int fd;
};

struct ur_settle {
	struct ur_run *run;
	struct ur_settle_wiring wiring;
	pthread_t thread;
	unsigned char *buffer;
	int target_fd; // --after move=DIR

	struct ur_place *places;  // all that are open
	struct ur_place *current; // the one that was used last: kept until another one is needed

	/* What a move to another file system could not keep: said once, at the end. */
	unsigned other_names; // files that have further names, which stay
	unsigned lost_attributes;
	unsigned lost_owners;
};

/** One file on its way out. */
struct ur_leaving {
	struct ur_settle *settle;
	struct ur_item *item;
	struct ur_file *file;
	int dir_fd;
	int fd; // of the file, opened by its name, with a lease where there are leases
	struct ur_place *place; // a reference; NULL: not in a staging folder
	char staged[UR_STAGED_NAME_MAX + 1];
	struct ur_removal proof; // what is known of the file, and of who writes to it
	bool aside;              // stands in the staging folder, proved
	int proved_fd; // of the file in the staging folder, with a lease where there are leases
	int copy_fd;   // the target's staging folder, while a copy stands in it; -1: none does
	char copy[UR_STAGED_NAME_MAX + 1];
	struct ur_identity proved; // what it was when it had been proved
	bool stuck;                // it stands in the staging folder and cannot be brought back now
	const char *why; // a sentence that says more than the error does; in the item's arena
};

/* settle_hash.c */
/** SHA-1 of an open file by OpenSSL, from a fresh start: no lane of ours is involved. */
[[nodiscard]] int ur_settle_sha1(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1]);

/* settle_stage.c */
/** Opens the staging folder that the file is to stand in. */
[[nodiscard]] int ur_settle_enter(struct ur_leaving *x);
/** The one-way gate: from its name into the staging folder. */
[[nodiscard]] int ur_settle_stage(struct ur_leaving *x);
/** Back to its name, or to one beside it; its folder is gone: into the one that it is staged in. */
void ur_settle_unstage(struct ur_leaving *x);
[[nodiscard]] int ur_settle_unlink(struct ur_leaving *x);
/** The file needs its staging folder no longer. */
void ur_settle_leave(struct ur_leaving *x);
/** Lets go of the one that was kept. */
void ur_settle_leave_last(struct ur_settle *settle);

/* settle_move.c */
/** What of a move may fail for want of room is done: to another disk the copy, read back. */
[[nodiscard]] int ur_settle_move_prepare(struct ur_leaving *x);
/** The copy goes; the file does not. */
void ur_settle_move_undo(struct ur_leaving *x);
/** Moves the staged file to its place in the target. */
[[nodiscard]] int ur_settle_move(struct ur_leaving *x);
/** Says what the moves of this run could not keep. */
void ur_settle_tell(struct ur_settle *settle);

#endif
