/*
 * Loads index pages on demand, each once however many wait for it. page_lock guards the table of
 * pages on their way; pages come back in the scheduler's thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/image_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

struct page_fetch {
    struct dlf_fetch fetch; /* first: callbacks get its address */
    struct dlf_image *image;
    uint32_t page;
    struct dlf_waiter *waiters;
};

/*
 * The index has the last word: chunks that came by the boot pack and that no page has confirmed go.
 */
static void deny_boot(struct dlf_image *im)
{
    struct dlf_err err;
    dlf_fail(&err, EBADMSG, "it does not fit its index");
    dlf_image_boot_failed(im, &err);
    dlf_cache_deny_boot(im->cache);
    dlf_image_fill_missed(im);
}

/* Keeps a verified page if its records can be. */
static int store_page(struct dlf_image *im, const struct page_fetch *pf, const uint8_t *bytes)
{
    struct dlf_err err;
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    int rc = dlf_index_page_check(head, pf->page, bytes, pf->fetch.length, &err);
    if (rc < 0) {
        dlf_error("%s; publish the image again", err.msg);
        return -EIO;
    }
    uint8_t *data = malloc(pf->fetch.length);
    if (!data)
        return -ENOMEM;
    if (!dlf_pages_fit_boot(im->pages, pf->page, bytes))
        deny_boot(im);
    memcpy(data, bytes, pf->fetch.length);
    dlf_pages_store(im->pages, pf->page, data);
    return 0;
}

static void page_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                      const struct dlf_err *err)
{
    struct page_fetch *pf = (struct page_fetch *)fetch;
    struct dlf_image *im = pf->image;
    if (rc == 0)
        rc = store_page(im, pf, bytes);
    else if (rc != -ESHUTDOWN)
        dlf_warn("index page %" PRIu32 ": %s", pf->page, err->msg);
    if (rc == 0)
        dlf_cache_page_loaded(im->cache);
    pthread_mutex_lock(&im->page_lock);
    im->page_loading[pf->page] = NULL;
    struct dlf_waiter *waiter = pf->waiters;
    pthread_mutex_unlock(&im->page_lock);
    while (waiter) {
        struct dlf_waiter *next = waiter->next;
        waiter->ready(waiter, rc, NULL, NULL);
        waiter = next;
    }
    free(pf);
    dlf_image_page_settled(im, rc);
}

/* A mirror sends the whole index for a page: the others come for nothing. */
static void index_passes(struct dlf_fetch *fetch)
{
    struct dlf_image *im = ((struct page_fetch *)fetch)->image;
    for (uint32_t page = 0; page < dlf_pages_head(im->pages)->page_count; page++)
        dlf_image_page_get(im, page, DLF_PREFETCH, NULL);
}

static struct page_fetch *new_page_fetch(struct dlf_image *im, uint32_t page, enum dlf_class class)
{
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    struct page_fetch *pf = calloc(1, sizeof(*pf));
    if (!pf)
        return NULL;
    pf->image = im;
    pf->page = page;
    pf->fetch.kind = "index";
    pf->fetch.object = im->manifest.index;
    pf->fetch.offset = dlf_index_page_offset(head, page);
    pf->fetch.length = dlf_index_page_records(head, page) * DLF_RECORD_SIZE;
    pf->fetch.sha256 = head->pages[page].sha256;
    pf->fetch.done = page_done;
    pf->fetch.whole = index_passes;
    atomic_init(&pf->fetch.class, (uint8_t) class);
    return pf;
}

/* 0, -ENOMEM or -ESHUTDOWN. */
static int ask_locked(struct dlf_image *im, uint32_t page, enum dlf_class class)
{
    struct page_fetch *pf = new_page_fetch(im, page, class);
    if (!pf)
        return -ENOMEM;
    int rc = dlf_sched_submit(im->sched, &pf->fetch);
    if (rc < 0)
        free(pf);
    else
        im->page_loading[page] = pf;
    return rc;
}

int dlf_image_page_get(struct dlf_image *im, uint32_t page, enum dlf_class class,
                       struct dlf_waiter *waiter)
{
    int rc = DLF_CACHE_COMING;
    pthread_mutex_lock(&im->page_lock);
    struct page_fetch *pf = im->page_loading[page];
    if (!pf && dlf_pages_loaded(im->pages, page)) {
        pthread_mutex_unlock(&im->page_lock);
        return DLF_CACHE_PRESENT;
    }
    if (!pf) {
        rc = ask_locked(im, page, class);
        if (rc < 0) {
            pthread_mutex_unlock(&im->page_lock);
            return rc;
        }
        pf = im->page_loading[page];
        rc = DLF_CACHE_ASKED;
    }
    if (waiter) {
        waiter->next = pf->waiters;
        pf->waiters = waiter;
    }
    if (class < atomic_load_explicit(&pf->fetch.class, memory_order_relaxed)) {
        atomic_store_explicit(&pf->fetch.class, (uint8_t) class, memory_order_relaxed);
        dlf_sched_kick(im->sched);
    }
    pthread_mutex_unlock(&im->page_lock);
    return rc;
}

bool dlf_image_page_forget(struct dlf_image *im, uint32_t page, struct dlf_waiter *waiter)
{
    bool found = false;
    pthread_mutex_lock(&im->page_lock);
    struct page_fetch *pf = im->page_loading[page];
    if (pf && dlf_waiter_remove(&pf->waiters, waiter)) {
        found = true;
        if (!pf->waiters)
            dlf_fetch_nobody_waits(&pf->fetch);
    }
    pthread_mutex_unlock(&im->page_lock);
    return found;
}

void dlf_image_pages_rest(struct dlf_image *im)
{
    pthread_mutex_lock(&im->page_lock);
    bool first = !im->rest_asked;
    im->rest_asked = true;
    pthread_mutex_unlock(&im->page_lock);
    for (uint32_t page = 0; first && page < dlf_pages_head(im->pages)->page_count; page++)
        if (!dlf_pages_loaded(im->pages, page))
            dlf_image_page_get(im, page, DLF_FILL, NULL);
}
