/**
 * internal - what the files of a delivery share; nobody else includes it.
 *
 *     delivery                                all of them, and the loop that takes the steps
 *     steps      what is due                  ─▶ ur_next
 *     follow     what an answer leads to      ─▶ ur_next
 *     request  answer  conclude               asked, understood, written down
 *     credential  related  wait  wire         leaves
 *
 * A file calls those below it.  Nobody but the loop goes on: whoever has decided returns what is next.
 *
 *   Threads  the loop's, but for what conclude.c says
 */
#ifndef UR_GATEWAY_DELIVERY_INTERNAL_H
#define UR_GATEWAY_DELIVERY_INTERNAL_H

#include "engine/gateway/delivery/delivery.h"
#include "engine/gateway/state.h"
#include "engine/immich/put.h"
#include "engine/net/tus.h"

#define UR_DELIVERY_KEY_NAME "key"
#define UR_DELIVERY_WAITS_FOR_OWNER \
	"it waits for the next request of its owner with a key that may upload"
#define UR_DELIVERY_DAY_MS (INT64_C(24) * 3600 * 1000)
#define UR_DELIVERY_LONGEST_PAUSE_MS 300000
#define UR_DELIVERY_TURN_MS 500 // until it is looked again whether it is this one's turn

enum ur_delivery_step {
	UR_DELIVERY_KEY,     // waits for a credential of its owner
	UR_DELIVERY_RELATED, // waits for the sidecar or the movie that belongs to it
	UR_DELIVERY_PUT,     // the question of delivery->put
	UR_DELIVERY_SETTLED, // nothing more to do
	UR_DELIVERY_STEPS,
};

/** What follows; the loop does it. */
struct ur_next {
	enum ur_delivery_step step;
	int64_t wait_ms;
	bool conclude; // delivery->outcome becomes durable before that
};
static inline struct ur_next ur_next_later(enum ur_delivery_step step, int64_t wait_ms)
{
	return (struct ur_next){.step = step, .wait_ms = wait_ms};
}

/** An upload on its way to immich-server. */
struct ur_delivery {
	enum ur_delivery_step step;
	struct ur_put put;
	int64_t due_ms;   // steady; the next try
	unsigned tries;   // requests that carried it
	unsigned pauses;  // since something went well
	uint64_t seed;    // of their jitter
	bool busy;        // a request or a job is under way
	bool unlinked;    // the server did not take it with its movie: it is sent without the link
	bool lacks_proof; // the key may not ask for the asset and its bytes
	int64_t waits_from_ms; // steady: a question is out since then; 0: none, or it was told of
	int64_t lost_until_ms; // the server may still be storing it
	unsigned wire;         // its place there, until what became of it is durable
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

/* wait */
/** How long the server may still be storing what it was sent. */
int64_t ur_delivery_lost_ms(const struct ur_gateway *gateway);
/** 1 s, 2 s, 4 s … 5 min, and half of it to all of it; at least `asked_ms`. */
int64_t ur_delivery_pause_ms(struct ur_delivery *delivery, int64_t asked_ms);
/** Twelve times as long: each try carries all of the file. */
int64_t ur_delivery_quota_pause_ms(struct ur_delivery *delivery);
/** What is left of the time before `outcome`'s asset may be believed. */
int64_t ur_delivery_wait_ms(const struct ur_spool_outcome *outcome,
	const struct ur_gateway_limits *limits, int64_t now_ran_ms);

enum ur_miss {
	UR_MISS_FIRST,  // its time is to be written down
	UR_MISS_AGAIN,  // not long enough ago, or no other asset gave its bytes meanwhile
	UR_MISS_BROKEN, // a day at least between two failures, while the server gives other bytes
};
/**
 * Bytes were asked for in vain, first at `missed_ran_ms`.  `proved_ran_ms`: when another asset gave its
 * bytes last; UR_SPOOL_NEVER: never.
 */
enum ur_miss ur_delivery_miss(int64_t missed_ran_ms, int64_t proved_ran_ms, int64_t now_ran_ms);

/* credential */
/** From beside the bytes, if it was kept there and opens. */
void ur_delivery_recall_credential(struct ur_session *session);
void ur_delivery_forget_credential(struct ur_delivery *delivery);

/* related */
/** delivery->metadata, if it is not there yet. */
[[nodiscard]] int ur_delivery_read_metadata(struct ur_session *session);
/** delivery->related is what went along with it, as far as that is written down. */
void ur_delivery_find_related(struct ur_session *session);
/** True when nothing has to be waited for: delivery->sidecar and ->metadata are as they are sent. */
bool ur_delivery_gather(struct ur_session *session);
/** A sidecar has its picture's fate, but beside a picture that was there already it did not travel. */
void ur_delivery_judge_sidecar(struct ur_delivery *delivery);
void ur_delivery_name_sidecar(const struct ur_delivery *delivery, struct ur_spool_outcome *outcome);

/**
 * True when another upload of this owner, with these bytes, is being sent, or was and may still arrive:
 * what becomes of that one is waited for.
 */
bool ur_delivery_is_twin(const struct ur_session *session);
/** A doubt is about bytes: another upload with these has one. */
bool ur_delivery_shares_doubt(const struct ur_session *session);
/** It is removed by its owner: what was sent of it may be there all the same. */
void ur_delivery_remember_departed(struct ur_session *session);

/* conclude */
/**
 * Crew, then done() on the loop's thread.  delivery->outcome becomes durable, and its sidecar's before
 * it; delivery->result says whether.  Nothing follows from an outcome before that.
 */
void ur_delivery_conclude(struct ur_session *session, void (*done)(struct ur_job *job));
/** It is durable: the uploads' outcomes follow. */
void ur_delivery_concluded(struct ur_session *session);
/** Crew, then done().  Its end is on disk and known: what is not needed any more goes. */
void ur_delivery_tidy(struct ur_session *session, void (*done)(struct ur_job *job));
struct ur_session *ur_delivery_session_of(struct ur_job *job);

/* request */
/**
 * Asks what delivery->put waits for; busy until delivery->post runs.  A negative errno: nothing was
 * asked, and a sentence is in the log.
 */
[[nodiscard]] int ur_delivery_ask(struct ur_session *session);

/* answer */
/** What came back for the question of delivery->put, and what it names. */
struct ur_heard {
	struct ur_put_answer answer;
	char asset[UR_ASSET_ID]; // "" without
};
void ur_delivery_read_answer(const struct ur_session *session, struct ur_heard *ret);

/* follow */
/** What its status says while nothing is concluded; not on disk, a restart finds it out anew. */
void ur_delivery_explain(struct ur_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** delivery->put begins anew at CHECK, or at ASSET; what was doubted is doubted. */
void ur_delivery_restart(struct ur_delivery *delivery, enum ur_put_state from);
/** It may pass: `step`, later. */
struct ur_next ur_delivery_again(struct ur_session *session, enum ur_delivery_step step);
/** The end, with the words for it. */
struct ur_next ur_delivery_refuse(struct ur_session *session, int status, const char *words);
/** An answer has come to the question of delivery->put. */
struct ur_next ur_delivery_hear(struct ur_session *session);

/* wire */
/** Before it is sent. */
void ur_delivery_take_wire(struct ur_session *session);
/** Its answer was lost: from now on it may come for as long as a delivery waits for it. */
void ur_delivery_note_lost(struct ur_session *session);
/** What became of it is durable, or nobody will ask. */
void ur_delivery_give_wire(struct ur_session *session);
/** How much longer what an earlier process was sending of it may still arrive; noted from now on. */
int64_t ur_delivery_left_ms(
	struct ur_gateway *gateway, const struct ur_spool_upload *upload, unsigned *place);

/* steps */
/** The present step is due. */
struct ur_next ur_delivery_run(struct ur_session *session);

#endif
