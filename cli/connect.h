/**
 * connect - from options, environment and files to a connection; where the key is found.
 *
 *   Owner    ur_connection_done() wipes and frees everything
 *   Errors   -EINVAL and what opening a file said, with a sentence; never with the key in it
 */
#ifndef UR_CLI_CONNECT_H
#define UR_CLI_CONNECT_H

#include "cli/options.h"

#define UR_HEADERS_FILE_MAX (64u << 10)

struct ur_connection {
	char *server;
	char *key;
	char key_from[320]; // where it was found, for people
	char *headers_text;
	const char *headers[UR_HTTP_HEADERS_MAX + 1];
};

/**
 * The key comes from --key-file, else $IMMICH_API_KEY, else the credential `immich-key` of systemd;
 * a leading "/api" of the URL's end is cut.
 */
[[nodiscard]] int ur_connection_find(
	const struct ur_cli_options *options, struct ur_connection *ret, struct ur_err *err);
void ur_connection_done(struct ur_connection *connection);
void ur_connection_fill(const struct ur_connection *connection,
	const struct ur_cli_options *options, struct ur_http_options *ret);

/** --ledger, else $XDG_STATE_HOME/uringest/ledger.db (its folder is made); `ret` is malloc'ed. */
[[nodiscard]] int ur_connection_ledger(
	const struct ur_cli_options *options, char **ret, struct ur_err *err);

#endif
