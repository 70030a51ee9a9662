/*
 * http1 - one pass over the head, in place.
 *
 *     PATCH␠/files/4f2␠HTTP/1.1␍␊Upload-Offset:␠0␍␊…   as it came
 *     PATCH␀/files/4f2␀HTTP/1.1␍␊upload-offset␀␠0␀…     what the pointers point at
 *
 * A repeated field's value is rotated to stand behind the first one's, so that a list needs no
 * memory of its own: its line gives up at least the two bytes that ", " takes.
 */
#include "engine/net/http1.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define LENGTH_MAX ((uint64_t)INT64_MAX)

static bool is_tchar(char c)
{
	const unsigned char u = (unsigned char)c;
	if (u >= 0x80 || u <= ' ') {
		return false;
	}
	return isalnum(u) != 0 || strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/** What a field's value may hold: no control byte but the tab. */
static bool is_text(char c)
{
	const unsigned char u = (unsigned char)c;
	return u == '\t' || (u >= ' ' && u != 0x7f);
}

bool ur_http1_is_token(const char *text)
{
	const char *at = text;
	while (is_tchar(*at)) {
		at++;
	}
	return at > text && *at == '\0';
}

ssize_t ur_http1_find_end(const char *bytes, size_t size, size_t *scanned)
{
	/* One empty line before the method is what old clients send behind a body. */
	const size_t begin = size >= 2 && bytes[0] == '\r' && bytes[1] == '\n' ? 2 : 0;
	if (begin == 0 && size == 1 && bytes[0] == '\r') {
		return 0;
	}
	if (begin < size && !is_tchar(bytes[begin])) {
		return -EBADMSG;
	}
	size_t at = *scanned > begin ? *scanned : begin;
	while (at < size) {
		const char *lf = memchr(bytes + at, '\n', size - at);
		if (lf == NULL) {
			break;
		}
		at = (size_t)(lf - bytes) + 1;
		if (at < begin + 2 || bytes[at - 2] != '\r') {
			return -EBADMSG;
		}
		if (at >= begin + 4 && memcmp(bytes + at - 4, "\r\n\r\n", 4) == 0) {
			*scanned = at;
			return (ssize_t)at;
		}
	}
	*scanned = size;
	return 0;
}

const char *ur_http1_field(const struct ur_field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].name, name) == 0) {
			return fields[i].value;
		}
	}
	return NULL;
}

bool ur_http1_has_token(const char *list, const char *token)
{
	const size_t size = strlen(token);
	for (const char *at = list; at != NULL && *at != '\0';) {
		at += strspn(at, " \t,");
		const size_t item = strcspn(at, ",");
		size_t end = item;
		while (end > 0 && (at[end - 1] == ' ' || at[end - 1] == '\t')) {
			end--;
		}
		if (end == size && strncasecmp(at, token, size) == 0) {
			return true;
		}
		at += item;
	}
	return false;
}

/** What is being read, and where reading stands. */
struct reader {
	char *at;  // the next byte
	char *end; // behind the empty line
	struct ur_http1_head *head;
	const char **why;
};

static int refuse(const struct reader *r, int status, const char *why)
{
	*r->why = why;
	return status;
}

/** The end of the line that begins at `at`: its CR.  find_end() saw CR and LF on every line. */
static char *line_end(const struct reader *r)
{
	char *lf = memchr(r->at, '\n', (size_t)(r->end - r->at));
	assert(lf != NULL && lf > r->at && lf[-1] == '\r');
	return lf - 1;
}

/* --- the request line ----------------------------------------------------------------------------- */
static int read_version(const struct reader *r, const char *text, size_t size)
{
	if (size != 8 || memcmp(text, "HTTP/", 5) != 0 || !isdigit((unsigned char)text[5]) ||
		text[6] != '.' || !isdigit((unsigned char)text[7])) {
		return refuse(r, 400, "the request line is not 'METHOD target HTTP/1.1'");
	}
	if (text[5] != '1' || text[7] > '1') {
		return refuse(r, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	}
	r->head->minor = (unsigned)(text[7] - '0');
	return 0;
}

static int read_target(const struct reader *r, char *text, size_t size)
{
	if (size > UR_HTTP1_TARGET_MAX) {
		return refuse(r, 414, "the request's target is too long");
	}
	if (size == 0 || text[0] != '/') {
		return refuse(r, 400, "the request's target does not begin with a slash");
	}
	for (size_t i = 0; i < size; i++) {
		if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '#') {
			return refuse(
				r, 400, "the request's target has a byte that must be encoded");
		}
	}
	text[size] = '\0';
	char *query = strchr(text, '?');
	if (query != NULL) {
		*query++ = '\0';
	}
	r->head->path = text;
	r->head->query = query;
	return 0;
}

static int read_request_line(struct reader *r)
{
	char *end = line_end(r);
	char *method = r->at;
	char *space = memchr(method, ' ', (size_t)(end - method));
	char *last = space == NULL ? NULL : memrchr(space + 1, ' ', (size_t)(end - space - 1));
	if (space == NULL || last == NULL) {
		return refuse(r, 400, "the request line is not 'METHOD target HTTP/1.1'");
	}
	/* The version first: what another version's request line means is not ours to judge. */
	int status = read_version(r, last + 1, (size_t)(end - last - 1));
	if (status != 0) {
		return status;
	}
	*space = '\0';
	if (memchr(method, '\0', (size_t)(space - method)) != NULL || !ur_http1_is_token(method)) {
		return refuse(r, 400, "the method is not a token");
	}
	if ((size_t)(space - method) > UR_HTTP1_METHOD_MAX) {
		return refuse(r, 501, "the method is not known");
	}
	r->head->method = method;
	status = read_target(r, space + 1, (size_t)(last - space - 1));
	r->at = end + 2;
	return status;
}

/* --- fields --------------------------------------------------------------------------------------- */
static void reverse(char *from, char *to)
{
	while (from < to) {
		to--;
		const char c = *from;
		*from = *to;
		*to = c;
		from++;
	}
}

/** Makes [from, middle) and [middle, to) change places. */
static void rotate(char *from, char *middle, char *to)
{
	reverse(from, middle);
	reverse(middle, to);
	reverse(from, to);
}

/** Moves the value [value, end) behind that of fields[first], with a comma between. */
static void join(struct ur_http1_head *head, size_t first, char *value, char *end)
{
	char *behind = strchr(head->fields[first].value, '\0');
	const bool is_cookie = strcmp(head->fields[first].name, "cookie") == 0;
	char *moved = value - 2;
	assert(behind < moved);
	moved[0] = is_cookie ? ';' : ',';
	moved[1] = ' ';
	rotate(behind, moved, end);

	const ptrdiff_t by = end - moved;
	for (size_t i = 0; i < head->field_count; i++) {
		struct ur_field *field = &head->fields[i];
		if (field->name > behind) {
			field->name += by;
		}
		if (field->value > behind) {
			field->value += by;
		}
	}
}

static bool is_single(const char *name)
{
	static const char *const singles[] = {"host", "content-length", "transfer-encoding"};
	for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++) {
		if (strcmp(name, singles[i]) == 0) {
			return true;
		}
	}
	return false;
}

/** The name up to its colon, made lower case and terminated; NULL when it is no name. */
static char *read_name(char *at, char *end)
{
	char *colon = memchr(at, ':', (size_t)(end - at));
	if (colon == NULL || colon == at) {
		return NULL;
	}
	for (char *c = at; c < colon; c++) {
		if (!is_tchar(*c)) {
			return NULL;
		}
		*c = (char)tolower((unsigned char)*c);
	}
	*colon = '\0';
	return colon;
}

static int read_field(struct reader *r)
{
	struct ur_http1_head *head = r->head;
	char *name = r->at;
	char *end = line_end(r);
	r->at = end + 2;
	if (*name == ' ' || *name == '\t') {
		return refuse(r, 400, "a header field is folded");
	}
	char *colon = read_name(name, end);
	if (colon == NULL) {
		return refuse(r, 400, "a header field has no name before its colon");
	}
	char *value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t')) {
		value++;
	}
	while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
		end--;
	}
	for (const char *c = value; c < end; c++) {
		if (!is_text(*c)) {
			return refuse(r, 400, "a header field has a control byte");
		}
	}
	for (size_t i = 0; i < head->field_count; i++) {
		if (strcmp(head->fields[i].name, name) != 0) {
			continue;
		}
		if (is_single(name)) {
			return refuse(r, 400, "a header field that may stand once is repeated");
		}
		join(head, i, value, end);
		return 0;
	}
	*end = '\0';
	head->fields[head->field_count++] = (struct ur_field){.name = name, .value = value};
	return 0;
}

static int read_fields(struct reader *r)
{
	for (unsigned lines = 0; r->end - r->at > 2; lines++) {
		if (lines >= UR_HTTP1_FIELDS_MAX) {
			return refuse(r, 431, "there are too many header fields");
		}
		const int status = read_field(r);
		if (status != 0) {
			return status;
		}
	}
	return 0;
}

/* --- what the fields mean ------------------------------------------------------------------------- */
static int read_host(const struct reader *r)
{
	const char *host = ur_http1_field(r->head->fields, r->head->field_count, "host");
	if (host == NULL) {
		return r->head->minor == 0 ? 0 : refuse(r, 400, "the field Host is missing");
	}
	for (const char *c = host; *c != '\0'; c++) {
		if (isalnum((unsigned char)*c) == 0 && strchr("-._~%!$&'()*+;=:[]", *c) == NULL) {
			return refuse(r, 400, "the field Host is not a name or an address");
		}
	}
	return 0;
}

static int read_length(const struct reader *r, const char *text)
{
	uint64_t length = 0;
	if (*text == '\0') {
		return refuse(r, 400, "Content-Length is not a number");
	}
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '0' || *c > '9') {
			return refuse(r, 400, "Content-Length is not a number");
		}
		const uint64_t digit = (uint64_t)(*c - '0');
		/* Saturated, so that digits without end are still read as digits. */
		length = length > (LENGTH_MAX - digit) / 10 ? LENGTH_MAX : length * 10 + digit;
	}
	if (length >= LENGTH_MAX) {
		return refuse(r, 413, "Content-Length is beyond every limit");
	}
	r->head->has_length = true;
	r->head->length = length;
	return 0;
}

static int read_framing(const struct reader *r)
{
	struct ur_http1_head *head = r->head;
	const char *length = ur_http1_field(head->fields, head->field_count, "content-length");
	const char *coding = ur_http1_field(head->fields, head->field_count, "transfer-encoding");
	if (coding == NULL) {
		return length == NULL ? 0 : read_length(r, length);
	}
	if (length != NULL) {
		return refuse(r, 400, "Content-Length stands beside Transfer-Encoding");
	}
	if (head->minor == 0) {
		return refuse(r, 400, "HTTP/1.0 knows no Transfer-Encoding");
	}
	if (*coding == '\0') {
		return refuse(r, 400, "Transfer-Encoding is empty");
	}
	if (strcasecmp(coding, "chunked") != 0) {
		return refuse(r, 501, "the only Transfer-Encoding known here is chunked");
	}
	head->chunked = true;
	return 0;
}

static int read_wishes(const struct reader *r)
{
	struct ur_http1_head *head = r->head;
	const char *connection = ur_http1_field(head->fields, head->field_count, "connection");
	const char *expect = ur_http1_field(head->fields, head->field_count, "expect");
	head->keep = head->minor >= 1 && !ur_http1_has_token(connection, "close");
	if (expect == NULL || head->minor == 0) {
		return 0;
	}
	if (strcasecmp(expect, "100-continue") != 0) {
		return refuse(r, 417, "the only expectation met here is 100-continue");
	}
	head->expect = true;
	return 0;
}

int ur_http1_parse(char *bytes, size_t size, struct ur_http1_head *ret, const char **ret_why)
{
	assert(size >= 4 && memcmp(bytes + size - 4, "\r\n\r\n", 4) == 0);
	struct reader r = {.at = bytes, .end = bytes + size, .head = ret, .why = ret_why};
	static int (*const steps[])(const struct reader *) = {read_host, read_framing, read_wishes};

	*ret = (struct ur_http1_head){0};
	if (bytes[0] == '\r' && size > 4) {
		r.at += 2;
	}
	int status = read_request_line(&r);
	if (status == 0) {
		status = read_fields(&r);
	}
	for (size_t i = 0; status == 0 && i < sizeof steps / sizeof steps[0]; i++) {
		status = steps[i](&r);
	}
	return status;
}

/* --- chunks --------------------------------------------------------------------------------------- */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int take_size(struct ur_chunked *chunks, char c)
{
	const int digit = hex_digit(c);
	if (digit >= 0) {
		/* 15 digits are beyond every body and cannot overflow. */
		chunks->left = chunks->left << 4 | (unsigned)digit;
		return ++chunks->digits <= 15 ? 0 : -EBADMSG;
	}
	if (chunks->digits == 0 || (c != '\r' && c != ';')) {
		return -EBADMSG;
	}
	chunks->skipped = 0;
	chunks->state = c == '\r' ? UR_CHUNKED_SIZE_LF : UR_CHUNKED_EXTENSION;
	return 0;
}

static int expect_byte(struct ur_chunked *chunks, char c, char wanted, enum ur_chunked_state next)
{
	chunks->state = next;
	return c == wanted ? 0 : -EBADMSG;
}

static int take_size_lf(struct ur_chunked *chunks, char c)
{
	const bool is_last = chunks->left == 0;
	chunks->digits = 0;
	chunks->skipped = 0;
	return expect_byte(chunks, c, '\n', is_last ? UR_CHUNKED_TRAILER : UR_CHUNKED_DATA);
}

/** A byte that is read over, within the bound. */
static int skip(struct ur_chunked *chunks, char c, unsigned most)
{
	return is_text(c) && ++chunks->skipped <= most ? 0 : -EBADMSG;
}

static int take_trailer(struct ur_chunked *chunks, char c)
{
	const bool is_name = chunks->state == UR_CHUNKED_TRAILER_NAME;
	if (c == '\r' && !is_name) {
		chunks->state = chunks->state == UR_CHUNKED_TRAILER ? UR_CHUNKED_LAST_LF
								    : UR_CHUNKED_TRAILER_LF;
		return 0;
	}
	if (chunks->state == UR_CHUNKED_TRAILER_VALUE || (is_name && c == ':')) {
		chunks->state = UR_CHUNKED_TRAILER_VALUE;
	} else if (is_tchar(c)) {
		chunks->state = UR_CHUNKED_TRAILER_NAME;
	} else {
		return -EBADMSG;
	}
	return skip(chunks, c, UR_HTTP1_TRAILER_MAX);
}

/** One byte of what is not data. */
static int take(struct ur_chunked *chunks, char c)
{
	switch (chunks->state) {
	case UR_CHUNKED_SIZE:
		return take_size(chunks, c);
	case UR_CHUNKED_EXTENSION:
		if (c == '\r') {
			chunks->state = UR_CHUNKED_SIZE_LF;
			return 0;
		}
		return skip(chunks, c, UR_HTTP1_EXTENSION_MAX);
	case UR_CHUNKED_SIZE_LF:
		return take_size_lf(chunks, c);
	case UR_CHUNKED_DATA_CR:
		return expect_byte(chunks, c, '\r', UR_CHUNKED_DATA_LF);
	case UR_CHUNKED_DATA_LF:
		return expect_byte(chunks, c, '\n', UR_CHUNKED_SIZE);
	case UR_CHUNKED_TRAILER:
	case UR_CHUNKED_TRAILER_NAME:
	case UR_CHUNKED_TRAILER_VALUE:
		return take_trailer(chunks, c);
	case UR_CHUNKED_TRAILER_LF:
		return expect_byte(chunks, c, '\n', UR_CHUNKED_TRAILER);
	case UR_CHUNKED_LAST_LF:
		return expect_byte(chunks, c, '\n', UR_CHUNKED_END);
	case UR_CHUNKED_DATA:
	case UR_CHUNKED_END:
		break;
	}
	assert(!"data was taken for framing");
	return -EBADMSG;
}

ssize_t ur_chunked_step(struct ur_chunked *chunks, const char *bytes, size_t size,
	const char **ret_data, size_t *ret_size)
{
	size_t at = 0;
	*ret_data = bytes;
	*ret_size = 0;
	while (at < size && chunks->state != UR_CHUNKED_END) {
		if (chunks->state == UR_CHUNKED_DATA) {
			const size_t here =
				size - at < chunks->left ? size - at : (size_t)chunks->left;
			*ret_data = bytes + at;
			*ret_size = here;
			chunks->left -= here;
			if (chunks->left == 0) {
				chunks->state = UR_CHUNKED_DATA_CR;
			}
			return (ssize_t)(at + here);
		}
		const int r = take(chunks, bytes[at++]);
		if (r < 0) {
			return r;
		}
	}
	return (ssize_t)at;
}

const char *ur_http1_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{100, "Continue"},
		{104, "Upload Resumption Supported"},
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{421, "Misdirected Request"},
		{422, "Unprocessable Content"},
		{423, "Locked"},
		{428, "Precondition Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{460, "Checksum Mismatch"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"},
	};
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
		if (reasons[i].status == status) {
			return reasons[i].reason;
		}
	}
	return "Unknown";
}
