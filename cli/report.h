/**
 * report - the mouth: lines for people, or JSON; nothing else in the program prints.
 *
 * stdout carries results, stderr carries talk.  Control bytes in names never reach a terminal.
 *
 *   Threads  the event functions are called by one thread at a time (ur_run sees to that)
 */
#ifndef UR_CLI_REPORT_H
#define UR_CLI_REPORT_H

#include "engine/pipeline.h"

#include <stdio.h>

struct ur_report {
	bool json;
	bool quiet;
	bool verbose;
	bool plan;
	bool timer;    // a run like it comes in a few minutes: what was said is counted
	bool terminal; // stderr is one
	int64_t last_progress_ns;
	uint64_t last_sent;
	bool line_open;        // a progress line without its newline
	uint64_t waiting_told; // lines about files that wait: a few will do
};

void ur_report_init(struct ur_report *report, bool json, bool quiet, bool verbose, bool plan);
/* For struct ur_options: context is the report. */
void ur_report_event(void *context, const struct ur_event *event);
void ur_report_folder_error(void *context, const char *path, const char *why, bool told);
void ur_report_warn(void *context, const char *sentence);
/** At most twice a second on a terminal, every ten seconds elsewhere. */
void ur_report_progress(struct ur_report *report, const struct ur_summary *s);
void ur_report_summary(struct ur_report *report, const struct ur_summary *s, const char *command);
/** "uringest: sentence" on stderr, control bytes shown. */
void ur_report_error(const char *sentence);
/** Prints bytes as a terminal may see them. */
void ur_report_shown(FILE *to, const void *bytes, size_t size);
/** `"path":…` and, for bytes that are not UTF-8, `,"path_b64":…`. */
void ur_report_json_path(struct ur_text *text, const void *path, size_t size);

#endif
