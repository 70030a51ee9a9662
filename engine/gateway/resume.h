/**
 * resume - what an earlier process left is taken up again.
 *
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_RESUME_H
#define UR_GATEWAY_RESUME_H

struct ur_gateway;

/** Once, when everything else stands. */
void ur_resume(struct ur_gateway *gateway);

#endif
