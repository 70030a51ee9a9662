/*
 * put - every answer that is known, of servers, of proxies and of nobody: what it means, and what must
 * follow for the importer and for the gateway; then what must hold whatever is answered.
 */
#include "engine/immich/put.h"

#include <assert.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 1000
#define OWN .own = true
#define READ .readable = true
#define GONE_OUT .body_gone = true
#define NO_RANGE .total = -1

struct row {
	struct ur_put_answer answer;
	enum ur_put_verdict verdict;
	enum ur_put_state importer;
	enum ur_put_state gateway;
};

static const struct row rows[] = {
	/* CHECK: what the server knows */
	{{.asked = UR_PUT_CHECK, .status = 200, OWN, READ}, UR_PUT_ABSENT, UR_PUT_SEND,
		UR_PUT_SEND},
	{{.asked = UR_PUT_CHECK, .status = 200, READ}, UR_PUT_ABSENT, UR_PUT_SEND, UR_PUT_SEND},
	{{.asked = UR_PUT_CHECK, .status = 200, OWN, READ, .there = true}, UR_PUT_THERE,
		UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_CHECK, .status = 200, OWN, READ, .there = true, .trashed = true},
		UR_PUT_TRASHED, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_CHECK, .status = 200, OWN, READ, .may_come = true}, UR_PUT_ABSENT,
		UR_PUT_SEND, UR_PUT_SEND},
	/* CHECK: no answer, a page, a lie */
	{{.asked = UR_PUT_CHECK, .result = -ECONNREFUSED}, UR_PUT_LATER, UR_PUT_CHECK,
		UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .result = -ECONNRESET}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .result = -ETIMEDOUT}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .result = -EPROTO}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .result = -EBADMSG}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .result = -ENOMEM}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .result = -ECANCELED}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 200}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 200, OWN}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 201}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 204}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 206, OWN}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 100}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 301}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 302}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 302, OWN}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 307}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 308}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 400}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 401}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 403}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 404}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 405}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 410}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 413}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 415}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 451}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 500}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 501}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 520}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 530}, UR_PUT_STRANGER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 408}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 429}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 502}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 503}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 504}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 408, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 425, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 429, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 500, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 502, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 503, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 505, OWN}, UR_PUT_LATER, UR_PUT_CHECK, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 401, OWN}, UR_PUT_KEY, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_CHECK, .status = 403, OWN}, UR_PUT_KEY, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_CHECK, .status = 400, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 404, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 413, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 415, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_CHECK, .status = 422, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	/* LOST: no answer, a page, a lie */
	{{.asked = UR_PUT_LOST, .result = -ECONNREFUSED}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .result = -ECONNRESET}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .result = -ETIMEDOUT}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .result = -EPROTO}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .result = -EBADMSG}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .result = -ENOMEM}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .result = -ECANCELED}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 200}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 200, OWN}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 201}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 204}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 206, OWN}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 100}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 301}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 302}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 302, OWN}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 307}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 308}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 400}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 401}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 403}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 404}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 405}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 410}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 413}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 415}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 451}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 500}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 501}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 520}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 530}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 408}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 429}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 502}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 503}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 504}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 408, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 425, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 429, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 500, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 502, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 503, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 505, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 401, OWN}, UR_PUT_KEY, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_LOST, .status = 403, OWN}, UR_PUT_KEY, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_LOST, .status = 400, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 404, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 413, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 415, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 422, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_LOST},
	/* LOST: what may have arrived */
	{{.asked = UR_PUT_LOST, .status = 200, OWN, READ}, UR_PUT_ABSENT, UR_PUT_SEND, UR_PUT_SEND},
	{{.asked = UR_PUT_LOST, .status = 200, OWN, READ, .may_come = true}, UR_PUT_ABSENT,
		UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_LOST, .status = 200, OWN, READ, .there = true}, UR_PUT_THERE,
		UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_LOST, .status = 200, OWN, READ, .there = true, .may_come = true},
		UR_PUT_THERE, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_LOST, .status = 200, OWN, READ, .there = true, .trashed = true},
		UR_PUT_TRASHED, UR_PUT_OVER, UR_PUT_OVER},
	/* SEND: taken */
	{{.asked = UR_PUT_SEND, .status = 201, OWN, READ, GONE_OUT}, UR_PUT_CREATED, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 201, READ, GONE_OUT}, UR_PUT_CLAIMED, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 201, OWN, READ, .duplicate = true, GONE_OUT},
		UR_PUT_CLAIMED, UR_PUT_OVER, UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 201, READ, .duplicate = true, GONE_OUT}, UR_PUT_CLAIMED,
		UR_PUT_OVER, UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 200, OWN, READ, .duplicate = true, GONE_OUT},
		UR_PUT_CLAIMED, UR_PUT_OVER, UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 200, OWN, READ, GONE_OUT}, UR_PUT_CLAIMED, UR_PUT_OVER,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 200, READ, GONE_OUT}, UR_PUT_CLAIMED, UR_PUT_OVER,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_SEND, .status = 200, OWN, READ, .duplicate = true}, UR_PUT_CLAIMED,
		UR_PUT_OVER, UR_PUT_ASSET},
	/* SEND: an answer that is none */
	{{.asked = UR_PUT_SEND, .status = 201, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 200, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 204, OWN, READ, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 206, READ, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 200, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 201, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 200}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 201, OWN}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	/* SEND: the line */
	{{.asked = UR_PUT_SEND, .result = -ECONNREFUSED}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -ECONNREFUSED, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -ECONNRESET}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -ECONNRESET, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -ETIMEDOUT}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -ETIMEDOUT, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -EPROTO}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -EPROTO, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -EBADMSG}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -EBADMSG, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -ECONNRESET, .status = 201, READ, GONE_OUT}, UR_PUT_LATER,
		UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -ECONNRESET, .status = 413, GONE_OUT}, UR_PUT_LATER,
		UR_PUT_LOST, UR_PUT_LOST},
	/* SEND: our own side */
	{{.asked = UR_PUT_SEND, .result = -EIO}, UR_PUT_UNREAD, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -ENOMEM}, UR_PUT_UNREAD, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -EPIPE}, UR_PUT_UNREAD, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .result = -ECANCELED, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .result = -EFBIG, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	/* SEND: pages of whatever stands before the server */
	{{.asked = UR_PUT_SEND, .status = 100}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 100, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 301}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 301, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 302}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 302, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 307}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 307, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 308}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 308, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 400}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 400, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 401}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 401, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 403}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 403, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 404}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 404, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 405}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 405, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 410}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 410, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 415}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 415, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 451}, UR_PUT_STRANGER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 451, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 500}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 500, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 501}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 501, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 520}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 520, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 530}, UR_PUT_STRANGER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 530, GONE_OUT}, UR_PUT_STRANGER, UR_PUT_LOST,
		UR_PUT_LOST},
	/* SEND: not now */
	{{.asked = UR_PUT_SEND, .status = 408}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 408, OWN}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 408, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 423}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 423, OWN}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 423, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 425}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 425, OWN}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 425, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 429}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 429, OWN}, UR_PUT_LATER, UR_PUT_SEND, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 429, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 502}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 502, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 503}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 503, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 504}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 504, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 500, OWN}, UR_PUT_LATER, UR_PUT_LOST, UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 507, OWN, GONE_OUT}, UR_PUT_LATER, UR_PUT_LOST,
		UR_PUT_LOST},
	/* SEND: refusals */
	{{.asked = UR_PUT_SEND, .status = 400, OWN, GONE_OUT}, UR_PUT_REFUSED, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_SEND, .status = 400, OWN}, UR_PUT_REFUSED, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_SEND, .status = 400, OWN, .quota = true, GONE_OUT}, UR_PUT_QUOTA,
		UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 400, .quota = true}, UR_PUT_STRANGER, UR_PUT_SEND,
		UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 413}, UR_PUT_TOO_LARGE, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 413, OWN}, UR_PUT_TOO_LARGE, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 413, GONE_OUT}, UR_PUT_TOO_LARGE, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 404, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 404, OWN, GONE_OUT}, UR_PUT_REJECTED, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 405, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 405, OWN, GONE_OUT}, UR_PUT_REJECTED, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 409, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 409, OWN, GONE_OUT}, UR_PUT_REJECTED, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 410, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 410, OWN, GONE_OUT}, UR_PUT_REJECTED, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 415, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 415, OWN, GONE_OUT}, UR_PUT_REJECTED, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 422, OWN}, UR_PUT_REJECTED, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_SEND, .status = 422, OWN, GONE_OUT}, UR_PUT_REJECTED, UR_PUT_OVER,
		UR_PUT_LOST},
	{{.asked = UR_PUT_SEND, .status = 401, OWN}, UR_PUT_KEY, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_SEND, .status = 403, OWN}, UR_PUT_KEY, UR_PUT_OVER, UR_PUT_OVER},
	/* ASSET: what it is */
	{{.asked = UR_PUT_ASSET, .status = 200, OWN, READ, .proof = UR_PROOF_HOLDS}, UR_PUT_HOLDS,
		UR_PUT_BYTES, UR_PUT_BYTES},
	{{.asked = UR_PUT_ASSET, .status = 200, READ, .proof = UR_PROOF_HOLDS}, UR_PUT_HOLDS,
		UR_PUT_BYTES, UR_PUT_BYTES},
	{{.asked = UR_PUT_ASSET, .status = 200, OWN, READ, .proof = UR_PROOF_OTHER_BYTES},
		UR_PUT_OTHER_BYTES, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, READ, .proof = UR_PROOF_OTHER_BYTES},
		UR_PUT_OTHER_BYTES, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, OWN, READ, .proof = UR_PROOF_OTHER_OWNER},
		UR_PUT_OTHER_OWNER, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, READ, .proof = UR_PROOF_OTHER_OWNER},
		UR_PUT_OTHER_OWNER, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, OWN, READ, .proof = UR_PROOF_TRASHED},
		UR_PUT_TRASHED, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, READ, .proof = UR_PROOF_TRASHED}, UR_PUT_TRASHED,
		UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, OWN, READ, .proof = UR_PROOF_EXTERNAL},
		UR_PUT_EXTERNAL, UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 200, READ, .proof = UR_PROOF_EXTERNAL}, UR_PUT_EXTERNAL,
		UR_PUT_OVER, UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 400, OWN}, UR_PUT_GONE, UR_PUT_OVER, UR_PUT_CHECK},
	{{.asked = UR_PUT_ASSET, .status = 404, OWN}, UR_PUT_GONE, UR_PUT_OVER, UR_PUT_CHECK},
	/* ASSET: no answer, and what says nothing */
	{{.asked = UR_PUT_ASSET, .result = -ECONNREFUSED, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -ECONNRESET, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -ETIMEDOUT, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -EPROTO, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -ENOMEM, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -ECANCELED, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -ECONNRESET, .status = 206, .got = 1, .total = SIZE},
		UR_PUT_LATER, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .result = -ETIMEDOUT, .status = 404, OWN, NO_RANGE}, UR_PUT_LATER,
		UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 408, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 408, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 425, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 425, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 429, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 429, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 502, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 502, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 503, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 503, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 504, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 504, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 501, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 505, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 507, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 204, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 301, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 302, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 307, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 308, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 400, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 401, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 403, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 404, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 405, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 410, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 451, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 500, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 501, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 520, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 530, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 302, OWN, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 401, OWN, NO_RANGE}, UR_PUT_KEY, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 403, OWN, NO_RANGE}, UR_PUT_RIGHTS, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_ASSET, .status = 405, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 410, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 413, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 415, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 422, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	/* BYTES: no answer, and what says nothing */
	{{.asked = UR_PUT_BYTES, .result = -ECONNREFUSED, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -ECONNRESET, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -ETIMEDOUT, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -EPROTO, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -ENOMEM, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -ECANCELED, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -ECONNRESET, .status = 206, .got = 1, .total = SIZE},
		UR_PUT_LATER, UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .result = -ETIMEDOUT, .status = 404, OWN, NO_RANGE}, UR_PUT_LATER,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 408, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 408, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 425, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 425, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 429, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 429, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 502, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 502, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 503, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 503, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 504, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 504, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 501, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 505, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 507, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 204, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 301, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 302, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 307, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 308, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 400, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 401, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 403, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 404, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 405, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 410, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 451, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 500, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 501, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 520, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 530, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 302, OWN, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 401, OWN, NO_RANGE}, UR_PUT_KEY, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_BYTES, .status = 403, OWN, NO_RANGE}, UR_PUT_RIGHTS, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_BYTES, .status = 405, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 410, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 413, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 415, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 422, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	/* ASIDE: no answer, and what says nothing */
	{{.asked = UR_PUT_ASIDE, .result = -ECONNREFUSED, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -ECONNRESET, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -ETIMEDOUT, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -EPROTO, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -ENOMEM, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -ECANCELED, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -ECONNRESET, .status = 206, .got = 1, .total = SIZE},
		UR_PUT_LATER, UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .result = -ETIMEDOUT, .status = 404, OWN, NO_RANGE}, UR_PUT_LATER,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 408, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 408, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 425, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 425, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 429, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 429, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 502, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 502, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 503, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 503, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 504, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 504, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 501, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 505, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 507, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 204, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 301, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 302, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 307, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 308, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 400, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 401, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 403, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 404, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 405, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 410, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 451, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 500, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 501, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 520, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 530, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 302, OWN, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 401, OWN, NO_RANGE}, UR_PUT_KEY, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_ASIDE, .status = 403, OWN, NO_RANGE}, UR_PUT_RIGHTS, UR_PUT_OVER,
		UR_PUT_OVER},
	{{.asked = UR_PUT_ASIDE, .status = 405, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 410, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 413, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 415, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 422, OWN, NO_RANGE}, UR_PUT_LATER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	/* ASSET: of other shapes */
	{{.asked = UR_PUT_ASSET, .status = 200}, UR_PUT_STRANGER, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 200, OWN}, UR_PUT_STRANGER, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 206, OWN}, UR_PUT_LATER, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 206}, UR_PUT_STRANGER, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 500, OWN}, UR_PUT_LATER, UR_PUT_ASSET, UR_PUT_ASSET},
	{{.asked = UR_PUT_ASSET, .status = 416, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASSET,
		UR_PUT_ASSET},
	/* BYTES: a part */
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE, OWN}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 0, .total = SIZE, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 2, .total = SIZE, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE - 1, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE + 1, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE, .whole = true, OWN},
		UR_PUT_MISSED, UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 204, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 0, .total = SIZE}, UR_PUT_STRANGER,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE - 1}, UR_PUT_STRANGER,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = 0}, UR_PUT_STRANGER,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = SIZE, .whole = true},
		UR_PUT_STRANGER, UR_PUT_BYTES, UR_PUT_ASSET},
	/* BYTES: all of it, asked for or not */
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE, NO_RANGE}, UR_PUT_GIVEN, UR_PUT_PROVED,
		UR_PUT_PROVED},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE, NO_RANGE, OWN}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE, NO_RANGE, .whole = true}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE, NO_RANGE, OWN, .whole = true},
		UR_PUT_GIVEN, UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE - 1, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE + 1, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = 0, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE - 1, .other = true, NO_RANGE, OWN},
		UR_PUT_MISSED, UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = 77, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = 0, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE + 1, NO_RANGE}, UR_PUT_STRANGER,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE, .other = true, NO_RANGE},
		UR_PUT_STRANGER, UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 200, .got = SIZE, .other = true, NO_RANGE, OWN},
		UR_PUT_OTHER_BYTES, UR_PUT_OVER, UR_PUT_OVER},
	/* BYTES: Immich says that there is nothing */
	{{.asked = UR_PUT_BYTES, .status = 400, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 404, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 500, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 416, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 416, OWN, .total = SIZE / 2}, UR_PUT_MISSED,
		UR_PUT_BYTES, UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 416, .total = SIZE / 2}, UR_PUT_MISSED, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 416, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	{{.asked = UR_PUT_BYTES, .status = 416, .total = SIZE}, UR_PUT_STRANGER, UR_PUT_BYTES,
		UR_PUT_ASSET},
	/* ASIDE: a part */
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE, OWN}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 0, .total = SIZE, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 2, .total = SIZE, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE - 1, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE + 1, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE, .whole = true, OWN},
		UR_PUT_MISSED, UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 204, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 0, .total = SIZE}, UR_PUT_STRANGER,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE - 1}, UR_PUT_STRANGER,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = 0}, UR_PUT_STRANGER,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 206, .got = 1, .total = SIZE, .whole = true},
		UR_PUT_STRANGER, UR_PUT_ASIDE, UR_PUT_ASIDE},
	/* ASIDE: all of it, asked for or not */
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE, NO_RANGE}, UR_PUT_GIVEN, UR_PUT_PROVED,
		UR_PUT_PROVED},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE, NO_RANGE, OWN}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE, NO_RANGE, .whole = true}, UR_PUT_GIVEN,
		UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE, NO_RANGE, OWN, .whole = true},
		UR_PUT_GIVEN, UR_PUT_PROVED, UR_PUT_PROVED},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE - 1, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE + 1, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = 0, NO_RANGE, OWN}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE - 1, .other = true, NO_RANGE, OWN},
		UR_PUT_MISSED, UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = 77, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = 0, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE + 1, NO_RANGE}, UR_PUT_STRANGER,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE, .other = true, NO_RANGE},
		UR_PUT_STRANGER, UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 200, .got = SIZE, .other = true, NO_RANGE, OWN},
		UR_PUT_OTHER_BYTES, UR_PUT_OVER, UR_PUT_OVER},
	/* ASIDE: Immich says that there is nothing */
	{{.asked = UR_PUT_ASIDE, .status = 400, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 404, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 500, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 416, OWN, NO_RANGE}, UR_PUT_MISSED, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 416, OWN, .total = SIZE / 2}, UR_PUT_MISSED,
		UR_PUT_ASIDE, UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 416, .total = SIZE / 2}, UR_PUT_MISSED, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 416, NO_RANGE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
	{{.asked = UR_PUT_ASIDE, .status = 416, .total = SIZE}, UR_PUT_STRANGER, UR_PUT_ASIDE,
		UR_PUT_ASIDE},
};
#define ROWS (sizeof rows / sizeof *rows)
static_assert(ROWS >= 200);

static const int statuses[] = {100, 200, 201, 204, 206, 301, 302, 307, 308, 400, 401, 403, 404, 405,
	408, 409, 410, 413, 415, 416, 422, 423, 425, 429, 451, 500, 501, 502, 503, 504, 520, 599};
#define STATUSES (sizeof statuses / sizeof *statuses)
static const enum ur_put_state questions[] = {
	UR_PUT_CHECK, UR_PUT_LOST, UR_PUT_SEND, UR_PUT_ASSET, UR_PUT_BYTES, UR_PUT_ASIDE};
#define QUESTIONS (sizeof questions / sizeof *questions)

static const struct ur_put_answer absent = {
	.asked = UR_PUT_CHECK, .status = 200, .own = true, .readable = true};
static const struct ur_put_answer holds = {
	.asked = UR_PUT_ASSET, .status = 200, .own = true, .readable = true};
static const struct ur_put_answer given = {
	.asked = UR_PUT_BYTES, .status = 206, .own = true, .size = SIZE, .total = SIZE, .got = 1};

/** A delivery that waits for the answer to the question of `state`. */
static struct ur_put at(enum ur_put_state state, const struct ur_put_rules *rules)
{
	struct ur_put put;
	const bool sends = state == UR_PUT_SEND;
	const bool remembered =
		state == UR_PUT_CHECK || state == UR_PUT_LOST || state == UR_PUT_ASSET;
	ur_put_start(&put, rules, remembered ? state : sends ? UR_PUT_CHECK : UR_PUT_ASSET, false);
	if (sends) {
		assert_int_equal(ur_put_step(&put, &absent), UR_PUT_SEND);
	}
	if (state == UR_PUT_BYTES || state == UR_PUT_ASIDE) {
		assert_int_equal(ur_put_step(&put, &holds), UR_PUT_BYTES);
	}
	if (state == UR_PUT_ASIDE) {
		assert_int_equal(ur_put_step(&put, &given), UR_PUT_PROVED);
		ur_put_aside(&put);
	}
	assert_int_equal(put.state, state);
	return put;
}

static void every_answer_means_what_the_table_says_and_leads_where_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct ur_put_answer a = rows[i].answer;
		struct ur_put importer = at(a.asked, &ur_put_importer);
		struct ur_put gateway = at(a.asked, &ur_put_gateway);
		a.size = SIZE;
		const enum ur_put_verdict verdict = ur_put_judge(&a);
		const enum ur_put_state one = ur_put_step(&importer, &a);
		const enum ur_put_state other = ur_put_step(&gateway, &a);
		if (verdict != rows[i].verdict || one != rows[i].importer ||
			other != rows[i].gateway) {
			fail_msg("row %zu (%s, result %d, status %d): verdict %d, importer %s, "
				 "gateway %s",
				i, ur_put_state_name(a.asked), a.result, a.status, verdict,
				ur_put_state_name(one), ur_put_state_name(other));
		}
	}
}

/** Every answer that can be put together from statuses and bits. */
static struct ur_put_answer any_answer(size_t question, size_t status, unsigned bits)
{
	return (struct ur_put_answer){
		.asked = questions[question],
		.status = statuses[status],
		.own = (bits & 1) != 0,
		.readable = (bits & 2) != 0,
		.there = (bits & 4) != 0,
		.trashed = (bits & 8) != 0,
		.may_come = (bits & 16) != 0,
		.body_gone = (bits & 4) != 0,
		.duplicate = (bits & 8) != 0,
		.quota = (bits & 16) != 0,
		.size = SIZE,
		.total = (bits & 4) != 0   ? SIZE
			 : (bits & 8) != 0 ? SIZE / 2
					   : -1,
		.got = (bits & 2) != 0    ? 1
		       : (bits & 16) != 0 ? SIZE
					  : 0,
		.whole = (bits & 32) != 0,
		.other = (bits & 64) != 0,
	};
}
#define BITS 128u

static bool says_nothing(enum ur_put_verdict verdict)
{
	return verdict == UR_PUT_LATER || verdict == UR_PUT_STRANGER;
}

static void a_page_of_a_proxy_is_never_a_verdict(void **state)
{
	(void)state;
	for (size_t q = 0; q < QUESTIONS; q++) {
		for (size_t s = 0; s < STATUSES; s++) {
			for (unsigned bits = 0; bits < BITS; bits += 2) {
				const struct ur_put_answer a = any_answer(q, s, bits);
				if (a.readable || a.got == SIZE || a.total >= 0) {
					continue; // not a page: it has the shape of an answer
				}
				const enum ur_put_verdict verdict = ur_put_judge(&a);
				const bool way = a.asked == UR_PUT_SEND && a.status == 413;
				assert_true(says_nothing(verdict) ||
					    (way && verdict == UR_PUT_TOO_LARGE));
				struct ur_put gateway = at(a.asked, &ur_put_gateway);
				assert_int_not_equal(ur_put_step(&gateway, &a), UR_PUT_OVER);
			}
		}
	}
}

static void only_a_201_in_the_servers_own_words_leaves_no_doubt(void **state)
{
	(void)state;
	for (size_t q = 0; q < QUESTIONS; q++) {
		for (size_t s = 0; s < STATUSES; s++) {
			for (unsigned bits = 0; bits < BITS; bits++) {
				const struct ur_put_answer a = any_answer(q, s, bits);
				struct ur_put put = at(a.asked, &ur_put_gateway);
				const bool certain = a.asked == UR_PUT_SEND && a.status == 201 &&
						     a.own && a.readable && !a.duplicate;
				(void)ur_put_step(&put, &a);
				assert_int_equal(put.ours, certain);
				assert_int_equal(put.verdict == UR_PUT_CREATED, certain);
			}
		}
	}
}

static void only_bytes_that_were_counted_prove_anything(void **state)
{
	(void)state;
	for (size_t q = 0; q < QUESTIONS; q++) {
		for (size_t s = 0; s < STATUSES; s++) {
			for (unsigned bits = 0; bits < BITS; bits++) {
				const struct ur_put_answer a = any_answer(q, s, bits);
				const bool last = a.status == 206 && a.got == 1 &&
						  a.total == SIZE && !a.whole;
				const bool all = a.status == 200 && a.got == SIZE && !a.other;
				const bool about =
					a.asked == UR_PUT_BYTES || a.asked == UR_PUT_ASIDE;
				assert_int_equal(
					ur_put_judge(&a) == UR_PUT_GIVEN, about && (last || all));
			}
		}
	}
}

static void only_a_400_of_the_servers_own_refuses_a_file(void **state)
{
	(void)state;
	for (size_t q = 0; q < QUESTIONS; q++) {
		for (size_t s = 0; s < STATUSES; s++) {
			for (unsigned bits = 0; bits < BITS; bits++) {
				const struct ur_put_answer a = any_answer(q, s, bits);
				const bool refused = a.asked == UR_PUT_SEND && a.own &&
						     a.status == 400 && !a.quota;
				assert_int_equal(ur_put_judge(&a) == UR_PUT_REFUSED, refused);
			}
		}
	}
}

static void nothing_ends_a_gateways_delivery_but_immichs_own_word(void **state)
{
	(void)state;
	for (size_t q = 0; q < QUESTIONS; q++) {
		for (size_t s = 0; s < STATUSES; s++) {
			for (unsigned bits = 0; bits < BITS; bits++) {
				const struct ur_put_answer a = any_answer(q, s, bits);
				struct ur_put put = at(a.asked, &ur_put_gateway);
				for (int i = 0; i < 50 && put.state == a.asked; i++) {
					(void)ur_put_step(&put, &a);
				}
				const bool shaped = a.status == 200 && a.readable;
				assert_true(put.state != UR_PUT_OVER || a.own || shaped);
			}
		}
	}
}

static void what_may_have_arrived_is_asked_for_before_it_is_sent_again(void **state)
{
	const struct ur_put_rules *const both[] = {&ur_put_importer, &ur_put_gateway};
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		for (size_t s = 0; s < STATUSES; s++) {
			for (unsigned bits = 0; bits < BITS; bits++) {
				const struct ur_put_answer a = any_answer(2, s, bits);
				struct ur_put put = at(UR_PUT_SEND, both[k]);
				(void)ur_put_step(&put, &a);
				const bool perhaps = ur_put_may_have_arrived(&a);
				assert_false(perhaps && put.state == UR_PUT_SEND);
				assert_false(perhaps && put.state == UR_PUT_CHECK &&
					     put.verdict != UR_PUT_QUOTA);
				assert_true(put.state != UR_PUT_LOST || put.doubted);
			}
		}
	}
}

static void a_doubt_lasts_until_the_bytes_come(void **state)
{
	const struct ur_put_answer lost = {
		.asked = UR_PUT_SEND, .result = -ETIMEDOUT, .body_gone = true};
	struct ur_put_answer there = absent;
	struct ur_put put = at(UR_PUT_SEND, &ur_put_importer);
	(void)state;
	there.asked = UR_PUT_LOST;
	there.there = true;
	assert_int_equal(ur_put_step(&put, &lost), UR_PUT_LOST);
	assert_true(put.doubted);
	assert_int_equal(ur_put_step(&put, &there), UR_PUT_ASSET);
	assert_true(put.doubted);
	assert_int_equal(ur_put_step(&put, &holds), UR_PUT_BYTES);
	assert_true(put.doubted);
	assert_int_equal(ur_put_step(&put, &given), UR_PUT_PROVED);
	assert_false(put.doubted);
}

static void what_was_claimed_or_went_away_is_doubted(void **state)
{
	const struct ur_put_answer claimed = {.asked = UR_PUT_SEND,
		.status = 200,
		.own = true,
		.readable = true,
		.duplicate = true,
		.body_gone = true};
	const struct ur_put_answer gone = {.asked = UR_PUT_ASSET, .status = 404, .own = true};
	struct ur_put put = at(UR_PUT_SEND, &ur_put_gateway);
	(void)state;
	assert_false(put.doubted);
	assert_int_equal(ur_put_step(&put, &claimed), UR_PUT_ASSET);
	assert_true(put.doubted);
	assert_false(put.ours);
	put = at(UR_PUT_ASSET, &ur_put_gateway);
	put.ours = true;
	assert_int_equal(ur_put_step(&put, &gone), UR_PUT_CHECK);
	assert_true(put.doubted);
	assert_false(put.ours);
}

static void a_lost_answer_is_asked_after_until_nothing_can_come_any_more(void **state)
{
	struct ur_put put = at(UR_PUT_LOST, &ur_put_importer);
	struct ur_put_answer a = absent;
	(void)state;
	a.asked = UR_PUT_LOST;
	a.may_come = true;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(ur_put_step(&put, &a), UR_PUT_LOST);
	}
	a.may_come = false;
	assert_int_equal(ur_put_step(&put, &a), UR_PUT_SEND);
	assert_true(put.doubted); // what it claims from now on may be what it kept
}

static void only_what_nobody_saw_end_may_still_come(void **state)
{
	(void)state;
	for (size_t s = 0; s < STATUSES; s++) {
		struct ur_put_answer a = {.asked = UR_PUT_SEND, .status = statuses[s]};
		assert_false(ur_put_may_come(&a));
		a.body_gone = true;
		assert_int_equal(ur_put_may_come(&a), a.status >= 504); // 524, say
		a.own = true;
		assert_int_equal(ur_put_may_come(&a), a.status == 504);
	}
	struct ur_put_answer a = {.asked = UR_PUT_SEND, .result = -ECONNRESET};
	assert_false(ur_put_may_come(&a));
	a.body_gone = true;
	assert_true(ur_put_may_come(&a));
}

static void also_after_the_last_try_what_may_have_arrived_is_asked_for(void **state)
{
	const struct ur_put_answer lost = {
		.asked = UR_PUT_SEND, .result = -ECONNRESET, .body_gone = true};
	struct ur_put_answer a = absent;
	struct ur_put put = at(UR_PUT_SEND, &ur_put_importer);
	(void)state;
	a.asked = UR_PUT_LOST;
	for (unsigned sends = 1; sends <= ur_put_importer.tries[UR_PUT_SEND]; sends++) {
		const bool last = sends == ur_put_importer.tries[UR_PUT_SEND];
		assert_int_equal(ur_put_step(&put, &lost), UR_PUT_LOST);
		assert_int_equal(put.sends, sends);
		a.may_come = true;
		assert_int_equal(ur_put_step(&put, &a), UR_PUT_LOST);
		a.may_come = false;
		assert_int_equal(ur_put_step(&put, &a), last ? UR_PUT_OVER : UR_PUT_SEND);
	}
	assert_int_equal(put.sent, UR_PUT_LATER); // and not the last word about it: "absent"
}

static void an_upload_that_is_known_is_gone_on_with(void **state)
{
	struct ur_put put = at(UR_PUT_LOST, &ur_put_importer);
	(void)state;
	ur_put_go_on(&put);
	assert_int_equal(put.state, UR_PUT_SEND);
	assert_true(put.doubted);
}

/** How often the same answer is taken before it is over; 0: it is not. */
static unsigned tries_of(
	enum ur_put_state state, const struct ur_put_rules *rules, const struct ur_put_answer *like)
{
	struct ur_put put = at(state, rules);
	struct ur_put_answer a = *like;
	for (unsigned n = 1; n < 1000; n++) {
		a.asked = put.state;
		if (put.state == UR_PUT_ASSET && state == UR_PUT_BYTES) {
			assert_int_equal(ur_put_step(&put, &holds), UR_PUT_BYTES);
			a.asked = UR_PUT_BYTES;
		}
		if (ur_put_step(&put, &a) == UR_PUT_OVER) {
			return n;
		}
	}
	return 0;
}

static void a_run_gives_up_what_does_not_pass_and_a_gateway_never_does(void **state)
{
	const struct ur_put_answer away = {.result = -ECONNREFUSED};
	const struct ur_put_answer page = {.status = 403, .total = -1};
	const struct ur_put_answer none = {.status = 404, .own = true, .size = SIZE, .total = -1};
	(void)state;
	assert_int_equal(tries_of(UR_PUT_CHECK, &ur_put_importer, &away), 0); // --server-wait's
	assert_int_equal(tries_of(UR_PUT_SEND, &ur_put_importer, &away), 5);
	assert_int_equal(tries_of(UR_PUT_SEND, &ur_put_importer, &page), 5);
	assert_int_equal(tries_of(UR_PUT_ASSET, &ur_put_importer, &away), 6);
	assert_int_equal(tries_of(UR_PUT_BYTES, &ur_put_importer, &away), 6);
	assert_int_equal(tries_of(UR_PUT_ASIDE, &ur_put_importer, &away), 2);
	assert_int_equal(tries_of(UR_PUT_ASSET, &ur_put_importer, &page), 3);
	assert_int_equal(tries_of(UR_PUT_BYTES, &ur_put_importer, &page), 3);
	assert_int_equal(tries_of(UR_PUT_ASIDE, &ur_put_importer, &page), 2);
	assert_int_equal(tries_of(UR_PUT_BYTES, &ur_put_importer, &none), 3);
	assert_int_equal(tries_of(UR_PUT_ASIDE, &ur_put_importer, &none), 2);
	for (size_t q = 0; q < QUESTIONS; q++) {
		const struct ur_put_answer *const all[] = {&away, &page, &none};
		for (size_t i = 0; i < 3; i++) {
			const bool gone = questions[q] == UR_PUT_ASSET && i == 2;
			const bool sends = questions[q] == UR_PUT_SEND; // and then it is asked
			if (!gone && !sends) {
				assert_int_equal(
					tries_of(questions[q], &ur_put_gateway, all[i]), 0);
			}
		}
	}
}

static void of_an_unknown_size_only_immich_itself_is_believed(void **state)
{
	struct ur_put_answer part = {
		.asked = UR_PUT_BYTES, .status = 206, .got = 1, .total = 7, .size = -1};
	struct ur_put_answer all = {
		.asked = UR_PUT_BYTES, .status = 200, .got = 7, .total = -1, .size = -1};
	struct ur_put_answer nothing = all;
	(void)state;
	nothing.got = 0;
	assert_int_equal(ur_put_judge(&part), UR_PUT_STRANGER);
	assert_int_equal(ur_put_judge(&all), UR_PUT_STRANGER);
	assert_int_equal(ur_put_judge(&nothing), UR_PUT_STRANGER);
	part.own = all.own = nothing.own = true;
	assert_int_equal(ur_put_judge(&part), UR_PUT_GIVEN);
	assert_int_equal(ur_put_judge(&all), UR_PUT_GIVEN);
	assert_int_equal(ur_put_judge(&nothing), UR_PUT_MISSED);
}

static void one_failure_is_a_suspect_and_many_are_the_library(void **state)
{
	const int64_t day = UR_MISSED_APART_S;
	(void)state;
	assert_int_equal(ur_put_lack(1, false, 0), UR_LACK_OPEN);
	assert_int_equal(ur_put_lack(4, false, 10 * day), UR_LACK_OPEN);
	assert_int_equal(ur_put_lack(5, false, 0), UR_LACK_LIBRARY);
	assert_int_equal(ur_put_lack(5, true, 10 * day), UR_LACK_LIBRARY);
	assert_int_equal(ur_put_lack(9, true, 0), UR_LACK_LIBRARY);
	assert_int_equal(ur_put_lack(1, true, 0), UR_LACK_SUSPECT);
	assert_int_equal(ur_put_lack(1, true, day - 1), UR_LACK_SUSPECT);
	assert_int_equal(ur_put_lack(1, true, day), UR_LACK_BROKEN);
	assert_int_equal(ur_put_lack(4, true, day), UR_LACK_BROKEN);
}

static void an_asset_is_left_alone_and_a_doubt_never_shortens_that(void **state)
{
	const int64_t hour = INT64_C(3600000);
	(void)state;
	assert_int_equal(ur_put_wait_ms(false, 60000, hour, 0), 60000);
	assert_int_equal(ur_put_wait_ms(false, 60000, hour, 30000), 30000);
	assert_int_equal(ur_put_wait_ms(false, 60000, hour, 60000), 0);
	assert_int_equal(ur_put_wait_ms(false, 60000, hour, 99000), 0);
	assert_int_equal(ur_put_wait_ms(true, 60000, hour, 60000), hour - 60000);
	assert_int_equal(ur_put_wait_ms(true, 60000, hour, hour), 0);
	assert_int_equal(ur_put_wait_ms(true, 60000, 0, 0), 60000);
	assert_int_equal(ur_put_wait_ms(true, 60000, hour, -5), hour); // nobody wrote it down
}

/* ---- what a gateway may not get wrong, which has the only copy ---------------------------------- */

static enum ur_put_verdict own(enum ur_put_state asked, int status)
{
	const struct ur_put_answer a = {
		.asked = asked, .status = status, .own = true, .size = SIZE, .total = -1};
	return ur_put_judge(&a);
}

static enum ur_put_state after(enum ur_put_state asked, struct ur_put_answer a)
{
	struct ur_put put = at(asked, &ur_put_gateway);
	a.asked = asked;
	a.size = SIZE;
	return ur_put_step(&put, &a);
}

static bool is_about_bytes(enum ur_put_state state)
{
	return state == UR_PUT_BYTES || state == UR_PUT_ASIDE;
}

static bool is_proving(enum ur_put_state state)
{
	return state == UR_PUT_ASSET || is_about_bytes(state);
}

static void no_answer_is_no_verdict(void **state)
{
	static const int codes[] = {-ECONNREFUSED, -ECONNRESET, -ETIMEDOUT, -EPROTO, -ECANCELED};
	(void)state;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		for (size_t q = 0; q < QUESTIONS; q++) {
			const enum ur_put_state asked = questions[q];
			const enum ur_put_state again = asked == UR_PUT_SEND    ? UR_PUT_CHECK
							: asked == UR_PUT_BYTES ? UR_PUT_ASSET
										: asked;
			struct ur_put_answer a = {.result = codes[i]};
			assert_int_equal(after(asked, a), again);
			a.body_gone = true;
			assert_int_equal(
				after(asked, a), asked == UR_PUT_SEND ? UR_PUT_LOST : again);
		}
	}
}

static void what_went_out_whole_may_have_been_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < STATUSES; i++) {
		struct ur_put_answer a = {.status = statuses[i], .body_gone = true};
		assert_int_equal(after(UR_PUT_SEND, a), UR_PUT_LOST); // whoever said so
		a.body_gone = false;
		a.own = true;
		if (a.status >= 500) {
			assert_int_equal(after(UR_PUT_SEND, a), UR_PUT_LOST);
		}
	}
	const struct ur_put_answer busy = {.status = 429, .own = true};
	assert_int_equal(after(UR_PUT_SEND, busy), UR_PUT_CHECK);
}

static void a_want_of_room_is_no_refusal(void **state)
{
	const struct ur_put_answer quota = {
		.asked = UR_PUT_SEND, .status = 400, .own = true, .quota = true};
	(void)state;
	assert_int_equal(ur_put_judge(&quota), UR_PUT_QUOTA);
	for (size_t q = 0; q < QUESTIONS; q++) {
		for (size_t i = 0; i < STATUSES; i++) {
			assert_int_equal(own(questions[q], statuses[i]) == UR_PUT_REFUSED,
				questions[q] == UR_PUT_SEND && statuses[i] == 400);
		}
	}
}

static void keys_and_rights_are_told_apart(void **state)
{
	(void)state;
	for (size_t q = 0; q < QUESTIONS; q++) {
		assert_int_equal(own(questions[q], 401), UR_PUT_KEY);
		assert_int_equal(own(questions[q], 403),
			is_proving(questions[q]) ? UR_PUT_RIGHTS : UR_PUT_KEY);
	}
}

static void a_proof_is_read_and_its_want_is_no_verdict_about_the_file(void **state)
{
	const struct ur_put_answer read = {.status = 200, .own = true, .readable = true};
	const struct ur_put_answer taken = {
		.status = 201, .own = true, .readable = true, .body_gone = true};
	const struct ur_put_answer part = {.status = 206, .own = true, .total = SIZE, .got = 1};
	const struct ur_put_answer whole = {.status = 200, .own = true, .total = -1, .got = SIZE};
	(void)state;
	assert_int_equal(after(UR_PUT_CHECK, read), UR_PUT_SEND);
	assert_int_equal(after(UR_PUT_SEND, read), UR_PUT_ASSET);
	assert_int_equal(after(UR_PUT_SEND, taken), UR_PUT_ASSET);
	assert_int_equal(after(UR_PUT_ASSET, read), UR_PUT_BYTES);
	assert_int_equal(after(UR_PUT_BYTES, part), UR_PUT_PROVED);
	assert_int_equal(after(UR_PUT_BYTES, whole), UR_PUT_PROVED);
	assert_true(says_nothing(own(UR_PUT_CHECK, 200)));
	assert_true(says_nothing(own(UR_PUT_ASSET, 200)));
	assert_int_equal(own(UR_PUT_ASSET, 400), UR_PUT_GONE);
	assert_int_equal(own(UR_PUT_ASSET, 404), UR_PUT_GONE);
	assert_true(says_nothing(own(UR_PUT_ASSET, 500)));
	assert_int_equal(own(UR_PUT_BYTES, 206), UR_PUT_MISSED); // of another size
	assert_int_equal(own(UR_PUT_BYTES, 200), UR_PUT_MISSED);
	assert_int_equal(own(UR_PUT_BYTES, 404), UR_PUT_MISSED);
	assert_int_equal(own(UR_PUT_BYTES, 416), UR_PUT_MISSED); // shorter than it was
	assert_int_equal(own(UR_PUT_BYTES, 500), UR_PUT_MISSED);
	for (int status = 501; status < 600; status++) {
		assert_true(says_nothing(own(UR_PUT_BYTES, status)));
	}
}

static void what_was_sent_may_arrive_as_long_as_its_bytes_take_and_an_answer(void **state)
{
	const uint64_t mib = 1u << 20;
	(void)state;
	assert_int_equal(ur_put_arrival_ms(60000, 0, 0), 60000);
	assert_int_equal(ur_put_arrival_ms(60000, 10 * mib, 0), 60000 + 40000);
	assert_int_equal(ur_put_arrival_ms(60000, 10 * mib, mib), 60000 + 40000); // never faster
	assert_int_equal(ur_put_arrival_ms(60000, 10 * mib, mib / 16), 60000 + 160000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer_means_what_the_table_says_and_leads_where_it_says),
		cmocka_unit_test(a_page_of_a_proxy_is_never_a_verdict),
		cmocka_unit_test(only_a_201_in_the_servers_own_words_leaves_no_doubt),
		cmocka_unit_test(only_bytes_that_were_counted_prove_anything),
		cmocka_unit_test(only_a_400_of_the_servers_own_refuses_a_file),
		cmocka_unit_test(nothing_ends_a_gateways_delivery_but_immichs_own_word),
		cmocka_unit_test(what_may_have_arrived_is_asked_for_before_it_is_sent_again),
		cmocka_unit_test(a_doubt_lasts_until_the_bytes_come),
		cmocka_unit_test(what_was_claimed_or_went_away_is_doubted),
		cmocka_unit_test(a_lost_answer_is_asked_after_until_nothing_can_come_any_more),
		cmocka_unit_test(only_what_nobody_saw_end_may_still_come),
		cmocka_unit_test(also_after_the_last_try_what_may_have_arrived_is_asked_for),
		cmocka_unit_test(an_upload_that_is_known_is_gone_on_with),
		cmocka_unit_test(a_run_gives_up_what_does_not_pass_and_a_gateway_never_does),
		cmocka_unit_test(of_an_unknown_size_only_immich_itself_is_believed),
		cmocka_unit_test(one_failure_is_a_suspect_and_many_are_the_library),
		cmocka_unit_test(an_asset_is_left_alone_and_a_doubt_never_shortens_that),
		cmocka_unit_test(what_was_sent_may_arrive_as_long_as_its_bytes_take_and_an_answer),
		cmocka_unit_test(no_answer_is_no_verdict),
		cmocka_unit_test(what_went_out_whole_may_have_been_kept),
		cmocka_unit_test(a_want_of_room_is_no_refusal),
		cmocka_unit_test(keys_and_rights_are_told_apart),
		cmocka_unit_test(a_proof_is_read_and_its_want_is_no_verdict_about_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
