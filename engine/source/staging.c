/*
 * staging - where files stand between their name and their removal.
 *
 *     LEDGER.TOKEN.MAC-NAME         an original        TOKEN  RUNxNUMBER, in the ledger's row
 *     LEDGER.TOKEN.MAC.copy-NAME    a copy of one      MAC    over all the rest of the name
 */
#include "engine/source/staging.h"

#include "engine/base/clock.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define MAC_BYTES ((size_t)12)
#define MAC_DIGITS (2 * MAC_BYTES)
#define COPY_MARK ".copy"
#define NOTE_MARK ".place"
#define NOBODY "00000000"
#define TRIAL UR_STAGING ".trial" // a folder that lives for a moment: whose would it be?
#define LOCK_TRIES 200            // of PAUSE_MS: who has it alone looks into one folder
#define PAUSE_MS 10

static_assert(sizeof NOBODY NOTE_MARK <= UR_STAGING_NOTE);
static_assert(MAC_BYTES <= crypto_generichash_BYTES);

/* ---- names ----------------------------------------------------------------------------------- */

static void hash(const void *key, size_t key_size, const char *about, const void *bytes,
	size_t size, uint8_t ret[crypto_generichash_BYTES])
{
	crypto_generichash_state state;
	(void)crypto_generichash_init(&state, key, key_size, crypto_generichash_BYTES);
	(void)crypto_generichash_update(&state, (const uint8_t *)about, strlen(about) + 1);
	(void)crypto_generichash_update(&state, bytes, size);
	(void)crypto_generichash_final(&state, ret, crypto_generichash_BYTES);
}

void ur_staging_key_make(const void *salt, size_t size, struct ur_staging_key *ret)
{
	uint8_t digest[crypto_generichash_BYTES];
	hash(NULL, 0, "uringest ledger", salt, size, digest);
	ur_hex(digest, UR_STAGED_LEDGER / 2, ret->ledger);
	hash(NULL, 0, "uringest staging", salt, size, digest);
	memcpy(ret->bytes, digest, sizeof ret->bytes);
}

static void mac_of(const struct ur_staging_key *key, enum ur_staged_kind kind, const char *token,
	const char *name, char ret[MAC_DIGITS + 1])
{
	uint8_t digest[crypto_generichash_BYTES];
	char about[64];
	(void)snprintf(
		about, sizeof about, "%s %s", token, kind == UR_STAGED_COPY ? "copy" : "original");
	hash(key->bytes, sizeof key->bytes, about, name, strlen(name), digest);
	ur_hex(digest, MAC_BYTES, ret);
}

/** The end of `name` that fits into `room`, from where a character begins. */
static const char *end_of(const char *name, size_t room)
{
	const size_t size = strlen(name);
	const char *at = name + (size > room ? size - room : 0);
	while (at > name && (*at & 0xc0) == 0x80) {
		at++;
	}
	return *at == '\0' ? name + size - room : at; // no text at all: bytes, then
}

void ur_staging_name(const struct ur_staging_key *key, enum ur_staged_kind kind, const char *token,
	const char *name, char ret[UR_STAGED_NAME_MAX + 1])
{
	const char *mark = kind == UR_STAGED_COPY ? COPY_MARK : "";
	const size_t before =
		UR_STAGED_LEDGER + 1 + strlen(token) + 1 + MAC_DIGITS + strlen(COPY_MARK) + 1;
	assert(before + 64 < UR_STAGED_NAME_MAX);
	const char *kept = end_of(name, UR_STAGED_NAME_MAX - before);
	char mac[MAC_DIGITS + 1];
	mac_of(key, kind, token, kept, mac);
	(void)snprintf(
		ret, UR_STAGED_NAME_MAX + 1, "%s.%s.%s%s-%s", key->ledger, token, mac, mark, kept);
}

/** Hex digits at `at`, followed by `end`. */
static bool is_hex(const char *at, size_t size, char end)
{
	return strspn(at, "0123456789abcdef") == size && at[size] == end;
}

static bool read_token(const char *at, size_t size, char ret[UR_STAGED_TOKEN])
{
	if (size == 0 || size >= UR_STAGED_TOKEN || strspn(at, "0123456789abcdefx") != size) {
		return false;
	}
	memcpy(ret, at, size);
	ret[size] = '\0';
	return true;
}

/** LEDGER.TOKEN.MAC[.copy]-NAME; false when it does not look like that. */
static bool take_apart(const char *staged, struct ur_staged *ret, const char **ret_mac)
{
	if (!is_hex(staged, UR_STAGED_LEDGER, '.')) {
		return false;
	}
	const char *token = staged + UR_STAGED_LEDGER + 1;
	const char *dot = strchr(token, '.');
	if (dot == NULL || !read_token(token, (size_t)(dot - token), ret->token) ||
		strspn(dot + 1, "0123456789abcdef") != MAC_DIGITS) {
		return false;
	}
	const char *rest = dot + 1 + MAC_DIGITS;
	const bool copy = strncmp(rest, COPY_MARK, strlen(COPY_MARK)) == 0;
	rest += copy ? strlen(COPY_MARK) : 0;
	if (rest[0] != '-' || rest[1] == '\0') {
		return false;
	}
	memcpy(ret->ledger, staged, UR_STAGED_LEDGER);
	ret->kind = copy ? UR_STAGED_COPY : UR_STAGED_ORIGINAL;
	ret->name = rest + 1;
	*ret_mac = dot + 1;
	return true;
}

void ur_staged_read(const struct ur_staging_key *key, const char *staged, struct ur_staged *ret)
{
	const char *mac = NULL;
	*ret = (struct ur_staged){.name = staged};
	if (!take_apart(staged, ret, &mac)) {
		/* An older version's "RUNxNUMBER-NAME", or somebody's own file. */
		const char *dash = strchr(staged, '-');
		const bool old = dash != NULL && dash[1] != '\0' &&
				 read_token(staged, (size_t)(dash - staged), ret->token);
		*ret = (struct ur_staged){.name = old ? dash + 1 : staged};
		return;
	}
	if (key != NULL && memcmp(key->ledger, ret->ledger, UR_STAGED_LEDGER) == 0) {
		char right[MAC_DIGITS + 1];
		mac_of(key, ret->kind, ret->token, ret->name, right);
		ret->ours = sodium_memcmp(right, mac, MAC_DIGITS) == 0;
	}
}

void ur_staging_note(const struct ur_staging_key *key, char ret[UR_STAGING_NOTE])
{
	(void)snprintf(ret, UR_STAGING_NOTE, "%.8s" NOTE_MARK, key == NULL ? NOBODY : key->ledger);
}

bool ur_staging_is_note(const char *name)
{
	return is_hex(name, UR_STAGED_LEDGER, '.') &&
	       strcmp(name + UR_STAGED_LEDGER, NOTE_MARK) == 0;
}

bool ur_staging_is_within(const char *path)
{
	const size_t size = strlen(UR_STAGING);
	for (const char *at = path; at != NULL; at = strchr(at, '/')) {
		at += *at == '/';
		if (strncmp(at, UR_STAGING, size) == 0 && (at[size] == '/' || at[size] == '\0')) {
			return true;
		}
	}
	return false;
}

/* ---- whose it is ----------------------------------------------------------------------------- */

static bool is_closed(const struct stat *st)
{
	return (st->st_mode & 077) == 0;
}

int ur_staging_judge(const struct stat *folder, const struct stat *fresh, uid_t me)
{
	const bool made_up = fresh != NULL && (fresh->st_uid != me || !is_closed(fresh));
	if (made_up) {
		const bool alike = folder->st_uid == fresh->st_uid &&
				   (folder->st_mode & 0777) == (fresh->st_mode & 0777);
		return alike ? 0 : UR_STAGING_FOREIGN;
	}
	return folder->st_uid != me ? UR_STAGING_FOREIGN : is_closed(folder) ? 0 : UR_STAGING_OPEN;
}

/** What a folder that we make in `parent` looks like. */
static int try_folder(int parent, struct stat *ret)
{
	(void)ur_sys.unlinkat(parent, TRIAL, AT_REMOVEDIR); // of a run that was killed here
	int r = ur_sys.mkdirat(parent, TRIAL, 0700);
	if (r < 0) {
		return r;
	}
	r = ur_sys.fstatat(parent, TRIAL, ret, AT_SYMLINK_NOFOLLOW);
	(void)ur_sys.unlinkat(parent, TRIAL, AT_REMOVEDIR);
	return r;
}

static int check_owner(int parent, int staging)
{
	struct stat folder;
	struct stat fresh;
	struct ur_fs fs;
	int r = ur_sys.fstat(staging, &folder);
	if (r < 0) {
		return r;
	}
	const int verdict = ur_staging_judge(&folder, NULL, geteuid());
	if (verdict == 0 || ur_fs_of(staging, &fs) < 0 || fs.trusted) {
		return verdict;
	}
	r = try_folder(parent, &fresh);
	return r < 0 ? verdict : ur_staging_judge(&folder, &fresh, geteuid());
}

/* ---- open, lock ------------------------------------------------------------------------------ */

/**
 * It still has its name; -ENOENT: somebody removed it between our opening and our lock.  Where that
 * cannot be seen it is not absent: what stands in it would be taken for gone.
 */
static int check_still_there(int parent, int staging)
{
	struct stat named;
	struct stat opened;
	struct ur_fs fs = {0};
	int r = ur_sys.fstatat(parent, UR_STAGING, &named, AT_SYMLINK_NOFOLLOW);
	r = r < 0 ? r : ur_sys.fstat(staging, &opened);
	r = r < 0 ? r : ur_fs_of(staging, &fs);
	if (r < 0) {
		return r;
	}
	const bool same = named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
	return same || !fs.trusted ? 0 : -ENOENT;
}

/** Where a file system knows no locks, the names alone have to tell. */
static int lock(int staging, int how)
{
	const int r = ur_sys.flock(staging, how | LOCK_NB);
	return r == -EWOULDBLOCK ? r : 0;
}

static int open_once(int parent, int how)
{
	const int fd = ur_sys.openat(parent, UR_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0) {
		return fd;
	}
	int r = check_owner(parent, fd);
	r = r < 0 ? r : lock(fd, how);
	r = r < 0 ? r : check_still_there(parent, fd);
	if (r < 0) {
		(void)ur_sys.close(fd);
		return r;
	}
	return fd;
}

int ur_staging_open(int parent)
{
	int r = -ENOENT;
	for (int n = 0; n < LOCK_TRIES && (r == -ENOENT || r == -EWOULDBLOCK); n++) {
		if (r == -EWOULDBLOCK) {
			const struct timespec pause = {0, PAUSE_MS * UR_MS_NS};
			(void)nanosleep(&pause, NULL);
		}
		const int made = ur_sys.mkdirat(parent, UR_STAGING, 0700);
		r = made < 0 && made != -EEXIST ? made : open_once(parent, LOCK_SH);
	}
	return r;
}

int ur_staging_open_alone(int parent)
{
	return open_once(parent, LOCK_EX);
}

void ur_staging_leave(int parent, int staging)
{
	if (staging < 0) {
		return;
	}
	if (lock(staging, LOCK_EX) == 0 && check_still_there(parent, staging) == 0) {
		/* Fails while it is not empty, which is what we want. */
		(void)ur_sys.unlinkat(parent, UR_STAGING, AT_REMOVEDIR);
	}
	(void)ur_sys.close(staging);
}

int ur_staging_hindrance(int parent)
{
	struct stat st;
	const int r = ur_sys.may_write(parent);
	if (r != -EACCES && r != -EPERM) {
		return r == -EROFS ? r
				   : 0; // of what else went wrong here it is said when it is tried
	}
	/* One that is there, and ours, needs no right to make it. */
	return ur_sys.fstatat(parent, UR_STAGING, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : r;
}

const char *ur_staging_say(int r)
{
	switch (r) {
	case UR_STAGING_FOREIGN:
		return "belongs to somebody else; it is left alone: ask its owner to remove it";
	case UR_STAGING_OPEN:
		return "is open to others, so what stands in it could be anybody's: look what is in it, "
		       "then `chmod 700` it or remove it";
	case -EWOULDBLOCK:
		return "is in use by another run";
	case -ENOTDIR:
	case -ELOOP:
		return "is no folder; it is left alone: give it another name, or remove it";
	default:
		return NULL;
	}
}
