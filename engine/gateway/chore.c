/* chore - what the crew does for a session. */
#include "engine/gateway/chore.h"

#include "engine/gateway/state.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

static struct ur_session *session_of(struct ur_job *job)
{
	return (struct ur_session *)((char *)job - offsetof(struct ur_session, job));
}

static void commit(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	session->result = ur_spool_commit(session->upload, &session->mark, &session->err);
}

static void remove_upload(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	session->result = ur_spool_remove(session->gateway->spool, session->upload, &session->err);
}

static void expire(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	session->outcome = (struct ur_spool_outcome){
		.state = UR_SPOOL_REFUSED,
		.status = UR_STATUS_EXPIRED,
		.missed_ran_ms = UR_SPOOL_NEVER,
	};
	ur_spool_stamp(session->gateway->spool, &session->outcome);
	(void)snprintf(session->outcome.words, sizeof session->outcome.words,
		"the upload has expired: nobody went on with it; start it anew");
	session->result = ur_spool_conclude(session->upload, &session->outcome, &session->err);
}

static void empty(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	session->result = ur_spool_empty(session->upload, &session->err);
}

static void rebuild(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	session->result = ur_spool_rebuild(session->upload, &session->found, &session->err);
}

static void (*const works[UR_CHORES])(struct ur_job *job) = {
	[UR_CHORE_COMMIT] = commit,
	[UR_CHORE_REMOVE] = remove_upload,
	[UR_CHORE_EXPIRE] = expire,
	[UR_CHORE_EMPTY] = empty,
	[UR_CHORE_REBUILD] = rebuild,
};

void ur_chore_begin(
	struct ur_session *session, enum ur_chore chore, void (*done)(struct ur_job *job))
{
	assert(chore < UR_CHORES);
	assert(!session->committing);
	assert(!session->removing);
	session->committing = chore == UR_CHORE_COMMIT;
	session->removing = chore != UR_CHORE_COMMIT;
	session->job.run = works[chore];
	session->job.done = done;
	ur_crew_submit(session->gateway->crew, &session->job);
}

struct ur_session *ur_chore_session(struct ur_job *job)
{
	struct ur_session *session = session_of(job);
	assert(session->committing != session->removing);
	return session;
}
