/* readahead - every range arrives as it is in the file, and the end of a changed one never. */
#include "engine/source/readahead.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE ((size_t)5 * UR_READAHEAD_BUFFER / 2 + 123) // the third buffer is not full

struct place {
	struct ur_readahead ahead; // first: arrived() gets it
	struct ur_ring *ring;
	char path[64];
	int fd;
	unsigned char *bytes; // of the file
	unsigned char *got;
	size_t count;
	uint8_t xxh[UR_HASH_XXH];
	struct ur_identity identity;
	unsigned arrivals;
};

static void arrived(struct ur_readahead *ahead)
{
	((struct place *)ahead)->arrivals++;
}

static void write_file(struct place *p)
{
	const int fd = open(p->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct stat st;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p->bytes, SIZE), SIZE);
	assert_int_equal(fstat(fd, &st), 0);
	(void)close(fd);
	p->identity = ur_identity_of(&st, 1);
	ur_xxh_of(p->bytes, SIZE, p->xxh);
}

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct ur_err err = {0};
	assert_non_null(p);
	(void)snprintf(p->path, sizeof p->path, "/tmp/uringest-readahead.%d", (int)getpid());
	p->bytes = malloc(SIZE);
	p->got = malloc(SIZE);
	assert_non_null(p->bytes);
	assert_non_null(p->got);
	for (size_t i = 0; i < SIZE; i++) {
		p->bytes[i] = (unsigned char)(i * 31 + i / 251);
	}
	write_file(p);
	p->fd = open(p->path, O_RDONLY);
	assert_true(p->fd >= 0);
	assert_int_equal(ur_ring_new(UR_RING_AUTO, 8, &p->ring, &err), 0);
	assert_int_equal(ur_readahead_init(&p->ahead, arrived), 0);
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	while (ur_readahead_is_reading(&p->ahead)) {
		(void)ur_ring_run(p->ring, -1, 100);
	}
	ur_readahead_done(&p->ahead);
	p->ring = ur_ring_free(p->ring);
	(void)close(p->fd);
	(void)unlink(p->path);
	free(p->bytes);
	free(p->got);
	free(p);
	return 0;
}

/** [from, to) as it stands in p->bytes. */
static void begin(struct place *p, size_t from, size_t to, const struct ur_readahead_spec *spec)
{
	struct ur_readahead_spec whole = *spec;
	whole.fd = p->fd;
	whole.from = from;
	whole.to = to;
	whole.identity = &p->identity;
	p->count = 0;
	p->arrivals = 0;
	ur_readahead_begin(&p->ahead, p->ring, &whole);
}

/** Takes `step` bytes at a time until the range is over (0) or breaks (why). */
static int drink(struct place *p, size_t step)
{
	while (!ur_readahead_is_over(&p->ahead)) {
		const size_t left = SIZE - p->count;
		const ssize_t n =
			ur_readahead_give(&p->ahead, p->got + p->count, step < left ? step : left);
		if (n == -EAGAIN) {
			(void)ur_ring_run(p->ring, -1, 100);
		} else if (n < 0) {
			return (int)n;
		} else {
			p->count += (size_t)n;
		}
	}
	return 0;
}

static void every_range_arrives_as_it_is(void **state)
{
	struct place *p = *state;
	const size_t edges[] = {0, 1, UR_READAHEAD_BUFFER - 1, UR_READAHEAD_BUFFER,
		2 * UR_READAHEAD_BUFFER + 1, SIZE - 1, SIZE};
	const size_t count = sizeof edges / sizeof *edges;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = i; k < count; k++) {
			for (int memory = 0; memory < 2; memory++) {
				uint8_t xxh[UR_HASH_XXH];
				const size_t size = edges[k] - edges[i];
				ur_xxh_of(p->bytes + edges[i], size, xxh);
				begin(p, edges[i], edges[k],
					&(struct ur_readahead_spec){
						.xxh = xxh, .memory_first = memory != 0});
				assert_int_equal(drink(p, 77777), 0);
				assert_int_equal(p->count, size);
				assert_memory_equal(p->got, p->bytes + edges[i], size);
			}
		}
	}
}

static void nothing_comes_before_it_has_arrived(void **state)
{
	struct place *p = *state;
	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = p->xxh});
	assert_int_equal(ur_readahead_give(&p->ahead, p->got, 1), -EAGAIN);
	assert_int_equal(p->arrivals, 0);
	assert_true(ur_readahead_is_reading(&p->ahead));
	while (p->arrivals < 2) {
		(void)ur_ring_run(p->ring, -1, 100);
	}
	assert_false(ur_readahead_is_reading(&p->ahead)); // no third one before the first is taken
	assert_int_equal(drink(p, SIZE), 0);
	assert_int_equal(p->arrivals, 3);
}

static void the_end_of_other_bytes_is_held_back(void **state)
{
	struct place *p = *state;
	for (int memory = 0; memory < 2; memory++) {
		p->xxh[3] ^= 1;
		begin(p, 0, SIZE,
			&(struct ur_readahead_spec){.xxh = p->xxh, .memory_first = memory != 0});
		assert_int_equal(drink(p, 50000), -ESTALE);
		assert_true(p->count < SIZE);
		assert_int_equal(ur_readahead_error(&p->ahead), -ESTALE);
		assert_int_equal(drink(p, 50000), -ESTALE); // and ever after
		p->xxh[3] ^= 1;
	}
}

static void the_end_of_a_file_that_was_touched_is_held_back(void **state)
{
	struct place *p = *state;
	p->identity.mtime_ns++;
	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = p->xxh});
	assert_int_equal(drink(p, 50000), -ESTALE);
	assert_true(p->count < SIZE);

	uint8_t xxh[UR_HASH_XXH];
	ur_xxh_of(p->bytes, SIZE - 1,
		xxh); // a part that ends before it is looked at by its bytes alone
	begin(p, 0, SIZE - 1, &(struct ur_readahead_spec){.xxh = xxh});
	assert_int_equal(drink(p, 50000), 0);
}

static void a_file_that_became_shorter_breaks_off(void **state)
{
	struct place *p = *state;
	for (int memory = 0; memory < 2; memory++) {
		assert_int_equal(truncate(p->path, SIZE - 1), 0);
		begin(p, 0, SIZE,
			&(struct ur_readahead_spec){.xxh = p->xxh, .memory_first = memory != 0});
		assert_int_equal(drink(p, 50000), -ESTALE);
		assert_true(p->count < SIZE);
	}
}

static void the_disks_error_comes_out_and_nothing_after_it(void **state)
{
	struct place *p = *state;
	const int fd = p->fd;
	p->fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_true(p->fd >= 0);
	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = p->xxh});
	assert_int_equal(drink(p, 50000), -EISDIR);
	assert_int_equal(p->count, 0);
	(void)close(p->fd);
	p->fd = fd;
}

static void what_is_expected_of_nobody_is_let_pass_in_place(void **state)
{
	struct place *p = *state;
	size_t at = 0;
	p->identity.mtime_ns++;
	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = NULL});
	while (!ur_readahead_is_over(&p->ahead)) {
		const unsigned char *bytes = NULL;
		const ssize_t n = ur_readahead_peek(&p->ahead, &bytes);
		if (n == -EAGAIN) {
			(void)ur_ring_run(p->ring, -1, 100);
			continue;
		}
		assert_true(n > 0);
		assert_memory_equal(bytes, p->bytes + at, n);
		at += (size_t)n;
		ur_readahead_take(&p->ahead, (size_t)n);
	}
	assert_int_equal(at, SIZE);
}

static void what_is_peeked_stays_until_it_is_taken(void **state)
{
	struct place *p = *state;
	const unsigned char *bytes = NULL;
	const unsigned char *again = NULL;
	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = p->xxh});
	while (p->arrivals == 0) {
		(void)ur_ring_run(p->ring, -1, 100);
	}
	const ssize_t n = ur_readahead_peek(&p->ahead, &bytes);
	assert_int_equal(n, UR_READAHEAD_BUFFER);
	assert_int_equal(ur_readahead_peek(&p->ahead, &again), n);
	assert_ptr_equal(again, bytes);
	ur_readahead_take(&p->ahead, 100);
	assert_int_equal(ur_readahead_peek(&p->ahead, &again), n - 100);
	assert_ptr_equal(again, bytes + 100);
	assert_int_equal(drink(p, SIZE), 0); // hashed once, however often it was looked at
}

static void after_a_stop_nothing_more_is_read(void **state)
{
	struct place *p = *state;
	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = p->xxh});
	ur_readahead_stop(&p->ahead);
	while (ur_readahead_is_reading(&p->ahead)) {
		(void)ur_ring_run(p->ring, -1, 100);
	}
	assert_int_equal(p->arrivals, 2);
	while (ur_readahead_give(&p->ahead, p->got, SIZE) > 0) {
		continue;
	}
	assert_false(ur_readahead_is_reading(&p->ahead));
	assert_int_equal(p->arrivals, 2);

	begin(p, 0, SIZE, &(struct ur_readahead_spec){.xxh = p->xxh}); // and begins anew
	assert_int_equal(drink(p, 50000), 0);
}

static off_t in_memory; // bytes that are, as the call says
static unsigned forgotten;

static ssize_t cached_up_to(int fd, void *buffer, size_t size, off_t offset)
{
	if (offset >= in_memory) {
		return -EAGAIN;
	}
	return pread(fd, buffer,
		size < (size_t)(in_memory - offset) ? size : (size_t)(in_memory - offset), offset);
}

static void count_forgotten(int fd, off_t offset, off_t size)
{
	(void)fd;
	(void)offset;
	(void)size;
	forgotten++;
}

static void from_the_first_byte_that_is_not_in_memory_the_ring_reads(void **state)
{
	struct place *p = *state;
	const struct ur_sys real = ur_sys;
	ur_sys.pread_cached = cached_up_to;
	ur_sys.forget = count_forgotten;
	const off_t edges[] = {0, 1, UR_READAHEAD_BUFFER, SIZE - 1, SIZE};
	for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
		in_memory = edges[i];
		begin(p, 0, SIZE,
			&(struct ur_readahead_spec){
				.xxh = p->xxh, .memory_first = true, .forgets = true});
		assert_int_equal(drink(p, 65536), 0);
		assert_memory_equal(p->got, p->bytes, SIZE);
		assert_int_equal(p->arrivals > 0, in_memory < (off_t)SIZE);
	}
	assert_int_equal(forgotten, 0); // not worth a call for so few bytes
	ur_sys = real;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
		IN_PLACE(every_range_arrives_as_it_is),
		IN_PLACE(nothing_comes_before_it_has_arrived),
		IN_PLACE(the_end_of_other_bytes_is_held_back),
		IN_PLACE(the_end_of_a_file_that_was_touched_is_held_back),
		IN_PLACE(a_file_that_became_shorter_breaks_off),
		IN_PLACE(the_disks_error_comes_out_and_nothing_after_it),
		IN_PLACE(what_is_expected_of_nobody_is_let_pass_in_place),
		IN_PLACE(what_is_peeked_stays_until_it_is_taken),
		IN_PLACE(after_a_stop_nothing_more_is_read),
		IN_PLACE(from_the_first_byte_that_is_not_in_memory_the_ring_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
