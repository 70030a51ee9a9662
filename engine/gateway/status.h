/**
 * status - what is told about an upload, its bytes, and figures for the house.
 *
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_STATUS_H
#define UR_GATEWAY_STATUS_H

#include "engine/gateway/visit.h"

void ur_status_answer(struct ur_visit *visit, const struct ur_spool_upload *upload);
/** The peer is gone: it waits no more. */
void ur_status_leave(struct ur_visit *visit);
/** What waits for the upload `id` (NULL: for any) is answered if there is nothing to wait for. */
void ur_status_wake(struct ur_gateway *gateway, const char *id);
void ur_status_bytes(struct ur_visit *visit, struct ur_spool_upload *upload);
/** 200, or 503 with the reason: stopping, read-only, no-space, immich-away. */
void ur_status_health(struct ur_visit *visit);
void ur_status_metrics(struct ur_visit *visit);
void ur_status_line(struct ur_gateway *gateway, char *ret, size_t room);

#endif
