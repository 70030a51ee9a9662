/**
 * sidecar - what an XMP file says about its picture.
 *
 * Properties count in both of RDF's spellings, as attributes and as elements.  A document type
 * declaration is refused before it can define an entity, so there is nothing to expand.
 *
 *   Owner    every string lives in the arena
 *   Units    date_ns is UTC when date_zoned, else the local time read as UTC; degrees
 *   Errors   -EINVAL  not well-formed, not XMP, or beyond a limit: a sentence with the line
 *            -EFBIG   more than UR_SIDECAR_MAX bytes
 *            -ENOMEM
 *   Threads  any; an arena belongs to one thread at a time
 *   Source   XMP specification part 1 (ISO 16684-1) and part 2; Exif for XMP
 */
#ifndef UR_MEDIA_SIDECAR_H
#define UR_MEDIA_SIDECAR_H

#include "engine/base/arena.h"
#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_SIDECAR_MAX (4u << 20)        // bytes of one file
#define UR_SIDECAR_TAGS_MAX 1024u        // tags of one picture
#define UR_SIDECAR_VALUE_MAX (64u << 10) // bytes of one value

struct ur_sidecar {
	bool has_date;
	bool date_zoned;
	int64_t date_ns;
	char *date_text; // as it stands there, NULL without a date
	bool has_place;
	double latitude;
	double longitude;
	char *description; // NULL when there is none
	bool has_rating;
	int rating;  // -1 (rejected) to 5
	char **tags; // hierarchical ones as "a/b"; no tag twice
	size_t tag_count;
};

[[nodiscard]] int ur_sidecar_parse(struct ur_arena *arena, const void *bytes, size_t size,
	struct ur_sidecar *ret, struct ur_err *err);

#endif
