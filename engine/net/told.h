/**
 * told - what a gateway says became of an upload: the JSON of URL/status.  Pure.
 *
 *   Owner    everything lies in the caller's struct
 *   Errors   -EBADMSG  no such JSON (with a sentence)
 *   Source   the gateway's own answers (md/tus.md); unknown fields are ignored
 */
#ifndef UR_NET_TOLD_H
#define UR_NET_TOLD_H

#include "engine/base/err.h"
#include "engine/net/immich.h"
#include "engine/net/transfer.h"

struct ur_told {
	enum ur_transfer_told what;
	int status; // what immich-server answered to the gateway, 0 when that is not said
	bool has_durable;
	uint64_t durable; // bytes that a power cut would leave
	char asset[UR_ASSET_ID];
	char words[UR_TRANSFER_WHY_MAX]; // for people
};

/**
 * Only a 201 of immich-server counts as UR_TOLD_CREATED: whatever else the server claims to have is
 * asked for again later.
 */
[[nodiscard]] int ur_told_read(const char *json, struct ur_told *ret, struct ur_err *err);

#endif
