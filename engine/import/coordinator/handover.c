/*
 * handover - what is proved goes to settle, a group at a time.
 *
 *     choose ─▶ settle: ASIDE ─▶ asked once more? ─▶ settle: REMOVE, or BACK ─▶ settled
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/import/coordinator/group.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASIDE_MAX 64u     // items that stand aside while the server is asked once more
#define ASIDE_PAUSE_MS 20 // until there is room for one more

/* ---- who goes -------------------------------------------------------------------------------- */

/**
 * It travelled with an asset: one that is there instead (the picture was edited, or uploaded anew by
 * somebody else) may know nothing of it.
 */
static void recheck_travel(const struct ur_item *item, struct ur_file *sidecar)
{
	bool same = sidecar->owners == 0;
	assert(sidecar->class == UR_CLASS_SIDECAR || same);
	for (int i = 0; i < item->count; i++) {
		same = same || ((sidecar->owners & 1u << i) != 0 &&
				       strcmp(item->files[i].asset, sidecar->asset) == 0);
	}
	sidecar->travelled = sidecar->travelled && same;
}

/** A sidecar goes only with all its pictures, and is deleted only if it travelled with them. */
static void follow_owners(struct ur_coordinator *c, struct ur_item *item, struct ur_file *sidecar)
{
	const bool delete = c->run->options->after == UR_AFTER_DELETE;
	if (sidecar->class != UR_CLASS_SIDECAR || sidecar->owners == 0 ||
		!ur_file_goes_away(c, sidecar) || (delete &&!sidecar->travelled)) {
		return;
	}
	for (int i = 0; i < item->count; i++) {
		if ((sidecar->owners & 1u << i) != 0 && !item->files[i].confirmed) {
			return;
		}
	}
	assert(!ur_file_is_open(sidecar));
	sidecar->confirmed = true;
}

/* ---- on to settle ---------------------------------------------------------------------------- */

static void name_staged(struct ur_coordinator *c, struct ur_file *file)
{
	assert(file->staged[0] == '\0');
	(void)snprintf(file->staged, sizeof file->staged, "%" PRIx64 "x%" PRIx64,
		(uint64_t)c->run->id, ++c->token);
}

/** Goes as far as it alone is concerned. */
static bool is_ready(const struct ur_coordinator *c, const struct ur_file *file)
{
	return file->confirmed && file->stays == NULL && ur_file_goes_away(c, file);
}

/** Stays in its place by itself, and does not keep the others: see follow_owners(). */
static bool stays_alone(const struct ur_coordinator *c, const struct ur_file *file)
{
	const bool beside = file->class == UR_CLASS_SIDECAR && ur_file_is_delivered(file) &&
			    !file->travelled && c->run->options->after == UR_AFTER_DELETE;
	const bool no_media =
		file->judgement == UR_JUDGE_REFUSE || (file->state == UR_REFUSED && file->for_good);
	return beside || no_media || file->outcome == UR_OUTCOME_VANISHED;
}

/** The bits of the files that go now: a group goes together or stays together. */
static unsigned choose(const struct ur_coordinator *c, struct ur_item *item)
{
	unsigned ready = 0;
	unsigned alone = 0;
	for (int i = 0; i < item->count; i++) {
		ready |= is_ready(c, &item->files[i]) ? 1u << i : 0;
		alone |= stays_alone(c, &item->files[i]) ? 1u << i : 0;
	}
	ur_groups_of(item, item->together);
	const unsigned go = ur_groups_choose(item->together, item->count, ready, alone);
	assert((go & ~ready) == 0);
	for (int i = 0; i < item->count; i++) {
		if ((ready & ~go & 1u << i) != 0) {
			ur_file_keep_quietly(&item->files[i],
				"kept until the others of its group (its sidecar, its live photo's other "
				"half) can go with it");
		}
	}
	return go;
}

/** Before the first file goes: a wrong server, user or key is seen while nothing is gone. */
static void say_where_to(struct ur_coordinator *c)
{
	const struct ur_run *run = c->run;
	if (c->said_where_to || run->options->key_from == NULL) {
		return;
	}
	c->said_where_to = true;
	ur_run_warn(c->run, "%s what is proved to be at %s, in the library of %s (key from %s)",
		run->options->after == UR_AFTER_MOVE ? "moving away" : "removing",
		run->options->http.server, run->server.user_name, run->options->key_from);
}

static void hand_to_settle(struct ur_coordinator *c, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		recheck_travel(item, &item->files[i]);
	}
	for (int i = 0; i < item->count; i++) {
		follow_owners(c, item, &item->files[i]);
	}
	const unsigned go = choose(c, item);
	bool again = false;
	for (int i = 0; i < item->count; i++) {
		again = again || ((go & 1u << i) != 0 && ur_file_asks_again(&item->files[i]));
	}
	if (go == 0) {
		ur_step_go(c, item, UR_STEP_DONE);
		return;
	}
	if (again && c->aside >= ASIDE_MAX) {
		ur_step_rest(c, item, UR_STEP_CONFIRM, ASIDE_PAUSE_MS);
		return;
	}
	say_where_to(c);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if ((go & 1u << i) != 0) {
			assert(file->staged[0] == '\0'); // it stands nowhere else yet
			assert(file->confirmed);
			assert(!file->must_confirm);
			assert(!file->through_link);
			assert(ur_file_is_delivered(file));
			file->state = UR_CONFIRMED;
			file->ask_again = ur_file_asks_again(file);
			name_staged(c, file);
			ur_book_file(c, item, file);
		}
	}
	assert(!item->stands_aside);
	assert(!item->counts_aside);
	item->step = UR_STEP_SETTLE;
	item->settle_do = UR_SETTLE_ASIDE;
	c->aside += again ? 1 : 0;
	item->counts_aside = again;
	c->durable = true;
	c->in_settle++;
	ur_items_add(&c->after_commit, item);
}

/** Nothing is asked of a server that does not give anything, or does not let us ask. */
static const char *why_not_ask(const struct ur_coordinator *c)
{
	return c->library_away   ? ur_lack_library_away
	       : c->strangers    ? "kept: something before the server answers in its place"
	       : c->may_not_read ? "kept: the key may not read it back"
				 : NULL;
}

/** Named by itself, in a folder that the server has as an external library. */
static bool is_in_library(const struct ur_coordinator *c, const struct ur_item *item)
{
	const char *libraries = ur_text_get(&c->run->libraries);
	struct ur_text path = {0};
	char named[UR_PATH_TAIL];
	enum ur_cover cover = UR_COVER_NONE;
	size_t count = 0;
	if (!item->dir->root->loose || libraries[0] == '\0' || c->run->options->no_library) {
		return false;
	}
	ur_dir_path(item->dir, NULL, &path);
	const int r = ur_immich_libraries_read(
		libraries, ur_text_get(&path), &cover, named, &count, NULL);
	const bool may_be = r < 0 || !ur_text_ok(&path) || cover != UR_COVER_NONE;
	ur_text_done(&path);
	return may_be;
}

/** What is the item's, whatever its files are: why none of them is asked about. */
static const char *why_none(const struct ur_coordinator *c, struct ur_item *item)
{
	char beside[256];
	if (item->split) {
		return "kept: there are more files of this name than can be told apart; which of them "
		       "belong together is not known";
	}
	if (is_in_library(c, item)) {
		return "kept: its folder may be an external library of the server, whose asset would go "
		       "offline";
	}
	if (ur_run_removes(c->run) && item->dir->root->loose && ur_group_has_beside(item, beside)) {
		return ur_arena_format(&item->arena,
			"kept: '%s' lies beside it, may belong to it, and was not named with it: name them "
			"one after the other, or the folder",
			beside);
	}
	return why_not_ask(c);
}

void ur_handover_next(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->step == UR_STEP_CONFIRM);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!ur_confirm_is_due(c, file) || file->not_now) {
			continue;
		}
		const char *why_not = why_none(c, item);
		if (why_not != NULL) {
			ur_file_keep(c, item, file, why_not);
			continue;
		}
		item->cursor = i;
		ur_confirm_ask(c, item, file);
		return;
	}
	hand_to_settle(c, item);
}

/* ---- while the group stands aside ------------------------------------------------------------ */

static void back_to_settle(struct ur_coordinator *c, struct ur_item *item, enum ur_settle_do what)
{
	assert(item->stands_aside);
	assert(what != UR_SETTLE_ASIDE);
	item->step = UR_STEP_SETTLE;
	item->settle_do = what;
	c->in_settle++;
	ur_items_add(&c->after_commit, item);
}

void ur_handover_again(struct ur_coordinator *c, struct ur_item *item)
{
	bool wrong = ur_step_is_stopping(c) || c->outage.on;
	assert(item->stands_aside);
	assert(item->counts_aside);
	for (int i = 0; i < item->count && !wrong; i++) {
		struct ur_file *file = &item->files[i];
		if (!file->ask_again || file->given_again) {
			continue;
		}
		if (!file->not_now) {
			item->cursor = i;
			if (file->put.state == UR_PUT_PROVED) {
				ur_put_aside(&file->put);
			}
			ur_confirm_ask(c, item, file);
			return;
		}
		wrong = true;
	}
	back_to_settle(c, item, wrong ? UR_SETTLE_BACK : UR_SETTLE_REMOVE);
}

/** Not a wait, and nobody else's doing: it was to be taken away, and could not. */
static bool could_not_go(int result)
{
	assert(result < 0);
	return result != -ECANCELED && result != -ETXTBSY && result != UR_REMOVAL_WAITS &&
	       result != UR_SETTLE_GONE;
}

static void settled(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(file->confirmed);
	assert(file->settle_result <= 0);
	assert(file->settle_result == 0 || file->settle_why != NULL);
	if (file->settle_result == UR_SETTLE_STUCK) {
		file->reason = file->settle_why; // its row still says where it stands
		file->warn = true;
		file->trouble = true;
		return;
	}
	file->staged[0] = '\0';
	if (file->settle_result == 0) {
		assert(!file->ask_again || file->given_again);
		file->state = UR_SETTLED;
		file->settled_ns = ur_clock_wall_ns();
	} else if (file->settle_result == -ESTALE) {
		ur_file_changed(item, file, file->settle_why);
	} else {
		file->state = UR_DELIVERED;
		file->reason = file->not_now ? file->reason : file->settle_why;
		file->warn = file->settle_result != -ECANCELED || file->warn;
		file->trouble = file->trouble || could_not_go(file->settle_result);
		atomic_fetch_add(&c->run->kept, could_not_go(file->settle_result) ? 1 : 0);
		/* Our rename changed its ctime. */
		file->remembered = file->remembered && !file->settle_renamed;
	}
	if (file->settle_result == UR_REMOVAL_WAITS) {
		ur_quiet_settled(c, file);
	}
	if (file->settle_result == UR_SETTLE_GONE && !file->now_sent) {
		ur_book_file(c, item, file);
		file->outcome = UR_OUTCOME_VANISHED; // perhaps named twice: it counts once
	}
}

void ur_handover_settled(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->step == UR_STEP_SETTLE);
	assert(c->in_settle > 0);
	c->in_settle--;
	if (item->stands_aside) {
		ur_step_go(c, item, UR_STEP_AGAIN);
		return;
	}
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (file->state == UR_CONFIRMED && file->staged[0] != '\0') {
			settled(c, item, file);
		}
	}
	assert(!item->counts_aside || c->aside > 0);
	c->aside -= item->counts_aside ? 1 : 0;
	item->counts_aside = false;
	ur_step_go(c, item, UR_STEP_DONE);
}
