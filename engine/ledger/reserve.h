/**
 * reserve - room laid down while there was some, so that what makes room can be written down.
 *
 *     plenty of room ──▶ PATH-room holds 8 MiB
 *     hardly any     ──▶ it is given up: the log, the lock, a staging folder find room again
 *
 *   Owner    the ledger's one writer; look() before anything is written, and now and then
 *   Errors   none: without it a full disk is a full disk
 *   Threads  the ledger's
 */
#ifndef UR_LEDGER_RESERVE_H
#define UR_LEDGER_RESERVE_H

#include <stdbool.h>

struct ur_reserve;

/** Beside the file `path`; NULL: it cannot be kept there. */
struct ur_reserve *ur_reserve_new(const char *path);
/** What is laid down stays for the next one. */
struct ur_reserve *ur_reserve_free(struct ur_reserve *reserve);
/** Lays it down, or gives it up, by the room that there is; true: it has just been given up. */
bool ur_reserve_look(struct ur_reserve *reserve);

#endif
