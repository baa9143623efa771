/*
 * Looks, and the lines that come of them. Pure. The bytes fetched may be more than the image:
 * servers without ranges send bytes that were not asked for, and a small cache fetches evicted
 * chunks again.
 */
#include <inttypes.h>
#include <stdio.h>

#include "fuse/progress.h"

/* "12.3 MB", as in SI. */
#define MB(bytes) ((bytes) / 1000000), ((bytes) / 100000 % 10)
#define PRI_MB "%" PRIu64 ".%" PRIu64 " MB"

static void measure(struct dlf_progress_watch *w, uint64_t bytes, uint64_t now_ms)
{
    uint64_t ms = now_ms - w->at_ms;
    if (w->at_ms && ms)
        w->bytes_per_s = (w->bytes_per_s * 3 + (bytes - w->bytes) * 1000 / ms) / 4;
    w->bytes = bytes;
    w->at_ms = now_ms;
}

static void say_waiting(const struct dlf_progress_watch *w, const struct dlf_image_stats *s,
                        uint64_t stored_bytes, const struct dlf_err *last, const char *asked,
                        char line[DLF_PROGRESS_LINE])
{
    bool failing = s->sched.failed_attempts > w->failed;
    snprintf(line, DLF_PROGRESS_LINE,
             "%" PRIu64 " read%s waiting, for %" PRIu64 " s now: " PRI_MB
             " have come, the image has " PRI_MB ", %" PRIu64 " kB/s; %s%.280s",
             s->waiting_reads, s->waiting_reads == 1 ? " is" : "s are", w->said_ms / 1000,
             MB(s->sched.fetched_bytes), MB(stored_bytes), w->bytes_per_s / 1000,
             failing ? "" : "no answer yet from ", failing ? last->msg : asked);
}

/* The wait that may be going on: does it, and is it time to say so? */
static void look_at_wait(struct dlf_progress_watch *w, const struct dlf_image_stats *s,
                         uint64_t stored_bytes, uint64_t now_ms, const struct dlf_err *last,
                         const char *asked, char line[DLF_PROGRESS_LINE])
{
    bool moved = s->read_waits != w->read_waits;
    w->read_waits = s->read_waits;
    if (w->since_ms && (moved || !s->waiting_reads)) {
        if (w->said_ms)
            snprintf(line, DLF_PROGRESS_LINE, "reads go on, after %" PRIu64 " s",
                     (now_ms - w->since_ms) / 1000);
        w->since_ms = w->said_ms = 0;
    }
    if (!s->waiting_reads)
        return;
    if (!w->since_ms) {
        w->since_ms = now_ms;
        w->failed = s->sched.failed_attempts;
        return;
    }
    uint64_t waited = now_ms - w->since_ms;
    if (waited < DLF_PROGRESS_WAIT_MS || waited < w->said_ms * 2)
        return;
    w->said_ms = waited;
    say_waiting(w, s, stored_bytes, last, asked, line);
}

void dlf_progress_look(struct dlf_progress_watch *w, const struct dlf_image_stats *s,
                       uint64_t stored_bytes, uint64_t now_ms, const struct dlf_err *last,
                       const char *asked, char line[DLF_PROGRESS_LINE])
{
    *line = 0;
    measure(w, s->sched.fetched_bytes, now_ms);
    look_at_wait(w, s, stored_bytes, now_ms, last, asked, line);
    if (*line || !s->ready || w->ready)
        return;
    w->ready = true;
    snprintf(line, DLF_PROGRESS_LINE,
             "ready: " PRI_MB " came in %" PRIu64 " requests, the image has " PRI_MB "; %" PRIu64
             " reads waited, %" PRIu64 " ms at the most",
             MB(s->sched.fetched_bytes), s->sched.requests, MB(stored_bytes), s->read_waits,
             s->wait_ms_max);
}

void dlf_progress_status(const struct dlf_progress_watch *w, const struct dlf_image_stats *s,
                         uint64_t stored_bytes, uint64_t data_bytes, char line[DLF_PROGRESS_LINE])
{
    uint64_t percent = data_bytes ? s->cache.present_bytes * 100 / data_bytes : 100;
    if (s->complete)
        snprintf(line, DLF_PROGRESS_LINE, "Complete: no server is needed");
    else if (w->said_ms)
        snprintf(line, DLF_PROGRESS_LINE, "Waiting: nothing came for %" PRIu64 " s",
                 w->said_ms / 1000);
    else
        snprintf(line, DLF_PROGRESS_LINE,
                 "%s: %" PRIu64 "%% of the image is here, " PRI_MB " fetched for its " PRI_MB
                 ", %" PRIu64 " kB/s",
                 s->filling ? "Filling"
                 : s->ready ? "Ready"
                            : "Booting",
                 percent, MB(s->sched.fetched_bytes), MB(stored_bytes), w->bytes_per_s / 1000);
}
