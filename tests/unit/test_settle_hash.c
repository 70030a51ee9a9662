/* settle_hash - what libcrypto says of the whole file, however many buffers that takes. */
#include "engine/media/hash_stream.h"
#include "engine/stage/settle_parts.h"
#include "engine/sys/sys.h"
#include "tests/unit/faulty.h"

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

static int file_of(size_t size)
{
	char *bytes = malloc(size);
	assert_non_null(bytes);
	memset(bytes, 'x', size);
	const int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	free(bytes);
	return fd;
}

static void whatever_read_fails_there_is_no_hash_of_half_a_file(void **state)
{
	(void)state;
	const int fd = file_of(2 * UR_SETTLE_BUFFER + 5);
	bool failed = true;
	unsigned n = 1;
	for (; failed; n++) {
		uint8_t got[UR_HASH_SHA1] = {42};
		atomic_store(&run.bytes_hashed, 0);
		faulty_begin(FAULTY_ONE, n, -EIO);
		const int r = ur_settle_sha1(&settle, fd, got);
		failed = faulty_end();
		assert_int_equal(r, failed ? -EIO : 0);
		assert_int_equal(got[0] == 42 && atomic_load(&run.bytes_hashed) == 0, failed);
	}
	assert_int_equal(n - 2, 4); // three reads, and the one that finds the end
	(void)close(fd);
}

static ssize_t short_read(int fd, void *buffer, size_t size, off_t offset)
{
	return pread(fd, buffer, size > 1000 ? 1000 : size, offset);
}

static void short_reads_make_the_same_hash(void **state)
{
	(void)state;
	uint8_t whole[UR_HASH_SHA1];
	uint8_t pieces[UR_HASH_SHA1];
	const struct ur_sys real = ur_sys;
	const int fd = file_of(12345);
	assert_int_equal(ur_settle_sha1(&settle, fd, whole), 0);
	ur_sys.pread = short_read;
	assert_int_equal(ur_settle_sha1(&settle, fd, pieces), 0);
	ur_sys = real;
	assert_memory_equal(whole, pieces, sizeof whole);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_is_hashed_from_the_start_and_counted),
		cmocka_unit_test(what_cannot_be_read_writes_no_hash),
		cmocka_unit_test(whatever_read_fails_there_is_no_hash_of_half_a_file),
		cmocka_unit_test(short_reads_make_the_same_hash),
	};
	return cmocka_run_group_tests(tests, make_buffer, free_buffer);
}
