/*
 * spool - the index of uploads, and the life of one on disk.
 *
 *     make    .new-ID with info, state, bytes ─ sync ─▶ ID ─ sync      a crash: .new-ID is removed
 *     remove  ID ─▶ .gone-ID ─ sync ─▶ overwrite, unlink               a crash: it is gone for good
 *
 * The index costs an idle upload its struct and one pointer; descriptors and the hash are there
 * only while bytes come in.
 */
#include "engine/gateway/spool_parts.h"

#include "engine/base/clock.h"
#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define NEW ".new-"
#define GONE ".gone-"
#define NAME_BYTES (sizeof GONE - 1 + UR_SPOOL_ID)
#define BUCKETS 1024u

static_assert((BUCKETS & (BUCKETS - 1)) == 0, "bucket_of() masks");

static bool is_known(uint64_t length)
{
	return length != UR_SPOOL_LENGTH_UNKNOWN;
}

static bool is_id(const char *text)
{
	return strlen(text) == UR_SPOOL_ID - 1 &&
	       strspn(text, "0123456789abcdef") == UR_SPOOL_ID - 1;
}

static void name_of(const char *prefix, const char *id, char ret[NAME_BYTES])
{
	(void)snprintf(ret, NAME_BYTES, "%s%s", prefix, id);
}

/* ---- owners ---------------------------------------------------------------------------------- */

static struct ur_spool_owner **owner_place(const struct ur_spool *spool, const char *name)
{
	const size_t count = sizeof spool->owners / sizeof *spool->owners;
	const size_t i = ur_hash_short(name, strlen(name), 0) % count;
	return (struct ur_spool_owner **)&spool->owners[i];
}

static struct ur_spool_owner *find_owner(const struct ur_spool *spool, const char *name)
{
	struct ur_spool_owner *owner = *owner_place(spool, name);
	while (owner != NULL && strcmp(owner->name, name) != 0) {
		owner = owner->next;
	}
	return owner;
}

/** The upload brought an entry with it; it is used, or there is one. */
static void join_owner(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	struct ur_spool_owner *owner = find_owner(spool, upload->owner);
	if (owner != NULL) {
		free(upload->use);
		upload->use = owner;
	} else {
		struct ur_spool_owner **place = owner_place(spool, upload->owner);
		upload->use->next = *place;
		*place = upload->use;
	}
	upload->use->uploads++;
	spool->all.uploads++;
}

static void leave_owner(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	struct ur_spool_owner *owner = upload->use;
	const uint64_t counted = atomic_exchange(&upload->counted, 0);
	const size_t one = atomic_exchange(&upload->counts, false) ? 1 : 0;
	atomic_fetch_sub(&owner->bytes, counted);
	atomic_fetch_sub(&spool->all.bytes, counted);
	atomic_fetch_sub(&owner->open, one);
	atomic_fetch_sub(&spool->all.open, one);
	spool->all.uploads--;
	if (--owner->uploads == 0) {
		struct ur_spool_owner **at = owner_place(spool, owner->name);
		while (*at != owner) {
			at = &(*at)->next;
		}
		*at = owner->next;
		free(owner);
	}
	upload->use = NULL;
}

bool ur_spool_is_over(const struct ur_spool_outcome *outcome)
{
	return outcome->state == UR_SPOOL_CONFIRMED ||
	       (outcome->state == UR_SPOOL_REFUSED && outcome->status != UR_STATUS_TRASHED &&
		       outcome->status != UR_STATUS_QUOTA);
}

void ur_spool_recount(struct ur_spool_upload *upload)
{
	if (!upload->admitted) {
		return;
	}
	const uint64_t now = upload->bytes_gone         ? 0
			     : is_known(upload->length) ? upload->length
							: upload->offset;
	const uint64_t before = atomic_exchange(&upload->counted, now);
	const size_t has = upload->bytes_gone || ur_spool_is_over(&upload->outcome) ? 0 : 1;
	const size_t had = atomic_exchange(&upload->counts, has == 1) ? 1 : 0;
	atomic_fetch_add(&upload->use->bytes, now - before);
	atomic_fetch_add(&upload->spool->all.bytes, now - before);
	atomic_fetch_add(&upload->use->open, has - had);
	atomic_fetch_add(&upload->spool->all.open, has - had);
}

struct ur_spool_use ur_spool_use_of(const struct ur_spool *spool, const char *owner)
{
	const struct ur_spool_owner *found = owner == NULL ? &spool->all : find_owner(spool, owner);
	struct ur_spool_use use = {0};
	if (found != NULL) {
		use.uploads = found->uploads;
		use.open = atomic_load(&found->open);
		use.bytes = atomic_load(&found->bytes);
	}
	return use;
}

/* ---- the index ------------------------------------------------------------------------------- */

static size_t bucket_of(const struct ur_spool *spool, const char *id)
{
	return ur_hash_short(id, UR_SPOOL_ID - 1, 0) & (spool->bucket_count - 1);
}

/** Without memory the chains get longer, and that is all. */
static void grow(struct ur_spool *spool)
{
	const size_t count = spool->bucket_count;
	struct ur_spool_upload **old = spool->buckets;
	struct ur_spool_upload **larger = calloc(2 * count, sizeof *larger);
	if (larger == NULL) {
		return;
	}
	spool->buckets = larger;
	spool->bucket_count = 2 * count;
	for (size_t i = 0; i < count; i++) {
		for (struct ur_spool_upload *u = old[i]; u != NULL;) {
			struct ur_spool_upload *next = u->next;
			const size_t bucket = bucket_of(spool, u->id);
			u->next = larger[bucket];
			larger[bucket] = u;
			u = next;
		}
	}
	free(old);
}

void ur_spool_admit(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	assert(!upload->admitted);
	if (spool->all.uploads >= spool->bucket_count) {
		grow(spool);
	}
	const size_t bucket = bucket_of(spool, upload->id);
	upload->next = spool->buckets[bucket];
	spool->buckets[bucket] = upload;
	upload->admitted = true;
	join_owner(spool, upload);
	ur_spool_recount(upload);
}

struct ur_spool_upload *ur_spool_find(const struct ur_spool *spool, const char *id)
{
	if (!is_id(id)) {
		return NULL;
	}
	struct ur_spool_upload *upload = spool->buckets[bucket_of(spool, id)];
	while (upload != NULL && strcmp(upload->id, id) != 0) {
		upload = upload->next;
	}
	return upload;
}

static struct ur_spool_upload *first_from(const struct ur_spool *spool, size_t bucket)
{
	while (bucket < spool->bucket_count && spool->buckets[bucket] == NULL) {
		bucket++;
	}
	return bucket < spool->bucket_count ? spool->buckets[bucket] : NULL;
}

static struct ur_spool_upload *behind(
	const struct ur_spool *spool, const struct ur_spool_upload *upload)
{
	return upload->next != NULL ? upload->next
				    : first_from(spool, bucket_of(spool, upload->id) + 1);
}

struct ur_spool_upload *ur_spool_next(
	const struct ur_spool *spool, const struct ur_spool_upload *after)
{
	struct ur_spool_walk *walk = spool->walk;
	struct ur_spool_upload *found = NULL;
	if (after == NULL) {
		found = first_from(spool, 0);
	} else if (walk->is_gone && after == walk->last) {
		found = walk->behind;
	} else {
		found = behind(spool, after);
	}
	*walk = (struct ur_spool_walk){.last = found};
	return found;
}

static void leave_index(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	struct ur_spool_walk *walk = spool->walk;
	if (upload == walk->last && !walk->is_gone) {
		walk->behind = behind(spool, upload);
		walk->is_gone = true;
	} else if (walk->is_gone && upload == walk->behind) {
		walk->behind = behind(spool, upload);
	}
	struct ur_spool_upload **at = &spool->buckets[bucket_of(spool, upload->id)];
	while (*at != upload) {
		at = &(*at)->next;
	}
	*at = upload->next;
	leave_owner(spool, upload);
}

void ur_spool_dismiss(struct ur_spool *spool, struct ur_spool_upload *upload)
{
	if (upload == NULL) {
		return;
	}
	if (upload->admitted) {
		leave_index(spool, upload);
	}
	upload->admitted = false;
	ur_spool_rest(upload);
	free(upload->use);
	free(upload);
}

static struct ur_spool_upload *new_upload(struct ur_spool *spool)
{
	struct ur_spool_upload *upload = calloc(1, sizeof *upload);
	struct ur_spool_owner *use = calloc(1, sizeof *use);
	if (upload == NULL || use == NULL) {
		free(upload);
		free(use);
		return NULL;
	}
	upload->spool = spool;
	upload->use = use;
	return upload;
}

/** upload->owner is filled in. */
static void name_owner(struct ur_spool_upload *upload)
{
	static_assert(sizeof upload->use->name == sizeof upload->owner, "the same name");
	memcpy(upload->use->name, upload->owner, sizeof upload->owner);
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
	char name[NAME_BYTES];
	name_of(NEW, upload->id, name);
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
	assert(!is_known(spec->length) || spec->length <= INT64_MAX);
	if (!is_text(spec->metadata) || strlen(spec->metadata) > UR_INFO_MAX / 4) {
		return ur_err_say(err, -EINVAL, UR_FAULT_FILE,
			"the metadata is no header: control bytes, or too long");
	}
	struct ur_spool_upload *upload = new_upload(spool);
	int r = upload == NULL ? -ENOMEM : random_id(upload->id);
	if (r == 0) {
		(void)snprintf(upload->owner, sizeof upload->owner, "%s", spec->owner);
		name_owner(upload);
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
	*ret = upload;
	return 0;
}

/* ---- removing -------------------------------------------------------------------------------- */

int ur_spool_remove(struct ur_spool *spool, struct ur_spool_upload *upload, struct ur_err *err)
{
	char name[NAME_BYTES];
	name_of(GONE, upload->id, name);
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

static bool may_go(enum ur_spool_state state)
{
	return state == UR_SPOOL_CONFIRMED || state == UR_SPOOL_REFUSED;
}

/** Everything but info, state and outcome; the disk's word counts, not what memory says. */
static int empty_folder(int dir)
{
	static const char *const stay[] = {"info", "state", "outcome"};
	struct ur_spool_outcome outcome;
	int r = ur_spool_outcome_load(dir, &outcome);
	if (r == 0 && !may_go(outcome.state)) {
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

/* ---- what lies beside the bytes -------------------------------------------------------------- */

int ur_spool_conclude(
	struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome, struct ur_err *err)
{
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	const int r = dir < 0 ? dir : ur_spool_outcome_store(upload->spool, dir, outcome);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD,
			       "cannot write down what became of the upload")
		     : 0;
}

void ur_spool_concluded(struct ur_spool_upload *upload, const struct ur_spool_outcome *outcome)
{
	upload->outcome = *outcome;
	ur_spool_recount(upload);
}

int ur_spool_metadata(const struct ur_spool_upload *upload, char **ret)
{
	struct ur_spool_upload copy = {0};
	char *json = NULL;
	size_t size = 0;
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir < 0 ? dir : ur_spool_file_read(dir, "info", UR_INFO_MAX, &json, &size);
	r = r < 0 ? r : ur_spool_info_read(json, size, &copy, ret);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	free(json);
	return r < 0 ? r : 0;
}

int ur_spool_open(const struct ur_spool_upload *upload, struct ur_err *err)
{
	if (upload->bytes_gone) {
		return ur_err_say(err, -ENOENT, UR_FAULT_FILE,
			"the upload's bytes are in the library, and no longer here");
	}
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	const int fd = dir < 0 ? dir : ur_spool_file_open(dir, "bytes", O_RDONLY);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	return fd < 0 ? ur_err_set(err, fd, UR_FAULT_WORLD, "cannot open the upload in the spool")
		      : fd;
}

static bool may_be_kept(const char *name)
{
	static const char *const ours[] = {"info", "bytes", "state", "outcome"};
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		if (strcmp(name, ours[i]) == 0) {
			return false;
		}
	}
	const size_t size = strlen(name);
	return size > 0 && size <= 16 && strspn(name, "abcdefghijklmnopqrstuvwxyz") == size;
}

/** There is always one of the two; what is replaced does not stay on the disk as it was. */
static int replace_secret(int dir, const char *name, const void *bytes, size_t size)
{
	const int old = ur_spool_file_open(dir, name, O_WRONLY);
	if (old < 0 && old != -ENOENT) {
		return old;
	}
	int r = ur_spool_file_replace(dir, name, bytes, size, "spool keep");
	if (old >= 0) {
		r = r < 0 ? r : ur_spool_file_overwrite(old);
		(void)ur_sys.close(old);
	}
	return r;
}

int ur_spool_keep(struct ur_spool_upload *upload, const char *name, const void *bytes, size_t size,
	struct ur_err *err)
{
	assert(may_be_kept(name));
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir;
	if (dir >= 0) {
		r = replace_secret(dir, name, bytes, size);
		(void)ur_sys.close(dir);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot keep a file beside the upload")
		     : 0;
}

int ur_spool_recall(const struct ur_spool_upload *upload, const char *name, void *bytes,
	size_t room, size_t *ret_size)
{
	assert(may_be_kept(name));
	char *read = NULL;
	size_t size = 0;
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir < 0 ? dir : ur_spool_file_read(dir, name, room, &read, &size);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	if (r == 0) {
		memcpy(bytes, read, size);
		*ret_size = size;
		explicit_bzero(read, size);
	}
	free(read);
	return r == -EFBIG ? -ENOSPC : r;
}

int ur_spool_wipe(struct ur_spool_upload *upload, const char *name)
{
	assert(may_be_kept(name));
	const int dir = ur_spool_folder_open(upload->spool->root, upload->id);
	int r = dir < 0 ? dir : ur_spool_file_wipe(dir, name);
	r = r < 0 ? r : ur_sys.fsync(dir);
	if (dir >= 0) {
		(void)ur_sys.close(dir);
	}
	return r;
}

/* ---- the start: what is there ---------------------------------------------------------------- */

/** Nothing is wrong with the files: this machine could not read any now. */
static bool is_passing(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EINTR || r == -EROFS;
}

/** The layout's version, with what is needed to take an older one over. */
static int read_info(int dir, const char *id, struct ur_spool_upload *upload, char **ret_metadata)
{
	char *json = NULL;
	size_t size = 0;
	int r = ur_spool_file_read(dir, "info", UR_INFO_MAX, &json, &size);
	r = r < 0 ? r : ur_spool_info_read(json, size, upload, ret_metadata);
	free(json);
	if (r < 0 || strcmp(upload->id, id) != 0 || upload->owner[0] == '\0') {
		return r < 0 ? r : -EBADMSG;
	}
	name_owner(upload);
	upload->touched_ms = upload->created_ms;
	return r;
}

/** One that cannot be read is none: the server is asked again, and its claim is doubted. */
static int read_outcome(int dir, struct ur_spool_upload *upload)
{
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
	struct stat st;
	const int fd = ur_spool_file_open(dir, "bytes", O_RDWR);
	int r = fd < 0 ? fd : ur_sys.fstat(fd, &st);
	if (r >= 0 && st.st_size < (off_t)upload->durable) {
		r = -EBADMSG;
	}
	if (r >= 0 && spoilt && st.st_size > (off_t)upload->durable &&
		(!is_known(upload->length) || (uint64_t)st.st_size >= upload->length)) {
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
		if (r == -ENOENT && may_go(upload->outcome.state)) {
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
	return 0;
}

/** What cannot be done now, on a full disk say, is done at another start. */
static void take_over(int dir, const struct ur_spool_upload *upload, const char *metadata)
{
	if (ur_spool_take_over(dir, upload, metadata) < 0) {
		(void)ur_spool_folder_tidy(dir);
	}
}

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
	const int dir = ur_spool_folder_open(spool->root, id);
	if (dir < 0) {
		return dir;
	}
	struct ur_spool_upload *upload = new_upload(spool);
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
	if (spool->damaged++ == 0) {
		(void)snprintf(spool->damage, sizeof spool->damage, "%s: %s", name, strerror(-r));
	}
}

static bool begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0 && is_id(name + strlen(prefix));
}

static int read_one(int root, const char *name, void *context)
{
	struct ur_spool *spool = context;
	int r = 0;
	if (begins_with(name, NEW) || begins_with(name, GONE)) {
		r = ur_spool_folder_remove(root, name);
	} else if (is_id(name)) {
		r = read_upload(spool, name);
	} // anything else is nobody's upload: lost+found, say
	if (r < 0 && !is_passing(r)) {
		note_damage(spool, name, r);
		r = 0;
	}
	return r;
}

/* ---- the start: the root --------------------------------------------------------------------- */

static int sync_parent(int root)
{
	const int parent = ur_sys.openat(root, "..", O_RDONLY | O_DIRECTORY, 0);
	if (parent < 0) {
		return parent;
	}
	const int r = ur_sys.fsync(parent);
	(void)ur_sys.close(parent);
	return r;
}

static int open_root(const char *path, struct ur_err *err)
{
	const int made = ur_sys.mkdirat(AT_FDCWD, path, 0700);
	const int root = made < 0 && made != -EEXIST
				 ? made
				 : ur_sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	const int r = made == 0 && root >= 0 ? sync_parent(root) : root;
	if (r < 0) {
		if (root >= 0) {
			(void)ur_sys.close(root);
		}
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot open the spool '%s'", path);
	}
	return root;
}

static int check_root(const char *path, int root, struct ur_err *err)
{
	struct stat st;
	int r = ur_sys.fstat(root, &st);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot open the spool '%s'", path);
	}
	if (st.st_uid != geteuid()) {
		return ur_err_say(err, -EPERM, UR_FAULT_SETUP,
			"the spool '%s' belongs to user %u, and the gateway runs as %u: chown it, "
			"or name another",
			path, (unsigned)st.st_uid, (unsigned)geteuid());
	}
	if ((st.st_mode & 022) != 0) {
		return ur_err_say(err, -EPERM, UR_FAULT_SETUP,
			"others may write to the spool '%s' (mode %04o): chmod 700 it", path,
			(unsigned)(st.st_mode & 07777));
	}
	r = ur_sys.flock(root, LOCK_EX | LOCK_NB);
	if (r == -EWOULDBLOCK) {
		return ur_err_say(err, -EBUSY, UR_FAULT_SETUP,
			"the spool '%s' is in use by another gateway", path);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_SETUP, "cannot lock the spool '%s'", path) : 0;
}

static int read_root(struct ur_spool *spool, const char *path, struct ur_err *err)
{
	struct ur_sha1 sha1;
	int r = ur_sha1_begin(&sha1);
	if (r < 0) {
		return ur_err_say(err, r, UR_FAULT_SETUP,
			"no way of computing SHA-1 on this machine agrees with libcrypto");
	}
	r = ur_spool_clock_open(spool);
	if (r == -EPROTO) {
		return ur_err_say(err, r, UR_FAULT_SETUP,
			"the spool '%s' was written by a newer uringest (layout %llu, this one knows %d): "
			"start that one again, or name another spool; nothing was changed",
			path, (unsigned long long)spool->layout, UR_SPOOL_LAYOUT);
	}
	r = r < 0 ? r : ur_spool_each_name(spool->root, read_one, spool);
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot read the spool '%s'", path) : 0;
}

int ur_spool_new(const char *path, struct ur_spool **ret, struct ur_err *err)
{
	struct ur_spool *spool = calloc(1, sizeof *spool);
	if (spool == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot open the spool '%s'", path);
	}
	spool->root = -1;
	spool->bucket_count = BUCKETS;
	spool->buckets = calloc(spool->bucket_count, sizeof *spool->buckets);
	spool->walk = calloc(1, sizeof *spool->walk);
	int r = 0;
	if (spool->buckets == NULL || spool->walk == NULL) {
		r = ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot open the spool '%s'", path);
		goto fail;
	}
	spool->root = open_root(path, err);
	r = spool->root < 0 ? spool->root : check_root(path, spool->root, err);
	r = r < 0 ? r : read_root(spool, path, err);
	if (r < 0) {
		goto fail;
	}
	*ret = spool;
	return 0;

fail:
	(void)ur_spool_free(spool);
	return r;
}

static void free_uploads(struct ur_spool_upload *upload)
{
	while (upload != NULL) {
		struct ur_spool_upload *next = upload->next;
		upload->admitted = false;
		ur_spool_rest(upload);
		free(upload);
		upload = next;
	}
}

static void free_owners(struct ur_spool_owner *owner)
{
	while (owner != NULL) {
		struct ur_spool_owner *next = owner->next;
		free(owner);
		owner = next;
	}
}

struct ur_spool *ur_spool_free(struct ur_spool *spool)
{
	if (spool == NULL) {
		return NULL;
	}
	for (size_t i = 0; spool->buckets != NULL && i < spool->bucket_count; i++) {
		free_uploads(spool->buckets[i]);
	}
	for (size_t i = 0; i < sizeof spool->owners / sizeof *spool->owners; i++) {
		free_owners(spool->owners[i]);
	}
	if (spool->root >= 0) {
		(void)ur_sys.close(spool->root); // and the lock with it
	}
	free(spool->walk);
	free(spool->buckets);
	free(spool);
	return NULL;
}

size_t ur_spool_damaged(const struct ur_spool *spool)
{
	return spool->damaged;
}

const char *ur_spool_damage(const struct ur_spool *spool)
{
	return spool->damage;
}

void ur_spool_skip(struct ur_spool *spool, bool hash, bool sync)
{
	spool->no_hash = hash;
	spool->no_sync = sync;
}

int ur_spool_space(const struct ur_spool *spool, uint64_t *ret_free)
{
	struct statfs fs;
	const int r = ur_sys.fstatfs(spool->root, &fs);
	if (r < 0) {
		return r;
	}
	*ret_free = (uint64_t)fs.f_bavail * (uint64_t)(fs.f_frsize > 0 ? fs.f_frsize : fs.f_bsize);
	return 0;
}
