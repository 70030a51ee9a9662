/* upstream - what immich-server says of itself, asked once an hour. */
#include "engine/gateway/upstream.h"

#include "engine/net/proof.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS 60000
#define HURRY_MS 5000 // it is not asked more often, whoever wants to know
#define AWAY_MS 2000  // until it is asked again
#define VERSION_MS (INT64_C(3600) * 1000)

static void note_away(struct ur_gateway *gateway, int kind, const char *why)
{
	char server[UR_HTTP_SHOWN];
	ur_http_show(gateway->options.immich, server);
	const size_t size = strlen(server);
	if (strncmp(why, server, size) == 0 && strncmp(why + size, ": ", 2) == 0) {
		why += size + 2; // it is named already
	}
	if (!gateway->server_away || gateway->away_kind != kind) {
		ur_gateway_log(gateway, 4,
			"immich-server does not answer as it should (%s: %s); deliveries wait for it",
			server, why);
	}
	gateway->server_away = true;
	gateway->away_kind = kind;
}

void ur_upstream_note(struct ur_gateway *gateway, bool answers, const char *why)
{
	if (!answers) {
		note_away(gateway, gateway->server_away ? gateway->away_kind : 0, why);
		return;
	}
	if (gateway->server_away) {
		ur_gateway_log(gateway, 5, "immich-server answers again");
	}
	gateway->server_away = false;
}

void ur_upstream_doubt(
	struct ur_gateway *gateway, const struct ur_request *request, const char *lacks)
{
	const bool own = ur_proof_is_own(request);
	const char *type = request->answer_type[0] == '\0' ? "no type" : request->answer_type;
	char why[256];
	if (request->result < 0) {
		(void)snprintf(why, sizeof why, "%.200s", request->err.text);
		note_away(gateway, request->result, why);
		return;
	}
	if (!own && (lacks == NULL || request->correlation[0] == '\0')) {
		lacks = request->correlation[0] == '\0'
				? "without the mark of Immich's answers (x-immich-cid), so something "
				  "else answers in its place"
				: "not in the form of Immich's answers, so something else answers in "
				  "its place";
	}
	(void)snprintf(why, sizeof why, "HTTP %d, %s%s%s", request->status, type,
		lacks == NULL ? "" : ", ", lacks == NULL ? "" : lacks);
	note_away(gateway, own ? request->status : 1000 + request->status, why);
}

void ur_upstream_take_types(struct ur_gateway *gateway, const struct ur_request *request)
{
	struct ur_types *types = NULL;
	if (request->status == 200 && ur_proof_is_own(request) && ur_types_new(&types) == 0 &&
		ur_immich_read_types(ur_text_get(&request->answer), types, NULL) == 0) {
		ur_types_free(gateway->types);
		gateway->types = types;
		return;
	}
	ur_types_free(types);
}

static void on_types(struct ur_post *post)
{
	struct ur_gateway *gateway =
		(struct ur_gateway *)((char *)post - offsetof(struct ur_gateway, version_post));
	gateway->version_asking = false;
	ur_upstream_take_types(gateway, &gateway->version_request);
}

static void house_answered(struct ur_request *request)
{
	struct ur_gateway *gateway = request->owner;
	ur_httpd_post(gateway->httpd, &gateway->version_post);
}

static void ask(struct ur_gateway *gateway, const char *path, void (*read)(struct ur_post *))
{
	ur_request_done(&gateway->version_request);
	gateway->version_request = (struct ur_request){
		.method = "GET",
		.path = path,
		.answer_wait_ms = ASK_MS,
		.answer_max = 64u << 10,
		.done = house_answered,
		.owner = gateway,
	};
	gateway->version_post.run = read;
	gateway->version_asking = true;
	ur_http_submit(gateway->ask, &gateway->version_request);
}

static void on_version(struct ur_post *post)
{
	struct ur_gateway *gateway =
		(struct ur_gateway *)((char *)post - offsetof(struct ur_gateway, version_post));
	const struct ur_request *request = &gateway->version_request;
	const bool told =
		request->result == 0 && request->status == 200 &&
		ur_immich_read_version(ur_text_get(&request->answer), &gateway->server, NULL) == 0;
	gateway->version_asking = false;
	gateway->version_until_ms = ur_gateway_now_ms() + (told ? VERSION_MS : AWAY_MS);
	if (!told) {
		ur_upstream_doubt(gateway, request, "it does not say its version");
	} else {
		ur_upstream_note(gateway, true, "");
		ask(gateway, UR_TYPES_PATH, on_types);
	}
}

void ur_upstream_tick(struct ur_gateway *gateway)
{
	const int64_t now = ur_gateway_now_ms();
	if (!gateway->version_asking && now >= gateway->version_until_ms) {
		gateway->version_asked_ms = now;
		ask(gateway, "/api/server/version", on_version);
	} else if (gateway->version_asking && !gateway->server_away &&
		   now >= gateway->version_asked_ms + UR_UPSTREAM_SILENCE_MS) {
		note_away(gateway, -ETIMEDOUT, "no answer yet");
	}
}

void ur_upstream_hurry(struct ur_gateway *gateway)
{
	const int64_t soon = gateway->version_asked_ms + HURRY_MS;
	if (gateway->version_until_ms > soon) {
		gateway->version_until_ms = soon;
	}
}
