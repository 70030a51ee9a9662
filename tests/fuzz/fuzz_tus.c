/*
 * fuzz_tus - the first byte says which header the rest is: a number, a checksum, metadata.  What is
 * read can be written again and means the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/net/tus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void number(const char *text)
{
	uint64_t value = 0;
	char again[32];
	if (ur_tus_number(text, &value) == 0) {
		assert(value <= UR_TUS_LENGTH_MAX);
		(void)snprintf(again, sizeof again, "%llu", (unsigned long long)value);
		while (text[0] == '0' && text[1] != '\0') {
			text++;
		}
		assert(strcmp(text, again) == 0);
	}
}

static void checksum(const char *text)
{
	struct ur_tus_checksum read;
	struct ur_err err = {0};
	char again[64];
	if (ur_tus_checksum_read(text, &read, &err) == 0) {
		ur_tus_checksum_write(&read, again);
		assert(strcmp(text, again) == 0);
	} else {
		assert(err.text[0] != '\0');
	}
}

static void no_controls(const char *text)
{
	assert(ur_utf8_valid(text, strlen(text)));
	for (; *text != '\0'; text++) {
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
	}
}

static void add(struct ur_text *text, const char *key, const char *value)
{
	no_controls(value);
	if (*value != '\0') {
		ur_tus_metadata_add(text, key, value, strlen(value));
	}
}

static void metadata(const char *value)
{
	struct ur_tus_metadata read;
	struct ur_tus_metadata again;
	struct ur_text text = {0};
	struct ur_err err = {0};
	char hex[41];
	if (ur_tus_metadata_read(value, &read, &err) < 0) {
		assert(strncmp(err.text, "Upload-Metadata: ", 17) == 0);
		return;
	}
	add(&text, "name", read.filename);
	add(&text, "type", read.type);
	ur_hex(read.sha1, sizeof read.sha1, hex);
	add(&text, "sha1", read.has_sha1 ? hex : "");
	add(&text, "fileCreatedAt", read.created);
	add(&text, "fileModifiedAt", read.modified);
	add(&text, "deviceAssetId", read.device_asset);
	add(&text, "deviceId", read.device);
	add(&text, "livePhotoVideoId", read.live_movie);
	add(&text, "livePhotoVideo", read.movie_upload);
	add(&text, "sidecar", read.sidecar_upload);
	add(&text, "role", read.is_sidecar ? "sidecar" : "");
	add(&text, "isFavorite", read.favorite ? "true" : "");
	add(&text, "visibility", read.visibility);
	assert(ur_tus_metadata_read(ur_text_get(&text), &again, NULL) == 0);
	assert(memcmp(&read, &again, sizeof read) == 0);
	ur_text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	char *text = malloc(size);
	assert(text != NULL);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0]) {
	case 'n':
		number(text);
		(void)ur_tus_is_id(text);
		break;
	case 'c':
		checksum(text);
		break;
	default:
		metadata(text);
		break;
	}
	free(text);
	return 0;
}
