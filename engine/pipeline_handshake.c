/* pipeline_handshake - one question that must be asked, three that seldom have to. */
#include "engine/pipeline_handshake.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"
#include "engine/net/proof.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define HANDSHAKE_MS 20000
#define HOLDS_NS (INT64_C(86400) * UR_SECOND_NS)

static_assert(UR_LEDGER_WHO == 32, "an HMAC-SHA-256");

struct greeting {
	struct ur_http *http;
	struct ur_acquaintance *memory; // NULL: nothing is remembered
	uint8_t who[UR_LEDGER_WHO];
	struct ur_server server;
	struct ur_types *types;
};

typedef int read_fn(struct greeting *g, const char *json, struct ur_err *err);

/** A key does not travel to where a redirect points: who runs this decides. */
static int say_redirect(const struct ur_request *call, const char *path, struct ur_err *err)
{
	char to[sizeof call->location];
	(void)snprintf(to, sizeof to, "%s", call->location);
	const size_t size = strlen(to);
	const size_t tail = strlen(path);
	if (size > tail && strcmp(to + size - tail, path) == 0) {
		to[size - tail] = '\0'; // the same question elsewhere: its address
	}
	struct ur_text shown = {0};
	ur_text_add_shown(&shown, to, strlen(to));
	const int r = ur_err_say(err, -EPROTO, UR_FAULT_SETUP,
		"the server's address redirects to '%s' (HTTP %d), and no key is sent after a "
		"redirect: if that is your server, give that address as --server",
		ur_text_get(&shown), call->status);
	ur_text_done(&shown);
	return r;
}

static int get(struct ur_http *http, const char *path, struct ur_request *ret, struct ur_err *err)
{
	*ret = (struct ur_request){.method = "GET", .path = path, .answer_wait_ms = HANDSHAKE_MS};
	ur_http_call(http, ret);
	if (ret->result < 0) {
		if (err != NULL) {
			*err = ret->err;
		}
		return ret->result;
	}
	if (ret->status == 200) {
		return 0;
	}
	char message[UR_MESSAGE_MAX];
	ur_immich_message(ret->status, ur_text_get(&ret->answer), ret->html, message);
	if (ret->status >= 300 && ret->status < 400) {
		return say_redirect(ret, path, err);
	}
	const bool own = ur_proof_is_own(ret);
	if ((ret->status == 401 || ret->status == 403) && !own) {
		return ur_err_say(err, -EACCES, UR_FAULT_SETUP,
			"something before the server wants a proof of its own for %s: %s; Immich's key "
			"says nothing to it. Let /api pass there without it, or give what it wants "
			"(--headers-file, --client-cert)",
			path, message);
	}
	if (ret->status == 401 || ret->status == 403) {
		return ur_err_say(err, -EACCES, UR_FAULT_SETUP,
			"the server does not accept the key for %s: %s; make one in Immich under "
			"Account Settings, API Keys",
			path, message);
	}
	if (ur_retry_may_pass(0, ret->status)) {
		return ur_err_say(err, -EHOSTUNREACH, UR_FAULT_WORLD,
			"the server cannot answer %s now: %s", path, message);
	}
	return ur_err_say(err, -EPROTO, UR_FAULT_SETUP,
		"what answers at this address is no Immich server: %s says %s", path, message);
}

/* ---- what is read ---------------------------------------------------------------------------- */

static int read_version(struct greeting *g, const char *json, struct ur_err *err)
{
	const int r = ur_immich_read_version(json, &g->server, err);
	return r < 0 ? ur_err_within(err, r, "what answers at this address is no Immich server")
		     : 0;
}

static int read_key(struct greeting *g, const char *json, struct ur_err *err)
{
	return ur_immich_read_key(json, &g->server, err);
}

static int read_types(struct greeting *g, const char *json, struct ur_err *err)
{
	return ur_immich_read_types(json, g->types, err);
}

/** A key that lacks something may have been given it since. */
static bool allows(const struct greeting *g)
{
	const struct ur_server *s = &g->server;
	return s->may_upload && s->may_update && s->may_tag &&
	       (!g->memory->wants_back || (s->may_read && s->may_download));
}

/* ---- asked or remembered --------------------------------------------------------------------- */

static int recall(
	struct greeting *g, const char *path, read_fn *read, bool *ret, struct ur_err *err)
{
	struct ur_text text = {0};
	bool found = false;
	*ret = false;
	if (g->memory == NULL) {
		return 0;
	}
	int r = ur_ledger_answer_get(
		g->memory->ledger, g->memory->server, g->who, path, HOLDS_NS, &text, &found, err);
	if (r == 0 && found && read(g, ur_text_get(&text), NULL) == 0) {
		*ret = read != read_key || allows(g);
		g->memory->used = g->memory->used || *ret;
	}
	ur_text_done(&text);
	return r;
}

static int learn(struct greeting *g, const char *path, read_fn *read, struct ur_err *err)
{
	struct ur_request call;
	bool known = false;
	int r = recall(g, path, read, &known, err);
	if (r < 0 || known) {
		return r;
	}
	r = get(g->http, path, &call, err);
	r = r < 0 ? r : read(g, ur_text_get(&call.answer), err);
	if (r == 0 && g->memory != NULL) {
		r = ur_ledger_answer_put(g->memory->ledger, g->memory->server, g->who, path,
			ur_text_get(&call.answer), err);
	}
	ur_request_done(&call);
	return r;
}

/** The key itself is in no ledger, nor anything that could be compared with other ledgers. */
static int recognise_key(struct greeting *g, struct ur_err *err)
{
	uint8_t salt[UR_LEDGER_SALT];
	unsigned size = sizeof g->who;
	const int r = ur_ledger_salt(g->memory->ledger, salt, err);
	if (r < 0) {
		return r;
	}
	const char *key = g->memory->key == NULL ? "" : g->memory->key;
	return HMAC(EVP_sha256(), salt, sizeof salt, (const unsigned char *)key, strlen(key),
		       g->who, &size) == NULL
		       ? ur_err_set(err, -EIO, UR_FAULT_WORLD, "cannot recognise the key")
		       : 0;
}

static int meet(struct greeting *g, struct ur_err *err)
{
	struct ur_request call;
	int r = g->memory == NULL ? 0 : recognise_key(g, err);
	r = r < 0 ? r : learn(g, "/api/server/version", read_version, err);
	if (r < 0) {
		return r;
	}
	r = get(g->http, "/api/users/me", &call, err);
	r = r < 0 ? r : ur_immich_read_user(ur_text_get(&call.answer), &g->server, err);
	ur_request_done(&call);
	r = r < 0 ? r : learn(g, "/api/api-keys/me", read_key, err);
	return r < 0 || g->types == NULL ? r : learn(g, "/api/server/media-types", read_types, err);
}

int ur_pipeline_handshake(struct ur_http *http, struct ur_acquaintance *memory,
	struct ur_server *ret, struct ur_types *types, struct ur_err *err)
{
	struct greeting g = {
		.http = http, .memory = memory, .types = types, .server = {.quota_bytes = -1}};
	const int r = meet(&g, err);
	if (r == 0) {
		*ret = g.server;
	} else if (memory != NULL && (r == -EACCES || r == -EPROTO)) {
		/* Whoever answers here now may be another one; what ends the run is said already. */
		if (ur_ledger_answers_drop(memory->ledger, memory->server, NULL) == 0) {
			(void)ur_ledger_commit(memory->ledger, NULL);
		}
	}
	return r;
}

int ur_pipeline_libraries(
	struct ur_http *http, struct ur_text *ret, bool *ret_known, struct ur_err *err)
{
	struct ur_request call = {
		.method = "GET", .path = "/api/libraries", .answer_wait_ms = HANDSHAKE_MS};
	ur_http_call(http, &call);
	const int r = call.result;
	*ret_known = r == 0 && call.status == 200 && !call.html;
	if (*ret_known) {
		ur_text_adds(ret, ur_text_get(&call.answer));
	} else if (r < 0) {
		*err = call.err;
	}
	ur_request_done(&call);
	return r;
}
