/* transfer - what is asked of the world, in which order, whatever the gateway answers. */
#include "engine/net/transfer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

struct script {
	struct ur_transport transport;
	struct ur_transfer_pace pace;
	struct ur_transfer t;
	char asked[4096];
};

static void begin(
	struct ur_transport *transport, struct ur_transfer *t, enum ur_transfer_state state)
{
	struct script *s = (struct script *)transport;
	(void)t;
	const size_t size = strlen(s->asked);
	(void)snprintf(s->asked + size, sizeof s->asked - size, "%s%s", size == 0 ? "" : " ",
		ur_transfer_state_name(state));
}

static void start(struct script *s, struct ur_transfer_spec spec)
{
	*s = (struct script){.transport.begin = begin};
	ur_transfer_pace_init(&s->pace, 32 * MIB, 0);
	spec.answer_wait_ms = spec.answer_wait_ms == 0 ? 60000 : spec.answer_wait_ms;
	ur_transfer_start(&s->t, &s->transport, &s->pace, &spec);
}

static void answer(struct script *s, int status)
{
	const struct ur_transfer_outcome out = {
		.status = status, .own = true, .retry_ms = -1, .took_ms = 9000};
	ur_transfer_step(&s->t, &out);
}

static void answer_at(struct script *s, int status, uint64_t offset)
{
	const struct ur_transfer_outcome out = {.status = status,
		.own = true,
		.has_offset = true,
		.offset = offset,
		.retry_ms = -1,
		.took_ms = 9000};
	ur_transfer_step(&s->t, &out);
}

static void lose(struct script *s, int result)
{
	const struct ur_transfer_outcome out = {
		.result = result, .retry_ms = -1, .words = "it broke"};
	ur_transfer_step(&s->t, &out);
}

/** What somebody before the gateway says. */
static void page(struct script *s, int status)
{
	const struct ur_transfer_outcome out = {
		.status = status, .retry_ms = -1, .words = "a page"};
	ur_transfer_step(&s->t, &out);
}

static void passes(struct script *s) // the disk, the ledger, a timer
{
	answer(s, 0);
}

static void tell(struct script *s, enum ur_transfer_told told)
{
	const struct ur_transfer_outcome out = {
		.status = 200, .told = told, .told_status = 400, .retry_ms = -1, .words = "words"};
	ur_transfer_step(&s->t, &out);
}

/** Created and recorded, about to hash the first chunk. */
static void make(struct script *s, uint64_t length)
{
	start(s, (struct ur_transfer_spec){.length = length});
	answer(s, 201);
	passes(s);
	assert_int_equal(s->t.state, UR_TRANSFER_HASH);
	s->asked[0] = '\0';
}

static void an_upload_is_made_recorded_and_sent_in_chunks(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 70 * MIB});
	answer(&s, 201);
	passes(&s); // record
	for (int i = 1; i <= 3; i++) {
		passes(&s); // hash
		assert_int_equal(s.t.chunk, i < 3 ? 32 * MIB : 6 * MIB);
		answer_at(&s, 204, i < 3 ? (uint64_t)i * 32 * MIB : 70 * MIB);
	}
	tell(&s, UR_TOLD_COMPLETE);
	passes(&s); // wait
	tell(&s, UR_TOLD_CREATED);
	assert_string_equal(
		s.asked, "create record hash send hash send hash send ask wait ask over");
	assert_int_equal(s.t.end, UR_TRANSFER_CREATED);
}

static void nothing_is_sent_before_the_address_is_durable(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 70 * MIB});
	answer(&s, 201);
	assert_string_equal(s.asked, "create record");
	lose(&s, -EIO);
	assert_string_equal(s.asked, "create record over");
	assert_int_equal(s.t.end, UR_TRANSFER_STOPPED);
}

static void a_sidecar_goes_first_and_again_when_the_upload_is_made_anew(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 40 * MIB, .related = true});
	answer(&s, 201);
	answer(&s, 201);
	passes(&s);
	passes(&s);
	answer(&s, 404); // forgotten
	assert_string_equal(s.asked, "related create record hash send related");
}

static void a_known_upload_is_asked_where_it_stands(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 70 * MIB, .has_address = true});
	answer_at(&s, 200, 65 * MIB);
	assert_int_equal(s.t.chunk, 5 * MIB);
	passes(&s);
	answer_at(&s, 204, 70 * MIB);
	assert_string_equal(s.asked, "locate hash send ask");
}

static void a_complete_upload_is_only_asked_after(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 70 * MIB, .has_address = true});
	answer_at(&s, 200, 70 * MIB);
	tell(&s, UR_TOLD_DUPLICATE);
	assert_string_equal(s.asked, "locate ask over");
	assert_int_equal(s.t.end, UR_TRANSFER_DUPLICATE);
}

static void a_lost_line_rests_and_asks_for_the_offset(void **state)
{
	struct script s;
	(void)state;
	make(&s, 70 * MIB);
	passes(&s);
	lose(&s, -ECONNRESET);
	passes(&s); // rest
	answer_at(&s, 200, 20 * MIB);
	assert_int_equal(s.t.chunk, 32 * MIB);
	assert_int_equal(s.t.rests, 0); // it got on
	assert_string_equal(s.asked, "send rest locate hash");
}

static void a_line_that_stays_dead_leaves_what_is_there(void **state)
{
	struct script s;
	(void)state;
	make(&s, 70 * MIB);
	passes(&s);
	lose(&s, -ECONNRESET);
	int64_t before = 0;
	for (int i = 0; s.t.state == UR_TRANSFER_REST; i++) {
		assert_in_range(i, 0, UR_TRANSFER_RESTS_MAX);
		assert_true(s.t.rest_ms >= 250 && s.t.rest_ms <= 30000);
		assert_true(s.t.rest_ms * 4 > before);
		before = s.t.rest_ms;
		passes(&s);
		lose(&s, -ECONNREFUSED);
	}
	assert_int_equal(s.t.end, UR_TRANSFER_AWAY);
	assert_string_equal(s.t.why, "it broke");
	assert_null(strstr(s.asked, "drop"));
}

static void another_offset_is_taken_but_not_for_ever(void **state)
{
	struct script s;
	(void)state;
	make(&s, 70 * MIB);
	passes(&s);
	answer_at(&s, 409, 8 * MIB);
	assert_int_equal(s.t.offset, 8 * MIB);
	assert_string_equal(s.asked, "send hash");
	for (int i = 0; s.t.state == UR_TRANSFER_HASH; i++) {
		assert_in_range(i, 0, UR_TRANSFER_MISMATCHES_MAX);
		passes(&s);
		answer_at(&s, 409, 8 * MIB);
	}
	assert_int_equal(s.t.state, UR_TRANSFER_REST);
}

static void a_wrong_checksum_sends_the_chunk_again_and_then_anew_and_then_gives_up(void **state)
{
	struct script s;
	(void)state;
	make(&s, 40 * MIB);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < UR_TRANSFER_MISMATCHES_MAX; i++) {
			passes(&s);
			answer(&s, 460);
			assert_int_equal(s.t.state, UR_TRANSFER_LOCATE);
			answer_at(&s, 200, 0);
		}
		passes(&s);
		answer(&s, 460);
		if (round == 0) {
			assert_int_equal(s.t.state, UR_TRANSFER_CLEAR);
			answer(&s, 204);
			answer(&s, 201);
			passes(&s);
		}
	}
	assert_int_equal(s.t.state, UR_TRANSFER_DROP);
	answer(&s, 204);
	assert_int_equal(s.t.end, UR_TRANSFER_FAILED);
}

static void a_forgotten_upload_is_made_anew_once(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 40 * MIB, .has_address = true});
	answer(&s, 404);
	answer(&s, 201);
	passes(&s);
	passes(&s);
	answer(&s, 410);
	assert_string_equal(s.asked, "locate create record hash send over");
	assert_int_equal(s.t.end, UR_TRANSFER_FAILED);
}

/* What the gateway holds it alone can let go of: nothing that was sent is sent again for a page. */
static void a_page_forgets_no_upload_and_ends_none(void **state)
{
	static const int pages[] = {200, 204, 302, 308, 400, 401, 403, 404, 410, 429, 500, 502};
	(void)state;
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		struct script s;
		start(&s, (struct ur_transfer_spec){.length = 70 * MIB, .has_address = true});
		page(&s, pages[i]);
		assert_string_equal(s.asked, "locate rest");
		passes(&s);
		answer_at(&s, 200, 64 * MIB);
		passes(&s);
		page(&s, pages[i]);
		assert_string_equal(s.asked, "locate rest locate hash send rest");
		assert_int_equal(s.t.offset, 64 * MIB);
		assert_false(s.t.renewed);
	}
}

static void a_page_that_finds_a_piece_too_large_has_nothing_dropped(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 70 * MIB, .has_address = true});
	answer_at(&s, 200, 64 * MIB);
	for (int i = 0; i < 40 && s.t.state != UR_TRANSFER_OVER; i++) {
		if (s.t.state == UR_TRANSFER_SEND) {
			page(&s, 413);
		} else if (s.t.state == UR_TRANSFER_LOCATE) {
			answer_at(&s, 200, 64 * MIB);
		} else {
			passes(&s);
		}
	}
	assert_int_equal(s.t.end, UR_TRANSFER_AWAY);
	assert_true(s.t.has_address);
	assert_null(strstr(s.asked, "drop"));
}

static void what_was_asked_for_is_known_when_it_is_over(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 9 * MIB, .has_address = true});
	assert_true(s.t.asked_ms < 0);
	const struct ur_transfer_outcome out = {.status = 429, .retry_ms = 86400000};
	ur_transfer_step(&s.t, &out);
	assert_int_equal(s.t.end, UR_TRANSFER_AWAY);
	assert_int_equal(s.t.asked_ms, 86400000);
	assert_int_equal(s.t.status, 429);
}

static void chunks_that_are_too_large_are_halved_down_to_the_least(void **state)
{
	struct script s;
	uint64_t before = 0;
	(void)state;
	make(&s, 70 * MIB);
	while (s.t.state == UR_TRANSFER_HASH) {
		before = s.t.chunk;
		passes(&s);
		answer(&s, 413);
		if (s.t.state == UR_TRANSFER_LOCATE) {
			assert_true(s.pace.learned);
			answer_at(&s, 200, 0);
			assert_int_equal(s.t.chunk, before / 2);
		}
	}
	assert_int_equal(before, UR_TRANSFER_CHUNK_MIN);
	assert_int_equal(s.t.state, UR_TRANSFER_DROP);
	answer(&s, 204);
	assert_int_equal(s.t.end, UR_TRANSFER_REFUSED);
	assert_int_equal(s.t.status, 413);
}

static void fast_chunks_grow_but_never_beyond_what_was_learned(void **state)
{
	struct ur_transfer_outcome fast = {
		.status = 204, .has_offset = true, .retry_ms = -1, .took_ms = 10};
	struct script s;
	(void)state;
	make(&s, 10000 * MIB);
	passes(&s);
	answer(&s, 413);
	answer_at(&s, 200, 0);
	for (int i = 0; i < 4; i++) {
		passes(&s);
		fast.offset = s.t.offset + s.t.chunk;
		ur_transfer_step(&s.t, &fast);
		assert_int_equal(s.pace.chunk, 16 * MIB);
	}
	make(&s, 10000 * MIB);
	for (int i = 0; i < 4; i++) {
		passes(&s);
		fast.offset = s.t.offset + s.t.chunk;
		ur_transfer_step(&s.t, &fast);
	}
	assert_int_equal(s.pace.chunk, UR_TRANSFER_CHUNK_MAX);
	assert_false(s.pace.learned);
}

static void a_file_that_changed_is_taken_back(void **state)
{
	struct script s;
	(void)state;
	make(&s, 70 * MIB);
	lose(&s, -ESTALE);
	assert_string_equal(s.asked, "drop");
	answer(&s, 204);
	assert_int_equal(s.t.end, UR_TRANSFER_CHANGED);
	make(&s, 70 * MIB);
	passes(&s);
	lose(&s, -ESTALE);
	lose(&s, -ECONNRESET); // of the DELETE: what is left expires
	assert_string_equal(s.asked, "send drop over");
	assert_int_equal(s.t.end, UR_TRANSFER_CHANGED);
}

static void a_file_that_cannot_be_read_keeps_what_is_there(void **state)
{
	struct script s;
	(void)state;
	make(&s, 70 * MIB);
	lose(&s, -EIO);
	assert_string_equal(s.asked, "over");
	assert_int_equal(s.t.end, UR_TRANSFER_UNREAD);
	assert_int_equal(s.t.code, -EIO);
}

static void what_the_server_refuses_is_taken_back_with_its_words(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = MIB, .has_address = true});
	answer_at(&s, 200, MIB);
	tell(&s, UR_TOLD_REFUSED);
	answer(&s, 204);
	assert_string_equal(s.asked, "locate ask drop over");
	assert_int_equal(s.t.end, UR_TRANSFER_REFUSED);
	assert_int_equal(s.t.status, 400);
	assert_string_equal(s.t.why, "words");
}

static void a_server_that_stores_slowly_is_waited_for_so_long_and_no_longer(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){
			  .length = MIB, .has_address = true, .answer_wait_ms = 20000});
	answer_at(&s, 200, MIB);
	tell(&s, UR_TOLD_COMPLETE);
	int64_t waited = 0;
	while (s.t.state == UR_TRANSFER_WAIT) {
		waited += s.t.rest_ms;
		passes(&s);
		tell(&s, UR_TOLD_COMPLETE);
	}
	assert_int_equal(s.t.end, UR_TRANSFER_LATER);
	assert_in_range(waited, 20000, 26000);
	assert_null(strstr(s.asked, "drop"));
}

static void all_bytes_durable_but_not_finished_is_finished_by_an_empty_request(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = MIB, .has_address = true});
	answer_at(&s, 200, MIB);
	tell(&s, UR_TOLD_RECEIVING);
	assert_int_equal(s.t.chunk, 0);
	answer_at(&s, 204, MIB);
	tell(&s, UR_TOLD_CREATED);
	assert_string_equal(s.asked, "locate ask send ask over");
}

static void a_gateway_that_says_receiving_for_ever_is_left(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = MIB, .has_address = true});
	int rounds = 0;
	while (s.t.state != UR_TRANSFER_OVER) {
		s.asked[0] = '\0';
		assert_in_range(++rounds, 0, 200);
		if (s.t.state == UR_TRANSFER_ASK) {
			tell(&s, UR_TOLD_RECEIVING);
		} else {
			answer_at(&s, s.t.state == UR_TRANSFER_SEND ? 204 : 200, MIB);
		}
	}
	assert_int_equal(s.t.end, UR_TRANSFER_AWAY); // what is there stays
}

static void who_asks_for_longer_than_a_run_waits_is_asked_in_the_next(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = MIB, .answer_wait_ms = 20000});
	const struct ur_transfer_outcome later = {
		.status = 503, .retry_ms = 20001, .words = "later"};
	ur_transfer_step(&s.t, &later);
	assert_int_equal(s.t.state, UR_TRANSFER_OVER);
	assert_int_equal(s.t.end, UR_TRANSFER_AWAY);
	assert_string_equal(s.t.why, "later");
}

static void an_early_answer_sends_nothing(void **state)
{
	const struct ur_transfer_outcome early = {
		.status = 201, .has_offset = true, .offset = MIB, .early = true, .retry_ms = -1};
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = MIB});
	ur_transfer_step(&s.t, &early);
	assert_string_equal(s.asked, "create over");
	assert_int_equal(s.t.end, UR_TRANSFER_DUPLICATE);
	assert_int_equal(s.t.offset, MIB);
}

static void what_the_server_got_otherwise_is_not_sent_on(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 9 * MIB, .has_address = true, .there = true});
	answer_at(&s, 200, MIB);
	answer(&s, 204);
	assert_string_equal(s.asked, "locate drop over");
	assert_int_equal(s.t.end, UR_TRANSFER_NEEDLESS);
	start(&s, (struct ur_transfer_spec){.length = 9 * MIB, .has_address = true, .there = true});
	answer(&s, 404);
	assert_string_equal(s.asked, "locate over");
	assert_int_equal(s.t.end, UR_TRANSFER_LOST);
}

static void a_gateway_that_refuses_the_creation_is_not_for_this_file(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 9 * MIB});
	answer(&s, 403);
	assert_string_equal(s.asked, "create over");
	assert_int_equal(s.t.end, UR_TRANSFER_UNUSABLE);
	make(&s, 9 * MIB);
	passes(&s);
	answer(&s, 415);
	answer(&s, 204);
	assert_string_equal(s.asked, "send drop over");
	assert_int_equal(s.t.end, UR_TRANSFER_UNUSABLE);
}

static void retry_after_is_kept(void **state)
{
	const struct ur_transfer_outcome busy = {.status = 503, .retry_ms = 45000};
	struct script s;
	(void)state;
	make(&s, 9 * MIB);
	passes(&s);
	ur_transfer_step(&s.t, &busy);
	assert_int_equal(s.t.rest_ms, 45000);
}

static void the_upload_of_what_the_file_was_before_goes_first(void **state)
{
	struct script s;
	(void)state;
	start(&s, (struct ur_transfer_spec){.length = 9 * MIB, .clear = true});
	lose(&s, -ECONNRESET);
	assert_string_equal(s.asked, "clear create");
}

/** Whatever is answered, at most so much is asked, and it ends. */
static void any_answers_come_to_an_end(void **state)
{
	static const int statuses[] = {0, 200, 201, 204, 400, 401, 403, 404, 409, 410, 413, 415,
		423, 429, 460, 500, 502, 503, 507};
	(void)state;
	unsigned seed = 1;
	for (int run = 0; run < 20000; run++) {
		struct script s;
		start(&s, (struct ur_transfer_spec){.length = 5 * MIB,
				  .has_address = (run & 1) != 0,
				  .clear = (run & 2) != 0,
				  .related = (run & 4) != 0,
				  .there = (run & 8) != 0,
				  .answer_wait_ms = 60000,
				  .seed = (uint64_t)run});
		int steps = 0;
		while (s.t.state != UR_TRANSFER_OVER) {
			s.asked[0] = '\0';
			seed = seed * 1103515245u + 12345u;
			const unsigned r = seed >> 8;
			const struct ur_transfer_outcome out = {
				.result = r % 7 == 0 ? -ECONNRESET : 0,
				.status = statuses[r % (sizeof statuses / sizeof *statuses)],
				.own = r % 11 != 0,
				.has_offset = r % 3 != 0,
				.offset =
					r % 5 == 0 ? s.t.offset + s.t.chunk : (r >> 4) % (6 * MIB),
				.retry_ms = -1,
				.told = (enum ur_transfer_told)((r >> 3) % (UR_TOLD_REFUSED + 1)),
			};
			ur_transfer_step(&s.t, &out);
			assert_true(s.t.offset <= s.t.spec.length);
			assert_in_range(++steps, 0, 5000);
		}
		assert_int_not_equal(s.t.end, UR_TRANSFER_OPEN);
	}
}

static void addresses_stay_with_their_origin(void **state)
{
	static const char base[] = "https://photos.example.org:8443/im/uringest/files/";
	static const struct {
		const char *location;
		int result;
		const char *address;
	} cases[] = {
		{"/im/uringest/files/4f1c", 0, "4f1c"},
		{"https://PHOTOS.example.org:8443/im/uringest/files/4f1c", 0, "4f1c"},
		{"4f1c", 0, "4f1c"},
		{"/elsewhere/4f1c", 0, "/elsewhere/4f1c"},
		{"https://photos.example.org/im/uringest/files/4f1c", -EXDEV, NULL},
		{"http://photos.example.org:8443/im/uringest/files/4f1c", -EXDEV, NULL},
		{"https://photos.example.org:84430/x", -EXDEV, NULL},
		{"https://photos.example.org:8443.evil.org/x", -EXDEV, NULL},
		{"https://photos.example.org:8443@evil.org/x", -EBADMSG, NULL},
		{"//evil.org/x", -EXDEV, NULL},
		{"/im/uringest/files/", -EBADMSG, NULL},
		{"/im/uringest/files/4f1c?key=secret", -EBADMSG, NULL},
		{"/im/uringest/files/../../api", -EBADMSG, NULL},
		{"../x", -EBADMSG, NULL},
		{"/a b", -EBADMSG, NULL},
		{"/a\r\nX: y", -EBADMSG, NULL},
		{"", -EBADMSG, NULL},
	};
	char text[UR_ADDRESS_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(ur_address_read(cases[i].location, base, text), cases[i].result);
		if (cases[i].result == 0) {
			assert_string_equal(text, cases[i].address);
		}
	}
	assert_true(ur_address_write("4f1c", "http://nas/uringest/files/", "/status", text));
	assert_string_equal(text, "http://nas/uringest/files/4f1c/status");
	assert_true(ur_address_write("/x/4f1c", "http://nas:81/uringest/files/", "", text));
	assert_string_equal(text, "http://nas:81/x/4f1c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upload_is_made_recorded_and_sent_in_chunks),
		cmocka_unit_test(nothing_is_sent_before_the_address_is_durable),
		cmocka_unit_test(a_sidecar_goes_first_and_again_when_the_upload_is_made_anew),
		cmocka_unit_test(a_known_upload_is_asked_where_it_stands),
		cmocka_unit_test(a_complete_upload_is_only_asked_after),
		cmocka_unit_test(a_lost_line_rests_and_asks_for_the_offset),
		cmocka_unit_test(a_line_that_stays_dead_leaves_what_is_there),
		cmocka_unit_test(another_offset_is_taken_but_not_for_ever),
		cmocka_unit_test(
			a_wrong_checksum_sends_the_chunk_again_and_then_anew_and_then_gives_up),
		cmocka_unit_test(a_forgotten_upload_is_made_anew_once),
		cmocka_unit_test(a_page_forgets_no_upload_and_ends_none),
		cmocka_unit_test(a_page_that_finds_a_piece_too_large_has_nothing_dropped),
		cmocka_unit_test(what_was_asked_for_is_known_when_it_is_over),
		cmocka_unit_test(chunks_that_are_too_large_are_halved_down_to_the_least),
		cmocka_unit_test(fast_chunks_grow_but_never_beyond_what_was_learned),
		cmocka_unit_test(a_file_that_changed_is_taken_back),
		cmocka_unit_test(a_file_that_cannot_be_read_keeps_what_is_there),
		cmocka_unit_test(what_the_server_refuses_is_taken_back_with_its_words),
		cmocka_unit_test(a_server_that_stores_slowly_is_waited_for_so_long_and_no_longer),
		cmocka_unit_test(
			all_bytes_durable_but_not_finished_is_finished_by_an_empty_request),
		cmocka_unit_test(a_gateway_that_says_receiving_for_ever_is_left),
		cmocka_unit_test(who_asks_for_longer_than_a_run_waits_is_asked_in_the_next),
		cmocka_unit_test(an_early_answer_sends_nothing),
		cmocka_unit_test(what_the_server_got_otherwise_is_not_sent_on),
		cmocka_unit_test(a_gateway_that_refuses_the_creation_is_not_for_this_file),
		cmocka_unit_test(retry_after_is_kept),
		cmocka_unit_test(the_upload_of_what_the_file_was_before_goes_first),
		cmocka_unit_test(any_answers_come_to_an_end),
		cmocka_unit_test(addresses_stay_with_their_origin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
