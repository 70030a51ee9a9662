/*
 * sim_importer - a world of files, what the server has of them, runs that die, and the promises.
 */
#include "tests/sim/importer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const char sim_name[] = "importer";
const uint64_t sim_count = 65000;
struct sim_file sim_files[SIM_FILES];

bool sim_own_is_there(int own_file, bool *ret_aside)
{
	*ret_aside = sim_files[own_file].aside;
	return sim_files[own_file].there;
}

/* ---- a world --------------------------------------------------------------------------------- */

/** Pictures alone, with a sidecar, with a movie. */
static void make_files(void)
{
	int group = 0;
	for (int i = 0; i < sim.plan.files; i++) {
		struct sim_file *file = &sim_files[i];
		const bool joins =
			i > 0 && sim_files[i - 1].class == UR_CLASS_IMAGE && sim_once_in(3);
		const bool movie = joins && sim_once_in(3);
		group += joins ? 0 : 1;
		*file = (struct sim_file){
			.inode = 100 + (uint64_t)i,
			.ctime_ns = 1,
			.content = (int)sim_below((unsigned)sim.plan.contents),
			.appears = sim_lies(LIE_USER) ? 1 + (int)sim_below(4) : 0,
			.class = movie   ? UR_CLASS_VIDEO
				 : joins ? UR_CLASS_SIDECAR
					 : UR_CLASS_IMAGE,
		};
		(void)snprintf(file->name, sizeof file->name, "g%d%s", group,
			movie   ? ".mov"
			: joins ? ".jpg.xmp"
				: ".jpg");
	}
}

/** Those that come in this run, or should have come before. */
static void bring_files(int run)
{
	for (int i = 0; i < sim.plan.files; i++) {
		struct sim_file *file = &sim_files[i];
		if (file->appears >= 0 && file->appears <= run) {
			file->there = true;
			file->appears = -1;
		}
	}
}

/** Files that are the server's own. */
static void make_own(void)
{
	for (int i = 0; i < sim.plan.files; i++) {
		struct sim_content *content = &sim_contents[sim_files[i].content];
		if (sim_files[i].class != UR_CLASS_SIDECAR && !content->row && sim_lies(LIE_OWN)) {
			content->row = content->by_others = true;
			content->own_file = i;
		}
	}
}

/* ---- the promises ---------------------------------------------------------------------------- */

/** Nothing is lost: whoever is not here is there. */
static void check_kept(void)
{
	for (int i = 0; i < sim.plan.files; i++) {
		const struct sim_file *file = &sim_files[i];
		const struct sim_content *content = &sim_contents[file->content];
		const bool held = content->row && (content->stored || content->own_file >= 0);
		if (file->removed && file->class != UR_CLASS_SIDECAR && !held) {
			sim_break("%s is nowhere any more", file->name);
		}
	}
}

/** A seed's refusals are for good, and so is what the server did to its own files. */
static bool may_stay(const struct sim_file *file)
{
	const struct sim_content *content = &sim_contents[file->content];
	const int which = (int)(file - sim_files);
	const struct ur_record *row = sim_ledger_row(which);
	return file->class == UR_CLASS_SIDECAR || content->trashed || content->own_file >= 0 ||
	       (content->row && !content->stored) ||
	       (row != NULL && row->state == UR_WITHDRAWN && !content->row) ||
	       (row != NULL && row->for_good && (sim.plan.lies & 1u << LIE_REFUSES) != 0);
}

/** The others of its group may be what keeps it. */
static bool is_kept_by_group(int which)
{
	const char *name = sim_files[which].name;
	const size_t stem = strcspn(name, ".");
	for (int i = 0; i < sim.plan.files; i++) {
		if (i != which && sim_files[i].there && strcspn(sim_files[i].name, ".") == stem &&
			strncmp(sim_files[i].name, name, stem) == 0 && may_stay(&sim_files[i])) {
			return true;
		}
	}
	return false;
}

/** When everybody has been honest for days, all is done that can be done. */
static void check_done(void)
{
	for (int i = 0; i < sim.plan.files; i++) {
		const struct sim_file *file = &sim_files[i];
		if (file->there && !may_stay(file) && !is_kept_by_group(i)) {
			const struct ur_record *row = sim_ledger_row(i);
			sim_break("%s is still here after days of peace (%s)", file->name,
				row == NULL ? "no row" : ur_state_name(row->state));
		}
	}
}

/** The promise that was broken, "" when none was. */
const char *sim_live(const struct sim_plan *plan)
{
	sim_begin(plan);
	sim_ledger_begin();
	sim_disk_begin();
	sim_run_begin();
	make_files();
	make_own();
	for (int i = 0; i < plan->runs && sim.broken[0] == '\0'; i++) {
		bring_files(i);
		sim_run();
		check_kept();
		sim_pass_time();
	}
	bring_files(INT_MAX);
	sim.honest = true;
	for (int i = 0; i < 6 && sim.broken[0] == '\0'; i++) {
		sim_pass(i == 3 ? 25 * SIM_HOUR : 2 * SIM_HOUR);
		sim_run();
	}
	if (sim.broken[0] == '\0') {
		check_kept();
		check_done();
	}
	return sim.broken;
}
