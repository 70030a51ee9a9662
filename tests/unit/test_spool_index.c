/*
 * spool_index - the index and what owners have, against a plain list: nothing on disk, thousands of
 * uploads that come, grow, end and go.
 */
#include "engine/gateway/spool/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 3000u
#define OWNERS 7u

static struct ur_spool_upload *there[MOST];
static size_t count;
static uint64_t seed;

static uint64_t dice(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return seed >> 33;
}

static void come(struct ur_spool *spool)
{
	struct ur_spool_upload *upload = ur_spool_upload_new(spool);
	assert_non_null(upload);
	for (size_t i = 0; i < UR_SPOOL_ID - 1; i++) {
		upload->id[i] = "0123456789abcdef"[dice() % 16];
	}
	(void)snprintf(
		upload->owner, sizeof upload->owner, "owner-%u", (unsigned)(dice() % OWNERS));
	ur_spool_name_owner(upload);
	upload->length = dice() % 3 == 0 ? UR_SPOOL_LENGTH_UNKNOWN : dice() % 100000;
	ur_spool_admit(spool, upload);
	there[count++] = upload;
}

static void go(struct ur_spool *spool, size_t i)
{
	ur_spool_dismiss(spool, there[i]);
	there[i] = there[--count];
}

static void change(struct ur_spool_upload *upload)
{
	struct ur_spool_outcome outcome = {
		.state = (enum ur_spool_state)(dice() % UR_SPOOL_STATES),
		.status = dice() % 2 == 0 ? UR_STATUS_QUOTA : 400,
	};
	const uint64_t most = upload->length < 100000 ? upload->length : 100000;
	switch (dice() % 3) {
	case 0:
		upload->offset = dice() % (most + 1);
		break;
	case 1:
		upload->bytes_gone = dice() % 2 == 0;
		break;
	default:
		upload->outcome = outcome;
	}
	ur_spool_recount(upload);
}

static struct ur_spool_use counted(const char *owner)
{
	struct ur_spool_use use = {0};
	for (size_t i = 0; i < count; i++) {
		const struct ur_spool_upload *at = there[i];
		if (owner == NULL || strcmp(at->owner, owner) == 0) {
			use.uploads++;
			use.open += !at->bytes_gone && !ur_spool_is_over(&at->outcome) ? 1 : 0;
			use.bytes += at->bytes_gone                          ? 0
				     : at->length != UR_SPOOL_LENGTH_UNKNOWN ? at->length
									     : at->offset;
		}
	}
	return use;
}

static void compare(const struct ur_spool *spool)
{
	for (unsigned i = 0; i <= OWNERS; i++) {
		char name[UR_SPOOL_USER];
		(void)snprintf(name, sizeof name, "owner-%u", i);
		const char *owner = i == OWNERS ? NULL : name;
		const struct ur_spool_use is = ur_spool_use_of(spool, owner);
		const struct ur_spool_use should = counted(owner);
		assert_int_equal(is.uploads, should.uploads);
		assert_int_equal(is.open, should.open);
		assert_int_equal(is.bytes, should.bytes);
	}
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(ur_spool_find(spool, there[i]->id), there[i]);
	}
	size_t met = 0;
	for (const struct ur_spool_upload *at = ur_spool_next(spool, NULL); at != NULL;
		at = ur_spool_next(spool, at)) {
		met++;
	}
	assert_int_equal(met, count);
}

static size_t place_of(const struct ur_spool_upload *upload)
{
	size_t i = 0;
	while (there[i] != upload) {
		i++;
		assert_true(i < count);
	}
	return i;
}

static void begin(struct ur_spool *spool)
{
	*spool = (struct ur_spool){.root = -1};
	assert_int_equal(ur_spool_index_init(spool), 0);
	count = 0;
	seed = getenv("UR_SEED") == NULL ? 3 : strtoull(getenv("UR_SEED"), NULL, 10);
}

static void end(struct ur_spool *spool)
{
	ur_spool_index_done(spool);
	ur_spool_owners_done(spool);
}

static void what_each_owner_has_is_what_they_have(void **state)
{
	static struct ur_spool spool;
	(void)state;
	begin(&spool);
	for (int i = 0; i < 30000; i++) {
		const uint64_t what = dice() % 10;
		if (count == 0 || (what < 5 && count < MOST)) {
			come(&spool);
		} else if (what < 8) {
			change(there[dice() % count]);
		} else {
			go(&spool, dice() % count);
		}
		if (i % 3000 == 0) {
			compare(&spool);
		}
	}
	compare(&spool);
	while (count > 0) {
		go(&spool, count - 1);
	}
	compare(&spool);
	end(&spool);
}

/** Whatever is dismissed on the way: everybody who stays is met once, and nobody twice. */
static void a_walk_survives_dismissals(void **state)
{
	static struct ur_spool spool;
	(void)state;
	begin(&spool);
	for (int round = 0; round < 30; round++) {
		while (count < 1500) {
			come(&spool);
		}
		for (size_t i = 0; i < count; i++) {
			there[i]->touched_ms = 0; // not met yet
		}
		for (struct ur_spool_upload *at = ur_spool_next(&spool, NULL); at != NULL;) {
			assert_int_equal(at->touched_ms, 0);
			at->touched_ms = 1;
			const bool itself = dice() % 3 == 0;
			const struct ur_spool_upload *after = at;
			if (itself) {
				go(&spool, place_of(at));
			}
			if (count > 0 && dice() % 3 == 0) { // and somebody else, who may be next
				const size_t other = dice() % count;
				if (there[other] != after) {
					go(&spool, other);
				}
			}
			at = ur_spool_next(&spool, after);
		}
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(there[i]->touched_ms, 1);
		}
	}
	end(&spool);
}

static void only_an_id_is_an_id(void **state)
{
	static struct ur_spool spool;
	(void)state;
	begin(&spool);
	assert_true(ur_spool_is_id("0123456789abcdef0123456789abcdef"));
	static const char *const others[] = {"", "0", "0123456789abcdef0123456789abcde",
		"0123456789abcdef0123456789abcdef0", "0123456789ABCDEF0123456789abcdef",
		"../0123456789abcdef0123456789abc", "0123456789abcdef 123456789abcdef"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		assert_false(ur_spool_is_id(others[i]));
		assert_null(ur_spool_find(&spool, others[i]));
	}
	end(&spool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_each_owner_has_is_what_they_have),
		cmocka_unit_test(a_walk_survives_dismissals),
		cmocka_unit_test(only_an_id_is_an_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
