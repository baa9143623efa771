/*
 * The cache file, the chunks' states and who waits for what.
 *
 * lock guards states, the table of fetches, waiters, counters and, where chunks are evicted, the
 * file: there a present chunk is copied under the lock, because the next moment it may be gone.
 * Where nothing is evicted PRESENT is final, states are read without the lock (acquire against the
 * release store that follows the write). Below it only the scheduler's inbox lock is taken.
 * A FETCHING chunk is written by the one thread that decodes it: the scheduler's, or a worker, each
 * at a bench of its own.
 */
#include "fuse/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/boot.h"
#include "format/codec.h"
#include "fuse/log.h"
#include "fuse/util.h"
#include "fuse/workers.h"

enum chunk_state {
    ABSENT = 0,
    FETCHING = 1,
    PRESENT = 2,
};
#define STATE_MASK 3
#define REFERENCED 4 /* read since the clock's hand came by */

/* Bytes of a page of the cache file: what punching a hole gives back. */
#define HOLE_UNIT ((uint64_t)4096)

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

/* What a thread needs to decode. */
struct bench {
    uint8_t *scratch; /* head->max_length bytes */
    struct dlf_decoder *decoder;
};

struct dlf_cache {
    struct dlf_cache_config config;
    const struct dlf_index_head *head;
    bool evicts;
    struct bench *benches; /* the first is the scheduler's thread's, the others the workers' */
    unsigned bench_count;
    struct dlf_workers *workers;
    uint8_t *memory; /* the file, mapped; NULL when that is not possible */

    pthread_mutex_t lock;
    _Atomic uint8_t *states; /* enum chunk_state and REFERENCED, one for each chunk */
    struct chunk_fetch *fetches[FETCH_BUCKETS];
    uint64_t present_bytes;
    uint64_t evicted_chunks;
    uint64_t broken_chunks;
    uint64_t hand; /* the clock's: a chunk number */
    bool full;     /* the file takes no more */
    _Atomic uint64_t present_chunks;
};

/* Answers that come straight from a mapping are copied once, by the kernel. */
static uint8_t *map_file(int fd, uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool make_benches(struct dlf_cache *c)
{
    c->bench_count = 1 + dlf_workers_count();
    c->benches = calloc(c->bench_count, sizeof(*c->benches));
    bool ok = c->benches != NULL;
    for (unsigned i = 0; ok && i < c->bench_count; i++) {
        struct bench *b = &c->benches[i];
        b->scratch = malloc((size_t)c->head->max_length + 1);
        b->decoder = dlf_decoder_new();
        ok = b->scratch && b->decoder;
    }
    return ok;
}

static void free_benches(struct dlf_cache *c)
{
    for (unsigned i = 0; c->benches && i < c->bench_count; i++) {
        free(c->benches[i].scratch);
        dlf_decoder_free(c->benches[i].decoder);
    }
    free(c->benches);
}

int dlf_cache_new(struct dlf_cache **cache, const struct dlf_cache_config *config,
                  struct dlf_err *err)
{
    int rc = 0;
    struct dlf_cache *c = calloc(1, sizeof(*c));
    if (!c) {
        close(config->fd);
        return dlf_fail(err, ENOMEM, "out of memory");
    }
    c->config = *config;
    c->head = dlf_pages_head(config->pages);
    c->evicts = config->limit_bytes < c->head->data_size;
    c->states = calloc((size_t)c->head->record_count + 1, sizeof(*c->states));
    bool ready = make_benches(c);
    c->workers = ready ? dlf_workers_new(c->bench_count - 1) : NULL;
    pthread_mutex_init(&c->lock, NULL);
    if (!c->states || !c->workers)
        rc = dlf_fail(err, ENOMEM, "out of memory for %" PRIu64 " chunks", c->head->record_count);
    else if (ftruncate(config->fd, (off_t)c->head->image_size) < 0)
        rc = dlf_fail(err, errno, "cannot make the cache file %" PRIu64 " bytes long: %s",
                      c->head->image_size, strerror(errno));
    if (rc < 0) {
        dlf_cache_free(c);
        return rc;
    }
    if (!c->evicts && c->head->image_size)
        c->memory = map_file(config->fd, c->head->image_size);
    *cache = c;
    return 0;
}

void dlf_cache_stop(struct dlf_cache *c)
{
    if (!c)
        return;
    dlf_workers_free(c->workers);
    c->workers = NULL;
}

void dlf_cache_free(struct dlf_cache *c)
{
    if (!c)
        return;
    dlf_cache_stop(c);
    if (c->memory)
        munmap(c->memory, c->head->image_size);
    close(c->config.fd);
    pthread_mutex_destroy(&c->lock);
    free(c->states);
    free_benches(c);
    free(c);
}

static uint8_t state_of(const struct dlf_cache *c, uint64_t chunk)
{
    return atomic_load_explicit(&c->states[chunk], memory_order_acquire);
}

static void set_state_locked(struct dlf_cache *c, uint64_t chunk, uint8_t state)
{
    atomic_store_explicit(&c->states[chunk], state, memory_order_release);
}

static struct chunk_fetch **fetch_slot_locked(struct dlf_cache *c, uint64_t chunk)
{
    struct chunk_fetch **link = &c->fetches[chunk % FETCH_BUCKETS];
    while (*link && (*link)->chunk != chunk)
        link = &(*link)->next;
    return link;
}

static int read_file(int fd, uint8_t *out, uint64_t offset, size_t size)
{
    while (size) {
        ssize_t n = pread(fd, out, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        out += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_file(int fd, const uint8_t *data, uint64_t offset, size_t size)
{
    while (size) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/* ---- room ---- */

static void evict_locked(struct dlf_cache *c, uint64_t chunk)
{
    struct dlf_record r;
    if (!dlf_pages_record(c->config.pages, chunk, &r))
        return; /* cannot be: what is present has a record */
    /* Only pages that are all this chunk's: its neighbours may share the first and the last. */
    uint64_t from = (r.offset + HOLE_UNIT - 1) / HOLE_UNIT * HOLE_UNIT;
    uint64_t to = (r.offset + r.length) / HOLE_UNIT * HOLE_UNIT;
    if (r.offset + r.length == c->head->image_size)
        to = r.offset + r.length;
    if (from < to)
        fallocate(c->config.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                  (off_t)(to - from));
    set_state_locked(c, chunk, ABSENT);
    c->present_bytes -= r.length;
    atomic_fetch_sub_explicit(&c->present_chunks, 1, memory_order_relaxed);
    c->evicted_chunks++;
}

/*
 * Makes room for length bytes by the clock algorithm: what was read since the hand came by last is
 * spared once. False when nothing more can go.
 */
static bool make_room_locked(struct dlf_cache *c, uint32_t length)
{
    uint64_t looked = 0;
    while (c->present_bytes + length > c->config.limit_bytes) {
        if (!c->evicts || looked++ > 2 * c->head->record_count)
            return false;
        uint64_t chunk = c->hand;
        uint8_t state = state_of(c, chunk);
        c->hand = chunk + 1 < c->head->record_count ? chunk + 1 : 0;
        if ((state & STATE_MASK) != PRESENT)
            continue;
        if (state & REFERENCED)
            set_state_locked(c, chunk, PRESENT);
        else
            evict_locked(c, chunk);
    }
    return true;
}

/* Writes a chunk's content into the file. False when there is no room, which is said once. */
static bool keep(struct dlf_cache *c, const struct dlf_record *r, const uint8_t *content)
{
    pthread_mutex_lock(&c->lock);
    bool room = !c->full && make_room_locked(c, r->length);
    if (room)
        c->present_bytes += r->length; /* reserved before the write */
    pthread_mutex_unlock(&c->lock);
    if (!room)
        return false;
    int rc = write_file(c->config.fd, content, r->offset, r->length);
    if (rc == 0)
        return true;
    pthread_mutex_lock(&c->lock);
    uint64_t held = c->present_bytes -= r->length;
    bool first = !c->full;
    c->full = true;
    pthread_mutex_unlock(&c->lock);
    if (first)
        dlf_error("%s: %s after %" PRIu64 " bytes; what comes now is not kept", c->config.name,
                  strerror(-rc), held);
    return false;
}

/* ---- fetches ---- */

/* Verified bytes become checked content in the bench's scratch. */
static int decode(const struct bench *b, const struct dlf_record *r, const uint8_t *stored,
                  struct dlf_err *err)
{
    int rc =
        dlf_decode_with(b->decoder, r->codec, stored, r->stored_length, b->scratch, r->length, err);
    if (rc == 0 && dlf_xxh3(b->scratch, r->length) != r->xxh3)
        rc = dlf_fail(err, EBADMSG, "its content does not have its XXH3");
    return rc;
}

/*
 * Why a chunk did not come, said where it is known. broken: its bytes verified, but do not decode.
 * Returns what the waiters are told.
 */
static int chunk_failed(struct dlf_cache *c, const struct chunk_fetch *cf, int rc, bool broken,
                        const struct dlf_err *err)
{
    if (rc == -ESHUTDOWN)
        return rc;
    if (cf->boot && rc != -ETIMEDOUT) {
        c->config.boot_failed(c->config.cookie, err);
        return -EAGAIN;
    }
    if (broken)
        dlf_error("chunk %" PRIu64 " at image offset %" PRIu64 ": %s; publish the image again",
                  cf->chunk, cf->record.offset, err->msg);
    else
        dlf_warn("chunk %" PRIu64 " at image offset %" PRIu64 ": %s", cf->chunk, cf->record.offset,
                 err->msg);
    return broken ? -EIO : rc;
}

static void tell_waiters(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                         const uint8_t *content)
{
    while (waiter) {
        struct dlf_waiter *next = waiter->next;
        waiter->ready(waiter, rc, record, content);
        waiter = next;
    }
}

/* A chunk's fetch has ended: stored is verified if rc is 0. Frees cf. */
static void settle(struct chunk_fetch *cf, const struct bench *bench, int rc, const uint8_t *stored,
                   const struct dlf_err *err)
{
    struct dlf_cache *c = cf->cache;
    const struct dlf_fetch *fetch = &cf->fetch;
    struct dlf_err why;
    bool fetched = rc == 0;
    if (fetched && (rc = decode(bench, &cf->record, stored, &why)) < 0)
        err = &why;
    bool broken = fetched && rc < 0;
    if (rc < 0)
        rc = chunk_failed(c, cf, rc, broken, err);
    bool kept = rc == 0 && keep(c, &cf->record, bench->scratch);
    struct dlf_settled what = {
        .chunk = cf->chunk,
        .length = cf->record.length,
        .asked_us = cf->asked_us,
        .class = (enum dlf_class)atomic_load_explicit(&fetch->class, memory_order_relaxed),
        .came = rc == 0,
        .fill = cf->fill,
        .from_boot_pack = cf->boot,
        .boot = cf->boot && !fetch->overtook,
    };

    pthread_mutex_lock(&c->lock);
    *fetch_slot_locked(c, cf->chunk) = cf->next;
    set_state_locked(c, cf->chunk, kept ? PRESENT | REFERENCED : ABSENT);
    if (kept)
        atomic_fetch_add_explicit(&c->present_chunks, 1, memory_order_release);
    c->broken_chunks += broken && !cf->boot;
    struct dlf_waiter *waiter = cf->waiters;
    pthread_mutex_unlock(&c->lock);

    tell_waiters(waiter, rc, &cf->record, bench->scratch);
    free(cf);
    c->config.settled(c->config.cookie, &what);
}

static void settle_in_worker(struct dlf_work *work, unsigned place)
{
    struct chunk_fetch *cf =
        (struct chunk_fetch *)(void *)((char *)work - offsetof(struct chunk_fetch, work));
    uint8_t *stored = cf->stored;
    settle(cf, &cf->cache->benches[place], 0, stored, NULL);
    free(stored);
}

/* Leaves verified bytes to a worker. False when none has time. */
static bool give_away(struct chunk_fetch *cf, const uint8_t *stored)
{
    cf->stored = malloc(cf->record.stored_length);
    if (!cf->stored)
        return false;
    memcpy(cf->stored, stored, cf->record.stored_length);
    cf->work.run = settle_in_worker;
    if (dlf_workers_give(cf->cache->workers, &cf->work))
        return true;
    free(cf->stored);
    return false;
}

static void chunk_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                       const struct dlf_err *err)
{
    struct chunk_fetch *cf = (struct chunk_fetch *)fetch;
    struct dlf_cache *c = cf->cache;
    /* The last of a burst is as soon ready here as a worker is awake. */
    if (rc == 0 && dlf_sched_expects_more(c->config.sched) && give_away(cf, bytes))
        return;
    settle(cf, &c->benches[0], rc, bytes, err);
}

/* Is the chunk in the file already, from an earlier run? */
static bool already_there(struct dlf_cache *c, const struct dlf_record *r)
{
    off_t data = lseek(c->config.fd, (off_t)r->offset, SEEK_DATA);
    if (data < 0 || (uint64_t)data >= r->offset + r->length)
        return false;
    uint8_t *content = malloc(r->length);
    bool there = content && read_file(c->config.fd, content, r->offset, r->length) == 0 &&
                 dlf_xxh3(content, r->length) == r->xxh3;
    free(content);
    return there;
}

static uint64_t deadline(const struct dlf_cache *c, const struct dlf_waiter *waiter)
{
    return waiter && c->config.timeout_ms ? dlf_now_ms() + c->config.timeout_ms : 0;
}

static int ask_locked(struct dlf_cache *c, const struct dlf_spot *spot, enum dlf_class class,
                      struct dlf_waiter *waiter)
{
    const struct dlf_record *r = &spot->record;
    struct chunk_fetch *cf = calloc(1, sizeof(*cf));
    if (!cf)
        return -ENOMEM;
    cf->cache = c;
    cf->chunk = spot->chunk;
    cf->fill = class == DLF_FILL;
    cf->boot = spot->boot;
    cf->asked_us = dlf_now_us();
    cf->record = *r;
    cf->waiters = waiter;
    if (waiter)
        waiter->next = NULL;
    cf->fetch.kind = spot->boot ? DLF_BOOT_KIND : "pack";
    cf->fetch.object = spot->boot ? c->config.boot : c->head->packs[r->pack].sha256;
    cf->fetch.replaceable = spot->boot;
    cf->fetch.offset = r->pack_offset;
    cf->fetch.length = r->stored_length;
    cf->fetch.sha256 = r->sha256;
    atomic_init(&cf->fetch.deadline_ms, deadline(c, waiter));
    cf->fetch.done = chunk_done;
    atomic_init(&cf->fetch.class, (uint8_t) class);
    *fetch_slot_locked(c, spot->chunk) = cf;
    set_state_locked(c, spot->chunk, FETCHING);
    dlf_sched_submit(c->config.sched, &cf->fetch);
    return DLF_CACHE_ASKED;
}

static int join_locked(struct dlf_cache *c, struct chunk_fetch *cf, enum dlf_class class,
                       struct dlf_waiter *waiter)
{
    if (waiter) {
        waiter->next = cf->waiters;
        cf->waiters = waiter;
        if (!atomic_load_explicit(&cf->fetch.deadline_ms, memory_order_relaxed))
            atomic_store_explicit(&cf->fetch.deadline_ms, deadline(c, waiter),
                                  memory_order_relaxed);
    }
    if (class < atomic_load_explicit(&cf->fetch.class, memory_order_relaxed)) {
        atomic_store_explicit(&cf->fetch.class, (uint8_t) class, memory_order_relaxed);
        dlf_sched_kick(c->config.sched);
    }
    return DLF_CACHE_COMING;
}

int dlf_cache_get(struct dlf_cache *c, const struct dlf_spot *spot, enum dlf_class class,
                  struct dlf_waiter *waiter, uint8_t *out, uint64_t from, uint32_t size)
{
    uint64_t chunk = spot->chunk;
    int rc;
    pthread_mutex_lock(&c->lock);
    if (c->config.resume && state_of(c, chunk) == ABSENT && already_there(c, &spot->record)) {
        set_state_locked(c, chunk, PRESENT);
        c->present_bytes += spot->record.length;
        atomic_fetch_add_explicit(&c->present_chunks, 1, memory_order_release);
    }
    struct chunk_fetch *coming = *fetch_slot_locked(c, chunk);
    if (coming) {
        rc = join_locked(c, coming, class, waiter);
    } else if (dlf_cache_present(c, chunk)) {
        set_state_locked(c, chunk, PRESENT | REFERENCED);
        rc = out ? read_file(c->config.fd, out, from, size) : 0;
        rc = rc < 0 ? -EIO : DLF_CACHE_PRESENT;
    } else {
        rc = ask_locked(c, spot, class, waiter);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ---- questions ---- */

bool dlf_cache_present(const struct dlf_cache *c, uint64_t chunk)
{
    return (state_of(c, chunk) & STATE_MASK) == PRESENT;
}

bool dlf_cache_complete(const struct dlf_cache *c)
{
    return !c->evicts &&
           atomic_load_explicit(&c->present_chunks, memory_order_acquire) == c->head->record_count;
}

bool dlf_cache_stuck(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    bool stuck = c->full || c->broken_chunks;
    pthread_mutex_unlock(&c->lock);
    return stuck;
}

int dlf_cache_clear(struct dlf_cache *c, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[64 << 10];
    if (!c->config.resume)
        return 0;
    if (fallocate(c->config.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                  (off_t)(to - from)) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    int rc = 0;
    for (uint64_t at = from; rc == 0 && at < to; at += sizeof(zeros))
        rc = write_file(c->config.fd, zeros, at, to - at < sizeof(zeros) ? to - at : sizeof(zeros));
    return rc;
}

int dlf_cache_fd(const struct dlf_cache *c)
{
    return c->config.fd;
}

const uint8_t *dlf_cache_memory(const struct dlf_cache *c)
{
    return c->memory;
}

void dlf_cache_stats(struct dlf_cache *c, struct dlf_cache_stats *stats)
{
    pthread_mutex_lock(&c->lock);
    stats->limit_bytes = c->config.limit_bytes;
    stats->present_bytes = c->present_bytes;
    stats->present_chunks = atomic_load_explicit(&c->present_chunks, memory_order_relaxed);
    stats->evicted_chunks = c->evicted_chunks;
    stats->broken_chunks = c->broken_chunks;
    pthread_mutex_unlock(&c->lock);
}
