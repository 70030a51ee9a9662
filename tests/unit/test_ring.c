/* ring - both bodies give the same answers, in any order, and no callback runs inside a request. */
#include "engine/sys/ring.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES 50
#define SIZE 70000

struct place {
	char dir[64];
	int fd;
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	(void)snprintf(place->dir, sizeof place->dir, "/tmp/uringest-ring.XXXXXX");
	if (mkdtemp(place->dir) == NULL) {
		return -1;
	}
	place->fd = open(place->dir, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < FILES; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "f%d", i);
		const int fd = openat(place->fd, name, O_CREAT | O_WRONLY, 0600);
		char *bytes = malloc(SIZE);
		memset(bytes, 'a' + i % 26, SIZE);
		const bool ok = write(fd, bytes, SIZE) == SIZE;
		free(bytes);
		(void)close(fd);
		if (!ok) {
			return -1;
		}
	}
	*state = place;
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;
	for (int i = 0; i < FILES; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "f%d", i);
		(void)unlinkat(place->fd, name, 0);
	}
	(void)close(place->fd);
	(void)rmdir(place->dir);
	free(place);
	return 0;
}

struct reading {
	struct ur_op op; // first
	struct ur_ring *ring;
	char name[16];
	char bytes[SIZE + 1000];
	int fd;
	int64_t got;
	int steps;
	bool *inside;
};

static void on_closed(struct ur_op *op)
{
	struct reading *r = (struct reading *)op;
	assert_false(*r->inside);
	assert_int_equal(op->result, 0);
	r->steps++;
}

static void on_read(struct ur_op *op)
{
	struct reading *r = (struct reading *)op;
	assert_false(*r->inside);
	r->got = op->result;
	r->steps++;
	op->done = on_closed;
	*r->inside = true;
	ur_ring_close(r->ring, op, r->fd);
	*r->inside = false;
}

static void on_open(struct ur_op *op)
{
	struct reading *r = (struct reading *)op;
	assert_false(*r->inside);
	assert_true(op->result >= 0);
	r->fd = (int)op->result;
	r->steps++;
	op->done = on_read;
	*r->inside = true;
	ur_ring_read(r->ring, op, r->fd, r->bytes, sizeof r->bytes, 0);
	*r->inside = false;
}

static void read_them_all(struct place *place, enum ur_ring_kind kind)
{
	struct ur_ring *ring = NULL;
	struct ur_err err = {0};
	bool inside = false;
	static struct reading readings[FILES];
	const int made = ur_ring_new(kind, 128, &ring, &err);
	if (made < 0) {
		print_message("no io_uring here: %s\n", err.text);
		skip();
	}
	for (int i = 0; i < FILES; i++) {
		struct reading *r = &readings[i];
		*r = (struct reading){.ring = ring, .inside = &inside};
		(void)snprintf(r->name, sizeof r->name, "f%d", i);
		r->op.done = on_open;
		inside = true;
		ur_ring_open(ring, &r->op, place->fd, r->name, O_RDONLY | O_NOFOLLOW);
		inside = false;
	}
	while (ur_ring_in_flight(ring) > 0) {
		(void)ur_ring_run(ring, -1, 1000);
	}
	for (int i = 0; i < FILES; i++) {
		assert_int_equal(readings[i].steps, 3);
		assert_int_equal(
			readings[i].got, SIZE); // short at the end of the file, and only there
		assert_int_equal(readings[i].bytes[0], 'a' + i % 26);
		assert_int_equal(readings[i].bytes[SIZE - 1], 'a' + i % 26);
	}
	ring = ur_ring_free(ring);
}

static void files_are_read_by_io_uring(void **state)
{
	read_them_all(*state, UR_RING_URING);
}

static void files_are_read_by_system_calls(void **state)
{
	read_them_all(*state, UR_RING_SYNC);
}

static void note_result(struct ur_op *op)
{
	op->offset = 77;
}

static void failures_are_negative_errnos(void **state)
{
	struct place *place = *state;
	const enum ur_ring_kind kinds[] = {UR_RING_AUTO, UR_RING_SYNC};
	for (size_t i = 0; i < 2; i++) {
		struct ur_ring *ring = NULL;
		struct ur_op op = {.done = note_result};
		assert_int_equal(ur_ring_new(kinds[i], 8, &ring, NULL), 0);
		ur_ring_open(ring, &op, place->fd, "nothing of that name", O_RDONLY);
		while (ur_ring_in_flight(ring) > 0) {
			(void)ur_ring_run(ring, -1, 1000);
		}
		assert_int_equal(op.result, -ENOENT);
		assert_int_equal(op.offset, 77);
		ring = ur_ring_free(ring);
	}
}

/** pread that never gives more than 1000 bytes, as signals and some file systems do. */
static ssize_t short_pread(int fd, void *buffer, size_t size, off_t offset)
{
	return pread(fd, buffer, size < 1000 ? size : 1000, offset);
}

static void short_reads_are_carried_on(void **state)
{
	const struct ur_sys real = ur_sys;
	ur_sys.pread = short_pread;
	read_them_all(*state, UR_RING_SYNC);
	ur_sys = real;
}

static void note_done(struct ur_op *op)
{
	op->done = NULL;
}

/* The end of a file is hardly ever that of a block: a second read from there could not be aligned. */
static void read_past_the_cache(struct place *place, enum ur_ring_kind kind, bool registered)
{
	struct ur_ring *ring = NULL;
	struct ur_err err = {0};
	struct ur_op op = {.done = note_done};
	const size_t room = (SIZE / UR_RING_BLOCK + 1) * UR_RING_BLOCK;
	const int fd = ur_sys.openat(place->fd, "f3", O_RDONLY, 0);
	assert_true(fd >= 0);
	if (ur_ring_new(kind, 8, &ring, &err) < 0 || ur_sys.direct(fd, true) < 0) {
		print_message("not to be had here: %s\n", err.text);
		(void)ur_ring_free(ring);
		(void)ur_sys.close(fd);
		skip();
	}
	char *bytes = aligned_alloc(UR_RING_BLOCK, room);
	if (registered && ur_ring_register(ring, bytes, room) < 0) {
		print_message("this user may pin no memory\n");
	}
	ur_ring_read_direct(ring, &op, fd, bytes, room, 0);
	while (op.done != NULL) {
		(void)ur_ring_run(ring, -1, 1000);
	}
	assert_int_equal(op.result, SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		assert_int_equal(bytes[i], 'a' + 3);
	}
	assert_int_equal(ur_sys.direct(fd, false), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, 0);
	(void)ur_sys.close(fd);
	(void)ur_ring_free(ring);
	free(bytes);
}

static void a_direct_read_ends_with_the_file_by_io_uring(void **state)
{
	read_past_the_cache(*state, UR_RING_URING, false);
}

static void a_direct_read_ends_with_the_file_in_registered_memory(void **state)
{
	read_past_the_cache(*state, UR_RING_URING, true);
}

static void a_direct_read_ends_with_the_file_by_system_calls(void **state)
{
	read_past_the_cache(*state, UR_RING_SYNC, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_by_io_uring),
		cmocka_unit_test(files_are_read_by_system_calls),
		cmocka_unit_test(failures_are_negative_errnos),
		cmocka_unit_test(short_reads_are_carried_on),
		cmocka_unit_test(a_direct_read_ends_with_the_file_by_io_uring),
		cmocka_unit_test(a_direct_read_ends_with_the_file_in_registered_memory),
		cmocka_unit_test(a_direct_read_ends_with_the_file_by_system_calls),
	};
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
