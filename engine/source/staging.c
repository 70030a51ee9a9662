/* staging - where files stand between their name and their removal. */
#include "engine/source/staging.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FREE_NAMES_MAX 1000 // "IMG (2).jpg" … before we give up

void ur_staging_name(const char *token, const char *name, char ret[UR_STAGED_NAME_MAX + 1])
{
	const size_t mark = strlen(token);
	const size_t room = UR_STAGED_NAME_MAX - mark - 1;
	const size_t size = strlen(name);
	const size_t keep = size > room ? room : size;
	(void)snprintf(ret, mark + 2, "%s-", token);
	memcpy(ret + mark + 1, name + size - keep, keep + 1);
}

/** "IMG.jpg" → "IMG (2).jpg": a name beside one that is taken. */
static void other_name(const char *name, int number, char *ret, size_t room)
{
	const char *dot = strrchr(name, '.');
	const size_t stem = dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name);
	char mark[16];
	const int mark_size = snprintf(mark, sizeof mark, " (%d)", number);
	const size_t tail = strlen(name + stem);
	size_t keep = stem;
	if (keep + (size_t)mark_size + tail > 255) {
		keep = 255 - (size_t)mark_size - tail;
	}
	(void)snprintf(ret, room, "%.*s%s%s", (int)keep, name, mark, name + stem);
}

int ur_rename_beside(int from_dir, const char *from, int to_dir, const char *to)
{
	int r = ur_sys.rename_new(from_dir, from, to_dir, to);
	for (int n = 2; r == -EEXIST && n < FREE_NAMES_MAX; n++) {
		char name[320];
		other_name(to, n, name, sizeof name);
		r = ur_sys.rename_new(from_dir, from, to_dir, name);
	}
	return r;
}

int ur_staging_open(int parent)
{
	int r = ur_sys.mkdirat(parent, UR_STAGING, 0700);
	if (r < 0 && r != -EEXIST) {
		return r;
	}
	return ur_sys.openat(parent, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}
