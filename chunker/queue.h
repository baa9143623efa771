/*
 * Carries chunks from the reader through the workers to the writer. The writer gets them in the
 * order in which they were read, whichever worker is done first.
 *
 * A ring of a fixed number of jobs bounds the memory: with all of them in use the reader waits.
 * Each job passes through FREE -> (reader) FILLED -> (a worker) TAKEN -> DONE -> (writer) FREE; the
 * named thread owns its fields meanwhile.
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
    uint32_t library_chunk;   /* its number in the library, or DEDUP_NONE */
    struct dlf_record record; /* offset and length as above; pack: the library's, if it is there */
    uint8_t *stored;          /* the queue's memory; filled when the library lacks the chunk */
};

struct queue;

/* jobs, each with room for max_bytes of content and of stored bytes. NULL when out of memory. */
struct queue *queue_new(unsigned jobs, uint32_t max_bytes);
void queue_free(struct queue *queue);

/* Reader: waits for the next free job; NULL after queue_abort. */
struct job *queue_reserve(struct queue *queue);
void queue_submit(struct queue *queue, struct job *job);
void queue_end(struct queue *queue); /* the reader has submitted its last job */

/* Workers: waits for the next filled job; NULL when no more will come. */
struct job *queue_take(struct queue *queue);
void queue_done(struct queue *queue, struct job *job);

/* Writer: waits for the next job in order; NULL when all are collected, or after queue_abort. */
struct job *queue_collect(struct queue *queue);
void queue_release(struct queue *queue, struct job *job);

/* Any thread: queue_reserve, queue_take and queue_collect return NULL from now on. */
void queue_abort(struct queue *queue);

#endif
