/*
 * start - what a start finds in the spool: every upload is read, what a crash left is put right.
 *
 *     folder ─▶ info ─▶ outcome ─▶ slots ─▶ bytes cut to the slot ─▶ judged, or said to be damaged
 *                                                              └─▶ an older layout is taken over
 */
#include "engine/gateway/spool/internal.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t read_so_far; // by this process's start: whoever waits for it is told

/** Nothing is wrong with the files: this machine could not read any now. */
static bool is_passing(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EINTR || r == -EROFS;
}

/* ---- what an upload is ----------------------------------------------------------------------- */

/** The layout's version, with what is needed to take an older one over. */
static int read_info(int dir, const char *id, struct ur_spool_upload *upload, char **ret_metadata)
{
	char *json = NULL;
	size_t size = 0;
	int r = ur_spool_file_read(dir, "info", UR_INFO_MAX, &json, &size);
	r = r < 0 ? r : ur_spool_info_read(json, size, upload, ret_metadata);
	free(json);
	if (r < 0 || strcmp(upload->id, id) != 0) {
		return r < 0 ? r : -EBADMSG;
	}
	ur_spool_name_owner(upload);
	upload->touched_ms = upload->created_ms;
	return r;
}

/** One that cannot be read is none: the server is asked again, and its claim is doubted. */
static int read_outcome(int dir, struct ur_spool_upload *upload)
{
	assert(dir >= 0);
	struct ur_spool_outcome *outcome = &upload->outcome;
	*outcome = (struct ur_spool_outcome){.missed_ran_ms = UR_SPOOL_NEVER};
	const int r = ur_spool_outcome_load(dir, outcome);
	if (r < 0 && r != -ENOENT) {
		*outcome =
			(struct ur_spool_outcome){.suspect = true, .missed_ran_ms = UR_SPOOL_NEVER};
	}
	return is_passing(r) ? r : 0;
}

/** Cuts off what no slot vouches for, unless the slot that did cannot be read. */
static int cut(int dir, struct ur_spool_upload *upload, bool spoilt)
{
	assert(upload->durable <= upload->length);
	struct stat st;
	const int fd = ur_spool_file_open(dir, "bytes", O_RDWR);
	int r = fd < 0 ? fd : ur_sys.fstat(fd, &st);
	if (r >= 0 && st.st_size < (off_t)upload->durable) {
		r = -EBADMSG;
	}
	if (r >= 0 && spoilt && st.st_size > (off_t)upload->durable &&
		(!ur_spool_is_known(upload->length) || (uint64_t)st.st_size >= upload->length)) {
		upload->is_damaged = true;
		upload->is_unread = true;
	} else if (r >= 0 && st.st_size > (off_t)upload->durable) {
		ur_effect("spool cut", false);
		r = ur_sys.ftruncate(fd, (off_t)upload->durable);
		ur_effect("spool cut", true);
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r < 0 ? r : 0;
}

static int read_slots(int dir, struct ur_spool_upload *upload, bool *ret_spoilt)
{
	struct ur_spool_slot slot;
	struct ur_sha1 sha1;
	unsigned index = 0;
	const int fd = ur_spool_file_open(dir, "state", O_RDONLY);
	int r = fd < 0 ? fd : ur_spool_slot_pick(fd, &slot, &index, ret_spoilt);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	r = r < 0 ? r : ur_sha1_load(&sha1, slot.mark.offset, slot.mark.words, slot.mark.tail);
	if (r < 0) {
		return r;
	}
	upload->length = slot.mark.length;
	upload->offset = slot.mark.offset;
	upload->durable = slot.mark.offset;
	upload->touched_ms = slot.touched_ms;
	upload->touched_ran_ms = slot.touched_ran_ms;
	ur_sha1_end(&sha1, upload->sha1);
	return 0;
}

/** What follows from the slot when nothing was concluded yet. */
static void judge(struct ur_spool_upload *upload)
{
	assert(upload->durable <= upload->length);
	if (upload->outcome.state != UR_SPOOL_RECEIVING || upload->durable != upload->length) {
		return;
	}
	const bool as_promised = !upload->has_sha1 ||
				 memcmp(upload->sha1, upload->want_sha1, sizeof upload->sha1) == 0;
	upload->outcome.state = as_promised ? UR_SPOOL_COMPLETE : UR_SPOOL_BROKEN;
	upload->outcome.since_ms = upload->touched_ms;
	upload->outcome.since_ran_ms = upload->touched_ran_ms;
}

/**
 * The owner is known, and the files do not say what the bytes are: shown, kept, and not delivered
 * before the bytes were read.  What the server said stays.
 */
static void declare_damaged(struct ur_spool_upload *upload, int r)
{
	assert(r < 0);
	assert(!is_passing(r));
	struct ur_spool_outcome *outcome = &upload->outcome;
	upload->offset = 0;
	upload->durable = 0;
	upload->untrusted = true;
	upload->is_damaged = true;
	if (upload->has_sha1) {
		memcpy(upload->sha1, upload->want_sha1, sizeof upload->sha1);
	}
	if (outcome->state < UR_SPOOL_DELIVERED) {
		outcome->state = UR_SPOOL_BROKEN;
		outcome->since_ms = upload->touched_ms;
		(void)snprintf(outcome->words, sizeof outcome->words,
			r == -EPERM
				? "damaged on the gateway's disk: not a file of the gateway's "
				  "own, mode 0600; kept; send it anew"
				: "damaged on the gateway's disk (%s): kept as it is; send it anew",
			strerror(-r));
	}
}

static int read_bytes_of(int dir, struct ur_spool_upload *upload)
{
	bool spoilt = false;
	const int slots = read_slots(dir, upload, &spoilt);
	const bool lost = slots < 0 && !is_passing(slots);
	int r = slots;
	if (r == 0) {
		r = cut(dir, upload, spoilt);
		if (r == -ENOENT && ur_spool_may_go(upload->outcome.state)) {
			upload->bytes_gone = true;
			r = 0;
		}
	}
	if (is_passing(r)) {
		return r;
	}
	if (r < 0) {
		declare_damaged(upload, r);
		upload->is_unread = lost;
	} else {
		judge(upload);
	}
	assert(upload->offset == upload->durable);
	return 0;
}

/* ---- an older layout ------------------------------------------------------------------------- */

/**
 * First what tells an older program that this is not its own any more: it leaves such uploads alone.
 * On a full disk the rest waits for the next start.
 */
static int write_anew(int dir, const struct ur_spool_upload *upload, const char *metadata)
{
	struct ur_text text = {0};
	ur_spool_info_write(upload, metadata, &text);
	int r = ur_text_ok(&text) ? ur_spool_file_replace(
					    dir, "info", text.bytes, text.size, "spool take over")
				  : -ENOMEM;
	ur_text_done(&text);
	if (r == 0 && upload->outcome.state != UR_SPOOL_RECEIVING &&
		upload->outcome.state != UR_SPOOL_BROKEN) {
		r = ur_spool_outcome_make(dir, &upload->outcome);
	}
	return r;
}

/** What cannot be done now, on a full disk say, is done at another start. */
static void take_over(int dir, const struct ur_spool_upload *upload, const char *metadata)
{
	assert(!upload->is_damaged);
	if (write_anew(dir, upload, metadata) < 0) {
		(void)ur_spool_folder_tidy(dir);
	}
}

/* ---- every folder ---------------------------------------------------------------------------- */

static int read_folder(int dir, const char *id, struct ur_spool_upload *upload)
{
	char *metadata = NULL;
	(void)ur_spool_folder_tidy(dir); // what is left of an attempt harms nobody
	const int version = read_info(dir, id, upload, &metadata);
	int r = version < 0 ? version : read_outcome(dir, upload);
	r = r < 0 ? r : read_bytes_of(dir, upload);
	if (r == 0 && version < UR_SPOOL_LAYOUT && !upload->is_damaged) {
		take_over(dir, upload, metadata);
	}
	free(metadata);
	return r;
}

static int read_upload(struct ur_spool *spool, const char *id)
{
	assert(ur_spool_is_id(id));
	const int dir = ur_spool_folder_open(spool->root, id);
	if (dir < 0) {
		return dir;
	}
	struct ur_spool_upload *upload = ur_spool_upload_new(spool);
	const int r = upload == NULL ? -ENOMEM : read_folder(dir, id, upload);
	(void)ur_sys.close(dir);
	if (r < 0) {
		ur_spool_dismiss(spool, upload);
		return r;
	}
	ur_spool_admit(spool, upload);
	return 0;
}

static void note_damage(struct ur_spool *spool, const char *name, int r)
{
	assert(r < 0);
	if (spool->damaged++ == 0) {
		(void)snprintf(spool->damage, sizeof spool->damage, "%s: %s", name, strerror(-r));
	}
}

static bool begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0 && ur_spool_is_id(name + strlen(prefix));
}

static int read_one(int root, const char *name, void *context)
{
	struct ur_spool *spool = context;
	int r = 0;
	if (begins_with(name, UR_SPOOL_NEW) || begins_with(name, UR_SPOOL_GONE)) {
		r = ur_spool_folder_remove(root, name);
	} else if (ur_spool_is_id(name)) {
		atomic_fetch_add(&read_so_far, 1);
		r = read_upload(spool, name);
	} // anything else is nobody's upload: lost+found, say
	if (r < 0 && !is_passing(r)) {
		note_damage(spool, name, r);
		r = 0;
	}
	return r;
}

size_t ur_spool_read_so_far(void)
{
	return atomic_load(&read_so_far);
}

int ur_spool_read_all(struct ur_spool *spool)
{
	atomic_store(&read_so_far, 0);
	assert(spool->all.uploads == 0);
	return ur_spool_each_name(spool->root, read_one, spool);
}
