/*
 * fuzz_words - small texts of others: a letter, then the bytes.
 *
 *     w  times in names, ISO times     s  schedules     n  names, their stems and sidecars
 *     m  marks of a folder             r  Content-Range     else: texts that are shown
 */
#include "engine/base/clock.h"
#include "engine/base/schedule.h"
#include "engine/base/text.h"
#include "engine/ledger/marks.h"
#include "engine/media/kind.h"
#include "engine/media/pair.h"
#include "engine/media/when.h"
#include "engine/net/immich.h"
#include "engine/source/staging.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define NOW_NS (INT64_C(1790000000) * UR_SECOND_NS)

static void read_time(const char *text)
{
	int64_t ns = 0;
	bool utc = false;
	bool zoned = false;
	char iso[UR_CLOCK_TEXT];
	(void)ur_when_of_name(text, NOW_NS, &ns, &utc);
	if (ur_clock_parse_iso(text, &ns, &zoned) == 0) {
		ur_clock_iso(ns, iso);
		assert(memchr(iso, 0, sizeof iso) != NULL);
	}
}

static void read_schedule(const char *text)
{
	struct ur_schedule schedule;
	struct ur_err err = {0};
	int64_t next = 0;
	if (ur_schedule_parse(text, &schedule, &err) == 0) {
		(void)ur_schedule_rate(&schedule, NOW_NS, &next);
		assert(next > NOW_NS || next == 0);
	}
}

static void read_name(const char *text, size_t size)
{
	char out[1024];
	char staged[UR_STAGED_NAME_MAX + 1];
	bool changed = false;
	const char *half = text + size / 2;
	assert(ur_kind_upload_name(text, out, sizeof out, &changed));
	assert(ur_utf8_valid(out, strlen(out)));
	struct ur_staging_key key;
	struct ur_staged read;
	ur_staging_key_make("salt", 4, &key);
	ur_staging_name(&key, UR_STAGED_ORIGINAL, "1fffffffx7fffffffffffff", text, staged);
	assert(strlen(staged) <= 255);
	ur_staged_read(&key, staged, &read);
	assert(text[0] == '\0' || (read.ours && read.kind == UR_STAGED_ORIGINAL));
	ur_staged_read(&key, text, &read);
	(void)ur_pair_stem(text);
	assert((ur_pair_stem_compare(text, half) < 0) == (ur_pair_stem_compare(half, text) > 0));
	(void)ur_pair_sidecar(text, half);
}

static void read_marks(const uint8_t *bytes, size_t size)
{
	const struct ur_identity id = {1, 2, 3, 4, 5};
	struct ur_mark mark = ur_mark_of(&id, "a", 1, false);
	const size_t count = size / UR_MARK_SIZE;
	if (count > 0) {
		memcpy(&mark, bytes, sizeof mark);
		mark.bytes[UR_MARK_SIZE - 1] &= 0xfe;
	}
	(void)ur_marks_find(bytes, count, &mark);
}

static void show(const char *text, size_t size)
{
	struct ur_text out = {0};
	ur_text_add_json(&out, text, size);
	ur_text_adds(&out, "\n");
	ur_text_add_shown(&out, text, size);
	assert(ur_text_ok(&out));
	ur_text_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 2 || size > 4096) {
		return 0;
	}
	char *text = malloc(size);
	assert(text != NULL);
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = '\0';
	const size_t length = strlen(text);
	switch (bytes[0]) {
	case 'w':
		read_time(text);
		break;
	case 's':
		read_schedule(text);
		break;
	case 'n':
		if (length > 0 && length <= 255 && strchr(text, '/') == NULL) {
			read_name(text, length);
		}
		break;
	case 'm':
		read_marks(bytes + 1, size - 1);
		break;
	case 'r':
		assert(ur_immich_total(text) >= -1);
		break;
	default:
		show(text, length);
		break;
	}
	free(text);
	return 0;
}
