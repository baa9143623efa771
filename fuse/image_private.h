/*
 * Included by the image's files only: image_open.c, image_head.c, image_pages.c, image_pack.c,
 * image_read.c, image_walk.c, image_deadline.c, image_ahead.c, image_fill.c, image_boot.c.
 *
 * Locks, in the order in which they may be taken; no callback is called with one held:
 *   page_lock, (the scheduler's inbox_lock)
 *   read_lock, a read's own lock
 *   fill_lock, (the cache's lock)
 *   ahead_lock, head.lock: leaves
 */
#ifndef DLFUSE_FUSE_IMAGE_PRIVATE_H
#define DLFUSE_FUSE_IMAGE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "format/boot.h"
#include "fuse/image.h"
#include "fuse/pages.h"
#include "fuse/trace.h"

/* A sequential reader that is read ahead of. */
struct ahead_stream {
    uint64_t next;   /* where its next read should begin, bytes */
    uint64_t asked;  /* up to where chunks were asked for */
    uint64_t window; /* bytes ahead of next; 0 until it has read twice in a row */
    uint64_t used;   /* ahead_clock when it last read */
};
#define AHEAD_STREAMS 16

enum head_state {
    HEAD_AWAITED,
    HEAD_HERE,   /* pages, cache and trace are there */
    HEAD_FAILED, /* the open fails; they are not there, or some */
};

/* The wait for the index head: image_head.c. */
struct head_wait {
    /* Set before anything is asked for. */
    const struct dlf_image_config *config; /* valid while the head is awaited */
    uint64_t start_us;
    struct dlf_fetch fetch; /* from the index object */

    atomic_bool asked;     /* fetch was submitted */
    enum head_state state; /* the scheduler's thread's */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool finished;
    int rc;
    struct dlf_err err; /* the scheduler's thread's, the opening one's once finished */
};

/*
 * The fill (image_fill.c). Only its thread goes from one state to the next.
 *
 *   FILL_OFF     not asked for, or not begun
 *   FILL_WAITS   for the machine to have booted
 *   FILL_RUNS    a pass over the image: asks for absent chunks
 *   FILL_PAUSES  a pass is over; the next one begins when something has not come
 *   FILL_RESTS   memory is short
 *   FILL_OVER    the image is complete, or cannot be
 */
enum fill_state {
    FILL_OFF,
    FILL_WAITS,
    FILL_RUNS,
    FILL_PAUSES,
    FILL_RESTS,
    FILL_OVER,
};

/* Parked reads, linked by their entry (image_read.h). */
TAILQ_HEAD(read_list, image_read);

/* A neighbourhood that a read brought along. */
struct around_window {
    uint64_t from, to; /* bytes of the image */
    unsigned reads;    /* that went there since */
};
#define AROUND_WINDOWS 8

/* Reads that a neighbourhood is taken to be worth before anything is known. */
#define DLF_AROUND_WORTH 4

struct dlf_image {
    struct head_wait head;

    /* Set when opened. */
    struct dlf_manifest manifest;
    struct dlf_trust_seen trust_seen; /* of the manifest */
    struct dlf_sched *sched;
    struct dlf_pages *pages;
    struct dlf_cache *cache;
    bool prefetch;
    uint64_t timeout_ms;
    uint64_t cache_bytes;             /* of the configuration */
    atomic_uint_fast64_t limit_bytes; /* as of now, for fetching ahead */
    struct dlf_trace *trace;
    void (*complete)(void *cookie);
    void *cookie;

    pthread_mutex_t page_lock;
    struct page_fetch **page_loading; /* by page; NULL when it is not on its way */
    bool rest_asked;                  /* the pages that were missing when all chunks were here */

    pthread_mutex_t read_lock;
    uint64_t reading_bytes;   /* of reads in work */
    struct read_list line;    /* reads without a buffer yet, in the order in which they came */
    struct read_list working; /* the others, in the same order */
    bool admitting;
    uint64_t wait_ms_total;
    uint64_t wait_ms_max;
    uint64_t
        late_said_ms; /* when the log spoke of a read that was not answered in time; 0: never */
    pthread_cond_t deadlines_changed;
    bool deadlines_closing;
    bool deadlines_run; /* deadline_thread was started */
    pthread_t deadline_thread;

    pthread_mutex_t ahead_lock;
    struct ahead_stream streams[AHEAD_STREAMS];
    uint64_t ahead_clock;
    uint64_t around_next_us;                     /* before it no neighbourhood is asked for */
    struct around_window around[AROUND_WINDOWS]; /* the last ones, in turn */
    unsigned around_turn;
    unsigned around_worth;   /* reads that a neighbourhood has had, smoothed, times 16 */
    unsigned around_refused; /* in a row */

    struct dlf_boot_table boot_table; /* the scheduler's; final once boot_state is DONE */
    struct dlf_fetch boot_table_fetch;
    struct dlf_fetch boot_head_fetch;
    _Atomic uint8_t boot_state; /* enum dlf_boot_state */
    atomic_uint boot_left;      /* chunks still expected from the boot pack */

    pthread_mutex_t fill_lock;
    pthread_cond_t fill_changed; /* wakes the fill's thread */
    pthread_t fill_thread;
    bool fill_thread_made;
    enum fill_state fill_state;
    atomic_bool ready;
    bool started; /* complete may be called */
    bool closing;
    bool no_room;             /* for all of the image: the fill rests */
    bool missed;              /* something is absent that a pass has asked for, or passed by */
    bool fill_failed;         /* the image cannot be completed; the log has said why */
    bool holes_clear;         /* the file has no bytes where the image has holes */
    unsigned page_failures;   /* pages that were asked for and did not come */
    uint32_t fill_delay_ms;   /* at most, after ready */
    int64_t fill_outstanding; /* bytes of content asked for and not settled */
    bool complete_said;

    atomic_uint reads_in_work; /* reads that could not be answered at once */
    atomic_uint_fast64_t reads;
    atomic_uint_fast64_t read_bytes;
    atomic_uint_fast64_t read_waits;
    atomic_uint_fast64_t read_misses; /* reads of a chunk that was not even on its way */
};

/* image_pages.c: asks for an index page; as dlf_cache_get. */
int dlf_image_page_get(struct dlf_image *image, uint32_t page, enum dlf_class class,
                       struct dlf_waiter *waiter);

/* image_pages.c: as dlf_cache_forget. */
bool dlf_image_page_forget(struct dlf_image *image, uint32_t page, struct dlf_waiter *waiter);

/* image_pages.c: asks once for all pages that are not loaded, when every chunk is here. */
void dlf_image_pages_rest(struct dlf_image *image);

/*
 * image_pack.c: the cache's pack_passes callback. Asks for the pack's chunks that are not here, as
 * far as the index is known. Not where fetching ahead is switched off, nor where the cache cannot
 * hold the image. cookie is the image.
 */
void dlf_image_pack_passes(void *cookie, uint32_t pack);

/* image_fill.c: the cache's settled callback. cookie is the image. */
void dlf_image_chunk_settled(void *cookie, const struct dlf_settled *what);

/* image_fill.c: chunks are absent that a pass may have seen present. */
void dlf_image_fill_missed(struct dlf_image *image);

/* image_fill.c: an index page was loaded (0), or failed; -EIO: for good. */
void dlf_image_page_settled(struct dlf_image *image, int rc);

/* image_fill.c: ends the fill's thread. */
void dlf_image_fill_close(struct dlf_image *image);

/* image_deadline.c: the thread that ends reads when their time is up; where timeout_ms is not 0.
 * 0 or -EAGAIN. */
int dlf_image_deadlines_begin(struct dlf_image *image, struct dlf_err *err);
void dlf_image_deadlines_end(struct dlf_image *image);

/* image_head.c: submits a piece. Its done is called in any case, from within if the piece is
 * refused. */
void dlf_image_submit(struct dlf_image *image, struct dlf_fetch *fetch);

void dlf_image_head_init(struct head_wait *wait);
void dlf_image_head_free(struct head_wait *wait);

/*
 * Gets the index head, from the boot pack or the index object, and makes the layers that need it.
 * Blocks. 0, or an error of dlf_image_open. config's pointer is used during the call only.
 */
int dlf_image_head_get(struct dlf_image *image, const struct dlf_image_config *config,
                       uint64_t start_us, struct dlf_err *err);

/* Asks the index object for the head, the first time that it is called. Any thread. */
void dlf_image_head_ask(struct dlf_image *image);

/* The head's verified bytes; looked at when it is awaited. The scheduler's thread. */
void dlf_image_head_came(struct dlf_image *image, const uint8_t *bytes);

/* image_boot.c: asks for the boot pack, which the manifest has. */
void dlf_image_boot_begin(struct dlf_image *image);

/* image_boot.c: the index head is here: the table is used, now or when it comes. */
void dlf_image_boot_use(struct dlf_image *image);

/* image_boot.c: a chunk that was asked for from the boot pack came or failed. */
void dlf_image_boot_settled(struct dlf_image *image);

/* image_boot.c: the cache's boot_failed callback. cookie is the image. */
void dlf_image_boot_failed(void *cookie, const struct dlf_err *err);

/*
 * image_ahead.c: a read of [offset, offset + size) was made, and missed a chunk that was not on its
 * way; one that missed was at offset.
 */
void dlf_image_read_ahead(struct dlf_image *image, uint64_t offset, uint32_t size, bool missed);
void dlf_image_read_around(struct dlf_image *image, uint64_t offset);

#endif
