/*
 * uringest - bulk import and sync for Immich.  The map of the source tree:
 *
 *     cli/main      which command          cli/options   the table of options
 *     cli/cmd_*     one file a command     cli/connect   server, key, ledger: where they are found
 *     cli/configure the file of settings   cli/report    all that is said
 *     cli/bench/    the bench: cases (the table) ▶ measure ▶ show, plot; on a stage; by spawn
 *
 *     engine/pipeline      wires the stages; engine/run what they share, engine/item what flows
 *     engine/trouble       what did not arrive, and whether that is news
 *     engine/stage/        scan → probe → coordinator ⇄ upload, chunks, settle
 *     engine/import/coordinator/   every decision about a file: judge → ask → deliver → link, amend →
 *                          confirm → handover, and what they stand on (internal.h is its map)
 *     engine/immich/       put: what an answer means and what follows, for importer and gateway
 *     engine/gateway/      the receiving side: gateway is the loop, state all that it is; httpd → route
 *                          → gate (who), create (limits name), receive (line chore), status
 *       visit session      a request; what an upload needs while somebody cares for it
 *       resume sweep life  what a start finds; what is over goes; leave: the way out
 *       upstream           what Immich says of itself
 *       spool/             uploads on disk         delivery/        on to Immich, step by step
 *     engine/ledger/       what is remembered        engine/source/   files, staging, what may go
 *     engine/net/          http, Immich's language   engine/media/    hashes, kinds, dates, sidecars
 *     engine/sys/          system calls, rings       engine/base/     errors, memory, text, queues
 *
 *     fixtures/immichd     a server to import into   fixtures/mklib   a maker of libraries
 */
#include "cli/commands.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_MOST (4 << 20)   // larger ones are the kernel's again as soon as they are freed
#define BUFFERS_KEPT (16 << 20) // free memory that is kept for the next one

static const struct command {
	const char *name;
	unsigned bit;
	int (*run)(const struct ur_cli_options *options);
	const char *arguments;
	const char *what;
	const char *examples;
} commands[] = {
	{"import", UR_FOR_IMPORT, ur_cmd_import, "SOURCE…", "bring files and folders into Immich",
		"  uringest import ~/Pictures\n"
		"      what the server lacks is sent; run it again at any time, it goes on\n"
		"  uringest import --after delete /media/card\n"
		"      and removes each file once the server has given a byte of it back\n"
		"  find . -name '*.heic' -print0 | uringest import -0 --files-from -\n"},
	{"plan", UR_FOR_PLAN, ur_cmd_plan, "SOURCE…", "say what import would do, and send nothing",
		"  uringest plan ~/Pictures\n"
		"  uringest plan --json ~/Pictures | jq -r 'select(.state==\"wanted\").path'\n"},
	{"drain", UR_FOR_DRAIN, ur_cmd_drain, "",
		"empty the configured folders into Immich (for the timer)",
		"  uringest drain\n"
		"  uringest drain --config /etc/uringest/config.yaml --wait\n"},
	{"status", UR_FOR_STATUS, ur_cmd_status, "",
		"what is remembered: counts, the last runs, failures",
		"  uringest status\n"
		"  uringest status --failed\n"},
	{"explain", UR_FOR_EXPLAIN, ur_cmd_explain, "FILE…",
		"what happened to a file, and what comes next",
		"  uringest explain ~/Pictures/IMG_0001.HEIC\n"},
	{"retry", UR_FOR_RETRY, ur_cmd_retry, "[FILE…]", "let the next run look at failures again",
		"  uringest retry --failed\n"},
	{"accept", UR_FOR_ACCEPT, ur_cmd_accept, "FILE…",
		"what looks cut off is all there is: let it be sent and removed",
		"  uringest accept /srv/immich/import/DSC_0042.JPG\n"
		"      holds for the bytes that are there now; a file that changes waits again\n"},
	{"verify", UR_FOR_VERIFY, ur_cmd_verify, "",
		"ask the server again about everything delivered",
		"  uringest verify\n"
		"  uringest verify --resend-missing && uringest import ~/Pictures\n"},
	{"forget", UR_FOR_FORGET, ur_cmd_forget, "[FILE…]",
		"drop files from the ledger (never from disk)", "  uringest forget --missing\n"},
	{"recover", UR_FOR_RECOVER, ur_cmd_recover, "DIR…",
		"put back what interrupted runs left in .uringest folders, without a ledger",
		"  uringest recover --dry-run /media/card\n"
		"  uringest recover /media/card\n"
		"      each file goes beside the folder that it was staged in, under its own name or\n"
		"      one beside it; a run with its ledger puts files back where they were\n"},
	{"bench", UR_FOR_BENCH, ur_cmd_bench, "[FOLDER]",
		"how fast it is here, beside find, openssl, sha1sum, curl",
		"  uringest bench ~/Pictures\n"
		"      plans that folder against your server; nothing is sent\n"
		"  uringest bench --quick\n"
		"      on libraries and a server of its own, in two minutes\n"
		"  uringest bench --cases plan,import --size plan=50000 --save now.json\n"},
	{"serve", UR_FOR_SERVE, ur_cmd_serve, "",
		"resumable uploads for Immich, behind nginx (tus 1.0.0)",
		"  uringest serve --listen 127.0.0.1:8091 --spool /srv/uringest/spool \\\n"
		"                 --immich http://127.0.0.1:2283\n"
		"  uringest serve --listen 127.0.0.1:8091 --spool ~/spool --immich none "
		"--allow-anonymous\n"
		"      for trials without a server: finished uploads stay, GET gives them back\n"},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void usage(FILE *to)
{
	(void)fputs("usage: uringest COMMAND [OPTION…] [SOURCE…]\n\ncommands:\n", to);
	for (size_t i = 0; i < COMMANDS; i++) {
		(void)fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].what);
	}
	(void)fputs(
		"\n`uringest COMMAND --help` lists its options, with examples.\n"
		"Server and key: --server or $IMMICH_URL, --key-file or $IMMICH_API_KEY.\n"
		"Exit: 0 all well, 1 some media did not arrive or could not be taken away as asked\n"
		"      (drain says so when it is new and once a day after), 2 usage or set-up,\n"
		"      3 the server or its library is away,\n"
		"      4 ledger or folder locked, 130/143 stopped by a signal.\n",
		to);
}

static void help(const struct command *command)
{
	printf("usage: uringest %s [OPTION…] %s\n\n%s\n\n", command->name, command->arguments,
		command->what);
	ur_cli_options_help(command->bit);
	printf("\nexamples:\n%s", command->examples);
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return &commands[i];
		}
	}
	return NULL;
}

/**
 * Every request takes a buffer of some hundred KiB and gives it back.  Unless told, the C library
 * returns these to the kernel at once, and fetches the next one page by page.
 */
static void keep_buffers(void)
{
	(void)mallopt(M_TRIM_THRESHOLD, BUFFERS_KEPT);
	(void)mallopt(M_MMAP_THRESHOLD, BUFFER_MOST);
}

int main(int argc, char **argv)
{
	keep_buffers();
	if (argc < 2) {
		usage(stderr);
		return UR_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return UR_EXIT_WELL;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("uringest %s\n", UR_VERSION);
		return UR_EXIT_WELL;
	}
	const struct command *command = find(argv[1]);
	if (command == NULL) {
		struct ur_err err;
		(void)ur_err_say(&err, -1, UR_FAULT_SETUP,
			"'%s' is no command; `uringest --help` lists them", argv[1]);
		ur_report_error(err.text);
		return UR_EXIT_USAGE;
	}
	struct ur_cli_options options;
	struct ur_err err = {0};
	int code = UR_EXIT_USAGE;
	if (ur_cli_options_parse(command->bit, argc - 1, argv + 1, &options, &err) < 0) {
		ur_report_error(err.text);
	} else if (options.help) {
		help(command);
		code = UR_EXIT_WELL;
	} else {
		code = command->run(&options);
	}
	ur_cli_options_done(&options);
	if (fflush(stdout) != 0 || ferror(stdout)) { // a line long ago, or the last one
		ur_report_error("standard output could not be written");
		code = code == UR_EXIT_WELL ? UR_EXIT_FAILED : code;
	}
	return code;
}
