/*
 * From URLs to an open image: the manifest, and the layers below in the order that each needs; the
 * index head and the layers that are made of it are image_head.c's. One thread, at start-up;
 * nothing here runs afterwards but dlf_image_close.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/image_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Milliseconds for which a node that waits for its manifest does not say the same thing again. */
#define SAY_AGAIN_MS 30000

/* URLs, split where the store begins. */
struct locations {
    char *bases[DLF_MIRRORS_MAX];
    unsigned count;
    char path[DLF_URL_MAX]; /* of the manifest, below each base */
};

static void locations_free(struct locations *at)
{
    for (unsigned i = 0; i < at->count; i++)
        free(at->bases[i]);
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* given: with a query, perhaps. It goes with the base, and so with each request to that mirror: a
 * token opens the objects, too. */
static int add_location(struct locations *at, const char *given, struct dlf_err *err)
{
    struct dlf_url parts;
    char shown[DLF_URL_MAX];
    char url[DLF_URL_MAX];
    const char *query = given + strcspn(given, "?#");
    dlf_url_shown(shown, sizeof(shown), given);
    if (strncmp(given, "http://", 7) != 0 && strncmp(given, "https://", 8) != 0)
        return dlf_fail(err, EINVAL, "%s: not an http:// or https:// URL", shown);
    if (strlen(given) >= DLF_URL_MAX)
        return dlf_fail(err, EINVAL, "%.80s...: the URL is too long", shown);
    snprintf(url, sizeof(url), "%.*s", (int)(query - given), given);
    const char *slash = strrchr(url, '/');
    size_t suffix = strlen(DLF_MANIFEST_SUFFIX);
    size_t length = strlen(slash + 1);
    if (slash - url < 8 || length <= suffix ||
        strcmp(slash + 1 + length - suffix, DLF_MANIFEST_SUFFIX) != 0)
        return dlf_fail(err, EINVAL, "%s: the URL must end in /NAME" DLF_MANIFEST_SUFFIX, shown);
    if (length >= DLF_NAME_MAX + sizeof(DLF_MANIFEST_SUFFIX))
        return dlf_fail(err, EINVAL, "%.80s...: the URL is too long", shown);
    if (!dlf_url_split(&parts, url))
        return dlf_fail(err, EINVAL, "%s: not the URL of a server", shown);
    const char *path = dlf_url_below_store(url);
    if (at->count == 0)
        memcpy(at->path, path, strlen(path) + 1);
    else if (strcmp(at->path, path) != 0)
        return dlf_fail(err, EINVAL, "%s: a mirror's file must have the same name, %s", shown,
                        at->path);
    if (at->count == DLF_MIRRORS_MAX)
        return dlf_fail(err, EINVAL, "%s: at most %d mirrors", shown, DLF_MIRRORS_MAX);
    if (asprintf(&at->bases[at->count], "%.*s%s", (int)(path - url), url, query) < 0) {
        at->bases[at->count] = NULL;
        return dlf_fail(err, ENOMEM, "out of memory");
    }
    at->count++;
    return 0;
}

/* base: of the mirror that it came from. */
static int use_manifest(struct dlf_image *im, const struct dlf_trust *trust, const char *base,
                        const char *path, const char *text, size_t size, struct dlf_err *err)
{
    struct dlf_err why;
    int rc =
        dlf_trust_manifest(trust, file_of(path), text, size, &im->manifest, &im->trust_seen, &why);
    return rc < 0 ? dlf_fail(err, -rc, "%s%s: %s", base, path, why.msg) : 0;
}

/*
 * From the first mirror that has an acceptable one. A mirror with a refused manifest is as good as
 * one that does not answer, but the administrator must be told its fault. When there is none,
 * *trouble says whether a mirror that was not reached may have it.
 */
static int get_manifest(struct dlf_image *im, struct dlf_source *source,
                        const struct dlf_image_config *config, const char *path,
                        enum dlf_trouble *trouble, struct dlf_err *err)
{
    uint8_t *text = malloc(DLF_MANIFEST_MAX);
    struct dlf_err silent; /* of mirrors without one: of an unreached one, if there is one */
    struct dlf_err why;
    uint32_t tried = 0;
    unsigned mirror;
    bool unreached = false;
    int silent_rc = -EAGAIN;
    int refused = 0; /* of the last manifest that was not taken; err says why */
    int64_t n;
    dlf_fail(&silent, EAGAIN, "every mirror has asked to be left alone for a while");
    *trouble = DLF_TROUBLE_HERE;
    if (!text)
        return dlf_fail(err, ENOMEM, "out of memory");
    while ((n = dlf_source_get_whole(source, path, &tried, &mirror, text, DLF_MANIFEST_MAX,
                                     &why)) != -EAGAIN) {
        if (n >= 0) {
            int rc = use_manifest(im, config->trust, dlf_source_mirror_base(source, mirror), path,
                                  (const char *)text, (size_t)n, &why);
            if (rc == 0)
                break;
            dlf_source_blame(source, mirror);
            refused = rc;
            *err = why;
        } else if (!unreached) {
            unreached = n != -ENOENT && n != -EBADMSG;
            silent_rc = (int)n;
            silent = why;
        }
    }
    free(text);
    /* One that was not asked, because it wants to be left alone, was not reached. */
    *trouble = unreached || tried != dlf_source_all(source) ? DLF_TROUBLE_UNREACHABLE
                                                            : DLF_TROUBLE_UNUSABLE;
    if (n < 0 && !refused)
        *err = silent;
    if (n < 0)
        return refused ? refused : silent_rc;
    if (refused && !config->quiet)
        dlf_warn("%s; another mirror's is taken", err->msg);
    return 0;
}

/* The last line in the log, so that waiting for hours does not fill the log with it. */
struct said {
    char msg[sizeof(((struct dlf_err *)0)->msg)];
    uint64_t when_ms;
};

static void say_next_try(struct said *said, const struct dlf_err *err, uint64_t wait_ms)
{
    uint64_t now = dlf_now_ms();
    if (strcmp(said->msg, err->msg) == 0 && now - said->when_ms < SAY_AGAIN_MS)
        return;
    memcpy(said->msg, err->msg, sizeof(said->msg));
    said->when_ms = now;
    dlf_warn("%s; next try in %" PRIu64 " ms", err->msg, wait_ms);
}

/* Until the manifest is here, or once where config is not patient. */
static int wait_for_manifest(struct dlf_image *im, struct dlf_source *source,
                             const struct dlf_image_config *config, const char *path,
                             struct dlf_err *err)
{
    struct said said = {.when_ms = 0};
    enum dlf_trouble trouble;
    for (unsigned round = 0;; round++) {
        int rc = get_manifest(im, source, config, path, &trouble, err);
        if (rc == 0 || !config->patient)
            return rc;
        dlf_trouble(trouble, err->msg);
        uint64_t now = dlf_now_ms();
        uint64_t when = now;
        uint64_t wait = dlf_backoff_ms(round);
        if (dlf_source_choose(source, 0, &when) < 0 && when > now + wait)
            wait = when - now;
        say_next_try(&said, err, wait);
        usleep((useconds_t)(wait * 1000));
    }
}

/* Adds the manifest's mirrors behind the command line's, which gives no passwords for them. */
static void add_mirrors(struct dlf_source *source, const struct dlf_manifest *manifest)
{
    for (unsigned i = 0; i < manifest->mirror_count; i++) {
        const char *base = manifest->mirrors[i];
        if (!dlf_source_has_mirror(source, base) && !dlf_source_add_mirror(source, base, false))
            dlf_warn("the manifest's mirror %s is left out: %s", base,
                     dlf_source_full(source) ? "there are enough" : "not the URL of a server");
    }
}

static int open_layers(struct dlf_image *im, const struct dlf_image_config *config,
                       const struct locations *at, uint64_t start_us, struct dlf_err *err)
{
    unsigned stall = config->timeout_ms && config->timeout_ms < DLF_STALL_MS
                         ? (unsigned)config->timeout_ms
                         : DLF_STALL_MS;
    struct dlf_source_config web = {
        .bases = (const char *const *)at->bases,
        .count = at->count,
        .most = DLF_SCHED_RUNS_MAX,
        .stall_ms = stall,
        .probe_path = at->path,
        .proxy = config->http->proxy,
        .ca = config->http->ca,
        .ca_size = config->http->ca_size,
        .header_lines = config->http->header_lines,
    };
    if (web.ca && !dlf_source_takes_ca())
        return dlf_fail(err, ENOTSUP, "-o ca=%s: needs libcurl 7.77 or newer",
                        config->http->ca_from);
    struct dlf_source *source = dlf_source_new(&web);
    if (!source)
        return dlf_fail(err, ENOMEM, "out of memory");
    int rc = wait_for_manifest(im, source, config, at->path, err);
    if (rc < 0) {
        dlf_source_free(source);
        return rc;
    }
    add_mirrors(source, &im->manifest);
    uint32_t piece_max =
        im->manifest.index_head_size > DLF_CHUNK_MAX ? im->manifest.index_head_size : DLF_CHUNK_MAX;
    dlf_trouble_over();
    if (config->patient)
        dlf_source_announce(source);
    im->sched = dlf_sched_new(source, piece_max, config->bulk);
    if (!im->sched)
        return dlf_fail(err, ENOMEM, "cannot start the scheduler's thread");
    dlf_sched_fill_rate(im->sched, config->fill_rate);
    dlf_sched_hedge(im->sched, config->hedge);
    return dlf_image_head_get(im, config, start_us, err);
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
    dlf_cond_init(&im->fill_changed);
    dlf_image_head_init(&im->head);
    dlf_cond_init(&im->deadlines_changed);
    TAILQ_INIT(&im->line);
    TAILQ_INIT(&im->working);
    im->around_worth = 16 * DLF_AROUND_WORTH;
    im->prefetch = config->prefetch;
    im->fill_delay_ms = config->fill_delay_ms;
    im->timeout_ms = config->timeout_ms;
    im->cache_bytes = config->cache_bytes;
    atomic_init(&im->limit_bytes, config->cache_bytes);
    im->complete = config->complete;
    im->cookie = config->cookie;
    im->holes_clear = !config->resume;
    for (unsigned i = 0; rc == 0 && i < config->url_count; i++)
        rc = add_location(&at, config->urls[i], err);
    if (rc == 0)
        rc = open_layers(im, config, &at, start_us, err);
    if (rc == 0)
        rc = dlf_image_deadlines_begin(im, err);
    if (rc == 0)
        dlf_trouble_over();
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
    dlf_image_deadlines_end(im);
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
    pthread_cond_destroy(&im->deadlines_changed);
    dlf_image_head_free(&im->head);
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
