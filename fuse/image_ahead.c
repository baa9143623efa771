/*
 * Read-ahead: a reader that goes on where it stopped gets what comes next fetched before it asks,
 * in a window that doubles. ahead_lock (a leaf) guards the streams; chunks are asked for without
 * it.
 */
#include "fuse/image_private.h"

/* Bytes: the first window, and the largest. 4 MiB covers 1 Gbit/s times 32 ms. */
#define WINDOW_MIN ((uint64_t)256 << 10)
#define WINDOW_MAX ((uint64_t)4 << 20)

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

/* What to ask for after this read: [*from, *to), empty when nothing. */
static void advance_stream(struct dlf_image *im, uint64_t offset, uint64_t end, uint64_t *from,
                           uint64_t *to)
{
    bool known;
    uint64_t most = im->cache_bytes / 8 < WINDOW_MAX ? im->cache_bytes / 8 : WINDOW_MAX;
    *from = *to = 0;
    pthread_mutex_lock(&im->ahead_lock);
    struct ahead_stream *s = find_stream_locked(im, offset, &known);
    s->used = ++im->ahead_clock;
    if (!known) {
        s->next = end;
        s->asked = end;
        s->window = 0;
    } else if (end > s->next) {
        s->next = end;
        s->window = s->window ? s->window * 2 : WINDOW_MIN;
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

void dlf_image_read_ahead(struct dlf_image *im, uint64_t offset, uint32_t size)
{
    uint64_t at;
    uint64_t to;
    uint64_t image_size = dlf_pages_head(im->pages)->image_size;
    if (!im->prefetch)
        return;
    advance_stream(im, offset, offset + size, &at, &to);
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
        if (spot.kind == DLF_SPOT_CHUNK &&
            dlf_cache_get(im->cache, &spot, DLF_PREFETCH, NULL, NULL, 0, 0) < 0)
            return;
        at = spot.end;
    }
}
