/*
 * The scheduler: fetches pieces of immutable objects, the wanted ones first, each one verified.
 *
 * It has a thread of its own, which also owns the source. Pieces wait in one queue. When a transfer
 * is free, the scheduler takes the most urgent piece together with its neighbours in the same
 * object; this run becomes one range request. Pieces are handed up one by one as their bytes
 * arrive. The number of requests, their length and the gap between neighbours that they bridge
 * follow the round trip and bandwidth that the source measures.
 *
 * One object may stream: its first piece opens a plain GET of the whole object. Pieces that are
 * submitted from within the done of one of its pieces are taken from the stream as they pass. Where
 * a reader waits for a piece that a request of its own would bring sooner than the stream, the
 * piece is requested separately. A stream that breaks leaves ordinary pieces.
 *
 * When the answer to a range brings the whole object, the request becomes a stream: all wanted
 * pieces of the object are taken from it as they pass, and nothing overtakes. The next request is
 * for a range again, because such an answer says little about the next one.
 *
 * Where a reader waits for a request that stays silent for longer than 99 of a hundred did, its
 * pieces are requested again elsewhere, and the first answer counts (dlf_sched_hedge). A piece that
 * fails is tried at the next mirror. When all mirrors have failed, the piece waits (dlf_backoff_ms)
 * and starts anew, for ever, unless it is asked for once. Deadlines are the readers' business
 * (image_deadline.c): a piece goes on without them.
 *
 * Its users bound the queue: parked reads, the read-ahead window and the fill window.
 */
#ifndef DLFUSE_FUSE_SCHEDULER_H
#define DLFUSE_FUSE_SCHEDULER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "fuse/source.h"

/* In order of priority. */
enum dlf_class {
    DLF_DEMAND,   /* a reader waits */
    DLF_PREFETCH, /* a reader will probably ask soon */
    DLF_FILL,     /* completes the image when the network is idle */
};
#define DLF_CLASSES 3

/* Transfers at a time, the stream included, on any network. */
#define DLF_SCHED_RUNS_MAX 16

struct dlf_sched;

/* A piece. The caller owns it and keeps it until done was called, exactly once. */
struct dlf_fetch {
    const char *kind; /* "pack" or "index": where the object lies, see dlf_object_path */
    struct dlf_sha256 object;
    uint64_t offset;          /* in the object, bytes */
    uint32_t length;          /* bytes, at least 1 */
    struct dlf_sha256 sha256; /* of the piece's bytes */

    /* enum dlf_class. May be raised while the piece is queued: store, then dlf_sched_kick. */
    _Atomic uint8_t class;

    uint64_t stream_bytes; /* not 0: the piece opens a stream of its object, this long */
    bool once;             /* fail when every mirror has failed once */
    bool replaceable;      /* there is another way: fail when every mirror lacks it or has it wrong,
                              when no byte comes for some seconds, or requests bring nothing for as
                              long */

    /*
     * In the scheduler's thread. rc 0: bytes are the piece's, verified, valid during the call.
     * -ESHUTDOWN: the scheduler ends; with once also the source's codes and -EBADMSG for a wrong
     * digest. May submit new pieces.
     */
    void (*done)(struct dlf_fetch *fetch, int rc, const uint8_t *bytes, const struct dlf_err *err);

    /*
     * NULL, or: the whole object is coming from its first byte, more than was asked for. Pieces of
     * it that are submitted now need no request. In the scheduler's thread, before the first byte
     * is looked at, for one of the request's pieces.
     */
    void (*whole)(struct dlf_fetch *fetch);

    /* The scheduler's own. */
    struct dlf_fetch *next;
    uint64_t sequence;
    uint64_t not_before_ms;
    uint32_t tried; /* mirrors that failed since the last wait */
    uint32_t avoid; /* and mirrors that were silent: asked when no other is left */
    unsigned rounds;
    bool unreached; /* one of tried did not answer, or not as a server of objects does */
    bool taken;
    bool overtook; /* it had a request of its own, though a longer transfer would have brought it */
    bool twin;     /* it is the scheduler's own, for a piece that is asked for a second time */
    bool hedged;   /* its request was silent, and it was asked for again */
    struct hedge *hedge; /* the second request for it, until that ends; else NULL */
};

/* The last reader has stopped waiting for a piece: from now on it is no more urgent than
 * read-ahead. The caller's lock keeps it from being done meanwhile. */
static inline void dlf_fetch_nobody_waits(struct dlf_fetch *fetch)
{
    uint8_t demand = DLF_DEMAND;
    atomic_compare_exchange_strong_explicit(&fetch->class, &demand, DLF_PREFETCH,
                                            memory_order_relaxed, memory_order_relaxed);
}

struct dlf_sched_stats {
    uint64_t requests;                 /* HTTP requests of any kind */
    uint64_t fetched_bytes;            /* of bodies, all kinds */
    uint64_t class_bytes[DLF_CLASSES]; /* of verified pieces in packs */
    uint64_t index_bytes;              /* of verified pieces in the index */
    uint64_t boot_bytes;               /* of verified pieces in the boot pack */
    uint64_t overtaken;                /* pieces that were asked for beside a longer transfer */
    uint64_t hedged;                   /* requests that were made again because they were silent */
    uint64_t hedges_won;               /* pieces that the second request brought first */
    unsigned connections;              /* requests at a time that the network asks for */
    struct dlf_pace pace;
    uint64_t failed_attempts;
    uint64_t bad_digests;
    uint64_t recovered; /* pieces that failed before they came right */
};

/*
 * Takes the source over, also on failure. piece_max: the longest length that will be submitted.
 * bulk: no reader waits for single pieces, so fill may use all connections. NULL when out of memory
 * or threads.
 */
struct dlf_sched *dlf_sched_new(struct dlf_source *source, uint32_t piece_max, bool bulk);

/*
 * Ends the thread: no piece is done from now on, before dlf_sched_free. Pieces that are submitted
 * from now on are refused.
 */
void dlf_sched_stop(struct dlf_sched *sched);

/* Stops, if that was not done; every piece still there is done with -ESHUTDOWN, in the caller's
 * thread. */
void dlf_sched_free(struct dlf_sched *sched);

/* More pieces are under way. For a piece's done: is it worth while to go on quickly? */
bool dlf_sched_expects_more(const struct dlf_sched *sched);

/*
 * Queues a piece: 0, and its done will be called. -ESHUTDOWN: the scheduler has been stopped or
 * retired and can answer nothing any more; the piece is still the caller's and its done is not
 * called. After dlf_sched_retire that is our own mistake, on which debug builds abort. Any thread;
 * locks may be held; it calls no callback.
 */
int dlf_sched_submit(struct dlf_sched *sched, struct dlf_fetch *fetch);

/* Bytes a second that fill takes at most; 0: no limit but its class's. Any thread. */
void dlf_sched_fill_rate(struct dlf_sched *sched, uint64_t bytes_per_s);

/* May silent requests be made again? At first they may not. Any thread. */
void dlf_sched_hedge(struct dlf_sched *sched, bool on);

/* Makes the scheduler look at its queue again. Any thread, locks may be held. */
void dlf_sched_kick(struct dlf_sched *sched);

/*
 * Everything is here: closes all connections and ends the thread as soon as nothing is queued.
 * Nothing is accepted from then on, so the caller must know that nothing will be needed: every
 * offset of the image can be answered without a fetch (dlf_cache_complete). Any thread.
 */
void dlf_sched_retire(struct dlf_sched *sched);

/* The cause of the last attempt that failed. Any thread. */
void dlf_sched_last_failure(struct dlf_sched *sched, struct dlf_err *err);

/* As dlf_source_announce. */
void dlf_sched_announce(struct dlf_sched *sched);

/* The measurements of the network. Any thread. */
void dlf_sched_pace(const struct dlf_sched *sched, struct dlf_pace *pace);

/* Any thread. */
void dlf_sched_stats(const struct dlf_sched *sched, struct dlf_sched_stats *stats);
const struct dlf_source *dlf_sched_source(const struct dlf_sched *sched);

#endif
