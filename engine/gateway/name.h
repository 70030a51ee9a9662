/**
 * name - the name under which an upload reaches immich-server, which goes by its extension alone.
 *
 *     "../../x.jpg" ─▶ "x.jpg"     "IMG_1", "image/jpeg" ─▶ "IMG_1.jpg"     "IMG_1", bytes ─▶ by content
 *
 * A name is never a path: only its last part goes on.  Phones name a picture "IMG_1" and its type
 * beside it; where the extension is none that the server takes, the type gives one, and where no type
 * is named, the content does.
 *
 *   Owner    everything is the caller's
 *   Threads  any
 */
#ifndef UR_GATEWAY_NAME_H
#define UR_GATEWAY_NAME_H

#include "engine/media/kind.h"
#include "engine/net/tus.h"

#define UR_NAME_MAX (UR_TUS_NAME_MAX + 8) // with an extension added, and the NUL

/** `types` NULL: what servers usually take.  `kind` NULL: nobody looked at the bytes. */
void ur_name_of(const struct ur_tus_metadata *said, const struct ur_types *types,
	const struct ur_kind *kind, char ret[UR_NAME_MAX]);

enum ur_name_says {
	UR_NAME_TAKEN,   // the server takes such files
	UR_NAME_REFUSED, // it never does
	UR_NAME_OPEN,    // its bytes will tell, or nobody knows what the server takes
};
/** What the name of an upload says before its first byte. */
enum ur_name_says ur_name_judge(const char *name, const struct ur_types *types);

#endif
