/* filter - lines of eight words; a hash names a line and a bit in each of its words. */
#include "engine/base/filter.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define LINES 32768u // a power of two
#define WORDS 8

struct line {
	alignas(64) uint64_t words[WORDS];
};

struct ur_filter {
	struct line lines[LINES];
};

/** A line, and where its bits are: six of a hash's bits for each of the eight words. */
struct place {
	size_t line;
	uint64_t bits;
};

static struct place place_of(const uint8_t hash[UR_FILTER_HASH])
{
	uint64_t halves[2];
	memcpy(halves, hash, sizeof halves);
	return (struct place){halves[0] & (LINES - 1), halves[1]};
}

static uint64_t bit_of(struct place place, int word)
{
	return UINT64_C(1) << (place.bits >> (6 * word) & 63);
}

int ur_filter_new(struct ur_filter **ret)
{
	*ret = aligned_alloc(alignof(struct ur_filter), sizeof **ret);
	if (*ret == NULL) {
		return -ENOMEM;
	}
	memset(*ret, 0, sizeof **ret);
	return 0;
}

struct ur_filter *ur_filter_free(struct ur_filter *filter)
{
	free(filter);
	return NULL;
}

void ur_filter_add(struct ur_filter *filter, const uint8_t hash[UR_FILTER_HASH])
{
	const struct place place = place_of(hash);
	for (int i = 0; i < WORDS; i++) {
		filter->lines[place.line].words[i] |= bit_of(place, i);
	}
}

bool ur_filter_perhaps(const struct ur_filter *filter, const uint8_t hash[UR_FILTER_HASH])
{
	const struct place place = place_of(hash);
	for (int i = 0; i < WORDS; i++) {
		if ((filter->lines[place.line].words[i] & bit_of(place, i)) == 0) {
			return false;
		}
	}
	return true;
}
