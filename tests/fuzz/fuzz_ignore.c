/*
 * fuzz_ignore - an ignore file, a NUL, a path: the rules are read and asked, and the name of the
 * rule that decided is one of the lines.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/source/ignore.h"

#define INPUT_MAX 4096u // longer ones only take longer

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct ur_ignore *ignore, const char *text, const char *path)
{
	for (int is_folder = 0; is_folder < 2; is_folder++) {
		const char *pattern = NULL;
		const enum ur_ignore_verdict verdict =
			ur_ignore_match_why(ignore, path, is_folder, &pattern);
		assert((verdict == UR_IGNORE_SILENT) == (pattern == NULL));
		if (pattern != NULL) {
			assert((verdict == UR_IGNORE_TAKE) == (pattern[0] == '!'));
			assert(strstr(text, pattern) != NULL);
		}
		assert(ur_ignore_match(ignore, path, is_folder) == verdict);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\0', size);
	if (end == NULL || size > INPUT_MAX) {
		return 0;
	}
	char *both = malloc(size + 1);
	assert(both != NULL);
	memcpy(both, data, size);
	both[size] = '\0';
	const char *path = both + strlen(both) + 1;
	while (*path == '/') {
		path++;
	}
	for (int fold_case = 0; fold_case < 2; fold_case++) {
		struct ur_ignore *ignore = NULL;
		if (ur_ignore_new(fold_case, &ignore) == 0) {
			(void)!ur_ignore_add_text(ignore, both, strlen(both));
			ask(ignore, both, path);
		}
		ignore = ur_ignore_free(ignore);
	}
	free(both);
	return 0;
}
