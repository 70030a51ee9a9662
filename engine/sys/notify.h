/**
 * notify - what systemd is told, and what it hands over.
 *
 *   Owner    nothing is kept
 *   Errors   none: without systemd every call does nothing
 *   Threads  any
 *   Source   sd_notify(3), sd_listen_fds(3): a datagram to $NOTIFY_SOCKET; descriptors from 3 on
 */
#ifndef UR_SYS_NOTIFY_H
#define UR_SYS_NOTIFY_H

/** "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1", "RELOADING=1"; several lines at once. */
void ur_notify(const char *state);
/** The first listening socket that was handed over to this process, or -1. */
int ur_notify_listen_fd(void);

#endif
