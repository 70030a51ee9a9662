/* clock - thin over clock_gettime, and the calendar without time zones. */
#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t step_ns;

static int64_t now(clockid_t id)
{
	struct timespec ts = {0};
	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * UR_SECOND_NS + ts.tv_nsec;
}

int64_t ur_clock_wall_ns(void)
{
	return now(CLOCK_REALTIME) + atomic_load_explicit(&step_ns, memory_order_relaxed);
}

int64_t ur_clock_steady_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

int64_t ur_clock_boot_ns(void)
{
	return now(CLOCK_BOOTTIME);
}

void ur_clock_step(int64_t by_ns)
{
	atomic_fetch_add(&step_ns, by_ns);
}

static char boot_id[UR_BOOT_ID_SIZE];
static pthread_once_t boot_once = PTHREAD_ONCE_INIT;

static void read_boot_id(void)
{
	const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return;
	}
	const ssize_t size = read(fd, boot_id, sizeof boot_id - 1);
	(void)close(fd);
	if (size != sizeof boot_id - 1) {
		boot_id[0] = '\0';
	}
}

const char *ur_clock_boot_id(void)
{
	(void)pthread_once(&boot_once, read_boot_id);
	return boot_id;
}

/** Floor division, so that times before 1970 keep a fraction that counts upwards. */
static int64_t whole_seconds(int64_t ns)
{
	return ns >= 0 ? ns / UR_SECOND_NS : -((-ns + UR_SECOND_NS - 1) / UR_SECOND_NS);
}

void ur_clock_iso(int64_t wall_ns, char ret[UR_CLOCK_TEXT])
{
	const int64_t seconds = whole_seconds(wall_ns);
	const time_t at = (time_t)seconds;
	struct tm tm = {0};
	if (gmtime_r(&at, &tm) == NULL || tm.tm_year > 9999 - 1900) {
		(void)snprintf(ret, UR_CLOCK_TEXT, "9999-12-31T23:59:59.000Z");
		return;
	}
	(void)snprintf(ret, UR_CLOCK_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		(tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100,
		tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100,
		(int)((wall_ns - seconds * UR_SECOND_NS) / UR_MS_NS) % 1000);
}

void ur_clock_local(int64_t wall_ns, char ret[UR_CLOCK_TEXT])
{
	const time_t at = (time_t)whole_seconds(wall_ns);
	struct tm tm = {0};
	if (localtime_r(&at, &tm) == NULL ||
		strftime(ret, UR_CLOCK_TEXT, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
		(void)snprintf(ret, UR_CLOCK_TEXT, "?");
	}
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

int ur_clock_civil(int year, int month, int day, int hour, int minute, int second, int64_t *ret_s)
{
	if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 ||
		day > days_in_month(year, month) || hour < 0 || hour > 23 || minute < 0 ||
		minute > 59 || second < 0 || second > 60) {
		return -EINVAL;
	}
	/* Days since 1970-01-01 with the year starting in March, so that leap days come last. */
	const int64_t y = month <= 2 ? year - 1 : year;
	const int64_t era = y / 400;
	const int64_t of_era = y - era * 400;
	const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	const int64_t days =
		era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
	*ret_s = days * 86400 + hour * INT64_C(3600) + minute * INT64_C(60) + second;
	return 0;
}

/** Reads exactly `count` digits at *at. */
static bool digits(const char **at, int count, int *ret)
{
	int value = 0;
	for (int i = 0; i < count; i++) {
		const char c = (*at)[i];
		if (c < '0' || c > '9') {
			return false;
		}
		value = value * 10 + (c - '0');
	}
	*at += count;
	*ret = value;
	return true;
}

static bool parse_zone(const char **at, int *ret_minutes, bool *ret_zoned)
{
	const char sign = **at;
	int hours = 0;
	int minutes = 0;
	if (sign == 'Z' || sign == 'z') {
		(*at)++;
		*ret_zoned = true;
		return true;
	}
	if (sign != '+' && sign != '-') {
		return true;
	}
	(*at)++;
	if (!digits(at, 2, &hours)) {
		return false;
	}
	if (**at == ':') {
		(*at)++;
	}
	if (**at != '\0' && !digits(at, 2, &minutes)) {
		return false;
	}
	if (hours > 15 || minutes > 59) {
		return false;
	}
	*ret_minutes = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
	*ret_zoned = true;
	return true;
}

int ur_clock_parse_iso(const char *text, int64_t *ret_ns, bool *ret_zoned)
{
	int year = 0;
	int month = 0;
	int day = 0;
	int hour = 0;
	int minute = 0;
	int second = 0;
	int64_t fraction = 0;
	int zone_minutes = 0;
	bool zoned = false;
	const char *at = text;

	if (!digits(&at, 4, &year) || *at++ != '-' || !digits(&at, 2, &month) || *at++ != '-' ||
		!digits(&at, 2, &day)) {
		return -EINVAL;
	}
	if (*at == 'T' || *at == 't' || *at == ' ') {
		at++;
		if (!digits(&at, 2, &hour) || *at++ != ':' || !digits(&at, 2, &minute)) {
			return -EINVAL;
		}
		if (*at == ':') {
			at++;
			if (!digits(&at, 2, &second)) {
				return -EINVAL;
			}
		}
		if (*at == '.' || *at == ',') {
			int64_t unit = UR_SECOND_NS / 10;
			for (at++; *at >= '0' && *at <= '9'; at++) {
				fraction += (*at - '0') * unit;
				unit /= 10;
			}
		}
		if (!parse_zone(&at, &zone_minutes, &zoned)) {
			return -EINVAL;
		}
	}
	int64_t seconds = 0;
	if (*at != '\0' || ur_clock_civil(year, month, day, hour, minute, second, &seconds) < 0) {
		return -EINVAL;
	}
	const int64_t utc = seconds - zone_minutes * INT64_C(60);
	/* int64 nanoseconds reach from 1677 to 2262. */
	if (utc < INT64_C(-9223372036) || utc > INT64_C(9223372034)) {
		return -ERANGE;
	}
	*ret_ns = utc * UR_SECOND_NS + fraction;
	*ret_zoned = zoned;
	return 0;
}

int ur_clock_parse_http(const char *text, int64_t *ret_ns)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *at = strchr(text, ',');
	int day = 0;
	int year = 0;
	int hour = 0;
	int minute = 0;
	int second = 0;
	int64_t seconds = 0;
	at = at == NULL || at[1] != ' ' ? NULL : at + 2;
	if (at == NULL || !digits(&at, 2, &day) || *at++ != ' ') {
		return -EINVAL;
	}
	const char *month = NULL;
	for (const char *m = months; *m != '\0' && month == NULL; m += 3) {
		month = strncmp(m, at, 3) == 0 ? m : NULL;
	}
	if (month == NULL) {
		return -EINVAL;
	}
	at += 3;
	if (*at++ != ' ' || !digits(&at, 4, &year) || *at++ != ' ' || !digits(&at, 2, &hour) ||
		*at++ != ':' || !digits(&at, 2, &minute) || *at++ != ':' ||
		!digits(&at, 2, &second) || strcmp(at, " GMT") != 0 ||
		ur_clock_civil(year, (int)(month - months) / 3 + 1, day, hour, minute, second,
			&seconds) < 0 ||
		seconds > INT64_C(9223372034)) {
		return -EINVAL;
	}
	*ret_ns = seconds * UR_SECOND_NS;
	return 0;
}
