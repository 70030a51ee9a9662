/**
 * spawn - one command of a bench, and exactly what it used.
 *
 *     "uringest plan …" ──sh -c 'exec …'──▶ child ──wait4──▶ wall, user + sys, peak
 *                                             └─/proc/PID/io, /sys/dev/block/…/inflight──▶ disk
 *
 * What a command waited for (the programs of a pipe, of xargs) is counted with it.
 *
 *   Owner    strings are the caller's
 *   Units    seconds, bytes, KiB for the peak as the kernel counts it
 *   Errors   -ECHILD with what the command said when it did not end with 0, -EINTR after a signal
 *   Threads  one; children end with us (PR_SET_PDEATHSIG)
 *   Source   wait4(2), proc(5), Documentation/block/stat.rst
 */
#ifndef UR_CLI_BENCH_SPAWN_H
#define UR_CLI_BENCH_SPAWN_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ur_bench_used {
	double wall_s;
	double cpu_s;
	uint64_t peak_kib;
	uint64_t disk_bytes; // read from the disk; 0 also where the kernel does not say
	unsigned in_flight;  // median of the requests at the disk, a sample each millisecond
};

struct ur_bench_command {
	const char *text; // for the shell
	const char *out;  // a file for its stdout; NULL: thrown away
	const char *said; // a file for its stderr
	dev_t disk;       // of which device requests in flight are sampled; 0: none
};

/** Signals from here on end the command that runs, and then us, in order. */
void ur_bench_catch_signals(void);
/** 0, or the signal that came. */
int ur_bench_signal(void);

[[nodiscard]] int ur_bench_spawn(
	const struct ur_bench_command *command, struct ur_bench_used *ret, struct ur_err *err);
/** Starts a server; -errno or its process id.  `ur_bench_end` sends SIGTERM, and SIGKILL
 * to what has not ended after twenty seconds. */
[[nodiscard]] pid_t ur_bench_start(const char *text, const char *out, const char *said);
void ur_bench_end(pid_t pid);
/** Whether a process that was started is still there. */
bool ur_bench_runs(pid_t pid);

#endif
