/* What still fits into the user's quota goes on, the rest waits. */
#include "tests/unit/coordinator.h"

#include <errno.h>
#include <stdio.h>

static struct ur_file *of_size(int64_t size)
{
	struct ur_file *file = play_candidate("a.jpg")->files;
	file->identity.size = size;
	file->state = UR_WANTED;
	return file;
}

static void met(struct ur_file *file)
{
	ur_quota_met(play.c, file);
	assert_int_equal(file->outcome, UR_OUTCOME_WAITING);
}

static void is_answered(const char *fields)
{
	char json[200];
	(void)snprintf(json, sizeof json, "{\"id\":\"%s\"%s}", PLAY_USER, fields);
	(void)play_answer(200, json);
	ur_quota_answered(play.c);
}

static void nothing_waits_before_a_quota_was_met(void **state)
{
	(void)state;
	assert_false(ur_quota_waits(play.c, of_size(INT64_MAX)));
	ur_quota_spend(play.c, INT64_MAX);
	assert_false(ur_quota_waits(play.c, of_size(INT64_MAX)));
}

static void a_quota_that_was_met_is_asked_for_once(void **state)
{
	(void)state;
	met(of_size(100));
	met(of_size(100));
	assert_string_equal(play_question(), "GET /api/users/me");
}

static void what_fits_into_the_rest_goes_on(void **state)
{
	(void)state;
	met(of_size(1000));
	is_answered(",\"quotaSizeInBytes\":5000,\"quotaUsageInBytes\":4500");
	assert_false(play.c->quota.asking); // which would hold all back
	assert_false(ur_quota_waits(play.c, of_size(500)));
	assert_non_null(strstr(play.said, "500 B left"));
	struct ur_file *large = of_size(501);
	assert_true(ur_quota_waits(play.c, large));
	assert_int_equal(large->state, UR_WANTED);
	assert_int_equal(large->outcome, UR_OUTCOME_WAITING);
	assert_true(large->trouble); // it did not arrive
}

static void who_meets_it_is_in_trouble_and_a_timer_says_so_once(void **state)
{
	(void)state;
	for (int known = 0; known < 2; known++) {
		struct ur_file *file = of_size(1000);
		struct ur_record *row = play_remember(file, UR_WANTED);
		play.options.respect_next = true;
		play.run.troubles.known.run = known;
		row->trouble = true;
		row->run = 1;
		file->state = UR_WANTED;
		play.said[0] = '\0';
		ur_request_done(&play.c->quota.call);
		play.c->quota = (struct ur_quota){.left = -1};
		met(file);
		assert_true(file->trouble);
		is_answered(",\"quotaSizeInBytes\":5000,\"quotaUsageInBytes\":4500");
		assert_int_equal(play.said[0] == '\0', known);
	}
}

static void what_is_sent_is_taken_off_the_rest(void **state)
{
	(void)state;
	met(of_size(1000));
	is_answered(",\"quotaSizeInBytes\":5000,\"quotaUsageInBytes\":4500");
	ur_quota_spend(play.c, 100);
	assert_false(ur_quota_waits(play.c, of_size(400)));
	assert_true(ur_quota_waits(play.c, of_size(401)));
}

static void an_overdrawn_quota_leaves_nothing(void **state)
{
	(void)state;
	met(of_size(1000));
	is_answered(",\"quotaSizeInBytes\":5000,\"quotaUsageInBytes\":9000");
	assert_int_equal(play.c->quota.left, 0);
	assert_true(ur_quota_waits(play.c, of_size(1)));
}

static void the_server_is_believed_when_it_refuses_what_should_have_fitted(void **state)
{
	(void)state;
	met(of_size(1000));
	is_answered(",\"quotaSizeInBytes\":5000,\"quotaUsageInBytes\":4500");
	met(of_size(10));
	assert_int_equal(play.asked_count, 0);
	assert_true(ur_quota_waits(play.c, of_size(1)));
}

static void without_a_figure_all_waits(void **state)
{
	(void)state;
	met(of_size(1000));
	is_answered("");
	assert_true(ur_quota_waits(play.c, of_size(1)));
	assert_non_null(strstr(play.said, "the rest waits"));
}

static void without_an_answer_whoever_meets_it_asks_again(void **state)
{
	(void)state;
	met(of_size(1000));
	(void)play_break(-ECONNRESET);
	ur_quota_answered(play.c);
	assert_false(ur_quota_waits(play.c, of_size(1)));
	met(of_size(1000));
	assert_true(play.c->quota.asking);
}

static void gigabytes_are_not_sent_into_a_quota_that_is_known_to_be_smaller(void **state)
{
	(void)state;
	assert_true(ur_quota_leaves_room(play.c, of_size(INT64_MAX)));
	play.run.server.quota_bytes = 1000;
	play.run.server.quota_used = 400;
	assert_true(ur_quota_leaves_room(play.c, of_size(600)));
	assert_false(ur_quota_leaves_room(play.c, of_size(601)));
	play.c->quota.left = 5; // what was asked for since counts
	assert_true(ur_quota_leaves_room(play.c, of_size(601)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(nothing_waits_before_a_quota_was_met),
		PLAYED(a_quota_that_was_met_is_asked_for_once),
		PLAYED(what_fits_into_the_rest_goes_on),
		PLAYED(who_meets_it_is_in_trouble_and_a_timer_says_so_once),
		PLAYED(what_is_sent_is_taken_off_the_rest),
		PLAYED(an_overdrawn_quota_leaves_nothing),
		PLAYED(the_server_is_believed_when_it_refuses_what_should_have_fitted),
		PLAYED(without_a_figure_all_waits),
		PLAYED(without_an_answer_whoever_meets_it_asks_again),
		PLAYED(gigabytes_are_not_sent_into_a_quota_that_is_known_to_be_smaller),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
