/* reader - every offset and size of a small file, and what the reader behind it says. */
#include "engine/media/reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char bytes[] = "0123456789";
#define SIZE (sizeof bytes - 1)

static void memory_gives_what_there_is_from_every_offset(void **state)
{
	(void)state;
	struct ur_memory memory = {bytes, SIZE};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	assert_int_equal(reader.size, SIZE);
	for (size_t offset = 0; offset < SIZE + 3; offset++) {
		for (size_t size = 0; size < SIZE + 3; size++) {
			const size_t left = offset < SIZE ? SIZE - offset : 0;
			const size_t expected = size < left ? size : left;
			char got[SIZE + 3];
			assert_int_equal(
				reader.read(reader.context, got, size, offset), (ssize_t)expected);
			assert_memory_equal(got, bytes + (offset < SIZE ? offset : 0), expected);
		}
	}
	char byte = 0;
	assert_int_equal(reader.read(reader.context, &byte, 1, UINT64_MAX), 0);
}

static void exactly_is_all_or_no_data(void **state)
{
	(void)state;
	struct ur_memory memory = {bytes, SIZE};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	char got[SIZE + 1];
	assert_int_equal(ur_reader_exactly(&reader, got, SIZE, 0), 0);
	assert_memory_equal(got, bytes, SIZE);
	assert_int_equal(ur_reader_exactly(&reader, got, 1, SIZE - 1), 0);
	assert_int_equal(got[0], '9');
	assert_int_equal(ur_reader_exactly(&reader, got, 0, SIZE), 0);
	assert_int_equal(ur_reader_exactly(&reader, got, SIZE + 1, 0), -ENODATA);
	assert_int_equal(ur_reader_exactly(&reader, got, 1, SIZE), -ENODATA);
}

static ssize_t read_badly(void *context, void *buffer, size_t size, uint64_t offset)
{
	(void)context;
	(void)buffer;
	(void)size;
	(void)offset;
	return -EIO;
}

static void exactly_passes_the_readers_error_on(void **state)
{
	(void)state;
	const struct ur_reader reader = {read_badly, NULL, SIZE};
	char got[1];
	assert_int_equal(ur_reader_exactly(&reader, got, 1, 0), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_gives_what_there_is_from_every_offset),
		cmocka_unit_test(exactly_is_all_or_no_data),
		cmocka_unit_test(exactly_passes_the_readers_error_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
