/* schedule - the entries of a day in order; which one holds is a look at the local clock. */
#include "engine/base/schedule.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/base/text.h"

#define DAY_MINUTES (24 * 60)
#define ENTRY_TEXT_MAX 32u

static int wrong(struct ur_err *err, const char *entry, const char *why)
{
	struct ur_text shown = {0};
	ur_text_add_shown(&shown, entry, strnlen(entry, ENTRY_TEXT_MAX));
	const int r =
		ur_err_say(err, -EINVAL, UR_FAULT_SETUP, "'%s': %s", ur_text_get(&shown), why);
	ur_text_done(&shown);
	return r;
}

static int parse_rate(const char *text, uint64_t *ret)
{
	uint64_t rate = 0;
	if (strcasecmp(text, "off") == 0) {
		*ret = 0;
		return 0;
	}
	if (ur_parse_bytes(text, &rate) < 0 || rate == 0) {
		return -EINVAL;
	}
	*ret = rate;
	return 0;
}

/** "HH:MM" exactly; the minute of the day, or -EINVAL. */
static int parse_minute(const char *text, size_t size)
{
	if (size != 5 || text[2] != ':') {
		return -EINVAL;
	}
	for (size_t i = 0; i < size; i++) {
		if (i != 2 && (text[i] < '0' || text[i] > '9')) {
			return -EINVAL;
		}
	}
	const int hour = (text[0] - '0') * 10 + (text[1] - '0');
	const int minute = (text[3] - '0') * 10 + (text[4] - '0');
	return hour > 23 || minute > 59 ? -EINVAL : hour * 60 + minute;
}

/** Keeps the entries sorted by minute; -EEXIST for one that is there. */
static int insert(struct ur_schedule *schedule, struct ur_schedule_entry entry)
{
	size_t at = schedule->count;
	while (at > 0 && schedule->entries[at - 1].minute >= entry.minute) {
		at--;
	}
	if (at < schedule->count && schedule->entries[at].minute == entry.minute) {
		return -EEXIST;
	}
	memmove(&schedule->entries[at + 1], &schedule->entries[at],
		(schedule->count - at) * sizeof entry);
	schedule->entries[at] = entry;
	schedule->count++;
	return 0;
}

/** One word: "08:00,2M", or a rate alone where it is the only word. */
static int parse_entry(
	struct ur_schedule *schedule, const char *word, bool alone, struct ur_err *err)
{
	struct ur_schedule_entry entry = {0};
	const char *comma = strchr(word, ',');
	if (comma == NULL && !alone) {
		return wrong(err, word, "an entry is a time, a comma and a rate, as in 08:00,2M");
	}
	if (comma != NULL) {
		const int minute = parse_minute(word, (size_t)(comma - word));
		if (minute < 0) {
			return wrong(err, word, "the time is HH:MM, from 00:00 to 23:59");
		}
		entry.minute = minute;
	}
	if (parse_rate(comma == NULL ? word : comma + 1, &entry.rate) < 0) {
		return wrong(err, word,
			"the rate is bytes a second, as in 500K or 2M, or 'off' for no limit");
	}
	if (schedule->count == UR_SCHEDULE_MAX) {
		return wrong(err, word, "a schedule has at most 24 entries");
	}
	return insert(schedule, entry) < 0 ? wrong(err, word, "this time comes twice") : 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int ur_schedule_parse(const char *text, struct ur_schedule *ret, struct ur_err *err)
{
	struct ur_schedule schedule = {0};
	const char *at = text;
	bool first = true;
	for (;;) {
		while (is_blank(*at)) {
			at++;
		}
		if (*at == '\0') {
			break;
		}
		char word[ENTRY_TEXT_MAX];
		const size_t size = strcspn(at, " \t");
		const char *after = at + size + strspn(at + size, " \t");
		if (size >= sizeof word) {
			return wrong(err, at, "this is too long for an entry");
		}
		memcpy(word, at, size);
		word[size] = '\0';
		const int r = parse_entry(&schedule, word, first && *after == '\0', err);
		if (r < 0) {
			return r;
		}
		at = after;
		first = false;
	}
	if (first) {
		return wrong(
			err, text, "a rate is expected, as in 2M, off or \"08:00,2M 23:00,off\"");
	}
	*ret = schedule;
	return 0;
}

/** The entry that holds at this minute: the last one begun, over midnight yesterday's last. */
static const struct ur_schedule_entry *entry_at(const struct ur_schedule *schedule, int minute)
{
	for (size_t i = schedule->count; i > 0; i--) {
		if (schedule->entries[i - 1].minute <= minute) {
			return &schedule->entries[i - 1];
		}
	}
	return &schedule->entries[schedule->count - 1];
}

/** When the local clock next shows `minute`, after `now`, if nobody moves it before that. */
static time_t next_time(const struct tm *local, time_t now, int minute)
{
	const int shown = local->tm_hour * 60 + local->tm_min;
	const int wait = minute > shown ? minute - shown : minute - shown + DAY_MINUTES;
	return now - local->tm_sec + (time_t)wait * 60;
}

/** `then`, or the moment before it when the clocks are set forward or back: then all is new. */
static time_t before_clocks_move(const struct tm *local, time_t now, time_t then)
{
	struct tm at = {0};
	if (localtime_r(&then, &at) == NULL || at.tm_gmtoff == local->tm_gmtoff) {
		return then;
	}
	time_t same = now;
	while (then - same > 1) {
		const time_t middle = same + (then - same) / 2;
		if (localtime_r(&middle, &at) != NULL && at.tm_gmtoff == local->tm_gmtoff) {
			same = middle;
		} else {
			then = middle;
		}
	}
	return then;
}

/** When to look again: at the nearest of the entries' times. */
static time_t next_change(const struct ur_schedule *schedule, const struct tm *local, time_t now)
{
	time_t next = now + (time_t)DAY_MINUTES * 60;
	for (size_t i = 0; i < schedule->count; i++) {
		const time_t at = next_time(local, now, schedule->entries[i].minute);
		next = at < next ? at : next;
	}
	return before_clocks_move(local, now, next);
}

uint64_t ur_schedule_rate(const struct ur_schedule *schedule, int64_t wall_ns, int64_t *ret_next_ns)
{
	const time_t now = (time_t)(wall_ns / UR_SECOND_NS) - (wall_ns % UR_SECOND_NS < 0 ? 1 : 0);
	struct tm local = {0};
	int64_t next_ns = INT64_MAX;
	uint64_t rate = schedule->count == 0 ? 0 : schedule->entries[0].rate;

	if (schedule->count > 1 && localtime_r(&now, &local) != NULL) {
		rate = entry_at(schedule, local.tm_hour * 60 + local.tm_min)->rate;
		next_ns = (int64_t)next_change(schedule, &local, now) * UR_SECOND_NS;
	}
	if (ret_next_ns != NULL) {
		*ret_next_ns = next_ns;
	}
	return rate;
}
