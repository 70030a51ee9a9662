/**
 * arena - memory that goes away all at once.
 *
 * The strings of one item live in its arena and are gone when the item is given back.  The first
 * block is kept on reset, so that a pool of items allocates almost nothing once it is warm.
 *
 *   Owner    the arena owns every byte it hands out; nothing is freed one by one
 *   Units    sizes in bytes; what is handed out is aligned for any type
 *   Errors   NULL when memory is short or a request exceeds UR_ARENA_MAX
 *   Threads  one at a time
 */
#ifndef UR_BASE_ARENA_H
#define UR_BASE_ARENA_H

#include <stddef.h>

#define UR_ARENA_BLOCK 1024u     // first block; later ones double up to 64 KiB
#define UR_ARENA_MAX (16u << 20) // the largest single request

struct ur_arena {
	struct ur_arena_block *first;
	struct ur_arena_block *last;
};

void ur_arena_init(struct ur_arena *arena);
void ur_arena_done(struct ur_arena *arena);
void ur_arena_reset(struct ur_arena *arena);

[[nodiscard]] void *ur_arena_alloc(struct ur_arena *arena, size_t bytes);
[[nodiscard]] char *ur_arena_copy(struct ur_arena *arena, const void *data, size_t bytes);
[[nodiscard]] char *ur_arena_string(struct ur_arena *arena, const char *text);
[[nodiscard]] char *ur_arena_format(struct ur_arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
