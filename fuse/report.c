/*
 * Reports by GET: the query says it all, so that a server's ordinary log is the data base. lock
 * guards said, stopping and over, and is held over no request.
 */
#include "fuse/report.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/util.h"

/* Bytes of an answer's body that are read before the transfer is cut. */
#define ANSWER_MAX 65536

#define STATES 3
static const char *const state_names[STATES] = {
    [DLF_REPORT_READY] = "ready",
    [DLF_REPORT_DETACHED] = "detached",
    [DLF_REPORT_INDEPENDENT] = "independent",
};

struct dlf_report {
    /* The thread's, from the start. */
    struct dlf_source *source;
    char *path; /* the last part of the URL, and its query */
    char image[DLF_NAME_MAX + 1];
    char boot[DLF_BOOT_ID_MAX];
    uint64_t serial;
    uint8_t answer[ANSWER_MAX];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned said; /* bits of states that wait to be reported */
    bool stopping;
    bool over; /* the thread has given everything back but this structure */
    pthread_t thread;
};

void dlf_report_path(char out[DLF_REPORT_PATH_MAX], const char *path,
                     const struct dlf_report_words *w)
{
    char name[65]; /* as long as Linux has them */
    size_t n = 0;
    for (; w->host[n] && n < sizeof(name) - 1; n++)
        name[n] = isalnum((unsigned char)w->host[n]) || strchr(".-", w->host[n]) ? w->host[n] : '_';
    name[n] = 0;
    snprintf(out, DLF_REPORT_PATH_MAX,
             "%s%cdlfuse=1&host=%s&image=%s&serial=%" PRIu64 "&state=%s&uptime=%" PRIu64 "%s%s",
             path, strchr(path, '?') ? '&' : '?', n ? name : "_", w->image, w->serial,
             state_names[w->state], w->uptime_s, *w->boot ? "&boot=" : "", w->boot);
}

/* "" where there is no /proc. */
static void read_boot_id(char out[DLF_BOOT_ID_MAX])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    *out = 0;
    if (!file)
        return;
    if (!fgets(out, DLF_BOOT_ID_MAX, file) || strspn(out, "0123456789abcdef-") != strlen(out))
        *out = 0;
    fclose(file);
}

static void send_report(struct dlf_report *r, enum dlf_report_state state)
{
    char path[DLF_REPORT_PATH_MAX];
    char host[256] = "";
    struct timespec up;
    struct dlf_err err;
    uint32_t tried = 0;
    unsigned mirror;
    gethostname(host, sizeof(host) - 1);
    clock_gettime(CLOCK_BOOTTIME, &up);
    struct dlf_report_words words = {
        .host = host,
        .image = r->image,
        .boot = r->boot,
        .serial = r->serial,
        .uptime_s = (uint64_t)up.tv_sec,
        .state = state,
    };
    dlf_report_path(path, r->path, &words);
    int64_t n = dlf_source_get_whole(r->source, path, &tried, &mirror, r->answer, ANSWER_MAX, &err);
    /* For -ENOENT, -EBADMSG and any answer with a status, the server has its line in the log. */
    if (n == -EIO && !strstr(err.msg, "HTTP status "))
        dlf_warn("the report that this node is %s: %s", state_names[state], err.msg);
    else if (n == -EAGAIN)
        dlf_warn("no report that this node is %s: the server has asked to be left alone",
                 state_names[state]);
}

/* The next one to send; -1: it is time to end. */
static int wait_for_next(struct dlf_report *r)
{
    int next = -1;
    pthread_mutex_lock(&r->lock);
    while (!r->said && !r->stopping)
        pthread_cond_wait(&r->changed, &r->lock);
    for (int state = 0; state < STATES && next < 0; state++)
        if (r->said >> state & 1)
            next = state;
    if (next >= 0)
        r->said &= ~(1U << next);
    pthread_mutex_unlock(&r->lock);
    return next;
}

static void *report_thread(void *cookie)
{
    struct dlf_report *r = cookie;
    int next;
    while ((next = wait_for_next(r)) >= 0)
        send_report(r, (enum dlf_report_state)next);
    dlf_source_free(r->source); /* here: libcurl may wait for a look-up in it */
    pthread_mutex_lock(&r->lock);
    r->over = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void free_report(struct dlf_report *r)
{
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}

static struct dlf_report *new_report(const struct dlf_manifest *manifest, const char *path)
{
    struct dlf_report *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    dlf_cond_init(&r->changed);
    snprintf(r->image, sizeof(r->image), "%s", manifest->name);
    r->serial = manifest->serial;
    read_boot_id(r->boot);
    r->path = strndup(path, strcspn(path, "#"));
    return r;
}

/* Checks url, and takes out the parts that reports have. base: freed by the caller. */
static int split_url(const char *url, char **base, const char **path, struct dlf_err *err)
{
    struct dlf_url parts;
    char shown[DLF_URL_MAX];
    dlf_url_shown(shown, sizeof(shown), url);
    const char *slash = memrchr(url, '/', strcspn(url, "?#"));
    if (strlen(url) >= DLF_URL_MAX || !dlf_url_split(&parts, url) || !slash ||
        slash - url < (ptrdiff_t)sizeof("http://") - 1)
        return dlf_fail(err, EINVAL, "-o report=%.300s: not http:// or https://HOST/PATH", shown);
    *base = strndup(url, (size_t)(slash - url) + 1);
    *path = slash + 1;
    return *base ? 0 : dlf_fail(err, ENOMEM, "out of memory");
}

int dlf_report_open(struct dlf_report **report, const char *url, const char *proxy, const char *ca,
                    size_t ca_size, const struct dlf_manifest *manifest, struct dlf_err *err)
{
    char *base;
    const char *path;
    int rc = split_url(url, &base, &path, err);
    if (rc < 0)
        return rc;
    struct dlf_source_config web = {
        .bases = (const char *const *)&base,
        .count = 1,
        .most = 1,
        .stall_ms = DLF_REPORT_MS,
        .proxy = proxy,
        .ca = ca,
        .ca_size = ca_size,
    };
    struct dlf_report *r = new_report(manifest, path);
    if (r)
        r->source = dlf_source_new(&web);
    free(base);
    if (!r || !r->path || !r->source)
        rc = dlf_fail(err, ENOMEM, "out of memory");
    else if ((rc = -pthread_create(&r->thread, NULL, report_thread, r)) < 0)
        dlf_fail(err, -rc, "no thread for reports: %s", strerror(-rc));
    if (rc == 0) {
        *report = r;
    } else if (r) {
        if (r->source)
            dlf_source_free(r->source);
        free_report(r);
    }
    return rc;
}

void dlf_report_say(struct dlf_report *r, enum dlf_report_state state)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->said |= 1U << state;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

bool dlf_report_close(struct dlf_report *r)
{
    if (!r)
        return true;
    uint64_t until_ms = dlf_now_ms() + DLF_REPORT_MS;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->changed);
    while (!r->over && dlf_cond_wait(&r->changed, &r->lock, until_ms))
        continue;
    bool over = r->over;
    pthread_mutex_unlock(&r->lock);
    if (!over) {
        pthread_detach(r->thread);
        return false;
    }
    pthread_join(r->thread, NULL);
    free_report(r);
    return true;
}
