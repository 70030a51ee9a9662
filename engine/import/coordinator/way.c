/*
 * way - how large a body may be on the way to the server: a 413 is a property of the way, not of a file.
 *
 *     took ────────────── what went through          smaller: sent
 *     refused ─────────── what did not, at least     as large: waits; the smallest is tried at the end
 *
 * Both are remembered by the ledger.  When the proxy is mended the one that is tried goes through, and
 * the next run sends the rest.
 */
#include "engine/import/coordinator/internal.h"

#include <assert.h>

#define LEARNED_TOOK "body_took"       // bytes of the largest file that went through
#define LEARNED_REFUSED "body_refused" // and of the smallest that was too large; 0: none

static const char waits[] =
	"as large as what the server, or a proxy before it, does not let through: raise its limit "
	"(nginx: client_max_body_size), or send large files by the gateway";

static const char *server_of(const struct ur_coordinator *c)
{
	return c->run->options->http.server;
}

/** The two numbers, as an earlier run left them. */
static void recall(struct ur_coordinator *c)
{
	struct ur_err err = {0};
	struct ur_way *way = &c->way;
	way->known = true;
	if (c->broken || server_of(c) == NULL) {
		return;
	}
	int r = ur_ledger_learned(c->ledger, server_of(c), LEARNED_TOOK, &way->took, &err);
	r = r < 0 ? r
		  : ur_ledger_learned(
			    c->ledger, server_of(c), LEARNED_REFUSED, &way->refused, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}

static void learn(struct ur_coordinator *c)
{
	struct ur_err err = {0};
	const struct ur_way *way = &c->way;
	if (c->broken || server_of(c) == NULL) {
		return;
	}
	int r = ur_ledger_learn(c->ledger, server_of(c), LEARNED_TOOK, way->took, &err);
	r = r < 0 ? r
		  : ur_ledger_learn(c->ledger, server_of(c), LEARNED_REFUSED, way->refused, &err);
	if (r < 0) {
		ur_book_fail(c, r, &err);
	}
}

static bool is_too_large(struct ur_coordinator *c, const struct ur_file *file)
{
	if (!c->way.known) {
		recall(c);
	}
	return c->way.refused > 0 && file->identity.size >= c->way.refused;
}

static struct ur_file *file_of(struct ur_item *item)
{
	return &item->files[item->current];
}

static void close_waiting(struct ur_coordinator *c, struct ur_file *file)
{
	file->trouble = true;
	ur_file_close(file, UR_WANTED, UR_OUTCOME_WAITING, waits);
	atomic_fetch_add(&c->run->too_large, 1);
	atomic_fetch_add(&c->run->held, 1);
	ur_under_way_release(c, file);
}

/** The item that was to be tried is not the smallest after all. */
static void let_go(struct ur_coordinator *c)
{
	struct ur_item *item = c->way.probe;
	c->way.probe = NULL;
	close_waiting(c, file_of(item));
	ur_step_go(c, item, UR_STEP_SEND);
}

enum ur_way_word ur_way_of(struct ur_coordinator *c, struct ur_item *item, struct ur_file *file)
{
	struct ur_way *way = &c->way;
	assert(file == file_of(item));
	if (!is_too_large(c, file)) {
		return UR_WAY_OPEN;
	}
	const bool smaller =
		way->probe == NULL || file->identity.size < file_of(way->probe)->identity.size;
	if (way->probed || !smaller || ur_step_is_stopping(c)) {
		close_waiting(c, file);
		return UR_WAY_WAITS;
	}
	if (way->probe != NULL) {
		let_go(c);
	}
	item->step = UR_STEP_PARKED;
	way->probe = item;
	return UR_WAY_PROBE;
}

void ur_way_turn(struct ur_coordinator *c)
{
	struct ur_way *way = &c->way;
	struct ur_item *item = way->probe;
	if (item == NULL) {
		return;
	}
	if (ur_step_is_stopping(c)) {
		let_go(c);
	} else if (ur_step_is_idle(c) && c->parked.count == 0) { // all that is sure goes before it
		way->probe = NULL;
		way->probed = true;
		item->step = UR_STEP_SEND;
		ur_items_add(&c->to_send, item);
	}
}

void ur_way_refused(struct ur_coordinator *c, const struct ur_file *file, int status)
{
	struct ur_way *way = &c->way;
	const bool first = way->refused == 0;
	char size[16];
	atomic_fetch_add(&c->run->too_large, 1);
	if (first || file->identity.size < way->refused) {
		way->refused = file->identity.size;
		way->took = way->took < way->refused ? way->took : 0; // it has been narrowed since
		learn(c);
	}
	if (!way->told && !ur_file_was_told_of(c, file)) {
		way->told = true;
		ur_show_bytes((uint64_t)way->refused, size);
		ur_run_warn(c->run,
			"a file of %s is too large for the server, or for a proxy before it (HTTP %d): "
			"raise its limit (nginx: client_max_body_size), or send large files by the "
			"gateway; those that are as large wait, and one is tried in each run",
			size, status);
	}
}

void ur_way_took(struct ur_coordinator *c, const struct ur_file *file)
{
	struct ur_way *way = &c->way;
	const bool mended = way->refused > 0 && file->identity.size >= way->refused;
	if (file->identity.size > way->took) {
		way->took = file->identity.size;
	}
	if (mended) {
		way->refused = 0;
		way->probed = false;
		learn(c);
		ur_run_warn(c->run,
			"larger files pass again: those that waited for that are sent in the next run");
	}
}
