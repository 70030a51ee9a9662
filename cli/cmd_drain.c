/* cmd_drain - import of the configured folders, for the timer. */
#include "cli/commands.h"
#include "cli/configure.h"

#include "engine/base/clock.h"
#include "engine/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_MIN_AGE_MS 30000
#define DRAIN_SETTLE_AFTER_MS 60000
#define DRAIN_QUIET_MS 900000
#define WAIT_STEP_MS 1000
#define WAIT_PASSES_MAX 1000

/** One pass over one folder. */
static int drain_folder(const struct ur_cli_options *options,
	const struct ur_settings_folder *folder, struct ur_summary *ret)
{
	struct ur_cli_options o = *options;
	ur_configure_folder(folder, &o);
	*ret = (struct ur_summary){0};
	const int code = ur_run_once(&o, &folder->path, 1, "drain", false, true, ret);
	if (o.excludes != options->excludes) {
		free(o.excludes);
	}
	return code;
}

/** A 1 is said once, so that nothing that the next run says again may hide it. */
static int worse(int a, int b)
{
	static const int order[] = {
		UR_EXIT_WELL, UR_EXIT_LOCKED, UR_EXIT_AWAY, UR_EXIT_FAILED, UR_EXIT_USAGE};
	int rank_a = 0;
	int rank_b = 0;
	for (int i = 0; i < 5; i++) {
		rank_a = order[i] == a ? i : rank_a;
		rank_b = order[i] == b ? i : rank_b;
	}
	return a > 128 ? a : b > 128 ? b : rank_a >= rank_b ? a : b;
}

/** What is left when all folders were looked at once. */
struct left {
	uint64_t open;      // files that a later pass may take away
	int64_t unquiet_ms; // … the last of them in so long, as far as time decides
};

static int drain_all(
	const struct ur_cli_options *options, const struct ur_settings *settings, struct left *ret)
{
	int code = UR_EXIT_WELL;
	*ret = (struct left){0};
	for (size_t i = 0; i < settings->folder_count && ur_stop_signal() == 0; i++) {
		struct ur_summary summary;
		code = worse(code, drain_folder(options, &settings->folders[i], &summary));
		/* Sent now is removed by a later pass; waiting is not quiet yet, or for somebody. */
		const uint64_t open = summary.waiting + summary.sent;
		ret->open += open > summary.held ? open - summary.held : 0;
		ret->unquiet_ms = summary.unquiet > 0 && summary.unquiet_ms > ret->unquiet_ms
					  ? summary.unquiet_ms
					  : ret->unquiet_ms;
	}
	return code;
}

static void say_wait(const struct ur_cli_options *options, const struct left *left, int64_t wait_ms)
{
	if (options->quiet) {
		return;
	}
	(void)fprintf(stderr, "uringest: waiting for %lld s until %s (Ctrl-C ends it)\n",
		(long long)wait_ms / 1000,
		left->unquiet_ms > 0
			? "nobody can be writing to what is left"
			: "what is left has been unchanged, and on the server, for long enough");
}

static const char *find_config(const struct ur_cli_options *options, char *buffer, size_t room)
{
	static const char usual[] = "/etc/uringest/config.yaml";
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	if (options->config != NULL) {
		return options->config;
	}
	if (access(usual, R_OK) == 0) {
		return usual;
	}
	(void)snprintf(buffer, room, "%s%s/uringest/config.yaml",
		base != NULL   ? base
		: home != NULL ? home
			       : "",
		base != NULL ? "" : "/.config");
	return access(buffer, R_OK) == 0 ? buffer : NULL;
}

static int drain(const struct ur_cli_options *given, const struct ur_settings *settings)
{
	struct ur_cli_options options = *given;
	if (!ur_cli_options_given(given, "min-age")) {
		options.min_age_ms = DRAIN_MIN_AGE_MS;
	}
	if (!ur_cli_options_given(given, "settle-after")) {
		options.settle_after_ms = DRAIN_SETTLE_AFTER_MS;
	}
	if (!ur_cli_options_given(given, "quiet-without-lease")) {
		options.quiet_without_lease_ms = DRAIN_QUIET_MS;
	}
	if (settings->folder_count == 0) {
		ur_report_error("the configuration names no folders: add some under `folders:`");
		return UR_EXIT_USAGE;
	}
	ur_configure(settings, &options);
	struct left left;
	int code = drain_all(&options, settings, &left);
	for (int pass = 1; given->wait && left.open > 0 && code == UR_EXIT_WELL &&
			   pass < WAIT_PASSES_MAX && ur_stop_signal() == 0;
		pass++) {
		const int64_t age = options.min_age_ms;
		const int64_t settle = options.settle_after_ms;
		const int64_t usual = age > settle ? age : settle;
		const int64_t wait_ms =
			(left.unquiet_ms > usual ? left.unquiet_ms : usual) + WAIT_STEP_MS;
		say_wait(given, &left, wait_ms);
		ur_sleep_ms(wait_ms);
		code = drain_all(&options, settings, &left);
	}
	if (options.excludes != given->excludes) {
		free(options.excludes);
	}
	return code == UR_EXIT_WELL && ur_stop_signal() != 0 ? 128 + ur_stop_signal() : code;
}

int ur_cmd_drain(const struct ur_cli_options *options)
{
	struct ur_arena arena;
	struct ur_settings settings;
	struct ur_err err = {0};
	char buffer[4096];
	if (options->argument_count > 0) {
		ur_report_error(
			"drain takes its folders from the configuration file; `uringest import "
			"--after delete FOLDER` does one by hand");
		return UR_EXIT_USAGE;
	}
	const char *path = find_config(options, buffer, sizeof buffer);
	if (path == NULL) {
		ur_report_error(
			"no configuration: write /etc/uringest/config.yaml or give --config "
			"(an example comes with uringest: drain.example.yaml)");
		return UR_EXIT_USAGE;
	}
	ur_arena_init(&arena);
	const int r = ur_settings_load(&arena, path, &settings, &err);
	const int code = r < 0 ? ur_exit_of(r, &err) : drain(options, &settings);
	ur_arena_done(&arena);
	return code;
}
