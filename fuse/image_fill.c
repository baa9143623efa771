/*
 * The fill: asks for what nobody asked for yet, in image order, a window at a time, until the image
 * is complete. It is driven by what comes back: each settled chunk lets it ask for more. fill_lock
 * guards it; complete is called without it.
 */
#include <errno.h>
#include <inttypes.h>

#include "fuse/image_private.h"
#include "fuse/log.h"

/* Bytes of content asked for ahead of the network: some requests' worth for each connection. */
#define FILL_WINDOW ((uint64_t)16 << 20)

static void fill_step_locked(struct dlf_image *im);
static void check_complete(struct dlf_image *im);

static void page_ready(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                       const uint8_t *content)
{
    struct dlf_image *im =
        (struct dlf_image *)(void *)((char *)waiter - offsetof(struct dlf_image, fill_waiter));
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

/* Asks for what lies at the cursor and moves it on. False when the fill has to wait or end. */
static bool fill_one_locked(struct dlf_image *im)
{
    struct dlf_spot spot;
    int rc;
    dlf_pages_at(im->pages, im->fill_cursor, &spot);
    switch (spot.kind) {
    case DLF_SPOT_UNKNOWN:
        im->fill_waiter.ready = page_ready;
        rc = dlf_image_page_get(im, spot.page, DLF_FILL, &im->fill_waiter);
        im->fill_waits = rc == DLF_CACHE_ASKED || rc == DLF_CACHE_COMING;
        return rc == DLF_CACHE_PRESENT;
    case DLF_SPOT_HOLE:
        rc = dlf_cache_clear(im->cache, im->fill_cursor, spot.end);
        break;
    default:
        rc = dlf_cache_get(im->cache, spot.chunk, &spot.record, DLF_FILL, NULL, NULL, 0, 0);
        if (rc == DLF_CACHE_ASKED)
            im->fill_outstanding += spot.record.length;
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

static void fill_step_locked(struct dlf_image *im)
{
    uint64_t image_size = dlf_pages_head(im->pages)->image_size;
    if (dlf_cache_stuck(im->cache))
        im->filling = false;
    while (im->filling && !im->fill_waits && im->fill_outstanding < FILL_WINDOW &&
           im->fill_cursor < image_size && fill_one_locked(im))
        ;
    if (im->filling && im->fill_cursor >= image_size && im->fill_outstanding == 0)
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
    dlf_sched_retire(im->sched);
    im->complete(im->cookie);
}

void dlf_image_chunk_settled(void *cookie, uint32_t length, bool fill)
{
    struct dlf_image *im = cookie;
    pthread_mutex_lock(&im->fill_lock);
    if (fill)
        im->fill_outstanding -= length;
    if (im->filling)
        fill_step_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

void dlf_image_fill(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    im->filling = true;
    fill_step_locked(im);
    pthread_mutex_unlock(&im->fill_lock);
    check_complete(im);
}

bool dlf_image_stuck(struct dlf_image *im)
{
    pthread_mutex_lock(&im->fill_lock);
    bool over = !im->filling;
    pthread_mutex_unlock(&im->fill_lock);
    return over && !dlf_cache_complete(im->cache);
}
