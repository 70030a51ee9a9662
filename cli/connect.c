/* connect - keys are read as late as possible, copied as little as possible, and wiped. */
#include "cli/connect.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX 256
#define CONNECT_MS 10000
#define STALL_MS 60000

static int read_text(const char *path, size_t most, char **ret, struct ur_err *err)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot open '%s'", path);
	}
	char *text = malloc(most + 2);
	ssize_t size = text == NULL ? -1 : read(fd, text, most + 1);
	const int code = text == NULL ? -ENOMEM : -errno;
	(void)close(fd);
	if (size < 0) {
		free(text);
		return ur_err_set(err, code, UR_FAULT_SETUP, "cannot read '%s'", path);
	}
	if ((size_t)size > most) {
		free(text);
		return ur_err_say(
			err, -EFBIG, UR_FAULT_SETUP, "'%s' is larger than %zu bytes", path, most);
	}
	text[size] = '\0';
	if (strlen(text) != (size_t)size) {
		free(text);
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"'%s' holds a NUL byte, as text in UTF-16 does; save it as UTF-8", path);
	}
	const size_t mark = ur_text_mark(text, (size_t)size);
	memmove(text, text + mark, (size_t)size - mark + 1);
	*ret = text;
	return 0;
}

static void trim(char *text)
{
	size_t size = strlen(text);
	while (size > 0 && isspace((unsigned char)text[size - 1])) {
		text[--size] = '\0';
	}
	const size_t lead = strspn(text, " \t\r\n");
	memmove(text, text + lead, size - lead + 1);
}

static int check_key(const char *key, const char *where, struct ur_err *err)
{
	bool good = key[0] != '\0' && strlen(key) <= KEY_MAX;
	for (const char *at = key; *at != '\0'; at++) {
		good = good && isgraph((unsigned char)*at);
	}
	return good ? 0
		    : ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			      "%s holds no API key (one word, at most %d characters)", where,
			      KEY_MAX);
}

static int find_key(
	const struct ur_cli_options *options, struct ur_connection *ret, struct ur_err *err)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	const char *environment = getenv("IMMICH_API_KEY");
	char credential[4096] = "";
	if (folder != NULL) {
		(void)snprintf(credential, sizeof credential, "%s/immich-key", folder);
	}
	const char *path = options->key_file;
	if (path == NULL && environment == NULL && credential[0] != '\0' &&
		access(credential, R_OK) == 0) {
		path = credential;
	}
	if (path != NULL) {
		const int r = read_text(path, KEY_MAX + 16, &ret->key, err);
		if (r < 0) {
			return ur_err_within(err, r, "the file with the key");
		}
		trim(ret->key);
		(void)snprintf(ret->key_from, sizeof ret->key_from, "%.*s",
			(int)sizeof ret->key_from - 1, path);
		return check_key(ret->key, path, err);
	}
	if (environment == NULL || environment[0] == '\0') {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"no API key: set IMMICH_API_KEY or give --key-file (make a key in Immich under "
			"Account Settings, API Keys)");
	}
	ret->key = strdup(environment);
	if (ret->key == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot keep the key");
	}
	trim(ret->key); // an environment file of Windows leaves a CR
	(void)snprintf(ret->key_from, sizeof ret->key_from, "$IMMICH_API_KEY");
	return check_key(ret->key, "IMMICH_API_KEY", err);
}

static int find_server(
	const struct ur_cli_options *options, struct ur_connection *ret, struct ur_err *err)
{
	const char *url = options->server;
	url = url == NULL ? getenv("IMMICH_URL") : url;
	url = url == NULL ? getenv("IMMICH_INSTANCE_URL") : url;
	if (url == NULL || url[0] == '\0') {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"no server: give --server https://photos.example.org or set IMMICH_URL");
	}
	ret->server = strdup(url);
	if (ret->server == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot keep the server's name");
	}
	trim(ret->server);
	url = ret->server;
	if (strchr(url, '@') != NULL) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"the server's URL holds a user or a password; keys go into --key-file");
	}
	if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"the server '%s' must begin with https:// or http://", url);
	}
	size_t size = strlen(ret->server);
	while (size > 0 && ret->server[size - 1] == '/') {
		ret->server[--size] = '\0';
	}
	if (size > 4 && strcmp(ret->server + size - 4, "/api") == 0) {
		ret->server[size - 4] = '\0';
	}
	return 0;
}

static int find_headers(
	const struct ur_cli_options *options, struct ur_connection *ret, struct ur_err *err)
{
	if (options->headers_file == NULL) {
		return 0;
	}
	const int r =
		read_text(options->headers_file, UR_HEADERS_FILE_MAX, &ret->headers_text, err);
	if (r < 0) {
		return r;
	}
	char *rest = ret->headers_text;
	char *line = NULL;
	size_t count = 0;
	int number = 0;
	while ((line = strsep(&rest, "\n")) != NULL) {
		number++;
		trim(line);
		if (line[0] == '\0' || line[0] == '#') {
			continue;
		}
		const char *colon = strchr(line, ':');
		bool good = colon != NULL && colon != line && count < UR_HTTP_HEADERS_MAX;
		for (const char *at = line; *at != '\0'; at++) {
			good = good && (unsigned char)*at >= ' ' && *at != 0x7f;
		}
		if (!good) {
			return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
				"%s, line %d: no header 'Name: value' (at most %d of them)",
				options->headers_file, number, UR_HTTP_HEADERS_MAX);
		}
		ret->headers[count++] = line;
	}
	return 0;
}

int ur_connection_find(
	const struct ur_cli_options *options, struct ur_connection *ret, struct ur_err *err)
{
	*ret = (struct ur_connection){0};
	int r = find_server(options, ret, err);
	r = r < 0 ? r : find_key(options, ret, err);
	r = r < 0 ? r : find_headers(options, ret, err);
	if (r < 0) {
		ur_connection_done(ret);
	}
	return r;
}

void ur_connection_done(struct ur_connection *connection)
{
	if (connection->key != NULL) {
		explicit_bzero(connection->key, strlen(connection->key));
	}
	free(connection->key);
	free(connection->server);
	free(connection->headers_text);
	*connection = (struct ur_connection){0};
}

void ur_connection_fill(const struct ur_connection *connection,
	const struct ur_cli_options *options, struct ur_http_options *ret)
{
	*ret = (struct ur_http_options){
		.server = connection->server,
		.key = connection->key,
		.cacert = options->cacert,
		.client_cert = options->client_cert,
		.client_key = options->client_key,
		.proxy = options->proxy,
		.headers = connection->headers,
		.rate = options->rate,
		.connect_ms = CONNECT_MS,
		.stall_ms = STALL_MS,
		.connections_max = (unsigned)options->concurrency + 8,
	};
}

static int make_folders(char *path, struct ur_err *err)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		const int r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		if (r < 0) {
			(void)ur_err_set(err, r, UR_FAULT_SETUP,
				"cannot make the ledger's folder '%s'; give --ledger a file", path);
			*slash = '/';
			return r;
		}
		*slash = '/';
	}
	return 0;
}

int ur_connection_ledger(const struct ur_cli_options *options, char **ret, struct ur_err *err)
{
	char path[4096];
	const char *state = getenv("XDG_STATE_HOME");
	const char *service = getenv("STATE_DIRECTORY");
	const char *home = getenv("HOME");
	int size = 0;
	if (options->ledger != NULL) {
		size = snprintf(path, sizeof path, "%s", options->ledger);
	} else if (service != NULL && service[0] == '/') {
		size = snprintf(
			path, sizeof path, "%.*s/ledger.db", (int)strcspn(service, ":"), service);
	} else if (state != NULL && state[0] == '/') {
		size = snprintf(path, sizeof path, "%s/uringest/ledger.db", state);
	} else if (home != NULL && home[0] == '/') {
		size = snprintf(path, sizeof path, "%s/.local/state/uringest/ledger.db", home);
	} else {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"there is no home to keep the ledger in: give --ledger a file");
	}
	if ((size_t)size >= sizeof path) {
		return ur_err_set(err, -ENAMETOOLONG, UR_FAULT_SETUP, "the ledger's path");
	}
	const int r = options->ledger != NULL ? 0 : make_folders(path, err);
	if (r < 0) {
		return r;
	}
	*ret = strdup(path);
	return *ret == NULL ? ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "the ledger's path") : 0;
}
