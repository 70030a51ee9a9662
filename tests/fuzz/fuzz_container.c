/* fuzz_container - boxes inside boxes, read as each of the formats that are made of them. */
#include "engine/media/container.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static int (*const formats[])(const struct ur_reader *, struct ur_meta *) = {
		ur_container_movie, ur_container_picture, ur_container_jxl, ur_container_cr3};
	struct ur_memory memory = {bytes, size};
	const struct ur_reader reader = ur_reader_of_memory(&memory);
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		struct ur_meta meta = {.time_from = ""};
		assert(formats[i](&reader, &meta) == 0);
		assert(memchr(meta.content_id, '\0', sizeof meta.content_id) != NULL);
		assert(!meta.has_place || fabs(meta.latitude) <= 90);
		assert(!meta.has_place || fabs(meta.longitude) <= 180);
		assert(meta.has_time == (meta.time_from[0] != '\0'));
	}
	return 0;
}
