/**
 * staging - the folder UR_STAGING, and the names in it; shared by who removes and who recovers.
 *
 *     NAME ──▶ .uringest/TOKEN-NAME ──▶ gone, or back as NAME, or as "NAME (2)"
 *
 *   Errors   negative errno
 *   Threads  any
 */
#ifndef UR_SOURCE_STAGING_H
#define UR_SOURCE_STAGING_H

#include "engine/source/folder.h"

#define UR_STAGED_NAME_MAX 255

/** TOKEN-NAME, the front of NAME cut when it is too long: what is left keeps its extension. */
void ur_staging_name(const char *token, const char *name, char ret[UR_STAGED_NAME_MAX + 1]);
/** A descriptor of the staging folder in `parent`, which is made when it is missing. */
[[nodiscard]] int ur_staging_open(int parent);
/** A rename that never replaces; when the name is taken, another one beside it. */
[[nodiscard]] int ur_rename_beside(int from_dir, const char *from, int to_dir, const char *to);

#endif
