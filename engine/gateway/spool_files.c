/* spool_files - what is on disk: files written whole, two slots, a little JSON. */
#include "engine/gateway/spool_parts.h"

#include "engine/media/hash.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- folders and files ----------------------------------------------------------------------- */

/** Ours, and nobody else may look into it or write to it. */
static int examine(int fd, mode_t type)
{
	struct stat st;
	const int r = ur_sys.fstat(fd, &st);
	if (r < 0) {
		return r;
	}
	const bool linked = type == S_IFREG && st.st_nlink != 1;
	return (st.st_mode & S_IFMT) != type || st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
			       linked
		       ? -EPERM
		       : 0;
}

static int open_examined(int dir, const char *name, int flags, mode_t type)
{
	const int fd = ur_sys.openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK, 0);
	const int r = fd < 0 ? fd : examine(fd, type);
	if (r < 0 && fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r < 0 ? r : fd;
}

int ur_spool_folder_open(int root, const char *name)
{
	return open_examined(root, name, O_RDONLY | O_DIRECTORY, S_IFDIR);
}

int ur_spool_file_open(int dir, const char *name, int flags)
{
	return open_examined(dir, name, flags, S_IFREG);
}

int ur_spool_file_make(int dir, const char *name, const void *bytes, size_t size)
{
	const int fd = ur_sys.openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return fd;
	}
	int r = size == 0 ? 0 : ur_sys_pwrite_all(fd, bytes, size, 0);
	r = r < 0 || size == 0 ? r : ur_sys.fsync(fd);
	const int closed = ur_sys.close(fd);
	return r < 0 ? r : closed;
}

int ur_spool_file_replace(
	int dir, const char *name, const void *bytes, size_t size, const char *effect)
{
	char new_name[32];
	(void)snprintf(new_name, sizeof new_name, "%s.tmp", name);
	int r = ur_spool_file_wipe(dir, new_name); // of an attempt that failed
	r = r < 0 ? r : ur_spool_file_make(dir, new_name, bytes, size);
	if (r == 0) {
		ur_effect(effect, false);
		r = ur_sys.rename_over(dir, new_name, dir, name);
	}
	if (r < 0) {
		(void)ur_spool_file_wipe(dir, new_name);
		return r;
	}
	r = ur_sys.fsync(dir);
	ur_effect(effect, true);
	return r;
}

int ur_spool_file_read(int dir, const char *name, size_t most, char **ret, size_t *ret_size)
{
	struct stat st;
	char *bytes = NULL;
	const int fd = ur_spool_file_open(dir, name, O_RDONLY);
	int r = fd < 0 ? fd : ur_sys.fstat(fd, &st);
	if (r < 0) {
		goto fail;
	}
	if (st.st_size > (off_t)most) {
		r = -EFBIG;
		goto fail;
	}
	bytes = malloc((size_t)st.st_size + 1);
	if (bytes == NULL) {
		r = -ENOMEM;
		goto fail;
	}
	const ssize_t size = ur_sys_pread_all(fd, bytes, (size_t)st.st_size, 0);
	if (size < 0) {
		r = (int)size;
		goto fail;
	}
	(void)ur_sys.close(fd);
	bytes[size] = '\0';
	*ret = bytes;
	*ret_size = (size_t)size;
	return 0;

fail:
	free(bytes);
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	return r;
}

int ur_spool_file_overwrite(int fd)
{
	static const char zeros[4096];
	struct stat st;
	int r = ur_sys.fstat(fd, &st);
	for (off_t at = 0; r == 0 && at < st.st_size; at += (off_t)sizeof zeros) {
		const off_t left = st.st_size - at;
		r = ur_sys_pwrite_all(
			fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros, at);
	}
	return r < 0 ? r : ur_sys.fsync(fd);
}

int ur_spool_file_wipe(int dir, const char *name)
{
	int r = 0;
	const int fd = ur_spool_file_open(dir, name, O_WRONLY);
	if (fd == -ENOENT) {
		return 0;
	}
	if (fd >= 0) {
		r = ur_spool_file_overwrite(fd);
		(void)ur_sys.close(fd);
	} else if (fd != -ELOOP && fd != -EPERM) { // a link or somebody else's: only its name goes
		return fd;
	}
	return r < 0 ? r : ur_sys.unlinkat(dir, name, 0);
}

/* What these hold is no secret of anybody's, or too large to be overwritten. */
static bool is_plain(const char *name)
{
	static const char *const plain[] = {"info", "bytes", "state", "outcome", "outcome.tmp"};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		if (strcmp(name, plain[i]) == 0) {
			return true;
		}
	}
	return false;
}

struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

int ur_spool_each_name(
	int dir, int (*visit)(int dir, const char *name, void *context), void *context)
{
	_Alignas(struct entry) char buffer[4096];
	ssize_t n = 0;
	while ((n = ur_sys.getdents(dir, buffer, sizeof buffer)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct entry *entry = (const struct entry *)(buffer + at);
			at += entry->size;
			if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) {
				continue;
			}
			const int r = visit(dir, entry->name, context);
			if (r < 0) {
				return r;
			}
		}
	}
	return (int)n;
}

static int remove_one(int dir, const char *name, void *context)
{
	(void)context;
	return is_plain(name) ? ur_sys.unlinkat(dir, name, 0) : ur_spool_file_wipe(dir, name);
}

int ur_spool_folder_remove(int root, const char *name)
{
	const int dir = ur_sys.openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0) {
		return dir;
	}
	const int r = ur_spool_each_name(dir, remove_one, NULL);
	(void)ur_sys.close(dir);
	return r < 0 ? r : ur_sys.unlinkat(root, name, AT_REMOVEDIR);
}

static int tidy_one(int dir, const char *name, void *context)
{
	(void)context;
	const char *dot = strrchr(name, '.');
	return dot != NULL && strcmp(dot, ".tmp") == 0 ? ur_spool_file_wipe(dir, name) : 0;
}

int ur_spool_folder_tidy(int dir)
{
	return ur_spool_each_name(dir, tidy_one, NULL);
}

struct kept {
	const char *const *names;
	size_t count;
};

static int keep_one(int dir, const char *name, void *context)
{
	const struct kept *kept = context;
	for (size_t i = 0; i < kept->count; i++) {
		if (strcmp(name, kept->names[i]) == 0) {
			return 0;
		}
	}
	return remove_one(dir, name, NULL);
}

int ur_spool_folder_keep(int dir, const char *const names[], size_t count)
{
	struct kept kept = {names, count};
	return ur_spool_each_name(dir, keep_one, &kept);
}

/* ---- slots ----------------------------------------------------------------------------------- */

#define SLOT_MAGIC "URSLOT1"

/** As it lies on the disk; numbers are little-endian. */
struct slot {
	char magic[8];
	uint64_t sequence;
	uint64_t offset;
	uint64_t length;
	uint64_t touched_ms;
	uint8_t words[20];
	uint8_t tail[64];
	uint8_t zeros[4];
	uint64_t ran_ms; // 0 of layout 1, whose spool had not run then by this clock
	uint8_t more_zeros[368];
	uint64_t check; // XXH3 of all before it
};
static_assert(sizeof(struct slot) == UR_SLOT_BYTES, "a slot has no holes");

static uint64_t check_of(const struct slot *slot)
{
	return ur_hash_short(slot, offsetof(struct slot, check), 0);
}

void ur_spool_slot_write(const struct ur_spool_slot *slot, uint8_t ret[UR_SLOT_BYTES])
{
	struct slot raw = {
		.magic = SLOT_MAGIC,
		.sequence = htole64(slot->sequence),
		.offset = htole64(slot->mark.offset),
		.length = htole64(slot->mark.length),
		.touched_ms = htole64((uint64_t)slot->touched_ms),
		.ran_ms = htole64((uint64_t)slot->touched_ran_ms),
	};
	memcpy(raw.words, slot->mark.words, sizeof raw.words);
	memcpy(raw.tail, slot->mark.tail, sizeof raw.tail);
	raw.check = htole64(check_of(&raw));
	memcpy(ret, &raw, sizeof raw);
}

bool ur_spool_slot_read(const uint8_t bytes[UR_SLOT_BYTES], struct ur_spool_slot *ret)
{
	struct slot raw;
	memcpy(&raw, bytes, sizeof raw);
	if (memcmp(raw.magic, SLOT_MAGIC, sizeof raw.magic) != 0 ||
		le64toh(raw.check) != check_of(&raw)) {
		return false;
	}
	struct ur_spool_slot slot = {
		.sequence = le64toh(raw.sequence),
		.touched_ms = (int64_t)le64toh(raw.touched_ms),
		.touched_ran_ms = (int64_t)le64toh(raw.ran_ms),
		.mark = {.offset = le64toh(raw.offset), .length = le64toh(raw.length)},
	};
	if (slot.mark.offset > INT64_MAX || slot.mark.offset > slot.mark.length ||
		(slot.mark.length > INT64_MAX && slot.mark.length != UR_SPOOL_LENGTH_UNKNOWN)) {
		return false;
	}
	memcpy(slot.mark.words, raw.words, sizeof raw.words);
	memcpy(slot.mark.tail, raw.tail, sizeof raw.tail);
	*ret = slot;
	return true;
}

static bool is_blank(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0) {
			return false;
		}
	}
	return true;
}

int ur_spool_slot_pick(int state, struct ur_spool_slot *ret, unsigned *ret_index, bool *ret_spoilt)
{
	bool found = false;
	bool spoilt = false;
	for (unsigned i = 0; i < UR_SLOTS; i++) {
		uint8_t bytes[UR_SLOT_BYTES];
		struct ur_spool_slot slot;
		const ssize_t n =
			ur_sys_pread_all(state, bytes, sizeof bytes, (off_t)(i * UR_SLOT_APART));
		if (n < 0 && n != -EIO) {
			return (int)n;
		}
		const bool whole = n == sizeof bytes && ur_spool_slot_read(bytes, &slot);
		spoilt =
			spoilt || (!whole && (n != sizeof bytes || !is_blank(bytes, sizeof bytes)));
		if (whole && (!found || slot.sequence > ret->sequence)) {
			found = true;
			*ret = slot;
			*ret_index = i;
		}
	}
	if (ret_spoilt != NULL) {
		*ret_spoilt = spoilt;
	}
	return found ? 0 : -EBADMSG;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *const state_names[UR_SPOOL_STATES] = {
	[UR_SPOOL_RECEIVING] = "receiving",
	[UR_SPOOL_COMPLETE] = "complete",
	[UR_SPOOL_BROKEN] = "broken",
	[UR_SPOOL_DELIVERED] = "delivered",
	[UR_SPOOL_CONFIRMED] = "confirmed",
	[UR_SPOOL_REFUSED] = "refused",
};

const char *ur_spool_state_name(enum ur_spool_state state)
{
	assert(state < UR_SPOOL_STATES);
	return state_names[state];
}

static void add_string(struct ur_text *text, const char *key, const char *value)
{
	ur_text_addf(text, ",\"%s\":", key);
	ur_text_add_json(text, value, strlen(value));
}

void ur_spool_info_write(
	const struct ur_spool_upload *upload, const char *metadata, struct ur_text *ret)
{
	ur_text_addf(ret, "{\"version\":%d,\"created_ms\":%lld,\"is_sidecar\":%s", UR_SPOOL_LAYOUT,
		(long long)upload->created_ms, upload->is_sidecar ? "true" : "false");
	if (upload->length != UR_SPOOL_LENGTH_UNKNOWN) {
		ur_text_addf(ret, ",\"length\":%lld", (long long)upload->length);
	}
	add_string(ret, "id", upload->id);
	add_string(ret, "owner", upload->owner);
	add_string(ret, "metadata", metadata);
	if (upload->has_sha1) {
		char hex[2 * sizeof upload->want_sha1 + 1];
		ur_hex(upload->want_sha1, sizeof upload->want_sha1, hex);
		add_string(ret, "sha1", hex);
	}
	ur_text_adds(ret, "}\n");
}

static int read_info(json_t *root, struct ur_spool_upload *ret, char **ret_metadata)
{
	int version = 0;
	int sidecar = 0;
	json_int_t created = 0;
	json_int_t length = -1;
	const char *id = NULL;
	const char *owner = NULL;
	const char *metadata = NULL;
	const char *sha1 = NULL;
	if (json_unpack(root, "{s:i, s:I, s:b, s:s, s:s, s:s, s?s, s?I}", "version", &version,
		    "created_ms", &created, "is_sidecar", &sidecar, "id", &id, "owner", &owner,
		    "metadata", &metadata, "sha1", &sha1, "length", &length) < 0 ||
		version < 1 || version > UR_SPOOL_LAYOUT || strlen(id) >= sizeof ret->id ||
		strlen(owner) >= sizeof ret->owner ||
		(sha1 != NULL && !ur_unhex(sha1, sizeof ret->want_sha1, ret->want_sha1))) {
		return -EBADMSG;
	}
	if (ret_metadata != NULL) {
		*ret_metadata = strdup(metadata);
		if (*ret_metadata == NULL) {
			return -ENOMEM;
		}
	}
	memcpy(ret->id, id, strlen(id) + 1);
	memcpy(ret->owner, owner, strlen(owner) + 1);
	ret->created_ms = created;
	ret->is_sidecar = sidecar != 0;
	ret->has_sha1 = sha1 != NULL;
	ret->length = length < 0 ? UR_SPOOL_LENGTH_UNKNOWN : (uint64_t)length;
	return version;
}

int ur_spool_info_read(
	const char *json, size_t size, struct ur_spool_upload *ret, char **ret_metadata)
{
	json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
	const int r = root == NULL ? -EBADMSG : read_info(root, ret, ret_metadata);
	json_decref(root);
	return r;
}

void ur_spool_outcome_write(const struct ur_spool_outcome *outcome, struct ur_text *ret)
{
	ur_text_addf(ret,
		"{\"version\":%d,\"duplicate\":%s,\"trashed\":%s,\"status\":%d,\"since_ms\":%lld,"
		"\"tries\":%u",
		UR_SPOOL_LAYOUT, outcome->duplicate ? "true" : "false",
		outcome->trashed ? "true" : "false", outcome->status, (long long)outcome->since_ms,
		outcome->tries);
	ur_text_addf(ret,
		",\"suspect\":%s,\"since_ran_ms\":%lld,\"there_ran_ms\":%lld,\"missed_ran_ms\":%lld",
		outcome->suspect ? "true" : "false", (long long)outcome->since_ran_ms,
		(long long)outcome->there_ran_ms, (long long)outcome->missed_ran_ms);
	add_string(ret, "state", ur_spool_state_name(outcome->state));
	add_string(ret, "asset", outcome->asset);
	add_string(ret, "with", outcome->with);
	add_string(ret, "words", outcome->words);
	ur_text_adds(ret, "}\n");
}

/** As much as there is room for, cut between characters. */
static void copy_words(const char *words, char *ret, size_t room)
{
	size_t size = strnlen(words, room);
	if (size == room) {
		size--;
		while (size > 0 && ((unsigned char)words[size] & 0xc0) == 0x80) {
			size--;
		}
	}
	memcpy(ret, words, size);
	ret[size] = '\0';
}

static int state_named(const char *name)
{
	int i = 0;
	while (i < UR_SPOOL_STATES && strcmp(state_names[i], name) != 0) {
		i++;
	}
	return i;
}

/** Layout 1 knew of no doubt: what it had sent, and not seen confirmed, is doubted. */
static bool was_suspect(const struct ur_spool_outcome *outcome)
{
	return (outcome->state == UR_SPOOL_COMPLETE && outcome->tries > 0) ||
	       (outcome->state == UR_SPOOL_DELIVERED && outcome->status != 201);
}

static int read_outcome(json_t *root, struct ur_spool_outcome *ret)
{
	int version = 0;
	int duplicate = 0;
	int trashed = 0;
	int suspect = -1;
	json_int_t since = 0;
	json_int_t tries = 0;
	json_int_t since_ran = 0;
	json_int_t there_ran = 0;
	json_int_t missed_ran = UR_SPOOL_NEVER;
	const char *state = NULL;
	const char *asset = NULL;
	const char *words = NULL;
	const char *with = "";
	struct ur_spool_outcome read = {.state = UR_SPOOL_STATES};
	if (json_unpack(root,
		    "{s:i, s:b, s:b, s:i, s:I, s:I, s:s, s:s, s:s, s?b, s?I, s?I, s?I, s?s}",
		    "version", &version, "duplicate", &duplicate, "trashed", &trashed, "status",
		    &read.status, "since_ms", &since, "tries", &tries, "state", &state, "asset",
		    &asset, "words", &words, "suspect", &suspect, "since_ran_ms", &since_ran,
		    "there_ran_ms", &there_ran, "missed_ran_ms", &missed_ran, "with", &with) < 0 ||
		version < 1 || version > UR_SPOOL_LAYOUT || strlen(asset) >= sizeof read.asset ||
		strlen(with) >= sizeof read.with) {
		return -EBADMSG;
	}
	read.state = (enum ur_spool_state)state_named(state);
	read.duplicate = duplicate != 0;
	read.trashed = trashed != 0;
	read.since_ms = since;
	read.since_ran_ms = since_ran;
	read.there_ran_ms = there_ran;
	read.missed_ran_ms = missed_ran;
	read.tries = (unsigned)tries;
	read.suspect = suspect < 0 ? was_suspect(&read) : suspect != 0;
	copy_words(words, read.words, sizeof read.words);
	memcpy(read.asset, asset, strlen(asset) + 1);
	memcpy(read.with, with, strlen(with) + 1);
	if (read.state == UR_SPOOL_STATES) {
		return -EBADMSG;
	}
	*ret = read;
	return 0;
}

int ur_spool_outcome_read(const char *json, size_t size, struct ur_spool_outcome *ret)
{
	json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
	const int r = root == NULL ? -EBADMSG : read_outcome(root, ret);
	json_decref(root);
	return r;
}
