/*
 * The fill: asks for what nobody asked for yet, a window at a time, until the image is complete:
 * first what the boot pack's table says will be read later, then the rest in image order. It is
 * driven by what comes back: each settled chunk lets it ask for more. Where a boot pack comes, a
 * thread waits for the machine to have booted before the fill begins. fill_lock guards all of it;
 * complete is called without it.
 */
#include <errno.h>
#include <inttypes.h>

#include "fuse/image_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Bytes of content asked for ahead of the network: some requests' worth for each connection. */
#define FILL_WINDOW ((uint64_t)16 << 20)

/* How long nothing may have been read until the boot is taken to be over, and how long at most
 * after the start that is waited for: systems that never say that they are ready. */
#define QUIET_MS 30000
#define QUIET_AT_LATEST_MS 120000
#define LOOK_EVERY_MS 250

static void fill_step_locked(struct dlf_image *im);
static void check_complete(struct dlf_image *im);

static void page_ready(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                       const uint8_t *content)
{
    struct dlf_image *im = DLF_CONTAINER(struct dlf_image, fill_waiter, waiter);
    (void)record;
    (void)content;
    pthread_mutex_lock(&im->fill_lock);
    im->fill_waits = false;
    if (rc < 0)
        im->filling = false; /* the log has said why */
    else
        fill_step_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

/* As dlf_image_page_get. */
static int wait_for_page_locked(struct dlf_image *im, uint32_t page)
{
    im->fill_waiter.ready = page_ready;
    int rc = dlf_image_page_get(im, page, DLF_FILL, &im->fill_waiter);
    im->fill_waits = rc == DLF_CACHE_ASKED || rc == DLF_CACHE_COMING;
    return rc;
}

/* As dlf_cache_get. */
static int fill_chunk_locked(struct dlf_image *im, const struct dlf_spot *spot)
{
    int rc = dlf_cache_get(im->cache, spot, DLF_FILL, NULL, NULL, 0, 0);
    if (rc == DLF_CACHE_ASKED)
        im->fill_outstanding += spot->record.length;
    return rc;
}

/* Asks for the next chunk of those that will be read later. False when the fill has to wait. */
static bool fill_later_locked(struct dlf_image *im)
{
    struct dlf_spot spot = {.kind = DLF_SPOT_CHUNK};
    spot.chunk = im->boot_table.later[im->later_next];
    spot.page = (uint32_t)(spot.chunk / DLF_INDEX_PAGE_RECORDS);
    if (!dlf_pages_loaded(im->pages, spot.page))
        return wait_for_page_locked(im, spot.page) == DLF_CACHE_PRESENT;
    dlf_pages_record(im->pages, spot.chunk, &spot.record);
    fill_chunk_locked(im, &spot); /* what fails here comes again in image order */
    im->later_next++;
    return true;
}

/* Asks for what lies at the cursor and moves it on. False when the fill has to wait or end. */
static bool fill_cursor_locked(struct dlf_image *im)
{
    struct dlf_spot spot;
    int rc;
    dlf_pages_at(im->pages, im->fill_cursor, &spot);
    switch (spot.kind) {
    case DLF_SPOT_UNKNOWN:
        return wait_for_page_locked(im, spot.page) == DLF_CACHE_PRESENT;
    case DLF_SPOT_HOLE:
        rc = dlf_cache_clear(im->cache, im->fill_cursor, spot.end);
        break;
    default:
        rc = fill_chunk_locked(im, &spot);
        /* A page's first chunk: the next page had better be on its way too. */
        if (spot.chunk % DLF_INDEX_PAGE_RECORDS == 0 &&
            spot.page + 1 < dlf_pages_head(im->pages)->page_count)
            dlf_image_page_get(im, spot.page + 1, DLF_FILL, NULL);
        break;
    }
    if (rc < 0) {
        dlf_error("the fill ends at image offset %" PRIu64 ": %s", im->fill_cursor,
                  rc == -ENOMEM ? "out of memory" : "the cache file cannot be used");
        im->filling = false;
        return false;
    }
    im->fill_cursor = spot.end;
    return true;
}

/* Asks for what comes next. False when that is nothing, or the fill has to wait or end. */
static bool fill_next_locked(struct dlf_image *im)
{
    bool booted = atomic_load(&im->boot_state) == DLF_BOOT_DONE;
    if (booted && im->later_next < im->boot_table.later_count)
        return fill_later_locked(im);
    return im->fill_cursor < dlf_pages_head(im->pages)->image_size && fill_cursor_locked(im);
}

static void fill_step_locked(struct dlf_image *im)
{
    if (dlf_cache_stuck(im->cache))
        im->filling = false;
    while (im->filling && !im->fill_waits && im->fill_outstanding < FILL_WINDOW &&
           fill_next_locked(im))
        ;
    if (im->filling && im->fill_cursor >= dlf_pages_head(im->pages)->image_size &&
        im->fill_outstanding == 0)
        im->filling = false;
}

/* Says once that all is here. */
static void check_complete(struct dlf_image *im)
{
    bool say = false;
    if (!dlf_cache_complete(im->cache))
        return;
    pthread_mutex_lock(&im->fill_lock);
    /* A resumed file is only right once the fill has cleared its holes too. */
    if (!im->complete_said && !im->filling) {
        im->complete_said = true;
        say = true;
    }
    pthread_mutex_unlock(&im->fill_lock);
    if (!say)
        return;
    dlf_trace_mark(im->trace, DLF_TRACE_COMPLETE);
    dlf_sched_retire(im->sched);
    im->complete(im->cookie);
}

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
    if (what->from_boot_pack && !what->came) {
        im->fill_cursor = 0; /* the fill may have passed it by, as one that was coming */
        im->filling = im->fill_begun && !im->fill_rests;
    }
    if (im->filling)
        fill_step_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

static void begin_fill(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    im->fill_begun = !im->closing;
    im->filling = im->fill_begun && !im->fill_rests;
    if (im->filling)
        fill_step_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

/* What it fetched before may have gone meanwhile. */
static void begin_anew(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    im->fill_rests = false;
    im->filling = im->fill_begun && !im->closing;
    im->fill_cursor = 0;
    im->later_next = 0;
    if (im->filling)
        fill_step_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

bool dlf_image_set_limit(struct dlf_image *im, uint64_t bytes)
{
    if (bytes > im->cache_bytes)
        bytes = im->cache_bytes;
    bool room = bytes >= dlf_pages_head(im->pages)->data_size;
    if (!room) {
        pthread_mutex_lock(&im->fill_lock);
        im->fill_rests = true;
        im->filling = false;
        pthread_mutex_unlock(&im->fill_lock);
    }
    if (!dlf_cache_set_limit(im->cache, bytes))
        return false;
    atomic_store_explicit(&im->limit_bytes, bytes, memory_order_relaxed);
    if (room)
        begin_anew(im);
    return true;
}

/* ---- when it begins ---- */

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

/* A fleet that boots together does not fill together. */
static void wait_at_random_locked(struct dlf_image *im)
{
    uint64_t until_ms = dlf_now_ms() + dlf_random_below((uint64_t)im->fill_delay_ms + 1);
    while (!im->closing && dlf_cond_wait(&im->fill_changed, &im->fill_lock, until_ms))
        continue;
}

static void *starter_thread(void *cookie)
{
    struct dlf_image *im = cookie;
    pthread_mutex_lock(&im->fill_lock);
    wait_for_ready_locked(im);
    wait_at_random_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    begin_fill(im);
    return NULL;
}

void dlf_image_fill(struct dlf_image *im)
{
    im->fill_starter_runs = atomic_load(&im->boot_state) != DLF_BOOT_NONE &&
                            pthread_create(&im->fill_starter, NULL, starter_thread, im) == 0;
    if (!im->fill_starter_runs)
        begin_fill(im);
}

void dlf_image_fill_close(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    im->closing = true;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
    if (im->fill_starter_runs)
        pthread_join(im->fill_starter, NULL);
}

void dlf_image_ready(struct dlf_image *im)
{
    dlf_trace_mark(im->trace, DLF_TRACE_READY);
    pthread_mutex_lock(&im->fill_lock);
    im->ready = true;
    pthread_cond_broadcast(&im->fill_changed);
    pthread_mutex_unlock(&im->fill_lock);
}

bool dlf_image_stuck(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    bool over = !im->filling;
    pthread_mutex_unlock(&im->fill_lock);
    return over && !dlf_cache_complete(im->cache);
}
