/**
 * show - the results of a bench: a table for people, JSON for bench/compare, a picture.
 *
 *   Owner    results stay the caller's
 *   Errors   a sentence when a file cannot be written
 *   Threads  one
 */
#ifndef UR_CLI_BENCH_SHOW_H
#define UR_CLI_BENCH_SHOW_H

#include "cli/bench/measure.h"

#include <stdio.h>

struct ur_bench_results {
	struct ur_bench_result **all;
	size_t count;
	size_t rounds;
};

/** Machine, kernel, how to read what follows. */
void ur_bench_show_head(FILE *to, size_t rounds);
void ur_bench_show(FILE *to, const struct ur_bench_result *result);
/** How many targets are met; then how to set up again what the commands need. */
void ur_bench_show_end(
	FILE *to, const struct ur_bench_stage *stage, const struct ur_bench_results *results);
[[nodiscard]] int ur_bench_show_json(
	FILE *to, const struct ur_bench_results *results, struct ur_err *err);
/** An SVG of the results of UR_BENCH_GROWTH; 0 also when there are none, and no file then. */
[[nodiscard]] int ur_bench_plot(
	const char *path, const struct ur_bench_results *results, struct ur_err *err);

#endif
