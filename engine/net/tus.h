/**
 * tus - the resumable-upload protocol's words, for both sides.  Pure: bytes to structs and back.
 *
 *   Owner    texts passed in stay the caller's; what is returned lies in the caller's structs
 *   Units    offsets and lengths in bytes, at most UR_TUS_LENGTH_MAX
 *   Errors   -EBADMSG with a sentence that says which header and why; -EMSGSIZE for a length beyond
 *            the maximum
 *   Source   tus 1.0.0: core, creation, creation-with-upload, creation-defer-length, checksum,
 *            expiration, termination
 */
#ifndef UR_NET_TUS_H
#define UR_NET_TUS_H

#include "engine/base/err.h"
#include "engine/base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_TUS_VERSION "1.0.0"
#define UR_TUS_EXTENSIONS \
	"creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
#define UR_TUS_CHECKSUMS "sha1,xxh128"
#define UR_TUS_CONTENT_TYPE "application/offset+octet-stream"
#define UR_TUS_LENGTH_MAX ((uint64_t)INT64_MAX)
#define UR_TUS_METADATA_MAX 8192u // bytes of the header
#define UR_TUS_NAME_MAX 1024u     // bytes of a file's name
#define UR_TUS_STATUS_CHECKSUM 460

/** Decimal digits and nothing else: no sign, no space, no leading "0x", no overflow. */
[[nodiscard]] int ur_tus_number(const char *text, uint64_t *ret);

enum ur_tus_algorithm {
	UR_TUS_NONE,
	UR_TUS_SHA1,
	UR_TUS_XXH128,
};
struct ur_tus_checksum {
	enum ur_tus_algorithm algorithm;
	uint8_t bytes[20];
	size_t size; // 20 or 16
};
/** "sha1 BASE64"; -EBADMSG: malformed; -ENOTSUP: an algorithm that is not ours. */
[[nodiscard]] int ur_tus_checksum_read(
	const char *value, struct ur_tus_checksum *ret, struct ur_err *err);
void ur_tus_checksum_write(const struct ur_tus_checksum *checksum, char ret[64]);

/**
 * What an upload says of itself.  Names that are not listed here are refused neither nor kept: the
 * header is given back as it came, its unknown fields go no further.  CR, LF, NUL and other control
 * bytes in a value are refused.  A name travels as a form field: never as a path, never as a part
 * of one.
 */
struct ur_tus_metadata {
	char filename[UR_TUS_NAME_MAX]; // "filename" or "name"; "" without
	char type[128];                 // "filetype", "type": informative
	bool has_sha1;
	/** "checksum" or "sha1": of the whole file; base64 or 40 hexadecimal digits. */
	uint8_t sha1[20];
	char created[40];        // "fileCreatedAt", ISO 8601; "" without
	char modified[40];       // "fileModifiedAt"
	char device_asset[256];  // "deviceAssetId"
	char device[256];        // "deviceId"
	char live_movie[37];     // "livePhotoVideoId": an asset of the server
	char movie_upload[33];   // "livePhotoVideo": an upload of the same owner
	char sidecar_upload[33]; // "sidecar": an upload of the same owner
	bool is_sidecar;     // "role" is "sidecar": it waits for its picture, is no asset itself
	bool favorite;       // "isFavorite": "true"
	char visibility[16]; // "visibility": timeline, archive, hidden, locked; "" without
};
/** The header Upload-Metadata: "key base64,key base64,key". */
[[nodiscard]] int ur_tus_metadata_read(
	const char *value, struct ur_tus_metadata *ret, struct ur_err *err);
/** One pair more; bytes are encoded. */
void ur_tus_metadata_add(struct ur_text *value, const char *key, const char *bytes, size_t size);

/** True for 32 lower-case hexadecimal digits, an upload's id. */
bool ur_tus_is_id(const char *text);

#endif
