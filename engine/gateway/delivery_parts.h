/**
 * delivery_parts - what the parts of `delivery` share.  Included by gateway/delivery*.c only.
 *
 *     delivery.c          all deliveries, the steps of one, credentials, what belongs together
 *     delivery_request.c  the one ordinary request, and every outcome, durable
 *     delivery_confirm.c  questions: is it there already, does the server hold it
 *
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_DELIVERY_PARTS_H
#define UR_GATEWAY_DELIVERY_PARTS_H

#include "engine/gateway/parts.h"

#define UR_DELIVERY_KEY_NAME "key"
#define UR_DELIVERY_WAITS_FOR_OWNER \
	"it waits for the next request of its owner with a key that may upload"

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

/* delivery_request.c */
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

/* delivery_confirm.c */
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
/** Asks for the server's version, if it is time. */
void ur_delivery_ask_version(struct ur_gateway *gateway);

#endif
