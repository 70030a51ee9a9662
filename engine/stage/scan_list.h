/**
 * scan_list - the stack of directories, and threads that list them ahead of their turn.
 *
 *     push ─▶ [ … │ dir │ dir │ dir ]  top ─▶ next: the scan thread, strictly from the top
 *                    ▲     ▲
 *                 helpers list (getdents64, fstatat) what will be next
 *
 * What comes out, and in which order, is the same whoever has listed.  There is one helper; when
 * the first directories show that the threads wait for the disk more than they work, there are
 * seven.  A directory with more than UR_LISTER_AHEAD entries is not listed ahead; its entries are
 * shared out among all threads when its turn comes.
 *
 *   Owner    a pushed dir (with its reference) and rules are the stack's until next() or drop()
 *            gives them back; so is the descriptor
 *   Units    memory: at most UR_LISTER_LOOKS × UR_LISTER_AHEAD entries beside the listing that is
 *            being looked at
 *   Errors   -ENOMEM; what opening and listing said is part of the answer
 *   Threads  all calls are the scan thread's
 */
#ifndef UR_STAGE_SCAN_LIST_H
#define UR_STAGE_SCAN_LIST_H

#include "engine/source/folder.h"

#define UR_LISTER_LOOKS 24u
#define UR_LISTER_AHEAD 2048u
#define UR_LISTER_HELPERS_WARM 1u
#define UR_LISTER_HELPERS_COLD 7u

struct ur_lister;
struct ur_scan_rules;

struct ur_listed {
	struct ur_dir *dir;
	struct ur_scan_rules *rules;
	int fd;     // or why it could not be opened, a negative errno
	int result; // of listing
	bool whole; // otherwise ur_lister_finish() has to be called, for what is missing
};

[[nodiscard]] int ur_lister_new(struct ur_lister **ret);
/** The stack must be empty. */
struct ur_lister *ur_lister_free(struct ur_lister *lister);

[[nodiscard]] int ur_lister_push(
	struct ur_lister *lister, struct ur_dir *dir, struct ur_scan_rules *rules);
size_t ur_lister_count(const struct ur_lister *lister);
/** The directory on top, listed into *listing; the stack must not be empty. */
void ur_lister_next(struct ur_lister *lister, struct ur_listing *listing, struct ur_listed *ret);
/** Lists what next() has left open: a large directory, or one on another file system. */
[[nodiscard]] int ur_lister_finish(
	struct ur_lister *lister, struct ur_listing *listing, int fd, bool follow);
/** The directory on top, unlisted. */
struct ur_dir *ur_lister_drop(struct ur_lister *lister, struct ur_scan_rules **ret_rules);
/** Whether listing waits for the disk, or was told that reading does. */
bool ur_lister_is_cold(const struct ur_lister *lister);
/** Whoever reads the files has found that they are not in memory, whatever the inodes are. */
void ur_lister_tell(struct ur_lister *lister, bool cold);

#endif
