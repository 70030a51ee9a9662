/* cmd_ledger - status, explain, retry, forget: reading and mending what is remembered. */
#include "cli/commands.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNS_SHOWN 5
#define STATE_BIT(state) (1u << (state))
#define BAD_STATES                                                              \
	(STATE_BIT(UR_FAILED) | STATE_BIT(UR_REFUSED) | STATE_BIT(UR_SUSPECT) | \
		STATE_BIT(UR_BROKEN) | STATE_BIT(UR_TRASHED) | STATE_BIT(UR_WITHDRAWN))
#define RETRY_STATES                                                           \
	(STATE_BIT(UR_FAILED) | STATE_BIT(UR_REFUSED) | STATE_BIT(UR_BROKEN) | \
		STATE_BIT(UR_WITHDRAWN))

static int open_ledger(const struct ur_cli_options *options, enum ur_ledger_mode mode,
	struct ur_ledger **ret, struct ur_err *err)
{
	char *path = NULL;
	int r = ur_connection_ledger(options, &path, err);
	if (r == 0 && access(path, F_OK) < 0) {
		r = ur_err_say(err, -ENOENT, UR_FAULT_SETUP,
			"there is no ledger '%s' yet: nothing was imported with it", path);
	}
	r = r < 0 ? r : ur_ledger_open(path, mode, ret, err);
	free(path);
	return r;
}

/* ---- a row, for people and as JSON ----------------------------------------------------------- */

static void row_path(const struct ur_ledger_row *row, struct ur_text *ret)
{
	ur_text_add(ret, row->path, row->path_size);
	ur_text_adds(ret, row->path_size == 1 ? "" : "/");
	ur_text_adds(ret, row->record.name);
}

static void json_time(struct ur_text *line, const char *name, int64_t ns)
{
	if (ns != 0) {
		char iso[UR_CLOCK_TEXT];
		ur_clock_iso(ns, iso);
		ur_text_addf(line, ",\"%s\":\"%s\"", name, iso);
	}
}

static void print_row_json(const struct ur_ledger_row *row)
{
	const struct ur_record *f = &row->record;
	struct ur_text line = {0};
	struct ur_text path = {0};
	char sha1[2 * UR_LEDGER_SHA1 + 1] = "";
	row_path(row, &path);
	ur_text_adds(&line, "{\"event\":\"ledger\",");
	ur_report_json_path(&line, path.bytes, path.size);
	ur_text_addf(&line, ",\"state\":\"%s\",\"reason\":", ur_state_name(f->state));
	ur_text_add_json(&line, f->reason, strlen(f->reason));
	ur_text_addf(&line, ",\"user\":\"%s\",\"size\":%" PRId64 ",\"tries\":%d,\"run\":%" PRId64,
		row->user_id, f->identity.size, f->tries, f->run);
	if (f->hashed) {
		ur_hex(f->sha1, UR_LEDGER_SHA1, sha1);
		ur_text_addf(&line, ",\"sha1\":\"%s\"", sha1);
	}
	if (f->asset[0] != '\0') {
		ur_text_addf(&line, ",\"asset\":\"%s\"", f->asset);
	}
	json_time(&line, "seen", f->seen_ns);
	json_time(&line, "hashed", f->probed_ns);
	json_time(&line, "sending", f->sending_ns);
	json_time(&line, "delivered", f->delivered_ns);
	json_time(&line, "confirmed", f->confirmed_ns);
	json_time(&line, "settled", f->settled_ns);
	json_time(&line, "next", f->next_ns);
	ur_text_adds(&line, "}\n");
	(void)fputs(ur_text_get(&line), stdout);
	ur_text_done(&line);
	ur_text_done(&path);
}

static int print_short(void *context, const struct ur_ledger_row *row)
{
	const struct ur_cli_options *options = context;
	if (options->json) {
		print_row_json(row);
		return 0;
	}
	struct ur_text path = {0};
	row_path(row, &path);
	printf("%-12s ", ur_state_name(row->record.state));
	ur_report_shown(stdout, path.bytes, path.size);
	if (row->record.reason[0] != '\0') {
		(void)fputs(": ", stdout);
		ur_report_shown(stdout, row->record.reason, strlen(row->record.reason));
	}
	(void)fputc('\n', stdout);
	ur_text_done(&path);
	return 0;
}

/* ---- status ---------------------------------------------------------------------------------- */

struct counting {
	int64_t destination;
	bool json;
};

static int print_count(void *context, const struct ur_ledger_count *count)
{
	struct counting *c = context;
	char bytes[16];
	if (c->json) {
		printf("{\"event\":\"count\",\"user\":\"%s\",\"state\":\"%s\",\"files\":%" PRId64
		       ",\"bytes\":%" PRId64 "}\n",
			count->user_id, ur_state_name(count->state), count->files, count->bytes);
		return 0;
	}
	if (count->destination != c->destination) {
		c->destination = count->destination;
		(void)fputs("user ", stdout);
		ur_report_shown(stdout, count->user_name, strlen(count->user_name));
		(void)fputs(" at ", stdout);
		ur_report_shown(stdout, count->server, strlen(count->server));
		(void)fputc('\n', stdout);
	}
	ur_show_bytes((uint64_t)count->bytes, bytes);
	printf("  %-12s %10" PRId64 " files  %10s\n", ur_state_name(count->state), count->files,
		bytes);
	return 0;
}

struct telling {
	const struct ur_cli_options *options;
	bool runs; // the last run does, still
};

static int print_run(void *context, const struct ur_ledger_run *run)
{
	struct telling *telling = context;
	const struct ur_cli_options *options = telling->options;
	const bool runs = telling->runs && run->ended_ns == 0;
	telling->runs = false; // it is told first
	char started[UR_CLOCK_TEXT];
	ur_clock_local(run->started_ns, started);
	if (options->json) {
		struct ur_text line = {0};
		ur_text_addf(&line, "{\"event\":\"run\",\"id\":%" PRId64 ",\"command\":\"%s\"",
			run->id, run->command);
		json_time(&line, "started", run->started_ns);
		json_time(&line, "ended", run->ended_ns);
		ur_text_addf(&line, ",\"running\":%s", runs ? "true" : "false");
		ur_text_adds(&line, ",\"summary\":");
		ur_text_add_json(&line, run->summary, strlen(run->summary));
		ur_text_adds(&line, "}\n");
		(void)fputs(ur_text_get(&line), stdout);
		ur_text_done(&line);
		return 0;
	}
	printf("run %" PRId64 "  %s  %-7s %s\n", run->id, started, run->command,
		runs                 ? "is running"
		: run->ended_ns == 0 ? "did not end by itself"
				     : run->summary);
	return 0;
}

/** What a timer's last run could not do, which it says once a day only. */
static int print_trouble(
	void *context, const struct ur_text *path, const struct ur_ledger_trouble *trouble)
{
	const struct ur_cli_options *options = context;
	char told[UR_CLOCK_TEXT];
	ur_clock_local(trouble->told_ns, told);
	if (options->json) {
		struct ur_text line = {0};
		ur_text_adds(&line, "{\"event\":\"trouble\",");
		ur_report_json_path(&line, ur_text_get(path), path->size);
		ur_text_addf(&line, ",\"count\":%" PRIu64 ",\"run\":%" PRId64, trouble->count,
			trouble->run);
		json_time(&line, "told", trouble->told_ns);
		ur_text_adds(&line, "}\n");
		(void)fputs(ur_text_get(&line), stdout);
		ur_text_done(&line);
		return 0;
	}
	printf("in trouble %" PRIu64 " files and folders of ", trouble->count);
	ur_report_shown(stdout, ur_text_get(path), path->size);
	printf(" (drain said so at %s): `uringest status --failed` names the files\n", told);
	return 0;
}

int ur_cmd_status(const struct ur_cli_options *options)
{
	struct ur_ledger *ledger = NULL;
	struct ur_err err = {0};
	int r = open_ledger(options, UR_LEDGER_READ, &ledger, &err);
	if (r == 0 && options->failed) {
		const struct ur_ledger_filter filter = {.states = BAD_STATES, .or_trouble = true};
		r = ur_ledger_rows(ledger, &filter, print_short, (void *)options, &err);
	} else if (r == 0) {
		struct counting counting = {.json = options->json};
		struct telling telling = {options, ur_ledger_has_writer(ledger)};
		r = ur_ledger_counts(ledger, print_count, &counting, &err);
		r = r < 0 ? r : ur_ledger_troubles(ledger, print_trouble, (void *)options, &err);
		r = r < 0 ? r : ur_ledger_runs(ledger, RUNS_SHOWN, print_run, &telling, &err);
	}
	(void)ur_ledger_free(ledger);
	return ur_exit_of(r, &err);
}

/* ---- paths on the command line --------------------------------------------------------------- */

/** The absolute path, also of a file that is gone: its folder is resolved as far as it exists. */
static char *absolute(const char *path)
{
	char *real = realpath(path, NULL);
	if (real != NULL) {
		struct stat st;
		if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode)) {
			return real;
		}
		free(real);
	}
	char *copy = strdup(path);
	char *slash = copy == NULL ? NULL : strrchr(copy, '/');
	const char *name = slash == NULL ? path : path + (slash - copy) + 1;
	if (slash != NULL) {
		slash[slash == copy ? 1 : 0] = '\0';
	}
	real = copy == NULL ? NULL : realpath(slash == NULL ? "." : copy, NULL);
	char *ret = NULL;
	if (real != NULL) {
		if (asprintf(&ret, "%s%s%s", real, strcmp(real, "/") == 0 ? "" : "/", name) < 0) {
			ret = NULL;
		}
	} else if (path[0] == '/') {
		ret = strdup(path);
	}
	free(real);
	free(copy);
	return ret;
}

typedef int each_filter(void *context, const struct ur_ledger_filter *filter, struct ur_err *err);

/** Calls `each` with the file, and with the folder, of that path. */
static int with_path(
	const char *path, uint32_t states, each_filter *each, void *context, struct ur_err *err)
{
	char *full = absolute(path);
	char *slash = full == NULL ? NULL : strrchr(full, '/');
	if (slash == NULL) {
		free(full);
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP, "'%s' is no path", path);
	}
	const struct ur_ledger_filter folder = {.below = full, .states = states};
	int r = each(context, &folder, err);
	char *name = strdup(slash + 1);
	slash[slash == full ? 1 : 0] = '\0';
	const struct ur_ledger_filter file = {.folder_path = full, .name = name, .states = states};
	r = r < 0 ? r : name == NULL ? -ENOMEM : each(context, &file, err);
	free(name);
	free(full);
	return r;
}

/* ---- explain --------------------------------------------------------------------------------- */

static const char *what_next(const struct ur_record *f)
{
	if (f->ending == UR_ENDING_CUT && !f->accepted && f->state != UR_SETTLED) {
		return "a run that removes keeps it, because it looks cut off: copy it again, or "
		       "`uringest accept FILE` if it is all there is";
	}
	switch (f->state) {
	case UR_SEEN:
	case UR_STABLE:
	case UR_PROBED:
	case UR_WANTED:
		return "the next import or drain looks at it again and sends it if the server lacks it";
	case UR_KNOWN:
	case UR_DUPLICATE:
	case UR_DELIVERED:
		return "nothing: it is on the server. With --after delete or move it is confirmed once "
		       "more and then taken away";
	case UR_TRASHED:
		return "restore it in Immich, or empty the trash there; then the next run goes on";
	case UR_WITHDRAWN:
		return "`uringest verify --resend-missing` lets the next import send it again";
	case UR_REFUSED:
		return "nothing, until the file changes; `uringest retry FILE` has it looked at again";
	case UR_SENDING:
		return "the run ended while it was being sent: the next run asks the server whether it "
		       "arrived";
	case UR_CONFIRMED:
		return "it was about to be removed: the next run finishes that or puts it back";
	case UR_SETTLED:
		return "nothing: it was delivered, confirmed and taken away";
	case UR_FAILED:
		return f->for_good
			       ? "the server would refuse it again: mend the reason, then `uringest "
				 "retry FILE`; drain asks again by itself, at the time named and then ever "
				 "more seldom"
			       : "the next import tries again; drain does so when its time has come";
	case UR_SUSPECT:
		return "a run after the time named asks the server for its bytes; until then it stays";
	case UR_BROKEN:
		return "the file stays here, and may be the only copy. Restore that original on the "
		       "server (from its backup); every run asks for it again";
	case UR_STATES:
		break;
	}
	return "";
}

static void print_time(const char *what, int64_t ns)
{
	if (ns != 0) {
		char text[UR_CLOCK_TEXT];
		ur_clock_local(ns, text);
		printf("  %-10s %s\n", what, text);
	}
}

struct explaining {
	const struct ur_cli_options *options;
	struct ur_ledger *ledger;
	int64_t rows;
};

/** A resumable upload that is under way: how far, and where it goes on. */
static void print_upload(const struct explaining *e, const struct ur_record *f)
{
	struct ur_ledger_upload upload;
	bool found = false;
	char there[16];
	char all[16];
	char when[UR_CLOCK_TEXT];
	/* An older ledger knows of none. */
	if (!f->hashed || f->state == UR_DELIVERED || f->state == UR_SETTLED ||
		ur_ledger_upload_get(e->ledger, f->destination, f->sha1, &upload, &found, NULL) <
			0 ||
		!found) {
		return;
	}
	ur_show_bytes(upload.offset, there);
	ur_show_bytes((uint64_t)upload.length, all);
	ur_clock_local(upload.at_ns, when);
	printf("  upload     at the gateway, as ");
	ur_report_shown(stdout, upload.address, strlen(upload.address));
	printf(": at least %s of %s were there at %s; the next run asks it, and goes on behind "
	       "what it holds\n",
		there, all, when);
}

static int explain_row(void *context, const struct ur_ledger_row *row)
{
	struct explaining *e = context;
	const struct ur_record *f = &row->record;
	e->rows++;
	if (e->options->json) {
		print_row_json(row);
		return 0;
	}
	struct ur_text path = {0};
	char bytes[16];
	char sha1[2 * UR_LEDGER_SHA1 + 1];
	row_path(row, &path);
	ur_report_shown(stdout, path.bytes, path.size);
	ur_show_bytes((uint64_t)f->identity.size, bytes);
	printf("\n  state      %s%s", ur_state_name(f->state), f->reason[0] != '\0' ? ": " : "");
	ur_report_shown(stdout, f->reason, strlen(f->reason));
	(void)fputs("\n  for        ", stdout);
	ur_report_shown(stdout, row->user_name, strlen(row->user_name));
	printf("\n  size       %s\n", bytes);
	if (f->hashed) {
		ur_hex(f->sha1, UR_LEDGER_SHA1, sha1);
		printf("  sha1       %s\n", sha1);
	}
	if (f->asset[0] != '\0') {
		printf("  asset      %s%s\n", f->asset, f->created ? " (created by us)" : "");
	}
	print_time("seen", f->seen_ns);
	print_time("hashed", f->probed_ns);
	print_time("sending", f->sending_ns);
	print_time("delivered", f->delivered_ns);
	print_time("confirmed", f->confirmed_ns);
	print_time("settled", f->settled_ns);
	print_upload(e, f);
	if (f->tries > 0) {
		printf("  tries      %d\n", f->tries);
	}
	print_time("not before", f->next_ns);
	printf("  last run   %" PRId64 "\n  next       %s\n", f->run, what_next(f));
	ur_text_done(&path);
	return 0;
}

static int explain_filter(void *context, const struct ur_ledger_filter *filter, struct ur_err *err)
{
	struct explaining *e = context;
	return ur_ledger_rows(e->ledger, filter, explain_row, e, err);
}

int ur_cmd_explain(const struct ur_cli_options *options)
{
	struct explaining e = {.options = options};
	struct ur_err err = {0};
	int code = UR_EXIT_WELL;
	if (options->argument_count == 0) {
		ur_report_error("explain what? Name files or folders");
		return UR_EXIT_USAGE;
	}
	int r = open_ledger(options, UR_LEDGER_READ, &e.ledger, &err);
	for (int i = 0; i < options->argument_count && r == 0; i++) {
		e.rows = 0;
		r = with_path(options->arguments[i], 0, explain_filter, &e, &err);
		if (r == 0 && e.rows == 0) {
			ur_report_shown(
				stdout, options->arguments[i], strlen(options->arguments[i]));
			printf("\n  the ledger has not met it: no import has looked at it\n");
			code = UR_EXIT_FAILED;
		}
	}
	(void)ur_ledger_free(e.ledger);
	return r < 0 ? ur_exit_of(r, &err) : code;
}

/* ---- retry and forget ------------------------------------------------------------------------ */

typedef int change_fn(struct ur_ledger *ledger, const struct ur_ledger_filter *filter, int64_t *ret,
	struct ur_err *err);

struct changing {
	struct ur_ledger *ledger;
	int64_t count;
	change_fn *how;
	const char *event;
	const char *said;
};

static int change(void *context, const struct ur_ledger_filter *filter, struct ur_err *err)
{
	struct changing *c = context;
	int64_t count = 0;
	const int r = c->how(c->ledger, filter, &count, err);
	c->count += count;
	return r;
}

static void print_changed(const struct ur_cli_options *options, const struct changing *c)
{
	if (options->json) {
		printf("{\"event\":\"%s\",\"files\":%" PRId64 "}\n", c->event, c->count);
	} else if (!options->quiet) {
		printf("%" PRId64 " files %s\n", c->count, c->said);
	}
}

int ur_cmd_retry(const struct ur_cli_options *options)
{
	struct changing c = {.how = ur_ledger_retry,
		.event = "retry",
		.said = "will be looked at again by the next run"};
	struct ur_err err = {0};
	if (options->argument_count == 0 && !options->failed) {
		ur_report_error("retry what? Name files or folders, or give --failed for all");
		return UR_EXIT_USAGE;
	}
	int r = open_ledger(options, UR_LEDGER_WRITE, &c.ledger, &err);
	if (r == 0 && options->failed) {
		const struct ur_ledger_filter all = {.states = RETRY_STATES};
		r = change(&c, &all, &err);
	}
	for (int i = 0; i < options->argument_count && r == 0; i++) {
		r = with_path(options->arguments[i], RETRY_STATES, change, &c, &err);
	}
	(void)ur_ledger_free(c.ledger);
	if (r == 0) {
		print_changed(options, &c);
	}
	return ur_exit_of(r, &err);
}

int ur_cmd_accept(const struct ur_cli_options *options)
{
	struct changing c = {.how = ur_ledger_accept,
		.event = "accepted",
		.said = "accepted as they are: the next run sends and removes them"};
	struct ur_err err = {0};
	if (options->argument_count == 0) {
		ur_report_error(
			"accept what? Name the files that look cut off and are all there is");
		return UR_EXIT_USAGE;
	}
	int r = open_ledger(options, UR_LEDGER_WRITE, &c.ledger, &err);
	for (int i = 0; i < options->argument_count && r == 0; i++) {
		const int64_t before = c.count;
		r = with_path(options->arguments[i], 0, change, &c, &err);
		if (r == 0 && c.count == before) {
			(void)ur_err_say(&err, 0, UR_FAULT_FILE,
				"'%s' is not known as cut off: nothing to accept (`uringest explain` says "
				"what is known of it)",
				options->arguments[i]);
			ur_report_error(err.text);
		}
	}
	(void)ur_ledger_free(c.ledger);
	if (r < 0) {
		return ur_exit_of(r, &err);
	}
	print_changed(options, &c);
	return c.count > 0 ? UR_EXIT_WELL : UR_EXIT_FAILED;
}

struct missing {
	char **paths;
	size_t count;
	size_t room;
};

static int gather_missing(void *context, const struct ur_ledger_row *row)
{
	struct missing *m = context;
	struct ur_text path = {0};
	struct stat st;
	row_path(row, &path);
	const bool gone = ur_text_ok(&path) && lstat(path.bytes, &st) < 0 &&
			  (errno == ENOENT || errno == ENOTDIR);
	int r = 0;
	if (gone && m->count == m->room) {
		const size_t room = m->room == 0 ? 256 : m->room * 2;
		char **paths = realloc(m->paths, room * sizeof *paths);
		if (paths == NULL) {
			r = -ENOMEM;
		} else {
			m->paths = paths;
			m->room = room;
		}
	}
	if (gone && r == 0) {
		m->paths[m->count++] = path.bytes;
	} else {
		ur_text_done(&path);
	}
	return r;
}

static int forget_missing(struct changing *c, struct ur_err *err)
{
	const struct ur_ledger_filter all = {0};
	struct missing missing = {0};
	int r = ur_ledger_rows(c->ledger, &all, gather_missing, &missing, err);
	for (size_t i = 0; i < missing.count; i++) {
		char *slash = strrchr(missing.paths[i], '/');
		char *name = slash + 1;
		*slash = '\0';
		const struct ur_ledger_filter one = {
			.folder_path = slash == missing.paths[i] ? "/" : missing.paths[i],
			.name = name};
		r = r < 0 ? r : change(c, &one, err);
		free(missing.paths[i]);
	}
	free(missing.paths);
	return r;
}

int ur_cmd_forget(const struct ur_cli_options *options)
{
	struct changing c = {.how = ur_ledger_forget, .event = "forgotten", .said = "forgotten"};
	struct ur_err err = {0};
	if (options->argument_count == 0 && !options->missing) {
		ur_report_error("forget what? Name files or folders, or give --missing");
		return UR_EXIT_USAGE;
	}
	int r = open_ledger(options, UR_LEDGER_WRITE, &c.ledger, &err);
	if (r == 0 && options->missing) {
		r = forget_missing(&c, &err);
	}
	for (int i = 0; i < options->argument_count && r == 0; i++) {
		r = with_path(options->arguments[i], 0, change, &c, &err);
	}
	(void)ur_ledger_free(c.ledger);
	if (r == 0) {
		print_changed(options, &c);
	}
	return ur_exit_of(r, &err);
}
