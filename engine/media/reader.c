/* reader - bytes at an offset, from memory, and all of them or none. */
#include "engine/media/reader.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static ssize_t read_memory(void *context, void *buffer, size_t size, uint64_t offset)
{
	const struct ur_memory *memory = context;
	if (offset >= memory->size) {
		return 0;
	}
	const size_t rest = memory->size - (size_t)offset;
	const size_t count = size < rest ? size : rest;
	memcpy(buffer, (const unsigned char *)memory->bytes + offset, count);
	return (ssize_t)count;
}

struct ur_reader ur_reader_of_memory(struct ur_memory *memory)
{
	return (struct ur_reader){read_memory, memory, memory->size};
}

int ur_reader_exactly(const struct ur_reader *reader, void *buffer, size_t size, uint64_t offset)
{
	const ssize_t got = reader->read(reader->context, buffer, size, offset);
	if (got < 0) {
		return (int)got;
	}
	assert((size_t)got <= size);
	return (size_t)got == size ? 0 : -ENODATA;
}
