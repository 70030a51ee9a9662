/**
 * sweep - what is over goes.
 *
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_SWEEP_H
#define UR_GATEWAY_SWEEP_H

struct ur_gateway;

/** Once a second; looks at every upload every few seconds. */
void ur_sweep(struct ur_gateway *gateway);

#endif
