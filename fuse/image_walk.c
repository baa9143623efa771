/* The walk of a parked read through its range; see image_read.h. */
#include <errno.h>
#include <string.h>

#include "fuse/image_read.h"

void dlf_read_fail(struct image_read *r, int rc)
{
    pthread_mutex_lock(&r->lock);
    if (r->rc == 0)
        r->rc = rc;
    pthread_mutex_unlock(&r->lock);
}

static bool has_failed(struct image_read *r)
{
    pthread_mutex_lock(&r->lock);
    bool failed = r->rc < 0;
    pthread_mutex_unlock(&r->lock);
    return failed;
}

bool dlf_read_abandon(struct image_read *r, int rc)
{
    pthread_mutex_lock(&r->lock);
    if (r->rc == 0)
        r->rc = rc;
    /* With nothing pending the last part's thread is about to look at rc. */
    bool ours = r->pending && !r->walking;
    if (ours) {
        r->walking = true;
        r->pending++;
    }
    pthread_mutex_unlock(&r->lock);
    return ours;
}

/* ---- parts ---- */

/* A part, or the walk, is over. True for the last of them: then r is the caller's to walk. */
static bool last_of(struct image_read *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->pending == 0;
    if (last) {
        r->pending = 1;
        r->walking = true;
    }
    pthread_mutex_unlock(&r->lock);
    return last;
}

/* The caller walks: is there more to do? Else the read is to be finished. */
static bool goes_on(struct image_read *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->again < r->cursor)
        r->cursor = r->again;
    r->again = UINT64_MAX;
    bool more = r->rc == 0 && r->cursor < r->end;
    pthread_mutex_unlock(&r->lock);
    return more;
}

/* The place is to be looked up once more. */
static void walk_again(struct image_read *r, uint64_t from)
{
    pthread_mutex_lock(&r->lock);
    if (from < r->again)
        r->again = from;
    pthread_mutex_unlock(&r->lock);
}

static void part_ready(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                       const uint8_t *content)
{
    struct read_part *part = (struct read_part *)waiter;
    struct image_read *r = part->read;
    if (rc == -EAGAIN) {
        walk_again(r, part->from);
    } else if (rc < 0) {
        dlf_read_fail(r, rc);
    } else if (record) {
        memcpy(r->bytes + (part->from - r->offset), content + (part->from - record->offset),
               (size_t)(part->to - part->from));
    }
    if (last_of(r))
        dlf_read_walk(r);
}

static struct read_part *new_part(struct image_read *r, bool page, uint64_t number, uint64_t to)
{
    struct read_part *part = &r->parts[r->parts_used++];
    part->waiter.ready = part_ready;
    part->read = r;
    part->page = page;
    part->number = number;
    part->from = r->cursor;
    part->to = to;
    pthread_mutex_lock(&r->lock);
    r->pending++;
    pthread_mutex_unlock(&r->lock);
    return part;
}

/* A part is over without having been called; the walk itself is pending still. */
static void uncount_part(struct image_read *r)
{
    pthread_mutex_lock(&r->lock);
    r->pending--;
    pthread_mutex_unlock(&r->lock);
}

/* Takes the parts out of the lists in which they wait; the parts that are not there have been
 * called. */
static void forget_parts(struct image_read *r)
{
    struct dlf_image *im = r->image;
    for (unsigned i = 0; i < r->parts_used; i++) {
        struct read_part *part = &r->parts[i];
        if (part->page ? dlf_image_page_forget(im, (uint32_t)part->number, &part->waiter)
                       : dlf_cache_forget(im->cache, part->number, &part->waiter))
            uncount_part(r);
    }
    r->parts_used = 0;
}

/* ---- the walk ---- */

static bool is_wait(int rc)
{
    return rc == DLF_CACHE_ASKED || rc == DLF_CACHE_COMING;
}

/* Waits for an index page if it is not here. True when the walk goes on. */
static bool step_page(struct image_read *r, uint32_t page)
{
    struct read_part *part = new_part(r, true, page, r->cursor);
    int rc = dlf_image_page_get(r->image, page, DLF_DEMAND, &part->waiter);
    if (is_wait(rc)) {
        r->waited = true;
        return false;
    }
    r->parts_used--;
    uncount_part(r);
    if (rc < 0)
        dlf_read_fail(r, rc);
    return rc >= 0;
}

/* Copies of a chunk, up to `to`, or leaves a part. True when the walk goes on. */
static bool step_chunk(struct image_read *r, const struct dlf_spot *spot, uint64_t to)
{
    struct dlf_image *im = r->image;
    struct read_part *part = new_part(r, false, spot->chunk, to);
    int rc =
        dlf_cache_get(im->cache, spot, DLF_DEMAND, &part->waiter,
                      r->bytes + (r->cursor - r->offset), r->cursor, (uint32_t)(to - r->cursor));
    dlf_trace_touch(im->trace, spot->chunk);
    if (is_wait(rc)) {
        r->waited = true;
    } else {
        r->parts_used--;
        uncount_part(r);
    }
    r->missed |= rc == DLF_CACHE_ASKED;
    if (rc == -EAGAIN)
        walk_again(r, r->cursor);
    else if (rc < 0)
        dlf_read_fail(r, rc);
    return rc >= 0 || rc == -EAGAIN;
}

/* One step of the walk. False when it cannot go further before its parts are ready. */
static bool step(struct image_read *r)
{
    struct dlf_spot spot;
    dlf_pages_at(r->image->pages, r->cursor, &spot);
    if (spot.kind == DLF_SPOT_UNKNOWN)
        return step_page(r, spot.page);
    uint64_t to = spot.end < r->end ? spot.end : r->end;
    if (spot.kind == DLF_SPOT_HOLE)
        memset(r->bytes + (r->cursor - r->offset), 0, (size_t)(to - r->cursor));
    else if (!step_chunk(r, &spot, to))
        return false;
    r->cursor = to;
    return true;
}

/* One part of the walk: as far as it goes without waiting. */
static void walk_on(struct image_read *r)
{
    r->parts_used = 0;
    while (!has_failed(r) && r->cursor < r->end && r->parts_used < READ_PARTS && step(r))
        ;
    if (r->cursor < r->end)
        return;
    if (r->missed)
        atomic_fetch_add_explicit(&r->image->read_misses, 1, memory_order_relaxed);
    dlf_image_read_ahead(r->image, r->offset, (uint32_t)(r->end - r->offset), r->missed);
    if (r->missed)
        dlf_image_read_around(r->image, r->end);
}

/* The walk's end. True when it was the last that was pending: then the caller walks still. */
static bool stop_walking(struct image_read *r)
{
    for (;;) {
        pthread_mutex_lock(&r->lock);
        bool leave = r->rc < 0 && r->parts_used;
        bool last = !leave && --r->pending == 0;
        if (!leave)
            r->walking = last;
        if (last)
            r->pending = 1;
        pthread_mutex_unlock(&r->lock);
        if (!leave)
            return last;
        forget_parts(r);
    }
}

void dlf_read_leave(struct image_read *r)
{
    if (stop_walking(r))
        dlf_read_walk(r);
}

void dlf_read_walk(struct image_read *r)
{
    while (goes_on(r)) {
        walk_on(r);
        if (!stop_walking(r))
            return;
    }
    dlf_read_finish(r);
}
