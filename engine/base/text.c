/* text - growth by doubling; every notation in one place, so that none is written twice. */
#include "engine/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_FIRST 128u
#define FORMAT_FIRST 64u // bytes that are made room for before the length is known
#define TEXT_MAX (64u << 20)

void ur_text_done(struct ur_text *text)
{
	free(text->bytes);
	*text = (struct ur_text){0};
}

void ur_text_clear(struct ur_text *text)
{
	text->size = 0;
	text->failed = false;
	if (text->bytes != NULL) {
		text->bytes[0] = '\0';
	}
}

static bool reserve(struct ur_text *text, size_t more)
{
	if (text->failed) {
		return false;
	}
	const size_t need = text->size + more + 1;
	if (need <= text->room) {
		return true;
	}
	size_t room = text->room == 0 ? TEXT_FIRST : text->room;
	while (room < need) {
		room *= 2;
	}
	char *bytes = more > TEXT_MAX || room > TEXT_MAX ? NULL : realloc(text->bytes, room);
	if (bytes == NULL) {
		text->failed = true;
		return false;
	}
	text->bytes = bytes;
	text->room = room;
	return true;
}

void ur_text_add(struct ur_text *text, const void *bytes, size_t size)
{
	if (!reserve(text, size)) {
		return;
	}
	if (size > 0) {
		memcpy(text->bytes + text->size, bytes, size);
	}
	text->size += size;
	text->bytes[text->size] = '\0';
}

void ur_text_adds(struct ur_text *text, const char *string)
{
	ur_text_add(text, string, strlen(string));
}

void ur_text_addf(struct ur_text *text, const char *format, ...)
{
	size_t more = FORMAT_FIRST; // mostly enough, and then it is formatted once
	while (reserve(text, more)) {
		const size_t room = text->room - text->size;
		va_list args;
		va_start(args, format);
		const int length = vsnprintf(text->bytes + text->size, room, format, args);
		va_end(args);
		if (length >= 0 && (size_t)length < room) {
			text->size += (size_t)length;
			return;
		}
		text->bytes[text->size] = '\0';
		if (length < 0) {
			return;
		}
		more = (size_t)length;
	}
}

const char *ur_text_get(const struct ur_text *text)
{
	return text->bytes == NULL ? "" : text->bytes;
}

size_t ur_utf8_step(const unsigned char *s, size_t size, uint32_t *code)
{
	if (size == 0) {
		return 0;
	}
	if (s[0] < 0x80) {
		*code = s[0];
		return 1;
	}
	size_t length = 0;
	uint32_t value = 0;
	uint32_t least = 0;
	if ((s[0] & 0xe0) == 0xc0) {
		length = 2;
		value = s[0] & 0x1fu;
		least = 0x80;
	} else if ((s[0] & 0xf0) == 0xe0) {
		length = 3;
		value = s[0] & 0x0fu;
		least = 0x800;
	} else if ((s[0] & 0xf8) == 0xf0) {
		length = 4;
		value = s[0] & 0x07u;
		least = 0x10000;
	}
	if (length == 0 || length > size) {
		return 0;
	}
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
		value = value << 6 | (s[i] & 0x3fu);
	}
	if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
		return 0;
	}
	*code = value;
	return length;
}

bool ur_utf8_valid(const void *bytes, size_t size)
{
	const unsigned char *s = bytes;
	for (size_t i = 0; i < size;) {
		uint32_t code = 0;
		const size_t step = ur_utf8_step(s + i, size - i, &code);
		if (step == 0) {
			return false;
		}
		i += step;
	}
	return true;
}

void ur_text_add_json(struct ur_text *text, const void *bytes, size_t size)
{
	const unsigned char *s = bytes;
	ur_text_add(text, "\"", 1);
	for (size_t i = 0; i < size;) {
		uint32_t code = 0;
		const size_t step = ur_utf8_step(s + i, size - i, &code);
		if (step == 0) {
			ur_text_adds(text, "\\ufffd");
			i++;
			continue;
		}
		if (code == '"' || code == '\\') {
			const char pair[2] = {'\\', (char)code};
			ur_text_add(text, pair, 2);
		} else if (code == '\n') {
			ur_text_adds(text, "\\n");
		} else if (code == '\t') {
			ur_text_adds(text, "\\t");
		} else if (code < 0x20 || code == 0x7f) {
			ur_text_addf(text, "\\u%04x", (unsigned)code);
		} else {
			ur_text_add(text, s + i, step);
		}
		i += step;
	}
	ur_text_add(text, "\"", 1);
}

/** Code points that could repaint the screen or turn the line around. */
static bool disturbs_terminal(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
	       code == 0x61c || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

size_t ur_text_mark(const char *text, size_t size)
{
	static const char mark[] = "\xef\xbb\xbf";
	return size >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0 ? sizeof mark - 1
										   : 0;
}

void ur_text_add_shown(struct ur_text *text, const void *bytes, size_t size)
{
	const unsigned char *s = bytes;
	for (size_t i = 0; i < size;) {
		uint32_t code = 0;
		const size_t step = ur_utf8_step(s + i, size - i, &code);
		if (step == 0) {
			ur_text_addf(text, "\\x%02x", s[i]);
			i++;
			continue;
		}
		if (code == '\\') {
			ur_text_adds(text, "\\\\");
		} else if (!disturbs_terminal(code)) {
			ur_text_add(text, s + i, step);
		} else if (code < 0x80) {
			ur_text_addf(text, "\\x%02x", (unsigned)code);
		} else {
			ur_text_addf(text, "\\u{%x}", (unsigned)code);
		}
		i += step;
	}
}

void ur_hex(const void *bytes, size_t size, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = bytes;
	for (size_t i = 0; i < size; i++) {
		ret[2 * i] = digits[s[i] >> 4];
		ret[2 * i + 1] = digits[s[i] & 15];
	}
	ret[2 * size] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	return -1;
}

bool ur_unhex(const char *hex, size_t size, void *ret)
{
	if (strlen(hex) != 2 * size) {
		return false;
	}
	unsigned char *out = ret;
	for (size_t i = 0; i < size; i++) {
		const int high = hex_value(hex[2 * i]);
		const int low = hex_value(hex[2 * i + 1]);
		if (high < 0 || low < 0) {
			return false;
		}
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ur_base64(const void *bytes, size_t size, char *ret)
{
	const unsigned char *s = bytes;
	while (size > 0) {
		const uint32_t b1 = size > 1 ? s[1] : 0;
		const uint32_t b2 = size > 2 ? s[2] : 0;
		const uint32_t v = (uint32_t)s[0] << 16 | b1 << 8 | b2;
		ret[0] = base64_digits[v >> 18];
		ret[1] = base64_digits[v >> 12 & 63];
		ret[2] = size > 1 ? base64_digits[v >> 6 & 63] : '=';
		ret[3] = size > 2 ? base64_digits[v & 63] : '=';
		ret += 4;
		s += 3;
		size -= size < 3 ? size : 3;
	}
	*ret = '\0';
}

long ur_unbase64(const char *text, void *ret, size_t room)
{
	const size_t length = strlen(text);
	if (length % 4 != 0) {
		return -EINVAL;
	}
	unsigned char *out = ret;
	size_t used = 0;
	for (size_t i = 0; i < length; i += 4) {
		uint32_t v = 0;
		size_t pad = 0;
		for (size_t j = 0; j < 4; j++) {
			const char c = text[i + j];
			const char *at = c == '\0' ? NULL : strchr(base64_digits, c);
			if (c == '=' && i + 4 == length && j >= 2) {
				pad++;
				v <<= 6;
			} else if (at != NULL && pad == 0) {
				v = v << 6 | (uint32_t)(at - base64_digits);
			} else {
				return -EINVAL;
			}
		}
		const size_t bytes = 3 - pad;
		if (used + bytes > room) {
			return -EINVAL;
		}
		for (size_t j = 0; j < bytes; j++) {
			out[used++] = (unsigned char)(v >> (16 - 8 * j));
		}
	}
	return (long)used;
}

int ur_parse_number(const char *text, int64_t low, int64_t high, int64_t *ret)
{
	char *end = NULL;
	errno = 0;
	const long long value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < low || value > high) {
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int parse_scaled(
	const char *text, const char *const *units, const double *scales, double *ret)
{
	char *end = NULL;
	errno = 0;
	if (text[0] < '0' || text[0] > '9') {
		return -EINVAL;
	}
	const double value = strtod(text, &end);
	if (errno != 0 || end == text || value < 0 || value > 1e15) {
		return -EINVAL;
	}
	for (size_t i = 0; units[i] != NULL; i++) {
		if (strcasecmp(end, units[i]) == 0) {
			*ret = value * scales[i];
			return 0;
		}
	}
	return -EINVAL;
}

int ur_parse_bytes(const char *text, uint64_t *ret)
{
	static const char *const units[] = {"", "B", "K", "KiB", "KB", "M", "MiB", "MB", "G", "GiB",
		"GB", "T", "TiB", "TB", NULL};
	static const double scales[] = {1, 1, 1024, 1024, 1024, 1048576, 1048576, 1048576,
		1073741824, 1073741824, 1073741824, 1099511627776, 1099511627776, 1099511627776};
	double value = 0;
	if (parse_scaled(text, units, scales, &value) < 0 || value > 9e18) {
		return -EINVAL;
	}
	*ret = (uint64_t)value;
	return 0;
}

int ur_parse_duration(const char *text, int64_t *ret_ms)
{
	static const char *const units[] = {"", "s", "ms", "m", "min", "h", "d", NULL};
	static const double scales[] = {1000, 1000, 1, 60000, 60000, 3600000, 86400000};
	double value = 0;
	if (parse_scaled(text, units, scales, &value) < 0 || value > 9e15) {
		return -EINVAL;
	}
	*ret_ms = (int64_t)value;
	return 0;
}

void ur_show_bytes(uint64_t bytes, char *ret)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;
	while (value >= 1023.95 && unit < 6) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(
		ret, 16, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}
