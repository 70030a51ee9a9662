/*
 * route - which request it is, whether it is well formed, and who sends it.
 *
 *     version (412) → method and path (404, 405) → headers (400, 415) → who (401, 403) → its room
 *
 * Nothing of a body is read before the last of these.
 */
#include "engine/gateway/route.h"

#include "engine/gateway/create.h"
#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/receive.h"
#include "engine/gateway/status.h"
#include "engine/gateway/visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOWED "POST, GET, HEAD, PATCH, DELETE, OPTIONS"
#define ALLOWED_HEADERS                                                                      \
	"Authorization, Content-Type, Tus-Resumable, Upload-Checksum, Upload-Defer-Length, " \
	"Upload-Length, Upload-Metadata, Upload-Offset, X-Api-Key, X-HTTP-Method-Override, " \
	"X-Request-ID, X-Requested-With"

/* ---- which request --------------------------------------------------------------------------- */

static bool says(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

/** What comes behind the base, or NULL. */
static const char *below_base(const struct ur_gateway *gateway, const char *path)
{
	const size_t size = strlen(gateway->base);
	return strncmp(path, gateway->base, size) == 0 ? path + size : NULL;
}

/** POST to an upload's URL may mean PATCH or DELETE, and nothing else. */
static const char *method_of(const struct ur_exchange *x)
{
	const char *other = ur_exchange_field(x, "x-http-method-override");
	if (other == NULL || strcmp(x->method, "POST") != 0) {
		return x->method;
	}
	return says(other, "PATCH") || says(other, "DELETE") ? other : "";
}

/** False when it was answered. */
static bool find_upload_verb(struct ur_visit *visit, const char *rest)
{
	static const struct {
		const char *method;
		enum ur_verb verb;
	} verbs[] = {{"HEAD", UR_VERB_HEAD}, {"PATCH", UR_VERB_PATCH}, {"DELETE", UR_VERB_DELETE},
		{"GET", UR_VERB_GET}};
	const char *method = method_of(visit->x);
	const char *slash = strchr(rest, '/');
	const size_t size = slash == NULL ? strlen(rest) : (size_t)(slash - rest);
	(void)snprintf(visit->id, sizeof visit->id, "%.*s", (int)size, rest);
	if (size != UR_SPOOL_ID - 1 || !ur_tus_is_id(visit->id) ||
		(slash != NULL && strcmp(slash, "/status") != 0)) {
		ur_visit_refuse(visit, 404, "there is no such upload");
		return false;
	}
	if (slash != NULL) {
		visit->verb = UR_VERB_STATUS;
		method = says(method, "GET") ? "STATUS" : "";
	}
	for (size_t i = 0; slash == NULL && i < sizeof verbs / sizeof *verbs; i++) {
		if (says(method, verbs[i].method)) {
			visit->verb = verbs[i].verb;
			return true;
		}
	}
	if (slash == NULL || method[0] == '\0') {
		ur_exchange_set(visit->x, "Allow", "%s",
			slash == NULL ? "HEAD, PATCH, DELETE, GET, OPTIONS" : "GET, OPTIONS");
		ur_visit_refuse(visit, 405,
			"an upload answers HEAD, PATCH, DELETE and GET, its status GET");
		return false;
	}
	return true;
}

static bool find_verb(struct ur_visit *visit)
{
	const char *rest = below_base(visit->gateway, visit->x->path);
	const char *method = visit->x->method;
	if (rest == NULL) {
		ur_visit_refuse(visit, 404, "nothing is here; uploads begin at %sfiles/",
			visit->gateway->base);
		return false;
	}
	if (says(method, "OPTIONS")) {
		visit->verb = UR_VERB_OPTIONS;
		return true;
	}
	const bool reads = says(method, "GET") || says(method, "HEAD");
	if (says(rest, "healthz") && reads) {
		visit->verb = UR_VERB_HEALTH;
		return true;
	}
	if (says(rest, "livez") && reads) {
		visit->verb = UR_VERB_ALIVE;
		return true;
	}
	if (says(rest, "metrics") && reads) {
		visit->verb = UR_VERB_METRICS;
		return true;
	}
	if (says(rest, "files") || says(rest, "files/")) {
		visit->verb = UR_VERB_CREATE;
		if (!says(method_of(visit->x), "POST")) {
			ur_exchange_set(visit->x, "Allow", "POST, OPTIONS");
			ur_visit_refuse(visit, 405, "uploads are made here, by POST");
			return false;
		}
		return true;
	}
	if (strncmp(rest, "files/", 6) == 0) {
		return find_upload_verb(visit, rest + 6);
	}
	ur_visit_refuse(
		visit, 404, "nothing is here; uploads begin at %sfiles/", visit->gateway->base);
	return false;
}

static bool speaks_tus(const struct ur_visit *visit)
{
	return visit->verb == UR_VERB_CREATE || visit->verb == UR_VERB_HEAD ||
	       visit->verb == UR_VERB_PATCH || visit->verb == UR_VERB_DELETE;
}

/* ---- its headers ----------------------------------------------------------------------------- */

static bool read_number(struct ur_visit *visit, const char *name, bool *ret_there, uint64_t *ret)
{
	const char *text = ur_exchange_field(visit->x, name);
	*ret_there = text != NULL;
	if (text != NULL && ur_tus_number(text, ret) < 0) {
		ur_visit_refuse(visit, 400, "the header %s is no number of bytes (0 to %lld)", name,
			(long long)INT64_MAX);
		return false;
	}
	return true;
}

static bool read_lengths(struct ur_visit *visit)
{
	const char *defer = ur_exchange_field(visit->x, "upload-defer-length");
	const uint64_t most = visit->gateway->limits.size_max;
	if (!read_number(visit, "upload-length", &visit->has_length, &visit->length)) {
		return false;
	}
	if (visit->verb == UR_VERB_CREATE && (defer != NULL) == visit->has_length) {
		ur_visit_refuse(
			visit, 400, "a creation says Upload-Length, or Upload-Defer-Length: 1");
		return false;
	}
	if (visit->verb == UR_VERB_CREATE && defer != NULL && strcmp(defer, "1") != 0) {
		ur_visit_refuse(visit, 400, "Upload-Defer-Length has no other value than 1");
		return false;
	}
	visit->deferred = defer != NULL;
	if (visit->has_length && visit->length > most) {
		ur_visit_refuse(visit, 413, "an upload has at most %llu bytes here",
			(unsigned long long)most);
		return false;
	}
	return true;
}

static bool read_checksum(struct ur_visit *visit)
{
	const char *text = ur_exchange_field(visit->x, "upload-checksum");
	struct ur_err err = {0};
	visit->has_checksum = text != NULL;
	if (text != NULL && ur_tus_checksum_read(text, &visit->checksum, &err) < 0) {
		ur_visit_refuse(visit, 400, "%s", err.text);
		return false;
	}
	return true;
}

static bool is_offset_stream(const struct ur_exchange *x)
{
	const char *type = ur_exchange_field(x, "content-type");
	const size_t size = sizeof UR_TUS_CONTENT_TYPE - 1;
	return type != NULL && strncmp(type, UR_TUS_CONTENT_TYPE, size) == 0 &&
	       (type[size] == '\0' || type[size] == ';' || type[size] == ' ');
}

static bool read_metadata(struct ur_visit *visit)
{
	const char *text = ur_exchange_field(visit->x, "upload-metadata");
	struct ur_err err = {0};
	visit->metadata = calloc(1, sizeof *visit->metadata);
	visit->metadata_text = strdup(text == NULL ? "" : text);
	if (visit->metadata == NULL || visit->metadata_text == NULL) {
		ur_visit_refuse(visit, 503, "the gateway is short of memory; try again");
		return false;
	}
	if (text != NULL && ur_tus_metadata_read(text, visit->metadata, &err) < 0) {
		ur_visit_refuse(visit, 400, "%s", err.text);
		return false;
	}
	if (says(visit->metadata->visibility, "locked")) {
		ur_visit_refuse(visit, 400,
			"visibility locked is not taken: nobody could ask afterwards whether the server "
			"holds the file; lock it when it is there");
		return false;
	}
	return true;
}

static bool read_create(struct ur_visit *visit)
{
	if (ur_exchange_field(visit->x, "upload-concat") != NULL) {
		ur_visit_refuse(visit, 400, "uploads are not concatenated here");
		return false;
	}
	if (visit->x->has_body && !is_offset_stream(visit->x)) {
		ur_visit_refuse(visit, 415, "bytes of an upload are %s", UR_TUS_CONTENT_TYPE);
		return false;
	}
	if (visit->has_length && visit->x->has_length && visit->x->length > visit->length) {
		ur_visit_refuse(
			visit, 413, "the request holds more bytes than Upload-Length announces");
		return false;
	}
	return read_metadata(visit);
}

static bool read_patch(struct ur_visit *visit)
{
	bool there = false;
	if (!is_offset_stream(visit->x)) {
		ur_visit_refuse(visit, 415, "bytes of an upload are %s", UR_TUS_CONTENT_TYPE);
		return false;
	}
	if (!read_number(visit, "upload-offset", &there, &visit->offset)) {
		return false;
	}
	if (!there) {
		ur_visit_refuse(visit, 400, "a PATCH says at which Upload-Offset its bytes begin");
		return false;
	}
	return true;
}

static bool read_headers(struct ur_visit *visit)
{
	switch (visit->verb) {
	case UR_VERB_CREATE:
		return read_lengths(visit) && read_checksum(visit) && read_create(visit);
	case UR_VERB_PATCH:
		return read_lengths(visit) && read_checksum(visit) && read_patch(visit);
	case UR_VERB_OPTIONS:
	case UR_VERB_HEAD:
	case UR_VERB_DELETE:
	case UR_VERB_GET:
	case UR_VERB_STATUS:
	case UR_VERB_HEALTH:
	case UR_VERB_ALIVE:
	case UR_VERB_METRICS:
		return true;
	}
	return false;
}

/* ---- who sends it ---------------------------------------------------------------------------- */

static bool is_proxy(const struct ur_gateway *gateway, const char *peer)
{
	for (size_t i = 0; i < gateway->options.proxy_count; i++) {
		if (strcmp(gateway->options.proxies[i], peer) == 0) {
			return true;
		}
	}
	return false;
}

/** The address that a request comes from; a declared proxy is believed about it. */
static const char *address_of(const struct ur_visit *visit)
{
	const char *real = ur_exchange_field(visit->x, "x-real-ip");
	return real != NULL && strlen(real) < 64 && is_proxy(visit->gateway, visit->x->peer)
		       ? real
		       : visit->x->peer;
}

/** The upload that the visit is about, if it is this visitor's; otherwise it is answered. */
static struct ur_spool_upload *find_upload(struct ur_visit *visit)
{
	struct ur_spool_upload *upload = ur_spool_find(visit->gateway->spool, visit->id);
	if (upload == NULL || strcmp(upload->owner, visit->who.user) != 0) {
		ur_visit_refuse(visit, 404, "there is no such upload");
		return NULL;
	}
	if (upload->is_unread && visit->verb != UR_VERB_STATUS) {
		ur_visit_refuse(visit, 503, "its bytes are being read after a damage; try again");
		return NULL;
	}
	const bool expired = upload->outcome.state == UR_SPOOL_REFUSED &&
			     upload->outcome.status == UR_STATUS_EXPIRED;
	const bool broken = upload->outcome.state == UR_SPOOL_BROKEN;
	if ((expired || broken) && visit->verb != UR_VERB_STATUS && visit->verb != UR_VERB_DELETE) {
		ur_visit_refuse(visit, 410, "%s", upload->outcome.words);
		return NULL;
	}
	return upload;
}

static void enter(struct ur_visit *visit)
{
	struct ur_spool_upload *upload = NULL;
	if (visit->verb == UR_VERB_CREATE && visit->who.may_upload) {
		ur_create(visit);
		return;
	}
	if (visit->verb != UR_VERB_CREATE) {
		upload = find_upload(visit);
		if (upload == NULL) {
			return;
		}
	}
	if ((visit->verb == UR_VERB_CREATE || visit->verb == UR_VERB_PATCH) &&
		!visit->who.may_upload) {
		ur_visit_refuse(visit, 403,
			"this key lacks the permission asset.upload; make one that has it");
	} else if (visit->verb == UR_VERB_STATUS) {
		ur_status_answer(visit, upload);
	} else if (visit->verb == UR_VERB_GET) {
		ur_status_bytes(visit, upload);
	} else {
		ur_receive_enter(visit, upload);
	}
}

static void on_told(struct ur_gate_wait *wait, enum ur_verdict verdict,
	const struct ur_visitor *who, const char *words)
{
	static const int statuses[] = {
		[UR_VERDICT_UNKNOWN] = 401,
		[UR_VERDICT_FORBIDDEN] = 403,
		[UR_VERDICT_BUSY] = 503, // many clients give up after a 429
		[UR_VERDICT_AWAY] = 503,
	};
	struct ur_visit *visit =
		(struct ur_visit *)((char *)wait - offsetof(struct ur_visit, wait));
	if (visit->x == NULL) {
		ur_visit_end(visit);
		return;
	}
	if (verdict != UR_VERDICT_IN) {
		ur_visit_refuse(visit, statuses[verdict], "%s", words);
		return;
	}
	visit->who = *who;
	ur_delivery_welcome(visit->gateway, &visit->who, &visit->credential);
	enter(visit);
}

static void ask_who(struct ur_visit *visit)
{
	if (visit->gateway->options.immich == NULL) {
		(void)snprintf(visit->who.user, sizeof visit->who.user, "anonymous");
		visit->who.may_upload = true;
		enter(visit);
		return;
	}
	ur_credential_of(visit->x, &visit->credential);
	if (visit->credential.line[0] == '\0') {
		ur_visit_refuse(visit, 401,
			"who are you? send an Immich API key as x-api-key, or a session's token as "
			"Authorization: Bearer");
		return;
	}
	visit->wait.told = on_told;
	ur_gate_ask(visit->gateway->gate, &visit->credential, address_of(visit), &visit->wait);
}

/* ---- without asking -------------------------------------------------------------------------- */

static void answer_options(struct ur_visit *visit)
{
	struct ur_exchange *x = visit->x;
	ur_exchange_set(x, "Tus-Version", "%s", UR_TUS_VERSION);
	ur_exchange_set(x, "Tus-Extension", "%s", UR_TUS_EXTENSIONS);
	ur_exchange_set(x, "Tus-Checksum-Algorithm", "%s", UR_TUS_CHECKSUMS);
	ur_exchange_set(
		x, "Tus-Max-Size", "%llu", (unsigned long long)visit->gateway->limits.size_max);
	if (ur_exchange_field(x, "origin") != NULL) {
		ur_exchange_set(x, "Access-Control-Allow-Methods", "%s", ALLOWED);
		ur_exchange_set(x, "Access-Control-Allow-Headers", "%s", ALLOWED_HEADERS);
		ur_exchange_set(x, "Access-Control-Max-Age", "86400");
	}
	ur_visit_answer(visit, 204, "");
}

/** Figures are for the house: nothing that came through a proxy sees them. */
static bool is_inside(const struct ur_exchange *x)
{
	return x->peer_near && ur_exchange_field(x, "x-forwarded-for") == NULL &&
	       ur_exchange_field(x, "x-real-ip") == NULL &&
	       ur_exchange_field(x, "forwarded") == NULL;
}

/** True when the verb needs nobody's name. */
static bool answer_anybody(struct ur_visit *visit)
{
	if (visit->verb == UR_VERB_OPTIONS) {
		answer_options(visit);
	} else if (visit->verb == UR_VERB_HEALTH) {
		ur_status_health(visit);
	} else if (visit->verb == UR_VERB_ALIVE) {
		ur_visit_answer(visit, 200, "ok");
	} else if (visit->verb == UR_VERB_METRICS && !is_inside(visit->x)) {
		ur_visit_refuse(visit, 404, "nothing is here");
	} else if (visit->verb == UR_VERB_METRICS) {
		ur_status_metrics(visit);
	} else {
		return false;
	}
	return true;
}

/* ---- the life of a request ------------------------------------------------------------------- */

void ur_route_begin(void *context, struct ur_exchange *x)
{
	struct ur_visit *visit = ur_visit_begin(context, x);
	if (visit == NULL) {
		const bool head = strcmp(x->method, "HEAD") == 0;
		ur_exchange_set(x, "Retry-After", "5");
		ur_exchange_answer(x, head ? 423 : 503, NULL, NULL, 0);
		return;
	}
	if (!find_verb(visit) || answer_anybody(visit)) {
		return;
	}
	const char *version = ur_exchange_field(x, "tus-resumable");
	if (speaks_tus(visit) && !says(version, UR_TUS_VERSION)) {
		ur_exchange_set(x, "Tus-Version", "%s", UR_TUS_VERSION);
		ur_visit_refuse(visit, 412, "this gateway speaks tus %s; say so by Tus-Resumable",
			UR_TUS_VERSION);
		return;
	}
	if (read_headers(visit)) {
		ask_who(visit);
	}
}

void ur_route_body(void *context, struct ur_exchange *x, const void *bytes, size_t size)
{
	struct ur_visit *visit = x->owner;
	(void)context;
	if (visit != NULL) {
		ur_receive_body(visit, bytes, size);
	}
}

void ur_route_end(void *context, struct ur_exchange *x)
{
	struct ur_visit *visit = x->owner;
	(void)context;
	if (visit != NULL) {
		ur_receive_end(visit);
	}
}

/** What waits for somebody else's answer ends when that answer comes. */
void ur_route_gone(void *context, struct ur_exchange *x, int why)
{
	struct ur_visit *visit = x->owner;
	(void)context;
	(void)why;
	if (visit != NULL) {
		visit->x = NULL;
		if (visit->session != NULL) {
			ur_receive_gone(visit);
		} else if (visit->awaits != 0) {
			ur_status_leave(visit);
			ur_visit_end(visit);
		}
	}
}
