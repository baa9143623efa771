/*
 * Looks at the machine once a second, in one thread, from the word that it goes down to its end.
 * lock guards everything but config and init_fd; it is held over no callback and no call that
 * waits.
 */
#include "fuse/ending.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/util.h"

#define LOOK_MS 1000

/* The longest write-out before the end: a file system on the network may hang as well. */
#define SYNC_MS 10000

struct dlf_ending {
    struct dlf_ending_config config;
    int init_fd; /* -1: there is none */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    bool syncing;
    bool thread_made;
    pthread_t thread;
    enum dlf_command how; /* DLF_COMMAND_NONE: not told yet */
};

bool dlf_ending_is_due(struct dlf_ending_watch *watch, const struct dlf_ending_look *look,
                       uint64_t patience_ms)
{
    bool stuck = look->waiting && look->init_waits;
    if (!stuck || !watch->stuck || look->progress != watch->progress) {
        watch->stuck = stuck;
        watch->since_ms = look->now_ms;
        watch->progress = look->progress;
        return false;
    }
    return look->now_ms - watch->since_ms >= patience_ms;
}

bool dlf_ending_init_waits(const char *stat)
{
    static const char last_program[] = "1 (systemd-shutdow)"; /* the kernel cuts names off here */
    const char *behind = strrchr(stat, ')');
    if (!behind || strncmp(behind, ") ", 2) != 0)
        return false;
    return behind[2] == 'D' || strncmp(stat, last_program, sizeof(last_program) - 1) == 0;
}

static bool init_waits(const struct dlf_ending *e)
{
    char text[128];
    ssize_t n = e->init_fd < 0 ? -1 : pread(e->init_fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return false;
    text[n] = 0;
    return dlf_ending_init_waits(text);
}

struct dlf_ending *dlf_ending_new(const struct dlf_ending_config *config)
{
    struct dlf_ending *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->config = *config;
    e->init_fd = open(config->init_stat, O_RDONLY | O_CLOEXEC);
    if (e->init_fd < 0)
        dlf_debug("%s: %s", config->init_stat, strerror(errno));
    pthread_mutex_init(&e->lock, NULL);
    dlf_cond_init(&e->changed);
    return e;
}

void dlf_ending_free(struct dlf_ending *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (e->thread_made)
        pthread_join(e->thread, NULL);
    if (e->init_fd >= 0)
        close(e->init_fd);
    pthread_mutex_lock(&e->lock);
    bool syncing = e->syncing;
    pthread_mutex_unlock(&e->lock);
    if (syncing) /* and may come back to it some day: that memory stays */
        return;
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void *sync_thread(void *cookie)
{
    struct dlf_ending *e = cookie;
    sync();
    pthread_mutex_lock(&e->lock);
    e->syncing = false;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* Writes all file systems out: this root has nothing to write, but there may be disks. */
static void write_out(struct dlf_ending *e)
{
    pthread_t thread;
    uint64_t until_ms = dlf_now_ms() + SYNC_MS;
    pthread_mutex_lock(&e->lock);
    e->syncing = pthread_create(&thread, NULL, sync_thread, e) == 0;
    if (e->syncing)
        pthread_detach(thread);
    while (e->syncing && dlf_cond_wait(&e->changed, &e->lock, until_ms))
        continue;
    pthread_mutex_unlock(&e->lock);
}

static void end_machine(struct dlf_ending *e, enum dlf_command how)
{
    bool off = how == DLF_COMMAND_POWEROFF;
    dlf_warn("init has waited for %" PRIu64 " s for what no server sends: %s without it",
             e->config.patience_ms / 1000, off ? "power off" : "restart");
    write_out(e);
    if (reboot(off ? RB_POWER_OFF : RB_AUTOBOOT) < 0)
        dlf_error("the machine cannot be %s: %s", off ? "powered off" : "restarted",
                  strerror(errno));
}

/* False when it is time to stop. */
static bool wait_for_next(struct dlf_ending *e)
{
    uint64_t until_ms = dlf_now_ms() + LOOK_MS;
    pthread_mutex_lock(&e->lock);
    while (!e->stop && dlf_cond_wait(&e->changed, &e->lock, until_ms))
        continue;
    bool go_on = !e->stop;
    pthread_mutex_unlock(&e->lock);
    return go_on;
}

static void *watch_thread(void *cookie)
{
    struct dlf_ending *e = cookie;
    struct dlf_ending_watch watch = {.stuck = false};
    e->config.hide(e->config.cookie);
    while (e->config.patience_ms && wait_for_next(e)) {
        struct dlf_ending_look look = {.now_ms = dlf_now_ms(), .init_waits = init_waits(e)};
        e->config.look(e->config.cookie, &look);
        if (dlf_ending_is_due(&watch, &look, e->config.patience_ms)) {
            end_machine(e, e->how);
            break;
        }
    }
    return NULL;
}

int dlf_ending_begin(struct dlf_ending *e, enum dlf_command how)
{
    int rc = 0;
    pthread_mutex_lock(&e->lock);
    if (e->how != DLF_COMMAND_NONE) {
        rc = -EALREADY;
    } else {
        e->how = how; /* before the thread, and never again: it may read it without the lock */
        rc = -pthread_create(&e->thread, NULL, watch_thread, e);
        e->thread_made = rc == 0;
        if (rc < 0)
            e->how = DLF_COMMAND_NONE;
    }
    pthread_mutex_unlock(&e->lock);
    return rc;
}
