/* spawn - fork, exec by a shell, and read what the kernel has counted before the child is reaped. */
#include "cli/bench/spawn.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 60000u // a minute; later ones are left out
#define IN_FLIGHT_MAX 1024u
#define SAID_MAX 400u
#define GROUP_WAITS 2000 // ten seconds
#define END_WAITS 4000   // twenty

static volatile sig_atomic_t signal_seen;

static void note_signal(int signal)
{
	signal_seen = signal;
}

void ur_bench_catch_signals(void)
{
	/* Without SA_RESTART: what waits for a child must hear of it. */
	const struct sigaction action = {.sa_handler = note_signal};
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
}

int ur_bench_signal(void)
{
	return signal_seen;
}

/** In the child. */
static void send_to(const char *path, int fd)
{
	const int to = open(path != NULL ? path : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (to < 0 || dup2(to, fd) < 0) {
		_exit(126);
	}
	(void)close(to);
}

pid_t ur_bench_start(const char *text, const char *out, const char *said)
{
	const pid_t parent = getpid();
	sigset_t all;
	sigset_t before;
	(void)fflush(NULL);
	/* A signal that came between fork and exec would be noted in the child, and be lost. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	const pid_t child = fork();
	if (child != 0) {
		const int code = errno;
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		return child < 0 ? -code : child;
	}
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	/* A group of its own: a signal from the terminal reaches us alone, and we end the child. */
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent) {
		_exit(126);
	}
	const int in = open("/dev/null", O_RDONLY);
	if (in < 0 || dup2(in, STDIN_FILENO) < 0) {
		_exit(126);
	}
	send_to(out, STDOUT_FILENO);
	send_to(said, STDERR_FILENO);
	(void)execl("/bin/sh", "sh", "-c", text, (char *)NULL);
	_exit(127);
}

bool ur_bench_runs(pid_t pid)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

void ur_bench_end(pid_t pid)
{
	if (pid <= 0) {
		return;
	}
	const struct timespec pause = {0, 5 * UR_MS_NS};
	(void)kill(pid, SIGTERM);
	for (int i = 0; waitpid(pid, NULL, WNOHANG) == 0; i++) {
		if (i == END_WAITS) {
			(void)kill(pid, SIGKILL);
		}
		(void)nanosleep(&pause, NULL);
	}
}

/* ---- requests at the disk -------------------------------------------------------------------- */

struct sampler {
	int fd; // of …/inflight; -1: nothing is sampled
	uint32_t counts[IN_FLIGHT_MAX];
	uint32_t samples;
};

static void sampler_open(struct sampler *sampler, dev_t disk)
{
	char path[96];
	*sampler = (struct sampler){.fd = -1};
	if (disk != 0) {
		(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/inflight", major(disk),
			minor(disk));
		sampler->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
}

static void sampler_take(struct sampler *sampler)
{
	char text[64];
	const ssize_t size = pread(sampler->fd, text, sizeof text - 1, 0);
	if (size <= 0 || sampler->samples == SAMPLES_MAX) {
		return;
	}
	text[size] = '\0';
	unsigned long reads = strtoul(text, NULL, 10);
	reads = reads < IN_FLIGHT_MAX ? reads : IN_FLIGHT_MAX - 1;
	sampler->counts[reads]++;
	sampler->samples++;
}

static unsigned sampler_median(const struct sampler *sampler)
{
	uint32_t below = 0;
	for (unsigned i = 0; i < IN_FLIGHT_MAX; i++) {
		below += sampler->counts[i];
		if (below > 0 && below * 2 >= sampler->samples) {
			return i;
		}
	}
	return 0;
}

/* ---- one command ----------------------------------------------------------------------------- */

/** Until the child has ended; it is not reaped. */
static void await(pid_t child, struct sampler *sampler)
{
	const struct timespec pause = {0, UR_MS_NS};
	for (;;) {
		siginfo_t info = {0};
		const int how = WEXITED | WNOWAIT | (sampler->fd >= 0 ? WNOHANG : 0);
		if (waitid(P_PID, (id_t)child, &info, how) == 0 && info.si_pid != 0) {
			return;
		}
		if (signal_seen != 0) {
			(void)kill(-child, SIGTERM);
		}
		if (sampler->fd >= 0) {
			sampler_take(sampler);
			(void)nanosleep(&pause, NULL);
		}
	}
}

/** What a shell or xargs started may outlive it for a moment, and still write. */
static void await_group(pid_t child)
{
	const struct timespec pause = {0, 5 * UR_MS_NS};
	for (int i = 0; i < GROUP_WAITS && kill(-child, SIGTERM) == 0; i++) {
		(void)nanosleep(&pause, NULL);
	}
}

static uint64_t disk_bytes_of(pid_t child)
{
	char path[48];
	char line[96];
	uint64_t bytes = 0;
	(void)snprintf(path, sizeof path, "/proc/%d/io", (int)child);
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, "read_bytes: ", 12) == 0) {
			bytes = strtoull(line + 12, NULL, 10);
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	return bytes;
}

static double seconds_of(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec * 1e-6;
}

/** The end of what a command said, on one line. */
static void read_said(const char *path, char ret[SAID_MAX])
{
	ret[0] = '\0';
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return;
	}
	char all[4 * SAID_MAX];
	size_t size = 0;
	for (size_t n = 0; (n = fread(all + size, 1, sizeof all - size, file)) > 0;) {
		size += n;
		if (size == sizeof all) {
			memmove(all, all + size / 2, size / 2);
			size /= 2;
		}
	}
	(void)fclose(file);
	const size_t from = size > SAID_MAX - 1 ? size - (SAID_MAX - 1) : 0;
	for (size_t i = from; i < size; i++) {
		ret[i - from] = (unsigned char)all[i] < ' ' ? ' ' : all[i];
	}
	ret[size - from] = '\0';
}

static int failed(const struct ur_bench_command *command, int status, struct ur_err *err)
{
	char said[SAID_MAX];
	read_said(command->said, said);
	if (signal_seen != 0) {
		return ur_err_say(err, -EINTR, UR_FAULT_SETUP, "stopped by a signal");
	}
	return ur_err_say(err, -ECHILD, UR_FAULT_SETUP, "`%.300s` ended with %s %d: %s",
		command->text, WIFSIGNALED(status) ? "signal" : "code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		said[0] != '\0' ? said : "it said nothing");
}

int ur_bench_spawn(
	const struct ur_bench_command *command, struct ur_bench_used *ret, struct ur_err *err)
{
	struct sampler sampler;
	struct rusage usage;
	int status = -1;
	sampler_open(&sampler, command->disk);
	const int64_t from = ur_clock_steady_ns();
	const pid_t child = ur_bench_start(command->text, command->out, command->said);
	if (child < 0) {
		if (sampler.fd >= 0) {
			(void)close(sampler.fd);
		}
		return ur_err_set(err, child, UR_FAULT_WORLD, "cannot start a command");
	}
	await(child, &sampler);
	const int64_t to = ur_clock_steady_ns();
	struct ur_bench_used used = {
		.wall_s = (double)(to - from) / (double)UR_SECOND_NS,
		.disk_bytes = disk_bytes_of(child),
		.in_flight = sampler_median(&sampler),
	};
	if (sampler.fd >= 0) {
		(void)close(sampler.fd);
	}
	while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
	}
	if (status != 0 || signal_seen != 0) {
		await_group(child);
		return failed(command, status, err);
	}
	used.cpu_s = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
	used.peak_kib = (uint64_t)usage.ru_maxrss;
	*ret = used;
	return 0;
}
