/*
 * Included by the cache's files only: cache.c (chunks' states and their waiters), cache_settle.c
 * (the end of a fetch: decoding, its thread, the calls to waiters), cache_room.c (which pages are
 * held, eviction, limits), cache_file.c (the file itself).
 *
 * lock guards states, the table of fetches, waiters, counters and, where chunks are evicted, the
 * file: there a present chunk is copied under the lock, because the next moment it may be gone.
 * Where nothing is evicted states are read without the lock (acquire against the release store that
 * follows the write) by a reader inside (dlf_cache_enter). Below the lock only the scheduler's
 * inbox lock is taken. A FETCHING chunk is written by the one thread that decodes it: the
 * scheduler's, or a worker, each at a bench of its own.
 */
#ifndef DLFUSE_FUSE_CACHE_PRIVATE_H
#define DLFUSE_FUSE_CACHE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "fuse/cache.h"
#include "fuse/workers.h"

enum chunk_state {
    ABSENT = 0,
    FETCHING = 1,
    PRESENT = 2,
};
#define STATE_MASK 3
#define REFERENCED 4 /* read since the clock's hand came by */

/*
 * The chunk's pages are counted in held_bytes: it is PRESENT, or FETCHING and about to be written,
 * or ABSENT and its pages could not be given back yet. A part of the file without a HELD chunk has
 * no pages.
 */
#define HELD 8

/* Do chunks go to make room? Changes with the lock held. */
enum room_mode {
    ROOM_WHOLE,   /* none goes: the limit is no less than need_bytes */
    ROOM_LEAVING, /* none goes yet: readers from ROOM_WHOLE are still inside */
    ROOM_EVICTS,  /* no reader is inside */
};

/* Does the file take writes? */
enum file_state {
    FILE_TAKES,
    FILE_FULL, /* the last write failed; none is tried before try_at_ms */
};

#define FETCH_BUCKETS 256

/* A chunk on its way. */
struct chunk_fetch {
    struct dlf_fetch fetch; /* first: callbacks get its address */
    struct dlf_cache *cache;
    uint64_t chunk;
    bool fill;
    bool boot; /* from the boot pack; record is its table's */
    uint64_t asked_us;
    struct dlf_record record;
    struct dlf_waiter *waiters;
    struct chunk_fetch *next; /* in its bucket */
    struct dlf_work work;     /* for a worker, with stored: a copy of its stored bytes */
    uint8_t *stored;
};

/* The means of one thread to decode. */
struct bench {
    uint8_t *scratch; /* head->max_length bytes */
    struct dlf_decoder *decoder;
};

struct dlf_cache {
    struct dlf_cache_config config;
    const struct dlf_index_head *head;
    uint64_t page_bytes;   /* of the file: it takes and gives back memory in such pieces */
    _Atomic uint8_t mode;  /* enum room_mode; a reader looks after counting inside up */
    atomic_uint inside;    /* between dlf_cache_enter and dlf_cache_leave */
    atomic_bool complete;  /* set with the lock held, never taken back */
    struct bench *benches; /* the first is the scheduler's thread's, the others the workers' */
    unsigned bench_count;
    struct dlf_workers *workers;
    uint8_t *memory; /* the file, mapped; NULL when that is not possible */

    pthread_mutex_t lock;
    _Atomic uint8_t *states; /* enum chunk_state, REFERENCED and HELD, one for each chunk */
    struct chunk_fetch *fetches[FETCH_BUCKETS];
    uint64_t limit_bytes;   /* as of now */
    uint64_t need_bytes;    /* no less takes the whole image, as far as is known */
    uint64_t held_bytes;    /* of pages under HELD chunks, each page once */
    uint64_t present_bytes; /* of content */
    uint64_t evicted_chunks;
    uint64_t broken_chunks;
    uint64_t hand;         /* the clock's: a chunk number */
    bool boot_denied;      /* nothing that comes by the boot pack is kept any more */
    unsigned boot_writing; /* threads that write a chunk of it */
    enum file_state file_state;
    uint64_t failed_ms; /* when a write failed last */
    uint64_t try_at_ms;
    uint64_t pause_ms;
    int punch_errno; /* why pages could not be given back, the last time; 0: they could */
    bool punch_said;
    _Atomic uint64_t present_chunks;
};

static inline uint8_t state_of(const struct dlf_cache *c, uint64_t chunk)
{
    return atomic_load_explicit(&c->states[chunk], memory_order_acquire);
}

/* state: enum chunk_state, or PRESENT | REFERENCED. HELD stays as it is. */
static inline void set_state_locked(struct dlf_cache *c, uint64_t chunk, uint8_t state)
{
    uint8_t held = state_of(c, chunk) & HELD;
    atomic_store_explicit(&c->states[chunk], state | held, memory_order_release);
}

/* One more chunk is present, one more index page is loaded, or the mode has changed. */
static inline void note_complete_locked(struct dlf_cache *c)
{
    if (atomic_load(&c->mode) == ROOM_WHOLE && dlf_cache_all_present(c) &&
        dlf_pages_all_loaded(c->config.pages))
        atomic_store(&c->complete, true);
}

static inline struct chunk_fetch **fetch_slot_locked(struct dlf_cache *c, uint64_t chunk)
{
    struct chunk_fetch **link = &c->fetches[chunk % FETCH_BUCKETS];
    while (*link && (*link)->chunk != chunk)
        link = &(*link)->next;
    return link;
}

/* cache_settle.c: the fetch's done callback; its address is a chunk_fetch's. Frees it. */
void dlf_cache_chunk_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                          const struct dlf_err *err);

/* cache_room.c: sets the mode to ROOM_EVICTS, at any limit, waits for that, and returns with the
 * lock held. dlf_cache_end_eviction sets the mode for the limit again, and unlocks. */
void dlf_cache_begin_eviction(struct dlf_cache *cache);
void dlf_cache_end_eviction(struct dlf_cache *cache);

/* cache_room.c: a PRESENT chunk goes. The mode is ROOM_EVICTS. */
void dlf_cache_evict_locked(struct dlf_cache *cache, uint64_t chunk);

/* cache_settle.c: the whole callback of a fetch from a pack. */
void dlf_cache_pack_passes(struct dlf_fetch *fetch);

/* cache_settle.c: makes the benches for decoding, and its threads. False when out of memory. */
bool dlf_cache_make_benches(struct dlf_cache *cache);
void dlf_cache_free_benches(struct dlf_cache *cache);

/* cache_room.c: writes a FETCHING chunk's content into the file. False when there is no room or the
 * write fails: then it holds no pages. */
bool dlf_cache_keep(struct dlf_cache *cache, uint64_t chunk, const struct dlf_record *record,
                    const uint8_t *content);

/* cache_room.c: a chunk that was written, or was in the file all along, is PRESENT from now on. */
void dlf_cache_kept_locked(struct dlf_cache *cache, uint64_t chunk,
                           const struct dlf_record *record);

/*
 * cache_file.c: bytes in which the file takes memory and gives it back: the machine's pages, or
 * more where tmpfs has huge ones.
 */
uint64_t dlf_cache_file_page(int fd);

/* cache_file.c: the file in memory, for reading. NULL when that cannot be. */
uint8_t *dlf_cache_file_map(int fd, uint64_t size);

/* cache_file.c: size bytes of the file, all of them there. 0 or a negative errno. */
int dlf_cache_file_read(int fd, uint8_t *out, uint64_t offset, size_t size);

/* cache_file.c: 0 or a negative errno; then some of it may have been written. */
int dlf_cache_file_write(int fd, const uint8_t *data, uint64_t offset, size_t size);

/* cache_file.c: gives [from, to) back: it reads as zeros. 0 or a negative errno. */
int dlf_cache_file_punch(int fd, uint64_t from, uint64_t to);

/* cache_file.c: is the chunk in the file already, from an earlier run? */
bool dlf_cache_already_there(const struct dlf_cache *cache, const struct dlf_record *record);

#endif
