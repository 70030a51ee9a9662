/* settle_stage - the staging folder: in, back, and gone. */
#include "engine/stage/settle_parts.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>

int ur_settle_enter(struct ur_removal *x)
{
	const struct ur_root *root = x->item->dir->root;
	x->staging_here = root->loose || x->item->dir->fs.device != root->fs.device;
	x->staging_fd = ur_staging_open(x->staging_here ? x->dir_fd : root->fd);
	return x->staging_fd < 0 ? x->staging_fd : 0;
}

int ur_settle_stage(struct ur_removal *x)
{
	ur_staging_name(x->file->staged, x->file->name, x->staged);
	ur_effect("stage", false);
	const int r = ur_sys.rename_new(x->dir_fd, x->file->name, x->staging_fd, x->staged);
	ur_effect("stage", true);
	return r == -ENOENT ? UR_SETTLE_GONE : r;
}

void ur_settle_unstage(struct ur_removal *x)
{
	ur_effect("unstage", false);
	const int r = ur_sys.rename_new(x->staging_fd, x->staged, x->dir_fd, x->file->name);
	ur_effect("unstage", true);
	if (r == -EEXIST) {
		(void)ur_rename_beside(x->staging_fd, x->staged, x->dir_fd, x->file->name);
	}
}

int ur_settle_unlink(struct ur_removal *x)
{
	ur_effect("unlink", false);
	const int r = ur_sys.unlinkat(x->staging_fd, x->staged, 0);
	ur_effect("unlink", true);
	return r;
}

void ur_settle_leave(struct ur_removal *x)
{
	if (x->staging_fd >= 0) {
		(void)ur_sys.close(x->staging_fd);
		/* Fails while it is not empty, which is what we want. */
		(void)ur_sys.unlinkat(x->staging_here ? x->dir_fd : x->item->dir->root->fd,
			UR_STAGING, AT_REMOVEDIR);
	}
}
