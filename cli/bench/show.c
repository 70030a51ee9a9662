/* show - the table and the JSON. */
#include "cli/bench/show.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT_LEAST 16

/* ---- the machine ----------------------------------------------------------------------------- */

struct machine {
	struct utsname kernel;
	char processor[96];
	long processors;
	double memory_gib;
};

static void trim(char *text)
{
	size_t size = strlen(text);
	while (size > 0 && (unsigned char)text[size - 1] <= ' ') {
		text[--size] = '\0';
	}
}

static void look_at_machine(struct machine *ret)
{
	char line[256];
	*ret = (struct machine){.processors = sysconf(_SC_NPROCESSORS_ONLN)};
	(void)uname(&ret->kernel);
	ret->memory_gib = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE) /
			  (double)(1 << 30);
	FILE *file = fopen("/proc/cpuinfo", "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
			trim(line);
			(void)snprintf(ret->processor, sizeof ret->processor, "%.90s", colon + 2);
			break;
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
}

void ur_bench_show_head(FILE *to, size_t rounds)
{
	struct machine m;
	look_at_machine(&m);
	(void)fprintf(to,
		"uringest %s on %s, %ld processors%s%s, %.0f GiB, Linux %s\n"
		"%zu rounds in turns: median (lowest-highest); CPU is user + system of all "
		"processes\n",
		UR_VERSION, m.kernel.machine, m.processors, m.processor[0] != '\0' ? " of " : "",
		m.processor, m.memory_gib, m.kernel.release, rounds);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void show_size(FILE *to, const struct ur_bench_result *result)
{
	char bytes[16];
	const struct ur_bench_case *what = result->of;
	if (what->kind == UR_BENCH_OWN) {
		return;
	}
	ur_show_bytes(what->kind == UR_BENCH_FILM ? result->size : what->bytes, bytes);
	if (what->kind == UR_BENCH_FILM) {
		(void)fprintf(to, ": %s", bytes);
	} else {
		(void)fprintf(to, ": %" PRIu64 " files of %s", result->size, bytes);
	}
}

static void show_spread(FILE *to, const struct ur_bench_spread *s)
{
	char range[40];
	(void)snprintf(range, sizeof range, "(%.3f-%.3f)", s->low, s->high);
	(void)fprintf(to, " %8.3f %-16s", s->median, range);
}

static void show_series(FILE *to, const struct ur_bench_result *result, size_t i)
{
	const struct ur_bench_runner *runner = &result->of->runners[i];
	const struct ur_bench_series *series = &result->series[i];
	/* "…" is three bytes and one column. */
	const int wide = 20 + (int)(strstr(runner->label, "…") != NULL ? strlen("…") - 1 : 0);
	(void)fprintf(to, "  %-*s", wide, runner->label);
	if (series->why[0] != '\0') {
		(void)fprintf(to, " not run: %s\n", series->why);
		return;
	}
	const struct ur_bench_spread wall = ur_bench_wall(result, i);
	const struct ur_bench_spread cpu = ur_bench_cpu(result, i);
	const struct ur_bench_spread peak = ur_bench_peak_kib(result, i);
	show_spread(to, &wall);
	show_spread(to, &cpu);
	(void)fprintf(to, " %7.1f", peak.median / 1024);
	if (result->of->kind != UR_BENCH_OWN && result->of->kind != UR_BENCH_FILM) {
		(void)fprintf(to, " %9.2f", cpu.median * 1e6 / (double)result->size);
	}
	(void)fputc('\n', to);
}

static void show_claim(
	FILE *to, const struct ur_bench_result *result, const struct ur_bench_claim *claim)
{
	struct ur_bench_spread value;
	char range[48];
	(void)fprintf(to, "    %-42s", claim->text);
	if (!ur_bench_claim_value(result, claim, &value)) {
		(void)fprintf(to, " not measured%s\n",
			claim->hash != NULL ? ": this processor hashes otherwise" : "");
		return;
	}
	(void)snprintf(range, sizeof range, "(%.3f-%.3f)", value.low, value.high);
	(void)fprintf(to, " %8.3f %-16s", value.median, range);
	if (claim->at_most > 0) {
		(void)fprintf(to, " at most %-5g %s", claim->at_most,
			value.median <= claim->at_most ? "ok" : "OVER");
	}
	(void)fputc('\n', to);
}

/** What is known of the first runner, then the names of what is not. */
static void show_notes(FILE *to, const struct ur_bench_result *result)
{
	const struct ur_bench_notes *n = &result->notes;
	const bool scan = result->of->kind == UR_BENCH_SCAN;
	const struct {
		double value;
		const char *name;
	} notes[] = {
		{n->system_calls, "system calls a file"},
		{n->ring_ops, "ring operations a file"},
		{n->bytes_read, "bytes read per byte hashed"},
		{n->in_flight, n->in_flight_at_disk ? "requests in flight at the disk (median)"
						    : "requests in flight (median)"},
	};
	const size_t count = sizeof notes / sizeof *notes;
	const char *between = "    ";
	for (size_t i = 0; i < count; i++) {
		if (notes[i].value >= 0) {
			(void)fprintf(to, "%s%.2f %s", between, notes[i].value, notes[i].name);
			between = " · ";
		}
	}
	(void)fputs(between[0] == ' ' && between[1] == ' ' ? "" : "\n", to);
	between = "    not measured: ";
	for (size_t i = 0; i < count; i++) {
		if (notes[i].value < 0) {
			(void)fprintf(to, "%s%s", between, notes[i].name);
			between = ", ";
		}
	}
	(void)fputs(between[0] == ' ' ? "" : "\n", to);
	if (scan && n->in_flight >= 0 && n->in_flight < IN_FLIGHT_LEAST) {
		(void)fprintf(to, "    DEFECT: fewer than %d requests in flight on a cold scan\n",
			IN_FLIGHT_LEAST);
	}
}

void ur_bench_show(FILE *to, const struct ur_bench_result *result)
{
	const size_t count = ur_bench_runner_count(result->of);
	(void)fprintf(to, "\n%s - %s", result->of->name, result->of->what);
	show_size(to, result);
	(void)fputc('\n', to);
	if (result->why[0] != '\0') {
		(void)fprintf(to, "  not run: %s\n", result->why);
		return;
	}
	(void)fprintf(to, "  %-20s %8s %-16s %8s %-16s %7s %9s\n", "", "wall s", "", "CPU s", "",
		"MiB",
		result->of->kind != UR_BENCH_OWN && result->of->kind != UR_BENCH_FILM ? "CPU µs/f"
										      : "");
	for (size_t i = 0; i < count; i++) {
		show_series(to, result, i);
	}
	for (size_t i = 0; i < UR_BENCH_CLAIMS_MAX && result->of->claims[i].text != NULL; i++) {
		show_claim(to, result, &result->of->claims[i]);
	}
	if (result->noted) {
		show_notes(to, result);
	}
	for (size_t i = 0; i < count; i++) {
		if (result->series[i].command != NULL) {
			(void)fprintf(to, "    $ %s\n", result->series[i].command);
		}
	}
	(void)fflush(to);
}

void ur_bench_show_end(
	FILE *to, const struct ur_bench_stage *stage, const struct ur_bench_results *results)
{
	size_t met = 0;
	size_t judged = 0;
	for (size_t i = 0; i < results->count; i++) {
		const struct ur_bench_claim *claims = results->all[i]->of->claims;
		for (size_t c = 0; c < UR_BENCH_CLAIMS_MAX && claims[c].text != NULL; c++) {
			struct ur_bench_spread value;
			if (claims[c].at_most > 0 &&
				ur_bench_claim_value(results->all[i], &claims[c], &value)) {
				judged++;
				met += value.median <= claims[c].at_most;
			}
		}
	}
	if (judged > 0) {
		(void)fprintf(to, "\n%zu of %zu targets met\n", met, judged);
	}
	if (stage->keep && stage->server == NULL) {
		(void)fprintf(to,
			"To repeat a command: export IMMICH_API_KEY=%s; \\\n"
			"  %s/immichd --listen 127.0.0.1:%d --api 3 --key $IMMICH_API_KEY --quiet --data "
			"%s/known-… (or an empty folder)\n",
			getenv("IMMICH_API_KEY"), stage->programs, stage->port, stage->dir);
	} else if (stage->server == NULL) {
		(void)fprintf(to, "The libraries are gone again; --dir DIR keeps them, so that the "
				  "commands can be repeated.\n");
	}
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *spread_json(const struct ur_bench_spread *s)
{
	return json_pack("{s:f,s:f,s:f}", "median", s->median, "low", s->low, "high", s->high);
}

static json_t *series_json(const struct ur_bench_result *result, size_t i)
{
	const struct ur_bench_series *series = &result->series[i];
	if (series->why[0] != '\0') {
		return json_pack(
			"{s:s,s:s}", "label", result->of->runners[i].label, "why", series->why);
	}
	const struct ur_bench_spread wall = ur_bench_wall(result, i);
	const struct ur_bench_spread cpu = ur_bench_cpu(result, i);
	const struct ur_bench_spread peak = ur_bench_peak_kib(result, i);
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:I}", "label", result->of->runners[i].label,
		"command", series->command, "wall_s", spread_json(&wall), "cpu_s",
		spread_json(&cpu), "peak_kib", spread_json(&peak), "uploads",
		(json_int_t)series->samples[0].asked.uploads);
}

static json_t *claim_json(const struct ur_bench_result *result, const struct ur_bench_claim *claim)
{
	struct ur_bench_spread value;
	if (!ur_bench_claim_value(result, claim, &value)) {
		return NULL;
	}
	json_t *json = spread_json(&value);
	(void)json_object_set_new(json, "text", json_string(claim->text));
	if (claim->at_most > 0) {
		(void)json_object_set_new(json, "at_most", json_real(claim->at_most));
		(void)json_object_set_new(
			json, "met", json_boolean(value.median <= claim->at_most));
	}
	return json;
}

static void add_note(json_t *notes, const char *name, double value)
{
	if (value >= 0) {
		(void)json_object_set_new(notes, name, json_real(value));
	}
}

static json_t *result_json(const struct ur_bench_result *result)
{
	json_t *json = json_pack("{s:s,s:s,s:I}", "name", result->of->name, "what",
		result->of->what, "size", (json_int_t)result->size);
	json_t *runs = json_array();
	json_t *claims = json_array();
	json_t *notes = json_object();
	if (result->why[0] != '\0') {
		(void)json_object_set_new(json, "why", json_string(result->why));
	} else {
		for (size_t i = 0; i < ur_bench_runner_count(result->of); i++) {
			(void)json_array_append_new(runs, series_json(result, i));
		}
	}
	for (size_t i = 0; i < UR_BENCH_CLAIMS_MAX && result->of->claims[i].text != NULL; i++) {
		json_t *claim = claim_json(result, &result->of->claims[i]);
		if (claim != NULL) {
			(void)json_array_append_new(claims, claim);
		}
	}
	if (result->noted) {
		add_note(notes, "system_calls_a_file", result->notes.system_calls);
		add_note(notes, "ring_ops_a_file", result->notes.ring_ops);
		add_note(notes, "bytes_read_per_byte_hashed", result->notes.bytes_read);
		add_note(notes, result->notes.in_flight_at_disk ? "in_flight_at_disk" : "in_flight",
			result->notes.in_flight);
	}
	(void)json_object_set_new(json, "runs", runs);
	(void)json_object_set_new(json, "claims", claims);
	(void)json_object_set_new(json, "notes", notes);
	return json;
}

int ur_bench_show_json(FILE *to, const struct ur_bench_results *results, struct ur_err *err)
{
	struct machine m;
	look_at_machine(&m);
	json_t *cases = json_array();
	for (size_t i = 0; i < results->count; i++) {
		(void)json_array_append_new(cases, result_json(results->all[i]));
	}
	json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:o}", "uringest", UR_VERSION, "machine",
		m.kernel.machine, "kernel", m.kernel.release, "processor", m.processor,
		"processors", (json_int_t)m.processors, "rounds", (json_int_t)results->rounds,
		"cases", cases);
	const int r =
		json == NULL ? -1 : json_dumpf(json, to, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(json);
	if (r != 0 || fputc('\n', to) == EOF || fflush(to) != 0) {
		return ur_err_set(err, -EIO, UR_FAULT_WORLD, "cannot write the results");
	}
	return 0;
}
