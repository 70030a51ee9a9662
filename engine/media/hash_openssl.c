/*
 * hash_openssl - one stream by libcrypto, on our own five words.
 *
 * EVP keeps its state to itself, so the block function is reached through SHA1_Update(): whole
 * blocks on a context with nothing pending leave no trace but in the words.
 */
#define OPENSSL_SUPPRESS_DEPRECATED // only the old interface shows the words

#include "engine/media/hash_lanes.h"

#include <openssl/sha.h>

bool ur_sha1_openssl_is_here(void)
{
	return true;
}

void ur_sha1_openssl_step(struct ur_lanes *lanes, size_t blocks)
{
	SHA_CTX context = {
		.h0 = lanes->words[0][0],
		.h1 = lanes->words[1][0],
		.h2 = lanes->words[2][0],
		.h3 = lanes->words[3][0],
		.h4 = lanes->words[4][0],
	};
	(void)SHA1_Update(&context, lanes->at[0], blocks * UR_SHA1_BLOCK); // cannot fail
	lanes->words[0][0] = context.h0;
	lanes->words[1][0] = context.h1;
	lanes->words[2][0] = context.h2;
	lanes->words[3][0] = context.h3;
	lanes->words[4][0] = context.h4;
}
