/**
 * settings - the configuration file: YAML in, a plain struct out.
 *
 * All keys stand in one table, with their kind, their bounds and where they may appear; an error
 * says file, line and column, the key, what is wrong and what is expected.  A key that nobody knows
 * is an error, with the nearest known one as a suggestion, and so is a key that comes twice: a typo
 * in `after: delete` must never be something that a timer finds out.
 *
 *     server: https://photos.example.org
 *     key_file: /etc/uringest/immich-key     # where the key is; the key itself is refused here
 *     bwlimit: "08:00,2M 23:00,off"
 *     folders:
 *       - path: /srv/immich/import
 *         after: move                         # keep | delete | move
 *         move_to: /srv/done
 *
 * What the file does not say stays unset, so that the command line and the defaults can be laid
 * over and under it: strings are NULL, numbers UR_SETTINGS_UNSET, choices their _UNSET.
 *
 *   Owner    strings and lists live in the caller's arena; ret is written on success only
 *   Units    durations in milliseconds, sizes in bytes
 *   Bounds   1 MiB a file, UR_SETTINGS_FOLDERS_MAX folders, UR_SETTINGS_EXCLUDES_MAX patterns a
 *            list, UR_SETTINGS_VALUE_MAX bytes a value; nesting is what the keys ask for and no
 *            deeper; no anchors, aliases, tags or second documents
 *   Errors   -EINVAL the text (UR_FAULT_SETUP), -EFBIG, -ENOMEM, and those of open and read; what
 *            might be a secret is never repeated in a message
 *   Threads  any, one arena each
 */
#ifndef UR_SETTINGS_H
#define UR_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/schedule.h"

#define UR_SETTINGS_FILE_MAX (1u << 20)
#define UR_SETTINGS_FOLDERS_MAX 64u
#define UR_SETTINGS_EXCLUDES_MAX 256u
#define UR_SETTINGS_VALUE_MAX 4096u
#define UR_SETTINGS_UNSET (-1)

enum ur_settings_after {
	UR_SETTINGS_AFTER_UNSET,
	UR_SETTINGS_AFTER_KEEP,
	UR_SETTINGS_AFTER_DELETE,
	UR_SETTINGS_AFTER_MOVE, // then move_to is there
};

enum ur_settings_confirm {
	UR_SETTINGS_CONFIRM_UNSET,
	UR_SETTINGS_CONFIRM_RANGE, // the last byte comes back
	UR_SETTINGS_CONFIRM_BYTES, // every byte comes back and is compared
};

/** A yes or no that may be unset. */
enum ur_settings_flag {
	UR_SETTINGS_FLAG_UNSET = UR_SETTINGS_UNSET,
	UR_SETTINGS_FLAG_NO = 0,
	UR_SETTINGS_FLAG_YES = 1,
};

struct ur_settings_patterns {
	const char **items;
	size_t count; // 0 also when unset
};

/** What a folder says for itself; unset means: as the whole file says. */
struct ur_settings_folder {
	const char *path; // always there, absolute
	const char *move_to;
	const char *key_file;
	const char *server;
	struct ur_settings_patterns exclude; // added behind the file's own
	int64_t min_age_ms;
	enum ur_settings_after after;
	enum ur_settings_flag follow_symlinks;
	enum ur_settings_flag one_file_system;
	int line; // where it begins, for messages
};

struct ur_settings {
	const char *server; // http:// or https://, without a trailing '/'
	const char *key_file;
	const char *ledger;
	const char *cacert;
	const char *client_cert;
	const char *client_key;
	const char *headers_file;
	const char *proxy;
	struct ur_settings_patterns exclude;
	int64_t concurrency;               // 1-256
	const struct ur_schedule *bwlimit; // NULL: unset
	const char *bwlimit_text;          // as it was written
	int64_t server_wait_ms;
	int64_t answer_wait_ms;
	int64_t suspect_wait_ms;
	int64_t settle_after_ms;
	int64_t quiet_without_lease_ms;
	int64_t min_age_ms;
	enum ur_settings_confirm confirm;
	enum ur_settings_flag one_file_system;
	enum ur_settings_flag follow_symlinks;
	enum ur_settings_flag accept_cut_off;
	int64_t resumable_threshold; // resumable: threshold
	int64_t resumable_chunk;     // resumable: chunk
	const char *gateway;         // resumable: gateway
	const struct ur_settings_folder *folders;
	size_t folder_count;
	/* Of the gateway. */
	const char *listen;
	const char *spool;
	const char *immich;
	const char *base;
	struct ur_settings_patterns trusted_proxies;
	int64_t max_size;
	int64_t user_uploads;
	int64_t user_bytes;
	int64_t keep_free;
	int64_t expire_ms;
	int64_t deliveries;
};

/** Everything unset. */
void ur_settings_clear(struct ur_settings *settings);
/** `name` is what messages call the text; the text need not end in a NUL. */
[[nodiscard]] int ur_settings_parse(struct ur_arena *arena, const char *name, const void *text,
	size_t size, struct ur_settings *ret, struct ur_err *err);
/** Reads a regular file through ur_sys and parses it. */
[[nodiscard]] int ur_settings_load(
	struct ur_arena *arena, const char *path, struct ur_settings *ret, struct ur_err *err);

#endif
