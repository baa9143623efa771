/*
 * Reads: an answer from the file where all bytes are there, else a parked read (image_read.h),
 * which gets its buffer here, or waits in line for it, and is finished here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/image_read.h"
#include "fuse/util.h"

/* Bytes of reads in work; the buffers of parked reads are the node's largest use of memory. */
#define READING_BYTES_MAX ((uint64_t)64 << 20)

/* Takes room for a read's buffer; one read always finds some. */
static bool reserve_locked(struct dlf_image *im, const struct image_read *r)
{
    uint64_t size = r->end - r->offset;
    if (im->reading_bytes && im->reading_bytes + size > READING_BYTES_MAX)
        return false;
    im->reading_bytes += size;
    return true;
}

static void list_locked(struct read_list *list, struct image_read *r)
{
    TAILQ_INSERT_TAIL(list, r, entry);
    r->listed = true;
}

/* Room was taken: gets to work. */
static void begin(struct image_read *r)
{
    atomic_fetch_add_explicit(&r->image->reads_in_work, 1, memory_order_relaxed);
    r->bytes = malloc((size_t)(r->end - r->offset));
    if (!r->bytes)
        dlf_read_fail(r, -ENOMEM);
    dlf_read_walk(r);
}

/* A nested call leaves it to the outer one. */
void dlf_read_admit(struct dlf_image *im)
{
    pthread_mutex_lock(&im->read_lock);
    if (im->admitting) {
        pthread_mutex_unlock(&im->read_lock);
        return;
    }
    im->admitting = true;
    struct image_read *r;
    while ((r = TAILQ_FIRST(&im->line)) && reserve_locked(im, r)) {
        TAILQ_REMOVE(&im->line, r, entry);
        list_locked(&im->working, r);
        pthread_mutex_unlock(&im->read_lock);
        begin(r);
        pthread_mutex_lock(&im->read_lock);
    }
    im->admitting = false;
    pthread_mutex_unlock(&im->read_lock);
}

void dlf_read_finish(struct image_read *r)
{
    struct dlf_image *im = r->image;
    uint64_t waited_ms = dlf_now_ms() - r->begun_ms;
    uint32_t size = (uint32_t)(r->end - r->offset);
    pthread_mutex_lock(&im->read_lock);
    if (r->listed)
        TAILQ_REMOVE(&im->working, r, entry);
    if (r->waited) {
        im->wait_ms_total += waited_ms;
        if (waited_ms > im->wait_ms_max)
            im->wait_ms_max = waited_ms;
    }
    pthread_mutex_unlock(&im->read_lock);
    if (r->waited)
        atomic_fetch_add_explicit(&im->read_waits, 1, memory_order_relaxed);
    /* The errors that a file system may return for a block that does not come. */
    r->done(r->cookie, r->rc == -ESHUTDOWN || r->rc == -ETIMEDOUT ? -EIO : r->rc, r->bytes, size);
    pthread_mutex_destroy(&r->lock);
    free(r->bytes);
    free(r);
    pthread_mutex_lock(&im->read_lock);
    im->reading_bytes -= size;
    pthread_mutex_unlock(&im->read_lock);
    atomic_fetch_sub_explicit(&im->reads_in_work, 1, memory_order_relaxed);
    dlf_read_admit(im);
}

static void count_read(struct dlf_image *im, uint32_t size)
{
    atomic_fetch_add_explicit(&im->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&im->read_bytes, size, memory_order_relaxed);
}

/* Holes are read from it. Never written, so it takes no memory. */
static uint8_t zeros[256 << 10];

/* Adds memory to the pieces, joining neighbours. False when there are too many. */
static bool add_piece(struct iovec *pieces, unsigned *count, const uint8_t *memory, uint64_t size)
{
    if (*count) {
        struct iovec *last = &pieces[*count - 1];
        if ((const uint8_t *)last->iov_base + last->iov_len == memory) {
            last->iov_len += size;
            return true;
        }
    }
    if (*count == DLF_IMAGE_PIECES)
        return false;
    pieces[(*count)++] = (struct iovec){.iov_base = (void *)memory, .iov_len = (size_t)size};
    return true;
}

static bool add_hole(struct iovec *pieces, unsigned *count, uint64_t size)
{
    bool ok = true;
    while (ok && size) {
        uint64_t n = size < sizeof(zeros) ? size : sizeof(zeros);
        ok = add_piece(pieces, count, zeros, n);
        size -= n;
    }
    return ok;
}

unsigned dlf_image_read_now(struct dlf_image *im, uint64_t offset, uint32_t size,
                            struct iovec *pieces)
{
    const uint8_t *memory = dlf_cache_enter(im->cache);
    uint64_t end = offset + size;
    unsigned count = 0;
    bool ok = memory != NULL;
    for (uint64_t at = offset; ok && at < end;) {
        struct dlf_spot spot;
        dlf_pages_at(im->pages, at, &spot);
        uint64_t to = spot.end < end ? spot.end : end;
        if (spot.kind == DLF_SPOT_HOLE)
            ok = add_hole(pieces, &count, to - at);
        else
            ok = spot.kind == DLF_SPOT_CHUNK && dlf_cache_present(im->cache, spot.chunk) &&
                 add_piece(pieces, &count, memory + at, to - at);
        if (ok && spot.kind == DLF_SPOT_CHUNK)
            dlf_trace_touch(im->trace, spot.chunk);
        at = to;
    }
    if (!ok) {
        if (memory)
            dlf_cache_leave(im->cache);
        return 0;
    }
    count_read(im, size);
    if (!dlf_cache_complete(im->cache))
        dlf_image_read_ahead(im, offset, size, false);
    return count;
}

void dlf_image_read_over(struct dlf_image *im)
{
    dlf_cache_leave(im->cache);
}

void dlf_image_read(struct dlf_image *im, uint64_t offset, uint32_t size,
                    void (*done)(void *cookie, int rc, const uint8_t *bytes, uint32_t size),
                    void *cookie)
{
    struct image_read *r = calloc(1, sizeof(*r));
    if (!r) {
        done(cookie, -ENOMEM, NULL, size);
        return;
    }
    count_read(im, size);
    r->image = im;
    r->offset = offset;
    r->cursor = offset;
    r->end = offset + size;
    r->done = done;
    r->cookie = cookie;
    /* The walk, which has not begun, is pending. */
    pthread_mutex_init(&r->lock, NULL);
    r->pending = 1;
    r->walking = true;
    r->again = UINT64_MAX;
    pthread_mutex_lock(&im->read_lock);
    r->begun_ms = dlf_now_ms(); /* under the lock: both lists are in its order */
    bool now = TAILQ_EMPTY(&im->line) && reserve_locked(im, r);
    list_locked(now ? &im->working : &im->line, r);
    pthread_mutex_unlock(&im->read_lock);
    if (now)
        begin(r);
}

void dlf_image_stats(struct dlf_image *im, struct dlf_image_stats *stats)
{
    pthread_mutex_lock(&im->read_lock);
    stats->wait_ms_total = im->wait_ms_total;
    stats->wait_ms_max = im->wait_ms_max;
    stats->waiting_reads = atomic_load_explicit(&im->reads_in_work, memory_order_relaxed);
    pthread_mutex_unlock(&im->read_lock);
    stats->reads = atomic_load_explicit(&im->reads, memory_order_relaxed);
    stats->read_bytes = atomic_load_explicit(&im->read_bytes, memory_order_relaxed);
    stats->read_waits = atomic_load_explicit(&im->read_waits, memory_order_relaxed);
    stats->read_hits = stats->reads - stats->read_waits;
    pthread_mutex_lock(&im->fill_lock);
    stats->filling = im->fill_state == FILL_RUNS || im->fill_state == FILL_PAUSES;
    stats->ready = im->ready;
    stats->boot = (enum dlf_boot_state)atomic_load(&im->boot_state);
    pthread_mutex_unlock(&im->fill_lock);
    stats->complete = dlf_cache_complete(im->cache);
    dlf_cache_stats(im->cache, &stats->cache);
    dlf_sched_stats(im->sched, &stats->sched);
}
