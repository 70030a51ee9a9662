/**
 * recover - what a crash left in staging folders, before anything is scanned.
 *
 *     ledger's row: confirmed, TOKEN ──▶ in a staging folder?  back to its name, delivered
 *                                    ──▶ at its name?          delivered, settled from the start
 *                                    ──▶ nowhere, disk there?  settled
 *
 *   Errors   the ledger's; a file that cannot be looked at now is told and left for the next start
 *   Threads  before the stages start
 */
#ifndef UR_STAGE_RECOVER_H
#define UR_STAGE_RECOVER_H

#include "engine/run.h"

/**
 * What a crash left in staging folders goes back to its place before anything is scanned: first by
 * the ledger's rows, then whatever else stands in `root`'s own staging folder.
 */
[[nodiscard]] int ur_recover(struct ur_ledger *ledger, struct ur_run *run, struct ur_err *err);
void ur_recover_root(struct ur_run *run, struct ur_root *root);
/** Half-made copies in the move target: their sources are still in place. */
void ur_recover_target(const char *move_to);

#endif
