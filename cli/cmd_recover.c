/*
 * cmd_recover - puts back what interrupted runs left in staging folders, when their ledger is lost.
 *
 *     DIR/…/.uringest/LEDGER.TOKEN.MAC-NAME ──▶ DIR/…/NAME, or "NAME (2)"
 *
 * No ledger, no server: what a staged file was called can be read in its name.  Which folder below it
 * came from cannot, so it goes into the one that holds the staging folder.
 */
#include "cli/commands.h"

#include "engine/source/leftover.h"
#include "engine/source/rename.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recovering {
	const struct ur_cli_options *options;
	const char *folder; // that holds the staging folder being looked at
	unsigned back;
	unsigned copies;
	unsigned stuck; // files, and folders that we are kept out of
};

/** One line on stdout: what became of a staged file, and which. */
static void tell(const struct recovering *rec, const char *outcome, const char *staged,
	const char *name, const char *why)
{
	struct ur_text path = {0};
	struct ur_text line = {0};
	ur_text_addf(&path, "%s/%s", rec->folder, name);
	if (rec->options->json) {
		ur_text_adds(&line, "{\"event\":\"recover\",");
		ur_report_json_path(&line, ur_text_get(&path), path.size);
		ur_text_addf(&line, ",\"outcome\":\"%s\",\"staged\":", outcome);
		ur_text_add_json(&line, staged, strlen(staged));
		ur_text_adds(&line, ",\"reason\":");
		ur_text_add_json(&line, why, strlen(why));
		ur_text_adds(&line, "}\n");
		(void)fputs(ur_text_get(&line), stdout);
	} else if (!rec->options->quiet) {
		printf("%-9s ", outcome);
		ur_report_shown(stdout, ur_text_get(&path), path.size);
		(void)fputs(why[0] != '\0' ? ": " : "", stdout);
		ur_report_shown(stdout, why, strlen(why));
		(void)fputc('\n', stdout);
	}
	ur_text_done(&line);
	ur_text_done(&path);
}

static void complain(struct recovering *rec, const char *what, const char *name, const char *why)
{
	struct ur_text line = {0};
	rec->stuck++;
	ur_text_adds(&line, rec->folder);
	ur_text_addf(&line, "/%s%s%s: %s", what, name[0] != '\0' ? "/" : "", name, why);
	ur_report_error(ur_text_get(&line));
	ur_text_done(&line);
}

static int put_back(
	void *context, int parent, int staging, const char *staged, const struct ur_staged *what)
{
	struct recovering *rec = context;
	char name[UR_STAGED_NAME_MAX + 1];
	char words[128];
	if (what->kind == UR_STAGED_COPY) {
		rec->copies++;
		tell(rec, "copy", staged, what->name,
			"half or whole, of a move that was interrupted: its original was not removed and "
			"is the one to keep; this copy is left in " UR_STAGING);
		return 0;
	}
	if (rec->options->dry_run) {
		rec->back++;
		tell(rec, "staged", staged, what->name, "");
		return 0;
	}
	const int r = ur_rename_beside(NULL, staging, staged, parent, what->name, name);
	if (r < 0) {
		complain(rec, UR_STAGING, staged, strerror_r(-r, words, sizeof words));
		return 0;
	}
	rec->back++;
	tell(rec, "put back", staged, name,
		strcmp(name, what->name) == 0 ? "" : "its name was taken");
	return 0;
}

static int look_into(void *context, int folder, const char *path, const struct ur_listing *listing,
	bool has_staging)
{
	struct recovering *rec = context;
	char why[128];
	(void)listing;
	if (!has_staging) {
		return 0;
	}
	rec->folder = path;
	const int r = ur_leftover_each(folder, NULL, !rec->options->dry_run, put_back, rec);
	if (r < 0 && r != -ENOENT) {
		const char *words = ur_staging_say(r);
		(void)snprintf(why, sizeof why, "it %s", words == NULL ? "cannot be read" : words);
		complain(rec, UR_STAGING, "", why);
	}
	return 0;
}

/** The folder of that path; for a staging folder itself the one that holds it. */
static int recover_below(struct recovering *rec, const char *given, struct ur_err *err)
{
	char *path = realpath(given, NULL);
	if (path == NULL) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot open '%s'", given);
	}
	char *slash = strrchr(path, '/');
	if (strcmp(slash + 1, UR_STAGING) == 0) {
		slash[slash == path ? 1 : 0] = '\0';
	}
	const int fd = ur_sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? fd : ur_leftover_walk(fd, path, look_into, rec);
	if (r < 0) {
		r = ur_err_set(err, r, UR_FAULT_SETUP, "cannot look through '%s'", given);
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	free(path);
	return r;
}

int ur_cmd_recover(const struct ur_cli_options *options)
{
	struct recovering rec = {.options = options};
	struct ur_err err = {0};
	int r = 0;
	if (options->argument_count == 0) {
		ur_report_error("nothing to look through: name the folders");
		return UR_EXIT_USAGE;
	}
	for (int i = 0; i < options->argument_count && r == 0; i++) {
		r = recover_below(&rec, options->arguments[i], &err);
	}
	if (r < 0) {
		return ur_exit_of(r, &err);
	}
	if (!options->quiet && !options->json) {
		(void)fprintf(stderr, "uringest: %u files %s%s\n", rec.back,
			options->dry_run ? "stand in staging folders" : "put back",
			rec.stuck > 0 ? "; what could not be is named above" : "");
	}
	return rec.stuck > 0 ? UR_EXIT_FAILED : UR_EXIT_WELL;
}
