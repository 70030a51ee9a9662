/**
 * options - one table of all command-line options; help and parsing come from it.
 *
 *   Owner    strings point into argv or are static; lists are freed by ur_cli_options_done()
 *   Errors   -EINVAL with a sentence that names the option and what it takes
 */
#ifndef UR_CLI_OPTIONS_H
#define UR_CLI_OPTIONS_H

#include "engine/base/err.h"
#include "engine/base/schedule.h"
#include "engine/run.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_CLI_OPTIONS_MAX 96

struct ur_cli_options {
	/* talk */
	bool json;
	bool quiet;
	bool verbose;
	bool help;
	/* connection */
	const char *server;
	const char *key_file;
	const char *cacert;
	const char *client_cert;
	const char *client_key;
	const char *headers_file;
	const char *proxy;
	/* what */
	const char **excludes;
	size_t exclude_count;
	const char *files_from;
	bool nul;
	bool no_junk;
	bool follow;
	bool one_file_system;
	bool skip_hidden;
	bool dates_from_names;
	int64_t min_age_ms;
	int64_t limit;
	/* how */
	const char *ledger;
	const char *config;
	enum ur_after after;
	const char *move_to;
	bool confirm_bytes;
	bool no_library;
	enum ur_ring_kind ring;
	const char *hash; // NULL: auto
	int64_t threads;
	int64_t concurrency;
	struct ur_schedule rate;
	int64_t server_wait_ms;
	int64_t answer_wait_ms;
	int64_t suspect_wait_ms;
	int64_t settle_after_ms;
	int64_t quiet_without_lease_ms;
	bool accept_cut_off;
	int64_t tries;
	int64_t resumable_threshold;
	int64_t resumable_chunk;
	const char *gateway; // NULL: /uringest/ below the server's URL
	/* other commands */
	bool resend_missing;
	bool failed;
	bool missing;
	bool wait;
	bool dry_run;
	/* bench */
	const char *cases;
	const char *sizes;
	const char *dir;
	const char *save;
	const char *plot;
	int64_t rounds;
	bool quick;
	bool list;
	/* serve */
	const char *listen;
	const char *spool;
	const char *immich;
	const char *base;
	const char *seal_key;
	bool allow_anonymous;
	const char **proxies;
	size_t proxy_count;
	uint64_t max_size;
	uint64_t user_bytes;
	uint64_t keep_free;
	int64_t user_uploads;
	int64_t deliveries;
	int64_t expire_ms;
	bool no_sync;
	bool no_sums;
	bool given[UR_CLI_OPTIONS_MAX]; // the i-th option of the table was on the command line
	/* what is left */
	char **arguments;
	int argument_count;
};

/** Which commands an option belongs to. */
enum {
	UR_FOR_IMPORT = 1,
	UR_FOR_PLAN = 2,
	UR_FOR_DRAIN = 4,
	UR_FOR_STATUS = 8,
	UR_FOR_EXPLAIN = 16,
	UR_FOR_RETRY = 32,
	UR_FOR_VERIFY = 64,
	UR_FOR_FORGET = 128,
	UR_FOR_BENCH = 256,
	UR_FOR_SERVE = 512,
	UR_FOR_ACCEPT = 1024,
	UR_FOR_ALL = 255 | UR_FOR_ACCEPT, // of those with a ledger
	UR_FOR_RECOVER = 2048,
};

[[nodiscard]] int ur_cli_options_parse(
	unsigned command, int argc, char **argv, struct ur_cli_options *ret, struct ur_err *err);
void ur_cli_options_done(struct ur_cli_options *options);
/** Whether `name` ("after") was given, so that it goes before the configuration file. */
bool ur_cli_options_given(const struct ur_cli_options *options, const char *name);
/** Prints the options that `command` takes. */
void ur_cli_options_help(unsigned command);

#endif
