/**
 * trouble - what did not arrive, or could not be taken away as asked, and whether that is news.
 *
 *     a file    its row says that an earlier run knew, and which one
 *     a folder  its mark is among those that were remembered
 *
 * By hand every one of them counts.  A timer would say the same every few minutes: its run ends with 1
 * when one is new, and once a day after while any lasts; between, they are counted.  What an earlier run
 * knew is believed only of one that came to its end: what a killed one found is news.
 *
 *   Owner    the run; `known` is constant once the stages have started
 *   Units    ns of the wall clock for people, ages for what is decided
 *   Threads  any, under the caller's lock for folders
 */
#ifndef UR_TROUBLE_H
#define UR_TROUBLE_H

#include "engine/ledger/ledger.h"

struct ur_troubles {
	struct ur_ledger_trouble known; // of the last run of a timer here that came to its end
	_Atomic uint64_t count;
	_Atomic uint64_t fresh; // of them
	unsigned place_count;
	uint64_t places[UR_LEDGER_PLACES_MAX]; // of this run
};

/** True when the last run that came to its end knew of it, by the row that it left. */
bool ur_trouble_was_known(const struct ur_troubles *troubles, const struct ur_record *row);
/** One more file. */
void ur_trouble_see(struct ur_troubles *troubles, bool known);
/** One more folder, and what is wrong with it; true when that is known. */
bool ur_trouble_see_place(struct ur_troubles *troubles, const char *path, const char *what);
/** The timer is to say so. */
bool ur_trouble_is_due(const struct ur_troubles *troubles, int64_t now_ns);
/** What the next run is to know of this one, which is `run`. */
void ur_trouble_sum(const struct ur_troubles *troubles, int64_t run, int64_t now_ns,
	struct ur_ledger_trouble *ret);

#endif
