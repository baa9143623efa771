/*
 * A chunk's fetch has ended: verified bytes become checked content, which goes into the file and to
 * the waiters. In the scheduler's thread, or, while more is coming, in a worker.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/codec.h"
#include "fuse/cache_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

bool dlf_cache_make_benches(struct dlf_cache *c)
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
    c->workers = ok ? dlf_workers_new(c->bench_count - 1) : NULL;
    return c->workers != NULL;
}

void dlf_cache_free_benches(struct dlf_cache *c)
{
    for (unsigned i = 0; c->benches && i < c->bench_count; i++) {
        free(c->benches[i].scratch);
        dlf_decoder_free(c->benches[i].decoder);
    }
    free(c->benches);
}

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
 * Reports why a chunk did not come, where that is known. broken: its bytes verified, but do not
 * decode. Returns the waiters' rc.
 */
static int chunk_failed(struct dlf_cache *c, const struct chunk_fetch *cf, int rc, bool broken,
                        const struct dlf_err *err)
{
    if (rc == -ESHUTDOWN)
        return rc;
    if (cf->boot) {
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

/* A chunk of the boot pack is about to be written. False when its table is not believed any more.
 */
static bool begin_boot_write(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    bool may = !c->boot_denied;
    c->boot_writing += may;
    pthread_mutex_unlock(&c->lock);
    return may;
}

/* No chunk of the boot pack is written from now on. */
static void end_boot_writes(struct dlf_cache *c)
{
    for (;;) {
        pthread_mutex_lock(&c->lock);
        c->boot_denied = true;
        bool writing = c->boot_writing != 0;
        pthread_mutex_unlock(&c->lock);
        if (!writing)
            return;
        usleep(50);
    }
}

void dlf_cache_deny_boot(struct dlf_cache *c)
{
    end_boot_writes(c);
    dlf_cache_begin_eviction(c);
    for (uint64_t chunk = 0; chunk < c->head->record_count; chunk++)
        if (dlf_cache_present(c, chunk) &&
            !dlf_pages_loaded(c->config.pages, (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS)))
            dlf_cache_evict_locked(c, chunk);
    dlf_cache_end_eviction(c);
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
    bool boot_write = rc == 0 && cf->boot && begin_boot_write(c);
    if (rc == 0 && cf->boot && !boot_write) {
        rc = dlf_fail(&why, EBADMSG, "it does not fit its index");
        err = &why;
    }
    if (rc < 0)
        rc = chunk_failed(c, cf, rc, broken, err);
    bool kept = rc == 0 && dlf_cache_keep(c, cf->chunk, &cf->record, bench->scratch);
    struct dlf_settled what = {
        .chunk = cf->chunk,
        .length = cf->record.length,
        .asked_us = cf->asked_us,
        .class = (enum dlf_class)atomic_load_explicit(&fetch->class, memory_order_relaxed),
        .came = rc == 0,
        .kept = kept,
        .fill = cf->fill,
        .from_boot_pack = cf->boot,
        .boot = cf->boot && !fetch->overtook,
    };

    pthread_mutex_lock(&c->lock);
    *fetch_slot_locked(c, cf->chunk) = cf->next;
    if (kept)
        dlf_cache_kept_locked(c, cf->chunk, &cf->record);
    else
        set_state_locked(c, cf->chunk, ABSENT);
    c->broken_chunks += broken && !cf->boot;
    c->boot_writing -= boot_write;
    struct dlf_waiter *waiter = cf->waiters;
    pthread_mutex_unlock(&c->lock);

    tell_waiters(waiter, rc, &cf->record, bench->scratch);
    free(cf);
    c->config.settled(c->config.cookie, &what);
}

static void settle_in_worker(struct dlf_work *work, unsigned place)
{
    struct chunk_fetch *cf = DLF_CONTAINER(struct chunk_fetch, work, work);
    uint8_t *stored = cf->stored;
    settle(cf, &cf->cache->benches[place], 0, stored, NULL);
    free(stored);
}

/* Leaves verified bytes to a worker. False when none has time. */
static bool give_away(struct chunk_fetch *cf, const uint8_t *stored)
{
    if (!dlf_workers_have_room(cf->cache->workers))
        return false;
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

void dlf_cache_chunk_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                          const struct dlf_err *err)
{
    struct chunk_fetch *cf = (struct chunk_fetch *)fetch;
    struct dlf_cache *c = cf->cache;
    /* The last chunk of a burst is ready here as soon as a worker would be awake. */
    if (rc == 0 && dlf_sched_expects_more(c->config.sched) && give_away(cf, bytes))
        return;
    settle(cf, &c->benches[0], rc, bytes, err);
}

void dlf_cache_pack_passes(struct dlf_fetch *fetch)
{
    const struct chunk_fetch *cf = (struct chunk_fetch *)fetch;
    const struct dlf_cache_config *config = &cf->cache->config;
    config->pack_passes(config->cookie, cf->record.pack);
}
