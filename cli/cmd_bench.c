/* cmd_bench - which cases, how large, and what is done with what comes out. */
#include "cli/bench/show.h"
#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5
#define QUICK_ROUNDS 3
#define RESULTS_MAX 64

struct bench {
	const struct ur_cli_options *options;
	struct ur_bench_stage stage;
	struct ur_bench_plan plan;
	struct ur_bench_results results;
	struct ur_bench_result *all[RESULTS_MAX];
	bool failed;
};

/** The value of `name` in "a=1,b=2G"; NULL without; `ret_size` is its length. */
static const char *value_in(const char *list, const char *name, size_t *ret_size)
{
	const size_t length = strlen(name);
	for (const char *at = list; at != NULL && *at != '\0';) {
		const size_t size = strcspn(at, ",");
		if (size >= length && memcmp(at, name, length) == 0 &&
			(size == length || at[length] == '=')) {
			*ret_size = size - length;
			return at + length;
		}
		at += size + (at[size] == ',');
	}
	return NULL;
}

/** Every name in a list is that of a case. */
static int check_names(const char *option, const char *list, struct ur_err *err)
{
	for (const char *at = list; at != NULL && *at != '\0';) {
		const size_t size = strcspn(at, ",");
		const size_t name = strcspn(at, ",=");
		const struct ur_bench_case *what = ur_bench_cases;
		while (what->name != NULL &&
			(strlen(what->name) != name || memcmp(what->name, at, name) != 0)) {
			what++;
		}
		if (what->name == NULL) {
			return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
				"--%s: '%.*s' is no case; `uringest bench --list` names them",
				option, (int)name, at);
		}
		at += size + (at[size] == ',');
	}
	return 0;
}

static int size_of(const struct bench *bench, const struct ur_bench_case *what, uint64_t *ret,
	struct ur_err *err)
{
	char text[32];
	size_t size = 0;
	const char *given = value_in(bench->options->sizes, what->name, &size);
	*ret = bench->options->quick ? what->quick_size : what->size;
	if (given == NULL) {
		return 0;
	}
	(void)snprintf(text, sizeof text, "%.*s", size > 0 ? (int)size - 1 : 0,
		size > 0 ? given + 1 : given);
	if (size > sizeof text - 1 || ur_parse_bytes(text, ret) < 0 || *ret == 0) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"--size takes NAME=NUMBER,…, not '%s=%s'", what->name, text);
	}
	return 0;
}

static bool is_asked_for(const struct bench *bench, const struct ur_bench_case *what)
{
	size_t size = 0;
	if (bench->options->cases != NULL) {
		return value_in(bench->options->cases, what->name, &size) != NULL;
	}
	return (what->kind == UR_BENCH_OWN) == (bench->stage.folder != NULL);
}

static int list_cases(void)
{
	for (const struct ur_bench_case *what = ur_bench_cases; what->name != NULL; what++) {
		printf("%-14s %s\n", what->name, what->what);
	}
	return UR_EXIT_WELL;
}

/* ---- running --------------------------------------------------------------------------------- */

/** One result; a case that fails is said, and the others are run all the same. */
static int measure(struct bench *bench, const struct ur_bench_case *what, uint64_t size)
{
	struct ur_err err = {0};
	struct ur_bench_results *results = &bench->results;
	if (results->count == RESULTS_MAX) {
		return -ENOSPC;
	}
	const int r = ur_bench_measure(
		&bench->stage, what, size, &bench->plan, &results->all[results->count], &err);
	if (r < 0) {
		bench->failed = true;
		ur_report_error(err.text);
		return r;
	}
	if (!bench->options->json) {
		ur_bench_show(stdout, results->all[results->count]);
	}
	results->count++;
	return 0;
}

static int measure_growth(struct bench *bench, const struct ur_bench_case *what, uint64_t size)
{
	int r = 0;
	for (uint64_t files = 1000; files <= size && r == 0;) {
		r = measure(bench, what, files);
		/* 1,000 3,000 10,000 30,000 … */
		uint64_t decade = 1;
		while (decade * 10 <= files) {
			decade *= 10;
		}
		files = files == decade ? 3 * decade : 10 * decade;
	}
	return r;
}

static void run_cases(struct bench *bench)
{
	struct ur_err err = {0};
	for (const struct ur_bench_case *what = ur_bench_cases; what->name != NULL; what++) {
		uint64_t size = 0;
		if (!is_asked_for(bench, what) || ur_bench_signal() != 0) {
			continue;
		}
		if (size_of(bench, what, &size, &err) < 0) {
			bench->failed = true;
			ur_report_error(err.text);
		} else if (what->kind == UR_BENCH_GROWTH) {
			(void)measure_growth(bench, what, size);
		} else {
			(void)measure(bench, what, size);
		}
	}
}

static int save(const struct bench *bench, struct ur_err *err)
{
	const struct ur_cli_options *options = bench->options;
	int r = 0;
	if (options->save != NULL) {
		FILE *to = fopen(options->save, "we");
		if (to == NULL) {
			return ur_err_set(
				err, -errno, UR_FAULT_SETUP, "cannot write '%s'", options->save);
		}
		r = ur_bench_show_json(to, &bench->results, err);
		if (fclose(to) != 0 && r == 0) {
			r = ur_err_set(
				err, -errno, UR_FAULT_WORLD, "cannot write '%s'", options->save);
		}
	}
	if (r == 0 && options->json) {
		r = ur_bench_show_json(stdout, &bench->results, err);
	}
	if (r == 0 && options->plot != NULL) {
		r = ur_bench_plot(options->plot, &bench->results, err);
	}
	return r;
}

/* ---- what was asked for ---------------------------------------------------------------------- */

/** The options that lead to somebody's server; a bench only ever plans there. */
static int find_server(struct bench *bench, struct ur_err *err)
{
	const struct ur_cli_options *options = bench->options;
	const char *url = options->server != NULL ? options->server : getenv("IMMICH_URL");
	if (bench->stage.folder == NULL) {
		return options->server == NULL
			       ? 0
			       : ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
					 "--server goes with a folder of yours, which is planned and "
					 "never sent; without one, all is done on a server of the "
					 "bench's own");
	}
	if (url == NULL || url[0] == '\0') {
		return 0;
	}
	struct ur_text text = {0};
	ur_text_adds(&text, "--server ");
	ur_bench_quote(&text, url);
	if (options->key_file != NULL) {
		ur_text_adds(&text, " --key-file ");
		ur_bench_quote(&text, options->key_file);
	}
	if (options->cacert != NULL) {
		ur_text_adds(&text, " --cacert ");
		ur_bench_quote(&text, options->cacert);
	}
	bench->stage.server = ur_text_ok(&text) ? strdup(ur_text_get(&text)) : NULL;
	ur_text_done(&text);
	return bench->stage.server != NULL
		       ? 0
		       : ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot keep the options");
}

static int find_folder(struct bench *bench, struct ur_err *err)
{
	const struct ur_cli_options *options = bench->options;
	if (options->argument_count > 1) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP, "name one folder, not %d",
			options->argument_count);
	}
	if (options->argument_count == 0) {
		return 0;
	}
	/* No other way would be the same folder for every command. */
	bench->stage.folder = realpath(options->arguments[0], NULL);
	if (bench->stage.folder == NULL) {
		return ur_err_set(
			err, -errno, UR_FAULT_SETUP, "cannot use '%s'", options->arguments[0]);
	}
	if (options->cases != NULL) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"--cases are measured on libraries that the bench makes: leave the folder "
			"or the option away");
	}
	return 0;
}

static int check(struct bench *bench, struct ur_err *err)
{
	const struct ur_cli_options *options = bench->options;
	size_t size = 0;
	int r = check_names("cases", options->cases, err);
	if (r == 0) {
		r = check_names("size", options->sizes, err);
	}
	if (r == 0 && value_in(options->cases, "folder", &size) != NULL) {
		r = ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"the case 'folder' takes a folder: uringest bench FOLDER");
	}
	if (r == 0) {
		r = find_folder(bench, err);
	}
	return r < 0 ? r : find_server(bench, err);
}

static int run(struct bench *bench)
{
	struct ur_err err = {0};
	int r = check(bench, &err);
	if (r == 0) {
		r = ur_bench_stage_open(&bench->stage, bench->options->dir, &err);
	}
	if (r < 0) {
		ur_report_error(err.text);
		return UR_EXIT_USAGE;
	}
	if (!bench->options->json) {
		ur_bench_show_head(stdout, bench->plan.rounds);
	}
	run_cases(bench);
	if (!bench->options->json) {
		ur_bench_show_end(stdout, &bench->stage, &bench->results);
	}
	if (ur_bench_signal() != 0) {
		return 128 + ur_bench_signal();
	}
	if (save(bench, &err) < 0) {
		ur_report_error(err.text);
		return UR_EXIT_USAGE;
	}
	return bench->failed ? UR_EXIT_FAILED : UR_EXIT_WELL;
}

int ur_cmd_bench(const struct ur_cli_options *options)
{
	if (options->list) {
		return list_cases();
	}
	struct bench bench = {.options = options};
	bench.plan.rounds = (size_t)(options->rounds > 0 ? options->rounds
				     : options->quick    ? QUICK_ROUNDS
							 : ROUNDS);
	bench.plan.notes = true;
	bench.stage.quiet = options->quiet || options->json;
	bench.results.all = bench.all;
	bench.results.rounds = bench.plan.rounds;
	ur_bench_catch_signals();
	const int code = run(&bench);
	ur_bench_stage_close(&bench.stage);
	free((char *)bench.stage.folder);
	for (size_t i = 0; i < bench.results.count; i++) {
		bench.all[i] = ur_bench_result_free(bench.all[i]);
	}
	return code;
}
