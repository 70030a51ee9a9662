/*
 * scan_ticks - what the clock of each file system is worth, before the first file there is read.
 *
 * Where files may be removed it is measured, once a run; elsewhere nothing is written, and the files
 * of the folder tell.  Until something is known the coarsest clock in use is assumed.
 */
#include "engine/stage/scan_parts.h"

#include "engine/source/tick.h"

static bool may_write(const struct ur_run *run)
{
	return ur_run_removes(run) && !run->options->plan;
}

static void measure(const struct ur_dir *dir, struct ur_fs *fs)
{
	const int fd = ur_dir_take(dir);
	if (fd >= 0 && ur_tick_measure(fd, fs, &fs->tick_ns) == 0) {
		fs->tick_known = true;
	}
	ur_dir_give(dir, fd);
}

static void learn(const struct ur_scan *scan, struct ur_fs *fs, size_t count)
{
	for (size_t i = 0; i < count && !fs->tick_known; i++) {
		ur_tick_learn(fs, scan->listing.entries[scan->order[i]].ctime_ns);
	}
}

void ur_scan_know_tick(struct ur_scan *scan, struct ur_dir *dir, size_t count)
{
	struct ur_scan_tick *at = NULL;
	for (size_t i = 0; i < scan->tick_count; i++) {
		at = scan->ticks[i].device == dir->fs.device ? &scan->ticks[i] : at;
	}
	if (at != NULL) {
		dir->fs.tick_ns = at->tick_ns;
		dir->fs.tick_known = true;
		return;
	}
	if (may_write(scan->run)) {
		measure(dir, &dir->fs);
	}
	learn(scan, &dir->fs, count);
	if (dir->fs.tick_known && scan->tick_count < UR_SCAN_TICKS_MAX) {
		scan->ticks[scan->tick_count++] =
			(struct ur_scan_tick){dir->fs.device, dir->fs.tick_ns};
	}
}
