/**
 * route - which request it is, whether it may, and whose turn it is: what httpd is given to call.
 *
 *   Owner    context is the gateway; x->owner is the visit, for as long as there is one
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_ROUTE_H
#define UR_GATEWAY_ROUTE_H

#include "engine/net/httpd.h"

void ur_route_begin(void *context, struct ur_exchange *x);
void ur_route_body(void *context, struct ur_exchange *x, const void *bytes, size_t size);
void ur_route_end(void *context, struct ur_exchange *x);
void ur_route_gone(void *context, struct ur_exchange *x, int why);

#endif
