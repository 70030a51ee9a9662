/**
 * text - a string that grows, and the notations that bytes are written in.
 *
 *   Owner    ur_text_done() frees the bytes; a zeroed struct ur_text is an empty string
 *   Errors   growth that fails sets `failed` and later calls do nothing, so that a message is built
 *            in one go and checked once; ur_text_ok() says how it went
 *   Threads  one at a time
 */
#ifndef UR_BASE_TEXT_H
#define UR_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ur_text {
	char *bytes; // NUL-terminated when not NULL
	size_t size; // without the NUL
	size_t room;
	bool failed; // memory ran out on the way
};

void ur_text_done(struct ur_text *text);
void ur_text_clear(struct ur_text *text);
void ur_text_add(struct ur_text *text, const void *bytes, size_t size);
void ur_text_adds(struct ur_text *text, const char *string);
void ur_text_addf(struct ur_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** The string so far; "" when empty.  Valid until the next change. */
const char *ur_text_get(const struct ur_text *text);
static inline bool ur_text_ok(const struct ur_text *text)
{
	return !text->failed;
}

/** Adds a JSON string with its quotes; bytes that are not UTF-8 become \ufffd. */
void ur_text_add_json(struct ur_text *text, const void *bytes, size_t size);
/** The bytes of a byte order mark at the head of `text`, with which editors on Windows begin a file. */
size_t ur_text_mark(const char *text, size_t size);
/**
 * Adds a name as a terminal may show it: control bytes, DEL, C1 controls, bidirectional overrides
 * and bytes that are not UTF-8 are written \xNN or \u{NNNN}, a backslash as \\.
 */
void ur_text_add_shown(struct ur_text *text, const void *bytes, size_t size);

/** Lower-case hex; `ret` has room for 2 * size + 1. */
void ur_hex(const void *bytes, size_t size, char *ret);
/** Reads exactly `size` bytes from 2 * size hex digits; false on anything else. */
[[nodiscard]] bool ur_unhex(const char *hex, size_t size, void *ret);

#define UR_BASE64_ROOM(size) (((size) + 2) / 3 * 4 + 1)
/** Standard alphabet with padding; `ret` has UR_BASE64_ROOM(size). */
void ur_base64(const void *bytes, size_t size, char *ret);
/** Decodes standard base64 with padding into at most `room` bytes; -EINVAL or the size. */
[[nodiscard]] long ur_unbase64(const char *text, void *ret, size_t room);

/** Length of the UTF-8 sequence at `bytes` (1-4), or 0 when it is not well-formed. */
size_t ur_utf8_step(const unsigned char *bytes, size_t size, uint32_t *code);
bool ur_utf8_valid(const void *bytes, size_t size);

/** "512", "64K", "10M", "1.5G", "2T" (powers of 1024); -EINVAL on anything else. */
[[nodiscard]] int ur_parse_bytes(const char *text, uint64_t *ret);
/** "90" or "90s", "10m", "2h", "1d", "250ms" into milliseconds. */
[[nodiscard]] int ur_parse_duration(const char *text, int64_t *ret_ms);
/** A whole number within [low, high] and nothing behind it. */
[[nodiscard]] int ur_parse_number(const char *text, int64_t low, int64_t high, int64_t *ret);
/** 1536 → "1.5 KiB"; `ret` has 16 bytes. */
void ur_show_bytes(uint64_t bytes, char *ret);

#endif
