/* ring_sync - the same requests by ordinary system calls, for where io_uring is forbidden. */
#include "engine/sys/ring.h"
#include "engine/sys/sys.h"

#include <assert.h>

void ur_ring_sync_now(struct ur_op *op)
{
	switch (op->what) {
	case UR_RING_OPEN:
		op->result = ur_sys.openat(op->fd, op->buffer, (int)op->size, 0);
		return;
	case UR_RING_READ:
		op->result = ur_sys_pread_all(op->fd, op->buffer, op->size, (off_t)op->offset);
		return;
	case UR_RING_READ_DIRECT:
		op->result = ur_sys.pread(op->fd, op->buffer, op->size, (off_t)op->offset);
		return;
	case UR_RING_CLOSE:
		op->result = ur_sys.close(op->fd);
		return;
	}
	assert(!"a request of no kind");
}
