/* file - what a file becomes, and what it is by all that is known; nothing here moves it on. */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define STRANGE_SENDS_MAX 5 // files in a row that end at a proxy's page

static const struct ur_backoff between_runs = {.first_ms = UR_RETRY_FIRST_S * 1000,
	.most_ms = (UR_RETRY_FIRST_S * 1000) << UR_RETRY_DOUBLINGS};

/** Servers are mended, too: a timer asks again, and ever more seldom. */
static const struct ur_backoff for_good_between_runs = {.first_ms = UR_AGAIN_FIRST_S * 1000,
	.most_ms = (UR_AGAIN_FIRST_S * 1000) << UR_AGAIN_DOUBLINGS};

void ur_file_close(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *reason)
{
	assert(state < UR_STATES);
	assert(outcome != UR_OUTCOME_OPEN);
	assert(outcome < UR_OUTCOMES);
	file->state = state;
	file->outcome = outcome;
	file->reason = reason;
}

bool ur_file_is_open(const struct ur_file *file)
{
	assert(file->outcome < UR_OUTCOMES);
	return file->outcome == UR_OUTCOME_OPEN;
}

bool ur_file_is_doubtful(const struct ur_coordinator *c, struct ur_file *file)
{
	assert(c->run->options->suspect_wait_ms >= 0);
	const int64_t left_ns =
		c->run->options->suspect_wait_ms * UR_MS_NS - ur_age_ns(&file->doubt_since);
	if (!ur_age_is_begun(&file->doubt_since) || left_ns <= 0) {
		return false;
	}
	file->next_ns = ur_clock_wall_ns() + left_ns; // for people
	assert(left_ns <= c->run->options->suspect_wait_ms * UR_MS_NS);
	return true;
}

/** Named a second time, and taken away by the first one's end: nothing has its name any more. */
static bool is_gone(const struct ur_item *item, const struct ur_file *file)
{
	struct stat st;
	const int dir = ur_dir_take(item->dir);
	if (dir < 0) {
		return dir == -ENOENT;
	}
	const int r = ur_sys.fstatat(dir, file->name, &st, AT_SYMLINK_NOFOLLOW);
	ur_dir_give(item->dir, dir);
	return r == -ENOENT;
}

void ur_file_changed(const struct ur_item *item, struct ur_file *file, const char *why)
{
	assert(file->item == item);
	assert(file->state != UR_SETTLED);
	ur_file_close(
		file, UR_SEEN, is_gone(item, file) ? UR_OUTCOME_VANISHED : UR_OUTCOME_WAITING, why);
	file->remembered = false;
}

bool ur_file_is_to_ask(const struct ur_file *file)
{
	return ur_file_is_open(file) && !file->decided && file->class != UR_CLASS_SIDECAR &&
	       file->state != UR_WANTED && file->state != UR_SENDING;
}

bool ur_file_is_delivered(const struct ur_file *file)
{
	const bool counts = file->outcome == UR_OUTCOME_SENT ||
			    file->outcome == UR_OUTCOME_PRESENT ||
			    file->outcome == UR_OUTCOME_DUPLICATE;
	const bool state = file->state == UR_DELIVERED || file->state == UR_KNOWN ||
			   file->state == UR_DUPLICATE;
	return counts && state && file->asset[0] != '\0';
}

bool ur_file_is_ours(const struct ur_file *file)
{
	return file->now_sent || file->created;
}

bool ur_file_asks_again(const struct ur_file *file)
{
	return file->class != UR_CLASS_SIDECAR && !ur_file_is_ours(file);
}

const struct ur_record *ur_file_row_alike(const struct ur_file *file)
{
	const struct ur_record *row = file->row;
	return row != NULL && ur_identity_alike(&row->identity, &file->identity) ? row : NULL;
}

bool ur_file_was_told_of(const struct ur_coordinator *c, const struct ur_file *file)
{
	return c->run->options->respect_next &&
	       ur_trouble_was_known(&c->run->troubles, ur_file_row_alike(file));
}

/** Of media.  What is only in doubt waits for its answer; that it was not given is one. */
bool ur_file_is_in_trouble(const struct ur_file *file)
{
	assert(!ur_file_is_open(file));
	if (file->outcome == UR_OUTCOME_VANISHED || file->state == UR_SETTLED) {
		return false;
	}
	const bool unread = file->error != 0 && file->class != UR_CLASS_NONE &&
			    file->outcome == UR_OUTCOME_REFUSED;
	return file->trouble || file->outcome == UR_OUTCOME_FAILED || unread;
}

int64_t ur_file_settle_after_ns(const struct ur_coordinator *c)
{
	assert(c->run->options->settle_after_ms >= 0);
	return c->run->options->settle_after_ms * UR_MS_NS;
}

bool ur_file_is_young(const struct ur_coordinator *c, const struct ur_file *file)
{
	return ur_age_ns(&file->there_since) < ur_file_settle_after_ns(c);
}

bool ur_file_goes_away(const struct ur_coordinator *c, const struct ur_file *file)
{
	return c->run->options->after != UR_AFTER_KEEP && !c->run->options->plan &&
	       !file->through_link && ur_file_is_delivered(file);
}

void ur_file_fail(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *why)
{
	assert(outcome == UR_OUTCOME_REFUSED || outcome == UR_OUTCOME_FAILED);
	ur_file_close(file, state, outcome, why);
	file->must_confirm = false;
}

const char *ur_file_with_id(struct ur_item *item, const char *format, const struct ur_file *file)
{
	struct ur_text text = {0};
	assert(file->asset[0] != '\0');
	ur_text_addf(&text, "%s (asset %s)", format, file->asset);
	const char *copy = ur_arena_string(&item->arena, ur_text_get(&text));
	ur_text_done(&text);
	return copy == NULL ? format : copy;
}

void ur_file_keep(
	struct ur_coordinator *c, struct ur_item *item, struct ur_file *file, const char *why)
{
	assert(file->item == item);
	assert(!ur_file_is_open(file));
	file->not_now = true;
	if (file->must_confirm) {
		file->trouble = true; // its time has come, and nobody could say that it is there
		ur_file_fail(
			file, UR_SUSPECT, UR_OUTCOME_REFUSED, ur_file_with_id(item, why, file));
		return;
	}
	file->reason = ur_file_with_id(item, why, file);
	file->warn = true;
	file->trouble = true;
	atomic_fetch_add(&c->run->kept, 1);
}

void ur_file_keep_quietly(struct ur_file *file, const char *why)
{
	assert(!ur_file_is_open(file));
	assert(!file->must_confirm); // a suspect is no quiet matter
	file->not_now = true;
	file->reason = why;
}

int64_t ur_file_may_come_ns(const struct ur_coordinator *c, const struct ur_file *file)
{
	int64_t next_ns = 0;
	const uint64_t limit =
		ur_schedule_rate(&c->run->options->http.rate, ur_clock_wall_ns(), &next_ns);
	const unsigned sharers =
		c->run->options->concurrency > 0 ? c->run->options->concurrency : 1;
	return UR_MS_NS * ur_put_arrival_ms(c->run->options->answer_wait_ms,
				  (uint64_t)file->identity.size,
				  limit > 0 ? limit / sharers + 1 : 0);
}

void ur_file_take_wire(const struct ur_coordinator *c, struct ur_file *file, int64_t may_come_ns)
{
	file->wire = ur_wire_hold(c->run->wire, file->wire, file->sha1, may_come_ns);
}

void ur_file_note_gone(const struct ur_coordinator *c, struct ur_file *file, int64_t may_come_ns)
{
	file->wire = ur_wire_note(c->run->wire, file->wire, file->sha1, may_come_ns);
}

int64_t ur_file_left_ns(const struct ur_coordinator *c, struct ur_file *file,
	const struct ur_age *since, const struct ur_age *first)
{
	const int64_t may_come_ns = ur_file_may_come_ns(c, file);
	int64_t left_ns = ur_age_is_begun(since) ? may_come_ns - ur_age_ns(since) : 0;
	assert(file->hashed);
	if (c->run->options->plan) {
		return 0; // which sends nothing, and need not wait
	}
	/* Else it is left_ns, by its age. */
	(void)ur_wire_left(c->run->wire, file->sha1, first, may_come_ns, &left_ns);
	if (left_ns > 0 && file->wire == UR_WIRE_NONE) {
		/* From here on it is known like any other: a run that is killed, too, tells the next. */
		ur_file_note_gone(c, file, left_ns);
	}
	return left_ns > 0 ? left_ns : 0;
}

bool ur_file_close_starved(struct ur_coordinator *c, struct ur_file *file, int code)
{
	if (code != -EMFILE && code != -ENFILE && code != -ENOMEM) {
		return false;
	}
	if (atomic_fetch_add(&c->run->starved, 1) == 0) {
		ur_run_warn(c->run,
			"%s: files wait for the next run; let it have more (LimitNOFILE= and MemoryMax= "
			"of a systemd unit, `ulimit -n`), or less to do at once (--concurrency)",
			code == -ENOMEM ? "there is not enough memory"
					: "this process may not have more files open");
	}
	file->trouble = true;
	ur_file_close(file, UR_SEEN, UR_OUTCOME_WAITING,
		"too many files were open, or too little memory was left: looked at again in the next "
		"run");
	return true;
}

void ur_file_came_to_nothing(struct ur_file *file)
{
	if (!file->put.doubted) {
		file->sending_ns = 0;
		file->doubt_since = (struct ur_age){0};
	}
}

void ur_file_pause(struct ur_file *file, int tries)
{
	assert(tries >= 0);
	const int64_t wait_ms = ur_retry_step_ms(
		file->for_good ? &for_good_between_runs : &between_runs, (unsigned)tries);
	file->tries = tries;
	file->next_ns = ur_clock_wall_ns() + wait_ms * UR_MS_NS;
}

void ur_file_close_failed(struct ur_file *file, bool for_good)
{
	ur_file_close(file, UR_FAILED, UR_OUTCOME_FAILED,
		file->send_why == NULL ? "it could not be sent" : file->send_why);
	file->for_good = for_good;
	/* A refusal is no try that could be repeated, but ends a run; the pauses grow from run to run. */
	const int tries = file->tries > 0 ? file->tries : 1;
	ur_file_pause(file, tries + file->failed_before);
}

/** So many files that end at a stranger are the way's fault, and the next ones would end there, too. */
static void met_stranger(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	struct ur_err err = {0};
	const char *why = file->send_why == NULL ? "" : file->send_why;
	assert(file->put.sent == UR_PUT_STRANGER);
	file->reason = ur_arena_format(&item->arena,
		"what answered (HTTP %d) was not Immich but something before it, a proxy or a login "
		"page: %s; tried again in the next run",
		file->send_status, why);
	if (++c->strange_sends < STRANGE_SENDS_MAX) {
		return;
	}
	(void)ur_err_say(&err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"something before the server answers uploads in its place (HTTP %d): %s; look at the "
		"proxy's rules for POST /api/assets, then run again, nothing is lost",
		file->send_status, why);
	ur_run_fail(c->run, -EHOSTUNREACH, &err);
}

void ur_file_give_up(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->put.state == UR_PUT_OVER);
	assert(ur_file_is_open(file));
	ur_file_close_failed(file, false);
	if (file->put.sent == UR_PUT_STRANGER) {
		met_stranger(c, item, file);
	}
}
