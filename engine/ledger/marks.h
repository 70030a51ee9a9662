/**
 * marks - what a folder looks like when nothing in it needs anything: one mark a file.
 *
 *     mark = XXH3-128 of (identity, name), its last bit: worth a line in a report
 *
 *     rows of a folder ─▶ marks, sorted ─▶ one blob in the ledger
 *     listing ─▶ mark of each entry ─▶ in the blob?  then it is known, unchanged, and done with
 *
 * A re-sync reads one blob a folder instead of one row a file.  The blob is made from the rows and
 * goes when one of them is written, so it never knows more than they do.
 *
 *   Owner    a builder owns its marks until ur_marks_done()
 *   Units    marks of 16 bytes, sorted as memcmp() does
 *   Errors   -ENOMEM
 *   Threads  one builder a thread; looking up is pure
 */
#ifndef UR_LEDGER_MARKS_H
#define UR_LEDGER_MARKS_H

#include "engine/source/folder.h"

#define UR_MARK_SIZE 16u

struct ur_mark {
	uint8_t bytes[UR_MARK_SIZE];
};

struct ur_marks { // being made
	struct ur_mark *marks;
	size_t count;
	size_t room;
};

/** `told`: what became of it is worth a line in every report (refused, failed for good). */
struct ur_mark ur_mark_of(
	const struct ur_identity *identity, const char *name, size_t name_size, bool told);
[[nodiscard]] int ur_marks_add(struct ur_marks *seal, const struct ur_mark *mark);
/** Sorts; afterwards seal->marks are what is stored. */
void ur_marks_sort(struct ur_marks *seal);
void ur_marks_done(struct ur_marks *seal);

enum ur_sealed {
	UR_SEALED_NOT,
	UR_SEALED_DONE,
	UR_SEALED_TOLD,
};
/** Whether the sorted `marks` hold the file; `mark` is its mark with told false. */
enum ur_sealed ur_marks_find(const void *marks, size_t count, const struct ur_mark *mark);

#endif
