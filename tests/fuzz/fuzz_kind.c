/* fuzz_kind - heads, tails and names: a line with the name, then the content. */
#include "engine/base/text.h"
#include "engine/media/kind.h"
#include "engine/media/pair.h"
#include "engine/media/when.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 255u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct ur_types *types;

static void look_at_name(const char *name)
{
	char sent[3 * NAME_MAX_BYTES + 16];
	bool changed = false;
	assert(ur_kind_upload_name(name, sent, sizeof sent, &changed));
	assert(ur_utf8_valid(sent, strlen(sent)));
	assert(sent[0] != '\0');
	assert(changed == (strcmp(sent, name) != 0));

	int64_t ns = 0;
	bool utc = false;
	(void)!ur_when_of_name(name, INT64_C(1800000000) * 1000000000, &ns, &utc);
	assert(ur_pair_stem(name) <= strlen(name));
	assert(ur_pair_stem_compare(name, name) == 0);
	(void)ur_pair_sidecar(name, sent);
}

static void look_at_content(const char *name, const uint8_t *bytes, size_t size)
{
	char why[UR_KIND_WHY];
	const size_t head = size < UR_KIND_HEAD ? size : UR_KIND_HEAD;
	const size_t tail = size < 512 ? size : 512;
	const struct ur_kind *kind = ur_kind_of(bytes, head);
	assert(kind != NULL && kind->name != NULL && kind->said != NULL);
	const bool cut = ur_kind_cut_short(kind, bytes, head, bytes + size - tail, tail, size);
	(void)ur_kind_cut_short(kind, bytes, head, bytes, size, size);
	const enum ur_judgement judgement =
		ur_kind_judge(types, name, kind, size, cut, why, sizeof why);
	assert((judgement == UR_JUDGE_TAKE) == (why[0] == '\0'));
	assert(strlen(why) + 1 < sizeof why); // no sentence is cut
	for (const char *c = why; *c != '\0'; c++) {
		assert(*c >= ' ' && *c <= '~');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (types == NULL && (ur_types_new(&types) < 0 || ur_types_add_usual(types) < 0)) {
		abort();
	}
	char name[NAME_MAX_BYTES + 1] = "";
	const uint8_t *end = size > 0 ? memchr(bytes, '\n', size) : NULL;
	if (end != NULL) {
		const size_t length = (size_t)(end - bytes);
		memcpy(name, bytes, length < NAME_MAX_BYTES ? length : NAME_MAX_BYTES);
		size -= length + 1;
		bytes = end + 1;
	}
	look_at_name(name);
	look_at_content(name, bytes, size);
	return 0;
}
