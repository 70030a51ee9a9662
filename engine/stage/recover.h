/**
 * recover - what a crash left in staging folders, before anything is scanned.
 *
 *     ledger's row: confirmed, TOKEN ──▶ in a staging folder?           back to its name, delivered
 *                                    ──▶ at its name?                   delivered, settled from the start
 *                                    ──▶ nowhere, and the very folder
 *                                        that it was staged in says so?  settled
 *                                    ──▶ its disk is away, or in use?   later
 *                                    ──▶ else                           its whereabouts are not known
 *
 * A search that finds nothing proves a removal only when it has looked into the very folder, by its
 * inode, that the row names: one that was renamed has taken the staged file with it.
 *
 *   Errors   the ledger's; a file that cannot be looked at now is told and left for the next start
 *   Threads  before the stages start
 */
#ifndef UR_STAGE_RECOVER_H
#define UR_STAGE_RECOVER_H

#include "engine/run.h"

enum ur_recover_name {
	UR_RECOVER_NAME_FREE,
	UR_RECOVER_NAME_SAME,  // the file that was hashed
	UR_RECOVER_NAME_OTHER, // another one
};

/** What is known of a row's file. */
struct ur_recover_facts {
	bool staged;   // it stands in a staging folder of ours
	bool kept_out; // a place where it may stand cannot be looked into now
	enum ur_recover_name name;
	bool disk;        // the file system that it was on is there
	bool place_known; // the row says in which folder the staging folder stood
	bool place_same;  // that very folder is there, and was looked into
};

enum ur_recover_verdict {
	UR_RECOVER_BACK,    // put it back
	UR_RECOVER_HERE,    // it is at its name
	UR_RECOVER_REMOVED, // the run had taken it away
	UR_RECOVER_LATER,   // nothing is known today
	UR_RECOVER_UNKNOWN, // it may stand staged in a folder that was renamed
};
enum ur_recover_verdict ur_recover_judge(const struct ur_recover_facts *facts);

/**
 * The rows first, then what no row knows in the roots' own staging folders, then half-made copies in
 * the move target: those whose original has just been found.
 */
[[nodiscard]] int ur_recover(struct ur_ledger *ledger, struct ur_run *run,
	struct ur_root *const *roots, size_t root_count, struct ur_err *err);

#endif
