/* measure - rounds, templates of commands, medians. */
#include "cli/bench/measure.h"

#include "engine/media/hash.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t ur_bench_runner_count(const struct ur_bench_case *what)
{
	size_t count = 0;
	while (count < UR_BENCH_RUNNERS_MAX && what->runners[count].label != NULL) {
		count++;
	}
	return count;
}

/* ---- templates ------------------------------------------------------------------------------- */

struct places {
	char tree[UR_BENCH_PATH];
	char ledger[UR_BENCH_PATH];
};

/** Programs that stand in bench/, beside uringest. */
static const char *const in_bench[] = {"reference", "scan_bench"};

static const char *find_in_bench(const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof in_bench / sizeof *in_bench; i++) {
		if (strlen(in_bench[i]) == size && memcmp(in_bench[i], name, size) == 0) {
			return in_bench[i];
		}
	}
	return NULL;
}

/** A path in the stage's folder, or beside uringest; else what the stage says. */
static void add_place(struct ur_text *text, const struct ur_bench_stage *stage,
	const struct places *places, const char *name)
{
	char path[UR_BENCH_PATH + 32];
	if (strcmp(name, "uringest") == 0 || strcmp(name, "mklib") == 0) {
		(void)snprintf(path, sizeof path, "%s/%s", stage->programs, name);
	} else if (find_in_bench(name, strlen(name)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/bench/%s", stage->programs, name);
	} else if (strcmp(name, "tree") == 0) {
		(void)snprintf(path, sizeof path, "%s", places->tree);
	} else if (strcmp(name, "list") == 0) {
		(void)snprintf(path, sizeof path, "%s.list", places->tree);
	} else if (strcmp(name, "film") == 0) {
		(void)snprintf(path, sizeof path, "%s/film.mp4", places->tree);
	} else if (strcmp(name, "ledger") == 0) {
		(void)snprintf(path, sizeof path, "%s", places->ledger);
	} else if (strcmp(name, "ca") == 0) {
		(void)snprintf(path, sizeof path, "%s/nginx/cert.pem", stage->dir);
	} else if (strcmp(name, "headers") == 0) {
		(void)snprintf(path, sizeof path, "%s/nginx/headers", stage->dir);
	} else if (strcmp(name, "url") == 0) {
		(void)snprintf(path, sizeof path, "%s", stage->url);
	} else if (strcmp(name, "tls") == 0) {
		(void)snprintf(path, sizeof path, "%s", stage->tls);
	} else if (strcmp(name, "plain") == 0) {
		(void)snprintf(path, sizeof path, "%s", stage->plain);
	} else {
		const char *value = name[0] == '$' ? getenv(name + 1) : NULL;
		assert(value != NULL); // runners without their program do not get here
		(void)snprintf(path, sizeof path, "%s", value);
	}
	ur_bench_quote(text, path);
}

static char *fill_in(
	const struct ur_bench_stage *stage, const struct places *places, const char *template)
{
	struct ur_text text = {0};
	for (const char *at = template; *at != '\0';) {
		char name[32];
		int size = 0;
		if (sscanf(at, "{%31[a-zA-Z$_]}%n", name, &size) == 1 && size > 0) {
			if (strcmp(name, "server") == 0 && stage->server != NULL) {
				ur_text_adds(&text, stage->server);
			} else if (strcmp(name, "server") == 0) {
				ur_text_adds(&text, "--server ");
				ur_bench_quote(&text, stage->url);
			} else {
				add_place(&text, stage, places, name);
			}
			at += size;
		} else {
			ur_text_add(&text, at++, 1);
		}
	}
	char *command = ur_text_ok(&text) ? strdup(ur_text_get(&text)) : NULL;
	ur_text_done(&text);
	return command;
}

/* ---- before a run ---------------------------------------------------------------------------- */

static struct ur_bench_tree tree_of(
	const struct ur_bench_case *what, const struct ur_bench_runner *runner, uint64_t size)
{
	if (what->kind == UR_BENCH_FILM) {
		return (struct ur_bench_tree){.film = size};
	}
	const uint64_t per_dir =
		runner->folders == 0 ? 100 : (size + runner->folders - 1) / runner->folders;
	return (struct ur_bench_tree){.files = size, .bytes = what->bytes, .per_dir = per_dir};
}

static int find_tree(struct ur_bench_stage *stage, const struct ur_bench_case *what,
	const struct ur_bench_runner *runner, uint64_t size, struct places *places,
	struct ur_err *err)
{
	if (what->kind == UR_BENCH_OWN) {
		(void)snprintf(places->tree, sizeof places->tree, "%s", stage->folder);
		return 0;
	}
	const struct ur_bench_tree tree = tree_of(what, runner, size);
	return ur_bench_stage_tree(stage, &tree, places->tree, err);
}

static int prepare(
	struct ur_bench_stage *stage, unsigned before, struct places *places, struct ur_err *err)
{
	int r = 0;
	if ((before & (UR_BENCH_KNOWN | UR_BENCH_ADD)) != 0) {
		r = ur_bench_stage_known(stage, places->tree, places->ledger, err);
	} else if ((before & (UR_BENCH_NEW_SERVER | UR_BENCH_EMPTY_SERVER | UR_BENCH_NGINX)) != 0) {
		r = ur_bench_stage_server(stage, (before & UR_BENCH_NEW_SERVER) != 0, err);
	}
	if (r == 0 && (before & UR_BENCH_NGINX) != 0) {
		r = ur_bench_stage_nginx(stage, err);
	}
	if (r == 0 && (before & UR_BENCH_ADD) != 0) {
		r = ur_bench_stage_add(stage, places->tree, UR_BENCH_ADDED, err);
	}
	if (r == 0 && (before & UR_BENCH_NEW_LEDGER) != 0) {
		ur_bench_stage_ledger(stage, places->ledger);
	}
	if (r == 0 && (before & UR_BENCH_COLD) != 0) {
		const int dropped = ur_bench_stage_drop_caches();
		r = dropped < 0 ? ur_err_set(err, dropped, UR_FAULT_SETUP,
					  "the page cache cannot be emptied here")
				: 0;
	}
	return r;
}

/** Whether the runner's program is there; says which is not. */
static bool has_program(const struct ur_bench_stage *stage, const struct ur_bench_runner *runner,
	struct ur_bench_series *series)
{
	char path[UR_BENCH_PATH + 32];
	const char *needs = runner->needs;
	const char *first = runner->command[0] == '{' ? runner->command + 1 : "";
	const char *bench = find_in_bench(first, strcspn(first, "}"));
	if (bench != NULL) {
		(void)snprintf(path, sizeof path, "%s/bench/%s", stage->programs, bench);
		needs = path;
	}
	if (needs == NULL) {
		return true;
	}
	const char *program = needs[0] == '$' ? getenv(needs + 1) : needs;
	if (program != NULL && program[0] != '\0' && ur_bench_have(program)) {
		return true;
	}
	(void)snprintf(series->why, sizeof series->why,
		needs[0] == '$' ? "%s does not name a program" : "%s is not here", needs);
	return false;
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct measuring {
	struct ur_bench_stage *stage;
	const struct ur_bench_plan *plan;
	struct ur_bench_result *result;
};

static int run_one(
	struct measuring *m, size_t index, struct ur_bench_sample *ret, struct ur_err *err)
{
	const struct ur_bench_case *what = m->result->of;
	const struct ur_bench_runner *runner = &what->runners[index];
	struct ur_bench_series *series = &m->result->series[index];
	struct ur_bench_requests before = {0};
	struct ur_bench_requests after = {0};
	struct places places = {0};
	char said[UR_BENCH_PATH];
	int r = find_tree(m->stage, what, runner, m->result->size, &places, err);
	if (r == 0) {
		r = prepare(m->stage, runner->before, &places, err);
	}
	if (r == 0) {
		r = ur_bench_stage_requests(m->stage, &before, err);
	}
	if (r < 0) {
		return r;
	}
	free(series->command);
	series->command = fill_in(m->stage, &places, runner->command);
	if (series->command == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot build a command");
	}
	ur_bench_stage_said(m->stage, said);
	const struct ur_bench_command command = {
		.text = series->command,
		.said = said,
		.disk = what->kind == UR_BENCH_SCAN ? m->stage->disk : 0,
	};
	r = ur_bench_spawn(&command, &ret->used, err);
	if (r == 0) {
		r = ur_bench_stage_requests(m->stage, &after, err);
	}
	ret->asked.all = after.all - before.all;
	ret->asked.uploads = after.uploads - before.uploads;
	return r;
}

static int run_round(struct measuring *m, size_t round, struct ur_err *err)
{
	const size_t count = ur_bench_runner_count(m->result->of);
	for (size_t i = 0; i < count; i++) {
		struct ur_bench_series *series = &m->result->series[i];
		if (series->why[0] != '\0') {
			continue;
		}
		const int r = run_one(m, i, &series->samples[round], err);
		if (r < 0) {
			return ur_err_within(err, r, "%s, %s", m->result->of->name,
				m->result->of->runners[i].label);
		}
	}
	return 0;
}

/* ---- notes: what a run of its own, outside the rounds, has counted --------------------------- */

static double number_in(const json_t *summary, const char *name)
{
	const json_t *value = json_object_get(summary, name);
	return json_is_number(value) ? json_number_value(value) : -1;
}

static json_t *read_summary(const char *path)
{
	char line[8192];
	char last[8192] = "";
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, "{\"event\":\"summary\"", 18) == 0) {
			memcpy(last, line, sizeof last);
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	return json_loads(last, 0, NULL);
}

/** "12345 total", the last line of strace -c -U calls,name. */
static double read_total(const char *path)
{
	char line[256];
	double total = -1;
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		if (strstr(line, " total") != NULL) {
			total = strtod(line, NULL);
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	return total;
}

/** The first runner once more, with something before or behind its command. */
static int run_noting(struct measuring *m, const char *before, const char *behind, const char *out,
	struct ur_err *err)
{
	const struct ur_bench_case *what = m->result->of;
	const struct ur_bench_runner *runner = &what->runners[0];
	struct places places = {0};
	struct ur_bench_used used;
	char said[UR_BENCH_PATH];
	int r = find_tree(m->stage, what, runner, m->result->size, &places, err);
	if (r == 0) {
		r = prepare(m->stage, runner->before, &places, err);
	}
	char *command = r < 0 ? NULL : fill_in(m->stage, &places, runner->command);
	struct ur_text text = {0};
	if (command != NULL) {
		ur_text_addf(&text, "%s%s%s", before, command, behind);
		ur_bench_stage_said(m->stage, said);
		r = ur_bench_spawn(
			&(struct ur_bench_command){
				.text = ur_text_get(&text), .out = out, .said = said},
			&used, err);
	}
	ur_text_done(&text);
	free(command);
	return r;
}

static int note_counters(struct measuring *m, struct ur_err *err)
{
	struct ur_bench_notes *notes = &m->result->notes;
	char out[UR_BENCH_PATH];
	ur_bench_stage_out(m->stage, out);
	const int r = run_noting(m, "", " --json", out, err);
	json_t *summary = r < 0 ? NULL : read_summary(out);
	const double found = number_in(summary, "found");
	const double hashed = number_in(summary, "bytes_hashed");
	const double ops = number_in(summary, "ring_ops");
	const double read = number_in(summary, "bytes_read");
	notes->ring_ops = ops >= 0 && found > 0 ? ops / found : -1;
	notes->in_flight = number_in(summary, "in_flight_median");
	notes->bytes_read = read >= 0 && hashed > 0 ? read / hashed : -1;
	if (m->result->of->kind == UR_BENCH_SCAN) {
		const struct ur_bench_used *used =
			&m->result->series[0].samples[m->result->rounds / 2].used;
		if (notes->bytes_read < 0 && hashed > 0 && used->disk_bytes > 0) {
			notes->bytes_read = (double)used->disk_bytes / hashed;
		}
		if (notes->in_flight < 0 && m->stage->disk != 0) {
			notes->in_flight = used->in_flight;
			notes->in_flight_at_disk = true;
		}
	}
	json_decref(summary);
	return r;
}

static int note_system_calls(struct measuring *m, struct ur_err *err)
{
	char out[UR_BENCH_PATH];
	struct ur_text before = {0};
	if (!ur_bench_have("strace") || m->result->of->kind == UR_BENCH_FILM) {
		return 0;
	}
	ur_bench_stage_out(m->stage, out);
	ur_text_adds(&before, "strace -f -c -U calls,name -o ");
	ur_bench_quote(&before, out);
	ur_text_adds(&before, " ");
	/* Where tracing is forbidden the number is not measured, and nothing else is wrong. */
	const int r = run_noting(m, ur_text_get(&before), "", NULL, err);
	ur_text_done(&before);
	const double total = r < 0 ? -1 : read_total(out);
	m->result->notes.system_calls = total < 0 ? -1 : total / (double)m->result->size;
	return r == -ECHILD ? 0 : r;
}

static int note(struct measuring *m, struct ur_err *err)
{
	const struct ur_bench_case *what = m->result->of;
	m->result->noted =
		m->plan->notes && what->kind != UR_BENCH_GROWTH && what->kind != UR_BENCH_OWN;
	m->result->notes = (struct ur_bench_notes){
		.system_calls = -1, .ring_ops = -1, .in_flight = -1, .bytes_read = -1};
	if (!m->result->noted) {
		return 0;
	}
	const int r = note_counters(m, err);
	return r < 0 ? r : note_system_calls(m, err);
}

/* ---- a case ---------------------------------------------------------------------------------- */

/** What the case needs as a whole; false with `why` when it cannot run here. */
static bool can_run(struct measuring *m)
{
	const struct ur_bench_case *what = m->result->of;
	unsigned before = 0;
	for (size_t i = 0; i < ur_bench_runner_count(what); i++) {
		before |= what->runners[i].before;
	}
	char *why = m->result->why;
	const size_t room = sizeof m->result->why;
	if ((before & UR_BENCH_COLD) != 0 && access("/proc/sys/vm/drop_caches", W_OK) != 0) {
		(void)snprintf(why, room,
			"the page cache cannot be emptied here: /proc/sys/vm/drop_caches is for root "
			"on a machine of one's own");
	} else if ((before & UR_BENCH_NGINX) != 0 && !ur_bench_have("nginx")) {
		(void)snprintf(why, room, "nginx is not here");
	}
	return why[0] == '\0';
}

int ur_bench_measure(struct ur_bench_stage *stage, const struct ur_bench_case *what, uint64_t size,
	const struct ur_bench_plan *plan, struct ur_bench_result **ret, struct ur_err *err)
{
	struct ur_bench_result *result = calloc(1, sizeof *result);
	if (result == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot measure");
	}
	result->of = what;
	result->size = size;
	result->rounds = plan->rounds;
	struct measuring m = {.stage = stage, .plan = plan, .result = result};
	const bool runs = can_run(&m);
	for (size_t i = 0; runs && i < ur_bench_runner_count(what); i++) {
		(void)has_program(stage, &what->runners[i], &result->series[i]);
	}
	/* The first round fills the caches and is forgotten. */
	const bool warm_up = (what->runners[0].before & UR_BENCH_COLD) == 0;
	int r = runs && warm_up ? run_round(&m, 0, err) : 0;
	for (size_t round = 0; runs && r == 0 && round < plan->rounds; round++) {
		r = run_round(&m, round, err);
	}
	if (runs && r == 0) {
		r = note(&m, err);
	}
	if (r < 0) {
		(void)ur_bench_result_free(result);
		return r;
	}
	*ret = result;
	return 0;
}

struct ur_bench_result *ur_bench_result_free(struct ur_bench_result *result)
{
	if (result != NULL) {
		for (size_t i = 0; i < UR_BENCH_RUNNERS_MAX; i++) {
			free(result->series[i].command);
		}
		free(result);
	}
	return NULL;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct ur_bench_spread spread_of(double *values, size_t count)
{
	assert(count > 0);
	qsort(values, count, sizeof *values, by_value);
	const double upper = values[count / 2];
	const double lower = values[(count - 1) / 2];
	return (struct ur_bench_spread){(upper + lower) / 2, values[0], values[count - 1]};
}

struct ur_bench_spread ur_bench_wall(const struct ur_bench_result *result, size_t runner)
{
	double values[UR_BENCH_ROUNDS_MAX] = {0};
	for (size_t i = 0; i < result->rounds; i++) {
		values[i] = result->series[runner].samples[i].used.wall_s;
	}
	return spread_of(values, result->rounds);
}

struct ur_bench_spread ur_bench_cpu(const struct ur_bench_result *result, size_t runner)
{
	double values[UR_BENCH_ROUNDS_MAX] = {0};
	for (size_t i = 0; i < result->rounds; i++) {
		values[i] = result->series[runner].samples[i].used.cpu_s;
	}
	return spread_of(values, result->rounds);
}

struct ur_bench_spread ur_bench_peak_kib(const struct ur_bench_result *result, size_t runner)
{
	double values[UR_BENCH_ROUNDS_MAX] = {0};
	for (size_t i = 0; i < result->rounds; i++) {
		values[i] = (double)result->series[runner].samples[i].used.peak_kib;
	}
	return spread_of(values, result->rounds);
}

static const struct ur_bench_sample *sample_of(
	const struct ur_bench_result *result, int runner, size_t round)
{
	static const struct ur_bench_sample nobody;
	return runner < 0 ? &nobody : &result->series[runner].samples[round];
}

static double value_in_round(
	const struct ur_bench_result *result, const struct ur_bench_claim *claim, size_t round)
{
	const struct ur_bench_sample *ours = sample_of(result, claim->ours, round);
	const struct ur_bench_sample *theirs = sample_of(result, claim->theirs, round);
	const struct ur_bench_sample *without = sample_of(result, claim->without, round);
	switch (claim->metric) {
	case UR_BENCH_WALL:
		return ours->used.wall_s / theirs->used.wall_s;
	case UR_BENCH_CPU:
		return ours->used.cpu_s / theirs->used.cpu_s;
	case UR_BENCH_CPU_BEYOND:
		return (ours->used.cpu_s - without->used.cpu_s) / theirs->used.cpu_s;
	case UR_BENCH_WALL_MORE:
		return ours->used.wall_s - theirs->used.wall_s;
	case UR_BENCH_CPU_MORE:
		return (ours->used.cpu_s - theirs->used.cpu_s) * 1e3 / (double)result->size;
	case UR_BENCH_PEAK:
		return (double)ours->used.peak_kib / 1024;
	case UR_BENCH_REQUESTS:
		return (double)(ours->asked.all - ours->asked.uploads);
	}
	assert(!"a metric without a value");
	return 0;
}

bool ur_bench_claim_value(const struct ur_bench_result *result, const struct ur_bench_claim *claim,
	struct ur_bench_spread *ret)
{
	double values[UR_BENCH_ROUNDS_MAX] = {0};
	const int runners[] = {claim->ours, claim->theirs, claim->without};
	if (result->why[0] != '\0' || (claim->hash != NULL && ur_hash_choose(claim->hash) < 0)) {
		return false;
	}
	for (size_t i = 0; i < sizeof runners / sizeof *runners; i++) {
		if (runners[i] >= 0 && result->series[runners[i]].why[0] != '\0') {
			return false;
		}
	}
	for (size_t i = 0; i < result->rounds; i++) {
		values[i] = value_in_round(result, claim, i);
	}
	*ret = spread_of(values, result->rounds);
	return true;
}
