/* leave - how long the gateway goes on when it was asked to stop, and how it closes. */
#include "engine/gateway/leave.h"

#include "engine/gateway/receive.h"
#include "engine/gateway/status.h"
#include "engine/gateway/visit.h"

#define ANSWERS_MS 1000 // once it is closing: whoever waits longer is told to come again
#define CLOSE_MS 2500   // and whoever does not go by himself is gone

/** Whose answer is made by others: bodies end by themselves, or are ended. */
static bool is_waiting(const struct ur_visit *visit)
{
	return visit->x != NULL && !visit->receiving;
}

static unsigned count_waiting(const struct ur_gateway *gateway)
{
	unsigned count = 0;
	for (const struct ur_visit *at = gateway->visits; at != NULL; at = at->older) {
		count += is_waiting(at) && at->number <= gateway->leave_from ? 1 : 0;
	}
	return count;
}

static void say(struct ur_gateway *gateway)
{
	const unsigned waiting = count_waiting(gateway);
	char until[UR_CLOCK_TEXT];
	if (gateway->carrying == 0 && waiting == 0) {
		ur_gateway_log(gateway, 5, "asked to stop: it ends now");
		return;
	}
	const int64_t left_ms = atomic_load(&gateway->leave_until_ms) - ur_gateway_now_ms();
	ur_clock_local(ur_clock_wall_ns() + left_ms * UR_MS_NS, until);
	ur_gateway_log(gateway, 5,
		"asked to stop: waits for immich-server's answer to %u deliveries and for %u requests, "
		"until %s at the latest; asked again it ends at once",
		gateway->carrying, waiting, until);
}

/** The answer of whoever waited too long; what was begun for it goes on without it. */
static void send_away(struct ur_visit *visit)
{
	if (visit->awaits != 0) {
		ur_status_leave(visit);
		ur_visit_answer(visit, 503, UR_RESTART_WORDS);
	} else {
		ur_visit_leave(visit, 503, UR_RESTART_WORDS);
	}
}

static void send_all_away(struct ur_gateway *gateway)
{
	struct ur_visit *older = NULL;
	for (struct ur_visit *at = gateway->visits; at != NULL; at = older) {
		older = at->older;
		if (is_waiting(at)) {
			send_away(at);
		}
	}
}

static void begin_closing(struct ur_gateway *gateway)
{
	gateway->closing = true;
	gateway->closed_ms = ur_gateway_now_ms();
	ur_receive_cut(gateway);
	ur_httpd_stop(gateway->httpd, CLOSE_MS);
}

void ur_leave_look(struct ur_gateway *gateway)
{
	const int64_t now = ur_gateway_now_ms();
	if (gateway->closing) {
		ur_receive_cut(gateway);
		if (now >= gateway->closed_ms + ANSWERS_MS) {
			send_all_away(gateway);
		}
	} else if ((gateway->carrying == 0 && count_waiting(gateway) == 0) ||
		   now >= gateway->leave_until_ms) {
		begin_closing(gateway);
	}
}

static void on_asked(struct ur_post *post)
{
	struct ur_gateway *gateway =
		(struct ur_gateway *)((char *)post - offsetof(struct ur_gateway, leave_post));
	gateway->leave_from = gateway->visit_count;
	say(gateway);
	ur_leave_look(gateway);
}

void ur_leave_begin(struct ur_gateway *gateway, int64_t grace_ms)
{
	/* One thread asks; the loop looks once it is stopping, and wants to know until when. */
	if (!atomic_load(&gateway->stopping)) {
		atomic_store(&gateway->leave_until_ms, ur_gateway_now_ms() + grace_ms);
		atomic_store(&gateway->stopping, true);
		gateway->leave_post.run = on_asked;
		ur_httpd_post(gateway->httpd, &gateway->leave_post);
	}
}
