/*
 * Chunks on their way from the reader through the workers to the writer, which gets them in the
 * order in which they were read, whichever worker is done first.
 *
 * A ring of a fixed number of jobs, which bounds the memory: with all of them in use the reader
 * waits. Each job passes through FREE -> (reader) FILLED -> (a worker) TAKEN -> DONE -> (writer)
 * FREE; whoever is named owns its fields meanwhile.
 */
#ifndef DLFUSE_CHUNKER_QUEUE_H
#define DLFUSE_CHUNKER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/index.h"

enum job_state { JOB_FREE, JOB_FILLED, JOB_TAKEN, JOB_DONE };

struct job {
    enum job_state state; /* the queue's */

    /* Set by the reader. */
    uint64_t offset;
    uint32_t length;
    uint8_t *content; /* the queue's memory, max_bytes of it */

    /* Set by the worker. */
    uint32_t library_chunk;   /* the library has it, or DEDUP_NONE */
    struct dlf_record record; /* offset and length as above; pack: the library's, when it has it */
    uint8_t *stored;          /* the queue's memory; filled when the library does not have it */
};

struct queue;

/* jobs, each with room for max_bytes of content and of stored bytes. NULL when out of memory. */
struct queue *queue_new(unsigned jobs, uint32_t max_bytes);
void queue_free(struct queue *queue);

/* Reader: the next job to fill, waiting for one; NULL after queue_abort. */
struct job *queue_reserve(struct queue *queue);
void queue_submit(struct queue *queue, struct job *job);
void queue_end(struct queue *queue); /* no more will come */

/* Workers: the next job to do, waiting for one; NULL when there will be none. */
struct job *queue_take(struct queue *queue);
void queue_done(struct queue *queue, struct job *job);

/* Writer: the next job in order, waiting for it; NULL when all are collected, or aborted. */
struct job *queue_collect(struct queue *queue);
void queue_release(struct queue *queue, struct job *job);

/* Any thread: everyone gets NULL from now on. */
void queue_abort(struct queue *queue);

#endif
