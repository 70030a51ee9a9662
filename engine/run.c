/* run - the counts and the one mouth of a run. */
#include "engine/run.h"

#include "engine/base/clock.h"
#include "engine/media/when.h"
#include "engine/source/hindrance.h"
#include "engine/source/leftover.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void ur_run_report(struct ur_run *run, const struct ur_dir *dir, const char *name, int64_t size,
	enum ur_state state, enum ur_outcome outcome, const char *reason, const char *asset,
	bool warning, bool told)
{
	assert(outcome != UR_OUTCOME_OPEN && outcome < UR_OUTCOMES);
	atomic_fetch_add(&run->outcomes[outcome], 1);
	if (outcome == UR_OUTCOME_VANISHED) {
		return; // not found after all: neither counted nor told
	}
	atomic_fetch_add(&run->bytes_found, (uint64_t)size);
	if (run->options->event == NULL) {
		return;
	}
	const struct ur_event event = {
		.dir = dir,
		.name = name,
		.state = state,
		.outcome = outcome,
		.reason = reason == NULL ? "" : reason,
		.asset = asset == NULL ? "" : asset,
		.warning = warning,
		.told = told,
	};
	(void)pthread_mutex_lock(&run->talk);
	run->options->event(run->options->context, &event);
	(void)pthread_mutex_unlock(&run->talk);
}

bool ur_run_holds_up(const struct ur_run *run, const struct ur_file *file)
{
	return file->young || (run->options->min_age_ms > 0 && file->writers == UR_WRITERS_SOME);
}

bool ur_run_is_stopping(const struct ur_run *run)
{
	return atomic_load_explicit(&run->stop, memory_order_relaxed);
}

bool ur_run_removes(const struct ur_run *run)
{
	return run->options->after != UR_AFTER_KEEP;
}

int64_t ur_run_answer_ms(const struct ur_run *run, int64_t most_ms)
{
	const int64_t asked_ms = run->options->answer_wait_ms;
	return asked_ms < most_ms ? asked_ms : most_ms;
}

void ur_run_see_unquiet(struct ur_run *run, int64_t left_ns)
{
	int64_t most = atomic_load(&run->unquiet_ns);
	atomic_fetch_add(&run->unquiet, 1);
	while (left_ns > most && !atomic_compare_exchange_weak(&run->unquiet_ns, &most, left_ns)) {
	}
}

bool ur_run_see_trouble(struct ur_run *run, const struct ur_record *row)
{
	const bool known = run->options->respect_next && ur_trouble_was_known(&run->troubles, row);
	ur_trouble_see(&run->troubles, known);
	return known;
}

bool ur_run_see_trouble_at(struct ur_run *run, const char *path, const char *what)
{
	(void)pthread_mutex_lock(&run->talk);
	const bool known = ur_trouble_see_place(&run->troubles, path, what);
	(void)pthread_mutex_unlock(&run->talk);
	return known;
}

void ur_run_count_kept(struct ur_run *run, uint64_t files, uint64_t bytes)
{
	atomic_fetch_add(&run->outcomes[UR_OUTCOME_PRESENT], files);
	atomic_fetch_add(&run->bytes_found, bytes);
}

void ur_run_path_error(struct ur_run *run, const char *path, const char *why)
{
	const bool told = ur_run_see_trouble_at(run, path, why);
	atomic_fetch_add(&run->folder_errors, 1);
	(void)pthread_mutex_lock(&run->talk);
	if (run->options->folder_error != NULL) {
		run->options->folder_error(run->options->context, path, why, told);
	}
	(void)pthread_mutex_unlock(&run->talk);
}

void ur_run_folder_error(
	struct ur_run *run, const struct ur_dir *dir, const char *name, int code, const char *why)
{
	struct ur_text path = {0};
	struct ur_text text = {0};
	char words[UR_HINDRANCE_TEXT];
	ur_dir_path(dir, name, &path);
	ur_text_addf(&text, "%s%s%s", why, code < 0 ? ": " : "",
		code < 0 ? ur_hindrance_of_reading(code, words) : "");
	ur_run_path_error(run, ur_text_get(&path), ur_text_get(&text));
	ur_text_done(&path);
	ur_text_done(&text);
}

void ur_run_warn(struct ur_run *run, const char *format, ...)
{
	char text[UR_ERR_TEXT_MAX];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	(void)pthread_mutex_lock(&run->talk);
	if (run->options->warn != NULL) {
		run->options->warn(run->options->context, text);
	}
	(void)pthread_mutex_unlock(&run->talk);
}

void ur_run_tidy_staging(struct ur_run *run, int parent, const char *path)
{
	struct ur_leftovers found;
	const char *at = strcmp(path, "/") == 0 ? "" : path;
	const int r = ur_leftover_tidy(parent, &run->staging_key, run->id, &found);
	if (r < 0) {
		/* In use: what is staged there now is no leftover. */
		const char *words = r == -EWOULDBLOCK ? NULL : ur_staging_say(r);
		if (words != NULL) {
			ur_run_warn(run, "%s/" UR_STAGING ": it %s", at, words);
		}
		return;
	}
	if (found.back > 0) {
		ur_run_warn(run,
			"%s/%s: put back from an interrupted run%s; the ledger has no row that says in "
			"which folder below it was",
			at, found.name, found.back > 1 ? ", like others there" : "");
	}
	if (found.stuck > 0) {
		ur_run_warn(run,
			"%s/" UR_STAGING
			": %u files of an interrupted run stand there and cannot be put "
			"back now; the next run tries again",
			at, found.stuck);
		atomic_fetch_add(&run->stranded, found.stuck);
		(void)ur_run_see_trouble_at(run, at, "stuck in staging");
	}
	if (found.others + found.copies > 0) {
		ur_run_warn(run,
			"%s/" UR_STAGING
			"/: %u files stand there ('%s') that another ledger has left, or nobody knows who; "
			"they are left alone: run the uringest that put them there once more, or "
			"`uringest recover '%s'` puts them back",
			at, found.others + found.copies, found.example, path);
	}
}

#define COLD_ALL 1024 // coldness, when none of the last files was in memory
#define COLD_LAST 16  // so many they are, roughly

void ur_run_see_cold(struct ur_run *run, bool cold)
{
	const int before = atomic_load_explicit(&run->coldness, memory_order_relaxed);
	const int step = ((cold ? COLD_ALL : 0) - before) / COLD_LAST;
	atomic_store_explicit(&run->coldness, before + step, memory_order_relaxed); // a hint
}

bool ur_run_is_cold(const struct ur_run *run)
{
	return atomic_load_explicit(&run->coldness, memory_order_relaxed) > COLD_ALL / 2;
}

void ur_run_see_in_flight(struct ur_run *run)
{
	const uint32_t now = atomic_load_explicit(&run->in_flight, memory_order_relaxed);
	const uint32_t at = now < UR_IN_FLIGHT_MAX ? now : UR_IN_FLIGHT_MAX - 1;
	atomic_fetch_add_explicit(&run->in_flight_seen[at], 1, memory_order_relaxed);
}

unsigned ur_run_in_flight_median(const struct ur_run *run)
{
	uint64_t looks = 0;
	for (unsigned i = 0; i < UR_IN_FLIGHT_MAX; i++) {
		looks += atomic_load_explicit(&run->in_flight_seen[i], memory_order_relaxed);
	}
	uint64_t below = 0;
	for (unsigned i = 0; i < UR_IN_FLIGHT_MAX; i++) {
		below += atomic_load_explicit(&run->in_flight_seen[i], memory_order_relaxed);
		if (2 * below >= looks) {
			return i;
		}
	}
	return 0;
}

void ur_run_fail(struct ur_run *run, int code, const struct ur_err *err)
{
	(void)pthread_mutex_lock(&run->talk);
	if (run->result == 0) {
		run->result = code;
		run->err = *err;
	}
	(void)pthread_mutex_unlock(&run->talk);
	atomic_store(&run->stop, true);
}

int64_t ur_run_created_of(const struct ur_run *run, const struct ur_file *file)
{
	int64_t ns = 0;
	bool utc = false;
	if (!run->options->dates_from_names ||
		!ur_when_of_name(file->name, ur_clock_wall_ns(), &ns, &utc)) {
		return file->identity.mtime_ns;
	}
	if (utc) {
		return ns;
	}
	const time_t local = (time_t)(ns / UR_SECOND_NS);
	struct tm tm = {0};
	if (gmtime_r(&local, &tm) == NULL) {
		return file->identity.mtime_ns;
	}
	tm.tm_isdst = -1;
	const time_t at = mktime(&tm);
	return at == (time_t)-1 ? file->identity.mtime_ns
				: (int64_t)at * UR_SECOND_NS + ns % UR_SECOND_NS;
}

static bool remove_if_emptied(struct ur_dir *dir)
{
	if (dir->parent == NULL || dir->through_link || atomic_load(&dir->refs) != 1 ||
		atomic_load(&dir->removed) == 0) {
		return false;
	}
	const int fd = ur_dir_take(dir->parent);
	if (fd < 0) {
		return false;
	}
	ur_effect("rmdir", false);
	const int r = ur_sys.unlinkat(fd, dir->name, AT_REMOVEDIR); // refuses what is not empty
	ur_effect("rmdir", true);
	ur_dir_give(dir->parent, fd);
	return r == 0;
}

void ur_run_leave(struct ur_run *run, struct ur_dir *dir)
{
	while (dir != NULL) {
		const bool removing = run->options->after != UR_AFTER_KEEP && !run->options->plan;
		struct ur_dir *parent = NULL;
		if (removing && remove_if_emptied(dir)) {
			atomic_fetch_add(&dir->parent->removed, 1);
			parent = ur_dir_ref(dir->parent);
		}
		(void)ur_dir_unref(dir);
		dir = parent;
	}
}
