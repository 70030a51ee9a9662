/* Who goes to settle, with whom, what is durable before, and what follows from what settle found. */
#include "tests/unit/coordinator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/** All is proved: it could go. */
static struct ur_item *proved(const char *names)
{
	struct ur_item *item = play_candidate(names);
	for (int i = 0; i < item->count; i++) {
		struct ur_file *file = &item->files[i];
		play_sent(file);
		file->meta = NULL;
		file->confirmed = file->class != UR_CLASS_SIDECAR;
		file->put.state = UR_PUT_PROVED;
	}
	return item;
}

static struct ur_item *proved_of_others(const char *names)
{
	struct ur_item *item = proved(names);
	for (int i = 0; i < item->count; i++) {
		item->files[i].now_sent = false;
		item->files[i].state = UR_KNOWN;
		item->files[i].outcome = UR_OUTCOME_PRESENT;
	}
	return item;
}

static void hand_over(struct ur_item *item)
{
	item->step = UR_STEP_CONFIRM;
	ur_handover_next(play.c, item);
}

/** Settle stands it aside and waits for the word to go. */
static struct ur_item *aside(const char *names)
{
	struct ur_item *item = proved_of_others(names);
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_SETTLE);
	assert_ptr_equal(ur_items_take(&play.c->after_commit), item);
	item->stands_aside = true;
	ur_handover_settled(play.c, item);
	assert_ptr_equal(ur_items_take(&play.c->to_again), item);
	return item;
}

static struct ur_file *settled(int result)
{
	struct ur_item *item = proved("a.jpg");
	hand_over(item);
	(void)ur_items_take(&play.c->after_commit);
	item->files->settle_result = result;
	item->files->settle_why = "settle says why";
	item->files->settle_renamed = true;
	ur_handover_settled(play.c, item);
	assert_int_equal(item->step, UR_STEP_DONE);
	assert_int_equal(play.c->in_settle, 0);
	return item->files;
}

static void nothing_stands_aside_before_that_is_durable(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg");
	ur_step_go(play.c, item, UR_STEP_CONFIRM);
	play_turn();

	assert_ptr_equal(play_next(play.c->wiring.to_settle), item);
	assert_int_equal(item->settle_do, UR_SETTLE_ASIDE);
	const struct ur_record *row = &play_durable("a.jpg")->record;
	assert_int_equal(row->state, UR_CONFIRMED);
	assert_string_equal(row->staged, item->files->staged);
	assert_string_not_equal(row->staged, "");
}

static void nothing_goes_when_the_ledger_cannot_be_written(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg");
	ur_step_go(play.c, item, UR_STEP_CONFIRM);
	play.commit_fails = -EIO;
	play_turn();

	assert_null(play_next(play.c->wiring.to_settle));
	assert_ptr_equal(play_next(play.c->wiring.free_items), item);
	assert_int_equal(play.c->in_settle, 0);
}

static void what_stands_aside_goes_back_when_the_ledger_cannot_be_written(void **state)
{
	(void)state;
	struct ur_item *item = aside("a.jpg");
	item->files->given_again = true;
	ur_step_go(play.c, item, UR_STEP_AGAIN);
	play.c->broken = true;
	play_turn();

	assert_ptr_equal(play_next(play.c->wiring.to_settle), item);
	assert_int_equal(item->settle_do, UR_SETTLE_BACK);
}

static void what_is_due_is_asked_for_one_after_the_other(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg b.jpg");
	item->files[1].confirmed = false;
	item->files[1].there_since.had_ns = PLAY_DAY_MS * UR_MS_NS;
	hand_over(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
	assert_int_equal(item->cursor, 1);
	assert_int_equal(play.c->in_settle, 0);
}

static void what_is_not_proved_does_not_go(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg");
	item->files->confirmed = false;
	item->files->not_now = true;
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_DONE);
	assert_int_equal(play.c->in_settle, 0);
}

static void what_is_proved_and_stays_for_a_reason_does_not_go(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg");
	item->files->stays = "it is young";
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_DONE);
}

static void a_live_photo_goes_together_or_stays_together(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg a.mov");
	item->files[0].movie = 1;
	item->files[1].still = 0;
	item->files[1].confirmed = false;
	item->files[1].not_now = true;
	hand_over(item);

	assert_int_equal(item->step, UR_STEP_DONE);
	assert_true(item->files[0].not_now);
	assert_non_null(strstr(item->files[0].reason, "others of its group"));
}

static void what_is_no_media_or_has_gone_keeps_nobody(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct ur_item *item = proved("a.jpg a.mov");
		struct ur_file *other = &item->files[1];
		item->files[0].movie = 1;
		other->still = 0;
		other->confirmed = false;
		other->not_now = true;
		ur_file_close(other, UR_REFUSED, UR_OUTCOME_REFUSED, "no media");
		other->for_good = i == 0;
		other->judgement = i == 1 ? UR_JUDGE_REFUSE : other->judgement;
		other->outcome = i == 2 ? UR_OUTCOME_VANISHED : other->outcome;
		hand_over(item);
		assert_int_equal(item->files[0].state, UR_CONFIRMED);
		(void)ur_items_take(&play.c->after_commit);
	}
}

static struct ur_item *with_sidecar(void)
{
	struct ur_item *item = proved("a.jpg a.jpg.xmp");
	item->files[0].sidecar = 1;
	item->files[1].owners = 1;
	item->files[1].travelled = true;
	return item;
}

static void a_sidecar_goes_with_the_picture_that_it_travelled_with(void **state)
{
	(void)state;
	struct ur_item *item = with_sidecar();
	hand_over(item);
	assert_int_equal(item->files[0].state, UR_CONFIRMED);
	assert_int_equal(item->files[1].state, UR_CONFIRMED);
}

static void a_sidecar_that_did_not_travel_stays_beside_nothing(void **state)
{
	(void)state;
	struct ur_item *item = with_sidecar();
	item->files[1].travelled = false;
	hand_over(item);
	assert_int_equal(item->files[0].state, UR_CONFIRMED);
	assert_int_equal(item->files[1].state, UR_DELIVERED);
}

static void a_sidecar_that_travelled_with_another_asset_stays(void **state)
{
	(void)state;
	struct ur_item *item = with_sidecar();
	memcpy(item->files[1].asset, PLAY_OTHER, sizeof item->files[1].asset);
	hand_over(item);
	assert_false(item->files[1].travelled);
	assert_int_equal(item->files[1].state, UR_DELIVERED);
}

static void a_sidecar_waits_for_all_its_pictures(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg a.raw a.xmp");
	item->files[2].owners = 3;
	item->files[2].travelled = true;
	item->files[1].confirmed = false;
	item->files[1].not_now = true;
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_DONE);
	assert_false(item->files[2].confirmed);
}

static void a_sidecar_that_is_moved_need_not_have_travelled(void **state)
{
	(void)state;
	play.options.after = UR_AFTER_MOVE;
	struct ur_item *item = with_sidecar();
	item->files[1].travelled = false;
	hand_over(item);
	assert_int_equal(item->files[1].state, UR_CONFIRMED);
}

static void who_is_not_ours_is_asked_for_again_while_it_stands_aside(void **state)
{
	(void)state;
	struct ur_item *item = aside("a.jpg");
	ur_handover_again(play.c, item);

	assert_int_equal(item->files->put.state, UR_PUT_ASIDE);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET "/original");
	assert_int_equal(play.c->in_settle, 0);
	(void)play_original(206, "bytes 4-4/5", "g");
	ur_confirm_answered(play.c, item);
	assert_ptr_equal(ur_items_take(&play.c->to_again), item);
	ur_handover_again(play.c, item);
	assert_int_equal(item->settle_do, UR_SETTLE_REMOVE);
}

static void our_own_201_is_not_asked_for_again(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg");
	hand_over(item);
	assert_false(item->files->ask_again);
	assert_int_equal(play.c->aside, 0);
}

static void one_that_was_not_given_again_takes_all_back(void **state)
{
	(void)state;
	struct ur_item *item = aside("a.jpg b.jpg");
	item->files[0].given_again = true;
	item->files[1].not_now = true;
	ur_handover_again(play.c, item);
	assert_int_equal(item->settle_do, UR_SETTLE_BACK);
}

static void nobody_stands_aside_for_a_server_that_is_away_or_a_run_that_stops(void **state)
{
	(void)state;
	struct ur_item *item = aside("a.jpg");
	ur_outage_doubt(play.c);
	ur_handover_again(play.c, item);
	assert_int_equal(item->settle_do, UR_SETTLE_BACK);
	assert_ptr_equal(ur_items_take(&play.c->after_commit), item);

	play.c->outage.on = false;
	item = aside("b.jpg");
	atomic_store(&play.run.stop, true);
	ur_handover_again(play.c, item);
	assert_int_equal(item->settle_do, UR_SETTLE_BACK);
}

static void only_so_many_stand_aside_at_once(void **state)
{
	(void)state;
	play.c->aside = 64;
	struct ur_item *item = proved_of_others("a.jpg");
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_CONFIRM);
	assert_string_equal(item->files->staged, "");

	item = proved("b.jpg"); // which asks nothing while it stands there
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_SETTLE);
}

static void a_place_aside_is_free_again_when_it_is_settled(void **state)
{
	(void)state;
	struct ur_item *item = aside("a.jpg");
	assert_int_equal(play.c->aside, 1);
	item->files->given_again = true;
	ur_handover_again(play.c, item);
	(void)ur_items_take(&play.c->after_commit);
	item->stands_aside = false;
	ur_handover_settled(play.c, item);
	assert_int_equal(play.c->aside, 0);
}

/** It is due, and not even asked about. */
static void is_kept(struct ur_item *item)
{
	item->files->confirmed = false;
	item->files->there_since.had_ns = PLAY_DAY_MS * UR_MS_NS;
	hand_over(item);
	assert_int_equal(play.asked_count, 0);
	assert_true(item->files->not_now && item->files->warn);
	assert_int_equal(item->step, UR_STEP_DONE);
}

static void nothing_is_asked_of_a_server_that_gives_nothing(void **state)
{
	(void)state;
	play.c->library_away = true;
	is_kept(proved("a.jpg"));
	play.c->library_away = false;
	play.c->strangers = true;
	is_kept(proved("b.jpg"));
	play.c->strangers = false;
	play.c->may_not_read = true;
	is_kept(proved("c.jpg"));
}

static void a_file_that_was_named_in_a_library_of_the_servers_is_kept(void **state)
{
	(void)state;
	play.dir->root->loose = true;
	ur_text_adds(&play.run.libraries, "[{\"importPaths\":[\"/pictures\"]}]");
	is_kept(proved("a.jpg"));

	play.options.no_library = true;
	struct ur_item *item = proved("b.jpg");
	hand_over(item);
	assert_int_equal(item->step, UR_STEP_SETTLE);
	ur_text_done(&play.run.libraries);
}

static void a_file_is_kept_when_one_that_may_belong_to_it_was_not_named_with_it(void **state)
{
	(void)state;
	char path[] = "/tmp/test_coordinator_handover.XXXXXX";
	assert_non_null(mkdtemp(path));
	play.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)close(openat(play.dir_fd, "a.xmp", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	struct ur_item *item = proved("a.jpg");
	play.dir->root->loose = true;
	is_kept(item);
	assert_non_null(strstr(item->files->reason, "'a.xmp'"));
	(void)unlinkat(play.dir_fd, "a.xmp", 0);
	(void)close(play.dir_fd);
	(void)rmdir(path);
}

static void a_group_that_does_not_fit_into_an_item_is_kept(void **state)
{
	(void)state;
	struct ur_item *item = proved("a.jpg");
	item->split = true;
	is_kept(item);
}

static void where_to_is_said_once_before_the_first_goes(void **state)
{
	(void)state;
	play.options.key_from = "a file";
	play.options.http.server = "http://server";
	hand_over(proved("a.jpg"));
	assert_non_null(strstr(play.said, "removing what is proved to be at http://server"));
	play.said[0] = '\0';
	hand_over(proved("b.jpg"));
	assert_string_equal(play.said, "");
}

static void what_went_is_settled(void **state)
{
	(void)state;
	const struct ur_file *file = settled(0);
	assert_int_equal(file->state, UR_SETTLED);
	assert_string_equal(file->staged, "");
	assert_int_equal(file->settled_ns, ur_clock_wall_ns());
	assert_int_equal(atomic_load(&play.run.kept), 0);
}

static void what_changed_meanwhile_is_looked_at_again(void **state)
{
	(void)state;
	const struct ur_file *file = settled(-ESTALE);
	assert_int_equal(file->state, UR_SEEN);
	assert_false(file->remembered);
}

static void what_could_not_go_is_delivered_and_counted(void **state)
{
	(void)state;
	const struct ur_file *file = settled(-EACCES);
	assert_int_equal(file->state, UR_DELIVERED);
	assert_true(file->warn);
	assert_string_equal(file->reason, "settle says why");
	assert_false(file->remembered); // our rename changed its times
	assert_string_equal(file->staged, "");
	assert_int_equal(atomic_load(&play.run.kept), 1);
}

static void what_stands_in_the_staging_folder_still_has_its_name_there(void **state)
{
	(void)state;
	const struct ur_file *file = settled(UR_SETTLE_STUCK);
	assert_string_not_equal(file->staged, "");
	assert_int_equal(file->state, UR_CONFIRMED);
	assert_true(file->warn);
	assert_string_equal(file->reason, "settle says why");
}

static void what_somebody_else_took_away_counts_once(void **state)
{
	(void)state;
	struct ur_item *item = aside("a.jpg b.jpg");
	for (int i = 0; i < 2; i++) {
		item->files[i].given_again = true;
		item->files[i].settle_result = UR_SETTLE_GONE;
		item->files[i].settle_why = "it is gone";
	}
	item->files[1].now_sent = true; // by this run, which says so
	item->files[1].outcome = UR_OUTCOME_SENT;
	ur_handover_again(play.c, item);
	(void)ur_items_take(&play.c->after_commit);
	item->stands_aside = false;
	ur_handover_settled(play.c, item);
	assert_int_equal(item->files[0].outcome, UR_OUTCOME_VANISHED);
	assert_int_equal(play_row("a.jpg")->record.state, UR_DELIVERED);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_SENT);
	assert_int_equal(atomic_load(&play.run.kept), 0);
	assert_false(item->counts_aside);
}

static void what_somebody_writes_to_waits_and_is_no_failure(void **state)
{
	(void)state;
	const struct ur_file *file = settled(UR_REMOVAL_WAITS);
	assert_int_equal(file->state, UR_DELIVERED);
	assert_false(file->warn);
	assert_int_equal(atomic_load(&play.run.kept), 0);
	assert_int_equal(atomic_load(&play.run.unquiet), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(nothing_stands_aside_before_that_is_durable),
		PLAYED(nothing_goes_when_the_ledger_cannot_be_written),
		PLAYED(what_stands_aside_goes_back_when_the_ledger_cannot_be_written),
		PLAYED(what_is_due_is_asked_for_one_after_the_other),
		PLAYED(what_is_not_proved_does_not_go),
		PLAYED(what_is_proved_and_stays_for_a_reason_does_not_go),
		PLAYED(a_live_photo_goes_together_or_stays_together),
		PLAYED(what_is_no_media_or_has_gone_keeps_nobody),
		PLAYED(a_sidecar_goes_with_the_picture_that_it_travelled_with),
		PLAYED(a_sidecar_that_did_not_travel_stays_beside_nothing),
		PLAYED(a_sidecar_that_travelled_with_another_asset_stays),
		PLAYED(a_sidecar_waits_for_all_its_pictures),
		PLAYED(a_sidecar_that_is_moved_need_not_have_travelled),
		PLAYED(who_is_not_ours_is_asked_for_again_while_it_stands_aside),
		PLAYED(our_own_201_is_not_asked_for_again),
		PLAYED(one_that_was_not_given_again_takes_all_back),
		PLAYED(nobody_stands_aside_for_a_server_that_is_away_or_a_run_that_stops),
		PLAYED(only_so_many_stand_aside_at_once),
		PLAYED(a_place_aside_is_free_again_when_it_is_settled),
		PLAYED(nothing_is_asked_of_a_server_that_gives_nothing),
		PLAYED(a_file_that_was_named_in_a_library_of_the_servers_is_kept),
		PLAYED(a_file_is_kept_when_one_that_may_belong_to_it_was_not_named_with_it),
		PLAYED(a_group_that_does_not_fit_into_an_item_is_kept),
		PLAYED(where_to_is_said_once_before_the_first_goes),
		PLAYED(what_went_is_settled),
		PLAYED(what_changed_meanwhile_is_looked_at_again),
		PLAYED(what_could_not_go_is_delivered_and_counted),
		PLAYED(what_stands_in_the_staging_folder_still_has_its_name_there),
		PLAYED(what_somebody_else_took_away_counts_once),
		PLAYED(what_somebody_writes_to_waits_and_is_no_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
