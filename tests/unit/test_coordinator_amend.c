/* A sidecar's facts are set where the server has none, after its own extraction, and nowhere else. */
#include "tests/unit/coordinator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define EXTRACTED ",\"thumbhash\":\"x\""

static const char xmp[] =
	"<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
	"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
	"<rdf:Description rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' "
	"xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:DateTimeOriginal='2024-05-06T07:08:09Z' "
	"exif:GPSLatitude='48,30.0N' exif:GPSLongitude='9,0.0E' "
	"xmlns:dc='http://purl.org/dc/elements/1.1/' xmp:Rating='4'>"
	"<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>a tree</rdf:li></rdf:Alt>"
	"</dc:description><dc:subject><rdf:Bag><rdf:li>green</rdf:li></rdf:Bag></dc:subject>"
	"</rdf:Description></rdf:RDF></x:xmpmeta>";

static char folder[] = "/tmp/test_coordinator_amend.XXXXXX";

/** The picture was there; its sidecar lies in the folder, with `bytes`. */
static struct ur_item *beside(const char *bytes)
{
	struct ur_item *item = play_candidate("a.jpg a.jpg.xmp");
	item->files[0].sidecar = 1;
	item->files[1].owners = 1;
	play_known(&item->files[0]);
	play_bytes(&item->files[1], xmp);
	const int fd =
		openat(play.dir_fd, "a.jpg.xmp", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	(void)close(fd);
	return item;
}

static int set_up(void **state)
{
	const int r = play_set_up(state);
	(void)strcpy(folder + sizeof folder - 7, "XXXXXX");
	play.dir_fd =
		mkdtemp(folder) == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return r < 0 || play.dir_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)unlinkat(play.dir_fd, "a.jpg.xmp", 0);
	(void)close(play.dir_fd);
	(void)rmdir(folder);
	return play_tear_down(state);
}

static void goes_on(struct ur_item *item)
{
	(void)ur_items_take(&play.c->to_call);
	item->step = UR_STEP_AMEND;
	ur_amend_next(play.c, item);
}

static void asset_says(struct ur_item *item, const char *more)
{
	(void)play_asset(&item->files[0], PLAY_USER, more);
	ur_amend_answered(play.c, item);
}

static void answers(struct ur_item *item, int status, const char *json)
{
	(void)play_answer(status, json);
	ur_amend_answered(play.c, item);
}

static void who_has_nothing_to_add_is_confirmed(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_known(item->files);
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_CONFIRM);
	assert_int_equal(play.asked_count, 0);
}

static void a_sidecar_that_travels_with_its_picture_is_not_set(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	play_sent(&item->files[0]);
	goes_on(item);
	assert_int_equal(play.asked_count, 0);
	assert_true(item->files[1].travelled);
}

static void what_the_server_lacks_is_set(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	assert_string_equal(play_question(), "GET /api/assets/" PLAY_ASSET);
	asset_says(item, EXTRACTED);
	assert_string_equal(play_question(), "PUT /api/assets");
	assert_string_equal(play_body(),
		"{\"ids\":[\"" PLAY_ASSET "\"],\"dateTimeOriginal\":\"2024-05-06T07:08:09.000Z\","
		"\"latitude\":48.5000000,\"longitude\":9.0000000,\"description\":\"a tree\","
		"\"rating\":4}");
	answers(item, 200, "{}");
	assert_string_equal(play_question(), "PUT /api/tags");
	answers(item, 200, "[{\"id\":\"" PLAY_OTHER "\"}]");
	assert_string_equal(play_question(), "PUT /api/tags/assets");
	assert_string_equal(
		play_body(), "{\"assetIds\":[\"" PLAY_ASSET "\"],\"tagIds\":[\"" PLAY_OTHER "\"]}");
	answers(item, 200, "{}");
	assert_true(item->files[0].amended);
	assert_true(play_is_in(&play.c->to_call, item));
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_CONFIRM);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_PRESENT);
	assert_int_equal(play.c->in_calls, 0);
}

static void what_the_server_has_stays(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item,
		",\"exifInfo\":{\"description\":\"mine\",\"rating\":1,\"fileSizeInByte\":1,"
		"\"dateTimeOriginal\":\"2001-01-01T00:00:00.000Z\",\"latitude\":1,\"longitude\":2},"
		"\"tags\":[{\"id\":\"" PLAY_OTHER "\"}]" EXTRACTED);
	assert_int_equal(play.asked_count, 0);
	assert_true(item->files[0].amended);
}

static void the_servers_own_extraction_is_waited_for_and_not_for_ever(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	for (int i = 0; i < 44; i++) {
		goes_on(item);
		asset_says(item, "");
		assert_int_equal(item->step, UR_STEP_REST);
		assert_int_equal(item->after_rest, UR_STEP_AMEND);
		(void)ur_items_take(&play.c->resting);
	}
	goes_on(item);
	asset_says(item, "");
	assert_string_equal(play_question(), "PUT /api/assets");
}

static void what_broke_off_goes_on_where_it_was(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item, EXTRACTED);
	static const char *const questions[] = {
		"PUT /api/assets", "PUT /api/tags", "PUT /api/tags/assets"};
	for (int i = 0; i < 3; i++) {
		assert_string_equal(play_question(), questions[i]);
		(void)play_break(-ECONNRESET);
		ur_amend_answered(play.c, item);
		(void)ur_items_take(&play.c->resting);
		goes_on(item);
		assert_string_equal(play_question(), questions[i]);
		answers(item, 200, "[{\"id\":\"" PLAY_OTHER "\"}]");
	}
	assert_true(item->files[0].amended);
	assert_int_equal(item->call_tries, 0);
	assert_int_equal(item->call_phase, 0);
}

static void an_answer_without_sense_keeps_the_sidecar_waiting(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	answers(item, 200, "{}");
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
	assert_true(item->files[0].amended); // and nobody asks again
	assert_true(play_is_in(&play.c->to_call, item));
}

static void tags_that_the_server_does_not_name_are_nobodys(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item, EXTRACTED);
	answers(item, 200, "{}");
	answers(item, 200, "[]");
	assert_int_equal(play.asked_count, 0);
	assert_true(item->files[0].amended);
}

static void what_may_still_grow_is_held_before_it_is_proved(void **state)
{
	(void)state;
	struct ur_item *item = play_candidate("a.jpg");
	play_sent(item->files);
	item->files->ending = UR_ENDING_CUT;
	goes_on(item);
	assert_int_equal(item->step, UR_STEP_CONFIRM);
	assert_true(item->files->not_now);
}

static void the_picture_that_is_asked_about_is_the_one_with_a_sidecar(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	item->cursor = 1; // of an earlier step
	goes_on(item);
	assert_int_equal(item->cursor, 0);
	(void)play_break(-ECANCELED);
}

static void a_sidecar_that_changed_meanwhile_waits_for_the_next_run(void **state)
{
	(void)state;
	char other[sizeof xmp];
	memcpy(other, xmp, sizeof xmp);
	*strstr(other, "tree") = 'T';
	struct ur_item *item = beside(other);
	goes_on(item);
	asset_says(item, EXTRACTED);
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
}

static void without_the_rights_the_sidecar_waits(void **state)
{
	(void)state;
	play.run.server.may_update = false;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
	assert_non_null(strstr(item->files[1].reason, "asset.update"));
}

static void tags_need_a_right_of_their_own(void **state)
{
	(void)state;
	play.run.server.may_tag = false;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item, EXTRACTED);
	answers(item, 200, "{}");
	assert_int_equal(play.asked_count, 0);
	assert_true(item->files[0].amended);
}

static void tags_are_made_by_one_item_at_a_time(void **state)
{
	(void)state;
	play.c->tagging = true;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item, EXTRACTED);
	answers(item, 200, "{}");
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(item->step, UR_STEP_REST);
	(void)ur_items_take(&play.c->resting);

	play.c->tagging = false;
	goes_on(item);
	assert_string_equal(play_question(), "PUT /api/tags");
	assert_true(play.c->tagging);
	answers(item, 400, play_no);
	assert_false(play.c->tagging); // also when it is refused
}

static void a_refusal_is_the_sidecars_reason_to_wait(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item, EXTRACTED);
	answers(item, 400, play_no);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
	assert_non_null(strstr(item->files[1].reason, "would not take its facts"));
	assert_int_equal(item->files[0].outcome, UR_OUTCOME_PRESENT);
}

static void a_page_that_says_yes_has_set_nothing(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	asset_says(item, EXTRACTED);
	(void)play_page(200);
	ur_amend_answered(play.c, item);
	assert_int_equal(item->files[1].outcome, UR_OUTCOME_WAITING);
	assert_int_equal(item->files[1].state, UR_PROBED);
	assert_true(item->files[1].trouble);
}

static void a_line_that_breaks_is_tried_again(void **state)
{
	(void)state;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	(void)play_break(-ECONNRESET);
	ur_amend_answered(play.c, item);
	assert_int_equal(item->step, UR_STEP_REST);
	assert_int_equal(item->after_rest, UR_STEP_AMEND);
	assert_true(ur_file_is_open(&item->files[1]));
}

static void a_plan_sets_nothing(void **state)
{
	(void)state;
	play.options.plan = true;
	struct ur_item *item = beside(xmp);
	goes_on(item);
	assert_int_equal(play.asked_count, 0);
	assert_int_equal(item->step, UR_STEP_CONFIRM);
}

#define BESIDE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BESIDE(who_has_nothing_to_add_is_confirmed),
		BESIDE(a_sidecar_that_travels_with_its_picture_is_not_set),
		BESIDE(what_the_server_lacks_is_set),
		BESIDE(what_the_server_has_stays),
		BESIDE(the_servers_own_extraction_is_waited_for_and_not_for_ever),
		BESIDE(what_broke_off_goes_on_where_it_was),
		BESIDE(an_answer_without_sense_keeps_the_sidecar_waiting),
		BESIDE(tags_that_the_server_does_not_name_are_nobodys),
		BESIDE(what_may_still_grow_is_held_before_it_is_proved),
		BESIDE(the_picture_that_is_asked_about_is_the_one_with_a_sidecar),
		BESIDE(a_sidecar_that_changed_meanwhile_waits_for_the_next_run),
		BESIDE(without_the_rights_the_sidecar_waits),
		BESIDE(tags_need_a_right_of_their_own),
		BESIDE(tags_are_made_by_one_item_at_a_time),
		BESIDE(a_refusal_is_the_sidecars_reason_to_wait),
		BESIDE(a_page_that_says_yes_has_set_nothing),
		BESIDE(a_line_that_breaks_is_tried_again),
		BESIDE(a_plan_sets_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
