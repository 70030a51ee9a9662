/**
 * proof - what an answer to one of the two questions of a delivery's proof says, and what it does not.
 *
 *     GET /api/assets/ID             is there such an asset?       ur_proof_of_asset()
 *     GET /api/assets/ID/original    does it give its bytes?       ur_proof_of_bytes()
 *
 * An unknown is a no, and no verdict either: a page of a proxy, a redirect, a key whose rights were
 * taken back and a line that broke say nothing about the asset.  Only Immich's own word does
 * (ur_immich_is_own_word).  What speaks for itself needs no mark: a 206 of the right total, or the
 * whole body counted.
 *
 *   Owner    plain values
 *   Units    sizes in bytes
 *   Errors   none: every answer has a meaning
 *   Threads  any
 *   Source   answers of real servers of 2.5.6 and 3.1.0
 */
#ifndef UR_NET_PROOF_H
#define UR_NET_PROOF_H

#include "engine/net/http.h"
#include "engine/net/immich.h"

enum ur_meaning {
	UR_MEANS_YES,       // it is so; for an asset: ur_immich_prove() has the next word
	UR_MEANS_GONE,      // asset: Immich knows none of this id
	UR_MEANS_OTHER,     // bytes: all came, from Immich, and they are others
	UR_MEANS_NO_BYTES,  // bytes: Immich names the asset and does not give these bytes
	UR_MEANS_FORBIDDEN, // Immich: this key may not ask that
	UR_MEANS_STRANGER,  // somebody before Immich answered: no verdict
	UR_MEANS_LATER,     // nobody could be asked, or not now
	UR_MEANINGS,
};

struct ur_reply {
	int result; // as of a request: 0 when an HTTP answer came
	int status;
	bool own;      // ur_immich_is_own_word()
	bool readable; // asset: its body is an asset
	int64_t total; // bytes: of Content-Range; -1 without
	uint64_t got;  // bytes: of the body that came
	bool other;    // bytes: all of them were compared, and they are others
};

/** An answer came, and it is Immich's own word: see ur_immich_is_own_word(). */
bool ur_proof_is_own(const struct ur_request *request);
enum ur_meaning ur_proof_of_asset(const struct ur_reply *reply);
/**
 * `size`: of the file; -1 where it is not known (a sidecar's picture).  `whole`: all bytes were asked
 * for.  Where something on the way drops Range, a 200 whose whole body was counted is as good as a 206.
 */
enum ur_meaning ur_proof_of_bytes(const struct ur_reply *reply, int64_t size, bool whole);

/**
 * True when the file `name` in the folder `folder` (its last component) may be the very file that the
 * server has at `original` (the asset's originalPath): the same last two components, or the same name
 * where that is one of Immich's own (a UUID).  Its bytes would then be proved by itself.
 */
bool ur_proof_is_same_place(const char *original, const char *folder, const char *name);
/** True when `above`/`folder`/`name` is where Immich itself puts an upload: aa/bb/aabb….ext. */
bool ur_proof_is_own_layout(const char *above, const char *folder, const char *name);

/**
 * The server's word for how long it has had an asset: its own Date less the asset's createdAt, both as
 * sent, and by our clock if that says less.  0 unless it is plausible: readable, not from the future,
 * the two clocks within two minutes of each other, and no asset older than Immich.
 */
int64_t ur_proof_server_age_ns(int64_t date_ns, int64_t created_ns, int64_t now_ns);

#endif
