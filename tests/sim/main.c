/*
 * main - seeds: a world each, and whether the promises were kept in it.
 *
 *     sim_NAME                    so many worlds as it has, as a test
 *     sim_NAME --count N          so many
 *     sim_NAME --seed N           this one, with all that happens; made small if it fails
 *
 * UR_SEED=N begins elsewhere, SIM_COUNT=N is as --count.
 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILURES_SHOWN 5

struct sim_world sim;
static uint64_t chance;

/* ---- chance ---------------------------------------------------------------------------------- */

uint64_t sim_random(void)
{
	chance += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t x = chance;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

unsigned sim_below(unsigned below)
{
	return (unsigned)(sim_random() % below);
}

bool sim_once_in(unsigned n)
{
	return sim_below(n) == 0;
}

bool sim_lies(enum sim_lie lie)
{
	return !sim.honest && (sim.plan.lies & 1u << lie) != 0 &&
	       (int)sim_below(1000) < sim.plan.per_mille;
}

void sim_break(const char *format, ...)
{
	va_list list;
	if (sim.broken[0] != '\0') {
		return;
	}
	va_start(list, format);
	(void)vsnprintf(sim.broken, sizeof sim.broken, format, list);
	va_end(list);
	sim_say("BROKEN: %s", sim.broken);
}

void sim_say(const char *format, ...)
{
	va_list list;
	if (!sim.verbose) {
		return;
	}
	(void)printf("# %9.3f  ", (double)sim_now() / 1e9);
	va_start(list, format);
	(void)vprintf(format, list);
	va_end(list);
	(void)putchar('\n');
}

/** What the server has before anybody comes. */
static void make_server(void)
{
	for (int i = 0; i < sim.plan.contents; i++) {
		struct sim_content *content = &sim_contents[i];
		if (sim_lies(LIE_OTHERS)) {
			content->row = content->stored = content->by_others = true;
		} else if (sim_lies(LIE_TRASH)) {
			content->row = content->stored = content->trashed = true;
		} else if (sim_lies(LIE_HALF)) {
			content->row = true;
		}
	}
}

void sim_pass_time(void)
{
	static const int64_t waits_s[] = {2, 30, 90, 600, 3700, 30000, 90000};
	for (int i = 0; i < sim.plan.contents; i++) {
		struct sim_content *content = &sim_contents[i];
		if (!content->row && content->storing_ns == 0 && sim_lies(LIE_OTHERS)) {
			content->row = content->stored = content->by_others = true;
		}
		if (content->row && sim_lies(LIE_TRASH)) {
			content->trashed = !content->trashed;
		}
	}
	sim_pass(waits_s[sim_below(7)] * UR_SECOND_NS);
	if (sim_once_in(6)) {
		sim_reboot();
	}
	if (sim_once_in(6)) {
		sim_step_wall(((int64_t)sim_below(200000) - 100000) * UR_SECOND_NS);
	}
}

void sim_begin(const struct sim_plan *plan)
{
	sim = (struct sim_world){.plan = *plan, .verbose = sim.verbose};
	chance = plan->seed ^ UINT64_C(0xabcdef);
	sim_clock_begin();
	sim_server_begin();
	make_server();
}

/* ---- a plan ----------------------------------------------------------------------------------- */

static struct sim_plan plan_of(uint64_t seed)
{
	chance = seed;
	struct sim_plan plan = {.seed = seed};
	plan.lies = (unsigned)(sim_random() & sim_random());
	plan.files = 1 + (int)sim_below(SIM_FILES);
	plan.contents = 1 + (int)sim_below(SIM_CONTENTS);
	plan.runs = 1 + (int)sim_below(SIM_RUNS);
	plan.per_mille = sim_once_in(3) ? 400 : 100;
	return plan;
}

/* ---- making it small ------------------------------------------------------------------------- */

static bool still_fails(const struct sim_plan *plan)
{
	return sim_live(plan)[0] != '\0';
}

/** Each number as small, and each lie told, as little as the failure needs. */
static struct sim_plan shrink(struct sim_plan plan)
{
	for (bool smaller = true; smaller;) {
		smaller = false;
		for (int lie = 0; lie < LIES; lie++) {
			struct sim_plan less = plan;
			less.lies &= ~(1u << lie);
			if (less.lies != plan.lies && still_fails(&less)) {
				plan = less;
				smaller = true;
			}
		}
		int *const numbers[] = {&plan.files, &plan.contents, &plan.runs};
		for (int n = 0; n < 3; n++) {
			while (*numbers[n] > 1) {
				--*numbers[n];
				if (!still_fails(&plan)) {
					++*numbers[n];
					break;
				}
				smaller = true;
			}
		}
		for (uint64_t other = 1; other < 200 && !smaller; other++) {
			struct sim_plan less = plan;
			less.seed = other;
			less.per_mille = 100;
			if ((plan.seed >= 200 || other < plan.seed) && still_fails(&less)) {
				plan = less;
				smaller = true;
			}
		}
	}
	return plan;
}

static void show(const struct sim_plan *plan)
{
	(void)printf("# seed %" PRIu64 ", made small: SIM_PLAN=%" PRIu64 ",%u,%d,%d,%d,%d\n",
		plan->seed, plan->seed, plan->lies, plan->files, plan->contents, plan->runs,
		plan->per_mille);
	sim.verbose = true;
	(void)sim_live(plan);
	sim.verbose = false;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

static bool read_plan(struct sim_plan *plan)
{
	const char *text = getenv("SIM_PLAN");
	return text != NULL &&
	       sscanf(text, "%" SCNu64 ",%u,%d,%d,%d,%d", &plan->seed, &plan->lies, &plan->files,
		       &plan->contents, &plan->runs, &plan->per_mille) == 6;
}

static int try_seed(uint64_t seed, bool explain)
{
	struct sim_plan plan = plan_of(seed);
	if (sim_live(&plan)[0] == '\0') {
		return 0;
	}
	(void)printf("# seed %" PRIu64 ": %s\n", seed, sim.broken);
	if (explain) {
		const struct sim_plan small = shrink(plan);
		show(&small);
	}
	(void)fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t first = number_of("UR_SEED", 1);
	uint64_t count = number_of("SIM_COUNT", sim_count);
	struct sim_plan plan;
	if (read_plan(&plan)) {
		show(&plan);
		return sim.broken[0] == '\0' ? 0 : 1;
	}
	if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
		first = strtoull(argv[2], NULL, 10);
		count = 1;
	} else if (argc == 3 && strcmp(argv[1], "--count") == 0) {
		count = strtoull(argv[2], NULL, 10);
	} else if (argc != 1) {
		(void)fprintf(stderr, "usage: %s [--seed N | --count N]\n", argv[0]);
		return 2;
	}
	int failures = 0;
	for (uint64_t seed = first; seed < first + count && failures < FAILURES_SHOWN; seed++) {
		failures += try_seed(seed, failures == 0);
	}
	(void)printf("1..1\n%sok 1 - the %s keeps its promises in %" PRIu64 " worlds\n",
		failures == 0 ? "" : "not ", sim_name, count);
	return failures == 0 ? 0 : 1;
}
