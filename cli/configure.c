/* configure - the command line goes before the folder, the folder before the whole file. */
#include "cli/configure.h"

#include "cli/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void take_text(
	const struct ur_cli_options *o, const char *name, const char **at, const char *value)
{
	if (value != NULL && !ur_cli_options_given(o, name)) {
		*at = value;
	}
}

static void take_number(
	const struct ur_cli_options *o, const char *name, int64_t *at, int64_t value)
{
	if (value != UR_SETTINGS_UNSET && !ur_cli_options_given(o, name)) {
		*at = value;
	}
}

static void take_flag(bool *at, enum ur_settings_flag value)
{
	if (value != UR_SETTINGS_FLAG_UNSET) {
		*at = *at || value == UR_SETTINGS_FLAG_YES;
	}
}

static int add_excludes(struct ur_cli_options *o, const struct ur_settings_patterns *patterns)
{
	if (patterns->count == 0) {
		return 0;
	}
	const size_t count = o->exclude_count + patterns->count;
	const char **list = calloc(count, sizeof *list);
	if (list == NULL) {
		return -ENOMEM;
	}
	/* The file's come first, so that the command line's, as the last ones, decide. */
	memcpy(list, patterns->items, patterns->count * sizeof *list);
	if (o->exclude_count > 0) {
		memcpy(list + patterns->count, o->excludes, o->exclude_count * sizeof *list);
	}
	o->excludes = list;
	o->exclude_count = count;
	return 0;
}

void ur_configure(const struct ur_settings *s, struct ur_cli_options *o)
{
	take_text(o, "server", &o->server, s->server);
	take_text(o, "key-file", &o->key_file, s->key_file);
	take_text(o, "ledger", &o->ledger, s->ledger);
	take_text(o, "cacert", &o->cacert, s->cacert);
	take_text(o, "client-cert", &o->client_cert, s->client_cert);
	take_text(o, "client-key", &o->client_key, s->client_key);
	take_text(o, "headers-file", &o->headers_file, s->headers_file);
	take_text(o, "proxy", &o->proxy, s->proxy);
	take_number(o, "concurrency", &o->concurrency, s->concurrency);
	take_number(o, "server-wait", &o->server_wait_ms, s->server_wait_ms);
	take_number(o, "answer-wait", &o->answer_wait_ms, s->answer_wait_ms);
	take_number(o, "suspect-wait", &o->suspect_wait_ms, s->suspect_wait_ms);
	take_number(o, "settle-after", &o->settle_after_ms, s->settle_after_ms);
	take_number(
		o, "quiet-without-lease", &o->quiet_without_lease_ms, s->quiet_without_lease_ms);
	take_number(o, "min-age", &o->min_age_ms, s->min_age_ms);
	take_number(o, "resumable-threshold", &o->resumable_threshold, s->resumable_threshold);
	take_number(o, "chunk", &o->resumable_chunk, s->resumable_chunk);
	take_text(o, "gateway", &o->gateway, s->gateway);
	take_flag(&o->one_file_system, s->one_file_system);
	take_flag(&o->follow, s->follow_symlinks);
	take_flag(&o->accept_cut_off, s->accept_cut_off);
	if (s->bwlimit != NULL && !ur_cli_options_given(o, "bwlimit")) {
		o->rate = *s->bwlimit;
	}
	if (s->confirm != UR_SETTINGS_CONFIRM_UNSET && !ur_cli_options_given(o, "confirm")) {
		o->confirm_bytes = s->confirm == UR_SETTINGS_CONFIRM_BYTES;
	}
	if (o->concurrency > 64) {
		o->concurrency = 64;
	}
	if (add_excludes(o, &s->exclude) < 0) {
		ur_report_error("not enough memory for the exclude patterns");
	}
}

static void take_bytes(
	const struct ur_cli_options *o, const char *name, uint64_t *at, int64_t value)
{
	if (value != UR_SETTINGS_UNSET && !ur_cli_options_given(o, name)) {
		*at = (uint64_t)value;
	}
}

void ur_configure_gateway(const struct ur_settings *s, struct ur_cli_options *o)
{
	take_text(o, "listen", &o->listen, s->listen);
	take_text(o, "spool", &o->spool, s->spool);
	take_text(o, "immich", &o->immich, s->immich);
	take_text(o, "base", &o->base, s->base);
	take_text(o, "cacert", &o->cacert, s->cacert);
	take_bytes(o, "max-size", &o->max_size, s->max_size);
	take_bytes(o, "user-bytes", &o->user_bytes, s->user_bytes);
	take_bytes(o, "keep-free", &o->keep_free, s->keep_free);
	take_number(o, "user-uploads", &o->user_uploads, s->user_uploads);
	take_number(o, "deliveries", &o->deliveries, s->deliveries);
	take_number(o, "expire", &o->expire_ms, s->expire_ms);
	take_number(o, "settle-after", &o->settle_after_ms, s->settle_after_ms);
	take_number(o, "suspect-wait", &o->suspect_wait_ms, s->suspect_wait_ms);
	take_number(o, "answer-wait", &o->answer_wait_ms, s->answer_wait_ms);
}

void ur_configure_folder(const struct ur_settings_folder *f, struct ur_cli_options *o)
{
	take_text(o, "server", &o->server, f->server);
	take_text(o, "key-file", &o->key_file, f->key_file);
	take_number(o, "min-age", &o->min_age_ms, f->min_age_ms);
	take_flag(&o->one_file_system, f->one_file_system);
	take_flag(&o->follow, f->follow_symlinks);
	if (!ur_cli_options_given(o, "after")) {
		switch (f->after) {
		case UR_SETTINGS_AFTER_KEEP:
			o->after = UR_AFTER_KEEP;
			break;
		case UR_SETTINGS_AFTER_MOVE:
			o->after = UR_AFTER_MOVE;
			o->move_to = f->move_to;
			break;
		case UR_SETTINGS_AFTER_UNSET: // drain empties folders: that is what it is for
		case UR_SETTINGS_AFTER_DELETE:
			o->after = UR_AFTER_DELETE;
			break;
		}
	}
	if (add_excludes(o, &f->exclude) < 0) {
		ur_report_error("not enough memory for the exclude patterns");
	}
}
