/* The chunks' states, their waiters, and the cache's beginning and end. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/boot.h"
#include "fuse/cache_private.h"
#include "fuse/util.h"

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
    c->limit_bytes = config->limit_bytes;
    c->need_bytes = c->head->data_size;
    c->page_bytes = dlf_cache_file_page(config->fd);
    atomic_init(&c->mode, config->limit_bytes < c->need_bytes ? ROOM_EVICTS : ROOM_WHOLE);
    note_complete_locked(c);
    c->states = calloc((size_t)c->head->record_count + 1, sizeof(*c->states));
    bool ready = dlf_cache_make_benches(c);
    pthread_mutex_init(&c->lock, NULL);
    if (!c->states || !ready)
        rc = dlf_fail(err, ENOMEM, "out of memory for %" PRIu64 " chunks", c->head->record_count);
    else if (ftruncate(config->fd, (off_t)c->head->image_size) < 0)
        rc = dlf_fail(err, errno, "cannot make the cache file %" PRIu64 " bytes long: %s",
                      c->head->image_size, strerror(errno));
    if (rc < 0) {
        dlf_cache_free(c);
        return rc;
    }
    if (atomic_load(&c->mode) == ROOM_WHOLE)
        c->memory = dlf_cache_file_map(config->fd, c->head->image_size);
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
        munmap(c->memory, (size_t)c->head->image_size);
    close(c->config.fd);
    pthread_mutex_destroy(&c->lock);
    free(c->states);
    dlf_cache_free_benches(c);
    free(c);
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
    cf->fetch.done = dlf_cache_chunk_done;
    cf->fetch.whole = spot->boot ? NULL : dlf_cache_pack_passes;
    atomic_init(&cf->fetch.class, (uint8_t) class);
    int rc = dlf_sched_submit(c->config.sched, &cf->fetch);
    if (rc < 0) {
        free(cf);
        return rc;
    }
    *fetch_slot_locked(c, spot->chunk) = cf;
    set_state_locked(c, spot->chunk, FETCHING);
    return DLF_CACHE_ASKED;
}

static int join_locked(struct dlf_cache *c, struct chunk_fetch *cf, enum dlf_class class,
                       struct dlf_waiter *waiter)
{
    if (waiter) {
        waiter->next = cf->waiters;
        cf->waiters = waiter;
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
    if (c->config.resume && state_of(c, chunk) == ABSENT &&
        dlf_cache_already_there(c, &spot->record))
        dlf_cache_kept_locked(c, chunk, &spot->record);
    struct chunk_fetch *coming = *fetch_slot_locked(c, chunk);
    if (spot->boot && c->boot_denied) {
        rc = -EAGAIN; /* looked up before the index said otherwise */
    } else if (coming) {
        rc = join_locked(c, coming, class, waiter);
    } else if (dlf_cache_present(c, chunk)) {
        set_state_locked(c, chunk, PRESENT | REFERENCED);
        rc = out ? dlf_cache_file_read(c->config.fd, out, from, size) : 0;
        rc = rc < 0 ? -EIO : DLF_CACHE_PRESENT;
    } else {
        rc = ask_locked(c, spot, class, waiter);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

bool dlf_cache_forget(struct dlf_cache *c, uint64_t chunk, struct dlf_waiter *waiter)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    struct chunk_fetch *cf = *fetch_slot_locked(c, chunk);
    if (cf && dlf_waiter_remove(&cf->waiters, waiter)) {
        found = true;
        if (!cf->waiters)
            dlf_fetch_nobody_waits(&cf->fetch);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void dlf_cache_page_loaded(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    note_complete_locked(c);
    pthread_mutex_unlock(&c->lock);
}

/* ---- questions ---- */

bool dlf_cache_present(const struct dlf_cache *c, uint64_t chunk)
{
    return (state_of(c, chunk) & STATE_MASK) == PRESENT;
}

bool dlf_cache_all_present(const struct dlf_cache *c)
{
    return atomic_load(&c->present_chunks) == c->head->record_count;
}

bool dlf_cache_complete(const struct dlf_cache *c)
{
    return atomic_load(&c->complete);
}

bool dlf_cache_stuck(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    bool full = c->config.full_is_final && c->file_state == FILE_FULL;
    bool stuck = full || c->broken_chunks;
    pthread_mutex_unlock(&c->lock);
    return stuck;
}

uint64_t dlf_cache_rest_ms(struct dlf_cache *c)
{
    uint64_t rest_ms = 0;
    pthread_mutex_lock(&c->lock);
    uint64_t now = c->file_state == FILE_FULL ? dlf_now_ms() : UINT64_MAX;
    if (atomic_load(&c->mode) != ROOM_WHOLE)
        rest_ms = UINT64_MAX;
    else if (now < c->try_at_ms)
        rest_ms = c->try_at_ms - now;
    pthread_mutex_unlock(&c->lock);
    return rest_ms;
}

int dlf_cache_fd(const struct dlf_cache *c)
{
    return c->config.fd;
}

const uint8_t *dlf_cache_enter(struct dlf_cache *c)
{
    if (!c->memory)
        return NULL;
    /*
     * In this order, opposite to the thread that changes the mode: one of the two sees the other.
     */
    atomic_fetch_add(&c->inside, 1);
    if (atomic_load(&c->mode) == ROOM_WHOLE)
        return c->memory;
    dlf_cache_leave(c);
    return NULL;
}

void dlf_cache_leave(struct dlf_cache *c)
{
    atomic_fetch_sub(&c->inside, 1);
}

void dlf_cache_stats(struct dlf_cache *c, struct dlf_cache_stats *stats)
{
    pthread_mutex_lock(&c->lock);
    stats->limit_bytes = c->limit_bytes;
    stats->held_bytes = c->held_bytes;
    stats->present_bytes = c->present_bytes;
    stats->present_chunks = atomic_load_explicit(&c->present_chunks, memory_order_relaxed);
    stats->evicted_chunks = c->evicted_chunks;
    stats->broken_chunks = c->broken_chunks;
    pthread_mutex_unlock(&c->lock);
}
