/* cmd_import - import and plan: one code path, and the watch over it. */
#include "cli/commands.h"
#include "cli/configure.h"

#include "engine/base/clock.h"
#include "engine/base/thread.h"
#include "engine/media/hash.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCH_MS 100
#define SLEEP_STEP_MS 200
#define SAY_WAIT_NS (5 * UR_SECOND_NS)
#define UNQUIET_WAIT_MS 120000 // what a run by hand waits itself, at most

static atomic_int stop_signal;

int ur_stop_signal(void)
{
	return atomic_load(&stop_signal);
}

int ur_exit_of(int code, const struct ur_err *err)
{
	if (code == 0) {
		return UR_EXIT_WELL;
	}
	ur_report_error(err->text);
	switch (code) {
	case -EWOULDBLOCK:
		return UR_EXIT_LOCKED;
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
	case -EPROTO:
		return err->fault == UR_FAULT_SETUP ? UR_EXIT_USAGE : UR_EXIT_AWAY;
	default:
		return UR_EXIT_USAGE;
	}
}

/* ---- the watch: signals and progress --------------------------------------------------------- */

/**
 * One for the process, from the first run on: between two runs, and while the server has not even
 * said who it is, somebody listens too.
 */
static struct {
	pthread_mutex_t lock;
	struct ur_pipeline *pipeline; // NULL: none runs
	struct ur_report *report;
	bool starting; // nothing is on its way yet, and nothing can be asked to stop
	bool watching;
	const char *waits; // for what, before anything is on its way; NULL: nothing, or it was said
	int64_t waits_ns;  // steady: since when
	int64_t asked_ns;  // steady: when it was asked to stop
} the_watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void watched_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGTERM);
}

/** With the lock. */
static void heed(int signal)
{
	const int64_t now = ur_clock_steady_ns();
	const bool again = atomic_exchange(&stop_signal, signal) != 0;
	if (again && now - the_watch.asked_ns < UR_TWICE_NS) {
		return; // a process and its group are told at once: that is one asking
	}
	the_watch.asked_ns = now;
	if (again || the_watch.starting) {
		(void)fflush(stdout);
		_exit(128 +
			signal); // asked twice, or nothing is on its way: the ledger can stand it
	}
	if (the_watch.pipeline != NULL) {
		ur_report_warn(the_watch.report,
			"stopping: what is on its way may arrive, the rest is for the next run");
		ur_pipeline_stop(the_watch.pipeline);
	}
}

static void show_progress(void)
{
	struct ur_summary counts;
	if (the_watch.pipeline != NULL) {
		ur_pipeline_counts(the_watch.pipeline, &counts);
		ur_report_progress(the_watch.report, &counts);
	}
}

/** For struct ur_options. */
static void note_wait(void *report, const char *what)
{
	(void)report;
	(void)pthread_mutex_lock(&the_watch.lock);
	the_watch.waits = what;
	the_watch.waits_ns = ur_clock_steady_ns();
	(void)pthread_mutex_unlock(&the_watch.lock);
}

/** With the lock. */
static void say_wait(void)
{
	const int64_t waited_ns = ur_clock_steady_ns() - the_watch.waits_ns;
	if (the_watch.waits != NULL && the_watch.report != NULL && waited_ns >= SAY_WAIT_NS) {
		ur_report_warn(the_watch.report, the_watch.waits);
		the_watch.waits = NULL;
	}
}

static void *watch(void *context)
{
	sigset_t set;
	watched_signals(&set);
	const struct timespec pause = {0, WATCH_MS * UR_MS_NS};
	(void)context;
	while (true) {
		const int caught = sigtimedwait(&set, NULL, &pause);
		(void)pthread_mutex_lock(&the_watch.lock);
		if (caught > 0) {
			heed(caught);
		}
		show_progress();
		say_wait();
		(void)pthread_mutex_unlock(&the_watch.lock);
	}
	return NULL;
}

/** Signals are the watch's: it notes them, and this looks. */
void ur_sleep_ms(int64_t ms)
{
	for (; ms > 0 && ur_stop_signal() == 0; ms -= SLEEP_STEP_MS) {
		const int64_t step = ms < SLEEP_STEP_MS ? ms : SLEEP_STEP_MS;
		const struct timespec pause = {0, step * UR_MS_NS};
		(void)nanosleep(&pause, NULL);
	}
}

/** What the watch sees from now on; when this returns it sees nothing else. */
static void set_watched(struct ur_pipeline *pipeline, struct ur_report *report, bool starting)
{
	(void)pthread_mutex_lock(&the_watch.lock);
	the_watch.pipeline = pipeline;
	the_watch.report = report;
	the_watch.starting = starting;
	(void)pthread_mutex_unlock(&the_watch.lock);
}

static int start_watching(struct ur_err *err)
{
	pthread_t thread;
	sigset_t set;
	watched_signals(&set);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	const int r = the_watch.watching ? 0
					 : ur_thread_start(&thread, watch, NULL,
						   "the thread that watches", err);
	if (r < 0) {
		return r;
	}
	if (!the_watch.watching) {
		(void)pthread_detach(thread);
		the_watch.watching = true;
	}
	return 0;
}

static int run_watched(struct ur_pipeline *pipeline, struct ur_report *report, struct ur_err *err)
{
	set_watched(pipeline, report, false);
	const int result = ur_pipeline_run(pipeline, err);
	set_watched(NULL, NULL, false);
	return result;
}

/* ---- one run --------------------------------------------------------------------------------- */

static void fill(struct ur_options *to, const struct ur_cli_options *from, struct ur_report *report)
{
	*to = (struct ur_options){
		.files_from = from->files_from,
		.files_from_nul = from->nul,
		.excludes = from->excludes,
		.exclude_count = from->exclude_count,
		.no_junk = from->no_junk,
		.follow = from->follow,
		.one_file_system = from->one_file_system,
		.skip_hidden = from->skip_hidden,
		.dates_from_names = from->dates_from_names,
		.min_age_ms = from->min_age_ms,
		.tell_junk = from->verbose,
		.tell_known = from->json || from->verbose,
		.limit = from->limit,
		.after = from->after,
		.move_to = from->move_to,
		.confirm_bytes = from->confirm_bytes,
		.no_library = from->no_library,
		.ring = from->ring,
		.probe_threads = (unsigned)from->threads,
		.concurrency = (unsigned)from->concurrency,
		.server_wait_ms = from->server_wait_ms,
		.answer_wait_ms = from->answer_wait_ms,
		.suspect_wait_ms = from->suspect_wait_ms,
		.settle_after_ms = from->settle_after_ms,
		.quiet_without_lease_ms = from->quiet_without_lease_ms,
		.accept_cut_off = from->accept_cut_off,
		.tries_max = (int)from->tries,
		.resumable_threshold = from->resumable_threshold,
		.resumable_chunk = from->resumable_chunk,
		.gateway = from->gateway,
		.event = ur_report_event,
		.folder_error = ur_report_folder_error,
		.warn = ur_report_warn,
		.waits = note_wait,
		.context = report,
	};
}

/** A timer that failed every few minutes for the same reason would not be looked at any more. */
static int exit_of_run(int r, const struct ur_err *err, const struct ur_summary *s, bool draining)
{
	if (r == -ECANCELED && ur_stop_signal() != 0) {
		return 128 + ur_stop_signal();
	}
	if (r < 0) {
		return ur_exit_of(r, err);
	}
	return (draining ? s->trouble_due : s->troubles > 0) ? UR_EXIT_FAILED : UR_EXIT_WELL;
}

static int choose_hash(const char *name, struct ur_err *err)
{
	const int r = name == NULL ? 0 : ur_hash_choose(name);
	if (r == -EINVAL) {
		return ur_err_say(
			err, r, UR_FAULT_SETUP, "--hash takes %s, not '%s'", UR_HASH_CHOICES, name);
	}
	if (r < 0) {
		return ur_err_say(err, r, UR_FAULT_SETUP,
			"--hash=%s: this processor cannot do that, or does it wrongly; leave it "
			"away, or take --hash=openssl",
			name);
	}
	return 0;
}

/** The part of `pattern` below `source` when it is a whole path, as rsync and tar take it; NULL: it is none. */
static const char *below(const char *pattern, const char *source)
{
	char real[PATH_MAX];
	const char *path = pattern[0] == '!' ? pattern + 1 : pattern;
	if (path[0] != '/' || realpath(source, real) == NULL) {
		return NULL;
	}
	const size_t size = strcmp(real, "/") == 0 ? 0 : strlen(real);
	return size > 0 && strncmp(path, real, size) == 0 && path[size] == '/' ? path + size : NULL;
}

/** A pattern is anchored at its source: a whole path would leave out nothing, and all of it be sent. */
static int check_excludes(const struct ur_cli_options *o, const char *const *sources, size_t count,
	struct ur_err *err)
{
	for (size_t i = 0; i < o->exclude_count; i++) {
		for (size_t k = 0; k < count; k++) {
			const char *rest = below(o->excludes[i], sources[k]);
			if (rest != NULL) {
				return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
					"--exclude '%s' is a whole path, and patterns begin at their "
					"source: below '%s' it is '%s'",
					o->excludes[i], sources[k], rest);
			}
		}
	}
	return 0;
}

int ur_run_once(const struct ur_cli_options *options, const char *const *sources, size_t count,
	const char *command, bool plan, bool draining, struct ur_summary *ret)
{
	struct ur_err err = {0};
	struct ur_connection connection;
	struct ur_report report;
	struct ur_options run;
	struct ur_pipeline *pipeline = NULL;
	char *ledger = NULL;
	char again[64];
	ur_report_init(&report, options->json, options->quiet, options->verbose, plan);
	report.timer = draining;
	int r = start_watching(&err);
	r = r < 0 ? r : choose_hash(options->hash, &err);
	r = r < 0 ? r : check_excludes(options, sources, count, &err);
	if (r == 0) {
		r = ur_connection_find(options, &connection, &err);
	}
	if (r < 0) {
		return ur_exit_of(r, &err);
	}
	r = ur_connection_ledger(options, &ledger, &err);
	if (r == 0) {
		fill(&run, options, &report);
		run.sources = sources;
		run.source_count = count;
		run.plan = plan;
		run.respect_next = draining;
		run.command = command;
		run.ledger = ledger;
		run.key_from = connection.key_from;
		ur_connection_fill(&connection, options, &run.http);
		set_watched(NULL, &report, true);
		r = ur_pipeline_new(&run, &pipeline, &err);
		set_watched(NULL, NULL, false);
	}
	int code = r < 0 ? ur_exit_of(r, &err) : 0;
	if (r == 0) {
		if (options->verbose) {
			(void)fprintf(stderr, "uringest: server %d.%d.%d, user %s\n",
				ur_pipeline_server(pipeline)->major,
				ur_pipeline_server(pipeline)->minor,
				ur_pipeline_server(pipeline)->patch,
				ur_pipeline_server(pipeline)->user_name);
		}
		r = run_watched(pipeline, &report, &err);
		ur_pipeline_counts(pipeline, ret);
		(void)snprintf(again, sizeof again, "uringest %s", command);
		ur_report_summary(&report, ret, again);
		code = exit_of_run(r, &err, ret, draining);
	}
	(void)ur_pipeline_free(pipeline);
	free(ledger);
	ur_connection_done(&connection);
	return code;
}

/** Names that come through a pipe cannot be asked for again. */
static bool reads_once(const struct ur_cli_options *options)
{
	return options->files_from != NULL && strcmp(options->files_from, "-") == 0;
}

/**
 * Who stands at the keyboard expects an empty card when the command ends, so the short wait for what
 * nobody has a lease on is ours, once, and said; a long one is the next run's.
 */
static int finish_unquiet(const struct ur_cli_options *options, const char *command, int code,
	struct ur_summary *summary)
{
	const bool ended = code == UR_EXIT_WELL || code == UR_EXIT_FAILED;
	if (!ended || summary->unquiet == 0 || ur_stop_signal() != 0 ||
		summary->unquiet_ms > UNQUIET_WAIT_MS || reads_once(options)) {
		return code;
	}
	if (!options->quiet) {
		(void)fprintf(stderr,
			"uringest: %llu files are delivered and may go when they have been unchanged for "
			"a while, since nobody can say who writes to them: waiting for %lld s (Ctrl-C "
			"leaves them to the next run)\n",
			(unsigned long long)summary->unquiet,
			(long long)summary->unquiet_ms / 1000 + 1);
	}
	ur_sleep_ms(summary->unquiet_ms);
	return ur_stop_signal() != 0
		       ? 128 + ur_stop_signal()
		       : ur_run_once(options, (const char *const *)options->arguments,
				 (size_t)options->argument_count, command, false, false, summary);
}

static int import(const struct ur_cli_options *given, const char *command, bool plan)
{
	struct ur_cli_options options = *given;
	struct ur_arena arena;
	struct ur_settings settings;
	struct ur_summary summary = {0};
	struct ur_err err = {0};
	if (options.argument_count == 0 && options.files_from == NULL) {
		ur_report_error("nothing to look at: name files or folders, or give --files-from");
		return UR_EXIT_USAGE;
	}
	if (options.nul && options.files_from == NULL) {
		ur_report_error("--null goes with --files-from");
		return UR_EXIT_USAGE;
	}
	if ((options.client_cert == NULL) != (options.client_key == NULL)) {
		ur_report_error("--client-cert and --client-key go together");
		return UR_EXIT_USAGE;
	}
	ur_arena_init(&arena);
	int code = UR_EXIT_WELL;
	if (options.config != NULL) {
		const int r = ur_settings_load(&arena, options.config, &settings, &err);
		if (r < 0) {
			code = ur_exit_of(r, &err);
		} else {
			ur_configure(&settings, &options);
		}
	}
	if (code == UR_EXIT_WELL) {
		code = ur_run_once(&options, (const char *const *)options.arguments,
			(size_t)options.argument_count, command, plan, false, &summary);
		code = plan ? code : finish_unquiet(&options, command, code, &summary);
	}
	ur_arena_done(&arena);
	return code;
}

int ur_cmd_import(const struct ur_cli_options *options)
{
	return import(options, "import", false);
}

int ur_cmd_plan(const struct ur_cli_options *options)
{
	return import(options, "plan", true);
}
