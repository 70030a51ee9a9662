/* confirm_file - what a file is to all parts of confirm, and how it is kept. */
#include "engine/stage/confirm_parts.h"

#include <string.h>

bool ur_confirm_is_delivered(const struct ur_file *file)
{
	const bool counts = file->outcome == UR_OUTCOME_SENT ||
			    file->outcome == UR_OUTCOME_PRESENT ||
			    file->outcome == UR_OUTCOME_DUPLICATE;
	const bool state = file->state == UR_DELIVERED || file->state == UR_KNOWN ||
			   file->state == UR_DUPLICATE;
	return counts && state && file->asset[0] != '\0';
}

/** By a 201 to this row's own upload: the server's copy is another file than this one. */
bool ur_confirm_is_ours(const struct ur_file *file)
{
	return file->now_sent || file->created;
}

bool ur_confirm_asks_again(const struct ur_file *file)
{
	return file->class != UR_CLASS_SIDECAR && !ur_confirm_is_ours(file);
}

int64_t ur_confirm_settle_after_ns(const struct ur_decide *decide)
{
	return decide->run->options->settle_after_ms * UR_MS_NS;
}

/** Whoever sent it: an upload that has just been answered may still fail, and is not synced. */
bool ur_confirm_is_young(const struct ur_decide *decide, const struct ur_file *file)
{
	return ur_age_ns(&file->there_since) < ur_confirm_settle_after_ns(decide);
}

bool ur_confirm_goes_away(const struct ur_decide *decide, const struct ur_file *file)
{
	return decide->run->options->after != UR_AFTER_KEEP && !decide->run->options->plan &&
	       !file->through_link && ur_confirm_is_delivered(file);
}

void ur_confirm_fail(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *why)
{
	ur_judge_close(file, state, outcome, why);
	file->must_confirm = false;
}

const char *ur_confirm_with_id(struct ur_item *item, const char *format, const struct ur_file *file)
{
	struct ur_text text = {0};
	ur_text_addf(&text, "%s (asset %s)", format, file->asset);
	const char *copy = ur_arena_string(&item->arena, ur_text_get(&text));
	ur_text_done(&text);
	return copy == NULL ? format : copy;
}

/** Asked for its proof and got none, which says nothing about it: it stays, and that is said. */
void ur_confirm_keep(
	struct ur_decide *decide, struct ur_item *item, struct ur_file *file, const char *why)
{
	file->not_now = true;
	if (file->must_confirm) {
		ur_confirm_fail(
			file, UR_SUSPECT, UR_OUTCOME_REFUSED, ur_confirm_with_id(item, why, file));
		return;
	}
	file->reason = ur_confirm_with_id(item, why, file);
	file->warn = true;
	atomic_fetch_add(&decide->run->kept, 1);
}

/** Waits, as it should: nothing is odd about it. */
void ur_confirm_keep_quietly(struct ur_file *file, const char *why)
{
	file->not_now = true;
	file->reason = why;
}

void ur_confirm_next_file(struct ur_decide *decide, struct ur_item *item)
{
	item->call_phase = UR_PHASE_ASSET;
	item->call_tries = 0;
	ur_decide_go(decide, item, item->step);
}
