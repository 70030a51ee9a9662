/* gateway - the rooms wired together, the sweep of what is over, and the way out. */
#include "engine/gateway/gateway.h"

#include "engine/base/clock.h"
#include "engine/gateway/parts.h"
#include "engine/gateway/seal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS (3600 * INT64_C(1000))
#define DAY_MS (24 * HOUR_MS)
#define SWEEP_MS 5000
#define CLOCK_MS (INT64_C(5) * 60 * 1000)
#define CONNECT_MS 10000
#define STALL_MS 120000
#define BUFFER (512u << 10)
#define QUESTIONS_MAX 16u
#define DELIVERIES_MAX 8u

struct ur_gateway_limits ur_gateway_limits_default(void)
{
	return (struct ur_gateway_limits){
		.size_max = UINT64_C(64) << 30,
		.user_uploads = 1000,
		.user_bytes = 0,
		.keep_free = UINT64_C(1) << 30,
		.expire_ms = 7 * DAY_MS,
		.keep_refused_ms = 30 * DAY_MS,
		.keep_outcome_ms = 7 * DAY_MS,
		.settle_after_ms = 60000,
		.suspect_wait_ms = HOUR_MS,
		.answer_wait_ms = HOUR_MS,
		.deliveries = 2,
	};
}

void ur_gateway_log(struct ur_gateway *gateway, int level, const char *format, ...)
{
	char text[1024];
	va_list list;
	if (gateway->options.log == NULL) {
		return;
	}
	va_start(list, format);
	(void)vsnprintf(text, sizeof text, format, list);
	va_end(list);
	gateway->options.log(gateway->options.context, level, text);
}

int64_t ur_gateway_now_ms(void)
{
	return ur_clock_steady_ns() / UR_MS_NS;
}

/* ---- sessions -------------------------------------------------------------------------------- */

struct ur_session *ur_session_of(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	if (upload->session == NULL) {
		struct ur_session *session = calloc(1, sizeof *session);
		if (session == NULL) {
			return NULL;
		}
		session->gateway = gateway;
		session->upload = upload;
		session->mark.length = upload->length;
		upload->session = session;
	}
	return upload->session;
}

void ur_session_rest(struct ur_session *session)
{
	if (session->current != NULL || session->line_first != NULL || session->committing ||
		session->removing || session->stepping) {
		return;
	}
	ur_spool_rest(session->upload);
	if (session->delivery == NULL && session->failed == 0 && session->mismatches == 0) {
		session->upload->session = NULL;
		free(session);
	}
}

/* ---- what is over ---------------------------------------------------------------------------- */

/** What is only remembered makes room for what comes, long before there is none. */
static struct ur_life life_of(
	const struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	struct ur_life life = ur_verdict_life(upload, &gateway->limits);
	if (upload->bytes_gone && gateway->records > UR_RECORDS_MAX / 2 && life.keep_ms > HOUR_MS) {
		life.keep_ms = HOUR_MS;
	}
	return life;
}

int64_t ur_gateway_ends_ms(const struct ur_gateway *gateway, const struct ur_spool_upload *upload)
{
	const struct ur_life life = life_of(gateway, upload);
	const int64_t passed = ur_spool_ran_ms(gateway->spool) - life.since_ran_ms;
	const int64_t left = life.keep_ms - (passed > 0 ? passed : 0);
	return life.ends ? ur_clock_wall_ns() / UR_MS_NS + (left > 0 ? left : 0) : 0;
}

static void sweep_one(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	const bool is_over =
		outcome->state == UR_SPOOL_CONFIRMED ||
		(outcome->state == UR_SPOOL_REFUSED && outcome->status == UR_STATUS_EXPIRED);
	if (is_over && !upload->bytes_gone && !upload->is_damaged && upload->session == NULL) {
		ur_receive_empty(gateway, upload); // a crash came in between
		return;
	}
	const struct ur_life life = life_of(gateway, upload);
	if (!life.ends || ur_spool_ran_ms(gateway->spool) - life.since_ran_ms < life.keep_ms) {
		return;
	}
	if (outcome->state == UR_SPOOL_RECEIVING) {
		ur_receive_expire(gateway, upload);
		return;
	}
	if (outcome->state == UR_SPOOL_REFUSED && !upload->bytes_gone) {
		ur_gateway_log(gateway, 4,
			"upload %s: immich-server refused it %lld days of run time ago (%s); its bytes "
			"go now",
			upload->id, (long long)(life.keep_ms / DAY_MS), outcome->words);
	}
	ur_receive_remove(gateway, upload);
}

static void sweep(struct ur_gateway *gateway)
{
	const int64_t now = ur_gateway_now_ms();
	const int64_t every =
		gateway->limits.expire_ms < SWEEP_MS ? gateway->limits.expire_ms : SWEEP_MS;
	if (now < gateway->swept_ms + every) {
		return;
	}
	gateway->swept_ms = now;
	for (struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		sweep_one(gateway, at);
	}
}

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
		ur_delivery_tick(gateway);
		sweep(gateway);
		tick_clock(gateway);
	} else {
		ur_receive_cut(gateway);
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

static bool is_on_its_way(const struct ur_spool_upload *upload)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	return !upload->is_sidecar && !ur_spool_is_over(outcome) &&
	       (outcome->state == UR_SPOOL_COMPLETE || outcome->state == UR_SPOOL_REFUSED ||
		       (outcome->state == UR_SPOOL_DELIVERED &&
			       upload->length != UR_SPOOL_LENGTH_UNKNOWN));
}

void ur_gateway_deliver(struct ur_gateway *gateway, struct ur_spool_upload *upload)
{
	if (gateway->options.immich != NULL && is_on_its_way(upload)) {
		ur_delivery_add(gateway, upload, NULL);
	}
}

static void log_damage(struct ur_gateway *gateway)
{
	if (ur_spool_damaged(gateway->spool) > 0) {
		ur_gateway_log(gateway, 3,
			"%zu uploads in the spool cannot be read (%s …); they stay as they are, and are "
			"looked at again at the next start",
			ur_spool_damaged(gateway->spool), ur_spool_damage(gateway->spool));
	}
}

/** What an earlier process left on its way, and what has to be read first. */
static void resume(struct ur_gateway *gateway)
{
	size_t count = 0;
	size_t waiting = 0;
	log_damage(gateway);
	for (struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		gateway->records++;
		if (at->is_damaged) {
			ur_gateway_log(gateway, 3, "upload %s: its files are damaged%s", at->id,
				at->is_unread ? "; its bytes are read"
					      : "; they are kept as they are");
		}
		if (at->is_unread) {
			ur_receive_rebuild(gateway, at);
		} else if (gateway->options.immich != NULL && is_on_its_way(at)) {
			ur_gateway_deliver(gateway, at);
			waiting += ur_delivery_has_key(at) ? 0 : 1;
			count++;
		}
	}
	if (count > 0) {
		ur_gateway_log(gateway, 5,
			"%zu uploads are on their way to immich-server; %zu of them wait for the "
			"next request of their owners",
			count, waiting);
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
		resume(gateway);
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
		gateway->deliveries->delivery->busy = false;
		ur_delivery_free(gateway->deliveries);
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
	atomic_store(&gateway->stopping, true);
	ur_httpd_stop(gateway->httpd, grace_ms);
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
