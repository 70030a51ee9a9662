/* line - the visits of an upload against a plain list: joined, taken in turn, cut, answered, gone. */
#include "engine/gateway/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MOST 12u

/** As it should be: who waits, in order, and who is current. */
struct model {
	struct ur_visit *waits[MOST];
	size_t count;
	struct ur_visit *current;
};

static uint64_t seed;

static unsigned pick(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((seed >> 33) % below);
}

/** A peer that is gone already: ending it needs no connection. */
static struct ur_visit *arrive(struct ur_gateway *gateway)
{
	struct ur_exchange x = {0};
	struct ur_visit *visit = ur_visit_begin(gateway, &x);
	assert_non_null(visit);
	assert_ptr_equal(x.owner, visit);
	visit->x = NULL;
	return visit;
}

static void check(const struct ur_session *session, const struct model *model)
{
	const struct ur_visit *at = session->line_first;
	for (size_t i = 0; i < model->count; i++, at = at->next) {
		assert_ptr_equal(at, model->waits[i]);
		assert_ptr_equal(at->session, session);
	}
	assert_null(at);
	assert_ptr_equal(
		session->line_last, model->count == 0 ? NULL : model->waits[model->count - 1]);
	assert_ptr_equal(session->current, model->current);
}

static void take_out(struct model *model, size_t i)
{
	for (model->count--; i < model->count; i++) {
		model->waits[i] = model->waits[i + 1];
	}
}

static size_t visits_of(const struct ur_gateway *gateway)
{
	size_t count = 0;
	for (const struct ur_visit *at = gateway->visits; at != NULL; at = at->older) {
		count++;
	}
	return count;
}

static void one_step(struct ur_gateway *gateway, struct ur_session *session, struct model *model)
{
	const unsigned what = pick(5);
	if (what == 0 && model->count < MOST) {
		model->waits[model->count] = arrive(gateway);
		ur_line_join(session, model->waits[model->count++]);
	} else if (what == 1 && model->count > 0 && model->current == NULL) {
		model->current = ur_line_next(session);
		assert_ptr_equal(model->current, model->waits[0]);
		take_out(model, 0);
		model->current->receiving = pick(2) == 0;
		gateway->receiving += model->current->receiving ? 1 : 0;
	} else if (what == 2 && model->count > 0) { // one that waits is gone
		const size_t i = pick((unsigned)model->count);
		struct ur_visit *visit = model->waits[i];
		ur_line_leave(visit);
		assert_null(visit->session);
		ur_visit_end(visit);
		take_out(model, i);
	} else if (what == 3 && model->current != NULL) {
		ur_line_cut(session);
		model->current = NULL;
	} else if (what == 4 && model->current != NULL) {
		ur_line_answer(session, 204, "");
		model->current = NULL;
	}
}

static void a_line_is_a_list(void **state)
{
	struct ur_spool_upload upload = {0};
	struct ur_gateway gateway = {0};
	struct ur_session session = {.gateway = &gateway, .upload = &upload};
	struct model model = {0};
	(void)state;
	seed = getenv("UR_SEED") == NULL ? 7 : strtoull(getenv("UR_SEED"), NULL, 10);
	for (int i = 0; i < 20000; i++) {
		one_step(&gateway, &session, &model);
		check(&session, &model);
		assert_int_equal(
			visits_of(&gateway), model.count + (model.current != NULL ? 1 : 0));
		assert_int_equal(gateway.receiving,
			model.current != NULL && model.current->receiving ? 1 : 0);
	}
	while (gateway.visits != NULL) {
		ur_line_leave(gateway.visits);
		ur_visit_end(gateway.visits);
	}
	assert_int_equal(gateway.receiving, 0);
	assert_null(session.current);
	assert_null(session.line_first);
	assert_null(session.line_last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
