/**
 * upstream - what is known of immich-server: its version, the types it takes, whether it answers.
 *
 *   Owner    gateway->server, ->types and ->server_away
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_UPSTREAM_H
#define UR_GATEWAY_UPSTREAM_H

#include "engine/gateway/state.h"

#define UR_UPSTREAM_SILENCE_MS 5000 // then it is said that there is no answer yet
#define UR_TYPES_PATH "/api/server/media-types"

/** One line when it goes, one when it comes back, however many deliveries wait. */
void ur_upstream_note(struct ur_gateway *gateway, bool answers, const char *why);
/**
 * The same of an answer that is none, and why: what came, and what it `lacks` (NULL: its status tells).
 * Said again when the reason is another one.
 */
void ur_upstream_doubt(
	struct ur_gateway *gateway, const struct ur_request *request, const char *lacks);
/** Somebody asks how it is: what is known is to be of now. */
void ur_upstream_hurry(struct ur_gateway *gateway);
/** The answer to UR_TYPES_PATH: in the server's own words, or what was known before goes on. */
void ur_upstream_take_types(struct ur_gateway *gateway, const struct ur_request *request);
/** Asks for the server's version, if it is time. */
void ur_upstream_tick(struct ur_gateway *gateway);

#endif
