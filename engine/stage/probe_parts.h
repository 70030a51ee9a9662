/**
 * probe_parts - what the parts of `probe` share.  Included by stage/probe*.c and their tests only.
 *
 *     probe.c        the thread, its ring, and which files of an item are opened at all
 *     probe_open.c   from a name to a descriptor that is what was scanned
 *     probe_bytes.c  reading, hashing, judging
 *     probe_cold.c   what is in memory, and how it is read and left so
 *     probe_file.c   what is known of a file, and its end
 *
 * Read along a file's life: next → open → read ⇄ hash_all → close ┈ next.  Calls go down the way they
 * stand here; what is over (┈) is taken up by the probe's turn.
 *
 *   Owner    a slot has its item from next to the end of the item's last file
 *   Threads  the probe's
 */
#ifndef UR_STAGE_PROBE_PARTS_H
#define UR_STAGE_PROBE_PARTS_H

#include "engine/stage/probe.h"

#include <pthread.h>
#include <sys/stat.h>

#define UR_PROBE_SLOTS 32
#define UR_PROBE_BUFFER (256u << 10)
#define UR_PROBE_EDGE (64u << 10)

struct ur_probe_slot {
	struct ur_op op; // first: the ring gives it back
	struct ur_probe *probe;
	struct ur_item *item;
	struct ur_file *file;
	int index;
	int dir_fd;
	int fd;
	unsigned char *buffer;
	size_t filled; // fed to the hasher, which has the buffer until the flush
	struct ur_digest *digest;
	struct stat before;
	int64_t opened_ns;
	uint64_t offset;
	uint64_t edge_first;
	bool wants_hash; // otherwise only the head, for a message or for the pair
	bool wants_meta;
	bool direct; // it is read past the page cache
	unsigned char head[UR_KIND_HEAD];
	size_t head_size;
	unsigned char *whole; // a sidecar that is larger than the buffer
};

struct ur_probe {
	struct ur_run *run;
	struct ur_probe_wiring wiring;
	pthread_t thread;
	pthread_barrier_t started;
	int start_result;
	struct ur_err start_err;
	struct ur_ring *ring;
	struct ur_hasher *hasher;
	struct ur_magic *magic;
	unsigned char *memory; // of all buffers
	bool registered;       // with the ring, or that was tried
	struct ur_probe_slot slots[UR_PROBE_SLOTS];
	struct ur_probe_slot *idle[UR_PROBE_SLOTS];
	int idle_count;
	struct ur_probe_slot *fed[UR_PROBE_SLOTS]; // their buffers wait for the flush
	int fed_count;
	int flush_at; // so many fill the lanes, and are in the cache still
	int turns;    // of the ring since the first of them
	struct ur_probe_slot *over[UR_PROBE_SLOTS]; // their files are
	int over_count;
	bool input_closed;
	uint32_t in_flight; // as the run was last told
	bool news;          // items went out since the bell was rung
	unsigned samples;   // files, of which some are asked about
};

/* probe_open.c */
/** False when the file's folder cannot be opened: that is the file's error, and its end. */
[[nodiscard]] bool ur_probe_open(struct ur_probe_slot *slot);

/* probe_cold.c */
/** Decides how the open file is read. */
void ur_probe_see_if_cold(struct ur_probe_slot *slot);
/** What was read need not stay in memory. */
void ur_probe_let_go_behind(struct ur_probe_slot *slot);

/* probe_bytes.c */
/** The next piece, into the slot's buffer. */
void ur_probe_read(struct ur_probe_slot *slot);
/** Every buffer that waits; then their files go on. */
void ur_probe_hash_all(struct ur_probe *probe);

/* probe_file.c */
/** Why the file is refused or doubted. */
void ur_probe_note(struct ur_probe_slot *slot, enum ur_judgement judgement, const char *why);
/** What the row says is so. */
void ur_probe_believe_row(struct ur_file *file);
/** It cannot be read, for `code`; the end of the file. */
void ur_probe_give_up(struct ur_probe_slot *slot, int code);
/** The file is done with, whatever came of it: it is closed, and the turn goes on. */
void ur_probe_close(struct ur_probe_slot *slot);

#endif
