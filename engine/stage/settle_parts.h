/**
 * settle_parts - what the parts of `settle` share.  Included by stage/settle*.c only.
 *
 *     settle.c        the thread, what is proved before a file goes, the order of the steps
 *     settle_stage.c  into the staging folder and back
 *     settle_move.c   --after move: by a rename, or by a copy that is read back
 *
 *   Errors   0 or a negative errno, UR_SETTLE_GONE
 *   Threads  settle's
 */
#ifndef UR_STAGE_SETTLE_PARTS_H
#define UR_STAGE_SETTLE_PARTS_H

#include "engine/stage/settle.h"

#include "engine/source/staging.h"

#define UR_SETTLE_BUFFER (1u << 20)

struct ur_settle {
	struct ur_run *run;
	struct ur_settle_wiring wiring;
	pthread_t thread;
	unsigned char *buffer;
	int target_fd; // --after move=DIR

	/* The staging folder that was used last: kept, with its lock, until another one is needed. */
	const struct ur_dir *staging_dir; // where it stands; a reference
	int staging_parent;
	int staging_fd;

	/* What a move to another file system could not keep: said once, at the end. */
	unsigned other_names; // files that have further names, which stay
	unsigned lost_attributes;
	unsigned lost_owners;
};

/** One file on its way out. */
struct ur_removal {
	struct ur_settle *settle;
	struct ur_item *item;
	struct ur_file *file;
	int dir_fd;
	int fd;         // of the file, opened by its name, with a lease where there are leases
	int staging_fd; // settle's
	char staged[UR_STAGED_NAME_MAX + 1];
	bool suspicious; // its ctime is not the one that was hashed: hash again
	bool stuck;      // it stands in the staging folder and cannot be brought back now
	const char *why; // a sentence that says more than the error does; in the item's arena
};

/* settle.c */
/** SHA-1 of an open file by OpenSSL, from a fresh start: no lane of ours is involved. */
[[nodiscard]] int ur_settle_sha1(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1]);

/* settle_stage.c */
/** Opens the staging folder that the file is to stand in. */
[[nodiscard]] int ur_settle_enter(struct ur_removal *x);
/** The one-way gate: from its name into the staging folder. */
[[nodiscard]] int ur_settle_stage(struct ur_removal *x);
/** Back to its name, or to one beside it; its folder is gone: into the one that it is staged in. */
void ur_settle_unstage(struct ur_removal *x);
[[nodiscard]] int ur_settle_unlink(struct ur_removal *x);
/** Lets the staging folder go. */
void ur_settle_leave(struct ur_settle *settle);

/* settle_move.c */
/** Moves the staged file, open as `from`, to its place in the target. */
[[nodiscard]] int ur_settle_move(struct ur_removal *x, int from);
/** Says what the moves of this run could not keep. */
void ur_settle_tell(struct ur_settle *settle);

#endif
