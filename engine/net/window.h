/**
 * window - how far a sender may be ahead of the gateway's disk.
 *
 *     given ─────────── at most UR_WINDOW ───────────▶ durable, as URL/status says it
 *
 * Between a sender and the disk lie the buffers of two kernels and a proxy, many megabytes where the
 * disk is the slow one, and a gateway that ends loses them all.  So the sender asks, on a connection
 * of its own, to be told when enough is durable, and gives no more than the window in between.
 *
 *   Owner    embedded in its owner; the request is http's while ur_window_is_looking()
 *   Units    bytes; offsets of the upload
 *   Errors   a gateway without such a status is not waited for: the window is then without end;
 *            one that does not answer is asked again for ten seconds first
 *   Threads  http's
 *   Source   our own gateway: URL/status?durable=N answers when N bytes are durable, or nobody sends
 */
#ifndef UR_NET_WINDOW_H
#define UR_NET_WINDOW_H

#include "engine/net/http.h"

#define UR_WINDOW (7u << 20)

struct ur_window {
	/** There is room again, or the look that somebody waited for is over. */
	void (*moved)(struct ur_window *window);
	/* Its own. */
	struct ur_http *http;
	struct ur_request request;
	uint64_t given;
	uint64_t durable;
	unsigned misses;
	unsigned failures;
	int64_t again_ns; // steady: when it looks again after a failure, 0: there was none
	bool looking;
	bool blind; // nobody tells
	char url[1100];
};

/** `status` is the whole URL of the upload's status. */
void ur_window_open(
	struct ur_window *window, struct ur_http *http, const char *status, uint64_t offset);
/** Looks again where a look has failed; now and then while it is open. */
void ur_window_turn(struct ur_window *window, int64_t now_ns);
/** How many of `size` bytes may go now; 0: moved() will follow. */
size_t ur_window_room(struct ur_window *window, size_t size);
void ur_window_gave(struct ur_window *window, size_t size);
/** No more is asked; what is under way ends by itself. */
void ur_window_close(struct ur_window *window);
bool ur_window_is_looking(const struct ur_window *window);
void ur_window_done(struct ur_window *window);

#endif
