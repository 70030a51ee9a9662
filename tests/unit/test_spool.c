/*
 * spool - real folders: what is made, written and committed is there after a restart, and what is
 * half made, torn, strange or somebody else's is dealt with.
 */
#include "engine/gateway/spool/spool.h"

#include "engine/base/clock.h"
#include "engine/gateway/spool/internal.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define BEN "22222222-2222-4222-8222-222222222222"

struct room {
	char dir[64];
	char root[80];
	struct ur_spool *spool;
	struct ur_sys real;
};

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

static void open_spool(struct room *room)
{
	struct ur_err err = {0};
	if (ur_spool_new(room->root, &room->spool, &err) != 0) {
		fail_msg("%s", err.text);
	}
}

static void restart(struct room *room)
{
	room->spool = ur_spool_free(room->spool);
	open_spool(room);
}

/** In memory where that is possible: thousands of syncs. */
static int set_up(void **state)
{
	struct room *room = calloc(1, sizeof *room);
	const char *tmp = getenv("TMPDIR");
	tmp = tmp != NULL ? tmp : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(room->dir, sizeof room->dir, "%.40s/ur-spool.XXXXXX", tmp);
	if (mkdtemp(room->dir) == NULL) {
		return -1;
	}
	(void)snprintf(room->root, sizeof room->root, "%s/spool", room->dir);
	room->real = ur_sys;
	*state = room;
	return 0;
}

static int tear_down(void **state)
{
	struct room *room = *state;
	ur_sys = room->real;
	room->spool = ur_spool_free(room->spool);
	(void)nftw(room->dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
	free(room);
	return 0;
}

static const char *path_of(const struct room *room, const char *id, const char *name)
{
	static char path[400];
	(void)snprintf(path, sizeof path, "%s/%s/%s", room->root, id, name);
	return path;
}

static unsigned char *pattern(size_t size, uint32_t seed)
{
	unsigned char *bytes = malloc(size + 1);
	uint32_t x = 2463534242u + seed;
	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		bytes[i] = (unsigned char)x;
	}
	return bytes;
}

static void hash(const void *bytes, size_t size, uint8_t ret[20])
{
	unsigned char whole[EVP_MAX_MD_SIZE];
	assert_int_equal(EVP_Digest(bytes, size, whole, NULL, EVP_sha1(), NULL), 1);
	memcpy(ret, whole, 20);
}

static struct ur_spool_upload *make(
	struct room *room, const char *owner, uint64_t length, const uint8_t *sha1)
{
	struct ur_spool_spec spec = {.owner = owner,
		.length = length,
		.metadata = "filename YS5qcGc=,k",
		.has_sha1 = sha1 != NULL};
	struct ur_spool_upload *upload = NULL;
	struct ur_err err = {0};
	if (sha1 != NULL) {
		memcpy(spec.sha1, sha1, 20);
	}
	if (ur_spool_make(room->spool, &spec, &upload, &err) != 0) {
		fail_msg("%s", err.text);
	}
	ur_spool_admit(room->spool, upload);
	return upload;
}

static void append(struct ur_spool_upload *upload, const void *bytes, size_t size)
{
	struct ur_err err = {0};
	assert_int_equal(ur_spool_wake(upload, &err), 0);
	if (ur_spool_append(upload, bytes, size, &err) != 0) {
		fail_msg("%s", err.text);
	}
}

static void commit(struct ur_spool_upload *upload)
{
	struct ur_spool_mark mark;
	struct ur_err err = {0};
	ur_spool_mark(upload, &mark);
	if (ur_spool_commit(upload, &mark, &err) != 0) {
		fail_msg("%s", err.text);
	}
	ur_spool_committed(upload, &mark);
}

static void conclude(struct ur_spool_upload *upload, enum ur_spool_state state)
{
	struct ur_spool_outcome outcome = {.state = state, .tries = 1};
	assert_int_equal(ur_spool_conclude(upload, &outcome, NULL), 0);
	upload->outcome = outcome;
}

/** What is in the file `bytes` is exactly this. */
static void holds(const struct ur_spool_upload *upload, const void *bytes, size_t size)
{
	char *read = malloc(size + 2);
	const int fd = ur_spool_open(upload, NULL);
	assert_true(fd >= 0);
	assert_int_equal(ur_sys_pread_all(fd, read, size + 1, 0), (ssize_t)size);
	assert_memory_equal(read, bytes, size);
	(void)close(fd);
	free(read);
}

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, 0), (ssize_t)size);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

/* ---- the ordinary life ----------------------------------------------------------------------- */

static void an_upload_is_there_after_a_restart(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	const uint8_t sha1[20] = {1, 2, 3};
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 100, sha1);
	const int64_t created = upload->created_ms;
	memcpy(id, upload->id, sizeof id);
	assert_int_equal(strspn(id, "0123456789abcdef"), 32);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_non_null(upload);
	assert_string_equal(upload->owner, ANN);
	assert_int_equal(upload->length, 100);
	assert_int_equal(upload->offset, 0);
	assert_int_equal(upload->created_ms, created);
	assert_true(upload->has_sha1);
	assert_memory_equal(upload->want_sha1, sha1, 20);
	assert_int_equal(upload->outcome.state, UR_SPOOL_RECEIVING);
	char *metadata = NULL;
	assert_int_equal(ur_spool_metadata(upload, &metadata), 0);
	assert_string_equal(metadata, "filename YS5qcGc=,k");
	free(metadata);
}

static void everything_is_private(void **state)
{
	struct room *room = *state;
	struct stat st;
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 100, NULL);
	conclude(upload, UR_SPOOL_REFUSED);
	assert_int_equal(ur_spool_keep(upload, "key", "k", 1, NULL), 0);
	assert_int_equal(stat(room->root, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(path_of(room, upload->id, ""), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	static const char *const names[] = {"info", "state", "bytes", "outcome", "key"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		assert_int_equal(stat(path_of(room, upload->id, names[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void the_checksum_of_the_whole_costs_no_second_read(void **state)
{
	enum {
		SIZE = 1000003
	};
	struct room *room = *state;
	unsigned char *bytes = pattern(SIZE, 1);
	uint8_t sha1[20];
	char id[UR_SPOOL_ID];
	hash(bytes, SIZE, sha1);
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, SIZE, sha1);
	memcpy(id, upload->id, sizeof id);
	for (size_t at = 0; at < SIZE;) { // a restart after every piece
		const size_t some = SIZE - at < 77777 ? SIZE - at : 77777;
		append(upload, bytes + at, some);
		commit(upload);
		at += some;
		restart(room);
		upload = ur_spool_find(room->spool, id);
		assert_int_equal(upload->offset, at);
		assert_int_equal(upload->durable, at);
	}
	assert_int_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
	assert_memory_equal(upload->sha1, sha1, 20);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	memset(upload->sha1, 0, 20);
	assert_true(ur_spool_finish(upload));
	assert_memory_equal(upload->sha1, sha1, 20);
	holds(upload, bytes, SIZE);
	free(bytes);
}

static void other_bytes_than_promised_are_broken(void **state)
{
	struct room *room = *state;
	uint8_t sha1[20];
	char id[UR_SPOOL_ID];
	hash("hello", 5, sha1);
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, sha1);
	memcpy(id, upload->id, sizeof id);
	append(upload, "hullo", 5);
	commit(upload);
	assert_false(ur_spool_finish(upload));
	restart(room);
	assert_int_equal(ur_spool_find(room->spool, id)->outcome.state, UR_SPOOL_BROKEN);
}

static void an_empty_file_is_complete_at_once(void **state)
{
	struct room *room = *state;
	uint8_t sha1[20];
	char id[UR_SPOOL_ID];
	hash("", 0, sha1);
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 0, sha1);
	memcpy(id, upload->id, sizeof id);
	assert_true(ur_spool_finish(upload));
	assert_memory_equal(upload->sha1, sha1, 20);
	restart(room);
	assert_int_equal(ur_spool_find(room->spool, id)->outcome.state, UR_SPOOL_COMPLETE);
}

static void what_was_not_committed_is_cut_off_at_the_next_start(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 100, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "0123456789", 10);
	commit(upload);
	append(upload, "abcdefghij", 10);
	assert_int_equal(upload->offset, 20);
	assert_int_equal(upload->durable, 10);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->offset, 10);
	holds(upload, "0123456789", 10);
}

static void rest_forgets_what_was_not_committed(void **state)
{
	struct room *room = *state;
	uint8_t sha1[20];
	open_spool(room);
	hash("0123456789ABC", 13, sha1);
	struct ur_spool_upload *upload = make(room, ANN, 13, sha1);
	append(upload, "0123456789", 10);
	commit(upload);
	append(upload, "abc", 3);
	ur_spool_rest(upload);
	assert_null(upload->own);
	assert_int_equal(upload->offset, 10);
	append(upload, "ABC", 3);
	commit(upload);
	assert_true(ur_spool_finish(upload));
	holds(upload, "0123456789ABC", 13);
}

static void a_length_may_be_declared_later_and_survives(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, UR_SPOOL_LENGTH_UNKNOWN, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "0123456789", 10);
	commit(upload);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_true(upload->length == UR_SPOOL_LENGTH_UNKNOWN);
	assert_int_equal(upload->offset, 10);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	ur_spool_declare(upload, 12);
	commit(upload);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->length, 12);
	assert_int_equal(upload->outcome.state, UR_SPOOL_RECEIVING);
}

static void more_bytes_than_the_length_are_refused(void **state)
{
	struct room *room = *state;
	struct ur_err err = {0};
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 10, NULL);
	append(upload, "12345678", 8);
	assert_int_equal(ur_spool_append(upload, "abc", 3, &err), -EFBIG);
	assert_non_null(strstr(err.text, "length of 10"));
	assert_int_equal(upload->offset, 8);
	append(upload, "90", 2);
}

/* ---- rewinding ------------------------------------------------------------------------------- */

static void a_rewound_upload_goes_on_as_if_nothing_had_come(void **state)
{
	struct room *room = *state;
	struct ur_spool_mark mark;
	uint8_t sha1[20];
	open_spool(room);
	hash("0123456789abc", 13, sha1);
	struct ur_spool_upload *upload = make(room, ANN, 13, sha1);
	append(upload, "0123456789", 10);
	ur_spool_mark(upload, &mark);
	append(upload, "XY", 2);
	ur_spool_rewind(upload, &mark);
	assert_int_equal(upload->offset, 10);
	append(upload, "abc", 3);
	commit(upload);
	assert_true(ur_spool_finish(upload));
	holds(upload, "0123456789abc", 13);
}

static void no_slot_speaks_of_bytes_that_were_overwritten(void **state)
{
	struct room *room = *state;
	struct ur_spool_mark start;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, UR_SPOOL_LENGTH_UNKNOWN, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "0123456789", 10);
	ur_spool_mark(upload, &start);
	append(upload, "XXXXXXXXXX", 10);
	commit(upload);
	ur_spool_rewind(upload, &start);
	append(upload, "y", 1); // and not committed
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->offset, 10);
	uint8_t sha1[20];
	hash("0123456789", 10, sha1);
	assert_memory_equal(upload->sha1, sha1, 20);
	holds(upload, "0123456789", 10);
}

static void a_shorter_end_after_a_rewind_leaves_nothing_behind_it(void **state)
{
	struct room *room = *state;
	struct ur_spool_mark start;
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, UR_SPOOL_LENGTH_UNKNOWN, NULL);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	ur_spool_mark(upload, &start);
	append(upload, "0123456789", 10);
	commit(upload);
	ur_spool_rewind(upload, &start);
	commit(upload);
	ur_spool_declare(upload, 3);
	append(upload, "abc", 3);
	commit(upload);
	holds(upload, "abc", 3);
}

static void a_rewind_takes_a_declared_length_back(void **state)
{
	struct room *room = *state;
	struct ur_spool_mark start;
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, UR_SPOOL_LENGTH_UNKNOWN, NULL);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	ur_spool_mark(upload, &start);
	ur_spool_declare(upload, 3);
	append(upload, "abc", 3);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).bytes, 3);
	ur_spool_rewind(upload, &start);
	assert_true(upload->length == UR_SPOOL_LENGTH_UNKNOWN);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).bytes, 0);
}

/* ---- the index ------------------------------------------------------------------------------- */

static void owners_are_counted(void **state)
{
	struct room *room = *state;
	open_spool(room);
	struct ur_spool_upload *a = make(room, ANN, 100, NULL);
	struct ur_spool_upload *b = make(room, ANN, UR_SPOOL_LENGTH_UNKNOWN, NULL);
	struct ur_spool_upload *c = make(room, BEN, 1000, NULL);
	append(b, "12345", 5);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).uploads, 2);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).bytes, 105);
	assert_int_equal(ur_spool_use_of(room->spool, BEN).bytes, 1000);
	assert_int_equal(ur_spool_use_of(room->spool, NULL).uploads, 3);
	assert_int_equal(ur_spool_use_of(room->spool, NULL).bytes, 1105);
	assert_int_equal(ur_spool_use_of(room->spool, "nobody").uploads, 0);
	commit(b);
	restart(room);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).bytes, 105);
	a = NULL;
	while ((a = ur_spool_next(room->spool, NULL)) != NULL) {
		assert_int_equal(ur_spool_remove(room->spool, a, NULL), 0);
		ur_spool_dismiss(room->spool, a);
	}
	assert_int_equal(ur_spool_use_of(room->spool, NULL).uploads, 0);
	assert_int_equal(ur_spool_use_of(room->spool, NULL).bytes, 0);
	assert_int_equal(ur_spool_use_of(room->spool, BEN).uploads, 0);
	(void)c;
}

static void emptied_uploads_count_no_bytes(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "12345", 5);
	commit(upload);
	ur_spool_rest(upload);
	assert_int_equal(ur_spool_keep(upload, "key", "secret", 6, NULL), 0);
	conclude(upload, UR_SPOOL_CONFIRMED);
	assert_int_equal(ur_spool_empty(upload, NULL), 0);
	assert_true(upload->bytes_gone);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).bytes, 0);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).uploads, 1);
	assert_int_equal(access(path_of(room, id, "bytes"), F_OK), -1);
	assert_int_equal(access(path_of(room, id, "key"), F_OK), -1);
	assert_int_equal(ur_spool_open(upload, NULL), -ENOENT);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_true(upload->bytes_gone);
	assert_int_equal(upload->outcome.state, UR_SPOOL_CONFIRMED);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).bytes, 0);
	assert_int_equal(ur_spool_damaged(room->spool), 0);
	assert_int_equal(ur_spool_empty(upload, NULL), 0); // again, as after a crash
}

static void bytes_go_only_after_an_outcome_that_lets_them(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "12345", 5);
	commit(upload);
	ur_spool_rest(upload);
	assert_int_equal(ur_spool_empty(upload, NULL), -ENOENT);
	conclude(upload, UR_SPOOL_DELIVERED);
	upload->outcome.state = UR_SPOOL_CONFIRMED; // and nobody wrote it down
	assert_int_equal(ur_spool_empty(upload, NULL), -EINVAL);
	assert_false(upload->bytes_gone);
	holds(upload, "12345", 5);
	conclude(upload, UR_SPOOL_REFUSED); // expired, say
	assert_int_equal(ur_spool_empty(upload, NULL), 0);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_true(upload->bytes_gone);
	assert_int_equal(upload->outcome.state, UR_SPOOL_REFUSED);
}

static void many_uploads_are_found_walked_and_dismissed(void **state)
{
	enum {
		COUNT = 3000 // more than there are buckets at the beginning
	};
	struct room *room = *state;
	static char ids[COUNT][UR_SPOOL_ID];
	open_spool(room);
	for (int i = 0; i < COUNT; i++) {
		memcpy(ids[i], make(room, i % 2 == 0 ? ANN : BEN, 1, NULL)->id, UR_SPOOL_ID);
	}
	for (int i = 0; i < COUNT; i++) {
		assert_string_equal(ur_spool_find(room->spool, ids[i])->id, ids[i]);
	}
	assert_int_equal(ur_spool_use_of(room->spool, ANN).uploads, COUNT / 2);
	size_t walked = 0;
	for (struct ur_spool_upload *u = ur_spool_next(room->spool, NULL); u != NULL;
		u = ur_spool_next(room->spool, u)) {
		walked++;
	}
	assert_int_equal(walked, COUNT);
	/* The one at hand may go. */
	size_t gone = 0;
	struct ur_spool_upload *u = NULL;
	while ((u = ur_spool_next(room->spool, u)) != NULL) {
		if (strcmp(u->owner, ANN) == 0) {
			ur_spool_dismiss(room->spool, u);
			gone++;
		}
	}
	assert_int_equal(gone, COUNT / 2);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).uploads, 0);
	assert_int_equal(ur_spool_use_of(room->spool, BEN).uploads, COUNT / 2);
	assert_null(ur_spool_find(room->spool, "no id"));
	assert_null(ur_spool_find(room->spool, "../etc"));
}

/* ---- outcomes, keys -------------------------------------------------------------------------- */

static void an_outcome_survives_with_its_words(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	struct ur_spool_outcome outcome = {.state = UR_SPOOL_REFUSED,
		.duplicate = true,
		.trashed = true,
		.status = 400,
		.asset = "01234567-89ab-cdef-0123-456789abcdef",
		.words = "Quota \"exceeded\"\n\x01 ü",
		.since_ms = 1714979289123,
		.tries = 7};
	assert_int_equal(ur_spool_conclude(upload, &outcome, NULL), 0);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->outcome.state, UR_SPOOL_REFUSED);
	assert_true(upload->outcome.duplicate);
	assert_true(upload->outcome.trashed);
	assert_int_equal(upload->outcome.status, 400);
	assert_string_equal(upload->outcome.asset, outcome.asset);
	assert_string_equal(upload->outcome.words, outcome.words);
	assert_int_equal(upload->outcome.since_ms, outcome.since_ms);
	assert_int_equal(upload->outcome.tries, 7);
	outcome.state = UR_SPOOL_CONFIRMED; // replaced whole
	memset(outcome.words, 0xff, sizeof outcome.words - 1);
	assert_int_equal(ur_spool_conclude(upload, &outcome, NULL), 0);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->outcome.state, UR_SPOOL_CONFIRMED);
	assert_true(ur_utf8_valid(upload->outcome.words, strlen(upload->outcome.words)));
	assert_int_equal(strlen(upload->outcome.words), sizeof outcome.words - 2); // 42 U+FFFD
}

static void a_key_is_kept_and_wiped(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	char read[16];
	size_t size = 0;
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	assert_int_equal(ur_spool_recall(upload, "key", read, sizeof read, &size), -ENOENT);
	assert_int_equal(ur_spool_keep(upload, "key", "first", 5, NULL), 0);
	assert_int_equal(ur_spool_keep(upload, "key", "second\0!", 8, NULL), 0);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(ur_spool_recall(upload, "key", read, sizeof read, &size), 0);
	assert_int_equal(size, 8);
	assert_memory_equal(read, "second\0!", 8);
	assert_int_equal(ur_spool_recall(upload, "key", read, 7, &size), -ENOSPC);
	assert_int_equal(ur_spool_wipe(upload, "key"), 0);
	assert_int_equal(ur_spool_recall(upload, "key", read, sizeof read, &size), -ENOENT);
	assert_int_equal(ur_spool_wipe(upload, "key"), 0);
}

static struct ur_sys below;
static char overwritten[64];

static int look_before_unlinking(int dir, const char *name, int flags)
{
	const int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && strncmp(name, "key", 3) == 0) {
		assert_true(pread(fd, overwritten, sizeof overwritten, 0) >= 0);
	}
	(void)close(fd);
	return below.unlinkat(dir, name, flags);
}

static void a_secret_is_overwritten_before_its_name_goes(void **state)
{
	static const char zeros[6];
	struct room *room = *state;
	open_spool(room);
	below = ur_sys;
	for (int how = 0; how < 3; how++) { // wiped, emptied, removed
		struct ur_spool_upload *upload = make(room, ANN, 0, NULL);
		assert_int_equal(ur_spool_keep(upload, "key", "secret", 6, NULL), 0);
		conclude(upload, UR_SPOOL_CONFIRMED);
		memset(overwritten, 'x', sizeof overwritten);
		ur_sys.unlinkat = look_before_unlinking;
		assert_int_equal(how == 0   ? ur_spool_wipe(upload, "key")
				 : how == 1 ? ur_spool_empty(upload, NULL)
					    : ur_spool_remove(room->spool, upload, NULL),
			0);
		ur_sys.unlinkat = below.unlinkat;
		assert_memory_equal(overwritten, zeros, 6);
	}
}

/* ---- half made, torn, strange ---------------------------------------------------------------- */

static void a_removed_upload_does_not_come_back(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "123", 3);
	commit(upload);
	assert_int_equal(ur_spool_remove(room->spool, upload, NULL), 0);
	assert_int_equal(ur_spool_remove(room->spool, upload, NULL), 0); // may be repeated
	ur_spool_dismiss(room->spool, upload);
	assert_null(ur_spool_find(room->spool, id));
	assert_int_equal(access(path_of(room, id, ""), F_OK), -1);
	restart(room);
	assert_null(ur_spool_next(room->spool, NULL));
}

static void what_was_being_made_or_removed_is_gone_at_the_next_start(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	char path[200];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	room->spool = ur_spool_free(room->spool);
	(void)snprintf(path, sizeof path, "%s/.gone-%s", room->root, id);
	char from[200];
	(void)snprintf(from, sizeof from, "%s/%s", room->root, id);
	assert_int_equal(rename(from, path), 0);
	(void)snprintf(path, sizeof path, "%s/.new-%s", room->root, id);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof path, "%s/.new-%s/info", room->root, id);
	write_file(path, "{", 1, 0600);
	(void)snprintf(path, sizeof path, "%s/lost+found", room->root);
	assert_int_equal(mkdir(path, 0700), 0);
	open_spool(room);
	assert_null(ur_spool_next(room->spool, NULL));
	assert_int_equal(ur_spool_damaged(room->spool), 0);
	assert_int_equal(access(path, F_OK), 0); // not ours
	(void)snprintf(path, sizeof path, "%s/.new-%s", room->root, id);
	assert_int_equal(access(path, F_OK), -1);
	(void)snprintf(path, sizeof path, "%s/.gone-%s", room->root, id);
	assert_int_equal(access(path, F_OK), -1);
}

static void half_written_files_are_swept_away(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 5, NULL);
	memcpy(id, upload->id, sizeof id);
	conclude(upload, UR_SPOOL_DELIVERED);
	write_file(path_of(room, id, "outcome.tmp"), "{\"versi", 7, 0600);
	write_file(path_of(room, id, "key.tmp"), "sec", 3, 0600);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->outcome.state, UR_SPOOL_DELIVERED);
	assert_int_equal(access(path_of(room, id, "outcome.tmp"), F_OK), -1);
	assert_int_equal(access(path_of(room, id, "key.tmp"), F_OK), -1);
}

static void damage(struct room *room, const char *id, off_t at, size_t size)
{
	const unsigned char junk[UR_SLOT_BYTES] = {0x5a};
	const int fd = open(path_of(room, id, "state"), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, size, at), (ssize_t)size);
	(void)close(fd);
}

static void of_two_slots_the_newer_whole_one_counts(void **state)
{
	struct room *room = *state;
	static const size_t torn[] = {1, 8, 16, 64, 511, 512};
	for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
		for (unsigned slot = 0; slot < 2; slot++) {
			char id[UR_SPOOL_ID];
			open_spool(room);
			struct ur_spool_upload *upload = make(room, ANN, 100, NULL);
			memcpy(id, upload->id, sizeof id);
			append(upload, "0123456789", 10);
			commit(upload); // into slot 1
			append(upload, "abcdefghij", 10);
			commit(upload); // into slot 0
			room->spool = ur_spool_free(room->spool);
			damage(room, id, slot * (off_t)UR_SLOT_APART, torn[i]);
			open_spool(room);
			upload = ur_spool_find(room->spool, id);
			assert_int_equal(upload->offset, slot == 0 ? 10 : 20);
			holds(upload, "0123456789abcdefghij", slot == 0 ? 10 : 20);
			append(upload, "x", 1); // takes the place of the torn one
			commit(upload);
			restart(room);
			assert_int_equal(
				ur_spool_find(room->spool, id)->offset, slot == 0 ? 11 : 21);
			room->spool = ur_spool_free(room->spool);
		}
	}
}

static void every_flipped_bit_of_a_slot_is_noticed(void **state)
{
	struct ur_spool_slot slot = {.sequence = 7,
		.touched_ms = 1,
		.mark = {.offset = 100, .length = 1000, .words = {1}, .tail = {2}}};
	struct ur_spool_slot read;
	uint8_t bytes[UR_SLOT_BYTES];
	(void)state;
	ur_spool_slot_write(&slot, bytes);
	assert_true(ur_spool_slot_read(bytes, &read));
	assert_int_equal(read.sequence, 7);
	assert_int_equal(read.mark.offset, 100);
	assert_int_equal(read.mark.length, 1000);
	assert_memory_equal(read.mark.words, slot.mark.words, 20);
	assert_memory_equal(read.mark.tail, slot.mark.tail, 64);
	for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(ur_spool_slot_read(bytes, &read));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	slot.mark.offset = 1001; // whole, and impossible
	ur_spool_slot_write(&slot, bytes);
	assert_false(ur_spool_slot_read(bytes, &read));
	slot.mark.offset = 1;
	slot.mark.length = UR_SPOOL_LENGTH_UNKNOWN - 1;
	ur_spool_slot_write(&slot, bytes);
	assert_false(ur_spool_slot_read(bytes, &read));
}

static void damaged_uploads_are_broken_and_harm_nobody(void **state)
{
	struct room *room = *state;
	char ids[4][UR_SPOOL_ID];
	open_spool(room);
	for (int i = 0; i < 4; i++) {
		struct ur_spool_upload *upload = make(room, ANN, 10, NULL);
		memcpy(ids[i], upload->id, UR_SPOOL_ID);
		append(upload, "01234", 5);
		commit(upload);
	}
	room->spool = ur_spool_free(room->spool);
	assert_int_equal(truncate(path_of(room, ids[0], "bytes"), 4), 0); // acknowledged, and lost
	assert_int_equal(unlink(path_of(room, ids[1], "bytes")), 0);
	damage(room, ids[2], 0, UR_SLOT_BYTES);
	damage(room, ids[2], UR_SLOT_APART, UR_SLOT_BYTES);
	open_spool(room);
	for (int i = 0; i < 3; i++) {
		struct ur_spool_upload *upload = ur_spool_find(room->spool, ids[i]);
		struct ur_err err = {0};
		assert_int_equal(upload->outcome.state, UR_SPOOL_BROKEN);
		assert_non_null(strstr(upload->outcome.words, "damaged"));
		assert_int_equal(upload->offset, 0);
		assert_int_equal(ur_spool_wake(upload, &err), -EIO);
		assert_int_equal(ur_spool_remove(room->spool, upload, NULL), 0);
		ur_spool_dismiss(room->spool, upload);
	}
	assert_int_equal(ur_spool_find(room->spool, ids[3])->offset, 5);
}

static void folders_that_cannot_be_read_stay_and_are_counted(void **state)
{
	struct room *room = *state;
	char ids[6][UR_SPOOL_ID];
	char path[200];
	open_spool(room);
	for (int i = 0; i < 6; i++) {
		memcpy(ids[i], make(room, ANN, 10, NULL)->id, UR_SPOOL_ID);
	}
	room->spool = ur_spool_free(room->spool);
	assert_int_equal(unlink(path_of(room, ids[0], "info")), 0);
	write_file(path_of(room, ids[1], "info"), "no json", 7, 0600);
	assert_int_equal(chmod(path_of(room, ids[2], "info"), 0644), 0); // others might look
	assert_int_equal(chmod(path_of(room, ids[3], ""), 0755), 0);
	(void)snprintf(path, sizeof path, "%s/elsewhere", room->dir);
	assert_int_equal(rename(path_of(room, ids[4], "info"), path), 0);
	assert_int_equal(symlink(path, path_of(room, ids[4], "info")), 0);
	char from[200];
	(void)snprintf(from, sizeof from, "%s/%s", room->root, ids[5]);
	(void)snprintf(path, sizeof path, "%s/folder", room->dir);
	assert_int_equal(rename(from, path), 0);
	assert_int_equal(symlink(path, from), 0);
	open_spool(room);
	assert_null(ur_spool_next(room->spool, NULL));
	assert_int_equal(ur_spool_damaged(room->spool), 6);
	for (int i = 0; i < 6; i++) {
		struct stat st;
		assert_int_equal(lstat(path_of(room, ".", ids[i]), &st), 0);
	}
}

static void a_symbolic_link_in_an_upload_is_not_followed(void **state)
{
	struct room *room = *state;
	char target[200];
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 10, NULL);
	memcpy(id, upload->id, sizeof id);
	(void)snprintf(target, sizeof target, "%s/precious", room->dir);
	write_file(target, "precious bytes", 14, 0600);
	assert_int_equal(unlink(path_of(room, id, "bytes")), 0);
	assert_int_equal(symlink(target, path_of(room, id, "bytes")), 0);
	assert_int_equal(symlink(target, path_of(room, id, "key")), 0);
	assert_true(ur_spool_wake(upload, NULL) < 0);
	assert_true(ur_spool_open(upload, NULL) < 0);
	assert_int_equal(ur_spool_wipe(upload, "key"), 0); // its name alone
	assert_int_equal(symlink(target, path_of(room, id, "key")), 0);
	restart(room); // does not cut it
	assert_int_equal(ur_spool_find(room->spool, id)->outcome.state, UR_SPOOL_BROKEN);
	assert_int_equal(ur_spool_remove(room->spool, ur_spool_find(room->spool, id), NULL), 0);
	struct stat st;
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, 14);
	char read[14];
	const int fd = open(target, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, read, 14, 0), 14);
	assert_memory_equal(read, "precious bytes", 14);
	(void)close(fd);
}

/* ---- the root -------------------------------------------------------------------------------- */

static void two_gateways_do_not_share_a_spool(void **state)
{
	struct room *room = *state;
	struct ur_spool *other = NULL;
	struct ur_err err = {0};
	open_spool(room);
	assert_int_equal(ur_spool_new(room->root, &other, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another gateway"));
	assert_null(other);
	room->spool = ur_spool_free(room->spool);
	open_spool(room);
}

static void a_root_that_others_may_write_to_is_refused(void **state)
{
	struct room *room = *state;
	struct ur_err err = {0};
	assert_int_equal(mkdir(room->root, 0700), 0);
	assert_int_equal(chmod(room->root, 0770), 0);
	assert_int_equal(ur_spool_new(room->root, &room->spool, &err), -EPERM);
	assert_non_null(strstr(err.text, "chmod 700"));
	assert_int_equal(chmod(room->root, 0702), 0);
	assert_int_equal(ur_spool_new(room->root, &room->spool, &err), -EPERM);
	assert_int_equal(chmod(room->root, 0750), 0);
	open_spool(room);
}

static int not_ours(int fd, struct stat *ret)
{
	const int r = below.fstat(fd, ret);
	ret->st_uid += 1;
	return r;
}

static void somebody_elses_root_is_refused(void **state)
{
	struct room *room = *state;
	struct ur_err err = {0};
	below = ur_sys;
	ur_sys.fstat = not_ours;
	assert_int_equal(ur_spool_new(room->root, &room->spool, &err), -EPERM);
	assert_non_null(strstr(err.text, "belongs to user"));
}

static void a_root_that_is_no_folder_is_refused(void **state)
{
	struct room *room = *state;
	struct ur_err err = {0};
	write_file(room->root, "", 0, 0600);
	assert_int_equal(ur_spool_new(room->root, &room->spool, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, room->root));
}

static void the_space_that_is_left_is_told(void **state)
{
	struct room *room = *state;
	uint64_t space = 0;
	open_spool(room);
	assert_int_equal(ur_spool_space(room->spool, &space), 0);
	assert_true(space > 0);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/** An upload of ten bytes, all of them acknowledged. */
static void make_whole(struct room *room, bool promised, char ret_id[UR_SPOOL_ID])
{
	uint8_t sha1[20];
	hash("0123456789", 10, sha1);
	struct ur_spool_upload *upload = make(room, ANN, 10, promised ? sha1 : NULL);
	memcpy(ret_id, upload->id, UR_SPOOL_ID);
	append(upload, "01234", 5);
	commit(upload);
	append(upload, "56789", 5);
	commit(upload);
	ur_spool_rest(upload);
}

static bool rebuild(struct ur_spool_upload *upload)
{
	struct ur_spool_found found = {0};
	const int r = ur_spool_rebuild(upload, &found, NULL);
	return ur_spool_found(upload, &found, r);
}

static void write_junk(const char *path, size_t size, uint32_t seed)
{
	unsigned char *junk = pattern(size, seed);
	write_file(path, junk, size, 0600);
	free(junk);
}

/** Each is a way in which `state` may be damaged; false: there is no further one. */
static bool damage_state(const struct room *room, const char *id, int way)
{
	const char *path = path_of(room, id, "state");
	switch (way) {
	case 0:
		return truncate(path, 0) == 0;
	case 1:
		return truncate(path, 100) == 0;
	case 2:
		return unlink(path) == 0;
	case 3:
		write_junk(path, UR_STATE_BYTES, 9);
		return true;
	case 4: // the newer slot alone: slot 0 of two commits
		write_file(path, "junk", 4, 0600);
		return true;
	case 5:
		return chmod(path, 0640) == 0;
	default:
		return false;
	}
}

static void a_damaged_state_is_rebuilt_from_the_bytes(void **state)
{
	struct room *room = *state;
	for (int way = 0;; way++) {
		char id[UR_SPOOL_ID];
		open_spool(room);
		make_whole(room, true, id);
		room->spool = ur_spool_free(room->spool);
		if (!damage_state(room, id, way)) {
			break;
		}
		open_spool(room);
		struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
		assert_true(upload->is_unread);
		assert_true(rebuild(upload));
		for (int restarts = 0; restarts < 2; restarts++) {
			assert_int_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
			assert_false(upload->is_damaged);
			assert_int_equal(upload->length, 10);
			assert_memory_equal(upload->sha1, upload->want_sha1, 20);
			holds(upload, "0123456789", 10);
			restart(room);
			upload = ur_spool_find(room->spool, id);
		}
		room->spool = ur_spool_free(room->spool);
	}
}

static void what_was_done_with_a_rebuilt_upload_is_doubted(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	make_whole(room, true, id);
	room->spool = ur_spool_free(room->spool);
	assert_int_equal(truncate(path_of(room, id, "state"), 0), 0);
	open_spool(room);
	assert_true(rebuild(ur_spool_find(room->spool, id)));
	assert_true(ur_spool_find(room->spool, id)->outcome.suspect);
}

static void bytes_that_nobody_vouches_for_are_kept(void **state)
{
	struct room *room = *state;
	for (int way = 0;; way++) {
		char id[UR_SPOOL_ID];
		open_spool(room);
		make_whole(room, false, id);
		room->spool = ur_spool_free(room->spool);
		if (!damage_state(room, id, way)) {
			break;
		}
		for (int starts = 0; starts < 2; starts++) {
			open_spool(room);
			struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
			assert_true(upload->is_damaged);
			assert_false(rebuild(upload));
			assert_true(upload->is_damaged);
			assert_int_not_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
			holds(upload, "0123456789", 10);
			room->spool = ur_spool_free(room->spool);
		}
	}
}

static void other_bytes_than_promised_do_not_pass_for_whole(void **state)
{
	struct room *room = *state;
	char ids[3][UR_SPOOL_ID];
	open_spool(room);
	for (int i = 0; i < 3; i++) {
		make_whole(room, true, ids[i]);
	}
	room->spool = ur_spool_free(room->spool);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(truncate(path_of(room, ids[i], "state"), 0), 0);
	}
	write_file(path_of(room, ids[0], "bytes"), "x", 1, 0600);
	assert_int_equal(truncate(path_of(room, ids[1], "bytes"), 9), 0);
	write_file(path_of(room, ids[2], "bytes"), "0123456789+", 11, 0600);
	open_spool(room);
	for (int i = 0; i < 3; i++) {
		struct ur_spool_upload *upload = ur_spool_find(room->spool, ids[i]);
		assert_false(rebuild(upload));
		assert_int_equal(upload->outcome.state, UR_SPOOL_BROKEN);
		assert_int_equal(access(path_of(room, ids[i], "bytes"), F_OK), 0);
	}
}

static void what_was_sent_once_was_whole(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	uint8_t sha1[20];
	hash("0123456789", 10, sha1);
	open_spool(room);
	make_whole(room, false, id);
	conclude(ur_spool_find(room->spool, id), UR_SPOOL_DELIVERED);
	room->spool = ur_spool_free(room->spool);
	assert_int_equal(truncate(path_of(room, id, "state"), 0), 0);
	open_spool(room);
	struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
	assert_true(rebuild(upload));
	assert_int_equal(upload->outcome.state, UR_SPOOL_DELIVERED); // and confirmed by its SHA-1
	assert_memory_equal(upload->sha1, sha1, 20);
}

static void an_unfinished_upload_goes_on_from_the_slot_that_is_left(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	make_whole(room, false, id);
	room->spool = ur_spool_free(room->spool);
	damage(room, id, 0, 8);
	open_spool(room);
	struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
	assert_false(rebuild(upload));
	assert_int_equal(upload->outcome.state, UR_SPOOL_RECEIVING);
	assert_int_equal(upload->offset, 5);
	append(upload, "56789", 5);
	commit(upload);
	assert_true(ur_spool_finish(upload));
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->outcome.state, UR_SPOOL_COMPLETE);
	assert_false(upload->is_damaged);
}

static void an_outcome_that_cannot_be_read_leaves_doubt(void **state)
{
	struct room *room = *state;
	for (int way = 0; way < 4; way++) {
		char id[UR_SPOOL_ID];
		open_spool(room);
		make_whole(room, true, id);
		conclude(ur_spool_find(room->spool, id), UR_SPOOL_DELIVERED);
		conclude(ur_spool_find(room->spool, id), UR_SPOOL_DELIVERED);
		room->spool = ur_spool_free(room->spool);
		const char *path = path_of(room, id, "outcome");
		if (way == 0) {
			assert_int_equal(truncate(path, 0), 0);
		} else if (way == 1) {
			write_junk(path, UR_OUTCOME_BYTES, 4);
		} else if (way == 2) {
			write_file(path, "{", 1, 0600); // one block is as it was
			write_file(path, "x", 1, 0600);
		} else {
			assert_int_equal(chmod(path, 0644), 0);
		}
		open_spool(room);
		const struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
		assert_true(upload->outcome.suspect);
		assert_int_equal(
			upload->outcome.state, way == 2 ? UR_SPOOL_DELIVERED : UR_SPOOL_COMPLETE);
		room->spool = ur_spool_free(room->spool);
	}
}

static ino_t bad_inode;

static ssize_t bad_sector(int fd, void *bytes, size_t size, off_t offset)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_ino == bad_inode ? -EIO
							     : below.pread(fd, bytes, size, offset);
}

static void a_bad_sector_of_one_upload_harms_no_other(void **state)
{
	static const char *const names[] = {"info", "state", "outcome", "bytes"};
	struct room *room = *state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char bad[UR_SPOOL_ID];
		char good[UR_SPOOL_ID];
		struct stat st;
		open_spool(room);
		make_whole(room, true, bad);
		make_whole(room, true, good);
		room->spool = ur_spool_free(room->spool);
		assert_int_equal(stat(path_of(room, bad, names[i]), &st), 0);
		bad_inode = st.st_ino;
		below = ur_sys;
		ur_sys.pread = bad_sector;
		open_spool(room);
		assert_int_equal(
			ur_spool_find(room->spool, good)->outcome.state, UR_SPOOL_COMPLETE);
		assert_int_equal(ur_spool_damaged(room->spool), i == 0 ? 1 : 0);
		assert_int_equal(strncmp(ur_spool_damage(room->spool), bad, i == 0 ? 32 : 0), 0);
		struct ur_spool_upload *upload = ur_spool_find(room->spool, bad);
		assert_int_equal(upload == NULL, i == 0);
		assert_true(upload == NULL || !upload->is_unread || rebuild(upload));
		room->spool = ur_spool_free(room->spool);
		ur_sys = below;
		open_spool(room); // the disk was copied, say
		assert_int_equal(ur_spool_find(room->spool, bad)->outcome.state, UR_SPOOL_COMPLETE);
		room->spool = ur_spool_free(room->spool);
		(void)nftw(room->root, remove_any, 16, FTW_DEPTH | FTW_PHYS);
	}
}

/* ---- the time it has run --------------------------------------------------------------------- */

static void run_time_is_kept_and_a_pause_is_none(void **state)
{
	struct room *room = *state;
	open_spool(room);
	ur_spool_pass(room->spool, 3600000);
	assert_int_equal(ur_spool_keep_time(room->spool, NULL), 0);
	ur_spool_pass(room->spool, 5000); // and killed before that was kept
	ur_clock_step(INT64_C(31) * 86400 * UR_SECOND_NS);
	restart(room);
	assert_in_range(ur_spool_ran_ms(room->spool), 3600000, 3604000);
	for (int i = 0; i < 5; i++) {
		ur_spool_pass(room->spool, 1000);
		assert_int_equal(ur_spool_keep_time(room->spool, NULL), 0);
	}
	ur_clock_step(INT64_C(-62) * 86400 * UR_SECOND_NS);
	restart(room);
	ur_clock_step(INT64_C(31) * 86400 * UR_SECOND_NS);
	assert_in_range(ur_spool_ran_ms(room->spool), 3605000, 3609000);
}

static void a_clock_that_cannot_be_read_begins_anew(void **state)
{
	struct room *room = *state;
	char path[200];
	(void)snprintf(path, sizeof path, "%s/clock", room->root);
	open_spool(room);
	ur_spool_pass(room->spool, 3600000);
	assert_int_equal(ur_spool_keep_time(room->spool, NULL), 0);
	room->spool = ur_spool_free(room->spool);
	write_junk(path, 8192, 3);
	open_spool(room);
	assert_in_range(ur_spool_ran_ms(room->spool), 0, 4000);
	ur_spool_pass(room->spool, 10000);
	assert_int_equal(ur_spool_keep_time(room->spool, NULL), 0);
	restart(room);
	assert_in_range(ur_spool_ran_ms(room->spool), 10000, 14000);
}

static void lives_are_written_with_what_they_count_from(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	ur_spool_pass(room->spool, 7000000);
	struct ur_spool_upload *upload = make(room, ANN, 10, NULL);
	memcpy(id, upload->id, sizeof id);
	ur_spool_pass(room->spool, 1000000);
	append(upload, "01234", 5);
	commit(upload);
	struct ur_spool_outcome outcome = {.state = UR_SPOOL_DELIVERED,
		.suspect = true,
		.missed_ran_ms = 12,
		.there_ran_ms = 11};
	ur_spool_pass(room->spool, 1000000);
	ur_spool_stamp(room->spool, &outcome);
	assert_int_equal(ur_spool_conclude(upload, &outcome, NULL), 0);
	restart(room);
	upload = ur_spool_find(room->spool, id);
	assert_in_range(upload->touched_ran_ms, 8000000, 8004000);
	assert_in_range(upload->outcome.since_ran_ms, 9000000, 9004000);
	assert_int_equal(upload->outcome.there_ran_ms, 11);
	assert_int_equal(upload->outcome.missed_ran_ms, 12);
	assert_true(upload->outcome.suspect);
}

/* ---- older and newer layouts ----------------------------------------------------------------- */

/** As layout 1 left it: an info without a length, one text as the outcome, no clock. */
static void make_old(struct room *room, const char *id, const char *outcome)
{
	char info[400];
	char path[200];
	const int size = snprintf(info, sizeof info,
		"{\"version\":1,\"created_ms\":1714979289123,\"is_sidecar\":false,\"id\":\"%s\","
		"\"owner\":\"" ANN "\",\"metadata\":\"filename YS5qcGc=\"}\n",
		id);
	(void)snprintf(path, sizeof path, "%s/clock", room->root);
	(void)unlink(path);
	assert_int_equal(unlink(path_of(room, id, "info")), 0);
	assert_int_equal(unlink(path_of(room, id, "outcome")), 0);
	write_file(path_of(room, id, "info"), info, (size_t)size, 0600);
	if (outcome != NULL) {
		write_file(path_of(room, id, "outcome"), outcome, strlen(outcome), 0600);
	}
}

#define OLD(state, status, more)                                                     \
	"{\"version\":1,\"duplicate\":" more ",\"trashed\":false,\"status\":" status \
	",\"since_ms\":1714979289123,\"tries\":1,\"state\":\"" state                 \
	"\",\"asset\":\"\",\"words\":\"w\"}\n"

static void an_older_spool_is_taken_over(void **state)
{
	static const struct {
		const char *outcome;
		enum ur_spool_state state;
		bool suspect;
	} old[] = {
		{NULL, UR_SPOOL_COMPLETE, false},
		{OLD("complete", "0", "false"), UR_SPOOL_COMPLETE, true}, // being sent
		{OLD("delivered", "201", "false"), UR_SPOOL_DELIVERED, false},
		{OLD("delivered", "200", "false"), UR_SPOOL_DELIVERED, true},
		{OLD("delivered", "200", "true"), UR_SPOOL_DELIVERED, true},
		{OLD("delivered", "0", "true"), UR_SPOOL_DELIVERED, true},
		{OLD("refused", "400", "false"), UR_SPOOL_REFUSED, false},
	};
	struct room *room = *state;
	for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
		char id[UR_SPOOL_ID];
		open_spool(room);
		make_whole(room, false, id);
		room->spool = ur_spool_free(room->spool);
		make_old(room, id, old[i].outcome);
		for (int starts = 0; starts < 2; starts++) {
			open_spool(room);
			const struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
			assert_int_equal(upload->outcome.state, old[i].state);
			assert_int_equal(upload->outcome.suspect, old[i].suspect);
			assert_in_range(
				upload->outcome.since_ran_ms, 0, 4000); // whatever the wall says
			assert_int_equal(upload->created_ms, 1714979289123);
			holds(upload, "0123456789", 10);
			room->spool = ur_spool_free(room->spool);
		}
		char info[16] = "";
		const int fd = open(path_of(room, id, "info"), O_RDONLY | O_CLOEXEC);
		assert_int_equal(read(fd, info, 12), 12);
		(void)close(fd);
		assert_string_equal(info, "{\"version\":2"); // an older one leaves it alone
	}
}

static void an_upload_half_way_goes_on_after_the_change(void **state)
{
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, 10, NULL);
	memcpy(id, upload->id, sizeof id);
	append(upload, "01234", 5);
	commit(upload);
	room->spool = ur_spool_free(room->spool);
	make_old(room, id, NULL);
	open_spool(room);
	upload = ur_spool_find(room->spool, id);
	assert_int_equal(upload->offset, 5);
	append(upload, "56789", 5);
	commit(upload);
	assert_true(ur_spool_finish(upload));
	conclude(upload, UR_SPOOL_DELIVERED);
	restart(room);
	assert_int_equal(ur_spool_find(room->spool, id)->outcome.state, UR_SPOOL_DELIVERED);
}

static void a_newer_spool_is_refused_and_not_touched(void **state)
{
	struct room *room = *state;
	struct ur_err err = {0};
	char id[UR_SPOOL_ID];
	char path[200];
	(void)snprintf(path, sizeof path, "%s/clock", room->root);
	open_spool(room);
	make_whole(room, true, id);
	room->spool = ur_spool_free(room->spool);
	write_file(path_of(room, id, "key.tmp"), "left", 4, 0600);
	write_file(path, "URSPOOL\0\3\0\0\0\0\0\0\0", 16, 0600);
	assert_int_equal(ur_spool_new(room->root, &room->spool, &err), -EPROTO);
	assert_non_null(strstr(err.text, "newer uringest"));
	assert_non_null(strstr(err.text, "layout 3"));
	assert_int_equal(access(path_of(room, id, "key.tmp"), F_OK), 0);
}

/* ---- a disk without room --------------------------------------------------------------------- */

static int no_new_files(int dir, const char *name, int flags, mode_t mode)
{
	return (flags & O_CREAT) != 0 ? -ENOSPC : below.openat(dir, name, flags, mode);
}

static ssize_t no_growth(int fd, const void *bytes, size_t size, off_t offset)
{
	struct stat st;
	return fstat(fd, &st) < 0 || offset + (off_t)size > st.st_size
		       ? -ENOSPC
		       : below.pwrite(fd, bytes, size, offset);
}

static void what_makes_room_needs_none(void **state)
{
	static const enum ur_spool_state way[] = {
		UR_SPOOL_COMPLETE, UR_SPOOL_DELIVERED, UR_SPOOL_DELIVERED, UR_SPOOL_CONFIRMED};
	struct room *room = *state;
	char id[UR_SPOOL_ID];
	open_spool(room);
	make_whole(room, true, id);
	below = ur_sys;
	ur_sys.openat = no_new_files;
	ur_sys.pwrite = no_growth;
	restart(room);
	for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
		struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
		conclude(upload, way[i]);
		assert_int_equal(ur_spool_keep_time(room->spool, NULL), 0);
		restart(room);
		assert_int_equal(ur_spool_find(room->spool, id)->outcome.state, way[i]);
	}
	assert_int_equal(ur_spool_empty(ur_spool_find(room->spool, id), NULL), 0);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).open, 0);
	assert_int_equal(ur_spool_use_of(room->spool, ANN).uploads, 1);
}

static void a_torn_outcome_leaves_the_one_before_it(void **state)
{
	struct room *room = *state;
	for (size_t size = 0; size <= UR_BLOCK_BYTES; size += 128) {
		char id[UR_SPOOL_ID];
		open_spool(room);
		make_whole(room, true, id);
		conclude(ur_spool_find(room->spool, id), UR_SPOOL_COMPLETE);
		conclude(ur_spool_find(room->spool, id), UR_SPOOL_DELIVERED);
		room->spool = ur_spool_free(room->spool);
		const int fd = open(path_of(room, id, "outcome"), O_RDWR | O_CLOEXEC);
		char *junk = (char *)pattern(UR_BLOCK_BYTES, (uint32_t)size);
		assert_int_equal(pwrite(fd, junk, size, UR_SLOT_APART), (ssize_t)size);
		free(junk);
		(void)close(fd);
		open_spool(room);
		const struct ur_spool_upload *upload = ur_spool_find(room->spool, id);
		assert_int_equal(
			upload->outcome.state, size == 0 ? UR_SPOOL_DELIVERED : UR_SPOOL_COMPLETE);
		room->spool = ur_spool_free(room->spool);
	}
}

/* ---- disks that fill up or fail -------------------------------------------------------------- */

static size_t taken_before_full;

static ssize_t full_disk(int fd, const void *bytes, size_t size, off_t offset)
{
	if (size <= UR_SLOT_BYTES) {
		return below.pwrite(fd, bytes, size, offset); // a slot
	}
	if (taken_before_full == 0) {
		return -ENOSPC;
	}
	const size_t some = size < taken_before_full ? size : taken_before_full;
	taken_before_full -= some;
	return below.pwrite(fd, bytes, some, offset);
}

static void a_full_disk_leaves_the_offset_behind_what_was_written(void **state)
{
	enum {
		SIZE = 10000
	};
	struct room *room = *state;
	struct ur_err err = {0};
	unsigned char *bytes = pattern(SIZE, 2);
	uint8_t sha1[20];
	hash(bytes, SIZE, sha1);
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, SIZE, sha1);
	append(upload, bytes, 1000);
	below = ur_sys;
	ur_sys.pwrite = full_disk;
	taken_before_full = 3333;
	assert_int_equal(ur_spool_append(upload, bytes + 1000, 9000, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "No space left"));
	assert_int_equal(err.fault, UR_FAULT_WORLD);
	assert_int_equal(upload->offset, 4333);
	commit(upload);
	ur_sys = below; // somebody made room
	append(upload, bytes + 4333, SIZE - 4333);
	commit(upload);
	assert_true(ur_spool_finish(upload));
	holds(upload, bytes, SIZE);
	free(bytes);
}

static int sync_fails_at;

static int failing_sync(int fd)
{
	return --sync_fails_at == 0 ? -EIO : below.fdatasync(fd);
}

static void after_a_failed_flush_nothing_is_taken_before_a_restart(void **state)
{
	struct room *room = *state;
	for (int at = 1; at <= 2; at++) { // the bytes, the slot
		struct ur_err err = {0};
		struct ur_spool_mark mark;
		char id[UR_SPOOL_ID];
		open_spool(room);
		struct ur_spool_upload *upload = make(room, ANN, 100, NULL);
		memcpy(id, upload->id, sizeof id);
		append(upload, "0123456789", 10);
		commit(upload);
		append(upload, "abcdefghij", 10);
		below = ur_sys;
		sync_fails_at = at;
		ur_sys.fdatasync = failing_sync;
		ur_spool_mark(upload, &mark);
		assert_int_equal(ur_spool_commit(upload, &mark, &err), -EIO);
		assert_non_null(strstr(err.text, "started again"));
		ur_sys = below; // the kernel tells it once
		assert_int_equal(ur_spool_commit(upload, &mark, &err), -EIO);
		assert_int_equal(ur_spool_append(upload, "x", 1, &err), -EIO);
		ur_spool_rest(upload);
		assert_int_equal(ur_spool_wake(upload, &err), -EIO);
		restart(room);
		upload = ur_spool_find(room->spool, id);
		assert_int_equal(upload->offset, 10);
		holds(upload, "0123456789", 10);
		append(upload, "ABC", 3);
		commit(upload);
		room->spool = ur_spool_free(room->spool);
	}
}

static int no_write_back(int fd, off_t offset, off_t size)
{
	(void)fd;
	(void)offset;
	(void)size;
	return -ESPIPE;
}

static void write_back_that_cannot_be_started_early_is_no_failure(void **state)
{
	enum {
		SIZE = 3 << 20
	};
	struct room *room = *state;
	unsigned char *bytes = pattern(SIZE, 3);
	open_spool(room);
	below = ur_sys;
	ur_sys.sync_ahead = no_write_back;
	struct ur_spool_upload *upload = make(room, ANN, SIZE, NULL);
	append(upload, bytes, SIZE);
	commit(upload);
	assert_true(ur_spool_finish(upload));
	free(bytes);
}

static uint64_t reserved;
static int reserve_result;

static int watch_reserve(int fd, off_t offset, off_t size)
{
	struct stat st;
	reserved = (uint64_t)(offset + size);
	const int r = reserve_result < 0 ? reserve_result : below.reserve(fd, offset, size);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size <= offset); // the size stays
	return r;
}

static void blocks_are_reserved_up_to_the_promised_length(void **state)
{
	enum {
		PIECE = 1 << 20,
		LENGTH = 20 << 20
	};
	struct room *room = *state;
	unsigned char *bytes = pattern(PIECE, 5);
	open_spool(room);
	below = ur_sys;
	ur_sys.reserve = watch_reserve;
	for (reserve_result = 0; reserve_result >= -EOPNOTSUPP; reserve_result -= EOPNOTSUPP) {
		struct ur_spool_upload *upload = make(room, ANN, LENGTH, NULL);
		reserved = 0;
		for (size_t at = 0; at < LENGTH; at += PIECE) {
			append(upload, bytes, PIECE);
			commit(upload);
		}
		assert_int_equal(reserved, LENGTH);
		assert_true(ur_spool_finish(upload));
	}
	struct ur_spool_upload *upload = make(room, ANN, UR_SPOOL_LENGTH_UNKNOWN, NULL);
	reserved = 0;
	append(upload, bytes, PIECE);
	commit(upload);
	assert_int_equal(reserved, 0); // nothing was promised
	free(bytes);
}

/* ---- two threads ----------------------------------------------------------------------------- */

struct job {
	struct ur_spool_upload *upload;
	struct ur_spool_mark mark;
	int result;
};

static void *run_commit(void *context)
{
	struct job *job = context;
	job->result = ur_spool_commit(job->upload, &job->mark, NULL);
	return NULL;
}

static void a_commit_runs_beside_appends(void **state)
{
	enum {
		SIZE = 8 << 20,
		PIECE = 64 << 10
	};
	struct room *room = *state;
	unsigned char *bytes = pattern(SIZE, 4);
	uint8_t sha1[20];
	hash(bytes, SIZE, sha1);
	open_spool(room);
	struct ur_spool_upload *upload = make(room, ANN, SIZE, sha1);
	for (size_t at = 0; at < SIZE;) {
		struct job job = {.upload = upload};
		pthread_t thread;
		append(upload, bytes + at, PIECE);
		at += PIECE;
		ur_spool_mark(upload, &job.mark);
		assert_int_equal(pthread_create(&thread, NULL, run_commit, &job), 0);
		for (int i = 0; i < 7; i++) {
			append(upload, bytes + at, PIECE);
			at += PIECE;
		}
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(job.result, 0);
		ur_spool_committed(upload, &job.mark);
	}
	commit(upload);
	assert_true(ur_spool_finish(upload));
	holds(upload, bytes, SIZE);
	free(bytes);
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(an_upload_is_there_after_a_restart),
		HERE(everything_is_private),
		HERE(the_checksum_of_the_whole_costs_no_second_read),
		HERE(other_bytes_than_promised_are_broken),
		HERE(an_empty_file_is_complete_at_once),
		HERE(what_was_not_committed_is_cut_off_at_the_next_start),
		HERE(rest_forgets_what_was_not_committed),
		HERE(a_length_may_be_declared_later_and_survives),
		HERE(more_bytes_than_the_length_are_refused),
		HERE(a_rewound_upload_goes_on_as_if_nothing_had_come),
		HERE(no_slot_speaks_of_bytes_that_were_overwritten),
		HERE(a_shorter_end_after_a_rewind_leaves_nothing_behind_it),
		HERE(a_rewind_takes_a_declared_length_back),
		HERE(owners_are_counted),
		HERE(emptied_uploads_count_no_bytes),
		HERE(bytes_go_only_after_an_outcome_that_lets_them),
		HERE(many_uploads_are_found_walked_and_dismissed),
		HERE(an_outcome_survives_with_its_words),
		HERE(a_key_is_kept_and_wiped),
		HERE(a_secret_is_overwritten_before_its_name_goes),
		HERE(a_removed_upload_does_not_come_back),
		HERE(what_was_being_made_or_removed_is_gone_at_the_next_start),
		HERE(half_written_files_are_swept_away),
		HERE(of_two_slots_the_newer_whole_one_counts),
		HERE(every_flipped_bit_of_a_slot_is_noticed),
		HERE(damaged_uploads_are_broken_and_harm_nobody),
		HERE(folders_that_cannot_be_read_stay_and_are_counted),
		HERE(a_symbolic_link_in_an_upload_is_not_followed),
		HERE(two_gateways_do_not_share_a_spool),
		HERE(a_root_that_others_may_write_to_is_refused),
		HERE(somebody_elses_root_is_refused),
		HERE(a_root_that_is_no_folder_is_refused),
		HERE(the_space_that_is_left_is_told),
		HERE(a_damaged_state_is_rebuilt_from_the_bytes),
		HERE(what_was_done_with_a_rebuilt_upload_is_doubted),
		HERE(bytes_that_nobody_vouches_for_are_kept),
		HERE(other_bytes_than_promised_do_not_pass_for_whole),
		HERE(what_was_sent_once_was_whole),
		HERE(an_unfinished_upload_goes_on_from_the_slot_that_is_left),
		HERE(an_outcome_that_cannot_be_read_leaves_doubt),
		HERE(a_bad_sector_of_one_upload_harms_no_other),
		HERE(run_time_is_kept_and_a_pause_is_none),
		HERE(a_clock_that_cannot_be_read_begins_anew),
		HERE(lives_are_written_with_what_they_count_from),
		HERE(an_older_spool_is_taken_over),
		HERE(an_upload_half_way_goes_on_after_the_change),
		HERE(a_newer_spool_is_refused_and_not_touched),
		HERE(what_makes_room_needs_none),
		HERE(a_torn_outcome_leaves_the_one_before_it),
		HERE(a_full_disk_leaves_the_offset_behind_what_was_written),
		HERE(after_a_failed_flush_nothing_is_taken_before_a_restart),
		HERE(write_back_that_cannot_be_started_early_is_no_failure),
		HERE(blocks_are_reserved_up_to_the_promised_length),
		HERE(a_commit_runs_beside_appends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
