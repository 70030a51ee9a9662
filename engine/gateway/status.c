/* status - what is told about an upload, its bytes, and figures for the house. */
#include "engine/gateway/status.h"

#include "engine/base/clock.h"
#include "engine/gateway/gate.h"
#include "engine/gateway/life.h"
#include "engine/gateway/limits.h"
#include "engine/gateway/session.h"
#include "engine/gateway/state.h"
#include "engine/gateway/upstream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AWAIT_MS 5000 // an answer waits no longer for bytes

/* ---- URL/status ------------------------------------------------------------------------------ */

static void add_time(struct ur_text *text, const char *name, int64_t ms)
{
	char iso[UR_CLOCK_TEXT];
	ur_clock_iso(ms * UR_MS_NS, iso);
	ur_text_addf(text, ",\"%s\":\"%s\"", name, iso);
}

static const char *result_of(const struct ur_spool_outcome *outcome)
{
	const bool there =
		outcome->state == UR_SPOOL_DELIVERED || outcome->state == UR_SPOOL_CONFIRMED;
	return !there ? NULL : outcome->duplicate ? "duplicate" : "created";
}

static void write_status(
	const struct ur_gateway *gateway, const struct ur_spool_upload *upload, struct ur_text *ret)
{
	const struct ur_spool_outcome *outcome = &upload->outcome;
	const char *result = result_of(outcome);
	char hex[41];
	ur_text_addf(ret,
		"{\"id\":\"%s\",\"state\":\"%s\",\"offset\":%" PRIu64 ",\"durable\":%" PRIu64,
		upload->id, ur_spool_state_name(outcome->state),
		outcome->state == UR_SPOOL_RECEIVING ? upload->offset : upload->length,
		outcome->state == UR_SPOOL_RECEIVING ? upload->durable : upload->length);
	if (upload->length == UR_SPOOL_LENGTH_UNKNOWN) {
		ur_text_adds(ret, ",\"length\":null");
	} else {
		ur_text_addf(ret, ",\"length\":%" PRIu64, upload->length);
	}
	if (outcome->state != UR_SPOOL_RECEIVING && outcome->state != UR_SPOOL_BROKEN &&
		upload->durable == upload->length) {
		ur_hex(upload->sha1, sizeof upload->sha1, hex);
		ur_text_addf(ret, ",\"sha1\":\"%s\"", hex);
	}
	ur_text_addf(ret, outcome->asset[0] == '\0' ? ",\"asset\":null" : ",\"asset\":\"%s\"",
		outcome->asset);
	ur_text_addf(ret, result == NULL ? ",\"result\":null" : ",\"result\":\"%s\"", result);
	if (outcome->status != 0) {
		ur_text_addf(
			ret, ",\"status\":%d", outcome->status); // immich-server's answer to us
	}
	ur_text_adds(ret, ",\"reason\":");
	ur_text_add_json(ret, outcome->words, strlen(outcome->words));
	ur_text_addf(ret, ",\"tries\":%u", outcome->tries);
	add_time(ret, "created", upload->created_ms);
	add_time(ret, "touched", upload->touched_ms);
	ur_text_addf(ret, ",\"suspect\":%s,\"damaged\":%s", outcome->suspect ? "true" : "false",
		upload->is_damaged ? "true" : "false");
	const int64_t ends_ms = ur_life_ends_ms(gateway, upload);
	if (ends_ms != 0 && !upload->bytes_gone) {
		add_time(ret, "expires", ends_ms);
	}
	ur_text_adds(ret, "}\n");
}

static void answer_text(struct ur_visit *visit, const char *type, struct ur_text *text)
{
	if (!ur_text_ok(text)) {
		ur_text_done(text);
		ur_visit_answer(visit, 503, "the gateway is short of memory; try again");
		return;
	}
	ur_exchange_set(visit->x, "Cache-Control", "no-store");
	ur_exchange_set(visit->x, "X-Content-Type-Options", "nosniff");
	if (ur_exchange_field(visit->x, "origin") != NULL) {
		ur_exchange_set(visit->x, "Access-Control-Allow-Origin", "*");
	}
	ur_exchange_answer(visit->x, 200, type, ur_text_get(text), text->size);
	visit->x = NULL;
	ur_text_done(text);
	ur_visit_end(visit);
}

static void answer_now(struct ur_visit *visit, const struct ur_spool_upload *upload)
{
	struct ur_text text = {0};
	write_status(visit->gateway, upload, &text);
	answer_text(visit, "application/json", &text);
}

/** The N of "?durable=N": the answer waits until so much is durable; 0: at once. */
static uint64_t awaited_by(const struct ur_exchange *x)
{
	static const char name[] = "durable=";
	uint64_t bytes = 0;
	return x->query != NULL && strncmp(x->query, name, sizeof name - 1) == 0 &&
			       ur_tus_number(x->query + sizeof name - 1, &bytes) == 0
		       ? bytes
		       : 0;
}

/** There is nothing to wait for: so much is durable, or nobody brings more. */
static bool is_reached(const struct ur_spool_upload *upload, uint64_t bytes)
{
	const struct ur_session *session = upload->session;
	return upload->outcome.state != UR_SPOOL_RECEIVING || upload->durable >= bytes ||
	       session == NULL || session->current == NULL;
}

void ur_status_answer(struct ur_visit *visit, const struct ur_spool_upload *upload)
{
	visit->awaits = awaited_by(visit->x);
	if (visit->awaits == 0 || is_reached(upload, visit->awaits)) {
		visit->awaits = 0;
		answer_now(visit, upload);
		return;
	}
	visit->until_ms = ur_gateway_now_ms() + AWAIT_MS;
	visit->gateway->awaiting++;
}

void ur_status_leave(struct ur_visit *visit)
{
	if (visit->awaits != 0) {
		visit->awaits = 0;
		visit->gateway->awaiting--;
	}
}

static bool is_due(const struct ur_visit *visit, const struct ur_spool_upload *upload)
{
	return visit->awaits != 0 && (upload == NULL || is_reached(upload, visit->awaits) ||
					     ur_gateway_now_ms() >= visit->until_ms);
}

/** The first that need not wait any more: about the upload `id`, or about any. */
static struct ur_visit *next_due(struct ur_gateway *gateway, const char *id)
{
	for (struct ur_visit *at = gateway->visits; at != NULL; at = at->older) {
		if (at->awaits != 0 && (id == NULL || strcmp(at->id, id) == 0) &&
			is_due(at, ur_spool_find(gateway->spool, at->id))) {
			return at;
		}
	}
	return NULL;
}

/** From the start each time: an answer may bring the next request, and that may end others. */
void ur_status_wake(struct ur_gateway *gateway, const char *id)
{
	struct ur_visit *visit = NULL;
	while (gateway->awaiting > 0 && (visit = next_due(gateway, id)) != NULL) {
		const struct ur_spool_upload *upload = ur_spool_find(gateway->spool, visit->id);
		ur_status_leave(visit);
		if (upload == NULL) {
			ur_visit_answer(visit, 404, "there is no such upload");
		} else {
			answer_now(visit, upload);
		}
	}
}

/* ---- its bytes ------------------------------------------------------------------------------- */

/** Digits and nothing else, up to `until`; what is beyond all files is UINT64_MAX. */
static const char *read_digits(const char *at, char until, uint64_t *ret)
{
	const char *first = at;
	uint64_t value = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		const uint64_t digit = (uint64_t)(*at - '0');
		value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
	}
	*ret = value;
	return at == first || *at != until ? NULL : at + 1;
}

/** "bytes=FIRST-LAST", "bytes=FIRST-", "bytes=-COUNT"; false: not one that can be given. */
static bool read_range(const char *text, uint64_t length, uint64_t *ret_first, uint64_t *ret_size)
{
	uint64_t first = 0;
	uint64_t last = UINT64_MAX;
	const char *at = text + sizeof "bytes=" - 1;
	if (strncmp(text, "bytes=", sizeof "bytes=" - 1) != 0) {
		return false;
	}
	if (*at == '-') {
		uint64_t count = 0;
		if (read_digits(at + 1, '\0', &count) == NULL || count == 0) {
			return false;
		}
		first = count >= length ? 0 : length - count;
	} else {
		at = read_digits(at, '-', &first);
		if (at == NULL || (*at != '\0' && read_digits(at, '\0', &last) == NULL)) {
			return false;
		}
	}
	if (first >= length || last < first) {
		return false;
	}
	*ret_first = first;
	*ret_size = (last >= length ? length : last + 1) - first;
	return true;
}

void ur_status_bytes(struct ur_visit *visit, struct ur_spool_upload *upload)
{
	struct ur_err err = {0};
	uint64_t first = 0;
	uint64_t size = upload->length;
	const char *range = ur_exchange_field(visit->x, "range");
	if (upload->outcome.state == UR_SPOOL_RECEIVING) {
		ur_visit_answer(visit, 409, "the upload is not complete yet");
		return;
	}
	if (upload->bytes_gone) {
		ur_visit_answer(visit, 410, "immich-server has it now; its status names the asset");
		return;
	}
	const bool part = range != NULL && read_range(range, upload->length, &first, &size);
	if (range != NULL && !part && strncmp(range, "bytes=", 6) == 0 &&
		strchr(range, ',') == NULL) {
		ur_exchange_set(visit->x, "Content-Range", "bytes */%" PRIu64, upload->length);
		ur_visit_answer(visit, 416, "there are no such bytes");
		return;
	}
	const int fd = ur_spool_open(upload, &err);
	if (fd < 0) {
		ur_gateway_log(visit->gateway, 3, "upload %s: %s", upload->id, err.text);
		ur_visit_answer(visit, 500, "the gateway's disk failed");
		return;
	}
	ur_exchange_set(visit->x, "Content-Disposition", "attachment");
	ur_exchange_set(visit->x, "X-Content-Type-Options", "nosniff");
	ur_exchange_set(visit->x, "Content-Security-Policy", "sandbox");
	ur_exchange_set(visit->x, "Cache-Control", "private, no-store");
	ur_exchange_set(visit->x, "Accept-Ranges", "bytes");
	if (part) {
		ur_exchange_set(visit->x, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
			first, first + size - 1, upload->length);
	}
	ur_exchange_answer_file(
		visit->x, part ? 206 : 200, "application/octet-stream", fd, first, size);
	visit->x = NULL;
	ur_visit_end(visit);
}

/* ---- would an upload be taken? --------------------------------------------------------------- */

/** NULL, or why not; its first word is for machines. */
static const char *why_none(struct ur_gateway *gateway)
{
	if (atomic_load(&gateway->stopping)) {
		return "stopping";
	}
	if (ur_spool_is_read_only(gateway->spool)) {
		return "read-only: nothing can be written to the spool";
	}
	if (!ur_limits_room(gateway)) {
		return "no-space: the spool's disk has less left than keep_free";
	}
	if (gateway->options.immich == NULL) {
		return NULL;
	}
	ur_upstream_hurry(gateway);
	if (gateway->server_away) {
		return "immich-away: immich-server does not answer as it should; the log says why";
	}
	return gateway->server.dialect == NULL ? "immich-away: immich-server has not answered yet"
					       : NULL;
}

void ur_status_health(struct ur_visit *visit)
{
	const char *why = why_none(visit->gateway);
	ur_exchange_set(visit->x, "Cache-Control", "no-store");
	ur_visit_answer(visit, why == NULL ? 200 : 503, why == NULL ? "ok" : why);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void add_figure(
	struct ur_text *text, const char *name, const char *kind, const char *help, uint64_t value)
{
	ur_text_addf(text,
		"# HELP uringest_gateway_%s %s\n# TYPE uringest_gateway_%s %s\n"
		"uringest_gateway_%s %" PRIu64 "\n",
		name, help, name, kind, name, value);
}

static void add_states(struct ur_gateway *gateway, struct ur_text *text)
{
	uint64_t counts[UR_SPOOL_STATES] = {0};
	uint64_t suspect = 0;
	uint64_t missing = 0;
	uint64_t kept = 0;
	uint64_t damaged = ur_spool_damaged(gateway->spool);
	for (const struct ur_spool_upload *at = ur_spool_next(gateway->spool, NULL); at != NULL;
		at = ur_spool_next(gateway->spool, at)) {
		const bool delivered = at->outcome.state == UR_SPOOL_DELIVERED;
		counts[at->outcome.state]++;
		suspect += delivered && at->outcome.suspect ? 1 : 0;
		missing += delivered && at->outcome.missed_ran_ms != UR_SPOOL_NEVER ? 1 : 0;
		kept += at->outcome.state == UR_SPOOL_REFUSED && !at->bytes_gone ? 1 : 0;
		damaged += at->is_damaged ? 1 : 0;
	}
	ur_text_adds(text, "# HELP uringest_gateway_uploads Uploads in the spool.\n"
			   "# TYPE uringest_gateway_uploads gauge\n");
	for (int i = 0; i < UR_SPOOL_STATES; i++) {
		ur_text_addf(text, "uringest_gateway_uploads{state=\"%s\"} %" PRIu64 "\n",
			ur_spool_state_name((enum ur_spool_state)i), counts[i]);
	}
	add_figure(text, "suspect", "gauge",
		"Uploads whose asset the server names, and which are believed later.", suspect);
	add_figure(text, "missing", "gauge",
		"Delivered uploads whose bytes the server does not give.", missing);
	add_figure(text, "refused_kept", "gauge",
		"Uploads that immich-server refused, and whose bytes are kept here.", kept);
	add_figure(text, "damaged", "gauge", "Uploads whose files are damaged; they are kept.",
		damaged);
}

void ur_status_metrics(struct ur_visit *visit)
{
	struct ur_gateway *gateway = visit->gateway;
	const struct ur_counters *c = &gateway->counters;
	const struct ur_httpd_counts http = ur_httpd_counts(gateway->httpd);
	const struct ur_spool_use use = ur_spool_use_of(gateway->spool, NULL);
	struct ur_text text = {0};
	uint64_t left = 0;
	const struct {
		const char *name;
		const char *help;
		uint64_t value;
	} counters[] = {
		{"created_total", "Uploads made.", c->created},
		{"early_total", "Uploads answered at once, since the server had them.", c->early},
		{"complete_total", "Uploads whose last byte is durable.", c->complete},
		{"delivered_total", "Uploads that immich-server created an asset for.",
			c->delivered},
		{"duplicates_total", "Uploads that immich-server had already.", c->duplicates},
		{"refused_total", "Uploads that immich-server refused.", c->refused},
		{"broken_total", "Uploads that were not what their checksum promised.", c->broken},
		{"expired_total", "Unfinished uploads that nobody went on with.", c->expired},
		{"terminated_total", "Uploads that their owner removed.", c->terminated},
		{"taken_over_total", "Requests cut off by a newer one.", c->taken_over},
		{"checksum_mismatches_total", "Requests or files with a wrong checksum.",
			c->mismatches},
		{"disk_full_total", "Requests refused for want of room.", c->disk_full},
		{"checkpoints_total", "Offsets made durable.", c->checkpoints},
		{"received_bytes_total", "Bytes of uploads received.", c->bytes_received},
		{"delivered_bytes_total", "Bytes of uploads delivered.", c->bytes_delivered},
		{"questions_total", "Questions to immich-server about who somebody is.",
			gateway->gate == NULL ? 0 : ur_gate_questions(gateway->gate)},
		{"connections_total", "Connections accepted.", http.connections},
		{"requests_total", "Requests.", http.requests},
		{"malformed_total", "Requests refused as malformed, too large or too slow.",
			http.refused},
	};
	for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
		add_figure(&text, counters[i].name, "counter", counters[i].help, counters[i].value);
	}
	add_states(gateway, &text);
	add_figure(&text, "spool_bytes", "gauge", "Bytes promised to the spool.", use.bytes);
	if (ur_spool_space(gateway->spool, &left) == 0) {
		add_figure(&text, "spool_free_bytes", "gauge", "Bytes free on the spool's disk.",
			left);
	}
	add_figure(&text, "connections", "gauge", "Open connections.", http.open);
	add_figure(
		&text, "receiving", "gauge", "Requests that bring bytes now.", gateway->receiving);
	add_figure(&text, "delivering", "gauge", "Deliveries under way now.", gateway->carrying);
	answer_text(visit, "text/plain; version=0.0.4; charset=utf-8", &text);
}

void ur_status_line(struct ur_gateway *gateway, char *ret, size_t room)
{
	const struct ur_spool_use use = ur_spool_use_of(gateway->spool, NULL);
	char bytes[16];
	ur_show_bytes(use.bytes, bytes);
	(void)snprintf(ret, room, "%u receiving, %u delivering, %zu uploads (%s) in the spool",
		gateway->receiving, gateway->carrying, use.uploads, bytes);
}
