/*
 * reference - the plain ways of doing it, as something to be compared with.
 *
 *     reference walk FOLDER             getdents64, and fstatat of each entry; nothing is kept
 *     reference read FOLDER             … and open, read, close of each file, one after the other
 *     reference read FOLDER THREADS     the same, the files shared out to threads
 *
 * Each prints how many files and bytes it saw, so that nobody compares different work.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LISTING (64u << 10)
#define BUFFER (256u << 10)
#define DEPTH_MAX 64
#define THREADS_MAX 256

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

static struct list {
	char **paths;
	size_t count;
	size_t room;
} files; // for threads

static _Atomic size_t next;
static _Atomic uint64_t files_seen;
static _Atomic uint64_t bytes_seen;
static bool reading;
static bool listing;

static void must(bool well, const char *what)
{
	if (!well) {
		(void)fprintf(stderr, "reference: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static void read_one(int dir, const char *name, unsigned char *buffer)
{
	const int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	must(fd >= 0, name);
	for (ssize_t n = 0; (n = read(fd, buffer, BUFFER)) > 0;) {
		bytes_seen += (uint64_t)n;
	}
	(void)close(fd);
	files_seen++;
}

static void keep(const char *path)
{
	if (files.count == files.room) {
		files.room = files.room == 0 ? 1024 : 2 * files.room;
		files.paths = realloc(files.paths, files.room * sizeof *files.paths);
		must(files.paths != NULL, "memory");
	}
	files.paths[files.count] = strdup(path);
	must(files.paths[files.count++] != NULL, "memory");
}

static void walk(int dir, const char *path, int depth);

static void take(int dir, const char *path, const struct linux_dirent64 *entry, int depth)
{
	static unsigned char buffer[BUFFER];
	char below[4096];
	struct stat st;
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
		return;
	}
	must(snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below, path);
	if (entry->d_type == DT_DIR) {
		const int fd = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(fd >= 0 && depth < DEPTH_MAX, below);
		walk(fd, below, depth + 1);
		(void)close(fd);
	} else if (listing) {
		keep(below);
	} else if (reading) {
		read_one(dir, entry->d_name, buffer);
	} else {
		must(fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, below);
		files_seen++;
		bytes_seen += (uint64_t)st.st_size;
	}
}

static void walk(int dir, const char *path, int depth)
{
	char *buffer = malloc(LISTING);
	must(buffer != NULL, "memory");
	for (long size = 0; (size = syscall(SYS_getdents64, dir, buffer, LISTING)) != 0;) {
		must(size > 0, path);
		for (long at = 0; at < size;) {
			const struct linux_dirent64 *entry = (void *)(buffer + at);
			take(dir, path, entry, depth);
			at += entry->d_reclen;
		}
	}
	free(buffer);
}

static void *share(void *context)
{
	unsigned char *buffer = malloc(BUFFER);
	must(buffer != NULL, "memory");
	for (size_t i = 0; (i = next++) < files.count;) {
		read_one(AT_FDCWD, files.paths[i], buffer);
	}
	free(buffer);
	return context;
}

static void read_on_threads(int count)
{
	pthread_t threads[THREADS_MAX];
	for (int i = 0; i < count; i++) {
		errno = pthread_create(&threads[i], NULL, share, NULL);
		must(errno == 0, "a thread");
	}
	for (int i = 0; i < count; i++) {
		(void)pthread_join(threads[i], NULL);
	}
	for (size_t i = 0; i < files.count; i++) {
		free(files.paths[i]);
	}
	free(files.paths);
}

int main(int argc, char **argv)
{
	const long threads = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	reading = argc > 1 && strcmp(argv[1], "read") == 0;
	if (argc < 3 || argc > 4 || (!reading && (argc != 3 || strcmp(argv[1], "walk") != 0)) ||
		(argc == 4 && (threads < 1 || threads > THREADS_MAX))) {
		(void)fprintf(stderr, "usage: reference walk FOLDER | read FOLDER [THREADS]\n");
		return 2;
	}
	listing = threads > 0;
	const int top = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(top >= 0, argv[2]);
	walk(top, argv[2], 0);
	(void)close(top);
	if (listing) {
		read_on_threads((int)threads);
	}
	printf("%llu files, %llu bytes\n", (unsigned long long)files_seen,
		(unsigned long long)bytes_seen);
	return 0;
}
