/*
 * lack - an original that does not come is parked: the next one that comes says that it is this
 * asset's fault, five in a row that it is the library's.
 */
#include "engine/import/coordinator/internal.h"

#include "engine/base/clock.h"

#include <assert.h>
#include <errno.h>

static void judge_lack(
	struct ur_coordinator *c, struct ur_item *item, struct ur_file *file, bool gave)
{
	assert(file->item == item);
	assert(!file->confirmed);
	file->not_now = true;
	file->remembered = false; // its size may differ because our hash is wrong
	file->trouble = true;
	atomic_fetch_add(&c->run->kept, 1);
	if (!ur_age_is_begun(&file->doubt_since)) {
		file->doubt_since = ur_age_begin();
	}
	const int64_t apart_s = ur_age_ns(&file->doubt_since) / UR_SECOND_NS;
	if (ur_put_lack(1, gave, apart_s) == UR_LACK_BROKEN) {
		ur_file_fail(file, UR_BROKEN, UR_OUTCOME_FAILED,
			ur_file_with_id(item,
				"broken there: the server names it, and twice, more than a day apart, it "
				"did not give its bytes while it gave those of others; the file is kept "
				"here, and may be the only copy",
				file));
		return;
	}
	ur_file_fail(file, UR_SUSPECT, UR_OUTCOME_REFUSED,
		ur_file_with_id(item,
			"the server names it but did not give its bytes: kept, and asked again in a "
			"later run",
			file));
}

static void unpark(struct ur_coordinator *c,
	void (*judge)(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file))
{
	struct ur_item *item = NULL;
	while ((item = ur_items_take(&c->parked)) != NULL) {
		assert(item->step == UR_STEP_PARKED);
		assert(item->cursor < item->count);
		judge(c, item, &item->files[item->cursor]);
		ur_step_go(c, item, UR_STEP_CONFIRM);
	}
}

static void judge_alone(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(c->library_gave);
	judge_lack(c, item, file, true);
}

static void judge_unsure(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(c->inputs_open == 0);
	judge_lack(c, item, file, c->library_gave);
}

const char ur_lack_library_away[] =
	"kept: the server cannot read its library now, so nothing is said about this file";

static void judge_none(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	assert(c->library_away || ur_step_is_stopping(c));
	ur_file_keep(c, item, file, ur_lack_library_away);
}

void ur_lack_park(struct ur_coordinator *c, struct ur_item *item)
{
	assert(item->cursor < item->count);
	assert(!item->files[item->cursor].confirmed);
	c->lacks_in_a_row++;
	ur_step_go(c, item, UR_STEP_PARKED);
	if (ur_put_lack(c->lacks_in_a_row, false, 0) != UR_LACK_LIBRARY) {
		return;
	}
	if (!c->library_away) {
		ur_run_warn(c->run,
			"the server cannot read its library: the last %u originals that it was asked "
			"for did not come; nothing is judged or removed in this run",
			c->lacks_in_a_row);
	}
	c->library_away = true;
	unpark(c, judge_none);
}

void ur_lack_gave(struct ur_coordinator *c)
{
	c->library_gave = true;
	c->lacks_in_a_row = 0;
	c->strangers_in_a_row = 0;
	unpark(c, judge_alone);
	assert(c->parked.count == 0);
}

void ur_lack_turn(struct ur_coordinator *c)
{
	assert(c->parked.count <= c->live);
	if (c->parked.count == 0) {
		return;
	}
	if (ur_step_is_stopping(c)) {
		unpark(c, judge_none);
	} else if (ur_step_is_idle(c)) {
		unpark(c, judge_unsure); // nobody else is left who could tell
	}
}

int ur_lack_result(const struct ur_coordinator *c, struct ur_err *err)
{
	if (!c->library_away) {
		return 0;
	}
	return ur_err_say(err, -EHOSTUNREACH, UR_FAULT_WORLD,
		"the server names files of which it cannot read the originals: look whether its "
		"library is mounted and readable, then run again; every file is kept here");
}
