/**
 * staging - the folder UR_STAGING, and the names in it; shared by who removes and who recovers.
 *
 *     NAME ──▶ .uringest/LEDGER.TOKEN.MAC-NAME ──▶ gone, or back as NAME, or as "NAME (2)"
 *
 * Nothing here is believed because of its name alone.  The folder must be a real one, the caller's
 * own, and closed to everybody else; on file systems that make owners and modes up it must look like
 * a folder that we have just made.  A name is ours when its MAC is: the key comes from the ledger's
 * random bytes, so nobody else can make one, and another ledger's are told apart.
 *
 * The lock: runs share it (their names cannot meet), who looks for leftovers takes it alone, so that
 * what a living run has staged is never taken for something that a dead one left.
 *
 *   Errors   -EWOULDBLOCK in use, UR_STAGING_FOREIGN, UR_STAGING_OPEN, -ENOENT none, else the disk's;
 *            ur_staging_say() has the sentence
 *   Threads  any
 */
#ifndef UR_SOURCE_STAGING_H
#define UR_SOURCE_STAGING_H

#include "engine/source/folder.h"

#define UR_STAGED_NAME_MAX 255
#define UR_STAGED_TOKEN 24 // "RUNxNUMBER" and the NUL: what a row remembers
#define UR_STAGED_LEDGER 8 // hex digits that name a ledger
#define UR_STAGING_FOREIGN (-EKEYREJECTED)
#define UR_STAGING_OPEN (-EKEYREVOKED)

/**
 * 0 when files may be staged in `parent`, as far as can be seen without trying; else why not: then nothing
 * whose staging folder would stand there can be taken away.
 */
[[nodiscard]] int ur_staging_hindrance(int parent);
/** What makes names unforgeable: of one ledger. */
struct ur_staging_key {
	uint8_t bytes[32];
	char ledger[UR_STAGED_LEDGER + 1];
};
/** From the ledger's random bytes. */
void ur_staging_key_make(const void *salt, size_t size, struct ur_staging_key *ret);

#define UR_STAGING_NOTE 16 // "LEDGER.place" and the NUL
/** The name of a ledger's note of the placeholder that it is making, see rename.h; NULL: nobody's. */
void ur_staging_note(const struct ur_staging_key *key, char ret[UR_STAGING_NOTE]);
bool ur_staging_is_note(const char *name);

/** The path leads into a staging folder: what stands there is a run's, and never a source. */
bool ur_staging_is_within(const char *path);

/** What stands in a staging folder. */
enum ur_staged_kind {
	UR_STAGED_ORIGINAL, // the file itself
	UR_STAGED_COPY,     // of a file that stands staged elsewhere, perhaps half of it
};

/**
 * The staged name of `name`: its front is cut, between two characters, when it is too long; what is
 * left can be read and keeps its extension.
 */
void ur_staging_name(const struct ur_staging_key *key, enum ur_staged_kind kind, const char *token,
	const char *name, char ret[UR_STAGED_NAME_MAX + 1]);

struct ur_staged {
	enum ur_staged_kind kind;
	bool ours;                         // the MAC is right for the key
	char ledger[UR_STAGED_LEDGER + 1]; // "" when it does not look like one of ours
	char token[UR_STAGED_TOKEN];
	const char *name; // within what was read: the original's, perhaps without its front
};
/** What a name in a staging folder says; with a key, whether it is true. */
void ur_staged_read(const struct ur_staging_key *key, const char *staged, struct ur_staged *ret);

/**
 * Whose a staging folder is: 0, UR_STAGING_FOREIGN or UR_STAGING_OPEN.  `fresh`: a folder that we
 * have made just now beside it, where the file system may be one that makes owners and modes up.
 */
[[nodiscard]] int ur_staging_judge(const struct stat *folder, const struct stat *fresh, uid_t me);

/** The staging folder in `parent`, made when it is missing, and its lock shared with other runs. */
[[nodiscard]] int ur_staging_open(int parent);
/** An existing one, and its lock alone. */
[[nodiscard]] int ur_staging_open_alone(int parent);
/** Closes it, and removes it when it is empty and nobody else uses it. */
void ur_staging_leave(int parent, int staging);
/** Why nothing is staged there, for "the folder '…/.uringest' …"; NULL: no word of ours. */
const char *ur_staging_say(int r);

#endif
