/*
 * transfer - all decisions about one resumable upload.
 *
 *     SEND   204            on to the next chunk, or to what becomes of it
 *            409            at the offset that it names
 *            460            the chunk again, a few times
 *            413            half the chunk, down to 1 MiB; then it is refused
 *            404 410        the gateway forgot it: anew, once
 *            423 408 429 5xx, no answer   rest, ask for the offset, go on
 *            other 4xx      another way
 */
#include "engine/net/transfer.h"

#include "engine/base/retry.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct ur_backoff rests = {.first_ms = 500, .most_ms = 30000};
static const struct ur_backoff polls = {.first_ms = 100, .most_ms = 5000};

#define BIT(state) (1u << (UR_TRANSFER_##state))
#define ENDING (BIT(DROP) | BIT(OVER))
#define STARTING (BIT(RELATED) | BIT(CREATE))

/** What may follow what; every state may end. */
static const unsigned follows[UR_TRANSFER_STATES] = {
	[UR_TRANSFER_NEW] = BIT(CLEAR) | STARTING | BIT(LOCATE) | BIT(OVER),
	[UR_TRANSFER_CLEAR] = STARTING | BIT(LOCATE) | BIT(OVER),
	[UR_TRANSFER_RELATED] = BIT(CREATE) | BIT(REST) | ENDING,
	[UR_TRANSFER_CREATE] = BIT(RECORD) | BIT(REST) | ENDING,
	[UR_TRANSFER_RECORD] = BIT(HASH) | ENDING,
	[UR_TRANSFER_LOCATE] = BIT(HASH) | BIT(ASK) | BIT(REST) | BIT(CLEAR) | STARTING | ENDING,
	[UR_TRANSFER_HASH] = BIT(SEND) | ENDING,
	[UR_TRANSFER_SEND] =
		BIT(HASH) | BIT(LOCATE) | BIT(ASK) | BIT(REST) | BIT(CLEAR) | STARTING | ENDING,
	[UR_TRANSFER_REST] = STARTING | BIT(LOCATE) | BIT(ASK) | ENDING,
	[UR_TRANSFER_ASK] =
		BIT(WAIT) | BIT(SEND) | BIT(REST) | BIT(CLEAR) | STARTING | BIT(LOCATE) | ENDING,
	[UR_TRANSFER_WAIT] = BIT(ASK) | ENDING,
	[UR_TRANSFER_DROP] = BIT(OVER),
};

static_assert(UR_TRANSFER_STATES <= 32, "a set of states is an unsigned");
static_assert(
	(UR_TRANSFER_CHUNK_MAX & (UR_TRANSFER_CHUNK_MAX - 1)) == 0, "halving ends at the least");

const char *ur_transfer_state_name(enum ur_transfer_state state)
{
	static const char *const names[UR_TRANSFER_STATES] = {
		[UR_TRANSFER_NEW] = "new",
		[UR_TRANSFER_CLEAR] = "clear",
		[UR_TRANSFER_RELATED] = "related",
		[UR_TRANSFER_CREATE] = "create",
		[UR_TRANSFER_RECORD] = "record",
		[UR_TRANSFER_LOCATE] = "locate",
		[UR_TRANSFER_HASH] = "hash",
		[UR_TRANSFER_SEND] = "send",
		[UR_TRANSFER_REST] = "rest",
		[UR_TRANSFER_ASK] = "ask",
		[UR_TRANSFER_WAIT] = "wait",
		[UR_TRANSFER_DROP] = "drop",
		[UR_TRANSFER_OVER] = "over",
	};
	assert(state < UR_TRANSFER_STATES);
	return names[state];
}

/* ---- the pace -------------------------------------------------------------------------------- */

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t at_least(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void ur_transfer_pace_init(struct ur_transfer_pace *pace, uint64_t chunk, uint64_t ceiling)
{
	*pace = (struct ur_transfer_pace){
		.ceiling = ceiling == 0 ? UR_TRANSFER_CHUNK_MAX
					: at_least(ceiling, UR_TRANSFER_CHUNK_MIN),
	};
	pace->chunk = at_most(at_least(chunk, UR_TRANSFER_CHUNK_MIN), pace->ceiling);
}

static void grow(struct ur_transfer_pace *pace, uint64_t sent, int64_t took_ms)
{
	if (sent >= pace->chunk && took_ms < UR_TRANSFER_FAST_MS) {
		const uint64_t most = at_most(pace->ceiling, UR_TRANSFER_CHUNK_MAX);
		pace->chunk = at_least(at_most(pace->chunk * 2, most), pace->chunk);
	}
}

/** False when a chunk of this size cannot be made smaller. */
static bool shrink(struct ur_transfer_pace *pace, uint64_t chunk)
{
	if (chunk <= UR_TRANSFER_CHUNK_MIN) {
		return false;
	}
	const uint64_t half = at_least(chunk / 2, UR_TRANSFER_CHUNK_MIN);
	pace->ceiling = at_most(pace->ceiling, half);
	pace->chunk = at_most(pace->chunk, half);
	pace->learned = true;
	return true;
}

/* ---- changes of state ------------------------------------------------------------------------ */

/** The one place where the state changes. */
static void enter(struct ur_transfer *t, enum ur_transfer_state next)
{
	assert((follows[t->state] & (1u << next)) != 0);
	t->state = next;
	t->transport->begin(t->transport, t, next);
}

static void say(struct ur_transfer *t, const char *words)
{
	if (words != NULL && words[0] != '\0') {
		(void)snprintf(t->why, sizeof t->why, "%s", words);
	}
}

static void end(struct ur_transfer *t, enum ur_transfer_end how)
{
	t->end = how;
	enter(t, UR_TRANSFER_OVER);
}

/** Ends so when the gateway has let go of what it holds. */
static void drop(struct ur_transfer *t, enum ur_transfer_end how)
{
	t->end = how;
	enter(t, t->has_address ? UR_TRANSFER_DROP : UR_TRANSFER_OVER);
}

/** After a failure that may pass: a pause, then `next`. */
static void rest(
	struct ur_transfer *t, const struct ur_transfer_outcome *out, enum ur_transfer_state next)
{
	say(t, out->result == 0 && !out->own && out->status < 300
			? "something before the gateway answered in its place"
			: out->words);
	t->status = out->result == 0 ? out->status : 0;
	if (++t->rests > UR_TRANSFER_RESTS_MAX) {
		end(t, UR_TRANSFER_AWAY);
		return;
	}
	const int64_t asked_ms = out->result == 0 ? out->retry_ms : -1;
	t->asked_ms = asked_ms;
	if (asked_ms > t->spec.answer_wait_ms) { // the next run comes sooner
		end(t, UR_TRANSFER_AWAY);
		return;
	}
	t->rest_ms = ur_retry_pause_ms(&rests, t->rests - 1, asked_ms, &t->spec.seed);
	t->after_rest = next;
	enter(t, UR_TRANSFER_REST);
}

static void create(struct ur_transfer *t)
{
	t->offset = 0;
	t->mismatches = 0;
	t->polls = 0;
	if (t->spec.there) {
		end(t, UR_TRANSFER_NEEDLESS);
		return;
	}
	enter(t, t->spec.related ? UR_TRANSFER_RELATED : UR_TRANSFER_CREATE);
}

/** The upload is forgotten or broken: another one, but not a third. */
static void renew(struct ur_transfer *t, bool exists, const char *words)
{
	say(t, words);
	if (t->renewed) {
		if (exists) {
			drop(t, UR_TRANSFER_FAILED);
		} else {
			end(t, UR_TRANSFER_FAILED);
		}
		return;
	}
	t->renewed = true;
	if (exists) {
		enter(t, UR_TRANSFER_CLEAR);
		return;
	}
	t->has_address = false;
	if (t->spec.there) {
		end(t, UR_TRANSFER_LOST);
	} else {
		create(t);
	}
}

/** `offset` is durable there: what comes next. */
static void go_on(struct ur_transfer *t, uint64_t offset)
{
	if (offset > t->offset) {
		t->rests = 0;
		t->mismatches = 0;
	}
	t->offset = offset;
	if (offset == t->spec.length) {
		enter(t, UR_TRANSFER_ASK);
		return;
	}
	t->chunk = at_most(t->pace->chunk, t->spec.length - offset);
	enter(t, UR_TRANSFER_HASH);
}

static bool may_pass(const struct ur_transfer_outcome *out)
{
	return out->result < 0 || ur_retry_may_pass(0, out->status);
}

/** A page that knows no such address says nothing of what the gateway holds there. */
static bool is_forgotten(const struct ur_transfer_outcome *out)
{
	return out->own && (out->status == 404 || out->status == 410);
}

/**
 * An answer that has no other meaning: it may pass, or this gateway is not for this file.  Once it holds
 * something, it alone can say so.
 */
static void stumble(
	struct ur_transfer *t, const struct ur_transfer_outcome *out, enum ur_transfer_state next)
{
	if (may_pass(out) || (t->has_address && !out->own)) {
		rest(t, out, next);
		return;
	}
	say(t, out->words);
	t->status = out->status;
	drop(t, UR_TRANSFER_UNUSABLE);
}

/* ---- each state's answer --------------------------------------------------------------------- */

static void cleared(struct ur_transfer *t)
{
	if (t->renewed) { // it was the upload itself that was broken
		t->has_address = false;
	}
	if (t->has_address) {
		enter(t, UR_TRANSFER_LOCATE);
	} else {
		create(t);
	}
}

static void created(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (out->result != 0 || out->status != 201) {
		stumble(t, out, UR_TRANSFER_CREATE);
		return;
	}
	t->rests = 0;
	if (out->early) {
		t->offset = t->spec.length;
		end(t, UR_TRANSFER_DUPLICATE);
		return;
	}
	t->has_address = true;
	enter(t, UR_TRANSFER_RECORD);
}

static void located(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (out->result == 0 && is_forgotten(out)) {
		renew(t, false, out->words);
	} else if (out->result != 0 || !out->own || (out->status != 200 && out->status != 204)) {
		stumble(t, out, UR_TRANSFER_LOCATE);
	} else if (!out->has_offset || out->offset > t->spec.length) {
		renew(t, true, "the gateway holds something else under this address");
	} else if (t->spec.there && out->offset < t->spec.length) {
		drop(t, UR_TRANSFER_NEEDLESS);
	} else {
		go_on(t, out->offset);
	}
}

/** Another offset than the one that was sent: no progress, so not for ever. */
static void moved(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	const bool useful = out->has_offset && out->offset <= t->spec.length;
	if (!useful || ++t->mismatches > UR_TRANSFER_MISMATCHES_MAX) {
		t->mismatches = 0;
		rest(t, out, UR_TRANSFER_LOCATE);
		return;
	}
	const unsigned mismatches = t->mismatches;
	go_on(t, out->offset);
	t->mismatches = mismatches;
}

static void mismatched(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	say(t, out->words);
	if (++t->mismatches > UR_TRANSFER_MISMATCHES_MAX) {
		renew(t, true, out->words);
		return;
	}
	enter(t, UR_TRANSFER_LOCATE);
}

static void sent(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (out->result == -ESTALE) {
		say(t, out->words);
		drop(t, UR_TRANSFER_CHANGED);
		return;
	}
	if (out->result != 0) {
		rest(t, out, UR_TRANSFER_LOCATE);
		return;
	}
	switch (out->status) {
	case 204:
	case 200:
		if (!out->has_offset || out->offset > t->offset + t->chunk ||
			(t->chunk > 0 && out->offset <= t->offset)) {
			rest(t, out, UR_TRANSFER_LOCATE);
			return;
		}
		grow(t->pace, t->chunk, out->took_ms);
		go_on(t, out->offset);
		return;
	case 409:
		moved(t, out);
		return;
	case 460:
		mismatched(t, out);
		return;
	case 413:
		if (shrink(t->pace, t->chunk)) {
			enter(t, UR_TRANSFER_LOCATE);
			return;
		}
		if (!out->own && t->offset > 0) {
			rest(t, out, UR_TRANSFER_LOCATE); // what is there stays there
			return;
		}
		say(t, out->words);
		t->status = 413;
		drop(t, UR_TRANSFER_REFUSED);
		return;
	default:
		if (is_forgotten(out)) {
			renew(t, false, out->words);
		} else {
			stumble(t, out, UR_TRANSFER_LOCATE);
		}
		return;
	}
}

static void wait_for_it(struct ur_transfer *t, const char *words)
{
	say(t, words);
	if (t->waited_ms >= t->spec.answer_wait_ms) {
		end(t, UR_TRANSFER_LATER);
		return;
	}
	t->rest_ms = ur_retry_step_ms(&polls, t->polls++);
	t->waited_ms += t->rest_ms;
	enter(t, UR_TRANSFER_WAIT);
}

/** Every byte is durable, but the request that brought the last one never ended: an empty one does. */
static void finish_empty(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (++t->polls > UR_TRANSFER_RESTS_MAX) {
		rest(t, out, UR_TRANSFER_LOCATE);
		return;
	}
	t->chunk = 0;
	enter(t, UR_TRANSFER_SEND);
}

static void told(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (out->result == 0 && is_forgotten(out)) {
		renew(t, false, out->words);
		return;
	}
	if (out->result != 0 || out->status != 200 || out->told == UR_TOLD_NOTHING) {
		/* Every byte is there: whoever does not answer now is asked in the next run, too. */
		if (t->waited_ms >= t->spec.answer_wait_ms) {
			end(t, UR_TRANSFER_LATER);
			return;
		}
		rest(t, out, UR_TRANSFER_ASK);
		t->waited_ms += t->rest_ms;
		return;
	}
	if (out->told != UR_TOLD_RECEIVING) { // which may be told again and again
		t->rests = 0;
	}
	switch (out->told) {
	case UR_TOLD_NOTHING:
		break;
	case UR_TOLD_RECEIVING:
		finish_empty(t, out);
		return;
	case UR_TOLD_COMPLETE:
		wait_for_it(t, out->words);
		return;
	case UR_TOLD_BROKEN:
		renew(t, true, out->words);
		return;
	case UR_TOLD_CREATED:
		say(t, out->words);
		end(t, UR_TRANSFER_CREATED);
		return;
	case UR_TOLD_DUPLICATE:
		say(t, out->words);
		end(t, UR_TRANSFER_DUPLICATE);
		return;
	case UR_TOLD_REFUSED:
		say(t, out->words);
		t->status = out->told_status;
		drop(t, UR_TRANSFER_REFUSED);
		return;
	}
	assert(!"nothing was told, and that was dealt with");
}

static void hashed(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (out->result == 0) {
		enter(t, UR_TRANSFER_SEND);
		return;
	}
	say(t, out->words);
	t->code = out->result;
	if (out->result == -ESTALE || out->result == -ENOENT || out->result == -ELOOP) {
		drop(t, UR_TRANSFER_CHANGED);
	} else {
		end(t, UR_TRANSFER_UNREAD);
	}
}

/** All decisions are here, in the order of the states; what is above does as told. */
void ur_transfer_step(struct ur_transfer *t, const struct ur_transfer_outcome *out)
{
	if (out->result == -ECANCELED && t->state != UR_TRANSFER_DROP) {
		end(t, UR_TRANSFER_STOPPED);
		return;
	}
	switch (t->state) {
	case UR_TRANSFER_CLEAR:
		cleared(t); // whatever the answer: what is left of it expires
		return;
	case UR_TRANSFER_RELATED:
		if (out->result == 0 && out->status == 201) {
			t->rests = 0;
			enter(t, UR_TRANSFER_CREATE);
		} else if (out->result == -ESTALE) {
			hashed(t, out);
		} else {
			stumble(t, out, UR_TRANSFER_RELATED);
		}
		return;
	case UR_TRANSFER_CREATE:
		created(t, out);
		return;
	case UR_TRANSFER_RECORD:
		if (out->result == 0) {
			go_on(t, 0);
		} else {
			end(t, UR_TRANSFER_STOPPED);
		}
		return;
	case UR_TRANSFER_LOCATE:
		located(t, out);
		return;
	case UR_TRANSFER_HASH:
		hashed(t, out);
		return;
	case UR_TRANSFER_SEND:
		sent(t, out);
		return;
	case UR_TRANSFER_REST:
		enter(t, t->after_rest);
		return;
	case UR_TRANSFER_ASK:
		told(t, out);
		return;
	case UR_TRANSFER_WAIT:
		enter(t, UR_TRANSFER_ASK);
		return;
	case UR_TRANSFER_DROP:
		enter(t, UR_TRANSFER_OVER);
		return;
	case UR_TRANSFER_NEW:
	case UR_TRANSFER_OVER:
	case UR_TRANSFER_STATES:
		break;
	}
	assert(!"an outcome arrived that nobody was waiting for");
}

void ur_transfer_start(struct ur_transfer *t, struct ur_transport *transport,
	struct ur_transfer_pace *pace, const struct ur_transfer_spec *spec)
{
	assert(spec->length > 0);
	*t = (struct ur_transfer){
		.transport = transport,
		.pace = pace,
		.spec = *spec,
		.has_address = spec->has_address,
		.asked_ms = -1,
	};
	if (spec->clear) {
		enter(t, UR_TRANSFER_CLEAR);
	} else if (spec->has_address) {
		enter(t, UR_TRANSFER_LOCATE);
	} else {
		create(t);
	}
}

/* ---- addresses ------------------------------------------------------------------------------- */

static size_t origin_size(const char *url)
{
	const char *at = strstr(url, "://");
	return at == NULL ? 0 : (size_t)(at + 3 - url) + strcspn(at + 3, "/?#");
}

static bool is_plain(const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f ||
			strchr("?#@\\\"<>", *at) != NULL) {
			return false;
		}
	}
	return strstr(text, "/../") == NULL && strstr(text, "/./") == NULL && text[0] != '.';
}

int ur_address_read(const char *location, const char *base, char ret[UR_ADDRESS_MAX])
{
	const size_t ours = origin_size(base);
	const char *path = location;
	assert(ours > 0 && base[strlen(base) - 1] == '/');
	if (location[0] == '\0' || !is_plain(location) || strlen(location) >= UR_ADDRESS_MAX / 2) {
		return -EBADMSG;
	}
	if (strstr(location, "://") != NULL) {
		const size_t theirs = origin_size(location);
		if (theirs != ours || strncasecmp(location, base, ours) != 0) {
			return -EXDEV;
		}
		path = location + theirs;
	} else if (strncmp(location, "//", 2) == 0) {
		return -EXDEV;
	} else if (location[0] != '/') {
		(void)snprintf(ret, UR_ADDRESS_MAX, "%s", location);
		return 0;
	}
	const size_t below = strlen(base + ours);
	const bool is_below = strncmp(path, base + ours, below) == 0;
	if (path[0] != '/' || (is_below && path[below] == '\0')) {
		return -EBADMSG;
	}
	(void)snprintf(ret, UR_ADDRESS_MAX, "%s", is_below ? path + below : path);
	return 0;
}

bool ur_address_write(
	const char *address, const char *base, const char *tail, char ret[UR_ADDRESS_MAX])
{
	const int size = address[0] == '/'
				 ? snprintf(ret, UR_ADDRESS_MAX, "%.*s%s%s", (int)origin_size(base),
					   base, address, tail)
				 : snprintf(ret, UR_ADDRESS_MAX, "%s%s%s", base, address, tail);
	return size > 0 && size < UR_ADDRESS_MAX;
}
