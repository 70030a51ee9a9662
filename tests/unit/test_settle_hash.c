/* settle_hash - what libcrypto says of the whole file, however many buffers that takes. */
#include "engine/media/hash_stream.h"
#include "engine/stage/settle_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct ur_run run;
static struct ur_settle settle = {.run = &run};

static int make_buffer(void **state)
{
	(void)state;
	settle.buffer = malloc(UR_SETTLE_BUFFER);
	return settle.buffer == NULL ? -1 : 0;
}

static int free_buffer(void **state)
{
	(void)state;
	free(settle.buffer);
	return 0;
}

static void every_size_is_hashed_from_the_start_and_counted(void **state)
{
	(void)state;
	const size_t sizes[] = {
		0, 1, UR_SETTLE_BUFFER - 1, UR_SETTLE_BUFFER, 2 * UR_SETTLE_BUFFER + 5};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned char *bytes = malloc(sizes[i] + 1);
		uint8_t expected[UR_HASH_SHA1];
		uint8_t got[UR_HASH_SHA1];
		struct ur_sha1 sha1;
		memset(bytes, (int)(i + 'a'), sizes[i] + 1);
		assert_int_equal(ur_sha1_begin(&sha1), 0);
		ur_sha1_feed(&sha1, bytes, sizes[i]);
		ur_sha1_end(&sha1, expected);
		const int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, bytes, sizes[i]), sizes[i]); // and stands at its end
		atomic_store(&run.bytes_hashed, 0);
		assert_int_equal(ur_settle_sha1(&settle, fd, got), 0);
		assert_memory_equal(got, expected, sizeof got);
		assert_int_equal(atomic_load(&run.bytes_hashed), sizes[i]);
		(void)close(fd);
		free(bytes);
	}
}

static void what_cannot_be_read_writes_no_hash(void **state)
{
	(void)state;
	uint8_t got[UR_HASH_SHA1] = {42};
	const int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	atomic_store(&run.bytes_hashed, 0);
	assert_int_equal(ur_settle_sha1(&settle, fd, got), -EISDIR);
	assert_int_equal(got[0], 42);
	assert_int_equal(atomic_load(&run.bytes_hashed), 0);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_is_hashed_from_the_start_and_counted),
		cmocka_unit_test(what_cannot_be_read_writes_no_hash),
	};
	return cmocka_run_group_tests(tests, make_buffer, free_buffer);
}
