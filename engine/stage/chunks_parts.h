/**
 * chunks_parts - what the parts of `chunks` share.  Included by stage/chunks*.c and their tests only.
 *
 *     chunks.c           slots, the life of a transfer in one, the guest and its turn
 *     chunks_requests.c  what the gateway is asked and sent, and what it answers
 *     chunks_disk.c      opening, reading, hashing: a chunk, and the sidecar
 *     chunks_gateway.c   is there a gateway?
 *     chunks_slot.c      how what a slot waits for has ended, for the turn to take up
 *
 * Calls go down the way they stand here.
 *
 *   Threads  http's
 */
#ifndef UR_STAGE_CHUNKS_PARTS_H
#define UR_STAGE_CHUNKS_PARTS_H

#include "engine/media/hash_stream.h"
#include "engine/net/transfer.h"
#include "engine/net/tus.h"
#include "engine/net/window.h"
#include "engine/source/readahead.h"
#include "engine/stage/chunks.h"

#define UR_CHUNKS_NAME_ROOM 1024u
#define UR_CHUNKS_ANSWER_MS 60000
#define UR_CHUNKS_ANSWER_MAX (64u << 10)
#define UR_CHUNKS_UPLOAD_ID 33 // its 32 digits and a NUL

enum ur_chunks_reading { // what the buffers are for
	READING_NOTHING,
	READING_HASH,
	READING_SEND,
};

struct ur_chunks_slot {
	struct ur_op op; // first: opens, and the sidecar's read
	struct ur_transport transport;
	struct ur_transfer transfer;
	struct ur_stream stream;
	struct ur_request request;
	struct ur_window window;
	struct ur_chunks *chunks;
	struct ur_item *item; // NULL: idle
	struct ur_file *file;
	struct ur_file *sidecar;
	struct ur_resume *resume;

	/* The disk. */
	int dir_fd;
	int fd;
	bool opening;
	enum ur_chunks_reading reading;
	struct ur_readahead ahead;
	struct ur_xxh *whole; // of the file, up to whole_at
	uint64_t whole_at;
	struct ur_xxh *part; // of the chunk
	struct ur_sha1 sha1; // the same, for a gateway that knows no other
	uint8_t part_xxh[UR_HASH_XXH];
	struct ur_tus_checksum checksum;
	unsigned char *sidecar_bytes;
	void (*sidecar_there)(struct ur_chunks_slot *slot);

	/* What the present state waits for. */
	bool concluding;  // the outcome is known: the turn goes on when reads are back
	uint64_t counted; // bytes that stand in the run's count
	bool based;       // where it stood before this run is known
	struct ur_transfer_outcome outcome;
	int64_t due_ns; // steady; 0: no timer
	int64_t sent_ns;
	char words[UR_TRANSFER_WHY_MAX];
	char location[UR_HTTP_FIELD_MAX];
	bool early;
	char clear[UR_ADDRESS_MAX]; // of the upload that goes first
	char related[UR_CHUNKS_UPLOAD_ID];
	char url[UR_ADDRESS_MAX];
	char lines[3][160];
	struct ur_text metadata;
	char name[UR_CHUNKS_NAME_ROOM];
};

enum ur_chunks_gateway {
	GATEWAY_UNASKED,
	GATEWAY_ASKED, // the answer is on its way, or a pause before the next question
	GATEWAY_THERE,
	GATEWAY_NONE,
};

struct ur_chunks {
	struct ur_run *run;
	struct ur_chunks_wiring wiring;
	struct ur_http *http;
	struct ur_ring *ring;
	struct ur_chunks_slot *slots;
	unsigned slot_count;
	struct ur_transfer_pace pace;
	char base[UR_ADDRESS_MAX]; // ends in /files/

	enum ur_chunks_gateway gateway;
	bool gateway_silent;  // NONE, but it may be back
	struct ur_item *held; // came before the gateway's answer
	struct ur_request ask;
	bool asking;
	unsigned asks;
	int64_t ask_due_ns;
	enum ur_tus_algorithm algorithm;
	bool version_fits;
	bool speaks_tus; // whoever answered
	bool makes_uploads;
	bool warned;
	uint64_t seed;
};

/* chunks_requests.c */
/** A request without a body; `tail` is put behind the address. */
void ur_chunks_ask_simply(
	struct ur_chunks_slot *slot, const char *method, const char *address, const char *tail);
/** The same file, said in the same words, with the same sidecar: only then an upload goes on. */
uint64_t ur_chunks_about(struct ur_chunks_slot *slot);
void ur_chunks_create_upload(struct ur_chunks_slot *slot);
/** Has the sidecar read, unless it was, and sends it. */
void ur_chunks_begin_sidecar(struct ur_chunks_slot *slot);
void ur_chunks_send_chunk(struct ur_chunks_slot *slot);

/* chunks_disk.c */
/** slot->ahead's: bytes of the chunk are there. */
void ur_chunks_arrived(struct ur_readahead *ahead);
/** Opens the file unless it is; at the end the chunk's checksum is known. */
void ur_chunks_hash_chunk(struct ur_chunks_slot *slot);
/** The chunk is read once more, for slot->stream. */
void ur_chunks_begin_sending(struct ur_chunks_slot *slot);
/** slot->stream: its bytes, as far as the window lets them. */
ssize_t ur_chunks_give(struct ur_stream *stream, void *bytes, size_t size);
/** Reads the sidecar; `there` when it stands in slot->sidecar_bytes, as it was probed. */
void ur_chunks_read_sidecar(
	struct ur_chunks_slot *slot, void (*there)(struct ur_chunks_slot *slot));

/* chunks_gateway.c */
/** True when what is in the queue can be dealt with; asks whether there is a gateway, if need be. */
bool ur_chunks_is_ready(struct ur_chunks *chunks);

/* chunks_slot.c */
/** Something of the slot's is still the ring's, or http's. */
bool ur_chunks_is_reading(const struct ur_chunks_slot *slot);
/** The outcome is in slot->outcome: the turn goes on from it, once what is being read is back. */
void ur_chunks_conclude(struct ur_chunks_slot *slot);
/** The same with an outcome of the code alone; `what` is said of an error. */
void ur_chunks_conclude_code(struct ur_chunks_slot *slot, int code, const char *what);

#endif
