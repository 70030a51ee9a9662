/*
 * quiet - what is delivered and may not go yet, because it may still be growing.
 *
 *     cut off, for less than a day     not even sent: it waits for the rest of it
 *     cut off, for longer              sent, kept, named once, until somebody accepts it
 *     nobody can say who writes to it  sent, and kept until it has been unchanged for long enough
 *     a member that cannot be read     what was read of the group is sent, and kept with it
 *
 * Who is held is held with all of its group.  Settle looks once more, with the file in its hands;
 * here is decided what need not even be tried.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"
#include "engine/source/hindrance.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define CUT_WAITS_NS (INT64_C(24) * 3600 * UR_SECOND_NS)

/* ---- cut off --------------------------------------------------------------------------------- */

static bool is_cut(const struct ur_coordinator *c, const struct ur_file *file)
{
	return file->ending == UR_ENDING_CUT && !file->accepted && !c->run->options->accept_cut_off;
}

/** Nothing of it has left the house, and nothing of it is known to be on the server. */
static bool is_untouched(const struct ur_file *file)
{
	const struct ur_record *row = file->row;
	const bool sent = row != NULL && row->hashed && row->state >= UR_SENDING &&
			  row->state != UR_SETTLED && row->state != UR_FAILED &&
			  memcmp(row->sha1, file->sha1, sizeof row->sha1) == 0;
	return ur_file_is_open(file) && file->hashed && !file->decided && !sent;
}

static void time_in(int64_t left_ns, char ret[UR_CLOCK_TEXT])
{
	ur_clock_local(ur_clock_wall_ns() + left_ns, ret);
}

static const char *say(const char *sentence)
{
	return sentence == NULL ? "it waits; there is not enough memory to say why" : sentence;
}

/** Why `file` waits for the rest of `cut`, which may be itself. */
static const char *say_cut(
	struct ur_item *item, const struct ur_file *file, const struct ur_file *cut)
{
	char when[UR_CLOCK_TEXT];
	assert(cut->ending == UR_ENDING_CUT);
	if (file != cut) {
		return say(
			ur_arena_format(&item->arena, "it goes with '%s', which waits", cut->name));
	}
	time_in(CUT_WAITS_NS - ur_age_ns(&file->quiet), when);
	return say(ur_arena_format(&item->arena,
		"it ends too early, as if it were still being copied: it waits for the rest until %s; "
		"`uringest accept FILE` if this is all there is",
		when));
}

static const struct ur_file *first_cut(const struct ur_coordinator *c, const struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		const struct ur_file *file = &item->files[i];
		if (is_cut(c, file) && is_untouched(file) &&
			ur_age_ns(&file->quiet) < CUT_WAITS_NS) {
			return file;
		}
	}
	return NULL;
}

void ur_quiet_judge(struct ur_coordinator *c, struct ur_item *item)
{
	const struct ur_file *cut = ur_run_removes(c->run) ? first_cut(c, item) : NULL;
	for (int i = 0; cut != NULL && i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!is_untouched(file) || (file->class == UR_CLASS_SIDECAR && file->owners == 0)) {
			continue;
		}
		assert(file->staged[0] == '\0');
		atomic_fetch_add(&c->run->held, 1);
		ur_file_close(file, UR_PROBED, UR_OUTCOME_WAITING, say_cut(item, file, cut));
		file->tell = true;
	}
}

/* ---- what may not go yet --------------------------------------------------------------------- */

static bool would_go(const struct ur_coordinator *c, const struct ur_file *file)
{
	/* A sidecar is deleted only if it travelled. */
	const bool stays = file->class == UR_CLASS_SIDECAR && !file->travelled &&
			   c->run->options->after == UR_AFTER_DELETE;
	const bool there = file->outcome == UR_OUTCOME_SENT ||
			   file->outcome == UR_OUTCOME_PRESENT ||
			   file->outcome == UR_OUTCOME_DUPLICATE;
	return there && !stays && !file->through_link && !file->must_confirm &&
	       file->asset[0] != '\0';
}

static bool is_unreadable(const struct ur_file *file)
{
	return file->error != 0 && file->class != UR_CLASS_NONE &&
	       file->outcome != UR_OUTCOME_VANISHED && file->outcome != UR_OUTCOME_OPEN;
}

/** Nothing below its root can be staged, and so nothing of it can go: the run has said that. */
static bool is_hindered(const struct ur_item *item)
{
	const struct ur_root *root = item->dir->root;
	return root->hindrance != 0 && item->dir->fs.device == root->fs.device &&
	       item->dir->fs.mount == root->fs.mount;
}

static void keep_hindered(struct ur_coordinator *c, struct ur_item *item)
{
	char words[UR_HINDRANCE_TEXT];
	const bool moving = c->run->options->after == UR_AFTER_MOVE;
	(void)ur_hindrance_of_leaving(item->dir->root->hindrance, moving, words);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (would_go(c, file)) {
			assert(!ur_file_is_open(file));
			file->not_now = true;
			file->reason =
				say(ur_arena_format(&item->arena, "delivered, but %s", words));
			file->warn = true;
			file->said = true;
			file->trouble = true;
			atomic_fetch_add(&c->run->kept, 1);
		}
	}
}

/** Where the folder lets nothing go, no wait would help: settle says so. */
static bool folder_lets_go(const struct ur_item *item)
{
	const int dir = ur_dir_take(item->dir);
	const int r = dir < 0 ? dir : ur_sys.may_write(dir);
	ur_dir_give(item->dir, dir);
	return r == 0;
}

struct hold {
	const struct ur_file *unreadable;
	const struct ur_file *cut;
	int64_t left_ns; // until all have been quiet for long enough
};

static struct hold look(const struct ur_coordinator *c, const struct ur_item *item)
{
	const int64_t least_ns = c->run->options->quiet_without_lease_ms * UR_MS_NS;
	struct hold hold = {0};
	assert(least_ns >= 0);
	for (int i = 0; i < item->count; i++) {
		const struct ur_file *file = &item->files[i];
		const struct ur_quiet quiet = {file->writers, file->ending, !is_cut(c, file),
			ur_age_ns(&file->quiet), least_ns};
		if (is_unreadable(file)) {
			hold.unreadable = file;
		}
		if (!would_go(c, file)) {
			continue;
		}
		switch (ur_removal_is_quiet(&quiet)) {
		case UR_QUIET_CUT:
			hold.cut = file;
			break;
		case UR_QUIET_TOO_NEW:
			hold.left_ns = least_ns - quiet.quiet_ns > hold.left_ns
					       ? least_ns - quiet.quiet_ns
					       : hold.left_ns;
			break;
		case UR_QUIET_WRITER: // settle looks whether it still does
		case UR_QUIET_YES:
			break;
		}
	}
	assert(hold.left_ns >= 0);
	return hold;
}

static const char *say_hold(
	struct ur_item *item, const struct ur_file *file, const struct hold *hold)
{
	char when[UR_CLOCK_TEXT];
	assert(hold->unreadable != file); // which is not there to go
	if (hold->unreadable != NULL) {
		return say(ur_arena_format(&item->arena,
			"kept: '%s', which goes with it, could not be read (its own line says why)",
			hold->unreadable->name));
	}
	if (hold->cut != NULL && hold->cut != file) {
		return say(ur_arena_format(
			&item->arena, "kept: it goes with '%s', which waits", hold->cut->name));
	}
	if (hold->cut != NULL) {
		return "kept: it ends too early, a transfer that broke off or a damaged file; "
		       "`uringest accept FILE` lets it go as it is";
	}
	assert(hold->left_ns > 0);
	time_in(hold->left_ns, when);
	return say(ur_arena_format(&item->arena,
		"kept: nobody can say whether it is still being written to (another user's file, or "
		"no leases on its file system), so it goes when it has been unchanged until %s",
		when));
}

void ur_quiet_hold(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->count <= UR_ITEM_FILES);
	if (!ur_run_removes(c->run) || c->run->options->plan) {
		return;
	}
	if (is_hindered(item)) {
		keep_hindered(c, item);
		return;
	}
	const struct hold hold = look(c, item);
	const bool named = hold.unreadable != NULL || hold.cut != NULL;
	if (!named && (hold.left_ns == 0 || !folder_lets_go(item))) {
		return;
	}
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		if (!would_go(c, file)) {
			continue;
		}
		assert(!ur_file_is_open(file));
		assert(!file->confirmed);
		file->not_now = true;
		file->reason = say_hold(item, file, &hold);
		/* That it was sent and stays is news, also of what was named while it waited. */
		file->tell = file->outcome != UR_OUTCOME_SENT || (named && !file->told);
		file->warn = named;
		if (file->outcome != UR_OUTCOME_SENT) {
			file->outcome = UR_OUTCOME_WAITING;
		}
		if (named) {
			atomic_fetch_add(&c->run->held, 1);
		} else {
			ur_run_see_unquiet(c->run, hold.left_ns);
		}
	}
}

void ur_quiet_settled(struct ur_coordinator *c, struct ur_file *file)
{
	const int64_t least_ns = c->run->options->quiet_without_lease_ms * UR_MS_NS;
	const int64_t left_ns = least_ns - ur_age_ns(&file->quiet);
	assert(!ur_file_is_open(file));
	assert(file->staged[0] == '\0'); // it is back at its name
	file->warn = false;
	if (file->outcome != UR_OUTCOME_SENT) {
		file->outcome = UR_OUTCOME_WAITING;
	}
	ur_run_see_unquiet(c->run, left_ns > 0 ? left_ns : 0);
}
