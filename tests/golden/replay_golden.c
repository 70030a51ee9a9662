/*
 * replay_golden - replays recorded exchanges of a real server against immichd.
 *
 *     replay_golden IMMICHD FOLDER     FOLDER holds `script` and the recordings (CASE.json)
 *
 * Each line of the script is one test:
 *
 *     server fresh|keep ARGUMENTS      stops the server, starts it (a _ stands for a blank)
 *     upload ID NAME DEVICE SIZE SHA1 [sidecar]
 *                                      a file that was there when ID was recorded (SHA1 in base64)
 *     api METHOD PATH [JSON]           a step that was not recorded; must succeed
 *     tag VALUE ID                     ties a tag to an asset, by the tag's value
 *     gone ID                          waits until an asset is no more
 *     settle                           waits until the metadata of all uploads is extracted
 *     replay CASE [loose]              asks what was asked and compares the answers
 *     raw CASE                         the same, on a socket of its own
 *
 * Status, the headers that matter, field names, types, messages and values are compared; ids and
 * times are not, except that an id that was seen must stay the same.  `loose` compares no values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/golden/golden.h"

#define LINES_MAX 512
#define LINE_MAX_BYTES 1024

static const char *program;
static const char *folder;

// --- requests ------------------------------------------------------------------------------------

static void add_file_part(struct ur_text *body, json_t *part)
{
	const char *name = json_string_value(json_object_get(part, "name"));
	const char *disposition = json_string_value(json_object_get(part, "content_disposition"));
	const char *sha1 = json_string_value(json_object_get(part, "sha1_hex"));
	size_t size = (size_t)json_integer_value(json_object_get(part, "size"));
	unsigned char *bytes = NULL;
	char file_name[64] = "x.jpg";

	ur_text_addf(body, "Content-Disposition: %s\r\nContent-Type: %s\r\n\r\n", disposition,
		json_string_value(json_object_get(part, "content_type")));
	if (strcmp(name, "sidecarData") == 0) {
		ur_text_adds(body, file_sidecar);
		return;
	}
	if (strstr(disposition, ".mp4") != NULL || strstr(disposition, ".MOV") != NULL) {
		strcpy(file_name, "x.mov");
	}
	file_make_recorded(file_name, sha1, size, &bytes);
	ur_text_add(body, bytes, size);
	free(bytes);
}

static void make_multipart(json_t *parts, const char *type, struct ur_text *ret)
{
	const char *boundary = strstr(type, "boundary=") + strlen("boundary=");
	json_t *part;
	size_t i;

	json_array_foreach (parts, i, part) {
		json_t *value = json_object_get(part, "value");

		ur_text_addf(ret, "--%s\r\n", boundary);
		if (value != NULL) {
			char *actual = pairs_apply(json_string_value(value));

			ur_text_addf(ret, "Content-Disposition: form-data; name=\"%s\"\r\n\r\n%s",
				json_string_value(json_object_get(part, "name")), actual);
			free(actual);
		} else {
			add_file_part(ret, part);
		}
		ur_text_adds(ret, "\r\n");
	}
	ur_text_addf(ret, "--%s--\r\n", boundary);
}

static void gzip(const char *text, struct ur_text *ret)
{
	unsigned char packed[1024];
	z_stream stream = {.next_in = (unsigned char *)(uintptr_t)text,
		.avail_in = (unsigned int)strlen(text),
		.next_out = packed,
		.avail_out = sizeof(packed)};

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	ur_text_add(ret, packed, stream.total_out);
	(void)deflateEnd(&stream);
}

/** "bulk-check-65533-base64": so many checksums that nobody has. */
static void make_many(int count, struct ur_text *ret)
{
	ur_text_adds(ret, "{\"assets\":[");
	for (int i = 0; i < count; i++) {
		ur_text_addf(
			ret, "%s{\"id\":\"%d\",\"checksum\":\"%027d=\"}", i > 0 ? "," : "", i, i);
	}
	ur_text_adds(ret, "]}");
}

/** Bodies that were recorded by their size only. */
static void make_odd_body(const char *name, struct ur_text *ret)
{
	if (strcmp(name, "bulk-check-malformed-json-400") == 0) {
		ur_text_adds(ret, "{\"assets\":[");
	} else if (strcmp(name, "upload-bad-boundary") == 0) {
		ur_text_adds(ret, "xx");
	} else if (strcmp(name, "bulk-check-gzip-request") == 0) {
		char *text = pairs_apply("{\"assets\":[{\"id\":\"1\",\"checksum\":"
					 "\"f6a421c4801b44a1c10936e9b27f5332ca4496d3\"}]}");

		gzip(text, ret);
		free(text);
	} else if (strcmp(name, "bulk-check-1-base64") == 0) {
		char *text = pairs_apply("{\"assets\":[{\"id\":\"dup\",\"checksum\":"
					 "\"9qQhxIAbRKHBCTbpsn9TMspEltM=\"}]}");

		ur_text_adds(ret, text);
		free(text);
	} else if (strncmp(name, "bulk-check-", 11) == 0) {
		make_many(atoi(name + 11), ret);
	}
}

static void make_body(const char *name, json_t *request, struct ur_text *ret)
{
	json_t *headers = json_object_get(request, "headers");
	const char *type = json_string_value(json_object_get(headers, "Content-Type"));
	json_t *json = json_object_get(request, "json");

	if (json_is_array(json_object_get(request, "multipart"))) {
		make_multipart(json_object_get(request, "multipart"), type, ret);
	} else if (json != NULL) {
		char *text = json_dumps(json, JSON_COMPACT);
		char *actual = pairs_apply(text);

		ur_text_adds(ret, actual);
		free(actual);
		free(text);
	} else {
		make_odd_body(name, ret);
	}
}

// --- answers -------------------------------------------------------------------------------------

static void compare_headers(json_t *recorded, const struct answer *answer, struct ur_text *ret)
{
	static const char *const names[] = {"Content-Type", "Content-Range", "Accept-Ranges",
		"Content-Disposition", "Cache-Control", "Last-Modified", "Connection", "Keep-Alive",
		"Vary", NULL};
	bool cid = json_object_get(recorded, "x-immich-cid") != NULL;

	for (size_t i = 0; names[i] != NULL; i++) {
		const char *was = json_string_value(json_object_get(recorded, names[i]));
		const char *is = answer_header(answer, names[i]);

		if ((was == NULL) != (is == NULL) || (was != NULL && strcmp(was, is) != 0)) {
			ur_text_addf(ret, "  header %s: recorded '%s', now '%s'\n", names[i],
				was != NULL ? was : "(none)", is != NULL ? is : "(none)");
		}
	}
	if ((answer_header(answer, "x-immich-cid") != NULL) != cid) {
		ur_text_addf(ret, "  header x-immich-cid: %s\n", cid ? "is missing" : "is new");
	}
}

/** Bytes: their number, and their SHA-1 where the whole file was asked for. */
static void compare_binary(json_t *recorded, const struct answer *answer, struct ur_text *ret)
{
	size_t size = (size_t)json_integer_value(json_object_get(recorded, "size"));
	const char *sha1 = pairs_find(json_string_value(json_object_get(recorded, "sha1_hex")));
	unsigned char sum[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1];

	SHA1((const unsigned char *)ur_text_get(&answer->body), answer->body.size, sum);
	ur_hex(sum, sizeof(sum), hex);
	if (answer->body.size != size) {
		ur_text_addf(ret, "  body: recorded %zu bytes, now %zu\n", size, answer->body.size);
	} else if (sha1 != NULL && strcmp(sha1, hex) != 0) {
		ur_text_adds(ret, "  body: other bytes than were uploaded\n");
	}
}

static void compare_body(
	json_t *recorded, const struct answer *answer, bool loose, struct ur_text *ret)
{
	json_t *actual;
	json_error_t error;

	if (recorded == NULL || json_is_null(recorded)) {
		if (answer->body.size > 0) {
			ur_text_addf(
				ret, "  body: recorded none, now %s\n", ur_text_get(&answer->body));
		}
		return;
	}
	if (json_is_true(json_object_get(recorded, "_binary"))) {
		compare_binary(recorded, answer, ret);
		return;
	}
	actual = json_loadb(ur_text_get(&answer->body), answer->body.size, JSON_DECODE_ANY, &error);
	if (actual == NULL) {
		ur_text_addf(ret, "  body: not JSON: %.200s\n", ur_text_get(&answer->body));
	} else {
		compare_json(recorded, actual, loose, ret);
	}
	json_decref(actual);
}

static json_t *load(const char *name)
{
	char path[512];
	json_error_t error;
	json_t *recording;

	(void)snprintf(path, sizeof(path), "%s/%s.json", folder, name);
	recording = json_load_file(path, 0, &error);
	if (recording == NULL) {
		fail_msg("cannot read %s: %s", path, error.text);
	}
	return recording;
}

static void replay(const char *name, bool loose)
{
	json_t *recording = load(name);
	json_t *request = json_object_get(recording, "request");
	json_t *response = json_object_get(recording, "response");
	int status = (int)json_integer_value(json_object_get(response, "status"));
	struct ur_text body = {0};
	struct ur_text differences = {0};
	struct answer answer;
	struct question question = {
		.method = json_string_value(json_object_get(request, "method")),
		.path = json_string_value(json_object_get(request, "path")),
		.headers = json_object_get(request, "headers"),
	};

	make_body(name, request, &body);
	question.body = ur_text_get(&body);
	question.size = body.size;
	question.has_body = body.size > 0 || strcmp(question.method, "POST") == 0;
	server_ask(&question, &answer);
	if (answer.status != status) {
		ur_text_addf(&differences, "  status: recorded %d, now %d\n  body: %.300s\n",
			status, answer.status, ur_text_get(&answer.body));
	} else {
		compare_headers(json_object_get(response, "headers"), &answer, &differences);
		compare_body(json_object_get(response, "body"), &answer, loose, &differences);
	}
	answer_done(&answer);
	ur_text_done(&body);
	json_decref(recording);
	if (differences.size > 0) {
		print_error("%s", ur_text_get(&differences));
		ur_text_done(&differences);
		fail();
	}
}

// --- steps that were not recorded ----------------------------------------------------------------

static json_t *admin_headers(const char *type)
{
	return json_pack("{s:s, s:s}", "x-api-key", "<IMMICH_API_KEY>", "Content-Type", type);
}

/** "METHOD PATH JSON" */
static void api(char *line)
{
	char *save = NULL;
	char *method = strtok_r(line, " ", &save);
	char *path = strtok_r(NULL, " ", &save);
	char *body = pairs_apply(save != NULL ? save : "");
	json_t *headers = admin_headers("application/json");
	struct question question = {.method = method,
		.path = path,
		.headers = headers,
		.body = body,
		.size = strlen(body),
		.has_body = body[0] != '\0'};
	struct answer answer;

	server_ask(&question, &answer);
	if (answer.status / 100 != 2) {
		fail_msg("%s %s: %d %s", method, path, answer.status, ur_text_get(&answer.body));
	}
	answer_done(&answer);
	json_decref(headers);
	free(body);
}

static void add_field(struct ur_text *body, const char *name, const char *value)
{
	ur_text_addf(body, "--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name,
		value);
}

/** "ID NAME DEVICE SIZE SHA1 [sidecar]" */
static void upload(char *line)
{
	char *word[6] = {NULL};
	char *save = NULL;
	struct ur_text body = {0};
	unsigned char sum[SHA_DIGEST_LENGTH] = {0};
	char hex[2 * SHA_DIGEST_LENGTH + 1];
	unsigned char *bytes = NULL;
	json_t *headers = admin_headers("multipart/form-data; boundary=x");
	struct question question = {
		.method = "POST", .path = "/api/assets", .headers = headers, .has_body = true};
	struct answer answer;
	json_t *json;

	for (int i = 0; i < 6; i++) {
		word[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
	}
	assert_non_null(word[4]);
	assert_int_equal(ur_unbase64(word[4], sum, sizeof(sum)), SHA_DIGEST_LENGTH);
	ur_hex(sum, sizeof(sum), hex);
	file_make_recorded(word[1], hex, strtoul(word[3], NULL, 10), &bytes);
	add_field(&body, "deviceAssetId", word[2]);
	add_field(&body, "deviceId", "rec");
	add_field(&body, "fileCreatedAt", "2024-05-06T07:08:09.000Z");
	add_field(&body, "fileModifiedAt", "2024-05-06T07:08:09.000Z");
	add_field(&body, "metadata", "[{\"key\":\"my-importer\",\"value\":{\"a\":1}}]");
	ur_text_addf(&body,
		"--x\r\nContent-Disposition: form-data; name=\"assetData\"; filename=\"%s\"\r\n\r\n",
		word[1]);
	ur_text_add(&body, bytes, strtoul(word[3], NULL, 10));
	if (word[5] != NULL) {
		ur_text_addf(&body,
			"\r\n--x\r\nContent-Disposition: form-data; name=\"sidecarData\";"
			" filename=\"t.xmp\"\r\n\r\n%s",
			file_sidecar_embedded);
	}
	ur_text_adds(&body, "\r\n--x--\r\n");
	question.body = ur_text_get(&body);
	question.size = body.size;
	server_ask(&question, &answer);
	assert_int_equal(answer.status, 201);
	json = json_loadb(ur_text_get(&answer.body), answer.body.size, 0, NULL);
	pairs_add(word[0], json_string_value(json_object_get(json, "id")));
	json_decref(json);
	json_decref(headers);
	answer_done(&answer);
	ur_text_done(&body);
	free(bytes);
}

/** "VALUE ID" */
static void tag(char *line)
{
	char *save = NULL;
	const char *value = strtok_r(line, " ", &save);
	json_t *headers = admin_headers("application/json");
	struct question question = {.method = "GET", .path = "/api/tags", .headers = headers};
	struct answer answer;
	struct ur_text step = {0};
	json_t *tags;
	json_t *item;
	size_t i;

	server_ask(&question, &answer);
	tags = json_loadb(ur_text_get(&answer.body), answer.body.size, 0, NULL);
	json_array_foreach (tags, i, item) {
		if (strcmp(json_string_value(json_object_get(item, "value")), value) == 0) {
			ur_text_addf(&step,
				"PUT /api/tags/assets {\"tagIds\":[\"%s\"],\"assetIds\":[\"%s\"]}",
				json_string_value(json_object_get(item, "id")), save);
		}
	}
	assert_true(step.size > 0);
	api(step.bytes);
	ur_text_done(&step);
	json_decref(tags);
	json_decref(headers);
	answer_done(&answer);
}

/** Waits until an asset that was deleted by force is no more. */
static void gone(const char *id)
{
	json_t *headers = admin_headers("application/json");
	struct ur_text body = {0};
	struct question question = {.method = "POST",
		.path = "/api/assets/bulk-upload-check",
		.headers = headers,
		.has_body = true};
	char *text;

	ur_text_adds(&body, "{\"assets\":[{\"id\":\"1\",\"checksum\":"
			    "\"041b9a1c11dc1e2143a47749f9ecefddb3c43147\"}]}");
	text = pairs_apply(ur_text_get(&body));
	question.body = text;
	question.size = strlen(text);
	for (int i = 0; i < 200; i++) {
		struct answer answer;
		bool there;

		server_ask(&question, &answer);
		there = strstr(ur_text_get(&answer.body), pairs_find(id)) != NULL;
		answer_done(&answer);
		if (!there) {
			break;
		}
		usleep(25000);
	}
	free(text);
	ur_text_done(&body);
	json_decref(headers);
}

/** Waits until the queue of extractions is empty. */
static void settle(void)
{
	json_t *headers = admin_headers("application/json");
	struct question question = {
		.method = "GET", .path = "/api/queues/metadataExtraction", .headers = headers};

	for (int i = 0; i < 400; i++) {
		struct answer answer;
		json_t *json;
		json_int_t delayed = 1;
		json_int_t waiting = 1;

		server_ask(&question, &answer);
		json = json_loadb(ur_text_get(&answer.body), answer.body.size, 0, NULL);
		(void)json_unpack(json, "{s:{s:I, s:I}}", "statistics", "delayed", &delayed,
			"waiting", &waiting);
		json_decref(json);
		answer_done(&answer);
		if (delayed == 0 && waiting == 0) {
			json_decref(headers);
			return;
		}
		usleep(25000);
	}
	fail_msg("the metadata of what was uploaded is not extracted after 10 s");
}

static void start(char *line)
{
	char *save = NULL;
	char *how = strtok_r(line, " ", &save);

	server_stop();
	if (strcmp(how, "fresh") == 0) {
		pairs_clear();
	}
	pairs_add("<IMMICH_API_KEY_LIMITED>", "limited");
	pairs_add("<IMMICH_API_KEY_USER2>", "user2");
	pairs_add("<IMMICH_API_KEY>", "all-of-it");
	pairs_add("<KEY_asset.read>", "asset-read");
	pairs_add("<KEY_job.*_queue.*>", "jobs");
	pairs_add("<KEY_quota_user>", "quota");
	server_start(program, strcmp(how, "fresh") == 0, save);
}

// --- the script ----------------------------------------------------------------------------------

static void run_line(void **state)
{
	char line[LINE_MAX_BYTES];
	char *save = NULL;
	char *command;

	(void)snprintf(line, sizeof(line), "%s", (const char *)*state);
	command = strtok_r(line, " ", &save);
	if (strcmp(command, "server") == 0) {
		start(save);
	} else if (strcmp(command, "upload") == 0) {
		upload(save);
	} else if (strcmp(command, "api") == 0) {
		api(save);
	} else if (strcmp(command, "tag") == 0) {
		tag(save);
	} else if (strcmp(command, "gone") == 0) {
		gone(save);
	} else if (strcmp(command, "settle") == 0) {
		settle();
	} else if (strcmp(command, "replay") == 0) {
		char *name = strtok_r(NULL, " ", &save);

		replay(name, strtok_r(NULL, " ", &save) != NULL);
	} else if (strcmp(command, "raw") == 0) {
		char *name = strtok_r(NULL, " ", &save);
		json_t *recording = load(name);

		assert_true(raw_replay(name, recording));
		json_decref(recording);
	} else {
		fail_msg("the script says '%s'", command);
	}
}

/** The script's lines as tests; comments and blank lines are none. */
static size_t read_script(struct CMUnitTest *tests)
{
	char path[512];
	char line[LINE_MAX_BYTES];
	FILE *file;
	size_t count = 0;

	(void)snprintf(path, sizeof(path), "%s/script", folder);
	file = fopen(path, "re");
	if (file == NULL) {
		perror(path);
		exit(2);
	}
	while (count < LINES_MAX && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0' && line[0] != '#') {
			char *copy = strdup(line);

			tests[count++] = (struct CMUnitTest){
				.name = copy, .test_func = run_line, .initial_state = copy};
		}
	}
	fclose(file);
	return count;
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[LINES_MAX];
	size_t count;
	int failed;

	if (argc != 3) {
		fputs("replay_golden IMMICHD FOLDER\n", stderr);
		return 2;
	}
	program = argv[1];
	folder = argv[2];
	curl_global_init(CURL_GLOBAL_DEFAULT);
	count = read_script(tests);
	failed = _cmocka_run_group_tests("golden", tests, count, NULL, NULL);
	server_stop();
	pairs_clear();
	for (size_t i = 0; i < count; i++) {
		free(tests[i].initial_state);
	}
	curl_global_cleanup();
	return failed > 0 ? 1 : 0;
}
