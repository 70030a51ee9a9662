/*
 * delivery_related - what waits for what, what goes along with it, and what becomes of a sidecar whose
 * picture is there.  A real spool.
 */
#include "engine/gateway/delivery/internal.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ANN "11111111-1111-4111-8111-111111111111"
#define BOB "22222222-2222-4222-8222-222222222222"
#define ASSET "426dd542-f562-4757-9dc5-eaf7d1c47147"
#define XMP "<x:xmpmeta/>"

/** A picture on its way. */
struct house {
	char dir[64];
	struct ur_gateway gateway;
	struct ur_spool_upload *picture;
	struct ur_session session;
	struct ur_delivery delivery;
	struct ur_tus_metadata said;
};

static int remove_any(const char *path, const struct stat *st, int what, struct FTW *where)
{
	(void)st;
	(void)what;
	(void)where;
	return remove(path);
}

/** Of ann, as the caller then makes it. */
static struct ur_spool_upload *make(
	struct house *house, const char *owner, const char *bytes, bool is_sidecar)
{
	const struct ur_spool_spec spec = {
		.owner = owner, .length = strlen(bytes), .metadata = "", .is_sidecar = is_sidecar};
	struct ur_spool_upload *upload = NULL;
	struct ur_spool_mark mark;
	assert_int_equal(ur_spool_make(house->gateway.spool, &spec, &upload, NULL), 0);
	ur_spool_admit(house->gateway.spool, upload);
	assert_int_equal(ur_spool_wake(upload, NULL), 0);
	assert_int_equal(ur_spool_append(upload, bytes, strlen(bytes), NULL), 0);
	ur_spool_mark(upload, &mark);
	assert_int_equal(ur_spool_commit(upload, &mark, NULL), 0);
	ur_spool_committed(upload, &mark);
	ur_spool_rest(upload);
	upload->outcome.state = UR_SPOOL_COMPLETE;
	return upload;
}

static int set_up(void **state)
{
	struct house *house = calloc(1, sizeof *house);
	(void)snprintf(house->dir, sizeof house->dir, "%s/ur-related.XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(house->dir) == NULL ||
		ur_spool_new(house->dir, &house->gateway.spool, NULL) < 0) {
		free(house);
		return -1;
	}
	house->picture = make(house, ANN, "12345", false);
	house->session = (struct ur_session){
		.gateway = &house->gateway, .upload = house->picture, .delivery = &house->delivery};
	house->delivery.metadata = &house->said;
	*state = house;
	return 0;
}

static int tear_down(void **state)
{
	struct house *house = *state;
	free(house->delivery.sidecar);
	house->gateway.spool = ur_spool_free(house->gateway.spool);
	(void)nftw(house->dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
	free(house);
	return 0;
}

static void names_sidecar(struct house *house, const struct ur_spool_upload *sidecar)
{
	memcpy(house->said.sidecar_upload, sidecar->id, sizeof sidecar->id);
}

static void names_movie(struct house *house, const struct ur_spool_upload *movie)
{
	memcpy(house->said.movie_upload, movie->id, sizeof movie->id);
}

static void a_picture_alone_waits_for_nothing(void **state)
{
	struct house *house = *state;
	assert_true(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
	memset(house->said.sidecar_upload, 'a', UR_SPOOL_ID - 1); // one that nobody has
	memset(house->said.movie_upload, 'b', UR_SPOOL_ID - 1);
	assert_true(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
	assert_string_equal(house->said.live_movie, "");
}

static void a_sidecar_goes_along_when_it_is_whole(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *sidecar = make(house, ANN, XMP, true);
	names_sidecar(house, sidecar);
	sidecar->outcome.state = UR_SPOOL_RECEIVING;
	assert_false(ur_delivery_gather(&house->session));
	sidecar->outcome.state = UR_SPOOL_COMPLETE;
	sidecar->is_unread = true; // damaged, and its bytes are being read
	assert_false(ur_delivery_gather(&house->session));
	sidecar->is_unread = false;
	assert_true(ur_delivery_gather(&house->session));
	assert_ptr_equal(house->delivery.related, sidecar);
	assert_int_equal(house->delivery.sidecar_size, sizeof XMP - 1);
	assert_memory_equal(house->delivery.sidecar, XMP, sizeof XMP - 1);
}

static void what_is_over_or_broken_is_not_waited_for(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *sidecar = make(house, ANN, XMP, true);
	struct ur_spool_upload *movie = make(house, ANN, "movie", false);
	static const enum ur_spool_state over[] = {UR_SPOOL_BROKEN, UR_SPOOL_REFUSED};
	names_sidecar(house, sidecar);
	names_movie(house, movie);
	for (size_t i = 0; i < 2; i++) {
		sidecar->outcome.state = movie->outcome.state = over[i];
		assert_true(ur_delivery_gather(&house->session));
		assert_null(house->delivery.related);
		assert_string_equal(house->said.live_movie, "");
	}
}

static void somebody_elses_upload_and_another_kind_of_file_do_not_go_along(void **state)
{
	struct house *house = *state;
	names_sidecar(house, make(house, BOB, XMP, true));
	assert_true(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
	names_sidecar(house, make(house, ANN, "a picture", false));
	assert_true(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
}

static void a_sidecar_that_cannot_be_read_now_is_waited_for(void **state)
{
	struct house *house = *state;
	char path[160];
	char gone[170];
	struct ur_spool_upload *sidecar = make(house, ANN, XMP, true);
	names_sidecar(house, sidecar);
	(void)snprintf(path, sizeof path, "%s/%s/bytes", house->dir, sidecar->id);
	(void)snprintf(gone, sizeof gone, "%s.gone", path);
	assert_int_equal(rename(path, gone), 0);
	assert_false(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
	assert_int_equal(rename(gone, path), 0);
	assert_true(ur_delivery_gather(&house->session));
	assert_ptr_equal(house->delivery.related, sidecar);
}

static void a_sidecar_that_no_server_takes_stays_behind(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *sidecar = make(house, ANN, "", true);
	names_sidecar(house, sidecar);
	assert_true(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
	sidecar->length = UINT64_C(1) << 40;
	assert_true(ur_delivery_gather(&house->session));
	assert_null(house->delivery.related);
	assert_null(house->delivery.sidecar);
}

static void a_movie_is_on_the_server_before_its_picture(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *movie = make(house, ANN, "movie", false);
	names_movie(house, movie);
	(void)snprintf(movie->outcome.asset, sizeof movie->outcome.asset, "%s", ASSET);
	movie->outcome.state = UR_SPOOL_RECEIVING;
	assert_false(ur_delivery_gather(&house->session));
	movie->outcome.state = UR_SPOOL_COMPLETE;
	assert_false(ur_delivery_gather(&house->session));
	assert_string_equal(house->said.live_movie, "");
	movie->outcome.state = UR_SPOOL_DELIVERED;
	assert_true(ur_delivery_gather(&house->session));
	assert_string_equal(house->said.live_movie, ASSET);
	house->said.live_movie[0] = '\0';
	movie->outcome.state = UR_SPOOL_REFUSED;
	movie->outcome.status = UR_STATUS_QUOTA; // it goes as soon as there is room
	assert_false(ur_delivery_gather(&house->session));
	movie->outcome.status = 400;
	assert_true(ur_delivery_gather(&house->session));
	assert_string_equal(house->said.live_movie, "");
	movie->is_sidecar = true; // never an asset, whatever its client calls it
	assert_true(ur_delivery_gather(&house->session));
	assert_string_equal(house->said.live_movie, "");
}

/** Only what is written down went along; and only a new picture takes it with it. */
static void a_sidecar_is_there_only_if_it_certainly_travelled(void **state)
{
	static const struct {
		int status;
		bool duplicate;
		bool with;
		enum ur_spool_state state;
		int becomes_status;
	} rows[] = {
		{201, false, true, UR_SPOOL_CONFIRMED, 201},
		{201, true, true, UR_SPOOL_REFUSED, 201},
		{200, true, true, UR_SPOOL_REFUSED, 200},
		{201, false, false, UR_SPOOL_REFUSED, 0},
		{200, false, true, UR_SPOOL_REFUSED, 0},
		{0, false, true, UR_SPOOL_REFUSED, 0}, // the answer was lost
		{0, true, false, UR_SPOOL_REFUSED, 0},
	};
	struct house *house = *state;
	struct ur_delivery *delivery = &house->delivery;
	delivery->related = make(house, ANN, XMP, true);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		delivery->outcome = (struct ur_spool_outcome){.state = UR_SPOOL_CONFIRMED,
			.status = rows[i].status,
			.duplicate = rows[i].duplicate};
		if (rows[i].with) {
			ur_delivery_name_sidecar(delivery, &delivery->outcome);
			assert_string_equal(delivery->outcome.with, delivery->related->id);
		}
		ur_delivery_judge_sidecar(delivery);
		assert_int_equal(delivery->related_outcome.state, rows[i].state);
		assert_int_equal(delivery->related_outcome.status, rows[i].becomes_status);
		assert_string_equal(delivery->related_outcome.with, "");
	}
	delivery->related = NULL;
	ur_delivery_name_sidecar(delivery, &delivery->outcome);
	assert_string_equal(delivery->outcome.with, "");
}

static void what_went_along_is_found_again_after_a_restart(void **state)
{
	struct house *house = *state;
	struct ur_spool_upload *sidecar = make(house, ANN, XMP, true);
	struct ur_spool_outcome *outcome = &house->picture->outcome;
	names_sidecar(house, sidecar); // what its client names is no proof
	ur_delivery_find_related(&house->session);
	assert_null(house->delivery.related);
	(void)snprintf(outcome->with, sizeof outcome->with, "%s", sidecar->id);
	ur_delivery_find_related(&house->session);
	assert_ptr_equal(house->delivery.related, sidecar);
	sidecar->outcome.state = UR_SPOOL_REFUSED; // it has its own end already
	ur_delivery_find_related(&house->session);
	assert_null(house->delivery.related);
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(a_picture_alone_waits_for_nothing),
		HERE(a_sidecar_goes_along_when_it_is_whole),
		HERE(what_is_over_or_broken_is_not_waited_for),
		HERE(somebody_elses_upload_and_another_kind_of_file_do_not_go_along),
		HERE(a_sidecar_that_cannot_be_read_now_is_waited_for),
		HERE(a_sidecar_that_no_server_takes_stays_behind),
		HERE(a_movie_is_on_the_server_before_its_picture),
		HERE(a_sidecar_is_there_only_if_it_certainly_travelled),
		HERE(what_went_along_is_found_again_after_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
