/* recover - what is known of a staged file, and what follows from it. */
#include "engine/stage/recover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verdict_follows_from_what_is_known),
		cmocka_unit_test(nothing_is_called_removed_without_a_look_into_the_very_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
