/*
 * probe_file - what is known of a file without a byte of it, and how a file ends.
 *
 * Whoever is done with a file ends it here; the probe's turn goes on with the item's next one.
 */
#include "engine/stage/probe_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void ur_probe_believe_row(struct ur_file *file)
{
	const struct ur_record *row = file->row;
	file->hashed = true;
	file->remembered = true;
	file->edges = row->edges;
	file->ending = row->ending;
	memcpy(file->sha1, row->sha1, sizeof file->sha1);
	memcpy(file->xxh, row->xxh, sizeof file->xxh);
}

void ur_probe_note(struct ur_probe_slot *slot, enum ur_judgement judgement, const char *why)
{
	slot->file->judgement = judgement;
	slot->file->note = ur_arena_string(&slot->item->arena, why);
	if (slot->file->note == NULL) {
		slot->file->note = "not enough memory to say why";
	}
}

/** Where the turn will find it. */
static void end(struct ur_probe_slot *slot)
{
	struct ur_probe *probe = slot->probe;
	assert(slot->fd < 0);
	assert(probe->over_count < UR_PROBE_SLOTS);
	probe->over[probe->over_count++] = slot;
}

static void closed(struct ur_op *op)
{
	struct ur_probe_slot *slot = (struct ur_probe_slot *)op;
	slot->fd = -1;
	end(slot);
}

void ur_probe_close(struct ur_probe_slot *slot)
{
	free(slot->whole);
	slot->whole = NULL;
	if (slot->fd < 0) {
		end(slot);
		return;
	}
	slot->op.done = closed;
	ur_ring_close(slot->probe->ring, &slot->op, slot->fd);
}

void ur_probe_give_up(struct ur_probe_slot *slot, int code)
{
	assert(code < 0);
	slot->file->error = code;
	ur_probe_close(slot);
}
