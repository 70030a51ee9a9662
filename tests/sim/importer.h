/**
 * importer - the importer's world: files, and the coordinator between them and the server.
 *
 *   Owner    static, one world
 *   Threads  one
 */
#ifndef UR_TESTS_SIM_IMPORTER_H
#define UR_TESTS_SIM_IMPORTER_H

#include "engine/import/coordinator/internal.h"
#include "tests/sim/sim.h"

struct sim_file {
	char name[24];
	int content;
	enum ur_class class;
	bool there;   // at its name
	bool aside;   // in the staging folder
	bool removed; // by us
	int appears;  // in which run at the earliest
	bool travelled;
	uint64_t inode;
	int64_t ctime_ns;
};
extern struct sim_file sim_files[SIM_FILES];

/** No upload of an earlier world is on its way. */
void sim_run_begin(void);
/** One run of the importer, to its end or its death. */
void sim_run(void);

/* ---- ledger.c ---------------------------------------------------------------------------------- */

void sim_ledger_begin(void);
/** What was not committed is forgotten. */
void sim_ledger_crash(void);
/** The row of a file, as the next run reads it; NULL without. */
const struct ur_record *sim_ledger_row(int file);

#endif
