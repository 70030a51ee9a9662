/* err - one sentence a failure, built from the inside out. */
#include "engine/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int ur_err_set(struct ur_err *err, int code, enum ur_fault fault, const char *format, ...)
{
	if (err == NULL) {
		return code;
	}
	char words[128];
	const char *why = strerror_r(-code, words, sizeof words);

	va_list args;
	va_start(args, format);
	(void)vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);

	const size_t used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof err->text - used, ": %s", why);
	err->code = code;
	err->fault = fault;
	return code;
}

int ur_err_say(struct ur_err *err, int code, enum ur_fault fault, const char *format, ...)
{
	if (err == NULL) {
		return code;
	}
	va_list args;
	va_start(args, format);
	(void)vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	err->code = code;
	err->fault = fault;
	return code;
}

int ur_err_within(struct ur_err *err, int code, const char *format, ...)
{
	if (err == NULL) {
		return code;
	}
	char inner[UR_ERR_TEXT_MAX];
	memcpy(inner, err->text, sizeof inner);
	inner[sizeof inner - 1] = '\0';

	va_list args;
	va_start(args, format);
	(void)vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);

	const size_t used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
	return code;
}
