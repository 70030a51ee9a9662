/*
 * probe_open - from a name to a descriptor that is what was scanned, or is now something else.
 */
#include "engine/stage/probe_parts.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

/**
 * On a file system whose identities prove nothing, the edges of the file have to agree too.  What is in
 * between may be another's: enough not to read it again, and not to remove it (ur_removal_needs_hash).
 */
static bool edges_agree(struct ur_probe_slot *slot)
{
	const uint64_t size = (uint64_t)slot->before.st_size;
	const size_t n = size < UR_PROBE_EDGE ? (size_t)size : UR_PROBE_EDGE;
	if (ur_sys_pread_all(slot->fd, slot->buffer, n, 0) != (ssize_t)n) {
		return false;
	}
	const uint64_t first = ur_hash_short(slot->buffer, n, 0);
	if (ur_sys_pread_all(slot->fd, slot->buffer, n, (off_t)(size - n)) != (ssize_t)n) {
		return false;
	}
	return ur_hash_short(slot->buffer, n, first) == slot->file->row->edges;
}

/** Asked where a file has to be quiet before it is taken, or before it may go. */
static void look_for_writers(struct ur_probe_slot *slot)
{
	const struct ur_run *run = slot->probe->run;
	if (run->options->min_age_ms > 0 || ur_run_removes(run)) {
		slot->file->writers = ur_removal_writers(slot->fd, &slot->item->dir->fs);
	}
	if (slot->file->writers == UR_WRITERS_NONE) {
		ur_removal_let(slot->fd); // nobody shall wait while we read
	}
}

/** Where files may be removed it matters whether they are whole: rows of older ledgers do not say. */
static bool row_says_too_little(const struct ur_probe_slot *slot)
{
	return ur_run_removes(slot->probe->run) && slot->file->row->ending == UR_ENDING_UNKNOWN;
}

static int look_at_open_file(struct ur_probe_slot *slot)
{
	struct ur_file *file = slot->file;
	const struct ur_options *options = slot->probe->run->options;
	slot->opened_ns = ur_clock_wall_ns();
	const int r = ur_sys.fstat(slot->fd, &slot->before);
	if (r < 0) {
		return r;
	}
	if (!S_ISREG(slot->before.st_mode)) {
		return -EINVAL; // a FIFO or the like took its place
	}
	const struct ur_identity now = ur_identity_of(&slot->before, file->identity.fs);
	if (!ur_identity_same(&now, &file->identity)) {
		file->unchanged = false;
		file->young = options->min_age_ms > 0;
		file->identity = now;
		file->quiet = ur_age_begin();
	}
	file->remembered = ur_fs_settled(&slot->item->dir->fs, &now, slot->opened_ns);
	look_for_writers(slot);
	return 0;
}

static void opened(struct ur_op *op)
{
	struct ur_probe_slot *slot = (struct ur_probe_slot *)op;
	struct ur_file *file = slot->file;
	ur_dir_give(slot->item->dir, slot->dir_fd);
	slot->dir_fd = -1;
	slot->fd = (int)op->result;
	if (op->result < 0) {
		slot->fd = -1;
		ur_probe_give_up(slot, (int)op->result);
		return;
	}
	const int r = look_at_open_file(slot);
	if (r < 0) {
		ur_probe_give_up(slot, r);
		return;
	}
	if (ur_run_holds_up(slot->probe->run, file)) {
		ur_probe_close(slot);
		return;
	}
	if (file->unchanged && (row_says_too_little(slot) ||
				       (!slot->item->dir->fs.trusted && !edges_agree(slot)))) {
		file->unchanged = false;
	}
	if (file->unchanged) {
		ur_probe_believe_row(file);
	}
	slot->wants_hash = !file->unchanged && file->class != UR_CLASS_NONE;
	if (slot->wants_hash) {
		ur_probe_see_if_cold(slot);
	}
	if (slot->before.st_size == 0) {
		file->kind = ur_kind_of(NULL, 0);
		ur_probe_note(slot, UR_JUDGE_REFUSE, "empty: there is nothing to send");
		ur_probe_close(slot);
		return;
	}
	if (file->class == UR_CLASS_SIDECAR && slot->before.st_size > (off_t)UR_SIDECAR_MAX) {
		ur_probe_note(slot, UR_JUDGE_REFUSE, "too large for a sidecar (more than 4 MiB)");
		ur_probe_close(slot);
		return;
	}
	if (file->unchanged && !slot->wants_meta) {
		ur_probe_close(slot);
		return;
	}
	if (slot->wants_hash && ur_digest_begin(slot->digest) < 0) {
		ur_probe_give_up(slot, -EIO);
		return;
	}
	ur_probe_read(slot);
}

bool ur_probe_open(struct ur_probe_slot *slot)
{
	const struct ur_dir *dir = slot->item->dir;
	assert(slot->fd < 0);
	slot->offset = 0;
	slot->edge_first = 0;
	slot->direct = false;
	slot->dir_fd = ur_dir_take(dir);
	if (slot->dir_fd < 0) {
		slot->file->error = slot->dir_fd;
		slot->dir_fd = -1;
		return false;
	}
	slot->op.done = opened;
	const int no_follow = dir->root->follow ? 0 : O_NOFOLLOW;
	ur_ring_open(slot->probe->ring, &slot->op, slot->dir_fd, slot->file->name,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | no_follow);
	return true;
}
