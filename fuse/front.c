/*
 * FUSE's low-level operations. Inode 1 is the directory, the others are in `files`. Immutable after
 * opening, except libfuse's own state; entered by libfuse's threads. Does not know about chunks or
 * HTTP.
 */
#define FUSE_USE_VERSION 35
#include "fuse/front.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/mountpoint.h"
#include "fuse/status.h"

/* Bytes of one FUSE read; the kernel's own limit is 1 MiB (256 pages, since Linux 4.20). */
#define READ_MAX (1u << 20)

/* Seconds; nothing here ever changes its attributes. A day, as the kernel counts them in jiffies.
 */
#define ATTR_TIMEOUT 86400.0

/*
 * Asynchronous reads that the kernel keeps in flight. A loop device with direct I/O sends all of
 * its reads that way, and a small number would make cold reads wait for each other.
 */
#define BACKGROUND_MAX 64

#define INO_IMAGE 2
#define INO_STATUS 3
#define INO_TRACE 4
#define INO_CONTROL 5
#define INO_METRICS 6

static const struct {
    const char *name;
    fuse_ino_t ino;
    mode_t mode;
} files[] = {
    {".", FUSE_ROOT_ID, S_IFDIR | 0555},
    {"..", FUSE_ROOT_ID, S_IFDIR | 0555},
    {DLF_IMAGE_FILE, INO_IMAGE, S_IFREG | 0444},
    {DLF_STATUS_FILE, INO_STATUS, S_IFREG | 0444},
    {DLF_TRACE_FILE, INO_TRACE, S_IFREG | 0444},
    {DLF_CONTROL_FILE, INO_CONTROL, S_IFREG | 0200},
    {DLF_METRICS_FILE, INO_METRICS, S_IFREG | 0444},
};
#define FILES (sizeof(files) / sizeof(files[0]))

struct dlf_front {
    struct dlf_front_config config;
    struct fuse_session *session;
    uid_t uid;
    gid_t gid;
    time_t mounted; /* shown as the files' times */
    bool signals;
    pthread_mutex_t tree_lock;        /* a leaf but for umount2 */
    struct dlf_mountpoint mountpoint; /* guarded by tree_lock; AWAY: fusermount3 has mounted */
    pthread_t server;                 /* the thread in dlf_front_serve */
    atomic_bool ended;                /* it is out of libfuse's loop */
};

static void fill_attr(const struct dlf_front *front, fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_uid = front->uid;
    st->st_gid = front->gid;
    st->st_mtime = st->st_ctime = st->st_atime = front->mounted;
    st->st_blksize = 4096;
    st->st_nlink = ino == FUSE_ROOT_ID ? 2 : 1;
    for (size_t i = 0; i < FILES; i++)
        if (files[i].ino == ino)
            st->st_mode = files[i].mode;
    if (ino == INO_IMAGE) {
        const struct dlf_index_head *head = dlf_image_head(front->config.image);
        st->st_size = (off_t)head->image_size;
        st->st_blocks = (blkcnt_t)(head->data_size / 512);
    }
}

static struct dlf_front *front_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->max_read = READ_MAX; /* must equal the mount option (libfuse before 3.15) */
    conn->max_readahead = READ_MAX;
    conn->max_background = BACKGROUND_MAX;
    conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
    conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA; /* the data never change */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE);
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.attr_timeout = ATTR_TIMEOUT, .entry_timeout = ATTR_TIMEOUT};
    for (size_t i = 0; parent == FUSE_ROOT_ID && i < FILES; i++)
        if (strcmp(name, files[i].name) == 0)
            entry.ino = files[i].ino;
    if (!entry.ino) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    fill_attr(front_of(req), entry.ino, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    (void)fi;
    fill_attr(front_of(req), ino, &st);
    fuse_reply_attr(req, &st, ATTR_TIMEOUT);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    char buffer[1024];
    size_t used = 0;
    (void)fi;
    if (ino != FUSE_ROOT_ID) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    if (size > sizeof(buffer))
        size = sizeof(buffer);
    for (uint64_t i = (uint64_t)offset; i < FILES; i++) {
        struct stat st;
        fill_attr(front_of(req), files[i].ino, &st);
        size_t n =
            fuse_add_direntry(req, buffer + used, size - used, files[i].name, &st, (off_t)(i + 1));
        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
}

/* status.json, metrics and trace stay one text from open to release. */
static bool is_text(fuse_ino_t ino)
{
    return ino == INO_STATUS || ino == INO_METRICS || ino == INO_TRACE;
}

static char *make_text(const struct dlf_front *front, fuse_ino_t ino)
{
    struct dlf_image *image = front->config.image;
    const char *handover = dlf_handover_state(front->config.handover);
    if (ino == INO_TRACE)
        return dlf_image_trace(image);
    return ino == INO_METRICS ? dlf_status_metrics(image, handover)
                              : dlf_status_json(image, front->config.url, handover);
}

static void open_text(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    char *text = make_text(front_of(req), ino);
    if (!text) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)text;
    fi->direct_io = 1; /* its size is not known before it is read */
    if (fuse_reply_open(req, fi) < 0)
        free(text);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino == FUSE_ROOT_ID) {
        fuse_reply_err(req, EISDIR);
    } else if (ino == INO_CONTROL) {
        fi->direct_io = 1;
        fuse_reply_open(req, fi);
    } else if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EROFS);
    } else if (is_text(ino)) {
        open_text(req, ino, fi);
    } else {
        fi->keep_cache = 1;
        fuse_reply_open(req, fi);
    }
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (is_text(ino))
        free((char *)(uintptr_t)fi->fh);
    fuse_reply_err(req, 0);
}

static void read_text(fuse_req_t req, size_t size, off_t offset, const char *text)
{
    size_t length = strlen(text);
    size_t from = (uint64_t)offset < length ? (size_t)offset : length;
    size_t n = size < length - from ? size : length - from;
    /* A copy: the reader may close the file, and the text go away, before the reply returns. */
    char *copy = malloc(n + 1);
    if (!copy) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    memcpy(copy, text + from, n);
    fuse_reply_buf(req, copy, n);
    free(copy);
}

static void parked_done(void *cookie, int rc, const uint8_t *bytes, uint32_t size)
{
    fuse_req_t req = cookie;
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_buf(req, (const char *)bytes, size);
}

static void read_image(fuse_req_t req, size_t size, off_t offset)
{
    struct dlf_image *image = front_of(req)->config.image;
    struct iovec pieces[DLF_IMAGE_PIECES];
    uint64_t image_size = dlf_image_head(image)->image_size;
    if ((uint64_t)offset >= image_size) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (size > image_size - (uint64_t)offset)
        size = (size_t)(image_size - (uint64_t)offset);
    unsigned count = dlf_image_read_now(image, (uint64_t)offset, (uint32_t)size, pieces);
    if (count) {
        fuse_reply_iov(req, pieces, (int)count);
        dlf_image_read_over(image);
    } else {
        dlf_image_read(image, (uint64_t)offset, (uint32_t)size, parked_done, req);
    }
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    if (is_text(ino))
        read_text(req, size, offset, (const char *)(uintptr_t)fi->fh);
    else if (ino == INO_CONTROL)
        fuse_reply_buf(req, NULL, 0);
    else
        read_image(req, size, offset);
}

static int obey(struct dlf_front *front, enum dlf_command command)
{
    switch (command) {
    case DLF_COMMAND_READY:
        dlf_image_ready(front->config.image);
        return 0;
    case DLF_COMMAND_POWEROFF:
    case DLF_COMMAND_REBOOT:
        if (!front->config.ending)
            return -EOPNOTSUPP;
        return dlf_ending_begin(front->config.ending, command);
    case DLF_COMMAND_NONE:
        break;
    }
    return -EINVAL;
}

/* A command to the node; with allow_other any user could write, but only its owner and root may. */
static void on_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    struct dlf_front *front = front_of(req);
    uid_t uid = fuse_req_ctx(req)->uid;
    (void)fi;
    if (ino != INO_CONTROL) {
        fuse_reply_err(req, EROFS);
    } else if (uid != 0 && uid != front->uid) {
        fuse_reply_err(req, EPERM);
    } else {
        int rc = obey(front, dlf_control_command(bytes, size, (uint64_t)offset));
        if (rc < 0)
            fuse_reply_err(req, -rc);
        else
            fuse_reply_write(req, size);
    }
}

/* "echo ready > control" truncates it first; nothing else can be set. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct stat st;
    (void)attr;
    (void)fi;
    if (ino != INO_CONTROL || (to_set & ~(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME |
                                          FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME))) {
        fuse_reply_err(req, EROFS);
        return;
    }
    fill_attr(front_of(req), ino, &st);
    fuse_reply_attr(req, &st, ATTR_TIMEOUT);
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    const struct dlf_index_head *head = dlf_image_head(front_of(req)->config.image);
    struct statvfs st = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = (fsblkcnt_t)((head->image_size + 4095) / 4096),
        .f_files = FILES - 2,
        .f_namemax = 255,
    };
    (void)ino;
    fuse_reply_statfs(req, &st);
}

static void on_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    struct dlf_front *front = front_of(req);
    struct dlf_handover_request request;
    (void)arg;
    (void)fi;
    (void)flags;
    (void)out_size;
    int rc = ino == INO_IMAGE && cmd == DLF_IOC_HANDOVER
                 ? dlf_control_handover(&request, in, in_size)
                 : -ENOTTY;
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    /* Moving a device is root's business; with allow_other any user may call. */
    if (fuse_req_ctx(req)->uid != 0) {
        fuse_reply_err(req, EPERM);
        return;
    }
    if (!front->config.cache_is_whole) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    rc = dlf_handover_arm(front->config.handover, &request);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_ioctl(req, 0, NULL, 0);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .release = on_release,
    .read = on_read,
    .write = on_write,
    .setattr = on_setattr,
    .statfs = on_statfs,
    .ioctl = on_ioctl,
};

/* A mount option's value: libfuse splits at commas unless they are escaped. */
static void escape(char *out, size_t room, const char *text)
{
    size_t n = 0;
    for (; *text && n + 2 < room; text++) {
        if (*text == ',' || *text == '\\')
            out[n++] = '\\';
        out[n++] = *text;
    }
    out[n] = 0;
}

/* Without it libfuse writes to stderr, and a reader of stderr may wait for this node. */
static void on_libfuse_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
    dlf_vlog(level <= FUSE_LOG_ERR ? DLF_LOG_WARNING : DLF_LOG_DEBUG, fmt, ap);
}

static struct fuse_session *new_session(struct dlf_front *front)
{
    char options[DLF_URL_MAX * 2 + 128];
    char source[DLF_URL_MAX * 2];
    char shown[DLF_URL_MAX]; /* all users read /proc/mounts */
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *session = NULL;

    dlf_url_shown(shown, sizeof(shown), front->config.url);
    escape(source, sizeof(source), shown);
    snprintf(options, sizeof(options), "fsname=%s,subtype=dlfuse,max_read=%u%s", source, READ_MAX,
             front->config.allow_other ? ",allow_other" : "");
    if (fuse_opt_add_arg(&args, "dlfuse") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
        fuse_opt_add_arg(&args, options) == 0)
        session = fuse_session_new(&args, &operations, sizeof(operations), front);
    fuse_opt_free_args(&args);
    return session;
}

/* Signals have their handlers to the end: until then one would leave a dead mount. */
static void free_front(struct dlf_front *front)
{
    if (front->signals)
        fuse_remove_signal_handlers(front->session);
    fuse_session_destroy(front->session);
    pthread_mutex_destroy(&front->tree_lock);
    free(front);
}

/* Root mounts itself, and gives libfuse the descriptor. */
static int mount_as_root(struct dlf_front *front, struct dlf_err *err)
{
    char shown[DLF_URL_MAX]; /* all users read /proc/mounts */
    char path[32];
    dlf_url_shown(shown, sizeof(shown), front->config.url);
    const struct dlf_mountpoint_config config = {
        .directory = front->config.directory,
        .source = shown,
        .type = "dlfuse",
        .max_read_bytes = READ_MAX,
        .allow_other = front->config.allow_other,
    };
    int fd = dlf_mountpoint_open(&front->mountpoint, &config, err);
    if (fd < 0)
        return fd;
    snprintf(path, sizeof(path), "/dev/fd/%d", fd);
    if (fuse_session_mount(front->session, path) == 0)
        return 0;
    (void)dlf_mountpoint_hide(&front->mountpoint);
    close(fd);
    return dlf_fail(err, EIO, "%s: libfuse does not take a mount that it has not made",
                    front->config.directory);
}

static int mount_as_user(struct dlf_front *front, struct dlf_err *err)
{
    if (fuse_session_mount(front->session, front->config.directory) == 0)
        return 0;
    return dlf_fail(err, EIO, "%s: cannot be mounted on", front->config.directory);
}

int dlf_front_open(struct dlf_front **front, const struct dlf_front_config *config,
                   struct dlf_err *err)
{
    struct dlf_front *f = calloc(1, sizeof(*f));
    if (!f)
        return dlf_fail(err, ENOMEM, "out of memory");
    f->config = *config;
    f->uid = getuid();
    f->gid = getgid();
    f->mounted = (time_t)dlf_image_manifest(config->image)->created;
    pthread_mutex_init(&f->tree_lock, NULL);
    fuse_set_log_func(on_libfuse_message);
    f->session = new_session(f);
    if (!f->session) {
        free(f);
        return dlf_fail(err, EIO, "libfuse makes no session");
    }
    /* Before the mount: a signal that comes just behind it must not leave it there. */
    f->signals = fuse_set_signal_handlers(f->session) == 0;
    int rc = geteuid() == 0 ? mount_as_root(f, err) : mount_as_user(f, err);
    if (rc < 0) {
        free_front(f);
        return rc;
    }
    *front = f;
    return 0;
}

/* Does nothing: a signal with a handler wakes libfuse's thread, which then looks around. */
static void on_wake(int number)
{
    (void)number;
}

int dlf_front_serve(struct dlf_front *front)
{
    struct sigaction wake = {.sa_handler = on_wake};
    front->server = pthread_self();
    atomic_store(&front->ended, false);
    sigaction(SIGUSR2, &wake, NULL);
    /* As many as libfuse ever starts: with fewer it ends and starts threads all the time. */
    struct fuse_loop_config loop = {.clone_fd = 0, .max_idle_threads = 10};
    int rc = fuse_session_loop_mt(front->session, &loop);
    atomic_store(&front->ended, true);
    /* A positive number is the signal that ended it. */
    return rc < 0 ? -EIO : 0;
}

/* Milliseconds that a detached mount may live on before it is ended. */
#define DETACHED_MS 5000

int dlf_front_hide(struct dlf_front *front)
{
    pthread_mutex_lock(&front->tree_lock);
    int rc = dlf_mountpoint_hide(&front->mountpoint);
    pthread_mutex_unlock(&front->tree_lock);
    return rc;
}

void dlf_front_end(struct dlf_front *front)
{
    for (unsigned ms = 0; !atomic_load(&front->ended); ms += 50) {
        usleep(50 * 1000);
        if (ms < DETACHED_MS)
            continue;
        /* Again and again: the signal may come just before libfuse's thread goes to sleep. */
        fuse_session_exit(front->session);
        pthread_kill(front->server, SIGUSR2);
    }
}

void dlf_front_close(struct dlf_front *front)
{
    if (!front)
        return;
    /* -EINVAL: others have unmounted it, which is why this ends, or the hand-over has already
     * reported the failure. */
    int rc = dlf_front_hide(front);
    if (rc < 0 && rc != -EINVAL)
        dlf_warn("%s: cannot be unmounted: %s", front->config.directory, strerror(-rc));
    fuse_session_unmount(front->session); /* where fusermount3 has mounted */
    free_front(front);
}
