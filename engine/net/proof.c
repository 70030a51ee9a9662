/* proof - whose word it is, and what names, places and times say of an asset. */
#include "engine/net/proof.h"

#include "engine/base/clock.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define UUID_SIZE 36
#define CLOCKS_APART_NS (120 * UR_SECOND_NS)
#define IMMICH_BEGAN_NS (INT64_C(1643673600) * UR_SECOND_NS) // its first release: February 2022

bool ur_proof_is_own(const struct ur_request *request)
{
	return request->result == 0 && ur_immich_is_own_word(request->status, request->correlation,
					       request->answer_type, ur_text_get(&request->answer));
}

/* ---- places ---------------------------------------------------------------------------------- */

static bool is_hex(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!isxdigit((unsigned char)text[i])) {
			return false;
		}
	}
	return true;
}

/** "aabbccdd-1122-3344-5566-77889900aabb.ext": a name that Immich makes. */
static bool is_own_name(const char *name)
{
	static const size_t groups[] = {8, 4, 4, 4, 12};
	const char *at = name;
	if (strlen(name) < UUID_SIZE) {
		return false;
	}
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if ((i > 0 && *at++ != '-') || !is_hex(at, groups[i])) {
			return false;
		}
		at += groups[i];
	}
	return *at == '.' || *at == '\0';
}

/** The last component of the first `*size` bytes of `path`; *size becomes what lies before it. */
static const char *last_component(const char *path, size_t *size, size_t *ret_size)
{
	size_t end = *size;
	while (end > 0 && path[end - 1] == '/') {
		end--;
	}
	size_t from = end;
	while (from > 0 && path[from - 1] != '/') {
		from--;
	}
	*size = from;
	*ret_size = end - from;
	return path + from;
}

/** Shares may fold case, so names that differ in case only may be one. */
static bool is_named(const char *part, size_t size, const char *name)
{
	return size > 0 && strlen(name) == size && strncasecmp(part, name, size) == 0;
}

bool ur_proof_is_same_place(const char *original, const char *folder, const char *name)
{
	size_t left = strlen(original);
	size_t size = 0;
	const char *last = last_component(original, &left, &size);
	if (!is_named(last, size, name)) {
		return false;
	}
	if (is_own_name(name)) {
		return true;
	}
	last = last_component(original, &left, &size);
	return is_named(last, size, folder);
}

bool ur_proof_is_own_layout(const char *above, const char *folder, const char *name)
{
	return is_own_name(name) && strlen(above) == 2 && strlen(folder) == 2 &&
	       strncasecmp(name, above, 2) == 0 && strncasecmp(name + 2, folder, 2) == 0;
}

/* ---- time ------------------------------------------------------------------------------------ */

void ur_proof_take_date(const char *name, const char *value, int64_t *ret_ns)
{
	if (strcasecmp(name, "Date") == 0 && ur_clock_parse_http(value, ret_ns) < 0) {
		*ret_ns = 0;
	}
}

int64_t ur_proof_server_age_ns(int64_t date_ns, int64_t created_ns, int64_t now_ns)
{
	const int64_t apart = date_ns > now_ns ? date_ns - now_ns : now_ns - date_ns;
	if (date_ns <= 0 || created_ns < IMMICH_BEGAN_NS || created_ns > date_ns ||
		apart > CLOCKS_APART_NS) {
		return 0;
	}
	/* A proxy's clock may have said the date: what ours says is as much of a limit. */
	const int64_t at = date_ns < now_ns ? date_ns : now_ns;
	return at > created_ns ? at - created_ns : 0;
}
