/**
 * golden - what the replay of recorded exchanges is made of.
 *
 *     script ─▶ replay_golden   one test a line: prepare something, or replay a recording
 *               server          starts immichd, sends requests
 *               files           bytes for the files that the recordings only name by size and SHA-1
 *               compare         is the answer what was recorded?
 *               raw             exchanges that need a socket of their own
 *
 * Recorded ids, keys and checksums are replaced by those of this run wherever they stand: `pairs`
 * knows what stands for what, and learns ids from the answers.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/base/text.h"

// --- pairs: recorded text and what stands for it ---
void pairs_add(const char *recorded, const char *actual);
const char *pairs_find(const char *recorded);
void pairs_clear(void);
/** A copy with everything replaced; the caller frees. */
char *pairs_apply(const char *text);

// --- server ---
struct answer {
	int status;
	struct ur_text headers;
	struct ur_text body;
};

struct question {
	const char *method;
	const char *path;
	json_t *headers; // name: value
	const void *body;
	size_t size;
	bool has_body;
};

/** Starts immichd with these arguments besides its own; `fresh` empties its folder first. */
void server_start(const char *program, bool fresh, const char *arguments);
void server_stop(void);
int server_port(void);
/** Where it keeps its files. */
const char *server_data(void);
void server_ask(const struct question *question, struct answer *ret);
void answer_done(struct answer *answer);
/** A header's value, or NULL; valid until the next call. */
const char *answer_header(const struct answer *answer, const char *name);

// --- files ---
/** Bytes of the wanted size, always the same for the same seed; *ret is the caller's to free. */
void file_make(const char *name, const char *seed, size_t size, unsigned char **ret);
/** As file_make(), and remembers what stands for the recorded SHA-1 (hex). */
void file_make_recorded(const char *name, const char *sha1_hex, size_t size, unsigned char **ret);
extern const char file_sidecar[];
extern const char file_sidecar_embedded[];

// --- compare ---
/**
 * Adds a line per difference to `ret`.  Ids are learned, times compared by their form; `loose`
 * compares names and types only, except for messages.
 */
void compare_json(json_t *recorded, json_t *actual, bool loose, struct ur_text *ret);

// --- raw ---
/** Runs the exchange with this name; fails the test, or returns false when there is none. */
bool raw_replay(const char *name, json_t *recording);

#endif
