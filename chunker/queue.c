/* The ring. One lock; counters of jobs ever reserved, taken and collected tell where each job is.
 */
#include "chunker/queue.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
    unsigned room;
    struct job *jobs;

    pthread_mutex_t lock;
    pthread_cond_t has_free; /* for the reader */
    pthread_cond_t has_work; /* for the workers */
    pthread_cond_t has_done; /* for the writer */
    uint64_t submitted;
    uint64_t taken;
    uint64_t collected;
    bool ended;
    bool aborted;
};

struct queue *queue_new(unsigned jobs, uint32_t max_bytes)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->has_free, NULL);
    pthread_cond_init(&queue->has_work, NULL);
    pthread_cond_init(&queue->has_done, NULL);
    queue->jobs = calloc(jobs, sizeof(*queue->jobs));
    queue->room = queue->jobs ? jobs : 0;
    bool ok = queue->jobs != NULL;
    for (unsigned i = 0; ok && i < jobs; i++) {
        queue->jobs[i].content = malloc(max_bytes);
        queue->jobs[i].stored = malloc(max_bytes);
        ok = queue->jobs[i].content && queue->jobs[i].stored;
    }
    if (!ok) {
        queue_free(queue);
        return NULL;
    }
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    for (unsigned i = 0; i < queue->room; i++) {
        free(queue->jobs[i].content);
        free(queue->jobs[i].stored);
    }
    free(queue->jobs);
    pthread_cond_destroy(&queue->has_free);
    pthread_cond_destroy(&queue->has_work);
    pthread_cond_destroy(&queue->has_done);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static struct job *job_at(struct queue *queue, uint64_t number)
{
    return &queue->jobs[number % queue->room];
}

struct job *queue_reserve(struct queue *queue)
{
    struct job *job = NULL;
    pthread_mutex_lock(&queue->lock);
    while (!queue->aborted && job_at(queue, queue->submitted)->state != JOB_FREE)
        pthread_cond_wait(&queue->has_free, &queue->lock);
    if (!queue->aborted)
        job = job_at(queue, queue->submitted);
    pthread_mutex_unlock(&queue->lock);
    return job;
}

void queue_submit(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    job->state = JOB_FILLED;
    queue->submitted++;
    pthread_cond_signal(&queue->has_work);
    pthread_mutex_unlock(&queue->lock);
}

void queue_end(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    pthread_cond_broadcast(&queue->has_work);
    pthread_cond_broadcast(&queue->has_done);
    pthread_mutex_unlock(&queue->lock);
}

struct job *queue_take(struct queue *queue)
{
    struct job *job = NULL;
    pthread_mutex_lock(&queue->lock);
    while (!queue->aborted && !queue->ended && queue->taken == queue->submitted)
        pthread_cond_wait(&queue->has_work, &queue->lock);
    if (!queue->aborted && queue->taken < queue->submitted) {
        job = job_at(queue, queue->taken++);
        job->state = JOB_TAKEN;
    }
    pthread_mutex_unlock(&queue->lock);
    return job;
}

void queue_done(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    job->state = JOB_DONE;
    if (job == job_at(queue, queue->collected))
        pthread_cond_signal(&queue->has_done);
    pthread_mutex_unlock(&queue->lock);
}

struct job *queue_collect(struct queue *queue)
{
    struct job *job = NULL;
    pthread_mutex_lock(&queue->lock);
    while (!queue->aborted && job_at(queue, queue->collected)->state != JOB_DONE &&
           !(queue->ended && queue->collected == queue->submitted))
        pthread_cond_wait(&queue->has_done, &queue->lock);
    if (!queue->aborted && queue->collected < queue->submitted)
        job = job_at(queue, queue->collected);
    pthread_mutex_unlock(&queue->lock);
    return job;
}

void queue_release(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    job->state = JOB_FREE;
    queue->collected++;
    pthread_cond_signal(&queue->has_free);
    pthread_mutex_unlock(&queue->lock);
}

void queue_abort(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->aborted = true;
    pthread_cond_broadcast(&queue->has_free);
    pthread_cond_broadcast(&queue->has_work);
    pthread_cond_broadcast(&queue->has_done);
    pthread_mutex_unlock(&queue->lock);
}
