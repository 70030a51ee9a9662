/* probe_file - every end of a file is found by the turn, once, with its descriptor closed. */
#include "engine/stage/probe_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct ur_probe probe;
static struct ur_item item;
static struct ur_file file;

static struct ur_probe_slot *make(void)
{
	struct ur_probe_slot *slot = &probe.slots[0];
	struct ur_err err = {0};
	memset(&probe, 0, sizeof probe);
	memset(&item, 0, sizeof item);
	memset(&file, 0, sizeof file);
	assert_int_equal(ur_ring_new(UR_RING_AUTO, 4, &probe.ring, &err), 0);
	ur_arena_init(&item.arena);
	slot->probe = &probe;
	slot->item = &item;
	slot->file = &file;
	slot->fd = -1;
	return slot;
}

static void end(void)
{
	probe.ring = ur_ring_free(probe.ring);
	ur_arena_done(&item.arena);
}

static void what_was_never_open_is_over_at_once(void **state)
{
	(void)state;
	struct ur_probe_slot *slot = make();
	ur_probe_close(slot);
	assert_int_equal(probe.over_count, 1);
	assert_ptr_equal(probe.over[0], slot);
	assert_int_equal(ur_ring_in_flight(probe.ring), 0);
	end();
}

static void what_is_open_is_over_when_it_is_closed(void **state)
{
	(void)state;
	struct ur_probe_slot *slot = make();
	const int fd = open("/dev/null", O_RDONLY);
	slot->fd = fd;
	slot->whole = malloc(10); // a sidecar's
	ur_probe_close(slot);
	assert_int_equal(probe.over_count, 0);
	assert_null(slot->whole);
	while (ur_ring_in_flight(probe.ring) > 0) {
		(void)ur_ring_run(probe.ring, -1, 100);
	}
	assert_int_equal(probe.over_count, 1);
	assert_int_equal(slot->fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	end();
}

static void what_is_given_up_has_its_error_and_is_over(void **state)
{
	(void)state;
	struct ur_probe_slot *slot = make();
	ur_probe_give_up(slot, -EIO);
	assert_int_equal(slot->file->error, -EIO);
	assert_int_equal(probe.over_count, 1);
	end();
}

static void a_note_says_what_is_doubted(void **state)
{
	(void)state;
	struct ur_probe_slot *slot = make();
	char words[] = "empty";
	ur_probe_note(slot, UR_JUDGE_REFUSE, words);
	words[0] = '\0'; // it is a copy
	assert_int_equal(slot->file->judgement, UR_JUDGE_REFUSE);
	assert_string_equal(slot->file->note, "empty");
	end();
}

static void what_a_row_says_is_believed_whole(void **state)
{
	(void)state;
	struct ur_probe_slot *slot = make();
	struct ur_record row = {.edges = 42, .ending = UR_ENDING_WHOLE};
	memset(row.sha1, 0xab, sizeof row.sha1);
	memset(row.xxh, 0xcd, sizeof row.xxh);
	slot->file->row = &row;
	ur_probe_believe_row(slot->file);
	assert_true(slot->file->hashed);
	assert_true(slot->file->remembered);
	assert_int_equal(slot->file->edges, 42);
	assert_int_equal(slot->file->ending, UR_ENDING_WHOLE);
	assert_memory_equal(slot->file->sha1, row.sha1, sizeof row.sha1);
	assert_memory_equal(slot->file->xxh, row.xxh, sizeof row.xxh);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_never_open_is_over_at_once),
		cmocka_unit_test(what_is_open_is_over_when_it_is_closed),
		cmocka_unit_test(what_is_given_up_has_its_error_and_is_over),
		cmocka_unit_test(a_note_says_what_is_doubted),
		cmocka_unit_test(what_a_row_says_is_believed_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
