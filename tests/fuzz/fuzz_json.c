/* fuzz_json - what a server (or whatever answers in its place) may say: a digit, then the answer. */
#include "engine/net/immich.h"
#include "engine/net/told.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHECKS 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_checks(const char *json)
{
	struct ur_check checks[CHECKS];
	if (ur_immich_check_read(json, checks, CHECKS, NULL) == 0) {
		for (size_t i = 0; i < CHECKS; i++) {
			assert(checks[i].answered);
			assert(!checks[i].there || ur_immich_is_id(checks[i].asset));
		}
	}
}

/** A gateway's word about an upload, and where it says that one lies. */
static void read_gateway(const char *text, bool address)
{
	static const char base[] = "https://photos.example.org/uringest/files/";
	struct ur_told told;
	char short_one[UR_ADDRESS_MAX];
	char whole[UR_ADDRESS_MAX];
	if (address) {
		if (ur_address_read(text, base, short_one) == 0) {
			assert(ur_address_write(short_one, base, "", whole));
			assert(strncmp(whole, base, strlen("https://photos.example.org/")) == 0);
			assert(strpbrk(whole, "?#@ \r\n") == NULL);
		}
	} else if (ur_told_read(text, &told, NULL) == 0) {
		const bool there = told.what == UR_TOLD_CREATED || told.what == UR_TOLD_DUPLICATE;
		assert(told.what != UR_TOLD_CREATED || told.status == 201);
		assert(!there || ur_immich_is_id(told.asset));
	}
}

static void read_message(const char *answer, int status)
{
	char text[UR_MESSAGE_MAX];
	ur_immich_message(status, answer, status == 413, text);
	assert(text[0] != '\0' && memchr(text, '\0', sizeof text) != NULL);
	for (const char *at = text; *at != '\0'; at++) {
		assert((unsigned char)*at >= ' ' && *at != 0x7f);
	}
	(void)ur_immich_is_quota(status, answer);
}

static void read_as(char what, const char *json)
{
	struct ur_server server = {0};
	struct ur_asset asset;
	char id[UR_ASSET_ID] = "";
	char ids[8][UR_ASSET_ID];
	size_t count = 0;
	bool duplicate = false;
	struct ur_err err = {0};
	switch (what) {
	case '0':
		if (ur_immich_read_version(json, &server, &err) == 0) {
			assert(server.dialect != NULL);
		}
		return;
	case '1':
		if (ur_immich_read_user(json, &server, &err) == 0) {
			assert(ur_immich_is_id(server.user_id));
		}
		return;
	case '2':
		(void)!ur_immich_read_key(json, &server, &err);
		return;
	case '3':
		read_checks(json);
		return;
	case '4':
		if (ur_immich_upload_read(json, id, &duplicate, &err) == 0) {
			assert(ur_immich_is_id(id));
		}
		return;
	case '5':
		if (ur_immich_asset_read(json, &asset, &err) == 0) {
			assert(ur_immich_is_id(asset.id) && ur_immich_is_id(asset.owner));
		}
		return;
	case '6':
		if (ur_immich_tags_read(json, ids, 8, &count, &err) == 0) {
			assert(count <= 8);
		}
		return;
	case '7': {
		struct ur_types *types = NULL;
		if (ur_types_new(&types) == 0) {
			(void)!ur_immich_read_types(json, types, &err);
			types = ur_types_free(types);
		}
		return;
	}
	case 's':
	case 'a':
		read_gateway(json, what == 'a');
		return;
	default:
		read_message(json, what == '8' ? 400 : what == '9' ? 413 : 500);
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size == 0) {
		return 0;
	}
	char *json = malloc(size);
	assert(json != NULL);
	memcpy(json, bytes + 1, size - 1);
	json[size - 1] = '\0';
	read_as((char)bytes[0], json);
	free(json);
	return 0;
}
