/*
 * dlfuse mount: the daemon. Opens the image, mounts, serves, cleans up.
 *
 * Order at the end, because callbacks cross the layers: first the watchers of the memory and of the
 * machine's end, then the image (its thread ends, parked reads get their error replies), then the
 * hand-over (waits for its thread), then FUSE, then the last report, then the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/commands.h"
#include "fuse/ending.h"
#include "fuse/front.h"
#include "fuse/harden.h"
#include "fuse/log.h"
#include "fuse/names.h"
#include "fuse/options.h"
#include "fuse/pressure.h"
#include "fuse/progress.h"
#include "fuse/signals.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* linux/prctl.h, since Linux 5.6 */
#endif

struct mount {
    struct dlf_options options;
    char directory[PATH_MAX]; /* absolute */
    struct dlf_image *image;
    struct dlf_handover *handover;
    struct dlf_front *front;
    struct dlf_progress *progress;
    struct dlf_report *report; /* NULL: no reports were asked for */
    atomic_bool moved;         /* the loop device stands on RAM */
    struct dlf_pressure *pressure;
    struct dlf_ending *ending; /* NULL: not a machine's root */
    int meminfo_fd;            /* opened before the root directory changes; -1 when there is none */
    int ready_fd;              /* tells the process that started the daemon; -1 in the foreground */
};

/* Every offset can be answered without a fetch. */
static void image_complete(void *cookie)
{
    struct mount *m = cookie;
    struct dlf_image_stats stats;
    dlf_image_stats(m->image, &stats);
    dlf_info("root.img is complete: %" PRIu64 " bytes held, %" PRIu64 " fetched in %" PRIu64
             " requests; no server is needed from now on",
             stats.cache.present_bytes, stats.sched.fetched_bytes, stats.sched.requests);
    dlf_handover_complete(m->handover);
}

/* The loop device stands on the file in RAM. In the hand-over's thread. */
static void device_moved(void *cookie, const char *path)
{
    struct mount *m = cookie;
    dlf_info("%s now stands on the image in RAM; this daemon leaves", path);
    atomic_store(&m->moved, true);
    int rc = dlf_front_hide(m->front);
    if (rc < 0) /* switching root may have left a copy in the tree, and taken this mount out */
        dlf_warn("%s: cannot be unmounted: %s; what is seen of it is dead from now on",
                 m->directory, strerror(-rc));
    dlf_front_end(m->front);
}

/* The machine goes down: the mount, which no program can unmount, is hidden. In the ending's
 * thread. */
static void leave_tree(void *cookie)
{
    struct mount *m = cookie;
    int rc = dlf_front_hide(m->front);
    if (rc < 0)
        dlf_warn("%s: cannot be taken out of the tree: %s", m->directory, strerror(-rc));
    /* The private root, with the mount's place in it. */
    if (m->options.chroot && umount2("/", MNT_DETACH) < 0)
        dlf_debug("the private root: %s", strerror(errno));
}

/* In the ending's thread. */
static void look_at_reads(void *cookie, struct dlf_ending_look *look)
{
    struct mount *m = cookie;
    struct dlf_image_stats stats;
    dlf_image_stats(m->image, &stats);
    look->waiting = stats.waiting_reads;
    /* Only verified bytes: an answer that is wrong again and again is no progress. */
    look->progress = stats.sched.index_bytes + stats.sched.boot_bytes;
    for (unsigned i = 0; i < DLF_CLASSES; i++)
        look->progress += stats.sched.class_bytes[i];
}

/* Before chroot: PID 1 is outside. */
static int open_ending(struct mount *m, struct dlf_err *err)
{
    struct dlf_ending_config config = {
        .init_stat = "/proc/1/stat",
        .patience_ms = m->options.ending_ms,
        .hide = leave_tree,
        .look = look_at_reads,
        .cookie = m,
    };
    m->ending = dlf_ending_new(&config);
    return m->ending ? 0 : dlf_fail(err, ENOMEM, "out of memory");
}

/* The settings that a root filesystem's daemon needs to survive, made before any thread starts. */
static void become_rootfs_daemon(char *name0)
{
    /* systemd's last killing spree spares '@' (systemd.io/ROOT_STORAGE_DAEMONS). */
    if (access("/etc/initrd-release", F_OK) == 0)
        name0[0] = '@';
    /* The root of the machine: writing back memory may wait for us, so we must not wait for that.
     */
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
        dlf_debug("PR_SET_IO_FLUSHER: %s", strerror(errno));
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "-1000", 5) != 5)
        dlf_warn("oom_score_adj cannot be set: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    dlf_signals_survive();
}

static int enter_root(const char *root, struct dlf_err *err)
{
    if (chroot(root) < 0 || chdir("/") < 0)
        return dlf_fail(err, errno, "-o chroot=%s: %s", root, strerror(errno));
    return 0;
}

/*
 * All users but root mount and unmount by fusermount3, which is setuid: neither no_new_privs nor a
 * filter may be in its way, and there is nothing to drop.
 */
static bool mounts_itself(void)
{
    return geteuid() == 0;
}

/*
 * Before the first thread. CAP_SYS_ADMIN mounts now and unmounts at the end; CAP_SYS_BOOT ends a
 * machine that cannot end itself. By hand, the directory may lie where only its owner may look.
 */
static void drop_capabilities(const struct dlf_options *o)
{
    uint64_t keep = DLF_CAPABILITY(CAP_SYS_ADMIN);
    struct dlf_err err;
    dlf_harden_memory();
    keep |= DLF_CAPABILITY(o->rootfs ? CAP_SYS_BOOT : CAP_DAC_READ_SEARCH);
    if (mounts_itself() && dlf_harden_drop(keep, &err) < 0)
        dlf_warn("%s; going on with them", err.msg);
}

/* When all is open: all threads, the scheduler's included. */
static void filter_calls(const struct dlf_options *o)
{
    unsigned uses = DLF_USE_HANDOVER | (o->rootfs ? DLF_USE_ENDING : 0);
    struct dlf_err err;
    if (!mounts_itself())
        dlf_debug("system calls are not filtered: fusermount3 has to unmount at the end");
    else if (dlf_harden_filter(uses, &err) < 0)
        dlf_warn("%s; going on without", err.msg);
}

static int check_directory(struct mount *m, struct dlf_err *err)
{
    struct stat st;
    const char *target = m->options.target;
    if (!realpath(target, m->directory) || stat(m->directory, &st) < 0)
        return dlf_fail(err, errno, "%s: %s", target, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return dlf_fail(err, ENOTDIR, "%s: not a directory", target);
    /* fusermount3 asks for that; here it can be said in one line. */
    if (geteuid() != 0 && access(m->directory, W_OK) < 0)
        return dlf_fail(err, errno, "%s: %s", target, strerror(errno));
    return 0;
}

static int open_image(struct mount *m, struct dlf_err *err)
{
    const struct dlf_options *o = &m->options;
    struct dlf_image_config config = {
        .urls = o->urls,
        .url_count = o->url_count,
        .trust = &o->trust,
        .http = &o->http,
        .cache_fd = -1,
        .cache_bytes = o->cache_bytes,
        .prefetch = o->prefetch,
        .hedge = o->hedge,
        .boot = o->boot,
        .fill_rate = o->fill_rate,
        .fill_delay_ms = o->fill_delay_ms,
        .patient = o->rootfs,
        .timeout_ms = o->timeout_ms,
        .complete = image_complete,
        .cookie = m,
    };
    return dlf_image_open(&m->image, &config, err);
}

static bool cache_is_whole(const struct mount *m)
{
    return m->options.cache_bytes >= dlf_image_head(m->image)->data_size;
}

static int open_mount(struct mount *m, struct dlf_err *err)
{
    int rc = check_directory(m, err);
    if (rc == 0)
        rc = open_image(m, err);
    if (rc < 0)
        return rc;
    m->handover = dlf_handover_new(dlf_image_fd(m->image), device_moved, m);
    if (!m->handover)
        return dlf_fail(err, ENOMEM, "out of memory");
    struct dlf_front_config front = {
        .image = m->image,
        .handover = m->handover,
        .url = m->options.urls[0],
        .directory = m->directory,
        .allow_other = m->options.allow_other,
        .cache_is_whole = cache_is_whole(m),
        .ending = m->ending,
    };
    return dlf_front_open(&m->front, &front, err);
}

static void leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    if (chdir("/") < 0)
        dlf_debug("chdir to /: %s", strerror(errno));
}

/* The mount serves: lets the starting process go. */
static void say_ready(struct mount *m)
{
    static const char ok = 0;
    if (write(m->ready_fd, &ok, 1) != 1)
        dlf_debug("the starting process is gone");
    close(m->ready_fd);
    m->ready_fd = -1;
}

/* Reports are for people: no root filesystem waits for them, or fails because of them. */
static void open_report(struct mount *m)
{
    const struct dlf_options *o = &m->options;
    struct dlf_err err;
    if (o->report && dlf_report_open(&m->report, o->report, o->http.proxy, o->http.ca,
                                     o->http.ca_size, dlf_image_manifest(m->image), &err) < 0)
        dlf_warn("%s; going on without reports", err.msg);
}

/* The node serves: starts the work beside that. */
static void begin_work(struct mount *m)
{
    m->pressure = dlf_pressure_new(m->meminfo_fd, m->image, m->options.cache_bytes,
                                   dlf_image_head(m->image)->data_size);
    bool whole = cache_is_whole(m);
    dlf_image_start(m->image, m->options.fill && whole);
    if (m->options.fill && !whole)
        dlf_info("the cache of %" PRIu64 " bytes does not hold all %" PRIu64
                 " bytes of data: the mount stays lazy and needs its server",
                 m->options.cache_bytes, dlf_image_head(m->image)->data_size);
}

static int serve(struct mount *m, char *name0)
{
    struct dlf_options *o = &m->options;
    struct dlf_err err;
    enum dlf_log_target log = o->log_given || o->foreground ? o->log : DLF_LOG_SYSLOG;
    int notify = dlf_progress_notify_open(); /* its path is outside the new root */
    int rc = dlf_source_global_init(&err);
    if (mounts_itself() && !o->chroot) /* a private root has no modules */
        dlf_names_load("/etc/nsswitch.conf");
    /* Until it serves, a daemon's messages go to the terminal that started it. */
    dlf_log_open(m->ready_fd >= 0 && !o->log_given ? DLF_LOG_STDERR : log, o->debug);
    if (o->rootfs)
        become_rootfs_daemon(name0);
    if (rc == 0)
        rc = dlf_trust_open(&o->trust, &err); /* its directory is outside the new root */
    if (rc == 0)
        rc = dlf_http_open(&o->http, &err); /* its files too */
    m->meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (rc == 0 && o->rootfs)
        rc = open_ending(m, &err);
    if (rc == 0 && o->chroot)
        rc = enter_root(o->chroot, &err);
    if (rc == 0 && o->trouble)
        dlf_trouble_open(o->trouble);
    drop_capabilities(o);
    dlf_log_start();
    if (rc == 0)
        rc = open_mount(m, &err);
    if (rc == 0)
        open_report(m);
    dlf_http_close(&o->http);
    if (rc < 0) {
        dlf_error("%s", err.msg);
        dlf_trouble(DLF_TROUBLE_HERE, err.msg);
    } else {
        if (m->ready_fd >= 0 && !o->log_given)
            dlf_log_open(log, o->debug);
        if (m->ready_fd >= 0)
            leave_terminal();
        filter_calls(o);
        if (m->ready_fd >= 0)
            say_ready(m);
        m->progress = dlf_progress_start(m->image, notify, m->report);
        begin_work(m);
        do
            rc = dlf_front_serve(m->front);
        while (rc == 0 && dlf_handover_withdraw(m->handover));
        dlf_progress_stop(m->progress);
    }
    dlf_pressure_free(m->pressure);
    dlf_ending_free(m->ending);
    dlf_image_close(m->image);
    dlf_handover_free(m->handover);
    dlf_front_close(m->front);
    /* Last: no reader waits for this. */
    if (atomic_load(&m->moved))
        dlf_report_say(m->report, DLF_REPORT_INDEPENDENT);
    bool reported = dlf_report_close(m->report);
    /* The private root was made for this process: its files take RAM. */
    if (rc == 0 && o->chroot)
        umount2("/", MNT_DETACH);
    dlf_log_close();
    if (!reported)
        _exit(rc < 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK);
    return rc < 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}

/* The starting process: waits until the daemon serves or has said why not. */
static int wait_for_daemon(int fd)
{
    char ok;
    ssize_t n;
    do
        n = read(fd, &ok, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? DLF_EXIT_OK : DLF_EXIT_FAILED;
}

int dlf_cmd_mount(int argc, char **argv, char *name0)
{
    struct mount m = {.ready_fd = -1};
    struct dlf_err err;
    int ends[2];
    if (dlf_options_parse(&m.options, argc, argv, &err) < 0) {
        fprintf(stderr, "dlfuse mount: %s; see dlfuse --help\n", err.msg);
        return DLF_EXIT_USAGE;
    }
    if (m.options.foreground)
        return serve(&m, name0);
    if (pipe2(ends, O_CLOEXEC) < 0) {
        fprintf(stderr, "dlfuse mount: cannot make a pipe: %s\n", strerror(errno));
        return DLF_EXIT_FAILED;
    }
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "dlfuse mount: cannot start the daemon: %s\n", strerror(errno));
        return DLF_EXIT_FAILED;
    }
    if (child > 0) {
        close(ends[1]);
        return wait_for_daemon(ends[0]);
    }
    close(ends[0]);
    setsid();
    m.ready_fd = ends[1];
    return serve(&m, name0);
}
