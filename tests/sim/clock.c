/* clock - time passes only where something happens. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define EPOCH_NS (INT64_C(1764547200) * UR_SECOND_NS)

static struct {
	int64_t steady_ns;
	int64_t boot_at_ns; // steady: when it booted
	int64_t step_ns;
	unsigned boots;
	char boot_id[UR_BOOT_ID_SIZE];
	struct sim_event *agenda;
} now;

int64_t __wrap_ur_clock_steady_ns(void);
int64_t __wrap_ur_clock_wall_ns(void);
int64_t __wrap_ur_clock_boot_ns(void);
const char *__wrap_ur_clock_boot_id(void);
void __wrap_ur_clock_local(int64_t wall_ns, char ret[UR_CLOCK_TEXT]);

int64_t __wrap_ur_clock_steady_ns(void)
{
	return now.steady_ns;
}

int64_t __wrap_ur_clock_wall_ns(void)
{
	return EPOCH_NS + now.steady_ns + now.step_ns;
}

int64_t __wrap_ur_clock_boot_ns(void)
{
	return now.steady_ns - now.boot_at_ns + 1;
}

const char *__wrap_ur_clock_boot_id(void)
{
	return now.boot_id;
}

/** For people, who are not here. */
void __wrap_ur_clock_local(int64_t wall_ns, char ret[UR_CLOCK_TEXT])
{
	(void)wall_ns;
	ret[0] = '\0';
}

void sim_reboot(void)
{
	now.boot_at_ns = now.steady_ns;
	(void)snprintf(now.boot_id, sizeof now.boot_id, "boot-%u", ++now.boots);
}

void sim_clock_begin(void)
{
	now.steady_ns = UR_SECOND_NS;
	now.step_ns = 0;
	now.boots = 0;
	now.agenda = NULL;
	sim_reboot();
}

void sim_step_wall(int64_t by_ns)
{
	now.step_ns += by_ns;
}

int64_t sim_now(void)
{
	return now.steady_ns;
}

void sim_later(struct sim_event *event, int64_t after_ns)
{
	struct sim_event **at = &now.agenda;
	assert(after_ns >= 0);
	assert(!event->waits && event->happen != NULL);
	event->waits = true;
	event->at_ns = now.steady_ns + after_ns;
	while (*at != NULL && (*at)->at_ns <= event->at_ns) {
		at = &(*at)->next;
	}
	event->next = *at;
	*at = event;
}

bool sim_happen(int64_t until_ns)
{
	struct sim_event *event = now.agenda;
	if (event == NULL || event->at_ns > until_ns) {
		return false;
	}
	now.agenda = event->next;
	now.steady_ns = event->at_ns > now.steady_ns ? event->at_ns : now.steady_ns;
	event->waits = false;
	event->happen(event);
	return true;
}

void sim_pass(int64_t ns)
{
	const int64_t until_ns = now.steady_ns + ns;
	while (sim_happen(until_ns)) {
	}
	now.steady_ns = until_ns;
}
