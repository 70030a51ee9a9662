/**
 * tick - how finely a file system's clock can tell two changes apart.
 *
 *     a nameless file, changed ──▶ its ctime moves twice within 50 ms?  fine, else 2 s
 *     a file's ctime                 ──▶ shows a fraction of 10 ms?       fine, else who knows
 *
 * The name of a file system does not tell: ext4 keeps whole seconds in inodes of 128 bytes, and
 * behind FUSE may be anything.  So it is measured where we may write, and elsewhere taken from what
 * its files show; until one of them has shown anything it is the coarsest that is in use.  A clock
 * that is another machine's is never fine: it may be behind ours.
 *
 *   Owner    the caller; nothing stays on the disk, not even after a crash
 *   Units    nanoseconds
 *   Errors   of measure(): -EOPNOTSUPP and the like where no nameless file can be made
 *   Threads  any
 *   Source   FAT keeps 2 s of mtime, exFAT 10 ms, ext4 with small inodes and HFS+ 1 s
 */
#ifndef UR_SOURCE_TICK_H
#define UR_SOURCE_TICK_H

#include "engine/source/folder.h"

#define UR_TICK_ASSUMED_NS INT64_C(2000000000)
#define UR_TICK_FINE_NS INT64_C(10000000) // the slowest kernel's, HZ=100

/** True when only a fine clock shows such a time. */
bool ur_tick_is_fine(int64_t time_ns);
/** What this file system shows of the times of a nameless file in the folder `dir_fd`. */
[[nodiscard]] int ur_tick_measure(int dir_fd, const struct ur_fs *fs, int64_t *ret_ns);
/** Of a file that was seen: *fs learns from its ctime, which nobody can set. */
void ur_tick_learn(struct ur_fs *fs, int64_t ctime_ns);

#endif
