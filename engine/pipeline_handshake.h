/**
 * pipeline_handshake - who the server is, who we are to it, and what it takes.
 *
 *     users/me                                    asked in every run: is it there, is the key good
 *     server/version  api-keys/me  media-types    kept in the ledger for a day
 *
 * What is kept is asked afresh when it does not allow what the run is about, when it cannot be
 * read, and in the run after one in which the server refused anything.
 *
 *   Errors   -ECONNREFUSED and the like, -EHOSTUNREACH  the server is away;  -EACCES  the key;
 *            -EPROTO  no Immich server
 *   Threads  blocks until http has the answers
 */
#ifndef UR_PIPELINE_HANDSHAKE_H
#define UR_PIPELINE_HANDSHAKE_H

#include "engine/ledger/ledger.h"
#include "engine/net/http.h"
#include "engine/net/immich.h"

struct ur_acquaintance {
	struct ur_ledger *ledger;
	const char *server;
	const char *key;
	bool wants_back; // reading assets back has to be allowed, too
	bool used;       // set: an answer was not asked for
};

/** `memory` may be NULL: all is asked; `types` may be NULL: they are not. */
[[nodiscard]] int ur_pipeline_handshake(struct ur_http *http, struct ur_acquaintance *memory,
	struct ur_server *ret, struct ur_types *types, struct ur_err *err);

/**
 * The answer to /api/libraries, for a run that empties folders: asked every time, since a library may
 * have been made since.  *ret_known is false when the key may not ask, or the server does not know it.
 */
[[nodiscard]] int ur_pipeline_libraries(
	struct ur_http *http, struct ur_text *ret, bool *ret_known, struct ur_err *err);

#endif
