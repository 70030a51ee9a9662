/**
 * power - what a power cut forgets: everything that was not synced.
 *
 *     write, create, unlink, rename, mkdir, rmdir ─▶ journal of how to undo it
 *     fsync of the file or folder ─▶ forgets how
 *     ur_power_cut() ─▶ undoes what is left, the last first
 *
 * A file's bytes are undone unless the file was synced; what happened to names is undone unless
 * their folder was.  A real file system may also have kept names, all or the earlier ones, or a
 * part of what was written, so there are four cuts.  SQLite's files are followed through a VFS that
 * stands before its own.
 *
 *   Errors   a test that cannot keep its journal ends with 98: it would prove nothing
 *   Threads  under the seam's gate, one at a time
 *   Source   fsync(2): the folder's entry needs a sync of its own
 */
#ifndef UR_TESTS_POWER_H
#define UR_TESTS_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum ur_power {
	UR_POWER_STAYS,  // no journal
	UR_POWER_FORGET, // bytes and names
	UR_POWER_KEEP,   // bytes only
	UR_POWER_LAST,   // bytes, and of the names what happened last
	UR_POWER_TORN,   // of each write's bytes the second half
};

/**
 * `hide` is a list of folders, separated by colons, one on each file system: unlinked files stay
 * there by a hard link.  `point` is called before (false) and after (true) SQLite's syncs; `gate`
 * is taken (true) and given back (false) around what its VFS does.
 */
void ur_power_begin(enum ur_power power, const char *hide, void (*point)(const char *, bool),
	void (*gate)(bool));
/** The file system of `dir` loses nothing; NULL: all do.  Two disks have a history each. */
void ur_power_spare(const char *dir);
/** Undoes what was not synced. */
void ur_power_cut(void);

/* Before the call: what is there is kept. */
void ur_power_write(int fd, size_t size, off_t offset);
void ur_power_unlink(int dir, const char *name, bool folder);
void ur_power_replace(int from_dir, const char *from, int to_dir, const char *to);
/* After a call that went well. */
void ur_power_created(int dir, const char *name);
void ur_power_made(int dir, const char *name);
void ur_power_renamed(int from_dir, const char *from, int to_dir, const char *to);
void ur_power_synced(int fd);
/** The call announced by ur_power_unlink() or ur_power_replace() failed. */
void ur_power_undone(void);

#endif
