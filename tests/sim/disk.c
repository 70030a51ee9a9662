/*
 * disk - one file in memory, in the place of what a process leaves on its disk by name.
 *
 * It outlives a process, as a page cache does; the decisions that are tried here know no other file.
 */
#include "tests/sim/sim.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define THE_FD 0x51d

static struct {
	char bytes[48 << 10];
	size_t size;
	bool fails; // to be opened
} file;

static int open_it(int dir, const char *path, int flags, mode_t mode)
{
	(void)dir, (void)path, (void)flags, (void)mode;
	return file.fails ? -EACCES : THE_FD;
}

static int close_it(int fd)
{
	(void)fd;
	return 0;
}

static ssize_t read_it(int fd, void *buffer, size_t size, off_t offset)
{
	const size_t at = (size_t)offset;
	(void)fd;
	size = at >= file.size ? 0 : size < file.size - at ? size : file.size - at;
	memcpy(buffer, file.bytes + at, size);
	return (ssize_t)size;
}

static ssize_t write_it(int fd, const void *buffer, size_t size, off_t offset)
{
	const size_t end = (size_t)offset + size;
	(void)fd;
	assert(end <= sizeof file.bytes);
	if (!sim.dead && sim_lies(LIE_DISK) && sim_once_in(4)) {
		return -ENOSPC;
	}
	memcpy(file.bytes + offset, buffer, size);
	file.size = end > file.size ? end : file.size;
	return (ssize_t)size;
}

static int truncate_it(int fd, off_t size)
{
	(void)fd;
	memset(file.bytes, 0, sizeof file.bytes);
	file.size = (size_t)size;
	return 0;
}

void sim_disk_begin(void)
{
	file.size = 0;
	memset(file.bytes, 0, sizeof file.bytes);
	ur_sys.openat = open_it;
	ur_sys.close = close_it;
	ur_sys.pread = read_it;
	ur_sys.pwrite = write_it;
	ur_sys.ftruncate = truncate_it;
}

struct ur_wire *sim_disk_wire(void)
{
	static const uint8_t owner[UR_WIRE_OWNER] = "the world's";
	struct ur_wire *wire = NULL;
	file.fails = !sim.honest && sim_once_in(8);
	return ur_wire_open("wire", owner, &wire) == 0 ? wire : NULL;
}
