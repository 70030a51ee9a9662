/*
 * request - the questions of a delivery, and the one ordinary request that carries the bytes.
 *
 *   Threads  give() and count_bytes() on http's, while the delivery is busy
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/base/clock.h"
#include "engine/gateway/name.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ASK_MS 60000

static void answered(struct ur_request *request)
{
	struct ur_session *session = request->context;
	assert(session->delivery->busy);
	ur_httpd_post(session->gateway->httpd, &session->delivery->post);
}

static struct ur_request *new_request(
	struct ur_session *session, const char *method, const char *path)
{
	struct ur_delivery *delivery = session->delivery;
	struct ur_request *request = &delivery->request;
	assert(!delivery->busy);
	assert(delivery->post.run != NULL);
	ur_request_done(request);
	*request = (struct ur_request){
		.method = method,
		.path = path,
		.answer_wait_ms = ASK_MS,
		.answer_max = 1u << 20,
		.done = answered,
		.owner = delivery,
		.context = session,
	};
	(void)snprintf(
		request->header[0], sizeof request->header[0], "%s", delivery->credential.line);
	delivery->busy = true;
	delivery->waits_from_ms = ur_gateway_now_ms();
	return request;
}

/* ---- is it there? ---------------------------------------------------------------------------- */

static int ask_check(struct ur_session *session)
{
	struct ur_delivery *delivery = session->delivery;
	assert(!session->upload->is_sidecar);
	struct ur_request *request = new_request(session, "POST", "/api/assets/bulk-upload-check");
	ur_text_clear(&delivery->head);
	ur_immich_check_begin(&delivery->head);
	ur_immich_check_add(&delivery->head, 0, session->upload->sha1);
	ur_immich_check_end(&delivery->head);
	if (!ur_text_ok(&delivery->head)) {
		delivery->busy = false;
		return -ENOMEM;
	}
	request->content_type = "application/json";
	request->pieces[0] = (struct ur_piece){
		.bytes = ur_text_get(&delivery->head), .size = delivery->head.size};
	request->piece_count = 1;
	ur_http_submit(session->gateway->ask, request);
	return 0;
}

/** On http's thread.  Where something drops the Range, all of them are as good a proof as the last. */
static int count_bytes(struct ur_request *request, const void *bytes, size_t size)
{
	struct ur_delivery *delivery = request->owner;
	assert(delivery->put.state == UR_PUT_BYTES);
	(void)bytes;
	delivery->counted += size;
	return 0;
}

static int ask_asset(struct ur_session *session)
{
	assert(session->upload->outcome.state == UR_SPOOL_DELIVERED);
	struct ur_delivery *delivery = session->delivery;
	const bool bytes = delivery->put.state == UR_PUT_BYTES;
	const uint64_t length = session->upload->length;
	assert(length > 0);
	assert(session->upload->outcome.asset[0] != '\0');
	(void)snprintf(delivery->path, sizeof delivery->path, "/api/assets/%s%s",
		session->upload->outcome.asset, bytes ? "/original" : "");
	struct ur_request *request = new_request(session, "GET", delivery->path);
	if (bytes) {
		(void)snprintf(request->header[1], sizeof request->header[1],
			"Range: bytes=%" PRIu64 "-%" PRIu64, length - 1, length - 1);
		request->sink = count_bytes;
		delivery->counted = 0;
	}
	ur_http_submit(session->gateway->ask, request);
	return 0;
}

/* ---- the one ordinary request ---------------------------------------------------------------- */

/** On http's thread: the page cache still holds most of it, and nobody else waits here. */
static ssize_t give(struct ur_stream *stream, void *buffer, size_t size)
{
	struct ur_delivery *delivery =
		(struct ur_delivery *)((char *)stream - offsetof(struct ur_delivery, stream));
	assert(delivery->put.state == UR_PUT_SEND);
	const ssize_t got = ur_sys.pread(delivery->fd, buffer, size, (off_t)delivery->at);
	if (got > 0) {
		delivery->at += (uint64_t)got;
	}
	return got == 0 ? -EIO : got;
}

static int64_t time_of(const char *text)
{
	int64_t ns = 0;
	bool zoned = false;
	return text[0] != '\0' && ur_clock_parse_iso(text, &ns, &zoned) == 0 ? ns
									     : ur_clock_wall_ns();
}

static const char *or_null(const char *text)
{
	return text[0] == '\0' ? NULL : text;
}

/** The first bytes are in the page cache, or will be: they are sent next. */
static void name_of(const struct ur_session *session, char ret[UR_NAME_MAX])
{
	assert(session->delivery->fd >= 0);
	const struct ur_delivery *delivery = session->delivery;
	uint8_t head[UR_KIND_HEAD];
	const ssize_t size = ur_sys_pread_all(delivery->fd, head, sizeof head, 0);
	ur_name_of(delivery->metadata, session->gateway->types,
		size > 0 ? ur_kind_of(head, (size_t)size) : NULL, ret);
}

static void write_body(struct ur_session *session, char boundary[64])
{
	assert(session->delivery->metadata != NULL);
	assert(session->gateway->server.dialect != NULL);
	struct ur_delivery *delivery = session->delivery;
	const struct ur_tus_metadata *said = delivery->metadata;
	char name[UR_NAME_MAX];
	name_of(session, name);
	const struct ur_upload_fields fields = {
		.name = name,
		.created_ns = time_of(said->created),
		.modified_ns = time_of(said->modified),
		.size = session->upload->length,
		.live_movie = delivery->unlinked ? NULL : or_null(said->live_movie),
		.sidecar_name = delivery->sidecar != NULL ? "file.xmp" : NULL,
		.sidecar_size = delivery->sidecar_size,
		.device_asset = or_null(said->device_asset),
		.device = or_null(said->device),
		.visibility = or_null(said->visibility),
		.favorite = said->favorite,
	};
	ur_text_clear(&delivery->head);
	ur_text_clear(&delivery->middle);
	ur_text_clear(&delivery->tail);
	ur_immich_upload_write(session->gateway->server.dialect, &fields, boundary, &delivery->head,
		&delivery->middle, &delivery->tail);
}

static void add_piece(struct ur_request *request, const void *bytes, size_t size)
{
	assert(request->piece_count < UR_HTTP_PIECES_MAX);
	if (size > 0) {
		request->pieces[request->piece_count++] =
			(struct ur_piece){.bytes = bytes, .size = size};
	}
}

/** On http's thread: from now on a crash leaves a body that may arrive. */
static int last_byte(struct ur_request *request)
{
	const struct ur_session *session = request->context;
	assert(session->delivery->busy);
	return ur_wire_gone(session->gateway->wire, session->delivery->wire);
}

static int send(struct ur_session *session)
{
	assert(session->delivery->fd < 0);
	assert(session->upload->outcome.state == UR_SPOOL_COMPLETE);
	assert(session->upload->outcome.suspect);
	struct ur_delivery *delivery = session->delivery;
	char boundary[64];
	char hex[2 * UR_SHA1_SIZE + 1];
	struct ur_err err = {0};
	delivery->fd = ur_spool_open(session->upload, &err);
	if (delivery->fd < 0) {
		ur_gateway_log(session->gateway, 3, "upload %s: %s", session->upload->id, err.text);
		return delivery->fd;
	}
	ur_immich_boundary(boundary, delivery->content_type);
	write_body(session, boundary);
	struct ur_request *request = new_request(session, "POST", "/api/assets");
	ur_hex(session->upload->sha1, sizeof session->upload->sha1, hex);
	(void)snprintf(request->header[1], sizeof request->header[1], "x-immich-checksum: %s", hex);
	request->content_type = delivery->content_type;
	request->answer_wait_ms = session->gateway->limits.answer_wait_ms;
	delivery->waits_from_ms = 0; // to store it takes what it takes
	request->upload = true;
	request->last = last_byte;
	add_piece(request, ur_text_get(&delivery->head), delivery->head.size);
	add_piece(request, delivery->sidecar, delivery->sidecar_size);
	add_piece(request, ur_text_get(&delivery->middle), delivery->middle.size);
	delivery->at = 0;
	delivery->stream.read = give;
	request->pieces[request->piece_count++] =
		(struct ur_piece){.stream = &delivery->stream, .size = session->upload->length};
	add_piece(request, ur_text_get(&delivery->tail), delivery->tail.size);
	session->gateway->carrying++;
	ur_http_submit(session->gateway->carry, request);
	return 0;
}

int ur_delivery_ask(struct ur_session *session)
{
	assert(session->delivery->step == UR_DELIVERY_PUT);
	switch (session->delivery->put.state) {
	case UR_PUT_CHECK:
	case UR_PUT_LOST:
		return ask_check(session);
	case UR_PUT_SEND:
		return send(session);
	case UR_PUT_ASSET:
	case UR_PUT_BYTES:
		return ask_asset(session);
	case UR_PUT_NEW:
	case UR_PUT_PROVED:
	case UR_PUT_ASIDE:
	case UR_PUT_OVER:
	case UR_PUT_STATES:
		break;
	}
	assert(!"a question that no delivery has");
	return -EINVAL;
}
