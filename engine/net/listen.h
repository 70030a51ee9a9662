/**
 * listen - the socket that a server waits on: TCP, a Unix socket, or one that was handed over.
 *
 *   Owner    the listener owns its descriptor; a Unix socket's file is removed by close() when it is
 *            still the one that was made here (a handed one's file is its maker's)
 *   Errors   SETUP, with the address in the sentence; -EADDRINUSE when somebody listens there
 *   Threads  one at a time
 */
#ifndef UR_NET_LISTEN_H
#define UR_NET_LISTEN_H

#include "engine/base/err.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#define UR_PEER_MAX 64

struct ur_listener {
	int fd; // -1: closed
	bool is_unix;
	bool is_ours;      // the file is to be removed
	dev_t device;      // of the file
	ino_t inode;       //
	char address[160]; // "127.0.0.1:41234", "[::1]:8090", "unix:/run/uringest.sock"
};

/** "127.0.0.1:8090", "[::1]:8090" (port 0: any free one) or "unix:PATH", mode 0660. */
[[nodiscard]] int ur_listener_open(const char *where, struct ur_listener *ret, struct ur_err *err);
/** A listening stream socket that somebody else has bound; it is ours from here on, also on failure. */
[[nodiscard]] int ur_listener_take(int fd, struct ur_listener *ret, struct ur_err *err);
void ur_listener_close(struct ur_listener *listener);

/** The peer's address without its port, "unix" for a Unix socket; true for this very machine. */
bool ur_peer_name(const struct sockaddr_storage *peer, char ret[UR_PEER_MAX]);

#endif
