/* upstream - what immich-server says of itself, asked once an hour. */
#include "engine/gateway/upstream.h"

#include "engine/net/proof.h"

#define ASK_MS 60000
#define AWAY_MS 2000 // until it is asked again
#define VERSION_MS (INT64_C(3600) * 1000)

void ur_upstream_note(struct ur_gateway *gateway, bool answers, const char *why)
{
	if (gateway->server_away && answers) {
		ur_gateway_log(gateway, 5, "immich-server answers again");
	} else if (!gateway->server_away && !answers) {
		ur_gateway_log(gateway, 4,
			"immich-server does not answer as it should (%s: %s); deliveries wait for it",
			gateway->options.immich, why);
	}
	gateway->server_away = !answers;
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
	ur_upstream_note(gateway, gateway->server.dialect != NULL,
		request->result < 0 ? request->err.text : "it does not say its version");
	if (told) {
		ask(gateway, UR_TYPES_PATH, on_types);
	}
}

void ur_upstream_tick(struct ur_gateway *gateway)
{
	if (!gateway->version_asking && ur_gateway_now_ms() >= gateway->version_until_ms) {
		ask(gateway, "/api/server/version", on_version);
	}
}
