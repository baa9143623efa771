/*
 * mount(2) and umount2(2) with the options of FUSE.
 *
 * Whether the mount at the place is this one: the device number says so while the connection lives,
 * and statx(2) tells it without asking the server. Once the connection is gone another mount may
 * have the number; but for a mount without its connection, and for no other, the kernel says
 * ENOTCONN. An abort (umount -f, or fusectl's) leaves such a mount in the tree.
 */
#include "fuse/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* 0 where nothing can be learnt. Nothing but the number is wanted, so no server is asked. */
static uint64_t device_at(const char *directory)
{
    struct statx st;
    if (statx(AT_FDCWD, directory, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st) < 0)
        return 0;
    return makedev(st.stx_dev_major, st.stx_dev_minor);
}

static bool is_dead_at(const char *directory)
{
    struct statx st;
    return statx(AT_FDCWD, directory, AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
                 &st) < 0 &&
           errno == ENOTCONN;
}

static bool is_connected(int fd)
{
    struct pollfd device = {.fd = fd};
    int rc;
    do
        rc = poll(&device, 1, 0);
    while (rc < 0 && errno == EINTR);
    return rc == 0;
}

static bool is_at_its_place(const struct dlf_mountpoint *m)
{
    if (device_at(m->directory) != m->device)
        return false;
    /* Asked after the number: it was not another's when it was read. */
    return is_connected(m->fd) || is_dead_at(m->directory);
}

/* Above 2: a process that leaves the terminal replaces 0, 1 and 2. A negative errno. */
static int open_device(struct dlf_err *err)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    int high = fd >= 0 && fd <= 2 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd;
    int failed = errno;
    if (fd >= 0 && high != fd)
        close(fd);
    if (high < 0)
        return dlf_fail(err, failed, "/dev/fuse: %s%s", strerror(failed),
                        failed == ENOENT || failed == ENODEV ? "; modprobe fuse" : "");
    return high;
}

static int mount_on(int fd, const struct dlf_mountpoint_config *config, struct dlf_err *err)
{
    char type[64];
    char options[128];
    snprintf(type, sizeof(type), "fuse.%s", config->type);
    snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=%u,group_id=%u,max_read=%u%s", fd,
             (unsigned)S_IFDIR, getuid(), getgid(), config->max_read_bytes,
             config->allow_other ? ",allow_other" : "");
    if (mount(config->source, config->directory, type, MS_NOSUID | MS_NODEV, options) < 0)
        return dlf_fail(err, errno, "%s: cannot be mounted on: %s", config->directory,
                        strerror(errno));
    return 0;
}

int dlf_mountpoint_open(struct dlf_mountpoint *m, const struct dlf_mountpoint_config *config,
                        struct dlf_err *err)
{
    size_t length = strlen(config->directory);
    if (length >= sizeof(m->directory))
        return dlf_fail(err, ENAMETOOLONG, "%.300s: the path is too long", config->directory);
    int fd = open_device(err);
    if (fd < 0)
        return fd;
    int rc = mount_on(fd, config, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    memcpy(m->directory, config->directory, length + 1);
    m->fd = fd;
    m->device = device_at(m->directory);
    m->state = DLF_MOUNTPOINT_SHOWN;
    return fd;
}

int dlf_mountpoint_hide(struct dlf_mountpoint *m)
{
    if (m->state != DLF_MOUNTPOINT_SHOWN)
        return 0;
    if (!is_at_its_place(m))
        return -EINVAL;
    if (umount2(m->directory, MNT_DETACH) < 0)
        return -errno;
    m->state = DLF_MOUNTPOINT_HIDDEN;
    return 0;
}
