/*
 * hash - files into streams, streams into lanes, and somebody else's opinion now and then.
 *
 *     feed ──▶ pieces of a digest ──flush──▶ more() cuts whole blocks off them ──▶ lanes
 *                                            XXH3 sees each slice just before the lanes do
 *
 * The kernels stand in a chain from the widest to the one that takes a single stream; what is too
 * little for one is left to the next.  Each kernel is compared with libcrypto before it is used,
 * and one file in 256 is hashed by libcrypto as well, so that a processor that computes wrongly
 * is found out before its hashes are believed.
 */
#include "engine/media/hash.h"

#include "engine/media/hash_lanes.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLICE (32u << 10) // XXH3 brings so much of each of 16 lanes into the second cache
#define PIECES 64         // feeds that wait for a flush
#define CHECK_EVERY 256u

static_assert(SLICE % UR_SHA1_BLOCK == 0, "slices are whole blocks");
static_assert((CHECK_EVERY & (CHECK_EVERY - 1)) == 0, "the counter of files wraps around");

void (*ur_hash_spoil)(uint8_t sha1[UR_HASH_SHA1]);
void (*ur_hash_spoil_words)(uint32_t words[UR_SHA1_WORDS]);

/** Bytes that were fed and not yet taken. */
struct piece {
	const uint8_t *at;
	size_t left;
	size_t ahead; // so many of them XXH3 has seen already
	struct piece *next;
};

struct ur_hasher {
	const struct ur_sha1_kernel *chain[UR_SHA1_KERNELS];
	size_t chain_count;
	struct piece pieces[PIECES];
	size_t piece_count;
	struct ur_digest *waiting[PIECES];
	size_t waiting_count;
	char about[256];
};

struct ur_digest {
	/* SHA-1: all that a message needs to go on another time. */
	struct ur_stream stream; // first: its words
	uint64_t size;           // bytes that went into words and tail
	size_t tail_size;
	uint8_t tail[2 * UR_SHA1_BLOCK]; // less than a block, or the padded end
	bool closed;                     // nothing more will be fed
	bool padded;
	const struct ur_sha1_kernel *single;
	/* XXH3 */
	XXH3_state_t *xxh;
	XXH128_hash_t xxh_whole;
	bool xxh_done; // in one go: xxh_whole has it
	/* from feed to flush */
	struct piece *first;
	struct piece *last;
	size_t fed;
	bool waits;
	/* the other opinion */
	EVP_MD_CTX *other;
	bool counted; // among the files, of which one in 256 is checked
	bool checked;
	bool failed;
};

struct ur_xxh {
	XXH3_state_t *state;
};

/* ---- which kernels --------------------------------------------------------------------------- */

enum choice {
	AUTO,
	AVX512,
	SHANI2,
	OPENSSL,
	CHOICES
};

static const struct {
	const char *name;
	enum ur_sha1_kernel_name widest;
} choices[CHOICES] = {
	[AUTO] = {"auto", UR_SHA1_AVX512},
	[AVX512] = {"avx512", UR_SHA1_AVX512},
	[SHANI2] = {"shani2", UR_SHA1_SHANI2},
	[OPENSSL] = {"openssl", UR_SHA1_OPENSSL},
};

static pthread_mutex_t choosing = PTHREAD_MUTEX_INITIALIZER;
static bool examined;
static enum choice chosen;
static _Atomic(const struct ur_xxh_kernel *) xxh3 = &ur_xxh_kernels[UR_XXH_KERNELS - 1];
static atomic_uint files; // begun since the last one that was checked, modulo CHECK_EVERY

static void examine(void)
{
	struct timespec now = {0};
	for (int i = 0; i < UR_SHA1_KERNELS; i++) {
		struct ur_sha1_kernel *kernel = &ur_sha1_kernels[i];
		kernel->sick = kernel->is_here() && !ur_sha1_kernel_agrees(kernel);
	}
	/* Not always the first file: it may be the only one, and large. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	atomic_store(&files, (unsigned)now.tv_nsec >> 8);
	atomic_store(&xxh3, ur_xxh_pick());
	examined = true;
}

void ur_hash_examine(void)
{
	(void)pthread_mutex_lock(&choosing);
	examine();
	(void)pthread_mutex_unlock(&choosing);
}

void ur_hash_check_after(unsigned n)
{
	atomic_store(&files, 0u - n);
}

static bool is_usable(enum ur_sha1_kernel_name name)
{
	return ur_sha1_kernels[name].is_here() && !ur_sha1_kernels[name].sick;
}

static int choose(enum choice choice)
{
	if (!examined) {
		examine();
	}
	if (choice != AUTO && !is_usable(choices[choice].widest)) {
		return -ENOTSUP;
	}
	chosen = choice;
	return 0;
}

int ur_hash_choose(const char *name)
{
	for (int i = 0; i < CHOICES; i++) {
		if (strcmp(name, choices[i].name) == 0) {
			(void)pthread_mutex_lock(&choosing);
			const int r = choose((enum choice)i);
			(void)pthread_mutex_unlock(&choosing);
			return r;
		}
	}
	return -EINVAL;
}

const struct ur_sha1_kernel *ur_hash_single(void)
{
	const struct ur_sha1_kernel *found = NULL;
	(void)pthread_mutex_lock(&choosing);
	if (!examined) {
		examine();
	}
	for (int i = choices[chosen].widest; i < UR_SHA1_KERNELS && found == NULL; i++) {
		if (is_usable((enum ur_sha1_kernel_name)i) && ur_sha1_kernels[i].lanes == 1) {
			found = &ur_sha1_kernels[i];
		}
	}
	(void)pthread_mutex_unlock(&choosing);
	return found;
}

static void tell(struct ur_hasher *hasher, const char *before, const char *what)
{
	const size_t at = strlen(hasher->about);
	(void)snprintf(hasher->about + at, sizeof hasher->about - at, "%s%s", before, what);
}

/** Down to the first kernel that takes a single stream; behind that nothing is ever left. */
static void forge_chain(struct ur_hasher *hasher)
{
	enum ur_sha1_kernel_name name = choices[chosen].widest;
	const struct ur_sha1_kernel *kernel = NULL;
	for (; name < UR_SHA1_KERNELS && (kernel == NULL || kernel->lanes > 1); name++) {
		if (is_usable(name)) {
			kernel = &ur_sha1_kernels[name];
			tell(hasher, hasher->chain_count > 0 ? ", " : "", kernel->about);
			hasher->chain[hasher->chain_count++] = kernel;
		}
	}
	for (int i = 0; i < UR_SHA1_KERNELS; i++) {
		if (ur_sha1_kernels[i].sick) {
			tell(hasher,
				"; not used, it computes wrongly here: ", ur_sha1_kernels[i].about);
		}
	}
}

int ur_hasher_new(struct ur_hasher **ret)
{
	struct ur_hasher *hasher = calloc(1, sizeof *hasher);
	if (hasher == NULL) {
		return -ENOMEM;
	}
	(void)pthread_mutex_lock(&choosing);
	if (!examined) {
		examine();
	}
	forge_chain(hasher);
	(void)pthread_mutex_unlock(&choosing);
	const size_t count = hasher->chain_count;
	if (count == 0 || hasher->chain[count - 1]->lanes > 1) { // not even libcrypto agrees
		free(hasher);
		return -EIO;
	}
	*ret = hasher;
	return 0;
}

struct ur_hasher *ur_hasher_free(struct ur_hasher *hasher)
{
	assert(hasher == NULL || hasher->waiting_count == 0);
	free(hasher);
	return NULL;
}

size_t ur_hasher_width(const struct ur_hasher *hasher)
{
	return hasher->chain[0]->lanes;
}

const char *ur_hasher_about(const struct ur_hasher *hasher)
{
	return hasher->about;
}

/* ---- the bytes of a digest ------------------------------------------------------------------- */

static bool update_xxh(XXH3_state_t *state, const void *bytes, size_t size)
{
	return atomic_load_explicit(&xxh3, memory_order_relaxed)->update(state, bytes, size);
}

static XXH128_hash_t whole_xxh(const void *bytes, size_t size)
{
	uint64_t halves[2];
	atomic_load_explicit(&xxh3, memory_order_relaxed)->whole(bytes, size, halves);
	return (XXH128_hash_t){.low64 = halves[0], .high64 = halves[1]};
}

/** XXH3 goes ahead until it has seen at least what the next block needs. */
static void look_ahead(struct ur_digest *digest, struct piece *piece)
{
	if (digest->xxh_done || piece->ahead >= UR_SHA1_BLOCK || piece->ahead == piece->left) {
		return;
	}
	const size_t left = piece->left - piece->ahead;
	const size_t size = left < SLICE ? left : SLICE;
	if (!update_xxh(digest->xxh, piece->at + piece->ahead, size)) {
		digest->failed = true;
	}
	piece->ahead += size;
}

static const uint8_t *take(struct ur_digest *digest, size_t size)
{
	struct piece *piece = digest->first;
	const uint8_t *at = piece->at;
	assert(size <= piece->ahead);
	piece->at += size;
	piece->left -= size;
	piece->ahead -= size;
	digest->size += size;
	if (piece->left == 0) {
		digest->first = piece->next;
	}
	return at;
}

static void fill_tail(struct ur_digest *digest)
{
	const size_t room = UR_SHA1_BLOCK - digest->tail_size;
	const size_t size = digest->first->left < room ? digest->first->left : room;
	memcpy(digest->tail + digest->tail_size, take(digest, size), size);
	digest->tail_size += size;
}

static size_t more(struct ur_stream *stream, const uint8_t **at)
{
	struct ur_digest *digest = (struct ur_digest *)stream;
	while (digest->first != NULL) {
		look_ahead(digest, digest->first);
		const size_t blocks = digest->first->ahead / UR_SHA1_BLOCK;
		if (digest->tail_size == 0 && blocks > 0) {
			*at = take(digest, blocks * UR_SHA1_BLOCK);
			return blocks;
		}
		fill_tail(digest);
		if (digest->tail_size == UR_SHA1_BLOCK) {
			digest->tail_size = 0; // hashed before anybody writes there again
			*at = digest->tail;
			return 1;
		}
	}
	if (!digest->closed || digest->padded) {
		return 0;
	}
	digest->padded = true;
	*at = digest->tail;
	return ur_sha1_pad(digest->tail, digest->tail_size, digest->size);
}

int ur_digest_new(struct ur_digest **ret)
{
	struct ur_digest *digest = calloc(1, sizeof *digest);
	if (digest == NULL) {
		return -ENOMEM;
	}
	digest->xxh = XXH3_createState();
	digest->other = EVP_MD_CTX_new();
	/* Fetched explicitly: the implicit fetch of OpenSSL 3 costs more than a small file. */
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA1", NULL);
	const bool ok = digest->xxh != NULL && digest->other != NULL && md != NULL &&
			EVP_DigestInit_ex2(digest->other, md, NULL) == 1;
	EVP_MD_free(md); // the context keeps its own reference
	if (!ok) {
		(void)ur_digest_free(digest);
		return -ENOMEM;
	}
	*ret = digest;
	return 0;
}

struct ur_digest *ur_digest_free(struct ur_digest *digest)
{
	if (digest != NULL) {
		assert(!digest->waits);
		EVP_MD_CTX_free(digest->other);
		(void)XXH3_freeState(digest->xxh);
		free(digest);
	}
	return NULL;
}

int ur_digest_begin(struct ur_digest *digest)
{
	assert(!digest->waits);
	*digest = (struct ur_digest){
		.xxh = digest->xxh,
		.other = digest->other,
		.single = &ur_sha1_kernels[UR_SHA1_OPENSSL], // should nothing be fed
	};
	ur_stream_begin(&digest->stream, more);
	digest->failed = XXH3_128bits_reset(digest->xxh) != XXH_OK;
	return digest->failed ? -EIO : 0;
}

/* ---- the other opinion ----------------------------------------------------------------------- */

static void count_file(struct ur_digest *digest)
{
	if (!digest->counted) {
		digest->counted = true;
		digest->checked =
			atomic_fetch_add_explicit(&files, 1, memory_order_relaxed) % CHECK_EVERY ==
			0;
		digest->failed =
			digest->failed ||
			(digest->checked && EVP_DigestInit_ex2(digest->other, NULL, NULL) != 1);
	}
}

static void ask_other(struct ur_digest *digest)
{
	for (const struct piece *p = digest->first; digest->checked && p != NULL; p = p->next) {
		if (EVP_DigestUpdate(digest->other, p->at, p->left) != 1) {
			digest->failed = true;
		}
	}
}

static int compare(struct ur_digest *digest, const uint8_t sha1[UR_HASH_SHA1])
{
	unsigned size = 0;
	unsigned char result[EVP_MAX_MD_SIZE];
	if (!digest->checked) {
		return 0;
	}
	if (EVP_DigestFinal_ex(digest->other, result, &size) != 1 || size != UR_HASH_SHA1) {
		return -EIO;
	}
	return memcmp(result, sha1, UR_HASH_SHA1) == 0 ? 0 : -EILSEQ;
}

/* ---- from feed to flush ---------------------------------------------------------------------- */

static void enqueue(struct ur_hasher *hasher, struct ur_digest *digest)
{
	if (!digest->waits) {
		digest->waits = true;
		digest->single = hasher->chain[hasher->chain_count - 1];
		hasher->waiting[hasher->waiting_count++] = digest;
	}
	count_file(digest);
}

static bool is_full(const struct ur_hasher *hasher)
{
	return hasher->piece_count == PIECES || hasher->waiting_count == PIECES;
}

void ur_hasher_feed(
	struct ur_hasher *hasher, struct ur_digest *digest, const void *bytes, size_t size)
{
	assert(!digest->closed);
	if (size == 0) {
		return;
	}
	if (is_full(hasher)) {
		ur_hasher_flush(hasher); // nobody minds that it is early
	}
	enqueue(hasher, digest);
	struct piece *piece = &hasher->pieces[hasher->piece_count++];
	*piece = (struct piece){.at = bytes, .left = size};
	if (digest->first == NULL) {
		digest->first = piece;
	} else {
		digest->last->next = piece;
	}
	digest->last = piece;
	digest->fed += size;
}

void ur_hasher_finish(struct ur_hasher *hasher, struct ur_digest *digest)
{
	assert(!digest->closed);
	if (is_full(hasher)) {
		ur_hasher_flush(hasher);
	}
	enqueue(hasher, digest);
	digest->closed = true;
}

/** A small file that is all there needs no state, which costs as much as its bytes. */
static void try_whole(struct ur_digest *digest)
{
	const struct piece *piece = digest->first;
	if (digest->closed && digest->size == 0 && piece != NULL && piece->next == NULL &&
		piece->left <= SLICE) {
		digest->xxh_whole = whole_xxh(piece->at, piece->left);
		digest->xxh_done = true;
		digest->first->ahead = piece->left;
	}
}

/** The longest first, so that at the end the lanes run dry together. */
static void insert(struct ur_stream **streams, size_t count, struct ur_digest *digest)
{
	size_t i = count;
	for (; i > 0 && ((struct ur_digest *)streams[i - 1])->fed < digest->fed; i--) {
		streams[i] = streams[i - 1];
	}
	streams[i] = &digest->stream;
}

void ur_hasher_flush(struct ur_hasher *hasher)
{
	struct ur_stream *streams[PIECES];
	size_t count = hasher->waiting_count;
	for (size_t i = 0; i < count; i++) {
		ask_other(hasher->waiting[i]);
		try_whole(hasher->waiting[i]);
		insert(streams, i, hasher->waiting[i]);
	}
	for (size_t i = 0; i < hasher->chain_count; i++) {
		count = ur_lanes_run(hasher->chain[i], hasher->chain[i]->least, streams, count);
	}
	assert(count == 0);
	for (size_t i = 0; i < hasher->waiting_count; i++) {
		struct ur_digest *digest = hasher->waiting[i];
		assert(digest->first == NULL);
		digest->fed = 0;
		digest->waits = false;
	}
	hasher->waiting_count = 0;
	hasher->piece_count = 0;
}

static void write_xxh(XXH128_hash_t hash, uint8_t ret[UR_HASH_XXH])
{
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, hash);
	static_assert(sizeof canonical == UR_HASH_XXH, "XXH3-128 is 16 bytes");
	memcpy(ret, &canonical, sizeof canonical);
}

static void pad_alone(struct ur_digest *digest)
{
	struct ur_stream *stream = &digest->stream;
	count_file(digest); // an empty one was never fed
	digest->closed = true;
	(void)ur_lanes_run(digest->single, 1, &stream, 1);
}

int ur_digest_end(struct ur_digest *digest, uint8_t sha1[UR_HASH_SHA1], uint8_t xxh[UR_HASH_XXH])
{
	uint8_t result[UR_HASH_SHA1];
	assert(!digest->waits);
	if (!digest->padded) {
		pad_alone(digest);
	}
	if (ur_hash_spoil_words != NULL) {
		ur_hash_spoil_words(digest->stream.words);
	}
	ur_sha1_write(digest->stream.words, result);
	const int r = digest->failed ? -EIO : compare(digest, result);
	if (r < 0) {
		return r;
	}
	memcpy(sha1, result, UR_HASH_SHA1);
	write_xxh(digest->xxh_done ? digest->xxh_whole : XXH3_128bits_digest(digest->xxh), xxh);
	if (ur_hash_spoil != NULL) {
		ur_hash_spoil(sha1);
	}
	return 0;
}

/* ---- XXH3 alone ------------------------------------------------------------------------------ */

int ur_xxh_new(struct ur_xxh **ret)
{
	struct ur_xxh *xxh = calloc(1, sizeof *xxh);
	if (xxh == NULL) {
		return -ENOMEM;
	}
	xxh->state = XXH3_createState();
	if (xxh->state == NULL) {
		free(xxh);
		return -ENOMEM;
	}
	*ret = xxh;
	return 0;
}

struct ur_xxh *ur_xxh_free(struct ur_xxh *xxh)
{
	if (xxh != NULL) {
		(void)XXH3_freeState(xxh->state);
		free(xxh);
	}
	return NULL;
}

void ur_xxh_begin(struct ur_xxh *xxh)
{
	(void)XXH3_128bits_reset(xxh->state);
}

void ur_xxh_feed(struct ur_xxh *xxh, const void *bytes, size_t size)
{
	(void)update_xxh(xxh->state, bytes, size);
}

void ur_xxh_end(const struct ur_xxh *xxh, uint8_t ret[UR_HASH_XXH])
{
	write_xxh(XXH3_128bits_digest(xxh->state), ret);
}

void ur_xxh_of(const void *bytes, size_t size, uint8_t ret[UR_HASH_XXH])
{
	write_xxh(whole_xxh(bytes, size), ret);
}

uint64_t ur_hash_short(const void *bytes, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, size, seed);
}
