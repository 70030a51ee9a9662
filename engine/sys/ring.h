/**
 * ring - reads, opens and closes in flight, whatever the kernel allows.
 *
 *     ur_ring_read(ring, &op, …) ─▶ submit ─▶ kernel ─▶ reap ─▶ op.done(&op), from ur_ring_run()
 *
 * Two bodies behind one interface: io_uring, and `ring_sync`, which makes ordinary system calls
 * through `ur_sys` at the moment of the request.  Completions are first collected, then run from
 * the loop, so no callback ever runs inside a submit.  Short reads are normal and handled here:
 * a read completes with everything that was asked for, or at the end of the file.
 *
 *   Owner    from the request to its done() the op, its buffer and its path belong to the ring
 *   Units    sizes and offsets in bytes; op.result is what the call returned, or a negative errno
 *   Errors   requests never fail by themselves: a ring that is full reaps first
 *   Threads  made, used and freed on one thread (SINGLE_ISSUER)
 *   Source   io_uring_setup(2); Docker's default seccomp profile answers EPERM, so does
 *            kernel.io_uring_disabled: both lead to `ring_sync` under UR_RING_AUTO
 */
#ifndef UR_SYS_RING_H
#define UR_SYS_RING_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UR_RING_ENTRIES_MAX 4096u
#define UR_RING_BLOCK 4096u

enum ur_ring_kind {
	UR_RING_AUTO,  // io_uring, else system calls
	UR_RING_URING, // io_uring or an error
	UR_RING_SYNC,  // system calls
};

struct ur_op {
	void (*done)(struct ur_op *op);
	int64_t result;
	/* The ring's own, from request to done. */
	struct ur_op *next;
	void *buffer;
	size_t size;
	size_t got;
	uint64_t offset;
	int fd;
	int what;
};

struct ur_ring;

/** `entries` bounds what is in flight; a power of two up to UR_RING_ENTRIES_MAX. */
[[nodiscard]] int ur_ring_new(
	enum ur_ring_kind kind, unsigned entries, struct ur_ring **ret, struct ur_err *err);
/** Nothing may be in flight. */
struct ur_ring *ur_ring_free(struct ur_ring *ring);

void ur_ring_open(struct ur_ring *ring, struct ur_op *op, int dir, const char *path, int flags);
void ur_ring_read(
	struct ur_ring *ring, struct ur_op *op, int fd, void *buffer, size_t size, uint64_t offset);
/**
 * Memory that direct reads go to: the kernel looks its pages up once and not for each read.  Once for
 * a ring; the memory must outlive it.  -ENOMEM where RLIMIT_MEMLOCK does not allow it (it is pinned):
 * the reads work without.
 */
int ur_ring_register(struct ur_ring *ring, void *memory, size_t size);
/**
 * One read and no second one, for a descriptor that reads past the page cache: size, offset and
 * buffer are multiples of UR_RING_BLOCK, and a short answer is the answer.
 */
void ur_ring_read_direct(
	struct ur_ring *ring, struct ur_op *op, int fd, void *buffer, size_t size, uint64_t offset);
void ur_ring_close(struct ur_ring *ring, struct ur_op *op, int fd);

/**
 * Submits what was asked for and runs the done() of what has completed; waits up to timeout_ms for
 * the first completion or for wake_fd to become readable (-1: none).  Returns the number of done()
 * that ran.
 */
size_t ur_ring_run(struct ur_ring *ring, int wake_fd, int timeout_ms);
size_t ur_ring_in_flight(const struct ur_ring *ring);
/** How many requests it has had. */
uint64_t ur_ring_ops(const struct ur_ring *ring);
/**
 * A descriptor that is signalled with completions, for somebody else's epoll, which watches it for
 * edges: ur_ring_run() that does not wait leaves it as it is.  -1 if none.
 */
int ur_ring_fd(const struct ur_ring *ring);
/** "io_uring (DEFER_TASKRUN)" or "system calls (io_uring: Operation not permitted)". */
const char *ur_ring_about(const struct ur_ring *ring);

/* Between ring.c and ring_sync.c. */
enum {
	UR_RING_OPEN,
	UR_RING_READ,
	UR_RING_READ_DIRECT,
	UR_RING_CLOSE
};
/** Carries `op` out at once through ur_sys; op->result is set, done() is not called. */
void ur_ring_sync_now(struct ur_op *op);

#endif
