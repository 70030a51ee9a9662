/* What a file is to us before the server is asked: by what scan and probe found, and by its row. */
#include "tests/unit/coordinator.h"

#include <errno.h>

static struct ur_file *judged(struct ur_item *item)
{
	ur_judge_item(play.c, item);
	return item->files;
}

/** An earlier run left this of the very file. */
static struct ur_item *remembered(enum ur_state state)
{
	struct ur_item *item = play_item("a.jpg");
	struct ur_record *row = play_remember(item->files, state);
	memcpy(row->asset, PLAY_ASSET, sizeof row->asset);
	item->files->fresh = false;
	return item;
}

static void what_was_read_and_nobody_knows_is_to_be_asked_for(void **state)
{
	(void)state;
	const struct ur_file *file = judged(play_item("a.jpg"));
	assert_int_equal(file->state, UR_PROBED);
	assert_int_equal(file->put.state, UR_PUT_CHECK);
	assert_true(ur_file_is_to_ask(file));
}

static void what_could_not_be_read_is_closed_by_its_reason(void **state)
{
	(void)state;
	static const struct {
		int error;
		enum ur_outcome outcome;
		enum ur_state state;
	} cases[] = {
		{-ENOENT, UR_OUTCOME_VANISHED, UR_SEEN},
		{-ENOTDIR, UR_OUTCOME_VANISHED, UR_SEEN},
		{-ESTALE, UR_OUTCOME_WAITING, UR_SEEN},
		{-ELOOP, UR_OUTCOME_REFUSED, UR_REFUSED},
		{-EACCES, UR_OUTCOME_REFUSED, UR_REFUSED},
		{-EIO, UR_OUTCOME_FAILED, UR_FAILED},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ur_item *item = play_item("a.jpg");
		item->files->error = cases[i].error;
		const struct ur_file *file = judged(item);
		assert_int_equal(file->outcome, cases[i].outcome);
		assert_int_equal(file->state, cases[i].state);
		assert_non_null(file->reason);
	}
}

static void what_is_no_media_is_refused_for_good(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg");
	item->files->judgement = UR_JUDGE_REFUSE;
	item->files->note = "no picture";
	const struct ur_file *file = judged(item);
	assert_int_equal(file->state, UR_REFUSED);
	assert_true(file->for_good);
	assert_string_equal(file->reason, "no picture");
}

static void what_a_stop_left_unread_waits(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg");
	item->files->hashed = false;
	assert_int_equal(judged(item)->outcome, UR_OUTCOME_WAITING);
}

static void what_was_delivered_and_is_the_same_is_not_asked_for(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_DELIVERED);
	item->files->row->created = item->files->row->travelled = true;
	item->files->row->there = ur_age_begin();
	item->files->row->tries = 2;
	play_pass(5000);
	const struct ur_file *file = judged(item);
	assert_string_equal(file->asset, PLAY_ASSET);
	assert_int_equal(ur_age_ns(&file->there_since), 5 * UR_SECOND_NS);
	assert_int_equal(file->put.sends, 2);
	assert_true(file->travelled);
	assert_true(file->decided && ur_file_is_open(file));
	assert_int_equal(file->state, UR_DELIVERED);
	assert_true(ur_file_is_ours(file));
	assert_false(file->there);
}

static void what_is_remembered_of_these_bytes_outlives_whatever_becomes_of_them(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_PROBED);
	struct ur_record *row = item->files->row;
	row->accepted = row->told = row->owes_link = true;
	row->ending = UR_ENDING_CUT;
	const struct ur_file *file = judged(item);
	assert_true(file->accepted && file->told && file->owes_link);
	assert_int_equal(file->ending, UR_ENDING_CUT);

	item = remembered(UR_PROBED);
	item->files->row->ending = UR_ENDING_CUT;
	item->files->fresh = true; // looked at in this run
	assert_int_equal(judged(item)->ending, UR_ENDING_WHOLE);
}

static void what_is_there_without_an_age_is_young(void **state)
{
	(void)state;
	const struct ur_file *file = judged(remembered(UR_KNOWN));
	assert_true(file->there && ur_age_is_begun(&file->there_since));
	assert_true(ur_file_is_young(play.c, file));
}

static void a_row_without_an_asset_is_asked_for(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_DUPLICATE);
	item->files->row->asset[0] = '\0';
	assert_true(ur_file_is_to_ask(judged(item)));
}

static void what_was_refused_stays_refused_unless_it_is_a_sidecar_that_may_find_its_picture(
	void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_REFUSED);
	item->files->row->for_good = true;
	item->files->hashed = false; // it need not be read again
	const struct ur_file *file = judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
	assert_true(file->for_good);
	assert_string_equal(file->reason, "an earlier run said so");

	item = play_item("b.jpg b.xmp");
	play_remember(&item->files[1], UR_REFUSED)->for_good = true;
	(void)judged(item);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_REFUSED);
}

static void what_is_cut_off_is_held_before_anybody_is_asked(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg");
	item->files->ending = UR_ENDING_CUT;
	assert_int_equal(judged(item)->outcome, UR_OUTCOME_WAITING);
}

static void what_was_refused_and_named_is_counted_while_it_stays_as_it_is(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		play.options.respect_next = i != 5; // by hand each is named each time
		struct ur_item *item = play_item("a.jpg");
		struct ur_record *row = play_remember(item->files, UR_REFUSED);
		row->told = i != 4;
		row->reason = i == 1 ? "another reason" : "no media";
		row->state = i == 2 ? UR_FAILED : UR_REFUSED;
		row->identity.size += i == 3 ? 1 : 0;
		item->files->judgement = UR_JUDGE_REFUSE;
		item->files->note = "no media";
		const struct ur_file *file = judged(item);
		assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
		assert_int_equal(file->tell, i != 5);
		assert_int_equal(file->told, i == 0 || i == 5);
	}
}

static void an_upload_that_is_known_at_a_gateway_is_recalled(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_SENDING);
	struct play_fact *fact = play_fact(item->files->sha1);
	item->files->identity.size = item->files->row->identity.size = 4 << 20;
	fact->has_upload = true;
	fact->upload = (struct ur_ledger_upload){.address = "uploads/1", .length = 4 << 20};
	const struct ur_file *file = judged(item);
	assert_string_equal(file->resume->address, "uploads/1");
	assert_int_equal(file->put.state, UR_PUT_CHECK); // the gateway can tell
}

static void what_was_confirmed_is_proved_anew(void **state)
{
	(void)state;
	const struct ur_file *file = judged(remembered(UR_CONFIRMED));
	assert_int_equal(file->state, UR_DELIVERED);
	assert_false(file->confirmed);
}

static void a_run_that_keeps_has_nothing_to_do_with_what_is_there(void **state)
{
	(void)state;
	play.options.after = UR_AFTER_KEEP;
	const struct ur_file *file = judged(remembered(UR_DELIVERED));
	assert_int_equal(file->outcome, UR_OUTCOME_PRESENT);
	assert_int_equal(file->state, UR_DELIVERED);
}

static void another_file_with_these_bytes_is_not_our_own_upload(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_DELIVERED);
	item->files->row->created = true;
	item->files->row->identity.inode++;
	assert_false(ur_file_is_ours(judged(item)));
}

static void where_inodes_mean_nothing_no_upload_is_our_own(void **state)
{
	(void)state;
	play.dir->fs.trusted = false;
	struct ur_item *item = remembered(UR_DELIVERED);
	item->files->row->created = true;
	assert_false(ur_file_is_ours(judged(item)));
}

static void other_bytes_under_an_old_name_know_nothing_of_the_old_ones(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_DELIVERED);
	item->files->unchanged = false;
	play_bytes(item->files, "other bytes");
	const struct ur_file *file = judged(item);
	assert_string_equal(file->asset, "");
	assert_true(ur_file_is_to_ask(file));
}

static void a_doubted_row_is_no_fact_until_the_doubt_is_old(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_DELIVERED);
	item->files->row->doubt = ur_age_begin();
	const struct ur_file *file = judged(item);
	assert_int_equal(file->state, UR_SUSPECT);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);

	item = remembered(UR_DELIVERED);
	item->files->row->doubt = ur_age_begin();
	play_pass(PLAY_HOUR_MS);
	file = judged(item);
	assert_true(ur_file_is_to_ask(file)); // and then for its bytes
	assert_true(file->put.doubted);
}

static void a_suspect_of_a_ledger_without_ages_waits_from_now_on(void **state)
{
	(void)state;
	const struct ur_file *file = judged(remembered(UR_SUSPECT));
	assert_int_equal(file->state, UR_SUSPECT);
	assert_true(ur_age_is_begun(&file->doubt_since));
}

static void what_was_being_sent_may_still_arrive(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_SENDING);
	item->files->row->doubt = ur_age_begin();
	item->files->row->sending_ns = 7;
	play_pass(100000);
	const struct ur_file *file = judged(item);
	assert_int_equal(file->put.state, UR_PUT_LOST);
	assert_true(file->put.doubted);
	assert_int_equal(file->lost_until_ns, ur_clock_steady_ns() + 200 * UR_SECOND_NS);
	assert_int_equal(file->sending_ns, 7);
	assert_true(ur_file_is_to_ask(file));
}

static void what_was_being_sent_when_nobody_wrote_down_is_given_the_whole_time(void **state)
{
	(void)state;
	const struct ur_file *file = judged(remembered(UR_SENDING));
	assert_int_equal(file->lost_until_ns, ur_clock_steady_ns() + 300 * UR_SECOND_NS);
	assert_true(ur_age_is_begun(&file->doubt_since));
}

static void a_failure_for_good_stays_and_another_is_tried_again(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_FAILED);
	item->files->row->for_good = true;
	item->files->row->tries = 3;
	const struct ur_file *file = judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_FAILED);
	assert_true(file->for_good);

	item = remembered(UR_FAILED);
	item->files->row->tries = 3;
	file = judged(item);
	assert_true(ur_file_is_to_ask(file));
	assert_int_equal(file->put.sends, 0);
}

static void a_timer_asks_again_also_of_what_failed_for_good_when_its_time_has_come(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_FAILED);
	item->files->row->for_good = true;
	item->files->row->tries = 3;
	play.options.respect_next = true;
	const struct ur_file *file = judged(item);
	assert_true(ur_file_is_to_ask(file));
	assert_int_equal(file->failed_before, 3);

	item = remembered(UR_FAILED);
	item->files->row->for_good = true;
	item->files->later = true;
	assert_int_equal(judged(item)->outcome, UR_OUTCOME_FAILED);
}

static void the_tries_of_a_run_that_was_stopped_are_not_this_runs(void **state)
{
	(void)state;
	static const enum ur_state states[] = {UR_PROBED, UR_WANTED, UR_SENDING, UR_BROKEN};
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		struct ur_item *item = remembered(states[i]);
		item->files->row->tries = 5;
		assert_int_equal(judged(item)->put.sends, 0);
	}
}

static void a_failure_whose_time_has_not_come_waits(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_FAILED);
	item->files->later = true;
	item->files->row->tries = 3;
	item->files->row->next_ns = 77;
	const struct ur_file *file = judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_FAILED);
	assert_int_equal(file->tries, 3);
	assert_int_equal(file->next_ns, 77);

	item = remembered(UR_BROKEN);
	item->files->later = true;
	item->files->row->next_ns = 77;
	file = judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_FAILED);
	assert_int_equal(file->state, UR_BROKEN);
	assert_int_equal(file->next_ns, 77);
	assert_true(ur_file_is_to_ask(judged(remembered(UR_BROKEN))));
}

static void a_failure_that_is_not_read_before_its_time_stays_as_it_was(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_FAILED);
	item->files->later = true;
	item->files->hashed =
		false; // its identity was not settled, so that nothing is believed of it
	item->files->row->remembered = false;
	item->files->row->tries = 3;
	item->files->row->next_ns = 77;
	const struct ur_file *file = judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_FAILED);
	assert_int_equal(file->tries, 3);
	assert_int_equal(file->next_ns, 77);
	assert_true(file->hashed);
	assert_false(file->remembered);
}

static void pauses_grow_from_run_to_run(void **state)
{
	(void)state;
	struct ur_item *item = remembered(UR_FAILED);
	item->files->row->tries = 3;
	struct ur_file *file = (struct ur_file *)judged(item);
	assert_int_equal(file->put.sends, 0); // this run has all its tries
	file->tries = 1;
	ur_file_close_failed(file, false);
	assert_int_equal(file->tries, 4);

	item = play_item("a.jpg");
	item->files->error = -EIO;
	struct ur_record *row = play_remember(item->files, UR_FAILED);
	row->tries = 2;
	file = (struct ur_file *)judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_FAILED);
	assert_int_equal(file->tries, 3);
	assert_true(file->next_ns > ur_clock_wall_ns());
}

static void the_bytes_of_a_file_that_went_away_are_news_when_they_come_back(void **state)
{
	(void)state;
	const struct ur_file *file = judged(remembered(UR_SETTLED));
	assert_true(ur_file_is_to_ask(file));
	assert_string_equal(file->asset, "");
}

static void who_is_not_quiet_waits_with_its_group_and_what_is_known_of_it_stays(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg a.mov");
	item->files[0].young = true;
	struct ur_record *row = play_remember(&item->files[1], UR_DELIVERED);
	memcpy(row->asset, PLAY_ASSET, sizeof row->asset);
	row->created = row->travelled = true;
	row->doubt = ur_age_begin();
	row->tries = 2;
	row->next_ns = 77;
	play_bytes(&item->files[1], "not read in this run");
	item->files[1].identity = row->identity;
	item->files[1].hashed = item->files[1].remembered = false;
	(void)judged(item);

	assert_true(item->files[1].hashed && item->files[1].remembered);
	assert_memory_equal(item->files[1].sha1, row->sha1, sizeof row->sha1);
	assert_memory_equal(item->files[1].xxh, row->xxh, sizeof row->xxh);
	assert_string_equal(item->files[1].asset, PLAY_ASSET);
	assert_true(item->files[1].travelled);
	assert_int_equal(item->files[1].tries, 2);
	assert_int_equal(item->files[1].next_ns, 77);

	assert_int_equal(item->files[0].state, UR_SEEN);
	assert_int_equal(item->files[0].outcome, UR_OUTCOME_WAITING);
	assert_int_equal(item->files[1].state, UR_DELIVERED);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
	assert_true(item->files[1].created);
	assert_true(ur_age_is_begun(&item->files[1].doubt_since));
}

static void a_sidecar_finds_its_picture_and_the_longer_name_goes_first(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg a.xmp a.jpg.xmp");
	(void)judged(item);
	assert_int_equal(item->files[0].sidecar, 2);
	assert_int_equal(item->files[2].owners, 1);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_REFUSED);
	assert_non_null(strstr(item->files[1].reason, "goes before it"));

	item = play_item("a.jpg a.jpg.xmp a.xmp"); // in whatever order they come
	(void)judged(item);
	assert_int_equal(item->files[0].sidecar, 1);

	item = play_item("a.jpg A.jpg.xmp a.jpg.xmp"); // and of one spelling
	(void)judged(item);
	assert_int_equal(item->files[0].sidecar, 2);
	item = play_item("a.jpg a.jpg.xmp A.jpg.xmp");
	(void)judged(item);
	assert_int_equal(item->files[0].sidecar, 1);
}

static void one_sidecar_may_have_two_pictures(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg a.raw a.xmp");
	(void)judged(item);
	assert_int_equal(item->files[2].owners, 3);
	assert_true(ur_file_is_open(&item->files[2]));
}

static void a_sidecar_without_its_picture_is_refused_until_that_comes(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.xmp");
	const struct ur_file *file = judged(item);
	assert_int_equal(file->outcome, UR_OUTCOME_REFUSED);
	assert_false(file->for_good);

	item = play_item("b.jpg b.xmp");
	(void)play_remember(&item->files[1], UR_REFUSED);
	(void)judged(item);
	assert_true(ur_file_is_open(&item->files[1]));
}

static void a_movie_with_the_id_of_a_still_is_its_own(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg a.mov");
	(void)judged(item);
	assert_int_equal(item->files[0].movie, 1);
	assert_int_equal(item->files[1].still, 0);
}

static void a_still_has_one_movie(void **state)
{
	(void)state;
	struct ur_item *item = play_item("a.jpg a.mov A.mov");
	(void)judged(item);
	assert_int_equal(item->files[0].movie, 1); // of its own spelling
	assert_int_equal(item->files[2].still, UR_NONE);
}

/** A sidecar whose two pictures ended thus. */
static const struct ur_file *sidecar_of(enum ur_outcome first, enum ur_outcome second)
{
	struct ur_item *item = play_candidate("a.jpg a.raw a.xmp");
	item->files[2].owners = 3;
	play_sent(&item->files[0]);
	play_sent(&item->files[1]);
	item->files[0].outcome = first;
	item->files[1].outcome = second;
	ur_judge_sidecars(play.c, item);
	return &item->files[2];
}

static void a_sidecar_has_travelled_when_all_its_pictures_were_sent(void **state)
{
	(void)state;
	const struct ur_file *all = sidecar_of(UR_OUTCOME_SENT, UR_OUTCOME_SENT);
	assert_true(all->travelled);
	assert_string_equal(all->asset, PLAY_ASSET);
	const struct ur_file *half = sidecar_of(UR_OUTCOME_SENT, UR_OUTCOME_PRESENT);
	assert_false(half->travelled);
	assert_int_equal(half->outcome, UR_OUTCOME_SENT);
	const struct ur_file *there = sidecar_of(UR_OUTCOME_PRESENT, UR_OUTCOME_FAILED);
	assert_false(there->travelled);
	assert_int_equal(there->outcome, UR_OUTCOME_PRESENT);
	assert_string_equal(there->asset, PLAY_ASSET);
}

static void a_sidecar_waits_with_its_picture_or_is_refused_with_it(void **state)
{
	(void)state;
	assert_int_equal(
		sidecar_of(UR_OUTCOME_WAITING, UR_OUTCOME_FAILED)->outcome, UR_OUTCOME_WAITING);
	assert_int_equal(
		sidecar_of(UR_OUTCOME_FAILED, UR_OUTCOME_REFUSED)->outcome, UR_OUTCOME_REFUSED);
}

static void in_a_plan_no_sidecar_has_travelled(void **state)
{
	(void)state;
	play.options.plan = true;
	const struct ur_file *file = sidecar_of(UR_OUTCOME_SENT, UR_OUTCOME_SENT);
	assert_false(file->travelled);
	assert_int_equal(file->state, UR_WANTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(what_was_read_and_nobody_knows_is_to_be_asked_for),
		PLAYED(what_could_not_be_read_is_closed_by_its_reason),
		PLAYED(what_is_no_media_is_refused_for_good),
		PLAYED(what_a_stop_left_unread_waits),
		PLAYED(what_was_delivered_and_is_the_same_is_not_asked_for),
		PLAYED(what_is_remembered_of_these_bytes_outlives_whatever_becomes_of_them),
		PLAYED(what_is_there_without_an_age_is_young),
		PLAYED(a_row_without_an_asset_is_asked_for),
		PLAYED(what_was_refused_stays_refused_unless_it_is_a_sidecar_that_may_find_its_picture),
		PLAYED(what_is_cut_off_is_held_before_anybody_is_asked),
		PLAYED(what_was_refused_and_named_is_counted_while_it_stays_as_it_is),
		PLAYED(an_upload_that_is_known_at_a_gateway_is_recalled),
		PLAYED(what_was_confirmed_is_proved_anew),
		PLAYED(a_run_that_keeps_has_nothing_to_do_with_what_is_there),
		PLAYED(another_file_with_these_bytes_is_not_our_own_upload),
		PLAYED(where_inodes_mean_nothing_no_upload_is_our_own),
		PLAYED(other_bytes_under_an_old_name_know_nothing_of_the_old_ones),
		PLAYED(a_doubted_row_is_no_fact_until_the_doubt_is_old),
		PLAYED(a_suspect_of_a_ledger_without_ages_waits_from_now_on),
		PLAYED(what_was_being_sent_may_still_arrive),
		PLAYED(what_was_being_sent_when_nobody_wrote_down_is_given_the_whole_time),
		PLAYED(a_failure_for_good_stays_and_another_is_tried_again),
		PLAYED(a_failure_that_is_not_read_before_its_time_stays_as_it_was),
		PLAYED(pauses_grow_from_run_to_run),
		PLAYED(a_timer_asks_again_also_of_what_failed_for_good_when_its_time_has_come),
		PLAYED(the_tries_of_a_run_that_was_stopped_are_not_this_runs),
		PLAYED(a_failure_whose_time_has_not_come_waits),
		PLAYED(the_bytes_of_a_file_that_went_away_are_news_when_they_come_back),
		PLAYED(who_is_not_quiet_waits_with_its_group_and_what_is_known_of_it_stays),
		PLAYED(a_sidecar_finds_its_picture_and_the_longer_name_goes_first),
		PLAYED(one_sidecar_may_have_two_pictures),
		PLAYED(a_sidecar_without_its_picture_is_refused_until_that_comes),
		PLAYED(a_movie_with_the_id_of_a_still_is_its_own),
		PLAYED(a_still_has_one_movie),
		PLAYED(a_sidecar_has_travelled_when_all_its_pictures_were_sent),
		PLAYED(a_sidecar_waits_with_its_picture_or_is_refused_with_it),
		PLAYED(in_a_plan_no_sidecar_has_travelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
