/*
 * From URLs to an open image: manifest, index head, and the layers below in the order that each
 * needs. One thread, at start-up; nothing here runs afterwards but dlf_image_close.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse/image_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Bytes of index pages that are asked for before anybody needs them: 900 MB of data. */
#define INDEX_AT_ONCE ((uint32_t)1 << 20)

/* Milliseconds without a byte after which a transfer is given up and tried anew. */
#define STALL_MS 10000

/* URLs, split where the file's name begins. */
struct locations {
    char *bases[DLF_MIRRORS_MAX];
    unsigned count;
    char file[DLF_NAME_MAX + sizeof(DLF_MANIFEST_SUFFIX)];
};

static void locations_free(struct locations *at)
{
    for (unsigned i = 0; i < at->count; i++)
        free(at->bases[i]);
}

static int add_location(struct locations *at, const char *url, struct dlf_err *err)
{
    const char *slash = strrchr(url, '/');
    size_t suffix = strlen(DLF_MANIFEST_SUFFIX);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return dlf_fail(err, EINVAL, "%s: not an http:// or https:// URL", url);
    size_t length = strlen(slash + 1);
    if (slash - url < 8 || length <= suffix ||
        strcmp(slash + 1 + length - suffix, DLF_MANIFEST_SUFFIX) != 0)
        return dlf_fail(err, EINVAL, "%s: the URL must end in /NAME" DLF_MANIFEST_SUFFIX, url);
    if (strlen(url) >= DLF_URL_MAX || length >= sizeof(at->file))
        return dlf_fail(err, EINVAL, "%.80s...: the URL is too long", url);
    if (at->count == 0)
        memcpy(at->file, slash + 1, length + 1);
    else if (strcmp(at->file, slash + 1) != 0)
        return dlf_fail(err, EINVAL, "%s: a mirror's file must have the same name, %s", url,
                        at->file);
    if (at->count == DLF_MIRRORS_MAX)
        return dlf_fail(err, EINVAL, "%s: at most %d mirrors", url, DLF_MIRRORS_MAX);
    at->bases[at->count] = strndup(url, (size_t)(slash - url) + 1);
    if (!at->bases[at->count])
        return dlf_fail(err, ENOMEM, "out of memory");
    at->count++;
    return 0;
}

/* base: of the mirror that it came from. */
static int use_manifest(struct dlf_image *im, const struct dlf_trust *trust, const char *base,
                        const char *file, const char *text, size_t size, struct dlf_err *err)
{
    struct dlf_err why;
    int rc = dlf_trust_manifest(trust, file, text, size, &im->manifest, &im->trust_seen, &why);
    return rc < 0 ? dlf_fail(err, -rc, "%s%s: %s", base, file, why.msg) : 0;
}

static int get_manifest(struct dlf_image *im, struct dlf_source *source,
                        const struct dlf_trust *trust, const struct locations *at,
                        struct dlf_err *err)
{
    uint8_t *text = malloc(DLF_MANIFEST_MAX);
    if (!text)
        return dlf_fail(err, ENOMEM, "out of memory");
    int64_t n = dlf_source_get_whole(source, at->file, text, DLF_MANIFEST_MAX, err);
    int rc =
        n < 0 ? (int)n
              : use_manifest(im, trust, at->bases[0], at->file, (const char *)text, (size_t)n, err);
    free(text);
    return rc;
}

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
        .resume = config->resume,
        .pages = im->pages,
        .sched = im->sched,
        .boot = im->manifest.boot,
        .timeout_ms = config->timeout_ms,
        .boot_failed = dlf_image_boot_failed,
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

/* The index head, which the opening thread waits for. */
struct head_fetch {
    struct dlf_fetch fetch; /* first: callbacks get its address */
    struct dlf_image *image;
    const struct dlf_image_config *config;
    uint64_t start_us;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool finished;
    int rc;
    struct dlf_err err;
};

static int use_head(struct head_fetch *hf, const uint8_t *bytes)
{
    struct dlf_image *im = hf->image;
    const struct dlf_manifest *m = &im->manifest;
    struct dlf_index_head head;
    struct dlf_err why;
    int rc =
        dlf_index_head_parse(&head, bytes, m->index_head_size, m->image_size, m->index_size, &why);
    if (rc < 0) {
        char path[DLF_OBJECT_PATH_MAX];
        dlf_object_path(path, "index", &m->index);
        return dlf_fail(&hf->err, -rc, "%s: %s", path, why.msg);
    }
    im->pages = dlf_pages_new(&head);
    if (!im->pages) {
        dlf_index_head_free(&head);
        return dlf_fail(&hf->err, ENOMEM, "out of memory");
    }
    rc = open_cache(im, hf->config, &hf->err);
    return rc < 0 ? rc : open_trace(im, hf->start_us, &hf->err);
}

/* With the head everything is there that chunks come to: the first of them may be asked for. */
static void head_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                      const struct dlf_err *err)
{
    struct head_fetch *hf = (struct head_fetch *)fetch;
    struct dlf_image *im = hf->image;
    if (rc == 0)
        rc = use_head(hf, bytes);
    else
        hf->err = *err;
    if (rc == 0 && hf->config->boot && im->manifest.boot_size)
        dlf_image_boot_begin(im);
    else if (rc == 0 && im->prefetch)
        ask_for_all_pages(im);
    pthread_mutex_lock(&hf->lock);
    hf->rc = rc;
    hf->finished = true;
    pthread_cond_signal(&hf->changed);
    pthread_mutex_unlock(&hf->lock);
}

static int get_head(struct dlf_image *im, const struct dlf_image_config *config, uint64_t start_us,
                    struct dlf_err *err)
{
    const struct dlf_manifest *m = &im->manifest;
    struct head_fetch hf = {
        .fetch = {.kind = "index",
                  .object = m->index,
                  .length = m->index_head_size,
                  .sha256 = m->index_head,
                  .class = DLF_DEMAND,
                  .once = !config->patient,
                  .done = head_done},
        .image = im,
        .config = config,
        .start_us = start_us,
    };
    pthread_mutex_init(&hf.lock, NULL);
    pthread_cond_init(&hf.changed, NULL);
    dlf_sched_submit(im->sched, &hf.fetch);
    pthread_mutex_lock(&hf.lock);
    while (!hf.finished)
        pthread_cond_wait(&hf.changed, &hf.lock);
    pthread_mutex_unlock(&hf.lock);
    pthread_cond_destroy(&hf.changed);
    pthread_mutex_destroy(&hf.lock);
    if (hf.rc < 0)
        *err = hf.err;
    return hf.rc;
}

/* Until the manifest is here, or once when nobody is patient. */
static int wait_for_manifest(struct dlf_image *im, struct dlf_source *source,
                             const struct dlf_image_config *config, const struct locations *at,
                             struct dlf_err *err)
{
    for (unsigned round = 0;; round++) {
        int rc = get_manifest(im, source, config->trust, at, err);
        if (rc == 0 || !config->patient)
            return rc;
        uint64_t wait = dlf_backoff_ms(round);
        dlf_warn("%s; next try in %" PRIu64 " ms", err->msg, wait);
        usleep((useconds_t)(wait * 1000));
    }
}

static int open_layers(struct dlf_image *im, const struct dlf_image_config *config,
                       const struct locations *at, uint64_t start_us, struct dlf_err *err)
{
    unsigned stall = config->timeout_ms && config->timeout_ms < STALL_MS
                         ? (unsigned)config->timeout_ms
                         : STALL_MS;
    struct dlf_source *source =
        dlf_source_new((const char *const *)at->bases, at->count, DLF_SCHED_RUNS_MAX, stall);
    if (!source)
        return dlf_fail(err, ENOMEM, "out of memory");
    int rc = wait_for_manifest(im, source, config, at, err);
    if (rc < 0) {
        dlf_source_free(source);
        return rc;
    }
    uint32_t piece_max =
        im->manifest.index_head_size > DLF_CHUNK_MAX ? im->manifest.index_head_size : DLF_CHUNK_MAX;
    if (config->patient)
        dlf_source_announce(source);
    im->sched = dlf_sched_new(source, piece_max, config->bulk);
    if (!im->sched)
        return dlf_fail(err, ENOMEM, "cannot start the scheduler's thread");
    dlf_sched_fill_rate(im->sched, config->fill_rate);
    return get_head(im, config, start_us, err);
}

int dlf_image_open(struct dlf_image **image, const struct dlf_image_config *config,
                   struct dlf_err *err)
{
    struct locations at = {.count = 0};
    uint64_t start_us = dlf_now_us();
    int rc = 0;
    struct dlf_image *im = calloc(1, sizeof(*im));
    if (!im)
        return dlf_fail(err, ENOMEM, "out of memory");
    pthread_mutex_init(&im->page_lock, NULL);
    pthread_mutex_init(&im->read_lock, NULL);
    pthread_mutex_init(&im->ahead_lock, NULL);
    pthread_mutex_init(&im->fill_lock, NULL);
    pthread_cond_init(&im->fill_changed, NULL);
    im->parked_end = &im->parked;
    im->prefetch = config->prefetch;
    im->fill_delay_ms = config->fill_delay_ms;
    im->timeout_ms = config->timeout_ms;
    im->cache_bytes = config->cache_bytes;
    im->complete = config->complete;
    im->cookie = config->cookie;
    for (unsigned i = 0; rc == 0 && i < config->url_count; i++)
        rc = add_location(&at, config->urls[i], err);
    if (rc == 0)
        rc = open_layers(im, config, &at, start_us, err);
    locations_free(&at);
    if (rc < 0) {
        dlf_image_close(im);
        return rc;
    }
    if (!config->quiet)
        dlf_sched_announce(im->sched);
    *image = im;
    return 0;
}

void dlf_image_close(struct dlf_image *im)
{
    if (!im)
        return;
    dlf_image_fill_close(im);
    if (im->sched)
        dlf_sched_stop(im->sched);
    dlf_cache_stop(im->cache);
    dlf_sched_free(im->sched);
    dlf_trace_free(im->trace);
    dlf_boot_table_free(&im->boot_table);
    dlf_cache_free(im->cache);
    dlf_pages_free(im->pages);
    free(im->page_loading);
    pthread_mutex_destroy(&im->page_lock);
    pthread_mutex_destroy(&im->read_lock);
    pthread_mutex_destroy(&im->ahead_lock);
    pthread_mutex_destroy(&im->fill_lock);
    pthread_cond_destroy(&im->fill_changed);
    free(im);
}

const struct dlf_manifest *dlf_image_manifest(const struct dlf_image *im)
{
    return &im->manifest;
}

const struct dlf_trust_seen *dlf_image_trust(const struct dlf_image *im)
{
    return &im->trust_seen;
}

const struct dlf_index_head *dlf_image_head(const struct dlf_image *im)
{
    return dlf_pages_head(im->pages);
}

const struct dlf_source *dlf_image_source(const struct dlf_image *im)
{
    return dlf_sched_source(im->sched);
}

void dlf_image_last_failure(struct dlf_image *im, struct dlf_err *err)
{
    dlf_sched_last_failure(im->sched, err);
}

char *dlf_image_trace(struct dlf_image *im)
{
    return dlf_trace_text(im->trace, &im->manifest, im->pages);
}

int dlf_image_fd(const struct dlf_image *im)
{
    return dlf_cache_fd(im->cache);
}
