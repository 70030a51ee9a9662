/**
 * pair - which files of one folder belong together.
 *
 *     IMG_1.HEIC  IMG_1.MOV        a live photo, if their ids or times agree
 *     IMG_1.HEIC.xmp  IMG_1.xmp    its sidecars: the first one is the first choice
 *
 *     PXL_1.MP.jpg  PXL_1.MP       a motion photo and the movie in it once more: by their names alone
 *     ä.jpg  ä.jpg.xmp             composed here, a letter and two dots there: the same to people
 *
 * Rules about names as pure functions; no file is touched.  Letters are compared without case, in
 * ASCII only (a file system that folds more is not ours to guess), and without regard to how Unicode
 * composes them.  That only brings names together: where a.jpg and A.JPG are two pictures, what is
 * spelled as one of them belongs to that one.
 *
 *   Owner    the caller; sentences are static
 *   Units    lengths in bytes
 *   Errors   none
 *   Threads  any
 */
#ifndef UR_MEDIA_PAIR_H
#define UR_MEDIA_PAIR_H

#include "engine/media/meta.h"

#include <stdbool.h>
#include <stddef.h>

#define UR_PAIR_SECONDS 3 // a still and its movie are no further apart

/** How alike two names are that mean the same; what is more alike goes first. */
enum ur_spelling {
	UR_SPELLING_OTHER,    // they do not
	UR_SPELLING_FOLDED,   // but for case, and perhaps composition
	UR_SPELLING_COMPOSED, // but for how Unicode composes letters
	UR_SPELLING_EXACT,
};

/** 1 for NAME.EXT.xmp, the first choice; 2 for NAME.xmp; 0 when it is not its sidecar. */
int ur_pair_sidecar(const char *media_name, const char *sidecar_name);
/** The same, and how alike the names are. */
int ur_pair_sidecar_spelled(
	const char *media_name, const char *sidecar_name, enum ur_spelling *ret);
/** Of the stems of two names. */
enum ur_spelling ur_pair_stem_spelling(const char *a, const char *b);

/**
 * Length of the stem: everything before the last dot; a leading dot begins no extension.  For a
 * sidecar NAME.EXT.xmp it is the stem of NAME.EXT, where EXT is a usual extension of pictures.
 * Of NAME.MP.jpg it is NAME, as of the movie NAME.MP.
 */
size_t ur_pair_stem(const char *name);
/** Whether the movie is NAME.MP and the still NAME.MP.jpg, in whatever case. */
bool ur_pair_motion(const char *still_name, const char *movie_name);
/** Orders names by stem without case and composition, so that sorting brings a group together. */
int ur_pair_stem_compare(const char *a, const char *b);

/**
 * Whether a still and a movie of one stem are one live photo.  Both carry an id: the ids decide.
 * Otherwise both times must be known and at most UR_PAIR_SECONDS apart; a time without a zone and
 * one in UTC are compared modulo quarter hours up to 14 hours.  `why` gets a static sentence.
 */
bool ur_pair_live(const struct ur_meta *still, const struct ur_meta *movie, const char **why);

#endif
