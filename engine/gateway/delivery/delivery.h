/**
 * delivery - a complete upload goes to immich-server as one ordinary request, and is let go only
 * when the server proves that it holds it.
 *
 *   Owner    session->delivery, from add() to the tick that finds it settled, or to free()
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_DELIVERY_H
#define UR_GATEWAY_DELIVERY_H

#include "engine/gateway/gate.h"
#include "engine/gateway/session.h"

void ur_delivery_add(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential);
/** What a start finds, or a rebuilding: on its way to immich-server, if it is for that. */
bool ur_delivery_take_up(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** It is taken up later, once it was read: what went of it before this start is noted. */
void ur_delivery_recall_wire(struct ur_gateway *gateway, const struct ur_spool_upload *upload);
/** False: its key is not known any more, and a request of its owner is waited for. */
bool ur_delivery_has_key(const struct ur_spool_upload *upload);
/** An owner is here: what waits for a credential of theirs goes on. */
void ur_delivery_welcome(struct ur_gateway *gateway, const struct ur_visitor *who,
	const struct ur_credential *credential);
/** Beside the bytes, so that a restart needs nobody; without a seal it stays in memory only. */
void ur_delivery_keep_credential(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential);
/**
 * Bytes of this owner are on their way to immich-server, or were and may be what it kept of an upload that
 * failed: what it claims about them is not believed at once.
 */
bool ur_delivery_is_in_doubt(
	const struct ur_gateway *gateway, const char *owner, const uint8_t sha1[20]);
void ur_delivery_tick(struct ur_gateway *gateway);
/** Steady: until then what an earlier process sent of it may still reach the server; 0 or past: nothing may. */
int64_t ur_delivery_arrives_until_ms(const struct ur_spool_upload *upload);
/** True while a request or a job about this upload is under way, its picture's included. */
bool ur_delivery_is_busy(const struct ur_session *session);
/** It is being removed: no delivery counts on it any more. */
void ur_delivery_unrelate(struct ur_gateway *gateway, const struct ur_spool_upload *upload);
void ur_delivery_free(struct ur_session *session);
/** The same when nobody else runs any more: what was under way never ends. */
void ur_delivery_abandon(struct ur_session *session);

#endif
