/* ledger - what is committed stays, rows come back as they were, and one writer at a time. */
#include "engine/ledger/ledger.h"

#include "engine/ledger/marks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char dir[64];
	char path[96];
	struct ur_ledger *ledger;
	int64_t destination;
	int64_t folder;
	int64_t run;
};

static int open_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct ur_err err = {0};
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/uringest-ledger.XXXXXX");
	if (mkdtemp(p->dir) == NULL) {
		return -1;
	}
	(void)snprintf(p->path, sizeof p->path, "%s/ledger.db", p->dir);
	if (ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, &err) < 0 ||
		ur_ledger_destination(p->ledger, "11111111-2222-4333-8444-555555555555", "Ann",
			"https://photos.example", &p->destination, &err) < 0 ||
		ur_ledger_run_begin(p->ledger, p->destination, "import", &p->run, &err) < 0 ||
		ur_ledger_folder(p->ledger, "/pictures", 9, true, &p->folder, &err) < 0) {
		print_message("%s\n", err.text);
		return -1;
	}
	*state = p;
	return 0;
}

static int close_place(void **state)
{
	struct place *p = *state;
	char command[128];
	p->ledger = ur_ledger_free(p->ledger);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
	const int r = system(command);
	free(p);
	return r;
}

static struct ur_record row_of(const struct place *p, const char *name)
{
	return (struct ur_record){
		.destination = p->destination,
		.folder = p->folder,
		.name = name,
		.identity = {0xfedcba9876543210u, 42, 4096, -5, 1714979289123456789},
		.remembered = true,
		.edges = 0xffffffffffffffffu,
		.hashed = true,
		.sha1 = {1, 2, 3},
		.xxh = {9, 8, 7},
		.state = UR_DELIVERED,
		.reason = "because",
		.asset = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
		.created = true,
		.travelled = true,
		.tries = 3,
		.next_ns = 5,
		.run = p->run,
		.seen_ns = 1,
		.probed_ns = 2,
		.sending_ns = 3,
		.delivered_ns = 4,
		.quiet_had_ns = 7,
		.ending = UR_ENDING_CUT,
		.quiet_ns = 6,
		.boot = "boot",
		.staged = "1x1",
		.place = 0xffffffffffffffffu,
		.place_size = 9,
	};
}

static int compare(void *context, const struct ur_record *got)
{
	const struct ur_record *want = context;
	assert_string_equal(got->name, want->name);
	assert_true(ur_identity_same(&got->identity, &want->identity));
	assert_int_equal(got->remembered, want->remembered);
	assert_true(got->edges == want->edges);
	assert_int_equal(got->hashed, want->hashed);
	assert_memory_equal(got->sha1, want->sha1, sizeof got->sha1);
	assert_memory_equal(got->xxh, want->xxh, sizeof got->xxh);
	assert_int_equal(got->state, want->state);
	assert_string_equal(got->reason, want->reason);
	assert_string_equal(got->asset, want->asset);
	assert_int_equal(got->created, want->created);
	assert_int_equal(got->travelled, want->travelled);
	assert_int_equal(got->for_good, want->for_good);
	assert_int_equal(got->tries, want->tries);
	assert_int_equal(got->next_ns, want->next_ns);
	assert_int_equal(got->seen_ns, want->seen_ns);
	assert_int_equal(got->sending_ns, want->sending_ns);
	assert_int_equal(got->delivered_ns, want->delivered_ns);
	assert_int_equal(got->ending, want->ending);
	assert_int_equal(got->accepted, want->accepted);
	assert_int_equal(got->quiet_ns, want->quiet_ns);
	assert_string_equal(got->boot, want->boot);
	assert_string_equal(got->staged, want->staged);
	assert_true(got->place == want->place);
	assert_int_equal(got->place_size, want->place_size);
	return 0;
}

static void a_row_comes_back_as_it_was_written(void **state)
{
	struct place *p = *state;
	struct ur_record row = row_of(p, "not \xff utf-8.jpg");
	bool found = false;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_get(p->ledger, p->destination, p->folder, row.name, compare,
				 &row, &found, NULL),
		0);
	assert_true(found);
	row.state = UR_SETTLED; // the same place again: the row is replaced
	row.hashed = false;
	memset(row.sha1, 0, sizeof row.sha1);
	memset(row.xxh, 0, sizeof row.xxh);
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_get(p->ledger, p->destination, p->folder, row.name, compare,
				 &row, &found, NULL),
		0);
	assert_int_equal(ur_ledger_get(p->ledger, p->destination + 1, p->folder, row.name, compare,
				 &row, &found, NULL),
		0);
	assert_false(found); // another user's row is no row of ours
}

struct order {
	char last[256];
	int count;
};

static int in_order(void *context, const struct ur_record *row)
{
	struct order *o = context;
	assert_true(strcmp(o->last, row->name) < 0);
	(void)snprintf(o->last, sizeof o->last, "%s", row->name);
	o->count++;
	return 0;
}

static void a_folder_is_read_in_the_order_of_the_names(void **state)
{
	struct place *p = *state;
	struct order order = {.last = ""};
	for (int i = 0; i < 500; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "%c%d\xc3\xa9", 'A' + i * 7 % 58, i * 7919 % 500);
		const struct ur_record row = row_of(p, name);
		assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	}
	assert_int_equal(
		ur_ledger_in_folder(p->ledger, p->destination, p->folder, in_order, &order, NULL),
		0);
	assert_int_equal(order.count, 500);
}

static void only_what_was_committed_survives_a_sudden_end(void **state)
{
	struct place *p = *state;
	const struct ur_record kept = row_of(p, "kept");
	const struct ur_record lost = row_of(p, "lost");
	struct ur_ledger *reader = NULL;
	bool found = false;
	assert_int_equal(ur_ledger_put(p->ledger, &kept, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	assert_int_equal(ur_ledger_put(p->ledger, &lost, NULL), 0);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_READ, &reader, NULL), 0);
	assert_int_equal(ur_ledger_get(reader, p->destination, p->folder, "kept", compare,
				 (void *)&kept, &found, NULL),
		0);
	assert_true(found);
	assert_int_equal(ur_ledger_get(reader, p->destination, p->folder, "lost", compare,
				 (void *)&lost, &found, NULL),
		0);
	assert_false(found);
	reader = ur_ledger_free(reader);
}

static void a_second_writer_is_told_who_holds_it(void **state)
{
	struct place *p = *state;
	const pid_t child = fork();
	if (child == 0) {
		struct ur_ledger *second = NULL;
		struct ur_err err = {0};
		char me[32];
		const int r = ur_ledger_open(p->path, UR_LEDGER_WRITE, &second, &err);
		(void)snprintf(me, sizeof me, "process %ld", (long)getppid());
		_exit(r == -EWOULDBLOCK && strstr(err.text, me) != NULL ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_foreign_or_newer_database_is_left_alone(void **state)
{
	struct place *p = *state;
	char path[128];
	char command[512];
	struct ur_ledger *other = NULL;
	struct ur_err err = {0};
	(void)snprintf(path, sizeof path, "%s/foreign.db", p->dir);
	(void)snprintf(command, sizeof command,
		"sqlite3 '%s' 'create table t(x)' && printf 'no database at all, but long enough to be "
		"mistaken for one%%200s' x > '%s/text.db' && sqlite3 '%s/newer.db' "
		"'pragma user_version=99; pragma application_id=1970431852; create table t(x)'",
		path, p->dir, p->dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(ur_ledger_open(path, UR_LEDGER_WRITE, &other, &err), -EUCLEAN);
	(void)snprintf(path, sizeof path, "%s/text.db", p->dir);
	assert_int_equal(ur_ledger_open(path, UR_LEDGER_WRITE, &other, &err), -EUCLEAN);
	(void)snprintf(path, sizeof path, "%s/newer.db", p->dir);
	assert_int_equal(ur_ledger_open(path, UR_LEDGER_WRITE, &other, &err), -EPROTO);
	assert_non_null(strstr(err.text, "newer"));
}

static void knowledge_belongs_to_one_destination(void **state)
{
	struct place *p = *state;
	const uint8_t sha1[UR_LEDGER_SHA1] = {7};
	struct ur_ledger_asset asset = {.asset = "a", .created = true, .run = p->run, .at_ns = 1};
	struct ur_ledger_asset got = {0};
	bool found = false;
	int64_t other = 0;
	assert_int_equal(ur_ledger_destination(p->ledger, "99999999-2222-4333-8444-555555555555",
				 "Ben", "https://photos.example", &other, NULL),
		0);
	assert_int_not_equal(other, p->destination);
	assert_int_equal(ur_ledger_asset_put(p->ledger, p->destination, sha1, &asset, NULL), 0);
	assert_int_equal(
		ur_ledger_asset_get(p->ledger, p->destination, sha1, &got, &found, NULL), 0);
	assert_true(found && got.created && got.run == p->run);
	assert_int_equal(ur_ledger_asset_get(p->ledger, other, sha1, &got, &found, NULL), 0);
	assert_false(found);
	assert_int_equal(ur_ledger_asset_forget(p->ledger, p->destination, sha1, NULL), 0);
	assert_int_equal(
		ur_ledger_asset_get(p->ledger, p->destination, sha1, &got, &found, NULL), 0);
	assert_false(found);
}

static int count_rows(void *context, const struct ur_ledger_row *row)
{
	(void)row;
	(*(int *)context)++;
	return 0;
}

static void filters_find_a_file_a_folder_and_what_lies_below(void **state)
{
	struct place *p = *state;
	int64_t below = 0;
	int64_t beside = 0;
	assert_int_equal(ur_ledger_folder(p->ledger, "/pictures/2024", 14, true, &below, NULL), 0);
	assert_int_equal(ur_ledger_folder(p->ledger, "/pictures2", 10, true, &beside, NULL), 0);
	struct ur_record row = row_of(p, "a.jpg");
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	row.folder = below;
	row.state = UR_FAILED;
	row.for_good = true;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	row.folder = beside;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	const struct {
		struct ur_ledger_filter filter;
		int rows;
	} cases[] = {
		{{.below = "/pictures"}, 2},
		{{.folder_path = "/pictures", .name = "a.jpg"}, 1},
		{{.folder_path = "/pictures", .name = "b.jpg"}, 0},
		{{.states = 1u << UR_FAILED}, 2},
		{{.below = "/"}, 3},
		{{.staged = true}, 3},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rows = 0;
		assert_int_equal(
			ur_ledger_rows(p->ledger, &cases[i].filter, count_rows, &rows, NULL), 0);
		assert_int_equal(rows, cases[i].rows);
	}
	int64_t changed = 0;
	const struct ur_ledger_filter failed = {.states = 1u << UR_FAILED};
	assert_int_equal(ur_ledger_retry(p->ledger, &failed, &changed, NULL), 0);
	assert_int_equal(changed, 2);
	int rows = 0;
	assert_int_equal(ur_ledger_rows(p->ledger, &failed, count_rows, &rows, NULL), 0);
	assert_int_equal(rows, 0);
}

static size_t marks_of(struct ur_ledger *ledger, const struct place *p)
{
	const void *marks = NULL;
	size_t count = 99;
	assert_int_equal(
		ur_ledger_sealed(ledger, p->destination, p->folder, &marks, &count, NULL), 0);
	return count;
}

static void seal(struct place *p)
{
	assert_int_equal(ur_ledger_seal(p->ledger, p->destination, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
}

static void a_seal_holds_what_needs_nothing_and_goes_with_any_write(void **state)
{
	struct place *p = *state;
	int64_t changed = 0;
	struct ur_record row = row_of(p, "a.jpg");
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	row.name = "refused.txt";
	row.state = UR_REFUSED;
	row.hashed = false;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	row.name = "wanted.jpg";
	row.hashed = true;
	row.state = UR_WANTED;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	row.name = "too-fresh.jpg";
	row.state = UR_DELIVERED;
	row.remembered = false;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	row.name = "removed.jpg";
	row.state = UR_SETTLED;
	row.remembered = true;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(marks_of(p->ledger, p), 0);
	seal(p);
	const void *marks = NULL;
	size_t count = 0;
	assert_int_equal(
		ur_ledger_sealed(p->ledger, p->destination, p->folder, &marks, &count, NULL), 0);
	assert_int_equal(count, 2);
	const struct ur_mark known = ur_mark_of(&row.identity, "a.jpg", 5, false);
	const struct ur_mark refused = ur_mark_of(&row.identity, "refused.txt", 11, false);
	assert_int_equal(ur_marks_find(marks, count, &known), UR_SEALED_DONE);
	assert_int_equal(ur_marks_find(marks, count, &refused), UR_SEALED_TOLD);

	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0); // once more in a transaction
	assert_int_equal(marks_of(p->ledger, p), 0);
	seal(p);
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0); // the same folder as last time
	assert_int_equal(marks_of(p->ledger, p), 0);
	seal(p);
	assert_int_equal(marks_of(p->ledger, p), 2);
	assert_int_equal(ur_ledger_mark(p->ledger, p->destination, row.sha1, UR_LEDGER_ALL,
				 UR_WITHDRAWN, "gone", &changed, NULL),
		0);
	assert_int_equal(changed, 3);
	assert_int_equal(marks_of(p->ledger, p), 0);
	seal(p);
	assert_int_equal(marks_of(p->ledger, p), 1);
	const struct ur_ledger_filter all = {.below = "/pictures"};
	assert_int_equal(ur_ledger_retry(p->ledger, &all, &changed, NULL), 0);
	assert_int_equal(marks_of(p->ledger, p), 0);
	seal(p);
	assert_int_equal(ur_ledger_forget(p->ledger, &all, &changed, NULL), 0);
	assert_int_equal(marks_of(p->ledger, p), 0);
}

static void a_reader_that_holds_sees_one_state_until_it_lets_go(void **state)
{
	struct place *p = *state;
	struct ur_ledger *reader = NULL;
	struct ur_record row = row_of(p, "a.jpg");
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	seal(p);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_READ, &reader, NULL), 0);
	assert_int_equal(ur_ledger_hold(reader, NULL), 0);
	assert_int_equal(marks_of(reader, p), 1);
	row.name = "b.jpg";
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	assert_int_equal(marks_of(reader, p), 1);
	ur_ledger_let_go(reader);
	assert_int_equal(marks_of(reader, p), 0);
	reader = ur_ledger_free(reader);
}

static void an_older_ledger_is_brought_up_to_date_with_all_it_knows(void **state)
{
	struct place *p = *state;
	char command[512];
	struct ur_record row = row_of(p, "a.jpg");
	bool found = false;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	p->ledger = ur_ledger_free(p->ledger);
	(void)snprintf(command, sizeof command,
		"sqlite3 '%s' 'drop table seal; drop table answer; drop table upload; drop table server;"
		" alter table file drop column quiet_had_ns;"
		" alter table file drop column there; alter table file drop column doubt;"
		" alter table file drop column place; alter table file drop column place_size;"
		" create index asset_by_run on asset(run) where created=1; pragma user_version=1'",
		p->path);
	assert_int_equal(system(command), 0);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, NULL), 0);
	row.place = 0; // where it is staged was not written down then
	row.place_size = 0;
	assert_int_equal(ur_ledger_get(p->ledger, p->destination, p->folder, row.name, compare,
				 &row, &found, NULL),
		0);
	assert_true(found);
	assert_int_equal(marks_of(p->ledger, p), 0);
	seal(p); // what was there before counts as changed
	assert_int_equal(marks_of(p->ledger, p), 1);
	(void)snprintf(command, sizeof command,
		"test -z \"$(sqlite3 '%s' \"select 1 from sqlite_schema where name='asset_by_run'\")\"",
		p->path);
	assert_int_equal(system(command), 0);
}
static void what_is_accepted_is_what_looks_cut_off_until_other_bytes_are_there(void **state)
{
	struct place *p = *state;
	struct ur_record cut = row_of(p, "cut.jpg");
	struct ur_record whole = row_of(p, "whole.jpg");
	struct ur_record unread = row_of(p, "unread.jpg");
	const struct ur_ledger_filter all = {0};
	int64_t count = 0;
	bool found = false;
	whole.ending = UR_ENDING_WHOLE;
	unread.hashed = false;
	unread.state = UR_SEEN;
	cut.told = true;
	assert_int_equal(ur_ledger_put(p->ledger, &cut, NULL), 0);
	assert_int_equal(ur_ledger_put(p->ledger, &whole, NULL), 0);
	assert_int_equal(ur_ledger_put(p->ledger, &unread, NULL), 0);
	assert_int_equal(ur_ledger_accept(p->ledger, &all, &count, NULL), 0);
	assert_int_equal(count, 1);
	cut.accepted = true;
	assert_int_equal(ur_ledger_get(p->ledger, p->destination, p->folder, cut.name, compare,
				 &cut, &found, NULL),
		0);
	assert_true(found);
	assert_int_equal(ur_ledger_get(p->ledger, p->destination, p->folder, whole.name, compare,
				 &whole, &found, NULL),
		0);
}

static void how_long_a_file_was_quiet_counts_over_boots(void **state)
{
	struct place *p = *state;
	struct ur_record row = row_of(p, "a.jpg");
	struct ur_age age = ur_record_quiet(&row);
	/* In another boot it was quiet for 7 ns, and since the beginning of this one. */
	assert_true(ur_age_ns(&age) > 7);
	assert_true(ur_age_ns(&age) <= 7 + ur_clock_boot_ns());
	row.quiet_ns = 0;
	age = ur_record_quiet(&row);
	assert_false(ur_age_is_begun(&age));
}

static void go_back_to_schema(const struct place *p, int version)
{
	char command[512];
	(void)snprintf(command, sizeof command,
		"sqlite3 '%s' 'alter table file drop column there; alter table file drop column doubt;"
		" alter table file drop column quiet_had_ns;"
		" alter table file drop column place; alter table file drop column place_size;"
		" pragma user_version=%d'",
		p->path, version);
	assert_int_equal(system(command), 0);
}

static bool is_ledger_of(const struct place *p, const char *suffix, const char *version)
{
	char command[512];
	(void)snprintf(command, sizeof command,
		"test \"$(sqlite3 '%s%s' 'pragma user_version; select count(*) from file')\" ="
		" \"$(printf '%s\\n1')\"",
		p->path, suffix, version);
	return system(command) == 0;
}

static void a_copy_is_kept_before_an_older_ledger_is_changed(void **state)
{
	struct place *p = *state;
	struct ur_record row = row_of(p, "a.jpg");
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	p->ledger = ur_ledger_free(p->ledger);
	go_back_to_schema(p, 4);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, NULL), 0);
	assert_true(is_ledger_of(p, ".schema-4", "4"));
	/* A later opening changes nothing, and makes none. */
	p->ledger = ur_ledger_free(p->ledger);
	assert_true(is_ledger_of(p, "", "5"));
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, NULL), 0);
	assert_false(is_ledger_of(p, ".schema-5", "5"));
}

static void an_older_ledger_is_not_changed_where_no_copy_can_be_kept(void **state)
{
	struct place *p = *state;
	struct ur_record row = row_of(p, "a.jpg");
	struct ur_err err = {0};
	char part[512];
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	p->ledger = ur_ledger_free(p->ledger);
	go_back_to_schema(p, 4);
	(void)snprintf(part, sizeof part, "%s.schema-4.part", p->path);
	assert_int_equal(mkdir(part, 0700), 0); // nothing can be written there
	assert_true(ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, &err) < 0);
	assert_non_null(strstr(err.text, part));
	assert_true(is_ledger_of(p, "", "4"));
	assert_int_equal(rmdir(part), 0);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, NULL), 0);
}

static void who_only_reads_has_an_older_ledger_brought_up_to_date(void **state)
{
	struct place *p = *state;
	struct ur_record row = row_of(p, "a.jpg");
	struct ur_ledger *reader = NULL;
	row.place = 0; // an older one has none
	row.place_size = 0;
	bool found = false;
	assert_int_equal(ur_ledger_put(p->ledger, &row, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	p->ledger = ur_ledger_free(p->ledger);
	go_back_to_schema(p, 4);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_READ, &reader, NULL), 0);
	assert_int_equal(ur_ledger_get(reader, p->destination, p->folder, row.name, compare, &row,
				 &found, NULL),
		0);
	assert_true(found);
	reader = ur_ledger_free(reader);
}

/** A second run opens it, as another process does. */
static struct ur_ledger_doubt doubt_of(
	const struct place *p, int64_t destination, const uint8_t sha1[UR_LEDGER_SHA1])
{
	struct ur_ledger_doubt doubt = {.since = ur_age_begin()};
	assert_int_equal(ur_ledger_doubt(p->ledger, destination, sha1, p->folder, "a third.jpg",
				 &doubt, NULL),
		0);
	return doubt;
}

static void a_doubt_is_about_bytes_whichever_file_has_them(void **state)
{
	struct place *p = *state;
	struct ur_record one = row_of(p, "one.jpg");
	struct ur_record other = row_of(p, "other.jpg");
	const uint8_t strange[UR_LEDGER_SHA1] = {9, 9, 9};

	one.doubt = other.doubt = (struct ur_age){0};
	assert_int_equal(ur_ledger_put(p->ledger, &one, NULL), 0);
	assert_int_equal(ur_ledger_put(p->ledger, &other, NULL), 0);
	struct ur_ledger_doubt doubt = doubt_of(p, p->destination, one.sha1);
	assert_false(ur_age_is_begun(&doubt.since));

	other.doubt = ur_age_begin();
	other.doubt.had_ns = 7200 * UR_SECOND_NS;
	assert_int_equal(ur_ledger_put(p->ledger, &other, NULL), 0);
	doubt = doubt_of(p, p->destination, one.sha1);
	assert_true(ur_age_ns(&doubt.since) >= 7200 * UR_SECOND_NS);
	assert_false(ur_age_is_begun(&doubt.sending));

	one.doubt = ur_age_begin(); // the younger one counts
	assert_int_equal(ur_ledger_put(p->ledger, &one, NULL), 0);
	doubt = doubt_of(p, p->destination, one.sha1);
	assert_true(ur_age_is_begun(&doubt.since));
	assert_true(ur_age_ns(&doubt.since) < 3600 * UR_SECOND_NS);

	other.state = UR_SENDING;
	assert_int_equal(ur_ledger_put(p->ledger, &other, NULL), 0);
	doubt = doubt_of(p, p->destination, one.sha1);
	assert_true(ur_age_ns(&doubt.sending) >= 7200 * UR_SECOND_NS);
	assert_true(ur_age_ns(&doubt.since) < 3600 * UR_SECOND_NS);

	assert_int_equal(ur_ledger_doubt(p->ledger, p->destination, one.sha1, p->folder, "one.jpg",
				 &doubt, NULL),
		0); // its own doubt is its own to keep or to end
	assert_true(ur_age_ns(&doubt.since) >= 7200 * UR_SECOND_NS);

	doubt = doubt_of(p, p->destination, strange);
	assert_false(ur_age_is_begun(&doubt.since));
	doubt = doubt_of(p, p->destination + 1, one.sha1);
	assert_false(ur_age_is_begun(&doubt.since)); // another user's copy is another one
}

static struct ur_age first_of(
	struct place *p, const struct ur_record *one, const struct ur_record *other)
{
	assert_int_equal(ur_ledger_put(p->ledger, one, NULL), 0);
	assert_int_equal(ur_ledger_put(p->ledger, other, NULL), 0);
	return doubt_of(p, p->destination, one->sha1).first;
}

static void the_wire_is_asked_only_of_what_was_noted(void **state)
{
	struct place *p = *state;
	struct ur_record one = row_of(p, "one.jpg");
	struct ur_record other = row_of(p, "other.jpg");
	one.state = other.state = UR_SENDING;
	one.noted = other.noted = true;
	one.doubt = other.doubt = ur_age_begin();
	other.doubt.at_ns += 5000;
	struct ur_age first = first_of(p, &one, &other);
	assert_int_equal(first.at_ns, one.doubt.at_ns);
	assert_string_equal(first.boot, one.doubt.boot);

	other.doubt.had_ns = 7000; // it is the earlier one after all
	first = first_of(p, &one, &other);
	assert_int_equal(first.had_ns, 7000);

	other.noted = false;
	assert_string_equal(first_of(p, &one, &other).boot, "");
	one.noted = false;
	other.noted = true;
	assert_string_equal(first_of(p, &one, &other).boot, "");

	one.noted = true;
	(void)snprintf(other.doubt.boot, sizeof other.doubt.boot, "another boot");
	assert_string_equal(first_of(p, &one, &other).boot, "");
	one.state = UR_WANTED; // which has sent nothing
	assert_string_equal(first_of(p, &one, &other).boot, "another boot");
}

static void a_doubt_outlives_the_row_whose_name_another_picture_took(void **state)
{
	struct place *p = *state;
	const uint8_t gone[UR_LEDGER_SHA1] = {7, 7, 7};
	struct ur_age since = ur_age_begin();
	since.had_ns = 5 * UR_SECOND_NS;
	struct ur_ledger_doubt doubt = doubt_of(p, p->destination, gone);
	assert_false(ur_age_is_begun(&doubt.since));
	assert_int_equal(ur_ledger_doubt_keep(p->ledger, p->destination, gone, &since, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	doubt = doubt_of(p, p->destination, gone);
	assert_true(ur_age_ns(&doubt.since) >= 5 * UR_SECOND_NS);
	assert_false(ur_age_is_begun(&doubt.sending));
	doubt = doubt_of(p, p->destination + 1, gone);
	assert_false(ur_age_is_begun(&doubt.since));
}

static int open_elsewhere(const char *path, char ret[UR_ERR_TEXT_MAX])
{
	int result[2];
	int code = 0;
	assert_int_equal(pipe(result), 0);
	const pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct ur_ledger *ledger = NULL;
		struct ur_err err = {0};
		const int r = ur_ledger_open(path, UR_LEDGER_WRITE, &ledger, &err);
		_exit(write(result[1], &r, sizeof r) < 0 ||
			write(result[1], err.text, sizeof err.text) < 0);
	}
	assert_int_equal(read(result[0], &code, sizeof code), sizeof code);
	assert_int_equal(read(result[0], ret, UR_ERR_TEXT_MAX), UR_ERR_TEXT_MAX);
	assert_int_equal(waitpid(child, NULL, 0), child);
	(void)close(result[0]);
	(void)close(result[1]);
	return code;
}

static void a_ledger_has_one_writer_whatever_it_is_called(void **state)
{
	struct place *p = *state;
	char other[128];
	char words[UR_ERR_TEXT_MAX];
	(void)snprintf(other, sizeof other, "%s/other.db", p->dir);
	assert_int_equal(open_elsewhere(p->path, words), -EWOULDBLOCK);
	assert_int_equal(symlink(p->path, other), 0);
	assert_int_equal(open_elsewhere(other, words), -EWOULDBLOCK);
	assert_non_null(strstr(words, "in use"));
	assert_int_equal(unlink(other), 0);
	assert_int_equal(link(p->path, other), 0);
	assert_int_equal(open_elsewhere(other, words), -EWOULDBLOCK);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(rename(p->path, other), 0);
	assert_int_equal(open_elsewhere(other, words), -EWOULDBLOCK);
	assert_int_equal(rename(other, p->path), 0);
	p->ledger = ur_ledger_free(p->ledger);
	assert_int_equal(open_elsewhere(p->path, words), 0);
	/* Its log lies beside one of the names only. */
	assert_int_equal(link(p->path, other), 0);
	assert_int_equal(open_elsewhere(other, words), -EMLINK);
	assert_non_null(strstr(words, "hard links"));
}

static void an_upload_under_way_is_known_by_its_bytes_until_it_is_forgotten(void **state)
{
	struct place *p = *state;
	static const uint8_t bytes[UR_LEDGER_SHA1] = {1, 2, 3};
	static const uint8_t others[UR_LEDGER_SHA1] = {4};
	const struct ur_ledger_upload made = {.address = "4f1c",
		.length = INT64_C(10) << 30,
		.about = INT64_MAX,
		.offset = UINT64_C(9) << 30,
		.made_ns = 7,
		.at_ns = 8};
	struct ur_ledger_upload got = {0};
	bool found = false;
	assert_int_equal(ur_ledger_upload_put(p->ledger, p->destination, bytes, &made, NULL), 0);
	assert_int_equal(ur_ledger_commit(p->ledger, NULL), 0);
	p->ledger = ur_ledger_free(p->ledger);
	assert_int_equal(ur_ledger_open(p->path, UR_LEDGER_WRITE, &p->ledger, NULL), 0);
	assert_int_equal(
		ur_ledger_upload_get(p->ledger, p->destination, bytes, &got, &found, NULL), 0);
	assert_true(found);
	assert_memory_equal(&got, &made, sizeof got);
	assert_int_equal(
		ur_ledger_upload_get(p->ledger, p->destination, others, &got, &found, NULL), 0);
	assert_false(found);
	assert_int_equal(
		ur_ledger_upload_get(p->ledger, p->destination + 1, bytes, &got, &found, NULL), 0);
	assert_false(found); // another user's
	assert_int_equal(ur_ledger_upload_forget(p->ledger, p->destination, bytes, NULL), 0);
	assert_int_equal(
		ur_ledger_upload_get(p->ledger, p->destination, bytes, &got, &found, NULL), 0);
	assert_false(found);
}

static void what_was_learned_about_a_server_is_remembered(void **state)
{
	struct place *p = *state;
	int64_t value = 5;
	assert_int_equal(
		ur_ledger_learned(p->ledger, "https://a", UR_LEARNED_CHUNK_MAX, &value, NULL), 0);
	assert_int_equal(value, 5);
	for (int64_t learned = 8; learned < 10; learned++) {
		assert_int_equal(ur_ledger_learn(p->ledger, "https://a", UR_LEARNED_CHUNK_MAX,
					 learned, NULL),
			0);
		assert_int_equal(ur_ledger_learned(p->ledger, "https://a", UR_LEARNED_CHUNK_MAX,
					 &value, NULL),
			0);
		assert_int_equal(value, learned);
	}
	assert_int_equal(
		ur_ledger_learned(p->ledger, "https://b", UR_LEARNED_CHUNK_MAX, &value, NULL), 0);
	assert_int_equal(value, 9);
}

static bool answered(struct ur_ledger *ledger, const char *server, const uint8_t *who, int64_t age)
{
	struct ur_text text = {0};
	bool found = false;
	assert_int_equal(ur_ledger_answer_get(ledger, server, who, "/api/server/version", age,
				 &text, &found, NULL),
		0);
	if (found) {
		assert_string_equal(ur_text_get(&text), "{\"major\":2}");
	}
	ur_text_done(&text);
	return found;
}

static int one_trouble(
	void *context, const struct ur_text *path, const struct ur_ledger_trouble *trouble)
{
	int64_t *seen = context;
	assert_string_equal(ur_text_get(path), "/pictures");
	*seen += (int64_t)trouble->count;
	return 0;
}

static void what_is_in_trouble_is_kept_for_each_folder_and_goes_when_nothing_is(void **state)
{
	struct place *p = *state;
	struct ur_ledger_trouble was = {.run = 7, .count = 3, .told_ns = 77, .place_count = 2};
	struct ur_ledger_trouble is = {.run = 1};
	int64_t seen = 0;
	was.places[0] = UINT64_MAX;
	was.places[1] = 5;
	was.told = ur_age_begin();
	was.told.had_ns = 99;
	assert_int_equal(ur_ledger_trouble_get(p->ledger, p->destination, p->folder, &is, NULL), 0);
	assert_int_equal(is.run, 0);
	for (unsigned told = 0; told < 2; told++) { // with an age, and with none
		assert_int_equal(
			ur_ledger_trouble_put(p->ledger, p->destination, p->folder, &was, NULL), 0);
		assert_int_equal(
			ur_ledger_trouble_get(p->ledger, p->destination, p->folder, &is, NULL), 0);
		assert_int_equal(is.run, 7);
		assert_int_equal(is.count, 3);
		assert_int_equal(is.told_ns, 77);
		assert_int_equal(is.place_count, 2);
		assert_true(is.places[0] == UINT64_MAX && is.places[1] == 5);
		assert_int_equal(is.told.had_ns, was.told.had_ns);
		assert_int_equal(is.told.at_ns, was.told.at_ns);
		was.told = (struct ur_age){0};
	}
	assert_int_equal(ur_ledger_troubles(p->ledger, one_trouble, &seen, NULL), 0);
	assert_int_equal(seen, 3);
	assert_int_equal(
		ur_ledger_trouble_get(p->ledger, p->destination, p->folder + 1, &is, NULL), 0);
	assert_int_equal(is.count, 0);
	was.count = 0;
	assert_int_equal(
		ur_ledger_trouble_put(p->ledger, p->destination, p->folder, &was, NULL), 0);
	assert_int_equal(ur_ledger_troubles(p->ledger, one_trouble, &seen, NULL), 0);
	assert_int_equal(seen, 3);
}

static void an_answer_is_kept_for_its_time_for_one_server_and_one_key(void **state)
{
	struct place *p = *state;
	const char *const here = "https://photos.example";
	const uint8_t me[UR_LEDGER_WHO] = {1};
	const uint8_t other[UR_LEDGER_WHO] = {2};
	const int64_t day = INT64_C(86400) * 1000000000;
	uint8_t salt[UR_LEDGER_SALT] = {0};
	uint8_t again[UR_LEDGER_SALT] = {0};
	assert_false(answered(p->ledger, here, me, day));
	assert_int_equal(ur_ledger_answer_put(
				 p->ledger, here, me, "/api/server/version", "{\"major\":2}", NULL),
		0);
	assert_true(answered(p->ledger, here, me, day));
	assert_false(answered(p->ledger, here, me, 0));
	assert_false(answered(p->ledger, here, other, day));
	assert_false(answered(p->ledger, "https://other.example", me, day));
	assert_int_equal(ur_ledger_answers_drop(p->ledger, here, NULL), 0);
	assert_false(answered(p->ledger, here, me, day));

	assert_int_equal(ur_ledger_salt(p->ledger, salt, NULL), 0);
	assert_int_equal(ur_ledger_salt(p->ledger, again, NULL), 0);
	assert_memory_equal(salt, again, sizeof salt);
	assert_memory_not_equal(salt, other, sizeof salt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, open_place, close_place)
		IN_PLACE(a_row_comes_back_as_it_was_written),
		IN_PLACE(a_folder_is_read_in_the_order_of_the_names),
		IN_PLACE(only_what_was_committed_survives_a_sudden_end),
		IN_PLACE(a_second_writer_is_told_who_holds_it),
		IN_PLACE(a_foreign_or_newer_database_is_left_alone),
		IN_PLACE(knowledge_belongs_to_one_destination),
		IN_PLACE(filters_find_a_file_a_folder_and_what_lies_below),
		IN_PLACE(a_seal_holds_what_needs_nothing_and_goes_with_any_write),
		IN_PLACE(a_reader_that_holds_sees_one_state_until_it_lets_go),
		IN_PLACE(an_answer_is_kept_for_its_time_for_one_server_and_one_key),
		IN_PLACE(an_older_ledger_is_brought_up_to_date_with_all_it_knows),
		IN_PLACE(what_is_accepted_is_what_looks_cut_off_until_other_bytes_are_there),
		IN_PLACE(how_long_a_file_was_quiet_counts_over_boots),
		IN_PLACE(a_copy_is_kept_before_an_older_ledger_is_changed),
		IN_PLACE(an_older_ledger_is_not_changed_where_no_copy_can_be_kept),
		IN_PLACE(who_only_reads_has_an_older_ledger_brought_up_to_date),
		IN_PLACE(a_doubt_is_about_bytes_whichever_file_has_them),
		IN_PLACE(what_is_in_trouble_is_kept_for_each_folder_and_goes_when_nothing_is),
		IN_PLACE(the_wire_is_asked_only_of_what_was_noted),
		IN_PLACE(a_doubt_outlives_the_row_whose_name_another_picture_took),
		IN_PLACE(a_ledger_has_one_writer_whatever_it_is_called),
		IN_PLACE(an_upload_under_way_is_known_by_its_bytes_until_it_is_forgotten),
		IN_PLACE(what_was_learned_about_a_server_is_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
