/*
 * replay - runs every file of the given directories through a fuzz target, so that any compiler
 * can repeat what the fuzzer once learned.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/** 0, or 1 with a message. */
static int replay_file(const char *path)
{
	struct stat st;
	int failed = 1;
	uint8_t *bytes = NULL;
	FILE *file = fopen(path, "rbe");
	if (file == NULL || fstat(fileno(file), &st) < 0) {
		(void)fprintf(stderr, "replay: cannot open %s: %s\n", path, strerror(errno));
		goto done;
	}
	if (st.st_size > FILE_MAX) {
		(void)fprintf(stderr, "replay: %s is larger than a seed should be\n", path);
		goto done;
	}
	/* Exactly as many bytes as there are, so that one too many is seen. */
	const size_t size = (size_t)st.st_size;
	bytes = malloc(size > 0 ? size : 1);
	if (bytes == NULL || fread(bytes, 1, size, file) != size) {
		(void)fprintf(stderr, "replay: cannot read %s\n", path);
		goto done;
	}
	(void)LLVMFuzzerTestOneInput(bytes, size);
	failed = 0;

done:
	free(bytes);
	if (file != NULL) {
		(void)fclose(file);
	}
	return failed;
}

/** The number of files, or -1 with a message. */
static int replay_directory(const char *path)
{
	int count = 0;
	DIR *dir = opendir(path);
	if (dir == NULL) {
		(void)fprintf(stderr, "replay: cannot open %s: %s\n", path, strerror(errno));
		return -1;
	}
	for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		char name[4096];
		if (entry->d_name[0] == '.') {
			continue;
		}
		if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name ||
			replay_file(name) != 0) {
			count = -1;
			break;
		}
		count++;
	}
	(void)closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		const int count = replay_directory(argv[i]);
		if (count <= 0) {
			(void)fprintf(stderr, "replay: %s: no seeds were replayed\n", argv[i]);
			return 1;
		}
		(void)printf("replay: %s: %d seeds\n", argv[i], count);
	}
	return 0;
}
