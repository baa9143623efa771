/*
 * Reads: an answer from the file where all bytes are there, else a parked read.
 *
 * A parked read walks from its start to its end. Present chunks and holes are copied at once, for
 * the others it leaves a part (a waiter) each and goes on, until it meets an index page that is not
 * loaded, has no part left, or is at its end. `pending` counts its parts and the walk itself;
 * whoever takes it to zero goes on with the walk or finishes. So there is one walker at a time and
 * one reply. read_lock is a leaf and guards only the line and the sums.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/image_private.h"
#include "fuse/util.h"

/* Bytes of reads in work; the buffers of parked reads are the node's largest use of memory. */
#define READING_BYTES_MAX ((uint64_t)64 << 20)

/* Parts of a read that wait at a time. A 1 MiB read of 64 KiB chunks has 17 or so. */
#define READ_PARTS 32

struct read_part {
    struct dlf_waiter waiter; /* first: callbacks get its address */
    struct image_read *read;
    uint64_t from, to; /* of the image */
};

struct image_read {
    struct dlf_image *image;
    uint64_t offset, cursor, end; /* of the image */
    uint8_t *bytes;               /* end - offset of them, once it is in work */
    atomic_int pending;
    atomic_int rc;              /* the first failure */
    atomic_uint_fast64_t again; /* UINT64_MAX, or from where to walk once more */
    bool waited;
    bool missed; /* a chunk had to be asked for that nobody had thought of */
    uint64_t begun_ms;
    void (*done)(void *cookie, int rc, const uint8_t *bytes, uint32_t size);
    void *cookie;
    struct image_read *next; /* in line */
    unsigned parts_used;
    struct read_part parts[READ_PARTS];
};

static void walk(struct image_read *r);

static void fail(struct image_read *r, int rc)
{
    int none = 0;
    atomic_compare_exchange_strong(&r->rc, &none, rc);
}

/* Takes room for a read's buffer; one read always finds some. */
static bool reserve_locked(struct dlf_image *im, const struct image_read *r)
{
    uint64_t size = r->end - r->offset;
    if (im->reading_bytes && im->reading_bytes + size > READING_BYTES_MAX)
        return false;
    im->reading_bytes += size;
    return true;
}

/* Room was taken: gets to work. */
static void begin(struct image_read *r)
{
    r->bytes = malloc(r->end - r->offset);
    if (!r->bytes)
        fail(r, -ENOMEM);
    atomic_store(&r->pending, 1);
    atomic_fetch_add_explicit(&r->image->reads_in_work, 1, memory_order_relaxed);
    walk(r);
}

/* Starts reads from the line while there is room; a nested call leaves that to the outer one. */
static void admit(struct dlf_image *im)
{
    pthread_mutex_lock(&im->read_lock);
    if (im->admitting) {
        pthread_mutex_unlock(&im->read_lock);
        return;
    }
    im->admitting = true;
    while (im->parked) {
        struct image_read *r = im->parked;
        if (!reserve_locked(im, r))
            break;
        im->parked = r->next;
        if (!im->parked)
            im->parked_end = &im->parked;
        pthread_mutex_unlock(&im->read_lock);
        begin(r);
        pthread_mutex_lock(&im->read_lock);
    }
    im->admitting = false;
    pthread_mutex_unlock(&im->read_lock);
}

static void finish(struct image_read *r)
{
    struct dlf_image *im = r->image;
    int rc = atomic_load(&r->rc);
    uint64_t waited_ms = dlf_now_ms() - r->begun_ms;
    uint32_t size = (uint32_t)(r->end - r->offset);
    if (r->waited)
        atomic_fetch_add_explicit(&im->read_waits, 1, memory_order_relaxed);
    /* What a file system may say about a block that does not come. */
    r->done(r->cookie, rc == -ESHUTDOWN || rc == -ETIMEDOUT ? -EIO : rc, r->bytes, size);
    pthread_mutex_lock(&im->read_lock);
    im->reading_bytes -= size;
    if (r->waited) {
        im->wait_ms_total += waited_ms;
        if (waited_ms > im->wait_ms_max)
            im->wait_ms_max = waited_ms;
    }
    pthread_mutex_unlock(&im->read_lock);
    free(r->bytes);
    free(r);
    atomic_fetch_sub_explicit(&im->reads_in_work, 1, memory_order_relaxed);
    admit(im);
}

/* One part or the walk is through. True for the last of them: then r is the caller's. */
static bool last_of(struct image_read *r)
{
    return atomic_fetch_sub(&r->pending, 1) == 1;
}

static void go_on(struct image_read *r)
{
    uint64_t again = atomic_exchange(&r->again, UINT64_MAX);
    if (again < r->cursor)
        r->cursor = again;
    if (atomic_load(&r->rc) < 0 || r->cursor == r->end) {
        finish(r);
        return;
    }
    atomic_store(&r->pending, 1);
    walk(r);
}

/* What was expected at this place is to be looked up once more. */
static void walk_again_from(struct image_read *r, uint64_t from)
{
    uint64_t known = atomic_load(&r->again);
    while (from < known && !atomic_compare_exchange_weak(&r->again, &known, from))
        ;
}

static void part_ready(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                       const uint8_t *content)
{
    struct read_part *part = (struct read_part *)waiter;
    struct image_read *r = part->read;
    if (rc == -EAGAIN)
        walk_again_from(r, part->from);
    else if (rc < 0)
        fail(r, rc);
    else if (record)
        memcpy(r->bytes + (part->from - r->offset), content + (part->from - record->offset),
               part->to - part->from);
    if (last_of(r))
        go_on(r);
}

static struct read_part *new_part(struct image_read *r, uint64_t from, uint64_t to)
{
    struct read_part *part = &r->parts[r->parts_used++];
    part->waiter.ready = part_ready;
    part->read = r;
    part->from = from;
    part->to = to;
    atomic_fetch_add(&r->pending, 1);
    return part;
}

/* Takes a part back that nobody will call. */
static void drop_part(struct image_read *r)
{
    r->parts_used--;
    atomic_fetch_sub(&r->pending, 1);
}

/* One step of the walk. False when it cannot go further before its parts are ready. */
static bool step(struct image_read *r)
{
    struct dlf_image *im = r->image;
    struct dlf_spot spot;
    int rc;
    dlf_pages_at(im->pages, r->cursor, &spot);
    if (spot.kind == DLF_SPOT_UNKNOWN) {
        struct read_part *part = new_part(r, r->cursor, r->cursor);
        rc = dlf_image_page_get(im, spot.page, DLF_DEMAND, &part->waiter);
        if (rc == DLF_CACHE_ASKED || rc == DLF_CACHE_COMING) {
            r->waited = true;
            return false;
        }
        drop_part(r);
        if (rc < 0)
            fail(r, rc);
        return rc >= 0;
    }
    uint64_t to = spot.end < r->end ? spot.end : r->end;
    uint8_t *out = r->bytes + (r->cursor - r->offset);
    if (spot.kind == DLF_SPOT_HOLE) {
        memset(out, 0, to - r->cursor);
    } else {
        struct read_part *part = new_part(r, r->cursor, to);
        rc = dlf_cache_get(im->cache, &spot, DLF_DEMAND, &part->waiter, out, r->cursor,
                           (uint32_t)(to - r->cursor));
        dlf_trace_touch(im->trace, spot.chunk);
        if (rc == DLF_CACHE_ASKED || rc == DLF_CACHE_COMING)
            r->waited = true;
        else
            drop_part(r);
        r->missed |= rc == DLF_CACHE_ASKED;
        if (rc < 0) {
            fail(r, rc);
            return false;
        }
    }
    r->cursor = to;
    return true;
}

static void walk(struct image_read *r)
{
    r->parts_used = 0;
    while (atomic_load(&r->rc) == 0 && r->cursor < r->end && r->parts_used < READ_PARTS && step(r))
        ;
    if (r->cursor == r->end) {
        if (r->missed)
            atomic_fetch_add_explicit(&r->image->read_misses, 1, memory_order_relaxed);
        dlf_image_read_ahead(r->image, r->offset, (uint32_t)(r->end - r->offset), r->missed);
        if (r->missed)
            dlf_image_read_around(r->image, r->end);
    }
    if (last_of(r))
        go_on(r);
}

static void count_read(struct dlf_image *im, uint32_t size)
{
    atomic_fetch_add_explicit(&im->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&im->read_bytes, size, memory_order_relaxed);
}

/* What holes are read from. Never written: it takes no memory. */
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
    pieces[(*count)++] = (struct iovec){.iov_base = (void *)memory, .iov_len = size};
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
    atomic_init(&r->again, UINT64_MAX);
    r->begun_ms = dlf_now_ms();
    r->done = done;
    r->cookie = cookie;
    pthread_mutex_lock(&im->read_lock);
    bool now = !im->parked && reserve_locked(im, r);
    if (!now) {
        *im->parked_end = r;
        im->parked_end = &r->next;
    }
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
    stats->filling = im->filling;
    stats->ready = im->ready;
    stats->boot = (enum dlf_boot_state)atomic_load(&im->boot_state);
    pthread_mutex_unlock(&im->fill_lock);
    stats->complete = dlf_cache_complete(im->cache);
    dlf_cache_stats(im->cache, &stats->cache);
    dlf_sched_stats(im->sched, &stats->sched);
}
