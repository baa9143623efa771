/*
 * dlfuse download: the whole image through the same index, packs and checks, without FUSE. The
 * cache file is FILE.part; chunks that an earlier run left there are checked and kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fuse/commands.h"
#include "fuse/harden.h"
#include "fuse/image.h"
#include "fuse/log.h"
#include "fuse/names.h"
#include "fuse/options.h"
#include "fuse/util.h"

/* Milliseconds between looks at the progress. */
#define LOOK_MS 200

struct download {
    struct dlf_options options;
    char part[PATH_MAX];
    struct dlf_image *image;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool complete;
};

static void image_complete(void *cookie)
{
    struct download *d = cookie;
    pthread_mutex_lock(&d->lock);
    d->complete = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

static bool wait_a_little(struct download *d)
{
    uint64_t until_ms = dlf_now_ms() + LOOK_MS;
    pthread_mutex_lock(&d->lock);
    if (!d->complete)
        dlf_cond_wait(&d->changed, &d->lock, until_ms);
    bool complete = d->complete;
    pthread_mutex_unlock(&d->lock);
    return complete;
}

static void show_progress(struct download *d, const struct dlf_image_stats *s, uint64_t begun_ms)
{
    static const char bar[] = "##############################";
    uint64_t data = dlf_image_head(d->image)->data_size;
    uint64_t ms = dlf_now_ms() - begun_ms + 1;
    int percent = data ? (int)(s->cache.present_bytes * 100 / data) : 100;
    int width = (int)sizeof(bar) - 1;
    fprintf(stderr, "\r%s [%-*.*s] %3d%%  %" PRIu64 " of %" PRIu64 " MiB, %.1f MB/s ",
            dlf_image_manifest(d->image)->name, width, width * percent / 100, bar, percent,
            s->cache.present_bytes >> 20, data >> 20,
            (double)s->sched.fetched_bytes / 1e3 / (double)ms);
}

/* Until all is there. False when it cannot be; the log has said why, or a line here does. */
static bool wait_for_all(struct download *d)
{
    bool bar = !d->options.quiet && isatty(STDERR_FILENO);
    uint64_t begun_ms = dlf_now_ms();
    uint64_t last_ms = begun_ms;
    uint64_t last_bytes = 0;
    bool ok;
    for (;;) {
        struct dlf_image_stats s;
        ok = wait_a_little(d);
        dlf_image_stats(d->image, &s);
        if (bar)
            show_progress(d, &s, begun_ms);
        if (ok || dlf_image_stuck(d->image))
            break;
        /* Only bytes that stay count: a server may send nonsense for ever. */
        uint64_t bytes = s.cache.present_bytes + s.sched.index_bytes;
        if (bytes != last_bytes) {
            last_bytes = bytes;
            last_ms = dlf_now_ms();
        } else if (d->options.timeout_ms && dlf_now_ms() - last_ms > d->options.timeout_ms) {
            struct dlf_err why;
            dlf_image_last_failure(d->image, &why);
            dlf_error("nothing usable came for %" PRIu64 " s: %s; %s is kept and resumed",
                      d->options.timeout_ms / 1000, why.msg, d->part);
            break;
        }
    }
    if (bar)
        fputc('\n', stderr);
    return ok;
}

static int open_part(struct download *d, bool *resume, struct dlf_err *err)
{
    struct stat st;
    const char *target = d->options.target;
    if (stat(target, &st) == 0 && !S_ISREG(st.st_mode))
        return dlf_fail(err, EINVAL, "%s: not a regular file", target);
    if (snprintf(d->part, sizeof(d->part), "%s.part", target) >= (int)sizeof(d->part))
        return dlf_fail(err, ENAMETOOLONG, "%s: the name is too long", target);
    int fd = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return dlf_fail(err, errno, "%s: %s", d->part, strerror(errno));
    int rc = 0;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = dlf_fail(err, EINVAL, "%s: not a regular file", d->part);
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        rc = dlf_fail(err, EBUSY, "%s: another download is writing it", d->part);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *resume = st.st_size > 0;
    return fd;
}

/*
 * FILE.part is open; the only work left with files is to give it its name. In another user's
 * directory root needs its capabilities for that.
 */
static void give_up_the_rest(void)
{
    struct dlf_err err;
    dlf_harden_memory();
    dlf_names_load("/etc/nsswitch.conf");
    if (dlf_harden_drop(DLF_CAPABILITY(CAP_DAC_OVERRIDE) | DLF_CAPABILITY(CAP_FOWNER), &err) < 0)
        dlf_warn("%s; going on with them", err.msg);
    if (dlf_harden_filter(DLF_USE_RENAME, &err) < 0)
        dlf_warn("%s; going on without", err.msg);
}

static int open_image(struct download *d, struct dlf_err *err)
{
    bool resume = false;
    int fd = open_part(d, &resume, err);
    if (fd < 0)
        return fd;
    give_up_the_rest();
    struct dlf_image_config config = {
        .urls = d->options.urls,
        .url_count = d->options.url_count,
        .trust = &d->options.trust,
        .http = &d->options.http,
        .cache_fd = fd,
        .cache_name = d->part,
        .cache_bytes = UINT64_MAX,
        .resume = resume,
        .bulk = true,
        .quiet = d->options.quiet,
        .timeout_ms = d->options.timeout_ms,
        .complete = image_complete,
        .cookie = d,
    };
    int rc = dlf_image_open(&d->image, &config, err);
    /* Nothing was fetched and nothing was there: leave nothing behind. */
    if (rc < 0 && !resume)
        unlink(d->part);
    return rc;
}

/* Is there room for the image's data? The space that a part file takes already counts as room. */
static int check_room(struct download *d, struct dlf_err *err)
{
    uint64_t need = dlf_image_head(d->image)->data_size;
    struct statvfs fs;
    struct stat st;
    if (fstatvfs(dlf_image_fd(d->image), &fs) < 0 || fstat(dlf_image_fd(d->image), &st) < 0)
        return dlf_fail(err, errno, "%s: %s", d->part, strerror(errno));
    uint64_t have = (uint64_t)fs.f_bavail * fs.f_frsize + (uint64_t)st.st_blocks * 512;
    if (fs.f_blocks && need > have) /* a file system that does not count has no blocks */
        return dlf_fail(err, ENOSPC,
                        "%s: the image has %" PRIu64 " bytes of data, there is room for %" PRIu64,
                        d->part, need, have);
    return 0;
}

/* The complete file gets its name, durably. */
static int publish(struct download *d, struct dlf_err *err)
{
    char copy[PATH_MAX];
    const char *target = d->options.target;
    if (fsync(dlf_image_fd(d->image)) < 0)
        return dlf_fail(err, errno, "%s: %s", d->part, strerror(errno));
    if (rename(d->part, target) < 0)
        return dlf_fail(err, errno, "%s: cannot be renamed to %s: %s", d->part, target,
                        strerror(errno));
    snprintf(copy, sizeof(copy), "%s", target);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* a file system without it can do no more */
        close(fd);
    }
    return 0;
}

int dlf_cmd_download(int argc, char **argv)
{
    struct download d = {.complete = false};
    struct dlf_err err;
    if (dlf_options_parse(&d.options, argc, argv, &err) < 0) {
        fprintf(stderr, "dlfuse download: %s; see dlfuse --help\n", err.msg);
        return DLF_EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN); /* a server that closes its connection is an error like others */
    dlf_log_open(d.options.log, d.options.debug);
    pthread_mutex_init(&d.lock, NULL);
    dlf_cond_init(&d.changed);
    int rc = dlf_source_global_init(&err);
    if (rc == 0)
        rc = dlf_trust_open(&d.options.trust, &err);
    if (rc == 0)
        rc = dlf_http_open(&d.options.http, &err);
    if (rc == 0)
        rc = open_image(&d, &err);
    dlf_http_close(&d.options.http);
    if (rc == 0)
        rc = check_room(&d, &err);
    if (rc == 0) {
        dlf_image_start(d.image, true);
        if (!wait_for_all(&d)) {
            dlf_image_close(d.image);
            return DLF_EXIT_FAILED;
        }
        rc = publish(&d, &err);
    }
    if (rc < 0)
        dlf_error("%s", err.msg);
    dlf_image_close(d.image);
    return rc < 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}
