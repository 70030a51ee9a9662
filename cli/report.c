/* report - every line that the program says. */
#include "cli/report.h"

#include "engine/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_TERMINAL_NS (UR_SECOND_NS / 2)
#define WAITING_TOLD_MAX 20
#define PROGRESS_LOG_NS (10 * UR_SECOND_NS)

void ur_report_init(struct ur_report *report, bool json, bool quiet, bool verbose, bool plan)
{
	*report = (struct ur_report){
		.json = json,
		.quiet = quiet,
		.verbose = verbose,
		.plan = plan,
		.terminal = isatty(STDERR_FILENO) == 1,
		.last_progress_ns = ur_clock_steady_ns(),
	};
}

void ur_report_shown(FILE *to, const void *bytes, size_t size)
{
	struct ur_text text = {0};
	ur_text_add_shown(&text, bytes, size);
	(void)fwrite(ur_text_get(&text), 1, text.size, to);
	ur_text_done(&text);
}

/** Sentences may quote names; a backslash in them is already as it should be. */
static void print_sentence(FILE *to, const char *sentence)
{
	for (const char *at = sentence; *at != '\0';) {
		const char *end = strchrnul(at, '\\');
		ur_report_shown(to, at, (size_t)(end - at));
		if (*end == '\\') {
			(void)fputc('\\', to);
			end++;
		}
		at = end;
	}
}

void ur_report_error(const char *sentence)
{
	(void)fputs("uringest: ", stderr);
	print_sentence(stderr, sentence);
	(void)fputc('\n', stderr);
}

static void end_progress_line(struct ur_report *report)
{
	if (report->line_open) {
		(void)fputs("\r\033[K", stderr);
		report->line_open = false;
	}
}

void ur_report_json_path(struct ur_text *text, const void *path, size_t size)
{
	if (ur_utf8_valid(path, size)) {
		ur_text_adds(text, "\"path\":");
		ur_text_add_json(text, path, size);
		return;
	}
	struct ur_text shown = {0};
	char *base64 = malloc(UR_BASE64_ROOM(size));
	ur_text_add_shown(&shown, path, size);
	ur_text_adds(text, "\"path\":");
	ur_text_add_json(text, ur_text_get(&shown), shown.size);
	if (base64 != NULL) {
		ur_base64(path, size, base64);
		ur_text_addf(text, ",\"path_b64\":\"%s\"", base64);
	}
	free(base64);
	ur_text_done(&shown);
}

static const char *outcome_name(enum ur_outcome outcome)
{
	static const char *const names[UR_OUTCOMES] = {
		[UR_OUTCOME_OPEN] = "open",
		[UR_OUTCOME_SENT] = "sent",
		[UR_OUTCOME_PRESENT] = "present",
		[UR_OUTCOME_DUPLICATE] = "duplicate",
		[UR_OUTCOME_REFUSED] = "refused",
		[UR_OUTCOME_FAILED] = "failed",
		[UR_OUTCOME_WAITING] = "waiting",
		[UR_OUTCOME_VANISHED] = "vanished",
	};
	return names[outcome];
}

static void print_text(FILE *to, struct ur_text *text)
{
	if (ur_text_ok(text)) {
		(void)fwrite(ur_text_get(text), 1, text->size, to);
	}
	ur_text_done(text);
}

static void event_json(const struct ur_event *event, const struct ur_text *path)
{
	struct ur_text line = {0};
	ur_text_adds(&line, "{\"event\":\"file\",");
	ur_report_json_path(&line, path->bytes, path->size);
	ur_text_addf(&line,
		",\"state\":\"%s\",\"outcome\":\"%s\",\"reason\":", ur_state_name(event->state),
		outcome_name(event->outcome));
	ur_text_add_json(&line, event->reason, strlen(event->reason));
	ur_text_addf(&line, ",\"asset\":%s%s%s}\n", event->asset[0] != '\0' ? "\"" : "",
		event->asset[0] != '\0' ? event->asset : "null",
		event->asset[0] != '\0' ? "\"" : "");
	print_text(stdout, &line);
}

static bool worth_a_line(struct ur_report *report, const struct ur_event *event)
{
	if (event->told && !report->verbose) {
		return false; // it waits as it did when it was named, and is counted
	}
	/* A stop, a limit or a full quota leaves thousands waiting for one and the same reason. */
	if (event->outcome == UR_OUTCOME_WAITING && !report->verbose &&
		++report->waiting_told > WAITING_TOLD_MAX) {
		return false;
	}
	if (event->outcome == UR_OUTCOME_FAILED) {
		return true;
	}
	return !report->quiet &&
	       (report->verbose || event->warning || event->outcome == UR_OUTCOME_REFUSED ||
		       event->outcome == UR_OUTCOME_WAITING);
}

/** One word for a person: the outcome, or the state where that says more. */
static const char *word_of(const struct ur_report *report, const struct ur_event *event)
{
	if (report->plan && event->outcome == UR_OUTCOME_SENT) {
		return "send";
	}
	return event->outcome == UR_OUTCOME_REFUSED || event->outcome == UR_OUTCOME_FAILED
		       ? ur_state_name(event->state)
		       : outcome_name(event->outcome);
}

void ur_report_event(void *context, const struct ur_event *event)
{
	struct ur_report *report = context;
	if (!report->json && !worth_a_line(report, event)) {
		return;
	}
	struct ur_text path = {0};
	ur_dir_path(event->dir, event->name, &path);
	if (report->json) {
		event_json(event, &path);
	} else if (ur_text_ok(&path)) {
		end_progress_line(report);
		printf("%-9s ", word_of(report, event));
		ur_report_shown(stdout, path.bytes, path.size);
		if (event->reason[0] != '\0') {
			(void)fputs(": ", stdout);
			print_sentence(stdout, event->reason);
		}
		(void)fputc('\n', stdout);
	}
	ur_text_done(&path);
}

void ur_report_folder_error(void *context, const char *path, const char *why, bool told)
{
	struct ur_report *report = context;
	if (report->json) {
		struct ur_text line = {0};
		ur_text_adds(&line, "{\"event\":\"folder\",");
		ur_report_json_path(&line, path, strlen(path));
		ur_text_adds(&line, ",\"reason\":");
		ur_text_add_json(&line, why, strlen(why));
		ur_text_adds(&line, "}\n");
		print_text(stdout, &line);
	}
	if (told && !report->verbose) {
		return; // it is as it was when it was named, and is counted
	}
	end_progress_line(report);
	(void)fputs("uringest: ", stderr);
	ur_report_shown(stderr, path, strlen(path));
	(void)fputs(": ", stderr);
	print_sentence(stderr, why);
	(void)fputc('\n', stderr);
}

void ur_report_warn(void *context, const char *sentence)
{
	struct ur_report *report = context;
	if (!report->quiet) {
		end_progress_line(report);
		ur_report_error(sentence);
	}
}

void ur_report_progress(struct ur_report *report, const struct ur_summary *s)
{
	const int64_t now = ur_clock_steady_ns();
	const int64_t passed = now - report->last_progress_ns;
	if (report->quiet || passed < (report->terminal ? PROGRESS_TERMINAL_NS : PROGRESS_LOG_NS)) {
		return;
	}
	char sent[16];
	char rate[16];
	ur_show_bytes(s->bytes_sent, sent);
	ur_show_bytes(
		(uint64_t)((double)(s->bytes_sent - report->last_sent) * 1e9 / (double)passed),
		rate);
	report->last_progress_ns = now;
	report->last_sent = s->bytes_sent;
	(void)fprintf(stderr,
		"%s%" PRIu64 "%s files · %" PRIu64 " sent, %" PRIu64 " there, %" PRIu64
		" refused, %" PRIu64 " failed, %" PRIu64 " waiting · %s at %s/s · %.0f s%s",
		report->terminal ? "\r\033[K" : "", s->found, s->scanned ? "" : "+", s->sent,
		s->present + s->duplicate, s->refused, s->failed, s->waiting, sent, rate,
		s->seconds, report->terminal ? "" : "\n");
	report->line_open = report->terminal;
	(void)fflush(stderr);
}

static void summary_json(const struct ur_summary *s)
{
	printf("{\"event\":\"summary\",\"found\":%" PRIu64 ",\"sent\":%" PRIu64
	       ",\"present\":%" PRIu64 ",\"duplicate\":%" PRIu64 ",\"refused\":%" PRIu64
	       ",\"failed\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"kept\":%" PRIu64
	       ",\"troubles\":%" PRIu64 ",\"troubles_new\":%" PRIu64 ",\"bytes_found\":%" PRIu64
	       ",\"bytes_sent\":%" PRIu64 ",\"bytes_hashed\":%" PRIu64 ",\"left_out\":%" PRIu64
	       ",\"folder_errors\":%" PRIu64 ",\"stranded\":%" PRIu64 ",\"bytes_read\":%" PRIu64
	       ",\"ring_ops\":%" PRIu64 ",\"in_flight_median\":%u,\"requests\":%" PRIu64
	       ",\"concurrency\":%u,\"seconds\":%.3f}\n",
		s->found, s->sent, s->present, s->duplicate, s->refused, s->failed, s->waiting,
		s->kept, s->troubles, s->troubles_fresh, s->bytes_found, s->bytes_sent,
		s->bytes_hashed, s->junk, s->folder_errors, s->stranded, s->bytes_read, s->ring_ops,
		s->in_flight_median, s->requests, s->concurrency, s->seconds);
}

static void summary_text(const struct ur_report *report, const struct ur_summary *s)
{
	char found[16];
	char sent[16];
	char hashed[16];
	ur_show_bytes(s->bytes_found, found);
	ur_show_bytes(s->bytes_sent, sent);
	ur_show_bytes(s->bytes_hashed, hashed);
	printf("%" PRIu64 " files found (%s)%s in %.1f s\n", s->found, found,
		s->scanned ? "" : ", not all looked at", s->seconds);
	printf("  %-14s %10" PRIu64, report->plan ? "would be sent" : "sent", s->sent);
	printf("%s%s%s\n", report->plan ? "" : "   (", report->plan ? "" : sent,
		report->plan ? "" : " on the wire)");
	printf("  %-14s %10" PRIu64 "\n", "there already", s->present);
	printf("  %-14s %10" PRIu64 "\n", "duplicates", s->duplicate);
	printf("  %-14s %10" PRIu64 "\n", "refused", s->refused);
	printf("  %-14s %10" PRIu64 "\n", "failed", s->failed);
	printf("  %-14s %10" PRIu64 "\n", "waiting", s->waiting);
	if (s->junk > 0) {
		printf("  left out       %10" PRIu64
		       " as the usual junk of boxes, phones and desktops (-v names it, --no-junk takes it)\n",
			s->junk);
	}
	printf("  read and hashed: %s\n", hashed);
}

void ur_report_summary(struct ur_report *report, const struct ur_summary *s, const char *command)
{
	end_progress_line(report);
	if (report->json) {
		summary_json(s);
		(void)fflush(stdout);
		return;
	}
	if (!report->quiet) {
		summary_text(report, s);
	}
	if (s->failed > 0) {
		printf("%" PRIu64
		       " files failed. They are in their places; `uringest status --failed` "
		       "names them, `uringest retry --failed` lets the next run try them again.\n",
			s->failed);
	}
	if (s->kept > 0) {
		printf("%" PRIu64
		       " files could not be proved to be safe on the server, and are kept in their "
		       "places; `uringest explain FILE` says why.\n",
			s->kept);
	}
	if (s->folder_errors > 0) {
		printf("%" PRIu64 " folders or paths could not be read (named above).\n",
			s->folder_errors);
	}
	if (s->stranded > 0) {
		printf("%" PRIu64 " files may stand in a folder '" UR_STAGING
		       "' and could not be put back (named above).\n",
			s->stranded);
	}
	if (report->timer && s->troubles > 0) {
		printf("%" PRIu64
		       " files and folders in all did not arrive, or could not be taken away "
		       "as asked, %" PRIu64
		       " of them new: %s; `uringest status --failed` names them.\n",
			s->troubles, s->troubles_fresh,
			s->trouble_due ? "this run ends with exit code 1"
				       : "said before, and once a day while it lasts");
	}
	if (s->waiting > 0 && !report->quiet) {
		printf("%" PRIu64 " files wait%s: run `%s` again.\n", s->waiting,
			report->waiting_told > WAITING_TOLD_MAX ? " (-v names them all)" : "",
			command);
	}
	(void)fflush(stdout);
}
