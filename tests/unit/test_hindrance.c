/* hindrance - each error that keeps a file is named, with what to do. */
#include "engine/source/hindrance.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/** What a disk, a mount, a share or a right is known to say when a file is read, renamed, removed, copied. */
static const int met[] = {EACCES, EPERM, EROFS, EBUSY, ETXTBSY, EXDEV, ENOSPC, EDQUOT, EFBIG, EIO,
	ENAMETOOLONG, ESTALE, ELOOP, ENOTDIR, EEXIST, EMLINK, ENOENT, EMFILE, ENFILE, ENOMEM,
	ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL, EOVERFLOW, EUCLEAN, EBADMSG, ENODEV, ENXIO, ENOMEDIUM,
	ESHUTDOWN, ENOKEY, ENOTCONN, ECONNABORTED, EHOSTDOWN, EHOSTUNREACH, ETIMEDOUT, EREMOTEIO};
#define MET (sizeof met / sizeof *met)

static void every_error_that_keeps_a_file_has_one_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < MET; i++) {
		int rows = 0;
		for (size_t k = 0; ur_hindrance_listed(k) != 0; k++) {
			rows += ur_hindrance_listed(k) == -met[i];
		}
		assert_int_equal(rows, 1);
	}
}

static void no_sentence_is_cut_and_each_says_more_than_the_system(void **state)
{
	char text[UR_HINDRANCE_TEXT];
	(void)state;
	for (size_t i = 0; ur_hindrance_listed(i) != 0; i++) {
		const int code = ur_hindrance_listed(i);
		for (int moving = 0; moving < 2; moving++) {
			(void)ur_hindrance_of_leaving(code, moving, text);
			assert_true(strlen(text) > 20);
			assert_true(strlen(text) < UR_HINDRANCE_TEXT - 1);
		}
		(void)ur_hindrance_of_reading(code, text);
		assert_true(strlen(text) < UR_HINDRANCE_TEXT - 1);
		assert_ptr_equal(strstr(text, strerror(-code)), text);
	}
}

static void it_says_whose_fault_it_is_and_what_to_do(void **state)
{
	static const struct {
		int code;
		int moving;
		const char *has;
	} rows[] = {
		{EPERM, 0, "chattr -i"},
		{EROFS, 0, "read-only; mount it writable"},
		{EACCES, 0, "no write permission in its folder; give this user that right"},
		{EACCES, 1, "no write permission in its folder"}, // a row without words for a move
		{ENOSPC, 1, "the folder it should move to is full"},
		{ENOSPC, 0, "its disk is too full even for a staging folder"},
		{EDQUOT, 1, "quota"},
		{EBUSY, 0, "tried again in the next run"},
		{EXDEV, 0, "another mount"},
		{EIO, 0, "dmesg"},
		{ENAMETOOLONG, 1, "too long for the folder that it should move to"},
		{ELOOP, 0, "symbolic link"},
		{ENOTCONN, 0, "share"},
	};
	char text[UR_HINDRANCE_TEXT];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_non_null(strstr(
			ur_hindrance_of_leaving(-rows[i].code, rows[i].moving, text), rows[i].has));
	}
	assert_non_null(strstr(ur_hindrance_of_reading(-EACCES, text),
		"Permission denied; give this user the right to read it"));
	assert_non_null(strstr(ur_hindrance_of_reading(-EIO, text), "dmesg"));
}

static void an_error_that_nobody_foresaw_is_called_by_its_name(void **state)
{
	char text[UR_HINDRANCE_TEXT];
	(void)state;
	assert_string_equal(ur_hindrance_of_reading(-ECHILD, text), "No child processes");
	assert_non_null(strstr(ur_hindrance_of_leaving(-ECHILD, 0, text), "No child processes"));
	assert_non_null(strstr(ur_hindrance_of_leaving(-ECHILD, 1, text), "could not be moved"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_that_keeps_a_file_has_one_row),
		cmocka_unit_test(no_sentence_is_cut_and_each_says_more_than_the_system),
		cmocka_unit_test(it_says_whose_fault_it_is_and_what_to_do),
		cmocka_unit_test(an_error_that_nobody_foresaw_is_called_by_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
