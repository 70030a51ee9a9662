/**
 * create - a new upload.
 *
 *   Owner    the visit is the room's until it is answered, or enters `receive` with its bytes
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_CREATE_H
#define UR_GATEWAY_CREATE_H

#include "engine/gateway/visit.h"

void ur_create(struct ur_visit *visit);

#endif
