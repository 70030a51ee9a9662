/*
 * probe_cold - what is not in memory: noticed, read past the page cache or by it, and forgotten.
 */
#include "engine/stage/probe_parts.h"

#include "engine/sys/sys.h"

#define COLD_SIZE (4 << 20) // smaller files are left to the kernel, but where nothing is in memory
#define REGISTER_SIZE (64 << 10) // with smaller files it gains little
#define SAMPLE 8u                // of which one in so many is asked about
#define FORGET_EVERY (8u << 20)
#define COLD_SHARE 2 // less than half of it in memory is not in memory

/** How much of the file is in memory, if that is worth the asking; all of it, when it is unknown. */
static int64_t cached_of(struct ur_probe_slot *slot)
{
	struct ur_probe *probe = slot->probe;
	const int64_t size = slot->before.st_size;
	const bool asks =
		size >= COLD_SIZE || ur_run_is_cold(probe->run) || probe->samples++ % SAMPLE == 0;
	const int64_t cached = asks ? ur_sys.cached(slot->fd) : size;
	if (asks && cached >= 0) {
		ur_run_see_cold(probe->run, cached < size / COLD_SHARE);
	}
	return cached < 0 ? size : cached;
}

/** Not before it is known to be of use: memory that is registered is taken at once, and all of it. */
static void register_buffers(struct ur_probe *probe)
{
	if (!probe->registered) {
		probe->registered = true;
		(void)ur_ring_register(
			probe->ring, probe->memory, (size_t)UR_PROBE_SLOTS * UR_PROBE_BUFFER);
	}
}

/**
 * What nobody had in memory shall not push out what somebody has.  A plan reads what is read in one go
 * past the page cache, which is cheaper and faster; larger files by the cache, which reads ahead, and
 * is told to forget them.  An import reads once more before long, when it sends.
 */
void ur_probe_see_if_cold(struct ur_probe_slot *slot)
{
	const struct ur_item *item = slot->item;
	const int64_t size = slot->before.st_size;
	slot->file->cold = cached_of(slot) < size / COLD_SHARE;
	slot->direct = slot->file->cold && slot->probe->run->options->plan && !slot->wants_meta &&
		       size <= UR_PROBE_BUFFER && item->dir->fs.trusted &&
		       ur_sys.direct(slot->fd, true) == 0;
	if (slot->direct && size >= REGISTER_SIZE) {
		register_buffers(slot->probe);
	}
}

/**
 * What an import is about to send is read once more before long: upload lets it go.  From the start
 * of the file each time, because what lies across two pieces goes with neither.
 */
void ur_probe_let_go_behind(struct ur_probe_slot *slot)
{
	const uint64_t end = slot->offset + slot->filled;
	const bool last = end == (uint64_t)slot->before.st_size;
	if (slot->file->cold && slot->probe->run->options->plan && !slot->direct &&
		(last || slot->offset / FORGET_EVERY != end / FORGET_EVERY)) {
		ur_sys.forget(slot->fd, 0, last ? 0 : (off_t)end);
	}
}
