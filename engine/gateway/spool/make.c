/*
 * make - the life of an upload's folder: made, emptied, removed.
 *
 *     make    .new-ID with info, state, bytes ─ sync ─▶ ID ─ sync      a crash: .new-ID is removed
 *     remove  ID ─▶ .gone-ID ─ sync ─▶ overwrite, unlink               a crash: it is gone for good
 */
#include "engine/gateway/spool/internal.h"

#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define NAME_BYTES (sizeof UR_SPOOL_GONE - 1 + UR_SPOOL_ID)

static void name_of(const char *prefix, const char *id, char ret[NAME_BYTES])
{
	assert(ur_spool_is_id(id));
	(void)snprintf(ret, NAME_BYTES, "%s%s", prefix, id);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int write_info(int dir, const struct ur_spool_upload *upload, const char *metadata)
{
	struct ur_text text = {0};
	ur_spool_info_write(upload, metadata, &text);
	const int r = ur_text_ok(&text) ? ur_spool_file_make(dir, "info", text.bytes, text.size)
					: -ENOMEM;
	ur_text_done(&text);
	return r;
}

static int write_state(int dir, const struct ur_spool_upload *upload)
{
	assert(upload->offset == 0);
	uint8_t bytes[UR_STATE_BYTES] = {0};
	struct ur_sha1 sha1;
	struct ur_spool_slot slot = {
		.sequence = 1,
		.touched_ms = upload->touched_ms,
		.touched_ran_ms = upload->touched_ran_ms,
		.mark = {.length = upload->length},
	};
	const int r = ur_sha1_begin(&sha1);
	if (r < 0) {
		return r;
	}
	ur_sha1_save(&sha1, slot.mark.words, slot.mark.tail);
	ur_spool_slot_write(&slot, bytes);
	return ur_spool_file_make(dir, "state", bytes, sizeof bytes);
}

static int fill_folder(struct ur_spool *spool, const char *name, struct ur_spool_upload *upload,
	const char *metadata)
{
	assert(upload->outcome.state == UR_SPOOL_RECEIVING);
	const int dir = ur_spool_folder_open(spool->root, name);
	if (dir < 0) {
		return dir;
	}
	int r = write_info(dir, upload, metadata);
	r = r < 0 ? r : write_state(dir, upload);
	r = r < 0 ? r : ur_spool_outcome_make(dir, NULL);
	r = r < 0 ? r : ur_spool_file_make(dir, "bytes", NULL, 0);
	r = r < 0 ? r : ur_sys.fsync(dir);
	(void)ur_sys.close(dir);
	return r;
}

/** Its name is what makes it an upload. */
static int make_folder(struct ur_spool *spool, struct ur_spool_upload *upload, const char *metadata)
{
	assert(!upload->admitted);
	char name[NAME_BYTES];
	name_of(UR_SPOOL_NEW, upload->id, name);
	int r = ur_sys.mkdirat(spool->root, name, 0700);
	if (r < 0) {
		return r;
	}
	r = fill_folder(spool, name, upload, metadata);
	if (r == 0) {
		ur_effect("spool make", false);
		r = ur_sys.rename_new(spool->root, name, spool->root, upload->id);
	}
	if (r < 0) {
		(void)ur_spool_folder_remove(spool->root, name);
		return r;
	}
	r = ur_sys.fsync(spool->root);
	ur_effect("spool make", true);
	if (r < 0) {
		(void)ur_spool_folder_remove(spool->root, upload->id); // nobody has heard of it
	}
	return r;
}

static int random_id(char ret[UR_SPOOL_ID])
{
	uint8_t bytes[(UR_SPOOL_ID - 1) / 2];
	size_t size = 0;
	while (size < sizeof bytes) {
		const ssize_t n = getrandom(bytes + size, sizeof bytes - size, 0);
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		size += n < 0 ? 0 : (size_t)n;
	}
	ur_hex(bytes, sizeof bytes, ret);
	return 0;
}

static bool is_text(const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			return false;
		}
	}
	return ur_utf8_valid(text, strlen(text));
}

int ur_spool_make(struct ur_spool *spool, const struct ur_spool_spec *spec,
	struct ur_spool_upload **ret, struct ur_err *err)
{
	assert(*spec->owner != '\0');
	assert(strlen(spec->owner) < UR_SPOOL_USER);
	assert(!ur_spool_is_known(spec->length) || spec->length <= INT64_MAX);
	if (!is_text(spec->metadata) || strlen(spec->metadata) > UR_INFO_MAX / 4) {
		return ur_err_say(err, -EINVAL, UR_FAULT_FILE,
			"the metadata is no header: control bytes, or too long");
	}
	struct ur_spool_upload *upload = ur_spool_upload_new(spool);
	int r = upload == NULL ? -ENOMEM : random_id(upload->id);
	if (r == 0) {
		(void)snprintf(upload->owner, sizeof upload->owner, "%s", spec->owner);
		ur_spool_name_owner(upload);
		upload->length = spec->length;
		upload->created_ms = ur_clock_wall_ns() / UR_MS_NS;
		upload->touched_ms = upload->created_ms;
		upload->touched_ran_ms = ur_spool_ran_ms(spool);
		upload->outcome.missed_ran_ms = UR_SPOOL_NEVER;
		upload->has_sha1 = spec->has_sha1;
		memcpy(upload->want_sha1, spec->sha1, sizeof upload->want_sha1);
		upload->is_sidecar = spec->is_sidecar;
		r = make_folder(spool, upload, spec->metadata);
	}
	if (r < 0) {
		ur_spool_dismiss(spool, upload);
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot make an upload in the spool");
	}
	assert(!upload->admitted);
	*ret = upload;
	return 0;
}

/* ---- emptying and removing ------------------------------------------------------------------- */

int ur_spool_remove(struct ur_spool *spool, struct ur_spool_upload *upload, struct ur_err *err)
{
	char name[NAME_BYTES];
	name_of(UR_SPOOL_GONE, upload->id, name);
	ur_effect("spool remove", false);
	int r = ur_sys.rename_new(spool->root, upload->id, spool->root, name);
	r = r == -ENOENT ? 0 : r; // by an attempt that failed later
	r = r < 0 ? r : ur_sys.fsync(spool->root);
	r = r < 0 ? r : ur_spool_folder_remove(spool->root, name);
	r = r == -ENOENT ? 0 : r;
	ur_effect("spool remove", true);
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot remove the upload from the spool")
		     : 0;
}

/** Everything but info, state and outcome; the disk's word counts, not what memory says. */
static int empty_folder(int dir)
{
	assert(dir >= 0);
	static const char *const stay[] = {"info", "state", "outcome"};
	struct ur_spool_outcome outcome;
	int r = ur_spool_outcome_load(dir, &outcome);
	if (r == 0 && !ur_spool_may_go(outcome.state)) {
		r = -EINVAL;
	}
	if (r < 0) {
		return r;
	}
	ur_effect("spool empty", false);
	r = ur_spool_folder_keep(dir, stay, sizeof stay / sizeof *stay);
	r = r < 0 ? r : ur_sys.fsync(dir);
	ur_effect("spool empty", true);
	return r;
}

int ur_spool_empty(struct ur_spool_upload *upload, struct ur_err *err)
{
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir;
	if (dir >= 0) {
		r = empty_folder(dir);
		(void)ur_sys.close(dir);
	}
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_WORLD, "cannot remove an upload's bytes");
	}
	upload->bytes_gone = true;
	ur_spool_recount(upload);
	return 0;
}
