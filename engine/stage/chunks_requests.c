/*
 * chunks_requests - the requests of a transfer, one at a time, and what their answers say.
 *
 * An answer becomes slot->outcome; what follows from it is net/transfer's to decide, in the turn.
 */
#include "engine/stage/chunks_parts.h"

#include "engine/base/clock.h"
#include "engine/net/told.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FINISH_MS 180000 // a chunk's answer comes when it is on disk there

static_assert(UR_TRANSFER_WHY_MAX >= UR_MESSAGE_MAX, "words of both fit");

/* ---- answers --------------------------------------------------------------------------------- */

/** What the answer says beside its status. */
static void take_field(struct ur_request *request, const char *name, const char *value)
{
	struct ur_chunks_slot *slot = request->owner;
	struct ur_transfer_outcome *out = &slot->outcome;
	if (strcasecmp(name, "Tus-Resumable") == 0) {
		out->own = true;
	} else if (strcasecmp(name, "Upload-Offset") == 0) {
		out->has_offset = ur_tus_number(value, &out->offset) == 0;
	} else if (strcasecmp(name, "Location") == 0) {
		(void)snprintf(slot->location, sizeof slot->location, "%s", value);
	} else if (strcasecmp(name, "Uringest-Asset") == 0 && ur_immich_is_id(value)) {
		(void)snprintf(slot->file->asset, sizeof slot->file->asset, "%s", value);
		slot->early = true;
	}
}

/** The words of a refusal, for people: the gateway's sentence, or the server's JSON. */
static void take_words(struct ur_chunks_slot *slot, const struct ur_request *request)
{
	char answer[256];
	if (request->result < 0) {
		(void)snprintf(slot->words, sizeof slot->words, "%.*s", UR_TRANSFER_WHY_MAX - 1,
			request->err.text);
		return;
	}
	(void)snprintf(answer, sizeof answer, "%s", ur_text_get(&request->answer));
	answer[strcspn(answer, "\r\n")] = '\0';
	ur_immich_message(request->status, answer, request->html, slot->words);
}

static void read_made(struct ur_chunks_slot *slot)
{
	struct ur_transfer_outcome *out = &slot->outcome;
	char address[UR_ADDRESS_MAX];
	const int r = ur_address_read(slot->location, slot->chunks->base, address);
	if (r < 0) {
		(void)snprintf(slot->words, sizeof slot->words,
			r == -EXDEV
				? "its answer points to another server, where the key must not go"
				: "its answer names no address that can be used");
		out->status = 400; // as if it had refused
		out->words = slot->words;
		return;
	}
	if (slot->transfer.state == UR_TRANSFER_CREATE) {
		memcpy(slot->resume->address, address, sizeof address);
		out->early =
			slot->early && out->has_offset && out->offset == slot->transfer.spec.length;
	} else if (ur_tus_is_id(address) && out->has_offset &&
		   out->offset == (uint64_t)slot->sidecar->identity.size) {
		memcpy(slot->related, address, sizeof slot->related);
	} else {
		out->status = 500; // it did not all arrive: again
	}
}

static void read_told(struct ur_chunks_slot *slot, const struct ur_request *request)
{
	struct ur_told told;
	struct ur_err err = {0};
	if (ur_told_read(ur_text_get(&request->answer), &told, &err) < 0) {
		(void)snprintf(
			slot->words, sizeof slot->words, "%.*s", UR_TRANSFER_WHY_MAX - 1, err.text);
		slot->outcome.words = slot->words;
		return;
	}
	slot->outcome.told = told.what;
	slot->outcome.told_status = told.status;
	if (told.asset[0] != '\0') {
		memcpy(slot->file->asset, told.asset, sizeof slot->file->asset);
	}
	(void)snprintf(slot->words, sizeof slot->words, "%s", told.words);
	slot->outcome.words = slot->words;
}

static void answered(struct ur_request *request)
{
	struct ur_chunks_slot *slot = request->owner;
	struct ur_transfer_outcome *out = &slot->outcome;
	const enum ur_transfer_state state = slot->transfer.state;
	out->result = request->result;
	out->status = request->status;
	out->retry_ms = request->retry_after_ms;
	out->took_ms = (ur_clock_steady_ns() - slot->sent_ns) / UR_MS_NS;
	slot->words[0] = '\0';
	if (request->result == -ESTALE) {
		(void)snprintf(
			slot->words, sizeof slot->words, "it changed while it was being sent");
	} else if (request->result < 0 || request->status >= 300) {
		take_words(slot, request);
	}
	out->words = slot->words;
	if (request->result == 0 && request->status == 201 &&
		(state == UR_TRANSFER_CREATE || state == UR_TRANSFER_RELATED)) {
		read_made(slot);
	} else if (request->result == 0 && request->status == 200 && state == UR_TRANSFER_ASK) {
		read_told(slot, request);
	}
	ur_chunks_conclude(slot);
}

/* ---- requests -------------------------------------------------------------------------------- */

/** Zeroed but for what all have; NULL when the address has no room, which is then the outcome. */
static struct ur_request *new_request(
	struct ur_chunks_slot *slot, const char *method, const char *address, const char *tail)
{
	struct ur_request *request = &slot->request;
	struct ur_text answer = request->answer;
	slot->outcome = (struct ur_transfer_outcome){.retry_ms = -1};
	slot->location[0] = '\0';
	slot->early = false;
	slot->sent_ns = ur_clock_steady_ns();
	if (!ur_address_write(address, slot->chunks->base, tail, slot->url)) {
		ur_chunks_conclude_code(slot, -ENAMETOOLONG, "its address");
		return NULL;
	}
	*request = (struct ur_request){
		.method = method,
		.url = slot->url,
		.answer_wait_ms = ur_run_answer_ms(slot->chunks->run, UR_CHUNKS_ANSWER_MS),
		.answer_max = UR_CHUNKS_ANSWER_MAX,
		.done = answered,
		.field = take_field,
		.owner = slot,
		.answer = answer,
		.more = {"Tus-Resumable: " UR_TUS_VERSION},
	};
	return request;
}

void ur_chunks_ask_simply(
	struct ur_chunks_slot *slot, const char *method, const char *address, const char *tail)
{
	struct ur_request *request = new_request(slot, method, address, tail);
	if (request != NULL) {
		ur_http_submit(slot->chunks->http, request);
	}
}

static void set_length(struct ur_chunks_slot *slot, struct ur_request *request, uint64_t length)
{
	(void)snprintf(slot->lines[0], sizeof slot->lines[0], "Upload-Length: %" PRIu64, length);
	request->more[1] = slot->lines[0];
	request->more[2] = ur_text_get(&slot->metadata);
}

static void add_pair(struct ur_text *text, const char *key, const char *value)
{
	ur_tus_metadata_add(text, key, value, strlen(value));
}

static void add_checksum(struct ur_text *text, const struct ur_file *file)
{
	char base64[UR_BASE64_ROOM(UR_HASH_SHA1)];
	ur_base64(file->sha1, UR_HASH_SHA1, base64);
	add_pair(text, "checksum", base64);
}

/** What an upload says of the file, but for its sidecar's address: the same in every run. */
static void write_pairs(struct ur_chunks_slot *slot, struct ur_text *text)
{
	const struct ur_file *file = slot->file;
	const struct ur_file *movie =
		file->movie == UR_NONE ? NULL : &slot->item->files[file->movie];
	char created[UR_CLOCK_TEXT];
	char modified[UR_CLOCK_TEXT];
	ur_clock_iso(ur_run_created_of(slot->chunks->run, file), created);
	ur_clock_iso(file->identity.mtime_ns, modified);
	add_pair(text, "filename", slot->name);
	add_checksum(text, file);
	add_pair(text, "fileCreatedAt", created);
	add_pair(text, "fileModifiedAt", modified);
	if (movie != NULL && movie->asset[0] != '\0') {
		add_pair(text, "livePhotoVideoId", movie->asset);
	}
}

uint64_t ur_chunks_about(struct ur_chunks_slot *slot)
{
	struct ur_text text = {0};
	write_pairs(slot, &text);
	if (slot->sidecar != NULL) {
		ur_text_add(&text, slot->sidecar->xxh, sizeof slot->sidecar->xxh);
	}
	const uint64_t ret = ur_hash_short(ur_text_get(&text), text.size, 0) & INT64_MAX;
	ur_text_done(&text);
	return ret;
}

void ur_chunks_create_upload(struct ur_chunks_slot *slot)
{
	struct ur_request *request = new_request(slot, "POST", "", "");
	struct ur_text pairs = {0};
	if (request == NULL) {
		return;
	}
	write_pairs(slot, &pairs);
	if (slot->sidecar != NULL) {
		add_pair(&pairs, "sidecar", slot->related);
	}
	ur_text_clear(&slot->metadata);
	ur_text_addf(&slot->metadata, "Upload-Metadata: %s", ur_text_get(&pairs));
	const bool ok = ur_text_ok(&pairs) && ur_text_ok(&slot->metadata);
	ur_text_done(&pairs);
	if (!ok) {
		ur_chunks_conclude_code(slot, -ENOMEM, "it could not be sent");
		return;
	}
	set_length(slot, request, (uint64_t)slot->file->identity.size);
	request->more[3] = "Content-Length: 0";
	ur_http_submit(slot->chunks->http, request);
}

/** What stands in slot->sidecar_bytes. */
static void send_sidecar(struct ur_chunks_slot *slot)
{
	assert(slot->sidecar_bytes != NULL);
	const uint64_t size = (uint64_t)slot->sidecar->identity.size;
	struct ur_request *request = new_request(slot, "POST", "", "");
	if (request == NULL) {
		return;
	}
	ur_text_clear(&slot->metadata);
	ur_text_adds(&slot->metadata, "Upload-Metadata: role c2lkZWNhcg=="); // "sidecar"
	add_pair(&slot->metadata, "filename", "file.xmp");
	add_checksum(&slot->metadata, slot->sidecar);
	if (!ur_text_ok(&slot->metadata)) {
		ur_chunks_conclude_code(slot, -ENOMEM, "its sidecar could not be sent");
		return;
	}
	set_length(slot, request, size);
	request->content_type = UR_TUS_CONTENT_TYPE;
	request->upload = true;
	request->uncounted = true;
	request->pieces[0] = (struct ur_piece){.bytes = slot->sidecar_bytes, .size = size};
	request->piece_count = 1;
	ur_http_submit(slot->chunks->http, request);
}

void ur_chunks_begin_sidecar(struct ur_chunks_slot *slot)
{
	if (slot->sidecar_bytes != NULL) {
		send_sidecar(slot);
	} else {
		ur_chunks_read_sidecar(slot, send_sidecar);
	}
}

void ur_chunks_send_chunk(struct ur_chunks_slot *slot)
{
	const struct ur_transfer *t = &slot->transfer;
	struct ur_request *request = new_request(slot, "PATCH", slot->resume->address, "");
	if (request == NULL) {
		return;
	}
	(void)snprintf(slot->lines[0], sizeof slot->lines[0], "Upload-Offset: %" PRIu64, t->offset);
	request->more[1] = slot->lines[0];
	request->content_type = UR_TUS_CONTENT_TYPE;
	request->answer_wait_ms = ur_run_answer_ms(slot->chunks->run, FINISH_MS);
	if (t->chunk == 0) {
		request->more[2] = "Content-Length: 0";
		ur_http_submit(slot->chunks->http, request);
		return;
	}
	if (slot->checksum.algorithm != UR_TUS_NONE) {
		char sum[64];
		ur_tus_checksum_write(&slot->checksum, sum);
		(void)snprintf(slot->lines[1], sizeof slot->lines[1], "Upload-Checksum: %s", sum);
		request->more[2] = slot->lines[1];
	}
	request->upload = true;
	request->uncounted = true;
	request->pieces[0] = (struct ur_piece){.stream = &slot->stream, .size = t->chunk};
	request->piece_count = 1;
	char status[UR_ADDRESS_MAX];
	if (ur_address_write(slot->resume->address, slot->chunks->base, "/status", status)) {
		ur_window_open(&slot->window, slot->chunks->http, status, t->offset);
	}
	ur_chunks_begin_sending(slot);
	ur_http_submit(slot->chunks->http, request);
}
