/**
 * measure - a case, its commands run in turns, and what comes out of it.
 *
 *     round 1   uringest  find  walk          the commands take turns, so that a noisy machine is
 *     round 2   uringest  find  walk          noisy for all of them; a claim is computed in each
 *     round 3   uringest  find  walk          round and then the median taken
 *
 * The cases are a table (cases.c); a new line there is a new case.
 *
 *   Owner    ur_bench_result_free() frees a result; cases are constant
 *   Units    seconds of wall and CPU (user + sys), KiB
 *   Errors   a case that cannot run here is a result with `why`; an error is what failed
 *   Threads  one
 */
#ifndef UR_CLI_BENCH_MEASURE_H
#define UR_CLI_BENCH_MEASURE_H

#include "cli/bench/stage.h"

#define UR_BENCH_RUNNERS_MAX 8
#define UR_BENCH_CLAIMS_MAX 6
#define UR_BENCH_ROUNDS_MAX 99
#define UR_BENCH_NOBODY (-1)

/** What happens before a command runs, outside the measurement. */
enum ur_bench_before {
	UR_BENCH_COLD = 1,          // the page cache is emptied
	UR_BENCH_NEW_LEDGER = 2,    // {ledger} is new
	UR_BENCH_NEW_SERVER = 4,    // … and the server holds nothing
	UR_BENCH_KNOWN = 8,         // server and {ledger} are those of an import of {tree}
	UR_BENCH_ADD = 16,          // … and UR_BENCH_ADDED pictures more lie in {tree}
	UR_BENCH_EMPTY_SERVER = 32, // a server that holds nothing, and is sent nothing
	UR_BENCH_NGINX = 64,        // nginx before the server, as {tls} and {plain}
};
#define UR_BENCH_ADDED 100u

struct ur_bench_runner {
	const char *label; // in claims and in the table
	const char *
		command; // {uringest} {reference} {scan_bench} {tree} {list} {film} {ledger} {server} {url} …
	unsigned before;
	unsigned folders;  // the files lie in so many folders; 0: a hundred files in each
	const char *needs; // a program; "$NAME": the one that the environment variable names
};

enum ur_bench_metric {
	UR_BENCH_WALL,       // ours / theirs
	UR_BENCH_CPU,        // ours / theirs
	UR_BENCH_CPU_BEYOND, // (ours - without) / theirs
	UR_BENCH_WALL_MORE,  // ours - theirs, seconds
	UR_BENCH_CPU_MORE,   // (ours - theirs) / files, milliseconds
	UR_BENCH_PEAK,       // ours, MiB
	UR_BENCH_REQUESTS,   // ours, without uploads
};

struct ur_bench_claim {
	const char *text;
	enum ur_bench_metric metric;
	int ours; // indexes of runners
	int theirs;
	int without;
	double at_most;   // 0: told, not judged
	const char *hash; // counts only where this way of hashing is; NULL: everywhere
};

enum ur_bench_kind {
	UR_BENCH_PLAIN,
	UR_BENCH_SCAN,   // its first runner is a cold scan: few requests in flight are a defect
	UR_BENCH_GROWTH, // each runner on 1,000, 3,000, 10,000 … files, for the plot
	UR_BENCH_FILM,   // its size is the bytes of one film
	UR_BENCH_OWN,    // somebody's folder, whatever is in it
};

struct ur_bench_case {
	const char *name;
	const char *what;
	enum ur_bench_kind kind;
	uint64_t size;       // files, or bytes of a film
	uint64_t quick_size; // … with --quick
	uint64_t bytes;      // of a file
	struct ur_bench_runner runners[UR_BENCH_RUNNERS_MAX];
	struct ur_bench_claim claims[UR_BENCH_CLAIMS_MAX];
};

/** Ends with an entry without a name. */
extern const struct ur_bench_case ur_bench_cases[];

struct ur_bench_sample {
	struct ur_bench_used used;
	struct ur_bench_requests asked;
};

struct ur_bench_spread {
	double median;
	double low;
	double high;
};

struct ur_bench_series {
	char *command; // as a shell takes it
	char why[160]; // not empty: it did not run
	struct ur_bench_sample samples[UR_BENCH_ROUNDS_MAX];
};

/** What the first runner's own counters and strace say; negative: not measured. */
struct ur_bench_notes {
	double system_calls; // a file
	double ring_ops;     // a file
	double in_flight;    // median of the files (engine) or requests at the disk
	bool in_flight_at_disk;
	double bytes_read; // per byte hashed
};

struct ur_bench_result {
	const struct ur_bench_case *of;
	uint64_t size;
	size_t rounds;
	char why[512]; // not empty: it did not run
	struct ur_bench_series series[UR_BENCH_RUNNERS_MAX];
	bool noted;
	struct ur_bench_notes notes;
};

struct ur_bench_plan {
	size_t rounds;
	bool notes; // count system calls and the like, in runs of their own
};

[[nodiscard]] int ur_bench_measure(struct ur_bench_stage *stage, const struct ur_bench_case *what,
	uint64_t size, const struct ur_bench_plan *plan, struct ur_bench_result **ret,
	struct ur_err *err);
struct ur_bench_result *ur_bench_result_free(struct ur_bench_result *result);

size_t ur_bench_runner_count(const struct ur_bench_case *what);
struct ur_bench_spread ur_bench_wall(const struct ur_bench_result *result, size_t runner);
struct ur_bench_spread ur_bench_cpu(const struct ur_bench_result *result, size_t runner);
struct ur_bench_spread ur_bench_peak_kib(const struct ur_bench_result *result, size_t runner);
/** False when one of the claim's commands did not run, or it is not for this processor. */
bool ur_bench_claim_value(const struct ur_bench_result *result, const struct ur_bench_claim *claim,
	struct ur_bench_spread *ret);

#endif
