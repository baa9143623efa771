/*
 * What the scheduler's files share: scheduler.c (the thread, the inbox, what goes next) and
 * scheduler_run.c (one request and its pieces). Nobody else includes it.
 *
 * The queue, the runs and every piece's private fields belong to the scheduler's thread.
 */
#ifndef DLFUSE_FUSE_SCHEDULER_PRIVATE_H
#define DLFUSE_FUSE_SCHEDULER_PRIVATE_H

#include <pthread.h>

#include "format/manifest.h"
#include "fuse/scheduler.h"

/* Pieces in one request; with 64 KiB chunks other limits come first. */
#define RUN_PIECES_MAX 256

#define RUNS_MAX 4

/* One request and the pieces that it will bring, by offset. */
struct run {
    struct dlf_get get; /* first: callbacks get its address */
    struct dlf_sched *sched;
    bool busy;
    enum dlf_class class;
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_fetch *pieces[RUN_PIECES_MAX];
    unsigned count;
    unsigned next;   /* the first piece that is not complete */
    uint32_t have;   /* bytes of it in buffer */
    uint8_t *buffer; /* piece_max bytes, made at first use */
};

struct dlf_sched {
    struct dlf_source *source;
    uint32_t piece_max;
    bool bulk;
    pthread_t thread;

    pthread_mutex_t inbox_lock;
    struct dlf_fetch *inbox;     /* last in, first out */
    struct dlf_err last_failure; /* of any piece; empty when there was none */
    bool stop;
    bool retire;
    atomic_bool announces;

    /* The thread's own. */
    struct dlf_fetch *queue; /* by sequence */
    struct dlf_fetch **queue_end;
    uint64_t sequence;
    struct run runs[RUNS_MAX];
    uint64_t said_ms; /* when the log spoke of bad objects last; 0: never */

    atomic_uint_fast64_t class_bytes[DLF_CLASSES];
    atomic_uint_fast64_t index_bytes;
    atomic_uint_fast64_t failed_attempts;
    atomic_uint_fast64_t bad_digests;
};

static inline void dlf_sched_count(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline enum dlf_class dlf_fetch_class(const struct dlf_fetch *f)
{
    return (enum dlf_class)atomic_load_explicit(&f->class, memory_order_relaxed);
}

/* Puts a piece at the queue's end. */
void dlf_sched_enqueue(struct dlf_sched *sched, struct dlf_fetch *fetch);

/* Takes *link out of the queue. */
struct dlf_fetch *dlf_sched_unlink(struct dlf_sched *sched, struct dlf_fetch **link);

/*
 * Sends one request to mirror for head and its neighbours, and takes them out of the queue. False
 * when that is not possible now; then nothing has changed. Needs an idle run.
 */
bool dlf_run_begin(struct dlf_sched *sched, struct dlf_fetch *head, unsigned mirror);

#endif
