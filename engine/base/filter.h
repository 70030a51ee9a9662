/**
 * filter - a Bloom filter over hashes: whether something has certainly not been met before.
 *
 *     one word of the hash ─▶ a line of eight words;  six bits for each of them ─▶ a bit in it
 *
 * One cache line a question, whatever the number of members.  Its size is fixed: the more members,
 * the more often it says "perhaps" to something new, and then the caller has to look it up.
 *
 *   Owner    the caller
 *   Units    2 MiB: it says "perhaps" to 1 new one in 78,000 with 500,000 members, 1 in 1,400 with a
 *            million, 1 in 42 with two
 *   Errors   -ENOMEM
 *   Threads  one at a time
 */
#ifndef UR_BASE_FILTER_H
#define UR_BASE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define UR_FILTER_HASH 16 // bytes of a hash that are used; they must be as good as random

struct ur_filter;

[[nodiscard]] int ur_filter_new(struct ur_filter **ret);
struct ur_filter *ur_filter_free(struct ur_filter *filter);
void ur_filter_add(struct ur_filter *filter, const uint8_t hash[UR_FILTER_HASH]);
/** False: it was never added. */
bool ur_filter_perhaps(const struct ur_filter *filter, const uint8_t hash[UR_FILTER_HASH]);

#endif
