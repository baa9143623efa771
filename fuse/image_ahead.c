/*
 * Asks for chunks that will probably be read soon. Read-ahead: for a reader that goes on where it
 * stopped, the next chunks are fetched before it asks, in a window that doubles. Read-around: on a
 * far network, where a round trip is worth many bytes, a read that has to wait brings its
 * neighbourhood along, because content that is read together mostly lies together. That takes
 * bandwidth from other waiting reads. Where there are such reads, read-around must have paid: as
 * many reads must have gone to the last neighbourhoods as one neighbourhood keeps waiting. A reader
 * that is alone keeps itself waiting: its next read comes behind the neighbourhood. ahead_lock (a
 * leaf) guards streams and neighbourhoods; chunks are asked for without it.
 */
#include "fuse/image_private.h"
#include "fuse/util.h"

/*
 * Bytes: the first window, and the largest. On a far network the first is the bytes under way when
 * the network is full, and the largest four times that: half of it may have come before more is
 * asked for, and it shrinks by compression.
 */
#define WINDOW_MIN ((uint64_t)256 << 10)
#define WINDOW_MAX ((uint64_t)4 << 20)
#define WINDOW_FAR ((uint64_t)32 << 20)

/* Bytes: a smaller neighbourhood is not worth asking for. */
#define AROUND_MIN ((uint64_t)128 << 10)
#define AROUND_MAX ((uint64_t)8 << 20)

/* Sixteenths of a read that a neighbourhood must be good for where no other read waits. It is on
 * the wire before the reader's next read, and keeps that one waiting for half a round trip
 * (bench/datapath, cold random reads). */
#define AROUND_ALONE 8

/* One refused neighbourhood in so many is asked for all the same: the reads may have changed. */
#define AROUND_TRY 32

/* After so many reads that it did not foresee, the boot pack is about something else. */
#define MISSES_MAX 64

/* Bytes by which a read may miss its place: several threads of a kernel reader come out of order.
 */
#define SLACK ((uint64_t)256 << 10)

/* The stream that this read continues; otherwise the longest unused one, made anew. */
static struct ahead_stream *find_stream_locked(struct dlf_image *im, uint64_t offset, bool *known)
{
    struct ahead_stream *oldest = &im->streams[0];
    for (unsigned i = 0; i < AHEAD_STREAMS; i++) {
        struct ahead_stream *s = &im->streams[i];
        if (s->used && offset + SLACK >= s->next && offset <= s->next + SLACK) {
            *known = true;
            return s;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    *known = false;
    return oldest;
}

static void credit_around_locked(struct dlf_image *im, uint64_t offset)
{
    for (unsigned i = 0; i < AROUND_WINDOWS; i++)
        if (offset >= im->around[i].from && offset < im->around[i].to)
            im->around[i].reads++;
}

/* The range to ask for after this read: [*from, *to), empty for none. */
static void advance_stream(struct dlf_image *im, uint64_t offset, uint64_t end, uint64_t *from,
                           uint64_t *to)
{
    bool known;
    struct dlf_pace pace;
    dlf_sched_pace(im->sched, &pace);
    uint64_t under_way = dlf_pace_under_way(&pace);
    uint64_t least = under_way > WINDOW_MIN ? under_way : WINDOW_MIN;
    uint64_t most = 4 * least > WINDOW_MAX ? 4 * least : WINDOW_MAX;
    if (most > WINDOW_FAR)
        most = WINDOW_FAR;
    uint64_t limit = atomic_load_explicit(&im->limit_bytes, memory_order_relaxed);
    if (most > limit / 8)
        most = limit / 8;
    *from = *to = 0;
    pthread_mutex_lock(&im->ahead_lock);
    credit_around_locked(im, offset);
    struct ahead_stream *s = find_stream_locked(im, offset, &known);
    s->used = ++im->ahead_clock;
    if (!known) {
        s->next = end;
        s->asked = end;
        s->window = 0;
    } else if (end > s->next) {
        s->next = end;
        s->window = s->window ? s->window * 2 : least;
        if (s->window > most)
            s->window = most;
        if (s->asked < end)
            s->asked = end;
        /* Ask in halves of the window, so that requests stay long. */
        if (s->asked - end <= s->window / 2) {
            *from = s->asked;
            *to = end + s->window;
            s->asked = *to;
        }
    }
    pthread_mutex_unlock(&im->ahead_lock);
}

/* Asks for all chunks in [at, to) as far as the index is known. */
static void prefetch(struct dlf_image *im, uint64_t at, uint64_t to)
{
    uint64_t image_size = dlf_pages_head(im->pages)->image_size;
    if (to > image_size)
        to = image_size;
    while (at < to) {
        struct dlf_spot spot;
        dlf_pages_at(im->pages, at, &spot);
        if (spot.kind == DLF_SPOT_UNKNOWN) {
            /* The page is wanted soon too; its chunks will be asked for by the next window. */
            dlf_image_page_get(im, spot.page, DLF_PREFETCH, NULL);
            return;
        }
        int rc = spot.kind == DLF_SPOT_CHUNK
                     ? dlf_cache_get(im->cache, &spot, DLF_PREFETCH, NULL, NULL, 0, 0)
                     : 0;
        if (rc < 0)
            return;
        at = spot.end;
    }
}

/*
 * Does the boot pack know the next reads? Until the boot is over it does, unless reads miss. A
 * reader of something else altogether shows itself by misses, even where "ready" is never said.
 */
static bool foreseen(struct dlf_image *im)
{
    uint8_t boot = atomic_load_explicit(&im->boot_state, memory_order_relaxed);
    return (boot == DLF_BOOT_STREAMING || boot == DLF_BOOT_DONE) && !atomic_load(&im->ready) &&
           atomic_load_explicit(&im->read_misses, memory_order_relaxed) < MISSES_MAX;
}

void dlf_image_read_ahead(struct dlf_image *im, uint64_t offset, uint32_t size, bool missed)
{
    uint64_t from;
    uint64_t to;
    if (!im->prefetch || (foreseen(im) && !missed))
        return;
    advance_stream(im, offset, offset + size, &from, &to);
    prefetch(im, from, to);
}

/* Would a neighbourhood at this place have paid so far? */
static bool around_pays_locked(struct dlf_image *im)
{
    unsigned others = atomic_load_explicit(&im->reads_in_work, memory_order_relaxed) - 1;
    unsigned price = others ? 16 * others : AROUND_ALONE;
    bool pays = im->around_worth >= price || im->around_refused + 1 >= AROUND_TRY;
    im->around_refused = pays ? 0 : im->around_refused + 1;
    return pays;
}

/* Takes the oldest neighbourhood's place, and counts the reads that went to that one. */
static void note_around_locked(struct dlf_image *im, uint64_t from, uint64_t to)
{
    struct around_window *w = &im->around[im->around_turn++ % AROUND_WINDOWS];
    if (w->to)
        im->around_worth = (3 * im->around_worth + 16 * w->reads) / 4;
    *w = (struct around_window){.from = from, .to = to};
}

/*
 * Bytes of image that are worth a round trip: as many as one could bring, at two bytes of content
 * for one on the wire, a quarter of them before offset. 0 when that is less than a chunk, or too
 * soon after the last time, or does not pay.
 */
static uint64_t around_window(struct dlf_image *im, uint64_t offset)
{
    struct dlf_pace pace;
    dlf_sched_pace(im->sched, &pace);
    uint64_t window = 2 * dlf_pace_under_way(&pace);
    uint64_t now = dlf_now_us();
    if (window < AROUND_MIN)
        return 0;
    if (window > AROUND_MAX)
        window = AROUND_MAX;
    pthread_mutex_lock(&im->ahead_lock);
    bool go = now >= im->around_next_us && around_pays_locked(im);
    if (go) {
        im->around_next_us = now + window * 1000000 / dlf_pace_rate(&pace) / 2;
        note_around_locked(im, offset > window / 4 ? offset - window / 4 : 0,
                           offset + window * 3 / 4);
    }
    pthread_mutex_unlock(&im->ahead_lock);
    return go ? window : 0;
}

void dlf_image_read_around(struct dlf_image *im, uint64_t offset)
{
    if (!im->prefetch || foreseen(im))
        return;
    uint64_t window = around_window(im, offset);
    if (!window)
        return;
    /* Forward first: that part follows in the same request. */
    prefetch(im, offset, offset + window * 3 / 4);
    prefetch(im, offset > window / 4 ? offset - window / 4 : 0, offset);
}
