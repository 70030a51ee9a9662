/**
 * queue - the bounded hand-over between two stages; bell - how the other side is woken.
 *
 *     producer ──push──▶ [ item │ item │      ] ──pop──▶ consumer
 *
 * One thread pushes, one thread pops; neither blocks, neither takes a lock.  A full queue is how
 * a slow stage tells a fast one to rest.  A bell is an eventfd with a flag, so that ringing a
 * neighbour who is awake costs one atomic exchange and no system call.
 *
 *   Owner    push() takes the item only when it returns 0; pop() gives it away
 *   Units    capacity counts items and is a power of two, at most UR_QUEUE_MAX
 *   Errors   -EAGAIN  full (push) or empty (pop), try again after a wake-up
 *            -EPIPE   closed, and on the pop side also drained
 *   Threads  one producer, one consumer; a bell may be rung by anybody
 */
#ifndef UR_BASE_QUEUE_H
#define UR_BASE_QUEUE_H

#include <stdatomic.h>
#include <stddef.h>

#define UR_QUEUE_MAX 65536u

struct ur_queue;

[[nodiscard]] int ur_queue_new(size_t capacity, struct ur_queue **ret);
struct ur_queue *ur_queue_free(struct ur_queue *queue);
[[nodiscard]] int ur_queue_push(struct ur_queue *queue, void *item);
[[nodiscard]] int ur_queue_pop(struct ur_queue *queue, void **ret);
/** How many there are: at least so many for the consumer, at most so many for the producer. */
size_t ur_queue_count(const struct ur_queue *queue);
/** The producer says that nothing more will come. */
void ur_queue_close(struct ur_queue *queue);

struct ur_bell {
	int fd;              // eventfd, readable when rung
	atomic_int sleeping; // 1 while the owner may be waiting on fd
};

[[nodiscard]] int ur_bell_init(struct ur_bell *bell);
void ur_bell_done(struct ur_bell *bell);
/** Wakes the owner, now or at its next wait. */
void ur_bell_ring(struct ur_bell *bell);
/**
 * The owner's wait has two halves: arm, look at the queues once more, then wait.  What arrives in
 * between finds the flag up and rings.
 */
void ur_bell_arm(struct ur_bell *bell);
/** Awake again: lowers the flag and empties the eventfd. */
void ur_bell_answer(struct ur_bell *bell);
/** Waits until rung, at most timeout_ms (negative: for ever). */
void ur_bell_wait(struct ur_bell *bell, int timeout_ms);

#endif
