/*
 * The fill: asks for everything that is absent until the image is complete. A thread of its own
 * walks over the image, a pass at a time: first the chunks that the boot pack's table lists as read
 * later, then the chunks of each index page in turn, with a window of bytes under way.
 *
 * A pass asks for each chunk once and takes no notice of how that ends. A request that ends without
 * a chunk in the file (its boot pack is given up, memory was short, a page did not come) leaves
 * `missed` behind, and one more pass follows. So nothing is ever set back, and the only way out is
 * the end: complete, impossible, or closing.
 *
 * Nothing is asked for with fill_lock held.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fuse/image_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Bytes of content asked for ahead of the network: some requests' worth for each connection. The
 * thread sleeps when it is full, and is woken when so many have come. */
#define FILL_WINDOW ((int64_t)16 << 20)
#define FILL_STEP ((int64_t)1 << 20)

/* How long nothing may have been read until the boot is taken to be over, and how long at most
 * after the start that is waited for: systems that never say that they are ready. */
#define QUIET_MS 30000
#define QUIET_AT_LATEST_MS 120000
#define LOOK_EVERY_MS 250

/* Before a pass for chunks that the last one has missed: a shortage of memory may pass, and a boot
 * pack that is given up has many chunks. */
#define PASS_PAUSE_MS 1000

/* ---- the end ---- */

static bool all_here_locked(struct dlf_image *im)
{
    return im->holes_clear && dlf_cache_complete(im->cache);
}

/* All is here, or never will be. */
static bool over_locked(struct dlf_image *im)
{
    return im->closing || im->fill_failed || dlf_cache_stuck(im->cache) || all_here_locked(im);
}

/* Says once that all is here. */
static void check_complete(struct dlf_image *im)
{
    if (dlf_cache_all_present(im->cache) && !dlf_pages_all_loaded(im->pages))
        dlf_image_pages_rest(im);
    if (!dlf_cache_complete(im->cache))
        return;
    pthread_mutex_lock(&im->fill_lock);
    bool say = im->started && all_here_locked(im) && !im->complete_said;
    im->complete_said |= say;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
    if (!say)
        return;
    dlf_trace_mark(im->trace, DLF_TRACE_COMPLETE);
    dlf_sched_retire(im->sched);
    im->complete(im->cookie);
}

/* ---- results ---- */

static void record(struct dlf_image *im, const struct dlf_settled *what)
{
    if (what->boot)
        dlf_trace_fetch(im->trace, what->chunk, DLF_TRACE_BOOT, what->asked_us);
    else if (what->class == DLF_DEMAND)
        dlf_trace_fetch(im->trace, what->chunk, DLF_TRACE_DEMAND, what->asked_us);
    else if (what->class == DLF_PREFETCH)
        dlf_trace_fetch(im->trace, what->chunk, DLF_TRACE_PREFETCH, what->asked_us);
    else
        dlf_trace_fill(im->trace, what->length);
}

void dlf_image_chunk_settled(void *cookie, const struct dlf_settled *what)
{
    struct dlf_image *im = cookie;
    if (what->came)
        record(im, what);
    if (what->from_boot_pack)
        dlf_image_boot_settled(im);
    pthread_mutex_lock(&im->fill_lock);
    if (what->fill)
        im->fill_outstanding -= what->length;
    im->missed |= !what->kept;
    if (!what->kept || im->fill_outstanding <= FILL_WINDOW - FILL_STEP)
        pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

void dlf_image_page_settled(struct dlf_image *im, int rc)
{
    pthread_mutex_lock(&im->fill_lock);
    im->page_failures += rc < 0;
    im->fill_failed |= rc == -EIO; /* the log has said why */
    im->missed |= rc < 0;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

void dlf_image_fill_missed(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    im->missed = true;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
}

/* ---- a pass ---- */

/* A pass that is not at its end ends early. */
static bool is_interrupted_locked(struct dlf_image *im)
{
    return im->closing || im->no_room || im->fill_failed || dlf_cache_stuck(im->cache) ||
           dlf_cache_rest_ms(im->cache);
}

static bool is_interrupted(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    bool interrupted = is_interrupted_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    return interrupted;
}

/* Waits while so many bytes or more are under way. False when the pass ends early. */
static bool wait_for_room(struct dlf_image *im, int64_t bytes)
{
    pthread_mutex_lock(&im->fill_lock);
    while (im->fill_outstanding >= bytes && !is_interrupted_locked(im))
        pthread_cond_wait(&im->fill_changed, &im->fill_lock);
    bool go_on = !is_interrupted_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    return go_on;
}

/* The page is loaded when this returns true. False: it did not come, or the pass ends early. */
static bool get_page(struct dlf_image *im, uint32_t page)
{
    pthread_mutex_lock(&im->fill_lock);
    unsigned failures = im->page_failures;
    pthread_mutex_unlock(&im->fill_lock);
    int rc = dlf_image_page_get(im, page, DLF_FILL, NULL);
    pthread_mutex_lock(&im->fill_lock);
    im->missed |= rc < 0;
    while (rc >= 0 && !dlf_pages_loaded(im->pages, page) && im->page_failures == failures &&
           !is_interrupted_locked(im))
        pthread_cond_wait(&im->fill_changed, &im->fill_lock);
    pthread_mutex_unlock(&im->fill_lock);
    return dlf_pages_loaded(im->pages, page);
}

static void count_asked(struct dlf_image *im, int64_t bytes)
{
    pthread_mutex_lock(&im->fill_lock);
    im->fill_outstanding += bytes;
    pthread_mutex_unlock(&im->fill_lock);
}

/* Asks for a chunk of a loaded page, if it is absent. False when the pass ends early. */
static bool ask_chunk(struct dlf_image *im, uint64_t chunk)
{
    struct dlf_spot spot = {.kind = DLF_SPOT_CHUNK, .chunk = chunk};
    spot.page = (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS);
    if (dlf_cache_present(im->cache, chunk))
        return true;
    if (!wait_for_room(im, FILL_WINDOW))
        return false;
    dlf_pages_record(im->pages, chunk, &spot.record);
    count_asked(im, spot.record.length);
    int rc = dlf_cache_get(im->cache, &spot, DLF_FILL, NULL, NULL, 0, 0);
    if (rc != DLF_CACHE_ASKED)
        count_asked(im, -(int64_t)spot.record.length);
    if (rc < 0)
        dlf_image_fill_missed(im);
    return true;
}

/* Chunks that the boot pack's table says will be read later. False when the pass ends early. */
static bool ask_later(struct dlf_image *im)
{
    const struct dlf_boot_table *table = &im->boot_table;
    for (uint32_t i = 0; i < table->later_count; i++) {
        uint32_t page = (uint32_t)(table->later[i] / DLF_INDEX_PAGE_RECORDS);
        /* A page that does not come: its chunk comes again in image order. */
        if (get_page(im, page) ? !ask_chunk(im, table->later[i]) : is_interrupted(im))
            return false;
    }
    return true;
}

/* A resumed file may have bytes where the image has a hole: between [from, to) they go. */
static void clear_hole(struct dlf_image *im, uint64_t from, uint64_t to)
{
    int rc = from < to ? dlf_cache_clear(im->cache, from, to) : 0;
    if (rc == 0)
        return;
    dlf_error("the fill ends: the hole at image offset %" PRIu64 " cannot be cleared: %s", from,
              strerror(-rc));
    pthread_mutex_lock(&im->fill_lock);
    im->fill_failed = true;
    pthread_mutex_unlock(&im->fill_lock);
}

/*
 * Everything in a page that is loaded. *hole_from: where the last chunk before it ends; gets where
 * its own last one does. False when the pass ends early.
 */
static bool ask_page(struct dlf_image *im, uint32_t page, uint64_t *hole_from)
{
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    uint64_t chunk = (uint64_t)page * DLF_INDEX_PAGE_RECORDS;
    uint64_t end = chunk + dlf_index_page_records(head, page);
    /* Its round trip passes while this page's chunks are asked for. */
    if (page + 1 < head->page_count)
        dlf_image_page_get(im, page + 1, DLF_FILL, NULL);
    for (; chunk < end; chunk++) {
        struct dlf_record r;
        dlf_pages_record(im->pages, chunk, &r);
        clear_hole(im, *hole_from, r.offset);
        *hole_from = r.offset + r.length;
        if (!ask_chunk(im, chunk))
            return false;
    }
    return true;
}

/* Asks for everything once, and waits until it has come or failed. False when the pass ends early,
 * or has left a page out. */
static bool pass(struct dlf_image *im)
{
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    uint64_t hole_from = 0;
    bool all = true;
    bool later = false;
    for (uint32_t page = 0; page < head->page_count; page++) {
        /* Sooner or later the whole table is here; then its chunks go first. */
        if (!later && atomic_load(&im->boot_state) == DLF_BOOT_DONE) {
            later = true;
            if (!ask_later(im))
                return false;
        }
        bool here = get_page(im, page);
        if (here ? !ask_page(im, page, &hole_from) : is_interrupted(im))
            return false;
        all &= here;
        if (!here)
            hole_from = UINT64_MAX; /* the bytes before the next chunk are not known: no hole */
    }
    if (all)
        clear_hole(im, hole_from, head->image_size);
    if (!wait_for_room(im, 1) || !all)
        return false;
    pthread_mutex_lock(&im->fill_lock);
    im->holes_clear = true;
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
    return true;
}

/* ---- before the first pass, and after each ---- */

/* Until the machine says that it is ready, or nothing was read for a while. */
static void wait_for_ready_locked(struct dlf_image *im)
{
    uint64_t begun = dlf_now_ms();
    uint64_t quiet_since = begun;
    uint64_t reads = 0;
    while (!im->ready && !im->closing) {
        uint64_t now = dlf_now_ms();
        uint64_t seen = atomic_load_explicit(&im->reads, memory_order_relaxed);
        if (seen != reads || atomic_load(&im->boot_state) == DLF_BOOT_STREAMING)
            quiet_since = now;
        reads = seen;
        if (now - quiet_since >= QUIET_MS || now - begun >= QUIET_AT_LATEST_MS)
            return;
        dlf_cond_wait(&im->fill_changed, &im->fill_lock, now + LOOK_EVERY_MS);
    }
}

/* A pause that ends early with the fill. */
static void pause_locked(struct dlf_image *im, uint64_t ms)
{
    uint64_t until_ms = dlf_now_ms() + ms;
    while (!over_locked(im) && dlf_now_ms() < until_ms)
        dlf_cond_wait(&im->fill_changed, &im->fill_lock, until_ms);
}

/* Until another pass makes sense, or the fill is over. */
static void wait_for_a_reason_locked(struct dlf_image *im)
{
    uint64_t rest_ms = dlf_cache_rest_ms(im->cache);
    while (!over_locked(im) && (im->no_room || !im->missed || rest_ms)) {
        bool evicts = im->no_room || rest_ms == UINT64_MAX;
        im->fill_state = evicts ? FILL_RESTS : FILL_PAUSES;
        if (!evicts && im->missed)
            dlf_cond_wait(&im->fill_changed, &im->fill_lock, dlf_now_ms() + rest_ms);
        else
            pthread_cond_wait(&im->fill_changed, &im->fill_lock);
        rest_ms = dlf_cache_rest_ms(im->cache);
    }
    im->fill_state = FILL_PAUSES;
    pause_locked(im, PASS_PAUSE_MS);
}

static void *fill_thread(void *cookie)
{
    struct dlf_image *im = cookie;
    pthread_mutex_lock(&im->fill_lock);
    if (im->fill_state == FILL_WAITS) {
        wait_for_ready_locked(im);
        /* A fleet that boots together does not fill together. */
        pause_locked(im, dlf_random_below((uint64_t)im->fill_delay_ms + 1));
    }
    while (!over_locked(im)) {
        im->fill_state = FILL_RUNS;
        im->missed = false;
        pthread_mutex_unlock(&im->fill_lock);
        bool whole = pass(im);
        pthread_mutex_lock(&im->fill_lock);
        im->missed |= !whole;
        wait_for_a_reason_locked(im);
    }
    im->fill_state = FILL_OVER;
    pthread_mutex_unlock(&im->fill_lock);
    return NULL;
}

void dlf_image_start(struct dlf_image *im, bool fill)
{
    pthread_mutex_lock(&im->fill_lock);
    im->started = true;
    if (fill)
        im->fill_state = atomic_load(&im->boot_state) == DLF_BOOT_NONE ? FILL_RUNS : FILL_WAITS;
    pthread_mutex_unlock(&im->fill_lock);
    if (fill) {
        im->fill_thread_made = pthread_create(&im->fill_thread, NULL, fill_thread, im) == 0;
        if (!im->fill_thread_made) {
            dlf_error("the image is not filled: its thread cannot be started; it stays lazy");
            pthread_mutex_lock(&im->fill_lock);
            im->fill_state = FILL_OVER;
            pthread_mutex_unlock(&im->fill_lock);
        }
    }
    check_complete(im); /* all of a small image may be here already */
}

void dlf_image_fill_close(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    im->closing = true;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
    if (im->fill_thread_made)
        pthread_join(im->fill_thread, NULL);
}

void dlf_image_ready(struct dlf_image *im)
{
    dlf_trace_mark(im->trace, DLF_TRACE_READY);
    pthread_mutex_lock(&im->fill_lock);
    im->ready = true;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
}

/* ---- memory ---- */

static void set_no_room(struct dlf_image *im, bool no_room)
{
    pthread_mutex_lock(&im->fill_lock);
    im->no_room = no_room;
    im->missed |= no_room; /* chunks that a pass has seen present may go */
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
}

bool dlf_image_set_limit(struct dlf_image *im, uint64_t bytes)
{
    if (bytes > im->cache_bytes)
        bytes = im->cache_bytes;
    bool room = dlf_cache_holds_all(im->cache, bytes);
    if (!room)
        set_no_room(im, true);
    if (!dlf_cache_set_limit(im->cache, bytes)) {
        set_no_room(im, false);
        return false;
    }
    atomic_store_explicit(&im->limit_bytes, bytes, memory_order_relaxed);
    if (room) {
        set_no_room(im, false);
        check_complete(im);
    }
    return true;
}

bool dlf_image_stuck(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    bool stuck = im->fill_state == FILL_OVER && !all_here_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    return stuck;
}
