/*
 * scan_bench - the first half of a run: FOLDER is scanned and hashed, and nothing is decided.
 *
 *     scan_bench FOLDER LEDGER
 *
 *     scan → probe ─▶ [counted] ─▶ empty items
 *
 * The stages are those of an import, with its pool and its queues; what comes out of them is counted
 * and goes back at once.  LEDGER is made when it is missing, and only read.  Beside a plan this shows
 * what the rows of the ledger and the question to the server cost.
 */
#include "engine/ledger/ledger.h"
#include "engine/stage/probe.h"
#include "engine/stage/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
	struct ur_options options;
	struct ur_run run;
	struct ur_item *pool;
	struct ur_queue *empty;
	struct ur_queue *in[UR_PROBES_MAX];
	struct ur_queue *out[UR_PROBES_MAX];
	struct ur_bell bells[UR_PROBES_MAX];
	struct ur_bell *bell_list[UR_PROBES_MAX];
	struct ur_bell scan_bell;
	struct ur_bell bell;
	struct ur_probe *probes[UR_PROBES_MAX];
	unsigned warm;
	unsigned count;
	uint64_t hashed;
	uint64_t others;
};

static void must(int r, const struct ur_err *err)
{
	if (r < 0) {
		(void)fprintf(stderr, "scan_bench: %s\n",
			err != NULL && err->text[0] != '\0' ? err->text : strerror(-r));
		exit(2);
	}
}

static void make(struct bench *b)
{
	struct ur_err err = {0};
	struct ur_ledger *ledger = NULL;
	must(ur_ledger_open(b->options.ledger, UR_LEDGER_WRITE, &ledger, &err), &err);
	(void)ur_ledger_free(ledger);
	must(ur_types_new(&b->run.types), NULL);
	must(ur_types_add_usual(b->run.types), NULL);
	must(ur_queue_new(UR_POOL_ITEMS, &b->empty), NULL);
	must(ur_bell_init(&b->scan_bell), NULL);
	must(ur_bell_init(&b->bell), NULL);
	for (unsigned k = 0; k < b->count; k++) {
		must(ur_queue_new(UR_POOL_ITEMS, &b->in[k]), NULL);
		must(ur_queue_new(UR_POOL_ITEMS, &b->out[k]), NULL);
		must(ur_bell_init(&b->bells[k]), NULL);
		b->bell_list[k] = &b->bells[k];
	}
	b->pool = calloc(UR_POOL_ITEMS, sizeof *b->pool);
	must(b->pool == NULL ? -ENOMEM : 0, NULL);
	for (size_t i = 0; i < UR_POOL_ITEMS; i++) {
		ur_arena_init(&b->pool[i].arena);
		must(ur_queue_push(b->empty, &b->pool[i]), NULL);
	}
}

static void count_item(struct bench *b, struct ur_item *item)
{
	for (int i = 0; i < item->count; i++) {
		b->hashed += item->files[i].hashed ? 1 : 0;
		b->others += item->files[i].hashed ? 0 : 1;
	}
	ur_run_leave(&b->run, item->dir);
	item->dir = NULL;
	must(ur_queue_push(b->empty, item), NULL);
}

static bool take_all(struct bench *b, unsigned *open)
{
	bool any = false;
	for (unsigned k = 0; k < b->count; k++) {
		void *item = NULL;
		int r = b->out[k] == NULL ? -EAGAIN : 0;
		while (r == 0 && (r = ur_queue_pop(b->out[k], &item)) == 0) {
			count_item(b, item);
			any = true;
		}
		if (r == -EPIPE) {
			b->out[k] = ur_queue_free(b->out[k]);
			(*open)--;
		}
	}
	ur_bell_ring(&b->scan_bell);
	return any;
}

static void run(struct bench *b)
{
	struct ur_err err = {0};
	struct ur_scan *scan = NULL;
	const struct ur_scan_wiring wiring = {
		b->empty, b->in, b->bell_list, b->count, b->warm, &b->scan_bell};
	must(ur_scan_new(&b->run, &wiring, &scan, &err), &err);
	for (unsigned k = 0; k < b->count; k++) {
		const struct ur_probe_wiring probe = {b->in[k], b->out[k], &b->bell, &b->bells[k]};
		must(ur_probe_start(&b->run, &probe, &b->probes[k], &err), &err);
	}
	must(ur_scan_start(scan, &err), &err);
	for (unsigned open = b->count; open > 0;) {
		ur_bell_arm(&b->bell);
		if (!take_all(b, &open) && open > 0) {
			ur_bell_wait(&b->bell, 1000);
		}
	}
	(void)ur_scan_free(scan);
	for (unsigned k = 0; k < b->count; k++) {
		(void)ur_probe_free(b->probes[k]);
	}
	must(b->run.result, &b->run.err);
}

int main(int argc, char **argv)
{
	static struct bench b;
	if (argc != 3) {
		(void)fprintf(stderr, "usage: scan_bench FOLDER LEDGER\n");
		return 2;
	}
	const char *const sources[] = {argv[1]};
	b.warm = 2; // as the program has it unless told
	b.count = 2 * b.warm;
	b.options = (struct ur_options){.sources = sources,
		.source_count = 1,
		.ledger = argv[2],
		.plan = true,
		.probe_threads = b.warm,
		.command = "bench"};
	b.run.options = &b.options;
	b.run.destination = 1;
	(void)pthread_mutex_init(&b.run.talk, NULL);
	make(&b);
	run(&b);
	(void)printf("%" PRIu64 " files hashed, %" PRIu64 " not, %" PRIu64 " bytes\n", b.hashed,
		b.others, (uint64_t)b.run.bytes_hashed);
	return 0; // what is left belongs to the process
}
