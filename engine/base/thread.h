/**
 * thread - starting one, with a failure that is told from a lock.
 *
 * pthread_create() says EAGAIN where there are too many threads, which is also what a lock that is held
 * says (EWOULDBLOCK is the same number).  Here it is -ENOMEM, with a sentence of its own.
 *
 *   Owner    the thread is the caller's to join or detach
 *   Errors   -ENOMEM  the limit of threads (TasksMax= of a unit, `ulimit -u`), or memory
 *   Threads  any
 */
#ifndef UR_BASE_THREAD_H
#define UR_BASE_THREAD_H

#include "engine/base/err.h"

#include <pthread.h>

/** `what`: "the network thread". */
[[nodiscard]] int ur_thread_start(
	pthread_t *ret, void *(*run)(void *), void *argument, const char *what, struct ur_err *err);

#endif
