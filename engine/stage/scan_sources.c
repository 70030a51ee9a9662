/* scan_sources - opens what is to be scanned, and refuses what must never be. */
#include "engine/stage/scan_parts.h"

#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

bool ur_scan_is_at(
	const struct ur_scan_place *place, uint64_t device, uint64_t inode, const char *path)
{
	return place->device == device && place->inode == inode &&
	       (inode != 0 || strcmp(place->path, path) == 0);
}

bool ur_scan_is_root(const struct ur_scan *scan, uint64_t device, uint64_t inode, const char *path)
{
	for (size_t i = 0; i < scan->root_count; i++) {
		if (ur_scan_is_at(&scan->root_places[i], device, inode, path)) {
			return true;
		}
	}
	return false;
}

/** Immich's marker in the root, above it, or in a folder right below it. */
static int refuse_server_library(const struct ur_root *root, struct ur_err *err)
{
	struct ur_text path = {0};
	struct stat st;
	bool found = false;
	ur_text_add(&path, root->path, root->path_size);
	while (!found) {
		const size_t size = path.size;
		ur_text_adds(&path, "/" UR_SERVER_MARKER);
		if (!ur_text_ok(&path)) {
			ur_text_done(&path);
			return ur_err_set(
				err, -ENOMEM, UR_FAULT_WORLD, "cannot examine '%s'", root->path);
		}
		found = ur_sys.fstatat(AT_FDCWD, ur_text_get(&path), &st, AT_SYMLINK_NOFOLLOW) == 0;
		path.size = size;
		path.bytes[size] = '\0';
		char *slash = size == 0 ? NULL : strrchr(path.bytes, '/');
		if (found || slash == NULL) {
			break;
		}
		*slash = '\0';
		path.size = (size_t)(slash - path.bytes);
	}
	struct ur_listing listing = {0};
	const int fd = ur_sys.openat(root->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (!found && fd >= 0 && ur_listing_read(&listing, fd, false) == 0) {
		for (size_t i = 0; i < listing.count && !found; i++) {
			char marker[300];
			(void)snprintf(marker, sizeof marker, "%s/" UR_SERVER_MARKER,
				ur_listing_name(&listing, &listing.entries[i]));
			found = listing.entries[i].type == UR_ENTRY_DIR &&
				ur_sys.fstatat(fd, marker, &st, AT_SYMLINK_NOFOLLOW) == 0;
		}
	}
	if (fd >= 0) {
		(void)ur_sys.close(fd);
	}
	ur_listing_done(&listing);
	ur_text_done(&path);
	return !found ? 0
		      : ur_err_say(err, -EPERM, UR_FAULT_SETUP,
				"'%s' holds or lies below Immich's marker file '" UR_SERVER_MARKER
				"': it is the server's own library, and importing it into itself could "
				"lose it; give the folder where new pictures arrive",
				root->path);
}

/** The folder of `path` (or itself) must be neither the root nor above it. */
static int exclude(struct ur_scan *scan, const char *path, bool is_folder, const char *why,
	bool also_above, struct ur_err *err)
{
	char *folder = strdup(path);
	char *slash = folder == NULL || is_folder ? NULL : strrchr(folder, '/');
	if (slash != NULL) {
		slash[slash == folder ? 1 : 0] = '\0';
	} else if (folder != NULL && !is_folder) {
		folder[0] = '.';
		folder[1] = '\0';
	}
	char *real = folder == NULL ? NULL : realpath(folder, NULL);
	free(folder);
	struct stat st;
	if (real == NULL || ur_sys.fstatat(AT_FDCWD, real, &st, 0) < 0) {
		free(real);
		return 0; // not there yet, so nothing of it can be scanned
	}
	scan->excluded[scan->excluded_count++] =
		(struct ur_scan_excluded){{st.st_dev, st.st_ino, real}, why}; // scan frees it
	int r = 0;
	const size_t size = strlen(real);
	for (size_t i = 0; i < scan->root_count && r == 0; i++) {
		const char *root = scan->roots[i]->path;
		const bool above = strncmp(root, real, size) == 0 && root[size] == '/';
		if (strcmp(root, real) == 0 || (above && also_above)) {
			r = ur_err_say(err, -EPERM, UR_FAULT_SETUP,
				"'%s' cannot be a source: it is, or lies in, %s", root, why);
		}
	}
	return r;
}

static int open_source(struct ur_scan *scan, const char *path, struct ur_err *err)
{
	struct stat st;
	const int r = ur_sys.fstatat(AT_FDCWD, path, &st, 0);
	if (r < 0) {
		return ur_err_set(err, r, UR_FAULT_SETUP, "cannot open the source '%s'", path);
	}
	if (!S_ISDIR(st.st_mode)) {
		scan->loose_paths[scan->loose_count] = strdup(path);
		return scan->loose_paths[scan->loose_count++] == NULL ? -ENOMEM : 0;
	}
	struct ur_root *root = NULL;
	int opened = ur_root_open(path, scan->run->options->follow, &root, err);
	if (opened < 0) {
		return opened;
	}
	if (ur_staging_is_within(root->path)) {
		opened = ur_err_say(err, -EPERM, UR_FAULT_SETUP,
			"'%s' is a staging folder, where runs put what they remove; give the folder that "
			"it is in (`uringest recover` puts back what was left in it)",
			path);
		(void)ur_root_free(root);
		return opened;
	}
	if (ur_scan_is_root(scan, st.st_dev, st.st_ino, root->path)) {
		(void)ur_root_free(root); // named twice
		return 0;
	}
	scan->root_places[scan->root_count] =
		(struct ur_scan_place){st.st_dev, st.st_ino, root->path};
	scan->roots[scan->root_count++] = root;
	return refuse_server_library(root, err);
}

static int open_list(struct ur_scan *scan, struct ur_err *err)
{
	const char *path = scan->run->options->files_from;
	if (path == NULL) {
		return 0;
	}
	scan->list = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	return scan->list != NULL
		       ? 0
		       : ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot open the list '%s'", path);
}

static int make_rules(struct ur_scan *scan, struct ur_err *err)
{
	const struct ur_options *options = scan->run->options;
	int r = ur_ignore_new(false, &scan->asked);
	for (size_t i = 0; i < options->exclude_count && r == 0; i++) {
		r = ur_ignore_add(scan->asked, options->excludes[i], strlen(options->excludes[i]));
		if (r < 0) {
			return ur_err_set(err, r, UR_FAULT_SETUP, "--exclude '%s' is no pattern",
				options->excludes[i]);
		}
	}
	if (r == 0 && !options->no_junk) {
		r = ur_ignore_new(true, &scan->junk);
		r = r < 0 ? r : ur_ignore_add_junk(scan->junk);
	}
	return r < 0 ? ur_err_set(err, r, UR_FAULT_WORLD, "cannot make the ignore rules") : 0;
}

int ur_scan_open_all(struct ur_scan *scan, struct ur_err *err)
{
	const struct ur_options *options = scan->run->options;
	const size_t n = options->source_count + 1;
	scan->roots = calloc(n, sizeof *scan->roots);
	scan->root_places = calloc(n, sizeof *scan->root_places);
	scan->loose_paths = calloc(n, sizeof *scan->loose_paths);
	if (scan->roots == NULL || scan->root_places == NULL || scan->loose_paths == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot open the sources");
	}
	int r = ur_root_open("/", options->follow, &scan->loose, err);
	if (r == 0) {
		scan->loose->loose = true;
	}
	for (size_t i = 0; i < options->source_count && r == 0; i++) {
		r = open_source(scan, options->sources[i], err);
	}
	r = r < 0 ? r : open_list(scan, err);
	r = r < 0 ? r : make_rules(scan, err);
	r = r < 0 ? r : exclude(scan, options->ledger, false, "the ledger's folder", false, err);
	if (r == 0 && options->after == UR_AFTER_MOVE) {
		r = exclude(scan, options->move_to, true, "the folder that --after moves to", true,
			err);
	}
	return r < 0 ? r : ur_ledger_open(options->ledger, UR_LEDGER_READ, &scan->ledger, err);
}
