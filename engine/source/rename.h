/**
 * rename - a file gets another name and never takes anybody's place; the one place that knows how.
 *
 *     RENAME_NOREPLACE             where there is one
 *     else link, unlink            killed between: two names of one file, the next call ends it
 *     else placeholder, rename     killed between: a small file that says what it keeps the name for,
 *                                  and is recognised by that
 *
 * ntfs-3g, exFAT and other FUSE file systems, NFS, 9p and mergerfs know no RENAME_NOREPLACE.  A plain
 * rename onto a name that was free a moment ago loses what a camera has written there since, so it
 * goes onto nothing but a placeholder of our own that was made there exclusively and still says so.
 * A note in the staging folder that the file comes from tells of a placeholder that is still empty.
 *
 *   Errors   -EEXIST the name is taken; else what the disk said, and nothing has changed
 *   Threads  any
 */
#ifndef UR_SOURCE_RENAME_H
#define UR_SOURCE_RENAME_H

#include "engine/source/staging.h"

/**
 * From the name `from` in a staging folder to the name `to`.  `key`: a placeholder that this ledger left there is ours;
 * NULL: only one that was kept for `from`.
 */
[[nodiscard]] int ur_rename_new(const struct ur_staging_key *key, int from_dir, const char *from,
	int to_dir, const char *to);
/** The same; when the name is taken, another one beside it.  ret, which may be NULL: the name. */
[[nodiscard]] int ur_rename_beside(const struct ur_staging_key *key, int from_dir, const char *from,
	int to_dir, const char *to, char ret[UR_STAGED_NAME_MAX + 1]);
/** Nothing that this ledger was renaming from here is unfinished any more. */
void ur_rename_done(const struct ur_staging_key *key, int from_dir);
/** Into a staging folder that is ours and locked, under a name that nobody else can make. */
[[nodiscard]] int ur_rename_into(int from_dir, const char *from, int staging, const char *staged);

#endif
