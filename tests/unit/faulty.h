/**
 * faulty - a disk on which one call fails, or every call from one on; and the folder to try it in.
 *
 *     for (unsigned n = 1; go_on; n++) {
 *             faulty_begin(FAULTY_ONE, n, -EIO);
 *             …                          what is to be tried
 *             go_on = faulty_end();      false: it got through untouched, every call had its turn
 *             …                          what must hold all the same
 *     }
 *
 * A call that fails has done nothing, but for close, which always closes.
 *
 *   Owner    faulty_end() gives back the table that faulty_begin() found
 *   Threads  whoever calls the table; begin and end when nobody does
 */
#ifndef UR_TESTS_FAULTY_H
#define UR_TESTS_FAULTY_H

#include <stdbool.h>
#include <stddef.h>

enum faulty_how {
	FAULTY_ONE,  // this call alone
	FAULTY_FROM, // this one and all that follow: the disk is away, or the process was killed
};

void faulty_begin(enum faulty_how how, unsigned nth, int error);
/** True when a call has failed. */
bool faulty_end(void);
/** The name of the first call that failed; "" when none did. */
const char *faulty_call(void);

#define ROOM_PATH 64
/** A new folder, and its descriptor; the path is in `ret`. */
int room_make(char ret[ROOM_PATH]);
/** The folder goes, with all that is in it; it must not be the root of anything else. */
void room_remove(const char *path, int fd);
/** What is called that, and all that is in it, is not there any more. */
void room_clear(int dir, const char *below);
/** A file of these bytes, whatever was there before; they end the test when they cannot. */
void room_put(int dir, const char *name, const char *text);
/** The file is there, and holds exactly this. */
void room_holds(int dir, const char *name, const char *text);
bool room_has(int dir, const char *name);
/** The same as room_holds(), as an answer. */
bool room_is(int dir, const char *name, const char *text);
/** How many names the folder holds, but for "." and ".."; 0 when there is no such folder. */
size_t room_count(int dir, const char *below);
/** How many descriptors this process has open. */
size_t room_descriptors(void);

#endif
