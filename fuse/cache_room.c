/* The cache's file: written once a chunk, read, and, where there is less room than data, punched.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/cache_private.h"
#include "fuse/log.h"

/* Bytes of a page of the cache file: what punching a hole gives back. */
#define HOLE_UNIT ((uint64_t)4096)

/* Bytes that go at a time, with the lock held: some milliseconds of punching. */
#define SHRINK_STEP ((uint64_t)2 << 20)

int dlf_cache_read_file(const struct dlf_cache *c, uint8_t *out, uint64_t offset, size_t size)
{
    while (size) {
        ssize_t n = pread(c->config.fd, out, size, (off_t)offset);
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
    while (c->present_bytes + length > c->limit_bytes) {
        if (!atomic_load(&c->evicts) || looked++ > 2 * c->head->record_count)
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

/* Sets evicts for a limit of so many bytes, and the limit where that is more than before. False
 * when the image is complete. */
static bool begin_limit(struct dlf_cache *c, uint64_t bytes)
{
    pthread_mutex_lock(&c->lock);
    bool may = !atomic_load(&c->complete);
    if (may) {
        atomic_store(&c->evicts, bytes < c->head->data_size);
        if (bytes > c->limit_bytes)
            c->limit_bytes = bytes;
        note_complete_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
    return may;
}

/* One step towards bytes. True when it is the last. */
static bool shrink_step(struct dlf_cache *c, uint64_t bytes)
{
    pthread_mutex_lock(&c->lock);
    uint64_t held = c->present_bytes;
    c->limit_bytes = held > bytes + SHRINK_STEP ? held - SHRINK_STEP : bytes;
    bool last = !make_room_locked(c, 0) || c->limit_bytes == bytes;
    if (last)
        c->limit_bytes = bytes;
    pthread_mutex_unlock(&c->lock);
    return last;
}

bool dlf_cache_set_limit(struct dlf_cache *c, uint64_t bytes)
{
    if (bytes > c->config.limit_bytes)
        bytes = c->config.limit_bytes;
    if (!begin_limit(c, bytes))
        return false;
    if (!atomic_load(&c->evicts))
        return true;
    while (atomic_load(&c->inside))
        usleep(50);
    while (!shrink_step(c, bytes))
        ;
    return true;
}

bool dlf_cache_keep(struct dlf_cache *c, const struct dlf_record *r, const uint8_t *content)
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

bool dlf_cache_already_there(const struct dlf_cache *c, const struct dlf_record *r)
{
    off_t data = lseek(c->config.fd, (off_t)r->offset, SEEK_DATA);
    if (data < 0 || (uint64_t)data >= r->offset + r->length)
        return false;
    uint8_t *content = malloc(r->length);
    bool there = content && dlf_cache_read_file(c, content, r->offset, r->length) == 0 &&
                 dlf_xxh3(content, r->length) == r->xxh3;
    free(content);
    return there;
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
