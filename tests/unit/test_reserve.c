/* test_reserve - room is laid down where there is plenty, and given up where there is hardly any. */
#include "engine/ledger/reserve.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static struct ur_sys real;
static uint64_t room; // that the file system says it has
static char dir[32];
static char ledger[48];
static char file[64];

static int say_room(int fd, struct statfs *ret)
{
	const int r = real.fstatfs(fd, ret);
	ret->f_bavail = room / (uint64_t)ret->f_bsize;
	return r;
}

static int no_blocks(int fd, off_t offset, off_t size)
{
	(void)fd, (void)offset, (void)size;
	return -EOPNOTSUPP;
}

static int set_up(void **state)
{
	(void)state;
	real = ur_sys;
	ur_sys.fstatfs = say_room;
	(void)snprintf(dir, sizeof dir, "/tmp/uringest-room.XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(ledger, sizeof ledger, "%s/l.db", dir);
	(void)snprintf(file, sizeof file, "%s/l.db-room", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ur_sys = real;
	(void)unlink(file);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

/** Blocks that the file holds, in bytes; -1: there is none. */
static int64_t held(void)
{
	struct stat st;
	return stat(file, &st) < 0 ? -1 : (int64_t)st.st_blocks * 512;
}

static void room_is_laid_down_once_and_given_up_once(void **state)
{
	(void)state;
	struct ur_reserve *reserve = ur_reserve_new(ledger);
	room = 20 * MIB; // which is worth more to somebody else
	assert_false(ur_reserve_look(reserve));
	assert_int_equal(held(), -1);
	room = 100 * MIB;
	assert_false(ur_reserve_look(reserve));
	assert_true(held() >= (int64_t)(8 * MIB));
	room = 5 * MIB;
	assert_false(ur_reserve_look(reserve));
	assert_true(held() > 0);
	room = 3 * MIB;
	assert_true(ur_reserve_look(reserve));
	assert_int_equal(held(), -1);
	assert_false(ur_reserve_look(reserve));
	room = 12 * MIB; // what was given up, and a little
	assert_false(ur_reserve_look(reserve));
	assert_int_equal(held(), -1);
	(void)ur_reserve_free(reserve);
}

static void what_an_earlier_run_laid_down_is_there_for_the_next(void **state)
{
	(void)state;
	struct ur_reserve *reserve = ur_reserve_new(ledger);
	room = 100 * MIB;
	(void)ur_reserve_look(reserve);
	(void)ur_reserve_free(reserve);
	assert_true(held() > 0);
	reserve = ur_reserve_new(ledger);
	room = 0;
	assert_true(ur_reserve_look(reserve));
	assert_int_equal(held(), -1);
	(void)ur_reserve_free(reserve);
}

static void where_blocks_cannot_be_taken_nothing_is_left(void **state)
{
	(void)state;
	struct ur_reserve *reserve = ur_reserve_new(ledger);
	ur_sys.reserve = no_blocks;
	room = 100 * MIB;
	assert_false(ur_reserve_look(reserve));
	assert_int_equal(held(), -1);
	(void)ur_reserve_free(reserve);
}

static void somebody_elses_file_of_that_name_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(symlink("/etc/hostname", file), 0);
	struct ur_reserve *reserve = ur_reserve_new(ledger);
	room = 100 * MIB;
	assert_false(ur_reserve_look(reserve));
	room = 0;
	assert_false(ur_reserve_look(reserve));
	struct stat st;
	assert_int_equal(lstat(file, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	(void)ur_reserve_free(reserve);
}

static void a_copy_without_blocks_is_laid_anew_and_a_file_with_bytes_is_not_ours(void **state)
{
	(void)state;
	FILE *copy = fopen(file, "w");
	assert_int_equal(fclose(copy), 0);
	room = 100 * MIB;
	struct ur_reserve *reserve = ur_reserve_new(ledger);
	assert_false(ur_reserve_look(reserve));
	assert_true(held() >= (int64_t)(8 * MIB));
	(void)ur_reserve_free(reserve);
	assert_int_equal(unlink(file), 0);

	copy = fopen(file, "w");
	assert_true(fputs("somebody's", copy) >= 0);
	assert_int_equal(fclose(copy), 0);
	room = 0;
	reserve = ur_reserve_new(ledger);
	assert_false(ur_reserve_look(reserve));
	assert_true(held() > 0);
	(void)ur_reserve_free(reserve);
}

static void without_a_folder_there_is_none(void **state)
{
	(void)state;
	assert_null(ur_reserve_new("/nowhere/at/all/l.db"));
	assert_false(ur_reserve_look(NULL));
	assert_null(ur_reserve_free(NULL));
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		PLACED(room_is_laid_down_once_and_given_up_once),
		PLACED(what_an_earlier_run_laid_down_is_there_for_the_next),
		PLACED(where_blocks_cannot_be_taken_nothing_is_left),
		PLACED(somebody_elses_file_of_that_name_is_left_alone),
		PLACED(a_copy_without_blocks_is_laid_anew_and_a_file_with_bytes_is_not_ours),
		PLACED(without_a_folder_there_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
