/*
 * LOOP_CHANGE_FD. The kernel freezes the device's queue for it and waits for the reads that are in
 * flight, which this process has to answer: so it is called in a thread of its own, never in one
 * that serves. lock guards everything and is held over no system call that waits.
 *
 * Not even SIGKILL ends that wait. A process that is killed in it is only gone when the call
 * returns; until then the descriptors that the calling thread has stay open. With /dev/fuse among
 * them the kernel would not give up the reads that the call waits for, though no process answers
 * them any more: it would wait for ever. So the call is made by a thread that has a table of its
 * own with two descriptors in it. When the process is killed the reads then fail, and the device
 * moves.
 */
#include "fuse/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fuse/log.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2U /* linux/close_range.h, since Linux 5.9 */
#endif

enum state { NONE, ARMED, MOVING, DONE, REFUSED };

struct dlf_handover {
    int complete_fd;
    void (*moved)(void *cookie, const char *path);
    void *cookie;

    pthread_mutex_t lock;
    enum state state;
    bool complete;
    int loop_fd; /* -1 when not armed */
    char path[DLF_LOOP_PATH_MAX];
    bool thread_made;
    pthread_t thread;
};

/* Linux 6.6 and later; an unreadable version counts as new. */
static bool kernel_tells_holders(void)
{
    struct utsname name;
    unsigned version = 0;
    unsigned patch = 0;
    if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &version, &patch) != 2)
        return true;
    return version > 6 || (version == 6 && patch >= 6);
}

bool dlf_handover_kills(uint32_t device_major, uint32_t device_minor, char type[32])
{
    char line[4096];
    bool kills = false;
    FILE *mounts = kernel_tells_holders() ? fopen("/proc/self/mountinfo", "re") : NULL;
    while (mounts && !kills && fgets(line, sizeof(line), mounts)) {
        unsigned at_major;
        unsigned at_minor;
        const char *rest = strstr(line, " - ");
        if (sscanf(line, "%*u %*u %u:%u", &at_major, &at_minor) != 2 || at_major != device_major ||
            at_minor != device_minor || !rest || sscanf(rest, " - %31s", type) != 1)
            continue;
        kills = strcmp(type, "squashfs") != 0 && strcmp(type, "erofs") != 0;
    }
    if (mounts)
        fclose(mounts);
    return kills;
}

struct dlf_handover *dlf_handover_new(int complete_fd,
                                      void (*moved)(void *cookie, const char *path), void *cookie)
{
    struct dlf_handover *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->complete_fd = fcntl(complete_fd, F_DUPFD_CLOEXEC, 0);
    if (h->complete_fd < 0) {
        free(h);
        return NULL;
    }
    h->moved = moved;
    h->cookie = cookie;
    h->loop_fd = -1;
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void dlf_handover_free(struct dlf_handover *h)
{
    if (!h)
        return;
    if (h->thread_made)
        pthread_join(h->thread, NULL);
    if (h->loop_fd >= 0)
        close(h->loop_fd);
    close(h->complete_fd);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* From here on the calling thread has these two descriptors and shares none. An older kernel cannot
 * do that: then the thread goes on with those of the process. */
static void keep_only(int fd, int other)
{
    unsigned low = (unsigned)(fd < other ? fd : other);
    unsigned high = (unsigned)(fd < other ? other : fd);
    if (syscall(SYS_close_range, high + 1, ~0U, CLOSE_RANGE_UNSHARE) < 0)
        return;
    if (low + 1 < high)
        syscall(SYS_close_range, low + 1, high - 1, 0);
    if (low > 0)
        syscall(SYS_close_range, 0, low - 1, 0);
}

struct change {
    int loop_fd;
    int file_fd;
    int rc;
};

static void *change_thread(void *cookie)
{
    struct change *c = cookie;
    keep_only(c->loop_fd, c->file_fd);
    c->rc = ioctl(c->loop_fd, LOOP_CHANGE_FD, c->file_fd) < 0 ? -errno : 0;
    return NULL;
}

/* 0 or a negative errno. */
static int change_file(int loop_fd, int file_fd)
{
    struct change c = {.loop_fd = loop_fd, .file_fd = file_fd};
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, change_thread, &c);
    if (rc != 0)
        return -rc;
    pthread_join(thread, NULL);
    return c.rc;
}

static void *move_thread(void *cookie)
{
    struct dlf_handover *h = cookie;
    char type[32];
    struct stat st;
    int rc = 0;
    /* Looked at once more: it may have been mounted since the hand-over was armed. */
    if (fstat(h->loop_fd, &st) == 0 &&
        dlf_handover_kills(major(st.st_rdev), minor(st.st_rdev), type))
        rc = -EBUSY;
    else
        rc = change_file(h->loop_fd, h->complete_fd);
    pthread_mutex_lock(&h->lock);
    h->state = rc == 0 ? DONE : REFUSED;
    close(h->loop_fd);
    h->loop_fd = -1;
    pthread_mutex_unlock(&h->lock);
    if (rc == -EBUSY)
        dlf_warn("%s stays on FUSE: the %s on it would be shut down by a change of its file",
                 h->path, type);
    else if (rc < 0)
        dlf_warn("%s stays on FUSE: the kernel refuses to change its file: %s", h->path,
                 strerror(-rc));
    else
        h->moved(h->cookie, h->path);
    return NULL;
}

static void move_if_ready_locked(struct dlf_handover *h)
{
    if (h->state != ARMED || !h->complete)
        return;
    h->state = MOVING;
    h->thread_made = pthread_create(&h->thread, NULL, move_thread, h) == 0;
    if (!h->thread_made)
        h->state = REFUSED;
}

static int open_device(const struct dlf_handover_request *request)
{
    struct stat st;
    int fd = open(request->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) ||
        st.st_rdev != makedev(request->device_major, request->device_minor)) {
        close(fd);
        return -ENODEV;
    }
    return fd;
}

int dlf_handover_arm(struct dlf_handover *h, const struct dlf_handover_request *request)
{
    int rc = 0;
    int fd = open_device(request);
    if (fd < 0)
        return fd;
    pthread_mutex_lock(&h->lock);
    if (h->state == NONE) {
        h->loop_fd = fd;
        memcpy(h->path, request->path, sizeof(h->path));
        h->state = ARMED;
        move_if_ready_locked(h);
    } else {
        rc = h->state == REFUSED ? -EBUSY : -EALREADY;
        close(fd);
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

void dlf_handover_complete(struct dlf_handover *h)
{
    pthread_mutex_lock(&h->lock);
    h->complete = true;
    move_if_ready_locked(h);
    pthread_mutex_unlock(&h->lock);
}

bool dlf_handover_withdraw(struct dlf_handover *h)
{
    pthread_mutex_lock(&h->lock);
    bool moving = h->state == MOVING;
    if (h->state == NONE || h->state == ARMED)
        h->state = REFUSED;
    pthread_mutex_unlock(&h->lock);
    return moving;
}

const char *dlf_handover_state(struct dlf_handover *h)
{
    static const char *const names[] = {
        [NONE] = "none", [ARMED] = "armed",     [MOVING] = "armed",
        [DONE] = "done", [REFUSED] = "refused",
    };
    pthread_mutex_lock(&h->lock);
    const char *name = names[h->state];
    pthread_mutex_unlock(&h->lock);
    return name;
}
