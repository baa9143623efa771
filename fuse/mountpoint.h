/*
 * A FUSE mount in the directory tree: put there, recognised and taken out by system calls of our
 * own. libfuse does the same by calls that depend on its version: 3.17 executes mount(8) and
 * umount(8), which the filter refuses and a private root lacks.
 *
 *   AWAY -> SHOWN (open) -> HIDDEN (hide; or hide found that others had unmounted it)
 *
 * Needs CAP_SYS_ADMIN, so it is root's way; other users mount by fusermount3. The caller sees to it
 * that only one thread is in it at a time.
 */
#ifndef DLFUSE_FUSE_MOUNTPOINT_H
#define DLFUSE_FUSE_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/err.h"

enum dlf_mountpoint_state {
    DLF_MOUNTPOINT_AWAY, /* zero: nothing was mounted */
    DLF_MOUNTPOINT_SHOWN,
    DLF_MOUNTPOINT_HIDDEN,
};

struct dlf_mountpoint {
    enum dlf_mountpoint_state state;
    char directory[PATH_MAX];
    int fd;          /* of /dev/fuse; not owned, and open until the last call */
    uint64_t device; /* st_dev of the mount, which no other mount has while this one lives */
};

struct dlf_mountpoint_config {
    const char *directory; /* absolute, without symbolic links */
    const char *source;    /* shown as the mount's source */
    const char *type;      /* the part behind "fuse." of the type that is shown */
    uint32_t max_read_bytes;
    bool allow_other;
};

/*
 * Mounts; requests wait for the server from now on. Returns the descriptor of /dev/fuse through
 * which it is served: above 2, closed on exec, the caller's to close. A negative errno: nothing is
 * mounted.
 */
int dlf_mountpoint_open(struct dlf_mountpoint *mountpoint,
                        const struct dlf_mountpoint_config *config, struct dlf_err *err);

/*
 * Takes the mount out of the tree; programs that have its files open keep them. Asks the server
 * nothing, so it may be called when none serves. Another mount at the same place is left alone. 0,
 * also when it is hidden already or was never there; -EINVAL: it is not there any more, or another
 * mount covers it; another negative errno.
 */
int dlf_mountpoint_hide(struct dlf_mountpoint *mountpoint);

#endif
