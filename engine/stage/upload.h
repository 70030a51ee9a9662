/**
 * upload - sends one file of an item at a time, as one streamed multipart request.
 *
 *     decide ─▶ in ─▶ [slot: sidecar → open → read ⇄ request → answer] × concurrency ─▶ out ─▶ decide
 *
 * A guest on http's thread: its ring's completions and curl's sockets are waited for together, so
 * that curl's read callback never touches the disk.  XXH3-128 runs over the bytes on their way; the
 * last buffer is held back until it and an fstat agree with probe.  Otherwise the connection is
 * broken off, which leaves nothing on the server.
 *
 *   Owner    an item is upload's from push to `in` until it comes out
 *   Errors   none of its own: what happened is in the file's send_… fields
 *   Threads  http's
 */
#ifndef UR_STAGE_UPLOAD_H
#define UR_STAGE_UPLOAD_H

#include "engine/base/queue.h"
#include "engine/run.h"

#define UR_UPLOAD_SLOTS_MAX 64u

struct ur_upload;

struct ur_upload_wiring {
	struct ur_queue *in;
	struct ur_queue *out;
	struct ur_bell *out_bell;
};

[[nodiscard]] int ur_upload_new(struct ur_run *run, const struct ur_upload_wiring *wiring,
	struct ur_upload **ret, struct ur_err *err);
/** What http has to run; hand it to ur_http_new(), then the http back by ur_upload_attach(). */
struct ur_http_guest ur_upload_guest(struct ur_upload *upload);
void ur_upload_attach(struct ur_upload *upload, struct ur_http *http);
/** After http is gone. */
struct ur_upload *ur_upload_free(struct ur_upload *upload);
/** How many may be in flight now, as the pace has found so far; at most the user's limit. */
unsigned ur_upload_limit(const struct ur_upload *upload);

#endif
