/**
 * visit - one request, from its head to its answer.
 *
 *   Owner    begin() makes it, answer(), refuse() and end() free it: nobody touches it afterwards
 *   Threads  the loop's; the job of a creation is the crew's while it runs
 */
#ifndef UR_GATEWAY_VISIT_H
#define UR_GATEWAY_VISIT_H

#include "engine/gateway/crew.h"
#include "engine/gateway/gate.h"
#include "engine/gateway/state.h"
#include "engine/media/hash.h"
#include "engine/media/hash_stream.h"
#include "engine/net/immich.h"
#include "engine/net/tus.h"

enum ur_verb {
	UR_VERB_OPTIONS,
	UR_VERB_CREATE,
	UR_VERB_HEAD,
	UR_VERB_PATCH,
	UR_VERB_DELETE,
	UR_VERB_GET,
	UR_VERB_STATUS,
	UR_VERB_HEALTH, // would an upload be taken?
	UR_VERB_ALIVE,  // does it answer at all?
	UR_VERB_METRICS,
};

/** One request. */
struct ur_visit {
	struct ur_gateway *gateway;
	struct ur_visit *newer; // of all visits
	struct ur_visit *older;
	struct ur_exchange *x; // NULL: the peer is gone
	uint64_t number;       // of all that came
	struct ur_gate_wait wait;
	struct ur_credential credential;
	struct ur_visitor who;
	enum ur_verb verb;
	char id[UR_SPOOL_ID];
	/* What its headers say. */
	bool has_length;
	uint64_t length;
	bool deferred;
	uint64_t offset;
	bool has_checksum;
	struct ur_tus_checksum checksum;
	char *metadata_text;
	struct ur_tus_metadata *metadata;
	/* Under way. */
	struct ur_session *session;
	struct ur_visit *next; // in the session's line
	bool receiving;
	bool complete; // every byte of this request has arrived
	bool paused;
	int refused; // what stopped its bytes: a negative errno
	char why[200];
	struct ur_spool_mark start;
	struct ur_sha1 sha1;
	struct ur_xxh *xxh;
	/* A status that waits for bytes. */
	uint64_t awaits; // so many of them durable; 0: it does not wait
	int64_t until_ms;
	/* A creation. */
	struct ur_job job;
	struct ur_request request;
	struct ur_post post;
	struct ur_text question;
	int step;
	char asset[UR_ASSET_ID];
	int64_t date_ns; // the server's clock, as it said it beside the asset; 0: it did not
	struct ur_spool_upload *made;
	int result;
	struct ur_err err;
};

/** The request becomes a visit of the gateway; NULL when memory is short. */
struct ur_visit *ur_visit_begin(struct ur_gateway *gateway, struct ur_exchange *x);
/** Answers with a sentence (or "" for none) and ends the visit. */
void ur_visit_answer(struct ur_visit *visit, int status, const char *sentence);
void ur_visit_refuse(struct ur_visit *visit, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/** Ends the visit without an answer: the peer is gone, or was taken over from. */
void ur_visit_end(struct ur_visit *visit);
#define UR_RESTART_WORDS "the gateway restarts; what has come is kept, go on in a moment"
/** The answer before what was begun for it is over: that goes on, finds nobody, and ends the visit. */
void ur_visit_leave(struct ur_visit *visit, int status, const char *sentence);
void ur_visit_set_offset(struct ur_visit *visit, uint64_t offset);
void ur_visit_set_expires(struct ur_visit *visit, const struct ur_spool_upload *upload);
/** "/uringest/files/ID" */
void ur_visit_set_location(struct ur_visit *visit, const struct ur_spool_upload *upload);

#endif
