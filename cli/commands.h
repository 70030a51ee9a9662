/**
 * commands - what `uringest COMMAND` runs; each returns the exit code.
 *
 *   0 all well   1 some media did not arrive, or could not be taken away as asked (drain: when that
 *   is new, and once a day after)   2 usage or set-up   3 the server is away
 *   4 ledger or folder locked   130/143 stopped by a signal
 */
#ifndef UR_CLI_COMMANDS_H
#define UR_CLI_COMMANDS_H

#include "cli/connect.h"
#include "cli/options.h"
#include "cli/report.h"

enum {
	UR_EXIT_WELL = 0,
	UR_EXIT_FAILED = 1,
	UR_EXIT_USAGE = 2,
	UR_EXIT_AWAY = 3,
	UR_EXIT_LOCKED = 4,
};

int ur_cmd_import(const struct ur_cli_options *options);
int ur_cmd_plan(const struct ur_cli_options *options);
int ur_cmd_drain(const struct ur_cli_options *options);
int ur_cmd_status(const struct ur_cli_options *options);
int ur_cmd_explain(const struct ur_cli_options *options);
int ur_cmd_retry(const struct ur_cli_options *options);
int ur_cmd_accept(const struct ur_cli_options *options);
int ur_cmd_forget(const struct ur_cli_options *options);
int ur_cmd_recover(const struct ur_cli_options *options);
int ur_cmd_verify(const struct ur_cli_options *options);
int ur_cmd_bench(const struct ur_cli_options *options);
int ur_cmd_serve(const struct ur_cli_options *options);

/** One run of the pipeline with signals, progress and summary. */
int ur_run_once(const struct ur_cli_options *options, const char *const *sources, size_t count,
	const char *command, bool plan, bool draining, struct ur_summary *ret);
/** From a failure's code to the exit code; prints the sentence. */
int ur_exit_of(int code, const struct ur_err *err);
/** Returns early when a signal asks us to stop. */
void ur_sleep_ms(int64_t ms);
/** 0, or the signal that asked us to stop. */
int ur_stop_signal(void);

#define UR_TWICE_NS INT64_C(500000000) // a second signal within this is the first one's echo

#endif
