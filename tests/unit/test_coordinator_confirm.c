/* Promise 1, (a) and (b): nothing is proved but by an asset with these bytes that gives bytes back. */
#include "tests/unit/coordinator.h"

#include <errno.h>

#define UPLOADED ",\"originalPath\":\"/upload/x/y.jpg\""

static struct ur_item *delivered(const char *names)
{
	struct ur_item *item = play_candidate(names);
	for (int i = 0; i < item->count; i++) {
		play_sent(&item->files[i]);
		item->files[i].there_since.had_ns = PLAY_DAY_MS * UR_MS_NS;
	}
	return item;
}

static struct ur_item *known(const char *names)
{
	struct ur_item *item = play_candidate(names);
	for (int i = 0; i < item->count; i++) {
		play_known(&item->files[i]);
	}
	return item;
}

/** The question that is due of the item's first file goes out. */
static struct ur_file *ask(struct ur_item *item)
{
	item->step = UR_STEP_CONFIRM;
	item->cursor = 0;
	ur_confirm_ask(play.c, item, item->files);
	return item->files;
}

/** (a) holds, and (b) is asked. */
static struct ur_file *ask_bytes(struct ur_item *item)
{
	struct ur_file *file = ask(item);
	(void)play_asset(file, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_int_equal(file->put.state, UR_PUT_BYTES);
	(void)ur_items_take(&play.c->to_call);
	return ask(item);
}

static const char *range_of(const struct ur_file *file)
{
	return ur_arena_format(&file->item->arena, "bytes 4-4/%d", (int)file->identity.size);
}

static void what_was_delivered_is_asked_for_unless_it_stays_here(void **state)
{
	(void)state;
	struct ur_file *file = delivered("a.jpg")->files;
	assert_true(ur_confirm_is_due(play.c, file));

	file->confirmed = true;
	assert_false(ur_confirm_is_due(play.c, file));
	file->confirmed = false;
	file->through_link = true;
	assert_false(ur_confirm_is_due(play.c, file));
	file->through_link = false;
	play.options.after = UR_AFTER_KEEP;
	assert_false(ur_confirm_is_due(play.c, file));
	file->must_confirm = true; // a suspect is, whatever is to become of it
	assert_true(ur_confirm_is_due(play.c, file));
	play.options.plan = true;
	assert_false(ur_confirm_is_due(play.c, file));
}

static void what_we_sent_just_now_is_not_asked_for_yet(void **state)
{
	(void)state;
	struct ur_file *file = delivered("a.jpg")->files;
	file->there_since = ur_age_begin();
	assert_false(ur_confirm_is_due(play.c, file));
	play_pass(60000);
	assert_true(ur_confirm_is_due(play.c, file));
}

static void a_sidecar_beside_its_picture_follows_that_one(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg a.jpg.xmp");
	struct ur_file *sidecar = &item->files[1];
	sidecar->travelled = true;
	assert_true(ur_confirm_is_due(play.c, sidecar)); // alone
	sidecar->owners = 1;
	assert_false(ur_confirm_is_due(play.c, sidecar));
	sidecar->owners = 0;
	sidecar->travelled = false;
	assert_false(ur_confirm_is_due(play.c, sidecar));
}

static void an_asset_that_gives_its_last_byte_is_a_proof(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
	(void)play_asset(file, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_false(file->confirmed);
	assert_ptr_equal(ur_items_take(&play.c->to_call), item);

	(void)ask(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET "/original");
	assert_string_equal(play_asked()->header[0], "Range: bytes=4-4");
	assert_non_null(strstr(play_asked()->header[1], "no-cache"));
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);
	assert_true(file->confirmed);
	assert_null(file->stays);
	assert_int_equal(file->confirmed_ns, ur_clock_wall_ns());
	assert_true(play.c->library_gave); // which judges those that are parked
	assert_int_equal(item->step, UR_STEP_CONFIRM);
	assert_true(play_is_in(&play.c->to_call, item));
	assert_int_equal(play.c->in_calls, 0);
}

static void a_file_whose_asset_is_known_from_before_is_proved_from_the_beginning(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	ur_put_start(&item->files->put, &play.c->rules, UR_PUT_CHECK, false);
	(void)ask(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
	assert_int_equal(item->files->put.state, UR_PUT_ASSET);
}

static void a_sidecar_alone_is_proved_by_its_picture_whatever_its_size(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.xmp");
	struct ur_file *file = ask_bytes(item);
	assert_string_equal(play_asked()->header[0], "Range: bytes=0-0");
	(void)play_original(206, "bytes 0-0/123456", "x");
	ur_confirm_answered(play.c, item);
	assert_true(file->confirmed);
}

static void another_total_size_is_no_proof(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask_bytes(item);
	(void)play_original(206, "bytes 4-4/6", "g");
	ur_confirm_answered(play.c, item);
	assert_false(file->confirmed);
}

static void a_whole_body_is_compared_and_counted(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask_bytes(item);
	(void)play_original(200, "", "a.jpg");
	ur_confirm_answered(play.c, item);
	assert_true(file->confirmed);
}

static void a_whole_body_of_other_bytes_is_broken_there(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask_bytes(item);
	(void)play_original(200, "", "b.jpg");
	ur_confirm_answered(play.c, item);

	assert_false(file->confirmed);
	assert_int_equal(file->state, UR_BROKEN);
	assert_true(file->not_now);
	assert_false(file->remembered); // perhaps it is our hash that is wrong
	assert_non_null(strstr(file->reason, PLAY_ASSET));
}

static void half_a_body_is_no_proof(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask_bytes(item);
	(void)play_original(200, "", "a.j");
	ur_confirm_answered(play.c, item);
	assert_false(file->confirmed);
}

static void with_all_bytes_asked_for_a_last_byte_is_no_proof(void **state)
{
	(void)state;
	play.options.confirm_bytes = true;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask_bytes(item);
	assert_string_equal(play_asked()->header[0], "");
	assert_true(
		play_asked()->answer_wait_ms >= play.options.answer_wait_ms); // between two pieces
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);
	assert_false(file->confirmed);
}

/** What the asset says, and what the file then is. */
static struct ur_file *says(const char *owner, const char *more)
{
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask(item);
	(void)play_asset(file, owner, more);
	ur_confirm_answered(play.c, item);
	assert_false(file->confirmed);
	assert_true(file->not_now);
	return file;
}

static void an_asset_of_somebody_else_is_no_proof(void **state)
{
	(void)state;
	assert_true(says(PLAY_OTHER, UPLOADED)->warn);
}

static void an_asset_of_an_external_library_is_no_proof(void **state)
{
	(void)state;
	assert_true(says(PLAY_USER, ",\"libraryId\":\"" PLAY_OTHER "\"")->warn);
}

static void an_asset_in_the_trash_is_no_proof(void **state)
{
	(void)state;
	assert_int_equal(says(PLAY_USER, ",\"isTrashed\":true")->state, UR_TRASHED);
}

static void an_asset_with_another_checksum_is_broken_there(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_item *other = delivered("b.jpg");
	struct ur_file *file = ask(item);
	(void)play_asset(other->files, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_int_equal(file->state, UR_BROKEN);
	assert_non_null(strstr(file->reason, PLAY_ASSET));
}

/* A 201 that some cache gave for another file's: nobody took these bytes away at the server. */
static void an_asset_of_other_bytes_is_none_of_this_file(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_item *other = delivered("b.jpg");
	struct ur_file *file = ask(item);
	struct ur_ledger_asset known = {0};
	play.options.tries_max = 5;
	ur_book_asset(play.c, file);
	(void)play_asset(other->files, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_string_equal(file->asset, "");
	assert_false(ur_book_find_asset(play.c, file, &known));
	assert_true(file->next_ns > ur_clock_wall_ns() + PLAY_HOUR_MS / 2 * UR_MS_NS);
}

static void what_went_with_it_goes_with_it_again(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_item *other = delivered("b.jpg");
	struct ur_file *file = ask(item);
	struct ur_file sidecar = *file;
	item->files[item->count] = sidecar;
	file->sidecar = (uint8_t)item->count;
	struct ur_file *beside = &item->files[item->count++];
	beside->class = UR_CLASS_SIDECAR;
	beside->travelled = true;
	(void)play_asset(other->files, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_int_equal(beside->outcome, UR_OUTCOME_WAITING);
	assert_false(beside->travelled);
	assert_string_equal(beside->asset, "");
	item->count--;
}

static void an_asset_of_other_bytes_is_not_the_one_that_a_twin_has(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_item *other = delivered("b.jpg");
	struct ur_file *file = ask(item);
	struct ur_ledger_asset known = {0};
	char own[UR_LEDGER_ASSET];
	memcpy(own, file->asset, sizeof own);
	memcpy(file->asset, PLAY_OTHER, sizeof file->asset);
	ur_book_asset(play.c, file);
	memcpy(file->asset, own, sizeof file->asset);
	(void)play_asset(other->files, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_true(ur_book_find_asset(play.c, file, &known));
	assert_string_equal(known.asset, PLAY_OTHER);
}

static void an_asset_that_immich_does_not_know_was_withdrawn(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask(item);
	(void)play_answer(400, play_no);
	ur_confirm_answered(play.c, item);
	assert_int_equal(file->state, UR_WITHDRAWN);
}

static void a_page_that_says_so_proves_nothing_and_keeps_the_file(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = item->files;
	for (int i = 0; i < 3; i++) {
		(void)ask(item);
		(void)play_page(404);
		ur_confirm_answered(play.c, item);
		(void)ur_items_take(&play.c->resting);
	}
	assert_int_equal(file->state, UR_DELIVERED);
	assert_true(file->not_now && file->warn);
	assert_int_equal(atomic_load(&play.run.kept), 1);
}

static void after_five_strangers_nothing_more_is_asked(void **state)
{
	(void)state;
	play.c->strangers_in_a_row = 4;
	struct ur_item *item = delivered("a.jpg");
	for (int i = 0; i < 3; i++) {
		(void)ask(item);
		(void)play_page(404);
		ur_confirm_answered(play.c, item);
		(void)ur_items_take(&play.c->resting);
	}
	assert_true(play.c->strangers);
	assert_non_null(strstr(play.said, "something before the server"));
}

static void rights_that_were_taken_back_say_nothing_about_a_file(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask(item);
	(void)play_answer(403, play_no);
	ur_confirm_answered(play.c, item);

	assert_int_equal(file->state, UR_DELIVERED);
	assert_true(file->not_now && file->warn);
	assert_true(play.c->may_not_read);
	assert_false(play.c->outage.on);
	assert_int_equal(play.run.result, 0);
	assert_non_null(strstr(play.said, "does not let this key read"));

	play.said[0] = '\0';
	item = delivered("b.jpg");
	(void)ask(item);
	(void)play_answer(401, play_no);
	ur_confirm_answered(play.c, item);
	assert_string_equal(play.said, "");
	assert_true(play.c->outage.on); // the key as a whole, perhaps
}

static void to_be_sent_away_for_long_ends_the_run(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	(void)ask(item);
	play_asked()->retry_after_ms = PLAY_HOUR_MS;
	(void)play_answer(429, play_no);
	ur_confirm_answered(play.c, item);
	assert_int_equal(play.run.result, -EHOSTUNREACH);
	assert_false(play.c->outage.on); // it is there
	assert_true(item->due_ns < ur_clock_steady_ns() + 60 * UR_SECOND_NS);
}

static void an_original_that_does_not_come_twice_is_parked(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask_bytes(item);
	for (int i = 0; i < 3 && item->step != UR_STEP_PARKED; i++) {
		(void)play_answer(404, play_no);
		ur_confirm_answered(play.c, item);
		if (item->step == UR_STEP_REST) {
			(void)ur_items_take(&play.c->resting);
			(void)ask(item);
		}
	}
	assert_int_equal(item->step, UR_STEP_PARKED);
	assert_int_equal(file->state, UR_DELIVERED); // nobody is judged yet
}

static void a_line_that_breaks_is_asked_again_and_puts_the_server_in_doubt(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask(item);
	(void)play_break(-ECONNRESET);
	ur_confirm_answered(play.c, item);

	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_CONFIRM);
	assert_false(file->not_now);
	assert_true(play.c->outage.on);
}

static void a_copy_that_may_be_this_very_file_is_no_proof(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	struct ur_file *file = ask(item);
	(void)play_asset(file, PLAY_USER, ",\"originalPath\":\"/mnt/pictures/a.jpg\"");
	ur_confirm_answered(play.c, item);

	assert_true(file->not_now && file->warn);
	assert_false(file->confirmed);
}

static void our_own_201_may_have_the_same_name_there(void **state)
{
	(void)state;
	struct ur_item *item = delivered("a.jpg");
	struct ur_file *file = ask(item);
	(void)play_asset(file, PLAY_USER, ",\"originalPath\":\"/mnt/pictures/a.jpg\"");
	ur_confirm_answered(play.c, item);
	assert_false(file->not_now);
}

static void what_the_server_has_not_had_for_long_is_kept_quietly(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	item->files->there_since = ur_age_begin();
	struct ur_file *file = ask(item);
	(void)play_asset(file, PLAY_USER, UPLOADED);
	ur_confirm_answered(play.c, item);

	assert_true(file->not_now);
	assert_false(file->warn);
	assert_int_equal(atomic_load(&play.run.kept), 0);
}

/** What the server says of an asset's age, and whether that lets it go on. */
static bool is_old_enough(const char *date)
{
	struct ur_item *item = known("a.jpg");
	item->files->there_since = ur_age_begin();
	struct ur_file *file = ask(item);
	struct ur_request *call = play_asked();
	call->field(call, "Server", "nginx");
	call->field(call, "date", "Mon, 01 Dec 2025 00:16:40 GMT"); // as our own clock
	call->field(call, "Date", date);
	(void)play_asset(file, PLAY_USER, ",\"createdAt\":\"2025-11-30T00:00:00.000Z\"" UPLOADED);
	ur_confirm_answered(play.c, item);
	return !file->not_now;
}

static void what_the_server_has_had_for_long_by_its_own_clock_is_old_enough(void **state)
{
	(void)state;
	assert_true(is_old_enough("Mon, 01 Dec 2025 00:16:40 GMT"));
	assert_false(is_old_enough("yesterday"));
}

static void a_date_of_an_earlier_answer_counts_for_nothing(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	item->files->there_since = ur_age_begin();
	item->call_date_ns = ur_clock_wall_ns();
	struct ur_file *file = ask(item);
	(void)play_asset(file, PLAY_USER, ",\"createdAt\":\"2025-11-30T00:00:00.000Z\"" UPLOADED);
	ur_confirm_answered(play.c, item);
	assert_true(file->not_now);
}

static void a_file_of_immichs_own_layout_is_no_proof_of_itself(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg 26dd542f-f562-4757-9dc5-eaf7d1c47147.jpg");
	item->cursor = 1;
	item->step = UR_STEP_CONFIRM;
	struct ur_file *file = &item->files[1];
	ur_confirm_ask(play.c, item, file);
	(void)play_asset(file, PLAY_USER,
		",\"originalPath\":\"/x/y/26dd542f-f562-4757-9dc5-eaf7d1c47147.jpg\"");
	ur_confirm_answered(play.c, item);
	assert_true(file->not_now && file->warn);
}

static void a_suspect_is_asked_for_its_bytes_although_it_stays(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	item->files->there_since = ur_age_begin();
	item->files->must_confirm = true;
	item->files->doubt_since = ur_age_begin();
	struct ur_file *file = ask_bytes(item);
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);

	assert_true(file->confirmed);
	assert_non_null(file->stays);
	assert_ptr_equal(file->reason, file->stays);
	assert_false(file->must_confirm);
	assert_false(ur_age_is_begun(&file->doubt_since));
}

static void a_doubt_lasts_until_the_bytes_came_while_the_file_stood_aside(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	item->files->doubt_since = ur_age_begin();
	struct ur_file *file = ask_bytes(item);
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);
	assert_true(file->confirmed);
	assert_true(ur_age_is_begun(&file->doubt_since));

	ur_put_aside(&file->put);
	item->step = UR_STEP_AGAIN;
	ur_confirm_ask(play.c, item, file);
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);
	assert_true(file->given_again);
	assert_false(ur_age_is_begun(&file->doubt_since));
	assert_int_equal(item->step, UR_STEP_AGAIN);
	assert_true(play_is_in(&play.c->to_again, item));
}

static void a_line_that_breaks_while_it_stands_aside_is_asked_again_once(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	struct ur_file *file = ask_bytes(item);
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);

	ur_put_aside(&file->put);
	for (int i = 0; i < 2; i++) {
		assert_false(file->not_now);
		item->step = UR_STEP_AGAIN;
		ur_confirm_ask(play.c, item, file);
		(void)play_break(-ECONNRESET);
		ur_confirm_answered(play.c, item);
		assert_int_equal(item->step, i == 0 ? UR_STEP_REST : UR_STEP_AGAIN);
	}
	assert_true(file->not_now);
	assert_false(play.c->outage.on); // nobody who stands aside waits for that
	assert_false(ur_age_is_begun(&file->doubt_since));
}

static void bytes_that_do_not_come_while_it_stands_aside_keep_it(void **state)
{
	(void)state;
	struct ur_item *item = known("a.jpg");
	struct ur_file *file = ask_bytes(item);
	(void)play_original(206, range_of(file), "g");
	ur_confirm_answered(play.c, item);

	ur_put_aside(&file->put);
	for (int i = 0; i < 2; i++) {
		item->step = UR_STEP_AGAIN;
		ur_confirm_ask(play.c, item, file);
		(void)play_answer(404, play_no);
		ur_confirm_answered(play.c, item);
		(void)ur_items_take(&play.c->resting);
	}
	assert_false(file->given_again);
	assert_true(file->not_now);
	assert_true(ur_age_is_begun(&file->doubt_since));
	assert_int_equal(item->step, UR_STEP_AGAIN); // and from there back to its name
	assert_false(play.c->outage.on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(what_was_delivered_is_asked_for_unless_it_stays_here),
		PLAYED(what_we_sent_just_now_is_not_asked_for_yet),
		PLAYED(a_sidecar_beside_its_picture_follows_that_one),
		PLAYED(an_asset_that_gives_its_last_byte_is_a_proof),
		PLAYED(a_file_whose_asset_is_known_from_before_is_proved_from_the_beginning),
		PLAYED(a_sidecar_alone_is_proved_by_its_picture_whatever_its_size),
		PLAYED(another_total_size_is_no_proof),
		PLAYED(a_whole_body_is_compared_and_counted),
		PLAYED(a_whole_body_of_other_bytes_is_broken_there),
		PLAYED(half_a_body_is_no_proof),
		PLAYED(with_all_bytes_asked_for_a_last_byte_is_no_proof),
		PLAYED(an_asset_of_somebody_else_is_no_proof),
		PLAYED(an_asset_of_an_external_library_is_no_proof),
		PLAYED(an_asset_in_the_trash_is_no_proof),
		PLAYED(an_asset_with_another_checksum_is_broken_there),
		PLAYED(an_asset_of_other_bytes_is_none_of_this_file),
		PLAYED(what_went_with_it_goes_with_it_again),
		PLAYED(an_asset_of_other_bytes_is_not_the_one_that_a_twin_has),
		PLAYED(an_asset_that_immich_does_not_know_was_withdrawn),
		PLAYED(a_page_that_says_so_proves_nothing_and_keeps_the_file),
		PLAYED(after_five_strangers_nothing_more_is_asked),
		PLAYED(rights_that_were_taken_back_say_nothing_about_a_file),
		PLAYED(to_be_sent_away_for_long_ends_the_run),
		PLAYED(an_original_that_does_not_come_twice_is_parked),
		PLAYED(a_line_that_breaks_is_asked_again_and_puts_the_server_in_doubt),
		PLAYED(a_copy_that_may_be_this_very_file_is_no_proof),
		PLAYED(our_own_201_may_have_the_same_name_there),
		PLAYED(what_the_server_has_not_had_for_long_is_kept_quietly),
		PLAYED(what_the_server_has_had_for_long_by_its_own_clock_is_old_enough),
		PLAYED(a_date_of_an_earlier_answer_counts_for_nothing),
		PLAYED(a_file_of_immichs_own_layout_is_no_proof_of_itself),
		PLAYED(a_suspect_is_asked_for_its_bytes_although_it_stays),
		PLAYED(a_doubt_lasts_until_the_bytes_came_while_the_file_stood_aside),
		PLAYED(a_line_that_breaks_while_it_stands_aside_is_asked_again_once),
		PLAYED(bytes_that_do_not_come_while_it_stands_aside_keep_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
