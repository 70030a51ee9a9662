/**
 * err - what went wrong, and who can act on it.
 *
 * Functions that can fail return 0 or a negative errno.  Where a person will read about it, the
 * last parameter is a `struct ur_err`: the code, a sentence, and `fault`, which decides what
 * happens next.  Retry policy reads `fault`, never the text.
 *
 *   Owner    the caller; a NULL err is allowed everywhere, the code is still returned
 *   Errors   ur_err_set() and ur_err_within() return `code`, so that they end a function
 *   Threads  a struct ur_err belongs to one thread at a time
 */
#ifndef UR_BASE_ERR_H
#define UR_BASE_ERR_H

enum ur_fault {
	UR_FAULT_NONE,
	UR_FAULT_WORLD, // the network, the server, a full disk: it may pass, try again
	UR_FAULT_FILE,  // this one file: record it and carry on
	UR_FAULT_SETUP, // the user can mend it: a path, a key, a setting
	UR_FAULT_BUG,   // ours
};

#define UR_ERR_TEXT_MAX 768

struct ur_err {
	int code;            // negative errno, 0 when nothing happened
	enum ur_fault fault; // who can act
	char text[UR_ERR_TEXT_MAX];
};

/** Fills `err` in: "text: strerror(code)".  Returns `code`. */
int ur_err_set(struct ur_err *err, int code, enum ur_fault fault, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** As ur_err_set(), but the sentence stands alone: errno's words would add nothing. */
int ur_err_say(struct ur_err *err, int code, enum ur_fault fault, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** Puts "where: " before the sentence that is there.  Returns `code`. */
int ur_err_within(struct ur_err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
