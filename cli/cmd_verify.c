/* cmd_verify - asks the server again about everything that was delivered. */
#include "cli/commands.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"
#include "engine/pipeline_handshake.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 120000

struct verifying {
	const struct ur_cli_options *options;
	struct ur_ledger *ledger;
	struct ur_http *http;
	struct ur_server server;
	int64_t destination;
	uint8_t (*sha1)[UR_LEDGER_SHA1];
	struct ur_check *checks;
	size_t count;
	int64_t asked;
	int64_t there;
	int64_t trashed;
	int64_t missing;
	int64_t resendable; // of these: a file is here
	int64_t lost;       // of these: none is
};

static int gather(void *context, const uint8_t sha1[UR_LEDGER_SHA1], const char *asset)
{
	struct verifying *v = context;
	(void)asset;
	memcpy(v->sha1[v->count++], sha1, UR_LEDGER_SHA1);
	return 0;
}

static int ask(struct verifying *v, struct ur_err *err)
{
	struct ur_text body = {0};
	ur_immich_check_begin(&body);
	for (size_t i = 0; i < v->count; i++) {
		ur_immich_check_add(&body, i, v->sha1[i]);
	}
	ur_immich_check_end(&body);
	struct ur_request call = {
		.method = "POST",
		.path = "/api/assets/bulk-upload-check",
		.content_type = "application/json",
		.pieces = {{.bytes = body.bytes, .size = body.size}},
		.piece_count = 1,
		.answer_wait_ms = ANSWER_MS,
	};
	ur_http_call(v->http, &call);
	int r = call.result;
	if (r < 0) {
		*err = call.err;
	} else if (call.status != 200) {
		char message[UR_MESSAGE_MAX];
		const bool passes = ur_retry_may_pass(0, call.status);
		ur_immich_message(call.status, ur_text_get(&call.answer), call.html, message);
		r = ur_err_say(err, passes ? -EHOSTUNREACH : -EACCES,
			passes ? UR_FAULT_WORLD : UR_FAULT_SETUP,
			"the server does not answer the question by checksum: %s", message);
	} else {
		r = ur_immich_check_read(ur_text_get(&call.answer), v->checks, v->count, err);
	}
	ur_request_done(&call);
	ur_text_done(&body);
	return r;
}

static void tell(const struct verifying *v, const uint8_t sha1[UR_LEDGER_SHA1], const char *what,
	int64_t files)
{
	char hex[2 * UR_LEDGER_SHA1 + 1];
	ur_hex(sha1, UR_LEDGER_SHA1, hex);
	if (v->options->json) {
		printf("{\"event\":\"verify\",\"sha1\":\"%s\",\"state\":\"%s\",\"files\":%" PRId64
		       "}\n",
			hex, what, files);
	} else {
		printf("%-10s %s (%" PRId64 " files; `uringest status --failed` names them)\n",
			what, hex, files);
	}
}

#define LOST                                                                                             \
	"it was delivered, taken away here, and is gone from the server now: nothing is left here that " \
	"could be sent again; look for it in a backup"

/** Taken away here and gone there: no run can bring it back, so no run is promised. */
static int lose(struct verifying *v, const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	int64_t files = 0;
	const int r = ur_ledger_mark(v->ledger, v->destination, sha1, UR_LEDGER_REMOVED,
		UR_WITHDRAWN, LOST, &files, err);
	v->lost++;
	tell(v, sha1, "lost", files);
	return r;
}

static int resend(struct verifying *v, const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	int64_t files = 0;
	int r = ur_ledger_mark(v->ledger, v->destination, sha1, UR_LEDGER_KEPT, UR_SEEN,
		"gone from the server: to be sent again", &files, err);
	r = r < 0 ? r : ur_ledger_asset_forget(v->ledger, v->destination, sha1, err);
	if (r == 0 && files > 0) { // else it waits for that already
		tell(v, sha1, "resend", files);
	}
	return r;
}

static int withdraw(struct verifying *v, const uint8_t sha1[UR_LEDGER_SHA1], struct ur_err *err)
{
	int64_t files = 0;
	const int r = ur_ledger_mark(v->ledger, v->destination, sha1, UR_LEDGER_KEPT, UR_WITHDRAWN,
		"it was delivered before and is gone from the server now", &files, err);
	if (r == 0 && files > 0) {
		v->resendable++;
		tell(v, sha1, "withdrawn", files);
	}
	return r;
}

static int judge_one(struct verifying *v, const uint8_t sha1[UR_LEDGER_SHA1],
	const struct ur_check *check, struct ur_err *err)
{
	int64_t files = 0;
	int r = 0;
	v->asked++;
	if (check->there && !check->trashed) {
		v->there++;
		return 0;
	}
	if (check->trashed) {
		v->trashed++;
		r = ur_ledger_mark(v->ledger, v->destination, sha1, UR_LEDGER_ALL, UR_TRASHED,
			"it is in the server's trash", &files, err);
		tell(v, sha1, "trashed", files);
		return r;
	}
	v->missing++;
	bool kept = false;
	r = ur_ledger_is_kept(v->ledger, v->destination, sha1, &kept, err);
	if (r < 0 || !kept) {
		return r < 0 ? r : lose(v, sha1, err);
	}
	return v->options->resend_missing ? resend(v, sha1, err) : withdraw(v, sha1, err);
}

static int verify_all(struct verifying *v, struct ur_err *err)
{
	uint8_t last[UR_LEDGER_SHA1];
	int r = 0;
	bool first = true;
	do {
		v->count = 0;
		r = ur_ledger_contents(v->ledger, v->destination, first ? NULL : last,
			UR_CHECK_BATCH_MAX, gather, v, err);
		first = false;
		if (r < 0 || v->count == 0) {
			break;
		}
		memcpy(last, v->sha1[v->count - 1], sizeof last);
		r = ask(v, err);
		for (size_t i = 0; i < v->count && r == 0; i++) {
			r = judge_one(v, v->sha1[i], &v->checks[i], err);
		}
		r = r < 0 ? r : ur_ledger_commit(v->ledger, err);
	} while (r == 0 && v->count == UR_CHECK_BATCH_MAX);
	return r;
}

static int connect_all(
	struct verifying *v, const struct ur_connection *connection, struct ur_err *err)
{
	struct ur_http_options http;
	char *path = NULL;
	ur_connection_fill(connection, v->options, &http);
	int r = ur_http_new(&http, NULL, &v->http, err);
	r = r < 0 ? r : ur_pipeline_handshake(v->http, NULL, &v->server, NULL, err);
	r = r < 0 ? r : ur_connection_ledger(v->options, &path, err);
	r = r < 0 ? r : ur_ledger_open(path, UR_LEDGER_WRITE, &v->ledger, err);
	r = r < 0 ? r
		  : ur_ledger_destination(v->ledger, v->server.user_id, v->server.user_name,
			    connection->server, &v->destination, err);
	v->sha1 = calloc(UR_CHECK_BATCH_MAX, sizeof *v->sha1);
	v->checks = calloc(UR_CHECK_BATCH_MAX, sizeof *v->checks);
	if (r == 0 && (v->sha1 == NULL || v->checks == NULL)) {
		r = ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare the questions");
	}
	free(path);
	return r;
}

static void summarise(const struct verifying *v)
{
	if (v->options->json) {
		printf("{\"event\":\"summary\",\"asked\":%" PRId64 ",\"there\":%" PRId64
		       ",\"trashed\":%" PRId64 ",\"missing\":%" PRId64 ",\"lost\":%" PRId64 "}\n",
			v->asked, v->there, v->trashed, v->missing, v->lost);
	} else if (!v->options->quiet) {
		printf("%" PRId64 " contents asked for: %" PRId64 " there, %" PRId64
		       " in the trash, %" PRId64 " gone%s\n",
			v->asked, v->there, v->trashed, v->missing,
			v->resendable > 0
				? " (`uringest verify --resend-missing` has those sent again whose files are "
				  "here)"
				: "");
		if (v->lost > 0) {
			printf("%" PRId64
			       " of them were taken away here: nothing can be sent again; look "
			       "for them in a backup\n",
				v->lost);
		}
	}
}

int ur_cmd_verify(const struct ur_cli_options *options)
{
	struct verifying v = {.options = options};
	struct ur_connection connection;
	struct ur_err err = {0};
	int r = ur_connection_find(options, &connection, &err);
	if (r < 0) {
		return ur_exit_of(r, &err);
	}
	r = connect_all(&v, &connection, &err);
	r = r < 0 ? r : verify_all(&v, &err);
	if (r == 0) {
		summarise(&v);
	}
	(void)ur_http_free(v.http);
	(void)ur_ledger_free(v.ledger);
	free(v.sha1);
	free(v.checks);
	ur_connection_done(&connection);
	const bool lost = v.trashed + v.lost + (options->resend_missing ? 0 : v.missing) > 0;
	return r < 0 ? ur_exit_of(r, &err) : lost ? UR_EXIT_FAILED : UR_EXIT_WELL;
}
