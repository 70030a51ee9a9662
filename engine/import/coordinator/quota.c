/* quota - what the user has left on the server: what still fits goes on, the rest waits. */
#include "engine/import/coordinator/internal.h"

#include "engine/base/retry.h"

#include <assert.h>

#define ANSWER_MS 30000

static const char used_up[] =
	"the user's quota on the server is used up: raise it or make room, then run again";

bool ur_quota_waits(const struct ur_coordinator *c, struct ur_file *file)
{
	const struct ur_quota *quota = &c->quota;
	assert(ur_file_is_open(file));
	assert(file->state == UR_WANTED);
	if (!quota->full && (quota->left < 0 || file->identity.size <= quota->left)) {
		return false;
	}
	file->trouble = true;
	ur_file_close(file, UR_WANTED, UR_OUTCOME_WAITING, used_up);
	return true;
}

bool ur_quota_leaves_room(const struct ur_coordinator *c, const struct ur_file *file)
{
	const struct ur_server *server = &c->run->server;
	assert(file->identity.size >= 0);
	return c->quota.left >= 0 || server->quota_bytes < 0 ||
	       file->identity.size <= server->quota_bytes - server->quota_used;
}

void ur_quota_spend(struct ur_coordinator *c, int64_t bytes)
{
	assert(bytes >= 0);
	if (c->quota.left >= 0) {
		c->quota.left -= bytes;
	}
}

static void ask(struct ur_coordinator *c)
{
	struct ur_quota *quota = &c->quota;
	struct ur_text answer = quota->call.answer;
	assert(!quota->asking);
	assert(!quota->full);
	quota->call = (struct ur_request){
		.method = "GET",
		.path = "/api/users/me",
		.answer_wait_ms = ur_run_answer_ms(c->run, ANSWER_MS),
		.owner = c,
		.answer = answer,
	};
	quota->asking = true;
	ur_call_submit(c, &quota->call);
}

void ur_quota_met(struct ur_coordinator *c, struct ur_file *file)
{
	struct ur_quota *quota = &c->quota;
	assert(ur_file_is_open(file));
	file->trouble = true;
	ur_file_close(file, UR_WANTED, UR_OUTCOME_WAITING, used_up);
	if (quota->left >= file->identity.size) {
		quota->full = true; // it should have fitted: believe the server
	}
	if (!quota->asking && !quota->full) {
		quota->told = ur_file_was_told_of(c, file);
		ask(c);
	}
}

void ur_quota_answered(struct ur_coordinator *c)
{
	struct ur_quota *quota = &c->quota;
	struct ur_server user = {0};
	assert(quota->asking);
	quota->asking = false;
	if (quota->call.result == 0 && quota->call.status == 200 &&
		ur_immich_read_user(ur_text_get(&quota->call.answer), &user, NULL) == 0 &&
		user.quota_bytes >= 0) {
		const int64_t left = user.quota_bytes - user.quota_used;
		quota->left = left > 0 ? left : 0;
		char text[16];
		ur_show_bytes((uint64_t)quota->left, text);
		if (!quota->told) {
			ur_run_warn(c->run,
				"the user's quota is reached: %s left; files that do not fit wait",
				text);
		}
	} else if (ur_retry_may_pass(quota->call.result, quota->call.status) ||
		   quota->call.result < 0) {
		ur_outage_doubt(c); // nobody said how much is left: whoever meets it asks again
	} else {
		quota->full = true;
		if (!quota->told) {
			ur_run_warn(c->run, "the user's quota is used up; the rest waits");
		}
	}
}
