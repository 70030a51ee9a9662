/* queue - order, bounds, closing, and two threads that never miss a wake-up. */
#include "engine/base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void items_come_out_in_the_order_they_went_in(void **state)
{
	struct ur_queue *queue = NULL;
	int items[8];
	void *got = NULL;
	(void)state;
	assert_int_equal(ur_queue_new(8, &queue), 0);
	assert_int_equal(ur_queue_pop(queue, &got), -EAGAIN);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 8; i++) {
			assert_int_equal(ur_queue_push(queue, &items[i]), 0);
			assert_int_equal(ur_queue_count(queue), i + 1);
		}
		assert_int_equal(ur_queue_push(queue, &items[0]), -EAGAIN);
		for (int i = 0; i < 8; i++) {
			assert_int_equal(ur_queue_pop(queue, &got), 0);
			assert_ptr_equal(got, &items[i]);
		}
	}
	queue = ur_queue_free(queue);
	assert_null(queue);
}

static void a_closed_queue_is_drained_before_it_says_so(void **state)
{
	struct ur_queue *queue = NULL;
	int item = 0;
	void *got = NULL;
	(void)state;
	assert_int_equal(ur_queue_new(2, &queue), 0);
	assert_int_equal(ur_queue_push(queue, &item), 0);
	ur_queue_close(queue);
	assert_int_equal(ur_queue_pop(queue, &got), 0);
	assert_int_equal(ur_queue_pop(queue, &got), -EPIPE);
	queue = ur_queue_free(queue);
}

struct pair {
	struct ur_queue *queue;
	struct ur_bell producer;
	struct ur_bell consumer;
};

#define MESSAGES 200000u

static void *produce(void *context)
{
	struct pair *p = context;
	for (uintptr_t i = 1; i <= MESSAGES; i++) {
		while (ur_queue_push(p->queue, (void *)i) < 0) {
			ur_bell_arm(&p->producer);
			if (ur_queue_push(p->queue, (void *)i) == 0) {
				break;
			}
			ur_bell_wait(
				&p->producer, -1); // for ever: a lost wake-up would hang the test
		}
		ur_bell_ring(&p->consumer);
	}
	ur_queue_close(p->queue);
	ur_bell_ring(&p->consumer);
	return NULL;
}

static void no_wake_up_is_lost_between_two_threads(void **state)
{
	struct pair p = {0};
	pthread_t thread;
	uintptr_t expected = 1;
	(void)state;
	assert_int_equal(ur_queue_new(16, &p.queue), 0);
	assert_int_equal(ur_bell_init(&p.producer), 0);
	assert_int_equal(ur_bell_init(&p.consumer), 0);
	assert_int_equal(pthread_create(&thread, NULL, produce, &p), 0);
	for (;;) {
		void *got = NULL;
		int r = ur_queue_pop(p.queue, &got);
		if (r == -EAGAIN) {
			ur_bell_arm(&p.consumer);
			r = ur_queue_pop(p.queue, &got);
			if (r == -EAGAIN) {
				ur_bell_wait(&p.consumer, -1);
				continue;
			}
		}
		if (r == -EPIPE) {
			break;
		}
		assert_int_equal((uintptr_t)got, expected);
		expected++;
		ur_bell_ring(&p.producer);
	}
	assert_int_equal(expected, MESSAGES + 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	ur_bell_done(&p.producer);
	ur_bell_done(&p.consumer);
	p.queue = ur_queue_free(p.queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_out_in_the_order_they_went_in),
		cmocka_unit_test(a_closed_queue_is_drained_before_it_says_so),
		cmocka_unit_test(no_wake_up_is_lost_between_two_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
