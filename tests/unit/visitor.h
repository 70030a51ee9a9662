/**
 * visitor - requests to the gateway's rooms without a socket: httpd, the crew, the gate and
 * immich-server are played.
 *
 *     visitor_asks() ─▶ route ─▶ … ─▶ v->status, visitor_field(), v->text
 *                          │
 *                          ├─▶ v->waits:  the gate would tell who it is      visitor_is()
 *                          └─▶ v->asked:  immich-server would answer         visitor_hears()
 *
 * A real spool in a folder of its own.  What is posted, and what the crew is given unless it is held,
 * is done before a call from here returns, and never from within a call of the gateway's.
 *
 *   Owner    visitor_new() to visitor_free()
 *   Threads  one
 */
#ifndef UR_TESTS_VISITOR_H
#define UR_TESTS_VISITOR_H

#include "engine/gateway/route.h"
#include "engine/gateway/visit.h"
#include "tests/unit/faulty.h"

#define ANN "11111111-1111-4111-8111-111111111111"
#define BOB "22222222-2222-4222-8222-222222222222"
#define MARK_OWN true // the answer bears Immich's mark
#define MARK_NONE false

struct visitor {
	char path[ROOM_PATH];
	int fd;
	struct ur_gateway gateway;
	struct ur_exchange x;

	/* What came of the last request. */
	unsigned answers; // it is answered once
	unsigned dropped;
	unsigned closed; // nobody new is let in
	bool accepted;   // its body is read
	int status;
	char type[64];
	char fields[4096]; // "Name: value\n", as they were set
	char text[16384];
	int file; // of an answer from a file; closed at the next request
	uint64_t file_from;
	uint64_t file_size;

	struct ur_gate_wait *waits;
	struct ur_credential credential;
	char address[64];
	struct ur_request *asked;
	unsigned questions;
	bool hold;     // the crew does not begin
	bool far;      // requests come from another machine
	char log[512]; // the last line
};

int visitor_new(void **state);
int visitor_free(void **state);

/** A request: "Name: value" lines in lower case after the path, NULL at the end. */
void visitor_asks(struct visitor *v, const char *method, const char *path, ...)
	__attribute__((sentinel));
/** The same as Ann, whom the gate knows: with everything that a key may have. */
void visitor_asks_as_ann(struct visitor *v, const char *method, const char *path, ...)
	__attribute__((sentinel));
/** The gate's word; visitor_is() of one with all rights. */
void visitor_told(struct visitor *v, enum ur_verdict verdict, const struct ur_visitor *who);
void visitor_is(struct visitor *v, enum ur_verdict verdict, const char *user);
/** Immich-server's answer to v->asked. */
void visitor_hears(struct visitor *v, int status, bool own, const char *text);
/** Its line breaks instead. */
void visitor_hears_nothing(struct visitor *v);
/** What was posted is run, and what the crew was given. */
void visitor_goes_on(struct visitor *v);
/** What the crew was held with. */
void visitor_let_crew(struct visitor *v);
/** Bytes of the body, and its end. */
void visitor_brings(struct visitor *v, const char *bytes);
void visitor_ends(struct visitor *v);
/** The peer is gone. */
void visitor_leaves(struct visitor *v);
/** The value that was set for a field of the answer; NULL: none was. */
const char *visitor_field(const struct visitor *v, const char *name);
/** An upload of Ann's that is there already; `length` may be unknown. */
struct ur_spool_upload *visitor_upload(struct visitor *v, const char *owner, uint64_t length);

#endif
