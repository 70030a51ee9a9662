/**
 * crew - threads that may block on the disk, so that the loop never does.
 *
 *     loop ──submit──▶ [jobs] ──job.run()──▶ a thread of the crew ──post──▶ job.done(), on the loop
 *
 *   Owner    a job is embedded in its owner and is the crew's from submit to done()
 *   Threads  submit on any thread; run() on one of the crew; done() on the loop's
 */
#ifndef UR_GATEWAY_CREW_H
#define UR_GATEWAY_CREW_H

#include "engine/base/err.h"
#include "engine/net/httpd.h"

#define UR_CREW_THREADS_MAX 16u

struct ur_crew;

struct ur_job {
	void (*run)(struct ur_job *job);
	void (*done)(struct ur_job *job);
	/* The crew's. */
	struct ur_post post;
	struct ur_job *next;
};

[[nodiscard]] int ur_crew_new(
	struct ur_httpd *httpd, unsigned threads, struct ur_crew **ret, struct ur_err *err);
/** Lets every submitted job run; those that are done after the loop has ended are not told so. */
struct ur_crew *ur_crew_free(struct ur_crew *crew);
void ur_crew_submit(struct ur_crew *crew, struct ur_job *job);

#endif
