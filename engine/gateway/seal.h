/**
 * seal - a user's credential at rest.
 *
 * A delivery may outlive the request that brought its bytes, and the process.  What it needs is
 * kept beside them, sealed (XChaCha20-Poly1305 of libsodium) under a key that lives outside spool
 * and backup, and bound to the upload and its owner: a sealed text that is moved to another upload
 * does not open.
 *
 *   Owner    the caller wipes what was opened
 *   Errors   -EBADMSG: not ours, not this upload's, or another key
 *   Threads  any
 */
#ifndef UR_GATEWAY_SEAL_H
#define UR_GATEWAY_SEAL_H

#include <stddef.h>
#include <stdint.h>

#define UR_SEAL_KEY 32
#define UR_SEAL_ROOM(size) ((size) + 24 + 16)

[[nodiscard]] int ur_seal_start(void);
/** `ret` has UR_SEAL_ROOM(size) bytes. */
[[nodiscard]] int ur_seal(const uint8_t key[UR_SEAL_KEY], const char *upload, const char *owner,
	const void *bytes, size_t size, uint8_t *ret, size_t *ret_size);
/** `ret` has room for `size` bytes. */
[[nodiscard]] int ur_unseal(const uint8_t key[UR_SEAL_KEY], const char *upload, const char *owner,
	const uint8_t *sealed, size_t size, void *ret, size_t *ret_size);

#endif
