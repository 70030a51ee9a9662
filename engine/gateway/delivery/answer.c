/*
 * answer - what came back, as put knows it: whose word it is, what it says, how many bytes came.
 *
 * Of what only has the shape of an answer but not the server's marks, nothing is read that could let
 * bytes be sent again or let go; that an upload was taken may be anybody's word, for the proof follows.
 */
#include "engine/gateway/delivery/internal.h"

#include "engine/net/proof.h"

#include <assert.h>
#include <string.h>

static struct ur_put_answer heard_of(const struct ur_delivery *delivery)
{
	const struct ur_request *request = &delivery->request;
	return (struct ur_put_answer){
		.asked = delivery->put.state,
		.result = request->result,
		.status = request->result < 0 ? 0 : request->status,
		.own = ur_proof_is_own(request),
		.total = -1,
	};
}

static void read_check(const struct ur_delivery *delivery, struct ur_heard *ret)
{
	assert(delivery->put.state == UR_PUT_CHECK || delivery->put.state == UR_PUT_LOST);
	struct ur_check said = {0};
	struct ur_put_answer *answer = &ret->answer;
	const char *text = ur_text_get(&delivery->request.answer);
	answer->readable = answer->own && answer->status == 200 &&
			   ur_immich_check_read(text, &said, 1, NULL) == 0;
	answer->may_come = ur_gateway_now_ms() < delivery->lost_until_ms;
	if (answer->readable) {
		answer->there = said.there;
		answer->trashed = said.trashed;
		memcpy(ret->asset, said.asset, sizeof ret->asset);
	}
}

static void read_sent(const struct ur_delivery *delivery, struct ur_heard *ret)
{
	assert(delivery->put.state == UR_PUT_SEND);
	struct ur_put_answer *answer = &ret->answer;
	const char *text = ur_text_get(&delivery->request.answer);
	const bool taken = answer->status >= 200 && answer->status < 300;
	answer->readable = (answer->status == 201 || answer->status == 200) &&
			   ur_immich_upload_read(text, ret->asset, &answer->duplicate, NULL) == 0;
	answer->quota = ur_immich_is_quota(answer->status, text);
	answer->body_gone = delivery->request.body_gone || taken; // who takes it has read it
}

static void read_asset(const struct ur_session *session, struct ur_heard *ret)
{
	assert(session->delivery->put.state == UR_PUT_ASSET);
	struct ur_asset asset = {0};
	struct ur_put_answer *answer = &ret->answer;
	const char *text = ur_text_get(&session->delivery->request.answer);
	answer->readable = answer->own && answer->status == 200 &&
			   ur_immich_asset_read(text, &asset, NULL) == 0;
	if (answer->readable) {
		answer->proof =
			ur_immich_prove(&asset, session->upload->sha1, session->upload->owner);
	}
}

static void read_bytes(const struct ur_session *session, struct ur_heard *ret)
{
	const struct ur_delivery *delivery = session->delivery;
	assert(delivery->put.state == UR_PUT_BYTES);
	assert(session->upload->length <= INT64_MAX);
	ret->answer.size = (int64_t)session->upload->length;
	ret->answer.total = ur_immich_total(delivery->request.content_range);
	ret->answer.got = delivery->counted;
}

void ur_delivery_read_answer(const struct ur_session *session, struct ur_heard *ret)
{
	const struct ur_delivery *delivery = session->delivery;
	assert(!delivery->busy);
	*ret = (struct ur_heard){.answer = heard_of(delivery)};
	switch (delivery->put.state) {
	case UR_PUT_CHECK:
	case UR_PUT_LOST:
		read_check(delivery, ret);
		return;
	case UR_PUT_SEND:
		read_sent(delivery, ret);
		return;
	case UR_PUT_ASSET:
		read_asset(session, ret);
		return;
	case UR_PUT_BYTES:
		read_bytes(session, ret);
		return;
	case UR_PUT_NEW:
	case UR_PUT_PROVED:
	case UR_PUT_ASIDE:
	case UR_PUT_OVER:
	case UR_PUT_STATES:
		break;
	}
	assert(!"an answer to a question that was not asked");
}
