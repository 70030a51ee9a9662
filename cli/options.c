/* options - the table, and what each kind of value looks like. */
#include "cli/options.h"

#include "engine/media/hash.h"
#include "engine/stage/upload.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind {
	FLAG,
	TEXT,
	NUMBER,
	DURATION,
	AFTER,
	CONFIRM,
	RING,
	RATE,
	LIST,
	BYTES,
};

#define AT(field) offsetof(struct ur_cli_options, field)
#define SENDS (UR_FOR_IMPORT | UR_FOR_DRAIN)
#define RUNS (SENDS | UR_FOR_PLAN)
#define ASKS (RUNS | UR_FOR_VERIFY)
#define TALKS (UR_FOR_ALL | UR_FOR_BENCH | UR_FOR_SERVE | UR_FOR_RECOVER)

static const struct option_row {
	const char *name;
	char letter; // 0: none
	enum kind kind;
	size_t at;
	unsigned commands;
	const char *value;
	const char *help;
	int64_t low;
	int64_t high;
} table[] = {
	{"server", 's', TEXT, AT(server), ASKS | UR_FOR_BENCH, "URL",
		"the Immich server (or $IMMICH_URL); a path may follow", 0, 0},
	{"key-file", 0, TEXT, AT(key_file), ASKS | UR_FOR_BENCH, "FILE",
		"a file with the API key (or $IMMICH_API_KEY, or systemd's credential immich-key)",
		0, 0},
	{"ledger", 'l', TEXT, AT(ledger), UR_FOR_ALL, "FILE",
		"where uringest remembers (default: $XDG_STATE_HOME/uringest/ledger.db)", 0, 0},
	{"config", 'c', TEXT, AT(config), UR_FOR_ALL | UR_FOR_SERVE, "FILE",
		"settings (drain's default: /etc/uringest/config.yaml, then ~/.config/uringest/…)",
		0, 0},
	{"after", 0, AFTER, AT(after), RUNS, "keep|delete|move=DIR",
		"what becomes of a file that is safely on the server (default: keep)", 0, 0},
	{"exclude", 'x', LIST, AT(excludes), RUNS, "PATTERN",
		"leave out what matches (gitignore rules; '!PATTERN' takes back in; repeatable)", 0,
		0},
	{"no-junk", 0, FLAG, AT(no_junk), RUNS, NULL,
		"do not leave out the usual junk (@eaDir, .DS_Store, partial downloads …)", 0, 0},
	{"no-hidden", 0, FLAG, AT(skip_hidden), RUNS, NULL, "leave out names that begin with a dot",
		0, 0},
	{"files-from", 'T', TEXT, AT(files_from), UR_FOR_IMPORT | UR_FOR_PLAN, "FILE|-",
		"take the paths in FILE, one a line", 0, 0},
	{"null", '0', FLAG, AT(nul), UR_FOR_IMPORT | UR_FOR_PLAN, NULL,
		"… ended by NUL instead of newline", 0, 0},
	{"dates-from-names", 0, FLAG, AT(dates_from_names), SENDS, NULL,
		"a picture without a date of its own gets the one in its name, not its file's time",
		0, 0},
	{"follow-symlinks", 'L', FLAG, AT(follow), RUNS, NULL,
		"follow symbolic links (what is reached through one is never removed)", 0, 0},
	{"one-file-system", 0, FLAG, AT(one_file_system), RUNS, NULL,
		"do not enter other file systems", 0, 0},
	{"min-age", 0, DURATION, AT(min_age_ms), RUNS, "TIME",
		"take only files that have been quiet since we first saw them (drain: 30s)", 0,
		INT64_MAX},
	{"limit", 0, NUMBER, AT(limit), RUNS, "N", "send at most N files", 0, INT64_MAX},
	{"concurrency", 'j', NUMBER, AT(concurrency), ASKS, "N",
		"at most N uploads at once (default: 8)", 1, UR_UPLOAD_SLOTS_MAX},
	{"bwlimit", 0, RATE, AT(rate), SENDS, "RATE",
		"bytes a second: 2M, or by the clock: \"08:00,2M 23:00,off\"", 0, 0},
	{"confirm", 0, CONFIRM, AT(confirm_bytes), SENDS, "range|bytes",
		"before removing: ask for the last byte (default), or for all of them", 0, 0},
	{"not-a-library", 0, FLAG, AT(no_library), SENDS, NULL,
		"no source is an external library of the server, whatever its name", 0, 0},
	{"server-wait", 0, DURATION, AT(server_wait_ms), ASKS, "TIME",
		"how long to wait for a server that went away (default: 10m)", 0, INT64_MAX},
	{"answer-wait", 0, DURATION, AT(answer_wait_ms), SENDS | UR_FOR_SERVE, "TIME",
		"how long the server may store an upload before it answers (default: 5m; serve: 1h)",
		1, INT64_MAX},
	{"suspect-wait", 0, DURATION, AT(suspect_wait_ms), SENDS | UR_FOR_SERVE, "TIME",
		"how long after a doubtful upload its bytes are asked for (default: 1h)", 0,
		INT64_MAX},
	{"settle-after", 0, DURATION, AT(settle_after_ms), SENDS | UR_FOR_SERVE, "TIME",
		"remove at the earliest so long after the server's answer (drain, serve: 60s)", 0,
		INT64_MAX},
	{"quiet-without-lease", 0, DURATION, AT(quiet_without_lease_ms), RUNS, "TIME",
		"where nobody can say who writes to a file, remove it when it has been unchanged for so "
		"long (default: 60s; drain: 15m)",
		0, INT64_MAX},
	{"accept-cut-off", 0, FLAG, AT(accept_cut_off), RUNS, NULL,
		"remove also what looks cut off (without it: `uringest accept FILE`)", 0, 0},
	{"tries", 0, NUMBER, AT(tries), SENDS, "N", "tries for each file (default: 5)", 1, 100},
	{"gateway", 0, TEXT, AT(gateway), SENDS, "URL|off",
		"where large files go in pieces, so that an interrupted upload goes on (default: "
		"/uringest/ below the server's URL)",
		0, 0},
	{"resumable-threshold", 0, BYTES, AT(resumable_threshold), SENDS, "BYTES",
		"files from this size go there (default: 32M)", 1 << 20, INT64_MAX},
	{"chunk", 0, BYTES, AT(resumable_chunk), SENDS, "BYTES",
		"… in pieces of this size, 1M to 128M (default: 32M)", 1 << 20, 128 << 20},
	{"threads", 0, NUMBER, AT(threads), RUNS, "N", "reading threads (default: 2)", 1, 16},
	{"ring", 0, RING, AT(ring), RUNS, "auto|uring|sync",
		"io_uring, or ordinary system calls (default: what the machine allows)", 0, 0},
	{"hash", 0, TEXT, AT(hash), RUNS, UR_HASH_CHOICES,
		"how SHA-1 is computed (default: the fastest that this processor has)", 0, 0},
	{"cacert", 0, TEXT, AT(cacert), ASKS | UR_FOR_BENCH | UR_FOR_SERVE, "FILE",
		"trust this certificate authority", 0, 0},
	{"client-cert", 0, TEXT, AT(client_cert), ASKS, "FILE", "client certificate (PEM)", 0, 0},
	{"client-key", 0, TEXT, AT(client_key), ASKS, "FILE", "its key (PEM)", 0, 0},
	{"headers-file", 0, TEXT, AT(headers_file), ASKS, "FILE",
		"more request headers, one 'Name: value' a line", 0, 0},
	{"proxy", 0, TEXT, AT(proxy), ASKS, "URL", "go through this proxy", 0, 0},
	{"wait", 0, FLAG, AT(wait), UR_FOR_DRAIN, NULL,
		"stay until the folders are drained, instead of leaving the rest to the next run",
		0, 0},
	{"failed", 0, FLAG, AT(failed), UR_FOR_RETRY | UR_FOR_STATUS, NULL,
		"all files that failed or were refused", 0, 0},
	{"missing", 0, FLAG, AT(missing), UR_FOR_FORGET, NULL,
		"forget all files that are no longer at their place", 0, 0},
	{"resend-missing", 0, FLAG, AT(resend_missing), UR_FOR_VERIFY, NULL,
		"let the next import send again what is gone from the server", 0, 0},
	{"cases", 0, TEXT, AT(cases), UR_FOR_BENCH, "NAME[,NAME]", "these cases only", 0, 0},
	{"size", 0, TEXT, AT(sizes), UR_FOR_BENCH, "NAME=N[,NAME=N]",
		"how many files a case has, or how large its film is (film=10G)", 0, 0},
	{"rounds", 0, NUMBER, AT(rounds), UR_FOR_BENCH, "N",
		"measure each command so often (default: 5, with --quick 3)", 1, 99},
	{"quick", 0, FLAG, AT(quick), UR_FOR_BENCH, NULL, "small sizes: two minutes in all", 0, 0},
	{"dir", 0, TEXT, AT(dir), UR_FOR_BENCH, "DIR",
		"work there and keep what was made, for the next time", 0, 0},
	{"save", 0, TEXT, AT(save), UR_FOR_BENCH, "FILE",
		"the results as JSON as well, for bench/compare", 0, 0},
	{"plot", 0, TEXT, AT(plot), UR_FOR_BENCH, "FILE",
		"an SVG of the cost of a file against their number", 0, 0},
	{"list", 0, FLAG, AT(list), UR_FOR_BENCH, NULL, "name the cases", 0, 0},
	{"dry-run", 'n', FLAG, AT(dry_run), UR_FOR_RECOVER, NULL,
		"only say what stands in staging folders", 0, 0},
	{"json", 0, FLAG, AT(json), UR_FOR_ALL | UR_FOR_BENCH | UR_FOR_RECOVER, NULL,
		"one JSON object a line on stdout", 0, 0},
	{"quiet", 'q', FLAG, AT(quiet), TALKS, NULL, "say only what went wrong", 0, 0},
	{"verbose", 'v', FLAG, AT(verbose), UR_FOR_ALL, NULL, "name every file", 0, 0},
	{"listen", 0, TEXT, AT(listen), UR_FOR_SERVE, "ADDRESS:PORT|unix:PATH",
		"where nginx finds it (default: the socket that systemd hands over)", 0, 0},
	{"spool", 0, TEXT, AT(spool), UR_FOR_SERVE, "DIR",
		"where uploads are kept until Immich has them (or $STATE_DIRECTORY)", 0, 0},
	{"immich", 0, TEXT, AT(immich), UR_FOR_SERVE, "URL|none",
		"the immich-server that it delivers to; none: finished uploads stay in the spool",
		0, 0},
	{"allow-anonymous", 0, FLAG, AT(allow_anonymous), UR_FOR_SERVE, NULL,
		"with --immich none: anybody who reaches it may upload (for trials)", 0, 0},
	{"base", 0, TEXT, AT(base), UR_FOR_SERVE, "PATH",
		"the path below which it answers (default: /uringest/)", 0, 0},
	{"max-size", 0, BYTES, AT(max_size), UR_FOR_SERVE, "BYTES",
		"the largest upload (default: 64G)", 0, 0},
	{"user-uploads", 0, NUMBER, AT(user_uploads), UR_FOR_SERVE, "N",
		"unfinished or undelivered uploads of one user (default: 1000)", 1, 100000},
	{"user-bytes", 0, BYTES, AT(user_bytes), UR_FOR_SERVE, "BYTES",
		"and their bytes (default: no bound)", 0, 0},
	{"keep-free", 0, BYTES, AT(keep_free), UR_FOR_SERVE, "BYTES",
		"what the spool's disk keeps free (default: 1G)", 0, 0},
	{"expire", 0, DURATION, AT(expire_ms), UR_FOR_SERVE, "TIME",
		"how long an unfinished upload waits for its next byte (default: 7d)", 1,
		INT64_MAX / 2},
	{"deliveries", 0, NUMBER, AT(deliveries), UR_FOR_SERVE, "N",
		"files sent to immich-server at once (default: 2)", 1, 8},
	{"seal-key", 0, TEXT, AT(seal_key), UR_FOR_SERVE, "FILE",
		"32 bytes that seal the users' keys in the spool (or systemd's credential "
		"gateway-seal)",
		0, 0},
	{"trusted-proxy", 0, LIST, AT(proxies), UR_FOR_SERVE, "ADDRESS|unix",
		"believe X-Real-IP from there (repeatable)", 0, 0},
	{"no-sync", 0, FLAG, AT(no_sync), UR_FOR_SERVE, NULL,
		"do not make bytes durable (for measurements only)", 0, 0},
	{"no-hash", 0, FLAG, AT(no_sums), UR_FOR_SERVE, NULL,
		"do not hash what arrives (for measurements only)", 0, 0},
	{"help", 'h', FLAG, AT(help), TALKS, NULL, "this text", 0, 0},
};
#define ROWS (sizeof table / sizeof *table)
static_assert(ROWS <= UR_CLI_OPTIONS_MAX);

static void defaults(struct ur_cli_options *o)
{
	*o = (struct ur_cli_options){
		.after = UR_AFTER_KEEP,
		.threads = 2,
		.concurrency = 8,
		.server_wait_ms = 600000,
		.quiet_without_lease_ms = 60000,
		.answer_wait_ms = 300000,
		.suspect_wait_ms = 3600000,
		.tries = 5,
		.resumable_threshold = 32 << 20,
		.resumable_chunk = 32 << 20,
	};
}

static int refuse(struct ur_err *err, const struct option_row *row, const char *value)
{
	return ur_err_say(err, -EINVAL, UR_FAULT_SETUP, "--%s takes %s, not '%s'", row->name,
		row->value, value);
}

static int take_after(struct ur_cli_options *o, const struct option_row *row, const char *value,
	struct ur_err *err)
{
	if (strcmp(value, "keep") == 0) {
		o->after = UR_AFTER_KEEP;
	} else if (strcmp(value, "delete") == 0) {
		o->after = UR_AFTER_DELETE;
	} else if (strncmp(value, "move=", 5) == 0 && value[5] != '\0') {
		o->after = UR_AFTER_MOVE;
		o->move_to = value + 5;
	} else {
		return refuse(err, row, value);
	}
	return 0;
}

static int take_ring(struct ur_cli_options *o, const struct option_row *row, const char *value,
	struct ur_err *err)
{
	static const char *const names[] = {
		[UR_RING_AUTO] = "auto", [UR_RING_URING] = "uring", [UR_RING_SYNC] = "sync"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(value, names[i]) == 0) {
			o->ring = (enum ur_ring_kind)i;
			return 0;
		}
	}
	return refuse(err, row, value);
}

static int take_list(const char ***items, size_t *count, const char *value, struct ur_err *err)
{
	const char **list = realloc(*items, (*count + 1) * sizeof *list);
	if (list == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot keep the options");
	}
	*items = list;
	list[(*count)++] = value;
	return 0;
}

static int take_bytes(
	const struct option_row *row, const char *value, uint64_t *into, struct ur_err *err)
{
	if (ur_parse_bytes(value, into) < 0) {
		return refuse(err, row, value);
	}
	if (row->high > 0 && (*into < (uint64_t)row->low || *into > (uint64_t)row->high)) {
		char low[16];
		char high[16];
		ur_show_bytes((uint64_t)row->low, low);
		ur_show_bytes((uint64_t)row->high, high);
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP, "--%s takes %s to %s, not '%s'",
			row->name, low, row->high == INT64_MAX ? "any size" : high, value);
	}
	return 0;
}

static int take(struct ur_cli_options *o, const struct option_row *row, const char *value,
	struct ur_err *err)
{
	void *at = (char *)o + row->at;
	switch (row->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case TEXT:
		*(const char **)at = value;
		return value[0] == '\0' ? refuse(err, row, value) : 0;
	case NUMBER:
		return ur_parse_number(value, row->low, row->high, at) < 0 ? refuse(err, row, value)
									   : 0;
	case DURATION: {
		int64_t ms = 0;
		if (ur_parse_duration(value, &ms) < 0 || ms < row->low) {
			return refuse(err, row, value);
		}
		*(int64_t *)at = ms;
		return 0;
	}
	case AFTER:
		return take_after(o, row, value, err);
	case CONFIRM:
		if (strcmp(value, "range") != 0 && strcmp(value, "bytes") != 0) {
			return refuse(err, row, value);
		}
		o->confirm_bytes = strcmp(value, "bytes") == 0;
		return 0;
	case RING:
		return take_ring(o, row, value, err);
	case RATE:
		return ur_schedule_parse(value, &o->rate, err) < 0
			       ? ur_err_within(err, -EINVAL, "--%s", row->name)
			       : 0;
	case LIST:
		return row->at == AT(proxies)
			       ? take_list(&o->proxies, &o->proxy_count, value, err)
			       : take_list(&o->excludes, &o->exclude_count, value, err);
	case BYTES:
		return take_bytes(row, value, at, err);
	}
	return -EINVAL;
}

#define LONG_BASE 1000

static void make_tables(unsigned command, struct option longs[ROWS + 1], char shorts[2 * ROWS + 2])
{
	size_t n = 0;
	size_t s = 0;
	shorts[s++] = ':';
	for (size_t i = 0; i < ROWS; i++) {
		if ((table[i].commands & command) == 0) {
			continue;
		}
		longs[n++] = (struct option){table[i].name,
			table[i].kind == FLAG ? no_argument : required_argument, NULL,
			LONG_BASE + (int)i};
		if (table[i].letter != 0) {
			shorts[s++] = table[i].letter;
			if (table[i].kind != FLAG) {
				shorts[s++] = ':';
			}
		}
	}
	longs[n] = (struct option){0};
	shorts[s] = '\0';
}

static const struct option_row *row_of(int code)
{
	if (code >= LONG_BASE) {
		return &table[code - LONG_BASE];
	}
	for (size_t i = 0; i < ROWS; i++) {
		if (table[i].letter == code) {
			return &table[i];
		}
	}
	return NULL;
}

int ur_cli_options_parse(
	unsigned command, int argc, char **argv, struct ur_cli_options *ret, struct ur_err *err)
{
	struct option longs[ROWS + 1];
	char shorts[2 * ROWS + 2];
	make_tables(command, longs, shorts);
	defaults(ret);
	opterr = 0;
	optind = 1;
	int code = 0;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_row *row = code == '?' || code == ':' ? NULL : row_of(code);
		if (code == ':') {
			return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
				"%s needs a value; see --help", argv[optind - 1]);
		}
		if (row == NULL) {
			return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
				"'%s' is no option here; see --help", argv[optind - 1]);
		}
		const int r = take(ret, row, optarg, err);
		if (r < 0) {
			return r;
		}
		ret->given[row - table] = true;
	}
	ret->arguments = argv + optind;
	ret->argument_count = argc - optind;
	return 0;
}

void ur_cli_options_done(struct ur_cli_options *options)
{
	free(options->excludes);
	options->excludes = NULL;
	free(options->proxies);
	options->proxies = NULL;
}

bool ur_cli_options_given(const struct ur_cli_options *options, const char *name)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(table[i].name, name) == 0) {
			return options->given[i];
		}
	}
	assert(!"an option of this name");
	return false;
}

void ur_cli_options_help(unsigned command)
{
	for (size_t i = 0; i < ROWS; i++) {
		char left[64];
		if ((table[i].commands & command) == 0) {
			continue;
		}
		(void)snprintf(left, sizeof left, "%s%c%s--%s%s%s", table[i].letter ? "-" : "",
			table[i].letter ? table[i].letter : ' ', table[i].letter ? ", " : "   ",
			table[i].name, table[i].value != NULL ? " " : "",
			table[i].value != NULL ? table[i].value : "");
		printf("  %-30s%s%s\n", left,
			strlen(left) > 29 ? "\n                                " : "",
			table[i].help);
	}
}
