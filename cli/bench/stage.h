/**
 * stage - what a bench runs on: a folder, libraries of pictures in it, a server, nginx before it.
 *
 *     DIR/tree-…         libraries, made once by mklib         DIR/tree-….list    their paths, NUL
 *     DIR/known-…        a server's data after an import       DIR/known-….db     the ledger of it
 *     DIR/server, ledger.db                                    fresh before each run that asks so
 *     DIR/nginx          configuration and certificate         DIR/said, out      of the last command
 *
 * immichd, mklib and the reference programs are looked for beside uringest itself.  The server
 * stays at one address; what it serves is a folder that can be changed.
 *
 *   Owner    ur_bench_stage_close() ends the servers and, unless it is to be kept, removes DIR
 *   Errors   a sentence that says what is missing
 *   Threads  one
 */
#ifndef UR_CLI_BENCH_STAGE_H
#define UR_CLI_BENCH_STAGE_H

#include "cli/bench/spawn.h"

#include "engine/base/text.h"

#include <stdbool.h>
#include <sys/types.h>

#define UR_BENCH_PATH 1024

/** What a library is made of; equal ones are made once. */
struct ur_bench_tree {
	uint64_t files;
	uint64_t bytes;   // of each file
	uint64_t per_dir; // files in a folder
	uint64_t film;    // not 0: one film of so many bytes instead
};

struct ur_bench_stage {
	char dir[UR_BENCH_PATH];
	char programs[UR_BENCH_PATH]; // the folder that uringest lies in
	bool keep;
	bool quiet;
	const char *folder; // somebody's own, instead of libraries
	char *server;       // options that lead to a server of somebody's, quoted; NULL: our own
	dev_t disk;
	/* our server */
	pid_t immichd;
	char serving[UR_BENCH_PATH]; // its data
	char url[64];
	int port;
	/* nginx */
	pid_t nginx;
	char tls[64];
	char plain[64];
};

/** What the server has been asked since it was started or last looked at. */
struct ur_bench_requests {
	uint64_t all;
	uint64_t uploads;
};

/** `dir` NULL: a new folder below $TMPDIR or /tmp, which goes when the stage is closed. */
[[nodiscard]] int ur_bench_stage_open(
	struct ur_bench_stage *stage, const char *dir, struct ur_err *err);
void ur_bench_stage_close(struct ur_bench_stage *stage);

/** The path of a library, which is made when it is not there; `ret` has UR_BENCH_PATH bytes. */
[[nodiscard]] int ur_bench_stage_tree(struct ur_bench_stage *stage,
	const struct ur_bench_tree *tree, char *ret, struct ur_err *err);
/** More pictures, that nobody knows, in the library at `path`. */
[[nodiscard]] int ur_bench_stage_add(
	struct ur_bench_stage *stage, const char *path, unsigned count, struct ur_err *err);
/** A server that holds the library at `path`, and the ledger (in `ret`) of the import of it. */
[[nodiscard]] int ur_bench_stage_known(
	struct ur_bench_stage *stage, const char *path, char *ret, struct ur_err *err);
/** A server that holds nothing: when `fresh` one that may be sent to, else one that never was. */
[[nodiscard]] int ur_bench_stage_server(
	struct ur_bench_stage *stage, bool fresh, struct ur_err *err);
/** nginx before our server, with TLS and without; needs ur_bench_stage_server(). */
[[nodiscard]] int ur_bench_stage_nginx(struct ur_bench_stage *stage, struct ur_err *err);
/** A ledger without a row; its path in `ret`. */
void ur_bench_stage_ledger(struct ur_bench_stage *stage, char *ret);
/** Zeros where the server is not ours. */
[[nodiscard]] int ur_bench_stage_requests(
	struct ur_bench_stage *stage, struct ur_bench_requests *ret, struct ur_err *err);
/** Empties the page cache; -EACCES or -EPERM where we may not. */
[[nodiscard]] int ur_bench_stage_drop_caches(void);

/** A command of the stage's own, in a shell, out of the measurement. */
[[nodiscard]] int ur_bench_stage_run(
	struct ur_bench_stage *stage, const char *command, struct ur_err *err);
void ur_bench_stage_said(const struct ur_bench_stage *stage, char *ret);
void ur_bench_stage_out(const struct ur_bench_stage *stage, char *ret);
/** Whether `name`, a program, is in $PATH, or, with a slash, can be run. */
bool ur_bench_have(const char *name);
/** Adds a word as a shell reads it. */
void ur_bench_quote(struct ur_text *text, const char *word);

#endif
