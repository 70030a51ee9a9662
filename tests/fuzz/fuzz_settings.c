/* fuzz_settings - any bytes are a configuration or a sentence about why they are none. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_folder(const struct ur_settings_folder *folder)
{
	assert(folder->path != NULL);
	assert(folder->path[0] == '/');
	assert((folder->after == UR_SETTINGS_AFTER_MOVE) == (folder->move_to != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ur_arena arena;
	struct ur_settings settings;
	struct ur_err err = {0};
	ur_arena_init(&arena);
	const int r = ur_settings_parse(&arena, "fuzz", data, size, &settings, &err);
	if (r == 0) {
		assert(settings.folder_count <= UR_SETTINGS_FOLDERS_MAX);
		assert((settings.bwlimit == NULL) == (settings.bwlimit_text == NULL));
		for (size_t i = 0; i < settings.folder_count; i++) {
			check_folder(&settings.folders[i]);
		}
	} else {
		assert(err.code == r);
		assert(strlen(err.text) > 0);
		assert(strpbrk(err.text, "\033\r") == NULL);
	}
	ur_arena_done(&arena);
	return 0;
}
