/**
 * removal - what has to be known of a file before it may be removed: who writes to it, and whether
 * it is still the one that was hashed.
 *
 *     NAME ──hold──▶ a lease?  ── yes: nobody writes, and nobody can begin to unseen ──▶ rename ──prove──▶ gone
 *                              ── no:  unchanged for so long, whole, and hashed again ──▶ rename ──prove──▶ gone
 *
 * A lease is a proof; a look that finds no writer is none.  The kernel gives one on files of one's
 * own only, and on a file system that others change too it speaks for this machine alone: then
 * nothing is known, and another proof takes its place.  All of that is decided here.
 *
 *   Owner    descriptors stay the caller's; a lease lives as long as its descriptor
 *   Units    nanoseconds of the boot clock
 *   Errors   0 it may go, -ETXTBSY somebody writes, -ESTALE it is not the file that was hashed,
 *            UR_REMOVAL_WAITS it has not been quiet for long enough, else what the disk said
 *   Threads  any
 *   Source   fcntl(2), F_SETLEASE: -EAGAIN for a file that is open for writing, -EACCES for one of
 *            another user without CAP_LEASE; NFSv4 says -EAGAIN for want of a delegation too
 */
#ifndef UR_SOURCE_REMOVAL_H
#define UR_SOURCE_REMOVAL_H

#include "engine/source/folder.h"

#include <errno.h>

#define UR_REMOVAL_WAITS (-EALREADY)
#define UR_REMOVAL_SHA1 20

/** What is known of the writers of an open file. */
enum ur_writers {
	UR_WRITERS_UNKNOWN, // nobody can say
	UR_WRITERS_NONE,    // a lease is held: nobody writes
	UR_WRITERS_SOME,    // somebody has it open for writing
};

/** Asks for a lease, which stays with `fd` when it is given. */
enum ur_writers ur_removal_writers(int fd, const struct ur_fs *fs);
/** Gives the lease back. */
void ur_removal_let(int fd);

/** Whether a file ends where its content does, as far as its container tells. */
enum ur_ending {
	UR_ENDING_UNKNOWN, // it was never looked at
	UR_ENDING_WHOLE,   // nothing is missing that we know of
	UR_ENDING_CUT,     // it ends in the middle: a transfer that stands still, or a damaged file
};

/** What is known of a file that is to go. */
struct ur_quiet {
	enum ur_writers writers;
	enum ur_ending ending;
	bool accepted;    // somebody said that what looks cut off is all there is
	int64_t quiet_ns; // unchanged for so long
	int64_t least_ns; // without a lease it must be, at least
};

enum ur_quiet_answer {
	UR_QUIET_YES,
	UR_QUIET_WRITER,  // somebody writes
	UR_QUIET_CUT,     // it is not finished, or damaged
	UR_QUIET_TOO_NEW, // without a lease, and not unchanged for long enough
};
enum ur_quiet_answer ur_removal_is_quiet(const struct ur_quiet *quiet);

/** What was learned about the bytes of a file, and what may make one doubt it. */
struct ur_trust {
	enum ur_writers writers;
	bool created;    // by our own 201: the server has what we sent
	bool there;      // the server had it before we came
	bool remembered; // a change since the hash would show in its times
	bool fresh;      // it was hashed in this run
	bool fs_trusted; // identities of this file system prove something
	bool ctime_moved;
};
/** (d) of promise 1, and every other reason to hash the file once more before it goes. */
bool ur_removal_needs_hash(const struct ur_trust *trust);

/** One file on its way out. */
struct ur_removal {
	const struct ur_identity *identity; // as it was hashed
	const struct ur_fs *fs;
	const uint8_t *sha1;
	struct ur_quiet quiet;
	struct ur_trust trust;
	/** The SHA-1 of the open file by another way than the first one. */
	int (*hash)(void *context, int fd, uint8_t ret[UR_REMOVAL_SHA1]);
	void *context;
};

/**
 * The file is open by its name: it is what was hashed, and quiet.  The rename that follows changes
 * its ctime, so that one is compared here; times can be set back, but not without opening the file.
 */
[[nodiscard]] int ur_removal_hold(struct ur_removal *removal, int fd);
/**
 * The file is open again, in the staging folder: it is the one that was held, hashed again where
 * that is needed, and neither it nor what is known of its writers has changed meanwhile.
 */
[[nodiscard]] int ur_removal_prove(struct ur_removal *removal, int fd);
/**
 * It was proved, has stood in the staging folder since, and is about to go: neither it nor what is
 * known of its writers has changed.  `proved` is what it was then.  Where only its ctime is another one
 * (a hard link of it was renamed, too) its bytes tell.
 */
[[nodiscard]] int ur_removal_prove_still(
	struct ur_removal *removal, int fd, const struct ur_identity *proved);

#endif
