/*
 * spool_outcome - what was concluded is there, whatever fails on the way and wherever it is torn: the
 * new word or the last one, and a doubt where nobody can tell; never a third.
 */
#include "engine/gateway/spool/internal.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef"

static char dir[64];
static struct ur_spool spool;
static struct ur_spool_upload upload;
static struct ur_sys real;
static unsigned until_failure; // calls; 0: none fails
static uint64_t seed;

static uint64_t dice(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return seed >> 33;
}

static bool fails(void)
{
	return until_failure != 0 && --until_failure == 0;
}

/** Half of it is written, as when the disk fills up or the power goes. */
static ssize_t pwrite_some(int fd, const void *bytes, size_t size, off_t at)
{
	if (fails()) {
		(void)real.pwrite(fd, bytes, size / 2, at);
		return -ENOSPC;
	}
	return real.pwrite(fd, bytes, size, at);
}

static int fdatasync_some(int fd)
{
	return fails() ? -EIO : real.fdatasync(fd);
}

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

static int open_folder(void)
{
	return ur_spool_folder_open(spool.root, ID);
}

static int set_up(void **state)
{
	(void)state;
	real = ur_sys;
	seed = getenv("UR_SEED") == NULL ? 5 : strtoull(getenv("UR_SEED"), NULL, 10);
	(void)snprintf(dir, sizeof dir, "%s/ur-outcome.XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL) {
		return -1;
	}
	spool = (struct ur_spool){.root = open(dir, O_RDONLY | O_DIRECTORY)};
	upload = (struct ur_spool_upload){.id = ID, .spool = &spool};
	if (mkdirat(spool.root, ID, 0700) < 0) {
		return -1;
	}
	const int folder = open_folder();
	const int r = ur_spool_outcome_make(folder, NULL);
	(void)close(folder);
	ur_sys.pwrite = pwrite_some;
	ur_sys.fdatasync = fdatasync_some;
	return r;
}

static int tear_down(void **state)
{
	(void)state;
	ur_sys = real;
	(void)close(spool.root);
	return nftw(dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
}

static void any_words(char *ret, size_t room)
{
	static const char *const some[] = {"a", "\"", "\\", "é", "€", "\t", " ", "{", "0"};
	ret[0] = '\0';
	for (uint64_t i = dice() % 60; i > 0 && strlen(ret) + 4 < room; i--) {
		(void)strcat(ret, some[dice() % (sizeof some / sizeof *some)]);
	}
}

static struct ur_spool_outcome any_outcome(void)
{
	struct ur_spool_outcome outcome = {
		.state = (enum ur_spool_state)(1 + dice() % (UR_SPOOL_STATES - 1)),
		.duplicate = dice() % 2 == 0,
		.trashed = dice() % 2 == 0,
		.suspect = dice() % 2 == 0,
		.noted = dice() % 2 == 0,
		.status = (int)(dice() % 600),
		.since_ms = (int64_t)dice(),
		.since_ran_ms = (int64_t)dice(),
		.there_ran_ms = (int64_t)dice(),
		.missed_ran_ms = dice() % 2 == 0 ? UR_SPOOL_NEVER : (int64_t)dice(),
		.tries = (unsigned)(dice() % 1000),
	};
	any_words(outcome.words, sizeof outcome.words);
	(void)snprintf(outcome.asset, sizeof outcome.asset, "%s",
		dice() % 2 == 0 ? "" : "426dd542-f562-4757-9dc5-eaf7d1c47147");
	(void)snprintf(outcome.with, sizeof outcome.with, "%s", dice() % 2 == 0 ? "" : ID);
	return outcome;
}

static bool is_same(const struct ur_spool_outcome *a, const struct ur_spool_outcome *b)
{
	return a->state == b->state && a->duplicate == b->duplicate && a->trashed == b->trashed &&
	       a->status == b->status && a->since_ms == b->since_ms &&
	       a->since_ran_ms == b->since_ran_ms && a->there_ran_ms == b->there_ran_ms &&
	       a->missed_ran_ms == b->missed_ran_ms && a->tries == b->tries &&
	       strcmp(a->words, b->words) == 0 && strcmp(a->asset, b->asset) == 0 &&
	       strcmp(a->with, b->with) == 0;
}

static int load(struct ur_spool_outcome *ret)
{
	const int folder = open_folder();
	const int r = ur_spool_outcome_load(folder, ret);
	(void)close(folder);
	return r;
}

static void every_outcome_comes_back_as_it_went(void **state)
{
	(void)state;
	struct ur_spool_outcome read;
	assert_int_equal(load(&read), -ENOENT); // nothing was concluded yet
	for (int i = 0; i < 2000; i++) {
		const struct ur_spool_outcome outcome = any_outcome();
		assert_int_equal(ur_spool_conclude(&upload, &outcome, NULL), 0);
		assert_int_equal(load(&read), 0);
		assert_true(is_same(&read, &outcome));
		assert_int_equal(read.suspect, outcome.suspect);
		assert_int_equal(read.noted, outcome.noted);
	}
}

static void after_every_failed_call_the_last_word_stands(void **state)
{
	(void)state;
	struct ur_spool_outcome last = any_outcome();
	assert_int_equal(ur_spool_conclude(&upload, &last, NULL), 0);
	for (int i = 0; i < 500; i++) {
		const struct ur_spool_outcome next = any_outcome();
		struct ur_spool_outcome read;
		until_failure = 1 + (unsigned)(dice() % 3);
		const int r = ur_spool_conclude(&upload, &next, NULL);
		until_failure = 0;
		assert_int_equal(load(&read), 0);
		assert_true(is_same(&read, r == 0 ? &next : &last));
		assert_true(read.suspect || !(r == 0 ? next : last).suspect);
		last = r == 0 ? next : last;
	}
}

/** The power goes while a block is written: what was in it is lost, and what was before it stands. */
static void a_torn_block_leaves_the_last_word_and_a_doubt(void **state)
{
	(void)state;
	struct ur_spool_outcome last = any_outcome();
	assert_int_equal(ur_spool_conclude(&upload, &last, NULL), 0);
	for (int i = 0; i < 200; i++) {
		struct ur_spool_outcome next = any_outcome();
		struct ur_spool_outcome read;
		next.suspect = last.suspect = false;
		assert_int_equal(ur_spool_conclude(&upload, &last, NULL), 0);
		assert_int_equal(ur_spool_conclude(&upload, &next, NULL), 0);
		char bytes[UR_OUTCOME_BYTES];
		const int folder = open_folder();
		const int fd = ur_spool_file_open(folder, "outcome", O_RDWR);
		assert_int_equal(real.pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
		/* Of the two blocks the newer one carries the words of `next`. */
		const unsigned newer =
			strtoull(bytes + UR_BLOCK_BYTES - 34, NULL, 16) >
					strtoull(bytes + UR_SLOT_APART + UR_BLOCK_BYTES - 34, NULL,
						16)
				? 0
				: 1;
		const size_t at = newer * UR_SLOT_APART + dice() % UR_BLOCK_BYTES;
		bytes[at] = (char)(bytes[at] ^ (1 << dice() % 7));
		assert_int_equal(real.pwrite(fd, bytes + at, 1, (off_t)at), 1);
		(void)close(fd);
		(void)close(folder);
		assert_int_equal(load(&read), 0);
		assert_true(is_same(&read, &last));
		assert_true(read.suspect);
		assert_false(read.noted); // whether it was sent since then is not known
	}
}

static void what_may_not_be_asked_about_any_more(void **state)
{
	(void)state;
	for (int s = 0; s < UR_SPOOL_STATES; s++) {
		for (int status = 0; status < 600; status++) {
			const struct ur_spool_outcome outcome = {
				.state = (enum ur_spool_state)s, .status = status};
			const bool open = status == UR_STATUS_TRASHED || status == UR_STATUS_QUOTA;
			assert_int_equal(ur_spool_is_over(&outcome),
				s == UR_SPOOL_CONFIRMED || (s == UR_SPOOL_REFUSED && !open));
		}
		assert_int_equal(ur_spool_may_go((enum ur_spool_state)s),
			s == UR_SPOOL_CONFIRMED || s == UR_SPOOL_REFUSED);
	}
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(every_outcome_comes_back_as_it_went),
		HERE(after_every_failed_call_the_last_word_stands),
		HERE(a_torn_block_leaves_the_last_word_and_a_doubt),
		HERE(what_may_not_be_asked_about_any_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
