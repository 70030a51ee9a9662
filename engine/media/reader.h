/**
 * reader - random access to a file's bytes, wherever they are.
 *
 *   Owner    whoever makes one; the context outlives it
 *   Units    bytes
 *   Errors   what the function behind it says; -ENODATA where the file ends too soon
 *   Threads  any, one at a time
 */
#ifndef UR_MEDIA_READER_H
#define UR_MEDIA_READER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ur_reader {
	/** The number of bytes read, short only at the end; or a negative errno. */
	ssize_t (*read)(void *context, void *buffer, size_t size, uint64_t offset);
	void *context;
	uint64_t size;
};

/** A reader of bytes in memory, for tests and small files.  `bytes` must outlive it. */
struct ur_memory {
	const void *bytes;
	size_t size;
};
struct ur_reader ur_reader_of_memory(struct ur_memory *memory);

/** Reads exactly `size` bytes: 0, -ENODATA when the file ends before, or the reader's error. */
[[nodiscard]] int ur_reader_exactly(
	const struct ur_reader *reader, void *buffer, size_t size, uint64_t offset);

#endif
