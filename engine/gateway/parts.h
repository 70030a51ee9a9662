/**
 * parts - what the rooms of the gateway share; nobody else includes it.
 *
 *     route    which request it is, and whether it may        create    a new upload
 *     receive  one upload's requests, one after the other     deliver   to immich-server
 *     status   what is told about an upload, and metrics      gateway   all of it, wired
 *
 * A visit is one request.  A session is what an upload needs while somebody cares for it: the
 * visits that wait for their turn, the checkpoint under way, the delivery.
 *
 *   Threads  the loop's; jobs and http's streams say so themselves
 */
#ifndef UR_GATEWAY_PARTS_H
#define UR_GATEWAY_PARTS_H

#include "engine/gateway/crew.h"
#include "engine/gateway/gate.h"
#include "engine/gateway/gateway.h"
#include "engine/gateway/spool/spool.h"
#include "engine/gateway/verdict.h"
#include "engine/media/hash.h"
#include "engine/media/hash_stream.h"
#include "engine/net/immich.h"
#include "engine/net/proof.h"
#include "engine/net/tus.h"

#include <errno.h>
#include <stdatomic.h>

#define UR_RECORDS_MAX 100000u   // uploads and what is remembered of them
#define UR_UNSAFE_MAX (6u << 20) // bytes that may be lost with the process: then the sender waits

enum ur_verb {
	UR_VERB_OPTIONS,
	UR_VERB_CREATE,
	UR_VERB_HEAD,
	UR_VERB_PATCH,
	UR_VERB_DELETE,
	UR_VERB_GET,
	UR_VERB_STATUS,
	UR_VERB_HEALTH,
	UR_VERB_METRICS,
};

/** One request. */
struct ur_visit {
	struct ur_gateway *gateway;
	struct ur_visit *newer; // of all visits
	struct ur_visit *older;
	struct ur_exchange *x; // NULL: the peer is gone
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
	struct ur_spool_upload *made;
	int result;
	struct ur_err err;
};

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

/** What an upload needs while somebody cares for it. */
struct ur_session {
	struct ur_gateway *gateway;
	struct ur_spool_upload *upload;
	struct ur_visit *current;
	struct ur_visit *line_first;
	struct ur_visit *line_last;
	bool committing;
	bool removing;
	bool stepping; // inside step(): another one only goes round again
	bool again;
	struct ur_spool_mark mark;
	struct ur_job job;
	int result;
	struct ur_err err;
	int failed; // the disk would not: nothing more is taken before a restart
	unsigned mismatches;
	struct ur_spool_outcome outcome; // on its way to disk
	struct ur_spool_found found;
	struct ur_delivery *delivery;
};

struct ur_counters {
	uint64_t created;
	uint64_t early; // answered at once: the server had it
	uint64_t complete;
	uint64_t delivered;
	uint64_t duplicates;
	uint64_t refused;
	uint64_t broken;
	uint64_t expired;
	uint64_t terminated;
	uint64_t taken_over;
	uint64_t mismatches;
	uint64_t disk_full;
	uint64_t bytes_received;
	uint64_t bytes_delivered;
	uint64_t checkpoints;
};

struct ur_gateway {
	struct ur_gateway_options options;
	struct ur_gateway_limits limits;
	char base[128];
	struct ur_httpd *httpd;
	struct ur_crew *crew;
	struct ur_spool *spool;
	struct ur_gate *gate;
	struct ur_http *ask;     // questions
	struct ur_http *carry;   // deliveries
	struct ur_server server; // its version, once known
	int64_t version_until_ms;
	bool version_asking;
	bool server_away; // and the log says so
	struct ur_request version_request;
	struct ur_post version_post;
	struct ur_session *deliveries;
	int64_t proved_ran_ms; // an asset gave its bytes; UR_SPOOL_NEVER
	struct ur_job clock_job;
	bool clock_busy;
	int64_t clock_ms;       // steady; the run time was written down
	struct ur_types *types; // that the server takes; NULL: not known
	unsigned carrying;
	unsigned receiving;
	unsigned making;   // creations under way
	unsigned awaiting; // visits that wait for bytes to be durable
	uint64_t making_bytes;
	size_t records; // uploads, and what is remembered of them
	struct ur_visit *visits;
	atomic_bool stopping;
	int64_t swept_ms;
	struct ur_counters counters;
	_Atomic(struct ur_gateway_limits *) new_limits;
};

/* gateway */
void ur_gateway_log(struct ur_gateway *gateway, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int64_t ur_gateway_now_ms(void); // steady
/** By the wall, for people: the earliest time at which an upload's life may end; 0: it does not. */
int64_t ur_gateway_ends_ms(const struct ur_gateway *gateway, const struct ur_spool_upload *upload);
/** The disk, or what a user may have of it. */
static inline bool ur_is_full(int code)
{
	return code == -ENOSPC || code == -EDQUOT;
}
/** NULL when memory is short. */
struct ur_session *ur_session_of(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** What a start finds, or a rebuilding: on its way to immich-server, if it is for that. */
void ur_gateway_deliver(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Frees it when nobody needs it any more. */
void ur_session_rest(struct ur_session *session);

/* route */
void ur_route_begin(void *context, struct ur_exchange *x);
void ur_route_body(void *context, struct ur_exchange *x, const void *bytes, size_t size);
void ur_route_end(void *context, struct ur_exchange *x);
void ur_route_gone(void *context, struct ur_exchange *x, int why);
/** Answers with a sentence (or "" for none) and ends the visit. */
void ur_visit_answer(struct ur_visit *visit, int status, const char *sentence);
/** Ends the visit without an answer: the peer is gone, or was taken over from. */
void ur_visit_end(struct ur_visit *visit);
void ur_visit_set_offset(struct ur_visit *visit, uint64_t offset);
void ur_visit_set_expires(struct ur_visit *visit, const struct ur_spool_upload *upload);
/** "/uringest/files/ID" */
void ur_visit_set_location(struct ur_visit *visit, const struct ur_spool_upload *upload);

/* create */
void ur_create(struct ur_visit *visit);
/** So many bytes more are within what this user may have here. */
bool ur_within_share(const struct ur_gateway *gateway, const char *user, uint64_t more);
#define UR_SHARE_WORDS                                                                        \
	"your unfinished uploads are as large as they may be here; finish or terminate some " \
	"of them first"

/* receive */
/** HEAD, PATCH, DELETE or a creation's body: when it is its turn; whoever sends at present is taken over from. */
void ur_receive_enter(struct ur_visit *visit, struct ur_spool_upload *upload);
void ur_receive_body(struct ur_visit *visit, const void *bytes, size_t size);
void ur_receive_end(struct ur_visit *visit);
void ur_receive_gone(struct ur_visit *visit);
/** Nobody went on with it: its bytes go, and whoever asks hears 410. */
void ur_receive_expire(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Its end is on disk: its bytes go. */
void ur_receive_empty(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Its state was damaged: its bytes are read, and may be delivered after all. */
void ur_receive_rebuild(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Its time is over: it goes, with all that is remembered of it. */
void ur_receive_remove(struct ur_gateway *gateway, struct ur_spool_upload *upload);
/** Bodies end where they are, and resume with the next process: nobody waits for their end. */
void ur_receive_cut(struct ur_gateway *gateway);
/** Everything that arrived becomes durable; for the end of the process. */
void ur_receive_stop(struct ur_gateway *gateway);

/* deliver */
void ur_delivery_add(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential);
/** False: its key is not known any more, and a request of its owner is waited for. */
bool ur_delivery_has_key(const struct ur_spool_upload *upload);
/** An owner is here: what waits for a credential of theirs goes on. */
void ur_delivery_welcome(struct ur_gateway *gateway, const struct ur_visitor *who,
	const struct ur_credential *credential);
void ur_delivery_tick(struct ur_gateway *gateway);
#define UR_TYPES_PATH "/api/server/media-types"
/** The answer to UR_TYPES_PATH: in the server's own words, or what was known before goes on. */
void ur_delivery_take_types(struct ur_gateway *gateway, const struct ur_request *request);
void ur_delivery_free(struct ur_session *session);
/** True while a request or a job about this upload is under way, its picture's included. */
bool ur_delivery_is_busy(const struct ur_session *session);
/** It is being removed: no delivery counts on it any more. */
void ur_delivery_unrelate(struct ur_gateway *gateway, const struct ur_spool_upload *upload);
void ur_delivery_keep_credential(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential);

/* status */
void ur_status_answer(struct ur_visit *visit, const struct ur_spool_upload *upload);
/** The peer is gone: it waits no more. */
void ur_status_leave(struct ur_visit *visit);
/** What waits for the upload `id` (NULL: for any) is answered if there is nothing to wait for. */
void ur_status_wake(struct ur_gateway *gateway, const char *id);
void ur_status_bytes(struct ur_visit *visit, struct ur_spool_upload *upload);
void ur_status_metrics(struct ur_visit *visit);
void ur_status_line(struct ur_gateway *gateway, char *ret, size_t room);

#endif
