/* settle_hash - the SHA-1 that lets a file go: by OpenSSL, whatever hashed it before. */
#include "engine/stage/settle_parts.h"

#include "engine/sys/sys.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

int ur_settle_sha1(struct ur_settle *settle, int fd, uint8_t ret[UR_HASH_SHA1])
{
	assert(fd >= 0);
	assert(settle->buffer != NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint64_t offset = 0;
	unsigned size = 0;
	unsigned char digest[EVP_MAX_MD_SIZE];
	int r = context == NULL ? -ENOMEM : 0;
	if (r == 0 && EVP_DigestInit_ex(context, EVP_sha1(), NULL) != 1) {
		r = -EIO;
	}
	while (r == 0) {
		const ssize_t n = ur_sys.pread(fd, settle->buffer, UR_SETTLE_BUFFER, (off_t)offset);
		if (n <= 0) {
			r = (int)n;
			break;
		}
		offset += (uint64_t)n;
		r = EVP_DigestUpdate(context, settle->buffer, (size_t)n) == 1 ? 0 : -EIO;
	}
	if (r == 0 && (EVP_DigestFinal_ex(context, digest, &size) != 1 || size != UR_HASH_SHA1)) {
		r = -EIO;
	}
	EVP_MD_CTX_free(context);
	if (r == 0) {
		memcpy(ret, digest, UR_HASH_SHA1);
		atomic_fetch_add(&settle->run->bytes_hashed, offset);
	}
	return r;
}
