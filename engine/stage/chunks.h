/**
 * chunks - sends large files in pieces, to a gateway that keeps what has arrived.
 *
 *     decide ─▶ in ─▶ [OPTIONS, once] ─▶ [slot: a transfer] × slots ─▶ out ─▶ decide
 *                ▲                              │ an address to be recorded
 *                └──────── decide ◀─────────────┘
 *
 * The decisions are net/transfer's; here are its disk, its requests and its timers.  Another guest
 * on http's thread, with a ring of its own.  Each chunk is read twice: once for its checksum (and
 * for XXH3-128 of the whole file), once on its way; the second time comes from the page cache.  The
 * last buffer of a chunk is held back until its bytes are those that were hashed, and that of the
 * file until the file is the one that was probed.
 *
 *   Owner    an item is chunks' from push to `in` until it comes out; while its address is being
 *            recorded it is decide's, which must push it to `in` again, whatever happened
 *   Errors   none of its own: file.resume says how it ended, and file.send_… in which words
 *   Threads  http's; resume->offset may be read from any thread
 *   Source   tus 1.0.0
 */
#ifndef UR_STAGE_CHUNKS_H
#define UR_STAGE_CHUNKS_H

#include "engine/base/queue.h"
#include "engine/run.h"

#define UR_CHUNKS_SLOTS_MAX 8u

struct ur_chunks;

struct ur_chunks_wiring {
	struct ur_queue *in;
	struct ur_queue *out;
	struct ur_bell *out_bell;
};

[[nodiscard]] int ur_chunks_new(struct ur_run *run, const struct ur_chunks_wiring *wiring,
	struct ur_chunks **ret, struct ur_err *err);
struct ur_http_guest ur_chunks_guest(struct ur_chunks *chunks);
void ur_chunks_attach(struct ur_chunks *chunks, struct ur_http *http);
/** After http is gone. */
struct ur_chunks *ur_chunks_free(struct ur_chunks *chunks);
/** How many large files may be on their way at once. */
unsigned ur_chunks_slots(const struct ur_options *options);

#endif
