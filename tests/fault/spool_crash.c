/*
 * spool_crash - the spool's promises, kept over every crash, power cut and failing call.
 *
 *     act ─▶ a few uploads live their lives, each fact that was promised goes to a file ─▶ crash
 *     start ─▶ the next start, which crashes too, again and again
 *     check ─▶ the spool is opened: is what was promised there, and nothing else?
 *
 * The program runs itself with the seam's environment; without one the seam is not felt.  What must
 * hold: no offset beyond the bytes that are there, none below what commit() returned 0 for, the
 * hash's state is that of the bytes; no made upload is lost, no removed one comes back, a key that
 * was wiped is gone.
 *
 *     STEP=N   every N-th point only (3)
 *     ONLY=N   this point alone; the folders are kept
 */
#include "engine/gateway/spool/internal.h"
#include "engine/gateway/spool/spool.h"
#include "engine/sys/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CRASHED 99
#define NOT_OPENED 3
#define OWNER "11111111-1111-4111-8111-111111111111"
#define SIZE 10000u
#define KEY "a sealed key"

enum upload {
	WHOLE,   // received, delivered, confirmed, emptied
	REWOUND, // without a length at first, a part of it taken back, removed
	EMPTY,   // of length 0, refused
	UPLOADS,
};

static unsigned char bytes_of[2][SIZE]; // what is sent; instead of what was taken back

static void fill(void)
{
	uint32_t x = 2463534242u;
	for (size_t i = 0; i < sizeof bytes_of; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		bytes_of[i / SIZE][i % SIZE] = (unsigned char)x;
	}
	memcpy(bytes_of[1], bytes_of[0], 3000);
}

static void hash(const void *bytes, size_t size, uint8_t ret[20])
{
	unsigned char whole[EVP_MAX_MD_SIZE];
	if (EVP_Digest(bytes, size, whole, NULL, EVP_sha1(), NULL) != 1) {
		abort();
	}
	memcpy(ret, whole, 20);
}

/* ---- act: in a process of its own ------------------------------------------------------------ */

static int facts_fd = -1;

/** Not through the table: a fact is never lost. */
static void fact(const char *what, enum upload upload, const char *id, uint64_t number)
{
	char line[128];
	const int size = snprintf(line, sizeof line, "%s %d %s %llu\n", what, (int)upload, id,
		(unsigned long long)number);
	if (write(facts_fd, line, (size_t)size) != size) {
		abort();
	}
}

static struct ur_spool_upload *make(struct ur_spool *spool, enum upload which, uint64_t length)
{
	struct ur_spool_spec spec = {
		.owner = OWNER, .length = length, .metadata = "k", .has_sha1 = which != REWOUND};
	struct ur_spool_upload *upload = NULL;
	hash(bytes_of[0], which == WHOLE ? SIZE : 0, spec.sha1);
	if (ur_spool_make(spool, &spec, &upload, NULL) < 0) {
		return NULL;
	}
	ur_spool_admit(spool, upload);
	fact("made", which, upload->id, 0);
	return upload;
}

static bool send(struct ur_spool_upload *upload, int version, size_t size)
{
	return ur_spool_wake(upload, NULL) == 0 &&
	       ur_spool_append(upload, bytes_of[version] + upload->offset, size, NULL) == 0;
}

static bool commit(struct ur_spool_upload *upload, enum upload which)
{
	struct ur_spool_mark mark;
	ur_spool_mark(upload, &mark);
	if (ur_spool_commit(upload, &mark, NULL) < 0) {
		return false;
	}
	ur_spool_committed(upload, &mark);
	fact("committed", which, upload->id, mark.offset);
	return true;
}

static bool conclude(struct ur_spool_upload *upload, enum upload which, enum ur_spool_state state)
{
	struct ur_spool_outcome outcome = {.state = state, .words = "so it was", .tries = 1};
	fact("concluding", which, upload->id, state);
	if (ur_spool_conclude(upload, &outcome, NULL) < 0) {
		return false;
	}
	upload->outcome = outcome;
	fact("concluded", which, upload->id, state);
	return true;
}

static bool keep(struct ur_spool_upload *upload, enum upload which)
{
	fact("keeping", which, upload->id, 0);
	if (ur_spool_keep(upload, "key", KEY, sizeof KEY, NULL) < 0) {
		return false;
	}
	fact("kept", which, upload->id, 0);
	return true;
}

static bool wipe(struct ur_spool_upload *upload, enum upload which)
{
	fact("wiping", which, upload->id, 0);
	if (ur_spool_wipe(upload, "key") < 0) {
		return false;
	}
	fact("wiped", which, upload->id, 0);
	return true;
}

static bool empty(struct ur_spool_upload *upload, enum upload which)
{
	fact("wiping", which, upload->id, 0);
	fact("emptying", which, upload->id, 0);
	if (ur_spool_empty(upload, NULL) < 0) {
		return false;
	}
	fact("emptied", which, upload->id, 0);
	return true;
}

static bool remove_upload(struct ur_spool *spool, struct ur_spool_upload *upload, enum upload which)
{
	fact("removing", which, upload->id, 0);
	if (ur_spool_remove(spool, upload, NULL) < 0) {
		return false;
	}
	fact("removed", which, upload->id, 0);
	ur_spool_dismiss(spool, upload);
	return true;
}

static void live_whole(struct ur_spool *spool)
{
	struct ur_spool_upload *u = make(spool, WHOLE, SIZE);
	if (u == NULL || !keep(u, WHOLE) || !send(u, 0, 1000) || !send(u, 0, 3000) ||
		!commit(u, WHOLE) || !send(u, 0, 2001)) {
		return;
	}
	ur_spool_rest(u); // what was not committed is forgotten
	if (!send(u, 0, 2001) || !commit(u, WHOLE) || !send(u, 0, SIZE - 6001) ||
		!commit(u, WHOLE)) {
		return;
	}
	if (!ur_spool_finish(u)) {
		abort();
	}
	ur_spool_rest(u);
	(void)(conclude(u, WHOLE, UR_SPOOL_DELIVERED) && keep(u, WHOLE) && wipe(u, WHOLE) &&
		keep(u, WHOLE) && conclude(u, WHOLE, UR_SPOOL_CONFIRMED) && empty(u, WHOLE));
}

static void live_rewound(struct ur_spool *spool)
{
	struct ur_spool_mark mark;
	struct ur_spool_upload *u = make(spool, REWOUND, UR_SPOOL_LENGTH_UNKNOWN);
	if (u == NULL || !send(u, 0, 3000)) {
		return;
	}
	ur_spool_mark(u, &mark);
	if (!send(u, 0, 2000) || !commit(u, REWOUND) || !send(u, 0, 1500)) {
		return;
	}
	fact("rewinding", REWOUND, u->id, mark.offset);
	ur_spool_rewind(u, &mark);
	if (!send(u, 1, 2500)) { // commits the rewind before it writes
		return;
	}
	ur_spool_declare(u, 5500);
	(void)(commit(u, REWOUND) && remove_upload(spool, u, REWOUND));
}

static void live_empty(struct ur_spool *spool)
{
	struct ur_spool_upload *u = make(spool, EMPTY, 0);
	if (u != NULL) {
		(void)(keep(u, EMPTY) && conclude(u, EMPTY, UR_SPOOL_REFUSED) &&
			remove_upload(spool, u, EMPTY));
	}
}

static int act(const char *root, const char *facts)
{
	struct ur_spool *spool = NULL;
	facts_fd = open(facts, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (ur_spool_new(root, &spool, NULL) < 0) {
		return NOT_OPENED;
	}
	live_whole(spool);
	live_rewound(spool);
	live_empty(spool);
	(void)ur_spool_free(spool);
	return 0;
}

static int start(const char *root)
{
	struct ur_spool *spool = NULL;
	if (ur_spool_new(root, &spool, NULL) < 0) {
		return NOT_OPENED;
	}
	(void)ur_spool_free(spool);
	return 0;
}

/* ---- the room -------------------------------------------------------------------------------- */

struct room {
	char dir[64];
	char root[80];
	char facts[80];
	char hide[80];
	char count[80];
	bool kept;
};

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	return where->level == 0 ? 0 : remove(path);
}

static void clear(const char *path)
{
	(void)nftw(path, remove_any, 16, FTW_DEPTH | FTW_PHYS);
}

static void fresh(struct room *room)
{
	clear(room->dir);
	assert_int_equal(mkdir(room->hide, 0700), 0);
}

static int set_up(void **state)
{
	struct room *room = calloc(1, sizeof *room);
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(room->dir, sizeof room->dir, "%s/ur-spool-crash.XXXXXX", tmp);
	if (mkdtemp(room->dir) == NULL) {
		return -1;
	}
	(void)snprintf(room->root, sizeof room->root, "%s/spool", room->dir);
	(void)snprintf(room->facts, sizeof room->facts, "%s/facts", room->dir);
	(void)snprintf(room->hide, sizeof room->hide, "%s/hide", room->dir);
	(void)snprintf(room->count, sizeof room->count, "%s/count", room->dir);
	room->kept = getenv("ONLY") != NULL;
	*state = room;
	return 0;
}

static int tear_down(void **state)
{
	struct room *room = *state;
	if (room->kept) {
		(void)fprintf(stderr, "# kept: %s\n", room->dir);
	} else {
		clear(room->dir);
		(void)rmdir(room->dir);
	}
	free(room);
	return 0;
}

/** Runs this program with "act" or "start" and one wish for the seam; its exit status. */
static int run(const struct room *room, const char *what, const char *power, const char *wish)
{
	char hide[96];
	char count[96];
	char how[32];
	char wishes[64];
	(void)snprintf(hide, sizeof hide, "UR_FAULT_HIDE=%s", room->hide);
	(void)snprintf(count, sizeof count, "UR_FAULT_COUNT=%s", room->count);
	(void)snprintf(how, sizeof how, "UR_FAULT_POWER=%s", power);
	(void)snprintf(wishes, sizeof wishes, "%s", wish);
	char *environment[] = {count, wishes, hide, *power == '\0' ? NULL : how, NULL};
	const pid_t child = fork();
	if (child == 0) {
		(void)execle("/proc/self/exe", "spool_crash", what, room->root, room->facts,
			(char *)NULL, environment);
		_exit(127);
	}
	int status = 0;
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/** Whether the call that was to fail was ever made. */
static bool has_fired(const struct room *room)
{
	unsigned long points = 0;
	unsigned long calls = 0;
	int fired = 0;
	FILE *file = fopen(room->count, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "points=%lu calls=%lu fired=%d", &points, &calls, &fired), 3);
	(void)fclose(file);
	return fired != 0;
}

/* ---- check ----------------------------------------------------------------------------------- */

struct known {
	char id[UR_SPOOL_ID];
	bool made;
	bool removing;
	bool removed;
	bool kept; // and not wiped since, or about to be
	bool wiped;
	bool emptying;
	bool emptied;
	uint64_t floor; // committed, and not taken back
	uint64_t concluded;
	uint64_t concluding;
};

static void read_facts(const struct room *room, struct known known[UPLOADS])
{
	char what[16];
	char id[UR_SPOOL_ID];
	int which = 0;
	unsigned long long number = 0;
	memset(known, 0, UPLOADS * sizeof *known);
	FILE *file = fopen(room->facts, "re");
	while (file != NULL && fscanf(file, "%15s %d %32s %llu", what, &which, id, &number) == 4) {
		struct known *k = &known[which];
		memcpy(k->id, id, sizeof id);
		k->made = true;
		k->removing = k->removing || strcmp(what, "removing") == 0;
		k->removed = k->removed || strcmp(what, "removed") == 0;
		k->emptying = k->emptying || strcmp(what, "emptying") == 0;
		k->emptied = k->emptied || strcmp(what, "emptied") == 0;
		if (strcmp(what, "kept") == 0) {
			k->kept = true;
		} else if (strcmp(what, "keeping") == 0) {
			k->wiped = false;
		} else if (strcmp(what, "wiping") == 0) {
			k->kept = false;
		} else if (strcmp(what, "wiped") == 0) {
			k->wiped = true;
		} else if (strcmp(what, "committed") == 0 || strcmp(what, "rewinding") == 0) {
			k->floor = number;
		} else if (strcmp(what, "concluding") == 0) {
			k->concluding = number;
		} else if (strcmp(what, "concluded") == 0) {
			k->concluded = number;
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
}

static char where[96]; // which crash, for the message

#define MUST(what)                                        \
	if (!(what)) {                                    \
		fail_msg("%s: it must be " #what, where); \
	}

static void check_bytes(const struct ur_spool_upload *u)
{
	unsigned char read[SIZE + 1];
	uint8_t sha1[20];
	struct ur_err err = {0};
	const int fd = ur_spool_open(u, &err);
	MUST(fd >= 0);
	ssize_t size = ur_sys_pread_all(fd, read, sizeof read, 0);
	(void)close(fd);
	if (u->is_damaged) { // the slot that vouched for the rest is torn: nothing was cut off
		MUST(size >= (ssize_t)u->offset);
		size = (ssize_t)u->offset;
	}
	MUST(size == (ssize_t)u->offset); // everything behind it was cut off
	MUST(memcmp(read, bytes_of[0], (size_t)size) == 0 ||
		memcmp(read, bytes_of[1], (size_t)size) == 0);
	hash(read, (size_t)size, sha1);
	MUST(memcmp(sha1, u->sha1, 20) == 0); // what the slot's state comes to
}

static void check_outcome(const struct known *k, const struct ur_spool_upload *u)
{
	const enum ur_spool_state state = u->outcome.state;
	if (state >= UR_SPOOL_DELIVERED) {
		MUST(state == k->concluded || state == k->concluding);
		MUST(strcmp(u->outcome.words, "so it was") == 0);
	} else {
		MUST(k->concluded == 0);
		MUST(state == (u->offset == u->length ? UR_SPOOL_COMPLETE : UR_SPOOL_RECEIVING));
	}
	MUST(k->emptying || !u->bytes_gone);
	MUST(!k->emptied || u->bytes_gone);
}

static void check_key(const struct known *k, const struct ur_spool_upload *u)
{
	char read[64];
	size_t size = 0;
	const int r = ur_spool_recall(u, "key", read, sizeof read, &size);
	MUST(r == 0 || r == -ENOENT);
	if (k->kept) {
		MUST(r == 0 && size == sizeof KEY && memcmp(read, KEY, size) == 0);
	}
	if (k->wiped || k->emptied) {
		MUST(r == -ENOENT);
	}
}

static bool same_id(const struct known known[UPLOADS], const char *id)
{
	for (int i = 0; i < UPLOADS; i++) {
		if (strcmp(known[i].id, id) == 0) {
			return true;
		}
	}
	return false;
}

static void check_leftovers(const struct room *room)
{
	DIR *dir = opendir(room->root);
	MUST(dir != NULL);
	for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		MUST(e->d_name[0] != '.' || strlen(e->d_name) <= 2);
	}
	(void)closedir(dir);
}

/** The one of which all bytes are promised can be completed. */
static void complete(struct ur_spool_upload *u)
{
	if (u->bytes_gone || u->length == UR_SPOOL_LENGTH_UNKNOWN || !u->has_sha1) {
		return;
	}
	MUST(ur_spool_wake(u, NULL) == 0);
	struct ur_spool_mark mark;
	MUST(ur_spool_append(u, bytes_of[0] + u->offset, u->length - u->offset, NULL) == 0);
	ur_spool_mark(u, &mark);
	MUST(ur_spool_commit(u, &mark, NULL) == 0);
	ur_spool_committed(u, &mark);
	MUST(ur_spool_finish(u));
}

static void check(const struct room *room)
{
	struct known known[UPLOADS];
	struct ur_spool *spool = NULL;
	struct ur_err err = {0};
	size_t strangers = 0;
	clear(room->hide); // its hard links would look like somebody else's
	read_facts(room, known);
	if (ur_spool_new(room->root, &spool, &err) < 0) {
		fail_msg("%s: %s", where, err.text);
	}
	MUST(ur_spool_damaged(spool) == 0);
	check_leftovers(room);
	for (int i = 0; i < UPLOADS; i++) {
		const struct known *k = &known[i];
		struct ur_spool_upload *u = k->made ? ur_spool_find(spool, k->id) : NULL;
		MUST(!k->made || k->removing || u != NULL);
		MUST(!k->removed || u == NULL);
		if (u != NULL) {
			MUST(!u->untrusted);
			MUST(u->offset >= k->floor);
			MUST(u->offset == u->durable);
			if (!u->bytes_gone) {
				check_bytes(u);
			}
			check_outcome(k, u);
			check_key(k, u);
		}
	}
	for (struct ur_spool_upload *u = ur_spool_next(spool, NULL); u != NULL;
		u = ur_spool_next(spool, u)) {
		if (!same_id(known, u->id)) {
			strangers++; // made, and nobody heard of it
			MUST(u->offset == 0);
			check_bytes(u);
		}
		complete(u);
	}
	MUST(strangers <= UPLOADS);
	(void)ur_spool_free(spool);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

static unsigned long number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);
	return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

static unsigned long step_of(void)
{
	return number("STEP", 3);
}

/** Starts that crash too, each at its first, second … point, until one gets through. */
static void start_and_crash(const struct room *room, const char *power, unsigned long first)
{
	char wish[32];
	int status = CRASHED;
	for (unsigned long n = first; status == CRASHED && n < first + 100; n++) {
		clear(room->hide);
		(void)snprintf(wish, sizeof wish, "UR_FAULT_CRASH=%lu", n);
		status = run(room, "start", power, wish);
	}
	MUST(status == 0);
}

static void crash_everywhere(struct room *room, const char *power, unsigned long first)
{
	const unsigned long step = step_of();
	const unsigned long only = number("ONLY", 0);
	unsigned long crashes = 0;
	int status = CRASHED;
	for (unsigned long n = only > 0 ? only : 1 + first % step; status == CRASHED; n += step) {
		char wish[32];
		(void)snprintf(where, sizeof where, "power '%s', point %lu", power, n);
		(void)snprintf(wish, sizeof wish, "UR_FAULT_CRASH=%lu", n);
		fresh(room);
		status = run(room, "act", power, wish);
		MUST(status == CRASHED || status == 0);
		if (status == CRASHED) {
			crashes++;
			start_and_crash(room, power, 1 + n % 3);
		}
		check(room);
		if (only > 0) {
			return;
		}
	}
	MUST(crashes > 100 / step);
}

static void whatever_the_process_was_doing_when_it_ended(void **state)
{
	crash_everywhere(*state, "", 0);
}

static void a_power_cut_forgets_all_that_was_not_synced(void **state)
{
	crash_everywhere(*state, "forget", 1);
}

static void a_power_cut_forgets_bytes_and_keeps_names(void **state)
{
	crash_everywhere(*state, "keep", 2);
}

static void a_power_cut_forgets_the_last_name_alone(void **state)
{
	crash_everywhere(*state, "last", 3);
}

static void a_power_cut_leaves_half_of_what_was_written(void **state)
{
	crash_everywhere(*state, "torn", 4);
}

static void fail_everywhere(
	struct room *room, const char *call, const char *error, unsigned long first)
{
	const unsigned long step = step_of();
	bool fired = true;
	bool ever = false;
	for (unsigned long n = 1 + first % step; fired; n += step) {
		char wish[64];
		(void)snprintf(where, sizeof where, "call %lu of %s fails with %s", n, call, error);
		(void)snprintf(wish, sizeof wish, "UR_FAULT_FAIL=%s:%lu:%s", call, n, error);
		fresh(room);
		const int status = run(room, "act", "", wish);
		MUST(status == 0 || status == NOT_OPENED);
		fired = has_fired(room);
		ever = ever || fired;
		const int again = run(room, "start", "", wish); // and so it does in the next start
		MUST(again == 0 || again == NOT_OPENED);
		check(room);
	}
	MUST(ever || step > 1); // there is such a call
}

static void any_call_may_fail(void **state)
{
	static const struct {
		const char *call;
		const char *error;
	} calls[] = {{"openat", "EIO"}, {"openat", "EMFILE"}, {"fstat", "EIO"}, {"getdents", "EIO"},
		{"pread", "EIO"}, {"pwrite", "ENOSPC"}, {"pwrite", "EIO"}, {"fsync", "EIO"},
		{"fdatasync", "EIO"}, {"fdatasync", "ENOSPC"}, {"unlinkat", "EIO"},
		{"rename_new", "EIO"}, {"rename_over", "ENOSPC"}, {"mkdirat", "ENOSPC"},
		{"close", "EIO"}, {"flock", "ENOLCK"}};
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		fail_everywhere(*state, calls[i].call, calls[i].error, i);
	}
}

static void any_allocation_may_fail(void **state)
{
	fail_everywhere(*state, "malloc", "ENOMEM", 0);
}

#define HERE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
	fill();
	if (argc == 4 && strcmp(argv[1], "act") == 0) {
		return act(argv[2], argv[3]);
	}
	if (argc == 4 && strcmp(argv[1], "start") == 0) {
		return start(argv[2]);
	}
	const struct CMUnitTest tests[] = {
		HERE(whatever_the_process_was_doing_when_it_ended),
		HERE(a_power_cut_forgets_all_that_was_not_synced),
		HERE(a_power_cut_forgets_bytes_and_keeps_names),
		HERE(a_power_cut_forgets_the_last_name_alone),
		HERE(a_power_cut_leaves_half_of_what_was_written),
		HERE(any_call_may_fail),
		HERE(any_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
