/*
 * cmd_serve - the gateway as a daemon: options, signals, systemd.
 *
 *     SIGTERM, SIGINT  ends within a grace time, every offset durable; once more: at once
 *     SIGHUP           reads limits again
 */
#include "cli/commands.h"
#include "cli/configure.h"

#include "engine/base/text.h"
#include "engine/base/thread.h"
#include "engine/gateway/gateway.h"
#include "engine/gateway/spool/spool.h"
#include "engine/sys/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRACE_MS 20000
#define START_SAID_S 5 // a start that takes longer says how far it is
#define CREW 4u
#define CONNECTIONS_MAX 1024u
#define SEAL_NAME "gateway-seal"

/** Read downwards: the life of the daemon. */
enum phase {
	READING,  // its settings
	STARTING, // the spool is read
	RUNNING,  // a signal can be handed to it
	ENDING,   // it takes itself apart
};

struct serve {
	const struct ur_cli_options *given; // by the command line
	struct ur_cli_options options;      // and the file
	struct ur_settings settings;
	struct ur_arena arena;
	struct ur_gateway *gateway;
	atomic_int phase;       // enum phase
	pthread_mutex_t handed; // the gateway is there while it is held, when it is running
	bool marked;            // journald reads "<N>"
	bool watched;
	char status[160];
};

static void say(void *context, int level, const char *text)
{
	const struct serve *serve = context;
	struct ur_text shown = {0};
	if (serve->options.quiet && level > 4) {
		return;
	}
	ur_text_add_shown(&shown, text, strlen(text));
	if (serve->marked) {
		(void)fprintf(stderr, "<%d>%s\n", level, ur_text_get(&shown));
	} else {
		(void)fprintf(stderr, "%s\n", ur_text_get(&shown));
	}
	ur_text_done(&shown);
}

/** On the loop's thread, once a second: a watchdog that is fed by anything else proves nothing. */
static void pulse(void *context, const char *status)
{
	struct serve *serve = context;
	char text[sizeof serve->status + 32];
	const bool new = strcmp(status, serve->status) != 0;
	if (new) {
		(void)snprintf(serve->status, sizeof serve->status, "%s", status);
	}
	if (new || serve->watched) {
		(void)snprintf(text, sizeof text, "STATUS=%s%s", serve->status,
			serve->watched ? "\nWATCHDOG=1" : "");
		ur_notify(text);
	}
}

/* ---- options --------------------------------------------------------------------------------- */

/** What neither the command line nor the file says stays below zero, or NONE. */
#define NONE UINT64_MAX

static void unset(const struct ur_cli_options *given, struct ur_cli_options *o)
{
	*o = *given;
	o->max_size = ur_cli_options_given(given, "max-size") ? o->max_size : NONE;
	o->user_bytes = ur_cli_options_given(given, "user-bytes") ? o->user_bytes : NONE;
	o->keep_free = ur_cli_options_given(given, "keep-free") ? o->keep_free : NONE;
	o->settle_after_ms = ur_cli_options_given(given, "settle-after") ? o->settle_after_ms : -1;
	o->suspect_wait_ms = ur_cli_options_given(given, "suspect-wait") ? o->suspect_wait_ms : -1;
	o->answer_wait_ms = ur_cli_options_given(given, "answer-wait") ? o->answer_wait_ms : -1;
}

static struct ur_gateway_limits limits_of(const struct ur_cli_options *o)
{
	struct ur_gateway_limits limits = ur_gateway_limits_default();
	limits.size_max = o->max_size != NONE ? o->max_size : limits.size_max;
	limits.user_bytes = o->user_bytes != NONE ? o->user_bytes : limits.user_bytes;
	limits.keep_free = o->keep_free != NONE ? o->keep_free : limits.keep_free;
	limits.user_uploads = o->user_uploads > 0 ? (uint64_t)o->user_uploads : limits.user_uploads;
	limits.deliveries = o->deliveries > 0 ? (unsigned)o->deliveries : limits.deliveries;
	limits.expire_ms = o->expire_ms > 0 ? o->expire_ms : limits.expire_ms;
	limits.settle_after_ms =
		o->settle_after_ms >= 0 ? o->settle_after_ms : limits.settle_after_ms;
	limits.suspect_wait_ms =
		o->suspect_wait_ms >= 0 ? o->suspect_wait_ms : limits.suspect_wait_ms;
	limits.answer_wait_ms = o->answer_wait_ms > 0 ? o->answer_wait_ms : limits.answer_wait_ms;
	return limits;
}

/** The command line over the file.  Strings live in the arena. */
static int read_options(const struct ur_cli_options *given, struct ur_arena *arena,
	struct ur_settings *settings, struct ur_cli_options *ret, struct ur_err *err)
{
	unset(given, ret);
	ur_settings_clear(settings);
	if (given->config == NULL) {
		return 0;
	}
	const int r = ur_settings_load(arena, given->config, settings, err);
	if (r == 0) {
		ur_configure_gateway(settings, ret);
	}
	return r;
}

/** 32 bytes as they are, or 64 hexadecimal digits. */
static int read_seal(const char *path, uint8_t ret[32], struct ur_err *err)
{
	char text[80] = "";
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		return ur_err_set(
			err, -errno, UR_FAULT_SETUP, "cannot open the seal's key '%s'", path);
	}
	const ssize_t size = read(fd, text, sizeof text - 1);
	(void)close(fd);
	const size_t hex = strcspn(text, "\r\n");
	const bool raw = size == 32;
	if (raw) {
		memcpy(ret, text, 32);
	}
	text[hex < sizeof text ? hex : sizeof text - 1] = '\0';
	const bool good = raw || (hex == 64 && ur_unhex(text, 32, ret));
	OPENSSL_cleanse(text, sizeof text);
	return good ? 0
		    : ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			      "the seal's key '%s' must hold 32 bytes or 64 hexadecimal digits; make "
			      "one with: head -c 32 /dev/urandom > FILE",
			      path);
}

static int find_seal(
	const struct ur_cli_options *o, struct ur_gateway_options *ret, struct ur_err *err)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char credential[4096] = "";
	const char *path = o->seal_key;
	if (path == NULL && folder != NULL) {
		(void)snprintf(credential, sizeof credential, "%s/%s", folder, SEAL_NAME);
		path = access(credential, R_OK) == 0 ? credential : NULL;
	}
	if (path == NULL) {
		return 0;
	}
	const int r = read_seal(path, ret->seal, err);
	ret->has_seal = r == 0;
	return r;
}

static bool is_http(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static int find_immich(
	const struct ur_cli_options *o, struct ur_gateway_options *ret, struct ur_err *err)
{
	const char *url = o->immich != NULL ? o->immich : getenv("IMMICH_URL");
	if (url == NULL || url[0] == '\0') {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"no immich-server: give --immich http://127.0.0.1:2283, or --immich none "
			"--allow-anonymous for a trial");
	}
	const bool none = strcmp(url, "none") == 0;
	if (none && !o->allow_anonymous) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"without an immich-server nobody can be told from anybody: add "
			"--allow-anonymous if that is what you want");
	}
	if (!none && o->allow_anonymous) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"--allow-anonymous goes with --immich none only: an asset needs an owner");
	}
	if (!none && !is_http(url)) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"the immich-server '%s' must begin with http:// or https://", url);
	}
	ret->immich = none ? NULL : url;
	ret->allow_anonymous = none;
	return 0;
}

static int fill(struct serve *serve, struct ur_gateway_options *ret, struct ur_err *err)
{
	const struct ur_cli_options *o = &serve->options;
	*ret = (struct ur_gateway_options){
		.listen = o->listen,
		.listen_fd = o->listen != NULL ? -1 : ur_notify_listen_fd(),
		.spool = o->spool != NULL ? o->spool : getenv("STATE_DIRECTORY"),
		.cacert = o->cacert,
		.base = o->base != NULL ? o->base : "/uringest/",
		.no_hash = o->no_sums,
		.no_sync = o->no_sync,
		.crew = CREW,
		.connections_max = CONNECTIONS_MAX,
		.limits = limits_of(o),
		.log = say,
		.pulse = pulse,
		.context = serve,
	};
	if (o->argument_count > 0) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"serve takes no argument, and '%s' is one; see --help", o->arguments[0]);
	}
	if (ret->listen == NULL && ret->listen_fd < 0) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"where shall it listen? give --listen 127.0.0.1:8091 or --listen unix:PATH");
	}
	if (ret->spool == NULL) {
		return ur_err_say(err, -EINVAL, UR_FAULT_SETUP,
			"where shall uploads be kept? give --spool DIR, on a disk with room for them");
	}
	if (o->proxy_count + serve->settings.trusted_proxies.count > UR_GATEWAY_PROXIES_MAX) {
		return ur_err_say(err, -E2BIG, UR_FAULT_SETUP, "at most %u trusted proxies",
			UR_GATEWAY_PROXIES_MAX);
	}
	for (size_t i = 0; i < o->proxy_count; i++) {
		ret->proxies[ret->proxy_count++] = o->proxies[i];
	}
	for (size_t i = 0; i < serve->settings.trusted_proxies.count; i++) {
		ret->proxies[ret->proxy_count++] = serve->settings.trusted_proxies.items[i];
	}
	const int r = find_immich(o, ret, err);
	return r < 0 ? r : find_seal(o, ret, err);
}

/* ---- signals --------------------------------------------------------------------------------- */

static sigset_t our_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR1); // the loop has ended by itself
	return set;
}

/** The limits of the file as it is now; where it cannot be read, those that stand go on. */
static void reload(struct serve *serve)
{
	struct ur_arena arena;
	struct ur_settings settings;
	struct ur_cli_options options;
	struct ur_err err = {0};
	ur_arena_init(&arena);
	if (read_options(serve->given, &arena, &settings, &options, &err) < 0) {
		say(serve, 3, err.text);
	} else {
		const struct ur_gateway_limits limits = limits_of(&options);
		ur_gateway_reload(serve->gateway, &limits);
	}
	ur_arena_done(&arena);
}

static bool is_end(int signal)
{
	return signal == SIGTERM || signal == SIGINT;
}

/** A start that takes its time: how far it is, for the log and for systemd, which waits longer then. */
static void say_start(struct serve *serve)
{
	char text[160];
	if (atomic_load(&serve->phase) == STARTING) {
		const size_t count = ur_spool_read_so_far();
		(void)snprintf(text, sizeof text,
			"still starting: %zu uploads of the spool have been read", count);
		say(serve, 5, text);
		(void)snprintf(text, sizeof text,
			"STATUS=starting: %zu uploads of the spool have been read\n"
			"EXTEND_TIMEOUT_USEC=60000000",
			count);
		ur_notify(text);
	}
}

/** The next signal; 0 when there was none for a while, which only a start is interested in. */
static int next_signal(struct serve *serve, const sigset_t *set)
{
	const struct timespec soon = {.tv_sec = START_SAID_S};
	int signal = 0;
	if (atomic_load(&serve->phase) >= RUNNING) {
		return sigwait(set, &signal) == 0 ? signal : 0;
	}
	signal = sigtimedwait(set, NULL, &soon);
	return signal < 0 ? 0 : signal;
}

/** Asked to end: the first time it ends by itself, if it runs; else what is durable stays so. */
static void heed_end(struct serve *serve, int signal, bool again)
{
	(void)pthread_mutex_lock(&serve->handed);
	if (again || atomic_load(&serve->phase) != RUNNING) {
		_exit(128 + signal);
	}
	ur_notify("STOPPING=1\nSTATUS=letting running requests end");
	ur_gateway_stop(serve->gateway, GRACE_MS);
	(void)pthread_mutex_unlock(&serve->handed);
}

static void heed_reload(struct serve *serve)
{
	(void)pthread_mutex_lock(&serve->handed);
	if (atomic_load(&serve->phase) == RUNNING) {
		reload(serve);
	}
	(void)pthread_mutex_unlock(&serve->handed);
}

/** From the first moment to the last: a spool may take long to read, a disk to be let go. */
static void *heed(void *context)
{
	struct serve *serve = context;
	const sigset_t set = our_signals();
	int64_t ending_ns = 0;
	int signal = 0;
	while ((signal = next_signal(serve, &set)) != SIGUSR1) {
		const int64_t now = ur_clock_steady_ns();
		if (signal == 0) {
			say_start(serve);
		} else if (!is_end(signal)) {
			heed_reload(serve);
		} else if (ending_ns == 0 || now - ending_ns >= UR_TWICE_NS) {
			/* A process and its group are told at once: that is one asking. */
			heed_end(serve, signal, ending_ns != 0);
			ending_ns = now;
		}
	}
	return NULL;
}

static int run(struct serve *serve, struct ur_err *err)
{
	atomic_store(&serve->phase, RUNNING);
	printf("listening on %s\n", ur_gateway_address(serve->gateway));
	(void)fflush(stdout);
	ur_notify("READY=1");
	return ur_gateway_run(serve->gateway, err);
}

static int serve_watched(struct serve *serve)
{
	struct ur_gateway_options gateway = {0};
	struct ur_err err = {0};
	int r = read_options(serve->given, &serve->arena, &serve->settings, &serve->options, &err);
	r = r < 0 ? r : fill(serve, &gateway, &err);
	atomic_store(&serve->phase, STARTING);
	r = r < 0 ? r : ur_gateway_new(&gateway, &serve->gateway, &err);
	OPENSSL_cleanse(gateway.seal, sizeof gateway.seal);
	if (r < 0) {
		ur_report_error(err.text);
		return r == -EBUSY ? UR_EXIT_LOCKED : UR_EXIT_USAGE;
	}
	if (gateway.immich != NULL && !gateway.has_seal) {
		say(serve, 5,
			"no --seal-key: the users' keys stay in memory; after a restart a delivery "
			"waits for its owner's next request");
	}
	r = run(serve, &err);
	if (r < 0) {
		ur_report_error(err.text);
	}
	return r < 0 ? UR_EXIT_FAILED : UR_EXIT_WELL;
}

static int serve_on(struct serve *serve)
{
	pthread_t thread;
	struct ur_err err = {0};
	if (ur_thread_start(&thread, heed, serve, "the thread that heeds signals", &err) < 0) {
		ur_report_error(err.text);
		return UR_EXIT_FAILED;
	}
	const int code = serve_watched(serve);
	(void)pthread_mutex_lock(&serve->handed);
	atomic_store(&serve->phase, ENDING);
	(void)pthread_mutex_unlock(&serve->handed);
	serve->gateway = ur_gateway_free(serve->gateway);
	(void)pthread_kill(thread, SIGUSR1);
	(void)pthread_join(thread, NULL);
	return code;
}

int ur_cmd_serve(const struct ur_cli_options *options)
{
	struct serve serve = {
		.given = options,
		.marked = isatty(STDERR_FILENO) == 0 && getenv("JOURNAL_STREAM") != NULL,
		.watched = getenv("WATCHDOG_USEC") != NULL,
	};
	const sigset_t set = our_signals();
	(void)pthread_mutex_init(&serve.handed, NULL);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)umask(077);
	ur_arena_init(&serve.arena);
	const int code = serve_on(&serve);
	ur_arena_done(&serve.arena);
	return code;
}
