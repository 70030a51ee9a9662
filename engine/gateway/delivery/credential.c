/* credential - the key of an upload's owner: in memory, and sealed beside the bytes. */
#include "engine/gateway/delivery/internal.h"

#include "engine/gateway/seal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

void ur_delivery_keep_credential(struct ur_gateway *gateway, struct ur_spool_upload *upload,
	const struct ur_credential *credential)
{
	assert(credential->line[0] != '\0');
	uint8_t sealed[UR_SEAL_ROOM(sizeof credential->line + 1)];
	char plain[sizeof credential->line + 1];
	size_t size = 0;
	struct ur_err err = {0};
	if (!gateway->options.has_seal) {
		return;
	}
	const int written = snprintf(
		plain, sizeof plain, "%c%s", credential->is_key ? 'k' : 's', credential->line);
	assert(written < (int)sizeof plain);
	int r = written < 0 ? -EIO
			    : ur_seal(gateway->options.seal, upload->id, upload->owner, plain,
				      (size_t)written, sealed, &size);
	r = r < 0 ? r : ur_spool_keep(upload, UR_DELIVERY_KEY_NAME, sealed, size, &err);
	OPENSSL_cleanse(plain, sizeof plain);
	if (r < 0) {
		ur_gateway_log(gateway, 4,
			"upload %s: its key could not be kept; after a restart it waits for its owner",
			upload->id);
	}
}

void ur_delivery_recall_credential(struct ur_session *session)
{
	assert(!session->delivery->has_credential);
	const struct ur_gateway *gateway = session->gateway;
	struct ur_delivery *delivery = session->delivery;
	uint8_t sealed[UR_SEAL_ROOM(sizeof delivery->credential.line + 1)];
	char plain[sizeof sealed];
	size_t size = 0;
	size_t opened = 0;
	if (gateway->options.has_seal &&
		ur_spool_recall(
			session->upload, UR_DELIVERY_KEY_NAME, sealed, sizeof sealed, &size) == 0 &&
		ur_unseal(gateway->options.seal, session->upload->id, session->upload->owner,
			sealed, size, plain, &opened) == 0 &&
		opened > 1 && opened <= sizeof delivery->credential.line) {
		delivery->credential.is_key = plain[0] == 'k';
		memcpy(delivery->credential.line, plain + 1, opened - 1);
		delivery->credential.line[opened - 1] = '\0';
		delivery->has_credential = true;
	}
	OPENSSL_cleanse(plain, sizeof plain);
}

void ur_delivery_forget_credential(struct ur_delivery *delivery)
{
	ur_credential_wipe(&delivery->credential);
	delivery->has_credential = false;
}
