/*
 * hash_bench - gigabytes a second on one core: every kernel, small and large files.
 *
 *     hash_bench [ROUNDS]
 *
 * It feeds as the reading threads do: 32 files at a time, a buffer of each, then a flush.  The
 * kernels take turns in every round, so that a noisy machine is noisy for all of them; what counts
 * is the ratio.  "OpenSSL, SHA-1 alone" is EVP, a file after the other, without XXH3.
 */
#include "engine/media/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define SLOTS 32
#define BUFFER (256u << 10)
#define POOL (48u << 20)
#define ROUNDS_MAX 101

static const char *const kernels[] = {"avx512", "shani2", "openssl", NULL};
#define KERNELS (sizeof kernels / sizeof *kernels)

static const struct load {
	const char *name;
	size_t low; // sizes are spread evenly from low to high
	size_t high;
	size_t count;
} loads[] = {
	{"2 KB", 2048, 2048, 20000},
	{"0-4 KB, mixed", 100, 4000, 20000},
	{"100 KB", 102400, 102400, 1000},
	{"3 MB, mixed", 500000, 5500000, 64},
	{"one of 32 MB", 32u << 20, 32u << 20, 1},
};
#define LOADS (sizeof loads / sizeof *loads)

struct slot {
	struct ur_digest *digest;
	const unsigned char *at;
	size_t left;
};

static unsigned char *pool;
static struct slot slots[SLOTS];
static volatile uint8_t sink; // so that no hash is left out

static double cpu_seconds(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t size_of(const struct load *load, size_t index)
{
	return load->low + (load->high - load->low) * (index * 37 % 101) / 100;
}

static const unsigned char *place_of(size_t index, size_t size)
{
	return pool + index * 1048583u % (POOL - size + 1) / 64 * 64;
}

static void must(int r)
{
	if (r < 0) {
		(void)fprintf(stderr, "hash_bench: %s\n", strerror(-r));
		exit(1);
	}
}

static void begin_file(struct slot *slot, const struct load *load, size_t index)
{
	slot->left = size_of(load, index);
	slot->at = place_of(index, slot->left);
	must(ur_digest_begin(slot->digest));
}

static void feed_buffer(struct ur_hasher *hasher, struct slot *slot)
{
	const size_t size = slot->left < BUFFER ? slot->left : BUFFER;
	ur_hasher_feed(hasher, slot->digest, slot->at, size);
	slot->at += size;
	slot->left -= size;
	if (slot->left == 0) {
		ur_hasher_finish(hasher, slot->digest);
	}
}

static void hash_by_hasher(struct ur_hasher *hasher, const struct load *load)
{
	uint8_t sha1[UR_HASH_SHA1];
	uint8_t xxh[UR_HASH_XXH];
	size_t next = 0;
	size_t active = 0;
	while (active < SLOTS && next < load->count) {
		begin_file(&slots[active++], load, next++);
	}
	while (active > 0) {
		for (size_t i = 0; i < active; i++) {
			feed_buffer(hasher, &slots[i]);
		}
		ur_hasher_flush(hasher);
		for (size_t i = active; i-- > 0;) {
			if (slots[i].left > 0) {
				continue;
			}
			must(ur_digest_end(slots[i].digest, sha1, xxh));
			sink = (uint8_t)(sink ^ sha1[0] ^ xxh[0]);
			if (next < load->count) {
				begin_file(&slots[i], load, next++);
			} else {
				const struct slot done = slots[i];
				slots[i] = slots[--active];
				slots[active] = done;
			}
		}
	}
}

static void hash_by_evp(const struct load *load)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA1", NULL);
	unsigned char result[EVP_MAX_MD_SIZE];
	(void)EVP_DigestInit_ex2(context, md, NULL);
	for (size_t i = 0; i < load->count; i++) {
		const size_t size = size_of(load, i);
		if (EVP_DigestInit_ex2(context, NULL, NULL) != 1 ||
			EVP_DigestUpdate(context, place_of(i, size), size) != 1 ||
			EVP_DigestFinal_ex(context, result, NULL) != 1) {
			must(-EIO);
		}
		sink = (uint8_t)(sink ^ result[0]);
	}
	EVP_MD_free(md);
	EVP_MD_CTX_free(context);
}

static double speed(const char *kernel, const struct load *load)
{
	struct ur_hasher *hasher = NULL;
	double bytes = 0;
	for (size_t i = 0; i < load->count; i++) {
		bytes += (double)size_of(load, i);
	}
	if (kernel != NULL) {
		if (ur_hash_choose(kernel) < 0) {
			return 0;
		}
		must(ur_hasher_new(&hasher));
	}
	const double from = cpu_seconds();
	if (kernel != NULL) {
		hash_by_hasher(hasher, load);
	} else {
		hash_by_evp(load);
	}
	const double seconds = cpu_seconds() - from;
	hasher = ur_hasher_free(hasher);
	return bytes / seconds / 1e9;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof *values, by_value);
	return values[count / 2];
}

static void measure(const struct load *load, int rounds)
{
	static double results[KERNELS][ROUNDS_MAX];
	for (int round = 0; round < rounds; round++) {
		for (size_t k = 0; k < KERNELS; k++) {
			results[k][round] = speed(kernels[k], load);
		}
	}
	const double alone = median(results[KERNELS - 1], rounds);
	printf("%-14s", load->name);
	for (size_t k = 0; k < KERNELS; k++) {
		const double middle = median(results[k], rounds);
		printf(" %6.2f (x%4.2f, %4.2f-%5.2f)", middle, middle / alone, results[k][0],
			results[k][rounds - 1]);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	struct utsname machine;
	const int asked = argc > 1 ? atoi(argv[1]) : 9;
	const int rounds = asked < 1 ? 1 : asked > ROUNDS_MAX ? ROUNDS_MAX : asked;
	pool = aligned_alloc(4096, POOL);
	if (pool == NULL) {
		must(-ENOMEM);
	}
	for (size_t i = 0; i < POOL; i++) {
		pool[i] = (unsigned char)(i * 2654435761u >> 13);
	}
	for (int i = 0; i < SLOTS; i++) {
		must(ur_digest_new(&slots[i].digest));
	}
	(void)uname(&machine);
	printf("%s %s, %d rounds; SHA-1 and XXH3, GB/s of CPU time: median (ratio to OpenSSL's "
	       "SHA-1 alone, lowest-highest)\n",
		machine.machine, machine.release, rounds);
	printf("%-14s %-25s %-25s %-25s %s\n", "", "avx512", "shani2", "openssl",
		"OpenSSL, SHA-1 alone");
	for (size_t i = 0; i < LOADS; i++) {
		measure(&loads[i], rounds);
	}
	for (int i = 0; i < SLOTS; i++) {
		slots[i].digest = ur_digest_free(slots[i].digest);
	}
	free(pool);
	return 0;
}
