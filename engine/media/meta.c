/* meta - what is believed of a picture's facts, whichever format they stood in. */
#include "engine/media/meta.h"

#include <math.h>
#include <string.h>

int ur_meta_zone(const char *iso)
{
	const char *sign = strlen(iso) > 10 ? strpbrk(iso + 10, "+-") : NULL;
	if (sign == NULL) {
		return 0;
	}
	int digits[4] = {0};
	int count = 0;
	for (const char *at = sign + 1; *at != '\0' && count < 4; at++) {
		if (*at >= '0' && *at <= '9') {
			digits[count++] = *at - '0';
		}
	}
	const int minutes = (digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3];
	return *sign == '-' ? -minutes : minutes;
}

bool ur_meta_decimal(const char **at, double *ret)
{
	double value = 0;
	double unit = 1;
	bool point = false;
	bool digit = false;
	const char *c = *at;
	for (; (*c >= '0' && *c <= '9') || (*c == '.' && !point); c++) {
		if (*c == '.') {
			point = true;
			continue;
		}
		digit = true;
		value = value * 10 + (*c - '0');
		unit = point ? unit * 10 : unit;
	}
	if (digit) {
		*at = c;
		*ret = value / unit;
	}
	return digit;
}

void ur_meta_place(struct ur_meta *meta, double latitude, double longitude)
{
	if (!(fabs(latitude) <= 90) || !(fabs(longitude) <= 180) ||
		(fabs(latitude) < 1e-9 && fabs(longitude) < 1e-9)) {
		return;
	}
	meta->has_place = true;
	meta->latitude = latitude;
	meta->longitude = longitude;
}

void ur_meta_content_id(struct ur_meta *meta, const char *bytes, size_t size)
{
	const size_t length = strnlen(bytes, size);
	if (length == 0 || length >= sizeof meta->content_id) {
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] <= ' ' || bytes[i] > '~') {
			return;
		}
	}
	memcpy(meta->content_id, bytes, length);
	meta->content_id[length] = '\0';
}
