/* age - a lower bound of what has passed, by the boot clock alone. */
#include "engine/base/age.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ur_age ur_age_begin(void)
{
	struct ur_age age = {.at_ns = ur_clock_boot_ns()};
	(void)snprintf(age.boot, sizeof age.boot, "%s", ur_clock_boot_id());
	return age;
}

bool ur_age_is_begun(const struct ur_age *age)
{
	return age->at_ns > 0;
}

/** Where the kernel gives no id of its boot, no two readings are known to be of the same one. */
static bool is_this_boot(const struct ur_age *age, int64_t now_ns)
{
	return age->boot[0] != '\0' && strcmp(age->boot, ur_clock_boot_id()) == 0 &&
	       age->at_ns <= now_ns;
}

int64_t ur_age_ns(const struct ur_age *age)
{
	if (!ur_age_is_begun(age)) {
		return 0;
	}
	const int64_t now = ur_clock_boot_ns();
	if (is_this_boot(age, now)) {
		return age->had_ns + (now - age->at_ns);
	}
	return age->boot[0] == '\0' ? age->had_ns : age->had_ns + now;
}

struct ur_age ur_age_keep(const struct ur_age *age)
{
	const int64_t now = ur_clock_boot_ns();
	if (!ur_age_is_begun(age) || is_this_boot(age, now)) {
		return *age;
	}
	struct ur_age kept = ur_age_begin();
	kept.had_ns = ur_age_ns(age);
	return kept;
}

void ur_age_write(const struct ur_age *age, char ret[UR_AGE_TEXT])
{
	ret[0] = '\0';
	if (ur_age_is_begun(age)) {
		(void)snprintf(ret, UR_AGE_TEXT, "%" PRId64 " %" PRId64 " %s", age->had_ns,
			age->at_ns, age->boot);
	}
}

/** A number of at least 0 that ends at a blank. */
static bool read_number(const char **at, int64_t *ret)
{
	char *end = NULL;
	errno = 0;
	*ret = strtoll(*at, &end, 10);
	if (errno != 0 || end == *at || *end != ' ' || *ret < 0) {
		return false;
	}
	*at = end + 1;
	return true;
}

struct ur_age ur_age_read(const char *text)
{
	struct ur_age age = {0};
	if (!read_number(&text, &age.had_ns) || !read_number(&text, &age.at_ns) ||
		strlen(text) >= sizeof age.boot || age.had_ns > INT64_MAX / 2) {
		return (struct ur_age){0};
	}
	(void)snprintf(age.boot, sizeof age.boot, "%s", text);
	return age;
}
