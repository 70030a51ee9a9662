/**
 * internal - what the files of a delivery share; nobody else includes it.
 *
 *     delivery.c  all deliveries, the steps of one, credentials, what belongs together
 *     request.c   the one ordinary request, and every outcome, durable
 *     confirm.c   questions: is it there already, does the server hold it
 *
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_DELIVERY_INTERNAL_H
#define UR_GATEWAY_DELIVERY_INTERNAL_H

#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/state.h"
#include "engine/gateway/verdict.h"
#include "engine/net/tus.h"

#define UR_DELIVERY_KEY_NAME "key"
#define UR_DELIVERY_WAITS_FOR_OWNER \
	"it waits for the next request of its owner with a key that may upload"

enum ur_delivery_step {
	UR_DELIVERY_KEY,     // waits for a credential of its owner
	UR_DELIVERY_RELATED, // waits for the sidecar or the movie that belongs to it
	UR_DELIVERY_CHECK,   // does the server have it?
	UR_DELIVERY_SEND,    // the one ordinary request
	UR_DELIVERY_ASSET,   // promise 1 (a)
	UR_DELIVERY_BYTES,   // promise 1 (b)
	UR_DELIVERY_SETTLED, // nothing more to do
};

/** An upload on its way to immich-server. */
struct ur_delivery {
	enum ur_delivery_step step;
	int64_t due_ms;   // steady; the next try
	unsigned tries;   // requests that carried it
	unsigned pauses;  // since something went well
	bool busy;        // a request or a job is under way
	bool suspect;     // its upload ended in anything but 201; on disk in each outcome
	bool unlinked;    // the server did not take it with its movie: it is sent without the link
	bool lacks_proof; // the key may not ask for the asset and its bytes
	int64_t lost_until_ms; // the server may still be storing it
	struct ur_credential credential;
	bool has_credential;
	struct ur_tus_metadata *metadata;
	struct ur_request request;
	struct ur_post post;
	struct ur_job job;
	struct ur_spool_outcome outcome; // on its way to disk
	int result;
	struct ur_err err;
	uint64_t counted; // bytes that came back
	struct ur_stream stream;
	int fd;
	uint64_t at;
	char *sidecar;
	size_t sidecar_size;
	struct ur_spool_upload *related; // the sidecar that goes with it
	struct ur_spool_outcome related_outcome;
	struct ur_text head;
	struct ur_text middle;
	struct ur_text tail;
	char content_type[128];
	char path[96];
	struct ur_session *next; // of all deliveries
};

/* delivery.c */
/** How long the server may still be storing what it was sent. */
int64_t ur_delivery_lost_ms(const struct ur_gateway *gateway);
/** The next step, due after `wait_ms`. */
void ur_delivery_go(struct ur_session *session, enum ur_delivery_step next, int64_t wait_ms);
/** Takes the steps that are due; several may follow each other without waiting. */
void ur_delivery_advance(struct ur_session *session);
/** What its status says while nothing is concluded; not on disk, a restart finds it out anew. */
void ur_delivery_explain(struct ur_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** 1 s, 2 s, 4 s … 5 min, give or take a quarter; at least `asked_ms`. */
int64_t ur_delivery_pause_ms(const struct ur_delivery *delivery, int64_t asked_ms);
void ur_delivery_forget_credential(struct ur_delivery *delivery);

/* request.c */
/** If there is room; that it is tried becomes durable before it is sent. */
void ur_delivery_begin_send(struct ur_session *session);
void ur_delivery_read_sent(struct ur_session *session);
/** delivery->outcome becomes durable; then `next` is due after `wait_ms`, or all is tidied up. */
void ur_delivery_settle_outcome(
	struct ur_session *session, enum ur_delivery_step next, int64_t wait_ms);
/** delivery->outcome says no: counted, and logged. */
void ur_delivery_note_refusal(struct ur_session *session);
/** The end, with the words for it. */
void ur_delivery_refuse(struct ur_session *session, int status, const char *words);

/* confirm.c */
/** delivery->request, begun; its answer is read by the step that the delivery is in. */
struct ur_request *ur_delivery_new_request(
	struct ur_session *session, const char *method, const char *path);
/** The answer to delivery->request, for ur_verdict(). */
struct ur_answer ur_delivery_answer(
	const struct ur_delivery *delivery, enum ur_asked asked, bool readable);
/** Does what follows, but for what only one question has: READ, QUOTA, REFUSED, MISSED. */
void ur_delivery_follow(struct ur_session *session, enum ur_follow follow);
/** What is left of the time before delivery->outcome's asset may be believed. */
int64_t ur_delivery_wait_ms(const struct ur_session *session);
/** It may pass: the same step again, later. */
void ur_delivery_again(struct ur_session *session, enum ur_delivery_step step);
/** Asks whether the server has the bytes. */
void ur_delivery_check(struct ur_session *session);
/** Asks for the asset, or for its last byte. */
void ur_delivery_ask_asset(struct ur_session *session);

#endif
