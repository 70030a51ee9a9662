/*
 * confirm_lack - an original that does not come is parked: the next one that comes says that it is this
 * asset's fault, five in a row that it is the library's.
 */
#include "engine/stage/confirm_parts.h"

#include "engine/base/clock.h"

#include <errno.h>

static void judge_lack(
	struct ur_decide *decide, struct ur_item *item, struct ur_file *file, bool gave)
{
	file->not_now = true;
	file->remembered = false; // its size may differ because our hash is wrong
	atomic_fetch_add(&decide->run->kept, 1);
	if (!ur_age_is_begun(&file->doubt_since)) {
		file->doubt_since = ur_age_begin();
	}
	const int64_t apart_s = ur_age_ns(&file->doubt_since) / UR_SECOND_NS;
	if (ur_put_lack(1, gave, apart_s) == UR_LACK_BROKEN) {
		ur_confirm_fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
			ur_confirm_with_id(item,
				"broken there: the server names it, and twice, more than a day apart, it "
				"did not give its bytes while it gave those of others; the file is kept "
				"here, and may be the only copy",
				file));
		return;
	}
	ur_confirm_fail(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
		ur_confirm_with_id(item,
			"the server names it but did not give its bytes: kept, and asked again in a "
			"later run",
			file));
}

static void unpark(struct ur_decide *decide,
	void (*judge)(struct ur_decide *decide, struct ur_item *item, struct ur_file *file))
{
	struct ur_item *item = NULL;
	while ((item = ur_items_take(&decide->parked)) != NULL) {
		judge(decide, item, &item->files[item->cursor]);
		item->step = UR_STEP_CONFIRM;
		ur_confirm_next_file(decide, item);
	}
}

static void judge_alone(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	judge_lack(decide, item, file, true);
}

static void judge_unsure(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	judge_lack(decide, item, file, decide->library_gave);
}

const char ur_confirm_library_away[] =
	"kept: the server cannot read its library now, so nothing is said about this file";

static void judge_none(struct ur_decide *decide, struct ur_item *item, struct ur_file *file)
{
	ur_confirm_keep(decide, item, file, ur_confirm_library_away);
}

void ur_confirm_lacks(struct ur_decide *decide, struct ur_item *item)
{
	decide->lacks_in_a_row++;
	item->step = UR_STEP_PARKED;
	ur_items_add(&decide->parked, item);
	if (ur_put_lack(decide->lacks_in_a_row, false, 0) != UR_LACK_LIBRARY) {
		return;
	}
	if (!decide->library_away) {
		ur_run_warn(decide->run,
			"the server cannot read its library: the last %u originals that it was asked "
			"for did not come; nothing is judged or removed in this run",
			decide->lacks_in_a_row);
	}
	decide->library_away = true;
	unpark(decide, judge_none);
}

void ur_confirm_gives(struct ur_decide *decide)
{
	decide->library_gave = true;
	decide->lacks_in_a_row = 0;
	decide->strangers_in_a_row = 0;
	unpark(decide, judge_alone);
}

void ur_confirm_turn(struct ur_decide *decide)
{
	if (decide->parked.count == 0) {
		return;
	}
	if (atomic_load(&decide->run->stop)) {
		unpark(decide, judge_none);
	} else if (decide->inputs_open == 0 && decide->live == decide->parked.count) {
		unpark(decide, judge_unsure); // nobody else is left who could tell
	}
}

int ur_confirm_result(const struct ur_decide *decide, struct ur_err *err)
{
	if (!decide->library_away) {
		return 0;
	}
	return ur_err_say(err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server names files of which it cannot read the originals: look whether its "
		"library is mounted and readable, then run again; every file is kept here");
}
