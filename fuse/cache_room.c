/*
 * The room: which pages of the file are held, and which chunks are evicted where there is less room
 * than data.
 *
 * A chunk is a run of bytes, the file takes memory in pages, and neighbours may share a page. A
 * page is held while a chunk on it is HELD; held_bytes counts each page once. So a chunk takes its
 * own pages, and gives them back when it goes: the pages with no other HELD chunk on them. Its
 * first and its last page may be shared, the ones between never are.
 *
 * Pages are counted before they are written and until they are punched. Memory is never above the
 * limit, but for the chunks that were being written when the limit fell: one for each thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fuse/cache_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Bytes that go at a time, with the lock held: some milliseconds of punching. */
#define SHRINK_STEP ((uint64_t)2 << 20)

/* Milliseconds without a write after one has failed: doubling from the least to the most while the
 * next failure comes within FAILED_LATELY_MS. */
#define PAUSE_LEAST_MS 500
#define PAUSE_MOST_MS 30000
#define FAILED_LATELY_MS 60000

/* ---- pages ---- */

static uint64_t round_down(const struct dlf_cache *c, uint64_t bytes)
{
    return bytes - bytes % c->page_bytes;
}

static uint64_t round_up(const struct dlf_cache *c, uint64_t bytes)
{
    return bytes > UINT64_MAX - c->page_bytes ? bytes : round_down(c, bytes + c->page_bytes - 1);
}

/* Is a chunk with a lower number held that reaches beyond the offset? */
static bool held_below_locked(const struct dlf_cache *c, uint64_t chunk, uint64_t offset)
{
    struct dlf_record r;
    while (chunk-- > 0) {
        uint32_t page = (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS);
        bool held = state_of(c, chunk) & HELD;
        if ((held || dlf_pages_loaded(c->config.pages, page)) &&
            dlf_pages_record(c->config.pages, chunk, &r)) {
            if (r.offset + r.length <= offset)
                return false;
            if (held)
                return true;
        } else if (page + 1 < c->head->page_count &&
                   c->head->pages[page + 1].first_offset <= offset) {
            return false;
        }
    }
    return false;
}

/* Is a chunk with a higher number held that begins before the offset? */
static bool held_above_locked(const struct dlf_cache *c, uint64_t chunk, uint64_t offset)
{
    struct dlf_record r;
    while (++chunk < c->head->record_count) {
        uint32_t page = (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS);
        bool held = state_of(c, chunk) & HELD;
        if ((held || dlf_pages_loaded(c->config.pages, page)) &&
            dlf_pages_record(c->config.pages, chunk, &r)) {
            if (r.offset >= offset)
                return false;
            if (held)
                return true;
        } else if (c->head->pages[page].first_offset >= offset) {
            return false;
        }
    }
    return false;
}

/* The chunk's own pages: [*from, *to) of the file, empty when it has none. */
static void own_pages_locked(const struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r,
                             uint64_t *from, uint64_t *to)
{
    uint64_t end = r->offset + r->length;
    *from = round_down(c, r->offset);
    *to = round_up(c, end);
    if (*from < r->offset && held_below_locked(c, chunk, *from))
        *from += c->page_bytes;
    if (*from<*to && * to> end && held_above_locked(c, chunk, *to))
        *to -= c->page_bytes;
}

static void hold_locked(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r)
{
    uint64_t from;
    uint64_t to;
    uint8_t state = state_of(c, chunk);
    if (state & HELD)
        return;
    own_pages_locked(c, chunk, r, &from, &to);
    c->held_bytes += to - from;
    atomic_store_explicit(&c->states[chunk], state | HELD, memory_order_release);
}

/* Gives its pages back. When the file refuses, they stay counted and the clock comes by again. */
static void release_locked(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r)
{
    uint64_t from;
    uint64_t to;
    own_pages_locked(c, chunk, r, &from, &to);
    int rc = from < to ? dlf_cache_file_punch(c->config.fd, from, to) : 0;
    c->punch_errno = -rc;
    if (rc < 0)
        return;
    c->held_bytes -= to - from;
    atomic_store_explicit(&c->states[chunk], state_of(c, chunk) & (uint8_t)~HELD,
                          memory_order_release);
}

/* ---- eviction ---- */

void dlf_cache_evict_locked(struct dlf_cache *c, uint64_t chunk)
{
    struct dlf_record r;
    bool present = (state_of(c, chunk) & STATE_MASK) == PRESENT;
    if (!dlf_pages_record(c->config.pages, chunk, &r))
        return; /* cannot be: a held chunk has a record */
    set_state_locked(c, chunk, ABSENT);
    release_locked(c, chunk, &r);
    if (!present)
        return;
    c->present_bytes -= r.length;
    atomic_fetch_sub_explicit(&c->present_chunks, 1, memory_order_relaxed);
    c->evicted_chunks++;
}

/*
 * Evicts until no more than so many bytes are held, rounded up to a page, by the clock algorithm: a
 * chunk that was read since the hand came by last is spared once. False when no more can go.
 */
static bool shrink_locked(struct dlf_cache *c, uint64_t bytes)
{
    uint64_t looked = 0;
    while (c->held_bytes > round_up(c, bytes)) {
        if (atomic_load(&c->mode) != ROOM_EVICTS || looked++ > 2 * c->head->record_count)
            return false;
        uint64_t chunk = c->hand;
        uint8_t state = state_of(c, chunk);
        c->hand = chunk + 1 < c->head->record_count ? chunk + 1 : 0;
        if (!(state & HELD) || (state & STATE_MASK) == FETCHING)
            continue;
        if (state & REFERENCED)
            set_state_locked(c, chunk, PRESENT);
        else
            dlf_cache_evict_locked(c, chunk);
    }
    return true;
}

/* Chunks go from now on, once no reader is inside any more: waits for that. Unless a limit that was
 * raised meanwhile keeps all. */
static void wait_for_readers(struct dlf_cache *c)
{
    for (;;) {
        pthread_mutex_lock(&c->lock);
        /* With the lock, so that the mode is as the readers inside have seen it. */
        bool waits = atomic_load(&c->mode) == ROOM_LEAVING && atomic_load(&c->inside);
        if (atomic_load(&c->mode) == ROOM_LEAVING && !waits)
            atomic_store(&c->mode, ROOM_EVICTS);
        pthread_mutex_unlock(&c->lock);
        if (!waits)
            return;
        usleep(50);
    }
}

void dlf_cache_begin_eviction(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    while (atomic_load(&c->mode) != ROOM_EVICTS) {
        atomic_store(&c->mode, ROOM_LEAVING);
        pthread_mutex_unlock(&c->lock);
        wait_for_readers(c);
        pthread_mutex_lock(&c->lock);
    }
}

void dlf_cache_end_eviction(struct dlf_cache *c)
{
    if (c->limit_bytes >= c->need_bytes)
        atomic_store(&c->mode, ROOM_WHOLE);
    pthread_mutex_unlock(&c->lock);
}

/* ---- the limit ---- */

static void say_punch(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    int why = c->punch_said ? 0 : c->punch_errno;
    c->punch_said |= why != 0;
    pthread_mutex_unlock(&c->lock);
    if (why)
        dlf_error("%s: memory cannot be given back: %s; fewer chunks are kept until it can",
                  c->config.name, strerror(why));
}

/* Sets the mode for a limit of so many bytes, and the limit where that is more than before. False
 * when the image is complete. */
static bool begin_limit(struct dlf_cache *c, uint64_t bytes)
{
    pthread_mutex_lock(&c->lock);
    bool may = !atomic_load(&c->complete);
    if (may) {
        if (bytes >= c->need_bytes)
            atomic_store(&c->mode, ROOM_WHOLE);
        else if (atomic_load(&c->mode) == ROOM_WHOLE)
            atomic_store(&c->mode, ROOM_LEAVING);
        if (bytes > c->limit_bytes)
            c->limit_bytes = bytes;
        /* At once too little for all: dlf_cache_end_eviction goes by it. */
        if (bytes < c->need_bytes && c->limit_bytes >= c->need_bytes)
            c->limit_bytes = c->need_bytes - 1;
        note_complete_locked(c);
    }
    pthread_mutex_unlock(&c->lock);
    return may;
}

/* One step towards bytes. True when it is the last. */
static bool shrink_step(struct dlf_cache *c, uint64_t bytes)
{
    pthread_mutex_lock(&c->lock);
    uint64_t held = c->held_bytes;
    c->limit_bytes = held > bytes + SHRINK_STEP ? held - SHRINK_STEP : bytes;
    bool last = !shrink_locked(c, c->limit_bytes) || c->limit_bytes == bytes;
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
    wait_for_readers(c);
    if (atomic_load(&c->mode) == ROOM_WHOLE)
        return true;
    while (!shrink_step(c, bytes))
        ;
    say_punch(c);
    return true;
}

bool dlf_cache_holds_all(struct dlf_cache *c, uint64_t bytes)
{
    pthread_mutex_lock(&c->lock);
    bool all = bytes >= c->need_bytes;
    pthread_mutex_unlock(&c->lock);
    return all;
}

/* ---- a chunk comes ---- */

static bool may_write_locked(const struct dlf_cache *c)
{
    return c->file_state == FILE_TAKES || dlf_now_ms() >= c->try_at_ms;
}

static bool take_pages_locked(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r)
{
    hold_locked(c, chunk, r);
    if (shrink_locked(c, c->limit_bytes))
        return true;
    /* A page of it may have been a neighbour's that went: there is something to punch. */
    release_locked(c, chunk, r);
    return false;
}

/*
 * The whole image was to be kept, and takes more than its data: holes between the chunks end within
 * pages. It is not: chunks go from now on.
 */
static void give_up_whole(struct dlf_cache *c)
{
    wait_for_readers(c);
    dlf_warn("%s: a limit of %" PRIu64 " bytes does not hold all of the image, whose pages have "
             "%" PRIu64 " bytes here; it stays lazy and needs its server",
             c->config.name, c->config.limit_bytes, c->page_bytes);
}

static bool take_pages(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r)
{
    pthread_mutex_lock(&c->lock);
    bool may = may_write_locked(c);
    bool room = may && take_pages_locked(c, chunk, r);
    bool more = may && !room && atomic_load(&c->mode) == ROOM_WHOLE;
    if (more) {
        c->need_bytes = c->limit_bytes + 1;
        atomic_store(&c->mode, ROOM_LEAVING);
    }
    pthread_mutex_unlock(&c->lock);
    if (!more)
        return room;
    give_up_whole(c);
    pthread_mutex_lock(&c->lock);
    room = take_pages_locked(c, chunk, r);
    pthread_mutex_unlock(&c->lock);
    return room;
}

/* True when it is the first failure after writes that worked. */
static bool note_failure_locked(struct dlf_cache *c)
{
    uint64_t now = dlf_now_ms();
    bool first = c->file_state == FILE_TAKES;
    if (!first && now < c->try_at_ms)
        return false; /* another thread's write failed just before */
    bool lately = c->failed_ms && now - c->failed_ms < FAILED_LATELY_MS;
    c->pause_ms = lately ? 2 * c->pause_ms : PAUSE_LEAST_MS;
    if (c->pause_ms > PAUSE_MOST_MS)
        c->pause_ms = PAUSE_MOST_MS;
    c->file_state = FILE_FULL;
    c->failed_ms = now;
    c->try_at_ms = now + c->pause_ms;
    return first;
}

static void written(struct dlf_cache *c)
{
    pthread_mutex_lock(&c->lock);
    bool again = c->file_state == FILE_FULL && dlf_now_ms() >= c->try_at_ms;
    if (again)
        c->file_state = FILE_TAKES;
    pthread_mutex_unlock(&c->lock);
    if (again)
        dlf_info("%s: chunks are kept again", c->config.name);
}

static void not_written(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r, int rc)
{
    pthread_mutex_lock(&c->lock);
    release_locked(c, chunk, r);
    bool first = note_failure_locked(c);
    uint64_t held = c->held_bytes;
    uint64_t pause = c->pause_ms;
    pthread_mutex_unlock(&c->lock);
    if (first)
        dlf_error("%s: %s after %" PRIu64 " bytes; what comes now is not kept, next try in %" PRIu64
                  " ms",
                  c->config.name, strerror(-rc), held, pause);
}

bool dlf_cache_keep(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r,
                    const uint8_t *content)
{
    if (!take_pages(c, chunk, r)) {
        say_punch(c);
        return false;
    }
    int rc = dlf_cache_file_write(c->config.fd, content, r->offset, r->length);
    if (rc == 0)
        written(c);
    else
        not_written(c, chunk, r, rc);
    return rc == 0;
}

void dlf_cache_kept_locked(struct dlf_cache *c, uint64_t chunk, const struct dlf_record *r)
{
    hold_locked(c, chunk, r);
    set_state_locked(c, chunk, PRESENT | REFERENCED);
    c->present_bytes += r->length;
    atomic_fetch_add_explicit(&c->present_chunks, 1, memory_order_release);
    note_complete_locked(c);
    if (atomic_load(&c->mode) == ROOM_EVICTS)
        shrink_locked(c, c->limit_bytes); /* it may have fallen during the write */
}
