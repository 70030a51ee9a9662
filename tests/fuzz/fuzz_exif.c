/* fuzz_exif - Exif blocks, bare and in the pictures that carry them without boxes. */
#include "engine/media/exif.h"
#include "engine/media/extract.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct ur_meta *meta)
{
	assert(memchr(meta->content_id, '\0', sizeof meta->content_id) != NULL);
	if (meta->has_place) {
		assert(fabs(meta->latitude) <= 90);
		assert(fabs(meta->longitude) <= 180);
	}
	assert(meta->zone_minutes == 0 || meta->zoned);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char *const heads[] = {"\xff\xd8\xff\xe0", "\x89PNG\r\n\x1a\n", "RIFF....WEBP",
		"II*\0\0\0\0\0\0\0", "FUJIFILMCCD-RAW "};
	static const size_t sizes[] = {4, 8, 12, 10, 16};
	struct ur_meta meta = {.time_from = ""};
	assert(ur_exif_parse(bytes, size, &meta) == 0);
	check(&meta);

	struct ur_memory memory = {bytes, size};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		assert(ur_extract_meta(&reader, ur_kind_of(heads[i], sizes[i]), &meta) == 0);
		check(&meta);
	}
	return 0;
}
