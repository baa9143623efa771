/* A line with a lock and a condition. lock guards all; work runs without it. */
#include "fuse/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* More threads than this decode faster than a 10 Gbit/s network brings chunks. */
#define THREADS_MAX 4u

/* Work that waits for each thread: enough to keep it busy, and at most 4 MiB of stored chunks for
 * all of them. */
#define WAITING_PER_THREAD 4u

struct worker {
    struct dlf_workers *workers;
    unsigned place;
    pthread_t thread;
};

struct dlf_workers {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* work in the line, or ending */
    struct dlf_work *first;
    struct dlf_work **end;
    unsigned waiting;
    bool ending;
    unsigned count;
    struct worker threads[THREADS_MAX];
};

unsigned dlf_workers_count(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (processors < 2)
        return 0;
    return processors - 1 < (long)THREADS_MAX ? (unsigned)processors - 1 : THREADS_MAX;
}

/* The next work; NULL at the end. */
static struct dlf_work *take(struct dlf_workers *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->ending)
        pthread_cond_wait(&w->changed, &w->lock);
    struct dlf_work *work = w->first;
    if (work) {
        w->first = work->next;
        if (!w->first)
            w->end = &w->first;
        w->waiting--;
    }
    pthread_mutex_unlock(&w->lock);
    return work;
}

static void *worker_thread(void *cookie)
{
    struct worker *worker = cookie;
    struct dlf_work *work;
    while ((work = take(worker->workers)))
        work->run(work, worker->place);
    return NULL;
}

struct dlf_workers *dlf_workers_new(unsigned count)
{
    struct dlf_workers *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->end = &w->first;
    for (unsigned i = 0; i < count && i < THREADS_MAX; i++) {
        struct worker *worker = &w->threads[i];
        *worker = (struct worker){.workers = w, .place = i + 1};
        if (pthread_create(&worker->thread, NULL, worker_thread, worker) != 0)
            break;
        w->count++;
    }
    return w;
}

static bool has_room_locked(const struct dlf_workers *w)
{
    return w->waiting < w->count * WAITING_PER_THREAD;
}

bool dlf_workers_have_room(struct dlf_workers *w)
{
    pthread_mutex_lock(&w->lock);
    bool room = has_room_locked(w);
    pthread_mutex_unlock(&w->lock);
    return room;
}

bool dlf_workers_give(struct dlf_workers *w, struct dlf_work *work)
{
    pthread_mutex_lock(&w->lock);
    bool room = has_room_locked(w);
    if (room) {
        work->next = NULL;
        *w->end = work;
        w->end = &work->next;
        w->waiting++;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

void dlf_workers_free(struct dlf_workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->count; i++)
        pthread_join(w->threads[i].thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
