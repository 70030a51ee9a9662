/*
 * fuzz_http1 - what comes in from a socket: a byte that says how it is cut up, then a head and, when
 * that says so, a chunked body.
 *
 * However the bytes are cut up, the same must come out; and what comes out must be what a reader
 * with no more knowledge than the RFC would see.
 */
#include "engine/net/http1.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/** The end of the head, looked for in steps: each look sees a copy of exactly what has come. */
static ssize_t find_in_steps(const char *bytes, size_t size, size_t step)
{
	size_t scanned = 0;
	ssize_t end = 0;
	for (size_t have = 0; have < size && end == 0;) {
		have = size - have < step ? size : have + step;
		char *part = malloc(have);
		assert(part != NULL);
		memcpy(part, bytes, have);
		end = ur_http1_find_end(part, have, &scanned);
		assert(end <= (ssize_t)have);
		free(part);
	}
	return end;
}

static void check_text(const char *text, const char *bytes, size_t size)
{
	assert(text >= bytes && text < bytes + size);
	assert(memchr(text, '\0', (size_t)(bytes + size - text)) != NULL);
	for (const char *at = text; *at != '\0'; at++) {
		assert((unsigned char)*at >= ' ' || *at == '\t');
		assert(*at != 0x7f);
	}
}

static void check_field(const struct ur_field *field, const char *bytes, size_t size)
{
	check_text(field->name, bytes, size);
	check_text(field->value, bytes, size);
	assert(ur_http1_is_token(field->name));
	for (const char *at = field->name; *at != '\0'; at++) {
		assert(*at < 'A' || *at > 'Z');
	}
	const size_t length = strlen(field->value);
	assert(length == 0 || strchr(" \t", field->value[length - 1]) == NULL ||
		(length >= 2 && strchr(",;", field->value[length - 2]) != NULL));
}

static void check_head(const struct ur_http1_head *head, const char *bytes, size_t size)
{
	check_text(head->method, bytes, size);
	check_text(head->path, bytes, size);
	assert(ur_http1_is_token(head->method));
	assert(head->path[0] == '/');
	assert(strpbrk(head->path, " \t?#") == NULL);
	if (head->query != NULL) {
		check_text(head->query, bytes, size);
	}
	assert(head->minor <= 1);
	assert(head->field_count <= UR_HTTP1_FIELDS_MAX);
	for (size_t i = 0; i < head->field_count; i++) {
		check_field(&head->fields[i], bytes, size);
		/* Every name once: the first one is the one that is found. */
		assert(ur_http1_field(head->fields, head->field_count, head->fields[i].name) ==
			head->fields[i].value);
	}
	const char *length = ur_http1_field(head->fields, head->field_count, "content-length");
	const char *coding = ur_http1_field(head->fields, head->field_count, "transfer-encoding");
	assert(head->has_length == (length != NULL));
	assert(head->chunked == (coding != NULL));
	assert(!head->has_length || !head->chunked);
	assert(!head->chunked || head->minor == 1);
	assert(head->minor == 0 || ur_http1_field(head->fields, head->field_count, "host") != NULL);
}

struct body {
	char *bytes;
	size_t size;
	size_t used;
	enum ur_chunked_state state;
	bool is_malformed;
};

static struct body unchunk(const char *bytes, size_t size, size_t step)
{
	struct ur_chunked chunks = {0};
	struct body body = {.bytes = malloc(size + 1)};
	assert(body.bytes != NULL);
	while (body.used < size && chunks.state != UR_CHUNKED_END) {
		const size_t here = size - body.used < step ? size - body.used : step;
		const char *data = NULL;
		size_t count = 0;
		const ssize_t n = ur_chunked_step(&chunks, bytes + body.used, here, &data, &count);
		if (n < 0) {
			body.is_malformed = true;
			break;
		}
		assert(n > 0 && (size_t)n <= here && count <= (size_t)n);
		assert(count == 0 ||
			(data >= bytes + body.used && data + count == bytes + body.used + n));
		memcpy(body.bytes + body.size, data, count);
		body.size += count;
		body.used += (size_t)n;
	}
	body.state = chunks.state;
	return body;
}

static void read_chunks(const char *bytes, size_t size, size_t step)
{
	struct body whole = unchunk(bytes, size, size > 0 ? size : 1);
	struct body parts = unchunk(bytes, size, step);
	assert(whole.is_malformed == parts.is_malformed);
	if (!whole.is_malformed) {
		assert(whole.used == parts.used && whole.state == parts.state);
		assert(whole.size == parts.size);
		assert(memcmp(whole.bytes, parts.bytes, whole.size) == 0);
	}
	free(whole.bytes);
	free(parts.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ur_http1_head head;
	const char *why = NULL;
	if (size < 2) {
		return 0;
	}
	const size_t step = (size_t)bytes[0] + 1;
	const char *text = (const char *)bytes + 1;
	size--;
	const ssize_t end = find_in_steps(text, size, step);
	const ssize_t whole = find_in_steps(text, size, size);
	assert(end == whole);
	if (end <= 0) {
		return 0;
	}
	char *copy = malloc((size_t)end);
	assert(copy != NULL);
	memcpy(copy, text, (size_t)end);
	const int status = ur_http1_parse(copy, (size_t)end, &head, &why);
	if (status == 0) {
		check_head(&head, copy, (size_t)end);
		if (head.chunked) {
			read_chunks(text + end, size - (size_t)end, step);
		}
	} else {
		assert(status >= 400 && status <= 599 && why != NULL);
	}
	free(copy);
	return 0;
}
