/* pair - names compared without case, times compared without zones. */
#include "engine/media/pair.h"

#include "engine/base/clock.h"

#include <string.h>
#include <strings.h>

#define QUARTER_NS (INT64_C(15) * 60 * UR_SECOND_NS)
#define ZONE_NS (INT64_C(14) * 3600 * UR_SECOND_NS)

/** Where the extension's dot is, or the end; a leading dot begins no extension. */
static size_t dot_of(const char *name, size_t size)
{
	for (size_t i = size; i > 1; i--) {
		if (name[i - 1] == '.') {
			return i - 1;
		}
	}
	return size;
}

static bool is_sidecar(const char *name, size_t dot)
{
	return strcasecmp(name + dot, ".xmp") == 0;
}

int ur_pair_sidecar(const char *media_name, const char *sidecar_name)
{
	const size_t media = strlen(media_name);
	const size_t dot = dot_of(sidecar_name, strlen(sidecar_name));
	if (!is_sidecar(sidecar_name, dot) || is_sidecar(media_name, dot_of(media_name, media))) {
		return 0;
	}
	if (dot == media && strncasecmp(media_name, sidecar_name, dot) == 0) {
		return 1;
	}
	if (dot == dot_of(media_name, media) && strncasecmp(media_name, sidecar_name, dot) == 0) {
		return 2;
	}
	return 0;
}

size_t ur_pair_stem(const char *name)
{
	const size_t dot = dot_of(name, strlen(name));
	if (!is_sidecar(name, dot)) {
		return dot;
	}
	/* NAME.EXT.xmp: only a known extension, for "2024.05.xmp" may be the sidecar of 2024.05.jpg. */
	const size_t inner = dot_of(name, dot);
	if (inner + 1 < dot && ur_kind_usual_extension(name + inner + 1, dot - inner - 1)) {
		return inner;
	}
	return dot;
}

int ur_pair_stem_compare(const char *a, const char *b)
{
	const size_t a_size = ur_pair_stem(a);
	const size_t b_size = ur_pair_stem(b);
	const int order = strncasecmp(a, b, a_size < b_size ? a_size : b_size);
	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int64_t distance(int64_t a, int64_t b)
{
	int64_t far = 0;
	if (__builtin_sub_overflow(a, b, &far) || far == INT64_MIN) {
		return INT64_MAX;
	}
	return far < 0 ? -far : far;
}

/** The distance that is left when one clock is set to whatever zone fits best. */
static int64_t distance_without_zone(int64_t far)
{
	if (far > ZONE_NS) {
		return far - ZONE_NS;
	}
	const int64_t rest = far % QUARTER_NS;
	return rest < QUARTER_NS - rest ? rest : QUARTER_NS - rest;
}

bool ur_pair_live(const struct ur_meta *still, const struct ur_meta *movie, const char **why)
{
	if (still->content_id[0] != '\0' && movie->content_id[0] != '\0') {
		const bool same = strcasecmp(still->content_id, movie->content_id) == 0;
		*why = same ? "both carry the same content identifier"
			    : "their content identifiers differ";
		return same;
	}
	if (!still->has_time || !movie->has_time) {
		*why = "the names match, but a capture time is missing";
		return false;
	}
	const int64_t far = distance(still->time_ns, movie->time_ns);
	const bool near = (still->zoned == movie->zoned ? far : distance_without_zone(far)) <=
			  UR_PAIR_SECONDS * UR_SECOND_NS;
	*why = near ? "the names match and the capture times agree"
		    : "the names match, but the capture times are too far apart";
	return near;
}
