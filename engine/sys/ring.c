/*
 * ring - io_uring, one ring a thread.
 *
 *     asked ──▶ [SQ] ──submit──▶ kernel ──▶ [CQ] ──reap──▶ finished list ──▶ done(), in the loop
 *
 * With DEFER_TASKRUN completions are produced only while this thread waits in the kernel, so the
 * loop always enters with GETEVENTS.  What does not fit into the submission queue is submitted
 * first.
 */
#include "engine/sys/ring.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAP_BATCH 64u
#define READ_MAX (1u << 30) // the kernel cuts a read at 2 GiB less a page

struct ur_ring {
	bool uring;
	struct io_uring io;
	int event_fd;      // signalled with completions; also how a poll outside sees us
	size_t in_flight;  // asked for and not yet done()
	uint64_t ops;      // asked for
	const char *fixed; // registered memory, NULL: none
	size_t fixed_size;
	struct ur_op *finished; // completed, done() still to run, in order
	struct ur_op **finished_end;
	char about[160];
};

static int try_setup(struct ur_ring *ring, unsigned entries)
{
	static const struct {
		unsigned flags;
		const char *name;
	} ways[] = {
		{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
			"DEFER_TASKRUN"},
		{IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL, "COOP_TASKRUN"},
		{0, "plain"},
	};
	int r = -ENOSYS;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		r = io_uring_queue_init(entries, &ring->io, ways[i].flags);
		if (r == 0) {
			(void)snprintf(
				ring->about, sizeof ring->about, "io_uring (%s)", ways[i].name);
			return 0;
		}
		if (r != -EINVAL) {
			return r;
		}
	}
	return r;
}

static int setup_uring(struct ur_ring *ring, unsigned entries)
{
	int r = try_setup(ring, entries);
	if (r < 0) {
		return r;
	}
	ring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = ring->event_fd < 0 ? -errno : io_uring_register_eventfd(&ring->io, ring->event_fd);
	if (r < 0) {
		io_uring_queue_exit(&ring->io);
		return r;
	}
	ring->uring = true;
	return 0;
}

int ur_ring_new(enum ur_ring_kind kind, unsigned entries, struct ur_ring **ret, struct ur_err *err)
{
	assert(entries > 0 && entries <= UR_RING_ENTRIES_MAX);
	struct ur_ring *ring = calloc(1, sizeof *ring);
	if (ring == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot make a ring");
	}
	ring->event_fd = -1;
	ring->finished_end = &ring->finished;
	const int r = kind == UR_RING_SYNC ? -ECANCELED : setup_uring(ring, entries);
	if (r < 0 && kind == UR_RING_URING) {
		(void)ur_ring_free(ring);
		return ur_err_set(err, r, UR_FAULT_SETUP,
			"io_uring is not to be had here; use --ring=auto or --ring=sync");
	}
	if (r < 0) {
		const char *why = kind == UR_RING_SYNC ? "as asked" : strerror(-r);
		(void)snprintf(ring->about, sizeof ring->about, "system calls (io_uring: %s)", why);
	}
	*ret = ring;
	return 0;
}

struct ur_ring *ur_ring_free(struct ur_ring *ring)
{
	if (ring == NULL) {
		return NULL;
	}
	assert(ring->in_flight == 0);
	if (ring->uring) {
		io_uring_queue_exit(&ring->io);
	}
	if (ring->event_fd >= 0) {
		(void)close(ring->event_fd);
	}
	free(ring);
	return NULL;
}

/** Puts a completed op where the loop will find it. */
static void finish(struct ur_ring *ring, struct ur_op *op)
{
	op->next = NULL;
	*ring->finished_end = op;
	ring->finished_end = &op->next;
}

static bool is_fixed(const struct ur_ring *ring, const struct ur_op *op)
{
	const char *bytes = op->buffer;
	return ring->fixed != NULL && bytes >= ring->fixed &&
	       bytes + op->size <= ring->fixed + ring->fixed_size;
}

static void prepare(struct ur_ring *ring, struct ur_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);
	while (sqe == NULL) {
		const int r = io_uring_submit(&ring->io);
		assert(r >= 0 || r == -EAGAIN || r == -EBUSY || r == -EINTR);
		sqe = io_uring_get_sqe(&ring->io);
	}
	switch (op->what) {
	case UR_RING_OPEN:
		io_uring_prep_openat(sqe, op->fd, op->buffer, (int)op->size, 0);
		break;
	case UR_RING_READ_DIRECT:
		if (is_fixed(ring, op)) {
			io_uring_prep_read_fixed(
				sqe, op->fd, op->buffer, (unsigned)op->size, op->offset, 0);
		} else {
			io_uring_prep_read(sqe, op->fd, op->buffer, (unsigned)op->size, op->offset);
		}
		break;
	case UR_RING_READ: {
		const size_t left = op->size - op->got;
		io_uring_prep_read(sqe, op->fd, (char *)op->buffer + op->got,
			(unsigned)(left > READ_MAX ? READ_MAX : left), op->offset + op->got);
		break;
	}
	case UR_RING_CLOSE:
		io_uring_prep_close(sqe, op->fd);
		break;
	}
	io_uring_sqe_set_data(sqe, op);
}

static void ask(struct ur_ring *ring, struct ur_op *op)
{
	assert(op->done != NULL);
	ring->in_flight++;
	ring->ops++;
	op->got = 0;
	op->result = 0;
	if (ring->uring) {
		prepare(ring, op);
	} else {
		ur_ring_sync_now(op);
		finish(ring, op);
	}
}

void ur_ring_open(struct ur_ring *ring, struct ur_op *op, int dir, const char *path, int flags)
{
	op->what = UR_RING_OPEN;
	op->fd = dir;
	op->buffer = (void *)path; // only read
	op->size = (size_t)(flags | 02000000 /* O_CLOEXEC */);
	ask(ring, op);
}

static void ask_read(struct ur_ring *ring, struct ur_op *op, int what, int fd, void *buffer,
	size_t size, uint64_t offset)
{
	op->what = what;
	op->fd = fd;
	op->buffer = buffer;
	op->size = size;
	op->offset = offset;
	ask(ring, op);
}

void ur_ring_read(
	struct ur_ring *ring, struct ur_op *op, int fd, void *buffer, size_t size, uint64_t offset)
{
	ask_read(ring, op, UR_RING_READ, fd, buffer, size, offset);
}

int ur_ring_register(struct ur_ring *ring, void *memory, size_t size)
{
	const struct iovec all = {memory, size};
	const int r = ring->uring ? io_uring_register_buffers(&ring->io, &all, 1) : -EOPNOTSUPP;
	if (r == 0) {
		ring->fixed = memory;
		ring->fixed_size = size;
	}
	return r;
}

void ur_ring_read_direct(
	struct ur_ring *ring, struct ur_op *op, int fd, void *buffer, size_t size, uint64_t offset)
{
	assert(size % UR_RING_BLOCK == 0 && offset % UR_RING_BLOCK == 0);
	assert((uintptr_t)buffer % UR_RING_BLOCK == 0);
	ask_read(ring, op, UR_RING_READ_DIRECT, fd, buffer, size, offset);
}

void ur_ring_close(struct ur_ring *ring, struct ur_op *op, int fd)
{
	ur_fd_gone();
	op->what = UR_RING_CLOSE;
	op->fd = fd;
	op->buffer = NULL;
	op->size = 0;
	ask(ring, op);
}

/** One completion: a read that came back short goes in again, everything else is finished. */
static void complete(struct ur_ring *ring, struct ur_op *op, int result)
{
	if (result == -EINTR || result == -EAGAIN) {
		prepare(ring, op);
		return;
	}
	if (op->what == UR_RING_READ && result > 0) {
		op->got += (size_t)result;
		if (op->got < op->size) {
			prepare(ring, op);
			return;
		}
	}
	if (op->what == UR_RING_OPEN) {
		ur_fd_new();
	}
	op->result = op->what == UR_RING_READ && result >= 0 ? (int64_t)op->got : result;
	finish(ring, op);
}

static void reap(struct ur_ring *ring)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	for (;;) {
		const unsigned count = io_uring_peek_batch_cqe(&ring->io, cqes, REAP_BATCH);
		struct ur_op *ops[REAP_BATCH];
		int results[REAP_BATCH];
		for (unsigned i = 0; i < count; i++) {
			ops[i] = io_uring_cqe_get_data(cqes[i]);
			results[i] = cqes[i]->res;
		}
		io_uring_cq_advance(&ring->io, count);
		for (unsigned i = 0; i < count; i++) {
			complete(ring, ops[i], results[i]);
		}
		if (count < REAP_BATCH) {
			return;
		}
	}
}

static size_t run_finished(struct ur_ring *ring)
{
	size_t count = 0;
	struct ur_op *op = ring->finished;
	ring->finished = NULL;
	ring->finished_end = &ring->finished;
	while (op != NULL) {
		struct ur_op *next = op->next;
		ring->in_flight--;
		op->done(op);
		op = next;
		count++;
	}
	return count;
}

static void wait_for(struct ur_ring *ring, int wake_fd, int timeout_ms)
{
	struct pollfd fds[2] = {
		{.fd = ring->event_fd, .events = POLLIN},
		{.fd = wake_fd, .events = POLLIN},
	};
	(void)poll(fds, 2, timeout_ms);
}

size_t ur_ring_run(struct ur_ring *ring, int wake_fd, int timeout_ms)
{
	if (!ring->uring) {
		if (ring->finished == NULL && timeout_ms != 0) {
			wait_for(ring, wake_fd, timeout_ms);
		}
		return run_finished(ring);
	}
	uint64_t count = 0;
	if (timeout_ms != 0) {
		(void)!read(ring->event_fd, &count, sizeof count);
	}
	int r = io_uring_submit_and_get_events(&ring->io);
	assert(r >= 0 || r == -EAGAIN || r == -EBUSY || r == -EINTR);
	reap(ring);
	if (ring->finished == NULL && timeout_ms != 0) {
		wait_for(ring, wake_fd, timeout_ms);
		r = io_uring_submit_and_get_events(&ring->io);
		assert(r >= 0 || r == -EAGAIN || r == -EBUSY || r == -EINTR);
		reap(ring);
	}
	return run_finished(ring);
}

size_t ur_ring_in_flight(const struct ur_ring *ring)
{
	return ring->in_flight;
}

uint64_t ur_ring_ops(const struct ur_ring *ring)
{
	return ring->ops;
}

int ur_ring_fd(const struct ur_ring *ring)
{
	return ring->event_fd;
}

const char *ur_ring_about(const struct ur_ring *ring)
{
	return ring->about;
}
