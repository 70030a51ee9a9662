/**
 * kind - what the content of a file is, and what the server will say about it.
 *
 *     head ──ur_kind_of──▶ kind ─┐
 *     name ──ur_types_class──────┼─ur_kind_judge──▶ take, warn or refuse, and why
 *     size, tail ──cut_short─────┘
 *
 * The server goes by the extension of the name, people go by the picture: where the two disagree
 * somebody is told before the upload.  A table of signatures knows every type on the server's list
 * and the usual impostors; what it does not know goes to libmagic, which is far slower.
 *
 *   Owner    a struct ur_kind lives for ever; `magic` and `types` belong to who made them
 *   Units    sizes in bytes; head starts at offset 0, tail ends with the file's last byte
 *   Errors   -ENOMEM; -EINVAL for an extension that is none; -ENOSPC for more than UR_TYPES_MAX;
 *            ur_magic_new() also says that libmagic's database cannot be loaded
 *   Files    kind.c (signatures, libmagic), types.c (the list, the judgement), cut.c (the end)
 *   Threads  ur_kind_*() any; a magic belongs to one thread; types may be shared once filled
 */
#ifndef UR_MEDIA_KIND_H
#define UR_MEDIA_KIND_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_KIND_HEAD 4096u  // bytes of the head that are worth handing over
#define UR_KIND_TAIL 65536u // bytes of the tail that are worth handing over
#define UR_KIND_WHY 256u    // room for the longest sentence of ur_kind_judge()
#define UR_TYPES_MAX 1024u  // extensions in one list
#define UR_TYPES_NAME 16u   // bytes of one extension, with its NUL

enum ur_class {
	UR_CLASS_NONE, // nothing that the server would take
	UR_CLASS_IMAGE,
	UR_CLASS_VIDEO,
	UR_CLASS_SIDECAR,
};

struct ur_kind {
	const char *name;      // "jpeg", "html", "unknown"
	enum ur_class class;   // NONE also for "unknown"
	const char *extension; // the usual one, "jpg"; "" when there is none
	const char *said;      // in a sentence: "a JPEG picture", "a web page"
};

/** What the head shows, by signature; "empty" without bytes, "unknown" when nothing fits. */
const struct ur_kind *ur_kind_of(const void *head, size_t size);
/** Whether nobody recognised the content. */
bool ur_kind_is_unknown(const struct ur_kind *kind);

/** Whether the server's usual list, or a Pixel's ".MP", knows the extension (without its dot). */
bool ur_kind_usual_extension(const char *extension, size_t size);

/** libmagic, MIME types only, for what ur_kind_of() calls unknown. */
struct ur_magic;

[[nodiscard]] int ur_magic_new(struct ur_magic **ret, struct ur_err *err);
struct ur_magic *ur_magic_free(struct ur_magic *magic);
const struct ur_kind *ur_magic_kind(struct ur_magic *magic, const void *head, size_t size);

/** The extensions that a server accepts, in any case of letters. */
struct ur_types;

[[nodiscard]] int ur_types_new(struct ur_types **ret);
struct ur_types *ur_types_free(struct ur_types *types);
/** Adds one extension, with or without its dot; one that is there already gets the new class. */
[[nodiscard]] int ur_types_add(struct ur_types *types, enum ur_class class, const char *extension);
/** Adds what servers of 2.5 to 3.x accept, for plans that are made without asking one. */
[[nodiscard]] int ur_types_add_usual(struct ur_types *types);
/** By the extension of the name under which it would be sent; see ur_kind_upload_name(). */
enum ur_class ur_types_class(const struct ur_types *types, const char *name);

enum ur_judgement {
	UR_JUDGE_TAKE,
	UR_JUDGE_WARN,   // send it, and tell: the name lies about the type, or the end is missing
	UR_JUDGE_REFUSE, // the server would store something that is no picture, or refuse it itself
};

/**
 * Name, content and size against the list.  `why` gets a sentence ("" for TAKE).  Content that is
 * unknown is taken when the extension is: raw formats are many.
 */
enum ur_judgement ur_kind_judge(const struct ur_types *types, const char *name,
	const struct ur_kind *kind, uint64_t file_size, bool cut_short, char *why, size_t why_size);

/**
 * Whether the file visibly ends too early.  True only when certain: a JPEG without its end marker
 * in the tail, a PNG without IEND, ISO-BMFF boxes or a RIFF that reach beyond file_size.  `head` are
 * the first bytes, `tail` the last (up to UR_KIND_TAIL); for a small file both may be the whole.
 */
bool ur_kind_cut_short(const struct ur_kind *kind, const void *head, size_t head_size,
	const void *tail, size_t tail_size, uint64_t file_size);

/**
 * The name under which the server takes the file: ".MP" becomes ".MP.MP4", an empty stem
 * "unnamed", bytes that are not UTF-8 U+FFFD; all else stays as it is.  False when `room` (with the
 * NUL) does not suffice; nothing is written then.
 */
bool ur_kind_upload_name(const char *name, char *ret, size_t room, bool *changed);

#endif
