/*
 * judge - from what scan and probe found to what a file is to us, before the server is asked.
 *
 * A file is closed (it has an outcome) or a candidate.  Then the members of the group find each
 * other: sidecars their pictures, live movies their stills.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/media/pair.h"
#include "engine/source/hindrance.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char *format_errno(struct ur_item *item, const char *what, int code)
{
	char words[UR_HINDRANCE_TEXT];
	assert(code < 0);
	const char *text =
		ur_arena_format(&item->arena, "%s: %s", what, ur_hindrance_of_reading(code, words));
	return text == NULL ? what : text;
}

/** The row speaks about these very bytes. */
static bool row_matches(const struct ur_file *file)
{
	return file->row != NULL && file->row->hashed && file->hashed &&
	       memcmp(file->row->sha1, file->sha1, sizeof file->sha1) == 0;
}

/** A disk that cannot read it is not worn out by a timer: the pauses grow. */
static void fail_unread(struct ur_item *item, struct ur_file *file)
{
	const struct ur_record *row = ur_file_row_alike(file);
	file->tries = 1;
	file->failed_before = row != NULL && row->state == UR_FAILED ? row->tries : 0;
	file->send_why = format_errno(item, "it could not be read", file->error);
	ur_file_close_failed(file, false);
}

static void close_unread(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->error < 0);
	if (ur_file_close_starved(c, file, file->error)) {
		return;
	}
	switch (-file->error) {
	case ENOENT:
	case ENOTDIR:
		ur_file_close(file, UR_SEEN, UR_OUTCOME_VANISHED, "vanished while we looked");
		return;
	case ESTALE:
		ur_file_changed(item, file,
			"it changed while it was being read: looked at again in the next run");
		return;
	case ELOOP:
	case EINVAL:
	case ENXIO:
		ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED, "no regular file any more");
		return;
	case EACCES:
	case EPERM:
		ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED,
			format_errno(item, "it cannot be read", file->error));
		return;
	default:
		fail_unread(item, file);
		return;
	}
}

/** What was learned about these bytes in earlier runs, whatever becomes of them in this one. */
static void carry_over(struct ur_file *file)
{
	assert(file->row != NULL);
	file->accepted = file->row->accepted;
	file->told = file->row->told;
	file->owes_link = file->row->owes_link;
	file->ending = file->fresh ? file->ending : file->row->ending;
	file->there_since = ur_age_keep(&file->row->there);
	file->doubt_since = ur_age_keep(&file->row->doubt);
}

/** It was not looked at, and is what it was: all that is durable about it stays as it is. */
static void keep_row(struct ur_file *file)
{
	const struct ur_record *row = file->row;
	file->hashed = row->hashed;
	file->remembered = row->remembered;
	file->edges = row->edges;
	memcpy(file->sha1, row->sha1, sizeof file->sha1);
	memcpy(file->xxh, row->xxh, sizeof file->xxh);
	memcpy(file->asset, row->asset, sizeof file->asset);
	file->created = row->created;
	file->travelled = row->travelled;
	file->for_good = row->for_good;
	file->trouble = row->trouble;
	file->next_ns = row->next_ns;
	file->tries = row->tries;
	carry_over(file);
}

static void close_young(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const struct ur_record *row = file->row;
	assert(file->error == 0);
	/* What is durable about this very file stays as it is; only the clock goes on. */
	const bool keep = row != NULL &&
			  ur_fs_may_be_same(&item->dir->fs, &row->identity, &file->identity) &&
			  (row->hashed || row->state >= UR_KNOWN);
	const char *why = file->writers == UR_WRITERS_SOME
				  ? "somebody has it open for writing"
				  : ur_arena_format(&item->arena, "not yet quiet for %lld s",
					    (long long)c->run->options->min_age_ms / 1000);
	ur_file_close(file, keep ? row->state : UR_SEEN, UR_OUTCOME_WAITING, why);
	if (keep) {
		keep_row(file);
	}
}

static bool group_waits(const struct ur_coordinator *c, const struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		if (ur_run_holds_up(c->run, &item->files[i])) {
			return true;
		}
	}
	return false;
}

/** A doubt is as old as the boot clock says: no step of the wall clock ends it. */
static void recall_suspect(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	char when[UR_CLOCK_TEXT];
	if (!ur_age_is_begun(&file->doubt_since)) {
		file->doubt_since = ur_age_begin(); // from a ledger that kept no ages
	}
	if (!ur_file_is_doubtful(c, file)) {
		return;
	}
	ur_clock_local(file->next_ns, when);
	file->trouble = file->row->trouble; // until it is asked again
	ur_file_close(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
		ur_arena_format(&item->arena,
			"the server claims it after an upload that failed, or did not give its bytes; "
			"asked again in a run after %s",
			when));
}

/** Delivered by all that its state says, and in doubt all the same. */
static bool is_doubted(const struct ur_file *file)
{
	const enum ur_state state = file->row->state;
	return ur_age_is_begun(&file->doubt_since) &&
	       (state == UR_KNOWN || state == UR_DUPLICATE || state == UR_DELIVERED ||
		       state == UR_CONFIRMED);
}

/**
 * The very file that our own 201 was about, and not another one with its bytes under its name: that
 * may be the server's own.
 */
static bool is_same_file(const struct ur_item *item, const struct ur_file *file)
{
	assert(file->row != NULL);
	/* Numbers of inodes are handed out again; one with the old times of change is not. */
	return item->dir->fs.trusted && ur_identity_same(&file->row->identity, &file->identity);
}

/** What an earlier run was sending may still be being stored. */
static void begin_lost(struct ur_coordinator *c, const struct ur_item *item, struct ur_file *file)
{
	assert(ur_age_is_begun(&file->doubt_since));
	assert(file->put.state == UR_PUT_NEW);
	const struct ur_age nobody_knows = {0};
	int64_t left_ns = ur_file_left_ns(
		c, file, &file->doubt_since, file->row->noted ? &file->doubt_since : &nobody_knows);
	if (ur_large_is(c, item, file)) { // whose way to the server is the gateway's own
		const int64_t most_ns =
			c->run->options->answer_wait_ms * UR_MS_NS - ur_age_ns(&file->doubt_since);
		left_ns = left_ns < most_ns ? left_ns : most_ns;
	}
	file->lost_until_ns = ur_clock_steady_ns() + left_ns;
	ur_put_start(&file->put, &c->rules, left_ns > 0 ? UR_PUT_LOST : UR_PUT_CHECK, true);
}

/** A timer names it once, and counts it while it stays so, for the same reason. */
static void name_once(const struct ur_coordinator *c, struct ur_file *file)
{
	const struct ur_record *row = ur_file_row_alike(file);
	assert(file->outcome == UR_OUTCOME_REFUSED);
	file->tell = c->run->options->respect_next;
	file->told = row != NULL && row->told && row->state == UR_REFUSED &&
		     strcmp(row->reason, file->reason) == 0;
}

/** What the ledger remembers of these bytes at this place. */
static void recall(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	const struct ur_record *row = file->row;
	const bool keep_mode = c->run->options->after == UR_AFTER_KEEP;
	assert(ur_file_is_open(file));
	assert(!file->decided);
	memcpy(file->asset, row->asset, sizeof file->asset);
	file->created = row->created && is_same_file(item, file);
	file->travelled = row->travelled;
	file->tries = row->tries;
	file->failed_before =
		row->state == UR_FAILED || row->state == UR_BROKEN || row->state == UR_SUSPECT
			? row->tries
			: 0;
	if (is_doubted(file)) {
		recall_suspect(c, item, file);
		return;
	}
	switch (row->state) {
	case UR_KNOWN:
	case UR_DUPLICATE:
	case UR_DELIVERED:
	case UR_CONFIRMED:
		if (row->asset[0] == '\0') {
			return; // its twin's asset was never known: it is asked for itself
		}
		file->decided = true;
		file->there = !file->created;
		if (!ur_age_is_begun(&file->there_since)) {
			file->there_since = ur_age_begin(); // from a ledger that kept no ages
		}
		file->state = row->state == UR_CONFIRMED ? UR_DELIVERED : row->state;
		if (keep_mode || file->class == UR_CLASS_SIDECAR) {
			ur_file_close(file, UR_KNOWN, UR_OUTCOME_PRESENT,
				"delivered before, unchanged since");
			file->state = row->state == UR_CONFIRMED ? UR_DELIVERED : row->state;
		}
		return;
	case UR_REFUSED:
		/* A sidecar that was refused for want of its picture gets another chance. */
		if (file->class != UR_CLASS_SIDECAR || row->for_good) {
			ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED, row->reason);
			file->for_good = row->for_good;
			name_once(c, file);
		}
		return;
	case UR_FAILED:
	case UR_BROKEN:
		file->tries = 0; // this run's
		if (file->later || (row->for_good && !c->run->options->respect_next)) {
			ur_file_close(file, row->state, UR_OUTCOME_FAILED, row->reason);
			file->for_good = row->for_good;
			file->tries = row->tries;
			file->next_ns = row->next_ns;
		}
		return;
	case UR_SUSPECT:
		file->tries = 0;
		recall_suspect(c, item, file);
		return;
	case UR_SENDING:
		file->tries = 0;
		if (file->resume != NULL && file->resume->address[0] != '\0') {
			return; // the gateway has what was sent, and nobody else
		}
		file->sending_ns = row->sending_ns;
		if (!ur_age_is_begun(&file->doubt_since)) {
			file->doubt_since = ur_age_begin(); // from a ledger that kept no ages
		}
		begin_lost(c, item, file);
		return;
	case UR_SEEN:
	case UR_STABLE:
	case UR_PROBED:
	case UR_TRASHED:
	case UR_WITHDRAWN:
	case UR_WANTED:
	case UR_SETTLED:
	case UR_STATES:
		file->tries = 0;
		return;
	}
}

static void judge_file(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->item == item);
	assert(ur_file_is_open(file));
	assert(file->put.state == UR_PUT_NEW);
	if (file->later && !file->hashed && file->row != NULL && file->row->state == UR_FAILED) {
		ur_file_close(file, UR_FAILED, UR_OUTCOME_FAILED, file->row->reason);
		keep_row(file);
		return;
	}
	if (file->error != 0) {
		close_unread(c, item, file);
		return;
	}
	if (file->judgement == UR_JUDGE_REFUSE) {
		ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED, file->note);
		file->for_good = true;
		name_once(c, file);
		return;
	}
	if (file->unchanged && file->row != NULL && file->row->state == UR_REFUSED) {
		recall(c, item, file);
		if (!ur_file_is_open(file)) {
			return;
		}
	}
	if (!file->hashed) {
		if (file->later && file->row != NULL) {
			ur_file_close(
				file, file->row->state, UR_OUTCOME_WAITING, file->row->reason);
			keep_row(file);
			return;
		}
		ur_file_close(file, UR_SEEN, UR_OUTCOME_WAITING, "the run was stopped before it");
		return;
	}
	file->state = UR_PROBED;
	if (row_matches(file)) {
		carry_over(file);
	}
	ur_large_recall(c, item, file);
	if (row_matches(file) && (file->unchanged || file->row->state >= UR_SENDING) &&
		file->row->state != UR_SETTLED) {
		recall(c, item, file);
	}
	if (file->put.state == UR_PUT_NEW) {
		ur_put_start(
			&file->put, &c->rules, UR_PUT_CHECK, ur_age_is_begun(&file->doubt_since));
	}
	assert(file->tries >= 0);
	file->put.sends = (unsigned)file->tries;
}

/* ---- who belongs to whom --------------------------------------------------------------------- */

static bool is_media(const struct ur_file *file)
{
	return file->class == UR_CLASS_IMAGE || file->class == UR_CLASS_VIDEO;
}

static bool is_usable_sidecar(const struct ur_file *file)
{
	return file->class == UR_CLASS_SIDECAR && file->outcome != UR_OUTCOME_REFUSED &&
	       file->outcome != UR_OUTCOME_VANISHED && file->outcome != UR_OUTCOME_FAILED;
}

/** How alike a sidecar and the picture are that is most like it: those go together, others do not. */
static enum ur_spelling best_spelling(const struct ur_item *item, const struct ur_file *sidecar)
{
	enum ur_spelling best = UR_SPELLING_OTHER;
	assert(sidecar->class == UR_CLASS_SIDECAR);
	for (int m = 0; m < item->count; m++) {
		enum ur_spelling spelling = UR_SPELLING_OTHER;
		if (is_media(&item->files[m])) {
			(void)ur_pair_sidecar_spelled(
				item->files[m].name, sidecar->name, &spelling);
		}
		best = spelling > best ? spelling : best;
	}
	return best;
}

/** NAME.EXT.xmp goes before NAME.xmp; of two such, the one that is spelled as the picture is. */
static bool goes_before(
	int rank, enum ur_spelling spelling, int best, enum ur_spelling best_spelled)
{
	assert(rank > 0);
	return best == 0 || rank < best || (rank == best && spelling > best_spelled);
}

/** Each picture takes its best sidecar; a sidecar may have several pictures. */
static void match_sidecars(struct ur_item *item)
{
	int best[UR_ITEM_FILES] = {0};
	enum ur_spelling spelled[UR_ITEM_FILES] = {0};
	for (int s = 0; s < item->count; s++) {
		struct ur_file *sidecar = &item->files[s];
		const enum ur_spelling nearest =
			is_usable_sidecar(sidecar) ? best_spelling(item, sidecar) : 0;
		for (int m = 0; nearest != UR_SPELLING_OTHER && m < item->count; m++) {
			struct ur_file *media = &item->files[m];
			enum ur_spelling spelling = UR_SPELLING_OTHER;
			const int rank = is_media(media) ? ur_pair_sidecar_spelled(media->name,
								   sidecar->name, &spelling)
							 : 0;
			if (rank != 0 && spelling == nearest &&
				goes_before(rank, spelling, best[m], spelled[m])) {
				best[m] = rank;
				spelled[m] = spelling;
				media->sidecar = s;
			}
		}
	}
	for (int m = 0; m < item->count; m++) {
		if (item->files[m].sidecar != UR_NONE) {
			assert(is_media(&item->files[m]));
			assert(item->files[m].sidecar < item->count);
			item->files[item->files[m].sidecar].owners |= 1u << m;
		}
	}
}

static bool pairs_with(const struct ur_file *still, const struct ur_file *movie)
{
	static const struct ur_meta none;
	const char *why = NULL;
	assert(still != movie);
	return ur_pair_motion(still->name, movie->name) ||
	       ur_pair_live(still->meta == NULL ? &none : still->meta,
		       movie->meta == NULL ? &none : movie->meta, &why);
}

static bool may_pair(const struct ur_file *still, const struct ur_file *movie)
{
	return still->class == UR_CLASS_IMAGE && still->meta != NULL && still->movie == UR_NONE &&
	       movie->still == UR_NONE && still->outcome != UR_OUTCOME_REFUSED &&
	       movie->outcome != UR_OUTCOME_REFUSED;
}

/**
 * One still, one movie: a second candidate on either side makes neither certain by time alone.
 * Where names differ in case only, those of one spelling find each other first.
 */
static void match_movies_spelled(struct ur_item *item, enum ur_spelling least)
{
	for (int m = 0; m < item->count; m++) {
		struct ur_file *movie = &item->files[m];
		if (movie->class != UR_CLASS_VIDEO || movie->meta == NULL) {
			continue;
		}
		for (int s = 0; s < item->count; s++) {
			struct ur_file *still = &item->files[s];
			if (may_pair(still, movie) &&
				ur_pair_stem_spelling(still->name, movie->name) >= least &&
				pairs_with(still, movie)) {
				still->movie = m;
				movie->still = s;
			}
		}
	}
}

static void match_movies(struct ur_item *item)
{
	for (int least = UR_SPELLING_EXACT; least > UR_SPELLING_OTHER; least--) {
		match_movies_spelled(item, (enum ur_spelling)least);
	}
}

/** A sidecar without a picture, or behind a better one. */
static void judge_sidecar(struct ur_item *item, struct ur_file *file)
{
	if (file->class != UR_CLASS_SIDECAR || file->owners != 0 ||
		file->outcome == UR_OUTCOME_REFUSED || file->outcome == UR_OUTCOME_WAITING) {
		return;
	}
	if (file->outcome == UR_OUTCOME_PRESENT) {
		return; // its facts are on the server already; its picture may have gone before it
	}
	bool beside = false;
	assert(file->outcome != UR_OUTCOME_SENT);
	for (int i = 0; i < item->count; i++) {
		beside = beside || (is_media(&item->files[i]) &&
					   ur_pair_sidecar(item->files[i].name, file->name) != 0);
	}
	ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED,
		beside ? "another sidecar of the same picture goes before it (NAME.EXT.xmp before NAME.xmp)"
		       : "a sidecar without its picture beside it");
}

void ur_judge_item(struct ur_coordinator *c, struct ur_item *item)
{
	const bool waits = group_waits(c, item);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (waits && file->error == 0) {
			close_young(c, item, file);
		} else {
			judge_file(c, item, file);
		}
		/* Closed, or a candidate: whose bytes are known, and whose delivery has begun. */
		assert(!ur_file_is_open(file) || file->hashed);
		assert(!ur_file_is_open(file) || file->put.state != UR_PUT_NEW);
	}
	if (!waits) {
		match_sidecars(item);
		match_movies(item);
		ur_quiet_judge(c, item);
		for (int i = 0; i < item->count; i++) {
			judge_sidecar(item, &item->files[i]);
		}
	}
}

/* ---- what became of the sidecars ------------------------------------------------------------- */

struct tally {
	int owners;
	int sent;
	int present;
	int waiting;
	int other;
	const struct ur_file *one; // an owner that was sent or is present
};

static struct tally tally_owners(const struct ur_item *item, const struct ur_file *sidecar)
{
	struct tally t = {0};
	assert(sidecar->class == UR_CLASS_SIDECAR);
	for (int i = 0; i < item->count; i++) {
		const struct ur_file *owner = &item->files[i];
		if ((sidecar->owners & 1u << i) == 0) {
			continue;
		}
		assert(!ur_file_is_open(owner));
		t.owners++;
		if (owner->outcome == UR_OUTCOME_SENT) {
			t.sent++;
			t.one = owner;
		} else if (owner->outcome == UR_OUTCOME_PRESENT ||
			   owner->outcome == UR_OUTCOME_DUPLICATE) {
			t.present++;
			t.one = t.one == NULL ? owner : t.one;
		} else if (owner->outcome == UR_OUTCOME_WAITING ||
			   owner->outcome == UR_OUTCOME_VANISHED) {
			t.waiting++;
		} else {
			t.other++;
		}
	}
	assert(t.owners == t.sent + t.present + t.waiting + t.other);
	return t;
}

static void judge_one_sidecar(
	struct ur_coordinator *c, const struct ur_item *item, struct ur_file *file)
{
	const struct tally t = tally_owners(item, file);
	const bool plan = c->run->options->plan;
	assert(t.owners > 0); // without one it was refused
	if (t.one != NULL) {
		memcpy(file->asset, t.one->asset, sizeof file->asset);
	}
	if (t.sent > 0) {
		file->travelled = !plan && t.sent == t.owners;
		ur_file_close(file, plan ? UR_WANTED : UR_DELIVERED, UR_OUTCOME_SENT,
			"travels with its picture");
	} else if (t.present > 0) {
		ur_file_close(file, plan ? UR_WANTED : UR_DELIVERED, UR_OUTCOME_PRESENT,
			"its picture was there already: what the server lacked was set from it");
	} else if (t.waiting > 0) {
		ur_file_close(file, UR_PROBED, UR_OUTCOME_WAITING,
			"it goes with its picture, which waits");
	} else {
		ur_file_close(file, UR_REFUSED, UR_OUTCOME_REFUSED,
			"its picture was not taken, so it was not either");
	}
}

void ur_judge_sidecars(struct ur_coordinator *c, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->class == UR_CLASS_SIDECAR && ur_file_is_open(file)) {
			judge_one_sidecar(c, item, file);
		}
	}
}
