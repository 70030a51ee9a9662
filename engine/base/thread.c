/* thread - one call, and what its failure means. */
#include "engine/base/thread.h"

#include <errno.h>
#include <string.h>

int ur_thread_start(
	pthread_t *ret, void *(*run)(void *), void *argument, const char *what, struct ur_err *err)
{
	char words[128];
	const int code = pthread_create(ret, NULL, run, argument);
	if (code == 0) {
		return 0;
	}
	return ur_err_say(err, -ENOMEM, UR_FAULT_SETUP,
		"cannot start %s: %s; let it have more threads (TasksMax= of a systemd unit, `ulimit "
		"-u`) or more memory",
		what, strerror_r(code, words, sizeof words));
}
