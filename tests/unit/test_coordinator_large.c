/* Large files go to a gateway in chunks, and go on there in another run; the ledger knows first. */
#include "tests/unit/coordinator.h"

#include <errno.h>

#define LARGE (4 << 20)
#define ADDRESS "uploads/1"

static struct ur_item *large(const char *names)
{
	play.options.resumable_threshold = LARGE;
	struct ur_item *item = play_candidate(names);
	item->files->identity.size = LARGE;
	return item;
}

/** An earlier run began an upload of these bytes. */
static struct play_fact *begun(const struct ur_file *file, uint64_t offset)
{
	struct play_fact *fact = play_fact(file->sha1);
	fact->has_upload = true;
	fact->upload = (struct ur_ledger_upload){
		.address = ADDRESS, .length = file->identity.size, .offset = offset, .about = 7};
	return fact;
}

/** In chunks. */
static struct ur_item *in_chunks(const char *names)
{
	struct ur_item *item = large(names);
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	ur_large_turn(play.c);
	assert_int_equal(item->step, UR_STEP_LARGE);
	assert_ptr_equal(ur_items_take(&play.c->after_commit), item);
	(void)strcpy(item->files->resume->address, ADDRESS);
	return item;
}

/** Nobody has these bytes under way any more, and the item is to be looked at again. */
static void is_through(struct ur_item *item, const struct ur_items *list)
{
	struct ur_item *other = play_candidate("same.jpg");
	memcpy(other->files->sha1, item->files->sha1, sizeof other->files->sha1);
	assert_null(ur_under_way_other(play.c, other->files));
	assert_true(play_is_in(list, item));
	assert_int_equal(play.c->in_upload, 0);
	assert_int_equal(play.c->in_large, 0);
}

static bool ends(struct ur_item *item, enum ur_transfer_end end)
{
	item->files->resume->end = end;
	return ur_large_result(play.c, item);
}

static void only_large_files_go_in_chunks_and_only_where_a_gateway_is(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	assert_true(ur_large_is(play.c, item, item->files));
	item->files->identity.size--;
	assert_false(ur_large_is(play.c, item, item->files));
	item->files->identity.size++;

	atomic_store(&play.run.no_gateway, true);
	assert_false(ur_large_is(play.c, item, item->files));
	atomic_store(&play.run.no_gateway, false);
	play.options.gateway = "off";
	assert_false(ur_large_is(play.c, item, item->files));
	play.options.gateway = NULL;
	item->files->whole = true;
	assert_false(ur_large_is(play.c, item, item->files));
}

static void a_large_sidecar_does_not_fit_into_an_uploads_metadata(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg a.xmp");
	item->files[0].sidecar = 1;
	assert_true(ur_large_is(play.c, item, item->files));
	item->files[1].identity.size = (1 << 20) + 1;
	assert_false(ur_large_is(play.c, item, item->files));
}

static void an_upload_of_these_bytes_is_gone_on_with_wherever_they_are_found(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	begun(item->files, 1000)->upload.at_ns = 8;
	ur_large_recall(play.c, item, item->files);
	assert_int_equal(item->files->resume->at_ns, 8);
	assert_string_equal(item->files->resume->address, ADDRESS);
	assert_int_equal(atomic_load(&item->files->resume->offset), 1000);
	assert_int_equal(item->files->resume->about, 7);
}

static void small_files_sidecars_and_plans_have_no_uploads(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg a.xmp");
	(void)begun(item->files, 1000);
	item->files[0].identity.size = 1000;
	ur_large_recall(play.c, item, &item->files[0]);
	assert_null(item->files[0].resume);

	(void)begun(&item->files[1], 1000);
	item->files[1].identity.size = LARGE;
	ur_large_recall(play.c, item, &item->files[1]);
	assert_null(item->files[1].resume);

	item->files[0].identity.size = LARGE;
	play.options.plan = true;
	ur_large_recall(play.c, item, &item->files[0]);
	assert_null(item->files[0].resume);
	play.options.plan = false;
	play.get_fails = -EIO;
	ur_large_recall(play.c, item, &item->files[0]);
	assert_null(item->files[0].resume);
	assert_int_equal(play.run.result, -EIO);
}

static void an_upload_of_another_length_is_not(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	begun(item->files, 1000)->upload.length++;
	ur_large_recall(play.c, item, item->files);
	assert_string_equal(item->files->resume->address, "");
}

static void the_upload_of_what_was_here_before_is_to_be_removed(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	(void)play_remember(item->files, UR_SENDING);
	struct play_fact *old = begun(item->files, 1000);
	play_bytes(item->files, "other bytes");
	ur_large_recall(play.c, item, item->files);
	assert_string_equal(item->files->resume->old, ADDRESS);
	assert_string_equal(item->files->resume->address, "");
	assert_false(old->has_upload);
}

static void what_the_server_claims_is_told_by_the_gateway_that_has_an_upload_of_it(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	assert_false(ur_large_claims(play.c, item, item->files));
	(void)begun(item->files, 1000);
	ur_large_recall(play.c, item, item->files);
	assert_true(ur_large_claims(play.c, item, item->files));
	assert_true(item->files->resume->there);
}

static void without_a_gateway_a_claim_is_in_doubt_when_all_bytes_had_gone(void **state)
{
	(void)state;
	for (uint64_t offset = LARGE - 1; offset <= LARGE; offset++) {
		struct ur_item *item = large("a.jpg");
		struct play_fact *fact = begun(item->files, offset);
		ur_large_recall(play.c, item, item->files);
		atomic_store(&play.run.no_gateway, true);
		assert_false(ur_large_claims(play.c, item, item->files));
		assert_int_equal(ur_age_is_begun(&item->files->doubt_since), offset == LARGE);
		assert_int_equal(item->files->put.doubted, offset == LARGE);
		assert_int_equal(item->files->sending_ns != 0, offset == LARGE);
		assert_null(item->files->resume);
		assert_false(fact->has_upload);
		atomic_store(&play.run.no_gateway, false);
	}
}

static void nothing_goes_to_chunks_before_its_row_is_durable(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	play_want(item, item->files);
	ur_step_go(play.c, item, UR_STEP_SEND);
	play_turn();
	assert_ptr_equal(play_next(play.c->wiring.to_chunks), item);
	assert_int_equal(play_durable("a.jpg")->record.state, UR_SENDING);
	assert_int_equal(play_durable("a.jpg")->record.sending_ns, ur_clock_wall_ns());
}

static void nothing_goes_to_chunks_when_the_ledger_cannot_be_written(void **state)
{
	(void)state;
	struct ur_item *item = large("a.jpg");
	play_want(item, item->files);
	ur_step_go(play.c, item, UR_STEP_SEND);
	play.commit_fails = -EIO;
	play_turn();
	assert_null(play_next(play.c->wiring.to_chunks));
	assert_int_equal(play.c->in_large, 0);
	assert_int_equal(play.c->in_upload, 0);
}

static void there_are_no_more_in_chunks_than_it_has_places(void **state)
{
	(void)state;
	(void)in_chunks("a.jpg");
	(void)in_chunks("b.jpg");
	struct ur_item *third = large("c.jpg");
	play_want(third, third->files);
	ur_deliver_next(play.c, third);
	ur_large_turn(play.c);
	assert_int_equal(third->files->state, UR_WANTED);
	assert_int_equal(play.c->in_large, 2);
}

static void with_one_connection_large_and_small_take_turns(void **state)
{
	(void)state;
	play.options.concurrency = 1;
	(void)in_chunks("a.jpg");
	assert_false(ur_large_leaves_room(play.c));
}

static void gigabytes_that_do_not_fit_the_quota_wait(void **state)
{
	(void)state;
	play.run.server.quota_bytes = LARGE;
	play.run.server.quota_used = 1;
	struct ur_item *item = large("a.jpg");
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	ur_large_turn(play.c);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_non_null(strstr(item->files->reason, "quota"));
	is_through(item, &play.c->to_next);
}

/** It waits for its place when something happens. */
static struct ur_item *waiting(void)
{
	struct ur_item *item = large("a.jpg");
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	assert_true(play_is_in(&play.c->to_chunk, item));
	return item;
}

static void a_stop_lets_nothing_new_go_to_chunks(void **state)
{
	(void)state;
	struct ur_item *item = waiting();
	atomic_store(&play.run.stop, true);
	ur_large_turn(play.c);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	is_through(item, &play.c->to_next);
}

static void a_quota_that_is_met_meanwhile_keeps_it(void **state)
{
	(void)state;
	struct ur_item *item = waiting();
	play.c->quota.left = 1;
	ur_large_turn(play.c);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	is_through(item, &play.c->to_next);
}

static void nothing_goes_to_chunks_while_the_server_is_away_or_its_quota_is_asked_for(void **state)
{
	(void)state;
	struct ur_item *item = waiting();
	play.c->outage.on = true;
	ur_large_turn(play.c);
	play.c->outage.on = false;
	play.c->quota.asking = true;
	ur_large_turn(play.c);
	assert_true(play_is_in(&play.c->to_chunk, item));
}

static void an_address_is_durable_before_a_byte_goes_there(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	item->files->resume->recording = true;
	item->files->resume->recorded = -EIO;          // until it is
	atomic_store(&item->files->resume->offset, 5); // of an older one
	play.c->durable = false;
	assert_false(ur_large_result(play.c, item));
	assert_int_equal(atomic_load(&item->files->resume->offset), 0);
	assert_string_equal(play_fact(item->files->sha1)->upload.address, ADDRESS);
	assert_true(play.c->durable);
	assert_int_equal(item->files->resume->recorded, 0);
	play_turn();
	assert_ptr_equal(play_next(play.c->wiring.to_chunks), item);
	assert_int_equal(play.durable.fact_count, 1);
}

static void chunks_hears_that_an_address_could_not_be_written(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	item->files->resume->recording = true;
	play.c->broken = true;
	assert_false(ur_large_result(play.c, item));
	play_turn();
	assert_ptr_equal(play_next(play.c->wiring.to_chunks), item);
	assert_int_equal(item->files->resume->recorded, -EIO);
}

static void an_end_is_what_a_direct_answer_would_have_been(void **state)
{
	(void)state;
	static const struct {
		enum ur_transfer_end end;
		enum ur_state state;
		bool upload_stays;
	} cases[] = {
		{UR_TRANSFER_CREATED, UR_DELIVERED, false},
		{UR_TRANSFER_DUPLICATE, UR_SUSPECT, false},
		{UR_TRANSFER_REFUSED, UR_FAILED, false},
		{UR_TRANSFER_CHANGED, UR_SEEN, false},
		{UR_TRANSFER_UNREAD, UR_FAILED, true},
		{UR_TRANSFER_FAILED, UR_FAILED, false},
		{UR_TRANSFER_AWAY, UR_WANTED, true},
		{UR_TRANSFER_STOPPED, UR_SENDING, true},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ur_item *item = in_chunks("a.jpg");
		struct ur_file *file = item->files;
		(void)begun(file, 1000);
		memcpy(file->asset, PLAY_ASSET, sizeof file->asset);
		file->send_result = -EIO; // what it was before means nothing, but for UNREAD
		file->send_changed = file->send_duplicate = file->send_body_gone = true;
		file->send_retry_ms = PLAY_DAY_MS;
		assert_true(ends(item, cases[i].end));
		assert_int_equal(file->resume != NULL, cases[i].upload_stays);
		ur_deliver_result(play.c, item);
		assert_int_equal(file->state, cases[i].state);
		assert_int_equal(play_fact(file->sha1)->has_upload, cases[i].upload_stays);
		assert_int_equal(play.c->in_large, 0);
		assert_int_equal(play.c->in_upload, 0);
		ur_under_way_release(play.c, file);
		play.c->outage.on = false;
	}
}

static void what_the_gateway_has_and_the_server_not_yet_is_asked_for_in_the_next_run(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	assert_false(ends(item, UR_TRANSFER_LATER));
	assert_int_equal(item->files->state, UR_SENDING);
	assert_int_equal(item->files->outcome, UR_OUTCOME_WAITING);
	assert_int_equal(play_row("a.jpg")->record.state, UR_SENDING);
	assert_string_equal(play_row("a.jpg")->reason, item->files->reason);
	assert_non_null(strstr(item->files->reason, "all of it (4"));
	assert_true(play_fact(item->files->sha1)->has_upload);
	assert_true(play.c->durable);
	is_through(item, &play.c->to_next);
}

static void what_no_gateway_takes_goes_as_one_request(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	assert_false(ends(item, UR_TRANSFER_UNUSABLE));
	assert_true(item->files->whole);
	assert_int_equal(item->files->state, UR_WANTED);
	assert_true(play_is_in(&play.c->to_next, item));
	assert_int_equal(play.c->in_upload, 0);
	assert_int_equal(item->files->sending_ns, 0);
	assert_false(ur_large_is(play.c, item, item->files));
}

static void what_no_gateway_takes_is_asked_for_first_when_all_its_bytes_were_there(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	atomic_store(&item->files->resume->offset, LARGE);
	assert_false(ends(item, UR_TRANSFER_UNUSABLE));
	assert_int_equal(item->step, UR_STEP_ASK);
	assert_true(item->files->put.doubted);
	assert_true(ur_age_is_begun(&item->files->doubt_since));
}

static void what_somebody_else_brought_is_asked_for_without_a_doubt(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	(void)begun(item->files, 1000);
	item->call_tries = 5;
	item->files->put.sends = 2;
	assert_false(ends(item, UR_TRANSFER_NEEDLESS));
	assert_true(ur_file_is_to_ask(item->files));
	assert_int_equal(item->files->put.sends, 2);
	assert_int_equal(item->call_tries, 0);
	is_through(item, &play.c->to_ask);
	assert_false(item->files->put.doubted || ur_age_is_begun(&item->files->doubt_since));
	assert_false(play_fact(item->files->sha1)->has_upload);
}

/** In doubt for a request that did not go by the gateway, or for what the gateway has of it. */
static void goes_to_chunks_in_doubt(struct ur_item *item)
{
	item->files->put.doubted = true;
	item->files->doubt_since = ur_age_begin();
	play_want(item, item->files);
	ur_deliver_next(play.c, item);
	ur_large_turn(play.c);
	assert_int_equal(item->step, UR_STEP_LARGE);
}

static void a_doubt_from_before_the_gateway_outlives_what_the_gateway_says(void **state)
{
	(void)state;
	struct ur_item *direct = large("a.jpg");
	(void)play_remember(direct->files, UR_SENDING);
	goes_to_chunks_in_doubt(direct);
	assert_int_equal(play.doubts_kept, 1);
}

static void a_doubt_about_what_the_gateway_has_ends_with_its_word(void **state)
{
	(void)state;
	struct ur_item *resumed = large("b.jpg");
	(void)begun(resumed->files, 1000);
	(void)play_remember(resumed->files, UR_SENDING);
	ur_large_recall(play.c, resumed, resumed->files);
	goes_to_chunks_in_doubt(resumed);
	assert_int_equal(play.doubts_kept, 0);
}

static void what_nobody_can_tell_of_is_asked_for_in_doubt(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	assert_false(ends(item, UR_TRANSFER_LOST));
	assert_int_equal(item->step, UR_STEP_ASK);
	assert_int_equal(item->files->put.state, UR_PUT_LOST);
	assert_int_equal(item->files->lost_until_ns, ur_clock_steady_ns()); // it is there
	assert_true(ur_age_is_begun(&item->files->doubt_since));
}

static void how_far_it_came_is_noted_now_and_then(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	atomic_store(&item->files->resume->offset, 1000);
	ur_large_note(play.c);
	assert_int_equal(play_fact(item->files->sha1)->upload.offset, 1000);
	atomic_store(&item->files->resume->offset, 2000);
	ur_large_note(play.c);
	assert_int_equal(play_fact(item->files->sha1)->upload.offset, 1000);
	play_pass(2000);
	ur_large_note(play.c);
	assert_int_equal(play_fact(item->files->sha1)->upload.offset, 2000);
	assert_int_not_equal(play.c->dirty_since_ns, 0);

	play_fact(item->files->sha1)->has_upload = false;
	play_pass(2000);
	ur_large_note(play.c); // and not when it has not got on
	assert_false(play_fact(item->files->sha1)->has_upload);
}

static void what_has_left_chunks_is_not_noted_any_more(void **state)
{
	(void)state;
	struct ur_item *item = in_chunks("a.jpg");
	struct ur_item *other = in_chunks("b.jpg");
	assert_true(ends(item, UR_TRANSFER_AWAY));
	atomic_store(&item->files->resume->offset, 1000);
	atomic_store(&other->files->resume->offset, 2000);
	play_fact(item->files->sha1)->has_upload = false;
	play_pass(2000);
	ur_large_note(play.c);
	assert_false(play_fact(item->files->sha1)->has_upload);
	assert_int_equal(play_fact(other->files->sha1)->upload.offset, 2000);
}

static void what_a_413_taught_is_remembered(void **state)
{
	(void)state;
	play.options.gateway = "http://gateway";
	atomic_store(&play.run.chunk_ceiling, 1000000);
	ur_large_turn(play.c);
	assert_int_equal(play.learned, 1000000);
	play.learned = 0;
	ur_large_turn(play.c); // once
	assert_int_equal(play.learned, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(only_large_files_go_in_chunks_and_only_where_a_gateway_is),
		PLAYED(a_large_sidecar_does_not_fit_into_an_uploads_metadata),
		PLAYED(an_upload_of_these_bytes_is_gone_on_with_wherever_they_are_found),
		PLAYED(small_files_sidecars_and_plans_have_no_uploads),
		PLAYED(an_upload_of_another_length_is_not),
		PLAYED(the_upload_of_what_was_here_before_is_to_be_removed),
		PLAYED(what_the_server_claims_is_told_by_the_gateway_that_has_an_upload_of_it),
		PLAYED(without_a_gateway_a_claim_is_in_doubt_when_all_bytes_had_gone),
		PLAYED(nothing_goes_to_chunks_before_its_row_is_durable),
		PLAYED(nothing_goes_to_chunks_when_the_ledger_cannot_be_written),
		PLAYED(there_are_no_more_in_chunks_than_it_has_places),
		PLAYED(with_one_connection_large_and_small_take_turns),
		PLAYED(gigabytes_that_do_not_fit_the_quota_wait),
		PLAYED(a_stop_lets_nothing_new_go_to_chunks),
		PLAYED(a_quota_that_is_met_meanwhile_keeps_it),
		PLAYED(nothing_goes_to_chunks_while_the_server_is_away_or_its_quota_is_asked_for),
		PLAYED(an_address_is_durable_before_a_byte_goes_there),
		PLAYED(chunks_hears_that_an_address_could_not_be_written),
		PLAYED(an_end_is_what_a_direct_answer_would_have_been),
		PLAYED(what_the_gateway_has_and_the_server_not_yet_is_asked_for_in_the_next_run),
		PLAYED(what_no_gateway_takes_goes_as_one_request),
		PLAYED(what_no_gateway_takes_is_asked_for_first_when_all_its_bytes_were_there),
		PLAYED(what_somebody_else_brought_is_asked_for_without_a_doubt),
		PLAYED(a_doubt_from_before_the_gateway_outlives_what_the_gateway_says),
		PLAYED(a_doubt_about_what_the_gateway_has_ends_with_its_word),
		PLAYED(what_nobody_can_tell_of_is_asked_for_in_doubt),
		PLAYED(how_far_it_came_is_noted_now_and_then),
		PLAYED(what_has_left_chunks_is_not_noted_any_more),
		PLAYED(what_a_413_taught_is_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
