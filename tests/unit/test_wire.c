/* test_wire - what a process that was killed has left on the wire, as the next one reads it. */
#include "engine/net/wire.h"
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

#define MINUTE (60 * UR_SECOND_NS)
#define HEAD_BOOT 16 // where the head has it

static const uint8_t owner[UR_WIRE_OWNER] = "one ledger's";
static const uint8_t sha1_a[UR_WIRE_SHA1] = "aaaaaaaaaaaaaaaaaaaa";
static const uint8_t sha1_b[UR_WIRE_SHA1] = "bbbbbbbbbbbbbbbbbbbb";

struct place {
	char dir[32];
	char path[48];
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	(void)snprintf(place->dir, sizeof place->dir, "/tmp/uringest-wire.XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof place->path, "%s/wire", place->dir);
	*state = place;
	return 0;
}

static int drop_place(void **state)
{
	struct place *place = *state;
	(void)unlink(place->path);
	assert_int_equal(rmdir(place->dir), 0);
	free(place);
	return 0;
}

static struct ur_wire *reopen(const struct place *place)
{
	struct ur_wire *wire = NULL;
	assert_int_equal(ur_wire_open(place->path, owner, &wire), 0);
	return wire;
}

static struct ur_wire *begun(const struct place *place)
{
	struct ur_wire *wire = reopen(place);
	assert_int_equal(ur_wire_begin(wire, 0), 0);
	return wire;
}

static int64_t left(const struct ur_wire *wire, const uint8_t *sha1, const struct ur_age *since)
{
	int64_t ns = -1;
	assert_true(ur_wire_left(wire, sha1, since, 60 * MINUTE, &ns));
	return ns;
}

static bool says(const struct ur_wire *wire, const struct ur_age *since)
{
	int64_t ns = 0;
	return ur_wire_left(wire, sha1_a, since, 60 * MINUTE, &ns);
}

static void half_a_body_never_arrives_and_a_whole_one_may(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	assert_false(ur_wire_knew(wire));
	const unsigned a = ur_wire_take(wire, sha1_a, MINUTE);
	const unsigned b = ur_wire_take(wire, sha1_b, MINUTE);
	assert_true(a != UR_WIRE_NONE && b != UR_WIRE_NONE && a != b);
	assert_int_equal(left(wire, sha1_a, &since), 0);
	assert_int_equal(ur_wire_gone(wire, a), 0);
	assert_in_range(left(wire, sha1_a, &since), MINUTE - UR_SECOND_NS, MINUTE);
	(void)ur_wire_free(wire); // a kill writes nothing more either
	wire = reopen(*state);
	assert_true(ur_wire_knew(wire));
	assert_in_range(left(wire, sha1_a, &since), MINUTE - UR_SECOND_NS, MINUTE);
	assert_int_equal(left(wire, sha1_b, &since), 0);
	assert_int_equal(left(wire, sha1_b, NULL), 0);
	(void)ur_wire_free(wire);
}

static void one_that_is_sent_anew_may_come_for_as_long_as_the_new_one(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	const unsigned a =
		ur_wire_take(wire, sha1_a, UR_SECOND_NS); // what was left of an earlier wait
	ur_wire_renew(wire, a, 5 * MINUTE);
	assert_int_equal(ur_wire_gone(wire, a), 0);
	assert_true(left(wire, sha1_a, &since) > 4 * MINUTE);
	ur_wire_renew(wire, UR_WIRE_NONE, MINUTE);
	(void)ur_wire_free(wire);
}

static void nobody_waits_longer_than_who_asks_would(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	int64_t ns = 0;
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, 5 * MINUTE)), 0);
	assert_true(ur_wire_left(wire, sha1_a, &since, 2 * MINUTE, &ns));
	assert_in_range(ns, MINUTE, 2 * MINUTE);
	assert_true(ur_wire_left(wire, sha1_a, &since, 9 * MINUTE, &ns));
	assert_in_range(ns, 4 * MINUTE, 5 * MINUTE);
	(void)ur_wire_free(wire);
}

static void whose_turn_it_was_is_known_and_what_is_forgotten_is_gone(void **state)
{
	const struct ur_age before = ur_age_begin();
	struct ur_wire *wire = reopen(*state);
	assert_int_equal(ur_wire_turn(wire), 0);
	assert_int_equal(ur_wire_begin(wire, 77), 0);
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, MINUTE)), 0);
	(void)ur_wire_free(wire);
	wire = reopen(*state);
	assert_int_equal(ur_wire_turn(wire), 77);
	assert_int_equal(ur_wire_begin(wire, 78), 0);
	assert_true(left(wire, sha1_a, NULL) > 0);
	(void)ur_wire_free(wire);
	wire = reopen(*state);
	assert_int_equal(ur_wire_turn(wire), 78);
	assert_int_equal(ur_wire_forget(wire), 0);
	assert_false(ur_wire_knew(wire));
	assert_false(says(wire, NULL));
	assert_int_equal(ur_wire_begin(wire, 79), 0);
	assert_false(says(wire, &before));
	assert_int_equal(left(wire, sha1_a, NULL), 0);
	(void)ur_wire_free(wire);
}

static void somebodys_file_is_left_alone(void **state)
{
	const struct place *place = *state;
	struct ur_wire *wire = NULL;
	char bytes[16] = "";
	FILE *file = fopen(place->path, "w");
	assert_true(fputs("a letter to somebody", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(ur_wire_open(place->path, owner, &wire), -EEXIST);
	file = fopen(place->path, "r");
	assert_int_equal(fread(bytes, 1, 8, file), 8);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(bytes, "a letter");
}

static void the_longest_of_two_bodies_counts(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, 3 * MINUTE)), 0);
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, MINUTE)), 0);
	assert_true(left(wire, sha1_a, &since) > 2 * MINUTE);
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, 5 * MINUTE)), 0);
	assert_true(left(wire, sha1_a, &since) > 4 * MINUTE);
	(void)ur_wire_free(wire);
}

static void what_is_written_down_elsewhere_is_not_waited_for(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	const unsigned a = ur_wire_take(wire, sha1_a, MINUTE);
	assert_int_equal(ur_wire_gone(wire, a), 0);
	ur_wire_give(wire, a);
	assert_int_equal(left(wire, sha1_a, &since), 0);
	assert_int_equal(ur_wire_take(wire, sha1_b, MINUTE), a); // few places are ever written
	(void)ur_wire_free(wire);
}

static void a_time_that_has_come_ends_a_note(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, 0)), 0);
	assert_int_equal(left(wire, sha1_a, &since), 0);
	(void)ur_wire_free(wire);
	wire = reopen(*state);
	assert_int_equal(left(wire, sha1_a, &since), 0);
	(void)ur_wire_free(wire);
}

static void notes_of_a_killed_process_keep_their_places(void **state)
{
	struct ur_wire *wire = begun(*state);
	const struct ur_age since = ur_age_begin();
	const unsigned a = ur_wire_take(wire, sha1_a, MINUTE);
	assert_int_equal(ur_wire_gone(wire, a), 0);
	(void)ur_wire_free(wire);
	wire = begun(*state);
	for (unsigned i = 0; i < UR_WIRE_PLACES - 1; i++) {
		const unsigned b = ur_wire_take(wire, sha1_b, MINUTE);
		assert_int_not_equal(b, UR_WIRE_NONE);
		assert_int_not_equal(b, a);
		assert_int_equal(ur_wire_gone(wire, b), 0);
	}
	assert_int_equal(ur_wire_take(wire, sha1_b, MINUTE), UR_WIRE_NONE);
	assert_int_equal(ur_wire_gone(wire, UR_WIRE_NONE), 0);
	ur_wire_give(wire, UR_WIRE_NONE);
	(void)ur_wire_free(wire);
	wire = begun(*state);
	assert_true(left(wire, sha1_a, &since) > 0);
	(void)ur_wire_free(wire);
}

static void places_come_free_when_their_time_has_come(void **state)
{
	struct ur_wire *wire = begun(*state);
	for (unsigned i = 0; i < UR_WIRE_PLACES; i++) {
		assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, 0)), 0);
	}
	(void)ur_wire_free(wire);
	wire = begun(*state);
	assert_int_equal(ur_wire_take(wire, sha1_b, MINUTE), 1);
	(void)ur_wire_free(wire);
}

static void what_was_sent_before_it_began_is_not_its_to_say(void **state)
{
	const struct ur_age before = ur_age_begin();
	struct ur_age elsewhere = ur_age_begin();
	struct ur_wire *wire = begun(*state);
	struct ur_age kept = ur_age_begin();
	kept.had_ns = 7 * 24 * 60 * MINUTE; // it began in an earlier boot
	elsewhere.at_ns += MINUTE;
	(void)snprintf(elsewhere.boot, sizeof elsewhere.boot, "another boot");
	assert_false(says(wire, &before));
	assert_false(says(wire, &kept));
	assert_false(says(wire, &elsewhere));
	assert_false(says(wire, &(struct ur_age){0}));
	(void)ur_wire_free(wire);
}

static void before_it_is_begun_nothing_is_said(void **state)
{
	struct ur_wire *wire = reopen(*state);
	const struct ur_age since = ur_age_begin();
	assert_false(says(wire, &since));
	assert_false(says(wire, NULL));
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, MINUTE)), 0);
	(void)ur_wire_free(wire);
	wire = reopen(*state); // it ended before it was begun
	assert_false(ur_wire_knew(wire));
	assert_int_equal(ur_wire_begin(wire, 0), 0);
	assert_false(says(wire, &since));
	assert_int_equal(left(wire, sha1_a, NULL), 0);
	(void)ur_wire_free(wire);
}

static void without_a_file_nothing_is_said(void **state)
{
	struct ur_wire *wire = NULL;
	const struct ur_age since = ur_age_begin();
	(void)state;
	assert_false(ur_wire_knew(NULL));
	assert_false(says(NULL, &since));
	assert_int_equal(ur_wire_take(NULL, sha1_a, MINUTE), UR_WIRE_NONE);
	assert_int_equal(ur_wire_gone(NULL, UR_WIRE_NONE), 0);
	assert_int_equal(ur_wire_open("/nowhere/at/all", owner, &wire), -ENOENT);
	assert_null(wire);
	assert_int_equal(ur_wire_open("/tmp", owner, &wire), -EISDIR);
}

static void change(const struct place *place, off_t at, const void *bytes, size_t size)
{
	const int fd = open(place->path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t)size);
	assert_int_equal(close(fd), 0);
}

static void leave_a_note(const struct place *place)
{
	struct ur_wire *wire = begun(place);
	assert_int_equal(ur_wire_gone(wire, ur_wire_take(wire, sha1_a, MINUTE)), 0);
	(void)ur_wire_free(wire);
}

static void assert_forgotten(const struct place *place, const struct ur_age *since)
{
	struct ur_wire *wire = begun(place);
	assert_false(ur_wire_knew(wire));
	assert_false(says(wire, since));
	(void)ur_wire_free(wire);
}

static void of_another_boot_nothing_is_believed(void **state)
{
	const struct ur_age since = ur_age_begin();
	leave_a_note(*state);
	change(*state, HEAD_BOOT, "X", 1);
	assert_forgotten(*state, &since);
}

static void of_another_ledger_nothing_is_believed(void **state)
{
	static const uint8_t other[UR_WIRE_OWNER] = "another one's";
	const struct place *place = *state;
	struct ur_wire *wire = NULL;
	leave_a_note(place);
	assert_int_equal(ur_wire_open(place->path, other, &wire), 0);
	assert_false(ur_wire_knew(wire));
	(void)ur_wire_free(wire);
	const struct ur_age since = ur_age_begin();
	assert_forgotten(place, &since); // and it has been forgotten for good
}

static void a_file_that_is_none_is_made_anew(void **state)
{
	const struct place *place = *state;
	const struct ur_age since = ur_age_begin();
	leave_a_note(place);
	change(place, 0, "urwire?", 8);
	assert_forgotten(place, &since);
	assert_int_equal(truncate(place->path, 20), 0);
	assert_forgotten(place, &since);
	leave_a_note(place);
	assert_int_equal(truncate(place->path, 5000), 0); // its notes are not all there
	assert_forgotten(place, &since);
}

static ssize_t (*real_pwrite)(int fd, const void *buffer, size_t size, off_t offset);
static int writes_until_full;

static ssize_t write_on_a_full_disk(int fd, const void *buffer, size_t size, off_t offset)
{
	return writes_until_full-- > 0 ? real_pwrite(fd, buffer, size, offset) : -ENOSPC;
}

static int fail_to_truncate(int fd, off_t size)
{
	(void)fd, (void)size;
	return -EIO;
}

static void a_note_that_cannot_be_written_empties_the_file(void **state)
{
	const struct ur_age since = ur_age_begin();
	struct ur_wire *wire = begun(*state);
	const unsigned a = ur_wire_take(wire, sha1_a, MINUTE);
	real_pwrite = ur_sys.pwrite;
	ur_sys.pwrite = write_on_a_full_disk;
	writes_until_full = 0;
	assert_int_equal(ur_wire_gone(wire, a), 0);
	assert_false(says(wire, &since));
	assert_int_equal(ur_wire_take(wire, sha1_b, MINUTE), UR_WIRE_NONE);
	ur_sys.pwrite = real_pwrite;
	(void)ur_wire_free(wire);
	assert_forgotten(*state, &since);
}

static void where_not_even_that_is_possible_the_last_byte_stays(void **state)
{
	struct ur_wire *wire = begun(*state);
	const unsigned a = ur_wire_take(wire, sha1_a, MINUTE);
	int (*const real_truncate)(int, off_t) = ur_sys.ftruncate;
	real_pwrite = ur_sys.pwrite;
	ur_sys.pwrite = write_on_a_full_disk;
	ur_sys.ftruncate = fail_to_truncate;
	writes_until_full = 0;
	assert_int_equal(ur_wire_gone(wire, a), -EIO);
	ur_sys.pwrite = real_pwrite;
	ur_sys.ftruncate = real_truncate;
	(void)ur_wire_free(wire);
}

static void a_disk_that_is_full_at_the_start_leaves_nothing_half_made(void **state)
{
	const struct place *place = *state;
	struct ur_wire *wire = NULL;
	real_pwrite = ur_sys.pwrite;
	for (int writes = 0; writes < 3; writes++) {
		ur_sys.pwrite = write_on_a_full_disk;
		writes_until_full = writes;
		int r = ur_wire_open(place->path, owner, &wire);
		r = r < 0 ? r : ur_wire_begin(wire, 0);
		ur_sys.pwrite = real_pwrite;
		assert_int_equal(r, -ENOSPC);
		wire = ur_wire_free(wire);
		wire = reopen(place);
		assert_false(ur_wire_knew(wire));
		wire = ur_wire_free(wire);
	}
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		PLACED(half_a_body_never_arrives_and_a_whole_one_may),
		PLACED(one_that_is_sent_anew_may_come_for_as_long_as_the_new_one),
		PLACED(nobody_waits_longer_than_who_asks_would),
		PLACED(whose_turn_it_was_is_known_and_what_is_forgotten_is_gone),
		PLACED(somebodys_file_is_left_alone),
		PLACED(the_longest_of_two_bodies_counts),
		PLACED(what_is_written_down_elsewhere_is_not_waited_for),
		PLACED(a_time_that_has_come_ends_a_note),
		PLACED(notes_of_a_killed_process_keep_their_places),
		PLACED(places_come_free_when_their_time_has_come),
		PLACED(what_was_sent_before_it_began_is_not_its_to_say),
		PLACED(before_it_is_begun_nothing_is_said),
		cmocka_unit_test(without_a_file_nothing_is_said),
		PLACED(of_another_boot_nothing_is_believed),
		PLACED(of_another_ledger_nothing_is_believed),
		PLACED(a_file_that_is_none_is_made_anew),
		PLACED(a_note_that_cannot_be_written_empties_the_file),
		PLACED(where_not_even_that_is_possible_the_last_byte_stays),
		PLACED(a_disk_that_is_full_at_the_start_leaves_nothing_half_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
