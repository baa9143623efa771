/*
 * The image: bytes at offsets, from the cache or, when they come, from the network.
 *
 * Ties manifest, index pages, cache and scheduler together: reads are parked until their bytes are
 * there, sequential ones are read ahead, and the fill fetches the rest until the image is complete.
 */
#ifndef DLFUSE_FUSE_IMAGE_H
#define DLFUSE_FUSE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "format/err.h"
#include "format/manifest.h"
#include "fuse/cache.h"
#include "fuse/http.h"
#include "fuse/scheduler.h"
#include "fuse/trust.h"

struct dlf_image;

struct dlf_image_config {
    const char *const *urls; /* of NAME.dlfuse, mirrors of each other; DLF_MIRRORS_MAX at most */
    unsigned url_count;
    const struct dlf_trust *trust; /* opened; kept by the caller until dlf_image_open returns */
    const struct dlf_http *http;   /* the same */
    int cache_fd;                  /* the cache's file, taken over; -1: a memfd */
    const char *cache_name;        /* of cache_fd's file, for messages; kept by the caller */
    uint64_t cache_bytes;          /* of content held at a time */
    bool prefetch;
    bool hedge;             /* see dlf_sched_hedge */
    bool boot;              /* use the boot pack, if there is one */
    uint64_t fill_rate;     /* bytes a second; 0: no limit */
    uint32_t fill_delay_ms; /* where there is a boot pack: at most, a random time after ready */
    bool resume;            /* cache_fd may hold chunks from before */
    bool bulk;              /* there are no readers: fetch as fast as the network allows */
    bool quiet;             /* no log lines about failures that are retried */
    bool patient;           /* keep trying when the manifest cannot be had, with a log line */
    uint64_t timeout_ms;    /* for each read; 0: for ever */

    /*
     * Once, when every offset can be answered without a fetch; connections are closed then. Any
     * thread; not before dlf_image_start.
     */
    void (*complete)(void *cookie);
    void *cookie;
};

enum dlf_boot_state {
    DLF_BOOT_NONE,
    DLF_BOOT_STREAMING,
    DLF_BOOT_DONE,
    DLF_BOOT_FAILED, /* the log has said why */
};

struct dlf_image_stats {
    uint64_t reads; /* asked for by read, wait or not */
    uint64_t read_bytes;
    uint64_t read_hits;     /* served without a wait */
    uint64_t read_waits;    /* parked until something was fetched */
    uint64_t waiting_reads; /* now */
    uint64_t wait_ms_total;
    uint64_t wait_ms_max;
    enum dlf_boot_state boot;
    bool ready;
    bool filling;
    bool complete;
    struct dlf_cache_stats cache;
    struct dlf_sched_stats sched;
};

/*
 * Fetches and checks the manifest and the index head. Blocks. 0; the source's codes; -EBADMSG,
 * -ENOTSUP, -EFBIG for an invalid manifest or head; -EKEYREJECTED, -ESTALE for a manifest that is
 * not trusted; -EINVAL for an invalid URL.
 */
int dlf_image_open(struct dlf_image **image, const struct dlf_image_config *config,
                   struct dlf_err *err);

/* Parked reads are done with -EIO. */
void dlf_image_close(struct dlf_image *image);

const struct dlf_manifest *dlf_image_manifest(const struct dlf_image *image);
const struct dlf_trust_seen *dlf_image_trust(const struct dlf_image *image);
const struct dlf_index_head *dlf_image_head(const struct dlf_image *image);
const struct dlf_source *dlf_image_source(const struct dlf_image *image);
int dlf_image_fd(const struct dlf_image *image);

/*
 * Everything that complete needs is set up: it may be called from now on. fill: fetches the rest of
 * the image: first the chunks that the boot pack's table lists as read later, then all in image
 * order. Where a boot pack comes, the fill begins only after dlf_image_ready, or when reads have
 * been quiet for some seconds, and a random time after that. Once all chunks are here, the missing
 * index pages are asked for in any case. Call it once.
 */
void dlf_image_start(struct dlf_image *image, bool fill);

/* The machine's boot is over. Any thread; the first time counts. */
void dlf_image_ready(struct dlf_image *image);

/* The trace so far; malloc. NULL: no memory. */
char *dlf_image_trace(struct dlf_image *image);

/*
 * From now on the image takes at most so many bytes of memory, and never more than cache_bytes.
 * While that is less than its data the fill rests. A complete image stays: false. One thread at a
 * time, not from within a callback.
 */
bool dlf_image_set_limit(struct dlf_image *image, uint64_t bytes);

/* The fill has ended, and the image will never be complete; the log has said why. */
bool dlf_image_stuck(struct dlf_image *image);

/* Pieces of memory that a read at once may come in; a 1 MiB read has one or a few. */
#define DLF_IMAGE_PIECES 32

/*
 * Reads [offset, offset + size), inside the image, without copying, if all of it is present: sets
 * up to DLF_IMAGE_PIECES of pieces, which stay valid until dlf_image_read_over, and returns their
 * number. 0 when it has to be read by dlf_image_read. Counts as a read if it was one.
 */
unsigned dlf_image_read_now(struct dlf_image *image, uint64_t offset, uint32_t size,
                            struct iovec *pieces);

/* The pieces are not used any more. Soon, and not after waiting for anything. */
void dlf_image_read_over(struct dlf_image *image);

/* The cause of the last fetch that failed. */
void dlf_image_last_failure(struct dlf_image *image, struct dlf_err *err);

/*
 * Reads size bytes, at least 1, at offset, inside the image. done is called exactly once, from this
 * or another thread; bytes are valid during the call. rc: 0, -EIO, -ENOMEM. At most 64 MiB of reads
 * are in work, more wait in line. With timeout_ms the read ends with -EIO that long after it was
 * made, in line or in work; the chunks and pages that it waited for are still fetched.
 */
void dlf_image_read(struct dlf_image *image, uint64_t offset, uint32_t size,
                    void (*done)(void *cookie, int rc, const uint8_t *bytes, uint32_t size),
                    void *cookie);

void dlf_image_stats(struct dlf_image *image, struct dlf_image_stats *stats);

#endif
