/* state - one event, one sentence. */
#include "engine/gateway/state.h"

#include <stdarg.h>
#include <stdio.h>

void ur_gateway_log(struct ur_gateway *gateway, int level, const char *format, ...)
{
	char text[1024];
	va_list list;
	if (gateway->options.log == NULL) {
		return;
	}
	va_start(list, format);
	(void)vsnprintf(text, sizeof text, format, list);
	va_end(list);
	gateway->options.log(gateway->options.context, level, text);
}
