/* leaving - real files, a run that nobody started, and an item as decide hands it over. */
#include "tests/unit/leaving.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[LEAVING_FILES] = {"a.jpg", "a.xmp"};
static const char *const bytes[LEAVING_FILES] = {"a picture", "what is said of it"};

static int no_sync(int fd)
{
	(void)fd;
	return 0; // no power is cut here
}

static void warn(void *context, const char *sentence)
{
	struct leaving *l = context;
	(void)snprintf(l->said, sizeof l->said, "%s", sentence);
	l->warnings++;
}

const char *leaving_bytes(int i)
{
	return bytes[i];
}

/* ---- where it is ----------------------------------------------------------------------------- */

bool leaving_is_home(const struct leaving *l, int i)
{
	return room_is(l->album, names[i], bytes[i]);
}

bool leaving_is_staged(const struct leaving *l, int i)
{
	char staged[UR_STAGED_NAME_MAX + 1];
	char path[UR_STAGED_NAME_MAX + 32];
	ur_staging_name(
		&l->run.staging_key, UR_STAGED_ORIGINAL, l->files[i].staged, names[i], staged);
	(void)snprintf(path, sizeof path, UR_STAGING "/%s", staged);
	return room_is(l->root->fd, path, bytes[i]);
}

bool leaving_is_moved(const struct leaving *l, int i)
{
	char path[64];
	(void)snprintf(path, sizeof path, "album/%s", names[i]);
	return room_is(l->target, path, bytes[i]);
}

/* ---- a target that is far away --------------------------------------------------------------- */

static struct leaving *far_away;

static int far_fstat(int fd, struct stat *ret)
{
	struct stat target;
	const int r = far_away->real.fstat(fd, ret);
	if (r == 0 && fstat(far_away->target, &target) == 0 && target.st_ino == ret->st_ino) {
		ret->st_dev++;
	}
	return r;
}

void leaving_far(struct leaving *l)
{
	far_away = l;
	ur_sys.fstat = far_fstat;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void put_file(struct leaving *l, int i)
{
	struct ur_file *file = &l->files[i];
	struct stat st;
	unsigned size = 0;
	room_put(l->album, names[i], bytes[i]);
	assert_int_equal(fstatat(l->album, names[i], &st, 0), 0);
	*file = (struct ur_file){
		.name = names[i],
		.identity = ur_identity_of(&st, l->root->fs.id),
		.quiet = ur_age_begin(),
		.fresh = true,
		.hashed = true,
		.remembered = true,
		.ending = UR_ENDING_WHOLE,
		.state = UR_CONFIRMED,
		.now_sent = true,
	};
	assert_int_equal(
		EVP_Digest(bytes[i], strlen(bytes[i]), file->sha1, &size, EVP_sha1(), NULL), 1);
	(void)snprintf(file->staged, sizeof file->staged, "1x%x", (unsigned)i + 1);
}

void leaving_again(struct leaving *l)
{
	if (l->album >= 0) {
		(void)close(l->album);
	}
	room_clear(l->root->fd, "album");
	room_clear(l->root->fd, UR_STAGING);
	room_clear(l->target, "album");
	room_clear(l->target, UR_STAGING);
	assert_int_equal(mkdirat(l->root->fd, "album", 0700), 0);
	l->album = openat(l->root->fd, "album", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < LEAVING_FILES; i++) {
		put_file(l, i);
	}
	ur_arena_reset(&l->item.arena);
	l->item = (struct ur_item){
		.dir = l->dir,
		.arena = l->item.arena,
		.files = l->files,
		.count = LEAVING_FILES,
		.together = {3, 3},
	};
	atomic_store(&l->run.stranded, 0);
	atomic_store(&l->dir->removed, 0);
	l->warnings = 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

int leaving_new(void **state)
{
	struct leaving *l = calloc(1, sizeof *l);
	struct ur_dir *top = NULL;
	struct ur_err err = {0};
	char src[ROOM_PATH + 16];
	l->fd = room_make(l->path);
	l->album = -1;
	l->real = ur_sys;
	ur_sys.fsync = no_sync;
	(void)snprintf(src, sizeof src, "%s/src", l->path);
	(void)snprintf(l->target_path, sizeof l->target_path, "%s/target", l->path);
	assert_int_equal(mkdir(src, 0700), 0);
	assert_int_equal(mkdir(l->target_path, 0700), 0);
	l->target = open(l->target_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	l->options = (struct ur_options){
		.after = UR_AFTER_DELETE, .move_to = l->target_path, .warn = warn, .context = l};
	l->run = (struct ur_run){.options = &l->options, .id = 1};
	(void)pthread_mutex_init(&l->run.talk, NULL);
	ur_staging_key_make("salt", 4, &l->run.staging_key);
	ur_arena_init(&l->item.arena);
	assert_int_equal(ur_root_open(src, false, &l->root, &err), 0);
	assert_int_equal(ur_dir_new(l->root, NULL, "", &top), 0);
	assert_int_equal(ur_dir_new(l->root, top, "album", &l->dir), 0);
	(void)ur_dir_unref(top);
	leaving_again(l);
	*state = l;
	return 0;
}

int leaving_free(void **state)
{
	struct leaving *l = *state;
	ur_sys = l->real;
	ur_arena_done(&l->item.arena);
	(void)ur_dir_unref(l->dir);
	l->root = ur_root_free(l->root);
	(void)pthread_mutex_destroy(&l->run.talk);
	(void)close(l->target);
	(void)close(l->album);
	room_remove(l->path, l->fd);
	free(l);
	return 0;
}

void leaving_open(struct leaving *l)
{
	l->settle = (struct ur_settle){
		.run = &l->run,
		.buffer = malloc(UR_SETTLE_BUFFER),
		.target_fd = l->target,
	};
	l->x = (struct ur_leaving){
		.settle = &l->settle,
		.item = &l->item,
		.file = &l->files[0],
		.dir_fd = ur_dir_take(l->dir),
		.fd = -1,
		.proved_fd = -1,
		.copy_fd = -1,
	};
	assert_non_null(l->settle.buffer);
	assert_true(l->x.dir_fd >= 0);
}

void leaving_close(struct leaving *l)
{
	if (l->x.proved_fd >= 0) {
		(void)close(l->x.proved_fd);
	}
	ur_settle_leave(&l->x);
	ur_settle_leave_last(&l->settle);
	assert_null(l->settle.places);
	ur_dir_give(l->dir, l->x.dir_fd);
	free(l->settle.buffer);
}
