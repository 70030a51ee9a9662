/* record - what an upload is, and what became of it, as JSON; the states' names. */
#include "engine/gateway/spool/internal.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

static const char *const state_names[UR_SPOOL_STATES] = {
	[UR_SPOOL_RECEIVING] = "receiving",
	[UR_SPOOL_COMPLETE] = "complete",
	[UR_SPOOL_BROKEN] = "broken",
	[UR_SPOOL_DELIVERED] = "delivered",
	[UR_SPOOL_CONFIRMED] = "confirmed",
	[UR_SPOOL_REFUSED] = "refused",
};

const char *ur_spool_state_name(enum ur_spool_state state)
{
	assert(state < UR_SPOOL_STATES);
	return state_names[state];
}

bool ur_spool_is_id(const char *text)
{
	return strlen(text) == UR_SPOOL_ID - 1 &&
	       strspn(text, "0123456789abcdef") == UR_SPOOL_ID - 1;
}

bool ur_spool_is_over(const struct ur_spool_outcome *outcome)
{
	return outcome->state == UR_SPOOL_CONFIRMED ||
	       (outcome->state == UR_SPOOL_REFUSED && outcome->status != UR_STATUS_TRASHED &&
		       outcome->status != UR_STATUS_QUOTA);
}

static void add_string(struct ur_text *text, const char *key, const char *value)
{
	ur_text_addf(text, ",\"%s\":", key);
	ur_text_add_json(text, value, strlen(value));
}

/* ---- info ------------------------------------------------------------------------------------ */

void ur_spool_info_write(
	const struct ur_spool_upload *upload, const char *metadata, struct ur_text *ret)
{
	assert(ur_spool_is_id(upload->id));
	assert(upload->owner[0] != '\0');
	ur_text_addf(ret, "{\"version\":%d,\"created_ms\":%lld,\"is_sidecar\":%s", UR_SPOOL_LAYOUT,
		(long long)upload->created_ms, upload->is_sidecar ? "true" : "false");
	if (upload->length != UR_SPOOL_LENGTH_UNKNOWN) {
		ur_text_addf(ret, ",\"length\":%lld", (long long)upload->length);
	}
	add_string(ret, "id", upload->id);
	add_string(ret, "owner", upload->owner);
	add_string(ret, "metadata", metadata);
	if (upload->has_sha1) {
		char hex[2 * sizeof upload->want_sha1 + 1];
		ur_hex(upload->want_sha1, sizeof upload->want_sha1, hex);
		add_string(ret, "sha1", hex);
	}
	ur_text_adds(ret, "}\n");
}

static int read_info(json_t *root, struct ur_spool_upload *ret, char **ret_metadata)
{
	int version = 0;
	int sidecar = 0;
	json_int_t created = 0;
	json_int_t length = -1;
	const char *id = NULL;
	const char *owner = NULL;
	const char *metadata = NULL;
	const char *sha1 = NULL;
	if (json_unpack(root, "{s:i, s:I, s:b, s:s, s:s, s:s, s?s, s?I}", "version", &version,
		    "created_ms", &created, "is_sidecar", &sidecar, "id", &id, "owner", &owner,
		    "metadata", &metadata, "sha1", &sha1, "length", &length) < 0 ||
		version < 1 || version > UR_SPOOL_LAYOUT || !ur_spool_is_id(id) ||
		owner[0] == '\0' || strlen(owner) >= sizeof ret->owner ||
		(sha1 != NULL && !ur_unhex(sha1, sizeof ret->want_sha1, ret->want_sha1))) {
		return -EBADMSG;
	}
	if (ret_metadata != NULL) {
		*ret_metadata = strdup(metadata);
		if (*ret_metadata == NULL) {
			return -ENOMEM;
		}
	}
	memcpy(ret->id, id, strlen(id) + 1);
	memcpy(ret->owner, owner, strlen(owner) + 1);
	ret->created_ms = created;
	ret->is_sidecar = sidecar != 0;
	ret->has_sha1 = sha1 != NULL;
	ret->length = length < 0 ? UR_SPOOL_LENGTH_UNKNOWN : (uint64_t)length;
	return version;
}

int ur_spool_info_read(
	const char *json, size_t size, struct ur_spool_upload *ret, char **ret_metadata)
{
	json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
	const int r = root == NULL ? -EBADMSG : read_info(root, ret, ret_metadata);
	json_decref(root);
	return r;
}

/* ---- outcome --------------------------------------------------------------------------------- */

void ur_spool_outcome_write(const struct ur_spool_outcome *outcome, struct ur_text *ret)
{
	assert(outcome->state < UR_SPOOL_STATES);
	ur_text_addf(ret,
		"{\"version\":%d,\"duplicate\":%s,\"trashed\":%s,\"status\":%d,\"since_ms\":%lld,"
		"\"tries\":%u",
		UR_SPOOL_LAYOUT, outcome->duplicate ? "true" : "false",
		outcome->trashed ? "true" : "false", outcome->status, (long long)outcome->since_ms,
		outcome->tries);
	ur_text_addf(ret,
		",\"suspect\":%s,\"noted\":%s,\"since_ran_ms\":%lld,\"there_ran_ms\":%lld,\"missed_ran_ms\":%lld",
		outcome->suspect ? "true" : "false", outcome->noted ? "true" : "false",
		(long long)outcome->since_ran_ms, (long long)outcome->there_ran_ms,
		(long long)outcome->missed_ran_ms);
	add_string(ret, "state", ur_spool_state_name(outcome->state));
	add_string(ret, "asset", outcome->asset);
	add_string(ret, "with", outcome->with);
	add_string(ret, "words", outcome->words);
	ur_text_adds(ret, "}\n");
}

/** As much as there is room for, cut between characters. */
static void copy_words(const char *words, char *ret, size_t room)
{
	size_t size = strnlen(words, room);
	if (size == room) {
		size--;
		while (size > 0 && ((unsigned char)words[size] & 0xc0) == 0x80) {
			size--;
		}
	}
	memcpy(ret, words, size);
	ret[size] = '\0';
}

static int state_named(const char *name)
{
	int i = 0;
	while (i < UR_SPOOL_STATES && strcmp(state_names[i], name) != 0) {
		i++;
	}
	return i;
}

/** Layout 1 knew of no doubt: what it had sent, and not seen confirmed, is doubted. */
static bool was_suspect(const struct ur_spool_outcome *outcome)
{
	return (outcome->state == UR_SPOOL_COMPLETE && outcome->tries > 0) ||
	       (outcome->state == UR_SPOOL_DELIVERED && outcome->status != 201);
}

static int read_outcome(json_t *root, struct ur_spool_outcome *ret)
{
	int version = 0;
	int duplicate = 0;
	int trashed = 0;
	int suspect = -1;
	int noted = 0;
	json_int_t since = 0;
	json_int_t tries = 0;
	json_int_t since_ran = 0;
	json_int_t there_ran = 0;
	json_int_t missed_ran = UR_SPOOL_NEVER;
	const char *state = NULL;
	const char *asset = NULL;
	const char *words = NULL;
	const char *with = "";
	struct ur_spool_outcome read = {.state = UR_SPOOL_STATES};
	if (json_unpack(root,
		    "{s:i, s:b, s:b, s:i, s:I, s:I, s:s, s:s, s:s, s?b, s?b, s?I, s?I, s?I, s?s}",
		    "version", &version, "duplicate", &duplicate, "trashed", &trashed, "status",
		    &read.status, "since_ms", &since, "tries", &tries, "state", &state, "asset",
		    &asset, "words", &words, "suspect", &suspect, "noted", &noted, "since_ran_ms",
		    &since_ran, "there_ran_ms", &there_ran, "missed_ran_ms", &missed_ran, "with",
		    &with) < 0 ||
		version < 1 || version > UR_SPOOL_LAYOUT || strlen(asset) >= sizeof read.asset ||
		strlen(with) >= sizeof read.with) {
		return -EBADMSG;
	}
	read.state = (enum ur_spool_state)state_named(state);
	read.duplicate = duplicate != 0;
	read.trashed = trashed != 0;
	read.since_ms = since;
	read.since_ran_ms = since_ran;
	read.there_ran_ms = there_ran;
	read.missed_ran_ms = missed_ran;
	read.tries = (unsigned)tries;
	read.noted = noted != 0;
	read.suspect = suspect < 0 ? was_suspect(&read) : suspect != 0;
	copy_words(words, read.words, sizeof read.words);
	memcpy(read.asset, asset, strlen(asset) + 1);
	memcpy(read.with, with, strlen(with) + 1);
	if (read.state == UR_SPOOL_STATES) {
		return -EBADMSG;
	}
	*ret = read;
	return 0;
}

int ur_spool_outcome_read(const char *json, size_t size, struct ur_spool_outcome *ret)
{
	json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
	const int r = root == NULL ? -EBADMSG : read_outcome(root, ret);
	json_decref(root);
	return r;
}
