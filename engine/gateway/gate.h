/**
 * gate - who is it?  immich-server is asked, and its answer is remembered for a minute.
 *
 *     credential ─HMAC─▶ [entry: verdict, user, until] ─▶ told()
 *                            └── not there: one question at a time ─▶ immich-server
 *
 * Entries are named by an HMAC under a secret of this start, so that the memory holds no key but
 * those of questions under way.  Refusals count against the address they come from: beyond a few, unknown
 * keys from there are asked for one a second; one that was good before is never held up.
 *
 *   Owner    a wait is the gate's from ask() to told()
 *   Units    an entry lives 60 s, a refusal 5 s, at most UR_GATE_ENTRIES_MAX
 *   Errors   none of its own: told() gets a verdict and a sentence
 *   Threads  the loop's
 */
#ifndef UR_GATEWAY_GATE_H
#define UR_GATEWAY_GATE_H

#include "engine/base/err.h"
#include "engine/net/http.h"
#include "engine/net/httpd.h"

#include <stdbool.h>

#define UR_GATE_ENTRIES_MAX 10000u
#define UR_CREDENTIAL_MAX 320u

/** A request's header that says who it is, as it goes on to immich-server. */
struct ur_credential {
	char line[UR_CREDENTIAL_MAX]; // "x-api-key: …"; "" for none
	bool is_key;                  // an API key, which may lack permissions; else a session
};

struct ur_visitor {
	char user[37];
	bool may_upload;
	bool may_read;
	bool may_download;
};

enum ur_verdict {
	UR_VERDICT_IN,
	UR_VERDICT_UNKNOWN,   // 401
	UR_VERDICT_FORBIDDEN, // 403
	UR_VERDICT_BUSY,      // 429
	UR_VERDICT_AWAY,      // 503
};

struct ur_gate_wait {
	void (*told)(struct ur_gate_wait *wait, enum ur_verdict verdict,
		const struct ur_visitor *who, const char *words);
	struct ur_gate_wait *next;
};

struct ur_gate;

[[nodiscard]] int ur_gate_new(
	struct ur_httpd *httpd, struct ur_http *http, struct ur_gate **ret, struct ur_err *err);
/** After http has been freed. */
struct ur_gate *ur_gate_free(struct ur_gate *gate);
/** told() may run before this returns. */
void ur_gate_ask(struct ur_gate *gate, const struct ur_credential *credential, const char *address,
	struct ur_gate_wait *wait);
/** The credential was refused elsewhere: it is asked for afresh. */
void ur_gate_forget(struct ur_gate *gate, const struct ur_credential *credential);
/** Once a second: the slow lane moves. */
void ur_gate_tick(struct ur_gate *gate);
uint64_t ur_gate_questions(const struct ur_gate *gate);

/**
 * The credential that a request carries, if any.  A cookie counts only for a request that the
 * server's own pages made (Sec-Fetch-Site: same-origin, or an Origin equal to Host).
 */
void ur_credential_of(const struct ur_exchange *x, struct ur_credential *ret);
void ur_credential_wipe(struct ur_credential *credential);

#endif
