/* removal - no proof is no proof: every reason to doubt is enough to keep a file, or to read it. */
#include "engine/source/removal.h"
#include "engine/sys/sys.h"
#include "tests/unit/faulty.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- rules ----------------------------------------------------------------------------------- */

static void one_reason_to_doubt_is_enough_to_hash_again(void **state)
{
	(void)state;
	const struct ur_trust sure = {UR_WRITERS_NONE, .created = true, .remembered = true,
		.fs_trusted = true, .fresh = true};
	struct ur_trust t[] = {sure, sure, sure, sure, sure, sure, sure, sure, sure};
	t[0].writers = UR_WRITERS_UNKNOWN;
	t[1].writers = UR_WRITERS_SOME;
	t[2].created = false;
	t[3].there = true;
	t[4].remembered = false;
	t[5].ctime_moved = true;
	t[6].fs_trusted = t[6].fresh = false;
	t[7].there = t[7].ctime_moved = true;
	t[8] = (struct ur_trust){0};
	assert_false(ur_removal_needs_hash(&sure));
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		assert_true(ur_removal_needs_hash(&t[i]));
	}
	/* Untrusted, but read in this run; or remembered, on a file system that proves something. */
	struct ur_trust fresh = sure;
	fresh.fs_trusted = false;
	assert_false(ur_removal_needs_hash(&fresh));
	struct ur_trust known = sure;
	known.fresh = false;
	assert_false(ur_removal_needs_hash(&known));
}

static void a_look_that_finds_no_writer_proves_nothing_before_the_time_is_up(void **state)
{
	(void)state;
	static const struct {
		struct ur_quiet quiet;
		enum ur_quiet_answer answer;
	} rows[] = {
		{{UR_WRITERS_NONE, UR_ENDING_WHOLE, false, 0, 60}, UR_QUIET_YES},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_WHOLE, false, 0, 60}, UR_QUIET_TOO_NEW},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_WHOLE, false, 59, 60}, UR_QUIET_TOO_NEW},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_WHOLE, false, 60, 60}, UR_QUIET_YES},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_WHOLE, false, 0, 0}, UR_QUIET_YES},
		{{UR_WRITERS_SOME, UR_ENDING_WHOLE, false, 1000, 60}, UR_QUIET_WRITER},
		{{UR_WRITERS_SOME, UR_ENDING_CUT, true, 1000, 60}, UR_QUIET_WRITER},
		{{UR_WRITERS_NONE, UR_ENDING_CUT, false, 1000, 60}, UR_QUIET_CUT},
		{{UR_WRITERS_NONE, UR_ENDING_CUT, true, 0, 60}, UR_QUIET_YES},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_CUT, true, 0, 60}, UR_QUIET_TOO_NEW},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_CUT, true, 61, 60}, UR_QUIET_YES},
		{{UR_WRITERS_NONE, UR_ENDING_UNKNOWN, false, 1000, 60}, UR_QUIET_CUT},
		{{UR_WRITERS_UNKNOWN, UR_ENDING_UNKNOWN, false, 1000, 60}, UR_QUIET_CUT},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(ur_removal_is_quiet(&rows[i].quiet), rows[i].answer);
	}
}

/* ---- one file in the hand -------------------------------------------------------------------- */

static int lease_answers[8]; // one after the other; the last one again and again
static size_t lease_at;
static int leases_given_back;

static int scripted_lease(int fd, bool take)
{
	(void)fd;
	if (!take) {
		leases_given_back++;
		return 0;
	}
	const int r = lease_answers[lease_at];
	lease_at += lease_at + 1 < 8 && lease_answers[lease_at + 1] != 1 ? 1 : 0;
	return r;
}

static void script_leases(int first, int second, int third)
{
	const int answers[8] = {first, second, third, 1, 1, 1, 1, 1};
	memcpy(lease_answers, answers, sizeof answers);
	lease_at = 0;
	leases_given_back = 0;
	ur_sys.lease = scripted_lease;
}

struct hand {
	char path[64];
	int fd;
	struct ur_sys real;
	struct ur_fs fs;
	struct ur_identity identity;
	uint8_t sha1[UR_REMOVAL_SHA1];
	struct ur_removal removal;
	int hashes;
	void (*during)(struct hand *hand); // while the bytes are being hashed
};

static int hash(void *context, int fd, uint8_t ret[UR_REMOVAL_SHA1])
{
	struct hand *h = context;
	(void)fd;
	h->hashes++;
	memcpy(ret, h->sha1, UR_REMOVAL_SHA1);
	if (h->during != NULL) {
		h->during(h);
	}
	return 0;
}

static int take_in_hand(void **state)
{
	struct hand *h = calloc(1, sizeof *h);
	struct stat st;
	(void)snprintf(h->path, sizeof h->path, "/tmp/uringest-removal.XXXXXX");
	h->real = ur_sys;
	h->fd = mkstemp(h->path);
	if (h->fd < 0 || write(h->fd, "whole", 5) != 5 || fstat(h->fd, &st) < 0) {
		return -1;
	}
	h->fs = (struct ur_fs){.trusted = true};
	h->identity = ur_identity_of(&st, 0);
	h->sha1[0] = 7;
	h->removal = (struct ur_removal){
		.identity = &h->identity,
		.fs = &h->fs,
		.sha1 = h->sha1,
		.quiet = {.ending = UR_ENDING_WHOLE, .least_ns = 60},
		.trust = {.created = true, .remembered = true, .fs_trusted = true},
		.hash = hash,
		.context = h,
	};
	*state = h;
	return 0;
}

static int put_down(void **state)
{
	struct hand *h = *state;
	ur_sys = h->real;
	(void)close(h->fd);
	(void)unlink(h->path);
	free(h);
	return 0;
}

static void write_more(struct hand *h)
{
	assert_int_equal(pwrite(h->fd, "MORE!", 5, 0), 5);
	const struct timespec times[2] = {{0, UTIME_NOW}, {1, 1}};
	assert_int_equal(futimens(h->fd, times), 0);
}

static void set_times_back(struct hand *h)
{
	const struct timespec times[2] = {{0, UTIME_OMIT},
		{h->identity.mtime_ns / 1000000000, h->identity.mtime_ns % 1000000000}};
	const struct timespec pause = {0, 20000000};
	(void)nanosleep(&pause, NULL);
	assert_int_equal(pwrite(h->fd, "other", 5, 0), 5);
	assert_int_equal(futimens(h->fd, times), 0);
}

static void with_a_lease_a_file_goes_at_once_and_without_another_hash(void **state)
{
	struct hand *h = *state;
	script_leases(0, 0, 0);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), 0);
	assert_int_equal(h->hashes, 0);
}

static void without_a_lease_it_waits_and_is_hashed_again(void **state)
{
	struct hand *h = *state;
	script_leases(-EACCES, -EACCES, -EACCES);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), UR_REMOVAL_WAITS);
	h->removal.quiet.quiet_ns = 60;
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), 0);
	assert_int_equal(h->hashes, 1);
}

static void a_writer_is_seen_before_the_rename_after_it_and_after_the_hash(void **state)
{
	struct hand *h = *state;
	script_leases(-EAGAIN, -EAGAIN, -EAGAIN);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), -ETXTBSY);
	script_leases(0, -EAGAIN, -EAGAIN);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), -ETXTBSY);
	assert_int_equal(h->hashes, 0);
	script_leases(0, 0, -EAGAIN);
	h->removal.trust.there = true;
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), -ETXTBSY);
	assert_int_equal(h->hashes, 1);
}

static void a_lease_that_is_not_to_be_had_any_more_begins_the_wait(void **state)
{
	struct hand *h = *state;
	script_leases(0, -ENOLCK, -ENOLCK);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), UR_REMOVAL_WAITS);
}

static void what_changes_while_it_is_hashed_the_last_time_stays(void **state)
{
	struct hand *h = *state;
	void (*const changes[])(struct hand *) = {write_more, set_times_back};
	for (size_t i = 0; i < 2; i++) {
		struct stat st;
		assert_int_equal(fstat(h->fd, &st), 0);
		h->identity = ur_identity_of(&st, 0);
		script_leases(-EACCES, -EACCES, -EACCES);
		h->removal.quiet.quiet_ns = 60;
		h->during = changes[i];
		assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
		assert_int_equal(ur_removal_prove(&h->removal, h->fd), -ESTALE);
	}
}

static void other_bytes_under_the_same_identity_stay(void **state)
{
	struct hand *h = *state;
	uint8_t sent[UR_REMOVAL_SHA1] = {8};
	script_leases(0, 0, 0);
	h->removal.sha1 = sent;
	h->removal.trust.remembered = false;
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), -ESTALE);
}

static void a_ctime_that_moved_is_hashed_with_a_lease_and_waits_without(void **state)
{
	struct hand *h = *state;
	h->identity.ctime_ns--;
	script_leases(0, 0, 0);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), 0);
	assert_int_equal(h->hashes, 1);
	script_leases(-EACCES, -EACCES, -EACCES);
	h->removal.quiet.quiet_ns = 60;
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), -ESTALE);
}

static void what_looks_cut_off_stays_even_with_a_lease_until_it_is_accepted(void **state)
{
	struct hand *h = *state;
	h->removal.quiet.ending = UR_ENDING_CUT;
	script_leases(0, 0, 0);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), UR_REMOVAL_WAITS);
	h->removal.quiet.accepted = true;
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
}

static void a_lease_is_worth_what_the_file_system_makes_of_it(void **state)
{
	struct hand *h = *state;
	static const struct {
		enum ur_leases leases;
		int answer;
		enum ur_writers writers;
	} rows[] = {
		{UR_LEASES_PROVE, 0, UR_WRITERS_NONE},
		{UR_LEASES_PROVE, -EAGAIN, UR_WRITERS_SOME},
		{UR_LEASES_PROVE, -EACCES, UR_WRITERS_UNKNOWN},
		{UR_LEASES_PROVE, -EINVAL, UR_WRITERS_UNKNOWN},
		{UR_LEASES_PROVE, -EPERM, UR_WRITERS_UNKNOWN},
		{UR_LEASES_ACCUSE, 0, UR_WRITERS_UNKNOWN},
		{UR_LEASES_ACCUSE, -EAGAIN, UR_WRITERS_SOME},
		{UR_LEASES_ACCUSE, -EINVAL, UR_WRITERS_UNKNOWN},
		{UR_LEASES_NOTHING, 0, UR_WRITERS_UNKNOWN},
		{UR_LEASES_NOTHING, -EAGAIN, UR_WRITERS_UNKNOWN},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		h->fs.leases = rows[i].leases;
		script_leases(rows[i].answer, rows[i].answer, rows[i].answer);
		assert_int_equal(ur_removal_writers(h->fd, &h->fs), rows[i].writers);
		/* A lease that proves nothing must not hold up writers either. */
		assert_int_equal(leases_given_back,
			rows[i].answer == 0 && rows[i].leases == UR_LEASES_ACCUSE);
	}
}

/** Held, proved, and proved once more: the whole way out. */
static int go_out(struct hand *h)
{
	struct ur_identity proved = {0};
	int r = ur_removal_hold(&h->removal, h->fd);
	r = r < 0 ? r : ur_removal_prove(&h->removal, h->fd);
	r = r < 0 ? r : ur_identity_check(h->fd, h->removal.identity, &proved);
	return r < 0 ? r : ur_removal_prove_still(&h->removal, h->fd, &proved);
}

static void whatever_call_fails_nothing_is_proved_by_it(void **state)
{
	struct hand *h = *state;
	const struct ur_removal fresh = h->removal;
	for (int there = 0; there < 2; there++) {
		bool failed = true;
		for (unsigned n = 1; failed; n++) {
			script_leases(0, 0, 0);
			h->removal = fresh;
			h->removal.trust.there = there != 0;
			faulty_begin(FAULTY_ONE, n, -EIO);
			const int r = go_out(h);
			failed = faulty_end();
			assert_int_equal(r < 0, failed);
		}
	}
}

static int no_hash(void *context, int fd, uint8_t ret[UR_REMOVAL_SHA1])
{
	struct hand *h = context;
	(void)fd;
	h->hashes++;
	memcpy(ret, h->sha1, UR_REMOVAL_SHA1);
	return -EIO; // and yet the right one stands there
}

static void a_hash_that_could_not_be_made_is_no_hash(void **state)
{
	struct hand *h = *state;
	script_leases(0, 0, 0);
	h->removal.hash = no_hash;
	h->removal.trust.there = true;
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), -EIO);
	assert_int_equal(h->hashes, 1);
}

static void what_stood_aside_goes_only_as_it_was_proved(void **state)
{
	struct hand *h = *state;
	struct ur_identity proved = {0};
	script_leases(0, 0, 0);
	assert_int_equal(ur_removal_hold(&h->removal, h->fd), 0);
	assert_int_equal(ur_removal_prove(&h->removal, h->fd), 0);
	assert_int_equal(ur_identity_check(h->fd, &h->identity, &proved), 0);
	assert_int_equal(ur_removal_prove_still(&h->removal, h->fd, &proved), 0);
	assert_int_equal(h->hashes, 0);
	script_leases(-EAGAIN, -EAGAIN, -EAGAIN);
	assert_int_equal(ur_removal_prove_still(&h->removal, h->fd, &proved), -ETXTBSY);
	script_leases(0, 0, 0);
	proved.ctime_ns--; // a hard link of it was renamed, or its times were set back: the bytes tell
	assert_int_equal(ur_removal_prove_still(&h->removal, h->fd, &proved), 0);
	assert_int_equal(h->hashes, 1);
	uint8_t sent[UR_REMOVAL_SHA1] = {8};
	h->removal.sha1 = sent;
	assert_int_equal(ur_removal_prove_still(&h->removal, h->fd, &proved), -ESTALE);
	h->removal.sha1 = h->sha1;
	h->during = set_times_back;
	assert_int_equal(ur_removal_prove_still(&h->removal, h->fd, &proved), -ESTALE);
	h->during = NULL;
	script_leases(-EAGAIN, -EAGAIN, -EAGAIN);
	assert_int_equal(ur_removal_prove_still(&h->removal, h->fd, &proved), -ETXTBSY);
}

#define IN_HAND(test) cmocka_unit_test_setup_teardown(test, take_in_hand, put_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_reason_to_doubt_is_enough_to_hash_again),
		cmocka_unit_test(a_look_that_finds_no_writer_proves_nothing_before_the_time_is_up),
		IN_HAND(with_a_lease_a_file_goes_at_once_and_without_another_hash),
		IN_HAND(without_a_lease_it_waits_and_is_hashed_again),
		IN_HAND(a_writer_is_seen_before_the_rename_after_it_and_after_the_hash),
		IN_HAND(a_lease_that_is_not_to_be_had_any_more_begins_the_wait),
		IN_HAND(what_changes_while_it_is_hashed_the_last_time_stays),
		IN_HAND(other_bytes_under_the_same_identity_stay),
		IN_HAND(a_ctime_that_moved_is_hashed_with_a_lease_and_waits_without),
		IN_HAND(what_looks_cut_off_stays_even_with_a_lease_until_it_is_accepted),
		IN_HAND(a_lease_is_worth_what_the_file_system_makes_of_it),
		IN_HAND(whatever_call_fails_nothing_is_proved_by_it),
		IN_HAND(a_hash_that_could_not_be_made_is_no_hash),
		IN_HAND(what_stood_aside_goes_only_as_it_was_proved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
