/* probe_bytes - the bytes of a file: read, judged, hashed. */
#include "engine/stage/probe_parts.h"

#include "engine/media/container.h"
#include "engine/media/extract.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(UR_PROBE_BUFFER > 2 * UR_PROBE_EDGE,
	"the last read of a file must be able to hold its tail");
static_assert(UR_PROBE_BUFFER >= UR_KIND_HEAD, "the head is judged from the first read");

/* ---- all bytes were read --------------------------------------------------------------------- */

/** What is cut off is told, whatever else is odd about the file. */
static void judge_ending(struct ur_probe_slot *slot, bool cut)
{
	struct ur_file *file = slot->file;
	char why[UR_KIND_WHY];
	file->ending = cut ? UR_ENDING_CUT : UR_ENDING_WHOLE;
	if (file->class == UR_CLASS_SIDECAR || (file->judgement != UR_JUDGE_TAKE && !cut)) {
		return;
	}
	const enum ur_judgement judgement = ur_kind_judge(slot->probe->run->types, file->name,
		file->kind, (uint64_t)slot->before.st_size, cut, why, sizeof why);
	if (judgement != UR_JUDGE_TAKE) {
		ur_probe_note(slot, judgement, why);
	}
}

static ssize_t read_at(void *context, void *buffer, size_t size, uint64_t offset)
{
	const struct ur_probe_slot *slot = context;
	const ssize_t n = ur_sys_pread_all(slot->fd, buffer, size, (off_t)offset);
	if (n > 0) {
		atomic_fetch_add_explicit(
			&slot->probe->run->bytes_read, (size_t)n, memory_order_relaxed);
	}
	return n;
}

static int read_meta(struct ur_probe_slot *slot)
{
	struct ur_file *file = slot->file;
	const struct ur_reader reader = {read_at, slot, (uint64_t)slot->before.st_size};
	file->meta = ur_arena_alloc(&slot->item->arena, sizeof *file->meta);
	if (file->meta == NULL) {
		return -ENOMEM;
	}
	*file->meta = (struct ur_meta){0};
	return ur_extract_meta(&reader, file->kind, file->meta);
}

static void check_sidecar(struct ur_probe_slot *slot, const void *bytes, size_t size)
{
	struct ur_arena arena;
	struct ur_sidecar sidecar;
	struct ur_err err = {0};
	ur_arena_init(&arena);
	if (ur_sidecar_parse(&arena, bytes, size, &sidecar, &err) < 0) {
		char why[UR_ERR_TEXT_MAX + 64];
		(void)snprintf(why, sizeof why, "no usable sidecar: %s", err.text);
		ur_probe_note(slot, UR_JUDGE_REFUSE, why);
	}
	ur_arena_done(&arena);
}

/** Nothing that this process hashed can be believed, so nothing more may be done with it. */
static void distrust(struct ur_probe_slot *slot)
{
	const struct ur_probe *probe = slot->probe;
	struct ur_text path = {0};
	struct ur_err err = {0};
	ur_dir_path(slot->item->dir, slot->file->name, &path);
	(void)ur_err_say(&err, -EILSEQ, UR_FAULT_BUG,
		"this machine computes wrongly: OpenSSL came to another SHA-1 of '%s' than %s; try "
		"again with --hash=openssl, and test the memory and the processor if it comes back",
		ur_text_get(&path), ur_hasher_about(probe->hasher));
	ur_text_done(&path);
	ur_run_fail(probe->run, -EILSEQ, &err);
}

/** What the bytes at the two ends do not show: boxes in the middle, an index that never came. */
static int walk_boxes(struct ur_probe_slot *slot)
{
	const struct ur_file *file = slot->file;
	const struct ur_reader reader = {read_at, slot, (uint64_t)slot->before.st_size};
	const bool boxes = slot->head_size >= 12 && (memcmp(slot->head + 4, "ftyp", 4) == 0 ||
							    strcmp(file->kind->name, "mov") == 0);
	bool cut = false;
	if (!boxes || file->ending != UR_ENDING_WHOLE || file->class == UR_CLASS_SIDECAR) {
		return 0;
	}
	const int r = ur_container_cut_short(&reader, file->kind->class == UR_CLASS_VIDEO, &cut);
	if (r == 0 && cut) {
		judge_ending(slot, true);
	}
	return r;
}

/** All bytes were read: the descriptor must still be what it was, then the results are written. */
static void finish_file(struct ur_probe_slot *slot)
{
	struct ur_file *file = slot->file;
	struct stat after = {0};
	int r = ur_sys.fstat(slot->fd, &after);
	const struct ur_identity first = ur_identity_of(&slot->before, file->identity.fs);
	const struct ur_identity last = ur_identity_of(&after, file->identity.fs);
	if (r == 0 && !ur_identity_same(&first, &last)) {
		r = -ESTALE;
	}
	if (r == 0 && slot->wants_meta) {
		r = read_meta(slot);
	}
	if (r == 0 && slot->wants_hash) {
		r = walk_boxes(slot);
	}
	if (r == 0 && slot->wants_hash) {
		r = ur_digest_end(slot->digest, file->sha1, file->xxh);
	}
	if (r == -EILSEQ) {
		distrust(slot);
	}
	if (r < 0) {
		ur_probe_give_up(slot, r);
		return;
	}
	file->identity = last;
	if (slot->wants_hash) {
		file->hashed = true;
		file->fresh = true;
	}
	ur_probe_close(slot);
}

/* ---- the bytes ------------------------------------------------------------------------------- */

static void arrived(struct ur_op *op);

static size_t next_size(const struct ur_probe_slot *slot)
{
	const uint64_t left = (uint64_t)slot->before.st_size - slot->offset;
	if (!slot->wants_hash) {
		return left < UR_KIND_HEAD ? (size_t)left : UR_KIND_HEAD;
	}
	if (left <= UR_PROBE_BUFFER) {
		return (size_t)left;
	}
	/* So that the last read holds the whole tail. */
	return left < UR_PROBE_BUFFER + UR_PROBE_EDGE
		       ? ((size_t)left - UR_PROBE_EDGE) / UR_RING_BLOCK * UR_RING_BLOCK
		       : UR_PROBE_BUFFER;
}

void ur_probe_read(struct ur_probe_slot *slot)
{
	const size_t size = next_size(slot);
	slot->op.done = arrived;
	if (slot->direct) {
		const size_t blocks = (size + UR_RING_BLOCK - 1) / UR_RING_BLOCK;
		ur_ring_read_direct(slot->probe->ring, &slot->op, slot->fd, slot->buffer,
			blocks * UR_RING_BLOCK, slot->offset);
	} else {
		ur_ring_read(
			slot->probe->ring, &slot->op, slot->fd, slot->buffer, size, slot->offset);
	}
}

/** Whatever was wrong with a direct read, the page cache tells what the file is. */
static void read_by_cache(struct ur_probe_slot *slot)
{
	const int r = ur_sys.direct(slot->fd, false);
	slot->direct = false;
	if (r < 0) {
		ur_probe_give_up(slot, r);
	} else {
		ur_probe_read(slot);
	}
}

/** From the first bytes: what it is.  False when the rest need not be read. */
static bool judge_head(struct ur_probe_slot *slot, size_t size)
{
	struct ur_file *file = slot->file;
	struct ur_probe *probe = slot->probe;
	slot->head_size = size < UR_KIND_HEAD ? size : UR_KIND_HEAD;
	memcpy(slot->head, slot->buffer, slot->head_size);
	file->kind = ur_kind_of(slot->head, slot->head_size);
	if (ur_kind_is_unknown(file->kind)) {
		if (probe->magic == NULL && ur_magic_new(&probe->magic, NULL) < 0) {
			probe->magic = NULL;
		}
		if (probe->magic != NULL) {
			file->kind = ur_magic_kind(probe->magic, slot->head, slot->head_size);
		}
	}
	if (file->class == UR_CLASS_SIDECAR) {
		return true;
	}
	char why[UR_KIND_WHY];
	const enum ur_judgement judgement = ur_kind_judge(probe->run->types, file->name, file->kind,
		(uint64_t)slot->before.st_size, false, why, sizeof why);
	if (judgement != UR_JUDGE_TAKE) {
		ur_probe_note(slot, judgement, why);
	}
	return judgement != UR_JUDGE_REFUSE;
}

static void judge_tail(struct ur_probe_slot *slot, const unsigned char *tail, size_t size)
{
	const struct ur_file *file = slot->file;
	judge_ending(slot, file->class != UR_CLASS_SIDECAR &&
				   ur_kind_cut_short(file->kind, slot->head, slot->head_size, tail,
					   size, (uint64_t)slot->before.st_size));
}

static void take_edges(
	struct ur_probe_slot *slot, const unsigned char *bytes, size_t size, bool last)
{
	if (slot->item->dir->fs.trusted) {
		return;
	}
	if (slot->offset == 0) {
		slot->edge_first =
			ur_hash_short(bytes, size < UR_PROBE_EDGE ? size : UR_PROBE_EDGE, 0);
	}
	if (last) {
		const size_t n = size < UR_PROBE_EDGE ? size : UR_PROBE_EDGE;
		slot->file->edges = ur_hash_short(bytes + size - n, n, slot->edge_first);
	}
}

/** A sidecar is small and is parsed whole. */
static int gather_sidecar(
	struct ur_probe_slot *slot, const unsigned char *bytes, size_t size, bool last)
{
	const size_t whole = (size_t)slot->before.st_size;
	if (slot->offset == 0 && last) {
		check_sidecar(slot, bytes, size);
		return 0;
	}
	if (slot->whole == NULL) {
		slot->whole = malloc(whole);
		if (slot->whole == NULL) {
			return -ENOMEM;
		}
	}
	memcpy(slot->whole + slot->offset, bytes, size);
	if (last) {
		check_sidecar(slot, slot->whole, whole);
	}
	return 0;
}

/** The hasher keeps the buffer until the flush; then it goes on with hashed(). */
static void queue_for_hashing(struct ur_probe_slot *slot, size_t size, bool last)
{
	struct ur_probe *probe = slot->probe;
	ur_hasher_feed(probe->hasher, slot->digest, slot->buffer, size);
	if (last) {
		ur_hasher_finish(probe->hasher, slot->digest);
	}
	atomic_fetch_add_explicit(&probe->run->bytes_hashed, size, memory_order_relaxed);
	slot->filled = size;
	assert(probe->fed_count < UR_PROBE_SLOTS);
	probe->fed[probe->fed_count++] = slot;
}

static void hashed(struct ur_probe_slot *slot)
{
	ur_probe_let_go_behind(slot);
	slot->offset += slot->filled;
	if (slot->offset == (uint64_t)slot->before.st_size) {
		finish_file(slot);
	} else {
		ur_probe_read(slot);
	}
}

static void arrived(struct ur_op *op)
{
	struct ur_probe_slot *slot = (struct ur_probe_slot *)op;
	const size_t size = next_size(slot);
	if (slot->direct && op->result != (int64_t)size) {
		read_by_cache(slot);
		return;
	}
	if (op->result < 0) {
		ur_probe_give_up(slot, (int)op->result);
		return;
	}
	atomic_fetch_add_explicit(
		&slot->probe->run->bytes_read, (size_t)op->result, memory_order_relaxed);
	if ((size_t)op->result != size) { // it shrank while we read
		ur_probe_give_up(slot, -ESTALE);
		return;
	}
	if (slot->offset == 0 && !judge_head(slot, size)) {
		slot->wants_hash = false;
		slot->wants_meta = false;
		finish_file(slot);
		return;
	}
	if (!slot->wants_hash) {
		finish_file(slot);
		return;
	}
	const bool last = slot->offset + size == (uint64_t)slot->before.st_size;
	take_edges(slot, slot->buffer, size, last);
	if (slot->file->class == UR_CLASS_SIDECAR &&
		gather_sidecar(slot, slot->buffer, size, last) < 0) {
		ur_probe_give_up(slot, -ENOMEM);
		return;
	}
	if (last) {
		judge_tail(slot, slot->buffer, size);
	}
	queue_for_hashing(slot, size, last);
}

void ur_probe_hash_all(struct ur_probe *probe)
{
	const int count = probe->fed_count;
	struct ur_probe_slot *fed[UR_PROBE_SLOTS];
	memcpy(fed, probe->fed, sizeof fed);
	probe->fed_count = 0;
	probe->turns = 0;
	ur_hasher_flush(probe->hasher);
	for (int i = 0; i < count; i++) {
		hashed(fed[i]);
	}
}
