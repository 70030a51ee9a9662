/**
 * scan_parts - what the parts of `scan` share.  Included by stage/scan*.c only.
 *
 *   Threads  scan's, but for what scan_list.h says of itself
 */
#ifndef UR_STAGE_SCAN_PARTS_H
#define UR_STAGE_SCAN_PARTS_H

#include "engine/stage/scan.h"
#include "engine/stage/scan_list.h"

#include <stdio.h>

#define UR_SCAN_IGNORE_FILE ".uringestignore"
#define UR_SCAN_TICKS_MAX 64 // file systems in one run; of others the clock is looked at anew

enum {                   // ur_entry.flags
	FLAG_ROW = 1,    // the ledger has a row of this name
	FLAG_SAME = 2,   // … about this very file, and it can be believed
	FLAG_KEPT = 4,   // … and there is nothing left to do
	FLAG_YOUNG = 8,  // not quiet for long enough
	FLAG_TOLD = 16,  // kept, and what became of it is worth a line each time
	FLAG_LATER = 32, // failed before, its next try is not due
};

struct ur_scan_rules; // ignore files, scan_rules.c

struct ur_scan_place {
	uint64_t device;
	uint64_t inode;
	char *path; // absolute, without links
};

struct ur_scan_tick {
	uint64_t device;
	int64_t tick_ns;
};

struct ur_scan_excluded {
	struct ur_scan_place at;
	const char *why;
};

struct ur_scan {
	struct ur_run *run;
	struct ur_scan_wiring wiring;
	struct ur_ledger *ledger;
	struct ur_lister *lister;
	struct ur_ignore *asked; // --exclude: goes before everything
	struct ur_ignore *junk;  // goes after everything
	struct ur_root **roots;
	struct ur_scan_place *root_places;
	size_t root_count;
	struct ur_root *loose;
	char **loose_paths; // sources that are files
	size_t loose_count;
	FILE *list;
	struct ur_scan_excluded excluded[2];
	size_t excluded_count;
	struct ur_scan_tick ticks[UR_SCAN_TICKS_MAX]; // file systems whose clock is known
	size_t tick_count;
	struct ur_listing listing; // of the directory that is being looked at
	uint32_t *order;           // its files, as indexes
	size_t order_room;
	size_t ring;    // counts the handfuls
	unsigned given; // items of the present one
	int64_t given_bytes;
	unsigned unheard[UR_PROBES_MAX]; // items for each ring since its bell was rung
	unsigned held;                   // directories since the ledger was held
	pthread_t thread;
	bool started;
};

/* scan_walk.c */
/** Everything below `root`. */
int ur_scan_walk(struct ur_scan *scan, struct ur_root *root);
/** Does what has to be done with the files of scan->listing; its folders go on the stack. */
int ur_scan_listing(struct ur_scan *scan, struct ur_dir *dir, struct ur_scan_rules *rules);
/** What is still on the stack will not be looked at. */
void ur_scan_drop(struct ur_scan *scan);

/* scan_sources.c */
int ur_scan_open_all(struct ur_scan *scan, struct ur_err *err);
/** By the inode; where a file system calls all of them 0, by the path. */
bool ur_scan_is_at(
	const struct ur_scan_place *place, uint64_t device, uint64_t inode, const char *path);
bool ur_scan_is_root(const struct ur_scan *scan, uint64_t device, uint64_t inode, const char *path);

/* scan_rules.c */
struct ur_scan_rules *ur_scan_rules_ref(struct ur_scan_rules *rules);
void ur_scan_rules_unref(struct ur_scan_rules *rules);
/** The rules for what lies in `dir` (listed): those above and its own ignore file, if it has one. */
int ur_scan_rules_of(struct ur_scan *scan, struct ur_dir *dir, int fd, struct ur_scan_rules *above,
	struct ur_scan_rules **ret);
bool ur_scan_is_excluded(
	struct ur_scan *scan, const struct ur_scan_rules *rules, const char *path, bool is_folder);

/* scan_merge.c */
/** Sets the flags of the first `count` of scan->order; *ret_done: all kept, and none to be told. */
int ur_scan_merge(struct ur_scan *scan, struct ur_dir *dir, size_t count, bool *ret_done);
int ur_scan_load_row(struct ur_scan *scan, struct ur_arena *arena, int64_t folder, const char *name,
	struct ur_record **ret);
/** Two indexes into scan->listing. */
int ur_scan_by_name(const void *a, const void *b, void *listing);

/* scan_ticks.c */
/** Before files of `dir` are handed on: how fine its file system's clock is. */
void ur_scan_know_tick(struct ur_scan *scan, struct ur_dir *dir, size_t count);

/* scan_group.c */
int ur_scan_emit_groups(struct ur_scan *scan, struct ur_dir *dir, size_t count);

/* scan_loose.c */
/** The files that were named one by one, and those of the list. */
int ur_scan_loose(struct ur_scan *scan);

#endif
