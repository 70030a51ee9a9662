/* tick - what a clock shows, not what its file system is called. */
#include "engine/base/clock.h"
#include "engine/source/tick.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct ur_sys real;
static int64_t grain_ns;   // what a time is cut down to
static int64_t resting_ns; // how long ctime stands still at a time

static void cut_down(struct timespec *t, int64_t grain)
{
	const int64_t ns = (int64_t)t->tv_sec * UR_SECOND_NS + t->tv_nsec;
	const int64_t kept = ns / grain * grain;
	t->tv_sec = kept / UR_SECOND_NS;
	t->tv_nsec = kept % UR_SECOND_NS;
}

static int coarse_fstat(int fd, struct stat *ret)
{
	const int r = real.fstat(fd, ret);
	cut_down(&ret->st_mtim, grain_ns);
	cut_down(&ret->st_ctim, grain_ns);
	if (resting_ns > 0) {
		cut_down(&ret->st_ctim, resting_ns);
		ret->st_ctim.tv_nsec += 1234567; // the fraction of an odd beginning
	}
	return r;
}

static int keep(void **state)
{
	(void)state;
	real = ur_sys;
	return 0;
}

static int restore(void **state)
{
	(void)state;
	ur_sys = real;
	return 0;
}

static int64_t measured(int64_t grain, int64_t resting)
{
	const struct ur_fs fs = {.tick_ns = 1};
	int64_t tick = -1;
	const int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	grain_ns = grain;
	resting_ns = resting;
	ur_sys.fstat = coarse_fstat;
	const int r = ur_tick_measure(dir, &fs, &tick);
	ur_sys.fstat = real.fstat;
	(void)close(dir);
	if (r == -EOPNOTSUPP) {
		skip(); // no nameless files in /tmp
	}
	assert_int_equal(r, 0);
	return tick;
}

static void fine_clocks_are_found_fine(void **state)
{
	(void)state;
	assert_int_equal(measured(1, 0), UR_TICK_FINE_NS);    // ext4, xfs, btrfs, tmpfs
	assert_int_equal(measured(100, 0), UR_TICK_FINE_NS);  // NTFS
	assert_int_equal(measured(1000, 0), UR_TICK_FINE_NS); // UDF
}

static void coarse_clocks_are_found_coarse(void **state)
{
	(void)state;
	assert_int_equal(measured(UR_SECOND_NS, 0), UR_TICK_ASSUMED_NS);     // ext4, 128 bytes
	assert_int_equal(measured(2 * UR_SECOND_NS, 0), UR_TICK_ASSUMED_NS); // FAT
	assert_int_equal(measured(10 * UR_MS_NS, 0), UR_TICK_ASSUMED_NS);    // exFAT
	assert_int_equal(measured(100 * UR_MS_NS, 0), UR_TICK_ASSUMED_NS);
	/* Fractions, and yet it stands still for a second at a time. */
	assert_int_equal(measured(1, UR_SECOND_NS), UR_TICK_ASSUMED_NS);
}

static void a_clock_of_another_machine_is_never_fine(void **state)
{
	(void)state;
	struct ur_fs fs = {.network = true, .tick_ns = UR_TICK_ASSUMED_NS};
	int64_t tick = -1;
	assert_int_equal(ur_tick_measure(-1, &fs, &tick), 0);
	assert_int_equal(tick, UR_TICK_ASSUMED_NS);
	ur_tick_learn(&fs, 1234567891);
	assert_int_equal(fs.tick_ns, UR_TICK_ASSUMED_NS);
}

static void a_file_system_is_learned_from_a_fraction_and_from_nothing_else(void **state)
{
	(void)state;
	static const int64_t coarse[] = {0, UR_SECOND_NS, 17 * UR_SECOND_NS,
		17 * UR_SECOND_NS + 500 * UR_MS_NS, -3 * UR_SECOND_NS,
		5 * UR_SECOND_NS + 10 * UR_MS_NS};
	struct ur_fs fs = {.tick_ns = UR_TICK_ASSUMED_NS};
	for (size_t i = 0; i < sizeof coarse / sizeof *coarse; i++) {
		ur_tick_learn(&fs, coarse[i]);
		assert_false(fs.tick_known);
		assert_int_equal(fs.tick_ns, UR_TICK_ASSUMED_NS);
	}
	ur_tick_learn(&fs, 17 * UR_SECOND_NS + 100);
	assert_true(fs.tick_known);
	assert_int_equal(fs.tick_ns, UR_TICK_FINE_NS);
	ur_tick_learn(&fs, UR_SECOND_NS);
	assert_int_equal(fs.tick_ns, UR_TICK_FINE_NS);
}

static int no_nameless_files(int dir, const char *path, int flags, mode_t mode)
{
	return (flags & O_TMPFILE) == O_TMPFILE ? -EOPNOTSUPP : real.openat(dir, path, flags, mode);
}

static void where_nothing_can_be_measured_nothing_is_claimed(void **state)
{
	(void)state;
	const struct ur_fs fs = {0};
	int64_t tick = 42;
	ur_sys.openat = no_nameless_files;
	assert_int_equal(ur_tick_measure(AT_FDCWD, &fs, &tick), -EOPNOTSUPP);
	assert_int_equal(tick, 42);
}

static void a_file_system_is_coarse_until_it_was_seen(void **state)
{
	(void)state;
	struct ur_fs fs;
	const int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ur_fs_of(dir, &fs), 0);
	assert_false(fs.tick_known);
	assert_int_equal(fs.tick_ns, UR_TICK_ASSUMED_NS);
	(void)close(dir);
}

#define KEPT(test) cmocka_unit_test_setup_teardown(test, keep, restore)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KEPT(fine_clocks_are_found_fine),
		KEPT(coarse_clocks_are_found_coarse),
		KEPT(a_clock_of_another_machine_is_never_fine),
		KEPT(a_file_system_is_learned_from_a_fraction_and_from_nothing_else),
		KEPT(where_nothing_can_be_measured_nothing_is_claimed),
		KEPT(a_file_system_is_coarse_until_it_was_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
