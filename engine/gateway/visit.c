/* visit - the answer to a request, and its end. */
#include "engine/gateway/visit.h"

#include "engine/gateway/life.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_S 5   // what may pass: the client tries again
#define RESTART_S 1 // by then the next process listens
#define EXPOSED_HEADERS                                                                               \
	"Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, " \
	"Tus-Version, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, "          \
	"Upload-Offset, Uringest-Asset, Uringest-Result"

struct ur_visit *ur_visit_begin(struct ur_gateway *gateway, struct ur_exchange *x)
{
	struct ur_visit *visit = calloc(1, sizeof *visit);
	if (visit == NULL) {
		return NULL;
	}
	assert(x->owner == NULL);
	visit->gateway = gateway;
	visit->number = ++gateway->visit_count;
	visit->older = gateway->visits;
	if (visit->older != NULL) {
		visit->older->newer = visit;
	}
	gateway->visits = visit;
	visit->x = x;
	x->owner = visit;
	return visit;
}

void ur_visit_end(struct ur_visit *visit)
{
	assert(visit->session == NULL);
	if (visit->x != NULL) {
		visit->x->owner = NULL;
		ur_exchange_drop(visit->x);
	}
	*(visit->newer == NULL ? &visit->gateway->visits : &visit->newer->older) = visit->older;
	if (visit->older != NULL) {
		visit->older->newer = visit->newer;
	}
	ur_credential_wipe(&visit->credential);
	OPENSSL_cleanse(visit->request.header, sizeof visit->request.header);
	ur_request_done(&visit->request);
	ur_text_done(&visit->question);
	(void)ur_xxh_free(visit->xxh);
	free(visit->metadata);
	free(visit->metadata_text);
	free(visit);
}

/* ---- the answer ------------------------------------------------------------------------------ */

void ur_visit_set_offset(struct ur_visit *visit, uint64_t offset)
{
	ur_exchange_set(visit->x, "Upload-Offset", "%llu", (unsigned long long)offset);
}

void ur_visit_set_expires(struct ur_visit *visit, const struct ur_spool_upload *upload)
{
	if (upload->outcome.state != UR_SPOOL_RECEIVING) {
		return;
	}
	const time_t at = (time_t)(ur_life_ends_ms(visit->gateway, upload) / 1000);
	struct tm parts;
	char text[64];
	if (gmtime_r(&at, &parts) != NULL &&
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0) {
		ur_exchange_set(visit->x, "Upload-Expires", "%s", text);
	}
}

void ur_visit_set_location(struct ur_visit *visit, const struct ur_spool_upload *upload)
{
	ur_exchange_set(visit->x, "Location", "%sfiles/%s", visit->gateway->base, upload->id);
}

/**
 * What may pass is said so that clients try again: tus-js-client gives up after a 4xx, but for 409 and
 * 423; and after any answer to a HEAD but 423 it begins its upload anew.
 */
static int status_for(const struct ur_visit *visit, int status)
{
	return status >= 500 && visit->verb == UR_VERB_HEAD ? 423 : status;
}

static void set_retry(struct ur_visit *visit, int status)
{
	const int seconds = visit->gateway->closing ? RESTART_S : RETRY_S;
	if (status >= 500 || status == 423) {
		ur_exchange_set(visit->x, "Retry-After", "%d", seconds);
	}
}

static void set_common(struct ur_visit *visit)
{
	struct ur_exchange *x = visit->x;
	ur_exchange_set(x, "Tus-Resumable", "%s", UR_TUS_VERSION);
	ur_exchange_set(x, "X-Content-Type-Options", "nosniff");
	if (ur_exchange_field(x, "origin") != NULL) {
		ur_exchange_set(x, "Access-Control-Allow-Origin", "*");
		ur_exchange_set(x, "Access-Control-Expose-Headers", "%s", EXPOSED_HEADERS);
	}
}

void ur_visit_leave(struct ur_visit *visit, int status, const char *sentence)
{
	char text[512];
	assert(visit->x != NULL);
	set_common(visit);
	status = status_for(visit, status);
	set_retry(visit, status);
	const int size = sentence[0] == '\0' ? 0 : snprintf(text, sizeof text, "%s\n", sentence);
	ur_exchange_answer(visit->x, status, size > 0 ? "text/plain; charset=utf-8" : NULL, text,
		size < (int)sizeof text ? (size_t)size : sizeof text - 1);
	visit->x = NULL;
}

void ur_visit_answer(struct ur_visit *visit, int status, const char *sentence)
{
	if (visit->x != NULL) {
		ur_visit_leave(visit, status, sentence);
	}
	ur_visit_end(visit);
}

void ur_visit_refuse(struct ur_visit *visit, int status, const char *format, ...)
{
	char text[480];
	va_list list;
	va_start(list, format);
	(void)vsnprintf(text, sizeof text, format, list);
	va_end(list);
	ur_visit_answer(visit, status, text);
}
