/*
 * The fixture's rules of misbehaviour: what they match, whom they choose, what they say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "fixtures/immichd/mischief.h"

static struct im_mischief *rules(const char *text)
{
	struct im_mischief *mischief = NULL;
	struct ur_err err = {0};

	assert_int_equal(im_mischief_new(&mischief), 0);
	assert_int_equal(im_mischief_replace(mischief, text, &err), 0);
	return mischief;
}

static struct im_trouble ask(
	struct im_mischief *mischief, const char *method, const char *path, const char *name)
{
	struct im_trouble trouble = {0};

	im_mischief_ask(mischief, method, path, name, &trouble);
	return trouble;
}

/** For n requests in a row: 'x' where the rule struck. */
static void pattern(const char *rule, const char *wanted)
{
	struct im_mischief *mischief = rules(rule);

	for (size_t i = 0; wanted[i] != '\0'; i++) {
		assert_int_equal(ask(mischief, "GET", "/", NULL).down, wanted[i] == 'x');
	}
	mischief = im_mischief_free(mischief);
}

static void selectors_choose_by_counting(void **state)
{
	(void)state;
	pattern("*: down", "xxxx");
	pattern("*: down every=3", "..x..x..x");
	pattern("*: down nth=2", ".x....");
	pattern("*: down first=2", "xx....");
	pattern("*: down after=2", "..xxxx");
	pattern("*: down after=2 first=1", "..x...");
	pattern("*: down percent=0", "......");
	pattern("*: down percent=100", "xxxxxx");
}

static void a_percentage_repeats_with_its_seed(void **state)
{
	struct im_mischief *a = rules("*: down percent=50 seed=7");
	struct im_mischief *b = rules("*: down percent=50 seed=7");
	int hits = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		bool down = ask(a, "GET", "/", NULL).down;

		assert_int_equal(ask(b, "GET", "/", NULL).down, down);
		hits += down;
	}
	assert_in_range(hits, 400, 600);
	a = im_mischief_free(a);
	b = im_mischief_free(b);
}

static void a_rule_matches_method_and_prefix(void **state)
{
	struct im_mischief *mischief =
		rules("POST /api/assets: status=500\n/api/tags: status=502\n# nothing\n\n");

	(void)state;
	assert_int_equal(im_mischief_count(mischief), 2);
	assert_int_equal(ask(mischief, "POST", "/api/assets", NULL).status, 500);
	assert_int_equal(ask(mischief, "POST", "/api/assets/exist", NULL).status, 500);
	assert_int_equal(ask(mischief, "GET", "/api/assets", NULL).status, 0);
	assert_int_equal(ask(mischief, "PUT", "/api/tags", NULL).status, 502);
	mischief = im_mischief_free(mischief);
}

static void a_name_is_asked_for_when_it_is_known(void **state)
{
	struct im_mischief *mischief = rules("POST /api/assets: reset-after=10K name=*.mp4");

	(void)state;
	assert_int_equal(ask(mischief, "POST", "/api/assets", NULL).reset_after, 0);
	assert_int_equal(ask(mischief, "POST", "/api/assets", "a.jpg").reset_after, 0);
	assert_int_equal(ask(mischief, "POST", "/api/assets", "a.mp4").reset_after, 10241);
	mischief = im_mischief_free(mischief);
}

static void rules_add_up_and_the_later_one_wins(void **state)
{
	struct im_mischief *mischief = rules(
		"*: latency=5 status=500\n*: bandwidth=1M\n*: status=503 retry-after=2 html bare early");
	struct im_trouble trouble = ask(mischief, "GET", "/", NULL);

	(void)state;
	assert_int_equal(trouble.latency_ms, 5);
	assert_int_equal(trouble.bandwidth, 1 << 20);
	assert_int_equal(trouble.status, 503);
	assert_int_equal(trouble.retry_after, 2);
	assert_true(trouble.html);
	assert_true(trouble.bare);
	assert_true(trouble.early);
	mischief = im_mischief_free(mischief);
}

static void latency_stays_within_its_bounds(void **state)
{
	struct im_mischief *mischief = rules("*: latency=10..20");

	(void)state;
	for (int i = 0; i < 200; i++) {
		assert_in_range(ask(mischief, "GET", "/", NULL).latency_ms, 10, 20);
	}
	mischief = im_mischief_free(mischief);
}

static void what_makes_no_sense_is_refused_and_the_old_rules_stay(void **state)
{
	static const char *const wrong[] = {"down", "*:down", "*: fly", "*: status=20",
		"*: status=", "*: latency=5..2", "*: every=0", "*: percent=101", "a b c: down",
		"*: bandwidth=0", "*: name= down", "*: down=1"};
	struct im_mischief *mischief = rules("*: down");
	struct ur_err err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(im_mischief_replace(mischief, wrong[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "mischief rule"));
		assert_true(ask(mischief, "GET", "/", NULL).down);
	}
	mischief = im_mischief_free(mischief);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selectors_choose_by_counting),
		cmocka_unit_test(a_percentage_repeats_with_its_seed),
		cmocka_unit_test(a_rule_matches_method_and_prefix),
		cmocka_unit_test(a_name_is_asked_for_when_it_is_known),
		cmocka_unit_test(rules_add_up_and_the_later_one_wins),
		cmocka_unit_test(latency_stays_within_its_bounds),
		cmocka_unit_test(what_makes_no_sense_is_refused_and_the_old_rules_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
