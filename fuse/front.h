/*
 * The front: the FUSE file system that shows an image as a directory with root.img, status.json,
 * trace and control.
 *
 * The only file that knows libfuse. FUSE's own threads answer reads of present bytes; the others
 * are parked in the image and answered from the scheduler's thread, so that a slow network uses up
 * no thread. Every request is answered exactly once.
 */
#ifndef DLFUSE_FUSE_FRONT_H
#define DLFUSE_FUSE_FRONT_H

#include <stdbool.h>

#include "format/err.h"
#include "fuse/ending.h"
#include "fuse/handover.h"
#include "fuse/image.h"

struct dlf_front;

struct dlf_front_config {
    struct dlf_image *image;
    struct dlf_handover *handover;
    const char *url; /* shown as the mount's source */
    const char *directory;
    bool allow_other;
    bool cache_is_whole;       /* the cache may hold all of the image: hand-over is possible */
    struct dlf_ending *ending; /* of the machine with its root here; NULL: none */
};

/* Mounts. 0 or a negative errno; of a user's mount, libfuse and fusermount3 say more on stderr. */
int dlf_front_open(struct dlf_front **front, const struct dlf_front_config *config,
                   struct dlf_err *err);

/* Serves until the file system is unmounted or a SIGTERM, SIGINT or SIGHUP comes. 0 or -EIO. */
int dlf_front_serve(struct dlf_front *front);

/*
 * Takes the mount out of the directory tree; programs that have its files open keep them, and it
 * goes on serving. Needs CAP_SYS_ADMIN. Not from FUSE's threads. 0, or a negative errno.
 */
int dlf_front_hide(struct dlf_front *front);

/*
 * After dlf_front_hide, also after its failure: makes dlf_front_serve return when the last file in
 * the mount is closed, or else after some seconds. A copy of the mount may be left, in another
 * mount namespace or in this one; such a copy is dead then. Not from FUSE's threads.
 */
void dlf_front_end(struct dlf_front *front);

/* Unmounts if that has not happened. Another mount at the same place is left alone. */
void dlf_front_close(struct dlf_front *front);

#endif
