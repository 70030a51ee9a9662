/* folder - paths of any length, links that lead nowhere, identities that tell files apart. */
#include "engine/source/folder.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char dir[64];
	struct ur_root *root;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/uringest-folder.XXXXXX");
	if (mkdtemp(p->dir) == NULL || ur_root_open(p->dir, false, &p->root, NULL) < 0) {
		return -1;
	}
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	char command[128];
	p->root = ur_root_free(p->root);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
	const int r = system(command);
	free(p);
	return r;
}

static void a_directory_far_beyond_path_max_can_be_opened_again(void **state)
{
	struct place *p = *state;
	struct ur_dir *dir = NULL;
	char name[101];
	memset(name, 'd', 100);
	name[100] = '\0';
	int at = dup(p->root->fd);
	assert_int_equal(ur_dir_new(p->root, NULL, "", &dir), 0);
	for (int depth = 0; depth < 100; depth++) { // 10,100 bytes of path
		struct ur_dir *child = NULL;
		assert_int_equal(mkdirat(at, name, 0700), 0);
		const int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
		assert_int_equal(ur_dir_new(p->root, dir, name, &child), 0);
		(void)ur_dir_unref(dir);
		dir = child;
	}
	struct stat made;
	struct stat opened;
	const int fd = ur_dir_open(dir);
	assert_true(fd >= 0);
	assert_int_equal(fstat(at, &made), 0);
	assert_int_equal(fstat(fd, &opened), 0);
	assert_true(made.st_ino == opened.st_ino);
	struct ur_text path = {0};
	ur_dir_path(dir, "x.jpg", &path);
	assert_int_equal(path.size, p->root->path_size + 100 * 101 + 6);
	ur_text_done(&path);
	(void)close(fd);
	(void)close(at);
	dir = ur_dir_unref(dir);
}

static void a_directory_that_became_a_link_is_not_entered(void **state)
{
	struct place *p = *state;
	struct ur_dir *top = NULL;
	struct ur_dir *dir = NULL;
	assert_int_equal(mkdirat(p->root->fd, "real", 0700), 0);
	assert_int_equal(symlinkat("/etc", p->root->fd, "turned"), 0);
	assert_int_equal(ur_dir_new(p->root, NULL, "", &top), 0);
	assert_int_equal(ur_dir_new(p->root, top, "turned", &dir), 0);
	assert_int_equal(ur_dir_open(dir), -ELOOP);
	dir = ur_dir_unref(dir);
	top = ur_dir_unref(top);
}

/** From here on the kernel says of openat2 what kernels before 5.6 say. */
static bool forbid_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {sizeof code / sizeof *code, code};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int open_folder_beneath(int dir, const char *path)
{
	const int fd = ur_sys.openat_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0) {
		(void)close(fd);
	}
	return fd < 0 ? fd : 0;
}

static void without_openat2_a_link_is_refused_in_the_same_words(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkdirat(p->root->fd, "a", 0700), 0);
	assert_int_equal(symlinkat("/etc", p->root->fd, "link"), 0);
	(void)close(openat(p->root->fd, "file", O_CREAT | O_WRONLY, 0600));
	const pid_t child = fork(); // a filter is there for good
	assert_true(child >= 0);
	if (child == 0) {
		if (!forbid_openat2() && errno != EINVAL && errno != ENOSYS) {
			_exit(9);
		}
		const bool well = open_folder_beneath(p->root->fd, "a") == 0 &&
				  open_folder_beneath(p->root->fd, "file") == -ENOTDIR &&
				  open_folder_beneath(p->root->fd, "link") == -ELOOP &&
				  open_folder_beneath(p->root->fd, "link/ssl") == -ELOOP;
		_exit(well ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void paths_do_not_lead_out_or_through_links(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkdirat(p->root->fd, "a", 0700), 0);
	assert_int_equal(symlinkat("/etc", p->root->fd, "link"), 0);
	const char *const bad[] = {"../etc", "link/passwd", "a/../../etc"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const int fd = ur_sys.openat_beneath(p->root->fd, bad[i], O_RDONLY, 0);
		assert_true(fd < 0);
	}
	const int fd = ur_sys.openat_beneath(p->root->fd, "a", O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void a_listing_tells_files_folders_links_and_the_rest_apart(void **state)
{
	struct place *p = *state;
	struct ur_listing listing = {0};
	(void)close(openat(p->root->fd, "file", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(mkdirat(p->root->fd, "folder", 0700), 0);
	assert_int_equal(symlinkat("nowhere", p->root->fd, "link"), 0);
	assert_int_equal(mkfifoat(p->root->fd, "fifo", 0600), 0);
	const int fd = openat(p->root->fd, ".", O_RDONLY | O_DIRECTORY);
	assert_int_equal(ur_listing_read(&listing, fd, false), 0);
	assert_int_equal(listing.count, 4);
	for (size_t i = 0; i < listing.count; i++) {
		const struct ur_entry *entry = &listing.entries[i];
		const char *name = ur_listing_name(&listing, entry);
		const int type = strcmp(name, "file") == 0     ? UR_ENTRY_FILE
				 : strcmp(name, "folder") == 0 ? UR_ENTRY_DIR
				 : strcmp(name, "link") == 0   ? UR_ENTRY_LINK
							       : UR_ENTRY_OTHER;
		assert_int_equal(entry->type, type);
	}
	ur_listing_done(&listing);
	(void)close(fd);
}

static void a_listing_has_the_names_that_are_in_it_and_no_others(void **state)
{
	(void)state;
	char names[] = "\0one\0other";
	struct ur_entry entries[] = {{.name = 1}, {.name = 5}};
	const struct ur_listing listing = {.entries = entries, .count = 2, .names = names};
	assert_true(ur_listing_has(&listing, "one"));
	assert_true(ur_listing_has(&listing, "other"));
	assert_false(ur_listing_has(&listing, "on"));
	assert_false(ur_listing_has(&listing, "others"));
	assert_false(ur_listing_has(&listing, ""));
	const struct ur_listing nothing = {0};
	assert_false(ur_listing_has(&nothing, "one"));
}

static void an_identity_changes_with_whatever_happens_to_the_file(void **state)
{
	struct place *p = *state;
	struct stat st;
	const int fd = openat(p->root->fd, "f", O_CREAT | O_RDWR, 0600);
	assert_int_equal(fstat(fd, &st), 0);
	const struct ur_identity before = ur_identity_of(&st, 1);
	assert_int_equal(fchmod(fd, 0640), 0); // touches ctime alone
	for (int i = 0; i < 1000; i++) {       // until the clock has ticked
		assert_int_equal(fchmod(fd, 0600), 0);
		assert_int_equal(fstat(fd, &st), 0);
		if (ur_identity_of(&st, 1).ctime_ns != before.ctime_ns) {
			break;
		}
		(void)usleep(1000);
	}
	const struct ur_identity renamed = ur_identity_of(&st, 1);
	assert_true(ur_identity_alike(&before, &renamed));
	assert_false(ur_identity_same(&before, &renamed));
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fstat(fd, &st), 0);
	const struct ur_identity grown = ur_identity_of(&st, 1);
	assert_false(ur_identity_alike(&before, &grown));
	(void)close(fd);
}

static void what_was_written_this_very_moment_is_not_believed_yet(void **state)
{
	(void)state;
	const struct ur_fs fs = {.tick_ns = 10000000};
	const struct ur_identity identity = {.mtime_ns = 1000000000, .ctime_ns = 1000000000};
	assert_false(ur_fs_settled(&fs, &identity, 1000000000));
	assert_false(ur_fs_settled(&fs, &identity, 1009999999));
	assert_true(ur_fs_settled(&fs, &identity, 1010000001));
	assert_false(ur_fs_settled(&fs, &identity, 0)); // our clock was stepped back
}

static void only_where_numbers_are_kept_do_they_tell_files_apart(void **state)
{
	(void)state;
	const struct ur_identity a = {1, 2, 3, 4, 5};
	const struct ur_identity others[] = {{9, 2, 3, 4, 5}, {1, 9, 3, 4, 5}, {1, 2, 9, 4, 5},
		{1, 2, 3, 9, 5}, {1, 2, 3, 4, 9}};
	const struct ur_fs kept = {.trusted = true};
	const struct ur_fs made_up = {.trusted = false};
	assert_true(ur_fs_may_be_same(&kept, &a, &a));
	assert_true(ur_fs_may_be_same(&made_up, &a, &a));
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		assert_false(ur_fs_may_be_same(&kept, &a, &others[i]));
		/* Size, mtime and ctime count everywhere. */
		assert_int_equal(ur_fs_may_be_same(&made_up, &a, &others[i]), i < 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
		IN_PLACE(a_directory_far_beyond_path_max_can_be_opened_again),
		IN_PLACE(a_directory_that_became_a_link_is_not_entered),
		IN_PLACE(without_openat2_a_link_is_refused_in_the_same_words),
		IN_PLACE(paths_do_not_lead_out_or_through_links),
		IN_PLACE(a_listing_tells_files_folders_links_and_the_rest_apart),
		cmocka_unit_test(a_listing_has_the_names_that_are_in_it_and_no_others),
		IN_PLACE(an_identity_changes_with_whatever_happens_to_the_file),
		cmocka_unit_test(only_where_numbers_are_kept_do_they_tell_files_apart),
		cmocka_unit_test(what_was_written_this_very_moment_is_not_believed_yet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
