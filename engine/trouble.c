/* trouble - said when it is new, and once a day; counted between. */
#include "engine/trouble.h"

#include "engine/media/hash.h"

#include <string.h>

#define DAY_NS (INT64_C(24) * 3600 * UR_SECOND_NS)

bool ur_trouble_was_known(const struct ur_troubles *troubles, const struct ur_record *row)
{
	return row != NULL && row->trouble && row->run <= troubles->known.run;
}

void ur_trouble_see(struct ur_troubles *troubles, bool known)
{
	atomic_fetch_add(&troubles->count, 1);
	atomic_fetch_add(&troubles->fresh, known ? 0 : 1);
}

static bool has_place(const struct ur_ledger_trouble *known, uint64_t mark)
{
	for (unsigned i = 0; i < known->place_count; i++) {
		if (known->places[i] == mark) {
			return true;
		}
	}
	/* Of more than are kept apart, one that is not among them may be one of the others. */
	return known->place_count == UR_LEDGER_PLACES_MAX;
}

bool ur_trouble_see_place(struct ur_troubles *troubles, const char *path, const char *what)
{
	const uint64_t mark =
		ur_hash_short(path, strlen(path), ur_hash_short(what, strlen(what), 0));
	const bool known = has_place(&troubles->known, mark);
	if (troubles->place_count < UR_LEDGER_PLACES_MAX) {
		troubles->places[troubles->place_count++] = mark;
	}
	ur_trouble_see(troubles, known);
	return known;
}

/**
 * A day by either clock: one that was stepped back must not keep it silent, and one that was stepped
 * on says it once too often.
 */
bool ur_trouble_is_due(const struct ur_troubles *troubles, int64_t now_ns)
{
	const struct ur_ledger_trouble *known = &troubles->known;
	if (troubles->fresh > 0) {
		return true;
	}
	return troubles->count > 0 &&
	       (!ur_age_is_begun(&known->told) || ur_age_ns(&known->told) >= DAY_NS ||
		       now_ns - known->told_ns >= DAY_NS);
}

void ur_trouble_sum(const struct ur_troubles *troubles, int64_t run, int64_t now_ns,
	struct ur_ledger_trouble *ret)
{
	const bool due = ur_trouble_is_due(troubles, now_ns);
	*ret = (struct ur_ledger_trouble){
		.run = run,
		.count = troubles->count,
		.told_ns = due ? now_ns : troubles->known.told_ns,
		.told = due ? ur_age_begin() : ur_age_keep(&troubles->known.told),
		.place_count = troubles->place_count,
	};
	memcpy(ret->places, troubles->places, troubles->place_count * sizeof *ret->places);
}
