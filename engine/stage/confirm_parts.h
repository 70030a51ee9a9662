/**
 * confirm_parts - what the parts of `confirm` share.  Included by stage/confirm*.c only.
 *
 *     confirm.c         the questions, and what their answers mean for a file
 *     confirm_lack.c    an original that does not come: its fault, or the library's
 *     confirm_settle.c  on to settle, what is asked while a group stands aside, what came of it
 *     confirm_file.c    what a file is to all of them, and how it is kept
 *
 *   Threads  decide's
 */
#ifndef UR_STAGE_CONFIRM_PARTS_H
#define UR_STAGE_CONFIRM_PARTS_H

#include "engine/stage/decide_parts.h"

/** item.call_phase */
enum {
	UR_PHASE_ASSET,
	UR_PHASE_BYTES,
	UR_PHASE_AGAIN,
};

/* confirm_file.c */
/** The server has it, by all that we know. */
bool ur_confirm_is_delivered(const struct ur_file *file);
/** By a 201 to this row's own upload: the server's copy is another file than this one. */
bool ur_confirm_is_ours(const struct ur_file *file);
/** Its bytes are asked for once more while it stands aside. */
bool ur_confirm_asks_again(const struct ur_file *file);
bool ur_confirm_goes_away(const struct ur_decide *decide, const struct ur_file *file);
int64_t ur_confirm_settle_after_ns(const struct ur_decide *decide);
/** Whoever sent it: an upload that has just been answered may still fail, and is not synced. */
bool ur_confirm_is_young(const struct ur_decide *decide, const struct ur_file *file);
void ur_confirm_fail(
	struct ur_file *file, enum ur_state state, enum ur_outcome outcome, const char *why);
/** "WHY (asset ID)", in the item's arena. */
const char *ur_confirm_with_id(
	struct ur_item *item, const char *format, const struct ur_file *file);
/** Asked for its proof and got none, which says nothing about it: it stays, and that is said. */
void ur_confirm_keep(
	struct ur_decide *decide, struct ur_item *item, struct ur_file *file, const char *why);
/** Waits, as it should: nothing is odd about it. */
void ur_confirm_keep_quietly(struct ur_file *file, const char *why);
/** On to the next file of the item, in the step that it is in. */
void ur_confirm_next_file(struct ur_decide *decide, struct ur_item *item);

/* confirm_lack.c */
extern const char ur_confirm_library_away[];
/** The original of the item's present file does not come: parked until it is known why. */
void ur_confirm_lacks(struct ur_decide *decide, struct ur_item *item);
/** One came: what was parked is judged. */
void ur_confirm_gives(struct ur_decide *decide);

/* confirm.c */
/** The question of the item's phase about `file`. */
void ur_confirm_ask(struct ur_decide *decide, struct ur_item *item, const struct ur_file *file);

#endif
