/* fuzz_sidecar - XMP; what is taken out of it must keep its promises. */
#include "engine/media/sidecar.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ur_arena arena;
	struct ur_sidecar car = {0};
	struct ur_err err = {0};
	ur_arena_init(&arena);
	const int r = ur_sidecar_parse(&arena, bytes, size, &car, &err);
	assert(r == 0 || (r == -EINVAL && err.text[0] != '\0' && err.fault == UR_FAULT_FILE));
	assert(!car.has_rating || (car.rating >= -1 && car.rating <= 5));
	assert(!car.has_place || (fabs(car.latitude) <= 90 && fabs(car.longitude) <= 180));
	assert(car.has_date == (car.date_text != NULL));
	assert(car.tag_count <= UR_SIDECAR_TAGS_MAX);
	for (size_t i = 0; i < car.tag_count; i++) {
		assert(car.tags[i][0] != '\0');
		assert(i == 0 || strcmp(car.tags[i], car.tags[i - 1]) != 0);
	}
	ur_arena_done(&arena);
	return 0;
}
