/* Starts the threads and joins them. */
#include "chunker/crew.h"

#include <errno.h>
#include <string.h>

/* Bytes for the content and stored bytes of chunks under way. */
#define QUEUE_MEMORY_BYTES ((uint32_t)64 << 20)
#define WORKERS_MAX 64
#define JOBS_PER_WORKER 4

int crew_init(struct crew *crew, unsigned workers, uint32_t max_bytes, struct dlf_err *err)
{
    unsigned jobs = QUEUE_MEMORY_BYTES / (2 * max_bytes);
    memset(crew, 0, sizeof(*crew));
    crew->workers = workers < WORKERS_MAX ? workers : WORKERS_MAX;
    if (crew->workers > jobs / 2)
        crew->workers = jobs / 2;
    if (jobs > crew->workers * JOBS_PER_WORKER)
        jobs = crew->workers * JOBS_PER_WORKER;
    crew->queue = queue_new(jobs, max_bytes);
    if (!crew->queue)
        return dlf_fail(err, ENOMEM, "out of memory for %u chunks of %u bytes", jobs, max_bytes);
    pthread_mutex_init(&crew->lock, NULL);
    return 0;
}

void crew_free(struct crew *crew)
{
    if (!crew->queue)
        return;
    queue_free(crew->queue);
    crew->queue = NULL;
    pthread_mutex_destroy(&crew->lock);
}

void crew_fail(struct crew *crew, int rc, const struct dlf_err *err)
{
    pthread_mutex_lock(&crew->lock);
    if (crew->error == 0) {
        crew->error = rc;
        crew->error_text = *err;
    }
    pthread_mutex_unlock(&crew->lock);
    queue_abort(crew->queue);
}

static void *reader_thread(void *context)
{
    const struct crew_work *work = context;
    work->read(work->context);
    return NULL;
}

static void *worker_thread(void *context)
{
    const struct crew_work *work = context;
    work->work(work->context);
    return NULL;
}

int crew_run(struct crew *crew, const struct crew_work *work, struct dlf_err *err)
{
    pthread_t threads[WORKERS_MAX + 1];
    unsigned started = 0;
    struct dlf_err why;
    struct crew_work shared = *work; /* threads want a pointer that is not const */
    while (started <= crew->workers &&
           pthread_create(&threads[started], NULL, started ? worker_thread : reader_thread,
                          &shared) == 0)
        started++;
    if (started <= crew->workers)
        crew_fail(crew,
                  dlf_fail(&why, EAGAIN, "cannot start %u threads; try a smaller --jobs",
                           crew->workers + 1),
                  &why);
    work->write(work->context);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (crew->error < 0 && err)
        *err = crew->error_text;
    return crew->error;
}
