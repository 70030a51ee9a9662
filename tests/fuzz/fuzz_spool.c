/*
 * fuzz_spool - what a gateway reads back of its own disk after a crash: a letter, then the bytes.
 *
 *     i  info     o  outcome     s  a slot of `state`, given the right checksum where it has none
 */
#include "engine/base/clock.h"
#include "engine/gateway/spool/internal.h"
#include "engine/media/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_info(const char *text, size_t size)
{
	struct ur_spool_upload upload = {0};
	struct ur_spool_upload again = {0};
	struct ur_text out = {0};
	char *metadata = NULL;
	char *second = NULL;
	if (ur_spool_info_read(text, size, &upload, &metadata) < 0) {
		return;
	}
	assert(memchr(upload.id, 0, sizeof upload.id) != NULL);
	assert(memchr(upload.owner, 0, sizeof upload.owner) != NULL);
	ur_spool_info_write(&upload, metadata, &out);
	assert(ur_text_ok(&out));
	if (ur_spool_info_read(out.bytes, out.size, &again, &second) >= 0) {
		assert(strcmp(second, metadata) == 0);
		assert(strcmp(again.owner, upload.owner) == 0);
		assert(again.length == upload.length);
	}
	free(second);
	free(metadata);
	ur_text_done(&out);
}

static void read_outcome(const char *text, size_t size)
{
	struct ur_spool_outcome outcome;
	struct ur_spool_outcome again;
	struct ur_text out = {0};
	if (ur_spool_outcome_read(text, size, &outcome) < 0) {
		return;
	}
	assert(outcome.state < UR_SPOOL_STATES);
	assert(memchr(outcome.asset, 0, sizeof outcome.asset) != NULL);
	assert(memchr(outcome.words, 0, sizeof outcome.words) != NULL);
	ur_spool_outcome_write(&outcome, &out);
	assert(ur_spool_outcome_read(out.bytes, out.size, &again) == 0);
	assert(again.state == outcome.state);
	assert(again.tries == outcome.tries);
	assert(again.suspect == outcome.suspect);
	assert(again.there_ran_ms == outcome.there_ran_ms);
	ur_text_done(&out);
}

static void read_slot(const uint8_t *bytes, size_t size)
{
	struct ur_spool_slot slot;
	struct ur_sha1 sha1;
	uint8_t sum[20];
	uint8_t raw[UR_SLOT_BYTES];
	memcpy(raw, bytes, sizeof raw);
	if (!ur_spool_slot_read(raw, &slot)) {
		memcpy(raw, "URSLOT1", 8);
		const uint64_t check = ur_hash_short(raw, UR_SLOT_BYTES - 8, 0);
		memcpy(raw + UR_SLOT_BYTES - 8, &check, 8);
	}
	if (ur_spool_slot_read(raw, &slot)) {
		assert(slot.mark.offset <= slot.mark.length);
		if (ur_sha1_load(&sha1, slot.mark.offset, slot.mark.words, slot.mark.tail) == 0) {
			ur_sha1_feed(&sha1, bytes, size);
			ur_sha1_end(&sha1, sum);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size == 0) {
		return 0;
	}
	char *text = malloc(size);
	assert(text != NULL);
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = '\0';
	if (bytes[0] == 'i') {
		read_info(text, size - 1);
	} else if (bytes[0] == 'o') {
		read_outcome(text, size - 1);
	} else if (bytes[0] == 's' && size > UR_SLOT_BYTES) {
		read_slot(bytes + 1, size - 1);
	}
	free(text);
	return 0;
}
