/*
 * golden_server - starts immichd on a free port and talks to it with libcurl.
 */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/golden/golden.h"

#define ARGUMENTS_MAX 32
#define PAIRS_MAX 1024

static struct {
	pid_t pid;
	int port;
	char data[64];
	CURL *curl;
} server;

static struct {
	char *recorded;
	char *actual;
} pairs[PAIRS_MAX];
static size_t pair_count;

// --- pairs ---------------------------------------------------------------------------------------

const char *pairs_find(const char *recorded)
{
	for (size_t i = 0; i < pair_count; i++) {
		if (strcmp(pairs[i].recorded, recorded) == 0) {
			return pairs[i].actual;
		}
	}
	return NULL;
}

void pairs_add(const char *recorded, const char *actual)
{
	if (pairs_find(recorded) == NULL && pair_count < PAIRS_MAX) {
		pairs[pair_count].recorded = strdup(recorded);
		pairs[pair_count].actual = strdup(actual);
		pair_count++;
	}
}

void pairs_clear(void)
{
	while (pair_count > 0) {
		pair_count--;
		free(pairs[pair_count].recorded);
		free(pairs[pair_count].actual);
	}
}

char *pairs_apply(const char *text)
{
	struct ur_text result = {0};
	char *copy;

	while (*text != '\0') {
		size_t step = 0;

		for (size_t i = 0; i < pair_count && step == 0; i++) {
			size_t size = strlen(pairs[i].recorded);

			if (strncmp(text, pairs[i].recorded, size) == 0) {
				ur_text_adds(&result, pairs[i].actual);
				step = size;
			}
		}
		if (step == 0) {
			ur_text_add(&result, text, 1);
			step = 1;
		}
		text += step;
	}
	copy = strdup(ur_text_get(&result));
	ur_text_done(&result);
	return copy;
}

// --- the process ---------------------------------------------------------------------------------

static void fail_now(const char *what)
{
	fprintf(stderr, "golden: %s: %s\n", what, strerror(errno));
	exit(1);
}

/** The child's part: becomes the server. */
static void become(const char *program, const char *arguments, int out)
{
	static const char *const fixed[] = {
		"immichd", "--listen", "127.0.0.1:0", "--key", "all-of-it", "--quiet", "--data"};
	char *argv[ARGUMENTS_MAX];
	char *copy = strdup(arguments);
	char *save = NULL;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		argv[count++] = strdup(fixed[i]);
	}
	argv[count++] = server.data;
	for (char *word = strtok_r(copy, " ", &save); word != NULL && count + 1 < ARGUMENTS_MAX;
		word = strtok_r(NULL, " ", &save)) {
		for (char *c = word; *c != '\0'; c++) {
			*c = *c == '_' ? ' ' : *c; // names may hold a blank
		}
		argv[count++] = word;
	}
	argv[count] = NULL;
	(void)dup2(out, STDOUT_FILENO);
	execv(program, argv);
	fail_now(program);
}

static void empty_folder(void)
{
	char command[128];

	if (server.data[0] != '\0') {
		(void)snprintf(command, sizeof(command), "rm -rf '%s'", server.data);
		(void)!system(command);
	}
}

static void make_folder(void)
{
	const char *parent = getenv("TMPDIR");

	empty_folder();
	(void)snprintf(server.data, sizeof(server.data), "%.40s/golden-XXXXXX",
		parent != NULL ? parent : "/tmp");
	if (mkdtemp(server.data) == NULL) {
		fail_now("cannot make a folder");
	}
}

void server_start(const char *program, bool fresh, const char *arguments)
{
	char line[128] = "";
	int out[2];
	FILE *stream;

	if (fresh || server.data[0] == '\0') {
		make_folder();
	}
	if (pipe(out) != 0) {
		fail_now("pipe");
	}
	server.pid = fork();
	if (server.pid < 0) {
		fail_now("fork");
	}
	if (server.pid == 0) {
		close(out[0]);
		become(program, arguments, out[1]);
	}
	close(out[1]);
	stream = fdopen(out[0], "r");
	if (stream == NULL || fgets(line, sizeof(line), stream) == NULL ||
		sscanf(line, "listening on http://127.0.0.1:%d", &server.port) != 1) {
		fprintf(stderr, "golden: '%s' did not start\n", program);
		exit(1);
	}
	fclose(stream);
	server.curl = curl_easy_init();
}

void server_stop(void)
{
	int status = 0;

	if (server.pid > 0) {
		curl_easy_cleanup(server.curl);
		kill(server.pid, SIGTERM);
		waitpid(server.pid, &status, 0);
		server.pid = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			fprintf(stderr, "golden: immichd ended with status %#x\n",
				(unsigned)status);
			exit(1);
		}
	}
}

int server_port(void)
{
	return server.port;
}

const char *server_data(void)
{
	return server.data;
}

__attribute__((destructor)) static void tidy(void)
{
	if (server.pid > 0) {
		kill(server.pid, SIGKILL);
	}
	empty_folder();
}

// --- requests ------------------------------------------------------------------------------------

static size_t collect(char *bytes, size_t size, size_t count, void *to)
{
	ur_text_add(to, bytes, size * count);
	return size * count;
}

static struct curl_slist *header_list(const struct question *question)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	const char *name;
	json_t *value;

	if (json_object_get(question->headers, "Content-Type") == NULL) {
		list = curl_slist_append(list, "Content-Type:");
	}
	json_object_foreach (question->headers, name, value) {
		char *actual = pairs_apply(json_string_value(value));
		struct ur_text line = {0};

		// An empty value has a notation of its own.
		ur_text_addf(&line, actual[0] != '\0' ? "%s: %s" : "%s;%s", name, actual);
		list = curl_slist_append(list, ur_text_get(&line));
		ur_text_done(&line);
		free(actual);
	}
	return list;
}

void server_ask(const struct question *question, struct answer *ret)
{
	char *path = pairs_apply(question->path);
	struct curl_slist *headers = header_list(question);
	struct ur_text url = {0};
	long status = 0;

	memset(ret, 0, sizeof(*ret));
	ur_text_addf(&url, "http://127.0.0.1:%d%s", server.port, path);
	curl_easy_reset(server.curl);
	curl_easy_setopt(server.curl, CURLOPT_URL, ur_text_get(&url));
	curl_easy_setopt(server.curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(server.curl, CURLOPT_TIMEOUT, 30L);
	if (question->has_body) {
		curl_easy_setopt(server.curl, CURLOPT_POSTFIELDS, question->body);
		curl_easy_setopt(server.curl, CURLOPT_POSTFIELDSIZE, (long)question->size);
	}
	if (strcmp(question->method, "HEAD") == 0) {
		curl_easy_setopt(server.curl, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(server.curl, CURLOPT_CUSTOMREQUEST, question->method);
	}
	curl_easy_setopt(server.curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(server.curl, CURLOPT_WRITEDATA, &ret->body);
	curl_easy_setopt(server.curl, CURLOPT_HEADERFUNCTION, collect);
	curl_easy_setopt(server.curl, CURLOPT_HEADERDATA, &ret->headers);
	if (curl_easy_perform(server.curl) == CURLE_OK) {
		curl_easy_getinfo(server.curl, CURLINFO_RESPONSE_CODE, &status);
	}
	ret->status = (int)status;
	curl_slist_free_all(headers);
	ur_text_done(&url);
	free(path);
}

void answer_done(struct answer *answer)
{
	ur_text_done(&answer->headers);
	ur_text_done(&answer->body);
}

const char *answer_header(const struct answer *answer, const char *name)
{
	static char value[512];
	const char *line = ur_text_get(&answer->headers);
	size_t size = strlen(name);

	while (line != NULL && *line != '\0') {
		if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
			(void)snprintf(value, sizeof(value), "%.*s",
				(int)strcspn(line + size + 2, "\r\n"), line + size + 2);
			return value;
		}
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	return NULL;
}
