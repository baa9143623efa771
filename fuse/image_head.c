/*
 * The index head, and the layers that are made of it: pages, cache, trace. Two objects have it, the
 * index and the boot pack.
 *
 * The order of events when an image is opened (O: the opening thread; the others are the
 * scheduler's):
 *
 *   O  the manifest is here. The boot pack is asked for; without one, the index object's head
 *   S  the boot pack's table is here: the head behind it becomes the stream's next piece
 *   S  the head is here: the layers are made, the table's chunks become the stream's next pieces
 *   O  the image is open
 *
 * The index object is asked as well when the boot pack is given up before it has brought the head,
 * or has not brought it after HEAD_PATIENCE_MS. The head that comes first counts, the other one is
 * not looked at. A table that comes behind the head is used at once (image_boot.c).
 *
 * The open fails when a head has its digest but is none, without memory, by an error of the cache's
 * file, or when the index object does not give the head, where that is final (dlf_fetch.once).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse/image_private.h"
#include "fuse/util.h"

/* Bytes of index pages that are asked for before a read needs them: 900 MB of data. */
#define INDEX_AT_ONCE ((uint32_t)1 << 20)

/* A boot pack that does not come delays the open no longer than this. */
#define HEAD_PATIENCE_MS 1000

static int open_cache(struct dlf_image *im, const struct dlf_image_config *config,
                      struct dlf_err *err)
{
    int fd = config->cache_fd;
    if (fd < 0)
        fd = memfd_create("root.img", MFD_CLOEXEC);
    if (fd < 0)
        return dlf_fail(err, errno, "cannot make the cache in RAM: %s", strerror(errno));
    struct dlf_cache_config cache = {
        .fd = fd,
        .name = config->cache_fd < 0 ? "the cache in RAM" : config->cache_name,
        .limit_bytes = config->cache_bytes,
        .full_is_final = config->cache_fd >= 0,
        .resume = config->resume,
        .pages = im->pages,
        .sched = im->sched,
        .boot = im->manifest.boot,
        .boot_failed = dlf_image_boot_failed,
        .pack_passes = dlf_image_pack_passes,
        .settled = dlf_image_chunk_settled,
        .cookie = im,
    };
    im->page_loading =
        calloc((size_t)dlf_pages_head(im->pages)->page_count + 1, sizeof(*im->page_loading));
    if (!im->page_loading) {
        close(fd);
        return dlf_fail(err, ENOMEM, "out of memory");
    }
    return dlf_cache_new(&im->cache, &cache, err);
}

static int open_trace(struct dlf_image *im, uint64_t start_us, struct dlf_err *err)
{
    im->trace = dlf_trace_new(dlf_pages_head(im->pages)->record_count, start_us);
    return im->trace ? 0 : dlf_fail(err, ENOMEM, "out of memory");
}

/* Makes pages, cache and trace from the head's bytes. */
static int make_layers(struct dlf_image *im, const uint8_t *bytes)
{
    const struct dlf_manifest *m = &im->manifest;
    struct head_wait *wait = &im->head;
    struct dlf_index_head head;
    struct dlf_err why;
    int rc =
        dlf_index_head_parse(&head, bytes, m->index_head_size, m->image_size, m->index_size, &why);
    if (rc < 0) {
        char path[DLF_OBJECT_PATH_MAX];
        dlf_object_path(path, "index", &m->index);
        return dlf_fail(&wait->err, -rc, "%s: %s", path, why.msg);
    }
    im->pages = dlf_pages_new(&head);
    if (!im->pages) {
        dlf_index_head_free(&head);
        return dlf_fail(&wait->err, ENOMEM, "out of memory");
    }
    rc = open_cache(im, wait->config, &wait->err);
    return rc < 0 ? rc : open_trace(im, wait->start_us, &wait->err);
}

/*
 * A small index is had in one request, where its pages one by one would cost a round trip each.
 * With a boot pack that can wait: its table serves in their place.
 */
static void ask_for_all_pages(struct dlf_image *im)
{
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    if (head->page_count <= INDEX_AT_ONCE / DLF_INDEX_PAGE_SIZE)
        for (uint32_t page = 0; page < head->page_count; page++)
            dlf_image_page_get(im, page, DLF_PREFETCH, NULL);
}

/* The layers are there, or cannot be (wait->err): the opening thread goes on. */
static void settle(struct dlf_image *im, int rc)
{
    struct head_wait *wait = &im->head;
    wait->state = rc < 0 ? HEAD_FAILED : HEAD_HERE;
    if (rc == 0 && atomic_load(&im->boot_state) == DLF_BOOT_STREAMING)
        dlf_image_boot_use(im);
    else if (rc == 0 && im->prefetch)
        ask_for_all_pages(im);
    pthread_mutex_lock(&wait->lock);
    wait->rc = rc;
    wait->finished = true;
    pthread_cond_signal(&wait->changed);
    pthread_mutex_unlock(&wait->lock);
}

void dlf_image_head_came(struct dlf_image *im, const uint8_t *bytes)
{
    if (im->head.state == HEAD_AWAITED)
        settle(im, make_layers(im, bytes));
}

static void index_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                       const struct dlf_err *err)
{
    struct dlf_image *im = DLF_CONTAINER(struct dlf_image, head.fetch, fetch);
    if (rc == 0) {
        dlf_image_head_came(im, bytes);
    } else if (im->head.state == HEAD_AWAITED) {
        im->head.err = *err;
        settle(im, rc);
    }
}

void dlf_image_submit(struct dlf_image *im, struct dlf_fetch *fetch)
{
    struct dlf_err err;
    if (dlf_sched_submit(im->sched, fetch) == 0)
        return;
    dlf_fail(&err, ESHUTDOWN, "the node is shutting down");
    fetch->done(fetch, -ESHUTDOWN, NULL, &err);
}

void dlf_image_head_ask(struct dlf_image *im)
{
    if (!atomic_exchange(&im->head.asked, true))
        dlf_image_submit(im, &im->head.fetch);
}

void dlf_image_head_init(struct head_wait *wait)
{
    dlf_cond_init(&wait->changed);
    pthread_mutex_init(&wait->lock, NULL);
}

void dlf_image_head_free(struct head_wait *wait)
{
    pthread_cond_destroy(&wait->changed);
    pthread_mutex_destroy(&wait->lock);
}

/* Waits until the head is settled; the index object's is asked for when that takes long. */
static void wait_for_head(struct dlf_image *im)
{
    struct head_wait *wait = &im->head;
    uint64_t until_ms = dlf_now_ms() + HEAD_PATIENCE_MS;
    pthread_mutex_lock(&wait->lock);
    while (!wait->finished && dlf_cond_wait(&wait->changed, &wait->lock, until_ms))
        continue;
    if (!wait->finished) {
        pthread_mutex_unlock(&wait->lock);
        dlf_image_head_ask(im);
        pthread_mutex_lock(&wait->lock);
    }
    while (!wait->finished)
        pthread_cond_wait(&wait->changed, &wait->lock);
    pthread_mutex_unlock(&wait->lock);
}

int dlf_image_head_get(struct dlf_image *im, const struct dlf_image_config *config,
                       uint64_t start_us, struct dlf_err *err)
{
    const struct dlf_manifest *m = &im->manifest;
    struct head_wait *wait = &im->head;
    wait->config = config;
    wait->start_us = start_us;
    wait->fetch.kind = "index";
    wait->fetch.object = m->index;
    wait->fetch.length = m->index_head_size;
    wait->fetch.sha256 = m->index_head;
    wait->fetch.once = !config->patient;
    wait->fetch.done = index_done;
    atomic_init(&wait->fetch.class, DLF_DEMAND);
    if (config->boot && m->boot_size)
        dlf_image_boot_begin(im);
    else
        dlf_image_head_ask(im);
    wait_for_head(im);
    if (wait->rc < 0)
        *err = wait->err;
    return wait->rc;
}
