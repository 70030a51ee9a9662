/*
 * plot - CPU time of a file against the number of files, both axes logarithmic.
 *
 *     µs │╲
 *        │ ╲________ first plan         one line a command, its name at the line's end;
 *        │╲________                     colours follow what the reader's page looks like
 *        └──────────▶ files
 */
#include "cli/bench/show.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define WIDTH 780.0
#define HEIGHT 420.0
#define LEFT 64.0
#define RIGHT 196.0
#define TOP 48.0
#define BOTTOM 52.0

struct frame {
	double x_low; // logarithms to base ten
	double x_high;
	double y_low;
	double y_high;
};

static double x_of(const struct frame *f, double files)
{
	return LEFT + (log10(files) - f->x_low) / (f->x_high - f->x_low) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct frame *f, double cost)
{
	return HEIGHT - BOTTOM -
	       (log10(cost) - f->y_low) / (f->y_high - f->y_low) * (HEIGHT - TOP - BOTTOM);
}

/** Microseconds of CPU for one file; what could not be told from nothing is the clock's step. */
static double cost_of(const struct ur_bench_result *result, size_t runner)
{
	const double us = ur_bench_cpu(result, runner).median * 1e6 / (double)result->size;
	return us < 0.1 ? 0.1 : us;
}

static bool is_point(const struct ur_bench_result *result, size_t runner)
{
	return result->of->kind == UR_BENCH_GROWTH && result->why[0] == '\0' &&
	       result->series[runner].why[0] == '\0';
}

static const struct ur_bench_case *frame_of(
	const struct ur_bench_results *results, struct frame *ret)
{
	const struct ur_bench_case *what = NULL;
	double x[2] = {INFINITY, 0};
	double y[2] = {INFINITY, 0};
	for (size_t i = 0; i < results->count; i++) {
		const struct ur_bench_result *result = results->all[i];
		for (size_t k = 0; k < ur_bench_runner_count(result->of); k++) {
			if (!is_point(result, k)) {
				continue;
			}
			what = result->of;
			x[0] = fmin(x[0], (double)result->size);
			x[1] = fmax(x[1], (double)result->size);
			y[0] = fmin(y[0], cost_of(result, k));
			y[1] = fmax(y[1], cost_of(result, k));
		}
	}
	if (what != NULL) {
		*ret = (struct frame){floor(log10(x[0])), ceil(log10(x[1])), floor(log10(y[0])),
			ceil(log10(y[1]))};
		ret->x_high += ret->x_high <= ret->x_low ? 1 : 0;
		ret->y_high += ret->y_high <= ret->y_low ? 1 : 0;
	}
	return what;
}

static const char head[] =
	"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
	"aria-label=\"CPU time of a file against the number of files\">\n"
	"<style>\n"
	"svg { font: 13px system-ui, sans-serif; }\n"
	"text { fill: #24292f; } .soft { fill: #57606a; } .grid { stroke: #d8dee4; }\n"
	"path { fill: none; stroke-width: 2.5; }\n"
	".s0 { stroke: #0969da; } .s1 { stroke: #bc4c00; } .s2 { stroke: #1a7f37; }"
	" .s3 { stroke: #8250df; }\n"
	"circle { fill: #fff; stroke-width: 2; } .back { fill: #fff; }\n"
	"@media (prefers-color-scheme: dark) {\n"
	"text { fill: #e6edf3; } .soft { fill: #9198a1; } .grid { stroke: #30363d; }\n"
	".s0 { stroke: #58a6ff; } .s1 { stroke: #f0883e; } .s2 { stroke: #3fb950; }"
	" .s3 { stroke: #bc8cff; }\n"
	"circle { fill: #0d1117; } .back { fill: #0d1117; }\n"
	"}\n"
	"</style>\n"
	"<rect class=\"back\" width=\"%.0f\" height=\"%.0f\"/>\n";

/** The decades as people write them. */
static const char *const decades[] = {
	"1", "10", "100", "1,000", "10,000", "100,000", "1,000,000", "10,000,000"};
#define DECADES (int)(sizeof decades / sizeof *decades)

static void draw_grid(FILE *to, const struct frame *f)
{
	for (int at = (int)f->x_low; at <= (int)f->x_high; at++) {
		const double x = x_of(f, pow(10, at));
		(void)fprintf(to,
			"<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
			"<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
			x, x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 20,
			at >= 0 && at < DECADES ? decades[at] : "");
	}
	for (int at = (int)f->y_low; at <= (int)f->y_high; at++) {
		const double y = y_of(f, pow(10, at));
		(void)fprintf(to,
			"<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
			"<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, pow(10, at));
	}
	(void)fprintf(to,
		"<text x=\"%.1f\" y=\"24\">CPU time of a file, µs</text>\n"
		"<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">files</text>\n",
		LEFT - 40, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
}

static double draw_line(
	FILE *to, const struct frame *f, const struct ur_bench_results *results, size_t runner)
{
	char step = 'M';
	double end = 0;
	(void)fprintf(to, "<path class=\"s%zu\" d=\"", runner % 4);
	for (size_t i = 0; i < results->count; i++) {
		if (is_point(results->all[i], runner)) {
			end = y_of(f, cost_of(results->all[i], runner));
			(void)fprintf(to, "%c%.1f %.1f", step,
				x_of(f, (double)results->all[i]->size), end);
			step = 'L';
		}
	}
	(void)fputs("\"/>\n", to);
	for (size_t i = 0; i < results->count; i++) {
		if (is_point(results->all[i], runner)) {
			(void)fprintf(to,
				"<circle class=\"s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n",
				runner % 4, x_of(f, (double)results->all[i]->size),
				y_of(f, cost_of(results->all[i], runner)));
		}
	}
	return end;
}

struct label {
	double y;
	double cost;
	size_t runner;
};

/** Names beside the lines' ends, moved apart where lines end close to each other. */
static void draw_labels(
	FILE *to, const struct ur_bench_case *what, struct label *labels, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		for (size_t k = i; k > 0 && labels[k].y < labels[k - 1].y; k--) {
			const struct label other = labels[k];
			labels[k] = labels[k - 1];
			labels[k - 1] = other;
		}
	}
	for (size_t i = 1; i < count; i++) {
		labels[i].y = fmax(labels[i].y, labels[i - 1].y + 18);
	}
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(to,
			"<line class=\"s%zu\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
			"stroke-width=\"2.5\"/>\n"
			"<text x=\"%.1f\" y=\"%.1f\">%s <tspan class=\"soft\">%.3g</tspan></text>\n",
			labels[i].runner % 4, WIDTH - RIGHT + 8, WIDTH - RIGHT + 20, labels[i].y,
			labels[i].y, WIDTH - RIGHT + 25, labels[i].y + 4,
			what->runners[labels[i].runner].label, labels[i].cost);
	}
}

static void draw(FILE *to, const struct frame *f, const struct ur_bench_case *what,
	const struct ur_bench_results *results)
{
	struct label labels[UR_BENCH_RUNNERS_MAX];
	size_t count = 0;
	(void)fprintf(to, head, WIDTH, HEIGHT, WIDTH, HEIGHT);
	draw_grid(to, f);
	for (size_t k = 0; k < ur_bench_runner_count(what); k++) {
		double cost = 0;
		for (size_t i = 0; i < results->count; i++) {
			cost = is_point(results->all[i], k) ? cost_of(results->all[i], k) : cost;
		}
		if (cost > 0) {
			labels[count++] = (struct label){draw_line(to, f, results, k), cost, k};
		}
	}
	draw_labels(to, what, labels, count);
	(void)fputs("</svg>\n", to);
}

int ur_bench_plot(const char *path, const struct ur_bench_results *results, struct ur_err *err)
{
	struct frame frame;
	const struct ur_bench_case *what = frame_of(results, &frame);
	if (what == NULL) {
		return 0;
	}
	FILE *to = fopen(path, "we");
	if (to == NULL) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot write '%s'", path);
	}
	draw(to, &frame, what, results);
	const bool bad = ferror(to) != 0;
	if (fclose(to) != 0 || bad) {
		return ur_err_set(err, -EIO, UR_FAULT_WORLD, "cannot write '%s'", path);
	}
	return 0;
}
