/* limits - what may be had here at most, up to the last byte and beyond all numbers. */
#include "engine/gateway/limits.h"

#include "engine/sys/sys.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define BOB "22222222-2222-4222-8222-222222222222"

static char dir[64];
static uint64_t space; // what the disk says it has left
static int space_error;

static int fstatfs_of(int fd, struct statfs *ret)
{
	(void)fd;
	*ret = (struct statfs){.f_bavail = space, .f_frsize = 1};
	return space_error;
}

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

static int set_up(void **state)
{
	struct ur_gateway *gateway = calloc(1, sizeof *gateway);
	(void)snprintf(dir, sizeof dir, "/tmp/ur-limits.XXXXXX");
	if (mkdtemp(dir) == NULL || ur_spool_new(dir, &gateway->spool, NULL) < 0) {
		free(gateway);
		return -1;
	}
	gateway->limits = ur_gateway_limits_default();
	ur_sys.fstatfs = fstatfs_of;
	space_error = 0;
	*state = gateway;
	return 0;
}

static int tear_down(void **state)
{
	struct ur_gateway *gateway = *state;
	gateway->spool = ur_spool_free(gateway->spool);
	free(gateway);
	(void)nftw(dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static void a_user_has_a_share_up_to_its_last_byte(void **state)
{
	struct ur_gateway *gateway = *state;
	const struct ur_spool_spec spec = {.owner = ANN, .length = 600, .metadata = ""};
	struct ur_spool_upload *upload = NULL;
	assert_int_equal(ur_spool_make(gateway->spool, &spec, &upload, NULL), 0);
	ur_spool_admit(gateway->spool, upload);
	gateway->limits.user_bytes = 0;
	assert_true(ur_limits_share(gateway, ANN, UINT64_MAX)); // none is none
	gateway->limits.user_bytes = 1000;
	assert_true(ur_limits_share(gateway, ANN, 400));
	assert_false(ur_limits_share(gateway, ANN, 401));
	assert_false(ur_limits_share(gateway, ANN, UINT64_MAX));
	assert_true(ur_limits_share(gateway, BOB, 1000));
	gateway->making_bytes = 100; // somebody's, it may be theirs
	assert_true(ur_limits_share(gateway, ANN, 300));
	assert_false(ur_limits_share(gateway, ANN, 301));
	gateway->making_bytes = 2000;
	assert_false(ur_limits_share(gateway, ANN, 0));
}

static void a_disk_keeps_some_of_its_room(void **state)
{
	struct ur_gateway *gateway = *state;
	gateway->limits.keep_free = 1000;
	space = 999;
	assert_false(ur_limits_room(gateway));
	assert_false(ur_limits_fits(gateway, 0));
	space = 1000;
	assert_true(ur_limits_room(gateway));
	assert_true(ur_limits_fits(gateway, 0));
	assert_false(ur_limits_fits(gateway, 1));
	space = 1500;
	assert_true(ur_limits_fits(gateway, 500));
	assert_false(ur_limits_fits(gateway, UINT64_MAX));
	gateway->making_bytes = 200;
	assert_true(ur_limits_fits(gateway, 300));
	assert_false(ur_limits_fits(gateway, 301));
	gateway->making_bytes = UINT64_MAX;
	assert_false(ur_limits_fits(gateway, 1));
	assert_true(ur_limits_room(gateway));
}

static void a_disk_that_says_nothing_is_tried(void **state)
{
	struct ur_gateway *gateway = *state;
	space = 0;
	space_error = -5;
	assert_true(ur_limits_room(gateway));
	assert_true(ur_limits_fits(gateway, 1));
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(a_user_has_a_share_up_to_its_last_byte),
		HERE(a_disk_keeps_some_of_its_room),
		HERE(a_disk_that_says_nothing_is_tried),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
