/*
 * The threads that push chunks through a queue: the reader fills jobs, workers process them, and
 * the calling thread (the writer) gets them back in order. Bounds their number and memory. The
 * first error wins and stops all threads.
 */
#ifndef DLFUSE_CHUNKER_CREW_H
#define DLFUSE_CHUNKER_CREW_H

#include <pthread.h>
#include <stdint.h>

#include "chunker/queue.h"
#include "format/err.h"

struct crew {
    struct queue *queue;
    unsigned workers;

    pthread_mutex_t lock; /* guards the two below */
    int error;
    struct dlf_err error_text;
};

/*
 * Each function runs until its jobs are over. The reader reserves and submits, then ends the queue;
 * a worker takes a job and marks it done; the writer collects and releases. A failure goes to
 * crew_fail.
 */
struct crew_work {
    void (*read)(void *context);
    void (*work)(void *context);
    void (*write)(void *context);
    void *context;
};

/* At most workers threads at work, for chunks of at most max_bytes. -ENOMEM. */
int crew_init(struct crew *crew, unsigned workers, uint32_t max_bytes, struct dlf_err *err);
void crew_free(struct crew *crew);

/* Any thread: remembers the first error and ends the queue. */
void crew_fail(struct crew *crew, int rc, const struct dlf_err *err);

/* Runs all threads to their end. 0 or the first error. */
int crew_run(struct crew *crew, const struct crew_work *work, struct dlf_err *err);

#endif
