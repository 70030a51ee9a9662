/**
 * leaving - a folder, and an item whose files are to leave it: for the tests of settle.
 *
 *     room/src/album/a.jpg, a.xmp      one group, hashed, confirmed, tokens given
 *     room/src/.uringest/              where they stand aside
 *     room/target/                     where they move to
 *
 *   Owner    leaving_new() to leaving_free(), which gives the table of calls back, too
 *   Threads  one; the table may be changed until a settle is started
 */
#ifndef UR_TESTS_LEAVING_H
#define UR_TESTS_LEAVING_H

#include "engine/stage/settle_parts.h"
#include "engine/sys/sys.h"
#include "tests/unit/faulty.h"

#define LEAVING_FILES 2

struct leaving {
	char path[ROOM_PATH];
	char target_path[ROOM_PATH + 16];
	int fd;
	int album;
	int target;
	struct ur_sys real;

	struct ur_options options;
	struct ur_run run;
	struct ur_root *root;
	struct ur_dir *dir;
	struct ur_item item;
	struct ur_file files[LEAVING_FILES];

	/* For the tests of settle's parts. */
	struct ur_settle settle;
	struct ur_leaving x; // files[0] on its way out

	char said[512]; // the last warning
	unsigned warnings;
};

int leaving_new(void **state);
int leaving_free(void **state);

/** All is as at the beginning: the files in their places, nothing else anywhere, nothing decided. */
void leaving_again(struct leaving *l);
/** The bytes of files[i], which are at its name in the beginning. */
const char *leaving_bytes(int i);
/** The target is another file system's, as far as anybody can see. */
void leaving_far(struct leaving *l);

/** A leaving of files[0], with its folder open; leaving_close() ends it. */
void leaving_open(struct leaving *l);
void leaving_close(struct leaving *l);

/** At its name, with its own bytes. */
bool leaving_is_home(const struct leaving *l, int i);
/** In the staging folder, under the name that its row leads to. */
bool leaving_is_staged(const struct leaving *l, int i);
/** In the target, under its name. */
bool leaving_is_moved(const struct leaving *l, int i);

#endif
