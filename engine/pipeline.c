/*
 * pipeline - the wiring.
 *
 * Every queue has room for the whole pool, so a push never fails and the pool is the only throttle.
 * Things are made in the order in which they lean on each other, and unmade in the other one.
 */
#include "engine/pipeline.h"

#include "engine/base/clock.h"
#include "engine/import/coordinator/coordinator.h"
#include "engine/net/wire.h"
#include "engine/pipeline_handshake.h"
#include "engine/source/hindrance.h"
#include "engine/source/staging.h"
#include "engine/stage/chunks.h"
#include "engine/stage/probe.h"
#include "engine/stage/recover.h"
#include "engine/stage/scan.h"
#include "engine/stage/settle.h"
#include "engine/stage/upload.h"
#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>

static_assert((UR_POOL_ITEMS & (UR_POOL_ITEMS - 1)) == 0, "queues want powers of two");

enum queue_name {
	FREE_ITEMS,
	TO_UPLOAD,
	FROM_UPLOAD,
	TO_CHUNKS,
	FROM_CHUNKS,
	TO_SETTLE,
	FROM_SETTLE,
	ANSWERS,
	TO_PROBE,
	FROM_PROBE = TO_PROBE + UR_PROBES_MAX,
	QUEUES = FROM_PROBE + UR_PROBES_MAX,
};

struct ur_pipeline {
	struct ur_run run;
	struct ur_item *pool;
	struct ur_queue *queues[QUEUES];
	struct ur_bell scan_bell;
	struct ur_bell coordinator_bell;
	struct ur_bell settle_bell;
	struct ur_bell probe_bells[UR_PROBES_MAX];
	struct ur_bell *probe_bell_list[UR_PROBES_MAX];
	struct ur_ledger *ledger;
	struct ur_upload *upload;
	struct ur_chunks *chunks;
	struct ur_http *http;
	struct ur_scan *scan;
	struct ur_probe *probes[UR_PROBES_MAX];
	unsigned probe_count;
	struct ur_settle *settle;
	struct ur_coordinator *coordinator;
	struct ur_options options; // ours: `after` may be weaker than asked for
	int64_t timed_folder;      // the ledger's id of the one folder of a timer's run, else 0
	char about_ring[160];
	bool bells;
};

/* ---- making the acquaintance ------------------------------------------------------------------ */

/** What the server and the key allow, against what was asked for. */
static int check_server(struct ur_pipeline *p, struct ur_err *err)
{
	const struct ur_server *server = &p->run.server;
	if (!server->may_upload && !p->options.plan) {
		return ur_err_say(err, -EACCES, UR_FAULT_SETUP,
			"this key may not upload: give it the permission asset.upload in Immich");
	}
	if (!server->in_range) {
		ur_run_warn(&p->run,
			"the server is version %d.%d.%d; 2.5 to 3.x are what this is made for: trying "
			"all the same",
			server->major, server->minor, server->patch);
	}
	if (strncasecmp(p->options.http.server, "http://", 7) == 0 &&
		!ur_http_is_near(p->options.http.server)) {
		ur_run_warn(&p->run,
			"the key and the pictures travel unencrypted: use https:// for a server that is "
			"not on your own network");
	}
	if (p->options.after != UR_AFTER_KEEP && (!server->may_read || !server->may_download)) {
		ur_run_warn(&p->run,
			"this key may not read assets back (asset.read, asset.download), so nothing can "
			"be confirmed: files are imported and kept");
		p->options.after = UR_AFTER_KEEP;
	}
	return 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

#define HANDLES_PLENTY 1024 // open files: more than this program ever wants
#define HANDLES_OTHERS 40   // that are not files being read

/** As many open files as may be; where that is few, the reading threads share what is left of them. */
static void raise_limits(struct ur_pipeline *p)
{
	struct rlimit limit = {.rlim_cur = HANDLES_PLENTY};
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	const rlim_t left = limit.rlim_cur > HANDLES_OTHERS ? limit.rlim_cur - HANDLES_OTHERS : 0;
	const rlim_t each = left / (p->probe_count > 0 ? (rlim_t)2 * p->probe_count : 2);
	p->run.probe_slots = limit.rlim_cur >= HANDLES_PLENTY ? 0 : each > 0 ? (unsigned)each : 1;
}

static int make_queues(struct ur_pipeline *p, struct ur_err *err)
{
	int r = 0;
	for (int i = 0; i < QUEUES && r == 0; i++) {
		const bool unused =
			(i >= TO_PROBE && i < FROM_PROBE &&
				(unsigned)(i - TO_PROBE) >= p->probe_count) ||
			(i >= FROM_PROBE && (unsigned)(i - FROM_PROBE) >= p->probe_count);
		/* Answers: one an item, and the coordinator's own. */
		const size_t room = i == ANSWERS ? UR_POOL_ITEMS * 2 : UR_POOL_ITEMS;
		r = unused ? 0 : ur_queue_new(room, &p->queues[i]);
	}
	p->bells = true;
	r = r < 0 ? r : ur_bell_init(&p->scan_bell);
	r = r < 0 ? r : ur_bell_init(&p->coordinator_bell);
	r = r < 0 ? r : ur_bell_init(&p->settle_bell);
	for (unsigned k = 0; k < p->probe_count && r == 0; k++) {
		r = ur_bell_init(&p->probe_bells[k]);
		p->probe_bell_list[k] = &p->probe_bells[k];
	}
	p->pool = calloc(UR_POOL_ITEMS, sizeof *p->pool);
	r = r == 0 && p->pool == NULL ? -ENOMEM : r;
	for (size_t i = 0; i < UR_POOL_ITEMS && r == 0; i++) {
		ur_arena_init(&p->pool[i].arena);
		r = ur_queue_push(p->queues[FREE_ITEMS], &p->pool[i]);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot prepare the run") : 0;
}

static void wait_for(const struct ur_pipeline *p, const char *what)
{
	if (p->options.waits != NULL) {
		p->options.waits(p->options.context, what);
	}
}

/** What is remembered of the server must allow all that this run is about, else it is asked. */
static int greet(struct ur_pipeline *p, struct ur_err *err)
{
	struct ur_acquaintance memory = {
		.ledger = p->ledger,
		.server = p->options.http.server,
		.key = p->options.http.key,
		.wants_back = p->options.after != UR_AFTER_KEEP,
	};
	wait_for(p,
		"waiting for the server: it has not said yet who it is and what this key may; each of "
		"these questions is given 20 s (Ctrl-C ends it)");
	const int r = ur_pipeline_handshake(p->http, &memory, &p->run.server, p->run.types, err);
	wait_for(p, NULL);
	p->run.server_remembered = memory.used;
	return r;
}

static int make_network(struct ur_pipeline *p, struct ur_err *err)
{
	const struct ur_upload_wiring wiring = {
		p->queues[TO_UPLOAD], p->queues[FROM_UPLOAD], &p->coordinator_bell};
	int r = ur_upload_new(&p->run, &wiring, &p->upload, err);
	if (r < 0) {
		return r;
	}
	const struct ur_chunks_wiring chunks = {
		p->queues[TO_CHUNKS], p->queues[FROM_CHUNKS], &p->coordinator_bell};
	r = ur_chunks_new(&p->run, &chunks, &p->chunks, err);
	if (r < 0) {
		return r;
	}
	const struct ur_http_guest second = ur_chunks_guest(p->chunks);
	struct ur_http_guest guest = ur_upload_guest(p->upload);
	guest.next = &second;
	r = ur_http_new(&p->options.http, &guest, &p->http, err);
	if (r < 0) {
		return r;
	}
	ur_upload_attach(p->upload, p->http);
	ur_chunks_attach(p->chunks, p->http);
	r = ur_types_new(&p->run.types);
	r = r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot prepare the run") : greet(p, err);
	return r < 0 ? r : check_server(p, err);
}

#define WIRE_SUFFIX "-wire" // beside the ledger, as -wal and -shm

#define WIRE_TURN "wire_turn" // which file it was, and when

/** One of the two may be a copy from before: then the file says nothing. */
static int take_turn(struct ur_pipeline *p)
{
	struct ur_err err = {0};
	int64_t known = 0;
	int64_t turn = 0;
	int r = ur_ledger_learned(p->ledger, "", WIRE_TURN, &known, &err);
	if (r == 0 && ur_wire_knew(p->run.wire) && known != ur_wire_turn(p->run.wire)) {
		r = ur_wire_forget(p->run.wire);
	}
	if (r == 0 && getrandom(&turn, sizeof turn, 0) != (ssize_t)sizeof turn) {
		r = -errno;
	}
	turn &= INT64_MAX;
	r = r < 0 ? r : ur_wire_begin(p->run.wire, turn);
	return r < 0 ? r : ur_ledger_learn(p->ledger, "", WIRE_TURN, turn, &err);
}

/** Without it a run after a kill waits for all that was marked to be sent, as if all of it had gone. */
static void open_wire(struct ur_pipeline *p, const uint8_t salt[UR_LEDGER_SALT])
{
	uint8_t owner[UR_HASH_XXH];
	struct ur_text path = {0};
	static_assert(sizeof owner == UR_WIRE_OWNER, "a hash of the salt, which is a secret");
	if (p->options.plan) {
		return; // nothing goes out
	}
	ur_xxh_of(salt, UR_LEDGER_SALT, owner);
	char *ledger =
		realpath(p->options.ledger, NULL); // one ledger, one file, whatever it is called
	ur_text_addf(&path, "%s" WIRE_SUFFIX, ledger == NULL ? p->options.ledger : ledger);
	free(ledger);
	int r = ur_text_ok(&path) ? ur_wire_open(ur_text_get(&path), owner, &p->run.wire) : -ENOMEM;
	r = r < 0 ? r : take_turn(p);
	if (r < 0) {
		p->run.wire = ur_wire_free(p->run.wire);
		ur_run_warn(&p->run,
			"'%s' cannot be written (%s): should this run be killed, the next one waits "
			"longer for what may still be on its way",
			ur_text_get(&path), strerrordesc_np(-r));
	}
	ur_text_done(&path);
}

static int make_staging_key(struct ur_pipeline *p, struct ur_err *err)
{
	uint8_t salt[UR_LEDGER_SALT];
	const int r = ur_ledger_salt(p->ledger, salt, err);
	if (r == 0) {
		ur_staging_key_make(salt, sizeof salt, &p->run.staging_key);
		open_wire(p, salt);
	}
	return r;
}

static int begin_run(struct ur_pipeline *p, struct ur_err *err)
{
	int64_t ceiling = 0;
	int r = ur_ledger_destination(p->ledger, p->run.server.user_id, p->run.server.user_name,
		p->options.http.server, &p->run.destination, err);
	r = r < 0 ? r
		  : ur_ledger_learned(p->ledger,
			    p->options.gateway != NULL ? p->options.gateway
						       : p->options.http.server,
			    UR_LEARNED_CHUNK_MAX, &ceiling, err);
	r = r < 0 ? r : make_staging_key(p, err);
	atomic_store(&p->run.chunk_ceiling, ceiling < 0 ? 0 : (uint64_t)ceiling);
	return r < 0 ? r
		     : ur_ledger_run_begin(
			       p->ledger, p->run.destination, p->options.command, &p->run.id, err);
}

/** Two runs that take files away from one folder would trip over each other. */
static int lock_roots(struct ur_pipeline *p, struct ur_err *err)
{
	const struct ur_root *root = NULL;
	for (size_t i = 0; (root = ur_scan_root(p->scan, i)) != NULL; i++) {
		if (p->options.after == UR_AFTER_KEEP || p->options.plan || root->loose) {
			continue;
		}
		const int r = ur_sys.flock(root->fd, LOCK_EX | LOCK_NB);
		if (r == -EWOULDBLOCK) {
			return ur_err_say(err, r, UR_FAULT_SETUP,
				"the folder '%s' is being drained by another run; wait for it",
				root->path);
		}
	}
	return 0;
}

#define TOLD_LIBRARIES "libraries_told" // the day on which it was said last
#define DAY_S INT64_C(86400)

/** Said once a day for each server: a timer would say it every few minutes. */
static void warn_of_libraries(struct ur_pipeline *p, size_t count)
{
	struct ur_err err = {0};
	const int64_t today = ur_clock_wall_ns() / UR_SECOND_NS / DAY_S;
	int64_t told = 0;
	const char *server = p->options.http.server;
	if (ur_ledger_learned(p->ledger, server, TOLD_LIBRARIES, &told, &err) < 0 ||
		told == today) {
		return;
	}
	if (ur_ledger_learn(p->ledger, server, TOLD_LIBRARIES, today, &err) < 0) {
		return; // the ledger's next use says what is wrong with it
	}
	if (count > 0) {
		ur_run_warn(&p->run,
			"the server has external libraries (%zu paths): a folder that is one of them "
			"under another name must not be emptied, its assets would go offline",
			count);
	} else {
		ur_run_warn(&p->run,
			"this key may not list the server's external libraries (library.read of an "
			"admin): a folder that is one of them must not be emptied, its assets would "
			"go offline");
	}
}

/** A folder that is an external library of this server is imported at most, and kept. */
static int spare_libraries(struct ur_pipeline *p, struct ur_err *err)
{
	struct ur_text *json = &p->run.libraries;
	const struct ur_root *root = NULL;
	char path[UR_PATH_TAIL] = "";
	bool known = false;
	size_t count = 0;
	if (p->options.after == UR_AFTER_KEEP || p->options.plan || p->options.no_library) {
		return 0;
	}
	wait_for(p,
		"waiting for the server: it has not said yet what its external libraries are, which must "
		"not be emptied; that question is given 20 s (Ctrl-C ends it)");
	int r = ur_pipeline_libraries(p->http, json, &known, err);
	wait_for(p, NULL);
	bool spared = false;
	for (size_t i = 0; r == 0 && known && (root = ur_scan_root(p->scan, i)) != NULL; i++) {
		enum ur_cover cover = UR_COVER_NONE;
		r = ur_immich_libraries_read(
			ur_text_get(json), root->path, &cover, path, &count, err);
		/* Files that were named one by one are looked at one by one. */
		if (r == 0 && !root->loose && cover != UR_COVER_NONE) {
			spared = true;
			if (ur_run_see_trouble_at(&p->run, root->path, "spared") &&
				p->options.respect_next) {
				continue; // the timer has said it, and says it again in a day
			}
			ur_run_warn(&p->run,
				"'%s' %s the external library '%s' of the server, whose assets would "
				"go offline: files are imported and kept%s",
				root->path,
				cover == UR_COVER_SAME ? "is, or shares files with," : "may be",
				path,
				cover == UR_COVER_SAME
					? ""
					: " (--not-a-library says that it is another folder)");
		}
	}
	if (spared) {
		p->options.after = UR_AFTER_KEEP;
	} else if (r == 0 && (!known || count > 0)) {
		warn_of_libraries(p, count);
	}
	return r;
}

/** Where nothing can be taken away, that is said once, before anything is sent, and not of each file. */
static void see_hindrances(struct ur_pipeline *p)
{
	char words[UR_HINDRANCE_TEXT];
	struct ur_root *root = NULL;
	const bool moving = p->options.after == UR_AFTER_MOVE;
	for (size_t i = 0; (root = ur_scan_root(p->scan, i)) != NULL; i++) {
		root->hindrance = p->options.after == UR_AFTER_KEEP || root->loose
					  ? 0
					  : ur_staging_hindrance(root->fd);
		if (root->hindrance == 0) {
			continue;
		}
		(void)ur_hindrance_of_leaving(root->hindrance, moving, words);
		const bool known = ur_run_see_trouble_at(&p->run, root->path, words);
		if (!known || !p->options.respect_next) {
			ur_run_warn(&p->run,
				"'%s': nothing can be taken away there, so files are imported and kept; "
				"of each of them: %s",
				root->path, words);
		}
	}
}

/** A timer's run is over one folder: what the run before could not do there is no news. */
static int recall_troubles(struct ur_pipeline *p, struct ur_err *err)
{
	const struct ur_root *root = ur_scan_root(p->scan, 0);
	if (!p->options.respect_next || p->options.plan || root == NULL || root->loose) {
		return 0;
	}
	const int r = ur_ledger_folder(
		p->ledger, root->path, root->path_size, true, &p->timed_folder, err);
	return r < 0 ? r
		     : ur_ledger_trouble_get(p->ledger, p->run.destination, p->timed_folder,
			       &p->run.troubles.known, err);
}

/** Of a run that looked at everything: what it could not do. */
static int note_troubles(struct ur_pipeline *p, struct ur_err *err)
{
	struct ur_ledger_trouble sum;
	const struct ur_troubles *troubles = &p->run.troubles;
	if (p->timed_folder == 0 || (troubles->count == 0 && troubles->known.count == 0)) {
		return 0;
	}
	ur_trouble_sum(troubles, p->run.id, ur_clock_wall_ns(), &sum);
	return ur_ledger_trouble_put(p->ledger, p->run.destination, p->timed_folder, &sum, err);
}

static int recover(struct ur_pipeline *p, struct ur_err *err)
{
	struct ur_root **roots = calloc(p->options.source_count + 1, sizeof *roots);
	struct ur_root *root = NULL;
	size_t count = 0;
	if (roots == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare the run");
	}
	for (size_t i = 0; (root = ur_scan_root(p->scan, i)) != NULL; i++) {
		if (!root->loose) {
			roots[count++] = root;
		}
	}
	const int r = p->options.plan ? 0 : ur_recover(p->ledger, &p->run, roots, count, err);
	free(roots);
	return r;
}

static int make_stages(struct ur_pipeline *p, struct ur_err *err)
{
	const struct ur_scan_wiring scan = {p->queues[FREE_ITEMS], &p->queues[TO_PROBE],
		p->probe_bell_list, p->probe_count, p->options.probe_threads, &p->scan_bell};
	int r = ur_scan_new(&p->run, &scan, &p->scan, err);
	r = r < 0 ? r : recall_troubles(p, err);
	r = r < 0 ? r : spare_libraries(p, err);
	r = r < 0 ? r : lock_roots(p, err);
	if (r == 0) {
		see_hindrances(p);
	}
	r = r < 0 ? r : recover(p, err);
	if (r < 0) {
		return r;
	}
	struct ur_coordinator_wiring wiring = {
		.probe_count = p->probe_count,
		.free_items = p->queues[FREE_ITEMS],
		.scan_bell = &p->scan_bell,
		.to_upload = p->queues[TO_UPLOAD],
		.from_upload = p->queues[FROM_UPLOAD],
		.to_chunks = p->queues[TO_CHUNKS],
		.from_chunks = p->queues[FROM_CHUNKS],
		.large_slots = ur_chunks_slots(&p->options),
		.to_settle = p->queues[TO_SETTLE],
		.settle_bell = &p->settle_bell,
		.from_settle = p->queues[FROM_SETTLE],
		.answers = p->queues[ANSWERS],
		.bell = &p->coordinator_bell,
		.upload_limit = (unsigned (*)(void *))ur_upload_limit,
		.upload_context = p->upload,
	};
	for (unsigned k = 0; k < p->probe_count; k++) {
		wiring.from_probe[k] = p->queues[FROM_PROBE + k];
	}
	return ur_coordinator_new(&p->run, &wiring, p->ledger, p->http, &p->coordinator, err);
}

int ur_pipeline_new(const struct ur_options *options, struct ur_pipeline **ret, struct ur_err *err)
{
	struct ur_pipeline *p = calloc(1, sizeof *p);
	if (p == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot prepare the run");
	}
	(void)signal(
		SIGIO, SIG_IGN); // a lease of ours that somebody wants to break: seen when asked
	p->options = *options;
	p->run.options = &p->options;
	p->run.started_ns = ur_clock_steady_ns();
	assert(options->probe_threads > 0 && options->probe_threads <= UR_PROBES_MAX);
	p->probe_count = 2 * options->probe_threads; // half of them only where the disk is cold
	p->probe_count = p->probe_count < UR_PROBES_MAX ? p->probe_count : UR_PROBES_MAX;
	raise_limits(p);
	(void)pthread_mutex_init(&p->run.talk, NULL);
	int r = make_queues(p, err);
	r = r < 0 ? r : ur_ledger_open(p->options.ledger, UR_LEDGER_WRITE, &p->ledger, err);
	r = r < 0 ? r : make_network(p, err);
	r = r < 0 ? r : begin_run(p, err);
	r = r < 0 ? r : make_stages(p, err);
	if (r < 0) {
		(void)ur_pipeline_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

static int start(struct ur_pipeline *p, struct ur_err *err)
{
	const struct ur_settle_wiring settle = {p->queues[TO_SETTLE], p->queues[FROM_SETTLE],
		&p->coordinator_bell, &p->settle_bell};
	int r = ur_settle_start(&p->run, &settle, &p->settle, err);
	for (unsigned k = 0; k < p->probe_count && r == 0; k++) {
		const struct ur_probe_wiring probe = {p->queues[TO_PROBE + k],
			p->queues[FROM_PROBE + k], &p->coordinator_bell, &p->probe_bells[k]};
		r = ur_probe_start(&p->run, &probe, &p->probes[k], err);
		if (r == 0 && k == 0) {
			(void)snprintf(p->about_ring, sizeof p->about_ring, "%s",
				ur_probe_about(p->probes[0]));
		}
	}
	return r < 0 ? r : ur_scan_start(p->scan, err);
}

/** When a stage could not start, the ones that did must find their inputs closed. */
static void close_inputs(struct ur_pipeline *p)
{
	for (unsigned k = 0; k < p->probe_count; k++) {
		ur_queue_close(p->queues[TO_PROBE + k]);
		ur_bell_ring(&p->probe_bells[k]);
	}
}

static void write_summary(struct ur_pipeline *p)
{
	struct ur_summary s;
	struct ur_err err = {0};
	char text[256];
	ur_pipeline_counts(p, &s);
	(void)snprintf(text, sizeof text,
		"found %llu, sent %llu, present %llu, duplicate %llu, refused %llu, failed %llu, "
		"waiting %llu, in trouble %llu%s",
		(unsigned long long)s.found, (unsigned long long)s.sent,
		(unsigned long long)s.present, (unsigned long long)s.duplicate,
		(unsigned long long)s.refused, (unsigned long long)s.failed,
		(unsigned long long)s.waiting, (unsigned long long)s.troubles,
		p->run.result < 0 ? "; did not end well" : "");
	const bool whole = p->run.result == 0 && !atomic_load(&p->run.stop);
	int r = 0;
	if (whole && p->options.after == UR_AFTER_KEEP && !p->options.plan) {
		r = ur_ledger_seal(p->ledger, p->run.destination, &err);
	}
	if (r == 0 && ur_http_refusals(p->http) > 0) { // it is not what it was, perhaps
		r = ur_ledger_answers_drop(p->ledger, p->options.http.server, &err);
	}
	r = r < 0 || !whole ? r : note_troubles(p, &err);
	r = r < 0 ? r : ur_ledger_run_end(p->ledger, p->run.id, text, &err);
	if (r < 0) {
		ur_run_fail(&p->run, r, &err);
	}
}

int ur_pipeline_run(struct ur_pipeline *p, struct ur_err *err)
{
	int r = start(p, err);
	if (r < 0) {
		close_inputs(p);
	} else {
		ur_coordinator_run(p->coordinator);
	}
	ur_queue_close(p->queues[TO_SETTLE]);
	ur_bell_ring(&p->settle_bell);
	p->settle = ur_settle_free(p->settle); // before scan: it holds a directory of a root
	p->scan = ur_scan_free(p->scan);
	for (unsigned k = 0; k < p->probe_count; k++) {
		p->probes[k] = ur_probe_free(p->probes[k]);
	}
	if (r < 0) {
		return r;
	}
	write_summary(p);
	if (p->run.result < 0) {
		*err = p->run.err;
		return p->run.result;
	}
	return atomic_load(&p->run.stop)
		       ? ur_err_say(err, -ECANCELED, UR_FAULT_WORLD, "stopped before the end")
		       : 0;
}

void ur_pipeline_stop(struct ur_pipeline *p)
{
	atomic_store(&p->run.stop, true);
	ur_bell_ring(&p->coordinator_bell);
	ur_bell_ring(&p->scan_bell);
	ur_http_wake(p->http);
}

void ur_pipeline_counts(struct ur_pipeline *p, struct ur_summary *ret)
{
	const _Atomic uint64_t *outcomes = p->run.outcomes;
	*ret = (struct ur_summary){
		.sent = outcomes[UR_OUTCOME_SENT],
		.present = outcomes[UR_OUTCOME_PRESENT],
		.duplicate = outcomes[UR_OUTCOME_DUPLICATE],
		.refused = outcomes[UR_OUTCOME_REFUSED],
		.failed = outcomes[UR_OUTCOME_FAILED],
		.waiting = outcomes[UR_OUTCOME_WAITING],
		.troubles = p->run.troubles.count,
		.troubles_fresh = p->run.troubles.fresh,
		.trouble_due = ur_trouble_is_due(&p->run.troubles, ur_clock_wall_ns()),
		.kept = p->run.kept,
		.folder_errors = p->run.folder_errors,
		.junk = p->run.junk,
		.held = p->run.held,
		.unquiet = p->run.unquiet,
		.unquiet_ms = p->run.unquiet_ns / UR_MS_NS + 1,
		.stranded = p->run.stranded,
		.bytes_found = p->run.bytes_found,
		.bytes_sent = ur_http_bytes_sent(p->http),
		.bytes_hashed = p->run.bytes_hashed,
		.bytes_read = p->run.bytes_read,
		.ring_ops = p->run.ring_ops,
		.in_flight_median = ur_run_in_flight_median(&p->run),
		.requests = ur_http_requests(p->http),
		.concurrency = ur_upload_limit(p->upload),
		.seconds = (double)(ur_clock_steady_ns() - p->run.started_ns) / UR_SECOND_NS,
		.scanned = atomic_load(&p->run.scanned),
	};
	ret->found = ret->sent + ret->present + ret->duplicate + ret->refused + ret->failed +
		     ret->waiting;
}

const struct ur_server *ur_pipeline_server(const struct ur_pipeline *p)
{
	return &p->run.server;
}

const char *ur_pipeline_ring(const struct ur_pipeline *p)
{
	return p->about_ring;
}

struct ur_pipeline *ur_pipeline_free(struct ur_pipeline *p)
{
	if (p == NULL) {
		return NULL;
	}
	p->http = ur_http_free(
		p->http); // first: its thread may still hand results to the coordinator
	p->upload = ur_upload_free(p->upload);
	p->chunks = ur_chunks_free(p->chunks);
	p->coordinator = ur_coordinator_free(p->coordinator);
	p->scan = ur_scan_free(p->scan);
	p->run.wire = ur_wire_free(p->run.wire); // before the ledger's lock, which is its own, too
	p->ledger = ur_ledger_free(p->ledger);
	p->run.types = ur_types_free(p->run.types);
	ur_text_done(&p->run.libraries);
	for (int i = 0; i < QUEUES; i++) {
		p->queues[i] = ur_queue_free(p->queues[i]);
	}
	for (size_t i = 0; p->pool != NULL && i < UR_POOL_ITEMS; i++) {
		ur_arena_done(&p->pool[i].arena);
	}
	free(p->pool);
	if (p->bells) {
		ur_bell_done(&p->scan_bell);
		ur_bell_done(&p->coordinator_bell);
		ur_bell_done(&p->settle_bell);
		for (unsigned k = 0; k < p->probe_count; k++) {
			ur_bell_done(&p->probe_bells[k]);
		}
	}
	(void)pthread_mutex_destroy(&p->run.talk);
	free(p);
	return NULL;
}
