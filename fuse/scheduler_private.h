/*
 * Included by the scheduler's files only: scheduler.c (the thread, the inbox, the choice of the
 * next request), scheduler_run.c (one request and its pieces), scheduler_pace.c (the number and
 * length of requests, from measurements; overtaking), scheduler_hedge.c (second requests).
 *
 * The queue, the runs and every piece's private fields belong to the scheduler's thread.
 */
#ifndef DLFUSE_FUSE_SCHEDULER_PRIVATE_H
#define DLFUSE_FUSE_SCHEDULER_PRIVATE_H

#include <pthread.h>

#include "format/manifest.h"
#include "fuse/scheduler.h"
#include "fuse/waits.h"

/* Pieces in one range request; with 64 KiB chunks other limits come first. */
#define RUN_PIECES_MAX 256

/* Pieces that are asked for a second time. */
#define HEDGES_MAX 32

struct hedge {
    struct dlf_fetch twin; /* first: its done gets its address */
    struct dlf_sched *sched;
    struct dlf_fetch *of; /* NULL: not in use */
    bool repaid;          /* if it wins, its run's hedges cost nothing */
};

/* Where a run was at that time; us 0: no byte has come yet. */
struct mark {
    uint64_t us;
    uint64_t position;
};

/* One request and the pieces that it will bring, by offset. */
struct run {
    struct dlf_get get; /* first: callbacks get its address */
    struct dlf_sched *sched;
    bool busy;
    bool stream; /* brings all of the object; pieces are added while it runs */
    bool whole;  /* and was asked for a range */
    enum dlf_class class;
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_sha256 object;
    struct dlf_fetch **pieces; /* NULL: it overtook, came in another way, or its time was up */
    unsigned room;
    unsigned count;
    unsigned next;   /* the first piece that is not complete */
    uint32_t have;   /* bytes of it in buffer */
    uint8_t *buffer; /* for a piece that comes in parts, made at first use */
    uint32_t buffer_size;
    uint64_t begun_us;
    uint64_t heard_us;    /* when bytes came last; begun_us before the first */
    bool noted;           /* how long the first one took */
    bool brought;         /* a piece that was right */
    bool overdue;         /* nothing came for too long, at the last look */
    bool silent;          /* and its pieces that readers wait for were asked for again */
    bool unwanted;        /* its last piece came in another way: to be ended */
    struct mark marks[2]; /* an earlier one and the last one, to measure its speed */
    uint64_t from;        /* offset in the object of the first byte to come */
    uint64_t position;    /* and of the next byte to come */
    uint64_t passed;      /* and of the first byte that no piece has been given yet */
};

/* Limits that suit the network at the moment. */
struct limits {
    unsigned runs[DLF_CLASSES];  /* a class may begin a request while fewer run, of any class */
    uint64_t bytes[DLF_CLASSES]; /* of one request */
    uint64_t gap;                /* bytes between neighbours that one request may bridge */
    bool fill_beside_demand;     /* a demand waits for a round trip mostly, not for bandwidth */
};

/*
 * Whether pieces are accepted, and how they end.
 *
 *   SCHED_RUNS     accepts pieces                                  -> RETIRED, STOPPED
 *   SCHED_RETIRED  refuses; accepted pieces are still fetched      -> STOPPED
 *   SCHED_STOPPED  refuses; dlf_sched_free ends accepted pieces with -ESHUTDOWN
 */
enum sched_state {
    SCHED_RUNS,
    SCHED_RETIRED,
    SCHED_STOPPED,
};

struct dlf_sched {
    struct dlf_source *source;
    uint32_t piece_max;
    bool bulk;
    pthread_t thread;
    bool joined;

    pthread_mutex_t inbox_lock;
    struct dlf_fetch *inbox;     /* last in, first out */
    struct dlf_err last_failure; /* of any piece; empty when there was none */
    enum sched_state state;
    atomic_bool announces;
    atomic_bool hedging;
    atomic_uint_fast64_t fill_rate; /* bytes a second; 0: no limit */

    /* The thread's own. */
    struct dlf_fetch *queue; /* by sequence */
    struct dlf_fetch **queue_end;
    uint64_t sequence;
    struct run runs[DLF_SCHED_RUNS_MAX];
    struct limits limits;
    uint64_t mean_bytes;   /* of a request, smoothed */
    unsigned grown;        /* requests at a time that demand has grown to; 0: not at all */
    uint64_t grown_us;     /* when that was looked at last */
    bool demand_waits;     /* for a request to end, since then */
    uint64_t demand_us;    /* when a demand was asked for last; 0: never */
    uint64_t fill_next_us; /* before it the fill's rate allows no request */
    uint64_t reconsidered_us;
    uint64_t said_ms;       /* when the log spoke of bad objects last; 0: never */
    struct dlf_waits waits; /* for the first byte of requests that a reader waited for */
    unsigned spent;         /* by hedges, given back by requests; see scheduler_hedge.c */
    struct hedge hedges[HEDGES_MAX];

    atomic_uint_fast64_t class_bytes[DLF_CLASSES];
    atomic_uint_fast64_t index_bytes;
    atomic_uint_fast64_t boot_bytes;
    atomic_uint_fast64_t overtaken;
    atomic_uint_fast64_t hedged;
    atomic_uint_fast64_t hedges_won;
    atomic_uint connections;
    atomic_uint_fast64_t failed_attempts;
    atomic_uint_fast64_t bad_digests;
    atomic_uint_fast64_t recovered;
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

/* Takes submitted pieces into the queue, or into the stream that will bring them. */
void dlf_sched_take_inbox(struct dlf_sched *sched);

/*
 * Sends one request to mirror for head and its neighbours, and takes them out of the queue. False
 * when that is not possible now; then nothing has changed. Needs an idle run.
 */
bool dlf_run_begin(struct dlf_sched *sched, struct dlf_fetch *head, unsigned mirror);

/* Adds a piece to a running stream that will pass it. False when there is none. */
bool dlf_run_attach(struct dlf_sched *sched, struct dlf_fetch *fetch);

/*
 * Should the piece wait for the answer to another request to mirror for its object? It should where
 * that answer may bring all of the object: one request more, and the object would come twice.
 */
bool dlf_run_may_bring(const struct dlf_sched *sched, const struct dlf_fetch *fetch,
                       unsigned mirror);

/* Takes a piece out of a run that may be bringing it. A run that is left without one is cut off. */
void dlf_run_drop(struct run *run, unsigned piece);

/* Is there a piece in it that has not come? */
bool dlf_run_wants_more(struct run *run);

/* Sets sched->limits from the measurements. */
void dlf_sched_set_limits(struct dlf_sched *sched);

/* A run of that many bytes begins; data: of the image, not of its index. */
void dlf_sched_note_run(struct dlf_sched *sched, enum dlf_class class, uint64_t bytes, bool data);

/*
 * Puts demanded pieces of streams into the queue that come sooner that way. True when some
 * stay where they are: then it wants to be called again in some milliseconds.
 */
bool dlf_sched_reconsider(struct dlf_sched *sched);

/*
 * Queues the pieces that readers wait for once more when their request has been silent for too
 * long, and ends requests that are no longer needed. *wait_until becomes the time of the next look
 * at the queue, or at this, if that is sooner.
 */
void dlf_sched_hedges(struct dlf_sched *sched, uint64_t *wait_until);

/* A first request for a piece that a reader waits for begins: it allows a part of a hedge. */
void dlf_hedge_note_request(struct dlf_sched *sched);

/* A run's first byte came after so long. */
void dlf_hedge_note_wait(struct dlf_sched *sched, struct run *run, uint64_t us);

/* The piece's end, wherever it comes from: as done. It is in no queue and no run; its twin is taken
 * out of where it is, so neither queue nor runs are the same afterwards. */
void dlf_fetch_end(struct dlf_sched *sched, struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                   const struct dlf_err *err);

#endif
