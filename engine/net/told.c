/* told - states by name. */
#include "engine/net/told.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static enum ur_transfer_told read_state(const char *state, bool created)
{
	static const struct {
		const char *name;
		enum ur_transfer_told what;
	} states[] = {
		{"receiving", UR_TOLD_RECEIVING},
		{"complete", UR_TOLD_COMPLETE},
		{"broken", UR_TOLD_BROKEN},
		{"refused", UR_TOLD_REFUSED},
	};
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		if (strcmp(state, states[i].name) == 0) {
			return states[i].what;
		}
	}
	if (strcmp(state, "delivered") == 0 || strcmp(state, "confirmed") == 0) {
		return created ? UR_TOLD_CREATED : UR_TOLD_DUPLICATE;
	}
	return UR_TOLD_NOTHING;
}

static const char *text_of(const json_t *root, const char *field)
{
	const char *text = json_string_value(json_object_get(root, field));
	return text == NULL ? "" : text;
}

int ur_told_read(const char *json, struct ur_told *ret, struct ur_err *err)
{
	json_t *root = json_loads(json, 0, NULL);
	struct ur_told told = {0};
	const json_int_t status = json_integer_value(json_object_get(root, "status"));
	told.status = status >= 100 && status < 600 ? (int)status : 0;
	/* A 201 that may not have been the server's own word, say. */
	const bool suspect = json_is_true(json_object_get(root, "suspect"));
	const bool created =
		strcmp(text_of(root, "result"), "created") == 0 && told.status == 201 && !suspect;
	told.what = read_state(text_of(root, "state"), created);
	const json_t *durable = json_object_get(root, "durable");
	told.has_durable = json_is_integer(durable) && json_integer_value(durable) >= 0;
	told.durable = told.has_durable ? (uint64_t)json_integer_value(durable) : 0;
	const char *asset = text_of(root, "asset");
	if (ur_immich_is_id(asset)) {
		(void)snprintf(told.asset, sizeof told.asset, "%s", asset);
	}
	(void)snprintf(told.words, sizeof told.words, "%s", text_of(root, "reason"));
	json_decref(root);
	const bool needs_asset = told.what == UR_TOLD_CREATED || told.what == UR_TOLD_DUPLICATE;
	if (told.what == UR_TOLD_NOTHING || (needs_asset && told.asset[0] == '\0')) {
		return ur_err_say(err, -EBADMSG, UR_FAULT_WORLD,
			"the gateway's word about the upload makes no sense");
	}
	*ret = told;
	return 0;
}
