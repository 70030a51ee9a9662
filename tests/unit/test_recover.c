/* recover - what is known of a staged file, what follows from it, and what becomes of the file. */
#include "engine/stage/recover.h"

#include "engine/sys/sys.h"
#include "tests/unit/faulty.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#define FREE UR_RECOVER_NAME_FREE
#define SAME UR_RECOVER_NAME_SAME
#define OTHER UR_RECOVER_NAME_OTHER

static void each_verdict_follows_from_what_is_known(void **state)
{
	(void)state;
	static const struct {
		struct ur_recover_facts facts;
		enum ur_recover_verdict verdict;
	} cases[] = {
		/* staged, kept out, name, disk, place known, place same */
		{{true, false, FREE, true, true, true}, UR_RECOVER_BACK},
		{{true, false, OTHER, true, true, false}, UR_RECOVER_BACK},
		{{false, true, FREE, true, true, true}, UR_RECOVER_LATER},
		{{false, true, SAME, true, true, true}, UR_RECOVER_LATER},
		{{false, false, SAME, true, true, true}, UR_RECOVER_HERE},
		{{false, false, SAME, true, true, false}, UR_RECOVER_HERE},
		{{false, false, SAME, true, false, false}, UR_RECOVER_HERE},
		{{false, false, FREE, true, true, true}, UR_RECOVER_REMOVED},
		{{false, false, OTHER, true, true, true}, UR_RECOVER_HERE},
		/* The folder was renamed; another one of its name may stand there already. */
		{{false, false, FREE, true, true, false}, UR_RECOVER_UNKNOWN},
		{{false, false, OTHER, true, true, false}, UR_RECOVER_UNKNOWN},
		/* The disk is away. */
		{{false, false, FREE, false, true, false}, UR_RECOVER_LATER},
		{{false, false, OTHER, false, true, false}, UR_RECOVER_LATER},
		/* A row of an older version does not say where. */
		{{false, false, FREE, true, false, false}, UR_RECOVER_UNKNOWN},
		{{false, false, OTHER, true, false, false}, UR_RECOVER_HERE},
		{{false, false, FREE, false, false, false}, UR_RECOVER_LATER},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(ur_recover_judge(&cases[i].facts), cases[i].verdict);
	}
}

/** Whatever else is known: all 96 combinations. */
static void nothing_is_called_removed_without_a_look_into_the_very_folder(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 96; bits++) {
		const struct ur_recover_facts facts = {
			.staged = (bits & 1) != 0,
			.kept_out = (bits & 2) != 0,
			.disk = (bits & 4) != 0,
			.place_known = (bits & 8) != 0,
			.place_same = (bits & 16) != 0,
			.name = (enum ur_recover_name)(bits / 32),
		};
		const enum ur_recover_verdict verdict = ur_recover_judge(&facts);
		if (verdict == UR_RECOVER_REMOVED) {
			assert_true(facts.place_same && !facts.staged && !facts.kept_out);
			assert_int_equal(facts.name, FREE);
		}
		assert_int_equal(verdict == UR_RECOVER_BACK, facts.staged);
	}
}

/* ---- a folder, a ledger, and one file between them ------------------------------------------- */

#define BYTES "a picture"
#define TOKEN "1x1"

struct world {
	char path[ROOM_PATH];
	int fd; // src/album, target and ledger are below
	struct ur_sys real;
	struct ur_options options;
	struct ur_run run;
	struct ur_root *root;
	struct ur_ledger *ledger;
	int64_t destination;
	int64_t folder;
	char album[ROOM_PATH + 16];
	char target[ROOM_PATH + 16];
	char staged[UR_STAGED_NAME_MAX + 1];
	char copy[UR_STAGED_NAME_MAX + 1];
	struct ur_identity identity;
	unsigned warnings;
};

static uint64_t synced; // the inode of what was made durable last

/** No power is cut here. */
static int no_sync(int fd)
{
	struct stat st = {0};
	(void)fstat(fd, &st);
	synced = st.st_ino;
	return 0;
}

static void warn(void *context, const char *sentence)
{
	struct world *w = context;
	(void)sentence;
	w->warnings++;
}

static int fill(struct world *w)
{
	char src[ROOM_PATH + 16];
	char ledger[ROOM_PATH + 16];
	struct ur_err err = {0};
	(void)snprintf(src, sizeof src, "%s/src", w->path);
	(void)snprintf(w->album, sizeof w->album, "%s/src/album", w->path);
	(void)snprintf(w->target, sizeof w->target, "%s/target", w->path);
	(void)snprintf(ledger, sizeof ledger, "%s/ledger", w->path);
	assert_int_equal(mkdir(src, 0700), 0);
	assert_int_equal(mkdir(w->album, 0700), 0);
	assert_int_equal(mkdir(w->target, 0700), 0);
	assert_int_equal(ur_root_open(src, false, &w->root, &err), 0);
	assert_int_equal(ur_ledger_open(ledger, UR_LEDGER_WRITE, &w->ledger, &err), 0);
	return ur_ledger_destination(w->ledger, "11111111-2222-4333-8444-555555555555", "Ann",
		       "https://photos.example", &w->destination, &err) < 0 ||
	       ur_ledger_folder(w->ledger, w->album, strlen(w->album), true, &w->folder, &err) < 0;
}

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	w->fd = room_make(w->path);
	w->real = ur_sys;
	ur_sys.fsync = no_sync;
	w->options = (struct ur_options){.warn = warn, .context = w};
	w->run = (struct ur_run){.options = &w->options, .id = 2};
	(void)pthread_mutex_init(&w->run.talk, NULL);
	ur_staging_key_make("salt", 4, &w->run.staging_key);
	ur_staging_name(&w->run.staging_key, UR_STAGED_ORIGINAL, TOKEN, "a.jpg", w->staged);
	ur_staging_name(&w->run.staging_key, UR_STAGED_COPY, TOKEN, "a.jpg", w->copy);
	*state = w;
	return fill(w);
}

static int remove_world(void **state)
{
	struct world *w = *state;
	ur_sys = w->real;
	w->root = ur_root_free(w->root);
	w->ledger = ur_ledger_free(w->ledger);
	(void)pthread_mutex_destroy(&w->run.talk);
	room_remove(w->path, w->fd);
	free(w);
	return 0;
}

/** Where it stood when the run was interrupted. */
enum stood {
	STOOD_STAGED,
	STOOD_AT_NAME, // the token was written, and the rename was not made
	STOOD_NOWHERE, // it had been taken away, and the row does not say so yet
};

static void write_row(struct world *w, enum ur_state state, const char *token)
{
	struct stat st;
	struct ur_err err = {0};
	assert_int_equal(fstat(w->root->fd, &st), 0);
	struct ur_record row = {
		.destination = w->destination,
		.folder = w->folder,
		.name = "a.jpg",
		.reason = "",
		.identity = w->identity,
		.hashed = true,
		.remembered = true,
		.state = state,
		.run = 1,
		.place = st.st_ino,
		.place_size = (int64_t)w->root->path_size,
	};
	(void)snprintf(row.staged, sizeof row.staged, "%s", token);
	assert_int_equal(ur_ledger_put(w->ledger, &row, &err), 0);
	assert_int_equal(ur_ledger_commit(w->ledger, &err), 0);
}

static void stage(struct world *w)
{
	(void)mkdirat(w->root->fd, UR_STAGING, 0700);
	const int staging = openat(w->root->fd, UR_STAGING, O_RDONLY | O_DIRECTORY);
	assert_int_equal(renameat(w->root->fd, "album/a.jpg", staging, w->staged), 0);
	(void)close(staging);
}

/** As a run that ended there has left it. */
static void interrupt(struct world *w, enum stood stood)
{
	struct stat st;
	(void)mkdirat(w->root->fd, "album", 0700);
	room_put(w->root->fd, "album/a.jpg", BYTES);
	assert_int_equal(fstatat(w->root->fd, "album/a.jpg", &st, 0), 0);
	w->identity = ur_identity_of(&st, w->root->fs.id);
	if (stood == STOOD_STAGED) {
		stage(w);
	} else if (stood == STOOD_NOWHERE) {
		assert_int_equal(unlinkat(w->root->fd, "album/a.jpg", 0), 0);
	}
	write_row(w, UR_CONFIRMED, TOKEN);
}

static void put_copy(struct world *w)
{
	char path[UR_STAGED_NAME_MAX + 32];
	w->options.after = UR_AFTER_MOVE;
	w->options.move_to = w->target;
	(void)mkdirat(w->fd, "target/" UR_STAGING, 0700);
	(void)snprintf(path, sizeof path, "target/" UR_STAGING "/%s", w->copy);
	room_put(w->fd, path, BYTES);
}

static bool is_staged(const struct world *w)
{
	char path[UR_STAGED_NAME_MAX + 32];
	(void)snprintf(path, sizeof path, UR_STAGING "/%s", w->staged);
	return room_is(w->root->fd, path, BYTES);
}

static bool has_copy(const struct world *w)
{
	return room_count(w->fd, "target/" UR_STAGING) == 1;
}

static int take_row(void *context, const struct ur_record *record)
{
	struct ur_record *ret = context;
	*ret = *record;
	return 0;
}

/** What the ledger says now; its strings are gone. */
static struct ur_record row_of(const struct world *w)
{
	struct ur_record row = {0};
	struct ur_err err = {0};
	bool found = false;
	assert_int_equal(ur_ledger_get(w->ledger, w->destination, w->folder, "a.jpg", take_row,
				 &row, &found, &err),
		0);
	assert_true(found);
	return row;
}

static int recover(struct world *w)
{
	struct ur_err err = {0};
	return ur_recover(w->ledger, &w->run, &w->root, 1, &err);
}

/* ---- what becomes of it ---------------------------------------------------------------------- */

static void a_staged_file_comes_back_to_its_name_and_its_row_begins_anew(void **state)
{
	struct world *w = *state;
	struct stat st;
	interrupt(w, STOOD_STAGED);
	assert_int_equal(recover(w), 0);
	room_holds(w->root->fd, "album/a.jpg", BYTES);
	assert_int_equal(fstatat(w->root->fd, "album", &st, 0), 0);
	assert_true(synced == st.st_ino); // before the row forgets where it stood
	assert_false(room_has(w->root->fd, UR_STAGING));
	const struct ur_record row = row_of(w);
	assert_int_equal(row.state, UR_DELIVERED);
	assert_false(row.remembered); // it is read before it may go
	assert_string_equal(row.staged, "");
}

static void its_folder_is_made_again_when_it_was_removed_meanwhile(void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_STAGED);
	assert_int_equal(unlinkat(w->root->fd, "album", AT_REMOVEDIR), 0);
	assert_int_equal(recover(w), 0);
	room_holds(w->root->fd, "album/a.jpg", BYTES);
	assert_int_equal(row_of(w).state, UR_DELIVERED);
}

static void a_name_that_is_taken_stays_taken_and_it_comes_back_beside_it(void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_STAGED);
	room_put(w->root->fd, "album/a.jpg", "theirs");
	assert_int_equal(recover(w), 0);
	room_holds(w->root->fd, "album/a.jpg", "theirs");
	room_holds(w->root->fd, "album/a (2).jpg", BYTES);
	assert_int_equal(w->warnings, 1);
}

static void what_was_taken_away_is_settled(void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_NOWHERE);
	assert_int_equal(recover(w), 0);
	assert_int_equal(row_of(w).state, UR_SETTLED);
	assert_int_equal(w->warnings, 0);
}

static void what_is_not_in_a_folder_that_only_has_the_old_ones_name_is_not_called_removed(
	void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_STAGED);
	assert_int_equal(renameat(w->fd, "src", w->fd, "elsewhere"), 0);
	assert_int_equal(mkdirat(w->fd, "src", 0700), 0);
	w->root = ur_root_free(w->root);
	struct ur_err err = {0};
	char src[ROOM_PATH + 16];
	(void)snprintf(src, sizeof src, "%s/src", w->path);
	assert_int_equal(ur_root_open(src, false, &w->root, &err), 0);
	assert_int_equal(recover(w), 0);
	assert_int_equal(row_of(w).state, UR_CONFIRMED);
	assert_string_equal(row_of(w).staged, TOKEN);
	assert_int_equal(atomic_load(&w->run.stranded), 1);
	assert_int_equal(w->warnings, 1);
}

static void a_renamed_folder_gives_back_what_stands_in_it(void **state)
{
	struct world *w = *state;
	char path[UR_STAGED_NAME_MAX + 32];
	interrupt(w, STOOD_STAGED);
	/* Staged in the album itself, as one that is another file system's; then it was renamed. */
	assert_int_equal(renameat(w->root->fd, UR_STAGING, w->root->fd, "album/" UR_STAGING), 0);
	assert_int_equal(renameat(w->root->fd, "album", w->root->fd, "other"), 0);
	struct stat st;
	assert_int_equal(fstatat(w->root->fd, "other", &st, 0), 0);
	struct ur_record row = row_of(w);
	struct ur_err err = {0};
	row.name = "a.jpg";
	row.reason = "";
	row.place = st.st_ino;
	row.place_size = (int64_t)strlen(w->album);
	assert_int_equal(ur_ledger_put(w->ledger, &row, &err), 0);
	assert_int_equal(recover(w), 0);
	(void)snprintf(path, sizeof path, "other/%s", "a.jpg");
	room_holds(w->root->fd, path, BYTES);
	assert_int_equal(row_of(w).state, UR_DELIVERED);
	assert_int_equal(atomic_load(&w->run.stranded), 0);
}

static void what_another_run_may_have_staged_is_left_for_later(void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_STAGED);
	const int other = openat(w->root->fd, UR_STAGING, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(other, LOCK_SH | LOCK_NB), 0);
	assert_int_equal(recover(w), 0);
	assert_true(is_staged(w));
	assert_int_equal(row_of(w).state, UR_CONFIRMED);
	assert_string_equal(row_of(w).staged, TOKEN);
	(void)close(other);
}

static void a_settled_row_whose_file_stands_there_again_is_delivered(void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_STAGED);
	write_row(w, UR_SETTLED, ""); // and the power went before the removal was durable
	assert_int_equal(recover(w), 0);
	room_holds(w->root->fd, "album/a.jpg", BYTES);
	assert_int_equal(row_of(w).state, UR_DELIVERED);
}

static void a_copy_goes_only_when_its_original_has_been_found(void **state)
{
	struct world *w = *state;
	interrupt(w, STOOD_NOWHERE);
	put_copy(w);
	assert_int_equal(recover(w), 0);
	assert_true(has_copy(w));
	assert_int_equal(w->warnings, 1);
	interrupt(w, STOOD_STAGED);
	assert_int_equal(recover(w), 0);
	assert_false(has_copy(w));
	room_holds(w->root->fd, "album/a.jpg", BYTES);
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

/** As if none of it had been. */
static void forget_all(struct world *w)
{
	(void)unlinkat(w->root->fd, "album/a.jpg", 0);
	(void)unlinkat(w->root->fd, "a.jpg", 0);
	assert_int_equal(room_count(w->root->fd, "album"), 0);
	assert_int_equal(room_count(w->root->fd, "."), 1);
}

/** The run that was kept from looking has made nothing worse, and the next one finds it. */
static void fail_in_turn(struct world *w, enum faulty_how how, enum stood stood, int error)
{
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		interrupt(w, stood);
		put_copy(w);
		const size_t before = room_descriptors();
		faulty_begin(how, n, error);
		(void)recover(w);
		failed = faulty_end();
		assert_int_equal(room_descriptors(), before);
		const bool staged = is_staged(w);
		const bool home = room_is(w->root->fd, "album/a.jpg", BYTES);
		const struct ur_record row = row_of(w);
		if (!staged && !home) {
			fail_msg("%u, %s: it is gone from its places", n, faulty_call());
		}
		if (staged || row.state != UR_DELIVERED) { // its row still says where it may be
			assert_int_equal(row.state, UR_CONFIRMED);
			assert_string_equal(row.staged, TOKEN);
		}
		assert_int_equal(recover(w), 0);
		room_holds(w->root->fd, "album/a.jpg", BYTES);
		assert_int_equal(row_of(w).state, UR_DELIVERED);
		assert_string_equal(row_of(w).staged, "");
		forget_all(w);
	}
}

static void whatever_call_fails_a_staged_file_is_found_now_or_in_the_next_run(void **state)
{
	fail_in_turn(*state, FAULTY_ONE, STOOD_STAGED, -EIO);
	fail_in_turn(*state, FAULTY_ONE, STOOD_STAGED, -EMFILE);
	fail_in_turn(*state, FAULTY_FROM, STOOD_STAGED, -EIO);
}

static void whatever_call_fails_one_that_is_at_its_name_is_never_called_removed(void **state)
{
	fail_in_turn(*state, FAULTY_ONE, STOOD_AT_NAME, -EIO);
	fail_in_turn(*state, FAULTY_FROM, STOOD_AT_NAME, -EACCES);
}

static void whatever_call_fails_a_copy_that_may_be_all_there_is_stays(void **state)
{
	struct world *w = *state;
	bool failed = true;
	for (unsigned n = 1; failed; n++) {
		interrupt(w, STOOD_NOWHERE);
		put_copy(w);
		faulty_begin(FAULTY_ONE, n, -EIO);
		(void)recover(w);
		failed = faulty_end();
		assert_true(has_copy(w));
	}
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, make_world, remove_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verdict_follows_from_what_is_known),
		cmocka_unit_test(nothing_is_called_removed_without_a_look_into_the_very_folder),
		IN_WORLD(a_staged_file_comes_back_to_its_name_and_its_row_begins_anew),
		IN_WORLD(its_folder_is_made_again_when_it_was_removed_meanwhile),
		IN_WORLD(a_name_that_is_taken_stays_taken_and_it_comes_back_beside_it),
		IN_WORLD(what_was_taken_away_is_settled),
		IN_WORLD(
			what_is_not_in_a_folder_that_only_has_the_old_ones_name_is_not_called_removed),
		IN_WORLD(a_renamed_folder_gives_back_what_stands_in_it),
		IN_WORLD(what_another_run_may_have_staged_is_left_for_later),
		IN_WORLD(a_settled_row_whose_file_stands_there_again_is_delivered),
		IN_WORLD(a_copy_goes_only_when_its_original_has_been_found),
		IN_WORLD(whatever_call_fails_a_staged_file_is_found_now_or_in_the_next_run),
		IN_WORLD(whatever_call_fails_one_that_is_at_its_name_is_never_called_removed),
		IN_WORLD(whatever_call_fails_a_copy_that_may_be_all_there_is_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
