/**
 * proof - whose word an answer is, and what names, places and times say of an asset: whether the
 * server's copy may be the very file that would go, and how long it has been there.
 *
 *   Owner    plain values
 *   Errors   none: what cannot be told is a no
 *   Threads  any
 *   Source   answers of real servers of 2.5.6 and 3.1.0
 */
#ifndef UR_NET_PROOF_H
#define UR_NET_PROOF_H

#include "engine/net/http.h"
#include "engine/net/immich.h"

/** An answer came, and it is Immich's own word: see ur_immich_is_own_word(). */
bool ur_proof_is_own(const struct ur_request *request);
/**
 * True when the file `name` in the folder `folder` (its last component) may be the very file that the
 * server has at `original` (the asset's originalPath): the same last two components, or the same name
 * where that is one of Immich's own (a UUID).  Its bytes would then be proved by itself.
 */
bool ur_proof_is_same_place(const char *original, const char *folder, const char *name);
/** True when `above`/`folder`/`name` is where Immich itself puts an upload: aa/bb/aabb….ext. */
bool ur_proof_is_own_layout(const char *above, const char *folder, const char *name);

/** Takes the server's clock from an answer's header field, if it is its Date; unreadable: 0. */
void ur_proof_take_date(const char *name, const char *value, int64_t *ret_ns);

/**
 * The server's word for how long it has had an asset: its own Date less the asset's createdAt, both as
 * sent, and by our clock if that says less.  0 unless it is plausible: readable, not from the future,
 * the two clocks within two minutes of each other, and no asset older than Immich.
 */
int64_t ur_proof_server_age_ns(int64_t date_ns, int64_t created_ns, int64_t now_ns);

#endif
