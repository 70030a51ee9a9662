/* crew - one list of jobs, a lock around it, and the loop's own way back. */
#include "engine/gateway/crew.h"

#include "engine/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct ur_crew {
	struct ur_httpd *httpd;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct ur_job *first;
	struct ur_job *last;
	bool closing;
	unsigned count;
	pthread_t threads[UR_CREW_THREADS_MAX];
};

static void come_back(struct ur_post *post)
{
	struct ur_job *job = (struct ur_job *)((char *)post - offsetof(struct ur_job, post));
	job->done(job);
}

static struct ur_job *take(struct ur_crew *crew)
{
	(void)pthread_mutex_lock(&crew->lock);
	while (crew->first == NULL && !crew->closing) {
		(void)pthread_cond_wait(&crew->more, &crew->lock);
	}
	struct ur_job *job = crew->first;
	if (job != NULL) {
		crew->first = job->next;
		crew->last = crew->first == NULL ? NULL : crew->last;
	}
	(void)pthread_mutex_unlock(&crew->lock);
	return job;
}

static void *work(void *context)
{
	struct ur_crew *crew = context;
	struct ur_job *job = NULL;
	while ((job = take(crew)) != NULL) {
		job->run(job);
		job->post.run = come_back;
		ur_httpd_post(crew->httpd, &job->post);
	}
	return NULL;
}

void ur_crew_submit(struct ur_crew *crew, struct ur_job *job)
{
	assert(job->run != NULL);
	assert(job->done != NULL);
	job->next = NULL;
	(void)pthread_mutex_lock(&crew->lock);
	if (crew->last == NULL) {
		crew->first = job;
	} else {
		crew->last->next = job;
	}
	crew->last = job;
	(void)pthread_cond_signal(&crew->more);
	(void)pthread_mutex_unlock(&crew->lock);
}

int ur_crew_new(struct ur_httpd *httpd, unsigned threads, struct ur_crew **ret, struct ur_err *err)
{
	assert(threads > 0);
	assert(threads <= UR_CREW_THREADS_MAX);
	struct ur_crew *crew = calloc(1, sizeof *crew);
	if (crew == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot make the disk's threads");
	}
	crew->httpd = httpd;
	(void)pthread_mutex_init(&crew->lock, NULL);
	(void)pthread_cond_init(&crew->more, NULL);
	for (unsigned i = 0; i < threads; i++) {
		const int r = ur_thread_start(
			&crew->threads[i], work, crew, "a thread for the disk", err);
		if (r < 0) {
			(void)ur_crew_free(crew);
			return r;
		}
		crew->count++;
	}
	*ret = crew;
	return 0;
}

struct ur_crew *ur_crew_free(struct ur_crew *crew)
{
	if (crew == NULL) {
		return NULL;
	}
	(void)pthread_mutex_lock(&crew->lock);
	crew->closing = true;
	(void)pthread_cond_broadcast(&crew->more);
	(void)pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->count; i++) {
		(void)pthread_join(crew->threads[i], NULL);
	}
	(void)pthread_cond_destroy(&crew->more);
	(void)pthread_mutex_destroy(&crew->lock);
	free(crew);
	return NULL;
}
