/**
 * pipeline - one run from the sources to the summary; the only module that knows all stages.
 *
 *     scan ─▶ probe × n ─▶ decide (the caller's thread) ⇄ upload (on http's thread), settle
 *
 *   Owner    the options stay the caller's and outlive the pipeline
 *   Errors   of new():  -EWOULDBLOCK the ledger or a folder is locked, -ECONNREFUSED … the server is
 *            away, SETUP faults for what the user can mend
 *            of run():  0 when everything was looked at (files may have failed: see the summary),
 *            -EHOSTUNREACH the server stayed away, -ECANCELED stopped, else what ended the run
 *   Threads  stop() and counts() from any thread
 */
#ifndef UR_PIPELINE_H
#define UR_PIPELINE_H

#include "engine/run.h"

struct ur_pipeline;

struct ur_summary {
	uint64_t found; // the sum of the six below
	uint64_t sent;
	uint64_t present;
	uint64_t duplicate;
	uint64_t refused;
	uint64_t failed;
	uint64_t waiting;
	uint64_t kept;     // of all these: should have been taken away, and could not be proved
	uint64_t troubles; // files and folders: all that did not arrive, or go, as asked …
	uint64_t troubles_fresh; // … those of them that no earlier run of a timer knew
	bool trouble_due;        // … and that a timer is to say so: see trouble.h
	uint64_t folder_errors;
	uint64_t
		junk; // files and folders left out as the usual junk; what lies in them is not counted
	uint64_t held;      // of those sent and waiting: until somebody does something about them
	uint64_t unquiet;   // may go without a lease when they have been unchanged for longer …
	int64_t unquiet_ms; // … the last of them in so long
	uint64_t stranded;  // see run.h
	uint64_t bytes_found;
	uint64_t bytes_sent;
	uint64_t bytes_hashed;
	uint64_t bytes_read; // of files, for hashing and for looking at them
	uint64_t ring_ops;   // of reading; known at the end
	unsigned in_flight_median;
	uint64_t requests;
	unsigned concurrency; // uploads at once that the server was last found to like
	double seconds;
	bool scanned; // nothing more will be found
};

[[nodiscard]] int ur_pipeline_new(
	const struct ur_options *options, struct ur_pipeline **ret, struct ur_err *err);
[[nodiscard]] int ur_pipeline_run(struct ur_pipeline *pipeline, struct ur_err *err);
void ur_pipeline_stop(struct ur_pipeline *pipeline);
void ur_pipeline_counts(struct ur_pipeline *pipeline, struct ur_summary *ret);
const struct ur_server *ur_pipeline_server(const struct ur_pipeline *pipeline);
/** "io_uring (DEFER_TASKRUN)" or why not. */
const char *ur_pipeline_ring(const struct ur_pipeline *pipeline);
struct ur_pipeline *ur_pipeline_free(struct ur_pipeline *pipeline);

#endif
