/*
 * The scheduler on a bench: pieces of one object, a source without a network (fake_source.h), and
 * the result of each piece.
 */
#ifndef DLFUSE_TESTS_SCHEDULER_BENCH_H
#define DLFUSE_TESTS_SCHEDULER_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fake_source.h"
#include "fuse/scheduler.h"

#define PIECE 4096u

/* Pieces of one test and their results. */
struct piece {
    struct dlf_fetch fetch; /* first: callbacks get its address */
    struct bench *bench;
    int rc;
    bool done;
    unsigned order; /* its place, from 0, in the order of completion */
};

struct bench {
    struct dlf_source *source;
    struct dlf_sched *sched;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned done;
    bool wrong_bytes;
    struct piece pieces[64];
    struct fake_request requests[FAKE_REQUESTS_MAX];
    unsigned request_count;
};

/* A piece's done callback: checks its bytes. */
void piece_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes, const struct dlf_err *err);

void bench_begin(struct bench *b, unsigned mirrors);

/* Ends the scheduler; afterwards the requests are in b. Fails the test when a piece came with wrong
 * bytes. */
void bench_end(struct bench *b);

/* Piece number i, at the i-th place of the object. */
struct piece *prepare(struct bench *b, unsigned i, enum dlf_class class);
struct piece *submit(struct bench *b, unsigned i, enum dlf_class class);

/* Waits until count pieces are done; fails the test after 20 s. */
void wait_done(struct bench *b, unsigned count);

/* Waits until the source has had count requests, while it is held. */
void wait_requests(struct bench *b, unsigned count);

#endif
