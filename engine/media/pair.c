/*
 * pair - names compared without case and composition, times compared without zones.
 *
 * A name that composition cannot change is compared as it is, byte by byte.  That is nearly every
 * one, and seen from its bytes: what may combine with the letter before it begins at U+0300.
 */
#include "engine/media/pair.h"

#include "engine/base/clock.h"
#include "engine/media/kind.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

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

/* ---- spellings ------------------------------------------------------------------------------- */

/** Kana, ideographs and syllables but for the two voice marks that combine: E3 82 99, E3 82 9A. */
static bool is_settled_3(const unsigned char *p)
{
	const bool kana = p[0] == 0xe3 && !(p[1] == 0x82 && (p[2] == 0x99 || p[2] == 0x9a));
	const bool ideograph = p[0] >= 0xe4 && p[0] <= 0xe9;
	const bool syllable = p[0] >= 0xeb && p[0] <= 0xec;
	return kana || ideograph || syllable;
}

/** Surely as Unicode composes it.  Below U+0300 (lead byte 0xcc) nothing combines. */
static bool is_composed(const char *name, size_t size)
{
	const unsigned char *p = (const unsigned char *)name;
	for (size_t i = 0; i < size; i++) {
		if (p[i] < 0xcc) {
			continue; // ASCII, Latin, and what follows a first byte
		}
		if (size - i < 3 || !is_settled_3(p + i)) {
			return false;
		}
		i += 2;
	}
	return true;
}

/** A name composed; what is no UTF-8 stays as it is. */
struct composed {
	const char *bytes;
	size_t size;
	utf8proc_uint8_t *made;
};

static struct composed compose(const char *name, size_t size)
{
	struct composed c = {name, size, NULL};
	if (!is_composed(name, size)) {
		const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)name,
			(utf8proc_ssize_t)size, &c.made, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
		if (n >= 0) {
			c.bytes = (const char *)c.made;
			c.size = (size_t)n;
		}
	}
	return c;
}

static int order_of(const struct composed *a, const struct composed *b)
{
	const int order = strncasecmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
	return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
	struct composed x = compose(a, a_size);
	struct composed y = compose(b, b_size);
	const int order = order_of(&x, &y);
	free(x.made);
	free(y.made);
	return order;
}

static bool is_exact(const char *a, size_t a_size, const char *b, size_t b_size)
{
	return a_size == b_size && memcmp(a, b, a_size) == 0;
}

static enum ur_spelling spelling_of(const char *a, size_t a_size, const char *b, size_t b_size)
{
	if (is_exact(a, a_size, b, b_size)) {
		return UR_SPELLING_EXACT;
	}
	struct composed x = compose(a, a_size);
	struct composed y = compose(b, b_size);
	const enum ur_spelling spelling = is_exact(x.bytes, x.size, y.bytes, y.size)
						  ? UR_SPELLING_COMPOSED
					  : order_of(&x, &y) == 0 ? UR_SPELLING_FOLDED
								  : UR_SPELLING_OTHER;
	free(x.made);
	free(y.made);
	return spelling;
}

/* ---- names ----------------------------------------------------------------------------------- */

int ur_pair_sidecar_spelled(const char *media_name, const char *sidecar_name, enum ur_spelling *ret)
{
	const size_t media = strlen(media_name);
	const size_t stem = dot_of(media_name, media);
	const size_t dot = dot_of(sidecar_name, strlen(sidecar_name));
	*ret = UR_SPELLING_OTHER;
	if (!is_sidecar(sidecar_name, dot) || is_sidecar(media_name, stem)) {
		return 0;
	}
	*ret = spelling_of(media_name, media, sidecar_name, dot);
	if (*ret != UR_SPELLING_OTHER) {
		return 1;
	}
	*ret = spelling_of(media_name, stem, sidecar_name, dot);
	return *ret != UR_SPELLING_OTHER ? 2 : 0;
}

int ur_pair_sidecar(const char *media_name, const char *sidecar_name)
{
	enum ur_spelling spelling;
	return ur_pair_sidecar_spelled(media_name, sidecar_name, &spelling);
}

/** A motion photo's name says twice what it is: NAME.MP.jpg. */
static size_t without_motion(const char *name, size_t size)
{
	const size_t mark = sizeof ".MP" - 1;
	return size > mark && strncasecmp(name + size - mark, ".MP", mark) == 0 ? size - mark
										: size;
}

size_t ur_pair_stem(const char *name)
{
	const size_t size = strlen(name);
	const size_t dot = dot_of(name, size);
	if (!is_sidecar(name, dot)) {
		return dot == size ? size : without_motion(name, dot);
	}
	/* NAME.EXT.xmp: only a known extension, for "2024.05.xmp" may be the sidecar of 2024.05.jpg. */
	const size_t inner = dot_of(name, dot);
	const bool known =
		inner + 1 < dot && ur_kind_usual_extension(name + inner + 1, dot - inner - 1);
	return without_motion(name, known ? inner : dot);
}

bool ur_pair_motion(const char *still_name, const char *movie_name)
{
	const size_t still = dot_of(still_name, strlen(still_name));
	const size_t movie = strlen(movie_name);
	const size_t dot = dot_of(movie_name, movie);
	return strcasecmp(movie_name + dot, ".MP") == 0 && still < strlen(still_name) &&
	       spelling_of(still_name, still, movie_name, movie) != UR_SPELLING_OTHER;
}

int ur_pair_stem_compare(const char *a, const char *b)
{
	return compare(a, ur_pair_stem(a), b, ur_pair_stem(b));
}

enum ur_spelling ur_pair_stem_spelling(const char *a, const char *b)
{
	return spelling_of(a, ur_pair_stem(a), b, ur_pair_stem(b));
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
