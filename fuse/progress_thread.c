/* The thread that looks, and tells. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/progress.h"
#include "fuse/source.h"
#include "fuse/util.h"

#define LOOK_MS 500
#define LOOK_SELDOM_MS 2000 /* the machine runs, and no read waits */
#define LOOK_LATE_MS 5000   /* complete; the end of the boot was not told yet */
/* systemd is told this seldom: each time it wakes up its listeners. */
#define STATUS_MS 5000

int dlf_progress_notify_open(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    int fd = -1;
    if (length > 1 && length < sizeof(to.sun_path) && (*path == '/' || *path == '@'))
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        memcpy(to.sun_path, path, length);
        if (*path == '@')
            to.sun_path[0] = 0; /* an abstract name */
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        if (connect(fd, (const struct sockaddr *)&to, size) < 0) {
            close(fd);
            fd = -1;
        }
    }
    unsetenv("NOTIFY_SOCKET");
    return fd;
}

struct dlf_progress {
    struct dlf_image *image;
    struct dlf_report *report;
    int notify;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;

    /* The thread's. */
    struct dlf_progress_watch watch;
    uint64_t told_ms; /* when systemd was told last */
    char told[DLF_PROGRESS_LINE];
    bool ready_reported;
};

static void tell_systemd(struct dlf_progress *p, const struct dlf_image_stats *s, uint64_t now_ms)
{
    const struct dlf_index_head *head = dlf_image_head(p->image);
    char line[DLF_PROGRESS_LINE];
    char message[DLF_PROGRESS_LINE + 8];
    if (p->notify < 0 || (p->told_ms && now_ms - p->told_ms < STATUS_MS && !s->complete))
        return;
    p->told_ms = now_ms;
    dlf_progress_status(&p->watch, s, head->stored_size, head->data_size, line);
    if (strcmp(line, p->told) == 0)
        return;
    memcpy(p->told, line, sizeof(line));
    int n = snprintf(message, sizeof(message), "STATUS=%s", line);
    if (send(p->notify, message, (size_t)n, MSG_NOSIGNAL) < 0)
        dlf_debug("systemd cannot be told: %s", strerror(errno));
}

/* The first mirror that is up has the questions, but where a later one is nearer; when none is, all
 * are tried in their order. */
static const char *asked(const struct dlf_source *source)
{
    uint32_t up = dlf_source_all(source) & ~dlf_source_down(source);
    unsigned i = 0;
    while (up && !(up >> i & 1))
        i++;
    return dlf_source_mirror_base(source, i);
}

static void look(struct dlf_progress *p, struct dlf_image_stats *s)
{
    char line[DLF_PROGRESS_LINE];
    struct dlf_err last;
    uint64_t now = dlf_now_ms();
    dlf_image_stats(p->image, s);
    dlf_image_last_failure(p->image, &last);
    dlf_progress_look(&p->watch, s, dlf_image_head(p->image)->stored_size, now, &last,
                      asked(dlf_image_source(p->image)), line);
    if (*line)
        dlf_log(p->watch.said_ms ? DLF_LOG_WARNING : DLF_LOG_INFO, "%s", line);
    tell_systemd(p, s, now);
    if (s->ready && !p->ready_reported) {
        p->ready_reported = true;
        dlf_report_say(p->report, DLF_REPORT_READY);
    }
}

/* False when it is time to end. */
static bool pause_ms(struct dlf_progress *p, uint64_t ms)
{
    uint64_t until_ms = dlf_now_ms() + ms;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && dlf_cond_wait(&p->changed, &p->lock, until_ms))
        continue;
    bool go_on = !p->stopping;
    pthread_mutex_unlock(&p->lock);
    return go_on;
}

/* From complete on there is nothing to see. A node that is handed over is independent in a moment,
 * and says that instead. */
#define HANDOVER_MS 3000

static uint64_t next_look_ms(const struct dlf_image_stats *s)
{
    if (s->complete)
        return LOOK_LATE_MS;
    return s->ready && !s->waiting_reads ? LOOK_SELDOM_MS : LOOK_MS;
}

static void *progress_thread(void *arg)
{
    struct dlf_progress *p = arg;
    struct dlf_image_stats s = {0};
    while (pause_ms(p, next_look_ms(&s))) {
        look(p, &s);
        if (!s.complete || (p->report && !s.ready))
            continue;
        if (p->report && pause_ms(p, HANDOVER_MS))
            dlf_report_say(p->report, DLF_REPORT_DETACHED);
        break;
    }
    return NULL;
}

struct dlf_progress *dlf_progress_start(struct dlf_image *image, int notify, struct dlf_report *to)
{
    struct dlf_progress *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->image = image;
    p->notify = notify;
    p->report = to;
    pthread_mutex_init(&p->lock, NULL);
    dlf_cond_init(&p->changed);
    if (pthread_create(&p->thread, NULL, progress_thread, p) == 0)
        return p;
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p);
    return NULL;
}

void dlf_progress_stop(struct dlf_progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    if (p->notify >= 0)
        close(p->notify);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p);
}
