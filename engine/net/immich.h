/**
 * immich - the server's language: requests written, answers read.  Pure: no socket, no file.
 *
 * What differs between the versions is in one table (`ur_immich_dialect`).  Answers are read
 * liberally: unknown fields are ignored, missing ones are an error only where they are needed.
 *
 *   Owner    texts passed in stay the caller's; what is returned is in the caller's structs
 *   Errors   -EBADMSG  the answer is not what the server's contract says (with a sentence)
 *   Source   a real 2.5.6 server's answers; 3.x by its published types
 */
#ifndef UR_NET_IMMICH_H
#define UR_NET_IMMICH_H

#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/media/kind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_ASSET_ID 37 // a UUID and its NUL
#define UR_SHA1_SIZE 20
#define UR_CHECK_BATCH_MAX 5000 // 65,532 is where the server breaks; answers stay below 1 MB
#define UR_MESSAGE_MAX 400
#define UR_PATH_TAIL 600 // two names of 255 bytes and more

struct ur_dialect {
	const char *name;
	bool device_fields; // deviceAssetId and deviceId are required
};

struct ur_server {
	int major;
	int minor;
	int patch;
	const struct ur_dialect *dialect;
	bool in_range; // 2.5 to 3.x
	char user_id[UR_ASSET_ID];
	char user_name[128];
	int64_t quota_bytes; // -1: none
	int64_t quota_used;
	bool may_upload;
	bool may_read;     // asset.read: the confirmation asks for the asset
	bool may_download; // asset.download: and for its bytes
	bool may_update;
	bool may_tag;
};

[[nodiscard]] int ur_immich_read_version(
	const char *json, struct ur_server *ret, struct ur_err *err);
[[nodiscard]] int ur_immich_read_user(const char *json, struct ur_server *ret, struct ur_err *err);
[[nodiscard]] int ur_immich_read_key(const char *json, struct ur_server *ret, struct ur_err *err);
[[nodiscard]] int ur_immich_read_types(const char *json, struct ur_types *ret, struct ur_err *err);

/**
 * Whether an answer is Immich's own word, and not a page of what stands before it: a redirect never,
 * anything else (a range beyond a file's end, too) with its correlation id, which nearly every answer
 * bears (x-immich-cid in 2.x, X-Correlation-ID in 3.x); a refusal (4xx, 5xx) also needs the shape of
 * its complaints, JSON with a `message`, whose statusCode and correlationId, where they are said, are
 * those of the answer.  Where it is not, the answer is doubt and never a verdict about a file: what it
 * was asked about is asked again.  `type` is the Content-Type, "" without, as is `correlation`.
 */
bool ur_immich_is_own_word(
	int status, const char *correlation, const char *type, const char *answer);
/** What the server says is wrong, in its own words; always a sentence, control bytes shown. */
void ur_immich_message(int status, const char *answer, bool html, char ret[UR_MESSAGE_MAX]);
bool ur_immich_is_quota(int status, const char *answer);

/** `{"assets":[{"id":"0","checksum":"…"}…]}`; ids are positions. */
void ur_immich_check_begin(struct ur_text *body);
void ur_immich_check_add(struct ur_text *body, size_t index, const uint8_t sha1[UR_SHA1_SIZE]);
void ur_immich_check_end(struct ur_text *body);

struct ur_check {
	bool answered;
	bool there; // the server names an asset with this checksum
	bool trashed;
	char asset[UR_ASSET_ID];
};
/** Fills `ret[0..count)`; every position must be answered. */
[[nodiscard]] int ur_immich_check_read(
	const char *json, struct ur_check *ret, size_t count, struct ur_err *err);

struct ur_upload_fields {
	const char *name; // as the server shall know it: UTF-8, no control bytes
	int64_t created_ns;
	int64_t modified_ns;
	uint64_t size;
	const char *live_movie; // asset id or NULL
	const char *sidecar_name;
	uint64_t sidecar_size;
	/* What a gateway's client says for itself; NULL or false: left out, or our own. */
	const char *device_asset;
	const char *device;
	const char *visibility;
	bool favorite;
};
/**
 * The three pieces between which the bytes of the sidecar and of the file go.  Without a sidecar
 * `middle` stays empty and `head` ends where the file's bytes begin.
 */
void ur_immich_upload_write(const struct ur_dialect *dialect, const struct ur_upload_fields *fields,
	const char *boundary, struct ur_text *head, struct ur_text *middle, struct ur_text *tail);
/** `ret` gets "multipart/form-data; boundary=…" and the boundary, 128 random bits. */
void ur_immich_boundary(char boundary[64], char content_type[128]);
[[nodiscard]] int ur_immich_upload_read(
	const char *json, char asset[UR_ASSET_ID], bool *ret_duplicate, struct ur_err *err);

struct ur_asset {
	char id[UR_ASSET_ID];
	char owner[UR_ASSET_ID];
	uint8_t sha1[UR_SHA1_SIZE];
	bool trashed;
	bool external; // lives in an external library: its bytes may be our own source
	bool video;
	bool extracted; // the metadata job has been over it
	bool has_date;
	bool has_place;
	bool has_description;
	bool has_rating;
	bool has_tags;
	char live_movie[UR_ASSET_ID];
	char original[UR_PATH_TAIL]; // the end of its originalPath on the server, "" without
	int64_t created_ns; // when its row was made, by the server's clock; 0: it does not say
};
[[nodiscard]] int ur_immich_asset_read(const char *json, struct ur_asset *ret, struct ur_err *err);
/** Promise 1 (a): whether an asset is a copy that a file may be given up for. */
enum ur_proof {
	UR_PROOF_HOLDS,
	UR_PROOF_OTHER_BYTES,
	UR_PROOF_OTHER_OWNER,
	UR_PROOF_TRASHED,
	UR_PROOF_EXTERNAL, // in an external library: its file may be the very one
};
/** `sha1` is NULL where the bytes are not the asset's own, as a sidecar's. */
enum ur_proof ur_immich_prove(
	const struct ur_asset *asset, const uint8_t sha1[UR_SHA1_SIZE], const char *owner);
/** "bytes 99-99/100", the Content-Range of an answer: 100; -1 when it says something else. */
int64_t ur_immich_total(const char *content_range);

/** `{"tags":[…]}` for PUT /tags, and the ids of its answer (arena-free: `ret` holds room ids). */
void ur_immich_tags_write(struct ur_text *body, char *const *tags, size_t count);
[[nodiscard]] int ur_immich_tags_read(const char *json, char (*ret)[UR_ASSET_ID], size_t room,
	size_t *ret_count, struct ur_err *err);

/** How a folder of ours and an external library's import path on the server compare. */
enum ur_cover {
	UR_COVER_NONE,
	UR_COVER_NAMED, // the same last name: perhaps the same folder, mounted elsewhere
	UR_COVER_SAME,  // one is or holds the other
};
/**
 * `json`: the answer to /api/libraries; *ret: how `root`, an absolute path, compares with the nearest
 * import path, which is in `path` unless that is UR_COVER_NONE; *ret_count: all import paths.
 */
[[nodiscard]] int ur_immich_libraries_read(const char *json, const char *root, enum ur_cover *ret,
	char path[UR_PATH_TAIL], size_t *ret_count, struct ur_err *err);

bool ur_immich_is_id(const char *text);

#endif
