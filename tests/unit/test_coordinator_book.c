/* The ledger's rows: what is known of a file, and nothing that is not. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static const struct ur_record *booked(struct ur_file *file)
{
	ur_book_file(play.c, file->item, file);
	const struct play_row *row = play_row(file->name);
	return row == NULL ? NULL : &row->record;
}

static struct ur_file *file_of(const char *name)
{
	return play_candidate(name)->files;
}

static void a_row_says_what_the_file_is(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	play_sent(file);
	file->delivered_ns = 77;
	file->confirmed_ns = 78;
	file->quiet.at_ns = 79;
	file->quiet.had_ns = 80;
	file->reason = "because";
	play.c->dirty_since_ns = 0;
	const struct ur_record *row = booked(file);

	assert_int_equal(row->state, UR_DELIVERED);
	assert_string_equal(row->asset, PLAY_ASSET);
	assert_true(row->created && row->hashed && row->remembered);
	assert_int_equal(row->delivered_ns, 77);
	assert_int_equal(row->confirmed_ns, 78);
	assert_int_equal(row->quiet_ns, 79);
	assert_int_equal(row->quiet_had_ns, 80);
	assert_int_equal(row->probed_ns, ur_clock_wall_ns());
	assert_int_equal(row->run, play.run.id);
	assert_int_equal(row->folder, 7);
	assert_memory_equal(row->xxh, file->xxh, sizeof row->xxh);
	assert_int_equal(play.c->dirty_since_ns, ur_clock_steady_ns());
	assert_memory_equal(row->sha1, file->sha1, sizeof row->sha1);
	assert_true(ur_age_is_begun(&row->there));
	assert_string_equal(play_row("a.jpg")->reason, "because");
}

static void a_folder_is_looked_up_once(void **state)
{
	(void)state;
	(void)booked(file_of("a.jpg"));
	(void)booked(file_of("b.jpg"));
	assert_int_equal(play.folders, 1);
	assert_int_equal(play_row("b.jpg")->record.folder, 7);
}

static void when_it_was_settled_and_when_it_was_read_is_kept(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	struct ur_record *row = play_remember(file, UR_DELIVERED);
	row->probed_ns = 5;
	row->confirmed_ns = 6;
	file->fresh = false;
	file->state = UR_SETTLED;
	file->settled_ns = 7;
	const struct ur_record *after = booked(file);
	assert_int_equal(after->probed_ns, 5);
	assert_int_equal(after->confirmed_ns, 6);
	assert_int_equal(after->settled_ns, 7);
}

static void a_doubt_that_cannot_be_looked_up_ends_the_run(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	play.doubt.since = ur_age_begin();
	struct ur_ledger_doubt doubt = ur_book_doubt(play.c, file);
	assert_true(ur_age_is_begun(&doubt.since));
	play.get_fails = -EIO;
	(void)ur_book_doubt(play.c, file);
	assert_int_equal(play.run.result, -EIO);
	play.get_fails = 0;
	doubt = ur_book_doubt(play.c, file); // from here on it is not asked
	assert_false(ur_age_is_begun(&doubt.since));
}

static void an_asset_that_cannot_be_written_ends_the_run(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	play_sent(file);
	play.put_fails = -EIO;
	ur_book_asset(play.c, file);
	assert_int_equal(play.run.result, -EIO);
}

static void what_is_known_already_is_not_written_again(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	(void)booked(file);
	(void)booked(file);
	assert_int_equal(play.puts, 1);
	file->reason = "news";
	(void)booked(file);
	assert_int_equal(play.puts, 2);
}

static void a_ledger_that_cannot_be_written_ends_the_run_and_is_left_alone(void **state)
{
	(void)state;
	play.put_fails = -ENOSPC;
	struct ur_file *file = file_of("a.jpg");
	assert_null(booked(file));
	assert_true(play.c->broken);
	assert_int_equal(play.run.result, -ENOSPC);
	assert_true(ur_step_is_stopping(play.c));

	play.put_fails = 0;
	assert_null(booked(file));
	ur_book_asset(play.c, file);
	assert_false(play_fact(file->sha1)->has_asset);
}

static void when_it_came_so_far_is_kept_of_the_same_file_only(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	struct ur_record *row = play_remember(file, UR_DELIVERED);
	row->seen_ns = 5;
	row->sending_ns = 6;
	row->delivered_ns = 7;
	const struct ur_record *after = booked(file);
	assert_int_equal(after->seen_ns, 5);
	assert_int_equal(after->sending_ns, 6);
	assert_int_equal(after->delivered_ns, 7);

	file = file_of("b.jpg");
	row = play_remember(file, UR_DELIVERED);
	row->seen_ns = 5;
	row->delivered_ns = 7;
	row->identity.mtime_ns++;
	after = booked(file);
	assert_int_equal(after->seen_ns, ur_clock_wall_ns());
	assert_int_equal(after->delivered_ns, 0);
}

static void a_doubt_is_written_down(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	file->doubt_since = ur_age_begin();
	assert_true(ur_age_is_begun(&booked(file)->doubt));
}

static void a_movie_owes_a_link_until_its_still_has_one(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg a.mov");
	item->files[0].movie = 1;
	item->files[1].still = 0;
	play_known(&item->files[0]);
	play_sent(&item->files[1]);
	assert_true(booked(&item->files[1])->owes_link);
	item->files[0].linked = true;
	assert_false(booked(&item->files[1])->owes_link);

	item->files[0].linked = false;
	play_sent(&item->files[0]); // after its movie: the link travelled
	assert_false(booked(&item->files[1])->owes_link);
}

static void a_staged_file_says_where_it_is_staged(void **state)
{
	(void)state;
	play.dir->inode = 4711;
	struct ur_file *file = file_of("a.jpg");
	assert_int_equal(booked(file)->place, 0);
	(void)strcpy(file->staged, "1x1");
	assert_int_equal(booked(file)->place, 4711);
	assert_int_equal(play_row("a.jpg")->record.place_size, (int64_t)strlen("/pictures"));
}

static void a_plan_leaves_what_an_import_knows(void **state)
{
	(void)state;
	play.options.plan = true;
	struct ur_file *file = file_of("a.jpg");
	(void)play_remember(file, UR_DELIVERED);
	assert_null(booked(file));

	file = file_of("b.jpg"); // of other bytes it may speak
	(void)play_remember(file, UR_DELIVERED);
	play_bytes(file, "other bytes");
	assert_non_null(booked(file));
}

static void a_plan_promises_nothing(void **state)
{
	(void)state;
	play.options.plan = true;
	for (int i = 0; i < UR_STATES; i++) {
		struct ur_file *file = file_of("a.jpg");
		file->state = (enum ur_state)i;
		const enum ur_state written = booked(file)->state;
		assert_true(written <= UR_PROBED || written == UR_WANTED || written == UR_REFUSED);
	}
}

static void a_plan_does_not_write_what_it_did_not_look_at(void **state)
{
	(void)state;
	play.options.plan = true;
	struct ur_file *file = file_of("a.jpg");
	file->fresh = false;
	assert_null(booked(file));
}

static void only_these_bytes_from_this_path_in_this_run_were_sent_already(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	assert_false(ur_book_has_sent(play.c, file->item, file));
	play_sent(file);
	(void)booked(file);
	assert_true(ur_book_has_sent(play.c, file->item, file));
	assert_false(ur_book_has_sent(play.c, file->item, file_of("b.jpg")));

	struct ur_file *other = file_of("a.jpg");
	play_bytes(other, "other bytes");
	assert_false(ur_book_has_sent(play.c, other->item, other));
	play.run.id++;
	assert_false(ur_book_has_sent(play.c, file->item, file));
}

static void an_asset_is_ours_by_our_own_201_only(void **state)
{
	(void)state;
	struct ur_file *file = file_of("a.jpg");
	play_known(file);
	ur_book_asset(play.c, file);
	assert_false(play_fact(file->sha1)->asset.created);
	play_sent(file);
	ur_book_asset(play.c, file);
	assert_true(play_fact(file->sha1)->asset.created);
	assert_string_equal(play_fact(file->sha1)->asset.asset, PLAY_ASSET);
}

static void what_a_plan_would_send_is_remembered_by_its_bytes(void **state)
{
	(void)state;
	play.options.plan = true;
	play_begin();
	struct ur_file *file = file_of("a.jpg");
	play.same_in_run = true;
	assert_false(ur_book_has_planned(play.c, file->item, file)); // the ledger is not even asked
	ur_book_planned(play.c, file);
	assert_true(ur_book_has_planned(play.c, file->item, file));
	play.same_in_run = false;
	assert_false(ur_book_has_planned(play.c, file->item, file)); // a filter may err
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(a_row_says_what_the_file_is),
		PLAYED(a_folder_is_looked_up_once),
		PLAYED(when_it_was_settled_and_when_it_was_read_is_kept),
		PLAYED(a_doubt_that_cannot_be_looked_up_ends_the_run),
		PLAYED(an_asset_that_cannot_be_written_ends_the_run),
		PLAYED(what_is_known_already_is_not_written_again),
		PLAYED(a_ledger_that_cannot_be_written_ends_the_run_and_is_left_alone),
		PLAYED(when_it_came_so_far_is_kept_of_the_same_file_only),
		PLAYED(a_doubt_is_written_down),
		PLAYED(a_movie_owes_a_link_until_its_still_has_one),
		PLAYED(a_staged_file_says_where_it_is_staged),
		PLAYED(a_plan_leaves_what_an_import_knows),
		PLAYED(a_plan_promises_nothing),
		PLAYED(a_plan_does_not_write_what_it_did_not_look_at),
		PLAYED(only_these_bytes_from_this_path_in_this_run_were_sent_already),
		PLAYED(an_asset_is_ours_by_our_own_201_only),
		PLAYED(what_a_plan_would_send_is_remembered_by_its_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
