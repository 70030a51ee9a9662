/* leftover - what stands in a staging folder goes back, or is left alone: once, and to the end. */
#include "engine/source/leftover.h"

#include "engine/sys/sys.h"
#include "tests/unit/faulty.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char path[ROOM_PATH];
	int fd;
	struct ur_staging_key key;
	struct ur_staging_key other;
	struct ur_sys real;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	p->fd = room_make(p->path);
	ur_staging_key_make("salt of one", 11, &p->key);
	ur_staging_key_make("salt of another", 15, &p->other);
	p->real = ur_sys;
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	ur_sys = p->real;
	room_remove(p->path, p->fd);
	free(p);
	return 0;
}

static void what_the_present_run_has_staged_is_no_leftover(void **state)
{
	const struct place *p = *state;
	static const struct {
		const char *token;
		int64_t run;
		enum ur_leftover_fate fate;
	} cases[] = {
		{"2fx1", 0x2f, UR_LEFTOVER_LIVE},
		{"2fx1", 0x2, UR_LEFTOVER_BACK},
		{"2fx1", 0x30, UR_LEFTOVER_BACK},
		{"2x1", 0x2f, UR_LEFTOVER_BACK},
		{"2x1", 0, UR_LEFTOVER_BACK},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char staged[UR_STAGED_NAME_MAX + 1];
		struct ur_staged what;
		ur_staging_name(&p->key, UR_STAGED_ORIGINAL, cases[i].token, "a.jpg", staged);
		ur_staged_read(&p->key, staged, &what);
		assert_int_equal(ur_leftover_judge(&what, cases[i].run), cases[i].fate);
		ur_staged_read(&p->other, staged, &what);
		assert_int_equal(ur_leftover_judge(&what, cases[i].run), UR_LEFTOVER_OTHER);
	}
}

static void only_what_is_provably_ours_is_put_back(void **state)
{
	struct place *p = *state;
	char ours[UR_STAGED_NAME_MAX + 1];
	char copy[UR_STAGED_NAME_MAX + 1];
	char live[UR_STAGED_NAME_MAX + 1];
	char foreign[UR_STAGED_NAME_MAX + 1];
	struct ur_leftovers found;
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "ours.jpg", ours);
	ur_staging_name(&p->key, UR_STAGED_COPY, "1x2", "copy.jpg", copy);
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "2x1", "live.jpg", live);
	ur_staging_name(&p->other, UR_STAGED_ORIGINAL, "1x1", "foreign.jpg", foreign);
	const int fd = ur_staging_open(p->fd);
	room_put(fd, ours, "1");
	room_put(fd, copy, "2");
	room_put(fd, live, "3");
	room_put(fd, foreign, "4");
	room_put(fd, "1x1-old.jpg", "5");
	room_put(fd, "holiday.jpg", "6");
	room_put(p->fd, "ours.jpg", "a new one");
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 2, &found), -EWOULDBLOCK);
	(void)close(fd);
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 2, &found), 0);
	assert_int_equal(found.back, 1);
	assert_int_equal(found.copies, 1);
	assert_int_equal(found.others, 3);
	assert_int_equal(found.stuck, 0);
	assert_string_equal(found.name, "ours (2).jpg");
	room_holds(p->fd, "ours.jpg", "a new one");
	room_holds(p->fd, "ours (2).jpg", "1");
	const int again = openat(p->fd, UR_STAGING, O_RDONLY | O_DIRECTORY);
	room_holds(again, copy, "2");
	room_holds(again, live, "3");
	room_holds(again, foreign, "4");
	room_holds(again, "1x1-old.jpg", "5");
	room_holds(again, "holiday.jpg", "6");
	(void)close(again);
}

/* ---- a tree ---------------------------------------------------------------------------------- */

struct seen {
	char paths[512];
	unsigned with_staging;
	int answer;
};

static int see(
	void *context, int folder, const char *path, const struct ur_listing *listing, bool staging)
{
	struct seen *seen = context;
	(void)folder;
	(void)listing;
	(void)strcat(seen->paths, path);
	(void)strcat(seen->paths, " ");
	seen->with_staging += staging ? 1 : 0;
	return seen->answer;
}

static void make_tree(int top)
{
	assert_int_equal(mkdirat(top, "a", 0700), 0);
	assert_int_equal(mkdirat(top, "a/b", 0700), 0);
	assert_int_equal(mkdirat(top, "a/" UR_STAGING, 0700), 0);
	assert_int_equal(mkdirat(top, "a/" UR_STAGING "/within", 0700), 0);
	assert_int_equal(symlinkat("a", top, "link"), 0);
	room_put(top, "a/b/c.jpg", "c");
}

static void a_walk_enters_every_folder_but_no_link_and_no_staging_folder(void **state)
{
	struct place *p = *state;
	struct seen seen = {0};
	make_tree(p->fd);
	assert_int_equal(ur_leftover_walk(p->fd, "/top", see, &seen), 0);
	assert_string_equal(seen.paths, "/top /top/a /top/a/b ");
	assert_int_equal(seen.with_staging, 1);
}

static void a_walk_ends_when_it_is_told_to(void **state)
{
	struct place *p = *state;
	struct seen seen = {.answer = -ECANCELED};
	make_tree(p->fd);
	assert_int_equal(ur_leftover_walk(p->fd, "/top", see, &seen), -ECANCELED);
	assert_string_equal(seen.paths, "/top ");
}

static void whatever_call_of_a_walk_fails_no_folder_stays_open(void **state)
{
	struct place *p = *state;
	bool failed = true;
	make_tree(p->fd);
	const size_t before = room_descriptors();
	for (unsigned n = 1; failed; n++) {
		struct seen seen = {0};
		faulty_begin(FAULTY_ONE, n, -EIO);
		(void)ur_leftover_walk(p->fd, "/top", see, &seen);
		failed = faulty_end();
		assert_int_equal(room_descriptors(), before);
	}
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

/** It is at its name, beside it, or where it stood: once. */
static void is_in_one_place(const struct place *p, const char *staged)
{
	const int staging = openat(p->fd, UR_STAGING, O_RDONLY | O_DIRECTORY);
	const bool there = staging >= 0 && room_is(staging, staged, "mine");
	(void)close(staging);
	const bool back = room_is(p->fd, "a (2).jpg", "mine");
	room_holds(p->fd, "a.jpg", "theirs");
	assert_int_equal((int)there + (int)back, 1);
}

static void fail_in_turn(struct place *p, enum faulty_how how)
{
	char staged[UR_STAGED_NAME_MAX + 1];
	struct ur_leftovers found;
	bool failed = true;
	ur_staging_name(&p->key, UR_STAGED_ORIGINAL, "1x1", "a.jpg", staged);
	for (unsigned n = 1; failed; n++) {
		const int staging = ur_staging_open(p->fd);
		room_put(staging, staged, "mine");
		room_put(p->fd, "a.jpg", "theirs");
		(void)close(staging);
		const size_t before = room_descriptors();
		faulty_begin(how, n, -EIO);
		const int r = ur_leftover_tidy(p->fd, &p->key, 9, &found);
		failed = faulty_end();
		assert_int_equal(room_descriptors(), before);
		is_in_one_place(p, staged);
		assert_int_equal(found.back, room_has(p->fd, "a (2).jpg"));
		if (r == 0 && found.back + found.stuck == 0) {
			assert_true(failed); // it was not even seen
		}
		const int again = ur_leftover_tidy(p->fd, &p->key, 9, &found);
		assert_true(again == 0 || again == -ENOENT);
		room_holds(p->fd, "a (2).jpg", "mine");
		assert_false(room_has(p->fd, UR_STAGING));
		assert_int_equal(unlinkat(p->fd, "a (2).jpg", 0), 0);
	}
}

static void whatever_call_fails_a_leftover_is_in_one_place_and_the_next_run_puts_it_back(
	void **state)
{
	fail_in_turn(*state, FAULTY_ONE);
	fail_in_turn(*state, FAULTY_FROM);
}

static void a_note_goes_only_when_no_ledger_can_need_it(void **state)
{
	struct place *p = *state;
	struct ur_leftovers found;
	char note[UR_STAGING_NOTE];
	ur_staging_note(&p->other, note);
	const int staging = ur_staging_open(p->fd);
	room_put(staging, note, "a.jpg");
	(void)close(staging);
	assert_int_equal(ur_leftover_tidy(p->fd, &p->key, 9, &found), 0);
	assert_int_equal(found.others, 0);
	assert_int_equal(room_count(p->fd, UR_STAGING), 1);
	assert_int_equal(ur_leftover_tidy(p->fd, NULL, 0, &found), 0);
	assert_false(room_has(p->fd, UR_STAGING));
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(what_the_present_run_has_staged_is_no_leftover),
		IN_PLACE(only_what_is_provably_ours_is_put_back),
		IN_PLACE(a_walk_enters_every_folder_but_no_link_and_no_staging_folder),
		IN_PLACE(a_walk_ends_when_it_is_told_to),
		IN_PLACE(whatever_call_of_a_walk_fails_no_folder_stays_open),
		IN_PLACE(
			whatever_call_fails_a_leftover_is_in_one_place_and_the_next_run_puts_it_back),
		IN_PLACE(a_note_goes_only_when_no_ledger_can_need_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
