/* tick - seen, not assumed. */
#include "engine/source/tick.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#define LOOKS 26 // 50 ms in all
#define BETWEEN_NS (2 * UR_MS_NS)
#define A_MOMENT_NS 123456789 // of a second that is long past

bool ur_tick_is_fine(int64_t time_ns)
{
	return time_ns % UR_TICK_FINE_NS != 0;
}

void ur_tick_learn(struct ur_fs *fs, int64_t ctime_ns)
{
	if (!fs->tick_known && !fs->network && ur_tick_is_fine(ctime_ns)) {
		fs->tick_ns = UR_TICK_FINE_NS;
		fs->tick_known = true;
	}
}

/** Sets the times of the file, and sees what is kept of them. */
static int change(int fd, time_t second, struct ur_identity *ret)
{
	const struct timespec times[2] = {{second, A_MOMENT_NS}, {second, A_MOMENT_NS}};
	struct stat st;
	int r = ur_sys.utimens(fd, times);
	r = r < 0 ? r : ur_sys.fstat(fd, &st);
	if (r == 0) {
		*ret = ur_identity_of(&st, 0);
	}
	return r;
}

/**
 * Changes it until ctime has moved twice: once may be chance, when a coarse clock happens to go on
 * just then.
 */
static int see_it_move(int fd, bool *ret_fine)
{
	const struct timespec pause = {0, BETWEEN_NS};
	struct ur_identity last = {0};
	int moves = 0;
	int fine = 0;
	int r = change(fd, 1, &last);
	for (int i = 0; r == 0 && i < LOOKS && moves < 2; i++) {
		struct ur_identity now = {0};
		(void)nanosleep(&pause, NULL);
		r = change(fd, 2 + i, &now);
		moves += now.ctime_ns > last.ctime_ns;
		fine += ur_tick_is_fine(now.ctime_ns) && ur_tick_is_fine(now.mtime_ns);
		last = now;
	}
	*ret_fine = moves == 2 && fine > 0;
	return r;
}

int ur_tick_measure(int dir_fd, const struct ur_fs *fs, int64_t *ret_ns)
{
	bool fine = false;
	if (fs->network) {
		*ret_ns = UR_TICK_ASSUMED_NS;
		return 0;
	}
	const int fd = ur_sys.openat(dir_fd, ".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0) {
		return fd;
	}
	const int r = see_it_move(fd, &fine);
	(void)ur_sys.close(fd);
	if (r == 0) {
		*ret_ns = fine ? UR_TICK_FINE_NS : UR_TICK_ASSUMED_NS;
	}
	return r;
}
