/* marks - a folder's find every file that was put in, and no other. */
#include "engine/ledger/marks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct ur_identity some = {0x1234, 42, 4096, 1714979289123456789, 1714979289123456790};

static struct ur_mark numbered(unsigned i, bool told)
{
	char name[32];
	const int size = snprintf(name, sizeof name, "IMG_%06u.jpg", i);
	return ur_mark_of(&some, name, (size_t)size, told);
}

static void every_size_of_folder_finds_its_own_and_nothing_else(void **state)
{
	(void)state;
	const unsigned sizes[] = {1, 2, 3, 10, 100, 1000, 20000};
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		struct ur_marks seal = {0};
		for (unsigned i = 0; i < sizes[s]; i++) {
			const struct ur_mark mark = numbered(i, i % 7 == 0);
			assert_int_equal(ur_marks_add(&seal, &mark), 0);
		}
		ur_marks_sort(&seal);
		for (unsigned i = 0; i < sizes[s]; i++) {
			const struct ur_mark mark = numbered(i, false);
			assert_int_equal(ur_marks_find(seal.marks, seal.count, &mark),
				i % 7 == 0 ? UR_SEALED_TOLD : UR_SEALED_DONE);
		}
		for (unsigned i = sizes[s]; i < sizes[s] + 1000; i++) {
			const struct ur_mark mark = numbered(i, false);
			assert_int_equal(
				ur_marks_find(seal.marks, seal.count, &mark), UR_SEALED_NOT);
		}
		ur_marks_done(&seal);
	}
	const struct ur_mark mark = numbered(1, false);
	assert_int_equal(ur_marks_find(NULL, 0, &mark), UR_SEALED_NOT);
}

static void whatever_changes_about_a_file_changes_its_mark(void **state)
{
	(void)state;
	const struct ur_mark same = ur_mark_of(&some, "a.jpg", 5, false);
	struct ur_marks seal = {0};
	assert_int_equal(ur_marks_add(&seal, &same), 0);
	for (size_t i = 0; i < sizeof some; i++) {
		struct ur_identity other = some;
		((unsigned char *)&other)[i] ^= 1;
		const struct ur_mark mark = ur_mark_of(&other, "a.jpg", 5, false);
		assert_int_equal(ur_marks_find(seal.marks, seal.count, &mark), UR_SEALED_NOT);
	}
	const char *const names[] = {"a.jpG", "b.jpg", "a.jpg ", "a.jp", ""};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct ur_mark mark = ur_mark_of(&some, names[i], strlen(names[i]), false);
		assert_int_equal(ur_marks_find(seal.marks, seal.count, &mark), UR_SEALED_NOT);
	}
	ur_marks_done(&seal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_of_folder_finds_its_own_and_nothing_else),
		cmocka_unit_test(whatever_changes_about_a_file_changes_its_mark),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
