/* put - one table, read by question; then one step, and one place where the state changes. */
#include "engine/immich/put.h"

#include "engine/base/retry.h"

#include <assert.h>

#define LONGEST_WAY_S (UINT64_C(7) * 24 * 3600)
#define SLOW_BYTES_S (256u << 10) // an upload is hardly slower, but for a limit of ours

/* ---- what an answer means -------------------------------------------------------------------- */

static bool is_success(int status)
{
	return status >= 200 && status < 300;
}

bool ur_put_may_have_arrived(const struct ur_put_answer *a)
{
	assert(a->asked == UR_PUT_SEND);
	return a->body_gone || (a->result == 0 && a->status >= 500);
}

bool ur_put_may_come(const struct ur_put_answer *a)
{
	assert(a->asked == UR_PUT_SEND);
	const bool knows = a->own ? a->status != 504 : a->status < 504;
	return a->body_gone && (a->result < 0 || !knows);
}

/** That it was taken is no loss to believe, whoever says so: the proof is asked for in any case. */
static enum ur_put_verdict judge_taken(const struct ur_put_answer *a)
{
	if (!a->readable || (a->status != 200 && a->status != 201)) {
		return a->own ? UR_PUT_LATER : UR_PUT_STRANGER;
	}
	const bool certain = a->own && a->status == 201 && !a->duplicate;
	return certain ? UR_PUT_CREATED : UR_PUT_CLAIMED;
}

static enum ur_put_verdict judge_send(const struct ur_put_answer *a)
{
	if (a->status == 413) {
		return UR_PUT_TOO_LARGE; // a property of the way, and of nobody's word
	}
	if (!a->own) {
		return UR_PUT_STRANGER;
	}
	if (a->status == 400) {
		return a->quota ? UR_PUT_QUOTA : UR_PUT_REFUSED;
	}
	return UR_PUT_REJECTED;
}

static enum ur_put_verdict judge_check(const struct ur_put_answer *a)
{
	if (a->status == 200 && a->readable) {
		return !a->there ? UR_PUT_ABSENT : a->trashed ? UR_PUT_TRASHED : UR_PUT_THERE;
	}
	return is_success(a->status) || !a->own ? UR_PUT_STRANGER : UR_PUT_REJECTED;
}

static enum ur_put_verdict judge_proof(enum ur_proof proof)
{
	switch (proof) {
	case UR_PROOF_HOLDS:
		return UR_PUT_HOLDS;
	case UR_PROOF_OTHER_BYTES:
		return UR_PUT_OTHER_BYTES;
	case UR_PROOF_OTHER_OWNER:
		return UR_PUT_OTHER_OWNER;
	case UR_PROOF_TRASHED:
		return UR_PUT_TRASHED;
	case UR_PROOF_EXTERNAL:
		return UR_PUT_EXTERNAL;
	}
	assert(!"a proof that nobody makes");
	return UR_PUT_OTHER_BYTES;
}

static enum ur_put_verdict judge_asset(const struct ur_put_answer *a)
{
	if (a->status == 200) {
		return a->readable ? judge_proof(a->proof) : UR_PUT_STRANGER;
	}
	if (!a->own) {
		return UR_PUT_STRANGER;
	}
	return a->status == 400 || a->status == 404 ? UR_PUT_GONE : UR_PUT_LATER;
}

/** A 200 with the whole body where a part was asked for: what counts is what came. */
static enum ur_put_verdict judge_whole(const struct ur_put_answer *a)
{
	const bool all = a->size >= 0 && a->got == (uint64_t)a->size;
	if (!a->other && a->got > 0 && (a->size < 0 ? a->own : all)) {
		return UR_PUT_GIVEN;
	}
	if (!a->own) {
		return UR_PUT_STRANGER;
	}
	return a->other && (a->size < 0 || all) ? UR_PUT_OTHER_BYTES : UR_PUT_MISSED;
}

static enum ur_put_verdict judge_bytes(const struct ur_put_answer *a)
{
	if (a->status == 200) {
		return judge_whole(a);
	}
	if (a->status == 416 && a->total >= 0 && a->total != a->size) {
		return UR_PUT_MISSED; // whoever says so says how many bytes there are
	}
	if (a->status == 206 && !a->whole && a->got == 1 && a->total > 0 &&
		(a->size < 0 ? a->own : a->total == a->size)) {
		return UR_PUT_GIVEN;
	}
	if (!a->own) {
		return UR_PUT_STRANGER;
	}
	const bool nothing = a->status == 400 || a->status == 404 || a->status == 416;
	return nothing || is_success(a->status) ? UR_PUT_MISSED : UR_PUT_LATER;
}

static bool is_about_bytes(enum ur_put_state asked)
{
	return asked == UR_PUT_BYTES || asked == UR_PUT_ASIDE;
}

static bool is_proving(enum ur_put_state asked)
{
	return asked == UR_PUT_ASSET || is_about_bytes(asked);
}

/** What all questions have in common; UR_PUT_VERDICTS when it depends on what was asked. */
static enum ur_put_verdict judge_common(const struct ur_put_answer *a)
{
	if (a->result < 0) {
		const bool ours =
			a->asked == UR_PUT_SEND && !a->body_gone && !ur_retry_is_away(a->result, 0);
		return ours ? UR_PUT_UNREAD : UR_PUT_LATER;
	}
	switch (ur_retry_of(0, a->status)) {
	case UR_PASSES_FAILED:
		if (!a->own) {
			return UR_PUT_STRANGER;
		}
		return is_about_bytes(a->asked) && a->status == 500 ? UR_PUT_MISSED : UR_PUT_LATER;
	case UR_PASSES_BUSY:
	case UR_PASSES_AWAY:
		return UR_PUT_LATER;
	case UR_PASSES_NOT:
		break;
	}
	if (a->status < 200 || (a->status >= 300 && a->status < 400)) {
		return UR_PUT_STRANGER;
	}
	if (a->status == 401 || a->status == 403) {
		return !a->own                                    ? UR_PUT_STRANGER
		       : a->status == 403 && is_proving(a->asked) ? UR_PUT_RIGHTS
								  : UR_PUT_KEY;
	}
	return UR_PUT_VERDICTS;
}

enum ur_put_verdict ur_put_judge(const struct ur_put_answer *a)
{
	const enum ur_put_verdict common = judge_common(a);
	if (common != UR_PUT_VERDICTS) {
		return common;
	}
	switch (a->asked) {
	case UR_PUT_CHECK:
	case UR_PUT_LOST:
		return judge_check(a);
	case UR_PUT_SEND:
		return is_success(a->status) ? judge_taken(a) : judge_send(a);
	case UR_PUT_ASSET:
		return judge_asset(a);
	case UR_PUT_BYTES:
	case UR_PUT_ASIDE:
		return judge_bytes(a);
	case UR_PUT_NEW:
	case UR_PUT_PROVED:
	case UR_PUT_OVER:
	case UR_PUT_STATES:
		break;
	}
	assert(!"an answer to a question that nobody asks");
	return UR_PUT_LATER;
}

/* ---- who delivers ---------------------------------------------------------------------------- */

const struct ur_put_rules ur_put_importer = {
	.name = "importer",
	.unsent = UR_PUT_SEND,
	.claimed = UR_PUT_OVER,
	.gone = UR_PUT_OVER,
	.full = UR_PUT_OVER,
	.rejected = UR_PUT_OVER,
	.unread = UR_PUT_OVER,
	.unshown = UR_PUT_BYTES,
	.tries = {[UR_PUT_SEND] = 5, [UR_PUT_ASSET] = 5, [UR_PUT_BYTES] = 5, [UR_PUT_ASIDE] = 1},
	.strangers = 2,
	.misses = 2,
	.takes_unmarked_201 = true, // what may be removed for it is proved in any case
};

const struct ur_put_rules ur_put_gateway = {
	.name = "gateway",
	.unsent = UR_PUT_CHECK,
	.claimed = UR_PUT_ASSET,
	.gone = UR_PUT_CHECK,
	.full = UR_PUT_CHECK,
	.rejected = UR_PUT_CHECK,
	.unread = UR_PUT_CHECK,
	.unshown = UR_PUT_ASSET,
};

/* ---- the machine ----------------------------------------------------------------------------- */

#define TO(state) (1u << UR_PUT_##state)

/** What may follow on what. */
static const struct {
	const char *name;
	unsigned next;
} phases[] = {
	[UR_PUT_NEW] = {"new", TO(CHECK) | TO(LOST) | TO(ASSET)},
	[UR_PUT_CHECK] = {"check", TO(CHECK) | TO(SEND) | TO(ASSET) | TO(OVER)},
	[UR_PUT_SEND] = {"send", TO(CHECK) | TO(SEND) | TO(LOST) | TO(ASSET) | TO(OVER)},
	[UR_PUT_LOST] = {"lost", TO(LOST) | TO(SEND) | TO(ASSET) | TO(OVER)},
	[UR_PUT_ASSET] = {"asset", TO(ASSET) | TO(BYTES) | TO(CHECK) | TO(OVER)},
	[UR_PUT_BYTES] = {"bytes", TO(BYTES) | TO(ASSET) | TO(PROVED) | TO(OVER)},
	[UR_PUT_PROVED] = {"proved", TO(ASIDE)},
	[UR_PUT_ASIDE] = {"aside", TO(ASIDE) | TO(PROVED) | TO(OVER)},
	[UR_PUT_OVER] = {"over", 0},
};
static_assert(sizeof phases / sizeof *phases == UR_PUT_STATES);

const char *ur_put_state_name(enum ur_put_state state)
{
	assert(state < UR_PUT_STATES);
	return phases[state].name;
}

/** The one place where the state changes. */
static void enter(struct ur_put *put, enum ur_put_state next)
{
	assert(phases[put->state].next & (1u << next));
	if (next != put->state) {
		put->failures = 0;
	}
	put->state = next;
}

void ur_put_start(
	struct ur_put *put, const struct ur_put_rules *rules, enum ur_put_state from, bool doubted)
{
	*put = (struct ur_put){.rules = rules, .state = UR_PUT_NEW};
	enter(put, from);
	put->doubted = doubted || from == UR_PUT_LOST;
}

/** The same question later; or it is over, for this time. */
static void again(struct ur_put *put, unsigned tries_max)
{
	put->failures++;
	if (tries_max != 0 && put->failures > tries_max) {
		enter(put, UR_PUT_OVER);
	} else if (put->state == UR_PUT_BYTES) {
		enter(put, put->rules->unshown);
	} else {
		enter(put, put->state);
	}
}

static bool is_last_send(const struct ur_put *put)
{
	const unsigned tries_max = put->rules->tries[UR_PUT_SEND];
	return tries_max != 0 && put->sends >= tries_max;
}

/**
 * The body, or nothing of it, has arrived: which of both is asked for, also after the last try, for as
 * long as it may come nobody may send these bytes; or it is sent again.
 */
static void unsettled(struct ur_put *put, const struct ur_put_answer *a)
{
	const bool perhaps = ur_put_may_have_arrived(a);
	put->doubted = put->doubted || perhaps;
	put->sends++;
	enter(put, perhaps ? UR_PUT_LOST : is_last_send(put) ? UR_PUT_OVER : put->rules->unsent);
}

/** An answer that says nothing about the file. */
static void unheard(struct ur_put *put, const struct ur_put_answer *a)
{
	const struct ur_put_rules *rules = put->rules;
	if (put->state == UR_PUT_SEND) {
		unsettled(put, a);
		return;
	}
	const bool stranger = put->verdict == UR_PUT_STRANGER;
	const unsigned usual = rules->tries[put->state];
	const bool fewer = stranger && rules->strangers != 0 && usual > rules->strangers;
	again(put, fewer ? rules->strangers : usual);
}

/** Immich says that it is not there; as long as it may still arrive that is no word about it. */
static void absent(struct ur_put *put, const struct ur_put_answer *a)
{
	if (put->state == UR_PUT_LOST && a->may_come) {
		again(put, 0);
		return;
	}
	enter(put, is_last_send(put) ? UR_PUT_OVER : UR_PUT_SEND);
}

static void missed(struct ur_put *put)
{
	const struct ur_put_rules *rules = put->rules;
	const unsigned usual = rules->tries[put->state];
	again(put, usual != 0 && usual < rules->misses ? usual : rules->misses);
}

/** As a rule of the rules: where it goes on from the beginning, what is sent again is in doubt. */
static void by_rule(struct ur_put *put, const struct ur_put_answer *a, enum ur_put_state next)
{
	const bool sent = put->state == UR_PUT_SEND;
	const bool perhaps = sent && ur_put_may_have_arrived(a) && next != UR_PUT_OVER;
	put->doubted = put->doubted || perhaps;
	if (put->state == UR_PUT_LOST && next == UR_PUT_CHECK) {
		next = UR_PUT_LOST;
	}
	enter(put, perhaps ? UR_PUT_LOST : next);
}

static void gone(struct ur_put *put)
{
	put->doubted = true; // gone, or never quite there
	put->ours = false;
	enter(put, put->rules->gone);
}

/** As the table says, but for a mark that was lost on the way, where the rules do without. */
static enum ur_put_verdict judge_by(const struct ur_put_rules *rules, const struct ur_put_answer *a)
{
	const enum ur_put_verdict verdict = ur_put_judge(a);
	const bool unmarked =
		verdict == UR_PUT_CLAIMED && !a->own && a->status == 201 && !a->duplicate;
	return unmarked && rules->takes_unmarked_201 ? UR_PUT_CREATED : verdict;
}

enum ur_put_state ur_put_step(struct ur_put *put, const struct ur_put_answer *a)
{
	const struct ur_put_rules *rules = put->rules;
	assert(a->asked == put->state);
	put->verdict = judge_by(rules, a);
	put->sent = put->state == UR_PUT_SEND ? put->verdict : put->sent;
	switch (put->verdict) {
	case UR_PUT_ABSENT:
		absent(put, a);
		break;
	case UR_PUT_THERE:
		enter(put, UR_PUT_ASSET);
		break;
	case UR_PUT_CREATED:
		put->ours = true;
		put->doubted = false;
		enter(put, UR_PUT_ASSET);
		break;
	case UR_PUT_CLAIMED:
		put->doubted = true;
		enter(put, rules->claimed);
		break;
	case UR_PUT_HOLDS:
		enter(put, UR_PUT_BYTES);
		break;
	case UR_PUT_GIVEN:
		put->doubted = false;
		enter(put, UR_PUT_PROVED);
		break;
	case UR_PUT_MISSED:
		missed(put);
		break;
	case UR_PUT_LATER:
	case UR_PUT_STRANGER:
		unheard(put, a);
		break;
	case UR_PUT_QUOTA:
		enter(put, rules->full);
		break;
	case UR_PUT_TOO_LARGE:
	case UR_PUT_REJECTED:
		by_rule(put, a, rules->rejected);
		break;
	case UR_PUT_UNREAD:
		by_rule(put, a, rules->unread);
		break;
	case UR_PUT_GONE:
		gone(put);
		break;
	case UR_PUT_KEY:
	case UR_PUT_RIGHTS:
	case UR_PUT_REFUSED:
	case UR_PUT_TRASHED:
	case UR_PUT_OTHER_BYTES:
	case UR_PUT_OTHER_OWNER:
	case UR_PUT_EXTERNAL:
		enter(put, UR_PUT_OVER);
		break;
	case UR_PUT_NOTHING:
	case UR_PUT_VERDICTS:
		assert(!"an answer without a meaning");
	}
	return put->state;
}

void ur_put_go_on(struct ur_put *put)
{
	assert(put->state == UR_PUT_CHECK || put->state == UR_PUT_LOST);
	enter(put, UR_PUT_SEND);
}

void ur_put_aside(struct ur_put *put)
{
	assert(put->state == UR_PUT_PROVED);
	enter(put, UR_PUT_ASIDE);
}

/* ---- a lack of bytes ------------------------------------------------------------------------- */

enum ur_lack ur_put_lack(unsigned in_a_row, bool gave, int64_t apart_s)
{
	if (in_a_row >= UR_LIBRARY_FAILURES) {
		return UR_LACK_LIBRARY;
	}
	if (!gave) {
		return UR_LACK_OPEN;
	}
	return apart_s >= UR_MISSED_APART_S ? UR_LACK_BROKEN : UR_LACK_SUSPECT;
}

int64_t ur_put_wait_ms(
	bool doubted, int64_t settle_after_ms, int64_t suspect_wait_ms, int64_t passed_ms)
{
	const int64_t doubt_ms = doubted ? suspect_wait_ms : 0;
	const int64_t wait_ms = doubt_ms > settle_after_ms ? doubt_ms : settle_after_ms;
	return passed_ms <= 0 ? wait_ms : passed_ms >= wait_ms ? 0 : wait_ms - passed_ms;
}

int64_t ur_put_arrival_ms(int64_t answer_wait_ms, uint64_t size, uint64_t limit_bytes_s)
{
	const bool limited = limit_bytes_s > 0 && limit_bytes_s < SLOW_BYTES_S;
	const uint64_t rate = limited ? limit_bytes_s : SLOW_BYTES_S;
	const uint64_t way_s = size / rate;
	return answer_wait_ms + (int64_t)(way_s < LONGEST_WAY_S ? way_s : LONGEST_WAY_S) * 1000;
}
