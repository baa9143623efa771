/*
 * The cache: the image in the making. A sparse file in image layout and a state for each chunk.
 *
 *   state     in the file   leaves by
 *   ABSENT    a hole        dlf_cache_get: a fetch is submitted              -> FETCHING
 *   FETCHING  being made    the fetch comes, verified, and is written        -> PRESENT
 *                           it fails, or there is no room for it             -> ABSENT
 *   PRESENT   its content   eviction, only while the limit is below the data -> ABSENT
 *
 * Memory is counted as the file takes it, in pages. After any history of reads, limits, failures
 * and evictions the file takes no more than the limit (rounded up to a page), plus one chunk for
 * each thread that was writing one while the limit fell. Every chunk that is held can be evicted.
 *
 * When a write fails (no memory, no space), the file does not take that chunk, nor, for a while,
 * the chunks after it. Then writing is tried again.
 *
 * A chunk is fetched, decompressed and checked once, however many waiters it has (single flight).
 * All waiters get the content from memory, also when the file had no room for it.
 *
 * Threads: any may call dlf_cache_get and the queries. Fetches end in the scheduler's thread. While
 * more are under way, a few threads of the cache's own (workers.h) decode chunks and do the steps
 * that follow, as far as the machine has processors for them. Callbacks come from either, several
 * at a time, with no lock held.
 */
#ifndef DLFUSE_FUSE_CACHE_H
#define DLFUSE_FUSE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/index.h"
#include "fuse/pages.h"
#include "fuse/scheduler.h"

struct dlf_cache;

/* A wait for one chunk. Its owner keeps it until ready was called, exactly once. */
struct dlf_waiter {
    /* rc 0: content is the chunk's, valid during the call; otherwise -EIO, -ESHUTDOWN, or -EAGAIN:
     * the chunk was expected from the boot pack, which is not available; look it up again. record
     * and content are NULL when the wait was for an index page. */
    void (*ready)(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                  const uint8_t *content);
    struct dlf_waiter *next; /* the cache's own */
};

/* Takes waiter out of a list of them. False when it is not in it. */
static inline bool dlf_waiter_remove(struct dlf_waiter **list, const struct dlf_waiter *waiter)
{
    while (*list && *list != waiter)
        list = &(*list)->next;
    if (!*list)
        return false;
    *list = waiter->next;
    return true;
}

/* The outcome of a request for a chunk. */
struct dlf_settled {
    uint64_t chunk;
    uint32_t length; /* bytes of content */
    uint64_t asked_us;
    enum dlf_class class; /* as it was when it came */
    bool came;            /* verified and decoded; else it failed */
    bool kept;            /* and present now */
    bool fill;            /* it was first asked for as DLF_FILL */
    bool from_boot_pack;  /* it was asked for there */
    bool boot;            /* and came by its stream */
};

struct dlf_cache_config {
    int fd;           /* the file; taken over. Set to the image's size by the cache */
    const char *name; /* of the file, for messages; kept by the caller */
    /* Memory that may be held at a time; where the image's data take more, chunks are evicted. */
    uint64_t limit_bytes;
    bool full_is_final; /* a write that fails is no matter of time: the file is on a disk */
    bool resume;        /* the file may hold chunks from before: look before fetching */
    struct dlf_pages *pages;
    struct dlf_sched *sched;
    struct dlf_sha256 boot; /* the boot pack, if there is one */

    /* A chunk that dlf_cache_get asked for came or failed. */
    void (*settled)(void *cookie, const struct dlf_settled *what);

    /* A chunk of the boot pack failed: it cannot be fetched, or is not as the table says. The boot
     * pack's chunks fail with -EAGAIN. */
    void (*boot_failed)(void *cookie, const struct dlf_err *err);

    /* A mirror sends a whole pack for one chunk: further chunks of it that are asked for now, with
     * any urgency, need no request of their own. In the scheduler's thread. */
    void (*pack_passes)(void *cookie, uint32_t pack);
    void *cookie;
};

struct dlf_cache_stats {
    uint64_t limit_bytes;
    uint64_t held_bytes;    /* of memory that the file takes */
    uint64_t present_bytes; /* of content in it */
    uint64_t present_chunks;
    uint64_t evicted_chunks;
    uint64_t broken_chunks; /* verified, but their decoded content is not the index's */
};

/* 0, -ENOMEM, or the file's error. Takes config->fd over, also on failure. */
int dlf_cache_new(struct dlf_cache **cache, const struct dlf_cache_config *config,
                  struct dlf_err *err);

/*
 * Finishes the work of the cache's own threads, and ends them. After dlf_sched_stop, before
 * dlf_sched_free: the finished work may submit fetches.
 */
void dlf_cache_stop(struct dlf_cache *cache);

/* After the scheduler was freed. Closes the file. */
void dlf_cache_free(struct dlf_cache *cache);

enum dlf_cache_answer {
    DLF_CACHE_PRESENT = 1, /* out has the bytes */
    DLF_CACHE_ASKED = 2,   /* a fetch was submitted */
    DLF_CACHE_COMING = 3,  /* an earlier call had asked */
};

/*
 * Asks for the chunk that spot speaks of, from its pack or, where spot->boot, from the boot pack.
 * out: where to copy size bytes of the image at offset from, all inside the
 * chunk, if it is present; NULL: nowhere. Otherwise waiter, unless NULL, will be called. A fetch
 * that is under way for something less urgent becomes as urgent as class. Or -ENOMEM, -EIO,
 * -ESHUTDOWN.
 */
int dlf_cache_get(struct dlf_cache *cache, const struct dlf_spot *spot, enum dlf_class class,
                  struct dlf_waiter *waiter, uint8_t *out, uint64_t from, uint32_t size);

/*
 * Cancels a wait. True: ready will not be called. False: it was called, or is being called. The
 * fetch goes on for later readers; without waiters it is no more urgent than read-ahead.
 */
bool dlf_cache_forget(struct dlf_cache *cache, uint64_t chunk, struct dlf_waiter *waiter);

bool dlf_cache_present(const struct dlf_cache *cache, uint64_t chunk);

/* True while every chunk is present. One may still be evicted, and index pages may be missing. */
bool dlf_cache_all_present(const struct dlf_cache *cache);

/*
 * True once every offset of the image is answerable without a fetch, for good: each chunk is
 * present and stays, and each index page is loaded. Nothing that dlf_cache_get is asked for can
 * lead to a fetch any more.
 */
bool dlf_cache_complete(const struct dlf_cache *cache);

/*
 * The boot pack's table is wrong about the places of chunks. A chunk that no loaded index page
 * confirms came by the table: it is absent from now on. A chunk that still comes by the table fails
 * with -EAGAIN. Waits for writes in work and for readers between dlf_cache_enter and
 * dlf_cache_leave. In the scheduler's thread, before the page that contradicts the table is stored.
 */
void dlf_cache_deny_boot(struct dlf_cache *cache);

/* An index page was loaded: it may have been the last thing that the complete image lacked. */
void dlf_cache_page_loaded(struct dlf_cache *cache);

/*
 * From now on at most so many bytes of memory are held, and never more than config's limit_bytes.
 * Chunks over the limit are evicted before it returns, in the order of eviction; a chunk that is
 * just being written is evicted once it is written. A complete cache stays as it is: false. One
 * thread at a time; it waits for readers between dlf_cache_enter and dlf_cache_leave.
 */
bool dlf_cache_set_limit(struct dlf_cache *cache, uint64_t bytes);

/*
 * Do so many bytes hold the whole image? Yes, if they hold its data. When its pages turn out to
 * take more, chunks are evicted from then on.
 */
bool dlf_cache_holds_all(struct dlf_cache *cache, uint64_t bytes);

/* The image cannot be completed: a chunk is broken, or a write has failed where that is final. */
bool dlf_cache_stuck(struct dlf_cache *cache);

/*
 * Milliseconds for which chunks without a waiter should not be fetched, because the file would not
 * keep them: a write has failed, and the next one is not tried yet. UINT64_MAX while chunks are
 * evicted. 0: fetch now.
 */
uint64_t dlf_cache_rest_ms(struct dlf_cache *cache);

/* Makes [from, to), which no chunk covers, a hole again: a resumed file may have bytes there. */
int dlf_cache_clear(struct dlf_cache *cache, uint64_t from, uint64_t to);

int dlf_cache_fd(const struct dlf_cache *cache);

/*
 * The file in memory, for reading chunks that dlf_cache_present reports between now and
 * dlf_cache_leave: until then none of them is evicted. Read nothing else: to touch a hole of a
 * memfd takes memory for it. NULL while chunks are evicted, or when it cannot be mapped; then there
 * is nothing to leave.
 */
const uint8_t *dlf_cache_enter(struct dlf_cache *cache);
void dlf_cache_leave(struct dlf_cache *cache);

void dlf_cache_stats(struct dlf_cache *cache, struct dlf_cache_stats *stats);

#endif
