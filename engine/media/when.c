/*
 * when - a date, a break, a time of day, and nothing that makes the digits longer.
 *
 *     20240506  _  070809  [123]        IMG_ VID_ Screenshot_ PXL_
 *     2024-05-06  ␣  07.08.09           with any of - . _ : between, the same each time
 *     20240506  -WA0001                 messengers keep the day only
 */
#include "engine/media/when.h"

#include "engine/base/clock.h"

#include <stddef.h>
#include <string.h>

#define YEAR_FIRST 1980
#define DAY_NS (INT64_C(86400) * UR_SECOND_NS)

struct found {
	int date[3];
	int time[3];
	int ms;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/** Exactly `count` digits; returns what follows, or NULL. */
static const char *digits(const char *at, int count, int *ret)
{
	int value = 0;
	for (int i = 0; i < count; i++) {
		if (!is_digit(at[i])) {
			return NULL;
		}
		value = value * 10 + (at[i] - '0');
	}
	*ret = value;
	return at + count;
}

/** Three numbers, the first of `width` digits, all joined or all parted by one of `between`. */
static const char *triple(const char *at, int width, const char *between, int ret[3])
{
	at = digits(at, width, &ret[0]);
	if (at == NULL) {
		return NULL;
	}
	const char part = *at != '\0' && strchr(between, *at) != NULL ? *at : '\0';
	for (int i = 1; i < 3; i++) {
		if (part != '\0' && *at++ != part) {
			return NULL;
		}
		at = digits(at, 2, &ret[i]);
		if (at == NULL) {
			return NULL;
		}
	}
	return at;
}

/** What stands between day and time. */
static const char *skip_break(const char *at)
{
	if (strncmp(at, " at ", 4) == 0) {
		return at + 4;
	}
	return *at != '\0' && strchr("_- T.", *at) != NULL ? at + 1 : NULL;
}

static bool read_here(const char *at, struct found *ret)
{
	*ret = (struct found){0};
	at = triple(at, 4, "-._", ret->date);
	if (at == NULL) {
		return false;
	}
	if (strncmp(at, "-WA", 3) == 0 && is_digit(at[3])) {
		return true;
	}
	at = skip_break(at);
	at = at != NULL ? triple(at, 2, "-.:_", ret->time) : NULL;
	if (at == NULL) {
		return false;
	}
	if (is_digit(*at)) {
		at = digits(at, 3, &ret->ms);
	}
	return at != NULL && !is_digit(*at);
}

static bool is_real(const struct found *found, int64_t now_ns, int64_t *ret_ns)
{
	int64_t seconds = 0;
	if (found->date[0] < YEAR_FIRST || found->date[0] > 2200 || found->time[2] > 59 ||
		ur_clock_civil(found->date[0], found->date[1], found->date[2], found->time[0],
			found->time[1], found->time[2], &seconds) < 0) {
		return false;
	}
	const int64_t ns = seconds * UR_SECOND_NS + found->ms * UR_MS_NS;
	/* In the east of the zone line it is tomorrow already. */
	if (ns - DAY_NS > now_ns) {
		return false;
	}
	*ret_ns = ns;
	return true;
}

bool ur_when_of_name(const char *name, int64_t now_ns, int64_t *ret_ns, bool *ret_utc)
{
	for (const char *at = name; *at != '\0'; at++) {
		struct found found;
		if (!is_digit(*at) || (at > name && is_digit(at[-1]))) {
			continue;
		}
		if (read_here(at, &found) && is_real(&found, now_ns, ret_ns)) {
			*ret_utc = strncmp(name, "PXL_", 4) == 0;
			return true;
		}
	}
	return false;
}
