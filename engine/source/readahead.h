/**
 * readahead - a range of an open file on its way out, and not a byte of another file.
 *
 *     disk ──▶ [ buffer │ buffer ] ──hash──▶ peek ─▶ take        two take turns: one on its way out,
 *     memory ─────────────────────hash──▶ give                   one being filled by the ring
 *
 * Bytes are hashed in the order of the file, before they are handed over.  The last of them are held
 * back until the hash is the one that was expected and, where the range ends with the file, the
 * descriptor is still that of the file; so whoever sends them breaks off before the end of what has
 * changed.  What is in memory may be read straight into the receiver's buffer; from the first byte
 * that is not, the buffers take over.
 *
 *   Owner    embedded in its owner; the buffers are the ring's while ur_readahead_is_reading(); the
 *            descriptor, the expected hash and the identity outlive the range
 *   Units    bytes; offsets of the file
 *   Errors   -EAGAIN  nothing has arrived: arrived() will follow
 *            -ESTALE  it is shorter, or other bytes, or another file than expected
 *            else     the disk's
 *   Threads  the ring's
 */
#ifndef UR_SOURCE_READAHEAD_H
#define UR_SOURCE_READAHEAD_H

#include "engine/media/hash.h"
#include "engine/source/folder.h"
#include "engine/sys/ring.h"

#define UR_READAHEAD_BUFFER (512u << 10)

struct ur_readahead_spec {
	int fd;
	uint64_t from;
	uint64_t to;
	const uint8_t *xxh; // what [from, to) must be, UR_HASH_XXH bytes; NULL: whatever it is
	const struct ur_identity *identity; // the file's
	bool memory_first; // what is in memory goes without the ring: for give() alone
	bool forgets;      // it was read for us alone, and need not stay in memory behind us
};

struct ur_readahead_buffer {
	struct ur_op op; // first: the ring gives it back
	struct ur_readahead *ahead;
	unsigned char *bytes;
	size_t used; // handed over
	bool in_flight;
	bool ready;
	bool seen; // hashed, and the last one verified
};

struct ur_readahead {
	/** A read came back, from the ring's loop; also one that nobody needs any more. */
	void (*arrived)(struct ur_readahead *ahead);
	/* Its own. */
	struct ur_ring *ring;
	struct ur_readahead_spec spec;
	struct ur_readahead_buffer buffers[2];
	int filling;       // which buffer the next read goes to
	int giving;        // which one the next bytes come from
	uint64_t read_at;  // the next read's offset
	uint64_t given_at; // the next byte's that goes out
	bool by_ring;      // it was met that is not in memory, or that was not asked
	bool stopped;
	int error; // what broke it
	struct ur_xxh *xxh;
};

/** Makes room; -ENOMEM, and then too ur_readahead_done() is called. */
[[nodiscard]] int ur_readahead_init(
	struct ur_readahead *ahead, void (*arrived)(struct ur_readahead *ahead));
/** Nothing may be in flight. */
void ur_readahead_done(struct ur_readahead *ahead);

/** Begins a range; nothing may be in flight. */
void ur_readahead_begin(
	struct ur_readahead *ahead, struct ur_ring *ring, const struct ur_readahead_spec *spec);
/** No more is read; what is in flight comes back by arrived(). */
void ur_readahead_stop(struct ur_readahead *ahead);
bool ur_readahead_is_reading(const struct ur_readahead *ahead);
/** The offset of the next byte that goes out. */
uint64_t ur_readahead_at(const struct ur_readahead *ahead);
/** Every byte of the range has gone out. */
bool ur_readahead_is_over(const struct ur_readahead *ahead);
/** Why nothing more comes; 0: it may. */
int ur_readahead_error(const struct ur_readahead *ahead);

/** The next bytes, verified, in place until they are taken: how many, or an error. */
[[nodiscard]] ssize_t ur_readahead_peek(struct ur_readahead *ahead, const unsigned char **ret);
/** The first `size` of what was peeked are done with. */
void ur_readahead_take(struct ur_readahead *ahead, size_t size);
/** Copies up to `size` of the next bytes: how many, or an error. */
[[nodiscard]] ssize_t ur_readahead_give(struct ur_readahead *ahead, void *bytes, size_t size);

#endif
