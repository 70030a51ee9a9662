/* leftover - looks into staging folders, one at a time, with their lock. */
#include "engine/source/leftover.h"

#include "engine/source/rename.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 512 // folders within folders, each open meanwhile

int ur_leftover_each(int parent, const struct ur_staging_key *key, bool tidy, ur_leftover_fn *each,
	void *context)
{
	struct ur_listing listing = {0};
	const int staging = ur_staging_open_alone(parent);
	if (staging < 0) {
		return staging;
	}
	int r = ur_listing_read(&listing, staging, false);
	for (size_t i = 0; i < listing.count && r >= 0; i++) {
		const struct ur_entry *entry = &listing.entries[i];
		const char *name = ur_listing_name(&listing, entry);
		struct ur_staged what;
		if (ur_staging_is_note(name)) {
			/* A ledger may still need its own; without one nobody does. */
			if (tidy && key == NULL) {
				(void)ur_sys.unlinkat(staging, name, 0);
			}
		} else if (entry->type == UR_ENTRY_FILE && entry->error == 0) {
			ur_staged_read(key, name, &what);
			r = each(context, parent, staging, name, &what);
		}
	}
	ur_listing_done(&listing);
	if (tidy) {
		ur_staging_leave(parent, staging);
	} else {
		(void)ur_sys.close(staging);
	}
	return r < 0 ? r : 0;
}

enum ur_leftover_fate ur_leftover_judge(const struct ur_staged *what, int64_t run)
{
	char present[UR_STAGED_TOKEN + 8];
	const int size = snprintf(present, sizeof present, "%" PRIx64 "x", (uint64_t)run);
	if (!what->ours) {
		return UR_LEFTOVER_OTHER;
	}
	if (run != 0 && strncmp(what->token, present, (size_t)size) == 0) {
		return UR_LEFTOVER_LIVE;
	}
	return what->kind == UR_STAGED_COPY ? UR_LEFTOVER_COPY : UR_LEFTOVER_BACK;
}

struct tidying {
	const struct ur_staging_key *key;
	int64_t run;
	struct ur_leftovers *counts;
};

static int tidy_one(
	void *context, int parent, int staging, const char *name, const struct ur_staged *what)
{
	const struct tidying *t = context;
	(void)snprintf(t->counts->example, sizeof t->counts->example, "%.255s", what->name);
	switch (ur_leftover_judge(what, t->run)) {
	case UR_LEFTOVER_LIVE:
		break;
	case UR_LEFTOVER_COPY:
		t->counts->copies++;
		break;
	case UR_LEFTOVER_OTHER:
		t->counts->others++;
		break;
	case UR_LEFTOVER_BACK: {
		ur_effect("put-back", false);
		const int r = ur_rename_beside(
			t->key, staging, name, parent, what->name, t->counts->name);
		ur_effect("put-back", true);
		*(r == 0 ? &t->counts->back : &t->counts->stuck) += 1;
		break;
	}
	}
	return 0;
}

int ur_leftover_tidy(
	int parent, const struct ur_staging_key *key, int64_t run, struct ur_leftovers *ret)
{
	struct tidying t = {key, run, ret};
	*ret = (struct ur_leftovers){0};
	return ur_leftover_each(parent, key, true, tidy_one, &t);
}

/* ---- a whole tree ---------------------------------------------------------------------------- */

static int walk(
	int fd, struct ur_text *path, int depth, ur_leftover_folder_fn *each, void *context);

static int walk_child(int fd, const char *name, struct ur_text *path, int depth,
	ur_leftover_folder_fn *each, void *context)
{
	const int child = ur_sys.openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	const size_t size = path->size;
	if (child < 0) {
		return 0; // what cannot be entered holds nothing that we could put back
	}
	ur_text_adds(path, "/");
	ur_text_adds(path, name);
	const int r = ur_text_ok(path) ? walk(child, path, depth + 1, each, context) : -ENOMEM;
	if (path->bytes != NULL) {
		path->size = size;
		path->bytes[size] = '\0';
	}
	(void)ur_sys.close(child);
	return r;
}

static int walk(int fd, struct ur_text *path, int depth, ur_leftover_folder_fn *each, void *context)
{
	struct ur_listing listing = {0};
	bool found = false;
	int r = depth >= DEPTH_MAX ? 0 : ur_listing_read(&listing, fd, false);
	for (size_t i = 0; i < listing.count && r == 0; i++) {
		found = found ||
			strcmp(ur_listing_name(&listing, &listing.entries[i]), UR_STAGING) == 0;
	}
	r = r == 0 ? each(context, fd, ur_text_get(path), &listing, found) : r;
	for (size_t i = 0; i < listing.count && r == 0; i++) {
		const char *name = ur_listing_name(&listing, &listing.entries[i]);
		if (listing.entries[i].type == UR_ENTRY_DIR && strcmp(name, UR_STAGING) != 0) {
			r = walk_child(fd, name, path, depth, each, context);
		}
	}
	ur_listing_done(&listing);
	return r;
}

int ur_leftover_walk(int fd, const char *path, ur_leftover_folder_fn *each, void *context)
{
	struct ur_text text = {0};
	ur_text_adds(&text, strcmp(path, "/") == 0 ? "" : path);
	const int top = ur_sys.openat(fd, ".", O_RDONLY | O_DIRECTORY, 0); // listed from its start
	const int r = top < 0 ? top : walk(top, &text, 0, each, context);
	if (top >= 0) {
		(void)ur_sys.close(top);
	}
	ur_text_done(&text);
	return r;
}
