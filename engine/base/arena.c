/* arena - a chain of blocks, the last of which has room. */
#include "engine/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAX (64u << 10)

struct ur_arena_block {
	struct ur_arena_block *next;
	size_t size; // bytes that follow the header
	size_t used;
	alignas(max_align_t) unsigned char bytes[];
};

void ur_arena_init(struct ur_arena *arena)
{
	*arena = (struct ur_arena){0};
}

void ur_arena_done(struct ur_arena *arena)
{
	struct ur_arena_block *block = arena->first;
	while (block != NULL) {
		struct ur_arena_block *next = block->next;
		free(block);
		block = next;
	}
	*arena = (struct ur_arena){0};
}

void ur_arena_reset(struct ur_arena *arena)
{
	if (arena->first == NULL) {
		return;
	}
	struct ur_arena rest = {.first = arena->first->next};
	arena->first->next = NULL;
	arena->first->used = 0;
	arena->last = arena->first;
	ur_arena_done(&rest);
}

static struct ur_arena_block *grow(struct ur_arena *arena, size_t bytes)
{
	size_t size = arena->last == NULL ? UR_ARENA_BLOCK : arena->last->size * 2;
	if (size > BLOCK_MAX) {
		size = BLOCK_MAX;
	}
	if (size < bytes) {
		size = bytes;
	}
	struct ur_arena_block *block = malloc(sizeof *block + size);
	if (block == NULL) {
		return NULL;
	}
	block->next = NULL;
	block->size = size;
	block->used = 0;
	if (arena->last == NULL) {
		arena->first = block;
	} else {
		arena->last->next = block;
	}
	arena->last = block;
	return block;
}

void *ur_arena_alloc(struct ur_arena *arena, size_t bytes)
{
	if (bytes > UR_ARENA_MAX) {
		return NULL;
	}
	const size_t align = alignof(max_align_t);
	const size_t rounded = (bytes + align - 1) / align * align;
	struct ur_arena_block *block = arena->last;
	if (block == NULL || block->size - block->used < rounded) {
		block = grow(arena, rounded);
		if (block == NULL) {
			return NULL;
		}
	}
	void *ret = block->bytes + block->used;
	block->used += rounded;
	return ret;
}

char *ur_arena_copy(struct ur_arena *arena, const void *data, size_t bytes)
{
	char *ret = ur_arena_alloc(arena, bytes + 1);
	if (ret != NULL) {
		memcpy(ret, data, bytes);
		ret[bytes] = '\0';
	}
	return ret;
}

char *ur_arena_string(struct ur_arena *arena, const char *text)
{
	return ur_arena_copy(arena, text, strlen(text));
}

char *ur_arena_format(struct ur_arena *arena, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	const int length = vsnprintf(NULL, 0, format, args);
	va_end(args);

	char *ret = length < 0 ? NULL : ur_arena_alloc(arena, (size_t)length + 1);
	if (ret != NULL) {
		(void)vsnprintf(ret, (size_t)length + 1, format, again);
	}
	va_end(again);
	return ret;
}
