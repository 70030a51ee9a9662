/*
 * create - a new upload.
 *
 *     limits (503) → does the server have it already? → spool → 201, and its first bytes
 *
 * The early answer is given only for what the server proves to hold: an asset with this checksum,
 * this user's, not trashed, and a byte of it with the right total size.
 */
#include "engine/gateway/create.h"

#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/limits.h"
#include "engine/gateway/name.h"
#include "engine/gateway/receive.h"
#include "engine/gateway/upstream.h"
#include "engine/net/proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MS 20000

enum {
	STEP_TYPES, // which files does it take?
	STEP_CHECK, // does it know the checksum?
	STEP_ASSET, // is it this user's, and not trashed?
	STEP_BYTES, // does it give a byte?
};

/* ---- made, or not ---------------------------------------------------------------------------- */

static void answer_made(struct ur_visit *visit)
{
	struct ur_spool_upload *upload = visit->made;
	ur_visit_set_location(visit, upload);
	ur_visit_set_expires(visit, upload);
	if (upload->outcome.state == UR_SPOOL_CONFIRMED) {
		ur_visit_set_offset(visit, upload->length);
		ur_exchange_set(visit->x, "Uringest-Asset", "%s", upload->outcome.asset);
		ur_exchange_set(visit->x, "Uringest-Result", "duplicate");
	}
	ur_visit_answer(visit, 201, "");
}

/** Counts among the user's uploads from the look at the limits on, not only when it is on disk. */
static void reserve(struct ur_visit *visit)
{
	visit->gateway->making++;
	visit->gateway->making_bytes += visit->has_length ? visit->length : 0;
}

static void release(struct ur_visit *visit)
{
	visit->gateway->making--;
	visit->gateway->making_bytes -= visit->has_length ? visit->length : 0;
}

static void on_made(struct ur_job *job)
{
	struct ur_visit *visit = (struct ur_visit *)((char *)job - offsetof(struct ur_visit, job));
	struct ur_gateway *gateway = visit->gateway;
	struct ur_spool_upload *upload = visit->made;
	release(visit);
	if (visit->result < 0) {
		ur_spool_dismiss(gateway->spool, upload);
		ur_gateway_log(gateway, 4, "an upload could not be made: %s", visit->err.text);
		gateway->counters.disk_full += ur_is_full(visit->result) ? 1 : 0;
		ur_visit_answer(visit, ur_is_full(visit->result) ? 503 : 500,
			ur_is_full(visit->result) ? "the gateway's disk is full; try again later"
						  : "the gateway's disk failed; try again later");
		return;
	}
	ur_spool_admit(gateway->spool, upload);
	gateway->records++;
	gateway->counters.created++;
	if (upload->outcome.state == UR_SPOOL_CONFIRMED) {
		gateway->counters.early++;
	} else if (visit->credential.line[0] != '\0') {
		ur_delivery_keep_credential(gateway, upload, &visit->credential);
	}
	if (visit->x == NULL) {
		ur_visit_end(visit); // it stands, and expires if nobody comes for it
	} else if (upload->outcome.state == UR_SPOOL_RECEIVING &&
		   (visit->x->has_body || upload->length == 0)) {
		ur_receive_enter(visit, upload);
	} else {
		answer_made(visit);
	}
}

/** The server has it: the record alone remains, so that the upload's URL can tell. */
static void conclude(struct ur_visit *visit)
{
	struct ur_spool *spool = visit->gateway->spool;
	struct ur_spool_outcome outcome = {
		.state = UR_SPOOL_CONFIRMED,
		.duplicate = true,
		.missed_ran_ms = UR_SPOOL_NEVER,
	};
	ur_spool_stamp(spool, &outcome);
	memcpy(outcome.asset, visit->asset, sizeof outcome.asset);
	(void)snprintf(outcome.words, sizeof outcome.words, "the server had it already");
	visit->result = ur_spool_conclude(visit->made, &outcome, &visit->err);
	if (visit->result == 0) {
		ur_spool_concluded(visit->made, &outcome);
		visit->result = ur_spool_empty(visit->made, &visit->err);
	}
	if (visit->result < 0) {
		(void)ur_spool_remove(spool, visit->made, NULL); // nobody learns its address
	}
}

static void make(struct ur_job *job)
{
	struct ur_visit *visit = (struct ur_visit *)((char *)job - offsetof(struct ur_visit, job));
	struct ur_spool_spec spec = {
		.owner = visit->who.user,
		.length = visit->has_length ? visit->length : UR_SPOOL_LENGTH_UNKNOWN,
		.metadata = visit->metadata_text,
		.has_sha1 = visit->metadata->has_sha1,
		.is_sidecar = visit->metadata->is_sidecar,
	};
	memcpy(spec.sha1, visit->metadata->sha1, sizeof spec.sha1);
	visit->result = ur_spool_make(visit->gateway->spool, &spec, &visit->made, &visit->err);
	if (visit->result == 0 && visit->asset[0] != '\0') {
		conclude(visit);
	}
}

static void begin_make(struct ur_visit *visit)
{
	visit->job.run = make;
	visit->job.done = on_made;
	ur_crew_submit(visit->gateway->crew, &visit->job);
}

/* ---- does the server take it? ---------------------------------------------------------------- */

/** Said before the first byte, and not after the last.  False when it was answered. */
static bool is_welcome(struct ur_visit *visit)
{
	char name[UR_NAME_MAX];
	char sentence[sizeof name + 128];
	if (visit->metadata->is_sidecar) {
		return true;
	}
	ur_name_of(visit->metadata, visit->gateway->types, NULL, name);
	if (ur_name_judge(name, visit->gateway->types) != UR_NAME_REFUSED) {
		return true;
	}
	(void)snprintf(sentence, sizeof sentence,
		"immich-server takes no files of this type: '%s'; it goes by the extension", name);
	ur_visit_answer(visit, 415, sentence);
	return false;
}

/** The server has not said yet what it takes, and this is nothing that others usually do. */
static bool is_strange(const struct ur_visit *visit)
{
	char name[UR_NAME_MAX];
	ur_name_of(visit->metadata, NULL, NULL, name);
	return visit->gateway->options.immich != NULL && visit->gateway->types == NULL &&
	       !visit->metadata->is_sidecar && ur_name_judge(name, NULL) == UR_NAME_OPEN;
}

/* ---- does the server have it? ---------------------------------------------------------------- */

static void ask(struct ur_visit *visit, int step);

/** The server's clock, beside the asset's own date. */
static void take_date(struct ur_request *request, const char *name, const char *value)
{
	struct ur_visit *visit = request->owner;
	ur_proof_take_date(name, value, &visit->date_ns);
}

/** Whoever sent it: an upload that has just been answered may still fail, and is not synced. */
static bool is_settled(const struct ur_visit *visit, const struct ur_asset *asset)
{
	return ur_proof_server_age_ns(visit->date_ns, asset->created_ns, ur_clock_wall_ns()) >=
	       visit->gateway->limits.settle_after_ms * UR_MS_NS;
}

/** True when the next question follows; otherwise visit->asset says how it ended. */
static bool read_early(struct ur_visit *visit)
{
	const struct ur_request *request = &visit->request;
	const char *answer = ur_text_get(&request->answer);
	struct ur_check check = {0};
	struct ur_asset asset = {0};
	const bool own =
		ur_proof_is_own(request) &&
		!ur_delivery_is_in_doubt(visit->gateway, visit->who.user, visit->metadata->sha1);
	if (own && visit->step == STEP_CHECK && request->status == 200 &&
		ur_immich_check_read(answer, &check, 1, NULL) == 0 && check.there &&
		!check.trashed) {
		memcpy(visit->asset, check.asset, sizeof visit->asset);
		return true;
	}
	if (own && visit->step == STEP_ASSET && request->status == 200 &&
		ur_immich_asset_read(answer, &asset, NULL) == 0 &&
		ur_immich_prove(&asset, visit->metadata->sha1, visit->who.user) == UR_PROOF_HOLDS &&
		is_settled(visit, &asset)) {
		return true;
	}
	if (own && visit->step == STEP_BYTES && request->status == 206 &&
		ur_immich_total(request->content_range) == (int64_t)visit->length) {
		return false;
	}
	visit->asset[0] = '\0';
	return false;
}

static void begin(struct ur_visit *visit)
{
	const bool may_prove = visit->who.may_read && visit->who.may_download;
	if (visit->gateway->options.immich != NULL && visit->metadata->has_sha1 && may_prove &&
		visit->has_length && visit->length > 0 && !visit->metadata->is_sidecar) {
		ask(visit, STEP_CHECK);
	} else {
		begin_make(visit);
	}
}

static void on_answer(struct ur_post *post)
{
	struct ur_visit *visit =
		(struct ur_visit *)((char *)post - offsetof(struct ur_visit, post));
	if (visit->step == STEP_TYPES) {
		ur_upstream_take_types(visit->gateway, &visit->request);
	}
	if (visit->x == NULL) {
		release(visit);
		ur_visit_end(visit);
	} else if (visit->step == STEP_TYPES) {
		release(visit);
		if (is_welcome(visit)) {
			reserve(visit);
			begin(visit);
		}
	} else if (read_early(visit)) {
		ask(visit, visit->step + 1);
	} else {
		begin_make(visit);
	}
}

static void answered(struct ur_request *request)
{
	struct ur_visit *visit = request->owner;
	visit->post.run = on_answer;
	ur_httpd_post(visit->gateway->httpd, &visit->post);
}

static void ask(struct ur_visit *visit, int step)
{
	struct ur_request *request = &visit->request;
	ur_request_done(request);
	*request = (struct ur_request){
		.method = "GET",
		.answer_wait_ms = ANSWER_MS,
		.answer_max = 1u << 20,
		.done = answered,
		.owner = visit,
	};
	visit->step = step;
	visit->date_ns = 0;
	request->field = step == STEP_ASSET ? take_date : NULL;
	ur_text_clear(&visit->question);
	(void)snprintf(request->header[0], sizeof request->header[0], "%s", visit->credential.line);
	if (step == STEP_CHECK) {
		ur_immich_check_begin(&visit->question);
		ur_immich_check_add(&visit->question, 0, visit->metadata->sha1);
		ur_immich_check_end(&visit->question);
		request->method = "POST";
		request->path = "/api/assets/bulk-upload-check";
		request->content_type = "application/json";
		request->pieces[0] = (struct ur_piece){
			.bytes = ur_text_get(&visit->question), .size = visit->question.size};
		request->piece_count = 1;
	} else if (step == STEP_TYPES) {
		request->path = UR_TYPES_PATH;
	} else {
		ur_text_addf(&visit->question, "/api/assets/%s%s", visit->asset,
			step == STEP_BYTES ? "/original" : "");
		request->path = ur_text_get(&visit->question);
	}
	if (step == STEP_BYTES) {
		(void)snprintf(request->header[1], sizeof request->header[1],
			"Range: bytes=%" PRIu64 "-%" PRIu64, visit->length - 1, visit->length - 1);
	}
	if (!ur_text_ok(&visit->question)) {
		visit->asset[0] = '\0';
		begin_make(visit);
		return;
	}
	ur_http_submit(visit->gateway->ask, request);
}

/* ---- limits ---------------------------------------------------------------------------------- */

/** False when it was answered. */
static bool is_within_limits(struct ur_visit *visit)
{
	struct ur_gateway *gateway = visit->gateway;
	const struct ur_spool_use use = ur_spool_use_of(gateway->spool, visit->who.user);
	const uint64_t length = visit->has_length ? visit->length : 0;
	if (gateway->records + gateway->making >= UR_RECORDS_MAX) {
		ur_visit_answer(
			visit, 503, "the gateway remembers too many uploads; try again later");
		return false;
	}
	if (use.open + gateway->making >= gateway->limits.user_uploads) {
		ur_visit_answer(visit, 503,
			"too many unfinished uploads; finish or terminate some of them first");
		return false;
	}
	if (!ur_limits_share(gateway, visit->who.user, length)) {
		ur_visit_answer(
			visit, ur_limits_never(gateway, length) ? 413 : 503, UR_SHARE_WORDS);
		return false;
	}
	if (!ur_limits_fits(gateway, length)) {
		gateway->counters.disk_full++;
		ur_visit_answer(visit, 503,
			"the gateway has no room for this upload at present; try again later");
		return false;
	}
	return true;
}

void ur_create(struct ur_visit *visit)
{
	if (!is_welcome(visit) || !is_within_limits(visit)) {
		return;
	}
	reserve(visit);
	if (is_strange(visit)) {
		ask(visit, STEP_TYPES);
	} else {
		begin(visit);
	}
}
