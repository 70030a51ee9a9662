/* seal - a nonce, then the sealed text with its tag; upload and owner are the additional data. */
#include "engine/gateway/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG crypto_aead_xchacha20poly1305_ietf_ABYTES

static_assert(UR_SEAL_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(UR_SEAL_ROOM(0) == NONCE + TAG);

int ur_seal_start(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

static size_t bound_to(const char *upload, const char *owner, unsigned char ret[128])
{
	const int size = snprintf((char *)ret, 128, "uringest %s %s", upload, owner);
	assert(size > 0);
	assert(size < 128);
	return (size_t)size;
}

int ur_seal(const uint8_t key[UR_SEAL_KEY], const char *upload, const char *owner,
	const void *bytes, size_t size, uint8_t *ret, size_t *ret_size)
{
	unsigned char bound[128];
	unsigned long long sealed = 0;
	const size_t bound_size = bound_to(upload, owner, bound);
	randombytes_buf(ret, NONCE);
	if (crypto_aead_xchacha20poly1305_ietf_encrypt(
		    ret + NONCE, &sealed, bytes, size, bound, bound_size, NULL, ret, key) != 0) {
		return -EIO;
	}
	*ret_size = NONCE + (size_t)sealed;
	return 0;
}

int ur_unseal(const uint8_t key[UR_SEAL_KEY], const char *upload, const char *owner,
	const uint8_t *sealed, size_t size, void *ret, size_t *ret_size)
{
	unsigned char bound[128];
	unsigned long long opened = 0;
	const size_t bound_size = bound_to(upload, owner, bound);
	if (size < NONCE + TAG ||
		crypto_aead_xchacha20poly1305_ietf_decrypt(ret, &opened, NULL, sealed + NONCE,
			size - NONCE, bound, bound_size, sealed, key) != 0) {
		return -EBADMSG;
	}
	*ret_size = (size_t)opened;
	return 0;
}
