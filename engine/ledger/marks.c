/* marks - they are evenly spread numbers, so their place can be guessed. */
#include "engine/ledger/marks.h"

#include "engine/media/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOLD 1u // in a mark's last byte
#define NAME_MAX_BYTES 255u

static_assert(UR_MARK_SIZE == UR_HASH_XXH, "a mark is an XXH3-128 less one bit");

struct ur_mark ur_mark_of(
	const struct ur_identity *identity, const char *name, size_t name_size, bool told)
{
	struct {
		struct ur_identity identity;
		char name[NAME_MAX_BYTES];
	} whole;
	static_assert(sizeof(struct ur_identity) == 40, "no padding that would be hashed");
	assert(name_size <= NAME_MAX_BYTES);
	whole.identity = *identity;
	memcpy(whole.name, name, name_size);
	struct ur_mark mark = {0};
	ur_xxh_of(&whole, offsetof(typeof(whole), name) + name_size, mark.bytes);
	uint8_t *last = &mark.bytes[UR_MARK_SIZE - 1];
	*last = (uint8_t)((*last & ~TOLD) | (told ? TOLD : 0u));
	return mark;
}

int ur_marks_add(struct ur_marks *seal, const struct ur_mark *mark)
{
	if (seal->count == seal->room) {
		const size_t room = seal->room == 0 ? 128 : seal->room * 2;
		struct ur_mark *marks = realloc(seal->marks, room * sizeof *marks);
		if (marks == NULL) {
			return -ENOMEM;
		}
		seal->marks = marks;
		seal->room = room;
	}
	seal->marks[seal->count++] = *mark;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, UR_MARK_SIZE);
}

void ur_marks_sort(struct ur_marks *seal)
{
	if (seal->count > 0) {
		qsort(seal->marks, seal->count, sizeof *seal->marks, by_bytes);
	}
}

void ur_marks_done(struct ur_marks *seal)
{
	free(seal->marks);
	*seal = (struct ur_marks){0};
}

static uint64_t top_of(const struct ur_mark *mark)
{
	uint64_t top = 0;
	memcpy(&top, mark->bytes, sizeof top);
	return __builtin_bswap64(top);
}

/** The first mark of `top` or more, from a guess that is some steps beside it. */
static size_t first_from(const struct ur_mark *marks, size_t count, uint64_t top)
{
	size_t at = (size_t)(((unsigned __int128)top * count) >> 64);
	while (at < count && top_of(&marks[at]) < top) {
		at++;
	}
	while (at > 0 && top_of(&marks[at - 1]) >= top) {
		at--;
	}
	return at;
}

enum ur_sealed ur_marks_find(const void *bytes, size_t count, const struct ur_mark *mark)
{
	const struct ur_mark *marks = bytes;
	const uint64_t top = top_of(mark);
	for (size_t i = first_from(marks, count, top); i < count && top_of(&marks[i]) == top; i++) {
		const uint8_t last = marks[i].bytes[UR_MARK_SIZE - 1];
		if (memcmp(marks[i].bytes, mark->bytes, UR_MARK_SIZE - 1) == 0 &&
			(last & ~TOLD) == mark->bytes[UR_MARK_SIZE - 1]) {
			return (last & TOLD) != 0 ? UR_SEALED_TOLD : UR_SEALED_DONE;
		}
	}
	return UR_SEALED_NOT;
}
