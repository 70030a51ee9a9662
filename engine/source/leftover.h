/**
 * leftover - what stands in a staging folder although no run is at work there.
 *
 *     FOLDER/.uringest/ ──each──▶ put back beside its name │ left alone │ named
 *
 *   Errors   -ENOENT there is no staging folder, -EWOULDBLOCK a run uses it, UR_STAGING_FOREIGN,
 *            UR_STAGING_OPEN and what else keeps us out; ur_staging_say() has the sentence
 *   Threads  any
 */
#ifndef UR_SOURCE_LEFTOVER_H
#define UR_SOURCE_LEFTOVER_H

#include "engine/source/staging.h"

/** One file in the staging folder: what to do with it is the caller's; a negative return ends it. */
typedef int ur_leftover_fn(
	void *context, int parent, int staging, const char *name, const struct ur_staged *what);
/** Every file of the staging folder in `parent`, locked meanwhile; `tidy`: an empty one is removed. */
[[nodiscard]] int ur_leftover_each(int parent, const struct ur_staging_key *key, bool tidy,
	ur_leftover_fn *each, void *context);

/** What is to be done with a leftover that no row of the ledger knows. */
enum ur_leftover_fate {
	UR_LEFTOVER_BACK,  // an original of this ledger: back to its name
	UR_LEFTOVER_LIVE,  // the present run has put it there
	UR_LEFTOVER_COPY,  // half of a copy, or a whole one: only the ledger's row can tell
	UR_LEFTOVER_OTHER, // not provably ours: never touched, but named
};
/** run: the present one's id, as tokens begin with it; 0: none is at work. */
enum ur_leftover_fate ur_leftover_judge(const struct ur_staged *what, int64_t run);

/** How many there were. */
struct ur_leftovers {
	unsigned back;
	unsigned stuck; // ours, and could not be put back
	unsigned copies;
	unsigned others;
	char name[UR_STAGED_NAME_MAX + 1];    // of the last one put back, as it is called now
	char example[UR_STAGED_NAME_MAX + 1]; // of one that was left alone, as it was called
};
/** Puts back what is this ledger's and no present run's; counts the rest and leaves it alone. */
[[nodiscard]] int ur_leftover_tidy(
	int parent, const struct ur_staging_key *key, int64_t run, struct ur_leftovers *ret);

/** A folder and what is in it; `staging`: a staging folder among it. */
typedef int ur_leftover_folder_fn(void *context, int folder, const char *path,
	const struct ur_listing *listing, bool staging);
/** Calls `each` with `fd` and every folder below it, through no link; a negative return ends it. */
[[nodiscard]] int ur_leftover_walk(
	int fd, const char *path, ur_leftover_folder_fn *each, void *context);

#endif
