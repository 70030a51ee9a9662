/* queue - a ring of pointers with two counters that only their own side writes. */
#include "engine/base/queue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CACHE_LINE 64

struct ur_queue {
	alignas(CACHE_LINE) atomic_size_t head; // next to pop, written by the consumer
	alignas(CACHE_LINE) atomic_size_t tail; // next to push, written by the producer
	atomic_int closed;
	alignas(CACHE_LINE) size_t mask;
	void *items[];
};

int ur_queue_new(size_t capacity, struct ur_queue **ret)
{
	assert(capacity > 0 && capacity <= UR_QUEUE_MAX);
	assert((capacity & (capacity - 1)) == 0);

	const size_t size = sizeof(struct ur_queue) + capacity * sizeof(void *);
	const size_t rounded = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	struct ur_queue *queue = aligned_alloc(CACHE_LINE, rounded);
	if (queue == NULL) {
		return -ENOMEM;
	}
	atomic_init(&queue->head, 0);
	atomic_init(&queue->tail, 0);
	atomic_init(&queue->closed, 0);
	queue->mask = capacity - 1;
	*ret = queue;
	return 0;
}

struct ur_queue *ur_queue_free(struct ur_queue *queue)
{
	free(queue);
	return NULL;
}

int ur_queue_push(struct ur_queue *queue, void *item)
{
	assert(item != NULL);
	const size_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
	const size_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
	if (tail - head > queue->mask) {
		return -EAGAIN;
	}
	queue->items[tail & queue->mask] = item;
	/* seq_cst: the bell's flag is read after this store (see ur_bell_arm). */
	atomic_store(&queue->tail, tail + 1);
	return 0;
}

int ur_queue_pop(struct ur_queue *queue, void **ret)
{
	const size_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	const int closed = atomic_load_explicit(&queue->closed, memory_order_acquire);
	if (head == atomic_load(&queue->tail)) {
		return closed ? -EPIPE : -EAGAIN;
	}
	*ret = queue->items[head & queue->mask];
	assert(*ret != NULL);
	atomic_store(&queue->head, head + 1);
	return 0;
}

size_t ur_queue_count(const struct ur_queue *queue)
{
	const size_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
	return atomic_load_explicit(&queue->tail, memory_order_acquire) - head;
}

void ur_queue_close(struct ur_queue *queue)
{
	atomic_store(&queue->closed, 1);
}

int ur_bell_init(struct ur_bell *bell)
{
	bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_init(&bell->sleeping, 0);
	return bell->fd < 0 ? -errno : 0;
}

void ur_bell_done(struct ur_bell *bell)
{
	if (bell->fd >= 0) {
		(void)close(bell->fd);
	}
	bell->fd = -1;
}

void ur_bell_ring(struct ur_bell *bell)
{
	if (atomic_exchange(&bell->sleeping, 0) == 1) {
		const uint64_t one = 1;
		/* EAGAIN means that the counter is full: then it is readable, which is all we want. */
		(void)!write(bell->fd, &one, sizeof one);
	}
}

void ur_bell_arm(struct ur_bell *bell)
{
	atomic_store(&bell->sleeping, 1);
}

void ur_bell_answer(struct ur_bell *bell)
{
	if (atomic_exchange(&bell->sleeping, 0) == 0) {
		uint64_t count = 0;
		(void)!read(bell->fd, &count, sizeof count);
	}
}

void ur_bell_wait(struct ur_bell *bell, int timeout_ms)
{
	struct pollfd fd = {.fd = bell->fd, .events = POLLIN};
	(void)poll(&fd, 1, timeout_ms);
	ur_bell_answer(bell);
}
