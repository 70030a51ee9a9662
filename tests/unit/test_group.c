/* What belongs together goes together. */
#include "engine/import/coordinator/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct ur_meta looked_into;

struct family {
	struct ur_item item;
	struct ur_file files[UR_ITEM_FILES];
	unsigned groups[UR_ITEM_FILES];
};

/** "i" a still, "v" a movie, "s" a sidecar; capitals: not looked into in this run. */
static void make(struct family *f, const char *kinds)
{
	*f = (struct family){0};
	f->item.files = f->files;
	for (f->item.count = 0; kinds[f->item.count] != '\0'; f->item.count++) {
		struct ur_file *file = &f->files[f->item.count];
		const char kind = kinds[f->item.count];
		file->class = kind == 's'                  ? UR_CLASS_SIDECAR
			      : kind == 'v' || kind == 'V' ? UR_CLASS_VIDEO
							   : UR_CLASS_IMAGE;
		file->meta = kind == 'i' || kind == 'v' ? &looked_into : NULL;
		file->movie = UR_NONE;
		file->still = UR_NONE;
		file->sidecar = UR_NONE;
	}
}

static void link_live(struct family *f, int still, int movie)
{
	f->files[still].movie = movie;
	f->files[movie].still = still;
}

static void own(struct family *f, int sidecar, unsigned owners)
{
	f->files[sidecar].owners = owners;
}

static unsigned choose(struct family *f, unsigned ready, unsigned alone)
{
	ur_groups_of(&f->item, f->groups);
	return ur_groups_choose(f->groups, f->item.count, ready, alone);
}

static void strangers_go_each_by_itself(void **state)
{
	struct family f;
	(void)state;
	make(&f, "iiv"); // looked into: no pair
	assert_int_equal(choose(&f, 1, 0), 1);
	assert_int_equal(choose(&f, 5, 0), 5);
	assert_int_equal(choose(&f, 0, 0), 0);
}

static void no_half_of_a_live_photo_goes_alone(void **state)
{
	struct family f;
	(void)state;
	make(&f, "iv");
	link_live(&f, 0, 1);
	assert_int_equal(choose(&f, 1, 0), 0);
	assert_int_equal(choose(&f, 2, 0), 0);
	assert_int_equal(choose(&f, 3, 0), 3);
}

static void halves_of_which_one_is_known_from_before_count_as_a_pair(void **state)
{
	struct family f;
	(void)state;
	static const char *const kinds[] = {"Iv", "iV", "IV", "vI", "Vi"};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		make(&f, kinds[i]);
		assert_int_equal(choose(&f, 1, 0), 0);
		assert_int_equal(choose(&f, 2, 0), 0);
		assert_int_equal(choose(&f, 3, 0), 3);
	}
}

static void a_sidecar_binds_all_its_pictures(void **state)
{
	struct family f;
	(void)state;
	make(&f, "iis"); // raw and jpeg, one sidecar
	own(&f, 2, 3);
	assert_int_equal(choose(&f, 1 | 4, 0), 0);
	assert_int_equal(choose(&f, 1 | 2, 0), 0);
	assert_int_equal(choose(&f, 7, 0), 7);
}

static void what_stays_alone_keeps_nobody(void **state)
{
	struct family f;
	(void)state;
	make(&f, "is");
	own(&f, 1, 1);
	assert_int_equal(choose(&f, 1, 2), 1); // its facts were set: it stays beside nothing
	assert_int_equal(choose(&f, 2, 0), 0);
}

static void bonds_reach_from_one_to_the_next(void **state)
{
	struct family f;
	(void)state;
	make(&f, "ivsiV"); // still + movie, the still's sidecar, another still with its own movie
	link_live(&f, 0, 1);
	own(&f, 2, 1);
	f.files[4].meta = &looked_into;
	link_live(&f, 3, 4);
	assert_int_equal(choose(&f, 1 | 2 | 8 | 16, 0), 8 | 16);
	assert_int_equal(choose(&f, 1 | 4 | 8 | 16, 0), 8 | 16);
	assert_int_equal(choose(&f, 31, 0), 31);
	assert_int_equal(choose(&f, 31 & ~16u, 0), 7);
}

static void a_full_item_of_strangers_and_friends_is_chosen_from_rightly(void **state)
{
	struct family f;
	(void)state;
	make(&f, "iiiiiiiiiiiiiiis");
	own(&f, 15, 0x7fff);
	assert_int_equal(choose(&f, 0xffff, 0), 0xffff);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(choose(&f, 0xffffu & ~(1u << i), 0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_go_each_by_itself),
		cmocka_unit_test(no_half_of_a_live_photo_goes_alone),
		cmocka_unit_test(halves_of_which_one_is_known_from_before_count_as_a_pair),
		cmocka_unit_test(a_sidecar_binds_all_its_pictures),
		cmocka_unit_test(what_stays_alone_keeps_nobody),
		cmocka_unit_test(bonds_reach_from_one_to_the_next),
		cmocka_unit_test(a_full_item_of_strangers_and_friends_is_chosen_from_rightly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
