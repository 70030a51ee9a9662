/* listen - bind() and what has to be known around it. */
#include "engine/net/listen.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/text.h"
#include "engine/sys/sys.h"

#define UNIX_PREFIX "unix:"
#define UNIX_MODE 0660

static int close_socket(int fd)
{
	if (fd >= 0) {
		(void)close(fd);
	}
	return -1;
}

bool ur_peer_name(const struct sockaddr_storage *peer, char ret[UR_PEER_MAX])
{
	if (peer->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
		(void)inet_ntop(AF_INET, &in->sin_addr, ret, UR_PEER_MAX);
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (peer->ss_family == AF_INET6) {
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *)peer)->sin6_addr;
		if (IN6_IS_ADDR_V4MAPPED(in6)) {
			(void)inet_ntop(AF_INET, in6->s6_addr + 12, ret, UR_PEER_MAX);
			return in6->s6_addr[12] == 127;
		}
		(void)inet_ntop(AF_INET6, in6, ret, UR_PEER_MAX);
		return IN6_IS_ADDR_LOOPBACK(in6);
	}
	(void)snprintf(ret, UR_PEER_MAX, "unix");
	return true;
}

/** Fills in `address` from what the kernel says, so that port 0 becomes the one that was given. */
static int note_address(struct ur_listener *listener)
{
	struct sockaddr_storage own = {0};
	socklen_t size = sizeof own;
	if (getsockname(listener->fd, (struct sockaddr *)&own, &size) < 0) {
		return -errno;
	}
	char host[UR_PEER_MAX] = "";
	if (own.ss_family == AF_UNIX) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)&own;
		listener->is_unix = true;
		(void)snprintf(listener->address, sizeof listener->address, UNIX_PREFIX "%.108s",
			un->sun_path);
		return 0;
	}
	if (own.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&own;
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		(void)snprintf(listener->address, sizeof listener->address, "[%s]:%u", host,
			(unsigned)ntohs(in6->sin6_port));
		return 0;
	}
	if (own.ss_family != AF_INET) {
		return -EAFNOSUPPORT;
	}
	(void)ur_peer_name(&own, host);
	(void)snprintf(listener->address, sizeof listener->address, "%s:%u", host,
		(unsigned)ntohs(((const struct sockaddr_in *)&own)->sin_port));
	return 0;
}

/* --- Unix sockets --------------------------------------------------------------------------------- */
/** True when somebody answers there; an old file answers ECONNREFUSED. */
static bool is_alive(const struct sockaddr_un *un)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return true;
	}
	const bool refused = connect(fd, (const struct sockaddr *)un, sizeof *un) < 0 &&
			     (errno == ECONNREFUSED || errno == ENOENT);
	(void)close_socket(fd);
	return !refused;
}

/** Makes room for our file: a socket that nobody listens on goes, anything else stays. */
static int clear_stale(const struct sockaddr_un *un, struct ur_err *err)
{
	struct stat st;
	int r = ur_sys.fstatat(AT_FDCWD, un->sun_path, &st, AT_SYMLINK_NOFOLLOW);
	if (r == -ENOENT) {
		return 0;
	}
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot look at '%s'", un->sun_path);
	}
	if (!S_ISSOCK(st.st_mode)) {
		return ur_err_say(err, -EEXIST, UR_FAULT_SETUP,
			"'%s' is there and is no socket; name another path or remove it",
			un->sun_path);
	}
	if (is_alive(un)) {
		return ur_err_say(err, -EADDRINUSE, UR_FAULT_SETUP,
			"somebody listens on '%s' already", un->sun_path);
	}
	r = ur_sys.unlinkat(AT_FDCWD, un->sun_path, 0);
	if (r < 0 && r != -ENOENT) {
		return ur_err_set(
			err, r, UR_FAULT_SETUP, "cannot replace the old socket '%s'", un->sun_path);
	}
	return 0;
}

static int open_unix(const char *path, struct ur_listener *listener, struct ur_err *err)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stat st;
	if (path[0] == '\0' || strlen(path) >= sizeof un.sun_path) {
		return ur_err_say(err, -ENAMETOOLONG, UR_FAULT_SETUP,
			"the path of a Unix socket has 1 to %zu bytes, '%s' does not",
			sizeof un.sun_path - 1, path);
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	int r = clear_stale(&un, err);
	if (r < 0) {
		return r;
	}
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0 || bind(listener->fd, (const struct sockaddr *)&un, sizeof un) < 0) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot listen on '%s'", path);
	}
	/* Nobody can connect before listen(), so the mode is in time. */
	if (fchmodat(AT_FDCWD, path, UNIX_MODE, 0) < 0) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot set the mode of '%s'", path);
	}
	r = ur_sys.fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot look at '%s'", path);
	}
	listener->is_ours = true;
	listener->device = st.st_dev;
	listener->inode = st.st_ino;
	return 0;
}

/* --- TCP ------------------------------------------------------------------------------------------ */
/** "HOST:PORT" or "[HOST]:PORT" into its two parts. */
static int split(const char *where, char host[UR_PEER_MAX], const char **ret_port)
{
	const char *colon = strrchr(where, ':');
	if (colon == NULL || colon == where || colon[1] == '\0') {
		return -EINVAL;
	}
	size_t size = (size_t)(colon - where);
	if (where[0] == '[' && where[size - 1] == ']') {
		where++;
		size -= 2;
	} else if (memchr(where, ':', size) != NULL) {
		return -EINVAL;
	}
	if (size == 0 || size >= UR_PEER_MAX) {
		return -EINVAL;
	}
	memcpy(host, where, size);
	host[size] = '\0';
	/* getaddrinfo() would take 99999 for 34463. */
	int64_t number = 0;
	*ret_port = colon + 1;
	return ur_parse_number(colon + 1, 0, UINT16_MAX, &number);
}

static int open_tcp(const char *where, struct ur_listener *listener, struct ur_err *err)
{
	char host[UR_PEER_MAX];
	const char *port = NULL;
	struct addrinfo *found = NULL;
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	if (split(where, host, &port) < 0 || getaddrinfo(host, port, &hints, &found) != 0) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"'%s' is no address to listen on; write 127.0.0.1:PORT, [::1]:PORT or unix:PATH",
			where);
	}
	const int one = 1;
	listener->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = listener->fd < 0 ? -errno : 0;
	if (r == 0 && setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) {
		r = -errno;
	}
	if (r == 0 && bind(listener->fd, found->ai_addr, found->ai_addrlen) < 0) {
		r = -errno;
	}
	freeaddrinfo(found);
	return r < 0 ? ur_err_set(err, r, UR_FAULT_SETUP, "cannot listen on '%s'", where) : 0;
}

int ur_listener_open(const char *where, struct ur_listener *ret, struct ur_err *err)
{
	struct ur_listener listener = {.fd = -1};
	const size_t prefix = strlen(UNIX_PREFIX);
	int r = strncmp(where, UNIX_PREFIX, prefix) == 0 ? open_unix(where + prefix, &listener, err)
							 : open_tcp(where, &listener, err);
	if (r < 0) {
		goto fail;
	}
	if (listen(listener.fd, SOMAXCONN) < 0) {
		r = ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot listen on '%s'", where);
		goto fail;
	}
	r = note_address(&listener);
	if (r < 0) {
		r = ur_err_set(err, r, UR_FAULT_SETUP, "cannot listen on '%s'", where);
		goto fail;
	}
	*ret = listener;
	return 0;

fail:
	ur_listener_close(&listener);
	return r;
}

/** 0 for a stream socket that listens, which then waits for nobody and is not inherited. */
static int check_handed(int fd)
{
	int type = 0;
	int listens = 0;
	socklen_t size = sizeof type;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) {
		return -errno;
	}
	if (type != SOCK_STREAM || listens == 0) {
		return -EINVAL;
	}
	const int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		return -errno;
	}
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int ur_listener_take(int fd, struct ur_listener *ret, struct ur_err *err)
{
	struct ur_listener listener = {.fd = fd};
	int r = check_handed(fd);
	if (r == 0) {
		r = note_address(&listener);
	}
	if (r < 0) {
		ur_listener_close(&listener);
		return ur_err_set(err, r, UR_FAULT_SETUP,
			"descriptor %d, which was handed over, is no socket that listens", fd);
	}
	*ret = listener;
	return 0;
}

void ur_listener_close(struct ur_listener *listener)
{
	struct stat st;
	const char *path = listener->address + strlen(UNIX_PREFIX);
	listener->fd = close_socket(listener->fd);
	/* A successor may have put its own file there. */
	if (listener->is_ours && listener->is_unix &&
		ur_sys.fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == listener->device && st.st_ino == listener->inode) {
		(void)ur_sys.unlinkat(AT_FDCWD, path, 0);
	}
	listener->is_ours = false;
}
