/* stage - libraries by mklib, a server by immichd, TLS by nginx, and what they all leave. */
#include "cli/bench/stage.h"

#include "engine/base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY "key-of-the-bench"
#define START_MS 20000
#define REMOVE_DEPTH 32

/* ---- small things ---------------------------------------------------------------------------- */

static void join(char *ret, const char *dir, const char *name)
{
	/* Folders are checked when the stage is opened; a name is short and ours. */
	(void)snprintf(ret, UR_BENCH_PATH, "%.*s/%s", UR_BENCH_PATH - 256, dir, name);
}

void ur_bench_stage_said(const struct ur_bench_stage *stage, char *ret)
{
	join(ret, stage->dir, "said");
}

void ur_bench_stage_out(const struct ur_bench_stage *stage, char *ret)
{
	join(ret, stage->dir, "out");
}

void ur_bench_quote(struct ur_text *text, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789@%+=:,./_-";
	if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
		ur_text_adds(text, word);
		return;
	}
	ur_text_adds(text, "'");
	for (const char *at = word; *at != '\0'; at++) {
		ur_text_adds(text, *at == '\'' ? "'\\''" : (char[]){*at, '\0'});
	}
	ur_text_adds(text, "'");
}

bool ur_bench_have(const char *name)
{
	if (strchr(name, '/') != NULL) {
		return access(name, X_OK) == 0;
	}
	const char *path = getenv("PATH");
	char copy[UR_BENCH_PATH * 4];
	(void)snprintf(copy, sizeof copy, "%s:/usr/sbin:/sbin", path != NULL ? path : "");
	char *save = NULL;
	for (char *dir = strtok_r(copy, ":", &save); dir != NULL;
		dir = strtok_r(NULL, ":", &save)) {
		char file[UR_BENCH_PATH];
		join(file, dir, name);
		if (access(file, X_OK) == 0) {
			return true;
		}
	}
	return false;
}

int ur_bench_stage_run(struct ur_bench_stage *stage, const char *command, struct ur_err *err)
{
	char said[UR_BENCH_PATH];
	struct ur_bench_used used;
	ur_bench_stage_said(stage, said);
	return ur_bench_spawn(
		&(struct ur_bench_command){.text = command, .said = said}, &used, err);
}

__attribute__((format(printf, 3, 4))) static int run(
	struct ur_bench_stage *stage, struct ur_err *err, const char *format, ...)
{
	char *command = NULL;
	va_list list;
	va_start(list, format);
	const int size = vasprintf(&command, format, list);
	va_end(list);
	if (size < 0) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot build a command");
	}
	const int r = ur_bench_stage_run(stage, command, err);
	free(command);
	return r;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	/* What does not go is no reason to leave the rest. */
	(void)remove(path);
	return 0;
}

static void remove_all(const char *path)
{
	(void)nftw(path, remove_entry, REMOVE_DEPTH, FTW_DEPTH | FTW_PHYS);
}

static int wait_for(bool (*there)(struct ur_bench_stage *), struct ur_bench_stage *stage, pid_t pid)
{
	const int64_t until = ur_clock_steady_ns() + START_MS * UR_MS_NS;
	const struct timespec pause = {0, 5 * UR_MS_NS};
	while (!there(stage)) {
		if (ur_bench_signal() != 0) {
			return -EINTR;
		}
		if (!ur_bench_runs(pid)) {
			return -ESRCH;
		}
		if (ur_clock_steady_ns() > until) {
			return -ETIMEDOUT;
		}
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int find_programs(struct ur_bench_stage *stage, struct ur_err *err)
{
	const ssize_t size =
		readlink("/proc/self/exe", stage->programs, sizeof stage->programs - 256);
	if (size <= 0) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot find this program's place");
	}
	stage->programs[size] = '\0';
	*strrchr(stage->programs, '/') = '\0';
	return 0;
}

static int make_dir(struct ur_bench_stage *stage, const char *dir, struct ur_err *err)
{
	const char *below = getenv("TMPDIR");
	if (dir == NULL) {
		(void)snprintf(stage->dir, sizeof stage->dir - 256, "%s/uringest-bench.XXXXXX",
			below != NULL && below[0] == '/' ? below : "/tmp");
		return mkdtemp(stage->dir) == NULL ? ur_err_set(err, -errno, UR_FAULT_SETUP,
							     "cannot make '%s'", stage->dir)
						   : 0;
	}
	stage->keep = true;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		return ur_err_set(err, -errno, UR_FAULT_SETUP, "cannot make '%s'", dir);
	}
	char real[PATH_MAX];
	if (realpath(dir, real) == NULL || strlen(real) >= sizeof stage->dir - 256) {
		return ur_err_set(err, -ENAMETOOLONG, UR_FAULT_SETUP, "cannot use '%s'", dir);
	}
	memcpy(stage->dir, real, strlen(real) + 1);
	return 0;
}

int ur_bench_stage_open(struct ur_bench_stage *stage, const char *dir, struct ur_err *err)
{
	struct stat st;
	int r = find_programs(stage, err);
	if (r == 0) {
		r = make_dir(stage, dir, err);
	}
	if (r < 0) {
		return r;
	}
	if (stat(stage->dir, &st) == 0) {
		stage->disk = st.st_dev;
	}
	/* Nothing of the user's own settings, ledgers and proxies takes part. */
	static const char *const without[] = {"http_proxy", "https_proxy", "HTTP_PROXY",
		"HTTPS_PROXY", "all_proxy", "ALL_PROXY", "XDG_CONFIG_HOME", "IMMICH_URL",
		"IMMICH_INSTANCE_URL"};
	for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
		(void)unsetenv(without[i]);
	}
	if (stage->server == NULL) {
		(void)setenv("IMMICH_API_KEY", KEY, 1);
	}
	(void)setenv("XDG_STATE_HOME", stage->dir, 1);
	(void)setenv("LC_ALL", "C", 1);
	return 0;
}

static void stop_immichd(struct ur_bench_stage *stage)
{
	ur_bench_end(stage->immichd);
	stage->immichd = 0;
	stage->serving[0] = '\0';
}

void ur_bench_stage_close(struct ur_bench_stage *stage)
{
	ur_bench_end(stage->nginx);
	stop_immichd(stage);
	if (!stage->keep && stage->dir[0] != '\0') {
		remove_all(stage->dir);
	}
	free(stage->server);
	stage->server = NULL;
}

/* ---- libraries ------------------------------------------------------------------------------- */

static void name_tree(const struct ur_bench_tree *tree, char ret[128])
{
	if (tree->film > 0) {
		(void)snprintf(ret, 128, "tree-film-%" PRIu64, tree->film);
	} else {
		(void)snprintf(ret, 128, "tree-%" PRIu64 "x%" PRIu64 "-%" PRIu64, tree->files,
			tree->bytes, tree->per_dir);
	}
}

static int make_tree(struct ur_bench_stage *stage, const struct ur_bench_tree *tree,
	const char *path, struct ur_err *err)
{
	char mklib[UR_BENCH_PATH];
	join(mklib, stage->programs, "mklib");
	if (access(mklib, X_OK) != 0) {
		return ur_err_say(err, -ENOENT, UR_FAULT_SETUP,
			"libraries are made by mklib, which is not beside uringest (%s): name a "
			"folder of your own, or build it (make)",
			stage->programs);
	}
	if (!stage->quiet) {
		(void)fprintf(stderr, "bench: making %s\n", path);
	}
	remove_all(path);
	if (tree->film > 0) {
		return run(stage, err, "'%s' '%s' --count 0 --big film.mp4:%" PRIu64, mklib, path,
			tree->film);
	}
	return run(stage, err,
		"'%s' '%s' --kinds jpeg --count %" PRIu64 " --size %" PRIu64 " --per-dir %" PRIu64,
		mklib, path, tree->files, tree->bytes, tree->per_dir);
}

int ur_bench_stage_tree(struct ur_bench_stage *stage, const struct ur_bench_tree *tree, char *ret,
	struct ur_err *err)
{
	char name[128];
	char list[UR_BENCH_PATH];
	name_tree(tree, name);
	join(ret, stage->dir, name);
	(void)snprintf(list, sizeof list, "%.*s.list", UR_BENCH_PATH - 16, ret);
	if (access(list, F_OK) == 0) {
		return 0;
	}
	const int r = make_tree(stage, tree, ret, err);
	/* The list comes last and at once: a library that has one is whole. */
	return r < 0 ? r
		     : run(stage, err, "find '%s' -type f -print0 >'%s.new' && mv '%s.new' '%s'",
			       ret, list, list, list);
}

int ur_bench_stage_add(
	struct ur_bench_stage *stage, const char *path, unsigned count, struct ur_err *err)
{
	/* Never the same pictures twice, nor in a later bench of the same folder. */
	const int64_t seed = ur_clock_wall_ns() / 1000;
	return run(stage, err,
		"'%s/mklib' '%s/new-%" PRId64 "' --kinds jpeg --count %u --size 2K --seed %" PRId64,
		stage->programs, path, seed, count, seed);
}

/* ---- servers --------------------------------------------------------------------------------- */

static bool immichd_listens(struct ur_bench_stage *stage)
{
	char path[UR_BENCH_PATH];
	char line[128];
	join(path, stage->dir, "immichd.out");
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return false;
	}
	const bool there = fgets(line, sizeof line, file) != NULL && strchr(line, '\n') != NULL &&
			   sscanf(line, "listening on %63s", stage->url) == 1;
	(void)fclose(file);
	return there;
}

static int start_immichd(struct ur_bench_stage *stage, const char *data, struct ur_err *err)
{
	char command[3 * UR_BENCH_PATH];
	char out[UR_BENCH_PATH];
	char said[UR_BENCH_PATH];
	join(said, stage->programs, "immichd");
	if (access(said, X_OK) != 0) {
		return ur_err_say(err, -ENOENT, UR_FAULT_SETUP,
			"there is no immichd beside uringest (%s): name a server with --server, "
			"or build it (make)",
			stage->programs);
	}
	join(out, stage->dir, "immichd.out");
	join(said, stage->dir, "immichd.err");
	(void)unlink(out);
	(void)snprintf(command, sizeof command,
		"exec '%s/immichd' --listen 127.0.0.1:%d --data '%s' --key " KEY
		" --api 3 --quiet --extract-delay 0",
		stage->programs, stage->port, data);
	const pid_t pid = ur_bench_start(command, out, said);
	if (pid < 0) {
		return ur_err_set(err, pid, UR_FAULT_WORLD, "cannot start immichd");
	}
	stage->immichd = pid;
	const int r = wait_for(immichd_listens, stage, pid);
	if (r < 0) {
		stop_immichd(stage);
		return ur_err_set(err, r, UR_FAULT_SETUP, "immichd did not start (see %s)", said);
	}
	(void)snprintf(stage->serving, sizeof stage->serving, "%s", data);
	stage->port = (int)strtol(strrchr(stage->url, ':') + 1, NULL, 10);
	return 0;
}

/** Our server on `data`. */
static int serve(struct ur_bench_stage *stage, const char *data, struct ur_err *err)
{
	if (stage->immichd > 0 && strcmp(stage->serving, data) == 0) {
		return 0;
	}
	stop_immichd(stage);
	return start_immichd(stage, data, err);
}

int ur_bench_stage_server(struct ur_bench_stage *stage, bool fresh, struct ur_err *err)
{
	char data[UR_BENCH_PATH];
	if (stage->server != NULL) {
		return 0;
	}
	join(data, stage->dir, fresh ? "server" : "empty");
	if (fresh) {
		stop_immichd(stage);
		remove_all(data);
	}
	return serve(stage, data, err);
}

void ur_bench_stage_ledger(struct ur_bench_stage *stage, char *ret)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	join(ret, stage->dir, "ledger.db");
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		char path[UR_BENCH_PATH + 8];
		(void)snprintf(path, sizeof path, "%s%s", ret, ends[i]);
		(void)unlink(path);
	}
}

/** For a server of somebody's there is nothing known: a bench never sends there. */
int ur_bench_stage_known(
	struct ur_bench_stage *stage, const char *path, char *ret, struct ur_err *err)
{
	char data[UR_BENCH_PATH];
	char mark[UR_BENCH_PATH + 8];
	const char *name = strrchr(path, '/') + 1 + strlen("tree-");
	(void)snprintf(
		data, sizeof data, "%.*s/known-%.128s", UR_BENCH_PATH - 256, stage->dir, name);
	(void)snprintf(ret, UR_BENCH_PATH, "%.*s.db", UR_BENCH_PATH - 8, data);
	(void)snprintf(mark, sizeof mark, "%s.done", data);
	int r = serve(stage, data, err);
	if (r < 0 || access(mark, F_OK) == 0) {
		return r;
	}
	if (!stage->quiet) {
		(void)fprintf(stderr, "bench: importing %s, so that it is known\n", path);
	}
	r = run(stage, err,
		"'%s/uringest' import -q --server %s --ledger '%s' '%s' && "
		"'%s/uringest' import -q --server %s --ledger '%s' '%s' && : >'%s'",
		stage->programs, stage->url, ret, path, stage->programs, stage->url, ret, path,
		mark);
	return r;
}

/* ---- what the server counts ------------------------------------------------------------------ */

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
	ur_text_add(context, bytes, size * count);
	return size * count;
}

static int get(const char *url, const char *header, struct ur_text *body)
{
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = header == NULL ? NULL : curl_slist_append(NULL, header);
	CURLcode code = CURLE_OUT_OF_MEMORY;
	if (curl != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_URL, url);
		(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
		(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
		(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
		code = curl_easy_perform(curl);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return code == CURLE_OK && ur_text_ok(body) ? 0 : -EIO;
}

static void count_requests(const json_t *stats, struct ur_bench_requests *ret)
{
	const char *name = NULL;
	json_t *value = NULL;
	*ret = (struct ur_bench_requests){0};
	json_object_foreach (json_object_get(stats, "endpoints"), name, value) {
		const uint64_t count = (uint64_t)json_integer_value(value);
		if (strstr(name, "/_immichd/") == NULL) {
			ret->all += count;
		}
		if (strcmp(name, "POST /api/assets") == 0) {
			ret->uploads = count;
		}
	}
}

int ur_bench_stage_requests(
	struct ur_bench_stage *stage, struct ur_bench_requests *ret, struct ur_err *err)
{
	char url[128];
	struct ur_text body = {0};
	*ret = (struct ur_bench_requests){0};
	if (stage->immichd <= 0) {
		return 0;
	}
	(void)snprintf(url, sizeof url, "%s/_immichd/stats", stage->url);
	int r = get(url, "x-api-key: " KEY, &body);
	json_t *stats = r < 0 ? NULL : json_loads(ur_text_get(&body), 0, NULL);
	ur_text_done(&body);
	if (stats == NULL) {
		return ur_err_say(err, -EIO, UR_FAULT_WORLD, "immichd did not say what it counted");
	}
	count_requests(stats, ret);
	json_decref(stats);
	return 0;
}

/* ---- nginx ----------------------------------------------------------------------------------- */

static int free_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const bool well = fd >= 0 && bind(fd, (void *)&address, size) == 0 &&
			  getsockname(fd, (void *)&address, &size) == 0;
	if (fd >= 0) {
		(void)close(fd);
	}
	return well ? ntohs(address.sin_port) : 0;
}

static const char nginx_conf[] = "daemon off;\n"
				 "pid pid;\n"
				 "error_log error.log;\n"
				 "worker_processes 2;\n"
				 "events { worker_connections 512; }\n"
				 "http {\n"
				 "	access_log off;\n"
				 "	client_body_temp_path body;\n"
				 "	proxy_temp_path proxy;\n"
				 "	fastcgi_temp_path fastcgi;\n"
				 "	uwsgi_temp_path uwsgi;\n"
				 "	scgi_temp_path scgi;\n"
				 "	upstream immich { server 127.0.0.1:%d; keepalive 16; }\n"
				 "	server {\n"
				 "		listen 127.0.0.1:%d ssl;\n"
				 "		listen 127.0.0.1:%d;\n"
				 "		ssl_certificate %s/nginx/cert.pem;\n"
				 "		ssl_certificate_key %s/nginx/key.pem;\n"
				 "		client_max_body_size 0;\n"
				 "		client_body_buffer_size 1m;\n"
				 "		location / {\n"
				 "			proxy_pass http://immich;\n"
				 "			proxy_http_version 1.1;\n"
				 "			proxy_set_header Connection \"\";\n"
				 "			proxy_request_buffering off;\n"
				 "			proxy_buffering off;\n"
				 "			proxy_read_timeout 600s;\n"
				 "			proxy_send_timeout 600s;\n"
				 "		}\n"
				 "	}\n"
				 "}\n";

static int write_conf(struct ur_bench_stage *stage, struct ur_err *err)
{
	char path[UR_BENCH_PATH];
	const int secure = free_port();
	const int plain = free_port();
	join(path, stage->dir, "nginx/nginx.conf");
	FILE *file = fopen(path, "we");
	if (file == NULL || secure == 0 || plain == 0) {
		if (file != NULL) {
			(void)fclose(file);
		}
		return ur_err_set(err, -EIO, UR_FAULT_SETUP, "cannot set nginx up in '%s'", path);
	}
	(void)fprintf(file, nginx_conf, stage->port, secure, plain, stage->dir, stage->dir);
	if (fclose(file) != 0) {
		return ur_err_set(err, -errno, UR_FAULT_WORLD, "cannot write '%s'", path);
	}
	(void)snprintf(stage->tls, sizeof stage->tls, "https://localhost:%d", secure);
	(void)snprintf(stage->plain, sizeof stage->plain, "http://127.0.0.1:%d", plain);
	return 0;
}

/** nginx passes on what immichd says, which needs no key here. */
static bool nginx_answers(struct ur_bench_stage *stage)
{
	char url[128];
	struct ur_text body = {0};
	(void)snprintf(url, sizeof url, "%s/api/server/ping", stage->plain);
	const bool there = get(url, NULL, &body) == 0;
	ur_text_done(&body);
	return there;
}

int ur_bench_stage_nginx(struct ur_bench_stage *stage, struct ur_err *err)
{
	char command[3 * UR_BENCH_PATH];
	char said[UR_BENCH_PATH];
	if (stage->nginx > 0) {
		return 0;
	}
	if (!ur_bench_have("nginx") || !ur_bench_have("openssl")) {
		return ur_err_say(err, -ENOENT, UR_FAULT_SETUP, "nginx or openssl is not here");
	}
	int r = run(stage, err,
		"mkdir -p '%s/nginx' && cd '%s/nginx' && printf 'x-api-key: " KEY "\\n' >headers &&"
		" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
		"-days 2 -keyout key.pem -out cert.pem -subj /CN=localhost "
		"-addext subjectAltName=DNS:localhost,IP:127.0.0.1",
		stage->dir, stage->dir);
	if (r == 0) {
		r = write_conf(stage, err);
	}
	if (r < 0) {
		return r;
	}
	join(said, stage->dir, "nginx/said");
	(void)snprintf(command, sizeof command,
		"PATH=$PATH:/usr/sbin exec nginx -p '%s/nginx' -c nginx.conf", stage->dir);
	const pid_t pid = ur_bench_start(command, NULL, said);
	r = pid < 0 ? pid : wait_for(nginx_answers, stage, pid);
	if (r < 0) {
		ur_bench_end(pid);
		return ur_err_set(err, r, UR_FAULT_SETUP, "nginx did not start (see %s)", said);
	}
	stage->nginx = pid;
	return 0;
}

int ur_bench_stage_drop_caches(void)
{
	const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	sync();
	const int r = write(fd, "3\n", 2) == 2 ? 0 : -errno;
	(void)close(fd);
	return r;
}
