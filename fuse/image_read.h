/*
 * A parked read: some of its bytes are not here yet. image_read.c lets it begin and finishes it,
 * image_walk.c takes it through its range, image_deadline.c ends it when its time is up. Only these
 * three include this.
 *
 * The walk goes from the read's start to its end. It copies present chunks and holes; for each
 * other chunk it leaves a part (a waiter) and goes on. It stops when it meets an index page that is
 * not loaded, has no part left, or is at its end. `pending` counts the parts and the walk itself;
 * the thread that takes it to zero walks on or finishes. One thread at a time walks (`walking`), so
 * there is one reply.
 *
 * A read that has failed (rc) gives up its parts: the thread that walks then, or begins to walk for
 * that, takes them out of the lists in which they wait. Their fetches go on.
 */
#ifndef DLFUSE_FUSE_IMAGE_READ_H
#define DLFUSE_FUSE_IMAGE_READ_H

#include "fuse/image_private.h"

/* Parts of a read that wait at a time. A 1 MiB read of 64 KiB chunks has 17 or so. */
#define READ_PARTS 32

struct read_part {
    struct dlf_waiter waiter; /* first: callbacks get its address */
    struct image_read *read;
    bool page;         /* it waits for an index page, not for a chunk */
    uint64_t number;   /* the page's or the chunk's */
    uint64_t from, to; /* of the image */
};

struct image_read {
    struct dlf_image *image;
    uint64_t offset, end; /* of the image */
    uint64_t begun_ms;
    void (*done)(void *cookie, int rc, const uint8_t *bytes, uint32_t size);
    void *cookie;

    /* image.read_lock's. */
    TAILQ_ENTRY(image_read) entry; /* of line or working */
    bool listed;                   /* in one of them */

    /* The walking thread's. */
    uint8_t *bytes; /* end - offset of them, once it is in work */
    uint64_t cursor;
    bool waited;
    bool missed; /* a chunk had to be asked for that nothing had asked for before */
    unsigned parts_used;
    struct read_part parts[READ_PARTS];

    pthread_mutex_t lock; /* of the fields below; nothing is called with it held */
    unsigned pending;
    bool walking;
    int rc;         /* the first failure */
    uint64_t again; /* UINT64_MAX, or from where to walk once more */
};

/* image_walk.c: takes a read that is in work, and that the caller walks, as far as it goes now; it
 * may be finished and gone afterwards. */
void dlf_read_walk(struct image_read *read);

/* image_walk.c: the read fails with rc, if it has not failed yet. */
void dlf_read_fail(struct image_read *read, int rc);

/*
 * image_walk.c: the read fails with rc. True: the caller walks it from now on, and must call
 * dlf_read_leave soon; until then the read stays. False: another thread ends it. read_lock is held,
 * and the read is listed.
 */
bool dlf_read_abandon(struct image_read *read, int rc);

/* image_walk.c: ends a walk: the read goes on, waits for its parts, or is finished and gone. */
void dlf_read_leave(struct image_read *read);

/* image_read.c: replies and frees a read that nothing refers to any more. */
void dlf_read_finish(struct image_read *read);

/* image_read.c: lets reads in line begin, as far as there is room. */
void dlf_read_admit(struct dlf_image *image);

#endif
