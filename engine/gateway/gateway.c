/* gateway - the rooms wired together, what they do once a second, and the way out. */
#include "engine/gateway/gateway.h"

#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/leave.h"
#include "engine/gateway/receive.h"
#include "engine/gateway/resume.h"
#include "engine/gateway/route.h"
#include "engine/gateway/seal.h"
#include "engine/gateway/state.h"
#include "engine/gateway/status.h"
#include "engine/gateway/sweep.h"
#include "engine/gateway/upstream.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_MS (INT64_C(5) * 60 * 1000)
#define CONNECT_MS 10000
#define STALL_MS 120000
#define BUFFER (512u << 10)
#define QUESTIONS_MAX 16u
#define DELIVERIES_MAX 8u

/* ---- the time it runs ------------------------------------------------------------------------ */

static void keep_time(struct ur_job *job)
{
	struct ur_gateway *gateway =
		(struct ur_gateway *)((char *)job - offsetof(struct ur_gateway, clock_job));
	struct ur_err err = {0};
	if (ur_spool_keep_time(gateway->spool, &err) < 0) {
		ur_gateway_log(gateway, 4, "%s", err.text);
	}
}

static void on_kept(struct ur_job *job)
{
	struct ur_gateway *gateway =
		(struct ur_gateway *)((char *)job - offsetof(struct ur_gateway, clock_job));
	gateway->clock_busy = false;
}

static void tick_clock(struct ur_gateway *gateway)
{
	const int64_t now = ur_gateway_now_ms();
	if (!gateway->clock_busy && now >= gateway->clock_ms + CLOCK_MS) {
		gateway->clock_ms = now;
		gateway->clock_busy = true;
		gateway->clock_job.run = keep_time;
		gateway->clock_job.done = on_kept;
		ur_crew_submit(gateway->crew, &gateway->clock_job);
	}
}

static void tick(void *context)
{
	struct ur_gateway *gateway = context;
	char status[128];
	struct ur_gateway_limits *limits = atomic_exchange(&gateway->new_limits, NULL);
	if (limits != NULL) {
		gateway->limits = *limits;
		free(limits);
		ur_gateway_log(gateway, 5, "the settings were read again");
	}
	if (gateway->gate != NULL) {
		ur_gate_tick(gateway->gate);
	}
	ur_status_wake(gateway, NULL);
	if (!atomic_load(&gateway->stopping)) {
		if (gateway->options.immich != NULL) {
			ur_upstream_tick(gateway);
			ur_delivery_tick(gateway);
		}
		ur_sweep(gateway);
		tick_clock(gateway);
	} else {
		ur_leave_look(gateway);
	}
	if (gateway->options.pulse != NULL) {
		ur_status_line(gateway, status, sizeof status);
		gateway->options.pulse(gateway->options.context, status);
	}
}

/* ---- from nothing ---------------------------------------------------------------------------- */

static int make_httpd(struct ur_gateway *gateway, struct ur_err *err)
{
	const struct ur_gateway_options *o = &gateway->options;
	const struct ur_httpd_options options = {
		.listen = o->listen,
		.listen_fd = o->listen_fd,
		.connections_max = o->connections_max,
		.buffer_bytes = BUFFER,
		.head_wait_ms = 20000,
		.body_wait_ms = 120000,
		.idle_wait_ms = 75000,
		.answer_wait_ms = 120000,
		.late_status = 503, // of a 408 many clients say that it is for good
		.handler =
			{
				.begin = ur_route_begin,
				.body = ur_route_body,
				.end = ur_route_end,
				.gone = ur_route_gone,
				.tick = tick,
				.context = gateway,
			},
	};
	return ur_httpd_new(&options, &gateway->httpd, err);
}

static int make_http(
	struct ur_gateway *gateway, unsigned most, struct ur_http **ret, struct ur_err *err)
{
	const struct ur_http_options options = {
		.server = gateway->options.immich,
		.cacert = gateway->options.cacert,
		.connect_ms = CONNECT_MS,
		.stall_ms = STALL_MS,
		.connections_max = most,
	};
	return ur_http_new(&options, NULL, ret, err);
}

/** Without it a start waits for all that was being sent, as if all of it had gone. */
static void lack_wire(struct ur_gateway *gateway, int code)
{
	ur_gateway_log(gateway, 4,
		"what is on its way to immich-server cannot be noted in the spool (%s): after a "
		"crash it is waited for longer",
		strerrordesc_np(-code));
}

static void open_wire(struct ur_gateway *gateway)
{
	static const uint8_t owner[UR_WIRE_OWNER] = "a spool's";
	struct ur_text path = {0};
	ur_text_addf(&path, "%s/wire", gateway->options.spool);
	const int r = ur_text_ok(&path) ? ur_wire_open(ur_text_get(&path), owner, &gateway->wire)
					: -ENOMEM;
	ur_text_done(&path);
	if (r < 0) {
		lack_wire(gateway, r);
	}
}

/** What went before it was there is noted by now, too.  Where that fails, the next start knows nothing. */
static void begin_wire(struct ur_gateway *gateway)
{
	const int r = gateway->wire == NULL ? 0 : ur_wire_begin(gateway->wire, 0);
	if (r < 0) {
		lack_wire(gateway, r);
	}
}

static int make_parts(struct ur_gateway *gateway, struct ur_err *err)
{
	int r = ur_seal_start();
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_BUG, "libsodium does not start");
	}
	r = ur_spool_new(gateway->options.spool, &gateway->spool, err);
	if (r == 0) {
		ur_spool_skip(gateway->spool, gateway->options.no_hash, gateway->options.no_sync);
	}
	r = r < 0 ? r : make_httpd(gateway, err);
	r = r < 0 ? r : ur_crew_new(gateway->httpd, gateway->options.crew, &gateway->crew, err);
	if (gateway->options.immich != NULL) {
		r = r < 0 ? r : make_http(gateway, QUESTIONS_MAX, &gateway->ask, err);
		r = r < 0 ? r : make_http(gateway, DELIVERIES_MAX, &gateway->carry, err);
		r = r < 0 ? r : ur_gate_new(gateway->httpd, gateway->ask, &gateway->gate, err);
	}
	if (r == 0) {
		open_wire(gateway);
		ur_resume(gateway);
		begin_wire(gateway);
	}
	return r;
}

/** "/uringest" and "/uringest/" mean the same. */
static int set_base(struct ur_gateway *gateway, struct ur_err *err)
{
	const char *base = gateway->options.base;
	const size_t size = strlen(base);
	bool good = base[0] == '/' && size + 2 < sizeof gateway->base;
	for (size_t i = 0; i < size; i++) {
		good = good && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789/-_.",
				       base[i]) != NULL;
	}
	if (!good) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"--base takes a path such as /uringest/, not '%s'", base);
	}
	(void)snprintf(gateway->base, sizeof gateway->base, "%s%s", base,
		base[size - 1] == '/' ? "" : "/");
	return 0;
}

int ur_gateway_new(
	const struct ur_gateway_options *options, struct ur_gateway **ret, struct ur_err *err)
{
	struct ur_gateway *gateway = calloc(1, sizeof *gateway);
	if (gateway == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot make the gateway");
	}
	assert(options->immich != NULL || options->allow_anonymous);
	gateway->options = *options;
	gateway->limits = options->limits;
	gateway->proved_ran_ms = UR_SPOOL_NEVER;
	gateway->clock_ms = ur_gateway_now_ms();
	atomic_init(&gateway->stopping, false);
	atomic_init(&gateway->leave_until_ms, 0);
	atomic_init(&gateway->new_limits, NULL);
	int r = set_base(gateway, err);
	r = r < 0 ? r : make_parts(gateway, err);
	if (r < 0) {
		(void)ur_gateway_free(gateway);
		return r;
	}
	*ret = gateway;
	return 0;
}

/* ---- and back -------------------------------------------------------------------------------- */

/** No thread but this one is left. */
static void free_visits(struct ur_gateway *gateway)
{
	while (gateway->visits != NULL) {
		gateway->visits->x = NULL;
		gateway->visits->session = NULL;
		ur_visit_end(gateway->visits);
	}
	while (gateway->deliveries != NULL) {
		ur_delivery_abandon(gateway->deliveries);
	}
	for (struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		free(at->session);
		at->session = NULL;
	}
}

struct ur_gateway *ur_gateway_free(struct ur_gateway *gateway)
{
	if (gateway == NULL) {
		return NULL;
	}
	if (gateway->spool != NULL) {
		ur_spool_stop(gateway->spool);
	}
	gateway->ask = ur_http_free(gateway->ask);
	gateway->carry = ur_http_free(gateway->carry);
	gateway->crew = ur_crew_free(gateway->crew);
	if (gateway->spool != NULL) {
		free_visits(gateway);
	}
	gateway->wire = ur_wire_free(gateway->wire);
	gateway->gate = ur_gate_free(gateway->gate);
	gateway->httpd = ur_httpd_free(gateway->httpd);
	gateway->spool = ur_spool_free(gateway->spool);
	ur_request_done(&gateway->version_request);
	gateway->types = ur_types_free(gateway->types);
	free(atomic_load(&gateway->new_limits));
	OPENSSL_cleanse(gateway->options.seal, sizeof gateway->options.seal);
	free(gateway);
	return NULL;
}

int ur_gateway_run(struct ur_gateway *gateway, struct ur_err *err)
{
	const int r = ur_httpd_run(gateway->httpd, err);
	struct ur_err clock_err = {0};
	ur_spool_stop(gateway->spool);
	gateway->ask = ur_http_free(gateway->ask);
	gateway->carry = ur_http_free(gateway->carry);
	gateway->crew = ur_crew_free(gateway->crew);
	ur_receive_stop(gateway);
	if (ur_spool_keep_time(gateway->spool, &clock_err) < 0) {
		ur_gateway_log(gateway, 4, "%s", clock_err.text);
	}
	return r;
}

void ur_gateway_stop(struct ur_gateway *gateway, int64_t grace_ms)
{
	ur_leave_begin(gateway, grace_ms);
}

void ur_gateway_reload(struct ur_gateway *gateway, const struct ur_gateway_limits *limits)
{
	struct ur_gateway_limits *copy = malloc(sizeof *copy);
	if (copy != NULL) {
		*copy = *limits;
		free(atomic_exchange(&gateway->new_limits, copy));
	}
}

const char *ur_gateway_address(const struct ur_gateway *gateway)
{
	return ur_httpd_address(gateway->httpd);
}
